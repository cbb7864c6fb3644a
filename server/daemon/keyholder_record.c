#include "server/daemon/keyholder_record.h"

#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/codec/base64url.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define PATH_LEN  1024u
#define LINE_CAP  256u
#define TIME_CAP  32u
#define KID_CHARS (EMK_BASE64URL_CHARS(EMK_COSE_KID_LEN) + 1)

static void format_time(uint64_t s, char out[TIME_CAP])
{
    struct tm tm;
    time_t t = (time_t)s;

    if (!gmtime_r(&t, &tm) || strftime(out, TIME_CAP, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, TIME_CAP, "?");
}

/* A line that a kill left half is ended first. */
static emk_status format_line(const emk_record_line *l, bool torn, char out[LINE_CAP], size_t *len,
                              emk_error *e)
{
    char when[TIME_CAP], kid[KID_CHARS] = "";
    emk_status st = EMK_OK;
    size_t n = 0;
    int made;

    format_time(emk_os_now_s(), when);
    if (l->key)
        st = emk_base64url_encode(emk_span_of(l->key, EMK_COSE_KID_LEN), kid, sizeof kid, &n, e);
    if (st != EMK_OK)
        return st;
    made = snprintf(out, LINE_CAP, "%s%s %s%s%s%s%s%s%s\n", torn ? "\n" : "", when, l->what,
                    l->key ? " key=" : "", kid, l->name ? " " : "", l->name ? l->name : "",
                    l->name ? "=" : "", l->name ? l->value : "");
    if (made < 0 || (size_t)made >= LINE_CAP)
        return emk_fail(e, EMK_E_LIMIT, "record: length of a line", LINE_CAP);
    *len = (size_t)made;
    return EMK_OK;
}

static emk_status open_record(const char *dir, int *fd, emk_error *e)
{
    char path[PATH_LEN];
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_RECORD_FILE, "", e);

    if (st == EMK_OK)
        st = emk_os_open_update(path, fd, e);
    if (st != EMK_E_NOT_FOUND)
        return st;
    st = emk_os_write_file_new(path, emk_span_of(NULL, 0), e);
    return st == EMK_OK || st == EMK_E_USED ? emk_os_open_update(path, fd, e) : st;
}

emk_status emk_record_append(const char *dir, const emk_record_line *line, emk_error *e)
{
    char text[LINE_CAP];
    uint8_t last = '\n';
    uint64_t end = 0;
    size_t len = 0;
    int fd = -1;
    emk_status st = open_record(dir, &fd, e);

    if (st == EMK_OK)
        st = emk_os_lock(fd, true, e); /* another keyholder's line takes no longer than ours */
    if (st == EMK_OK)
        st = emk_os_file_size(fd, &end, e);
    if (st == EMK_OK && end >= EMK_RECORD_FULL && !line->must) {
        emk_os_close(fd);
        return EMK_OK;
    }
    if (st == EMK_OK && end > 0)
        st = emk_os_read_at(fd, end - 1, &last, 1, e);
    if (st == EMK_OK)
        st = format_line(line, last != '\n', text, &len, e);
    if (st == EMK_OK)
        st = emk_os_write_at(fd, end, text, len, e);
    if (st == EMK_OK)
        st = emk_os_sync(fd, e);
    emk_os_close(fd);
    return st;
}
