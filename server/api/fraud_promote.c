/* Promotion of the draft and the way back.  Both go by the file: it is replaced first, then read
 * again, so that a restart at any moment finds one set or the other, whole. */
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "server/api/fraud_engine_internal.h"

#include <stdio.h>
#include <string.h>

#define HASH_LEN  ((size_t)32)
#define PAST_LINE (2 * HASH_LEN + 1)
#define PAST_LEN  (4 * PAST_LINE)
#define PAST_OLD  (3 * PAST_LINE) /* before `coming` was there */

static const uint8_t NONE[HASH_LEN];

static bool is_none(const uint8_t hash[HASH_LEN])
{
    return memcmp(hash, NONE, HASH_LEN) == 0;
}

/* ---- who decided ---- */

bool emk_fraud_is_unpromoted(const emk_fraud_host *h, const emk_fraud_ruleset *rs)
{
    const uint8_t *hash = emk_fraud_ruleset_hash(rs);

    return h->rules_file && h->doing == EMK_FRAUD_RULES_LOAD && !is_none(h->past.live) &&
           memcmp(hash, h->past.live, HASH_LEN) != 0 && memcmp(hash, h->past.coming, HASH_LEN) != 0;
}

bool emk_fraud_is_barred(const emk_fraud_host *h, const emk_fraud_ruleset *rs)
{
    return memcmp(emk_fraud_ruleset_hash(rs), h->past.barred, HASH_LEN) == 0;
}

static bool read_hash(const uint8_t *text, uint8_t out[HASH_LEN])
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = 0; i < 2 * HASH_LEN; i++) {
        const char *digit = memchr(DIGITS, text[i], sizeof DIGITS - 1);

        if (!digit)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (uint8_t)(digit - DIGITS));
    }
    return text[2 * HASH_LEN] == '\n';
}

emk_status emk_fraud_past_read(emk_fraud_host *h, emk_error *e)
{
    emk_fraud_past past = {.live = {0}};
    emk_buf text;
    emk_status st;

    if (!emk_os_exists(h->past_file))
        return EMK_OK;
    emk_buf_init(&text, PAST_LEN);
    st = emk_os_read_file(h->past_file, PAST_LEN, &text, e);
    /* A damaged one costs a rollback, not the start. */
    if (st == EMK_OK && (text.len == PAST_LEN || text.len == PAST_OLD) &&
        read_hash(text.p, past.live) && read_hash(text.p + PAST_LINE, past.before) &&
        read_hash(text.p + 2 * PAST_LINE, past.barred) &&
        (text.len == PAST_OLD || read_hash(text.p + PAST_OLD, past.coming)))
        h->past = past;
    emk_buf_done(&text);
    return st == EMK_E_LIMIT ? EMK_OK : st;
}

