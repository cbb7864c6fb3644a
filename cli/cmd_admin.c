/* admin …: what operators look at and change, one table of verbs for each group.
 *
 * A verb is a call: method, path, which words go where, which members of the answer make a table.
 * Places in a path: %p a word as it is, %u a user (an id, or subject:NAME), %b a word whose
 * base64url is the id, %l the id of a value (this word) on a list (the word before), %o users/ and
 * a USER, or devices/ and an id where --device says so. */
#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"

#include <string.h>

#define PATH_MAX_LEN 1024u
#define BODY_MAX     65536u
#define ID_CHARS     44u

typedef enum member_kind {
    NONE,
    TEXT,
    TIME,
    NUMBER,
    FLAG,
    WORDS,
    PASSWORD,
    NOT_NEW,
    FIXED
} member_kind;

/* A member of the body: from an option, or from word number `word` behind the verb; FIXED: the
 * text in `option` itself. */
typedef struct member {
    const char *name;
    member_kind kind;
    unsigned word; /* 1..; 0: the option */
    const char *option;
    bool required;
} member;

typedef enum verb_flags {
    TEXT_OUT = 1, /* the answer is text, for stdout */
    TEXT_IN = 2   /* the last word names a file that is sent as it is */
} verb_flags;

typedef struct verb {
    const char *name;
    unsigned words; /* behind it */
    const char *method;
    const char *path;
    member body[4];
    const char *query[7]; /* options that become parameters */
    const char *columns[9];
    unsigned flags;
    const char *done; /* what people are told where nothing comes back */
} verb;

#define REASON                            \
    {                                     \
        "reason", TEXT, 0, "reason", true \
    }
#define EXPIRES                              \
    {                                        \
        "expires", TIME, 0, "expires", false \
    }
#define PAGE "limit", "cursor"

static const verb USERS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/users",
     {{0}},
     {"banned", PAGE},
     {"id", "subject", "plan", "banned", "banned_until", "last_seen"},
     0,
     NULL},
    {"show", 1, "GET", "/v1/admin/users/%u", {{0}}, {0}, {0}, 0, NULL},
    {"plan",
     2,
     "PUT",
     "/v1/admin/users/%u/plan",
     {{"plan", TEXT, 2, NULL, true}},
     {0},
     {0},
     0,
     NULL},
    {"export", 1, "GET", "/v1/admin/users/%u/export", {{0}}, {0}, {0}, TEXT_OUT, NULL},
    {"erase",
     1,
     "POST",
     "/v1/admin/users/%u/erase",
     {{"basis", TEXT, 0, "basis", true}},
     {0},
     {0},
     0,
     NULL},
    {"hold",
     1,
     "PUT",
     "/v1/admin/users/%u/hold",
     {{"hold", FLAG, 0, NULL, true}, REASON},
     {0},
     {0},
     0,
     "held: this user cannot be erased"},
    {"release",
     1,
     "PUT",
     "/v1/admin/users/%u/hold",
     {{"hold", NOT_NEW, 0, NULL, true}, REASON},
     {0},
     {0},
     0,
     "no longer held"},
    {0},
};

static const verb BANS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/users?banned=true",
     {{0}},
     {PAGE},
     {"id", "subject", "banned_until", "banned_by", "ban_reason"},
     0,
     NULL},
    {"add", 1, "POST", "/v1/admin/users/%u/ban", {REASON, EXPIRES}, {0}, {0}, 0, NULL},
    {"remove", 1, "DELETE", "/v1/admin/users/%u/ban", {{0}}, {0}, {0}, 0, NULL},
    {0},
};

static const verb DEVICES[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/devices",
     {{0}},
     {"user", "subject", "tenant", PAGE},
     {"id", "subject", "platform", "attestation_level", "revoked", "enrolled"},
     0,
     NULL},
    {"show", 1, "GET", "/v1/admin/devices/%p", {{0}}, {0}, {0}, 0, NULL},
    {"revoke", 1, "POST", "/v1/admin/devices/%p/revoke", {REASON}, {0}, {0}, 0, "revoked"},
    {"erase",
     1,
     "POST",
     "/v1/admin/devices/%p/erase",
     {{"basis", TEXT, 0, "basis", true}},
     {0},
     {0},
     0,
     NULL},
    {0},
};

static const verb TICKETS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/tickets",
     {{0}},
     {"device", PAGE},
     {"id", "model", "version", "state", "issued", "lease_until", "decision"},
     0,
     NULL},
    {"show", 1, "GET", "/v1/admin/tickets/%p", {{0}}, {0}, {0}, 0, NULL},
    {"revoke", 1, "POST", "/v1/admin/tickets/%p/revoke", {REASON}, {0}, {0}, 0, "revoked"},
    {0},
};

static const verb DECISIONS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/decisions",
     {{0}},
     {"user", "subject", "tenant", "cases", PAGE},
     {"id", "point", "action", "score", "reasons", "effects", "model", "time_ms"},
     0,
     NULL},
    {"show", 1, "GET", "/v1/admin/decisions/%p", {{0}}, {0}, {0}, 0, NULL},
    {0},
};

