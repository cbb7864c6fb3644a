#!/usr/bin/python3
"""The command line and a real earmarkd: the way of a model over HTTP, and what happens when the
network, the server, the clock or somebody's rights fail.

usage: EARMARK=bin/earmark EARMARKD=bin/earmarkd EARMARK_MINT=bin/earmark-mint remote_test.py [unittest options]"""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/server"))
if not os.environ.get("EARMARKD"):
    print("SKIP: EARMARKD names no server")
    sys.exit(77)

from cli_test import Case, COMMAND, read, write
from earmarkd import Server
from keystore_test import PIN, SOFTHSM, Tpm

MINT = os.environ.get("EARMARK_MINT", "")
LARGE = 3 << 20  # bytes: more than the sockets' buffers hold


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Proxy:
    """A forward proxy (http_proxy) that sees every request and may spoil it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.seen, self.cut_after, self.cuts, self.before = [], None, 0, None
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with client:
            data = b""
            while b"\r\n\r\n" not in data:
                more = client.recv(65536)
                if not more:
                    return
                data += more
            method, host, port, rest = re.match(rb"(\S+) http://([^/:]+):(\d+)(.*)", data, re.S).groups()
            data = method + b" " + rest
            length = re.search(rb"\r\ncontent-length: (\d+)", data, re.I)
            want = data.index(b"\r\n\r\n") + 4 + (int(length.group(1)) if length else 0)
            while len(data) < want:
                data += client.recv(65536)
            data = re.sub(rb"\r\nProxy-Connection:[^\r]*", b"", data)
            data = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            self.seen.append(data)
            try:
                if self.before:
                    self.before(data)
            except OSError:  # spoiled
                return
            self.answer(client, data, (host.decode(), int(port)))

    def answer(self, client, data, to):
        blob = b"/v1/blobs/" in data.split(b"\r\n", 1)[0]
        sent = 0
        try:
            with socket.create_connection(to) as server:
                server.sendall(data)
                while True:
                    more = server.recv(16384)
                    if not more:
                        return
                    if blob and self.cut_after is not None and sent + len(more) > self.cut_after:
                        self.cuts += 1
                        client.sendall(more[:self.cut_after - sent])
                        return
                    client.sendall(more)
                    sent += len(more)
        except OSError:
            return


class Online(Case):
    """A server of --dev, an operator's token, a model; devices are made by enrolling."""
    config = None

    def setUp(self):
        super().setUp()
        self.server = self.start_server()
        self.addCleanup(self.server.close)
        if self.config is None:
            write(self.path("op.token"), self.server.dev()["operator_token"].encode() + b"\n")
        self.env["EARMARK_DEVICE"] = self.path("phone")
        self.env["EMK_SERVER"] = self.url()
        self.model = hashlib.shake_256(b"a model").digest(200000)
        write(self.path("model.bin"), self.model)

    def start_server(self):
        return Server(self.config)

    def url(self):
        return "http://127.0.0.1:%d" % self.server.port

    def publish(self, name="ears:1", *options, data=None):
        if data is not None:
            write(self.path("model.bin"), data)
            self.model = data
        return self.json("publish", "model.bin", name, "--key", "op.token", "--as-bytes", *options)

    def enrol(self, user="alice", device="phone", *options):
        return self.json("enrol", "--token", "op.token", "--user", user, "--device", device, *options)

    def is_whole(self, name="ears", **more):
        out = self.json("open", name, "--user", "alice", "--sha256", **more)
        self.assertEqual(out["sha256"], hashlib.sha256(self.model).hexdigest())

    def admin(self, method, path, body=None):
        ask = urllib.request.Request(
            self.url() + path, method=method, data=json.dumps(body).encode() if body else None,
            headers={"Authorization": "Bearer " + read(self.path("op.token")).decode().strip(),
                     "Content-Type": "application/json"})
        with urllib.request.urlopen(ask) as answer:
            return json.loads(answer.read() or b"null")

    def deliveries(self):
        at = self.path("phone/deliveries")
        return [os.path.join(at, d) for d in os.listdir(at)] if os.path.isdir(at) else []

    def kill_in_download(self, *args, env=None):
        """Kills fetch when some of the sealed file is there."""
        p = subprocess.Popen([*COMMAND, "fetch", *args], cwd=self.dir, env=dict(self.env, **(env or {})),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2000):
            sizes = [os.path.getsize(os.path.join(d, "sealed")) for d in self.deliveries()
                     if os.path.exists(os.path.join(d, "sealed"))]
            if any(sizes) or p.poll() is not None:
                break
            time.sleep(0.005)
        p.kill()
        p.wait()  # what it wrote until it was gone counts
        return max((os.path.getsize(os.path.join(d, "sealed")) for d in self.deliveries()
                    if os.path.exists(os.path.join(d, "sealed"))), default=0)


