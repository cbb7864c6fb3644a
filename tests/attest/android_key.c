#include "server/attest/android_key.h"

#include "server/attest/pem.h"
#include "tests/attest/run.h"

#include <stdio.h>

/* The case's own entries as a status list; none: an empty one. */
static emk_revocation *list_of(const emk_dom *test)
{
    const emk_dom *entries = emk_dom_get_kind(test, "revocation_entries", EMK_DOM_OBJECT);
    char json[1024] = "{\"entries\": {}}";
    emk_revocation *list = NULL;
    emk_error e;

    if (entries && entries->n == 1)
        (void)snprintf(json, sizeof json, "{\"entries\": {\"%.*s\": {\"status\": \"%s\"}}}",
                       (int)entries->first->key.len, (const char *)entries->first->key.p,
                       (const char *)run_text(entries->first, "status").p);
    else if (entries && entries->n > 1)
        run_die("revocation_entries", "more than one");
    if (emk_revocation_new(emk_span_str(json), 0, &list, &e) != EMK_OK)
        run_die("revocation_entries", e.what);
    return list;
}

static void run_policy(emk_run *r, const emk_dom *test, const char *name,
                       emk_android_policy *policy, emk_span pem)
{
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_span certs[EMK_X509_CHAIN_MAX];
    emk_claims claims;
    emk_buf der;
    emk_error e;
    size_t n = 0;
    emk_status st;

    emk_buf_init(&der, EMK_PEM_MAX);
    policy->verified_boot = strcmp(name, "strict") == 0;
    st = emk_pem_read_chain(pem, &der, chain, EMK_X509_CHAIN_MAX, &n, &e);
    for (size_t i = 0; i < n; i++)
        certs[i] = chain[i].der;
    if (st == EMK_OK)
        st = emk_android_key_verify(r->crypto, policy, certs, n, &claims, NULL, &e);
    run_report(r, test, name, st, &e);
    emk_buf_done(&der);
}

bool run_android_key(emk_run *r, const emk_dom *test)
{
    uint8_t challenge[EMK_ANDROID_CHALLENGE_MAX];
    emk_android_policy policy = {.roots = r->roots, .n_roots = r->n_roots};
    emk_revocation *list;
    emk_buf file;

    if (!emk_dom_is_text(emk_dom_get(test, "type"), "key_attestation_chain"))
        return false;
    emk_buf_init(&file, (size_t)1 << 20);
    run_file(r, test, "file", &file);
    list = list_of(test);
    policy.challenge = run_hex(test, "challenge_hex", challenge, sizeof challenge);
    policy.time_s = run_time(test, "verify_time");
    policy.revocation = list;
    run_policy(r, test, "google_reference", &policy, emk_buf_span(&file));
    run_policy(r, test, "strict", &policy, emk_buf_span(&file));
    emk_revocation_free(list);
    emk_buf_done(&file);
    return true;
}
