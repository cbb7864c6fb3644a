/* What an auditor says about a log that somebody changed: one defect each. */
#include "core/base/bytes.h"
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "server/journal/handover.h"
#include "server/journal/internal.h"
#include "tests/support/test.h"
#include "tests/unit/server/journal/scene.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES 700u

static void path_in(const scene *s, const char *name, char out[4200])
{
    snprintf(out, 4200, "%s/%s", s->log, name);
}

static void read_whole(const scene *s, const char *name, emk_buf *b)
{
    char path[4200];
    emk_error e = {0};

    path_in(s, name, path);
    emk_buf_init(b, 64u << 20);
    assert_ok(emk_os_read_file(path, 64u << 20, b, &e), &e);
}

static void write_whole(const scene *s, const char *name, emk_span bytes)
{
    char path[4200];
    emk_error e = {0};

    path_in(s, name, path);
    assert_ok(emk_os_write_file(path, bytes, &e), &e);
}

static void begin(scene *s)
{
    scene_open(s);
    scene_start(s);
    scene_append(s, ENTRIES - 2);
    scene_stop(s);
}

/* Where entry i of a bundle begins, its length bytes included. */
static size_t entry_at(const emk_buf *b, size_t i)
{
    size_t at = 0;

    while (i-- > 0)
        at += 2u + emk_load_u16be(b->p + at);
    return at;
}

static void flip(const scene *s, const char *name, size_t at)
{
    emk_buf b;

    read_whole(s, name, &b);
    assert_true(at < b.len);
    b.p[at] ^= 1;
    write_whole(s, name, emk_buf_span(&b));
    emk_buf_done(&b);
}

static void finds_a_flipped_bit_in_an_entry(void **state)
{
    emk_audit_report r;
    scene s;

    (void)state;
    begin(&s);
    {
        emk_buf b;
        uint8_t *at;

        read_whole(&s, "tile/entries/001", &b);
        at = memmem(b.p, b.len, "model:cats", 10);
        assert_non_null(at);
        flip(&s, "tile/entries/001", (size_t)(at - b.p)); /* in a text: still an entry */
        emk_buf_done(&b);
    }
    r = scene_audit(&s);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_TAMPERED);
    assert_int_equal(r.tree.verdict, EMK_AUDIT_TAMPERED);
    assert_int_equal(r.signature.verdict, EMK_AUDIT_INTACT);
    scene_close(&s);
}

static void finds_every_flipped_bit_of_small_files(void **state)
{
    static const char *const files[] = {"checkpoint", "tile/1/000.p/2"};
    scene s;

    (void)state;
    begin(&s);
    for (size_t i = 0; i < 2; i++) {
        emk_buf b;

        read_whole(&s, files[i], &b);
        for (size_t at = 0; at < b.len; at++) {
            emk_audit_report r;

            flip(&s, files[i], at);
            r = scene_audit(&s);
            if (emk_audit_sum(&r) != EMK_AUDIT_TAMPERED)
                fail_msg("%s: byte %zu: %s", files[i], at,
                         emk_audit_verdict_name(emk_audit_sum(&r)));
            write_whole(&s, files[i], emk_buf_span(&b));
        }
        emk_buf_done(&b);
    }
    scene_close(&s);
}

static void finds_swapped_entries(void **state)
{
    emk_audit_report r;
    size_t a, b, c;
    emk_buf bundle, out;
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    read_whole(&s, "tile/entries/000", &bundle);
    a = entry_at(&bundle, 20);
    b = entry_at(&bundle, 21);
    c = entry_at(&bundle, 22);
    emk_buf_init(&out, bundle.len);
    assert_ok(emk_buf_append(&out, emk_span_of(bundle.p, a), &e), &e);
    assert_ok(emk_buf_append(&out, emk_span_of(bundle.p + b, c - b), &e), &e);
    assert_ok(emk_buf_append(&out, emk_span_of(bundle.p + a, b - a), &e), &e);
    assert_ok(emk_buf_append(&out, emk_span_of(bundle.p + c, bundle.len - c), &e), &e);
    write_whole(&s, "tile/entries/000", emk_buf_span(&out));
    r = scene_audit(&s);
    assert_int_equal(r.records.verdict, EMK_AUDIT_TAMPERED);
    assert_int_equal(r.records.where, 20);
    assert_int_equal(r.macs.verdict, EMK_AUDIT_TAMPERED);
    assert_int_equal(r.tree.verdict, EMK_AUDIT_TAMPERED);
    emk_buf_done(&bundle);
    emk_buf_done(&out);
    scene_close(&s);
}