static const verb RISK[] = {
    {"show", 1, "GET", "/v1/admin/%o/risk", {{0}}, {0}, {0}, 0, NULL},
    {"label",
     2,
     "POST",
     "/v1/admin/%o/labels",
     {{"label", TEXT, 2, NULL, true}, REASON},
     {0},
     {0},
     0,
     "said"},
    {"review",
     1,
     "POST",
     "/v1/admin/%o/risk",
     {{"do", FIXED, 0, "review", true}, REASON},
     {0},
     {0},
     0,
     "to be looked at"},
    {"clear",
     1,
     "POST",
     "/v1/admin/%o/risk",
     {{"do", FIXED, 0, "clear", true}, REASON},
     {0},
     {0},
     0,
     "nothing is held against it any more"},
    {"forget", 1, "DELETE", "/v1/admin/%o/risk", {{0}}, {0}, {0}, 0, "forgotten"},
    {"engine", 0, "GET", "/v1/admin/fraud", {{0}}, {0}, {0}, 0, NULL},
    {"switch",
     1,
     "POST",
     "/v1/admin/fraud/switch",
     {{"to", TEXT, 1, NULL, true}, REASON},
     {0},
     {0},
     0,
     "switched"},
    {0},
};

static const verb RULES[] = {
    {"show", 0, "GET", "/v1/admin/fraud", {{0}}, {0}, {0}, 0, NULL},
    {"promote",
     0,
     "POST",
     "/v1/admin/fraud/promote",
     {REASON, {"force", FLAG, 0, "force", false}},
     {0},
     {0},
     0,
     "the draft decides from now on"},
    {"approve",
     0,
     "POST",
     "/v1/admin/fraud/approve",
     {REASON, {"draft", TEXT, 0, "draft", false}},
     {0},
     {0},
     0,
     "approved for seven days: another operator may promote this draft"},
    {"rollback",
     0,
     "POST",
     "/v1/admin/fraud/rollback",
     {REASON},
     {0},
     {0},
     0,
     "the rule set before decides again"},
    {0},
};

static const verb MODELS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/models",
     {{0}},
     {"name", PAGE},
     {"id", "format", "size", "plans", "withdrawn", "decoy", "published"},
     0,
     NULL},
    {0},
};

static const verb LISTS[] = {
    {"list",
     1,
     "GET",
     "/v1/admin/lists/%p",
     {{0}},
     {PAGE},
     {"value", "reason", "by", "created", "expires"},
     0,
     NULL},
    {"add",
     2,
     "POST",
     "/v1/admin/lists/%p",
     {{"value", TEXT, 2, NULL, true}, REASON, EXPIRES},
     {0},
     {0},
     0,
     NULL},
    {"remove", 2, "DELETE", "/v1/admin/lists/%p/%l", {{0}}, {0}, {0}, 0, "no longer on the list"},
    {0},
};

static const verb LIMITS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/limits",
     {{0}},
     {0},
     {"name", "by", "unit", "quota", "window_s", "burst", "shadow", "route"},
     0,
     NULL},
    {"set",
     3,
     "PUT",
     "/v1/admin/limits/%p",
     {{"quota", NUMBER, 2, NULL, true},
      {"window_s", NUMBER, 3, NULL, true},
      {"burst", NUMBER, 0, "burst", false},
      {"shadow", FLAG, 0, "shadow", true}},
     {0},
     {0},
     0,
     "set"},
    {"reset", 1, "DELETE", "/v1/admin/limits/%p", {{0}}, {0}, {0}, 0, "as configured"},
    {0},
};

#define WALL                                                          \
    {"prefix", TEXT, 1, NULL, true}, {"action", TEXT, 2, NULL, true}, \
        {"reason", TEXT, 0, "reason", false}, EXPIRES

static const verb FIREWALL[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/firewall",
     {{0}},
     {PAGE},
     {"prefix", "action", "reason", "by", "created", "expires"},
     0,
     NULL},
    {"add", 2, "POST", "/v1/admin/firewall", {WALL}, {0}, {0}, 0, NULL},
    {"remove", 1, "DELETE", "/v1/admin/firewall/%b", {{0}}, {0}, {0}, 0, "removed"},
    {"try", 2, "POST", "/v1/admin/firewall/try", {WALL}, {0}, {0}, 0, NULL},
    {"export", 0, "GET", "/v1/admin/firewall/export", {{0}}, {0}, {0}, TEXT_OUT, NULL},
    {"import", 1, "POST", "/v1/admin/firewall/import", {{0}}, {0}, {0}, TEXT_IN, "imported"},
    {0},
};

static const verb KEYS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/keys",
     {{0}},
     {PAGE},
     {"id", "name", "tenant", "scopes", "expires", "revoked"},
     0,
     NULL},
    {"add",
     1,
     "POST",
     "/v1/admin/keys",
     {{"name", TEXT, 1, NULL, true},
      {"scopes", WORDS, 0, "scopes", true},
      {"tenant", TEXT, 0, "tenant", false},
      EXPIRES},
     {0},
     {0},
     0,
     NULL},
    {"revoke", 1, "DELETE", "/v1/admin/keys/%p", {{0}}, {0}, {0}, 0, "revoked"},
    {0},
};

