#include "cli/show.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli/view.h"
#include "core/base/alloc.h"

#include <string.h>

#define NAME_SHOWN 1024u /* bytes of a tensor's name */

static const char *const KIND[] = {"weight", "custom", "other", "checksum"};

/* What is shown, and what the visitor needs. */
typedef struct listing {
    emk_cli *cli;
    emk_tree tree;
    emk_survey *survey;
    emk_extents all; /* all weights, when `problem` is not set */
    emk_error problem;
    emk_image names; /* of the file that is scanned; another one than the scan's */
} listing;

static emk_span name_of(listing *l, const emk_tensor *t, uint8_t space[NAME_SHOWN])
{
    size_t len = t->name_len < NAME_SHOWN ? t->name_len : NAME_SHOWN;

    if (t->name_len == 0)
        return emk_span_str(t->name_text ? t->name_text : "");
    emk_image_copy(&l->names, t->name_off, space, len);
    return emk_span_of(space, len);
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

/* The range of the list that begins at this offset of the model, or NULL. */
static const emk_tensor *find_range(const listing *l, uint64_t offset)
{
    uint32_t lo = 0, hi = l->all.n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (l->all.v[mid].offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < l->all.n && l->all.v[lo].offset == offset ? &l->all.v[lo] : NULL;
}

/* The length that the format says or that follows from what else is there; false: nobody knows,
 * as the part is not here. */
static bool length_of(const listing *l, const emk_tensor *t, uint64_t *out)
{
    uint32_t in = l->survey->map[t->part];
    const emk_tensor *range;

    *out = t->length;
    if (!(t->flags & (EMK_TENSOR_TO_END | EMK_TENSOR_TO_NEXT)))
        return true;
    if (in == EMK_SURVEY_ABSENT)
        return false;
    range = find_range(l, l->survey->in.files[in].offset + t->offset);
    if (range)
        *out = range->length;
    return true;
}

static uint32_t part_number(const listing *l, const emk_tensor *t)
{
    return l->tree.single ? t->part : l->survey->map[t->part];
}

static void show_json(listing *l, const emk_tensor *t, emk_span name)
{
    emk_cli_out *o = &l->cli->out;
    uint64_t length;

    emk_cli_begin(o, NULL);
    emk_cli_put_number(o, "part", part_number(l, t));
    emk_cli_put_number(o, "offset", t->offset);
    if (length_of(l, t, &length))
        emk_cli_put_number(o, "length", length);
    else
        emk_cli_put_bool(o, "to_end", true);
    emk_cli_put_text(o, "name", name);
    emk_cli_put_string(o, "dtype", emk_model_dtype_name(t->dtype));
    if (t->rank != EMK_MODEL_RANK_MORE) {
        emk_cli_begin_list(o, "shape");
        for (uint8_t i = 0; i < t->rank; i++)
            emk_cli_put_number(o, NULL, t->dims[i]);
        emk_cli_end(o);
    }
    emk_cli_put_string(o, "kind", t->kind < 4 ? KIND[t->kind] : "other");
    emk_cli_end(o);
}

static void show_people(listing *l, const emk_tensor *t, emk_span name)
{
    char shape[200], shown[200], length[32] = "?", part[16] = "";
    uint64_t n;

    shape_text(t, shape, sizeof shape);
    emk_cli_clean(name, shown, sizeof shown);
    if (length_of(l, t, &n))
        snprintf(length, sizeof length, "%llu", (unsigned long long)n);
    if (!l->tree.single || l->survey->report.n_parts)
        snprintf(part, sizeof part, "%3u ", (unsigned)part_number(l, t));
    emk_cli_say(&l->cli->out, "  %s%10llu %10s  %-6s %-18s %-8s %s", part,
                (unsigned long long)t->offset, length, emk_model_dtype_name(t->dtype), shape,
                t->kind < 4 ? KIND[t->kind] : "other", shown);
}

static emk_status visit(void *self, const emk_tensor *t, emk_error *e)
{
    listing *l = self;
    uint8_t space[NAME_SHOWN];
    emk_span name = name_of(l, t, space);

    (void)e;
    if (l->cli->out.json)
        show_json(l, t, name);
    else
        show_people(l, t, name);
    return EMK_OK;
}

/* ---- files ---- */

/* Of a model of one file: itself, and the names of the others as it has them. */
static void show_names(listing *l)
{
    emk_cli_out *o = &l->cli->out;
    const emk_model_report *report = &l->survey->report;
    const char *path = emk_cli_operand_at(l->cli, 0);

    emk_cli_put_string(o, NULL, path);
    for (uint32_t i = 0; i < report->n_parts; i++) {
        char name[EMK_MODEL_PART_NAME];

        if (emk_model_part_name(&l->names, path, &report->parts[i], name, NULL) == EMK_OK)
            emk_cli_put_string(o, NULL, name);
        else
            emk_cli_put_number(o, NULL, report->parts[i].number);
    }
}

static void show_files(listing *l)
{
    emk_cli_out *o = &l->cli->out;

    emk_cli_begin_list(o, "parts");
    if (l->tree.single)
        show_names(l);
    for (uint32_t i = 0; !l->tree.single && i < l->tree.n_files; i++) {
        const emk_survey_file *f = &l->survey->files[i];
        char shown[EMK_PATH_MAX * 4];

        if (o->json) {
            emk_cli_put_string(o, NULL, l->tree.list[i].path);
            continue;
        }
        emk_cli_clean(emk_span_str(l->tree.list[i].path), shown, sizeof shown);
        emk_cli_say(o, "  %3u %12llu  %-18s %s", (unsigned)i,
                    (unsigned long long)l->tree.list[i].length,
                    f->is_part ? "part" : emk_model_format_name(f->format), shown);
    }
    emk_cli_end(o);
}

/* The format of the file with the most weights; NULL: earmark knows none of them. */
static const char *format_of(const listing *l)
{
    const emk_survey_file *best = NULL;

    for (uint32_t i = 0; i < l->tree.n_files; i++) {
        const emk_survey_file *f = &l->survey->files[i];

        if (emk_survey_is_model(l->survey, i) && (!best || f->weight_bytes > best->weight_bytes))
            best = f;
    }
    return best ? emk_model_format_name(best->format) : NULL;
}

static uint64_t unknown_bytes(const listing *l)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < l->tree.n_files; i++) {
        if (l->survey->files[i].format == EMK_MODEL_UNKNOWN && !l->survey->files[i].is_part)
            sum += l->tree.list[i].length;
    }
    return sum;
}

