#!/usr/bin/python3
"""A second decoder of Earmark's container, written from docs/spec alone.

It exists to prove that container.md and messages.md are enough to open every file, and to be
disagreed with by the C code.  It reads whole files into memory, compares in constant time
only where that costs nothing, and keeps keys in ordinary objects: it is no product.

Section numbers in brackets are those of container.md, or of messages.md where that is said.
"""

import argparse
import hashlib
import hmac
import os
import re
import struct
import sys
import zlib

try:
    from cryptography.exceptions import InvalidSignature, InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils, x25519
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

MAGIC = bytes.fromhex("894541524d0d0a1a")
PREAMBLE, CHUNK, SEGMENT, PAGE = 16, 65536, 1 << 20, 4096
MAX_HEADER, MAX_DEPTH, MAX_RECIPIENTS, MAX_MODEL = 65536, 16, 64, 1 << 38
MAX_REGIONS, MAX_SEALED, MAX_TENSORS, MAX_TEXT = 65536, 8 << 20, 131072, 128
MAX_MESSAGE, U64 = 16384, (1 << 64) - 1
RECORD_A, RECORD_B, RECORD_END = 69632, 73728, 77824
FILE, WEIGHTS, ENROLMENT, CERTIFICATE, SEALING, REQUEST, TICKET, RECEIPT = range(1, 9)
X25519, P256, XWING, MLKEM_P256 = 0x0020, 0x0010, 0x647A, 0x0050
EDDSA, ESP256 = -19, -9

# [3.2] content algorithm -> (layer, AEAD); [3.3] per layer: (kem, kdf, aead) -> alg
CONTENT = {-65601: (FILE, AESGCM), -65602: (FILE, ChaCha20Poly1305),
           -65603: (WEIGHTS, AESGCM), -65604: (WEIGHTS, ChaCha20Poly1305)}
SUITES = {FILE: {(X25519, 1, 3): 50, (XWING, 1, 3): -65611, (P256, 1, 2): 53},
          WEIGHTS: {(P256, 1, 2): 53, (MLKEM_P256, 1, 2): -65612}}
LOCAL = {53: (P256, 1, 2), -65612: (MLKEM_P256, 1, 2)}
KEM_PUBLIC = {P256: 65, X25519: 32, XWING: 1216, MLKEM_P256: 1249}
OUTCOMES = ("ok", "bad preamble", "bad cbor", "bad signature", "no matching recipient",
            "hpke failure", "commitment mismatch", "chunk failure", "length mismatch",
            "region failure", "digest mismatch", "binding mismatch", "policy refused",
            "rollback", "unsupported")
OUTCOMES_OF_MESSAGES = ("ok", "bad cbor", "bad signature", "hpke failure", "binding mismatch",
                        "policy refused", "unsupported", "stale", "bad request", "digest mismatch")


class Refused(Exception):
    """The one way to fail: an outcome of the kit, and the detail for people."""

    def __init__(self, outcome, why):
        assert outcome in OUTCOMES + OUTCOMES_OF_MESSAGES
        super().__init__(f"{outcome}: {why}")
        self.outcome = outcome


