"""Vectors that open, and the policy's rules each refusing alone, in both forms."""

from earmark_encoder import P256_ORDER, Case
from earmark_reference import P256, SEGMENT

DAY = 86400
ISSUED = 1779900000
NOW = ISSUED + 600
ZEROS = bytes(64)
ONE_CHUNK = 65536


def high_s(parts):
    """The other valid signature of ECDSA."""
    s = P256_ORDER - int.from_bytes(parts[3][32:], "big")
    return parts[:3] + [parts[3][:32] + s.to_bytes(32, "big")]


def index_of(n):
    return [[i, 1, f"layer.{i:04}.weight", "i8", [1]] for i in range(n)]


def add_signers(add, form):
    add(f"ok-{form}", "ok", "nothing", form=form)
    add(f"ok-{form}-p256-issuer", "ok", "issuer signs with P-256", form=form, issuer_kind="p256")
    add(f"ok-{form}-sealer", "ok", "sealing key with a certificate, both Ed25519", form=form,
        sealer="ed25519")
    add(f"ok-{form}-p256-sealer", "ok", "P-256 sealing key certified by an Ed25519 issuer",
        form=form, sealer="p256")
    add(f"ok-{form}-mixed-chain", "ok", "Ed25519 sealing key certified by a P-256 issuer",
        form=form, sealer="ed25519", issuer_kind="p256")
    add(f"ok-{form}-high-s", "ok", "ESP256 with the larger of the two values s", form=form,
        issuer_kind="p256", hooks={"weights.signed": high_s})


def add_algorithms(add):
    add("ok-file-chacha", "ok", "file layer ChaCha20-Poly1305", file_alg=-65602)
    add("ok-weights-chacha", "ok", "weights layer ChaCha20-Poly1305", weights_alg=-65604)
    add("ok-vault-chacha", "ok", "weights layer ChaCha20-Poly1305", weights_alg=-65604,
        form="vault")
    add("ok-all-chacha", "ok", "both layers ChaCha20-Poly1305, one region clear",
        file_alg=-65602, weights_alg=-65604, model=ZEROS, cuts=[32, 32], kinds=[2, 0])
    add("ok-file-p256", "ok", "request key P-256, suite (0x10, 1, 2)", file_kem=P256)
    add("ok-file-p256-chacha", "ok", "request key P-256, content ChaCha20-Poly1305",
        file_kem=P256, file_alg=-65602)


def add_shapes(add, form):
    add(f"ok-{form}-empty-model", "ok", "model of 0 bytes: no regions (reading 6)", form=form,
        model=b"")
    add(f"ok-{form}-one-byte", "ok", "model of 1 byte", form=form, model=b"M")
    add(f"ok-{form}-clear", "ok", "regions of all three kinds", form=form, model=ZEROS * 3,
        cuts=[64, 64, 64], kinds=[2, 1, 0])
    add(f"ok-{form}-no-digests", "ok", "sealed part without digests", form=form, digests=False)
    add(f"ok-{form}-300-regions", "ok", "300 regions of one byte: 4816 bytes of tags", form=form,
        model=bytes(300), cuts=[1] * 300)
    add(f"ok-{form}-index", "ok", "sealed part with an index of 20 tensors", form=form,
        index=index_of(20))
    add(f"ok-{form}-files", "ok", "a model of four files, one of them empty", form=form,
        model=bytes(range(200)), hooks={"sealed": lambda s: {
            **s, 8: [["a", 100], ["a-b/c", 0], ["a-b/d", 99], ["a.b", 1]]}})
    add(f"ok-{form}-scalar-tensor", "ok", "index with a tensor of no and one of 8 dimensions",
        form=form, index=[[0, 4, "a", "f32", []], [4, 1, "b", "u8", [1] * 8]])
    add(f"ok-{form}-64-recipients", "ok", "64 recipients, the last is ours", form=form,
        hooks={"weights.recipients": lambda r, c: [c.seal(to=c.agree2) for _ in range(63)] + r})


def weights_overhead():
    """What the weights layer adds to a model of about 64 KiB in one region."""
    seen = []
    case = Case(bytes(ONE_CHUNK - 2000), {"weights.bytes": lambda b: seen.append(len(b)) or b})
    case.make()
    return seen[0] - len(case.model)


