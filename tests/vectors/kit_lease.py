"""Vectors of models under a lease: delivered and in the vault form.  [container 3.5, 7.6]"""

from earmark_encoder import lease_public, p256_ephemeral, seal_recipient
from earmark_reference import P256, sha256

LEASE = {4: 3600, 5: 60}
ISSUED = 1779900000  # as in Case; a vector's clock is ten minutes later
SUITE = (P256, 1, 2)


def leased_head(case, **more):
    return {"lease-secret": case.lease_secret.hex(), "lease-until": ISSUED + 3600, **more}


def put(key, value):
    return lambda m: {**m, key: value}


def drop(key):
    return lambda m: {k: v for k, v in m.items() if k != key}


def mode(value):
    return lambda m: {**m, 6: m[6][:3] + [value]}


def resealed(case, lease):
    """The weights envelope once more, under another lease."""
    return [case.seal(lease=lease)]


def bare(recipients, change):
    protected, unprotected, ciphertext = recipients[0]
    return [[protected, change(unprotected), ciphertext]]


def in_base_mode(recipients, case):
    """Sealed without psk, a psk_id beside it all the same."""
    plain = case.seal(lease=None)
    return [[plain[0], {**plain[1], -5: recipients[0][1][-5]}, plain[2]]]


OTHER = lease_public(sha256(b"another lease secret"))


def add_delivered(add):
    def leased(name, expect, why, hooks=None, head=None, policy=None, **options):
        add(name, expect, why, hooks, head=head or leased_head, leased=True,
            policy=LEASE if policy is None else policy, **options)

    leased("ok-leased", "ok", "a model under a lease")
    leased("ok-leased-sealer", "ok", "sealed by a certified sealer", sealer="ed25519")
    leased("ok-leased-p256-request", "ok", "a request key of P-256", file_kem=P256)
    leased("ok-leased-chacha", "ok", "ChaCha20-Poly1305", weights_alg=-65604)
    leased("ok-leased-in-grace", "ok", "the lease is over for 59 s of 60 of grace",
           head=lambda c: leased_head(c, **{"lease-until": ISSUED + 541}))
    leased("lease-over", "policy refused", "lease and grace are over",
           head=lambda c: leased_head(c, **{"lease-until": ISSUED + 540}))
    leased("lease-other-secret", "hpke failure", "the secret of another ticket",
           head=lambda c: leased_head(c, **{"lease-secret": sha256(b"another").hex()}))
    leased("lease-header-other-key", "binding mismatch", "the header's lease key is not the ticket's",
           {"weights.core": put(10, OTHER)})
    leased("lease-mode-0-with-key", "bad cbor", "mode 0 and a lease key", {"weights.core": mode(0)})
    leased("lease-mode-1-without-key", "unsupported", "mode 1 and no lease key",
           {"weights.core": drop(10)})
    leased("lease-mode-2", "unsupported", "mode 2", {"weights.core": mode(2)})
    leased("lease-key-64", "bad cbor", "a lease key of 64 bytes",
           {"weights.core": put(10, OTHER[:64])})
    leased("lease-no-psk-id", "bad cbor", "mode 1 and an envelope without psk_id",
           {"weights.recipients": lambda r: bare(r, drop(-5))})
    leased("lease-psk-id-64", "bad cbor", "a psk_id of 64 bytes",
           {"weights.recipients": lambda r: bare(r, put(-5, r[0][1][-5][:64]))})
    leased("lease-psk-id-no-point", "hpke failure", "a psk_id that is no point of P-256",
           {"weights.recipients": lambda r: bare(r, put(-5, b"\4" + bytes(64)))})
    leased("lease-psk-id-other", "hpke failure", "another psk_id",
           {"weights.recipients": lambda r, c: bare(r, put(-5, p256_ephemeral(c.drbg).public))})
    leased("lease-psk-of-another-key", "hpke failure", "a psk made from another lease key",
           {"weights.recipients": lambda r, c: resealed(c, (OTHER, c.ticket_id))})
    leased("lease-psk-of-another-ticket", "hpke failure", "a psk made for another ticket",
           {"weights.recipients": lambda r, c: resealed(c, (c.lease_key, bytes(16)))})
    leased("lease-base-mode", "hpke failure", "sealed in base mode, a psk_id beside it",
           {"weights.recipients": in_base_mode})
    leased("lease-ticket-no-epoch", "bad cbor", "the ticket has a lease key and no epoch",
           {"ticket": drop(11)})
    leased("lease-ticket-epoch-0", "bad cbor", "epoch 0", {"ticket": put(11, 0)})
    leased("lease-ticket-no-key", "bad cbor", "the ticket has an epoch and no lease key",
           {"ticket": drop(10)})
    leased("lease-ticket-key-64", "bad cbor", "the ticket's lease key has 64 bytes",
           {"ticket": put(10, OTHER[:64])})
    leased("lease-not-asked-for", "bad cbor", "a lease key where the policy has no lease", policy={})
    add("lease-psk-id-without-mode", "bad cbor", "mode 0 and a psk_id",
        {"weights.recipients": lambda r: bare(r, put(-5, OTHER))})


