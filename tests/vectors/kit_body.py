"""Vectors with a defect in the ticket, in what binds, in chunks, segments, sealed part, digests."""

from earmark_encoder import Raw, SignKey, encrypt_segment, sign_message
from earmark_reference import (CERTIFICATE, RECEIPT, SEGMENT, TICKET, X25519, ChaCha20Poly1305,
                               Signed, cbor_decode, cbor_encode, device_id, hkdf_expand, nonce,
                               sha256, u32, u64)
from kit_header import flip, setting, without

TWO_CHUNKS, THREE_CHUNKS = bytes(65536), bytes(2 * 65536)  # with what the weights layer adds

def swapped(items, a, b):
    items = list(items)
    items[a], items[b] = items[b], items[a]
    return items


def other_than(key):
    return lambda m: {**m, key: flip(0)(m[key])}


# --- ticket and bindings --------------------------------------------------------------------

TICKETS = (
    ("device", "device id of another device", other_than(2)),
    ("agreement-key", "agreement key of another device",
     lambda t, c: {**t, 3: [16, c.agree2.public]}),
    ("request-key", "another request key", lambda t, c: {**t, 4: [X25519, c.request2.public]}),
    ("request-hash", "another request hash", other_than(7)),
)
TICKET_CBOR = (
    ("unknown-key", "key 10", setting(10, 0)),
    ("id-15", "ticket id of 15 bytes", lambda t: {**t, 1: t[1][1:]}),
    ("hash-31", "request hash of 31 bytes", lambda t: {**t, 7: t[7][1:]}),
    ("kem-unknown", "request key of KEM 0x11", lambda t: {**t, 4: [0x11, t[4][1]]}),
    ("key-length", "request key of 31 bytes", lambda t: {**t, 4: [t[4][0], t[4][1][1:]]}),
    ("device-kem", "device key of KEM 0x20", lambda t: {**t, 3: [0x20, bytes(32)]}),
    ("never-valid", "expires when it is issued", lambda t: {**t, 9: t[8]}),
    ("negative-time", "issued before 1970", setting(8, -1)),
    ("policy-text", "policy is text", setting(5, "policy")),
) + tuple((f"without-{key}", f"key {key} is missing", without(key)) for key in range(1, 10))


def add_tickets(add):
    for name, why, change in TICKETS:
        add(f"ticket-other-{name}", "binding mismatch", f"ticket: {why}", {"ticket": change})
    for name, why, change in TICKET_CBOR:
        add(f"ticket-cbor-{name}", "bad cbor", f"ticket: {why}", {"ticket": change})
    add("ticket-identity-device", "binding mismatch", "ticket: identity names another device",
        {"identity": other_than(6)})
    add("ticket-signature", "bad signature", "ticket: signature flipped", {"ticket.raw": flip(-1)})
    add("ticket-trailing", "bad cbor", "ticket: a byte behind it",
        {"ticket.raw": lambda r: r + b"\0"})
    add("ticket-other-issuer", "bad signature", "ticket: signed by another issuer",
        {"ticket.raw": lambda r, c: sign_again(r, c.other, TICKET)})
    add("ticket-by-sealer", "bad signature", "ticket: signed by a certified sealing key",
        {"ticket.raw": lambda r, c: sign_again(r, c.signer, TICKET)}, sealer="ed25519")
    add("ticket-kid-other", "bad signature", "ticket: kid is not the issuer's",
        {"ticket.raw": lambda r, c: sign_again(r, c.issuer, TICKET, c.issuer.kid[::-1])})
    add("ticket-forged", "bad signature", "ticket: signed by another key under the issuer's kid",
        {"ticket.raw": lambda r, c: sign_again(r, c.other, TICKET, c.issuer.kid)})
    for kind in (RECEIPT, CERTIFICATE):
        add(f"ticket-type-{kind}", "bad signature", f"ticket: signed as type {kind}",
            {"ticket.raw": lambda r, c, kind=kind: sign_again(r, c.issuer, kind)})
    add("ticket-expired", "policy refused", "ticket: expired a second ago",
        {"ticket": lambda t: {**t, 9: t[8] + 599}})
    add("ticket-issued-later", "ok", "the clock is an hour before the ticket's time of issue",
        head=lambda c: {"now": c.issued - 3600})
    add("ticket-held-other-request", "binding mismatch", "the held key is of another request",
        head=lambda c: {"request_private": f"{X25519} {c.seeds['request2'].hex()}"})
    add("ticket-held-other-hash", "binding mismatch", "the held request has another hash",
        head={"request_hash": sha256(b"another").hex()})
    add("ticket-wrong-device", "binding mismatch", "the device has another signing key",
        head=lambda c: {"device_sign_public": SignKey("p256", c.seeds["agree2"]).public.hex()})


