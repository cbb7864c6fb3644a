"""Vectors of the vault form: records, rollback, places, padding."""

from earmark_encoder import seal_recipient
from earmark_reference import (PAGE, RECORD_A, RECORD_B, RECORD_END, cbor_encode, hint_of, mac,
                               sha256)
from kit_body import exchange
from kit_header import flip, without

OLDER = {"generation": 4, "opens": 0}


def fields(**changes):
    return {"record.fields": lambda f: {**f, **changes}}


def slot_a(change):
    """Changes slot A in the finished file."""
    return {"vault.bytes": lambda b: b[:RECORD_A] + change(b[RECORD_A:RECORD_B]) + b[RECORD_B:]}


def both_slots(change):
    return {"vault.bytes": lambda b: b[:RECORD_A] + change(b[RECORD_A:RECORD_B])
            + change(b[RECORD_B:RECORD_END]) + b[RECORD_END:]}


def torn(slot):
    """The first 512 bytes arrived, the rest are still zeros."""
    return slot[:512] + bytes(PAGE - 512)


def envelope(value=None, **changes):
    """A recipient sealed once more with one input other."""
    def hook(r, c):
        made = {"to": c.agree.public, "extra": sha256(b"earmark/1 local\0", c.core_hash,
                                                      c.vault_id), "content": c.content,
                "cek": c.vault_cek}
        made.update({k: v(c) if callable(v) else v for k, v in changes.items()})
        fresh = seal_recipient((16, 1, 2), 53, made["to"], made["content"], made["extra"],
                               made["cek"], True, c.drbg)
        return value(fresh, c) if value else fresh
    return {"record.recipient": hook}


def add_slots(add):
    def vault(name, expect, why, hooks=None, **more):
        add(f"vault-{name}", expect, why, hooks, form="vault", **more)

    vault("slot-b-newer", "ok", "slot B has the higher generation", slot="B", other_slot=OLDER)
    vault("slot-a-newer", "ok", "slot A has the higher generation", other_slot=OLDER)
    vault("slot-b-alone", "ok", "slot A is all zeros", slot="B")
    vault("generation-64-bit", "policy refused",
          "generation 2^32 is higher than 7: its opens are used up", generation=1 << 32,
          other_slot={"generation": 7}, opens=3, policy={3: 3})
    vault("newer-counts", "policy refused", "the newer slot's opens are used up, the older's not",
          slot="B", other_slot={**OLDER, "opens": 2}, opens=3, policy={3: 3})
    vault("newer-allows", "ok", "the older slot's opens are used up, the newer's not",
          slot="B", other_slot={**OLDER, "opens": 3}, opens=2, policy={3: 3})
    vault("slot-a-torn", "ok", "newer slot torn after 512 bytes, counter not yet raised",
          slot_a(torn), other_slot=OLDER, head={"counter": 4})
    vault("slot-a-torn-counted", "rollback", "newer slot lost, and the counter knows it",
          slot_a(torn), other_slot=OLDER, head={"counter": 5})
    vault("slot-a-zero", "ok", "newer slot zeroed", slot_a(lambda s: bytes(PAGE)),
          other_slot=OLDER)
    vault("slot-a-garbage", "ok", "newer slot overwritten with ff",
          slot_a(lambda s: b"\xff" * PAGE), other_slot=OLDER)
    for name, at in (("mac", 4064), ("commit", 4032), ("envelope", 150), ("magic", 0),
                     ("generation", 15)):
        vault(f"slot-a-{name}-falls-back", "ok", f"newer slot's {name} flipped, the other is taken",
              slot_a(flip(at, 2)), other_slot=OLDER)
    vault("both-torn", "commitment mismatch", "both slots torn after 512 bytes (reading 4)",
          both_slots(torn), other_slot=OLDER)
    vault("both-zero", "bad cbor", "no slot at all", both_slots(lambda s: bytes(PAGE)))
    vault("both-magic", "bad cbor", "both slots have another magic", both_slots(flip(1)),
          other_slot=OLDER)


