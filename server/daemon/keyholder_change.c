#include "server/daemon/keyholder_change.h"

#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "server/daemon/keyholder_record.h"
#include "server/daemon/ring.h"

#include <stdio.h>
#include <string.h>

#define PATH_LEN  1024u
#define WHAT_CAP  48u
#define KID_CHARS (EMK_BASE64URL_CHARS(EMK_COSE_KID_LEN) + 1)

static const char *const ACTIONS[EMK_KEY_ACTIONS] = {
    [EMK_KEY_ROTATE_ISSUER] = "rotate-issuer",
    [EMK_KEY_ROTATE_SEALING] = "rotate-sealing",
    [EMK_KEY_RETIRE_ISSUER] = "retire-issuer",
};

/* ---- the rules ---- */

/* A clock that was set back proves nothing: then the time has not passed. */
static bool has_passed(uint64_t since_s, uint64_t life_s, uint64_t now_s)
{
    return now_s >= since_s && now_s - since_s >= life_s;
}

/* Whether nothing can be good any more that this key of the ring signed. */
static bool is_over(const emk_key_state *s, size_t at, uint64_t now_s)
{
    const emk_issuers *r = s->ring;

    return r->v[at].retired ||
           (at + 1 < r->n && has_passed(r->v[at + 1].since_s, s->needed_s, now_s));
}

/* The same rule as the HTTP process has for when it asks. */
static bool is_due(const emk_key_state *s, uint64_t now_s)
{
    uint64_t left = s->sealing_until_s > now_s ? s->sealing_until_s - now_s : 0;

    return left <= s->sealing_s / 3;
}

static bool is_for(const emk_key_change *c, const emk_permit *p, uint64_t now_s)
{
    if (p->action != c->action || p->until_s < now_s || p->until_s - now_s > EMK_PERMIT_LIFE_S)
        return false;
    return c->action != EMK_KEY_RETIRE_ISSUER || memcmp(p->kid, c->kid, sizeof p->kid) == 0;
}

static emk_status judge_rotation(const emk_key_state *s, bool force, uint64_t now_s, emk_error *e)
{
    const emk_issuers *r = s->ring;

    if (r->n == EMK_ISSUERS_MAX && !is_over(s, 0, now_s))
        return emk_fail(e, EMK_E_LIMIT, "keyholder: the oldest key is still needed", r->n);
    if (!force && !has_passed(r->v[r->n - 1].since_s, EMK_KEY_INTERVAL_S, now_s))
        return emk_fail(e, EMK_E_LIMIT, "keyholder: the last rotation was a moment ago",
                        r->v[r->n - 1].since_s);
    return EMK_OK;
}

emk_status emk_key_change_judge(const emk_key_state *s, emk_key_change *c, const emk_permit *permit,
                                uint64_t now_s, emk_error *e)
{
    bool allowed = permit && is_for(c, permit, now_s);
    bool force = s->unattended || (allowed && permit->force);

    c->takes_permit = false;
    if (c->action == EMK_KEY_ROTATE_SEALING && is_due(s, now_s)) {
        c->by = "time";
        return EMK_OK;
    }
    if (!allowed && !s->unattended)
        return emk_fail(e, EMK_E_POLICY, "keyholder: there is no permit for this", c->action);
    c->takes_permit = allowed;
    c->by = !allowed ? "nobody" : (permit->force ? "permit,force" : "permit");
    if (c->action == EMK_KEY_ROTATE_ISSUER)
        return judge_rotation(s, force, now_s, e);
    if (c->action == EMK_KEY_RETIRE_ISSUER && !force && !is_over(s, c->at, now_s))
        return emk_fail(e, EMK_E_LIMIT, "keyholder: what this key signed is still good", c->at);
    return EMK_OK;
}

/* ---- the life of a change ---- */

static emk_status lock_folder(const emk_key_state *s, emk_key_change *c, emk_error *e)
{
    char path[PATH_LEN];
    emk_status st = emk_os_join(path, sizeof path, s->dir, EMK_KEY_LOCK_FILE, "", e);

    return st == EMK_OK ? emk_os_lock_file(path, false, &c->lock, e) : st;
}

static emk_status judge_now(const emk_key_state *s, emk_key_change *c, emk_error *e)
{
    uint8_t now[EMK_SHA256_LEN];
    emk_permit permit;
    emk_status got, st = emk_ring_digest(s->crypto, s->dir, now, e);

    if (st == EMK_OK && memcmp(now, s->ring_digest, sizeof now) != 0)
        st = emk_fail(e, EMK_E_STALE, "keyholder: another process has changed the keys", 0);
    if (st != EMK_OK)
        return st;
    got = emk_permit_read(s->dir, &permit, e); /* one that cannot be read is none */
    return emk_key_change_judge(s, c, got == EMK_OK ? &permit : NULL, emk_os_now_s(), e);
}

emk_status emk_key_change_begin(const emk_key_state *s, emk_key_change *c, emk_error *e)
{
    emk_status st;

    c->lock = -1;
    c->has_begun = false;
    st = lock_folder(s, c, e);
    if (st == EMK_OK)
        st = judge_now(s, c, e);
    if (st != EMK_OK) {
        emk_os_close(c->lock);
        c->lock = -1;
    }
    return st;
}

static emk_status note(const emk_key_state *s, const emk_key_change *c, const char *verb,
                       const emk_record_line *about, emk_error *e)
{
    char what[WHAT_CAP];
    emk_record_line line = *about;

    snprintf(what, sizeof what, "%s %s", verb, ACTIONS[c->action]);
    line.what = what;
    line.key = c->kid;
    return emk_record_append(s->dir, &line, e);
}

/* The note goes first: killed between the two, a permit is left that somebody meant to be used. */
emk_status emk_key_change_commit(const emk_key_state *s, emk_key_change *c, emk_error *e)
{
    emk_record_line line = {.name = "by", .value = c->by, .must = true};
    emk_status st = note(s, c, "begins", &line, e);

    if (st != EMK_OK)
        return st;
    c->has_begun = true;
    return c->takes_permit ? emk_permit_remove(s->dir, e) : EMK_OK;
}

emk_status emk_key_change_end(const emk_key_state *s, emk_key_change *c, emk_status how,
                              const uint8_t *kid, emk_error *e)
{
    char text[KID_CHARS];
    emk_record_line line = {.must = true};
    size_t len;
    emk_status st = EMK_OK;

    if (how != EMK_OK) {
        line.name = "status";
        line.value = emk_status_name(how);
    } else if (kid) {
        line.name = "now";
        line.value = text;
        st = emk_base64url_encode(emk_span_of(kid, EMK_COSE_KID_LEN), text, sizeof text, &len, e);
    }
    if (st == EMK_OK && c->has_begun)
        st = note(s, c, how == EMK_OK ? "done" : "failed", &line, e);
    emk_os_close(c->lock);
    c->lock = -1;
    return st;
}

emk_status emk_key_change_refused(const emk_key_state *s, const emk_key_change *c, emk_status why,
                                  emk_error *e)
{
    emk_record_line line = {.name = "status", .value = emk_status_name(why)};

    return note(s, c, "refused", &line, e);
}
