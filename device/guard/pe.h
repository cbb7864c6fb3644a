/* A PE image of 64 bits as the loader mapped it: its code, which code the loader may have changed,
 * and where its calls lead.  Reads memory of this process and believes none of its numbers. */
#ifndef EMK_DEVICE_GUARD_PE_H
#define EMK_DEVICE_GUARD_PE_H

#include "device/guard/modules.h"

typedef struct emk_pe {
    const uint8_t *image;
    size_t len; /* mapped bytes */
} emk_pe;

/* Fills the code and the extent of *m; leaves the rest.  Pages of code that the loader relocates
 * differ from their file and are left out: the longest runs between them stay.
 * EMK_E_FORMAT, EMK_E_UNSUPPORTED for 32 bits. */
emk_status emk_pe_describe(const emk_pe *in, emk_module *m, emk_error *e) EMK_MUST_CHECK;
/* Calls fn with each pointer of the import table, until it returns false; those without a name
 * are left out. */
void emk_pe_calls_each(const emk_pe *in, emk_module_call_fn fn, void *self);

#endif