static const verb SIGNING[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/signing-keys",
     {{0}},
     {0},
     {"key", "id", "state", "since", "needed_until", "certificate_until"},
     0,
     NULL},
    {"rotate",
     1,
     "POST",
     "/v1/admin/signing-keys/%p/rotate",
     {REASON},
     {0},
     {"key", "id", "state", "since", "needed_until", "certificate_until"},
     0,
     NULL},
    {"retire",
     1,
     "POST",
     "/v1/admin/signing-keys/%p/retire",
     {REASON, {"force", FLAG, 0, "force", false}},
     {0},
     {"key", "id", "state", "since", "needed_until", "certificate_until"},
     0,
     NULL},
    {0},
};

static const verb WEBHOOKS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/webhooks",
     {{0}},
     {0},
     {"name", "url", "disabled", "waiting", "dead", "sent", "failed", "dropped"},
     0,
     NULL},
    {"test", 1, "POST", "/v1/admin/webhooks/%p/test", {REASON}, {0}, {0}, 0, "queued"},
    {"disable", 1, "POST", "/v1/admin/webhooks/%p/disable", {REASON}, {0}, {0}, 0, "disabled"},
    {"enable", 1, "POST", "/v1/admin/webhooks/%p/enable", {REASON}, {0}, {0}, 0, "enabled"},
    {0},
};

static const verb CAMPAIGNS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/campaigns",
     {{0}},
     {PAGE},
     {"id", "kind", "state", "members", "evidence", "created", "due", "reason"},
     0,
     NULL},
    {"show", 1, "GET", "/v1/admin/campaigns/%p", {{0}}, {0}, {0}, 0, NULL},
    {"run", 0, "POST", "/v1/admin/campaigns", {REASON}, {0}, {0}, 0, NULL},
    {"approve",
     1,
     "POST",
     "/v1/admin/campaigns/%p/approve",
     {REASON, {"seen", TEXT, 0, "seen", true}, {"within", NUMBER, 0, "within", false}},
     {0},
     {0},
     0,
     "approved"},
    {"refuse", 1, "POST", "/v1/admin/campaigns/%p/refuse", {REASON}, {0}, {0}, 0, "refused"},
    {"withdraw", 1, "POST", "/v1/admin/campaigns/%p/withdraw", {REASON}, {0}, {0}, 0, "lifted"},
    {0},
};

static const verb RELOAD[] = {
    {"show", 0, "GET", "/v1/admin/reload", {{0}}, {0}, {0}, 0, NULL},
    {"now", 0, "POST", "/v1/admin/reload", {REASON}, {0}, {0}, 0, "files are read again"},
    {0},
};

static const verb OPERATORS[] = {
    {"list",
     0,
     "GET",
     "/v1/admin/operators",
     {{0}},
     {PAGE},
     {"name", "disabled", "has_password", "scopes"},
     0,
     NULL},
    {"add",
     1,
     "POST",
     "/v1/admin/operators",
     {{"name", TEXT, 1, NULL, true},
      {"scopes", WORDS, 0, "scopes", true},
      {"password", PASSWORD, 0, NULL, true}},
     {0},
     {0},
     0,
     NULL},
    {"change",
     1,
     "PUT",
     "/v1/admin/operators/%p",
     {{"scopes", WORDS, 0, "scopes", true}, {"disabled", FLAG, 0, "disable", true}},
     {0},
     {0},
     0,
     NULL},
    {0},
};

static const verb AUDIT[] = {
    {"tail",
     0,
     "GET",
     "/v1/admin/audit",
     {{0}},
     {"from", "limit", "type"},
     {"seq", "time_ms", "type", "actor", "object", "outcome", "was", "is"},
     0,
     NULL},
    {"verify", 0, "POST", "/v1/admin/audit/verify", {{0}}, {0}, {0}, 0, NULL},
    {"checkpoint", 0, "GET", "/v1/admin/audit/checkpoint", {{0}}, {0}, {0}, TEXT_OUT, NULL},
    {0},
};

/* ---- paths ---- */

typedef struct job {
    emk_cli *cli;
    emk_cli_admin admin;
    const verb *v;
    char path[PATH_MAX_LEN];
    emk_cli_pieces body;
} job;

