#include "server/api/fraud_engine.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/crypto/hash.h"
#include "server/api/fraud_engine_internal.h"
#include "server/fraud/score.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS_DEFAULT 65536u
#define PIECE_DEFAULT (UINT64_C(64) << 20)
#define KEEP_DEFAULT  8u
#define EVENT_ID_CAP  (EMK_FRAUD_ID_MAX + 1)

typedef emk_fraud_seat seat;

/* ---- seats ---- */

static void seat_done(seat *s)
{
    emk_fraud_engine_free(s->engine);
    emk_fraud_ruleset_free(s->rules);
    *s = (seat){NULL, NULL};
}

static emk_status read_rules(emk_fraud_host *h, const char *file, emk_fraud_ruleset **out,
                             emk_yaml_diag *d, emk_error *e)
{
    emk_buf text;
    emk_status st = EMK_OK;

    emk_buf_init(&text, EMK_FRAUD_RULES_LEN);
    if (file)
        st = emk_os_read_file(file, EMK_FRAUD_RULES_LEN, &text, e);
    else
        st = emk_buf_append(&text, emk_fraud_base_rules(), e);
    if (st == EMK_OK)
        st = emk_fraud_ruleset_new(h->crypto, file ? file : "rules/base.yaml", emk_buf_span(&text),
                                   out, d, e);
    /* Kept before it decides anything, so that the log can be understood later. */
    if (st == EMK_OK)
        st = emk_fraud_archive_put(h->dir, *out, emk_buf_span(&text), e);
    emk_buf_done(&text);
    return st;
}

static emk_status seat_new(emk_fraud_host *h, const char *file, seat *out, emk_yaml_diag *d,
                           emk_error *e)
{
    emk_status st = read_rules(h, file, &out->rules, d, e);

    if (st == EMK_OK)
        st = emk_fraud_engine_new(h->crypto, out->rules, &h->options, &out->engine, e);
    if (st != EMK_OK)
        seat_done(out);
    return st;
}

typedef struct warming {
    emk_fraud_engine *engine;
    emk_fraud_host *watch; /* whose shadow counts; NULL: none does */
} warming;

/* A line that this version cannot read is as if it had never been: it was counted when it came. */
static emk_status take_line(void *self, emk_span line, uint64_t end, emk_error *e)
{
    const warming *w = self;
    emk_fraud_decision dec;
    emk_fraud_event ev;
    emk_status st = emk_fraud_event_read(line, &ev, e);

    (void)end;
    if (st != EMK_OK)
        return st == EMK_E_NO_MEMORY ? st : EMK_OK;
    st = emk_fraud_decide(w->engine, &ev, &dec, e);
    if (st == EMK_OK && w->watch)
        emk_fraud_shadow_note(w->watch->shadow, w->watch->draft.rules, &ev, &dec);
    return st == EMK_E_USED || st == EMK_E_STALE ? EMK_OK : st;
}

static emk_status warm(emk_fraud_host *h, emk_fraud_engine *en, uint64_t from, uint64_t to,
                       emk_error *e)
{
    warming w = {en, NULL};

    return emk_fraud_log_read(h->dir, from, to, take_line, &w, e);
}

/* ---- snapshots ---- */

typedef struct file_at {
    int fd;
    uint64_t at;
} file_at;

static emk_status put_file(void *self, emk_span s, emk_error *e)
{
    file_at *f = self;
    emk_status st = emk_os_write_at(f->fd, f->at, s.p, s.len, e);

    f->at += s.len;
    return st;
}

static emk_status get_file(void *self, uint8_t *p, size_t len, emk_error *e)
{
    file_at *f = self;
    emk_status st = emk_os_read_at(f->fd, f->at, p, len, e);

    f->at += len;
    return st;
}

static emk_status digest_of(const emk_fraud_host *h, const emk_fraud_shadow *s, uint8_t out[32],
                            emk_error *e)
{
    emk_span bytes = emk_span_of(s, sizeof *s);

    return emk_sha256(h->crypto, &bytes, 1, out, e);
}

/* Behind the engine's state, so that both are of the same place in the log. */
static emk_status put_shadow(emk_fraud_host *h, file_at *f, emk_error *e)
{
    uint8_t digest[32];
    emk_status st = digest_of(h, h->shadow, digest, e);

    if (st == EMK_OK)
        st = put_file(f, emk_span_of(h->shadow, sizeof *h->shadow), e);
    return st == EMK_OK ? put_file(f, emk_span_of(digest, sizeof digest), e) : st;
}

/* What is not there, damaged, or of other sets begins anew. */
static bool get_shadow(emk_fraud_host *h, file_at *f)
{
    uint8_t digest[32], mine[32];
    emk_error ignored;

    return h->draft.rules &&
           get_file(f, (uint8_t *)h->shadow, sizeof *h->shadow, &ignored) == EMK_OK &&
           get_file(f, digest, sizeof digest, &ignored) == EMK_OK &&
           digest_of(h, h->shadow, mine, &ignored) == EMK_OK &&
           memcmp(mine, digest, sizeof mine) == 0 &&
           emk_fraud_shadow_is_of(h->shadow, h->live.rules, h->draft.rules);
}

