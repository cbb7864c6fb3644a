/* A subject's record: CBOR {1: state, 2: hold, 3: made at, 4: nonce || wrapped key || tag,
 * 5: erased at, 6: basis, 7: actor}.  An erased one stays, without its key, so that no new key
 * takes its place; until its erasure is in the log the state says so. */
#include "server/journal/subject.h"

#include "core/codec/cbor.h"
#include "core/crypto/aead.h"
#include "core/crypto/random.h"

#include <string.h>

#define KEY_LEN     32u
#define NONCE_LEN   EMK_AEAD_NONCE_LEN
#define TAG_LEN     EMK_AEAD_TAG_LEN
#define WRAPPED_LEN (NONCE_LEN + KEY_LEN + TAG_LEN)
#define BASIS_MAX   128u
#define VALUE_MAX   512u
#define AAD_MAX     512u
#define TRIES       8u

enum { STATE_LIVE = 1, STATE_ERASING, STATE_ERASED };

typedef struct subject {
    uint64_t state, made_s, erased_s;
    bool hold;
    uint8_t wrapped[WRAPPED_LEN]; /* live */
    char basis[BASIS_MAX + 1], actor[EMK_JOURNAL_ACTOR_MAX + 1];
    size_t basis_len, actor_len;
    uint64_t version;
} subject;

/* ---- records ---- */

static emk_span encode(const subject *s, uint8_t out[VALUE_MAX])
{
    bool live = s->state == STATE_LIVE;
    emk_writer w;

    emk_writer_init(&w, out, VALUE_MAX);
    emk_cbor_put_map(&w, live ? 4 : 6);
    emk_cbor_put_uint(&w, 1);
    emk_cbor_put_uint(&w, s->state);
    emk_cbor_put_uint(&w, 2);
    emk_cbor_put_bool(&w, s->hold);
    emk_cbor_put_uint(&w, 3);
    emk_cbor_put_uint(&w, s->made_s);
    if (live) {
        emk_cbor_put_uint(&w, 4);
        emk_cbor_put_bytes(&w, emk_span_of(s->wrapped, sizeof s->wrapped));
        return emk_writer_span(&w);
    }
    emk_cbor_put_uint(&w, 5);
    emk_cbor_put_uint(&w, s->erased_s);
    emk_cbor_put_uint(&w, 6);
    emk_cbor_put_text(&w, emk_span_of(s->basis, s->basis_len));
    emk_cbor_put_uint(&w, 7);
    emk_cbor_put_text(&w, emk_span_of(s->actor, s->actor_len));
    return emk_writer_span(&w);
}

static size_t keep_text(emk_cbor_reader *c, char *out, size_t max)
{
    emk_span s = emk_cbor_read_text(c);

    if (s.len > max) {
        emk_cbor_fail(c, EMK_E_FORMAT, "subjects: a damaged record", s.len);
        return 0;
    }
    if (s.len)
        memcpy(out, s.p, s.len);
    return s.len;
}

static emk_status decode(emk_span in, subject *out, emk_error *e)
{
    subject s = {0};
    emk_cbor_reader c;
    int64_t key;
    emk_status st;

    emk_cbor_reader_init(&c, in);
    emk_cbor_enter_map(&c);
    while (emk_cbor_next_key(&c, &key)) {
        if (key == 1)
            s.state = emk_cbor_read_uint(&c);
        else if (key == 2)
            s.hold = emk_cbor_read_bool(&c);
        else if (key == 3)
            s.made_s = emk_cbor_read_uint(&c);
        else if (key == 4)
            emk_cbor_read_fixed(&c, s.wrapped, sizeof s.wrapped);
        else if (key == 5)
            s.erased_s = emk_cbor_read_uint(&c);
        else if (key == 6)
            s.basis_len = keep_text(&c, s.basis, BASIS_MAX);
        else if (key == 7)
            s.actor_len = keep_text(&c, s.actor, EMK_JOURNAL_ACTOR_MAX);
        else
            emk_cbor_fail(&c, EMK_E_FORMAT, "subjects: a damaged record", (uint64_t)key);
    }
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, e);
    if (st == EMK_OK && (s.state < STATE_LIVE || s.state > STATE_ERASED))
        st = emk_fail(e, EMK_E_FORMAT, "subjects: a damaged record", s.state);
    if (st == EMK_OK)
        *out = s;
    return st;
}

