"""Vectors of messages: leases and requests for them, guard summaries, receipts, event batches, and
requests that a device signs over HTTP.  Each has one defect or none."""

import base64

from earmark_encoder import (Case, Drbg, SignKey, hpke_seal, lease_public, make_psk,
                             p256_ephemeral, sign_message)
from earmark_messages import (EVENTS, LEASE, LEASE_REQUEST, RECEIPT, base64url, event_text,
                              nonce_text, sha256)
from earmark_reference import P256, cbor_encode, mac, u64

NOW, HOUR = 1780000000, 3600
ISSUED = NOW - 600
SUITE = (P256, 1, 2)
MASTER = Drbg("lease master").take(32)
NONCE_KEY = Drbg("nonce key").take(32)


def lease_secret(ticket_id, epoch=1):
    return mac(MASTER, ticket_id + u64(epoch))


class World:
    """One issuer, one device, one ticket under a lease; `other` is another device."""

    def __init__(self, seed, policy=None, issuer_kind="ed25519", leased=True):
        policy = {2: NOW + 90 * 86400, **({4: HOUR, 5: 60} if leased else {}), **(policy or {})}
        hooks = {"ticket": lambda m, c: {**m, 10: lease_public(lease_secret(c.ticket_id)), 11: 1}}
        self.case = Case(b"", hooks if leased else {}, seed=seed, policy=policy, issued=ISSUED,
                         issuer_kind=issuer_kind)
        self.case.grant()
        self.drbg = Drbg("message " + seed)
        self.issuer, self.device = self.case.issuer, self.case.device_sign
        self.other = SignKey("p256", self.case.seeds["other"])
        self.id, self.ticket_id = self.case.device_id, self.case.ticket_id
        self.ticket, self.agree = self.case.ticket, self.case.agree
        self.secret = lease_secret(self.ticket_id)

    def sealed(self, secret=None, public=None, label=b"earmark/1 lease\0", ticket=None):
        info = label + (ticket or self.ticket_id) + self.id
        enc, sealed = hpke_seal(SUITE, public or self.agree.public, p256_ephemeral(self.drbg),
                                info, secret or self.secret)
        return enc + sealed

    def psk(self):
        return make_psk(lease_public(self.secret), self.ticket_id, p256_ephemeral(self.drbg))

    def lease(self, **changed):
        value = {1: self.ticket_id, 2: self.id, 3: NOW, 4: NOW + HOUR, 5: self.sealed()}
        value.update({int(k[1:]): v for k, v in changed.items()})
        return {k: v for k, v in value.items() if v is not None}

    def refusal(self, why):
        return self.lease(k4=NOW, k5=None, k6=why)


def without(value, key):
    return {k: v for k, v in value.items() if k != key}


# --- leases ---------------------------------------------------------------------------------


def lease_head(w, **more):
    return {"issuer": w.issuer.public.hex(), "device-agree-private": w.case.agree_private.hex(),
            "device-sign-public": w.device.public.hex(), "ticket-id": w.ticket_id.hex(),
            "lease-key": lease_public(w.secret).hex(), "now": NOW + 5, **more}


def granted(w, until=NOW + HOUR):
    return {"read-until": until, "read-secret": w.secret.hex()}


def add_good_leases(add):
    for kind in ("ed25519", "p256"):
        w = World("lease " + kind, issuer_kind=kind)
        add(f"ok-lease-{kind}", "lease", "ok", f"a lease by an issuer with {kind}",
            lease_head(w, **granted(w)), sign_message(w.issuer, LEASE, w.lease()))
    w = World("lease psk")
    psk_id, psk = w.psk()
    add("ok-lease-psk", "lease", "ok", "the psk of an envelope, from the secret in the lease",
        lease_head(w, psk_id=psk_id.hex(), read_psk=psk.hex(), **granted(w)),
        sign_message(w.issuer, LEASE, w.lease()))
    w = World("lease grace")
    add("ok-lease-in-grace", "lease", "ok", "over for 59 s of 60 of grace",
        {**lease_head(w, grace=60, **granted(w)), "now": NOW + HOUR + 59},
        sign_message(w.issuer, LEASE, w.lease()))
    add("ok-lease-newer-by-a-second", "lease", "ok", "one second newer than the last",
        lease_head(w, newest=NOW - 1, **granted(w)), sign_message(w.issuer, LEASE, w.lease()))
    for why in (1, 2, 3):
        w = World(f"refusal {why}")
        add(f"ok-lease-refusal-{why}", "lease", "ok", f"a refusal, reason {why}",
            lease_head(w, read_until=NOW, read_refusal=why),
            sign_message(w.issuer, LEASE, w.refusal(why)))


