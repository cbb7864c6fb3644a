/* model.safetensors.index.json: which tensor is in which file.  [models 3.2]
 *
 * There are no weights in it, and each file it names stands alone; it says which files are
 * wanted. */
#include "core/codec/json.h"
#include "core/model/internal.h"

enum { KEY_METADATA, KEY_MAP, N_KEYS };
static const char *const keys[N_KEYS] = {"metadata", "weight_map"};

/* A name with escapes is refused with the backslash in it. */
static emk_status read_map(emk_scan *s, emk_json *j, emk_error *e)
{
    emk_status st = EMK_OK;
    uint32_t part;

    if (!emk_json_expect(j, EMK_JSON_OBJECT_BEGIN))
        return EMK_OK;
    while (st == EMK_OK && emk_json_next(j) == EMK_JSON_KEY) {
        emk_part_text text;

        if (!emk_json_expect(j, EMK_JSON_STRING))
            break;
        text.off = j->text_off;
        text.len = j->text_len;
        st = emk_scan_step(s, 1, e);
        if (st == EMK_OK)
            st = emk_scan_part(s, text, &part, e);
    }
    return st;
}

emk_status emk_safetensors_index_scan(emk_scan *s, emk_error *e)
{
    emk_status st = EMK_OK;
    uint64_t seen = 0;
    emk_json j;

    emk_json_init(&j, s->im, s->base, s->base + s->len);
    (void)emk_json_expect(&j, EMK_JSON_OBJECT_BEGIN);
    while (st == EMK_OK && emk_json_ok(&j) && emk_json_next(&j) == EMK_JSON_KEY) {
        size_t key;

        if (!emk_json_which_key(&j, keys, N_KEYS, &key, &seen))
            break;
        if (key == KEY_MAP)
            st = read_map(s, &j, e);
        else
            emk_json_skip_value(&j);
    }
    if (st == EMK_OK && emk_json_ok(&j))
        (void)emk_json_expect(&j, EMK_JSON_END);
    if (st == EMK_OK && !(seen & 1u << KEY_MAP))
        emk_json_fail(&j, EMK_E_FORMAT, "safetensors: no weight_map", s->base);
    return st != EMK_OK ? st : emk_json_finish(&j, e);
}