def add_vaults(add):
    def leased(name, expect, why, hooks=None, head=None, **options):
        add(name, expect, why, hooks, head=head, form="vault", leased=True, policy=LEASE,
            **{"lease_until": ISSUED + 3600, "lease_time": ISSUED, **options})

    secret = {"head": lambda c: {"lease-secret": c.lease_secret.hex()}}
    leased("ok-leased-vault", "ok", "awake: opens without a lease secret")
    leased("ok-leased-vault-b", "ok", "awake, in slot B", slot="B")
    leased("ok-leased-vault-in-grace", "ok", "59 s of 60 of grace", lease_until=ISSUED + 541)
    leased("ok-leased-vault-asleep", "ok", "asleep: opens with the secret", asleep=True, **secret)
    leased("lease-vault-over", "policy refused", "lease and grace are over",
           lease_until=ISSUED + 540)
    leased("lease-vault-asleep", "policy refused", "asleep, and there is no lease secret", asleep=True)
    leased("lease-vault-asleep-other-secret", "hpke failure", "asleep, the secret is another's",
           head=lambda c: {"lease-secret": sha256(b"another").hex()}, asleep=True)
    leased("lease-vault-state-1", "bad cbor", "state 01 where the header is in mode 1",
           {"record.lease": put("state", 1)})
    leased("lease-vault-torn", "bad cbor", "the hash at 4000 is another",
           {"record.torn": lambda h: h[:-1] + bytes([h[-1] ^ 1])})
    leased("lease-vault-sleeping-0", "bad cbor", "no sleeping envelope",
           {"record.lease": put("sleeping_len", 0)})
    leased("lease-vault-sizes", "bad cbor", "envelopes longer than there is room",
           {"record.lease": put("size", 3900)})
    leased("lease-vault-no-psk-id", "bad cbor", "the sleeping envelope has no psk_id",
           {"record.sleeping": lambda r: bare([r], drop(-5))[0]})
    leased("lease-vault-awake-psk-id", "bad cbor", "the envelope has a psk_id",
           {"record.recipient": lambda r: bare([r], put(-5, OTHER))[0]})
    leased("lease-vault-mac", "commitment mismatch", "the record's MAC is another",
           {"record.bytes": lambda b: b[:-1] + bytes([b[-1] ^ 1])})
    leased("lease-vault-until-changed", "commitment mismatch",
           "a later end, hash made again, MAC the old one",
           {"record.bytes": later})
    leased("lease-vault-sleeping-base-mode", "hpke failure", "the sleeping envelope is in base mode",
           {"record.sleeping": sleeping_in_base_mode}, asleep=True, **secret)
    add("lease-vault-state-2", "bad cbor", "state 02 where the header is in mode 0",
        {"record.fields": put("state", 2)}, form="vault")


def later(record):
    head = record[:56] + (ISSUED + 7200).to_bytes(8, "big") + record[64:4000]
    return head + sha256(head) + record[4032:]


def sleeping_in_base_mode(recipient, case):
    extra = sha256(b"earmark/1 local\0", case.core_hash, case.vault_id)
    plain = seal_recipient(SUITE, 53, case.agree.public, case.content, extra, case.vault_cek, True,
                           case.drbg)
    return [plain[0], {**plain[1], -5: recipient[1][-5]}, plain[2]]


def add_leases(add):
    add_delivered(add)
    add_vaults(add)
