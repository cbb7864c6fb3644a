#!/usr/bin/env python3
"""What rules ask for besides their score (effect:), done by the real server: each effect, on the
device that it was about and on no other, once, and written down.
EARMARKD=bin/earmarkd effects_test.py"""
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import unittest

from earmarkd import Server
from webhook_test import KEY, Receiver, secret

try:
    from device import Device, b64, unb64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

HEAD = """
ruleset: {name: t, version: 1}
families: {a: {cap: 30}}
features:
  n: {kind: count, key: subj.device, window: 24h, on: [model.grant]}
  s: {kind: count, key: subj.device, window: 24h, on: [model.open_fail]}
  r: {kind: count, key: subj.user, window: 24h, on: [pay.refund]}
rules:
"""
RULE = """- {id: T-%d, name: t, family: a, entity: subj.%s, on: [%s], when: "%s", score: %s, half_life: 24h,
   reason: t, effect: [%s]%s}
"""


def rule(effect, when="n == 2", on="model.grant", score=1, entity="device", more="", number=1):
    return RULE % (number, entity, on, when, score, effect, more)


class Effects(unittest.TestCase):
    def setUp(self):
        self.server = None

    def tearDown(self):
        if self.server:
            self.server.close()

    def start(self, *rules, wait=True, **more):
        server = Server({"server": {}}, wait=False)
        path = os.path.join(server.dir, "rules.yaml")
        server.close()
        os.makedirs(server.dir, exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(HEAD + "".join(rules))
        api = {"attestation_none": True, "ticket_without_token": True, "use_life": "1h"}
        self.server = Server({"fraud": {"rules": path}, "api": api, **more}, wait=wait)
        if wait:
            self.token = self.server.make_operator()
            answer = self.operator("PUT", "/v1/models/m/1?lease_s=3600", os.urandom(300),
                                   {"Content-Type": "application/octet-stream"})
            self.assertEqual(answer.status, 201, answer.body)

    def operator(self, method, path, body=None, headers=None):
        return self.server.ask(method, path, body,
                               {"Authorization": "Bearer " + self.token, **(headers or {})})

    def get(self, path):
        answer = self.operator("GET", "/v1/admin/" + path)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def enrolled(self, user):
        device = Device(self.server, user)
        answer = device.enrol(self.token)
        self.assertEqual(answer.status, 201, answer.body)
        self.addCleanup(device.wire.close)
        return device

    def attest(self, device, kind="none"):
        return device.ask("POST", f"/v1/devices/{b64(device.id)}/attestations",
                          {"challenge": device.challenge(), "attestation": {"kind": kind}})

    def granted(self, device, n=1):
        answers = [device.ticket(model="m") for _ in range(n)]
        self.assertEqual([a.status for a in answers], [201] * n, answers[-1].body)
        return [unb64(a.json()["ticket"]) for a in answers]

    def refused(self, device, help_=None):
        answer = device.ticket(model="m")
        self.assertEqual((answer.status, answer.json().get("help")), (403, help_), answer.body)
        return answer

    def lease(self, device, ticket):
        return device.ask("POST", "/v1/leases", {"request": b64(device.lease_request(ticket))}).json()

    def audited(self, effect, kind="fraud.effect"):
        return [e for e in self.get("audit?limit=100&type=" + kind)["items"]
                if e.get("object") == "effect:" + effect]

    def counted(self, effect):
        return self.server.metric(f'earmark_fraud_effects_total{{effect="{effect}"}}')

    def types(self, device):
        folder = os.path.join(self.server.dir, "data", "fraud")
        found = []
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name), encoding="ascii") as f:
                    found += [json.loads(line) for line in f]
        return [e["type"] for e in found if e.get("subj", {}).get("device") == b64(device.id)]

    # ---- reattest ----

    def test_reattest_refuses_until_the_device_attested(self):
        self.start(rule("reattest"))
        device, other = self.enrolled("one"), self.enrolled("other")
        ticket = self.granted(device)[0]
        self.granted(other)
        no = self.refused(device, "attest")
        kept = self.get("decisions/" + no.json()["decision"])
        self.assertEqual((kept["action"], kept["effects"]), ("challenge", "reattest"), kept)
        self.refused(device, "attest")
        self.assertIn("until", self.lease(device, ticket))  # what it has it keeps
        self.assertEqual(len(self.audited("reattest")), 1)
        self.assertEqual(self.counted("reattest"), 1)
        entry = self.audited("reattest")[0]
        self.assertEqual((entry["decision"], entry["subject"], entry["actor"]),
                         (no.json()["decision"], b64(device.id), "earmarkd"))
        self.assertEqual(self.attest(device).status, 201)
        self.granted(device, 2)
        self.assertEqual(self.types(device).count("challenge.pass"), 1)

    def test_reattest_is_asked_for_once_an_hour_while_a_rule_stays_true(self):
        self.start(rule("reattest", when="n >= 2"))
        device = self.enrolled("one")
        self.granted(device)
        self.refused(device, "attest")
        self.assertEqual(self.attest(device).status, 201)
        self.granted(device, 3)
        self.assertEqual(self.counted("reattest"), 1)

    def test_a_demand_survives_a_kill(self):
        self.start(rule("reattest"))
        device = self.enrolled("one")
        self.granted(device)
        self.refused(device, "attest")
        self.server.stop(signal.SIGKILL)
        os.truncate(self.server.log_path, 0)
        self.server.start()
        device.wire.close()
        self.refused(device, "attest")
        self.assertEqual(self.attest(device).status, 201)
        self.granted(device)

    def test_a_failed_attestation_is_told_only_of_who_was_asked(self):
        self.start(rule("reattest"))
        device, other = self.enrolled("one"), self.enrolled("other")
        self.granted(device)
        self.refused(device, "attest")
        for d in (device, other):
            self.assertIn(self.attest(d, "tpm").status, (403, 422))
        self.assertEqual(self.types(device).count("challenge.fail"), 1)
        self.assertEqual(self.types(other).count("challenge.fail"), 0)
        self.assertEqual(self.attest(other).status, 201)
        self.assertEqual(self.types(other).count("challenge.pass"), 0)
        self.refused(device, "attest")

    def test_who_is_challenged_and_attests_has_passed(self):
        self.start(rule("open_case", score=6))
        device = self.enrolled("one")
        self.granted(device)
        self.refused(device, "attest")
        self.refused(device, "attest")
        self.assertEqual(self.attest(device).status, 201)
        self.assertEqual(self.types(device).count("challenge.pass"), 1)
        self.assertEqual(self.attest(device).status, 201)
        self.assertEqual(self.types(device).count("challenge.pass"), 1)
        self.granted(device)

    # ---- shadow ----

    def test_a_rule_in_shadow_does_nothing(self):
        every = "reattest, revoke_session, revoke_grants, revoke_key, hold_generate, page, open_case"
        self.start(rule(every, when="n >= 2", more=", hard: true, mode: shadow"))
        device = self.enrolled("one")
        tickets = self.granted(device, 4)
        self.assertIn("until", self.lease(device, tickets[0]))
        self.assertEqual(self.get("audit?limit=100&type=fraud.effect")["items"], [])
        self.assertEqual(self.get("decisions?cases=1")["items"], [])

    # ---- revocations ----

    def test_revoke_session_refuses_everything_until_attested(self):
        self.start(rule("revoke_session"))
        device, other = self.enrolled("one"), self.enrolled("other")
        ticket = self.granted(device)[0]
        theirs = self.granted(other)[0]
        self.refused(device, "attest")
        self.assertEqual(self.lease(device, ticket).get("refused"), "attest")
        self.assertIn("until", self.lease(other, theirs))
        self.assertEqual(self.attest(device).status, 201)
        self.assertIn("until", self.lease(device, ticket))
        self.granted(device)
        self.assertEqual((len(self.audited("revoke_session")), self.counted("revoke_session")), (1, 1))

    def test_revoke_grants_takes_the_tickets_of_this_device(self):
        self.start(rule("revoke_grants", when="n == 3"))
        device, second = self.enrolled("one"), self.enrolled("one")
        tickets, theirs = self.granted(device, 2), self.granted(second)[0]
        self.granted(device)  # made after that decision
        for t in tickets:
            self.assertEqual(self.lease(device, t).get("refused"), "revoked")
        self.assertIn("until", self.lease(second, theirs))
        self.granted(device)
        self.assertEqual((len(self.audited("revoke_grants")), self.counted("revoke_grants")), (1, 1))

    def test_a_refund_takes_the_tickets_of_all_devices_of_the_user(self):
        self.start(rule("revoke_grants", when="r >= 1", on="pay.refund", entity="user"))
        device, second, other = self.enrolled("one"), self.enrolled("one"), self.enrolled("other")
        have = [(d, self.granted(d)[0]) for d in (device, second, other)]
        key = self.service_key()
        user = next(u for u in self.get("users")["items"] if u["subject"] == "one")["id"]
        line = {"v": 1, "id": "r1", "ts": int(time.time() * 1000), "src": "backend",
                "type": "pay.refund", "subj": {"user": user}}
        answer = self.server.ask("POST", "/v1/events/backend", json.dumps(line).encode() + b"\n",
                                 {"Authorization": "Bearer " + key,
                                  "Content-Type": "application/x-ndjson"})
        self.assertEqual((answer.status, answer.json().get("accepted")), (200, 1), answer.body)
        self.assertEqual([self.lease(d, t).get("refused") for d, t in have],
                         ["revoked", "revoked", None])
        found = [d for d in self.get("decisions?user=" + user)["items"] if d["point"] == "event"]
        self.assertEqual([d["effects"] for d in found], ["revoke_grants"], found)

    def service_key(self):
        answer = self.operator("POST", "/v1/admin/keys", {"name": "pay", "scopes": ["events"]})
        self.assertEqual(answer.status, 201, answer.body)
        return answer.json()["key"]

    def test_revoke_key_revokes_the_device(self):
        self.start(rule("revoke_key", more=", hard: true"))
        device, other = self.enrolled("one"), self.enrolled("one")
        ticket = self.granted(device)[0]
        self.refused(device, "enrol")
        self.assertEqual(self.lease(device, ticket).get("refused"), "revoked")
        self.assertTrue(self.get("devices/" + b64(device.id))["revoked"])
        self.assertEqual(len(self.audited("revoke_key", "device.revoke")), 1)
        self.assertIn("device.revoke", self.types(device))
        self.granted(other)

    def test_a_claim_alone_revokes_nothing(self):
        self.start(rule("revoke_grants", when="s >= 1", on="model.open_fail, model.grant"))
        device = self.enrolled("one")
        ticket = self.granted(device)[0]
        sent = device.events(1, bytes(32), [{1: 2, 2: int(time.time())}])  # one that failed to open
        answer = device.ask("POST", "/v1/events", {"batch": b64(sent)})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertIn("until", self.lease(device, ticket))
        self.refused(device, "attest")
        self.assertEqual((self.counted("revoke_grants"), self.counted("reattest")), (0, 1))

    # ---- holding, people ----

    def test_hold_generate_makes_the_device_wait(self):
        self.start(rule("hold_generate"))
        device, other = self.enrolled("one"), self.enrolled("other")
        ticket = self.granted(device)[0]
        self.granted(other)
        for _ in range(2):
            wait = int(self.refused(device, "wait").headers["retry-after"])
            self.assertTrue(500 < wait <= 600, wait)
        self.assertIn("until", self.lease(device, ticket))
        self.assertEqual(self.counted("hold_generate"), 1)
        self.assertEqual(device.enrol(self.token).status, 201)  # not the way around it
        self.refused(device, "wait")

    def test_a_case_is_listed_once(self):
        self.start(rule("open_case, page, alert_owner", when="n >= 2"))
        device = self.enrolled("one")
        self.granted(device, 4)
        found = self.get("decisions?cases=1")["items"]
        self.assertEqual([d["effects"] for d in found], ["open_case,alert_owner,page"], found)
        self.assertEqual([self.counted(k) for k in ("open_case", "page", "alert_owner")], [1, 1, 1])
        self.assertEqual(self.operator("GET", "/v1/admin/decisions?cases=2").status, 400)

    def test_a_case_is_told_to_webhooks_once(self):
        receiver = Receiver()
        self.addCleanup(receiver.close)
        folder = tempfile.mkdtemp(prefix="earmark-effects-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "secret")
        with open(path, "w", encoding="ascii") as f:
            f.write(secret(KEY))
        os.chmod(path, 0o600)
        target = {"name": "desk", "url": receiver.url, "secret_file": path, "kinds": ["fraud.case"]}
        self.start(rule("page", when="n >= 2"), webhooks={"targets": [target], "retry": "50ms"})
        first, second = self.enrolled("one"), self.enrolled("other")
        self.granted(first, 4)
        self.granted(second, 2)
        got = [json.loads(body) for _, body, _ in receiver.wait(2)]
        self.assertEqual([(m["type"], m["data"]["effects"], m["data"]["device"]) for m in got],
                         [("fraud.case", "page", b64(d.id)) for d in (first, second)], got)
        kept = self.get("decisions/" + got[0]["data"]["decision"])
        self.assertEqual((kept["effects"], kept["action"]), ("page", "allow"))

    # ---- what rules may not ask for ----

    def test_rules_that_cannot_do_what_they_say_do_not_load(self):
        for bad, why in ((rule("revoke_key"), "hard: true"),
                         (rule("reattest", entity="net", when="subj.net_kind == 'x'"), "open_case")):
            self.start(bad, wait=False)
            self.assertNotEqual(self.server.process.wait(60), 0)
            self.assertIn(why, self.server.log())
            self.server.close()


if __name__ == "__main__":
    unittest.main()
