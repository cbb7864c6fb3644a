/* What was refused for a reason that the fraud engine has rules for, told to it.
 *
 * Nobody is named who has not proven to be there.  A signature that is not the device's says
 * nothing about that device: the event has only the network that it came from.  A used counter
 * under a good signature is the device's own, and so is what it signed about another's delivery.
 *
 * Refusing costs an attacker nothing, so what he can make the server write is bounded: each network
 * or device has a pace, all of them together have one, and what goes beyond is counted and dropped.
 * The pace is kept in a table of fixed size; whoever makes two names meet in one of its places
 * escapes their own pace and never the common one.
 *
 * Thread rule: any thread. */
#ifndef EMK_SERVER_API_SIGNALS_H
#define EMK_SERVER_API_SIGNALS_H

#include "server/api/decide.h"

#define EMK_SIGNALS_PLACES 4096u

typedef struct emk_signals emk_signals;

typedef struct emk_signals_stats {
    uint64_t told, dropped;
} emk_signals_stats;

/* Gives what emk_api.signals is to be; free with emk_signals_free.  EMK_E_NO_MEMORY,
 * EMK_E_CRYPTO. */
emk_status emk_signals_new(const emk_crypto *c, emk_signals **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_signals_free(emk_signals *s);
/* NULL is fine: zeros. */
void emk_signals_stats_of(const emk_signals *s, emk_signals_stats *out);

/* Best effort, each of the three; without emk_api.signals nothing is told. */

/* The gate refused this call: `replay` of the device that signed, `sig.fail` of the network. */
void emk_signal_refused(emk_call *call);
/* `type` of the network alone: device.enroll_refused. */
void emk_signal_net(emk_call *call, emk_fraud_type type);
/* `type` of a device that has signed this call: device.counter_fork, report.foreign. */
void emk_signal_device(emk_call *call, const emk_decide_in *who, emk_fraud_type type);

#endif
