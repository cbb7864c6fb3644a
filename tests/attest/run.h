/* What the sources of emk-attest-manifest share. */
#ifndef EMK_TESTS_ATTEST_RUN_H
#define EMK_TESTS_ATTEST_RUN_H

#include "cli/json_dom.h"
#include "core/base/buf.h"
#include "core/crypto/x509.h"
#include "server/attest/bundle.h"

#define EMK_RUN_ROOTS_MAX 8u

typedef struct emk_run {
    const emk_crypto *crypto;
    const char *dir; /* of the manifest */
    emk_x509 roots[EMK_RUN_ROOTS_MAX];
    size_t n_roots;
    emk_buf root_der[EMK_RUN_ROOTS_MAX];
    emk_bundle bundle; /* TPM: makers' roots */
    size_t n_failed;
    size_t n_run;
} emk_run;

/* One case's inputs; a manifest that lacks one ends the program: it is no verdict. */
emk_span run_text(const emk_dom *test, const char *name);
emk_span run_hex(const emk_dom *test, const char *name, uint8_t *out, size_t cap);
emk_span run_base64(const emk_dom *test, const char *name, uint8_t *out, size_t cap);
uint64_t run_number(const emk_dom *test, const char *name);
/* "2020-11-21T22:13:02Z" as seconds since 1970. */
int64_t run_time(const emk_dom *test, const char *name);
/* The file beside the manifest that the case names. */
void run_file(const emk_run *r, const emk_dom *test, const char *name, emk_buf *out);
_Noreturn void run_die(const char *what, const char *detail);

/* Compares a verdict ("accept", "reject") with the one in member `name` and prints both. */
void run_report(emk_run *r, const emk_dom *test, const char *name, emk_status st,
                const emk_error *e);

/* One case of that kind; false when its type is not known. */
bool run_app_attest(emk_run *r, const emk_dom *test);
bool run_android_key(emk_run *r, const emk_dom *test);
bool run_tpm(emk_run *r, const emk_dom *test);

#endif
