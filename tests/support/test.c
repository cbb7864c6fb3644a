#include "tests/support/test.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

int emk_run_rules_(const char *file, const struct CMUnitTest *rules, size_t n)
{
    const char *slash = strrchr(file, '/');

    return _cmocka_run_group_tests(slash ? slash + 1 : file, rules, n, NULL, NULL);
}

void emk_assert_status_(emk_status got, emk_status want, const emk_error *e, const char *file,
                        int line)
{
    if (got == want)
        return;
    print_error("status is %s, wanted %s", emk_status_name(got), emk_status_name(want));
    if (got != EMK_OK && e && e->what)
        print_error(": %s (%llu)", e->what, (unsigned long long)e->where);
    print_error("\n");
    _fail(file, line);
}

static void print_hex(const char *label, emk_span s)
{
    print_error("%s %zu bytes: ", label, s.len);
    for (size_t i = 0; i < s.len && i < 256; i++)
        print_error("%02x", s.p[i]);
    print_error("%s\n", s.len > 256 ? "..." : "");
}

void emk_assert_bytes_(emk_span got, emk_span want, const char *file, int line)
{
    if (emk_span_equal(got, want))
        return;
    print_hex("got   ", got);
    print_hex("wanted", want);
    _fail(file, line);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t emk_unhex(const char *hex, uint8_t *out, size_t cap)
{
    size_t n = 0;

    while (*hex) {
        int hi, lo;

        if (*hex == ' ' || *hex == '\n') {
            hex++;
            continue;
        }
        hi = hex_digit(hex[0]);
        lo = hex[1] ? hex_digit(hex[1]) : -1;
        if (hi < 0 || lo < 0 || n == cap)
            fail_msg("bad hex in a test");
        out[n++] = (uint8_t)(hi << 4 | lo);
        hex += 2;
    }
    return n;
}

bool emk_test_is_emulated(void)
{
    const char *text = getenv("EMK_EMULATED");

    return text && text[0] == '1';
}

char *emk_test_dir_make(void)
{
    const char *base = getenv("TMPDIR");
    char path[4096];

    snprintf(path, sizeof path, "%s/emk-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path))
        fail_msg("cannot make a directory for the test");
    return strdup(path);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void emk_test_dir_remove(char *dir)
{
    if (dir)
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

char *emk_test_shared(const char *rel)
{
    const char *base = getenv("EMK_SHARED");
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", base ? base : EMK_SOURCE_DIR "/../shared", rel);
    if (access(path, R_OK) == 0)
        return strdup(path);
    print_message("[  SKIP    ] %s is not here\n", rel);
    return NULL;
}
