#include "server/journal/note.h"

#include "core/base/bytes.h"
#include "core/codec/utf8.h"
#include "core/crypto/hash.h"
#include "core/crypto/sign.h"
#include "server/journal/note_base64.h"

#include <stdio.h>
#include <string.h>

#define TYPE_ED25519 0x01u
#define SIG_BYTES    (EMK_NOTE_KEY_ID_LEN + EMK_SIGN_LEN)
#define SIG_CHARS    EMK_NOTE_BASE64_CHARS((size_t)SIG_BYTES)
#define ROOT_CHARS   EMK_NOTE_BASE64_CHARS(EMK_TREE_HASH_LEN)

static const char DASH[] = "\xE2\x80\x94 "; /* an em dash and a space */

static bool is_name(emk_span s)
{
    if (s.len == 0 || s.len > EMK_JOURNAL_ORIGIN_MAX || !emk_utf8_check(s))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] == '+' || s.p[i] >= 0x7F)
            return false;
    }
    return true;
}

emk_status emk_note_key_init(const emk_crypto *c, const char *name, const uint8_t public_key[32],
                             emk_note_key *out, emk_error *e)
{
    static const uint8_t middle[2] = {'\n', TYPE_ED25519};
    emk_span parts[3] = {emk_span_str(name), emk_span_of(middle, 2), emk_span_of(public_key, 32)};
    uint8_t hash[32];
    emk_note_key k = {0};
    emk_status st;

    if (!is_name(parts[0]))
        return emk_fail(e, EMK_E_USAGE, "note: the name of a key", 0);
    st = emk_sha256(c, parts, 3, hash, e);
    if (st != EMK_OK)
        return st;
    memcpy(k.name, name, parts[0].len);
    memcpy(k.public_key, public_key, sizeof k.public_key);
    memcpy(k.id, hash, sizeof k.id);
    *out = k;
    return EMK_OK;
}

static emk_status read_hex32(emk_span s, uint32_t *out, emk_error *e)
{
    uint32_t v = 0;

    if (s.len != 8)
        return emk_fail(e, EMK_E_FORMAT, "note: length of a key id", s.len);
    for (size_t i = 0; i < 8; i++) {
        uint8_t c = s.p[i];
        uint32_t d = c >= '0' && c <= '9' ? c - 48u : c >= 'a' && c <= 'f' ? c - 87u : 16u;

        if (d > 15)
            return emk_fail(e, EMK_E_FORMAT, "note: a character of a key id", i);
        v = v << 4 | d;
    }
    *out = v;
    return EMK_OK;
}

emk_status emk_note_key_read(const emk_crypto *c, emk_span text, emk_note_key *out, emk_error *e)
{
    const uint8_t *plus = text.len ? memchr(text.p, '+', text.len) : NULL;
    size_t name_len = plus ? (size_t)(plus - text.p) : 0;
    char name[EMK_JOURNAL_ORIGIN_MAX + 1] = {0};
    uint8_t key[33];
    emk_note_key k;
    uint32_t id = 0;
    emk_status st;

    if (name_len == 0 || name_len > EMK_JOURNAL_ORIGIN_MAX || text.len < name_len + 10 ||
        text.p[name_len + 9] != '+' || memchr(text.p, 0, name_len))
        return emk_fail(e, EMK_E_FORMAT, "note: not a verifier key", 0);
    memcpy(name, text.p, name_len);
    st = read_hex32(emk_span_of(plus + 1, 8), &id, e);
    if (st == EMK_OK)
        st = emk_note_base64_decode(emk_span_of(plus + 10, text.len - name_len - 10), key,
                                    sizeof key, e);
    if (st == EMK_OK && key[0] != TYPE_ED25519)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "note: a key of another type", key[0]);
    if (st == EMK_OK)
        st = emk_note_key_init(c, name, key + 1, &k, e);
    if (st != EMK_OK)
        return st;
    if (emk_load_u32be(k.id) != id)
        return emk_fail(e, EMK_E_FORMAT, "note: the id is not that of the key", id);
    *out = k;
    return EMK_OK;
}