static emk_status check_subject(emk_span id, emk_error *e)
{
    if (id.len == 0)
        return emk_fail(e, EMK_E_USAGE, "subjects: no subject", 0);
    if (id.len > EMK_JOURNAL_SUBJECT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "subjects: length of a subject", id.len);
    return EMK_OK;
}

static emk_status load(const emk_subjects *s, emk_span id, subject *out, emk_error *e)
{
    emk_record_info info = {0};
    emk_buf value;
    emk_status st = check_subject(id, e);

    emk_buf_init(&value, VALUE_MAX);
    if (st == EMK_OK)
        st = emk_records_get(&s->records, s->kind, id, &info, &value, e);
    if (st == EMK_OK)
        st = decode(emk_buf_span(&value), out, e);
    if (st == EMK_OK)
        out->version = info.version;
    emk_buf_done(&value);
    return st;
}

static emk_status store(const emk_subjects *s, emk_span id, const subject *what, emk_error *e)
{
    uint8_t value[VALUE_MAX];
    emk_record_change c = {.op = EMK_RECORD_PUT,
                           .kind = s->kind,
                           .id = id,
                           .expect = what->version,
                           .value = encode(what, value)};

    return emk_records_commit(&s->records, &c, 1, NULL, e);
}

/* ---- keys ---- */

typedef struct sealing {
    const uint8_t *key; /* 32 bytes */
    emk_span aad;
} sealing;

/* nonce || cipher || tag */
static emk_status seal(const emk_subjects *s, sealing k, emk_span plain, uint8_t *out, emk_error *e)
{
    emk_aead *a = NULL;
    emk_status st = emk_random_public(s->c, out, NONCE_LEN, e);

    if (st == EMK_OK)
        st = emk_aead_new(s->c, EMK_AEAD_AES_256_GCM, &a, e);
    if (st == EMK_OK)
        st = emk_aead_set_key(a, k.key, e);
    if (st == EMK_OK)
        st = emk_aead_seal(a, out, k.aad, plain, out + NONCE_LEN, out + NONCE_LEN + plain.len, e);
    emk_aead_free(a);
    return st;
}

static emk_status unseal(const emk_subjects *s, sealing k, emk_span in, uint8_t *out, emk_error *e)
{
    size_t len = in.len - NONCE_LEN - TAG_LEN;
    emk_aead *a = NULL;
    emk_status st = emk_aead_new(s->c, EMK_AEAD_AES_256_GCM, &a, e);

    if (st == EMK_OK)
        st = emk_aead_set_key(a, k.key, e);
    if (st == EMK_OK)
        st = emk_aead_open(a, in.p, k.aad, emk_span_of(in.p + NONCE_LEN, len),
                           in.p + NONCE_LEN + len, out, e);
    emk_aead_free(a);
    return st;
}

static sealing kek_of(const emk_subjects *s, emk_span id)
{
    return (sealing){emk_secret_span(s->kek).p, id};
}

static emk_status make_key(const emk_subjects *s, emk_span id, uint64_t now_s, uint8_t key[KEY_LEN],
                           emk_error *e)
{
    subject fresh = {.state = STATE_LIVE, .made_s = now_s, .version = EMK_RECORD_ABSENT};
    emk_status st = emk_random_secret(s->c, key, KEY_LEN, e);

    if (st == EMK_OK)
        st = seal(s, kek_of(s, id), emk_span_of(key, KEY_LEN), fresh.wrapped, e);
    return st == EMK_OK ? store(s, id, &fresh, e) : st;
}

/* The subject's key, made when it has none and now_s says when. */
static emk_status get_key(const emk_subjects *s, emk_span id, uint64_t now_s, uint8_t key[KEY_LEN],
                          emk_error *e)
{
    subject have;
    emk_status st = EMK_E_STALE;

    if (emk_secret_len(s->kek) != KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "subjects: length of the wrapping key", 0);
    for (unsigned i = 0; i < TRIES && st == EMK_E_STALE; i++) { /* somebody made one meanwhile */
        st = load(s, id, &have, e);
        if (st == EMK_E_NOT_FOUND && now_s) {
            st = make_key(s, id, now_s, key, e);
            if (st == EMK_OK)
                return st;
        }
    }
    if (st != EMK_OK)
        return st;
    if (have.state != STATE_LIVE)
        return emk_fail(e, EMK_E_POLICY, "subjects: erased", have.erased_s);
    return unseal(s, kek_of(s, id), emk_span_of(have.wrapped, WRAPPED_LEN), key, e);
}

