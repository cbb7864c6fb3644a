"""A device as the server sees it: keys, signed requests, messages.  Only what tests need, without
hardware and without a vault."""
import base64
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../reference"))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from earmark_reference import cbor_decode, cbor_encode, device_id, key_id, raw_public, Signed, Tag18
from earmarkd import read_answer

ENROLMENT, REQUEST, RECEIPT, EVENTS, LEASE_REQUEST = 3, 6, 8, 10, 11
ES256_COSE = -9


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Key:
    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = raw_public(self.private)

    def sign(self, message):
        r, s = utils.decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def message(self, kind, payload):
        protected = cbor_encode({1: ES256_COSE, 4: key_id(self.public), -65537: kind})
        body = cbor_encode(payload)
        signature = self.sign(cbor_encode(["Signature1", protected, b"", body]))
        return cbor_encode(Tag18([protected, {}, body, signature]))


class Issuers:
    """Who signs users' tokens: two issuers with one key, of the tenants t1 and t2."""
    NAMES = {"t1": "https://login.example.com", "t2": "https://login.example.org"}

    def __init__(self):
        self.key = Key()
        self.folder = tempfile.mkdtemp(prefix="earmarkd-jwks-")
        self.file = os.path.join(self.folder, "jwks.json")
        public = self.key.public
        with open(self.file, "w", encoding="utf-8") as f:
            json.dump({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                                 "kid": "k1", "x": b64(public[1:33]), "y": b64(public[33:])}]}, f)

    def config(self):
        return {"issuers": [{"issuer": name, "audience": "earmark", "tenant": tenant,
                             "jwks_file": self.file} for tenant, name in self.NAMES.items()]}

    def bearer(self, user, tenant="t1", **changed):
        now = int(time.time())
        claims = {"iss": self.NAMES[tenant], "sub": user, "aud": "earmark", "iat": now,
                  "exp": now + 300, **changed}
        head = b64(json.dumps({"alg": "ES256", "kid": "k1"}).encode())
        text = head + "." + b64(json.dumps(claims).encode())
        return {"Authorization": "Bearer " + text + "." + b64(self.key.sign(text.encode()))}

    def close(self):
        shutil.rmtree(self.folder)


class Connection:
    """One connection that is kept open, and opened again when the server closed it."""

    def __init__(self, server):
        self.server, self.socket = server, None

    def ask(self, method, path, body=b"", headers=None):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        if self.socket is None:
            self.socket = self.server.connect()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.sendall(data)
            answer = read_answer(self.socket)
        except OSError:
            self.close()
            raise
        if answer.status == 0 or answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None


class Device:
    def __init__(self, server, user="alice"):
        self.server, self.user = server, user
        self.signing, self.agreement = Key(), Key()
        self.id = device_id(self.signing.public, self.agreement.public)
        self.counter, self.nonce, self.certificate = 0, None, None
        self.wire = Connection(server)

    # ---- enrolment ----

    def enrolment(self, **changed):
        value = {1: self.signing.public, 2: [0x10, self.agreement.public], 3: "a test",
                 4: int(time.time())}
        value.update(changed)
        return self.signing.message(ENROLMENT, value)

    def challenge(self):
        return self.server.ask("POST", "/v1/challenges").json()["challenge"]

    def enrol_body(self, attestation=None):
        return {"challenge": self.challenge(), "enrolment": b64(self.enrolment()), "user": self.user,
                "attestation": attestation or {"kind": "none"}}

    def enrol(self, token, attestation=None, headers=None):
        answer = self.server.ask("POST", "/v1/devices", self.enrol_body(attestation),
                                 {"Authorization": "Bearer " + token, **(headers or {})})
        if answer.status == 201:
            self.certificate = unb64(answer.json()["certificate"])
        return answer

    # ---- signed requests [RFC 9421] ----

    def signed_headers(self, method, path, body, extra=None, host="localhost", query="?"):
        self.counter += 1
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        now = int(time.time())
        fields = {"@method": method, "@authority": host, "@path": path, "@query": query,
                  "content-digest": f"sha-256=:{digest}:"}
        if extra and "Authorization" in extra:
            fields["authorization"] = extra["Authorization"]
        fields["earmark-counter"] = str(self.counter)
        if self.nonce:
            fields["earmark-nonce"] = self.nonce
        params = ("(" + " ".join(f'"{name}"' for name in fields) + ")"
                  f';created={now};expires={now + 60};keyid="{b64(self.id)}"'
                  ';alg="ecdsa-p256-sha256";tag="earmark-req-1"')
        base = [f'"{name}": {value}' for name, value in fields.items()]
        base.append(f'"@signature-params": {params}')
        signature = base64.b64encode(self.signing.sign("\n".join(base).encode())).decode()
        sent = {"Content-Digest": f"sha-256=:{digest}:", "Earmark-Counter": str(self.counter),
                "Signature-Input": f"sig1={params}", "Signature": f"sig1=:{signature}:",
                **(extra or {})}
        if self.nonce:
            sent["Earmark-Nonce"] = self.nonce
        return sent

    def ask(self, method, path, body=None, headers=None, tries=3):
        """Signs, and again with the nonce and the number that a refusal named."""
        data = b"" if body is None else json.dumps(body).encode()
        for _ in range(tries):
            extra = dict(headers or {})
            sent = self.signed_headers(method, path, data, extra)
            if body is not None:
                sent["Content-Type"] = "application/json"
            answer = self.wire.ask(method, path, data, sent)
            self.nonce = answer.headers.get("earmark-nonce", self.nonce)
            if "earmark-counter" in answer.headers:
                self.counter = int(answer.headers["earmark-counter"]) - 1
            again = answer.status == 401 and b"use-nonce" in answer.body
            if not again:
                break
        return answer

    # ---- messages ----

    def request(self, model="model", use=None, version=None, **changed):
        value = {1: os.urandom(16), 2: model, 3: self.user, 7: [0x20, os.urandom(32)],
                 8: self.certificate, 9: int(time.time())}
        if version:
            value[4] = version
        if use:
            value[5] = use
        value.update(changed)
        return self.signing.message(REQUEST, value)

    def ticket(self, headers=None, **what):
        return self.ask("POST", "/v1/tickets", {"request": b64(self.request(**what))}, headers)

    def lease_request(self, ticket, **changed):
        value = {1: os.urandom(16), 2: ticket_id(ticket), 3: hashlib.sha256(ticket).digest(),
                 4: self.id, 5: int(time.time()), 6: int(time.time()) - 10, 7: 1}
        value.update(changed)
        return self.signing.message(LEASE_REQUEST, value)

    def receipt(self, ticket, outcome=0, **changed):
        value = {1: ticket_id(ticket), 2: bytes(16), 3: outcome, 4: int(time.time()), 5: 1}
        value.update(changed)
        return self.signing.message(RECEIPT, value)

    def events(self, first, previous, events, **changed):
        value = {1: self.id, 2: first, 3: first + len(events) - 1, 4: previous, 5: int(time.time()),
                 6: events}
        value.update(changed)
        return self.signing.message(EVENTS, value)


def ticket_id(ticket):
    return cbor_decode(Signed(ticket).payload)[1]


def payload(message):
    return cbor_decode(Signed(message).payload)
