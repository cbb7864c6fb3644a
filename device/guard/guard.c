/* The guard's state: its rules, what was found so far, the transcript, and the thread that looks
 * at random times.  One lock holds all of it; detectors run under it, one at a time. */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "device/guard/internal.h"
#include "device/guard/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Time on the CPU after which a look is cut; what looks take on an honest machine is measured by
 * bench/group_guard.c, and is a small part of it. */
#define ROUND_MAX_NS 25000000u
#define PROBE_MAX_NS 5000000u
/* A beat is 375 to 625 ms; eight detectors take turns, so each looks within five seconds. */
#define BEAT_NS        600000000u
#define EVENT_PAUSE_NS 20000000u /* after an event: somebody may make thousands */
/* Who has read the map attaches next, perhaps for milliseconds: so the tracer is looked for much
 * more often for a while, and not more often than once in that while. */
#define ALERT_BEAT_NS 4000000u
#define ALERT_NS      1000000000u
#define CALM_NS       5000000000u
#define NS_IN_S       1000000000u
#define N_SEEN_MAX    65535u

static const char transcript_label[] = "earmark guard transcript 1";

#define DETECTORS_MAX 32u
/* Their places in each system's table: the thread looks with them most. */
#define TRACER 0u
#define MEMORY 1u

typedef struct listener {
    void (*fn)(void *self);
    void *self;
} listener;

struct emk_guard {
    const emk_crypto *crypto;
    emk_guard_rules rules;
    emk_guard_platform platform;
    emk_guard_memory memory;
    emk_lock *lock;
    emk_guard_finding findings[EMK_GUARD_SIGNALS]; /* by signal; n_seen 0: none */
    uint32_t n_looks;
    uint8_t transcript[EMK_GUARD_HASH_LEN];
    emk_thread *thread;
    bool ending;
    uint8_t deck[DETECTORS_MAX]; /* detectors of probes, in the order they come */
    size_t n_deck;               /* left of them */
    emk_guard_events events;
    uint64_t calm_until_ns; /* the thread's: no new alert before */
    emk_lock *tell_lock;    /* held while listeners are called, never inside `lock` */
    listener listeners[EMK_GUARD_LISTENERS_MAX];
};

/* Copies names; EMK_E_LIMIT for too many or too long. */
typedef struct names {
    char (*to)[EMK_GUARD_NAME_MAX];
    size_t max;
} names;

static emk_status copy_names(names into, const char *const *from, size_t n, size_t *n_out,
                             emk_error *e)
{
    if (n > into.max)
        return emk_fail(e, EMK_E_LIMIT, "guard: too many names", n);
    for (size_t i = 0; i < n; i++) {
        const size_t len = from[i] ? strlen(from[i]) : 0;

        if (len == 0 || len >= EMK_GUARD_NAME_MAX)
            return emk_fail(e, EMK_E_LIMIT, "guard: a name's length", len);
        memcpy(into.to[i], from[i], len + 1);
    }
    *n_out = n;
    return EMK_OK;
}

static emk_status copy_rules(emk_guard_rules *r, const emk_guard_config *config, emk_error *e)
{
    emk_status st;

    r->level = config->level;
    r->development = config->development;
    r->has_signer = config->signer != NULL;
    if (config->signer)
        memcpy(r->signer, config->signer, sizeof r->signer);
    memcpy(r->overrides, config->overrides, sizeof r->overrides);
    st = copy_names((names){r->installers, EMK_GUARD_INSTALLERS_MAX}, config->installers,
                    config->n_installers, &r->n_installers, e);
    if (st == EMK_OK)
        st = copy_names((names){r->allowed, EMK_GUARD_ALLOWED_MAX}, config->allowed,
                        config->n_allowed, &r->n_allowed, e);
    if (st == EMK_OK)
        st = copy_names((names){r->engines, EMK_GUARD_MODULES_MAX}, config->engines,
                        config->n_engines, &r->n_engines, e);
    return st;
}

static emk_status check_config(const emk_guard_config *config, emk_error *e)
{
    if (!config || !config->crypto)
        return emk_fail(e, EMK_E_USAGE, "guard: no crypto", 0);
    if ((unsigned)config->level > EMK_GUARD_STRICT)
        return emk_fail(e, EMK_E_USAGE, "guard: level", (uint64_t)config->level);
    if (config->platform.ops && config->platform.ops->size < sizeof *config->platform.ops)
        return emk_fail(e, EMK_E_USAGE, "guard: the platform's table is too small",
                        config->platform.ops->size);
    for (size_t i = 0; i < EMK_GUARD_SIGNALS; i++) {
        if (config->overrides[i] > EMK_GUARD_DO_WIPE)
            return emk_fail(e, EMK_E_USAGE, "guard: override", config->overrides[i]);
    }
    return EMK_OK;
}

