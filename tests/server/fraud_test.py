#!/usr/bin/env python3
"""The fraud engine inside the real server: what it stops, and that it remembers after a restart.
EARMARKD=bin/earmarkd fraud_test.py"""
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import earmarkd
from earmarkd import Server

try:
    from device import Device, b64, unb64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

RULES = """
ruleset: {name: t, version: %d, detection_paranoia: 2, blocking_paranoia: 1}
families: {a: {cap: 10}}
features:
  n: {kind: count, key: subj.user, window: 24h, on: [model.grant]}
rules:
- {id: A1, name: few, family: a, entity: subj.user, on: [model.grant], when: "n >= %d", score: 9,
   half_life: 6h, reason: few, tests: [{fire: {n: %d}}]}
"""


def log_lines(server):
    folder = os.path.join(server.dir, "dev", "data", "fraud")
    lines = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".jsonl"):
            with open(os.path.join(folder, name), encoding="ascii") as f:
                lines += [json.loads(line) for line in f]
    return lines


class Case(unittest.TestCase):
    """A server of --dev, its operator and what they do."""

    def setUp(self):
        self.server = Server()
        self.token = self.server.dev()["operator_token"]

    def tearDown(self):
        self.server.close()

    def operator(self, method, path, body=None, headers=None):
        return self.server.ask(method, path, body,
                               {"Authorization": "Bearer " + self.token, **(headers or {})})

    def enrolled(self, user):
        device = Device(self.server, user)
        answer = device.enrol(self.token)
        self.assertEqual(answer.status, 201, answer.body)
        return device


