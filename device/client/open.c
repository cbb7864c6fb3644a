#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_mem.h"
#include "device/client/internal.h"

struct emk_opened {
    emk_os_map map;
    size_t len;
    uint64_t expires;
    uint64_t opens_left;
    emk_plan tree; /* its files alone */
};

static unsigned map_flags(emk_policy_memory memory)
{
    switch (memory) {
    case EMK_POLICY_MEMORY_SECRET:
        return EMK_OS_MAP_SECRET;
    case EMK_POLICY_MEMORY_LOCKED:
        return EMK_OS_MAP_MUST_LOCK | EMK_OS_MAP_HUGE;
    default:
        return EMK_OS_MAP_LOCK | EMK_OS_MAP_HUGE;
    }
}

/* Before the open is counted: a machine without such memory must not use opens up. */
static emk_status get_memory(const emk_policy *policy, const emk_client_ask *ask, uint64_t len,
                             emk_opened *o, emk_error *e)
{
    emk_policy_memory memory = (emk_policy_memory)policy->memory;
    emk_status st;

    if (ask->memory > memory)
        memory = ask->memory;
    if (len > SIZE_MAX / 4)
        return emk_fail(e, EMK_E_NO_MEMORY, "open: model does not fit this machine", len);
    o->len = (size_t)len;
    st = emk_os_map_new(len ? (size_t)len : 1, map_flags(memory), &o->map, e);
    if ((st == EMK_E_LIMIT || st == EMK_E_UNSUPPORTED) && policy->memory >= (uint8_t)memory)
        return emk_fail(e, EMK_E_POLICY,
                        memory == EMK_POLICY_MEMORY_SECRET
                            ? "policy: there is no secret memory for the model"
                            : "policy: memory for the model cannot be locked (ulimit -l)",
                        len);
    return st;
}

/* What of the plan is wanted when the vault is closed. */
static emk_status keep_files(const emk_plan *plan, emk_opened *o, emk_error *e)
{
    o->tree.n_files = plan->n_files;
    if (plan->n_files == 0)
        return EMK_OK;
    emk_buf_init(&o->tree.files, plan->files.len);
    return emk_buf_append(&o->tree.files, emk_buf_span(&plan->files), e);
}

/* Durable before a byte is decrypted.  [container 7.5] */
static emk_status count_open(emk_client *cl, emk_entry *x, emk_error *e)
{
    const emk_record before = *emk_vault_record(x->vault);
    uint64_t now = emk_client_now(cl);
    emk_status st;

    st = emk_vault_write_record(x->vault, &x->sink, before.opens + 1,
                                now > before.floor ? now : before.floor, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_sync(x->fd, e);
    if (st != EMK_OK)
        return st;
    return emk_entry_raise(cl->keystore, before.vault_id, before.generation + 1, e);
}

/* Inference engines only read weights: whatever writes there is a fault of somebody's. */
static emk_status read_model(emk_entry *x, const emk_client_ask *ask, emk_opened *o, emk_error *e)
{
    unsigned threads = emk_client_threads(ask->threads);
    emk_status st = EMK_OK;

    if (o->len)
        st = emk_vault_read_all(x->vault, o->map.p, threads, ask->progress, e);
    return st == EMK_OK ? emk_os_map_protect(&o->map, e) : st;
}

static emk_status open_entry(emk_client *cl, emk_entry *x, const emk_client_ask *ask, emk_opened *o,
                             emk_error *e)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    emk_status st;

    st = emk_entry_judge(cl, x, ask, e);
    if (st != EMK_OK)
        return st;
    /* An accept that was killed between its last steps is brought to its end. */
    st = emk_client_release_raise(cl, emk_vault_identity(x->vault)->model, policy->release, e);
    if (st != EMK_OK)
        return st;
    st = keep_files(emk_vault_plan(x->vault), o, e);
    if (st != EMK_OK)
        return st;
    st = get_memory(policy, ask, emk_vault_core(x->vault)->plain_len, o, e);
    if (st != EMK_OK)
        return st;
    o->expires = policy->expires;
    o->opens_left = UINT64_MAX;
    if (policy->max_opens) {
        uint64_t opens = emk_vault_record(x->vault)->opens + 1;

        st = count_open(cl, x, e);
        if (st != EMK_OK)
            return st;
        o->opens_left = policy->max_opens - opens;
    }
    emk_entry_unlock(x);
    return read_model(x, ask, o, e);
}

