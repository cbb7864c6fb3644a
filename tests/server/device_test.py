#!/usr/bin/env python3
"""Devices against the real server: enrolment, tickets, leases, receipts, events, revocation; and what
is left after the server was killed again and again.
EARMARKD=bin/earmarkd device_test.py, or device_test.py Killed --kills 100"""
import glob
import hashlib
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
    from device import (Connection, Device, Issuers, Key, LEASE_REQUEST, RECEIPT, REQUEST, b64, payload,
                        ticket_id, unb64)
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

MINT = os.environ.get("EARMARK_MINT", "")
KILLS = 20  # --kills N
LONG = 155_000_000
MEASURE = False  # --kills: more than once


class Dev(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.token = cls.server.dev()["operator_token"]

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def tearDown(self):
        for device in self.devices:
            device.wire.close()

    def setUp(self):
        self.devices = []

    def operator(self, method, path, body=None, headers=None):
        return self.server.ask(method, path, body,
                               {"Authorization": "Bearer " + self.token, **(headers or {})})

    def assert_problem(self, answer, status, slug, text=None):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.json()["type"], "/problems/" + slug, answer.body)
        if text:
            self.assertIn(text, answer.json()["detail"])

    def enrolled(self, user=None):
        device = Device(self.server, user or "user-" + os.urandom(6).hex())
        self.devices.append(device)
        self.assertEqual(device.enrol(self.token).status, 201)
        return device

    def publish(self, name, version="1", **policy):
        query = "&".join(f"{k}={v}" for k, v in policy.items())
        answer = self.operator("PUT", f"/v1/models/{name}/{version}?{query}", os.urandom(5000),
                               {"Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)


class Enrol(Dev):
    def test_enrols_and_certifies(self):
        device = Device(self.server)
        answer = device.enrol(self.token)
        self.assertEqual(answer.status, 201, answer.body)
        body = answer.json()
        self.assertEqual(unb64(body["device"]), device.id)
        certificate = payload(device.certificate)
        self.assertEqual(certificate[1], device.id)
        self.assertEqual((certificate[4], certificate[5]), (0, 0))

    def test_refuses_a_challenge_twice(self):
        device, other = Device(self.server), Device(self.server)
        body = device.enrol_body()
        self.assertEqual(self.operator("POST", "/v1/devices", body).status, 201)
        again = {**other.enrol_body(), "challenge": body["challenge"]}
        self.assert_problem(self.operator("POST", "/v1/devices", again), 409, "used", "challenge")

    def test_refuses_a_challenge_that_is_not_ours(self):
        body = {**Device(self.server).enrol_body(), "challenge": b64(os.urandom(36))}
        self.assert_problem(self.operator("POST", "/v1/devices", body), 409, "used")

    def test_refuses_an_enrolment_by_another_key(self):
        device, other = Device(self.server), Device(self.server)
        forged = other.signing.message(3, {1: device.signing.public, 2: [0x10, device.agreement.public],
                                           3: "x", 4: 1})
        body = {**device.enrol_body(), "enrolment": b64(forged)}
        self.assert_problem(self.operator("POST", "/v1/devices", body), 422, "invalid-object")

    def test_refuses_unknown_kinds_and_apps_with_a_coarse_answer(self):
        for kind in ("magic", "app_attest", "android_key", "play_integrity", "safetynet", "tpm"):
            answer = Device(self.server).enrol(self.token, {"kind": kind, "app": "com.example",
                                                            "object": b64(b"x")})
            self.assertIn(answer.status, (403, 422), kind)
            self.assertNotIn("no such app", answer.json().get("detail", ""))
        time.sleep(0.2)
        self.assertIn("attestation: no such app", self.server.log())

    def test_refuses_another_users_device(self):
        device = self.enrolled("alice")
        device.user = "mallory"
        self.assert_problem(device.enrol(self.token), 409, "conflict")

    def test_enrols_again_for_the_same_user(self):
        device = self.enrolled()
        self.assertEqual(device.enrol(self.token).status, 201)

    def test_refuses_too_many_devices_and_counts_no_revoked_ones(self):
        devices = [self.enrolled("collector") for _ in range(10)]
        answer = Device(self.server, "collector").enrol(self.token)
        self.assert_problem(answer, 403, "policy", "too many devices")
        self.assertEqual(answer.json()["help"], "upgrade")
        self.assertEqual(self.operator("DELETE", "/v1/devices/" + b64(devices[0].id)).status, 204)
        self.enrolled("collector")

    def test_two_enrolments_at_once_do_not_pass_the_limit(self):
        for _ in range(9):
            self.enrolled("racer")
        devices = [Device(self.server, "racer") for _ in range(6)]
        bodies = [d.enrol_body() for d in devices]
        got = []
        threads = [threading.Thread(target=lambda b=b: got.append(
            self.operator("POST", "/v1/devices", b).status)) for b in bodies]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got.count(201), 1, got)

    def test_gives_the_same_answer_to_the_same_key(self):
        device = Device(self.server)
        body, headers = device.enrol_body(), {"Idempotency-Key": "enrol-1"}
        first = self.operator("POST", "/v1/devices", body, headers)
        second = self.operator("POST", "/v1/devices", body, headers)
        self.assertEqual((first.status, first.body), (second.status, second.body))

    def test_refresh_gives_a_new_certificate(self):
        device = self.enrolled()
        path = f"/v1/devices/{b64(device.id)}/attestations"
        body = {"challenge": device.challenge(), "attestation": {"kind": "none"}}
        answer = device.ask("POST", path, body)
        self.assertEqual(answer.status, 201, answer.body)
        self.assert_problem(device.ask("POST", path, body), 409, "used")
        other = self.enrolled()
        self.assert_problem(other.ask("POST", path, {**body, "challenge": device.challenge()}), 404,
                            "not-found")

    def test_revokes_at_once_and_for_good(self):
        device = self.enrolled()
        self.assertEqual(device.ticket(use="a").status, 201)
        path = "/v1/devices/" + b64(device.id)
        self.assertEqual(self.operator("DELETE", path).status, 204)
        self.assert_problem(device.ticket(use="b"), 403, "device-revoked")
        self.assertEqual(self.operator("DELETE", path).status, 204)
        self.assert_problem(device.enrol(self.token), 409, "conflict")

    def test_revoking_nothing_is_not_found(self):
        for name in (b64(os.urandom(32)), "short", "a" * 43 + "b"):
            self.assert_problem(self.operator("DELETE", "/v1/devices/" + name), 404, "not-found")
        self.assertEqual(self.server.ask("DELETE", "/v1/devices/" + b64(os.urandom(32))).status, 401)


class Tickets(Dev):
    def test_gives_a_ticket_that_says_what_was_asked(self):
        device = self.enrolled()
        request = device.request(use="video-1")
        answer = device.ask("POST", "/v1/tickets", {"request": b64(request), "use": "video-1"})
        self.assertEqual(answer.status, 201, answer.body)
        ticket = payload(unb64(answer.json()["ticket"]))
        self.assertEqual(b64(ticket[1]), answer.json()["id"])
        self.assertEqual(ticket[2], device.id)
        self.assertEqual(ticket[7], hashlib.sha256(request).digest())
        self.assertEqual(answer.json()["next"], "backend")
        self.assertEqual(ticket[9], answer.json()["expires"])

    def test_answers_a_request_once(self):
        device = self.enrolled()
        body = {"request": b64(device.request(use="u"))}
        self.assertEqual(device.ask("POST", "/v1/tickets", body).status, 201)
        self.assert_problem(device.ask("POST", "/v1/tickets", body), 409, "used", "request")

    def test_gives_the_same_answer_to_the_same_key(self):
        device = self.enrolled()
        body, headers = {"request": b64(device.request(use="u"))}, {"Idempotency-Key": "t-1"}
        first = device.ask("POST", "/v1/tickets", body, headers)
        second = device.ask("POST", "/v1/tickets", body, headers)
        self.assertEqual(first.status, 201)
        self.assertEqual(first.body, second.body)
        other = {"request": b64(device.request(use="v"))}
        self.assert_problem(device.ask("POST", "/v1/tickets", other, headers), 422,
                            "idempotency-reused")

    def test_refuses_requests_of_others(self):
        device, other = self.enrolled(), self.enrolled()
        body = {"request": b64(other.request(use="u"))}
        self.assert_problem(device.ask("POST", "/v1/tickets", body), 422, "invalid-object",
                            "another device")
        device.user = "bob"
        body = {"request": b64(device.request(use="u"))}
        self.assert_problem(device.ask("POST", "/v1/tickets", body), 422, "invalid-object",
                            "another user")

    def test_refuses_a_request_that_the_body_contradicts(self):
        device = self.enrolled()
        for field in ("model", "version", "use"):
            body = {"request": b64(device.request(use="u")), field: "other"}
            self.assert_problem(device.ask("POST", "/v1/tickets", body), 422, "invalid-object",
                                "body")

    def test_refuses_forged_and_malformed_requests(self):
        device = self.enrolled()
        good = device.request(use="u")
        for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:-1], good + b"\0", b"x",
                    Key().message(REQUEST, payload(good))):
            answer = device.ask("POST", "/v1/tickets", {"request": b64(bad)})
            self.assert_problem(answer, 422, "invalid-object")

    def test_refuses_a_body_with_other_fields(self):
        device = self.enrolled()
        body = {"request": b64(device.request(use="u")), "admin": True}
        self.assert_problem(device.ask("POST", "/v1/tickets", body), 400, "invalid-body")

    def test_refuses_a_guard_summary_that_is_none(self):
        device = self.enrolled()
        body = {"request": b64(device.request(use="u")), "guard": b64(b"junk")}
        self.assert_problem(device.ask("POST", "/v1/tickets", body), 422, "invalid-object")

    def test_refuses_unknown_models(self):
        device = self.enrolled()
        self.assert_problem(device.ticket(model="nowhere"), 404, "not-found")
        self.assert_problem(device.ticket(model="no where/../x"), 404, "not-found")
        self.assert_problem(device.ticket(model="m" * 128), 404, "not-found")

    def test_refuses_models_that_want_more_attestation(self):
        self.publish("strict", min_level=2)
        answer = self.enrolled().ticket(model="strict")
        self.assert_problem(answer, 403, "policy")
        self.assertEqual(answer.json()["help"], "attest")

    def test_refuses_models_of_other_plans(self):
        self.publish("paid", plans="pro,team")
        answer = self.enrolled().ticket(model="paid")
        self.assert_problem(answer, 403, "policy", "plan")
        self.assertEqual(answer.json()["help"], "upgrade")

    def test_refuses_withdrawn_models(self):
        self.publish("gone", "1")
        self.assertEqual(self.operator("DELETE", "/v1/models/gone/1").status, 204)
        device = self.enrolled()
        self.assert_problem(device.ticket(model="gone"), 404, "not-found")
        self.assert_problem(device.ticket(model="gone", version="1"), 410, "gone")

    def test_catalogue_models_are_sealed_at_once(self):
        self.publish("kitten")
        device = self.enrolled()
        answer = device.ticket(model="kitten")
        self.assertEqual(answer.status, 201, answer.body)
        body = answer.json()
        self.assertEqual(body["next"], "fetch")
        path = "/v1/blobs/" + body["blob"]["id"]
        self.assertEqual(len(self.server.ask("GET", path).body), body["blob"]["size"])
        receipt = {"receipt": b64(device.receipt(unb64(body["ticket"])))}
        self.assertEqual(device.ask("POST", "/v1/receipts", receipt).status, 204)
        self.assertIn(self.server.ask("GET", path).status, (404, 410))

    def test_users_need_their_token_unless_the_setting_says_otherwise(self):
        server = Server({"api": {"attestation_none": True}})
        try:
            device = Device(server)
            device.counter = 1
            self.assertEqual(device.ask("POST", "/v1/tickets", {"request": "AA"}).status, 401)
        finally:
            server.close()


