#!/usr/bin/python3
"""Makes own/*: the project's own small vectors, in the formats of the published sets.

    make_own.py           writes them
    make_own.py --check   exit 1 unless the files are what this script makes

Always the same bytes: every key is a hash of a label.  Written from the RFCs on top of
python3-cryptography, with no line of Earmark in it, so the two can disagree."""
import base64
import hashlib
import hmac
import json
import os
import sys
import zlib

try:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "own")
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def draw(label, n=32):
    """n bytes that look random and are always the same."""
    return hashlib.shake_256(b"earmark own vectors: " + label.encode()).digest(n)


# HPKE [RFC 9180], base and psk.

def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:length]


def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


class X25519:
    ident = 0x20

    @staticmethod
    def derive(ikm):
        prk = labeled_extract(b"KEM\x00\x20", b"", b"dkp_prk", ikm)
        return labeled_expand(b"KEM\x00\x20", prk, b"sk", b"", 32)

    @staticmethod
    def public(sk):
        key = x25519.X25519PrivateKey.from_private_bytes(sk)
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @staticmethod
    def dh(sk, pk):
        key = x25519.X25519PrivateKey.from_private_bytes(sk)
        return key.exchange(x25519.X25519PublicKey.from_public_bytes(pk))


def p256_key(sk):
    return ec.derive_private_key(int.from_bytes(sk, "big"), ec.SECP256R1())


class P256:
    ident = 0x10

    @staticmethod
    def derive(ikm):
        prk = labeled_extract(b"KEM\x00\x10", b"", b"dkp_prk", ikm)
        for counter in range(256):
            sk = labeled_expand(b"KEM\x00\x10", prk, b"candidate", bytes([counter]), 32)
            if 0 < int.from_bytes(sk, "big") < N:
                return sk
        raise ValueError("no key")

    @staticmethod
    def public(sk):
        return p256_key(sk).public_key().public_bytes(Encoding.X962,
                                                      PublicFormat.UncompressedPoint)

    @staticmethod
    def dh(sk, pk):
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), pk)
        return p256_key(sk).exchange(ec.ECDH(), peer)


AEADS = {1: (16, AESGCM), 2: (32, AESGCM), 3: (32, ChaCha20Poly1305), 0xFFFF: (0, None)}


def hpke_case(kem, aead_id, mode, info):
    name = f"hpke {kem.ident} {aead_id} {mode}"
    ikm_e, ikm_r = draw(name + " e"), draw(name + " r")
    sk_e, sk_r = kem.derive(ikm_e), kem.derive(ikm_r)
    enc, pk_r = kem.public(sk_e), kem.public(sk_r)
    psk, psk_id = (draw(name + " psk"), b"own psk") if mode == 1 else (b"", b"")

    kem_suite = b"KEM" + kem.ident.to_bytes(2, "big")
    prk = labeled_extract(kem_suite, b"", b"eae_prk", kem.dh(sk_e, pk_r))
    shared = labeled_expand(kem_suite, prk, b"shared_secret", enc + pk_r, 32)

    suite = b"HPKE" + b"".join(v.to_bytes(2, "big") for v in (kem.ident, 1, aead_id))
    context = (bytes([mode]) + labeled_extract(suite, b"", b"psk_id_hash", psk_id) +
               labeled_extract(suite, b"", b"info_hash", info))
    secret = labeled_extract(suite, shared, b"secret", psk)
    key_len, cipher = AEADS[aead_id]
    key = labeled_expand(suite, secret, b"key", context, key_len)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12) if cipher else b""
    exporter = labeled_expand(suite, secret, b"exp", context, 32)

    out = {"mode": mode, "kem_id": kem.ident, "kdf_id": 1, "aead_id": aead_id, "info": info.hex(),
           "ikmR": ikm_r.hex(), "ikmE": ikm_e.hex(), "skRm": sk_r.hex(), "skEm": sk_e.hex(),
           "pkRm": pk_r.hex(), "pkEm": enc.hex(), "enc": enc.hex()}
    if mode == 1:
        out |= {"psk": psk.hex(), "psk_id": psk_id.hex()}
    out |= {"shared_secret": shared.hex(), "suite_id": suite.hex(),
            "key_schedule_context": context.hex(), "secret": secret.hex(), "key": key.hex(),
            "base_nonce": nonce.hex(), "exporter_secret": exporter.hex(), "encryptions": [],
            "exports": []}
    for seq in (0, 1, 2, 255, 256, 2**32) if cipher else ():
        n = bytes(a ^ b for a, b in zip(nonce, seq.to_bytes(12, "big")))
        aad, pt = f"message {seq}".encode(), draw(f"{name} {seq}", seq % 50)
        out["encryptions"].append({"seq": seq, "aad": aad.hex(), "nonce": n.hex(), "pt": pt.hex(),
                                   "ct": cipher(key).encrypt(n, pt, aad).hex()})
    for ctx, length in ((b"", 32), (b"x", 1), (b"own", 100)):
        out["exports"].append({
            "exporter_context": ctx.hex(), "L": length,
            "exported_value": labeled_expand(suite, exporter, b"sec", ctx, length).hex()})
    return out


