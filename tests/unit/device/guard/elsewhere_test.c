/* What the guard does on Apple's systems and on Windows, as far as it is no call of theirs: made-up
 * images, and made-up answers of their kernels. */
#include "device/guard/apple_facts.h"
#include "device/guard/detectors_apple.h"
#include "device/guard/detectors_windows.h"
#include "device/guard/macho.h"
#include "device/guard/pe.h"
#include "device/guard/windows_facts.h"
#include "tests/support/test.h"

#define IMAGE_LEN 0x3000u

static void put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put16(uint8_t *p, uint64_t v)
{
    put(p, v, 2);
}

static void put32(uint8_t *p, uint64_t v)
{
    put(p, v, 4);
}

static void put64(uint8_t *p, uint64_t v)
{
    put(p, v, 8);
}

/* ---- answers ---- */

static emk_darwin_facts apple;
static emk_darwin_function functions[2];
static size_t n_functions;
static emk_windows_facts windows;
static emk_windows_region regions[2];
static size_t n_regions;
static bool all_regions = true;

void emk_darwin_facts_get(emk_darwin_facts *out)
{
    *out = apple;
}

void emk_darwin_try_sandbox(emk_darwin_facts *out)
{
    out->wrote_outside = apple.wrote_outside;
    out->forked = apple.forked;
}

size_t emk_darwin_functions(emk_darwin_function out[EMK_DARWIN_FUNCTIONS_MAX])
{
    memcpy(out, functions, n_functions * sizeof functions[0]);
    return n_functions;
}

void emk_windows_facts_get(emk_windows_facts *out)
{
    *out = windows;
}

bool emk_windows_regions_each(emk_windows_region_fn fn, void *self)
{
    for (size_t i = 0; i < n_regions && fn(self, &regions[i]); i++)
        ;
    return all_regions;
}

static emk_guard_rules rules;
static emk_guard_platform platform;
static emk_guard_look l;

static int set_up(void **state)
{
    (void)state;
    memset(&rules, 0, sizeof rules);
    memset(&l, 0, sizeof l);
    snprintf(l.env.root, sizeof l.env.root, "/nowhere");
    l.rules = &rules;
    l.platform = &platform;
    l.whole = true;
    apple = (emk_darwin_facts){.knows_trace = true,
                               .knows_signature = true,
                               .signature = EMK_DARWIN_SIGNATURE_VALID,
                               .is_phone = true};
    windows = (emk_windows_facts){.knows_port = true};
    n_functions = n_regions = 0;
    all_regions = true;
    return 0;
}

static unsigned sees(const emk_detector *d, emk_guard_signal s)
{
    memset(l.seen, 0, sizeof l.seen);
    d->look(&l);
    return l.seen[s];
}

static void sees_nothing(const emk_detector *d)
{
    (void)sees(d, EMK_GUARD_BLIND);
    for (unsigned s = 0; s < EMK_GUARD_SIGNALS; s++)
        assert_int_equal(l.seen[s], 0);
}

/* ---- Apple ---- */

static void apple_finds_nothing_on_an_honest_phone(void **state)
{
    (void)state;
    sees_nothing(&emk_detect_darwin_debugger);
    sees_nothing(&emk_detect_darwin_jailbreak);
    sees_nothing(&emk_detect_darwin_inserted);
    sees_nothing(&emk_detect_darwin_stubs);
}

static void apple_sees_a_debugger_by_the_kernels_words(void **state)
{
    (void)state;
    apple.is_traced = true;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_TRACER), EMK_GUARD_CERTAIN);
    apple.is_traced = false;
    apple.signature |= EMK_DARWIN_SIGNATURE_DEBUGGED;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_TRACER), EMK_GUARD_CERTAIN);
    apple.signature = 0;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_PATCHED_SELF), EMK_GUARD_CERTAIN);
    apple.signature = EMK_DARWIN_SIGNATURE_VALID | EMK_DARWIN_SIGNATURE_DEBUGGABLE;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_DEVELOPER), EMK_GUARD_LIKELY);
    rules.development = true;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_DEVELOPER), EMK_GUARD_HINT);
}

static void apple_says_when_the_kernel_does_not_answer(void **state)
{
    (void)state;
    apple.knows_trace = false;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_BLIND), EMK_GUARD_HINT);
    apple.knows_trace = true;
    apple.knows_signature = false;
    assert_int_equal(sees(&emk_detect_darwin_debugger, EMK_GUARD_BLIND), EMK_GUARD_HINT);
    apple.is_phone = false; /* a Mac runs programs without a signature */
    sees_nothing(&emk_detect_darwin_debugger);
}

