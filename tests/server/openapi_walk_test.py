#!/usr/bin/env python3
"""Each operation of the document that the server serves, called: once as it says, and in all the ways that
it rules out.  Status and body of every answer are held against the document.  Needs nothing beside Python
and its cryptography; openapi_test.py makes up more requests where schemathesis is.

    EARMARKD=bin/earmarkd EARMARK_MINT=bin/earmark-mint openapi_walk_test.py [Operator|Service|User|Devices]"""
import json
import os
import re
import sys
import time
import unittest
import urllib.parse

import earmarkd
import openapi_test
from openapi_test import MINT, skip
from openapi_stock import Caller

METHODS = ("get", "put", "post", "delete")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}
PROBLEM = "application/problem+json"
SAID_IN_WORDS = {"description", "title", "example", "examples", "format", "contentEncoding", "default", "readOnly"}


class Schema:
    """The part of JSON Schema 2020-12 that the document uses.  A keyword that is not here is an error, so
    that nothing goes unchecked."""

    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        while "$ref" in node:
            at = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            node = at
        return node

    def check(self, schema, value, at=""):
        """Complaints."""
        if schema is True:
            return []
        found = []
        for key, want in self.resolve(schema).items():
            if key in SAID_IN_WORDS or key.startswith("x-"):
                continue
            rule = getattr(self, "rule_" + key, None)
            assert rule, f"the driver does not know the keyword {key} at {at}"
            found += [f"{at}: {why}" if isinstance(why, str) else f"{at}{why[0]}: {why[1]}"
                      for why in rule(want, value, self.resolve(schema))]
        return found

    def fits(self, schema, value):
        return not self.check(schema, value)

    def rule_type(self, want, value, _):
        wants = want if isinstance(want, list) else [want]
        for name in wants:
            if isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)):
                return []
        return [f"is {type(value).__name__}, not {want}"]

    def rule_enum(self, want, value, _):
        return [] if value in want else [f"{value!r} is none of {want}"]

    def rule_const(self, want, value, _):
        return [] if value == want else [f"{value!r} is not {want!r}"]

    def rule_pattern(self, want, value, _):
        return [] if not isinstance(value, str) or re.search(want, value) else [f"{value!r} is not {want}"]

    def rule_minLength(self, want, value, _):
        return [] if not isinstance(value, str) or len(value) >= want else ["too short"]

    def rule_maxLength(self, want, value, _):
        return [] if not isinstance(value, str) or len(value) <= want else ["too long"]

    def rule_minimum(self, want, value, _):
        return [] if not isinstance(value, (int, float)) or value >= want else ["too small"]

    def rule_maximum(self, want, value, _):
        return [] if not isinstance(value, (int, float)) or value <= want else ["too large"]

    def rule_minItems(self, want, value, _):
        return [] if not isinstance(value, list) or len(value) >= want else ["too few"]

    def rule_maxItems(self, want, value, _):
        return [] if not isinstance(value, list) or len(value) <= want else ["too many"]

    def rule_minProperties(self, want, value, _):
        return [] if not isinstance(value, dict) or len(value) >= want else ["too few"]

    def rule_uniqueItems(self, want, value, _):
        return [] if not want or len({json.dumps(v, sort_keys=True) for v in value}) == len(value) else ["twice"]

    def rule_required(self, want, value, _):
        return [f"no {name}" for name in want if isinstance(value, dict) and name not in value]

    def rule_properties(self, want, value, _):
        return [("", why) for name in (value if isinstance(value, dict) else ()) if name in want
                for why in self.check(want[name], value[name], "/" + name)]

    def rule_additionalProperties(self, want, value, schema):
        extra = [n for n in (value if isinstance(value, dict) else ()) if n not in schema.get("properties", {})]
        if want is False:
            return [f"{name} is not in the document" for name in extra]
        return [] if want is True else [("", why) for n in extra for why in self.check(want, value[n], "/" + n)]

    def rule_items(self, want, value, _):
        return [("", why) for i, v in enumerate(value if isinstance(value, list) else ())
                for why in self.check(want, v, f"/{i}")]

    def rule_oneOf(self, want, value, _):
        fits = sum(self.fits(one, value) for one in want)
        return [] if fits == 1 else [f"fits {fits} of the alternatives"]

    def rule_anyOf(self, want, value, _):
        return [] if any(self.fits(one, value) for one in want) else ["fits none of the alternatives"]

    def rule_allOf(self, want, value, _):
        return [("", why) for one in want for why in self.check(one, value)]


