#!/usr/bin/env python3
"""The keys that sign: rotation without downtime, kills in the middle of it, tokens, TPMs.
EARMARKD=bin/earmarkd EARMARK=bin/earmark keys_test.py"""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../scenario"))
import earmarkd
from earmarkd import Server

try:
    from device import Device, b64, cbor_decode, payload, ticket_id, unb64
except ImportError:
    print("SKIP python3-cryptography is not here")
    sys.exit(77)

EARMARK = os.environ.get("EARMARK", "")
ADMIN = "/v1/admin/"
SOFTHSM = next((p for p in ("/usr/lib/softhsm/libsofthsm2.so",
                            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so") if os.path.exists(p)), "")
OPEN = {"api": {"attestation_none": True, "ticket_without_token": True}}


class Case(unittest.TestCase):
    config = OPEN

    def setUp(self):
        self.devices = []
        self.home = tempfile.mkdtemp(prefix="earmark-keys-")
        self.addCleanup(shutil.rmtree, self.home, True)
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home, "TERM": "dumb",
                    "EARMARK_DEVICE": os.path.join(self.home, "phone")}
        self.env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        self.server = Server(self.make_config())
        self.addCleanup(self.server.close)
        self.sign_in()

    def make_config(self):
        return self.config

    def sign_in(self):
        made = subprocess.run([earmarkd.BINARY, "operator", "add", "ann", "--config",
                               self.server.config_path(), "--generate", "--replace"],
                              capture_output=True, check=True)
        self.password = made.stdout.decode().strip()
        self.login()

    def login(self):
        token = self.server.ask("POST", ADMIN + "sessions", {"name": "ann", "password": self.password})
        self.token = token.json()["token"]
        raised = self.ask("POST", "sessions/step-up", {"password": self.password})
        self.token = raised.json()["token"]

    def ask(self, method, path, body=None):
        return self.server.ask(method, path if path.startswith("/") else ADMIN + path, body,
                               {"Authorization": "Bearer " + self.token})

    def ok(self, method, path, body=None, status=200):
        answer = self.ask(method, path, body)
        self.assertEqual(answer.status, status, (path, answer.body))
        return answer.json() if answer.body else None

    def permit(self, *words):
        """On the server's machine; --dev wants none."""
        if self.config is not None:
            subprocess.run([earmarkd.BINARY, "permit", *words, "--config", self.server.config_path()],
                           check=True, capture_output=True)

    def rotate(self, which="issuer"):
        self.permit("rotate", which, "--force")
        return self.ok("POST", f"signing-keys/{which}/rotate", {"reason": "a test"})

    def retire(self, kid):
        self.permit("retire", kid, "--force")
        return self.ok("POST", f"signing-keys/{kid}/retire", {"reason": "stolen", "force": True})

    def keys(self, which="issuer"):
        return [k for k in self.ok("GET", "signing-keys")["items"] if k["key"] == which]

    def issuer(self):
        return self.server.ask("GET", "/.well-known/earmark").json()["issuer"]["public_key"]

    def publish(self, name, query=""):
        answer = self.server.ask("PUT", f"/v1/models/{name}/1{query}", os.urandom(5000),
                                 {"Authorization": "Bearer " + self.token,
                                  "Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, 201, answer.body)

    def device(self, user="alice"):
        device = Device(self.server, user)
        self.devices.append(device)
        self.addCleanup(device.wire.close)
        self.assertEqual(device.enrol(self.token).status, 201)
        return device

    def restart(self, how=signal.SIGTERM):
        for device in self.devices:
            device.wire.close()
        self.server.stop(how)
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start()

    # ---- the command line ----

    def earmark(self, *words, code=0):
        run = subprocess.run([EARMARK, *words], env=self.env, capture_output=True, timeout=120)
        self.assertEqual(run.returncode, code, (words, run.stdout, run.stderr))
        return run.stdout.decode()

    def enrol(self, code=0):
        path = os.path.join(self.home, "token")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.token)
        self.env["EMK_SERVER"] = f"http://127.0.0.1:{self.server.port}"
        self.earmark("enrol", "--token", path, "--user", "alice", code=code)


class Rotate(Case):
    def test_old_certificates_and_tickets_go_on_and_new_ones_are_by_the_new_key(self):
        self.publish("m", "?lease_s=600")
        device, before = self.device(), self.issuer()
        old = unb64(device.ticket(model="m").json()["ticket"])
        answer = self.rotate()
        self.assertNotEqual(self.issuer(), before)
        self.assertEqual([k["state"] for k in answer["items"] if k["key"] == "issuer"],
                         ["taken", "signs"])
        self.assertEqual(device.ticket(model="m").status, 201)  # with the old certificate
        lease = device.ask("POST", "/v1/leases", {"request": b64(device.lease_request(old))})
        self.assertEqual(lease.status, 200, lease.body)
        receipt = device.ask("POST", "/v1/receipts", {"receipt": b64(device.receipt(old))})
        self.assertEqual(receipt.status, 204)
        self.assertEqual(self.device("bob").ticket(model="m").status, 201)
        self.restart(signal.SIGKILL)
        self.assertEqual([k["state"] for k in self.keys()], ["taken", "signs"])
        self.assertEqual(device.ticket(model="m").status, 201)

    def test_a_retired_keys_certificates_are_refused(self):
        device = self.device()
        first = self.keys()[0]["id"]
        self.assertEqual(self.ask("POST", f"signing-keys/{first}/retire", {"reason": "x"}).status, 409)
        self.rotate()
        self.assertEqual(self.ask("POST", f"signing-keys/{first}/retire", {"reason": "x"}).status, 409)
        self.assertEqual(self.ask("POST", "signing-keys/AAAAAAAAAAA/retire", {"reason": "x"}).status, 404)
        self.retire(first)
        self.assertEqual(self.keys()[0]["state"], "retired")
        self.assertEqual(device.ticket(use="u").status, 422)
        new = self.device("bob")
        self.restart(signal.SIGKILL)
        self.assertEqual(device.ticket(use="u").status, 422)
        new.wire.close()
        self.assertEqual(new.ticket(use="u").status, 201)

    def test_each_change_is_in_the_log_before_it_is_made(self):
        was = self.keys()[0]["id"]
        self.rotate()
        self.rotate("sealing")
        entries = [e for e in self.ok("GET", "audit?limit=100&type=signing.")["items"]]
        self.assertEqual([(e["type"], e["object"]) for e in entries],
                         [("signing.rotate", "key:issuer"), ("signing.rotate", "key:sealing")])
        self.assertEqual(entries[0]["was"], was)
        self.assertEqual(self.ask("POST", "signing-keys/audit/rotate", {"reason": "x"}).status, 404)

    def test_nobody_is_refused_while_keys_are_rotated(self):
        self.publish("m")
        device, bad, stop = self.device(), [], threading.Event()

        def work():
            while not stop.is_set():
                answer = device.ticket(model="m")
                if answer.status != 201:
                    bad.append((answer.status, answer.body))
        thread = threading.Thread(target=work)
        thread.start()
        try:
            for which in ("issuer", "sealing") * 7 + ("sealing",) * 5:
                self.rotate(which)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(bad, [])
        self.assertEqual(len(self.keys()), 8)
        # The oldest would be forgotten, and devices have certificates of it.
        answer = self.ask("POST", "signing-keys/issuer/rotate", {"reason": "x"})
        self.assertEqual(answer.status, 409, answer.body)
        self.retire(self.keys()[0]["id"])
        self.rotate()
        self.assertEqual(len(self.keys()), 8)

    def test_the_key_files_are_the_new_ones(self):
        self.rotate()
        keys = os.path.join(self.server.dir, "keys")
        with open(os.path.join(keys, "issuer.pub"), encoding="utf-8") as f:
            self.assertEqual(f.read().split()[1], self.issuer())
        for name in ("issuer.key", "sealing.key"):
            self.assertEqual(os.stat(os.path.join(keys, name)).st_mode & 0o777, 0o600)

    def test_the_scopes_and_the_step_up_are_asked_for(self):
        self.ok("POST", "operators", {"name": "reader", "password": "correct horse reader",
                                      "scopes": ["read"]}, 201)
        token = self.server.ask("POST", ADMIN + "sessions",
                                {"name": "reader", "password": "correct horse reader"}).json()["token"]
        auth = {"Authorization": "Bearer " + token}
        self.assertEqual(self.server.ask("GET", ADMIN + "signing-keys", None, auth).status, 200)
        self.assertIn(self.server.ask("POST", ADMIN + "signing-keys/issuer/rotate", {"reason": "x"},
                                      auth).status, (401, 403))


@unittest.skipUnless(EARMARK, "EARMARK is not set")
class Device_(Case):
    """With --dev: what a server's URLs say is where it is."""
    config = None

    def sign_in(self):
        dev = self.server.dev()
        self.token, self.password = dev["operator_token"], dev["operator_password"]

    def test_a_device_learns_the_new_key_and_keeps_what_it_has(self):
        self.publish("one", "?lease_s=600")
        self.publish("two")
        self.publish("three")
        self.enrol()
        self.earmark("fetch", "one", "--user", "alice")
        self.rotate()
        self.earmark("fetch", "two", "--user", "alice")
        self.earmark("open", "one", "--user", "alice", "--sha256")
        self.earmark("open", "two", "--user", "alice", "--sha256")
        self.earmark("renew", "--all")
        self.rotate()
        self.rotate()
        self.earmark("enrol")  # a new certificate, by the newest key
        self.earmark("fetch", "three", "--user", "alice")
        for name in ("one", "two", "three"):
            self.earmark("open", name, "--user", "alice", "--sha256")

    def test_a_renewal_alone_is_enough_to_learn(self):
        self.publish("one", "?lease_s=600")
        self.enrol()
        self.earmark("fetch", "one", "--user", "alice")
        self.rotate()
        self.earmark("renew", "--all")
        self.earmark("open", "one", "--user", "alice", "--sha256")

    def test_a_chain_that_does_not_lead_on_is_no_way_in(self):
        """A server with a key of its own, and a chain of its own, is another issuer."""
        self.enrol()
        other = Server()
        self.addCleanup(other.close)
        mine, self.server = self.server, other
        self.sign_in()
        self.rotate()
        self.env["EMK_SERVER"] = f"http://127.0.0.1:{other.port}"
        path = os.path.join(self.home, "token")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.token)
        self.earmark("enrol", "--server", self.env["EMK_SERVER"], "--token", path, "--user", "alice",
                     code=7)
        self.server = mine

    def test_the_command_lists_rotates_and_retires(self):
        password = os.path.join(self.home, "password")
        with open(password, "w", encoding="utf-8") as f:
            f.write(self.password)
        with_password = ("--password-file", password)
        self.earmark("admin", "login", "dev", "--server", f"http://127.0.0.1:{self.server.port}",
                     *with_password)
        self.assertIn("signs", self.earmark("admin", "signing", "list"))
        first = self.keys()[0]["id"]
        self.earmark("admin", "signing", "rotate", "issuer", "--reason", "monthly", *with_password)
        self.earmark("admin", "signing", "rotate", "sealing", "--reason", "monthly")
        self.earmark("admin", "signing", "retire", first, "--reason", "x", code=10)
        self.earmark("admin", "signing", "retire", first, "--reason", "x", "--force")
        self.assertIn("retired", self.earmark("admin", "signing", "list"))
        self.earmark("admin", "signing", "rotate", "moon", "--reason", "x", code=12)


class Permits(Case):
    """What the HTTP process asks for alone, the keyholder does not do."""

    def folder(self):
        return os.path.join(self.server.dir, "keys")

    def record(self):
        with open(os.path.join(self.folder(), "changes"), encoding="utf-8") as f:
            return [line.split()[1:] for line in f]

    def ask_rotation(self, which="issuer"):
        return self.ask("POST", f"signing-keys/{which}/rotate", {"reason": "x"})

    def test_an_operator_over_the_network_alone_changes_no_key(self):
        before = self.ok("GET", "signing-keys")
        for which in ("issuer", "sealing"):
            answer = self.ask_rotation(which)
            self.assertEqual(answer.status, 403, answer.body)
            self.assertIn("earmarkd permit", answer.json()["detail"])
        self.assertEqual(self.ok("GET", "signing-keys"), before)
        self.rotate()
        first = self.keys()[0]["id"]
        body = {"reason": "x", "force": True}
        self.assertEqual(self.ask("POST", f"signing-keys/{first}/retire", body).status, 403)
        self.permit("retire", self.keys()[1]["id"], "--force")  # of another key
        self.assertEqual(self.ask("POST", f"signing-keys/{first}/retire", body).status, 403)
        self.permit("retire", first)  # not before its time
        self.assertEqual(self.ask("POST", f"signing-keys/{first}/retire", body).status, 409)
        self.retire(first)
        self.assertEqual([k["state"] for k in self.keys()], ["retired", "signs"])

    def test_a_permit_is_for_one_of_two_that_come_at_once(self):
        for _ in range(5):
            n = len(self.keys())
            self.permit("rotate", "issuer", "--force")
            answers, ready = [], threading.Barrier(2)

            def work():
                ready.wait()
                answers.append(self.ask_rotation().status)
            threads = [threading.Thread(target=work) for _ in range(2)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(answers), [200, 403])
            self.assertEqual(len(self.keys()), n + 1)

    def test_the_last_rotation_is_an_hour_ago_or_it_is_meant(self):
        self.permit("rotate", "issuer")
        self.assertEqual(self.ask_rotation().status, 200)
        self.permit("rotate", "issuer")
        self.assertEqual(self.ask_rotation().status, 409)
        self.permit("rotate", "issuer", "--force")
        self.assertEqual(self.ask_rotation().status, 200)

    def test_what_happened_is_in_the_folder_of_the_keys(self):
        first = self.keys()[0]["id"]
        self.ask_rotation()
        self.permit("rotate", "issuer")
        self.ask_rotation()
        second = self.keys()[1]["id"]
        lines = [" ".join(line) for line in self.record()]
        self.assertIn(f"start issuer key={first}", lines[0])
        self.assertEqual(lines[2:], [f"refused rotate-issuer key={first} status=E_POLICY",
                                     f"begins rotate-issuer key={first} by=permit",
                                     f"done rotate-issuer key={first} now={second}"])
        self.restart(signal.SIGKILL)
        self.assertEqual(self.record()[-2], ["start", "issuer", f"key={second}"])

    def test_the_command_takes_nothing_else(self):
        for words in ((), ("rotate",), ("rotate", "audit"), ("retire", "abc"), ("destroy", "issuer"),
                      ("rotate", "issuer", "--forever")):
            run = subprocess.run([earmarkd.BINARY, "permit", *words, "--config",
                                  self.server.config_path()], capture_output=True)
            self.assertEqual(run.returncode, 2, words)
        self.assertFalse(os.path.exists(os.path.join(self.folder(), "permit")))

    def test_another_first_key_of_a_chain_is_not_overwritten(self):
        """A log that begins anew beside the old keys: the old first key is moved away first."""
        path = os.path.join(self.folder(), "journal-00000001.first")
        with open(path, "rb") as f:
            was = f.read()
        self.server.stop()
        shutil.rmtree(os.path.join(self.server.dir, "data"))
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start(wait=False)
        self.assertNotEqual(self.server.process.wait(60), 0)
        self.assertIn("another first key of this chain", self.server.log())
        with open(path, "rb") as f:
            self.assertEqual(f.read(), was)
        os.rename(path, path + ".moved")
        self.server.process.stdout.close()
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start()


@unittest.skipUnless(EARMARK, "EARMARK is not set")
class AuditKey(Case):
    """The log goes on under another key, and who knows the first one can follow it."""

    def setUp(self):
        super().setUp()
        self.keys_dir = os.path.join(self.server.dir, "keys")
        self.log = os.path.join(self.server.dir, "data", "journal")
        self.first = self.keep("first.vkey", os.path.join(self.server.dir, "data", "audit.vkey"))

    def keep(self, name, path):
        return shutil.copy(path, os.path.join(self.home, name))

    def rotate_audit(self, code=0, kill_after=None):
        run = subprocess.Popen([earmarkd.BINARY, "audit-key", "rotate", "--config",
                                self.server.config_path()], stderr=subprocess.PIPE)
        if kill_after is not None:
            time.sleep(kill_after)
            run.kill()
        said = run.communicate(timeout=120)[1].decode()
        if kill_after is None:
            self.assertEqual(run.returncode, code, said)
        return said

    def start_again(self):
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start()
        self.login()

    def verify(self, vkey, code=0):
        return json.loads(self.earmark("audit", "verify", self.log, "-k", vkey, "--json", code=code))

    def test_a_log_is_verified_from_its_first_key_after_two_rotations(self):
        for n in (1, 2):
            self.server.stop()
            old = self.keep(f"checkpoint{n}", os.path.join(self.log, "checkpoint"))
            self.rotate_audit()
            self.start_again()
            self.ok("GET", "signing-keys")
            self.server.stop()
            self.assertEqual(self.verify(self.first)["handovers"], n)
            self.earmark("audit", "verify", self.log, "-k", self.first, "-t", old)
            self.start_again()
        self.server.stop()
        now = os.path.join(self.server.dir, "data", "audit.vkey")
        with open(now, encoding="utf-8") as a, open(self.first, encoding="utf-8") as b:
            self.assertNotEqual(a.read(), b.read())
        self.assertEqual(self.verify(now)["log"], "intact")
        for name in os.listdir(self.log):
            if name.startswith("handover-"):
                os.remove(os.path.join(self.log, name))
        self.assertEqual(self.verify(self.first, code=1)["log"], "tampered")
        with open(os.path.join(self.keys_dir, "changes"), encoding="utf-8") as f:
            self.assertEqual(f.read().count("done rotate-audit"), 2)

    def test_a_running_server_is_left_alone(self):
        said = self.rotate_audit(code=1)
        self.assertIn("stop it first", said)
        self.assertFalse(os.path.exists(os.path.join(self.keys_dir, "next")))
        self.restart()

    def test_a_kill_is_no_end_until_the_command_is_given_again(self):
        for delay in (0, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.1):
            self.server.stop()
            self.rotate_audit(kill_after=delay)
            if os.path.exists(os.path.join(self.keys_dir, "next", "audit.key")):
                with open(self.server.log_path, "w", encoding="utf-8"):
                    pass
                self.server.start(wait=False)
                self.assertNotEqual(self.server.process.wait(60), 0)
                self.server.process.stdout.close()
                self.assertIn("audit-key rotate", self.server.log())
                self.rotate_audit()
            self.start_again()
            self.server.stop()
            self.assertEqual(self.verify(self.first)["log"], "intact")
            self.start_again()


@unittest.skipUnless(os.geteuid() == 0, "not root")
class Users(Case):
    """Started as root, each process becomes a user of its own; keys that it replaced are read by the
    next start."""
    config = {**OPEN, "server": {"user": "daemon"}, "keys": {"user": "games"}}

    def setUp(self):
        import pwd
        try:
            for name in ("daemon", "games"):
                pwd.getpwnam(name)
        except KeyError:
            self.skipTest("no such users")
        os.umask(0o022)
        made, self.made = tempfile.mkdtemp, []
        tempfile.mkdtemp = lambda *a, **k: self.open_to_all(made(*a, **k))
        self.addCleanup(setattr, tempfile, "mkdtemp", made)
        super().setUp()

    @staticmethod
    def open_to_all(path):
        os.chmod(path, 0o755)
        return path

    def owner(self, name):
        import pwd
        return pwd.getpwuid(os.stat(os.path.join(self.server.dir, name)).st_uid).pw_name

    def test_keys_that_were_replaced_are_read_at_the_next_start(self):
        self.rotate("issuer")
        self.rotate("sealing")
        issuer = self.issuer()
        self.assertEqual(self.owner("keys/issuer.key"), "games")
        self.restart()
        self.assertEqual(self.issuer(), issuer)
        self.rotate("issuer")
        self.server.stop()
        subprocess.run([earmarkd.BINARY, "audit-key", "rotate", "--config", self.server.config_path()],
                       check=True, capture_output=True)
        self.assertEqual(self.owner("keys/audit.key"), "games")
        self.assertEqual(self.owner("data/journal/checkpoint"), "daemon")
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start()
        self.rotate("issuer")

    def test_root_gives_what_it_writes_to_whom_the_folder_belongs(self):
        """Also where the supervisor chose the user, and no `keys.user` says so."""
        config = os.path.join(self.home, "other.yaml")
        with open(self.server.config_path(), encoding="utf-8") as f:
            text = f.read()
        with open(config, "w", encoding="utf-8") as f:
            f.write("".join(line for line in text.splitlines(True) if "  user:" not in line))
        subprocess.run([earmarkd.BINARY, "permit", "rotate", "issuer", "--config", config], check=True)
        self.assertEqual(self.owner("keys/permit"), "games")
        self.ok("POST", "signing-keys/issuer/rotate", {"reason": "x"})

    def test_the_permit_is_the_keyholders_alone(self):
        self.permit("rotate", "issuer")
        self.assertEqual(self.owner("keys/permit"), "games")
        self.assertEqual(os.stat(os.path.join(self.server.dir, "keys", "permit")).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(os.path.join(self.server.dir, "keys")).st_mode & 0o777, 0o700)


class Killed(Case):
    def test_a_kill_leaves_the_old_key_or_the_new_one(self):
        self.publish("m")
        device = self.device()
        seen = {self.issuer()}
        for delay in (0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016):
            known = [k["public_key"] for k in self.keys()]
            self.permit("rotate", "issuer", "--force")
            s = self.server.connect()
            body = json.dumps({"reason": "x"}).encode()
            s.sendall(f"POST {ADMIN}signing-keys/issuer/rotate HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(delay)
            self.kill_all()
            s.close()
            device.wire.close()
            self.server.start()
            after = [k["public_key"] for k in self.keys()]
            self.assertEqual(after[:len(known)] if len(after) <= 8 else after, known)
            self.assertLessEqual(len(after), len(known) + 1)
            self.assertEqual(self.issuer(), after[-1])
            self.assertEqual(device.ticket(model="m").status, 201)
            seen.add(after[-1])
        self.assertGreaterEqual(len(seen), 1)

    def test_the_keyholder_alone_is_killed(self):
        """The server goes down after it, and finds one of the two keys at its next start."""
        known = self.issuer()
        self.permit("rotate", "issuer")
        child = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.server.process.pid)],
                               capture_output=True, text=True).stdout.split()
        pid = int(child[child.index("earmark-keys") - 1])
        answers = []
        work = threading.Thread(target=lambda: answers.append(
            self.ask("POST", "signing-keys/issuer/rotate", {"reason": "x"}).status))
        work.start()
        os.kill(pid, signal.SIGKILL)
        work.join()
        self.assertIn(answers[0], (200, 503))
        self.restart(signal.SIGKILL)
        keys = [k["public_key"] for k in self.keys()]
        self.assertEqual(keys[0], known)
        self.assertEqual(keys[-1], self.issuer())
        self.assertLessEqual(len(keys), 2)

    def kill_all(self):
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.server.process.pid)],
                                  capture_output=True).stdout.split()
        self.server.stop(signal.SIGKILL)
        for pid in children:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass


