/* vault list, vault verify, vault purge, vault rewrap. */
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/guard.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"

#include <string.h>

#define ENTRIES_MAX 65536u

static void show_details(emk_cli_out *o, const emk_client_entry *entry)
{
    emk_cli_put_text(o, "model", entry->identity->model);
    if (entry->identity->version.len)
        emk_cli_put_text(o, "version", entry->identity->version);
    emk_cli_put_text(o, "user", entry->identity->user);
    emk_cli_put_size(o, "size", entry->model_len);
    emk_cli_put_time(o, "accepted", entry->record->accepted);
    emk_cli_put_time(o, "expires", entry->policy->expires);
    if (entry->policy->lease_s)
        emk_cli_put_time(o, "lease_until", entry->record->lease_until);
    if (entry->policy->max_opens) {
        emk_cli_put_number(o, "opens", entry->record->opens);
        emk_cli_put_number(o, "max_opens", entry->policy->max_opens);
    }
}

static void show_why(emk_cli_out *o, const emk_client_entry *entry)
{
    const char *advice = emk_cli_guard_entry_advice(entry->status, entry->why);

    if (entry->why)
        emk_cli_put_string(o, "why", entry->why);
    emk_cli_put_string(o, "advice", advice ? advice : emk_status_fix(entry->status));
}

static emk_status show_entry(void *self, const emk_client_entry *entry, emk_error *e)
{
    emk_cli_out *o = self;

    (void)e;
    emk_cli_begin(o, o->json ? NULL : entry->name);
    if (o->json)
        emk_cli_put_string(o, "name", entry->name);
    emk_cli_put_string(o, "status", emk_status_name(entry->status));
    if (entry->status == EMK_OK)
        show_details(o, entry);
    else
        show_why(o, entry);
    emk_cli_end(o);
    return EMK_OK;
}

emk_status emk_cli_vault_list(emk_cli *cli)
{
    emk_cli_device device = {0};
    emk_status st = emk_cli_device_open(cli, &device);

    if (st == EMK_OK) {
        emk_cli_begin_list(&cli->out, "models");
        st = emk_client_list(device.client, show_entry, &cli->out, &cli->error);
        emk_cli_end(&cli->out);
    }
    emk_cli_device_close(&device);
    return st;
}

/* ---- verify ---- */

typedef struct verdict {
    emk_cli_out *out;
    size_t good, bad;
    size_t elsewhere; /* bound to another program, which alone can say */
    emk_status worst; /* the first that was found */
} verdict;

static emk_status judge_entry(void *self, const emk_client_entry *entry, emk_error *e)
{
    verdict *v = self;

    if (entry->status == EMK_OK) {
        v->good++;
    } else if (emk_cli_guard_entry_advice(entry->status, entry->why)) {
        v->elsewhere++;
    } else {
        v->bad++;
        v->worst = v->worst == EMK_OK ? entry->status : v->worst;
    }
    return show_entry(v->out, entry, e);
}

static emk_status run_verify(emk_cli *cli)
{
    emk_cli_device device = {0};
    verdict v = {.out = &cli->out, .worst = EMK_OK};
    emk_status st = emk_cli_device_open(cli, &device);

    if (st == EMK_OK) {
        emk_cli_begin_list(&cli->out, "models");
        st = emk_client_verify(device.client, judge_entry, &v, &cli->error);
        emk_cli_end(&cli->out);
    }
    emk_cli_device_close(&device);
    if (st != EMK_OK)
        return st;
    emk_cli_put_number(&cli->out, "good", v.good);
    emk_cli_put_number(&cli->out, "bad", v.bad);
    if (v.elsewhere) {
        emk_cli_put_number(&cli->out, "not_checked", v.elsewhere);
        emk_cli_remark(cli, "what is bound to another program's guard was not checked: only that "
                            "program can");
    }
    if (v.bad) { /* the list is the result, and the exit code says that it is not all good */
        cli->exit_code = (int)v.worst;
        emk_cli_remark(cli,
                       "request the bad ones again; `earmark device remove NAME` removes them");
    }
    return EMK_OK;
}

/* ---- purge ---- */

