#include "server/journal/handover.h"

#include "core/base/os_file.h"
#include "core/base/os_time.h"

#include <stdio.h>
#include <string.h>

#define PATH_LEN 4200u
#define PREFIX   "handover-"
#define DIGITS   16u

/* ---- files ---- */

static emk_status path_of(const char *dir, uint64_t size, char out[PATH_LEN], emk_error *e)
{
    char name[EMK_HANDOVER_CHARS + 1];

    snprintf(name, sizeof name, PREFIX "%016llx", (unsigned long long)size);
    return emk_os_join(out, PATH_LEN, dir, name, "", e);
}

static bool read_name(const char *name, uint64_t *size)
{
    uint64_t v = 0;
    const char *p = name + sizeof PREFIX - 1;

    if (strlen(name) != EMK_HANDOVER_CHARS || strncmp(name, PREFIX, sizeof PREFIX - 1) != 0)
        return false;
    for (size_t i = 0; i < DIGITS; i++) {
        unsigned char c = (unsigned char)p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *size = v;
    return true;
}

static emk_status list_one(void *self, const char *name, emk_error *e)
{
    emk_handover_list *list = self;
    uint64_t size = 0;
    size_t at;

    if (!read_name(name, &size))
        return EMK_OK;
    if (list->n == EMK_HANDOVERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "handover: too many", list->n);
    for (at = list->n++; at > 0 && list->size[at - 1] > size; at--)
        list->size[at] = list->size[at - 1];
    list->size[at] = size;
    return EMK_OK;
}

emk_status emk_handover_list_read(const char *dir, emk_handover_list *out, emk_error *e)
{
    emk_handover_list list = {.n = 0};
    emk_status st = emk_os_list_dir(dir, list_one, &list, e);

    if (st == EMK_OK)
        *out = list;
    return st;
}

emk_status emk_handover_read(const char *dir, uint64_t size, emk_buf *out, emk_error *e)
{
    char path[PATH_LEN];
    emk_status st = path_of(dir, size, path, e);

    return st == EMK_OK ? emk_os_read_file(path, EMK_NOTE_MAX, out, e) : st;
}

/* ---- making one ---- */

typedef struct keys {
    emk_note_key from, to;
} keys;

static emk_status sign_with(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    return emk_sign_make(*(const emk_sign_key *const *)self, msg, sig, e);
}

/* Nobody is there who could take it away. */
static emk_status no_escrow(void *self, uint64_t epoch, const uint8_t key[32], emk_error *e)
{
    (void)self;
    (void)key;
    return emk_fail(e, EMK_E_POLICY, "handover: the chain is missing, open the log in order first",
                    epoch);
}

static emk_status read_keys(const emk_crypto *c, const emk_handover *h, keys *out, emk_error *e)
{
    emk_span from = emk_sign_key_public(h->from), to = emk_sign_key_public(h->to);
    emk_status st;

    if (from.len != 32 || to.len != 32)
        return emk_fail(e, EMK_E_USAGE, "handover: a key of another kind", to.len);
    if (emk_span_equal(from, to))
        return emk_fail(e, EMK_E_USED, "handover: to the same key", 0);
    st = emk_note_key_init(c, h->origin, from.p, &out->from, e);
    return st == EMK_OK ? emk_note_key_init(c, h->origin, to.p, &out->to, e) : st;
}

/* The entry, and an orderly end behind it. */
static emk_status name_key(const emk_crypto *c, const emk_handover *h, const keys *k, emk_error *e)
{
    const emk_sign_key *signer = h->from;
    emk_journal_options o = {.dir = h->dir,
                             .origin = h->origin,
                             .sign = sign_with,
                             .sign_self = &signer,
                             .escrow = no_escrow};
    char text[EMK_NOTE_VKEY_MAX];
    emk_journal_event ev = {.time_ms = emk_os_now_ms(),
                            .type = emk_span_str(EMK_HANDOVER_TYPE),
                            .actor = emk_span_str("earmarkd"),
                            .outcome = EMK_JOURNAL_DONE};
    emk_journal *j = NULL;
    emk_error ignored;
    emk_status st = emk_note_key_write(&k->to, text, e);

    memcpy(o.public_key, k->from.public_key, sizeof o.public_key);
    if (st == EMK_OK)
        st = emk_journal_open(c, &o, &j, e);
    if (st != EMK_OK)
        return st;
    ev.object = emk_span_str(text);
    st = emk_journal_append(j, &ev, 1, NULL, e);
    if (st == EMK_OK)
        return emk_journal_close(j, e);
    (void)!emk_journal_close(j, &ignored);
    return st;
}

static emk_status read_last(const emk_crypto *c, const char *path, const emk_note_key *k,
                            emk_buf *note, emk_tree_head *out, emk_error *e)
{
    emk_status st = emk_os_read_file(path, EMK_NOTE_MAX, note, e);

    return st == EMK_OK ? emk_checkpoint_verify(c, k, emk_buf_span(note), out, e) : st;
}

static emk_status write_handover(const emk_handover *h, const keys *k, const emk_tree_head *head,
                                 emk_error *e)
{
    const emk_sign_key *from = h->from, *to = h->to;
    char path[PATH_LEN];
    emk_buf note;
    emk_status st = path_of(h->dir, head->size, path, e);

    emk_buf_init(&note, EMK_NOTE_MAX);
    if (st == EMK_OK)
        st = emk_handover_sign(&(emk_note_signer){&k->from, sign_with, &from}, &k->to, head, &note,
                               e);
    if (st == EMK_OK)
        st = emk_checkpoint_cosign(&k->to, sign_with, &to, &note, e);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_buf_span(&note), e);
    emk_buf_done(&note);
    return st;
}

/* The checkpoint that the new key goes on from is the last that the old one signed. */
static emk_status hand_over(const emk_crypto *c, const emk_handover *h, const keys *k, emk_error *e)
{
    const emk_sign_key *to = h->to;
    char path[PATH_LEN];
    emk_tree_head head;
    emk_buf note;
    emk_status st = emk_os_join(path, sizeof path, h->dir, "checkpoint", "", e);

    emk_buf_init(&note, EMK_NOTE_MAX);
    if (st == EMK_OK)
        st = read_last(c, path, &k->from, &note, &head, e);
    if (st == EMK_OK)
        st = write_handover(h, k, &head, e);
    if (st == EMK_OK)
        st = emk_checkpoint_cosign(&k->to, sign_with, &to, &note, e);
    if (st == EMK_OK)
        st = emk_os_write_file(path, emk_buf_span(&note), e);
    emk_buf_done(&note);
    return st;
}

emk_status emk_handover_make(const emk_crypto *c, const emk_handover *h, emk_error *e)
{
    emk_handover_list list;
    keys k;
    emk_status st = read_keys(c, h, &k, e);

    if (st == EMK_OK)
        st = emk_handover_list_read(h->dir, &list, e);
    if (st == EMK_OK && list.n == EMK_HANDOVERS_MAX)
        st = emk_fail(e, EMK_E_LIMIT, "handover: too many", list.n);
    if (st == EMK_OK)
        st = name_key(c, h, &k, e);
    return st == EMK_OK ? hand_over(c, h, &k, e) : st;
}