static emk_status add_path(job *j, const char *text, size_t len)
{
    size_t at = strlen(j->path);

    if (at + len >= sizeof j->path)
        return emk_cli_usage(j->cli, "the words are too long together");
    memcpy(j->path + at, text, len);
    j->path[at + len] = 0;
    return EMK_OK;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static emk_status add_escaped(job *j, const char *text)
{
    emk_status st = EMK_OK;

    for (; st == EMK_OK && *text; text++) {
        char escaped[4];

        (void)snprintf(escaped, sizeof escaped, "%%%02X", (unsigned)(unsigned char)*text);
        st = is_unreserved(*text) ? add_path(j, text, 1) : add_path(j, escaped, 3);
    }
    return st;
}

static emk_status add_plain(job *j, const char *word)
{
    for (const char *p = word; *p; p++)
        if (!is_unreserved(*p))
            return emk_cli_usage(j->cli, "a word has characters that no id has");
    return *word ? add_path(j, word, strlen(word)) : emk_cli_usage(j->cli, "a word is empty");
}

static emk_status add_encoded(job *j, emk_span bytes)
{
    char text[4 * EMK_TEXT_MAX];
    size_t len = 0;
    emk_status st;

    if (bytes.len == 0 || bytes.len > EMK_TEXT_MAX)
        return emk_cli_usage(j->cli, "a word is empty or too long");
    st = emk_base64url_encode(bytes, text, sizeof text, &len, &j->cli->error);
    return st == EMK_OK ? add_path(j, text, len) : st;
}

/* The same hash as the server's: SHA-256(label || 0 || parts, 0 between them). */
static emk_status add_hash(job *j, const char *label, const char *a, const char *b)
{
    emk_span parts[] = {emk_span_of(label, strlen(label) + 1), emk_span_str(a),
                        emk_span_of("", b ? 1 : 0), emk_span_str(b ? b : "")};
    const emk_crypto *crypto = NULL;
    uint8_t id[32];
    emk_status st = emk_cli_crypto(j->cli, &crypto);

    if (st == EMK_OK)
        st = emk_sha256(crypto, parts, 4, id, &j->cli->error);
    return st == EMK_OK ? add_encoded(j, emk_span_of(id, sizeof id)) : st;
}

static bool has_option(const emk_cli *cli, const char *name)
{
    for (const emk_cli_option *o = cli->command->options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

static emk_status add_user(job *j, const char *word)
{
    const char *tenant =
        has_option(j->cli, "tenant") ? emk_cli_option_value(j->cli, "tenant") : NULL;

    if (strncmp(word, "subject:", 8) == 0 && word[8])
        return add_hash(j, "earmark/1 owner", tenant ? tenant : "", word + 8);
    if (tenant)
        return emk_cli_usage(j->cli, "--tenant goes with subject:NAME");
    return add_plain(j, word);
}

static emk_status add_one(job *j, const char *word)
{
    bool device = emk_cli_option_given(j->cli, "device");
    const char *folder = device ? "devices/" : "users/";
    emk_status st = add_path(j, folder, strlen(folder));

    if (st != EMK_OK)
        return st;
    return device ? add_plain(j, word) : add_user(j, word);
}

static emk_status make_path(job *j)
{
    size_t word = 1;
    emk_status st = EMK_OK;

    for (const char *p = j->v->path; st == EMK_OK && *p; p++) {
        const char *w;

        if (*p != '%') {
            st = add_path(j, p, 1);
            continue;
        }
        w = emk_cli_operand_at(j->cli, word);
        p++;
        if (*p == 'u')
            st = add_user(j, w);
        else if (*p == 'o')
            st = add_one(j, w);
        else if (*p == 'b')
            st = add_encoded(j, emk_span_str(w));
        else if (*p == 'l')
            st = add_hash(j, "earmark/1 list", emk_cli_operand_at(j->cli, word - 1), w);
        else
            st = add_plain(j, w);
        word++;
    }
    return st;
}

static emk_status make_query(job *j)
{
    char mark = strchr(j->path, '?') ? '&' : '?';
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < 6 && j->v->query[i]; i++) {
        const char *name = j->v->query[i], *value;

        if (!has_option(j->cli, name) || !emk_cli_option_given(j->cli, name))
            continue;
        value = emk_cli_option_value(j->cli, name);
        st = add_path(j, &mark, 1);
        if (st == EMK_OK)
            st = add_path(j, name, strlen(name));
        if (st == EMK_OK)
            st = add_path(j, "=", 1);
        if (st == EMK_OK)
            st = add_escaped(j, value ? value : "true");
        mark = '&';
    }
    return st;
}

/* ---- bodies ---- */

static emk_status put_words(job *j, const char *list)
{
    bool more = false;

    emk_cli_piece_raw(&j->body, "[");
    while (*list) {
        size_t n = strcspn(list, ",");

        if (more)
            emk_cli_piece_raw(&j->body, ",");
        emk_cli_piece_text(&j->body, emk_span_of(list, n));
        more = true;
        list += n + (list[n] == ',');
    }
    emk_cli_piece_raw(&j->body, "]");
    return EMK_OK;
}

static emk_status put_number(job *j, const char *value, bool is_time)
{
    char text[24];
    uint64_t n = 0;
    emk_status st = is_time ? emk_cli_parse_time(value, emk_os_now_s(), &n, &j->cli->error)
                            : emk_cli_parse_number(value, &n, &j->cli->error);

    if (st != EMK_OK)
        return emk_cli_usage(j->cli,
                             is_time ? "a time is 12h, 30d or 2027-01-31, not %s"
                                     : "a number is wanted, not %s",
                             value);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    emk_cli_piece_raw(&j->body, text);
    return EMK_OK;
}

static emk_status put_password(job *j)
{
    emk_secret *password = NULL;
    emk_status st = emk_cli_admin_password(j->cli, "Password of the new operator: ", &password);

    if (st == EMK_OK)
        emk_cli_piece_text(&j->body, emk_secret_span(password));
    emk_secret_free(password);
    return st;
}

static emk_status put_value(job *j, const member *m, const char *value)
{
    switch (m->kind) {
    case TEXT:
        emk_cli_piece_text(&j->body, emk_span_str(value));
        return EMK_OK;
    case TIME:
    case NUMBER:
        return put_number(j, value, m->kind == TIME);
    case WORDS:
        return put_words(j, value);
    case FLAG:
        emk_cli_piece_raw(&j->body,
                          !m->option || emk_cli_option_given(j->cli, m->option) ? "true" : "false");
        return EMK_OK;
    case NOT_NEW:
        emk_cli_piece_raw(&j->body, "false");
        return EMK_OK;
    case PASSWORD:
        return put_password(j);
    case FIXED:
        emk_cli_piece_text(&j->body, emk_span_str(m->option));
        return EMK_OK;
    case NONE:
        break;
    }
    return EMK_OK;
}

static bool needs_value(const member *m)
{
    return m->kind == TEXT || m->kind == TIME || m->kind == NUMBER || m->kind == WORDS;
}

static emk_status make_body(job *j)
{
    bool more = false;
    emk_status st = EMK_OK;

    if (j->v->body[0].kind == NONE)
        return EMK_OK;
    emk_cli_piece_raw(&j->body, "{");
    for (size_t i = 0; st == EMK_OK && i < 4 && j->v->body[i].kind != NONE; i++) {
        const member *m = &j->v->body[i];
        const char *value = NULL;

        if (needs_value(m))
            value = m->word ? emk_cli_operand_at(j->cli, m->word)
                            : emk_cli_option_value(j->cli, m->option);
        if (needs_value(m) && !value) {
            if (m->required)
                return emk_cli_usage(j->cli, "--%s is missing", m->option);
            continue;
        }
        emk_cli_piece_raw(&j->body, more ? ",\"" : "\"");
        emk_cli_piece_raw(&j->body, m->name);
        emk_cli_piece_raw(&j->body, "\":");
        st = put_value(j, m, value);
        more = true;
    }
    emk_cli_piece_raw(&j->body, "}");
    return st == EMK_OK ? j->body.status : st;
}

/* ---- running ---- */

static emk_status run_text(job *j)
{
    emk_cli_admin_call call = {.method = j->v->method, .path = j->path};
    const char *file = emk_cli_operand_at(j->cli, 1);
    emk_buf in, out;
    emk_status st = EMK_OK;

    emk_buf_init(&in, EMK_CLI_LONG_MAX);
    emk_buf_init(&out, 0);
    if (j->v->flags & TEXT_IN)
        st = emk_cli_read_input(j->cli, file, EMK_CLI_LONG_MAX, &in);
    call.body = emk_buf_span(&in);
    if (st == EMK_OK)
        st = emk_cli_admin_text(j->cli, &j->admin, &call, &out);
    if (st == EMK_OK && (j->v->flags & TEXT_OUT) && j->cli->out.json)
        emk_cli_put_text(&j->cli->out, "text", emk_buf_span(&out));
    else if (st == EMK_OK && (j->v->flags & TEXT_OUT) &&
             fwrite(out.p, 1, out.len, stdout) != out.len)
        st = emk_fail(&j->cli->error, EMK_E_IO, "output: not written", 0);
    emk_buf_done(&in);
    emk_buf_done(&out);
    return st;
}

static void show_answer(job *j, const emk_cli_answer *a)
{
    const emk_dom *items = emk_dom_get_kind(a->json, "items", EMK_DOM_ARRAY);
    const emk_dom *next = emk_dom_get(a->json, "next");
    char text[128];

    if (!items) {
        emk_cli_admin_show(j->cli, NULL, a->json);
        return;
    }
    emk_cli_admin_table(j->cli, items, j->v->columns);
    if (!next)
        return;
    if (j->cli->out.json)
        emk_cli_admin_show(j->cli, "next", next);
    emk_cli_clean(next->text, text, sizeof text);
    emk_cli_next(j->cli, "%s %s", next->kind == EMK_DOM_NUMBER ? "--from" : "--cursor", text);
}

/* Conditions that a refusal names. */
static void remark_failed(emk_cli *cli, const emk_dom *failed)
{
    for (const emk_dom *f = failed ? failed->first : NULL; f; f = f->next) {
        const emk_dom *name = emk_dom_get_kind(f, "condition", EMK_DOM_STRING);
        const emk_dom *most = emk_dom_get(f, "at_most");
        uint64_t is = 0, needs = 0;
        char text[64];

        if (!name || !emk_dom_u64(emk_dom_get(f, "is"), &is) ||
            !emk_dom_u64(most ? most : emk_dom_get(f, "at_least"), &needs))
            continue;
        emk_cli_clean(name->text, text, sizeof text);
        emk_cli_remark(cli, "%s is %llu, and must be at %s %llu", text, (unsigned long long)is,
                       most ? "most" : "least", (unsigned long long)needs);
    }
}

static emk_status run_json(job *j)
{
    emk_cli_admin_call call = {
        .method = j->v->method, .path = j->path, .body = emk_buf_span(&j->body.text)};
    emk_cli_answer answer;
    emk_status st = emk_cli_admin_run(j->cli, &j->admin, &call, &answer);

    if (st == EMK_OK && answer.json)
        show_answer(j, &answer);
    else if (answer.json)
        remark_failed(j->cli, emk_dom_get_kind(answer.json, "failed", EMK_DOM_ARRAY));
    emk_cli_answer_done(&answer);
    return st;
}

static const verb *find_verb(emk_cli *cli, const verb *verbs)
{
    const char *name = emk_cli_operand_at(cli, 0);

    for (const verb *v = verbs; v->name; v++) {
        if (strcmp(v->name, name) != 0)
            continue;
        if (cli->args.n_operands == v->words + 1)
            return v;
        (void)!emk_cli_usage(cli, "%s %s takes %u words, see earmark %s --help", cli->command->name,
                             name, v->words, cli->command->name);
        return NULL;
    }
    (void)!emk_cli_usage(cli, "%s: there is no \"%s\", see earmark %s --help", cli->command->name,
                         name, cli->command->name);
    return NULL;
}

static emk_status run_verbs(emk_cli *cli, const verb *verbs)
{
    job j = {.cli = cli, .v = find_verb(cli, verbs)};
    emk_status st = EMK_E_USAGE;

    if (!j.v)
        return st;
    emk_buf_init(&j.body.text, BODY_MAX);
    st = make_path(&j);
    if (st == EMK_OK)
        st = make_query(&j);
    if (st == EMK_OK)
        st = make_body(&j);
    if (st == EMK_OK)
        st = emk_cli_admin_open(cli, true, &j.admin);
    if (st == EMK_OK)
        st = j.v->flags ? run_text(&j) : run_json(&j);
    if (st == EMK_OK && j.v->done)
        emk_cli_say(&cli->out, "%s", j.v->done);
    emk_cli_admin_close(&j.admin);
    if (j.body.text.p)
        emk_wipe(j.body.text.p, j.body.text.len);
    emk_buf_done(&j.body.text);
    return st;
}

static emk_status run_login(emk_cli *cli)
{
    emk_cli_admin a;
    emk_status st = emk_cli_admin_open(cli, false, &a);

    if (st == EMK_OK)
        st = emk_cli_admin_login(cli, &a, emk_cli_operand_at(cli, 0));
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "server", a.profile.url);
        emk_cli_put_string(&cli->out, "operator", emk_cli_operand_at(cli, 0));
    }
    emk_cli_admin_close(&a);
    return st;
}

