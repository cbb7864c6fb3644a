#include "cli/args.h"

#include "cli/text.h"

#include <assert.h>
#include <string.h>

#define NEAR 3u /* edits that still are a slip of the fingers */

const emk_cli_option EMK_CLI_COMMON[] = {
    {"json", 0, EMK_CLI_FLAG, NULL, "print one JSON object instead of text", false},
    {"quiet", 'q', EMK_CLI_FLAG, NULL, "no progress bar and no remarks", false},
    {"help", 'h', EMK_CLI_FLAG, NULL, "show this help", false},
    {0},
};

static bool is_command(const emk_cli_command *c, const char *first, const char *second)
{
    const char *space = strchr(c->name, ' ');
    size_t n = space ? (size_t)(space - c->name) : strlen(c->name);

    if (strncmp(c->name, first, n) != 0 || first[n] != 0)
        return false;
    return space ? second && strcmp(space + 1, second) == 0 : true;
}

const emk_cli_command *emk_cli_find(char **argv, int *n_words)
{
    for (size_t i = 0; argv[0] && EMK_CLI_COMMANDS[i]; i++) {
        if (is_command(EMK_CLI_COMMANDS[i], argv[0], argv[1])) {
            *n_words = strchr(EMK_CLI_COMMANDS[i]->name, ' ') ? 2 : 1;
            return EMK_CLI_COMMANDS[i];
        }
    }
    return NULL;
}

bool emk_cli_is_group(const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        const char *name = EMK_CLI_COMMANDS[i]->name;

        if (strncmp(name, word, n) == 0 && name[n] == ' ')
            return true;
    }
    return false;
}

const char *emk_cli_nearest_command(const char *word)
{
    const char *best = NULL;
    size_t best_distance = NEAR;

    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        size_t d = emk_cli_distance(word, EMK_CLI_COMMANDS[i]->name);

        if (d < best_distance) {
            best_distance = d;
            best = EMK_CLI_COMMANDS[i]->name;
        }
    }
    return best;
}

/* Option number i of a command: its own, then the common ones; NULL behind the last. */
static const emk_cli_option *option_at(const emk_cli_command *c, size_t i)
{
    for (const emk_cli_option *o = c->options; o && o->name; o++) {
        if (i-- == 0)
            return o;
    }
    for (const emk_cli_option *o = EMK_CLI_COMMON; o->name; o++) {
        if (i-- == 0)
            return o;
    }
    return NULL;
}

static const emk_cli_option *option_named(const emk_cli_command *c, const char *name, size_t len)
{
    const emk_cli_option *o;

    for (size_t i = 0; (o = option_at(c, i)) != NULL; i++) {
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    }
    return NULL;
}

static const emk_cli_option *option_lettered(const emk_cli_command *c, char letter)
{
    const emk_cli_option *o;

    for (size_t i = 0; (o = option_at(c, i)) != NULL; i++) {
        if (o->letter == letter)
            return o;
    }
    return NULL;
}

static emk_status unknown_option(emk_cli *cli, const char *name, size_t len)
{
    const emk_cli_option *o, *best = NULL;
    size_t best_distance = NEAR;
    char word[33], shown[64];

    emk_cli_clean(emk_span_of(name, len), shown, sizeof shown);
    snprintf(word, sizeof word, "%.*s", (int)(len < 32 ? len : 32), name);
    for (size_t i = 0; (o = option_at(cli->command, i)) != NULL; i++) {
        size_t d = emk_cli_distance(word, o->name);

        if (d < best_distance) {
            best_distance = d;
            best = o;
        }
    }
    if (best)
        return emk_cli_usage(cli, "there is no option --%s; did you mean --%s?", shown, best->name);
    return emk_cli_usage(cli, "there is no option --%s", shown);
}

static emk_status add_option(emk_cli *cli, const emk_cli_option *o, const char *value)
{
    emk_cli_args *a = &cli->args;

    for (size_t i = 0; i < a->n_options; i++) {
        if (a->option[i] == o && o->takes != EMK_CLI_FLAG)
            return emk_cli_usage(cli, "--%s is given twice", o->name);
    }
    if (a->n_options == EMK_CLI_OPTIONS_MAX)
        return emk_cli_usage(cli, "too many options");
    a->option[a->n_options] = o;
    a->value[a->n_options++] = value;
    return EMK_OK;
}