def add_refused_leases(add):
    w = World("lease")
    good, head = w.lease(), lease_head(w)

    def lease(name, expect, why, value=None, signer=None, kind=LEASE, raw=None, **changed):
        raw = raw or sign_message(signer or w.issuer, kind, value or good,
                                  w.issuer.kid if signer else None)
        add("lease-" + name, "lease", expect, why, {**head, **changed}, raw)

    signed = sign_message(w.issuer, LEASE, good)
    lease("other-issuer", "bad signature", "signed by another issuer", signer=w.case.other)
    lease("by-the-device", "bad signature", "signed by the device itself", signer=w.device)
    lease("changed", "bad signature", "until is another, the signature the old one",
          raw=signed.replace(cbor_encode(NOW + HOUR), cbor_encode(NOW + HOUR + 1)))
    lease("signature-changed", "bad signature", "last bit of the signature",
          raw=signed[:-1] + bytes([signed[-1] ^ 1]))
    for kind, what in ((7, "ticket"), (8, "receipt"), (11, "lease request")):
        lease(f"of-type-{kind}", "bad signature", f"a lease's map, signed as a {what}", kind=kind)
    lease("other-device", "binding mismatch", "for another device", w.lease(k2=sha256(b"other")))
    lease("other-ticket", "binding mismatch", "for another ticket", w.lease(k1=bytes(16)))
    lease("over", "policy refused", "over this second", now=NOW + HOUR)
    lease("grace-over", "policy refused", "its grace is over", now=NOW + HOUR + 60, grace=60)
    lease("again", "stale", "of the same second as the last one taken", newest=NOW)
    lease("older", "stale", "older than the last one taken", newest=NOW + 1)
    lease("refusal-again", "stale", "a refusal that was taken before", w.refusal(1), newest=NOW)
    lease("sealed-to-another-key", "hpke failure", "the secret is sealed to another key",
          w.lease(k5=w.sealed(public=w.case.agree2.public)))
    lease("sealed-for-another-ticket", "hpke failure", "info names another ticket",
          w.lease(k5=w.sealed(ticket=bytes(16))))
    lease("sealed-in-another-domain", "hpke failure", "info begins as that of a psk",
          w.lease(k5=w.sealed(label=b"earmark/1 lease psk\0")))
    lease("sealed-short", "hpke failure", "a byte of the sealed secret is missing",
          w.lease(k5=good[5][:-1]))
    lease("sealed-long", "hpke failure", "a byte behind the sealed secret",
          w.lease(k5=good[5] + b"\0"))
    lease("sealed-changed", "hpke failure", "last bit of the sealed secret",
          w.lease(k5=good[5][:-1] + bytes([good[5][-1] ^ 1])))
    lease("sealed-no-point", "hpke failure", "enc is no point of P-256",
          w.lease(k5=b"\4" + bytes(64) + good[5][65:]))
    lease("other-epoch", "binding mismatch", "the secret of another epoch: not the lease key's",
          w.lease(k5=w.sealed(secret=lease_secret(w.ticket_id, 2))))
    for name, why, value in (
            ("granted-and-refused", "both a secret and a refusal", w.lease(k4=NOW, k6=1)),
            ("neither", "neither a secret nor a refusal", w.lease(k5=None)),
            ("refused-with-empty-secret", "a refusal with a secret of 0 bytes",
             w.lease(k4=NOW, k5=b"", k6=1)),
            ("empty-secret", "a secret of 0 bytes", w.lease(k5=b"")),
            ("granted-with-refusal-0", "a secret and refusal 0", w.lease(k6=0)),
            ("refusal-0", "refusal 0", w.refusal(0)), ("refusal-4", "refusal 4", w.refusal(4)),
            ("until-now", "granted until the time it was issued", w.lease(k4=NOW)),
            ("until-before", "granted until before it was issued", w.lease(k4=NOW - 1)),
            ("refused-until-later", "a refusal until later", w.lease(k5=None, k6=1)),
            ("unknown-key", "key 7", w.lease(k7=1)),
            ("ticket-id-15", "ticket id of 15 bytes", w.lease(k1=w.ticket_id[:15])),
            ("device-id-31", "device id of 31 bytes", w.lease(k2=w.id[:31])),
            ("time-text", "the time is text", w.lease(k3="now"))):
        lease(name, "bad cbor", why, value)
    for key in (1, 2, 3, 4):
        lease(f"no-{key}", "bad cbor", f"key {key} is missing", without(good, key))
    lease("trailing", "bad cbor", "a byte behind the message", raw=signed + b"\0")
    lease("cut", "bad cbor", "the last byte is missing", raw=signed[:-1])


