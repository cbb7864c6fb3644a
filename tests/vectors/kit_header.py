"""Vectors with a defect in preamble, header, signature, chain or recipients."""

from earmark_encoder import Pairs, Raw, SignKey
from earmark_reference import (CERTIFICATE, P256, Tag18, cbor_encode, hint_of, sha256, u32)

DAY = 86400
L25519 = (1 << 252) + 27742317777372353535851937790883648493


def without(key):
    return lambda m: {k: v for k, v in m.items() if k != key}


def setting(key, value):
    return lambda m: {**m, key: value}


def patch(at, raw):
    return lambda b: b[:at] + raw + b[at + len(raw):]


def flip(at, bit=1):
    def hook(b):
        i = at % len(b)
        return b[:i] + bytes([b[i] ^ bit]) + b[i + 1:]
    return hook


# --- preamble -------------------------------------------------------------------------------

PREAMBLES = (
    ("magic-first", "first byte of magic without its high bit", flip(0, 0x80)),
    ("magic-letter", "a letter of magic in lower case", flip(3, 0x20)),
    ("magic-newline", "CR LF in magic turned to LF LF", patch(5, b"\n")),
    ("magic-last", "last byte of magic", flip(7)),
    ("version-0", "version 0", patch(8, b"\0")),
    ("version-2", "version 2", patch(8, b"\2")),
    ("layer-0", "layer 0", patch(9, b"\0")),
    ("layer-3", "layer 3", patch(9, b"\3")),
    ("flags-low", "lowest flag set", patch(11, b"\1")),
    ("flags-high", "highest flag set", patch(10, b"\x80")),
    ("header-len-0", "header_len 0", patch(12, bytes(4))),
    ("header-len-65537", "header_len 65537", patch(12, u32(65537))),
    ("header-len-max", "header_len 2^32 - 1", patch(12, u32(0xFFFFFFFF))),
)


def add_preambles(add):
    for name, why, change in PREAMBLES:
        add(f"file-preamble-{name}", "bad preamble", f"{why}, signed so", {"file.preamble": change})
        add(f"weights-preamble-{name}", "bad preamble", f"{why}, signed so",
            {"weights.preamble": change})
    add("file-preamble-layer-2", "bad preamble", "layer 2 where the file layer must be",
        {"file.preamble": patch(9, b"\2")})
    add("weights-preamble-layer-1", "bad preamble", "layer 1 where the weights layer must be",
        {"weights.preamble": patch(9, b"\1")})
    add("vault-preamble-version", "bad preamble", "version 2, signed so",
        {"weights.preamble": patch(8, b"\2")}, form="vault")
    add("vault-preamble-layer-1", "bad preamble", "a vault file of layer 1",
        {"weights.preamble": patch(9, b"\1")}, form="vault")
    for layer in ("file", "weights"):
        for more in (-1, 1):
            def change(p, more=more):
                return p[:12] + u32(int.from_bytes(p[12:], "big") + more)
            add(f"{layer}-header-len-{'more' if more > 0 else 'less'}-1", "bad cbor",
                f"header_len {more:+}, signed so", {f"{layer}.preamble": change})
    add("file-header-len-past-end", "bad cbor", "header_len 65536 in a shorter file (reading 3)",
        {"file.preamble": patch(12, u32(65536))})
    for size, expect in ((0, "bad preamble"), (15, "bad preamble"), (16, "bad cbor"),
                         (200, "bad cbor")):
        add(f"file-only-{size}-bytes", expect, f"only the first {size} bytes (reading 3)",
            {"file.bytes": lambda b, size=size: b[:size]})


# --- CBOR in core ---------------------------------------------------------------------------

def long_int(n):
    return Raw(bytes([0x1B]) + n.to_bytes(8, "big"))


def pairs_of(core):
    return sorted(core.items())


def with_value(key, raw):
    """Core with one value written as these bytes, or as a function of the value gives."""
    return lambda c: {**c, key: Raw(raw if type(raw) is bytes else raw(c[key]))}


def nested(n):
    return b"\x81" * n + b"\0"


