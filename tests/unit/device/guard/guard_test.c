/* The guard in this real process: clean, traced, patched, hooked. */
#include "core/crypto/hash.h"
#include "device/guard/internal.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static emk_crypto *crypto;

static emk_guard *new_guard(emk_guard_level level)
{
    const emk_guard_config config = {.crypto = crypto, .level = level};
    emk_guard *g = NULL;
    emk_error e = {0};

    assert_ok(emk_guard_new(&config, &g, &e), &e);
    return g;
}

/* 0, or how sure. */
static unsigned found(emk_guard *g, emk_guard_signal s)
{
    emk_guard_report r;

    emk_guard_report_get(g, &r);
    for (uint32_t i = 0; i < r.n_findings; i++) {
        if (r.findings[i].signal == s)
            return r.findings[i].confidence;
    }
    return 0;
}

static void print_findings(emk_guard *g)
{
    emk_guard_report r;

    emk_guard_report_get(g, &r);
    for (uint32_t i = 0; i < r.n_findings; i++)
        print_message("  %s %d: %s\n", emk_guard_signal_about(r.findings[i].signal)->name,
                      (int)r.findings[i].confidence, r.findings[i].detail);
}

/* Sanitizers put their own library before all others and themselves into every call. */
static bool is_instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

static void finds_nothing_certain_in_a_clean_process(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_STRICT);
    emk_guard_report r;

    (void)state;
    if (is_instrumented()) {
        emk_guard_free(g);
        skip();
    }
    for (unsigned i = 0; i < 3; i++)
        emk_guard_round(g);
    for (unsigned i = 0; i < 100; i++)
        emk_guard_probe(g);
    print_findings(g);
    emk_guard_report_get(g, &r);
    for (uint32_t i = 0; i < r.n_findings; i++)
        assert_int_equal(r.findings[i].confidence, EMK_GUARD_HINT);
    assert_int_equal(emk_guard_judge(g, EMK_GUARD_CAREFUL) <= EMK_GUARD_DO_DEGRADE, 1);
    emk_guard_free(g);
}

static void looks_at_nothing_when_off(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_OFF);
    emk_guard_report r;

    (void)state;
    emk_guard_round(g);
    emk_guard_probe(g);
    emk_guard_report_get(g, &r);
    assert_int_equal(r.n_looks, 0);
    assert_int_equal(r.action, EMK_GUARD_DO_NOTHING);
    emk_guard_free(g);
}

static void measures_the_same_code_alike_and_moves_its_transcript_with_each_look(void **state)
{
    emk_guard *a = new_guard(EMK_GUARD_REPORT), *b = new_guard(EMK_GUARD_REPORT);
    static const uint8_t zeros[EMK_GUARD_HASH_LEN];
    emk_guard_report ra, rb, later;
    emk_error e = {0};

    (void)state;
    emk_guard_report_get(a, &ra);
    emk_guard_report_get(b, &rb);
    assert_memory_equal(ra.measurement, rb.measurement, sizeof ra.measurement);
    assert_memory_not_equal(ra.measurement, zeros, sizeof zeros);
    assert_memory_not_equal(ra.transcript, rb.transcript, sizeof ra.transcript);
    emk_guard_probe(a);
    emk_guard_report_get(a, &later);
    assert_memory_not_equal(ra.transcript, later.transcript, sizeof ra.transcript);
    assert_ok(emk_guard_bind(a, emk_span_str("nonce"), &e), &e);
    emk_guard_report_get(a, &ra);
    assert_memory_not_equal(ra.transcript, later.transcript, sizeof ra.transcript);
    emk_guard_free(a);
    emk_guard_free(b);
}