emk_status emk_note_key_write(const emk_note_key *k, char out[EMK_NOTE_VKEY_MAX], emk_error *e)
{
    uint8_t key[33] = {TYPE_ED25519};
    char text[EMK_NOTE_BASE64_CHARS(sizeof key) + 1];
    emk_status st;
    int n;

    memcpy(key + 1, k->public_key, sizeof k->public_key);
    st = emk_note_base64_encode(emk_span_of(key, sizeof key), text, sizeof text, e);
    if (st != EMK_OK)
        return st;
    n = snprintf(out, EMK_NOTE_VKEY_MAX, "%s+%08x+%s", k->name, (unsigned)emk_load_u32be(k->id),
                 text);
    return n > 0 && n < (int)EMK_NOTE_VKEY_MAX ? EMK_OK
                                               : emk_fail(e, EMK_E_LIMIT, "note: a key's text", 0);
}

/* Appends a signature line over `text`, which may lie in *out. */
static emk_status append_signature(const emk_note_signer *by, emk_span text, emk_buf *out,
                                   emk_error *e)
{
    char line[sizeof DASH + EMK_JOURNAL_ORIGIN_MAX + SIG_CHARS + 2], sig_text[SIG_CHARS + 1];
    uint8_t sig[SIG_BYTES];
    emk_status st;

    memcpy(sig, by->key->id, EMK_NOTE_KEY_ID_LEN);
    st = by->sign(by->self, text, sig + EMK_NOTE_KEY_ID_LEN, e);
    if (st == EMK_OK)
        st = emk_note_base64_encode(emk_span_of(sig, sizeof sig), sig_text, sizeof sig_text, e);
    if (st != EMK_OK)
        return st;
    snprintf(line, sizeof line, "%s%s %s\n", DASH, by->key->name, sig_text);
    return emk_buf_append(out, emk_span_str(line), e);
}

/* The text with `extra` (lines with their ends) behind its three lines, signed. */
static emk_status sign_text(const emk_note_signer *by, const emk_tree_head *head, const char *extra,
                            emk_buf *out, emk_error *e)
{
    char text[EMK_JOURNAL_ORIGIN_MAX + EMK_NOTE_VKEY_MAX + 128], root[ROOT_CHARS + 1];
    emk_span whole;
    emk_status st =
        emk_note_base64_encode(emk_span_of(head->root.b, EMK_TREE_HASH_LEN), root, sizeof root, e);
    int n;

    if (st != EMK_OK)
        return st;
    n = snprintf(text, sizeof text, "%s\n%llu\n%s\n%s\n", by->key->name,
                 (unsigned long long)head->size, root, extra);
    if (n < 0 || (size_t)n >= sizeof text)
        return emk_fail(e, EMK_E_LIMIT, "note: length of the text", sizeof text);
    whole = emk_span_str(text); /* the empty line behind it is not signed */
    st = emk_buf_append(out, whole, e);
    return st == EMK_OK ? append_signature(by, emk_span_of(whole.p, whole.len - 1), out, e) : st;
}

emk_status emk_checkpoint_sign(const emk_note_key *k, emk_journal_sign_fn sign, void *self,
                               const emk_tree_head *head, emk_buf *out, emk_error *e)
{
    return sign_text(&(emk_note_signer){k, sign, self}, head, "", out, e);
}

emk_status emk_handover_sign(const emk_note_signer *by, const emk_note_key *next,
                             const emk_tree_head *head, emk_buf *out, emk_error *e)
{
    char line[EMK_NOTE_VKEY_MAX + 1];
    emk_status st = emk_note_key_write(next, line, e);

    if (st != EMK_OK)
        return st;
    memcpy(line + strlen(line), "\n", 2);
    return sign_text(by, head, line, out, e);
}

/* ---- reading ---- */

/* The next line without its end; false at the end of s, or when a line has none. */
static bool next_line(emk_span *s, emk_span *line)
{
    const uint8_t *end = s->len ? memchr(s->p, '\n', s->len) : NULL;

    if (!end)
        return false;
    *line = emk_span_of(s->p, (size_t)(end - s->p));
    *s = emk_span_of(end + 1, s->len - line->len - 1);
    return true;
}

