#!/usr/bin/env python3
"""The second decoder opens what the library seals under a lease, with the lease secret, and not
without it.  usage: lease_reference_test.py PROGRAM"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
try:
    import earmark_reference as reference
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(77)

WANT = 5  # vectors


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder], check=True)
        failed = reference.check_directory(folder)
        return failed or len(os.listdir(folder)) != WANT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
