/* Looking after the vault: how full it is, what is over, whether all of it is sound. */
#include "core/base/os_file.h"
#include "device/client/internal.h"

/* ---- quota ---- */

typedef struct measure {
    emk_client *client;
    uint64_t bytes;
    uint32_t entries;
} measure;

/* Files that others are writing count as well: they have their full length from the start. */
static emk_status measure_one(void *self, const char *name, emk_error *e)
{
    char path[EMK_CLIENT_PATH_MAX];
    measure *m = self;
    uint64_t len = 0;
    int fd;

    if (!strstr(name, EMK_CLIENT_ENTRY) ||
        emk_os_join(path, sizeof path, m->client->vault, name, "", NULL) != EMK_OK ||
        emk_os_open_read(path, &fd, NULL) != EMK_OK)
        return EMK_OK; /* not one of ours, or gone */
    if (emk_os_file_size(fd, &len, e) != EMK_OK)
        len = 0;
    emk_os_close(fd);
    m->bytes = len > UINT64_MAX - m->bytes ? UINT64_MAX : m->bytes + len;
    m->entries++;
    return EMK_OK;
}

emk_status emk_client_check_quota(emk_client *cl, uint64_t len, emk_error *e)
{
    measure m = {.client = cl};
    emk_status st;

    if (!cl->max_bytes && !cl->max_entries)
        return EMK_OK;
    st = emk_os_list_dir(cl->vault, measure_one, &m, e);
    if (st != EMK_OK)
        return st;
    if (cl->max_entries && m.entries >= cl->max_entries)
        return emk_fail(e, EMK_E_LIMIT, "vault: it has all the entries it may have", m.entries);
    if (cl->max_bytes && (m.bytes > cl->max_bytes || len > cl->max_bytes - m.bytes))
        return emk_fail(e, EMK_E_LIMIT, "vault: no room for this model in its quota", len);
    return EMK_OK;
}

/* ---- purge ---- */

typedef struct purge {
    emk_client *client;
    emk_client_purged *done;
} purge;

static emk_status purge_open(purge *p, const char *name, emk_entry *x, emk_error *e)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    const emk_record *record = emk_vault_record(x->vault);
    uint64_t now = emk_entry_now(p->client, record);
    emk_vault_lease asleep = {.time = record->lease_time,
                              .until = record->lease_until,
                              .floor = record->floor,
                              .asleep = true};
    emk_status st = EMK_OK;

    if (now >= policy->expires) {
        emk_entry_close(x);
        st = emk_client_remove(p->client, name, e);
        p->done->removed += st == EMK_OK;
    } else if (policy->lease_s && now >= emk_entry_end(x)) {
        st = emk_entry_sleep(p->client, x, &asleep, e);
        p->done->asleep += st == EMK_OK;
    }
    return st == EMK_E_NOT_FOUND ? EMK_OK : st; /* removed meanwhile */
}

/* No key opens it now, so its header has to be believed: it sleeps, or an earlier removal was cut
 * short, or it is damaged or stale. */
static emk_status purge_closed(purge *p, const char *name, bool dead, emk_error *e)
{
    emk_vault_glance g;
    emk_status st;

    st = emk_entry_look(p->client, name, &g, NULL);
    if (st != EMK_OK || emk_entry_now(p->client, &g.record) < g.expires) {
        p->done->dead += dead;
        return EMK_OK;
    }
    st = emk_client_remove(p->client, name, e);
    p->done->removed += st == EMK_OK;
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status purge_one(void *self, const char *name, emk_error *e)
{
    purge *p = self;
    emk_entry x;
    emk_status st;

    st = emk_entry_open(p->client, name, &x, NULL);
    if (st == EMK_OK) {
        st = purge_open(p, name, &x, e);
        emk_entry_close(&x);
        return st;
    }
    if (st == EMK_E_POLICY || emk_entry_is_dead(st))
        return purge_closed(p, name, st != EMK_E_POLICY, e);
    return EMK_OK;
}

emk_status emk_client_purge(emk_client *cl, emk_client_purged *out, emk_error *e)
{
    purge p = {.client = cl, .done = out};

    *out = (emk_client_purged){.removed = 0};
    return emk_entry_names(cl, purge_one, &p, e);
}

/* ---- verify ---- */

typedef struct check {
    emk_client *client;
    emk_client_entry_fn fn;
    void *self;
} check;

static emk_status verify_one(void *self, const char *name, emk_error *e)
{
    const check *c = self;
    emk_client_entry entry = {.name = name};
    emk_error why = {EMK_OK, NULL, 0};
    emk_entry x;
    emk_status st;

    entry.status = emk_entry_open(c->client, name, &x, &why);
    if (entry.status == EMK_E_NOT_FOUND)
        return EMK_OK; /* removed while we listed */
    if (entry.status != EMK_OK) {
        entry.why = why.what;
        return c->fn(c->self, &entry, e);
    }
    emk_entry_unlock(&x);
    entry.policy = emk_vault_policy(x.vault);
    entry.identity = emk_vault_identity(x.vault);
    entry.record = emk_vault_record(x.vault);
    entry.model_len = emk_vault_core(x.vault)->plain_len;
    entry.status = emk_vault_verify(x.vault, emk_client_threads(0), NULL, &why);
    entry.why = entry.status == EMK_OK ? NULL : why.what;
    st = c->fn(c->self, &entry, e);
    emk_entry_close(&x);
    return st;
}

emk_status emk_client_verify(emk_client *cl, emk_client_entry_fn fn, void *self, emk_error *e)
{
    check c = {.client = cl, .fn = fn, .self = self};

    return emk_entry_names(cl, verify_one, &c, e);
}