CORE_ENCODINGS = (
    ("int-not-shortest", "created as eight bytes", lambda c: {**c, 9: long_int(c[9])}),
    ("int-24-in-two", "layer as 18 xx", with_value(2, lambda v: bytes([0x18, v]))),
    ("negative-not-shortest", "content algorithm as 3b", with_value(
        3, lambda v: b"\x3b" + (-1 - v).to_bytes(8, "big"))),
    ("bytes-not-shortest", "length of the file id in two bytes",
     with_value(1, lambda v: b"\x58\x10" + v)),
    ("bytes-indefinite", "file id in indefinite form", with_value(
        1, lambda v: b"\x5f\x50" + v + b"\xff")),
    ("array-not-shortest", "length of the suite in two bytes",
     with_value(6, lambda v: b"\x98\x04" + cbor_encode(v)[1:])),
    ("array-indefinite", "suite in indefinite form",
     with_value(6, lambda v: b"\x9f" + cbor_encode(v)[1:] + b"\xff")),
    ("float-16", "created as a half float", with_value(9, b"\xf9\x3c\x00")),
    ("float-32", "created as a single float", with_value(9, b"\xfa\x46\xa0\xf0\x00")),
    ("float-64", "created as a double float", with_value(9, b"\xfb\x40\xd4\x1e" + bytes(5))),
    ("null", "created is null", with_value(9, b"\xf6")),
    ("undefined", "created is undefined", with_value(9, b"\xf7")),
    ("true", "created is true", with_value(9, b"\xf5")),
    ("simple", "created is simple(32)", with_value(9, b"\xf8\x20")),
    ("false-long", "created is false in two bytes", with_value(9, b"\xf8\x14")),
    ("reserved-28", "created starts with additional information 28", with_value(9, b"\x1c")),
    ("break", "created is a break", with_value(9, b"\xff")),
    ("tag-time", "created in tag 1", with_value(9, lambda v: b"\xc1" + cbor_encode(v))),
    ("tag-18", "created in tag 18", with_value(9, lambda v: b"\xd2" + cbor_encode(v))),
    ("bignum", "created as a bignum", with_value(9, b"\xc2\x42\x50\x78")),
    ("deep", "created nested in 40 arrays", with_value(9, nested(40))),
    ("deep-1000", "created nested in 1000 arrays", with_value(9, nested(1000))),
    ("bytes-claim", "file id claims 2^62 bytes", with_value(1, b"\x5b\x40" + bytes(7))),
    ("bytes-claim-max", "file id claims 2^64 - 1 bytes", with_value(1, b"\x5b" + b"\xff" * 8)),
    ("array-claim", "suite claims 2^32 - 1 elements", with_value(6, b"\x9a\xff\xff\xff\xff")),
    ("map-claim", "created is a map that claims 2^63 pairs", with_value(9, b"\xbb\x80" + bytes(7))),
)

CORE_SHAPES = (
    ("file-id-15", "file id of 15 bytes", lambda c: {**c, 1: c[1][1:]}),
    ("file-id-17", "file id of 17 bytes", lambda c: {**c, 1: c[1] + b"\0"}),
    ("file-id-text", "file id is text", setting(1, "sixteen letters.")),
    ("layer-other", "layer in core is the other one", lambda c: {**c, 2: 3 - c[2]}),
    ("content-unknown", "content algorithm -65605 (reading 1)", setting(3, -65605)),
    ("content-positive", "content algorithm 3", setting(3, 3)),
    ("content-other-layer", "content algorithm of the other layer (reading 1)",
     lambda c: {**c, 3: -65603 if c[2] == 1 else -65601}),
    ("unit-other-layer", "unit of the other layer",
     lambda c: {**c, 4: 1 << 20 if c[2] == 1 else 65536}),
    ("unit-other", "unit 32768", setting(4, 32768)),
    ("unit-0", "unit 0", setting(4, 0)),
    ("length-negative", "length -1", setting(5, -1)),
    ("length-bytes", "length is a byte string", setting(5, b"\1")),
    ("suite-three", "suite of three numbers", lambda c: {**c, 6: c[6][:3]}),
    ("suite-five", "suite of five numbers", lambda c: {**c, 6: c[6] + [0]}),
    ("suite-text", "KEM as text", lambda c: {**c, 6: ["X25519"] + c[6][1:]}),
    ("suite-map", "suite is a map", setting(6, {})),
    ("signer-7", "signer of 7 bytes", lambda c: {**c, 7: c[7][1:]}),
    ("certificate-text", "certificate is text", setting(8, "sealed")),
    ("created-text", "created is text", setting(9, "2026-05-27")),
    ("key-10", "key 10 is not listed", setting(10, 0)),
    ("key-16", "key 16 is not listed", setting(16, 0)),
    ("key-negative", "key -1 is not listed", setting(-1, 0)),
    ("key-text", "a text key", setting("note", 0)),
    ("other-layers-key", "a key of the other layer",
     lambda c: {**c, 12 if c[2] == 1 else 11: bytes(16 if c[2] == 1 else 32)}),
)

WEIGHTS_SHAPES = (
    ("ticket-id-15", "ticket id of 15 bytes", lambda c: {**c, 12: c[12][1:]}),
    ("ticket-hash-31", "ticket hash of 31 bytes", lambda c: {**c, 13: c[13][1:]}),
    ("sealed-part-one", "sealed part without its hash", lambda c: {**c, 15: c[15][:1]}),
    ("sealed-part-hash-31", "hash of 31 bytes", lambda c: {**c, 15: [c[15][0], c[15][1][1:]]}),
    ("sealed-part-too-long", "sealed part of 8 MiB + 1 byte",
     lambda c: {**c, 15: [(8 << 20) + 1, c[15][1]]}),
    ("model-too-long", "model of 2^38 + 1 bytes", setting(5, (1 << 38) + 1)),
    ("model-2-64", "model of 2^64 - 1 bytes", setting(5, (1 << 64) - 1)),
)


