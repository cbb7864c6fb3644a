/* Files that the command line keeps beside a device: its server, what it counts, where a sealed
 * model is.  Whatever is in them, texts end and numbers keep their limits. */
#include "cli/delivery.h"
#include "cli/remote.h"
#include "core/proto/http_signature.h"
#include "fuzz/check.h"

#include <string.h>

const emk_cli_command *const EMK_CLI_COMMANDS[] = {NULL}; /* the program's own table: none here */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_span in = emk_span_of(data, size);
    emk_cli_counted counted;
    emk_cli_profile profile;
    emk_cli_blob blob = {.size = 0};
    char text[2048];

    emk_cli_counted_parse(in, &counted);
    must(counted.counter <= EMK_HTTP_COUNTER_MAX, "the counter's limit");
    must(memchr(counted.nonce, 0, sizeof counted.nonce) != NULL, "a nonce that ends");
    if (emk_cli_profile_parse(in, &profile, NULL) == EMK_OK)
        must(profile.url[0] && memchr(profile.url, 0, sizeof profile.url) &&
                 memchr(profile.ca, 0, sizeof profile.ca) &&
                 memchr(profile.pin, 0, sizeof profile.pin),
             "texts that end");
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (emk_cli_blob_parse(text, &blob))
        must(memchr(blob.url, 0, sizeof blob.url) && memchr(blob.etag, 0, sizeof blob.etag) &&
                 memchr(blob.ticket, 0, sizeof blob.ticket),
             "texts that end");
    return 0;
}
