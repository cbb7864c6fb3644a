#!/usr/bin/env python3
"""Compares core/model with readers that share no code with it.

usage: second_readers.py MODEL_LIST SCHEMA_DIR FOLDER...

TensorFlow Lite files are decoded by flatc, safetensors headers by Python's own JSON, archives
by its zipfile, OpenVINO's XML by its ElementTree, the rest by the few lines below.  What the
samples lack is made here first.  The onnx, gguf, safetensors and tensorflow packages are
asked too where they are installed.  Exit 77: nothing to compare."""
import glob
import importlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zipfile

TYPE_STRING = 5
CHECKSUM = "3"      # the kind of a range


def listed(tool, path, *options):
    """What model_list says: (summary, [(offset, length, name, dims, type, part)])."""
    run = subprocess.run([tool, *options, path], capture_output=True, text=True)
    if run.returncode != 0:
        raise AssertionError(run.stdout + run.stderr)
    lines = run.stdout.splitlines()
    words = next(line for line in lines if line.startswith("format ")).split()
    summary = dict(zip(words[::2], words[1::2]))
    tensors = []
    for line in lines:
        if line.startswith("tensor "):
            w = line.split(" ", 9)
            dims = [int(d) for d in w[8].strip("[]").split(",") if d]
            if w[6] != CHECKSUM:
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
        if (STORAGE.match(info.filename) or info.filename.endswith(".weights.h5")) and \
                info.file_size and not info.compress_type:
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
    check_checksums(tool, path)
    return summary


def crcs_of_members(path):
    """Where the archive holds checksums of stored members that hold weights."""
    with open(path, "rb") as f:
        data = f.read()
    archive, wanted = zipfile.ZipFile(path), []
    at = archive.start_dir
    for info in archive.infolist():
        begin = member_begin(data, info)
        if info.file_size and not info.compress_type and (
                STORAGE.match(info.filename) or info.filename.endswith((".tflite", ".weights.h5"))):
            wanted += [info.header_offset + 14, at + 16]
            if info.flag_bits & 8:
                behind = begin + info.compress_size
                wanted.append(behind + (4 if data[behind:behind + 4] == b"PK\7\x08" else 0))
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))
    return sorted(wanted)