static void apple_sees_a_sandbox_with_holes_on_phones_only(void **state)
{
    (void)state;
    apple.wrote_outside = true;
    assert_int_equal(sees(&emk_detect_darwin_jailbreak, EMK_GUARD_ROOTED), EMK_GUARD_CERTAIN);
    apple.wrote_outside = false;
    apple.forked = true;
    assert_int_equal(sees(&emk_detect_darwin_jailbreak, EMK_GUARD_ROOTED), EMK_GUARD_CERTAIN);
    apple.is_phone = false;
    sees_nothing(&emk_detect_darwin_jailbreak);
    apple.is_simulator = true;
    assert_int_equal(sees(&emk_detect_darwin_jailbreak, EMK_GUARD_EMULATOR), EMK_GUARD_LIKELY);
    assert_int_equal(l.seen[EMK_GUARD_ROOTED], 0);
}

static void apple_sees_files_of_jailbreaks_with_root_and_without(void **state)
{
    char command[2 * EMK_ENV_PATH_MAX];

    (void)state;
    snprintf(l.env.root, sizeof l.env.root, "/tmp/emk-test-jail-XXXXXX");
    assert_non_null(mkdtemp(l.env.root));
    snprintf(command, sizeof command, "mkdir -p '%s/var/jb'", l.env.root);
    assert_int_equal(system(command), 0);
    assert_int_equal(sees(&emk_detect_darwin_jailbreak, EMK_GUARD_ROOTED), EMK_GUARD_LIKELY);
    snprintf(command, sizeof command, "mkdir -p '%s/usr/lib/TweakInject'", l.env.root);
    assert_int_equal(system(command), 0);
    assert_int_equal(sees(&emk_detect_darwin_jailbreak, EMK_GUARD_ROOTED), EMK_GUARD_CERTAIN);
    snprintf(command, sizeof command, "rm -rf '%s'", l.env.root);
    assert_int_equal(system(command), 0);
}

static void apple_sees_inserted_libraries_but_not_allowed_ones(void **state)
{
    (void)state;
    apple.inserted = "/usr/lib/libBacktraceRecording.dylib:/var/jb/hook.dylib";
    rules.n_allowed = 1;
    snprintf(rules.allowed[0], EMK_GUARD_NAME_MAX, "libBacktraceRecording.dylib");
    assert_int_equal(sees(&emk_detect_darwin_inserted, EMK_GUARD_PRELOAD), EMK_GUARD_LIKELY);
    assert_string_equal(l.details[EMK_GUARD_PRELOAD], "hook.dylib");
    apple.inserted = "libBacktraceRecording.dylib";
    sees_nothing(&emk_detect_darwin_inserted);
}

