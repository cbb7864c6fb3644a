#!/usr/bin/python3
"""No byte of a model is written to any file while the command line accepts it and runs a program
or an engine on it: every call of every process is looked at.  An anonymous memory file is no file.

usage: EARMARK=build/bin/earmark plaintext_test.py [unittest options]   (needs strace)"""
import base64
import os
import re
import shutil
import subprocess
import sys
import unittest

from cli_test import COMMAND, ROOT, Case, read
from engine_test import ENGINE_RUN, SHARED, SKIP, library

sys.path.insert(0, os.path.join(ROOT, "tests/device"))
from no_plaintext_test import CALL, HIDDEN, RUN, WRITERS, data_of, runs_of  # noqa: E402

TARGET = re.compile(r"^\d+<([^>]*)>")


def may_trace():
    return shutil.which("strace") and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL, check=False
    ).returncode == 0


@unittest.skipUnless(may_trace(), "strace is not here, or may not trace")
class Plaintext(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        line = read(self.path("phone/issuer.pub"), "r").split()[1]
        self.issuer = base64.urlsafe_b64decode(line + "=" * (-len(line) % 4)).hex()

    def trace(self, command):
        """Runs it; gives what its processes wrote anywhere but into memory files, by call."""
        log = self.path("log")
        p = subprocess.run(["strace", "-f", "-y", "-xx", "-s", "3000000", "-o", log, *command],
                           cwd=self.dir, env=dict(self.env, ASAN_OPTIONS="detect_leaks=0"),
                           capture_output=True, timeout=300)  # leaks are looked for by tracing
        if command[0] == ENGINE_RUN and p.returncode == SKIP:
            self.skipTest("engine-run was built without %s" % command[1])
        self.assertEqual(p.returncode, 0, p.stderr)
        calls = []
        with open(log, encoding="ascii") as f:
            for line in f:
                m = CALL.match(line)
                if not m:
                    continue
                name, rest = m.groups()
                self.assertNotIn(name, HIDDEN)
                if name == "mmap" and "MAP_SHARED" in rest and "PROT_WRITE" in rest \
                        and "MAP_ANONYMOUS" not in rest:
                    where = data_of('"%s"' % rest.split("<", 1)[1].split(">", 1)[0])
                    self.assertTrue(where.startswith((b"/memfd:", b"/dev/")), where)
                to = TARGET.match(rest)
                where = data_of('"%s"' % to.group(1)) or to.group(1).encode() if to else b""
                if name in WRITERS and not where.startswith(b"/memfd:"):
                    self.assertNotIn('"...', rest)
                    calls.append((name, data_of(rest)))
        return calls

    def look(self, command, model):
        runs = {model[i:i + RUN] for i in range(len(model) - RUN + 1)}
        calls = self.trace(command)
        for name, data in calls:
            self.assertEqual(runs_of(runs, data), 0, name)
        return sum(len(data) for _, data in calls)

    def test_accept_and_run_write_nothing_of_the_model(self):
        self.deliver("m")
        model = read(self.path("model.bin"))
        written = self.look([*COMMAND, "accept", "m.emk", "-t", "m.ticket", "--device", "phone"],
                            model)
        self.assertGreater(written, len(model))  # the vault's entry: it was looked at
        self.look([*COMMAND, "run", "m", "-u", "alice", "--device", "phone", "--", "sha256sum",
                   "{}"], model)

    def test_a_leak_is_noticed(self):
        self.deliver("m")
        self.accept("m")
        with self.assertRaises(AssertionError):
            self.look([*COMMAND, "run", "m", "-u", "alice", "--device", "phone", "--", "cp", "{}",
                       self.path("leak")], read(self.path("model.bin")))

    def engine_writes_nothing(self, engine, model, *path):
        """Accepts the model, and opens, runs and closes it with the engine."""
        if not os.path.exists(ENGINE_RUN):
            self.skipTest("engine-run is not here")
        if os.environ.get("EARMARK_UNDER"):  # engine-run would have another libcrypto
            self.skipTest("engine-run is not run under another loader")
        if not os.path.exists(model):
            self.skipTest("%s is not here" % model)
        shutil.copy(model, self.path("model.bin"))
        self.deliver("m")
        model = read(self.path("model.bin"))
        runs = (model[i:i + RUN] for i in range(len(model) - RUN + 1))
        own = {r for r in runs if len(set(r)) > 8}  # no padding, no table of small numbers
        self.assertGreater(len(own), len(model) // 4)
        written = 0
        run = [ENGINE_RUN, engine, "phone", self.issuer, "m", "alice", *path]
        for command in ([*COMMAND, "accept", "m.emk", "-t", "m.ticket", "--device", "phone"], run):
            for name, data in self.trace(command):
                written += len(data)
                self.assertEqual(runs_of(own, data), 0, (command[0], name))
        self.assertGreater(written, len(model))  # the vault's entry: it was looked at

    def test_litert_writes_nothing_of_the_model(self):
        path = library("EMK_LITERT_LIBRARY", "ai_edge_litert/libLiteRt.so")
        if not path:
            self.skipTest("LiteRT is not here: tools/setup engines")
        self.engine_writes_nothing("litert", os.path.join(ROOT, "examples/cat-ears/cat-ears.tflite"),
                                   path)

    def test_onnx_runtime_writes_nothing_of_the_model(self):
        path = library("EMK_ORT_LIBRARY", "onnxruntime/capi/libonnxruntime.so.1*")
        if not path:
            self.skipTest("ONNX Runtime is not here: tools/setup engines")
        self.engine_writes_nothing("onnx", os.path.join(SHARED, "models/onnx/version-RFB-320.onnx"),
                                   path)

    def test_a_reader_on_a_stream_writes_nothing_of_the_model(self):
        self.engine_writes_nothing("gguf", os.path.join(SHARED, "models/gguf/stories260K.gguf"))

    def test_llama_cpp_writes_nothing_of_the_model(self):
        self.engine_writes_nothing("llama", os.path.join(SHARED, "models/gguf/stories260K.gguf"))


if __name__ == "__main__":
    unittest.main()
