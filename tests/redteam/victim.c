/* What the red team attacks: an app that holds a model of known content, with the guard's ear at
 * it.  It prints what happens as lines of JSON, with the times of the machine's steady clock.
 *
 *   victim --device DIR --issuer HEX [--accept TICKET SEALED] [--level 0..3] [--seconds N]
 *          [--tensors] [--window] [--development] [--plugin FILE] [--allow NAME] [--no-harden]
 * [--no-model]
 *          [--before]
 *
 * --window: reads through a window of WINDOW bytes, rows of many tensors at a time.
 * --before: waits for a line on stdin before it opens.  --no-model: opens nothing, for looking
 * for false alarms.  Exit codes: 0 it opened (or there was nothing to open), 3 refused. */
#include <dlfcn.h>
#include <earmark/client.h>
#include <earmark/guard.h>
#include <earmark/keystore_soft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REFUSED     3
#define SEALED_MAX  (256u << 20)
#define POLL_NS     2000000
#define ALLOWED_MAX 8
#define WINDOW      (128u * 1024)
#define IN_USE      4

typedef struct victim {
    const char *device, *ticket, *sealed, *plugin;
    const char *allowed[ALLOWED_MAX];
    size_t n_allowed;
    uint8_t issuer[65];
    size_t issuer_len;
    int level, seconds;
    bool tensors, window, development, no_harden, no_model, before;
    emk_crypto *crypto;
    emk_keystore keystore;
    emk_client *client;
    emk_guard *guard;
    uint8_t said[EMK_GUARD_SIGNALS]; /* the confidence that was printed */
} victim;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say_error(const char *event, const emk_error *e)
{
    printf("{\"t\": %.6f, \"event\": \"%s\", \"status\": \"%s\", \"what\": \"%s\"}\n", now(), event,
           emk_status_name(e->status), e->what);
    fflush(stdout);
}

static void need(emk_status st, const emk_error *e)
{
    if (st == EMK_OK)
        return;
    say_error("failed", e);
    exit((int)st);
}

/* Called by the guard after each look that saw something. */
static void say_findings(void *self)
{
    victim *v = self;
    emk_guard_report r;

    emk_guard_report_get(v->guard, &r);
    for (uint32_t i = 0; i < r.n_findings; i++) {
        const emk_guard_finding *f = &r.findings[i];

        if (v->said[f->signal] >= (uint8_t)f->confidence)
            continue;
        v->said[f->signal] = (uint8_t)f->confidence;
        printf("{\"t\": %.6f, \"event\": \"finding\", \"signal\": \"%s\", \"confidence\": %d, "
               "\"action\": %d, \"detail\": \"%s\"}\n",
               now(), emk_guard_signal_about(f->signal)->name, (int)f->confidence, (int)r.action,
               f->detail);
    }
    fflush(stdout);
}

static void start_guard(victim *v)
{
    emk_guard_config config = {.crypto = v->crypto,
                               .level = (emk_guard_level)v->level,
                               .development = v->development,
                               .allowed = v->allowed,
                               .n_allowed = v->n_allowed};
    emk_error e = {0};
    unsigned done = 0;

    need(emk_guard_new(&config, &v->guard, &e), &e);
    need(emk_guard_tell(v->guard, say_findings, v, &e), &e);
    say_findings(v);
    if (!v->no_harden && v->level >= EMK_GUARD_CAREFUL)
        need(emk_guard_harden(EMK_GUARD_HARDEN_ALL, &done, &e), &e);
    need(emk_guard_start(v->guard, &e), &e);
    printf("{\"t\": %.6f, \"event\": \"guard\", \"hardened\": %u}\n", now(), done);
    fflush(stdout);
}

