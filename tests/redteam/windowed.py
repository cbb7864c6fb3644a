#!/usr/bin/env python3
"""How much of a model is in the clear while examples/windowed runs it tensor by tensor.

    tests/redteam/windowed.py [--looks N] [--budget BYTES]

A real language model (../shared/models/gguf/stories260K.gguf) is sealed, accepted and run in a window of BYTES.  At N
random moments the process is stopped and all of its memory that is no file's is read: the weights found there may
not be more than the window and the 4 KiB that stand beside it.  What it says must be what a second implementation
here says with the whole model.  Exit codes: 0 fine, 1 not, 77 the model, or the right to read a child's memory, is not here.
"""
import argparse
import math
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time

from lab import ROOT, Lab, program

UNIT = 32               # bytes that are looked for
BESIDE = 4096           # EMK_AEAD_PIECE
ROWS = 2048             # a copied embedding, a copied scale: rows of the model that the program itself keeps
HEADS, STEPS = 8, 48
ZEROS = re.compile(rb"(?:\x00{32})+")     # most of it; what is left of a split begins at any address
EPSILON, BASE, FIRST = 1e-5, 10000.0, 1


def shared_model():
    shared = os.environ.get("EMK_SHARED") or os.path.join(ROOT, "..", "shared")
    return os.path.join(shared, "models", "gguf", "stories260K.gguf")


def tensors_of(data):
    """Name -> (dims, offset) of a GGUF file's tensors, all of 32-bit floats."""
    at = 24

    def text():
        nonlocal at
        n = struct.unpack_from("<Q", data, at)[0]
        at += 8 + n
        return data[at - n:at].decode()

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, n = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(n):
                skip(inner)
        else:
            at += {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind]

    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    for _ in range(n_keys):
        text()
        kind = struct.unpack_from("<I", data, at)[0]
        at += 4
        skip(kind)
    rows = {}
    for _ in range(n_tensors):
        name = text()
        n_dims = struct.unpack_from("<I", data, at)[0]
        dims = struct.unpack_from("<%dQ" % n_dims, data, at + 4)
        at += 4 + 8 * n_dims
        rows[name] = (dims, struct.unpack_from("<IQ", data, at)[1])
        at += 12
    base = (at + 31) // 32 * 32
    return {name: (dims, base + off) for name, (dims, off) in rows.items()}


