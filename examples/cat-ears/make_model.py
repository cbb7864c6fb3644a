#!/usr/bin/env python3
"""Trains a small network that sees cat ears on 16 x 16 drawings and writes it as a
TensorFlow Lite file, with nothing but Python's standard library.

usage: make_model.py [FOLDER]     (default: the folder of this script)

Writes cat-ears.tflite and expected.json.  Takes under a minute.  The random numbers have a
fixed seed and sums are exact, so that the result does not depend on Python's version; the
last bits may still depend on the C library's exp()."""
import json
import math
import os
import random
import struct
import sys
from operator import mul

SIDE = 16
LAYERS = [SIDE * SIDE, 160, 64, 2]
LABELS = ["no cat ears", "cat ears"]
DRAWINGS = 1500
ROUNDS = 4
RATE = 0.02


# ---- drawings -------------------------------------------------------------------------

def in_triangle(px, py, a, b, c):
    def side(p, q):
        return (q[0] - p[0]) * (py - p[1]) - (q[1] - p[1]) * (px - p[0])
    s = (side(a, b), side(b, c), side(c, a))
    return min(s) >= 0 or max(s) <= 0


def draw(rng, ears):
    """A head, filled or in outline, with eyes and noise, and ears or none: 256 values 0..1.

    What has no ears may have a hat or a thick fringe, so that dark pixels above the head
    alone say nothing."""
    cx, cy = rng.uniform(6.5, 8.5), rng.uniform(8.5, 10.0)
    r = rng.uniform(3.6, 5.0)
    ink, filled = rng.uniform(0.6, 1.0), rng.random() < 0.5
    tall, wide = rng.uniform(2.6, 4.2), rng.uniform(0.55, 0.75)
    hat = not ears and rng.random() < 0.5
    image = []
    for y in range(SIDE):
        for x in range(SIDE):
            d = math.hypot(x - cx, y - cy)
            on = d <= r if filled else abs(d - r) < 0.7
            if ears:
                for s in (-1, 1):
                    tip = (cx + s * r * 0.85, cy - r * 0.6 - tall)
                    inner = (cx + s * r * (0.85 - wide), cy - r * 0.9)
                    outer = (cx + s * r * 1.0, cy - r * 0.25)
                    on = on or in_triangle(x, y, tip, inner, outer)
            elif hat:
                on = on or (abs(x - cx) <= r * 0.8 and 0 <= cy - r * 0.6 - y <= tall)
            if filled and abs(y - cy + 1) < 0.6 and abs(abs(x - cx) - r * 0.45) < 0.6:
                on = False
            v = ink if on else 0.0
            if rng.random() < 0.02:
                v = rng.random()
            image.append(v)
    return image


# ---- the network ----------------------------------------------------------------------

def new_layers(rng):
    """Each layer is (columns, bias): columns[i][o] joins input i to output o."""
    layers = []
    for n_in, n_out in zip(LAYERS, LAYERS[1:]):
        limit = math.sqrt(6.0 / (n_in + n_out))
        columns = [[rng.uniform(-limit, limit) for _ in range(n_out)] for _ in range(n_in)]
        layers.append([columns, [0.0] * n_out])
    return layers


def forward(layers, image):
    """The values that enter each layer, and the probabilities."""
    values = [image]
    for k, (columns, bias) in enumerate(layers):
        out = bias
        for x, column in zip(values[-1], columns):
            if x:
                out = [a + x * w for a, w in zip(out, column)]
        values.append(out if k == len(layers) - 1 else [a if a > 0 else 0.0 for a in out])
    top = max(values[-1])
    e = [math.exp(v - top) for v in values[-1]]
    return values, [v / math.fsum(e) for v in e]


def learn(layers, image, label):
    values, p = forward(layers, image)
    slope = [q - (i == label) for i, q in enumerate(p)]
    for k in reversed(range(len(layers))):
        columns, bias = layers[k]
        below = []
        for i, x in enumerate(values[k]):
            if k:
                below.append(math.fsum(map(mul, columns[i], slope)) if x else 0.0)
            if x:
                step = RATE * x
                columns[i] = [w - step * s for w, s in zip(columns[i], slope)]
        layers[k][1] = [b - RATE * s for b, s in zip(bias, slope)]
        slope = below


def share_right(layers, samples):
    right = [forward(layers, image)[1][label] > 0.5 for image, label in samples]
    return right.count(True) / len(right)


def train(rng):
    layers = new_layers(rng)
    samples = [(draw(rng, i % 2 == 1), i % 2) for i in range(DRAWINGS)]
    for round_no in range(ROUNDS):
        for image, label in samples:
            learn(layers, image, label)
        print("round %d: %.1f %% of the drawings" %
              (round_no + 1, 100 * share_right(layers, samples[:300])))
    fresh = [(draw(rng, i % 2 == 1), i % 2) for i in range(300)]
    print("of 300 others: %.1f %%" % (100 * share_right(layers, fresh)))
    return layers


def f32(values):
    return struct.pack("<%df" % len(values), *values)


# ---- FlatBuffers ----------------------------------------------------------------------
#
# Written front to back: an object first, then what it refers to.  A table is a dict from
# slot to a value: ("<i", 3) for a scalar, else an object.  A list is a vector of objects,
# ("<i", [..]) a vector of scalars, bytes a vector of bytes, str a string.