# --- requests for leases ----------------------------------------------------------------------


def request_of(w, **changed):
    value = {1: w.drbg.take(16), 2: w.ticket_id, 3: sha256(w.ticket), 4: w.id, 5: NOW, 6: NOW - 9,
             7: 1}
    value.update({int(k[1:]): v for k, v in changed.items()})
    return value


def request_head(w, value=None, **more):
    read = {} if value is None else {
        "read-nonce": value[1].hex(), "read-created": value[5], "read-floor": value[6],
        "read-level": value[7], "read-summary": value.get(8, b"").hex()}
    return {"device-sign-public": w.device.public.hex(), "ticket": w.ticket.hex(), "now": NOW + 5,
            **read, **more}


def add_lease_requests(add):
    w = World("lease request", {7: 1})
    for name, value in (("", request_of(w)), ("-summary", request_of(w, k8=good_summary(w)[1])),
                        ("-summary-1024", request_of(w, k8=bytes(1024))),
                        ("-level-3", request_of(w, k7=3))):
        add("ok-lease-request" + name, "lease request", "ok", "a request for a lease",
            request_head(w, value), sign_message(w.device, LEASE_REQUEST, value))
    good = request_of(w)

    def request(name, expect, why, value=None, signer=None, kind=LEASE_REQUEST, of=w, **changed):
        raw = sign_message(signer or of.device, kind, value or good, of.device.kid)
        add("lease-request-" + name, "lease request", expect, why, request_head(of, **changed), raw)

    request("other-key", "bad signature", "signed by another device", signer=w.other)
    request("by-the-issuer", "bad signature", "signed by the issuer", signer=w.issuer)
    for kind, what in ((6, "request"), (9, "lease")):
        request(f"of-type-{kind}", "bad signature", f"its map, signed as a {what}", kind=kind)
    request("other-device", "binding mismatch", "names another device", request_of(w, k4=bytes(32)))
    request("other-ticket", "binding mismatch", "names another ticket", request_of(w, k2=bytes(16)))
    request("other-hash", "binding mismatch", "names another ticket's hash",
            request_of(w, k3=sha256(b"")))
    request("policy-over", "policy refused", "the policy is over this second", now=NOW + 90 * 86400)
    request("level-too-low", "policy refused", "level 0 where the policy asks for 1",
            request_of(w, k7=0))
    bare = World("no lease", leased=False)
    request("no-lease", "policy refused", "the ticket's policy has no lease", request_of(bare),
            of=bare)
    for name, why, value in (
            ("nonce-15", "a nonce of 15 bytes", request_of(w, k1=bytes(15))),
            ("level-4", "level 4", request_of(w, k7=4)),
            ("summary-empty", "a summary of 0 bytes", request_of(w, k8=b"")),
            ("summary-1025", "a summary of 1025 bytes", request_of(w, k8=bytes(1025))),
            ("created-text", "the time is text", request_of(w, k5="now")),
            ("floor-negative", "a floor below 0", request_of(w, k6=-1)),
            ("unknown-key", "key 9", request_of(w, k9=1)),
            *((f"no-{k}", f"key {k} is missing", without(good, k)) for k in range(1, 8))):
        request(name, "bad cbor", why, value)