def add_records(add):
    def vault(name, expect, why, hooks=None, **more):
        add(f"record-{name}", expect, why, hooks, form="vault", **more)

    for name, at in (("accepted", 39), ("floor", 47), ("opens", 55), ("generation", 15),
                     ("zero", 60), ("mac", 4095), ("commit", 4063), ("padding", 4000)):
        vault(f"{name}-changed", "commitment mismatch", f"{name} changed without the key",
              slot_a(flip(at, 2)))
    for name, change in (("version-0", {"version": 0}), ("version-2", {"version": 2}),
                         ("state-0", {"state": 0}), ("state-2", {"state": 2}),
                         ("magic", {"magic": b"EMKS"}), ("generation-0", {"generation": 0}),
                         ("envelope-len-0", {"size": 0}), ("envelope-len-3969", {"size": 3969}),
                         ("envelope-len-65535", {"size": 65535})):
        vault(name, "bad cbor", f"record with {name}, its MAC right", fields(**change))
    for more in (-1, 1):
        vault(f"envelope-len-{'more' if more > 0 else 'less'}-1", "bad cbor",
              f"envelope_len {more:+}, the MAC right",
              {"record.fields": lambda f, more=more: {**f, "size": f["size"] + more}})
    vault("mac-zero", "commitment mismatch", "MAC of zeros",
          {"record.bytes": lambda r: r[:4064] + bytes(32)})
    vault("mac-of-less", "commitment mismatch", "MAC without the commitment",
          {"record.bytes": lambda r, c: r[:4064] + mac(c.vault_keys.local_mac(), r[:4032])})
    vault("commit-of-header", "commitment mismatch", "commit under hh in place of vhh",
          {"weights.commit": lambda k, c: c.keys.commit})


def add_record_envelopes(add):
    def vault(name, expect, why, hooks):
        add(f"record-{name}", expect, why, hooks, form="vault")

    vault("vault-id-changed", "hpke failure", "vault id changed: the envelope is bound to it",
          slot_a(flip(20)))
    vault("envelope-other-vault", "hpke failure", "envelope of another vault",
          envelope(extra=lambda c: sha256(b"earmark/1 local\0", c.core_hash, bytes(16))))
    vault("envelope-other-file", "hpke failure", "envelope bound to another core",
          envelope(extra=lambda c: sha256(b"earmark/1 local\0", bytes(32), c.vault_id)))
    vault("envelope-delivered", "hpke failure", "extra as in a header: core_hash",
          envelope(extra=lambda c: c.core_hash))
    vault("envelope-other-content", "hpke failure", "bound to another content algorithm",
          envelope(content=-65604))
    vault("envelope-other-device", "no matching recipient", "sealed to another device's key",
          envelope(to=lambda c: c.agree2.public))
    vault("envelope-hint-right", "hpke failure", "sealed to another key, with a hint for ours",
          envelope(lambda r, c: [r[0], {**r[1], -65541: hint_of(r[1][-4], c.agree.public)}, r[2]],
                   to=lambda c: c.agree2.public))
    vault("envelope-other-cek", "commitment mismatch", "envelope well made, of another CEK",
          envelope(cek=bytes(range(32))))
    for name, change in (
            ("no-hint", lambda r: [r[0], without(-65541)(r[1]), r[2]]),
            ("alg-50", lambda r: [cbor_encode({1: 50}), r[1], r[2]]),
            ("ciphertext-47", lambda r: [r[0], r[1], r[2][:-1]]),
            ("two-parts", lambda r: r[:2])):
        vault(f"envelope-{name}", "bad cbor", f"envelope with {name}, the MAC right",
              {"record.recipient": change})
    vault("of-another-vault", "region failure",
          "a whole record, right in itself, of another vault of the same file",
          {"weights.segments": lambda g, c: c.other_vault_segments()})


