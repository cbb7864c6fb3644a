/* Handles for this folder's tests; nothing here exists in a release. */
#ifndef EMK_CORE_CRYPTO_TEST_HOOKS_H
#define EMK_CORE_CRYPTO_TEST_HOOKS_H

#include "core/crypto/aead.h"

#ifdef EMK_FAULTS
/* Makes libcrypto's own allocations count as EMK_FAULT_ALLOC.  Before its first use only;
 * false when it was too late. */
bool emk_crypto_hook_heap(void);

/* Bytes that go to libcrypto in one call, so that the loop for more than 2^31 is seen. */
void emk_aead_hook_step(emk_aead *a, size_t step);
#endif

#endif
