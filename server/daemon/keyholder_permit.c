#include "server/daemon/keyholder_permit.h"

#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/reader.h"
#include "core/base/writer.h"

#include <string.h>

#define PATH_LEN 1024u

static const char MAGIC[] = "EMKPERM1";
#define MAGIC_LEN (sizeof MAGIC - 1)

emk_status emk_permit_parse(emk_span in, emk_permit *out, emk_error *e)
{
    emk_permit p = {.force = false};
    emk_reader r;
    emk_span magic;
    uint8_t action, force;

    emk_reader_init(&r, in);
    magic = emk_read_bytes(&r, MAGIC_LEN);
    action = emk_read_u8(&r);
    force = emk_read_u8(&r);
    p.until_s = emk_read_u64be(&r);
    emk_read_copy(&r, p.kid, sizeof p.kid);
    if (!emk_reader_at_end(&r) || memcmp(magic.p, MAGIC, MAGIC_LEN) != 0)
        return emk_fail(e, EMK_E_FORMAT, "permit: not one", in.len);
    if (action == 0 || action >= EMK_KEY_ACTIONS || force > 1)
        return emk_fail(e, EMK_E_FORMAT, "permit: for what", action);
    p.action = (emk_key_action)action;
    p.force = force == 1;
    *out = p;
    return EMK_OK;
}

emk_status emk_permit_read(const char *dir, emk_permit *out, emk_error *e)
{
    uint8_t bytes[EMK_PERMIT_LEN];
    char path[PATH_LEN];
    uint64_t len = 0;
    int fd = -1;
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_PERMIT_FILE, "", e);

    if (st == EMK_OK)
        st = emk_os_open_read(path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_check_private(fd, e);
    if (st == EMK_OK)
        st = emk_os_file_size(fd, &len, e);
    if (st == EMK_OK && len != sizeof bytes)
        st = emk_fail(e, EMK_E_FORMAT, "permit: length", len);
    if (st == EMK_OK)
        st = emk_os_read_at(fd, 0, bytes, sizeof bytes, e);
    emk_os_close(fd);
    return st == EMK_OK ? emk_permit_parse(emk_span_of(bytes, sizeof bytes), out, e) : st;
}

emk_status emk_permit_write(const char *dir, const emk_permit *p, emk_error *e)
{
    uint8_t bytes[EMK_PERMIT_LEN];
    char path[PATH_LEN];
    emk_writer w;
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_PERMIT_FILE, "", e);

    emk_writer_init(&w, bytes, sizeof bytes);
    emk_write_bytes(&w, emk_span_of(MAGIC, MAGIC_LEN));
    emk_write_u8(&w, (uint8_t)p->action);
    emk_write_u8(&w, p->force);
    emk_write_u64be(&w, p->until_s);
    emk_write_bytes(&w, emk_span_of(p->kid, sizeof p->kid));
    return st == EMK_OK ? emk_os_write_file(path, emk_writer_span(&w), e) : st;
}

emk_status emk_permit_remove(const char *dir, emk_error *e)
{
    char path[PATH_LEN];
    emk_status st = emk_os_join(path, sizeof path, dir, EMK_PERMIT_FILE, "", e);

    if (st == EMK_OK)
        st = emk_os_remove(path, e);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}