/* What a sealed part is bound to: [type, subject, object]. */
static emk_span binding(const emk_journal_event *ev, uint8_t out[AAD_MAX])
{
    emk_writer w;

    emk_writer_init(&w, out, AAD_MAX);
    emk_cbor_put_array(&w, 3);
    emk_cbor_put_text(&w, ev->type);
    emk_cbor_put_bytes(&w, ev->subject);
    emk_cbor_put_text(&w, ev->object);
    return emk_writer_span(&w);
}

emk_status emk_subjects_seal(const emk_subjects *s, const emk_journal_event *event, emk_span plain,
                             uint64_t now_s, emk_buf *out, emk_error *e)
{
    uint8_t key[KEY_LEN], aad[AAD_MAX], sealed[EMK_JOURNAL_PII_MAX];
    emk_status st;

    if (plain.len == 0 || now_s == 0)
        return emk_fail(e, EMK_E_USAGE, "subjects: nothing to seal, or no time", 0);
    if (plain.len > EMK_SUBJECT_PLAIN_MAX || event->type.len > EMK_JOURNAL_TYPE_MAX ||
        event->object.len > EMK_JOURNAL_OBJECT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "subjects: length", plain.len);
    st = get_key(s, event->subject, now_s, key, e);
    if (st == EMK_OK)
        st = seal(s, (sealing){key, binding(event, aad)}, plain, sealed, e);
    emk_wipe(key, sizeof key);
    return st == EMK_OK
               ? emk_buf_append(out, emk_span_of(sealed, NONCE_LEN + plain.len + TAG_LEN), e)
               : st;
}

emk_status emk_subjects_unseal(const emk_subjects *s, const emk_journal_event *event,
                               emk_buf *plain, emk_error *e)
{
    uint8_t key[KEY_LEN], aad[AAD_MAX], out[EMK_JOURNAL_PII_MAX];
    emk_span in = event->pii;
    emk_status st;

    if (in.len <= NONCE_LEN + TAG_LEN || in.len > EMK_JOURNAL_PII_MAX)
        return emk_fail(e, EMK_E_SEALED, "subjects: length of a sealed part", in.len);
    if (event->type.len > EMK_JOURNAL_TYPE_MAX || event->object.len > EMK_JOURNAL_OBJECT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "subjects: length", event->object.len);
    st = get_key(s, event->subject, 0, key, e);
    if (st == EMK_E_POLICY || st == EMK_E_NOT_FOUND)
        st = emk_fail(e, EMK_E_KEY_LOST, "subjects: erased", 0);
    if (st == EMK_OK)
        st = unseal(s, (sealing){key, binding(event, aad)}, in, out, e);
    if (st == EMK_OK)
        st = emk_buf_append(plain, emk_span_of(out, in.len - NONCE_LEN - TAG_LEN), e);
    emk_wipe(key, sizeof key);
    emk_wipe(out, sizeof out);
    return st;
}

/* ---- erasing ---- */

static emk_status log_erasure(const emk_subjects *s, emk_journal *j, emk_span id, subject *what,
                              emk_error *e)
{
    uint8_t detail[BASIS_MAX + 16];
    emk_journal_event event = {.time_ms = what->erased_s * 1000u,
                               .type = emk_span_str("subject.erase"),
                               .actor = emk_span_of(what->actor, what->actor_len),
                               .subject = id,
                               .outcome = EMK_JOURNAL_DONE};
    emk_status st;
    emk_writer w;

    emk_writer_init(&w, detail, sizeof detail);
    emk_cbor_put_map(&w, 1);
    emk_cbor_put_uint(&w, 1);
    emk_cbor_put_text(&w, emk_span_of(what->basis, what->basis_len));
    event.detail = emk_writer_span(&w);
    st = emk_journal_append(j, &event, 1, NULL, e);
    if (st != EMK_OK)
        return st;
    what->state = STATE_ERASED;
    return store(s, id, what, e);
}

static emk_status check_erasure(const emk_erasure *w, emk_error *e)
{
    emk_journal_event event = {.type = emk_span_str("x"),
                               .actor = w->actor,
                               .subject = w->subject,
                               .outcome = EMK_JOURNAL_DONE};

    if (w->basis.len == 0 || w->basis.len > BASIS_MAX)
        return emk_fail(e, EMK_E_USAGE, "subjects: the legal basis", w->basis.len);
    event.object = w->basis; /* text, as an object must be */
    return emk_journal_event_check(&event, e);
}

