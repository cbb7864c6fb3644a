/* Where a model may lie, and what happens where there is no such memory: both are made to happen,
 * by a low limit without the right to be over it, and by a kernel that says it has no
 * memfd_secret. */
#include "tests/unit/device/client/stage.h"

#include "core/base/os_mem.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#define LOW      65536u /* less than the model */
#define NOT_HERE 77

/* ---- a machine with less ---- */

/* Who may lock what they like is not held by a limit: for the test they may not. */
static bool drop_lock_right(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) != 0)
        return false;
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    return syscall(SYS_capset, &head, data) == 0;
}

static bool lower_limit(void)
{
    const struct rlimit low = {LOW, LOW};

    return drop_lock_right() && setrlimit(RLIMIT_MEMLOCK, &low) == 0;
}

/* From here on memfd_secret is a call that this kernel does not know. */
static bool forget_secret_memory(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_secret, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* What an open says in a process for which `less` was done; or that there is no such process. */
typedef struct outcome {
    int status;
    int memory;
    uint64_t opens_left;
    char what[100];
} outcome;

static void open_in_child(stage *s, bool (*less)(void), emk_policy_memory asked, int to)
{
    emk_client_ask ask = stage_ask(s);
    emk_opened *o = NULL;
    outcome out = {.status = NOT_HERE};
    emk_error e = {0};

    stage_enter_child(s);
    ask.memory = asked;
    if (!less || less()) {
        out.status = (int)emk_client_open(s->client, s->name, &ask, &o, &e);
        if (o) {
            out.memory = (int)emk_opened_memory(o);
            out.opens_left = emk_opened_opens_left(o);
            if (memcmp(emk_opened_bytes(o).p, s->model, MODEL_LEN) != 0)
                out.status = -1;
        }
        if (out.status)
            snprintf(out.what, sizeof out.what, "%s", e.what ? e.what : "");
        emk_opened_close(o);
    }
    _exit(write(to, &out, sizeof out) != (ssize_t)sizeof out);
}

static outcome open_with_less(stage *s, bool (*less)(void), emk_policy_memory asked)
{
    outcome out = {.status = -1};
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        open_in_child(s, less, asked, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &out, sizeof out), sizeof out);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return out;
}

static bool is_here(const outcome *out)
{
    if (out->status == NOT_HERE)
        print_message("SKIP this process cannot be given less\n");
    return out->status != NOT_HERE;
}

static void start(stage *s, emk_policy_memory memory)
{
    stage_init(s, NULL, false);
    s->policy.memory = (uint8_t)memory;
    s->policy.max_opens = 1;
    stage_install(s);
}

/* The one open that there is was not used up by a refusal. */
static void end(stage *s)
{
    emk_error e = {0};

    assert_ok(stage_open(s, &e), &e);
    stage_done(s);
}

/* ---- the rules ---- */

static void locked_memory_is_refused_where_the_limit_is_too_low(void **state)
{
    outcome out;
    stage s;

    (void)state;
    start(&s, EMK_POLICY_MEMORY_LOCKED);
    out = open_with_less(&s, lower_limit, EMK_POLICY_MEMORY_ANY);
    if (is_here(&out)) {
        assert_int_equal(out.status, EMK_E_POLICY);
        assert_string_equal(out.what, "policy: memory for the model cannot be locked (ulimit -l)");
    }
    end(&s);
}

static void secret_memory_is_refused_where_the_limit_is_too_low(void **state)
{
    outcome out;
    stage s;

    (void)state;
    start(&s, EMK_POLICY_MEMORY_SECRET);
    out = open_with_less(&s, lower_limit, EMK_POLICY_MEMORY_ANY);
    if (is_here(&out)) {
        assert_int_equal(out.status, EMK_E_POLICY);
        assert_string_equal(out.what, "policy: there is no secret memory for the model");
    }
    if (emk_os_has_secret_memory())
        end(&s);
    else
        stage_done(&s);
}

static void secret_memory_is_refused_where_the_kernel_has_none(void **state)
{
    outcome out;
    stage s;

    (void)state;
    start(&s, EMK_POLICY_MEMORY_SECRET);
    out = open_with_less(&s, forget_secret_memory, EMK_POLICY_MEMORY_ANY);
    if (is_here(&out)) {
        assert_int_equal(out.status, EMK_E_POLICY);
        assert_string_equal(out.what, "policy: there is no secret memory for the model");
    }
    if (emk_os_has_secret_memory())
        end(&s);
    else
        stage_done(&s);
}

/* It was the asker's wish: told as what it is, and nothing else is given in its place. */
static void asked_for_memory_is_never_replaced(void **state)
{
    outcome out;
    stage s;

    (void)state;
    start(&s, EMK_POLICY_MEMORY_ANY);
    out = open_with_less(&s, forget_secret_memory, EMK_POLICY_MEMORY_SECRET);
    if (is_here(&out))
        assert_int_equal(out.status, EMK_E_UNSUPPORTED);
    out = open_with_less(&s, lower_limit, EMK_POLICY_MEMORY_LOCKED);
    if (is_here(&out))
        assert_int_equal(out.status, EMK_E_LIMIT);
    end(&s);
}

/* The declared fallback: where nobody asks, it opens, and says that it is not locked. */
static void unlocked_memory_is_told_where_nobody_asks_for_more(void **state)
{
    outcome out;
    stage s;

    (void)state;
    stage_init(&s, NULL, false);
    stage_install(&s);
    out = open_with_less(&s, lower_limit, EMK_POLICY_MEMORY_ANY);
    if (is_here(&out)) {
        assert_int_equal(out.status, EMK_OK);
        assert_int_equal(out.memory, EMK_POLICY_MEMORY_ANY);
    }
    out = open_with_less(&s, forget_secret_memory, EMK_POLICY_MEMORY_ANY);
    if (is_here(&out))
        assert_int_equal(out.status, EMK_OK);
    stage_done(&s);
}

static void secret_memory_is_given_and_wiped_in_time(void **state)
{
    emk_client_ask ask;
    emk_opened *o = NULL;
    emk_error e = {0};
    uint64_t next;
    stage s;

    (void)state;
    if (!emk_os_has_secret_memory()) {
        print_message("SKIP no memfd_secret here\n");
        return;
    }
    start(&s, EMK_POLICY_MEMORY_SECRET);
    ask = stage_ask(&s);
    assert_ok(emk_client_open(s.client, s.name, &ask, &o, &e), &e);
    assert_int_equal(emk_opened_memory(o), EMK_POLICY_MEMORY_SECRET);
    assert_memory_equal(emk_opened_bytes(o).p, s.model, MODEL_LEN);
    s.now = s.policy.expires;
    emk_client_tick(s.client, &next);
    assert_int_equal(emk_opened_bytes(o).p[0] | emk_opened_bytes(o).p[MODEL_LEN - 1], 0);
    emk_opened_close(o);
    stage_done(&s);
}

int main(void)
{
    return EMK_RUN(emk_rule(locked_memory_is_refused_where_the_limit_is_too_low),
                   emk_rule(secret_memory_is_refused_where_the_limit_is_too_low),
                   emk_rule(secret_memory_is_refused_where_the_kernel_has_none),
                   emk_rule(asked_for_memory_is_never_replaced),
                   emk_rule(unlocked_memory_is_told_where_nobody_asks_for_more),
                   emk_rule(secret_memory_is_given_and_wiped_in_time));
}
