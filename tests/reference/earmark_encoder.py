"""Makes sealed models for the kit: valid ones, and ones broken at any step.

Every step passes its result through a hook of its name, so that a vector is a valid file and a
few hooks; a hook is a value, or a function of the value and, if it likes, of the Case.  What is
made after a hook is made from the hooked value: a core changed at "weights.core" is hashed,
signed and sealed to as changed.  Randomness comes from a counter, so that equal inputs give
equal files.

Hooks, in the order of a file's making (L is file or weights):
  identity, policy, ticket (maps), ticket.raw     what the issuer grants
  sealed (map), sealed.raw                        [container 6.3]
  L.core (map), L.core_raw, L.recipients (list), L.payload (list), L.payload_raw,
  L.protected (map), L.protected_raw, L.signed (list of four), L.header, L.preamble
  L.header.after, L.preamble.after                as above, but the keys know nothing of it
  L.commit, weights.segments (list of dicts), weights.plain, weights.bytes
  file.pieces (list of plaintexts), file.last (list of flags), file.chunks, file.bytes
  record.recipient, record.fields (dict), record.body, vault.table, vault.bytes
  record.sleeping (list), record.lease (dict), record.torn (bytes)    under a lease
"""

import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from earmark_reference import (CHUNK, ESP256, EDDSA, FILE, MAGIC, P256, PAGE, RECORD_A, RECORD_B,
                               SEGMENT, SUITES, RECORD_END, TICKET, SEALING, WEIGHTS, X25519,
                               AgreeKey, Keys, Tag18, cbor_encode, derive_p256, device_id,
                               envelope_info, hint_of, hpke_aead, hpke_schedule, hpke_secret,
                               kem_secret, key_id, labeled_expand, mac, nonce, raw_public,
                               round_up, sha256, split_sizes, u32, u64)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Raw:
    """Bytes that stand for a CBOR item as they are."""

    def __init__(self, raw):
        self.raw = raw

    def cbor(self):
        return self.raw


class Pairs:
    """A map whose pairs are written in the order given, whatever they are."""

    def __init__(self, pairs):
        self.pairs = list(pairs)

    def cbor(self):
        raw = b"".join(cbor_encode(k) + cbor_encode(v) for k, v in self.pairs)
        return bytes([0xA0 | len(self.pairs)]) + raw


class Drbg:
    """SHA-256 of a seed and a counter; no secret was ever made with it."""

    def __init__(self, seed):
        self.seed, self.n = seed.encode(), 0

    def take(self, length):
        out = b""
        while len(out) < length:
            out += sha256(b"earmark kit\0", self.seed, b"\0", u64(self.n))
            self.n += 1
        return out[:length]


def p256_scalar(raw):
    return int.from_bytes(raw, "big") % (P256_ORDER - 1) + 1


class SignKey:
    """Ed25519 or P-256; the nonce of ECDSA is derived, as in RFC 6979 but more simply."""

    def __init__(self, kind, seed):
        self.kind = kind
        if kind == "ed25519":
            self.key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        else:
            self.d = p256_scalar(seed)
            self.key = ec.derive_private_key(self.d, ec.SECP256R1())
        self.alg = EDDSA if kind == "ed25519" else ESP256
        self.public = raw_public(self.key)
        self.kid = key_id(self.public)

    def sign(self, message):
        if self.kind == "ed25519":
            return self.key.sign(message)
        z = int.from_bytes(sha256(message), "big")
        k = p256_scalar(sha256(b"kit nonce\0", self.d.to_bytes(32, "big"), sha256(message)))
        point = raw_public(ec.derive_private_key(k, ec.SECP256R1()))
        r = int.from_bytes(point[1:33], "big") % P256_ORDER
        s = pow(k, -1, P256_ORDER) * (z + r * self.d) % P256_ORDER
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        self.key.public_key().verify(utils.encode_dss_signature(r, s), message,
                                     ec.ECDSA(hashes.SHA256()))
        return raw


class Hooks:
    """Runs the hook of a step; `unused` tells of a vector whose defect never happened."""

    def __init__(self, hooks=None, case=None):
        self.hooks, self.used, self.case = dict(hooks or {}), set(), case

    def __call__(self, step, value):
        if step not in self.hooks:
            return value
        self.used.add(step)
        hook = self.hooks[step]
        if not callable(hook):
            return hook
        wanted = hook.__code__.co_argcount - len(hook.__defaults__ or ())
        return hook(value, self.case) if wanted == 2 else hook(value)

    def unused(self):
        return set(self.hooks) - self.used


