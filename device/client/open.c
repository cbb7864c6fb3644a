/* What is open: memory with the model, on the client's watch list until it is closed. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_mem.h"
#include "core/base/os_stream.h"
#include "device/client/internal.h"

#define FLOOR_STEP_S     60u /* a lease's floor is not raised for less */
#define FLOOR_STEP_SHARE 8u  /* nor for less than this part of lease_s */

struct emk_opened {
    emk_os_map map;
    size_t len;
    uint64_t opens_left;
    emk_plan tree; /* its files alone */
    bool may_copy; /* nobody wants locked memory */
    int copy;      /* of emk_opened_path; -1: none */
    emk_watch *watch;
    emk_watched watched;
};

unsigned emk_client_map_flags(emk_policy_memory memory)
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

emk_status emk_client_map(const emk_policy *policy, emk_policy_memory asked, uint64_t len,
                          emk_os_map *out, emk_error *e)
{
    emk_policy_memory memory = (emk_policy_memory)policy->memory;
    emk_status st;

    if (asked > memory)
        memory = asked;
    if (len > SIZE_MAX / 4)
        return emk_fail(e, EMK_E_NO_MEMORY, "open: model does not fit this machine", len);
    st = emk_os_map_new(len ? (size_t)len : 1, emk_client_map_flags(memory), out, e);
    if ((st == EMK_E_LIMIT || st == EMK_E_UNSUPPORTED) && policy->memory >= (uint8_t)memory)
        return emk_fail(e, EMK_E_POLICY,
                        memory == EMK_POLICY_MEMORY_SECRET
                            ? "policy: there is no secret memory for the model"
                            : "policy: memory for the model cannot be locked (ulimit -l)",
                        len);
    return st;
}

/* ---- opening, whole or by tensors ---- */

/* Durable before a byte is decrypted.  [container 7.5] */
static emk_status write_open(emk_client *cl, emk_entry *x, uint64_t opens, emk_error *e)
{
    uint64_t now = emk_entry_now(cl, emk_vault_record(x->vault));
    emk_status st;

    st = emk_vault_write_record(x->vault, &x->sink, opens, now, e);
    if (st != EMK_OK)
        return st;
    return emk_entry_commit(cl, x, e);
}

/* A lease whose floor stays where it was issued lasts as long as the clock is held back; one
 * that is written at each open wears the disk and the counter out. */
static bool floor_is_old(emk_client *cl, const emk_entry *x)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    const emk_record *record = emk_vault_record(x->vault);
    uint64_t step = policy->lease_s / FLOOR_STEP_SHARE;

    if (step < FLOOR_STEP_S)
        step = FLOOR_STEP_S;
    return policy->lease_s && emk_entry_now(cl, record) - record->floor >= step;
}

static emk_status count(emk_client *cl, emk_entry *x, emk_opening *how, emk_error *e)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    uint64_t opens = emk_vault_record(x->vault)->opens;
    emk_status st;

    how->opens_left = UINT64_MAX;
    if (policy->max_opens)
        opens++;
    else if (!floor_is_old(cl, x))
        return EMK_OK;
    st = write_open(cl, x, opens, e);
    if (st == EMK_OK && policy->max_opens)
        how->opens_left = policy->max_opens - opens;
    return st;
}

/* With an entry that was judged. */
static emk_status begin(emk_client *cl, emk_entry *x, emk_opening *how, emk_error *e)
{
    emk_status st;

    st = emk_client_guard_check(cl, emk_vault_policy(x->vault)->min_guard, e);
    /* An accept that was killed between its last steps is brought to its end. */
    if (st == EMK_OK)
        st = emk_client_release_raise(cl, emk_vault_identity(x->vault)->model,
                                      emk_vault_policy(x->vault)->release, e);
    /* Before the open is counted: a machine without such memory must not use opens up. */
    if (st == EMK_OK)
        st = how->memory(how->self, x, e);
    if (st == EMK_OK)
        st = count(cl, x, how, e);
    if (st == EMK_OK)
        emk_entry_unlock(x);
    return st;
}

static bool is_entry_name(const char *name)
{
    uint8_t id[EMK_ID_LEN];

    return emk_client_unhex(name, id) && name[EMK_CLIENT_NAME_LEN] == '\0';
}

static emk_status open_by_name(emk_client *cl, const char *name, const emk_client_ask *ask,
                               emk_entry *x, emk_error *e)
{
    emk_status st = emk_entry_open(cl, name, x, e);

    if (st != EMK_OK)
        return st;
    st = emk_entry_judge(cl, x, ask, e);
    if (st != EMK_OK)
        emk_entry_close(x);
    return st;
}

emk_status emk_entry_open_for(emk_client *cl, const char *name, emk_opening *how, emk_entry *x,
                              emk_error *e)
{
    emk_status st;

    emk_client_guard_look(cl, true);
    st = emk_client_guard_check(cl, 0, e);
    if (st != EMK_OK)
        return st;
    if (!is_entry_name(name))
        st = emk_client_find(cl, name, how->ask, x, e);
    else
        st = open_by_name(cl, name, how->ask, x, e);
    if (st != EMK_OK)
        return st;
    st = begin(cl, x, how, e);
    if (st != EMK_OK)
        emk_entry_close(x);
    return st;
}

