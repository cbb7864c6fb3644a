/* Sealing, for backends that have a model and a ticket: libearmark-seal.
 *
 *   emk_sealer        who seals: keys and certificate; made once
 *   emk_seal_plan     what was found in one version of a model; made once for all its devices
 *   emk_sealing       one model for one ticket, on its way into a sink
 *
 * A sealer needs the issuer's public key and a signing key that the issuer certified, and
 * never the issuer's own key.
 *
 * Thread rule: sealers and plans do not change once made; any number of threads may seal with
 * them at once, as far as the functions they were given may be called so. */
#ifndef EARMARK_SEAL_H
#define EARMARK_SEAL_H

#include <earmark/crypto.h>
#include <earmark/io.h>
#include <earmark/policy.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct emk_sealer emk_sealer;

typedef struct emk_sealer_config {
    const emk_crypto *crypto; /* kept */
    emk_span issuer;          /* public key: 32 bytes Ed25519, or 65 bytes P-256 */
    emk_span certificate;     /* for the signing key; empty: that is the issuer's own */

    /* The signing key, either its 32 private bytes (wipe yours afterwards), or a function that
     * fills sig with Ed25519, or ES256 as r || s, over msg. */
    emk_span private_key;
    emk_status (*sign)(void *self, emk_span msg, uint8_t sig[64], emk_error *e);
    void *sign_self; /* kept */

    /* A ticket is good for one sealed model.  Called with its id when it has been verified and
     * before anything is sealed; notes durably that it is used, or returns EMK_E_USED. */
    emk_status (*redeem)(void *self, const uint8_t ticket_id[EMK_ID_LEN], emk_error *e);
    void *redeem_self;   /* kept */
    bool without_redeem; /* redeem is NULL, and somebody else sees to it */
} emk_sealer_config;

/* Gives a sealer; free with emk_sealer_free.  Copies what is not marked as kept.
 * EMK_E_USAGE (also for a private key that is not the certified one), EMK_E_FORMAT,
 * EMK_E_SIGNATURE (the certificate is not the issuer's), EMK_E_UNSUPPORTED, EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_sealer_new(const emk_sealer_config *config, emk_sealer **out,
                          emk_error *e) EMK_MUST_CHECK;
/* Wipes and frees; plans may live on, sealings may not.  NULL is fine. */
void emk_sealer_free(emk_sealer *s);

/* flags of a plan */
#define EMK_SEAL_AS_BYTES        1u /* do not look inside the model */
#define EMK_SEAL_CLEAR_STRUCTURE 2u /* leave all but weights readable; it cannot be changed */
#define EMK_SEAL_STRICT          4u /* refuse where weights may stay readable, or coverage is < 90 */
#define EMK_SEAL_NO_DIGESTS      8u /* for models sealed once: reads them once less */

/* One file of a model of several. */
typedef struct emk_seal_file {
    const char *path; /* in the model: relative, its steps between single slashes */
    uint64_t len;     /* bytes */
} emk_seal_file;

/* All zero is a good default. */
typedef struct emk_seal_options {
    const char *file_name;        /* a hint for formats without a magic; may be NULL */
    const emk_seal_file *files;   /* one behind the other they are the model; in order */
    uint32_t n_files;             /* at most EMK_FILES_MAX; 0: the model is one file */
    const char *format;           /* "tflite" and so on, as in the report; NULL: find out */
    uint32_t flags;               /* EMK_SEAL_... */
    unsigned threads;             /* 0: as many as help */
    const emk_progress *progress; /* NULL: nobody asks */
} emk_seal_options;

/* What was found in a model. */
typedef struct emk_seal_report {
    const char *format; /* static; "unknown": sealed as bytes */
    uint64_t model_len;
    uint64_t sealed_len; /* bytes that will be encrypted */
    uint64_t weight_len; /* bytes known to be weights; 0 for a model not looked into */
    unsigned coverage;   /* per cent of the model that these are */
    uint32_t n_tensors;
    uint32_t n_indexed; /* of these a device can find so many by name */
} emk_seal_report;

typedef struct emk_seal_plan emk_seal_plan;

/* Reads a model and gives a plan; free with emk_seal_plan_free.  Keeps what `model` refers to,
 * which must stay as it is; copies *model.  options may be NULL.
 * EMK_E_FORMAT for a file of a known format that is not well-formed, or a path that is none;
 * EMK_E_UNSUPPORTED (weights in other files; nothing that could stay clear; strict);
 * EMK_E_NOT_FOUND (a file with weights is not among the files), EMK_E_USAGE, EMK_E_LIMIT,
 * EMK_E_NO_MEMORY, EMK_E_CRYPTO, what the source says. */
emk_status emk_sealer_plan(const emk_sealer *s, const emk_source *model,
                           const emk_seal_options *options, emk_seal_plan **out,
                           emk_error *e) EMK_MUST_CHECK;
/* Lent until free. */
const emk_seal_report *emk_seal_plan_report(const emk_seal_plan *p);
/* NULL is fine. */
void emk_seal_plan_free(emk_seal_plan *p);

/* One model for one ticket. */
typedef struct emk_seal_job {
    const emk_seal_plan *plan;
    emk_span ticket;              /* as issued */
    uint64_t now;                 /* seconds since 1970 */
    bool chacha;                  /* ChaCha20-Poly1305: for devices without AES instructions */
    unsigned threads;             /* 0: as many as help */
    const emk_progress *progress; /* NULL: nobody asks */
} emk_seal_job;

/* Bytes of the finished file, and what names it, for receipts and logs. */
typedef struct emk_sealed {
    uint64_t len;
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t file_id[EMK_ID_LEN];
} emk_sealed;

typedef struct emk_sealing emk_sealing;

/* Verifies the ticket, redeems it, and gives a sealing that is ready to be written: for a sink
 * that must know the length first.  Free with emk_sealing_free.  Keeps s and the plan, borrows
 * the rest; fills *sealed (may be NULL).  After EMK_OK, and where it fails after redeem, the
 * ticket is used: the device has to ask again.
 *
 * EMK_E_SIGNATURE (the ticket is not the issuer's), EMK_E_POLICY (it has expired, or the
 * certificate is not good now), EMK_E_USED or what redeem says, EMK_E_FORMAT,
 * EMK_E_UNSUPPORTED (a kind of key that this libcrypto lacks), EMK_E_USAGE, EMK_E_LIMIT,
 * EMK_E_CRYPTO, EMK_E_NO_MEMORY, what the sign function says. */
emk_status emk_sealer_start(const emk_sealer *s, const emk_seal_job *job, emk_sealing **out,
                            emk_sealed *sealed, emk_error *e) EMK_MUST_CHECK;

/* Writes the whole file, in no particular order.  Once: a second call is EMK_E_USAGE, as it
 * would encrypt under the same nonces what may have changed.  threads: 1..EMK_SEAL_THREADS_MAX.
 * After a failure the sink holds no usable file. */
emk_status emk_sealing_write(emk_sealing *s, const emk_sink *out, unsigned threads,
                             const emk_progress *progress, emk_error *e) EMK_MUST_CHECK;

/* Wipes and frees.  NULL is fine. */
void emk_sealing_free(emk_sealing *s);

/* Start, write and free in one.  Fills *sealed (may be NULL).  After a failure the sink holds no
 * usable file.  Statuses of emk_sealer_start, what source and sink say. */
emk_status emk_sealer_seal(const emk_sealer *s, const emk_seal_job *job, const emk_sink *out,
                           emk_sealed *sealed, emk_error *e) EMK_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
