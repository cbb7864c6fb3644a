#!/usr/bin/env python3
"""Compares core/model with readers that share no code with it.

usage: second_readers.py MODEL_LIST SCHEMA_DIR FOLDER...

TensorFlow Lite files are decoded by flatc, safetensors headers by Python's own JSON, GGUF,
ONNX and TensorFlow's own files by the few lines below.  Each
sample must also have a sane share of its bytes found.  Exit 77: nothing to compare."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

TYPE_STRING = 5


def listed(tool, path, *options):
    """What model_list says: (summary, [(offset, length, name, dims, type, part)])."""
    run = subprocess.run([tool, *options, path], capture_output=True, text=True)
    if run.returncode != 0:
        raise AssertionError(run.stdout + run.stderr)
    lines = run.stdout.splitlines()
    words = lines[0].split()
    summary = dict(zip(words[::2], words[1::2]))
    tensors = []
    for line in lines[1:]:
        if line.startswith("tensor "):
            w = line.split(" ", 9)
            dims = [int(d) for d in w[8].strip("[]").split(",") if d]
            tensors.append((int(w[1]), int(w[2]), w[9], dims, w[7], w[4]))
    return summary, tensors


def decode_with_flatc(path, schema_dir):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["flatc", "--json", "--strict-json", "--defaults-json", "--raw-binary",
                        "-o", out, os.path.join(schema_dir, "tflite.fbs"), "--", path],
                       check=True, capture_output=True)
        stem = os.path.splitext(os.path.basename(path))[0]
        with open(os.path.join(out, stem + ".json"), encoding="utf-8", errors="replace") as f:
            return json.load(f)


def tflite_weights(path, schema_dir):
    """The contents of all buffers that must be found."""
    model = decode_with_flatc(path, schema_dir)
    buffers = [bytes(b.get("data", [])) for b in model["buffers"]]
    tensors = [t for g in model["subgraphs"] for t in g.get("tensors", [])]
    weights = {t["buffer"] for t in tensors if t["type"] != TYPE_STRING}
    text = {t["buffer"] for t in tensors if t["type"] == TYPE_STRING}
    metadata = {m["buffer"] for m in model.get("metadata", [])}
    metadata |= set(model.get("metadata_buffer", []))
    clear = (text | metadata) - weights
    return [b for i, b in enumerate(buffers) if i and b and i not in clear]


def check_tflite(tool, path, schema_dir):
    summary, tensors = listed(tool, path)
    with open(path, "rb") as f:
        data = f.read()
    found = [data[o:o + n] for o, n, *_ in tensors]
    wanted = tflite_weights(path, schema_dir)
    if sorted(set(found)) != sorted(set(wanted)) or len(found) > len(wanted):
        raise AssertionError("flatc finds %d buffers, this %d" % (len(wanted), len(found)))
    return summary


def check_safetensors(tool, path, _):
    summary, tensors = listed(tool, path)
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    wanted = sorted((8 + size + e["data_offsets"][0], e["data_offsets"][1] - e["data_offsets"][0],
                     name, e["shape"], e["dtype"].lower()) for name, e in header.items()
                    if e["data_offsets"][0] != e["data_offsets"][1])
    if [t[:5] for t in tensors] != wanted:
        raise AssertionError("Python's JSON reads another list")
    if sum(n for _, n, *_ in tensors) != len(data) - 8 - size:
        raise AssertionError("bytes without a tensor")
    return summary


GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Gguf:
    """A plain reader: it believes the file."""

    def __init__(self, data):
        self.data, self.pos = data, 8
        n_tensors, n_kv = self.get("<Q"), self.get("<Q")
        values = {self.text(): self.value(self.get("<I")) for _ in range(n_kv)}
        self.tensors = [self.info() for _ in range(n_tensors)]
        align = values.get("general.alignment", 32)
        self.begin = -(-self.pos // align) * align

    def get(self, how):
        value, = struct.unpack_from(how, self.data, self.pos)
        self.pos += struct.calcsize(how)
        return value

    def text(self):
        size = self.get("<Q")
        self.pos += size
        return self.data[self.pos - size:self.pos].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, n = self.get("<I"), self.get("<Q")
            return [self.value(inner) for _ in range(n)]
        return self.get({1: "<B", 2: "<H", 4: "<I", 8: "<Q"}[GGUF_SIZES[kind]])

    def info(self):
        name = self.text()
        dims = [self.get("<Q") for _ in range(self.get("<I"))]
        kind = self.get("<I")
        return name, dims, kind, self.get("<Q")


def check_gguf(tool, path, _):
    summary, tensors = listed(tool, path)
    with open(path, "rb") as f:
        data = f.read()
    g = Gguf(data)
    starts = sorted({g.begin + t[3] for t in g.tensors}) + [len(data)]
    wanted = sorted((g.begin + off, starts[starts.index(g.begin + off) + 1] - g.begin - off, name,
                     dims) for name, dims, _, off in g.tensors)
    if [t[:4] for t in tensors] != wanted:
        raise AssertionError("a plain reader finds another list")
    return summary


def varint(data, pos):
    value = shift = 0
    while True:
        value |= (data[pos] & 0x7f) << shift
        shift += 7
        pos += 1
        if data[pos - 1] < 0x80:
            return value, pos


def wire(data, pos, end):
    """The fields of a Protocol Buffers message: (number, type, begin, end)."""
    while pos < end:
        key, pos = varint(data, pos)
        begin = pos
        if key & 7 == 0:
            _, pos = varint(data, pos)
        elif key & 7 == 2:
            size, begin = varint(data, pos)
            pos = begin + size
        else:
            pos += 8 if key & 7 == 1 else 4
        yield key >> 3, key & 7, begin, pos


# Which fields of a message are messages, and which hold data that can be sealed in place.
ONNX = {"model": {7: "graph", 20: "training", 25: "function"},
        "training": {1: "graph", 2: "graph"}, "function": {7: "node", 11: "attribute"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"}, "node": {5: "attribute"},
        "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse",
                      23: "sparse"},
        "sparse": {1: "tensor", 2: "tensor"}}
ONNX_DATA, ONNX_TYPE, ONNX_STRING = (4, 9, 10), 2, 8
TF = {"saved_model": {2: "meta_graph"}, "meta_graph": {2: "model"},
      "model": {1: "node", 2: "library"}, "library": {1: "function"},
      "function": {3: "node", 5: "entry"}, "node": {5: "entry"}, "entry": {2: "value"},
      "value": {1: "list", 8: "tensor", 10: "func"}, "list": {8: "tensor", 9: "func"},
      "func": {2: "entry"}}
TF_DATA, TF_TYPE, TF_STRING = (4, 5, 6, 9, 12, 18), 1, 7


def wire_ranges(data, schema, kind, pos, end, wanted, dtype_field, string):
    if kind == "tensor":
        fields = list(wire(data, pos, end))
        dtypes = [varint(data, b)[0] for n, t, b, _ in fields if n == dtype_field]
        if string in dtypes[-1:]:
            return
        yield from ((b, e - b) for n, t, b, e in fields if n in wanted and t == 2 and e > b)
        return
    for number, _, begin, stop in wire(data, pos, end):
        child = schema[kind].get(number)
        if child:
            yield from wire_ranges(data, schema, child, begin, stop, wanted, dtype_field, string)


def check_wire(tool, path, schema, root, *how):
    options = {"saved_model": ["-f", "savedmodel"], "model": [] if schema is ONNX else
               ["-f", "graphdef"]}[root]
    summary, tensors = listed(tool, path, *options)
    with open(path, "rb") as f:
        data = f.read()
    wanted = sorted(wire_ranges(data, schema, root, 0, len(data), *how))
    if [t[:2] for t in tensors if t[5] == "0"] != wanted:
        raise AssertionError("a plain reader finds %d ranges" % len(wanted))
    return summary


def check_onnx(tool, path, _):
    return check_wire(tool, path, ONNX, "model", ONNX_DATA, ONNX_TYPE, ONNX_STRING)


def check_tf(tool, path, _):
    root = "saved_model" if os.path.basename(path) == "saved_model.pb" else "model"
    return check_wire(tool, path, TF, root, TF_DATA, TF_TYPE, TF_STRING)


STORAGE = re.compile(r"[^/]+/(data/|constants/|data/weights/weight_|data/constants/tensor_)\d+$")


def member_begin(data, info):
    name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
    return info.header_offset + 30 + name + extra


def check_zip(tool, path, schema_dir):
    if not zipfile.is_zipfile(path):
        return None                             # PyTorch's files of before 2020
    summary, tensors = listed(tool, path)
    with open(path, "rb") as f:
        data = f.read()
    wanted, contents = [], []
    for info in zipfile.ZipFile(path).infolist():
        begin = member_begin(data, info)
        if STORAGE.match(info.filename) and info.file_size and not info.compress_type:
            wanted.append((begin, info.file_size))
        if info.filename.endswith(".tflite") and shutil.which("flatc"):
            with tempfile.TemporaryDirectory() as folder:
                inner = os.path.join(folder, "m.tflite")
                with open(inner, "wb") as f:
                    f.write(data[begin:begin + info.file_size])
                contents += tflite_weights(inner, schema_dir)
    found = [t[:2] for t in tensors]
    if contents:
        if {data[o:o + n] for o, n in found} != set(contents):
            raise AssertionError("flatc finds other buffers in the members")
    elif found != sorted(wanted):
        raise AssertionError("zipfile finds other members")
    return summary


CHECKS = {".tflite": check_tflite, ".safetensors": check_safetensors,
          ".gguf": check_gguf, ".onnx": check_onnx, ".pb": check_tf, ".task": check_zip, ".pt": check_zip, ".pth": check_zip,
          ".jit": check_zip, ".pt2": check_zip}


def main():
    tool, schema_dir, folders = sys.argv[1], sys.argv[2], sys.argv[3:]
    bad = done = 0
    for folder in folders:
        for path in sorted(os.path.join(d, f) for d, _, names in os.walk(folder) for f in names):
            name = os.path.relpath(path, os.path.dirname(folder))
            kind = os.path.splitext(name)[1]
            if kind not in CHECKS or name.endswith("fingerprint.pb") or (kind == ".tflite" and not shutil.which("flatc")):
                continue
            try:
                s = CHECKS[kind](tool, path, schema_dir)
                if s is None:
                    continue
                print("%-58s %-12s %9s bytes %5s ranges %6.2f %%  %6s us" % (
                    name, s["format"], s["file"], s["ranges"],
                    100 * int(s["bytes"]) / int(s["file"]), s["scan_us"]))
                done += 1
            except AssertionError as why:
                print("%s: %s" % (name, why))
                bad += 1
    if bad:
        sys.exit(1)
    if not done:
        print("SKIP nothing to compare here")
        sys.exit(77)


main()