class Renewal(Case):
    config = {**OPEN, "keys": {"sealing_life": "1h"}}

    def test_the_certificates_end_is_shown_and_lies_ahead(self):
        sealing = self.keys("sealing")[0]
        self.assertIn("certificate_until", sealing)
        self.rotate("sealing")
        self.assertNotEqual(self.keys("sealing")[0]["id"], sealing["id"])
        left = self.server.metric("earmark_sealing_certificate_seconds_left")
        self.assertTrue(3000 < left <= 3600, left)
        self.assertEqual(self.server.ask("GET", "/readyz", internal=True).status, 200)


class Caps(Case):
    """A model asks for more than the keyholder signs: it gets what there is."""
    config = {**OPEN, "keys": {"lease_max": "1h", "policy_max": "2d"}}

    def test_what_is_longer_than_it_signs_is_cut(self):
        self.publish("long", "?lease_s=86400&life_s=8640000&renewal_delay_s=43200")
        device = self.device()
        answer = device.ticket(model="long")
        self.assertEqual(answer.status, 201, answer.body)
        ticket = unb64(answer.json()["ticket"])
        lease = payload(unb64(answer.json()["lease"]))
        self.assertEqual(lease[4] - lease[3], 3600)
        policy = cbor_decode(payload(ticket)[5])
        self.assertEqual((policy[2] - payload(ticket)[8], policy[4]), (2 * 86400, 3600))
        self.assertEqual(policy[6], 1800)  # asked again before the end
        answer = device.ask("POST", "/v1/leases", {"request": b64(device.lease_request(ticket))})
        self.assertEqual(answer.status, 200, answer.body)
        lease = payload(unb64(answer.json()["lease"]))
        self.assertEqual(lease[4] - lease[3], 3600)


