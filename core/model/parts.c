/* Names of the files beside a model file.  They come from outside and will be opened, so a
 * name is a relative path that stays below the model's folder, or it is refused.
 * [models 0.5] */
#include "core/codec/utf8.h"
#include "core/model/internal.h"

#include <stdio.h>

#define NAME_MAX_LEN (EMK_MODEL_PART_NAME - 1)

/* Drive letters and streams of one system, steps of another: no file of a model needs them. */
static bool is_plain(uint8_t c)
{
    return c >= ' ' && c != 0x7f && c != '\\' && c != ':';
}

/* One step of a path: not empty, not "." and not "..". */
static bool is_step(const char *p, size_t len)
{
    return len > 0 && !(len == 1 && p[0] == '.') && !(len == 2 && p[0] == '.' && p[1] == '.');
}

static bool is_relative_path(const char *name, size_t len)
{
    size_t begin = 0;

    for (size_t i = 0; i < len; i++) {
        if (!is_plain((uint8_t)name[i]))
            return false;
        if (name[i] != '/')
            continue;
        if (!is_step(name + begin, i - begin))
            return false;
        begin = i + 1;
    }
    return is_step(name + begin, len - begin) && emk_utf8_check(emk_span_of(name, len));
}

/* Copies a name out of the model file and checks it. */
static emk_status read_name(emk_image *im, emk_part_text text, char out[EMK_MODEL_PART_NAME],
                            emk_error *e)
{
    char name[EMK_MODEL_PART_NAME];

    if (text.len > NAME_MAX_LEN)
        return emk_fail(e, EMK_E_LIMIT, "model: name of another file", text.off);
    emk_image_copy(im, text.off, (uint8_t *)name, (size_t)text.len);
    if (im->cut)
        return emk_image_check(im, "model: name of another file", e);
    if (!is_relative_path(name, (size_t)text.len))
        return emk_fail(e, EMK_E_FORMAT, "model: name of another file", text.off);
    memcpy(out, name, (size_t)text.len);
    out[text.len] = 0;
    return EMK_OK;
}

/* "./a" is "a": one file must not be two parts, or it would be sealed twice. */
static emk_part_text without_here(emk_image *im, emk_part_text text)
{
    while (text.len > 2 && emk_image_equal(im, text.off, emk_span_str("./"))) {
        text.off += 2;
        text.len -= 2;
    }
    return text;
}

static uint64_t hash_of(const char *name, size_t len)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 0x100000001B3u;
    return h;
}

static bool same_name(emk_scan *s, const emk_model_part *part, const char *name, size_t len)
{
    return part->naming == EMK_PART_NAMED && part->name_len == len &&
           emk_image_equal(s->im, part->name_off, emk_span_of(name, len));
}

emk_status emk_scan_part(emk_scan *s, emk_part_text text, uint32_t *part, emk_error *e)
{
    emk_model_report *r = &s->report;
    emk_model_part made = {0};
    char name[EMK_MODEL_PART_NAME] = {0};
    uint64_t hash;
    emk_status st;

    text = without_here(s->im, text);
    st = read_name(s->im, text, name, e);
    if (st != EMK_OK)
        return st;
    hash = hash_of(name, (size_t)text.len);
    for (uint32_t i = 0; i < r->n_parts; i++) {
        if (s->part_hash[i] == hash && same_name(s, &r->parts[i], name, (size_t)text.len)) {
            *part = i + 1;
            return EMK_OK;
        }
    }
    made.name_off = text.off;
    made.name_len = (uint32_t)text.len;
    made.number = r->n_parts;
    st = emk_scan_new_part(s, &made, part, e);
    if (st == EMK_OK)
        s->part_hash[*part - 1] = hash;
    return st;
}

emk_status emk_scan_new_part(emk_scan *s, const emk_model_part *made, uint32_t *part, emk_error *e)
{
    emk_model_report *r = &s->report;

    if (r->n_parts == EMK_MODEL_PARTS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: too many other files", EMK_MODEL_PARTS_MAX);
    r->parts[r->n_parts] = *made;
    *part = ++r->n_parts;
    return EMK_OK;
}

static const char *base_of(const char *file_name)
{
    const char *slash = strrchr(file_name, '/');

    return slash ? slash + 1 : file_name;
}

/* The model file's own name up to `ending` ("": up to the last dot); false when it has none. */
static bool stem_of(const char *file_name, const char *ending, emk_span *stem)
{
    const char *base = base_of(file_name), *dot = strrchr(base, '.');

    if (!dot || dot == base || (*ending && strcmp(dot, ending) != 0))
        return false;
    *stem = emk_span_of(base, (size_t)(dot - base));
    return true;
}

static emk_status derive_name(const char *file_name, const emk_model_part *part,
                              char out[EMK_MODEL_PART_NAME], emk_error *e)
{
    char name[2 * EMK_MODEL_PART_NAME];
    bool shard = part->naming == EMK_PART_SHARD;
    emk_span stem;
    int len;

    if (!file_name || !stem_of(file_name, shard ? ".index" : "", &stem))
        return emk_fail(e, EMK_E_USAGE, "model: no file name to tell that of a part from", 0);
    if (stem.len > NAME_MAX_LEN)
        return emk_fail(e, EMK_E_LIMIT, "model: file name", stem.len);
    if (shard)
        len = snprintf(name, sizeof name, "%.*s.data-%05u-of-%05u", (int)stem.len,
                       (const char *)stem.p, part->number, part->of);
    else
        len = snprintf(name, sizeof name, "%.*s.bin", (int)stem.len, (const char *)stem.p);
    if (len < 0 || (unsigned)len > NAME_MAX_LEN)
        return emk_fail(e, EMK_E_LIMIT, "model: file name", stem.len);
    if (!is_relative_path(name, (size_t)len))
        return emk_fail(e, EMK_E_FORMAT, "model: file name", 0);
    memcpy(out, name, (size_t)len + 1);
    return EMK_OK;
}

emk_status emk_model_part_name(emk_image *im, const char *file_name, const emk_model_part *part,
                               char out[EMK_MODEL_PART_NAME], emk_error *e)
{
    emk_part_text text = {part->name_off, part->name_len};
    char name[EMK_MODEL_PART_NAME] = {0};
    emk_status st;

    im->cut = false;
    if (part->naming == EMK_PART_NAMED)
        st = read_name(im, text, name, e);
    else if (part->naming == EMK_PART_SHARD || part->naming == EMK_PART_BIN)
        st = derive_name(file_name, part, name, e);
    else
        st = emk_fail(e, EMK_E_USAGE, "model: this part has no name", part->number);
    if (st != EMK_OK)
        return st;
    if (file_name && strcmp(name, base_of(file_name)) == 0)
        return emk_fail(e, EMK_E_FORMAT, "model: names itself as another file", part->name_off);
    memcpy(out, name, sizeof name);
    return EMK_OK;
}
