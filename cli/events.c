/* State: `queue` is the folder, read under its lock and written whole, file by file, in an order in
 * which a kill loses nothing: batch, then (once the server has it) state, then the rest. */
#include "cli/events.h"

#include "cli/scan.h"
#include "cli/text.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"

#include <inttypes.h>
#include <string.h>

#define STATE_FIRST "earmark-events-1\n"
#define LINE_MAX    128u
#define TEXT_MAX    ((size_t)EMK_CLI_EVENTS_WAITING_MAX * LINE_MAX)

typedef struct item {
    uint64_t number;
    emk_event event;
} item;

typedef struct queue {
    char dir[EMK_CLI_PATH_MAX];
    int lock;
    uint64_t next;
    uint8_t last[EMK_HASH_LEN];
    item *items; /* owned; EMK_CLI_EVENTS_WAITING_MAX */
    size_t n;
} queue;

/* ---- reading ---- */

static emk_status read_file(emk_cli *cli, const queue *q, const char *name, size_t max,
                            emk_buf *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, q->dir, name, path);

    emk_buf_init(out, max + 1);
    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_read_file(path, max, out, &cli->error);
    if (st == EMK_OK) /* for emk_cli_scan */
        st = emk_buf_append(out, emk_span_of("", 1), &cli->error);
    return emk_cli_about(cli, st, path);
}

static emk_status damaged(emk_cli *cli)
{
    emk_status st = emk_fail(&cli->error, EMK_E_FORMAT, "events: the queue is damaged", 0);

    return emk_cli_advise(cli, st,
                          "Put the device's folder `events` back from a copy, or remove "
                          "it: the server will see that events are missing.");
}

static bool parse_state(const char *text, queue *q)
{
    char hash[2 * EMK_HASH_LEN + 1];
    emk_cli_scan s = {text, false};

    emk_cli_scan_word(&s, STATE_FIRST "next ");
    q->next = emk_cli_scan_number(&s);
    emk_cli_scan_word(&s, "\nlast ");
    emk_cli_scan_text(&s, hash, sizeof hash);
    return !s.bad && emk_cli_parse_hex(hash, q->last, sizeof q->last);
}

static emk_status read_state(emk_cli *cli, queue *q)
{
    emk_buf text;
    emk_status st = read_file(cli, q, "state", 256, &text);

    q->next = 1;
    memset(q->last, 0, sizeof q->last);
    if (st == EMK_OK && text.len > 1 && !parse_state((const char *)text.p, q))
        st = damaged(cli);
    emk_buf_done(&text);
    return st;
}

static bool parse_line(const char *line, item *out)
{
    char ticket[2 * EMK_ID_LEN + 1];
    uint64_t type, code;
    item x = {.number = 0};
    emk_cli_scan s = {line, false};

    x.number = emk_cli_scan_number(&s);
    emk_cli_scan_word(&s, " ");
    type = emk_cli_scan_number(&s);
    emk_cli_scan_word(&s, " ");
    x.event.time = emk_cli_scan_number(&s);
    emk_cli_scan_word(&s, " ");
    emk_cli_scan_text(&s, ticket, sizeof ticket);
    emk_cli_scan_word(&s, " ");
    code = emk_cli_scan_number(&s);
    if (s.bad || type == 0 || type > EMK_EVENT_TYPE_MAX || code > UINT32_MAX)
        return false;
    x.event.code = (uint32_t)code;
    x.event.type = (uint8_t)type;
    x.event.has_ticket = strlen(ticket) == (size_t)2 * EMK_ID_LEN;
    if (x.event.has_ticket && !emk_cli_parse_hex(ticket, x.event.ticket_id, EMK_ID_LEN))
        return false;
    *out = x;
    return true;
}

