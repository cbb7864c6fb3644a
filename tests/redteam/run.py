#!/usr/bin/env python3
"""The red team: real tools against a program that holds a model, and what each of them gets.

    tests/redteam/run.py [--only NAME] [--json FILE] [--write docs/security/extraction.md] [--list]

Each technique is run against three models: "bare" (no guard, any memory: to show that the technique
works), "guarded" (guard strict, ordinary memory) and "secret" (guard strict, memfd_secret).  Measured
are how many of 512 pieces of 32 bytes of the weights it gets, when, whether and how soon after it
began the guard reported it, and how soon the model was wiped.  Needs root, gdb, strace; Frida in
build/frida (tools/setup redteam) and criu where there are such.

Exit codes: 0 each technique was reported within 5 seconds or got less than 1 % of the weights of a
guarded model; 1 one was not; 77 there is nothing to run.
"""
import argparse
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

from lab import ROOT, Lab, Victim, library, program

REPORT_WITHIN_S = 5.0
FRACTION_MAX = 0.01
VAULTS = (("bare", 0), ("guarded", 3), ("secret", 3))
FRIDA_SCRIPT = """
const ranges = Process.enumerateRanges('r--').filter(r => r.size >= 1048576 && !r.file);
for (const r of ranges) {
    try { send({base: r.base.toString(), size: r.size}, r.base.readByteArray(r.size)); }
    catch (e) { send({base: r.base.toString(), error: e.message}); }
}
send({done: true});
"""


class Skip(Exception):
    pass


class Run:
    """One technique against one vault."""

    def __init__(self, lab, vault, level):
        self.lab, self.vault, self.level = lab, vault, level
        self.out = os.path.join(lab.dir, "out-%s" % vault)
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        self.began = self.got = None
        self.fraction = 0.0
        self.victim = None
        self.note = ""

    def start(self, extra=(), victim=None, prefix=(), env=None, before=None, seconds=9):
        words = list(prefix) + self.lab.words(self.vault, self.level, victim) + ["--seconds", str(seconds), *extra]
        self.began = time.monotonic()
        self.victim = Victim(words, env=env, cwd=self.out, before=before)
        return self.victim

    def opened(self, **more):
        """A victim that has the model open and runs for a moment already."""
        v = self.start(**more)
        event = v.wait(("opened", "refused", "failed", "gone"))
        if not event or event["event"] != "opened":
            raise RuntimeError("the victim did not open: %s" % event)
        time.sleep(0.3)
        self.began = time.monotonic()
        return event

    def take(self, data):
        self.got = time.monotonic()
        self.fraction = max(self.fraction, self.lab.fraction(data))

    def take_files(self):
        self.got = time.monotonic()
        self.fraction = max(self.fraction, self.lab.fraction_of_files(self.out))


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Skip("there is no %s here" % name)
    return path


def quiet(words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, check=False, **more)


def maps_of(pid):
    rows = []
    with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split(None, 5)
            start, end = (int(x, 16) for x in words[0].split("-"))
            rows.append((start, end, words[1], words[5].strip() if len(words) > 5 else ""))
    return rows


# ---- techniques: each takes a Run


def gdb_attach(r):
    """gdb -p PID, `dump memory`, detach"""
    gdb = tool("gdb")
    m = r.opened()
    ranges = [x for x in maps_of(m["pid"]) if looks_like_a_model(x, len(r.lab.model))]
    words = [w for x in ranges for w in ("-ex", "dump binary memory %s-%x %d %d" % (os.path.join(r.out, "dump"), x[0],
                                                                                  x[0], x[1]))]
    quiet([gdb, "-nx", "-batch", "-p", str(m["pid"]), *words, "-ex", "detach"])
    r.take_files()


def gdb_start(r):
    """the program is started under gdb"""
    gdb = tool("gdb")
    path = os.path.join(r.out, "core")
    words = [gdb, "-nx", "-batch", "-ex", "set disable-randomization off", "-ex",
             "set dump-excluded-mappings on", "-ex", "break emk_opened_bytes", "-ex", "run",
             "-ex", "finish", "-ex", "gcore " + path, "-ex", "kill", "--args"]
    v = r.start(prefix=words)
    v.wait(("gone",), 40)
    r.take_files()


