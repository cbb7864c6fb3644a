#!/usr/bin/env python3
"""The real server against malformed, greedy and slow clients.   EARMARKD=bin/earmarkd http_test.py"""
import base64
import json
import os
import re
import signal
import subprocess
import socket
import sys
import threading
import time
import unittest

import earmarkd
from earmarkd import Server, read_answer


class Dev(unittest.TestCase):
    """One server for tests that leave it as it was."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def assert_problem(self, answer, status, slug):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        problem = answer.json()
        self.assertEqual(problem["type"], "/problems/" + slug)
        self.assertEqual(problem["status"], status)


class Shapes(Dev):
    def refused(self, data):
        """400 and the connection is closed, or closed without a word."""
        answer = self.server.raw(data)
        self.assertIn(answer.status, (0, 400), answer.body)

    def test_refuses_two_lengths(self):
        self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                     b"Content-Length: 3\r\nContent-Type: application/json\r\n\r\n{}x")

    def test_refuses_two_equal_lengths(self):
        self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                     b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")

    def test_refuses_list_of_lengths(self):
        self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}")

    def test_refuses_signed_and_huge_lengths(self):
        for length in (b"+2", b"-1", b"0x2", b"", b"2;3"):
            self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: " + length +
                         b"\r\n\r\n{}")
        answer = self.server.raw(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\n"
                                 b"Content-Length: 99999999999999999999\r\n\r\n{}")
        self.assertIn(answer.status, (0, 400, 413))

    def test_refuses_length_with_chunked(self):
        self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                     b"Content-Length: 5\r\n\r\n0\r\n\r\n")

    def test_refuses_other_codings(self):
        for coding in (b"gzip, chunked", b"identity", b"xchunked", b"chunked, chunked"):
            self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + coding +
                         b"\r\n\r\n0\r\n\r\n")

    def test_refuses_chunked_in_http_1_0(self):
        self.refused(b"POST /v1/challenges HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"0\r\n\r\n")

    def test_refuses_no_host_and_two_hosts(self):
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\n\r\n")
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")

    def test_refuses_bad_names_and_values(self):
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n")
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\nHost : a\r\n\r\n")
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n")
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\nX\x80: b\r\n\r\n")

    def test_refuses_what_is_not_http(self):
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"\x00" * 64 + b"\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"):
            with self.server.connect() as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                self.assertIn(read_answer(s).status, (0, 400, 404, 405, 505))

    def test_refuses_too_many_and_too_long_lines(self):
        many = b"".join(b"X-%d: y\r\n" % i for i in range(80))
        self.refused(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n")
        answer = self.server.raw(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40000 +
                                 b"\r\n\r\n")
        self.assertIn(answer.status, (0, 400, 413, 431))
        answer = self.server.raw(b"GET /" + b"y" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(answer.status, (0, 400, 413, 414, 431))

    def test_does_not_take_a_second_request_from_a_body(self):
        """CL.0 and TE.CL shapes: what stands in a body is never answered."""
        smuggled = b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n"
        with self.server.connect() as s:
            s.sendall(b"POST /v1/nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" %
                      len(smuggled) + smuggled)
            self.assertEqual(read_answer(s).status, 404)
            self.assertEqual(s.recv(100), b"")
        with self.server.connect() as s:
            s.sendall(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n5c\r\n" + smuggled)
            first = read_answer(s)
            self.assertIn(first.status, (0, 400))
            self.assertEqual(s.recv(100) if first.status else b"", b"")

    def test_refuses_codings_that_hide(self):
        for line in (b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding : chunked",
                     b"Transfer-Encoding\t: chunked", b"Transfer-Encoding: chunked\r\nTransfer-encoding: x",
                     b"Transfer-Encoding: \x00chunked", b"Transfer-Encoding: chunked;q=1"):
            self.refused(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n0\r\n\r\n")

    def test_refuses_chunks_that_are_none(self):
        head = (b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n")
        for chunks in (b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n",
                       b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n"):
            with self.server.connect() as s:
                s.sendall(head + chunks)
                s.shutdown(socket.SHUT_WR)
                self.assertIn(read_answer(s).status, (0, 400, 413), chunks)

    def test_does_not_take_a_second_request_from_behind_chunks(self):
        """What follows the last chunk is the next request, and nothing of the body is."""
        with self.server.connect() as s:
            s.sendall(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n2;GET=/v1/openapi.json\r\n{}\r\n0\r\n"
                      b"Content-Length: 50\r\n\r\nGET /v1/nowhere HTTP/1.1\r\nHost: a\r\n"
                      b"Connection: close\r\n\r\n")
            data = b""
            while more := s.recv(65536):
                data += more
            answers = [line.split()[1] for line in data.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
            self.assertIn(answers, ([b"201", b"404"], [b"201"], [b"400"], []))

    def test_a_line_feed_alone_ends_a_line_or_the_connection(self):
        """Never part of a value: then two parsers would see two requests."""
        answer = self.server.raw(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 5\r\n"
                                 b"Content-Length: 0\r\n\r\n")
        self.assertIn(answer.status, (0, 400))

    def test_a_target_with_an_authority_is_no_path(self):
        for target in (b"http://b/v1/challenges", b"b:80", b"*", b"//b/v1/challenges"):
            answer = self.server.raw(b"POST " + target + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            self.assertIn(answer.status, (0, 400, 404), target)

    def test_pipelined_requests_are_answered_in_order(self):
        with self.server.connect() as s:
            s.sendall(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n"
                      b"GET /v1/nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
            data = b""
            while data.count(b"HTTP/1.1 ") < 2:
                more = s.recv(65536)
                self.assertTrue(more, data)
                data += more
            self.assertLess(data.index(b"HTTP/1.1 200"), data.index(b"HTTP/1.1 404"))

    def test_a_folded_line_never_becomes_a_line_of_its_own(self):
        """The library joins folded lines: what is folded stays part of the value before."""
        answer = self.server.raw(b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nX: b\r\n"
                                 b" Content-Length: 100\r\n\r\n")
        self.assertIn(answer.status, (0, 201, 400))

    def test_server_lives(self):
        self.assertEqual(self.server.ask("GET", "/healthz", internal=True).status, 200)


class Routes(Dev):
    def test_unknown_path_and_method(self):
        self.assert_problem(self.server.ask("GET", "/v1/nowhere"), 404, "not-found")
        answer = self.server.ask("DELETE", "/v1/challenges")
        self.assert_problem(answer, 405, "method-not-allowed")
        self.assertEqual(answer.headers["allow"], "POST, OPTIONS")
        self.assert_problem(self.server.ask("BREW", "/v1/challenges"), 405, "method-not-allowed")

    def test_options_and_head(self):
        answer = self.server.ask("OPTIONS", "/.well-known/earmark")
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "GET, HEAD, OPTIONS"))
        with self.server.connect() as s:
            s.sendall(b"HEAD /.well-known/earmark HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = b""
            while more := s.recv(65536):
                data += more
        self.assertTrue(data.startswith(b"HTTP/1.1 200"))
        self.assertTrue(data.endswith(b"\r\n\r\n"))
        self.assertNotIn(b"Content-Length: 0", data)

    def test_internal_routes_are_not_on_the_api(self):
        for path in ("/metrics", "/readyz", "/healthz"):
            self.assert_problem(self.server.ask("GET", path), 404, "not-found")

    def test_encoded_and_dotted_paths_are_other_paths(self):
        for path in ("/v1/%63hallenges", "/v1/./challenges", "/v1//challenges", "/x/../v1/challenges",
                     "/v1/challenges/", "//v1/challenges"):
            self.assert_problem(self.server.ask("POST", path), 404, "not-found")

    def test_openapi_is_what_is_in_the_tree(self):
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "../../server/api/openapi.json"), encoding="utf-8") as f:
            self.assertEqual(self.server.ask("GET", "/v1/openapi.json").json(), json.load(f))

    def test_traceparent_and_request_id(self):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = self.server.ask("GET", "/.well-known/earmark", headers={"traceparent": trace})
        self.assertEqual(len(answer.headers["x-request-id"]), 22)
        time.sleep(0.2)
        line = [json.loads(l) for l in self.server.log().splitlines()
                if answer.headers["x-request-id"] in l]
        self.assertEqual(len(line), 1)
        self.assertEqual(line[0]["trace"], trace)
        self.assertEqual(line[0]["route"], "getWellKnown")

    def test_log_has_no_addresses_and_paths(self):
        self.server.ask("GET", "/v1/devices/secret-name?user=jane")
        time.sleep(0.2)
        self.assertNotIn("jane", self.server.log())
        self.assertNotIn("secret-name", self.server.log())

    def test_keeps_the_connection_after_refusals(self):
        with self.server.connect() as s:
            for _ in range(3):
                s.sendall(b"GET /v1/nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(read_answer(s).status, 404)


class Bodies(Dev):
    def headers(self):
        return {"Authorization": "Bearer " + self.server.dev()["operator_token"]}

    def enrol(self, body, headers=None):
        return self.server.ask("POST", "/v1/devices", body, {**self.headers(), **(headers or {})})

    def test_refuses_without_credentials(self):
        self.assertEqual(self.server.ask("POST", "/v1/devices", {}).status, 401)

    def test_refuses_other_content_types(self):
        for kind in ("text/plain", "application/jsonx", "application/xml"):
            self.assert_problem(self.server.ask("POST", "/v1/devices", b"{}", {"Content-Type": kind}),
                                415, "content-type")
        self.assert_problem(self.enrol(b"{}", {"Content-Encoding": "gzip"}), 415, "content-type")

    def test_refuses_by_length_before_the_body(self):
        with self.server.connect() as s:
            s.sendall(b"POST /v1/devices HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(read_answer(s).status, 413)

    def test_refuses_chunks_that_grow_too_long(self):
        bearer = self.headers()["Authorization"].encode()
        with self.server.connect() as s:
            s.sendall(b"POST /v1/devices HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Authorization: " + bearer + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunk = b"8000\r\n" + b" " * 32768 + b"\r\n"
            for _ in range(4):
                s.sendall(chunk)
            s.sendall(b"0\r\n\r\n")
            self.assertEqual(read_answer(s).status, 413)

    def test_names_the_field_that_is_wrong(self):
        good = {"challenge": "A" * 48, "enrolment": "AAAA", "attestation": {"kind": "none"}}
        cases = [
            ({}, "/challenge", "is missing"),
            ({**good, "more": 1}, "", "has an unknown field"),
            ({**good, "challenge": 7}, "/challenge", "must be a string"),
            ({**good, "challenge": "A"}, "/challenge", "must be base64url without padding"),
            ({**good, "challenge": "AAAA"}, "/challenge", "is too short"),
            ({**good, "attestation": {}}, "/attestation/kind", "is missing"),
            ({**good, "attestation": []}, "/attestation", "must be an object"),
            ({**good, "user": "a\nb"}, "/user", "has a control character"),
        ]
        for body, pointer, why in cases:
            answer = self.enrol(body)
            self.assert_problem(answer, 400, "invalid-body")
            self.assertEqual(answer.json()["errors"], [{"pointer": pointer, "detail": why}], body)

    def test_refuses_doubled_fields_and_what_is_not_json(self):
        for body in (b'{"user":"a","user":"b"}', b"", b"{", b"null", b"[]", b"{}{}", b"\xff",
                     b"[" * 2000, b'{"user":"\\ud800"}'):
            self.assert_problem(self.enrol(body), 400, "invalid-body")

    def test_refuses_a_challenge_that_is_not_ours(self):
        body = {"challenge": "A" * 48, "enrolment": "AAAA", "attestation": {"kind": "none"}, "user": "u"}
        self.assertEqual(self.enrol(body).status, 422)


class Early(unittest.TestCase):
    """Where the head decides, nobody waits for the body, and the answer arrives."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server({"firewall": {"file": cls.walls()}, "limits": {"rates": [
            {"name": "keys", "by": "net", "unit": "failures", "quota": 1000000, "window": "1s"}]},
            "proxies": {"trusted": ["127.0.0.0/8"], "field": "x-forwarded-for"}})
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               cls.server.config_path(), "--generate"], capture_output=True, check=True)
        session = cls.server.ask("POST", "/v1/admin/sessions",
                                 {"name": "ann", "password": made.stdout.decode().strip()})
        cls.good = b"Authorization: Bearer " + session.json()["token"].encode() + b"\r\n"

    @classmethod
    def walls(cls):
        cls.folder = earmarkd.tempfile.mkdtemp(prefix="earmarkd-walls-")
        path = os.path.join(cls.folder, "walls")
        with open(path, "w", encoding="ascii") as f:
            f.write("192.0.2.0/24 deny\n")
        return path

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        earmarkd.shutil.rmtree(cls.folder)

    UPLOAD = (b"PUT /v1/models/early/1?bytes=1 HTTP/1.1\r\nHost: a\r\n"
              b"Content-Type: application/octet-stream\r\n")
    LONG = b"Content-Length: 1000000000\r\n"

    def answered(self, head, body=b""):
        """The answer to a head alone, or with the beginning of a body; then the end comes."""
        with self.server.connect() as s:
            s.sendall(head + b"\r\n" + body)
            answer = read_answer(s)
            self.assertEqual(answer.headers.get("connection", "").lower(), "close", answer.body)
            try:
                self.assertEqual(s.recv(100), b"")
            except ConnectionResetError:
                pass
            return answer

    def test_401_without_credentials_and_with_bad_ones(self):
        for line in (b"", b"Authorization: Bearer emks." + b"A" * 16 + b"." + b"A" * 43 + b"\r\n",
                     b"Authorization: Basic eDp5\r\n", self.good * 2):
            for length in (self.LONG, b"Transfer-Encoding: chunked\r\n"):
                self.assertEqual(self.answered(self.UPLOAD + length + line).status, 401)

    def test_403_by_the_firewall(self):
        answer = self.answered(self.UPLOAD + self.LONG + b"X-Forwarded-For: 192.0.2.9\r\n" + self.good)
        self.assertEqual((answer.status, answer.json()["type"]), (403, "/problems/forbidden"))

    def test_403_without_the_scope(self):
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "reader", "--config",
                               self.server.config_path(), "--scopes", "read", "--generate"],
                              capture_output=True, check=True)
        session = self.server.ask("POST", "/v1/admin/sessions",
                                  {"name": "reader", "password": made.stdout.decode().strip()})
        token = b"Authorization: Bearer " + session.json()["token"].encode() + b"\r\n"
        self.assertEqual(self.answered(self.UPLOAD + self.LONG + token).status, 403)

    def test_404_405_413_415(self):
        for head, status in ((b"PUT /v1/nowhere HTTP/1.1\r\nHost: a\r\n" + self.LONG, 404),
                             (b"PATCH /v1/models/early/1 HTTP/1.1\r\nHost: a\r\n" + self.LONG, 405),
                             (b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\n"
                              b"Content-Type: application/json\r\n" + self.LONG, 413),
                             (self.UPLOAD.replace(b"octet-stream", b"json") + self.LONG, 415)):
            self.assertEqual(self.answered(head).status, status, head)

    def test_429_when_a_net_has_failed_too_often(self):
        server = Server({"limits": {"rates": [{"name": "keys", "by": "net", "unit": "failures", "quota": 2,
                                               "window": "1h"}]}})
        self.addCleanup(server.close)
        for i in range(50):
            bad = b"Authorization: Bearer emks.%016d.%s\r\n\r\n" % (i, b"A" * 43)
            with server.connect() as s:
                s.sendall(self.UPLOAD + self.LONG + bad)
                answer = read_answer(s)
            if answer.status != 401:
                break
        self.assertEqual(answer.status, 429, answer.body)
        self.assertIn("retry-after", answer.headers)

    def test_a_head_whose_body_never_comes_uses_up_nothing(self):
        """Neither a rate, nor a place at work, nor anything of others who share the limit."""
        server = Server({"limits": {"rates": [{"name": "all", "by": "all", "unit": "requests", "quota": 5,
                                               "window": "24h"}]}})
        self.addCleanup(server.close)
        head = (b"POST /v1/challenges HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n")
        open_ones = []
        for i in range(40):
            s = server.connect()
            self.addCleanup(s.close)
            s.sendall(head)
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 100 "))
            if i % 2:
                s.close()
            else:
                open_ones.append(s)
        for s in open_ones[:4]:
            s.sendall(b"{}")
            self.assertEqual(read_answer(s).status, 201)
        with server.connect() as s:
            s.sendall(head)
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 100 "))
            s.sendall(b"{}")
            self.assertEqual(read_answer(s).status, 201)
        with server.connect() as s:  # now the five are gone, which is said before the body is sent
            s.sendall(head)
            answer = read_answer(s)
        self.assertEqual(answer.status, 429, answer.body)
        open_ones[5].sendall(b"{}")  # was admitted, and is decided upon with its body
        self.assertEqual(read_answer(open_ones[5]).status, 429)

    def test_the_answer_arrives_while_the_client_is_still_sending(self):
        """A close on unread bytes would make the client's side forget it."""
        for _ in range(20):
            with self.server.connect() as s:
                s.sendall(self.UPLOAD + self.LONG + b"\r\n")
                for _ in range(32):
                    s.sendall(bytes(32768))
                self.assertEqual(read_answer(s).status, 401)

    def test_what_follows_is_swallowed_and_never_a_request(self):
        smuggled = b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(self.answered(self.UPLOAD + self.LONG, smuggled * 3).status, 401)

    def test_swallowing_has_an_end(self):
        """A client that goes on for ever is cut off."""
        with self.server.connect() as s:
            s.sendall(self.UPLOAD + self.LONG + b"\r\n")
            sent = 0
            try:
                while sent < 1000000000:
                    s.sendall(bytes(65536))
                    sent += 65536
            except OSError:
                pass
            self.assertLess(sent, 1000000000)

    def test_continue_is_said_when_the_body_is_wanted(self):
        body = b"a model"
        with self.server.connect() as s:
            s.sendall(self.UPLOAD.replace(b"early/1", b"wanted/1") + self.good +
                      b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
            data = b""
            while b"\r\n\r\n" not in data:
                data += s.recv(1000)
            self.assertTrue(data.startswith(b"HTTP/1.1 100"), data)
            s.sendall(body)
            self.assertEqual(read_answer(s).status, 201)

    def test_continue_is_not_said_when_the_answer_is_there(self):
        for head in (self.UPLOAD, b"PUT /v1/nowhere HTTP/1.1\r\nHost: a\r\n",
                     b"POST /v1/devices HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"):
            with self.server.connect() as s:
                s.sendall(head + b"Content-Length: 7\r\nExpect: 100-continue\r\n\r\n")
                self.assertIn(read_answer(s).status, (401, 404))

    def test_continue_is_not_said_to_http_1_0(self):
        with self.server.connect() as s:
            s.sendall(b"POST /v1/challenges HTTP/1.0\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}")
            self.assertEqual(read_answer(s).status, 201)

    def test_a_connection_without_a_body_is_kept(self):
        with self.server.connect() as s:
            for _ in range(3):
                s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(read_answer(s).status, 401)


class Enrol(unittest.TestCase):
    """The whole way of POST /v1/devices, with a device made by the CLI."""

    def setUp(self):
        self.earmark = os.path.join(os.path.dirname(earmarkd.BINARY), "earmark")
        if not os.access(self.earmark, os.X_OK):
            self.skipTest("the CLI is not built")
        self.server = Server()
        self.token = self.server.dev()["operator_token"]

    def tearDown(self):
        self.server.close()

    def enrolment(self, name):
        device = os.path.join(self.server.dir, name)
        subprocess.run([self.earmark, "device", "init", "--quiet", "--issuer",
                        os.path.join(self.server.dir, "dev", "keys", "issuer.pub"), "--device", device],
                       check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(device, "device.enrolment"), "rb") as f:
            return base64.urlsafe_b64encode(f.read()).rstrip(b"=").decode()

    def challenge(self):
        return self.server.ask("POST", "/v1/challenges").json()["challenge"]

    def enrol(self, enrolment, challenge, user="jane", key=None):
        headers = {"Authorization": "Bearer " + self.token}
        if key:
            headers["Idempotency-Key"] = key
        return self.server.ask("POST", "/v1/devices",
                               {"challenge": challenge, "enrolment": enrolment,
                                "attestation": {"kind": "none"}, "user": user}, headers)

    def test_enrols_once_for_each_challenge(self):
        enrolment, challenge = self.enrolment("d"), self.challenge()
        answer = self.enrol(enrolment, challenge)
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(answer.json()["attestation_level"], 0)
        self.assertEqual(self.enrol(enrolment, challenge).status, 409)
        self.assertEqual(self.enrol(enrolment, self.challenge()).status, 201)
        other = self.enrol(enrolment, self.challenge(), user="john")
        self.assertEqual((other.status, other.json()["type"]), (409, "/problems/conflict"))

    def test_same_idempotency_key_same_answer(self):
        enrolment, challenge = self.enrolment("d"), self.challenge()
        first = self.enrol(enrolment, challenge, key="k-1")
        again = self.enrol(enrolment, challenge, key="k-1")
        self.assertEqual((first.status, first.body), (again.status, again.body))
        self.assertEqual(self.enrol(enrolment, challenge, user="x", key="k-1").status, 422)

    def test_survives_kill_9(self):
        enrolment = self.enrolment("d")
        self.assertEqual(self.enrol(enrolment, self.challenge()).status, 201)
        self.server.stop(signal.SIGKILL)
        os.remove(self.server.log_path)
        self.server.start()
        self.token = self.server.dev()["operator_token"]
        self.assertEqual(self.enrol(enrolment, self.challenge(), user="john").status, 409)

    def test_no_grant_without_the_keyholder(self):
        enrolment, challenge = self.enrolment("d"), self.challenge()
        os.kill(self.server.dev()["keyholder"], signal.SIGKILL)
        answer = self.enrol(enrolment, challenge)
        self.assertEqual(answer.status, 503, answer.body)
        self.assertIn("retry-after", answer.headers)

    def test_rejects_an_enrolment_that_is_not_signed_by_its_key(self):
        enrolment = self.enrolment("d")
        bad = enrolment[:-4] + ("AAAA" if enrolment[-4:] != "AAAA" else "BBBB")
        self.assertEqual(self.enrol(bad, self.challenge()).status, 422)


class Slow(unittest.TestCase):
    """Timeouts, with times small enough for a test."""

    def setUp(self):
        self.server = Server({"http": {"head_timeout": "2s", "idle_timeout": "3s",
                                       "body_timeout": "2s", "answer_timeout": "2s",
                                       "least_rate": "64KiB", "connections_per_net": 40},
                              "api": {"attestation_none": True}})

    def tearDown(self):
        self.server.close()

    def seconds_until_closed(self, s, drip):
        start = time.monotonic()
        s.settimeout(0.3)
        while time.monotonic() - start < 15:
            try:
                if drip:
                    s.sendall(drip)
                if s.recv(65536) == b"":
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        return time.monotonic() - start

    def test_head_that_drips_is_broken(self):
        with self.server.connect() as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            self.assertLess(self.seconds_until_closed(s, b"X: y\r\n"), 5)
        self.assertGreaterEqual(self.server.metric("earmark_http_timeouts_total"), 1)

    def test_body_that_drips_is_broken(self):
        with self.server.connect() as s:
            s.sendall(b"POST /v1/devices HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 60000\r\n\r\n")
            self.assertLess(self.seconds_until_closed(s, b" "), 6)

    def test_silence_is_broken(self):
        with self.server.connect() as s:
            self.assertLess(self.seconds_until_closed(s, b""), 5)

    def test_idle_connection_is_broken(self):
        with self.server.connect() as s:
            s.sendall(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_answer(s).status, 200)
            self.assertLess(self.seconds_until_closed(s, b""), 7)

    def test_answer_that_is_not_read_is_broken(self):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", self.server.port))
            for _ in range(400):  # enough answers to fill what the kernel keeps
                try:
                    s.settimeout(0.2)
                    s.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
                except OSError:
                    break
            start = time.monotonic()
            while self.server.metric("earmark_http_connections") > 0 and time.monotonic() - start < 12:
                time.sleep(0.2)
            self.assertLess(time.monotonic() - start, 11)

    def test_one_net_gets_so_many_connections(self):
        held = [self.server.connect() for _ in range(40)]
        try:
            time.sleep(0.3)
            answer = self.server.raw(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(answer.status, 0)
            self.assertGreaterEqual(self.server.metric("earmark_http_connections_refused_total"), 1)
        finally:
            for s in held:
                s.close()
        time.sleep(0.5)
        self.assertEqual(self.server.ask("GET", "/.well-known/earmark").status, 200)


class Load:
    """Requests in a loop; counts answers and failures."""

    def __init__(self, server, path=b"/v1/challenges", n=8):
        self.server, self.good, self.bad, self.stopping = server, 0, [], False
        self.request = b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stopping:
            try:
                with self.server.connect() as s:
                    for _ in range(20):
                        s.sendall(self.request)
                        answer = read_answer(s)
                        if answer.status == 201:
                            self.good += 1
                        elif answer.status == 0:
                            break
                        else:
                            self.bad.append(answer.status)
                        if answer.headers.get("connection") == "close":
                            break
            except OSError:
                if not self.stopping:
                    self.bad.append("refused")
                    time.sleep(0.01)

    def end(self):
        self.stopping = True
        for t in self.threads:
            t.join()


class Life(unittest.TestCase):
    def setUp(self):
        self.server = None

    def tearDown(self):
        if self.server:
            self.server.close()

    def test_stops_in_order_under_load(self):
        self.server = Server()
        load = Load(self.server)
        time.sleep(1)
        good = load.good
        code = self.server.stop()
        load.end()
        self.assertEqual(code, 0, self.server.log()[-2000:])
        self.assertGreater(good, 100)
        self.assertEqual([b for b in load.bad if b not in ("refused", 503)], [])

    def test_reload_under_load_loses_nothing(self):
        wide = {"rates": [{"name": "test", "by": "all", "unit": "requests", "quota": 1000000000,
                           "window": "1s"}]}
        self.server = Server({"api": {"attestation_none": True},
                              "http": {"connections_per_net": 0}, "limits": wide})
        load = Load(self.server)
        for level in ("debug", "info"):
            time.sleep(0.5)
            self.server.write_config({"server": {"log": level}, "limits": wide,
                                      "http": {"connections_per_net": 0}})
            self.server.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        load.end()
        self.assertEqual(load.bad, [])
        self.assertGreater(load.good, 100)
        self.assertEqual(self.server.log().count('"reloaded"'), 2)
        self.assertEqual(self.server.ask("GET", "/.well-known/earmark").status, 200)
        self.assertEqual(self.server.stop(), 0)

    def test_reload_of_a_bad_file_changes_nothing(self):
        self.server = Server({})
        with open(self.server.config_path(), "a", encoding="utf-8") as f:
            f.write("sever:\n  listen: x\n")
        self.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.7)
        self.assertIn("did you mean", self.server.log())
        self.assertEqual(self.server.ask("GET", "/.well-known/earmark").status, 200)

    def test_reload_names_what_waits_for_a_restart(self):
        wide = {"rates": [{"name": "test", "by": "all", "unit": "requests", "quota": 1000, "window": "1s"}]}
        self.server = Server({"limits": wide})
        wide["rates"][0]["quota"] = 2000
        self.server.write_config({"server": {"log": "debug", "drain": "3s"}, "limits": wide,
                                  "http": {"workers": 9, "streams": 8}})
        self.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while '"reloaded"' not in self.server.log() and time.monotonic() < end:
            time.sleep(0.05)
        named = re.findall(r'"reload: changed, needs a restart","detail":"([^"]*)"', self.server.log())
        self.assertEqual(named, ["server.drain", "http.workers", "limits.rates"])

    def test_keyholder_killed_means_no_grants_and_not_ready(self):
        self.server = Server()
        os.kill(self.server.dev()["keyholder"], signal.SIGKILL)
        time.sleep(1.8)
        answer = self.server.ask("GET", "/readyz", internal=True)
        self.assertEqual((answer.status, answer.json()["why"]), (503, "the keyholder is gone"))
        self.assertEqual(self.server.metric("earmark_keyholder_up"), 0)
        self.assertEqual(self.server.ask("GET", "/healthz", internal=True).status, 200)
        self.assertEqual(self.server.ask("GET", "/.well-known/earmark").status, 200)
        self.assertEqual(self.server.stop(), 0)

    def test_keyholder_killed_ends_the_server_after_its_grace(self):
        self.server = Server({"server": {"keyholder_grace": "1s"}})
        pid = self.server.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        self.assertEqual(self.server.process.wait(15), 3)

    def test_keyholder_ends_with_its_server(self):
        self.server = Server()
        keyholder = self.server.dev()["keyholder"]
        self.server.stop(signal.SIGKILL)
        time.sleep(0.5)
        try:
            with open(f"/proc/{keyholder}/stat", encoding="ascii") as f:
                self.assertEqual(f.read().split()[2], "Z")  # nobody may be there to reap it
        except FileNotFoundError:
            pass

    def test_both_processes_are_confined(self):
        self.server = Server()
        for pid in (self.server.process.pid, self.server.dev()["keyholder"]):
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                status = f.read()
            self.assertIn("NoNewPrivs:\t1", status)
            self.assertIn("Seccomp:\t2", status)

    def test_keys_below_the_data_are_refused(self):
        self.server = Server({"server": {"data": "/tmp/earmarkd-nest"}, "keys": {"dir": "/tmp/earmarkd-nest/keys"}},
                             wait=False)
        self.assertEqual(self.server.process.wait(10), 1)
        self.assertIn("lies below", self.server.log())
        earmarkd.shutil.rmtree("/tmp/earmarkd-nest", ignore_errors=True)

    def test_starts_again_after_a_kill(self):
        self.server = Server()
        self.server.stop(signal.SIGKILL)
        start = time.monotonic()
        self.server.process.stdout.close()
        os.remove(self.server.log_path)
        self.server.start()
        self.assertLess(time.monotonic() - start, 5)

    def test_refuses_to_start_without_keys(self):
        self.server = Server({})
        self.server.stop()
        os.remove(os.path.join(self.server.dir, "keys", "storage.key"))
        self.server.args = self.server.args[:3]
        self.server.start(wait=False)
        self.assertEqual(self.server.process.wait(10), 1)
        self.assertIn("--make-keys", self.server.log())

    def test_refuses_key_files_that_others_may_read(self):
        self.server = Server({})
        self.server.stop()
        os.chmod(os.path.join(self.server.dir, "keys", "issuer.key"), 0o644)
        self.server.start(wait=False)
        self.assertEqual(self.server.process.wait(10), 1)


class Supervisor(unittest.TestCase):
    def test_tells_that_it_is_ready_and_that_it_stops(self):
        path = f"/tmp/earmarkd-notify-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(path)
            s.settimeout(10)
            os.environ["NOTIFY_SOCKET"] = path
            try:
                server = Server()
                self.assertEqual(s.recv(100), b"READY=1")
                server.stop()
                self.assertIn(b"STOPPING=1", s.recv(100))
                server.close()
            finally:
                del os.environ["NOTIFY_SOCKET"]
                os.unlink(path)

    def test_takes_a_socket_that_was_handed_over(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(10)
            s.set_inheritable(True)
            code = ("import os,sys\n"
                    "fd=int(sys.argv[1])\n"
                    "os.dup2(fd,3)\n"
                    "os.environ.update(LISTEN_FDS='1',LISTEN_PID=str(os.getpid()),LISTEN_FDNAMES='api')\n"
                    "os.execv(sys.argv[2],sys.argv[2:])\n")
            server = Server.__new__(Server)
            server.dir = earmarkd.tempfile.mkdtemp()
            server.log_path = os.path.join(server.dir, "log")
            with open(server.log_path, "wb") as log:
                server.process = subprocess.Popen(
                    [sys.executable, "-c", code, str(s.fileno()), earmarkd.BINARY, "--dev", "--dir",
                     os.path.join(server.dir, "dev")], stdout=subprocess.PIPE, stderr=log,
                    close_fds=False)
            server.port = s.getsockname()[1]
            try:
                end = time.monotonic() + 10
                while "internal" not in server.log() and time.monotonic() < end:
                    time.sleep(0.05)
                self.assertEqual(server.ask("GET", "/.well-known/earmark").status, 200)
            finally:
                server.close()


class Command(unittest.TestCase):
    def run_it(self, *args):
        return subprocess.run([earmarkd.BINARY, *args], capture_output=True, text=True, check=False)

    def test_check_names_line_and_column(self):
        path = f"/tmp/earmarkd-config-{os.getpid()}.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write("server:\n  origin: https://a.example\n  data: /tmp/x\n  lsten: x\nkeys:\n  dir: /k\n")
        try:
            result = self.run_it("--config", path, "--check")
        finally:
            os.remove(path)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{path}:4:3", result.stderr)
        self.assertIn("listen", result.stderr)

    def test_document_has_the_options_of_the_program(self):
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "../../docs/operate/configure.md"), encoding="utf-8") as f:
            self.assertIn(self.run_it("--options").stdout, f.read())

    def test_what_is_printed_reads_back(self):
        path = f"/tmp/earmarkd-print-{os.getpid()}.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write("server: {origin: 'https://a.example', data: /tmp/x}\nkeys: {dir: /k}\n"
                    "proxies: {trusted: [10.0.0.0/8], field: forwarded}\n"
                    "limits:\n  rates:\n    - {name: per-user, by: user, unit: requests, quota: 60, window: 1m}\n")
        try:
            first = self.run_it("--config", path, "--print-config").stdout
            with open(path, "w", encoding="utf-8") as f:
                f.write(first)
            second = self.run_it("--config", path, "--print-config")
        finally:
            os.remove(path)
        self.assertEqual(second.stderr, "")
        self.assertEqual(first, second.stdout)
        self.assertIn("per-user", first)


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        print("SKIP earmarkd is not built")
        sys.exit(77)
    unittest.main(verbosity=2)
