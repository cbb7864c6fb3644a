#!/usr/bin/env python3
"""The document that the server serves, held against the server: schemathesis makes requests from it,
well-formed ones and others, for each kind of caller, and judges the answers.

    EARMARKD=bin/earmarkd EARMARK_MINT=bin/earmark-mint openapi_test.py [Operator|Service|User|Devices]

EMK_OPENAPI_CASES is how many well-formed and malformed requests are made up for an operation, besides
those for the edges of its schema (default 4); EMK_OPENAPI_SEED begins elsewhere (default 1)."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import earmarkd
from earmarkd import Server

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, "../../build/schemathesis/bin/schemathesis")
TOOL = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis") or VENV
MINT = os.environ.get("EARMARK_MINT", "")
CASES = os.environ.get("EMK_OPENAPI_CASES", "4")
SEED = os.environ.get("EMK_OPENAPI_SEED", "1")
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,"
          "response_headers_conformance,response_schema_conformance,ignored_auth,"
          "negative_data_rejection,"
          "missing_required_header,unsupported_method,allow_header_conformance,"
          "problems_are_whole,a_signature_is_needed")
WIDE = {"rates": [{"name": "all", "by": "all", "unit": "requests", "quota": 1000000000, "window": "1s"},
                  {"name": "spare", "by": "tenant", "unit": "cost", "quota": 1000000000, "window": "1s"}]}
ISSUER = "https://login.example.com"


def skip(why):
    print("SKIP " + why)
    sys.exit(77)


try:
    from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat)
    from device import Device, Key, b64, ticket_id, unb64
except ImportError:
    skip("python3-cryptography is not here")


def owner(subject, tenant=""):
    return b64(hashlib.sha256(b"earmark/1 owner\0" + tenant.encode() + b"\0" + subject.encode()).digest())


def pem(key):
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Case(unittest.TestCase):
    role = None
    unseen = {}  # operation: why no good answer is expected of it here

    def setUp(self):
        self.key = Key()
        self.folder = tempfile.mkdtemp(prefix="earmarkd-openapi-")
        self.addCleanup(shutil.rmtree, self.folder)
        path = os.path.join(self.folder, "jwks.json")
        public = self.key.public
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1",
                                 "x": b64(public[1:33]), "y": b64(public[33:])}]}, f)
        self.server = Server({"api": {"attestation_none": True, "devices_per_user": 0,
                                      "ticket_without_token": True, "ticket_life": "1h",
                                      "blob_ttl": "1h"},
                              "limits": WIDE,
                              "webhooks": {"targets": [{"name": "one", "url": "http://127.0.0.1:9/",
                                                        "secret_file": self.hook_secret()}]},
                              "tokens": {"issuers": [{"issuer": ISSUER, "audience": "earmark",
                                                      "tenant": "t", "jwks_file": path}]}})
        self.addCleanup(self.server.close)
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.document = self.server.ask("GET", "/v1/openapi.json").json()
        self.ann = self.operator("ann")

    def hook_secret(self):
        path = os.path.join(self.folder, "whsec")
        with open(path, "w", encoding="ascii") as f:
            f.write("whsec_" + base64.b64encode(os.urandom(32)).decode() + "\n")
        os.chmod(path, 0o600)
        return path

    # ---- what there is to ask for ----

    def operator(self, name):
        made = subprocess.run([earmarkd.BINARY, "operator", "add", name, "--config",
                               self.server.config_path(), "--generate"], capture_output=True, check=True)
        password = made.stdout.decode().strip()
        token = self.ask("POST", "/v1/admin/sessions", {"name": name, "password": password}, "").json()["token"]
        return {"name": name, "password": password,
                "token": self.ask("POST", "/v1/admin/sessions/step-up", {"password": password},
                                  token).json()["token"]}

    def ask(self, method, path, body=None, token=None, **headers):
        token = self.ann["token"] if token is None else token
        if token:
            headers["Authorization"] = "Bearer " + token
        answer = self.server.ask(method, path, body, headers)
        self.assertLess(answer.status, 300, (path, answer.body))
        return answer

    def device(self, user):
        device = Device(self.server, user)
        self.addCleanup(device.wire.close)
        self.assertEqual(device.enrol(self.ann["token"]).status, 201)
        return device

    def service(self, scopes):
        return subprocess.run([MINT, "service", os.path.join(self.server.dir, "data"), scopes],
                              capture_output=True, text=True, check=True).stdout.strip()

    def user_token(self, user):
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": user, "aud": "earmark", "iat": now, "exp": now + 900}
        text = (b64(json.dumps({"alg": "ES256", "kid": "k1"}).encode()) + "." +
                b64(json.dumps(claims).encode()))
        return text + "." + b64(self.key.sign(text.encode()))

    def stock(self):
        """One thing of each kind; what an operation destroys has one of its own."""
        subprocess.run([earmarkd.BINARY, "permit", "rotate", "issuer", "--config",
                        self.server.config_path()], capture_output=True, check=True)
        keys = self.ask("POST", "/v1/admin/signing-keys/issuer/rotate", {"reason": "a test"}).json()
        main, erased, revoked, gone = (self.device(u) for u in ("main", "erased", "revoked", "gone"))
        self.ask("PUT", "/v1/models/kitten/1?bytes=1&lease_s=600", os.urandom(5000),
                 **{"Content-Type": "application/octet-stream"})
        leased = main.ticket(model="kitten").json()
        uses = [main.ticket(use="u").json()["id"] for _ in range(40)]
        self.ask("POST", "/v1/admin/lists/banned_devices",
                 {"value": b64(revoked.id), "reason": "a test"})
        decision = revoked.ticket(use="u").json()["decision"]
        entry = self.ask("GET", "/v1/admin/lists/banned_devices").json()["items"][0]["id"]
        key = self.ask("POST", "/v1/admin/keys", {"name": "one", "scopes": ["seal"]}).json()["id"]
        wall = self.ask("POST", "/v1/admin/firewall", {"prefix": "192.0.2.0/24", "action": "deny"})
        wall = self.ask("GET", "/v1/admin/firewall").json()["items"][0]["id"]
        bob = self.operator("bob")
        ban = {"reason": "a test"}
        return {
            "url": self.url, "host": f"127.0.0.1:{self.server.port}", "now": int(time.time()),
            "device": {"user": "main", "id": b64(main.id), "certificate": b64(main.certificate),
                       "signing": pem(main.signing), "agreement": pem(main.agreement),
                       "counter": main.counter + 100},
            "ticket": leased["ticket"], "tickets": uses,
            "sections": {"/devices/": {"id": b64(main.id)}, "/users/": {"id": owner("main")},
                         "/tickets/": {"id": leased["id"]}, "/webhooks/": {"name": "one"},
                         "": {"name": "kitten", "version": "1", "list": "banned_devices"}},
            "path": {
                "eraseUser": {"id": owner("erased")}, "getBlob": {"id": leased["blob"]["id"]},
                "revokeDevice": {"id": b64(revoked.id)}, "eraseDevice": {"id": b64(gone.id)},
                "revokeDeviceByOperator": {"id": b64(revoked.id)}, "revokeTicket": {"id": uses[0]},
                "getDecision": {"id": decision}, "changeOperator": {"name": bob["name"]},
                "revokeKey": {"id": key}, "removeEntry": {"list": "banned_devices", "id": entry},
                "removeWall": {"id": wall}, "setLimit": {"name": "spare"},
                "resetLimit": {"name": "spare"}, "rotateSigningKey": {"name": "sealing"},
                "retireSigningKey": {"name": keys["items"][0]["id"]},
            },
            "bodies": {
                "makeSession": {"name": bob["name"], "password": bob["password"]},
                "stepUp": {"password": self.ann["password"]},
                "changeOperator": {"scopes": ["read"], "disabled": False},
                "addWall": {"prefix": "192.0.2.0/24", "action": "deny"},
                "tryWall": {"prefix": "192.0.2.0/24", "action": "deny"},
                "importWalls": "192.0.2.0/24 deny\n", "banUser": ban, "rotateSigningKey": ban,
                "retireSigningKey": {"reason": "a test", "force": True},
                "addEntry": {"value": b64(os.urandom(32)), "reason": "a test"},
            },
        }

    # ---- the run ----

    def operations(self):
        """Those that this role may call."""
        names = []
        for path in self.document["paths"].values():
            for method, operation in path.items():
                wants = operation.get("security", [{}]) if method != "parameters" else None
                if wants is not None and any(self.admits(w) for w in wants or [{}]):
                    names.append(operation["operationId"])
        return names

    def admits(self, wants):
        return set(wants) == {self.role}

    def drive(self, token, names):
        stock, seen = os.path.join(self.folder, "stock.json"), os.path.join(self.folder, "seen")
        with open(stock, "w", encoding="utf-8") as f:
            json.dump(self.stock(), f)
        config = os.path.join(self.folder, "schemathesis.toml")
        with open(config, "w", encoding="utf-8") as f:  # 413: what is malformed may be too long first
            f.write('[checks.negative_data_rejection]\nexpected-statuses = '
                    '["400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "503"]\n')
        words = [TOOL, "--config-file", config, "run", self.url + "/v1/openapi.json", "--phases", "examples,coverage,fuzzing",
                 "-n", CASES, "--seed", SEED, "--continue-on-failure", "--no-color", "--no-shrink",
                 "--request-timeout", "30", "--generation-database", "none", "--checks", CHECKS,
                 "--suppress-health-check", "all", "--warnings", "off"]
        for name in names:
            words += ["--include-operation-id", name]
        if self.role == "device":  # nothing beside what the hooks sign, and a check of our own
            words += ["--generation-with-security-parameters", "false", "--exclude-checks",
                      "ignored_auth"]
        if token:
            words += ["-H", "Authorization: Bearer " + token]
        env = {**os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "EMK_ROLE": self.role,
               "EMK_STOCK": stock, "EMK_SEEN": seen, "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"}
        began = time.monotonic()
        run = subprocess.run(words, env=env, cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout[-20000:] + run.stderr[-4000:])
        with open(seen, encoding="utf-8") as f:
            answers = [line.split() for line in f]
        print(f"{self.role}: {len(names)} operations, {len(answers)} requests in "
              f"{time.monotonic() - began:.0f} s")
        good = {name for name, status in answers if status[0] == "2"}
        self.assertEqual(set(names) - good - set(self.unseen), set(),
                         "never answered with success: see stock()")
        self.assertIsNone(self.server.process.poll())
        self.assertEqual(self.server.ask("GET", "/readyz", internal=True).status, 200)


class Operator(Case):
    role = "operator"
    unseen = {**dict.fromkeys(("getCampaign", "approveCampaign", "refuseCampaign", "withdrawCampaign"),
                              "proposals come of a job; fraud_test.py decides them"),
              **dict.fromkeys(("approveFraudRules", "promoteFraudRules", "rollBackFraudRules"),
                              "needs a draft; fraud_test.py promotes one"),
              **dict.fromkeys(("rotateSigningKey", "retireSigningKey"),
                              "a permit for each; keys_test.py gives them")}

    def test_the_document_is_true_for_operators(self):
        names = [n for n in self.operations() if n.startswith("/") or n not in OF_OTHERS]
        self.drive(self.ann["token"], names)
        self.ask("GET", "/v1/admin/users")  # and is still one: nothing above locked her out

    def test_a_session_ends(self):
        self.drive(self.operator("eve")["token"], ["endSessions"])


# Operators may call these too; they are driven by those for whom they are.
OF_OTHERS = ("enrolDevice", "revokeDevice", "endSessions", "listModels", "getModel", "publishModel",
             "withdrawModel")


@unittest.skipUnless(MINT, "EARMARK_MINT names no program")
class Service(Case):
    role = "service"

    def test_the_document_is_true_for_services(self):
        self.drive(self.service("seal publish events read"), self.operations())


class User(Case):
    role = "user"
    unseen = {"receiveWebhook": "is signed by its source; webhook_test.py sends them"}

    def admits(self, wants):
        return set(wants) <= {"user"}

    def test_the_document_is_true_for_users_and_for_anybody(self):
        names = [n for n in self.operations() if n not in ("makeSession", "revokeDevice")]
        self.drive(self.user_token("jane"), names)


class Devices(Case):
    role = "device"
    unseen = {"sendEvents": "a batch follows the one before; device_test.py sends them"}

    def test_the_document_is_true_for_devices(self):
        self.drive(None, self.operations())


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        skip("earmarkd is not built")
    if not os.access(TOOL, os.X_OK):
        skip("schemathesis is not here: tools/setup openapi fetches it")
    unittest.main(verbosity=2)