static emk_status run_logout(emk_cli *cli)
{
    emk_cli_admin_call call = {.method = "DELETE", .path = "/v1/admin/sessions"};
    emk_cli_answer answer = {.code = 0};
    emk_cli_admin a;
    emk_status st = emk_cli_admin_open(cli, true, &a);

    if (st == EMK_OK) {
        st = emk_cli_admin_run(cli, &a, &call, &answer);
        emk_cli_answer_done(&answer);
    }
    emk_cli_admin_close(&a);
    if (st == EMK_OK)
        st = emk_cli_admin_forget(cli);
    if (st == EMK_OK)
        emk_cli_say(&cli->out, "all sessions of this operator have ended");
    return st;
}

/* ---- the commands ---- */

#define CONNECTION                                                                        \
    EMK_CLI_OPTION_SERVER, EMK_CLI_OPTION_CA, EMK_CLI_OPTION_PIN, EMK_CLI_OPTION_SESSION, \
        EMK_CLI_OPTION_PASSWORD
#define O_LIMIT                                                            \
    {                                                                      \
        "limit", 0, EMK_CLI_WORD, "N", "items of a page, up to 100", false \
    }
#define O_CURSOR                                                             \
    {                                                                        \
        "cursor", 0, EMK_CLI_WORD, "TEXT", "go on where a page ended", false \
    }
