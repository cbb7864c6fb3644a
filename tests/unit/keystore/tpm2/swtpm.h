/* A TPM for a test: Debian's swtpm on 127.0.0.1, with a state of its own that survives a stop,
 * as a chip survives a power cut. */
#ifndef EMK_TESTS_TPM2_SWTPM_H
#define EMK_TESTS_TPM2_SWTPM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct swtpm {
    char *dir;
    char tcti[64]; /* what to open it with */
    uint16_t port;
    pid_t pid;
    unsigned rsa_bits; /* of the endorsement key with a certificate */
    const char *ca;    /* where swtpm_setup's authority lives; NULL: a TPM without certificates */
} swtpm;

/* False, after saying so, when swtpm is not installed. */
bool swtpm_start(swtpm *t);
/* The same with endorsement certificates, for RSA of 2048 or 3072 bits and for P-384, of an
 * authority that swtpm_setup makes in the directory `ca` (kept): "issuercert.pem" and
 * "swtpm-localca-rootca-cert.pem" are in it.  False, after saying so, without swtpm-tools. */
bool swtpm_start_certified(swtpm *t, const char *ca, unsigned rsa_bits);
/* Stops it; what it holds stays for swtpm_restart. */
void swtpm_stop(swtpm *t);
void swtpm_restart(swtpm *t);
/* Stops it and removes its state. */
void swtpm_end(swtpm *t);

/* As the firmware's "clear TPM": the owner's seed changes. */
void swtpm_clear(const swtpm *t);
/* Extends a PCR (SHA-256 bank) with a digest of 32 times `byte`. */
void swtpm_extend(const swtpm *t, uint8_t pcr, uint8_t byte);
/* Removes an index that the platform made, such as an endorsement certificate. */
void swtpm_undefine(const swtpm *t, uint32_t index);
/* Resets the count of wrong guesses. */
void swtpm_unlock(const swtpm *t);

#endif
