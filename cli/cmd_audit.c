/* audit verify | prove | tail | export: a log as its files show it, without its server. */
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/text.h"
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "server/journal/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_TAMPERED     1
#define EXIT_INCOMPLETE   2
#define EXIT_CANNOT_CHECK 3
#define KEYS_MAX          1024u
#define KEY_FILE_MAX      (KEYS_MAX * 128u)
#define TAIL_DEFAULT      10u
#define TAIL_MAX          100000u

/* Whatever kept us from looking ends with 3, which is EMK_E_IO's number. */
static emk_status cannot_check(emk_cli *cli, emk_status st)
{
    if (st == EMK_OK || cli->usage)
        return st;
    cli->error.status = EMK_E_IO;
    return EMK_E_IO;
}

static emk_status read_number(emk_cli *cli, const char *option, uint64_t otherwise, uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, option);
    unsigned long long v;
    char *end;

    *out = otherwise;
    if (!text)
        return EMK_OK;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno || *end || end == text || text[0] == '-')
        return emk_cli_usage(cli, "--%s takes a number, not %s", option, text);
    *out = v;
    return EMK_OK;
}

/* ---- keys ---- */

static emk_span first_line(emk_span s)
{
    const uint8_t *end = s.len ? memchr(s.p, '\n', s.len) : NULL;

    return emk_span_of(s.p, end ? (size_t)(end - s.p) : s.len);
}

static emk_status read_key(emk_cli *cli, emk_note_key *out)
{
    const char *path = emk_cli_option_value(cli, "key");
    const emk_crypto *c = NULL;
    emk_buf text;
    emk_status st = emk_cli_crypto(cli, &c);

    emk_buf_init(&text, EMK_NOTE_VKEY_MAX);
    if (st == EMK_OK)
        st = emk_cli_read_input(cli, path, EMK_NOTE_VKEY_MAX, &text);
    if (st == EMK_OK)
        st = emk_cli_about(
            cli, emk_note_key_read(c, first_line(emk_buf_span(&text)), out, &cli->error), path);
    emk_buf_done(&text);
    return st;
}

/* "<epoch> <64 hex digits>" */
static emk_status read_chain_line(emk_cli *cli, emk_span line, emk_audit_key *out)
{
    const uint8_t *space = memchr(line.p, ' ', line.len);
    size_t digits = space ? (size_t)(space - line.p) : 0;
    uint64_t epoch = 0;

    if (digits == 0 || digits > 18 || line.len != digits + 1 + (size_t)2 * EMK_JOURNAL_KEY_LEN)
        return emk_fail(&cli->error, EMK_E_FORMAT, "chain keys: not <epoch> <64 hex digits>", 0);
    for (size_t i = 0; i < digits; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return emk_fail(&cli->error, EMK_E_FORMAT, "chain keys: epoch", i);
        epoch = epoch * 10 + (uint64_t)(line.p[i] - '0');
    }
    for (size_t i = 0; i < EMK_JOURNAL_KEY_LEN; i++) {
        int high = emk_hex_digit(space[1 + 2 * i]), low = emk_hex_digit(space[2 + 2 * i]);

        if (high < 0 || low < 0)
            return emk_fail(&cli->error, EMK_E_FORMAT, "chain keys: a digit", i);
        out->key[i] = (uint8_t)(high << 4 | low);
    }
    out->epoch = epoch;
    return EMK_OK;
}

/* Fills *keys, KEYS_MAX of them allocated; the caller wipes and frees. */
static emk_status read_chain_keys(emk_cli *cli, emk_audit_key *keys, size_t *n)
{
    const char *path = emk_cli_option_value(cli, "chain-keys");
    emk_secret *file = NULL;
    emk_span left;
    emk_status st;

    if (!path)
        return EMK_OK;
    st = emk_os_read_secret(path, EMK_SECRET_MAX, &file, &cli->error);
    left = st == EMK_OK ? emk_secret_span(file) : emk_span_of(NULL, 0);
    while (st == EMK_OK && left.len) {
        emk_span line = first_line(left);
        size_t skip = line.len < left.len ? line.len + 1 : line.len;

        left = emk_span_of(left.p + skip, left.len - skip);
        if (*n == KEYS_MAX)
            st = emk_fail(&cli->error, EMK_E_LIMIT, "chain keys: too many", *n);
        else if (line.len)
            st = read_chain_line(cli, line, &keys[(*n)++]);
    }
    emk_secret_free(file);
    return emk_cli_about(cli, st, path);
}