/* A child that attaches to its parent while the parent looks. */
static void sees_a_process_that_traces_it(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_STRICT);
    int go[2], answer[2];
    char byte = 0;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(answer), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const pid_t parent = getppid();

        byte = ptrace(PTRACE_SEIZE, parent, 0, 0) == 0 ? 'y' : 'n';
        if (write(answer[1], &byte, 1) != 1 || read(go[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(read(answer[0], &byte, 1), 1);
    if (byte == 'y') {
        emk_guard_round(g);
        assert_true(found(g, EMK_GUARD_TRACER) == EMK_GUARD_CERTAIN);
        assert_int_equal(emk_guard_judge(g, EMK_GUARD_REPORT), EMK_GUARD_DO_WIPE);
    } else {
        print_message("SKIP this system lets no child trace its parent\n");
    }
    assert_int_equal(write(go[1], "x", 1), 1);
    waitpid(child, NULL, 0);
    emk_guard_free(g);
}

/* Changes one byte of code and puts it back.  (The thread sanitizer has no room for who writes
 * to code.) */
__attribute__((no_sanitize("thread"))) static void poke(void *address, uint8_t value,
                                                        uint8_t *before)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *start = (void *)((uintptr_t)address & ~(page - 1)); /* NOLINT */

    assert_int_equal(mprotect(start, page, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    if (before)
        *before = *(uint8_t *)address;
    *(volatile uint8_t *)address = value;
    assert_int_equal(mprotect(start, page, PROT_READ | PROT_EXEC), 0);
}

/* A function of ours that nobody calls while it is patched. */
static void *own_function(void)
{
    void *p;
    emk_status (*f)(unsigned, unsigned *, emk_error *) = emk_guard_harden;

    memcpy(&p, &f, sizeof p);
    return p;
}

static void sees_a_breakpoint_in_our_own_code(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_STRICT);
    uint8_t before = 0;

    (void)state;
    assert_int_equal(found(g, EMK_GUARD_PATCHED_SELF), 0);
    poke(own_function(), 0xCC, &before);
    emk_guard_round(g);
    poke(own_function(), before, NULL);
    assert_int_equal(found(g, EMK_GUARD_PATCHED_SELF), EMK_GUARD_CERTAIN);
    assert_int_equal(found(g, EMK_GUARD_CHANGED_SELF), EMK_GUARD_CERTAIN);
#if defined(__x86_64__) || defined(__i386__)
    assert_int_equal(found(g, EMK_GUARD_BREAKPOINT), EMK_GUARD_CERTAIN);
#endif
    emk_guard_free(g);
}

static void sees_a_patched_function_of_the_c_library(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_CAREFUL);
    uint8_t before = 0;
    void *p;
    void (*quiet)(int, const char *) = psignal; /* nobody here calls it */

    (void)state;
    memcpy(&p, &quiet, sizeof p);
    poke(p, 0xE9, &before);
    emk_guard_round(g);
    poke(p, before, NULL);
    assert_int_equal(found(g, EMK_GUARD_PATCHED_FUNCTION), EMK_GUARD_CERTAIN);
    assert_int_equal(emk_guard_judge(g, EMK_GUARD_OFF), EMK_GUARD_DO_REFUSE);
    emk_guard_free(g);
}

static void sees_code_that_can_be_written(void **state)
{
    emk_guard *g;
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    if (emk_test_is_emulated())
        skip(); /* the emulator writes the code that runs */
    assert_true(p != MAP_FAILED);
    g = new_guard(EMK_GUARD_CAREFUL);
    munmap(p, 4096);
    assert_int_equal(found(g, EMK_GUARD_WRITABLE_CODE), EMK_GUARD_LIKELY);
    assert_true(found(g, EMK_GUARD_FOREIGN_CODE) >= EMK_GUARD_HINT);
    emk_guard_free(g);
}

/* Lets another process open a file of this one's. */
static void let_open(const char *name)
{
    const pid_t child = fork();
    char path[64];
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)getppid(), name);
        _exit(open(path, O_RDONLY) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void sees_who_opens_its_memory(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_CAREFUL);

    (void)state;
    assert_int_equal(found(g, EMK_GUARD_MEMORY_READ), 0);
    let_open("status");
    emk_guard_round(g);
    assert_int_equal(found(g, EMK_GUARD_MEMORY_READ), 0);
    let_open("maps");
    let_open("status"); /* so that it is not one with the map that we read ourselves */
    emk_guard_probe(g);
    emk_guard_round(g);
    assert_true(found(g, EMK_GUARD_MEMORY_READ) <= EMK_GUARD_HINT);
    let_open("mem");
    emk_guard_round(g);
    assert_int_equal(found(g, EMK_GUARD_MEMORY_READ), EMK_GUARD_CERTAIN);
    assert_int_equal(emk_guard_judge(g, EMK_GUARD_OFF), EMK_GUARD_DO_REFUSE);
    emk_guard_free(g);
}

/* As a scanner does it: the map, and of each readable piece of it that is no file's, the bytes.
 * The kernel takes the same way for this process as for another one. */
static size_t scan_memory(void)
{
    static uint8_t piece[1 << 16];
    unsigned long start, end;
    size_t total = 0;
    char line[512], rights[8];
    FILE *f = fopen("/proc/self/maps", "r");

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        int name_at = 0;

        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &start, &end, rights, &name_at) < 3 ||
            rights[0] != 'r' || (name_at && line[name_at] != 0 && line[name_at] != '\n'))
            continue;
        for (; start < end; start += sizeof piece) {
            const struct iovec to = {piece, sizeof piece};
            const struct iovec from = {(void *)start, sizeof piece}; /* NOLINT */
            const ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

            total += n > 0 ? (size_t)n : 0;
        }
    }
    assert_int_equal(fclose(f), 0);
    return total;
}

static void sees_who_reads_all_of_its_memory(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_CAREFUL);

    (void)state;
    if (is_instrumented() || emk_test_is_emulated()) {
        emk_guard_free(g);
        skip(); /* their shadow is terabytes */
    }
    emk_guard_round(g);
    assert_true(found(g, EMK_GUARD_MEMORY_READ) <= EMK_GUARD_HINT);
    if (scan_memory() == 0) {
        emk_guard_free(g);
        skip(); /* this sandbox has no such call */
    }
    emk_guard_round(g);
    assert_int_equal(found(g, EMK_GUARD_MEMORY_READ), EMK_GUARD_CERTAIN);
    emk_guard_free(g);
}