emk_status emk_subjects_erase(const emk_subjects *s, emk_journal *j, const emk_erasure *what,
                              emk_error *e)
{
    subject have;
    emk_status st = check_erasure(what, e);

    if (st == EMK_OK)
        st = load(s, what->subject, &have, e);
    if (st != EMK_OK)
        return st;
    if (have.hold)
        return emk_fail(e, EMK_E_POLICY, "subjects: under a legal hold", 0);
    if (have.state != STATE_LIVE)
        return emk_fail(e, EMK_E_USED, "subjects: erased before", have.erased_s);
    have.state = STATE_ERASING;
    have.erased_s = what->now_s;
    memcpy(have.basis, what->basis.p, what->basis.len);
    have.basis_len = what->basis.len;
    memcpy(have.actor, what->actor.p, what->actor.len);
    have.actor_len = what->actor.len;
    emk_wipe(have.wrapped, sizeof have.wrapped);
    st = store(s, what->subject, &have, e);
    if (st == EMK_OK)
        st = emk_records_scrub(&s->records, e);
    if (st == EMK_OK)
        st = load(s, what->subject, &have, e);
    return st == EMK_OK ? log_erasure(s, j, what->subject, &have, e) : st;
}

emk_status emk_subjects_hold(const emk_subjects *s, emk_span id, bool hold, emk_error *e)
{
    emk_status st = EMK_E_STALE;
    subject have;

    for (unsigned i = 0; i < TRIES && st == EMK_E_STALE; i++) {
        st = load(s, id, &have, e);
        if (st == EMK_OK && have.state != STATE_LIVE)
            st = emk_fail(e, EMK_E_USED, "subjects: erased before", have.erased_s);
        if (st != EMK_OK)
            return st;
        have.hold = hold;
        st = store(s, id, &have, e);
    }
    return st;
}

emk_status emk_subjects_is_held(const emk_subjects *s, emk_span id, bool *held, emk_error *e)
{
    subject have = {.hold = false};
    emk_status st = load(s, id, &have, e);

    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    *held = have.hold && have.state == STATE_LIVE;
    return EMK_OK;
}

/* ---- after a kill ---- */

typedef struct unlogged {
    uint8_t id[EMK_RECORD_ID_MAX], last[EMK_RECORD_ID_MAX];
    size_t id_len, last_len, n_seen;
} unlogged;

/* The store must not be used meanwhile: the first one found is dealt with after the scan. */
static emk_status find_unlogged(void *self, const emk_record_view *r, emk_error *e)
{
    unlogged *u = self;
    subject s;
    emk_status st = decode(r->value, &s, e);

    if (st != EMK_OK)
        return st;
    u->n_seen++;
    memcpy(u->last, r->id.p, r->id.len);
    u->last_len = r->id.len;
    if (s.state == STATE_ERASING && u->id_len == 0) {
        memcpy(u->id, r->id.p, r->id.len);
        u->id_len = r->id.len;
    }
    return EMK_OK;
}

emk_status emk_subjects_resume(const emk_subjects *s, emk_journal *j, uint64_t now_s, uint64_t *n,
                               emk_error *e)
{
    unlogged u = {.n_seen = EMK_RECORD_SCAN_MAX};
    uint64_t found = 0;
    emk_status st = EMK_OK;

    (void)now_s; /* the time in the log is that of the erasure */
    while (st == EMK_OK && u.n_seen == EMK_RECORD_SCAN_MAX) {
        emk_record_scan scan = {.kind = s->kind, .limit = EMK_RECORD_SCAN_MAX};
        uint8_t after[EMK_RECORD_ID_MAX];
        subject have;

        memcpy(after, u.last, sizeof after);
        scan.after = emk_span_of(after, u.last_len);
        u.n_seen = u.id_len = 0;
        st = emk_records_scan(&s->records, &scan, find_unlogged, &u, e);
        if (st != EMK_OK || u.id_len == 0)
            continue;
        st = load(s, emk_span_of(u.id, u.id_len), &have, e);
        if (st == EMK_OK)
            st = log_erasure(s, j, emk_span_of(u.id, u.id_len), &have, e);
        found++;
        memcpy(u.last, u.id, sizeof u.last); /* go on behind it */
        u.last_len = u.id_len;
        u.n_seen = EMK_RECORD_SCAN_MAX;
    }
    if (st == EMK_OK)
        *n = found;
    return st;
}