def check_checksums(tool, path):
    run = subprocess.run([tool, path], capture_output=True, text=True, check=True)
    found = sorted(int(w[1]) for w in (line.split(" ", 9) for line in run.stdout.splitlines())
                   if w[0] == "tensor" and w[6] == CHECKSUM and w[2] == "4")
    if found != crcs_of_members(path):
        raise AssertionError("zipfile knows other places of checksums")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def unsnappy(data):
    size, pos = varint(data, 0)
    out = bytearray()
    while pos < len(data):
        tag = data[pos]
        pos += 1
        if tag & 3 == 0:
            n = tag >> 2
            if n >= 60:
                extra = n - 59
                n = int.from_bytes(data[pos:pos + extra], "little")
                pos += extra
            out += data[pos:pos + n + 1]
            pos += n + 1
            continue
        if tag & 3 == 1:
            n, back, pos = (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[pos], pos + 1
        else:
            width = 2 if tag & 3 == 2 else 4
            n, back = (tag >> 2) + 1, int.from_bytes(data[pos:pos + width], "little")
            pos += width
        for _ in range(n):
            out.append(out[-back])
    assert len(out) == size
    return bytes(out)


def table_block(data, offset, size):
    """The entries of one block."""
    content, kind = data[offset:offset + size], data[offset + size]
    assert struct.unpack_from("<I", data, offset + size + 1)[0] == masked(
        crc32c(data[offset:offset + size + 1]))
    content = unsnappy(content) if kind else content
    end = len(content) - 4 - 4 * struct.unpack("<I", content[-4:])[0]
    pos, key = 0, b""
    while pos < end:
        shared, pos = varint(content, pos)
        fresh, pos = varint(content, pos)
        length, pos = varint(content, pos)
        key = key[:shared] + content[pos:pos + fresh]
        yield key, content[pos + fresh:pos + fresh + length]
        pos += fresh + length


def table(data):
    _, pos = varint(data, len(data) - 48)
    _, pos = varint(data, pos)
    at, pos = varint(data, pos)
    size, _ = varint(data, pos)
    for _, handle in table_block(data, at, size):
        offset, pos = varint(handle, 0)
        yield from table_block(data, offset, varint(handle, pos)[0])


def number(data, field):
    found = [varint(data, begin)[0] for n, t, begin, _ in wire(data, 0, len(data))
             if n == field and t == 0]
    return found[-1] if found else 0


def check_bundle(tool, path, _):
    """The entry's own CRC-32C tells whether the range is right, where bytes are not text."""
    run = subprocess.run([tool, path], capture_output=True, text=True, check=True)
    found = sorted((int(w[1]), int(w[2]), int(w[3]), w[4]) for w in (
        line.split(" ", 4) for line in run.stdout.splitlines()) if w[0] == "named")
    with open(path, "rb") as f:
        entries = dict(table(f.read()))
    shards, wanted = number(entries.pop(b""), 1), []
    for name, value in entries.items():
        fields = {n: (b, e) for n, t, b, e in wire(value, 0, len(value))}
        if number(value, 1) in (7, 20, 21) or 7 in fields or b"\0" in name:
            continue
        part, offset, size = number(value, 3), number(value, 4), number(value, 5)
        shard = "%s.data-%05d-of-%05d" % (path[:-len(".index")], part, shards)
        with open(shard, "rb") as f:
            data = f.read()[offset:offset + size]
        begin = fields[6][0]
        assert struct.unpack_from("<I", value, begin)[0] == masked(crc32c(data)), name
        wanted.append((part + 1, offset, size, name.decode()))
    if found != sorted(wanted):
        raise AssertionError("a plain reader finds %d variables" % len(wanted))
    return listed(tool, path)[0]


def check_openvino(tool, path, _):
    summary, tensors = listed(tool, path)
    wanted = set()
    for layer in xml.etree.ElementTree.parse(path).iter("layer"):
        data = layer.find("data")
        if layer.get("type") == "Const" and data.get("element_type") != "string":
            wanted.add((int(data.get("offset")), int(data.get("size"))))
    if sorted(wanted) != [t[:2] for t in tensors]:
        raise AssertionError("ElementTree finds other constants")
    return summary


def check_coreml(tool, path, _):
    summary, tensors = listed(tool, path)
    with open(path, "rb") as f:
        data = f.read()
    pos, wanted = 64, []
    for _ in range(struct.unpack_from("<I", data)[0]):
        magic, _, size, offset = struct.unpack_from("<IIQQ", data, pos)
        assert magic == 0xDEADBEEF
        wanted.append((offset, size))
        pos = -(-(offset + size) // 64) * 64
    if [t[:2] for t in tensors] != wanted:
        raise AssertionError("a plain reader finds other blobs")
    return summary


def check_shards(tool, path, _):
    run = subprocess.run([tool, path], capture_output=True, text=True, check=True)
    found = [line.split(" ", 2)[2] for line in run.stdout.splitlines() if line.startswith("part ")]
    with open(path, encoding="utf-8") as f:
        wanted = list(dict.fromkeys(json.load(f)["weight_map"].values()))
    if found != wanted:
        raise AssertionError("Python's JSON finds other shards")
    return listed(tool, path)[0]


# ---- what the samples lack ------------------------------------------------------------

def pb(*fields):
    def put(v):
        out = bytearray()
        while v >= 0x80:
            out.append(v & 0x7f | 0x80)
            v >>= 7
        return bytes(out) + bytes([v])
    return b"".join(put(n << 3) + put(v) if isinstance(v, int) else
                    put(n << 3 | 2) + put(len(v)) + v for n, v in fields)


def make_bundle(folder, n):
    """n variables in three shards, and one in slices, in blocks of 20 entries."""
    blobs = [bytearray(), bytearray(), bytearray()]
    entries = {b"": pb((1, 3), (3, pb((1, 1))))}
    for i in range(n):
        shard, data = i % 3, bytes((i * k) & 0xff for k in range(i % 50))
        crc = struct.pack("<BI", 6 << 3 | 5, masked(crc32c(data)))
        entries[b"layer_%04d/kernel" % i] = pb((1, 1), (3, shard), (4, len(blobs[shard])),
                                               (5, len(data))) + crc
        blobs[shard] += data
    entries[b"sliced"] = pb((1, 1), (7, b""))
    out, index, keys = b"", [], sorted(entries)

    def block(items):
        content, last = b"", b""
        for key, value in items:
            shared = len(os.path.commonprefix([last, key]))
            content += pb((0, shared))[1:] + pb((0, len(key) - shared))[1:] + pb(
                (0, len(value)))[1:] + key[shared:] + value
            last = key
        content += struct.pack("<II", 0, 1) + b"\0"
        return content + struct.pack("<I", masked(crc32c(content)))
    for i in range(0, len(keys), 20):
        made = block([(k, entries[k]) for k in keys[i:i + 20]])
        index.append((keys[i:i + 20][-1], pb((0, len(out)))[1:] + pb((0, len(made) - 5))[1:]))
        out += made
    made = block(index)
    footer = b"\0\0" + pb((0, len(out)))[1:] + pb((0, len(made) - 5))[1:]
    with open(os.path.join(folder, "made.index"), "wb") as f:
        f.write(out + made + footer.ljust(40, b"\0") + struct.pack("<Q", 0xdb4775248b80fb57))
    for i, blob in enumerate(blobs):
        with open(os.path.join(folder, "made.data-%05d-of-00003" % i), "wb") as f:
            f.write(blob)


def make_openvino(folder):
    root = xml.etree.ElementTree.Element("net", name="made <&>", version="11")
    layers, at = xml.etree.ElementTree.SubElement(root, "layers"), 0
    for i in range(200):
        layer = xml.etree.ElementTree.SubElement(
            layers, "layer", id=str(i), name="l & \"%d\"" % i, type="Const" if i % 3 else "Add")
        size = 4 * (i % 7 + 1)
        if i % 3:
            xml.etree.ElementTree.SubElement(layer, "data", element_type="f32", shape="1,%d" % i,
                                             offset=str(at), size=str(size))
            at += size
    xml.etree.ElementTree.ElementTree(root).write(os.path.join(folder, "made.xml"), "utf-8", True)
    with open(os.path.join(folder, "made.bin"), "wb") as f:
        f.write(bytes(at))


def make_coreml(folder):
    out = struct.pack("<II", 9, 2).ljust(64, b"\0")
    for i in range(9):
        out = out.ljust(-(-len(out) // 64) * 64, b"\0")
        out += struct.pack("<IIQQQ", 0xDEADBEEF, 1 + i % 3, 10 * i + 1, len(out) + 64, 0) + b"\xee" * 32
        out += bytes(10 * i + 1)
    os.mkdir(os.path.join(folder, "weights"))
    with open(os.path.join(folder, "weights", "weight.bin"), "wb") as f:
        f.write(out)


def make_archives(folder):
    with zipfile.ZipFile(os.path.join(folder, "made.keras"), "w") as z:
        z.writestr("metadata.json", "{}")
        z.writestr("model.weights.h5", bytes(5000))
        z.writestr("config.json", "{}", zipfile.ZIP_DEFLATED)
    with open(os.path.join(folder, "streamed.pt"), "wb") as out:
        class Pipe:                             # a writer that cannot go back: bit 3
            def write(self, data):
                return out.write(data)

            def flush(self):
                out.flush()
        with zipfile.ZipFile(Pipe(), "w") as z:
            for i in range(5):
                z.writestr("m/data/%d" % i, bytes(100 + i))
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": 9}, "weight_map": {
            "layer.%d.w" % i: "model-%05d-of-00007.safetensors" % (i // 40 + 1)
            for i in range(280)}}, f)


def make_onnx(folder):
    """Tensors in two files, two on one range, with a gap and a checksum."""
    def tensor(name, *entries):
        return pb((1, 4), (2, 1), (8, name), (14, 1), *((13, pb((1, k), (2, v)))
                                                        for k, v in entries))
    graph = pb((5, tensor(b"a", (b"location", b"w.data"), (b"offset", b"4096"), (b"length", b"16"))),
               (5, tensor(b"b", (b"location", b"w.data"), (b"offset", b"0"), (b"length", b"16"))),
               (5, tensor(b"c", (b"location", b"w.data"), (b"offset", b"0"), (b"length", b"16"),
                          (b"checksum", b"0" * 40))),
               (5, tensor(b"d", (b"location", b"./more/v.data"), (b"offset", b"64"))),
               (5, pb((1, 4), (2, 1), (8, b"e"), (9, bytes(16)))))
    with open(os.path.join(folder, "external.onnx"), "wb") as f:
        f.write(pb((1, 8), (7, graph)))
    os.mkdir(os.path.join(folder, "more"))
    for name, size in (("w.data", 4112), ("more/v.data", 100)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(bytes(size))


def check_made_onnx(tool, path, _):
    summary, tensors = listed(tool, path)
    ranges = [(t[5],) + t[:2] for t in tensors if t[5] != "0"]
    if ranges != [("1", 0, 16), ("1", 4096, 16), ("2", 64, 36)]:
        raise AssertionError("other ranges: %s" % ranges)
    return summary


def make_samples(folder):
    make_bundle(folder, 300)
    make_openvino(folder)
    make_coreml(folder)
    make_archives(folder)
    make_onnx(folder)


# ---- other people's readers, where they are installed ----------------------------------

def onnx_tensors(path):
    onnx = importlib.import_module("onnx")
    model = onnx.load(path, load_external_data=False)
    return {t.name: bytes(t.raw_data) for t in model.graph.initializer if t.HasField("raw_data") and
            t.data_type != onnx.TensorProto.STRING and t.raw_data}


def safetensors_tensors(path):
    with importlib.import_module("safetensors").safe_open(path, "numpy") as f:
        return {k: f.get_tensor(k).tobytes() for k in f.keys() if f.get_slice(k).get_dtype() != "BF16"}


def gguf_tensors(path):
    return {t.name: t.data.tobytes() for t in importlib.import_module("gguf").GGUFReader(path).tensors}


def tensorflow_tensors(path):
    train = importlib.import_module("tensorflow").train
    reader = train.load_checkpoint(path[:-len(".index")])
    return {name: reader.get_tensor(name).tobytes()
            for name, dtype in reader.get_variable_to_dtype_map().items() if dtype.name != "string"}


def bundle_ranges(tool, path):
    """name: its bytes, out of the shards, as this project finds them."""
    run = subprocess.run([tool, path], capture_output=True, text=True, check=True)
    named = [line.split(" ", 4) for line in run.stdout.splitlines() if line.startswith("named ")]
    shards = sorted(glob.glob(glob.escape(path[:-len(".index")]) + ".data-*-of-*"))
    found = {}
    for _, part, offset, size, name in named:
        with open(shards[int(part) - 1], "rb") as f:
            found[name] = [f.read()[int(offset):int(offset) + int(size)]]
    return found


OTHERS = {".index": ("tensorflow", tensorflow_tensors), ".onnx": ("onnx", onnx_tensors), ".safetensors": ("safetensors", safetensors_tensors),
          ".gguf": ("gguf", gguf_tensors)}


def ranges_of(tool, path):
    if path.endswith(".index"):
        return bundle_ranges(tool, path)
    with open(path, "rb") as f:
        data = f.read()
    found = {}
    for offset, size, name, *_ in listed(tool, path)[1]:
        found.setdefault(name, []).append(data[offset:offset + size])
    return found


def ask_others(tool, path, absent):
    """Every tensor that another reader finds must be found here with the same bytes."""
    package, read = OTHERS.get(os.path.splitext(path)[1], (None, None))
    if not package or os.path.basename(path) == "made.index":  # a table, not a checkpoint
        return
    try:
        importlib.import_module(package)
    except ImportError:
        absent.add(package)
        return
    found = ranges_of(tool, path)
    kept = {b for all_of in found.values() for b in all_of}
    for name, wanted in read(path).items():
        # A range may have several names, and GGUF's go up to the next tensor.
        if not any(b.startswith(wanted) for b in found.get(name, [])) and wanted not in kept:
            raise AssertionError("%s finds %s elsewhere" % (package, name))


CHECKS = {".tflite": check_tflite, ".safetensors": check_safetensors,
          ".gguf": check_gguf, ".onnx": check_onnx, ".pb": check_tf, ".task": check_zip, ".pt": check_zip, ".pth": check_zip,
          ".jit": check_zip, ".pt2": check_zip, ".keras": check_zip, ".index": check_bundle,
          ".xml": check_openvino}
NAMES = {"weight.bin": check_coreml, "model.safetensors.index.json": check_shards,
         "external.onnx": check_made_onnx}


def check_for(name):
    kind = os.path.splitext(name)[1]
    if name.endswith("fingerprint.pb") or (kind == ".tflite" and not shutil.which("flatc")):
        return None
    return NAMES.get(os.path.basename(name)) or CHECKS.get(kind)


def compare(tool, path, name, schema_dir, absent):
    """One line about a file; None where there is nothing to compare it with."""
    check = check_for(name)
    s = check(tool, path, schema_dir) if check else None
    if s is None:
        return None
    ask_others(tool, path, absent)
    return "%-58s %-12s %9s bytes %5s ranges %6.2f %%  %6s us" % (
        name, s["format"], s["file"], s["ranges"], 100 * int(s["bytes"]) / int(s["file"]),
        s["scan_us"])


def main():
    tool, schema_dir, folders = sys.argv[1], sys.argv[2], sys.argv[3:]
    bad, done, absent = 0, 0, set()
    with tempfile.TemporaryDirectory() as made:
        make_samples(made)
        for folder in [made] + folders:
            for path in sorted(os.path.join(d, f) for d, _, names in os.walk(folder)
                               for f in names):
                name = os.path.relpath(path, os.path.dirname(folder))
                try:
                    line = compare(tool, path, name, schema_dir, absent)
                    if line:
                        print(line)
                        done += 1
                except AssertionError as why:
                    print("%s: %s" % (name, why))
                    bad += 1
    for package in sorted(absent):
        print("not asked, because not installed: " + package)
    if bad:
        sys.exit(1)
    if not done:
        print("SKIP nothing to compare here")
        sys.exit(77)


main()
