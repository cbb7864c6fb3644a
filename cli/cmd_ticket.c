#include "cli/commands.h"
#include "cli/issuer.h"
#include "cli/lease.h"
#include "cli/show.h"
#include "cli/text.h"
#include "core/base/os_time.h"
#include "core/crypto/random.h"
#include "core/proto/ticket.h"

#include <string.h>

#define EXPIRES "30d"
#define VALID   "15m"

static emk_status time_option(emk_cli *cli, const char *name, const char *otherwise, uint64_t now,
                              uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, name);
    emk_error e;

    if (!text)
        text = otherwise;
    if (text && emk_cli_parse_time(text, now, out, &e) != EMK_OK)
        return emk_cli_usage(cli, "--%s: %s", name, e.what);
    return EMK_OK;
}

static emk_status number_option(emk_cli *cli, const char *name, uint64_t max, uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, name);
    uint64_t v = 0;

    if (!text)
        return EMK_OK;
    if (emk_cli_parse_number(text, &v, NULL) != EMK_OK || v < 1 || v > max)
        return emk_cli_usage(cli, "--%s: a whole number from 1%s", name, max == 3 ? " to 3" : "");
    *out = v;
    return EMK_OK;
}

static emk_status memory_option(emk_cli *cli, uint8_t *out)
{
    const char *text = emk_cli_option_value(cli, "memory");

    if (!text)
        return EMK_OK;
    if (strcmp(text, "locked") == 0)
        *out = EMK_POLICY_MEMORY_LOCKED;
    else if (strcmp(text, "secret") == 0)
        *out = EMK_POLICY_MEMORY_SECRET;
    else
        return emk_cli_usage(cli, "--memory is locked or secret");
    return EMK_OK;
}

static emk_status duration_option(emk_cli *cli, const char *name, uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, name);
    emk_error e;

    if (!text)
        return EMK_OK;
    if (emk_cli_parse_duration(text, out, &e) != EMK_OK || *out == 0)
        return emk_cli_usage(cli, "--%s: %s", name, *out == 0 ? "at least 1s" : e.what);
    return EMK_OK;
}

static emk_status read_lease(emk_cli *cli, emk_policy *p)
{
    emk_status st = duration_option(cli, "lease", &p->lease_s);

    if (st == EMK_OK)
        st = duration_option(cli, "grace", &p->grace_s);
    if (st == EMK_OK)
        st = duration_option(cli, "renew-after", &p->renewal_delay_s);
    if (st == EMK_OK && !p->lease_s && (p->grace_s || p->renewal_delay_s))
        return emk_cli_usage(cli, "--grace and --renew-after go with --lease");
    return st;
}

static emk_status read_policy(emk_cli *cli, uint64_t now, emk_policy *p)
{
    uint64_t guard = 0;
    emk_status st = time_option(cli, "expires", EXPIRES, now, &p->expires);

    if (st == EMK_OK)
        st = time_option(cli, "not-before", NULL, now, &p->not_before);
    if (st == EMK_OK)
        st = number_option(cli, "max-opens", UINT64_MAX, &p->max_opens);
    if (st == EMK_OK)
        st = number_option(cli, "min-guard", 3, &guard);
    if (st == EMK_OK)
        st = number_option(cli, "release", UINT64_MAX, &p->release);
    if (st == EMK_OK)
        st = memory_option(cli, &p->memory);
    if (st == EMK_OK)
        st = read_lease(cli, p);
    if (st != EMK_OK)
        return st;
    p->min_guard = (uint8_t)guard;
    if (p->expires <= now)
        return emk_cli_usage(cli, "--expires is in the past");
    if (p->not_before >= p->expires)
        return emk_cli_usage(cli, "--not-before is not before --expires");
    return EMK_OK;
}

/* Signs, and notes both that the request was answered and what with. */
static emk_status issue(emk_cli *cli, const char *dir, const emk_signer *signer,
                        const emk_ticket *ticket, emk_buf *out)
{
    emk_span hash = emk_span_of(ticket->request_hash, EMK_HASH_LEN);
    emk_span id = emk_span_of(ticket->id, EMK_ID_LEN);
    emk_status st = emk_cli_note_once(cli, dir, "answered", hash, id);

    if (st == EMK_E_USED) {
        st = emk_fail(&cli->error, EMK_E_USED, "request: it has a ticket already", 0);
        return emk_cli_advise(cli, st,
                              "Each request gets one ticket: have the device make a new "
                              "one with `earmark request`.");
    }
    if (st != EMK_OK)
        return st;
    st = emk_ticket_sign(cli->crypto, signer, ticket, out, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_note_once(cli, dir, "tickets", id, emk_buf_span(out));
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, emk_cli_option_value(cli, "output"), emk_buf_span(out));
    if (st != EMK_OK)
        emk_cli_note_forget(cli, dir, "answered", hash);
    return st;
}

static void report(emk_cli *cli, const emk_ticket *t)
{
    const char *path = emk_cli_option_value(cli, "output");

    emk_cli_put_string(&cli->out, "ticket", path);
    emk_cli_put_hex(&cli->out, "id", emk_span_of(t->id, EMK_ID_LEN));
    emk_cli_show_identity(&cli->out, &t->identity);
    emk_cli_show_policy(&cli->out, &t->policy);
    emk_cli_put_time(&cli->out, "seal_and_accept_until", t->expires);
    if (t->policy.lease_s)
        emk_cli_next(cli, ": earmark lease issue %s -o FILE.lease", path);
    emk_cli_next(cli, ", where the model is: earmark seal MODEL --ticket %s -o FILE.emk", path);
}

