#include "core/base/secret.h"
#include "server/gate/operator.h"
#include "server/gate/service_key.h"

#include "tests/unit/server/gate/kit.h"

static void service_key_goes_out_once_and_is_known_by_its_hash(void **state)
{
    char text[EMK_SERVICE_KEY_TEXT_CHARS + 1], bad[EMK_SERVICE_KEY_TEXT_CHARS + 1];
    emk_service_key made, read;
    emk_error e;

    (void)state;
    assert_ok(emk_service_key_make(kit_crypto(), text, &made, &e), &e);
    assert_int_equal(strlen(text), EMK_SERVICE_KEY_TEXT_CHARS);
    assert_ok(emk_service_key_parse(kit_crypto(), emk_span_str(text), &read, &e), &e);
    assert_string_equal(read.id, made.id);
    assert_memory_equal(read.hash, made.hash, 32);
    for (size_t i = 0; i < EMK_SERVICE_KEY_TEXT_CHARS; i++) {
        memcpy(bad, text, sizeof bad);
        bad[i] = bad[i] == 'A' ? 'E' : 'A';
        if (emk_service_key_parse(kit_crypto(), emk_span_str(bad), &read, NULL) == EMK_OK)
            assert_memory_not_equal(read.hash, made.hash, 32);
    }
    assert_status(emk_service_key_parse(kit_crypto(), emk_span_of(text, 64), &read, &e),
                  EMK_E_FORMAT, &e);
    text[21] = '-';
    assert_status(emk_service_key_parse(kit_crypto(), emk_span_str(text), &read, &e), EMK_E_FORMAT,
                  &e);
}

static void password_is_known_again_and_no_other(void **state)
{
    char a[EMK_PASSWORD_TEXT_MAX], b[EMK_PASSWORD_TEXT_MAX];
    emk_span right = emk_span_str("correct horse"), wrong = emk_span_str("correct horsf");
    emk_error e;

    (void)state;
    assert_ok(emk_password_make(kit_crypto(), right, a, &e), &e);
    assert_ok(emk_password_make(kit_crypto(), right, b, &e), &e);
    assert_string_not_equal(a, b); /* a salt of its own */
    assert_ok(emk_password_verify(kit_crypto(), a, right, &e), &e);
    assert_status(emk_password_verify(kit_crypto(), a, wrong, &e), EMK_E_SIGNATURE, &e);
    assert_status(emk_password_verify(kit_crypto(), a, emk_span_str(""), &e), EMK_E_SIGNATURE, &e);
    assert_status(emk_password_verify(kit_crypto(), NULL, right, &e), EMK_E_SIGNATURE, &e);
    assert_status(emk_password_make(kit_crypto(), emk_span_str("short"), a, &e), EMK_E_LIMIT, &e);
}

static void refuses_stored_password_that_asks_for_too_much(void **state)
{
    static const struct {
        const char *text;
        emk_status st;
    } rows[] = {
        {"", EMK_E_FORMAT},
        {"scrypt$32768$8$1$AAAA$AAAA", EMK_E_FORMAT},
        {"argon2$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         EMK_E_FORMAT},
        {"scrypt$x$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         EMK_E_FORMAT},
        {"scrypt$1048576$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         EMK_E_LIMIT},
        {"scrypt$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA$x",
         EMK_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(
            emk_password_verify(kit_crypto(), rows[i].text, emk_span_str("correct horse"), NULL),
            rows[i].st, NULL);
}

static emk_sessions *sessions_of(uint8_t first)
{
    uint8_t key[32] = {first};
    emk_sessions *s = NULL;
    emk_error e;

    assert_ok(emk_sessions_new(kit_crypto(), emk_span_of(key, 32), &s, &e), &e);
    return s;
}

static const emk_session session = {"anna", KIT_NOW_S, KIT_NOW_S + 3600, KIT_NOW_S + 300, 4};

static void session_lives_in_its_token_until_its_end(void **state)
{
    emk_sessions *s = sessions_of(1), *other = sessions_of(2);
    char text[EMK_SESSION_TEXT_MAX];
    emk_session out;
    emk_error e;

    (void)state;
    assert_ok(emk_session_make(s, &session, text, &e), &e);
    assert_ok(emk_session_verify(s, emk_span_str(text), KIT_NOW_S, &out, &e), &e);
    assert_string_equal(out.name, "anna");
    assert_int_equal(out.generation, 4);
    assert_int_equal(out.step_up_until, KIT_NOW_S + 300);
    assert_status(emk_session_verify(s, emk_span_str(text), KIT_NOW_S + 3600, &out, &e),
                  EMK_E_STALE, &e);
    assert_status(emk_session_verify(other, emk_span_str(text), KIT_NOW_S, &out, &e),
                  EMK_E_SIGNATURE, &e);
    for (size_t i = 0; i < strlen(text); i++) {
        char c = text[i];

        text[i] = c == 'A' ? 'E' : 'A';
        assert_true(emk_session_verify(s, emk_span_str(text), KIT_NOW_S, &out, NULL) != EMK_OK);
        text[i] = c;
    }
    assert_status(emk_session_verify(s, emk_span_str("emko."), KIT_NOW_S, &out, &e), EMK_E_FORMAT,
                  &e);
    emk_sessions_free(s);
    emk_sessions_free(other);
}

static void refuses_session_that_would_live_too_long(void **state)
{
    emk_sessions *s = sessions_of(1);
    char text[EMK_SESSION_TEXT_MAX];
    emk_session in = session;
    emk_error e;

    (void)state;
    in.until = in.issued + EMK_SESSION_LIFE_MAX_S + 1;
    assert_status(emk_session_make(s, &in, text, &e), EMK_E_USAGE, &e);
    in = session;
    in.step_up_until = in.issued + EMK_SESSION_STEP_UP_MAX_S + 1;
    assert_status(emk_session_make(s, &in, text, &e), EMK_E_USAGE, &e);
    in = session;
    in.name[0] = 0;
    assert_status(emk_session_make(s, &in, text, &e), EMK_E_USAGE, &e);
    in = session;
    in.name[1] = '\n';
    assert_status(emk_session_make(s, &in, text, &e), EMK_E_USAGE, &e);
    emk_sessions_free(s);
}

static void scopes_are_words(void **state)
{
    uint64_t bits = 0;
    emk_error e;

    (void)state;
    assert_ok(emk_scopes_parse(emk_span_str("seal publish"), &bits, &e), &e);
    assert_int_equal(bits, EMK_SCOPE_SEAL | EMK_SCOPE_PUBLISH);
    assert_status(emk_scopes_parse(emk_span_str("seal root"), &bits, &e), EMK_E_FORMAT, &e);
    assert_status(emk_scopes_parse(emk_span_str("seal  read"), &bits, &e), EMK_E_FORMAT, &e);
    assert_string_equal(emk_scope_name(EMK_SCOPE_ERASE), "erase");
}

int main(void)
{
    return EMK_RUN(emk_rule(service_key_goes_out_once_and_is_known_by_its_hash),
                   emk_rule(password_is_known_again_and_no_other),
                   emk_rule(refuses_stored_password_that_asks_for_too_much),
                   emk_rule(session_lives_in_its_token_until_its_end),
                   emk_rule(refuses_session_that_would_live_too_long), emk_rule(scopes_are_words));
}
