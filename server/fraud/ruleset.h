/* A rule set: YAML, checked and compiled.  [docs/spec/fraud-rules.md]
 *
 * A compiled set never changes and may be shared by engines and threads.  Compiling runs the
 * rules' own tests; a set whose tests fail does not come into being. */
#ifndef EMK_SERVER_FRAUD_RULESET_H
#define EMK_SERVER_FRAUD_RULESET_H

#include "core/crypto/crypto.h"
#include "server/fraud/event.h"
#include "server/yaml/yaml.h"

#define EMK_FRAUD_RULES_MAX    256u
#define EMK_FRAUD_FEATURES_MAX 128u
#define EMK_FRAUD_FAMILIES_MAX 16u
#define EMK_FRAUD_LISTS_MAX    32u
#define EMK_FRAUD_LIST_MAX     8192u /* entries of one list */
#define EMK_FRAUD_OPS_MAX      64u   /* of one rule */

/* Who can be remembered.  Append only: snapshots hold the numbers. */
typedef enum emk_fraud_entity {
    EMK_FRAUD_USER,
    EMK_FRAUD_DEVICE,
    EMK_FRAUD_SESSION,
    EMK_FRAUD_NET,
    EMK_FRAUD_ASN,
    EMK_FRAUD_ARTIFACT,
    EMK_FRAUD_BUILD,
    EMK_FRAUD_KEY,
    EMK_FRAUD_PAYMENT,
    EMK_FRAUD_ENTITIES
} emk_fraud_entity;

/* From mild to hard: the larger number wins. */
typedef enum emk_fraud_action {
    EMK_FRAUD_ALLOW,
    EMK_FRAUD_OBSERVE,
    EMK_FRAUD_CHALLENGE,
    EMK_FRAUD_THROTTLE,
    EMK_FRAUD_MARK,
    EMK_FRAUD_DENY,
    EMK_FRAUD_BAN,
    EMK_FRAUD_ACTIONS
} emk_fraud_action;

/* What a rule asks for besides its score: bits of emk_fraud_decision.effects. */
typedef enum emk_fraud_effect {
    EMK_FRAUD_REVOKE_SESSION = 1,
    EMK_FRAUD_REVOKE_GRANTS = 2,
    EMK_FRAUD_REVOKE_KEY = 4,
    EMK_FRAUD_OPEN_CASE = 8,
    EMK_FRAUD_ALERT_OWNER = 16,
    EMK_FRAUD_PAGE = 32,
    EMK_FRAUD_REATTEST = 64,
    EMK_FRAUD_HOLD_GENERATE = 128
} emk_fraud_effect;

extern const char *const EMK_FRAUD_ENTITY_NAME[EMK_FRAUD_ENTITIES + 1]; /* NULL ends them */
extern const char *const EMK_FRAUD_ACTION_NAME[EMK_FRAUD_ACTIONS + 1];
extern const char *const EMK_FRAUD_EFFECT_NAME[9];

typedef struct emk_fraud_ruleset emk_fraud_ruleset;

/* Gives the compiled set; free with emk_fraud_ruleset_free.  d gets the complaint with file,
 * line, column and what to do.  EMK_E_FORMAT (also when a rule's own test fails), EMK_E_LIMIT,
 * EMK_E_UNSUPPORTED, EMK_E_NO_MEMORY, EMK_E_CRYPTO. */
emk_status emk_fraud_ruleset_new(const emk_crypto *c, const char *file, emk_span yaml,
                                 emk_fraud_ruleset **out, emk_yaml_diag *d,
                                 emk_error *e) EMK_MUST_CHECK;
/* NULL is fine.  Not while an engine uses it. */
void emk_fraud_ruleset_free(emk_fraud_ruleset *rs);

/* "base@14#6f2c0b9d": name, version and the first digits of the text's SHA-256. */
const char *emk_fraud_ruleset_label(const emk_fraud_ruleset *rs);
/* All 32 bytes. */
const uint8_t *emk_fraud_ruleset_hash(const emk_fraud_ruleset *rs);

uint64_t emk_fraud_ruleset_version(const emk_fraud_ruleset *rs);
size_t emk_fraud_ruleset_rules(const emk_fraud_ruleset *rs);
size_t emk_fraud_ruleset_features(const emk_fraud_ruleset *rs);
size_t emk_fraud_ruleset_tests(const emk_fraud_ruleset *rs);

/* Modes of a rule. */
typedef enum emk_fraud_mode { EMK_FRAUD_LIVE, EMK_FRAUD_SHADOW, EMK_FRAUD_OFF } emk_fraud_mode;

/* What is public about rule i. */
typedef struct emk_fraud_rule_info {
    const char *id, *name, *family, *reason, *when, *entity;
    uint32_t line;
    int64_t score; /* thousandths */
    bool hard;
    emk_fraud_mode mode;
    unsigned percent; /* of entities for which it is live */
    unsigned paranoia;
} emk_fraud_rule_info;
void emk_fraud_ruleset_rule(const emk_fraud_ruleset *rs, size_t i, emk_fraud_rule_info *out);
/* Name of feature i. */
const char *emk_fraud_ruleset_feature(const emk_fraud_ruleset *rs, size_t i);

/* Score (thousandths) at which an action begins. */
int64_t emk_fraud_ruleset_enter(const emk_fraud_ruleset *rs, emk_fraud_action a);

#endif
