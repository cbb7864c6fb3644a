#include "cli/help.h"

#include <string.h>

/* In single quotes of a shell. */
static void quoted(FILE *f, const char *text)
{
    fputc('\'', f);
    for (; *text != 0; text++) {
        if (*text == '\'')
            fputs("'\\''", f);
        else
            fputc(*text, f);
    }
    fputc('\'', f);
}

/* The first word of name `i`, when no command before had it. */
static bool first_word(size_t i, char word[32])
{
    const char *name = EMK_CLI_COMMANDS[i]->name;
    size_t n = strcspn(name, " ");

    for (size_t k = 0; k < i; k++) {
        const char *other = EMK_CLI_COMMANDS[k]->name;

        if (strcspn(other, " ") == n && memcmp(other, name, n) == 0)
            return false;
    }
    snprintf(word, 32, "%.*s", (int)n, name);
    return true;
}

static void first_words(FILE *f)
{
    char word[32];

    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        if (first_word(i, word))
            fprintf(f, "%s ", word);
    }
}

static void second_words(FILE *f, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        const char *name = EMK_CLI_COMMANDS[i]->name;

        if (strncmp(name, word, n) == 0 && name[n] == ' ')
            fprintf(f, "%s ", name + n + 1);
    }
}

/* fn for each option of c, its own and the common ones. */
static void each_option(FILE *f, const emk_cli_command *c,
                        void (*fn)(FILE *f, const emk_cli_command *c, const emk_cli_option *o))
{
    for (const emk_cli_option *o = c->options; o && o->name; o++)
        fn(f, c, o);
    for (const emk_cli_option *o = EMK_CLI_COMMON; o->name; o++)
        fn(f, c, o);
}

static void bash_option(FILE *f, const emk_cli_command *c, const emk_cli_option *o)
{
    (void)c;
    fprintf(f, " --%s", o->name);
    if (o->letter)
        fprintf(f, " -%c", o->letter);
}

static void bash_takes(FILE *f, const emk_cli_command *c, emk_cli_takes takes)
{
    for (const emk_cli_option *o = c->options; o && o->name; o++) {
        if (o->takes != takes)
            continue;
        fprintf(f, " --%s", o->name);
        if (o->letter)
            fprintf(f, " -%c", o->letter);
    }
}

/* Commands of two words: the second one, and then both are the name. */
static void bash_groups(FILE *f)
{
    char word[32];

    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        if (!first_word(i, word) || !strchr(EMK_CLI_COMMANDS[i]->name, ' '))
            continue;
        fprintf(f,
                "    %s)\n        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                "            COMPREPLY=($(compgen -W '",
                word);
        second_words(f, word);
        fputs("' -- \"$cur\"))\n            return\n        fi\n"
              "        name=\"$name ${COMP_WORDS[2]}\" at=3\n        ;;\n",
              f);
    }
}

static void bash_options(FILE *f, const emk_cli_command *c)
{
    fprintf(f, "    '%s')\n        words='", c->name);
    each_option(f, c, bash_option);
    fputs("' files='", f);
    bash_takes(f, c, EMK_CLI_FILE);
    fputs(" ' dirs='", f);
    bash_takes(f, c, EMK_CLI_DIR);
    fputs(" ' plain='", f);
    bash_takes(f, c, EMK_CLI_WORD);
    fputs(" '\n        ;;\n", f);
}

void emk_cli_complete_bash(FILE *f)
{
    fputs("# bash completion for earmark; made by `earmark completion bash`\n"
          "_earmark()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local name=${COMP_WORDS[1]} at=2 words= files= dirs= plain= all='",
          f);
    first_words(f);
    fputs("'\n    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W \"$all\" -- \"$cur\"))\n        return\n    fi\n"
          "    case $name in\n",
          f);
    bash_groups(f);
    fputs("    esac\n    case $name in\n", f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++)
        bash_options(f, EMK_CLI_COMMANDS[i]);
    fputs("    esac\n"
          "    [ \"$COMP_CWORD\" -ge \"$at\" ] || return\n"
          "    case $dirs in *\" $prev \"*)\n"
          "        COMPREPLY=($(compgen -d -- \"$cur\"))\n        return ;;\n    esac\n"
          "    case $plain in *\" $prev \"*) return ;; esac\n"
          "    case $files in *\" $prev \"*)\n"
          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n        return ;;\n    esac\n"
          "    case $name:$cur in\n"
          "    *:-*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    help:*) COMPREPLY=($(compgen -W \"$all\" -- \"$cur\")) ;;\n"
          "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
          "    esac\n}\ncomplete -o filenames -F _earmark earmark\n",
          f);
}

/* "[help]" of a zsh option: brackets and colons would end it. */
static void zsh_text(FILE *f, const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '\'')
            fputs("'\\''", f);
        else if (strchr("[]:\\", *text))
            fprintf(f, "\\%c", *text);
        else
            fputc(*text, f);
    }
}

