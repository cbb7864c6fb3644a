"""Starts the real earmarkd for a test and talks to it byte by byte."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BINARY = os.environ.get("EARMARKD", "")


class Server:
    """One running server: --dev, or with a configuration (a dict of sections)."""

    def __init__(self, config=None, wait=True):
        self.dir = tempfile.mkdtemp(prefix="earmarkd-test-")
        self.log_path = os.path.join(self.dir, "log")
        self.args = [BINARY, "--dev", "--dir", os.path.join(self.dir, "dev")]
        if config is not None:
            self.write_config(config)
            self.args = [BINARY, "--config", self.config_path(), "--make-keys"]
        self.start(wait)

    def config_path(self):
        return os.path.join(self.dir, "earmarkd.yaml")

    def write_config(self, config):
        full = {"server": {"listen": "127.0.0.1:0", "internal_listen": "127.0.0.1:0",
                           "origin": "https://models.example.com",
                           "data": os.path.join(self.dir, "data")},
                "keys": {"dir": os.path.join(self.dir, "keys")}}
        if os.environ.get("EMK_NO_SANDBOX"):
            full["server"]["sandbox"] = False
        for section, values in config.items():
            full.setdefault(section, {}).update(values)
        with open(self.config_path(), "w", encoding="utf-8") as f:
            for section, values in full.items():
                f.write(f"{section}:\n")
                for name, value in values.items():
                    f.write(f"  {name}: {json.dumps(value)}\n")

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            # A process that may trace nothing cannot look for leaks at its end.
            env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
            self.process = subprocess.Popen(self.args, stdout=subprocess.PIPE, stderr=log, env=env)
        if wait:
            self.wait_ready()

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.findall(r'"message":"listening( \(internal\))?","detail":"127.0.0.1:(\d+)"',
                               self.log())
            if len(found) >= 2 and self.process.poll() is None:
                self.port, self.internal = int(found[-2][1]), int(found[-1][1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError("the server does not start:\n" + self.log())

    def dev(self):
        path = os.path.join(self.dir, "dev", "data", "dev.json")
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def stop(self, how=signal.SIGTERM, seconds=60):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(seconds)
        self.process.stdout.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not self.process.stdout.closed:
            self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def connect(self, internal=False):
        s = socket.create_connection(("127.0.0.1", self.internal if internal else self.port), 10)
        s.settimeout(20)
        return s

    def raw(self, data, internal=False):
        """Sends bytes, reads until the server closes or has answered once."""
        with self.connect(internal) as s:
            s.sendall(data)
            return read_answer(s)

    def ask(self, method, path, body=None, headers=None, internal=False):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        for name, value in (headers or {}).items():
            lines.append(f"{name}: {value}")
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines.append(f"Content-Length: {len(data)}")
            if not any(h.lower() == "content-type" for h in headers or {}):
                lines.append("Content-Type: application/json")
        return self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data, internal)

    def make_operator(self, name="ann"):
        """The first operator of a server with a configuration: its session, stepped up."""
        made = subprocess.run([BINARY, "operator", "add", name, "--config", self.config_path(),
                               "--generate"], capture_output=True, check=True)
        self.password = made.stdout.decode().strip()
        token = self.ask("POST", "/v1/admin/sessions", {"name": name, "password": self.password}).json()["token"]
        return self.ask("POST", "/v1/admin/sessions/step-up", {"password": self.password},
                        {"Authorization": "Bearer " + token}).json()["token"]

    def metric(self, name):
        text = self.ask("GET", "/metrics", internal=True).body.decode()
        found = re.search("^" + re.escape(name) + r" (\S+)$", text, re.M)
        return float(found.group(1)) if found else None


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def read_answer(s):
    """One answer; status 0 when the server closed without a word."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return Answer(0, {}, b"")
        if not more:
            return Answer(0, {}, data)
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    want = int(headers.get("content-length", 0))
    while len(body) < want:
        more = s.recv(65536)
        if not more:
            break
        body += more
    return Answer(int(lines[0].split()[1]), headers, body)


class OnSmallDisk(unittest.TestCase):
    """A server of --dev with a disk of its own, of `size`, at `part` of its folder."""
    part, size = "data", "4m"

    def setUp(self):
        self.server = Server.__new__(Server)
        self.server.dir = tempfile.mkdtemp(prefix="earmarkd-test-")
        self.server.log_path = os.path.join(self.server.dir, "log")
        self.server.args = [BINARY, "--dev", "--dir", os.path.join(self.server.dir, "dev")]
        self.disk = os.path.join(self.server.dir, "dev", self.part)
        at = self.disk
        os.makedirs(at, 0o700)
        while at != self.server.dir:
            os.chmod(at, 0o700)
            at = os.path.dirname(at)
        if os.system(f"mount -t tmpfs -o size={self.size},mode=0700 tmpfs {self.disk} 2>/dev/null") != 0:
            shutil.rmtree(self.server.dir)
            self.skipTest("no disk can be mounted here")
        self.server.start()

    def tearDown(self):
        if self.server.process.poll() is None:
            self.server.process.kill()
            self.server.process.wait()
        os.system(f"umount {self.disk}")
        self.server.close()
