#include "core/crypto/test_hooks.h"

#ifdef EMK_FAULTS

#include "core/base/fault.h"

#include <openssl/crypto.h>

#include <stdlib.h>

static void *hooked_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return emk_fault_hit(EMK_FAULT_ALLOC) ? NULL : malloc(n);
}

static void *hooked_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return emk_fault_hit(EMK_FAULT_ALLOC) ? NULL : realloc(p, n);
}

static void hooked_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

bool emk_crypto_hook_heap(void)
{
    return CRYPTO_set_mem_functions(hooked_malloc, hooked_realloc, hooked_free) == 1;
}

#else
typedef int emk_test_hooks_are_off; /* ISO C wants a declaration in every file */
#endif