/* ---- verify ---- */

static void show_finding(emk_cli *cli, const char *name, const emk_audit_finding *f)
{
    emk_cli_begin(&cli->out, name);
    emk_cli_put_string(&cli->out, "verdict", emk_audit_verdict_name(f->verdict));
    if (f->what) {
        emk_cli_put_string(&cli->out, "found", f->what);
        emk_cli_put_number(&cli->out, "entry", f->where);
    }
    emk_cli_end(&cli->out);
}

static void show_report(emk_cli *cli, const emk_audit_report *r)
{
    show_finding(cli, "records", &r->records);
    show_finding(cli, "mac_chain", &r->macs);
    show_finding(cli, "tree", &r->tree);
    show_finding(cli, "signature", &r->signature);
    show_finding(cli, "consistency", &r->consistency);
    show_finding(cli, "completeness", &r->completeness);
    emk_cli_put_number(&cli->out, "entries", r->n_entries);
    emk_cli_put_number(&cli->out, "checkpoint_size", r->checkpoint.size);
    emk_cli_put_hex(&cli->out, "root",
                    emk_span_of(r->checkpoint.root.b, sizeof r->checkpoint.root.b));
    emk_cli_put_number(&cli->out, "epochs", r->n_epochs);
    emk_cli_put_number(&cli->out, "starts", r->n_starts);
    emk_cli_put_number(&cli->out, "handovers", r->n_handovers);
    emk_cli_put_number(&cli->out, "late", r->n_late);
    emk_cli_put_number(&cli->out, "gaps", r->n_gaps);
    emk_cli_put_time(&cli->out, "first", r->first_ms / 1000);
    emk_cli_put_time(&cli->out, "last", r->last_ms / 1000);
    emk_cli_put_bool(&cli->out, "closed", r->closed);
    emk_cli_put_string(&cli->out, "log", emk_audit_verdict_name(emk_audit_sum(r)));
}

static int exit_of(emk_audit_verdict v)
{
    switch (v) {
    case EMK_AUDIT_INTACT:
        return 0;
    case EMK_AUDIT_TAMPERED:
        return EXIT_TAMPERED;
    case EMK_AUDIT_INCOMPLETE:
        return EXIT_INCOMPLETE;
    case EMK_AUDIT_NOT_CHECKED:
        break;
    }
    return EXIT_CANNOT_CHECK;
}

static emk_status verify_with(emk_cli *cli, emk_audit *a)
{
    emk_audit_report report = {0};
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_audit_verify(c, a, &report, &cli->error);
    if (st != EMK_OK)
        return emk_cli_about(cli, st, a->dir);
    show_report(cli, &report);
    cli->exit_code = exit_of(emk_audit_sum(&report));
    if (report.signature.verdict == EMK_AUDIT_NOT_CHECKED)
        emk_cli_remark(cli, "without --key nobody vouches for the checkpoint");
    return EMK_OK;
}

static emk_status run_verify(emk_cli *cli)
{
    const char *trusted_path = emk_cli_option_value(cli, "trusted");
    emk_audit a = {.dir = emk_cli_operand_at(cli, 0)};
    emk_audit_key *keys = emk_alloc(KEYS_MAX, sizeof *keys);
    uint64_t heartbeat = 0;
    emk_note_key key;
    emk_buf trusted;
    emk_status st;

    emk_buf_init(&trusted, EMK_NOTE_MAX);
    st = keys ? read_number(cli, "heartbeat", 0, &heartbeat)
              : emk_fail(&cli->error, EMK_E_NO_MEMORY, "audit: memory", 0);
    if (st == EMK_OK && heartbeat > UINT32_MAX)
        st = emk_cli_usage(cli, "--heartbeat takes seconds");
    if (st == EMK_OK && emk_cli_option_given(cli, "key")) {
        st = read_key(cli, &key);
        a.key = &key;
    }
    if (st == EMK_OK && trusted_path)
        st = emk_cli_read_input(cli, trusted_path, EMK_NOTE_MAX, &trusted);
    if (st == EMK_OK)
        st = read_chain_keys(cli, keys, &a.n_chain_keys);
    a.heartbeat_s = (uint32_t)heartbeat;
    a.trusted = emk_buf_span(&trusted);
    a.chain_keys = keys;
    if (st == EMK_OK)
        st = verify_with(cli, &a);
    if (keys)
        emk_wipe(keys, KEYS_MAX * sizeof *keys);
    emk_free(keys);
    emk_buf_done(&trusted);
    return cannot_check(cli, st);
}