def sign_again(raw, key, kind, kid=None):
    """The same payload, signed by another key or as another type."""
    return sign_message(key, kind, cbor_decode(Signed(raw).payload), kid)


def add_bindings(add):
    add("bind-request-hash", "binding mismatch", "file layer answers another request",
        {"file.core": other_than(11)})
    add("bind-ticket-id", "binding mismatch", "weights layer names another ticket id",
        {"weights.core": other_than(12)})
    add("bind-ticket-hash", "binding mismatch", "weights layer names another ticket hash",
        {"weights.core": other_than(13)})
    add("bind-policy-wider", "binding mismatch", "policy expires later than the ticket's",
        {"weights.core": lambda c: {**c, 14: cbor_encode({2: 1 << 40})}})
    add("bind-policy-narrower", "binding mismatch", "policy has a rule the ticket's has not",
        {"weights.core": lambda m, c: {**m, 14: cbor_encode({2: c.issued + 90 * 86400, 3: 9})}})
    for key, name in ((1, "model"), (5, "user")):
        add(f"bind-identity-{name}", "binding mismatch", f"identity names another {name}",
            {"sealed": lambda m, c, key=key: {**m, 4: cbor_encode(
                {1: "speech-small", 5: "user-417", 6: c.device_id, key: "other"})}})
    add("bind-identity-device", "binding mismatch", "identity names another device",
        {"sealed": lambda m, c: {**m, 4: cbor_encode(
            {1: "speech-small", 5: "user-417", 6: device_id(b"", b"")})}})


# --- file layer's body ----------------------------------------------------------------------

def add_file_lengths(add):
    for name, change in (("truncated-1", lambda b: b[:-1]), ("extended-1", lambda b: b + b"\0"),
                         ("truncated-16", lambda b: b[:-16]), ("doubled", lambda b: b + b),
                         ("extended-4096", lambda b: b + bytes(4096))):
        add(f"file-{name}", "length mismatch", f"file {name.replace('-', ' by ')}",
            {"file.bytes": change})
    for name, keep in (("commit", 0), ("half-commit", 16), ("chunks", 32)):
        add(f"file-without-{name}", "length mismatch", f"file ends where its {name} should begin",
            {"file.bytes": lambda b, keep=keep: b[:16 + int.from_bytes(b[12:16], "big") + keep]})
    for name, change in (("less-1", lambda n: n - 1), ("more-1", lambda n: n + 1),
                         ("0", lambda n: 0), ("2-38", lambda n: 1 << 38),
                         ("2-64", lambda n: (1 << 64) - 1),
                         ("more-chunk", lambda n: n + 65552)):
        add(f"file-length-{name}", "length mismatch", f"length in core: {name}, signed so",
            {"file.core": lambda c, change=change: {**c, 5: change(c[5])}})
    add("file-dropped-chunk", "length mismatch", "second chunk dropped",
        {"file.chunks": lambda k: k[:1] + k[2:]}, model=TWO_CHUNKS)
    add("file-no-final", "length mismatch", "last chunk dropped",
        {"file.chunks": lambda k: k[:-1]}, model=TWO_CHUNKS)
    add("file-added-chunk", "length mismatch", "an empty last chunk behind one that is not last",
        {"file.pieces": lambda p: p + [b""], "file.last": [False, True]})
    add("file-empty-final-only", "length mismatch", "an empty last chunk in place of all",
        {"file.pieces": [b""]})


def short_middle(pieces):
    return [pieces[0], pieces[1][:-7], pieces[1][-7:] + pieces[2]]


