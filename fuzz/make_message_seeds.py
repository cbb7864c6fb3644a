#!/usr/bin/env python3
"""Writes the seeds of message_fuzz into corpus/message/: one byte for the message, then its
payload.  usage: make_message_seeds.py"""
import hashlib
import os

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "message")
ENROLMENT, CERTIFICATE, REQUEST, TICKET, RECEIPT, LEASE, LEASE_REQUEST, EVENTS = range(8)

# Any point of P-256 will do for a public key: this is the generator.
POINT = bytes.fromhex(
    "04"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")


def head(major, n):
    for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * size:
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise ValueError(n)


def cbor(x):
    if isinstance(x, int):
        return head(0, x) if x >= 0 else head(1, -1 - x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(map(cbor, x))
    return head(5, len(x)) + b"".join(cbor(k) + cbor(v) for k, v in
                                   sorted(x.items(), key=lambda item: cbor(item[0])))


def save(name, message, payload):
    with open(os.path.join(FOLDER, name), "wb") as f:
        f.write(bytes([message]) + payload)


P256 = [0x10, POINT]
DEVICE = hashlib.sha256(b"earmark/1 device\0" + POINT + POINT).digest()
ENROL = {1: POINT, 2: P256, 3: "a device", 4: 1800000000}
CERT = {1: DEVICE, 2: POINT, 3: P256, 4: 0, 5: 2, 6: 1800000000, 7: 1800086400}
ASK = {1: bytes(16), 2: "cat-ears", 3: "u-17", 4: "1.2", 5: "video-9", 6: "com.example.cam",
       7: [0x20, bytes(range(32))], 8: b"certificate", 9: 1800000000}
POLICY = {1: 1800000000, 2: 1800086400, 3: 5, 7: 1, 8: 1, 9: 3}
IDENTITY = {1: "cat-ears", 2: "1.2", 3: "video-9", 4: "com.example.cam", 5: "u-17", 6: DEVICE}
GRANT = {1: bytes(16), 2: DEVICE, 3: P256, 4: [0x20, bytes(range(32))], 5: cbor(POLICY),
         6: cbor(IDENTITY), 7: bytes(32), 8: 1800000000, 9: 1800000600}
TOLD = {1: bytes(16), 2: bytes(16), 3: 8, 4: 1800000000, 5: 1}
LEASED = {1: bytes(16), 2: DEVICE, 3: 1800000000, 4: 1800003600, 5: bytes(113)}
RENEW = {1: bytes(16), 2: bytes(16), 3: bytes(32), 4: DEVICE, 5: 1800000005, 6: 1800000000, 7: 1}

os.makedirs(FOLDER, exist_ok=True)
save("enrolment", ENROLMENT, cbor(ENROL))
save("enrolment-hybrid-key", ENROLMENT, cbor({**ENROL, 2: [0x50, bytes(1249)]}))
save("certificate", CERTIFICATE, cbor(CERT))
save("certificate-of-other-keys", CERTIFICATE, cbor({**CERT, 1: bytes(32)}))
save("request", REQUEST, cbor(ASK))
save("request-x-wing", REQUEST, cbor({**ASK, 7: [0x647a, bytes(1216)]}))
save("request-without-optional-texts", REQUEST,
     cbor({k: v for k, v in ASK.items() if k not in (4, 5, 6)}))
save("ticket", TICKET, cbor(GRANT))
save("ticket-with-a-lease", TICKET,
     cbor({**GRANT, 5: cbor({2: 1800086400, 4: 60, 5: 30, 6: 5}), 10: POINT, 11: 3}))
save("ticket-with-a-lease-and-no-key", TICKET,
     cbor({**GRANT, 5: cbor({2: 1800086400, 4: 60})}))
save("ticket-of-the-smallest-policy", TICKET,
     cbor({**GRANT, 5: cbor({2: 1}), 6: cbor({1: "m", 5: "u", 6: DEVICE})}))
save("ticket-for-another-device", TICKET, cbor({**GRANT, 2: bytes(32)}))
save("receipt", RECEIPT, cbor(TOLD))
save("receipt-unknown-key", RECEIPT, cbor({**TOLD, 6: 0}))
save("lease", LEASE, cbor(LEASED))
save("lease-refused", LEASE, cbor({**{k: v for k, v in LEASED.items() if k != 5}, 4: 1800000000,
                                   6: 1}))
save("lease-granted-and-refused", LEASE, cbor({**LEASED, 6: 1}))
save("lease-request", LEASE_REQUEST, cbor(RENEW))
save("lease-request-with-a-summary", LEASE_REQUEST, cbor({**RENEW, 8: b"all is well"}))
HAPPENED = {1: 1, 2: 1800000000, 3: bytes(16), 4: 8, 5: b"seen"}
BATCH = {1: DEVICE, 2: 7, 3: 8, 4: bytes(32), 5: 1800000000, 6: [HAPPENED, {1: 5, 2: 1800000001}]}
save("events", EVENTS, cbor(BATCH))
save("events-one", EVENTS, cbor({**BATCH, 3: 7, 6: [HAPPENED]}))
save("events-of-other-numbers", EVENTS, cbor({**BATCH, 3: 9}))
save("events-none", EVENTS, cbor({**BATCH, 3: 6, 6: []}))
save("events-unknown-key", EVENTS, cbor({**BATCH, 3: 7, 6: [{**HAPPENED, 6: 1}]}))
save("whole-object", 0x80 | RECEIPT, bytes.fromhex("d284") + cbor(cbor(
    {1: -19, 4: bytes(8), -65537: 8})) + cbor({}) + cbor(cbor(TOLD)) + cbor(bytes(64)))
