/* What all routes below /v1/admin do alike: pages, ids, lists, audited changes.
 *
 * Functions that return bool have answered when it is false. */
#ifndef EMK_SERVER_API_ADMIN_ROUTE_H
#define EMK_SERVER_API_ADMIN_ROUTE_H

#include "server/api/admin.h"
#include "server/api/directory.h"
#include "server/api/entities.h"
#include "server/api/json_in.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"

#define EMK_ADMIN_PAGE_MAX     100u
#define EMK_ADMIN_PAGE_DEFAULT 50u
#define EMK_ADMIN_ANSWER       ((size_t)96 * 1024) /* bytes, after which a page ends early */

/* ---- what was asked ---- */

typedef struct emk_admin_page {
    size_t limit;
    emk_span after; /* id of the record before; empty: from the first */
} emk_admin_page;

/* A parameter of the query: *out is empty when it is absent. */
bool emk_admin_query(emk_call *call, const char *name, emk_span *out) EMK_MUST_CHECK;
/* Refuses parameters that are not among names (NULL ends them). */
bool emk_admin_query_only(emk_call *call, const char *const *names) EMK_MUST_CHECK;
/* "limit" and "cursor"; names are what else the route takes. */
bool emk_admin_page_read(emk_call *call, const char *const *names,
                         emk_admin_page *out) EMK_MUST_CHECK;
/* A whole number of the query; stays as it is when absent. */
bool emk_admin_query_uint(emk_call *call, const char *name, uint64_t max,
                          uint64_t *out) EMK_MUST_CHECK;
/* len bytes of a path parameter in base64url; else it is not found. */
bool emk_admin_param(emk_call *call, size_t i, uint8_t *out, size_t len) EMK_MUST_CHECK;
/* 1 to cap bytes of it. */
bool emk_admin_param_some(emk_call *call, size_t i, uint8_t *out, size_t cap,
                          size_t *len) EMK_MUST_CHECK;
/* The owner named by the query: "user" (an id) or "subject" and "tenant" (as tokens say).  *given
 * says whether there is one. */
bool emk_admin_query_user(emk_call *call, uint8_t owner[32], bool *given) EMK_MUST_CHECK;

/* ---- lists of entities ---- */

typedef enum emk_admin_id {
    EMK_ADMIN_ID_BYTES, /* base64url of it */
    EMK_ADMIN_ID_TEXT,  /* as it is */
    EMK_ADMIN_ID_OWN    /* the entity has a field "id" itself */
} emk_admin_id;

typedef struct emk_admin_listing {
    const emk_entity_shape *shape;
    emk_span owner; /* empty: all */
    emk_admin_id id;
    bool (*want)(const void *entity, void *self); /* NULL: all */
    void *want_self;
} emk_admin_listing;

/* Answers {"items":[...],"next":"..."}; next is there while there may be more. */
emk_status emk_admin_list(emk_call *call, const emk_admin_listing *l, const emk_admin_page *page,
                          emk_error *e) EMK_MUST_CHECK;
/* Begins and ends such an answer by hand; `last` is the id of the last record seen. */
void emk_admin_items_open(emk_json_out *o, emk_call *call);
emk_status emk_admin_items_reply(emk_json_out *o, emk_call *call, emk_span last, bool more,
                                 emk_error *e) EMK_MUST_CHECK;
typedef struct emk_admin_id_list {
    emk_span *p;
    size_t n;
} emk_admin_id_list;

/* Up to page->limit ids of a kind; lent from the arena. */
emk_status emk_admin_ids(emk_call *call, uint32_t kind, emk_span owner, const emk_admin_page *page,
                         emk_admin_id_list *ids, emk_error *e) EMK_MUST_CHECK;
/* Answers with one entity. */
emk_status emk_admin_one(emk_call *call, const emk_entity_shape *shape, emk_admin_id how,
                         emk_span id, emk_error *e) EMK_MUST_CHECK;
void emk_admin_put_id(emk_json_out *o, emk_admin_id how, emk_span id);

/* ---- one entity, to be changed ---- */

bool emk_admin_find(emk_call *call, const emk_entity_shape *shape, emk_span id, void *out,
                    emk_record_info *info) EMK_MUST_CHECK;
/* CONFLICT when somebody else changed it meanwhile. */
bool emk_admin_store(emk_call *call, const emk_entity_put *put) EMK_MUST_CHECK;
/* Answers for a failed step: the problem of its status, STALE as CONFLICT. */
void emk_admin_failed(emk_call *call, emk_status st);

/* ---- audit ---- */

typedef struct emk_admin_change {
    const char *type;     /* "user.ban" */
    emk_span subject;     /* of a person; empty: none */
    const char *object;   /* "user"; may be NULL */
    const char *was, *is; /* old and new value; nothing that says who a person is */
    emk_span why;         /* what the operator gave as a reason: sealed for the subject if there is
                             one, else part of the detail */
    bool always;          /* a revocation: goes on when the log cannot be written */
} emk_admin_change;

bool emk_admin_audit(emk_call *call, const emk_admin_change *c) EMK_MUST_CHECK;

/* ---- small ---- */

/* The operator's name. */
const char *emk_admin_who(const emk_call *call);
/* Copies text that fits; cap includes the zero. */
void emk_admin_text(char *to, size_t cap, emk_span from);
/* Answers with bytes that are too many for the arena; takes the buffer. */
emk_status emk_admin_reply_buf(emk_call *call, const char *type, emk_buf *take,
                               emk_error *e) EMK_MUST_CHECK;
/* Raises a user's epoch and the like need a later time than now. */
bool emk_admin_later(emk_call *call, uint64_t expires_s) EMK_MUST_CHECK;
/* False after answering 503 where the server has no admin part. */
bool emk_admin_here(emk_call *call) EMK_MUST_CHECK;

/* {} and {"reason": "..."}: what many routes take. */
typedef struct emk_admin_reason {
    emk_span reason;
} emk_admin_reason;
extern const emk_json_shape emk_admin_reason_shape;

/* Who may call an operators' route: any operator with scope s; step: who proved it lately; cost: of
 * his limit.  They answer also when others are turned away. */
#define EMK_ADMIN_GATE(n, s, step, c)                                                          \
    {                                                                                          \
        .name = (n), .admits = EMK_PRINCIPAL_OPERATOR, .scopes = (s), .needs_step_up = (step), \
        .cost = (c), .klass = EMK_GATE_CLASS_ALWAYS                                            \
    }

#endif