def sign_object(signer, kind, payload, aad=b"", at=Hooks(), name=""):
    """The COSE_Sign1 and the bytes that were signed."""
    protected = at(name + ".protected", {1: signer.alg, 4: signer.kid, -65537: kind})
    protected = at(name + ".protected_raw", cbor_encode(protected))
    message = cbor_encode(["Signature1", protected, aad, payload])
    parts = at(name + ".signed", [protected, {}, payload, signer.sign(message)])
    return at(name + ".header", cbor_encode(Tag18(parts))), message


def sign_message(signer, kind, payload, kid=None):
    claimed = Hooks({".protected": lambda m: {**m, 4: kid}} if kid else None)
    return sign_object(signer, kind, cbor_encode(payload), at=claimed)[0]


def hpke_seal(suite, public, ephemeral, info, plaintext, psk=b"", psk_id=b""):
    enc = ephemeral.public
    key, iv = hpke_schedule(suite, kem_secret(suite[0], ephemeral.dh(public), enc, public), info,
                            psk, psk_id)
    return enc, hpke_aead(suite, key).encrypt(iv, plaintext, b"")


def lease_public(secret):
    """The lease key of a lease secret [container 3.5]."""
    return AgreeKey(P256, derive_p256(secret)).public


def make_psk(lease_key, ticket_id, ephemeral):
    """psk_id and psk, from the lease key alone [container 3.5]."""
    enc = ephemeral.public
    shared = kem_secret(P256, ephemeral.dh(lease_key), enc, lease_key)
    name, secret, context = hpke_secret((P256, 1, 0xFFFF), shared,
                                        b"earmark/1 lease psk\0" + ticket_id)
    exporter = labeled_expand(name, secret, b"exp", context, 32)
    return enc, labeled_expand(name, exporter, b"sec", b"psk", 32)


def p256_ephemeral(drbg):
    return AgreeKey(P256, p256_scalar(drbg.take(32)).to_bytes(32, "big"))


def seal_recipient(suite, alg, public, content_alg, extra, cek, hinted, drbg, lease=None):
    """lease: lease key and ticket id, for an envelope in mode psk."""
    protected = cbor_encode({1: alg})
    seed = drbg.take(32)
    if suite[0] == P256:
        seed = p256_scalar(seed).to_bytes(32, "big")
    info = envelope_info(content_alg, protected, extra)
    psk_id, psk = make_psk(*lease, p256_ephemeral(drbg)) if lease else (b"", b"")
    enc, ciphertext = hpke_seal(suite, public, AgreeKey(suite[0], seed), info, cek, psk, psk_id)
    unprotected = {-4: enc, -65541: hint_of(enc, public)} if hinted else {-4: enc}
    return [protected, {**unprotected, **({-5: psk_id} if lease else {})}, ciphertext]


def padded(raw, unit=PAGE):
    return raw.ljust(round_up(len(raw), unit), b"\0")


def encrypt_segment(aead, s, last, kind, plain):
    """[6.1]: ciphertext and tag."""
    if kind == 2:
        return plain, aead.encrypt(nonce(s, last), b"", plain)
    sealed = aead.encrypt(nonce(s, last), plain, None)
    return sealed[:-16], sealed[-16:]


def region_segments(keys, r, kind, plain):
    """What stands for region r in a file: one dict for each segment."""
    aead, sizes, at, out = keys.region(r), split_sizes(len(plain)), 0, []
    for s, size in enumerate(sizes):
        c, tag = encrypt_segment(aead, s, s == len(sizes) - 1, kind, plain[at:at + size])
        out.append({"r": r, "s": s, "c": c, "tag": tag})
        at += size
    return out


def region_digest(dsalt, r, plain):
    leaves, at = [], 0
    for s, size in enumerate(split_sizes(len(plain))):
        leaves.append(sha256(b"earmark/1 leaf\0", dsalt, u32(r), u32(s), plain[at:at + size]))
        at += size
    return sha256(b"earmark/1 region\0", dsalt, u32(r), u64(len(plain)), *leaves)


