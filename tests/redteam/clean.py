#!/usr/bin/env python3
"""False alarms: the victim in set-ups that are honest.  A finding above a hint is one.

    tests/redteam/clean.py [--runs N] [--jobs N] [--only NAME] [--json FILE]

N is for all set-ups together (default 60); docs/operate/guard.md has the number of a long run.  Exit codes: 0 no
false alarm, 1 one, 77 there is nothing to run.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from lab import program

LIKELY = 2      # a confidence
REFUSE = 3      # an action


class Skip(Exception):
    pass


def run(prefix=(), env=None, level=3, more=(), during=None, seconds=1, before=None):
    """What one run of a victim without a model found."""
    words = list(prefix) + [program("redteam-victim"), "--no-model", "--level", str(level), "--seconds", str(seconds), *more]
    p = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         preexec_fn=before)
    if during:
        during(p)
    out, errors = p.communicate(timeout=120)
    if p.returncode != 0 or b'"event": "end"' not in out:
        raise RuntimeError("the victim ended with %d: %s %s" % (p.returncode, out.decode()[-300:], errors.decode()[-300:]))
    return alarms_of(out)


def alarms_of(out):
    events = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    alarms = [e for e in events if e["event"] == "finding" and e["confidence"] >= LIKELY]
    end = events[-1]
    if not alarms and end["action"] >= REFUSE:
        alarms.append({"signal": "blind", "confidence": end["action"], "detail": "hints that add up"})
    return alarms


def need(name):
    path = shutil.which(name) or ("/usr/sbin/" + name if os.path.exists("/usr/sbin/" + name) else None)
    if not path:
        raise Skip("there is no " + name)
    return path


def works(words):
    if subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("not allowed here: " + " ".join(words[:3]))


def plain():
    return run()


def busy():
    """Two programs that never sleep beside it, and it is nice."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        return run(prefix=["nice", "-n", "19"], seconds=2)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def suspended():
    def stop(p):
        time.sleep(0.4)
        for _ in range(3):
            p.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            p.send_signal(signal.SIGCONT)
            time.sleep(0.1)
    return run(during=stop, seconds=2)


def locale():
    return run(env=dict(os.environ, LC_ALL="tr_TR.UTF-8", LANG="ar_EG.UTF-8", LANGUAGE="ja"))


def time_zone():
    return run(env=dict(os.environ, TZ="Pacific/Kiritimati")) + run(env=dict(os.environ, TZ="America/Adak"))


def empty_environment():
    return run(prefix=["env", "-i"])


def no_privileges():
    """As nobody: then files of an undumpable process are root's."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    setpriv = need("setpriv")
    words = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    works(words + [program("redteam-victim"), "--no-model", "--level", "0", "--seconds", "0"])
    return run(prefix=words, seconds=3)


def container():
    """Namespaces of its own, as a container has them, with its own /proc."""
    words = [need("unshare"), "--mount", "--pid", "--fork", "--mount-proc", "--uts", "--ipc", "--net"]
    works(words + ["true"])
    return run(prefix=words)


def no_proc():
    """A container in which nothing is mounted at /proc: hints, and nothing else at first."""
    unshare, shell = need("unshare"), need("sh")
    words = [unshare, "--mount", shell, "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    works(words + ["true"])
    return [f for f in run(prefix=words) if f["signal"] != "blind"]


def sandbox():
    """As systemd's sandbox: no new privileges, few descriptors, no core files, no capabilities."""
    setpriv = need("setpriv")
    words = [setpriv, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    works(words + ["true"])
    return run(prefix=["sh", "-c", 'ulimit -n 64; ulimit -c 0; exec "$@"', "sh"] + words)


def monitored():
    """Monitoring that looks at every process: maps, status, smaps."""
    def look(p):
        end = time.monotonic() + 1.5
        while time.monotonic() < end and p.poll() is None:
            for name in ("maps", "status", "smaps", "stat", "io", "limits"):
                try:
                    with open("/proc/%d/%s" % (p.pid, name), "rb") as f:
                        f.read()
                except OSError:
                    pass
            time.sleep(0.05)
    return run(during=look, seconds=2)


def crowded():
    """Many descriptors and children of the shell beside it."""
    return run(prefix=["sh", "-c", 'for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; exec "$@"', "sh"])


def under_valgrind():
    valgrind = need("valgrind")
    return run(prefix=[valgrind, "-q", "--error-exitcode=99"], more=["--development", "--no-harden"], seconds=4)


def sanitized():
    """A build with AddressSanitizer, named by EMK_VICTIM_ASAN, marked as a development one."""
    path = os.environ.get("EMK_VICTIM_ASAN")
    if not path or not os.path.exists(path):
        raise Skip("EMK_VICTIM_ASAN names no such build")
    done = subprocess.run([path, "--no-model", "--level", "3", "--seconds", "2", "--development", "--no-harden"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode()[-300:])
    return alarms_of(done.stdout)


SETUPS = [plain, busy, suspended, locale, time_zone, empty_environment, no_privileges, container, no_proc, sandbox,
          monitored, crowded, under_valgrind, sanitized]
SLOW = {busy, suspended, under_valgrind, sanitized, monitored}


def plan(setups, runs):
    """The set-ups in turn; in a long run those that are slow take part in every twentieth turn."""
    tasks = []
    turn = 0
    while len(tasks) < runs:
        for setup in setups:
            if setup not in SLOW or turn % 20 == 0 or runs <= 200 or len(setups) == 1:
                tasks.append(setup)
        turn += 1
    return tasks[:runs]


def usable(setups, skipped):
    """Each once, so that what cannot be had here is known."""
    left, alarms = [], []
    for setup in setups:
        try:
            alarms += [dict(f, setup=setup.__name__) for f in setup()]
            left.append(setup)
        except Skip as why:
            skipped[setup.__name__] = str(why)
    return left, alarms


FEW = threading.Semaphore(2)


def once(setup):
    """None where the machine was too busy to end it."""
    try:
        if setup not in SLOW:
            return setup()
        with FEW:       # forty of them at once would only be slow
            return setup()
    except subprocess.TimeoutExpired:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append")
    parser.add_argument("--json")
    args = parser.parse_args()
    if not program("redteam-victim"):
        print("SKIP the target `redteam` is not built")
        return 77
    skipped = {}
    setups, alarms = usable([s for s in SETUPS if not args.only or s.__name__ in args.only], skipped)
    counts = {s.__name__: 1 for s in setups}
    tasks = plan(setups, args.runs - len(setups)) if setups else []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for setup, found in zip(tasks, pool.map(once, tasks)):
            if found is None:
                skipped["some of " + setup.__name__] = "the machine was too busy"
                continue
            counts[setup.__name__] += 1
            alarms += [dict(f, setup=setup.__name__) for f in found]
    for alarm in alarms:
        print("ALARM", json.dumps(alarm))
    runs = sum(counts.values())
    result = {"runs": runs, "alarms": alarms, "setups": counts, "skipped": skipped}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
    print("%d runs, %d false alarms; %s%s" % (runs, len(alarms), ", ".join("%s %d" % x for x in counts.items()),
                                             "".join("; skipped %s: %s" % x for x in skipped.items())))
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
