#!/usr/bin/env python3
"""Writes the seeds of the model readers' fuzzers into corpus/: one small file for each thing
a reader decides about.  usage: make_model_seeds.py"""
import io
import itertools
import os
import struct
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "cat-ears"))
from make_model import flatbuffer  # noqa: E402


def save(kind, name, data):
    folder = os.path.join(HERE, "corpus", kind)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


# ---- TensorFlow Lite ------------------------------------------------------------------

def tensor(buffer, kind=0, name="t"):
    return {0: ("<i", [2, 2]), 1: ("<b", kind), 2: ("<I", buffer), 3: name}


def tflite(tensors, buffers, more=None, operators=()):
    root = {0: ("<I", 3), 1: [], 2: [{0: tensors, 3: list(operators)}], 3: "seed", 4: buffers}
    return flatbuffer({**root, **(more or {})}, b"TFL3")


def tflite_seeds():
    data = {0: bytes(range(16))}
    yield "one-weight", tflite([tensor(0), tensor(1)], [{}, data])
    yield "weights-of-three-types", tflite([tensor(1, 9), tensor(2, 1), tensor(3, 2)],
                                           [{}, data, data, data])
    yield "shared-buffer", tflite([tensor(1), tensor(1, 9)], [{}, data])
    yield "text", tflite([tensor(1, 5)], [{}, data])
    yield "metadata", tflite([], [{}, data, data], {5: ("<i", [2]), 6: [{0: "m", 1: ("<I", 1)}]})
    yield "nameless-buffer", tflite([], [{}, data])
    yield "buffer-0-not-empty", tflite([tensor(0)], [data])
    yield "two-subgraphs", flatbuffer({0: ("<I", 3), 2: [{0: [tensor(1)]}, {0: [tensor(2)]}],
                                       4: [{}, data, data]}, b"TFL3")
    options = {0: ("<I", 0), 5: bytes(1100)}
    yield "custom-options", tflite([], [{}], operators=[options])
    yield "large-custom-options", tflite([], [{}], operators=[
        {0: ("<I", 0), 9: ("<Q", 200), 10: ("<Q", 1100)}]).ljust(200, b"\0") + bytes(1100)
    far = {1: ("<Q", 400), 2: ("<Q", 32)}
    yield "data-behind-the-flatbuffer", tflite([tensor(1)], [{}, far]).ljust(400, b"\0") + bytes(32)
    yield "data-outside-the-file", tflite([tensor(1)], [{}, far])
    yield "data-over-the-root", tflite([tensor(1)], [{}, {1: ("<Q", 2), 2: ("<Q", 40)}])
    yield "external-buffers", tflite([], [{}], {
        8: [{0: "a.bin"}, {0: "b.bin"}],
        9: [{0: ("<I", 7), 1: ("<I", 1), 2: ("<Q", 16), 3: ("<Q", 64)}]})
    yield "trailing-bytes", tflite([tensor(1)], [{}, data]) + bytes(1500)


# ---- safetensors ----------------------------------------------------------------------

def safetensors(header, data_len):
    return struct.pack("<Q", len(header)) + header + bytes(data_len)


def entry(name, begin, end, dtype=b"F32", shape=b"[1]"):
    return b'"%s":{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}' % (name, dtype, shape, begin,
                                                                       end)


def safetensors_seeds():
    yield "no-tensors", safetensors(b"{}", 0)
    yield "two-tensors", safetensors(b"{" + entry(b"a", 0, 4) + b"," + entry(b"b", 4, 8) + b"}  ", 8)
    yield "out-of-order", safetensors(b"{" + entry(b"a", 4, 8) + b"," + entry(b"b", 0, 4) + b"}", 8)
    yield "metadata", safetensors(b'{"__metadata__":{"format":"pt","x":"\\u00e9\\n"},' +
                                  entry(b"a", 0, 2, b"BF16") + b"}", 2)
    yield "empty-tensor", safetensors(b"{" + entry(b"a", 0, 0, shape=b"[0,3]") + b"}", 0)
    yield "nine-dimensions", safetensors(b"{" + entry(b"a", 0, 4, shape=b"[1,1,1,1,1,1,1,1,1]") +
                                         b"}", 4)
    yield "hole", safetensors(b"{" + entry(b"a", 0, 4) + b"," + entry(b"b", 5, 8) + b"}", 8)
    yield "shared-bytes", safetensors(b"{" + entry(b"a", 0, 4) + b"," + entry(b"b", 0, 4) + b"}", 8)
    yield "name-twice", safetensors(b"{" + entry(b"a", 0, 4) + b"," + entry(b"a", 4, 8) + b"}", 8)
    yield "unknown-key", safetensors(b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":[]}}',
                                     4)


