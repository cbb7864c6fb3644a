/* What core/base does not ask about files. */
#ifndef EMK_CLI_OS_FILES_H
#define EMK_CLI_OS_FILES_H

#include <stdbool.h>

bool emk_cli_is_directory(const char *path);
/* True when nobody but its owner and root may read the file. */
bool emk_cli_is_private(const char *path);

#endif
