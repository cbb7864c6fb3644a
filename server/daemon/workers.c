#include "server/daemon/workers.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"

struct emk_workers {
    emk_lock *lock;
    emk_job *first, *last;
    unsigned waiting;
    bool ending;
    unsigned n;
    emk_thread *threads[EMK_WORKERS_MAX];
};

static emk_job *next_job(emk_workers *w)
{
    emk_job *job;

    emk_lock_take(w->lock);
    while (!w->first && !w->ending)
        emk_lock_wait(w->lock);
    job = w->first;
    if (job) {
        w->first = job->next;
        if (!w->first)
            w->last = NULL;
        w->waiting--;
    }
    emk_lock_give(w->lock);
    return job;
}

static void work(void *self)
{
    emk_job *job;

    while ((job = next_job(self)) != NULL)
        job->run(job->self);
}

emk_status emk_workers_new(unsigned n, emk_workers **out, emk_error *e)
{
    emk_workers *w;
    emk_status st;

    if (n == 0 || n > EMK_WORKERS_MAX)
        return emk_fail(e, EMK_E_USAGE, "workers: number", n);
    w = emk_alloc(1, sizeof *w);
    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "workers: memory", sizeof *w);
    st = emk_lock_new(&w->lock, e);
    while (st == EMK_OK && w->n < n) {
        st = emk_thread_start(work, w, &w->threads[w->n], e);
        if (st == EMK_OK)
            w->n++;
    }
    if (st == EMK_OK)
        *out = w;
    else
        emk_workers_free(w);
    return st;
}

void emk_workers_free(emk_workers *w)
{
    if (!w)
        return;
    if (w->lock) {
        emk_lock_take(w->lock);
        w->ending = true;
        emk_lock_wake_all(w->lock);
        emk_lock_give(w->lock);
    }
    for (unsigned i = 0; i < w->n; i++)
        emk_thread_join(w->threads[i]);
    emk_lock_free(w->lock);
    emk_free(w);
}

void emk_workers_push(emk_workers *w, emk_job *job)
{
    job->next = NULL;
    emk_lock_take(w->lock);
    if (w->last)
        w->last->next = job;
    else
        w->first = job;
    w->last = job;
    w->waiting++;
    emk_lock_wake_one(w->lock);
    emk_lock_give(w->lock);
}

unsigned emk_workers_waiting(emk_workers *w)
{
    unsigned n;

    emk_lock_take(w->lock);
    n = w->waiting;
    emk_lock_give(w->lock);
    return n;
}
