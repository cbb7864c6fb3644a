/* What the options of `earmark attest verify` say, read and decoded. */
#ifndef EMK_CLI_ATTEST_INPUT_H
#define EMK_CLI_ATTEST_INPUT_H

#include "cli/command.h"
#include "core/base/buf.h"
#include "server/attest/app_attest.h"
#include "server/attest/roots.h"

#define EMK_ATTEST_INPUTS_MAX 10u /* files */

typedef enum emk_attest_form {
    EMK_ATTEST_FORM_EVIDENCE,
    EMK_ATTEST_FORM_ASSERTION,
    EMK_ATTEST_FORM_RECEIPT
} emk_attest_form;

typedef struct emk_attest_input {
    const emk_crypto *crypto;
    emk_attest_form form;
    emk_attest_evidence evidence; /* spans lend from what is below */
    emk_attest_policy policy;
    emk_span client_data_hash; /* empty: not given */
    uint32_t counter;
    uint8_t allowed[1][32];              /* SHA-256 of allowed PCR values */
    emk_attest_roots *roots;             /* owned; NULL: none */
    emk_play_keys *play_keys;            /* owned */
    emk_buf file[EMK_ATTEST_INPUTS_MAX]; /* owned */
    emk_span certs[EMK_ATTEST_INPUTS_MAX];
    size_t n_files;
    emk_buf bytes; /* owned: decoded options; does not move */
} emk_attest_input;

/* Fills *in; end with emk_attest_input_done, after a failure too. */
emk_status emk_attest_input_read(emk_cli *cli, const char *kind,
                                 emk_attest_input *in) EMK_MUST_CHECK;
void emk_attest_input_done(emk_attest_input *in);

/* Reads --accept into the policy. */
emk_status emk_attest_accept_read(emk_cli *cli, emk_attest_policy *p) EMK_MUST_CHECK;

/* Opens a directory of roots; one without an index is taken by its names, with a remark. */
emk_status emk_attest_roots_find(emk_cli *cli, const char *dir,
                                 emk_attest_roots **out) EMK_MUST_CHECK;

#endif