static void apple_tells_a_hook_from_a_function(void **state)
{
    static const struct {
        uint32_t code[4];
        unsigned patched, stopped;
    } rows[] = {
        {{0xd503233f, 0xa9bf7bfd, 0x910003fd, 0x94000010}, 0, 0}, /* paciasp; stp; mov; bl */
        {{0xd2800070, 0xd4001001, 0x54000063, 0xd65f03c0}, 0, 0}, /* mov x16; svc; b.lo; ret */
        {{0x58000050, 0xd61f0200, 0x12345678, 0x00000001}, EMK_GUARD_CERTAIN, 0}, /* x16 */
        {{0xd503201f, 0x58000051, 0xd61f0220, 0x12345678}, EMK_GUARD_CERTAIN, 0}, /* nop; x17 */
        {{0x58000050, 0xd61f0220, 0x12345678, 0x00000001}, 0, 0}, /* another register */
        {{0xd4200000, 0xa9bf7bfd, 0x910003fd, 0x94000010}, 0, EMK_GUARD_CERTAIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        functions[0] = (emk_darwin_function){"open", rows[i].code};
        n_functions = 1;
        assert_int_equal(sees(&emk_detect_darwin_stubs, EMK_GUARD_PATCHED_FUNCTION),
                         rows[i].patched);
        assert_int_equal(l.seen[EMK_GUARD_BREAKPOINT], rows[i].stopped);
    }
}

/* ---- a Mach-O image ---- */

#define MACHO_AT 0x100000000ull

typedef struct macho_image {
    _Alignas(8) uint8_t b[IMAGE_LEN];
    size_t end; /* of the commands */
    uint32_t n;
} macho_image;

static uint8_t *add_command(macho_image *m, uint32_t which, uint32_t len)
{
    uint8_t *p = m->b + m->end;

    put32(p, which);
    put32(p + 4, len);
    m->end += len;
    put32(m->b + 16, ++m->n);
    put32(m->b + 20, (uint32_t)(m->end - 32));
    return p;
}

static uint8_t *add_segment(macho_image *m, const char *name, uint32_t off, uint32_t rights)
{
    const uint32_t n_sections = rights == 3;
    uint8_t *p = add_command(m, 0x19, 72 + 80 * n_sections);

    memcpy(p + 8, name, strlen(name));
    put64(p + 24, MACHO_AT + off);
    put64(p + 32, 0x1000);
    put64(p + 40, off);
    put64(p + 48, 0x1000);
    put32(p + 60, rights);
    put32(p + 64, n_sections);
    return p;
}

static emk_macho make_macho(macho_image *m)
{
    static const char names[] = "\0_malloc\0_free";
    uint8_t *p;

    *m = (macho_image){.end = 32};
    put32(m->b, 0xFEEDFACF);
    add_segment(m, "__TEXT", 0, 5);
    p = add_segment(m, "__DATA", 0x1000, 3) + 72; /* its one section: two pointers */
    put64(p + 32, MACHO_AT + 0x1000);
    put64(p + 40, 16);
    put32(p + 64, 6);
    add_segment(m, "__LINKEDIT", 0x2000, 1);
    p = add_command(m, 0x02, 24);
    put32(p + 8, 0x2000);
    put32(p + 12, 2);
    put32(p + 16, 0x2100);
    put32(p + 20, sizeof names);
    p = add_command(m, 0x0B, 80);
    put32(p + 56, 0x2200);
    put32(p + 60, 2);
    memset(add_command(m, 0x1B, 24) + 8, 0xAB, 16);
    put32(m->b + 0x2000, 1);
    put32(m->b + 0x2010, 9);
    memcpy(m->b + 0x2100, names, sizeof names);
    put32(m->b + 0x2204, 1);
    put64(m->b + 0x1000, 0x1111);
    put64(m->b + 0x1008, 0x8012000000002222); /* signed, as arm64e does */
    return (emk_macho){m->b, (uintptr_t)m->b - (uintptr_t)MACHO_AT};
}

static void reads_where_a_macho_images_code_is(void **state)
{
    static macho_image m;
    const emk_macho in = make_macho(&m);
    emk_module out = {.path = ""};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_macho_describe(&in, &out, &e), &e);
    assert_int_equal(out.start, (uintptr_t)m.b);
    assert_int_equal(out.end, (uintptr_t)m.b + IMAGE_LEN);
    assert_int_equal(out.n_code, 1);
    assert_ptr_equal(out.code[0].p, m.b);
    assert_int_equal(out.code[0].len, 0x1000);
    assert_int_equal(out.build_id.len, 16);
    assert_int_equal(m.b[out.build_id_off], 0xAB);
    assert_false(out.has_no_file);
    put32(add_command(&m, 0x2C, 24) + 16, 1);
    assert_ok(emk_macho_describe(&in, &out, &e), &e);
    assert_true(out.has_no_file);
}

typedef struct heard {
    size_t n;
    char names[8][32];
    uintptr_t targets[8];
} heard;

static bool hear(void *self, const char *symbol, uintptr_t target)
{
    heard *h = self;

    if (h->n < 8) {
        snprintf(h->names[h->n], sizeof h->names[0], "%s", symbol);
        h->targets[h->n++] = target;
    }
    return true;
}

static void reads_where_a_macho_images_calls_lead(void **state)
{
    static macho_image m;
    const emk_macho in = make_macho(&m);
    heard h = {0};

    (void)state;
    emk_macho_calls_each(&in, hear, &h);
    assert_int_equal(h.n, 2);
    assert_string_equal(h.names[0], "malloc");
    assert_int_equal(h.targets[0], 0x1111);
    assert_string_equal(h.names[1], "free");
    assert_int_equal(h.targets[1], 0x2222);
}

