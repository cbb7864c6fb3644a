#include "server/api/directory.h"

#include "core/base/bytes.h"
#include "core/codec/cbor.h"
#include "core/crypto/hash.h"

#include <string.h>

#define MARK_TRIES 8u

/* Values are maps with small integer keys; a key that is not known is refused, so that an older
 * server does not lose what a newer one wrote. */
enum device_key {
    D_ALG = 1,
    D_SIGNING = 2,
    D_USER = 3,
    D_LEVEL = 4,
    D_REVOKED = 5,
    D_NOT_AFTER = 6,
    D_KEM = 7,
    D_AGREEMENT = 8,
    D_KIND = 9,
    D_PLATFORM = 10,
    D_ENROLLED = 11,
    D_TENANT = 12,
    D_APP = 13,
    D_ATTESTED = 14,
    D_EVIDENCE_UNTIL = 15,
    D_WARNINGS = 16,
    D_KEY_HOME = 17,
    D_BOOT = 18,
    D_TRAITS = 19,
    D_OS_VERSION = 20,
    D_OS_PATCH = 21,
    D_APP_KEY = 22,
    D_APP_KEY_ID = 23,
    D_APP_COUNTER = 24,
    D_EK = 25,
    D_TPM_RESETS = 26,
    D_TPM_RESTARTS = 27,
    D_TPM_FIRMWARE = 28,
    D_DEMAND = 29,
    D_ASKED = 30,
    D_ENDED = 31,
    D_HELD = 32
};
enum service_key {
    S_NAME = 1,
    S_HASH = 2,
    S_SCOPES = 3,
    S_NOT_AFTER = 4,
    S_REVOKED = 5,
    S_TENANT = 6
};
enum operator_key { O_PASSWORD = 1, O_SCOPES = 2, O_GENERATION = 3, O_DISABLED = 4 };

static void put_key(emk_writer *w, int key)
{
    emk_cbor_put_int(w, key);
}

static void put_text(emk_writer *w, int key, const char *text)
{
    put_key(w, key);
    emk_cbor_put_text(w, emk_span_str(text));
}

static void put_uint(emk_writer *w, int key, uint64_t v)
{
    put_key(w, key);
    emk_cbor_put_uint(w, v);
}

static void put_bool(emk_writer *w, int key, bool v)
{
    put_key(w, key);
    emk_cbor_put_bool(w, v);
}

static void read_text(emk_cbor_reader *r, char *out, size_t cap)
{
    emk_span s = emk_cbor_read_text(r);

    if (s.len >= cap) {
        emk_cbor_fail(r, EMK_E_FORMAT, "record: text too long", s.len);
        return;
    }
    if (s.len > 0)
        memcpy(out, s.p, s.len);
    out[s.len] = 0;
}

static uint64_t read_max(emk_cbor_reader *r, uint64_t max)
{
    uint64_t v = emk_cbor_read_uint(r);

    if (v > max)
        emk_cbor_fail(r, EMK_E_FORMAT, "record: number too large", v);
    return v;
}

/* Fetches a record's value and reads its map with `field`. */
typedef void (*field_fn)(emk_cbor_reader *r, int64_t key, void *out);

static emk_status read_map(emk_span value, field_fn field, void *out, emk_error *e)
{
    emk_cbor_reader r;
    int64_t key;

    emk_cbor_reader_init(&r, value);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key))
        field(&r, key, out);
    emk_cbor_leave(&r);
    return emk_cbor_finish(&r, e);
}

static emk_status get_map(const emk_records *records, emk_kind kind, emk_span id, field_fn field,
                          void *out, emk_error *e)
{
    emk_buf value;
    emk_status st;

    emk_buf_init(&value, EMK_RECORD_VALUE_MAX);
    st = emk_records_get(records, kind, id, NULL, &value, e);
    if (st == EMK_OK)
        st = read_map(emk_buf_span(&value), field, out, e);
    emk_buf_done(&value);
    return st;
}