# --- guard summaries ----------------------------------------------------------------------------


def good_summary(w, findings=((3, 1, 2), (14, 3, 1)), **changed):
    value = {1: 1, 2: 2, 3: 1, 4: 17, 5: w.drbg.take(32), 6: w.drbg.take(32),
             7: [list(f) for f in findings]}
    value.update({int(k[1:]): v for k, v in changed.items()})
    return value, cbor_encode(value)


def add_summaries(add):
    w = World("summary")
    for name, findings, changed in (
            ("", ((3, 1, 2), (14, 3, 1)), {}), ("-clean", (), {"k3": 0}),
            ("-32", [(i * 8, 2, 65535) for i in range(32)], {"k2": 3, "k3": 4}),
            ("-newest", ((255, 3, 1),), {"k4": (1 << 32) - 1, "k6": bytes(32)})):
        value, raw = good_summary(w, findings, **changed)
        add("ok-summary" + name, "guard summary", "ok", "a summary", {
            "read-level": value[2], "read-action": value[3], "read-looks": value[4],
            "read-transcript": value[5].hex(), "read-measurement": value[6].hex(),
            "read-findings": " ".join("%d/%d/%d" % tuple(f) for f in value[7])}, raw)

    def summary(name, why, value, expect="bad cbor"):
        add("summary-" + name, "guard summary", expect, why, {}, value)

    def findings(*list_of):
        return good_summary(w, list_of)[1]

    summary("version-2", "version 2", good_summary(w, k1=2)[1], "unsupported")
    for name, why, changed in (
            ("level-4", "level 4", {"k2": 4}), ("action-5", "action 5", {"k3": 5}),
            ("looks-2-32", "2^32 looks", {"k4": 1 << 32}),
            ("transcript-31", "transcript of 31 bytes", {"k5": bytes(31)}),
            ("measurement-33", "measurement of 33 bytes", {"k6": bytes(33)}),
            ("unknown-key", "key 8", {"k8": 0}), ("findings-map", "findings are a map", {"k7": {}}),
            ("level-negative", "level below 0", {"k2": -1})):
        summary(name, why, good_summary(w, **changed)[1])
    for name, why, raw in (
            ("confidence-0", "confidence 0", findings((3, 0, 1))),
            ("confidence-4", "confidence 4", findings((3, 4, 1))),
            ("seen-0", "seen in no look", findings((3, 1, 0))),
            ("seen-65536", "seen 65536 times", findings((3, 1, 65536))),
            ("signal-256", "signal 256", findings((256, 1, 1))),
            ("findings-order", "findings not in order", findings((4, 1, 1), (3, 1, 1))),
            ("findings-twice", "one signal twice", findings((3, 1, 1), (3, 2, 1))),
            ("findings-33", "33 findings", findings(*((i, 1, 1) for i in range(33)))),
            ("finding-of-two", "a finding of two numbers", findings((3, 1))),
            ("finding-of-four", "a finding of four numbers", findings((3, 1, 1, 1)))):
        summary(name, why, raw)
    good = good_summary(w)[0]
    for key in range(1, 8):
        summary(f"no-{key}", f"key {key} is missing", cbor_encode(without(good, key)))
    summary("trailing", "a byte behind it", cbor_encode(good) + b"\0")
    summary("not-shortest", "a number not in its shortest form",
            cbor_encode(good).replace(b"\x04\x11", b"\x04\x18\x11", 1))
    summary("empty", "0 bytes", b"")


# --- receipts and events ------------------------------------------------------------------------