class Fraud(Case):
    def put_model(self, name, query=""):
        answer = self.operator("PUT", f"/v1/models/{name}/1{query}", os.urandom(500),
                               {"Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)

    def publish(self, n):
        for i in range(n):
            self.put_model(f"m{i}")

    def scrape(self, device, n):
        """Statuses of one ticket after the other, each for another model."""
        return [device.ticket(model=f"m{i}").status for i in range(n)]

    def restart(self, how=signal.SIGTERM):
        self.server.stop(how)
        os.truncate(self.server.log_path, 0)
        self.server.start()
        self.token = self.server.dev()["operator_token"]

    def assert_throttled(self, answer):
        self.assertEqual(answer.status, 403, answer.body)
        self.assertEqual(answer.json()["help"], "wait", answer.body)
        self.assertIn("retry-after", answer.headers)

    def test_scraping_is_throttled_and_the_server_remembers(self):
        self.publish(45)
        device, other = self.enrolled("scraper"), self.enrolled("somebody")
        got = self.scrape(device, 45)
        self.assertEqual(got[:8], [201] * 8, got)
        first = got.index(403)
        self.assertLess(first, 20)
        self.assertEqual(set(got[first:]), {403}, got)
        self.assert_throttled(device.ticket(model="m0"))
        self.assertEqual(other.ticket(model="m0").status, 201)
        for how in (signal.SIGTERM, signal.SIGKILL):
            self.restart(how)
            device.wire.close()
            self.assert_throttled(device.ticket(model="m0"))

    def test_a_canary_bans_at_the_next_lease(self):
        self.put_model("honest", "?lease_s=3600")
        self.put_model("decoy", "?decoy=1")
        device, other = self.enrolled("curious"), self.enrolled("somebody")
        tickets = [d.ticket(model="honest") for d in (device, other)]
        self.assertEqual([t.status for t in tickets], [201, 201], tickets[0].body)
        device.ticket(model="decoy")
        got = []
        for d, t in zip((device, other), tickets):
            ticket = unb64(t.json()["ticket"])
            got.append(d.ask("POST", "/v1/leases", {"request": b64(d.lease_request(ticket))}).json())
        self.assertEqual(got[0]["refused"], "revoked", got[0])
        self.assertIn("until", got[1])
        self.restart()
        device.wire.close()
        self.assertEqual(device.ticket(model="honest").status, 403)

    def test_going_on_after_a_throttle_is_denied(self):
        self.publish(45)
        device = self.enrolled("scraper")
        self.scrape(device, 45)
        last = [device.ticket(model=f"m{i}") for i in range(45)][-1].json()
        self.assertNotIn("scraper", json.dumps(last))
        log = log_lines(self.server)
        self.assertTrue(all(line["v"] == 1 for line in log))
        self.assertTrue(any(line["type"] == "model.grant" for line in log))


class Signals(Case):
    """What gate and routes refuse reaches the engine, and only who did it answers for it."""

    def publish(self):
        answer = self.operator("PUT", "/v1/models/model/1", os.urandom(500),
                               {"Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)

    def risk(self, device):
        answer = self.operator("GET", f"/v1/admin/devices/{b64(device.id)}/risk")
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def rules(self, device):
        return {r["id"] for r in self.risk(device)["now"].get("rules", [])}

    def decision(self, refusal):
        """What is kept of the decision that an answer names."""
        answer = self.operator("GET", "/v1/admin/decisions/" + refusal.json()["decision"])
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def replay(self, device, sent):
        """The same bytes again."""
        return device.wire.ask("POST", "/v1/tickets", sent[1], sent[0])

    def captured(self, device):
        """A signed request that was answered, as somebody on the way would have it."""
        data = json.dumps({"request": b64(device.request())}).encode()
        sent = {**device.signed_headers("POST", "/v1/tickets", data), "Content-Type": "application/json"}
        answer = device.wire.ask("POST", "/v1/tickets", data, sent)
        self.assertEqual(answer.status, 201, answer.body)
        return sent, data

    def test_a_replay_is_seen_and_many_are_denied(self):
        self.publish()
        device, other = self.enrolled("replayed"), self.enrolled("somebody")
        self.assertEqual(device.ticket().status, 201)
        sent = self.captured(device)
        self.assertEqual(self.replay(device, sent).status, 401)
        self.assertEqual(self.rules(device), {"RP-501"})
        self.assertEqual(device.ticket().status, 201)
        end = time.time() + 120
        while "RP-502" not in self.rules(device) and time.time() < end:
            self.assertEqual(self.replay(device, sent).status, 401)
            time.sleep(0.3)
        refused = device.ticket()
        self.assertEqual(refused.status, 403, refused.body)
        kept = self.decision(refused)
        self.assertIn("RP-502", kept["rules"])
        self.assertEqual(kept["action"], "deny")
        self.assertEqual(other.ticket().status, 201)

    def forge(self, device):
        """A request in the name of a device, signed by another key."""
        forged = Device(self.server, device.user)
        forged.id, forged.nonce, forged.counter = device.id, device.nonce, device.counter + 100
        answer = forged.ask("POST", "/v1/receipts", {"receipt": "AAAA"}, tries=1)
        forged.wire.close()
        return answer.status

    def test_forged_requests_slow_their_network_and_frame_nobody(self):
        self.publish()
        victim = self.enrolled("victim")
        self.assertEqual(victim.ticket().status, 201)
        self.assertEqual({self.forge(victim) for _ in range(25)}, {401})
        self.assertEqual(self.rules(victim), set())
        self.assertEqual(self.risk(victim)["now"]["action"], "allow")
        slowed = victim.ticket()  # from the network of the forger
        self.assertEqual((slowed.status, slowed.json()["help"]), (403, "wait"), slowed.body)
        self.assertIn("SG-503", self.decision(slowed)["rules"])
        self.assertEqual(self.rules(victim), set())
        self.assertEqual(self.risk(victim)["now"]["action"], "allow")
        lines = [e for e in log_lines(self.server) if e["type"] == "sig.fail"]
        self.assertGreaterEqual(len(lines), 10)
        self.assertTrue(all(not {"user", "device"} & set(e["subj"]) for e in lines), lines[0])

    def test_a_flood_of_forged_requests_does_not_flood_the_log(self):
        victim = self.enrolled("victim")
        victim.ask("POST", "/v1/receipts", {"receipt": "AAAA"})  # for a nonce
        for _ in range(90):
            self.forge(victim)
        lines = [e for e in log_lines(self.server) if e["type"] == "sig.fail"]
        self.assertLess(len(lines), 90)
        told, dropped = (self.server.metric(f'earmark_fraud_signals_total{{result="{k}"}}')
                         for k in ("told", "dropped"))
        self.assertEqual((told, told + dropped), (len(lines), 90))

    def test_receipts_for_others_are_counted(self):
        self.publish()
        device, other = self.enrolled("owner"), self.enrolled("meddler")
        ticket = unb64(device.ticket().json()["ticket"])
        for _ in range(3):
            answer = other.ask("POST", "/v1/receipts", {"receipt": b64(other.receipt(ticket))})
            self.assertEqual(answer.status, 404, answer.body)
        self.assertEqual(self.rules(other), {"RE-706"})
        self.assertEqual(self.rules(device), set())
        self.assertEqual(other.ticket().json().get("help"), "attest")
        self.assertEqual(device.ticket().status, 201)

    def test_refused_enrolments_slow_the_next_of_the_network(self):
        for i in range(28):
            answer = Device(self.server, f"nobody{i}").enrol(self.token, {"kind": "tpm", "hello": "AAAA"})
            self.assertIn(answer.status, (403, 422), answer.body)
        lines = [e for e in log_lines(self.server) if e["type"] == "device.enroll_refused"]
        self.assertEqual(len(lines), 28)
        self.assertTrue(all(not {"user", "device"} & set(e["subj"]) for e in lines), lines[0])
        self.assertEqual(self.rules(self.enrolled("late")), {"FL-708"})


class Groups(unittest.TestCase):
    """A group that acts in lockstep: found by the job, banned by a person, and by nobody else."""

    def setUp(self):
        self.server = Server()
        self.token = self.server.dev()["operator_token"]

    def tearDown(self):
        self.server.close()

    def ask(self, method, path, body=None, headers=None, status=200):
        answer = self.server.ask(method, "/v1/admin/" + path, body,
                                 {"Authorization": "Bearer " + self.token, **(headers or {})})
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def ring(self, n):
        for i in range(4):
            answer = self.server.ask("PUT", f"/v1/models/m{i}/1", os.urandom(300),
                                     {"Authorization": "Bearer " + self.token,
                                      "Content-Type": "application/octet-stream"})
            self.assertEqual(answer.status, 201, answer.body)
        devices = [Device(self.server, f"ring{i}") for i in range(n)]
        for d in devices:
            self.assertEqual(d.enrol(self.token).status, 201)
        for i in range(4):
            for d in devices:
                self.assertEqual(d.ticket(model=f"m{i}").status, 201)
        return devices

    def test_a_group_is_proposed_approved_and_withdrawn(self):
        ring = self.ring(6)
        self.assertEqual(self.ask("POST", "campaigns", {"reason": "now"}), {"proposed": 1})
        self.assertEqual(self.ask("POST", "campaigns", {"reason": "again"}), {"proposed": 0})
        found = self.ask("GET", "campaigns")["items"]
        self.assertEqual([(f["state"], f["members"], f["kind"]) for f in found], [("proposed", 6, "lockstep")])
        self.assertEqual(found[0]["evidence"], "artifacts_together=4")
        one = "campaigns/" + found[0]["id"]
        self.assertEqual(len(self.ask("GET", one)["users"]), 6)
        self.assertEqual(ring[0].ticket(model="m0").status, 201)  # nothing happened yet
        self.ask("POST", one + "/withdraw", {"reason": "not approved"}, status=409)
        self.ask("POST", one + "/approve", {"reason": "blindly"}, status=400)
        seen = self.ask("GET", one)["seen"]
        self.ask("POST", one + "/approve", {"reason": "other ones", "seen": "A" * 12}, status=409)
        self.ask("POST", one + "/approve", {"reason": "they are one", "seen": seen, "within": 0}, status=204)
        self.assertEqual([d.ticket(model="m1").status for d in ring], [403] * 6)
        self.ask("POST", one + "/approve", {"reason": "twice", "seen": seen}, status=409)
        self.assertEqual(self.ask("GET", one)["state"], "approved")
        self.assertEqual(self.ask("POST", "campaigns", {"reason": "decided upon"}), {"proposed": 0})
        lines = [line for line in self.log() if line["type"] == "admin.ban"]
        self.assertEqual(len(lines), 6)
        self.assertEqual({line["res"]["reason"] for line in lines}, {"campaign"})
        self.assertIn("campaign.approve", json.dumps(self.ask("GET", "audit?limit=50")))
        self.ask("POST", one + "/withdraw", {"reason": "a school class"}, status=204)
        self.assertEqual(ring[0].ticket(model="m2").status, 201)
        for d in ring:
            d.wire.close()

    def log(self):
        folder = os.path.join(self.server.dir, "dev", "data", "fraud")
        lines = []
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name), encoding="ascii") as f:
                    lines += [json.loads(line) for line in f if line.strip()]  # erased ones are blank
        return lines

    def test_who_saw_other_members_does_not_approve(self):
        ring = self.ring(5)
        self.ask("POST", "campaigns", {"reason": "now"})
        one = "campaigns/" + self.ask("GET", "campaigns")["items"][0]["id"]
        for act in ("approve", "refuse"):
            self.ask("POST", f"{one}/{act}", {"reason": "they are four", "members": 4}, status=409)
        self.assertEqual(self.ask("GET", one)["state"], "proposed")
        self.assertEqual(ring[0].ticket(model="m0").status, 201)
        self.ask("POST", one + "/approve", {"reason": "they are five", "members": 5, "within": 0}, status=204)
        self.assertIn(one.replace("campaigns/", "campaign:"), json.dumps(self.ask("GET", "audit?limit=50")))
        for d in ring:
            d.wire.close()

    def test_of_two_who_decide_at_once_one_is_told_that_it_was_decided(self):
        ring = self.ring(5)
        self.ask("POST", "campaigns", {"reason": "now"})
        one = "campaigns/" + self.ask("GET", "campaigns")["items"][0]["id"]
        got, start = {}, threading.Barrier(2)

        def decide(act):
            start.wait(60)
            body = {"reason": "at once", "members": 5, **({"within": 0} if act == "approve" else {})}
            got[act] = self.server.ask("POST", f"/v1/admin/{one}/{act}", body,
                                       {"Authorization": "Bearer " + self.token}).status

        both = [threading.Thread(target=decide, args=(act,)) for act in ("approve", "refuse")]
        for t in both:
            t.start()
        for t in both:
            t.join()
        self.assertEqual(sorted(got.values()), [204, 409], got)
        banned = len([line for line in self.log() if line["type"] == "admin.ban"])
        self.assertEqual((self.ask("GET", one)["state"], banned),
                         ("approved", 5) if got["approve"] == 204 else ("refused", 0))
        for d in ring:
            d.wire.close()

    def test_an_approval_acts_on_all_members_at_a_later_time(self):
        ring = self.ring(5)
        self.ask("POST", "campaigns", {"reason": "now"})
        one = "campaigns/" + self.ask("GET", "campaigns")["items"][0]["id"]
        self.ask("POST", one + "/approve", {"reason": "too late", "members": 5, "within": 21601}, status=400)
        began = int(time.time())
        self.ask("POST", one + "/approve", {"reason": "they are one", "members": 5}, status=204)
        waits = self.ask("GET", one)
        self.assertEqual(waits["state"], "waiting")
        due = datetime.datetime.fromisoformat(waits["due"].replace("Z", "+00:00")).timestamp()
        self.assertTrue(began <= due <= time.time() + 21600, due)
        self.assertEqual([line for line in self.log() if line["type"] == "admin.ban"], [])
        self.ask("POST", one + "/approve", {"reason": "again", "members": 5}, status=409)
        self.ask("POST", one + "/withdraw", {"reason": "a school class"}, status=204)
        self.assertEqual(self.ask("GET", one)["state"], "withdrawn")
        self.assertEqual([line for line in self.log() if line["type"] in ("admin.ban", "admin.unban")], [])
        for d in ring:
            d.wire.close()

    def test_what_waits_acts_when_its_time_has_come(self):
        ring = self.ring(5)
        self.ask("POST", "campaigns", {"reason": "now"})
        one = "campaigns/" + self.ask("GET", "campaigns")["items"][0]["id"]
        self.ask("POST", one + "/approve", {"reason": "they are one", "members": 5, "within": 1}, status=204)
        give_up = time.monotonic() + 60
        while self.ask("GET", one)["state"] != "approved":
            self.assertLess(time.monotonic(), give_up)
            self.ask("POST", "campaigns", {"reason": "look again"})
            time.sleep(0.2)
        self.assertEqual([d.ticket(model="m1").status for d in ring], [403] * 5)
        self.assertEqual(len({line["ts"] for line in self.log() if line["type"] == "admin.ban"}), 1)
        for d in ring:
            d.wire.close()

    def test_who_is_erased_is_in_no_group_any_more(self):
        ring = self.ring(6)
        self.ask("POST", "campaigns", {"reason": "now"})
        one = "campaigns/" + self.ask("GET", "campaigns")["items"][0]["id"]
        users = [u["user"] for u in self.ask("GET", one)["users"]]
        seen = self.ask("GET", one)["seen"]
        self.ask("POST", f"users/{users[2]}/erase", {"basis": "they asked"})
        left = self.ask("GET", one)
        self.assertNotEqual(left["seen"], seen)
        self.ask("POST", one + "/approve", {"reason": "all six", "seen": seen}, status=409)
        self.assertEqual([u["user"] for u in left["users"]], users[:2] + users[3:])
        self.assertEqual((left["members"], left["state"]), (5, "proposed"))
        self.ask("POST", one + "/approve", {"reason": "they are one", "members": 5, "within": 0}, status=204)
        self.assertNotIn(users[2], json.dumps(self.log()))
        for d in ring:
            d.wire.close()

    def test_a_refused_group_is_left_alone(self):
        ring = self.ring(5)
        self.ask("POST", "campaigns", {"reason": "now"})
        one = "campaigns/" + self.ask("GET", "campaigns")["items"][0]["id"]
        self.ask("POST", one + "/refuse", {"reason": "friends"}, status=204)
        self.assertEqual(ring[0].ticket(model="m0").status, 201)
        self.ask("POST", one + "/approve", {"reason": "after all"}, status=409)
        self.ask("GET", "campaigns/" + "A" * 22, status=404)
        for d in ring:
            d.wire.close()


class Rules(unittest.TestCase):
    def test_a_bad_rule_set_changes_nothing_and_a_good_one_does(self):
        server = Server()
        path = os.path.join(server.dir, "rules.yaml")
        server.close()
        os.makedirs(server.dir, exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(RULES % (1, 3, 3))
        config = {"fraud": {"rules": path}}
        server = Server(config)
        try:
            with open(path, "w", encoding="ascii") as f:
                f.write(RULES % (2, 3, 2))  # its own test fails
            server.process.send_signal(signal.SIGHUP)
            self.wait(server, "the fraud rules stay as they were")
            self.assertIn("rules.yaml:", server.log())
            with open(path, "w", encoding="ascii") as f:
                f.write(RULES % (3, 2, 2))
            server.process.send_signal(signal.SIGHUP)
            time.sleep(1)
            self.assertEqual(server.log().count("the fraud rules stay as they were"), 1)
        finally:
            server.close()

    def test_a_server_does_not_start_with_bad_rules(self):
        server = Server()
        server.close()
        os.makedirs(server.dir, exist_ok=True)
        path = os.path.join(server.dir, "rules.yaml")
        with open(path, "w", encoding="ascii") as f:
            f.write("ruleset: {")
        bad = Server({"fraud": {"rules": path}}, wait=False)
        try:
            self.assertNotEqual(bad.process.wait(15), 0)
            self.assertIn("the fraud engine does not start", bad.log())
        finally:
            bad.close()

    def wait(self, server, text):
        for _ in range(100):
            if text in server.log():
                return
            time.sleep(0.05)
        self.fail(server.log())


MARKING = """
ruleset: {name: t, version: 1}
families: {a: {cap: 12}}
plan: {artifacts_hour: 36000}
features:
  n: {kind: count, key: subj.user, window: 24h, on: [model.grant]}
rules:
- {id: A12, name: few, family: a, entity: subj.user, on: [model.grant], when: "n >= 3", score: 12,
   half_life: 24h, reason: few}
"""


class Marked(Case):
    """Whoever worsens from throttle to mark is throttled as before, and gets something else."""

    def setUp(self):
        server = Server()
        path = os.path.join(server.dir, "rules.yaml")
        server.close()
        os.makedirs(server.dir, exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(MARKING)
        self.server = Server({"fraud": {"rules": path}, "api": {"attestation_none": True, "ticket_without_token": True}})
        self.token = self.server.make_operator()

    def test_a_marked_user_waits_and_gets_a_short_marked_variant(self):
        answer = self.operator("PUT", "/v1/models/m/1", os.urandom(300), {"Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)
        device = self.enrolled("worse")
        first = [device.ticket(model="m") for _ in range(3)]
        self.assertEqual([a.status for a in first], [201, 201, 403], first[2].body)
        self.assertEqual(first[2].json()["help"], "wait")
        self.assertEqual(first[2].headers["retry-after"], "1")
        until, answer = time.monotonic() + 60, first[2]
        while answer.status == 403 and time.monotonic() < until:
            time.sleep(0.3)
            answer = device.ticket(model="m")
        self.assertEqual(answer.status, 201, answer.body)
        plain, marked = (self.operator("GET", "/v1/admin/tickets/" + a.json()["id"]).json() for a in (first[0], answer))
        self.assertEqual((plain.get("marked", False), marked["marked"]), (False, True))
        # Shortened: a lease that has to be renewed, which a plain one need not.
        self.assertEqual((plain.get("lease_s", 0), marked["lease_s"] > 0), (0, True), (plain, marked))
        device.wire.close()


EARMARK = os.environ.get("EARMARK", "")


class Promotion(unittest.TestCase):
    """A draft becomes live when its numbers suffice; the files lie where the server may write."""

    def setUp(self):
        self.server = Server({"server": {}}, wait=False)  # for its folder
        self.addCleanup(lambda: self.server.close())
        self.server.process.kill()
        self.server.process.wait()
        shutil.rmtree(os.path.join(self.server.dir, "data"), ignore_errors=True)
        folder = os.path.join(self.server.dir, "data", "rules")
        os.makedirs(folder, mode=0o700)
        os.chmod(os.path.dirname(folder), 0o700)
        self.live, self.draft = (os.path.join(folder, n) for n in ("live.yaml", "draft.yaml"))
        self.write(self.live, RULES % (1, 100, 100))
        self.write(self.draft, RULES % (2, 200, 200))
        self.server.write_config({
            "api": {"attestation_none": True, "devices_per_user": 0, "ticket_without_token": True},
            "fraud": {"rules": self.live, "draft": self.draft, "shadow_time": 0,
                      "shadow_decisions": 4}})
        os.truncate(self.server.log_path, 0)
        self.server.process.stdout.close()
        self.server.start()
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               self.server.config_path(), "--generate"], capture_output=True, check=True)
        self.password = made.stdout.decode().strip()
        self.login()

    def login(self):
        self.token = None
        self.token = self.ask("POST", "sessions", {"name": "ann", "password": self.password})["token"]
        self.token = self.ask("POST", "sessions/step-up", {"password": self.password})["token"]

    def write(self, path, text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    def read(self, path):
        with open(path, encoding="ascii") as f:
            return f.read()

    def ask(self, method, path, body=None, status=None):
        headers = {"Authorization": "Bearer " + self.token} if self.token else {}
        answer = self.server.ask(method, "/v1/admin/" + path, body, headers)
        if status is None:
            self.assertLess(answer.status, 300, answer.body)
        else:
            self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def engine(self):
        return self.ask("GET", "fraud")

    def use(self, n):
        """At least n decisions."""
        for i in range(n):
            device = Device(self.server, f"somebody{i}")
            self.assertEqual(device.enrol(self.token).status, 201)
            device.ticket(model="none")
            device.wire.close()

    def restart(self, how):
        self.server.stop(how)
        os.truncate(self.server.log_path, 0)
        self.server.start()
        self.login()

    def cli(self, *words):
        token = os.path.join(self.server.dir, "session")
        with open(token, "w", encoding="ascii") as f:
            f.write(self.token + "\n")
        os.chmod(token, 0o600)
        return subprocess.run([EARMARK, "admin", "rules", *words, "--server",
                               f"http://127.0.0.1:{self.server.port}", "--token", token],
                              capture_output=True, text=True, timeout=60)

    def changes(self):
        return [(i["type"], i.get("object"), i.get("is", "")) for i in
                self.ask("GET", "audit?type=rules&limit=100")["items"]]

    def test_a_draft_waits_is_promoted_and_rolled_back(self):
        answer = self.ask("POST", "fraud/promote", {"reason": "early"}, 409)
        self.assertEqual([(f["condition"], f["is"], f["at_least"]) for f in answer["failed"]],
                         [("decisions", 0, 4)], answer)
        self.ask("POST", "fraud/rollback", {"reason": "nothing"}, 409)
        self.use(4)
        self.restart(signal.SIGKILL)  # what was seen is not lost, or is seen again
        self.use(4)
        self.assertTrue(self.engine()["draft"]["ready"], self.engine())
        self.ask("POST", "fraud/promote", {"reason": "enough"}, 204)
        self.assertTrue(self.engine()["ruleset"].startswith("t@2#"))
        self.assertEqual(self.read(self.live), self.read(self.draft))
        self.assertNotIn("draft", self.engine())
        self.restart(signal.SIGKILL)
        self.assertTrue(self.engine()["ruleset"].startswith("t@2#"))
        self.ask("POST", "fraud/rollback", {"reason": "worse"}, 204)
        self.assertTrue(self.engine()["ruleset"].startswith("t@1#"))
        self.assertEqual(self.read(self.live), RULES % (1, 100, 100))
        self.assertFalse(self.engine()["can_roll_back"])
        found = self.changes()
        kinds = [f[:2] for f in found]
        # The intent stands before the effect.
        at = kinds.index(("rules.promote", "rules"))
        self.assertEqual(kinds[at + 1], ("rules.change", "promote"), found)
        at = kinds.index(("rules.rollback", "rules"))
        self.assertEqual(kinds[at + 1], ("rules.change", "rollback"), found)

    def test_force_needs_a_reason_and_is_in_the_audit_log(self):
        self.ask("POST", "fraud/promote", {"force": True}, 400)
        self.ask("POST", "fraud/promote", {"force": True, "reason": "an attack"}, 204)
        self.assertTrue(self.engine()["ruleset"].startswith("t@2#"))
        forced = [f for f in self.changes() if f[0] == "rules.promote"]
        self.assertEqual(len(forced), 1)
        self.assertTrue(forced[0][2].endswith(", forced"), forced)
        self.ask("POST", "fraud/promote", {"force": True, "reason": "again"}, 409)

    def denying(self):
        """The draft gets a rule that can deny, and runs."""
        self.write(self.draft, RULES % (3, 200, 200) + "- {id: H, name: h, family: a, entity: subj.user, "
                   "on: [canary.touch], when: 'true', score: 3, half_life: 1h, hard: true, reason: r}\n")
        self.restart(signal.SIGTERM)
        self.use(4)

    def second(self, name):
        """Another operator; the first one's password, and the new one's."""
        first, token = self.password, self.token
        self.server.make_operator(name)
        self.token = token
        return first, self.server.password

    def as_(self, name, password):
        self.token = None
        self.token = self.ask("POST", "sessions", {"name": name, "password": password})["token"]
        self.token = self.ask("POST", "sessions/step-up", {"password": password})["token"]

    def test_a_draft_that_denies_needs_another_operator(self):
        self.denying()
        draft = self.engine()["draft"]
        self.assertEqual((draft["can_deny_more"], draft["needs_approval"]), ("rule H is new and can deny", False))
        ann, bob = self.second("bob")
        self.assertTrue(self.engine()["draft"]["needs_approval"])
        answer = self.ask("POST", "fraud/promote", {"reason": "alone"}, 409)
        self.assertEqual([(f["condition"], f["is"], f["at_least"]) for f in answer["failed"]], [("approvals", 0, 1)])
        self.assertIn("rule H is new", answer["detail"])
        self.ask("POST", "fraud/promote", {"reason": "alone", "force": True}, 409)
        # Her own word is not a second one.
        self.ask("POST", "fraud/approve", {"reason": "I looked at it"}, 204)
        self.ask("POST", "fraud/promote", {"reason": "alone"}, 409)
        self.as_("bob", bob)
        self.ask("POST", "fraud/approve", {"reason": "an older one", "draft": "t@2#00000000"}, 409)
        label = self.engine()["draft"]["ruleset"]
        self.ask("POST", "fraud/approve", {"reason": "seen", "draft": label}, 204)
        self.as_("ann", ann)
        self.assertEqual(self.engine()["draft"]["approved_by"], "bob")
        self.ask("POST", "fraud/promote", {"reason": "two of us"}, 204)
        self.assertTrue(self.engine()["ruleset"].startswith("t@3#"))
        approved = [f for f in self.changes() if f[0] == "rules.approve"]
        self.assertEqual([f[2] for f in approved], [label, label])

    def test_an_approval_is_of_one_draft_and_of_who_may_still_give_it(self):
        self.denying()
        ann, bob = self.second("bob")
        self.as_("bob", bob)
        self.ask("POST", "fraud/approve", {"reason": "seen"}, 204)
        self.as_("ann", ann)
        self.assertFalse(self.engine()["draft"]["needs_approval"])
        self.write(self.draft, self.read(self.draft).replace("score: 3", "score: 4"))
        self.server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while not self.engine()["draft"]["needs_approval"] and time.monotonic() < until:
            time.sleep(0.1)
        self.ask("POST", "fraud/promote", {"reason": "another", "force": True}, 409)
        self.as_("bob", bob)
        self.ask("POST", "fraud/approve", {"reason": "seen again"}, 204)
        self.as_("ann", ann)
        self.assertFalse(self.engine()["draft"]["needs_approval"])
        self.ask("PUT", "operators/bob", {"disabled": True, "scopes": ["read", "rules"]})
        # Nobody else is there any more: alone again.
        self.assertNotIn("approved_by", self.engine()["draft"])
        self.ask("POST", "fraud/promote", {"reason": "alone", "force": True}, 204)

    def test_a_file_that_nobody_promoted_is_in_log_and_numbers(self):
        self.assertEqual(int(self.server.metric("earmark_fraud_rules_unpromoted_total")), 0)
        self.write(self.live, RULES % (7, 100, 100))
        self.server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while not self.engine()["ruleset"].startswith("t@7#") and time.monotonic() < until:
            time.sleep(0.1)
        self.assertEqual(int(self.server.metric("earmark_fraud_rules_unpromoted_total")), 1)
        self.assertIn(("rules.unpromoted", "decides"), [f[:2] for f in self.changes()])
        self.assertIn("nobody promoted these fraud rules", self.server.log())

    def test_rules_that_the_server_cannot_write_are_said_at_the_start(self):
        elsewhere = os.path.join(self.server.dir, "live.yaml")
        shutil.copy(self.live, elsewhere)
        self.server.stop(signal.SIGTERM)
        with open(self.server.config_path(), encoding="utf-8") as f:
            config = f.read()
        with open(self.server.config_path(), "w", encoding="utf-8") as f:
            f.write(config.replace(self.live, elsewhere))
        os.truncate(self.server.log_path, 0)
        self.server.start()
        self.login()
        self.assertIn("fraud.draft cannot be promoted: move the file of fraud.rules below server.data", self.server.log())
        self.assertFalse(self.engine()["can_promote"])
        answer = self.ask("POST", "fraud/promote", {"reason": "now", "force": True}, 409)
        self.assertIn("below server.data", answer["detail"])

    def test_a_kill_between_file_and_event_leaves_the_new_set(self):
        """As it lies on the disk then: the file is new, nothing else is."""
        self.server.stop(signal.SIGKILL)
        shutil.copy(self.draft, self.live)
        os.truncate(self.server.log_path, 0)
        self.server.start()
        self.login()
        self.assertTrue(self.engine()["ruleset"].startswith("t@2#"))
        self.ask("POST", "fraud/rollback", {"reason": "a test"}, 204)
        self.assertTrue(self.engine()["ruleset"].startswith("t@1#"))

    @unittest.skipUnless(EARMARK, "EARMARK names no program")
    def test_the_command_shows_refuses_and_promotes(self):
        shown = self.cli("show")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("decisions", shown.stdout)
        approved = self.cli("approve", "--reason", "seen")
        self.assertEqual(approved.returncode, 0, approved.stderr)
        refused = self.cli("promote", "--reason", "early")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("decisions is 0, and must be at least 4", refused.stderr)
        done = self.cli("promote", "--force", "--reason", "now")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.engine()["ruleset"].startswith("t@2#"))
        done = self.cli("rollback", "--reason", "back")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.engine()["ruleset"].startswith("t@1#"))


if __name__ == "__main__":
    unittest.main()
