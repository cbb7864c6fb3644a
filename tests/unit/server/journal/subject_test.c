/* Fields about a person: sealed, read, erased, held. */
#include "server/journal/subject.h"
#include "tests/support/test.h"
#include "tests/unit/server/journal/scene.h"

#include <string.h>

typedef struct people {
    scene s;
    emk_subjects subjects;
    emk_secret *kek;
} people;

static void begin(people *p)
{
    emk_error e = {0};

    scene_open(&p->s);
    scene_start(&p->s);
    assert_ok(emk_secret_new(32, &p->kek, &e), &e);
    memset(emk_secret_bytes(p->kek), 7, 32);
    p->subjects = (emk_subjects){.c = p->s.c, .kind = 9, .kek = p->kek};
    assert_ok(emk_records_open_memory(&p->subjects.records, &e), &e);
}

static void end(people *p)
{
    emk_records_close(&p->subjects.records);
    emk_secret_free(p->kek);
    scene_close(&p->s);
}

static emk_journal_event about(const char *subject)
{
    emk_journal_event event = scene_event("device.enrol");

    event.subject = emk_span_str(subject);
    return event;
}

static void what_is_sealed_is_read_until_it_is_erased(void **state)
{
    emk_erasure erasure = {.subject = emk_span_str("alice"),
                           .basis = emk_span_str("GDPR 17(1)(b)"),
                           .actor = emk_span_str("operator:bob"),
                           .now_s = 1700000001};
    emk_journal_event event = about("alice");
    emk_buf sealed, plain, more;
    emk_audit_report r;
    emk_error e = {0};
    uint64_t n = 9;
    people p;

    (void)state;
    begin(&p);
    emk_buf_init(&sealed, 8192);
    emk_buf_init(&plain, 8192);
    emk_buf_init(&more, 8192);
    assert_ok(
        emk_subjects_seal(&p.subjects, &event, emk_span_str("192.0.2.1"), 1700000000, &sealed, &e),
        &e);
    event.pii = emk_buf_span(&sealed);
    assert_ok(emk_journal_append(p.s.j, &event, 1, NULL, &e), &e);
    assert_ok(emk_subjects_unseal(&p.subjects, &event, &plain, &e), &e);
    assert_bytes(emk_buf_span(&plain), emk_span_str("192.0.2.1"));
    event.object = emk_span_str("model:other"); /* of another event */
    assert_status(emk_subjects_unseal(&p.subjects, &event, &plain, &e), EMK_E_SEALED, &e);
    event = about("alice");
    event.pii = emk_buf_span(&sealed);

    assert_ok(emk_subjects_hold(&p.subjects, erasure.subject, true, &e), &e);
    assert_status(emk_subjects_erase(&p.subjects, p.s.j, &erasure, &e), EMK_E_POLICY, &e);
    assert_ok(emk_subjects_hold(&p.subjects, erasure.subject, false, &e), &e);
    assert_ok(emk_subjects_erase(&p.subjects, p.s.j, &erasure, &e), &e);
    assert_status(emk_subjects_erase(&p.subjects, p.s.j, &erasure, &e), EMK_E_USED, &e);
    assert_status(emk_subjects_unseal(&p.subjects, &event, &plain, &e), EMK_E_KEY_LOST, &e);
    assert_status(emk_subjects_seal(&p.subjects, &event, emk_span_str("x"), 1700000002, &more, &e),
                  EMK_E_POLICY, &e);
    assert_status(emk_subjects_hold(&p.subjects, erasure.subject, true, &e), EMK_E_USED, &e);
    assert_ok(emk_subjects_resume(&p.subjects, p.s.j, 1, &n, &e), &e);
    assert_int_equal(n, 0);
    erasure.subject = emk_span_str("nobody");
    assert_status(emk_subjects_erase(&p.subjects, p.s.j, &erasure, &e), EMK_E_NOT_FOUND, &e);
    scene_stop(&p.s);
    r = scene_audit(&p.s);
    assert_int_equal(emk_audit_sum(&r), EMK_AUDIT_INTACT);
    assert_int_equal(r.n_entries, 4); /* start, the event, the erasure, stop */
    emk_buf_done(&sealed);
    emk_buf_done(&plain);
    emk_buf_done(&more);
    end(&p);
}

int main(void)
{
    return EMK_RUN(emk_rule(what_is_sealed_is_read_until_it_is_erased));
}
