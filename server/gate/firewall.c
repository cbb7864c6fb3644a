/* A set is the entries as they came, and beside them nodes sorted by (family, base, bits, action),
 * each with the place of the nearest node before it that contains it.  Networks are nested or
 * apart, so of all that contain an address one is the last node whose base is not above it, or
 * in the chain of that node's parents: the tree of prefixes, laid out in an array. */
#include "server/gate/firewall.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"

#define NO_NODE UINT32_MAX

typedef struct node {
    emk_net net;
    uint32_t entry;
    uint32_t parent;
} node;

struct emk_firewall_set {
    emk_firewall_entry *entries;
    node *nodes;
    size_t n;
    uint32_t refs; /* of the firewall that has it, and of those who look; by its lock */
};

static int compare_base(const emk_address *a, const emk_address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->b, b->b, sizeof a->b);
}

static bool node_before(const emk_firewall_set *s, const node *a, const node *b)
{
    int by_base = compare_base(&a->net.base, &b->net.base);

    if (by_base != 0)
        return by_base < 0;
    if (a->net.bits != b->net.bits)
        return a->net.bits < b->net.bits;
    return s->entries[a->entry].action < s->entries[b->entry].action;
}

static void sift_down(emk_firewall_set *s, size_t at, size_t n)
{
    while (2 * at + 1 < n) {
        size_t child = 2 * at + 1;
        node swap;

        if (child + 1 < n && node_before(s, &s->nodes[child], &s->nodes[child + 1]))
            child++;
        if (!node_before(s, &s->nodes[at], &s->nodes[child]))
            return;
        swap = s->nodes[at];
        s->nodes[at] = s->nodes[child];
        s->nodes[child] = swap;
        at = child;
    }
}

/* Heap sort: the order depends on `s`, which qsort cannot pass on. */
static void sort_nodes(emk_firewall_set *s)
{
    for (size_t i = s->n / 2; i-- > 0;)
        sift_down(s, i, s->n);
    for (size_t left = s->n; left-- > 1;) {
        node swap = s->nodes[0];

        s->nodes[0] = s->nodes[left];
        s->nodes[left] = swap;
        sift_down(s, 0, left);
    }
}

static bool node_contains(const node *a, const node *b)
{
    return a->net.bits <= b->net.bits && emk_net_contains(&a->net, &b->net.base);
}

static void link_parents(emk_firewall_set *s)
{
    uint32_t above = NO_NODE;

    for (uint32_t i = 0; i < s->n; i++) {
        while (above != NO_NODE && !node_contains(&s->nodes[above], &s->nodes[i]))
            above = s->nodes[above].parent;
        s->nodes[i].parent = above;
        above = i;
    }
}

static bool text_ends(const char *text, size_t cap)
{
    return memchr(text, 0, cap) != NULL;
}

static bool entry_is_sound(const emk_firewall_entry *entry)
{
    emk_net whole = emk_net_of(&entry->net.base, entry->net.bits);
    bool wants_class = entry->action == EMK_FIREWALL_LIMIT;

    return entry->net.base.family != EMK_ADDRESS_NONE &&
           entry->net.bits <= emk_address_bits(&entry->net.base) &&
           emk_address_equal(&whole.base, &entry->net.base) && entry->action > EMK_FIREWALL_NONE &&
           entry->action <= EMK_FIREWALL_DENY && entry->limit_class <= EMK_FIREWALL_CLASS_MAX &&
           wants_class == (entry->limit_class != 0) &&
           text_ends(entry->reason, sizeof entry->reason) &&
           text_ends(entry->origin, sizeof entry->origin) && text_ends(entry->by, sizeof entry->by);
}

static emk_status set_alloc(size_t n, emk_firewall_set **out, emk_error *e)
{
    emk_firewall_set *s = emk_alloc(1, sizeof *s);

    if (s && n > 0) {
        s->entries = emk_alloc(n, sizeof *s->entries);
        s->nodes = emk_alloc(n, sizeof *s->nodes);
    }
    if (!s || (n > 0 && (!s->entries || !s->nodes))) {
        emk_firewall_set_free(s);
        return emk_fail(e, EMK_E_NO_MEMORY, "firewall: memory", n);
    }
    s->n = n;
    *out = s;
    return EMK_OK;
}

emk_status emk_firewall_set_new(const emk_firewall_entry *entries, size_t n, emk_firewall_set **out,
                                emk_error *e)
{
    emk_firewall_set *s = NULL;
    emk_status st;

    if (n > EMK_FIREWALL_ENTRIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "firewall: entries", n);
    for (size_t i = 0; i < n; i++)
        if (!entry_is_sound(&entries[i]))
            return emk_fail(e, EMK_E_USAGE, "firewall: an entry makes no sense", i);
    st = set_alloc(n, &s, e);
    if (st != EMK_OK)
        return st;
    for (uint32_t i = 0; i < n; i++) {
        s->entries[i] = entries[i];
        s->nodes[i].net = entries[i].net;
        s->nodes[i].entry = i;
    }
    sort_nodes(s);
    link_parents(s);
    *out = s;
    return EMK_OK;
}

