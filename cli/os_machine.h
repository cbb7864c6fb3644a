/* What this machine offers beyond what core asks about. */
#ifndef EMK_CLI_OS_MACHINE_H
#define EMK_CLI_OS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct emk_cli_machine {
    const char *architecture; /* static */
    bool known;               /* the four below could be found out */
    bool aes;
    bool wide_aes; /* several blocks at once (VAES) */
    bool clmul;    /* for GCM's hash */
    bool sha;
    uint64_t memory; /* bytes of RAM; 0: unknown */
    bool tpm;        /* there is a TPM's device file */
    bool tpm_usable; /* and this user may use it */
    bool runs_as_root;
} emk_cli_machine;

void emk_cli_machine_look(emk_cli_machine *m);

/* "Linux-x86_64" or the like. */
void emk_cli_system_name(char *out, size_t cap);

/* Keeps other processes of the same user from reading this one's memory, and its memory out of
 * core dumps, as far as the system does that. */
void emk_cli_harden(void);

#endif
