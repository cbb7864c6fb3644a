/* The issuer's side of leases, with files for records:
 *
 *   lease.key           the lease master; each ticket's lease secret comes from it
 *   devices/<id>        the signing key of a device that got a ticket with a lease
 *
 * A command line has one master, of epoch 1. */
#ifndef EMK_CLI_LEASE_H
#define EMK_CLI_LEASE_H

#include "cli/issuer.h"
#include "core/proto/lease.h"
#include "core/seal/lease.h"

/* Gives the master of the issuer in dir; free with emk_secret_free.  Made, under the passphrase of
 * this run if there is one, when it is not there and `make` is true. */
emk_status emk_cli_lease_master(emk_cli *cli, const char *dir, bool make,
                                emk_secret **out) EMK_MUST_CHECK;

/* For a ticket about to be signed whose policy wants a lease: fills its lease key (into `key`) and
 * notes the device. */
emk_status emk_cli_lease_prepare(emk_cli *cli, const char *dir, const emk_request *request,
                                 uint8_t key[EMK_LEASE_KEY_LEN], emk_ticket *ticket) EMK_MUST_CHECK;

#endif
