"""The second reader of what devices and issuers send each other: leases, requests for them, guard
summaries, receipts, event batches, and requests that a device signs over HTTP.

Written from docs/spec/messages.md and authentication.md alone; like earmark_reference.py it is
there to be disagreed with by the C code, and is no product.  Each reader of a vector takes its
head and its body and gives what it read, as text by key of the head.
"""

import base64
import hmac
import os
import re
import sys

from earmark_reference import (EDDSA, ESP256, LOCAL, MESSAGES, P256, RECEIPT,
                               TICKET,
                               AgreeKey, InvalidSignature, Refused, Signed, blob, cbor_decode,
                               closed, derive_p256, device_id, ec, ed25519, hashes, hpke_open,
                               lease_psk, mac, must, need, p256_public, read_message, read_policy,
                               read_vector, sha256, uint, utils)

LEASE, EVENTS, LEASE_REQUEST = 9, 10, 11
MAX_SUMMARY, MAX_SUMMARY_IN_MESSAGE, MAX_EVENTS, MAX_NUMBER = 512, 1024, 64, (1 << 48) - 1
EPOCH_S, MAX_COUNTER = 300, 999_999_999_999_999
TAG = "earmark-req-1"
HTTP_ALGS = {"ed25519": EDDSA, "ecdsa-p256-sha256": ESP256}

SUMMARY_IN_MESSAGE = blob(1, MAX_SUMMARY_IN_MESSAGE)
EVENT = {1: (uint(1, 255), True), 2: (uint(), True), 3: (blob(16), False),
         4: (uint(1, (1 << 32) - 1), False), 5: (blob(1, 512), False)}
MESSAGES.update({
    LEASE: must(blob(16), blob(32), uint(), uint())
    | {5: (blob(1, 16384), False), 6: (uint(1, 3), False)},
    EVENTS: must(blob(32), uint(1, MAX_NUMBER), uint(), blob(32), uint(),
                 lambda v: type(v) is list and 1 <= len(v) <= MAX_EVENTS),
    LEASE_REQUEST: must(blob(16), blob(16), blob(32), blob(32), uint(), uint(), uint(0, 3))
    | {8: (SUMMARY_IN_MESSAGE, False)},
})


# --- leases [messages 9, 10] ----------------------------------------------------------------


def read_lease(raw, issuer):
    lease = read_message(raw, LEASE, issuer)
    need((5 in lease) != (6 in lease), "bad cbor", "lease: granted and refused, or neither")
    need(lease[4] > lease[3] if 5 in lease else lease[4] == lease[3], "bad cbor", "lease: until")
    return lease


def open_lease(lease, agree):
    """The lease secret."""
    enc_len = {P256: 65}[agree.kem]
    need(len(lease[5]) == enc_len + 48, "hpke failure", "lease: length of the sealed secret")
    info = b"earmark/1 lease\0" + lease[1] + lease[2]
    return hpke_open(LOCAL[53], agree, lease[5][:enc_len], info, b"", lease[5][enc_len:])


def take_lease(f, body):
    """What a device does with the answer to its request: [messages 9] and [container 7.6]."""
    agree = AgreeKey(P256, unhex(f, "device-agree-private"))
    mine = device_id(unhex(f, "device-sign-public"), agree.public)
    lease = read_lease(body, unhex(f, "issuer"))
    need(lease[2] == mine and lease[1] == unhex(f, "ticket-id"), "binding mismatch",
         "lease: for another device or model")
    need(lease[3] > int(f.get("newest", "0")), "stale", "lease: not newer than the last")
    read = {"until": str(lease[4])}
    if 6 in lease:
        return {**read, "refusal": str(lease[6])}
    need(max(int(f["now"]), lease[3]) < lease[4] + int(f.get("grace", "0")), "policy refused",
         "lease: over")
    secret = open_lease(lease, agree)
    key = AgreeKey(P256, derive_p256(secret))
    need(key.public == unhex(f, "lease-key"), "binding mismatch", "lease: another ticket's secret")
    read["secret"] = secret.hex()
    if "psk-id" in f:
        read["psk"] = lease_psk(secret, lease[1], unhex(f, "psk-id")).hex()
    return read


def read_lease_request(raw, device):
    return read_message(raw, LEASE_REQUEST, device)


def take_lease_request(f, body):
    """What an issuer does that has the ticket: [messages 10]."""
    request = read_lease_request(body, unhex(f, "device-sign-public"))
    ticket_raw = unhex(f, "ticket")
    ticket = closed(cbor_decode(Signed(ticket_raw).payload), MESSAGES[TICKET], "ticket")
    policy = read_policy(ticket[5])
    need((request[2], request[3], request[4]) == (ticket[1], sha256(ticket_raw), ticket[2]),
         "binding mismatch", "lease request: for another ticket or device")
    need(4 in policy and int(f["now"]) < policy[2], "policy refused", "lease request: no lease")
    need(request[7] >= policy.get(7, 0), "policy refused", "lease request: guard level")
    return {"nonce": request[1].hex(), "created": str(request[5]), "floor": str(request[6]),
            "level": str(request[7]), "summary": request.get(8, b"").hex()}


