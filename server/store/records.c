#include "server/store/records.h"

#include "core/base/span.h"
#include "core/base/status.h"

static emk_status check_name(uint32_t kind, emk_span id, emk_error *e)
{
    if (kind == 0 || kind > EMK_RECORD_KIND_MAX)
        return emk_fail(e, EMK_E_USAGE, "records: kind", kind);
    if (id.len == 0 || !id.p)
        return emk_fail(e, EMK_E_USAGE, "records: no id", 0);
    if (id.len > EMK_RECORD_ID_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: length of an id", id.len);
    return EMK_OK;
}

static emk_status check_change(const emk_record_change *c, emk_error *e)
{
    emk_status st = check_name(c->kind, c->id, e);

    if (st != EMK_OK)
        return st;
    if (c->op != EMK_RECORD_PUT && c->op != EMK_RECORD_DELETE && c->op != EMK_RECORD_CHECK)
        return emk_fail(e, EMK_E_USAGE, "records: no such change", (uint64_t)c->op);
    if (c->expect != EMK_RECORD_ANY && c->expect > INT64_MAX)
        return emk_fail(e, EMK_E_USAGE, "records: no such version", c->expect);
    if (c->op != EMK_RECORD_PUT)
        return EMK_OK;
    if (c->owner.len > EMK_RECORD_OWNER_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: length of an owner", c->owner.len);
    if (c->value.len > EMK_RECORD_VALUE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: length of a value", c->value.len);
    if (c->expires_s > INT64_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: expiry", c->expires_s);
    return EMK_OK;
}

static bool names_same(const emk_record_change *a, const emk_record_change *b)
{
    return a->kind == b->kind && emk_span_equal(a->id, b->id);
}

static emk_status check_batch(const emk_record_change *changes, size_t n, emk_error *e)
{
    if (n == 0)
        return emk_fail(e, EMK_E_USAGE, "records: an empty batch", 0);
    if (n > EMK_RECORD_BATCH_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: changes in a batch", n);
    for (size_t i = 0; i < n; i++) {
        emk_status st = check_change(&changes[i], e);

        if (st != EMK_OK)
            return st;
        for (size_t k = 0; k < i; k++) {
            if (names_same(&changes[i], &changes[k]))
                return emk_fail(e, EMK_E_USAGE, "records: one record twice in a batch", i);
        }
    }
    return EMK_OK;
}

emk_status emk_records_get(const emk_records *r, uint32_t kind, emk_span id, emk_record_info *info,
                           emk_buf *value, emk_error *e)
{
    emk_status st = check_name(kind, id, e);

    return st == EMK_OK ? r->ops->get(r->self, kind, id, info, value, e) : st;
}

emk_status emk_records_commit(const emk_records *r, const emk_record_change *changes, size_t n,
                              uint64_t *version, emk_error *e)
{
    uint64_t v = 0;
    emk_status st = check_batch(changes, n, e);

    if (st == EMK_OK)
        st = r->ops->commit(r->self, changes, n, &v, e);
    if (st == EMK_OK && version)
        *version = v;
    return st;
}

emk_status emk_records_scan(const emk_records *r, const emk_record_scan *scan, emk_record_fn fn,
                            void *self, emk_error *e)
{
    if (scan->kind == 0 || scan->kind > EMK_RECORD_KIND_MAX)
        return emk_fail(e, EMK_E_USAGE, "records: kind", scan->kind);
    if (scan->limit == 0 || scan->limit > EMK_RECORD_SCAN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: limit of a scan", scan->limit);
    if (scan->owner.len > EMK_RECORD_OWNER_MAX || scan->after.len > EMK_RECORD_ID_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: owner or id of a scan", 0);
    return r->ops->scan(r->self, scan, fn, self, e);
}

emk_status emk_records_count(const emk_records *r, uint32_t kind, emk_span owner, uint64_t *n,
                             emk_error *e)
{
    if (kind == 0 || kind > EMK_RECORD_KIND_MAX)
        return emk_fail(e, EMK_E_USAGE, "records: kind", kind);
    if (owner.len > EMK_RECORD_OWNER_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: length of an owner", owner.len);
    return r->ops->count(r->self, kind, owner, n, e);
}

emk_status emk_records_sweep(const emk_records *r, uint64_t now_s, uint64_t *n, emk_error *e)
{
    if (now_s > INT64_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: time", now_s);
    return r->ops->sweep(r->self, now_s, n, e);
}

emk_status emk_records_scrub(const emk_records *r, emk_error *e)
{
    return r->ops->scrub ? r->ops->scrub(r->self, e) : EMK_OK;
}

void emk_records_close(emk_records *r)
{
    if (r->ops)
        r->ops->close(r->self);
    *r = (emk_records){0};
}
