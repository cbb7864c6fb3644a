#!/usr/bin/python3
"""The second decoder against its rules, against RFC 9180, and against the kit."""

import base64
import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "vectors")]

import earmark_reference as ref  # noqa: E402  first: it skips where cryptography is missing
import earmark_encoder as encoder  # noqa: E402
import earmark_messages as messages  # noqa: E402
import make_kit  # noqa: E402

SHARED = os.environ.get("EMK_SHARED", os.path.join(HERE, "..", "..", "..", "shared"))


def shared(path):
    path = os.path.join(SHARED, "vectors", "crypto", path)
    if not os.path.exists(path):
        raise unittest.SkipTest(f"SKIP {os.path.basename(path)} is not here")
    with open(path, encoding="utf-8") as f:
        return json.load(f)


class Rules(unittest.TestCase):
    def refuses(self, outcome, call, *args):
        with self.assertRaises(ref.Refused) as caught:
            call(*args)
        self.assertEqual(caught.exception.outcome, outcome)


class CborProfile(Rules):
    def test_accepts_and_writes_what_is_in_the_profile(self):
        for case in ("a0", "a10102", "a3000120022103", "a2617a0162616102", "1bffffffffffffffff",
                     "3bffffffffffffffff", "1818", "3818", "19ffff", "40", "60", "63e282ac", "80",
                     "f4", "f5", "820102", "a10fa10f81f5"):
            raw = bytes.fromhex(case)
            self.assertEqual(ref.cbor_encode(ref.cbor_decode(raw)), raw, case)

    def test_refuses_what_is_not(self):
        for case in ("", "1800", "1817", "190018", "1900ff", "1a0000ffff", "1b00000000ffffffff",
                     "3800", "580161", "780161", "9800", "b800", "5f4161ff", "7f6161ff", "9fff",
                     "bfff", "a20101", "a201010101", "a202010101", "a220000100", "f6", "f7", "f800",
                     "f8ff", "f93c00", "fa3f800000", "fb3ff0000000000000", "c0", "c101", "d201",
                     "d281", "1c", "1f", "ff", "0000", "61ff", "62c080", "63eda080", "64f4908080",
                     "5bffffffffffffffff", "9bffffffffffffffff", "bbffffffffffffffff",
                     "9affffffff", "a1f501", "a18001"):
            self.refuses("bad cbor", ref.cbor_decode, bytes.fromhex(case))

    def test_takes_sixteen_levels_and_no_more(self):
        ref.cbor_decode(b"\x81" * 15 + b"\0")
        self.refuses("bad cbor", ref.cbor_decode, b"\x81" * 16 + b"\0")
        self.refuses("bad cbor", ref.cbor_decode, b"\x81" * 100000 + b"\0")

    def test_agrees_with_the_shared_vectors(self):
        vectors = shared("cbor/deterministic_generated.json")
        for v in vectors["reject"]:
            self.refuses("bad cbor", ref.cbor_decode, bytes.fromhex(v["hex"]))
        for v in vectors["accept"]:
            raw = bytes.fromhex(v["hex"])
            if raw[0] in (0xF6, 0xF9):  # null and floats, outside our profile
                self.refuses("bad cbor", ref.cbor_decode, raw)
            else:
                self.assertEqual(ref.cbor_encode(ref.cbor_decode(raw, tag_allowed=True)), raw)


class Hpke(Rules):
    def test_agrees_with_rfc_9180(self):
        n = 0
        for v in shared("hpke-rfc9180/rfc9180_half_a.json"):
            if v["mode"] != 0 or v["aead_id"] == 65535:
                continue
            v = {k: bytes.fromhex(x) if isinstance(x, str) else x for k, x in v.items()}
            suite = (v["kem_id"], v["kdf_id"], v["aead_id"])
            key = ref.AgreeKey(suite[0], v["skRm"])
            self.assertEqual(key.public, v["pkRm"])
            shared_secret = ref.kem_secret(suite[0], key.dh(v["enc"]), v["enc"], key.public)
            self.assertEqual(shared_secret, v["shared_secret"])
            self.assertEqual(ref.hpke_schedule(suite, shared_secret, v["info"]),
                             (v["key"], v["base_nonce"]))
            first = {k: bytes.fromhex(x) for k, x in v["encryptions"][0].items() if k != "seq"}
            self.assertEqual(ref.hpke_open(suite, key, v["enc"], v["info"], first["aad"],
                                           first["ct"]), first["pt"])
            n += 1
        self.assertGreaterEqual(n, 3)

    def test_refuses_hostile_public_keys(self):
        n = 0
        for v in shared("hpke-rfc9180/hpke_negative_generated.json"):
            if v["step"] == "SetupBaseR" and "psk" not in v:
                key = ref.AgreeKey(v["kem_id"], bytes.fromhex(v["skRm"]))
                self.refuses("hpke failure", key.dh, bytes.fromhex(v["enc"]))
                n += 1
        self.assertGreaterEqual(n, 12)

    def test_agrees_with_cose_hpke_on_info(self):
        suites = {"HPKE-0-KE": (16, 1, 1), "HPKE-3-KE": (32, 1, 1), "HPKE-4-KE": (32, 1, 3),
                  "HPKE-7-KE": (16, 1, 2)}
        for v in shared("cose-hpke/cose_hpke_draft24.json"):
            if v["verified_as"] != "KE" or v["psk"] or v["hpke"]["mode"] != 0:
                continue
            _, _, _, recipients = ref.cbor_decode(bytes.fromhex(v["message"])[2:])
            protected, unprotected, ciphertext = recipients[0]
            cose_key = ref.cbor_decode(bytes.fromhex(v["cose_key"]))
            suite = suites[v["alg"]]
            self.assertEqual(suite[0], v["hpke"]["kem_id"])
            content = ref.cbor_decode(ref.cbor_decode(bytes.fromhex(v["message"])[2:])[0])[1]
            info = ref.envelope_info(content, protected, bytes.fromhex(v["hpke_info_extra"]))
            key = ref.AgreeKey(suite[0], cose_key[-4])
            cek = ref.hpke_open(suite, key, unprotected[-4], info, bytes.fromhex(v["hpke_aad"]),
                                ciphertext)
            self.assertIn(len(cek), (16, 32))


