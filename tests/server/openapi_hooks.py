"""What schemathesis sends to the real server: one role's credentials, names of things that are there
where the document only knows a pattern, and signatures of a device.  Loaded by openapi_test.py."""
import itertools
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import requests
import schemathesis
from schemathesis.generation.modes import GenerationMode

from device import Device, b64

ROLE = os.environ["EMK_ROLE"]
with open(os.environ["EMK_STOCK"], encoding="utf-8") as _f:
    STOCK = json.load(_f)
SEEN = os.environ["EMK_SEEN"]
COUNT = itertools.count()
CONFIRMED = set()


class Nowhere:
    """A server of which a device only needs the challenges."""

    def ask(self, method, path):
        return requests.request(method, STOCK["url"] + path, timeout=20)


def load_device(saved):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from device import raw_public, unb64
    device = Device(Nowhere(), saved["user"])
    for name in ("signing", "agreement"):
        key = getattr(device, name)
        key.private = load_pem_private_key(saved[name].encode(), None)
        key.public = raw_public(key.private)
    device.id, device.certificate = unb64(saved["id"]), unb64(saved["certificate"])
    device.counter = saved["counter"]
    return device


DEVICE = load_device(STOCK["device"]) if ROLE == "device" else None


def sign(request):
    """The last thing before a request goes out: what is signed is what is sent."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    path = request.path_url.partition("?")
    DEVICE.nonce = NONCE.get("nonce")
    fields = DEVICE.signed_headers(request.method, path[0], body, host=STOCK["host"],
                                   query="?" + path[2])
    request.headers.update(fields)
    return request


NONCE = {}


def fresh_ticket():
    """Each is good for one use; the last one stays when they run out."""
    left = STOCK["tickets"]
    return left.pop() if len(left) > 1 else left[0]


def safetensors():
    head = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    return len(head).to_bytes(8, "little") + head + b"1234"


MODEL = safetensors()


def good_body(name):
    """A body that the server takes, or None: what was generated stays."""
    if name == "enrolDevice":
        return {k: v for k, v in Device(Nowhere(), "jane").enrol_body().items() if k != "user"}
    if name in STOCK["bodies"]:
        return STOCK["bodies"][name]
    if name == "addOperator":
        return {"name": f"operator-{next(COUNT)}", "password": "correct horse", "scopes": ["read"]}
    if name == "sendBackendEvents":
        return json.dumps({"v": 1, "id": f"e-{os.urandom(6).hex()}", "src": "backend",
                           "type": "pay.refund", "ts": STOCK["now"] * 1000,
                           "subj": {"user": "u-1"}}, separators=(",", ":"))
    if DEVICE is None:
        return None
    if name == "issueTicket":
        return {"request": b64(DEVICE.request(use="u"))}
    if name == "attestDevice":
        return {"challenge": DEVICE.challenge(), "attestation": {"kind": "none"}}
    from device import unb64
    ticket = unb64(STOCK["ticket"])
    if name == "renewLease":
        return {"request": b64(DEVICE.lease_request(ticket))}
    if name == "sendReceipt":
        return {"receipt": b64(DEVICE.receipt(ticket))}
    return None


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    name = case.operation.definition.raw.get("operationId")
    if ROLE == "device":
        kwargs["auth"] = sign
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    section = next((s for s in STOCK["sections"] if s in case.operation.path), "")
    for parameter, value in (STOCK["path"].get(name) or STOCK["sections"][section]).items():
        if parameter in (case.path_parameters or {}):
            case.path_parameters[parameter] = value
    if name == "redeemTicket":
        case.path_parameters["id"] = fresh_ticket()
    if name == "sealModel":
        case.query, case.body = {"ticket": fresh_ticket()}, MODEL
    if name == "publishModel":
        case.path_parameters.update(name=f"fresh-{next(COUNT)}", version="1")
        case.query = {"bytes": 1, **{k: v for k, v in case.query.items()
                                     if k not in ("tree", "file", "bytes")}}
    body = good_body(name)
    if body is not None:
        case.body = body


@schemathesis.hook
def after_call(context, case, response):
    nonce = response.headers.get("earmark-nonce") or [None]
    counter = response.headers.get("earmark-counter") or [None]
    if nonce[0]:
        NONCE["nonce"] = nonce[0]
    if DEVICE is not None and counter[0]:
        DEVICE.counter = int(counter[0]) - 1
    if response.request.method != case.operation.method.upper():
        return  # of the check for other methods
    with open(SEEN, "a", encoding="utf-8") as f:
        f.write(f"{case.operation.definition.raw.get('operationId')} {response.status_code}\n")


@schemathesis.check
def problems_are_whole(ctx, response, case):
    """What docs/spec/http.md 2 says of every answer."""
    fields = {k.lower(): v[0] for k, v in response.headers.items()}
    assert re.fullmatch("[A-Za-z0-9_-]{22}", fields.get("x-request-id", "")), "no X-Request-Id"
    assert fields.get("x-content-type-options") == "nosniff"
    assert "cache-control" in fields
    if response.status_code < 400:
        return
    if case.method == "HEAD":
        return
    assert fields.get("content-type") == "application/problem+json", fields.get("content-type")
    problem = json.loads(response.content)
    assert problem["status"] == response.status_code
    if "Idempotency-Key" not in response.request.headers:  # an answer kept names its own request
        assert problem["request"] == fields["x-request-id"]
    assert problem["type"].startswith(("/problems/", "https://iana.org/")), problem["type"]


@schemathesis.check
def a_signature_is_needed(ctx, response, case):
    """What passes with a device's signature does not pass without it, or with another one."""
    name = case.operation.definition.raw.get("operationId")
    sent = response.request
    if (ROLE != "device" or sent.method == "OPTIONS" or response.status_code >= 300 or
            name in CONFIRMED):
        return
    fields = {k: v for k, v in sent.headers.items() if not k.lower().startswith("signature")}
    bad = {**fields, "Signature-Input": sent.headers["Signature-Input"],
           "Signature": "sig1=:" + "A" * 86 + "==:"}
    for headers in (fields, bad):
        again = requests.request(sent.method, sent.url, data=sent.body, headers=headers, timeout=20)
        assert again.status_code == 401, f"{again.status_code} without a good signature"
    CONFIRMED.add(name)
