#include "cli/guard.h"

#include "device/guard/judge.h"

#include <string.h>

#define NAMES_BYTES   2048u
#define NAMES_MAX     EMK_GUARD_ALLOWED_MAX
#define ROUNDS        3u /* what is there once only gets grace */
#define ENGINES_USUAL 3u

static const char *const LEVELS[] = {"off", "report", "careful", "strict"};
/* Beside what they do: a program reads the words above. */
static const char *const AT_LEVELS[] = {"", "at level report", "at level careful",
                                        "at level strict"};
static const char *const ACTIONS[] = {"nothing", "report", "short leases", "refuse", "wipe"};
static const char *const SURE[] = {"no", "a hint", "likely", "certain"};
static const char *const engines_usual[ENGINES_USUAL] = {"libonnxruntime", "libLiteRt",
                                                         "libtensorflowlite"};

/* "a,b,c" taken apart in place. */
typedef struct names {
    char text[NAMES_BYTES];
    const char *name[NAMES_MAX];
    size_t n;
} names;

static emk_status take_apart(emk_cli *cli, const char *text, names *out)
{
    char *next = out->text;

    out->n = 0;
    if (!text)
        return EMK_OK;
    if (strlen(text) >= sizeof out->text)
        return emk_cli_usage(cli, "the list of names is too long");
    memcpy(out->text, text, strlen(text) + 1);
    while (next && *next) {
        if (out->n == NAMES_MAX)
            return emk_cli_usage(cli, "too many names in a list");
        out->name[out->n++] = next;
        next = strchr(next, ',');
        if (next)
            *next++ = 0;
    }
    return EMK_OK;
}

static bool has_option(const emk_cli *cli)
{
    for (const emk_cli_option *o = cli->command->options; o && o->name; o++) {
        if (strcmp(o->name, "guard") == 0 && o->takes == EMK_CLI_WORD)
            return true;
    }
    return false;
}

static emk_status level_option(emk_cli *cli, emk_guard_level *out)
{
    const char *text = has_option(cli) ? emk_cli_option_value(cli, "guard") : NULL;

    *out = EMK_GUARD_OFF;
    if (!text)
        return EMK_OK;
    for (unsigned i = 0; i <= EMK_GUARD_STRICT; i++) {
        if (strcmp(text, LEVELS[i]) == 0) {
            *out = (emk_guard_level)i;
            return EMK_OK;
        }
    }
    return emk_cli_usage(cli, "--guard is off, report, careful or strict");
}

static emk_status override_one(emk_cli *cli, const char *text, uint8_t overrides[EMK_GUARD_SIGNALS])
{
    static const char *const words[] = {NULL, "report", "degrade", "refuse", "wipe"};
    const char *action = strchr(text, '=');
    const size_t len = action ? (size_t)(action - text) : 0;

    for (unsigned s = 0; action && s < EMK_GUARD_SIGNALS; s++) {
        const char *name = emk_guard_signal_about((emk_guard_signal)s)->name;

        if (strlen(name) != len || memcmp(name, text, len) != 0)
            continue;
        for (unsigned a = EMK_GUARD_DO_REPORT; a <= EMK_GUARD_DO_WIPE; a++) {
            if (strcmp(action + 1, words[a]) == 0) {
                overrides[s] = (uint8_t)a;
                return EMK_OK;
            }
        }
    }
    return emk_cli_usage(cli, "--override is SIGNAL=ACTION with a signal of `earmark doctor "
                              "--guard --all` and report, degrade, refuse or wipe");
}

static emk_status override_all(emk_cli *cli, uint8_t overrides[EMK_GUARD_SIGNALS])
{
    static names pairs;
    emk_status st = take_apart(cli, emk_cli_option_value(cli, "override"), &pairs);

    for (size_t i = 0; st == EMK_OK && i < pairs.n; i++)
        st = override_one(cli, pairs.name[i], overrides);
    return st;
}

static emk_status make(emk_cli *cli, emk_guard_level level, emk_guard **out)
{
    static names allowed, engines; /* copied by the guard */
    const emk_crypto *crypto = NULL;
    emk_guard_config config = {.level = level,
                               .allowed = allowed.name,
                               .engines = engines_usual,
                               .n_engines = ENGINES_USUAL};
    emk_status st = take_apart(cli, emk_cli_option_value(cli, "allow"), &allowed);

    if (st == EMK_OK)
        st = take_apart(cli, emk_cli_option_value(cli, "engine"), &engines);
    if (st == EMK_OK)
        st = override_all(cli, config.overrides);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &crypto);
    if (st != EMK_OK)
        return st;
    config.crypto = crypto;
    config.n_allowed = allowed.n;
    if (engines.n) {
        config.engines = engines.name;
        config.n_engines = engines.n;
    }
    return emk_guard_new(&config, out, &cli->error);
}

emk_status emk_cli_guard_open(emk_cli *cli, emk_guard **out)
{
    emk_guard *g = NULL;
    emk_guard_level level;
    emk_status st = level_option(cli, &level);

    *out = NULL;
    if (st != EMK_OK || level == EMK_GUARD_OFF)
        return st;
    st = make(cli, level, &g);
    if (st == EMK_OK)
        st = emk_guard_start(g, &cli->error);
    if (st != EMK_OK) {
        emk_guard_free(g);
        return st;
    }
    *out = g;
    return EMK_OK;
}