class Messages(Rules):
    """Each type: what is written is read; each key alone is missed, none is let in."""

    def setUp(self):
        case = encoder.Case(b"M")
        case.make()
        self.issuer, self.device, self.case = case.issuer, case.device_sign, case
        agree, request = [16, case.agree.public], [32, case.request.public]
        certificate = {1: case.device_id, 2: self.device.public, 3: agree, 4: 0, 5: 0, 6: 1, 7: 2}
        self.certificate = encoder.sign_message(self.issuer, 4, certificate)
        self.maps = {
            3: (self.device, {1: self.device.public, 2: agree, 3: "linux", 4: 9}, ()),
            4: (self.issuer, certificate, ()),
            5: (self.issuer, {1: case.other.public, 2: 1, 3: 2}, ()),
            6: (self.device, {1: bytes(16), 2: "m", 3: "u", 4: "1", 5: "x", 6: "a", 7: request,
                              8: self.certificate, 9: 9}, (4, 5, 6)),
            7: (self.issuer, {1: bytes(16), 2: case.device_id, 3: agree, 4: request,
                              5: case.policy_raw, 6: case.identity_raw, 7: bytes(32), 8: 1, 9: 2},
                ()),
            8: (self.device, {1: bytes(16), 2: bytes(16), 3: 0, 4: 9, 5: 3}, ()),
            9: (self.issuer, {1: bytes(16), 2: bytes(32), 3: 1, 4: 2, 5: bytes(113)}, (5,)),
            10: (self.device, {1: bytes(32), 2: 1, 3: 1, 4: bytes(32), 5: 9, 6: [{1: 1, 2: 9}]}, ()),
            11: (self.device, {1: bytes(16), 2: bytes(16), 3: bytes(32), 4: bytes(32), 5: 9, 6: 9,
                               7: 1, 8: b"summary"}, (8,)),
        }

    def read(self, kind, payload):
        signer = self.maps[kind][0]
        return ref.read_message(encoder.sign_message(signer, kind, payload), kind, signer.public)

    def test_reads_what_was_written(self):
        for kind, (_, payload, _) in self.maps.items():
            read = self.read(kind, payload)
            self.assertEqual({k: v for k, v in read.items() if type(k) is int}, payload)

    def test_refuses_a_missing_and_an_unknown_key(self):
        for kind, (_, payload, may) in self.maps.items():
            self.refuses("bad cbor", self.read, kind, {**payload, 99: 0})
            for key in payload:
                less = {k: v for k, v in payload.items() if k != key}
                if key in may:
                    self.read(kind, less)
                else:
                    self.refuses("bad cbor", self.read, kind, less)

    def test_refuses_a_value_of_another_type(self):
        for kind, (_, payload, _) in self.maps.items():
            for key, value in payload.items():
                for other in (-1, {}, True, b"", ""):
                    self.refuses("bad cbor", self.read, kind, {**payload, key: other})

    def test_refuses_one_type_for_another(self):
        for kind, (signer, payload, _) in self.maps.items():
            raw = encoder.sign_message(signer, kind, payload)
            for other in self.maps:
                if other != kind:
                    self.refuses("bad signature", ref.read_message, raw, other, signer.public)

    def test_refuses_another_signer(self):
        for kind, (signer, payload, _) in self.maps.items():
            raw = encoder.sign_message(self.case.other, kind, payload, kid=signer.kid)
            self.refuses("bad signature", ref.read_message, raw, kind, signer.public)

    def test_refuses_long_messages_and_control_characters(self):
        self.refuses("bad cbor", ref.read_message, bytes(16385), 8, self.device.public)
        for bad in ("", "u" * 129, "\u00e9" * 65, "a\nb", "a\x7f", "\0"):
            self.refuses("bad cbor", self.read, 6, {**self.maps[6][1], 3: bad})
        self.read(6, {**self.maps[6][1], 3: "\u00e9" * 64})

    def test_refuses_a_device_id_of_other_keys(self):
        payload = {**self.maps[4][1], 1: bytes(32)}
        self.refuses("binding mismatch", self.read, 4, payload)

    def test_reads_a_request_with_its_certificate(self):
        raw = encoder.sign_message(self.device, 6, self.maps[6][1])
        request, certificate = ref.read_request(raw, self.issuer.public)
        self.assertEqual((request[2], certificate[1]), ("m", self.case.device_id))
        self.refuses("bad signature", ref.read_request, raw, self.case.other.public)


