#include "core/base/os_folder.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *root;
static int dir;
static emk_error e;

static int set_up(void **state)
{
    (void)state;
    root = emk_test_dir_make();
    assert_ok(emk_os_folder_open(root, &dir, &e), &e);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    emk_os_close(dir);
    emk_test_dir_remove(root);
    return 0;
}

static const char *at(const char *rel)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", root, rel);
    return path;
}

static emk_status create(const char *rel)
{
    int fd = -1;
    emk_status st = emk_os_create_below(dir, rel, &fd, &e);

    if (st == EMK_OK)
        assert_ok(emk_os_write_at(fd, 0, "x", 1, &e), &e);
    emk_os_close(fd);
    return st;
}

static unsigned mode_of(const char *rel)
{
    struct stat st;

    assert_int_equal(lstat(at(rel), &st), 0);
    return (unsigned)st.st_mode;
}

static void creates_private_files_and_the_folders_above_them(void **state)
{
    int fd = -1;
    uint8_t byte;

    (void)state;
    assert_ok(create("a/b/c"), &e);
    assert_ok(create("a/b/d"), &e);
    assert_int_equal(mode_of("a"), S_IFDIR | 0700);
    assert_int_equal(mode_of("a/b/c"), S_IFREG | 0600);
    assert_ok(emk_os_open_below(dir, "a/b/c", &fd, &e), &e);
    assert_ok(emk_os_read_at(fd, 0, &byte, 1, &e), &e);
    assert_int_equal(byte, 'x');
    emk_os_close(fd);
}

static void replaces_nothing(void **state)
{
    (void)state;
    assert_ok(create("f"), &e);
    assert_status(create("f"), EMK_E_USED, &e);
    assert_int_equal(symlink("nowhere", at("l")), 0);
    assert_status(create("l"), EMK_E_USED, &e);
    assert_status(create("f/below"), EMK_E_IO, &e);
}

static void follows_no_link_on_the_way(void **state)
{
    int fd = -1;

    (void)state;
    assert_ok(create("real/f"), &e);
    assert_int_equal(symlink("real", at("link")), 0);
    assert_int_equal(symlink("real/f", at("file")), 0);
    assert_true(create("link/new") != EMK_OK);
    assert_true(emk_os_open_below(dir, "link/f", &fd, &e) != EMK_OK);
    assert_status(emk_os_open_below(dir, "file", &fd, &e), EMK_E_UNSUPPORTED, &e);
    assert_true(emk_os_remove_below(dir, "link/f", &e) != EMK_OK);
    assert_false(emk_os_exists(at("real/new")));
    assert_true(emk_os_exists(at("real/f")));
}