class Changed(Case):
    """What keys.md says of a storage key and a lease key that were changed by hand."""
    config = OPEN

    def without(self, name):
        os.remove(os.path.join(self.server.dir, "keys", name))
        self.restart()  # makes another

    def test_a_new_lease_key_renews_no_old_ticket_and_gives_new_ones(self):
        self.publish("m", "?lease_s=3600")
        device = self.device()
        old = unb64(device.ticket(model="m").json()["ticket"])
        self.without("lease.key")
        answer = device.ask("POST", "/v1/leases", {"request": b64(device.lease_request(old))})
        self.assertEqual(answer.status, 503, answer.body)
        self.assertEqual(device.ticket(model="m").status, 201)

    def test_a_new_storage_key_opens_no_old_model_and_stores_new_ones(self):
        self.publish("old")
        device = self.device()
        self.assertEqual(device.ticket(model="old").status, 201)
        self.without("storage.key")
        self.assertEqual(device.ticket(model="old").status, 503)
        self.publish("new")
        self.assertEqual(device.ticket(model="new").status, 201)


class ShortLife(Case):
    """The sealing certificate is renewed by itself, and where it cannot be, the server says so."""
    config = {**OPEN, "keys": {"sealing_life": "15s"}}

    def ready(self):
        return self.server.ask("GET", "/readyz", internal=True)

    def wait_for(self, what):
        until = time.monotonic() + 90
        while not what():
            self.assertLess(time.monotonic(), until, "it does not come")
            time.sleep(0.2)

    def test_a_certificate_is_renewed_before_its_end(self):
        first = self.keys("sealing")[0]["id"]
        self.wait_for(lambda: self.keys("sealing")[0]["id"] != first)
        self.wait_for(lambda: self.ready().status == 200)
        self.assertNotIn("cannot be renewed", self.log())
        self.assertIn("the sealing certificate was renewed", self.log())

    def test_without_a_certificate_it_is_unready_until_there_is_one_however_often_it_failed(self):
        path = os.path.join(self.server.dir, "keys", "sealing.key")
        self.assertTrue(os.path.isfile(path), os.listdir(os.path.dirname(path)))
        os.remove(path)
        os.mkdir(path)  # nothing can be written there
        self.wait_for(lambda: self.ready().status == 503)
        self.assertIn(b"the sealing certificate is over", self.ready().body)
        self.assertEqual(self.server.metric("earmark_sealing_certificate_seconds_left"), 0)
        before = self.keys("sealing")[0]["id"]
        for _ in range(300):
            self.assertGreaterEqual(self.ask("POST", "signing-keys/sealing/rotate", {"reason": "x"}).status, 400)
        self.assertEqual(self.keys("sealing")[0]["id"], before)
        os.rmdir(path)
        self.wait_for(lambda: self.ready().status == 200)
        self.assertNotEqual(self.keys("sealing")[0]["id"], before)
        self.assertIn("cannot be renewed", self.log())

    def log(self):
        with open(self.server.log_path, encoding="utf-8") as f:
            return f.read()