class Leases(Dev):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        query = "lease_s=600&grace_s=60&renewal_delay_s=60&min_guard=1"
        answer = cls.server.ask("PUT", "/v1/models/leased/1?" + query, os.urandom(3000),
                                {"Authorization": "Bearer " + cls.token,
                                 "Content-Type": "application/octet-stream"})
        assert answer.status == 201, answer.body

    def ticket(self):
        device = self.enrolled()
        answer = device.ticket(model="leased")
        self.assertEqual(answer.status, 201, answer.body)
        return device, unb64(answer.json()["ticket"]), answer

    def renew(self, device, message):
        return device.ask("POST", "/v1/leases", {"request": b64(message)})

    def assert_refusal(self, answer, why, number):
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["refused"], why)
        lease = payload(unb64(answer.json()["lease"]))
        self.assertEqual(lease[6], number)
        self.assertEqual(lease[3], lease[4])
        self.assertNotIn(5, lease)

    def test_the_first_lease_comes_with_the_ticket(self):
        device, ticket, answer = self.ticket()
        lease = payload(unb64(answer.json()["lease"]))
        self.assertEqual((lease[1], lease[2]), (ticket_id(ticket), device.id))
        self.assertEqual(lease[4] - lease[3], 600)
        self.assertEqual(len(payload(ticket)[10]), 65)

    def test_renews(self):
        device, ticket, _ = self.ticket()
        answer = self.renew(device, device.lease_request(ticket))
        self.assertEqual(answer.status, 200, answer.body)
        lease = payload(unb64(answer.json()["lease"]))
        self.assertEqual(lease[4], answer.json()["until"])
        self.assertEqual(len(lease[5]), 65 + 48)

    def test_takes_a_request_once(self):
        device, ticket, _ = self.ticket()
        message = device.lease_request(ticket)
        self.assertEqual(self.renew(device, message).status, 200)
        self.assert_problem(self.renew(device, message), 409, "used")

    def test_refuses_a_revoked_device_in_a_signed_message(self):
        device, ticket, _ = self.ticket()
        self.operator("DELETE", "/v1/devices/" + b64(device.id))
        self.assert_refusal(self.renew(device, device.lease_request(ticket)), "revoked", 1)

    def test_refuses_a_guard_that_is_too_low(self):
        device, ticket, _ = self.ticket()
        low = {**payload(device.lease_request(ticket)), 7: 0}
        self.assert_refusal(self.renew(device, device.signing.message(LEASE_REQUEST, low)),
                            "upgrade", 3)

    def test_refuses_other_tickets_hashes_devices_and_keys(self):
        device, ticket, _ = self.ticket()
        other, foreign, _ = self.ticket()
        good = payload(device.lease_request(ticket))

        def sent(key=device.signing, **changed):
            value = {**good, 1: os.urandom(16), **{int(k[1:]): v for k, v in changed.items()}}
            return self.renew(device, key.message(LEASE_REQUEST, value))
        self.assert_problem(sent(_2=os.urandom(16)), 404, "not-found")
        self.assert_problem(sent(_2=ticket_id(foreign)), 404, "not-found")
        self.assert_problem(sent(_3=bytes(32)), 403, "policy")
        self.assert_problem(sent(_4=other.id), 403, "policy")
        self.assert_problem(sent(key=other.signing), 422, "invalid-object")

    def test_refuses_tickets_without_a_lease(self):
        device = self.enrolled()
        ticket = unb64(device.ticket(use="u").json()["ticket"])
        self.assert_problem(self.renew(device, device.lease_request(ticket)), 403, "policy")


