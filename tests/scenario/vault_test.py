#!/usr/bin/python3
"""The vault and leases, as a device's owner and its issuer meet them on the command line.

usage: EARMARK=build/bin/earmark vault_test.py [unittest options]"""
import contextlib
import os
import shutil
import subprocess
import time
import unittest

from cli_test import COMMAND, STATUS, Case, read, write


class Vault(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        self.env["EARMARK_DEVICE"] = self.path("phone")

    def receive(self, name, *policy):
        self.deliver(name, *policy)
        return self.accept(name)["name"]

    def open(self, name, **more):
        return self.json("open", name, "-u", "alice", **more)

    def entry_file(self, entry, device="phone"):
        return self.path("%s/vault/%s.emkv" % (device, entry))

    def test_list_is_the_same_under_both_names(self):
        self.receive("ears", "--max-opens", "3")
        self.assertEqual(self.ok("vault", "list"), self.ok("device", "list"))
        self.assertEqual(self.json("vault", "list")["models"][0]["max_opens"], 3)

    def test_verify_finds_one_changed_byte(self):
        good, bad = self.receive("one"), self.receive("two")
        out = self.json("vault", "verify")
        self.assertEqual((out["good"], out["bad"]), (2, 0))
        data = bytearray(read(self.entry_file(bad)))
        data[len(data) // 2] ^= 1
        write(self.entry_file(bad), data)
        p = self.run_earmark("vault", "verify", "--json")
        self.assertEqual(p.returncode, 8, p.stderr)
        for line in (good, bad, b"E_SEALED"):
            self.assertIn(line if isinstance(line, bytes) else line.encode(), p.stdout)
        self.open("one")

    def test_opens_are_exact_under_64_processes(self):
        self.receive("ears", "--max-opens", "40")
        ways = (["open", "ears", "-u", "alice"],
                ["run", "ears", "-u", "alice", "--", "sh", "-c", "test -s $0", "{}"])
        started = [subprocess.Popen([*COMMAND, *ways[i % 2]], cwd=self.dir, env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE) for i in range(64)]
        ends = []
        for p in started:
            _, err = p.communicate(timeout=300)
            ends.append(p.returncode)
            self.assertIn(p.returncode, (0, STATUS["E_POLICY"]), err)
        self.assertEqual(ends.count(0), 40)
        self.assertEqual(self.json("vault", "list")["models"][0]["opens"], 40)
        self.refused("E_POLICY", "open", "ears", "-u", "alice")

    def test_purge_removes_what_is_over_and_nothing_else(self):
        self.receive("short", "--expires", "6s")
        self.receive("long")
        time.sleep(6.5)
        self.refused("E_POLICY", "open", "short", "-u", "alice")
        out = self.json("vault", "purge")
        self.assertEqual((out["removed"], out["asleep"], out["dead"]), (1, 0, 0))
        self.assertEqual([m["model"] for m in self.json("vault", "list")["models"]], ["long"])
        self.open("long")

    def test_rewrap_in_place_keeps_counters(self):
        entry = self.receive("ears", "--max-opens", "3")
        self.open("ears")
        before = read(self.entry_file(entry))
        self.assertEqual(self.json("vault", "rewrap")["rewrapped"], [entry])
        self.assertNotEqual(read(self.entry_file(entry)), before)
        self.assertEqual(self.open("ears")["opens_left"], 1)
        self.refused("E_NOT_FOUND", "vault", "rewrap", "0" * 32)
        self.assertEqual(self.json("vault", "rewrap", entry)["rewrapped"], [entry])

    def test_rewrap_moves_models_to_another_device(self):
        self.make_device("tablet")
        entry = self.receive("ears", "--max-opens", "5")
        self.open("ears")
        self.ok("vault", "rewrap", "--to", "tablet")
        self.assertFalse(os.path.exists(self.entry_file(entry)))
        self.assertTrue(os.path.exists(self.entry_file(entry, "tablet")))
        out = self.json("open", "ears", "-u", "alice", "--device", "tablet")
        self.assertEqual(out["opens_left"], 3)
        self.refused("E_NOT_FOUND", "open", "ears", "-u", "alice")
        out = self.json("vault", "verify", "--device", "tablet")
        self.assertEqual((out["good"], out["bad"]), (1, 0))

    def test_a_move_that_was_cut_short_is_finished_by_the_next(self):
        self.make_device("tablet")
        entry = self.receive("ears")
        self.ok("vault", "rewrap", "--to", "tablet")
        shutil.move(self.entry_file(entry, "tablet"), self.entry_file(entry))
        self.refused("E_STALE", "open", entry, "-u", "alice")
        self.ok("vault", "rewrap", "--to", "tablet")
        self.json("open", "ears", "-u", "alice", "--device", "tablet")

    def test_a_damaged_list_of_former_ids_is_told(self):
        for data, status in ((b"x", "E_FORMAT"), (b"x" * 999, "E_LIMIT")):
            write(self.path("phone/former"), data)
            self.refused(status, "vault", "list")


class FullDisk(Case):
    """The device on a disk of its own that is full."""

    def setUp(self):
        super().setUp()
        self.make_issuer()
        os.mkdir(self.path("phone"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs",
                           self.path("phone")], capture_output=True, check=False).returncode != 0:
            self.skipTest("no disk can be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.path("phone")], check=False)
        self.make_device()

    def fill(self):
        with open(self.path("phone/filler"), "wb", buffering=0) as f, \
                contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))

    def test_nothing_is_lost_on_a_full_disk(self):
        command = ["accept", "m.emk", "-t", "m.ticket", "--device", "phone"]
        self.deliver("m", "--max-opens", "3")
        self.fill()
        self.refused("E_IO", *command)
        self.assertEqual([n for n in os.listdir(self.path("phone/vault"))
                          if ".tmp-" in n or n.endswith(".emkv")], [])
        os.remove(self.path("phone/filler"))
        self.ok(*command)  # the request key still waited
        self.fill()
        self.refused("E_IO", "open", "m", "-u", "alice", "--device", "phone")
        os.remove(self.path("phone/filler"))
        out = self.json("open", "m", "-u", "alice", "--device", "phone")
        self.assertIn(out["opens_left"], (1, 2))  # one open at most went with it


class Lease(Vault):
    """Runs the vault's tests no second time: see load_tests."""

    def lease(self, ticket, out, *options):
        return self.json("lease", "issue", ticket, "-o", out, *options)

    def leased(self, name="ears", length="1h", *policy):
        self.deliver(name, "--lease", length, *policy)
        self.lease(name + ".ticket", name + ".lease")
        return self.json("accept", name + ".emk", "-t", name + ".ticket", "--lease",
                         name + ".lease")["name"]

    def test_a_ticket_with_a_lease_needs_one(self):
        self.deliver("ears", "--lease", "1h")
        self.refused("E_POLICY", "accept", "ears.emk", "-t", "ears.ticket")
        self.lease("ears.ticket", "ears.lease")
        self.json("accept", "ears.emk", "-t", "ears.ticket", "--lease", "ears.lease")
        self.open("ears")

    def test_it_is_shown_renewed_and_moves_the_end(self):
        entry = self.leased("ears", "1h")
        self.receive("free")
        shown = self.json("lease", "show")["leases"]
        self.assertEqual([s["name"] for s in shown], [entry])
        self.assertTrue(shown[0]["opens"])
        self.assertEqual(shown[0]["renew_at"] + 1800, shown[0]["until"])
        time.sleep(1.1)
        self.ok("lease", "request", entry, "-o", "again")
        self.assertTrue(self.lease("ears.ticket", "second", "--request", "again")["granted"])
        out = self.json("lease", "renew", "--answer", "second")
        self.assertTrue(out["granted"])
        self.assertGreater(out["until"], shown[0]["until"])
        self.refused("E_STALE", "lease", "renew", "--answer", "ears.lease")
        self.refused("E_USED", "lease", "issue", "ears.ticket", "--request", "again", "-o", "third")

    def test_it_ends_and_a_new_one_wakes_the_model(self):
        entry = self.leased("ears", "6s")
        self.open("ears")
        time.sleep(6.5)
        self.refused("E_POLICY", "open", "ears", "-u", "alice")
        self.assertEqual(self.json("vault", "purge")["asleep"], 1)
        self.ok("lease", "request", entry, "-o", "again")
        self.lease("ears.ticket", "second", "--request", "again")
        self.json("lease", "renew", "--answer", "second")
        self.open("ears")

    def test_a_refusal_puts_the_model_to_sleep(self):
        self.leased()
        time.sleep(1.1)
        self.lease("ears.ticket", "no", "--refuse", "revoked")
        out = self.json("lease", "renew", "--answer", "no")
        self.assertEqual((out["granted"], out["reason"]), (False, "revoked"))
        self.refused("E_POLICY", "open", "ears", "-u", "alice")
        time.sleep(1.1)
        self.lease("ears.ticket", "yes")
        self.json("lease", "renew", "--answer", "yes")
        self.open("ears")

    def test_what_makes_no_sense_is_refused(self):
        entry = self.receive("free")
        self.refused("E_USAGE", "lease", "request", entry, "-o", "x")
        self.refused("E_USAGE", "lease", "issue", "free.ticket", "-o", "x")
        self.refused("E_NOT_FOUND", "lease", "request", "0" * 32, "-o", "x")
        self.leased()
        self.usage("lease", "issue", "ears.ticket", "-o", "x", "--refuse", "because")
        self.refused("E_FORMAT", "lease", "renew", "--answer", "issuer/issuer.pub")
        self.refused("E_FORMAT", "lease", "renew", "--answer", "ears.ticket")
        self.deliver("more")
        self.usage("ticket", "more.request", "-o", "y", "--grace", "1h")
        self.make_device("tablet")
        self.refused("E_SEALED", "lease", "renew", "--answer", "ears.lease", "--device", "tablet")

    def test_a_request_of_another_model_is_refused(self):
        self.leased("one")
        entry = self.leased("two")
        self.ok("lease", "request", entry, "-o", "again")
        self.refused("E_POLICY", "lease", "issue", "one.ticket", "--request", "again", "-o", "x")


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    suite.addTests(loader.loadTestsFromTestCase(Vault))
    suite.addTests(loader.loadTestsFromTestCase(FullDisk))
    for name in vars(Lease):
        if name.startswith("test_"):
            suite.addTest(Lease(name))
    return suite


if __name__ == "__main__":
    unittest.main()