/* Lines that the server has already were left by a kill. */
static emk_status read_pending(emk_cli *cli, queue *q)
{
    emk_buf text;
    emk_status st = read_file(cli, q, "pending", TEXT_MAX, &text);
    const char *p = (const char *)text.p;

    while (st == EMK_OK && p && *p) {
        item x;

        if (q->n == EMK_CLI_EVENTS_WAITING_MAX || !parse_line(p, &x))
            st = damaged(cli);
        else if (x.number >= q->next)
            q->items[q->n++] = x;
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    emk_buf_done(&text);
    for (size_t i = 0; st == EMK_OK && i < q->n; i++) {
        if (q->items[i].number != q->next + i)
            st = damaged(cli);
    }
    return st;
}

static void close_queue(queue *q)
{
    emk_os_close(q->lock);
    emk_free(q->items);
    q->lock = -1;
    q->items = NULL;
}

static emk_status open_queue(emk_cli *cli, const char *device_dir, queue *q)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st;

    *q = (queue){.lock = -1};
    st = emk_cli_join(cli, device_dir, "events", q->dir);
    if (st == EMK_OK)
        st = emk_os_make_dir(q->dir, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, q->dir, "lock", path);
    if (st == EMK_OK)
        st = emk_os_lock_file(path, true, &q->lock, &cli->error);
    if (st == EMK_OK) {
        q->items = emk_alloc(EMK_CLI_EVENTS_WAITING_MAX, sizeof *q->items);
        st = q->items ? EMK_OK : emk_fail(&cli->error, EMK_E_NO_MEMORY, "events: memory", 0);
    }
    if (st == EMK_OK)
        st = read_state(cli, q);
    return st == EMK_OK ? read_pending(cli, q) : st;
}

/* ---- writing ---- */

static emk_status write_file(emk_cli *cli, const queue *q, const char *name, emk_span bytes)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, q->dir, name, path);

    return st == EMK_OK ? emk_cli_about(cli, emk_os_write_file(path, bytes, &cli->error), path)
                        : st;
}

static emk_status write_pending(emk_cli *cli, const queue *q)
{
    char line[LINE_MAX], ticket[2 * EMK_ID_LEN + 1];
    emk_buf text;
    emk_status st = EMK_OK;

    emk_buf_init(&text, TEXT_MAX);
    for (size_t i = 0; st == EMK_OK && i < q->n; i++) {
        const emk_event *e = &q->items[i].event;

        (void)snprintf(ticket, sizeof ticket, "-");
        if (e->has_ticket)
            emk_cli_format_hex(emk_span_of(e->ticket_id, EMK_ID_LEN), ticket, sizeof ticket);
        (void)snprintf(line, sizeof line, "%" PRIu64 " %u %" PRIu64 " %s %" PRIu32 "\n",
                       q->items[i].number, e->type, e->time, ticket, e->code);
        st = emk_buf_append(&text, emk_span_str(line), &cli->error);
    }
    if (st == EMK_OK)
        st = write_file(cli, q, "pending", emk_buf_span(&text));
    emk_buf_done(&text);
    return st;
}

static emk_status note(emk_cli *cli, const char *device_dir, const emk_event *event)
{
    queue q;
    emk_status st = open_queue(cli, device_dir, &q);

    if (st == EMK_OK && q.n == EMK_CLI_EVENTS_WAITING_MAX)
        st = emk_fail(&cli->error, EMK_E_LIMIT, "events: too many wait", q.n);
    if (st == EMK_OK) {
        q.items[q.n] = (item){q.next + q.n, *event};
        q.n++;
        st = write_pending(cli, &q);
    }
    close_queue(&q);
    return st;
}

void emk_cli_event_note(emk_cli *cli, const char *device_dir, const emk_event *event)
{
    char path[EMK_CLI_PATH_MAX];
    emk_cli quiet = *cli; /* a failure here is none of the command's */
    emk_event now = *event;

    if (now.time == 0)
        now.time = emk_os_now_s();
    if (emk_cli_join(&quiet, device_dir, "server", path) != EMK_OK || !emk_os_exists(path))
        return;
    if (note(&quiet, device_dir, &now) != EMK_OK)
        emk_cli_remark(cli,
                       "an event could not be noted: %s; send those that wait: earmark events "
                       "send",
                       quiet.error.what);
}

emk_status emk_cli_events_look(emk_cli *cli, const char *device_dir, emk_cli_events_state *out)
{
    char path[EMK_CLI_PATH_MAX];
    queue q;
    emk_status st = open_queue(cli, device_dir, &q);

    if (st == EMK_OK)
        st = emk_cli_join(cli, q.dir, "batch", path);
    if (st == EMK_OK)
        *out = (emk_cli_events_state){q.next, q.n, emk_os_exists(path)};
    close_queue(&q);
    return st;
}