static void takes_locking_all_memory_for_what_it_is(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_CAREFUL);

    (void)state;
    if (is_instrumented() || emk_test_is_emulated() || mlockall(MCL_CURRENT) != 0) {
        emk_guard_free(g);
        skip(); /* not allowed to lock so much */
    }
    emk_guard_round(g);
    emk_guard_round(g);
    assert_true(found(g, EMK_GUARD_MEMORY_READ) <= EMK_GUARD_HINT);
    assert_int_equal(munlockall(), 0);
    emk_guard_round(g);
    assert_true(found(g, EMK_GUARD_MEMORY_READ) <= EMK_GUARD_HINT);
    emk_guard_free(g);
}

static void count_call(void *self)
{
    ++*(unsigned *)self;
}

static void tells_those_who_listen(void **state)
{
    emk_guard *g = new_guard(EMK_GUARD_REPORT);
    unsigned calls[EMK_GUARD_LISTENERS_MAX + 1] = {0};
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < EMK_GUARD_LISTENERS_MAX; i++)
        assert_ok(emk_guard_tell(g, count_call, &calls[i], &e), &e);
    assert_status(emk_guard_tell(g, count_call, &calls[EMK_GUARD_LISTENERS_MAX], &e), EMK_E_LIMIT,
                  &e);
    emk_guard_untell(g, &calls[0]);
    let_open("mem");
    emk_guard_round(g);
    assert_int_equal(calls[0], 0);
    assert_true(calls[1] >= 1);
    emk_guard_free(g);
}

static void looks_by_itself_once_started(void **state)
{
    const struct timespec pause = {0, 20000000};
    emk_guard *g = new_guard(EMK_GUARD_REPORT);
    emk_guard_report before, now;
    emk_error e = {0};

    (void)state;
    emk_guard_report_get(g, &before);
    assert_ok(emk_guard_start(g, &e), &e);
    assert_ok(emk_guard_start(g, &e), &e);
    do {
        nanosleep(&pause, NULL);
        emk_guard_report_get(g, &now);
    } while (now.n_looks == before.n_looks);
    emk_guard_free(g);
}

static void refuses_a_configuration_that_makes_no_sense(void **state)
{
    static const char *const too_long[] = {"0123456789012345678901234567890123456789012345678901234"
                                           "567890123456789012345678901234567890"
                                           "12345678901234567890123456789012345678901234567890"};
    static const char *const names[EMK_GUARD_ALLOWED_MAX + 1] = {"a"};
    emk_guard_config config = {.crypto = crypto, .level = EMK_GUARD_REPORT};
    emk_guard *g = NULL;
    emk_error e = {0};

    (void)state;
    config.level = (emk_guard_level)4;
    assert_status(emk_guard_new(&config, &g, &e), EMK_E_USAGE, &e);
    config.level = EMK_GUARD_REPORT;
    config.overrides[3] = 9;
    assert_status(emk_guard_new(&config, &g, &e), EMK_E_USAGE, &e);
    config.overrides[3] = 0;
    config.allowed = too_long;
    config.n_allowed = 1;
    assert_status(emk_guard_new(&config, &g, &e), EMK_E_LIMIT, &e);
    config.allowed = names;
    config.n_allowed = EMK_GUARD_ALLOWED_MAX + 1;
    assert_status(emk_guard_new(&config, &g, &e), EMK_E_LIMIT, &e);
    assert_null(g);
    emk_guard_free(NULL);
}

/* In a child: it cannot be undone. */
static void hardens_a_process(void **state)
{
    pid_t child = fork();
    int how = 0;

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        unsigned done = 0;
        emk_status st = emk_guard_harden(EMK_GUARD_HARDEN_ALL, &done, NULL);
        const unsigned must = EMK_GUARD_HARDEN_UNDUMPABLE | EMK_GUARD_HARDEN_NO_PRIVILEGES;

        if (st != EMK_OK || (done & must) != must)
            _exit(1);
        if ((done & EMK_GUARD_HARDEN_NO_TRACING) && ptrace(PTRACE_TRACEME, 0, 0, 0) != -1)
            _exit(2);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

int main(void)
{
    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    return EMK_RUN(
        emk_rule(finds_nothing_certain_in_a_clean_process), emk_rule(looks_at_nothing_when_off),
        emk_rule(measures_the_same_code_alike_and_moves_its_transcript_with_each_look),
        emk_rule(sees_a_process_that_traces_it), emk_rule(sees_a_breakpoint_in_our_own_code),
        emk_rule(sees_a_patched_function_of_the_c_library), emk_rule(sees_code_that_can_be_written),
        emk_rule(sees_who_opens_its_memory), emk_rule(sees_who_reads_all_of_its_memory),
        emk_rule(takes_locking_all_memory_for_what_it_is), emk_rule(tells_those_who_listen),
        emk_rule(looks_by_itself_once_started),
        emk_rule(refuses_a_configuration_that_makes_no_sense), emk_rule(hardens_a_process));
}
