/* Two holders as one: one has the keys, the other keeps counters and secrets.  For a PKCS#11
 * token, which has neither: without secrets an answer must reach the process that asked.
 *
 * What it promises is the weaker of both: hardware is what the keys' holder says, but counters
 * are as good as the other holder's, so an old copy of that directory turns them back. */
#ifndef EMK_KEYSTORE_PAIRED_H
#define EMK_KEYSTORE_PAIRED_H

#include "keystore/keystore.h"

/* Gives one holder of two; end with emk_keystore_close.  Takes both holders on EMK_OK (their
 * structures are then zero), and none on failure.  EMK_E_NO_MEMORY; EMK_E_USAGE when `memory`
 * keeps no secrets or has no counters. */
emk_status emk_keystore_paired_new(emk_keystore *keys, emk_keystore *memory, emk_keystore *out,
                                   emk_error *e) EMK_MUST_CHECK;

#endif
