/* earmarkd audit-key rotate: the audit log goes on under a new key, while the server stands still.
 *
 * Not over the keyholder: nothing that a taken-over HTTP process can say makes a handover.  Three
 * steps, each as the user whose folder it writes in: a new key in `next/` of the keys' folder; the
 * handover in the log (server/journal/handover.h); the new key in the place of the old.  As long as
 * `next/audit.key` is there the keyholder does not start, and the command may be given again. */
#include "core/base/os_file.h"
#include "server/daemon/keyholder_record.h"
#include "server/daemon/keys.h"
#include "server/daemon/os_process.h"
#include "server/daemon/os_sandbox.h"
#include "server/daemon/server.h"
#include "server/journal/handover.h"

#include <stdio.h>
#include <string.h>

typedef struct rotation {
    const emk_config *config;
    emk_crypto *crypto;
    char next[EMK_SERVER_PATH_MAX], next_key[EMK_SERVER_PATH_MAX], log[EMK_SERVER_PATH_MAX];
    emk_sign_key *from, *to;
} rotation;

typedef emk_status (*step_fn)(const rotation *r, emk_error *e);

static void say(const emk_error *e)
{
    fprintf(stderr, "earmarkd: the audit key was not rotated: %s\n", e->what ? e->what : "");
}

/* In a process of its own, because nobody becomes root again. */
static emk_status run_in(const char *folder, step_fn step, const rotation *r, emk_error *e)
{
    uint8_t how = EMK_E_IO;
    bool child = false;
    size_t len = 0;
    int fd = -1, pid = 0;
    emk_status st = emk_proc_fork(&child, &fd, &pid, e);

    if (st != EMK_OK)
        return st;
    if (child) {
        st = emk_sandbox_owner(folder, e);
        if (st == EMK_OK)
            st = step(r, e);
        if (st != EMK_OK)
            say(e);
        how = (uint8_t)st;
        emk_proc_exit(emk_proc_send(fd, emk_span_of(&how, 1), e) == EMK_OK ? 0 : 1);
    }
    st = emk_proc_receive(fd, &how, 1, &len, 0, e);
    emk_os_close(fd);
    if (st != EMK_OK || how != EMK_OK)
        return emk_fail(e, st != EMK_OK ? EMK_E_IO : (emk_status)how, "a step failed", how);
    return EMK_OK;
}

/* ---- steps ---- */

static emk_status make_next(const rotation *r, emk_error *e)
{
    emk_status st = emk_os_make_dir(r->next, e);

    return st == EMK_OK ? emk_key_make(r->crypto, r->next, EMK_KEY_AUDIT, e) : st;
}

static emk_status hand_over(const rotation *r, emk_error *e)
{
    emk_handover h = {
        .dir = r->log, .origin = r->config->audit_origin, .from = r->from, .to = r->to};

    return emk_handover_make(r->crypto, &h, e);
}

static emk_status note(const rotation *r, emk_error *e)
{
    uint8_t was[EMK_COSE_KID_LEN];
    emk_record_line line = {.what = "done rotate-audit", .key = was, .must = true};
    emk_status st = emk_cose_kid(r->crypto, emk_sign_key_public(r->from), was, e);

    return st == EMK_OK ? emk_record_append(r->config->keys_dir, &line, e) : st;
}

static emk_status put_in_place(const rotation *r, emk_error *e)
{
    const char *dir = r->config->keys_dir;
    emk_secret *key = NULL;
    emk_status st = emk_key_read(r->next, EMK_KEY_AUDIT, &key, e);

    if (st == EMK_OK)
        st = emk_key_replace(dir, EMK_KEY_AUDIT, emk_secret_span(key).p, e);
    emk_secret_free(key);
    if (st == EMK_OK)
        st = emk_key_publish(dir, "audit", emk_sign_key_public(r->to), e);
    if (st == EMK_OK)
        st = note(r, e);
    return st == EMK_OK ? emk_os_remove(r->next_key, e) : st;
}

/* ---- all of it ---- */

static emk_status fill_paths(rotation *r, emk_error *e)
{
    emk_status st = emk_os_join(r->next, sizeof r->next, r->config->keys_dir, EMK_KEY_NEXT, "", e);

    if (st == EMK_OK)
        st = emk_os_join(r->next_key, sizeof r->next_key, r->next, emk_key_name(EMK_KEY_AUDIT), "",
                         e);
    return st == EMK_OK ? emk_os_join(r->log, sizeof r->log, r->config->data, "journal", "", e)
                        : st;
}

/* Before anything is made: a key that lies ready keeps the server from starting. */
static emk_status check_standing(const rotation *r, emk_error *e)
{
    char path[EMK_SERVER_PATH_MAX];
    int fd = -1;
    emk_status st = emk_os_join(path, sizeof path, r->log, "lock", "", e);

    if (st == EMK_OK)
        st = emk_os_open_update(path, &fd, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, st, "there is no log yet", 0);
    if (st == EMK_OK)
        st = emk_os_lock(fd, false, e);
    emk_os_close(fd);
    return st == EMK_E_BUSY ? emk_fail(e, st, "the server runs: stop it first", 0) : st;
}

static emk_status read_key(const rotation *r, const char *dir, emk_sign_key **out, emk_error *e)
{
    emk_secret *secret = NULL;
    emk_status st = emk_key_read(dir, EMK_KEY_AUDIT, &secret, e);

    if (st == EMK_OK)
        st = emk_sign_key_new(r->crypto, EMK_SIGN_ED25519, emk_secret_span(secret), out, e);
    emk_secret_free(secret);
    return st;
}

static emk_status rotate(rotation *r, emk_error *e)
{
    emk_status st = fill_paths(r, e);

    if (st == EMK_OK)
        st = check_standing(r, e);
    if (st == EMK_OK)
        st = run_in(r->config->keys_dir, make_next, r, e);
    if (st == EMK_OK)
        st = read_key(r, r->config->keys_dir, &r->from, e);
    if (st == EMK_OK)
        st = read_key(r, r->next, &r->to, e);
    if (st != EMK_OK)
        return st;
    /* Equal: killed when it was in its place already. */
    if (!emk_span_equal(emk_sign_key_public(r->from), emk_sign_key_public(r->to)))
        st = run_in(r->log, hand_over, r, e);
    return st == EMK_OK ? run_in(r->config->keys_dir, put_in_place, r, e) : st;
}

static emk_status with_config(const char *file, emk_error *e)
{
    emk_config config;
    rotation r = {.config = &config};
    emk_status st = emk_server_config_read(file, &config, e);

    if (st != EMK_OK)
        return st;
    st = emk_crypto_new(NULL, NULL, &r.crypto, e);
    if (st == EMK_OK)
        st = rotate(&r, e);
    emk_sign_key_free(r.from);
    emk_sign_key_free(r.to);
    emk_crypto_free(r.crypto);
    emk_config_done(&config);
    return st;
}

int emk_server_audit_key_main(int argc, char **argv)
{
    emk_error e = {0};

    if (argc != 5 || strcmp(argv[2], "rotate") != 0 || strcmp(argv[3], "--config") != 0) {
        fputs("earmarkd audit-key rotate --config FILE\n"
              "While the server stands still: the audit log goes on under a new key, which the old "
              "one names in it.\n",
              stderr);
        return 2;
    }
    if (with_config(argv[4], &e) == EMK_OK)
        return 0;
    say(&e);
    return 1;
}