# ---- GGUF -----------------------------------------------------------------------------

def text(s):
    return struct.pack("<Q", len(s)) + s


def gguf(kvs, infos, data_len, version=3):
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(kvs)) + b"".join(kvs + infos)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + bytes(data_len) if infos else head


def info(name, offset, kind=0):
    return text(name) + struct.pack("<IQQIQ", 2, 2, 4, kind, offset)


def gguf_seeds():
    alignment = text(b"general.alignment") + struct.pack("<II", 4, 64)
    words = text(b"words") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"bc")
    nested = text(b"n") + struct.pack("<IIQIQ2H", 9, 9, 1, 2, 2, 7, 8)
    yield "no-tensors", gguf([words], [], 0)
    yield "two-tensors", gguf([], [info(b"a", 0), info(b"b", 32, 8)], 64)
    yield "out-of-order", gguf([], [info(b"a", 64), info(b"b", 0), info(b"c", 32)], 100)
    yield "version-2", gguf([], [info(b"a", 0)], 32, 2)
    yield "version-1", gguf([], [info(b"a", 0)], 32, 1)
    yield "alignment-64", gguf([alignment], [info(b"a", 0), info(b"b", 64)], 160)
    yield "alignment-twice", gguf([alignment, alignment], [info(b"a", 0)], 64)
    yield "nested-arrays", gguf([nested, words], [info(b"a", 0)], 32)
    split = [text(b"split.no") + struct.pack("<IH", 2, 1), text(b"split.count") + struct.pack("<IH", 2, 3)]
    yield "split", gguf(split, [info(b"a", 0)], 32)
    yield "same-offset", gguf([], [info(b"a", 0), info(b"b", 0)], 32)
    yield "offset-outside", gguf([], [info(b"a", 4096)], 32)
    yield "all-value-types", gguf([text(b"k") + struct.pack("<I", t) + bytes(n) for t, n in
                                   enumerate((1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8))], [], 0)


# ---- Protocol Buffers -----------------------------------------------------------------

def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