static void opens_only_regular_files(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_status(emk_os_open_below(dir, "fifo", &fd, &e), EMK_E_USAGE, &e);
    assert_ok(create("d/f"), &e);
    assert_status(emk_os_open_below(dir, "d", &fd, &e), EMK_E_USAGE, &e);
    assert_status(emk_os_open_below(dir, "absent", &fd, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_os_open_below(dir, "", &fd, &e), EMK_E_USAGE, &e);
}

static void removes_a_file_and_the_folders_it_leaves_empty(void **state)
{
    (void)state;
    assert_ok(create("a/b/c"), &e);
    assert_ok(create("a/d"), &e);
    assert_ok(emk_os_remove_below(dir, "a/b/c", &e), &e);
    assert_false(emk_os_exists(at("a/b")));
    assert_true(emk_os_exists(at("a/d")));
    assert_ok(emk_os_remove_below(dir, "a/d", &e), &e);
    assert_false(emk_os_exists(at("a")));
    assert_ok(emk_os_remove_below(dir, "a/d", &e), &e); /* it was not there */
}

static void takes_a_new_or_an_empty_folder(void **state)
{
    bool made = false;
    int fd = -1;

    (void)state;
    assert_ok(emk_os_folder_take(at("new"), &fd, &made, &e), &e);
    emk_os_close(fd);
    assert_true(made);
    assert_int_equal(mode_of("new"), S_IFDIR | 0700);
    assert_ok(emk_os_folder_take(at("new"), &fd, &made, &e), &e);
    emk_os_close(fd);
    assert_false(made);
    assert_ok(create("new/f"), &e);
    assert_status(emk_os_folder_take(at("new"), &fd, &made, &e), EMK_E_USED, &e);
    assert_true(emk_os_folder_take(at("new/f"), &fd, &made, &e) != EMK_OK);
    assert_status(emk_os_folder_take(at("no/such"), &fd, &made, &e), EMK_E_NOT_FOUND, &e);
}

static void clears_all_and_follows_nothing(void **state)
{
    int fd = -1;

    (void)state;
    assert_ok(create("mine/a/b/c"), &e);
    assert_ok(create("mine/f"), &e);
    assert_ok(create("other/f"), &e);
    assert_int_equal(symlink("../other", at("mine/link")), 0);
    assert_int_equal(mkfifo(at("mine/fifo"), 0600), 0);
    assert_ok(emk_os_folder_open(at("mine"), &fd, &e), &e);
    assert_ok(emk_os_folder_clear(fd, &e), &e);
    emk_os_close(fd);
    assert_ok(emk_os_folder_remove(at("mine"), &e), &e);
    assert_true(emk_os_exists(at("other/f")));
    assert_true(emk_os_folder_remove(at("other"), &e) != EMK_OK);
}

static emk_status see(void *self, const char *name, emk_os_kind kind, emk_error *err)
{
    unsigned *seen = self;

    (void)err;
    if (strcmp(name, "f") == 0)
        assert_int_equal(kind, EMK_OS_FILE);
    if (strcmp(name, "d") == 0)
        assert_int_equal(kind, EMK_OS_FOLDER);
    if (strcmp(name, "l") == 0)
        assert_int_equal(kind, EMK_OS_LINK);
    if (strcmp(name, "p") == 0)
        assert_int_equal(kind, EMK_OS_OTHER);
    ++*seen;
    return EMK_OK;
}

static void shows_links_as_links(void **state)
{
    unsigned seen = 0;
    emk_os_kind kind;

    (void)state;
    assert_ok(create("m/f"), &e);
    assert_ok(create("m/d/x"), &e);
    assert_int_equal(symlink("d", at("m/l")), 0);
    assert_int_equal(mkfifo(at("m/p"), 0600), 0);
    assert_ok(emk_os_folder_each(dir, "m", see, &seen, &e), &e);
    assert_int_equal(seen, 4);
    assert_true(emk_os_folder_each(dir, "m/l", see, &seen, &e) != EMK_OK);
    assert_ok(emk_os_path_kind(at("m/l"), &kind, &e), &e);
    assert_int_equal(kind, EMK_OS_FOLDER);
}

static void folder_in_memory_is_this_users_alone(void **state)
{
    char path[EMK_OS_MEMORY_FOLDER_PATH];
    struct stat info;
    emk_status st;
    int fd = -1;

    (void)state;
    st = emk_os_memory_folder(path, &fd, &e);
    if (st == EMK_E_UNSUPPORTED) {
        print_message("SKIP: there is no file system in memory here\n");
        return;
    }
    assert_ok(st, &e);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    emk_os_close(fd);
    assert_ok(emk_os_folder_remove(path, &e), &e);
    assert_ok(emk_os_folder_remove(path, &e), &e);
}

static void make_old(const char *path)
{
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
}

static void folders_in_memory_that_nobody_uses_are_swept(void **state)
{
    char used[EMK_OS_MEMORY_FOLDER_PATH], left[EMK_OS_MEMORY_FOLDER_PATH],
        more[EMK_OS_MEMORY_FOLDER_PATH];
    int used_fd = -1, left_fd = -1, fd = -1;

    (void)state;
    if (emk_os_memory_folder(used, &used_fd, &e) == EMK_E_UNSUPPORTED)
        return;
    assert_ok(emk_os_memory_folder(left, &left_fd, &e), &e);
    assert_ok(emk_os_create_below(left_fd, "a/plain", &fd, &e), &e);
    emk_os_close(fd);
    make_old(left);
    make_old(used);
    emk_os_close(left_fd); /* as if its process had been killed */
    assert_ok(emk_os_memory_folder(more, &fd, &e), &e);
    assert_false(emk_os_exists(left));
    assert_true(emk_os_exists(used));
    assert_true(emk_os_exists(more));
    emk_os_close(used_fd);
    emk_os_close(fd);
    assert_ok(emk_os_folder_remove(used, &e), &e);
    assert_ok(emk_os_folder_remove(more, &e), &e);
}

#ifdef EMK_FAULTS
/* Write, list, remove: every call may fail, and nothing is open afterwards. */
static emk_status all_of_it(void)
{
    unsigned seen = 0;
    int fd = -1;
    emk_status st = emk_os_create_below(dir, "t/u/v", &fd, &e);

    emk_os_close(fd);
    fd = -1;
    if (st == EMK_OK)
        st = emk_os_open_below(dir, "t/u/v", &fd, &e);
    emk_os_close(fd);
    if (st == EMK_OK)
        st = emk_os_folder_each(dir, "t/u", see, &seen, &e);
    if (st == EMK_OK)
        st = emk_os_remove_below(dir, "t/u/v", &e);
    return st;
}

static void survives_every_fault(void **state)
{
    int free_fd = dup(dir);

    (void)state;
    close(free_fd);
    for (uint64_t n = 1;; n++) {
        uint64_t calls;
        emk_status st;

        emk_fault_fail_at(EMK_FAULT_IO, n);
        st = all_of_it();
        calls = emk_fault_count(EMK_FAULT_IO);
        emk_fault_fail_at(EMK_FAULT_IO, 0);
        if (calls < n) {
            assert_ok(st, &e);
            assert_true(n > 10);
            break;
        }
        assert_true(st == EMK_E_IO || st == EMK_OK); /* an empty folder may stay */
        assert_ok(emk_os_folder_clear(dir, &e), &e);
        assert_int_equal(dup(dir), free_fd);
        close(free_fd);
    }
}
#else
static void survives_every_fault(void **state)
{
    (void)state;
    skip(); /* this build has no failure injection */
}
#endif

#define rule(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return EMK_RUN(rule(creates_private_files_and_the_folders_above_them), rule(replaces_nothing),
                   rule(follows_no_link_on_the_way), rule(opens_only_regular_files),
                   rule(removes_a_file_and_the_folders_it_leaves_empty),
                   rule(takes_a_new_or_an_empty_folder), rule(clears_all_and_follows_nothing),
                   rule(shows_links_as_links), rule(folder_in_memory_is_this_users_alone),
                   rule(folders_in_memory_that_nobody_uses_are_swept), rule(survives_every_fault));
}
