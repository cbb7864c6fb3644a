#!/usr/bin/env python3
"""The table of docs/spec/fraud-attacks.md, held against the rules: each row's rules fire on its
scenario.   EARMARK=bin/earmark attacks_test.py"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

EARMARK = os.environ.get("EARMARK", "")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RULES = os.path.join(ROOT, "rules", "base.yaml")
TABLE = os.path.join(ROOT, "docs", "spec", "fraud-attacks.md")
T0, MINUTE, HOUR, DAY = 1767225600000, 60000, 3600000, 86400000
RULE = r"[A-Z]{2}-\d{3}"


def rows():
    with open(TABLE, encoding="utf-8") as f:
        for line in f:
            if re.match(r"\| \d+ \|", line):
                cells = [c.strip() for c in line.strip().strip("|").split("|")]
                yield {"n": int(cells[0]), "attack": cells[1], "signal": cells[2], "rules": rules_of(cells[3]),
                       "action": cells[4], "shown": re.findall(r"`([^`]+)`", cells[5]) if len(cells) > 5 else []}


def rules_of(text):
    """SC-301 to SC-303 are three."""
    found = set(re.findall(RULE, text))
    for kind, first, last in re.findall(r"([A-Z]{2})-(\d{3}) to [A-Z]{2}-(\d{3})", text):
        found |= {f"{kind}-{i:03}" for i in range(int(first), int(last) + 1)}
    return found


def earmark(*words):
    done = subprocess.run([EARMARK, "fraud", *words, "--json"], capture_output=True)
    out = json.loads(done.stdout)
    assert done.returncode == 0, out
    return out


class Log:
    """Events of one scenario."""

    def __init__(self):
        self.events = []

    def add(self, kind, ts, user="u", device="d", src="server", **more):
        subj = {k: v for k, v in {"user": user, "device": device}.items() if v}
        subj.update(more.pop("subj", {}))
        self.events.append({"v": 1, "id": f"e{len(self.events)}", "src": src, "type": kind, "ts": ts,
                            "subj": subj, **more})


def two_cities_within_the_hour(log):
    log.add("model.grant", T0, subj={"net": "203.0.113.0/24", "geo": [38.7, -9.1, 25]})
    log.add("model.grant", T0 + HOUR, subj={"net": "198.51.100.0/24", "geo": [35.7, 139.7, 25]})


def replays_again_and_again(log):
    for i in range(9):
        log.add("replay", T0 + i * 3000)


def ten_forged_requests_within_a_minute(log):
    for i in range(10):
        log.add("sig.fail", T0 + i * 1000, user=None, device=None, subj={"net": "203.0.113.0/24"})
    log.add("model.grant", T0 + 20000, subj={"net": "203.0.113.0/24"})


def reports_about_others(log):
    for i in range(4):
        log.add("report.foreign", T0 + i * MINUTE)


def a_flood_of_reports(log):
    for i in range(21):
        log.add("report.abuse", T0 + i * MINUTE)


def a_flood_of_refused_enrolments(log):
    for i in range(25):
        log.add("device.enroll_refused", T0 + i * 1000, user=None, device=None, subj={"net": "203.0.113.0/24"})
    log.add("device.enroll", T0 + MINUTE, subj={"net": "203.0.113.0/24"})


def one_fork_with_good_attestation(log):
    log.add("device.counter_fork", T0, att={"kind": "play", "level": 2, "app_ok": True})


def an_app_below_the_least_version(log):
    log.add("model.grant", T0, app={"ver": "3.0.0"}, plan={"min_ver": 4000000})


def a_version_that_goes_down(log):
    log.add("model.grant", T0, app={"ver": "5.0.0"})
    log.add("model.grant", T0 + MINUTE, app={"ver": "3.0.0"})


def thresholds_differ_between_devices(log, devices=range(12)):
    for i in range(40):
        for d in devices:
            log.add("model.grant", T0 + i * MINUTE + (i * 7919 + d * 104729) % 50000, user=f"u{d}",
                    device=f"d{d}", obj={"artifact": f"a{i}"})
    log.events.sort(key=lambda e: e["ts"])


def many_new_users_of_one_network(log):
    for i in range(25):
        log.add("model.grant", T0 + i * MINUTE, user=f"u{i}", device=f"d{i}", subj={"net": "203.0.113.0/24"})


ATTESTED = {"kind": "play", "level": 2, "app_ok": True}


def fetch(log, ts, artifact, opens=True, **more):
    """A model granted, downloaded and, by the app's word, opened."""
    obj = {"artifact": f"a{artifact}"}
    log.add("model.grant", ts, obj=obj, att=ATTESTED, **more)
    log.add("model.download.start", ts + 1000, obj=obj, att=ATTESTED, **more)
    if opens:
        log.add("model.open", ts + 2000, src="sdk", obj=obj, att=ATTESTED, **more)


