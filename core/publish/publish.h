/* A ticket and a model in, a sealed model out: everything below put together for backends.
 * It is public: <earmark/seal.h>. */
#ifndef EMK_CORE_PUBLISH_PUBLISH_H
#define EMK_CORE_PUBLISH_PUBLISH_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <earmark/seal.h>

#endif