class Operation:
    def __init__(self, schema, method, path, raw, shared):
        self.schema, self.method, self.path, self.raw, self.name = schema, method.upper(), path, raw, raw["operationId"]
        self.parameters = [schema.resolve(p) for p in raw.get("parameters", []) + shared]
        self.security = raw.get("security", [{}]) or [{}]
        content = raw.get("requestBody", {}).get("content", {})
        self.content_type = next(iter(content), None)
        self.body_schema = schema.resolve(content[self.content_type].get("schema", {})) if content else None
        self.body_needed = raw.get("requestBody", {}).get("required", False)
        self.body_max = raw.get("x-earmark-max-body")

    def answer(self, status):
        """What the document says of it, or None."""
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in self.raw["responses"] and (key != "default" or status >= 400):
                return self.schema.resolve(self.raw["responses"][key])
        return None


class Walk(openapi_test.Case):
    """unseen: operations that need something which is made elsewhere; only refusals are looked at."""

    def setUp(self):
        super().setUp()
        self.caller = Caller(self.stock(), self.role)
        self.schema = Schema(self.document)
        self.calls = 0

    def walk(self, token):
        self.token, began = token, time.monotonic()
        wanted = [o for o in self.all_operations() if any(self.admits(w) for w in o.security)]
        wanted = [o for o in wanted if o.name not in self.left_out]
        for operation in wanted:
            with self.subTest(operation.name):
                self.refusals(operation)
                if operation.name not in self.unseen:
                    self.success(operation)
        print(f"{self.role}: {len(wanted)} operations, {self.calls} requests in {time.monotonic() - began:.0f} s")
        self.assertGreater(len(wanted), 3)
        self.assertIsNone(self.server.process.poll())

    def all_operations(self):
        return [Operation(self.schema, m, path, ops[m], ops.get("parameters", []))
                for path, ops in self.document["paths"].items() for m in METHODS if m in ops]

    # ---- one request ----

    def send(self, o, path=None, body=None, query=None, **changed):
        """body: bytes, None, or what becomes JSON.  The answer has been held against the document."""
        data = b"" if body is None else body if isinstance(body, bytes) else body.encode() \
            if isinstance(body, str) else json.dumps(body).encode()
        path = path or self.path(o, self.caller.parameters(o.name, o.path))
        query = urllib.parse.urlencode(self.caller.query(o.name) if query is None else query)
        method = changed.pop("method", o.method)
        for _ in range(3):
            headers = dict(changed.get("headers", {}))
            if body is not None and "Content-Type" not in headers:
                headers["Content-Type"] = o.content_type or "application/json"
            if self.token and changed.get("signed", True):
                headers["Authorization"] = "Bearer " + self.token
            if self.role == "device" and changed.get("signed", True):
                headers.update(self.caller.sign(method, path, query, data))
            headers["Host"] = self.caller.stock["host"]
            if method == "HEAD":  # its length is that of a body that does not come
                headers["Connection"] = "close"
            answer = self.exchange(method, path + ("?" + query if query else ""), data, headers, body is not None)
            self.caller.saw(answer.headers.get("earmark-nonce"), answer.headers.get("earmark-counter"))
            if answer.status != 401 or b"use-nonce" not in answer.body:
                break
        self.held(o, answer, method)
        return answer

    def exchange(self, method, target, data, headers, has_body):
        lines = [f"{method} {target} HTTP/1.1"] + [f"{k}: {v}" for k, v in headers.items()]
        if "Content-Length" not in headers and (has_body or method in ("POST", "PUT")):
            lines.append(f"Content-Length: {len(data)}")
        self.calls += 1
        return self.server.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    def path(self, o, values):
        return re.sub(r"\{(\w+)\}", lambda m: urllib.parse.quote(str(values.get(m.group(1), "x")), ""), o.path)

    def held(self, o, answer, method):
        """Against the document, and docs/spec/http.md 2."""
        where = (o.name, method, answer.status, answer.body[:300])
        self.assertRegex(answer.headers.get("x-request-id", ""), "^[A-Za-z0-9_-]{22}$", where)
        self.assertEqual(answer.headers.get("x-content-type-options"), "nosniff", where)
        self.assertIn("cache-control", answer.headers, where)
        if answer.status >= 400:
            self.assertEqual(answer.headers.get("content-type"), PROBLEM, where)
            self.assertEqual(self.schema.check({"$ref": "#/components/schemas/Problem"}, answer.json()), [], where)
            self.assertEqual(answer.json()["status"], answer.status, where)
        if method != o.method:
            return
        said = o.answer(answer.status)
        self.assertIsNotNone(said, where)
        content = said.get("content", {})
        if not content:
            self.assertEqual(answer.body, b"", where)
            return
        kind = answer.headers.get("content-type", "").split(";")[0]
        self.assertIn(kind, content, where)
        if kind.endswith(("/json", "+json")) and "schema" in content[kind]:
            self.assertEqual(self.schema.check(content[kind]["schema"], answer.json()), [], where)

    # ---- what has to go ----

    def success(self, o):
        answer = self.send(o, body=self.good_body(o))
        self.assertLess(answer.status, 300, (o.name, answer.body))
        if o.method == "GET":
            head = self.send(o, method="HEAD")
            self.assertEqual((head.status, head.body), (answer.status, b""))

    def good_body(self, o):
        body = self.caller.body(o.name)
        if body is None and o.body_needed:
            body = self.make(o.body_schema)
        return body

    def make(self, schema):
        """The least that fits: what is required, each as its example or the first that it may be."""
        schema = self.schema.resolve(schema)
        for key in ("example", "const", "default"):
            if key in schema:
                return schema[key]
        if "enum" in schema or "oneOf" in schema:
            return schema["enum"][0] if "enum" in schema else self.make(schema["oneOf"][0])
        kind = schema.get("type", "object")
        if kind == "object":
            return {name: self.make(schema["properties"][name]) for name in schema.get("required", [])}
        if kind == "array":
            return [self.make(schema["items"])] * schema.get("minItems", 0)
        return {"integer": schema.get("minimum", 1), "boolean": True,
                "string": "a" * max(1, schema.get("minLength", 1))}[kind]

    # ---- what must not ----

    def refusals(self, o):
        self.no_credentials(o)
        self.other_method(o)
        self.bad_names(o)
        self.bad_query(o)
        if o.content_type is None:
            self.refused(self.send(o, body=b"{}", headers={"Content-Type": "application/json"}), 413, o)
            return
        body = self.good_body(o)
        body = b"{}" if body is None else body
        self.refused(self.send(o, body=body, headers={"Content-Type": "image/png"}), 415, o)
        self.refused(self.send(o, body=body, headers={"Content-Encoding": "gzip", "Content-Type": o.content_type}),
                     415, o)
        self.too_long(o)
        if o.content_type == "application/json" and isinstance(body, dict) and o.name != "receiveWebhook":
            self.bad_fields(o, body)

    def refused(self, answer, status, o, *more):
        wants = status if isinstance(status, tuple) else (status,)
        self.assertIn(answer.status, wants, (o.name, *more, answer.body))

    def no_credentials(self, o):
        if {} not in o.security:
            self.refused(self.send(o, body=self.good_body(o), signed=False), 401, o)

    def other_method(self, o):
        allowed = {m.upper() for m in METHODS if m in self.document["paths"][o.path]}
        for method in sorted({"PATCH", "GET", "PUT", "POST", "DELETE"} - allowed - ({"GET"} & {"HEAD"})):
            answer = self.send(o, method=method)
            self.refused(answer, 405, o, method)
            self.assertEqual(set(answer.headers["allow"].replace(" ", "").split(",")) - {"HEAD", "OPTIONS"}, allowed)

    def bad_names(self, o):
        good = self.caller.parameters(o.name, o.path)
        for p in o.parameters:
            if p["in"] != "path":
                continue
            for bad in ("..", "a/b", "x" * 200, "%00"):
                values = {**good, p["name"]: "PLACE"}
                path = self.path(o, values).replace("PLACE", bad)
                self.refused(self.send(o, path=path, body=self.good_body(o)), (400, 404, 405), o, bad)

    def bad_query(self, o):
        if o.name in ("makeChallenge", "getBlob") or not any(p["in"] == "query" for p in o.parameters):
            return
        body, good = self.good_body(o), self.caller.query(o.name)
        self.refused(self.send(o, query={**good, "surprise": "1"}, body=body), 400, o)
        for p in (p for p in o.parameters if p["in"] == "query"):
            kind = self.schema.resolve(p["schema"]).get("type")
            if kind == "integer":
                for bad in ("-1", "1e3", "", "99999999999999999999999"):
                    self.refused(self.send(o, query={**good, p["name"]: bad}, body=body), 400, o, p["name"], bad)

    def too_long(self, o):
        if o.body_max and o.body_max < 1 << 30:
            answer = self.send(o, body=b"", headers={"Content-Type": o.content_type,
                                                     "Content-Length": str(o.body_max + 1)})
            self.refused(answer, 413, o)

    def bad_fields(self, o, body):
        text = json.dumps(body)
        self.refused(self.send(o, body={**body, "surprise": 1}), 400, o, "unknown")
        self.refused(self.send(o, body=text[:-1]), 400, o, "cut")
        self.refused(self.send(o, body="[" + text + "]"), 400, o, "array")
        self.refused(self.send(o, body=b'{"' + b'\xff' + b'":1}'), 400, o, "UTF-8")
        for name in o.body_schema.get("required", []):
            self.refused(self.send(o, body={k: v for k, v in body.items() if k != name}), 400, o, "no", name)
        for name, schema in o.body_schema.get("properties", {}).items():
            for bad in (None, [[]], {"a": 1}, -1, 1.5, "", True, "x" * 4096):
                if not self.schema.fits(schema, bad):
                    self.refused(self.send(o, body={**body, name: bad}), (400, 413), o, name, str(bad)[:20])
            if name in body:
                twice = text[:-1] + f", {json.dumps(name)}: {json.dumps(body[name])}}}"
                self.refused(self.send(o, body=twice), 400, o, "twice", name)