static void finds_a_dropped_and_an_inserted_entry(void **state)
{
    (void)state;
    for (int insert = 0; insert < 2; insert++) {
        emk_audit_report r;
        size_t a, b;
        emk_buf bundle, out;
        emk_error e = {0};
        scene s;

        begin(&s);
        read_whole(&s, "tile/entries/000", &bundle);
        a = entry_at(&bundle, 20);
        b = entry_at(&bundle, 21);
        emk_buf_init(&out, bundle.len + 1000);
        assert_ok(emk_buf_append(&out, emk_span_of(bundle.p, insert ? b : a), &e), &e);
        b = insert ? a : b;
        assert_ok(emk_buf_append(&out, emk_span_of(bundle.p + b, bundle.len - b), &e), &e);
        write_whole(&s, "tile/entries/000", emk_buf_span(&out));
        r = scene_audit(&s);
        assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_TAMPERED);
        assert_int_equal(r.records.verdict, EMK_AUDIT_TAMPERED);
        emk_buf_done(&bundle);
        emk_buf_done(&out);
        scene_close(&s);
    }
}

static void finds_what_is_missing(void **state)
{
    static const char *const files[] = {"tile/entries/001", "tile/entries/002.p/188", "tile/0/001",
                                        "tile/1/000.p/2"};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[4200];
        emk_audit_report r;
        emk_error e = {0};
        scene s;

        begin(&s);
        path_in(&s, files[i], path);
        assert_ok(emk_os_remove(path, &e), &e);
        r = scene_audit(&s);
        assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INCOMPLETE);
        scene_close(&s);
    }
}

static void finds_a_log_cut_behind_the_checkpoint(void **state)
{
    char path[4200];
    emk_audit_report r;
    emk_error e = {0};
    emk_buf log;
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    scene_append(&s, 100);
    assert_ok(emk_journal_checkpoint(s.j, &e), &e);
    scene_append(&s, 50);
    read_whole(&s, "log/0000000000000000.log", &log);
    r = scene_audit(&s); /* while it is in use */
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    assert_int_equal(r.n_entries, 151);
    path_in(&s, "log/0000000000000000.log", path);
    assert_ok(emk_os_write_file(path, emk_span_of(log.p, log.len - 300), &e), &e);
    r = scene_audit(&s);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INCOMPLETE);
    assert_int_equal(r.completeness.verdict, EMK_AUDIT_INCOMPLETE);
    /* … and the server does not go on from there. */
    emk_journal_abandon(s.j);
    s.j = NULL;
    assert_status(emk_journal_open(s.c, &s.options, &s.j, &e), EMK_E_FORMAT, &e);
    emk_buf_done(&log);
    scene_close(&s);
}

static void refuses_to_start_behind_its_checkpoint(void **state)
{
    static const char *const gone[] = {"head", "chain", "log/0000000000000000.log"};
    char path[4200];
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    for (size_t i = 0; i < 3; i++) {
        path_in(&s, gone[i], path);
        assert_ok(emk_os_remove(path, &e), &e);
    }
    assert_status(emk_journal_open(s.c, &s.options, &s.j, &e), EMK_E_STALE, &e);
    scene_close(&s);
}