static emk_status put_record(const emk_records *r, emk_kind kind, emk_span id, emk_writer *w,
                             emk_error *e)
{
    emk_record_change change = {.op = EMK_RECORD_PUT,
                                .kind = kind,
                                .id = id,
                                .expect = EMK_RECORD_ANY,
                                .value = emk_writer_span(w)};

    if (w->full)
        return emk_fail(e, EMK_E_LIMIT, "record: too long", w->pos);
    return emk_records_commit(r, &change, 1, NULL, e);
}

emk_status emk_user_owner(const emk_crypto *c, const char *tenant, const char *user,
                          uint8_t owner[32], emk_error *e)
{
    static const char label[] = "earmark/1 owner"; /* hashed with its zero, as the tenant is */
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(tenant, strlen(tenant) + 1),
                        emk_span_str(user)};

    return emk_sha256(c, parts, sizeof parts / sizeof parts[0], owner, e);
}

static void put_fixed(emk_writer *w, int key, const uint8_t *p, size_t len)
{
    put_key(w, key);
    emk_cbor_put_bytes(w, emk_span_of(p, len));
}

/* Fields that came later than the first eleven; a device that was not attested has none. */
#define ATTESTED_FIELDS 16u

static void put_attested(emk_writer *w, const emk_device_record *d)
{
    put_text(w, D_APP, d->app);
    put_uint(w, D_ATTESTED, d->attested);
    put_uint(w, D_EVIDENCE_UNTIL, d->evidence_until);
    put_uint(w, D_WARNINGS, d->warnings);
    put_uint(w, D_KEY_HOME, d->key_home);
    put_uint(w, D_BOOT, d->boot);
    put_uint(w, D_TRAITS, d->traits);
    put_uint(w, D_OS_VERSION, d->os_version);
    put_uint(w, D_OS_PATCH, d->os_patch);
    put_fixed(w, D_APP_KEY, d->app_key, sizeof d->app_key);
    put_fixed(w, D_APP_KEY_ID, d->app_key_id, sizeof d->app_key_id);
    put_uint(w, D_APP_COUNTER, d->app_counter);
    put_fixed(w, D_EK, d->ek_thumbprint, sizeof d->ek_thumbprint);
    put_uint(w, D_TPM_RESETS, d->tpm_resets);
    put_uint(w, D_TPM_RESTARTS, d->tpm_restarts);
    put_uint(w, D_TPM_FIRMWARE, d->tpm_firmware);
}

/* A device that nothing was ever demanded of has none of these. */
#define DEMAND_FIELDS 4u

static bool has_demands(const emk_device_record *d)
{
    return d->demand || d->asked_s || d->ended_s || d->held_until_s;
}

static void put_demands(emk_writer *w, const emk_device_record *d)
{
    put_uint(w, D_DEMAND, d->demand);
    put_uint(w, D_ASKED, d->asked_s);
    put_uint(w, D_ENDED, d->ended_s);
    put_uint(w, D_HELD, d->held_until_s);
}