class Receipts(Dev):
    def send(self, device, message):
        return device.ask("POST", "/v1/receipts", {"receipt": b64(message)})

    def setUp(self):
        super().setUp()
        self.device = self.enrolled()
        self.ticket = unb64(self.device.ticket(use="u").json()["ticket"])

    def test_takes_a_receipt_and_the_same_again(self):
        for _ in range(2):
            self.assertEqual(self.send(self.device, self.device.receipt(self.ticket)).status, 204)

    def test_a_failure_may_be_followed_by_a_success_and_not_the_other_way_round(self):
        self.assertEqual(self.send(self.device, self.device.receipt(self.ticket, 8)).status, 204)
        self.assertEqual(self.send(self.device, self.device.receipt(self.ticket, 0)).status, 204)
        self.assert_problem(self.send(self.device, self.device.receipt(self.ticket, 8)), 409,
                            "conflict")

    def test_refuses_receipts_of_others(self):
        other = self.enrolled()
        self.assert_problem(self.send(other, other.receipt(self.ticket)), 404, "not-found")
        forged = other.signing.message(RECEIPT, payload(self.device.receipt(self.ticket)))
        self.assert_problem(self.send(self.device, forged), 422, "invalid-object")
        self.assert_problem(self.send(self.device, b"x"), 422, "invalid-object")


