#!/usr/bin/env python3
"""The server beside nginx, over loopback.   group_server.py [--quick] [--rounds N] [--size BYTES] [--dir DIR]

EARMARKD, EARMARK_MINT and EARMARK_LOAD name the programs (bin/ of the build).  Prints a table; figures of
one run only are compared, measured in turn."""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "server"))
import earmarkd  # noqa: E402
from earmarkd import Server  # noqa: E402

MINT, LOAD = os.environ.get("EARMARK_MINT", ""), os.environ.get("EARMARK_LOAD", "")
MODEL = 1000000
ROWS = "--rows" in sys.argv


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


def row(name, ours, unit, note="", beside=0, beside_name="", ratios=(), goal=("", 0)):
    """For a reader; with --rows for earmark-bench: fields between tabs."""
    if ROWS:
        print("\t".join(str(v) for v in (name, ours, unit, beside, beside_name,
                                         statistics.median(ratios) if ratios else 0,
                                         min(ratios, default=0), max(ratios, default=0),
                                         goal[0], goal[1], note)), flush=True)
        return
    text = f"{beside_name} {beside:.2f}, ratio {statistics.median(ratios):.2f} " \
           f"({min(ratios):.2f} to {max(ratios):.2f}); " if ratios else ""
    want = f"goal {goal[0]} {goal[1]:g}; " if goal[0] else ""
    print(f"  {name:40} {ours:>9.2f} {unit:6} {text}{want}{note}", flush=True)


def publish(server, key, path, size):
    """A model of random bytes, written as it is sent."""
    with server.connect() as s:
        s.settimeout(300)
        s.sendall(f"PUT {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
                  f"Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n".encode())
        block = os.urandom(1 << 20)
        start, left = time.monotonic(), size
        while left:
            left -= s.send(block[:min(left, len(block))])
        answer = earmarkd.read_answer(s)
    assert answer.status == 201, answer.body
    return time.monotonic() - start


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    def __init__(self, folder):
        tempfile.tempdir = folder
        ports = [free_port(), free_port()]
        self.server = Server({"http": {"connections_per_net": 0}, "api": {"blob_ttl": "1h"},
                              "server": {"log": "warning", "listen": f"127.0.0.1:{ports[0]}",
                                         "internal_listen": f"127.0.0.1:{ports[1]}"}}, wait=False)
        self.server.port, self.server.internal = ports
        self.wait()
        self.data = os.path.join(self.server.dir, "data")
        self.keys = os.path.join(self.server.dir, "keys")
        self.publisher = run(MINT, "service", self.data, "publish read").strip()
        self.sealer = run(MINT, "service", self.data, "seal").strip()

    def wait(self):
        """Its log, which would tell, is quiet: a line for each request is not what is measured."""
        for _ in range(500):
            try:
                if self.server.ask("GET", "/readyz", internal=True).status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("the server does not start:\n" + self.server.log())

    def tickets(self, n, model):
        return run(MINT, "tickets", self.data, self.keys, str(n), model, "1").split()

    def address(self):
        return f"127.0.0.1:{self.server.port}"

    def seal(self, ticket):
        answer = self.server.ask("POST", "/v1/seals?ticket=" + ticket,
                                 headers={"Authorization": "Bearer " + self.sealer})
        assert answer.status == 201, answer.body
        url = answer.json()["url"]
        return url[url.index("/v1/blobs/"):], answer.json()["size"]


class Nginx:
    """Serves a folder as it comes from the package: sendfile, two workers."""

    def __init__(self, folder, root):
        self.port = free_port()
        config = os.path.join(folder, "nginx.conf")
        user = "user root;" if os.getuid() == 0 else ""
        with open(config, "w", encoding="ascii") as f:
            f.write(f"{user} worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log stderr error;\n"
                    "events { worker_connections 512; }\n"
                    "http { sendfile on; tcp_nopush on; access_log off; keepalive_requests 100000;\n"
                    f"server {{ listen 127.0.0.1:{self.port}; root {root}; }} }}\n")
        self.process = subprocess.Popen(["nginx", "-c", config, "-p", folder], stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def close(self):
        self.process.terminate()
        self.process.wait()


def seal_and_deliver(world, rounds, n):
    publish(world.server, world.publisher, "/v1/models/small/1", MODEL)
    results = []
    for _ in range(rounds + 1):
        ids = os.path.join(world.server.dir, "ids")
        with open(ids, "w", encoding="ascii") as f:
            f.write("\n".join(world.tickets(n, "small")) + "\n")
        results.append(json.loads(run(LOAD, "seal", world.address(), world.sealer, ids, "16")))
    results = results[1:]
    row("seal and deliver 1 MB", statistics.median(r["per_s"] for r in results), "1/s",
        f"16 connections, p99 {statistics.median(r['p99_ms'] for r in results):.0f} ms",
        goal=("at least", 200))


def download(world, folder, rounds, size):
    seconds = publish(world.server, world.publisher, "/v1/models/large/1", size)
    row("publish a model", size / seconds / 1e6, "MB/s", f"{size >> 20} MiB, plan and all")
    start = time.monotonic()
    path, sealed = world.seal(world.tickets(1, "large")[0])
    row("seal a model of the catalogue", size / (time.monotonic() - start) / 1e6, "MB/s", "one at a time")
    blobs = os.path.join(world.data, "blobs")
    name = next(n for n in os.listdir(blobs)
                if os.path.getsize(os.path.join(blobs, n)) == sealed + 32)
    root = os.path.join(folder, "root")
    os.mkdir(root)
    os.link(os.path.join(blobs, name), os.path.join(root, "blob"))  # the same pages of the same file
    nginx = Nginx(folder, root)
    ours, theirs = [], []
    try:
        for i in range(rounds + 1):
            sides = [(ours, world.address(), path), (theirs, f"127.0.0.1:{nginx.port}", "/blob")]
            for kept, address, what in sides if i % 2 else reversed(sides):
                r = json.loads(run(LOAD, "get", address, what, "1"))
                if i:
                    kept.append(r["bytes"] / r["seconds"] / 1e9)
    finally:
        nginx.close()
    row("download a sealed model", statistics.median(ours), "GB/s", f"{size >> 20} MiB",
        statistics.median(theirs), "nginx", [x / y for x, y in zip(ours, theirs)], ("at least", 0.7))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--quick", action="store_true")
    p.add_argument("--rows", action="store_true", help="for earmark-bench")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--size", type=int, default=1 << 30)
    p.add_argument("--dir", default="/dev/shm")
    o = p.parse_args()
    if not (earmarkd.BINARY and MINT and LOAD):
        sys.exit("EARMARKD, EARMARK_MINT and EARMARK_LOAD must name the programs")
    if o.quick:
        o.rounds, o.size = 3, 128 << 20
    folder = tempfile.mkdtemp(prefix="earmark-bench-server-", dir=o.dir)
    os.chmod(folder, 0o755)
    world = None
    try:
        world = World(folder)
        seal_and_deliver(world, o.rounds, 400 if o.quick else 1000)
        if shutil.which("nginx"):
            download(world, folder, o.rounds, o.size)
        else:
            print("download: nginx is not here", file=sys.stderr)
    finally:
        if world:
            world.server.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
