#include "server/daemon/config.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

#define HEAD "server: {origin: 'https://a.example', data: /d}\nkeys: {dir: /k}\n"

static void takes_defaults_for_what_is_not_said(void **state)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_config c;

    (void)state;
    assert_ok(emk_config_parse("f", emk_span_str(HEAD), &c, &d, &e), &e);
    assert_string_equal(c.listen, "127.0.0.1:8440");
    assert_string_equal(c.audit_origin, "a.example/earmark");
    assert_int_equal(c.threads, 2);
    assert_int_equal(c.certificate_s, 86400);
    assert_int_equal(c.audit_checkpoint_ms, 1000);
    assert_int_equal(c.least_rate, 16384);
    assert_true(c.sandbox);
    assert_false(c.attestation_none);
    emk_config_done(&c);
}

static void reads_lists(void **state)
{
    static const char text[] = HEAD
        "proxies: {trusted: [10.0.0.0/8, 'fd00::/8'], field: x-forwarded-for}\n"
        "tokens:\n  issuers:\n    - {issuer: 'https://i', audience: a, tenant: t, jwks_file: /j}\n"
        "limits:\n  rates:\n    - {name: n, by: net, unit: cost, quota: 5, window: 1m, burst: 9,"
        " class: 3, shadow: true, route: makeChallenge}\n"
        "  concurrency:\n    - {name: g, by: user, max: 1, life: 5m}\n";
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_config c;

    (void)state;
    assert_ok(emk_config_parse("f", emk_span_str(text), &c, &d, &e), &e);
    assert_int_equal(c.n_proxies, 2);
    assert_int_equal(c.proxies_field, EMK_FORWARDED_X_FORWARDED_FOR);
    assert_string_equal(c.issuers[0].jwks_file, "/j");
    assert_int_equal(c.limits[0].by, EMK_LIMIT_BY_NET);
    assert_int_equal(c.limits[0].unit, EMK_LIMIT_COST);
    assert_int_equal(c.limits[0].window_s, 60);
    assert_int_equal(c.limits[0].limit_class, 3);
    assert_true(c.limits[0].shadow);
    assert_int_equal(c.concurrency[0].life_s, 300);
    emk_config_done(&c);
}

static void refuses(const char *text, const char *place, const char *says)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_config c;

    assert_int_not_equal(emk_config_parse("f", emk_span_str(text), &c, &d, &e), EMK_OK);
    if (!strstr(d.text, place) || !strstr(d.text, says))
        fail_msg("\"%s\" has not \"%s\" and \"%s\"", d.text, place, says);
}

static void complaints_name_place_and_fix(void **state)
{
    (void)state;
    refuses("server: {origin: 'https://a', data: /d}\n", "f:1:1", "keys.dir is missing");
    refuses(HEAD "htp: {threads: 2}\n", "f:3:1", "did you mean \"http\"");
    refuses(HEAD "http: {thread: 2}\n", "f:3:8", "did you mean \"threads\"");
    refuses(HEAD "http: {threads: 17}\n", "f:3:17", "between 1 and 16");
    refuses(HEAD "http: {threads: two}\n", "f:3:17", "");
    refuses(HEAD "http: {head_timeout: 500ms}\n", "f:3:22", "whole seconds");
    refuses(HEAD "http: {head_timeout: 1h}\n", "f:3:22", "between 1s and 10m");
    refuses(HEAD "http: {least_rate: 1}\n", "f:3:20", "between 256 and 1GiB");
    refuses(HEAD "http: {workers: 4, streams: 4}\n", "f:3:7", "below http.workers");
    refuses(HEAD "places: {hosting_asns: /h}\n", "f:3:9", "needs places.asn");
    refuses(HEAD "places: {stale: 1000d, city: [/c]}\n", "f:3:30", "");
    refuses(HEAD "api: {attestation_none: yes}\n", "f:3:25", "");
    refuses(HEAD "keys2: {}\n", "f:3:1", "");
    refuses(HEAD "tls: {certificate: /c}\n", "f:1:1", "come together");
    refuses(HEAD "tls: {client_ca: /a}\n", "f:1:1", "client_ca needs");
    refuses(HEAD "tls: {certificate: /c, key: /k, client_required: both}\n", "f:1:1",
            "client_required needs");
    refuses(HEAD "proxies: {trusted: [10.0.0.1/8]}\n", "f:3:21", "not a network");
    refuses(HEAD "proxies: {trusted: [10.0.0.0/8]}\n", "f:3:10", "proxies.field");
    refuses(HEAD "tokens: {issuers: [{issuer: a, audience: b, tenant: c}]}\n", "f:3:20",
            "jwks_file");
    refuses(HEAD "tokens: {issuers: [{issuer: a, audience: b, tenant: c, jwks_file: d},"
                 " {issuer: e, audience: b, tenant: c, jwks_file: d}]}\n",
            "f:3:71", "tenant of its own");
    refuses(HEAD "limits: {rates: [{name: a, by: moon, unit: cost, quota: 1, window: 1s}]}\n",
            "f:3:32", "");
    refuses(HEAD "limits: {rates: [{name: a, by: net, unit: cost, quota: 1, window: 1ms}]}\n",
            "f:3:67", "window");
    refuses("server: {origin: 'ftp://a', data: /d}\nkeys: {dir: /k}\n", "f:1:9", "https://");
    refuses("server: {origin: 'https://a', data: /d}\nkeys: {dir: /k, issuer: pkcs11}\n", "f:2:7",
            "keys.module");
    refuses("[]", "f:1:1", "");
}

