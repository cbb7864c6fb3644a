"""What run.py and clean.py share: models of known content in vaults, and the victim."""
import base64
import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("EMK_BIN") or os.path.join(ROOT, "build", "bin")
TENSORS, TENSOR_LEN = 64, 131072
SAMPLES, SAMPLE_LEN = 512, 32


def program(name):
    path = os.path.join(BIN, name)
    return path if os.path.exists(path) else None


def library(name):
    for folder in (os.path.join(BIN, "..", "tests", "redteam"), BIN):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return os.path.abspath(path)
    return None


class Lab:
    """A folder with an issuer and vaults: bare, guarded (min_guard 3), secret (and memfd_secret)."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="redteam-")
        self.issuer = None
        self.models = {}
        self.usual = set()      # what is found in a clean run: hints of a virtual machine
        random.seed(17)
        entries, at, body = {}, 0, []
        for i in range(TENSORS):
            entries["layer.%d.weight" % i] = {"dtype": "U8", "shape": [TENSOR_LEN], "data_offsets": [at, at + TENSOR_LEN]}
            body.append(random.randbytes(TENSOR_LEN))
            at += TENSOR_LEN
        head = json.dumps(entries).encode()
        head += b" " * (-len(head) % 8)
        self.model = struct.pack("<Q", len(head)) + head + b"".join(body)
        self.model_path = os.path.join(self.dir, "target.safetensors")
        with open(self.model_path, "wb") as f:
            f.write(self.model)
        first = 8 + len(head)
        self.samples = [self.model[o:o + SAMPLE_LEN] for o in
                        (first + random.randrange((len(self.model) - first) // SAMPLE_LEN - 1) * SAMPLE_LEN
                         for _ in range(SAMPLES))]
        self.wanted = set(self.samples)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def earmark(self, *words):
        env = dict(os.environ, EARMARK_ISSUER=os.path.join(self.dir, "issuer"))
        done = subprocess.run([program("earmark"), *words], cwd=self.dir, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise RuntimeError("earmark %s: %s" % (" ".join(words), done.stderr.decode()))
        return done.stdout.decode()

    def make_issuer(self):
        self.earmark("issuer", "init")
        with open(os.path.join(self.dir, "issuer", "issuer.pub"), encoding="ascii") as f:
            text = f.read().split()[1]
        self.issuer = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()

    def make(self, name, *policy):
        """A device with a delivery that waits to be accepted by the victim."""
        if self.issuer is None:
            self.make_issuer()
        self.earmark("device", "init", "--device", name, "--issuer", "issuer")
        self.earmark("issuer", "enrol", "--device", name, "--issuer", "issuer")
        self.earmark("request", "--device", name, "-m", "target", "-u", "alice", "-o", name + ".request")
        self.earmark("ticket", name + ".request", "-o", name + ".ticket", *policy)
        self.earmark("seal", self.model_path, "-t", name + ".ticket", "-o", name + ".emk")

    def words(self, vault, level, victim=None):
        return [victim or program("redteam-victim"), "--device", os.path.join(self.dir, vault), "--issuer",
                self.issuer, "--level", str(level)]

    def accept(self, vault, level):
        done = subprocess.run(self.words(vault, level) + ["--accept", os.path.join(self.dir, vault + ".ticket"),
                                                          os.path.join(self.dir, vault + ".emk"), "--seconds", "0"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise RuntimeError("victim: " + done.stdout.decode() + done.stderr.decode())

    def fraction(self, data):
        """How many of the samples are in these bytes."""
        return len(self._found(data)) / len(self.wanted)

    def _found(self, data):
        """Memory in dumps keeps its alignment, but a dump may have a head of any length."""
        shifts = {0, 16}
        for sample in self.samples[:6]:
            at = data.find(sample)
            if at >= 0:
                shifts.add(at % SAMPLE_LEN)
        found = set()
        for shift in shifts:
            for at in range(shift, len(data) - SAMPLE_LEN + 1, SAMPLE_LEN):
                piece = data[at:at + SAMPLE_LEN]
                if piece in self.wanted:
                    found.add(piece)
        return found

    def fraction_of_files(self, folder):
        found = set()
        for root, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(root, name), "rb") as f:
                    found |= self._found(f.read())
        return len(found) / len(self.wanted)


class Victim:
    """A running victim; what it says is read by a thread."""

    def __init__(self, words, env=None, cwd=None, before=None):
        self.events = []
        self.said = threading.Condition()
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=env, cwd=cwd, preexec_fn=before)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self.said:
                self.events.append(event)
                self.said.notify_all()
        with self.said:
            self.events.append({"t": time.monotonic(), "event": "gone"})
            self.said.notify_all()

    def wait(self, names, timeout=20):
        """The first event of one of these names."""
        end = time.monotonic() + timeout
        with self.said:
            while True:
                for event in self.events:
                    if event["event"] in names:
                        return event
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.said.wait(left)

    def findings(self):
        with self.said:
            return [e for e in self.events if e["event"] == "finding"]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stdin.close()
        self.process.stderr.close()
