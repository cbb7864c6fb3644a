#include "server/daemon/os_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/os_file.h"

#ifdef EMK_HAVE_SECCOMP
#include <seccomp.h>
#endif

/* Landlock by number, so that it does not hang on the headers of the machine that compiles; the
 * structures are the kernel's ABI.  [landlock(7)] */
#define CALL_CREATE_RULESET 444
#define CALL_ADD_RULE       445
#define CALL_RESTRICT_SELF  446
#define RULESET_VERSION     1u
#define RULE_PATH_BENEATH   1
#define ACCESS_EXECUTE      (UINT64_C(1) << 0)
#define ACCESS_READ         (UINT64_C(1) << 2 | UINT64_C(1) << 3) /* files, folders */
#define ACCESS_OF_FILE      (UINT64_C(1) << 2) /* of one file only reading is given */
#define ACCESS_V1           ((UINT64_C(1) << 13) - 1)
#define ACCESS_REFER        (UINT64_C(1) << 13)
#define ACCESS_TRUNCATE     (UINT64_C(1) << 14)

struct ruleset_attr {
    uint64_t handled_access_fs;
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

static emk_status become(uid_t uid, gid_t gid, emk_error *e)
{
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return emk_fail_errno(e, "sandbox: cannot become the user");
    if (uid != 0 && setresuid(0, 0, 0) == 0)
        return emk_fail(e, EMK_E_POLICY, "sandbox: could become root again", 0);
    return EMK_OK;
}

emk_status emk_sandbox_user(const char *user, emk_error *e)
{
    const struct passwd *pw = getpwnam(user);

    if (!pw)
        return emk_fail(e, EMK_E_NOT_FOUND, "sandbox: no such user", 0);
    return become(pw->pw_uid, pw->pw_gid, e);
}

emk_status emk_sandbox_owner(const char *folder, emk_error *e)
{
    struct stat st;

    if (geteuid() != 0)
        return EMK_OK;
    if (stat(folder, &st) != 0)
        return emk_fail_errno(e, "sandbox: owner of a folder");
    return become(st.st_uid, st.st_gid, e);
}

emk_status emk_sandbox_give(const char *path, const char *user, emk_error *e)
{
    const struct passwd *pw = getpwnam(user);

    if (!pw)
        return emk_fail(e, EMK_E_NOT_FOUND, "sandbox: no such user", 0);
    if (lchown(path, pw->pw_uid, pw->pw_gid) != 0)
        return emk_fail_errno(e, "sandbox: owner of a folder");
    return EMK_OK;
}

emk_status emk_sandbox_private(emk_error *e)
{
    struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return emk_fail_errno(e, "sandbox: private");
    return EMK_OK;
}

bool emk_sandbox_contains(const char *folder, const char *path)
{
    char a[PATH_MAX], b[PATH_MAX];
    size_t n;

    if (!realpath(folder, a) || !realpath(path, b))
        return true; /* not known: the careful answer */
    n = strlen(a);
    return strncmp(a, b, n) == 0 && (b[n] == 0 || b[n] == '/' || a[n - 1] == '/');
}

void emk_sandbox_around(const char *file, const char *hidden, char out[EMK_SANDBOX_PATH_MAX])
{
    const char *slash = strrchr(file, '/');

    snprintf(out, EMK_SANDBOX_PATH_MAX, "%.*s", slash ? (int)(slash - file + (slash == file)) : 1,
             slash ? file : ".");
    if (hidden && emk_sandbox_contains(out, hidden))
        snprintf(out, EMK_SANDBOX_PATH_MAX, "%s", file);
}

static emk_status no_new_privs(emk_error *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return emk_fail_errno(e, "sandbox: no_new_privs");
    return EMK_OK;
}

/* What this kernel can restrict; 0: nothing. */
static uint64_t known_accesses(void)
{
    long abi = syscall(CALL_CREATE_RULESET, NULL, 0, RULESET_VERSION);
    uint64_t all = ACCESS_V1;

    if (abi < 1)
        return 0;
    if (abi >= 2)
        all |= ACCESS_REFER;
    if (abi >= 3)
        all |= ACCESS_TRUNCATE;
    return all;
}

static emk_status add_path(int ruleset, const char *path, uint64_t access, emk_error *e)
{
    struct path_beneath_attr rule = {.allowed_access = access,
                                     .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat sb;
    emk_status st = EMK_OK;

    if (rule.parent_fd < 0)
        return errno == ENOENT ? EMK_OK : emk_fail_errno(e, "sandbox: folder");
    if (fstat(rule.parent_fd, &sb) == 0 && !S_ISDIR(sb.st_mode))
        rule.allowed_access &= ACCESS_OF_FILE;
    if (syscall(CALL_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0)
        st = emk_fail_errno(e, "sandbox: rule");
    emk_os_close(rule.parent_fd);
    return st;
}

static emk_status restrict_to(int ruleset, const emk_sandbox_paths *p, uint64_t all, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < p->n_write; i++)
        st = add_path(ruleset, p->write[i], all & ~ACCESS_EXECUTE, e);
    for (size_t i = 0; st == EMK_OK && i < p->n_read; i++)
        st = add_path(ruleset, p->read[i], ACCESS_READ, e);
    if (st == EMK_OK)
        st = no_new_privs(e);
    if (st == EMK_OK && syscall(CALL_RESTRICT_SELF, ruleset, 0) != 0)
        st = emk_fail_errno(e, "sandbox: landlock");
    return st;
}

emk_status emk_sandbox_files(const emk_sandbox_paths *p, emk_error *e)
{
    struct ruleset_attr attr = {.handled_access_fs = known_accesses()};
    int ruleset;
    emk_status st;

    if (attr.handled_access_fs == 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "sandbox: this kernel has no Landlock", 0);
    ruleset = (int)syscall(CALL_CREATE_RULESET, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return emk_fail_errno(e, "sandbox: landlock");
    st = restrict_to(ruleset, p, attr.handled_access_fs, e);
    emk_os_close(ruleset);
    return st;
}

#ifdef EMK_HAVE_SECCOMP

/* What both need: memory, time, what is open already, threads, the end. */
#define COMMON                                                                                    \
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "close",      \
        "lseek", "fstat", "newfstatat", "statx", "fcntl", "dup", "mmap", "munmap", "mprotect",    \
        "mremap", "madvise", "mlock", "mlock2", "munlock", "mincore", "brk", "futex",             \
        "sched_yield", "sched_getaffinity", "clock_gettime", "clock_nanosleep", "nanosleep",      \
        "gettimeofday", "time", "getrandom", "getpid", "gettid", "getppid", "getuid", "geteuid",  \
        "getgid", "getegid", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", \
        "sigaltstack", "tgkill", "poll", "ppoll", "recvmsg", "recvfrom", "sendmsg", "sendto",     \
        "exit", "exit_group", "restart_syscall", "uname", "sysinfo", "membarrier", "rseq",        \
        "set_robust_list", "memfd_secret", "ftruncate", "fsync", "fdatasync", "getrusage"

static const char *const SERVER_CALLS[] = {
    COMMON,          "clone",
    "clone3",        "openat",
    "open",          "access",
    "faccessat",     "faccessat2",
    "stat",          "lstat",
    "readlink",      "readlinkat",
    "getcwd",        "mkdir",
    "mkdirat",       "unlink",
    "unlinkat",      "rename",
    "renameat",      "renameat2",
    "link",          "linkat",
    "rmdir",         "getdents64",
    "fallocate",     "flock",
    "fchmod",        "chmod",
    "fchmodat",      "utimensat",
    "umask",         "statfs",
    "fstatfs",       "sync_file_range",
    "fadvise64",     "copy_file_range",
    "sendfile",      "socket",
    "socketpair",    "bind",
    "listen",        "accept",
    "accept4",       "connect",
    "getsockname",   "getpeername",
    "getsockopt",    "setsockopt",
    "shutdown",      "epoll_create",
    "epoll_create1", "epoll_ctl",
    "epoll_wait",    "epoll_pwait",
    "eventfd",       "eventfd2",
    "pipe",          "pipe2",
    "select",        "pselect6",
    "wait4",         "ioctl",
    "prlimit64",     "getrlimit",
    "arch_prctl",    "set_tid_address",
    "memfd_create",  "get_mempolicy",
    "prctl",         "kill",
};

static const char *const KEYHOLDER_CALLS[] = {COMMON,   "openat", "rename", "renameat2",
                                              "unlink", "flock",  "prctl"};

/* What resolving a name, a connection and TLS need. */
static const char *const MESSENGER_CALLS[] = {
    COMMON,       "clone",       "clone3",     "openat",          "open",          "access",
    "faccessat",  "faccessat2",  "stat",       "lstat",           "readlink",      "readlinkat",
    "getcwd",     "getdents64",  "statfs",     "fstatfs",         "fadvise64",     "socket",
    "socketpair", "bind",        "connect",    "getsockname",     "getpeername",   "getsockopt",
    "setsockopt", "shutdown",    "sendmmsg",   "recvmmsg",        "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "eventfd2",   "pipe2",           "select",        "pselect6",
    "ioctl",      "prlimit64",   "arch_prctl", "set_tid_address", "prctl",
};

/* What a module or a TPM stack may do beyond the server's: nothing of these. */
static const char *const NEVER[] = {
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "execve",
    "execveat",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "init_module",
    "finit_module",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "add_key",
    "request_key",
    "setns",
    "unshare",
    "swapon",
    "reboot",
    "io_uring_setup",
    "process_madvise",
    "personality",
    "open_by_handle_at",
};

static emk_status add_calls(scmp_filter_ctx ctx, uint32_t action, const char *const *names,
                            size_t n, emk_error *e)
{
    for (size_t i = 0; i < n; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);

        if (number == __NR_SCMP_ERROR)
            continue; /* newer than this library, or not of this machine */
        if (seccomp_rule_add(ctx, action, number, 0) != 0)
            return emk_fail(e, EMK_E_UNSUPPORTED, "sandbox: seccomp rule", i);
    }
    return EMK_OK;
}

static emk_status add_role(scmp_filter_ctx ctx, emk_sandbox_role role, emk_error *e)
{
    switch (role) {
    case EMK_SANDBOX_SERVER:
        return add_calls(ctx, SCMP_ACT_ALLOW, SERVER_CALLS,
                         sizeof SERVER_CALLS / sizeof *SERVER_CALLS, e);
    case EMK_SANDBOX_KEYHOLDER:
        return add_calls(ctx, SCMP_ACT_ALLOW, KEYHOLDER_CALLS,
                         sizeof KEYHOLDER_CALLS / sizeof *KEYHOLDER_CALLS, e);
    case EMK_SANDBOX_MESSENGER:
        return add_calls(ctx, SCMP_ACT_ALLOW, MESSENGER_CALLS,
                         sizeof MESSENGER_CALLS / sizeof *MESSENGER_CALLS, e);
    case EMK_SANDBOX_KEYHOLDER_MODULE:
        break;
    }
    return add_calls(ctx, SCMP_ACT_ERRNO(EPERM), NEVER, sizeof NEVER / sizeof *NEVER, e);
}

emk_status emk_sandbox_calls(emk_sandbox_role role, emk_error *e)
{
    scmp_filter_ctx ctx =
        seccomp_init(role == EMK_SANDBOX_KEYHOLDER_MODULE ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
    emk_status st;

    if (!ctx)
        return emk_fail(e, EMK_E_NO_MEMORY, "sandbox: seccomp", 0);
    st = add_role(ctx, role, e);
    if (st == EMK_OK)
        st = no_new_privs(e);
    /* glibc falls back from clone3 to clone on ENOSYS only; clone3 is allowed, so no matter. */
    if (st == EMK_OK && seccomp_load(ctx) != 0)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "sandbox: this kernel has no seccomp filters", 0);
    seccomp_release(ctx);
    return st;
}

#else

emk_status emk_sandbox_calls(emk_sandbox_role role, emk_error *e)
{
    (void)role;
    return emk_fail(e, EMK_E_UNSUPPORTED, "sandbox: built without libseccomp", 0);
}

#endif