def add_sizes(add):
    add("ok-65536", "ok", "model of exactly 65536 bytes", model=bytes(65536))
    exact = ONE_CHUNK - weights_overhead()
    for more in (-1, 0, 1):
        add(f"ok-plaintext-65536{('-less-1', '', '-more-1')[more + 1]}", "ok",
            f"the file layer's plaintext has 65536 {more:+} bytes", model=bytes(exact + more))
    add("ok-two-segments", "ok", "model of 1 MiB + 1 byte: the last segment has one byte",
        model=bytes(SEGMENT + 1))
    add("ok-vault-one-segment", "ok", "a clear region of exactly 1 MiB: one segment",
        form="vault", model=bytes(SEGMENT), kinds=[2])
    add("ok-vault-clear-segments", "ok", "a clear region of three segments, the last short",
        form="vault", model=bytes(2 * SEGMENT + 5), kinds=[2])
    for more in (0, -1):
        add(f"ok-vault-64-mib{'-less-1' if more else ''}", "ok",
            f"model of 64 MiB {more:+}: P is a multiple of {'4096' if more else '2 MiB'}",
            form="vault", model=(64 << 20) + more, kinds=[2], digests=False)
    add("ok-vault-sealed-part-two-segments", "ok", "sealed part longer than one segment",
        form="vault", index=[[0, 1, "n" * 255, "d" * 31, []] for _ in range(3600)])


def add_recipients(add):
    add("ok-file-second-recipient", "ok", "first recipient is for another key",
        {"file.recipients": lambda r, c: [c.seal(to=c.request2)] + r})
    add("ok-file-hostile-recipient", "ok", "first recipient's ek is the zero point",
        {"file.recipients": lambda r, c: [[r[0][0], {-4: bytes(32)}, bytes(48)]] + r})
    add("ok-weights-hostile-hint", "ok", "first recipient has our hint and does not open",
        {"weights.recipients": lambda r, c: [[r[0][0], r[0][1], bytes(48)]] + r})
    add("ok-weights-other-hint", "ok", "first recipient has another hint",
        {"weights.recipients": lambda r, c: [c.seal(to=c.agree2)] + r})


def add_certificate_days(add):
    def bounds(first, last):
        return lambda m: {**m, 2: first, 3: last}
    for name, first, last in (("first", 20600 * DAY + 50000, 20700 * DAY),
                              ("last", 20500 * DAY, 20600 * DAY + 80000)):
        def change(value, c, change=bounds(first, last)):
            return {**value, 8: c.certify(c.signer, change=change)}
        add(f"ok-certificate-{name}-day", "ok", f"created on the certificate's {name} day",
            {"file.core": change, "weights.core": change}, sealer="ed25519")


FULL_POLICY = {1: ISSUED, 3: 3, 7: 2, 8: 1, 9: 7}
FULL_IDENTITY = {2: "1.4", 3: "video-9", 4: "org.example.app"}
FULL_HEAD = {"guard": 2, "use": "video-9", "app": "org.example.app"}


def add_satisfied(add, form):
    add(f"ok-{form}-all-rules", "ok", "every rule of policy and identity is there and holds",
        form=form, policy=FULL_POLICY, identity=FULL_IDENTITY, head=FULL_HEAD, opens=0)
    add(f"ok-{form}-just-before-expires", "ok", "one second before expires", form=form,
        policy={2: NOW + 1})
    add(f"ok-{form}-at-not-before", "ok", "the very second of not_before", form=form,
        policy={1: NOW})
    add(f"ok-{form}-names-nobody-asked", "ok", "application names app and use, identity none",
        form=form, head={"app": "x", "use": "y"})
    add(f"ok-{form}-user-128-bytes", "ok", "user of 128 bytes, 64 characters", form=form,
        identity={5: "\u00e9" * 64}, head={"user": "\u00e9" * 64})
    add(f"ok-{form}-slow-clock", "ok", "clock before not_before, time of issue or floor after",
        form=form, policy={1: ISSUED - 5}, head={"now": ISSUED - 100000})


RULES = (
    ("not-before", "one second before not_before", {1: NOW + 1}, {}, {}),
    ("expires", "the very second of expires", {2: NOW}, {}, {}),
    ("lease", "a lease is asked for and there is none", {4: 3600, 5: 60, 6: 60}, {}, {}),
    ("min-guard", "guard's level 1, 2 asked for", {7: 2}, {}, {"guard": 1}),
    ("other-user", "another user", {}, {}, {"user": "user-418"}),
    ("no-user", "no user named", {}, {}, {"user": None}),
    ("other-app", "another app", {}, {4: "org.example.app"}, {"app": "org.example.ap"}),
    ("no-app", "no app named", {}, {4: "org.example.app"}, {}),
    ("other-use", "another use", {}, {3: "video-9"}, {"use": "video-8"}),
    ("no-use", "no use named", {}, {3: "video-9"}, {}),
)


