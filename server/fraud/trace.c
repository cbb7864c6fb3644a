#include "server/fraud/trace_internal.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* Where a line is, until lines are sorted. */
typedef struct place {
    uint64_t ts, number, offset, len;
} place;

/* (Steele and others: SplitMix64) */
uint64_t trace_random(trace *t)
{
    uint64_t x = t->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t trace_between(trace *t, uint64_t low, uint64_t high)
{
    return low + trace_random(t) % (high - low + 1);
}

bool trace_chance(trace *t, unsigned percent)
{
    return trace_random(t) % 100 < percent;
}

static void name(trace *t, char out[40], const char *kind)
{
    snprintf(out, 40, "%s-%llu-%08llx", kind, (unsigned long long)++t->n_actors,
             (unsigned long long)(trace_random(t) & UINT32_MAX));
}

void trace_new_user(trace *t, actor *a)
{
    name(t, a->user, "u");
}

void trace_new_device(trace *t, actor *a)
{
    name(t, a->device, "d");
    a->counter = 0;
}

void trace_new_session(trace *t, actor *a)
{
    name(t, a->session, "s");
}

void trace_new_net(trace *t, actor *a, const char *kind)
{
    uint64_t n = ++t->n_actors;

    a->net_kind = kind;
    a->asn = kind[0] == 'h' ? trace_between(t, 90000, 90020) : trace_between(t, 64500, 64900);
    snprintf(a->net, sizeof a->net, "10.%llu.%llu.0/24", (unsigned long long)(n >> 8 & 0xffff),
             (unsigned long long)(n & 0xff));
}

actor trace_actor(trace *t, const char *kind)
{
    actor a = {.net_kind = "isp", .version = "4.2.1", .level = 2, .app_ok = true, .sdk = true};

    (void)kind;
    trace_new_user(t, &a);
    trace_new_device(t, &a);
    trace_new_session(t, &a);
    trace_new_net(t, &a, trace_chance(t, 40) ? "mobile" : "isp");
    snprintf(a.build, sizeof a.build, "b-421");
    a.lat = (int)trace_between(t, 36000, 60000);
    a.lon = (int)trace_between(t, 0, 30000);
    return a;
}

static void put_text(emk_fraud_event *ev, emk_fraud_field f, const char *text)
{
    if (text && text[0])
        emk_fraud_event_text(ev, f, emk_span_str(text));
}

void trace_begin(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, emk_fraud_event *ev)
{
    (void)t;
    emk_fraud_event_init(ev, type, ts);
    put_text(ev, EMK_FRAUD_F_TENANT, "acme");
    put_text(ev, EMK_FRAUD_F_APP_ID, "com.acme.cats");
    put_text(ev, EMK_FRAUD_F_APP_VER, a->version);
    put_text(ev, EMK_FRAUD_F_APP_BUILD, a->build);
    put_text(ev, EMK_FRAUD_F_USER, a->user);
    put_text(ev, EMK_FRAUD_F_DEVICE, a->device);
    put_text(ev, EMK_FRAUD_F_SESSION, a->session);
    put_text(ev, EMK_FRAUD_F_NET, a->net);
    put_text(ev, EMK_FRAUD_F_NET_KIND, a->net_kind);
    emk_fraud_event_number(ev, EMK_FRAUD_F_ASN, (int64_t)a->asn * 1000);
    emk_fraud_event_number(ev, EMK_FRAUD_F_LAT, a->lat);
    emk_fraud_event_number(ev, EMK_FRAUD_F_LON, a->lon);
    emk_fraud_event_number(ev, EMK_FRAUD_F_GEO_KM, 25000);
    if (a->level >= 0) {
        put_text(ev, EMK_FRAUD_F_ATT_KIND, "play");
        emk_fraud_event_number(ev, EMK_FRAUD_F_ATT_LEVEL, (int64_t)a->level * 1000);
        emk_fraud_event_number(ev, EMK_FRAUD_F_ATT_APP_OK, a->app_ok ? 1000 : 0);
        emk_fraud_event_number(ev, EMK_FRAUD_F_ATT_VIRTUAL, a->is_virtual ? 1000 : 0);
    }
}

static void keep(trace *t, emk_status st)
{
    if (t->status == EMK_OK)
        t->status = st;
}

void trace_put(trace *t, const emk_fraud_event *ev)
{
    emk_fraud_event full = *ev;
    place p = {ev->ts, t->n_events++, t->lines.len, 0};
    char id[24];

    if (t->status != EMK_OK || ev->ts >= t->o->start_ms + t->o->days * DAY)
        return;
    snprintf(id, sizeof id, "e%llu", (unsigned long long)p.number);
    emk_fraud_event_text(&full, EMK_FRAUD_F_ID, emk_span_str(id));
    keep(t, emk_fraud_event_write(&full, &t->lines, t->e));
    p.len = t->lines.len - p.offset;
    if (t->status == EMK_OK)
        keep(t, emk_buf_append(&t->index, emk_span_of(&p, sizeof p), t->e));
}

void trace_event(trace *t, const actor *a, emk_fraud_type type, uint64_t ts)
{
    emk_fraud_event ev;

    trace_begin(t, a, type, ts, &ev);
    trace_put(t, &ev);
}

void trace_event_cost(trace *t, const actor *a, emk_fraud_type type, uint64_t ts, unsigned artifact,
                      unsigned cost)
{
    emk_fraud_event ev;
    char text[24];

    trace_begin(t, a, type, ts, &ev);
    snprintf(text, sizeof text, "a-%u", artifact);
    put_text(&ev, EMK_FRAUD_F_ARTIFACT, text);
    put_text(&ev, EMK_FRAUD_F_MODEL, "nekomimi");
    if (cost)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_COST, (int64_t)cost * 1000);
    if (type >= EMK_FRAUD_DOWNLOAD_END && type <= EMK_FRAUD_USE && a->sdk) {
        ev.src = EMK_FRAUD_SRC_SDK;
        emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT, (int64_t)ts * 1000);
    }
    trace_put(t, &ev);
}