/* ---- sending ---- */

static emk_status sign_batch(emk_cli *cli, const emk_cli_remote *r, const queue *q)
{
    emk_events batch = {.first = q->next, .time = emk_os_now_s()};
    emk_buf message;
    emk_status st;

    memcpy(batch.device_id, emk_client_device_id(r->device->client), sizeof batch.device_id);
    memcpy(batch.previous, q->last, sizeof batch.previous);
    batch.n = q->n < EMK_EVENTS_MAX ? q->n : EMK_EVENTS_MAX;
    for (size_t i = 0; i < batch.n; i++)
        batch.events[i] = q->items[i].event;
    emk_buf_init(&message, EMK_MESSAGE_MAX);
    st = emk_events_sign(r->crypto, &r->signer, &batch, &message, &cli->error);
    if (st == EMK_OK)
        st = write_file(cli, q, "batch", emk_buf_span(&message));
    emk_buf_done(&message);
    return st;
}

/* What was signed before.  EMK_E_STALE when it is none that the queue begins with. */
static emk_status load_batch(emk_cli *cli, const emk_cli_remote *r, const queue *q,
                             emk_buf *message, emk_events *out)
{
    emk_verify_key *own = NULL;
    emk_status st = read_file(cli, q, "batch", EMK_MESSAGE_MAX, message);

    if (st != EMK_OK)
        return st;
    message->len--; /* the zero */
    if (message->len == 0)
        return EMK_E_STALE;
    st = emk_cose_verify_key(r->crypto, emk_span_of(r->signer.public_key, r->signer.public_len),
                             &own, &cli->error);
    if (st == EMK_OK &&
        (emk_events_verify(r->crypto, emk_buf_span(message), own, out, NULL) != EMK_OK ||
         out->first != q->next || out->n > q->n))
        st = EMK_E_STALE;
    emk_verify_key_free(own);
    return st;
}

static emk_status forget(emk_cli *cli, queue *q, const emk_events *sent)
{
    char text[256], hash[2 * EMK_HASH_LEN + 1], path[EMK_CLI_PATH_MAX];
    emk_status st;

    emk_cli_format_hex(emk_span_of(sent->hash, sizeof sent->hash), hash, sizeof hash);
    (void)snprintf(text, sizeof text, STATE_FIRST "next %" PRIu64 "\nlast %s\n",
                   sent->first + sent->n, hash);
    st = write_file(cli, q, "state", emk_span_str(text));
    if (st != EMK_OK)
        return st;
    q->next += sent->n;
    q->n -= sent->n;
    memmove(q->items, q->items + sent->n, q->n * sizeof *q->items);
    memcpy(q->last, sent->hash, sizeof q->last);
    st = write_pending(cli, q);
    if (st == EMK_OK)
        st = emk_cli_join(cli, q->dir, "batch", path);
    return st == EMK_OK ? emk_os_remove(path, &cli->error) : st;
}

static emk_status send_batch(emk_cli *cli, const emk_cli_remote *r, queue *q, uint64_t *sent)
{
    emk_events *batch = emk_alloc(1, sizeof *batch);
    emk_buf message = {0};
    emk_status st;

    if (!batch)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "events: memory", sizeof *batch);
    st = load_batch(cli, r, q, &message, batch);
    if (st == EMK_E_STALE) {
        emk_buf_done(&message);
        st = sign_batch(cli, r, q);
        if (st == EMK_OK)
            st = load_batch(cli, r, q, &message, batch);
    }
    if (st == EMK_OK)
        st = emk_cli_remote_post_message(cli, r, "/v1/events", "batch", emk_buf_span(&message));
    if (st == EMK_OK)
        st = forget(cli, q, batch);
    if (st == EMK_OK)
        *sent += batch->n;
    emk_buf_done(&message);
    emk_free(batch);
    return st;
}

emk_status emk_cli_events_send(emk_cli *cli, const emk_cli_remote *r, uint64_t *sent)
{
    queue q;
    emk_status st = open_queue(cli, r->device->dir, &q);

    *sent = 0;
    while (st == EMK_OK && q.n > 0)
        st = send_batch(cli, r, &q, sent);
    close_queue(&q);
    return st;
}
