#include "device/client/internal.h"

#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/seal/record.h"

#define PATIENCE_NS UINT64_C(1000000000)
#define PAUSE_NS    UINT64_C(5000000)

/* Everything an open entry has is released here, in whatever state it is. */
void emk_entry_close(emk_entry *x)
{
    emk_vault_close(x->vault);
    emk_os_close(x->fd);
    emk_os_close(x->lock);
    x->vault = NULL;
    x->fd = -1;
    x->lock = -1;
}

void emk_entry_unlock(emk_entry *x)
{
    emk_os_close(x->lock);
    x->lock = -1;
}

emk_status emk_entry_raise(const emk_keystore *ks, const uint8_t vault_id[EMK_ID_LEN],
                           uint64_t generation, emk_error *e)
{
    if (!emk_keystore_has_counters(ks))
        return EMK_OK;
    return emk_keystore_counter_set(ks, vault_id, generation, e);
}

/* [container 7.5] */
static emk_status check_rollback(emk_client *cl, const emk_record *r, emk_error *e)
{
    uint64_t newest = 0;
    emk_status st;

    if (!emk_keystore_has_counters(cl->keystore))
        return EMK_OK;
    st = emk_keystore_counter_get(cl->keystore, r->vault_id, &newest, e);
    if (st != EMK_OK)
        return st;
    if (r->generation < newest)
        return emk_fail(e, EMK_E_STALE, "vault: an old copy of this entry was put back", newest);
    if (r->generation == newest)
        return EMK_OK;
    if (r->generation - newest > 1)
        return emk_fail(e, EMK_E_STALE, "vault: the key holder's counters were put back", newest);
    return emk_entry_raise(cl->keystore, r->vault_id, r->generation, e);
}

/* EMK_E_BUSY after PATIENCE_NS.  Who opens holds the lock for moments, unless the key holder
 * takes its time. */
static emk_status lock_soon(int fd, emk_error *e)
{
    const uint64_t end = emk_os_monotonic_ns() + PATIENCE_NS;
    emk_lock *pause = NULL;
    emk_status st = emk_os_lock(fd, false, e);

    if (st == EMK_E_BUSY && emk_lock_new(&pause, e) != EMK_OK)
        return EMK_E_NO_MEMORY;
    while (st == EMK_E_BUSY && emk_os_monotonic_ns() < end) {
        emk_lock_take(pause);
        (void)emk_lock_wait_for(pause, PAUSE_NS);
        emk_lock_give(pause);
        st = emk_os_lock(fd, false, e);
    }
    emk_lock_free(pause);
    return st;
}

/* How long one waits for others who have the entry open. */
typedef enum patience {
    AS_LONG_AS_IT_TAKES,
    A_MOMENT,  /* EMK_E_BUSY then */
    NOT_AT_ALL /* the lock is not taken: only for what never changes */
} patience;