static void make_client(victim *v)
{
    char keys[4096], vault[4096];
    emk_span issuer = emk_span_of(v->issuer, v->issuer_len);
    emk_client_config config = {.keystore = &v->keystore,
                                .vault = vault,
                                .issuers = &issuer,
                                .n_issuers = 1,
                                .watchdog = true,
                                .guard = EMK_GUARD_STRICT,
                                .watcher = v->level ? v->guard : NULL};
    emk_error e = {0};

    config.crypto = v->crypto;
    snprintf(keys, sizeof keys, "%s/keys", v->device);
    snprintf(vault, sizeof vault, "%s/vault", v->device);
    need(emk_keystore_soft_open(v->crypto, keys, (emk_span){NULL, 0}, &v->keystore, &e), &e);
    need(emk_client_new(&config, &v->client, &e), &e);
}

/* The whole file; the caller frees. */
static emk_span read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(SEALED_MAX);
    size_t n = f && p ? fread(p, 1, SEALED_MAX, f) : 0;

    if (f)
        fclose(f);
    return emk_span_of(p, n);
}

static int refuse(const emk_error *e)
{
    say_error("refused", e);
    return REFUSED;
}

static int accept_model(victim *v)
{
    emk_span ticket = read_file(v->ticket), sealed = read_file(v->sealed);
    emk_source source = emk_source_from_span(sealed);
    emk_client_delivery in = {.ticket = ticket, .sealed = &source, .threads = 1};
    emk_client_accepted out;
    emk_error e = {0};
    emk_status st = emk_client_accept(v->client, &in, &out, NULL, &e);

    free((void *)(uintptr_t)ticket.p);
    free((void *)(uintptr_t)sealed.p);
    if (st != EMK_OK)
        return refuse(&e);
    printf("{\"t\": %.6f, \"event\": \"accepted\"}\n", now());
    return 0;
}

static void wait_a_little(void)
{
    const struct timespec pause = {0, POLL_NS};

    nanosleep(&pause, NULL);
}

/* Holds the model as an engine does, until the time is over. */
static int hold(victim *v)
{
    const emk_client_ask ask = {.user = emk_span_str("alice"), .threads = 1};
    emk_opened *o = NULL;
    emk_error e = {0};
    bool said = false;
    double end;

    if (emk_client_open(v->client, "target", &ask, &o, &e) != EMK_OK)
        return refuse(&e);
    printf("{\"t\": %.6f, \"event\": \"opened\", \"pid\": %d, \"address\": %llu, \"length\": %zu, "
           "\"memory\": %d}\n",
           now(), (int)getpid(), (unsigned long long)(uintptr_t)emk_opened_bytes(o).p,
           emk_opened_bytes(o).len, (int)emk_opened_memory(o));
    fflush(stdout);
    end = now() + v->seconds;
    while (now() < end) {
        wait_a_little();
        if (!said && emk_opened_is_wiped(o)) {
            printf("{\"t\": %.6f, \"event\": \"wiped\"}\n", now());
            fflush(stdout);
            said = true;
        }
    }
    emk_opened_close(o);
    return 0;
}

static emk_status read_one(void *self, const emk_client_tensor *tensor, emk_error *e)
{
    emk_span bytes;

    return emk_tensors_read(self, tensor->name, &bytes, e);
}

/* Tensor by tensor, again and again: at most one is in the clear. */
static int hold_tensors(victim *v)
{
    const emk_client_ask ask = {.user = emk_span_str("alice"), .threads = 1};
    emk_tensors *t = NULL;
    emk_error e = {0};
    double end;

    if (emk_client_open_tensors(v->client, "target", &ask, &t, &e) != EMK_OK)
        return refuse(&e);
    printf("{\"t\": %.6f, \"event\": \"opened\", \"pid\": %d, \"address\": 0, \"length\": 0}\n",
           now(), (int)getpid());
    fflush(stdout);
    end = now() + v->seconds;
    while (now() < end) {
        if (emk_tensors_each(t, read_one, t, &e) != EMK_OK) {
            say_error("wiped", &e);
            break;
        }
    }
    emk_tensors_close(t);
    return 0;
}

/* Takes pieces one after the other, a few in use at a time, as an engine that multiplies row by
 * row. */
