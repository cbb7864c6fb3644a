#!/usr/bin/python3
"""Makes the container kit, kit/*.emkv (format: README.md).

The vectors are data of this file: a name, the outcome, the reason, and the hooks that make the
one defect (tests/reference/earmark_encoder.py lists the steps).  No clock and no randomness:
the same bytes every time.

    make_kit.py            writes kit/
    make_kit.py --check    compares with what is there; 1 on a difference
    make_kit.py --count    vectors by outcome
"""

import collections
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "reference"))

from kit_ok import add_ok  # noqa: E402
from kit_header import add_headers  # noqa: E402
from kit_body import add_bodies  # noqa: E402
from kit_vault import add_vaults  # noqa: E402
from earmark_encoder import Case  # noqa: E402
from earmark_reference import OUTCOMES, sha256  # noqa: E402

KIT = os.path.join(HERE, "kit")
SMALL = b"".join(b"weight %03d;" % i for i in range(60))


class Kit:
    """All vectors, in the order they were added."""

    def __init__(self):
        self.vectors = {}

    def add(self, name, expect, why, hooks=None, model=SMALL, head=None, **options):
        assert re.fullmatch(r"[a-z0-9-]+", name) and name not in self.vectors, name
        assert expect in OUTCOMES, expect
        if model is SMALL and "cuts" not in options:
            options["cuts"], options["kinds"] = [100, 280, 280], [0, 1, 1]
        self.vectors[name] = (expect, why, hooks, model, head, options)

    def make(self, name):
        expect, why, hooks, model, head, options = self.vectors[name]
        model = bytes(model) if type(model) is int else model  # a length: so many zeros
        case = Case(model, hooks, seed=name, **options)
        body = case.make()
        assert not case.at.unused(), (name, case.at.unused())
        fields = self.head(case, expect, why, body)
        more = head(case) if callable(head) else head or {}
        fields.update({k.replace("_", "-"): v for k, v in more.items()})
        return {k: v for k, v in fields.items() if v is not None}, body

    @staticmethod
    def head(case, expect, why, body):
        delivered = case.form == "delivered"
        return {
            "expect": expect, "why": why, "form": case.form, "issuer": case.issuer.public.hex(),
            "device-agree-private": case.agree_private.hex(),
            "device-sign-public": case.device_sign.public.hex(),
            "now": case.issued + 600, "guard": 0, "user": "user-417", "app": None, "use": None,
            "request-private":
                f"{case.request.kem} {case.request_private.hex()}" if delivered else None,
            "request-hash": case.request_hash.hex() if delivered else None,
            "ticket": case.ticket.hex() if delivered else None,
            "payload": sha256(case.model).hex() if expect == "ok" else None,
            "payload-size": len(case.model) if expect == "ok" else None,
            "released": None if expect == "ok" else sha256(b"").hex(), "size": len(body)}


def write_vector(fields, body):
    packed = zlib.compress(body, 9)
    if len(packed) < len(body) // 2:
        fields, body = {**fields, "compressed": "zlib"}, packed
    return "".join(f"{k}: {v}\n" for k, v in fields.items()).encode() + b"\n" + body


def unpacked(raw):
    """Head and body, so that another zlib does not count as a difference."""
    head, _, body = raw.partition(b"\n\n")
    return head, zlib.decompress(body) if b"\ncompressed: zlib" in head else body


def differences(kit):
    there = {n[:-5] for n in os.listdir(KIT) if n.endswith(".emkv")}
    found = [f"{n}: no vector of ours" for n in sorted(there - set(kit.vectors))]
    for name in kit.vectors:
        path = os.path.join(KIT, name + ".emkv")
        if name not in there:
            found.append(f"{name}: missing")
            continue
        with open(path, "rb") as f:
            if unpacked(f.read()) != unpacked(write_vector(*kit.make(name))):
                found.append(f"{name}: differs")
    return found


def write_all(kit):
    os.makedirs(KIT, exist_ok=True)
    for name in os.listdir(KIT):
        if name.endswith(".emkv") and name[:-5] not in kit.vectors:
            os.remove(os.path.join(KIT, name))
    total = 0
    for name in kit.vectors:
        raw = write_vector(*kit.make(name))
        total += len(raw)
        with open(os.path.join(KIT, name + ".emkv"), "wb") as f:
            f.write(raw)
    print(f"{len(kit.vectors)} vectors, {total} bytes")


def all_vectors():
    kit = Kit()
    for add in (add_ok, add_headers, add_bodies, add_vaults):
        add(kit.add)
    return kit


def main():
    kit = all_vectors()
    if "--count" in sys.argv:
        counts = collections.Counter(v[0] for v in kit.vectors.values())
        for outcome in OUTCOMES:
            print(f"{counts[outcome]:4} {outcome}")
        return 0
    if "--check" not in sys.argv:
        write_all(kit)
        return 0
    found = differences(kit)
    print("\n".join(found) or f"{len(kit.vectors)} vectors are as committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