CHUNKS = (
    ("flipped-first", "first bit of the only chunk", b"", lambda k: [flip(0)(k[0])]),
    ("tag-flipped", "last bit of the only chunk's tag", b"", lambda k: [flip(-1)(k[0])]),
    ("last-tag-flipped", "tag of chunk 1, the last, flipped", TWO_CHUNKS,
     lambda k: [k[0], flip(-16)(k[1])]),
    ("swapped", "chunks 0 and 1 changed places", THREE_CHUNKS, lambda k: swapped(k, 0, 1)),
    ("duplicated", "chunk 0 again in place of chunk 1", THREE_CHUNKS,
     lambda k: [k[0], k[0]] + k[2:]),
)


def add_chunks(add):
    for name, why, model, change in CHUNKS:
        add(f"chunk-{name}", "chunk failure", why, {"file.chunks": change}, model=model or b"M")
    add("chunk-no-last-flag", "chunk failure", "last chunk sealed as not last",
        {"file.last": lambda f: [False] * len(f)})
    add("chunk-two-finals", "chunk failure", "chunk 0 sealed as last as well",
        {"file.last": lambda f: [True] * len(f)}, model=TWO_CHUNKS)
    add("chunk-short-middle", "chunk failure", "chunk 1 is 7 bytes short, the last longer",
        {"file.pieces": short_middle}, model=THREE_CHUNKS)
    add("chunk-dropped-signed", "chunk failure", "chunk 1 dropped and the signed length fits",
        {"file.core": lambda c: {**c, 5: c[5] - 65536}, "file.chunks": lambda k: [k[0]] + k[2:]},
        model=THREE_CHUNKS, head={"or": "length mismatch"})
    add("chunk-truncated-signed", "chunk failure", "last chunk dropped and the signed length fits",
        {"file.core": lambda c: {**c, 5: 65536}, "file.chunks": lambda k: k[:1]},
        model=TWO_CHUNKS)
    add("chunk-associated-data", "chunk failure", "chunk sealed with associated data",
        {"file.chunks": lambda k, c: [c.keys.file().encrypt(nonce(0, True), bytes(len(k[0]) - 16),
                                                            b"0")]})
    add("chunk-index-1", "chunk failure", "the only chunk has number 1",
        {"file.chunks": lambda k, c: [c.keys.file().encrypt(nonce(1, True), bytes(len(k[0]) - 16),
                                                            None)]})
    add("chunk-other-aead", "chunk failure", "chunks sealed with the other AEAD",
        {"file.chunks": lambda k, c: [other_aead(c).encrypt(nonce(0, True), bytes(len(k[0]) - 16),
                                                            None)]})


def other_aead(c):
    return ChaCha20Poly1305(hkdf_expand(c.keys.prk, b"earmark/1 file key", 32))


# --- weights layer's lengths and segments ---------------------------------------------------

def add_weights_lengths(add):
    for name, change in (("truncated-1", lambda b: b[:-1]), ("extended-1", lambda b: b + b"\0"),
                         ("truncated-16", lambda b: b[:-16]),
                         ("extended-16", lambda b: b + bytes(16)),
                         ("cut-in-sealed-part", lambda b: b[:-900])):
        add(f"weights-{name}", "length mismatch",
            f"weights layer {name.replace('-', ' ')}, file layer made for it",
            {"weights.bytes": change})
    for more in (-1, 1):
        add(f"weights-length-{'more' if more > 0 else 'less'}-1", "length mismatch",
            f"model's length in core {more:+}, signed so",
            {"weights.core": lambda c, more=more: {**c, 5: c[5] + more}})
    add("weights-sealed-part-8-mib", "length mismatch", "sealed part claims 8 MiB, file is shorter",
        {"weights.core": lambda c: {**c, 15: [8 << 20, c[15][1]]}})
    add("weights-bytes-empty", "bad preamble", "file layer around no bytes",
        {"weights.bytes": b""})
    add("weights-bytes-model", "bad preamble", "file layer around the plain model",
        {"weights.bytes": bytes(1000)})
    add("weights-bytes-header", "length mismatch", "weights layer ends with its header",
        {"weights.bytes": lambda b: b[:16 + int.from_bytes(b[12:16], "big")]})
    add("weights-bytes-cut-header", "bad cbor", "weights layer ends within its header (reading 3)",
        {"weights.bytes": lambda b: b[:100]})
    add("file-is-weights-layer", "bad preamble", "a bare weights layer, no file layer around it",
        {"file.bytes": lambda b, c: c.inner})
    add("file-twice", "bad preamble", "a file layer in place of the weights layer",
        {"weights.bytes": lambda b: b[:9] + b"\1" + b[10:]})


