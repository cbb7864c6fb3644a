/* What the sources of this folder share: the compiled rule set, and an entity's memory. */
#ifndef EMK_SERVER_FRAUD_INTERNAL_H
#define EMK_SERVER_FRAUD_INTERNAL_H

#include "core/base/os_mem.h"
#include "server/fraud/fixed.h"
#include "server/fraud/ruleset.h"

#define NAME_MAX_  64u
#define WHEN_MAX   512u
#define STACK_MAX  16u /* values at once in an expression */
#define EXCEPT_MAX 4u
#define BUCKETS    12u /* of a window */
#define NO_INDEX   UINT16_MAX

/* ---- features ---- */

typedef enum feature_kind {
    FK_COUNT,
    FK_SUM,
    FK_DISTINCT,
    FK_DECAY,
    FK_RATE,
    FK_AGE,  /* seconds since the first */
    FK_LAST, /* seconds since the last one before this */
    FK_MAX,
    FK_GAP_CV,
    FK_RATIO,
    FK_GEO,
    FK_REPLAY,
    FK_INFLIGHT,
    FK_SKETCH,
    FK_CLOCK, /* largest server_ts - client_ts */
    FK_SEEN,
    FK_SINCE, /* seconds since the last one */
    FK_KNOWN, /* seconds since a value was first met */
    FK_HOURS, /* hours of the day in which something happened */
    FK_DRIFT, /* how often a client's clock fell further behind */
    FK_KINDS
} feature_kind;

typedef enum from_class { FROM_ANY, FROM_ATTESTED, FROM_SERVER } from_class;

/* What claims can do to a value, compared with a client that is silent. */
enum claims { CLAIMS_UP = 1, CLAIMS_DOWN = 2 };

typedef struct feature {
    char name[NAME_MAX_];
    feature_kind kind;
    emk_fraud_entity entity; /* not of FK_SKETCH */
    emk_fraud_field key;     /* of FK_SKETCH */
    bool has_of;
    emk_fraud_field of;
    uint64_t on;                            /* bit t: type t counts; of a decay: those of add */
    uint64_t off;                           /* FK_INFLIGHT: ends, FK_RATIO: numerator */
    int64_t add[EMK_FRAUD_TYPES];           /* FK_DECAY: thousandths */
    uint8_t add_field[EMK_FRAUD_TYPES];     /* times this field's value; EMK_FRAUD_FIELDS: none */
    int64_t max_add;                        /* 0: no limit */
    uint64_t window_ms, bucket_ms, half_ms; /* half_ms: FK_DECAY, FK_RATIO */
    uint64_t ttl_ms;                        /* FK_INFLIGHT; FK_DRIFT: a pause that ends a visit */
    uint64_t step_ms;                       /* FK_DRIFT: less is no fall */
    int64_t limit;                          /* FK_RATE: so much a window, thousandths */
    uint64_t min_m;                         /* FK_GEO */
    unsigned places;                        /* FK_DISTINCT: of the exact set */
    bool approx;                            /* FK_DISTINCT: and a HyperLogLog beyond */
    from_class from;
    unsigned claims;
    uint32_t offset, size; /* in the entity's memory; FK_SKETCH: its number */
} feature;

/* ---- rules ---- */

typedef enum op_code {
    OP_CONST,
    OP_FEATURE, /* a: feature, sub: part of it */
    OP_NUMBER,  /* a: field */
    OP_TEXT,    /* a: field: its hash */
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_EQ,
    OP_NE,
    OP_AND,
    OP_OR,
    OP_NOT,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_NEG
} op_code;

typedef struct op {
    uint8_t code, sub;
    uint16_t a;
    /* The last one of what stands left of an "and" (an "or"): once it is false (true), the code
     * goes on behind skip_to, the OP_AND or OP_OR itself.  0: it does not. */
    uint8_t skip_to;
    int64_t k;
} op;

_Static_assert(EMK_FRAUD_OPS_MAX <= UINT8_MAX, "skip_to");