static emk_status write_snapshot(emk_fraud_host *h, int fd, uint64_t *end, emk_error *e)
{
    file_at f = {fd, 0};
    emk_status st;

    emk_lock_take(h->lock);
    *end = emk_fraud_log_end(h->log);
    st = emk_fraud_snapshot(h->live.engine, *end, put_file, &f, e);
    if (st == EMK_OK && h->draft.rules)
        st = put_shadow(h, &f, e);
    /* A snapshot must not know more than the log that is on the disk. */
    if (st == EMK_OK)
        st = emk_fraud_log_sync(h->log, e);
    emk_lock_give(h->lock);
    return st;
}

/* `files` is held. */
static emk_status save(emk_fraud_host *h, emk_error *e)
{
    char name[EMK_FRAUD_PATH_CAP + 16];
    uint64_t end = 0;
    int fd = -1;
    emk_status st = emk_os_create_beside(h->snapshot, &fd, name, sizeof name, e);

    if (st != EMK_OK)
        return st;
    st = write_snapshot(h, fd, &end, e);
    if (st == EMK_OK)
        st = emk_os_sync(fd, e);
    emk_os_close(fd);
    if (st == EMK_OK)
        st = emk_os_replace(name, h->snapshot, e);
    if (st == EMK_OK) {
        h->saved = end;
    } else {
        emk_error ignored;

        if (emk_os_discard(name, &ignored) != EMK_OK)
            return st; /* it lies there until somebody tidies up */
    }
    return st;
}

/* EMK_OK: *from is where the log goes on.  Anything else: the engine must be made anew.  *seen:
 * the shadow's numbers are there too. */
static emk_status restore(emk_fraud_host *h, uint64_t *from, bool *seen, emk_error *e)
{
    file_at f = {-1, 0};
    emk_status st = emk_os_open_read(h->snapshot, &f.fd, e);

    if (st == EMK_OK)
        st = emk_fraud_restore(h->live.engine, get_file, &f, from, e);
    *seen = st == EMK_OK && get_shadow(h, &f);
    emk_os_close(f.fd);
    if (st == EMK_OK && *from > emk_fraud_log_end(h->log))
        return emk_fail(e, EMK_E_FORMAT, "fraud: the snapshot is ahead of the log", *from);
    return st;
}

static uint64_t user_days(const seat *s)
{
    emk_fraud_stats stats;

    emk_fraud_engine_stats(s->engine, &stats);
    return stats.user_days;
}

/* Where a draft begins to run beside. */
static void begin_shadow(emk_fraud_host *h)
{
    emk_fraud_attach_draft(h->live.engine, h->draft.engine);
    if (h->draft.rules)
        emk_fraud_shadow_begin(h->shadow, h->live.rules, h->draft.rules, user_days(&h->draft));
}

/* The rest of the log as it was decided: both sets side by side. */
static emk_status go_on(emk_fraud_host *h, uint64_t from, emk_error *e)
{
    warming w = {h->live.engine, h};
    emk_status st = warm(h, h->draft.engine, 0, from, e);

    emk_fraud_attach_draft(h->live.engine, h->draft.engine);
    if (st == EMK_OK)
        st = emk_fraud_log_read(h->dir, from, emk_fraud_log_end(h->log), take_line, &w, e);
    return st;
}

static emk_status start_over(emk_fraud_host *h, uint64_t from, emk_error *e)
{
    emk_status st = warm(h, h->live.engine, from, emk_fraud_log_end(h->log), e);

    if (st == EMK_OK && h->draft.engine)
        st = warm(h, h->draft.engine, 0, emk_fraud_log_end(h->log), e);
    begin_shadow(h);
    return st;
}

static emk_status wake(emk_fraud_host *h, emk_error *e)
{
    uint64_t from = 0;
    bool seen = false;
    emk_error why;

    if (restore(h, &from, &seen, &why) != EMK_OK) {
        emk_status st;

        seen = false;
        from = 0;
        emk_fraud_engine_free(h->live.engine);
        h->live.engine = NULL;
        st = emk_fraud_engine_new(h->crypto, h->live.rules, &h->options, &h->live.engine, e);
        if (st != EMK_OK)
            return st;
    }
    return seen ? go_on(h, from, e) : start_over(h, from, e);
}

/* ---- life ---- */

static void set_options(emk_fraud_host *h, uint32_t users)
{
    uint32_t n = users ? users : USERS_DEFAULT, quarter = n / 4 ? n / 4 : 1;

    emk_fraud_options_init(&h->options);
    h->options.max[EMK_FRAUD_USER] = h->options.max[EMK_FRAUD_DEVICE] = n;
    h->options.max[EMK_FRAUD_SESSION] = h->options.max[EMK_FRAUD_NET] = quarter;
    h->options.max[EMK_FRAUD_PAYMENT] = quarter;
}

static emk_status keep_text(const char *text, char **out, emk_error *e)
{
    *out = text ? emk_strdup(text) : NULL;
    return *out || !text ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory", 0);
}

