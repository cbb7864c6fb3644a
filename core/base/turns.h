/* Turns at work that one thread does for all that wait: a write of a log, a transaction, a question
 * to another process.  Whoever comes when nobody is at it leads: it takes what is queued, does the
 * work without the lock and ends those turns.  What came meanwhile is led by its first.  So the
 * work is shared by as many as came in the time of the work before, and each thread is woken
 * once, when its turn is over or it is to lead.
 *
 * State: under the owner's lock, but for what stands in an emk_turn, which belongs to who waits
 * and, between its queueing and its end, to who leads. */
#ifndef EMK_CORE_BASE_TURNS_H
#define EMK_CORE_BASE_TURNS_H

#include "core/base/os_thread.h"

#include <stddef.h>

/* The first member of what is queued, on the stack of who waits. */
typedef struct emk_turn {
    struct emk_turn *next;
    emk_latch latch;
    bool leads;
    bool alone; /* is never done together with others; set before it is queued */
} emk_turn;

typedef struct emk_turns {
    emk_lock *lock; /* kept; its signal is ours */
    emk_turn *first, **last;
    bool led;     /* somebody leads; else nothing is queued */
    bool gathers; /* who leads waits for more */
    size_t queued;
    size_t shared;     /* turns of the last work */
    uint64_t began_ns; /* the work under way */
    uint64_t took_ns;  /* the last one, without waiting */
} emk_turns;

void emk_turns_init(emk_turns *t, emk_lock *lock);

/* Queues `mine`; called with the lock held.  True: the caller leads, with the lock held, and `mine`
 * is the first that is queued; it must call emk_turns_end.  False: another led, `mine` is over, the
 * lock is not held. */
bool emk_turns_wait(emk_turns *t, emk_turn *mine) EMK_MUST_CHECK;

/* For who leads, with the lock held, before taking: those that were woken together by the work
 * before come back one after the other, and the first would go alone while the rest waits for it.
 * So where the last work was shared by more than are here, this waits for them, without the lock,
 * for a small part of what the work takes. */
void emk_turns_gather(emk_turns *t);

/* For who leads, with the lock held: whether `next` is done together with those before it.  Not
 * asked about one that is to be alone. */
typedef bool (*emk_turns_more)(void *self, const emk_turn *next);
/* Takes the first off the queue, and what follows as long as `more` says so; linked by next. */
emk_turn *emk_turns_take(emk_turns *t, emk_turns_more more, void *self);

/* The end of leading; called with the lock held and gives it back.  The turns of `group` are over,
 * which begins with that of the caller. */
void emk_turns_end(emk_turns *t, emk_turn *group);

/* For work of another kind on what the leader owns: waits for a turn alone and takes it; called
 * without the lock, and it is not held meanwhile. */
void emk_turns_enter(emk_turns *t, emk_turn *mine);
void emk_turns_leave(emk_turns *t, emk_turn *mine);

#endif
