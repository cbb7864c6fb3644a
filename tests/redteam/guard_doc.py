#!/usr/bin/env python3
"""Holds the table of signals in docs/operate/guard.md to what `earmark doctor --guard` says.

    tests/redteam/guard_doc.py [--write]

Exit codes: 0 they agree, 1 they do not, 77 there is no program to ask.
"""
import json
import os
import subprocess
import sys

from lab import ROOT, program

PAGE = os.path.join(ROOT, "docs", "operate", "guard.md")
BEGIN, END = "<!-- table: tests/redteam/guard_doc.py -->\n", "<!-- end of table -->\n"


def table():
    out = subprocess.run([program("earmark"), "doctor", "--guard", "--json"], stdout=subprocess.PIPE, check=True).stdout
    lines = ["| signal | sees | evaded by | honest look-alikes |", "|---|---|---|---|"]
    for s in json.loads(out)["signals"]:
        lines.append("| %s | %s | %s | %s |" % (s["signal"], s["sees"], s["evaded_by"], s["looks_like"]))
    return "\n".join(lines) + "\n"


def main():
    if not program("earmark"):
        print("SKIP earmark is not built")
        return 77
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(BEGIN)
    now, after = rest.split(END, 1)
    wanted = table()
    if "--write" in sys.argv[1:]:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(before + BEGIN + wanted + END + after)
        return 0
    if now != wanted:
        print("docs/operate/guard.md: its table is not what the program says: tests/redteam/guard_doc.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