def tail(raw):
    """The map's pairs behind its head of one byte."""
    return raw[1:]


CORE_RAWS = (
    ("trailing", "a byte behind the map", lambda r: r + b"\0"),
    ("cut", "the map's last byte is missing", lambda r: r[:-1]),
    ("empty", "no bytes", lambda r: b""),
    ("array", "an array in place of the map", lambda r: b"\x80"),
    ("map-not-shortest", "number of pairs in two bytes",
     lambda r: bytes([0xB8, r[0] & 31]) + tail(r)),
    ("map-indefinite", "the map in indefinite form", lambda r: b"\xbf" + tail(r) + b"\xff"),
    ("key-not-shortest", "key 1 in two bytes", lambda r: r[:1] + b"\x18\x01" + r[2:]),
    ("count-more", "one pair more than there is", lambda r: bytes([r[0] + 1]) + tail(r)),
    ("count-less", "one pair fewer than there is", lambda r: bytes([r[0] - 1]) + tail(r)),
    ("tagged", "the map in tag 18", lambda r: b"\xd2" + r),
)


def add_cores(add):
    for layer in ("file", "weights"):
        for name, why, change in CORE_ENCODINGS + CORE_SHAPES:
            add(f"{layer}-core-{name}", "bad cbor", f"core: {why}", {f"{layer}.core": change})
        for name, why, change in CORE_RAWS:
            add(f"{layer}-core-{name}", "bad cbor", f"core: {why}", {f"{layer}.core_raw": change})
        add(f"{layer}-core-duplicate", "bad cbor", "core: created twice, equal",
            {f"{layer}.core": lambda c: Pairs(p for q in pairs_of(c)
                                              for p in [q] * (2 if q[0] == 9 else 1))})
        add(f"{layer}-core-unsorted", "bad cbor", "core: two keys changed places",
            {f"{layer}.core": lambda c: Pairs(pairs_of(c)[1::-1] + pairs_of(c)[2:])})
        for name, raw in (("array", b"\x81\x01"), ("null", b"\xf6"), ("true", b"\xf5"),
                          ("map", b"\xa0"), ("bytes", b"\x41\x01")):
            add(f"{layer}-core-key-{name}", "bad cbor", f"core: a key that is {raw.hex()}",
                {f"{layer}.core": lambda c, raw=raw: Pairs(
                    sorted(pairs_of(c) + [(Raw(raw), 0)], key=lambda p: cbor_encode(p[0])))})
        add(f"{layer}-core-sorted-by-value", "bad cbor", "core: as if -1 came before 1",
            {f"{layer}.core": lambda c: Pairs([(-1, 0)] + pairs_of(c))})
        for key in (1, 2, 3, 4, 5, 6, 7, 9) + ((11,) if layer == "file" else (12, 13, 14, 15)):
            add(f"{layer}-core-without-{key}", "bad cbor", f"core: key {key} is missing",
                {f"{layer}.core": without(key)})
    for name, why, change in WEIGHTS_SHAPES:
        add(f"weights-core-{name}", "bad cbor", f"core: {why}", {"weights.core": change})
    add("file-core-request-hash-31", "bad cbor", "core: request hash of 31 bytes",
        {"file.core": lambda c: {**c, 11: c[11][1:]}})
    add("vault-core-key-10", "bad cbor", "core: key 10 is not listed",
        {"weights.core": setting(10, 0)}, form="vault")
    add("vault-core-trailing", "bad cbor", "core: a byte behind the map",
        {"weights.core_raw": lambda r: r + b"\0"}, form="vault")


# --- COSE_Sign1, protected, payload ---------------------------------------------------------

