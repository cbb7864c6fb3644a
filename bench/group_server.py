#!/usr/bin/env python3
"""The server beside nginx, over loopback.   group_server.py [--quick] [--rounds N] [--size BYTES] [--dir DIR]

EARMARKD, EARMARK_MINT and EARMARK_LOAD name the programs (bin/ of the build).  Prints a table; figures of
one run only are compared, measured in turn."""
import argparse
import hashlib
import json
import os
import re
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
from device import Device, Key, b64, unb64  # noqa: E402
from earmarkd import Server  # noqa: E402

MINT, LOAD = os.environ.get("EARMARK_MINT", ""), os.environ.get("EARMARK_LOAD", "")
MODEL = 1000000
CONNECTIONS = 32  # of the tickets
DEVICES = 320     # that ask for them, each of a user of its own, ten on a connection
ISSUER = "https://login.example.com"
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


def cpu(pid):
    """Seconds of processor time so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Login:
    """An issuer of user tokens, by its key."""

    def __init__(self, folder):
        self.key = Key()
        self.file = os.path.join(folder, "jwks.json")
        x, y = self.key.public[1:33], self.key.public[33:]
        with open(self.file, "w", encoding="utf-8") as f:
            json.dump({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1",
                                 "x": b64(x), "y": b64(y)}]}, f)

    def bearer(self, device):
        """Bound to the device's key, as an app of ours would ask for it."""
        public, now = device.signing.public, int(time.time())
        jwk = json.dumps({"crv": "P-256", "kty": "EC", "x": b64(public[1:33]), "y": b64(public[33:])},
                         separators=(",", ":")).encode()
        claims = {"iss": ISSUER, "sub": device.user, "aud": "earmark", "iat": now, "exp": now + 800,
                  "cnf": {"jkt": b64(hashlib.sha256(jwk).digest())}}
        text = b64(json.dumps({"alg": "ES256", "kid": "k1"}).encode()) + "." + b64(json.dumps(claims).encode())
        return {"Authorization": "Bearer " + text + "." + b64(self.key.sign(text.encode()))}


# What a production server counts, with quotas that a benchmark does not meet.
RATES = [{"name": "failures", "by": "net", "unit": "failures", "quota": 100, "window": "600s"},
         {"name": "user", "by": "user", "unit": "requests", "quota": 1000000, "window": "60s"},
         {"name": "device", "by": "device", "unit": "requests", "quota": 1000000, "window": "60s"},
         {"name": "user-cost", "by": "user", "unit": "cost", "quota": 10000000, "window": "3600s"}]


class World:
    def __init__(self, folder):
        tempfile.tempdir = folder
        ports = [free_port(), free_port()]
        self.login = Login(folder)
        self.server = Server({"http": {"connections_per_net": 0},
                              "api": {"blob_ttl": "1h", "attestation_none": True},
                              "limits": {"rates": RATES},
                              "tokens": {"issuers": [{"issuer": ISSUER, "audience": "earmark", "tenant": "t1",
                                                      "jwks_file": self.login.file}]},
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


    def enrolled(self, user):
        device = Device(self.server, user)
        body = device.enrol_body()
        del body["user"]
        bearer = self.login.bearer(device)
        answer = self.server.ask("POST", "/v1/devices", body, bearer)
        assert answer.status == 201, answer.body
        device.certificate = unb64(answer.json()["certificate"])
        return device, bearer

    def pids(self):
        """The server's, and the keyholder's: its only child."""
        pid = self.server.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return pid, int(f.read().split()[0])


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


def signed(device, bearer, n):
    """n requests for tickets as they go over the wire, for one nonce."""
    device.ask("POST", "/v1/tickets", {"request": "AA"}, bearer)  # refused, with a nonce
    for _ in range(n):
        body = json.dumps({"request": b64(device.request(use="bench"))}).encode()
        head = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)),
                **device.signed_headers("POST", "/v1/tickets", body, bearer)}
        lines = ["POST /v1/tickets HTTP/1.1"] + [f"{name}: {value}" for name, value in head.items()]
        yield "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def signatures_alone():
    """How many tickets a second two P-256 verifications and an Ed25519 signature would allow, on all
    processors, if there were nothing else: by openssl speed."""
    made = run("openssl", "speed", "-mr", "-seconds", "1", "-multi", str(os.cpu_count()), "ecdsap256", "ed25519")
    verify = float(re.search(r"^\+F4:.*:(\S+)$", made, re.M).group(1))
    sign = float(re.search(r"^\+F6:.*Ed25519:(\S+):", made, re.M).group(1))
    return 1 / (2 / verify + 1 / sign)