class Way(Online):
    def whole_way(self):
        self.publish("ears:1", "--max-opens", "9")
        self.assertEqual(self.publish("ears:1", "--max-opens", "9")["model"], "ears:1")
        out = self.json("fetch", "ears")
        self.assertIs(out["receipt_sent"], True)
        self.assertEqual(out["size"], len(self.model))
        self.is_whole()
        self.assertEqual(os.listdir(self.deliveries()[0]), ["lock"])

    def test_software_keys(self):
        self.assertEqual(self.enrol()["attestation_level"], 0)
        self.whole_way()

    @unittest.skipUnless(shutil.which("swtpm"), "swtpm is not here")
    def test_keys_in_a_tpm(self):
        tpm = Tpm(self.path("tpm"))
        self.addCleanup(tpm.stop)
        doctor = self.json("doctor", "--tcti", tpm.tcti)["device_keys"]["tpm2"]
        if not doctor["usable"]:
            self.skipTest(doctor["why"])
        out = self.enrol("alice", "phone", "--keystore", "tpm2", "--tcti", tpm.tcti)
        self.assertIn("TPM", out["keys"])
        self.whole_way()

    @unittest.skipUnless(SOFTHSM and shutil.which("softhsm2-util"), "SoftHSM is not here")
    def test_keys_in_a_pkcs11_token(self):
        write(self.path("softhsm2.conf"), b"directories.tokendir = %s\nobjectstore.backend = file\n"
              b"log.level = ERROR\n" % self.path("tokens").encode())
        os.mkdir(self.path("tokens"))
        self.env.update(SOFTHSM2_CONF=self.path("softhsm2.conf"), EARMARK_PIN=PIN)
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "my phone", "--pin", PIN,
                        "--so-pin", "12345678"], env=self.env, check=True, capture_output=True)
        doctor = self.json("doctor", "--module", SOFTHSM, "--token", "my phone")["device_keys"]["pkcs11"]
        if not doctor["usable"]:
            self.skipTest(doctor["why"])
        self.ok("device", "init", "--device", "phone", "--keystore", "pkcs11", "--module", SOFTHSM,
                "--token", "my phone", "--issuer", os.path.join(self.server.dir, "dev/keys/issuer.pub"))
        self.assertIn("PKCS#11", self.enrol()["keys"])
        self.whole_way()

    @unittest.skipUnless(shutil.which("swtpm_setup") and shutil.which("swtpm_localca"),
                         "swtpm_setup is not here")
    def test_a_tpm_shows_what_it_is(self):
        maker = self.path("maker")
        os.mkdir(maker)
        os.mkdir(self.path("made"))
        write(maker + "/localca.conf", ("statedir = %s\nsigningkey = %s/key.pem\nissuercert = %s/issuercert.pem\n"
                                        "certserial = %s/serial\n" % ((maker,) * 4)).encode())
        write(maker + "/localca.options", b"")
        write(maker + "/setup.conf", ("create_certs_tool=swtpm_localca\ncreate_certs_tool_config=%s/localca.conf\n"
                                      "create_certs_tool_options=%s/localca.options\n" % (maker, maker)).encode())
        if subprocess.run(["swtpm_setup", "--tpm2", "--tpm-state", self.path("made"), "--create-ek-cert",
                           "--config", maker + "/setup.conf"], capture_output=True).returncode:
            self.skipTest("swtpm_setup makes no certificate")
        tpm = Tpm(self.path("tpm"))
        tpm.stop()
        shutil.copytree(self.path("made"), self.path("tpm"), dirs_exist_ok=True)
        tpm.start()
        self.addCleanup(tpm.stop)
        if not self.json("doctor", "--tcti", tpm.tcti)["device_keys"]["tpm2"]["usable"]:
            self.skipTest("this build has no TPMs")
        args = ("phone", "--keystore", "tpm2", "--tcti", tpm.tcti, "--attestation", "tpm", "--app")
        first = ("enrol", "--token", "op.token", "--user", "alice", "--device")
        self.server.stop()
        roots = os.path.join(self.server.dir, "dev/roots")
        self.ok("attest", "update", "--from", maker + "/swtpm-localca-rootca-cert.pem", "--roots", roots,
                "--role", "tpm")
        self.ok("attest", "update", "--from", maker + "/issuercert.pem", "--roots", roots, "--role", "tpm_pool")
        write(self.server.log_path, b"")  # it has the old port
        self.server.start()
        self.env["EMK_SERVER"] = self.url()
        write(self.path("op.token"), self.server.dev()["operator_token"].encode())
        self.refused("E_POLICY", *first, *args, "another.app")
        out = self.json(*first, "phone", "--attestation", "tpm", "--app", "dev.example.app")
        self.assertGreaterEqual(out["attestation_level"], 1)
        self.assertGreaterEqual(self.json("enrol")["attestation_level"], 1)
        self.publish("ears:1", "--min-level", "1")
        self.ok("fetch", "ears")
        self.is_whole()

    def test_a_device_that_was_made_before(self):
        self.ok("device", "init", "--device", "phone", "--issuer",
                os.path.join(self.server.dir, "dev/keys/issuer.pub"))
        self.enrol()
        self.whole_way()

    def test_versions_and_uses(self):
        self.enrol()
        self.publish("ears:1")
        self.publish("ears:2", data=b"two" * 5000)
        self.ok("fetch", "ears:2")
        self.is_whole()
        self.ok("fetch", "ears:1", "--use", "video-7")
        self.refused("E_NOT_FOUND", "fetch", "ears:3")

    def test_certificates_are_renewed_without_a_token(self):
        self.enrol()
        self.json("enrol")

    def test_leases(self):
        self.enrol()
        self.publish("ears:1", "--lease", "1h", "--grace", "10m", "--renew", "20m")
        self.ok("fetch", "ears")
        first = self.json("lease", "show")["leases"][0]
        time.sleep(1.1)
        again = self.json("renew", "ears")["leases"][0]
        self.assertIs(again["granted"], True)
        self.assertGreater(again["until"], first["until"])
        self.assertEqual(len(self.json("renew", "--all")["leases"]), 1)
        self.is_whole()
        self.refused("E_NOT_FOUND", "renew", "paws")
        self.usage("renew")

    def test_the_sealed_file_can_be_kept_and_is_good_once(self):
        self.enrol()
        self.publish()
        kept = self.json("fetch", "ears", "--keep-sealed")["sealed"]
        ticket = os.path.join(os.path.dirname(kept), "ticket")
        self.refused("E_USED", "accept", kept, "--ticket", ticket)

    def test_published_versions_do_not_change(self):
        self.publish()
        write(self.path("model.bin"), b"another" * 1000)
        self.refused("E_USED", "publish", "model.bin", "ears:1", "--key", "op.token", "--as-bytes")
        for name in ("ears", "ears:", ":1", "ea/rs:1", "ears:1?x=2"):
            self.usage("publish", "model.bin", name, "--key", "op.token")


