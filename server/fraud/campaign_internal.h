/* What the detectors of the campaign job share. */
#ifndef EMK_SERVER_FRAUD_CAMPAIGN_INTERNAL_H
#define EMK_SERVER_FRAUD_CAMPAIGN_INTERNAL_H

#include "server/fraud/campaign.h"

#define FEW_MEMBERS 3u /* where each member is evidence by itself */
/* A test that chance passes once in 2^40; with fewer than 2^20 tests of a run, chance makes one
 * proposal in a million runs. */
#define CHANCE_BITS     40u
#define NOTHING         0u /* no thing */
#define CAMPAIGN_MINUTE UINT64_C(60000)
#define CAMPAIGN_HOUR   (60 * CAMPAIGN_MINUTE)
#define CAMPAIGN_DAY    (24 * CAMPAIGN_HOUR)

typedef enum campaign_kind {
    FACT_GRANT,
    FACT_DOWNLOAD,
    FACT_OPEN,
    FACT_GENERATE,
    FACT_SIGN_IN,
    FACT_TRIAL, /* thing: the payment instrument */
    FACT_KEYED, /* a grant; thing: the service key */
    FACT_MARK   /* thing: an attestation tuple or enrolment batch */
} campaign_kind;

typedef struct campaign_fact {
    uint64_t ts;
    uint32_t user, thing, net, kind;
} campaign_fact;

/* An artifact, network, key …: known by a hash. */
typedef struct campaign_thing {
    uint64_t hash;
    uint32_t name, len; /* artifacts: in names */
    uint32_t rank;      /* artifacts: in the order of names */
} campaign_thing;

/* An artifact that one user took. */
typedef struct campaign_take {
    uint64_t ts;
    uint32_t user, thing;
    bool opened;
} campaign_take;

typedef struct campaign_person {
    uint64_t hash;
    uint32_t name, tenant; /* in names */
    uint8_t name_len, tenant_len;
    bool sdk; /* its app reports */
    uint32_t mark;
    uint64_t born, enrolled; /* first event, first enrolment; 0: none */
    uint32_t birth_net, birth_asn;
    uint32_t taken, unopened, trials, nets, days, keyed, generated;
    bool hoards;       /* and stands for no background */
    size_t first_take; /* of `takes`, which are by user */
    uint32_t parent, links, size, group;
    uint32_t why; /* of a root: its best evidence + 1 */
} campaign_person;

typedef struct campaign_evidence {
    uint64_t number[EMK_FRAUD_EVIDENCE];
    uint32_t bits;
} campaign_evidence;

struct emk_fraud_campaign_job {
    emk_fraud_campaign_options o;
    emk_buf facts, people, things, names, takes, evidence, groups;
    uint32_t *people_slots, *thing_slots; /* owned; open addressing: index + 1 */
    uint32_t n_people, n_things, n_artifacts;
    size_t n_takes, n_members;
    uint64_t events, pairs, last_ms;
};

typedef emk_fraud_campaign_job campaign;

static inline campaign_person *campaign_person_at(const campaign *w, uint32_t i)
{
    return (campaign_person *)(void *)w->people.p + i;
}

/* thing 1 is the first. */
static inline campaign_thing *campaign_thing_at(const campaign *w, uint32_t thing)
{
    return (campaign_thing *)(void *)w->things.p + (thing - 1);
}

static inline campaign_take *campaign_takes(const campaign *w)
{
    return (campaign_take *)(void *)w->takes.p;
}

static inline int campaign_compare(uint64_t x, uint64_t y)
{
    return x < y ? -1 : x > y;
}

/* An account that was made while the log was written. */
static inline bool campaign_is_new(const campaign_person *p)
{
    return p->enrolled && p->enrolled - p->born <= CAMPAIGN_HOUR;
}

/* The facts of these kinds (bits) in the order of cmp; *out is the caller's (emk_free). */
emk_status campaign_pick(const campaign *w, unsigned kinds, int (*cmp)(const void *, const void *),
                         campaign_fact **out, size_t *n, emk_error *e) EMK_MUST_CHECK;

/* These users belong together, and that is why. */
emk_status campaign_note(campaign *w, const uint32_t *users, size_t n, const campaign_evidence *why,
                         emk_error *e) EMK_MUST_CHECK;
void campaign_join(const campaign *w, uint32_t a, uint32_t b);

/* ---- chance: bits b such that it happens at most once in 2^b (Chernoff; Q16 logarithms) ---- */
uint32_t campaign_log2_q16(uint64_t v); /* v > 0 */
/* k or more of n, each with probability a/b. */
uint32_t campaign_bits_share(uint64_t k, uint64_t n, uint64_t a, uint64_t b);
/* k or more, and k or fewer, where `nano` billionths are expected (at most 10^8 whole ones). */
uint32_t campaign_bits_many(uint64_t k, uint64_t nano);
uint32_t campaign_bits_few(uint64_t k, uint64_t nano);

/* ---- detectors ---- */
emk_status campaign_lockstep(campaign *w, emk_error *e) EMK_MUST_CHECK;
emk_status campaign_list(campaign *w, emk_error *e) EMK_MUST_CHECK;
emk_status campaign_rhythm(campaign *w, emk_error *e) EMK_MUST_CHECK;
emk_status campaign_hoard(campaign *w, emk_error *e) EMK_MUST_CHECK;
emk_status campaign_burst(campaign *w, emk_error *e) EMK_MUST_CHECK;
emk_status campaign_key_few(campaign *w, emk_error *e) EMK_MUST_CHECK;
emk_status campaign_trials(campaign *w, emk_error *e) EMK_MUST_CHECK;

#endif