static emk_status fill(const emk_fraud_host_config *c, emk_fraud_host *h, emk_error *e)
{
    emk_status st = keep_text(c->rules, &h->rules_file, e);

    h->crypto = c->crypto;
    h->news = c->news;
    h->news_self = c->news_self;
    h->now_ms = c->now_ms;
    h->now_self = c->now_self;
    h->pieces = c->pieces ? c->pieces : KEEP_DEFAULT;
    h->needs = c->needs;
    h->file = c->file;
    h->fixed = c->fixed;
    set_options(h, c->users);
    h->shadow = emk_alloc(1, sizeof *h->shadow);
    if (!h->shadow)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory", sizeof *h->shadow);
    if (strlen(c->dir) >= sizeof h->dir)
        return emk_fail(e, EMK_E_LIMIT, "fraud: path", strlen(c->dir));
    memcpy(h->dir, c->dir, strlen(c->dir) + 1);
    if (st == EMK_OK)
        st = keep_text(c->draft, &h->draft_file, e);
    if (st == EMK_OK)
        st = emk_os_join(h->snapshot, sizeof h->snapshot, h->dir, "snapshot", "", e);
    if (st == EMK_OK)
        st = emk_os_join(h->past_file, sizeof h->past_file, h->dir, "decided", "", e);
    if (st == EMK_OK)
        st = emk_lock_new(&h->lock, e);
    if (st == EMK_OK)
        st = emk_lock_new(&h->files, e);
    if (st == EMK_OK)
        st = emk_fraud_log_open(h->dir, c->piece_max ? c->piece_max : PIECE_DEFAULT, &h->log, e);
    return st;
}

static bool is_same(const seat *a, const seat *b)
{
    if (!a->rules || !b->rules)
        return a->rules == b->rules;
    return memcmp(emk_fraud_ruleset_hash(a->rules), emk_fraud_ruleset_hash(b->rules), 32) == 0;
}

/* A draft that decides already is none, nor is one that was rolled back: its `rollout` would let
 * it go on deciding. */
static void drop_idle_draft(const emk_fraud_host *h, const seat *live, seat *draft)
{
    if (draft->rules && (is_same(live, draft) || emk_fraud_is_barred(h, draft->rules)))
        seat_done(draft);
}

static emk_status open_draft(emk_fraud_host *h, seat *out, emk_yaml_diag *d, emk_error *e)
{
    emk_status st;

    if (!h->draft_file)
        return EMK_OK;
    st = seat_new(h, h->draft_file, out, d, e);
    if (st == EMK_OK)
        drop_idle_draft(h, &h->live, out);
    return st;
}

static void destroy(emk_fraud_host *h)
{
    emk_free(h->shadow);
    seat_done(&h->live);
    seat_done(&h->draft);
    emk_fraud_log_close(h->log);
    emk_lock_free(h->lock);
    emk_lock_free(h->files);
    emk_free(h->rules_file);
    emk_free(h->draft_file);
    emk_free(h);
}

/* ---- decisions ---- */

/* A request may bring more than one event: its id and the place in the log are unique. */
static void name_event(emk_fraud_host *h, emk_fraud_event *ev, char id[EVENT_ID_CAP])
{
    emk_span was = {NULL, 0};
    int n;

    if (ev->src != EMK_FRAUD_SRC_SERVER)
        return;
    if (emk_fraud_has(ev, EMK_FRAUD_F_ID))
        was = ev->f[EMK_FRAUD_F_ID].text;
    n = snprintf(id, EVENT_ID_CAP, "%.*s.%" PRIx64, was.len < 64 ? (int)was.len : 64,
                 was.p ? (const char *)was.p : "", emk_fraud_log_end(h->log));
    if (n > 0)
        emk_fraud_event_text(ev, EMK_FRAUD_F_ID, emk_span_of(id, (size_t)n));
}

static emk_status take_locked(emk_fraud_host *h, const emk_fraud_event *in, emk_fraud_decision *d,
                              emk_error *e)
{
    emk_fraud_event ev = *in;
    char id[EVENT_ID_CAP];
    emk_buf line;
    emk_status st;

    name_event(h, &ev, id);
    st = emk_fraud_event_check(&ev, e);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&line, EMK_FRAUD_LINE_MAX);
    st = emk_fraud_event_write(&ev, &line, e);
    if (st == EMK_OK)
        st = emk_fraud_log_append(h->log, emk_buf_span(&line), e);
    emk_buf_done(&line);
    return st == EMK_OK ? emk_fraud_decide(h->live.engine, &ev, d, e) : st;
}

/* "SC-301+9.000:31.000/30.000": what explain reads. */
static size_t rule_text(const char *id, const emk_fraud_reason *r, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s+%" PRId64 ".%03" PRId64, id, r->add / 1000, r->add % 1000);
    int more;

    if (n < 0 || (size_t)n >= cap || !r->now)
        return n < 0 ? 0 : (size_t)n;
    more = snprintf(out + n, cap - (size_t)n, ":%" PRId64 "/%" PRId64, r->value / 1000,
                    r->limit / 1000);
    return more < 0 ? (size_t)n : (size_t)n + (size_t)more;
}

static void append_word(char list[EMK_REASON_CAP], const char *word, bool once)
{
    size_t len = strlen(list), n = strlen(word);

    if (len + n + 2 > EMK_REASON_CAP || (once && strstr(list, word)))
        return;
    if (len > 0)
        list[len++] = ',';
    memcpy(list + len, word, n + 1);
}

/* Whoever is let pass on purpose is not touched; while denials look wrong nothing is revoked. */
static unsigned effects_of(const emk_fraud_decision *d)
{
    const unsigned let_pass = EMK_FRAUD_IS_ALLOWED | EMK_FRAUD_IS_SWITCHED | EMK_FRAUD_IS_EXPLORED;

    if (d->flags & let_pass)
        return 0;
    if (d->flags & EMK_FRAUD_IS_BROKEN)
        return d->effects & ~(unsigned)(EMK_FRAUD_REVOKE_SESSION | EMK_FRAUD_REVOKE_GRANTS |
                                        EMK_FRAUD_REVOKE_KEY);
    return d->effects;
}