class Case:
    """One sealed model with all that belongs to it.  Fields are set by keyword; `hooks` break
    it.  `make` gives the bytes of the form that was asked for."""

    def __init__(self, model=b"", hooks=None, **options):
        o = {"form": "delivered", "seed": "plain", "issuer_kind": "ed25519", "sealer": None,
             "certificate": None, "file_signer": None, "weights_signer": None,
             "file_kem": X25519, "file_alg": -65601, "weights_alg": -65603, "kinds": None,
             "cuts": None, "digests": True, "policy": {}, "identity": {}, "created": 20600,
             "issued": 1779900000, "generation": 5,
             "accepted": 1779900500, "floor": 1779900500, "opens": 0, "slot": "A",
             "other_slot": None, "index": [], "leased": False, "lease_until": 0,
             "lease_time": 0, "asleep": False}
        unknown = set(options) - set(o)
        assert not unknown, unknown
        o.update(options)
        self.__dict__.update(o)
        self.model, self.at, self.drbg = model, Hooks(hooks, self), Drbg("case " + o["seed"])
        self.file_ids = []
        self.make_people()

    def make_people(self):
        people = Drbg("people")
        take = people.take
        seeds = {n: take(32) for n in ("issuer", "other", "sealer", "sealer2", "sign", "agree",
                                       "request", "agree2", "request2")}
        self.seeds = seeds
        self.issuer = SignKey(self.issuer_kind, seeds["issuer"])
        self.other = SignKey(self.issuer_kind, seeds["other"])
        self.device_sign = SignKey("p256", seeds["sign"])
        self.agree_private = p256_scalar(seeds["agree"]).to_bytes(32, "big")
        self.agree = AgreeKey(P256, self.agree_private)
        self.agree2 = AgreeKey(P256, p256_scalar(seeds["agree2"]).to_bytes(32, "big"))
        self.request_private = seeds["request"] if self.file_kem == X25519 else \
            p256_scalar(seeds["request"]).to_bytes(32, "big")
        self.request = AgreeKey(self.file_kem, self.request_private)
        self.request2 = AgreeKey(X25519, seeds["request2"])
        self.device_id = device_id(self.device_sign.public, self.agree.public)
        self.request_hash = sha256(b"the request", self.seed.encode())
        self.signer = self.issuer
        if self.sealer:
            self.signer = SignKey(self.sealer, seeds["sealer"])
            if self.certificate is None:
                self.certificate = self.certify(self.signer)

    def certify(self, key, issuer=None, kid=None, first=None, last=None, kind=SEALING,
                change=lambda m: m):
        day = 86400
        first = (self.created - 30) * day if first is None else first
        last = (self.created + 30) * day if last is None else last
        return sign_message(issuer or self.issuer, kind,
                            change({1: key.public, 2: first, 3: last}), kid)

    # -- the ticket ---------------------------------------------------------------------------

    def grant(self):
        identity = {1: "speech-small", 5: "user-417", 6: self.device_id, **self.identity}
        policy = {2: self.issued + 90 * 86400, **self.policy}
        self.identity_raw = cbor_encode(self.at("identity", identity))
        self.policy_raw = cbor_encode(self.at("policy", policy))
        self.ticket_id = self.drbg.take(16)
        payload = {
            1: self.ticket_id, 2: self.device_id, 3: [P256, self.agree.public],
            4: [self.request.kem, self.request.public], 5: self.policy_raw, 6: self.identity_raw,
            7: self.request_hash, 8: self.issued, 9: self.issued + 3600}
        if self.leased:
            self.lease_secret = sha256(b"lease secret", self.ticket_id)
            self.lease_key = lease_public(self.lease_secret)
            payload.update({10: self.lease_key, 11: 1})
        payload = self.at("ticket", payload)
        self.ticket = self.at("ticket.raw", sign_message(self.issuer, TICKET, payload))

    # -- headers ------------------------------------------------------------------------------

    def header(self, layer, core, public, signer):
        """Preamble, header and keys of one layer."""
        name, at = ("file", "weights")[layer - 1], self.at
        core = at(name + ".core", core)
        core_raw = at(name + ".core_raw", cbor_encode(core))
        cek = self.drbg.take(32)
        plain = core if type(core) is dict else {}
        suite = SUITES_DEFAULT[layer, public.kem]
        content = plain.get(3, self.file_alg if layer == FILE else self.weights_alg)

        lease = (self.lease_key, self.ticket_id) if self.leased and layer == WEIGHTS else None

        def seal(to=public, sealed=cek, hashed=sha256(core_raw), content=content, suite=suite,
                 lease=lease):
            return seal_recipient(suite, SUITES[layer][suite], to.public, content, hashed, sealed,
                                  layer == WEIGHTS, self.drbg, lease)

        self.seal = seal
        recipients = at(name + ".recipients", [seal()])
        payload = at(name + ".payload", [1, core_raw, recipients])
        payload = at(name + ".payload_raw", cbor_encode(payload))
        start = MAGIC + bytes([1, layer, 0, 0])
        size = len(sign_object(signer, layer, payload, b"", self.at, name)[0])
        preamble = at(name + ".preamble", start + u32(size))
        signed, message = sign_object(signer, layer, payload, preamble, self.at, name)
        keys = Keys(sha256(message), cek, layer, content if content in CONTENT_KNOWN else
                    (-65601 if layer == FILE else -65603))
        self.keys = keys
        preamble = at(name + ".preamble.after", preamble)
        signed = at(name + ".header.after", signed)
        self.hh, self.core_hash, self.content = sha256(message), sha256(core_raw), content
        return preamble + signed, keys

    def core(self, layer, length, public, signer, more):
        self.file_ids.append(self.drbg.take(16))
        core = {1: self.file_ids[-1], 2: layer,
                3: self.file_alg if layer == FILE else self.weights_alg,
                4: CHUNK if layer == FILE else SEGMENT, 5: length,
                6: list(SUITES_DEFAULT[layer, public.kem]) + [0], 7: signer.kid,
                9: self.created, **more}
        if self.leased and layer == WEIGHTS:
            core[6][3], core[10] = 1, self.lease_key
        if self.certificate is not None and signer is self.signer:
            core[8] = self.certificate
        return core

    # -- weights layer ------------------------------------------------------------------------

    def cut_regions(self):
        cuts = self.cuts or ([len(self.model)] if self.model else [])
        kinds = self.kinds or [1] * len(cuts)
        regions, at = [], 0
        for length, kind in zip(cuts, kinds):
            regions.append((kind, self.model[at:at + length]))
            at += length
        assert at == len(self.model)
        return regions

    def seal_weights(self):
        """Header and encrypted segments of the weights layer, region 0 first."""
        regions, dsalt = self.cut_regions(), self.drbg.take(32)
        sealed = {1: dsalt, 2: b"".join(u64(len(p)) + bytes([k]) for k, p in regions),
                  4: self.identity_raw, 5: "unknown", 6: self.index, 7: not self.index}
        if self.digests:
            sealed[3] = b"".join(region_digest(dsalt, r, p) for r, (_, p) in enumerate(regions, 1))
        self.sealed_raw = self.at("sealed.raw", cbor_encode(self.at("sealed", sealed)))
        signer = self.issuer if self.weights_signer == "issuer" else self.signer
        core = self.core(WEIGHTS, len(self.model), self.agree, signer, {
            12: self.ticket_id, 13: sha256(self.ticket), 14: self.policy_raw,
            15: [len(self.sealed_raw), sha256(self.sealed_raw)]})
        head, keys = self.header(WEIGHTS, core, self.agree, signer)
        self.regions = regions
        return head, keys

    def segments(self, keys):
        out = region_segments(keys, 0, 0, self.sealed_raw)
        for r, (kind, plain) in enumerate(self.regions, 1):
            out += region_segments(keys, r, kind, plain)
        return self.at("weights.segments", out)

    def delivered(self):
        self.grant()
        head, keys = self.seal_weights()
        body = b"".join(g["c"] + g["tag"] for g in self.segments(keys))
        commit = self.at("weights.commit", keys.commit)
        inner = self.inner = self.at("weights.bytes", head + commit + body)
        return self.seal_file(inner)

    # -- file layer ---------------------------------------------------------------------------

    def seal_file(self, inner):
        signer = self.issuer if self.file_signer == "issuer" else self.signer
        core = self.core(FILE, len(inner), self.request, signer, {11: self.request_hash})
        head, keys = self.header(FILE, core, self.request, signer)
        pieces = [inner[i:i + CHUNK] for i in range(0, len(inner), CHUNK)] or [b""]
        pieces = self.at("file.pieces", pieces)
        last = self.at("file.last", [i == len(pieces) - 1 for i in range(len(pieces))])
        aead = keys.file()
        chunks = self.at("file.chunks", [aead.encrypt(nonce(i, flag), piece, None) for i,
                                         (piece, flag) in enumerate(zip(pieces, last))])
        commit = self.at("file.commit", keys.commit)
        return self.at("file.bytes", head + commit + b"".join(chunks))

    # -- vault form ---------------------------------------------------------------------------

    def leased_body(self, f, extra, cek, envelope):
        """[7.6]: what stands before the commitment."""
        sleeping = cbor_encode(self.at("record.sleeping", seal_recipient(
            (P256, 1, 2), 53, self.agree.public, self.content, extra, cek, True, self.drbg,
            (self.lease_key, self.ticket_id))))
        envelope = b"" if self.asleep else envelope
        f = {**f, "state": 2, "size": len(envelope), "sleeping_len": len(sleeping),
             "until": self.lease_until, "time": self.lease_time}
        f = self.at("record.lease", f)
        body = struct.pack(">4sBBHQ16sQQQQQH6x", f["magic"], f["version"], f["state"], f["size"],
                           f["generation"], f["vault_id"], f["accepted"], f["floor"], f["opens"],
                           f["until"], f["time"], f["sleeping_len"]) + sleeping + envelope
        body = body.ljust(4000, b"\0")
        return body + self.at("record.torn", sha256(body))

    def record(self, generation, keys, cek, vault_id, state):
        extra = sha256(b"earmark/1 local\0", self.core_hash, vault_id)
        recipient = seal_recipient((P256, 1, 2), 53, self.agree.public, self.content, extra, cek,
                                   True, self.drbg)
        envelope = cbor_encode(self.at("record.recipient", recipient))
        f = self.at("record.fields", {"magic": b"EMKR", "version": 1, "state": 1,
                                      "size": len(envelope), "generation": generation,
                                      "vault_id": vault_id, **state})
        body = struct.pack(">4sBBHQ16sQQQQ", f["magic"], f["version"], f["state"], f["size"],
                           f["generation"], f["vault_id"], f["accepted"], f["floor"], f["opens"],
                           0) + envelope
        if self.leased:
            body = self.leased_body(f, extra, cek, envelope)
        body = self.at("record.body", body.ljust(4032, b"\0")
                       + self.at("weights.commit", keys.commit))
        return self.at("record.bytes", body + mac(keys.local_mac(), body))

    def vault(self):
        self.grant()
        head, _ = self.seal_weights()
        cek, vault_id = self.drbg.take(32), self.drbg.take(16)
        self.vault_cek, self.vault_id = cek, vault_id
        keys = Keys(sha256(b"earmark/1 vault\0", self.hh, vault_id), cek, WEIGHTS, self.content)
        self.vault_keys = keys
        state = {"accepted": self.accepted, "floor": self.floor, "opens": self.opens}
        slots = {self.slot: self.record(self.generation, keys, cek, vault_id, state)}
        if self.other_slot is not None:
            other = "B" if self.slot == "A" else "A"
            older = {**state, **self.other_slot}
            slots[other] = self.record(older.pop("generation"), keys, cek, vault_id, older)
        segments = self.segments(keys)
        zero = [g["c"] + g["tag"] for g in segments if g["r"] == 0]
        self.zero_tag = segments[0]["tag"]
        table = self.at("vault.table", b"".join(g["tag"] for g in segments if g["r"] > 0))
        out = head.ljust(RECORD_A, b"\0") + slots.get("A", bytes(PAGE))
        out += slots.get("B", bytes(PAGE))
        assert len(out) == RECORD_END and RECORD_B == RECORD_A + PAGE
        out = padded(out + b"".join(zero))
        self.table_at = len(out)
        out = padded(out + table, 2 << 20 if len(self.model) >= 64 << 20 else PAGE)
        self.payload_at = len(out)
        out += b"".join(g["c"] for g in segments if g["r"] > 0)
        return self.at("vault.bytes", out)

    def other_vault_segments(self):
        """The segments as another vault of the same file has them."""
        vault_id = self.drbg.take(16)
        keys = Keys(sha256(b"earmark/1 vault\0", self.hh, vault_id), self.drbg.take(32), WEIGHTS,
                    self.content)
        return region_segments(keys, 0, 0, self.sealed_raw) + [
            g for r, (kind, plain) in enumerate(self.regions, 1)
            for g in region_segments(keys, r, kind, plain)]

    def other_device_sign(self):
        return SignKey("p256", self.seeds["agree2"]).public

    def make(self):
        return self.vault() if self.form == "vault" else self.delivered()


SUITES_DEFAULT = {(FILE, X25519): (X25519, 1, 3), (FILE, P256): (P256, 1, 2),
                  (WEIGHTS, P256): (P256, 1, 2)}
CONTENT_KNOWN = (-65601, -65602, -65603, -65604)
