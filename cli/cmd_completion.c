#include "cli/commands.h"
#include "cli/help.h"

#include <string.h>

static emk_status run(emk_cli *cli)
{
    static const struct {
        const char *shell;
        void (*print)(FILE *f);
    } shells[] = {{"bash", emk_cli_complete_bash},
                  {"zsh", emk_cli_complete_zsh},
                  {"fish", emk_cli_complete_fish}};

    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(emk_cli_operand_at(cli, 0), shells[i].shell) == 0) {
            cli->out.json = false;
            shells[i].print(stdout);
            return EMK_OK;
        }
    }
    return emk_cli_usage(cli, "SHELL is one of bash, zsh, fish");
}

static const char *const paragraphs[] = {
    "Prints a script that teaches the shell the commands, options and files of earmark.", NULL};

static const emk_cli_operand operands[] = {
    {"SHELL", EMK_CLI_WORD, "bash, zsh or fish", false},
    {0},
};

static const emk_cli_example examples[] = {
    {"Now, in this bash:", "source <(earmark completion bash)"},
    {"For good, in bash:",
     "earmark completion bash > ~/.local/share/bash-completion/completions/earmark"},
    {"For good, in fish:", "earmark completion fish > ~/.config/fish/completions/earmark.fish"},
    {0},
};

const emk_cli_command EMK_CLI_COMPLETION = {
    .name = "completion",
    .summary = "prints a completion script for a shell",
    .synopsis = "bash|zsh|fish",
    .paragraphs = paragraphs,
    .operands = operands,
    .examples = examples,
    .run = run,
};