def hpke():
    return [hpke_case(kem, aead, mode, b"own info" * mode)
            for kem in (X25519, P256) for aead in AEADS for mode in (0, 1)]


def hpke_rejects():
    out = []

    def add(kem, name, step, **fields):
        base = {"id": len(out) + 1, "kem_id": kem.ident, "kdf_id": 1, "aead_id": 2, "mode": 0,
                "name": name, "step": step, "expect": "reject",
                "skRm": kem.derive(draw("reject r")).hex(),
                "enc": kem.public(kem.derive(draw("reject e"))).hex()}
        out.append(base | fields)

    point = P256.public(P256.derive(draw("reject e")))
    add(X25519, "enc of order 1", "SetupBaseR", enc="00" * 32)
    add(X25519, "enc of order 4", "SetupBaseR", enc="01" + "00" * 31)
    add(X25519, "enc cut", "SetupBaseR", enc="09" + "00" * 30)
    add(P256, "enc not on the curve", "SetupBaseR",
        enc=(point[:-1] + bytes([point[-1] ^ 1])).hex())
    add(P256, "enc compressed", "SetupBaseR", enc=(b"\x02" + point[1:33]).hex())
    add(P256, "enc in the hybrid form", "SetupBaseR", enc=(b"\x06" + point[1:]).hex())
    add(P256, "the point at infinity", "SetupBaseR", enc="00")
    add(P256, "private key 0", "DeserializePrivateKey", skRm="00" * 32)
    add(P256, "private key n", "DeserializePrivateKey", skRm=N.to_bytes(32, "big").hex())
    add(X25519, "psk without psk_id", "SetupPSKR", mode=1, psk=draw("psk").hex(), psk_id="")
    add(X25519, "psk_id without psk", "SetupPSKR", mode=1, psk="", psk_id="61")
    add(X25519, "psk in base mode", "SetupBaseR", psk=draw("psk").hex(), psk_id="61")
    add(X25519, "psk of 31 bytes", "SetupPSKR", mode=1, psk=draw("psk", 31).hex(), psk_id="61")
    add(X25519, "a ciphertext of somebody else", "Open", ct=draw("ct", 40).hex(), aad="")
    add(X25519, "a ciphertext shorter than a tag", "Open", ct=draw("ct", 15).hex(), aad="")
    add(X25519, "seal with export-only", "Seal", aead_id=0xFFFF)
    add(P256, "sequence used up", "Seal", seq_dec=str(2**96 - 1))
    add(X25519, "export of too much", "Export", exporter_context="", L=8161)
    return out


# Wycheproof's formats.

def wycheproof(algorithm, groups):
    number = 0
    for group in groups:
        for test in group["tests"]:
            number += 1
            test["tcId"] = number
    return {"algorithm": algorithm, "numberOfTests": number, "testGroups": groups}


