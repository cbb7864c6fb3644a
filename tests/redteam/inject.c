/* Injection by ptrace, x86-64 Linux: attaches to one thread, writes a system call into its code,
 * lets the process itself write its memory to a file, and goes away again.
 *
 *   inject PID ADDRESS LENGTH FILE */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

static const long syscall_int3 = 0xCC050F;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

typedef struct target {
    pid_t pid;
    struct user_regs_struct before;
} target;

static long call(const target *t, long number, const unsigned long long args[4])
{
    struct user_regs_struct r = t->before;
    int status;

    r.rax = (unsigned long long)number;
    r.orig_rax = ~0ull; /* no restart of what was interrupted */
    r.rdi = args[0];
    r.rsi = args[1];
    r.rdx = args[2];
    r.r10 = args[3];
    if (ptrace(PTRACE_SETREGS, t->pid, NULL, &r) != 0 ||
        ptrace(PTRACE_CONT, t->pid, NULL, NULL) != 0 || waitpid(t->pid, &status, __WALL) < 0 ||
        ptrace(PTRACE_GETREGS, t->pid, NULL, &r) != 0)
        die("call");
    return (long)r.rax;
}

static void put_text(const target *t, unsigned long long at, const char *text)
{
    for (size_t i = 0; i <= strlen(text); i += 8) {
        long word = 0;

        memcpy(&word, text + i, strlen(text) - i < 8 ? strlen(text) - i : 8);
        if (ptrace(PTRACE_POKEDATA, t->pid, (void *)(at + i), (void *)word) != 0)
            die("poke");
    }
}

int main(int argc, char **argv)
{
    target t = {.pid = argc == 5 ? atoi(argv[1]) : 0};
    unsigned long long at, len, path, done = 0;
    long code, fd;
    int status;

    if (t.pid == 0)
        return 64;
    at = strtoull(argv[2], NULL, 10);
    len = strtoull(argv[3], NULL, 10);
    if (ptrace(PTRACE_ATTACH, t.pid, NULL, NULL) != 0 || waitpid(t.pid, &status, __WALL) < 0 ||
        ptrace(PTRACE_GETREGS, t.pid, NULL, &t.before) != 0)
        die("attach");
    code = ptrace(PTRACE_PEEKTEXT, t.pid, (void *)t.before.rip, NULL);
    if (ptrace(PTRACE_POKETEXT, t.pid, (void *)t.before.rip,
               (void *)((code & ~0xFFFFFFL) | syscall_int3)) != 0)
        die("poke");
    path = (t.before.rsp - 1024) & ~7ull;
    put_text(&t, path, argv[4]);
    fd =
        call(&t, SYS_openat,
             (unsigned long long[4]){(unsigned long long)AT_FDCWD, path, O_CREAT | O_WRONLY, 0600});
    while (fd >= 0 && done < len) {
        const long n =
            call(&t, SYS_write,
                 (unsigned long long[4]){(unsigned long long)fd, at + done, len - done, 0});

        if (n <= 0)
            break;
        done += (unsigned long long)n;
    }
    if (fd >= 0)
        call(&t, SYS_close, (unsigned long long[4]){(unsigned long long)fd, 0, 0, 0});
    ptrace(PTRACE_POKETEXT, t.pid, (void *)t.before.rip, (void *)code);
    ptrace(PTRACE_SETREGS, t.pid, NULL, &t.before);
    ptrace(PTRACE_DETACH, t.pid, NULL, NULL);
    printf("inject: open gave %ld, %llu bytes written\n", fd, done);
    return done > 0 ? 0 : 1;
}
