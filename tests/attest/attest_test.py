"""Attestation as its users meet it: simulated evidence, forged evidence, manifests of others, roots
and lists that are fetched, swapped and out of date.  EARMARK is the program."""
import base64
import hashlib
import http.server
import json
import os
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

EARMARK = os.environ["EARMARK"]
SHARED = os.environ.get("EMK_SHARED") or os.path.join(os.path.dirname(__file__), "../../../shared")
VECTORS = os.path.join(SHARED, "vectors/attestation")
NOW = "2027-01-15T08:00:00Z"
NONCE = "b1" * 32
ZEROS = "00" * 32


def run(*args, limit=None):
    def small():  # a full disk, as far as one file is concerned
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run([EARMARK, *args], capture_output=True, text=True,
                          preexec_fn=small if limit else None)
    return done.returncode, done.stdout + done.stderr


def run_json(*args):
    code, out = run(*args, "--json")
    return code, json.loads(out.splitlines()[-1] if out.startswith("note") else out[out.index("{"):])


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text):
        with open(self.path(name), "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        return self.path(name)

    def read(self, *names):
        with open(self.path(*names), "rb") as f:
            return f.read()

    def simulate(self, kind, *fields):
        code, out = run("attest", "simulate", "--kind", kind, "--nonce", NONCE, "--dir",
                        self.path("sim"), *fields)
        self.assertEqual(code, 0, out)

    def roots(self, *roles):
        """A directory of roots in which the simulator's root has these roles."""
        for role in roles:
            copy = self.path(role + ".pem")
            shutil.copy(self.path("sim", "simulated_root.pem"), copy)
            code, out = run("attest", "update", "--from", copy, "--role", role, "--roots",
                            self.path("roots"), "--max-age", "36500d")
            self.assertEqual(code, 0, out)
        status = self.write("android_status.json", '{"entries": {}}')
        run("attest", "update", "--from", status, "--roots", self.path("roots"), "--max-age",
            "36500d", "--fetched-at", "2027-01-15T07:00:00Z")
        return self.path("roots")


class Forged(Case):
    def test_none_is_accepted(self):
        code, out = run_json("attest", "simulate", "--forged", self.path("f"))
        self.assertEqual(code, 0, out)
        self.assertGreaterEqual(out["forged"], 200)
        manifest = self.path("f", "manifest.json")
        code, got = run_json("attest", "verify", "--manifest", manifest, "--accept",
                             "simulated,testing")
        self.assertEqual(code, 0, [c for c in got["cases"] if not c["agrees"]])
        self.assertEqual(got["errors"], 0)
        refused = [c for c in got["cases"] if c["got"] == "reject"]
        self.assertEqual(len(refused), out["forged"])
        self.assertFalse([c for c in refused if not c["reason"] or "simulator" in c["reason"]])
        reasons = {c["reason"] for c in refused}
        self.assertGreaterEqual(len(reasons), 100)
        print(f"forged proofs: {len(refused)}, none accepted, {len(reasons)} different reasons",
              file=sys.stderr)

    def test_right_evidence_is_refused_where_simulators_are_not_allowed(self):
        run("attest", "simulate", "--forged", self.path("f"))
        code, got = run_json("attest", "verify", "--manifest", self.path("f", "manifest.json"))
        self.assertEqual(code, 1)
        wrong = {c["id"]: c["reason"] for c in got["cases"] if not c["agrees"]}
        self.assertEqual(set(wrong), {k + "/control" for k in ("app_attest", "android_key",
                         "play_integrity", "safetynet", "tpm")})
        for id, reason in wrong.items():
            self.assertIn("testing response" if "play" in id else "simulator", reason)


class Simulated(Case):
    def verify(self, kind, *more, simulated=True):
        accept = ["--accept", "simulated,testing"] if simulated else []
        return run_json("attest", "verify", "--kind", kind, "--nonce", NONCE, "--time", NOW,
                        *accept, *more)

    def check(self, kind, level, *more):
        code, got = self.verify(kind, *more)
        self.assertEqual(code, 0, got)
        self.assertEqual(got["level"], level)
        if kind != "play_integrity":
            self.assertIn("simulated", got["warnings"])
        code, got = self.verify(kind, *more, simulated=False)
        self.assertEqual((code, got["status"]), (9, "E_POLICY"), got)

    def test_app_attest(self):
        self.simulate("app_attest")
        self.check("app_attest", 3, "--input", self.path("sim", "object.cbor"), "--key-id",
                   base64.b64encode(self.read("sim", "key_id.bin")).decode(), "--app",
                   "TEAM123456.com.example.cam", "--roots", self.roots("app_attest"))

    def test_android_key(self):
        self.simulate("android_key")
        self.check("android_key", 2, "--input", self.path("sim", "chain.pem"), "--app",
                   "com.example.cam", "--app-digest", "aa" * 32, "--roots",
                   self.roots("android_key"))

    def test_play_integrity(self):
        self.simulate("play_integrity")
        keys = [self.write(n, base64.b64encode(self.read("sim", n)))
                for n in ("decryption.key", "verification.spki")]
        self.check("play_integrity", 1, "--input", self.path("sim", "token.jwe"),
                   "--decryption-key", keys[0], "--verification-key", keys[1], "--app",
                   "com.example.cam", "--app-digest", "aa" * 32)

    def test_safetynet(self):
        self.simulate("safetynet")
        self.check("safetynet", 1, "--input", self.path("sim", "token.jws"), "--app",
                   "com.example.cam", "--app-digest", "aa" * 32, "--roots",
                   self.roots("safetynet"))

    def tpm(self):
        keys = [self.read("sim", n).hex() for n in ("signing_key.bin", "agreement_key.bin")]
        return ["--input", self.path("sim", "proof.cbor"), self.path("sim", "hello.cbor"),
                "--secret", ZEROS, "--public-key", keys[0], "--agreement-key", keys[1],
                "--app", "a program", "--pcrs", "sha256:0,7"]

    def test_tpm(self):
        self.simulate("tpm")
        values = bytes.fromhex("22" * 32 + "33" * 32)
        args = self.tpm() + ["--roots", self.roots("tpm")]
        self.check("tpm", 1, *args)
        self.check("tpm", 2, *args, "--allowed-pcrs", hashlib.sha256(values).hexdigest())
        code, got = self.verify("tpm", *args, "--allowed-pcrs", ZEROS)
        self.assertEqual((code, got["status"]), (9, "E_POLICY"))
        args[args.index("--secret") + 1] = "01" * 32
        code, got = self.verify("tpm", *args)
        self.assertIn("credential was not opened", got["what"])

    def test_tpm_answers_a_server(self):
        self.simulate("tpm", "--secret", "77" * 32)
        first = {n: self.path(n) for n in ("id_object.bin", "enc_secret.bin", "hello.cbor")}
        for n, to in first.items():
            shutil.copy(self.path("sim", n), to)
        self.simulate("tpm", "--id-object", first["id_object.bin"], "--enc-secret",
                      first["enc_secret.bin"])
        args = self.tpm() + ["--roots", self.roots("tpm")]
        args[args.index("--secret") + 1] = "77" * 32
        self.check("tpm", 1, *args)

    def test_a_field_is_the_defect(self):
        self.simulate("tpm", "quote.magic=1")
        code, got = self.verify("tpm", *self.tpm(), "--roots", self.roots("tpm"))
        self.assertEqual(got["what"], "tpm: magic number")


@unittest.skipUnless(os.path.isdir(VECTORS), f"SKIP {VECTORS} is not here")
class Others(Case):
    """Manifests of the same format that are not ours."""

    def copy(self, kind):
        shutil.copytree(os.path.join(VECTORS, kind), self.path(kind))
        shutil.copytree(os.path.join(VECTORS, "roots"), self.path("elsewhere"))
        with open(self.path(kind, "manifest.json")) as f:
            return json.load(f)

    def verify(self, kind, manifest, *more):
        self.write(kind + "/m.json", json.dumps(manifest))
        return run_json("attest", "verify", "--manifest", self.path(kind, "m.json"), "--roots",
                        self.path("elsewhere"), *more)

    def test_renamed_files_in_folders_in_another_order(self):
        for kind in ("app_attest", "android_key", "play_integrity", "safetynet", "tpm"):
            manifest = self.copy(kind)
            os.makedirs(self.path(kind, "deep/er"))
            for case in manifest["cases"]:
                for key, name in case.items():
                    if isinstance(name, str) and os.path.isfile(self.path(kind, name)):
                        to = "deep/er/" + hashlib.sha256(name.encode()).hexdigest()[:20]
                        shutil.copy(self.path(kind, name), self.path(kind, to))
                        case[key] = to
            manifest["cases"].reverse()
            code, got = self.verify(kind, manifest)
            self.assertEqual((code, got["differ"]), (0, 0), kind)
            shutil.rmtree(self.path("elsewhere"))

    def test_a_verdict_that_is_turned_round_is_a_difference(self):
        turn = {"accept": "reject", "reject": "accept", "genuine": "reject", "pass": "fail",
                "fail": "pass", "equal": "reject"}
        for kind in ("app_attest", "android_key", "play_integrity", "safetynet", "tpm"):
            manifest = self.copy(kind)
            for case in manifest["cases"]:
                for key in ("expect", "google_reference", "strict", "token_genuine",
                            "device_verdict", "expect_crypto", "expect_trust"):
                    if key in case:
                        case[key] = turn[case[key].split()[0]]
            code, got = self.verify(kind, manifest)
            self.assertEqual((code, got["differ"]), (1, got["verdicts"]), kind)
            shutil.rmtree(self.path("elsewhere"))

    def test_chains_in_der(self):
        manifest = self.copy("android_key")
        for case in manifest["cases"]:
            with open(self.path("android_key", case["file"])) as f:
                pem = f.read()
            der = b"".join(ssl.PEM_cert_to_DER_cert(x + "-----END CERTIFICATE-----\n")
                           for x in pem.split("-----END CERTIFICATE-----\n")[:-1])
            case["file"] += ".der"
            self.write("android_key/" + case["file"], der)
        code, got = self.verify("android_key", manifest)
        self.assertEqual((code, got["differ"]), (0, 0), [c for c in got["cases"] if not c["agrees"]])

    def test_hex_and_base64_may_change_places(self):
        manifest = self.copy("app_attest")
        for case in manifest["cases"]:
            for key in list(case):
                if key.endswith("_hex") and case[key]:
                    case[key[:-3] + "b64"] = base64.b64encode(bytes.fromhex(case.pop(key))).decode()
                elif key.endswith("_b64") and case[key]:
                    case[key[:-3] + "hex"] = base64.b64decode(case.pop(key)).hex()
        code, got = self.verify("app_attest", manifest)
        self.assertEqual((code, got["differ"]), (0, 0))

    def test_what_is_missing_is_an_error_and_never_a_verdict(self):
        manifest = self.copy("app_attest")
        cases = [dict(c) for c in manifest["cases"] if c["type"] == "attestation"][:3]
        for name in ("verify_time", "app_id", "file", "key_id_b64", "environment"):
            manifest["cases"] = [{k: v for k, v in c.items() if k != name} for c in cases]
            code, got = self.verify("app_attest", manifest)
            self.assertEqual((code, got["errors"]), (1, 3), name)

    def test_anchors_that_are_not_there(self):
        manifest = self.copy("app_attest")
        os.remove(self.path("elsewhere", "Apple_App_Attestation_Root_CA.pem"))
        code, got = self.verify("app_attest", manifest)
        self.assertEqual((code, got["status"]), (12, "E_NOT_FOUND"))
        shutil.rmtree(self.path("elsewhere"))
        code, got = self.verify("app_attest", manifest)
        self.assertEqual(code, 12)


class Server(http.server.BaseHTTPRequestHandler):
    body, code = b"", 200

    def do_GET(self):
        self.send_response(self.code)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args):
        pass


