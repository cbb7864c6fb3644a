#!/usr/bin/env python3
"""What the server does with a guard's summary: refusals, short leases, signals.
EARMARKD=bin/earmarkd guard_test.py"""
import glob
import hashlib
import json
import os
import sys
import time
import unittest

from earmarkd import Server

try:
    from device import Device, b64, payload, ticket_id, unb64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

from earmark_reference import cbor_encode

OFF, REPORT, CAREFUL, STRICT = range(4)
NOTHING, TELL, DEGRADE, REFUSE, WIPE = range(5)
FOUND, MISSING, LOWER, FEW, IMPOSSIBLE, REPEATED, WORST = range(1, 8)


def summary(level=CAREFUL, action=NOTHING, looks=30, transcript=None, findings=()):
    return cbor_encode({1: 1, 2: level, 3: action, 4: looks, 5: transcript or os.urandom(32),
                        6: bytes(32), 7: [list(f) for f in findings]})


class Guard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.token = cls.server.dev()["operator_token"]
        for name, query in (("leased", "?lease_s=86400"), ("free", ""), ("guarded", "?min_guard=3")):
            answer = cls.server.ask("PUT", f"/v1/models/{name}/1{query}", os.urandom(500),
                                    {"Authorization": "Bearer " + cls.token,
                                     "Content-Type": "application/octet-stream"})
            assert answer.status == 201, answer.body

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def setUp(self):
        self.device = Device(self.server, "user-" + os.urandom(6).hex())
        self.addCleanup(self.device.wire.close)
        self.assertEqual(self.device.enrol(self.token).status, 201)

    def signals(self):
        """Codes of this device's tampering events, as the engine's log has them."""
        codes = []
        for path in sorted(glob.glob(self.server.dir + "/dev/data/fraud/events-*.jsonl")):
            with open(path, encoding="utf-8") as f:
                for line in f:
                    if '"sdk.tamper"' in line and b64(self.device.id) in line:
                        event = json.loads(line)
                        self.assertGreater(event["x"]["weight"], 0)
                        codes.append(event.get("res", {}).get("code", 0))
        return codes

    def ticket(self, said=None, model="free"):
        value = {1: os.urandom(16), 2: model, 3: self.device.user, 7: [0x20, os.urandom(32)],
                 8: self.device.certificate, 9: int(time.time())}
        if said:
            value[10] = said
        request = self.device.signing.message(6, value)
        return self.device.ask("POST", "/v1/tickets", {"request": b64(request)})

    def ask(self, said=None, model="free", status=201):
        answer = self.ticket(said, model)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json()

    def risk(self):
        answer = self.server.ask("GET", f"/v1/admin/devices/{b64(self.device.id)}/risk", None,
                                 {"Authorization": "Bearer " + self.token})
        return answer.json()["now"]

    def enrol_another(self):
        """What the engine holds against one device it does not hold against the next."""
        self.device.wire.close()
        self.setUp()

    def lease_message(self, ticket, said=None, level=CAREFUL):
        value = {1: os.urandom(16), 2: ticket_id(ticket), 3: hashlib.sha256(ticket).digest(),
                 4: self.device.id, 5: int(time.time()), 6: int(time.time()) - 10, 7: level}
        if said:
            value[8] = said
        return self.device.signing.message(11, value)

    def lease(self, ticket, said=None, level=CAREFUL):
        return self.device.ask("POST", "/v1/leases",
                               {"request": b64(self.lease_message(ticket, said, level))})

    # ---- actions ----

    def test_a_guard_that_found_nothing_changes_nothing(self):
        for _ in range(3):
            self.ask(summary())
        self.assertEqual(self.signals(), [])

    def test_refuse_and_wipe_give_no_ticket(self):
        for action in (REFUSE, WIPE):
            self.enrol_another()
            answer = self.ask(summary(action=action, findings=[(1, 3, 2)]), status=403)
            self.assertEqual(answer["help"], "attest")
            self.assertIn("surroundings", answer["detail"])
            self.assertNotIn("tracer", json.dumps(answer))
            self.assertEqual(self.signals(), [FOUND, WORST])
            self.assertNotEqual(self.risk()["action"], "allow")  # also once the guard is calm

    def test_degrade_gives_short_leases_only(self):
        for model in ("leased", "free"):
            answer = self.ask(summary(action=DEGRADE), model)
            lease = payload(unb64(answer["lease"]))
            self.assertLessEqual(lease[4] - lease[3], 900)
            self.assertEqual(self.ask(summary(), model).get("lease") is None, model == "free")

    def test_leases_become_short_and_are_refused(self):
        ticket = unb64(self.ask(summary(), "leased")["ticket"])
        long = self.lease(ticket, summary(looks=31)).json()
        self.assertGreater(long["until"] - time.time(), 3600)
        short = self.lease(ticket, summary(looks=32, action=DEGRADE)).json()
        self.assertLessEqual(short["until"] - time.time(), 901)
        for action in (REFUSE, WIPE):
            refused = self.lease(ticket, summary(looks=33, action=action)).json()
            self.assertEqual(refused["refused"], "attest")
        self.assertEqual(self.signals(), [WORST])

    # ---- signals ----

    def test_findings_are_told(self):
        self.ask(summary(findings=[(9, 1, 1)]))
        self.assertEqual(self.signals(), [FOUND])

    def test_a_summary_that_is_missing_is_told_once_a_day(self):
        for _ in range(2):
            self.ask()
        self.assertEqual(self.signals(), [])
        self.ask(summary())
        for _ in range(3):
            self.ask()
        self.assertEqual(self.signals(), [MISSING])

    def test_a_lower_level_is_told(self):
        self.ask(summary(level=STRICT))
        self.assertEqual(self.signals(), [])
        self.ask(summary(level=REPORT))
        self.assertEqual(self.signals(), [LOWER])

    def test_a_lower_level_than_the_policy_wants_is_told(self):
        self.ask(summary(level=CAREFUL), "guarded")
        self.assertEqual(self.signals(), [LOWER])

    def test_looks_that_cannot_be_are_told(self):
        self.ask(summary(looks=2))
        self.assertEqual(self.signals(), [IMPOSSIBLE])

    def test_a_jump_of_looks_is_told(self):
        self.ask(summary(looks=40))
        self.ask(summary(looks=4000000000))
        self.assertEqual(self.signals(), [IMPOSSIBLE])

    def test_a_new_start_of_the_app_is_no_signal(self):
        self.ask(summary(looks=90000))
        self.ask(summary(looks=25))
        self.assertEqual(self.signals(), [])

    def test_a_transcript_shown_again_is_told(self):
        said = summary()
        self.ask(said)
        self.assertEqual(self.signals(), [])
        self.ask(said, status=403)
        self.assertEqual(self.signals(), [REPEATED])

    def test_a_message_sent_again_is_no_signal(self):
        ticket = unb64(self.ask(summary(), "leased")["ticket"])
        said = summary(looks=31)
        request = self.lease_message(ticket, said)
        for _ in range(2):
            self.device.ask("POST", "/v1/leases", {"request": b64(request)})
        self.assertEqual(self.signals(), [])

    def test_receipts_and_events_are_looked_at(self):
        ticket = unb64(self.ask(summary())["ticket"])
        receipt = self.device.signing.message(
            8, {1: ticket_id(ticket), 2: bytes(16), 3: 0, 4: int(time.time()), 5: 1,
                6: summary(looks=35, action=WIPE, findings=[(1, 3, 1)])})
        self.assertEqual(self.device.ask("POST", "/v1/receipts", {"receipt": b64(receipt)}).status, 204)
        self.assertEqual(self.signals(), [FOUND, WORST])
        event = {1: 6, 2: int(time.time()), 5: summary(looks=36, findings=[(2, 2, 1)])}
        batch = self.device.events(1, bytes(32), [event])
        self.assertEqual(self.device.ask("POST", "/v1/events", {"batch": b64(batch)}).status, 200)
        self.assertEqual(self.signals(), [FOUND, WORST, FOUND])

    # ---- other versions ----

    @staticmethod
    def other(*without, **changed):
        """Of version 9: what version 1 has, and more."""
        said = {1: 9, 2: CAREFUL, 3: NOTHING, 4: 30, 5: os.urandom(32), 6: bytes(32), 7: [],
                8: "new", 9: {1: [2]}}
        said.update({int(k[1:]): v for k, v in changed.items()})
        return cbor_encode({k: v for k, v in said.items() if k not in without})

    def test_a_newer_version_that_says_all_we_know_is_no_signal(self):
        for looks in (30, 31):
            self.ask(self.other(k4=looks))
        self.assertEqual(self.signals(), [])

    def test_what_a_newer_version_says_counts(self):
        self.ask(self.other(k7=[[9, 1, 1]]))
        self.assertEqual(self.signals(), [FOUND])
        self.enrol_another()
        self.ask(self.other(k3=REFUSE), status=403)
        self.assertEqual(self.signals(), [WORST])

    def test_claiming_a_newer_version_hides_nothing(self):
        for said in (cbor_encode({1: 9}), self.other(2, 3, 4, 5, 6, 7)):
            self.enrol_another()
            self.ask(summary(level=STRICT))
            self.ticket(said)  # which the engine may refuse
            self.assertEqual(self.signals(), [MISSING, LOWER])

    def test_what_a_newer_version_says_otherwise_is_missing(self):
        for changed in ({"k3": 9}, {"k4": "many"}, {"k5": b"short"}, {"k7": [[1, 9, 1]]}, {"k7": 0}):
            self.enrol_another()
            self.ask(self.other(**changed))
            self.assertEqual(self.signals(), [MISSING], changed)

    def test_a_newer_version_that_is_malformed_is_refused(self):
        good = self.other()
        for bad in (good[:-1], good + b"\0"):
            self.assertEqual(self.ticket(bad).status, 422)

    def test_bad_summaries_are_refused(self):
        good = summary()
        for bad in (good[:-1], good + b"\0", b"x", cbor_encode({1: 1})):
            self.assertEqual(self.ticket(bad).status, 422)
        self.assertEqual(self.signals(), [])

    def test_a_clean_summary_lowers_nothing(self):
        self.ticket(summary(findings=[(1, 3, 2)]))
        before = self.risk()
        self.assertGreater(float(before["score"]), 0)
        for looks in (31, 32):
            self.ticket(summary(looks=looks))
        self.assertGreaterEqual(float(self.risk()["score"]), float(before["score"]) - 0.1)


if __name__ == "__main__":
    unittest.main()