static emk_status advance(emk_guard *g, emk_span with, emk_error *e)
{
    const emk_span parts[] = {emk_span_of(transcript_label, sizeof transcript_label),
                              emk_span_of(g->transcript, sizeof g->transcript), with};

    return emk_sha256(g->crypto, parts, sizeof parts / sizeof parts[0], g->transcript, e);
}

/* One look's result goes into the findings and the transcript.  True when it saw something. */
static bool take_in(emk_guard *g, uint8_t detector, const emk_guard_look *l)
{
    bool saw = false;
    const uint64_t s = (emk_env_boot_ns() - g->memory.boot_ns) / NS_IN_S;
    uint8_t step[5 + EMK_GUARD_SIGNALS];

    emk_store_u32be(step, g->n_looks++);
    step[4] = detector;
    memcpy(step + 5, l->seen, EMK_GUARD_SIGNALS);
    /* Without a transcript that fits the server does not believe us: failing here is failing. */
    if (advance(g, emk_span_of(step, sizeof step), NULL) != EMK_OK)
        memset(g->transcript, 0, sizeof g->transcript);
    for (unsigned i = 0; i < EMK_GUARD_SIGNALS; i++) {
        emk_guard_finding *f = &g->findings[i];

        if (l->seen[i] == 0)
            continue;
        saw = true;
        if (f->n_seen == 0)
            *f = (emk_guard_finding){.signal = (emk_guard_signal)i, .first_s = s};
        if (l->seen[i] > (uint8_t)f->confidence) {
            f->confidence = (emk_guard_confidence)l->seen[i];
            memcpy(f->detail, l->details[i], sizeof f->detail);
        }
        f->last_s = s;
        if (f->n_seen < N_SEEN_MAX)
            f->n_seen++;
    }
    return saw;
}

static uint64_t random_number(const emk_guard *g)
{
    uint8_t bytes[8] = {0};

    /* Without it the choice is predictable, not wrong. */
    if (emk_random_public(g->crypto, bytes, sizeof bytes, NULL) != EMK_OK)
        return emk_os_monotonic_ns();
    return emk_load_u64be(bytes);
}

static bool look_with(emk_guard *g, size_t detector, bool whole, uint64_t deadline_ns)
{
    emk_guard_look l = {
        .env = {.deadline_ns = deadline_ns},
        .crypto = g->crypto,
        .rules = &g->rules,
        .platform = &g->platform,
        .whole = whole,
        .random = random_number(g),
        .memory = &g->memory,
    };

    emk_detectors[detector]->look(&l);
    return take_in(g, (uint8_t)detector, &l);
}

static void tell(emk_guard *g)
{
    emk_lock_take(g->tell_lock);
    for (size_t i = 0; i < EMK_GUARD_LISTENERS_MAX; i++) {
        if (g->listeners[i].fn)
            g->listeners[i].fn(g->listeners[i].self);
    }
    emk_lock_give(g->tell_lock);
}

emk_status emk_guard_tell(emk_guard *g, void (*fn)(void *self), void *self, emk_error *e)
{
    emk_status st = EMK_E_LIMIT;

    emk_lock_take(g->tell_lock);
    for (size_t i = 0; i < EMK_GUARD_LISTENERS_MAX && st != EMK_OK; i++) {
        if (g->listeners[i].fn)
            continue;
        g->listeners[i] = (listener){fn, self};
        st = EMK_OK;
    }
    emk_lock_give(g->tell_lock);
    if (st != EMK_OK)
        return emk_fail(e, st, "guard: too many listeners", EMK_GUARD_LISTENERS_MAX);
    return EMK_OK;
}

void emk_guard_untell(emk_guard *g, void *self)
{
    emk_lock_take(g->tell_lock);
    for (size_t i = 0; i < EMK_GUARD_LISTENERS_MAX; i++) {
        if (g->listeners[i].self == self)
            g->listeners[i] = (listener){NULL, NULL};
    }
    emk_lock_give(g->tell_lock);
}

