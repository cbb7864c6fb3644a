#include "core/base/os_parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

typedef struct job {
    emk_parallel_fn fn;
    void *self;
    unsigned worker;
    bool started;
    pthread_t thread;
    emk_status st;
    emk_error error;
} job;

static void *run_job(void *arg)
{
    job *j = arg;

    j->st = j->fn(j->self, j->worker, &j->error);
    return NULL;
}

static emk_status first_failure(const job *jobs, unsigned n, emk_error *e)
{
    for (unsigned i = 0; i < n; i++) {
        if (jobs[i].st != EMK_OK) {
            if (e)
                *e = jobs[i].error;
            return jobs[i].st;
        }
    }
    return EMK_OK;
}

emk_status emk_parallel_run(unsigned n, emk_parallel_fn fn, void *self, emk_error *e)
{
    job jobs[EMK_PARALLEL_MAX];

    if (n == 0 || n > EMK_PARALLEL_MAX)
        return emk_fail(e, EMK_E_USAGE, "threads: number", n);
    for (unsigned i = 0; i < n; i++)
        jobs[i] = (job){.fn = fn, .self = self, .worker = i};
    for (unsigned i = 1; i < n; i++)
        jobs[i].started = pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]) == 0;
    run_job(&jobs[0]);
    for (unsigned i = 1; i < n; i++) {
        if (jobs[i].started)
            pthread_join(jobs[i].thread, NULL);
        else
            run_job(&jobs[i]);
    }
    return first_failure(jobs, n, e);
}

unsigned emk_os_processors(void)
{
    cpu_set_t set;
    int n;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    n = CPU_COUNT(&set);
    if (n < 1)
        return 1;
    return (unsigned)n < EMK_PARALLEL_MAX ? (unsigned)n : EMK_PARALLEL_MAX;
}