static void fill_answer(const emk_fraud_ruleset *rs, const emk_fraud_event *ev,
                        const emk_fraud_decision *d, emk_decide_answer *out)
{
    emk_fraud_rule_info info;
    char text[192];

    out->action = d->action;
    out->score = d->score;
    out->retry_after_s = d->retry_after_s;
    out->pace_s = emk_fraud_pace_s(rs, ev);
    out->explore_ppm = d->explore_ppm;
    out->would = d->would;
    out->shadow = d->shadow;
    out->draft = d->draft;
    out->has_draft = d->has_draft;
    out->effects = effects_of(d);
    memcpy(out->ruleset, emk_fraud_ruleset_hash(rs), sizeof out->ruleset);
    for (unsigned i = 0; i < d->n_reasons; i++) {
        emk_fraud_ruleset_rule(rs, d->reason[i].rule, &info);
        if (d->reason[i].shadow)
            continue;
        append_word(out->reasons, info.reason, true);
        if (rule_text(info.id, &d->reason[i], text, sizeof text) < sizeof text)
            append_word(out->rules, text, false);
    }
}

/* Whose reasons a decision has. */
static const emk_fraud_ruleset *decider_of(const emk_fraud_host *h, const emk_fraud_decision *d)
{
    return d->flags & EMK_FRAUD_IS_DRAFTED ? h->draft.rules : h->live.rules;
}

/* Texts of news, which outlive the rule set that they come from. */
typedef struct news_text {
    char rule[64], ruleset[128];
} news_text;

static void fill_news(const emk_fraud_host *h, const emk_fraud_event *ev,
                      const emk_fraud_decision *d, emk_fraud_host_news *n, news_text *text)
{
    emk_fraud_rule_info info;

    snprintf(text->ruleset, sizeof text->ruleset, "%s", emk_fraud_ruleset_label(decider_of(h, d)));
    n->ruleset = text->ruleset;
    n->ts = ev->ts;
    n->breaker = (d->news & EMK_FRAUD_NEWS_BREAKER) != 0;
    if (!(d->news & EMK_FRAUD_NEWS_DEMOTED))
        return;
    emk_fraud_ruleset_rule(decider_of(h, d), d->news_rule, &info);
    snprintf(text->rule, sizeof text->rule, "%s", info.id);
    n->demoted = text->rule;
}

static void tell(emk_fraud_host *h, const emk_fraud_host_news *n)
{
    if (h->news)
        h->news(h->news_self, n);
}

static emk_status take(emk_fraud_host *h, const emk_fraud_event *ev, emk_fraud_decision *d,
                       emk_decide_answer *out, emk_error *e)
{
    emk_fraud_host_news n = {.ruleset = NULL};
    news_text text;
    emk_status st;

    emk_lock_take(h->lock);
    st = take_locked(h, ev, d, e);
    h->refused += st != EMK_OK;
    if (st == EMK_OK && h->draft.rules)
        emk_fraud_shadow_note(h->shadow, h->draft.rules, ev, d);
    if (st == EMK_OK && out)
        fill_answer(decider_of(h, d), ev, d, out);
    if (st == EMK_OK && d->news)
        fill_news(h, ev, d, &n, &text);
    emk_lock_give(h->lock);
    if (n.ruleset)
        tell(h, &n);
    return st;
}

/* ---- changes of the rules ---- */

/* An event like others: what comes behind it in the log was decided by this set. */
static emk_status log_change(emk_fraud_host *h, const emk_fraud_ruleset *rs, emk_fraud_change what,
                             emk_error *e)
{
    uint64_t clock = emk_fraud_engine_clock(h->live.engine);
    char hash[EMK_FRAUD_HASH_CAP];
    emk_fraud_decision d;
    emk_fraud_event ev;

    if (h->now_ms)
        clock = h->now_ms(h->now_self);
    emk_fraud_change_event(rs, what, clock ? clock : 1, hash, &ev);
    return take_locked(h, &ev, &d, e);
}

static emk_fraud_change kind_of_change(const emk_fraud_host *h, const seat *live)
{
    if (h->doing != EMK_FRAUD_RULES_LOAD)
        return h->doing;
    /* Going back may be to what has become the draft again. */
    if (is_same(live, &h->draft) &&
        emk_fraud_ruleset_version(live->rules) >= emk_fraud_ruleset_version(h->live.rules))
        return EMK_FRAUD_RULES_PROMOTE;
    return memcmp(emk_fraud_ruleset_hash(live->rules), h->past.before, sizeof h->past.before) == 0
               ? EMK_FRAUD_RULES_ROLLBACK
               : EMK_FRAUD_RULES_LOAD;
}

/* ---- files that nobody promoted ---- */

static void tell_unpromoted(emk_fraud_host *h, const emk_fraud_ruleset *rs)
{
    emk_fraud_host_news n = {
        .unpromoted = h->file == EMK_FRAUD_FILE_REFUSE ? "refused" : "decides",
        .ruleset = emk_fraud_ruleset_label(rs),
    };

    emk_lock_take(h->lock);
    h->unpromoted++;
    emk_lock_give(h->lock);
    if (h->file != EMK_FRAUD_FILE_ALLOW)
        tell(h, &n);
}