@unittest.skipUnless(SOFTHSM and shutil.which("softhsm2-util"), "SoftHSM is not here")
class Token(Case):
    """The issuer's key in a PKCS#11 token."""

    def make_config(self):
        self.hsm = tempfile.mkdtemp(prefix="earmark-hsm-")
        self.addCleanup(shutil.rmtree, self.hsm, True)
        conf = os.path.join(self.hsm, "softhsm2.conf")
        os.mkdir(os.path.join(self.hsm, "tokens"))
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f"directories.tokendir = {self.hsm}/tokens\nobjectstore.backend = file\n")
        os.environ["SOFTHSM2_CONF"] = conf
        self.addCleanup(os.environ.pop, "SOFTHSM2_CONF", None)
        run = dict(check=True, capture_output=True)
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "earmark", "--so-pin", "1234",
                        "--pin", "5678"], **run)
        for n, label in ((1, "first"), (2, "second")):
            pem = os.path.join(self.hsm, label + ".pem")
            subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-out", pem], **run)
            subprocess.run(["softhsm2-util", "--import", pem, "--token", "earmark", "--label", label,
                            "--id", f"0{n}", "--pin", "5678"], **run)
        self.pin = os.path.join(self.hsm, "pin")
        with open(self.pin, "w", encoding="utf-8") as f:
            f.write("5678\n")
        os.chmod(self.pin, 0o600)
        return {**OPEN, "keys": {"issuer": "pkcs11", "module": SOFTHSM, "pin_file": self.pin,
                                 "uri": "pkcs11:token=earmark;object=first",
                                 "next_uri": "pkcs11:token=earmark;object=second"}}

    def test_a_token_signs_and_is_rotated_to_its_next_key(self):
        self.publish("m", "?lease_s=600")
        device, first = self.device(), self.issuer()
        self.assertEqual(len(unb64(first)), 65)
        self.assertEqual(device.ticket(model="m").status, 201)
        self.rotate()
        second = self.issuer()
        self.assertNotEqual(second, first)
        self.assertEqual(device.ticket(model="m").status, 201)
        self.permit("rotate", "issuer", "--force")
        answer = self.ask("POST", "signing-keys/issuer/rotate", {"reason": "x"})
        self.assertEqual(answer.status, 501)
        self.assertIn("keys.next_uri", answer.json()["detail"])
        self.restart(signal.SIGKILL)
        self.assertEqual(self.issuer(), second)
        self.assertEqual(device.ticket(model="m").status, 201)
        self.assertEqual([k["state"] for k in self.keys()], ["taken", "signs"])
        # Later the configuration names the new one, and the chain stays.
        config = self.make_config_again()
        self.server.stop()
        self.server.write_config(config)
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start()
        self.assertEqual(self.issuer(), second)
        self.assertEqual(len(self.keys()), 2)

    def test_a_token_that_is_gone_leaves_the_sealing_key_its_certificate(self):
        was = self.keys("sealing")
        shutil.rmtree(os.path.join(self.hsm, "tokens"))
        self.permit("rotate", "sealing")
        self.assertGreaterEqual(self.ask("POST", "signing-keys/sealing/rotate", {"reason": "x"}).status, 500)
        self.assertEqual(self.keys("sealing"), was)
        self.assertGreater(self.server.metric("earmark_sealing_certificate_seconds_left"), 0)

    def make_config_again(self):
        return {**OPEN, "keys": {"issuer": "pkcs11", "module": SOFTHSM, "pin_file": self.pin,
                                 "uri": "pkcs11:token=earmark;object=second"}}