/* Takes the value from behind the option or from the next word, which it then consumes. */
static emk_status add_with_value(emk_cli *cli, const emk_cli_option *o, const char *attached,
                                 char ***words)
{
    if (o->takes == EMK_CLI_FLAG)
        return attached ? emk_cli_usage(cli, "--%s takes no value", o->name)
                        : add_option(cli, o, NULL);
    if (attached)
        return add_option(cli, o, attached);
    if (!**words)
        return emk_cli_usage(cli, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
    return add_option(cli, o, *(*words)++);
}

static emk_status parse_long(emk_cli *cli, const char *word, char ***words)
{
    const char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    const emk_cli_option *o = option_named(cli->command, word, len);

    if (!o)
        return unknown_option(cli, word, len);
    return add_with_value(cli, o, equals ? equals + 1 : NULL, words);
}

/* "-q", "-qh", "-oFILE", "-o FILE". */
static emk_status parse_letters(emk_cli *cli, const char *letters, char ***words)
{
    for (; *letters != 0; letters++) {
        const emk_cli_option *o = option_lettered(cli->command, *letters);
        emk_status st;
        char shown[16];

        if (!o) {
            emk_cli_clean(emk_span_of(letters, 1), shown, sizeof shown);
            return emk_cli_usage(cli, "there is no option -%s", shown);
        }
        if (o->takes != EMK_CLI_FLAG)
            return add_with_value(cli, o, letters[1] ? letters + 1 : NULL, words);
        st = add_option(cli, o, NULL);
        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}

static size_t n_operands(const emk_cli_command *c)
{
    size_t n = 0;

    while (c->operands && c->operands[n].name)
        n++;
    return n;
}

static size_t operands_allowed(const emk_cli_command *c)
{
    return c->many_operands ? EMK_CLI_OPERANDS_MAX : n_operands(c);
}

static emk_status add_operand(emk_cli *cli, const char *word)
{
    char shown[128];

    if (cli->args.n_operands < operands_allowed(cli->command)) {
        cli->args.operand[cli->args.n_operands++] = word;
        return EMK_OK;
    }
    emk_cli_clean(emk_span_str(word), shown, sizeof shown);
    if (cli->command->takes_command)
        return emk_cli_usage(cli, "put -- before the command: -- %s ...", shown);
    return emk_cli_usage(cli, "one word too many: %s", shown);
}

static emk_status check_complete(emk_cli *cli)
{
    const emk_cli_option *o;
    size_t n = cli->args.n_operands;

    if (emk_cli_option_given(cli, "help"))
        return EMK_OK;
    if (n < n_operands(cli->command) && !cli->command->operands[n].optional)
        return emk_cli_usage(cli, "%s is missing: %s", cli->command->operands[n].name,
                             cli->command->operands[n].help);
    for (size_t i = 0; (o = option_at(cli->command, i)) != NULL; i++) {
        if (o->required && !emk_cli_option_given(cli, o->name))
            return emk_cli_usage(cli, "--%s %s is missing: %s", o->name, o->arg, o->help);
    }
    if (cli->command->takes_command && (!cli->args.command || !cli->args.command[0]))
        return emk_cli_usage(cli, "the command to run is missing: put it behind --");
    return EMK_OK;
}

emk_status emk_cli_parse(emk_cli *cli, char **words)
{
    emk_status st = EMK_OK;

    while (*words && st == EMK_OK) {
        char *word = *words++;

        if (strcmp(word, "--") == 0 && cli->command->takes_command) {
            cli->args.command = words;
            break;
        }
        if (strcmp(word, "--") == 0) {
            while (*words && st == EMK_OK)
                st = add_operand(cli, *words++);
        } else if (strncmp(word, "--", 2) == 0) {
            st = parse_long(cli, word + 2, &words);
        } else if (word[0] == '-' && word[1] != 0) {
            st = parse_letters(cli, word + 1, &words);
        } else {
            st = add_operand(cli, word);
        }
    }
    return st == EMK_OK ? check_complete(cli) : st;
}

bool emk_cli_option_given(const emk_cli *cli, const char *name)
{
    assert(option_named(cli->command, name, strlen(name)));
    for (size_t i = 0; i < cli->args.n_options; i++) {
        if (strcmp(cli->args.option[i]->name, name) == 0)
            return true;
    }
    return false;
}

const char *emk_cli_option_value(const emk_cli *cli, const char *name)
{
    assert(option_named(cli->command, name, strlen(name)));
    for (size_t i = 0; i < cli->args.n_options; i++) {
        if (strcmp(cli->args.option[i]->name, name) == 0)
            return cli->args.value[i];
    }
    return NULL;
}

const char *emk_cli_operand_at(const emk_cli *cli, size_t i)
{
    return i < cli->args.n_operands ? cli->args.operand[i] : NULL;
}
