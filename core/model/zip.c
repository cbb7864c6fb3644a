/* Zip files that hold models: MediaPipe's .task with TensorFlow Lite members, PyTorch's .pt
 * with one member for each tensor's storage, Keras' .keras with one HDF5 member.  [models 6]
 *
 * The directory at the end of the file counts, not what stands at its begin.  Strict where
 * archivers agree: one disk, nothing encrypted, members one behind the other in the order of
 * the directory (so that no two share bytes), local headers that say the same.  Only stored
 * members can be sealed in place; with them go the checksums of what they hold, which stand in
 * up to three places: the local header, behind the bytes, and the directory. */
#include "core/base/bytes.h"
#include "core/model/internal.h"

#define END_LEN     22u /* records without their variable parts */
#define END64_LEN   56u
#define LOCATOR_LEN 20u
#define ENTRY_LEN   46u
#define LOCAL_LEN   30u
#define COMMENT_MAX 65535u
#define NAME_KEPT   256u /* longer names are no weights */

#define END_MAGIC     0x06054b50u
#define END64_MAGIC   0x06064b50u
#define LOCATOR_MAGIC 0x07064b50u
#define ENTRY_MAGIC   0x02014b50u
#define LOCAL_MAGIC   0x04034b50u

#define FLAG_DESCRIPTOR  0x0008u /* checksum and lengths follow the bytes */
#define DESCRIPTOR_MAGIC 0x08074b50u
#define DESCRIPTOR_MAX   24u
#define CHECKSUM_LEN     4u
#define LOCAL_CHECKSUM   14u /* where it is in the local header */
#define ENTRY_CHECKSUM   16u /* and in the directory */

#define FLAGS_REFUSED 0x2041u /* encrypted, strongly encrypted, masked headers */
#define METHOD_STORED 0u
#define EXTRA_ZIP64   1u

typedef struct zip {
    emk_scan *s;
    emk_error *e;
    emk_status st;
    uint64_t n_entries, directory, directory_end; /* offsets count from s->base */
    uint64_t free_from;                           /* end of the last member */
} zip;

typedef struct member {
    uint64_t local, len, packed_len; /* len: unpacked */
    uint64_t data;                   /* where its bytes are, from s->base */
    uint64_t entry_at, name_at;      /* in the directory */
    uint16_t flags, method, name_len, extra_len, comment_len;
    char name[NAME_KEPT + 1]; /* empty when longer */
} member;

static void fail(zip *z, emk_status st, const char *what, uint64_t where)
{
    if (z->st == EMK_OK)
        z->st = emk_fail(z->e, st, what, where);
}

static bool ok(const zip *z)
{
    return z->st == EMK_OK && !z->s->im->cut;
}

/* Copies a record of the model; false and a failure when it is not all there. */
static bool record(zip *z, uint64_t at, uint8_t *out, size_t len)
{
    if (at > z->s->len || len > z->s->len - at) {
        fail(z, EMK_E_FORMAT, "zip: record outside the file", at);
        return false;
    }
    emk_image_copy(z->s->im, z->s->base + at, out, len);
    return ok(z);
}

/* The end record: the last one whose comment ends with the file.  False: there is none. */
static bool find_end(emk_image *im, uint64_t base, uint64_t len, uint64_t *at)
{
    for (uint64_t comment = 0; comment <= COMMENT_MAX && len >= END_LEN + comment; comment++) {
        uint64_t end = len - END_LEN - comment;

        if (emk_image_u8(im, base + end) == 'P' && emk_image_u32le(im, base + end) == END_MAGIC &&
            emk_image_u16le(im, base + end + 20) == comment) {
            *at = end;
            return true;
        }
    }
    return false;
}

/* Takes the 64-bit values where a locator points at them.  The small ones must agree unless
 * they say "too small". */
