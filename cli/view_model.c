#include "cli/text.h"
#include "cli/view.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/model/extents.h"

#define NAME_SHOWN 1024u /* bytes of a tensor's name */

static const char *const KIND[] = {"weight", "custom", "other"};

/* What the visitor needs. */
typedef struct listing {
    emk_cli_out *o;
    emk_image *im; /* another one than the scan's: names are read while it runs */
    emk_extents extents;
} listing;

static size_t read_name(listing *l, const emk_tensor *t, uint8_t out[NAME_SHOWN])
{
    size_t len = t->name_len < NAME_SHOWN ? t->name_len : NAME_SHOWN;

    emk_image_copy(l->im, t->name_off, out, len);
    return len;
}

static void shape_text(const emk_tensor *t, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "[");

    if (t->rank == EMK_MODEL_RANK_MORE)
        n += (size_t)snprintf(out + n, cap - n, "...");
    for (uint8_t i = 0; t->rank != EMK_MODEL_RANK_MORE && i < t->rank && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%llu", i ? "," : "",
                              (unsigned long long)t->dims[i]);
    if (n < cap)
        snprintf(out + n, cap - n, "]");
}

static void show_json(listing *l, const emk_tensor *t, emk_span name)
{
    emk_cli_out *o = l->o;

    emk_cli_begin(o, NULL);
    emk_cli_put_number(o, "part", t->part);
    emk_cli_put_number(o, "offset", t->offset);
    if (t->flags & EMK_TENSOR_TO_END)
        emk_cli_put_bool(o, "to_end", true);
    else
        emk_cli_put_number(o, "length", t->length);
    emk_cli_put_text(o, "name", name);
    emk_cli_put_string(o, "dtype", emk_model_dtype_name(t->dtype));
    if (t->rank != EMK_MODEL_RANK_MORE) {
        emk_cli_begin_list(o, "shape");
        for (uint8_t i = 0; i < t->rank; i++)
            emk_cli_put_number(o, NULL, t->dims[i]);
        emk_cli_end(o);
    }
    emk_cli_put_string(o, "kind", t->kind < 3 ? KIND[t->kind] : "other");
    emk_cli_end(o);
}

static void show_people(listing *l, const emk_tensor *t, emk_span name)
{
    char shape[200], shown[200];

    shape_text(t, shape, sizeof shape);
    emk_cli_clean(name, shown, sizeof shown);
    emk_cli_say(l->o, "  %10llu %10llu  %-6s %-18s %-7s %s", (unsigned long long)t->offset,
                (unsigned long long)t->length, emk_model_dtype_name(t->dtype), shape,
                t->kind < 3 ? KIND[t->kind] : "other", shown);
}

static emk_status visit(void *self, const emk_tensor *t, emk_error *e)
{
    listing *l = self;
    uint8_t name[NAME_SHOWN];
    emk_span text = emk_span_of(name, read_name(l, t, name));

    if (l->o->json)
        show_json(l, t, text);
    else
        show_people(l, t, text);
    return emk_extents_add(&l->extents, t, e);
}

static void show_parts(emk_cli_out *o, emk_image *im, const emk_model_report *report,
                       const char *path)
{
    emk_cli_begin_list(o, "parts");
    emk_cli_put_string(o, NULL, path);
    for (uint32_t i = 0; i < report->n_parts; i++) {
        const emk_model_part *p = &report->parts[i];
        uint8_t name[NAME_SHOWN];
        size_t len = p->name_len < NAME_SHOWN ? p->name_len : NAME_SHOWN;

        if (len == 0) {
            emk_cli_put_number(o, NULL, p->number);
        } else {
            emk_image_copy(im, p->name_off, name, len);
            emk_cli_put_text(o, NULL, emk_span_of(name, len));
        }
    }
    emk_cli_end(o);
}