class Network(Online):
    def setUp(self):
        super().setUp()
        self.proxy = Proxy()
        self.addCleanup(self.proxy.close)
        self.enrol()
        self.publish(data=hashlib.shake_256(b"large").digest(LARGE))
        self.through = {"env": {"http_proxy": self.proxy.url}}

    def ranges(self):
        return [int(m.group(1)) for m in (re.search(rb"\r\nRange: bytes=(\d+)-", s)
                                          for s in self.proxy.seen if b"/v1/blobs/" in s) if m]

    def test_a_cut_download_goes_on(self):
        self.proxy.cut_after = LARGE // 3
        self.ok("fetch", "ears", **self.through)
        self.assertGreaterEqual(self.proxy.cuts, 2)
        ranges = self.ranges()
        self.assertEqual(ranges, sorted(set(ranges)))
        self.assertGreater(ranges[0], LARGE // 4)
        self.is_whole()

    def test_a_killed_fetch_goes_on(self):
        self.proxy.before = lambda data: time.sleep(0.2 if b"/v1/blobs/" in data else 0)
        self.proxy.cut_after = LARGE // 2
        had = self.kill_in_download("ears", env=self.through["env"])
        self.proxy.cut_after = None
        tickets = sum(s.startswith(b"POST /v1/tickets") for s in self.proxy.seen)
        p = self.run_earmark("fetch", "ears", **self.through)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(sum(s.startswith(b"POST /v1/tickets") for s in self.proxy.seen), tickets)
        if 0 < had < LARGE:
            self.assertIn(had, self.ranges())
        self.is_whole()

    def test_a_lost_answer_is_asked_for_again_with_the_same_key(self):
        spoiled = []

        def lose(data):
            if data.startswith(b"POST /v1/tickets") and not spoiled and b"Earmark-Nonce" in data:
                spoiled.append(data)
                with socket.create_connection(("127.0.0.1", self.server.port)) as s:
                    s.sendall(data)
                    s.recv(65536)
                raise OSError("lost")

        self.ok("fetch", "ears", **self.through)  # from here on there is a nonce
        self.publish("paws:1")
        self.proxy.before = lose
        self.ok("fetch", "paws", **self.through)
        self.assertEqual(len(spoiled), 1)
        keys = {re.search(rb"Idempotency-Key: (\w+)", s).group(1) for s in self.proxy.seen
                if s.startswith(b"POST /v1/tickets") and b"paws" not in s}
        self.assertEqual(len(keys), 2)  # one for each model, however often it was sent

    def test_a_replayed_request_is_refused(self):
        self.ok("fetch", "ears", **self.through)
        for data in [s for s in self.proxy.seen if b"Signature-Input" in s and b"Earmark-Nonce" in s]:
            with socket.create_connection(("127.0.0.1", self.server.port)) as s:
                s.sendall(data)
                self.assertIn(b" 401 ", s.recv(65536).split(b"\r\n", 1)[0])

    def test_no_server_is_told_with_a_way_on(self):
        self.server.stop()
        self.assertIn("run this again", self.refused("E_IO", "fetch", "ears"))

    def test_a_lost_state_costs_nothing_but_a_round_trip(self):
        self.ok("fetch", "ears")
        write(self.path("phone/server.state"), b"earmark-server-state-1\ncounter 1\nnonce x\n")
        self.ok("fetch", "ears")
        write(self.path("phone/server.state"), b"garbage")
        self.ok("fetch", "ears")


class Refused(Online):
    def setUp(self):
        super().setUp()
        self.id = self.enrol()["device_id"]
        self.publish("ears:1", "--lease", "1h")

    def revoke(self):
        text = base64.urlsafe_b64encode(bytes.fromhex(self.id)).decode().rstrip("=")
        self.admin("POST", "/v1/admin/devices/%s/revoke" % text, {"reason": "lost"})

    def test_a_revoked_device(self):
        self.ok("fetch", "ears")
        self.revoke()
        time.sleep(1.1)
        self.assertIn("revoked", self.refused("E_POLICY", "fetch", "ears:1"))
        lease = self.json("renew", "ears")["leases"][0]
        self.assertEqual((lease["granted"], lease["reason"]), (False, "revoked"))
        self.refused("E_POLICY", "open", "ears", "--user", "alice")
        self.refused("E_POLICY", "enrol")
        self.refused("E_USED", "enrol", "--token", "op.token", "--user", "alice")

    def test_a_banned_user(self):
        self.ok("fetch", "ears")
        users = self.admin("GET", "/v1/admin/users?subject=alice")
        user = next((v[0] for v in users.values() if isinstance(v, list)), users)
        self.admin("POST", "/v1/admin/users/%s/ban" % (user.get("id") or user["user"]), {"reason": "shared her account"})
        self.refused("E_POLICY", "fetch", "ears:1")

    def test_a_device_of_another_user(self):
        self.assertIn("user", self.refused("E_FORMAT", "fetch", "ears", "--user", "bob"))
        self.refused("E_USED", "enrol", "--token", "op.token", "--user", "bob")

    def test_another_issuer(self):
        other = Server()
        self.addCleanup(other.close)
        self.assertIn("another issuer", self.refused(
            "E_SIGNATURE", "enrol", "--server", "http://127.0.0.1:%d" % other.port, "--token",
            "op.token", "--user", "alice"))

    def test_wrong_words(self):
        for url in ("ftp://x", "http://example.com", "https://", "https://a/b", "https://a b"):
            self.usage("enrol", "--server", url, "--token", "op.token", "--user", "alice")
        self.usage("enrol", "--token", "op.token", "--user", "alice", "--attestation", "word")
        self.usage("enrol", "--token", "op.token", "--user", "alice", "--attestation", "tpm")
        self.usage("enrol", "--token", "op.token")
        write(self.path("bad.token"), b"two words")
        self.refused("E_FORMAT", "enrol", "--token", "bad.token")
        write(self.path("phone/server"), b"earmark-server-1\nurl gopher://x\n")
        self.usage("fetch", "ears")
        write(self.path("phone/server"), b"nonsense\n")
        self.refused("E_FORMAT", "fetch", "ears")

    def test_a_clock_that_is_wrong_by_an_hour(self):
        compiler = shutil.which("cc")
        if not compiler or any(n.endswith("SAN_OPTIONS") for n in self.env):
            self.skipTest("needs a compiler and no sanitizer")
        write(self.path("clock.c"), b"""#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME)
        t->tv_sec += atoi(getenv("SKEW"));
    return r;
}
time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return out ? (*out = t.tv_sec) : t.tv_sec;
}
""")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", "clock.so", "clock.c"], cwd=self.dir, check=True)
        shim = {"LD_PRELOAD": self.path("clock.so")}
        self.ok("fetch", "ears", env=dict(shim, SKEW="-3600"))
        self.publish("paws:1")
        text = self.refused("E_POLICY", "fetch", "paws", env=dict(shim, SKEW="3600"))
        self.assertIn("clock", text)
        self.ok("fetch", "paws")


class Events(Online):
    def setUp(self):
        super().setUp()
        self.enrol()
        self.publish()
        self.ok("fetch", "ears")

    def open(self, times=1):
        for _ in range(times):
            self.is_whole()

    def status(self):
        return self.json("events", "status")

    def test_batches_follow_each_other_without_gaps(self):
        self.open(3)
        self.run_earmark("open", "ears", "--user", "bob")
        self.assertEqual(self.status()["waiting"], 4)
        self.assertEqual(self.json("events", "send")["sent"], 4)
        self.open()
        self.ok("device", "remove", self.json("device", "list")["models"][0]["name"])
        out = self.json("events", "send")
        self.assertEqual((out["sent"], out["next"], out["waiting"]), (2, 7, 0))
        self.assertEqual(self.json("events", "send")["sent"], 0)

    def test_what_cannot_be_sent_waits_and_is_sent_once(self):
        self.open(2)
        proxy = Proxy()
        self.addCleanup(proxy.close)
        lost = []

        def lose(data):  # the server has it, the device does not know
            if data.startswith(b"POST /v1/events") and b"Earmark-Nonce" in data:
                lost.append(data)
                if len(lost) == 1:
                    with socket.create_connection(("127.0.0.1", self.server.port)) as s:
                        s.sendall(data)
                        s.recv(65536)
                raise OSError("lost")

        proxy.before = lose
        p = subprocess.Popen([*COMMAND, "events", "send"], cwd=self.dir,
                             env=dict(self.env, http_proxy=proxy.url), stderr=subprocess.DEVNULL)
        for _ in range(500):
            if lost:
                break
            time.sleep(0.01)
        time.sleep(0.3)
        p.kill()
        p.wait()
        self.assertIs(self.status()["under_way"], True)
        self.open()
        out = self.json("events", "send")
        self.assertEqual((out["sent"], out["next"]), (3, 4))

    def test_a_queue_of_which_the_server_has_a_part_goes_on(self):
        self.open()
        pending = read(self.path("phone/events/pending"))
        self.ok("events", "send")
        write(self.path("phone/events/pending"), pending)  # as a kill would leave it
        self.open()
        self.assertEqual(self.json("events", "send")["next"], 3)

    def test_an_old_state_shows(self):
        self.open()
        self.ok("events", "send")
        shutil.rmtree(self.path("phone/events"))
        self.open(2)
        self.refused("E_USED", "events", "send")

    def test_a_damaged_queue_is_told(self):
        self.open()
        for text in (b"x", b"1 1 1", b"2 1 1 - 0\n", b"1 0 1 - 0\n", b"1 1 1 - 0\n1 1 1 - 0\n"):
            write(self.path("phone/events/pending"), text)
            self.refused("E_FORMAT", "events", "status")
            self.ok("open", "ears", "--user", "alice")  # nobody is kept from a model


class Configured(Online):
    """A server with a configuration: user tokens, a fixed port, TLS."""
    tls = False
    more = {}

    def start_server(self):
        try:
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError:
            self.skipTest("python3-cryptography is not here")
        if not MINT:
            self.skipTest("EARMARK_MINT names no program")
        self.user_key = ec.generate_private_key(ec.SECP256R1())
        n = self.user_key.public_key().public_numbers()
        os.mkdir(self.path("jwks"))
        write(self.path("jwks/keys.json"), json.dumps({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
            "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}]}).encode())
        self.port = free_port()
        self.config = {
            "server": {"listen": "127.0.0.1:%d" % self.port, "origin": self.url()},
            "api": {"attestation_none": True},
            "tokens": {"issuers": [{"issuer": "https://login.example.com", "audience": "earmark",
                                    "tenant": "example", "jwks_file": self.path("jwks/keys.json")}]}}
        self.config.update(self.more)
        if self.tls:
            self.make_tls()
            self.config["tls"] = {"certificate": self.path("tls/server.pem"),
                                  "key": self.path("tls/server.key")}
        server = Server(self.config)
        key = subprocess.run([MINT, "service", os.path.join(server.dir, "data"), "publish"], check=True,
                             capture_output=True).stdout
        write(self.path("op.token"), key)
        return server

    def url(self):
        return "%s://%s:%d" % (("https", "localhost", self.port) if self.tls
                               else ("http", "127.0.0.1", self.port))

    def make_tls(self):
        os.mkdir(self.path("tls"))
        for name in ("server", "other"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=DNS:localhost", "-keyout", self.path("tls/%s.key" % name),
                            "-out", self.path("tls/%s.pem" % name)], check=True, capture_output=True)

    def token(self, name, user="alice", age=0, **claims):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        now = int(time.time()) - age
        head = {"alg": "ES256", "typ": "JWT", "kid": "k1"}
        body = dict({"iss": "https://login.example.com", "sub": user, "aud": "earmark", "iat": now,
                     "exp": now + 600}, **claims)
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(body).encode())
        r, s = utils.decode_dss_signature(self.user_key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        write(self.path(name), (text + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).encode() + b"\n")
        return name


class Bound(Configured):
    """Sealed models go to their own device's signed requests only."""
    more = {"blobs": {"require_device": True}}

    def test_fetch_signs_its_download(self):
        self.publish()
        self.json("enrol", "--token", self.token("alice.jwt"))
        self.ok("fetch", "ears", "--token", "alice.jwt")
        self.is_whole()
        os.remove(self.path("phone/server.state"))  # no counter and no nonce any more
        self.ok("fetch", "ears:1", "--token", "alice.jwt")
        self.is_whole()


class Tokens(Configured):
    def test_users_show_tokens(self):
        self.publish()
        self.assertEqual(self.json("enrol", "--token", self.token("alice.jwt"))["user"], "alice")
        self.refused("E_POLICY", "fetch", "ears")  # this server wants the user, too
        self.ok("fetch", "ears", "--token", "alice.jwt")
        self.is_whole()
        self.ok("fetch", "ears:1", env={"EMK_TOKEN": read(self.path("alice.jwt")).decode().strip()})
        self.refused("E_POLICY", "fetch", "ears", "--token", self.token("bob.jwt", "bob"))

    def test_a_token_of_another_kind_is_named_before_it_is_shown(self):
        self.publish()
        self.ok("enrol", "--token", self.token("alice.jwt"))
        session = {"EMK_TOKEN": "emko." + "a" * 80}
        for out in (self.refused("E_USAGE", "fetch", "ears", env=session),
                    self.refused("E_USAGE", "fetch", "ears", env={"EMK_TOKEN": "emks." + "a" * 80})):
            self.assertIn("EMK_TOKEN", out)
            self.assertIn("unset EMK_TOKEN", out)
        write(self.path("op.session"), b"emko." + b"a" * 80)
        self.assertIn("operator", self.refused("E_USAGE", "fetch", "ears", "--token", "op.session"))
        self.ok("fetch", "ears", "--token", "alice.jwt", env=session)  # the option goes first

    def test_tokens_that_are_not_good(self):
        self.publish()
        self.ok("enrol", "--token", self.token("alice.jwt"))
        for name in (self.token("old.jwt", age=3600), self.token("other.jwt", aud="shop"),
                     self.token("long.jwt", exp=int(time.time()) + 86400)):
            self.assertIn("token", self.refused("E_SIGNATURE", "fetch", "ears", "--token", name))
        self.refused("E_SIGNATURE", "enrol", "--device", "tablet", "--token", "old.jwt")
        self.refused("E_NOT_FOUND", "enrol", "--device", "none")

    def test_a_server_that_is_killed_between_ticket_and_fetch(self):
        proxy = Proxy()
        self.addCleanup(proxy.close)
        self.publish(data=hashlib.shake_256(b"large").digest(LARGE))
        self.ok("enrol", "--token", self.token("alice.jwt"))
        killed = []

        def kill(data):
            if b"/v1/blobs/" in data.split(b"\r\n", 1)[0] and not killed:
                killed.append(self.server.stop(signal.SIGKILL))
                threading.Timer(1, self.server.start).start()
                raise OSError("gone")

        proxy.before = kill
        self.ok("fetch", "ears", "--token", "alice.jwt", env={"http_proxy": proxy.url})
        self.assertEqual(len(killed), 1)
        self.assertEqual(sum(s.startswith(b"POST /v1/tickets") for s in proxy.seen), 2)
        self.is_whole()


class Tls(Configured):
    tls = True

    def setUp(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not here")
        super().setUp()

    def test_the_server_must_be_the_expected_one(self):
        ca = self.path("tls/server.pem")
        token = self.token("alice.jwt")
        self.refused("E_SIGNATURE", "enrol", "--token", token)
        self.refused("E_SIGNATURE", "enrol", "--token", token, "--ca", self.path("tls/other.pem"))
        self.refused("E_NOT_FOUND", "enrol", "--token", token, "--ca", "nowhere.pem")
        self.assertFalse(os.path.exists(self.path("phone")))
        public = subprocess.run(["openssl", "x509", "-in", ca, "-pubkey", "-noout"], check=True,
                                capture_output=True).stdout
        der = base64.b64decode(b"".join(public.split(b"\n")[1:-2]))
        pin = "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()
        wrong = "sha256//" + base64.b64encode(bytes(32)).decode()
        self.refused("E_SIGNATURE", "enrol", "--token", token, "--ca", ca, "--pin", wrong)
        self.usage("enrol", "--token", token, "--pin", "x")
        self.ok("enrol", "--token", token, "--ca", ca, "--pin", pin)
        self.ok("publish", "model.bin", "ears:1", "--as-bytes", "--key", "op.token", "--ca", ca)
        self.ok("fetch", "ears", "--token", token)
        self.is_whole()


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


if __name__ == "__main__":
    unittest.main()