@unittest.skipUnless(EARMARK and shutil.which("swtpm"), "swtpm is not here")
class Tpm(Case):
    """The issuer's key in a TPM: it signs, and is rotated to that of the next folder."""

    def make_config(self):
        import keystore_test
        self.tpm = keystore_test.Tpm(os.path.join(self.home, "tpm"))
        self.addCleanup(self.tpm.stop)
        doctor = json.loads(self.earmark("doctor", "--json", "--tcti", self.tpm.tcti))
        if not doctor["device_keys"]["tpm2"]["usable"]:
            self.skipTest("no TPM holder in this build")
        self.earmark("issuer", "init", "--issuer", os.path.join(self.home, "anyone"))
        return self.with_keys("first")

    def with_keys(self, name, following=None):
        def folder(which):
            path = os.path.join(self.home, which)
            if not os.path.exists(path):
                self.earmark("device", "init", "--device", path, "--issuer",
                             os.path.join(self.home, "anyone"), "--keystore", "tpm2", "--tcti",
                             self.tpm.tcti)
            return os.path.join(path, "keys")
        keys = {"issuer": "tpm2", "tpm_dir": folder(name), "tcti": self.tpm.tcti}
        if following:
            keys["next_tpm_dir"] = folder(following)
        return {**OPEN, "keys": keys}

    def restart_with(self, config):
        self.server.stop()
        self.server.write_config(config)
        with open(self.server.log_path, "w", encoding="utf-8"):
            pass
        self.server.start()

    def refused(self):
        self.permit("rotate", "issuer", "--force")
        answer = self.ask("POST", "signing-keys/issuer/rotate", {"reason": "x"})
        self.assertEqual(answer.status, 501, answer.body)
        self.assertIn("keys.next_tpm_dir", answer.json()["detail"])

    def test_a_tpm_signs_and_without_a_next_key_says_what_is_missing(self):
        self.publish("m", "?lease_s=600")
        first = self.issuer()
        self.assertEqual(len(unb64(first)), 65)
        self.assertEqual(self.device().ticket(model="m").status, 201)
        self.assertFalse(self.ok("GET", "signing-keys")["can_rotate_issuer"])
        self.refused()
        self.rotate("sealing")
        self.assertEqual(self.device("bob").ticket(model="m").status, 201)
        self.restart()
        self.assertEqual(self.issuer(), first)

    def test_a_tpm_is_rotated_to_its_next_key_and_not_back(self):
        self.publish("m", "?lease_s=600")
        device, first = self.device(), self.issuer()
        device.wire.close()
        self.restart_with(self.with_keys("first", "second"))
        self.assertEqual(self.issuer(), first)
        self.assertTrue(self.ok("GET", "signing-keys")["can_rotate_issuer"])
        self.rotate()
        second = self.issuer()
        self.assertNotEqual(second, first)
        self.assertEqual(device.ticket(model="m").status, 201)
        self.restart(signal.SIGKILL)
        self.assertEqual(self.issuer(), second)
        self.assertEqual([k["state"] for k in self.keys()], ["taken", "signs"])
        self.refused()
        device.wire.close()
        self.restart_with(self.with_keys("second", "third"))
        self.assertEqual(self.issuer(), second)
        self.rotate()
        self.assertEqual(len(self.keys()), 3)
        self.assertEqual(device.ticket(model="m").status, 201)
        device.wire.close()
        self.restart_with(self.with_keys("third", "first"))
        third = self.issuer()
        self.refused()
        self.assertEqual(self.issuer(), third)


if __name__ == "__main__":
    unittest.main()
