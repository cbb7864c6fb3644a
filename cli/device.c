#include "cli/device.h"

#include "cli/guard.h"
#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "core/base/os_time.h"

#include <string.h>

#define SLOW_S     3u
#define UNFINISHED "unfinished"
#define TEMP_MARK  ".tmp-" /* of emk_os_write_file */

static const char NO_DEVICE[] =
    "Make one with `earmark device init --issuer issuer.pub`, or name its directory with "
    "--device DIR.";

void emk_cli_device_close(emk_cli_device *d)
{
    emk_client_free(d->client);
    emk_guard_free(d->guard);
    emk_keystore_close(&d->keystore);
    if (d->making)
        emk_os_close(d->making);
    d->making = 0;
    d->client = NULL;
    d->guard = NULL;
    d->keystore = (emk_keystore){0};
}

/* Slow keys are worth a word: with a token behind a network nothing else tells why. */
static void remark_slow(const emk_cli *cli, uint64_t start_ns)
{
    uint64_t took_s = (emk_os_monotonic_ns() - start_ns) / 1000000000u;

    if (took_s >= SLOW_S)
        emk_cli_remark(cli,
                       "opening the device's keys took %llu s: its TPM or token is slow or busy",
                       (unsigned long long)took_s);
}

static emk_status open_keys(emk_cli *cli, const char *device_dir, const char *dir,
                            emk_keystore *out)
{
    emk_cli_keys keys = {.dir = dir};
    uint64_t start = emk_os_monotonic_ns();
    const emk_cli_holder *holder;
    emk_status st = emk_cli_keys_config_read(cli, device_dir, &keys.config);

    if (st != EMK_OK)
        return st;
    holder = emk_cli_holder_find(keys.config.kind);
    st = emk_cli_holder_check(cli, holder);
    if (st == EMK_OK)
        st = holder->open(cli, &keys, out);
    if (st == EMK_OK)
        remark_slow(cli, start);
    return st;
}

/* The file is a row of ids, as they are. */
static emk_status read_former(emk_cli *cli, const char *dir, emk_buf *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, dir, "former", path);

    emk_buf_init(out, (size_t)EMK_CLIENT_FORMER_MAX * EMK_DEVICE_ID_LEN);
    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_read_file(path, out->max, out, &cli->error);
    if (st == EMK_OK && out->len % EMK_DEVICE_ID_LEN != 0)
        st = emk_fail(&cli->error, EMK_E_FORMAT, "device: its file `former` is damaged", out->len);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_former_add(emk_cli *cli, const char *dir, const uint8_t *id)
{
    char path[EMK_CLI_PATH_MAX];
    emk_buf ids;
    emk_status st = read_former(cli, dir, &ids);

    for (size_t at = 0; st == EMK_OK && at < ids.len; at += EMK_DEVICE_ID_LEN) {
        if (memcmp(ids.p + at, id, EMK_DEVICE_ID_LEN) == 0) {
            emk_buf_done(&ids);
            return EMK_OK;
        }
    }
    if (st == EMK_OK)
        st = emk_buf_append(&ids, emk_span_of(id, EMK_DEVICE_ID_LEN), &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "former", path);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&ids));
    emk_buf_done(&ids);
    return st;
}

/* Behind the pinned key: those that were learned, oldest first. */
typedef struct learned {
    emk_buf file;
    emk_span keys[EMK_CLIENT_ISSUERS_MAX]; /* the first is the pinned one's place */
    size_t n;
} learned;