class Events(Dev):
    def send(self, device, batch):
        return device.ask("POST", "/v1/events", {"batch": b64(batch)})

    @staticmethod
    def some(n):
        return [{1: 1 + i % 7, 2: int(time.time())} for i in range(n)]

    def test_takes_batches_that_follow_each_other(self):
        device = self.enrolled()
        first = device.events(1, bytes(32), self.some(5))
        self.assertEqual(self.send(device, first).json(), {"next": 6, "missing": 0})
        self.assertEqual(self.send(device, first).json(), {"next": 6, "missing": 0})
        second = device.events(6, hashlib.sha256(first).digest(), self.some(64))
        self.assertEqual(self.send(device, second).json(), {"next": 70, "missing": 0})

    def test_counts_what_is_missing(self):
        device = self.enrolled()
        self.assertEqual(self.send(device, device.events(11, os.urandom(32), self.some(1))).json(),
                         {"next": 12, "missing": 10})

    def test_refuses_batches_that_do_not_fit(self):
        device = self.enrolled()
        first = device.events(1, bytes(32), self.some(5))
        self.assertEqual(self.send(device, first).status, 200)
        for bad in (device.events(1, bytes(32), self.some(6)),
                    device.events(3, hashlib.sha256(first).digest(), self.some(1)),
                    device.events(6, bytes(32), self.some(1))):
            self.assert_problem(self.send(device, bad), 409, "conflict")
        good = device.events(6, hashlib.sha256(first).digest(), self.some(1))
        self.assertEqual(self.send(device, good).status, 200)

    def test_refuses_forged_batches(self):
        device, other = self.enrolled(), self.enrolled()
        good = device.events(1, bytes(32), self.some(2))
        value = payload(good)
        for bad in (other.signing.message(10, value),
                    device.signing.message(10, {**value, 1: other.id}),
                    device.signing.message(10, {**value, 3: 5}),
                    device.signing.message(10, {**value, 6: []}),
                    device.signing.message(10, {**value, 2: 0, 3: 1}),
                    device.signing.message(10, {**value, 6: self.some(65), 3: 65}),
                    good[:-1], b"x"):
            answer = self.send(device, bad)
            self.assertEqual(answer.status, 422, answer.body)

    def test_refuses_backends_without_a_service_key(self):
        answer = self.operator("POST", "/v1/events/backend", b"{}",
                               {"Content-Type": "application/x-ndjson"})
        self.assertEqual(answer.status, 401)


class Tokens(unittest.TestCase):
    """Users with tokens of an issuer, as in production: nothing goes without one."""

    OTHER = Issuers.NAMES["t2"]

    @classmethod
    def setUpClass(cls):
        cls.issuers = Issuers()
        cls.server = Server({"api": {"attestation_none": True, "devices_per_user": 1},
                             "tokens": cls.issuers.config()})

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.issuers.close()

    def bearer(self, user, **changed):
        return self.issuers.bearer(user, **changed)

    def enrol(self, user, **changed):
        device = Device(self.server, user)
        body = device.enrol_body()
        del body["user"]
        answer = self.server.ask("POST", "/v1/devices", body, self.bearer(user, **changed))
        if answer.status == 201:
            device.certificate = unb64(answer.json()["certificate"])
        return device, answer

    def test_a_user_enrols_asks_and_revokes(self):
        device, answer = self.enrol("jane")
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(device.ticket(headers=self.bearer("jane"), use="u").status, 201)
        path = "/v1/devices/" + b64(device.id)
        self.assertEqual(self.server.ask("DELETE", path, None, self.bearer("mallory")).status, 404)
        self.assertEqual(device.ticket(headers=self.bearer("jane"), use="u").status, 201)
        self.assertEqual(self.server.ask("DELETE", path, None, self.bearer("jane")).status, 204)
        self.assertEqual(device.ticket(headers=self.bearer("jane"), use="u").status, 403)
        device.wire.close()

    def test_two_issuers_with_one_subject_are_two_users(self):
        one, answer = self.enrol("sam")
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(self.enrol("sam")[1].status, 403)  # one device is all a user may have
        two, answer = self.enrol("sam", iss=self.OTHER)
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(one.ticket(headers=self.bearer("sam"), use="u").status, 201)
        self.assertEqual(two.ticket(headers=self.bearer("sam", iss=self.OTHER), use="u").status, 201)
        self.assertEqual(one.ticket(headers=self.bearer("sam", iss=self.OTHER), use="u").status, 403)
        path = "/v1/devices/" + b64(one.id)
        self.assertEqual(self.server.ask("DELETE", path, None,
                                         self.bearer("sam", iss=self.OTHER)).status, 404)
        one.wire.close()
        two.wire.close()

    def test_no_ticket_without_the_users_token(self):
        device, _ = self.enrol("jim")
        answer = device.ticket(use="u")
        self.assertEqual(answer.status, 403, answer.body)
        self.assertIn("token", answer.json()["detail"])
        self.assertEqual(device.ticket(headers=self.bearer("mallory"), use="u").status, 403)
        device.wire.close()

    def test_a_bound_token_enrols_its_own_key_only(self):
        device, answer = self.enrol("joe", cnf={"jkt": b64(os.urandom(32))})
        self.assertEqual(answer.status, 403, answer.body)
        public = device.signing.public
        jwk = json.dumps({"crv": "P-256", "kty": "EC", "x": b64(public[1:33]), "y": b64(public[33:])},
                         separators=(",", ":"))
        body = device.enrol_body()
        del body["user"]
        bound = self.bearer("joe", cnf={"jkt": b64(hashlib.sha256(jwk.encode()).digest())})
        self.assertEqual(self.server.ask("POST", "/v1/devices", body, bound).status, 201)

    def test_users_do_not_name_others(self):
        device = Device(self.server, "eve")
        answer = self.server.ask("POST", "/v1/devices", device.enrol_body(), self.bearer("eve"))
        self.assertEqual(answer.status, 400)


