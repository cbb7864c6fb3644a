/* Prints what a model file holds, one line for each settled range, for comparison with other
 * programs: model_list [-f FORMAT] [-x] FILE.  -x also lists custom options. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/model/extents.h"

#include <stdio.h>
#include <stdlib.h>

static emk_status read_file(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    return emk_os_read_at(*(int *)self, off, out, len, e);
}

static void die(const emk_error *e)
{
    printf("refused %s %s (%llu)\n", emk_status_name(e->status), e->what,
           (unsigned long long)e->where);
    exit(1);
}

static void print_tensor(emk_image *im, const emk_tensor *t)
{
    printf("tensor %llu %llu part %u kind %d %s", (unsigned long long)t->offset,
           (unsigned long long)t->length, t->part, t->kind, emk_model_dtype_name(t->dtype));
    printf(" [");
    for (unsigned i = 0; t->rank != EMK_MODEL_RANK_MORE && i < t->rank; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)t->dims[i]);
    printf("] ");
    for (uint32_t i = 0; i < t->name_len; i++) {
        int c = emk_image_u8(im, t->name_off + i);

        putchar(c < ' ' || c > '~' ? '?' : c);
    }
    putchar('\n');
}

/* Names that stand nowhere in the file are only there while the scan runs. */
static emk_status add(void *self, const emk_tensor *t, emk_error *e)
{
    if (t->name_text)
        printf("named %u %llu %llu %s\n", t->part, (unsigned long long)t->offset,
               (unsigned long long)t->length, t->name_text);
    return emk_extents_add(self, t, e);
}

/* The parts' lengths; those that are not there are taken to be as long as they need to be. */
static uint64_t measure_parts(emk_image *im, const char *path, const emk_model_report *r,
                              uint64_t *part_len)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < r->n_parts; i++) {
        char name[EMK_MODEL_PART_NAME], full[4096];
        const char *slash = strrchr(path, '/');
        int fd = -1;

        part_len[i + 1] = UINT64_MAX / 2;
        if (emk_model_part_name(im, path, &r->parts[i], name, NULL) != EMK_OK)
            continue;
        (void)snprintf(full, sizeof full, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path,
                       name);
        if (emk_os_open_read(full, &fd, NULL) == EMK_OK &&
            emk_os_file_size(fd, &part_len[i + 1], NULL) == EMK_OK)
            sum += part_len[i + 1];
        printf("part %u %s\n", i + 1, name);
        emk_os_close(fd);
    }
    return sum;
}

static uint64_t bytes_of(const emk_extents *x, bool checksums)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < x->n; i++) {
        if ((x->v[i].kind == EMK_TENSOR_CHECKSUM) == checksums)
            sum += x->v[i].length;
    }
    return sum;
}

static void print_report(const emk_model_report *r)
{
    for (unsigned i = 0; i < EMK_CLEAR_REASONS; i++) {
        if (r->clear[i])
            printf("clear %llu %s\n", (unsigned long long)r->clear[i],
                   emk_model_clear_name((emk_clear)i));
    }
    if (r->split_of)
        printf("split %u of %u\n", r->split_number + 1, r->split_of);
}

static void list(emk_model_format f, emk_image *im, const char *path,
                 const emk_model_limits *limits)
{
    static uint64_t part_len[1 + EMK_MODEL_PARTS_MAX];
    emk_model_report r;
    emk_extents x;
    emk_error e;
    emk_tensor *v;
    uint64_t from, scanned, settled, outside;

    from = emk_os_monotonic_ns();
    if (emk_model_scan(f, im, limits, NULL, NULL, &r, &e) != EMK_OK)
        die(&e);
    scanned = emk_os_monotonic_ns();
    v = emk_alloc(r.tensors + 1, sizeof *v);
    if (!v)
        exit(2);
    outside = measure_parts(im, path, &r, part_len);
    part_len[0] = im->len;
    emk_extents_init(&x, v, r.tensors);
    if (emk_model_scan(f, im, limits, add, &x, &r, &e) != EMK_OK)
        die(&e);
    settled = emk_os_monotonic_ns();
    if (emk_extents_settle(&x, part_len, 1 + r.n_parts, &e) != EMK_OK)
        die(&e);
    settled = emk_os_monotonic_ns() - settled;
    if (emk_extents_check_stable(&x, f, im, limits, &e) != EMK_OK)
        die(&e);
    printf("format %s file %llu ranges %u bytes %llu tensors %u steps %llu scan_us %llu settle_us "
           "%llu all_len %llu weights %llu checksums %llu\n",
           emk_model_format_name(f), (unsigned long long)im->len, x.n,
           (unsigned long long)emk_extents_bytes(&x, 0), r.tensors, (unsigned long long)r.steps,
           (unsigned long long)(scanned - from) / 1000, (unsigned long long)settled / 1000,
           (unsigned long long)(im->len + outside), (unsigned long long)bytes_of(&x, false),
           (unsigned long long)bytes_of(&x, true));
    for (uint32_t i = 0; i < x.n; i++)
        print_tensor(im, &x.v[i]);
    print_report(&r);
    emk_free(v);
}

int main(int argc, char **argv)
{
    static emk_image im;
    emk_model_limits limits = {0};
    emk_model_format f = EMK_MODEL_UNKNOWN;
    emk_error e;
    uint64_t len = 0;
    int fd, i = 1;

    for (; i < argc - 1 && argv[i][0] == '-'; i++) {
        if (argv[i][1] == 'x')
            limits.flags |= EMK_MODEL_CUSTOM;
        else
            f = emk_model_format_named(argv[++i]);
    }
    if (i != argc - 1)
        return 2;
    if (emk_os_open_read(argv[i], &fd, &e) != EMK_OK || emk_os_file_size(fd, &len, &e) != EMK_OK)
        die(&e);
    emk_image_from_reader(&im, len, read_file, &fd);
    if (f == EMK_MODEL_UNKNOWN)
        f = emk_model_detect(&im, argv[i]);
    if (f == EMK_MODEL_UNKNOWN) {
        const char *note = emk_model_unknown_note(&im);

        printf("unknown %s\n", note ? note : "");
        return 0;
    }
    list(f, &im, argv[i], &limits);
    emk_os_close(fd);
    return 0;
}