static void a_lost_chain_key_begins_a_new_epoch_that_shows(void **state)
{
    char path[4200];
    emk_journal_state st;
    emk_audit_report r;
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    path_in(&s, "chain", path);
    assert_ok(emk_os_remove(path, &e), &e);
    scene_start(&s);
    emk_journal_state_get(s.j, &st);
    assert_true(st.new_epoch);
    assert_int_equal(st.epoch, 2);
    scene_stop(&s);
    r = scene_audit(&s);
    assert_int_equal(r.n_epochs, 2);
    assert_int_equal(r.macs.verdict, EMK_AUDIT_INTACT);
    scene_close(&s);
}

/* Who has the machine has the key of now.  With it he writes the past anew, links and all. */
static void finds_the_past_written_anew_with_a_newer_key(void **state)
{
    emk_audit_report r;
    emk_chain forged = {.epoch = 1};
    emk_buf bundle, out, chain;
    emk_error e = {0};
    size_t at = 0;
    scene s;

    (void)state;
    begin(&s);
    read_whole(&s, "chain", &chain);
    assert_ok(emk_chain_read(s.c, emk_buf_span(&chain), &forged, &e), &e);
    forged.seq = 0;
    memset(forged.mac, 0, sizeof forged.mac);
    memset(forged.link, 0, sizeof forged.link);
    read_whole(&s, "tile/entries/000", &bundle);
    emk_buf_init(&out, bundle.len);
    while (at < bundle.len) {
        size_t len = emk_load_u16be(bundle.p + at);
        uint8_t entry[EMK_JOURNAL_RECORD_MAX], head[2];
        emk_journal_record rec;

        assert_ok(emk_journal_record_read(emk_span_of(bundle.p + at + 2, len), &rec, &e), &e);
        memcpy(rec.link, forged.link, sizeof rec.link);
        assert_ok(emk_journal_record_write(&rec, entry, sizeof entry, &len, &e), &e);
        assert_ok(emk_chain_step(s.c, &forged, emk_span_of(entry, len), &e), &e);
        emk_store_u16be(head, (uint16_t)len);
        assert_ok(emk_buf_append(&out, emk_span_of(head, 2), &e), &e);
        assert_ok(emk_buf_append(&out, emk_span_of(entry, len), &e), &e);
        at += 2 + len;
    }
    write_whole(&s, "tile/entries/000", emk_buf_span(&out));
    r = scene_audit(&s);
    assert_int_equal(r.records.verdict, EMK_AUDIT_INTACT);
    assert_int_equal(r.macs.verdict, EMK_AUDIT_TAMPERED);
    assert_int_equal(r.macs.where, 1);
    assert_int_equal(r.tree.verdict, EMK_AUDIT_TAMPERED);
    emk_buf_done(&bundle);
    emk_buf_done(&out);
    emk_buf_done(&chain);
    scene_close(&s);
}

static emk_audit_report audit_against(scene *s, emk_span trusted)
{
    emk_audit a = {.dir = s->log, .key = &s->note_key, .trusted = trusted};
    emk_audit_report r = {0};
    emk_error e = {0};

    assert_ok(emk_audit_verify(s->c, &a, &r, &e), &e);
    return r;
}

static void finds_a_fork_by_the_checkpoint_trusted_before(void **state)
{
    emk_audit_report r;
    emk_buf trusted;
    scene s;

    (void)state;
    begin(&s);
    read_whole(&s, "checkpoint", &trusted);
    scene_start(&s);
    scene_stop(&s);
    r = audit_against(&s, emk_buf_span(&trusted));
    assert_int_equal(r.consistency.verdict, EMK_AUDIT_INTACT);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    {
        int dir;
        emk_error e = {0};

        assert_ok(emk_os_folder_open(s.log, &dir, &e), &e);
        assert_ok(emk_os_folder_clear(dir, &e), &e);
        emk_os_close(dir);
    }
    s.n_chain_keys = 0; /* the same signer, another history: in itself it is in order */
    scene_start(&s);
    scene_append(&s, ENTRIES);
    scene_stop(&s);
    r = scene_audit(&s);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    r = audit_against(&s, emk_buf_span(&trusted));
    assert_int_equal(r.consistency.verdict, EMK_AUDIT_TAMPERED);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_TAMPERED);
    emk_buf_done(&trusted);
    scene_close(&s);
}

/* ---- handovers ---- */

