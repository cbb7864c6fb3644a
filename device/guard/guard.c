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
#define ROUND_MAX_NS   25000000u
#define PROBE_MAX_NS   5000000u
#define PROBE_EVERY_NS 2000000000u /* on average */
#define NS_IN_S        1000000000u
#define N_SEEN_MAX     65535u

static const char transcript_label[] = "earmark guard transcript 1";

const emk_detector *const emk_detectors[] = {
    &emk_detect_tracer, &emk_detect_stepping, &emk_detect_preload, &emk_detect_calls,
    &emk_detect_code,   &emk_detect_clock,    &emk_detect_package, &emk_detect_screen,
    &emk_detect_root,   &emk_detect_threads,  &emk_detect_pipes,   &emk_detect_maps,
    &emk_detect_port,   &emk_detect_emulator,
};
const size_t emk_n_detectors = sizeof emk_detectors / sizeof emk_detectors[0];

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

/* One look's result goes into the findings and the transcript. */
static void take_in(emk_guard *g, uint8_t detector, const emk_guard_look *l)
{
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
}

static uint64_t random_number(const emk_guard *g)
{
    uint8_t bytes[8] = {0};

    /* Without it the choice is predictable, not wrong. */
    if (emk_random_public(g->crypto, bytes, sizeof bytes, NULL) != EMK_OK)
        return emk_os_monotonic_ns();
    return emk_load_u64be(bytes);
}

static void look_with(emk_guard *g, size_t detector, bool whole, uint64_t deadline_ns)
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
    take_in(g, (uint8_t)detector, &l);
}

void emk_guard_round(emk_guard *g)
{
    if (g->rules.level == EMK_GUARD_OFF)
        return;
    emk_lock_take(g->lock);
    for (size_t i = 0; i < emk_n_detectors; i++)
        look_with(g, i, true, emk_env_cpu_ns() + ROUND_MAX_NS);
    emk_lock_give(g->lock);
}

void emk_guard_probe(emk_guard *g)
{
    size_t i;

    if (g->rules.level == EMK_GUARD_OFF)
        return;
    emk_lock_take(g->lock);
    do
        i = (size_t)(random_number(g) % emk_n_detectors);
    while (emk_detectors[i]->slow);
    look_with(g, i, false, emk_env_cpu_ns() + PROBE_MAX_NS);
    emk_lock_give(g->lock);
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
    st = copy_rules(&g->rules, config, e);
    if (st == EMK_OK)
        st = emk_lock_new(&g->lock, e);
    if (st == EMK_OK)
        st = emk_random_public(g->crypto, g->transcript, sizeof g->transcript, e);
    if (st != EMK_OK) {
        emk_guard_free(g);
        return st;
    }
    emk_guard_round(g);
    *out = g;
    return EMK_OK;
}

static void watch(void *self)
{
    emk_guard *g = self;

    emk_lock_take(g->lock);
    while (!g->ending) {
        /* Half to one and a half times the average: nobody can wait for the moment between. */
        const uint64_t pause = PROBE_EVERY_NS / 2 + random_number(g) % PROBE_EVERY_NS;

        if (emk_lock_wait_for(g->lock, pause))
            continue;
        emk_lock_give(g->lock);
        emk_guard_probe(g);
        emk_lock_take(g->lock);
    }
    emk_lock_give(g->lock);
}

emk_status emk_guard_start(emk_guard *g, emk_error *e)
{
    if (g->thread || g->rules.level == EMK_GUARD_OFF)
        return EMK_OK;
    return emk_thread_start(watch, g, &g->thread, e);
}

void emk_guard_free(emk_guard *g)
{
    if (!g)
        return;
    if (g->thread) {
        emk_lock_take(g->lock);
        g->ending = true;
        emk_lock_wake_all(g->lock);
        emk_lock_give(g->lock);
        emk_thread_join(g->thread);
    }
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

emk_guard_action emk_guard_judge(emk_guard *g, emk_guard_level at_least)
{
    const emk_guard_level level = at_least > g->rules.level ? at_least : g->rules.level;
    emk_guard_finding findings[EMK_GUARD_SIGNALS];
    size_t n;

    emk_lock_take(g->lock);
    n = gather(g, findings);
    emk_lock_give(g->lock);
    return emk_guard_judge_findings(findings, n, level, g->rules.overrides);
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