static emk_status read_learned(emk_cli *cli, const char *dir, learned *l)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, dir, "issuers", path);

    l->n = 1;
    emk_buf_init(&l->file, (size_t)EMK_CLIENT_ISSUERS_MAX * (1 + EMK_SIGN_PUBLIC_MAX));
    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_read_file(path, l->file.max, &l->file, &cli->error);
    for (size_t at = 0; st == EMK_OK && at < l->file.len; at += 1u + l->file.p[at]) {
        if (l->n == EMK_CLIENT_ISSUERS_MAX || l->file.p[at] >= l->file.len - at)
            st = emk_fail(&cli->error, EMK_E_FORMAT, "device: its file `issuers` is damaged", at);
        else
            l->keys[l->n++] = emk_span_of(l->file.p + at + 1, l->file.p[at]);
    }
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_issuer_keep(emk_cli *cli, const char *dir, emk_span public_key)
{
    char path[EMK_CLI_PATH_MAX];
    learned l;
    emk_buf out;
    emk_status st = read_learned(cli, dir, &l);
    size_t first = st == EMK_OK && l.n == EMK_CLIENT_ISSUERS_MAX ? 2 : 1;

    emk_buf_init(&out, l.file.max);
    for (size_t i = first; st == EMK_OK && i <= l.n; i++) {
        emk_span key = i < l.n ? l.keys[i] : public_key;
        uint8_t len = (uint8_t)key.len;

        if (i < l.n && emk_span_equal(key, public_key))
            break; /* it is there */
        st = emk_buf_append(&out, emk_span_of(&len, 1), &cli->error);
        if (st == EMK_OK)
            st = emk_buf_append(&out, key, &cli->error);
        if (st == EMK_OK && i == l.n) {
            st = emk_cli_join(cli, dir, "issuers", path);
            if (st == EMK_OK)
                st = emk_cli_write_output(cli, path, emk_buf_span(&out));
        }
    }
    emk_buf_done(&out);
    emk_buf_done(&l.file);
    return st;
}

static emk_status open_client(emk_cli *cli, const char *dir, const emk_crypto *c, emk_cli_device *d)
{
    char vault[EMK_CLI_PATH_MAX], path[EMK_CLI_PATH_MAX];
    emk_cli_public issuer = {.len = 0};
    emk_buf former;
    learned known;
    emk_client_config config = {.crypto = c,
                                .keystore = &d->keystore,
                                .vault = vault,
                                .issuers = known.keys,
                                .n_issuers = 1};
    emk_status st = emk_cli_join(cli, dir, "vault", vault);

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "issuer.pub", path);
    if (st == EMK_OK)
        st = emk_cli_public_read(cli, path, &issuer);
    if (st != EMK_OK)
        return st;
    st = read_learned(cli, dir, &known);
    known.keys[0] = emk_span_of(issuer.bytes, issuer.len);
    config.n_issuers = known.n;
    emk_buf_init(&former, 0);
    if (st == EMK_OK)
        st = read_former(cli, dir, &former);
    if (st == EMK_OK) {
        config.former = (const uint8_t(*)[EMK_DEVICE_ID_LEN])former.p;
        config.n_former = former.len / EMK_DEVICE_ID_LEN;
        config.watcher = d->guard;
        st = emk_client_new(&config, &d->client, &cli->error);
    }
    emk_buf_done(&former);
    emk_buf_done(&known.file);
    return st;
}

/* Nobody has seen the enrolment of such a device, so it is nobody's yet. */
static emk_status refuse_unfinished(emk_cli *cli, const emk_cli_device *d)
{
    char mark[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, d->dir, UNFINISHED, mark);

    if (st != EMK_OK || d->making || !emk_os_exists(mark))
        return st;
    st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "device: its making was cut short", 0);
    return emk_cli_advise(cli, st,
                          "Give the same `earmark device init` again: it removes what is there "
                          "and makes the device anew.");
}

static emk_status open_here(emk_cli *cli, emk_cli_device *out)
{
    char keys[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_status st = refuse_unfinished(cli, out);

    if (st == EMK_OK)
        st = emk_cli_join(cli, out->dir, "keys", keys);
    if (st == EMK_OK && !emk_os_exists(keys)) {
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "device: there is none here", 0);
        st = emk_cli_advise(cli, st, "%s", NO_DEVICE);
    }
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = open_keys(cli, out->dir, keys, &out->keystore);
    if (st == EMK_OK)
        st = emk_cli_guard_open(cli, &out->guard);
    if (st == EMK_OK)
        st = open_client(cli, out->dir, c, out);
    return emk_cli_about(cli, st, out->dir);
}

emk_status emk_cli_device_open(emk_cli *cli, emk_cli_device *out)
{
    emk_status st = emk_cli_home(cli, "device", out->dir);

    return st == EMK_OK ? open_here(cli, out) : st;
}

emk_status emk_cli_device_open_at(emk_cli *cli, const char *dir, emk_cli_device *out)
{
    if (strlen(dir) >= sizeof out->dir - 64)
        return emk_cli_usage(cli, "the path of a device is too long");
    snprintf(out->dir, sizeof out->dir, "%s", dir);
    return open_here(cli, out);
}

