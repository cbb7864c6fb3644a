#!/usr/bin/env python3
"""Forged tokens, wrong clocks, and a database that is locked, damaged or has no room; one rule each.
EARMARKD=bin/earmarkd faults_test.py"""
import hashlib
import hmac
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

import earmarkd
from earmarkd import Server

try:
    from cryptography.hazmat.primitives import serialization
    from device import Device, Key, b64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

ISSUER = "https://login.example.com"
WIDE = {"rates": [{"name": "all", "by": "all", "unit": "requests", "quota": 1000000000, "window": "1s"}]}


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class Forged(unittest.TestCase):
    """User tokens that are not what they look like."""

    @classmethod
    def setUpClass(cls):
        cls.key = Key()
        cls.folder = earmarkd.tempfile.mkdtemp(prefix="earmarkd-jwks-")
        path = os.path.join(cls.folder, "jwks.json")
        cls.public = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1",
                      "x": b64(cls.key.public[1:33]), "y": b64(cls.key.public[33:])}
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"keys": [cls.public]}, f)
        cls.server = Server({"api": {"attestation_none": True}, "limits": WIDE,
                             "tokens": {"issuers": [{"issuer": ISSUER, "audience": "earmark",
                                                     "tenant": "t", "jwks_file": path}]}})

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        shutil.rmtree(cls.folder)

    def claims(self, **changed):
        now = int(time.time())
        return {"iss": ISSUER, "sub": "jane", "aud": "earmark", "iat": now, "exp": now + 300, **changed}

    def token(self, head=None, claims=None, sign=None, text=None):
        head = {"alg": "ES256", "kid": "k1", **(head or {})}
        text = text or (b64(json.dumps(head).encode()) + "." +
                        b64(json.dumps(claims or self.claims()).encode()))
        return text + "." + b64((sign or self.key.sign)(text.encode()))

    def answer(self, token):
        body = Device(self.server).enrol_body()
        del body["user"]
        return self.server.ask("POST", "/v1/devices", body, {"Authorization": "Bearer " + token})

    def refused(self, token):
        answer = self.answer(token)
        self.assertEqual(answer.status, 401, answer.body)
        self.assertIn("invalid_token", answer.headers.get("www-authenticate", ""))

    def test_a_good_one_is_taken(self):
        self.assertEqual(self.answer(self.token()).status, 201)

    def test_alg_none(self):
        for alg in ("none", "None", "NONE", ""):
            self.refused(self.token({"alg": alg}, sign=lambda text: b""))
            self.refused(self.token({"alg": alg}))

    def test_a_public_key_as_a_secret(self):
        """Key confusion: HMAC with what everybody may know."""
        numbers = self.key.private.public_key()
        for secret in (self.key.public, json.dumps(self.public).encode(), numbers.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)):
            for alg in ("HS256", "ES256"):
                self.refused(self.token({"alg": alg}, sign=lambda text, s=secret: hmac.new(
                    s, text, hashlib.sha256).digest()))

    def test_another_algorithm_than_the_keys(self):
        for alg in ("ES384", "EdDSA", "RS256", "PS256", "ES256K"):
            self.refused(self.token({"alg": alg}))

    def test_a_key_that_comes_along(self):
        other = Key()
        jwk = {"kty": "EC", "crv": "P-256", "x": b64(other.public[1:33]), "y": b64(other.public[33:])}
        for head in ({"jwk": jwk}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example"},
                     {"crit": ["exp"]}, {"b64": False}):
            self.refused(self.token(head, sign=other.sign))
            self.refused(self.token(head))

    def test_a_key_that_nobody_has(self):
        for kid in ("k2", "../k1", "k1\0", "k" * 500):
            self.refused(self.token({"kid": kid}))
        self.refused(self.token(sign=Key().sign))

    def test_another_audience_or_issuer(self):
        for changed in ({"aud": "other"}, {"aud": []}, {"aud": ["other"]}, {"aud": None},
                        {"iss": ISSUER + "/"}, {"iss": "https://evil.example"}, {"iss": None}):
            self.refused(self.token(claims=self.claims(**changed)))

    def test_times_that_do_not_fit(self):
        now = int(time.time())
        for changed in ({"exp": now - 120}, {"nbf": now + 600}, {"iat": now + 600, "exp": now + 900},
                        {"exp": now + 86400}, {"exp": None}, {"iat": None}, {"exp": str(now + 300)},
                        {"exp": now + 300.5}, {"exp": -1}, {"exp": 1e30}):
            self.refused(self.token(claims=self.claims(**changed)))

    def test_users_that_are_none(self):
        for sub in ("", "a\nb", "x" * 129, None, 7, ["jane"]):
            self.refused(self.token(claims=self.claims(sub=sub)))

    def test_claims_that_come_twice(self):
        now = int(time.time())
        text = ('{"iss":"%s","sub":"jane","sub":"admin","aud":"earmark","iat":%d,"exp":%d}'
                % (ISSUER, now, now + 300))
        self.refused(self.token(text=b64(b'{"alg":"ES256","kid":"k1"}') + "." + b64(text.encode())))
        self.refused(self.token(text=b64(b'{"alg":"ES256","alg":"none","kid":"k1"}') + "." +
                                b64(json.dumps(self.claims()).encode())))

    def test_texts_that_are_no_token(self):
        good = self.token()
        head, claims, signature = good.split(".")
        for text in (head + "." + claims, good + ".", good + "." + signature, "." + claims + "." + signature,
                     good[:-1], good + "=", head + "=." + claims + "." + signature, "x", "e30.e30.",
                     head + "." + claims + "." + "A" * 86, "a" * 8193):
            self.assertIn(self.answer(text).status, (400, 401), text[:100])

    def test_a_signature_that_is_all_zero(self):
        self.refused(self.token(sign=lambda text: bytes(64)))
        self.refused(self.token(sign=lambda text: bytes.fromhex(  # r = s = order
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551" * 2)))


class Clock(unittest.TestCase):
    """The server's judgement of time is its own clock's."""

    def test_tokens_are_judged_by_the_clock_of_the_server(self):
        forged = Forged()
        Forged.setUpClass()
        self.addCleanup(Forged.tearDownClass)
        now = int(time.time())
        for age in (-3600, 3600):  # an issuer whose clock is wrong by an hour
            forged.refused(forged.token(claims=forged.claims(iat=now + age, exp=now + age + 300)))


class Database(unittest.TestCase):
    """records.db: locked by another, damaged, full."""

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.data = os.path.join(self.server.dir, "dev", "data")
        self.token = self.server.dev()["operator_token"]
        self.device = Device(self.server)
        self.addCleanup(self.device.wire.close)
        self.assertEqual(self.device.enrol(self.token).status, 201)

    def path(self, name="records.db"):
        return os.path.join(self.data, name)

    def restart(self, wait=True):
        if self.server.process.poll() is None:
            self.server.stop(signal.SIGKILL)
        os.remove(self.server.log_path)
        self.server.start(wait)

    def test_a_lock_that_passes_is_waited_for_or_answered_503(self):
        db = sqlite3.connect(self.path(), timeout=30, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        answers = []
        asking = threading.Thread(target=lambda: answers.append(self.device.ticket(use="u").status))
        asking.start()
        time.sleep(1)  # long enough that it meets the lock; nothing is measured
        db.execute("ROLLBACK")
        db.close()
        asking.join()
        self.assertIn(answers[0], (201, 503))
        self.assertTrue(wait_for(lambda: self.device.ticket(use="u").status == 201))

    def test_a_lock_that_stays_is_answered_503_and_nothing_hangs(self):
        db = sqlite3.connect(self.path(), timeout=30, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        try:
            answer = self.device.ticket(use="u")
            self.assertEqual(answer.status, 503, answer.body)
            self.assertIn("retry-after", answer.headers)
            self.assertEqual(self.server.ask("GET", "/.well-known/earmark").status, 200)
            self.assertEqual(self.server.ask("GET", "/healthz", internal=True).status, 200)
        finally:
            db.execute("ROLLBACK")
            db.close()
        self.assertTrue(wait_for(lambda: self.device.ticket(use="u").status == 201))

    def test_a_second_server_on_the_same_data_does_not_start(self):
        second = subprocess.run(self.server.args, capture_output=True, text=True, timeout=120)
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertEqual(self.device.ticket(use="u").status, 201)

    def test_a_file_that_is_no_database_does_not_start(self):
        self.server.stop()
        for name in ("records.db-wal", "records.db-shm"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))
        with open(self.path(), "wb") as f:
            f.write(b"this is no database\n" * 1000)
        self.restart(wait=False)
        self.assertEqual(self.server.process.wait(60), 1)
        with open(self.path(), "rb") as f:
            self.assertTrue(f.read().startswith(b"this is no"), "it must be left for who repairs it")

    def test_damaged_pages_give_no_tickets_and_no_crash(self):
        self.server.stop()
        size = os.path.getsize(self.path())
        with open(self.path(), "r+b") as f:
            for at in range(4096, size, 4096):  # all pages but the first
                f.seek(at + 8)
                f.write(os.urandom(2000))
        self.restart(wait=False)
        ended = wait_for(lambda: self.server.process.poll() is not None or
                         self.server.log().count('"listening') >= 2)
        self.assertTrue(ended)
        if self.server.process.poll() is None:
            self.server.wait_ready()
            self.assertIn(self.device.ticket(use="u").status, (401, 403, 503))
            self.assertEqual(self.server.ask("GET", "/healthz", internal=True).status, 200)
        else:
            self.assertEqual(self.server.process.returncode, 1)

    def test_a_damaged_record_hurts_nobody_else(self):
        other = Device(self.server, "other")
        self.addCleanup(other.wire.close)
        self.assertEqual(other.enrol(self.token).status, 201)
        self.server.stop()
        with sqlite3.connect(self.path()) as db:
            db.execute("UPDATE record SET value = x'ff00' WHERE kind = 1 AND id = ?", (self.device.id,))
        db.close()
        self.restart()
        self.assertIn(self.device.ticket(use="u").status, (401, 503))
        self.assertEqual(other.ticket(use="u").status, 201)

    def test_a_log_that_lost_its_end_does_not_start(self):
        """Acknowledged entries are missing: somebody has to look."""
        for _ in range(5):
            self.device.ticket(use="u")
        self.assertTrue(wait_for(lambda: os.path.exists(os.path.join(self.data, "journal/checkpoint"))))
        self.server.stop()
        folder = os.path.join(self.data, "journal/log")
        last = os.path.join(folder, sorted(os.listdir(folder))[-1])
        os.truncate(last, os.path.getsize(last) // 2)
        self.restart(wait=False)
        self.assertEqual(self.server.process.wait(60), 1, self.server.log())


class Full(earmarkd.OnSmallDisk):
    """All data on a disk of its own that is full."""

    def fill(self):
        self.filler = os.path.join(self.disk, "filler")
        try:
            with open(self.filler, "wb") as f:
                while True:
                    f.write(bytes(4096))
                    f.flush()
        except OSError:
            pass

    def test_gives_nothing_loses_nothing_and_goes_on_when_there_is_room(self):
        token = self.server.dev()["operator_token"]
        device = Device(self.server)
        self.addCleanup(device.wire.close)
        self.assertEqual(device.enrol(token).status, 201)
        good = [device.ticket(use="u").json()["id"] for _ in range(5)]
        self.fill()
        for _ in range(400):  # files that are there already have room left
            answer = device.ticket(use="u")
            if answer.status != 201:
                break
            good.append(answer.json()["id"])
        self.assertEqual(answer.status, 503, answer.body)
        upload = self.server.ask("PUT", "/v1/models/m/1?bytes=1", os.urandom(100000),
                                 {"Authorization": "Bearer " + token,
                                  "Content-Type": "application/octet-stream"})
        self.assertIn(upload.status, (503, 507), upload.body)
        self.assertEqual(self.server.ask("GET", "/.well-known/earmark").status, 200)
        os.remove(self.filler)
        self.assertTrue(wait_for(lambda: device.ticket(use="u").status == 201))
        for name in good:
            self.assertEqual(self.server.ask("GET", "/v1/admin/tickets/" + name, None,
                                             {"Authorization": "Bearer " + token}).status, 200)


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        print("SKIP earmarkd is not built")
        sys.exit(77)
    unittest.main(verbosity=2)