/* EMK_E_POLICY where what decided before is to go on. */
static emk_status check_file(emk_fraud_host *h, const emk_fraud_ruleset *rs, emk_yaml_diag *d,
                             emk_error *e)
{
    if (!emk_fraud_is_unpromoted(h, rs))
        return EMK_OK;
    tell_unpromoted(h, rs);
    if (h->file != EMK_FRAUD_FILE_REFUSE)
        return EMK_OK;
    snprintf(d->text, sizeof d->text,
             "%.200s: nobody promoted %.100s; make it the draft and promote that, or set "
             "fraud.promotion_file",
             h->rules_file, emk_fraud_ruleset_label(rs));
    return emk_fail(e, EMK_E_POLICY, "fraud: the file of rules was not promoted", 0);
}

/* The set that decided when the server stopped. */
static emk_status sit_again(emk_fraud_host *h, seat *out, emk_yaml_diag *d, emk_error *e)
{
    emk_buf text;
    emk_status st;

    seat_done(out);
    emk_buf_init(&text, EMK_FRAUD_RULES_LEN);
    st = emk_fraud_archive_text(h->crypto, h->dir, h->past.live, &text, e);
    if (st == EMK_OK)
        st = emk_fraud_ruleset_new(h->crypto, "the set before", emk_buf_span(&text), &out->rules, d,
                                   e);
    emk_buf_done(&text);
    if (st == EMK_OK)
        st = emk_fraud_engine_new(h->crypto, out->rules, &h->options, &out->engine, e);
    if (st != EMK_OK)
        seat_done(out);
    return st;
}

static emk_status open_live(emk_fraud_host *h, emk_yaml_diag *d, emk_error *e)
{
    emk_error why;
    emk_status st = seat_new(h, h->rules_file, &h->live, d, e);

    if (st != EMK_OK || check_file(h, h->live.rules, d, &why) == EMK_OK)
        return st;
    return sit_again(h, &h->live, d, e);
}

/* Who decides from here on is said at each start: rules may have changed while nobody was there. */
static emk_status begin(emk_fraud_host *h, emk_error *e)
{
    emk_fraud_host_news n = {.change = EMK_FRAUD_CHANGE_NAME[EMK_FRAUD_RULES_LOAD]};
    emk_status st;

    st = emk_fraud_past_move(h, e);
    if (st == EMK_OK)
        st = log_change(h, h->live.rules, EMK_FRAUD_RULES_LOAD, e);
    if (st == EMK_OK && h->draft.rules)
        st = log_change(h, h->draft.rules, EMK_FRAUD_RULES_DRAFT, e);
    else if (st == EMK_OK)
        st = log_change(h, h->live.rules, EMK_FRAUD_RULES_DRAFT_END, e);
    n.ruleset = emk_fraud_ruleset_label(h->live.rules);
    n.ts = emk_fraud_engine_clock(h->live.engine);
    if (st == EMK_OK)
        tell(h, &n);
    return st;
}

emk_status emk_fraud_host_open(const emk_fraud_host_config *config, emk_fraud_host **out,
                               emk_yaml_diag *d, emk_error *e)
{
    emk_fraud_host *h = emk_alloc(1, sizeof *h);
    emk_status st;

    if (!h)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory", sizeof *h);
    st = fill(config, h, e);
    if (st == EMK_OK)
        st = emk_fraud_past_read(h, e);
    if (st == EMK_OK)
        st = open_live(h, d, e);
    if (st == EMK_OK)
        st = open_draft(h, &h->draft, d, e);
    if (st == EMK_OK)
        st = wake(h, e);
    if (st == EMK_OK)
        st = begin(h, e);
    if (st != EMK_OK) {
        destroy(h);
        return st;
    }
    *out = h;
    return EMK_OK;
}

emk_status emk_fraud_host_close(emk_fraud_host *h, emk_error *e)
{
    emk_status st;

    if (!h)
        return EMK_OK;
    st = save(h, e);
    destroy(h);
    return st;
}

static emk_status log_seats(emk_fraud_host *h, const seat *was_live, const seat *was_draft,
                            emk_fraud_change what, emk_error *e)
{
    emk_status st = EMK_OK;

    if (!is_same(was_live, &h->live))
        st = log_change(h, h->live.rules, what, e);
    if (st != EMK_OK || is_same(was_draft, &h->draft))
        return st;
    if (h->draft.rules)
        return log_change(h, h->draft.rules, EMK_FRAUD_RULES_DRAFT, e);
    return log_change(h, was_draft->rules, EMK_FRAUD_RULES_DRAFT_END, e);
}

