"""What the drivers of the OpenAPI document send where it only knows a pattern: names of things that are
there, bodies that the server takes, and a device's signatures."""
import itertools
import json
import os
import urllib.request

from device import Device, b64, raw_public, unb64
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class Nowhere:
    """A server of which a device only needs the challenges."""

    def __init__(self, url):
        self.url = url

    def ask(self, method, path):
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return type("Answer", (), {"json": staticmethod(lambda: json.loads(text))})


def safetensors():
    head = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    return len(head).to_bytes(8, "little") + head + b"1234"


class Caller:
    """One role, over what openapi_test.Case.stock() made."""

    def __init__(self, stock, role):
        self.stock, self.role, self.count = stock, role, itertools.count()
        self.server = Nowhere(stock["url"])
        self.device = self.load_device(stock["device"]) if role == "device" else None

    def load_device(self, saved):
        device = Device(self.server, saved["user"])
        for name in ("signing", "agreement"):
            key = getattr(device, name)
            key.private = load_pem_private_key(saved[name].encode(), None)
            key.public = raw_public(key.private)
        device.id, device.certificate = unb64(saved["id"]), unb64(saved["certificate"])
        device.counter = saved["counter"]
        return device

    def sign(self, method, path, query, body):
        """Headers; what is signed has to be what is sent."""
        return self.device.signed_headers(method, path, body, host=self.stock["host"], query="?" + query)

    def saw(self, nonce, counter):
        if self.device is not None and nonce:
            self.device.nonce = nonce
        if self.device is not None and counter:
            self.device.counter = int(counter) - 1

    def fresh_ticket(self):
        """Each is good for one use; the last one stays when they run out."""
        left = self.stock["tickets"]
        return left.pop() if len(left) > 1 else left[0]

    def parameters(self, name, path):
        """Of the path, for a call that is to succeed."""
        section = next((s for s in self.stock["sections"] if s in path), "")
        values = dict(self.stock["path"].get(name) or self.stock["sections"][section])
        if name == "redeemTicket":
            values["id"] = self.fresh_ticket()
        if name == "publishModel":
            values.update(name=f"fresh-{next(self.count)}", version="1")
        return values

    def query(self, name):
        """What a call that is to succeed cannot do without."""
        return {"sealModel": lambda: {"ticket": self.fresh_ticket()},
                "publishModel": lambda: {"bytes": 1}}.get(name, dict)()

    def body(self, name):
        """A body that the server takes, or None."""
        if name in ("sealModel", "publishModel"):
            return safetensors()
        if name == "enrolDevice":
            made = Device(self.server, "jane").enrol_body()
            return {k: v for k, v in made.items() if k != "user" or self.role == "operator"}
        if name in self.stock["bodies"]:
            return self.stock["bodies"][name]
        if name == "addOperator":
            return {"name": f"operator-{next(self.count)}", "password": "correct horse", "scopes": ["read"]}
        if name == "sendBackendEvents":
            return json.dumps({"v": 1, "id": f"e-{os.urandom(6).hex()}", "src": "backend",
                               "type": "pay.refund", "ts": self.stock["now"] * 1000,
                               "subj": {"user": "u-1"}}, separators=(",", ":"))
        return self.device_body(name) if self.device is not None else None

    def device_body(self, name):
        device, ticket = self.device, unb64(self.stock["ticket"])
        make = {"issueTicket": lambda: {"request": b64(device.request(use="u"))},
                "attestDevice": lambda: {"challenge": device.challenge(), "attestation": {"kind": "none"}},
                "renewLease": lambda: {"request": b64(device.lease_request(ticket))},
                "sendReceipt": lambda: {"receipt": b64(device.receipt(ticket))}}
        return make[name]() if name in make else None
