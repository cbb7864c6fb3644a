#!/usr/bin/env python3
"""Where an address is, in the real server: what its events say, what rules make of it, files that
change.  EARMARKD=bin/earmarkd EARMARK=bin/earmark places_test.py"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import earmarkd
from earmarkd import Server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import mmdb

try:
    from device import Device, b64, unb64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

EARMARK = os.environ.get("EARMARK", "")
RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../rules/base.yaml")
HOSTED = "192.0.2.0/24"
AT_HOME, NEAR_HOME, ABROAD, IN_A_RACK, NOWHERE = ("203.0.113.9", "203.0.113.200", "198.51.100.7", "192.0.2.80",
                                                  "100.64.0.1")


def cities(built=None, home=("PT", 38.7223, -9.1393, 20)):
    return mmdb.database("GeoLite2-City", {mmdb.LISBON: mmdb.city(*home), HOSTED: mmdb.city("PT", 38.7, -9.1, 20),
                                           mmdb.TOKYO: mmdb.city("JP", 35.6895, 139.6917, 50)},
                         built=built or int(time.time()) - 3600)


def kinds():
    return mmdb.database("GeoIP2-Anonymous-IP", {HOSTED: {"is_anonymous": True, "is_hosting_provider": True}})


def came_from(address):
    return {"X-Forwarded-For": address}


def lines_of(server):
    folder = os.path.join(server.dir, "data", "fraud")
    lines = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".jsonl"):
            with open(os.path.join(folder, name), encoding="ascii") as f:
                lines += [json.loads(line) for line in f]
    return lines


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def reload_of(server, says):
    os.truncate(server.log_path, 0)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: f'"{says}' in server.log())


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="earmark-places-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        mmdb.write(self.path("asn"), mmdb.database("GeoLite2-ASN", {mmdb.LISBON: mmdb.asn(64500)}))
        mmdb.write(self.path("city"), cities())
        mmdb.write(self.path("kind"), kinds())
        self.devices = []
        with open(self.path("hosts"), "w", encoding="ascii") as f:
            f.write("65551\n")
        self.server = self.start({"hosting_asns": self.path("hosts"),
                                  **{name: self.path(name) for name in ("asn", "city", "kind")}})
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               self.server.config_path(), "--generate"], capture_output=True, check=True)
        self.token = None
        self.token = self.ask("POST", "sessions", {"name": "ann", "password": made.stdout.decode().strip()})["token"]
        answer = self.server.ask("PUT", "/v1/models/model/1", os.urandom(500),
                                 {"Authorization": "Bearer " + self.token,
                                  "Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)

    def tearDown(self):
        for device in self.devices:
            device.wire.close()

    def path(self, name):
        return os.path.join(self.folder, name + ".mmdb")

    def start(self, places, wait=True):
        server = Server({"api": {"attestation_none": True, "devices_per_user": 0, "ticket_without_token": True},
                         "proxies": {"trusted": ["127.0.0.0/8"], "field": "x-forwarded-for"},
                         "places": places}, wait=False)
        self.addCleanup(server.close)
        try:
            if wait:
                server.wait_ready()
        except AssertionError:
            if "this build is without libmaxminddb" not in server.log():
                raise
            self.skipTest("libmaxminddb is not here; a server that is told of its files does not start")
        return server

    def ask(self, method, path, body=None):
        headers = {"Authorization": "Bearer " + self.token} if self.token else {}
        answer = self.server.ask(method, "/v1/admin/" + path, body, headers)
        self.assertLess(answer.status, 300, answer.body)
        return answer.json()

    def enrolled(self, user, address):
        device = Device(self.server, user)
        answer = device.enrol(self.token, headers=came_from(address))
        self.assertEqual(answer.status, 201, answer.body)
        self.devices.append(device)
        return device

    def ticket(self, device, address):
        return device.ticket(came_from(address), model="model")

    def rules(self):
        """Of all decisions that were kept."""
        return " ".join(d["rules"] for d in self.decisions())

    def decisions(self):
        return [self.ask("GET", "decisions/" + d["id"]) for d in self.ask("GET", "decisions?limit=100")["items"]]

    def last(self, kind):
        return [line for line in lines_of(self.server) if line["type"] == kind][-1]["subj"]


class Events(Case):
    def test_each_event_says_where_it_came_from(self):
        device = self.enrolled("alice", AT_HOME)
        self.assertEqual(self.ticket(device, ABROAD).status, 201)
        at = self.last("device.enroll")
        self.assertEqual((at["asn"], at["cc"], at["lat"], at["lon"], at["geo_km"]), (64500, "PT", 38.7, -9.1, 28))
        self.assertNotIn("net_kind", at)
        self.assertRegex(at["geo_db"], r"^asn:1763771512,city:\d+,kind:1763771512,hosting_asns:\d+$")
        at = self.last("model.grant")
        self.assertEqual((at["cc"], at["lat"], at["lon"], at["geo_km"]), ("JP", 35.7, 139.7, 58))
        self.assertNotIn("asn", at)
        ticket = unb64(self.ticket(device, AT_HOME).json()["ticket"])
        answer = device.ask("POST", "/v1/receipts", {"receipt": b64(device.receipt(ticket))}, came_from(AT_HOME))
        self.assertEqual(answer.status, 204, answer.body)
        self.assertEqual(self.last("model.download.end")["cc"], "PT")

    def test_a_refused_signature_has_a_place_and_nobody(self):
        victim = self.enrolled("alice", AT_HOME)
        victim.signing = Device(self.server).signing
        self.assertEqual(self.ticket(victim, ABROAD).status, 401)
        at = self.last("sig.fail")
        self.assertEqual((at["cc"], at["net"]), ("JP", mmdb.TOKYO))
        self.assertNotIn("device", at)

    def test_of_an_unknown_address_only_the_files_are_said(self):
        self.enrolled("alice", NOWHERE)
        at = self.last("device.enroll")
        self.assertIn("geo_db", at)
        self.assertFalse({"asn", "cc", "lat", "lon", "geo_km", "net_kind"} & set(at), at)
        self.assertGreater(self.server.metric('earmark_places_lookups_total{result="unknown"}'), 0)


class Rules(Case):
    def test_travel_that_is_impossible_is_noticed(self):
        settled, traveller = self.enrolled("bob", AT_HOME), self.enrolled("alice", AT_HOME)
        for address in (AT_HOME, NEAR_HOME, AT_HOME):
            self.assertEqual(self.ticket(settled, address).status, 201)
        self.assertNotIn("GE-701", self.rules())
        self.assertEqual(self.ticket(traveller, AT_HOME).status, 201)
        self.assertEqual(self.ticket(traveller, ABROAD).status, 201)
        found = [d for d in self.decisions() if "GE-701" in d["rules"]]
        self.assertEqual([d["device"] for d in found], [b64(traveller.id)])

    def test_a_list_of_systems_is_as_good_as_a_database_of_kinds(self):
        device = self.enrolled("alice", AT_HOME)
        self.assertEqual(self.ticket(device, AT_HOME).status, 201)
        with open(self.path("hosts"), "w", encoding="ascii") as f:
            f.write("# bought from nobody\nAS64500 Example Org\n")
        reload_of(self.server, "reloaded\"")
        self.assertEqual(self.ticket(device, AT_HOME).json()["help"], "attest")
        at = self.last("model.grant")
        self.assertEqual(at["net_kind"], "hosting")
        self.assertIn(",hosting_asns:", at["geo_db"])

    def test_a_device_that_proves_nothing_in_a_data_centre_is_asked_more(self):
        device = self.enrolled("alice", AT_HOME)
        self.assertEqual(self.ticket(device, AT_HOME).status, 201)
        refused = self.ticket(device, IN_A_RACK)
        self.assertEqual((refused.status, refused.json()["help"]), (403, "attest"), refused.body)
        kept = self.ask("GET", "decisions/" + refused.json()["decision"])
        self.assertIn("AT-106", kept["rules"])
        self.assertEqual(self.last("model.grant")["net_kind"], "hosting")

    @unittest.skipUnless(EARMARK, "no program to replay with")
    def test_a_replay_finds_the_same_without_any_file(self):
        device = self.enrolled("alice", AT_HOME)
        for address in (AT_HOME, ABROAD):
            self.assertEqual(self.ticket(device, address).status, 201)
        log = os.path.join(self.folder, "log.jsonl")
        with open(log, "w", encoding="ascii") as f:
            f.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines_of(self.server))
        done = subprocess.run([EARMARK, "fraud", "replay", "--strict", "--json", "--rules", RULES, "--events", log],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        hits = {r["rule"]: r["hits"] for r in json.loads(done.stdout)["rules"]}
        self.assertEqual(hits["GE-701"], 1, hits)


class Files(Case):
    def reload(self, says):
        reload_of(self.server, says)

    def test_a_new_file_counts_after_a_reload_and_a_bad_one_never(self):
        before = self.last_of("alice")
        good = cities(home=("CL", -33.4489, -70.6693, 5))
        mmdb.write(self.path("city"), good[:-40])
        self.reload("reloaded in part")
        self.assertIn("the databases of places stay as they were", self.server.log())
        self.assertIn(self.path("city"), self.server.log())
        self.assertEqual(self.last_of("bob"), before)
        self.assertTrue(self.places()["failed"])
        os.remove(self.path("city"))
        self.reload("reloaded in part")
        self.assertEqual(self.last_of("carol"), before)
        mmdb.write(self.path("city"), good)
        self.reload("reloaded\"")
        self.assertEqual(self.last_of("dave")["cc"], "CL")
        self.assertFalse(self.places()["failed"])

    def places(self):
        return self.server.ask("GET", "/readyz", internal=True).json()["files"]["places"]

    def last_of(self, user):
        self.enrolled(user, AT_HOME)
        return {k: v for k, v in self.last("device.enroll").items() if k in ("asn", "cc", "lat", "lon", "geo_db")}

    def test_a_file_that_is_cut_while_it_is_in_use_does_no_harm(self):
        before = self.last_of("alice")
        for name in ("asn", "city", "kind"):
            os.truncate(self.path(name), 0)
        self.assertEqual(self.last_of("bob"), before)

    def refused(self, places):
        bad = self.start(places, wait=False)
        self.assertNotEqual(bad.process.wait(60), 0)
        self.assertIn("a database of places cannot be used", bad.log())
        self.assertIn(next(iter(places.values())), bad.log())

    def test_a_server_does_not_start_without_a_file_that_is_named(self):
        self.refused({"city": os.path.join(self.folder, "nowhere.mmdb")})
        self.refused({"asn": self.path("city")})
        with open(self.path("text"), "w", encoding="ascii") as f:
            f.write("203.0.113.0/24 Lisbon\n")
        self.refused({"kind": self.path("text")})

    def test_old_files_are_warned_of_and_measured(self):
        self.assertIn('"a database of places is old","detail":"places.asn: ', self.server.log())
        self.assertNotIn("places.city: ", self.server.log())
        age = self.server.metric('earmark_places_age_seconds{file="city"}')
        self.assertTrue(3600 <= age < 86400, age)
        self.assertGreater(self.server.metric('earmark_places_age_seconds{file="asn"}'), 86400)


if __name__ == "__main__":
    unittest.main()
