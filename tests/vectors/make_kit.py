#!/usr/bin/python3
"""Makes the kits, kit/*.emkv and messages/*.emkm (format: README.md).

The vectors are data of the kit_*.py here: a name, the outcome, the reason, and the hooks that make the
one defect (tests/reference/earmark_encoder.py lists the steps).  No clock and no randomness:
the same bytes every time.

    make_kit.py            writes kit/ and messages/
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
from kit_lease import add_leases  # noqa: E402
from kit_messages import Messages  # noqa: E402
from earmark_encoder import Case  # noqa: E402
from earmark_reference import OUTCOMES, OUTCOMES_OF_MESSAGES, sha256  # noqa: E402

KIT = os.path.join(HERE, "kit")
MESSAGES = os.path.join(HERE, "messages")
MADE = os.path.join(HERE, "made")  # by emk-make-messages: not this program's
SMALL = b"".join(b"weight %03d;" % i for i in range(60))


class Kit:
    """All vectors of files, in the order they were added."""

    path, suffix = KIT, ".emkv"

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
    there = {n[:-5] for n in os.listdir(kit.path) if n.endswith(kit.suffix)}
    found = [f"{n}: no vector of ours" for n in sorted(there - set(kit.vectors))]
    for name in kit.vectors:
        path = os.path.join(kit.path, name + kit.suffix)
        if name not in there:
            found.append(f"{name}: missing")
            continue
        with open(path, "rb") as f:
            if unpacked(f.read()) != unpacked(write_vector(*kit.make(name))):
                found.append(f"{name}: differs")
    return found


def write_all(kit):
    os.makedirs(kit.path, exist_ok=True)
    for name in os.listdir(kit.path):
        if name.endswith(kit.suffix) and name[:-5] not in kit.vectors:
            os.remove(os.path.join(kit.path, name))
    total = 0
    for name in kit.vectors:
        raw = write_vector(*kit.make(name))
        total += len(raw)
        with open(os.path.join(kit.path, name + kit.suffix), "wb") as f:
            f.write(raw)
    print(f"{len(kit.vectors)} vectors, {total} bytes")


class MessageKit(Messages):
    """The same for messages, which are made when they are added."""

    path, suffix = MESSAGES, ".emkm"

    def make(self, name):
        return self.vectors[name]


def all_vectors():
    kit = Kit()
    for add in (add_ok, add_headers, add_bodies, add_vaults, add_leases):
        add(kit.add)
    return kit


def count(kit, messages):
    counts = collections.Counter(v[0] for v in kit.vectors.values())
    of_messages = collections.Counter(head["expect"] for head, _ in messages.vectors.values())
    for outcome in dict.fromkeys(OUTCOMES + OUTCOMES_OF_MESSAGES):
        print(f"{counts[outcome]:4} {of_messages[outcome]:4} {outcome}")


def main():
    kits = all_vectors(), MessageKit()
    if "--count" in sys.argv:
        count(*kits)
        return 0
    if "--check" not in sys.argv:
        for kit in kits:
            write_all(kit)
        return 0
    found = [f for kit in kits for f in differences(kit)]
    print("\n".join(found) or f"{sum(len(k.vectors) for k in kits)} vectors are as committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
