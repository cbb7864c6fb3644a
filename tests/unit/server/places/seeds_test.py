#!/usr/bin/env python3
"""The files that the tests of server/places read are those that tests/support/mmdb.py writes, and
MaxMind's own program reads the good ones as they are meant."""
import os
import re
import shutil
import subprocess
import sys
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../..")
sys.path.insert(0, os.path.join(ROOT, "tests/support"))
import mmdb

SEEDS = os.path.join(ROOT, "fuzz/corpus/places")


def lookup(name, address, *path):
    got = subprocess.run(["mmdblookup", "--file", os.path.join(SEEDS, name), "--ip", address, *path],
                         capture_output=True, text=True, check=False, timeout=60)
    found = re.fullmatch(r"\s*\"?([^\"\s]+)\"? <\w+>\s*", got.stdout)
    return found.group(1) if found else None


class Seeds(unittest.TestCase):
    def test_the_seeds_are_what_the_writer_writes(self):
        made = mmdb.seeds()
        for name, content in made.items():
            with open(os.path.join(SEEDS, name), "rb") as f:
                self.assertEqual(f.read(), content, name)

    @unittest.skipUnless(shutil.which("mmdblookup"), "mmdblookup is not here")
    def test_the_first_reader_of_the_format_agrees(self):
        for name in ("city", "city_24", "city_32"):
            self.assertEqual(lookup(name, "203.0.113.9", "country", "iso_code"), "PT")
            self.assertEqual(lookup(name, "198.51.100.1", "location", "accuracy_radius"), "50")
            self.assertEqual(lookup(name, "2001:db8::1", "country", "iso_code"), "CL")
            self.assertIsNone(lookup(name, "10.0.0.1", "country", "iso_code"))
        self.assertEqual(lookup("asn", "198.51.100.1", "autonomous_system_number"), "4294967295")
        self.assertEqual(lookup("kind", "203.0.113.1", "is_hosting_provider"), "true")
        self.assertEqual(lookup("through_pointers", "203.0.113.1", "location", "latitude"), "38.700000")


if __name__ == "__main__":
    unittest.main()