def artifacts_too_fast_for_anybody(log):
    for i in range(14):
        fetch(log, T0 + i * 20000, i)


def an_account_that_never_sleeps(log):
    for day in range(4):
        for i in range(8):
            log.add("model.grant", T0 + day * DAY + i * 3 * HOUR, device=f"d{i // 2}", obj={"artifact": f"a{day}{i}"})


def an_account_that_hops_between_providers(log):
    for i in range(6):
        fetch(log, T0 + i * 9 * MINUTE, i, opens=False, subj={"asn": 64500 + i})


def a_clock_set_back_for_each_visit(log):
    for day in range(8):
        ts = T0 + day * DAY
        log.add("sdk.heartbeat", ts, src="sdk", ts_client=ts - day * 40000)
        log.add("model.lease", ts + 1000, obj={"artifact": "a"})


def a_new_account_on_a_device_that_had_many(log):
    for i in range(8):
        at = T0 + i * 13 * HOUR
        log.add("auth.ok", at, user=f"u{i}")
        log.add("device.enroll", at + 1000, user=f"u{i}")
        log.add("model.generate", at + HOUR, user=f"u{i}", obj={"artifact": f"a{i}", "cost": 20})


def one_device_spends_for_many(log):
    for i in range(12):
        log.add("model.generate", T0 + i * 4 * MINUTE, user=f"u{i}", obj={"artifact": f"a{i}", "cost": 40})


def many_downloads_without_attestation(log):
    for i in range(25):
        obj = {"artifact": f"a{i}"}
        log.add("model.download.start", T0 + i * 30 * MINUTE, obj=obj, att={"kind": "play", "level": 1, "app_ok": True})


def refund_after_refund(log):
    for i in range(2):
        log.add("pay.purchase", T0 + i * DAY)
        log.add("pay.refund", T0 + i * DAY + HOUR)


def challenges_failed(log):
    for i in range(3):
        log.add("challenge.fail", T0 + i * MINUTE)
    log.add("model.grant", T0 + 4 * MINUTE)


def a_trial_on_a_fresh_phone_of_an_old_account(log):
    log.add("auth.ok", T0)
    log.add("device.enroll", T0 + 4 * DAY, device="new")
    log.add("pay.trial", T0 + 4 * DAY + HOUR, device="new")
    for i in range(9):
        fetch(log, T0 + 4 * DAY + 2 * HOUR + i * 10 * MINUTE, i, device="new")


def a_device_revoked_by_a_young_one(log):
    for day in range(4):
        fetch(log, T0 + day * DAY, day, device="old")
    log.add("device.enroll", T0 + 4 * DAY, device="young")
    log.add("device.revoke", T0 + 6 * DAY, device="old")
    for i in range(20):
        fetch(log, T0 + 6 * DAY + i * 9 * MINUTE, 100 + i, device="young")


