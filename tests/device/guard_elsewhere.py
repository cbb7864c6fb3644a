#!/usr/bin/env python3
"""The guard's files for Apple's systems and Windows, with the compilers that are at hand.

    tests/device/guard_elsewhere.py

Apple: clang makes objects for iOS and macOS, with declarations of our own instead of Apple's SDK.  Windows: mingw-w64
compiles and links, and under Wine the detectors look at a clean process and at one that was tampered with.  Android
has no files of its own: the Linux part is what runs there; its C library's headers are not here, so it is not compiled
against them.  What is absent is said and left out.

Exit codes: 0 all that could be done went well, 1 it did not, 77 nothing could be done.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUARD = os.path.join("device", "guard")
WARNINGS = ("-std=c11 -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes "
            "-Wmissing-prototypes -Wvla -Wundef -Wwrite-strings -Werror -I. -Iinclude").split()
APPLE = ("arm64-apple-ios14", "x86_64-apple-macos11")
WINE = ("wine64", "/usr/lib/wine/wine64", "wine")
# What the program for Wine needs of the sources for everywhere; it brings the rest itself.
IN_PROGRAM = ("notes", "signals", "detect_calls", "detect_clock", "detect_code", "detect_memory", "detect_package",
              "detect_screen", "detect_stepping", "detect_images")


def sources(system):
    """What device/guard/CMakeLists.txt lists for everywhere and for one system."""
    with open(os.path.join(ROOT, GUARD, "CMakeLists.txt"), encoding="ascii") as f:
        text = f.read()
    everywhere = re.search(r"set\(everywhere ([^)]*)\)", text).group(1)
    own = re.search(r"if\(%s\)\s*set\(system ([^)]*)\)" % system, text).group(1)
    return [os.path.join(GUARD, name) for name in (everywhere + " " + own).split()]


def run(words, **more):
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **more)
    if done.returncode != 0:
        print("FAILED %s\n%s" % (" ".join(words), done.stdout.decode(errors="replace")))
    return done


def apple(work):
    clang = shutil.which("clang-14") or shutil.which("clang")
    if not clang:
        print("SKIP Apple: there is no clang here")
        return None
    ok = True
    for target in APPLE:
        for name in sources("APPLE"):
            ok = run([clang, "-target", target, *WARNINGS, "-ffreestanding", "-isystem", "tests/device/freestanding",
                      "-c", name, "-o", os.path.join(work, "apple.o")]).returncode == 0 and ok
        print("%s: %d files compile" % (target, len(sources("APPLE"))) if ok else "%s: failed" % target)
    return ok


def windows(work):
    gcc = shutil.which("x86_64-w64-mingw32-gcc")
    if not gcc:
        print("SKIP Windows: there is no mingw-w64 here (tools/setup elsewhere)")
        return None
    flags = [gcc, *WARNINGS, "-D_WIN32_WINNT=0x0A00"]
    ok = True
    for name in sources("WIN32"):
        ok = run([*flags, "-c", name, "-o", os.path.join(work, "windows.o")]).returncode == 0 and ok
    print("Windows: %d files compile" % len(sources("WIN32")) if ok else "Windows: failed")
    program = os.path.join(work, "guard.exe")
    needed = [n for n in sources("WIN32") if re.search(r"(_windows|/pe)\.c$", n)]
    needed += [os.path.join(GUARD, n + ".c") for n in IN_PROGRAM]
    if not ok or run([*flags, "tests/unit/device/guard/on_windows.c", *needed, "core/base/status.c", "-o", program, "-lpsapi",
                      "-ladvapi32"]).returncode != 0:
        return False
    return wine(work, program)


def wine(work, program):
    found = next((w for w in map(shutil.which, WINE) if w), None)
    if not found:
        print("SKIP Wine: it is not here, so nothing was run (tools/setup elsewhere)")
        return True
    env = dict(os.environ, WINEPREFIX=os.path.join(work, "wine"), WINEDEBUG="-all", WINEDLLOVERRIDES="mscoree=;mshtml=",
               HOME=work)
    env.pop("DISPLAY", None)
    # The first program makes the prefix; where even that fails Wine does not work here.
    try:
        subprocess.run([found, "cmd", "/c", "exit"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=200, check=True)
    except (subprocess.SubprocessError, OSError):
        print("SKIP Wine: it does not start here")
        return True
    try:
        done = run([found, program], env=env, timeout=200)
    except subprocess.TimeoutExpired:
        print("SKIP Wine: too slow here")
        return True
    if done.returncode == 0:
        print("\n".join(line for line in done.stdout.decode(errors="replace").splitlines() if ":" in line))
    return done.returncode == 0


def main():
    with tempfile.TemporaryDirectory(prefix="elsewhere-", ignore_cleanup_errors=True) as work:
        results = [apple(work), windows(work)]
    print("SKIP Android: its C library's headers are not here; it takes the Linux part as it is")
    if all(r is None for r in results):
        return 77
    return 0 if all(r is not False for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