class Operator(Walk, openapi_test.Operator):
    left_out = (*openapi_test.OF_OTHERS, "makeSession")
    unseen = {**openapi_test.Operator.unseen,
              **dict.fromkeys(("rotateSigningKey", "retireSigningKey"), "wants a permit; keys_test.py has one"),
              "approveFraudRules": "needs a draft; fraud_test.py has one"}

    test_the_document_is_true_for_operators = None
    test_a_session_ends = None

    def test_each_operation(self):
        self.walk(self.ann["token"])


@unittest.skipUnless(MINT, "EARMARK_MINT names no program")
class Service(Walk, openapi_test.Service):
    left_out = ()

    test_the_document_is_true_for_services = None

    def test_each_operation(self):
        self.walk(self.service("seal publish events read"))


class User(Walk, openapi_test.User):
    left_out = ("revokeDevice", "makeSession")

    test_the_document_is_true_for_users_and_for_anybody = None

    def test_each_operation(self):
        self.walk(self.user_token("jane"))


class Devices(Walk, openapi_test.Devices):
    left_out = ()

    test_the_document_is_true_for_devices = None

    def test_each_operation(self):
        self.walk(None)


if __name__ == "__main__":
    if not os.access(earmarkd.BINARY, os.X_OK):
        skip("earmarkd is not built")
    unittest.main(verbosity=2)