void emk_guard_round(emk_guard *g)
{
    bool saw = false;

    if (g->rules.level == EMK_GUARD_OFF)
        return;
    emk_lock_take(g->lock);
    for (size_t i = 0; i < emk_n_detectors; i++)
        saw = look_with(g, i, true, emk_env_cpu_ns() + ROUND_MAX_NS) || saw;
    emk_lock_give(g->lock);
    if (saw)
        tell(g);
}

/* All detectors but the slow ones, and the two that the thread looks with more often anyway,
 * shuffled: nobody knows which comes next, and none is missing for long. */
static void deal(emk_guard *g)
{
    g->n_deck = 0;
    for (size_t i = 0; i < emk_n_detectors && i < DETECTORS_MAX; i++) {
        if (!emk_detectors[i]->slow && i != TRACER && i != MEMORY)
            g->deck[g->n_deck++] = (uint8_t)i;
    }
    for (size_t i = g->n_deck; i > 1; i--) {
        const size_t j = (size_t)(random_number(g) % i);
        const uint8_t held = g->deck[i - 1];

        g->deck[i - 1] = g->deck[j];
        g->deck[j] = held;
    }
}

static bool probe(emk_guard *g, size_t detector)
{
    bool saw;

    emk_lock_take(g->lock);
    saw = look_with(g, detector, false, emk_env_cpu_ns() + PROBE_MAX_NS);
    emk_lock_give(g->lock);
    return saw;
}

void emk_guard_probe(emk_guard *g)
{
    size_t next;

    if (g->rules.level == EMK_GUARD_OFF)
        return;
    emk_lock_take(g->lock);
    if (g->n_deck == 0)
        deal(g);
    next = g->deck[--g->n_deck];
    emk_lock_give(g->lock);
    if (probe(g, next))
        tell(g);
}

emk_status emk_guard_new(const emk_guard_config *config, emk_guard **out, emk_error *e)
{
    emk_status st = check_config(config, e);
    emk_guard *g;

    if (st != EMK_OK)
        return st;
    g = emk_alloc(1, sizeof *g);
    if (!g)
        return emk_fail(e, EMK_E_NO_MEMORY, "guard: memory", sizeof *g);
    g->crypto = config->crypto;
    g->platform = config->platform;
    g->memory.wall_s = emk_os_now_s();
    g->memory.boot_ns = emk_env_boot_ns();
    g->events = (emk_guard_events){.watch = -1, .wake = -1};
    st = copy_rules(&g->rules, config, e);
    if (st == EMK_OK)
        st = emk_lock_new(&g->lock, e);
    if (st == EMK_OK)
        st = emk_lock_new(&g->tell_lock, e);
    if (st == EMK_OK)
        st = emk_random_public(g->crypto, g->transcript, sizeof g->transcript, e);
    if (st != EMK_OK) {
        emk_guard_free(g);
        return st;
    }
    if (g->rules.level != EMK_GUARD_OFF) {
        emk_guard_events_init(&g->events);
        g->memory.events = &g->events;
        emk_guard_decoys_init(&g->memory.decoys);
    }
    emk_guard_round(g);
    *out = g;
    return EMK_OK;
}

static bool is_ending(emk_guard *g)
{
    bool ending;

    emk_lock_take(g->lock);
    ending = g->ending;
    emk_lock_give(g->lock);
    return ending;
}

static void alert(emk_guard *g)
{
    const uint64_t start = emk_os_monotonic_ns();

    if (start < g->calm_until_ns)
        return;
    g->calm_until_ns = start + CALM_NS;
    while (emk_os_monotonic_ns() < start + ALERT_NS && !is_ending(g)) {
        if (probe(g, TRACER)) {
            tell(g);
            return;
        }
        if (probe(g, MEMORY))
            tell(g);
        (void)emk_guard_events_pause(&g->events, ALERT_BEAT_NS);
    }
}

/* One pause, and what happens in it: events are looked at when they come. */
static void watch_events(emk_guard *g, uint64_t until_ns)
{
    uint64_t now = emk_os_monotonic_ns();

    while (now < until_ns && !is_ending(g)) {
        if (emk_guard_events_wait(&g->events, until_ns - now) && !is_ending(g)) {
            /* Told before anything else is looked at: the reader is at it. */
            if (probe(g, MEMORY)) {
                tell(g);
                alert(g);
            }
            (void)emk_guard_events_pause(&g->events, EVENT_PAUSE_NS);
        }
        now = emk_os_monotonic_ns();
    }
}