typedef struct code {
    op ops[EMK_FRAUD_OPS_MAX];
    unsigned n;
    bool claimed; /* a client's word can make it true */
} code;

/* One assumption of an inline test: a feature's or field's value. */
#define TEST_VALUES_MAX 8u
#define TESTS_MAX       8u /* of a rule */
typedef struct rule_test {
    bool fires;
    unsigned n;
    struct {
        bool is_field;
        uint16_t index;
        uint8_t sub;
        int64_t value; /* thousandths, or a text's hash */
    } v[TEST_VALUES_MAX];
    uint32_t line, column;
} rule_test;

typedef struct rule {
    char id[NAME_MAX_], name[128], reason[NAME_MAX_], when[WHEN_MAX];
    uint32_t line, column;
    unsigned family;
    emk_fraud_entity entity;
    bool hard, accumulate, jitter;
    unsigned paranoia;
    emk_fraud_mode mode;
    unsigned percent;
    uint64_t on;
    code when_code;
    int64_t score;
    uint32_t half_s;
    unsigned effects;
    unsigned n_except;
    struct {
        uint16_t list;
        emk_fraud_field field;
    } except[EXCEPT_MAX];
    uint64_t budget_ppb; /* false positives per 10^9 user-days; 0: none */
    unsigned n_tests;
    rule_test tests[TESTS_MAX];
} rule;

typedef struct list_entry {
    uint64_t hash;
    uint64_t until; /* ms; UINT64_MAX: no end */
} list_entry;

typedef struct list {
    char name[NAME_MAX_];
    emk_fraud_field of;
    list_entry *entries; /* sorted by hash; owned */
    size_t n;
} list;

typedef struct action_row {
    int64_t enter, leave;
    uint64_t ttl_ms;
    int64_t factor; /* THROTTLE: share of the plan that is left */
} action_row;

struct emk_fraud_ruleset {
    char label[2 * NAME_MAX_];
    char name[NAME_MAX_];
    uint64_t version;
    uint8_t hash[32];
    uint64_t key[2]; /* of all hashes, from the salt */
    unsigned detection_paranoia, blocking_paranoia;
    struct {
        uint32_t ppm;      /* 0: nobody is let through */
        unsigned per_hour; /* at most */
        int64_t max_cost;  /* thousandths; what costs more is never let through */
    } explore;
    unsigned rollout; /* per cent of users for whom this set, as a draft, decides */
    struct {
        char name[NAME_MAX_];
        int64_t cap;
    } family[EMK_FRAUD_FAMILIES_MAX];
    unsigned n_families;
    action_row action[EMK_FRAUD_ACTIONS];
    struct {
        uint64_t base_ms, max_ms, forgive_ms;
        unsigned factor;
    } ban;
    int64_t link[EMK_FRAUD_ENTITIES]; /* weight, thousandths */
    int64_t plan[EMK_FRAUD_FIELDS];   /* defaults of plan.* */
    uint64_t plan_has;
    unsigned n_features, n_rules, n_lists, n_sketches;
    uint16_t allow_list; /* index, or NO_INDEX */
    size_t n_tests;
    feature features[EMK_FRAUD_FEATURES_MAX];
    rule *rules; /* owned; EMK_FRAUD_RULES_MAX of them */
    list lists[EMK_FRAUD_LISTS_MAX];
    uint64_t entities;                     /* bit i: something is kept of entity i */
    uint32_t slab_len[EMK_FRAUD_ENTITIES]; /* bytes of an entity's memory, head included */
    uint16_t of_type[EMK_FRAUD_TYPES][EMK_FRAUD_FEATURES_MAX]; /* features that type touches */
    uint16_t n_of_type[EMK_FRAUD_TYPES];
    uint64_t hash_of_type[EMK_FRAUD_TYPES]; /* bit f: its hash is needed whatever happens */
    uint16_t rules_of_type[EMK_FRAUD_TYPES][EMK_FRAUD_RULES_MAX];
    uint16_t n_rules_of_type[EMK_FRAUD_TYPES];
};

extern const emk_fraud_field ENTITY_FIELD[EMK_FRAUD_ENTITIES];

