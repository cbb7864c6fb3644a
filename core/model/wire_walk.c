#include "core/model/wire_walk.h"

bool emk_walk_ok(const emk_walk *w)
{
    return w->st == EMK_OK && emk_pb_ok(&w->pb);
}

void emk_walk_emit(emk_walk *w, emk_tensor *t, emk_pb_range bytes)
{
    t->offset = bytes.pos;
    t->length = emk_walk_len(bytes);
    if (emk_walk_ok(w))
        w->st = emk_scan_emit(w->s, t, w->e);
}

void emk_walk_clear(emk_walk *w, emk_clear why, uint64_t bytes)
{
    if (emk_walk_ok(w))
        w->st = emk_scan_clear(w->s, why, bytes, w->e);
}

static void add_dim(emk_tensor *t, uint64_t dim)
{
    if (t->rank < EMK_MODEL_DIMS_MAX)
        t->dims[t->rank++] = dim <= INT64_MAX ? dim : 0;
    else
        t->rank = EMK_MODEL_RANK_MORE;
}

void emk_walk_add_dims(emk_walk *w, const emk_pb_field *f, emk_tensor *t)
{
    emk_pb_range r = f->bytes;
    uint64_t dim;

    if (f->type == EMK_PB_VARINT) {
        add_dim(t, f->value);
        return;
    }
    if (!emk_pb_want(&w->pb, f, EMK_PB_BYTES))
        return;
    while (emk_pb_next_varint(&w->pb, &r, &dim))
        add_dim(t, dim);
}

static const emk_walk_row *row_for(const emk_walk *w, uint8_t message, uint32_t field)
{
    for (size_t i = 0; i < w->n_rows; i++) {
        if (w->rows[i].message == message && w->rows[i].field == field)
            return &w->rows[i];
    }
    return NULL;
}

/* Opens a message at `depth` unless it is a leaf; how many are open then. */
static uint32_t enter(emk_walk *w, uint32_t depth, uint8_t message, emk_pb_range range)
{
    w->n_messages++;
    w->visit(w, message & (uint8_t)~EMK_WALK_LEAF, range);
    if (message & EMK_WALK_LEAF)
        return depth;
    if (depth == EMK_WALK_DEPTH) {
        emk_pb_fail(&w->pb, EMK_E_LIMIT, "model: messages nested too deep", range.pos);
        return depth;
    }
    w->stack[depth].left = range;
    w->stack[depth].message = message;
    return depth + 1;
}

static void walk(emk_walk *w, uint8_t root, emk_pb_range all)
{
    uint32_t depth = enter(w, 0, root, all);

    while (depth > 0 && emk_walk_ok(w)) {
        const emk_walk_row *row;
        emk_pb_field f;

        if (!emk_pb_next(&w->pb, &w->stack[depth - 1].left, &f)) {
            depth--;
            continue;
        }
        row = row_for(w, w->stack[depth - 1].message, f.number);
        if (row && emk_pb_want(&w->pb, &f, EMK_PB_BYTES))
            depth = enter(w, depth, row->child, f.bytes);
    }
}

emk_status emk_walk_run(emk_walk *w, uint8_t root)
{
    emk_scan *s = w->s;
    uint64_t budget = s->limits.max_steps - s->report.steps;
    emk_pb_range all;

    emk_pb_init(&w->pb, s->im, s->base, s->len, &all);
    w->pb.steps = budget;
    walk(w, root, all);
    s->report.steps += budget - w->pb.steps;
    return w->st != EMK_OK ? w->st : emk_pb_finish(&w->pb, w->e);
}