bool emk_cli_guard_refused(const emk_cli *cli, emk_status st)
{
    const char *what = cli->error.what ? cli->error.what : "";

    return st == EMK_E_POLICY &&
           (strncmp(what, "guard: ", 7) == 0 || strncmp(what, "policy: guard", 13) == 0);
}

const char *emk_cli_guard_entry_advice(emk_status st, const char *why)
{
    if (st == EMK_E_KEY_LOST && why && strstr(why, "another build"))
        return "It is bound to another build of the program that accepted it, and sound as far as "
               "can be seen: open it there, or request the model again with this one.";
    if (st == EMK_E_POLICY && why && strncmp(why, "guard: ", 7) == 0)
        return "It is bound to a guard, and sound as far as can be seen: the program that accepted "
               "it opens it, with its guard (--guard careful or --guard strict).";
    return NULL;
}

emk_status emk_cli_guard_advise(emk_cli *cli, emk_status st)
{
    const emk_guard_signal_info *about = emk_guard_signal_about((emk_guard_signal)cli->error.where);

    if (st == EMK_E_KEY_LOST && emk_cli_guard_entry_advice(st, cli->error.what))
        return emk_cli_advise(cli, st, "%s", emk_cli_guard_entry_advice(st, cli->error.what));
    if (!emk_cli_guard_refused(cli, st))
        return st;
    if (strncmp(cli->error.what, "policy: ", 8) == 0 || strstr(cli->error.what, "needs one"))
        return emk_cli_advise(cli, st,
                              "Its policy asks for a guard: --guard careful or --guard strict.");
    return emk_cli_advise(cli, st, "%s `earmark doctor --guard` explains all that is seen.",
                          about ? about->advice : "");
}

/* ---- doctor --guard ---- */

/* What a level makes of this one finding alone. */
static void show_actions(emk_cli_out *o, const emk_guard_finding *f, const uint8_t *overrides)
{
    for (unsigned level = EMK_GUARD_REPORT; level <= EMK_GUARD_STRICT; level++)
        emk_cli_put_string(
            o, (o->json ? LEVELS : AT_LEVELS)[level],
            ACTIONS[emk_guard_judge_findings(f, 1, (emk_guard_level)level, overrides)]);
}

static const emk_guard_finding *finding_of(const emk_guard_report *r, emk_guard_signal s)
{
    for (uint32_t i = 0; i < r->n_findings; i++) {
        if (r->findings[i].signal == s)
            return &r->findings[i];
    }
    return NULL;
}

typedef struct shown {
    const emk_guard_report *report;
    uint8_t overrides[EMK_GUARD_SIGNALS];
} shown;

static void show_signal(emk_cli_out *o, const shown *what, emk_guard_signal s)
{
    const emk_guard_signal_info *about = emk_guard_signal_about(s);
    const emk_guard_finding *f = finding_of(what->report, s);

    emk_cli_begin(o, o->json ? NULL : about->name);
    if (o->json)
        emk_cli_put_string(o, "signal", about->name);
    emk_cli_put_string(o, "sees", about->sees);
    emk_cli_put_string(o, "evaded_by", about->evaded_by);
    emk_cli_put_string(o, "looks_like", about->looks_like);
    emk_cli_put_string(o, "found", SURE[f ? f->confidence : 0]);
    if (f) {
        emk_cli_put_text(o, "detail", emk_span_str(f->detail));
        emk_cli_put_number(o, "seen", f->n_seen);
        emk_cli_put_string(o, "advice", about->advice);
        show_actions(o, f, what->overrides);
    }
    emk_cli_end(o);
}

static void show_report(emk_cli_out *o, emk_guard *g, const emk_guard_report *r)
{
    emk_cli_begin(o, "guard");
    emk_cli_put_number(o, "looks", r->n_looks);
    emk_cli_put_number(o, "findings", r->n_findings);
    for (unsigned level = EMK_GUARD_REPORT; level <= EMK_GUARD_STRICT; level++)
        emk_cli_put_string(o, (o->json ? LEVELS : AT_LEVELS)[level],
                           ACTIONS[emk_guard_judge(g, (emk_guard_level)level)]);
    emk_cli_put_hex(o, "measurement", emk_span_of(r->measurement, sizeof r->measurement));
    emk_cli_end(o);
}

emk_status emk_cli_guard_show(emk_cli *cli)
{
    const bool all = cli->out.json || emk_cli_option_given(cli, "all");
    emk_guard_report report;
    shown what = {.report = &report};
    emk_guard *g = NULL;
    emk_status st = override_all(cli, what.overrides);

    if (st == EMK_OK)
        st = make(cli, EMK_GUARD_REPORT, &g);
    if (st != EMK_OK)
        return st;
    for (unsigned i = 1; i < ROUNDS; i++)
        emk_guard_round(g);
    emk_guard_report_get(g, &report);
    show_report(&cli->out, g, &report);
    emk_cli_begin_list(&cli->out, "signals");
    for (unsigned s = 0; s < EMK_GUARD_SIGNALS; s++) {
        if (all || finding_of(&report, (emk_guard_signal)s))
            show_signal(&cli->out, &what, (emk_guard_signal)s);
    }
    emk_cli_end(&cli->out);
    if (!all)
        emk_cli_put_string(&cli->out, "everything else",
                           "looked for and not found; --all explains");
    emk_guard_free(g);
    return EMK_OK;
}
