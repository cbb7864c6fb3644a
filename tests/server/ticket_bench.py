#!/usr/bin/env python3
"""Tickets a second over loopback with connections that are kept open: signed requests are made first,
so that what is measured is the server and the sending.

    EARMARKD=bin/earmarkd ticket_bench.py [CONNECTIONS] [TICKETS of each]

Each connection is a device of its own with a process of its own share of the sending; prints tickets a
second, and the percentiles of the time from sending to the whole answer."""
import multiprocessing
import os
import sys
import time

from earmarkd import Server, read_answer
from device import Device, b64

import json


def prepare(device, n):
    """n requests on the wire, for one nonce."""
    device.ask("POST", "/v1/tickets", {"request": "AA"})  # fetches a nonce
    out = []
    for _ in range(n):
        body = json.dumps({"request": b64(device.request(use="bench"))}).encode()
        head = device.signed_headers("POST", "/v1/tickets", body)
        head["Content-Type"] = "application/json"
        head["Content-Length"] = str(len(body))
        lines = ["POST /v1/tickets HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        out.append("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return out


def drive(port, work, start, results):
    """A few connections of one process, in turn: each has one request on its way."""
    import select
    import socket
    socks = []
    for requests in work:
        s = socket.create_connection(("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socks.append([s, iter(requests), 0.0])
    by_fd = {s[0].fileno(): s for s in socks}
    poll = select.poll()
    times, bad = [], 0
    start.wait()
    began = time.perf_counter()
    for s in socks:
        s[2] = time.perf_counter()
        s[0].sendall(next(s[1]))
        poll.register(s[0], select.POLLIN)
    live = len(socks)
    while live:
        for fd, _ in poll.poll(10000):
            s = by_fd[fd]
            answer = read_answer(s[0])
            times.append(time.perf_counter() - s[2])
            bad += answer.status != 201
            request = next(s[1], None)
            if request is None:
                poll.unregister(fd)
                live -= 1
                continue
            s[2] = time.perf_counter()
            s[0].sendall(request)
    results.put((began, time.perf_counter(), times, bad))


def cpu(pid):
    """Seconds of processor time so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    n_connections = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    n_each = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    server = Server()
    try:
        token = server.dev()["operator_token"]
        work = []
        for i in range(n_connections):
            device = Device(server, f"bench-{i}")
            device.enrol(token)
            work.append(prepare(device, n_each))
            device.wire.close()
        start, results = multiprocessing.Event(), multiprocessing.Queue()
        processes = [multiprocessing.Process(target=drive, args=(server.port, work[i::2], start, results))
                     for i in range(min(2, n_connections))]
        for p in processes:
            p.start()
        time.sleep(0.5)
        pids = server.process.pid, server.dev()["keyholder"]
        before = [cpu(pid) for pid in pids]
        start.set()
        got = [results.get() for _ in processes]
        for p in processes:
            p.join()
        times = sorted(t for g in got for t in g[2])
        seconds = max(g[1] for g in got) - min(g[0] for g in got)
        print("%d connections, %d tickets, %d refused: %.0f a second, p50 %.1f ms, p99 %.1f ms" %
              (n_connections, len(times), sum(g[3] for g in got), len(times) / seconds,
               times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3))
        used = [cpu(pid) - b for pid, b in zip(pids, before)]
        print("processor time of one: %.3f ms in the server, %.3f ms in the keyholder" %
              tuple(u / len(times) * 1e3 for u in used))
    finally:
        server.close()


if __name__ == "__main__":
    main()
