/* Requests that wait for their answer.
 *
 * State: with a key holder that keeps secrets, a waiting request is a secret (its key) under
 * the first 16 bytes of the request hash, and a marker file in the vault named after the
 * same bytes.  The marker is written first and removed last, so that a key is never there
 * without something that reminds of it.  It holds
 *
 *    0   8  time of the request, by the device's clock
 *    8  16  ticket id that is being put into the vault; zeros: none yet
 *
 * and its lock says that a process is accepting.  A process killed after the vault entry got
 * its name and before the key was destroyed left the ticket id here: whoever finds that entry
 * in the vault destroys the key, so no second answer is ever taken.
 *
 * With another holder the key is in this client's memory and dies with it. */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "device/client/internal.h"

#define MARKER_LEN  24u
#define MARKER_ID   8u
#define SECRET_HEAD 35u /* version, KEM (2), request hash (32); then the private key */
#define SECRET_MAX  (SECRET_HEAD + EMK_KEM_PRIVATE_MAX)

static size_t encode_secret(const uint8_t hash[EMK_HASH_LEN], const emk_pending_key *key,
                            uint8_t out[SECRET_MAX])
{
    size_t priv_len = emk_kem_private_len(key->kem);

    out[0] = 1;
    emk_store_u16be(out + 1, key->kem);
    memcpy(out + 3, hash, EMK_HASH_LEN);
    memcpy(out + SECRET_HEAD, key->priv, priv_len);
    return SECRET_HEAD + priv_len;
}

static emk_status decode_secret(const emk_client *cl, const uint8_t hash[EMK_HASH_LEN], emk_span s,
                                emk_kem_private **out, emk_error *e)
{
    if (s.len < SECRET_HEAD || s.p[0] != 1 || memcmp(s.p + 3, hash, EMK_HASH_LEN) != 0)
        return emk_fail(e, EMK_E_SEALED, "request key: not as it was written", s.len);
    return emk_kem_private_new(cl->crypto, emk_load_u16be(s.p + 1),
                               emk_span_of(s.p + SECRET_HEAD, s.len - SECRET_HEAD), out, e);
}

static emk_status put_in_memory(emk_client *cl, emk_span secret, emk_error *e)
{
    emk_waiting *w = emk_alloc(1, sizeof *w);
    emk_status st;

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "request key: no memory", sizeof *w);
    st = emk_secret_new(secret.len, &w->secret, e);
    if (st != EMK_OK) {
        emk_free(w);
        return st;
    }
    memcpy(emk_secret_bytes(w->secret), secret.p, secret.len);
    w->created = emk_client_now(cl);
    w->next = cl->waiting;
    cl->waiting = w;
    return EMK_OK;
}

