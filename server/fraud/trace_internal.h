/* What the personas and attacks of traces are made with. */
#ifndef EMK_SERVER_FRAUD_TRACE_INTERNAL_H
#define EMK_SERVER_FRAUD_TRACE_INTERNAL_H

#include "server/fraud/trace.h"

#define HOUR_MS UINT64_C(3600000)
#define MINUTE  UINT64_C(60000)
#define DAY     (24 * HOUR_MS)

typedef struct trace {
    const emk_fraud_trace_options *o;
    uint64_t random, n_events, n_actors;
    emk_buf *labels;
    emk_buf lines; /* unsorted */
    emk_buf index; /* {ts, number, offset, length} of each line */
    emk_status status;
    emk_error *e;
} trace;

/* One who acts. */
typedef struct actor {
    char user[40], device[40], session[40], net[40], build[24];
    uint64_t asn, counter;
    const char *net_kind, *version;
    int level; /* of attestation; -1: none */
    bool app_ok, is_virtual, sdk;
    int lat, lon; /* thousandths of a degree */
} actor;

uint64_t trace_random(trace *t);
/* low .. high, both included. */
uint64_t trace_between(trace *t, uint64_t low, uint64_t high);
bool trace_chance(trace *t, unsigned percent);

/* A new account on a new device in a home network of its own. */
actor trace_actor(trace *t, const char *kind);
/* Another of what it is named. */
void trace_new_user(trace *t, actor *a);
void trace_new_device(trace *t, actor *a);
void trace_new_session(trace *t, actor *a);
void trace_new_net(trace *t, actor *a, const char *kind);

/* An event of this actor's, with the fields that every event has.  Add to it and put it. */
void trace_begin(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, emk_fraud_event *ev);
void trace_put(trace *t, const emk_fraud_event *ev);
/* Both at once. */
void trace_event(trace *t, const actor *a, emk_fraud_type type, uint64_t ts);
void trace_event_cost(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, unsigned artifact,
                      unsigned cost);
/* auth.ok, device.enroll. */
void trace_sign_up(trace *t, const actor *a, uint64_t ts);
/* A model generated, fetched and opened, as the app does it; returns when it ends. */
uint64_t trace_use_model(trace *t, const actor *a, uint64_t ts, unsigned artifact, bool opens);

/* The same, opened, and its lease renewed so many times by the app. */
void trace_hold_model(trace *t, const actor *a, uint64_t ts, unsigned artifact, unsigned renewals);

/* "user:..." is fraud or ok; by: the family's name. */
void trace_label(trace *t, const actor *a, bool fraud, const char *by, uint64_t at);
void trace_label_device(trace *t, const actor *a, bool fraud, const char *by, uint64_t at);

typedef void (*trace_attack)(trace *t, uint64_t start);

extern const trace_attack TRACE_DEVELOP[];  /* NULL ends them */
extern const trace_attack TRACE_KNOWN[];    /* NULL ends them */
extern const trace_attack TRACE_HELD_OUT[]; /* NULL ends them */
extern const trace_attack TRACE_BLIND[];    /* NULL ends them */
extern const trace_attack TRACE_BLIND2[];   /* NULL ends them */
void trace_benign(trace *t);

#endif
