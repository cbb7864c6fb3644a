/* One set of rules for every back end of the store. */
#ifndef EMK_TESTS_UNIT_SERVER_STORE_CONFORMANCE_H
#define EMK_TESTS_UNIT_SERVER_STORE_CONFORMANCE_H

#include "server/store/blobs.h"
#include "server/store/counters.h"
#include "server/store/records.h"

/* Each runs all rules over a store that is empty and leaves it as it likes. */
void conformance_records(const emk_records *r);
void conformance_counters(const emk_counters *c);
void conformance_blobs(const emk_blobs *b);

#endif
