#include "core/proto/guard_summary.h"

#include "core/codec/cbor.h"

#define VERSION    1u
#define SIGNAL_MAX 255u
#define SEEN_MAX   65535u
#define FINDING    3u /* items */

enum key {
    K_VERSION = 1,
    K_LEVEL = 2,
    K_ACTION = 3,
    K_LOOKS = 4,
    K_TRANSCRIPT = 5,
    K_MEASUREMENT = 6,
    K_FINDINGS = 7,
    N_KEYS = 7
};

emk_status emk_guard_summary_write(const emk_guard_report *report, emk_buf *out, emk_error *e)
{
    uint8_t bytes[EMK_GUARD_SUMMARY_MAX];
    emk_writer w;

    emk_writer_init(&w, bytes, sizeof bytes);
    emk_cbor_put_map(&w, N_KEYS);
    emk_cbor_put_uint(&w, K_VERSION);
    emk_cbor_put_uint(&w, VERSION);
    emk_cbor_put_uint(&w, K_LEVEL);
    emk_cbor_put_uint(&w, (uint64_t)report->level);
    emk_cbor_put_uint(&w, K_ACTION);
    emk_cbor_put_uint(&w, (uint64_t)report->action);
    emk_cbor_put_uint(&w, K_LOOKS);
    emk_cbor_put_uint(&w, report->n_looks);
    emk_cbor_put_uint(&w, K_TRANSCRIPT);
    emk_cbor_put_bytes(&w, emk_span_of(report->transcript, sizeof report->transcript));
    emk_cbor_put_uint(&w, K_MEASUREMENT);
    emk_cbor_put_bytes(&w, emk_span_of(report->measurement, sizeof report->measurement));
    emk_cbor_put_uint(&w, K_FINDINGS);
    emk_cbor_put_array(&w, report->n_findings);
    for (uint32_t i = 0; i < report->n_findings; i++) {
        emk_cbor_put_array(&w, FINDING);
        emk_cbor_put_uint(&w, (uint64_t)report->findings[i].signal);
        emk_cbor_put_uint(&w, (uint64_t)report->findings[i].confidence);
        emk_cbor_put_uint(&w, report->findings[i].n_seen);
    }
    if (w.full)
        return emk_fail(e, EMK_E_LIMIT, "guard summary: too long", w.pos);
    return emk_buf_append(out, emk_writer_span(&w), e);
}

static uint64_t read_between(emk_cbor_reader *r, uint64_t min, uint64_t max)
{
    const uint64_t v = emk_cbor_read_uint(r);

    if (emk_cbor_ok(r) && (v < min || v > max))
        emk_cbor_fail(r, EMK_E_LIMIT, "guard summary: number", v);
    return v;
}

static void read_findings(emk_cbor_reader *r, emk_guard_summary *out)
{
    const size_t n = emk_cbor_enter_array(r);

    if (n > EMK_GUARD_SUMMARY_FINDINGS) {
        emk_cbor_fail(r, EMK_E_LIMIT, "guard summary: findings", n);
        return;
    }
    for (size_t i = 0; i < n && emk_cbor_ok(r); i++) {
        emk_guard_summary_finding *f = &out->findings[i];

        emk_cbor_enter_array(r);
        f->signal = (uint32_t)read_between(r, 0, SIGNAL_MAX);
        f->confidence = (uint8_t)read_between(r, EMK_GUARD_HINT, EMK_GUARD_CERTAIN);
        f->n_seen = (uint32_t)read_between(r, 1, SEEN_MAX);
        emk_cbor_leave(r);
        if (i > 0 && f->signal <= out->findings[i - 1].signal)
            emk_cbor_fail(r, EMK_E_FORMAT, "guard summary: order of signals", f->signal);
    }
    out->n_findings = n;
    emk_cbor_leave(r);
}

static void read_value(emk_cbor_reader *r, int64_t key, emk_guard_summary *out)
{
    switch (key) {
    case K_VERSION:
        if (emk_cbor_read_uint(r) != VERSION)
            emk_cbor_fail(r, EMK_E_UNSUPPORTED, "guard summary: version", 0);
        break;
    case K_LEVEL:
        out->level = (uint8_t)read_between(r, 0, EMK_GUARD_STRICT);
        break;
    case K_ACTION:
        out->action = (uint8_t)read_between(r, 0, EMK_GUARD_DO_WIPE);
        break;
    case K_LOOKS:
        out->n_looks = (uint32_t)read_between(r, 0, UINT32_MAX);
        break;
    case K_TRANSCRIPT:
        emk_cbor_read_fixed(r, out->transcript, sizeof out->transcript);
        break;
    case K_MEASUREMENT:
        emk_cbor_read_fixed(r, out->measurement, sizeof out->measurement);
        break;
    case K_FINDINGS:
        read_findings(r, out);
        break;
    default:
        emk_cbor_fail(r, EMK_E_FORMAT, "guard summary: unknown key", (uint64_t)key);
        break;
    }
}

emk_status emk_guard_summary_read(emk_span in, emk_guard_summary *out, emk_error *e)
{
    emk_guard_summary s = {0};
    emk_cbor_reader r;
    int64_t key;
    size_t n;
    emk_status st;

    if (in.len > EMK_GUARD_SUMMARY_MAX)
        return emk_fail(e, EMK_E_LIMIT, "guard summary: too long", in.len);
    emk_cbor_reader_init(&r, in);
    n = emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key))
        read_value(&r, key, &s);
    /* Keys are in order and each at most once: N_KEYS of them are all of them.  The version was
     * first: one that is not ours may have others. */
    if (emk_cbor_ok(&r) && n != N_KEYS)
        emk_cbor_fail(&r, EMK_E_FORMAT, "guard summary: keys", n);
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st == EMK_OK)
        *out = s;
    return st;
}

/* One value of another version: as ours, or it is not there. */
static void read_other(emk_span item, int64_t key, emk_guard_summary *out, uint32_t *absent)
{
    emk_guard_summary trial = *out;
    emk_cbor_reader r;

    if (key <= K_VERSION || key > N_KEYS)
        return;
    emk_cbor_reader_init(&r, item);
    read_value(&r, key, &trial);
    if (emk_cbor_finish(&r, NULL) != EMK_OK)
        return;
    *out = trial;
    *absent &= ~(1u << key);
}

emk_status emk_guard_summary_read_other(emk_span in, emk_guard_summary *out, uint32_t *absent,
                                        emk_error *e)
{
    emk_guard_summary s = {0};
    uint32_t lacks = EMK_GUARD_SUMMARY_ALL;
    emk_cbor_reader r;
    bool has_version = false;
    int64_t key;
    emk_status st;

    if (in.len > EMK_GUARD_SUMMARY_MAX)
        return emk_fail(e, EMK_E_LIMIT, "guard summary: too long", in.len);
    emk_cbor_reader_init(&r, in);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key)) {
        has_version = has_version || key == K_VERSION;
        read_other(emk_cbor_read_raw(&r), key, &s, &lacks);
    }
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st == EMK_OK && !has_version)
        return emk_fail(e, EMK_E_FORMAT, "guard summary: no version", 0);
    if (st == EMK_OK) {
        *out = s;
        *absent = lacks;
    }
    return st;
}
