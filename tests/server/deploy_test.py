#!/usr/bin/env python3
"""What deploy/ and docs/operate/ tell an operator to do, done: the units, nginx in front, backup and
restore, another version of the database.
EARMARKD=bin/earmarkd EARMARK=bin/earmark deploy_test.py"""
import glob
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import earmarkd
from earmarkd import Server, read_answer

EARMARK = os.environ.get("EARMARK", "")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
OPEN = {"api": {"attestation_none": True, "ticket_without_token": True}}


def deploy(name):
    with open(os.path.join(ROOT, "deploy", name), encoding="utf-8") as f:
        return f.read()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="earmarkd-deploy-")
        self.addCleanup(shutil.rmtree, self.dir, True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "w" if isinstance(data, str) else "wb") as f:
            f.write(data)
        return self.path(name)

    def serve(self, config):
        server = Server(config)
        self.addCleanup(server.close)
        return server

    def operator(self, server, name="ann"):
        made = subprocess.run([earmarkd.BINARY, "operator", "add", name, "--config", server.config_path(),
                               "--generate"], capture_output=True, check=True)
        answer = server.ask("POST", "/v1/admin/sessions",
                            {"name": name, "password": made.stdout.decode().strip()})
        self.assertEqual(answer.status, 201, answer.body)
        self.write("op.token", answer.json()["token"] + "\n")
        return answer.json()["token"]

    def earmark(self, *words, code=0):
        env = {"PATH": os.environ["PATH"], "HOME": self.dir}
        env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        run = subprocess.run([EARMARK, *words], cwd=self.dir, env=env, capture_output=True, text=True)
        self.assertEqual(run.returncode, code, (words, run.stdout, run.stderr))
        return run.stdout


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
class Units(Case):
    def units(self):
        """As they are but for the program's place, which must be there."""
        for name in ("earmarkd.service", "earmarkd.socket"):
            self.write(name, deploy(name).replace("/usr/sbin/earmarkd", earmarkd.BINARY))
        return [self.path("earmarkd.service"), self.path("earmarkd.socket")]

    def test_systemd_understands_every_line(self):
        run = subprocess.run(["systemd-analyze", "verify", "--man=no", *self.units()], capture_output=True,
                             text=True, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
        about_us = [line for line in run.stderr.splitlines() if "earmarkd" in line]
        self.assertEqual(about_us, [], run.stderr)

    def test_the_service_is_confined(self):
        run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                              self.units()[0]], capture_output=True, text=True)
        level = re.search(r"Overall exposure level.*: ([0-9.]+)", run.stdout)
        if not level:
            self.skipTest("this systemd-analyze cannot look at a file: " + run.stderr.strip()[:200])
        print("exposure", level.group(1))
        self.assertLessEqual(float(level.group(1)), 3.0, run.stdout)


class Proxied:
    """An example of deploy/ with other ports and paths, in front of a server.  Each proxy says which file it
    is, what of it is the listener's address, and how it is found and started."""
    example = listens = None

    def setUp(self):
        super().setUp()
        self.program = self.find()
        if not self.program:
            self.skipTest(f"{type(self).__name__.lower()} is not here")
        walls = self.write("walls", "127.0.0.3/32 deny\n198.51.100.0/24 deny\n")
        self.port = free_port()
        self.server = self.serve({**OPEN, "server": {"origin": f"https://localhost:{self.port}"},
                                  "firewall": {"file": walls},
                                  "proxies": {"trusted": ["127.0.0.1/32"], "field": "x-forwarded-for"}})
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", self.path("key.pem"),
                        "-out", self.path("ca.pem")], check=True, capture_output=True)
        self.start_proxy()

    def upstream(self):
        return ("127.0.0.1:8440", f"127.0.0.1:{self.server.port}")

    def start_proxy(self):
        text = deploy(self.example)
        for old, new in ((self.listens[0], self.listens[1] % self.port), self.upstream(),
                         ("/etc/earmark/tls/fullchain.pem", self.path("ca.pem")),
                         ("/etc/earmark/tls/key.pem", self.path("key.pem"))):
            self.assertIn(old, text)
            text = text.replace(old, new)
        with open(self.path("proxy.log"), "wb") as log:
            self.proxy = subprocess.Popen(self.command(text), stdout=log, stderr=log)
        self.addCleanup(self.proxy.wait)
        self.addCleanup(self.proxy.terminate)

        def answers():
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return True
            except OSError:
                return self.proxy.poll() is not None
        wait_for(answers)
        if self.proxy.poll() is not None:
            with open(self.path("proxy.log"), encoding="utf-8") as f:
                self.fail("the proxy does not start: " + f.read())

    def ask(self, lines=(), source="127.0.0.1", path="/v1/challenges"):
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        raw = socket.create_connection(("127.0.0.1", self.port), 20, (source, 0))
        with context.wrap_socket(raw, server_hostname="localhost") as s:
            s.sendall("\r\n".join([f"POST {path} HTTP/1.1", f"Host: localhost:{self.port}",
                                   "Content-Length: 0", *lines, "", ""]).encode())
            return read_answer(s).status

    def test_the_whole_way_goes_through(self):
        self.operator(self.server)
        url = ["--server", f"https://localhost:{self.port}", "--ca", "ca.pem"]
        self.write("model.bin", os.urandom(300000))
        self.earmark("publish", "model.bin", "ears:1", "--as-bytes", "--key", "op.token", *url)
        self.earmark("enrol", "--token", "op.token", "--user", "jane", "--device", "phone", *url)
        self.earmark("fetch", "ears", "--device", "phone")
        self.assertIn("sha256", self.earmark("open", "ears", "--user", "jane", "--device", "phone",
                                             "--sha256"))

    def test_what_a_client_says_of_its_address_is_dropped(self):
        self.assertEqual(self.ask(), 201)
        for line in ("X-Forwarded-For: 198.51.100.9", "Forwarded: for=198.51.100.9", "X-Real-IP: 198.51.100.9"):
            self.assertEqual(self.ask([line], source="127.0.0.2"), 201, line)

    def test_where_a_client_is_counts_whatever_it_says(self):
        for lines in ([], ["X-Forwarded-For: 203.0.113.1"], ["Forwarded: for=203.0.113.1"],
                      ["X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 127.0.0.1"]):
            self.assertEqual(self.ask(lines, source="127.0.0.3"), 403, lines)

    def test_nobody_but_the_proxy_is_believed(self):
        """Straight to the server, from an address that is no proxy."""
        raw = socket.create_connection(("127.0.0.1", self.server.port), 20, ("127.0.0.2", 0))
        with raw as s:
            s.sendall(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
                      b"X-Forwarded-For: 198.51.100.9\r\n\r\n")
            self.assertEqual(read_answer(s).status, 201)


