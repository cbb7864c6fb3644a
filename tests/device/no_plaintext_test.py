#!/usr/bin/env python3
"""No byte of a model is written to any file, and none is left in memory, while it is accepted,
opened, read and closed.  usage: no_plaintext_test.py PROGRAM   (needs strace)"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

RUN = 16  # as many bytes of a model in a row are no accident
LEFT = 3  # exit code: something is left in memory

# Calls that hand bytes of this process to a file, a pipe or a socket.
WRITERS = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg"}
# Calls that would do so without the bytes being shown: none may be made.
HIDDEN = {"vmsplice", "splice", "tee", "sendfile", "copy_file_range", "process_vm_writev",
          "io_uring_setup", "io_submit", "ptrace"}

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")
BYTES = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def data_of(text):
    return b"".join(bytes.fromhex(m.replace("\\x", "")) for m in BYTES.findall(text))


def watch(program, folder, *more):
    """Runs the program; gives its exit code, and its calls between the marks."""
    log = os.path.join(folder, "log")
    # Every byte is in the log, so nothing is cut short ("...").
    r = subprocess.run(["strace", "-f", "-xx", "-s", "3000000", "-o", log, program,
                        os.path.join(folder, "model"), *more],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    calls, on = [], False
    with open(log, encoding="ascii") as f:
        for line in f:
            m = CALL.match(line)
            if not m:
                continue
            name, rest = m.groups()
            if name == "write" and data_of(rest) in (b"EARMARK BEGIN", b"EARMARK END"):
                on = not on
                continue
            if on:
                calls.append((name, rest))
    return r.returncode, calls, r.stdout.decode()


def runs_of(model, data):
    return sum(data[i:i + RUN] in model for i in range(len(data) - RUN + 1))


class NoPlaintext(unittest.TestCase):
    program = ""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def model(self):
        with open(os.path.join(self.folder, "model"), "rb") as f:
            m = f.read()
        self.assertEqual(len(m), 200000)
        return {m[i:i + RUN] for i in range(len(m) - RUN + 1)}

    def test_nothing_of_the_model_leaves_memory(self):
        code, calls, said = watch(self.program, self.folder)
        self.assertEqual(code, 0, said)
        self.assertGreater(len(calls), 100)
        model = self.model()
        written = 0
        secret = set()  # descriptors of memfd_secret: no file, and nobody else can map them
        for name, rest in calls:
            if name == "memfd_secret":
                secret.add(rest.rsplit("=", 1)[1].strip())
            if name in ("open", "openat", "memfd_create"):
                secret.discard(rest.rsplit("=", 1)[1].split()[0])
            self.assertNotIn(name, HIDDEN)
            if name in WRITERS:
                self.assertNotIn('"...', rest)
                data = data_of(rest)
                written += len(data)
                self.assertEqual(runs_of(model, data), 0, name)
            if name == "mmap" and "MAP_SHARED" in rest and "PROT_WRITE" in rest \
                    and rest.split(",")[4].strip() not in secret:
                self.assertIn("MAP_ANONYMOUS", rest)
        self.assertGreater(written, 200000)  # the vault entry was written, so it was looked at

    def test_a_leak_is_noticed(self):
        code, calls, _ = watch(self.program, self.folder, "leak")
        self.assertEqual(code, LEFT)
        model = self.model()
        found = sum(runs_of(model, data_of(rest)) for name, rest in calls if name in WRITERS)
        self.assertEqual(found, 64 - RUN + 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not shutil.which("strace"):
        print("SKIP: strace is not here")
        sys.exit(77)
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL,
                           check=False)
    if probe.returncode != 0:
        print("SKIP: strace may not trace here")
        sys.exit(77)
    NoPlaintext.program = sys.argv.pop()
    unittest.main()
