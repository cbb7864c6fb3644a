#include "core/seal/policy.h"

#include "core/codec/cbor.h"
#include "core/codec/utf8.h"

enum {
    POLICY_NOT_BEFORE = 1,
    POLICY_EXPIRES = 2,
    POLICY_MAX_OPENS = 3,
    POLICY_LEASE = 4,
    POLICY_GRACE = 5,
    POLICY_RENEWAL_DELAY = 6,
    POLICY_MIN_GUARD = 7,
    POLICY_MEMORY = 8,
    POLICY_RELEASE = 9
};

enum {
    IDENTITY_MODEL = 1,
    IDENTITY_VERSION = 2,
    IDENTITY_USE = 3,
    IDENTITY_APP = 4,
    IDENTITY_USER = 5,
    IDENTITY_DEVICE = 6
};

static bool has_control_character(emk_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < 0x20 || text.p[i] == 0x7F)
            return true;
        if (text.p[i] == 0xC2 && i + 1 < text.len && text.p[i + 1] < 0xA0) /* U+0080 .. U+009F */
            return true;
    }
    return false;
}

bool emk_text_is_clean(emk_span text)
{
    return emk_utf8_check(text) && !has_control_character(text);
}

emk_status emk_text_check(emk_span text, emk_error *e)
{
    if (text.len == 0 || text.len > EMK_TEXT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "text: length", text.len);
    if (!emk_text_is_clean(text))
        return emk_fail(e, EMK_E_FORMAT, "text: not UTF-8, or control characters", 0);
    return EMK_OK;
}

static emk_status check_policy(const emk_policy *p, emk_status st, emk_error *e)
{
    if (p->expires == 0)
        return emk_fail(e, st, "policy: no expiry", 0);
    if (p->not_before >= p->expires)
        return emk_fail(e, st, "policy: expires before it begins", p->expires);
    if (!p->lease_s && (p->grace_s || p->renewal_delay_s))
        return emk_fail(e, st, "policy: grace without a lease", p->grace_s);
    if (p->min_guard > EMK_GUARD_LEVEL_MAX)
        return emk_fail(e, st, "policy: guard level", p->min_guard);
    if (p->memory > EMK_POLICY_MEMORY_SECRET)
        return emk_fail(e, st, "policy: kind of memory", p->memory);
    return EMK_OK;
}

/* The fields in the order of their keys, as numbers. */
static void policy_values(const emk_policy *p, uint64_t values[POLICY_RELEASE + 1])
{
    values[0] = 0;
    values[POLICY_NOT_BEFORE] = p->not_before;
    values[POLICY_EXPIRES] = p->expires;
    values[POLICY_MAX_OPENS] = p->max_opens;
    values[POLICY_LEASE] = p->lease_s;
    values[POLICY_GRACE] = p->grace_s;
    values[POLICY_RENEWAL_DELAY] = p->renewal_delay_s;
    values[POLICY_MIN_GUARD] = p->min_guard;
    values[POLICY_MEMORY] = p->memory;
    values[POLICY_RELEASE] = p->release;
}

emk_status emk_policy_encode(const emk_policy *p, emk_buf *out, emk_error *e)
{
    uint64_t values[POLICY_RELEASE + 1];
    uint8_t space[EMK_POLICY_MAX];
    size_t n = 0;
    emk_writer w;
    emk_status st;

    st = check_policy(p, EMK_E_USAGE, e);
    if (st != EMK_OK)
        return st;
    policy_values(p, values);
    for (unsigned key = 1; key <= POLICY_RELEASE; key++)
        n += values[key] != 0;
    emk_writer_init(&w, space, sizeof space);
    emk_cbor_put_map(&w, n);
    for (unsigned key = 1; key <= POLICY_RELEASE; key++) {
        if (values[key]) {
            emk_cbor_put_uint(&w, key);
            emk_cbor_put_uint(&w, values[key]);
        }
    }
    return emk_buf_append(out, emk_writer_span(&w), e);
}