/* ---- prove ---- */

static void show_proof(emk_cli *cli, const emk_audit_proof *p, bool growth)
{
    emk_cli_put_number(&cli->out, growth ? "old_size" : "entry", p->index);
    if (!growth)
        emk_cli_put_hex(&cli->out, "leaf_hash", emk_span_of(p->leaf.b, sizeof p->leaf.b));
    emk_cli_put_number(&cli->out, "size", p->head.size);
    emk_cli_put_hex(&cli->out, "root", emk_span_of(p->head.root.b, sizeof p->head.root.b));
    emk_cli_begin_list(&cli->out, "proof");
    for (size_t i = 0; i < p->proof.n; i++)
        emk_cli_put_hex(&cli->out, NULL, emk_span_of(p->proof.hash[i].b, EMK_TREE_HASH_LEN));
    emk_cli_end(&cli->out);
}

static emk_status prove_growth(emk_cli *cli, const emk_crypto *c, const char *dir,
                               emk_audit_proof *p)
{
    const char *path = emk_cli_option_value(cli, "since");
    emk_tree_head old = {0};
    emk_buf note;
    emk_status st;

    emk_buf_init(&note, EMK_NOTE_MAX);
    st = emk_cli_read_input(cli, path, EMK_NOTE_MAX, &note);
    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_checkpoint_read(emk_buf_span(&note), &old, &cli->error), path);
    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_audit_prove_growth(c, dir, &old, p, &cli->error), dir);
    emk_buf_done(&note);
    return st;
}

static emk_status run_prove(emk_cli *cli)
{
    const char *dir = emk_cli_operand_at(cli, 0);
    bool growth = emk_cli_option_given(cli, "since");
    const emk_crypto *c = NULL;
    emk_audit_proof p = {0};
    uint64_t index = 0;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK && growth == emk_cli_option_given(cli, "entry"))
        return emk_cli_usage(cli, "--entry N or --since CHECKPOINT: one of them");
    if (st == EMK_OK)
        st = read_number(cli, "entry", 0, &index);
    if (st == EMK_OK && growth)
        st = prove_growth(cli, c, dir, &p);
    else if (st == EMK_OK)
        st = emk_cli_about(cli, emk_audit_prove(c, dir, index, &p, &cli->error), dir);
    if (st != EMK_OK)
        return st;
    show_proof(cli, &p, growth);
    return EMK_OK;
}

/* ---- tail and export ---- */

static const char *outcome_name(emk_journal_outcome o)
{
    return o == EMK_JOURNAL_DONE ? "done" : o == EMK_JOURNAL_DENIED ? "denied" : "failed";
}

static void put_text(emk_cli *cli, const char *key, emk_span s)
{
    if (s.len)
        emk_cli_put_text(&cli->out, key, s);
}

static void put_hex(emk_cli *cli, const char *key, emk_span s)
{
    if (s.len)
        emk_cli_put_hex(&cli->out, key, s);
}

static void show_entry(emk_cli *cli, uint64_t seq, emk_span entry)
{
    emk_journal_record r;
    const emk_journal_event *v = &r.event;

    emk_cli_begin(&cli->out, NULL);
    emk_cli_put_number(&cli->out, "entry", seq);
    if (emk_journal_record_read(entry, &r, NULL) != EMK_OK) {
        emk_cli_put_hex(&cli->out, "damaged", entry);
        emk_cli_end(&cli->out);
        return;
    }
    emk_cli_put_number(&cli->out, "time_ms", v->time_ms);
    put_text(cli, "type", v->type);
    put_text(cli, "actor", v->actor);
    put_text(cli, "tenant", v->tenant);
    put_hex(cli, "subject", v->subject);
    put_text(cli, "object", v->object);
    emk_cli_put_string(&cli->out, "outcome", outcome_name(v->outcome));
    put_hex(cli, "decision", v->decision);
    put_text(cli, "ruleset", v->ruleset);
    put_hex(cli, "detail_cbor", v->detail);
    if (v->pii.len)
        emk_cli_put_size(&cli->out, "sealed", v->pii.len);
    if (r.late)
        emk_cli_put_bool(&cli->out, "late", true);
    emk_cli_end(&cli->out);
}