static emk_status put_in_holder(emk_client *cl, const uint8_t *id, emk_span secret, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    uint8_t marker[MARKER_LEN] = {0};
    emk_status st;
    int lock;

    st = emk_client_path(cl, id, EMK_CLIENT_PENDING, path, e);
    if (st != EMK_OK)
        return st;
    emk_store_u64be(marker, emk_client_now(cl));
    st = emk_client_lock(cl, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_file(path, emk_span_of(marker, sizeof marker), e);
    if (st == EMK_OK)
        st = emk_keystore_secret_put(cl->keystore, id, secret, e);
    emk_os_close(lock);
    return st;
}

emk_status emk_pending_put(emk_client *cl, const uint8_t hash[EMK_HASH_LEN],
                           const emk_pending_key *key, emk_error *e)
{
    uint8_t bytes[SECRET_MAX];
    emk_span secret = emk_span_of(bytes, encode_secret(hash, key, bytes));
    emk_status st;

    if (emk_keystore_has_secrets(cl->keystore))
        st = put_in_holder(cl, hash, secret, e);
    else
        st = put_in_memory(cl, secret, e);
    emk_wipe(bytes, sizeof bytes);
    return st;
}

static emk_status no_key(emk_error *e)
{
    return emk_fail(e, EMK_E_USED,
                    "request key: none is held (answered, timed out, or not asked here)", 0);
}

static emk_waiting **find_in_memory(emk_client *cl, const uint8_t *hash)
{
    emk_waiting **at = &cl->waiting;

    while (*at && memcmp(emk_secret_bytes((*at)->secret) + 3, hash, EMK_HASH_LEN) != 0)
        at = &(*at)->next;
    return at;
}

static void forget(emk_waiting **at)
{
    emk_waiting *w = *at;

    *at = w->next;
    emk_secret_free(w->secret);
    emk_free(w);
}

static bool is_committed(const emk_client *cl, const uint8_t marker[MARKER_LEN])
{
    static const uint8_t none[EMK_ID_LEN] = {0};
    char path[EMK_CLIENT_PATH_MAX];

    return memcmp(marker + MARKER_ID, none, EMK_ID_LEN) != 0 &&
           emk_client_path(cl, marker + MARKER_ID, EMK_CLIENT_ENTRY, path, NULL) == EMK_OK &&
           emk_os_exists(path);
}

static emk_status get_key(emk_client *cl, const uint8_t *hash, emk_kem_private **out, emk_error *e)
{
    uint8_t secret[EMK_KEYSTORE_SECRET_MAX];
    size_t len = 0;
    emk_status st;

    st = emk_keystore_secret_get(cl->keystore, hash, secret, &len, e);
    if (st == EMK_E_NOT_FOUND)
        st = no_key(e);
    if (st == EMK_OK)
        st = decode_secret(cl, hash, emk_span_of(secret, len), out, e);
    emk_wipe(secret, sizeof secret);
    return st;
}

/* Under the directory's lock, which a sweep holds while it looks at markers: so a lock that is
 * taken is that of another accept. */
static emk_status lock_marker(emk_client *cl, const char *path, int *fd, emk_error *e)
{
    emk_status st;
    int lock;

    st = emk_client_lock(cl, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_open_update(path, fd, e);
    if (st == EMK_E_NOT_FOUND)
        st = no_key(e);
    if (st == EMK_OK) {
        st = emk_os_lock(*fd, false, e);
        if (st != EMK_OK)
            emk_os_close(*fd);
    }
    emk_os_close(lock);
    return st;
}

static emk_status find_in_holder(emk_client *cl, const uint8_t *hash, emk_pending *out,
                                 emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    uint8_t marker[MARKER_LEN];
    emk_status st;
    int fd;

    st = emk_client_path(cl, hash, EMK_CLIENT_PENDING, path, e);
    if (st != EMK_OK)
        return st;
    st = lock_marker(cl, path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_read_at(fd, 0, marker, sizeof marker, e);
    if (st == EMK_OK && !emk_os_exists(path))
        st = no_key(e); /* destroyed by who held the lock before us */
    if (st == EMK_OK && is_committed(cl, marker)) {
        st = emk_pending_destroy(cl, hash, e);
        if (st == EMK_OK)
            st = no_key(e);
    }
    if (st == EMK_OK)
        st = get_key(cl, hash, &out->key, e);
    if (st != EMK_OK) {
        emk_os_close(fd);
        return st;
    }
    out->fd = fd;
    return EMK_OK;
}

emk_status emk_pending_find(emk_client *cl, const uint8_t hash[EMK_HASH_LEN], emk_pending *out,
                            emk_error *e)
{
    emk_waiting *w;

    out->fd = -1;
    out->key = NULL;
    if (emk_keystore_has_secrets(cl->keystore))
        return find_in_holder(cl, hash, out, e);
    w = *find_in_memory(cl, hash);
    if (!w)
        return no_key(e);
    return decode_secret(cl, hash, emk_secret_span(w->secret), &out->key, e);
}

emk_status emk_pending_intend(emk_pending *p, const uint8_t ticket_id[EMK_ID_LEN], emk_error *e)
{
    emk_status st;

    if (p->fd < 0)
        return EMK_OK;
    st = emk_os_write_at(p->fd, MARKER_ID, ticket_id, EMK_ID_LEN, e);
    if (st != EMK_OK)
        return st;
    return emk_os_sync(p->fd, e);
}

void emk_pending_done(emk_pending *p)
{
    emk_kem_private_free(p->key);
    emk_os_close(p->fd);
    p->key = NULL;
    p->fd = -1;
}

static emk_status destroy_in_holder(emk_client *cl, const uint8_t *id, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    emk_status st;

    st = emk_keystore_secret_delete(cl->keystore, id, e);
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    st = emk_client_path(cl, id, EMK_CLIENT_PENDING, path, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_remove(path, e);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

emk_status emk_pending_destroy(emk_client *cl, const uint8_t hash[EMK_HASH_LEN], emk_error *e)
{
    emk_waiting **at;

    if (emk_keystore_has_secrets(cl->keystore))
        return destroy_in_holder(cl, hash, e);
    at = find_in_memory(cl, hash);
    if (*at)
        forget(at);
    return EMK_OK;
}

static bool is_over(uint64_t created, uint64_t now)
{
    return now > created && now - created > EMK_CLIENT_PENDING_MAX_S;
}

typedef struct sweep {
    emk_client *client;
    size_t n_waiting;
} sweep;

/* A marker: its request goes when its time is over or its answer is in the vault. */
static void sweep_marker(sweep *s, const char *name, const char *path)
{
    uint8_t marker[MARKER_LEN], id[EMK_ID_LEN];
    bool gone = false;
    int fd;

    if (!emk_client_unhex(name, id) || strcmp(name + EMK_CLIENT_NAME_LEN, EMK_CLIENT_PENDING) != 0)
        return;
    if (emk_os_open_update(path, &fd, NULL) != EMK_OK)
        return;
    if (emk_os_lock(fd, false, NULL) == EMK_OK &&
        emk_os_read_at(fd, 0, marker, sizeof marker, NULL) == EMK_OK &&
        (is_committed(s->client, marker) ||
         is_over(emk_load_u64be(marker), emk_client_now(s->client))))
        gone = destroy_in_holder(s->client, id, NULL) == EMK_OK;
    emk_os_close(fd);
    if (!gone)
        s->n_waiting++;
}

/* A temporary file whose owner is gone.  Who makes one holds the directory's lock, as we do
 * now, until it is renamed or until it has a lock of its own. */
static void sweep_temp(const char *path)
{
    emk_status st;
    int fd;

    if (emk_os_open_update(path, &fd, NULL) != EMK_OK)
        return;
    st = emk_os_lock(fd, false, NULL);
    if (st == EMK_OK)
        st = emk_os_remove(path, NULL);
    (void)st; /* the next sweep will */
    emk_os_close(fd);
}

static emk_status sweep_one(void *self, const char *name, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    sweep *s = self;

    if (emk_os_join(path, sizeof path, s->client->vault, name, "", e) != EMK_OK)
        return EMK_OK; /* not one of ours */
    if (strstr(name, EMK_CLIENT_TEMP))
        sweep_temp(path);
    else if (strstr(name, EMK_CLIENT_PENDING))
        sweep_marker(s, name, path);
    return EMK_OK;
}

emk_status emk_client_sweep(emk_client *cl, size_t *n_waiting, emk_error *e)
{
    sweep s = {.client = cl};
    emk_status st;
    int lock;

    for (emk_waiting **at = &cl->waiting; *at;) {
        if (is_over((*at)->created, emk_client_now(cl))) {
            forget(at);
            continue;
        }
        s.n_waiting++;
        at = &(*at)->next;
    }
    st = emk_client_lock(cl, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_list_dir(cl->vault, sweep_one, &s, e);
    emk_os_close(lock);
    if (st == EMK_OK)
        *n_waiting = s.n_waiting;
    return st;
}