static emk_sign_key *new_key(const scene *s, uint8_t seed)
{
    uint8_t priv[EMK_SIGN_PRIVATE_LEN];
    emk_sign_key *key;
    emk_error e = {0};

    memset(priv, seed, sizeof priv);
    assert_ok(emk_sign_key_new(s->c, EMK_SIGN_ED25519, emk_span_of(priv, sizeof priv), &key, &e),
              &e);
    return key;
}

static emk_note_key note_key_of(const scene *s, const emk_sign_key *key)
{
    emk_note_key k;
    emk_error e = {0};

    assert_ok(emk_note_key_init(s->c, SCENE_ORIGIN, emk_sign_key_public(key).p, &k, &e), &e);
    return k;
}

/* From now on the scene's journal is signed by `to`; the scene has it. */
static void hand_to(scene *s, emk_sign_key *to)
{
    emk_handover h = {.dir = s->log, .origin = SCENE_ORIGIN, .from = s->key, .to = to};
    emk_error e = {0};

    assert_ok(emk_handover_make(s->c, &h, &e), &e);
    emk_sign_key_free(s->key);
    s->key = to;
    memcpy(s->options.public_key, emk_sign_key_public(to).p, 32);
}

static emk_audit_report audit_by(scene *s, const emk_note_key *key, emk_span trusted)
{
    emk_audit a = {.dir = s->log, .key = key, .trusted = trusted};
    emk_audit_report r = {0};
    emk_error e = {0};

    assert_ok(emk_audit_verify(s->c, &a, &r, &e), &e);
    return r;
}

static void more(scene *s)
{
    scene_start(s);
    scene_append(s, 300);
    scene_stop(s);
}

/* The name of the handover with that number. */
static void handover_name(const scene *s, size_t i, char out[64])
{
    emk_handover_list list;
    emk_error e = {0};

    assert_ok(emk_handover_list_read(s->log, &list, &e), &e);
    assert_true(i < list.n);
    snprintf(out, 64, "handover-%016llx", (unsigned long long)list.size[i]);
}

static void follows_the_log_from_key_to_key(void **state)
{
    emk_note_key first, second, third;
    emk_audit_report r;
    emk_buf trusted;
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    read_whole(&s, "checkpoint", &trusted);
    hand_to(&s, new_key(&s, 21));
    second = note_key_of(&s, s.key);
    r = audit_by(&s, &first, emk_buf_span(&trusted)); /* before the new one signed anything more */
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    more(&s);
    hand_to(&s, new_key(&s, 22));
    third = note_key_of(&s, s.key);
    more(&s);
    r = audit_by(&s, &first, emk_buf_span(&trusted));
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    assert_int_equal(r.consistency.verdict, EMK_AUDIT_INTACT);
    assert_int_equal(r.n_handovers, 2);
    r = audit_by(&s, &second, emk_span_of(NULL, 0));
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    r = audit_by(&s, &third, emk_span_of(NULL, 0));
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    emk_buf_done(&trusted);
    read_whole(&s, "checkpoint", &trusted); /* by the third, for who knows the first only */
    r = audit_by(&s, &first, emk_buf_span(&trusted));
    assert_int_equal(r.consistency.verdict, EMK_AUDIT_INTACT);
    emk_buf_done(&trusted);
    scene_close(&s);
}

static void a_handover_may_be_done_again(void **state)
{
    emk_sign_key *to;
    emk_note_key first;
    emk_audit_report r;
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    to = new_key(&s, 21);
    {
        emk_handover h = {.dir = s.log, .origin = SCENE_ORIGIN, .from = s.key, .to = to};
        emk_error e = {0};

        assert_ok(emk_handover_make(s.c, &h, &e), &e); /* ... and killed behind it */
        h.to = s.key;
        assert_status(emk_handover_make(s.c, &h, &e), EMK_E_USED, &e);
    }
    hand_to(&s, to);
    more(&s);
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    assert_int_equal(r.n_handovers, 2);
    scene_close(&s);
}