void trace_sign_up(trace *t, const actor *a, uint64_t ts)
{
    trace_event(t, a, EMK_FRAUD_AUTH_OK, ts);
    trace_event(t, a, EMK_FRAUD_DEVICE_ENROLL, ts + 3000);
}

uint64_t trace_use_model(trace *t, const actor *a, uint64_t ts, unsigned artifact, bool opens)
{
    trace_event_cost(t, a, EMK_FRAUD_GENERATE, ts, artifact, (unsigned)trace_between(t, 15, 40));
    ts += trace_between(t, 2000, 20000);
    trace_event_cost(t, a, EMK_FRAUD_GRANT, ts, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_START, ts + 400, artifact, 0);
    ts += trace_between(t, 2000, 30000);
    trace_event_cost(t, a, EMK_FRAUD_DOWNLOAD_END, ts, artifact, 0);
    if (!opens)
        return ts;
    ts += trace_between(t, 500, 60000);
    trace_event_cost(t, a, EMK_FRAUD_OPEN, ts, artifact, 0);
    trace_event_cost(t, a, EMK_FRAUD_USE, ts + 5000, artifact, 0);
    return ts + 5000;
}

void trace_hold_model(trace *t, const actor *a, uint64_t ts, unsigned artifact, unsigned renewals)
{
    ts = trace_use_model(t, a, ts, artifact, true);
    for (unsigned i = 0; i < renewals; i++) {
        ts += 10 * MINUTE + trace_between(t, 0, 1500);
        trace_event_cost(t, a, EMK_FRAUD_LEASE, ts, artifact, 0);
    }
}

static void put_label(trace *t, const char *entity, bool fraud, const char *by, uint64_t at)
{
    char line[256];
    int n = snprintf(line, sizeof line,
                     "{\"entity\":\"%s\",\"label\":\"%s\",\"source\":\"analyst\",\"at\":%llu,"
                     "\"by\":\"%s\"}\n",
                     entity, fraud ? "fraud" : "ok", (unsigned long long)at, by);

    if (t->status == EMK_OK)
        keep(t, emk_buf_append(t->labels, emk_span_of(line, (size_t)n), t->e));
}

void trace_label(trace *t, const actor *a, bool fraud, const char *by, uint64_t at)
{
    char entity[64];

    snprintf(entity, sizeof entity, "user:%s", a->user);
    put_label(t, entity, fraud, by, at);
}

void trace_label_device(trace *t, const actor *a, bool fraud, const char *by, uint64_t at)
{
    char entity[64];

    snprintf(entity, sizeof entity, "device:%s", a->device);
    put_label(t, entity, fraud, by, at);
}

static int by_time(const void *a, const void *b)
{
    const place *x = a, *y = b;

    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void write_sorted(trace *t, emk_buf *out)
{
    place *p = (place *)(void *)t->index.p;
    size_t n = t->index.len / sizeof *p;

    if (n > 1)
        qsort(p, n, sizeof *p, by_time);
    for (size_t i = 0; t->status == EMK_OK && i < n; i++) {
        keep(t, emk_buf_append(out, emk_span_of(t->lines.p + p[i].offset, (size_t)p[i].len), t->e));
        if (t->status == EMK_OK)
            keep(t, emk_buf_append(out, emk_span_of("\n", 1), t->e));
    }
}

static void run_attacks(trace *t, const trace_attack *attacks)
{
    uint64_t begin = t->o->start_ms + 2 * DAY, room = (t->o->days - 2) * DAY / 2;

    for (size_t i = 0; attacks[i]; i++) {
        for (uint32_t k = 0; k < t->o->attacks; k++)
            attacks[i](t, begin + trace_random(t) % (room ? room : 1));
    }
}

emk_status emk_fraud_trace(const emk_fraud_trace_options *o, emk_buf *events, emk_buf *labels,
                           emk_error *e)
{
    trace t = {.o = o, .random = o->seed, .labels = labels, .e = e};

    if (o->users > EMK_FRAUD_TRACE_USERS_MAX || o->days < 4 || o->days > EMK_FRAUD_TRACE_DAYS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "trace: users, or days not 4 to 90", o->days);
    emk_buf_init(&t.lines, EMK_FRAUD_TRACE_LEN_MAX);
    emk_buf_init(&t.index, EMK_FRAUD_TRACE_LEN_MAX);
    trace_benign(&t);
    if (o->sets & EMK_FRAUD_TRACE_DEVELOP)
        run_attacks(&t, TRACE_DEVELOP);
    if (o->sets & EMK_FRAUD_TRACE_DEVELOP)
        run_attacks(&t, TRACE_KNOWN);
    if (o->sets & EMK_FRAUD_TRACE_HELD_OUT)
        run_attacks(&t, TRACE_HELD_OUT);
    if (o->sets & EMK_FRAUD_TRACE_BLIND)
        run_attacks(&t, TRACE_BLIND);
    if (o->sets & EMK_FRAUD_TRACE_BLIND2)
        run_attacks(&t, TRACE_BLIND2);
    write_sorted(&t, events);
    emk_buf_done(&t.lines);
    emk_buf_done(&t.index);
    return t.status;
}
