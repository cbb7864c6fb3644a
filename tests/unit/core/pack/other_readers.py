#!/usr/bin/env python3
"""Parsers that know nothing of Earmark read models out of vaults with a clear structure.

usage: other_readers.py REAL_MODELS_TEST SCHEMA_DIR MODELS

The test program leaves each model as it stands in its vault.  flatc (TensorFlow Lite) and
Python's JSON (safetensors) must find in it what they find in the original, but for the bytes
of the weights.  Exit 77: nothing to compare."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile


def tflite(path, schemas, out):
    """The model without the contents of its buffers, and those."""
    subprocess.run(["flatc", "--json", "--strict-json", "--defaults-json", "--raw-binary", "-o",
                    out, os.path.join(schemas, "tflite.fbs"), "--", path], check=True,
                   capture_output=True)
    name = os.path.splitext(os.path.basename(path))[0] + ".json"
    with open(os.path.join(out, name), encoding="utf-8", errors="replace") as f:
        model = json.load(f)
    data = [bytes(b.pop("data", [])) for b in model["buffers"]]
    return model, [len(d) for d in data]


def safetensors(path, _schemas, _out):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    return header, os.path.getsize(path)


READERS = {"tflite": tflite, "safetensors": safetensors}


def main():
    program, schemas, models = sys.argv[1:]
    compared = failed = 0
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as out:
        run = subprocess.run([program], env={**os.environ, "EMK_TEST_KEEP": kept},
                             capture_output=True)
        if run.returncode:
            return run.returncode
        for kind, reader in READERS.items():
            folder = os.path.join(models, kind)
            if not os.path.isdir(folder) or (kind == "tflite" and not shutil.which("flatc")):
                print(f"SKIP {kind}: no models, or nothing to read them with")
                continue
            for name in sorted(os.listdir(folder)):
                same = reader(os.path.join(folder, name), schemas, out) == \
                    reader(os.path.join(kept, name), schemas, out)
                compared += 1
                failed += not same
                if not same:
                    print(f"{name}: reads otherwise in the vault")
    print(f"{compared} compared, {failed} differ")
    return 77 if not compared else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