SIGNED = (
    ("unprotected-not-empty", "unprotected has a key", lambda p: [p[0], {5: 0}] + p[2:]),
    ("unprotected-array", "unprotected is an array", lambda p: [p[0], []] + p[2:]),
    ("protected-map", "protected is a map, not in a byte string",
     lambda p: [Raw(p[0])] + p[1:]),
    ("protected-empty", "protected is an empty byte string", lambda p: [b""] + p[1:]),
    ("payload-nil", "payload is nil (detached)", lambda p: p[:2] + [Raw(b"\xf6"), p[3]]),
    ("payload-text", "payload is text", lambda p: p[:2] + ["payload", p[3]]),
    ("signature-63", "signature of 63 bytes", lambda p: p[:3] + [p[3][:-1]]),
    ("signature-65", "signature of 65 bytes", lambda p: p[:3] + [p[3] + b"\0"]),
    ("signature-empty", "signature of no bytes", lambda p: p[:3] + [b""]),
    ("signature-text", "signature is text", lambda p: p[:3] + ["s" * 64]),
    ("three-parts", "no signature at all", lambda p: p[:3]),
    ("five-parts", "a fifth part", lambda p: p + [b""]),
)
HEADERS = (
    ("untagged", "no tag", lambda h: h[1:]),
    ("tag-17", "tag 17", lambda h: b"\xd1" + h[1:]),
    ("tag-98", "tag 98, COSE_Sign", lambda h: b"\xd8\x62" + h[1:]),
    ("tag-not-shortest", "tag 18 in two bytes", lambda h: b"\xd8\x12" + h[1:]),
    ("tag-twice", "tag 18 in tag 18", lambda h: b"\xd2" + h),
    ("indefinite", "the array in indefinite form", lambda h: b"\xd2\x9f" + h[2:] + b"\xff"),
    ("trailing", "a byte behind it, counted by header_len", lambda h: h + b"\0"),
)
PROTECTED = (
    ("unknown-key", "bad cbor", "key 3 in protected", setting(3, 0)),
    ("crit", "bad cbor", "key 2 (crit) in protected", setting(2, [1])),
    ("no-alg", "bad cbor", "alg is missing", without(1)),
    ("no-kid", "bad cbor", "kid is missing", without(4)),
    ("no-type", "bad cbor", "type is missing", without(-65537)),
    ("alg-text", "bad cbor", "alg is text", setting(1, "Ed25519")),
    ("kid-7", "bad cbor", "kid of 7 bytes", lambda m: {**m, 4: m[4][1:]}),
    ("kid-not-shortest", "bad cbor", "length of kid in two bytes",
     lambda m: {**m, 4: Raw(b"\x58\x08" + m[4])}),
    ("unsorted", "bad cbor", "kid before alg",
     lambda m: Pairs([(4, m[4]), (1, m[1]), (-65537, m[-65537])])),
    ("alg-eddsa", "bad signature", "alg -8, another name of Ed25519 (reading 1)", setting(1, -8)),
    ("alg-es256", "bad signature", "alg -7 (reading 1)", setting(1, -7)),
    ("alg-mismatch", "bad signature", "alg -9 and an Ed25519 key", setting(1, -9)),
    ("alg-hmac", "bad signature", "alg 5, HMAC-SHA256 (reading 1)", setting(1, 5)),
    ("kid-other", "bad signature", "kid of another key", lambda m: {**m, 4: m[4][::-1]}),
    ("type-other-layer", "bad signature", "type of the other layer's header",
     lambda m: {**m, -65537: 3 - m[-65537]}),
    ("type-ticket", "bad signature", "type 7", setting(-65537, 7)),
    ("type-0", "bad signature", "type 0", setting(-65537, 0)),
)
PAYLOADS = (
    ("version-0", "begins with 0", lambda p: [0] + p[1:]),
    ("version-2", "begins with 2", lambda p: [2] + p[1:]),
    ("version-text", "begins with text", lambda p: ["1"] + p[1:]),
    ("two", "no recipients at all", lambda p: p[:2]),
    ("four", "a fourth element", lambda p: p + [0]),
    ("core-map", "core is a map, not in a byte string", lambda p: [1, Raw(p[1]), p[2]]),
    ("no-recipient", "an empty array of recipients", lambda p: p[:2] + [[]]),
    ("recipients-map", "recipients are a map", lambda p: p[:2] + [{}]),
    ("65-recipients", "65 recipients", lambda p: p[:2] + [p[2] * 65]),
    ("in-map", "a map in place of the array", lambda p: {0: 1}),
)


def add_signed(add):
    for layer in ("file", "weights"):
        for name, why, change in SIGNED:
            add(f"{layer}-signed-{name}", "bad cbor", f"header: {why}", {f"{layer}.signed": change})
        for name, why, change in HEADERS:
            add(f"{layer}-signed-{name}", "bad cbor", f"header: {why}", {f"{layer}.header": change})
        for name, expect, why, change in PROTECTED:
            add(f"{layer}-protected-{name}", expect, f"header: {why}",
                {f"{layer}.protected": change})
        for name, why, change in PAYLOADS:
            add(f"{layer}-payload-{name}", "bad cbor", f"payload: {why}",
                {f"{layer}.payload": change})
        add(f"{layer}-payload-trailing", "bad cbor", "payload: a byte behind the array",
            {f"{layer}.payload_raw": lambda r: r + b"\0"})


# --- signature and chain --------------------------------------------------------------------

def add_scalar_order(parts):
    s = int.from_bytes(parts[3][32:], "little") + L25519
    return parts[:3] + [parts[3][:32] + s.to_bytes(32, "little")]


