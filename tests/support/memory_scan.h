/* Looks through all writable memory of this process for secrets that were used and freed.
 *
 * A secret is known here only as its 12-byte windows under a mask, so that the search does
 * not find what it searches with.  Each is looked for in both byte orders. */
#ifndef EMK_TESTS_SUPPORT_MEMORY_SCAN_H
#define EMK_TESTS_SUPPORT_MEMORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False under a sanitizer, which keeps freed memory and maps terabytes. */
bool emk_scan_works(void);

/* From now on every window of these bytes counts; the caller wipes them. */
void emk_scan_look_for(const uint8_t *secret, size_t len);
void emk_scan_forget(void);

/* Windows found in readable and writable mappings; says where. */
size_t emk_scan_count(void);

/* Runs fn on a stack that nobody else ever writes to, so that what its dead frames hold stays
 * and is found.  No cmocka assert may fail inside: they jump. */
void emk_scan_run_apart(void (*fn)(void *self), void *self);

#endif
