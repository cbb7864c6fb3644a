#include "core/base/turns.h"

#include "core/base/os_time.h"

#define GATHER_PART   4u               /* of the work's time is waited */
#define GATHER_MIN_NS UINT64_C(40000)  /* less is lost in falling asleep */
#define GATHER_MAX_NS UINT64_C(500000) /* a stalled disk is not waited for twice */

void emk_turns_init(emk_turns *t, emk_lock *lock)
{
    *t = (emk_turns){.lock = lock};
    t->last = &t->first;
}

bool emk_turns_wait(emk_turns *t, emk_turn *mine)
{
    mine->next = NULL;
    mine->leads = !t->led;
    *t->last = mine;
    t->last = &mine->next;
    t->queued++;
    if (t->gathers && t->queued >= t->shared)
        emk_lock_wake_one(t->lock);
    if (mine->leads) {
        t->led = true;
        return true;
    }
    emk_latch_init(&mine->latch);
    emk_lock_give(t->lock);
    emk_latch_wait(&mine->latch);
    if (mine->leads)
        emk_lock_take(t->lock);
    return mine->leads;
}

void emk_turns_gather(emk_turns *t)
{
    uint64_t wait = t->took_ns / GATHER_PART;

    if (t->queued >= t->shared || wait < GATHER_MIN_NS)
        return;
    t->gathers = true;
    (void)!emk_lock_wait_for(t->lock, wait < GATHER_MAX_NS ? wait : GATHER_MAX_NS);
    t->gathers = false;
}

emk_turn *emk_turns_take(emk_turns *t, emk_turns_more more, void *self)
{
    emk_turn *group = t->first, *at = group;
    size_t n = 1;

    while (!group->alone && at->next && !at->next->alone && more(self, at->next)) {
        at = at->next;
        n++;
    }
    t->shared = n;
    t->queued -= n;
    t->began_ns = emk_os_monotonic_ns();
    t->first = at->next;
    if (!t->first)
        t->last = &t->first;
    at->next = NULL;
    return group;
}

void emk_turns_end(emk_turns *t, emk_turn *group)
{
    emk_turn *heir = t->first, *over = group->next; /* the caller waits for nobody */

    t->led = heir != NULL;
    t->took_ns = emk_os_monotonic_ns() - t->began_ns;
    emk_lock_give(t->lock);
    if (heir) {
        heir->leads = true;
        emk_latch_open(&heir->latch);
    }
    while (over) {
        emk_turn *next = over->next; /* gone with its owner once its latch is open */

        emk_latch_open(&over->latch);
        over = next;
    }
}

static bool nobody_else(void *self, const emk_turn *next)
{
    (void)self;
    (void)next;
    return false;
}

void emk_turns_enter(emk_turns *t, emk_turn *mine)
{
    *mine = (emk_turn){.alone = true};
    emk_lock_take(t->lock);
    while (!emk_turns_wait(t, mine))
        emk_lock_take(t->lock); /* never: nobody takes it off but its owner */
    (void)emk_turns_take(t, nobody_else, NULL);
    emk_lock_give(t->lock);
}

void emk_turns_leave(emk_turns *t, emk_turn *mine)
{
    emk_lock_take(t->lock);
    emk_turns_end(t, mine);
}
