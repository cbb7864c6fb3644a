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
from engine_test import ENGINE_RUN, library

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
        self.assertEqual(p.returncode, 0, p.stderr)
        calls = []
        with open(log, encoding="ascii") as f:
            for line in f:
                m = CALL.match(line)
                if not m:
                    continue
                name, rest = m.groups()
                self.assertNotIn(name, HIDDEN)
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

    def test_an_engine_writes_nothing_of_the_model(self):
        path = library("EMK_LITERT_LIBRARY", "ai_edge_litert/libLiteRt.so")
        if not path or not os.path.exists(ENGINE_RUN):
            self.skipTest("LiteRT is not here: tools/setup engines")
        shutil.copy(os.path.join(ROOT, "examples/cat-ears/cat-ears.tflite"), self.path("model.bin"))
        self.deliver("m")
        self.accept("m")
        model = read(self.path("model.bin"))
        runs = (model[i:i + RUN] for i in range(len(model) - RUN + 1))
        own = {r for r in runs if len(set(r)) > 8}  # no padding, no table of small numbers
        for name, data in self.trace([ENGINE_RUN, "litert", "phone", self.issuer, "m", "alice",
                                      path]):
            self.assertEqual(runs_of(own, data), 0, name)


if __name__ == "__main__":
    unittest.main()
