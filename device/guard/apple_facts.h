/* What Apple's kernel and loader say of this process and its surroundings: asked in one place,
 * judged in the detectors, which run against made-up facts in tests. */
#ifndef EMK_DEVICE_GUARD_APPLE_FACTS_H
#define EMK_DEVICE_GUARD_APPLE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of the kernel's word about this process's signature. */
#define EMK_DARWIN_SIGNATURE_VALID      0x00000001u
#define EMK_DARWIN_SIGNATURE_DEBUGGABLE 0x00000004u /* its entitlement lets debuggers in */
#define EMK_DARWIN_SIGNATURE_DEBUGGED   0x10000000u /* was traced, or says it may run any code */

typedef struct emk_darwin_facts {
    bool knows_trace, is_traced;
    bool knows_signature;
    uint32_t signature; /* EMK_DARWIN_SIGNATURE_... among others */
    bool is_phone;      /* iOS and its kin: apps live in a sandbox */
    bool is_simulator;
    bool wrote_outside;   /* of the sandbox; only looked at on a phone */
    bool forked;          /* which the sandbox does not let an app do */
    const char *inserted; /* DYLD_INSERT_LIBRARIES, lent; NULL: none */
} emk_darwin_facts;

/* Asks what costs little; never fails, what is not known says so. */
void emk_darwin_facts_get(emk_darwin_facts *out);
/* Tries the sandbox's walls and fills the two answers; makes a file and a process where there are
 * none, and removes them at once. */
void emk_darwin_try_sandbox(emk_darwin_facts *out);

/* The first instructions of functions that hooks are put on. */
typedef struct emk_darwin_function {
    const char *name;
    const void *code; /* EMK_DARWIN_CODE_LEN readable bytes */
} emk_darwin_function;
#define EMK_DARWIN_CODE_LEN      16u
#define EMK_DARWIN_FUNCTIONS_MAX 24u
size_t emk_darwin_functions(emk_darwin_function out[EMK_DARWIN_FUNCTIONS_MAX]);

#endif
