/* Four eyes: a draft rule set that can deny more than the set that decides needs a second operator,
 * besides the one who promotes it.  An approval is a record: of one set, by its hash, by one
 * operator, for a time. */
#ifndef EMK_SERVER_API_APPROVAL_H
#define EMK_SERVER_API_APPROVAL_H

#include "server/api/http.h"

#define EMK_APPROVAL_LIFE_S (UINT64_C(7) * 86400)

/* Whether second persons are asked for: emk_api_settings.approvals. */
typedef enum emk_approval_rule {
    EMK_APPROVAL_AUTO, /* as soon as another operator could give one */
    EMK_APPROVAL_NEVER,
    EMK_APPROVAL_ALWAYS
} emk_approval_rule;

typedef struct emk_approvals {
    uint64_t others; /* operators besides the caller who could approve */
    uint64_t given;  /* of those, who did, and whose approval is not over */
    char by[129];    /* one of them; empty: none */
} emk_approvals;

/* Who is there to approve the set of that hash, and who did.  What the store says. */
emk_status emk_approvals_look(emk_call *call, const uint8_t hash[32], emk_approvals *out,
                              emk_error *e) EMK_MUST_CHECK;
/* Whether these suffice for a draft that needs a second person. */
bool emk_approvals_suffice(const emk_call *call, const emk_approvals *a);
/* Keeps the caller's approval; again begins its time anew. */
emk_status emk_approval_give(emk_call *call, const uint8_t hash[32], const char *label,
                             emk_span reason, emk_error *e) EMK_MUST_CHECK;

#endif