/* Shows entries from..to-1, or to the end. */
static emk_status show_entries(emk_cli *cli, const char *dir, uint64_t from, uint64_t to)
{
    emk_audit_entries *x = NULL;
    uint64_t seq = from;
    emk_span entry;
    emk_status st = emk_audit_entries_new(dir, from, &x, &cli->error);

    emk_cli_begin_list(&cli->out, "entries");
    while (st == EMK_OK && seq < to) {
        st = emk_audit_entries_next(x, &entry, &seq, &cli->error);
        if (st == EMK_OK)
            show_entry(cli, seq++, entry);
    }
    emk_cli_end(&cli->out);
    if (st == EMK_E_NOT_FOUND && seq >= emk_audit_entries_size(x))
        st = EMK_OK; /* the end */
    emk_audit_entries_free(x);
    return emk_cli_about(cli, st, dir);
}

/* How many entries there are, without keeping any. */
static emk_status count_entries(emk_cli *cli, const char *dir, uint64_t *out)
{
    emk_audit_entries *x = NULL;
    uint64_t seq, n;
    emk_span entry;
    emk_status st = emk_audit_entries_new(dir, 0, &x, &cli->error);

    n = st == EMK_OK ? emk_audit_entries_size(x) : 0;
    emk_audit_entries_free(x);
    if (st == EMK_OK)
        st = emk_audit_entries_new(dir, n, &x, &cli->error);
    if (st != EMK_OK)
        return emk_cli_about(cli, st, dir);
    while (emk_audit_entries_next(x, &entry, &seq, &cli->error) == EMK_OK)
        n++;
    emk_audit_entries_free(x);
    *out = n;
    return EMK_OK;
}

static emk_status run_tail(emk_cli *cli)
{
    const char *dir = emk_cli_operand_at(cli, 0);
    uint64_t want = 0, n = 0;
    emk_status st = read_number(cli, "number", TAIL_DEFAULT, &want);

    if (st == EMK_OK && (want == 0 || want > TAIL_MAX))
        st = emk_cli_usage(cli, "--number: from 1 to %u", TAIL_MAX);
    if (st == EMK_OK)
        st = count_entries(cli, dir, &n);
    return st == EMK_OK ? show_entries(cli, dir, n > want ? n - want : 0, n) : st;
}

static emk_status run_export(emk_cli *cli)
{
    uint64_t from = 0, to = 0;
    emk_status st = read_number(cli, "from", 0, &from);

    if (st == EMK_OK)
        st = read_number(cli, "to", UINT64_MAX, &to);
    if (st == EMK_OK && from > to)
        st = emk_cli_usage(cli, "--from is behind --to");
    return st == EMK_OK ? show_entries(cli, emk_cli_operand_at(cli, 0), from, to) : st;
}

/* ---- tables ---- */

static const emk_cli_operand operands[] = {
    {"LOG", EMK_CLI_DIR, "the log's folder, or a copy of its tile/ and checkpoint", false},
    {0},
};

static const char *const verify_paragraphs[] = {
    "Checks an audit log with nothing but its files and the public key. Each of six verdicts "
    "stands "
    "for itself: whether the entries can be read, whether their chain of MACs holds (needs the "
    "chain's first keys, which do not live beside the log), whether entries, tiles and checkpoint "
    "agree, who signed the checkpoint, whether the log continues the one you trusted before, and "
    "whether anything that was promised is missing.",
    "Keep a checkpoint from each time, away from the log, and give it as --trusted the next time: "
    "without one, a log that its own signer wrote anew from the start cannot be told from the old.",
    "The exit code is 0 for intact, 1 for tampered, 2 for incomplete, 3 when it cannot be said.",
    NULL};

static const emk_cli_option verify_options[] = {
    {"key", 'k', EMK_CLI_FILE, "FILE", "the log's verifier key, one line: name+id+key", false},
    {"trusted", 't', EMK_CLI_FILE, "FILE", "a checkpoint of this log that you trust", false},
    {"chain-keys", 0, EMK_CLI_FILE, "FILE", "first keys of the chain: lines of <epoch> <64 hex>",
     false},
    {"heartbeat", 0, EMK_CLI_WORD, "SECONDS", "how often the server says that it lives", false},
    {0},
};