/* The rest of the log, which grew meanwhile, is read under the lock.  Takes the seats. */
static emk_status change_seats(emk_fraud_host *h, seat *live, seat *draft, uint64_t seen,
                               emk_error *e)
{
    emk_fraud_change what = kind_of_change(h, live);
    emk_fraud_host_news n = {.change = NULL};
    seat old_live, old_draft;
    emk_status st;

    emk_lock_take(h->lock);
    st = warm(h, live->engine, seen, emk_fraud_log_end(h->log), e);
    if (st == EMK_OK && draft->engine)
        st = warm(h, draft->engine, seen, emk_fraud_log_end(h->log), e);
    if (st != EMK_OK) {
        emk_lock_give(h->lock);
        seat_done(live);
        seat_done(draft);
        return st;
    }
    old_live = h->live;
    old_draft = h->draft;
    n.change = EMK_FRAUD_CHANGE_NAME[what];
    n.ruleset = emk_fraud_ruleset_label(live->rules);
    h->live = *live;
    h->draft = *draft;
    begin_shadow(h);
    st = log_seats(h, &old_live, &old_draft, what, e);
    n.ts = emk_fraud_engine_clock(h->live.engine);
    emk_lock_give(h->lock);
    seat_done(&old_live);
    seat_done(&old_draft);
    if (st == EMK_OK)
        st = emk_fraud_past_move(h, e);
    tell(h, &n);
    return st;
}

static emk_status new_seats(emk_fraud_host *h, seat *live, seat *draft, emk_yaml_diag *d,
                            emk_error *e)
{
    emk_status st = seat_new(h, h->rules_file, live, d, e);

    if (st == EMK_OK && !is_same(live, &h->live))
        st = check_file(h, live->rules, d, e);
    if (st == EMK_OK && h->draft_file)
        st = seat_new(h, h->draft_file, draft, d, e);
    if (st == EMK_OK)
        drop_idle_draft(h, live, draft);
    return st;
}

emk_status emk_fraud_host_reload_held(emk_fraud_host *h, emk_yaml_diag *d, emk_error *e)
{
    seat live = {NULL, NULL}, draft = {NULL, NULL};
    uint64_t seen;
    emk_status st = new_seats(h, &live, &draft, d, e);
    bool same = st == EMK_OK && is_same(&live, &h->live) && is_same(&draft, &h->draft);

    emk_lock_take(h->lock);
    seen = emk_fraud_log_end(h->log);
    emk_lock_give(h->lock);
    if (st == EMK_OK && !same)
        st = warm(h, live.engine, 0, seen, e);
    if (st == EMK_OK && !same && draft.engine)
        st = warm(h, draft.engine, 0, seen, e);
    if (st == EMK_OK && !same)
        return change_seats(h, &live, &draft, seen, e);
    seat_done(&live);
    seat_done(&draft);
    return st;
}

/* `files` is held: what is erased meanwhile must not be read back from the log. */
emk_status emk_fraud_host_reload(emk_fraud_host *h, emk_yaml_diag *d, emk_error *e)
{
    emk_status st;

    emk_lock_take(h->files);
    st = emk_fraud_host_reload_held(h, d, e);
    emk_lock_give(h->files);
    return st;
}

emk_status emk_fraud_host_keep(emk_fraud_host *h, emk_error *e)
{
    emk_status st = EMK_OK;
    bool grew;

    emk_lock_take(h->files);
    emk_lock_take(h->lock);
    grew = emk_fraud_log_end(h->log) != h->saved;
    emk_lock_give(h->lock);
    if (grew)
        st = save(h, e);
    if (st == EMK_OK)
        st = emk_fraud_log_drop(h->log, h->saved, h->pieces, e);
    emk_lock_give(h->files);
    return st;
}

static emk_status decide_op(void *self, const emk_fraud_event *ev, emk_decide_answer *out,
                            emk_error *e)
{
    emk_fraud_decision d;

    return take(self, ev, &d, out, e);
}

static emk_status note_op(void *self, const emk_fraud_event *ev, emk_decide_answer *out,
                          emk_error *e)
{
    emk_fraud_decision d;

    return take(self, ev, &d, out, e);
}

emk_decider emk_fraud_host_decider(emk_fraud_host *h)
{
    static const emk_decide_ops OPS = {
        .size = sizeof OPS, .name = "fraud", .decide = decide_op, .note = note_op};

    return (emk_decider){&OPS, h};
}

/* ---- looking ---- */

void emk_fraud_host_stats_of(emk_fraud_host *h, emk_fraud_host_stats *out)
{
    memset(out, 0, sizeof *out);
    emk_lock_take(h->lock);
    emk_fraud_engine_stats(h->live.engine, &out->engine);
    out->log_bytes = emk_fraud_log_end(h->log);
    out->refused = h->refused;
    out->unpromoted = h->unpromoted;
    snprintf(out->ruleset, sizeof out->ruleset, "%s", emk_fraud_ruleset_label(h->live.rules));
    emk_lock_give(h->lock);
}

static void put_milli(emk_json_out *o, const char *key, int64_t v)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%s%" PRId64 ".%03" PRId64, v < 0 ? "-" : "",
                     (v < 0 ? -v : v) / 1000, (v < 0 ? -v : v) % 1000);

    emk_json_out_text(o, key, emk_span_of(text, n > 0 ? (size_t)n : 0));
}

static void put_view(emk_json_out *o, const emk_fraud_ruleset *rs, const emk_fraud_view *v)
{
    emk_fraud_rule_info info;

    put_milli(o, "score", v->score);
    emk_json_out_text(o, "action", emk_span_str(EMK_FRAUD_ACTION_NAME[v->action]));
    emk_json_out_time(o, "first", v->first_ms / 1000);
    emk_json_out_time(o, "last", v->last_ms / 1000);
    if (v->ban_until_ms)
        emk_json_out_time(o, "ban_until", v->ban_until_ms / 1000);
    emk_json_out_bool(o, "review", v->review);
    emk_json_out_open(o, "rules", '[');
    for (unsigned i = 0; i < v->n_reasons; i++) {
        emk_fraud_ruleset_rule(rs, v->reason[i].rule, &info);
        emk_json_out_open(o, NULL, '{');
        emk_json_out_text(o, "id", emk_span_str(info.id));
        emk_json_out_text(o, "name", emk_span_str(info.name));
        emk_json_out_bool(o, "shadow", v->reason[i].shadow);
        put_milli(o, "adds", v->reason[i].add);
        emk_json_out_close(o);
    }
    emk_json_out_close(o);
}

