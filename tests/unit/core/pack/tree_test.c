#include "core/pack/tree.h"

#include "core/base/fault.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *root;
static char about[EMK_TREE_ABOUT];
static emk_error e;

static int set_up(void **state)
{
    (void)state;
    root = emk_test_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    emk_test_dir_remove(root);
    return 0;
}

/* "<root>/<rel>"; two may be in use at once. */
static const char *at(const char *rel)
{
    static char paths[2][4096];
    static unsigned turn;

    turn = (turn + 1) % 2;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", root, rel);
    return paths[turn];
}

static void put(const char *rel, const char *text)
{
    char path[4096];

    snprintf(path, sizeof path, "%s", at(rel));
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        assert_true(mkdir(path, 0700) == 0 || access(path, F_OK) == 0);
        *slash = '/';
    }
    assert_ok(emk_os_write_file(path, emk_span_str(text), &e), &e);
}

static emk_status open_one(const char *rel, emk_tree *t)
{
    const char *path = at(rel);

    memset(about, 'x', sizeof about - 1);
    return emk_tree_open(&path, 1, t, about, &e);
}

static void expect_refused(const char *rel, emk_status st, const char *which)
{
    emk_tree t;

    assert_status(open_one(rel, &t), st, &e);
    assert_string_equal(about, which);
    emk_tree_done(&t); /* nothing is held after a failure */
}

static void expect_bytes(const emk_tree *t, const char *all)
{
    uint8_t bytes[256];
    size_t len = strlen(all);

    assert_int_equal(t->source.len, len);
    for (size_t from = 0; from <= len; from++) {
        for (size_t n = 0; from + n <= len; n++) {
            assert_ok(emk_source_read(&t->source, from, bytes, n, &e), &e);
            assert_memory_equal(bytes, all + from, n);
        }
    }
    assert_status(emk_source_read(&t->source, len, bytes, 1, &e), EMK_E_FORMAT, &e);
}