emk_status emk_policy_decode(emk_span in, emk_policy *out, emk_error *e)
{
    uint64_t values[POLICY_RELEASE + 1] = {0};
    emk_policy p = {0};
    emk_cbor_reader r;
    int64_t key;
    emk_status st;

    if (in.len > EMK_POLICY_MAX)
        return emk_fail(e, EMK_E_LIMIT, "policy: too long", in.len);
    emk_cbor_reader_init(&r, in);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        if (key < 1 || key > POLICY_RELEASE) {
            emk_cbor_fail(&r, EMK_E_FORMAT, "policy: unknown key", (uint64_t)key);
            break;
        }
        values[key] = emk_cbor_read_uint(&r);
        if (values[key] == 0)
            emk_cbor_fail(&r, EMK_E_FORMAT, "policy: a rule with the value 0", (uint64_t)key);
    }
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st != EMK_OK)
        return st;
    if (values[POLICY_MIN_GUARD] > EMK_GUARD_LEVEL_MAX)
        return emk_fail(e, EMK_E_FORMAT, "policy: guard level", values[POLICY_MIN_GUARD]);
    if (values[POLICY_MEMORY] > EMK_POLICY_MEMORY_SECRET)
        return emk_fail(e, EMK_E_FORMAT, "policy: kind of memory", values[POLICY_MEMORY]);
    p.not_before = values[POLICY_NOT_BEFORE];
    p.expires = values[POLICY_EXPIRES];
    p.max_opens = values[POLICY_MAX_OPENS];
    p.lease_s = values[POLICY_LEASE];
    p.grace_s = values[POLICY_GRACE];
    p.renewal_delay_s = values[POLICY_RENEWAL_DELAY];
    p.min_guard = (uint8_t)values[POLICY_MIN_GUARD];
    p.memory = (uint8_t)values[POLICY_MEMORY];
    p.release = values[POLICY_RELEASE];
    st = check_policy(&p, EMK_E_FORMAT, e);
    if (st == EMK_OK)
        *out = p;
    return st;
}

static emk_status check_identity(const emk_identity *id, emk_error *e)
{
    const emk_span *texts[] = {&id->model, &id->user, &id->version, &id->use, &id->app};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        emk_status st;

        if (texts[i]->len == 0 && i >= 2) /* model and user must be there */
            continue;
        st = emk_text_check(*texts[i], e);
        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}

static void put_text_field(emk_writer *w, unsigned key, emk_span text)
{
    if (text.len == 0)
        return;
    emk_cbor_put_uint(w, key);
    emk_cbor_put_text(w, text);
}

emk_status emk_identity_encode(const emk_identity *id, emk_buf *out, emk_error *e)
{
    uint8_t space[EMK_IDENTITY_MAX];
    emk_writer w;
    emk_status st;

    st = check_identity(id, e);
    if (st != EMK_OK)
        return emk_fail(e, EMK_E_USAGE, "identity: model and user are needed, 1 to 128 bytes each",
                        0);
    emk_writer_init(&w, space, sizeof space);
    emk_cbor_put_map(&w, 3u + (id->version.len != 0) + (id->use.len != 0) + (id->app.len != 0));
    put_text_field(&w, IDENTITY_MODEL, id->model);
    put_text_field(&w, IDENTITY_VERSION, id->version);
    put_text_field(&w, IDENTITY_USE, id->use);
    put_text_field(&w, IDENTITY_APP, id->app);
    put_text_field(&w, IDENTITY_USER, id->user);
    emk_cbor_put_uint(&w, IDENTITY_DEVICE);
    emk_cbor_put_bytes(&w, emk_span_of(id->device, EMK_DEVICE_ID_LEN));
    return emk_buf_append(out, emk_writer_span(&w), e);
}

static emk_span read_name(emk_cbor_reader *r)
{
    emk_span text = emk_cbor_read_text(r);
    emk_error why;

    if (emk_cbor_ok(r) && emk_text_check(text, &why) != EMK_OK)
        emk_cbor_fail(r, EMK_E_FORMAT, "identity: a text", text.len);
    return text;
}