def add_receipts(add):
    w = World("receipt")
    good = {1: w.ticket_id, 2: w.drbg.take(16), 3: 0, 4: NOW, 5: 1}
    head = {"device-sign-public": w.device.public.hex()}

    def receipt(name, expect, why, value, signer=None, kind=RECEIPT, more=None):
        raw = sign_message(signer or w.device, kind, value, w.device.kid)
        add(name, "receipt", expect, why, {**head, **(more or {})}, raw)

    for name, value in (("accepted", good), ("refused", {**good, 2: bytes(16), 3: 6}),
                        ("newer-status", {**good, 3: 255, 5: 3}),
                        ("summary", {**good, 6: good_summary(w)[1]})):
        receipt("ok-receipt-" + name, "ok", "a receipt", value, more={
            "read-ticket-id": value[1].hex(), "read-file-id": value[2].hex(),
            "read-outcome": value[3], "read-time": value[4], "read-level": value[5],
            "read-summary": value.get(6, b"").hex()})
    receipt("receipt-other-key", "bad signature", "signed by another device", good, w.other)
    for kind in (3, 10, 11):
        receipt(f"receipt-of-type-{kind}", "bad signature", "signed as another message", good,
                kind=kind)
    for name, change in (("outcome-256", {3: 256}), ("level-4", {5: 4}), ("summary-empty", {6: b""}),
                         ("summary-1025", {6: bytes(1025)}), ("file-id-15", {2: bytes(15)}),
                         ("ticket-id-17", {1: bytes(17)}), ("unknown-key", {7: 0})):
        receipt("receipt-" + name, "bad cbor", name.replace("-", " "), {**good, **change})
    for key in range(1, 6):
        receipt(f"receipt-no-{key}", "bad cbor", f"key {key} is missing", without(good, key))


def add_events(add):
    w = World("events")
    head = {"device-sign-public": w.device.public.hex(), "device-agree-public": w.agree.public.hex()}
    one = {1: 1, 2: NOW}
    all_kinds = [one, {1: 2, 2: NOW, 3: w.ticket_id, 4: 6}, {1: 3, 2: NOW, 3: w.ticket_id, 4: 40},
                 {1: 4, 2: NOW, 3: w.ticket_id}, {1: 5, 2: NOW},
                 {1: 6, 2: NOW, 5: good_summary(w)[1]}, {1: 7, 2: NOW, 4: (1 << 32) - 1},
                 {1: 255, 2: (1 << 64) - 1, 5: bytes(512)}]

    def batch(events, **changed):
        value = {1: w.id, 2: 7, 3: 7 + len(events) - 1, 4: sha256(b"before"), 5: NOW, 6: events}
        value.update({int(k[1:]): v for k, v in changed.items()})
        return value

    def events(name, expect, why, value, signer=None, kind=EVENTS):
        raw = sign_message(signer or w.device, kind, value, w.device.kid)
        read = {} if expect != "ok" else {
            "read-first": value[2], "read-previous": value[4].hex(), "read-time": value[5],
            "read-events": " ".join(map(event_text, value[6])), "read-hash": sha256(raw).hex()}
        add(name, "events", expect, why, {**head, **read}, raw)

    events("ok-events-one", "ok", "the first batch, one event", batch([one], k2=1, k3=1, k4=bytes(32)))
    events("ok-events-all", "ok", "every type, every field", batch(all_kinds))
    events("ok-events-64", "ok", "64 events", batch([one] * 64))
    events("ok-events-last-number", "ok", "number 2^48 - 1",
           batch([one], k2=(1 << 48) - 1, k3=(1 << 48) - 1))
    events("events-other-key", "bad signature", "signed by another device", batch([one]), w.other)
    events("events-of-type-8", "bad signature", "signed as a receipt", batch([one]), kind=RECEIPT)
    events("events-of-type-11", "bad signature", "signed as a lease request", batch([one]),
           kind=LEASE_REQUEST)
    events("events-other-device", "binding mismatch", "names another device",
           batch([one], k1=bytes(32)))
    for name, value in (
            ("none", batch([], k3=6)), ("65", batch([one] * 65)), ("last-less", batch([one], k3=6)),
            ("last-more", batch([one], k3=8)), ("first-0", batch([one], k2=0, k3=0)),
            ("first-2-48", batch([one], k2=1 << 48, k3=1 << 48)),
            ("previous-31", batch([one], k4=bytes(31))), ("unknown-key", batch([one], k7=0)),
            *((f"no-{k}", without(batch([one]), k)) for k in range(1, 7))):
        events("events-" + name, "bad cbor", name.replace("-", " "), value)
    for name, event in (
            ("type-0", {**one, 1: 0}), ("type-256", {**one, 1: 256}), ("code-0", {**one, 4: 0}),
            ("code-2-32", {**one, 4: 1 << 32}), ("detail-empty", {**one, 5: b""}),
            ("detail-513", {**one, 5: bytes(513)}), ("ticket-15", {**one, 3: bytes(15)}),
            ("unknown-key", {**one, 6: 0}), ("no-type", {2: NOW}), ("no-time", {1: 1}),
            ("empty", {})):
        events("event-" + name, "bad cbor", name.replace("-", " "), batch([one, event]))