@unittest.skipUnless(EARMARK, "EARMARK is not set")
@unittest.skipUnless(shutil.which("openssl"), "openssl is not here")
class Nginx(Proxied, Case):
    example, listens = "nginx.conf", ("listen 443 ssl", "listen 127.0.0.1:%d ssl")

    def find(self):
        return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")

    def command(self, text):
        temp = "".join(f"{kind}_temp_path {self.path(kind)};\n" for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        conf = self.write("nginx.conf", f"{user}daemon off;\npid {self.path('pid')};\n"
                          f"error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temp}{text}}}\n")
        return [self.program, "-p", self.dir, "-c", conf]


@unittest.skipUnless(EARMARK, "EARMARK is not set")
@unittest.skipUnless(shutil.which("openssl"), "openssl is not here")
class Envoy(Proxied, Case):
    """The one that tools/setup envoy fetches, or one of the path."""
    example, listens = "envoy.yaml", ("address: 0.0.0.0, port_value: 443", "address: 127.0.0.1, port_value: %d")

    def find(self):
        ours = os.path.join(ROOT, "build/envoy/bin/envoy")
        return os.environ.get("ENVOY") or shutil.which("envoy") or (ours if os.access(ours, os.X_OK) else None)

    def upstream(self):
        return ("address: 127.0.0.1, port_value: 8440", f"address: 127.0.0.1, port_value: {self.server.port}")

    def command(self, text):
        return [self.program, "-c", self.write("envoy.yaml", text), "--use-dynamic-base-id",
                "--concurrency", "1", "--log-level", "warning"]


class Backup(Case):
    """docs/operate/backup.md, step by step, while requests come in."""

    def setUp(self):
        super().setUp()
        try:
            import device
        except ImportError:
            self.skipTest("python3-cryptography is not here")
        self.device = device

    def copy(self, server, to):
        """What the page says: records first, then the log with what it promises first, then blobs."""
        data = os.path.join(server.dir, "data")
        os.makedirs(to, 0o700)
        with sqlite3.connect(os.path.join(data, "records.db")) as db:
            db.execute("VACUUM INTO ?", (os.path.join(to, "records.db"),))
        db.close()
        os.chmod(os.path.join(to, "records.db"), 0o600)
        os.mkdir(os.path.join(to, "journal"), 0o700)
        journal, first = os.path.join(data, "journal"), os.path.join(to, "first")
        os.mkdir(first)
        for name in ("checkpoint", "head", "chain"):
            if os.path.exists(os.path.join(journal, name)):
                subprocess.run(["cp", "-a", os.path.join(journal, name), first], check=True)
        subprocess.run(["cp", "-a", journal + "/.", os.path.join(to, "journal/")], check=True)
        for name in os.listdir(first):
            os.replace(os.path.join(first, name), os.path.join(to, "journal", name))
        os.rmdir(first)
        subprocess.run(["cp", "-a", os.path.join(data, "blobs"), to], check=True)

    def load(self, server, token, stop, known):
        device = self.device.Device(server, "loaded")
        self.assertEqual(device.enrol(token).status, 201)
        while not stop.is_set():
            answer = device.ticket(use="u")
            if answer.status == 201:
                known.append(answer.json()["id"])
        device.wire.close()

    def verify(self, data):
        """With the key of the old place: what continues it is signed by the same."""
        run = subprocess.run([EARMARK, "audit", "verify", os.path.join(data, "journal"), "-k",
                              self.path("audit.vkey")], capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr

    def test_a_copy_made_while_serving_goes_on_elsewhere(self):
        server = self.serve(OPEN)
        token = self.operator(server)
        stop, known = threading.Event(), []
        loader = threading.Thread(target=self.load, args=(server, token, stop, known))
        loader.start()
        try:
            wait_for(lambda: len(known) > 20)
            before = list(known)
            body = os.urandom(50000)
            answer = server.ask("PUT", "/v1/models/kept/1?bytes=1", body,
                                {"Authorization": "Bearer " + token,
                                 "Content-Type": "application/octet-stream"})
            self.assertEqual(answer.status, 201, answer.body)
            copy = self.path("copy")
            self.copy(server, copy)
            n = len(known)
            wait_for(lambda: len(known) > n)  # it was not stopped for it
        finally:
            stop.set()
            loader.join()
        self.assertGreater(len(known), n)
        self.restore(server, copy, before)

    def restore(self, old, copy, before):
        old.stop()
        shutil.copy(os.path.join(old.dir, "data", "audit.vkey"), self.dir)
        other = Server(OPEN, wait=False)  # another folder, as on another machine
        self.addCleanup(other.close)
        other.stop(signal.SIGKILL)
        for name, source in (("data", copy), ("keys", os.path.join(old.dir, "keys"))):
            shutil.rmtree(os.path.join(other.dir, name), ignore_errors=True)
            subprocess.run(["cp", "-a", source, os.path.join(other.dir, name)], check=True)
        os.remove(other.log_path)
        other.args = other.args[:3]  # without --make-keys: nothing may be missing
        other.start()
        self.assertEqual(other.ask("GET", "/readyz", internal=True).status, 200)
        token = self.operator(other, "bob")
        bearer = {"Authorization": "Bearer " + token}
        for name in before:
            answer = other.ask("GET", "/v1/admin/tickets/" + name, None, bearer)
            self.assertEqual(answer.status, 200, name)
        fresh = self.device.Device(other, "fresh")
        self.assertEqual(fresh.enrol(token).status, 201)
        self.assertEqual(fresh.ticket(use="u").status, 201)
        answer = fresh.ticket(model="kept")  # its bytes are there and can be decrypted
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(answer.json()["next"], "fetch")
        fresh.wire.close()
        self.assertEqual(other.stop(), 0)
        if EARMARK:
            code, text = self.verify(os.path.join(other.dir, "data"))
            self.assertEqual(code, 0, text)


class Upgrade(Case):
    """The database of another version."""

    def setUp(self):
        super().setUp()
        try:
            import device
        except ImportError:
            self.skipTest("python3-cryptography is not here")
        self.device = device

    def database(self, server):
        return sqlite3.connect(os.path.join(server.dir, "data", "records.db"))

    def start_again(self, server, wait=True):
        os.remove(server.log_path)
        server.process.stdout.close()
        server.start(wait)

    def older(self, value, known):
        """A record as a version wrote it that knew fewer fields."""
        from earmark_reference import cbor_decode, cbor_encode
        fields = cbor_decode(bytes(value))
        return cbor_encode({k: v for k, v in fields.items() if k <= known})

    def test_goes_on_with_records_that_lack_newer_fields(self):
        server = self.serve(OPEN)
        token = self.operator(server)
        old = self.device.Device(server, "old")
        self.assertEqual(old.enrol(token).status, 201)
        self.assertEqual(old.ticket(use="u").status, 201)
        old.wire.close()
        server.stop()
        changed = 0
        with self.database(server) as db:
            for rowid, value in list(db.execute("SELECT rowid, value FROM record WHERE kind = 1")):
                db.execute("UPDATE record SET value = ? WHERE rowid = ?", (self.older(value, 8), rowid))
                changed += 1
        db.close()
        self.assertGreater(changed, 0)
        self.start_again(server)
        self.assertEqual(old.ticket(use="v").status, 201)
        old.wire.close()

    def test_makes_the_first_schema_anew_in_place(self):
        """A database from before there were numbers: no tables, no schema."""
        server = self.serve(OPEN)
        server.stop()
        for path in glob.glob(os.path.join(server.dir, "data", "records.db*")):
            os.remove(path)
        sqlite3.connect(os.path.join(server.dir, "data", "records.db")).close()
        self.start_again(server)
        self.assertEqual(self.device.Device(server, "new").enrol(self.operator(server)).status, 201)

    def test_refuses_a_newer_database_and_leaves_it(self):
        server = self.serve(OPEN)
        server.stop()
        with self.database(server) as db:
            schema = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute(f"PRAGMA user_version = {schema + 1}")
        db.close()
        self.start_again(server, wait=False)
        self.assertEqual(server.process.wait(60), 1)
        with self.database(server) as db:
            self.assertEqual(db.execute("PRAGMA user_version").fetchone()[0], schema + 1)
        db.close()
        self.assertIn("newer", server.log())


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        print("SKIP earmarkd is not built")
        sys.exit(77)
    unittest.main(verbosity=2)