static void folder_is_all_its_files_in_the_order_of_the_container(void **state)
{
    static const char *const order[] = {"a/.hidden", "a/b/deep", "a.txt", "a0", "b", "z/empty"};
    emk_tree t;

    (void)state;
    put("m/b", "four");
    put("m/a0", "three");
    put("m/a.txt", "two");
    put("m/a/b/deep", "one");
    put("m/a/.hidden", "zero");
    put("m/z/empty", "");
    assert_int_equal(mkdir(at("m/nothing-in-it"), 0700), 0);
    assert_ok(open_one("m", &t), &e);
    assert_false(t.single);
    assert_int_equal(t.n_files, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_string_equal(t.list[i].path, order[i]);
    expect_bytes(&t, "zeroonetwothreefour");
    assert_ok(emk_tree_check_unchanged(&t, about, &e), &e);
    emk_tree_done(&t);
}

static void one_file_is_a_model_without_names(void **state)
{
    emk_tree t;

    (void)state;
    put("bad\\name", "bytes"); /* it is no name in the model */
    assert_ok(open_one("bad\\name", &t), &e);
    assert_true(t.single);
    assert_int_equal(t.n_files, 1);
    assert_string_equal(t.list[0].path, "");
    expect_bytes(&t, "bytes");
    emk_tree_done(&t);
}

static void what_the_caller_names_may_be_a_link(void **state)
{
    emk_tree t;

    (void)state;
    put("m/f", "x");
    assert_int_equal(symlink("m", at("folder")), 0);
    assert_int_equal(symlink("m/f", at("file")), 0);
    assert_ok(open_one("folder", &t), &e);
    assert_string_equal(t.list[0].path, "f");
    emk_tree_done(&t);
    assert_ok(open_one("file", &t), &e);
    assert_true(t.single);
    emk_tree_done(&t);
}

static void several_files_get_their_last_names(void **state)
{
    const char *paths[2];
    emk_tree t;

    (void)state;
    put("x/second", "2");
    put("y/first", "1");
    paths[0] = at("x/second");
    paths[1] = at("y/first");
    assert_ok(emk_tree_open(paths, 2, &t, about, &e), &e);
    assert_string_equal(t.list[0].path, "first");
    expect_bytes(&t, "12");
    emk_tree_done(&t);
}

static void refuses_files_of_the_same_last_name(void **state)
{
    const char *paths[2];
    emk_tree t;

    (void)state;
    put("x/f", "1");
    put("y/f", "2");
    paths[0] = at("x/f");
    paths[1] = at("y/f");
    assert_status(emk_tree_open(paths, 2, &t, about, &e), EMK_E_USAGE, &e);
    assert_string_equal(about, "f");
}

static void refuses_a_folder_among_several(void **state)
{
    const char *paths[2];
    emk_tree t;

    (void)state;
    put("x/f", "1");
    put("g", "2");
    paths[0] = at("g");
    paths[1] = at("x");
    assert_status(emk_tree_open(paths, 2, &t, about, &e), EMK_E_USAGE, &e);
    assert_status(emk_tree_open(paths, 0, &t, about, &e), EMK_E_USAGE, &e);
}

static void refuses_links_in_a_folder_wherever_they_lead(void **state)
{
    (void)state;
    put("m/f", "x");
    put("n/f", "x");
    assert_int_equal(mkdir(at("m/sub"), 0700), 0);
    assert_int_equal(symlink("../f", at("m/sub/inside")), 0);
    expect_refused("m", EMK_E_UNSUPPORTED, "sub/inside");
    assert_int_equal(unlink(at("m/sub/inside")), 0);
    assert_int_equal(symlink("../..", at("m/sub/outside")), 0);
    expect_refused("m", EMK_E_UNSUPPORTED, "sub/outside");
    assert_int_equal(symlink("nowhere", at("n/dangling")), 0);
    expect_refused("n", EMK_E_UNSUPPORTED, "dangling");
}

static void refuses_fifos_without_waiting_for_them(void **state)
{
    emk_tree t;

    (void)state;
    put("m/f", "x");
    assert_int_equal(mkfifo(at("m/fifo"), 0600), 0);
    expect_refused("m", EMK_E_UNSUPPORTED, "fifo");
    assert_status(open_one("m/fifo", &t), EMK_E_USAGE, &e);
}

static void refuses_names_that_no_model_can_have(void **state)
{
    static const char *const bad[] = {"back\\slash", "line\nend", "\xff\xfe", "esc\x1b[1m"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char rel[64];

        snprintf(rel, sizeof rel, "m%zu/%s", i, bad[i]);
        put(rel, "x");
        snprintf(rel, sizeof rel, "m%zu", i);
        expect_refused(rel, EMK_E_FORMAT, bad[i]);
    }
}

static void refuses_paths_of_more_than_255_bytes(void **state)
{
    char rel[300], path[302];
    emk_tree t;

    (void)state;
    memset(rel, 'n', sizeof rel);
    rel[127] = '/';
    rel[255] = 0;
    snprintf(path, sizeof path, "m/%s", rel);
    put(path, "x");
    assert_ok(open_one("m", &t), &e);
    assert_string_equal(t.list[0].path, rel);
    emk_tree_done(&t);
    rel[255] = 'n';
    rel[256] = 0;
    snprintf(path, sizeof path, "m/%s", rel);
    put(path, "x");
    expect_refused("m", EMK_E_FORMAT, rel);
}

static void refuses_folders_without_files_and_what_is_not_there(void **state)
{
    emk_tree t;

    (void)state;
    assert_int_equal(mkdir(at("m"), 0700), 0);
    assert_int_equal(mkdir(at("m/sub"), 0700), 0);
    assert_status(open_one("m", &t), EMK_E_USAGE, &e);
    assert_status(open_one("absent", &t), EMK_E_NOT_FOUND, &e);
}

static void takes_512_files_and_no_more(void **state)
{
    char rel[32];
    emk_tree t;

    (void)state;
    for (unsigned i = 0; i < EMK_FILES_MAX; i++) {
        snprintf(rel, sizeof rel, "m/%u/%u", i % 7, i);
        put(rel, "x");
    }
    assert_ok(open_one("m", &t), &e);
    assert_int_equal(t.n_files, EMK_FILES_MAX);
    emk_tree_done(&t);
    put("m/one-more", "x");
    assert_status(open_one("m", &t), EMK_E_LIMIT, &e);
}

static void all_empty_files_are_a_model_of_no_bytes(void **state)
{
    emk_tree t;

    (void)state;
    put("m/a", "");
    put("m/b", "");
    assert_ok(open_one("m", &t), &e);
    assert_int_equal(t.n_files, 2);
    expect_bytes(&t, "");
    emk_tree_done(&t);
}

static void notices_files_that_are_written_cut_or_replaced(void **state)
{
    uint8_t bytes[8];
    emk_tree t;

    (void)state;
    put("m/a", "12345678");
    put("m/b", "12345678");
    assert_ok(open_one("m", &t), &e);
    assert_int_equal(truncate(at("m/b"), 4), 0);
    assert_status(emk_tree_check_unchanged(&t, about, &e), EMK_E_IO, &e);
    assert_string_equal(about, "b");
    assert_status(emk_source_read(&t.source, 8, bytes, 8, &e), EMK_E_IO, &e);
    emk_tree_done(&t);
    assert_ok(open_one("m", &t), &e);
    put("m/a", "87654321"); /* another file under its name */
    assert_status(emk_tree_check_unchanged(&t, about, &e), EMK_E_IO, &e);
    assert_string_equal(about, "a");
    assert_ok(emk_source_read(&t.source, 0, bytes, 8, &e), &e);
    assert_memory_equal(bytes, "12345678", 8); /* still what was opened */
    emk_tree_done(&t);
}

static unsigned open_files(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#ifdef EMK_FAULTS
static void survives_every_fault(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_IO};
    unsigned before = open_files();

    (void)state;
    put("m/a/f", "1");
    put("m/b/c/g", "2");
    for (size_t k = 0; k < 2; k++) {
        for (uint64_t n = 1;; n++) {
            uint64_t calls;
            emk_status st;
            emk_tree t;

            emk_fault_fail_at(kinds[k], n);
            st = open_one("m", &t);
            calls = emk_fault_count(kinds[k]);
            emk_fault_fail_at(kinds[k], 0);
            if (calls < n) {
                assert_ok(st, &e);
                assert_true(n > 2);
                emk_tree_done(&t);
                break;
            }
            assert_true(st == EMK_E_NO_MEMORY || st == EMK_E_IO);
            assert_int_equal(open_files(), before);
        }
    }
}
#else
static void survives_every_fault(void **state)
{
    (void)state;
    (void)open_files;
    skip(); /* this build has no failure injection */
}
#endif

#define rule(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return EMK_RUN(
        rule(folder_is_all_its_files_in_the_order_of_the_container),
        rule(one_file_is_a_model_without_names), rule(what_the_caller_names_may_be_a_link),
        rule(several_files_get_their_last_names), rule(refuses_files_of_the_same_last_name),
        rule(refuses_a_folder_among_several), rule(refuses_links_in_a_folder_wherever_they_lead),
        rule(refuses_fifos_without_waiting_for_them), rule(refuses_names_that_no_model_can_have),
        rule(refuses_paths_of_more_than_255_bytes),
        rule(refuses_folders_without_files_and_what_is_not_there),
        rule(takes_512_files_and_no_more), rule(all_empty_files_are_a_model_of_no_bytes),
        rule(notices_files_that_are_written_cut_or_replaced), rule(survives_every_fault));
}