static emk_status answer(emk_cli *cli, const char *dir, emk_span message, uint64_t now)
{
    emk_ticket ticket;
    emk_policy policy = {0};
    uint64_t valid = 0;
    emk_verify_key *issuer = NULL;
    emk_cli_signer signer = {0};
    const emk_crypto *c = NULL;
    emk_request request;
    uint8_t lease_key[EMK_LEASE_KEY_LEN];
    emk_buf out;
    emk_status st = read_policy(cli, now, &policy);

    emk_buf_init(&out, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = time_option(cli, "valid", VALID, now, &valid);
    if (st == EMK_OK && valid <= now)
        st = emk_cli_usage(cli, "--valid is in the past");
    if (st == EMK_OK && policy.not_before >= valid)
        st = emk_cli_usage(cli, "--not-before is not before --valid: no device could accept it");
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_cli_verify_key_read(cli, dir, &issuer);
    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_request_verify(c, message, issuer, now, &request, &cli->error),
                           emk_cli_operand_at(cli, 0));
    if (st == EMK_OK)
        st = emk_cli_signer_open(cli, dir, EMK_CLI_KEY_ISSUER, &signer);
    if (st == EMK_OK) {
        emk_ticket_answer(&request, &ticket);
        ticket.policy = policy;
        ticket.issued = now;
        ticket.expires = valid;
        st = emk_random_public(c, ticket.id, EMK_ID_LEN, &cli->error);
    }
    if (st == EMK_OK && policy.lease_s)
        st = emk_cli_lease_prepare(cli, dir, &request, lease_key, &ticket);
    if (st == EMK_OK)
        st = issue(cli, dir, &signer.signer, &ticket, &out);
    if (st == EMK_OK)
        report(cli, &ticket);
    emk_cli_signer_done(&signer);
    emk_verify_key_free(issuer);
    emk_buf_done(&out);
    return st;
}

static emk_status run(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX];
    emk_buf message;
    emk_status st;

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    st = emk_cli_home(cli, "issuer", dir);
    if (st == EMK_OK)
        st = emk_cli_read_input(cli, emk_cli_operand_at(cli, 0), EMK_MESSAGE_MAX, &message);
    if (st == EMK_OK)
        st = answer(cli, dir, emk_buf_span(&message), emk_os_now_s());
    emk_buf_done(&message);
    return st;
}

static const char *const paragraphs[] = {
    "Allows what a request asks for: signs a ticket that says which model may be sealed, for which "
    "user on which device, and under what policy. Whether this user may have this model you "
    "decide; look at the request with `earmark inspect` first.",
    "A ticket is good for minutes and for one sealed model. TIME is a duration from now (90s, 15m, "
    "12h, 30d, 1y), a date or an RFC 3339 time.",
    "With --lease the device also needs a lease, the first with the model (`earmark lease issue`), "
    "and asks again in time; refuse it, and the model sleeps.",
    NULL};

static const emk_cli_operand operands[] = {
    {"REQUEST", EMK_CLI_FILE, "what `earmark request` wrote; - is standard input", false},
    {0},
};

static const emk_cli_option options[] = {
    {"output", 'o', EMK_CLI_FILE, "FILE", "write the ticket here; - is standard output", true},
    {"expires", 0, EMK_CLI_WORD, "TIME", "the model opens until then (" EXPIRES ")", false},
    {"not-before", 0, EMK_CLI_WORD, "TIME", "and not earlier than this", false},
    {"max-opens", 0, EMK_CLI_WORD, "N", "the model opens this many times", false},
    {"memory", 0, EMK_CLI_WORD, "KIND",
     "locked: only in memory that is never swapped; secret: only in memfd_secret", false},
    {"min-guard", 0, EMK_CLI_WORD, "LEVEL", "1 to 3: what the app's guard must reach", false},
    {"release", 0, EMK_CLI_WORD, "N", "a device that had a higher release refuses this", false},
    {"lease", 0, EMK_CLI_WORD, "DURATION", "the model opens only under a lease, this long each",
     false},
    {"grace", 0, EMK_CLI_WORD, "DURATION", "and this much longer, if the device cannot ask", false},
    {"renew-after", 0, EMK_CLI_WORD, "DURATION", "when the device asks again (half of the lease)",
     false},
    {"valid", 0, EMK_CLI_WORD, "TIME", "seal and accept until then (" VALID ")", false},
    EMK_CLI_OPTION_ISSUER_DIR,
    EMK_CLI_OPTION_PASSPHRASE_FILE,
    EMK_CLI_OPTION_PASSPHRASE_FD,
    {0},
};

static const emk_cli_example examples[] = {
    {"For a month and a hundred opens:",
     "earmark ticket cat.request --expires 30d --max-opens 100 -o cat.ticket"},
    {"Under a lease of a week, to be renewed:",
     "earmark ticket cat.request --lease 7d --grace 2d -o cat.ticket"},
    {"Until the end of the year:",
     "earmark ticket cat.request --expires 2026-12-31T23:59:59Z -o cat.ticket"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_FORMAT, "this is not a request, or it is damaged"},
    {EMK_E_SIGNATURE, "the device is not certified by this issuer"},
    {EMK_E_POLICY, "the device's certificate has expired"},
    {EMK_E_USED, "this request has a ticket already"},
    {EMK_E_NOT_FOUND, "there is no issuer in this directory"},
    {0},
};

const emk_cli_command EMK_CLI_TICKET = {
    .name = "ticket",
    .summary = "allows what a request asks for",
    .synopsis = "REQUEST -o FILE [--expires TIME] [--max-opens N] [--memory KIND]",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
