"""What schemathesis sends to the real server: one role's credentials, names of things that are there
where the document only knows a pattern, and signatures of a device.  Loaded by openapi_test.py."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import requests
import schemathesis
from schemathesis.generation.modes import GenerationMode

from openapi_stock import Caller

ROLE = os.environ["EMK_ROLE"]
with open(os.environ["EMK_STOCK"], encoding="utf-8") as _f:
    CALLER = Caller(json.load(_f), ROLE)
SEEN = os.environ["EMK_SEEN"]
CONFIRMED = set()


def sign(request):
    """The last thing before a request goes out: what is signed is what is sent."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    path = request.path_url.partition("?")
    request.headers.update(CALLER.sign(request.method, path[0], path[2], body))
    return request


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    name = case.operation.definition.raw.get("operationId")
    if ROLE == "device":
        kwargs["auth"] = sign
    # Names that the tool found in answers: what destroys gets what is there for it.
    own = CALLER.stock["path"].get(name, {})
    for parameter, value in (case.path_parameters or {}).items():
        if parameter in own and any(value in s.values() for s in CALLER.stock["sections"].values()):
            case.path_parameters[parameter] = own[parameter]
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if "Idempotency-Key" in (case.headers or {}):  # another request is another key
        case.headers["Idempotency-Key"] = os.urandom(12).hex()
    for parameter, value in CALLER.parameters(name, case.operation.path).items():
        if parameter in (case.path_parameters or {}):
            case.path_parameters[parameter] = value
    if name == "sealModel":
        case.query = CALLER.query(name)
    if name == "publishModel":
        case.query = {**CALLER.query(name), **{k: v for k, v in case.query.items()
                                               if k not in ("tree", "file", "bytes")}}
    body = CALLER.body(name) if name != "publishModel" else None
    if body is not None:
        case.body = body


@schemathesis.hook
def after_call(context, case, response):
    CALLER.saw((response.headers.get("earmark-nonce") or [None])[0],
               (response.headers.get("earmark-counter") or [None])[0])
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
