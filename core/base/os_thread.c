#include "core/base/os_thread.h"

#include "core/base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

_Static_assert(sizeof(sem_t) <= EMK_LATCH_ROOM, "a latch has room for a semaphore");
_Static_assert(_Alignof(sem_t) <= _Alignof(emk_latch), "a latch is aligned for a semaphore");

struct emk_lock {
    pthread_mutex_t mutex;
    pthread_cond_t signal;
};

struct emk_thread {
    pthread_t thread;
    void (*fn)(void *self);
    void *self;
};

emk_status emk_lock_new(emk_lock **out, emk_error *e)
{
    emk_lock *l = emk_alloc(1, sizeof *l);
    pthread_condattr_t attributes;

    if (!l)
        return emk_fail(e, EMK_E_NO_MEMORY, "lock: memory", sizeof *l);
    if (pthread_condattr_init(&attributes) != 0)
        goto no_attributes;
    if (pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&l->signal, &attributes) != 0)
        goto no_signal;
    if (pthread_mutex_init(&l->mutex, NULL) != 0)
        goto no_mutex;
    pthread_condattr_destroy(&attributes);
    *out = l;
    return EMK_OK;

no_mutex:
    pthread_cond_destroy(&l->signal);
no_signal:
    pthread_condattr_destroy(&attributes);
no_attributes:
    emk_free(l);
    return emk_fail(e, EMK_E_NO_MEMORY, "lock: the system has no more", 0);
}

void emk_lock_free(emk_lock *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->signal);
    emk_free(l);
}

void emk_lock_take(emk_lock *l)
{
    pthread_mutex_lock(&l->mutex);
}

void emk_lock_give(emk_lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

void emk_lock_wait(emk_lock *l)
{
    pthread_cond_wait(&l->signal, &l->mutex);
}

bool emk_lock_wait_for(emk_lock *l, uint64_t timeout_ns)
{
    struct timespec until;
    uint64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &until);
    ns = (uint64_t)until.tv_nsec + timeout_ns % 1000000000u;
    until.tv_sec += (time_t)(timeout_ns / 1000000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    return pthread_cond_timedwait(&l->signal, &l->mutex, &until) != ETIMEDOUT;
}

void emk_lock_wake_one(emk_lock *l)
{
    pthread_cond_signal(&l->signal);
}

void emk_lock_wake_all(emk_lock *l)
{
    pthread_cond_broadcast(&l->signal);
}

/* A semaphore: unlike a condition with its lock, it may go away as soon as the wait is over, and
 * whoever is woken meets no lock that the waker still holds. */
static sem_t *semaphore_of(emk_latch *l)
{
    return (sem_t *)(void *)l->room;
}

void emk_latch_init(emk_latch *l)
{
    (void)sem_init(semaphore_of(l), 0, 0); /* fails for numbers beyond SEM_VALUE_MAX only */
}

void emk_latch_wait(emk_latch *l)
{
    while (sem_wait(semaphore_of(l)) != 0 && errno == EINTR)
        ;
}

void emk_latch_open(emk_latch *l)
{
    (void)sem_post(semaphore_of(l));
}

static void *run_thread(void *arg)
{
    emk_thread *t = arg;

    t->fn(t->self);
    return NULL;
}

emk_status emk_thread_start(void (*fn)(void *self), void *self, emk_thread **out, emk_error *e)
{
    emk_thread *t = emk_alloc(1, sizeof *t);
    sigset_t all, before;
    int err;

    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "thread: memory", sizeof *t);
    *t = (emk_thread){.fn = fn, .self = self};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&t->thread, NULL, run_thread, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        emk_free(t);
        return emk_fail(e, EMK_E_IO, "thread: the system starts no more", (uint64_t)err);
    }
    *out = t;
    return EMK_OK;
}

void emk_thread_join(emk_thread *t)
{
    if (!t)
        return;
    pthread_join(t->thread, NULL);
    emk_free(t);
}