emk_status emk_device_change_make(const emk_crypto *c, const uint8_t id[32],
                                  const emk_device_record *d, uint64_t expect,
                                  emk_device_change *out, emk_error *e)
{
    emk_writer w;
    emk_status st = emk_user_owner(c, d->gate.tenant, d->gate.user, out->owner, e);

    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, out->value, sizeof out->value);
    emk_cbor_put_map(&w, 12 + (d->attested ? ATTESTED_FIELDS : 0) +
                             (has_demands(d) ? DEMAND_FIELDS : 0));
    put_uint(&w, D_ALG, d->gate.alg);
    put_key(&w, D_SIGNING);
    emk_cbor_put_bytes(&w, emk_span_of(d->gate.signing_key, emk_sign_public_len(d->gate.alg)));
    put_text(&w, D_USER, d->gate.user);
    put_uint(&w, D_LEVEL, d->gate.attestation_level);
    put_bool(&w, D_REVOKED, d->gate.revoked);
    put_uint(&w, D_NOT_AFTER, d->gate.not_after);
    put_uint(&w, D_KEM, d->kem);
    put_key(&w, D_AGREEMENT);
    emk_cbor_put_bytes(&w, emk_span_of(d->agreement, d->agreement_len));
    put_uint(&w, D_KIND, d->attestation_kind);
    put_text(&w, D_PLATFORM, d->platform);
    put_uint(&w, D_ENROLLED, d->enrolled);
    put_text(&w, D_TENANT, d->gate.tenant);
    if (d->attested)
        put_attested(&w, d);
    if (has_demands(d))
        put_demands(&w, d);
    if (w.full)
        return emk_fail(e, EMK_E_LIMIT, "device record: too long", w.pos);
    out->change = (emk_record_change){.op = EMK_RECORD_PUT,
                                      .kind = EMK_KIND_DEVICE,
                                      .id = emk_span_of(id, EMK_GATE_DEVICE_ID_LEN),
                                      .expect = expect,
                                      .owner = emk_span_of(out->owner, sizeof out->owner),
                                      .value = emk_writer_span(&w)};
    return EMK_OK;
}

static void read_signing(emk_cbor_reader *r, emk_gate_device *d)
{
    emk_span key = emk_cbor_read_bytes(r);

    if (key.len == 0 || key.len != emk_sign_public_len(d->alg))
        emk_cbor_fail(r, EMK_E_FORMAT, "device record: signing key", key.len);
    else
        memcpy(d->signing_key, key.p, key.len);
}

static void read_agreement(emk_cbor_reader *r, emk_device_record *d)
{
    emk_span key = emk_cbor_read_bytes(r);

    if (key.len > sizeof d->agreement) {
        emk_cbor_fail(r, EMK_E_FORMAT, "device record: agreement key", key.len);
        return;
    }
    if (key.len > 0)
        memcpy(d->agreement, key.p, key.len);
    d->agreement_len = key.len;
}

static void demand_field(emk_cbor_reader *r, int64_t key, emk_device_record *d)
{
    switch (key) {
    case D_DEMAND:
        d->demand = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_ASKED:
        d->asked_s = emk_cbor_read_uint(r);
        break;
    case D_ENDED:
        d->ended_s = emk_cbor_read_uint(r);
        break;
    case D_HELD:
        d->held_until_s = emk_cbor_read_uint(r);
        break;
    default:
        emk_cbor_fail(r, EMK_E_UNSUPPORTED, "device record: unknown key", (uint64_t)key);
        break;
    }
}

static void attested_field(emk_cbor_reader *r, int64_t key, emk_device_record *d)
{
    switch (key) {
    case D_APP:
        read_text(r, d->app, sizeof d->app);
        break;
    case D_ATTESTED:
        d->attested = emk_cbor_read_uint(r);
        break;
    case D_EVIDENCE_UNTIL:
        d->evidence_until = emk_cbor_read_uint(r);
        break;
    case D_WARNINGS:
        d->warnings = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_KEY_HOME:
        d->key_home = (uint32_t)read_max(r, UINT8_MAX);
        break;
    case D_BOOT:
        d->boot = (uint32_t)read_max(r, UINT8_MAX);
        break;
    case D_TRAITS:
        d->traits = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_OS_VERSION:
        d->os_version = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_OS_PATCH:
        d->os_patch = (uint32_t)read_max(r, UINT32_MAX);
        break;
    default:
        demand_field(r, key, d);
        break;
    }
}

