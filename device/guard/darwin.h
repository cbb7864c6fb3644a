/* The few calls of Apple's systems that the guard makes, declared here: so its files compile with
 * any clang, without Apple's SDK.  Types and numbers are those of the public interfaces; whoever
 * builds for a device includes nothing of the SDK beside it in the same file. */
#ifndef EMK_DEVICE_GUARD_DARWIN_H
#define EMK_DEVICE_GUARD_DARWIN_H

#include <stddef.h>
#include <stdint.h>

/* Processes and their state. */
int sysctl(int *name, unsigned n, void *old, size_t *old_len, void *fresh, size_t fresh_len);
int sysctlbyname(const char *name, void *old, size_t *old_len, void *fresh, size_t fresh_len);
int getpid(void);
int fork(void);
int waitpid(int pid, int *status, int options);
void _exit(int code) __attribute__((noreturn));
int ptrace(int request, int pid, void *address, int data);
int csops(int pid, unsigned ops, void *data, size_t len);
char *getenv(const char *name);

#define EMK_DARWIN_CTL_KERN        1
#define EMK_DARWIN_KERN_PROC       14
#define EMK_DARWIN_KERN_PROC_PID   1
#define EMK_DARWIN_KINFO_LEN       648u /* of struct kinfo_proc where pointers have 8 bytes */
#define EMK_DARWIN_KINFO_FLAG_AT   32u  /* its kp_proc.p_flag */
#define EMK_DARWIN_P_TRACED        0x00000800u
#define EMK_DARWIN_PT_DENY_ATTACH  31
#define EMK_DARWIN_CS_OPS_STATUS   0u
#define EMK_DARWIN_CS_OPS_MARKHARD 2u
#define EMK_DARWIN_CS_OPS_MARKKILL 3u

/* Files, memory and limits. */
int open(const char *path, int flags, ...);
int close(int fd);
int unlink(const char *path);
int access(const char *path, int mode);
long read(int fd, void *to, size_t len);
long write(int fd, const void *from, size_t len);
int *__error(void);
void *mmap(void *at, size_t len, int rights, int flags, int fd, long long off);
int munmap(void *p, size_t len);
int munlock(const void *p, size_t len);
int madvise(void *p, size_t len, int what);
int mincore(const void *p, size_t len, char *pages);
int getpagesize(void);

#define EMK_DARWIN_O_RDONLY      0x0000
#define EMK_DARWIN_O_WRONLY      0x0001
#define EMK_DARWIN_O_NONBLOCK    0x0004
#define EMK_DARWIN_O_CREAT       0x0200
#define EMK_DARWIN_O_EXCL        0x0800
#define EMK_DARWIN_O_NOCTTY      0x20000
#define EMK_DARWIN_O_CLOEXEC     0x1000000
#define EMK_DARWIN_EINTR         4
#define EMK_DARWIN_PROT_READ     1
#define EMK_DARWIN_MAP_PRIVATE   0x0002
#define EMK_DARWIN_MAP_NORESERVE 0x0040
#define EMK_DARWIN_MAP_ANON      0x1000
#define EMK_DARWIN_MADV_FREE     5

typedef struct emk_darwin_rlimit {
    uint64_t now, most;
} emk_darwin_rlimit;
int setrlimit(int which, const emk_darwin_rlimit *limit);
#define EMK_DARWIN_RLIMIT_CORE 4

/* Clocks: nanoseconds. */
uint64_t clock_gettime_nsec_np(int clock);
#define EMK_DARWIN_CLOCK_THREAD_CPUTIME 16
#define EMK_DARWIN_CLOCK_MONOTONIC_RAW  4 /* goes on while the machine sleeps */

/* Loaded images. */
uint32_t _dyld_image_count(void);
const void *_dyld_get_image_header(uint32_t i);
const char *_dyld_get_image_name(uint32_t i);
intptr_t _dyld_get_image_vmaddr_slide(uint32_t i);

#endif
