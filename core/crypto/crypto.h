/* The use of libcrypto that everything in this folder starts from.  It is public:
 * <earmark/crypto.h>. */
#ifndef EMK_CORE_CRYPTO_CRYPTO_H
#define EMK_CORE_CRYPTO_CRYPTO_H

#include "core/base/span.h"
#include "core/base/status.h"

#include "core/base/secret_pool.h"

#include <earmark/crypto.h>

/* Lends the context's pool of small secrets, for what is made anew with every file. */
emk_secret_pool *emk_crypto_secrets(const emk_crypto *c);

#endif