def segment(i, **changes):
    """Changes segment i of the list: ct or tag through functions."""
    def hook(segments):
        segments = [dict(g) for g in segments]
        for key, change in changes.items():
            segments[i][key] = change(segments[i][key])
        return segments
    return hook


def exchange(a, b, *keys):
    def hook(segments):
        segments = [dict(g) for g in segments]
        for key in keys:
            segments[a][key], segments[b][key] = segments[b][key], segments[a][key]
        return segments
    return hook


def reseal(i, region=None, number=None, last=True, kind=1, aead=None):
    """Seals segment i (the only one of region i) once more, with one input other."""
    def hook(segments, c):
        segments = [dict(g) for g in segments]
        plain = c.regions[i - 1][1] if i else c.sealed_raw
        keys = c.vault_keys if c.form == "vault" else c.keys
        cipher = aead(c, keys) if aead else keys.region(i if region is None else region)
        made = encrypt_segment(cipher, number or 0, last, kind, plain)
        segments[i]["c"], segments[i]["tag"] = made
        return segments
    return hook


def chacha(c, keys):
    return ChaCha20Poly1305(hkdf_expand(keys.prk, b"earmark/1 region key\0" + u32(1), 32))


SEGMENTS = (
    ("flipped", "a bit of region 1", segment(1, c=flip(5))),
    ("last-flipped", "last byte of the last region", segment(3, c=flip(-1))),
    ("tag-flipped", "tag of region 2 flipped", segment(2, tag=flip(0))),
    ("tag-zero", "tag of region 3 is zeros", segment(3, tag=lambda t: bytes(16))),
    ("sealed-part-flipped", "a bit of the sealed part", segment(0, c=flip(9))),
    ("sealed-part-tag", "tag of the sealed part flipped", segment(0, tag=flip(-1))),
    ("regions-swapped", "regions 2 and 3, of equal length, changed places",
     exchange(2, 3, "c", "tag")),
    ("regions-swapped-without-tags", "regions 2 and 3 changed places, their tags did not",
     exchange(2, 3, "c")),
    ("tags-swapped", "tags of regions 2 and 3 changed places", exchange(2, 3, "tag")),
    ("other-region", "region 1 sealed under the key of region 2", reseal(1, region=2)),
    ("sealed-part-other-region", "sealed part under the key of region 1", reseal(0, region=1)),
    ("number", "region 1 sealed as segment 1", reseal(1, number=1)),
    ("not-last", "the only segment of region 1 sealed as not last", reseal(1, last=False)),
    ("clear", "region 1 in clear though its kind is 0", reseal(1, kind=2)),
    ("other-aead", "region 1 sealed with the other AEAD", reseal(1, aead=chacha)),
)
CLEAR = (
    ("changed", "a byte of the clear region", segment(1, c=flip(0))),
    ("tag", "tag of the clear region", segment(1, tag=flip(0))),
    ("sealed", "the clear region is sealed as kind 1", reseal(1, kind=1)),
    ("other-region", "the clear region under another region's key", reseal(1, region=2, kind=2)),
)


def add_segments(add, form):
    for name, why, change in SEGMENTS:
        add(f"segment-{form}-{name}", "region failure", why, {"weights.segments": change},
            form=form)
    for name, why, change in CLEAR:
        add(f"clear-{form}-{name}", "region failure", why, {"weights.segments": change}, form=form,
            model=bytes(90), cuts=[30, 60], kinds=[2, 1])


def add_long_segments(add):
    """In the vault form and clear, where they compress."""
    model = b"\x11" * SEGMENT + b"\x22" * SEGMENT + b"\x33" * 40
    for name, why, change in (
            ("swapped", "segments 0 and 1 changed places with their tags",
             exchange(1, 2, "c", "tag")),
            ("swapped-without-tags", "segments 0 and 1 changed places", exchange(1, 2, "c")),
            ("tags-swapped", "tags of segments 1 and 2 changed places", exchange(2, 3, "tag")),
            ("last-changed", "a byte of the last segment", segment(3, c=flip(-1))),
            ("second-changed", "first byte of the second segment", segment(2, c=flip(0)))):
        add(f"segment-long-{name}", "region failure", why, {"weights.segments": change},
            form="vault", model=model, kinds=[2])