static bool has_controls(emk_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < ' ' && s.p[i] != '\n')
            return true;
    }
    return false;
}

/* Splits into the text, with its last line's end, and the signatures: at the last empty line. */
static emk_status split_note(emk_span note, emk_span *text, emk_span *sigs, emk_error *e)
{
    size_t at = 0;

    if (note.len > EMK_NOTE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "note: length", note.len);
    if (!emk_utf8_check(note) || has_controls(note))
        return emk_fail(e, EMK_E_FORMAT, "note: not a text", 0);
    for (size_t i = 1; i < note.len; i++) {
        if (note.p[i] == '\n' && note.p[i - 1] == '\n')
            at = i;
    }
    if (at == 0 || at + 1 == note.len)
        return emk_fail(e, EMK_E_FORMAT, "note: no signature", 0);
    *text = emk_span_of(note.p, at);
    *sigs = emk_span_of(note.p + at + 1, note.len - at - 1);
    return EMK_OK;
}

static emk_status read_size(emk_span s, uint64_t *out, emk_error *e)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len > 19 || (s.p[0] == '0' && s.len > 1))
        return emk_fail(e, EMK_E_FORMAT, "checkpoint: size", s.len);
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return emk_fail(e, EMK_E_FORMAT, "checkpoint: size", i);
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return EMK_OK;
}

static emk_status read_text(emk_span text, emk_span *origin, emk_tree_head *out, emk_error *e)
{
    emk_span size, root, extra;
    emk_tree_head head = {0};
    emk_status st;

    if (!next_line(&text, origin) || !next_line(&text, &size) || !next_line(&text, &root))
        return emk_fail(e, EMK_E_FORMAT, "checkpoint: cut short", 0);
    if (origin->len == 0)
        return emk_fail(e, EMK_E_FORMAT, "checkpoint: no origin", 0);
    st = read_size(size, &head.size, e);
    if (st == EMK_OK)
        st = emk_note_base64_decode(root, head.root.b, EMK_TREE_HASH_LEN, e);
    for (size_t n = 0; st == EMK_OK && next_line(&text, &extra); n++) {
        if (extra.len == 0 || n > EMK_NOTE_LINES_MAX)
            st = emk_fail(e, EMK_E_FORMAT, "checkpoint: extension lines", n);
    }
    if (st == EMK_OK)
        *out = head;
    return st;
}

emk_status emk_checkpoint_read(emk_span note, emk_tree_head *out, emk_error *e)
{
    emk_span text, sigs, origin;
    emk_status st = split_note(note, &text, &sigs, e);

    return st == EMK_OK ? read_text(text, &origin, out, e) : st;
}

/* Takes "— name base64" apart.  A signature of another length is somebody else's. */
static emk_status read_sig_line(emk_span line, emk_span *name, emk_span *sig, emk_error *e)
{
    size_t dash = sizeof DASH - 1;
    const uint8_t *space;

    if (line.len <= dash || memcmp(line.p, DASH, dash) != 0)
        return emk_fail(e, EMK_E_FORMAT, "note: a signature line", 0);
    line = emk_span_of(line.p + dash, line.len - dash);
    space = memchr(line.p, ' ', line.len);
    if (!space || space == line.p)
        return emk_fail(e, EMK_E_FORMAT, "note: a signature line", 0);
    *name = emk_span_of(line.p, (size_t)(space - line.p));
    *sig = emk_span_of(space + 1, line.len - name->len - 1);
    return EMK_OK;
}