def need(condition, outcome, why):
    if not condition:
        raise Refused(outcome, why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def ceil_div(a, b):
    return -(-a // b)


def round_up(n, unit):
    return ceil_div(n, unit) * unit


# --- CBOR profile [1.2] ---------------------------------------------------------------------


class Tag18:
    def __init__(self, value):
        self.value = value


class CborReader:
    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, n):
        need(n <= len(self.data) - self.pos, "bad cbor", "cut short")
        self.pos += n
        return self.data[self.pos - n:self.pos]

    def head(self):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        need(info < 28, "bad cbor", "indefinite or reserved length")
        size = 1 << (info - 24)
        value = int.from_bytes(self.take(size), "big")
        if major != 7:
            smallest = 24 if size == 1 else 1 << (8 * size // 2)
            need(value >= smallest, "bad cbor", "not the shortest form")
        return major, info, value

    def item(self, depth, tag_allowed=False):
        need(depth <= MAX_DEPTH, "bad cbor", "nested too deep")
        major, info, n = self.head()
        if major == 0:
            return n
        if major == 1:
            return -1 - n
        if major == 2:
            return self.take(n)
        if major == 3:
            try:
                return self.take(n).decode("utf-8", "strict")
            except UnicodeDecodeError:
                raise Refused("bad cbor", "text is not UTF-8") from None
        if major in (4, 5):
            # Each element takes a byte at least: compared before anything is built.
            need(n * (major - 3) <= len(self.data) - self.pos, "bad cbor", "count too large")
            return self.array(n, depth) if major == 4 else self.map(n, depth)
        if major == 6:
            need(n == 18 and tag_allowed, "bad cbor", "a tag where none may be")
            return Tag18(self.item(depth + 1))
        need(info in (20, 21), "bad cbor", "a float or a simple value")
        return info == 21

    def array(self, n, depth):
        return [self.item(depth + 1) for _ in range(n)]

    def map(self, n, depth):
        out, before = {}, b""
        for _ in range(n):
            start = self.pos
            key = self.item(depth + 1)
            encoded = self.data[start:self.pos]
            need(type(key) in (int, str, bytes), "bad cbor", "a key no map of ours has")
            need(encoded > before, "bad cbor", "keys not sorted, or one twice")
            out[key], before = self.item(depth + 1), encoded
        return out


def cbor_decode(data, tag_allowed=False):
    reader = CborReader(bytes(data))
    value = reader.item(1, tag_allowed)
    need(reader.pos == len(data), "bad cbor", "bytes behind the item")
    return value


def cbor_head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError("too large for CBOR")


def cbor_encode(value):
    """Deterministic encoding; an object with a method `cbor` writes itself."""
    if hasattr(value, "cbor"):
        return value.cbor()
    if type(value) is bool:
        return b"\xf5" if value else b"\xf4"
    if type(value) is int:
        return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)
    if type(value) is bytes:
        return cbor_head(2, len(value)) + value
    if type(value) is str:
        raw = value.encode()
        return cbor_head(3, len(raw)) + raw
    if type(value) is list:
        return cbor_head(4, len(value)) + b"".join(map(cbor_encode, value))
    if type(value) is dict:
        pairs = sorted((cbor_encode(k), cbor_encode(v)) for k, v in value.items())
        return cbor_head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    if type(value) is Tag18:
        return b"\xd2" + cbor_encode(value.value)
    raise TypeError(type(value))


# --- shapes ---------------------------------------------------------------------------------


def uint(low=0, high=U64):
    return lambda v: type(v) is int and low <= v <= high


def blob(low, high=None):
    return lambda v: type(v) is bytes and low <= len(v) <= (low if high is None else high)


def text(v):
    return (type(v) is str and 1 <= len(v.encode()) <= MAX_TEXT
            and not re.search(r"[\x00-\x1f\x7f-\x9f]", v))


def label(most):
    """Text of the sealed part: names that nobody is asked for."""
    return lambda v: type(v) is str and 1 <= len(v.encode()) <= most


def boolean(v):
    return type(v) is bool


def signing_key(v):
    """[1.3]: Ed25519, or P-256 uncompressed and on the curve."""
    return type(v) is bytes and (len(v) == 32 or p256_public(v) is not None)


def device_signing_key(v):
    return signing_key(v) and len(v) == 65


def agreement_key(*kems):
    return lambda v: (type(v) is list and len(v) == 2 and type(v[0]) is int and v[0] in kems
                      and blob(KEM_PUBLIC[v[0]])(v[1]))


DEVICE_AGREE = agreement_key(P256, MLKEM_P256)
REQUEST_AGREE = agreement_key(XWING, X25519, P256)


def closed(value, schema, what):
    """A closed map; schema: key -> (check, must be there)."""
    need(type(value) is dict, "bad cbor", f"{what}: not a map")
    for key in value:
        need(key in schema, "bad cbor", f"{what}: key {key} is not listed")
    for key, (check, required) in schema.items():
        need(key in value or not required, "bad cbor", f"{what}: key {key} is missing")
        need(key not in value or check(value[key]), "bad cbor", f"{what}: value of key {key}")
    return value


def must(*checks):
    return {i: (c, True) for i, c in enumerate(checks, 1)}


# --- signed objects [1.3] -------------------------------------------------------------------


def p256_public(raw):
    if type(raw) is not bytes or len(raw) != 65 or raw[0] != 4:
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError:
        return None


def key_id(public):
    return sha256(b"earmark/1 key\0", public)[:8]


class Signed:
    """A COSE_Sign1 taken apart; nothing is verified yet."""

    def __init__(self, raw):
        outer = cbor_decode(raw, tag_allowed=True)
        need(type(outer) is Tag18, "bad cbor", "signed object: no tag 18")
        parts = outer.value
        need(type(parts) is list and len(parts) == 4, "bad cbor", "signed object: not four parts")
        self.raw, (self.protected, unprotected, self.payload, self.signature) = raw, parts
        need(type(self.protected) is bytes and unprotected == {} and type(unprotected) is dict,
             "bad cbor", "signed object: protected or unprotected")
        need(type(self.payload) is bytes and blob(64)(self.signature), "bad cbor",
             "signed object: payload or signature")
        names = closed(cbor_decode(self.protected),
                       {1: (lambda v: type(v) is int, True), 4: (blob(8), True),
                        -65537: (lambda v: type(v) is int, True)}, "protected")
        self.alg, self.kid, self.type = names[1], names[4], names[-65537]

    def to_be_signed(self, external_aad=b""):
        return cbor_encode(["Signature1", self.protected, external_aad, self.payload])

    def verify(self, public, kind, external_aad=b""):
        need(self.alg == (EDDSA if len(public) == 32 else ESP256), "bad signature", "alg")
        need(self.type == kind, "bad signature", f"type {self.type}, not {kind}")
        need(self.kid == key_id(public), "bad signature", "kid")
        try:
            if len(public) == 32:
                key = ed25519.Ed25519PublicKey.from_public_bytes(public)
                key.verify(self.signature, self.to_be_signed(external_aad))
            else:
                r, s = (int.from_bytes(self.signature[i:i + 32], "big") for i in (0, 32))
                p256_public(public).verify(utils.encode_dss_signature(r, s),
                                           self.to_be_signed(external_aad),
                                           ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            raise Refused("bad signature", "the signature") from None


# --- policy and identity [8] ----------------------------------------------------------------

POLICY = {1: (uint(), False), 2: (uint(), True), 3: (uint(1), False), 4: (uint(1), False),
          5: (uint(), False), 6: (uint(), False), 7: (uint(1, 3), False), 8: (uint(1, 2), False),
          9: (uint(1), False)}
IDENTITY = {1: (text, True), 2: (text, False), 3: (text, False), 4: (text, False),
            5: (text, True), 6: (blob(32), True)}


def read_policy(raw):
    policy = closed(cbor_decode(raw), POLICY, "policy")
    need(4 in policy or (5 not in policy and 6 not in policy), "bad cbor",
         "policy: grace or renewal without a lease")
    return policy


def read_identity(raw):
    return closed(cbor_decode(raw), IDENTITY, "identity")


class Circumstances:
    """What the device and the application say of themselves."""

    def __init__(self, now, guard=0, user=None, app=None, use=None, newest_release=None,
                 lease_secret=None, lease_until=0):
        self.now, self.guard, self.newest_release = now, guard, newest_release
        self.lease_secret, self.lease_until = lease_secret, lease_until
        self.named = {3: use, 4: app, 5: user}


def check_policy(policy, identity, floor, opens, around, lease_until=0):
    """[8]; key 8 needs a running system and is left to it."""
    time = max(around.now, floor)
    need(time >= policy.get(1, 0), "policy refused", "not_before")
    need(time < policy[2], "policy refused", "expires")
    need(opens < policy.get(3, U64), "policy refused", "max_opens")
    if 4 in policy:
        need(lease_until and around.now + 600 >= floor, "policy refused", "lease, or the clock")
        need(time < lease_until + policy.get(5, 0), "policy refused", "lease is over")
    need(around.guard >= policy.get(7, 0), "policy refused", "min_guard")
    for key, name in around.named.items():
        need(key not in identity or identity[key] == name, "policy refused", f"identity {key}")
    newest = around.newest_release
    need(newest is None or policy.get(9, 0) >= newest, "policy refused", "release")


# --- messages (messages.md) -----------------------------------------------------------------

MESSAGES = {
    ENROLMENT: must(device_signing_key, DEVICE_AGREE, text, uint()),
    CERTIFICATE: must(blob(32), device_signing_key, DEVICE_AGREE, uint(0, 5), uint(0, 3), uint(),
                      uint()),
    SEALING: must(signing_key, uint(), uint()),
    REQUEST: {1: (blob(16), True), 2: (text, True), 3: (text, True), 4: (text, False),
              5: (text, False), 6: (text, False), 7: (REQUEST_AGREE, True),
              8: (blob(1, MAX_MESSAGE), True), 9: (uint(), True), 10: (blob(1, 1024), False)},
    TICKET: must(blob(16), blob(32), DEVICE_AGREE, REQUEST_AGREE, blob(1, MAX_MESSAGE),
                 blob(1, MAX_MESSAGE), blob(32), uint(), uint())
    | {10: (blob(65), False), 11: (uint(1), False)},
    RECEIPT: must(blob(16), blob(16), uint(0, 255), uint(), uint(0, 3)) | {6: (blob(1, 1024), False)},
}


def device_id(sign_public, agree_public):
    return sha256(b"earmark/1 device\0", sign_public, agree_public)


def read_message(raw, kind, public=None):
    """Decodes a message of one type and verifies it with the key its type asks for: the
    issuer's or the device's, as given; an enrolment brings its own."""
    need(len(raw) <= MAX_MESSAGE, "bad cbor", "message too long")
    signed = Signed(raw)
    need(signed.type == kind, "bad signature", f"type {signed.type}, not {kind}")
    value = closed(cbor_decode(signed.payload), MESSAGES[kind], f"message {kind}")
    if kind == TICKET:
        value["policy"], value["identity"] = read_policy(value[5]), read_identity(value[6])
        need(value[9] > value[8], "bad cbor", "ticket: expires before it is issued")
        need((10 in value) == (11 in value) and (10 not in value or 4 in value["policy"]),
             "bad cbor", "ticket: lease key and epoch")
    signed.verify(value[1] if kind == ENROLMENT else public, kind)
    if kind == CERTIFICATE:
        need(value[1] == device_id(value[2], value[3][1]), "binding mismatch", "device id")
    return value


def read_request(raw, issuer):
    """A request and the device certificate inside it, both verified."""
    payload = closed(cbor_decode(Signed(raw).payload), MESSAGES[REQUEST], "request")
    certificate = read_message(payload[8], CERTIFICATE, issuer)
    return read_message(raw, REQUEST, certificate[2]), certificate


# --- HPKE, modes base and psk (RFC 9180) --------------------------------------------------------------


def hkdf_extract(salt, ikm):
    return mac(salt or bytes(32), ikm)


def hkdf_expand(prk, info, length):
    out, block = b"", b""
    for i in range(1, ceil_div(length, 32) + 1):
        block = mac(prk, block + info + bytes([i]))
        out += block
    return out[:length]


def labeled_extract(suite, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


class AgreeKey:
    """A private key of one KEM, and what HPKE asks of it."""

    def __init__(self, kem, private):
        need(kem in (X25519, P256), "unsupported", f"KEM {kem:#x}")
        self.kem = kem
        if kem == X25519:
            self.key = x25519.X25519PrivateKey.from_private_bytes(private)
        else:
            self.key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        self.public = raw_public(self.key)

    def dh(self, peer):
        """The shared secret, or "hpke failure" for what is no public key of this KEM."""
        need(len(peer) == KEM_PUBLIC[self.kem], "hpke failure", "ek: length")
        if self.kem == P256:
            point = p256_public(peer)
            need(point is not None, "hpke failure", "ek: not a point")
            return self.key.exchange(ec.ECDH(), point)
        try:
            return self.key.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        except ValueError:  # the all-zero result, RFC 9180 section 7.1.4
            raise Refused("hpke failure", "shared secret is zero") from None


def raw_public(private):
    public = private.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def kem_secret(kem, dh, enc, public):
    suite = b"KEM" + struct.pack(">H", kem)
    prk = labeled_extract(suite, b"", b"eae_prk", dh)
    return labeled_expand(suite, prk, b"shared_secret", enc + public, 32)


def hpke_secret(suite, shared, info, psk=b"", psk_id=b""):
    """What keys and exports come from: the suite's name, the secret, the context."""
    name = b"HPKE" + struct.pack(">HHH", *suite)
    context = ((b"\1" if psk else b"\0") + labeled_extract(name, b"", b"psk_id_hash", psk_id)
               + labeled_extract(name, b"", b"info_hash", info))
    return name, labeled_extract(name, shared, b"secret", psk), context


def hpke_schedule(suite, shared, info, psk=b"", psk_id=b""):
    """Key and nonce of message 0."""
    aead = suite[2]
    name, secret, context = hpke_secret(suite, shared, info, psk, psk_id)
    return (labeled_expand(name, secret, b"key", context, 16 if aead == 1 else 32),
            labeled_expand(name, secret, b"base_nonce", context, 12))


def hpke_aead(suite, key):
    return ChaCha20Poly1305(key) if suite[2] == 3 else AESGCM(key)


def derive_p256(ikm):
    """DeriveKeyPair, RFC 9180 section 7.1.3: the private bytes."""
    suite = b"KEM" + struct.pack(">H", P256)
    prk = labeled_extract(suite, b"", b"dkp_prk", ikm)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for counter in range(256):
        candidate = labeled_expand(suite, prk, b"candidate", bytes([counter]), 32)
        if 0 < int.from_bytes(candidate, "big") < order:
            return candidate
    raise ValueError("no private key")


def lease_psk(lease_secret, ticket_id, psk_id):
    """[3.5], from the receiver's side."""
    key = AgreeKey(P256, derive_p256(lease_secret))
    shared = kem_secret(P256, key.dh(psk_id), psk_id, key.public)
    name, secret, context = hpke_secret((P256, 1, 0xFFFF), shared,
                                        b"earmark/1 lease psk\0" + ticket_id)
    exporter = labeled_expand(name, secret, b"exp", context, 32)
    return labeled_expand(name, exporter, b"sec", b"psk", 32)


def hpke_open(suite, private, enc, info, aad, ciphertext, psk=b"", psk_id=b""):
    shared = kem_secret(private.kem, private.dh(enc), enc, private.public)
    key, nonce = hpke_schedule(suite, shared, info, psk, psk_id)
    try:
        return hpke_aead(suite, key).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise Refused("hpke failure", "the envelope does not open") from None


# --- recipients [3.3] and keys [3.4] --------------------------------------------------------


class Recipient:
    def __init__(self, value, alg, hinted, leased=False):
        need(type(value) is list and len(value) == 3 and type(value[0]) is bytes, "bad cbor",
             "recipient: shape")
        self.protected, unprotected, self.ciphertext = value
        self.alg = closed(cbor_decode(self.protected), {1: (lambda v: type(v) is int, True)},
                          "recipient, protected")[1]
        need(alg is None or self.alg == alg, "bad cbor", "recipient: alg is not the suite's")
        names = {-4: (blob(0, MAX_HEADER), True)}
        if hinted:
            names[-65541] = (blob(4), True)
        if leased:
            names[-5] = (blob(65), True)
        closed(unprotected, names, "recipient, unprotected")
        self.ek, self.hint = unprotected[-4], unprotected.get(-65541)
        self.psk_id = unprotected.get(-5)
        need(blob(48)(self.ciphertext), "bad cbor", "recipient: ciphertext is not 48 bytes")


def hint_of(enc, public):
    return mac(b"earmark/1 hint", enc + sha256(public)[:4])[:4]


def envelope_info(content_alg, protected, extra):
    return cbor_encode(["HPKE Recipient", content_alg, protected, extra])


def open_envelope(suite, recipients, private, content_alg, extra, lease=(None, None)):
    """The CEK from the first recipient that opens; only hints that match are tried."""
    mine = [r for r in recipients
            if suite[0] == private.kem and r.hint in (None, hint_of(r.ek, private.public))]
    need(mine, "no matching recipient", "no recipient is for this key")
    for i, r in enumerate(mine):
        try:
            info, psk = envelope_info(content_alg, r.protected, extra), b""
            if r.psk_id is not None:
                need(lease[0], "hpke failure", "no lease secret")
                psk = lease_psk(*lease, r.psk_id)
            return hpke_open(suite, private, r.ek, info, b"", r.ciphertext, psk, r.psk_id or b"")
        except Refused:
            if i == len(mine) - 1:
                raise


class Keys:
    def __init__(self, salt, cek, layer, content_alg):
        self.prk, self.aead = hkdf_extract(salt, cek), CONTENT[content_alg][1]
        name = b"earmark/1 file commit" if layer == FILE else b"earmark/1 weights commit"
        self.commit = hkdf_expand(self.prk, name, 32)

    def file(self):
        return self.aead(hkdf_expand(self.prk, b"earmark/1 file key", 32))

    def region(self, r):
        return self.aead(hkdf_expand(self.prk, b"earmark/1 region key\0" + u32(r), 32))

    def local_mac(self):
        return hkdf_expand(self.prk, b"earmark/1 local mac", 32)


def nonce(i, last):
    return i.to_bytes(11, "big") + (b"\1" if last else b"\0")


# --- header [3] and its chain [4] -----------------------------------------------------------

COMMON = {1: (blob(16), True), 3: (lambda v: type(v) is int, True),
          6: (lambda v: type(v) is list and len(v) == 4 and all(map(uint(0, 65535), v)), True),
          7: (blob(8), True), 8: (blob(1, MAX_HEADER), False), 9: (uint(), True)}
CORE = {
    FILE: {**COMMON, 2: (uint(1, 1), True), 4: (uint(CHUNK, CHUNK), True),
           5: (uint(), True), 11: (blob(32), True)},
    WEIGHTS: {**COMMON, 2: (uint(2, 2), True), 4: (uint(SEGMENT, SEGMENT), True),
              5: (uint(0, MAX_MODEL), True), 10: (blob(65), False), 12: (blob(16), True), 13: (blob(32), True),
              14: (blob(1, MAX_HEADER), True),
              15: (lambda v: type(v) is list and len(v) == 2 and uint(1, MAX_SEALED)(v[0])
                   and blob(32)(v[1]), True)},
}


class Header:
    """Preamble and header of one layer: encoding checked, signature not yet."""

    def __init__(self, data, layer):
        need(len(data) >= PREAMBLE, "bad preamble", "cut short")
        self.layer, self.preamble = layer, data[:PREAMBLE]
        magic, version, which, flags, size = struct.unpack(">8sBBHI", self.preamble)
        need(magic == MAGIC, "bad preamble", "magic")
        need((version, which, flags) == (1, layer, 0), "bad preamble", "version, layer or flags")
        need(1 <= size <= MAX_HEADER, "bad preamble", "header_len")
        self.end = PREAMBLE + size
        need(len(data) >= self.end, "bad cbor", "header: cut short")
        self.signed = Signed(data[PREAMBLE:self.end])
        self.read_payload(cbor_decode(self.signed.payload))
        self.hh = sha256(self.signed.to_be_signed(self.preamble))

    def read_payload(self, payload):
        need(type(payload) is list and len(payload) == 3 and uint(1, 1)(payload[0])
             and type(payload[1]) is bytes and type(payload[2]) is list, "bad cbor",
             "header: payload")
        self.core_hash = sha256(payload[1])
        core = self.core = closed(cbor_decode(payload[1]), CORE[self.layer], "core")
        self.content_alg, self.length, self.file_id = core[3], core[5], core[1]
        need(CONTENT.get(core[3], (0,))[0] == self.layer, "bad cbor", "content algorithm")
        self.suite, mode = tuple(core[6][:3]), core[6][3]
        alg = SUITES[self.layer].get(self.suite)
        self.leased = mode == 1
        need(alg is not None and (mode == 0 or self.leased and 10 in core), "unsupported",
             f"suite {core[6]}")
        need(self.leased or 10 not in core, "bad cbor", "lease key without mode psk")
        if self.layer == WEIGHTS:
            self.policy = read_policy(core[14])
            self.sealed_len, self.sealed_hash = core[15]
        need(1 <= len(payload[2]) <= MAX_RECIPIENTS, "bad cbor", "number of recipients")
        self.recipients = [Recipient(r, alg, self.layer == WEIGHTS, self.leased)
                           for r in payload[2]]
        need(not self.leased or 4 in self.policy, "bad cbor", "a lease that no policy asks for")

    def verify(self, issuer):
        """Signature, signer and certificate but for its period at acceptance."""
        self.certificate, self.signer = None, issuer
        if 8 in self.core:
            try:
                self.certificate = read_message(self.core[8], SEALING, issuer)
            except Refused as e:
                raise Refused("bad signature", f"certificate: {e}") from None
            self.signer = self.certificate[1]
            first, last = (self.certificate[i] // 86400 for i in (2, 3))
            need(first <= self.core[9] <= last, "bad signature", "certificate: day of creation")
        need(self.core[7] == self.signed.kid, "bad signature", "signer in core is not kid")
        self.signed.verify(self.signer, self.layer, self.preamble)

    def verify_period(self, accepted):
        c = self.certificate
        need(c is None or c[2] <= accepted <= c[3], "bad signature", "certificate: period")

    def open(self, private, lease_secret=None):
        cek = open_envelope(self.suite, self.recipients, private, self.content_alg,
                            self.core_hash, (lease_secret, self.core.get(12)))
        return Keys(self.hh, cek, self.layer, self.content_alg)


# --- file layer [5] -------------------------------------------------------------------------


def check_commit(keys, commit):
    need(hmac.compare_digest(keys.commit, commit), "commitment mismatch", "commit")


def open_file_layer(data, issuer, private, request_hash, time):
    header = Header(data, FILE)
    header.verify(issuer)
    header.verify_period(time)
    need(header.core[11] == request_hash, "binding mismatch", "request hash")
    n = max(1, ceil_div(header.length, CHUNK))
    body = header.end + 32
    need(len(data) == body + header.length + 16 * n, "length mismatch", "file layer")
    keys = header.open(private)
    check_commit(keys, data[header.end:body])
    aead, out = keys.file(), []
    for i in range(n):
        piece = data[body + i * (CHUNK + 16):body + (i + 1) * (CHUNK + 16)]
        try:
            out.append(aead.decrypt(nonce(i, i == n - 1), piece, None))
        except InvalidTag:
            raise Refused("chunk failure", f"chunk {i}") from None
    return header, b"".join(out)


# --- regions and sealed part [6] ------------------------------------------------------------

TENSOR = (uint(), uint(), label(255), label(31))
SEALED = {1: (blob(32), True), 2: (blob(0, 9 * MAX_REGIONS), True),
          3: (blob(0, 32 * MAX_REGIONS), False), 4: (blob(1, MAX_HEADER), True), 5: (label(31), True),
          6: (lambda v: type(v) is list and len(v) <= MAX_TENSORS, True), 7: (boolean, True),
          8: (lambda v: type(v) is list and 1 <= len(v) <= 512, False)}


def path(v):
    """[6.5]"""
    return (label(255)(v) and not re.search(r"[\x00-\x1f\x7f-\x9f\\]", v)
            and not set(v.split("/")) & {"", ".", ".."})


def n_segments(length):
    return ceil_div(length, SEGMENT)


class SealedPart:
    def __init__(self, raw, header):
        need(sha256(raw) == header.sealed_hash, "digest mismatch", "sealed part")
        part = closed(cbor_decode(raw), SEALED, "sealed part")
        self.dsalt, self.digests, self.identity_raw = part[1], part.get(3), part[4]
        self.identity, self.format, self.index = read_identity(part[4]), part[5], part[6]
        need(len(part[2]) % 9 == 0, "bad cbor", "regions: length")
        self.regions = [struct.unpack(">QB", part[2][i:i + 9]) for i in range(0, len(part[2]), 9)]
        for length, kind in self.regions:
            need(length >= 1 and kind <= 2, "bad cbor", "regions: empty one or unknown kind")
        need(self.digests is None or len(self.digests) == 32 * len(self.regions), "bad cbor",
             "digests: count")
        self.check_index(header.length)
        self.files = part.get(8)
        self.check_files(header.length)

    def check_files(self, model_length):
        before = None
        for entry in self.files or ():
            need(type(entry) is list and len(entry) == 2 and path(entry[0]) and uint()(entry[1]),
                 "bad cbor", "files: entry")
            name = entry[0].encode().replace(b"/", b"\0")  # "/" is lower than any other byte
            need(before is None or (before < name and not name.startswith(before + b"\0")),
                 "bad cbor", "files: order")
            before = name
        need(self.files is None or sum(length for _, length in self.files) == model_length,
             "bad cbor", "files: not the model")

    def check_index(self, model_length):
        before = 0
        for entry in self.index:
            need(type(entry) is list and len(entry) == 5
                 and all(check(v) for check, v in zip(TENSOR, entry)), "bad cbor", "index: entry")
            need(type(entry[4]) is list and len(entry[4]) <= 8 and all(map(uint(), entry[4])),
                 "bad cbor", "index: dimensions")
            need(entry[0] >= before, "bad cbor", "index: not sorted")
            need(entry[0] + entry[1] <= model_length, "bad cbor", "index: outside the model")
            before = entry[0]

    def check_lengths(self, model_length):
        need(sum(length for length, _ in self.regions) == model_length, "length mismatch",
             "regions do not add up to the model")

    def segments(self):
        """(r, s, last, offset in the model, length, kind) of every segment of the model."""
        offset = 0
        for r, (length, kind) in enumerate(self.regions, 1):
            n = n_segments(length)
            for s in range(n):
                size = min(SEGMENT, length - s * SEGMENT)
                yield r, s, s == n - 1, offset, size, kind
                offset += size

    def check_digests(self, model):
        """[6.4]"""
        leaves = {}
        for r, s, _, offset, size, _ in self.segments():
            leaf = sha256(b"earmark/1 leaf\0", self.dsalt, u32(r), u32(s),
                          model[offset:offset + size])
            leaves.setdefault(r, []).append(leaf)
        for r, (length, _) in enumerate(self.regions, 1):
            want = sha256(b"earmark/1 region\0", self.dsalt, u32(r), u64(length), *leaves[r])
            need(self.digests[32 * r - 32:32 * r] == want, "digest mismatch", f"region {r}")


def open_segment(aead, s, last, kind, c, tag):
    """[6.1]; InvalidTag goes to the caller, who knows the region."""
    if kind == 2:
        aead.decrypt(nonce(s, last), tag, c)
        return c
    return aead.decrypt(nonce(s, last), c + tag, None)


def open_region_zero(keys, pieces):
    """The sealed part from its segments [(c, tag)]."""
    try:
        return b"".join(open_segment(keys.region(0), s, s == len(pieces) - 1, 0, c, tag)
                        for s, (c, tag) in enumerate(pieces))
    except InvalidTag:
        raise Refused("region failure", "sealed part") from None


def open_model(keys, part, pieces):
    """The model from the pieces [(c, tag)] of all its segments, in order."""
    out, aead, of = [], None, 0
    for (r, s, last, _, _, kind), (c, tag) in zip(part.segments(), pieces):
        if r != of:
            aead, of = keys.region(r), r
        try:
            out.append(open_segment(aead, s, last, kind, c, tag))
        except InvalidTag:
            raise Refused("region failure", f"region {r} segment {s}") from None
    return b"".join(out)


def take_delivered(data, at, sizes):
    pieces = []
    for size in sizes:
        pieces.append((data[at:at + size], data[at + size:at + size + 16]))
        at += size + 16
    return pieces, at


def split_sizes(length):
    return [min(SEGMENT, length - at) for at in range(0, length, SEGMENT)]


# --- accepting a delivered file [9] ---------------------------------------------------------


class Device:
    def __init__(self, issuer, agree_private, sign_public):
        self.issuer, self.agree = issuer, AgreeKey(P256, agree_private)
        self.id = device_id(sign_public, self.agree.public)


def read_ticket(raw, device, request_key, request_hash, now):
    """[9] step 1.  Gives the ticket and the time that decides [8.3]."""
    ticket = read_message(raw, TICKET, device.issuer)
    time = max(now, ticket[8])
    need(time < ticket[9], "policy refused", "the ticket has expired")
    need(ticket[2] == device.id and ticket[3] == [device.agree.kem, device.agree.public],
         "binding mismatch", "ticket: device")
    need(ticket["identity"][6] == ticket[2], "binding mismatch", "ticket: identity's device")
    need(ticket[7] == request_hash and ticket[4] == [request_key.kem, request_key.public],
         "binding mismatch", "ticket: request")
    return ticket, time


def accept(data, device, request_key, request_hash, ticket_raw, around):
    """Opens a delivered file: everything of [9] but writing the vault.  Gives the model."""
    ticket, time = read_ticket(ticket_raw, device, request_key, request_hash, around.now)
    outer, inner = open_file_layer(data, device.issuer, request_key, request_hash, time)
    header = Header(inner, WEIGHTS)
    header.verify(device.issuer)
    header.verify_period(time)
    need(header.signer == outer.signer and header.core.get(8) == outer.core.get(8),
         "bad signature", "the layers' signers differ")
    need(header.core[12] == ticket[1], "binding mismatch", "ticket id")
    need(header.core[13] == sha256(ticket_raw), "binding mismatch", "ticket hash")
    need(header.core[14] == ticket[5], "binding mismatch", "policy is not the ticket's")
    need(header.core.get(10) == ticket.get(10), "binding mismatch",
         "lease key is not the ticket's")
    at = header.end + 32
    zero = split_sizes(header.sealed_len)
    need(len(inner) >= at + sum(zero) + 16 * len(zero), "length mismatch", "weights layer")
    keys = header.open(device.agree, around.lease_secret)
    check_commit(keys, inner[header.end:at])
    pieces, at = take_delivered(inner, at, zero)
    part = SealedPart(open_region_zero(keys, pieces), header)
    need(part.identity_raw == ticket[6], "binding mismatch", "identity is not the ticket's")
    part.check_lengths(header.length)
    n = sum(n_segments(length) for length, _ in part.regions)
    need(len(inner) == at + header.length + 16 * n, "length mismatch", "weights layer")
    check_policy(header.policy, part.identity, ticket[8], 0, around,
                 around.lease_until if header.leased else 0)
    model = open_model(keys, part, take_delivered(inner, at, [g[4] for g in part.segments()])[0])
    if part.digests is not None:
        part.check_digests(model)
    return model


# --- vault [7] ------------------------------------------------------------------------------


class Record:
    """One slot.  Well formed once constructed; verified by `open`."""

    def __init__(self, slot, leased):
        self.slot = slot
        magic, version, state, size, self.generation = struct.unpack(">4sBBHQ", slot[:16])
        need(magic == b"EMKR" and version == 1 and state == (2 if leased else 1), "bad cbor",
             "record: head")
        need(self.generation >= 1, "bad cbor", "record: generation")
        self.vault_id = slot[16:32]
        self.accepted, self.floor, self.opens = struct.unpack(">QQQ", slot[32:56])
        self.lease_until, self.asleep = 0, False
        self.bound = slot[79 if leased else 63]
        if leased:
            self.read_leased(slot, size)
        else:
            need(1 <= size <= 3968, "bad cbor", "record: sizes")
            self.recipient = Recipient(cbor_decode(slot[64:64 + size]), None, hinted=True)
        need(self.recipient.alg in LOCAL, "bad cbor", "record: alg")

    def read_leased(self, slot, size):
        """[7.6]"""
        self.lease_until, _, sleeping = struct.unpack(">QQH", slot[56:74])
        need(sleeping >= 1 and size + sleeping <= 3920, "bad cbor", "record: sizes")
        need(sha256(slot[:4000]) == slot[4000:4032], "bad cbor", "record: torn")
        self.recipient = Recipient(cbor_decode(slot[80:80 + sleeping]), None, True, leased=True)
        self.asleep = size == 0
        if not self.asleep:
            at = 80 + sleeping
            self.recipient = Recipient(cbor_decode(slot[at:at + size]), None, hinted=True)

    def open(self, header, private, lease_secret=None):
        need(lease_secret or not self.asleep, "policy refused", "it sleeps")
        need(self.bound in (0, 2, 3), "unsupported", f"bound {self.bound}")
        need(self.bound == 0, "policy refused", "needs a guard, and there is none")  # [7.7]
        extra = sha256(b"earmark/1 local\0", header.core_hash, self.vault_id)
        cek = open_envelope(LOCAL[self.recipient.alg], [self.recipient], private,
                            header.content_alg, extra, (lease_secret, header.core[12]))
        salt = sha256(b"earmark/1 vault\0", header.hh, self.vault_id)
        keys = Keys(salt, cek, WEIGHTS, header.content_alg)
        check_commit(keys, self.slot[4032:4064])
        need(hmac.compare_digest(mac(keys.local_mac(), self.slot[:4064]), self.slot[4064:]),
             "commitment mismatch", "record: MAC")
        return keys


def choose_record(data, header, private, lease_secret=None):
    """[7.3]: the higher generation first, the other where that one fails."""
    slots = []
    for at in (RECORD_A, RECORD_B):
        try:
            slots.append(Record(data[at:at + PAGE], header.leased))
        except Refused:
            pass
    need(slots, "bad cbor", "no slot is well formed")
    slots.sort(key=lambda r: -r.generation)
    failure = None
    for record in slots:
        try:
            return record, record.open(header, private, lease_secret)
        except Refused as e:
            if (record.asleep and not lease_secret) or record.bound in (2, 3):
                raise
            failure = failure or e
    raise failure


def region_zero_size(sealed_len):
    return sealed_len + 16 * n_segments(sealed_len)


def vault_places(header, n):
    """Tag table and P [7.1] for n segments of the model."""
    table = RECORD_END + round_up(region_zero_size(header.sealed_len), PAGE)
    unit = 2 << 20 if header.length >= 64 << 20 else PAGE
    return table, round_up(table + 16 * n, unit)


def open_vault(data, device, around, counter=None):
    """Opens a vault file and reads all of it [9].  Gives the model."""
    need(len(data) >= RECORD_END, "length mismatch", "vault file")
    header = Header(data[:RECORD_A], WEIGHTS)
    need(len(data) >= RECORD_END + region_zero_size(header.sealed_len), "length mismatch",
         "vault file ends within region 0")
    header.verify(device.issuer)
    record, keys = choose_record(data, header, device.agree, around.lease_secret)
    header.verify_period(record.accepted)
    need(counter is None or counter <= record.generation <= counter + 1, "rollback",
         f"generation {record.generation}, newest known {counter}")
    zero, _ = take_delivered(data, RECORD_END, split_sizes(header.sealed_len))
    part = SealedPart(open_region_zero(keys, zero), header)
    part.check_lengths(header.length)
    segments = list(part.segments())
    table, payload = vault_places(header, len(segments))
    need(len(data) == payload + header.length, "length mismatch", "vault file")
    need(part.identity[6] == device.id, "binding mismatch", "sealed for another device")
    check_policy(header.policy, part.identity, record.floor, record.opens, around,
                 record.lease_until)
    pieces = []
    for i, (_, _, _, offset, size, _) in enumerate(segments):
        tag = data[table + 16 * i:table + 16 * i + 16]
        pieces.append((data[payload + offset:payload + offset + size], tag))
    return open_model(keys, part, pieces)


# --- the kit (tests/vectors/README.md) ------------------------------------------------------


def read_vector(path):
    with open(path, "rb") as f:
        head, _, body = f.read().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
    if fields.get("compressed") == "zlib":
        body = zlib.decompress(body)
    if len(body) != int(fields["size"]):
        raise ValueError(f"{path}: size")
    return fields, body


def circumstances(f):
    newest = f.get("newest-release")
    return Circumstances(int(f["now"]), int(f["guard"]), f.get("user"), f.get("app"), f.get("use"),
                         None if newest is None else int(newest),
                         bytes.fromhex(f.get("lease-secret", "")), int(f.get("lease-until", "0")))


def open_vector(f, body):
    unhex = bytes.fromhex
    device = Device(unhex(f["issuer"]), unhex(f["device-agree-private"]),
                    unhex(f["device-sign-public"]))
    if f["form"] == "vault":
        counter = int(f["counter"]) if "counter" in f else None
        return open_vault(body, device, circumstances(f), counter)
    kem, private = f["request-private"].split()
    return accept(body, device, AgreeKey(int(kem, 0), unhex(private)), unhex(f["request-hash"]),
                  unhex(f["ticket"]), circumstances(f))


def run_vector(path):
    """"" when the vector's outcome is reached, else what happened instead."""
    f, body = read_vector(path)
    try:
        model, got = open_vector(f, body), "ok"
    except Refused as e:
        model, got = None, e.outcome
        if got != f["expect"]:
            return f"{e}, not {f['expect']} ({f['why']})"
    if got != f["expect"]:
        return f"{got}, not {f['expect']} ({f['why']})"
    if model is not None and (sha256(model).hex() != f["payload"]
                              or len(model) != int(f["payload-size"])):
        return "other bytes than promised"
    return ""


def check_directory(path):
    names = sorted(n for n in os.listdir(path) if n.endswith(".emkv"))
    failed = 0
    for name in names:
        wrong = run_vector(os.path.join(path, name))
        if wrong:
            failed += 1
            print(f"{name}: {wrong}")
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed or not names else 0


# --- command line ---------------------------------------------------------------------------


def show_header(data, layer):
    h = Header(data, layer)
    print(f"layer            {layer}")
    print(f"header_len       {h.end - PREAMBLE}")
    print(f"signed           alg {h.signed.alg}, kid {h.signed.kid.hex()}, type {h.signed.type}")
    for key, value in sorted(h.core.items()):
        print(f"core {key:<12}{value.hex() if type(value) is bytes else value}")
    for r in h.recipients:
        hint = r.hint.hex() if r.hint else "none"
        print(f"recipient        alg {r.alg}, ek {len(r.ek)} bytes, hint {hint}")
    print(f"core_hash        {h.core_hash.hex()}")
    print(f"hh               {h.hh.hex()}")


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def hex_or_file(value):
    return read_bytes(value[1:]) if value.startswith("@") else bytes.fromhex(value)


def open_command(a):
    device = Device(hex_or_file(a.issuer), hex_or_file(a.device_agree_private),
                    hex_or_file(a.device_sign_public))
    around = Circumstances(a.now, a.guard, a.user, a.app, a.use, a.newest_release)
    if a.command == "open-vault":
        model = open_vault(read_bytes(a.file), device, around, a.counter)
    else:
        kem, private = a.request_private.split(":", 1)
        model = accept(read_bytes(a.file), device, AgreeKey(int(kem, 0), hex_or_file(private)),
                       hex_or_file(a.request_hash), hex_or_file(a.ticket), around)
    print(f"ok: {len(model)} bytes, SHA-256 {sha256(model).hex()}")
    if a.out:
        with open(a.out, "wb") as f:
            f.write(model)


def arguments():
    top = argparse.ArgumentParser(description="Second decoder of Earmark's container.",
                                  epilog="Keys and hashes are raw hex, or @FILE with raw bytes.")
    sub = top.add_subparsers(dest="command", required=True)
    sub.add_parser("open", help="run one vector").add_argument("--kit", required=True)
    sub.add_parser("check", help="run all vectors of a directory").add_argument("directory")
    sub.add_parser("inspect", help="show what is readable without keys").add_argument("file")
    for name in ("open-emk", "open-vault"):
        p = sub.add_parser(name)
        p.add_argument("file")
        for key in ("issuer", "device-agree-private", "device-sign-public"):
            p.add_argument(f"--{key}", required=True)
        p.add_argument("--now", type=int, required=True, help="seconds since 1970")
        p.add_argument("--guard", type=int, default=0)
        p.add_argument("--newest-release", type=int)
        for key in ("user", "app", "use"):
            p.add_argument(f"--{key}")
        p.add_argument("--out", help="write the model here")
        if name == "open-vault":
            p.add_argument("--counter", type=int, help="newest generation known")
        else:
            p.add_argument("--request-private", required=True, help="KEM:HEX or KEM:@FILE")
            p.add_argument("--request-hash", required=True)
            p.add_argument("--ticket", required=True)
    return top.parse_args()


def main():
    a = arguments()
    try:
        if a.command == "check":
            return check_directory(a.directory)
        if a.command == "open":
            wrong = run_vector(a.kit)
            print(wrong or f"as expected: {read_vector(a.kit)[0]['expect']}")
            return 1 if wrong else 0
        if a.command == "inspect":
            data = read_bytes(a.file)
            show_header(data, data[9] if len(data) > 9 and data[9] in (1, 2) else 1)
        else:
            open_command(a)
    except Refused as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
