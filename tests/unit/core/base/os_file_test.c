#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;
static char path[4096], other[4096];

static int set_up(void **state)
{
    (void)state;
    dir = emk_test_dir_make();
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    emk_test_dir_remove(dir);
    return 0;
}

static emk_status count_entry(void *self, const char *name, emk_error *e)
{
    size_t *n = self;

    (void)e;
    assert_string_not_equal(name, ".");
    assert_string_not_equal(name, "..");
    (*n)++;
    return EMK_OK;
}

static size_t n_entries(void)
{
    size_t n = 0;
    emk_error e;

    assert_ok(emk_os_list_dir(dir, count_entry, &n, &e), &e);
    return n;
}

static void write_text(const char *to, const char *text)
{
    emk_error e;

    assert_ok(emk_os_write_file(to, emk_span_str(text), &e), &e);
}

static void assert_content(const char *of, const char *want)
{
    emk_buf b;
    emk_error e;

    emk_buf_init(&b, 10000);
    assert_ok(emk_os_read_file(of, 10000, &b, &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_str(want));
    emk_buf_done(&b);
}

static void a_new_file_is_written_over_nothing(void **state)
{
    size_t before;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_os_write_file_new(path, emk_span_str("first"), &e), &e);
    before = n_entries();
    assert_status(emk_os_write_file_new(path, emk_span_str("second"), &e), EMK_E_USED, &e);
    assert_content(path, "first");
    assert_int_equal(n_entries(), before); /* nothing is left beside it */
}

static void a_private_file_is_the_folders_owners_or_ours(void **state)
{
    emk_error e = {0};
    int fd;

    (void)state;
    if (geteuid() != 0)
        skip();
    write_text(path, "secret");
    assert_ok(emk_os_open_read(path, &fd, &e), &e);
    assert_ok(emk_os_check_private_in(fd, dir, &e), &e);
    assert_int_equal(chown(path, 4711, 4711), 0);
    assert_status(emk_os_check_private_in(fd, dir, &e), EMK_E_USAGE, &e);
    assert_int_equal(chown(dir, 4711, 4711), 0);
    assert_ok(emk_os_check_private_in(fd, dir, &e), &e);
    assert_status(emk_os_check_private(fd, &e), EMK_E_USAGE, &e);
    assert_int_equal(chmod(path, 0640), 0);
    assert_status(emk_os_check_private_in(fd, dir, &e), EMK_E_USAGE, &e);
    emk_os_close(fd);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    write_text(path, "first");
    assert_content(path, "first");
    write_text(path, "");
    assert_content(path, "");
    write_text(path, "third");
    assert_content(path, "third");
    assert_int_equal(n_entries(), 1); /* no temporary file is left */
}

static void written_files_are_for_the_owner_only(void **state)
{
    struct stat st;
    int fd = -1;
    emk_error e;

    (void)state;
    write_text(path, "x");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(emk_os_create_new(other, &fd, &e), &e);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    emk_os_close(fd);
}

static void create_new_refuses_what_exists(void **state)
{
    int fd = 77;
    emk_error e;

    (void)state;
    write_text(path, "x");
    assert_status(emk_os_create_new(path, &fd, &e), EMK_E_USED, &e);
    assert_int_equal(symlink(path, other), 0);
    assert_status(emk_os_create_new(other, &fd, &e), EMK_E_USED, &e);
    assert_int_equal(fd, 77);
    assert_content(path, "x");
}

