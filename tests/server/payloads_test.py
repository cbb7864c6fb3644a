#!/usr/bin/env python3
"""31,067 values that others collected, harmless ones and attacks (SQL, scripts, commands, paths), as
every kind of text that the server takes: in queries, in paths and in bodies.  There is no filter
that guesses at attacks, so nothing may be refused for what it looks like: a value is the one that was
sent, byte for byte, or it breaks a rule that the API description states.

    EARMARKD=bin/earmarkd payloads_test.py"""
import csv
import http.client
import json
import os
import sys
import unittest
from urllib.parse import quote

from earmarkd import Server

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("EMK_SHARED", os.path.join(HERE, "..", "..", "..", "shared"))
VALUES = os.path.join(SHARED, "vectors", "fraud", "http-params")
STORED_EACH = 10  # of the harmless ones every tenth is stored; of attacks every one that is not SQL, and a tenth
REASON_MAX, USER_MAX = 200, 128  # bytes, as server/api/openapi.json has them


def values():
    """(value, kind) of both files."""
    for name in ("payload_train.csv", "payload_test.csv"):
        with open(os.path.join(VALUES, name), encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                yield row["payload"], row["attack_type"]


class Payloads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.head = {"Authorization": "Bearer " + cls.server.dev()["operator_token"],
                    "Content-Type": "application/json"}
        cls.all = list(dict.fromkeys(values()))
        cls.wire = http.client.HTTPConnection("127.0.0.1", cls.server.port, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.wire.close()
        cls.server.close()

    @classmethod
    def ask(cls, method, path, body=None):
        cls.wire.request(method, "/v1/admin/" + path, json.dumps(body) if body is not None else None, cls.head)
        answer = cls.wire.getresponse()
        return answer.status, answer.read()

    def test_is_as_many_as_it_should_be(self):
        self.assertGreater(len(self.all), 20_000)
        self.assertEqual({kind for _, kind in self.all}, {"norm", "sqli", "xss", "cmdi", "path-traversal"})

    def test_a_query_finds_nobody_and_breaks_nothing(self):
        for value, kind in self.all:
            status, body = self.ask("GET", "users?subject=" + quote(value, safe=""))
            with self.subTest(value=value, kind=kind):
                self.assertEqual(status, 400 if not self.is_text(value, USER_MAX) else 404, body)

    @staticmethod
    def is_text(value, most):
        return 1 <= len(value.encode()) <= most and "\0" not in value

    def test_a_path_finds_nothing_and_breaks_nothing(self):
        for value, kind in self.all[::3]:
            status, body = self.ask("GET", "users/" + quote(value, safe=""))
            with self.subTest(value=value, kind=kind):
                self.assertIn(status, (400, 404), body)

    def test_what_is_stored_comes_back_as_it_was(self):
        number, sent = 0, {}
        for value, kind in self.all:
            number += 1
            if kind in ("norm", "sqli") and number % STORED_EACH:
                continue
            status, body = self.ask("POST", "lists/shared_nets",
                                    {"value": f"entry-{number}", "reason": value or "-"})
            with self.subTest(value=value, kind=kind):
                if self.is_text(value or "-", REASON_MAX):
                    self.assertEqual(status, 200, body)
                    sent[f"entry-{number}"] = value or "-"
                else:
                    self.assertEqual(status, 400, body)
        self.assertGreater(len(sent), 2000)
        self.assertEqual(self.listed(), sent)

    def listed(self):
        found, cursor = {}, ""
        while True:
            status, body = self.ask("GET", "lists/shared_nets?limit=100" + (cursor and "&cursor=" + cursor))
            self.assertEqual(status, 200, body)
            page = json.loads(body)
            found.update((e["value"], e["reason"]) for e in page["items"])
            cursor = page.get("next", "")
            if not cursor:
                return found


if __name__ == "__main__":
    if not os.path.isdir(VALUES):
        print("SKIP: the values of ../shared/vectors/fraud/http-params are not here")
        sys.exit(77)
    unittest.main(verbosity=2)