static emk_status run_purge(emk_cli *cli)
{
    emk_cli_device device = {0};
    emk_client_purged purged = {0};
    emk_status st = emk_cli_device_open(cli, &device);

    if (st == EMK_OK)
        st = emk_client_purge(device.client, &purged, &cli->error);
    emk_cli_device_close(&device);
    if (st != EMK_OK)
        return st;
    emk_cli_put_number(&cli->out, "removed", purged.removed);
    emk_cli_put_number(&cli->out, "asleep", purged.asleep);
    emk_cli_put_number(&cli->out, "dead", purged.dead);
    if (purged.dead)
        emk_cli_remark(cli,
                       "dead entries can never be opened here again: `earmark vault list` names "
                       "them, `earmark device remove NAME` removes them");
    return EMK_OK;
}

/* ---- rewrap ---- */

typedef char entry_name[EMK_CLIENT_NAME_LEN + 1];

typedef struct names {
    entry_name *p;
    size_t n, cap;
} names;

static emk_status take_name(void *self, const emk_client_entry *entry, emk_error *e)
{
    names *list = self;

    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        entry_name *p = cap <= ENTRIES_MAX ? emk_alloc(cap, sizeof *p) : NULL;

        if (!p)
            return emk_fail(e, EMK_E_LIMIT, "vault: too many entries", list->n);
        if (list->n)
            memcpy(p, list->p, list->n * sizeof *p);
        emk_free(list->p);
        list->p = p;
        list->cap = cap;
    }
    snprintf(list->p[list->n++], sizeof(entry_name), "%s", entry->name);
    return EMK_OK;
}

/* Into the other device's vault.  An entry that is there already stays as it is. */
static emk_status move_entry(emk_cli *cli, const emk_cli_device *from, const emk_cli_device *to,
                             const char *name)
{
    char folder[EMK_CLI_PATH_MAX], old[EMK_CLI_PATH_MAX], new[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, from->dir, "vault", folder);

    if (st == EMK_OK)
        st = emk_os_join(old, sizeof old, folder, name, ".emkv", &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, to->dir, "vault", folder);
    if (st == EMK_OK)
        st = emk_os_join(new, sizeof new, folder, name, ".emkv", &cli->error);
    if (st == EMK_OK && emk_os_exists(new))
        st = emk_fail(&cli->error, EMK_E_USED, "vault: the other device has this entry", 0);
    return st == EMK_OK ? emk_os_replace(old, new, &cli->error) : st;
}

/* The other device must know, first of all, that entries of this one may come. */
static emk_status introduce(emk_cli *cli, const emk_cli_device *from, emk_cli_device *to)
{
    emk_status st = emk_cli_former_add(cli, to->dir, emk_client_device_id(from->client));

    if (st != EMK_OK)
        return st;
    emk_cli_device_close(to);
    return emk_cli_device_open_at(cli, emk_cli_option_value(cli, "to"), to);
}

static emk_status rewrap_one(emk_cli *cli, emk_cli_device *from, emk_cli_device *to,
                             const char *name)
{
    const emk_keystore *keys = to->client ? &to->keystore : &from->keystore;
    emk_status st = emk_client_rewrap(from->client, name, keys, &cli->error);

    /* Sealed to the other one already, by a run that was cut short?  That one's list tells; an
     * entry that is really old or of other keys is as dead there as here. */
    if (to->client && (st == EMK_OK || st == EMK_E_KEY_LOST || st == EMK_E_STALE))
        st = move_entry(cli, from, to, name);
    return emk_cli_about(cli, st, name);
}

static emk_status rewrap_all(emk_cli *cli, emk_cli_device *from, emk_cli_device *to)
{
    names list = {.p = NULL};
    emk_status st = EMK_OK;

    for (size_t i = 0; emk_cli_operand_at(cli, i) && st == EMK_OK; i++) {
        const emk_client_entry entry = {.name = emk_cli_operand_at(cli, i)};

        st = take_name(&list, &entry, &cli->error);
    }
    if (st == EMK_OK && list.n == 0)
        st = emk_client_list(from->client, take_name, &list, &cli->error);
    emk_cli_begin_list(&cli->out, "rewrapped");
    for (size_t i = 0; i < list.n && st == EMK_OK; i++) {
        st = rewrap_one(cli, from, to, list.p[i]);
        if (st == EMK_OK)
            emk_cli_put_string(&cli->out, NULL, list.p[i]);
    }
    emk_cli_end(&cli->out);
    emk_free(list.p);
    return st;
}

static emk_status run_rewrap(emk_cli *cli)
{
    const char *other = emk_cli_option_value(cli, "to");
    emk_cli_device from = {0}, to = {0};
    emk_status st = emk_cli_device_open(cli, &from);

    if (st == EMK_OK && other) {
        st = emk_cli_device_open_at(cli, other, &to);
        if (st == EMK_OK)
            st = introduce(cli, &from, &to);
    }
    if (st == EMK_OK)
        st = rewrap_all(cli, &from, &to);
    emk_cli_device_close(&to);
    emk_cli_device_close(&from);
    return st;
}

