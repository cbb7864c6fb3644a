#!/usr/bin/env python3
"""Parsers that know nothing of Earmark read models out of vaults with a clear structure.

usage: other_readers.py REAL_MODELS_TEST SECOND_READERS_DIR MODELS

The test program leaves each model as it stands in its vault.  flatc, Python's JSON and zipfile
and the plain readers of second_readers.py must find in it what they find in the original, but
for the bytes of the weights, and those must be others.  The onnx package and protoc are asked
too where they are installed.  Exit 77: nothing to compare."""
import ast
import functools
import hashlib
import importlib.util
import json
import operator
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import types
import zipfile

SHORT = 64          # of fewer bytes nobody can tell whether they were sealed
BY_CHANCE = 8       # bytes that may be the same besides one in a hundred: 1/256 of them will be
DEBIAN_PYTHON = "/usr/bin/python3"      # has python3-onnx where another one comes first


def second_readers(folder):
    """second_readers.py as a module: all of it but the call that runs it.  flatc's output is slow
    to read, so what was read last is kept."""
    path = os.path.join(folder, "second_readers.py")
    with open(path, encoding="utf-8") as f:
        tree = ast.parse(f.read(), path)
    tree.body = [s for s in tree.body if not (isinstance(s, ast.Expr) and
                                              isinstance(s.value, ast.Call))]
    module = types.ModuleType("second_readers")
    exec(compile(tree, path, "exec"), module.__dict__)
    module.decode_with_flatc = functools.lru_cache(maxsize=1)(module.decode_with_flatc)
    return module


def whole(path):
    with open(path, "rb") as f:
        return f.read()


def without(data, ranges):
    """A digest of what is left of data when the ranges (begin, end) are blank."""
    left = bytearray(data)
    for begin, end in ranges:
        left[begin:end] = bytes(end - begin)
    return hashlib.sha256(left).hexdigest()


class Readers:
    """Each method takes a path and returns (structure, [bytes of a weight])."""

    def __init__(self, second, schemas):
        self.second, self.schemas = second, schemas

    def tflite(self, path):
        weights = self.second.tflite_weights(path, self.schemas)
        model = self.second.decode_with_flatc(path, self.schemas)
        sizes = [len(b.pop("data", [])) for b in model["buffers"]]
        return (sizes, model), weights

    def safetensors(self, path):
        data = whole(path)
        begin = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:begin])
        tensors = {k: v for k, v in header.items() if k != "__metadata__"}
        places = [[begin + at for at in t["data_offsets"]] for t in tensors.values()]
        return (tensors, header, len(data)), [data[b:e] for b, e in places]

    def gguf(self, path):
        data = whole(path)
        g = self.second.Gguf(data)
        starts = sorted({g.begin + offset for *_, offset in g.tensors}) + [len(data)]
        return (g.tensors, g.begin, len(data), without(data, [(starts[0], len(data))])), \
            [data[b:e] for b, e in zip(starts, starts[1:])]

    def fields(self, data, schema, kind, pos, end):
        """All fields of a message and of its children: (kind, number, type, begin, end)."""
        for number, how, begin, stop in self.second.wire(data, pos, end):
            yield kind, number, how, begin, stop
            child = schema[kind].get(number) if kind in schema else None
            if child:
                yield from self.fields(data, schema, child, begin, stop)

    def protobuf(self, path, schema, *how):
        data = whole(path)
        places = [(b, b + n) for b, n in
                  self.second.wire_ranges(data, schema, "model", 0, len(data), *how)]
        fields = list(self.fields(data, schema, "model", 0, len(data)))
        return (fields, places, without(data, places)), [data[b:e] for b, e in places]

    def onnx(self, path):
        s = self.second
        return self.protobuf(path, s.ONNX, s.ONNX_DATA, s.ONNX_TYPE, s.ONNX_STRING)

    def graphdef(self, path):
        s = self.second
        return self.protobuf(path, s.TF, s.TF_DATA, s.TF_TYPE, s.TF_STRING)

    def zip(self, path):
        """The checksums are sealed with the weights, so nobody may look at them."""
        data, members, inner, weights = whole(path), [], [], []
        places = [(at, at + 4) for at in self.second.crcs_of_members(path)]
        for info in zipfile.ZipFile(path).infolist():
            begin = self.second.member_begin(data, info)
            end = begin + info.compress_size
            members.append((info.filename, info.header_offset, begin, info.compress_size,
                            info.file_size, info.compress_type))
            if info.compress_type:
                continue
            if info.filename.endswith(".tflite"):
                found = self.member(data[begin:end])
                inner.append(found[0])
                weights += found[1]
                places.append((begin, end))
            elif self.second.STORAGE.match(info.filename):
                weights.append(data[begin:end])
                places.append((begin, end))
        return (members, inner, places, without(data, places)), weights

    def member(self, data):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.tflite")
            with open(path, "wb") as f:
                f.write(data)
            return self.tflite(path)


