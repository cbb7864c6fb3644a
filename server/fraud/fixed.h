/* Arithmetic that gives the same bits everywhere: no floating point anywhere in the engine.
 * Numbers of rules and scores are thousandths in int64_t and stop at their ends. */
#ifndef EMK_SERVER_FRAUD_FIXED_H
#define EMK_SERVER_FRAUD_FIXED_H

#include "core/base/span.h"

/* SipHash-2-4 of one string.  (Aumasson, Bernstein: SipHash) */
uint64_t emk_fraud_siphash(const uint64_t key[2], emk_span s);

/* v * 2^(-dt/half), rounded down; v when half is 0. */
uint64_t emk_fraud_decay(uint64_t v, uint64_t dt, uint64_t half);

/* Floor of the square root. */
uint64_t emk_fraud_isqrt(uint64_t v);

/* Metres between two places given in thousandths of a degree, on a sphere; within 1 %. */
uint64_t emk_fraud_metres(int32_t lat1, int32_t lon1, int32_t lat2, int32_t lon2);

/* Sums and products of thousandths that stop at the ends of int64_t. */
int64_t emk_fraud_add(int64_t a, int64_t b);
int64_t emk_fraud_sub(int64_t a, int64_t b);
int64_t emk_fraud_mul(int64_t a, int64_t b);
/* b must not be 0. */
int64_t emk_fraud_div(int64_t a, int64_t b);

#endif