/* ---- a whole model ---- */

typedef struct whole {
    const emk_client_ask *ask;
    emk_opened *o;
} whole;

/* What of the plan is wanted when the vault is closed. */
static emk_status keep_files(const emk_plan *plan, emk_opened *o, emk_error *e)
{
    o->tree.n_files = plan->n_files;
    if (plan->n_files == 0)
        return EMK_OK;
    emk_buf_init(&o->tree.files, plan->files.len);
    return emk_buf_append(&o->tree.files, emk_buf_span(&plan->files), e);
}

static emk_status get_memory(void *self, const emk_entry *x, emk_error *e)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    uint64_t len = emk_vault_core(x->vault)->plain_len;
    const whole *w = self;
    emk_status st;

    st = keep_files(emk_vault_plan(x->vault), w->o, e);
    if (st == EMK_OK)
        st = emk_client_map(policy, w->ask->memory, len, &w->o->map, e);
    if (st != EMK_OK)
        return st;
    w->o->len = (size_t)len;
    w->o->may_copy =
        policy->memory == EMK_POLICY_MEMORY_ANY && w->ask->memory == EMK_POLICY_MEMORY_ANY;
    return EMK_OK;
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

static void put_on_watch(emk_client *cl, const emk_entry *x, emk_opened *o)
{
    memcpy(o->watched.ticket_id, emk_vault_core(x->vault)->ticket_id, EMK_ID_LEN);
    o->watched.min_guard = emk_vault_policy(x->vault)->min_guard;
    o->watched.map = &o->map;
    o->watched.copy = &o->copy;
    o->watch = emk_watch_hold(cl->watch);
    emk_watch_add(o->watch, &o->watched, emk_entry_end(x), emk_client_now(cl));
}

emk_status emk_client_open(emk_client *cl, const char *name, const emk_client_ask *ask,
                           emk_opened **out, emk_error *e)
{
    emk_opened *o = emk_alloc(1, sizeof *o);
    whole w = {.ask = ask, .o = o};
    emk_opening how = {.ask = ask, .memory = get_memory, .self = &w};
    emk_entry x;
    emk_status st;

    if (!o)
        return emk_fail(e, EMK_E_NO_MEMORY, "open: no memory", sizeof *o);
    o->copy = -1;
    st = emk_entry_open_for(cl, name, &how, &x, e);
    if (st == EMK_OK) {
        o->opens_left = how.opens_left;
        st = read_model(&x, ask, o, e);
        if (st == EMK_OK)
            put_on_watch(cl, &x, o);
        /* What was found before it was on the list did not wipe it. */
        if (st == EMK_OK)
            st = emk_client_guard_check(cl, o->watched.min_guard, e);
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

bool emk_opened_is_wiped(const emk_opened *o)
{
    return emk_watch_is_wiped(o->watch, &o->watched);
}

emk_status emk_opened_stream(const emk_opened *o, FILE **out, emk_error *e)
{
    return emk_os_stream_over(emk_opened_bytes(o), out, e);
}

/* With the watch list's lock held, so that the copy is wiped if the model is. */
static emk_status make_copy(emk_opened *o, emk_error *e)
{
    emk_status st;
    int fd;

    if (o->watched.wiped)
        return emk_fail(e, EMK_E_POLICY, "policy: its time is over", o->watched.ends);
    st = emk_os_memory_file("model", false, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_at(fd, 0, o->map.p, o->len, e);
    if (st != EMK_OK) {
        emk_os_close(fd);
        return st;
    }
    o->copy = fd;
    return EMK_OK;
}

emk_status emk_opened_path(emk_opened *o, char path[EMK_OPENED_PATH_MAX], emk_error *e)
{
    emk_status st = EMK_OK;

    if (!o->may_copy)
        return emk_fail(e, EMK_E_POLICY, "policy: no copy of locked memory", 0);
    emk_watch_take(o->watch);
    if (o->copy < 0)
        st = make_copy(o, e);
    emk_watch_give(o->watch);
    if (st != EMK_OK)
        return st;
    snprintf(path, EMK_OPENED_PATH_MAX, "/proc/self/fd/%d", o->copy);
    return EMK_OK;
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
    return emk_watch_end_of(o->watch, &o->watched);
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
    emk_status st;

    if (!o)
        return;
    if (o->watch)
        emk_watch_remove(o->watch, &o->watched);
    if (o->copy >= 0) {
        st = emk_os_memory_blank(o->copy, NULL); /* somebody may have it mapped */
        (void)st;
        emk_os_close(o->copy);
    }
    emk_os_map_free(&o->map);
    emk_watch_drop(o->watch);
    emk_buf_done(&o->tree.files);
    emk_free(o);
}
