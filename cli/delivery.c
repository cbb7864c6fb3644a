#include "cli/delivery.h"

#include "cli/scan.h"
#include "cli/text.h"
#include "core/base/os_file.h"
#include "core/crypto/hash.h"

#include <inttypes.h>
#include <string.h>

#define FILE_MAX   (64u << 10)
#define KEY_CHARS  32u
#define BLOB_FIRST "earmark-blob-1\n"

static const char *const ALL[] = {"request", "once", "blob", "ticket", "lease", "sealed", NULL};
static const char *const KEPT[] = {"request", "once", "blob", NULL};

/* ---- the folder ---- */

/* Each text with its length in front: two questions never have one name. */
static emk_status name_of(emk_cli *cli, const emk_client_want *want, char out[KEY_CHARS + 1])
{
    const emk_span texts[] = {want->model, want->version, want->use, want->user, want->app};
    uint8_t lens[5], hash[EMK_SHA256_LEN];
    emk_span parts[10];
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    for (size_t i = 0; i < 5; i++) {
        if (texts[i].len > EMK_TEXT_MAX)
            return emk_cli_usage(cli, "a name is longer than %u bytes", EMK_TEXT_MAX);
        lens[i] = (uint8_t)texts[i].len;
        parts[2 * i] = emk_span_of(&lens[i], 1);
        parts[2 * i + 1] = texts[i];
    }
    if (st == EMK_OK)
        st = emk_sha256(c, parts, 10, hash, &cli->error);
    if (st == EMK_OK)
        emk_cli_format_hex(emk_span_of(hash, KEY_CHARS / 2), out, KEY_CHARS + 1);
    return st;
}

static emk_status open_dir(emk_cli *cli, const char *dir, emk_cli_delivery *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_os_make_dir(dir, &cli->error);

    (void)snprintf(out->dir, sizeof out->dir, "%s", dir);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "lock", path);
    if (st == EMK_OK)
        st = emk_os_lock_file(path, false, &out->lock, &cli->error);
    if (st == EMK_E_BUSY)
        st = emk_cli_advise(cli, st, "Another earmark is fetching this model: let it finish.");
    return emk_cli_about(cli, st, dir);
}

emk_status emk_cli_delivery_open(emk_cli *cli, const char *device_dir, const emk_client_want *want,
                                 emk_cli_delivery *out)
{
    char name[KEY_CHARS + 1], all[EMK_CLI_PATH_MAX], dir[EMK_CLI_PATH_MAX];
    emk_status st = name_of(cli, want, name);

    *out = (emk_cli_delivery){.lock = -1};
    if (st == EMK_OK)
        st = emk_cli_join(cli, device_dir, "deliveries", all);
    if (st == EMK_OK)
        st = emk_os_make_dir(all, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, all, name, dir);
    return st == EMK_OK ? open_dir(cli, dir, out) : st;
}

void emk_cli_delivery_close(emk_cli_delivery *d)
{
    emk_os_close(d->lock);
    d->lock = -1;
}

/* ---- its files ---- */

bool emk_cli_delivery_has(emk_cli *cli, const emk_cli_delivery *d, const char *name)
{
    char path[EMK_CLI_PATH_MAX];

    return emk_cli_join(cli, d->dir, name, path) == EMK_OK && emk_os_exists(path);
}

emk_status emk_cli_delivery_get(emk_cli *cli, const emk_cli_delivery *d, const char *name,
                                emk_buf *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, d->dir, name, path);

    if (st == EMK_OK)
        st = emk_os_read_file(path, FILE_MAX, out, &cli->error);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_delivery_put(emk_cli *cli, const emk_cli_delivery *d, const char *name,
                                emk_span bytes)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, d->dir, name, path);

    return st == EMK_OK ? emk_cli_write_output(cli, path, bytes) : st;
}

void emk_cli_delivery_drop(emk_cli *cli, const emk_cli_delivery *d, const char *name)
{
    char path[EMK_CLI_PATH_MAX];

    if (emk_cli_join(cli, d->dir, name, path) == EMK_OK && emk_os_exists(path) &&
        emk_os_remove(path, NULL) != EMK_OK)
        emk_cli_remark(cli, "%s could not be removed", path);
}

