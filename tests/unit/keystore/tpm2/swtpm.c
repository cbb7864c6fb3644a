#include "tests/unit/keystore/tpm2/swtpm.h"

#include "core/base/bytes.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int dial(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    bool ok;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void run(const swtpm *t)
{
    char state[300], server[100], ctrl[100];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no TPM behind */
    snprintf(state, sizeof state, "dir=%s", t->dir);
    snprintf(server, sizeof server, "type=tcp,bindaddr=127.0.0.1,port=%u", t->port);
    snprintf(ctrl, sizeof ctrl, "type=tcp,bindaddr=127.0.0.1,port=%u", t->port + 1u);
    dup2(null, 1);
    dup2(null, 2);
    execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl",
           ctrl, "--flags", "not-need-init,startup-clear", (char *)NULL);
    _exit(127);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

/* False when it ended at once: it is not there, or somebody was faster with the port. */
static bool launch(swtpm *t)
{
    t->pid = fork();
    if (t->pid == 0)
        run(t);
    assert_true(t->pid > 0);
    for (int i = 0; i < 250; i++) {
        int fd = dial(t->port), status;

        if (fd >= 0) {
            close(fd);
            return true;
        }
        if (waitpid(t->pid, &status, WNOHANG) == t->pid)
            return false;
        nap();
    }
    swtpm_stop(t);
    return false;
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Makes the endorsement keys and their certificates, as the factory would. */
static bool manufacture(const swtpm *t)
{
    char text[1500];

    snprintf(text, sizeof text,
             "create_certs_tool=swtpm_localca\ncreate_certs_tool_config=%s/localca.conf\n"
             "create_certs_tool_options=%s/localca.options\n",
             t->ca, t->ca);
    write_text(t->ca, "setup.conf", text);
    snprintf(text, sizeof text,
             "statedir = %s\nsigningkey = %s/signkey.pem\nissuercert = %s/issuercert.pem\n"
             "certserial = %s/certserial\n",
             t->ca, t->ca, t->ca, t->ca);
    write_text(t->ca, "localca.conf", text);
    write_text(t->ca, "localca.options", "");
    snprintf(text, sizeof text,
             "swtpm_setup --tpm2 --tpm-state '%s' --create-ek-cert --rsa-keysize %u "
             "--config '%s/setup.conf' >'%s/setup.log' 2>&1",
             t->dir, t->rsa_bits, t->ca, t->ca);
    return system(text) == 0;
}

static bool start(swtpm *t)
{
    t->dir = emk_test_dir_make();
    if (t->ca && !manufacture(t)) {
        emk_test_dir_remove(t->dir);
        printf("SKIP swtpm_setup makes no certificate\n");
        return false;
    }
    for (unsigned i = 0; i < 50; i++) {
        t->port = (uint16_t)(20000 + ((unsigned)getpid() * 2 + i * 514) % 12000);
        if (is_free(t->port) && is_free((uint16_t)(t->port + 1)) && launch(t)) {
            snprintf(t->tcti, sizeof t->tcti, "swtpm:host=127.0.0.1,port=%u", t->port);
            return true;
        }
    }
    emk_test_dir_remove(t->dir);
    printf("SKIP swtpm does not start\n");
    return false;
}

bool swtpm_start(swtpm *t)
{
    if (system("command -v swtpm >/dev/null") != 0) {
        printf("SKIP swtpm is not here\n");
        return false;
    }
    memset(t, 0, sizeof *t);
    return start(t);
}

bool swtpm_start_certified(swtpm *t, const char *ca, unsigned rsa_bits)
{
    if (system("command -v swtpm swtpm_setup swtpm_localca >/dev/null") != 0) {
        printf("SKIP swtpm-tools are not here\n");
        return false;
    }
    memset(t, 0, sizeof *t);
    t->ca = ca;
    t->rsa_bits = rsa_bits;
    return start(t);
}

void swtpm_stop(swtpm *t)
{
    int status;

    if (t->pid <= 0)
        return;
    kill(t->pid, SIGTERM);
    waitpid(t->pid, &status, 0);
    t->pid = 0;
}

void swtpm_restart(swtpm *t)
{
    swtpm_stop(t);
    for (int i = 0; i < 50; i++) {
        if (launch(t))
            return;
        nap();
    }
    fail();
}

void swtpm_end(swtpm *t)
{
    swtpm_stop(t);
    emk_test_dir_remove(t->dir);
}

/* Sends a command on one or two handles with an empty password as its authorisation. */
static void command_on(const swtpm *t, uint32_t code, const uint32_t *handles, size_t n,
                       emk_span params)
{
    static const uint8_t password[] = {0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0};
    uint8_t out[256], in[256];
    size_t head = 10 + 4 * n, len = head + sizeof password + params.len;
    int fd = dial(t->port);

    assert_true(fd >= 0);
    emk_store_u16be(out, 0x8002);
    emk_store_u32be(out + 2, (uint32_t)len);
    emk_store_u32be(out + 6, code);
    for (size_t i = 0; i < n; i++)
        emk_store_u32be(out + 10 + 4 * i, handles[i]);
    memcpy(out + head, password, sizeof password);
    memcpy(out + head + sizeof password, params.p, params.len);
    assert_int_equal(write(fd, out, len), len);
    assert_true(read(fd, in, sizeof in) >= 10);
    close(fd);
    assert_int_equal(emk_load_u32be(in + 6), 0);
}

static void command(const swtpm *t, uint32_t code, uint32_t handle, emk_span params)
{
    command_on(t, code, &handle, 1, params);
}

void swtpm_clear(const swtpm *t)
{
    command(t, 0x126, 0x4000000A, emk_span_str(""));
}

void swtpm_extend(const swtpm *t, uint8_t pcr, uint8_t byte)
{
    uint8_t params[38] = {0, 0, 0, 1, 0x00, 0x0B};

    memset(params + 6, byte, 32);
    command(t, 0x182, pcr, emk_span_of(params, sizeof params));
}

void swtpm_unlock(const swtpm *t)
{
    command(t, 0x139, 0x4000000A, emk_span_str(""));
}

void swtpm_undefine(const swtpm *t, uint32_t index)
{
    const uint32_t handles[] = {0x4000000C, index};

    command_on(t, 0x122, handles, 2, emk_span_str(""));
}
