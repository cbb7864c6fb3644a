#include "cli/commands.h"
#include "cli/version.h"

static emk_status run(emk_cli *cli)
{
    emk_cli_put_string(&cli->out, "earmark", EMK_CLI_VERSION);
    emk_cli_put_string(&cli->out, "libcrypto", emk_crypto_version());
    emk_cli_put_number(&cli->out, "format", 1);
#ifdef EMK_FAULTS
    emk_cli_put_string(&cli->out, "build", "with failure injection: for tests, not for use");
#endif
    return EMK_OK;
}

static const char *const paragraphs[] = {
    "Prints the version of Earmark, of the libcrypto it runs with, and of the file format it "
    "writes.",
    NULL};

static const emk_cli_example examples[] = {
    {"For a bug report:", "earmark version --json"},
    {0},
};

const emk_cli_command EMK_CLI_VERSION_COMMAND = {
    .name = "version",
    .summary = "says which version this is",
    .synopsis = "[--json]",
    .paragraphs = paragraphs,
    .examples = examples,
    .run = run,
};
