/* What keys are bound to.  The words are worked out here again from the findings, not taken from
 * the judge: a judge that was patched to be content does not make them zeros. */
#include "core/base/bytes.h"
#include "core/crypto/hash.h"
#include "device/guard/internal.h"
#include "device/guard/judge.h"
#include "device/guard/tally.h"

#include <string.h>

#define WORDS \
    256u /* one for each number a signal may ever have: a guard that knows more stays alike */

static const char label[] = "earmark guard binding 1"; /* hashed with its zero */

emk_status emk_guard_bind_to(const emk_crypto *c, const emk_guard_state *s, emk_guard_level level,
                             uint8_t out[EMK_GUARD_HASH_LEN], emk_error *e)
{
    const emk_guard_action action = emk_tally_action(s->findings, s->n, level, s->overrides);
    uint8_t words[1 + WORDS] = {(uint8_t)level};
    emk_span parts[3] = {emk_span_of(label, sizeof label), emk_span_of(words, sizeof words),
                         emk_span_of(s->measurement, 0)};

    for (size_t i = 0; i < s->n && action >= EMK_GUARD_DO_REFUSE; i++)
        words[1 + s->findings[i].signal] = (uint8_t)s->findings[i].confidence;
    if (level >= EMK_GUARD_STRICT)
        parts[2] = emk_span_of(s->measurement, EMK_GUARD_HASH_LEN);
    return emk_sha256(c, parts, sizeof parts / sizeof parts[0], out, e);
}
