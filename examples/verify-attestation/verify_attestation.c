/* Verifies what an iPhone sent at enrolment, as a server of one's own would.
 *
 *     verify-attestation ROOTS APP CHALLENGE KEY_ID OBJECT
 *
 * ROOTS is the directory that `earmark attest update` keeps, APP is TEAMID.bundle.id, CHALLENGE is
 * the text that this server had made and has just taken out of its store (each is good once),
 * KEY_ID the key's id as 64 hex digits, OBJECT the file with the attestation object. */
#include <earmark/verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OBJECT_MAX 16384

static int read_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char two[3] = "";
        char *end;

        strncpy(two, text + 2 * i, 2);
        out[i] = (uint8_t)strtoul(two, &end, 16);
        if (end != two + 2)
            return 0;
    }
    return 1;
}

static size_t read_object(const char *path, uint8_t *out)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(out, 1, OBJECT_MAX, f) : 0;

    if (f)
        fclose(f);
    return n;
}

static void show(const emk_claims *claims)
{
    printf("%s, level %u, app %s\n", emk_attest_kind_name(claims->kind), (unsigned)claims->level,
           claims->app);
    for (size_t i = 0; i < claims->n_warnings; i++)
        printf("  note: %s\n", emk_attest_warning_name(claims->warnings[i]));
}

/* What the operator's log gets, and what the client gets. */
static int refuse(const emk_error *e)
{
    fprintf(stderr, "log: %s: %s (%llu)\n", emk_status_name(e->status), e->what,
            (unsigned long long)e->where);
    printf("to the client: %s\n", emk_attest_client_name(emk_attest_client_code(e->status)));
    return 2;
}

int main(int argc, char **argv)
{
    static uint8_t object[OBJECT_MAX];
    uint8_t key_id[32];
    emk_attest_evidence in = {.size = sizeof in, .kind = EMK_ATTEST_APP_ATTEST};
    emk_attest_policy policy = {.size = sizeof policy, .min_level = 3};
    emk_crypto *crypto = NULL;
    emk_attest_roots *roots = NULL;
    emk_attest_key key;
    emk_claims claims;
    emk_error e;
    int code = 0;

    if (argc != 6 || !read_hex(argv[4], key_id, sizeof key_id)) {
        fprintf(stderr, "usage: verify-attestation ROOTS APP CHALLENGE KEY_ID OBJECT\n");
        return 1;
    }
    policy.time_s = (int64_t)time(NULL);
    policy.app = argv[2];
    policy.challenge = emk_span_str(argv[3]);
    in.key_id = emk_span_of(key_id, sizeof key_id);
    in.object = emk_span_of(object, read_object(argv[5], object));
    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK ||
        emk_attest_roots_open(crypto, argv[1], &roots, &e) != EMK_OK ||
        emk_attest_verify(crypto, roots, &policy, &in, &claims, &key, &e) != EMK_OK)
        code = refuse(&e);
    else
        show(&claims);
    emk_attest_roots_free(roots);
    emk_crypto_free(crypto);
    return code;
}