bool emk_fraud_host_look(emk_fraud_host *h, emk_fraud_entity what, emk_span tenant, emk_span id,
                         emk_json_out *o)
{
    emk_fraud_view v;
    bool there;

    emk_lock_take(h->lock);
    there = emk_fraud_look(h->live.engine, what, tenant, id, &v);
    if (there)
        put_view(o, h->live.rules, &v);
    emk_lock_give(h->lock);
    return there;
}

static uint64_t forget_locked(emk_fraud_host *h, const emk_fraud_name *names, size_t n_names)
{
    uint64_t n = 0;

    for (size_t i = 0; i < n_names; i++) {
        const emk_fraud_name *name = &names[i];

        n += emk_fraud_forget(h->live.engine, name->what, name->tenant, name->id);
        if (h->draft.engine)
            (void)emk_fraud_forget(h->draft.engine, name->what, name->tenant, name->id);
        if (h->draft.engine && name->what == EMK_FRAUD_USER)
            emk_fraud_shadow_forget(h->shadow, h->draft.rules, name->id);
    }
    return n;
}

emk_status emk_fraud_host_erase(emk_fraud_host *h, const emk_fraud_name *names, size_t n_names,
                                uint64_t *n, emk_error *e)
{
    emk_span ids[EMK_FRAUD_ERASE_MAX];
    uint64_t end;
    emk_status st;

    if (n_names > EMK_FRAUD_ERASE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "fraud: names to erase", n_names);
    for (size_t i = 0; i < n_names; i++)
        ids[i] = names[i].id;
    emk_lock_take(h->files);
    emk_lock_take(h->lock);
    *n += forget_locked(h, names, n_names);
    end = emk_fraud_log_end(h->log);
    emk_lock_give(h->lock);
    /* A restart reads the log again: lines first, then the snapshot that is without them. */
    st = emk_fraud_log_blank(h->dir, end, ids, n_names, e);
    if (st == EMK_OK)
        st = save(h, e);
    emk_lock_give(h->files);
    return st;
}

/* ---- groups ---- */

typedef struct young_events {
    uint64_t from_ms;
    emk_fraud_campaign_job *job;
} young_events;

/* Texts of events have no quotes in them. */
static bool is_young(const young_events *y, emk_span line)
{
    static const char TS[] = "\"ts\":";
    const uint8_t *end = line.p + line.len;
    const uint8_t *at = memmem(line.p, line.len, TS, sizeof TS - 1);
    uint64_t ms = 0;

    for (at = at ? at + sizeof TS - 1 : end; at < end && *at >= '0' && *at <= '9'; at++)
        ms = ms * 10 + (uint64_t)(*at - '0');
    return ms >= y->from_ms;
}

/* However long the log is kept, only what is looked at is read as an event. */
static emk_status take_young(void *self, emk_span line, uint64_t end, emk_error *e)
{
    young_events *y = self;

    (void)end;
    return is_young(y, line) ? emk_fraud_campaign_line(y->job, line, e) : EMK_OK;
}

emk_status emk_fraud_host_campaign(emk_fraud_host *h, const emk_fraud_campaign_options *o,
                                   emk_fraud_campaigns *out, emk_error *e)
{
    young_events young = {.from_ms = o->from_ms};
    uint64_t end;
    emk_status st = emk_fraud_campaign_new(o, &young.job, e);

    if (st != EMK_OK)
        return st;
    emk_lock_take(h->lock);
    end = emk_fraud_log_end(h->log);
    emk_lock_give(h->lock);
    emk_lock_take(h->files);
    st = emk_fraud_log_read(h->dir, 0, end, take_young, &young, e);
    emk_lock_give(h->files);
    if (st == EMK_OK)
        st = emk_fraud_campaign_find(young.job, out, e);
    emk_fraud_campaign_free(young.job);
    return st;
}

/* ---- explaining ---- */

/* One entry of the decision's rules: "SC-301+9.000:31/30". */
typedef struct told {
    char id[64], adds[24], value[24], limit[24];
    int64_t milli;
} told;

/* "9.000", as rule_text wrote it. */
static int64_t milli_of(const char *text)
{
    char *end = NULL;
    int64_t whole = strtoll(text, &end, 10);

    return whole * 1000 + (*end == '.' ? strtoll(end + 1, NULL, 10) : 0);
}

static bool cut_told(const char **at, told *t)
{
    char one[160];
    size_t n = strcspn(*at, ",");

    if (n == 0 || n >= sizeof one)
        return false;
    memcpy(one, *at, n);
    one[n] = '\0';
    *at += n + ((*at)[n] == ',');
    memset(t, 0, sizeof *t);
    if (sscanf(one, "%63[^+]+%23[0-9.]:%23[0-9-]/%23[0-9-]", t->id, t->adds, t->value, t->limit) <
        2)
        return false;
    t->milli = milli_of(t->adds);
    return true;
}

