/* Which entry of the vault is opened for a model.
 *
 * What a model is called is sealed with it, so an entry has to be opened to be told from others,
 * and that is an operation of the key holder.  Hence the entries are tried best first, and the
 * first that fits stays open: with one model in the vault that is one operation.  What an entry
 * turned out to be is remembered by the client, so that others of the vault are opened once. */
#include "core/crypto/hash.h"
#include "device/client/internal.h"

#include <stdlib.h>

#define CANDIDATES_MAX ((size_t)1 << 22) /* bytes */

typedef struct candidate {
    char name[EMK_CLIENT_NAME_LEN + 1];
    uint8_t ticket_hash[EMK_HASH_LEN];
    uint64_t release, accepted;
} candidate;

/* What is known of an entry: a ticket is for one model, for good. */
typedef struct known {
    uint8_t ticket_hash[EMK_HASH_LEN];
    uint8_t model_hash[EMK_HASH_LEN];
} known;

typedef struct search {
    emk_client *client;
    emk_span model;
    uint8_t model_hash[EMK_HASH_LEN];
    const emk_client_ask *ask;
    emk_entry *x; /* stays open when it is what was looked for */
    emk_buf candidates;
    emk_status refusal; /* of the best entry that cannot be opened */
    bool of_the_model;  /* that entry, for certain */
    emk_error why;
} search;

static void refuse(search *s, emk_status st, const emk_error *why, bool of_the_model)
{
    if (s->refusal != EMK_OK && (s->of_the_model || !of_the_model))
        return;
    s->refusal = st;
    s->why = *why;
    s->of_the_model = of_the_model;
}

static bool is_another_model(const search *s, const uint8_t *ticket_hash)
{
    const emk_buf *b = &s->client->known;
    known k;

    for (size_t at = 0; at + sizeof k <= b->len; at += sizeof k) {
        memcpy(&k, b->p + at, sizeof k);
        if (memcmp(k.ticket_hash, ticket_hash, sizeof k.ticket_hash) == 0)
            return memcmp(k.model_hash, s->model_hash, sizeof k.model_hash) != 0;
    }
    return false;
}

/* Only those that were opened in vain, so each is there once.  A full memory forgets. */
static void remember(search *s, const candidate *c, emk_span model)
{
    emk_buf *b = &s->client->known;
    known k;

    memcpy(k.ticket_hash, c->ticket_hash, sizeof k.ticket_hash);
    if (emk_sha256(s->client->crypto, &model, 1, k.model_hash, NULL) == EMK_OK &&
        emk_buf_append(b, emk_span_of(&k, sizeof k), NULL) != EMK_OK)
        b->len = 0;
}

static emk_status collect_one(void *self, const char *name, emk_error *e)
{
    search *s = self;
    candidate c = {.release = 0};
    emk_vault_glance g;
    emk_error why = {0};
    emk_status st = emk_entry_look(s->client, name, &g, &why);

    if (st != EMK_OK) {
        if (st != EMK_E_NOT_FOUND) /* perhaps the one: it is too damaged to tell */
            refuse(s, st, &why, false);
        return EMK_OK;
    }
    if (is_another_model(s, g.ticket_hash))
        return EMK_OK;
    memcpy(c.name, name, sizeof c.name);
    memcpy(c.ticket_hash, g.ticket_hash, sizeof c.ticket_hash);
    c.release = g.release;
    c.accepted = g.record.accepted;
    return emk_buf_append(&s->candidates, emk_span_of(&c, sizeof c), e);
}

static int by_rank(const void *a, const void *b)
{
    const candidate *x = a, *y = b;

    if (x->release != y->release)
        return x->release < y->release ? 1 : -1;
    if (x->accepted != y->accepted)
        return x->accepted < y->accepted ? 1 : -1;
    return memcmp(x->name, y->name, sizeof x->name);
}

/* Whoever has another model open, with a key holder that takes its time, is not waited for: such an
 * entry is looked at without its lock, which tells that it is not the one. */
static emk_status open_candidate(search *s, const candidate *c, emk_error *e)
{
    emk_status st = emk_entry_open_soon(s->client, c->name, s->x, e);

    if (st != EMK_E_BUSY)
        return st;
    st = emk_entry_peek(s->client, c->name, s->x, e);
    if (st != EMK_OK || !emk_span_equal(emk_vault_identity(s->x->vault)->model, s->model))
        return st;
    emk_entry_close(s->x);
    return emk_entry_open(s->client, c->name, s->x, e);
}

/* True when it is the one: then it is open. */
static bool try(search *s, const candidate *c)
{
    emk_error why = {0};
    emk_span model;
    emk_status st = open_candidate(s, c, &why);

    if (st != EMK_OK) {
        if (st != EMK_E_NOT_FOUND) /* removed meanwhile */
            refuse(s, st, &why, false);
        return false;
    }
    model = emk_vault_identity(s->x->vault)->model;
    if (!emk_span_equal(model, s->model)) {
        remember(s, c, model);
    } else {
        st = emk_entry_judge(s->client, s->x, s->ask, &why);
        if (st == EMK_OK)
            return true;
        refuse(s, st, &why, true);
    }
    emk_entry_close(s->x);
    return false;
}

static emk_status try_all(search *s, emk_error *e)
{
    candidate *c = (candidate *)(void *)s->candidates.p;
    size_t n = s->candidates.len / sizeof *c;

    if (n)
        qsort(c, n, sizeof *c, by_rank);
    for (size_t i = 0; i < n; i++) {
        if (try(s, &c[i]))
            return EMK_OK;
    }
    if (s->refusal != EMK_OK)
        return emk_fail(e, s->refusal, s->why.what, s->why.where);
    return emk_fail(e, EMK_E_NOT_FOUND, "vault: no entry of this name or model", 0);
}

emk_status emk_client_find(emk_client *cl, const char *model, const emk_client_ask *ask,
                           emk_entry *x, emk_error *e)
{
    search s = {.client = cl, .model = emk_span_str(model), .ask = ask, .x = x};
    emk_status st;

    emk_buf_init(&s.candidates, CANDIDATES_MAX);
    st = emk_sha256(cl->crypto, &s.model, 1, s.model_hash, e);
    if (st == EMK_OK)
        st = emk_entry_names(cl, collect_one, &s, e);
    if (st == EMK_OK)
        st = try_all(&s, e);
    emk_buf_done(&s.candidates);
    return st;
}