# --- requests over HTTP -------------------------------------------------------------------------


class Signing:
    """A request on its way out; what a defect changes is given by keyword."""

    def __init__(self, w, **o):
        self.w, self.o = w, {
            "method": "POST", "host": "models.example.com", "path": "/v1/leases", "query": "",
            "body": b'{"request":"AAAA"}', "authorization": None, "counter": "41",
            "nonce": nonce_text(NONCE_KEY, NOW // 300, w.id), "created": NOW, "expires": NOW + 60,
            "keyid": base64url(w.id), "alg": "ecdsa-p256-sha256", "tag": "earmark-req-1",
            "names": None, "key": w.device, "label": "sig1", "params": lambda p: p,
            "digest": lambda d: d, "signature": lambda s: s, "sent": lambda f: f, **o}

    def fields(self):
        o = self.o
        digest = base64.b64encode(sha256(o["body"])).decode()
        fields = [("@method", o["method"]), ("@authority", o["host"].lower().removesuffix(":443")),
                  ("@path", o["path"]), ("@query", "?" + o["query"]),
                  ("content-digest", o["digest"](f"sha-256=:{digest}:"))]
        if o["authorization"]:
            fields.append(("authorization", o["authorization"]))
        fields.append(("earmark-counter", o["counter"]))
        return fields + ([("earmark-nonce", o["nonce"])] if o["nonce"] else [])

    def make(self):
        """The request as sent, and the signature base."""
        o, fields = self.o, self.fields()
        names = o["names"](list(dict(fields))) if o["names"] else list(dict(fields))
        params = o["params"]("(" + " ".join(f'"{n}"' for n in names) + ")" +
                             f';created={o["created"]};expires={o["expires"]};keyid="{o["keyid"]}"'
                             f';alg="{o["alg"]}";tag="{o["tag"]}"')
        known = {**dict(fields), "host": o["host"], "content-type": "application/json"}
        base = "\n".join([f'"{n}": {known[n]}' for n in names] +
                         [f'"@signature-params": {params}']).encode()
        signature = base64.b64encode(o["key"].sign(base)).decode()
        sent = [("Host", o["host"]), ("Content-Type", "application/json")]
        sent += [(n.title(), v) for n, v in fields if n[0] != "@"]
        sent += [("Signature-Input", f"sig1={params}"),
                 ("Signature", f'{o["label"]}=:{o["signature"](signature)}:'),
                 ("Content-Length", str(len(o["body"])))]
        target = o["path"] + ("?" + o["query"] if o["query"] else "")
        lines = [f'{o["method"]} {target} HTTP/1.1'] + [f"{n}: {v}" for n, v in o["sent"](sent)]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + o["body"], base


def change(name, to):
    """What is sent in a field is another thing than what was signed."""
    return {"sent": lambda f: [(n, to(v) if n == name else v) for n, v in f]}


def twice(name):
    return {"sent": lambda f: [p for n, v in f for p in [(n, v)] * (1 + (n == name))]}


def drop(name):
    return {"sent": lambda f: [(n, v) for n, v in f if n != name]}


def add_http(add):
    w = World("http")
    head = {"device-sign-public": w.device.public.hex(), "device-agree-public": w.agree.public.hex(),
            "nonce-key": NONCE_KEY.hex(), "now": NOW + 5}

    def http(name, expect, why, after=None, now=None, client=None, **options):
        signing = Signing(w, **options)
        raw, base = signing.make()
        read = {"read-counter": options.get("counter", "41"), "read-base": base.hex()}
        add(name, "http", expect, why, {**head, **({"now": now} if now else {}),
                                        **({"client": client} if client else {}),
                                        **(read if expect == "ok" else {})},
            after(raw) if after else raw)

    for name, options in (
            ("", {}), ("-get", {"method": "GET", "body": b"", "path": "/v1/devices/me"}),
            ("-query", {"query": "a=1&b=%20"}), ("-authorization", {"authorization": "Bearer a.b.c"}),
            ("-all", {"query": "x", "authorization": "Bearer a.b.c"}),
            ("-host-case", {"host": "Models.Example.COM"}),
            ("-port-443", {"host": "models.example.com:443"}),
            ("-port", {"host": "models.example.com:8443"}),
            ("-counter-largest", {"counter": "999999999999999"}),
            ("-nonce-before", {"nonce": nonce_text(NONCE_KEY, NOW // 300 - 1, w.id)}),
            ("-nonce-ahead", {"nonce": nonce_text(NONCE_KEY, NOW // 300 + 1, w.id)}),
            ("-clock-wrong", {"created": 86400, "expires": 86401, "client": "other"})):
        http("ok-http" + name, "ok", "a request as a device signs it", **options)
    http("ok-http-parameters-order", "ok", "parameters in another order", client="other",
         params=lambda p: p.replace(';tag="earmark-req-1"', "").replace(
             ";created", ';tag="earmark-req-1";created'))
    for name, why, options in (
            ("other-key", "signed by another device", {"key": w.other}),
            ("method", "another method", {"after": lambda r: r.replace(b"POST", b"PUT", 1)}),
            ("path", "another path", {"after": lambda r: r.replace(b"/v1/leases", b"/v1/events")}),
            ("query", "a query was added",
             {"after": lambda r: r.replace(b"/v1/leases ", b"/v1/leases?x=1 ")}),
            ("authority", "another host", change("Host", lambda v: "models.example.net")),
            ("counter", "another counter", change("Earmark-Counter", lambda v: "42")),
            ("authorization", "another user's token", {
                "authorization": "Bearer a.b.c",
                **change("Authorization", lambda v: "Bearer a.b.d")}),
            ("digest", "another digest", change("Content-Digest", lambda v: v.replace(
                v[9:53], base64.b64encode(sha256(b"")).decode()))),
            ("parameters", "created is another than what was signed",
             change("Signature-Input", lambda v: v.replace(str(NOW), str(NOW + 1)))),
            ("signature-zero", "a signature of zeros",
             {"signature": lambda s: base64.b64encode(bytes(64)).decode()}),
            ("alg-of-another-key", "alg names Ed25519, the key is P-256", {"alg": "ed25519"})):
        http("http-" + name, "bad signature", why, **options)
    http("http-body", "digest mismatch", "another body", after=lambda r: r[:-1] + b" ")
    http("http-other-device", "binding mismatch", "keyid is another device",
         keyid=base64url(sha256(b"other")))
    add_http_nonces(http, w)
    add_http_forms(http)


def add_http_nonces(http, w):
    epoch = NOW // 300
    for name, why, nonce in (
            ("over", "a nonce of two spans ago", nonce_text(NONCE_KEY, epoch - 2, w.id)),
            ("ahead", "a nonce of two spans ahead", nonce_text(NONCE_KEY, epoch + 2, w.id)),
            ("other-device", "a nonce for another device", nonce_text(NONCE_KEY, epoch, bytes(32))),
            ("other-key", "a nonce of another server", nonce_text(bytes(32), epoch, w.id)),
            ("short", "a nonce of 26 characters", nonce_text(NONCE_KEY, epoch, w.id)[:26]),
            ("none", "no nonce", None)):
        http("http-nonce-" + name, "stale", why, nonce=nonce)
    http("http-nonce-later", "stale", "the request was kept for ten minutes", now=NOW + 900)


def add_http_forms(http):
    def reorder(names):
        return names[:2][::-1] + names[2:]

    for name, why, options in (
            ("unsigned", "no signature", drop("Signature")),
            ("no-input", "no Signature-Input", drop("Signature-Input")),
            ("two-signatures", "Signature twice", twice("Signature")),
            ("two-inputs", "Signature-Input twice", twice("Signature-Input")),
            ("label", "labels differ", {"label": "sig2"}),
            ("order", "components in another order", {"names": reorder}),
            ("no-digest-covered", "content-digest is not covered",
             {"names": lambda n: [x for x in n if x != "content-digest"]}),
            ("no-counter-covered", "the counter is not covered",
             {"names": lambda n: [x for x in n if x != "earmark-counter"]}),
            ("no-authorization-covered", "authorization is there and not covered",
             {"authorization": "Bearer a", "names": lambda n: [x for x in n if x != "authorization"]}),
            ("more-covered", "content-type is covered, too",
             {"names": lambda n: n + ["content-type"]}),
            ("twice-covered", "@path twice", {"names": lambda n: n[:3] + n[2:]}),
            ("other-domain", "another tag", {"tag": "earmark-req-2"}),
            ("no-tag", "no tag", {"params": lambda p: p.replace(';tag="earmark-req-1"', "")}),
            ("more-parameters", "a parameter more", {"params": lambda p: p + ';nonce="x"'}),
            ("parameter-twice", "created twice",
             {"params": lambda p: p.replace(";expires", f";created={NOW};expires")}),
            ("alg-unknown", "alg hmac-sha256", {"alg": "hmac-sha256"}),
            ("life-61", "61 seconds of life", {"expires": NOW + 61}),
            ("life-0", "no life", {"expires": NOW}),
            ("created-zeros", "created with a leading zero", {"created": f"0{NOW}"}),
            ("keyid-short", "keyid of 42 characters", {"keyid": "A" * 42}),
            ("keyid-padded", "keyid with padding", {"keyid": "A" * 43 + "="}),
            ("two-spaces", "two spaces between components",
             {"params": lambda p: p.replace('" "', '"  "', 1)}),
            ("signature-63", "a signature of 63 bytes",
             {"signature": lambda s: base64.b64encode(base64.b64decode(s)[:63]).decode()}),
            ("signature-not-canonical", "unused bits of base64 are set",
             {"signature": lambda s: s[:-3] + chr(ord(s[-3]) + 1) + "=="}),
            ("signature-unpadded", "base64 without padding", {"signature": lambda s: s.rstrip("=")}),
            ("counter-0", "counter 0", {"counter": "0"}),
            ("counter-zeros", "a counter with a leading zero", {"counter": "041"}),
            ("counter-16", "a counter of 16 digits", {"counter": "1000000000000000"}),
            ("counter-twice", "the counter twice", twice("Earmark-Counter")),
            ("no-counter", "no counter", drop("Earmark-Counter")),
            ("no-digest", "no digest", drop("Content-Digest")),
            ("digest-twice", "two digests", twice("Content-Digest")),
            ("digest-sha-512", "sha-512",
             {"digest": lambda d: d.replace("sha-256", "sha-512")}),
            ("digest-two-algorithms", "two algorithms", {"digest": lambda d: d + ", " + d}),
            ("nonce-twice", "the nonce twice", twice("Earmark-Nonce"))):
        http("http-" + name, "bad request", why, **options)


ALL = (add_good_leases, add_refused_leases, add_lease_requests, add_summaries, add_receipts,
       add_events, add_http)


class Messages:
    """All vectors of messages, in the order they were added: name -> (head, body)."""

    def __init__(self):
        self.vectors = {}
        for add in ALL:
            add(self.add)

    def add(self, name, form, expect, why, head, body):
        assert name not in self.vectors, name
        head = {k.replace("_", "-"): v for k, v in head.items()}
        self.vectors[name] = ({"expect": expect, "why": why, "form": form, **head,
                               "size": len(body)}, body)