static void what_is_printed_reads_back(void **state)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_config c, again;
    emk_buf first, second;

    (void)state;
    emk_buf_init(&first, 65536);
    emk_buf_init(&second, 65536);
    assert_ok(emk_config_parse("f", emk_span_str(HEAD), &c, &d, &e), &e);
    assert_ok(emk_config_print(&c, &first, &e), &e);
    assert_ok(emk_config_parse("f", emk_buf_span(&first), &again, &d, &e), &e);
    assert_ok(emk_config_print(&again, &second, &e), &e);
    assert_bytes(emk_buf_span(&second), emk_buf_span(&first));
    emk_config_done(&c);
    emk_config_done(&again);
    emk_buf_done(&first);
    emk_buf_done(&second);
}

typedef struct names {
    char text[1000];
} names;

static void add_name(void *self, const char *name)
{
    names *n = self;
    size_t len = strlen(n->text);

    snprintf(n->text + len, sizeof n->text - len, "%s%s", len ? " " : "", name);
}

/* What a reload of `after` over `before` cannot take over. */
static void waits(const char *before, const char *after, const char *want)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_config was, is;
    names n = {{0}};

    assert_ok(emk_config_parse("f", emk_span_str(before), &was, &d, &e), &e);
    assert_ok(emk_config_parse("f", emk_span_str(after), &is, &d, &e), &e);
    assert_ok(emk_config_waiting(&was, &is, add_name, &n, &e), &e);
    assert_string_equal(n.text, want);
    emk_config_done(&was);
    emk_config_done(&is);
}

#define LIMIT(quota)                                                                        \
    "limits: {rates: [{name: a, by: all, unit: requests, quota: 1, window: 1s}, {name: b, " \
    "by: user, unit: cost, quota: " quota ", window: 1s}]}\n"
#define HOOKS(name, source)                                                                  \
    "webhooks:\n  targets: [{name: " name ", url: 'https://a.example/', secret_file: /s}]\n" \
    "  sources: [{name: " source ", secret_file: /s, tenant: t}]\n"

static void what_a_reload_cannot_take_over_is_named(void **state)
{
    (void)state;
    waits(HEAD, HEAD, "");
    waits(HEAD, HEAD "http: {workers: 32, least_rate: 16384}\n", ""); /* the defaults, said */
    waits(HEAD, HEAD "http: {workers: 33, threads: 1}\napi: {attestation_none: true}\n",
          "http.threads http.workers api.attestation_none");
    waits(HEAD LIMIT("5"), HEAD LIMIT("6"), "limits.rates");
    waits(HEAD LIMIT("5"), HEAD, "limits.rates");
    waits(HEAD, HEAD "firewall: {file: /f}\n",
          "firewall.file"); /* another file, not another text */
    waits(HEAD "attestation: {stale: warn}\n", HEAD "attestation: {stale: refuse}\n",
          "attestation.stale");
    waits(HEAD "proxies: {trusted: [10.0.0.0/8], field: x-forwarded-for}\n",
          HEAD "proxies: {trusted: [10.0.0.0/9], field: forwarded}\n",
          "proxies.trusted proxies.field");
    waits(HEAD HOOKS("a", "x"), HEAD HOOKS("b", "y") "  queue: 5\n", "webhooks.queue");
}

int main(void)
{
    return EMK_RUN(emk_rule(takes_defaults_for_what_is_not_said), emk_rule(reads_lists),
                   emk_rule(complaints_name_place_and_fix), emk_rule(what_is_printed_reads_back),
                   emk_rule(what_a_reload_cannot_take_over_is_named));
}