class Kit(unittest.TestCase):
    def test_every_vector_reaches_its_outcome(self):
        names = sorted(n for n in os.listdir(make_kit.KIT) if n.endswith(".emkv"))
        self.assertGreater(len(names), 120)
        for name in names:
            with self.subTest(vector=name):
                self.assertEqual(ref.run_vector(os.path.join(make_kit.KIT, name)), "")

    def test_every_outcome_has_a_vector(self):
        seen = {v[0] for v in make_kit.all_vectors().vectors.values()}
        self.assertEqual(seen, set(ref.OUTCOMES))

    def test_the_kit_is_what_make_kit_makes(self):
        self.assertEqual(make_kit.differences(make_kit.all_vectors()), [])
        self.assertEqual(make_kit.differences(make_kit.MessageKit()), [])

    def test_every_vector_of_messages_reaches_its_outcome(self):
        for where, at_least in ((make_kit.MESSAGES, 200), (make_kit.MADE, 7)):
            names = sorted(n for n in os.listdir(where) if n.endswith(".emkm"))
            self.assertGreaterEqual(len(names), at_least)
            for name in names:
                with self.subTest(vector=name):
                    vector = ref.read_vector(os.path.join(where, name))
                    self.assertEqual(messages.run_message(*vector), "")

    def test_every_outcome_of_messages_has_a_vector(self):
        seen = {head["expect"] for head, _ in make_kit.MessageKit().vectors.values()}
        self.assertEqual(seen, set(ref.OUTCOMES_OF_MESSAGES))

    def test_a_vector_that_promises_something_else_is_noticed(self):
        head, body = make_kit.MessageKit().vectors["ok-lease-psk"]
        head = {k: str(v) for k, v in head.items()}
        self.assertEqual(messages.run_message(head, body), "")
        for key, value in (("expect", "stale"), ("read-psk", "00"), ("read-until", "1")):
            self.assertNotEqual(messages.run_message({**head, key: value}, body), "")


class HttpSignatures(Rules):
    """Appendix B of RFC 9421, as far as it is about requests and our two algorithms."""

    @staticmethod
    def public(jwk):
        x, y = (base64.urlsafe_b64decode(jwk.get(k, "") + "==") for k in "xy")
        return x if jwk["crv"] == "Ed25519" else b"\4" + x + y

    @staticmethod
    def request(vector, messages_of):
        if "message_text" in vector:
            head = vector["message_text"].split("\n\n")[0].split("\n")
            return [line for line in head if line and line[0] != "{"]
        message = messages_of[vector["message"]]
        sent = [("Signature-Input", vector["signature_input"]), ("Signature", vector["signature"])]
        return [message["start_line"]] + [f"{n}: {v}" for n, v in message["fields"] + sent]

    def test_agrees_with_appendix_b(self):
        vectors, seen = shared("rfc9421/rfc9421_appendix_b.json"), []
        for v in vectors["vectors"]:
            lines = self.request(v, vectors["messages"]) if v["alg"] in messages.HTTP_ALGS else [""]
            if not lines[0].endswith(" HTTP/1.1"):
                continue
            http = messages.Http("\r\n".join(lines).encode() + b"\r\n\r\n")
            names, params, given, signature = messages.parse_signature(http)
            base = messages.signature_base(http, names, params)
            public = self.public(vectors["keys"][v["keyid"]]["jwk"])
            if v["result"] == "valid":
                self.assertEqual(base.hex(), v["signature_base_hex"])
                messages.verify_raw(public, base, signature)
                self.refuses("bad signature", messages.verify_raw, public, base + b" ", signature)
            else:
                self.refuses("bad signature", messages.verify_raw, public, base, signature)
            self.refuses("bad request", messages.check_params, given)
            seen.append(v["id"])
        self.assertEqual(seen, ["B.2.6", "B.3", "B.4.0", "B.4.1", "B.4.4"])


if __name__ == "__main__":
    unittest.main()