static uint64_t read_end64(zip *z, uint64_t end, const uint8_t *small)
{
    uint8_t locator[LOCATOR_LEN], big[END64_LEN];
    uint64_t at;

    if (end < LOCATOR_LEN || !record(z, end - LOCATOR_LEN, locator, sizeof locator) ||
        emk_load_u32le(locator) != LOCATOR_MAGIC)
        return end;
    at = emk_load_u64le(locator + 8);
    if (!record(z, at, big, sizeof big))
        return end;
    z->n_entries = emk_load_u64le(big + 32);
    z->directory = emk_load_u64le(big + 48);
    z->directory_end = emk_load_u64le(big + 40);
    if (emk_load_u32le(big) != END64_MAGIC || emk_load_u64le(big + 24) != z->n_entries ||
        emk_load_u32le(big + 16) != 0 || emk_load_u32le(big + 20) != 0)
        fail(z, EMK_E_FORMAT, "zip: 64-bit end record", at);
    if ((emk_load_u16le(small + 10) != UINT16_MAX && emk_load_u16le(small + 10) != z->n_entries) ||
        (emk_load_u32le(small + 12) != UINT32_MAX &&
         emk_load_u32le(small + 12) != z->directory_end) ||
        (emk_load_u32le(small + 16) != UINT32_MAX && emk_load_u32le(small + 16) != z->directory))
        fail(z, EMK_E_FORMAT, "zip: end records differ", at);
    return at;
}

static void read_end(zip *z)
{
    uint8_t r[END_LEN];
    uint64_t end, limit;

    if (!find_end(z->s->im, z->s->base, z->s->len, &end)) {
        fail(z, EMK_E_FORMAT, "zip: no end record", z->s->len);
        return;
    }
    if (!record(z, end, r, sizeof r))
        return;
    z->n_entries = emk_load_u16le(r + 10);
    z->directory = emk_load_u32le(r + 16);
    z->directory_end = emk_load_u32le(r + 12); /* its length, so far */
    if (emk_load_u16le(r + 4) != 0 || emk_load_u16le(r + 6) != 0 ||
        emk_load_u16le(r + 8) != emk_load_u16le(r + 10))
        fail(z, EMK_E_UNSUPPORTED, "zip: more than one disk", end);
    limit = read_end64(z, end, r);
    if (z->directory > limit || z->directory_end != limit - z->directory)
        fail(z, EMK_E_FORMAT, "zip: directory does not end at the end record", z->directory);
    z->directory_end += z->directory;
    if (z->n_entries > z->s->len / ENTRY_LEN)
        fail(z, EMK_E_FORMAT, "zip: more members than the file can hold", z->n_entries);
}

/* One 64-bit value of the extra field, in place of a 32-bit one that says "too small". */
static uint64_t extra64(zip *z, uint64_t *at, uint64_t end, uint64_t small)
{
    uint8_t v[8];

    if (small != UINT32_MAX)
        return small;
    if (end - *at < sizeof v) {
        fail(z, EMK_E_FORMAT, "zip: 64-bit sizes", *at);
        return 0;
    }
    if (!record(z, *at, v, sizeof v))
        return 0;
    *at += sizeof v;
    return emk_load_u64le(v);
}

static void read_extra(zip *z, uint64_t at, uint64_t end, member *m)
{
    uint8_t head[4];

    while (end - at >= sizeof head && record(z, at, head, sizeof head)) {
        uint64_t len = emk_load_u16le(head + 2);

        at += sizeof head;
        if (len > end - at) {
            fail(z, EMK_E_FORMAT, "zip: extra field", at);
            return;
        }
        if (emk_load_u16le(head) == EXTRA_ZIP64) {
            uint64_t pos = at;

            m->len = extra64(z, &pos, at + len, m->len);
            m->packed_len = extra64(z, &pos, at + len, m->packed_len);
            m->local = extra64(z, &pos, at + len, m->local);
            return;
        }
        at += len;
    }
}

/* The directory's entry at `at`; returns where the next one is. */
static uint64_t read_entry(zip *z, uint64_t at, member *m)
{
    uint8_t r[ENTRY_LEN];
    uint64_t next;

    if (z->directory_end - at < sizeof r)
        fail(z, EMK_E_FORMAT, "zip: directory", at);
    if (!ok(z) || !record(z, at, r, sizeof r))
        return at;
    m->flags = emk_load_u16le(r + 8);
    m->method = emk_load_u16le(r + 10);
    m->packed_len = emk_load_u32le(r + 20);
    m->len = emk_load_u32le(r + 24);
    m->name_len = emk_load_u16le(r + 28);
    m->extra_len = emk_load_u16le(r + 30);
    m->comment_len = emk_load_u16le(r + 32);
    m->local = emk_load_u32le(r + 42);
    m->entry_at = at;
    m->name_at = at + ENTRY_LEN;
    next = m->name_at + m->name_len + m->extra_len + m->comment_len;
    if (emk_load_u32le(r) != ENTRY_MAGIC || next > z->directory_end)
        fail(z, EMK_E_FORMAT, "zip: directory", at);
    else if (emk_load_u16le(r + 34) != 0)
        fail(z, EMK_E_UNSUPPORTED, "zip: more than one disk", at);
    else if (m->flags & FLAGS_REFUSED)
        fail(z, EMK_E_UNSUPPORTED, "zip: encrypted member", at);
    if (!ok(z))
        return at;
    read_extra(z, m->name_at + m->name_len, m->name_at + m->name_len + m->extra_len, m);
    m->name[0] = 0;
    if (m->name_len <= NAME_KEPT && record(z, m->name_at, (uint8_t *)m->name, m->name_len))
        m->name[m->name_len] = 0;
    return next;
}

