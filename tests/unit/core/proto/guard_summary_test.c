#include "core/proto/guard_summary.h"
#include "tests/support/test.h"

static emk_guard_report full_report(void)
{
    emk_guard_report r = {.level = EMK_GUARD_STRICT,
                          .action = EMK_GUARD_DO_WIPE,
                          .n_looks = 70000,
                          .n_findings = EMK_GUARD_SIGNALS};

    memset(r.transcript, 1, sizeof r.transcript);
    memset(r.measurement, 2, sizeof r.measurement);
    for (uint32_t i = 0; i < EMK_GUARD_SIGNALS; i++)
        r.findings[i] = (emk_guard_finding){
            .signal = (emk_guard_signal)i, .confidence = EMK_GUARD_CERTAIN, .n_seen = 65535};
    return r;
}

static void reads_back_the_largest_summary(void **state)
{
    const emk_guard_report report = full_report();
    emk_guard_summary s = {0};
    emk_error e = {0};
    emk_buf out;

    (void)state;
    emk_buf_init(&out, EMK_GUARD_SUMMARY_MAX);
    assert_ok(emk_guard_summary_write(&report, &out, &e), &e);
    assert_ok(emk_guard_summary_read(emk_buf_span(&out), &s, &e), &e);
    assert_int_equal(s.level, EMK_GUARD_STRICT);
    assert_int_equal(s.action, EMK_GUARD_DO_WIPE);
    assert_int_equal(s.n_looks, 70000);
    assert_memory_equal(s.transcript, report.transcript, sizeof s.transcript);
    assert_memory_equal(s.measurement, report.measurement, sizeof s.measurement);
    assert_int_equal(s.n_findings, EMK_GUARD_SIGNALS);
    assert_int_equal(s.findings[EMK_GUARD_TRACER].signal, EMK_GUARD_TRACER);
    assert_int_equal(s.findings[EMK_GUARD_TRACER].n_seen, 65535);
    emk_buf_done(&out);
}

/* The parts of a summary; tests replace one. */
#define LOOKS_AND_HASHES                                                     \
    "0405"                                                                   \
    "0558200101010101010101010101010101010101010101010101010101010101010101" \
    "0658200202020202020202020202020202020202020202020202020202020202020202"
#define HEAD "A7010102030304" LOOKS_AND_HASHES

static void refuses_each_defect(void **state)
{
    static const struct {
        const char *hex;
        emk_status want;
    } rows[] = {
        {HEAD "078183000101", EMK_OK},
        {HEAD "0780", EMK_OK},
        {HEAD "078183000001", EMK_E_LIMIT},         /* no confidence */
        {HEAD "078183000401", EMK_E_LIMIT},         /* more than certain */
        {HEAD "078183000100", EMK_E_LIMIT},         /* never seen */
        {HEAD "07818300011A00010000", EMK_E_LIMIT}, /* seen too often */
        {HEAD "07818319010001"
              "01",
         EMK_E_LIMIT}, /* signal 256 */
        {HEAD "0782830101018301"
              "0101",
         EMK_E_FORMAT}, /* one signal twice */
        {HEAD "0782830201018301"
              "0101",
         EMK_E_FORMAT},                        /* out of order */
        {HEAD "0781820001", EMK_E_FORMAT},     /* too short */
        {HEAD "07818400010101", EMK_E_FORMAT}, /* too long */
        {HEAD "078000", EMK_E_FORMAT},         /* something behind it */
        {HEAD "0880", EMK_E_FORMAT},           /* a key that is none */
        {"A0", EMK_E_FORMAT},
        {"A60101020303040405"
         "0780",
         EMK_E_FORMAT},
        {"A7010202030304" LOOKS_AND_HASHES "0780", EMK_E_UNSUPPORTED},
        {"A8010202030304" LOOKS_AND_HASHES "07800801", EMK_E_UNSUPPORTED},
        {"A10109", EMK_E_UNSUPPORTED},
        {"A8010102030304" LOOKS_AND_HASHES "07800801", EMK_E_FORMAT},
        {"A7010102040304" LOOKS_AND_HASHES "0780", EMK_E_LIMIT},
        {"A7010102030305" LOOKS_AND_HASHES "0780", EMK_E_LIMIT},
    };
    emk_guard_summary s;
    uint8_t bytes[EMK_GUARD_SUMMARY_MAX];
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t n = emk_unhex(rows[i].hex, bytes, sizeof bytes);

        e.what = NULL;
        assert_status(emk_guard_summary_read(emk_span_of(bytes, n), &s, &e), rows[i].want, &e);
    }
}

static void reads_of_other_versions_what_is_as_ours(void **state)
{
    static const struct {
        const char *hex;
        emk_status want;
        uint32_t absent;
    } rows[] = {
        {"A8010902030304" LOOKS_AND_HASHES "07800801", EMK_OK, 0},
        {"A10109", EMK_OK, EMK_GUARD_SUMMARY_ALL},
        {"A2010902"
         "03",
         EMK_OK, EMK_GUARD_SUMMARY_ALL & ~EMK_GUARD_SUMMARY_LEVEL},
        {"A2010902"
         "04",
         EMK_OK, EMK_GUARD_SUMMARY_ALL}, /* a level that is none of ours */
        {"A2010907"
         "81830000"
         "01",
         EMK_OK, EMK_GUARD_SUMMARY_ALL},
        {"A20109188080", EMK_OK, EMK_GUARD_SUMMARY_ALL},
        {"A0", EMK_E_FORMAT, 0},
        {"A10203", EMK_E_FORMAT, 0}, /* no version */
        {"A1010900", EMK_E_FORMAT, 0},
        {"A2010901"
         "09",
         EMK_E_FORMAT, 0},
        {"81", EMK_E_FORMAT, 0},
    };
    uint8_t bytes[EMK_GUARD_SUMMARY_MAX];
    emk_guard_summary s;
    emk_error e = {0};
    uint32_t absent;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t n = emk_unhex(rows[i].hex, bytes, sizeof bytes);

        absent = 1;
        assert_status(emk_guard_summary_read_other(emk_span_of(bytes, n), &s, &absent, &e),
                      rows[i].want, &e);
        assert_int_equal(absent, rows[i].want == EMK_OK ? rows[i].absent : 1);
        if (rows[i].want == EMK_OK && !(absent & EMK_GUARD_SUMMARY_LEVEL))
            assert_int_equal(s.level, 3);
    }
}

static void refuses_one_that_is_too_long(void **state)
{
    static const uint8_t bytes[EMK_GUARD_SUMMARY_MAX + 1];
    emk_guard_summary s;
    emk_error e = {0};

    (void)state;
    assert_status(emk_guard_summary_read(emk_span_of(bytes, sizeof bytes), &s, &e), EMK_E_LIMIT,
                  &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(reads_back_the_largest_summary), emk_rule(refuses_each_defect),
                   emk_rule(reads_of_other_versions_what_is_as_ours),
                   emk_rule(refuses_one_that_is_too_long));
}