/* The best entry of a model so far. */
typedef struct search {
    emk_client *client;
    emk_span model;
    const emk_client_ask *ask;
    char name[EMK_CLIENT_NAME_LEN + 1];
    uint64_t release, accepted;
    bool found;
    emk_status refusal; /* of the first entry of this model that cannot be opened */
    emk_error why;
} search;

static void consider(search *s, const char *name, const emk_entry *x)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    const emk_record *record = emk_vault_record(x->vault);
    emk_error why = {0};
    emk_status st;

    if (!emk_span_equal(emk_vault_identity(x->vault)->model, s->model))
        return;
    st = emk_entry_judge(s->client, x, s->ask, &why);
    if (st != EMK_OK) {
        if (s->refusal == EMK_OK) {
            s->refusal = st;
            s->why = why;
        }
        return;
    }
    if (s->found && (policy->release < s->release ||
                     (policy->release == s->release && record->accepted <= s->accepted)))
        return;
    memcpy(s->name, name, sizeof s->name);
    s->release = policy->release;
    s->accepted = record->accepted;
    s->found = true;
}

static emk_status search_one(void *self, const char *name, emk_error *e)
{
    search *s = self;
    emk_error why = {0};
    emk_entry x;
    emk_status st;

    (void)e;
    st = emk_entry_open(s->client, name, &x, &why);
    if (st == EMK_OK) {
        consider(s, name, &x);
        emk_entry_close(&x);
    } else if (st != EMK_E_NOT_FOUND && s->refusal == EMK_OK) {
        s->refusal = st; /* perhaps the one that was asked for: it is too damaged to tell */
        s->why = why;
    }
    return EMK_OK;
}

static emk_status find_model(emk_client *cl, const char *model, const emk_client_ask *ask,
                             char name[EMK_CLIENT_NAME_LEN + 1], emk_error *e)
{
    search s = {.client = cl, .model = emk_span_str(model), .ask = ask};
    emk_status st;

    st = emk_entry_names(cl, search_one, &s, e);
    if (st != EMK_OK)
        return st;
    if (!s.found && s.refusal != EMK_OK)
        return emk_fail(e, s.refusal, s.why.what, s.why.where);
    if (!s.found)
        return emk_fail(e, EMK_E_NOT_FOUND, "vault: no entry of this name or model", 0);
    memcpy(name, s.name, sizeof s.name);
    return EMK_OK;
}

static bool is_entry_name(const char *name)
{
    uint8_t id[EMK_ID_LEN];

    return emk_client_unhex(name, id) && name[EMK_CLIENT_NAME_LEN] == '\0';
}

emk_status emk_client_open(emk_client *cl, const char *name, const emk_client_ask *ask,
                           emk_opened **out, emk_error *e)
{
    char found[EMK_CLIENT_NAME_LEN + 1];
    emk_opened *o;
    emk_entry x;
    emk_status st;

    if (!is_entry_name(name)) {
        st = find_model(cl, name, ask, found, e);
        if (st != EMK_OK)
            return st;
        name = found;
    }
    o = emk_alloc(1, sizeof *o);
    if (!o)
        return emk_fail(e, EMK_E_NO_MEMORY, "open: no memory", sizeof *o);
    st = emk_entry_open(cl, name, &x, e);
    if (st == EMK_OK) {
        st = open_entry(cl, &x, ask, o, e);
        emk_entry_close(&x);
    }
    if (st != EMK_OK) {
        emk_opened_close(o);
        return st;
    }
    *out = o;
    return EMK_OK;
}

emk_span emk_opened_bytes(const emk_opened *o)
{
    return emk_span_of(o->map.p, o->len);
}

uint32_t emk_opened_n_files(const emk_opened *o)
{
    return o->tree.n_files;
}

emk_status emk_opened_files_each(const emk_opened *o,
                                 emk_status (*fn)(void *self, const emk_file_entry *entry,
                                                  emk_error *e),
                                 void *self, emk_error *e)
{
    return emk_files_each(&o->tree, fn, self, e);
}

uint64_t emk_opened_expires(const emk_opened *o)
{
    return o->expires;
}

uint64_t emk_opened_opens_left(const emk_opened *o)
{
    return o->opens_left;
}

emk_policy_memory emk_opened_memory(const emk_opened *o)
{
    if (o->map.secret)
        return EMK_POLICY_MEMORY_SECRET;
    return o->map.locked ? EMK_POLICY_MEMORY_LOCKED : EMK_POLICY_MEMORY_ANY;
}

void emk_opened_close(emk_opened *o)
{
    if (!o)
        return;
    emk_os_map_free(&o->map);
    emk_buf_done(&o->tree.files);
    emk_free(o);
}
