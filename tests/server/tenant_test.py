#!/usr/bin/env python3
"""Services of two tenants on one server: what each reaches, and that it reaches nothing of the other.
EARMARKD=bin/earmarkd EARMARK=bin/earmark tenant_test.py"""
import hashlib
import json
import os
import subprocess
import sys
import time
import unittest

from earmarkd import Server

try:
    from device import Device, Issuers, b64, unb64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

EARMARK = os.environ.get("EARMARK", "")
BYTES = {"Content-Type": "application/octet-stream"}
LINES = {"Content-Type": "application/x-ndjson"}


def owner(subject, tenant):
    return b64(hashlib.sha256(f"earmark/1 owner\0{tenant}\0{subject}".encode()).digest())


class Two(unittest.TestCase):
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.issuers = Issuers()
        cls.server = Server({"api": {"attestation_none": True, **cls.settings},
                             "tokens": cls.issuers.config()})
        cls.token = cls.server.make_operator()
        cls.one, cls.two, cls.none = (cls.key(t) for t in ("t1", "t2", None))

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.issuers.close()

    @classmethod
    def admin(cls, method, path, body=None):
        return cls.server.ask(method, "/v1/admin/" + path, body, {"Authorization": "Bearer " + cls.token})

    @classmethod
    def key(cls, tenant):
        body = {"name": "backend", "scopes": ["seal", "publish", "events", "read"]}
        if tenant:
            body["tenant"] = tenant
        answer = cls.admin("POST", "keys", body)
        assert answer.status == 201, answer.body
        assert answer.json().get("tenant") == (tenant or cls.settings.get("default_tenant")), answer.body
        return {"Authorization": "Bearer " + answer.json()["key"]}

    def refused(self, answer, status, slug):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.json()["type"], "/problems/" + slug)

    def enrolled(self, user, tenant):
        """A device, and its user's token."""
        device, bearer = Device(self.server, user), self.issuers.bearer(user, tenant)
        self.addCleanup(device.wire.close)
        body = device.enrol_body()
        del body["user"]
        answer = self.server.ask("POST", "/v1/devices", body, bearer)
        self.assertEqual(answer.status, 201, answer.body)
        device.certificate = unb64(answer.json()["certificate"])
        return device, bearer

    def send(self, key, **changed):
        event = {"v": 1, "id": "e-" + os.urandom(6).hex(), "src": "backend", "type": "admin.ban",
                 "ts": int(time.time() * 1000), **changed}
        return self.server.ask("POST", "/v1/events/backend", json.dumps(event, separators=(",", ":")).encode(),
                               {**key, **LINES})

    def publish(self, key, path, model=b"weights" * 100):
        return self.server.ask("PUT", "/v1/models/" + path, model, {**key, **BYTES})