static void vendor_field(emk_cbor_reader *r, int64_t key, emk_device_record *d)
{
    switch (key) {
    case D_APP_KEY:
        emk_cbor_read_fixed(r, d->app_key, sizeof d->app_key);
        break;
    case D_APP_KEY_ID:
        emk_cbor_read_fixed(r, d->app_key_id, sizeof d->app_key_id);
        break;
    case D_APP_COUNTER:
        d->app_counter = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_EK:
        emk_cbor_read_fixed(r, d->ek_thumbprint, sizeof d->ek_thumbprint);
        break;
    case D_TPM_RESETS:
        d->tpm_resets = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_TPM_RESTARTS:
        d->tpm_restarts = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case D_TPM_FIRMWARE:
        d->tpm_firmware = emk_cbor_read_uint(r);
        break;
    default:
        attested_field(r, key, d);
        break;
    }
}

static void device_field(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_device_record *d = out;

    switch (key) {
    case D_ALG:
        d->gate.alg = (emk_sign_alg)read_max(r, EMK_SIGN_ES256);
        break;
    case D_SIGNING:
        read_signing(r, &d->gate);
        break;
    case D_USER:
        read_text(r, d->gate.user, sizeof d->gate.user);
        break;
    case D_LEVEL:
        d->gate.attestation_level = (uint8_t)read_max(r, UINT8_MAX);
        break;
    case D_REVOKED:
        d->gate.revoked = emk_cbor_read_bool(r);
        break;
    case D_NOT_AFTER:
        d->gate.not_after = emk_cbor_read_uint(r);
        break;
    case D_KEM:
        d->kem = (uint16_t)read_max(r, UINT16_MAX);
        break;
    case D_AGREEMENT:
        read_agreement(r, d);
        break;
    case D_KIND:
        d->attestation_kind = (uint8_t)read_max(r, UINT8_MAX);
        break;
    case D_PLATFORM:
        read_text(r, d->platform, sizeof d->platform);
        break;
    case D_ENROLLED:
        d->enrolled = emk_cbor_read_uint(r);
        break;
    case D_TENANT:
        read_text(r, d->gate.tenant, sizeof d->gate.tenant);
        break;
    default:
        vendor_field(r, key, d);
        break;
    }
}

emk_status emk_device_read(emk_span value, emk_device_record *out, emk_error *e)
{
    emk_device_record d = {.kem = 0};
    emk_status st = read_map(value, device_field, &d, e);

    if (st != EMK_OK)
        return st;
    /* A key of no algorithm would verify nothing, but say so here, where it is damaged. */
    if (emk_sign_public_len(d.gate.alg) == 0)
        return emk_fail(e, EMK_E_FORMAT, "device record: no signing key", 0);
    *out = d;
    return EMK_OK;
}

emk_status emk_device_get(const emk_records *r, const uint8_t id[32], emk_device_record *out,
                          uint64_t *version, emk_error *e)
{
    emk_record_info info;
    emk_buf value;
    emk_status st;

    emk_buf_init(&value, EMK_RECORD_VALUE_MAX);
    st = emk_records_get(r, EMK_KIND_DEVICE, emk_span_of(id, EMK_GATE_DEVICE_ID_LEN), &info, &value,
                         e);
    if (st == EMK_OK)
        st = emk_device_read(emk_buf_span(&value), out, e);
    if (st == EMK_OK)
        out->version = info.version;
    if (st == EMK_OK && version)
        *version = info.version;
    emk_buf_done(&value);
    return st;
}

emk_record_change emk_device_check(const uint8_t id[32], const emk_device_record *d)
{
    return (emk_record_change){.op = EMK_RECORD_CHECK,
                               .kind = EMK_KIND_DEVICE,
                               .id = emk_span_of(id, EMK_GATE_DEVICE_ID_LEN),
                               .expect = d->version ? d->version : EMK_RECORD_ANY};
}

emk_status emk_device_is_there(const emk_records *r, const uint8_t id[32],
                               const emk_device_record *d, emk_error *e)
{
    if (d->version == 0)
        return EMK_OK;
    return emk_records_get(r, EMK_KIND_DEVICE, emk_span_of(id, EMK_GATE_DEVICE_ID_LEN), NULL, NULL,
                           e);
}