static void zsh_option(FILE *f, const emk_cli_command *c, const emk_cli_option *o)
{
    static const char *const action[] = {"", ": ", ":_files", ":_files -/"};

    (void)c;
    if (o->letter)
        fprintf(f, " \\\n            '(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter,
                o->name);
    else
        fprintf(f, " \\\n            '--%s[", o->name);
    zsh_text(f, o->help);
    fputs("]", f);
    if (o->takes != EMK_CLI_FLAG)
        fprintf(f, ":%s%s", o->arg, action[o->takes]);
    fputs("'", f);
}

void emk_cli_complete_zsh(FILE *f)
{
    fputs("#compdef earmark\n# made by `earmark completion zsh`\n"
          "_earmark() {\n    local -a commands\n    local name=$words[2]\n    commands=(\n",
          f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        char word[32];

        if (first_word(i, word))
            fprintf(f, "        '%s'\n", word);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n"
          "        _describe command commands\n        return\n    fi\n"
          "    case $name in\n",
          f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        char word[32];

        if (!first_word(i, word) || !strchr(EMK_CLI_COMMANDS[i]->name, ' '))
            continue;
        fprintf(f, "    %s)\n        if (( CURRENT == 3 )); then\n            compadd ", word);
        second_words(f, word);
        fputs("\n            return\n        fi\n        name=\"$name $words[3]\"\n        ;;\n",
              f);
    }
    fputs("    help)\n        compadd ", f);
    first_words(f);
    fputs("\n        return\n        ;;\n    esac\n    case $name in\n", f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        fprintf(f, "    '%s')\n        _arguments -s", EMK_CLI_COMMANDS[i]->name);
        each_option(f, EMK_CLI_COMMANDS[i], zsh_option);
        fputs(" \\\n            '*:file:_files'\n        ;;\n", f);
    }
    fputs("    esac\n}\n_earmark \"$@\"\n", f);
}

static void fish_seen(FILE *f, const emk_cli_command *c)
{
    const char *space = strchr(c->name, ' ');

    fprintf(f, "complete -c earmark -n '__fish_seen_subcommand_from %.*s",
            (int)strcspn(c->name, " "), c->name);
    if (space)
        fprintf(f, "; and __fish_seen_subcommand_from %s", space + 1);
    fputs("'", f);
}

static void fish_option(FILE *f, const emk_cli_command *c, const emk_cli_option *o)
{
    static const char *const takes[] = {"", " -x", " -r -F",
                                        " -x -a '(__fish_complete_directories)'"};

    fish_seen(f, c);
    fprintf(f, " -l %s", o->name);
    if (o->letter)
        fprintf(f, " -s %c", o->letter);
    fprintf(f, "%s -d ", takes[o->takes]);
    quoted(f, o->help);
    fputs("\n", f);
}

void emk_cli_complete_fish(FILE *f)
{
    char word[32];

    fputs("# fish completion for earmark; made by `earmark completion fish`\n", f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        const emk_cli_command *c = EMK_CLI_COMMANDS[i];
        const char *space = strchr(c->name, ' ');

        if (first_word(i, word)) {
            fprintf(f, "complete -c earmark -n __fish_use_subcommand -f -a %s -d ", word);
            quoted(f, space ? "commands of its own" : c->summary);
            fputs("\n", f);
        }
        if (space) {
            snprintf(word, sizeof word, "%.*s", (int)strcspn(c->name, " "), c->name);
            fprintf(f, "complete -c earmark -n '__fish_seen_subcommand_from %s' -f -a %s -d ", word,
                    space + 1);
            quoted(f, c->summary);
            fputs("\n", f);
        }
        each_option(f, c, fish_option);
    }
}
