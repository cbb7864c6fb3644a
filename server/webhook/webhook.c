#include "server/webhook/webhook.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/codec/base64.h"
#include "core/crypto/kdf.h"
#include "server/gate/address.h"
#include "server/gate/structured.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECRET_PREFIX  "whsec_"
#define VERSION_PREFIX "v1,"
#define MAC_CHARS      44u /* base64 of 32 bytes */
#define SIGNED_CAP     (EMK_WEBHOOK_ID_MAX + 24u)
#define GROWTH         3u

const char *const EMK_WEBHOOK_KIND_NAME[EMK_WEBHOOK_KINDS + 1] = {
    "decision.deny",     "decision.ban",   "fraud.breaker", "rule.demoted", "rules.promoted",
    "campaign.proposed", "device.revoked", "test",          "fraud.case",   NULL};

/* ---- keys ---- */

static bool begins_with(emk_span s, const char *prefix)
{
    return s.len >= strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

static emk_span skip(emk_span s, size_t n)
{
    return emk_span_of(s.p + n, s.len - n);
}

/* What is before the first `end`, and *rest behind it. */
static emk_span cut(emk_span *rest, char end)
{
    const uint8_t *at = rest->len ? memchr(rest->p, end, rest->len) : NULL;
    size_t n = at ? (size_t)(at - rest->p) : rest->len;
    emk_span first = emk_span_of(rest->p, n);

    *rest = skip(*rest, n + (at != NULL));
    return first;
}

static emk_status read_key(emk_span line, emk_secret **out, emk_error *e)
{
    uint8_t raw[EMK_WEBHOOK_KEY_MAX];
    size_t len = 0;
    emk_status st;

    if (!begins_with(line, SECRET_PREFIX))
        return emk_fail(e, EMK_E_FORMAT, "webhook: a key is a line whsec_<base64>", 0);
    st = emk_base64_decode(skip(line, strlen(SECRET_PREFIX)), raw, sizeof raw, &len, e);
    if (st == EMK_OK && len < EMK_WEBHOOK_KEY_MIN)
        st = EMK_E_LIMIT;
    if (st != EMK_OK)
        st = emk_fail(e, EMK_E_FORMAT, "webhook: a key is base64 of 24 to 64 bytes", len);
    else
        st = emk_secret_new(len, out, e);
    if (st == EMK_OK)
        memcpy(emk_secret_bytes(*out), raw, len);
    emk_wipe(raw, sizeof raw);
    return st;
}

emk_status emk_webhook_keys_read(emk_span text, emk_webhook_keys *out, emk_error *e)
{
    emk_webhook_keys keys = {.n = 0};
    emk_status st = EMK_OK;

    while (st == EMK_OK && text.len > 0) {
        emk_span line = cut(&text, '\n');

        if (line.len > 0 && line.p[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            continue;
        if (keys.n == EMK_WEBHOOK_KEYS_MAX)
            st = emk_fail(e, EMK_E_FORMAT, "webhook: at most two keys", keys.n);
        else
            st = read_key(line, &keys.key[keys.n], e);
        keys.n += st == EMK_OK;
    }
    if (st == EMK_OK && keys.n == 0)
        st = emk_fail(e, EMK_E_FORMAT, "webhook: no key in the file", 0);
    if (st != EMK_OK) {
        emk_webhook_keys_done(&keys);
        return st;
    }
    *out = keys;
    return EMK_OK;
}

emk_status emk_webhook_keys_load(const char *path, emk_webhook_keys *out, emk_error *e)
{
    emk_secret *text = NULL;
    emk_status st = emk_os_read_secret(path, EMK_WEBHOOK_FILE_MAX, &text, e);

    if (st == EMK_OK)
        st = emk_webhook_keys_read(emk_secret_span(text), out, e);
    emk_secret_free(text);
    return st;
}

void emk_webhook_keys_done(emk_webhook_keys *k)
{
    for (size_t i = 0; i < k->n; i++)
        emk_secret_free(k->key[i]);
    *k = (emk_webhook_keys){.n = 0};
}

/* ---- signatures ---- */

/* "<id>.<seconds>." goes before the body: neither can be changed alone. */
static emk_status mac_of(const emk_crypto *c, const emk_secret *key, const emk_webhook_message *m,
                         uint8_t mac[EMK_HMAC_LEN], emk_error *e)
{
    char head[SIGNED_CAP];
    int n = snprintf(head, sizeof head, "%.*s.%" PRIu64 ".", (int)m->id.len, (const char *)m->id.p,
                     m->time_s);
    emk_span parts[2] = {emk_span_of(head, n > 0 ? (size_t)n : 0), m->body};

    return emk_hmac_sha256(c, emk_secret_span(key), parts, 2, mac, e);
}

/* An id is what a header line and a signed text can hold: no dots, so that it ends where it ends.
 */
static emk_status check_id(emk_span id, emk_error *e)
{
    if (id.len == 0 || id.len > EMK_WEBHOOK_ID_MAX)
        return emk_fail(e, EMK_E_FORMAT, "webhook: the id has 1 to 64 characters", id.len);
    for (size_t i = 0; i < id.len; i++)
        if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '.' || id.p[i] == '"' ||
            id.p[i] == '\\' || id.p[i] == ',')
            return emk_fail(e, EMK_E_FORMAT, "webhook: character in the id", i);
    return EMK_OK;
}

emk_status emk_webhook_sign(const emk_crypto *c, const emk_webhook_keys *keys,
                            const emk_webhook_message *m, char out[EMK_WEBHOOK_SIGNATURE_CAP],
                            emk_error *e)
{
    char text[EMK_WEBHOOK_SIGNATURE_CAP];
    size_t len = 0;
    emk_status st = check_id(m->id, e);

    for (size_t i = 0; st == EMK_OK && i < keys->n; i++) {
        uint8_t mac[EMK_HMAC_LEN];
        char quoted[MAC_CHARS + 3]; /* ":…:" as the gate writes it */

        st = mac_of(c, keys->key[i], m, mac, e);
        if (st == EMK_OK)
            st = emk_sf_bytes_write(emk_span_of(mac, sizeof mac), quoted, sizeof quoted, e);
        if (st == EMK_OK)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s" VERSION_PREFIX "%.*s",
                                    i ? " " : "", (int)MAC_CHARS, quoted + 1);
    }
    if (st == EMK_OK)
        memcpy(out, text, len + 1);
    return st;
}

/* Whether one of the texts is this MAC; every text of the right form is compared in full. */
static bool is_among(const uint8_t mac[EMK_HMAC_LEN], emk_span signatures)
{
    bool found = false;

    while (signatures.len > 0) {
        emk_span one = cut(&signatures, ' ');
        uint8_t theirs[EMK_HMAC_LEN];
        size_t len = 0;
        emk_error ignored;

        if (!begins_with(one, VERSION_PREFIX) ||
            emk_base64_decode(skip(one, strlen(VERSION_PREFIX)), theirs, sizeof theirs, &len,
                              &ignored) != EMK_OK ||
            len != sizeof theirs)
            continue;
        found |= emk_ct_equal(mac, theirs, sizeof theirs);
    }
    return found;
}

emk_status emk_webhook_verify(const emk_crypto *c, const emk_webhook_keys *keys,
                              const emk_webhook_message *m, emk_span signatures, uint64_t now_s,
                              emk_error *e)
{
    bool good = false;
    emk_status st = check_id(m->id, e);

    for (size_t i = 0; st == EMK_OK && i < keys->n; i++) {
        uint8_t mac[EMK_HMAC_LEN];

        st = mac_of(c, keys->key[i], m, mac, e);
        good |= st == EMK_OK && is_among(mac, signatures);
    }
    if (st == EMK_OK && !good)
        return emk_fail(e, EMK_E_SIGNATURE, "webhook: signature", 0);
    if (st == EMK_OK && (m->time_s + EMK_WEBHOOK_TOLERANCE_S < now_s ||
                         m->time_s > now_s + EMK_WEBHOOK_TOLERANCE_S))
        return emk_fail(e, EMK_E_STALE, "webhook: sent too long ago, or in the future", m->time_s);
    return st;
}

/* ---- after a failure ---- */

uint64_t emk_webhook_pause_ms(uint64_t base_ms, unsigned tries, uint64_t asked_s, uint32_t random)
{
    uint64_t ms = base_ms, asked;

    for (unsigned i = 1; i < tries && ms < EMK_WEBHOOK_PAUSE_MAX_MS; i++)
        ms *= GROWTH;
    if (ms > EMK_WEBHOOK_PAUSE_MAX_MS)
        ms = EMK_WEBHOOK_PAUSE_MAX_MS;
    ms = ms / 2 + random % (ms / 2 + 1);
    asked = asked_s < EMK_WEBHOOK_PAUSE_MAX_MS / 1000 ? asked_s * 1000 : EMK_WEBHOOK_PAUSE_MAX_MS;
    return asked > ms ? asked : ms;
}

/* ---- where to ---- */

/* The host of an URL, without brackets and port. */
static emk_span host_of(const char *url)
{
    const char *at = strstr(url, "://");
    const char *from = at ? at + 3 : url;
    size_t n = strcspn(from, "/?#");
    const char *close = *from == '[' ? memchr(from, ']', n) : NULL;

    if (close)
        return emk_span_of(from + 1, (size_t)(close - from) - 1);
    return emk_span_of(from, strcspn(from, ":/?#"));
}

static bool is_this_machine(emk_span host)
{
    return emk_span_equal(host, emk_span_str("localhost")) ||
           emk_span_equal(host, emk_span_str("127.0.0.1")) ||
           emk_span_equal(host, emk_span_str("::1"));
}

const char *emk_webhook_url_check(const char *url, unsigned allow)
{
    bool tls = strncmp(url, "https://", 8) == 0, plain = strncmp(url, "http://", 7) == 0;
    emk_span host = host_of(url);

    if (!tls && !plain)
        return "the URL begins with https://";
    if (host.len == 0)
        return "the URL names no host";
    if (strlen(url) >= EMK_WEBHOOK_URL_CAP)
        return "the URL has 1023 characters at most";
    if (strpbrk(url, "@#\\ \t\r\n\""))
        return "the URL has no user, password, fragment or spaces";
    if (plain && !(allow & EMK_WEBHOOK_PLAIN) && !is_this_machine(host))
        return "http goes to this machine only (127.0.0.1, [::1], localhost); use https";
    return NULL;
}

/* This machine; connecting to the unspecified address ends here too.  [RFC 6890] */
static const char *const OWN[] = {"127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"};
/* Where no receiver is: link-local, multicast, reserved, and forms that stand for another address,
 * which could be any.  [RFC 6890] [RFC 4291 2.5.5] [RFC 5771] [RFC 8215] */
static const char *const NOBODY[] = {
    "169.254.0.0/16", "224.0.0.0/4",     "240.0.0.0/4",    "fe80::/10", "ff00::/8",
    "::/96",          "::ffff:0:0:0/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
};
/* Special-purpose addresses that are nobody's public server.  [RFC 6890] */
static const char *const INNER[] = {
    "10.0.0.0/8",   "172.16.0.0/12",  "192.168.0.0/16", "100.64.0.0/10",   "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",  "198.51.100.0/24", "203.0.113.0/24",
};
/* Of IPv6 only what is given out as global unicast is public, less what is special there.
 * [RFC 4291 2.4] [RFC 6890] [RFC 9637] */
static const char *const GLOBAL6[] = {"2000::/3"};
static const char *const INNER6[] = {"2001::/23", "2001:db8::/32", "3fff::/20"};
static const char *const NAT64[] = {"64:ff9b::/96"};

#define NAT64_PREFIX 12u /* bytes before the IPv4 address [RFC 6052 2.2] */

static bool is_in(const char *const *nets, size_t n, const emk_address *a)
{
    for (size_t i = 0; i < n; i++) {
        emk_net net;
        emk_error ignored;

        if (emk_net_parse(emk_span_str(nets[i]), &net, &ignored) == EMK_OK &&
            emk_net_contains(&net, a))
            return true;
    }
    return false;
}

#define IS_IN(nets, a) is_in(nets, sizeof(nets) / sizeof(nets)[0], a)

static bool is_public(const emk_address *a)
{
    if (a->family == EMK_ADDRESS_V6)
        return IS_IN(GLOBAL6, a) && !IS_IN(INNER6, a);
    return !IS_IN(INNER, a);
}

bool emk_webhook_may_reach(const char *url, unsigned allow, const emk_address *address)
{
    emk_address a = *address; /* an IPv4 address in IPv6 clothes was read as what it is */
    bool translated = IS_IN(NAT64, &a);

    if (translated)
        a = emk_address_of(emk_span_of(address->b + NAT64_PREFIX, 4));
    if (a.family == EMK_ADDRESS_NONE || (translated && IS_IN(OWN, &a)))
        return false;
    if (IS_IN(OWN, &a))
        return is_this_machine(host_of(url));
    if (is_this_machine(host_of(url)))
        return false; /* "localhost" that is somewhere else */
    if (IS_IN(NOBODY, &a))
        return false;
    return (allow & EMK_WEBHOOK_PRIVATE) || is_public(&a);
}