static void write_hash(const uint8_t hash[HASH_LEN], char out[PAST_LINE + 1])
{
    for (size_t i = 0; i < HASH_LEN; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    memcpy(out + 2 * HASH_LEN, "\n", 2);
}

static emk_status past_write(const emk_fraud_host *h, emk_error *e)
{
    char text[PAST_LEN + 1];

    write_hash(h->past.live, text);
    write_hash(h->past.before, text + PAST_LINE);
    write_hash(h->past.barred, text + 2 * PAST_LINE);
    write_hash(h->past.coming, text + PAST_OLD);
    return emk_os_write_file(h->past_file, emk_span_of(text, PAST_LEN), e);
}

emk_status emk_fraud_past_move(emk_fraud_host *h, emk_error *e)
{
    const uint8_t *now = emk_fraud_ruleset_hash(h->live.rules);
    emk_fraud_past was = h->past;

    memset(h->past.coming, 0, HASH_LEN);
    if (memcmp(now, was.live, HASH_LEN) != 0) {
        /* What was rolled back is not gone back to by a rollback. */
        if (memcmp(was.live, was.barred, HASH_LEN) == 0)
            memset(h->past.before, 0, HASH_LEN);
        else
            memcpy(h->past.before, was.live, HASH_LEN);
        memcpy(h->past.live, now, HASH_LEN);
    }
    /* Somebody put it back by hand, and may want it; or a rollback was cut short before it began.
     */
    if (memcmp(now, was.barred, HASH_LEN) == 0)
        memset(h->past.barred, 0, HASH_LEN);
    return memcmp(&was, &h->past, sizeof was) == 0 ? EMK_OK : past_write(h, e);
}

/* ---- whether it may ---- */

/* The draft's file as it is now. */
static emk_status look_at_file(const emk_fraud_host *h, emk_fraud_facts *facts, emk_error *e)
{
    emk_yaml_diag d = {.line = 0};
    emk_fraud_ruleset *rs = NULL;
    emk_error why;
    emk_buf text;
    emk_status st;

    (void)e;
    emk_buf_init(&text, EMK_FRAUD_RULES_LEN);
    st = emk_os_read_file(h->draft_file, EMK_FRAUD_RULES_LEN, &text, &why);
    if (st == EMK_OK)
        st = emk_fraud_ruleset_new(h->crypto, h->draft_file, emk_buf_span(&text), &rs, &d, &why);
    emk_buf_done(&text);
    facts->sound = st == EMK_OK;
    facts->unchanged =
        st == EMK_OK &&
        memcmp(emk_fraud_ruleset_hash(rs), emk_fraud_ruleset_hash(h->draft.rules), HASH_LEN) == 0;
    emk_fraud_ruleset_free(rs);
    return st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO ? st : EMK_OK;
}

static uint64_t count_demoted(const emk_fraud_seat *s)
{
    emk_fraud_rule_stats stats;
    uint64_t n = 0;

    for (size_t i = 0; i < emk_fraud_ruleset_rules(s->rules); i++) {
        emk_fraud_engine_rule(s->engine, i, &stats);
        n += stats.demoted;
    }
    return n;
}

/* `lock` is held. */
static void gather(emk_fraud_host *h, emk_fraud_facts *facts, emk_fraud_host_rules *out)
{
    emk_fraud_stats live, draft;

    emk_fraud_engine_stats(h->live.engine, &live);
    emk_fraud_engine_stats(h->draft.engine, &draft);
    facts->breaker = live.breaker || draft.breaker;
    facts->user_days = draft.user_days;
    facts->demoted = count_demoted(&h->draft);
    out->decisions = h->shadow->decisions;
    out->harder = h->shadow->harder;
    out->milder = h->shadow->milder;
    if (!emk_fraud_denies_more(h->live.rules, h->draft.rules, out->second, sizeof out->second) &&
        h->shadow->worst >= EMK_FRAUD_DENY)
        snprintf(out->second, sizeof out->second, "%s",
                 "running beside, it denied users whom the set that decides does not");
    snprintf(out->draft, sizeof out->draft, "%s", emk_fraud_ruleset_label(h->draft.rules));
    memcpy(out->draft_hash, emk_fraud_ruleset_hash(h->draft.rules), HASH_LEN);
    emk_fraud_ready(h->shadow, facts, &h->needs, &out->readiness);
}

/* `files` is held. */
static emk_status rules_of(emk_fraud_host *h, emk_fraud_host_rules *out, emk_error *e)
{
    emk_fraud_facts facts = {.user_days = 0};
    emk_status st = EMK_OK;

    memset(out, 0, sizeof *out);
    if (h->draft.rules)
        st = look_at_file(h, &facts, e);
    if (st != EMK_OK)
        return st;
    memcpy(out->before, h->past.before, HASH_LEN);
    out->has_file = h->rules_file != NULL;
    out->fixed = h->fixed;
    snprintf(out->live, sizeof out->live, "%s", emk_fraud_ruleset_label(h->live.rules));
    if (!h->draft.rules)
        return EMK_OK;
    emk_lock_take(h->lock);
    gather(h, &facts, out);
    emk_lock_give(h->lock);
    return EMK_OK;
}

emk_status emk_fraud_host_rules_of(emk_fraud_host *h, emk_fraud_host_rules *out, emk_error *e)
{
    emk_status st;

    emk_lock_take(h->files);
    st = rules_of(h, out, e);
    emk_lock_give(h->files);
    return st;
}

/* ---- doing it ---- */

static emk_status write_rules(const emk_fraud_host *h, const uint8_t hash[HASH_LEN], emk_error *e)
{
    emk_buf text;
    emk_status st;

    emk_buf_init(&text, EMK_FRAUD_RULES_LEN);
    st = emk_fraud_archive_text(h->crypto, h->dir, hash, &text, e);
    if (st == EMK_OK)
        st = emk_os_write_file(h->rules_file, emk_buf_span(&text), e);
    emk_buf_done(&text);
    return st;
}

/* The set that was kept under hash becomes the file of rules, and decides. */
static emk_status install(emk_fraud_host *h, const uint8_t hash[HASH_LEN], emk_fraud_change what,
                          emk_yaml_diag *d, emk_error *e)
{
    uint8_t was[HASH_LEN];
    emk_error ignored;
    emk_status st;

    memcpy(was, emk_fraud_ruleset_hash(h->live.rules), HASH_LEN);
    /* Said first: a start in between takes the file for what it is. */
    memcpy(h->past.coming, hash, HASH_LEN);
    st = past_write(h, e);
    if (st == EMK_OK)
        st = write_rules(h, hash, e);
    if (st != EMK_OK)
        return st;
    h->doing = what;
    st = emk_fraud_host_reload_held(h, d, e);
    h->doing = EMK_FRAUD_RULES_LOAD;
    /* The file must not say what a reload later on would bring unasked. */
    if (st != EMK_OK && memcmp(was, emk_fraud_ruleset_hash(h->live.rules), HASH_LEN) == 0 &&
        write_rules(h, was, &ignored) != EMK_OK)
        return st;
    return st;
}

static emk_status promote(emk_fraud_host *h, const uint8_t hash[HASH_LEN], bool force,
                          emk_yaml_diag *d, emk_error *e)
{
    emk_fraud_host_rules r;
    emk_status st = rules_of(h, &r, e);

    if (st != EMK_OK)
        return st;
    if (!r.draft[0] || !r.has_file || r.fixed)
        return emk_fail(e, EMK_E_NOT_FOUND, "fraud: no draft, or no file of rules", 0);
    if (memcmp(r.draft_hash, hash, HASH_LEN) != 0)
        return emk_fail(e, EMK_E_STALE, "fraud: another draft runs by now", 0);
    if (!force && !r.readiness.ready)
        return emk_fail(e, EMK_E_POLICY, "fraud: the draft's numbers do not suffice", 0);
    return install(h, r.draft_hash, EMK_FRAUD_RULES_PROMOTE, d, e);
}

emk_status emk_fraud_host_promote(emk_fraud_host *h, const uint8_t hash[32], bool force,
                                  emk_yaml_diag *d, emk_error *e)
{
    emk_status st;

    emk_lock_take(h->files);
    st = promote(h, hash, force, d, e);
    emk_lock_give(h->files);
    return st;
}

/* What is rolled back is barred first: a restart in between must not run it as the draft. */
static emk_status rollback(emk_fraud_host *h, const uint8_t hash[HASH_LEN], emk_yaml_diag *d,
                           emk_error *e)
{
    emk_fraud_past was = h->past;
    uint8_t to[HASH_LEN];
    emk_error ignored;
    emk_status st;

    memcpy(to, h->past.before, HASH_LEN);
    if (is_none(to) || !h->rules_file || h->fixed)
        return emk_fail(e, EMK_E_NOT_FOUND, "fraud: no set before, or no file of rules", 0);
    if (memcmp(to, hash, HASH_LEN) != 0)
        return emk_fail(e, EMK_E_STALE, "fraud: another set was before by now", 0);
    memcpy(h->past.barred, h->past.live, HASH_LEN);
    st = past_write(h, e);
    if (st == EMK_OK)
        st = install(h, to, EMK_FRAUD_RULES_ROLLBACK, d, e);
    if (st != EMK_OK && memcmp(h->past.live, was.live, HASH_LEN) == 0) {
        h->past = was;
        if (past_write(h, &ignored) != EMK_OK)
            return st; /* the next start forgets it */
    }
    return st;
}

emk_status emk_fraud_host_rollback(emk_fraud_host *h, const uint8_t hash[32], emk_yaml_diag *d,
                                   emk_error *e)
{
    emk_status st;

    emk_lock_take(h->files);
    st = rollback(h, hash, d, e);
    emk_lock_give(h->files);
    return st;
}