def align(out, to, ahead=0):
    while (len(out) + ahead) % to:
        out.append(0)


def write_table(out, fields):
    """Returns where the table is, and where it refers to what."""
    n_slots = max(fields, default=-1) + 1
    offsets, body, refs = [0] * n_slots, bytearray(4), []
    for slot, value in sorted(fields.items()):
        scalar = isinstance(value, tuple) and not isinstance(value[1], list)
        data = struct.pack(*value) if scalar else bytes(4)
        align(body, len(data))
        offsets[slot] = len(body)
        if not scalar:
            refs.append((len(body), value))
        body += data
    vtable = struct.pack("<%dH" % (2 + n_slots), 4 + 2 * n_slots, len(body), *offsets)
    align(out, 8, len(vtable))
    start = len(out) + len(vtable)
    struct.pack_into("<i", body, 0, len(vtable))
    out += vtable + body
    return start, [(start + at, value) for at, value in refs]


def write_vector(out, value):
    refs = []
    if isinstance(value, str):
        n, data = len(value.encode()), value.encode() + b"\0"
    elif isinstance(value, bytes):
        n, data = len(value), value
        align(out, 16, 4)                       # the runtime reads weights in place
    elif isinstance(value, tuple):
        n, data = len(value[1]), b"".join(struct.pack(value[0], v) for v in value[1])
    else:
        n, data = len(value), bytes(4 * len(value))
    align(out, 4)
    start = len(out)
    if isinstance(value, list):
        refs = [(start + 4 + 4 * i, item) for i, item in enumerate(value)]
    out += struct.pack("<I", n) + data
    return start, refs


def flatbuffer(root, identifier):
    out = bytearray(4) + identifier
    todo = [(0, root)]
    for at, value in todo:                      # grows while it runs
        write = write_table if isinstance(value, dict) else write_vector
        start, refs = write(out, value)
        struct.pack_into("<I", out, at, start - at)
        todo += refs
    align(out, 4)
    return bytes(out)


# ---- the TensorFlow Lite model --------------------------------------------------------

FULLY_CONNECTED, SOFTMAX = 9, 25                # operators
FULLY_CONNECTED_OPTIONS, SOFTMAX_OPTIONS = 8, 9 # kinds of their options
RELU = 1


def tflite(layers):
    buffers, tensors, operators = [{}], [], []

    def tensor(name, shape, data=None):
        t = {0: ("<i", shape), 1: ("<b", 0), 3: name}
        if data is not None:
            t[2] = ("<I", len(buffers))
            buffers.append({0: data})
        tensors.append(t)
        return len(tensors) - 1

    def operator(code, inputs, output, kind, options):
        operators.append({0: ("<I", code), 1: ("<i", inputs), 2: ("<i", [output]),
                          3: ("<B", kind), 4: options})

    first = last = tensor("drawing", [1, LAYERS[0]])
    for k, (columns, bias) in enumerate(layers):
        rows = b"".join(f32(row) for row in zip(*columns))
        name = "layer%d" % (k + 1)
        kernel = tensor(name + "/kernel", [LAYERS[k + 1], LAYERS[k]], rows)
        offset = tensor(name + "/bias", [LAYERS[k + 1]], f32(bias))
        result = tensor(name, [1, LAYERS[k + 1]])
        options = {0: ("<b", RELU)} if k < len(layers) - 1 else {}
        operator(0, [last, kernel, offset], result, FULLY_CONNECTED_OPTIONS, options)
        last = result
    result = tensor("probabilities", [1, LAYERS[-1]])
    operator(1, [last], result, SOFTMAX_OPTIONS, {0: ("<f", 1.0)})
    buffers.append({0: b"1.5.0".ljust(16, b"\0")})
    return flatbuffer({
        0: ("<I", 3),
        1: [{0: ("<b", c), 2: ("<i", 1), 3: ("<i", c)} for c in (FULLY_CONNECTED, SOFTMAX)],
        2: [{0: tensors, 1: ("<i", [first]), 2: ("<i", [result]), 3: operators, 4: "main"}],
        3: "cat ears on 16 x 16 drawings",
        4: buffers,
        6: [{0: "min_runtime_version", 1: ("<I", len(buffers) - 1)}],
    }, b"TFL3")


def expected(layers, rng):
    cases = []
    for label in (0, 1):
        image = [round(v, 2) for v in draw(rng, label == 1)]
        _, p = forward(layers, image)
        cases.append({"input": image, "output": [round(v, 6) for v in p], "label": LABELS[label]})
    return {"labels": LABELS, "tolerance": 1e-4, "cases": cases}


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    rng = random.Random(1)
    layers = train(rng)
    # What is written has 32 bits; expected results are computed with the same numbers.
    for layer in layers:
        layer[0] = [list(struct.unpack("<%df" % len(c), f32(c))) for c in layer[0]]
        layer[1] = list(struct.unpack("<%df" % len(layer[1]), f32(layer[1])))
    with open(os.path.join(folder, "cat-ears.tflite"), "wb") as f:
        f.write(tflite(layers))
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
        json.dump(expected(layers, rng), f)
        f.write("\n")


if __name__ == "__main__":
    main()
