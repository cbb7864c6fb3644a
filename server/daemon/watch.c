/* The server looks at its own audit log now and then, and says in metrics and log what it found.
 * It is for accidents: whoever owns the server owns this too, so an auditor verifies elsewhere. */
#include "server/daemon/server.h"

#include "core/base/os_time.h"
#include "server/api/admin.h"
#include "server/journal/audit.h"

#define NS_PER_S UINT64_C(1000000000)
#define NO_LOOK  (-1)

static emk_status look(emk_server *s, emk_audit_report *report, emk_error *e)
{
    const emk_admin_options *o = emk_admin_settings(s->api.admin);
    emk_note_key key;
    emk_audit what = {.dir = o->journal_dir, .key = &key};
    emk_status st = emk_note_key_init(s->crypto, o->audit_origin, o->audit_public, &key, e);

    if (st == EMK_OK)
        st = emk_journal_checkpoint(s->api.journal, e);
    return st == EMK_OK ? emk_audit_verify(s->crypto, &what, report, e) : st;
}

static const char *first_finding(const emk_audit_report *r)
{
    const emk_audit_finding *all[] = {&r->records, &r->tree, &r->signature, &r->completeness};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->verdict != EMK_AUDIT_INTACT && all[i]->what)
            return all[i]->what;
    return NULL;
}

static void watch(void *self)
{
    emk_server *s = self;
    emk_audit_report report;
    emk_error e = {0};
    emk_audit_verdict verdict;

    if (!emk_admin_verify_begin(s->api.admin)) { /* an operator looks right now */
        atomic_store(&s->watch.over, true);
        return;
    }
    if (look(s, &report, &e) != EMK_OK) {
        emk_log_write(EMK_LOG_WARNING, "the audit log cannot be verified", NULL, &e);
        atomic_fetch_add(&s->watch.failed, 1);
    } else {
        verdict = emk_audit_sum(&report);
        if (verdict != EMK_AUDIT_INTACT)
            emk_log_write(EMK_LOG_ERROR, "the audit log is not intact", first_finding(&report),
                          NULL);
        atomic_store(&s->watch.verdict, (int)verdict);
        atomic_store(&s->watch.good_ns, emk_os_monotonic_ns());
        atomic_fetch_add(&s->watch.done, 1);
    }
    emk_admin_verify_end(s->api.admin);
    atomic_store(&s->watch.over, true);
}

void emk_server_watch_tick(emk_server *s, uint64_t now_ns)
{
    emk_server_watch *w = &s->watch;
    emk_error e = {0};

    if (w->thread && atomic_load(&w->over)) {
        emk_thread_join(w->thread);
        w->thread = NULL;
    }
    if (w->thread || s->config.audit_verify_s == 0 || !s->api.journal || !s->api.admin ||
        now_ns - w->last_ns < s->config.audit_verify_s * NS_PER_S)
        return;
    w->last_ns = now_ns;
    atomic_store(&w->over, false);
    if (emk_thread_start(watch, s, &w->thread, &e) != EMK_OK)
        emk_log_write(EMK_LOG_WARNING, "the audit log's verification does not start", NULL, &e);
}

/* Before the journal and the operators' part are closed. */
void emk_server_watch_close(emk_server *s)
{
    if (s->watch.thread)
        emk_thread_join(s->watch.thread);
    s->watch.thread = NULL;
}

void emk_server_watch_collect(emk_server *s)
{
    static const emk_audit_verdict VERDICTS[] = {EMK_AUDIT_INTACT, EMK_AUDIT_INCOMPLETE,
                                                 EMK_AUDIT_TAMPERED, EMK_AUDIT_NOT_CHECKED};
    emk_server_watch *w = &s->watch;
    bool looked = atomic_load(&w->done) > 0;
    uint64_t from_ns = looked ? atomic_load(&w->good_ns) : s->started_ns;

    for (size_t i = 0; i < sizeof VERDICTS / sizeof VERDICTS[0]; i++)
        emk_metric_set(s->metrics.verify_result, i, 0,
                       looked && atomic_load(&w->verdict) == (int)VERDICTS[i]);
    emk_metric_set(s->metrics.verify_age, 0, 0, emk_os_monotonic_ns() - from_ns);
    emk_metric_set(s->metrics.verify_runs, 0, 0, atomic_load(&w->done));
    emk_metric_set(s->metrics.verify_runs, 1, 0, atomic_load(&w->failed));
}