static void refuses_a_macho_image_that_is_none(void **state)
{
    static macho_image m;
    const emk_macho in = make_macho(&m);
    emk_module out = {.path = ""};
    emk_error e = {0};

    (void)state;
    put32(m.b + 20, 1 << 20);
    assert_status(emk_macho_describe(&in, &out, &e), EMK_E_FORMAT, &e);
    put32(m.b, 0xFEEDFACE);
    assert_status(emk_macho_describe(&in, &out, &e), EMK_E_UNSUPPORTED, &e);
    put32(m.b, 0);
    assert_status(emk_macho_describe(&in, &out, &e), EMK_E_FORMAT, &e);
    (void)make_macho(&m);
    put32(m.b + 20, 0); /* no commands, no segments */
    assert_status(emk_macho_describe(&in, &out, &e), EMK_E_FORMAT, &e);
}

/* Every four bytes of the commands and tables replaced in turn: nothing may be read outside. */
static void believes_no_number_of_an_image(void **state)
{
    static const uint32_t values[] = {0, 1, 7, 0x1000, 0x7FFFFFFF, 0xFFFFFFFF};
    static macho_image m;
    emk_module out;
    heard h;

    (void)state;
    for (size_t at = 64; at + 4 <= 0x220; at += 4) {
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
            const emk_macho in = make_macho(&m);
            /* Segments' addresses are dyld's word: it mapped them. */
            const size_t in_first = at - 32, in_second = at - 104, in_third = at - 256;

            if ((in_first >= 24 && in_first < 56) || (in_second >= 24 && in_second < 56) ||
                (in_third >= 24 && in_third < 56))
                continue;
            put32(m.b + at, values[i]);
            h = (heard){0};
            out = (emk_module){.path = ""};
            (void)!emk_macho_describe(&in, &out, NULL);
            emk_macho_calls_each(&in, hear, &h);
        }
    }
}

/* ---- Windows ---- */

static void windows_finds_nothing_in_an_honest_process(void **state)
{
    (void)state;
    sees_nothing(&emk_detect_windows_debugger);
    sees_nothing(&emk_detect_windows_regions);
}

