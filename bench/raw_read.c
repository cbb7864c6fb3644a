#include "bench/raw_read.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Huge pages need an aligned start, so more is mapped than is used. */
static uint8_t *map(size_t len, bool huge, void **raw, size_t *raw_len)
{
    uint8_t *p;

    *raw_len = (len + 2 * HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
    *raw = mmap(NULL, *raw_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*raw == MAP_FAILED)
        bench_die("no memory", NULL);
    p = *raw;
    p += (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    madvise(*raw, *raw_len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return p;
}

double raw_read_file(const char *path, bool huge)
{
    double start = bench_now(), seconds;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0, raw_len = 0;
    struct stat st;
    void *raw;
    uint8_t *p;

    if (fd < 0 || fstat(fd, &st) != 0)
        bench_die("cannot open the model", NULL);
    p = map((size_t)st.st_size, huge, &raw, &raw_len);
    while (done < (size_t)st.st_size) {
        ssize_t n = read(fd, p + done, (size_t)st.st_size - done);

        if (n <= 0)
            bench_die("cannot read the model", NULL);
        done += (size_t)n;
    }
    close(fd);
    seconds = bench_now() - start;
    munmap(raw, raw_len);
    return seconds;
}

void raw_copy_file(const char *from, const char *to, uint8_t *memory, size_t piece)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t at = 0;
    struct stat st;
    ssize_t n;

    if (in < 0 || out < 0 || fstat(in, &st) != 0 || fallocate(out, 0, 0, st.st_size) != 0)
        bench_die("cannot copy a file", NULL);
    while ((n = pread(in, memory, piece, at)) > 0) {
        if (pwrite(out, memory, (size_t)n, at) != n)
            bench_die("cannot copy a file", NULL);
        at += n;
    }
    if (n < 0 || fsync(out) != 0)
        bench_die("cannot copy a file", NULL);
    close(in);
    close(out);
}