/* Each byte once, also where tensors share one range. */
static void show_coverage(listing *l)
{
    emk_cli_out *o = &l->cli->out;
    uint64_t sum = 0;

    emk_cli_show_not_listed(o, l->survey->clear, unknown_bytes(l));
    if (l->problem.status != EMK_OK) {
        emk_cli_put_string(o, "problem", l->problem.what);
        return;
    }
    for (uint32_t i = 0; i < l->all.n; i++)
        sum += emk_survey_is_weight(&l->all.v[i]) ? l->all.v[i].length : 0;
    emk_cli_put_number(o, "weight_bytes", sum);
    emk_cli_put_ratio(o, "coverage", sum, l->tree.source.len);
}

/* Twice: the first scan tells where the parts are, the second shows. */
static emk_status list_file(listing *l, uint32_t file)
{
    emk_status st;

    emk_image_from_source(&l->names, &l->survey->files[file].source);
    st = emk_survey_scan(l->survey, file, NULL, NULL, &l->cli->error);
    return st == EMK_OK ? emk_survey_scan(l->survey, file, visit, l, &l->cli->error) : st;
}

static emk_status list_tensors(listing *l)
{
    emk_cli_out *o = &l->cli->out;
    emk_status st = EMK_OK;

    emk_cli_say(o, "  %s%10s %10s  %-6s %-18s %-8s %s", l->tree.single ? "" : "    ", "offset",
                "length", "dtype", "shape", "kind", "name");
    emk_cli_begin_list(o, o->json ? "spans" : NULL);
    for (uint32_t i = 0; st == EMK_OK && i < l->tree.n_files; i++) {
        if (emk_survey_is_model(l->survey, i))
            st = list_file(l, i);
    }
    emk_cli_end(o);
    return st;
}

static emk_status refuse_unknown(emk_cli *cli)
{
    emk_status st =
        emk_fail(&cli->error, EMK_E_UNSUPPORTED, "model: a format earmark does not know", 0);

    return emk_cli_advise(cli, st,
                          "Name the format with --format; or seal it all the same, earmark then "
                          "takes it as bytes.");
}

/* The overlap of two tensors, or of a tensor with the structure, is worth a look at the list. */
static emk_status gather(listing *l)
{
    emk_error *e = &l->cli->error;
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < l->tree.n_files; i++) {
        if (emk_survey_is_model(l->survey, i))
            st = emk_survey_scan(l->survey, i, NULL, NULL, e);
    }
    if (st != EMK_OK)
        return st;
    st = emk_survey_gather(l->survey, &l->all, &l->problem);
    if (st != EMK_OK && st != EMK_E_FORMAT)
        return emk_fail(e, st, l->problem.what, l->problem.where);
    return EMK_OK;
}

static emk_status view(listing *l)
{
    emk_cli_out *o = &l->cli->out;
    const char *format;
    emk_status st = gather(l);

    if (st != EMK_OK)
        return st;
    format = format_of(l);
    if (!format)
        return refuse_unknown(l->cli);
    emk_image_from_source(&l->names, &l->survey->files[0].source);
    emk_cli_put_string(o, "format", format);
    emk_cli_put_size(o, "length", l->tree.source.len);
    emk_cli_put_number(o, "tensors", l->survey->tensors);
    show_files(l);
    st = list_tensors(l);
    if (st == EMK_OK)
        show_coverage(l);
    return st;
}

static emk_status survey_and_view(emk_cli *cli, listing *l)
{
    const char *named = emk_cli_option_value(cli, "format");
    char about[EMK_SURVEY_ABOUT] = "";
    emk_pack_file only = {emk_cli_operand_at(cli, 0), 0, l->tree.source.len};
    emk_survey_in in = {.model = &l->tree.source,
                        .files = l->tree.single ? &only : l->tree.list,
                        .n_files = l->tree.n_files,
                        .lone = l->tree.single,
                        .about = about};
    emk_status st;

    if (named && (in.format = emk_model_format_named(named)) == EMK_MODEL_UNKNOWN)
        return emk_cli_about(cli, refuse_unknown(cli), only.path);
    if (named && !l->tree.single)
        return emk_cli_usage(cli, "--format is for a model of one file");
    st = emk_survey_new(&in, &l->survey, &cli->error);
    if (st == EMK_OK)
        st = view(l);
    if (st == EMK_E_NOT_FOUND)
        st = emk_cli_advise(cli, st, "Name the folder that holds all files of the model.");
    st = emk_cli_about(cli, st, about[0] ? about : only.path);
    emk_survey_free(l->survey);
    return st;
}

emk_status emk_cli_view_model(emk_cli *cli)
{
    listing *l = emk_alloc(1, sizeof *l); /* it has an image */
    emk_status st;

    if (!l)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "inspect: no memory", 0);
    l->cli = cli;
    st = emk_cli_tree_open(cli, &l->tree);
    if (st == EMK_OK)
        st = survey_and_view(cli, l);
    emk_tree_done(&l->tree);
    emk_free(l);
    return st;
}
