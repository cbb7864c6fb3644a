/* CBOR vectors against the strict profile of core/codec/cbor.h: what is outside of it must be
 * refused, what is inside must be read, mean what the vector says, and be written again byte
 * for byte. */
#include "core/codec/cbor.h"

#include "tests/conformance/formats.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct head {
    uint8_t major, info;
    uint64_t arg;
} head;

static head read_head(emk_reader *r)
{
    uint8_t first = emk_read_u8(r);
    head h = {(uint8_t)(first >> 5), first & 31, first & 31};

    if (h.info == 24)
        h.arg = emk_read_u8(r);
    else if (h.info == 25)
        h.arg = emk_read_u16be(r);
    else if (h.info == 26)
        h.arg = emk_read_u32be(r);
    else if (h.info == 27)
        h.arg = emk_read_u64be(r);
    return h;
}

/* What keeps a well-formed item out of the profile: the first such thing in it, or NULL.
 * Goes from head to head and knows nothing else of core/codec. */
static const char *outside_profile(emk_span in)
{
    emk_reader r;

    emk_reader_init(&r, in);
    while (emk_reader_left(&r) > 0 && !r.cut) {
        head h = read_head(&r);

        if (h.info == 31)
            return "an indefinite length";
        if (h.major == 6)
            return "a tag";
        if (h.major == 7 && h.info == 22)
            return "null";
        if (h.major == 7 && h.info != 20 && h.info != 21)
            return "a float or simple value";
        if (h.major == 2 || h.major == 3)
            (void)emk_read_bytes(&r, h.arg > in.len ? in.len : (size_t)h.arg);
    }
    return NULL;
}

/* One item on its way from a reader to a writer, compared with a JSON value as it passes. */
typedef struct walk {
    emk_vec *v;
    emk_cbor_reader in;
    emk_writer out;
} walk;

static void expect_number(walk *w, const emk_dom *want, uint64_t magnitude, bool negative)
{
    char text[32];

    if (!want)
        return;
    snprintf(text, sizeof text, "%s%" PRIu64, negative ? "-" : "", magnitude);
    emk_vec_true(w->v, "the number of the vector",
                 want->kind == EMK_DOM_NUMBER && emk_span_equal(want->text, emk_span_str(text)));
}

static void copy_nint(walk *w, const emk_dom *want)
{
    const uint8_t *p = w->in.in.in.p + w->in.in.pos;
    bool wide = p[0] == 0x3b && emk_reader_left(&w->in.in) > 1 && p[1] >= 0x80;
    int64_t n;

    if (wide) { /* no int64_t holds it: as bytes */
        emk_cbor_put_raw(&w->out, emk_cbor_read_raw(&w->in));
        return;
    }
    n = emk_cbor_read_int(&w->in);
    expect_number(w, want, 0 - (uint64_t)n, true);
    emk_cbor_put_int(&w->out, n);
}

static void copy_text(walk *w, const emk_dom *want)
{
    emk_span text = emk_cbor_read_text(&w->in);

    if (want)
        emk_vec_same(w->v, "the text of the vector", text, want->text);
    emk_cbor_put_text(&w->out, text);
}

static void copy_bool(walk *w, const emk_dom *want)
{
    bool truth = emk_cbor_read_bool(&w->in);

    if (want)
        emk_vec_true(w->v, "the truth value of the vector",
                     want->kind == EMK_DOM_BOOL && want->truth == truth);
    emk_cbor_put_bool(&w->out, truth);
}

static void copy_item(walk *w, const emk_dom *want);

/* The reader ends the nesting at EMK_CBOR_DEPTH, and with it this recursion. */
static void copy_array(walk *w, const emk_dom *want)
{
    size_t n = emk_cbor_enter_array(&w->in);
    const emk_dom *child = want ? want->first : NULL;

    if (want)
        emk_vec_true(w->v, "the array of the vector", want->kind == EMK_DOM_ARRAY && want->n == n);
    emk_cbor_put_array(&w->out, n);
    for (size_t i = 0; i < n && emk_cbor_ok(&w->in); i++) {
        copy_item(w, child);
        child = child ? child->next : NULL;
    }
    emk_cbor_leave(&w->in);
}

static void copy_map(walk *w, const emk_dom *want)
{
    size_t n = emk_cbor_enter_map(&w->in);
    const emk_dom *child = want ? want->first : NULL;

    if (want)
        emk_vec_true(w->v, "the map of the vector", want->kind == EMK_DOM_OBJECT && want->n == n);
    emk_cbor_put_map(&w->out, n);
    for (size_t i = 0; i < n && emk_cbor_ok(&w->in); i++) {
        copy_item(w, NULL);
        copy_item(w, child);
        child = child ? child->next : NULL;
    }
    emk_cbor_leave(&w->in);
}