def sync_ms(folder):
    """What the disk takes for a page that must be on it: each ticket waits for two, shared with others."""
    times = []
    with open(os.path.join(folder, "synced"), "wb", buffering=0) as f:
        for _ in range(200):
            f.write(bytes(4096))
            start = time.monotonic()
            os.fdatasync(f.fileno())
            times.append((time.monotonic() - start) * 1e3)
    return statistics.mean(times)


def tickets_once(world, devices, folder, n):
    """All there is of a ticket: token, device signature, replay, limits, decision, signature, audit entry."""
    path = os.path.join(folder, "requests")
    with open(path, "wb") as f:
        for i, (device, bearer) in enumerate(devices):
            for request in signed(device, bearer, n // len(devices)):
                f.write(b"%d %d\n" % (i % CONNECTIONS, len(request)) + request)
    alone = signatures_alone()
    pids = world.pids()
    before = [cpu(pid) for pid in pids]
    result = json.loads(run(LOAD, "send", world.address(), path))
    used = [cpu(pid) - was for pid, was in zip(pids, before)] + [result["cpu"]]
    easy = json.loads(run(LOAD, "ask", world.address(), "/.well-known/earmark", str(2 * n), str(CONNECTIONS)))
    return {**result, "alone": alone, "sync": sync_ms(folder), "easy": easy["per_s"], "cpus": [u / result["n"] * 1e3 for u in used]}


def tickets(world, folder, rounds, n):
    devices = [world.enrolled(f"user-{i}") for i in range(DEVICES)]
    results = [tickets_once(world, devices, folder, n) for _ in range(rounds + 1)][1:]

    def middle(pick):
        return statistics.median(pick(r) for r in results)
    ratios = [r["per_s"] / r["alone"] for r in results]
    row("tickets", middle(lambda r: r["per_s"]), "1/s",
        "%d connections, p50 %.1f ms, p99 %.1f ms" % (CONNECTIONS, middle(lambda r: r["p50_ms"]),
                                                      middle(lambda r: r["p99_ms"])),
        goal=("at least", 2000))
    row("tickets to their signatures", middle(lambda r: r["per_s"]), "1/s", "two verified, one made",
        middle(lambda r: r["alone"]), "openssl speed", ratios)
    row("p99 of a ticket", middle(lambda r: r["p99_ms"]), "ms", "from sending to the whole answer",
        goal=("at most", 25))
    for i, name in enumerate(("server", "keyholder", "driver")):
        row(f"processor time of a ticket: {name}", middle(lambda r, i=i: r["cpus"][i]), "ms")
    row("the disk syncs a page", middle(lambda r: r["sync"]), "ms", "mean; a ticket waits for two, shared")
    row("a request that asks nothing", middle(lambda r: r["easy"]), "1/s", "GET /.well-known/earmark, same driver")


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


def in_world(place, work):
    folder = tempfile.mkdtemp(prefix="earmark-bench-server-", dir=place)
    os.chmod(folder, 0o755)
    world = None
    try:
        world = World(folder)
        work(world, folder)
    finally:
        if world:
            world.server.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--quick", action="store_true")
    p.add_argument("--rows", action="store_true", help="for earmark-bench")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--size", type=int, default=1 << 30)
    p.add_argument("--dir", default="/dev/shm", help="for models and blobs")
    p.add_argument("--disk", default="/var/tmp", help="for tickets: what is acknowledged must be synced")
    p.add_argument("--only", choices=("tickets", "seal", "download"))
    o = p.parse_args()
    if not (earmarkd.BINARY and MINT and LOAD):
        sys.exit("EARMARKD, EARMARK_MINT and EARMARK_LOAD must name the programs")
    if o.quick:
        o.rounds, o.size = 3, 128 << 20
    if o.only in (None, "tickets"):
        in_world(o.disk, lambda world, folder: tickets(world, folder, o.rounds, 3200 if o.quick else 9600))
    if o.only in (None, "seal"):
        in_world(o.dir, lambda world, _: seal_and_deliver(world, o.rounds, 400 if o.quick else 1000))
    if o.only in (None, "download") and shutil.which("nginx"):
        in_world(o.dir, lambda world, folder: download(world, folder, o.rounds, o.size))
    elif o.only in (None, "download"):
        print("download: nginx is not here", file=sys.stderr)


if __name__ == "__main__":
    main()
