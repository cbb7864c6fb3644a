/* What a server would have given to others before, made directly in its records: a service key,
 * devices that share fixed keys, a ticket for each.  For tests and benchmarks of what comes after;
 * and the device's side of one delivery, without a vault on a disk.
 *
 *     mint service DATA SCOPES                        prints a service key
 *     mint tickets DATA KEYS N MODEL VERSION [USE]    prints the ids of N tickets
 *     mint revoke  DATA TICKET                        revokes its device
 *     mint open    DATA KEYS TICKET SEALED OUT        accepts and opens a sealed file, writes the
 * model
 *
 * DATA and KEYS are the server's folders; it may be running. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"
#include "core/proto/ticket.h"
#include "core/seal/accept.h"
#include "core/seal/vault.h"
#include "server/api/directory.h"
#include "server/api/entities.h"
#include "server/daemon/keys.h"
#include "server/gate/service_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_CAP   1024u
#define LIFE_S     3600u
#define SEALED_MAX ((size_t)64 << 20)
#define BATCH      32u

typedef struct kit {
    emk_crypto *crypto;
    emk_records records;
    emk_kem_private *device_key, *request_key;
    emk_sign_key *issuer_key;
    emk_verify_key *issuer;
} kit;

static void need(emk_status st, const emk_error *e, const char *what)
{
    if (st == EMK_OK)
        return;
    fprintf(stderr, "mint: %s: %s: %s (%llu)\n", what, emk_status_name(st), e->what ? e->what : "",
            (unsigned long long)e->where);
    exit(1);
}

static void make_kem(kit *k, uint16_t kem, uint8_t seed, emk_kem_private **out)
{
    uint8_t ikm[EMK_KEM_PRIVATE_MAX], priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX];
    emk_error e = {0};

    memset(ikm, seed, sizeof ikm);
    need(emk_kem_derive(k->crypto, kem, emk_span_of(ikm, sizeof ikm), priv, pub, &e), &e, "key");
    need(emk_kem_private_new(k->crypto, kem, emk_span_of(priv, emk_kem_private_len(kem)), out, &e),
         &e, "key");
}

static void open_kit(kit *k, const char *data)
{
    char path[PATH_CAP];
    emk_records_sqlite o = {.path = path};
    emk_error e = {0};

    snprintf(path, sizeof path, "%s/records.db", data);
    need(emk_crypto_new(NULL, NULL, &k->crypto, &e), &e, "libcrypto");
    need(emk_records_open_sqlite(&o, &k->records, &e), &e, path);
    make_kem(k, EMK_KEM_P256, 3, &k->device_key);
    make_kem(k, EMK_KEM_X25519, 4, &k->request_key);
}

static void open_issuer(kit *k, const char *keys)
{
    emk_secret *secret = NULL;
    emk_error e = {0};

    need(emk_key_read(keys, EMK_KEY_ISSUER, &secret, &e), &e, keys);
    need(emk_sign_key_new(k->crypto, EMK_SIGN_ED25519, emk_secret_span(secret), &k->issuer_key, &e),
         &e, "issuer");
    need(emk_cose_verify_key(k->crypto, emk_sign_key_public(k->issuer_key), &k->issuer, &e), &e,
         "issuer");
    emk_secret_free(secret);
}

static void close_kit(kit *k)
{
    emk_verify_key_free(k->issuer);
    emk_sign_key_free(k->issuer_key);
    emk_kem_private_free(k->device_key);
    emk_kem_private_free(k->request_key);
    emk_records_close(&k->records);
    emk_crypto_free(k->crypto);
}

static int make_service(const char *data, const char *scopes)
{
    kit k = {.crypto = NULL};
    char text[EMK_SERVICE_KEY_TEXT_CHARS + 1];
    emk_service_key key;
    emk_gate_service s = {.not_after = 0};
    emk_error e = {0};

    open_kit(&k, data);
    need(emk_scopes_parse(emk_span_str(scopes), &s.scopes, &e), &e, scopes);
    need(emk_service_key_make(k.crypto, text, &key, &e), &e, "service key");
    memcpy(s.secret_hash, key.hash, sizeof s.secret_hash);
    snprintf(s.name, sizeof s.name, "backend-%s", key.id);
    need(emk_service_put(&k.records, EMK_KIND_SERVICE, emk_span_str(key.id), &s, &e), &e,
         "service key");
    printf("%s\n", text);
    close_kit(&k);
    return 0;
}

/* Each ticket has a device and a user of its own: who judges them finds nothing remarkable. */
typedef struct minted {
    uint8_t id[EMK_ID_LEN], device[32];
    char user[32];
    emk_ticket_entity entity;
    emk_device_change device_change;
    emk_entity_change ticket_change;
} minted;