class Urls(Dev):
    """Who fetches a sealed model: its device, another one, or whoever has the URL."""
    blobs = {"require_device": False}

    @classmethod
    def setUpClass(cls):
        cls.server = Server({"api": {"attestation_none": True, "ticket_without_token": True},
                             "proxies": {"trusted": ["127.0.0.0/8"], "field": "x-forwarded-for"},
                             "blobs": cls.blobs})
        cls.token = cls.server.make_operator()

    def sealed(self, net="192.0.2.7"):
        """A device and the path of a model that was sealed for it."""
        name = "m-" + os.urandom(4).hex()
        self.publish(name)
        device = self.enrolled()
        answer = device.ticket(headers={"X-Forwarded-For": net}, model=name)
        url = answer.json()["blob"]["url"]
        return device, url[url.index("/v1/blobs/"):]

    def get(self, path, net="192.0.2.7", **headers):
        return self.server.ask("GET", path, None, {"X-Forwarded-For": net, **headers})

    def told(self):
        """Events about URLs in wrong hands, as the engine's log has them."""
        events = []
        for path in sorted(glob.glob(self.server.dir + "/data/fraud/events-*.jsonl")):
            with open(path, encoding="utf-8") as f:
                events += [json.loads(line) for line in f if '"url.foreign"' in line]
        return events

    def wait_told(self, n):
        end = time.monotonic() + 30
        while len(self.told()) < n and time.monotonic() < end:
            time.sleep(0.02)
        return self.told()

    def test_its_device_signs_and_gets_it(self):
        device, path = self.sealed()
        before = len(self.told())
        answer = device.ask("GET", path)
        self.assertEqual(answer.status, 200)
        part = device.ask("GET", path, headers={"Range": "bytes=10-19"})
        self.assertEqual((part.status, part.body), (206, answer.body[10:20]))
        self.assertEqual(len(self.told()), before)

    def test_another_device_is_refused_and_named(self):
        device, path = self.sealed()
        other = self.enrolled()
        before = len(self.told())
        for _ in range(2):
            self.assert_problem(other.ask("GET", path), 403, "policy", "another device")
        events = self.wait_told(before + 2)[before:]
        self.assertEqual([e["subj"]["device"] for e in events], [b64(other.id)] * 2)
        self.assertNotIn(b64(device.id), json.dumps(events))
        entries = self.operator("GET", "/v1/admin/audit?limit=100&type=blob.foreign").json()["items"]
        self.assertIn(b64(other.id), [e["subject"] for e in entries])
        self.assert_problem(other.ticket(use="u"), 403, "policy")  # rule UR-508
        self.assertEqual(device.ask("GET", path).status, 200)

    def test_a_bad_signature_is_refused_and_names_no_device(self):
        device, path = self.sealed()
        before = len(self.told())
        device.ask("GET", path)  # for a nonce
        forger = Device(self.server)
        forger.id, forger.nonce, forger.counter = device.id, device.nonce, device.counter + 5
        answer = forger.ask("GET", path)
        forger.wire.close()
        self.assertEqual(answer.status, 401, answer.body)
        self.assertEqual(len(self.told()), before)
        self.assertEqual(device.ask("GET", path).status, 200)

    def test_revoked_and_expired_are_told_what_they_were(self):
        device, path = self.sealed()
        self.operator("DELETE", "/v1/devices/" + b64(device.id))
        self.assert_problem(device.ask("GET", path), 410, "gone")