static void watch(void *self)
{
    emk_guard *g = self;

    while (!is_ending(g)) {
        uint64_t pause;

        emk_lock_take(g->lock);
        /* Nobody can wait for the moment between two. */
        pause = BEAT_NS * 3 / 4 + random_number(g) % (BEAT_NS / 2);
        emk_lock_give(g->lock);
        watch_events(g, emk_os_monotonic_ns() + pause);
        if (is_ending(g))
            break;
        emk_guard_probe(g);
        if (probe(g, TRACER))
            tell(g);
        if (probe(g, MEMORY)) /* not every reader causes an event */
            tell(g);
    }
}

emk_status emk_guard_start(emk_guard *g, emk_error *e)
{
    if (g->thread || g->rules.level == EMK_GUARD_OFF)
        return EMK_OK;
    if (!emk_guard_events_can_wait(&g->events))
        return emk_fail(e, EMK_E_NO_MEMORY, "guard: nothing to wait with", 0);
    return emk_thread_start(watch, g, &g->thread, e);
}

void emk_guard_free(emk_guard *g)
{
    if (!g)
        return;
    if (g->thread) {
        emk_lock_take(g->lock);
        g->ending = true;
        emk_lock_give(g->lock);
        emk_guard_events_wake(&g->events);
        emk_thread_join(g->thread);
    }
    emk_guard_events_done(&g->events);
    emk_guard_decoys_done(&g->memory.decoys);
    emk_lock_free(g->tell_lock);
    emk_lock_free(g->lock);
    emk_free(g);
}

/* The findings there are, one after the other. */
static size_t gather(const emk_guard *g, emk_guard_finding out[EMK_GUARD_SIGNALS])
{
    size_t n = 0;

    for (unsigned i = 0; i < EMK_GUARD_SIGNALS; i++) {
        if (g->findings[i].n_seen > 0)
            out[n++] = g->findings[i];
    }
    return n;
}

void emk_guard_report_get(emk_guard *g, emk_guard_report *out)
{
    *out = (emk_guard_report){.level = g->rules.level};
    emk_lock_take(g->lock);
    out->n_looks = g->n_looks;
    out->n_findings = (uint32_t)gather(g, out->findings);
    memcpy(out->transcript, g->transcript, sizeof out->transcript);
    memcpy(out->measurement, g->memory.measurement, sizeof out->measurement);
    emk_lock_give(g->lock);
    out->action =
        emk_guard_judge_findings(out->findings, out->n_findings, out->level, g->rules.overrides);
}

emk_guard_level emk_guard_level_of(const emk_guard *g)
{
    return g->rules.level;
}

emk_guard_action emk_guard_judge_why(emk_guard *g, emk_guard_level at_least, emk_guard_signal *why)
{
    const emk_guard_level level = at_least > g->rules.level ? at_least : g->rules.level;
    emk_guard_finding findings[EMK_GUARD_SIGNALS];
    size_t n;

    emk_lock_take(g->lock);
    n = gather(g, findings);
    emk_lock_give(g->lock);
    if (n)
        *why = emk_guard_worst(findings, n, g->rules.overrides);
    return emk_guard_judge_findings(findings, n, level, g->rules.overrides);
}

emk_guard_action emk_guard_judge(emk_guard *g, emk_guard_level at_least)
{
    emk_guard_signal ignored;

    return emk_guard_judge_why(g, at_least, &ignored);
}

emk_status emk_guard_binding(emk_guard *g, emk_guard_level level, uint8_t out[EMK_GUARD_HASH_LEN],
                             emk_error *e)
{
    uint8_t measurement[EMK_GUARD_HASH_LEN];
    emk_guard_finding findings[EMK_GUARD_SIGNALS];
    emk_guard_state s = {findings, 0, g->rules.overrides, measurement};

    emk_lock_take(g->lock);
    s.n = gather(g, findings);
    memcpy(measurement, g->memory.measurement, sizeof measurement);
    emk_lock_give(g->lock);
    return emk_guard_bind_to(g->crypto, &s, level, out, e);
}

emk_status emk_guard_bind(emk_guard *g, emk_span nonce, emk_error *e)
{
    emk_status st;

    if (nonce.len > EMK_GUARD_NONCE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "guard: nonce", nonce.len);
    emk_lock_take(g->lock);
    st = advance(g, nonce, e);
    emk_lock_give(g->lock);
    return st;
}
