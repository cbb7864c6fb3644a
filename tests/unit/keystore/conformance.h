/* What every key holder must pass, whatever it is made of.  A holder's test gives its way to
 * open it and runs the rules:
 *
 *     return conformance_run("software, passphrase", &holder);
 */
#ifndef EMK_TESTS_KEYSTORE_CONFORMANCE_H
#define EMK_TESTS_KEYSTORE_CONFORMANCE_H

#include "keystore/keystore.h"
#include "tests/support/test.h"

typedef struct conformance_holder {
    const emk_crypto *crypto;
    /* Makes a device with fresh keys, to be opened any number of times, also by children. */
    void (*make)(void *self);
    /* Opens the present device's keys. */
    emk_status (*open)(void *self, emk_keystore *out, emk_error *e);
    /* Destroys them, as an operating system may. */
    void (*lose)(void *self);
    void *self;
} conformance_holder;

/* Runs all rules; returns the number that failed. */
int conformance_run(const char *name, const conformance_holder *holder);

#endif