static void missing_files_are_not_found(void **state)
{
    int fd = 77;
    emk_buf b;
    emk_secret *s = NULL;
    emk_error e;

    (void)state;
    emk_buf_init(&b, 100);
    assert_status(emk_os_open_read(path, &fd, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_os_open_update(path, &fd, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_os_read_file(path, 100, &b, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_os_read_secret(path, 100, &s, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_os_remove(path, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_os_replace(path, other, &e), EMK_E_NOT_FOUND, &e);
    assert_false(emk_os_exists(path));
    assert_int_equal(fd, 77);
    emk_os_close(-1);
}

static void opens_regular_files_only(void **state)
{
    int fd = 77;
    emk_error e;

    (void)state;
    assert_status(emk_os_open_read(dir, &fd, &e), EMK_E_USAGE, &e);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_status(emk_os_open_read(path, &fd, &e), EMK_E_USAGE, &e); /* and does not hang */
    assert_status(emk_os_open_read("/dev/zero", &fd, &e), EMK_E_USAGE, &e);
    assert_int_equal(fd, 77);
}

static void reads_and_writes_at_offsets(void **state)
{
    char out[8] = "";
    uint64_t len = 0;
    int fd = -1;
    emk_error e;

    (void)state;
    assert_ok(emk_os_create_new(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 4, "5678", 4, &e), &e);
    assert_ok(emk_os_write_at(fd, 0, "1234", 4, &e), &e);
    assert_ok(emk_os_file_size(fd, &len, &e), &e);
    assert_int_equal(len, 8);
    assert_ok(emk_os_read_at(fd, 2, out, 5, &e), &e);
    assert_string_equal(out, "34567");
    assert_ok(emk_os_read_at(fd, 100, out, 0, &e), &e);
    assert_ok(emk_os_sync(fd, &e), &e);
    assert_status(emk_os_read_at(fd, 5, out, 4, &e), EMK_E_FORMAT, &e);
    assert_status(emk_os_read_at(fd, 9, out, 1, &e), EMK_E_FORMAT, &e);
    emk_os_close(fd);
    assert_ok(emk_os_open_read(path, &fd, &e), &e);
    assert_status(emk_os_write_at(fd, 0, "x", 1, &e), EMK_E_IO, &e);
    assert_int_equal(e.where, EBADF);
    emk_os_close(fd);
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 0, "x", 1, &e), &e);
    emk_os_close(fd);
    assert_content(path, "x2345678");
}

/* A memory file is on a tmpfs, where reserving is another way. */
static void reserve_in_memory_lengthens_and_never_cuts(void **state)
{
    uint8_t byte = 0;
    uint64_t len = 0;
    emk_error e;
    int fd;

    (void)state;
    assert_ok(emk_os_memory_file("test", false, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 9, "x", 1, &e), &e);
    assert_ok(emk_os_reserve(fd, 100000, &e), &e);
    assert_ok(emk_os_file_size(fd, &len, &e), &e);
    assert_int_equal(len, 100000);
    assert_ok(emk_os_reserve(fd, 10, &e), &e);
    assert_ok(emk_os_file_size(fd, &len, &e), &e);
    assert_int_equal(len, 100000);
    assert_ok(emk_os_read_at(fd, 9, &byte, 1, &e), &e);
    assert_int_equal(byte, 'x');
    emk_os_close(fd);
}

static void reserve_sets_the_length_and_keeps_content(void **state)
{
    uint64_t len = 0;
    char byte = 1;
    int fd = -1;
    emk_error e;

    (void)state;
    write_text(path, "abc");
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_reserve(fd, 100000, &e), &e);
    assert_ok(emk_os_file_size(fd, &len, &e), &e);
    assert_int_equal(len, 100000);
    assert_ok(emk_os_read_at(fd, 99999, &byte, 1, &e), &e);
    assert_int_equal(byte, 0);
    assert_ok(emk_os_read_at(fd, 1, &byte, 1, &e), &e);
    assert_int_equal(byte, 'b');
    emk_os_close(fd);
}

static void stamp_changes_with_the_content(void **state)
{
    emk_os_stamp a, b;
    int fd = -1;
    emk_error e;

    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    write_text(path, "abc");
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
    assert_ok(emk_os_file_stamp(fd, &a, &e), &e);
    assert_ok(emk_os_file_stamp(fd, &b, &e), &e);
    assert_memory_equal(&a, &b, sizeof a);
    usleep(20000); /* beyond the clock tick of file times */
    assert_ok(emk_os_write_at(fd, 0, "x", 1, &e), &e);
    assert_ok(emk_os_file_stamp(fd, &b, &e), &e);
    assert_memory_not_equal(&a, &b, sizeof a);
    emk_os_close(fd);
}

static void reading_whole_files_meets_the_limit(void **state)
{
    emk_buf b;
    emk_secret *s = NULL;
    emk_error e;

    (void)state;
    write_text(path, "12345");
    emk_buf_init(&b, 1000);
    assert_ok(emk_buf_append(&b, emk_span_str(">"), &e), &e);
    assert_status(emk_os_read_file(path, 4, &b, &e), EMK_E_LIMIT, &e);
    assert_bytes(emk_buf_span(&b), emk_span_str(">"));
    assert_ok(emk_os_read_file(path, 5, &b, &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_str(">12345"));
    emk_buf_done(&b);
    emk_buf_init(&b, 3); /* the buffer's own limit counts too */
    assert_status(emk_os_read_file(path, 5, &b, &e), EMK_E_LIMIT, &e);
    emk_buf_done(&b);
    assert_status(emk_os_read_secret(path, 4, &s, &e), EMK_E_LIMIT, &e);
    assert_null(s);
}

static void secrets_are_read_into_secret_memory(void **state)
{
    emk_secret *s = NULL;
    emk_error e;

    (void)state;
    write_text(path, "key");
    assert_ok(emk_os_read_secret(path, 100, &s, &e), &e);
    assert_bytes(emk_secret_span(s), emk_span_str("key"));
    emk_secret_free(s);
    s = NULL;
    write_text(path, "");
    assert_status(emk_os_read_secret(path, 100, &s, &e), EMK_E_LIMIT, &e);
    assert_null(s);
}

static void replace_and_remove(void **state)
{
    emk_error e;

    (void)state;
    write_text(path, "new");
    write_text(other, "old");
    assert_ok(emk_os_replace(path, other, &e), &e);
    assert_content(other, "new");
    assert_false(emk_os_exists(path));
    assert_ok(emk_os_remove(other, &e), &e);
    assert_false(emk_os_exists(other));
}

static void files_beside_have_names_of_their_own(void **state)
{
    char a[4200], b[4200], small[8];
    int fa = -1, fb = -1;
    emk_error e;

    (void)state;
    assert_ok(emk_os_create_beside(path, &fa, a, sizeof a, &e), &e);
    assert_ok(emk_os_create_beside(path, &fb, b, sizeof b, &e), &e);
    assert_string_not_equal(a, b);
    assert_memory_equal(a, path, strlen(path));
    assert_int_equal(strlen(a), strlen(path) + strlen(".tmp-XXXXXX"));
    assert_true(emk_os_exists(a) && emk_os_exists(b));
    emk_os_close(fa);
    emk_os_close(fb);
    assert_status(emk_os_create_beside(path, &fa, small, sizeof small, &e), EMK_E_LIMIT, &e);
}

static void directories_are_made_once(void **state)
{
    struct stat st;
    emk_error e;

    (void)state;
    assert_ok(emk_os_make_dir(path, &e), &e);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_ok(emk_os_make_dir(path, &e), &e);
    write_text(other, "x");
    assert_status(emk_os_make_dir(other, &e), EMK_E_USAGE, &e);
}

static emk_status stop_at_once(void *self, const char *name, emk_error *e)
{
    (void)name;
    ++*(size_t *)self;
    return emk_fail(e, EMK_E_POLICY, "enough", 0);
}

static void listing_stops_when_told_to(void **state)
{
    size_t n = 0;
    emk_error e;

    (void)state;
    write_text(path, "x");
    write_text(other, "x");
    assert_int_equal(n_entries(), 2);
    assert_status(emk_os_list_dir(dir, stop_at_once, &n, &e), EMK_E_POLICY, &e);
    assert_int_equal(n, 1);
    snprintf(other, sizeof other, "%s/none", dir);
    assert_status(emk_os_list_dir(other, stop_at_once, &n, &e), EMK_E_NOT_FOUND, &e);
}

static void lock_keeps_others_out_until_closed(void **state)
{
    int a = -1, b = -1;
    emk_error e;

    (void)state;
    write_text(path, "x");
    assert_ok(emk_os_open_update(path, &a, &e), &e);
    assert_ok(emk_os_open_update(path, &b, &e), &e);
    assert_ok(emk_os_lock(a, false, &e), &e);
    assert_status(emk_os_lock(b, false, &e), EMK_E_BUSY, &e);
    emk_os_close(a);
    assert_ok(emk_os_lock(b, true, &e), &e);
    emk_os_close(b);
}

static void memory_files_are_files(void **state)
{
    char out[4] = "";
    int fd = -1;
    emk_error e;

    (void)state;
    assert_ok(emk_os_memory_file("model", false, &fd, &e), &e);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_ok(emk_os_write_at(fd, 0, "abc", 3, &e), &e);
    assert_ok(emk_os_read_at(fd, 0, out, 3, &e), &e);
    assert_string_equal(out, "abc");
    emk_os_close(fd);
    assert_ok(emk_os_memory_file("model", true, &fd, &e), &e);
    assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    emk_os_close(fd);
}

static void join_refuses_what_does_not_fit(void **state)
{
    char out[8];
    emk_error e;

    (void)state;
    assert_ok(emk_os_join(out, sizeof out, "ab", "cd", ".e", &e), &e);
    assert_string_equal(out, "ab/cd.e");
    assert_status(emk_os_join(out, sizeof out, "ab", "cd", ".ef", &e), EMK_E_LIMIT, &e);
}

#ifdef EMK_FAULTS

static emk_status write_new(void)
{
    emk_error e;

    return emk_os_write_file(path, emk_span_str("the new content"), &e);
}

/* Whatever call fails, the file is the old one or the new one, and nothing lies beside. */
static void failed_write_leaves_the_old_or_the_new(void **state)
{
    uint64_t n = 1;

    (void)state;
    for (;; n++) {
        bool injected;
        emk_status st;

        write_text(path, "the old content");
        emk_fault_fail_at(EMK_FAULT_IO, n);
        st = write_new();
        injected = emk_fault_count(EMK_FAULT_IO) >= n;
        emk_fault_fail_at(EMK_FAULT_IO, 0);
        if (!injected) {
            assert_int_equal(st, EMK_OK);
            break;
        }
        assert_int_equal(st, EMK_E_IO);
        assert_int_equal(n_entries(), 1);
        /* the last two calls are the directory's sync: the rename is done by then */
        assert_content(path, n >= 5 ? "the new content" : "the old content");
    }
    assert_int_equal(n, 7); /* create, write, sync, rename, open directory, sync it */
}

static bool child_was_killed(uint64_t n)
{
    int st;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        emk_fault_kill_at(EMK_FAULT_IO, n);
        _exit(write_new() == EMK_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &st, 0), pid);
    if (WIFSIGNALED(st)) {
        assert_int_equal(WTERMSIG(st), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(st), 0);
    return false;
}

static void killed_process_leaves_the_old_or_the_new(void **state)
{
    uint64_t n = 1;

    (void)state;
    write_text(path, "the old content");
    for (; child_was_killed(n); n++)
        assert_content(path, n <= 4 ? "the old content" : "the new content");
    assert_content(path, "the new content");
    assert_int_equal(n, 7);
}

static void every_call_can_fail(void **state)
{
    emk_os_stamp stamp;
    emk_buf b;
    emk_secret *s = NULL;
    uint64_t len = 0;
    size_t count = 0;
    int fd = -1, none = 77;
    char out[4200];
    emk_error e;

    (void)state;
    emk_buf_init(&b, 100);
    write_text(path, "x");
    assert_ok(emk_os_open_update(path, &fd, &e), &e);
#define fails(call)                          \
    do {                                     \
        emk_fault_fail_at(EMK_FAULT_IO, 1);  \
        assert_status((call), EMK_E_IO, &e); \
        assert_int_equal(e.where, EIO);      \
    } while (0)
    fails(emk_os_open_read(path, &none, &e));
    fails(emk_os_open_update(path, &none, &e));
    fails(emk_os_create_new(other, &none, &e));
    fails(emk_os_create_beside(path, &none, out, sizeof out, &e));
    fails(emk_os_memory_file("x", false, &none, &e));
    fails(emk_os_file_size(fd, &len, &e));
    fails(emk_os_file_stamp(fd, &stamp, &e));
    fails(emk_os_read_at(fd, 0, out, 1, &e));
    fails(emk_os_write_at(fd, 0, "y", 1, &e));
    fails(emk_os_reserve(fd, 10, &e));
    fails(emk_os_sync(fd, &e));
    fails(emk_os_lock(fd, false, &e));
    fails(emk_os_replace(path, other, &e));
    fails(emk_os_remove(path, &e));
    fails(emk_os_make_dir(other, &e));
    fails(emk_os_list_dir(dir, count_entry, &count, &e));
#undef fails
    assert_int_equal(none, 77);
    assert_int_equal(len + count, 0);
    for (uint64_t n = 1; n <= 3; n++) {
        emk_fault_fail_at(EMK_FAULT_IO, n);
        assert_status(emk_os_read_file(path, 100, &b, &e), EMK_E_IO, &e);
        assert_int_equal(b.len, 0);
        emk_fault_fail_at(EMK_FAULT_IO, n);
        assert_status(emk_os_read_secret(path, 100, &s, &e), EMK_E_IO, &e);
        assert_null(s);
    }
    emk_fault_fail_at(EMK_FAULT_IO, 0);
    emk_os_close(fd);
    emk_buf_done(&b);
    assert_content(path, "x");
    assert_int_equal(n_entries(), 1);
}

#else

static void failed_write_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    skip();
}

static void killed_process_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    skip();
}

static void every_call_can_fail(void **state)
{
    (void)state;
    skip();
}

#endif

#define in_dir(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return EMK_RUN(
        in_dir(what_is_written_is_read), in_dir(a_new_file_is_written_over_nothing),
        in_dir(a_private_file_is_the_folders_owners_or_ours),
        in_dir(written_files_are_for_the_owner_only), in_dir(create_new_refuses_what_exists),
        in_dir(missing_files_are_not_found), in_dir(opens_regular_files_only),
        in_dir(reads_and_writes_at_offsets), in_dir(reserve_sets_the_length_and_keeps_content),
        emk_rule(reserve_in_memory_lengthens_and_never_cuts),
        in_dir(stamp_changes_with_the_content), in_dir(reading_whole_files_meets_the_limit),
        in_dir(secrets_are_read_into_secret_memory), in_dir(replace_and_remove),
        in_dir(files_beside_have_names_of_their_own), in_dir(directories_are_made_once),
        in_dir(listing_stops_when_told_to), in_dir(lock_keeps_others_out_until_closed),
        in_dir(memory_files_are_files), in_dir(join_refuses_what_does_not_fit),
        in_dir(failed_write_leaves_the_old_or_the_new),
        in_dir(killed_process_leaves_the_old_or_the_new), in_dir(every_call_can_fail));
}