/* At each system call of it in turn, until one is not reached: the old key has the log still, and
 * the same again ends well. */
static void a_handover_that_was_killed_is_done_again(void **state)
{
#ifndef EMK_FAULTS
    (void)state;
    skip();
#else
    bool killed = true;

    (void)state;
    for (uint64_t at = 1; killed; at++) {
        emk_note_key first;
        emk_audit_report r;
        int how = 0;
        pid_t child;
        scene s;

        scene_open(&s);
        scene_start(&s);
        scene_append(&s, 3);
        scene_stop(&s);
        first = s.note_key;
        child = fork();
        if (child == 0) {
            emk_sign_key *to = new_key(&s, 21);
            emk_handover h = {.dir = s.log, .origin = SCENE_ORIGIN, .from = s.key, .to = to};

            emk_fault_kill_at(EMK_FAULT_IO, at);
            _exit(emk_handover_make(s.c, &h, NULL) == EMK_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &how, 0), child);
        killed = WIFSIGNALED(how);
        assert_true(killed || WEXITSTATUS(how) == 0);
        hand_to(&s, new_key(&s, 21));
        scene_start(&s);
        scene_append(&s, 3);
        scene_stop(&s);
        r = audit_by(&s, &first, emk_span_of(NULL, 0));
        assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
        assert_true(r.n_handovers > 0);
        scene_close(&s);
    }
#endif
}

static void rejects_a_key_that_nobody_handed_over_to(void **state)
{
    char name[64];
    emk_note_key first;
    emk_audit_report r;
    emk_buf note;
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    hand_to(&s, new_key(&s, 21));
    more(&s);
    handover_name(&s, 0, name);
    read_whole(&s, name, &note);
    for (size_t i = 0; i < note.len; i += 7) { /* one byte anywhere in it */
        flip(&s, name, i);
        r = audit_by(&s, &first, emk_span_of(NULL, 0));
        assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
        write_whole(&s, name, emk_buf_span(&note));
    }
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_INTACT);
    write_whole(&s, name, emk_span_of(NULL, 0));
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
    emk_buf_done(&note);
    scene_close(&s);
}

static emk_status sign_as(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    return emk_sign_make(self, msg, sig, e);
}

/* Writes a handover of the tree `head` from one key to another, whatever the log says. */
static void forge(scene *s, emk_sign_key *from, emk_sign_key *to, const emk_tree_head *head)
{
    emk_note_key k = note_key_of(s, from), next = note_key_of(s, to);
    char name[64];
    emk_buf note;
    emk_error e = {0};

    emk_buf_init(&note, EMK_NOTE_MAX);
    assert_ok(emk_handover_sign(&(emk_note_signer){&k, sign_as, from}, &next, head, &note, &e), &e);
    assert_ok(emk_checkpoint_cosign(&next, sign_as, to, &note, &e), &e);
    snprintf(name, sizeof name, "handover-%016llx", (unsigned long long)head->size);
    write_whole(s, name, emk_buf_span(&note));
    emk_buf_done(&note);
}

static void rejects_a_handover_that_the_log_does_not_name(void **state)
{
    emk_sign_key *to;
    emk_note_key first;
    emk_audit_report r;
    emk_tree_head head;
    emk_buf note;
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    to = new_key(&s, 21);
    read_whole(&s, "checkpoint", &note);
    assert_ok(emk_checkpoint_read(emk_buf_span(&note), &head, &e), &e);
    forge(&s, s.key, to, &head);
    emk_note_key next = note_key_of(&s, to);
    assert_ok(emk_checkpoint_cosign(&next, sign_as, to, &note, &e), &e);
    write_whole(&s, "checkpoint", emk_buf_span(&note));
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
    assert_string_equal(r.signature.what, "a handover to a key that the log does not name");
    emk_buf_done(&note);
    emk_sign_key_free(to);
    scene_close(&s);
}