static void windows_sees_a_debugger_whichever_word_is_left(void **state)
{
    bool *const words[] = {&windows.debugged_here, &windows.debugged_remote, &windows.has_port,
                           &windows.has_object};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        *words[i] = true;
        assert_int_equal(sees(&emk_detect_windows_debugger, EMK_GUARD_TRACER), EMK_GUARD_CERTAIN);
        *words[i] = false;
    }
    windows.n_hard_breaks = 1;
    assert_int_equal(sees(&emk_detect_windows_debugger, EMK_GUARD_BREAKPOINT), EMK_GUARD_LIKELY);
    windows.n_hard_breaks = 0;
    windows.knows_port = false;
    assert_int_equal(sees(&emk_detect_windows_debugger, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

static void windows_sees_code_that_is_no_images(void **state)
{
    (void)state;
    regions[0] = (emk_windows_region){.start = 0x1000, .len = 0x1000};
    n_regions = 1;
    assert_int_equal(sees(&emk_detect_windows_regions, EMK_GUARD_FOREIGN_CODE), EMK_GUARD_HINT);
    assert_int_equal(l.seen[EMK_GUARD_WRITABLE_CODE], 0);
    regions[0].writable = true;
    assert_int_equal(sees(&emk_detect_windows_regions, EMK_GUARD_WRITABLE_CODE), EMK_GUARD_LIKELY);
    all_regions = false;
    assert_int_equal(sees(&emk_detect_windows_regions, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

/* A PE image: headers, one section of code with a fixup in its second page, imports. */
static emk_pe make_pe(uint8_t b[IMAGE_LEN])
{
    uint8_t *file = b + 0x80, *optional = file + 24, *section = optional + 240;

    memset(b, 0, IMAGE_LEN);
    put16(b, 0x5A4D);
    put32(b + 0x3C, 0x80);
    put32(file, 0x4550);
    put16(file + 6, 1);
    put16(file + 20, 240);
    put16(optional, 0x20B);
    put32(optional + 108, 16);
    put32(optional + 112 + 8, 0x400); /* imports */
    put32(optional + 112 + 12, 40);
    put32(section + 8, 0x1800);
    put32(section + 12, 0x1000);
    put32(section + 16, 0x1800);
    put32(section + 20, 0x600);
    put32(section + 36, 0x60000020);
    put32(b + 0x400, 0x500);
    put32(b + 0x400 + 16, 0x540);
    put64(b + 0x500, 0x580);
    put64(b + 0x508, 0x8000000000000007); /* by its number */
    put64(b + 0x510, 0x5A0);
    put64(b + 0x540, 0x1111);
    put64(b + 0x550, 0x2222);
    memcpy(b + 0x582, "malloc", 6);
    memcpy(b + 0x5A2, "free", 4);
    return (emk_pe){b, IMAGE_LEN};
}

#define PE_FIXUPS (0x80 + 24 + 112 + 40)

static void reads_where_a_pe_images_code_is(void **state)
{
    static uint8_t b[IMAGE_LEN];
    const emk_pe in = make_pe(b);
    emk_module out = {.path = ""};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_pe_describe(&in, &out, &e), &e);
    assert_int_equal(out.n_code, 1);
    assert_ptr_equal(out.code[0].p, b + 0x1000);
    assert_int_equal(out.code[0].len, 0x1800);
    assert_int_equal(out.code[0].file_off, 0x600);
}

static void leaves_out_code_that_the_loader_changes(void **state)
{
    static uint8_t b[IMAGE_LEN];
    const emk_pe in = make_pe(b);
    emk_module out = {.path = ""};
    emk_error e = {0};

    (void)state;
    put32(b + PE_FIXUPS, 0x700);
    put32(b + PE_FIXUPS + 4, 12);
    put32(b + 0x700, 0x2000);
    put32(b + 0x704, 12);
    assert_ok(emk_pe_describe(&in, &out, &e), &e);
    assert_int_equal(out.n_code, 1);
    assert_int_equal(out.code[0].len, 0x1000);
    out = (emk_module){.path = ""};
    put32(b + 0x700, 0x1000); /* its reach is all that there is */
    assert_ok(emk_pe_describe(&in, &out, &e), &e);
    assert_int_equal(out.n_code, 0);
}

static void reads_where_a_pe_images_calls_lead(void **state)
{
    static uint8_t b[IMAGE_LEN];
    const emk_pe in = make_pe(b);
    heard h = {0};

    (void)state;
    emk_pe_calls_each(&in, hear, &h);
    assert_int_equal(h.n, 2);
    assert_string_equal(h.names[0], "malloc");
    assert_int_equal(h.targets[0], 0x1111);
    assert_string_equal(h.names[1], "free");
    assert_int_equal(h.targets[1], 0x2222);
}

static void refuses_a_pe_image_that_is_none(void **state)
{
    static uint8_t b[IMAGE_LEN];
    emk_pe in = make_pe(b);
    emk_module out = {.path = ""};
    emk_error e = {0};

    (void)state;
    in.len = 0x3F;
    assert_status(emk_pe_describe(&in, &out, &e), EMK_E_FORMAT, &e);
    in = make_pe(b);
    put32(b + 0x3C, IMAGE_LEN);
    assert_status(emk_pe_describe(&in, &out, &e), EMK_E_FORMAT, &e);
    in = make_pe(b);
    put16(b + 0x80 + 24, 0x10B);
    assert_status(emk_pe_describe(&in, &out, &e), EMK_E_UNSUPPORTED, &e);
    in = make_pe(b);
    put16(b + 0x80 + 20, 100);
    assert_status(emk_pe_describe(&in, &out, &e), EMK_E_FORMAT, &e);
    in = make_pe(b);
    put16(b + 0x80 + 6, 97);
    assert_status(emk_pe_describe(&in, &out, &e), EMK_E_FORMAT, &e);
}

#define rule(fn) cmocka_unit_test_setup(fn, set_up)

int main(void)
{
    return EMK_RUN(
        rule(apple_finds_nothing_on_an_honest_phone),
        rule(apple_sees_a_debugger_by_the_kernels_words),
        rule(apple_says_when_the_kernel_does_not_answer),
        rule(apple_sees_a_sandbox_with_holes_on_phones_only),
        rule(apple_sees_files_of_jailbreaks_with_root_and_without),
        rule(apple_sees_inserted_libraries_but_not_allowed_ones),
        rule(apple_tells_a_hook_from_a_function), rule(reads_where_a_macho_images_code_is),
        rule(reads_where_a_macho_images_calls_lead), rule(refuses_a_macho_image_that_is_none),
        rule(believes_no_number_of_an_image), rule(windows_finds_nothing_in_an_honest_process),
        rule(windows_sees_a_debugger_whichever_word_is_left),
        rule(windows_sees_code_that_is_no_images), rule(reads_where_a_pe_images_code_is),
        rule(leaves_out_code_that_the_loader_changes), rule(reads_where_a_pe_images_calls_lead),
        rule(refuses_a_pe_image_that_is_none));
}
