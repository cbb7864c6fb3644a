#!/usr/bin/env python3
"""How much of each sample model is found to be weights: writes docs/operate/coverage.md, or
says whether it is still true.

usage: coverage.py MODEL_LIST SAMPLES COVERAGE_MD           compare; exit 1: it changed
       coverage.py --write MODEL_LIST SAMPLES COVERAGE_MD   write it again
Exit 77: the samples are not here."""
import os
import subprocess
import sys

# What has no magic and no name of its own.
FORMATS = {"graphdef/": "graphdef"}
SKIPPED = (".md", ".png", ".jpg", ".txt")
HEAD = """# Coverage

How many bytes of real models are found to be weights, and what stays as it is when a model is sealed with clear structure (without that,
everything is sealed). The rules are in [../spec/models.md](../spec/models.md). Written by `tests/unit/core/model/coverage.py` from the sample
models of the tests, which a test compares with this page.

**Bytes** are those of the file and of the files it names. **Weights** and **checksums** are sealed, each byte counted once; the share is of all
bytes. **Left clear** lists what is no plain structure, with the reasons of section 0.7; the rest of the bytes is tables, names, graphs and padding.
A share under 90 % makes `earmark seal` say so: look at the reasons.

| sample | format | bytes | weights | checksums | sealed | left clear, and notes |
|---|---|--:|--:|--:|--:|---|
"""


def scan(tool, path, options):
    run = subprocess.run([tool, *options, path], capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit("coverage: %s: %s%s" % (path, run.stdout, run.stderr))
    return run.stdout.splitlines()


def row(name, lines, size):
    """A line of the table, and the files that belong to it."""
    parts = [w[2] for w in (line.split(" ", 2) for line in lines) if w[0] == "part"]
    if lines[0].startswith("unknown"):
        note = lines[0][len("unknown"):].strip()
        return "| %s | not known | %d | | | whole | %s |" % (name, size, note), parts
    words = next(line for line in lines if line.startswith("format ")).split()
    s = dict(zip(words[::2], words[1::2]))
    notes = ["%s %s" % (w[2], w[1]) for w in (line.split() for line in lines) if w[0] == "clear"]
    notes += ["file %s %s %s of a split model" % tuple(line.split()[1:]) for line in lines
              if line.startswith("split ")]
    sealed = int(s["weights"]) + int(s["checksums"])
    share = "%.1f %%" % (100 * sealed / int(s["all_len"]))
    if any(n.startswith("not-read ") for n in notes):
        share = "whole"
    return "| %s | %s | %s | %s | %s | %s | %s |" % (
        name, s["format"], s["all_len"], s["weights"], s["checksums"] if s["checksums"] != "0" else
        "", share, "; ".join(notes)), parts


def table(tool, samples):
    rows, taken = {}, set()
    for folder, _, names in sorted(os.walk(samples)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            short = os.path.relpath(path, samples)
            if name.endswith(SKIPPED):
                continue
            options = [o for k, f in FORMATS.items() if short.startswith(k) for o in ("-f", f)]
            rows[short], parts = row(short, scan(tool, path, options), os.path.getsize(path))
            taken |= {os.path.normpath(os.path.join(os.path.dirname(short), p)) for p in parts}
    return HEAD + "".join(text + "\n" for short, text in sorted(rows.items())
                          if short not in taken)


def main():
    args = sys.argv[1:]
    write = args[:1] == ["--write"]
    tool, samples, page = args[1:] if write else args
    if not os.path.isdir(samples):
        print("SKIP the sample models are not here")
        sys.exit(77)
    text = table(tool, samples)
    if write:
        with open(page, "w", encoding="utf-8") as f:
            f.write(text)
        return
    with open(page, encoding="utf-8") as f:
        old = f.read()
    changed = sorted(set(text.splitlines()) ^ set(old.splitlines()))
    print(*changed, sep="\n")
    sys.exit(1 if changed else 0)


main()
