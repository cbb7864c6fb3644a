/* Letting some through who would be refused, to learn whether the refusal was right: who is refused
 * never shows what they would have done, so precision that is measured among the others flatters.
 *
 * The draw is a keyed hash of user (or device) and hour: the same log gives the same draws, nobody
 * can predict one, and asking again within the hour is not another chance. */
#include "server/fraud/explore.h"

#include "server/fraud/engine_internal.h"

#define MILLION 1000000u

/* What costs little and can be taken back: never a generation, a trial or an enrolment. */
#define CHEAP                                                          \
    (UINT64_C(1) << EMK_FRAUD_GRANT | UINT64_C(1) << EMK_FRAUD_LEASE | \
     UINT64_C(1) << EMK_FRAUD_DOWNLOAD_START)

static bool is_cheap(const emk_fraud_engine *en)
{
    const emk_fraud_event *ev = en->ev;

    if (!(CHEAP >> ev->type & 1))
        return false;
    return !emk_fraud_has(ev, EMK_FRAUD_F_COST) ||
           ev->f[EMK_FRAUD_F_COST].number <= en->rs->explore.max_cost;
}

static bool is_soft(const emk_fraud_decision *d)
{
    unsigned never = EMK_FRAUD_IS_HARD | EMK_FRAUD_IS_LATE | EMK_FRAUD_IS_FULL;

    return d->action >= EMK_FRAUD_CHALLENGE && d->action <= EMK_FRAUD_DENY &&
           d->action != EMK_FRAUD_MARK && !(d->flags & never);
}

static bool has_budget(emk_fraud_engine *en)
{
    dynamic *y = en->dyn;

    if (y->explore_hour != y->hour) {
        y->explore_hour = y->hour;
        y->explored = 0;
    }
    return y->explored < en->rs->explore.per_hour;
}

void emk_fraud_explore(emk_fraud_engine *en, emk_fraud_decision *d)
{
    unsigned who = en->of[EMK_FRAUD_USER] ? EMK_FRAUD_USER : EMK_FRAUD_DEVICE;
    uint64_t draw;

    if (!en->rs->explore.ppm || !is_soft(d) || !is_cheap(en) || !en->of[who] || !has_budget(en))
        return;
    d->explore_ppm = en->rs->explore.ppm;
    d->would = d->action;
    draw = emk_fraud_entity_key(en->rs, EMK_FRAUD_ASN, en->ahead->entity_key[who], en->dyn->hour);
    if (draw % MILLION >= en->rs->explore.ppm)
        return;
    en->dyn->explored++;
    d->action = EMK_FRAUD_OBSERVE;
    d->flags |= EMK_FRAUD_IS_EXPLORED;
}

/* ---- a draft's share ---- */

bool emk_fraud_draft_decides(const emk_fraud_engine *en)
{
    const emk_fraud_ruleset *draft = en->draft->rs;

    /* Nothing but user and name: not the version, so that the share only grows with `rollout`. */
    return en->of[EMK_FRAUD_USER] &&
           emk_fraud_entity_key(en->rs, EMK_FRAUD_KEY, en->ahead->entity_key[EMK_FRAUD_USER],
                                draft->key[0]) %
                   100 <
               draft->rollout;
}

void emk_fraud_take_draft(emk_fraud_decision *d, const emk_fraud_decision *draft)
{
    uint64_t number = d->number;
    emk_fraud_action live = d->live;

    *d = *draft;
    d->number = number;
    d->live = live;
    d->has_draft = true;
    d->draft = draft->action;
    d->flags |= EMK_FRAUD_IS_DRAFTED;
}

/* ---- what was learnt ---- */

void emk_fraud_explored_add(emk_fraud_explored *x, const emk_fraud_decision *d,
                            emk_fraud_label label, bool labelled)
{
    emk_fraud_explored_row *row = &x->of[d->would];
    bool taken = (d->flags & EMK_FRAUD_IS_EXPLORED) != 0;

    if (!d->explore_ppm)
        return;
    row->eligible++;
    row->taken += taken;
    if (!taken || !labelled || label == EMK_FRAUD_UNSURE_LABEL)
        return;
    row->labelled++;
    if (label == EMK_FRAUD_FRAUD_LABEL)
        row->weight_fraud += (uint64_t)MILLION * 1000 / d->explore_ppm;
    else
        row->weight_ok += (uint64_t)MILLION * 1000 / d->explore_ppm;
}

uint64_t emk_fraud_explored_precision(const emk_fraud_explored_row *row)
{
    uint64_t fraud = row->weight_fraud / 1000, all = fraud + row->weight_ok / 1000;

    return all ? fraud * MILLION / all : 0;
}
