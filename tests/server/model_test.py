#!/usr/bin/env python3
"""Models of the real server: published, sealed, fetched.
EARMARKD=bin/earmarkd EARMARK_MINT=bin/earmark-mint model_test.py"""
import base64
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

import earmarkd
from earmarkd import Server, read_answer

MINT = os.environ.get("EARMARK_MINT", "")
BYTES = "application/octet-stream"


def safetensors(n_bytes, seed=1):
    """A small model that is one: a head, and weights that look random."""
    data = (hashlib.sha256(b"%d" % seed).digest() * (n_bytes // 32 + 1))[:n_bytes // 4 * 4]
    head = json.dumps({"w": {"dtype": "F32", "shape": [len(data) // 4],
                             "data_offsets": [0, len(data)]}}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


class Models(unittest.TestCase):
    config = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.config)
        cls.publisher = cls.mint("service", cls.data(), "publish read")[0]
        cls.sealer = cls.mint("service", cls.data(), "seal")[0]

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    @classmethod
    def data(cls):
        return os.path.join(cls.server.dir, "data")

    @classmethod
    def keys(cls):
        return os.path.join(cls.server.dir, "keys")

    @classmethod
    def mint(cls, *args):
        return subprocess.run([MINT, *args], check=True, capture_output=True,
                              text=True).stdout.split()

    def tickets(self, n, model, version="1", *use):
        return self.mint("tickets", self.data(), self.keys(), str(n), model, version, *use)

    def ask(self, key, method, path, body=None, headers=None):
        full = dict(headers or {})
        if key:
            full["Authorization"] = "Bearer " + key
        if body is not None:
            full.setdefault("Content-Type", BYTES)
        return self.server.ask(method, path, body, full)

    def publish(self, path, body, query="", key=None):
        return self.ask(key or self.publisher, "PUT", "/v1/models/" + path + query, body)

    def seal(self, ticket, body=None, query="", key=None):
        return self.ask(key or self.sealer, "POST", f"/v1/seals?ticket={ticket}{query}", body)

    def path(self, answer):
        self.assertEqual(answer.status, 201, answer.body)
        url = answer.json()["url"]
        return url[url.index("/v1/blobs/"):]

    def opened(self, ticket, sealed):
        """What the device has in the end."""
        at, out = os.path.join(self.server.dir, "sealed"), os.path.join(self.server.dir, "opened")
        with open(at, "wb") as f:
            f.write(sealed)
        self.mint("open", self.data(), self.keys(), ticket, at, out)
        with open(out, "rb") as f:
            return f.read()

    def assert_problem(self, answer, status, slug):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.json()["type"], "/problems/" + slug)

    def files(self):
        folder = os.path.join(self.data(), "blobs")
        return sorted(n for n in os.listdir(folder) if n != "lock")

    def wait_files(self, n, seconds=10):
        end = time.monotonic() + seconds
        while len(self.files()) != n and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(len(self.files()), n)


class Publish(Models):
    def test_publishes_and_finds_out_what_it_is(self):
        model = safetensors(300000)
        answer = self.publish("cats/1", model, "?release=3&lease_s=3600&plans=pro,team&min_guard=2")
        self.assertEqual(answer.status, 201, answer.body)
        m = answer.json()
        self.assertEqual((m["format"], m["size"], m["n_tensors"]), ("safetensors", len(model), 1))
        self.assertEqual((m["release"], m["lease_s"], m["min_guard"]), (3, 3600, 2))
        self.assertEqual(base64.urlsafe_b64decode(m["digest"] + "="), hashlib.sha256(model).digest())
        for name in self.files():
            with open(os.path.join(self.data(), "blobs", name), "rb") as f:
                self.assertNotIn(model[-64:], f.read())

    def test_the_same_again_is_fine_and_others_are_not(self):
        before = len(self.files())
        self.assertEqual(self.publish("again/1", b"one" * 1000).status, 201)
        self.assertEqual(self.publish("again/1", b"one" * 1000).status, 200)
        self.assert_problem(self.publish("again/1", b"two" * 1000), 409, "conflict")
        self.assert_problem(self.publish("again/1", b"one" * 1000, "?lease_s=9"), 409, "conflict")
        self.assertEqual(len(self.files()), before + 2)

    def test_two_at_once_become_one(self):
        before = len(self.files())
        models = [b"%d" % i * 3000000 for i in range(4)]
        answers = []
        threads = [threading.Thread(target=lambda b=b: answers.append(self.publish("race/1", b)))
                   for b in models]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(a.status for a in answers), [201, 409, 409, 409])
        self.assertEqual(len(self.files()), before + 2)

    def test_refuses_what_is_not_a_model_of_its_format(self):
        before = len(self.files())
        model = bytearray(safetensors(1000))
        model[0] = 200  # its head is longer than it is
        answer = self.publish("bad/1", bytes(model), "?file=x.safetensors")
        self.assert_problem(answer, 422, "invalid-model")
        self.assertEqual(len(self.files()), before)
        self.assertEqual(self.publish("bad/1", bytes(model), "?bytes=1").status, 201)

    def test_refuses_wrong_parameters(self):
        for query in ("?x=1", "?release=-1", "?release=1&release=2", "?min_guard=4", "?memory=3",
                      "?min_level=4", "?life_s=0", "?grace_s=5", "?renewal_delay_s=5", "?decoy=2",
                      "?plans=a%20b", "?file=../x", "?file=", "?tree=1&file=a", "?release", "?&",
                      "?release=99999999999999999999", "?life_s=1x"):
            self.assert_problem(self.publish("query/1", b"x", query), 400, "invalid-query")

    def test_refuses_names_that_do_not_fit(self):
        self.assert_problem(self.publish("a" * 60 + "/12345", b"x"), 400, "invalid-query")
        self.assertEqual(self.publish("a%2fb/1", b"x").status, 404)

    def test_wants_bytes_and_their_length(self):
        self.assert_problem(self.publish("none/1", None), 400, "invalid-body")
        answer = self.server.raw(
            b"PUT /v1/models/none/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " +
            self.publisher.encode() + b"\r\nContent-Type: application/octet-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        self.assert_problem(answer, 411, "length-required")
        self.assert_problem(self.ask(self.publisher, "PUT", "/v1/models/none/1", b"x",
                                     {"Content-Type": "text/plain"}), 415, "content-type")

    def test_only_publishers_may(self):
        self.assertEqual(self.publish("who/1", b"x", key=self.sealer).status, 403)
        self.assertEqual(self.ask(None, "PUT", "/v1/models/who/1", b"x").status, 401)

    def test_memory_stays_small(self):
        def resident():
            with open(f"/proc/{self.server.process.pid}/status", encoding="ascii") as f:
                return int(next(l for l in f if l.startswith("VmHWM")).split()[1])
        self.publish("warm/1", b"x" * 1000000)
        before = resident()
        self.assertEqual(self.publish("big/1", os.urandom(1 << 20) * 96).status, 201)
        self.assertLess(resident() - before, 24 * 1024)


class Tree(Models):
    def tree(self, files, body=None):
        head = b"".join(b"%d %s\n" % (len(data), name) for name, data in files) + b"\n"
        return head + (b"".join(data for _, data in files) if body is None else body)

    def test_publishes_a_tree_and_seals_it(self):
        a, b = safetensors(200000, 1), safetensors(100000, 2)
        answer = self.publish("tree/1", self.tree([(b"a/x.safetensors", a), (b"b.safetensors", b)]),
                              "?tree=1")
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual((answer.json()["size"], answer.json()["n_tensors"]), (len(a) + len(b), 2))
        ticket = self.tickets(1, "tree")[0]
        sealed = self.ask(None, "GET", self.path(self.seal(ticket)))
        self.assertEqual(self.opened(ticket, sealed.body), a + b)

    def test_refuses_lists_that_lie(self):
        before = len(self.files())
        good = (b"a", b"xx")
        for body in (b"2 a\n\nxxx", b"2 a\n\nx", b"3 a\n1 b\n\nxx", b"\nxx", b"2 a\nxx", b" a\n\nxx",
                     b"02 a\n\nxx", b"x a\n\nxx", b"2a\n\nxx", b"2 \n\nxx", b"2 ../a\n\nxx",
                     b"2 /a\n\nxx", b"1 b\n1 a\n\nxx", b"1 a\n1 a\n\nxx", b"-2 a\n\nxx",
                     b"99999999999999999999 a\n\nxx", b"2 " + b"a" * 300 + b"\n\nxx",
                     b"999999999999999999 a\n\nxx", b"1 a/b\n1 a\n\nxx"):
            self.assert_problem(self.publish("liar/1", body, "?tree=1"), 422, "invalid-model")
        many = self.tree([(b"%06d" % i, b"x") for i in range(513)])
        self.assert_problem(self.publish("liar/1", many, "?tree=1"), 422, "invalid-model")
        self.assertEqual(len(self.files()), before)
        self.assertEqual(self.publish("liar/1", self.tree([good]), "?tree=1").status, 201)


class Look(Models):
    def test_lists_in_pages(self):
        for v in range(5):
            self.assertEqual(self.publish(f"page/{v}", b"%d" % v * 100).status, 201)
        self.assertEqual(self.publish("other/1", b"other").status, 201)
        seen, after = [], ""
        while True:
            page = self.ask(self.publisher, "GET", f"/v1/models?limit=2&name=page{after}").json()
            seen += [m["version"] for m in page["models"]]
            if "next" not in page:
                break
            after = "&after=" + page["next"].replace("/", "%2F")
        self.assertEqual(seen, list("01234"))
        everything = self.ask(self.publisher, "GET", "/v1/models").json()["models"]
        self.assertIn("other", [m["name"] for m in everything])
        self.assertNotIn("wrapped", everything[0])

    def test_shows_one_and_refuses_others(self):
        self.publish("one/1", b"one")
        self.assertEqual(self.ask(self.publisher, "GET", "/v1/models/one/1").json()["name"], "one")
        self.assert_problem(self.ask(self.publisher, "GET", "/v1/models/one/2"), 404, "not-found")
        self.assertEqual(self.ask(self.sealer, "GET", "/v1/models/one/1").status, 403)
        self.assertEqual(self.ask(None, "GET", "/v1/models").status, 401)
        for query in ("limit=0", "limit=101", "limit=x", "after=" + "a" * 65, "name=" + "a" * 65):
            self.assert_problem(self.ask(self.publisher, "GET", "/v1/models?" + query), 400,
                                "invalid-query")


class Withdraw(Models):
    def test_withdrawn_is_gone_for_good(self):
        before = len(self.files())
        self.publish("old/1", b"old" * 1000)
        first, second = self.tickets(2, "old")
        self.assertEqual(self.seal(first).status, 201)
        self.assertEqual(self.ask(self.publisher, "DELETE", "/v1/models/old/1").status, 204)
        self.assertEqual(self.ask(self.publisher, "DELETE", "/v1/models/old/1").status, 204)
        self.assert_problem(self.seal(second), 404, "not-found")
        self.assertTrue(self.ask(self.publisher, "GET", "/v1/models/old/1").json()["withdrawn"])
        self.assert_problem(self.publish("old/1", b"old" * 1000), 409, "conflict")
        self.assertEqual(len(self.files()), before + 1)  # the one that was sealed
        self.assert_problem(self.ask(self.publisher, "DELETE", "/v1/models/old/2"), 404, "not-found")
        self.assertEqual(self.ask(self.sealer, "DELETE", "/v1/models/old/1").status, 403)

    def test_an_empty_version_is_the_newest_that_is_left(self):
        for v, release in (("a", 1), ("b", 3), ("c", 2)):
            self.publish("new/" + v, v.encode() * 500, f"?release={release}")
        for want in (b"b", b"c"):
            ticket = self.tickets(1, "new", "")[0]
            sealed = self.ask(None, "GET", self.path(self.seal(ticket))).body
            self.assertEqual(self.opened(ticket, sealed), want * 500)
            self.ask(self.publisher, "DELETE", "/v1/models/new/" + want.decode())


class Seal(Models):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = safetensors(1000000)
        cls.publish(cls(), "cats/1", cls.model)

    def test_seals_the_catalogues_model_once(self):
        ticket = self.tickets(1, "cats")[0]
        answer = self.seal(ticket)
        blob = self.ask(None, "GET", self.path(answer))
        self.assertEqual(blob.status, 200)
        self.assertEqual(len(blob.body), answer.json()["size"])
        self.assertEqual(blob.headers["etag"], answer.json()["etag"])
        self.assertEqual(self.opened(ticket, blob.body), self.model)
        self.assert_problem(self.seal(ticket), 409, "used")

    def test_seals_what_a_backend_made_in_memory_and_through_the_disk(self):
        for size in (1, 5000, 2 << 20, (2 << 20) + 1, 9000001):
            before = len(self.files())
            model = os.urandom(1000) * (size // 1000) + b"x" * (size % 1000)
            ticket = self.tickets(1, "made", "", "video-7")[0]
            answer = self.seal(ticket, model)
            blob = self.ask(None, "GET", self.path(answer))
            self.assertEqual(self.opened(ticket, blob.body), model)
            self.assertEqual(len(self.files()), before + 1)

    def test_of_many_at_once_one_wins(self):
        ticket, answers = self.tickets(1, "cats")[0], []
        before = len(self.files())
        threads = [threading.Thread(target=lambda: answers.append(self.seal(ticket)))
                   for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(a.status for a in answers), [201] + [409] * 5)
        self.assertEqual(len(self.files()), before + 1)

    def test_refuses_tickets_that_are_none(self):
        for ticket in ("", "x", "A" * 21, "A" * 23, "A" * 21 + "!", "A" * 21 + "B"):
            self.assert_problem(self.seal(ticket), 400, "invalid-query")
        self.assert_problem(self.seal("A" * 22), 404, "not-found")
        self.assert_problem(self.ask(self.sealer, "POST", "/v1/seals"), 400, "invalid-query")
        self.assert_problem(self.seal(self.tickets(1, "dogs")[0]), 404, "not-found")
        self.assert_problem(self.seal(self.tickets(1, "no good name")[0]), 404, "not-found")

    def test_a_refusal_leaves_the_ticket(self):
        ticket = self.tickets(1, "cats")[0]
        self.assert_problem(self.seal(ticket, b"x", "&file=../x"), 400, "invalid-query")
        self.assert_problem(self.seal(ticket, b"\x40" + b"\0" * 7 + b"x" * 50, "&file=a.safetensors"),
                            422, "invalid-model")
        self.assertEqual(self.seal(ticket).status, 201)

    def test_only_sealers_may(self):
        ticket = self.tickets(1, "cats")[0]
        self.assertEqual(self.seal(ticket, key=self.publisher).status, 403)
        self.assertEqual(self.ask(None, "POST", f"/v1/seals?ticket={ticket}").status, 401)

    def test_nothing_for_a_revoked_device(self):
        waits, ticket = self.tickets(2, "cats")
        path = self.path(self.seal(waits))
        self.mint("revoke", self.data(), waits)
        self.mint("revoke", self.data(), ticket)
        self.assert_problem(self.seal(ticket), 410, "gone")
        self.assert_problem(self.ask(None, "GET", path), 410, "gone")


class Fetch(Models):
    config = {"api": {"blob_ttl": "30s"}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = os.urandom(1 << 20) * 3
        cls.publish(cls(), "cats/1", cls.model)

    def setUp(self):
        self.fresh()

    def fresh(self):
        """A blob of its own."""
        self.answer = self.seal(self.tickets(1, "cats")[0])
        self.at = self.path(self.answer)
        self.size = self.answer.json()["size"]
        self.etag = self.answer.json()["etag"]

    def get(self, **headers):
        return self.ask(None, "GET", self.at,
                        headers={k.replace("_", "-"): v for k, v in headers.items()})

    def test_a_download_counts_once_however_often_it_is_resumed(self):
        for _ in range(80):  # as many downloads would be refused by the engine
            self.assertEqual(self.get(Range="bytes=0-9").status, 206)

    def test_a_download_that_began_ends_with_its_device(self):
        ticket = self.tickets(1, "cats")[0]
        path = self.path(self.seal(ticket))
        self.assertEqual(self.ask(None, "GET", path).status, 200)
        self.mint("revoke", self.data(), ticket)
        self.assert_problem(self.ask(None, "GET", path), 410, "gone")

    def test_gives_ranges(self):
        whole = self.get().body
        self.assertEqual(len(whole), self.size)
        for value, a, b in (("bytes=0-0", 0, 1), ("bytes=1000-1999", 1000, 2000),
                            ("bytes=100-", 100, self.size), ("bytes=-7", self.size - 7, self.size),
                            ("BYTES=5-9999999999", 5, self.size),
                            ("bytes=-9999999999", 0, self.size)):
            part = self.get(Range=value)
            self.assertEqual((part.status, part.body), (206, whole[a:b]), value)
            self.assertEqual(part.headers["content-range"], f"bytes {a}-{b - 1}/{self.size}")
            self.assertEqual(part.headers["etag"], self.etag)

    def test_ranges_that_are_not_there_or_not_ranges(self):
        for value in (f"bytes={self.size}-", f"bytes={self.size}-{self.size + 1}", "bytes=-0"):
            answer = self.get(Range=value)
            self.assert_problem(answer, 416, "range")
            self.assertEqual(answer.headers["content-range"], f"bytes */{self.size}")
        for value in ("bytes=5-4", "bytes=0-1,3-4", "bytes=", "bytes=-", "bytes=a-b", "lines=0-1",
                      "bytes=0-1x", "bytes 0-1", "bytes=1111111111111111111-"):
            self.fresh()
            self.assertEqual(self.get(Range=value).status, 200, value)

    def test_if_range(self):
        self.assertEqual(self.get(Range="bytes=0-9", If_Range=self.etag).status, 206)
        self.assertEqual(self.get(Range="bytes=0-9", If_Range='"another"').status, 200)
        self.assertEqual(self.get(Range="bytes=0-9", If_Range="W/" + self.etag).status, 200)
        self.assertEqual(
            self.get(Range="bytes=0-9", If_Range="Sun, 22 Nov 2026 09:00:00 GMT").status, 200)

    def test_head_tells_the_size_and_sends_nothing(self):
        with self.server.connect() as s:
            s.sendall(f"HEAD {self.at} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n"
                      "Connection: close\r\n\r\n".encode())
            data = b""
            while more := s.recv(65536):
                data += more
        head, _, body = data.decode("latin-1").partition("\r\n\r\n")
        self.assertIn(" 200 ", head.split("\r\n")[0])
        self.assertIn(f"content-length: {self.size}", head.lower())
        self.assertIn("accept-ranges: bytes", head.lower())
        self.assertIn("cache-control: no-store", head.lower())
        self.assertEqual(body, "")

    def test_a_broken_download_goes_on(self):
        whole = self.get().body
        with self.server.connect() as s:
            s.sendall(f"GET {self.at} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            got = b""
            while len(got) < 500000:
                got += s.recv(65536)
        start = got.partition(b"\r\n\r\n")[2]
        rest = self.get(Range=f"bytes={len(start)}-", If_Range=self.etag)
        self.assertEqual((rest.status, start + rest.body), (206, whole))

    def test_two_at_once_and_a_slow_reader(self):
        whole, answers = self.get().body, []
        with self.server.connect() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            slow.sendall(f"GET {self.at} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            slow.recv(100)
            threads = [threading.Thread(target=lambda: answers.append(self.get().body))
                       for _ in range(2)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertTrue(answers[0] == answers[1] == whole)
            self.assertTrue(read_rest(slow).endswith(whole[-1000:]))

    def test_unknown_names(self):
        for name in ("A" * 43, "x", "A" * 42, "A" * 44, "A" * 42 + "B", "%41" * 43):
            self.assertEqual(self.ask(None, "GET", "/v1/blobs/" + name).status, 404, name)
        self.assertEqual(self.ask(None, "PUT", self.at).status, 405)


def read_rest(s):
    """All that is still to come, until the server waits for another request."""
    data = b""
    s.settimeout(2)
    try:
        while more := s.recv(65536):
            data += more
    except socket.timeout:
        pass
    return data


class Drain(unittest.TestCase):
    """What a stop does to a download that is under way: larger than what sockets keep."""
    SIZE = 24 << 20

    def begin(self, drain):
        """A server, and a client that has read the beginning of a sealed model."""
        case = type("Case", (Models,), {"config": {"server": {"drain": drain}}})
        case.setUpClass()
        self.addCleanup(case.tearDownClass)
        self.server, ask = case.server, case()
        self.assertEqual(ask.publish("cats/1", os.urandom(1 << 20) * (self.SIZE >> 20)).status, 201)
        answer = ask.seal(ask.tickets(1, "cats")[0])
        self.request = f"GET {ask.path(answer)} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        self.size = answer.json()["size"]
        self.idle = self.connect()
        self.assertEqual(self.well_known(), 200)
        self.client = self.connect()
        self.client.sendall(self.request)
        self.got = self.client.recv(65536)
        self.assertIn(b" 200 ", self.got[:20])

    def connect(self):
        s = socket.socket()
        self.addCleanup(s.close)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.settimeout(120)
        s.connect(("127.0.0.1", self.server.port))
        return s

    def well_known(self):
        self.idle.sendall(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n")
        return read_answer(self.idle).status

    def tell(self):
        self.server.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 60
        while "going down" not in self.server.log() and time.monotonic() < end:
            time.sleep(0.01)

    def read_rest(self):
        """How many bytes of the body came in all."""
        try:
            while True:
                more = self.client.recv(1 << 20)
                if not more:
                    break
                self.got += more
                if len(self.got) - self.got.index(b"\r\n\r\n") - 4 == self.size:
                    break
        except OSError:
            pass
        return len(self.got) - self.got.index(b"\r\n\r\n") - 4

    def refused(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.connect().close()
            except ConnectionRefusedError:
                return True
            time.sleep(0.01)
        return False

    def test_a_download_that_is_slow_is_sent_whole(self):
        self.begin("5m")
        with self.connect() as whole:
            whole.sendall(self.request)
            body = read_answer(whole).body
        self.tell()
        self.assertTrue(self.refused())
        self.assertEqual(self.well_known(), 503)
        self.assertEqual(self.server.ask("GET", "/readyz", internal=True).status, 503)
        self.assertIsNone(self.server.process.poll())
        self.assertEqual(self.read_rest(), self.size)
        self.assertEqual(self.got[self.got.index(b"\r\n\r\n") + 4:], body)
        self.assertEqual(self.server.process.wait(120), 0)

    def test_one_that_is_stuck_is_cut_at_the_end_of_the_drain(self):
        self.begin("2s")
        began = time.monotonic()
        self.tell()
        self.assertEqual(self.server.process.wait(120), 0)
        self.assertGreaterEqual(time.monotonic() - began, 1.9)
        self.assertLess(self.read_rest(), self.size)

    def test_told_twice_it_stops_at_once(self):
        self.begin("1h")
        self.tell()
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.process.wait(120), 0)
        self.assertLess(self.read_rest(), self.size)


class Killed(Models):
    """Whoever is killed or goes away leaves nothing."""

    def restart(self):
        """On another port, which a new log tells."""
        self.server.log_path += "x"
        self.server.start()

    def start_upload(self, path, want, method="PUT", key=None):
        s = self.server.connect()
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
                  f"{key or self.publisher}\r\nContent-Type: {BYTES}\r\n"
                  f"Content-Length: {want}\r\n\r\n".encode())
        return s

    def test_a_client_that_goes_away(self):
        before = len(self.files())
        for path, method, key in (("/v1/models/torn/1", "PUT", self.publisher),
                                  ("/v1/seals?ticket=" + self.tickets(1, "made", "", "x")[0], "POST",
                                   self.sealer)):
            with self.start_upload(path, 50 << 20, method, key) as s:
                s.sendall(os.urandom(1 << 20) * 4)
                self.wait_files(before + 1)
            self.wait_files(before)
        self.assert_problem(self.ask(self.publisher, "GET", "/v1/models/torn/1"), 404, "not-found")

    def test_a_server_that_is_killed(self):
        self.assertEqual(self.publish("kept/1", b"kept" * 1000).status, 201)
        before = len(self.files())
        with self.start_upload("/v1/models/torn/2", 50 << 20) as s:
            s.sendall(os.urandom(1 << 20) * 4)
            self.wait_files(before + 1)
            self.server.stop(signal.SIGKILL)
        self.restart()
        self.assertEqual(len(self.files()), before)
        self.assertEqual(self.ask(self.publisher, "GET", "/v1/models/kept/1").status, 200)
        self.assert_problem(self.ask(self.publisher, "GET", "/v1/models/torn/2"), 404, "not-found")
        ticket = self.tickets(1, "kept")[0]
        sealed = self.ask(None, "GET", self.path(self.seal(ticket))).body
        self.assertEqual(self.opened(ticket, sealed), b"kept" * 1000)

    def test_killed_at_any_moment(self):
        """Each version is there whole, or not at all, and no file is left over."""
        model = os.urandom(3 << 20)
        for i in range(8):
            thread = threading.Thread(target=self.quiet_publish, args=(f"moment/{i}", model))
            thread.start()
            time.sleep(0.004 * i)
            self.server.stop(signal.SIGKILL)
            thread.join()
            self.restart()
        there = self.ask(self.publisher, "GET", "/v1/models?name=moment").json()["models"]
        for m in there:
            ticket = self.tickets(1, "moment", m["version"])[0]
            sealed = self.ask(None, "GET", self.path(self.seal(ticket))).body
            self.assertEqual(self.opened(ticket, sealed), model)
        everything = self.ask(self.publisher, "GET", "/v1/models").json()["models"]
        sealed = len(there) + (1 if any(m["name"] == "kept" for m in everything) else 0)
        self.assertLessEqual(len(self.files()), 2 * len(everything) + sealed)

    def quiet_publish(self, path, model):
        try:
            self.publish(path, model)
        except OSError:
            pass


class Full(Models):
    config = {"api": {"blob_quota": "4MiB"}}

    def test_no_room(self):
        self.assertEqual(self.publish("small/1", b"s" * 1000000).status, 201)
        before = self.files()
        self.assert_problem(self.publish("large/1", b"l" * 3900000), 507, "storage")
        self.assertEqual(self.files(), before)
        tickets = self.tickets(6, "small")
        answers = [self.seal(t) for t in tickets]
        self.assertEqual([a.status for a in answers[:3]], [201] * 3)
        self.assert_problem(answers[-1], 503, "unavailable")
        self.assertIn("retry-after", answers[-1].headers)
        self.assertEqual(len(self.files()), 2 + 3 - 0)
        self.assert_problem(self.ask(self.publisher, "GET", "/v1/models/large/1"), 404, "not-found")


class Limits(Models):
    config = {"api": {"model_max": "500KiB"}}

    def test_a_model_that_is_too_long(self):
        ticket = self.tickets(1, "made", "", "x")[0]
        self.assert_problem(self.publish("long/1", b"x" * 512001), 413, "too-large")
        self.assert_problem(self.seal(ticket, b"x" * 512001), 413, "too-large")
        self.assertEqual(self.publish("long/1", b"x" * 512000).status, 201)
        self.assertEqual(self.seal(ticket, b"x" * 512000).status, 201)


class Gone(Models):
    config = {"api": {"blob_ttl": "10s"}, "server": {"keyholder_grace": "0s"}}

    def test_after_its_time_it_is_gone(self):
        self.publish("short/1", b"s" * 100000)
        files = len(self.files())
        ticket = self.tickets(1, "short")[0]
        path = self.path(self.seal(ticket))
        self.assertEqual(self.ask(None, "GET", path).status, 200)
        time.sleep(11)
        self.assertIn(self.ask(None, "GET", path).status, (404, 410))
        self.wait_files(files, 60)

    def test_z_without_the_keyholder_nothing_is_granted(self):
        self.publish("held/1", b"h" * 1000)
        first, second = self.tickets(2, "held")
        self.assertEqual(self.seal(first).status, 201)
        children = subprocess.run(["pgrep", "-P", str(self.server.process.pid)],
                                  capture_output=True, text=True, check=False).stdout.split()
        self.assertEqual(len(children), 1)
        os.kill(int(children[0]), signal.SIGKILL)
        answer = self.seal(second)
        self.assert_problem(answer, 503, "unavailable")
        self.assertIn("retry-after", answer.headers)
        self.assert_problem(self.publish("held/2", b"h"), 503, "unavailable")


if __name__ == "__main__":
    if not earmarkd.BINARY or not MINT:
        print("SKIP EARMARKD and EARMARK_MINT say nothing")
        sys.exit(77)
    unittest.main()