def aead_tests(cipher, name, key_len):
    key, out = draw(name, key_len), []

    def add(comment, result, iv, aad, msg, sealed):
        out.append({"comment": comment, "flags": [], "key": key.hex(), "iv": iv.hex(),
                    "aad": aad.hex(), "msg": msg.hex(), "ct": sealed[:-16].hex(),
                    "tag": sealed[-16:].hex(), "result": result})

    for i, (a, m) in enumerate(((0, 0), (0, 1), (5, 16), (20, 33), (0, 200))):
        iv, aad = draw(f"{name} iv {i}", 12), draw(f"{name} aad {i}", a)
        msg = draw(f"{name} msg {i}", m)
        sealed = cipher(key).encrypt(iv, msg, aad)
        add("good", "valid", iv, aad, msg, sealed)
        for bit in (0, 127):
            tag = bytearray(sealed)
            tag[-16 + bit // 8] ^= 1 << bit % 8
            add(f"bit {bit} of the tag changed", "invalid", iv, aad, msg, bytes(tag))
        add("another aad", "invalid", iv, aad + b"\0", msg, sealed)
        if msg:
            add("the first byte changed", "invalid", iv, aad, msg,
                bytes([sealed[0] ^ 1]) + sealed[1:])
    return {"type": "AeadTest", "ivSize": 96, "keySize": 8 * key_len, "tagSize": 128, "tests": out}


def signature_tests(sign, messages):
    tests = []
    for i, msg in enumerate(messages):
        sig = sign(msg)
        half = len(sig) // 2
        for comment, result, m, s in (
                ("good", "valid", msg, sig),
                ("another message", "invalid", msg + b"\0", sig),
                ("a bit changed", "invalid", msg, sig[:-1] + bytes([sig[-1] ^ 1])),
                ("cut", "invalid", msg, sig[:-1]),
                ("one byte more", "invalid", msg, sig + b"\0"),
                ("halves swapped", "invalid", msg, sig[half:] + sig[:half]),
                ("zeros", "invalid", msg, bytes(len(sig))),
                ("empty", "invalid", msg, b"")):
            tests.append({"comment": f"{comment} ({i})", "flags": [], "msg": m.hex(),
                          "sig": s.hex(), "result": result})
    return tests


MESSAGES = (b"", b"own message", draw("message", 300))


def ed25519_vectors():
    key = ed25519.Ed25519PrivateKey.from_private_bytes(draw("ed25519"))
    pk = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    order = 2**252 + 27742317777372353535851937790883648493
    tests = signature_tests(key.sign, MESSAGES)
    sig = key.sign(b"own message")
    high = (int.from_bytes(sig[32:], "little") + order).to_bytes(32, "little")
    tests.append({"comment": "s not reduced", "flags": [], "msg": b"own message".hex(),
                  "sig": (sig[:32] + high).hex(), "result": "invalid"})
    return wycheproof("EDDSA", [{
        "type": "EddsaVerify", "tests": tests,
        "publicKey": {"type": "EDDSAPublicKey", "curve": "edwards25519", "keySize": 255,
                      "pk": pk.hex()}}])


def ecdsa_sign(sk, msg):
    """r and s with k as in RFC 6979, so that the file is always the same."""
    z = hashlib.sha256(msg).digest()
    reduced = (int.from_bytes(z, "big") % N).to_bytes(32, "big")
    v, k = b"\1" * 32, bytes(32)
    for mark in (b"\0", b"\1"):
        k = hmac.new(k, v + mark + sk + reduced, hashlib.sha256).digest()
        v = hmac.new(k, v, hashlib.sha256).digest()
    nonce = hmac.new(k, v, hashlib.sha256).digest()
    r = int.from_bytes(P256.public(nonce)[1:33], "big") % N
    s = (int.from_bytes(z, "big") + r * int.from_bytes(sk, "big")) * \
        pow(int.from_bytes(nonce, "big"), -1, N) % N
    return r, s


def raw(r, s):
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def der(r, s):
    def integer(n):
        body = n.to_bytes(n.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes([len(body)]) + body
    both = integer(r) + integer(s)
    return b"\x30" + bytes([len(both)]) + both


def ecdsa_vectors():
    sk = P256.derive(draw("ecdsa"))
    key = {"type": "EcPublicKey", "curve": "secp256r1", "keySize": 256,
           "uncompressed": P256.public(sk).hex()}
    r, s = ecdsa_sign(sk, b"own message")
    extra = []
    for comment, result, pair in (("the other s", "valid", (r, N - s)), ("r = 0", "invalid", (0, s)),
                                  ("s = 0", "invalid", (r, 0)), ("s = n", "invalid", (r, N)),
                                  ("r = n", "invalid", (N, s))):
        extra.append((comment, result, pair))
    groups = []
    for kind, form in (("EcdsaP1363Verify", raw), ("EcdsaVerify", der)):
        tests = signature_tests(lambda m, form=form: form(*ecdsa_sign(sk, m)), MESSAGES)
        tests += [{"comment": c, "flags": [], "msg": b"own message".hex(),
                   "sig": form(*pair).hex(), "result": result} for c, result, pair in extra]
        groups.append({"type": kind, "publicKey": key, "sha": "SHA-256", "tests": tests})
    good = der(r, s)
    groups[1]["tests"].append({"comment": "length in two bytes", "flags": [], "result": "invalid",
                               "msg": b"own message".hex(),
                               "sig": (b"\x30\x81" + good[1:]).hex()})
    return wycheproof("ECDSA", groups)


# STREAM, in the layouts of age and Tink.

def stream_seal(cipher, key, prefix, chunk, plain, flags=None):
    pieces = [plain[i:i + chunk] for i in range(0, len(plain), chunk)] or [b""]
    width = 11 - len(prefix)
    out = []
    for i, piece in enumerate(pieces):
        last = flags[i] if flags else i == len(pieces) - 1
        out.append(cipher(key).encrypt(prefix + i.to_bytes(width, "big") + bytes([last]), piece,
                                       None))
    return out


def stream():
    names = (("AES-128-GCM", AESGCM, 16), ("AES-256-GCM", AESGCM, 32),
             ("ChaCha20-Poly1305", ChaCha20Poly1305, 32))
    vectors, rejects = [], []
    for name, cipher, key_len in names:
        for layout, prefix_len in (("ctr11be_last1", 0), ("prefix7_ctr4be_last1", 7)):
            for length in (0, 1, 31, 32, 33, 64, 70):
                label = f"stream {name} {layout} {length}"
                key, prefix = draw(label, key_len), draw(label + " prefix", prefix_len)
                plain = draw(label + " plain", length)
                sealed = b"".join(stream_seal(cipher, key, prefix, 32, plain))
                vectors.append({"id": len(vectors) + 1, "aead": name, "layout": layout,
                                "chunk": 32, "key": key.hex(), "prefix": prefix.hex(),
                                "plaintext": plain.hex(), "ciphertext": sealed.hex()})
    key, plain = draw("stream reject"), draw("stream reject plain", 70)
    good = stream_seal(AESGCM, key, b"", 32, plain)
    empty_end = stream_seal(AESGCM, key, b"", 32, plain[:32], [0])[0] + \
        AESGCM(key).encrypt((1).to_bytes(11, "big") + b"\1", b"", None)
    for why, pieces in (
            ("empty", []), ("last chunk gone", good[:2]), ("first chunk gone", good[1:]),
            ("chunks swapped", [good[1], good[0], good[2]]), ("first chunk twice", good[:1] + good),
            ("bytes behind", good + [b"\0"]), ("cut by one byte", [b"".join(good)[:-1]]),
            ("no final mark", stream_seal(AESGCM, key, b"", 32, plain, [0, 0, 0])),
            ("final mark in the middle", stream_seal(AESGCM, key, b"", 32, plain, [0, 1, 1])),
            ("an empty chunk after a full one", [empty_end])):
        rejects.append({"id": len(rejects) + 1, "aead": "AES-256-GCM", "layout": "ctr11be_last1",
                        "chunk": 32, "key": key.hex(), "prefix": "",
                        "ciphertext": b"".join(pieces).hex(), "why": why, "expect": "reject"})
    return {"vectors": vectors, "reject": rejects}


def cbor():
    reject = [
        ("1817", "23 in two bytes"), ("190018", "24 in three bytes"), ("1a00000100", "256 in five"),
        ("1b0000000000010000", "65536 in nine"), ("3800", "-1 in two"), ("580161", "length in two"),
        ("7801" + "61", "text length in two"), ("980100", "array length in two"),
        ("b8010001", "map length in two"), ("9fff", "indefinite array"), ("bfff", "indefinite map"),
        ("5fff", "indefinite bytes"), ("7fff", "indefinite text"), ("a202000100", "keys not in order"),
        ("a201000100", "a key twice"), ("f93c00", "a half float"), ("fa3f800000", "a float"),
        ("fb3ff0000000000000", "a double"), ("f7", "undefined"), ("e0", "simple 0"),
        ("f8ff", "simple 255"), ("61ff", "no UTF-8"), ("62c080", "overlong UTF-8"),
        ("63eda080", "a surrogate in UTF-8"), ("", "nothing"), ("18", "argument cut"),
        ("4261", "bytes cut"), ("8201", "array cut"), ("a101", "map cut"), ("0000", "two items"),
        ("1c", "reserved 28"), ("ff", "a break alone"), ("5bffffffffffffffff", "2^64-1 bytes"),
        ("9bffffffffffffffff", "2^64-1 items"), ("81" * 200 + "00", "too deep")]
    accept = ["00", "17", "1818", "18ff", "190100", "1a00010000", "1b0000000100000000",
              "1bffffffffffffffff", "20", "3863", "3b7fffffffffffffff", "3bffffffffffffffff", "40",
              "4161", "60", "63e6b0b4", "80", "820102", "a0", "a1613101", "a3010203042005", "f4",
              "f5", "81" * 10 + "00"]
    return {"reject": [{"id": i + 1, "hex": h, "why": w, "expect": "reject"}
                       for i, (h, w) in enumerate(reject)],
            "accept": [{"id": i + 1, "hex": h, "expect": "accept"} for i, h in enumerate(accept)]}


# The age testkit's format.

def b64(data):
    return base64.b64encode(data).rstrip(b"=")


def bech32(prefix, data):
    digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = "".join(f"{b:08b}" for b in data)
    values = [int(bits[i:i + 5].ljust(5, "0"), 2) for i in range(0, len(bits), 5)]
    low = prefix.lower()
    total = 1
    for v in [ord(c) >> 5 for c in low] + [0] + [ord(c) & 31 for c in low] + values + [0] * 6:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ v
        for i, row in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            total ^= row if top >> i & 1 else 0
    values += [(total ^ 1) >> 5 * (5 - i) & 31 for i in range(6)]
    return (low + "1" + "".join(digits[v] for v in values)).upper()


AGE_KEY, AGE_IDENTITY, AGE_PASS = draw("age file key", 16), draw("age identity"), b"own passphrase"


def age_x25519():
    ephemeral = draw("age ephemeral")
    share, recipient = X25519.public(ephemeral), X25519.public(AGE_IDENTITY)
    shared = X25519.dh(ephemeral, recipient)
    key = expand(extract(share + recipient, shared), b"age-encryption.org/v1/X25519", 32)
    body = ChaCha20Poly1305(key).encrypt(bytes(12), AGE_KEY, None)
    return b"-> X25519 " + b64(share) + b"\n" + b64(body) + b"\n"


def age_scrypt():
    salt = draw("age salt", 16)
    key = hashlib.scrypt(AGE_PASS, salt=b"age-encryption.org/v1/scrypt" + salt, n=2**10, r=8, p=1,
                         dklen=32)
    body = ChaCha20Poly1305(key).encrypt(bytes(12), AGE_KEY, None)
    return b"-> scrypt " + b64(salt) + b" 10\n" + b64(body) + b"\n"


def age_file(stanzas, plain):
    head = b"age-encryption.org/v1\n" + stanzas + b"---"
    mac = hmac.new(expand(extract(b"", AGE_KEY), b"header", 32), head, hashlib.sha256).digest()
    nonce = draw("age nonce", 16)
    key = expand(extract(nonce, AGE_KEY), b"payload", 32)
    return head + b" " + b64(mac) + b"\n" + nonce + \
        b"".join(stream_seal(ChaCha20Poly1305, key, b"", 65536, plain))


def age_armor(data, columns=64):
    text = base64.b64encode(data)
    lines = [text[i:i + columns] for i in range(0, len(text), columns)]
    return b"-----BEGIN AGE ENCRYPTED FILE-----\n" + b"".join(x + b"\n" for x in lines) + \
        b"-----END AGE ENCRYPTED FILE-----\n"


def age_vector(expect, body, released=None, who=AGE_IDENTITY, **more):
    head = [f"expect: {expect}"]
    if released is not None:
        head.append("payload: " + hashlib.sha256(released).hexdigest())
    head.append(f"file key: {AGE_KEY.hex()}")
    if who == AGE_PASS:
        head.append("passphrase: " + AGE_PASS.decode())
    else:
        head.append("identity: " + bech32("AGE-SECRET-KEY-", who))
    head += [f"{key}: {value}" for key, value in more.items()]
    return "\n".join(head).encode() + b"\n\n" + body


def age():
    plain, long = draw("age plain", 70), draw("age long", 65540)
    good, scrypt = age_file(age_x25519(), plain), age_file(age_scrypt(), plain)
    cut = age_file(age_x25519(), long)[:-1]
    mac_at = good.index(b"\n--- ") + 5
    other = b"A" if good[mac_at:mac_at + 1] != b"A" else b"B"
    bad_mac = good[:mac_at] + other + good[mac_at + 1:]
    return {
        "success": age_vector("success", good, plain),
        "armored": age_vector("success", b"\n" + age_armor(good), plain, armored="yes"),
        "armored_scrypt": age_vector("success", age_armor(scrypt), plain, AGE_PASS,
                                     armored="yes"),
        # level 0, as any zlib writes it
        "stored": age_vector("success", zlib.compress(good, 0), plain, compressed="zlib"),
        "last_chunk_cut": age_vector("payload failure", cut, long[:65536]),
        "no_match": age_vector("no match", good, who=draw("somebody else")),
        "bad_mac": age_vector("HMAC failure", bad_mac),
        "scrypt_not_alone": age_vector("header failure",
                                       age_file(age_scrypt() + age_x25519(), plain)),
        "no_nonce": age_vector("header failure", good[:good.index(b"\n", mac_at) + 1]),
        "version": age_vector("header failure", good.replace(b"org/v1", b"org/v2", 1)),
        "armor_columns": age_vector("armor failure", age_armor(good, 68), armored="yes"),
        "armor_no_end": age_vector("armor failure", age_armor(good)[:-20], armored="yes"),
    }


FILES = {
    "hpke.json": hpke,
    "hpke_rejects.json": hpke_rejects,
    "aes_gcm.json": lambda: wycheproof("AES-GCM", [aead_tests(AESGCM, "aes-128-gcm", 16),
                                                   aead_tests(AESGCM, "aes-256-gcm", 32)]),
    "chacha20_poly1305.json": lambda: wycheproof(
        "CHACHA20-POLY1305", [aead_tests(ChaCha20Poly1305, "chacha20-poly1305", 32)]),
    "ed25519.json": ed25519_vectors,
    "ecdsa_p256.json": ecdsa_vectors,
    "stream.json": stream,
    "cbor.json": cbor,
}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    bad = 0
    files = {f"age_{name}.bin": data for name, data in age().items()}
    os.makedirs(HERE, exist_ok=True)
    for name, make in FILES.items():
        files[name] = (json.dumps(make(), indent=1) + "\n").encode()
    for name, data in files.items():
        path = os.path.join(HERE, name)
        if not check:
            with open(path, "wb") as f:
                f.write(data)
        elif not os.path.exists(path) or open(path, "rb").read() != data:
            print(f"{path} is not what make_own.py makes")
            bad = 1
    sys.exit(bad)


main()