class UrlsOpen(Urls):
    def test_whoever_has_the_url_may_fetch(self):
        _, path = self.sealed()
        self.assertEqual(self.get(path).status, 200)
        self.assertEqual(self.get(path, Authorization="Basic eDp5").status, 200)

    def test_a_stray_after_the_delivery_is_told_of_by_its_network(self):
        device, path = self.sealed()
        before = len(self.told())
        whole = self.get(path)
        self.assertEqual(whole.status, 200)
        self.assertEqual(self.get(path).status, 200)  # the same network
        end = time.monotonic() + 30
        while len(self.told()) == before and time.monotonic() < end:  # the loop notes it a moment later
            self.assertEqual(self.get(path, "198.51.100.9").status, 200)
        event = self.told()[before]
        self.assertEqual(event["subj"]["net"], "198.51.100.0/24")
        self.assertNotIn("device", event["subj"])
        self.assertNotIn("user", event["subj"])
        self.assertEqual(device.ticket(headers={"X-Forwarded-For": "192.0.2.7"}, use="u").status, 201)

    def test_a_network_that_changes_before_the_delivery_is_none(self):
        _, path = self.sealed()
        before = len(self.told())
        self.assertEqual(self.get(path, "198.51.100.9", Range="bytes=0-99").status, 206)
        self.assertEqual(self.get(path, "203.0.113.9").status, 200)
        self.assertEqual(len(self.told()), before)


class UrlsBound(Urls):
    blobs = {"require_device": True}

    def test_without_a_signature_nobody_gets_it(self):
        device, path = self.sealed()
        self.assert_problem(self.get(path), 403, "policy", "signs")
        self.assertEqual(device.ask("GET", path).status, 200)


class Bans(Dev):
    """What an operator forbids holds for everything that is given."""

    def assert_banned(self, device, ticket):
        self.assert_problem(device.ticket(use="v"), 403, "policy", "not allowed")
        answer = device.ask("POST", "/v1/leases", {"request": b64(device.lease_request(ticket))})
        self.assertEqual(answer.json()["refused"], "revoked", answer.body)

    def leased(self):
        name = "m-" + os.urandom(4).hex()
        self.publish(name, lease_s=600)
        device = self.enrolled()
        return device, unb64(device.ticket(model=name).json()["ticket"])

    def test_banned_users_get_nothing_and_unbanned_ones_again(self):
        device, ticket = self.leased()
        user = b64(hashlib.sha256(b"earmark/1 owner\0\0" + device.user.encode()).digest())
        path = f"/v1/admin/users/{user}/ban"
        self.assertLess(self.operator("POST", path, {"reason": "a test"}).status, 300)
        self.assert_banned(device, ticket)
        other = Device(self.server, device.user)
        self.assert_problem(other.enrol(self.token), 403, "policy")
        self.assertLess(self.operator("DELETE", path).status, 300)
        self.assertEqual(device.ticket(use="v").status, 201)

    def test_listed_devices_and_users_get_nothing(self):
        for name, value in (("banned_devices", lambda d: b64(d.id)),
                            ("banned_users", lambda d: d.user)):
            device, ticket = self.leased()
            answer = self.operator("POST", "/v1/admin/lists/" + name,
                                   {"value": value(device), "reason": "a test"})
            self.assertLess(answer.status, 300, answer.body)
            self.assert_banned(device, ticket)

    def test_a_refusal_is_kept_as_a_decision(self):
        device, _ = self.leased()
        self.operator("POST", "/v1/admin/lists/banned_devices",
                      {"value": b64(device.id), "reason": "a test"})
        decision = device.ticket(use="v").json()["decision"]
        answer = self.operator("GET", "/v1/admin/decisions/" + decision)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((answer.json()["point"], answer.json()["action"]), ("ticket", "ban"))


class Sealers(Dev):
    """What services do, with keys that were put into the records directly."""

    def setUp(self):
        super().setUp()
        if not os.access(MINT, os.X_OK):
            self.skipTest("earmark-mint is not built")

    def service(self, scopes):
        data = os.path.join(self.server.dir, "dev", "data")
        key = subprocess.run([MINT, "service", data, scopes], capture_output=True, text=True,
                             check=True).stdout.strip()
        return {"Authorization": "Bearer " + key}

    def redeem(self, ticket, headers):
        return self.server.ask("POST", f"/v1/tickets/{ticket}/redeem", None, headers)

    def test_redeems_a_ticket_once(self):
        device, headers = self.enrolled(), self.service("seal")
        ticket = device.ticket(use="u").json()["id"]
        answer = self.redeem(ticket, headers)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((answer.json()["use"], answer.json()["marked"]), ("u", False))
        self.assert_problem(self.redeem(ticket, headers), 409, "used")

    def test_of_many_who_redeem_one_goes(self):
        device, headers = self.enrolled(), self.service("seal")
        ticket = device.ticket(use="u").json()["id"]
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.redeem(ticket, headers).status))
                   for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(got), [200] + [409] * 7)

    def test_refuses_to_redeem(self):
        device, headers = self.enrolled(), self.service("seal")
        ticket = device.ticket(use="u").json()["id"]
        self.assert_problem(self.redeem(ticket, self.service("publish")), 403, "forbidden")
        self.assert_problem(self.redeem(b64(os.urandom(16)), headers), 404, "not-found")
        self.assert_problem(self.redeem("x", headers), 404, "not-found")
        self.operator("DELETE", "/v1/devices/" + b64(device.id))
        self.assert_problem(self.redeem(ticket, headers), 403, "policy")

    def send(self, lines, headers):
        return self.server.ask("POST", "/v1/events/backend", lines.encode(),
                               {**headers, "Content-Type": "application/x-ndjson"})

    @staticmethod
    def event(**changed):
        value = {"v": 1, "id": "e-" + os.urandom(6).hex(), "src": "backend", "type": "pay.refund",
                 "ts": int(time.time() * 1000), "subj": {"user": "u-1"}}
        value.update(changed)
        return json.dumps({k: v for k, v in value.items() if v is not None}, separators=(",", ":"))

    def test_takes_events_of_backends(self):
        headers = self.service("events")
        answer = self.send(self.event() + "\n" + self.event(type="report.abuse") + "\n", headers)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["accepted"] + answer.json()["known"], 2)

    def test_refuses_events_that_are_none(self):
        headers = self.service("events")
        for bad in ("", "\n", "{}", self.event(src="server"), self.event(src="sdk"),
                    self.event(type="model.lease"), self.event(type="nothing"), self.event(id=None),
                    self.event(extra=1), self.event() + "x", self.event() + "\n[]"):
            self.assert_problem(self.send(bad, headers), 400, "invalid-body")
        many = "\n".join(self.event() for _ in range(129))
        self.assert_problem(self.send(many, headers), 413, "too-large")
        self.assert_problem(self.send(self.event(), self.service("seal")), 403, "forbidden")