static void read_identity_field(emk_cbor_reader *r, int64_t key, emk_identity *id, bool *has_device)
{
    switch (key) {
    case IDENTITY_MODEL:
        id->model = read_name(r);
        break;
    case IDENTITY_VERSION:
        id->version = read_name(r);
        break;
    case IDENTITY_USE:
        id->use = read_name(r);
        break;
    case IDENTITY_APP:
        id->app = read_name(r);
        break;
    case IDENTITY_USER:
        id->user = read_name(r);
        break;
    case IDENTITY_DEVICE:
        emk_cbor_read_fixed(r, id->device, EMK_DEVICE_ID_LEN);
        *has_device = true;
        break;
    default:
        emk_cbor_fail(r, EMK_E_FORMAT, "identity: unknown key", (uint64_t)key);
    }
}

emk_status emk_identity_decode(emk_span in, emk_identity *out, emk_error *e)
{
    emk_identity id = {0};
    bool has_device = false;
    emk_cbor_reader r;
    int64_t key;
    emk_status st;

    if (in.len > EMK_IDENTITY_MAX)
        return emk_fail(e, EMK_E_LIMIT, "identity: too long", in.len);
    emk_cbor_reader_init(&r, in);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key))
        read_identity_field(&r, key, &id, &has_device);
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st != EMK_OK)
        return st;
    if (!id.model.len || !id.user.len || !has_device)
        return emk_fail(e, EMK_E_FORMAT, "identity: a key is missing", 0);
    *out = id;
    return EMK_OK;
}

static emk_status check_time(const emk_policy *p, uint64_t now, emk_error *e)
{
    if (now < p->not_before)
        return emk_fail(e, EMK_E_POLICY, "policy: not valid yet", p->not_before);
    if (now >= p->expires)
        return emk_fail(e, EMK_E_POLICY, "policy: expired", p->expires);
    return EMK_OK;
}

static emk_status check_who(const emk_identity *id, const emk_policy_ask *ask, emk_error *e)
{
    if (memcmp(id->device, ask->device, EMK_DEVICE_ID_LEN) != 0)
        return emk_fail(e, EMK_E_POLICY, "policy: for another device", 0);
    if (!emk_span_equal(id->user, ask->user))
        return emk_fail(e, EMK_E_POLICY, "policy: for another user", 0);
    if (id->app.len && !emk_span_equal(id->app, ask->app))
        return emk_fail(e, EMK_E_POLICY, "policy: for another app", 0);
    if (id->use.len && !emk_span_equal(id->use, ask->use))
        return emk_fail(e, EMK_E_POLICY, "policy: for another use", 0);
    return EMK_OK;
}

uint64_t emk_policy_lease_end(const emk_policy *p, uint64_t lease_until)
{
    uint64_t end = lease_until + p->grace_s;

    if (end < lease_until || end > p->expires)
        return p->expires;
    return end;
}

static emk_status check_lease(const emk_policy *p, const emk_policy_ask *ask, emk_error *e)
{
    if (!p->lease_s)
        return EMK_OK;
    if (!ask->lease_until)
        return emk_fail(e, EMK_E_POLICY, "policy: needs a lease, and there is none", p->lease_s);
    if (ask->clock_is_behind)
        return emk_fail(e, EMK_E_POLICY, "policy: the clock is behind the issuer's time", ask->now);
    if (ask->now >= emk_policy_lease_end(p, ask->lease_until))
        return emk_fail(e, EMK_E_POLICY, "policy: the lease is over: renew it", ask->lease_until);
    return EMK_OK;
}

emk_status emk_policy_check(const emk_policy *p, const emk_identity *id, const emk_policy_ask *ask,
                            emk_error *e)
{
    emk_status st;

    st = check_who(id, ask, e);
    if (st == EMK_OK)
        st = check_time(p, ask->now, e);
    if (st != EMK_OK)
        return st;
    if (p->max_opens && ask->opens >= p->max_opens)
        return emk_fail(e, EMK_E_POLICY, "policy: opens used up", p->max_opens);
    st = check_lease(p, ask, e);
    if (st != EMK_OK)
        return st;
    if (p->min_guard > ask->guard)
        return emk_fail(e, EMK_E_POLICY, "policy: guard level is too low", ask->guard);
    return EMK_OK;
}
