/* Which Earmark this is.  The number comes from the build. */
#ifndef EMK_CLI_VERSION_H
#define EMK_CLI_VERSION_H

#ifndef EMK_CLI_VERSION
#define EMK_CLI_VERSION "0.0.0"
#endif

#endif