SIGNATURES = (
    ("flipped-first", "first bit of the signature", lambda p: p[:3] + [flip(0)(p[3])]),
    ("flipped-last", "last byte of the signature", lambda p: p[:3] + [flip(-1)(p[3])]),
    ("zero", "signature of zeros", lambda p: p[:3] + [bytes(64)]),
)


def resign(key_of, kid_of=None):
    """Strips the signature and signs as somebody else; core and kid tell the truth or not."""
    def hook(parts, c):
        key, protected = key_of(c), parts[0]
        if kid_of:
            protected = protected.replace(c.signer.kid, kid_of(c))
        layer = 1 if protected.endswith(b"\x01") else 2
        size = len(cbor_encode(Tag18([protected, {}, parts[2], bytes(64)])))
        preamble = bytes.fromhex("894541524d0d0a1a") + bytes([1, layer, 0, 0]) + u32(size)
        message = cbor_encode(["Signature1", protected, preamble, parts[2]])
        return [protected, {}, parts[2], key.sign(message)]
    return hook


def sign_over(context, with_aad):
    def hook(parts, c):
        size = len(cbor_encode(Tag18(parts)))
        layer = 1 if parts[0].endswith(b"\x01") else 2
        preamble = bytes.fromhex("894541524d0d0a1a") + bytes([1, layer, 0, 0]) + u32(size)
        aad = preamble if with_aad else b""
        return parts[:3] + [c.signer.sign(cbor_encode([context, parts[0], aad, parts[2]]))]
    return hook


def add_signatures(add):
    for layer in ("file", "weights"):
        for name, why, change in SIGNATURES:
            for kind in ("ed25519", "p256"):
                add(f"{layer}-{kind}-{name}", "bad signature", f"{why}, {kind}",
                    {f"{layer}.signed": change}, issuer_kind=kind)
        hook = f"{layer}.signed"
        add(f"{layer}-signature-malleable", "bad signature", "S of Ed25519 plus the group order",
            {hook: add_scalar_order})
        add(f"{layer}-signature-other-key", "bad signature", "signed by another key, kid kept",
            {hook: resign(lambda c: c.other)})
        add(f"{layer}-signature-stripped", "bad signature",
            "stripped and signed by another key under its own kid",
            {hook: resign(lambda c: c.other, lambda c: c.other.kid)})
        add(f"{layer}-signature-other-key-whole", "bad signature",
            "signed by another key, kid and signer in core its own",
            {hook: resign(lambda c: c.other, lambda c: c.other.kid),
             f"{layer}.core": lambda m, c: {**m, 7: c.other.kid}})
        add(f"{layer}-signature-no-aad", "bad signature", "signed without the preamble",
            {hook: sign_over("Signature1", False)})
        add(f"{layer}-signature-context", "bad signature", "signed with the context Signature",
            {hook: sign_over("Signature", True)})
        add(f"{layer}-signer-other", "bad signature", "signer in core is not kid",
            {f"{layer}.core": lambda m: {**m, 7: m[7][::-1]}})
        add(f"{layer}-signer-kid-other", "bad signature",
            "kid and signer agree, but are not the key's that signed",
            {f"{layer}.core": lambda m: {**m, 7: m[7][::-1]},
             f"{layer}.protected": lambda m: {**m, 4: m[4][::-1]}})
        add(f"{layer}-preamble-after", "bad cbor",
            "header_len and header changed after signing: one byte appended",
            {f"{layer}.preamble.after": lambda p: p[:12] + u32(int.from_bytes(p[12:], "big") + 1),
             f"{layer}.header.after": lambda h: h + b"\0"})
        add(f"{layer}-header-after", "bad signature", "a bit of the file id changed after signing",
            {f"{layer}.header.after": lambda h, c: h.replace(
                c.file_ids[-1], flip(0)(c.file_ids[-1]))})
        add(f"{layer}-signature-swapped", "bad signature", "ESP256 as s || r",
            {hook: lambda p: p[:3] + [p[3][32:] + p[3][:32]]}, issuer_kind="p256")
    add("vault-signature-flipped", "bad signature", "last byte of the signature",
        {"weights.signed": SIGNATURES[1][2]}, form="vault")
    add("vault-other-issuer", "bad signature", "signed by another issuer, all else its own",
        {"weights.signed": resign(lambda c: c.other, lambda c: c.other.kid),
         "weights.core": lambda m, c: {**m, 7: c.other.kid}}, form="vault")


def chain(change):
    """The same change to the certificate in both layers."""
    def hook(core, c):
        made = change(c)
        return {k: v for k, v in {**core, 8: made}.items() if v is not None}
    return {"file.core": hook, "weights.core": hook}