def sealed_share(plain, sealed):
    """(bytes compared, bytes that are the same), of weights that are long enough.  Raises
    where one of them is not sealed."""
    total = same = 0
    for a, b in zip(plain, sealed):
        if len(a) <= SHORT:
            continue
        equal = sum(map(operator.eq, a, b))
        if equal * 100 > len(a) + 100 * BY_CHANCE:
            raise AssertionError(f"{equal} of a weight's {len(a)} bytes can be read")
        total += len(a)
        same += equal
    if same * 100 > total + 100 * BY_CHANCE:
        raise AssertionError(f"{same} of {total} bytes of weights can be read")
    return total, same


def compare(read, plain, sealed):
    """What to say of the pair."""
    (structure, a), (other, b) = read(plain), read(sealed)
    if structure != other or [len(w) for w in a] != [len(w) for w in b]:
        raise AssertionError("reads otherwise in the vault")
    total, same = sealed_share(a, b)
    differ = f"{100 - 100 * same / total:.2f} % of {total} bytes differ" if total else \
        f"none over {SHORT} bytes"
    return f"{len(a):5} weights, {differ}"


# ---- the onnx package ------------------------------------------------------------------

def strip(onnx, message, lengths):
    """Takes the data of all tensors out of the message and notes how long it was."""
    if isinstance(message, onnx.TensorProto) and message.data_type != onnx.TensorProto.STRING:
        for field in "raw_data", "float_data", "double_data":
            lengths.append(len(getattr(message, field)))
            message.ClearField(field)
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for child in value if field.label == field.LABEL_REPEATED else [value]:
                strip(onnx, child, lengths)


def say_onnx(path):
    onnx = importlib.import_module("onnx")
    model, lengths = onnx.load(path, load_external_data=False), []
    names = [(t.name, list(t.dims), t.data_type) for t in model.graph.initializer]
    strip(onnx, model, lengths)
    print(json.dumps([names, lengths, hashlib.sha256(
        model.SerializeToString(deterministic=True)).hexdigest()]))


def python_with_onnx():
    for python in sys.executable, DEBIAN_PYTHON:
        if os.path.exists(python) and subprocess.run(
                [python, "-c", "import onnx"], capture_output=True).returncode == 0:
            return python
    return None


def onnx_package(python, path):
    run = subprocess.run([python, os.path.abspath(__file__), "--onnx", path],
                         capture_output=True, text=True)
    if run.returncode:
        raise AssertionError("onnx: " + run.stderr.strip().splitlines()[-1])
    return json.loads(run.stdout)


# ---- protoc ----------------------------------------------------------------------------

LINE = re.compile(r"\s*(?:(\d+)(?: \{|: (.*))|\})$", re.DOTALL)