/* Its place in *at and what it is in *out; false when there is none of that name. */
static bool find_rule(const emk_fraud_ruleset *rs, const char *id, size_t *at,
                      emk_fraud_rule_info *out)
{
    bool found = false;

    for (size_t i = 0; !found && i < emk_fraud_ruleset_rules(rs); i++) {
        emk_fraud_ruleset_rule(rs, i, out);
        found = strcmp(out->id, id) == 0;
        *at = i;
    }
    return found;
}

static void put_told(const emk_fraud_ruleset *rs, const told *t, emk_json_out *o)
{
    emk_fraud_rule_info info;
    size_t i;

    emk_json_out_open(o, NULL, '{');
    emk_json_out_text(o, "id", emk_span_str(t->id));
    if (rs && find_rule(rs, t->id, &i, &info)) {
        emk_json_out_text(o, "name", emk_span_str(info.name));
        emk_json_out_text(o, "family", emk_span_str(info.family));
        emk_json_out_text(o, "when", emk_span_str(info.when));
    }
    emk_json_out_text(o, "adds", emk_span_str(t->adds));
    if (t->value[0]) {
        emk_json_out_text(o, "value", emk_span_str(t->value));
        emk_json_out_text(o, "limit", emk_span_str(t->limit));
    }
    emk_json_out_close(o);
}

static emk_fraud_action action_of(const char *name)
{
    for (unsigned i = 0; i < EMK_FRAUD_ACTIONS; i++) {
        if (strcmp(EMK_FRAUD_ACTION_NAME[i], name) == 0)
            return (emk_fraud_action)i;
    }
    return EMK_FRAUD_ALLOW;
}

/* The decision again, as far as its record has it. */
static void read_back(const emk_fraud_ruleset *rs, const emk_decision_entity *d,
                      emk_fraud_decision *out)
{
    const char *at = d->rules;
    emk_fraud_rule_info info;
    told t;

    *out = (emk_fraud_decision){.action = action_of(d->action), .score = (int64_t)d->score * 10};
    while (out->n_reasons < EMK_FRAUD_REASONS && cut_told(&at, &t)) {
        size_t i = 0;

        if (find_rule(rs, t.id, &i, &info))
            out->reason[out->n_reasons++] =
                (emk_fraud_reason){.rule = (uint16_t)i,
                                   .entity = (uint8_t)emk_fraud_entity_of(rs, i),
                                   .now = t.value[0] != 0,
                                   .add = t.milli,
                                   .value = t.value[0] ? milli_of(t.value) : 0,
                                   .limit = t.limit[0] ? milli_of(t.limit) : 0};
    }
}

static size_t say_rule(const emk_fraud_ruleset *rs, const emk_fraud_reason *r, char *out,
                       size_t cap)
{
    const char *needs = emk_fraud_opposite(rs, r->rule);
    emk_fraud_rule_info info;
    int n;

    emk_fraud_ruleset_rule(rs, r->rule, &info);
    if (r->now)
        n = snprintf(out, cap, "%s (%" PRId64 ", %s %" PRId64 ")", info.id, r->value / 1000,
                     needs ? needs : "limit", r->limit / 1000);
    else
        n = snprintf(out, cap, "%s (from before)", info.id);
    return n < 0 || (size_t)n >= cap ? cap - 1 : (size_t)n;
}

/* What would have had to be different for a milder answer. */
static void put_change(const emk_fraud_ruleset *rs, const emk_decision_entity *d, emk_json_out *o)
{
    char text[768] = "without ";
    size_t len = strlen(text);
    emk_fraud_decision decided;
    emk_fraud_what_if w = {.n = 0};

    read_back(rs, d, &decided);
    if (decided.action == EMK_FRAUD_ALLOW)
        return;
    if (!emk_fraud_without(rs, &decided, &w)) {
        emk_json_out_text(o, "would_change",
                          emk_span_str(d->rules[0]
                                           ? "an earlier action that still holds: its time, "
                                             "or a clearing"
                                           : "the end of the ban, list or emergency "
                                             "switch"));
        return;
    }
    for (unsigned i = 0; i < w.n && len < sizeof text - 1; i++) {
        if (i)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", ", ");
        if (len < sizeof text - 1)
            len += say_rule(rs, &decided.reason[w.reason[i]], text + len, sizeof text - len);
    }
    if (len < sizeof text)
        (void)snprintf(text + len, sizeof text - len, " it would have been %s",
                       EMK_FRAUD_ACTION_NAME[w.then]);
    emk_json_out_text(o, "would_change", emk_span_str(text));
}

void emk_fraud_host_explain(emk_fraud_host *h, const emk_decision_entity *d, emk_json_out *o)
{
    const char *at = d->rules;
    bool same;
    told t;

    emk_lock_take(h->lock);
    same = memcmp(d->ruleset, emk_fraud_ruleset_hash(h->live.rules), sizeof d->ruleset) == 0;
    /* Another set may have other rules of these names: then only what was stored is shown. */
    emk_json_out_bool(o, "ruleset_is_live", same);
    emk_json_out_open(o, "rules", '[');
    while (cut_told(&at, &t))
        put_told(same ? h->live.rules : NULL, &t, o);
    emk_json_out_close(o);
    if (same)
        put_change(h->live.rules, d, o);
    emk_lock_give(h->lock);
}