CHAINS = (
    ("missing", "no certificate", lambda c: None),
    ("other-key", "certificate of another sealing key",
     lambda c: c.certify(SignKey("ed25519", c.seeds["sealer2"]))),
    ("other-issuer", "certificate signed by another issuer",
     lambda c: c.certify(c.signer, issuer=c.other)),
    ("self-signed", "certificate signed by the sealing key itself",
     lambda c: c.certify(c.signer, issuer=c.signer)),
    ("by-sealer", "certificate signed by another, certified sealing key",
     lambda c: c.certify(c.signer, issuer=SignKey("ed25519", c.seeds["sealer2"]))),
    ("forged", "certificate signed by another key under the issuer's kid",
     lambda c: c.certify(c.signer, issuer=c.other, kid=c.issuer.kid)),
    ("kid-other", "certificate's kid is not the issuer's",
     lambda c: c.certify(c.signer, kid=c.issuer.kid[::-1])),
    ("other-type", "the same map signed as a device certificate (type 4)",
     lambda c: c.certify(c.signer, kind=CERTIFICATE)),
    ("flipped", "certificate's signature", lambda c: flip(-1)(c.certificate)),
    ("unknown-key", "certificate with key 4 (reading 5)",
     lambda c: c.certify(c.signer, change=setting(4, 0))),
    ("no-end", "certificate without not_after (reading 5)",
     lambda c: c.certify(c.signer, change=without(3))),
    ("trailing", "a byte behind the certificate (reading 5)", lambda c: c.certificate + b"\0"),
    ("garbage", "bytes that are no CBOR (reading 5)", lambda c: b"certificate"),
    ("key-31", "certified key of 31 bytes (reading 5)",
     lambda c: c.certify(c.signer, change=lambda m: {**m, 1: m[1][1:]})),
    ("key-off-curve", "certified key is no point (reading 5)",
     lambda c: c.certify(c.signer, change=setting(1, b"\4" + b"\1" * 64))),
    ("expired", "certificate ended two days before acceptance",
     lambda c: c.certify(c.signer, last=20601 * DAY)),
    ("not-yet-created", "created the day before the certificate's first",
     lambda c: c.certify(c.signer, first=20601 * DAY)),
)


def add_chains(add):
    for name, why, change in CHAINS:
        add(f"certificate-{name}", "bad signature", why, chain(change), sealer="ed25519",
            issued=20603 * DAY + 1000)
    for layer in ("file", "weights"):
        add(f"certificate-expired-{layer}", "bad signature",
            f"the {layer} layer's certificate has ended, the other's of the same key has not",
            {f"{layer}.core": lambda m, c: {**m, 8: c.certify(c.signer, last=20601 * DAY)}},
            sealer="ed25519", issued=20603 * DAY + 1000)
    add("certificate-missing-forged", "bad signature",
        "no certificate, a sealing key signs under the issuer's kid",
        {f"{layer}.{step}": hook for layer in ("file", "weights") for step, hook in (
            ("core", lambda m, c: {**without(8)(m), 7: c.issuer.kid}),
            ("protected", lambda m, c: {**m, 4: c.issuer.kid}))}, sealer="ed25519")
    add("certificate-created-later", "bad signature", "created the day after the last",
        chain(lambda c: c.certify(c.signer, first=20600 * DAY, last=20607 * DAY)),
        sealer="ed25519", issued=20603 * DAY + 1000, created=20608)
    add("certificate-not-yet-valid", "bad signature", "accepted before the certificate begins",
        chain(lambda c: c.certify(c.signer, first=20605 * DAY)), sealer="ed25519",
        issued=20603 * DAY + 1000, created=20605)
    add("certificate-vault-other-issuer", "bad signature", "certificate signed by another issuer",
        {"weights.core": lambda m, c: {**m, 8: c.certify(c.signer, issuer=c.other)}},
        sealer="ed25519", form="vault")
    for name, first, last in (("before", 20603, 20630), ("after", 20500, 20601)):
        add(f"certificate-vault-accepted-{name}", "bad signature",
            f"accepted {name} the certificate's period, opened within or not",
            {"weights.core": lambda m, c, first=first, last=last: {**m, 8: c.certify(
                c.signer, first=first * DAY, last=last * DAY)}},
            sealer="ed25519", form="vault", created=20603 if name == "before" else 20600,
            accepted=20602 * DAY, floor=20602 * DAY, issued=20610 * DAY)
    add("ok-certificate-vault-ended-since", "ok", "certificate held at acceptance, has ended since",
        {"weights.core": lambda m, c: {**m, 8: c.certify(c.signer, last=20602 * DAY)}},
        sealer="ed25519", form="vault", accepted=20601 * DAY, floor=20601 * DAY,
        issued=20610 * DAY)
    add("layers-other-signers", "bad signature",
        "weights layer by a certified sealing key, file layer by the issuer",
        sealer="ed25519", file_signer="issuer")
    add("layers-other-signers-2", "bad signature",
        "file layer by a certified sealing key, weights layer by the issuer",
        sealer="ed25519", weights_signer="issuer")


# --- recipients -----------------------------------------------------------------------------

def recipient(change):
    return lambda r: [change(list(r[0]))] + r[1:]