def protoc_lines(text, schema, data_fields):
    """What --decode_raw prints but for the data of tensors, which it takes for anything.  It goes
    down some ten levels only and prints what is below as text: left out, too."""
    kinds, skip = ["model"], 0
    for line in text.split(b"\n"):
        match = LINE.match(line.decode("latin-1"))
        if not match:
            continue
        number, value = match.groups()
        opens, closes = number and value is None, not number
        if skip:
            skip += bool(opens) - closes
            continue
        if closes:
            kinds.pop()
            yield "}"
            continue
        field, kind = int(number), kinds[-1]
        child = schema.get(kind, {}).get(field)
        if (kind == "tensor" and field in data_fields) or (child and not opens):
            skip = int(opens)
            continue
        if opens:
            kinds.append(child)
        yield line.decode("latin-1")


def protoc(path, schema, data_fields):
    with open(path, "rb") as f:
        run = subprocess.run(["protoc", "--decode_raw"], stdin=f, capture_output=True)
    if run.returncode:
        raise AssertionError("protoc: " + run.stderr.decode(errors="replace").strip())
    return list(protoc_lines(run.stdout, schema, data_fields))


# ---- all of it -------------------------------------------------------------------------

class Extras:
    """Programs that need not be there.  Each is told of once, where it is not."""

    def __init__(self, second):
        self.second, self.python = second, python_with_onnx()
        self.protoc = shutil.which("protoc")
        if not self.python:
            print("SKIP the onnx package is not installed (Debian: python3-onnx)")
        if not self.protoc:
            print("SKIP protoc is not installed (Debian: protobuf-compiler)")

    def compare(self, kind, plain, sealed):
        """The names of those that were asked."""
        asked = []
        if kind == "onnx" and self.python:
            if onnx_package(self.python, plain) != onnx_package(self.python, sealed):
                raise AssertionError("the onnx package reads it otherwise in the vault")
            asked.append("onnx")
        if kind in ("onnx", "graphdef") and self.protoc:
            how = {"onnx": (self.second.ONNX, self.second.ONNX_DATA),
                   "graphdef": (self.second.TF, self.second.TF_DATA)}[kind]
            lines = protoc(plain, *how)
            if len(lines) < 4 or lines != protoc(sealed, *how):
                raise AssertionError("protoc reads it otherwise in the vault")
            asked.append(f"protoc ({len(lines)} lines)")
        return asked


FOLDERS = {"tflite": "tflite", "safetensors": "safetensors", "onnx": "onnx", "gguf": "gguf",
           "graphdef": "graphdef", "pytorch": "zip", "mediapipe-task": "zip"}
NEED_FLATC = ("tflite", "mediapipe-task")


def compare_folder(folder, read, kept, extras, counts):
    for name in sorted(os.listdir(folder)):
        plain, sealed = os.path.join(folder, name), os.path.join(kept, name)
        if not os.path.exists(sealed):
            print(f"{name:46} SKIP not a model by itself")
            counts["skipped"] += 1
            continue
        try:
            line = compare(read, plain, sealed)
            line = ", ".join([line] + extras.compare(read.__name__, plain, sealed))
            counts["compared"] += 1
        except Exception as why:    # whatever another parser says of a file it cannot read
            line = f"FAILED {type(why).__name__}: {why}"
            counts["failed"] += 1
        print(f"{name:46} {read.__name__:11} {line}")


def main():
    program, folder, models = sys.argv[1:]
    second = second_readers(folder)
    readers, counts = Readers(second, folder), {"compared": 0, "skipped": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as kept:
        run = subprocess.run([program], env={**os.environ, "EMK_TEST_KEEP": kept},
                             capture_output=True)
        if run.returncode:
            return run.returncode
        extras = Extras(second)
        for name, kind in FOLDERS.items():
            path = os.path.join(models, name)
            if not os.path.isdir(path) or (name in NEED_FLATC and not shutil.which("flatc")):
                print(f"SKIP {name}: no models, or nothing to read them with")
                continue
            compare_folder(path, getattr(readers, kind), kept, extras, counts)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0 if counts["compared"] else 77


if __name__ == "__main__":
    sys.exit(say_onnx(sys.argv[2]) if sys.argv[1] == "--onnx" else main())