static const emk_cli_example verify_examples[] = {
    {"Every morning:", "earmark audit verify /var/lib/earmark/journal -k audit.vkey -t yesterday"},
    {0},
};

static const emk_cli_exit verify_exits[] = {
    {EMK_E_USAGE, "the log was tampered with"},
    {EMK_E_NO_MEMORY, "something is missing"},
    {EMK_E_IO, "it cannot be said: no key, or files that cannot be read"},
    {0},
};

const emk_cli_command EMK_CLI_AUDIT_VERIFY = {
    .name = "audit verify",
    .summary = "checks an audit log: six verdicts",
    .synopsis = "LOG [-k FILE] [-t FILE] [--chain-keys FILE]",
    .paragraphs = verify_paragraphs,
    .operands = operands,
    .options = verify_options,
    .examples = verify_examples,
    .exits = verify_exits,
    .run = run_verify,
};

static const char *const prove_paragraphs[] = {
    "Makes a proof from the log's tiles: that one entry is under the checkpoint, or that an older "
    "checkpoint is a beginning of the log. The proof is checked before it is shown; with the "
    "checkpoint it convinces people who do not have the log. [RFC 9162 2.1]",
    NULL};

static const emk_cli_option prove_options[] = {
    {"entry", 'e', EMK_CLI_WORD, "N", "prove that entry N is in the log", false},
    {"since", 0, EMK_CLI_FILE, "FILE", "prove that the log continues this checkpoint", false},
    {0},
};

static const emk_cli_example prove_examples[] = {
    {"For somebody who asks about one entry:", "earmark audit prove journal -e 4711 --json"},
    {0},
};

static const emk_cli_exit prove_exits[] = {
    {EMK_E_NOT_FOUND, "the entry is behind the checkpoint, or a tile is missing"},
    {EMK_E_SEALED, "the files do not fit the checkpoint"},
    {0},
};

const emk_cli_command EMK_CLI_AUDIT_PROVE = {
    .name = "audit prove",
    .summary = "proves an entry, or the growth of a log",
    .synopsis = "LOG -e N | --since FILE",
    .paragraphs = prove_paragraphs,
    .operands = operands,
    .options = prove_options,
    .examples = prove_examples,
    .exits = prove_exits,
    .run = run_prove,
};

static const char *const tail_paragraphs[] = {
    "Shows the last entries, also those behind the checkpoint. Nothing is verified: that is what "
    "`earmark audit verify` is for.",
    NULL};

static const emk_cli_option tail_options[] = {
    {"number", 'n', EMK_CLI_WORD, "N", "how many (10)", false},
    {0},
};

static const emk_cli_example tail_examples[] = {
    {"What happened last:", "earmark audit tail /var/lib/earmark/journal -n 20"},
    {0},
};

const emk_cli_command EMK_CLI_AUDIT_TAIL = {
    .name = "audit tail",
    .summary = "shows the last entries of an audit log",
    .synopsis = "LOG [-n N]",
    .paragraphs = tail_paragraphs,
    .operands = operands,
    .options = tail_options,
    .examples = tail_examples,
    .run = run_tail,
};

static const char *const export_paragraphs[] = {"Writes entries out, with --json as one object. "
                                                "What was sealed for a person stays sealed: only "
                                                "the server holds those keys.",
                                                NULL};

static const emk_cli_option export_options[] = {
    {"from", 0, EMK_CLI_WORD, "N", "the first entry (0)", false},
    {"to", 0, EMK_CLI_WORD, "N", "the entry behind the last (all)", false},
    {0},
};

static const emk_cli_example export_examples[] = {
    {"Everything:", "earmark audit export /var/lib/earmark/journal --json"},
    {0},
};

const emk_cli_command EMK_CLI_AUDIT_EXPORT = {
    .name = "audit export",
    .summary = "writes the entries of an audit log out",
    .synopsis = "LOG [--from N] [--to N] [--json]",
    .paragraphs = export_paragraphs,
    .operands = operands,
    .options = export_options,
    .examples = export_examples,
    .run = run_export,
};