def pb(*fields):
    """(number, int), (number, bytes or str)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def onnx(*graph):
    return pb((1, 8), (2, "seed"), (7, pb(*graph)))


def onnx_tensor(*data, kind=1):
    return pb((1, 2), (1, 2), (2, kind), (8, "w"), *data)


def onnx_seeds():
    raw = onnx_tensor((9, bytes(16)))
    yield "raw-data", onnx((5, raw))
    yield "packed-floats", onnx((5, onnx_tensor((4, bytes(16)))))
    yield "packed-doubles", onnx((5, onnx_tensor((10, bytes(32)), kind=11)))
    yield "single-floats", onnx((5, onnx_tensor() + b"\x25\0\0\x80\x3f" * 4))
    yield "varints", onnx((5, onnx_tensor((7, b"\x01\x02\xac\x02\x03"), kind=7)))
    yield "text", onnx((5, onnx_tensor((6, "a"), (6, "b"), kind=8)))
    yield "raw-data-twice", onnx((5, onnx_tensor((9, bytes(16)), (9, bytes(16)))))
    yield "constant-node", onnx((1, pb((3, "c"), (5, pb((1, "value"), (5, raw))))))
    branch = pb((1, pb((5, pb((5, raw))))))
    yield "branches", onnx((1, pb((5, pb((6, branch))), (5, pb((11, branch))))))
    yield "sparse", onnx((15, pb((1, raw), (2, onnx_tensor((9, bytes(8)), kind=7)))))
    yield "function", onnx() + pb((25, pb((7, pb((5, pb((10, raw))))))))
    yield "training", onnx() + pb((20, pb((1, pb((5, raw))), (2, pb((5, raw))))))
    outside = [(13, pb((1, k), (2, v))) for k, v in (("location", "a.bin"), ("offset", "64"),
                                                      ("length", "16"), ("checksum", "00"))]
    yield "external-data", onnx((5, onnx_tensor((14, 1), *outside)))
    yield "external-data-to-the-end", onnx((5, onnx_tensor((14, 1), outside[0])),
                                           (5, onnx_tensor((14, 1), outside[0])))
    yield "external-names-of-one-file", onnx(*((5, onnx_tensor((14, 1), (13, pb(
        (1, "location"), (2, v))), *outside[1:3])) for v in ("a.bin", "./a.bin")))
    yield "external-name-leads-elsewhere", onnx((5, onnx_tensor((14, 1), (13, pb(
        (1, "location"), (2, "../a.bin"))))))
    yield "attributes", onnx((1, pb((5, pb((1, "tree"), (7, bytes(1028)), (8, bytes(8)))))))


def tf_tensor(*data, kind=1):
    return pb((1, kind), (2, pb((2, pb((1, 4))))), *data)


def tf_node(value):
    return pb((1, "n"), (2, "Const"), (5, pb((1, "value"), (2, value))))


def tensorflow_seeds():
    content = tf_tensor((4, bytes(16)))
    yield "tensor-content", pb((1, tf_node(pb((8, content)))))
    yield "packed-floats", pb((1, tf_node(pb((8, tf_tensor((5, bytes(16))))))))
    yield "packed-complex", pb((1, tf_node(pb((8, tf_tensor((9, bytes(16)), kind=8))))))
    yield "halves", pb((1, tf_node(pb((8, tf_tensor((13, b"\x80\x78\x00"), kind=19))))))
    yield "text", pb((1, tf_node(pb((8, tf_tensor((8, "a"), kind=7))))))
    yield "list", pb((1, tf_node(pb((1, pb((8, content), (8, content)))))))
    yield "function", pb((2, pb((1, pb((3, tf_node(pb((8, content)))))))))
    nested = pb((10, pb((1, "f"), (2, pb((1, "a"), (2, pb((8, content))))))))
    yield "nested-functions", pb((1, tf_node(nested)))
    yield "engine", pb((1, tf_node(pb((2, bytes(1100))))))
    graph = pb((1, tf_node(pb((8, content)))))
    yield "saved-model", pb((1, 1), (2, pb((2, graph))))


# ---- zip ------------------------------------------------------------------------------

def archive(*members, comment=b"", ahead=b""):
    out = io.BytesIO(ahead)
    out.seek(0, 2)
    with zipfile.ZipFile(out, "a") as z:
        z.comment = comment
        for name, data, method in members:
            z.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def zip_seeds():
    weights = ("m/data/0", bytes(32), zipfile.ZIP_STORED)
    model = tflite([tensor(1)], [{}, {0: bytes(range(16))}])
    yield "pytorch", archive(("m/data.pkl", b"x", zipfile.ZIP_STORED), weights,
                             ("m/constants/1", bytes(8), zipfile.ZIP_STORED))
    yield "pt2", archive(("m/data/weights/weight_0", bytes(16), zipfile.ZIP_STORED))
    yield "tflite-member", archive(("a.tflite", model, zipfile.ZIP_STORED),
                                   ("b.tflite", model, zipfile.ZIP_STORED))
    yield "compressed", archive(("m/data/0", bytes(64), zipfile.ZIP_DEFLATED))
    yield "comment", archive(weights, comment=b"PK\5\6 is not here")
    yield "bytes-ahead", archive(weights, ahead=b"\0\0")
    small = archive(weights)
    end = small.rindex(b"PK\5\6")
    n, length, at = struct.unpack_from("<HII", small, end + 10)
    yield "64-bit-end", (small[:end] + struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, n, n,
                                                   length, at) +
                         struct.pack("<IIQI", 0x07064b50, 0, end, 1) + small[end:])


def keras_seeds():
    yield "keras", archive(("config.json", b"{}", zipfile.ZIP_STORED),
                           ("model.weights.h5", bytes(64), zipfile.ZIP_STORED))
    yield "keras-compressed", archive(("model.weights.h5", bytes(64), zipfile.ZIP_DEFLATED))
    yield "other-archive", archive(("a.txt", b"a", zipfile.ZIP_STORED))
    crc = struct.pack("<I", 0x190a55ad)
    for name, behind in (("signature", b"PK\7\x08" + crc + struct.pack("<II", 32, 32)),
                         ("bare", crc + struct.pack("<II", 32, 32)),
                         ("64-bit", b"PK\7\x08" + crc + struct.pack("<QQ", 32, 32))):
        data = bytearray(archive(("m/data/0", bytes(32), zipfile.ZIP_STORED)))
        end, directory = data.rindex(b"PK\5\6"), data.rindex(b"PK\1\2")
        data[6] |= 8
        data[directory + 8] |= 8
        struct.pack_into("<I", data, end + 16, directory + len(behind))
        yield "checksum-behind-" + name, bytes(data[:directory]) + behind + bytes(data[directory:])


# ---- TensorBundle ---------------------------------------------------------------------

def block(*entries):
    """A block's content from (shared, rest of the key, value)."""
    out = b""
    for shared, rest, value in entries:
        out += varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
    return out + struct.pack("<II", 0, 1)