static void copy_item(walk *w, const emk_dom *want)
{
    uint64_t n;

    switch (emk_cbor_peek(&w->in)) {
    case EMK_CBOR_UINT:
        n = emk_cbor_read_uint(&w->in);
        expect_number(w, want, n, false);
        emk_cbor_put_uint(&w->out, n);
        return;
    case EMK_CBOR_NINT:
        copy_nint(w, want);
        return;
    case EMK_CBOR_BYTES:
        emk_cbor_put_bytes(&w->out, emk_cbor_read_bytes(&w->in));
        return;
    case EMK_CBOR_TEXT:
        copy_text(w, want);
        return;
    case EMK_CBOR_BOOL:
        copy_bool(w, want);
        return;
    case EMK_CBOR_ARRAY:
        copy_array(w, want);
        return;
    case EMK_CBOR_MAP:
        copy_map(w, want);
        return;
    default:
        emk_cbor_fail(&w->in, EMK_E_FORMAT, "vector: not in the profile", w->in.in.pos);
    }
}

static void accept_one(emk_vec *v, emk_span in, const emk_dom *want)
{
    walk *w = emk_vec_take(v, sizeof *w);
    emk_error e = {0};

    if (!emk_vec_ok(v, "check", emk_cbor_check(in, &e), &e))
        return;
    w->v = v;
    emk_cbor_reader_init(&w->in, in);
    emk_writer_init(&w->out, emk_vec_take(v, in.len), in.len);
    copy_item(w, want);
    if (emk_vec_ok(v, "read", emk_cbor_finish(&w->in, &e), &e))
        emk_vec_same(v, "written again", emk_writer_span(&w->out), in);
}

static void refuse_one(emk_vec *v, emk_span in)
{
    emk_status st = emk_cbor_check(in, NULL);

    if (st == EMK_E_UNSUPPORTED)
        emk_vec_status(v, "check", st, EMK_E_UNSUPPORTED);
    else
        emk_vec_refused(v, "check", st);
}

static bool is_examples(const emk_dom *root, const emk_dom *first)
{
    return root->kind == EMK_DOM_ARRAY && emk_dom_get(first, "hex") &&
           emk_dom_get(first, "roundtrip");
}

static void run_examples(emk_vec *v, const emk_dom *root)
{
    size_t number = 1;

    for (const emk_dom *t = root->first; t; t = t->next) {
        const emk_dom *roundtrip = emk_dom_get_kind(t, "roundtrip", EMK_DOM_BOOL);
        emk_span in;

        emk_vec_begin(v, "%zu", number++);
        in = emk_vec_hex(v, t, "hex");
        if (!roundtrip)
            emk_vec_malformed(v, "\"roundtrip\" is missing");
        else if (emk_vec_is_well(v) && (outside_profile(in) || !roundtrip->truth))
            refuse_one(v, in);
        else if (emk_vec_is_well(v))
            accept_one(v, in, emk_dom_get(t, "decoded"));
        emk_vec_end(v);
    }
}

const emk_json_format emk_format_cbor_examples = {"CBOR examples [RFC 8949 A]", is_examples,
                                                  run_examples};

static bool has_hex(const emk_dom *root, const char *list)
{
    const emk_dom *tests = emk_dom_get_kind(root, list, EMK_DOM_ARRAY);

    return tests && emk_dom_get(tests->first, "hex") && emk_dom_get(tests->first, "expect");
}

static bool is_rules(const emk_dom *root, const emk_dom *first)
{
    (void)first;
    return has_hex(root, "reject") || has_hex(root, "accept");
}

static void rule(emk_vec *v, const emk_dom *t)
{
    emk_span in = emk_vec_hex(v, t, "hex"), expect = emk_vec_text(v, t, "expect");
    const char *outside;

    if (!emk_vec_is_well(v))
        return;
    if (emk_span_equal(expect, emk_span_str("reject"))) {
        refuse_one(v, in);
    } else if (emk_span_equal(expect, emk_span_str("accept"))) {
        outside = outside_profile(in);
        if (outside) {
            refuse_one(v, in);
            emk_vec_skip(v, "refused by profile: %s", outside);
        } else {
            accept_one(v, in, NULL);
        }
    } else {
        emk_vec_malformed(v, "\"expect\" is not accept or reject");
    }
}

static void run_rules(emk_vec *v, const emk_dom *root)
{
    static const char *const lists[] = {"reject", "accept"};

    for (size_t i = 0; i < 2; i++) {
        const emk_dom *tests = emk_dom_get_kind(root, lists[i], EMK_DOM_ARRAY);
        uint64_t id = 0;

        for (const emk_dom *t = tests ? tests->first : NULL; t; t = t->next) {
            id++;
            (void)emk_dom_u64(emk_dom_get(t, "id"), &id);
            emk_vec_begin(v, "%s %" PRIu64, lists[i], id);
            rule(v, t);
            emk_vec_end(v);
        }
    }
}

const emk_json_format emk_format_cbor_rules = {"CBOR, deterministic encoding", is_rules, run_rules};