class Model:
    """The second implementation: LLaMA in plain Python."""

    def __init__(self, data):
        self.weights = {}
        for name, (dims, at) in tensors_of(data).items():
            n = math.prod(dims)
            flat = struct.unpack_from("<%df" % n, data, at)
            self.weights[name] = [flat[i:i + dims[0]] for i in range(0, n, dims[0])]
        self.layers = sum(name.endswith("attn_norm.weight") for name in self.weights)
        self.keys = [[] for _ in range(self.layers)]
        self.values = [[] for _ in range(self.layers)]

    def times(self, name, x):
        return [sum(a * b for a, b in zip(row, x)) for row in self.weights[name + ".weight"]]

    def norm(self, name, x):
        by = 1 / math.sqrt(sum(v * v for v in x) / len(x) + EPSILON)
        return [v * by * w for v, w in zip(x, self.weights[name + ".weight"][0])]

    @staticmethod
    def turn(v, head, pos):
        out = list(v)
        for i in range(0, len(v), 2):
            angle = pos * BASE ** (-(i % head) / head)
            out[i] = v[i] * math.cos(angle) - v[i + 1] * math.sin(angle)
            out[i + 1] = v[i] * math.sin(angle) + v[i + 1] * math.cos(angle)
        return out

    def attend(self, layer, q, kv_heads):
        head = len(q) // HEADS
        out = []
        for h in range(HEADS):
            kv = h * kv_heads // HEADS * head
            mine = q[h * head:(h + 1) * head]
            scores = [sum(a * b for a, b in zip(mine, k[kv:kv + head])) / math.sqrt(head) for k in self.keys[layer]]
            most = max(scores)
            scores = [math.exp(s - most) for s in scores]
            out += [sum(s * v[kv + i] for s, v in zip(scores, self.values[layer])) / sum(scores) for i in range(head)]
        return out

    def next(self, token, pos):
        x = list(self.weights["token_embd.weight"][token])
        head = len(x) // HEADS
        for layer in range(self.layers):
            at = "blk.%d." % layer
            y = self.norm(at + "attn_norm", x)
            k = self.turn(self.times(at + "attn_k", y), head, pos)
            self.keys[layer].append(k)
            self.values[layer].append(self.times(at + "attn_v", y))
            q = self.turn(self.times(at + "attn_q", y), head, pos)
            y = self.times(at + "attn_output", self.attend(layer, q, len(k) // head))
            x = [a + b for a, b in zip(x, y)]
            y = self.norm(at + "ffn_norm", x)
            gate = [g / (1 + math.exp(-g)) * u for g, u in zip(self.times(at + "ffn_gate", y), self.times(at + "ffn_up", y))]
            x = [a + b for a, b in zip(x, self.times(at + "ffn_down", gate))]
        logits = self.times("output", self.norm("output_norm", x))
        return logits.index(max(logits))


def units_of(data):
    """Pieces of the weights that are in the model once only."""
    first = min(at for _, at in tensors_of(data).values())
    seen = {}
    for at in range(first, len(data) - UNIT + 1, UNIT):
        seen[data[at:at + UNIT]] = seen.get(data[at:at + UNIT], 0) + 1
    return {unit for unit, n in seen.items() if n == 1 and unit.count(0) < UNIT // 2}


def memory_of(pid):
    """All of a process's memory that is no file's."""
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps, open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
        for line in maps:
            words = line.split()
            if words[1][0] != "r" or (len(words) > 5 and words[5][0] == "/" and words[1][1] != "w") or "[v" in line:
                continue
            start, end = (int(x, 16) for x in words[0].split("-"))
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, OverflowError):
                continue    # memfd_secret
            yield from re.split(ZEROS, data)


def found_in(pid, units):
    os.kill(pid, signal.SIGSTOP)
    try:
        found = set()
        for piece in memory_of(pid):
            # At any address: what was split at zeros has lost how it lay.
            for shift in range(UNIT):
                found.update(units.intersection(piece[i:i + UNIT] for i in range(shift, len(piece) - UNIT + 1, UNIT)))
        return len(found) * UNIT
    finally:
        os.kill(pid, signal.SIGCONT)


def make(lab, path):
    lab.make_issuer()
    lab.model_path = path
    lab.make("plain")
    lab.earmark("accept", "plain.emk", "-t", "plain.ticket", "--device", "plain")


def look(process, units, looks):
    counts = []
    while process.poll() is None and len(counts) < looks:
        time.sleep(random.random() * 0.05)
        try:
            counts.append(found_in(process.pid, units))
        except (PermissionError, ProcessLookupError, FileNotFoundError):
            if not counts and process.poll() is None:
                return None
            break
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--looks", type=int, default=20)
    parser.add_argument("--budget", type=int, default=24576)
    args = parser.parse_args()
    if not os.path.exists(shared_model()) or not program("windowed") or not program("earmark"):
        print("SKIP the model stories260K.gguf, or the program, is not here")
        return 77
    with open(shared_model(), "rb") as f:
        data = f.read()
    units = units_of(data)
    lab = Lab()
    try:
        make(lab, shared_model())
        words = [program("windowed"), os.path.join(lab.dir, "plain"), lab.issuer, "target", "alice", str(args.budget), str(STEPS)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            counts = look(process, units, args.looks)
            out = process.communicate()[0].decode()
    finally:
        lab.close()
    return judge(out, counts, args.budget, Model(data), len(units) * UNIT)


def judge(out, counts, budget, model, weights):
    said = [int(word) for word in out.split("\n", maxsplit=1)[0].split()]
    expected, token = [], FIRST
    for pos in range(STEPS):
        token = model.next(token, pos)
        expected.append(token)
    if said != expected:
        print("WRONG it said %s and should have said %s" % (said, expected))
        return 1
    print("%d tokens, as they should be" % STEPS)
    if counts is None:
        print("SKIP a child's memory may not be read here")
        return 77
    most = max(counts, default=0)
    print("%d looks: at most %d bytes of %d in the clear (%.1f %%), window %d; something in %d of them" %
          (len(counts), most, weights, 100 * most / weights, budget, sum(c > 0 for c in counts)))
    return 0 if most <= budget + BESIDE + ROWS else 1


if __name__ == "__main__":
    sys.exit(main())
