/* One case of a manifest of attestation evidence, and its inputs.
 *
 * A manifest is somebody else's file: what is missing or malformed in a case becomes the case's
 * problem, is reported as an error, and the next case runs.  Getters may be called one after the
 * other without looking; after the first problem they give nothing, and the verdict is an
 * error. */
#ifndef EMK_CLI_ATTEST_CASE_H
#define EMK_CLI_ATTEST_CASE_H

#include "cli/command.h"
#include "cli/json_dom.h"
#include "server/attest/attest.h"
#include "server/attest/bundle.h"
#include "server/attest/simulated.h"

#define EMK_CASE_FILE_MAX ((size_t)1 << 20) /* bytes of one file of evidence */

/* A manifest that is being run. */
typedef struct emk_attest_run {
    emk_cli *cli;
    const emk_crypto *crypto;
    const char *dir;                 /* of the manifest; files lie beside it */
    const char *roots_dir;           /* where "roots/x.pem" are looked for */
    emk_bundle anchors;              /* owned */
    emk_bundle receipt_anchors;      /* owned: of App Attest receipts */
    const emk_attest_policy *accept; /* what is forgiven: simulated evidence, testing responses */
    size_t n_cases, n_verdicts, n_differ, n_errors, n_unclaimed;
} emk_attest_run;

typedef struct emk_attest_case {
    emk_attest_run *run;
    const emk_dom *node;
    emk_arena arena; /* owned: what inputs are decoded into */
    char id[128];
    char problem[192]; /* why there is no verdict; "" while there is none */
    size_t n_reported;
} emk_attest_case;

/* Notes why the case cannot be run; the first one stays. */
void emk_case_problem(emk_attest_case *c, const char *what, const char *detail);
bool emk_case_is_good(const emk_attest_case *c);

/* Whether the case has this member, and it is not null. */
bool emk_case_has(const emk_attest_case *c, const char *name);
/* Inputs that must be there; lent until the case ends, texts with a zero behind them. */
emk_span emk_case_text(emk_attest_case *c, const char *name);
const char *emk_case_string(emk_attest_case *c, const char *name);
emk_span emk_case_hex(emk_attest_case *c, const char *name);
emk_span emk_case_base64(emk_attest_case *c, const char *name); /* either alphabet */
uint64_t emk_case_number(emk_attest_case *c, const char *name);
int64_t emk_case_time(emk_attest_case *c, const char *name);
/* The file that the member names: relative, below the manifest's folder. */
emk_span emk_case_file(emk_attest_case *c, const char *name);
/* Certificates of one file: PEM, or DER one behind the other. */
typedef struct emk_case_chain {
    emk_x509 *certs; /* room for max */
    size_t max;
    size_t *n;
} emk_case_chain;
/* Fills out, whose certificates lend from der (appended to) or from file. */
emk_status emk_case_read_chain(emk_span file, emk_buf *der, const emk_case_chain *out,
                               emk_error *e) EMK_MUST_CHECK;
/* What becomes of a simulator's evidence. */
emk_simulated_mode emk_case_simulated(const emk_attest_case *c);
/* Room until the case ends. */
void *emk_case_take(emk_attest_case *c, size_t len);

/* Compares st with the verdict in member `name` and prints both with the reason.  Statuses that
 * are no verdict on the evidence (usage, memory, libcrypto, I/O) count as errors. */
void emk_case_verdict(emk_attest_case *c, const char *name, emk_status st, const emk_error *e);

/* What runs a case of one type. */
typedef struct emk_attest_type {
    const char *type;
    void (*run)(emk_attest_case *c);
} emk_attest_type;

extern const emk_attest_type EMK_ATTEST_TYPES[];     /* ends with a NULL type */
extern const emk_attest_type EMK_ATTEST_TYPES_TPM[]; /* the same */

#endif
