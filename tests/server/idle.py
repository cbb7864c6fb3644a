#!/usr/bin/env python3
"""Measures memory: idle, and with N idle connections.   EARMARKD=bin/earmarkd idle.py [N]"""
import resource
import sys
import time

from earmarkd import Server, read_answer


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = Server()
    try:
        pids = server.process.pid, server.dev()["keyholder"]
        print("idle: http %.1f MiB, keyholder %.1f MiB" % tuple(map(resident, pids)))
        held = []
        for _ in range(n):
            s = server.connect()
            s.sendall(b"GET /.well-known/earmark HTTP/1.1\r\nHost: a\r\n\r\n")
            if read_answer(s).status != 200:
                raise SystemExit(f"refused at {len(held)}")
            held.append(s)
        time.sleep(1)
        print("%d idle connections: http %.1f MiB; counted %d" %
              (len(held), resident(pids[0]), server.metric("earmark_http_connections")))
    finally:
        server.close()
        del soft


if __name__ == "__main__":
    main()