class Tenants(Two):
    def test_events_are_about_the_services_own_tenant(self):
        device, bearer = self.enrolled("jane", "t1")
        jane, ask = {"user": owner("jane", "t1")}, lambda: device.ticket(headers=bearer, use="u").status
        for subject in (jane, {"device": b64(device.id)}):
            self.assertEqual(self.send(self.two, subj=subject).status, 200)  # is nobody there
            self.assertEqual(self.send(self.none, subj=subject).status, 200)
            self.refused(self.send(self.two, subj=subject, tenant="t1"), 403, "policy")
            self.refused(self.send(self.none, subj=subject, tenant="t1"), 403, "policy")
            self.assertEqual(ask(), 201)
            self.assertEqual(self.send(self.one, subj=subject).json()["accepted"], 1)
            self.assertEqual(ask(), 403)
            self.assertEqual(self.send(self.two, subj=subject, type="admin.unban").status, 200)
            self.assertEqual(ask(), 403)
            self.assertEqual(self.send(self.one, subj=subject, type="admin.unban", tenant="t1").status, 200)
            self.assertEqual(ask(), 201)

    def test_nobody_uses_up_anothers_event_ids(self):
        subject = {"user": owner("bill", "t1")}
        self.assertEqual(self.send(self.two, id="order-1", subj=subject).json()["accepted"], 1)
        self.assertEqual(self.send(self.one, id="order-1", subj=subject).json(), {"accepted": 1, "known": 0})
        self.assertEqual(self.send(self.one, id="order-1", subj=subject).json(), {"accepted": 0, "known": 1})

    def test_nothing_counts_of_lines_with_anothers_among_them(self):
        device, bearer = self.enrolled("lena", "t1")
        line = lambda **more: json.dumps({"v": 1, "id": "l-" + os.urandom(6).hex(), "src": "backend",
                                          "type": "admin.ban", "ts": int(time.time() * 1000),
                                          "subj": {"user": owner("lena", "t1")}, **more},
                                         separators=(",", ":"))
        answer = self.server.ask("POST", "/v1/events/backend",
                                 (line() + "\n" + line(tenant="t2") + "\n").encode(),
                                 {**self.one, **LINES})
        self.refused(answer, 403, "policy")
        self.assertEqual(device.ticket(headers=bearer, use="u").status, 201)

    def test_no_service_turns_the_servers_switch(self):
        for key in (self.one, self.none):
            self.refused(self.send(key, type="admin.switch", res={"reason": "open"}), 403, "policy")

    def test_redeems_and_seals_its_own_only(self):
        device, bearer = self.enrolled("sam", "t1")
        ticket = lambda: device.ticket(headers=bearer, use="u").json()["id"]
        redeemed, sealed = ticket(), ticket()
        seal = lambda key: self.server.ask("POST", "/v1/seals?ticket=" + sealed, b"weights" * 99,
                                           {**key, **BYTES})
        redeem = lambda key: self.server.ask("POST", f"/v1/tickets/{redeemed}/redeem", None, key)
        for key in (self.two, self.none):
            self.refused(redeem(key), 404, "not-found")
            self.refused(seal(key), 404, "not-found")
        self.assertEqual(redeem(self.one).status, 200)
        self.assertEqual(seal(self.one).status, 201)
        self.refused(redeem(self.two), 404, "not-found")  # also of one that is used
        self.refused(seal(self.two), 404, "not-found")

    def test_models_are_their_tenants(self):
        self.assertEqual(self.publish(self.one, "cats/1").status, 201)
        get = lambda key, path: self.server.ask("GET", "/v1/models" + path, None, key)
        self.assertEqual(get(self.one, "/cats/1").json()["tenant"], "t1")
        for key in (self.two, self.none):
            self.refused(get(key, "/cats/1"), 404, "not-found")
            self.assertNotIn("cats", [m["name"] for m in get(key, "").json()["models"]])
            self.refused(self.publish(key, "cats/1"), 409, "conflict")
            self.refused(self.server.ask("DELETE", "/v1/models/cats/1", None, key), 404, "not-found")
        self.assertEqual(self.publish(self.two, "cats/2").status, 201)  # newer, and not t1's
        device, bearer = self.enrolled("tom", "t1")
        other, others = self.enrolled("tim", "t2")
        self.assertEqual(self.version(device.ticket(headers=bearer, model="cats")), "1")
        self.assertEqual(self.version(other.ticket(headers=others, model="cats")), "2")
        self.assertEqual(other.ticket(headers=others, model="cats", version="1").status, 404)

    def version(self, answer):
        self.assertEqual(answer.status, 201, answer.body)
        return self.admin("GET", "tickets/" + answer.json()["id"]).json()["version"]

    def test_everybodys_models_are_an_operators(self):
        answer = self.publish({"Authorization": "Bearer " + self.token}, "all/1")
        self.assertEqual(answer.status, 201, answer.body)
        for tenant, key in (("t1", self.one), ("t2", self.two)):
            device, bearer = self.enrolled("al", tenant)
            self.assertEqual(device.ticket(headers=bearer, model="all").status, 201)
            self.assertEqual(self.server.ask("GET", "/v1/models/all/1", None, key).status, 200)
            self.refused(self.server.ask("DELETE", "/v1/models/all/1", None, key), 403, "policy")

    def test_the_log_says_whose_service_it_was(self):
        self.send(self.two, subj={"user": "x"})
        entries = self.admin("GET", "audit?limit=100&type=events.backend").json()["items"]
        self.assertIn("t2", [e.get("tenant") for e in entries])

    def test_refuses_tenants_that_events_cannot_carry(self):
        for bad in ("", "a b", 'a"', "a\\", "é", "x" * 65):
            self.refused(self.admin("POST", "keys", {"name": "n", "scopes": ["seal"], "tenant": bad}), 400,
                         "invalid-body")

    def test_the_command_line_makes_and_shows_them(self):
        if not os.access(EARMARK, os.X_OK):
            self.skipTest("earmark is not built")
        home = os.path.join(self.server.dir, "home")
        os.makedirs(home, exist_ok=True)
        password = os.path.join(home, "password")
        with open(password, "w", encoding="utf-8") as f:
            f.write(self.server.password + "\n")
        os.chmod(password, 0o600)

        def earmark(*words):
            return subprocess.run([EARMARK, "admin", *words, "--password-file", password], check=True,
                                  capture_output=True, env={**os.environ, "HOME": home,
                                                            "XDG_CONFIG_HOME": home}).stdout.decode()
        earmark("login", "ann", "--server", f"http://127.0.0.1:{self.server.port}")
        made = json.loads(earmark("keys", "add", "cli", "--scopes", "events", "--tenant", "t2", "--json"))
        self.assertEqual(made["tenant"], "t2")
        self.assertIn("t2", earmark("keys", "list"))


class Default(Two):
    """Services without a tenant, as all were that were made before there were tenants."""
    settings = {"default_tenant": "t1"}

    def test_have_the_default_one(self):
        device, bearer = self.enrolled("jane", "t1")
        ticket = device.ticket(headers=bearer, use="u").json()["id"]
        redeem = lambda key: self.server.ask("POST", f"/v1/tickets/{ticket}/redeem", None, key)
        self.assertEqual(redeem(self.two).status, 404)
        self.assertEqual(redeem(self.none).status, 200)
        self.assertEqual(self.send(self.none, subj={"user": owner("jane", "t1")}).status, 200)
        self.assertEqual(device.ticket(headers=bearer, use="u").status, 403)

    def test_reach_users_that_an_operator_enrolled_without_one(self):
        device = Device(self.server, "joe")
        self.addCleanup(device.wire.close)
        self.assertEqual(device.enrol(self.token).status, 201)
        bearer = self.issuers.bearer("joe")
        self.assertEqual(device.ticket(headers=bearer, use="u").status, 403)  # not t1's joe
        body = {"subj": {"user": owner("joe", "")}}
        self.assertEqual(self.send(self.two, **body).status, 200)
        risk = lambda: self.admin("GET", f"users/{owner('joe', '')}/risk").json()["now"]
        self.assertNotIn("ban_until", risk())
        self.assertEqual(self.send(self.none, **body).status, 200)
        self.assertIn("ban_until", risk())


if __name__ == "__main__":
    unittest.main()