static bool same_bytes(zip *z, uint64_t a, uint64_t b, uint16_t len)
{
    uint16_t i = 0;

    while (i < len &&
           emk_image_u8(z->s->im, z->s->base + a + i) == emk_image_u8(z->s->im, z->s->base + b + i))
        i++;
    return i == len;
}

/* Finds the member's bytes behind its local header. */
static void read_local(zip *z, member *m)
{
    uint8_t r[LOCAL_LEN];

    if (m->local < z->free_from || m->local >= z->directory) {
        fail(z, EMK_E_UNSUPPORTED, "zip: members not one behind the other", m->local);
        return;
    }
    if (!record(z, m->local, r, sizeof r))
        return;
    m->data = m->local + LOCAL_LEN + emk_load_u16le(r + 26) + emk_load_u16le(r + 28);
    if (emk_load_u32le(r) != LOCAL_MAGIC || emk_load_u16le(r + 8) != m->method ||
        emk_load_u16le(r + 26) != m->name_len)
        fail(z, EMK_E_FORMAT, "zip: local header differs", m->local);
    else if (m->data > z->directory || m->packed_len > z->directory - m->data)
        fail(z, EMK_E_FORMAT, "zip: member outside the file", m->local);
    else if (m->method == METHOD_STORED && m->packed_len != m->len)
        fail(z, EMK_E_FORMAT, "zip: stored member of two lengths", m->local);
    else if (!same_bytes(z, m->name_at, m->local + LOCAL_LEN, m->name_len))
        fail(z, EMK_E_FORMAT, "zip: local header has another name", m->local);
    z->free_from = m->data + m->packed_len;
}

/* "root/data/12" and what else PyTorch calls its storages. */
static bool is_storage(const char *name)
{
    static const char *const folders[] = {"data/", "constants/", "data/weights/weight_",
                                          "data/constants/tensor_"};
    const char *slash = strchr(name, '/');

    for (size_t i = 0; slash && slash != name && i < sizeof folders / sizeof folders[0]; i++) {
        size_t len = strlen(folders[i]);
        const char *number = slash + 1 + len;

        if (strncmp(slash + 1, folders[i], len) == 0 && *number &&
            strspn(number, "0123456789") == strlen(number))
            return true;
    }
    return false;
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);

    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

static void emit(zip *z, emk_tensor *t, uint64_t at, uint64_t len)
{
    t->offset = z->s->base + at;
    t->length = len;
    if (ok(z))
        z->st = emk_scan_emit(z->s, t, z->e);
}

static void emit_storage(zip *z, const member *m)
{
    emk_tensor t = {
        .kind = EMK_TENSOR_WEIGHT, .name_off = z->s->base + m->name_at, .name_len = m->name_len};

    emit(z, &t, m->data, m->len);
}

/* Where the checksum behind the member's bytes is.  Four layouts are about, and only the
 * lengths in them tell which it is: the checksum itself reads otherwise once it is sealed. */
static uint64_t descriptor_checksum(zip *z, const member *m)
{
    uint64_t at = m->data + m->packed_len, left = z->directory - at;
    uint8_t r[DESCRIPTOR_MAX] = {0};

    if (!record(z, at, r, left < sizeof r ? (size_t)left : sizeof r))
        return 0;
    if (emk_load_u32le(r) == DESCRIPTOR_MAGIC) {
        if (emk_load_u64le(r + 8) == m->packed_len && emk_load_u64le(r + 16) == m->len)
            return at + 4;
        if (emk_load_u32le(r + 8) == m->packed_len && emk_load_u32le(r + 12) == m->len)
            return at + 4;
    }
    if (emk_load_u64le(r + 4) == m->packed_len && emk_load_u64le(r + 12) == m->len)
        return at;
    if (emk_load_u32le(r + 4) == m->packed_len && emk_load_u32le(r + 8) == m->len)
        return at;
    fail(z, EMK_E_FORMAT, "zip: checksum behind a member", at);
    return 0;
}

