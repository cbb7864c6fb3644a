/* AES in CFB mode with an IV of zeros: how a TPM encrypts what a credential holds.  [SP 800-38A
 * 6.3] [TPM 2.0 part 1, 24]
 *
 * It protects nothing from being changed and a key is good for one message: TPM structures put
 * an HMAC around it.  Not for anything of Earmark's own. */
#ifndef EMK_CORE_CRYPTO_CFB_H
#define EMK_CORE_CRYPTO_CFB_H

#include "core/crypto/crypto.h"

#define EMK_CFB_MSG_MAX 256u /* bytes */

/* Fills out with in.len bytes, which may be `in` itself.  key: 16 or 32 bytes.  EMK_E_USAGE for
 * another length; EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_aes_cfb_encrypt(const emk_crypto *c, emk_span key, emk_span in, uint8_t *out,
                               emk_error *e) EMK_MUST_CHECK;
emk_status emk_aes_cfb_decrypt(const emk_crypto *c, emk_span key, emk_span in, uint8_t *out,
                               emk_error *e) EMK_MUST_CHECK;

#endif
