#include "fuzz/message_common.h"

#include "core/proto/enrolment.h"
#include "core/proto/events.h"
#include "core/proto/lease.h"
#include "core/proto/receipt.h"
#include "core/proto/ticket.h"
#include "fuzz/check.h"

static emk_crypto *crypto;
static emk_sign_key *key;
static emk_verify_key *verify_key;
static emk_signer signer;

static void prepare(void)
{
    static const uint8_t priv[32] = "a key that everybody may know...";

    if (crypto)
        return;
    must(emk_crypto_new(NULL, NULL, &crypto, NULL) == EMK_OK &&
             emk_sign_key_new(crypto, EMK_SIGN_ED25519, emk_span_of(priv, 32), &key, NULL) ==
                 EMK_OK &&
             emk_signer_from_key(crypto, key, &signer, NULL) == EMK_OK &&
             emk_cose_verify_key(crypto, emk_sign_key_public(key), &verify_key, NULL) == EMK_OK,
         "a key can be made");
}

bool message_sign_payload(emk_cose_type type, emk_span payload, emk_buf *out)
{
    emk_cose_in in = {.type = type, .payload = payload};

    prepare();
    return emk_cose_sign(crypto, &signer, &in, out, NULL, NULL) == EMK_OK;
}

bool message_read_and_sign(emk_cose_type type, emk_span m, emk_buf *b)
{
    emk_device_certificate certificate;
    emk_enrolment enrolment;
    emk_request request;
    emk_receipt receipt;
    emk_ticket ticket;
    emk_lease lease;
    emk_lease_request lease_request;
    emk_events events;
    const emk_crypto *c;

    prepare();
    c = crypto;
    switch (type) {
    case EMK_COSE_ENROLMENT:
        must(emk_enrolment_verify(c, m, &enrolment, NULL) != EMK_OK, "nobody has its key");
        return false;
    case EMK_COSE_DEVICE_CERTIFICATE:
        return emk_device_certificate_verify(c, m, verify_key, 0, &certificate, NULL) == EMK_OK &&
               emk_device_certificate_sign(c, &signer, &certificate, b, NULL) == EMK_OK;
    case EMK_COSE_REQUEST:
        return emk_request_parse(m, &request, NULL) == EMK_OK &&
               emk_request_sign(c, &signer, &request, b, NULL) == EMK_OK;
    case EMK_COSE_TICKET:
        return emk_ticket_verify(c, m, verify_key, 0, &ticket, NULL) == EMK_OK &&
               emk_ticket_sign(c, &signer, &ticket, b, NULL) == EMK_OK;
    case EMK_COSE_LEASE:
        return emk_lease_verify(c, m, verify_key, &lease, NULL) == EMK_OK &&
               emk_lease_sign(c, &signer, &lease, b, NULL) == EMK_OK;
    case EMK_COSE_LEASE_REQUEST:
        return emk_lease_request_verify(c, m, verify_key, &lease_request, NULL) == EMK_OK &&
               emk_lease_request_sign(c, &signer, &lease_request, b, NULL) == EMK_OK;
    case EMK_COSE_EVENTS:
        return emk_events_verify(c, m, verify_key, &events, NULL) == EMK_OK &&
               emk_events_sign(c, &signer, &events, b, NULL) == EMK_OK;
    default:
        return emk_receipt_verify(c, m, verify_key, &receipt, NULL) == EMK_OK &&
               emk_receipt_sign(c, &signer, &receipt, b, NULL) == EMK_OK;
    }
}