class Attacks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.rows = list(rows())
        cls.known = {r["rule"]: r for r in earmark("check", RULES)["rules"]}
        cls.events, cls.truth = os.path.join(cls.folder.name, "e"), os.path.join(cls.folder.name, "l")
        earmark("simulate", "--seed", "11", "--users", "60", "--each", "4", "--days", "14", "--events", cls.events,
                "--labels", cls.truth)
        cls.families = cls.read_families()
        cls.ran = {}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def read_families(cls):
        """The names that each family goes by."""
        families = {}
        with open(cls.truth, encoding="ascii") as f:
            for label in map(json.loads, f):
                families.setdefault(label["by"], set()).add(label["entity"])
        return families

    @staticmethod
    def names_of(event):
        subj = event.get("subj", {})
        return {f"{k}:{subj[k]}" for k in ("user", "device", "key") if k in subj}

    def family_log(self, family):
        """Events that name one of the family, or somebody whose events do: what happened before counts."""
        with open(self.events, encoding="ascii") as f:
            lines = [(line, self.names_of(json.loads(line))) for line in f]
        names = set().union(*(n for _, n in lines if n & self.families[family]))
        return "".join(line for line, n in lines if n & names)

    def fired(self, text):
        """Hits of each rule over a log, live or in shadow."""
        path = os.path.join(self.folder.name, "one")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        report = earmark("replay", "--rules", RULES, "--events", path)
        self.assertEqual(report["input"]["dropped"], 0, report["input"])
        return {r["rule"] for r in report["rules"] if r["hits"] + r["hits_shadow"] > 0}, report

    def fired_in(self, name):
        """Rules that fire in a scenario of the table; each is run once."""
        if name not in self.ran:
            self.ran[name] = self.fired(self.scenario(name))[0]
        return self.ran[name]

    def scenario(self, name):
        how, _, what = name.partition(":")
        if how == "simulate":
            self.assertIn(what, self.families, "no such family")
            return self.family_log(what)
        self.assertIn(what, globals(), "no such script")
        log = Log()
        globals()[what](log)
        return "".join(json.dumps(e) + "\n" for e in log.events)

    def check_campaign(self, family):
        path = os.path.join(self.folder.name, "ring")
        with open(path, "w", encoding="ascii") as f:
            f.write(self.family_log(family))
        self.assertGreater(earmark("campaign", "--events", path)["n_groups"], 0, family)

    def check_test(self, name):
        path, _, what = name.partition(":")
        path = os.path.join(ROOT, path)
        self.assertTrue(os.path.isfile(path), f"{name}: no such file")
        with open(path, encoding="utf-8") as f:
            self.assertRegex(f.read(), rf"(static void|def) {what}\b" if what else ".", name)

    def test_the_table_has_all_attacks_of_the_catalogue(self):
        self.assertEqual([r["n"] for r in self.rows], list(range(1, 30)))
        for row in self.rows:
            self.assertTrue(row["signal"] and row["action"], row)

    def test_the_table_names_the_rules_that_there_are(self):
        named = set().union(*(r["rules"] for r in self.rows))
        self.assertEqual(named - set(self.known), set(), "no such rule")
        self.assertEqual(set(self.known) - named, set(), "a rule that is in no row")
        for rule in named:
            self.assertNotEqual(self.known[rule]["mode"], "off", rule)

    def test_a_rule_of_each_row_fires_on_its_scenario(self):
        for row in self.rows:
            with self.subTest(attack=row["n"], name=row["attack"]):
                fired, scenarios = set(), 0
                for name in row["shown"]:
                    if name.startswith(("simulate:", "script:")):
                        one = self.fired_in(name)
                        self.assertTrue(one & row["rules"], f"{name}: none of {sorted(row['rules'])}, but {sorted(one)}")
                        fired |= one
                        scenarios += 1
                    elif name.startswith("campaign:"):
                        self.check_campaign(name.partition(":")[2])
                    else:
                        self.check_test(name)
                self.assertGreater(scenarios, 0, "no scenario")
                self.assertTrue(fired & row["rules"], row)

    def test_each_rule_fires_in_a_scenario_of_its_row(self):
        silent = set(self.known)
        for row in self.rows:
            for name in row["shown"]:
                if name.startswith(("simulate:", "script:")):
                    silent -= row["rules"] & self.fired_in(name)
        self.assertEqual(silent, set(), "rules that no log of their row makes fire")

    def test_exact_rows_name_the_test_of_the_check(self):
        for row in self.rows:
            if "exact" in row["signal"].lower():
                self.assertTrue([n for n in row["shown"] if n.startswith("tests/")], row)

    def test_limits_with_jitter_are_not_the_same_for_two_devices(self):
        limits = set()
        for d in range(8):
            log = Log()
            thresholds_differ_between_devices(log, [d])
            report = self.fired("".join(json.dumps(e) + "\n" for e in log.events))[1]
            hits = next(r["hits"] for r in report["rules"] if r["rule"] == "SC-301")
            limits.add(40 - hits + 1)
        self.assertGreater(len(limits), 2)
        self.assertTrue(all(24 <= n <= 36 for n in limits), limits)


if __name__ == "__main__":
    if not os.access(EARMARK, os.X_OK):
        print("SKIP earmark is not built")
        sys.exit(77)
    unittest.main()