def literal(data):
    """Snappy without a copy."""
    pieces = [data[i:i + 60] for i in range(0, len(data), 60)]
    return varint(len(data)) + b"".join(bytes([(len(p) - 1) << 2]) + p for p in pieces)


def sections(*contents):
    """What tensorbundle_fuzz.c makes a table of: kind, length, content; the last is the index."""
    return b"".join(struct.pack("<BH", packed, len(c)) + c for packed, c in contents)


def handles(*at_len):
    return block(*((0, b"k%d" % i, varint(a) + varint(n)) for i, (a, n) in enumerate(at_len)))


def bundle_entry(size, *more, offset=0, shard=0, kind=1):
    return pb((1, kind), (2, pb((2, pb((1, 4))))), (3, shard), (4, offset), (5, size), *more)


def tensorbundle_seeds():
    header = (0, b"", pb((1, 2), (3, pb((1, 1)))))
    one = block(header, (0, b"a/kernel", bundle_entry(16)),
                (2, b"step", bundle_entry(8, offset=16, shard=1, kind=9)))
    yield "two-variables", sections((0, one), (0, handles((0, len(one)))))
    packed = literal(one)
    yield "snappy-literals", sections((1, packed), (0, handles((0, len(packed)))))
    copies = b"\x28\x00a\x9a\x01\x00"
    yield "snappy-copies", sections((1, copies), (0, handles((0, len(copies)))))
    two = block((0, b"b", bundle_entry(4)))
    yield "two-blocks", sections((0, one), (0, two), (0, handles((0, len(one)),
                                                                 (len(one) + 5, len(two)))))
    text_only = block(header, (0, b"t", bundle_entry(9, kind=7)))
    yield "text", sections((0, text_only), (0, handles((0, len(text_only)))))
    sliced = block(header, (0, b"\0\1v", bundle_entry(4)), (0, b"v", bundle_entry(4, (7, b""))))
    yield "slices", sections((0, sliced), (0, handles((0, len(sliced)))))
    big = block((0, b"", pb((1, 1), (2, 1))))
    yield "big-endian", sections((0, big), (0, handles((0, len(big)))))
    yield "block-comes-again", sections((0, one), (0, handles((0, len(one)), (0, len(one)))))
    down = block(header, (0, b"b", bundle_entry(4)), (0, b"a", bundle_entry(4)))
    yield "keys-go-down", sections((0, down), (0, handles((0, len(down)))))