class Full(earmarkd.OnSmallDisk):
    """The audit log on a disk of its own that is full: grants stop, revocation goes on."""
    part, size = os.path.join("data", "journal"), "128k"

    def test_revokes_where_grants_stop(self):
        token = self.server.dev()["operator_token"]
        bearer = {"Authorization": "Bearer " + token}
        device = Device(self.server)
        self.assertEqual(device.enrol(token).status, 201)
        self.assertEqual(device.ticket(use="u").status, 201)
        try:
            with open(os.path.join(self.disk, "filler"), "wb") as f:
                while True:
                    f.write(bytes(4096))
                    f.flush()
        except OSError:
            pass
        for _ in range(40):  # the last page of the log may have room yet
            answer = device.ticket(use="u")
            if answer.status != 201:
                break
        self.assertEqual(answer.status, 503, answer.body)
        path = "/v1/devices/" + b64(device.id)
        self.assertEqual(self.server.ask("DELETE", path, None, bearer).status, 204)
        self.assertEqual(device.ticket(use="u").status, 403)
        device.wire.close()


class Killed(unittest.TestCase):
    """Everything that was answered is there after kill -9, and revoked stays revoked."""

    def load(self, server, token, n_threads=4):
        """Devices that ask, and one that enrols and revokes, until told to stop."""
        stop, known = threading.Event(), {"tickets": [], "revoked": [], "enrolled": []}
        devices = self.devices[:n_threads]

        def ask(device):
            while not stop.is_set():
                try:
                    answer = device.ticket(use="u")
                except OSError:
                    return
                if answer.status == 201:
                    known["tickets"].append((device, unb64(answer.json()["ticket"])))

        def moderate():
            while not stop.is_set():
                device = Device(server, f"user-{len(known['enrolled'])}-{os.urandom(4).hex()}")
                try:
                    if device.enrol(token).status == 201:
                        known["enrolled"].append(device)
                    if len(known["enrolled"]) % 2 and server.ask(
                            "DELETE", "/v1/devices/" + b64(device.id), None,
                            {"Authorization": "Bearer " + token}).status == 204:
                        known["revoked"].append(device)
                except (OSError, ValueError, KeyError):
                    return
        threads = [threading.Thread(target=ask, args=(d,)) for d in devices]
        threads.append(threading.Thread(target=moderate))
        for t in threads:
            t.start()
        return stop, threads, known

    def records(self, server, kind):
        """From a copy, as the next start would find it."""
        copy = os.path.join(server.dir, "copy")
        shutil.rmtree(copy, ignore_errors=True)
        os.mkdir(copy)
        for name in ("records.db", "records.db-wal"):
            path = os.path.join(server.dir, "dev", "data", name)
            if os.path.exists(path):
                shutil.copy(path, copy)
        with sqlite3.connect(os.path.join(copy, "records.db")) as db:
            return {bytes(row[0]): bytes(row[1])
                    for row in db.execute("SELECT id, value FROM record WHERE kind = ?", (kind,))}

    @staticmethod
    def start_again(server):
        """Seconds until it says that it is ready."""
        began = time.monotonic()
        server.start()
        while server.ask("GET", "/readyz", internal=True).status != 200:
            if time.monotonic() - began > 60:
                raise AssertionError("it does not become ready")
            time.sleep(0.01)
        return time.monotonic() - began

    @staticmethod
    def logged(server, token):
        """How many entries of each type the audit log has."""
        found, at, size = {}, 0, server.metric("earmark_audit_entries")
        end = time.monotonic() + 60
        while True:
            page = server.ask("GET", f"/v1/admin/audit?limit=100&from={at}", None,
                              {"Authorization": "Bearer " + token}).json()
            for entry in page["items"]:
                found[entry["type"]] = found.get(entry["type"], 0) + 1
            if page["next"] == at and (at >= size or time.monotonic() > end):
                return found
            # A page may end early while a checkpoint replaces the files that it is read from.
            at = page["next"]

    def test_a_killed_keyholder_gives_nothing_and_loses_nothing(self):
        """Grants are 503 until both are started anew; what was granted is there."""
        server = Server()
        try:
            token = server.dev()["operator_token"]
            self.devices = [Device(server, f"load-{i}") for i in range(2)]
            for device in self.devices:
                self.assertEqual(device.enrol(token).status, 201)
            stop, threads, known = self.load(server, token, 2)
            end = time.monotonic() + 60
            while len(known["tickets"]) < 10 and time.monotonic() < end:
                time.sleep(0.02)
            os.kill(server.dev()["keyholder"], signal.SIGKILL)
            while (server.ask("GET", "/readyz", internal=True).status != 503 and
                   time.monotonic() < end):
                time.sleep(0.02)
            stop.set()
            for t in threads:
                t.join()
            answer = self.devices[0].ticket(use="u")
            self.assertEqual(answer.status, 503, answer.body)
            self.assertEqual(server.stop(), 0)
            tickets = {ticket_id(t) for _, t in known["tickets"]}
            self.assertGreater(len(tickets), 0)
            self.assertEqual(tickets - set(self.records(server, 9)), set())
            for device in self.devices:
                device.wire.close()
            os.remove(server.log_path)
            server.start()
            self.assertEqual(self.devices[0].ticket(use="u").status, 201)
            self.devices[0].wire.close()
        finally:
            server.close()

    FILL = """if True:
        import os, signal, sqlite3, sys
        path, size = sys.argv[1], int(sys.argv[2])
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA synchronous = OFF")
        while os.path.getsize(path + "-wal") < size:
            db.execute("BEGIN")
            for _ in range(8):
                db.execute("INSERT INTO record VALUES (99, ?, x'', ?, 1, 0)",
                           (os.urandom(32), os.urandom(900)))
            db.execute("COMMIT")
        os.kill(os.getpid(), signal.SIGKILL)
        """

    def test_a_log_as_long_as_it_gets_is_taken_up(self):
        """As after much writing: records.db-wal has 155 MB when it is killed.  See TIDY_PAGES_MAX."""
        times = []
        for size in [0, LONG] * 5 if MEASURE else [LONG]:
            server = Server()
            try:
                token = server.dev()["operator_token"]
                self.devices = [Device(server, f"load-{i}") for i in range(4)]
                for device in self.devices:
                    self.assertEqual(device.enrol(token).status, 201)
                stop, threads, known = self.load(server, token)
                end = time.monotonic() + 60
                while len(known["tickets"]) < 50 and time.monotonic() < end:
                    time.sleep(0.02)
                server.process.send_signal(signal.SIGKILL)
                stop.set()
                for t in threads:
                    t.join()
                server.process.wait()
                server.process.stdout.close()
                if size:
                    subprocess.run([sys.executable, "-c", self.FILL, os.path.join(
                        server.dir, "dev", "data", "records.db"), str(size)], check=False)
                os.remove(server.log_path)
                times.append((size, self.start_again(server)))
                stored = self.records(server, 9)
                self.assertEqual({ticket_id(t) for _, t in known["tickets"]} - set(stored), set())
                for device in self.devices:
                    device.wire.close()
            finally:
                server.close()
        for size in sorted({s for s, _ in times}):
            each = sorted(t for s, t in times if s == size)
            print(f"a log of {size / 1e6:.0f} MB more: ready again in {each[len(each) // 2]:.2f} s, at most "
                  f"{each[-1]:.2f} s, of {len(each)} (load {os.getloadavg()[0]:.1f})")

    def test_nothing_that_was_answered_is_lost(self):
        server = Server()
        try:
            token = server.dev()["operator_token"]
            self.devices = [Device(server, f"load-{i}") for i in range(4)]
            for device in self.devices:
                self.assertEqual(device.enrol(token).status, 201)
            tickets, revoked, enrolled, times = set(), set(), set(), []
            for _ in range(KILLS):
                stop, threads, known = self.load(server, token)
                time.sleep(0.2 + os.urandom(1)[0] / 512)
                server.process.send_signal(signal.SIGKILL)
                stop.set()
                for t in threads:
                    t.join()
                server.process.wait()
                server.process.stdout.close()
                tickets |= {ticket_id(t) for _, t in known["tickets"]}
                revoked |= {d.id for d in known["revoked"]}
                enrolled |= {d.id for d in known["enrolled"]}
                stored = self.records(server, 9)
                self.assertEqual(tickets - set(stored), set())
                devices = self.records(server, 1)
                self.assertEqual(enrolled - set(devices), set())
                for name in revoked:
                    self.assertIn(b"\x05\xf5", devices[name])  # 5: true
                os.remove(server.log_path)
                times.append(self.start_again(server))
                token = server.dev()["operator_token"]
                for device in self.devices:
                    device.wire.close()
            self.assertGreater(len(tickets), KILLS)
            self.assertGreater(len(revoked), 0)
            logged = self.logged(server, token)
            for kind, wanted in (("ticket.grant", len(tickets)), ("device.enrol", len(enrolled)),
                                 ("device.revoke", len(revoked))):
                self.assertGreaterEqual(logged.get(kind, 0), wanted, logged)
            times.sort()
            print(f"{KILLS} kills: {len(tickets)} tickets, {len(enrolled)} enrolments, {len(revoked)} "
                  f"revocations and their entries kept; ready again in {times[len(times) // 2]:.2f} s, "
                  f"at most {times[-1]:.2f} s (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)")
        finally:
            server.close()


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        print("SKIP earmarkd is not built")
        sys.exit(77)
    if "--kills" in sys.argv:
        where = sys.argv.index("--kills")
        KILLS = int(sys.argv[where + 1])
        MEASURE = True
        del sys.argv[where:where + 2]
    unittest.main(verbosity=2)