void emk_cli_delivery_clear(emk_cli *cli, const emk_cli_delivery *d, bool keep)
{
    for (const char *const *name = keep ? KEPT : ALL; *name; name++)
        emk_cli_delivery_drop(cli, d, *name);
}

bool emk_cli_blob_parse(const char *text, emk_cli_blob *out)
{
    emk_cli_scan s = {text, false};

    emk_cli_scan_word(&s, BLOB_FIRST "url ");
    emk_cli_scan_text(&s, out->url, sizeof out->url);
    emk_cli_scan_word(&s, "\netag ");
    emk_cli_scan_text(&s, out->etag, sizeof out->etag);
    emk_cli_scan_word(&s, "\nsize ");
    out->size = emk_cli_scan_number(&s);
    emk_cli_scan_word(&s, "\nticket ");
    emk_cli_scan_text(&s, out->ticket, sizeof out->ticket);
    emk_cli_scan_word(&s, "\n");
    return !s.bad;
}

emk_status emk_cli_blob_get(emk_cli *cli, const emk_cli_delivery *d, emk_cli_blob *out)
{
    char text[2048];
    emk_buf b;
    emk_status st;

    *out = (emk_cli_blob){.size = 0};
    emk_buf_init(&b, sizeof text - 1);
    st = emk_cli_delivery_get(cli, d, "blob", &b);
    if (st == EMK_OK) {
        memcpy(text, b.p, b.len);
        text[b.len] = 0;
        if (!emk_cli_blob_parse(text, out))
            st = emk_fail(&cli->error, EMK_E_FORMAT, "fetch: its file `blob` is damaged", 0);
    }
    emk_buf_done(&b);
    return st;
}

emk_status emk_cli_blob_put(emk_cli *cli, const emk_cli_delivery *d, const emk_cli_blob *blob)
{
    char text[2048];
    int n = snprintf(text, sizeof text, BLOB_FIRST "url %s\netag %s\nsize %" PRIu64 "\nticket %s\n",
                     blob->url, blob->etag, blob->size, blob->ticket);

    return emk_cli_delivery_put(cli, d, "blob", emk_span_of(text, (size_t)n));
}

/* ---- receipts that wait ---- */

typedef struct sending {
    emk_cli *cli;
    const emk_cli_remote *remote;
    const char *all;
    size_t waiting;
} sending;

/* What the server will never take is not sent for ever. */
static emk_status send_one(void *self, const char *name, emk_error *e)
{
    sending *s = self;
    emk_cli quiet = *s->cli; /* a failure here is none of the command's */
    emk_cli_delivery d = {.lock = -1};
    emk_buf receipt;
    emk_status st;

    (void)e;
    emk_buf_init(&receipt, EMK_MESSAGE_MAX);
    if (emk_cli_join(&quiet, s->all, name, d.dir) != EMK_OK ||
        !emk_cli_delivery_has(&quiet, &d, "receipt"))
        return EMK_OK;
    st = emk_cli_delivery_get(&quiet, &d, "receipt", &receipt);
    if (st == EMK_OK)
        st = emk_cli_remote_post_message(&quiet, s->remote, "/v1/receipts", "receipt",
                                         emk_buf_span(&receipt));
    emk_buf_done(&receipt);
    if (st == EMK_E_IO || st == EMK_E_BUSY || st == EMK_E_NO_MEMORY)
        s->waiting++;
    else
        emk_cli_delivery_drop(&quiet, &d, "receipt");
    return EMK_OK;
}

size_t emk_cli_receipts_send(emk_cli *cli, const emk_cli_remote *r)
{
    char all[EMK_CLI_PATH_MAX];
    sending s = {.cli = cli, .remote = r, .all = all};

    if (emk_cli_join(cli, r->device->dir, "deliveries", all) == EMK_OK && emk_os_exists(all) &&
        emk_os_list_dir(all, send_one, &s, NULL) != EMK_OK)
        s.waiting++;
    return s.waiting;
}
