#!/usr/bin/env python3
"""TLS by the server itself: versions, client certificates, and a new certificate while connections
are open.   EARMARKD=bin/earmarkd tls_test.py"""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings

import earmarkd
from earmarkd import Server, read_answer

MINT = os.environ.get("EARMARK_MINT", "")
WIDE = {"rates": [{"name": "all", "by": "all", "unit": "requests", "quota": 1000000000, "window": "1s"}]}


def openssl(*words):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


class Authority:
    """Makes certificates in a folder of its own."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix="earmarkd-tls-")
        self.pem = self.path("ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", "/CN=" + name, "-keyout", self.path("ca.key"), "-out", self.pem)

    def path(self, name):
        return os.path.join(self.dir, name)

    def issue(self, name, days=2, purpose="clientAuth"):
        """The paths of a certificate and its key."""
        pem, key = self.path(name + ".pem"), self.path(name + ".key")
        with open(self.path("ext"), "w", encoding="ascii") as f:
            f.write(f"subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={purpose}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                "/CN=" + name, "-keyout", key, "-out", self.path("csr"))
        openssl("x509", "-req", "-in", self.path("csr"), "-CA", self.pem, "-CAkey", self.path("ca.key"),
                "-CAcreateserial", "-days", str(days), "-extfile", self.path("ext"), "-out", pem)
        return pem, key

    def close(self):
        shutil.rmtree(self.dir)


class TlsServer(Server):
    """Talks TLS; `client` is (certificate, key) to show, `ca` whom to trust."""
    client, ca = None, None

    def connect(self, internal=False, versions=None):
        s = super().connect(internal)
        if internal:
            return s
        context = ssl.create_default_context(cafile=self.ca)
        if versions:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                context.minimum_version = context.maximum_version = versions
        if self.client:
            context.load_cert_chain(*self.client)
        return context.wrap_socket(s, server_hostname="localhost")


class Case(unittest.TestCase):
    def setUp(self):
        self.authority, self.stranger = Authority("ours"), Authority("another")
        self.addCleanup(self.authority.close)
        self.addCleanup(self.stranger.close)
        self.folder = self.authority.path("live")
        os.mkdir(self.folder)
        self.install("server")

    def install(self, name):
        """Renames, as a tool that renews certificates does."""
        pair = self.authority.issue(name, purpose="serverAuth")
        for source, target in zip(pair, ("server.pem", "server.key")):
            shutil.copy(source, os.path.join(self.folder, "new"))
            os.rename(os.path.join(self.folder, "new"), os.path.join(self.folder, target))

    def start(self, drain="30s", **tls):
        config = {"tls": {"certificate": os.path.join(self.folder, "server.pem"),
                          "key": os.path.join(self.folder, "server.key"), **tls},
                  "http": {"connections_per_net": 0}, "limits": WIDE, "server": {"drain": drain}}
        self.server = TlsServer(config)
        self.addCleanup(self.server.close)
        self.server.ca = self.authority.pem
        return self.server

    def certificate_of(self, connection):
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(True))


class Versions(Case):
    def test_speaks_tls_1_2_and_1_3(self):
        self.start()
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            with self.server.connect(versions=version) as s:
                self.assertEqual(s.version(), name)
                s.sendall(b"GET /.well-known/earmark HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = read_answer(s)
                self.assertEqual(answer.status, 200)
                self.assertIn("strict-transport-security", answer.headers)

    def test_refuses_tls_1_0_and_1_1(self):
        self.start()
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.assertRaises(ssl.SSLError) as refusal:
                self.server.connect(versions=version)
            # By the server, not by our own library, which would say that it has no protocol left.
            self.assertRegex(str(refusal.exception).upper(), "ALERT|EOF")

    def test_refuses_plain_http(self):
        self.start()
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as s:
            s.sendall(b"GET /.well-known/earmark HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertNotIn(read_answer(s).status, range(200, 300))

    def test_a_handshake_that_stalls_is_broken(self):
        self.server = TlsServer({"tls": {"certificate": os.path.join(self.folder, "server.pem"),
                                         "key": os.path.join(self.folder, "server.key")},
                                 "http": {"head_timeout": "2s"}})
        self.addCleanup(self.server.close)
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as s:
            s.sendall(b"\x16\x03\x01\x02\x00\x01")
            s.settimeout(30)
            try:
                while s.recv(100):
                    pass
            except ConnectionResetError:
                pass

    def test_a_key_that_is_another_certificates_does_not_start(self):
        shutil.copy(self.authority.issue("other")[1], os.path.join(self.folder, "server.key"))
        server = Server({"tls": {"certificate": os.path.join(self.folder, "server.pem"),
                                 "key": os.path.join(self.folder, "server.key")}}, wait=False)
        self.addCleanup(server.close)
        self.assertEqual(server.process.wait(60), 1)


class Clients(Case):
    """Client certificates."""

    def certificate(self, what, name, pem, scopes="read"):
        fingerprint = openssl("x509", "-in", pem, "-noout", "-fingerprint", "-sha256").split("=")[1].strip()
        subprocess.run([earmarkd.BINARY, "certificate", what, name, "--sha256", fingerprint, "--scopes",
                        scopes, "--config", self.server.config_path()], check=True, capture_output=True)

    def operator(self, name="ann"):
        made = subprocess.run([earmarkd.BINARY, "operator", "add", name, "--config",
                               self.server.config_path(), "--generate"], capture_output=True, check=True)
        answer = self.server.ask("POST", "/v1/admin/sessions",
                                 {"name": name, "password": made.stdout.decode().strip()})
        return {"Authorization": "Bearer " + answer.json()["token"]}

    def models(self, headers=None):
        return self.server.ask("GET", "/v1/models", None, headers)

    def refused(self, answer, reason):
        self.assertEqual(answer.status, 401, answer.body)
        self.assertEqual(answer.json()["type"], "/problems/unauthenticated")
        end = time.monotonic() + 30
        while f'"reason":"{reason}"' not in self.server.log() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertIn(f'"reason":"{reason}"', self.server.log())

    def start_for_clients(self, required="none"):
        return self.start(client_ca=self.authority.pem, client_required=required)

    def test_a_service_on_the_list_comes_in_by_its_certificate(self):
        self.start_for_clients()
        self.server.client = self.authority.issue("backend")
        self.refused(self.models(), "service")
        self.certificate("add", "backend", self.server.client[0])
        self.assertEqual(self.models().status, 200)
        self.assertEqual(self.server.ask("DELETE", "/v1/models/a/1").status, 403)
        self.certificate("revoke", "backend", self.server.client[0])
        self.refused(self.models(), "service")

    def test_refuses_a_certificate_of_another_authority(self):
        self.start_for_clients()
        self.server.client = self.stranger.issue("backend")
        self.certificate("add", "backend", self.server.client[0])
        self.refused(self.models(), "certificate")

    def test_refuses_an_expired_certificate(self):
        self.start_for_clients()
        self.server.client = self.authority.issue("backend", days=-1)
        self.certificate("add", "backend", self.server.client[0])
        self.refused(self.models(), "certificate")

    def test_refuses_a_servers_certificate_as_a_clients(self):
        self.start_for_clients()
        self.server.client = self.authority.issue("backend", purpose="serverAuth")
        self.certificate("add", "backend", self.server.client[0])
        self.refused(self.models(), "certificate")

    def test_a_bad_certificate_spoils_a_good_session(self):
        self.start_for_clients()
        session = self.operator()
        self.assertEqual(self.models(session).status, 200)
        self.server.client = self.stranger.issue("ann")
        self.refused(self.models(session), "certificate")

    def test_nobody_needs_one_for_what_anybody_may_ask(self):
        self.start_for_clients("both")
        self.assertEqual(self.server.ask("POST", "/v1/challenges").status, 201)

    def test_operators_must_show_one_where_the_configuration_says_so(self):
        self.start_for_clients("operators")
        session = self.operator()
        self.refused(self.models(session), "certificate-missing")
        self.server.client = self.stranger.issue("ann")
        self.refused(self.models(session), "certificate")
        self.server.client = self.authority.issue("ann")
        self.assertEqual(self.models(session).status, 200)

    def test_services_must_show_one_beside_their_key_where_the_configuration_says_so(self):
        self.start_for_clients("services")
        session = self.operator()
        self.assertEqual(self.models(session).status, 200)  # an operator: not meant
        step = self.server.ask("GET", "/v1/models", None, {"Authorization": "Bearer emks." + "A" * 16 +
                                                           "." + "A" * 43})
        self.refused(step, "certificate-missing")
        self.server.client = self.authority.issue("backend")
        step = self.server.ask("GET", "/v1/models", None, {"Authorization": "Bearer emks." + "A" * 16 +
                                                           "." + "A" * 43})
        self.refused(step, "service")

    def test_certificates_do_not_count_where_none_are_asked_for(self):
        self.start()
        self.server.client = self.authority.issue("backend")
        self.certificate("add", "backend", self.server.client[0])
        self.refused(self.models(), "no-credentials")

    def test_refuses_a_configuration_that_cannot_ask(self):
        for tls in ({"client_ca": self.authority.pem},
                    {"certificate": "/c", "key": "/k", "client_required": "both"}):
            server = Server({"tls": tls}, wait=False)
            self.addCleanup(server.close)
            self.assertEqual(server.process.wait(60), 1)
            self.assertIn("tls.client_", server.log())


class Reload(Case):
    """SIGHUP with a new certificate in place."""

    def reload(self):
        before = self.server.log().count('"reloaded"')
        self.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while self.server.log().count('"reloaded"') == before and time.monotonic() < end:
            time.sleep(0.05)
        self.assertGreater(self.server.log().count('"reloaded"'), before)

    def request(self, s, path=b"/.well-known/earmark"):
        s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return read_answer(s)

    def test_new_connections_see_the_new_certificate_and_old_ones_go_on(self):
        self.start()
        with self.server.connect() as old:
            self.assertEqual(self.request(old).status, 200)
            self.install("second")
            self.reload()
            with self.server.connect() as new:
                self.assertNotEqual(self.certificate_of(old), self.certificate_of(new))
                answer = self.request(old)
                self.assertEqual((answer.status, answer.headers.get("connection", "").lower()),
                                 (200, "close"))
                self.assertEqual(self.request(new).status, 200)

    def test_an_upload_goes_on_over_a_reload(self):
        self.start()
        with self.server.connect() as s:
            s.sendall(b"POST /v1/challenges HTTP/1.1\r\nHost: localhost\r\n"
                      b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
            self.install("second")
            self.reload()
            s.sendall(b"}")
            self.assertEqual(read_answer(s).status, 201)

    def test_no_request_is_lost_under_load(self):
        self.start()
        stop, good, bad = threading.Event(), [], []

        def run():
            s = None
            while not stop.is_set():
                try:
                    s = s or self.server.connect()
                    answer = self.request(s)
                except OSError as e:
                    bad.append(repr(e))
                    s = None
                    continue
                (good if answer.status == 200 else bad).append(answer.status)
                if answer.headers.get("connection", "").lower() == "close":
                    s.close()
                    s = None
            if s:
                s.close()

        threads = [threading.Thread(target=run) for _ in range(4)]
        for t in threads:
            t.start()
        for name in ("second", "third", "fourth"):
            n = len(good)
            self.install(name)
            self.reload()
            end = time.monotonic() + 30
            while len(good) < n + 40 and time.monotonic() < end:
                time.sleep(0.02)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(bad, [])
        self.assertGreater(len(good), 100)
        self.assertEqual(self.server.stop(seconds=60), 0)

    def mint(self, *words):
        made = subprocess.run([MINT, *words], check=True, capture_output=True, text=True)
        return made.stdout.strip()

    def blob(self, size):
        """The path of a sealed model, and its bytes in all."""
        data, keys = (os.path.join(self.server.dir, name) for name in ("data", "keys"))
        ask = lambda key, method, path, body=None: self.server.ask(
            method, path, body, {"Authorization": "Bearer " + key, "Content-Type": "application/octet-stream"})
        answer = ask(self.mint("service", data, "publish read"), "PUT", "/v1/models/big/1", os.urandom(size))
        self.assertEqual(answer.status, 201, answer.body)
        ticket = self.mint("tickets", data, keys, "1", "big", "1")
        answer = ask(self.mint("service", data, "seal"), "POST", "/v1/seals?ticket=" + ticket)
        self.assertEqual(answer.status, 201, answer.body)
        return answer.json()["url"].partition("/v1/")[2], answer.json()["size"]

    def begin(self, path):
        """A connection on which a download has begun, and its answer's first bytes."""
        s = self.server.connect()
        self.addCleanup(s.close)
        s.sendall(f"GET /v1/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return s, s.recv(1000)

    def finish(self, s, first, size):
        text = first
        while b"\r\n\r\n" not in text:
            text += s.recv(65536)
        n = len(text.partition(b"\r\n\r\n")[2])
        while n < size:
            more = s.recv(65536)
            self.assertTrue(more, f"cut after {n} of {size} bytes")
            n += len(more)
        self.assertEqual(n, size)

    @unittest.skipUnless(MINT, "EARMARK_MINT is not set")
    def test_a_slow_download_goes_on_over_two_reloads(self):
        self.start("10m")
        path, size = self.blob(24 << 20)
        s, first = self.begin(path)
        for name in ("second", "third"):
            self.install(name)
            self.reload()
        with self.server.connect() as new:
            self.assertNotEqual(self.certificate_of(s), self.certificate_of(new))
        self.finish(s, first, size)

    @unittest.skipUnless(MINT, "EARMARK_MINT is not set")
    def test_a_reload_waits_for_a_place_when_many_listeners_end(self):
        self.start("10m")
        path, size = self.blob(24 << 20)
        slow, waits = [], "the certificate waits for connections"
        while waits not in self.server.log():
            self.assertLess(len(slow), 10)
            slow.append(self.begin(path))
            self.install(f"g{len(slow)}")
            self.reload()
        self.assertEqual(len(slow), 5)
        with self.server.connect() as s:
            last = self.certificate_of(s)
        self.install("the-one")  # and once more: both become one
        self.reload()
        for s, first in slow:
            self.finish(s, first, size)
            s.close()
        end = time.monotonic() + 60
        while True:
            with self.server.connect() as s:
                now = self.certificate_of(s)
            if now != last:
                break
            self.assertLess(time.monotonic(), end, "the new certificate never came")
            time.sleep(0.05)
        with open(os.path.join(self.folder, "server.pem"), encoding="ascii") as f:
            self.assertEqual(now.split(), f.read().split())

    def test_a_reload_without_a_new_certificate_disturbs_nobody(self):
        self.start()
        with self.server.connect() as s:
            self.assertEqual(self.request(s).status, 200)
            self.reload()
            answer = self.request(s)
            self.assertEqual((answer.status, answer.headers.get("connection")), (200, None))

    def test_a_bad_certificate_changes_nothing(self):
        self.start()
        with self.server.connect() as s:
            first = self.certificate_of(s)
        with open(os.path.join(self.folder, "server.pem"), "w", encoding="ascii") as f:
            f.write("nonsense\n")
        self.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while "stays as it was" not in self.server.log() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertIn("stays as it was", self.server.log())
        with self.server.connect() as s:
            self.assertEqual(self.certificate_of(s), first)
            self.assertEqual(self.request(s).status, 200)

    def test_stops_while_connections_of_before_a_reload_are_open(self):
        self.start()
        with self.server.connect() as s:
            self.assertEqual(self.request(s).status, 200)
            self.reload()
            self.assertEqual(self.server.stop(seconds=60), 0)


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        print("SKIP earmarkd is not built")
        sys.exit(77)
    if not shutil.which("openssl"):
        print("SKIP openssl is not here")
        sys.exit(77)
    unittest.main(verbosity=2)