class Update(Case):
    """The revocation list, from a server of our own over TLS."""

    def setUp(self):
        super().setUp()
        key, cert = self.path("key.pem"), self.path("cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                       check=True, capture_output=True)
        self.cert = cert
        Server.code, Server.body = 200, b'{"entries": {"1234": {"status": "REVOKED"}}}'
        self.server = http.server.ThreadingHTTPServer(("localhost", 0), Server)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"https://localhost:{self.server.server_port}/attestation/status"

    def update(self, *more, source=None, limit=None):
        return run("attest", "update", "--from", source or self.url, "--roots", self.path("r"),
                   *(["--ca-file", self.cert] if not source else []), *more, limit=limit)

    def listed(self):
        return run_json("attest", "roots", "--roots", self.path("r"))

    def test_a_list_is_fetched_and_replaced_whole(self):
        code, out = self.update()
        if "E_UNSUPPORTED" in out:
            self.skipTest("SKIP a build without libcurl")
        self.assertEqual(code, 0, out)
        code, got = self.listed()
        self.assertEqual((code, got["all_fresh"]), (0, True))
        self.assertEqual(got["files"][0]["source"], self.url)
        self.assertEqual(got["files"][0]["entries"], 1)
        before = self.read("r", "android_status.json"), self.read("r", "index.json")
        for Server.code, Server.body in ((500, b"{}"), (200, b"not a list"), (302, b""),
                                         (200, b'{"entries": {"12": {"status": 7}}}'),
                                         (200, b'{"entries": {}'), (200, b"")):
            code, out = self.update()
            self.assertNotEqual(code, 0, Server.body)
            self.assertEqual(before, (self.read("r", "android_status.json"),
                                      self.read("r", "index.json")))
        Server.code = 200
        Server.body = (b'{"entries": {"aa": {"status": "REVOKED"}, ' + b" " * 9000 +
                       b'"bb": {"status": "SUSPENDED"}}}')
        code, out = self.update(limit=4096)  # the disk is full
        self.assertNotEqual(code, 0)
        self.assertEqual(self.listed()[0], 0)
        self.assertEqual(before[0], self.read("r", "android_status.json"))
        self.assertEqual(sorted(os.listdir(self.path("r"))), ["android_status.json", "index.json"])
        code, out = self.update()
        self.assertEqual(code, 0, out)
        self.assertEqual(self.listed()[1]["files"][0]["entries"], 2)

    def test_servers_that_nobody_vouches_for_are_refused(self):
        code, out = self.update(source=self.url)
        self.assertNotEqual(code, 0)
        if "E_UNSUPPORTED" in out:
            self.skipTest("SKIP a build without libcurl")
        self.assertIn("certificate is not trusted", out)
        code, out = self.update(source=self.url.replace("https", "http"))
        self.assertIn("only https", out)
        code, out = self.update(source="ftp://localhost/x")
        self.assertIn("only https", out)
        self.assertFalse(os.path.exists(self.path("r", "index.json")))

    def test_anchors_are_not_fetched(self):
        for role in ("app_attest", "android_key", "tpm"):
            code, out = self.update("--role", role)
            self.assertEqual(code, 64, out)
            self.assertIn("anchors come by file", out)

    def test_age_and_older_lists(self):
        status = self.write("android_status.json", '{"entries": {}}')
        self.assertEqual(self.update("--fetched-at", "2026-01-02T00:00:00Z", source=status)[0], 0)
        code, got = self.listed()
        self.assertEqual((code, got["all_fresh"]), (11, False))
        code, out = self.update("--fetched-at", "2026-01-01T00:00:00Z", source=status)
        self.assertEqual(code, 11)
        self.assertIn("older than what is there", out)
        self.assertEqual(self.update("--max-age", "36500d", source=status)[0], 0)
        self.assertEqual(self.listed()[0], 0)

    def test_a_file_that_was_swapped_is_refused(self):
        status = self.write("android_status.json", '{"entries": {"12": {"status": "REVOKED"}}}')
        self.update(source=status)
        self.write("r/android_status.json", '{"entries": {}}')
        code, got = self.listed()
        self.assertEqual((code, got["status"]), (7, "E_SIGNATURE"))
        code, out = self.update(source=self.path("r"))
        self.assertIn("E_SIGNATURE", out)

    def test_a_file_of_another_role_is_refused(self):
        self.simulate("app_attest")
        root = self.path("sim", "simulated_root.pem")
        code, out = self.update("--role", "android_status", source=root)
        self.assertNotEqual(code, 0)
        self.assertEqual(self.update(source=root)[0], 64)  # its name says nothing
        status = self.write("android_status.json", '{"entries": {}}')
        code, out = self.update("--role", "app_attest", source=status)
        self.assertIn("E_FORMAT", out)
        self.assertEqual(self.update("--role", "web", source=status)[0], 64)
        self.assertFalse(os.path.exists(self.path("r", "index.json")))


if __name__ == "__main__":
    unittest.main()