def hinted(ek_of):
    """The weights layer's recipient with another ek, its hint made for it."""
    def hook(r, c):
        ek = ek_of(r[0][1][-4])
        return [[r[0][0], {-4: ek, -65541: hint_of(ek, c.agree.public)}, r[0][2]]]
    return hook


RECIPIENTS = (
    ("two-parts", "two parts", lambda r: r[:2]),
    ("four-parts", "four parts", lambda r: r + [[]]),
    ("ciphertext-0", "ciphertext of no bytes", lambda r: r[:2] + [b""]),
    ("ciphertext-47", "ciphertext of 47 bytes", lambda r: r[:2] + [r[2][:-1]]),
    ("ciphertext-49", "ciphertext of 49 bytes", lambda r: r[:2] + [r[2] + b"\0"]),
    ("ciphertext-64", "ciphertext of 64 bytes", lambda r: r[:2] + [r[2] + bytes(16)]),
    ("ciphertext-text", "ciphertext is text", lambda r: r[:2] + ["c" * 48]),
    ("no-ek", "ek is missing", lambda r: [r[0], without(-4)(r[1]), r[2]]),
    ("ek-text", "ek is text", lambda r: [r[0], {**r[1], -4: "e" * 32}, r[2]]),
    ("unknown-key", "an unknown key in unprotected", lambda r: [r[0], {**r[1], 4: b"k"}, r[2]]),
    ("protected-key", "kid in protected",
     lambda r: [cbor_encode({1: 50, 4: b"k"}), r[1], r[2]]),
    ("protected-empty-map", "no alg in protected", lambda r: [b"\xa0"] + r[1:]),
    ("protected-empty", "protected of no bytes", lambda r: [b""] + r[1:]),
    ("protected-map", "protected is a map", lambda r: [Raw(r[0])] + r[1:]),
    ("protected-not-shortest", "alg in four bytes",
     lambda r: [b"\xa1\x01\x1a" + u32(r[0][-1])] + r[1:]),
    ("alg-other", "alg of another suite", lambda r: [cbor_encode({1: 46})] + r[1:]),
    ("protected-trailing", "a byte behind protected", lambda r: [r[0] + b"\0"] + r[1:]),
)


def add_recipients(add):
    for layer in ("file", "weights"):
        for name, why, change in RECIPIENTS:
            add(f"{layer}-recipient-{name}", "bad cbor", f"recipient: {why}",
                {f"{layer}.recipients": recipient(change)})
        add(f"{layer}-recipient-second-other-alg", "bad cbor",
            "recipient: the second has the alg of another suite",
            {f"{layer}.recipients": lambda r: r + [[cbor_encode({1: -65611})] + r[0][1:]]})
    add("file-recipient-hint", "bad cbor", "recipient: a hint in the file layer",
        {"file.recipients": recipient(lambda r: [r[0], {**r[1], -65541: bytes(4)}, r[2]])})
    for n in (3, 5):
        add(f"weights-recipient-hint-{n}", "bad cbor", f"recipient: hint of {n} bytes",
            {"weights.recipients": recipient(
                lambda r, n=n: [r[0], {**r[1], -65541: (r[1][-65541] * 2)[:n]}, r[2]])})
    add("weights-recipient-no-hint", "bad cbor", "recipient: no hint in the weights layer",
        {"weights.recipients": recipient(lambda r: [r[0], without(-65541)(r[1]), r[2]])})
    add("weights-hint-wrong", "no matching recipient", "hint flipped",
        {"weights.recipients": recipient(
            lambda r: [r[0], {**r[1], -65541: flip(0)(r[1][-65541])}, r[2]])})
    add("weights-other-device", "no matching recipient", "sealed to another device's key",
        {"weights.recipients": lambda r, c: [c.seal(to=c.agree2)]})
    add("weights-hint-right-key-wrong", "hpke failure",
        "sealed to another key with a hint for ours",
        {"weights.recipients": lambda r, c: [
            [s[0], {**s[1], -65541: hint_of(s[1][-4], c.agree.public)}, s[2]]
            for s in [c.seal(to=c.agree2)]]})
    add("file-suite-other-kem", "no matching recipient",
        "sealed to a P-256 key though the request's is X25519 (reading 7)",
        {"file.core": setting(6, [0x10, 1, 2, 0]),
         "file.recipients": lambda r, c: [c.seal(to=c.agree2, suite=(0x10, 1, 2))]})
    add("file-key-wrong", "hpke failure", "sealed to another request key",
        {"file.recipients": lambda r, c: [c.seal(to=c.request2)]})