static void rejects_a_handover_ahead_of_the_log(void **state)
{
    emk_sign_key *next;
    emk_note_key key, first;
    emk_audit_report r;
    emk_tree_head head;
    emk_buf note;
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    hand_to(&s, new_key(&s, 21));
    next = new_key(&s, 22);
    key = note_key_of(&s, next);
    read_whole(&s, "checkpoint", &note);
    assert_ok(emk_checkpoint_read(emk_buf_span(&note), &head, &e), &e);
    head.size++;
    forge(&s, s.key, next, &head);
    assert_ok(emk_checkpoint_cosign(&key, sign_as, next, &note, &e), &e);
    write_whole(&s, "checkpoint", emk_buf_span(&note));
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
    assert_string_equal(r.signature.what, "a handover ahead of the log");
    emk_buf_done(&note);
    emk_sign_key_free(next);
    scene_close(&s);
}

static void rejects_a_handover_of_another_log(void **state)
{
    emk_sign_key *old;
    emk_note_key first;
    emk_audit_report r;
    emk_handover_list list;
    emk_tree_head head = {0};
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    old = new_key(&s, 23);
    hand_to(&s, old); /* frees the first */
    first = note_key_of(&s, old);
    old = new_key(&s, 23);
    hand_to(&s, new_key(&s, 24));
    assert_ok(emk_handover_list_read(s.log, &list, &e), &e);
    head.size = list.size[1];
    head.root.b[0] = 1;
    forge(&s, old, s.key, &head);
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
    assert_string_equal(r.signature.what, "a handover that is of another log");
    emk_sign_key_free(old);
    scene_close(&s);
}

/* Who still has the old key cannot go on with it. */
static void rejects_the_old_key_behind_a_handover(void **state)
{
    emk_sign_key *again;
    emk_note_key first;
    emk_audit_report r;
    emk_tree_head head;
    emk_buf note, forged;
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    first = s.note_key;
    hand_to(&s, new_key(&s, 21));
    first = note_key_of(&s, s.key);
    again = new_key(&s, 21);
    hand_to(&s, new_key(&s, 22));
    more(&s);
    read_whole(&s, "checkpoint", &note);
    assert_ok(emk_checkpoint_read(emk_buf_span(&note), &head, &e), &e);
    emk_buf_init(&forged, EMK_NOTE_MAX);
    assert_ok(emk_checkpoint_sign(&first, sign_as, again, &head, &forged, &e), &e);
    write_whole(&s, "checkpoint", emk_buf_span(&forged));
    r = audit_by(&s, &first, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
    emk_buf_done(&forged);
    emk_buf_done(&note);
    emk_sign_key_free(again);
    scene_close(&s);
}

static void finds_a_log_shorter_than_the_one_trusted(void **state)
{
    emk_audit_report r;
    emk_buf trusted, old;
    scene s;

    (void)state;
    begin(&s);
    read_whole(&s, "checkpoint", &old);
    scene_start(&s);
    scene_stop(&s);
    read_whole(&s, "checkpoint", &trusted);
    write_whole(&s, "checkpoint", emk_buf_span(&old));
    r = audit_against(&s, emk_buf_span(&trusted));
    assert_int_equal(r.consistency.verdict, EMK_AUDIT_TAMPERED);
    emk_buf_done(&trusted);
    emk_buf_done(&old);
    scene_close(&s);
}

static void says_what_it_did_not_check(void **state)
{
    emk_audit_report r = {0};
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    {
        emk_audit a = {.dir = s.log};

        assert_ok(emk_audit_verify(s.c, &a, &r, &e), &e);
    }
    assert_int_equal(r.signature.verdict, EMK_AUDIT_NOT_CHECKED);
    assert_int_equal(r.macs.verdict, EMK_AUDIT_NOT_CHECKED);
    assert_int_equal(r.consistency.verdict, EMK_AUDIT_NOT_CHECKED);
    assert_int_equal(r.tree.verdict, EMK_AUDIT_INTACT);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_NOT_CHECKED);
    scene_close(&s);
}