emk_status emk_service_put(const emk_records *r, emk_kind kind, emk_span id,
                           const emk_gate_service *s, emk_error *e)
{
    uint8_t value[512];
    emk_writer w;

    emk_writer_init(&w, value, sizeof value);
    emk_cbor_put_map(&w, 5 + (s->tenant[0] ? 1 : 0));
    put_text(&w, S_NAME, s->name);
    put_key(&w, S_HASH);
    emk_cbor_put_bytes(&w, emk_span_of(s->secret_hash, sizeof s->secret_hash));
    put_uint(&w, S_SCOPES, s->scopes);
    put_uint(&w, S_NOT_AFTER, s->not_after);
    put_bool(&w, S_REVOKED, s->revoked);
    if (s->tenant[0])
        put_text(&w, S_TENANT, s->tenant);
    return put_record(r, kind, id, &w, e);
}

static void service_field(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_gate_service *s = out;

    switch (key) {
    case S_NAME:
        read_text(r, s->name, sizeof s->name);
        break;
    case S_HASH:
        emk_cbor_read_fixed(r, s->secret_hash, sizeof s->secret_hash);
        break;
    case S_SCOPES:
        s->scopes = emk_cbor_read_uint(r);
        break;
    case S_NOT_AFTER:
        s->not_after = emk_cbor_read_uint(r);
        break;
    case S_REVOKED:
        s->revoked = emk_cbor_read_bool(r);
        break;
    case S_TENANT:
        read_text(r, s->tenant, sizeof s->tenant);
        break;
    default:
        emk_cbor_fail(r, EMK_E_UNSUPPORTED, "service record: unknown key", (uint64_t)key);
        break;
    }
}

emk_status emk_operator_put(const emk_records *r, const char *name, const emk_gate_operator *o,
                            emk_error *e)
{
    uint8_t value[512];
    emk_writer w;

    emk_writer_init(&w, value, sizeof value);
    emk_cbor_put_map(&w, 4);
    put_text(&w, O_PASSWORD, o->password);
    put_uint(&w, O_SCOPES, o->scopes);
    put_uint(&w, O_GENERATION, o->generation);
    put_bool(&w, O_DISABLED, o->disabled);
    return put_record(r, EMK_KIND_OPERATOR, emk_span_str(name), &w, e);
}

static void operator_field(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_gate_operator *o = out;

    switch (key) {
    case O_PASSWORD:
        read_text(r, o->password, sizeof o->password);
        break;
    case O_SCOPES:
        o->scopes = emk_cbor_read_uint(r);
        break;
    case O_GENERATION:
        o->generation = (uint32_t)read_max(r, UINT32_MAX);
        break;
    case O_DISABLED:
        o->disabled = emk_cbor_read_bool(r);
        break;
    default:
        emk_cbor_fail(r, EMK_E_UNSUPPORTED, "operator record: unknown key", (uint64_t)key);
        break;
    }
}

/* A name from a credential may be longer than an id: then nobody has it. */
static bool is_id(emk_span id)
{
    return id.len > 0 && id.len <= EMK_RECORD_ID_MAX;
}

static emk_status find_device(void *self, const uint8_t id[32], emk_gate_device *out, emk_error *e)
{
    emk_device_record d;
    emk_status st = emk_device_get(self, id, &d, NULL, e);

    if (st == EMK_OK)
        *out = d.gate;
    return st;
}

static emk_status find_service_kind(const emk_records *r, emk_kind kind, emk_span id,
                                    emk_gate_service *out, emk_error *e)
{
    emk_gate_service s = {.revoked = true}; /* a record that does not say so is not trusted */
    emk_status st;

    if (!is_id(id))
        return emk_fail(e, EMK_E_NOT_FOUND, "directory: no such service", 0);
    st = get_map(r, kind, id, service_field, &s, e);
    if (st == EMK_OK)
        *out = s;
    return st;
}