# --- guard summaries [messages 11] ------------------------------------------------------------


def finding(v):
    return (type(v) is list and len(v) == 3
            and all(c(x) for c, x in zip((uint(0, 255), uint(1, 3), uint(1, 65535)), v)))


SUMMARY = must(uint(), uint(0, 3), uint(0, 4), uint(0, (1 << 32) - 1), blob(32), blob(32),
               lambda v: type(v) is list and len(v) <= 32 and all(map(finding, v)))


def take_summary(_, body):
    need(len(body) <= MAX_SUMMARY, "bad cbor", "summary: too long")
    value = cbor_decode(body)
    need(type(value) is dict and value.get(1) in (1, None) or type(value.get(1)) is not int,
         "unsupported", "summary: version")
    closed(value, SUMMARY, "summary")
    signals = [f[0] for f in value[7]]
    need(signals == sorted(set(signals)), "bad cbor", "summary: order of findings")
    return {"level": str(value[2]), "action": str(value[3]), "looks": str(value[4]),
            "transcript": value[5].hex(), "measurement": value[6].hex(),
            "findings": " ".join("%d/%d/%d" % tuple(f) for f in value[7])}


# --- receipts and events [messages 8, 12] -----------------------------------------------------


def take_receipt(f, body):
    receipt = read_message(body, RECEIPT, unhex(f, "device-sign-public"))
    return {"ticket-id": receipt[1].hex(), "file-id": receipt[2].hex(),
            "outcome": str(receipt[3]), "time": str(receipt[4]), "level": str(receipt[5]),
            "summary": receipt.get(6, b"").hex()}


def event_text(e):
    return ":".join((str(e[1]), str(e[2]), e.get(3, b"").hex(), str(e.get(4, "")),
                     e.get(5, b"").hex()))


def take_events(f, body):
    batch = read_message(body, EVENTS, unhex(f, "device-sign-public"))
    need(batch[3] == batch[2] + len(batch[6]) - 1, "bad cbor", "events: numbers")
    for event in batch[6]:
        closed(event, EVENT, "event")
    agree = unhex(f, "device-agree-public")
    need(batch[1] == device_id(unhex(f, "device-sign-public"), agree), "binding mismatch",
         "events: another device's")
    return {"first": str(batch[2]), "previous": batch[4].hex(), "time": str(batch[5]),
            "events": " ".join(map(event_text, batch[6])), "hash": sha256(body).hex()}


# --- requests over HTTP [authentication 2, 3] [RFC 9421] ----------------------------------------


class Http:
    """A request as it travels: HTTP/1.1 [RFC 9112], whole."""

    def __init__(self, raw):
        head, found, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("ascii", "strict").split("\r\n")
        first = re.fullmatch(r"([A-Z]+) (/[^ ?#]*)(\?[^ #]*)? HTTP/1\.1", lines[0])
        need(found and first, "bad request", "request line")
        self.method, self.path, self.query = first[1], first[2], first[3] or "?"
        self.fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            need(colon and re.fullmatch(r"[A-Za-z0-9-]+", name), "bad request", "field")
            self.fields.append((name.lower(), value.strip(" \t")))

    def all(self, name):
        return [value for n, value in self.fields if n == name]

    def one(self, name):
        values = self.all(name)
        need(len(values) == 1, "bad request", f"{name}: missing or twice")
        return values[0]

    def component(self, name):
        """[RFC 9421 2.1, 2.2]; None for what is not there."""
        if name == "@method":
            return self.method
        if name == "@authority":
            return re.sub(r":443$", "", self.one("host").lower())
        if name == "@path":
            return self.path
        if name == "@query":
            return self.query
        return ", ".join(self.all(name)) if self.all(name) else None


def signature_base(http, names, params):
    """[RFC 9421 2.5]"""
    lines = []
    for name in names:
        value = http.component(name)
        need(value is not None, "bad request", f"{name} is covered and not there")
        need(re.fullmatch(r"[\t\x20-\x7e]*", value), "bad request", f"{name}: control character")
        lines.append(f'"{name}": {value}')
    return "\n".join(lines + [f'"@signature-params": {params}']).encode()