# --- sealed part and digests ----------------------------------------------------------------

def regions(change):
    """The list of regions as [(length, kind)], changed."""
    def hook(sealed):
        raw = sealed[2]
        pairs = [(int.from_bytes(raw[i:i + 8], "big"), raw[i + 8]) for i in range(0, len(raw), 9)]
        return {**sealed, 2: b"".join(u64(n) + bytes([k]) for n, k in change(pairs))}
    return hook


def index(*entries):
    return lambda s: {**s, 6: list(entries)}


def files(*entries):
    """The last entry's None becomes what is left of the model."""
    def hook(sealed):
        total = sum(int.from_bytes(sealed[2][i:i + 8], "big") for i in range(0, len(sealed[2]), 9))
        done = [list(entry) for entry in entries]
        done[-1][1] = total - sum(entry[1] for entry in done[:-1])
        return {**sealed, 8: done}
    return hook


SEALED = tuple((f"without-{key}", f"key {key} is missing", without(key))
               for key in (1, 2, 4, 5, 6, 7)) + (
    ("unknown-key", "key 9", setting(9, 0)),
    ("files-none", "a list of no files", setting(8, [])),
    ("files-number", "files is a number", setting(8, 0)),
    ("files-short", "files that end before the model", setting(8, [["a", 1]])),
    ("files-long", "files that end behind the model", setting(8, [["a", 1 << 38]])),
    ("files-three", "file of three parts", files(["a", None, 0])),
    ("files-escape", "path that leaves its folder", files(["../a", None])),
    ("files-escape-inside", "path that leaves its folder from inside", files(["a/../../b", None])),
    ("files-dot", "path with the component .", files(["./a", None])),
    ("files-absolute", "absolute path", files(["/a", None])),
    ("files-empty-name", "empty component", files(["a//b", None])),
    ("files-trailing-slash", "path that ends with /", files(["a/", None])),
    ("files-empty-path", "path of no bytes", files(["", None])),
    ("files-backslash", "path with a backslash", files(["a\\b", None])),
    ("files-control", "path with a line feed", files(["a\nb", None])),
    ("files-long-path", "path of 256 bytes", files(["a" * 256, None])),
    ("files-twice", "one path twice", files(["a", 1], ["a", None])),
    ("files-unsorted", "paths out of order", files(["b", 1], ["a", None])),
    ("files-folder", "a path that is a folder of another", files(["a", 1], ["a/b", None])),
    ("files-slash-order", "order in which / is not the lowest", files(["a-b", 1], ["a/b", None])),
    ("files-bytes", "path as bytes", files([b"a", None])),
    ("dsalt-31", "dsalt of 31 bytes", lambda s: {**s, 1: s[1][1:]}),
    ("regions-cut", "region list one byte short", lambda s: {**s, 2: s[2][:-1]}),
    ("kind-3", "region of kind 3", regions(lambda p: p[:-1] + [(p[-1][0], 3)])),
    ("kind-255", "region of kind 255", regions(lambda p: p[:-1] + [(p[-1][0], 255)])),
    ("empty-region", "region of length 0",
     lambda s: {**regions(lambda p: p + [(0, 1)])(s), 3: s[3] + bytes(32)}),
    ("digests-fewer", "one digest fewer than regions", lambda s: {**s, 3: s[3][:-32]}),
    ("digests-more", "one digest more than regions", lambda s: {**s, 3: s[3] + bytes(32)}),
    ("digests-none", "digests of no bytes for three regions", setting(3, b"")),
    ("digests-31", "last digest has 31 bytes", lambda s: {**s, 3: s[3][:-1]}),
    ("format-bytes", "format is a byte string", setting(5, b"tflite")),
    ("index-map", "index is a map", setting(6, {})),
    ("index-unsorted", "index not sorted by offset",
     index([9, 1, "b", "u8", [1]], [0, 1, "a", "u8", [1]])),
    ("index-four", "entry of four parts", index([0, 1, "a", "u8"])),
    ("index-nine-dimensions", "tensor of nine dimensions", index([0, 1, "a", "u8", [1] * 9])),
    ("index-outside", "tensor that ends behind the model",
     index([0, 1 << 38, "a", "u8", [1]])),
    ("index-no-name", "name of no bytes", index([0, 1, "", "u8", [1]])),
    ("index-name-256", "name of 256 bytes", index([0, 1, "a" * 256, "u8", [1]])),
    ("index-dtype-32", "element type of 32 bytes", index([0, 1, "a", "u" * 32, [1]])),
    ("index-negative", "dimension -1", index([0, 1, "a", "u8", [-1]])),
    ("index-dtype", "dtype is a number", index([0, 1, "a", 3, [1]])),
    ("index-claim", "index claims 2^32 - 1 entries", setting(6, Raw(b"\x9a\xff\xff\xff\xff"))),
    ("whole-null", "key 7 is null", setting(7, Raw(b"\xf6"))),
    ("whole-undefined", "key 7 is undefined", setting(7, Raw(b"\xf7"))),
    ("whole-long", "key 7 is false in two bytes", setting(7, Raw(b"\xf8\x14"))),
    ("whole-number", "key 7 is the number 1", setting(7, 1)),
    ("array", "an array in place of the map", lambda s: [s[1]]),
)