static emk_status find_service(void *self, const char *key_id, emk_gate_service *out, emk_error *e)
{
    return find_service_kind(self, EMK_KIND_SERVICE, emk_span_str(key_id), out, e);
}

static emk_status find_certificate(void *self, const uint8_t fingerprint[32], emk_gate_service *out,
                                   emk_error *e)
{
    return find_service_kind(self, EMK_KIND_CERTIFICATE, emk_span_of(fingerprint, 32), out, e);
}

static emk_status find_operator(void *self, const char *name, emk_gate_operator *out, emk_error *e)
{
    emk_gate_operator o = {.disabled = true};
    emk_status st;

    if (!is_id(emk_span_str(name)))
        return emk_fail(e, EMK_E_NOT_FOUND, "directory: no such operator", 0);
    st = get_map(self, EMK_KIND_OPERATOR, emk_span_str(name), operator_field, &o, e);
    if (st == EMK_OK)
        *out = o;
    return st;
}

static emk_status get_mark(const emk_records *r, const uint8_t device[32], uint64_t *mark,
                           uint64_t *version, emk_error *e)
{
    emk_record_info info = {.version = EMK_RECORD_ABSENT};
    emk_buf value;
    emk_status st;

    *mark = 0;
    *version = EMK_RECORD_ABSENT;
    emk_buf_init(&value, 8);
    st = emk_records_get(r, EMK_KIND_REPLAY_MARK, emk_span_of(device, 32), &info, &value, e);
    if (st == EMK_OK && value.len != 8)
        st = emk_fail(e, EMK_E_FORMAT, "replay mark: length", value.len);
    if (st == EMK_OK) {
        *mark = emk_load_u64be(value.p);
        *version = info.version;
    }
    emk_buf_done(&value);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status load_mark(void *self, const uint8_t device[32], uint64_t *mark, emk_error *e)
{
    uint64_t version;

    return get_mark(self, device, mark, &version, e);
}

/* Marks only rise, also when two of a device's requests save at once; and there is none of a device
 * that was erased meanwhile. */
static emk_status save_mark(void *self, const uint8_t device[32], uint64_t mark, emk_error *e)
{
    emk_status st = EMK_E_STALE;
    emk_record_info owner;

    for (unsigned try = 0; st == EMK_E_STALE && try < MARK_TRIES; try++) {
        uint64_t there, version;
        uint8_t value[8];
        emk_record_change both[] = {
            {.op = EMK_RECORD_PUT,
             .kind = EMK_KIND_REPLAY_MARK,
             .id = emk_span_of(device, 32),
             .value = emk_span_of(value, sizeof value)},
            {.op = EMK_RECORD_CHECK, .kind = EMK_KIND_DEVICE, .id = emk_span_of(device, 32)}};

        st = get_mark(self, device, &there, &version, e);
        if (st != EMK_OK || there >= mark)
            return st;
        st = emk_records_get(self, EMK_KIND_DEVICE, both[1].id, &owner, NULL, e);
        if (st != EMK_OK)
            return st;
        emk_store_u64be(value, mark);
        both[0].expect = version;
        both[1].expect = owner.version;
        st = emk_records_commit(self, both, 2, NULL, e);
    }
    return st;
}

static void *as_self(const emk_records *r)
{
    union {
        const emk_records *in;
        void *out;
    } u = {r}; /* the tables take a void *, and only read through it */

    return u.out;
}

emk_replay_store emk_replay_store_of(const emk_records *r)
{
    return (emk_replay_store){.load = load_mark, .save = save_mark, .self = as_self(r)};
}

static const emk_gate_directory_ops OPS = {
    .size = sizeof(emk_gate_directory_ops),
    .device = find_device,
    .service = find_service,
    .certificate = find_certificate,
    .operator_ = find_operator,
};

emk_gate_directory emk_directory_of(const emk_records *r)
{
    return (emk_gate_directory){.ops = &OPS, .self = as_self(r)};
}