/* ---- tables ---- */

static const emk_cli_option options[] = {
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const char *const list_paragraphs[] = {
    "Lists the models in the device's vault, by the names that other commands take beside the "
    "model's own, with what their policies still allow. Counts nothing. `earmark device list` is "
    "the same.",
    NULL};

static const emk_cli_example list_examples[] = {
    {"What is there, for a script:", "earmark vault list --json"},
    {0},
};

const emk_cli_command EMK_CLI_VAULT_LIST = {
    .name = "vault list",
    .summary = "lists the models on the device",
    .synopsis = "[--device DIR] [--json]",
    .paragraphs = list_paragraphs,
    .options = options,
    .examples = list_examples,
    .run = emk_cli_vault_list,
};

static const char *const verify_paragraphs[] = {
    "Reads every byte of every model in the vault and checks it: form, seals, counters. Opens "
    "nothing for use and counts nothing. The exit code is 0 when all is good, else that of the "
    "first entry that is not; the list names them all. What is bound to the guard of another "
    "program (or another build of it) is no damage, and cannot be checked here.",
    NULL};

static const emk_cli_example verify_examples[] = {
    {"After a disk failed:", "earmark vault verify"},
    {0},
};

static const emk_cli_exit verify_exits[] = {
    {EMK_E_SEALED, "an entry is damaged"},
    {EMK_E_STALE, "an old copy of an entry was put back"},
    {EMK_E_KEY_LOST, "an entry is for keys that are not here; or there are none any more"},
    {0},
};

const emk_cli_command EMK_CLI_VAULT_VERIFY = {
    .name = "vault verify",
    .summary = "checks every byte of the vault",
    .synopsis = "[--device DIR] [--json]",
    .paragraphs = verify_paragraphs,
    .options = options,
    .examples = verify_examples,
    .exits = verify_exits,
    .run = run_verify,
};

static const char *const purge_paragraphs[] = {
    "Removes models whose time is over, and puts to sleep those whose lease is: these open again "
    "with a new lease. What can never be opened here is counted as dead and left alone.",
    NULL};

static const emk_cli_example purge_examples[] = {
    {"Once a day:", "earmark vault purge --quiet"},
    {0},
};

const emk_cli_command EMK_CLI_VAULT_PURGE = {
    .name = "vault purge",
    .summary = "removes what has expired",
    .synopsis = "[--device DIR]",
    .paragraphs = purge_paragraphs,
    .options = options,
    .examples = purge_examples,
    .run = run_purge,
};

static const char *const rewrap_paragraphs[] = {
    "Seals the keys of models again: under this device's key, afresh; or, with --to, under the key "
    "of another device on this machine, into whose vault they move. That is the way from software "
    "keys into a TPM without fetching the models again. The models themselves are not decrypted. "
    "Without NAME all of the vault. Counters and policies go with them.",
    "A run that was cut short is run again: nothing is lost in between.", NULL};

static const emk_cli_operand rewrap_operands[] = {
    {"NAME", EMK_CLI_WORD, "the entry, as `earmark vault list` shows it", true},
    {0},
};

static const emk_cli_option rewrap_options[] = {
    {"to", 0, EMK_CLI_DIR, "DIR", "the other device's directory", false},
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example rewrap_examples[] = {
    {"From software keys into the TPM:", "earmark vault rewrap --device ./phone --to ./phone-tpm"},
    {0},
};

static const emk_cli_exit rewrap_exits[] = {
    {EMK_E_NOT_FOUND, "there is no such entry"},
    {EMK_E_SEALED, "the entry is damaged; or a wrong passphrase"},
    {EMK_E_KEY_LOST, "the entry is for keys that are not here"},
    {EMK_E_USED, "the other device has such an entry already"},
    {0},
};

const emk_cli_command EMK_CLI_VAULT_REWRAP = {
    .name = "vault rewrap",
    .summary = "seals the models' keys again, or to other keys",
    .synopsis = "[NAME...] [--to DIR]",
    .paragraphs = rewrap_paragraphs,
    .operands = rewrap_operands,
    .options = rewrap_options,
    .examples = rewrap_examples,
    .exits = rewrap_exits,
    .many_operands = true,
    .run = run_rewrap,
};