def add_sealed(add):
    for name, why, change in SEALED:
        add(f"sealed-{name}", "bad cbor", f"sealed part: {why}", {"sealed": change})
    for name, why, change in (("trailing", "a byte behind the map", lambda r: r + b"\0"),
                              ("indefinite", "the map in indefinite form",
                               lambda r: b"\xbf" + r[1:] + b"\xff")):
        add(f"sealed-{name}", "bad cbor", f"sealed part: {why}", {"sealed.raw": change})
    add("sealed-vault-kind-3", "bad cbor", "sealed part: region of kind 3",
        {"sealed": SEALED[9][2]}, form="vault")
    for name, why, change in (
            ("sum-less", "regions are one byte less than the model",
             lambda p: p[:-1] + [(p[-1][0] - 1, 1)]),
            ("sum-more", "regions are one byte more than the model",
             lambda p: p[:-1] + [(p[-1][0] + 1, 1)]),
            ("sum-wraps", "regions add up only modulo 2^64",
             lambda p: [p[0], (p[1][0] + 2 ** 63, 1), (p[2][0] + 2 ** 63, 1)]),
            ("huge", "region of 2^64 - 1 bytes", lambda p: p[:-1] + [(2 ** 64 - 1, 1)])):
        for form in ("delivered", "vault"):
            add(f"regions-{form}-{name}", "length mismatch", why, {"sealed": regions(change)},
                form=form)
    for form in ("delivered", "vault"):
        add(f"sealed-{form}-hash", "digest mismatch", "sealed part has another hash than in core",
            {"weights.core": lambda c: {**c, 15: [c[15][0], flip(0)(c[15][1])]}}, form=form)
    add("regions-other-cut", "region failure",
        "same number, kinds and sum of regions, other lengths (regions 2 and 3)",
        {"sealed": regions(lambda p: [p[0], (p[1][0] + 1, 1), (p[2][0] - 1, 1)])})


def digests(change):
    return lambda s: {**s, 3: change(s[3])}


def add_digests(add):
    for name, why, change in (
            ("first", "digest of region 1 flipped", digests(flip(0))),
            ("last", "digest of the last region flipped", digests(flip(-1))),
            ("swapped", "digests of regions 2 and 3 changed places",
             digests(lambda d: d[:32] + d[64:] + d[32:64])),
            ("zeros", "digests of zeros", digests(lambda d: bytes(len(d)))),
            ("other-salt", "dsalt is not the one of the digests", other_than(1)),
            ("plain-sha256", "digests are SHA-256 of the region alone",
             lambda s, c: {**s, 3: b"".join(sha256(p) for _, p in c.cut_regions())})):
        add(f"digest-{name}", "digest mismatch", why, {"sealed": change})
    add("digest-clear", "digest mismatch", "digest of a clear region flipped",
        {"sealed": digests(flip(0))}, model=bytes(90), cuts=[30, 60], kinds=[2, 1])


def add_bodies(add):
    for group in (add_tickets, add_bindings, add_file_lengths, add_chunks, add_weights_lengths):
        group(add)
    for form in ("delivered", "vault"):
        add_segments(add, form)
    for group in (add_long_segments, add_sealed, add_digests):
        group(add)