def add_rollback(add):
    for counter, expect, why in ((5, "ok", "equal to the counter"),
                                 (4, "ok", "ahead of the counter by one: interrupted"),
                                 (3, "rollback", "ahead of the counter by two"),
                                 (6, "rollback", "older than the counter"),
                                 (0, "rollback", "ahead of the counter by five"),
                                 ((1 << 64) - 1, "rollback", "the counter is at its end")):
        add(f"rollback-5-{counter}", expect, f"generation 5, {why}", form="vault",
            head={"counter": counter})
    add("rollback-old-slot", "rollback", "a whole older file: both slots before the counter",
        form="vault", other_slot=OLDER, head={"counter": 6})
    for opens, expect in ((2, "ok"), (3, "policy refused"), (4, "policy refused")):
        add(f"max-opens-3-{opens}", expect, f"{opens} opens counted, 3 allowed", form="vault",
            policy={3: 3}, opens=opens)
    add("vault-floor-later", "policy refused", "floor after expires, clock before", form="vault",
        policy={2: 1779950000}, floor=1779960000)
    add("vault-floor-before", "ok", "floor and clock before expires", form="vault",
        policy={2: 1779950000}, floor=1779949999)
    add("vault-other-device", "binding mismatch", "device with another signing key", form="vault",
        head=lambda c: {"device_sign_public": c.other_device_sign().hex()})


def add_places(add):
    def vault(name, expect, why, change, **more):
        add(f"vault-{name}", expect, why, {"vault.bytes": change}, form="vault", **more)

    vault("padding-header", "ok", "padding behind the header is not zero",
          lambda b: b[:RECORD_A - 5000] + b"\xaa" * 5000 + b[RECORD_A:])
    vault("padding-region-0", "ok", "padding behind region 0 is not zero",
          lambda b, c: b[:c.table_at - 900] + b"\xaa" * 900 + b[c.table_at:])
    vault("padding-table", "ok", "padding behind the tag table is not zero",
          lambda b, c: b[:c.payload_at - 900] + b"\xaa" * 900 + b[c.payload_at:])
    for name, change in (("truncated-1", lambda b: b[:-1]), ("extended-1", lambda b: b + b"\0"),
                         ("truncated-4096", lambda b: b[:-4096]),
                         ("extended-4096", lambda b: b + bytes(4096)),
                         ("no-model", lambda b, c: b[:c.payload_at]),
                         ("no-table", lambda b, c: b[:c.table_at]),
                         ("cut-in-region-0", lambda b: b[:RECORD_END + 100]),
                         ("only-records", lambda b: b[:RECORD_END]),
                         ("only-header", lambda b: b[:2000]), ("empty", lambda b: b"")):
        vault(name, "length mismatch", f"vault file {name.replace('-', ' ')} (reading 3)", change)
    for more in (-1, 1):
        add(f"vault-length-{'more' if more > 0 else 'less'}-1", "length mismatch",
            f"model's length in core {more:+}, signed so",
            {"weights.core": lambda c, more=more: {**c, 5: c[5] + more}}, form="vault")
    vault("sealed-part-changed", "region failure", "first byte of the sealed part's ciphertext",
          flip(RECORD_END))
    vault("table-changed", "region failure", "first tag of the table",
          lambda b, c: flip(c.table_at)(b))
    vault("payload-changed", "region failure", "first byte of the model's ciphertext",
          lambda b, c: flip(c.payload_at)(b))
    vault("payload-last-changed", "region failure", "last byte of the file", flip(-1))
    add("vault-table-swapped", "region failure", "tags of regions 2 and 3 changed places",
        {"vault.table": lambda t: t[:16] + t[32:48] + t[16:32]}, form="vault")
    add("vault-table-shifted", "region failure", "tag table begins one entry later",
        {"vault.table": lambda t: bytes(16) + t}, form="vault")
    add("vault-table-with-region-0", "region failure", "tag table begins with region 0's tag",
        {"vault.table": lambda t, c: c.zero_tag + t}, form="vault")
    add("vault-payload-swapped", "region failure", "regions 2 and 3 changed places, tags too",
        {"weights.segments": exchange(2, 3, "c", "tag")}, form="vault")


def add_vaults(add):
    for group in (add_slots, add_records, add_record_envelopes, add_rollback, add_places):
        group(add)