static void make_device(kit *k, minted *m)
{
    emk_device_record d = {.kem = EMK_KEM_P256, .enrolled = emk_os_now_s()};
    emk_span agreement = emk_kem_private_public(k->device_key);
    emk_error e = {0};

    need(emk_random_public(k->crypto, m->device, sizeof m->device, &e), &e, "device");
    snprintf(m->user, sizeof m->user, "user-%02x%02x%02x%02x", m->device[0], m->device[1],
             m->device[2], m->device[3]);
    d.gate.alg = EMK_SIGN_ES256;
    d.gate.not_after = emk_os_now_s() + LIFE_S;
    memcpy(d.gate.signing_key, agreement.p, agreement.len); /* never asked */
    memcpy(d.gate.user, m->user, sizeof m->user);
    memcpy(d.agreement, agreement.p, agreement.len);
    d.agreement_len = agreement.len;
    need(emk_device_change_make(k->crypto, m->device, &d, EMK_RECORD_ANY, &m->device_change, &e),
         &e, "device");
}

static void sign_ticket(kit *k, const emk_identity *who, minted *m)
{
    uint64_t now = emk_os_now_s();
    emk_ticket t = {
        .device_key = {EMK_KEM_P256, emk_kem_private_public(k->device_key)},
        .request_key = {EMK_KEM_X25519, emk_kem_private_public(k->request_key)},
        .policy = {.expires = now + 24 * LIFE_S},
        .identity = *who,
        .issued = now,
        .expires = now + LIFE_S,
    };
    emk_ticket_entity *out = &m->entity;
    emk_signer signer;
    emk_buf message;
    emk_error e = {0};

    emk_buf_init(&message, sizeof out->message.p);
    need(emk_random_public(k->crypto, t.id, sizeof t.id, &e), &e, "ticket");
    memcpy(t.device_id, m->device, sizeof t.device_id);
    memcpy(t.identity.device, m->device, sizeof m->device);
    t.identity.user = emk_span_str(m->user);
    need(emk_signer_from_key(k->crypto, k->issuer_key, &signer, &e), &e, "ticket");
    need(emk_ticket_sign(k->crypto, &signer, &t, &message, &e), &e, "ticket");
    memcpy(out->message.p, message.p, message.len);
    out->message.len = message.len;
    out->state = EMK_TICKET_ISSUED;
    memcpy(out->device, m->device, sizeof out->device);
    out->issued_s = t.issued;
    out->expires_s = t.expires;
    memcpy(m->id, t.id, EMK_ID_LEN);
    emk_buf_done(&message);
}

static void make_ticket(kit *k, const emk_identity *who, const emk_ticket_entity *base, minted *m)
{
    emk_entity_put put = {.shape = &emk_ticket_shape, .in = &m->entity};
    emk_error e = {0};

    m->entity = *base;
    make_device(k, m);
    sign_ticket(k, who, m);
    put.id = emk_span_of(m->id, EMK_ID_LEN);
    put.owner = emk_span_of(m->device, sizeof m->device);
    put.expires_s = m->entity.expires_s + LIFE_S;
    need(emk_entity_change_make(&put, &m->ticket_change, &e), &e, "ticket");
}

static void put_tickets(kit *k, const emk_identity *who, const emk_ticket_entity *base, size_t n)
{
    static minted all[BATCH];
    emk_record_change batch[2 * BATCH];
    char text[EMK_BASE64URL_CHARS(EMK_ID_LEN) + 1];
    emk_error e = {0};
    size_t len;

    for (size_t i = 0; i < n; i++) {
        make_ticket(k, who, base, &all[i]);
        batch[2 * i] = all[i].device_change.change;
        batch[2 * i + 1] = all[i].ticket_change.change;
    }
    need(emk_records_commit(&k->records, batch, 2 * n, NULL, &e), &e, "tickets");
    for (size_t i = 0; i < n; i++) {
        emk_entity_change_done(&all[i].ticket_change);
        need(emk_base64url_encode(emk_span_of(all[i].id, EMK_ID_LEN), text, sizeof text, &len, &e),
             &e, "id");
        printf("%s\n", text);
    }
}

static int make_tickets(char **v, int n)
{
    kit k = {.crypto = NULL};
    static emk_ticket_entity base;
    emk_identity who = {.model = emk_span_str(v[3])};
    size_t left = strtoul(v[2], NULL, 10);

    open_kit(&k, v[0]);
    open_issuer(&k, v[1]);
    if (v[4][0])
        who.version = emk_span_str(v[4]);
    if (n > 5)
        who.use = emk_span_str(v[5]);
    snprintf(base.model, sizeof base.model, "%s", v[3]);
    snprintf(base.version, sizeof base.version, "%s", v[4]);
    snprintf(base.use, sizeof base.use, "%s", n > 5 ? v[5] : "");
    while (left > 0) {
        size_t some = left < BATCH ? left : BATCH;

        put_tickets(&k, &who, &base, some);
        left -= some;
    }
    close_kit(&k);
    return 0;
}