static emk_status read_through(emk_window *w, emk_span held[IN_USE], emk_error *e)
{
    emk_window_part part = {{NULL, 0}, 0, WINDOW / IN_USE};
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK; i = (i + 1) % IN_USE, part.off += part.len) {
        emk_window_give(w, held[i]);
        held[i] = (emk_span){NULL, 0};
        st = emk_window_take_part(w, &part, &held[i], e);
    }
    return st == EMK_E_USAGE ? EMK_OK : st; /* the end */
}

static int hold_window(victim *v)
{
    const emk_client_ask ask = {.user = emk_span_str("alice"), .threads = 1};
    emk_span held[IN_USE] = {{NULL, 0}};
    emk_window *w = NULL;
    emk_error e = {0};
    double end;

    if (emk_client_open_window(v->client, "target", &ask, WINDOW, &w, &e) != EMK_OK)
        return refuse(&e);
    printf("{\"t\": %.6f, \"event\": \"opened\", \"pid\": %d, \"address\": 0, \"length\": 0}\n",
           now(), (int)getpid());
    fflush(stdout);
    end = now() + v->seconds;
    while (now() < end) {
        if (read_through(w, held, &e) != EMK_OK) {
            say_error("wiped", &e);
            break;
        }
    }
    emk_window_close(w);
    return 0;
}

static void read_hex(victim *v, const char *hex)
{
    v->issuer_len = strlen(hex) / 2;
    if (v->issuer_len > sizeof v->issuer)
        v->issuer_len = 0;
    for (size_t i = 0; i < v->issuer_len; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

        v->issuer[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static bool flag(victim *v, const char *name)
{
    const struct {
        const char *name;
        bool *to;
    } flags[] = {{"--tensors", &v->tensors},         {"--window", &v->window},
                 {"--development", &v->development}, {"--no-harden", &v->no_harden},
                 {"--no-model", &v->no_model},       {"--before", &v->before}};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(name, flags[i].name) == 0)
            return *flags[i].to = true;
    }
    return false;
}

static void read_options(victim *v, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (flag(v, argv[i]) || i + 1 >= argc)
            continue;
        if (strcmp(argv[i], "--device") == 0)
            v->device = argv[++i];
        else if (strcmp(argv[i], "--issuer") == 0)
            read_hex(v, argv[++i]);
        else if (strcmp(argv[i], "--level") == 0)
            v->level = atoi(argv[++i]);
        else if (strcmp(argv[i], "--seconds") == 0)
            v->seconds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--plugin") == 0)
            v->plugin = argv[++i];
        else if (strcmp(argv[i], "--allow") == 0 && v->n_allowed < ALLOWED_MAX)
            v->allowed[v->n_allowed++] = argv[++i];
        else if (strcmp(argv[i], "--accept") == 0 && i + 2 < argc) {
            v->ticket = argv[++i];
            v->sealed = argv[++i];
        }
    }
}

static int run(victim *v)
{
    int code = 0;

    if (v->no_model) {
        sleep((unsigned)v->seconds);
        return 0;
    }
    make_client(v);
    if (v->before)
        (void)!getchar();
    if (v->ticket)
        code = accept_model(v);
    if (code == 0 && v->seconds > 0)
        code = v->window ? hold_window(v) : v->tensors ? hold_tensors(v) : hold(v);
    return code;
}

int main(int argc, char **argv)
{
    static victim v = {.seconds = 10, .level = EMK_GUARD_STRICT};
    emk_error e = {0};
    int code, action;

    read_options(&v, argc, argv);
    need(emk_crypto_new(NULL, NULL, &v.crypto, &e), &e);
    if (v.plugin && !dlopen(v.plugin, RTLD_NOW))
        fprintf(stderr, "victim: %s\n", dlerror());
    start_guard(&v);
    code = run(&v);
    action = (int)emk_guard_judge(v.guard, EMK_GUARD_OFF);
    emk_client_free(v.client);
    emk_guard_free(v.guard);
    emk_keystore_close(&v.keystore);
    emk_crypto_free(v.crypto);
    printf("{\"t\": %.6f, \"event\": \"end\", \"code\": %d, \"action\": %d}\n", now(), code,
           action);
    return code;
}
