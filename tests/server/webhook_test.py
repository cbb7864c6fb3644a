#!/usr/bin/env python3
"""Webhooks of the real server, out and in, against a receiver that misbehaves.
EARMARKD=bin/earmarkd webhook_test.py"""
import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import earmarkd
from earmarkd import Server

try:
    from device import Device, b64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

KEY, OLD_KEY = os.urandom(32), os.urandom(24)
PATIENCE = 60  # seconds; a machine may be slow, a lost message is lost for ever


def secret(*keys):
    return "".join("whsec_" + base64.b64encode(k).decode() + "\n" for k in keys)


def signature(key, message_id, seconds, body):
    mac = hmac.new(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mac).decode()


class Receiver:
    """Answers by a script: a status, or a function of the handler; then 204 for ever."""

    def __init__(self, script=(), port=0):
        self.got, self.script, self.lock = [], list(script), threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with receiver.lock:
                    receiver.got.append((dict((k.lower(), v) for k, v in self.headers.items()),
                                         body, time.time()))
                    step = receiver.script.pop(0) if receiver.script else 204
                if callable(step):
                    step(self)
                    return
                self.send_response(step)
                self.send_header("Content-Length", "0")
                if step in (301, 302, 307, 308):
                    self.send_header("Location", receiver.elsewhere)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.elsewhere = ""
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, n):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with self.lock:
                if len(self.got) >= n:
                    return list(self.got)
            time.sleep(0.02)
        raise AssertionError(f"{len(self.got)} of {n} messages came")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Hooked(unittest.TestCase):
    """A server with targets and sources; self.ask speaks as an operator."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="earmark-hooks-")
        self.secret = self.write("secret", secret(KEY))
        self.receivers, self.server = [], None

    def tearDown(self):
        if self.server:
            self.server.close()
        for r in self.receivers:
            r.close()
        shutil.rmtree(self.folder)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def receiver(self, *script, **more):
        self.receivers.append(Receiver(script, **more))
        return self.receivers[-1]

    def target(self, url, name="one", **more):
        return {"name": name, "url": url, "secret_file": self.secret, **more}

    def config(self, *targets, **more):
        hooks = {"targets": list(targets), "retry": "50ms", "per_minute": 60000, **more}
        return {"api": {"attestation_none": True, "ticket_without_token": True}, "webhooks": hooks}

    def start(self, *targets, **more):
        self.server = Server(self.config(*targets, **more))
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               self.server.config_path(), "--generate"], stdout=subprocess.PIPE, check=True)
        self.password = made.stdout.decode().strip()
        self.login()

    def login(self):
        answer = self.server.ask("POST", "/v1/admin/sessions", {"name": "ann", "password": self.password})
        self.assertEqual(answer.status, 201, answer.body)
        self.token = answer.json()["token"]

    def restart(self, how=signal.SIGKILL):
        self.server.stop(how)
        os.truncate(self.server.log_path, 0)
        self.server.start()

    def ask(self, method, path, body=None, headers=None):
        return self.server.ask(method, path, body,
                               {"Authorization": "Bearer " + self.token, **(headers or {})})

    def poke(self, name="one"):
        answer = self.ask("POST", f"/v1/admin/webhooks/{name}/test", {"reason": "a test"})
        self.assertEqual(answer.status, 204, answer.body)

    def state(self, name="one"):
        return next(t for t in self.ask("GET", "/v1/admin/webhooks").json()["items"]
                    if t["name"] == name)

    def wait_state(self, name="one", **want):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            state = self.state(name)
            if all(state[k] == v for k, v in want.items()):
                return state
            time.sleep(0.05)
        self.fail(f"{state} is not {want}")

    def check(self, got, key=KEY):
        """A message is signed over its id, its time and its body; returns the body."""
        headers, body, when = got
        seconds = int(headers["webhook-timestamp"])
        self.assertLess(abs(when - seconds), 5 + PATIENCE)
        self.assertIn(signature(key, headers["webhook-id"], seconds, body),
                      headers["webhook-signature"].split(" "))
        message = json.loads(body)
        self.assertEqual(message["id"], headers["webhook-id"])
        self.assertEqual(headers["content-type"], "application/json")
        return message


class Out(Hooked):
    def test_a_message_is_signed_and_sent_once(self):
        r = self.receiver()
        self.start(self.target(r.url))
        self.poke()
        message = self.check(r.wait(1)[0])
        self.assertEqual(message["type"], "test")
        self.assertEqual(message["data"], {"by": "ann"})
        self.assertLess(abs(message["time"] - time.time()), 60 + PATIENCE)
        self.wait_state(waiting=0, sent=1, failed=0, last_code=204)
        self.assertEqual(len(r.got), 1)
        self.assertEqual(self.server.metric('earmark_webhooks_total{result="sent"}'), 1)
        self.assertEqual(self.server.metric("earmark_messenger_up"), 1)

    def test_both_keys_sign_while_one_is_replaced(self):
        r = self.receiver()
        self.write("secret", secret(KEY, OLD_KEY))
        self.start(self.target(r.url))
        self.poke()
        got = r.wait(1)[0]
        self.check(got)
        self.check(got, OLD_KEY)

    def test_failures_are_tried_again_under_the_same_id(self):
        def garbage(handler):
            handler.wfile.write(b"\x00\xffnot http at all\r\n\r\n")
            handler.close_connection = True

        def cut(handler):
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True

        def endless(handler):
            handler.send_response(500)
            handler.end_headers()
            try:
                for _ in range(10000):
                    handler.wfile.write(b"x" * 4096)
            except OSError:
                pass
            handler.close_connection = True

        r = self.receiver(500, garbage, cut, endless, 404)
        self.start(self.target(r.url), retry="10ms")
        self.poke()
        got = r.wait(6)
        self.assertEqual(len({g[0]["webhook-id"] for g in got}), 1)
        for g in got:
            self.check(g)
        self.wait_state(waiting=0, sent=1, failed=5)

    def test_a_receiver_says_when(self):
        def later(handler):
            handler.send_response(429)
            handler.send_header("Retry-After", "2")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        r = self.receiver(later)
        self.start(self.target(r.url), retry="10ms")
        self.poke()
        got = r.wait(2)
        self.assertGreaterEqual(got[1][2] - got[0][2], 1.9)

    def test_redirects_are_not_followed(self):
        r, elsewhere = self.receiver(302, 307, 308), self.receiver()
        r.elsewhere = elsewhere.url
        self.start(self.target(r.url), retry="10ms")
        self.poke()
        r.wait(4)
        self.assertEqual(elsewhere.got, [])

    def test_a_slow_receiver_holds_up_nobody_else(self):
        free = threading.Event()
        slow, quick = self.receiver(lambda handler: free.wait(PATIENCE)), self.receiver()
        self.start(self.target(slow.url), self.target(quick.url, "two"))
        self.poke()
        slow.wait(1)
        for _ in range(5):
            self.poke("two")
        quick.wait(5)
        free.set()
        slow.wait(2)
        self.wait_state(waiting=0, sent=1)

    def test_what_was_queued_survives_kill_9(self):
        port = unused_port()
        self.start(self.target(f"http://127.0.0.1:{port}/hook"))
        for _ in range(3):
            self.poke()
        self.wait_state(waiting=3)
        self.restart(signal.SIGKILL)
        r = self.receiver(port=port)
        got = r.wait(3)
        self.assertEqual(len({g[0]["webhook-id"] for g in got}), 3)
        for g in got:
            self.check(g)

    def test_a_server_killed_between_delivery_and_note_sends_the_same_id_again(self):
        free = threading.Event()
        r = self.receiver(lambda handler: free.wait(PATIENCE))
        self.start(self.target(r.url))
        self.poke()
        r.wait(1)
        self.restart(signal.SIGKILL)
        free.set()
        got = r.wait(2)
        self.assertEqual(got[0][0]["webhook-id"], got[1][0]["webhook-id"])

    def test_a_full_queue_drops_and_counts(self):
        self.start(self.target(f"http://127.0.0.1:{unused_port()}/"), queue=2, retry="1h")
        self.poke()
        self.poke()
        self.assertEqual(self.ask("POST", "/v1/admin/webhooks/one/test", {"reason": "a test"}).status, 507)
        self.assertEqual(self.state()["dropped"], 1)

    def test_a_disabled_target_gets_nothing_until_it_is_enabled(self):
        r = self.receiver()
        self.start(self.target(r.url))
        self.assertEqual(self.ask("POST", "/v1/admin/webhooks/one/disable", {"reason": "noise"}).status, 204)
        self.restart(signal.SIGTERM)
        self.login()
        self.assertTrue(self.state()["disabled"])
        self.poke()  # waits
        self.assertEqual(self.state()["waiting"], 1)
        self.assertEqual(r.got, [])
        self.assertEqual(self.ask("POST", "/v1/admin/webhooks/one/enable", {"reason": "a test"}).status, 204)
        r.wait(1)

    def test_without_the_messenger_messages_wait_and_the_server_goes_on(self):
        r = self.receiver()
        self.start(self.target(r.url))
        pid = self.messenger()
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + PATIENCE
        while self.server.metric("earmark_messenger_up") and time.monotonic() < end:
            time.sleep(0.05)
        self.assertIn("the messenger is gone", self.server.log())
        self.poke()
        self.assertEqual(self.state()["waiting"], 1)
        self.restart(signal.SIGTERM)
        r.wait(1)

    def messenger(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                    name, _, rest = f.read().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if name == "earmarkd-hooks" and int(rest.split()[1]) == self.server.process.pid:
                return int(pid)
        self.fail("no messenger")

    def test_nobody_there_and_nobody_asked(self):
        self.start(self.target(f"http://127.0.0.1:{unused_port()}/"))
        self.assertEqual(self.ask("POST", "/v1/admin/webhooks/none/test", {"reason": "a test"}).status, 404)
        self.assertEqual(self.server.ask("GET", "/v1/admin/webhooks").status, 401)


class Kinds(Hooked):
    def publish(self, name, query=""):
        answer = self.ask("PUT", f"/v1/models/{name}/1{query}", os.urandom(500),
                          {"Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)

    def test_a_ban_is_told_to_who_wants_it(self):
        bans, revoked = self.receiver(), self.receiver()
        self.start(self.target(bans.url, kinds="decision.deny decision.ban"),
                   self.target(revoked.url, "two", kinds="device.revoked"))
        self.publish("decoy", "?decoy=1")
        device = Device(self.server, "curious")
        self.assertEqual(device.enrol(self.token).status, 201)
        self.ticket(device)
        message = self.check(bans.wait(1)[0])
        self.assertEqual(message["type"], "decision.ban", message)
        self.assertEqual(message["data"]["device"], b64(device.id))
        self.assertNotIn("curious", json.dumps(message))
        self.assertEqual(self.ask("POST", f"/v1/admin/devices/{b64(device.id)}/revoke",
                                  {"reason": "test"}).status, 204)
        message = self.check(revoked.wait(1)[0])
        self.assertEqual(message["type"], "device.revoked")
        self.assertEqual(message["data"], {"device": b64(device.id)})
        self.assertEqual({json.loads(g[1])["type"] for g in bans.got}, {"decision.ban"})

    def ticket(self, device):
        for _ in range(3):
            self.assertNotEqual(device.ticket(model="decoy").status, 401)
        device.wire.close()


class Reload(Hooked):
    """What a reload takes over: targets, sources and their secrets."""
    TAKEN = "webhooks go to the targets of the configuration"

    def reload(self, *words):
        """Until the log has as many more of the words as are given."""
        before = {w: self.server.log().count(w) for w in words}
        self.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        while any(self.server.log().count(w) == n for w, n in before.items()):
            self.assertLess(time.monotonic(), end, self.server.log())
            time.sleep(0.02)

    def change(self, *targets, **more):
        self.server.write_config(self.config(*targets, **more))
        self.reload('"reloaded"', self.TAKEN)

    def names(self):
        return [t["name"] for t in self.ask("GET", "/v1/admin/webhooks").json()["items"]]

    def test_targets_change_and_nothing_that_waits_is_lost(self):
        first, second, late = self.receiver(), self.receiver(), self.receiver()
        nobody = f"http://127.0.0.1:{unused_port()}/"
        self.start(self.target(first.url), self.target(nobody, "two"), self.target(nobody, "three"))
        self.poke()
        first.wait(1)
        for name in ("two", "three"):
            for _ in range(3):
                self.poke(name)
        self.change(self.target(late.url, "four"), self.target(nobody, "three"), self.target(second.url))
        self.assertEqual(self.names(), ["four", "three", "one"])
        self.assertEqual(self.state("three")["waiting"], 3)
        self.assertEqual(self.ask("POST", "/v1/admin/webhooks/two/test", {"reason": "a test"}).status, 404)
        self.poke()
        self.check(second.wait(1)[0])
        self.poke("four")
        self.check(late.wait(1)[0])
        self.change(self.target(second.url, "two"), self.target(late.url, "three"))
        self.assertEqual(self.names(), ["two", "three"])
        for r in (second, late):
            got = r.wait(4)
            self.assertEqual(len({g[0]["webhook-id"] for g in got}), 4)
        self.assertEqual(len(first.got), 1)

    def test_secrets_change_and_sign_from_then_on(self):
        r, new = self.receiver(), os.urandom(32)
        self.start(self.target(r.url))
        self.write("secret", secret(new, KEY))
        self.reload(self.TAKEN)
        self.poke()
        got = r.wait(1)[0]
        self.check(got, new)
        self.check(got, KEY)
        self.assertTrue(got[0]["webhook-signature"].startswith(
            signature(new, got[0]["webhook-id"], int(got[0]["webhook-timestamp"]), got[1])))
        self.write("secret", secret(new))
        self.reload(self.TAKEN)
        self.poke()
        got = r.wait(2)[1]
        self.check(got, new)
        self.assertEqual(len(got[0]["webhook-signature"].split(" ")), 1)

    def test_what_is_not_good_changes_nothing(self):
        r, elsewhere = self.receiver(), self.receiver()
        self.start(self.target(r.url))
        self.write("secret", "nonsense\n")
        self.server.write_config(self.config(self.target(elsewhere.url)))
        self.reload("the webhooks' targets stay as they were")
        self.poke()
        self.check(r.wait(1)[0])
        files = self.ask("GET", "/v1/admin/reload").json()["files"]
        self.assertTrue(files["webhook_targets"]["failed"])
        self.write("secret", secret(KEY))
        self.reload(self.TAKEN)
        self.poke()
        self.check(elsewhere.wait(1)[0])
        self.assertFalse(self.ask("GET", "/v1/admin/reload").json()["files"]["webhook_targets"]["failed"])

    def test_what_is_on_its_way_arrives_once_and_what_comes_meanwhile_after_it(self):
        free = threading.Event()
        slow, second = self.receiver(lambda handler: free.wait(PATIENCE)), self.receiver()
        self.start(self.target(slow.url), self.target(second.url, "two"))
        self.poke()
        slow.wait(1)
        self.server.write_config(self.config(self.target(second.url, "two"), self.target(slow.url)))
        self.reload('"reloaded"')
        self.poke("two")
        self.assertNotIn(self.TAKEN, self.server.log())
        free.set()  # an answer without a word: a failure, which is tried again
        second.wait(1)
        got = slow.wait(2)
        self.assertEqual(got[0][0]["webhook-id"], got[1][0]["webhook-id"])
        self.wait_state(waiting=0, sent=1)
        self.wait_state("two", waiting=0, sent=1)

    def test_the_first_target_waits_for_a_restart_and_the_log_says_so(self):
        self.start()
        self.server.write_config(self.config(self.target("https://example.com/")))
        self.reload('"reload: changed, needs a restart","detail":"webhooks.targets"')

    def send(self, key, source, message_id):
        body, now = b'{"outcome":"chargeback","user":"mallory"}', int(time.time())
        return self.server.ask("POST", f"/v1/webhooks/{source}", body, {
            "webhook-id": message_id, "webhook-timestamp": str(now), "Content-Type": "application/json",
            "webhook-signature": signature(key, message_id, now, body)}).status

    def test_sources_and_their_secrets_change(self):
        source = {"name": "pay", "secret_file": self.secret, "tenant": "t1"}
        other = {"name": "desk", "secret_file": self.secret, "tenant": "t2"}
        new = os.urandom(32)
        self.start(sources=[source])
        self.assertEqual((self.send(KEY, "pay", "m1"), self.send(new, "pay", "m2")), (200, 403))
        self.write("secret", secret(new, KEY))
        self.reload('"reloaded"')
        self.assertEqual((self.send(KEY, "pay", "m3"), self.send(new, "pay", "m4")), (200, 200))
        self.write("secret", secret(new))
        self.server.write_config(self.config(sources=[source, other]))
        self.reload('"reloaded"')
        self.assertEqual((self.send(KEY, "pay", "m5"), self.send(new, "pay", "m6")), (403, 200))
        self.assertEqual(self.send(new, "desk", "m7"), 200)
        self.server.write_config(self.config(sources=[other]))
        self.reload('"reloaded"')
        self.assertEqual((self.send(new, "pay", "m8"), self.send(new, "desk", "m9")), (403, 200))
        self.write("secret", "nonsense\n")
        self.reload("the webhooks' sources stay as they were")
        self.assertEqual(self.send(new, "desk", "m10"), 200)


class In(Hooked):
    def setUp(self):
        super().setUp()
        self.write("secret", secret(KEY, OLD_KEY))
        self.start(sources=[{"name": "pay", "secret_file": self.secret, "tenant": "t1"}])

    def send(self, body, message_id="m1", seconds=None, key=KEY, source="pay", **changed):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        seconds = int(time.time()) if seconds is None else seconds
        headers = {"webhook-id": message_id, "webhook-timestamp": str(seconds),
                   "webhook-signature": signature(key, message_id, seconds, raw),
                   "Content-Type": "application/json", **changed}
        return self.server.ask("POST", f"/v1/webhooks/{source}", raw,
                               {k: v for k, v in headers.items() if v is not None})

    def events(self):
        folder, lines = os.path.join(self.server.dir, "data", "fraud"), []
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name), encoding="ascii") as f:
                    lines += [json.loads(line) for line in f]
        return [line for line in lines if line["type"] != "admin.rules"]

    BODY = {"outcome": "chargeback", "user": "mallory", "at": 1700000000}

    def test_an_outcome_is_an_event_and_a_label_with_time_and_source(self):
        answer = self.send(self.BODY)
        self.assertEqual((answer.status, answer.json()), (200, {"accepted": 1, "known": 0}), answer.body)
        events = {e["type"]: e for e in self.events()}
        self.assertEqual(set(events), {"pay.chargeback", "label.fraud"})
        label = events["label.fraud"]
        self.assertEqual(label["ts_client"], 1700000000000)
        self.assertEqual(label["res"]["reason"], "chargeback")
        self.assertEqual(label["tenant"], "t1")
        owner = hashlib.sha256(b"earmark/1 owner\0" + b"t1\0mallory").digest()
        self.assertEqual(label["subj"]["user"], b64(owner))
        self.assertNotIn("mallory", json.dumps(self.events()))

    def test_a_message_counts_once_however_often_it_comes(self):
        for i in range(3):
            self.assertEqual(self.send(self.BODY).json()["known"], int(i > 0))
        self.restart(signal.SIGKILL)
        self.assertEqual(self.send(self.BODY).json(), {"accepted": 0, "known": 1})
        self.assertEqual(len(self.events()), 2)
        self.assertEqual(self.send({**self.BODY, "user": "other"}).status, 409)
        self.assertEqual(self.send(self.BODY, "m2", key=OLD_KEY).json()["accepted"], 1)

    def test_what_is_not_signed_now_by_the_source_is_refused(self):
        now = int(time.time())
        for changed in ({"key": os.urandom(32)}, {"seconds": now - 400}, {"seconds": now + 400},
                        {"source": "nobody"}, {"webhook-signature": None}, {"webhook-id": None},
                        {"webhook-timestamp": None}, {"webhook-timestamp": "later"},
                        {"webhook-timestamp": str(now - 1)}, {"webhook-id": "m2"},
                        {"webhook-signature": "v1,AAAA"}, {"webhook-signature": "v2," + "A" * 43 + "="},
                        {"message_id": "m.1"}, {"message_id": "m" * 65}):
            answer = self.send(self.BODY, **changed)
            self.assertEqual(answer.status, 403, (changed, answer.body))
        body = json.dumps(self.BODY).encode()
        good = signature(KEY, "m1", now, body)
        self.assertEqual(self.send(body + b" ", seconds=now, **{"webhook-signature": good}).status, 403)
        self.assertEqual(self.events(), [])

    def test_a_signed_body_must_make_sense(self):
        for i, body in enumerate((b"{", b"[]", {}, {"outcome": "x", "user": "u"}, {"outcome": "support", "user": "u"},
                                  {"outcome": "chargeback"}, {**self.BODY, "device": "A" * 43},
                                  {**self.BODY, "label": "guilty"}, {**self.BODY, "more": 1},
                                  {**self.BODY, "at": -1}, {**self.BODY, "user": "u" * 300})):
            answer = self.send(body, f"bad{i}")
            self.assertEqual(answer.status, 400, (body, answer.body))
        self.assertEqual(self.events(), [])


class Config(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="earmark-hooks-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def refuse(self, target, words):
        path = os.path.join(self.folder, "secret")
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii") as f:
                f.write(secret(KEY))
            os.chmod(path, 0o600)
        target = {"name": "one", "url": "https://example.com/", "secret_file": path, **target}
        server = Server({"webhooks": {"targets": [target]}}, wait=False)
        try:
            self.assertNotEqual(server.process.wait(60), 0)
            self.assertIn(words, server.log())
        finally:
            server.close()

    def test_a_target_that_must_not_be_is_an_error_with_its_place(self):
        self.refuse({"url": "http://example.com/"}, "http goes to this machine only")
        self.refuse({"url": "ftp://example.com/"}, "begins with https://")
        self.refuse({"url": "https://u:p@example.com/"}, "no user, password")
        self.refuse({"url": "https://"}, "names no host")
        self.refuse({"name": "A b"}, "a-z, 0-9")
        self.refuse({"kinds": "decision.deny nothing"}, 'there is no \\u0022nothing\\u0022')
        self.refuse({"more": "x"}, "more")

    def test_a_secret_that_is_none_stops_the_start(self):
        for text in ("", "hello\n", "whsec_AAAA\n", secret(KEY, KEY, KEY)):
            path = os.path.join(self.folder, "other")
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(path, 0o600)
            self.refuse({"secret_file": path}, "a webhook's secret cannot be used")
        self.refuse({"secret_file": os.path.join(self.folder, "absent")}, "cannot be used")


if __name__ == "__main__":
    unittest.main()