/* Bytes that may be weights and are not in the list, by reason. */
static void show_clear(emk_cli_out *o, const emk_model_report *report)
{
    uint64_t any = 0;

    for (int i = 0; i < (int)EMK_CLEAR_REASONS; i++)
        any |= report->clear[i];
    if (!any && !o->json)
        return;
    emk_cli_begin(o, "not_listed");
    for (int i = 0; i < (int)EMK_CLEAR_REASONS; i++) {
        if (report->clear[i])
            emk_cli_put_size(o, emk_model_clear_name((emk_clear)i), report->clear[i]);
    }
    emk_cli_end(o);
}

/* Each byte once, also where tensors share one range. */
static void show_coverage(emk_cli_out *o, listing *l, uint64_t file_len)
{
    uint64_t part_len[EMK_MODEL_PARTS_MAX + 1];

    for (size_t i = 0; i <= EMK_MODEL_PARTS_MAX; i++)
        part_len[i] = i == 0 ? file_len : UINT64_MAX;
    if (emk_extents_settle(&l->extents, part_len, EMK_MODEL_PARTS_MAX + 1, NULL) == EMK_OK)
        emk_cli_put_ratio(o, "coverage", emk_extents_bytes(&l->extents, 0), file_len);
    else
        emk_cli_say(o, "coverage: unknown, tensors overlap");
}

/* `first` has counted; the tensors are met again and shown. */
static emk_status list_tensors(emk_cli *cli, emk_model_format f, emk_image *im, listing *l,
                               const emk_model_report *first)
{
    emk_tensor *v = emk_alloc(first->tensors + (size_t)1, sizeof *v);
    emk_status st;

    if (!v)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "inspect: no memory for the tensors",
                        first->tensors);
    emk_extents_init(&l->extents, v, first->tensors + 1);
    emk_cli_say(l->o, "  %10s %10s  %-6s %-18s %-7s %s", "offset", "length", "dtype", "shape",
                "kind", "name");
    emk_cli_begin_list(l->o, l->o->json ? "spans" : NULL);
    st = emk_model_scan(f, im, NULL, visit, l, NULL, &cli->error);
    emk_cli_end(l->o);
    if (st == EMK_OK)
        show_coverage(l->o, l, im->len);
    emk_free(v);
    return st;
}

/* Two images of one file: both are some 64 KiB. */
typedef struct images {
    emk_image scan;
    emk_image names;
} images;

static emk_status view(emk_cli *cli, const char *path, const emk_source *file, images *im)
{
    const char *named = emk_cli_option_value(cli, "format");
    emk_model_format f;
    emk_model_report report;
    listing l = {.o = &cli->out, .im = &im->names};
    emk_status st;

    emk_image_from_source(&im->scan, file);
    emk_image_from_source(&im->names, file);
    f = named ? emk_model_format_named(named) : emk_model_detect(&im->scan, path);
    if (f == EMK_MODEL_UNKNOWN) {
        st = emk_fail(&cli->error, EMK_E_UNSUPPORTED, "model: a format earmark does not know", 0);
        return emk_cli_advise(cli, st,
                              "Name the format with --format; or seal it all the same, "
                              "earmark then takes it as bytes.");
    }
    st = emk_model_scan(f, &im->scan, NULL, NULL, NULL, &report, &cli->error);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "format", emk_model_format_name(f));
    emk_cli_put_size(&cli->out, "length", file->len);
    emk_cli_put_number(&cli->out, "tensors", report.tensors);
    show_parts(&cli->out, &im->names, &report, path);
    show_clear(&cli->out, &report);
    return list_tensors(cli, f, &im->scan, &l, &report);
}

emk_status emk_cli_view_model(emk_cli *cli, const char *path)
{
    images *im = emk_alloc(1, sizeof *im);
    emk_source file;
    int fd = -1;
    emk_status st;

    if (!im)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "inspect: no memory", 0);
    st = emk_os_open_read(path, &fd, &cli->error);
    if (st == EMK_OK)
        st = emk_source_from_fd(&fd, &file, &cli->error);
    if (st == EMK_OK)
        st = view(cli, path, &file, im);
    emk_free(im);
    emk_os_close(fd);
    return emk_cli_about(cli, st, path);
}