def snappy_seeds():
    yield "empty", varint(0)
    yield "literal", literal(b"abc" * 40)
    yield "copies-of-each-width", b"\x0f\x04ab\x01\x02\x0a\x02\x00\x13\x02\x00\x00\x00"
    yield "run", b"\x41\x00a\xfe\x01\x00"
    yield "copy-of-nothing", b"\x06\x01\x01"
    yield "long-literal", varint(70) + b"\xf0\x45" + bytes(70)


# ---- the others -----------------------------------------------------------------------

def coreml_seeds():
    def blob(kind, data, at, size=None):
        return struct.pack("<IIQQQ4Q", 0xDEADBEEF, kind, len(data) if size is None else size,
                           at + 64, 0, 7, 7, 7, 7) + data
    head = struct.pack("<II", 2, 2).ljust(64, b"\0")
    first = blob(1, bytes(10), 64).ljust(128, b"\0")
    yield "two-blobs", head + first + blob(2, bytes(64), 192)
    yield "no-blobs", struct.pack("<II", 0, 2).ljust(64, b"\0")
    yield "version-1", struct.pack("<II", 0, 1).ljust(64, b"\0")
    yield "blob-outside", head + first + blob(2, b"", 192, 1)
    yield "data-elsewhere", head + first + blob(2, bytes(64), 256)


def openvino_seeds():
    def net(inside, version=11, before=b""):
        return before + b'<net name="m" version="%d"><layers>%s</layers></net>' % (version, inside)
    const = (b'<layer id="0" name="w" type="Const"><data element_type="f32" shape="2, 3" '
             b'offset="%d" size="24"/></layer>')
    yield "two-constants", net(const % 0 + const % 24, before=b'<?xml version="1.0"?><!-- c -->')
    yield "same-constant-twice", net(const % 0 + const % 0)
    yield "overlap", net(const % 0 + const % 8)
    yield "body", net(b'<layer type="Loop"><body><layers>' + const % 0 + b"</layers></body></layer>")
    yield "blobs", net(b'<layer><blobs><weights offset="0" size="8"/></blobs></layer>', 10)
    yield "document-type", net(b"", before=b'<!DOCTYPE net [<!ENTITY a "b">]>')
    yield "no-size", net(b'<layer type="Const"><data offset="0"/></layer>')
    yield "byte-order-mark", net(const % 0, before=b"\xef\xbb\xbf")
    yield "string", net(b'<layer type="Const"><data element_type="string" offset="0" size="4"/></layer>')


def shard_seeds():
    yield "two-shards", b'{"metadata":{"total_size":8},"weight_map":{"a":"1.st","b":"2.st","c":"1.st"}}'
    yield "elsewhere", b'{"weight_map":{"a":"../1.st"}}'
    yield "here", b'{"weight_map":{"a":"./1.st","b":"1.st"}}'
    yield "escape", b'{"weight_map":{"a":"1\\u002est"}}'
    yield "map-twice", b'{"weight_map":{},"weight_map":{}}'


def whole_seeds():
    yield "param", b"7767517\n2 2\nInput x 0 1 x\n"
    yield "mlmodel", b"\x08\x04\x12\x00"
    yield "ort", b"\x20\0\0\0ORTM" + bytes(24)


def part_name_seeds():
    for name, text in (("plain", "w.bin"), ("folder", "a/b.bin"), ("up", "../w"), ("here", "./w"),
                       ("drive", "C:w"), ("backslash", "a\\b"), ("text", "\u00e4")):
        yield name, text.encode()


SEEDS = {"tensorbundle": tensorbundle_seeds, "snappy": snappy_seeds, "coreml": coreml_seeds,
         "openvino": openvino_seeds, "safetensors_index": shard_seeds, "whole": whole_seeds,
         "part_name": part_name_seeds,
         "zip": lambda: itertools.chain(zip_seeds(), keras_seeds()), "tensorflow": tensorflow_seeds, "gguf": gguf_seeds,
         "onnx": onnx_seeds, "tflite": tflite_seeds, "safetensors": safetensors_seeds}


def main():
    for kind, seeds in SEEDS.items():
        for name, data in seeds():
            save(kind, name, data)


main()