def strace_start(r):
    """strace -f from the start, with all data of read, write and pread64"""
    path = os.path.join(r.out, "log")
    v = r.start(prefix=[tool("strace"), "-f", "-o", path, "-e", "trace=read,write,pread64,mmap", "-e",
                        "read=all", "-s", "1048576"], seconds=2)
    v.wait(("gone",), 40)
    with open(path, "rb") as f:
        text = f.read()
    r.got = time.monotonic()
    r.fraction = unescape_fraction(r.lab, text)


def unescape_fraction(lab, text):
    """strace's own dumps: " | 00000  ab cd ..." lines become bytes again."""
    data = bytearray()
    for line in text.split(b"\n"):
        if line.startswith(b" | "):
            words = line[10:60].split()
            for word in words:
                try:
                    data.append(int(word, 16))
                except ValueError:
                    break
    return lab.fraction(bytes(data))


def strace_attach(r):
    """strace -p PID while it runs"""
    m = r.opened()
    path = os.path.join(r.out, "log")
    p = subprocess.Popen([tool("strace"), "-f", "-o", path, "-p", str(m["pid"])], stderr=subprocess.DEVNULL)
    time.sleep(3)
    p.send_signal(signal.SIGINT)
    p.wait()
    r.take_files()


def preload(r):
    """LD_PRELOAD: hooks of malloc, free, memcpy, read, mmap and dlopen that write large buffers down"""
    hook = library("libredteam-extractor.so")
    if not hook:
        raise Skip("the extractor is not built")
    v = r.start(env=dict(os.environ, LD_PRELOAD=hook, EXTRACT_TO=r.out, EXTRACT_AFTER_MS="1500"), seconds=4)
    v.wait(("gone",), 30)
    r.take_files()


def mem_scan_tensors(r):
    """the same while the app reads tensor by tensor (64 of them)"""
    mem_scan_of(r, r.opened(extra=["--tensors"]))


def mem_scan_window(r):
    """the same while the app reads through a window of 128 KiB, 1/64 of the model"""
    mem_scan_of(r, r.opened(extra=["--window"]))


def mem_scan(r):
    """root reads /proc/PID/mem, all of it"""
    mem_scan_of(r, r.opened())


def mem_scan_of(r, m):
    data = bytearray()
    ranges = [x for x in maps_of(m["pid"]) if x[2][0] == "r" and not x[3].startswith("[v")]
    with open("/proc/%d/mem" % m["pid"], "rb", buffering=0) as f:
        for start, end, _, _ in ranges:
            try:
                f.seek(start)
                while start < end:
                    piece = f.read(min(end - start, 1 << 20))
                    if not piece:
                        break
                    data += piece
                    start += len(piece)
            except (OSError, OverflowError):
                pass
    r.take(bytes(data))


def looks_like_a_model(row, length):
    start, end, rights, name = row
    return rights.startswith("r-") and end - start >= length // 2 and ("/" not in name or "secretmem" in name)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


