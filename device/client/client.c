#include "device/client/client.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_parallel.h"
#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "core/proto/enrolment.h"
#include "core/seal/certificate.h"
#include "device/client/internal.h"
#include "device/client/signer.h"

#define CERTIFICATE_FILE "certificate"
#define LOCK_FILE        "lock"

static uint64_t system_clock(void *self)
{
    (void)self;
    return emk_os_now_s();
}

uint64_t emk_client_now(const emk_client *cl)
{
    return cl->clock(cl->clock_self);
}

emk_agree_key emk_client_agree_key(const emk_client *cl)
{
    return (emk_agree_key){.kem = emk_kem_private_id(cl->device_key),
                           .public_key = emk_kem_private_public(cl->device_key)};
}

unsigned emk_client_threads(unsigned asked)
{
    unsigned n = asked ? asked : emk_os_processors();

    return n < EMK_SEAL_THREADS_MAX ? n : EMK_SEAL_THREADS_MAX;
}

void emk_client_hex(const uint8_t id[EMK_ID_LEN], char hex[EMK_CLIENT_NAME_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < EMK_ID_LEN; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[EMK_CLIENT_NAME_LEN] = '\0';
}

bool emk_client_unhex(const char *text, uint8_t id[EMK_ID_LEN])
{
    for (size_t i = 0; i < EMK_CLIENT_NAME_LEN; i++) {
        char c = text[i];
        uint8_t v;

        if (c >= '0' && c <= '9')
            v = (uint8_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = (uint8_t)(c - 'a' + 10);
        else
            return false;
        id[i / 2] = i % 2 ? (uint8_t)(id[i / 2] | v) : (uint8_t)(v << 4);
    }
    return true;
}

emk_status emk_client_path(const emk_client *cl, const uint8_t id[EMK_ID_LEN], const char *suffix,
                           char path[EMK_CLIENT_PATH_MAX], emk_error *e)
{
    char name[EMK_CLIENT_NAME_LEN + 1];

    emk_client_hex(id, name);
    return emk_os_join(path, EMK_CLIENT_PATH_MAX, cl->vault, name, suffix, e);
}

emk_status emk_client_lock(const emk_client *cl, int *fd, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    emk_status st = emk_os_join(path, sizeof path, cl->vault, LOCK_FILE, "", e);

    if (st != EMK_OK)
        return st;
    return emk_os_lock_file(path, true, fd, e);
}

/* The counter has 16 bytes to name a model: a hash, also because key holders log ids. */
static emk_status release_id(const emk_client *cl, emk_span model, uint8_t id[EMK_ID_LEN],
                             emk_error *e)
{
    static const char label[] = "earmark/1 release"; /* hashed with its zero */
    emk_span parts[] = {emk_span_of(label, sizeof label), model};
    uint8_t hash[EMK_HASH_LEN];
    emk_status st = emk_sha256(cl->crypto, parts, 2, hash, e);

    if (st == EMK_OK)
        memcpy(id, hash, EMK_ID_LEN);
    return st;
}

emk_status emk_client_release_check(emk_client *cl, emk_span model, uint64_t release, emk_error *e)
{
    uint8_t id[EMK_ID_LEN];
    uint64_t newest = 0;
    emk_status st;

    if (release == 0 || !emk_keystore_has_counters(cl->keystore))
        return EMK_OK;
    st = release_id(cl, model, id, e);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_counter_get(cl->keystore, id, &newest, e);
    if (st != EMK_OK)
        return st;
    if (release < newest)
        return emk_fail(e, EMK_E_STALE, "policy: a higher release was accepted before", newest);
    return EMK_OK;
}

emk_status emk_client_release_raise(emk_client *cl, emk_span model, uint64_t release, emk_error *e)
{
    uint8_t id[EMK_ID_LEN];
    emk_status st;

    if (release == 0 || !emk_keystore_has_counters(cl->keystore))
        return EMK_OK;
    st = release_id(cl, model, id, e);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_counter_set(cl->keystore, id, release, e);
    return st == EMK_E_STALE ? EMK_OK : st; /* another process accepted a higher one meanwhile */
}

static emk_status check_config(const emk_client_config *in, emk_error *e)
{
    if (!in->crypto || !in->vault || !in->vault[0])
        return emk_fail(e, EMK_E_USAGE, "client: configuration", 0);
    if (in->n_issuers == 0 || in->n_issuers > EMK_CLIENT_ISSUERS_MAX)
        return emk_fail(e, EMK_E_USAGE, "client: number of issuer keys", in->n_issuers);
    if (in->n_former > EMK_CLIENT_FORMER_MAX)
        return emk_fail(e, EMK_E_USAGE, "client: number of former ids", in->n_former);
    if (in->guard > EMK_GUARD_LEVEL_MAX)
        return emk_fail(e, EMK_E_USAGE, "client: guard level", in->guard);
    return emk_keystore_check(in->keystore, e);
}

static emk_status load_issuers(emk_client *cl, const emk_client_config *in, emk_error *e)
{
    for (size_t i = 0; i < in->n_issuers; i++) {
        emk_status st = emk_cose_verify_key(cl->crypto, in->issuers[i], &cl->issuers[i], e);

        if (st != EMK_OK)
            return st;
        cl->n_issuers = i + 1;
    }
    return EMK_OK;
}

bool emk_client_knows_key(const emk_client *cl, emk_span public_key)
{
    for (size_t i = 0; i < cl->n_issuers; i++)
        if (emk_span_equal(emk_verify_key_public(cl->issuers[i]), public_key))
            return true;
    return false;
}

/* The first one is what the app was shipped with: it stays. */
static emk_status add_issuer(emk_client *cl, emk_span public_key, emk_error *e)
{
    emk_verify_key *key = NULL;
    emk_status st = emk_cose_verify_key(cl->crypto, public_key, &key, e);

    if (st != EMK_OK)
        return st;
    if (cl->n_issuers == EMK_CLIENT_ISSUERS_MAX) {
        emk_verify_key_free(cl->issuers[1]);
        for (size_t i = 2; i < cl->n_issuers; i++)
            cl->issuers[i - 1] = cl->issuers[i];
        cl->n_issuers--;
    }
    cl->issuers[cl->n_issuers++] = key;
    return EMK_OK;
}

emk_status emk_client_learn_issuer(emk_client *cl, emk_span certificate, uint8_t public_key[65],
                                   size_t *len, emk_error *e)
{
    emk_sealing_certificate cert = {.public_len = 0};
    emk_status st = emk_fail(e, EMK_E_SIGNATURE, "client: no issuer", 0);
    emk_span key;

    for (size_t i = 0; i < cl->n_issuers && st == EMK_E_SIGNATURE; i++)
        st = emk_issuer_certificate_verify(cl->crypto, certificate, cl->issuers[i],
                                           emk_client_now(cl), &cert, e);
    if (st != EMK_OK)
        return st;
    key = emk_span_of(cert.public_key, cert.public_len);
    if (!emk_client_knows_key(cl, key))
        st = add_issuer(cl, key, e);
    if (st != EMK_OK)
        return st;
    memcpy(public_key, cert.public_key, cert.public_len);
    *len = cert.public_len;
    return EMK_OK;
}

bool emk_client_knows_issuer(const emk_client *cl, emk_span message)
{
    static const emk_cose_type TYPES[] = {EMK_COSE_TICKET, EMK_COSE_LEASE};
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_error ignored;
    emk_cose o;

    for (size_t t = 0; t < sizeof TYPES / sizeof TYPES[0]; t++) {
        if (emk_cose_parse(message, TYPES[t], &o, &ignored) != EMK_OK)
            continue;
        for (size_t i = 0; i < cl->n_issuers; i++)
            if (emk_cose_kid(cl->crypto, emk_verify_key_public(cl->issuers[i]), kid, &ignored) ==
                    EMK_OK &&
                memcmp(kid, o.kid, sizeof kid) == 0)
                return true;
    }
    return false;
}

static emk_status load_keys(emk_client *cl, emk_error *e)
{
    emk_agree_key agree;
    emk_status st;

    st = emk_keystore_public_keys(cl->keystore, &cl->keys, e);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_kem_private(cl->crypto, cl->keystore, &cl->device_key, e);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_signer(cl->crypto, cl->keystore, &cl->signer, e);
    if (st != EMK_OK)
        return st;
    agree = emk_client_agree_key(cl);
    return emk_device_id(cl->crypto, emk_span_of(cl->keys.signing, sizeof cl->keys.signing), &agree,
                         cl->device_id, e);
}

emk_status emk_client_new(const emk_client_config *in, emk_client **out, emk_error *e)
{
    emk_client *cl;
    emk_status st;

    st = check_config(in, e);
    if (st != EMK_OK)
        return st;
    cl = emk_alloc(1, sizeof *cl);
    if (!cl)
        return emk_fail(e, EMK_E_NO_MEMORY, "client: no memory", sizeof *cl);
    cl->crypto = in->crypto;
    cl->keystore = in->keystore;
    cl->clock = in->clock ? in->clock : system_clock;
    cl->clock_self = in->clock_self;
    cl->guard = in->guard;
    cl->watcher = in->watcher;
    cl->max_bytes = in->max_bytes;
    cl->max_entries = in->max_entries;
    emk_buf_init(&cl->known, EMK_CLIENT_KNOWN_MAX);
    cl->n_former = in->n_former;
    if (in->n_former)
        memcpy(cl->former, in->former, in->n_former * EMK_DEVICE_ID_LEN);
    cl->vault = emk_strdup(in->vault);
    if (!cl->vault)
        st = emk_fail(e, EMK_E_NO_MEMORY, "client: no memory", 0);
    if (st == EMK_OK)
        st = load_issuers(cl, in, e);
    if (st == EMK_OK)
        st = load_keys(cl, e);
    if (st == EMK_OK)
        st = emk_os_make_dir(cl->vault, e);
    if (st == EMK_OK)
        st = emk_watch_new(&cl->watch, e);
    if (st == EMK_OK)
        st = emk_client_guard_begin(cl, e);
    if (st == EMK_OK && in->watchdog)
        st = emk_watch_start(cl->watch, cl, e);
    if (st != EMK_OK) {
        emk_client_free(cl);
        return st;
    }
    *out = cl;
    return EMK_OK;
}

void emk_client_free(emk_client *cl)
{
    if (!cl)
        return;
    emk_client_guard_end(cl);
    emk_watch_stop(cl->watch);
    emk_watch_drop(cl->watch);
    while (cl->waiting) {
        emk_waiting *w = cl->waiting;

        cl->waiting = w->next;
        emk_secret_free(w->secret);
        emk_free(w);
    }
    for (size_t i = 0; i < cl->n_issuers; i++)
        emk_verify_key_free(cl->issuers[i]);
    emk_kem_private_free(cl->device_key);
    emk_buf_done(&cl->known);
    emk_free(cl->vault);
    emk_free(cl);
}

const uint8_t *emk_client_device_id(const emk_client *cl)
{
    return cl->device_id;
}

emk_status emk_client_enrolment(emk_client *cl, emk_span platform, emk_buf *out, emk_error *e)
{
    emk_enrolment in = {.signing_key = {cl->keys.signing, sizeof cl->keys.signing},
                        .agree = emk_client_agree_key(cl),
                        .platform = platform,
                        .created = emk_client_now(cl)};

    return emk_enrolment_sign(cl->crypto, &cl->signer, &in, out, e);
}

/* Whether it is from a pinned issuer, for these very keys, and good now. */
static emk_status check_certificate(emk_client *cl, emk_span message, emk_error *e)
{
    emk_status st = EMK_E_SIGNATURE;
    emk_device_certificate cert;

    for (size_t i = 0; i < cl->n_issuers && st == EMK_E_SIGNATURE; i++)
        st = emk_device_certificate_verify(cl->crypto, message, cl->issuers[i], emk_client_now(cl),
                                           &cert, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(cert.device_id, cl->device_id, sizeof cl->device_id) != 0)
        return emk_fail(e, EMK_E_SEALED, "certificate: it is another device's", 0);
    return EMK_OK;
}

emk_status emk_client_set_certificate(emk_client *cl, emk_span message, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    emk_status st;
    int lock;

    st = check_certificate(cl, message, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_join(path, sizeof path, cl->vault, CERTIFICATE_FILE, "", e);
    if (st != EMK_OK)
        return st;
    st = emk_client_lock(cl, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_file(path, message, e);
    emk_os_close(lock);
    return st;
}

emk_status emk_client_certificate(emk_client *cl, emk_buf *out, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    emk_status st;

    st = emk_os_join(path, sizeof path, cl->vault, CERTIFICATE_FILE, "", e);
    if (st != EMK_OK)
        return st;
    st = emk_os_read_file(path, EMK_CLIENT_CERTIFICATE_MAX, out, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, EMK_E_NOT_FOUND, "client: no device certificate yet: enrol", 0);
    if (st != EMK_OK)
        return st;
    return check_certificate(cl, emk_buf_span(out), e);
}
