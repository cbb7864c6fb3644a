#include "server/journal/record.h"

#include "core/codec/cbor.h"
#include "core/codec/utf8.h"

#include <string.h>

enum {
    KEY_SEQ = 1,
    KEY_TIME,
    KEY_TYPE,
    KEY_ACTOR,
    KEY_TENANT,
    KEY_SUBJECT,
    KEY_OBJECT,
    KEY_OUTCOME,
    KEY_DECISION,
    KEY_RULESET,
    KEY_LINK,
    KEY_EPOCH,
    KEY_PII,
    KEY_DETAIL,
    KEY_LATE
};

static emk_status check_text(emk_span s, size_t max, const char *what, emk_error *e)
{
    if (s.len > max)
        return emk_fail(e, EMK_E_LIMIT, what, s.len);
    if (!emk_utf8_check(s))
        return emk_fail(e, EMK_E_FORMAT, what, 0);
    return EMK_OK;
}

static emk_status check_type(emk_span s, emk_error *e)
{
    if (s.len == 0)
        return emk_fail(e, EMK_E_USAGE, "journal: an event without a type", 0);
    if (s.len > EMK_JOURNAL_TYPE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of a type", s.len);
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return emk_fail(e, EMK_E_FORMAT, "journal: a character of a type", i);
    }
    return EMK_OK;
}