/* ---- expr.c ---- */

/* Names an expression may use. */
typedef struct scope {
    emk_fraud_ruleset *rs;
    const rule *r; /* whose expression it is: seen() belongs to its entity */
    const emk_yaml_node *node;
    emk_yaml_diag *d;
    emk_error *e;
} scope;

/* Compiles text into *out.  may_not_claim: claims must have no say at all.  EMK_E_FORMAT. */
emk_status emk_fraud_compile(const scope *sc, const char *text, bool may_not_claim,
                             code *out) EMK_MUST_CHECK;

/* The feature of that name, or NO_INDEX. */
uint16_t emk_fraud_feature_find(const emk_fraud_ruleset *rs, const char *name);
/* Which part ".n" and so on of a feature of this kind is; -1: none. */
int emk_fraud_feature_part(feature_kind kind, const char *part);

/* ---- vm.c ---- */

typedef struct value {
    int64_t v;
    bool known;
} value;

/* Where a rule's values come from. */
typedef struct vm {
    const emk_fraud_ruleset *rs;
    value (*feature)(void *self, unsigned i, unsigned sub);
    value (*field)(void *self, emk_fraud_field f); /* number, or hash of a text */
    void *self;
    int64_t jitter;      /* thousandths on top of limits: -200 .. 200 */
    bool compared;       /* the first comparison has been made: */
    int64_t left, right; /* its sides, for the reasons */
    bool sides_known;
} vm;

/* 1 true, 0 false, -1 unknown. */
int emk_fraud_run(vm *m, const code *c);

/* ---- ruleset_features.c, ruleset_rules.c ---- */

/* A set that is being read. */
typedef struct loader {
    emk_fraud_ruleset *rs;
    const char *file;
    emk_yaml_diag *d;
    emk_error *e;
} loader;

emk_status emk_fraud_load_features(loader *l, const emk_yaml_node *m) EMK_MUST_CHECK;
emk_status emk_fraud_load_rules(loader *l, const emk_yaml_node *seq) EMK_MUST_CHECK;
emk_status emk_fraud_load_lists(loader *l, const emk_yaml_node *m) EMK_MUST_CHECK;
/* Adds the feature behind seen(field, time); the same one is shared. */
emk_status emk_fraud_add_seen(loader *l, const emk_yaml_node *n, emk_fraud_entity entity,
                              const char *when) EMK_MUST_CHECK;
/* A list of event types, or one, as bits. */
emk_status emk_fraud_load_types(loader *l, const emk_yaml_node *n, uint64_t *on) EMK_MUST_CHECK;
emk_status emk_fraud_load_field(loader *l, const emk_yaml_node *n,
                                emk_fraud_field *out) EMK_MUST_CHECK;
emk_status emk_fraud_load_entity(loader *l, const emk_yaml_node *n,
                                 emk_fraud_entity *out) EMK_MUST_CHECK;

/* ---- rule_tests.c ---- */
emk_status emk_fraud_run_tests(const emk_fraud_ruleset *rs, const char *file, emk_yaml_diag *d,
                               emk_error *e) EMK_MUST_CHECK;

/* ---- feature.c ---- */

/* Bytes of one feature's memory in an entity (0: FK_SKETCH), a multiple of 4; of 8 where it is
 * wide, that is, must lie at one. */
uint32_t emk_fraud_feature_size(const feature *f);
bool emk_fraud_feature_is_wide(const feature *f);
/* Whether memory that was read back holds nothing that would be used as an index beyond it. */
bool emk_fraud_feature_is_sound(const feature *f, const void *state);

/* One event as features see it. */
typedef struct touch {
    const emk_fraud_event *ev;
    uint64_t now;         /* the engine's clock, ms */
    const uint64_t *hash; /* by field, of those texts and numbers that something asks for */
} touch;

/* A field as a number: app.ver "4.2.1" is 4002001, each part below 1000.  Unknown when it is
 * not there or is no number. */
value emk_fraud_number(const emk_fraud_event *ev, emk_fraud_field f);