/* ---- making ---- */

/* What an init writes, in this order: the mark, what the keys are (keys that nobody can find again
 * are worse than a note about none), the keys, the issuer, the enrolment.  Then the mark goes.
 * Where it is found, all of that is removed and made anew: nobody has seen the enrolment. */
typedef struct making {
    emk_cli *cli;
    const emk_cli_device_new *in;
    char mark[EMK_CLI_PATH_MAX];
    int dir;         /* locked */
    bool unfinished; /* the mark was there */
} making;

/* What emk_os_write_file leaves of one of our files, where it is killed: nothing else that may lie
 * in the directory. */
static bool is_temp(const char *name)
{
    static const char *const OURS[] = {UNFINISHED TEMP_MARK, "keystore" TEMP_MARK,
                                       "issuer.pub" TEMP_MARK, "device.enrolment" TEMP_MARK};

    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++)
        if (strncmp(name, OURS[i], strlen(OURS[i])) == 0)
            return true;
    return false;
}

static emk_status clear_temp(void *self, const char *name, emk_error *e)
{
    const char *dir = self;
    char path[EMK_CLI_PATH_MAX];
    emk_status st;

    if (!is_temp(name))
        return EMK_OK;
    st = emk_os_join(path, sizeof path, dir, name, "", e);
    return st == EMK_OK ? emk_os_discard(path, e) : st;
}

static emk_status clear_one(void *self, const char *name, emk_os_kind kind, emk_error *e)
{
    char rel[EMK_CLI_PATH_MAX];
    const int *dir = self;
    emk_status st = emk_os_join(rel, sizeof rel, "keys", name, "", e);

    (void)kind;
    return st == EMK_OK ? emk_os_remove_below(*dir, rel, e) : st;
}

/* Files alone, and not through a link: whoever made `keys` one must not have us empty what it
 * leads to. */
static emk_status clear_dir(const making *m)
{
    int dir = m->dir;
    emk_status st = emk_os_folder_each(dir, "keys", clear_one, &dir, &m->cli->error);

    if (st == EMK_OK) /* it was empty */
        st = emk_os_folder_remove(m->in->keys->dir, &m->cli->error);
    return st == EMK_OK ? emk_os_folder_sync(dir, &m->cli->error) : st;
}

/* Removes the keys where the note on them says they are, and their directory. */
static emk_status clear_keys(const making *m)
{
    const char *keys = m->in->keys->dir;
    emk_cli_keys_config config;
    const emk_cli_holder *holder;
    emk_status st = emk_cli_keys_config_read(m->cli, m->in->dir, &config);

    if (st != EMK_OK)
        return st;
    holder = emk_cli_holder_find(config.kind);
    if (holder->clear)
        st = emk_cli_advise(m->cli, holder->clear(m->cli, keys, &config),
                            "An earlier `earmark device init` was cut short here and may have left "
                            "keys in its TPM or token: have that at hand, or take another "
                            "directory with --device DIR.");
    if (st != EMK_OK || !emk_os_exists(keys))
        return st;
    return clear_dir(m);
}

/* A note on keys in a TPM or token, without their directory and without the mark: they may be all
 * that is left of a device. */
static emk_status refuse_remains(const making *m)
{
    emk_cli_keys_config config;
    emk_status st = emk_cli_keys_config_read(m->cli, m->in->dir, &config);

    if (st == EMK_OK && emk_cli_holder_find(config.kind)->clear)
        return emk_fail(&m->cli->error, EMK_E_USED, "device: it is there, without its keys", 0);
    return st;
}