#define O_REASON                                                              \
    {                                                                         \
        "reason", 0, EMK_CLI_WORD, "TEXT", "why; kept with the change", false \
    }
#define O_EXPIRES                                                                     \
    {                                                                                 \
        "expires", 0, EMK_CLI_WORD, "TIME", "until when: 12h, 30d, 2027-01-31", false \
    }
#define O_USER                                                    \
    {                                                             \
        "user", 0, EMK_CLI_WORD, "ID", "of this user only", false \
    }
#define O_SUBJECT                                                                                \
    {                                                                                            \
        "subject", 0, EMK_CLI_WORD, "NAME", "of the user with this subject in the tokens", false \
    }
#define O_BASIS                                                                        \
    {                                                                                  \
        "basis", 0, EMK_CLI_WORD, "TEXT", "the legal ground, for the audit log", false \
    }
#define O_TENANT                                                                            \
    {                                                                                       \
        "tenant", 0, EMK_CLI_WORD, "NAME", "whose users subjects are, if configured", false \
    }
#define O_SCOPES                                                                   \
    {                                                                              \
        "scopes", 0, EMK_CLI_WORD, "LIST",                                         \
            "seal,publish,events,read,moderate,rules,audit,operators,erase", false \
    }

static const emk_cli_exit EXITS[] = {
    {EMK_E_POLICY, "not signed in, or not with these scopes"},
    {EMK_E_NOT_FOUND, "there is no such thing"},
    {EMK_E_USED, "changed meanwhile, or there already"},
    {EMK_E_BUSY, "the server asks to wait, or cannot do it now"},
    {0},
};
static const emk_cli_operand VERB[] = {
    {"VERB", EMK_CLI_WORD, "what to do, see above", false},
    {"WORD", EMK_CLI_WORD, "about what", true},
    {0},
};