POINTS = (
    ("x25519", "zero", "ek of zeros", lambda e: bytes(32)),
    ("x25519", "one", "ek 1, of low order", lambda e: b"\1" + bytes(31)),
    ("x25519", "p", "ek p, zero not in canonical form", lambda e: b"\xed" + b"\xff" * 30 + b"\x7f"),
    ("x25519", "p-minus-1", "ek p - 1, of low order", lambda e: b"\xec" + b"\xff" * 30 + b"\x7f"),
    ("x25519", "31", "ek of 31 bytes (reading 2)", lambda e: e[:-1]),
    ("x25519", "33", "ek of 33 bytes (reading 2)", lambda e: e + b"\0"),
    ("x25519", "empty", "ek of no bytes (reading 2)", lambda e: b""),
    ("x25519", "flipped", "a bit of ek", flip(5)),
    ("p256", "off-curve", "ek is not on the curve", flip(-1)),
    ("p256", "compressed", "ek compressed, 33 bytes (reading 2)",
     lambda e: bytes([2 + (e[-1] & 1)]) + e[1:33]),
    ("p256", "hybrid", "ek in hybrid form", lambda e: bytes([6 + (e[-1] & 1)]) + e[1:]),
    ("p256", "infinity", "ek is the point at infinity (reading 2)", lambda e: b"\0"),
    ("p256", "zeros", "ek is 04 and zeros", lambda e: b"\4" + bytes(64)),
    ("p256", "64", "ek without its first byte (reading 2)", lambda e: e[1:]),
    ("p256", "66", "ek of 66 bytes (reading 2)", lambda e: e + b"\0"),
    ("p256", "x-too-large", "x not reduced", lambda e: b"\4" + b"\xff" * 32 + e[33:]),
    ("p256", "negated", "ek is the other point of the same x",
     lambda e: e[:33] + ((1 << 256) - (1 << 224) + (1 << 192) + (1 << 96) - 1
                         - int.from_bytes(e[33:], "big")).to_bytes(32, "big")),
)


def replace_ek(change):
    return recipient(lambda r: [r[0], {**r[1], -4: change(r[1][-4])}, r[2]])


def add_points(add):
    for kem, name, why, change in POINTS:
        if kem == "x25519":
            add(f"file-ek-{name}", "hpke failure", why, {"file.recipients": replace_ek(change)})
            continue
        add(f"file-p256-ek-{name}", "hpke failure", why, {"file.recipients": replace_ek(change)},
            file_kem=P256)
        add(f"weights-ek-{name}", "hpke failure", why + ", its hint right",
            {"weights.recipients": hinted(change)})


def add_envelopes(add):
    for layer in ("file", "weights"):
        hook = f"{layer}.recipients"
        other = -65602 if layer == "file" else -65604
        add(f"{layer}-envelope-flipped", "hpke failure", "first bit of the sealed CEK",
            {hook: recipient(lambda r: r[:2] + [flip(0)(r[2])])})
        add(f"{layer}-envelope-tag-flipped", "hpke failure", "last bit of the sealed CEK's tag",
            {hook: recipient(lambda r: r[:2] + [flip(-1)(r[2])])})
        add(f"{layer}-envelope-other-file", "hpke failure", "envelope bound to another core",
            {hook: lambda r, c: [c.seal(hashed=sha256(b"another core"))]})
        add(f"{layer}-envelope-other-content", "hpke failure",
            "envelope bound to another content algorithm",
            {hook: lambda r, c, other=other: [c.seal(content=other)]})
        add(f"{layer}-envelope-unbound", "hpke failure", "envelope bound to an empty extra",
            {hook: lambda r, c: [c.seal(hashed=b"")]})
        add(f"{layer}-envelope-other-cek", "commitment mismatch",
            "envelope well made, of another CEK",
            {hook: lambda r, c: [c.seal(sealed=bytes(range(32)))]})
        for name, why, change in (("flipped", "a bit of commit", flip(0)),
                                  ("last", "last bit of commit", flip(-1, 0x80)),
                                  ("zero", "commit of zeros", bytes(32))):
            add(f"{layer}-commit-{name}", "commitment mismatch", why, {f"{layer}.commit": change})
    for suite, expect in (((0x11, 1, 3, 0), "unsupported"), ((0x20, 1, 1, 0), "unsupported"),
                          ((0x20, 3, 3, 0), "unsupported"), ((0x20, 1, 3, 1), "unsupported"),
                          ((0x20, 1, 3, 2), "unsupported")):
        add("file-suite-" + "-".join(f"{n:x}" for n in suite), expect, f"suite {list(suite)}",
            {"file.core": setting(6, list(suite))})
    for suite in ((0x10, 1, 3, 0), (0x20, 1, 3, 0), (0x10, 1, 2, 1), (0x647A, 1, 3, 0)):
        add("weights-suite-" + "-".join(f"{n:x}" for n in suite), "unsupported",
            f"suite {list(suite)}", {"weights.core": setting(6, list(suite))})


def add_headers(add):
    for group in (add_preambles, add_cores, add_signed, add_signatures, add_chains,
                  add_recipients, add_points, add_envelopes):
        group(add)