def vm_readv(r):
    """root calls process_vm_readv, with addresses from /proc/PID/maps"""
    m = r.opened()
    libc = ctypes.CDLL(None, use_errno=True)
    data = bytearray()
    for start, end, rights, name in maps_of(m["pid"]):
        if rights[0] != "r" or end - start < 1 << 20 or name.startswith("[v"):
            continue
        while start < end:
            piece = ctypes.create_string_buffer(1 << 20)
            here = Iovec(ctypes.cast(piece, ctypes.c_void_p), min(1 << 20, end - start))
            there = Iovec(start, here.len)
            n = libc.process_vm_readv(m["pid"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
            if n <= 0:
                break
            data += piece.raw[:n]
            start += n
    r.take(bytes(data))


def vm_readv_model(r):
    """the same by somebody who knows the model's length, and touches nothing else"""
    m = r.opened()
    libc = ctypes.CDLL(None, use_errno=True)
    length = (len(r.lab.model) + 4095) // 4096 * 4096
    for start, end, rights, _ in maps_of(m["pid"]):
        if rights[0] != "r" or not length <= end - start < length + (4 << 20):
            continue
        r.take(read_remote(libc, m["pid"], start, end - start))


def core_dump(r):
    """SIGABRT, with core files allowed"""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        if f.read().startswith("|"):
            raise Skip("core files go to a program here")
    m = r.opened(before=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    os.kill(m["pid"], signal.SIGABRT)
    r.victim.wait(("gone",), 10)
    time.sleep(0.5)
    r.take_files()
    if not os.listdir(r.out):
        r.note = "no core file is written"


def gcore(r):
    """gcore PID"""
    m = r.opened()
    quiet([tool("gcore"), "-a", "-o", os.path.join(r.out, "core"), str(m["pid"])])
    r.take_files()


def inject(r):
    """ptrace one thread, write a system call into its code, let it write the model to a file"""
    injector = program("redteam-inject")
    if not injector:
        raise Skip("for x86-64 only")
    m = r.opened()
    for start, end, _, _ in [x for x in maps_of(m["pid"]) if looks_like_a_model(x, len(r.lab.model))]:
        quiet([injector, str(m["pid"]), str(start), str(end - start), os.path.join(r.out, "dump-%x" % start)])
    r.take_files()


def frida_unhardened(r):
    """the same against an app that does not harden itself"""
    frida_of(r, ["--no-harden"])


def frida(r):
    """Frida of PyPI: attach, read every readable range of 1 MiB and more from inside"""
    frida_of(r, [])


def frida_of(r, extra):
    python = os.path.join(ROOT, "build", "frida", "bin", "python")
    if os.environ.get("EMK_FRIDA_PYTHON"):
        python = os.environ["EMK_FRIDA_PYTHON"]
    if not os.path.exists(python):
        raise Skip("there is no Frida here (tools/setup redteam)")
    m = r.opened(seconds=14, extra=extra)
    script = os.path.join(r.lab.dir, "frida_script.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write('import frida, sys, time\n'
                'done = []\n'
                'def on(m, data):\n'
                '    if data: open(sys.argv[2] + "/" + m["payload"]["base"], "wb").write(data)\n'
                '    if m.get("payload", {}).get("done") or m["type"] == "error": done.append(m)\n'
                'session = frida.attach(int(sys.argv[1]))\n'
                'script = session.create_script(%r)\n'
                'script.on("message", on)\n'
                'script.load()\n'
                'end = time.time() + 8\n'
                'while not done and time.time() < end: time.sleep(0.05)\n'
                'time.sleep(1)\n' % FRIDA_SCRIPT)
    p = quiet([python, script, str(m["pid"]), r.out])
    if p.returncode != 0 and r.vault == "bare":
        raise Skip("Frida does not attach here: " + p.stdout.decode().strip().split("\n")[-1][:100])
    if p.returncode != 0:
        r.note = "Frida could not attach"
    r.take_files()


def patched_file(r):
    """the judge and the refusal are patched out of the program's file"""
    original = program("redteam-victim")
    path = os.path.join(r.lab.dir, "victim-patched")
    patch_functions(original, path, ["emk_guard_judge_findings", "emk_guard_judge_why", "emk_guard_judge"])
    v = r.start(victim=path, seconds=3)
    event = v.wait(("opened", "refused", "failed", "gone"))
    if event and event["event"] == "opened":
        with open("/proc/%d/mem" % event["pid"], "rb", buffering=0) as f:
            f.seek(event["address"])
            try:
                r.take(f.read(event["length"]))
            except OSError:
                pass
    elif event:
        r.note = "%s: %s" % (event["event"], event.get("what", ""))


def patch_functions(source, to, names):
    """Writes `xor eax, eax; ret` where these begin."""
    symbols = subprocess.run(["nm", source], stdout=subprocess.PIPE, check=True).stdout.decode()
    headers = subprocess.run(["readelf", "-lW", source], stdout=subprocess.PIPE, check=True).stdout.decode()
    loads = [[int(x, 16) for x in line.split()[1:6]] for line in headers.split("\n") if line.strip().startswith("LOAD")]
    with open(source, "rb") as f:
        data = bytearray(f.read())
    for line in symbols.split("\n"):
        words = line.split()
        if len(words) == 3 and words[2] in names:
            at = int(words[0], 16)
            for off, virtual, _, length, _ in loads:
                if virtual <= at < virtual + length:
                    data[at - virtual + off:at - virtual + off + 3] = b"\x31\xc0\xc3"
    with open(to, "wb") as f:
        f.write(data)
    os.chmod(to, 0o755)


def replaced_function(r):
    """a library that is loaded into the program patches a function of libc, waits, and copies the model"""
    hook = library("libredteam-extractor.so")
    if not hook:
        raise Skip("the extractor is not built")
    v = r.start(extra=["--plugin", hook], seconds=6,
                env=dict(os.environ, EXTRACT_TO=r.out, EXTRACT_PATCH="madvise", EXTRACT_AFTER_MS="2500"))
    v.wait(("gone",), 30)
    r.take_files()


def checkpoint(r):
    """criu dump --leave-running; where CRIU does not start on this kernel, its steps: stop all threads, read what /proc/PID/pagemap
    says is there, let them go, look at the image"""
    criu = shutil.which("criu") or ("/usr/sbin/criu" if os.path.exists("/usr/sbin/criu") else None)
    m = r.opened()
    why = "no criu here"
    if criu:
        p = quiet([criu, "dump", "-t", str(m["pid"]), "-D", r.out, "--leave-running", "--shell-job", "-v1"])
        if p.returncode == 0:
            r.take_files()
            return
        errors = [x for x in p.stdout.decode(errors="replace").split("\n") if "Error" in x]
        errors = [x for x in errors if "exited" not in x]
        why = "it says: " + (errors[0].split("): ")[-1] if errors else "nothing")
    r.note = "its steps (%s)" % why.replace("|", "/")
    r.began = time.monotonic()
    checkpoint_by_hand(r, m["pid"])


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000


def checkpoint_by_hand(r, pid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    stopped = []
    for task in map(int, os.listdir("/proc/%d/task" % pid)):
        if libc.ptrace(PTRACE_SEIZE, task, None, None) == 0 and libc.ptrace(PTRACE_INTERRUPT, task, None, None) == 0:
            os.waitpid(task, WALL)
            stopped.append(task)
    data = bytearray()
    with open("/proc/%d/pagemap" % pid, "rb", buffering=0) as there:
        for start, end, rights, name in maps_of(pid):
            if rights[3] == "p" and not name.startswith("/") and not name.startswith("[v"):
                for first, last in present(there, start, end):
                    data += read_remote(libc, pid, first, last - first)
    for task in stopped:
        libc.ptrace(PTRACE_DETACH, task, None, None)
    r.take(bytes(data))
    if not stopped:
        r.note += ": may not stop it"


def present(pagemap, start, end):
    """The runs of pages that are there."""
    pagemap.seek(start // 4096 * 8)
    rows = pagemap.read((end - start) // 4096 * 8)
    at = None
    for i in range(len(rows) // 8 + 1):
        is_there = i < len(rows) // 8 and rows[i * 8 + 7] & 0x80
        if is_there and at is None:
            at = start + i * 4096
        elif not is_there and at is not None:
            yield at, start + i * 4096
            at = None


def read_remote(libc, pid, start, length):
    piece = ctypes.create_string_buffer(length)
    here = Iovec(ctypes.cast(piece, ctypes.c_void_p), length)
    there = Iovec(start, length)
    n = libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return piece.raw[:max(n, 0)]


TECHNIQUES = [("gdb-attach", gdb_attach), ("gdb-start", gdb_start), ("strace-start", strace_start),
              ("strace-attach", strace_attach), ("preload", preload), ("mem-scan", mem_scan),
              ("mem-scan-tensors", mem_scan_tensors), ("mem-scan-window", mem_scan_window),
              ("process-vm-readv", vm_readv), ("process-vm-readv-model", vm_readv_model), ("core-dump", core_dump), ("gcore", gcore), ("ptrace-inject", inject),
              ("frida", frida), ("frida-unhardened", frida_unhardened), ("patched-file", patched_file), ("replaced-function", replaced_function),
              ("checkpoint", checkpoint)]


def outcome(r):
    """What became of it, after the victim had five seconds to notice."""
    v = r.victim
    end = r.began + REPORT_WITHIN_S
    while r.level and time.monotonic() < end and not wiped(v) and v.process.poll() is None:
        time.sleep(0.05)
    v.end()
    found = [f for f in v.findings() if f["t"] >= r.began and f["signal"] not in r.lab.usual]
    first = min((f["t"] for f in found), default=None)
    refused = next((e for e in v.events if e["event"] in ("refused", "failed")), None)
    gone = wiped(v)
    return {"fraction": round(r.fraction, 4),
            "took_s": round(r.got - r.began, 3) if r.got else None,
            "reported": sorted({f["signal"] for f in found}),
            "confidence": max((f["confidence"] for f in found), default=0),
            "reported_after_s": round(first - r.began, 3) if first else None,
            "refused": refused["what"] if refused else None,
            "wiped_after_s": round(gone["t"] - r.began, 3) if gone else None, "note": r.note}


def wiped(v):
    with v.said:
        return next((e for e in v.events if e["event"] == "wiped"), None)


def attack(lab, name, technique):
    row = {"technique": name, "what": " ".join(technique.__doc__.split())}
    for vault, level in VAULTS:
        if vault not in lab.models:
            row[vault] = {"skipped": lab.models.get("no-" + vault, "not here")}
            continue
        if vault != "bare" and "skipped" in row["bare"]:
            row[vault] = row["bare"]
            continue
        r = Run(lab, vault, level)
        try:
            technique(r)
            row[vault] = outcome(r)
        except Skip as why:
            row[vault] = {"skipped": str(why)}
        finally:
            if r.victim:
                r.victim.end()
        print("%-18s %-8s %s" % (name, vault, json.dumps(row[vault])), flush=True)
    return row


def reaches(one):
    """The goal: reported in time, or next to nothing."""
    if "skipped" in one:
        return True
    in_time = one["reported_after_s"] is not None and one["reported_after_s"] <= REPORT_WITHIN_S
    return in_time or one["fraction"] < FRACTION_MAX


def percent(x):
    return "0" if x == 0 else "all" if x >= 0.999 else "%.1f %%" % (100 * x)


def cell(one):
    if "skipped" in one:
        return "skipped: " + one["skipped"]
    parts = [percent(one["fraction"])]
    if one["refused"]:
        parts.append("not opened")
    if one["reported"]:
        parts.append("%s%s after %.2f s" % ("hint: " if one["confidence"] == 1 else "", ", ".join(one["reported"]),
                                            one["reported_after_s"]))
    elif not one["refused"]:
        parts.append("not reported")
    if one["wiped_after_s"] is not None:
        parts.append("wiped after %.2f s" % one["wiped_after_s"])
    if one["note"]:
        parts.append(one["note"])
    return "; ".join(parts)


def table(rows):
    lines = ["| technique | no guard | guard strict, ordinary memory | guard strict, memfd_secret |", "|---|---|---|---|"]
    for row in rows:
        bare = row["bare"]
        lines.append("| %s: %s | %s | %s | %s |" % (
            row["technique"], row["what"], "skipped: " + bare["skipped"] if "skipped" in bare else percent(bare["fraction"]),
            cell(row["guarded"]), cell(row["secret"])))
    return "\n".join(lines) + "\n"


def write_table(path, rows):
    begin, end = "<!-- table: tests/redteam/run.py -->\n", "<!-- end of table -->\n"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + begin + table(rows) + end + after)


def prepare(lab):
    lab.make("bare")
    lab.accept("bare", 0)
    lab.models["bare"] = True
    lab.make("guarded", "--min-guard", "3")
    lab.accept("guarded", 3)
    lab.models["guarded"] = True
    clean = Victim(lab.words("guarded", 3) + ["--seconds", "2"])
    clean.wait(("end", "gone"))
    clean.end()
    lab.usual = {f["signal"] for f in clean.findings()}
    try:
        lab.make("secret", "--min-guard", "3", "--memory", "secret")
        lab.accept("secret", 3)
        v = Victim(lab.words("secret", 3) + ["--seconds", "1"])
        if (v.wait(("opened", "refused", "failed", "gone")) or {}).get("event") == "opened":
            lab.models["secret"] = True
        else:
            lab.models["no-secret"] = "no memfd_secret on this kernel"
        v.end()
    except RuntimeError as why:
        lab.models["no-secret"] = str(why)[:80]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append")
    parser.add_argument("--json")
    parser.add_argument("--write")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(name for name, _ in TECHNIQUES))
        return 0
    if os.geteuid() != 0 or not program("redteam-victim") or not program("earmark"):
        print("SKIP the red team needs root, and the targets `redteam` and `earmark`")
        return 77
    lab = Lab()
    try:
        prepare(lab)
        rows = [attack(lab, n, t) for n, t in TECHNIQUES if not args.only or n in args.only]
    finally:
        lab.close()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(rows, f, indent=1)
    if args.write:
        write_table(args.write, rows)
    print(table(rows))
    missed = [row["technique"] for row in rows if not (reaches(row["guarded"]) and reaches(row["secret"]))]
    print("missed: %s" % ", ".join(missed) if missed else "each was reported in time or got nothing")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