static void get_ticket(kit *k, const char *text, emk_ticket_entity *out)
{
    uint8_t id[EMK_ID_LEN];
    emk_record_info info;
    emk_error e = {0};
    size_t len = 0;

    need(emk_base64url_decode(emk_span_str(text), id, sizeof id, &len, &e), &e, "id");
    need(emk_entity_get(&k->records, &emk_ticket_shape, emk_span_of(id, sizeof id), out, &info, &e),
         &e, "ticket");
}

static int revoke(char **v)
{
    kit k = {.crypto = NULL};
    static emk_ticket_entity t;
    static emk_device_change put;
    emk_device_record d;
    emk_error e = {0};

    open_kit(&k, v[0]);
    get_ticket(&k, v[1], &t);
    need(emk_device_get(&k.records, t.device, &d, NULL, &e), &e, "device");
    d.gate.revoked = true;
    need(emk_device_change_make(k.crypto, t.device, &d, EMK_RECORD_ANY, &put, &e), &e, "device");
    need(emk_records_commit(&k.records, &put.change, 1, NULL, &e), &e, "device");
    close_kit(&k);
    return 0;
}

static void read_sealed(kit *k, const emk_ticket *t, const char *path, emk_buf *vault)
{
    emk_accept_in in = {.issuer = k->issuer,
                        .request_key = k->request_key,
                        .device_key = k->device_key,
                        .policy = t->policy_bytes,
                        .identity = t->identity_bytes,
                        .now = emk_os_now_s()};
    uint8_t vault_id[EMK_ID_LEN], *room;
    emk_sink sink;
    emk_source sealed;
    emk_accept_out out = {.vault = &sink, .accepted = in.now, .floor = in.now, .threads = 1};
    emk_accept *a;
    emk_buf file;
    emk_error e = {0};

    emk_buf_init(&file, SEALED_MAX);
    need(emk_os_read_file(path, SEALED_MAX, &file, &e), &e, path);
    sealed = emk_source_from_span(emk_buf_span(&file));
    in.sealed = &sealed;
    memcpy(in.ticket_id, t->id, sizeof in.ticket_id);
    memcpy(in.ticket_hash, t->hash, sizeof in.ticket_hash);
    memcpy(in.request_hash, t->request_hash, sizeof in.request_hash);
    need(emk_accept_new(k->crypto, &in, &a, &e), &e, "accept");
    need(emk_buf_grow(vault, (size_t)emk_accept_vault_len(a), &room, &e), &e, "accept");
    sink = emk_sink_from_memory(room, vault->len);
    need(emk_accept_write(a, &out, vault_id, &e), &e, "accept");
    emk_accept_free(a);
    emk_buf_done(&file);
}

static void write_model(kit *k, const emk_buf *vault, const char *path)
{
    emk_source file = emk_source_from_span(emk_buf_span(vault));
    emk_vault_in in = {.file = &file, .issuer = k->issuer, .device_key = k->device_key};
    emk_vault *v;
    emk_error e = {0};
    size_t len;
    uint8_t *model;
    FILE *f;

    need(emk_vault_open(k->crypto, &in, &v, &e), &e, "open");
    len = (size_t)emk_vault_plan(v)->model_len;
    model = malloc(len);
    f = fopen(path, "wb");
    if (!model || !f)
        exit(1);
    need(emk_vault_read_all(v, model, 1, NULL, &e), &e, "read");
    if (fwrite(model, 1, len, f) != len || fclose(f) != 0)
        exit(1);
    emk_vault_close(v);
    free(model);
}

static int open_sealed(char **v)
{
    kit k = {.crypto = NULL};
    static emk_ticket_entity t;
    emk_ticket ticket;
    emk_buf vault;
    emk_error e = {0};

    open_kit(&k, v[0]);
    open_issuer(&k, v[1]);
    emk_buf_init(&vault, SEALED_MAX);
    get_ticket(&k, v[2], &t);
    need(emk_ticket_verify(k.crypto, emk_span_of(t.message.p, t.message.len), k.issuer,
                           emk_os_now_s(), &ticket, &e),
         &e, "ticket");
    read_sealed(&k, &ticket, v[3], &vault);
    write_model(&k, &vault, v[4]);
    emk_buf_done(&vault);
    close_kit(&k);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "service") == 0 && argc == 4)
        return make_service(argv[2], argv[3]);
    if (strcmp(what, "tickets") == 0 && (argc == 7 || argc == 8))
        return make_tickets(argv + 2, argc - 2);
    if (strcmp(what, "open") == 0 && argc == 7)
        return open_sealed(argv + 2);
    if (strcmp(what, "revoke") == 0 && argc == 4)
        return revoke(argv + 2);
    fprintf(stderr, "usage: see the head of mint.c\n");
    return 2;
}