/* Takes the event into account; state is the feature's memory.  *at gets its value at this
 * event where that is more than what a later reading gives (speed, replay, seen, last). */
void emk_fraud_feature_update(const feature *f, void *state, const touch *t, value *at);
/* What it is worth now. */
value emk_fraud_feature_read(const feature *f, const void *state, unsigned sub, uint64_t now);

/* Count-min: its memory, adding, reading. */
#define SKETCH_ROWS  4u
#define SKETCH_CELLS 8192u
typedef struct sketch {
    uint64_t generation;
    uint32_t cell[2][SKETCH_ROWS][SKETCH_CELLS];
} sketch;
void emk_fraud_sketch_add(const feature *f, sketch *s, uint64_t hash, uint64_t now);
int64_t emk_fraud_sketch_read(const feature *f, const sketch *s, uint64_t hash, uint64_t now);

/* ---- entities: store.c ---- */

#define CONTRIBUTIONS          6u /* of one entity at once */
#define EMK_FRAUD_ENTITIES_MAX (1u << 28)

/* What a rule that fired left behind.  There are many of these: ten bytes, not twelve. */
typedef struct contribution {
    int32_t milli; /* at time_s; it decays from there */
    uint32_t time_s;
    uint8_t rule;
    uint8_t shadow : 1, used : 1;
} __attribute__((packed, aligned(2))) contribution;

_Static_assert(EMK_FRAUD_RULES_MAX <= 256, "a contribution's rule");

enum slab_flag { SLAB_REVIEW = 1 };

/* The head of an entity's memory; its features follow.  48 bits of milliseconds last to the
 * year 10889. */
#define EMK_FRAUD_MS_MASK ((UINT64_C(1) << 48) - 1)
typedef struct slab {
    uint64_t key;
    uint64_t last_ms : 48; /* 0: its first event is not through */
    uint64_t action : 8, ban_level : 8;
    uint64_t until_ms : 48; /* end of `action` */
    uint64_t flags : 16;
    uint64_t ban_until_ms : 48;
    uint64_t pad : 16;
    uint32_t first_s;
    contribution c[CONTRIBUTIONS];
} slab;

_Static_assert(sizeof(slab) == 96, "features begin at a multiple of eight");

/* A slot is 0 when it is empty, else slab + 1 in the low bits and some of the key's bits above
 * them, so that a probe rarely looks at a slab that is not the one. */
typedef struct table {
    uint32_t *index; /* n_slots of them */
    uint32_t n_slots, slab_mask;
    uint8_t *slabs; /* in map */
    emk_os_map map;
    uint32_t slab_len, max, n, hand;
    uint64_t evicted, refused;
} table;

/* max slabs of slab_len bytes; a table of none is all zero.  EMK_E_NO_MEMORY. */
emk_status emk_fraud_table_init(table *t, uint32_t max, uint32_t slab_len,
                                emk_error *e) EMK_MUST_CHECK;
void emk_fraud_table_done(table *t);
/* NULL when it is not there. */
slab *emk_fraud_table_find(const table *t, uint64_t key);
/* Finds or makes; NULL when all are banned or under review. */
slab *emk_fraud_table_take(table *t, const emk_fraud_ruleset *rs, uint64_t key, uint64_t now);
bool emk_fraud_table_remove(table *t, uint64_t key);
/* Fills the slots again from n slabs that were read back.  False when they are not sound. */
bool emk_fraud_table_index(table *t);
slab *emk_fraud_table_at(const table *t, uint32_t i);
/* Where the search for a key begins: asks the processor for it ahead of time. */
void emk_fraud_table_prefetch(const table *t, uint64_t key);
/* Most likely its slab, by the slots alone; NULL when there is none. */
const uint8_t *emk_fraud_table_guess(const table *t, uint64_t key);
/* Bytes reserved. */
uint64_t emk_fraud_table_bytes(const table *t);

/* What is left of a contribution, thousandths. */
int64_t emk_fraud_left(const emk_fraud_ruleset *rs, const contribution *c, uint64_t now);

#endif