static emk_status make_room(making *m)
{
    char dir[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(m->cli, m->in->dir, UNFINISHED, m->mark);

    snprintf(dir, sizeof dir, "%s", m->in->dir);
    if (st == EMK_OK)
        st = emk_os_list_dir(dir, clear_temp, dir, &m->cli->error);
    if (st != EMK_OK)
        return st;
    m->unfinished = emk_os_exists(m->mark);
    if (m->unfinished)
        return clear_keys(m);
    if (emk_os_exists(m->in->keys->dir))
        return emk_fail(&m->cli->error, EMK_E_USED, "device: it exists already", 0);
    return refuse_remains(m);
}

/* What fails before anything was made, a holder tells by these; a token must not be asked for its
 * PIN once more, to see that nothing is there. */
static bool made_nothing(emk_status st)
{
    return st == EMK_E_USAGE || st == EMK_E_SEALED || st == EMK_E_BUSY || st == EMK_E_UNSUPPORTED ||
           st == EMK_E_NOT_FOUND;
}

/* After a failure that is no kill: leaves the directory as it was, or, where something may be left
 * in TPM or token, marked, so that the next init looks for it. */
static emk_status make_undone(const making *m, emk_status st)
{
    const emk_error why = m->cli->error;
    char note[EMK_CLI_PATH_MAX];
    emk_status cleared = EMK_OK;

    if (emk_os_exists(m->in->keys->dir))
        cleared = clear_keys(m);
    else if (!made_nothing(st))
        cleared = st;
    if (cleared == EMK_OK)
        cleared = emk_cli_join(m->cli, m->in->dir, "keystore", note);
    if (cleared == EMK_OK)
        cleared = emk_os_remove(note, &m->cli->error);
    if (cleared == EMK_OK)
        cleared = emk_os_remove(m->mark, &m->cli->error);
    if (cleared != EMK_OK)
        emk_cli_remark(m->cli,
                       "what was made so far stays, as unfinished: the next `earmark device "
                       "init` removes it");
    m->cli->error = why;
    return st;
}

/* Asked for first whether it is there, so that a wrong --module or --tcti leaves no trace. */
static emk_status make_keys(making *m)
{
    emk_cli *cli = m->cli;
    const emk_cli_device_new *in = m->in;
    const emk_cli_holder *holder = emk_cli_holder_find(in->keys->config.kind);
    emk_status st = make_room(m);

    if (st == EMK_OK && holder->probe)
        st = holder->probe(cli, &in->keys->config);
    if (st == EMK_OK)
        st = emk_os_write_file(m->mark, emk_span_of(NULL, 0), &cli->error);
    if (st == EMK_OK)
        st = emk_cli_keys_config_write(cli, in->dir, &in->keys->config);
    if (st == EMK_OK) {
        st = holder->make(cli, in->keys);
        if (st != EMK_OK)
            st = make_undone(m, st);
    }
    if (st == EMK_E_USED)
        st = emk_cli_advise(cli, st,
                            "This device exists already. Keys are never replaced: choose "
                            "another directory with --device DIR.");
    return emk_cli_about(cli, st, in->keys->dir);
}

/* The directory is locked from here on: a second init must not take the first one's work for
 * something that was cut short. */
static emk_status lock_dir(emk_cli *cli, const char *dir, int *fd)
{
    emk_status st = emk_cli_make_dirs(cli, dir);

    if (st == EMK_OK)
        st = emk_os_folder_open(dir, fd, &cli->error);
    if (st != EMK_OK)
        return st;
    st = emk_os_lock(*fd, false, &cli->error);
    if (st == EMK_OK)
        return EMK_OK;
    emk_os_close(*fd);
    if (st == EMK_E_BUSY)
        st = emk_cli_advise(cli, st, "Another `earmark device init` is at work here: wait for it.");
    return emk_cli_about(cli, st, dir);
}

emk_status emk_cli_device_make(emk_cli *cli, const emk_cli_device_new *in, emk_cli_device *out)
{
    char pub_path[EMK_CLI_PATH_MAX], keys[EMK_CLI_PATH_MAX];
    making m = {.cli = cli, .in = in};
    emk_status st = emk_cli_join(cli, in->dir, "keys", keys);

    if (st == EMK_OK)
        st = lock_dir(cli, in->dir, &out->making);
    if (st == EMK_OK) {
        in->keys->dir = keys;
        m.dir = out->making;
        st = make_keys(&m);
    }
    if (st == EMK_OK)
        st = emk_cli_public_write(cli, in->dir, in->issuer, pub_path);
    return st == EMK_OK ? emk_cli_device_open(cli, out) : st;
}

emk_status emk_cli_device_made(emk_cli *cli, const emk_cli_device *d)
{
    char mark[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, d->dir, UNFINISHED, mark);

    return st == EMK_OK ? emk_os_remove(mark, &cli->error) : st;
}
