/* State of a pass: the live set and the draft with their engines.  A new set has seen all lines
 * before its own, as in the server, where it is warmed by the log. */
#include "server/fraud/history.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/writer.h"
#include "core/crypto/hash.h"
#include "server/fraud/engine_internal.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX   (1u << 20)
#define PATH_CAP   1200u
#define DIGEST_LEN 32u

const char *const EMK_FRAUD_CHANGE_NAME[EMK_FRAUD_CHANGES + 1] = {"load",  "promote",   "rollback",
                                                                  "draft", "draft_end", NULL};

/* ---- the kept sets ---- */

static void hex_of(const uint8_t hash[DIGEST_LEN], char out[EMK_FRAUD_HASH_CAP])
{
    for (size_t i = 0; i < DIGEST_LEN; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static void write_hash(const emk_fraud_ruleset *rs, char out[EMK_FRAUD_HASH_CAP])
{
    hex_of(rs->hash, out);
}

static emk_status path_of(const char *dir, const char *hash, char out[PATH_CAP], emk_error *e)
{
    int n = snprintf(out, PATH_CAP, "%s/rules-%s.yaml", dir, hash);

    return n > 0 && (size_t)n < PATH_CAP ? EMK_OK
                                         : emk_fail(e, EMK_E_LIMIT, "fraud: path", (size_t)n);
}

emk_status emk_fraud_archive_put(const char *dir, const emk_fraud_ruleset *rs, emk_span text,
                                 emk_error *e)
{
    char hash[EMK_FRAUD_HASH_CAP], path[PATH_CAP];
    emk_status st;

    write_hash(rs, hash);
    st = path_of(dir, hash, path, e);
    return st == EMK_OK ? emk_os_write_file(path, text, e) : st;
}

emk_status emk_fraud_archive_text(const emk_crypto *c, const char *dir, const uint8_t hash[32],
                                  emk_buf *out, emk_error *e)
{
    char name[EMK_FRAUD_HASH_CAP], path[PATH_CAP];
    uint8_t is[DIGEST_LEN];
    emk_span text;
    emk_status st;

    hex_of(hash, name);
    st = path_of(dir, name, path, e);
    if (st == EMK_OK)
        st = emk_os_read_file(path, TEXT_MAX, out, e);
    text = emk_buf_span(out);
    if (st == EMK_OK)
        st = emk_sha256(c, &text, 1, is, e);
    if (st == EMK_OK && memcmp(is, hash, sizeof is) != 0)
        st = emk_fail(e, EMK_E_FORMAT, "fraud: a kept rule set was changed", 0);
    return st;
}

static bool is_hash(emk_span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.len == EMK_FRAUD_HASH_CAP - 1;
}

static emk_status read_kept(const emk_crypto *c, const char *path, emk_fraud_ruleset **out,
                            emk_error *e)
{
    emk_yaml_diag d = {.line = 0};
    emk_buf text;
    emk_status st;

    emk_buf_init(&text, TEXT_MAX);
    st = emk_os_read_file(path, TEXT_MAX, &text, e);
    if (st == EMK_OK)
        st = emk_fraud_ruleset_new(c, path, emk_buf_span(&text), out, &d, e);
    emk_buf_done(&text);
    return st;
}

emk_status emk_fraud_archive_get(const emk_crypto *c, const char *dir, emk_span hash,
                                 emk_fraud_ruleset **out, emk_error *e)
{
    char name[EMK_FRAUD_HASH_CAP], is[EMK_FRAUD_HASH_CAP], path[PATH_CAP];
    emk_fraud_ruleset *rs = NULL;
    emk_status st;

    if (!is_hash(hash)) /* it becomes the name of a file */
        return emk_fail(e, EMK_E_FORMAT, "fraud: not the hash of a rule set", hash.len);
    memcpy(name, hash.p, hash.len);
    name[hash.len] = 0;
    st = path_of(dir, name, path, e);
    if (st == EMK_OK)
        st = read_kept(c, path, &rs, e);
    if (st != EMK_OK)
        return st;
    write_hash(rs, is);
    if (strcmp(is, name) != 0) {
        emk_fraud_ruleset_free(rs);
        return emk_fail(e, EMK_E_FORMAT, "fraud: a kept rule set was changed", 0);
    }
    *out = rs;
    return EMK_OK;
}

void emk_fraud_change_event(const emk_fraud_ruleset *rs, emk_fraud_change what, uint64_t ts,
                            char hash[EMK_FRAUD_HASH_CAP], emk_fraud_event *ev)
{
    write_hash(rs, hash);
    emk_fraud_event_init(ev, EMK_FRAUD_ADMIN_RULES, ts);
    emk_fraud_event_text(ev, EMK_FRAUD_F_GRANT, emk_span_str(hash));
    emk_fraud_event_text(ev, EMK_FRAUD_F_REASON, emk_span_str(EMK_FRAUD_CHANGE_NAME[what]));
}

/* ---- replay ---- */

typedef struct chair {
    emk_fraud_ruleset *rules;
    emk_fraud_engine *engine;
} chair;

typedef struct course {
    const emk_crypto *crypto;
    const emk_fraud_history_options *o;
    emk_fraud_history_report *out;
    emk_span text;
    size_t at; /* where the line in hand begins */
    chair live, draft;
    emk_sha256_ctx *hash;
} course;

static void leave(chair *x)
{
    emk_fraud_engine_free(x->engine);
    emk_fraud_ruleset_free(x->rules);
    *x = (chair){NULL, NULL};
}

static emk_span line_at(emk_span text, size_t at)
{
    const uint8_t *from = text.p + at;
    const uint8_t *end = memchr(from, '\n', text.len - at);

    return emk_span_of(from, end ? (size_t)(end - from) : text.len - at);
}

/* Lines that are no events are none for the server either. */
static emk_status warm(const course *c, emk_fraud_engine *en, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t at = 0; st == EMK_OK && at < c->at;) {
        emk_span line = line_at(c->text, at);
        emk_fraud_event ev;
        emk_error ignored;

        at += line.len + 1;
        if (emk_fraud_event_read(line, &ev, &ignored) != EMK_OK)
            continue;
        st = emk_fraud_note(en, &ev, e);
        st = st == EMK_E_USED || st == EMK_E_STALE ? EMK_OK : st;
    }
    return st;
}

static emk_status sit_down(const course *c, emk_span hash, chair *out, emk_error *e)
{
    emk_status st = emk_fraud_archive_get(c->crypto, c->o->dir, hash, &out->rules, e);

    if (st == EMK_OK)
        st = emk_fraud_engine_new(c->crypto, out->rules, &c->o->engine, &out->engine, e);
    if (st == EMK_OK)
        st = warm(c, out->engine, e);
    if (st != EMK_OK)
        leave(out);
    return st;
}

static bool is_set(const chair *x, emk_span hash)
{
    char is[EMK_FRAUD_HASH_CAP];

    if (!x->rules)
        return false;
    write_hash(x->rules, is);
    return emk_span_equal(hash, emk_span_str(is));
}

static emk_status change(course *c, const emk_fraud_event *ev, emk_error *e)
{
    emk_span hash = ev->f[EMK_FRAUD_F_GRANT].text, what = ev->f[EMK_FRAUD_F_REASON].text;
    bool draft = emk_span_equal(what, emk_span_str("draft"));
    chair *to = draft ? &c->draft : &c->live, next = {NULL, NULL};
    emk_status st = EMK_OK;

    if (!emk_fraud_has(ev, EMK_FRAUD_F_GRANT) || !emk_fraud_has(ev, EMK_FRAUD_F_REASON))
        return emk_fail(e, EMK_E_FORMAT, "fraud: a change of rules without its set", 0);
    if (emk_span_equal(what, emk_span_str("draft_end"))) {
        if (c->live.engine)
            emk_fraud_attach_draft(c->live.engine, NULL);
        leave(&c->draft);
        return EMK_OK;
    }
    if (is_set(to, hash))
        return EMK_OK;
    st = sit_down(c, hash, &next, e);
    if (st != EMK_OK)
        return st;
    leave(to);
    *to = next;
    c->out->changes++;
    if (c->live.engine)
        emk_fraud_attach_draft(c->live.engine, c->draft.engine);
    snprintf(c->out->ruleset, sizeof c->out->ruleset, "%s",
             c->live.rules ? emk_fraud_ruleset_label(c->live.rules) : "");
    return EMK_OK;
}

static emk_status record(course *c, const emk_fraud_event *ev, const emk_fraud_decision *d,
                         emk_error *e)
{
    uint8_t bytes[32];
    emk_writer w;

    emk_writer_init(&w, bytes, sizeof bytes);
    emk_write_u64be(&w, ev->ts);
    emk_write_u8(&w, (uint8_t)ev->type);
    emk_write_u8(&w, (uint8_t)d->action);
    emk_write_u64be(&w, (uint64_t)d->score);
    emk_write_u32be(&w, d->flags);
    return emk_sha256_ctx_update(c->hash, emk_writer_span(&w), e);
}

static emk_status take_event(course *c, const emk_fraud_event *ev, emk_error *e)
{
    emk_fraud_decision d;
    emk_status st = ev->type == EMK_FRAUD_ADMIN_RULES ? change(c, ev, e) : EMK_OK;

    if (st == EMK_OK && !c->live.engine)
        return emk_fail(e, EMK_E_FORMAT, "fraud: the log does not begin with its rule set",
                        c->out->lines);
    if (st == EMK_OK)
        st = emk_fraud_decide(c->live.engine, ev, &d, e);
    if (st == EMK_E_USED || st == EMK_E_STALE)
        return EMK_OK;
    if (st != EMK_OK)
        return st;
    c->out->events++;
    c->out->actions[d.action] += EMK_FRAUD_TYPE[ev->type].decides;
    if (c->o->watch)
        c->o->watch(c->o->watch_self, c->out->lines, ev, &d);
    return record(c, ev, &d, e);
}

static emk_status run(course *c, emk_error *e)
{
    emk_status st = EMK_OK;

    while (st == EMK_OK && c->at < c->text.len) {
        emk_span line = line_at(c->text, c->at);
        emk_fraud_event ev;
        emk_error ignored;

        c->out->lines++;
        if (emk_fraud_event_read(line, &ev, &ignored) == EMK_OK)
            st = take_event(c, &ev, e);
        else
            c->out->dropped += line.len > 0;
        c->at += line.len + 1;
    }
    return st == EMK_OK ? emk_sha256_ctx_finish(c->hash, c->out->sha256, e) : st;
}

emk_status emk_fraud_history(const emk_crypto *c, emk_span events,
                             const emk_fraud_history_options *o, emk_fraud_history_report *out,
                             emk_error *e)
{
    course run_of = {.crypto = c, .o = o, .out = out, .text = events};
    emk_status st;

    *out = (emk_fraud_history_report){.lines = 0};
    st = emk_sha256_ctx_new(c, &run_of.hash, e);
    if (st == EMK_OK)
        st = run(&run_of, e);
    if (run_of.live.engine)
        emk_fraud_attach_draft(run_of.live.engine, NULL);
    leave(&run_of.live);
    leave(&run_of.draft);
    emk_sha256_ctx_free(run_of.hash);
    return st;
}