/* Fills sig with the one signature that says it is k's. */
static emk_status find_sig(const emk_note_key *k, emk_span sigs, uint8_t sig[EMK_SIGN_LEN],
                           emk_error *e)
{
    emk_span line, name = {0}, text = {0};
    uint8_t bytes[SIG_BYTES];
    size_t n = 0, found = 0;

    while (next_line(&sigs, &line)) {
        emk_status st = read_sig_line(line, &name, &text, e);

        if (st != EMK_OK)
            return st;
        if (++n > EMK_NOTE_LINES_MAX)
            return emk_fail(e, EMK_E_LIMIT, "note: signature lines", n);
        if (!emk_span_equal(name, emk_span_str(k->name)) ||
            emk_note_base64_decode(text, bytes, sizeof bytes, NULL) != EMK_OK ||
            memcmp(bytes, k->id, sizeof k->id) != 0)
            continue;
        if (found++)
            return emk_fail(e, EMK_E_FORMAT, "note: two signatures of one key", n);
        memcpy(sig, bytes + EMK_NOTE_KEY_ID_LEN, EMK_SIGN_LEN);
    }
    if (sigs.len)
        return emk_fail(e, EMK_E_FORMAT, "note: the last line has no end", 0);
    return found ? EMK_OK : emk_fail(e, EMK_E_SIGNATURE, "note: not signed by this key", 0);
}

emk_status emk_checkpoint_verify(const emk_crypto *c, const emk_note_key *k, emk_span note,
                                 emk_tree_head *out, emk_error *e)
{
    emk_span text, sigs, origin = {0};
    uint8_t sig[EMK_SIGN_LEN];
    emk_verify_key *key = NULL;
    emk_tree_head head;
    emk_status st = split_note(note, &text, &sigs, e);

    if (st == EMK_OK)
        st = read_text(text, &origin, &head, e);
    if (st == EMK_OK && !emk_span_equal(origin, emk_span_str(k->name)))
        st = emk_fail(e, EMK_E_SIGNATURE, "checkpoint: of another log", 0);
    if (st == EMK_OK)
        st = find_sig(k, sigs, sig, e);
    if (st == EMK_OK)
        st = emk_verify_key_new(c, EMK_SIGN_ED25519, emk_span_of(k->public_key, 32), &key, e);
    if (st == EMK_OK)
        st = emk_sign_verify(key, text, emk_span_of(sig, sizeof sig), e);
    emk_verify_key_free(key);
    if (st == EMK_OK)
        *out = head;
    return st;
}

emk_status emk_checkpoint_cosign(const emk_note_key *k, emk_journal_sign_fn sign, void *self,
                                 emk_buf *note, emk_error *e)
{
    emk_span text, sigs;
    emk_status st = split_note(emk_buf_span(note), &text, &sigs, e);

    return st == EMK_OK ? append_signature(&(emk_note_signer){k, sign, self}, text, note, e) : st;
}

/* What is behind the three lines: one verifier key of the same log. */
static emk_status read_next_key(const emk_crypto *c, const emk_note_key *k, emk_span note,
                                emk_note_key *next, emk_error *e)
{
    emk_span text, sigs, line = {0};
    emk_status st = split_note(note, &text, &sigs, e);

    for (unsigned i = 0; st == EMK_OK && i < 4; i++)
        if (!next_line(&text, &line))
            st = emk_fail(e, EMK_E_FORMAT, "handover: cut short", i);
    if (st == EMK_OK && text.len > 0)
        st = emk_fail(e, EMK_E_FORMAT, "handover: more than one key", 0);
    if (st == EMK_OK)
        st = emk_note_key_read(c, line, next, e);
    if (st == EMK_OK && strcmp(next->name, k->name) != 0)
        st = emk_fail(e, EMK_E_FORMAT, "handover: to the key of another log", 0);
    return st;
}

emk_status emk_handover_verify(const emk_crypto *c, const emk_note_key *k, emk_span note,
                               emk_tree_head *head, emk_note_key *next, emk_error *e)
{
    emk_note_key to;
    emk_tree_head seen;
    emk_status st = read_next_key(c, k, note, &to, e);

    if (st == EMK_OK)
        st = emk_checkpoint_verify(c, &to, note, &seen, e);
    if (st == EMK_OK)
        st = emk_checkpoint_verify(c, k, note, &seen, e);
    if (st != EMK_OK)
        return st;
    *head = seen;
    *next = to;
    return EMK_OK;
}