#define COMMAND(symbol, word, what, how, text, ...)                                \
    static emk_status run_##word(emk_cli *cli)                                     \
    {                                                                              \
        return run_verbs(cli, symbol);                                             \
    }                                                                              \
    static const char *const word##_paragraphs[] = {text, NULL};                   \
    static const emk_cli_option word##_options[] = {CONNECTION, __VA_ARGS__, {0}}; \
    static const emk_cli_example word##_examples[] = {                             \
        {"What there is.", "earmark admin " #word " " how}, {0}};                  \
    const emk_cli_command EMK_CLI_ADMIN_##symbol = {                               \
        .name = "admin " #word,                                                    \
        .summary = what,                                                           \
        .synopsis = "VERB [WORD ...]",                                             \
        .paragraphs = word##_paragraphs,                                           \
        .operands = VERB,                                                          \
        .options = word##_options,                                                 \
        .examples = word##_examples,                                               \
        .exits = EXITS,                                                            \
        .many_operands = true,                                                     \
        .run = run_##word,                                                         \
    }

COMMAND(
    USERS, users, "looks at users, exports and erases them", "list",
    "list; show USER; plan USER PLAN; export USER (a JSON object a line); erase USER --basis "
    "TEXT; hold USER and release USER --reason TEXT (a legal hold blocks erasing). USER is an "
    "id, or subject:NAME with the subject of the user's tokens and --tenant with their issuer's "
    "tenant.",
    {"banned", 0, EMK_CLI_FLAG, NULL, "only those that are banned now", false}, O_BASIS, O_TENANT,
    O_REASON, O_LIMIT, O_CURSOR);
COMMAND(BANS, bans, "bans users and lifts bans", "list",
        "list; add USER --reason TEXT [--expires TIME]; remove USER. From then on the user gets no "
        "tickets and no leases.",
        O_TENANT, O_REASON, O_EXPIRES, O_LIMIT, O_CURSOR);
COMMAND(DEVICES, devices, "looks at devices, revokes and erases them", "list --subject alice",
        "list; show ID; revoke ID --reason TEXT; erase ID --basis TEXT: all that is known of it, "
        "while its user stays.",
        O_BASIS, O_USER, O_SUBJECT, O_TENANT, O_REASON, O_LIMIT, O_CURSOR);
COMMAND(TICKETS, tickets, "looks at tickets and revokes them", "list",
        "list [--device ID]; show ID; revoke ID --reason TEXT.",
        {"device", 0, EMK_CLI_WORD, "ID", "of this device only", false}, O_REASON, O_LIMIT,
        O_CURSOR);
COMMAND(DECISIONS, decisions, "shows what was decided, and why", "list --subject alice",
        "list [--cases 1]; show ID: the decision with its reasons, and the event as the engine saw "
        "it.",
        O_USER, O_SUBJECT, O_TENANT,
        {"cases", 0, EMK_CLI_WORD, "1", "only what a rule wants a person to look at", false},
        O_LIMIT, O_CURSOR);
COMMAND(
    RISK, risk, "shows and changes what the fraud engine thinks", "show subject:alice",
    "show USER: score, rules and the newest decisions; label USER fraud|ok|unsure --reason TEXT; "
    "review USER, clear USER --reason TEXT; forget USER; with --device the word is a device's "
    "id. engine: its rule set; switch normal|open|closed --reason TEXT: the emergency switch.",
    {"device", 0, EMK_CLI_FLAG, NULL, "about a device, not a user", false}, O_TENANT, O_REASON);
COMMAND(
    RULES, rules, "shows the fraud engine's rule sets, promotes the draft, goes back", "show",
    "show: the set that decides, the draft beside it, and what is asked of it with its numbers; "
    "promote --reason TEXT: the draft decides from now on, and is refused while its numbers do not "
    "suffice, unless --force is given; approve --reason TEXT: you have looked at a draft that can "
    "deny more, and another operator may promote it within seven days; rollback --reason TEXT: the "
    "set before decides again.",
    O_REASON, {"draft", 0, EMK_CLI_WORD, "LABEL", "approve this one and no other", false},
    {"force", 0, EMK_CLI_FLAG, NULL, "promote whatever the numbers are", false});
COMMAND(MODELS, models, "lists the catalogue, withdrawn models included", "list",
        "list [--name NAME].", {"name", 0, EMK_CLI_WORD, "NAME", "versions of this model", false},
        O_LIMIT, O_CURSOR);
COMMAND(LISTS, lists, "puts values on lists and takes them off", "list banned_users",
        "list LIST; add LIST VALUE --reason TEXT [--expires TIME]; remove LIST VALUE. The lists "
        "banned_users, banned_devices and banned_apps refuse by themselves; rules may ask for "
        "others.",
        O_REASON, O_EXPIRES, O_LIMIT, O_CURSOR);
COMMAND(LIMITS, limits, "shows limits and changes them", "list",
        "list; set NAME QUOTA SECONDS [--burst N] [--shadow]; reset NAME: as configured. Without "
        "--shadow the limit refuses.",
        {"burst", 0, EMK_CLI_WORD, "N", "units at once; the quota unless given", false},
        {"shadow", 0, EMK_CLI_FLAG, NULL, "only count, never refuse", false});
COMMAND(
    FIREWALL, firewall, "keeps networks out, or lets them in", "list",
    "list; add NET ACTION [--reason TEXT] [--expires TIME]; remove NET; try NET ACTION: whom of "
    "the last day's clients that would hit; export; import FILE. ACTION is allow, deny, "
    "challenge or limit:1 to limit:15.",
    O_REASON, O_EXPIRES, O_LIMIT, O_CURSOR);