static emk_status check_lengths(const emk_journal_event *ev, emk_error *e)
{
    if (ev->subject.len > EMK_JOURNAL_SUBJECT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of a subject", ev->subject.len);
    if (ev->decision.len > EMK_JOURNAL_DECISION_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of a decision", ev->decision.len);
    if (ev->detail.len > EMK_JOURNAL_DETAIL_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of the detail", ev->detail.len);
    if (ev->pii.len > EMK_JOURNAL_PII_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of the sealed part", ev->pii.len);
    if (ev->pii.len && !ev->subject.len)
        return emk_fail(e, EMK_E_USAGE, "journal: a sealed part without a subject", 0);
    return EMK_OK;
}

emk_status emk_journal_event_check(const emk_journal_event *ev, emk_error *e)
{
    emk_status st = check_type(ev->type, e);

    if (st == EMK_OK && ev->actor.len == 0)
        st = emk_fail(e, EMK_E_USAGE, "journal: an event without an actor", 0);
    if (st == EMK_OK && (ev->outcome < EMK_JOURNAL_DONE || ev->outcome > EMK_JOURNAL_FAILED))
        st = emk_fail(e, EMK_E_USAGE, "journal: no such outcome", (uint64_t)ev->outcome);
    if (st == EMK_OK)
        st = check_text(ev->actor, EMK_JOURNAL_ACTOR_MAX, "journal: actor", e);
    if (st == EMK_OK)
        st = check_text(ev->tenant, EMK_JOURNAL_TENANT_MAX, "journal: tenant", e);
    if (st == EMK_OK)
        st = check_text(ev->object, EMK_JOURNAL_OBJECT_MAX, "journal: object", e);
    if (st == EMK_OK)
        st = check_text(ev->ruleset, EMK_JOURNAL_RULESET_MAX, "journal: ruleset", e);
    if (st == EMK_OK)
        st = check_lengths(ev, e);
    if (st == EMK_OK && ev->detail.len)
        st = emk_cbor_check(ev->detail, e);
    return st;
}

static void put_optional(emk_writer *w, int key, emk_span s, bool text)
{
    if (s.len == 0)
        return;
    emk_cbor_put_uint(w, (uint64_t)key);
    if (text)
        emk_cbor_put_text(w, s);
    else
        emk_cbor_put_bytes(w, s);
}

static size_t count_pairs(const emk_journal_record *r)
{
    const emk_journal_event *v = &r->event;

    size_t n = 7;

    n += v->tenant.len > 0;
    n += v->subject.len > 0;
    n += v->object.len > 0;
    n += v->decision.len > 0;
    n += v->ruleset.len > 0;
    n += v->pii.len > 0;
    n += v->detail.len > 0;
    n += r->late;
    return n;
}

emk_status emk_journal_record_write(const emk_journal_record *r, uint8_t *out, size_t cap,
                                    size_t *len, emk_error *e)
{
    const emk_journal_event *v = &r->event;
    emk_writer w;

    emk_writer_init(&w, out, cap < EMK_JOURNAL_RECORD_MAX ? cap : EMK_JOURNAL_RECORD_MAX);
    emk_cbor_put_map(&w, count_pairs(r));
    emk_cbor_put_uint(&w, KEY_SEQ);
    emk_cbor_put_uint(&w, r->seq);
    emk_cbor_put_uint(&w, KEY_TIME);
    emk_cbor_put_uint(&w, v->time_ms);
    put_optional(&w, KEY_TYPE, v->type, true);
    put_optional(&w, KEY_ACTOR, v->actor, true);
    put_optional(&w, KEY_TENANT, v->tenant, true);
    put_optional(&w, KEY_SUBJECT, v->subject, false);
    put_optional(&w, KEY_OBJECT, v->object, true);
    emk_cbor_put_uint(&w, KEY_OUTCOME);
    emk_cbor_put_uint(&w, (uint64_t)v->outcome);
    put_optional(&w, KEY_DECISION, v->decision, false);
    put_optional(&w, KEY_RULESET, v->ruleset, true);
    put_optional(&w, KEY_LINK, emk_span_of(r->link, sizeof r->link), false);
    emk_cbor_put_uint(&w, KEY_EPOCH);
    emk_cbor_put_uint(&w, r->epoch);
    put_optional(&w, KEY_PII, v->pii, false);
    if (v->detail.len) {
        emk_cbor_put_uint(&w, KEY_DETAIL);
        emk_cbor_put_raw(&w, v->detail);
    }
    if (r->late) {
        emk_cbor_put_uint(&w, KEY_LATE);
        emk_cbor_put_bool(&w, true);
    }
    if (w.full)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of an entry", w.pos);
    *len = w.pos;
    return EMK_OK;
}

/* A field that is there is not empty: an empty one has no second encoding. */
static emk_span not_empty(emk_cbor_reader *c, emk_span s)
{
    if (s.len == 0)
        emk_cbor_fail(c, EMK_E_FORMAT, "journal: an empty field", c->in.pos);
    return s;
}

static void read_value(emk_cbor_reader *c, int64_t key, emk_journal_record *r)
{
    emk_journal_event *v = &r->event;
    uint64_t n;

    switch (key) {
    case KEY_SEQ:
        r->seq = emk_cbor_read_uint(c);
        break;
    case KEY_TIME:
        v->time_ms = emk_cbor_read_uint(c);
        break;
    case KEY_TYPE:
        v->type = emk_cbor_read_text(c);
        break;
    case KEY_ACTOR:
        v->actor = emk_cbor_read_text(c);
        break;
    case KEY_TENANT:
        v->tenant = not_empty(c, emk_cbor_read_text(c));
        break;
    case KEY_SUBJECT:
        v->subject = not_empty(c, emk_cbor_read_bytes(c));
        break;
    case KEY_OBJECT:
        v->object = not_empty(c, emk_cbor_read_text(c));
        break;
    case KEY_OUTCOME:
        n = emk_cbor_read_uint(c);
        v->outcome = n <= EMK_JOURNAL_FAILED ? (emk_journal_outcome)n : 0; /* 0 is refused */
        break;
    case KEY_DECISION:
        v->decision = not_empty(c, emk_cbor_read_bytes(c));
        break;
    case KEY_RULESET:
        v->ruleset = not_empty(c, emk_cbor_read_text(c));
        break;
    case KEY_LINK:
        emk_cbor_read_fixed(c, r->link, sizeof r->link);
        break;
    case KEY_EPOCH:
        r->epoch = emk_cbor_read_uint(c);
        break;
    case KEY_PII:
        v->pii = not_empty(c, emk_cbor_read_bytes(c));
        break;
    case KEY_DETAIL:
        v->detail = emk_cbor_read_raw(c);
        break;
    case KEY_LATE:
        r->late = emk_cbor_read_bool(c);
        if (!r->late)
            emk_cbor_fail(c, EMK_E_FORMAT, "journal: late is true or absent", c->in.pos);
        break;
    default:
        emk_cbor_fail(c, EMK_E_FORMAT, "journal: an unknown field", (uint64_t)key);
    }
}

emk_status emk_journal_record_read(emk_span in, emk_journal_record *out, emk_error *e)
{
    const uint32_t needed = 1u << KEY_SEQ | 1u << KEY_TIME | 1u << KEY_TYPE | 1u << KEY_ACTOR |
                            1u << KEY_OUTCOME | 1u << KEY_LINK | 1u << KEY_EPOCH;
    emk_journal_record r = {0};
    uint32_t seen = 0;
    emk_cbor_reader c;
    int64_t key;
    emk_status st;

    if (in.len > EMK_JOURNAL_RECORD_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: length of an entry", in.len);
    emk_cbor_reader_init(&c, in);
    emk_cbor_enter_map(&c);
    while (emk_cbor_next_key(&c, &key)) {
        read_value(&c, key, &r);
        if (key > 0 && key <= KEY_LATE)
            seen |= 1u << key;
    }
    emk_cbor_leave(&c);
    st = emk_cbor_finish(&c, e);
    if (st != EMK_OK)
        return st;
    if ((seen & needed) != needed)
        return emk_fail(e, EMK_E_FORMAT, "journal: a field is missing", needed & ~seen);
    if (r.epoch == 0)
        return emk_fail(e, EMK_E_FORMAT, "journal: epochs begin at 1", 0);
    st = emk_journal_event_check(&r.event, e);
    if (st != EMK_OK) /* to a reader all of these mean the same */
        return emk_fail(e, EMK_E_FORMAT, "journal: a field is not as it must be", r.seq);
    *out = r;
    return EMK_OK;
}