static void rejects_a_checkpoint_of_another_key(void **state)
{
    emk_audit_report r;
    emk_error e = {0};
    scene s;

    (void)state;
    begin(&s);
    s.note_key.public_key[0] ^= 1;
    r = audit_against(&s, emk_span_of(NULL, 0));
    assert_int_equal(r.signature.verdict, EMK_AUDIT_TAMPERED);
    s.options.public_key[0] ^= 1;
    assert_status(emk_journal_open(s.c, &s.options, &s.j, &e), EMK_E_SIGNATURE, &e);
    scene_close(&s);
}

static void proves_entries_and_growth_from_files(void **state)
{
    emk_tree_head old;
    emk_audit_proof p;
    emk_error e = {0};
    emk_buf note;
    scene s;

    (void)state;
    begin(&s);
    read_whole(&s, "checkpoint", &note);
    assert_ok(emk_checkpoint_read(emk_buf_span(&note), &old, &e), &e);
    scene_start(&s);
    scene_append(&s, 300);
    scene_stop(&s);
    for (uint64_t i = 0; i < ENTRIES + 302; i += 77)
        assert_ok(emk_audit_prove(s.c, s.log, i, &p, &e), &e);
    assert_status(emk_audit_prove(s.c, s.log, ENTRIES + 302, &p, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_audit_prove_growth(s.c, s.log, &old, &p, &e), &e);
    old.root.b[0] ^= 1;
    assert_status(emk_audit_prove_growth(s.c, s.log, &old, &p, &e), EMK_E_SEALED, &e);
    emk_buf_done(&note);
    scene_close(&s);
}

/* Meanwhile a partial bundle becomes a full one and log files that are published go away. */
static void a_reader_follows_a_log_that_is_written(void **state)
{
    emk_audit_entries *x = NULL;
    emk_span entry;
    emk_error e = {0};
    uint64_t seq, want = 0;
    scene s;

    (void)state;
    scene_open(&s);
    scene_start(&s);
    scene_append(&s, 100);
    scene_stop(&s); /* a checkpoint over a partial bundle */
    assert_ok(emk_audit_entries_new(s.log, 0, &x, &e), &e);
    for (int round = 0; round < 3; round++) {
        emk_journal_state now;

        scene_start(&s);
        scene_append(&s, ENTRIES);
        emk_journal_state_get(s.j, &now);
        scene_stop(&s);
        while (want < now.size) {
            assert_ok(emk_audit_entries_next(x, &entry, &seq, &e), &e);
            assert_int_equal(seq, want);
            want++;
        }
    }
    while (emk_audit_entries_next(x, &entry, &seq, &e) == EMK_OK)
        want++; /* what stopping wrote */
    assert_int_equal(emk_audit_entries_size(x), want);
    emk_audit_entries_free(x);
    scene_close(&s);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(finds_a_flipped_bit_in_an_entry), emk_rule(finds_every_flipped_bit_of_small_files),
        emk_rule(finds_swapped_entries), emk_rule(finds_a_dropped_and_an_inserted_entry),
        emk_rule(finds_what_is_missing), emk_rule(finds_a_log_cut_behind_the_checkpoint),
        emk_rule(refuses_to_start_behind_its_checkpoint),
        emk_rule(a_lost_chain_key_begins_a_new_epoch_that_shows),
        emk_rule(finds_the_past_written_anew_with_a_newer_key),
        emk_rule(finds_a_fork_by_the_checkpoint_trusted_before),
        emk_rule(follows_the_log_from_key_to_key), emk_rule(a_handover_may_be_done_again),
        emk_rule(a_handover_that_was_killed_is_done_again),
        emk_rule(rejects_a_key_that_nobody_handed_over_to),
        emk_rule(rejects_a_handover_that_the_log_does_not_name),
        emk_rule(rejects_a_handover_ahead_of_the_log), emk_rule(rejects_a_handover_of_another_log),
        emk_rule(rejects_the_old_key_behind_a_handover),
        emk_rule(finds_a_log_shorter_than_the_one_trusted), emk_rule(says_what_it_did_not_check),
        emk_rule(rejects_a_checkpoint_of_another_key),
        emk_rule(proves_entries_and_growth_from_files),
        emk_rule(a_reader_follows_a_log_that_is_written));
}