def verify_raw(public, message, signature):
    """Ed25519 (32 bytes) or ECDSA on P-256 (65)."""
    try:
        if len(public) == 32:
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        else:
            r, s = (int.from_bytes(signature[i:i + 32], "big") for i in (0, 32))
            p256_public(public).verify(utils.encode_dss_signature(r, s), message,
                                       ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise Refused("bad signature", "the signature") from None


def unbase64(text, length):
    """Canonical base64 with padding, of so many bytes; None for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


LABEL = r"([a-z*][a-z0-9_.*-]*)"
INPUT = re.compile(LABEL + r'=(\(("[a-z@-]+"(?: "[a-z@-]+")*)\)((?:;[a-z]+=(?:0|[1-9][0-9]{0,14}|'
                   r'"[^"\\]*"))*))')


def parse_signature(http):
    """Names, parameters as text and as a map, signature: one of each."""
    found = INPUT.fullmatch(http.one("signature-input"))
    need(found, "bad request", "signature-input")
    label, params, names, pairs = found[1], found[2], found[3], found[4]
    given = [pair.split("=", 1) for pair in pairs.split(";")[1:]]
    need(len(dict(given)) == len(given), "bad request", "a parameter twice")
    value = re.fullmatch(LABEL + r"=:([A-Za-z0-9+/=]*):", http.one("signature"))
    signature = unbase64(value[2], 64) if value and value[1] == label else None
    need(signature is not None, "bad request", "signature")
    return names.replace('"', "").split(" "), params, dict(given), signature


def check_params(given):
    need(set(given) == {"created", "expires", "keyid", "alg", "tag"}, "bad request", "parameters")
    need(given["created"].isdigit() and given["expires"].isdigit(), "bad request", "times")
    need(0 < int(given["expires"]) - int(given["created"]) <= 60, "bad request", "life")
    need(given["tag"] == f'"{TAG}"', "bad request", "tag")
    need(given["alg"].strip('"') in HTTP_ALGS and given["alg"][0] == '"', "bad request", "alg")
    need(re.fullmatch(r'"[A-Za-z0-9_-]{43}"', given["keyid"]), "bad request", "keyid")


def check_nonce(f, text, device):
    """[authentication 3]"""
    need(re.fullmatch(r"[A-Za-z0-9_-]{27}", text), "stale", "nonce: not one of ours")
    raw = base64.urlsafe_b64decode(text + "=")
    need(base64url(raw) == text, "stale", "nonce: not canonical")
    want = nonce_text(unhex(f, "nonce-key"), int.from_bytes(raw[:4], "big"), device)
    need(hmac.compare_digest(text, want), "stale", "nonce: not one of ours")
    need(abs(int.from_bytes(raw[:4], "big") - int(f["now"]) // EPOCH_S) <= 1, "stale", "nonce: over")


def nonce_text(key, epoch, device):
    at = epoch.to_bytes(4, "big")
    return base64url(at + mac(key, b"earmark request nonce 1\0" + at + device)[:16])


def take_http(f, body):
    """What a server does with a request of the one device it knows."""
    http = Http(body)
    names, params, given, signature = parse_signature(http)
    nonces = http.all("earmark-nonce")
    need(len(nonces) <= 1 and len(http.all("authorization")) <= 1 and "" not in nonces,
         "bad request", "a covered field twice")
    counter = http.one("earmark-counter")
    need(re.fullmatch(r"[1-9][0-9]{0,14}", counter), "bad request", "counter")
    digest = re.fullmatch(r"sha-256=:([A-Za-z0-9+/=]*):", http.one("content-digest"))
    digest = unbase64(digest[1], 32) if digest else None
    need(digest is not None, "bad request", "content-digest")
    want = ["@method", "@authority", "@path", "@query", "content-digest"]
    want += ["authorization"] * len(http.all("authorization"))
    want += ["earmark-counter"] + ["earmark-nonce"] * len(nonces)
    need(names == want, "bad request", "components")
    check_params(given)
    public = unhex(f, "device-sign-public")
    device = device_id(public, unhex(f, "device-agree-public"))
    need(given["keyid"] == f'"{base64url(device)}"', "binding mismatch", "keyid")
    need(nonces, "stale", "no nonce")
    check_nonce(f, nonces[0], device)
    need(HTTP_ALGS[given["alg"][1:-1]] == (EDDSA if len(public) == 32 else ESP256),
         "bad signature", "alg is not the key's")
    base = signature_base(http, names, params)
    verify_raw(public, base, signature)
    need(digest == sha256(http.body), "digest mismatch", "the body is another one")
    return {"counter": counter, "base": base.hex()}


# --- the kit (tests/vectors/README.md) --------------------------------------------------------

FORMS = {"lease": take_lease, "lease request": take_lease_request, "guard summary": take_summary,
         "receipt": take_receipt, "events": take_events, "http": take_http}


def unhex(f, key):
    return bytes.fromhex(f[key])


def run_message(f, body):
    """"" when the vector's outcome is reached, else what happened instead."""
    try:
        read, got = FORMS[f["form"]](f, body), "ok"
    except Refused as e:
        read, got = None, e.outcome
        if got != f["expect"]:
            return f"{e}, not {f['expect']} ({f['why']})"
    if got != f["expect"]:
        return f"{got}, not {f['expect']} ({f['why']})"
    for key, value in (read or {}).items():
        if f.get("read-" + key, "") != value:
            return f"{key} is {value}, not {f.get('read-' + key, 'nothing')}"
    return ""


def check_directory(path):
    names = sorted(n for n in os.listdir(path) if n.endswith(".emkm"))
    failed = 0
    for name in names:
        wrong = run_message(*read_vector(os.path.join(path, name)))
        if wrong:
            failed += 1
            print(f"{name}: {wrong}")
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "check":
        sys.exit("usage: earmark_messages.py check DIR")
    sys.exit(check_directory(sys.argv[2]))
