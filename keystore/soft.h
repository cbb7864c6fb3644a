/* The software holder.  It is public: <earmark/keystore_soft.h>. */
#ifndef EMK_KEYSTORE_SOFT_H
#define EMK_KEYSTORE_SOFT_H

#include "keystore/keystore.h"

#include <earmark/keystore_soft.h>

#endif
