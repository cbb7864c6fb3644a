/* The proof that the HTTP process cannot get at the keys: its sandbox is put on in a child beside a
 * real keyholder, and the child tries. */
#include "server/daemon/keyholder.h"
#include "server/daemon/os_sandbox.h"

#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct world {
    char *dir;
    char keys[256], data[256], key_file[300];
    int keyholder;
} world;

/* What a child tries: true when it was stopped. */
typedef bool (*attempt)(const world *w);

static emk_status confine(const world *w, emk_error *e)
{
    const char *write[] = {w->data};
    emk_sandbox_paths paths = {.write = write, .n_write = 1};
    emk_status st = emk_sandbox_private(e);

    if (st == EMK_OK)
        st = emk_sandbox_files(&paths, e);
    if (st == EMK_OK)
        st = emk_sandbox_calls(EMK_SANDBOX_SERVER, e);
    return st;
}

/* 0: stopped, 1: got through, 77: no such sandbox here. */
static int try_it(const world *w, attempt fn)
{
    emk_keyholder_options o = {.dir = w->keys, .origin = "log", .sandbox = true, .make = true};
    emk_keyholder_client *client;
    emk_keyholder_hello hello;
    world mine = *w;
    emk_error e = {0};
    emk_status st;

    if (emk_keyholder_start(&o, &client, &hello, &e) != EMK_OK)
        return 2;
    mine.keyholder = emk_keyholder_pid(client);
    st = confine(&mine, &e);
    if (st != EMK_OK)
        return st == EMK_E_UNSUPPORTED ? EMK_TEST_SKIP : 2;
    return fn(&mine) && emk_keyholder_ping(client, &e) == EMK_OK ? 0 : 1;
}

static void is_stopped(attempt fn)
{
    world w = {.dir = emk_test_dir_make()};
    int status = 0;
    pid_t child;

    snprintf(w.keys, sizeof w.keys, "%s/keys", w.dir);
    snprintf(w.data, sizeof w.data, "%s/data", w.dir);
    snprintf(w.key_file, sizeof w.key_file, "%s/issuer.key", w.keys);
    assert_int_equal(mkdir(w.keys, 0700), 0);
    assert_int_equal(mkdir(w.data, 0700), 0);
    child = fork();
    if (child == 0)
        _exit(try_it(&w, fn));
    assert_int_equal(waitpid(child, &status, 0), child);
    emk_test_dir_remove(w.dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EMK_TEST_SKIP)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool opens_key(const world *w)
{
    return open(w->key_file, O_RDONLY) < 0 && errno == EACCES;
}

static bool opens_key_by_memory(const world *w)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/mem", w->keyholder);
    return open(path, O_RDONLY) < 0;
}

static bool links_key_into_data(const world *w)
{
    char to[300];

    snprintf(to, sizeof to, "%s/stolen", w->data);
    return link(w->key_file, to) != 0 &&
           (symlink(w->key_file, to) != 0 || open(to, O_RDONLY) < 0) &&
           rename(w->key_file, to) != 0;
}

static bool traces_keyholder(const world *w)
{
    return ptrace(PTRACE_ATTACH, w->keyholder, NULL, NULL) != 0 && errno == EPERM &&
           ptrace(PTRACE_SEIZE, w->keyholder, NULL, NULL) != 0 && errno == EPERM;
}

static bool reads_its_memory(const world *w)
{
    char here[64];
    struct iovec local = {here, sizeof here}, remote = {here, sizeof here};

    return process_vm_readv(w->keyholder, &local, 1, &remote, 1, 0) != (ssize_t)sizeof here &&
           errno == EPERM && process_vm_writev(w->keyholder, &local, 1, &remote, 1, 0) < 0;
}

static bool runs_another_program(const world *w)
{
    char name[] = "/bin/sh";
    char *argv[] = {name, NULL};

    (void)w;
    execv(name, argv);
    return errno == EPERM || errno == EACCES;
}

static bool reads_other_files(const world *w)
{
    (void)w;
    return open("/etc/passwd", O_RDONLY) < 0 && open("/proc/self/maps", O_RDONLY) < 0;
}

static bool uses_its_own_folder(const world *w)
{
    char path[300];
    int fd;

    snprintf(path, sizeof path, "%s/file", w->data);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && unlink(path) == 0;
}

static void knows_what_lies_below(void **state)
{
    char *dir = emk_test_dir_make();
    char below[256], beside[256];

    (void)state;
    snprintf(below, sizeof below, "%s/a", dir);
    snprintf(beside, sizeof beside, "%s/ab", dir);
    assert_int_equal(mkdir(below, 0700), 0);
    assert_int_equal(mkdir(beside, 0700), 0);
    assert_true(emk_sandbox_contains(dir, below));
    assert_true(emk_sandbox_contains(dir, dir));
    assert_true(emk_sandbox_contains("/", dir));
    assert_false(emk_sandbox_contains(below, beside));
    assert_false(emk_sandbox_contains(below, dir));
    assert_true(emk_sandbox_contains(below, "/nowhere")); /* the careful answer */
    emk_test_dir_remove(dir);
}

static void cannot_open_the_key_files(void **state)
{
    (void)state;
    is_stopped(opens_key);
    is_stopped(links_key_into_data);
}

static void cannot_read_the_keyholders_memory(void **state)
{
    (void)state;
    is_stopped(opens_key_by_memory);
    is_stopped(traces_keyholder);
    is_stopped(reads_its_memory);
}

static void cannot_run_programs_or_read_other_files(void **state)
{
    (void)state;
    is_stopped(runs_another_program);
    is_stopped(reads_other_files);
}

static void can_work_in_its_own_folder(void **state)
{
    (void)state;
    is_stopped(uses_its_own_folder);
}

int main(void)
{
    if (getenv("EMK_NO_SANDBOX")) {
        printf("SKIP the sandbox and this sanitizer exclude each other\n");
        return EMK_TEST_SKIP;
    }
    return EMK_RUN(emk_rule(knows_what_lies_below), emk_rule(cannot_open_the_key_files),
                   emk_rule(cannot_read_the_keyholders_memory),
                   emk_rule(cannot_run_programs_or_read_other_files),
                   emk_rule(can_work_in_its_own_folder));
}