/* A checksum of 32 bits tells what a small member holds, and confirms a guess at any. */
static void emit_checksums(zip *z, const member *m)
{
    emk_tensor t = {.kind = EMK_TENSOR_CHECKSUM};
    uint64_t behind;

    emit(z, &t, m->local + LOCAL_CHECKSUM, CHECKSUM_LEN);
    emit(z, &t, m->entry_at + ENTRY_CHECKSUM, CHECKSUM_LEN);
    if (!(m->flags & FLAG_DESCRIPTOR) || !ok(z))
        return;
    behind = descriptor_checksum(z, m);
    emit(z, &t, behind, CHECKSUM_LEN);
}

/* The one level of nesting: a TensorFlow Lite model, with the same budget. */
static void scan_member(zip *z, const member *m)
{
    emk_scan *s = z->s;
    uint64_t base = s->base, len = s->len;

    s->base = base + m->data;
    s->len = m->len;
    z->st = emk_tflite_scan(s, z->e);
    s->base = base;
    s->len = len;
}

static bool is_tflite(zip *z, const member *m)
{
    return m->len >= 8 && emk_image_equal(z->s->im, z->s->base + m->data + 4, emk_span_str("TFL3"));
}

static void clear(zip *z, emk_clear why, uint64_t bytes)
{
    if (ok(z))
        z->st = emk_scan_clear(z->s, why, bytes, z->e);
}

static void visit_member(zip *z, const member *m)
{
    bool storage = is_storage(m->name) || ends_with(m->name, ".weights.h5");
    uint32_t before = z->s->report.tensors;

    if (m->method != METHOD_STORED) {
        clear(z, storage || ends_with(m->name, ".tflite") ? EMK_CLEAR_COMPRESSED : EMK_CLEAR_MEMBER,
              m->packed_len);
        return;
    }
    if (storage && m->len > 0)
        emit_storage(z, m);
    else if (is_tflite(z, m))
        scan_member(z, m);
    else
        clear(z, EMK_CLEAR_MEMBER, m->len);
    if (ok(z) && z->s->report.tensors > before)
        emit_checksums(z, m);
}

/* An archive by its first bytes, or by an end record that points at a directory: some begin
 * with bytes of their own. */
bool emk_zip_detect(emk_image *im)
{
    uint64_t at, directory;

    if (emk_image_has(im, 0, 4) && emk_image_u32le(im, 0) == LOCAL_MAGIC)
        return true;
    if (!find_end(im, 0, im->len, &at))
        return false;
    directory = emk_image_u32le(im, at + 16);
    return directory == UINT32_MAX ||
           (emk_image_has(im, directory, 4) && emk_image_u32le(im, directory) == ENTRY_MAGIC);
}

/* An archive of something else: nothing in it is told apart. */
static void seal_unread(zip *z)
{
    if (!ok(z) || z->s->report.tensors > 0)
        return;
    clear(z, EMK_CLEAR_UNREAD, z->s->len);
    if (ok(z))
        z->st = emk_scan_whole(z->s, EMK_TENSOR_OTHER, z->e);
}

emk_status emk_zip_scan(emk_scan *s, emk_error *e)
{
    zip z = {.s = s, .e = e};
    uint64_t at;

    read_end(&z);
    at = z.directory;
    for (uint64_t i = 0; i < z.n_entries && ok(&z); i++) {
        member m;

        memset(&m, 0, sizeof m);
        z.st = emk_scan_step(s, 1, e);
        if (ok(&z))
            at = read_entry(&z, at, &m);
        if (ok(&z))
            read_local(&z, &m);
        if (ok(&z))
            visit_member(&z, &m);
    }
    if (ok(&z) && at != z.directory_end)
        fail(&z, EMK_E_FORMAT, "zip: directory longer than its members", at);
    seal_unread(&z);
    if (z.st == EMK_OK)
        z.st = emk_image_check(s->im, "zip: file cannot be read", e);
    return z.st;
}
