#include "tests/unit/server/journal/scene.h"

#include "tests/support/test.h"

#include <string.h>

static emk_status sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    scene *s = self;

    if (s->no_signer)
        return emk_fail(e, EMK_E_BUSY, "test: no signer", 0);
    return emk_sign_make(s->key, msg, sig, e);
}

static emk_status escrow(void *self, uint64_t epoch, const uint8_t key[32], emk_error *e)
{
    scene *s = self;

    (void)e;
    assert_true(s->n_chain_keys < 16);
    s->chain_keys[s->n_chain_keys].epoch = epoch;
    memcpy(s->chain_keys[s->n_chain_keys++].key, key, 32);
    return EMK_OK;
}

void scene_open(scene *s)
{
    uint8_t priv[32], pub[32];
    emk_error e = {0};

    *s = (scene){0};
    s->dir = emk_test_dir_make();
    snprintf(s->log, sizeof s->log, "%s/journal", s->dir);
    assert_ok(emk_crypto_new(NULL, NULL, &s->c, &e), &e);
    assert_ok(emk_sign_generate(s->c, EMK_SIGN_ED25519, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(s->c, EMK_SIGN_ED25519, emk_span_of(priv, 32), &s->key, &e), &e);
    assert_ok(emk_note_key_init(s->c, SCENE_ORIGIN, pub, &s->note_key, &e), &e);
    s->options = (emk_journal_options){.dir = s->log,
                                       .origin = SCENE_ORIGIN,
                                       .sign = sign,
                                       .sign_self = s,
                                       .escrow = escrow,
                                       .escrow_self = s};
    memcpy(s->options.public_key, pub, 32);
}

void scene_start(scene *s)
{
    emk_error e = {0};

    assert_ok(emk_journal_open(s->c, &s->options, &s->j, &e), &e);
}

void scene_stop(scene *s)
{
    emk_error e = {0};

    assert_ok(emk_journal_close(s->j, &e), &e);
    s->j = NULL;
}

void scene_close(scene *s)
{
    if (s->j)
        scene_stop(s);
    emk_sign_key_free(s->key);
    emk_crypto_free(s->c);
    emk_test_dir_remove(s->dir);
}

emk_journal_event scene_event(const char *type)
{
    return (emk_journal_event){.time_ms = 1700000000000u,
                               .type = emk_span_str(type),
                               .actor = emk_span_str("device:0011"),
                               .object = emk_span_str("model:cats/3"),
                               .outcome = EMK_JOURNAL_DONE};
}

void scene_append(scene *s, size_t n)
{
    emk_journal_event events[EMK_JOURNAL_BATCH_MAX];
    emk_error e = {0};

    for (size_t i = 0; i < EMK_JOURNAL_BATCH_MAX; i++)
        events[i] = scene_event("ticket.grant");
    while (n > 0) {
        size_t take = n < EMK_JOURNAL_BATCH_MAX ? n : EMK_JOURNAL_BATCH_MAX;

        assert_ok(emk_journal_append(s->j, events, take, NULL, &e), &e);
        n -= take;
    }
}

emk_audit_report scene_audit(scene *s)
{
    emk_audit a = {.dir = s->log,
                   .key = &s->note_key,
                   .chain_keys = s->chain_keys,
                   .n_chain_keys = s->n_chain_keys};
    emk_audit_report r = {0};
    emk_error e = {0};

    assert_ok(emk_audit_verify(s->c, &a, &r, &e), &e);
    return r;
}