/* Two descriptors: closing the first gives the lock back while the second goes on reading. */
static emk_status open_files(emk_entry *x, patience p, emk_error *e)
{
    emk_status st = EMK_OK;

    if (p != NOT_AT_ALL)
        st = emk_os_open_update(x->path, &x->lock, e);
    if (st == EMK_OK && p == AS_LONG_AS_IT_TAKES)
        st = emk_os_lock(x->lock, true, e);
    if (st == EMK_OK && p == A_MOMENT)
        st = lock_soon(x->lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_open_update(x->path, &x->fd, e);
    if (st != EMK_OK)
        return st;
    x->sink = emk_sink_from_fd(&x->fd);
    return emk_source_from_fd(&x->fd, &x->source, e);
}

/* The right key, and it does not open: where the entry is bound to a guard, that is it most
 * likely, and the answer is the same where it is damage.  [container 7.7] */
static emk_status explain_bound(emk_client *cl, const emk_entry *x, emk_error *e)
{
    emk_vault_glance g;
    emk_status st = emk_vault_look(cl->crypto, &x->source, &g, NULL);

    if (st != EMK_OK || g.record.bound == 0)
        return emk_fail_sealed(e);
    st = emk_client_guard_check(cl, g.record.bound, e);
    if (st != EMK_OK)
        return st;
    return emk_fail(e, EMK_E_KEY_LOST, "vault: sealed for another build of the app: fetch again",
                    0);
}

/* An envelope that is sound as far as anybody can tell, and for a key that is not here, is not
 * damage: the key was cleared or deleted, or the file is from another device. */
static emk_status open_vault(emk_client *cl, const uint8_t *lease_secret, emk_entry *x,
                             emk_error *e)
{
    emk_status st = emk_client_guard_bindings(cl, &x->bindings, e);

    if (st != EMK_OK)
        return st;
    st = EMK_E_SIGNATURE;
    for (size_t i = 0; i < cl->n_issuers && st == EMK_E_SIGNATURE; i++) {
        emk_vault_in in = {.file = &x->source,
                           .issuer = cl->issuers[i],
                           .device_key = cl->device_key,
                           .lease_secret = lease_secret,
                           .noticed = &x->noticed};

        for (size_t k = 0; k < 2 && x->bindings.there; k++)
            in.bindings[k] = x->bindings.bytes[k];

        x->noticed = EMK_NOTICED_NOTHING;
        st = emk_vault_open(cl->crypto, &in, &x->vault, e);
    }
    if (st == EMK_E_SEALED && x->noticed == EMK_NOTICED_RECIPIENT)
        return emk_fail(e, EMK_E_KEY_LOST,
                        "vault: sealed to a key that is not here: enrol and fetch again", 0);
    if (st == EMK_E_SEALED && x->noticed == EMK_NOTICED_HPKE)
        return explain_bound(cl, x, e);
    return st;
}

static emk_status path_of(emk_client *cl, const char *name, char path[EMK_CLIENT_PATH_MAX],
                          emk_error *e)
{
    uint8_t id[EMK_ID_LEN];

    if (!emk_client_unhex(name, id) || name[EMK_CLIENT_NAME_LEN] != '\0')
        return emk_fail(e, EMK_E_NOT_FOUND, "vault: no entry of this name", 0);
    return emk_client_path(cl, id, EMK_CLIENT_ENTRY, path, e);
}

emk_status emk_entry_look(emk_client *cl, const char *name, emk_vault_glance *out, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    emk_source source;
    emk_status st;
    int fd;

    st = path_of(cl, name, path, e);
    if (st == EMK_OK)
        st = emk_os_open_read(path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_source_from_fd(&fd, &source, e);
    if (st == EMK_OK)
        st = emk_vault_look(cl->crypto, &source, out, e);
    emk_os_close(fd);
    return st;
}

typedef struct way {
    const uint8_t *lease_secret;
    patience patience;
} way;

static emk_status open_entry(emk_client *cl, const char *name, way w, emk_entry *x, emk_error *e)
{
    emk_status st;

    x->lock = -1;
    x->fd = -1;
    x->vault = NULL;
    st = path_of(cl, name, x->path, e);
    if (st == EMK_OK)
        st = open_files(x, w.patience, e);
    if (st == EMK_OK)
        st = open_vault(cl, w.lease_secret, x, e);
    if (st == EMK_OK && w.patience != NOT_AT_ALL)
        st = check_rollback(cl, emk_vault_record(x->vault), e);
    if (st != EMK_OK)
        emk_entry_close(x);
    return st;
}

emk_status emk_entry_open(emk_client *cl, const char *name, emk_entry *x, emk_error *e)
{
    return open_entry(cl, name, (way){NULL, AS_LONG_AS_IT_TAKES}, x, e);
}

emk_status emk_entry_open_with(emk_client *cl, const char *name, const uint8_t *lease_secret,
                               emk_entry *x, emk_error *e)
{
    return open_entry(cl, name, (way){lease_secret, AS_LONG_AS_IT_TAKES}, x, e);
}

emk_status emk_entry_open_soon(emk_client *cl, const char *name, emk_entry *x, emk_error *e)
{
    return open_entry(cl, name, (way){NULL, A_MOMENT}, x, e);
}

emk_status emk_entry_peek(emk_client *cl, const char *name, emk_entry *x, emk_error *e)
{
    return open_entry(cl, name, (way){NULL, NOT_AT_ALL}, x, e);
}

/* The identity names the device by its keys when the model was sealed.  An entry that opened
 * with our key and names an id we had before was re-wrapped by that device. */
static const uint8_t *device_for(const emk_client *cl, const emk_identity *id)
{
    for (size_t i = 0; i < cl->n_former; i++)
        if (memcmp(cl->former[i], id->device, EMK_DEVICE_ID_LEN) == 0)
            return cl->former[i];
    return cl->device_id;
}

emk_status emk_entry_commit(emk_client *cl, emk_entry *x, emk_error *e)
{
    const emk_record *r = emk_vault_record(x->vault);
    emk_status st = emk_os_sync(x->fd, e);

    if (st != EMK_OK)
        return st;
    return emk_entry_raise(cl->keystore, r->vault_id, r->generation, e);
}

emk_status emk_entry_sleep(emk_client *cl, emk_entry *x, const emk_vault_lease *lease, emk_error *e)
{
    emk_status st;

    st = emk_vault_write_lease(x->vault, &x->sink, lease, e);
    if (st == EMK_OK)
        st = emk_entry_commit(cl, x, e);
    if (st == EMK_OK)
        st = emk_vault_clear_other(x->vault, &x->sink, e);
    if (st == EMK_OK)
        st = emk_os_sync(x->fd, e);
    return st;
}

/* Needs no key: the record that sleeps is there, and synced or about to be. */
emk_status emk_entry_finish_sleep(emk_client *cl, const char *name, emk_error *e)
{
    emk_entry x = {.lock = -1, .fd = -1};
    emk_vault_glance g;
    emk_status st;

    st = path_of(cl, name, x.path, e);
    if (st == EMK_OK)
        st = open_files(&x, AS_LONG_AS_IT_TAKES, e);
    if (st == EMK_OK)
        st = emk_vault_look(cl->crypto, &x.source, &g, e);
    if (st == EMK_OK && g.asleep)
        st = emk_os_sync(x.fd, e);
    if (st == EMK_OK && g.asleep)
        st = emk_vault_zeros(&x.sink, g.other, g.other + EMK_VAULT_SLOT_LEN, e);
    if (st == EMK_OK && g.asleep)
        st = emk_os_sync(x.fd, e);
    emk_entry_close(&x);
    return st;
}

uint64_t emk_entry_now(const emk_client *cl, const emk_record *record)
{
    uint64_t now = emk_client_now(cl);

    return now > record->floor ? now : record->floor;
}

uint64_t emk_entry_end(const emk_entry *x)
{
    const emk_policy *policy = emk_vault_policy(x->vault);

    if (!policy->lease_s)
        return policy->expires;
    return emk_policy_lease_end(policy, emk_vault_record(x->vault)->lease_until);
}

emk_status emk_entry_judge(emk_client *cl, const emk_entry *x, const emk_client_ask *ask,
                           emk_error *e)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    const emk_identity *identity = emk_vault_identity(x->vault);
    const emk_record *record = emk_vault_record(x->vault);
    uint64_t clock = emk_client_now(cl);
    emk_policy_ask full = {.now = emk_entry_now(cl, record),
                           .opens = record->opens,
                           .guard = cl->guard,
                           .user = ask->user,
                           .app = ask->app,
                           .use = ask->use,
                           .device = device_for(cl, identity),
                           .lease_until = record->lease_until,
                           .clock_is_behind =
                               clock < record->floor && record->floor - clock > EMK_CLOCK_SLACK_S};
    emk_status st;

    st = emk_policy_check(policy, identity, &full, e);
    if (st != EMK_OK)
        return st;
    return emk_client_release_check(cl, identity->model, policy->release, e);
}

typedef struct names {
    emk_status (*fn)(void *self, const char *name, emk_error *e);
    void *self;
} names;

static emk_status name_one(void *self, const char *file, emk_error *e)
{
    char name[EMK_CLIENT_NAME_LEN + 1] = {0};
    uint8_t id[EMK_ID_LEN];
    const names *n = self;

    if (!emk_client_unhex(file, id) || strcmp(file + EMK_CLIENT_NAME_LEN, EMK_CLIENT_ENTRY) != 0)
        return EMK_OK;
    memcpy(name, file, EMK_CLIENT_NAME_LEN);
    return n->fn(n->self, name, e);
}

emk_status emk_entry_names(emk_client *cl,
                           emk_status (*fn)(void *self, const char *name, emk_error *e), void *self,
                           emk_error *e)
{
    names n = {.fn = fn, .self = self};

    return emk_os_list_dir(cl->vault, name_one, &n, e);
}

typedef struct listing {
    emk_client *client;
    emk_client_entry_fn fn;
    void *self;
} listing;

static emk_status list_one(void *self, const char *name, emk_error *e)
{
    const listing *l = self;
    emk_client_entry entry = {.name = name};
    emk_error why = {EMK_OK, NULL, 0};
    emk_entry x;
    emk_status st;

    entry.status = emk_entry_open(l->client, name, &x, &why);
    if (entry.status == EMK_E_NOT_FOUND)
        return EMK_OK; /* removed while we listed */
    if (entry.status == EMK_OK) {
        entry.policy = emk_vault_policy(x.vault);
        entry.identity = emk_vault_identity(x.vault);
        entry.record = emk_vault_record(x.vault);
        entry.model_len = emk_vault_core(x.vault)->plain_len;
    } else {
        entry.why = why.what;
    }
    st = l->fn(l->self, &entry, e);
    if (entry.status == EMK_OK)
        emk_entry_close(&x);
    return st;
}

emk_status emk_client_list(emk_client *cl, emk_client_entry_fn fn, void *self, emk_error *e)
{
    listing l = {.client = cl, .fn = fn, .self = self};

    return emk_entry_names(cl, list_one, &l, e);
}

bool emk_entry_is_dead(emk_status st)
{
    switch (st) {
    case EMK_E_FORMAT:
    case EMK_E_LIMIT:
    case EMK_E_UNSUPPORTED:
    case EMK_E_SIGNATURE:
    case EMK_E_SEALED:
    case EMK_E_STALE:
    case EMK_E_KEY_LOST:
        return true;
    default:
        return false;
    }
}

static emk_status remove_dead(emk_client *cl, const char *name, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    emk_status st = emk_os_join(path, sizeof path, cl->vault, name, EMK_CLIENT_ENTRY, e);

    if (st != EMK_OK)
        return st;
    return emk_os_remove(path, e);
}

emk_status emk_client_remove(emk_client *cl, const char *name, emk_error *e)
{
    emk_entry x;
    emk_status st;

    st = emk_entry_open(cl, name, &x, e);            /* which refuses what is no entry's name */
    if (emk_entry_is_dead(st) || st == EMK_E_POLICY) /* the latter: it sleeps */
        return remove_dead(cl, name, e);
    if (st != EMK_OK)
        return st;
    /* No generation is as high as this one: a copy that is put back is stale. */
    st = emk_entry_raise(cl->keystore, emk_vault_record(x.vault)->vault_id, UINT64_MAX, e);
    if (st == EMK_OK)
        st = emk_os_remove(x.path, e);
    emk_entry_close(&x);
    return st;
}

/* The counters of both holders move so that a kill between any two steps leaves exactly one
 * of them able to open the entry, or both where it is the same. */
static emk_status rewrap_to(emk_client *cl, emk_entry *x, const emk_keystore *to,
                            const emk_agree_key *key, emk_error *e)
{
    const emk_record before = *emk_vault_record(x->vault);
    emk_status st;

    st = emk_entry_raise(to, before.vault_id, before.generation, e);
    if (st != EMK_OK)
        return st;
    st = emk_vault_rewrap(x->vault, &x->sink, key, e);
    if (st == EMK_OK)
        st = emk_os_sync(x->fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_entry_raise(cl->keystore, before.vault_id, before.generation + 1, e);
    if (st != EMK_OK)
        return st;
    return emk_entry_raise(to, before.vault_id, before.generation + 1, e);
}

emk_status emk_client_rewrap(emk_client *cl, const char *name, const emk_keystore *to, emk_error *e)
{
    emk_kem_private *other = NULL;
    emk_agree_key key = emk_client_agree_key(cl);
    emk_entry x;
    emk_status st;

    if (to) {
        st = emk_keystore_check(to, e);
        if (st == EMK_OK)
            st = emk_keystore_kem_private(cl->crypto, to, &other, e);
        if (st != EMK_OK)
            return st;
        key.kem = emk_kem_private_id(other);
        key.public_key = emk_kem_private_public(other);
    }
    st = emk_entry_open(cl, name, &x, e);
    if (st == EMK_OK) {
        st = rewrap_to(cl, &x, to ? to : cl->keystore, &key, e);
        emk_entry_close(&x);
    }
    emk_kem_private_free(other);
    return st;
}
