#!/usr/bin/env python3
"""Persons and devices that are erased while their own requests are under way: whatever was answered,
nothing of them is there afterwards.   EARMARKD=bin/earmarkd erase_test.py"""
import glob
import hashlib
import json
import os
import sqlite3
import sys
import threading
import time
import unittest

from earmarkd import Server

try:
    from device import Device, b64, ticket_id, unb64
    from earmark_reference import cbor_encode
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

ROUNDS = 6
KINDS_OF_ALL = (6, 7)  # answers kept for a key and challenges: hashes of what nobody has any more
SUMMARY = {1: 1, 2: 2, 3: 0, 4: 30, 6: bytes(32), 7: []}


class Erase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.token = cls.server.dev()["operator_token"]
        cls.admin = {"Authorization": "Bearer " + cls.token}
        answer = cls.server.ask("PUT", "/v1/models/m/1?lease_s=600", os.urandom(500),
                                {**cls.admin, "Content-Type": "application/octet-stream"})
        assert answer.status == 201, answer.body
        answer = cls.server.ask("POST", "/v1/admin/fraud/switch", {"to": "open", "reason": "so many"},
                                cls.admin)
        assert answer.status == 204, answer.body

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def enrolled(self, user):
        device = Device(self.server, user)
        self.addCleanup(device.wire.close)
        self.assertEqual(device.enrol(self.token).status, 201)
        return device

    def left(self, *names):
        """(kind, id) of records in which one of the names is, as bytes or as text."""
        forms = [form for name in names for form in (name, b64(name).encode())]
        with sqlite3.connect(os.path.join(self.server.dir, "dev/data/records.db")) as db:
            rows = db.execute("SELECT kind, id, owner, value FROM record").fetchall()
        return [(kind, bytes(i).hex()) for kind, i, owner, value in rows
                if kind not in KINDS_OF_ALL and any(f in bytes(b) for f in forms for b in (i, owner, value))]

    def remembered(self, *names):
        """Lines of the engine's log that name one of them."""
        lines = []
        for path in glob.glob(self.server.dir + "/dev/data/fraud/events-*.jsonl"):
            with open(path, encoding="utf-8") as f:
                lines += [l for l in f if any(b64(n) in l for n in names)]
        return lines

    def hammer(self, device, stop, seen):
        """Whatever a device does, until it is told to stop; once refused it goes on asking."""
        ticket, first, last = None, 1, bytes(32)
        while not stop.is_set():
            for step in ("ticket", "lease", "events", "receipt"):
                try:
                    if step == "ticket":
                        answer = device.ticket(model="m")
                        if answer.status == 201:
                            ticket = unb64(answer.json()["ticket"])
                    elif step == "events":
                        said = cbor_encode({**SUMMARY, 5: os.urandom(32)})
                        batch = device.events(first, last, [{1: 6, 2: int(time.time()), 5: said}] * 2)
                        answer = device.ask("POST", "/v1/events", {"batch": b64(batch)})
                        if answer.status == 200:
                            first, last = first + 2, hashlib.sha256(batch).digest()
                    elif ticket is None:
                        continue
                    elif step == "lease":
                        answer = device.ask("POST", "/v1/leases",
                                            {"request": b64(device.lease_request(ticket))})
                    else:
                        answer = device.ask("POST", "/v1/receipts",
                                            {"receipt": b64(device.receipt(ticket, 4))})
                    seen.append((step, answer.status))
                except OSError:
                    pass

    def erase(self, what, name):
        answer = self.server.ask("POST", f"/v1/admin/{what}/{b64(name)}/erase", {"basis": "asked for it"},
                                 self.admin)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def under_load(self, devices, act):
        stop, seen = threading.Event(), []
        threads = [threading.Thread(target=self.hammer, args=(d, stop, seen)) for d in devices]
        for t in threads:
            t.start()
        end = time.monotonic() + 60
        while len(seen) < 25 * len(devices) and time.monotonic() < end:
            time.sleep(0.005)
        act()
        n = len(seen)  # those under way end, and some more are refused
        while len(seen) < n + 8 * len(devices) and time.monotonic() < end:
            time.sleep(0.005)
        stop.set()
        for t in threads:
            t.join()
        for step in ("ticket", "lease", "events", "receipt"):
            self.assertIn(step, [s for s, status in seen if status < 300], seen[:20])
        self.assertFalse([s for s in seen if s[1] == 500], "an answer of 500")

    def test_nothing_of_a_user_comes_back(self):
        for _ in range(ROUNDS):
            name = "user-" + os.urandom(6).hex()
            user = hashlib.sha256(b"earmark/1 owner\0\0" + name.encode()).digest()
            devices = [self.enrolled(name) for _ in range(4)]
            self.under_load(devices, lambda: self.erase("users", user))
            names = [user] + [d.id for d in devices]
            self.assertEqual(self.left(*names), [])
            self.assertEqual(self.remembered(*names), [])

    def test_nothing_of_a_device_comes_back(self):
        for _ in range(ROUNDS):
            name = "user-" + os.urandom(6).hex()
            keeps, goes = self.enrolled(name), self.enrolled(name)
            self.under_load([keeps, goes], lambda: self.erase("devices", goes.id))
            self.assertEqual(self.left(goes.id), [])
            self.assertEqual(self.remembered(goes.id), [])
            self.assertEqual(self.server.ask("GET", "/v1/admin/devices/" + b64(keeps.id), None,
                                             self.admin).status, 200)

    def test_who_enrols_meanwhile_is_there_whole_or_not_at_all(self):
        for _ in range(ROUNDS):
            name = "user-" + os.urandom(6).hex()
            user = hashlib.sha256(b"earmark/1 owner\0\0" + name.encode()).digest()
            self.enrolled(name)
            stop, got = threading.Event(), []

            def enrol():
                while not stop.is_set():
                    device = Device(self.server, name)
                    got.append((device, device.enrol(self.token).status))
                    device.wire.close()
            threads = [threading.Thread(target=enrol) for _ in range(3)]
            for t in threads:
                t.start()
            while len(got) < 4:
                time.sleep(0.002)
            for _ in range(3):
                answer = self.server.ask("POST", f"/v1/admin/users/{b64(user)}/erase", {"basis": "x"},
                                         self.admin)
                self.assertIn(answer.status, (200, 404), answer.body)
            stop.set()
            for t in threads:
                t.join()
            there = lambda path: self.server.ask("GET", "/v1/admin/" + path, None, self.admin).status == 200
            devices = [d for d, _ in got if there("devices/" + b64(d.id))]
            self.assertEqual(there("users/" + b64(user)), bool(devices), [s for _, s in got])
            self.assertLessEqual({status for _, status in got}, {201, 403, 409, 503})
            gone = [d.id for d, _ in got if d not in devices]
            self.assertEqual([r for r in self.left(*gone) if r[0] != 21], [])

    def test_after_that_the_same_person_may_come_again(self):
        device = self.enrolled("returner")
        user = hashlib.sha256(b"earmark/1 owner\0\0returner").digest()
        self.assertEqual(self.erase("users", user)["devices"], 1)
        self.assertEqual(device.ticket(model="m").status, 401)
        self.assertEqual(device.enrol(self.token).status, 201)
        self.assertEqual(device.ticket(model="m").status, 201)
        self.assertTrue(self.remembered(device.id))


if __name__ == "__main__":
    unittest.main()