def add_refusals(add, form):
    for name, why, policy, identity, head in RULES:
        add(f"policy-{form}-{name}", "policy refused", why, form=form, policy=policy,
            identity=identity, head=head)
    add(f"policy-{form}-floor", "policy refused",
        "the clock is before expires; time of issue, or floor, after", form=form,
        policy={2: ISSUED - 10}, head={"now": ISSUED - 1000})


def add_release(add):
    for release, newest, expect in ((7, 7, "ok"), (8, 7, "ok"), (6, 7, "policy refused")):
        add(f"release-{release}-after-{newest}", expect, f"release {release} after {newest}",
            policy={9: release}, head={"newest_release": newest})


BAD_POLICY = (
    ("no-expires", "expires is missing", lambda p: {1: 5}),
    ("unknown-key", "key 10", lambda p: {**p, 10: 1}),
    ("grace-alone", "grace_s without lease_s", lambda p: {**p, 5: 9}),
    ("renewal-alone", "renewal_delay_s without lease_s", lambda p: {**p, 6: 9}),
    ("max-opens-0", "max_opens 0", lambda p: {**p, 3: 0}),
    ("lease-0", "lease_s 0", lambda p: {**p, 4: 0}),
    ("guard-0", "min_guard 0", lambda p: {**p, 7: 0}),
    ("guard-4", "min_guard 4", lambda p: {**p, 7: 4}),
    ("memory-0", "memory 0", lambda p: {**p, 8: 0}),
    ("memory-3", "memory 3", lambda p: {**p, 8: 3}),
    ("release-0", "release 0", lambda p: {**p, 9: 0}),
    ("negative", "not_before is negative", lambda p: {**p, 1: -1}),
    ("text", "expires is text", lambda p: {**p, 2: "never"}),
    ("array", "an array in place of the map", lambda p: [p[2]]),
)
BAD_IDENTITY = (
    ("no-model", "model is missing", lambda i: {k: v for k, v in i.items() if k != 1}),
    ("no-user", "user is missing", lambda i: {k: v for k, v in i.items() if k != 5}),
    ("no-device", "device is missing", lambda i: {k: v for k, v in i.items() if k != 6}),
    ("unknown-key", "key 7", lambda i: {**i, 7: "x"}),
    ("empty-text", "user of no bytes", lambda i: {**i, 5: ""}),
    ("long-text", "user of 129 bytes", lambda i: {**i, 5: "u" * 129}),
    ("long-utf8", "user of 130 bytes, 65 characters", lambda i: {**i, 5: "\u00e9" * 65}),
    ("device-31", "device of 31 bytes", lambda i: {**i, 6: i[6][1:]}),
    ("bytes", "model is a byte string", lambda i: {**i, 1: b"speech-small"}),
)


class BadText:
    def __init__(self, raw):
        self.raw = raw

    def cbor(self):
        return bytes([0x60 | len(self.raw)]) + self.raw


BAD_UTF8 = (("stray", b"\x80"), ("cut", b"\xc3"), ("overlong", b"\xc0\xaf"),
            ("surrogate", b"\xed\xa0\x80"), ("too-large", b"\xf4\x90\x80\x80"))


def add_bad_maps(add):
    """In the ticket and in the layer alike: whichever is read first, it is the encoding."""
    for name, why, change in BAD_POLICY:
        add(f"policy-cbor-{name}", "bad cbor", why, {"policy": change})
    for name, why, change in BAD_IDENTITY:
        add(f"identity-cbor-{name}", "bad cbor", why, {"identity": change})
    for name, raw in BAD_UTF8:
        add(f"identity-utf8-{name}", "bad cbor", f"model is text with bytes {raw.hex()}",
            {"identity": lambda i, raw=raw: {**i, 1: BadText(raw)}})
    add("policy-vault-cbor", "bad cbor", "key 10 in the policy", {"policy": lambda p: {**p, 10: 1}},
        form="vault")
    add("identity-vault-cbor", "bad cbor", "key 7 in the identity",
        {"identity": lambda i: {**i, 7: "x"}}, form="vault")


def add_ok(add):
    for form in ("delivered", "vault"):
        add_signers(add, form)
        add_shapes(add, form)
        add_satisfied(add, form)
        add_refusals(add, form)
    add_algorithms(add)
    add_sizes(add)
    add_recipients(add)
    add_certificate_days(add)
    add_release(add)
    add_bad_maps(add)
