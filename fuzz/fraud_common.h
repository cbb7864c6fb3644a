/* A small engine with every kind of feature, and events made of bytes. */
#ifndef EMK_FUZZ_FRAUD_COMMON_H
#define EMK_FUZZ_FRAUD_COMMON_H

#include "server/fraud/engine.h"

#define EMK_FRAUD_FUZZ_MAX 8u /* entities of a kind */

typedef struct emk_fraud_names {
    char user[8], device[8], net[8], artifact[8];
} emk_fraud_names;

/* Gives an engine; free with emk_fraud_engine_free. */
emk_fraud_engine *emk_fraud_fuzz_engine(void);
/* Fills *ev from three bytes; it borrows from *n. */
void emk_fraud_fuzz_event(emk_fraud_event *ev, emk_fraud_names *n, const uint8_t p[3], uint64_t ts);
/* Brings a fresh engine to the state of another, by a snapshot. */
void emk_fraud_fuzz_copy(emk_fraud_engine *from, emk_fraud_engine *to);

#endif