COMMAND(
    KEYS, keys, "makes and revokes keys of services", "list",
    "list; add NAME --scopes LIST [--tenant NAME] [--expires TIME]: the key is shown this once, "
    "and reaches what is of that tenant only; revoke ID.",
    O_SCOPES, {"tenant", 0, EMK_CLI_WORD, "NAME", "whose key it is; else the default", false},
    O_EXPIRES, O_LIMIT, O_CURSOR);
COMMAND(
    SIGNING, signing, "shows and rotates the keys that sign", "list",
    "list; rotate issuer|sealing --reason TEXT: a new key from now on, which devices learn by a "
    "certificate of the old one; retire ID --reason TEXT: what that former issuer key signed is "
    "not taken any more. Before the last certificate of it is over that takes --force.",
    O_REASON, {"force", 0, EMK_CLI_FLAG, NULL, "retire a key that is still needed", false});
COMMAND(WEBHOOKS, webhooks, "shows where webhooks go, tests and stops them", "list",
        "list; test NAME, disable NAME, enable NAME --reason TEXT. Targets are configured in "
        "earmarkd.yaml; a disabled one gets nothing, and what waits for it goes on waiting.",
        O_REASON);
COMMAND(CAMPAIGNS, campaigns, "decides upon groups of accounts that act as one", "list",
        "list; show ID: its members; run --reason TEXT: look for groups now; approve ID --seen "
        "WORD --reason TEXT bans all members of the group that show named with that word at once, "
        "at some time in six hours (--within 0: now), withdraw "
        "ID --reason TEXT lifts that again; refuse ID --reason "
        "TEXT leaves them alone.",
        O_REASON, {"seen", 0, EMK_CLI_WORD, "WORD", "which members you saw: of show", false},
        O_LIMIT, O_CURSOR,
        {"within", 0, EMK_CLI_WORD, "S", "approve: seconds in which it acts (21600)", false});
COMMAND(RELOAD, reload, "reads the server's files again", "show",
        "show: how old roots, token keys, firewall, rules and certificates are; now --reason TEXT: "
        "reads them again, as SIGHUP does. What is not good stays as it was.",
        O_REASON);
COMMAND(OPERATORS, operators, "makes, changes and disables operators", "list",
        "list; add NAME --scopes LIST; change NAME --scopes LIST [--disable], which ends that "
        "operator's sessions. Nobody gives scopes that they do not have.",
        O_SCOPES, {"disable", 0, EMK_CLI_FLAG, NULL, "may no longer sign in", false}, O_LIMIT,
        O_CURSOR);
COMMAND(AUDIT, audit, "reads the audit log through its server", "tail --limit 20",
        "tail [--from N] [--type PREFIX]; verify; checkpoint. What a server says about its own log "
        "is no proof: earmark audit verify checks a copy without the server.",
        {"from", 0, EMK_CLI_WORD, "N", "begin with this entry", false},
        {"type", 0, EMK_CLI_WORD, "PREFIX", "only entries of these types", false}, O_LIMIT);

static const emk_cli_operand LOGIN_OPERANDS[] = {
    {"NAME", EMK_CLI_WORD, "the operator", false},
    {0},
};
static const char *const LOGIN_PARAGRAPHS[] = {
    "Asks for the password and keeps the session in ~/.config/earmark/operator, a file that only "
    "you can read. What is dangerous (bans, exports, erasing, operators, new keys) asks for the "
    "password again, and then not for a quarter of an hour.",
    NULL};
static const emk_cli_option LOGIN_OPTIONS[] = {
    EMK_CLI_OPTION_SERVER, EMK_CLI_OPTION_CA, EMK_CLI_OPTION_PIN, EMK_CLI_OPTION_PASSWORD, {0}};
static const emk_cli_example LOGIN_EXAMPLES[] = {
    {"Sign in.", "earmark admin login ann --server https://models.example.com"}, {0}};
const emk_cli_command EMK_CLI_ADMIN_LOGIN = {
    .name = "admin login",
    .summary = "signs an operator in",
    .synopsis = "NAME --server URL",
    .paragraphs = LOGIN_PARAGRAPHS,
    .operands = LOGIN_OPERANDS,
    .options = LOGIN_OPTIONS,
    .examples = LOGIN_EXAMPLES,
    .exits = EXITS,
    .run = run_login,
};

static const char *const LOGOUT_PARAGRAPHS[] = {
    "Sessions are not stored anywhere: ending one ends all of this operator, on all machines.",
    NULL};
static const emk_cli_option LOGOUT_OPTIONS[] = {CONNECTION, {0}};
static const emk_cli_example LOGOUT_EXAMPLES[] = {{"Sign out.", "earmark admin logout"}, {0}};
const emk_cli_command EMK_CLI_ADMIN_LOGOUT = {
    .name = "admin logout",
    .summary = "ends all sessions of an operator",
    .synopsis = "",
    .paragraphs = LOGOUT_PARAGRAPHS,
    .options = LOGOUT_OPTIONS,
    .examples = LOGOUT_EXAMPLES,
    .exits = EXITS,
    .run = run_logout,
};
