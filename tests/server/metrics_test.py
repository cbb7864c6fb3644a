#!/usr/bin/env python3
"""What /metrics says, held against what happened; and deploy/earmark.rules.yml, held against what /metrics
says.    EARMARKD=bin/earmarkd metrics_test.py [Numbers|Overload|Alerts]"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import earmarkd
from earmarkd import Server

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
RULES = os.path.join(ROOT, "deploy/earmark.rules.yml")


def skip(why):
    print("SKIP " + why)
    sys.exit(77)


try:
    from device import Device, b64
except ImportError:
    skip("python3-cryptography is not here")


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class Numbers(unittest.TestCase):
    def setUp(self):
        self.server = Server({"api": {"attestation_none": True, "ticket_without_token": True},
                              "audit": {"verify": "1s"},
                              "limits": {"rates": [{"name": "device", "by": "device", "unit": "requests",
                                                    "quota": 10, "window": "1h"}]}})
        self.addCleanup(self.server.close)
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               self.server.config_path(), "--generate"], capture_output=True, check=True)
        self.token = self.server.ask("POST", "/v1/admin/sessions", {
            "name": "ann", "password": made.stdout.decode().strip()}).json()["token"]

    def metric(self, name):
        value = self.server.metric(name)
        self.assertIsNotNone(value, f"{name} is not in /metrics")
        return value

    def device(self, user="alice"):
        device = Device(self.server, user)
        self.assertEqual(device.enrol(self.token).status, 201)
        return device

    def test_decisions_clocks_levels_and_cost_are_counted(self):
        device = self.device()
        self.assertEqual(self.metric('earmark_attestations_total{level="0"}'), 1)
        self.assertEqual(device.ticket(use="u").status, 201)
        for part, n in (("live", 1), ("shadow", 1), ("draft", 0)):
            self.assertEqual(self.metric(f'earmark_decisions_total{{action="allow",part="{part}"}}'), n)
        self.assertEqual(self.metric("earmark_decision_seconds_count"), 1)
        self.assertEqual(self.metric("earmark_decision_score_count"), 1)
        self.assertEqual(self.metric('earmark_cost_units_total{result="spent"}'), 10)
        self.assertGreaterEqual(self.metric("earmark_device_clock_ahead_seconds_count") +
                                self.metric("earmark_device_clock_behind_seconds_count"), 1)
        self.assertEqual(self.metric('earmark_gate_decisions_total{reason="nonce-missing"}'), 1)
        body = device.enrol_body({"kind": "app_attest", "app": "a", "object": b64(b"x"),
                                  "key_id": b64(bytes(32))})
        self.assertGreaterEqual(self.server.ask("POST", "/v1/devices", body, {
            "Authorization": "Bearer " + self.token}).status, 400)
        self.assertEqual(self.metric("earmark_attestations_refused_total"), 1)

    def test_who_is_banned_costs_nothing(self):
        device = self.device()
        answer = self.server.ask("POST", "/v1/admin/lists/banned_devices",
                                 {"value": b64(device.id), "reason": "a test"},
                                 {"Authorization": "Bearer " + self.token})
        self.assertLess(answer.status, 300, answer.body)
        self.assertEqual(device.ticket(use="u").status, 403)
        self.assertEqual(self.metric('earmark_decisions_total{action="deny",part="live"}') +
                         self.metric('earmark_decisions_total{action="ban",part="live"}'), 1)
        self.assertEqual(self.metric('earmark_cost_units_total{result="spent"}'), 0)
        self.assertEqual(self.metric('earmark_cost_units_total{result="saved"}'), 10)
        self.assertEqual(self.metric("earmark_decision_seconds_count"), 0)

    def send(self, device, first, previous, n=1):
        batch = device.events(first, previous, [{1: 1, 2: int(time.time())} for _ in range(n)])
        return batch, device.ask("POST", "/v1/events", {"batch": b64(batch)})

    def test_batches_of_events_are_counted_by_what_became_of_them(self):
        device = self.device()
        batch, answer = self.send(device, 1, bytes(32), 2)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.metric('earmark_event_batches_total{result="accepted"}'), 1)
        self.assertEqual(self.metric("earmark_device_events_total"), 2)
        self.send(device, 8, bytes(32))
        self.assertEqual(self.metric('earmark_event_batches_total{result="gap"}'), 1)
        self.assertEqual(self.metric("earmark_device_events_missing_total"), 5)
        self.assertEqual(self.send(device, 3, bytes(32))[1].status, 409)
        self.assertEqual(self.metric('earmark_event_batches_total{result="forged"}'), 1)
        self.assertEqual(len(hashlib.sha256(batch).digest()), 32)

    def test_limits_say_that_they_are_near_before_they_refuse(self):
        device = self.device()
        near = []
        for _ in range(12):
            answer = device.ticket(use="u")
            near.append((answer.status, answer.headers.get("earmark-limit-near")))
        self.assertEqual(near[0], (201, None))
        self.assertIn((201, "device"), near)
        self.assertEqual(near[-1], (429, None))
        self.assertEqual(self.metric('earmark_limit_total{limit="device",result="near"}'),
                         near.count((201, "device")))
        self.assertEqual(self.metric('earmark_limit_total{limit="device",result="limited"}'),
                         near.count((429, None)))

    def test_the_server_looks_at_its_own_audit_log(self):
        self.assertTrue(wait_for(lambda: self.metric('earmark_audit_verify_total{result="done"}') >= 1))
        self.assertEqual(self.metric('earmark_audit_verify_result{verdict="intact"}'), 1)
        self.assertIn("earmark_audit_unsigned_entries", self.text())

    def test_the_server_says_when_its_audit_log_is_not_intact(self):
        entries, changed = os.path.join(self.server.dir, "data/journal/tile/entries"), set()

        def seen():
            """Changes what was written since, too: a tile that grew lies beside the one before."""
            for folder, _, files in os.walk(entries):
                for path in (os.path.join(folder, name) for name in files):
                    if path not in changed:
                        self.flip_last_bit(path)
                        changed.add(path)
            return self.metric('earmark_audit_verify_result{verdict="tampered"}') == 1

        self.assertTrue(wait_for(lambda: self.metric('earmark_audit_verify_result{verdict="intact"}') == 1))
        self.assertTrue(wait_for(seen))
        self.assertIn("the audit log is not intact", self.server.log())

    @staticmethod
    def flip_last_bit(path):
        with open(path, "r+b") as f:
            f.seek(-1, os.SEEK_END)
            last = f.read(1)[0]
            f.seek(-1, os.SEEK_END)
            f.write(bytes([last ^ 1]))

    def text(self):
        return self.server.ask("GET", "/metrics", internal=True).body.decode()

    def test_names_nobody_and_has_one_head_for_each_family(self):
        device = self.device("quetzalcoatl")
        device.ticket(use="u")
        text = self.text()
        self.assertNotIn("quetzalcoatl", text)
        self.assertNotIn(b64(device.id), text)
        families = re.findall(r"^# TYPE (\S+)", text, re.M)
        self.assertEqual(len(families), len(set(families)))
        for name in re.findall(r"^([a-z_]+)", text, re.M):
            self.assertTrue(name in families or re.sub("_(bucket|sum|count)$", "", name) in families, name)

    def test_every_rule_of_the_engine_is_there(self):
        self.assertGreater(len(re.findall(r"^earmark_rule_runs_total\{", self.text(), re.M)), 20)
        for name in ("hits", "shadow_hits", "unknown", "challenged", "challenges_passed"):
            self.assertIn(f"earmark_rule_{name}_total{{rule=", self.text())
        self.assertEqual(self.metric("earmark_fraud_breaker_open"), 0)
        self.assertEqual(self.metric('earmark_fraud_evicted_total{kind="user"}'), 0)


class Overload(unittest.TestCase):
    """Passwords keep two workers busy for good; what waits behind them is refused by its class."""

    def setUp(self):
        self.server = Server({"api": {"attestation_none": True}, "http": {"workers": 2, "streams": 1,
                                                                          "overload": "20ms"},
                              "limits": {"rates": [{"name": "all", "by": "all", "unit": "requests",
                                                    "quota": 1000000, "window": "1s"}]}})
        self.addCleanup(self.server.close)
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               self.server.config_path(), "--generate"], capture_output=True, check=True)
        self.login = {"name": "ann", "password": made.stdout.decode().strip()}
        self.token = {"Authorization": "Bearer " + self.server.ask("POST", "/v1/admin/sessions",
                                                                   self.login).json()["token"]}
        self.over = threading.Event()

    def guess(self):
        while not self.over.is_set():
            try:
                self.server.ask("POST", "/v1/admin/sessions", {**self.login, "password": "not this one"})
            except OSError:
                pass  # its turn comes later than a test waits

    def level(self):
        return self.server.metric("earmark_overload_level")

    def enrol(self):
        return self.server.ask("POST", "/v1/devices", {}, self.token)

    def test_sheds_by_class_and_lets_in_again(self):
        self.assertEqual(self.enrol().status, 400)
        threads = [threading.Thread(target=self.guess) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            self.assertTrue(wait_for(lambda: self.level() >= 100, 120))
            answer = self.enrol()
            self.assertEqual(answer.status, 503, answer.body)
            self.assertIn(b"temporary-reduced-capacity", answer.body)
            self.assertIn("retry-after", answer.headers)
            self.assertEqual(self.server.ask("GET", "/v1/admin/stats", None, self.token).status, 200)
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        self.assertTrue(wait_for(lambda: self.enrol().status == 400, 120))


class Alerts(unittest.TestCase):
    """Without Prometheus as far as it goes; with promtool (Debian: prometheus) all of it."""

    def setUp(self):
        with open(RULES, encoding="utf-8") as f:
            self.rules = f.read()

    def test_what_alerts_ask_for_is_in_metrics(self):
        server = Server()
        self.addCleanup(server.close)
        text = server.ask("GET", "/metrics", internal=True).body.decode()
        there = set(re.findall(r"^# TYPE (\S+)", text, re.M))
        for name in sorted(set(re.findall(r"\bearmark_[a-z_]+", self.rules))):
            self.assertIn(re.sub("_(bucket|count|sum)$", "", name), there)
        for metric, labels in set(re.findall(r"\b(earmark_[a-z_]+)\{([^}]*)\}", self.rules)):
            for label, how, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', labels):
                if label == "le" or label == "route":
                    self.assertIn(f'{label}="{value}"', text + 'route="issueTicket" le="0.25"')
                    continue
                seen = set(re.findall(metric + r'\{[^}]*\b' + label + r'="([^"]*)"', text))
                hits = [s for s in seen if re.fullmatch(value if how == "=~" else re.escape(value), s)]
                if metric not in ("earmark_http_request_seconds_bucket",):
                    self.assertTrue(hits, (metric, label, value, seen))

    def test_recorded_names_are_used_and_known(self):
        recorded = set(re.findall(r"record: (\S+)", self.rules))
        used = set(re.findall(r"\bearmark:[a-z_:0-9]+", re.sub(r"record: \S+", "", self.rules)))
        self.assertEqual(recorded, used)

    def test_each_alert_is_explained(self):
        with open(os.path.join(ROOT, "docs/operate/monitoring.md"), encoding="utf-8") as f:
            page = f.read()
        for name in re.findall(r"alert: (\w+)", self.rules):
            self.assertIn(f"`{name}`", page)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not here (Debian: prometheus)")
    def test_prometheus_takes_rules_and_numbers_and_fires_as_it_should(self):
        with tempfile.TemporaryDirectory() as folder:
            cases = os.path.join(folder, "alerts.yml")
            with open(os.path.join(ROOT, "tests/server/alerts.yml"), encoding="utf-8") as f:
                text = f.read().replace("earmark.rules.yml", RULES)
            with open(cases, "w", encoding="utf-8") as f:
                f.write(text)
            for words in (["check", "rules", RULES], ["test", "rules", cases]):
                run = subprocess.run(["promtool", *words], capture_output=True, text=True)
                self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        server = Server()
        self.addCleanup(server.close)
        text = server.ask("GET", "/metrics", internal=True).body
        run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        self.assertNotIn(b"error while linting", run.stdout + run.stderr)


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        skip("earmarkd is not built")
    unittest.main(verbosity=2)
