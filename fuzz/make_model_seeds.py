#!/usr/bin/env python3
"""Writes the seeds of the model readers' fuzzers into corpus/: one small file for each thing
a reader decides about.  usage: make_model_seeds.py"""
import io
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


SEEDS = {"zip": zip_seeds, "tensorflow": tensorflow_seeds, "gguf": gguf_seeds, "onnx": onnx_seeds, "tflite": tflite_seeds, "safetensors": safetensors_seeds}


def main():
    for kind, seeds in SEEDS.items():
        for name, data in seeds():
            save(kind, name, data)


main()
