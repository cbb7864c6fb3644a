#!/usr/bin/python3
"""A sealed model, from the vault into an engine: examples/engines/run_model.c.

usage: EARMARK=build/bin/earmark ENGINE_RUN=build/bin/engine-run engine_test.py [unittest options]"""
import base64
import glob
import os
import shutil
import subprocess
import unittest

from cli_test import EARMARK, ROOT, Case, read

ENGINE_RUN = os.path.abspath(os.environ.get("ENGINE_RUN",
                                            os.path.join(os.path.dirname(EARMARK), "engine-run")))
SHARED = os.environ.get("EMK_SHARED", os.path.join(ROOT, "../shared"))
SITE = os.path.join(ROOT, "build/engines/lib/python3*/site-packages")
SKIP = 77


def library(variable, pattern):
    return os.environ.get(variable) or next(iter(glob.glob(os.path.join(SITE, pattern))), None)


@unittest.skipUnless(os.path.exists(ENGINE_RUN), "engine-run is not here")
class Engine(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        line = read(self.path("phone/issuer.pub"), "r").split()[1]
        self.issuer = base64.urlsafe_b64decode(line + "=" * (-len(line) % 4)).hex()

    def run_engine(self, engine, model, *library_path, user="alice"):
        if not os.path.exists(model):
            self.skipTest("%s is not here" % model)
        shutil.copy(model, self.path("model.bin"))
        self.deliver("m")
        self.accept("m")
        return subprocess.run([ENGINE_RUN, engine, "phone", self.issuer, "m", user, *library_path],
                              cwd=self.dir, env=self.env, capture_output=True, timeout=60)

    def test_litert_runs_it(self):
        path = library("EMK_LITERT_LIBRARY", "ai_edge_litert/libLiteRt.so")
        if not path:
            self.skipTest("LiteRT is not here: tools/setup engines")
        p = self.run_engine("litert", os.path.join(ROOT, "examples/cat-ears/cat-ears.tflite"), path)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn(b"LiteRT ran the model", p.stdout)

    def test_onnx_runs_it(self):
        path = library("EMK_ORT_LIBRARY", "onnxruntime/capi/libonnxruntime.so.1*")
        if not path:
            self.skipTest("ONNX Runtime is not here: tools/setup engines")
        p = self.run_engine("onnx", os.path.join(SHARED, "models/onnx/version-RFB-320.onnx"), path)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn(b"ONNX Runtime ran the model", p.stdout)

    def test_a_reader_on_a_stream_sees_the_file(self):
        p = self.run_engine("gguf", os.path.join(SHARED, "models/gguf/stories260K.gguf"))
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertRegex(p.stdout, rb"GGUF version 3, \d+ tensors")

    def test_llama_cpp_runs_it(self):
        p = self.run_engine("llama", os.path.join(SHARED, "models/gguf/stories260K.gguf"))
        if p.returncode == SKIP:
            self.skipTest(p.stdout.decode())
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn(b"llama.cpp ran the model", p.stdout)

    def test_an_engine_that_is_absent_is_a_skip(self):
        p = self.run_engine("onnx", os.path.join(ROOT, "examples/cat-ears/cat-ears.tflite"),
                            "/no/such/library.so")
        self.assertEqual(p.returncode, SKIP)
        self.assertIn(b"SKIP onnx", p.stdout)

    def test_what_may_not_be_opened_is_not_run(self):
        p = self.run_engine("gguf", os.path.join(ROOT, "examples/cat-ears/cat-ears.tflite"),
                            user="bob")
        self.assertEqual(p.returncode, 9, p.stderr)


if __name__ == "__main__":
    unittest.main()