void emk_firewall_set_free(emk_firewall_set *s)
{
    if (!s)
        return;
    emk_free(s->entries);
    emk_free(s->nodes);
    emk_free(s);
}

size_t emk_firewall_set_count(const emk_firewall_set *s)
{
    return s->n;
}

const emk_firewall_entry *emk_firewall_set_get(const emk_firewall_set *s, size_t i)
{
    return &s->entries[i];
}

/* The last node whose base is not above a. */
static uint32_t last_not_above(const emk_firewall_set *s, const emk_address *a)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (compare_base(&s->nodes[mid].net.base, a) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? NO_NODE : (uint32_t)(low - 1);
}

emk_firewall_hit emk_firewall_set_find(const emk_firewall_set *s, const emk_address *a,
                                       uint64_t now_s)
{
    emk_firewall_hit hit = {EMK_FIREWALL_NONE, 0, 0};

    for (uint32_t i = last_not_above(s, a); i != NO_NODE; i = s->nodes[i].parent) {
        const emk_firewall_entry *entry = &s->entries[s->nodes[i].entry];

        if (!emk_net_contains(&s->nodes[i].net, a))
            continue;
        if (entry->expires != 0 && entry->expires <= now_s)
            continue;
        hit.action = entry->action;
        hit.limit_class = entry->limit_class;
        hit.entry = s->nodes[i].entry;
        break;
    }
    return hit;
}

emk_firewall_trial emk_firewall_try(const emk_firewall_set *now, const emk_firewall_set *candidate,
                                    const emk_address *clients, size_t n_clients, uint64_t now_s)
{
    emk_firewall_trial t = {.n_clients = n_clients};

    for (size_t i = 0; i < n_clients; i++) {
        emk_firewall_hit old = emk_firewall_set_find(now, &clients[i], now_s);
        emk_firewall_hit new = emk_firewall_set_find(candidate, &clients[i], now_s);

        t.by_action[new.action]++;
        if (old.action != new.action || old.limit_class != new.limit_class)
            t.changed++;
    }
    return t;
}

/* ---- the one that counts ---- */

struct emk_firewall {
    emk_lock *lock;
    emk_firewall_set *set;
};

emk_status emk_firewall_new(emk_firewall **out, emk_error *e)
{
    emk_firewall *f = emk_alloc(1, sizeof *f);
    emk_status st;

    if (!f)
        return emk_fail(e, EMK_E_NO_MEMORY, "firewall: memory", sizeof *f);
    st = emk_firewall_set_new(NULL, 0, &f->set, e);
    if (st == EMK_OK)
        st = emk_lock_new(&f->lock, e);
    if (st != EMK_OK) {
        emk_firewall_set_free(f->set);
        emk_free(f);
        return st;
    }
    f->set->refs = 1;
    *out = f;
    return EMK_OK;
}

void emk_firewall_free(emk_firewall *f)
{
    if (!f)
        return;
    emk_firewall_set_free(f->set);
    emk_lock_free(f->lock);
    emk_free(f);
}

/* The lock is held; what is returned is to be freed without it. */
static emk_firewall_set *drop(emk_firewall_set *s)
{
    s->refs--;
    return s->refs == 0 ? s : NULL;
}

void emk_firewall_swap(emk_firewall *f, emk_firewall_set *set)
{
    emk_firewall_set *old;

    emk_lock_take(f->lock);
    old = drop(f->set);
    set->refs = 1;
    f->set = set;
    emk_lock_give(f->lock);
    emk_firewall_set_free(old);
}

emk_firewall_hit emk_firewall_find(emk_firewall *f, const emk_address *a, uint64_t now_s)
{
    emk_firewall_hit hit;

    emk_lock_take(f->lock);
    hit = emk_firewall_set_find(f->set, a, now_s);
    emk_lock_give(f->lock);
    return hit;
}

void emk_firewall_look(emk_firewall *f, void (*fn)(void *self, const emk_firewall_set *set),
                       void *self)
{
    emk_firewall_set *set;

    emk_lock_take(f->lock);
    set = f->set;
    set->refs++;
    emk_lock_give(f->lock);
    fn(self, set);
    emk_lock_take(f->lock);
    set = drop(set);
    emk_lock_give(f->lock);
    emk_firewall_set_free(set);
}
