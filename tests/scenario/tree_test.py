#!/usr/bin/python3
"""Models of several files: sealed as one, opened as the same tree, or refused with a reason.

usage: EARMARK=build/bin/earmark [EARMARK_UNDER=tools/with-libcrypto-3.5] tree_test.py [unittest options]"""
import glob
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_test import COMMAND, STATUS, ROOT, Case, read, write  # noqa: E402

MODELS = os.path.join(os.environ.get("EMK_SHARED", os.path.join(ROOT, "../shared")), "models")
MEMORY = "/dev/shm"


def files_below(folder):
    """Relative path -> bytes, of all regular files."""
    out = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            out[os.path.relpath(path, folder)] = read(path)
    return out


def safetensors(tensors):
    header, data = {}, b""
    for name, (dtype, shape, bytes_) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Tree(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        self.count = 0

    def put(self, name, data=b""):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, data)

    def ticket(self, name="m"):
        self.ok("request", "--device", "phone", "-m", name, "-u", "alice", "-o", "r")
        self.ok("ticket", "r", "-o", "t", "--max-opens", "50")

    def seal(self, *what):
        """Seals with a fresh ticket and accepts; returns the model's name and seal's report."""
        self.count += 1
        name = "m%d" % self.count
        self.ticket(name)
        out = self.json("seal", *what, "-t", "t", "-o", "s.emk")
        self.ok("accept", "s.emk", "-t", "t", "--device", "phone")
        return name, out

    def open(self, name, *more):
        return self.json("open", name, "-u", "alice", "--device", "phone", *more)

    def comes_back(self, name, expected):
        folder = "out-" + name
        out = self.open(name, "-o", folder, "--plaintext", "--sha256")
        self.assertEqual(files_below(self.path(folder)), expected)
        self.assertEqual({f["path"]: f["sha256"] for f in out["files"]},
                         {p: hashlib.sha256(b).hexdigest() for p, b in expected.items()})
        shutil.rmtree(self.path(folder))

    def refused_sealing(self, status, *what):
        self.ticket()
        text = self.refused(status, "seal", *what, "-t", "t", "-o", "no.emk")
        self.assertFalse(os.path.exists(self.path("no.emk")))
        return text

    def small_tree(self):
        self.put("m/model.safetensors", safetensors({"w": ("F32", [100], random.Random(2).randbytes(400))}))
        self.put("m/config.json", b'{"a": 1}')
        self.put("m/sub/deep/.hidden", b"x" * 70000)
        self.put("m/sub/empty", b"")
        return files_below(self.path("m"))


class RoundTrips(Tree):
    def test_every_sample_folder_comes_back(self):
        if not os.path.isdir(MODELS):
            self.skipTest(MODELS + " is not here")
        folders = sorted(glob.glob(MODELS + "/savedmodel/*") + glob.glob(MODELS + "/*/"))
        for folder in folders:
            folder = folder.rstrip("/")
            expected = files_below(folder)
            if os.path.basename(folder) == "savedmodel":
                continue
            for clear in ([], ["--clear", "structure"], ["--clear", "small-int"]):
                if clear and os.path.basename(folder) in ("images", "graphdef"):
                    continue  # nothing in it that is known without being told
                with self.subTest(folder=folder, clear=clear):
                    name, out = self.seal(folder, *clear)
                    self.assertEqual([f["path"] for f in out["files"]],
                                     sorted(expected, key=lambda p: p.replace("/", "\0")))
                    self.comes_back(name, expected)
                    if not clear:
                        self.assertEqual(out["left_clear"], 0)
                    print("%-44s %-17s %9d bytes %4d tensors %5.1f %% weights %8d clear" % (
                        os.path.relpath(folder, MODELS), (clear or ["", "sealed"])[1],
                        out["model_size"], out["tensors"], out["weights"] * 100,
                        out["left_clear"]))

    def test_hidden_and_empty_files_and_folders_in_folders(self):
        expected = self.small_tree()
        name, out = self.seal("m")
        self.assertEqual(out["format"], "safetensors")
        self.comes_back(name, expected)

    def test_a_folder_of_one_file_stays_a_folder(self):
        self.put("one/only", b"data")
        name, _ = self.seal("one")
        self.comes_back(name, {"only": b"data"})

    def test_files_named_one_by_one_get_their_last_names(self):
        self.put("a/x.bin", b"1" * 1000)
        self.put("b/y.bin", b"2" * 1000)
        name, _ = self.seal("b/y.bin", "a/x.bin")
        self.comes_back(name, {"x.bin": b"1" * 1000, "y.bin": b"2" * 1000})

    def test_one_file_stays_a_file(self):
        self.put("f", b"3" * 1000)
        name, out = self.seal("f")
        self.assertNotIn("files", out)
        self.open(name, "-o", "out", "--plaintext")
        self.assertEqual(read(self.path("out")), b"3" * 1000)

    def test_structure_stays_clear_and_weights_do_not(self):
        files = self.small_tree()
        self.ticket("clear")
        out = self.json("seal", "m", "-t", "t", "-o", "s", "--clear", "structure")
        accepted = self.json("accept", "s", "-t", "t", "--device", "phone")
        vault = read(self.path("phone/vault/%s.emkv" % accepted["name"]))
        model = files["model.safetensors"]
        self.assertIn(model[:-400], vault)
        self.assertEqual(out["left_clear"], len(model) - 400)
        self.assertNotIn(model[-400:-368], vault)
        self.assertNotIn(b"x" * 32, vault)  # of no known format: sealed all the same
        self.assertNotIn(files["config.json"], vault)


class Coverage(Tree):
    def test_seal_and_inspect_agree(self):
        self.small_tree()
        _, sealed = self.seal("m")
        seen = self.json("inspect", "--model", "m")
        self.assertEqual(seen["parts"], [f["path"] for f in sealed["files"]])
        self.assertEqual(seen["weight_bytes"], sealed["weight_bytes"])
        self.assertEqual(seen["coverage"], sealed["weights"])
        self.assertEqual(seen["not_listed"], {"unknown-files": 70008})
        start = len(read(self.path("m/model.safetensors"))) - 400
        self.assertEqual(seen["spans"], [{"part": 1, "offset": start, "length": 400, "name": "w",
                                          "dtype": "f32", "shape": [100], "kind": "weight"}])

    def test_spans_lie_in_their_parts_for_every_sample(self):
        if not os.path.isdir(MODELS):
            self.skipTest(MODELS + " is not here")
        for folder in sorted(glob.glob(MODELS + "/*/") + glob.glob(MODELS + "/savedmodel/*")):
            if folder.endswith(("/images/", "/graphdef/", "/savedmodel/")):
                continue
            out = self.json("inspect", "--model", folder)
            self.assertNotIn("problem", out, folder)
            for span in out["spans"]:
                size = os.path.getsize(os.path.join(folder, out["parts"][span["part"]]))
                self.assertLessEqual(span["offset"] + span["length"], size, span)

    def test_low_coverage_warns_and_strict_refuses(self):
        self.small_tree()
        self.ticket("low")
        self.refused("E_UNSUPPORTED", "seal", "m", "-t", "t", "-o", "s", "--strict")
        p = self.run_earmark("seal", "m", "-t", "t", "-o", "s")
        self.assertEqual(p.returncode, 0)
        self.assertIn(b"low coverage: only 0 % of the model", p.stderr)
        self.put("good/m.safetensors", safetensors({"w": ("F32", [25000], random.Random(3).randbytes(100000))}))
        self.ticket("high")
        p = self.run_earmark("seal", "good", "-t", "t", "-o", "s", "--strict")
        self.assertEqual((p.returncode, p.stderr), (0, b""))

    def test_small_integers_stay_clear_only_when_asked(self):
        data = bytes(range(1, 33))
        self.put("k/m.safetensors", safetensors({"shape": ("I64", [4], data),
                                                 "w": ("F32", [1000], random.Random(4).randbytes(4000))}))
        left = {}
        for clear in ("structure", "small-int"):
            name, out = self.seal("k", "--clear", clear)
            left[clear] = out["left_clear"]
            self.comes_back(name, files_below(self.path("k")))
        self.assertEqual(left["small-int"], left["structure"] + 32)

    def test_a_model_needs_all_its_files(self):
        index = json.dumps({"weight_map": {"w": "model-00001.safetensors"}}).encode()
        self.put("i/model.safetensors.index.json", index)
        text = self.refused_sealing("E_UNSUPPORTED", "i/model.safetensors.index.json")
        self.assertIn("fix: Seal the folder that holds all its files", text)
        self.put("i/other", b"")
        text = self.refused_sealing("E_NOT_FOUND", "i")
        self.assertIn("model-00001.safetensors", text)
        self.assertIn("fix: Seal the folder that holds all its files", text)
        self.put("i/model-00001.safetensors", safetensors({"w": ("F32", [1], b"1234")}))
        name, out = self.seal("i")
        self.assertEqual(out["format"], "safetensors")
        self.comes_back(name, files_below(self.path("i")))
        self.seal("i/other", "i/model.safetensors.index.json", "--whole")


class Refusals(Tree):
    def test_links_fifos_and_sockets(self):
        self.put("m/file", b"x")
        os.symlink("file", self.path("m/link"))
        self.assertIn("link", self.refused_sealing("E_UNSUPPORTED", "m"))
        os.unlink(self.path("m/link"))
        os.symlink("/", self.path("m/root"))
        self.assertIn("root", self.refused_sealing("E_UNSUPPORTED", "m"))
        os.unlink(self.path("m/root"))
        os.mkfifo(self.path("m/pipe"))
        self.assertIn("pipe", self.refused_sealing("E_UNSUPPORTED", "m"))

    def test_names_no_model_can_have(self):
        for bad in (b"back\\slash", b"esc\x1bape", b"\xff", b"n" * 200 + b"/" + b"n" * 100):
            self.put("m/file", b"x")
            path = os.path.join(os.fsencode(self.path("m")), bad)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(path, b"x")
            text = self.refused_sealing("E_FORMAT", "m")
            self.assertNotIn("\x1b", text)
            shutil.rmtree(os.fsencode(self.path("m")))

    def test_empty_folders_two_folders_and_names_twice(self):
        os.makedirs(self.path("m/empty"))
        self.refused_sealing("E_USAGE", "m")
        self.put("m/a/f", b"x")
        self.put("m/b/f", b"x")
        self.refused_sealing("E_USAGE", "m/a", "m/b")
        self.assertIn("(f)", self.refused_sealing("E_USAGE", "m/a/f", "m/b/f"))
        self.refused_sealing("E_NOT_FOUND", "m/a/f", "m/absent")

    def test_too_many_files(self):
        for i in range(513):
            self.put("m/%d" % i, b"")
        self.refused_sealing("E_LIMIT", "m")
        os.unlink(self.path("m/0"))
        name, _ = self.seal("m")
        self.assertEqual(len(self.open(name)["files"]), 512)

    def test_open_writes_only_into_a_new_or_empty_folder(self):
        expected = self.small_tree()
        name, _ = self.seal("m")
        self.put("full/something", b"x")
        for where in ("full", "full/something"):
            p = self.run_earmark("open", name, "-u", "alice", "--device", "phone", "-o", where,
                                 "--plaintext")
            self.assertIn(p.returncode, (STATUS["E_USED"], STATUS["E_IO"]))
        self.assertEqual(files_below(self.path("full")), {"something": b"x"})
        self.usage("open", name, "-u", "alice", "--device", "phone", "-o", "-", "--plaintext")
        os.mkdir(self.path("empty"))
        self.open(name, "-o", "empty", "--plaintext")
        self.assertEqual(files_below(self.path("empty")), expected)

    def test_nothing_is_left_of_a_failed_open(self):
        if not os.path.isdir(MEMORY):
            self.skipTest("no small file system to fill")
        self.put("m/a/first", b"x" * 1000)
        self.put("m/b/second", b"y" * 300000)
        name, _ = self.seal("m")
        # a limit on the size of files stands for a full disk
        p = subprocess.run(["sh", "-c", "ulimit -f 16; trap '' XFSZ; exec \"$@\"", "sh", *COMMAND,
                            "open", name, "-u", "alice", "--device", "phone", "-o", "out",
                            "--plaintext"], cwd=self.dir, env=self.env, capture_output=True)
        self.assertEqual(p.returncode, STATUS["E_IO"], p.stderr)
        self.assertFalse(os.path.exists(self.path("out")))
        os.mkdir(self.path("out"))
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_changes_while_sealing(self):
        big = self.path("m/big")
        self.put("m/big", bytes(64 << 20))
        self.ticket()
        p = subprocess.Popen([*COMMAND, "seal", "m", "-t", "t", "-o", "s"], cwd=self.dir,
                             env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while p.poll() is None:
            os.utime(big)
            time.sleep(0.001)
        err = p.communicate()[1].decode()
        self.assertEqual(p.returncode, STATUS["E_IO"], err)
        self.assertIn("changed while it was sealed (big", err)
        self.assertFalse(os.path.exists(self.path("s")))
        self.ok("seal", "m", "-t", "t", "-o", "s")  # the ticket is still good


@unittest.skipUnless(os.path.isdir(MEMORY), "no file system in memory here")
class Run(Tree):
    def mine(self):
        return {p for p in glob.glob(MEMORY + "/earmark-*") if os.stat(p).st_uid == os.getuid()}

    def run_model(self, name, *command):
        return self.run_earmark("run", name, "-u", "alice", "--device", "phone", "--", *command)

    def test_the_program_finds_the_tree_in_memory(self):
        expected = self.small_tree()
        name, _ = self.seal("m")
        before = self.mine()
        p = self.run_model(name, "sh", "-c", "cd {} && pwd && stat -c %a . && find . -type f | sort"
                           " && cat model.safetensors")
        self.assertEqual(p.returncode, 0, p.stderr)
        text = "\n700\n./config.json\n./model.safetensors\n./sub/deep/.hidden\n./sub/empty\n"
        self.assertIn(text.encode() + expected["model.safetensors"], p.stdout)
        self.assertTrue(p.stdout.startswith(b"/dev/shm/earmark-"))
        self.assertEqual(self.mine() - before, set())

    def test_it_is_gone_after_failures_and_signals(self):
        self.small_tree()
        name, _ = self.seal("m")
        before = self.mine()
        self.assertEqual(self.run_model(name, "false", "{}").returncode, 1)
        self.assertEqual(self.run_model(name, "no-such-program", "{}").returncode,
                         STATUS["E_NOT_FOUND"])
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            p = subprocess.Popen([*COMMAND, "run", name, "-u", "alice", "--device", "phone", "--",
                                  "sh", "-c", "echo; exec sleep 60 # {}"], cwd=self.dir,
                                 env=self.env, stdout=subprocess.PIPE)
            p.stdout.readline()
            self.assertEqual(len(self.mine() - before), 1)
            p.send_signal(sign)
            self.assertEqual(p.wait(10), 128 + sign)
            p.stdout.close()
            self.assertEqual(self.mine() - before, set())

    def test_a_signal_before_the_program_starts_leaves_nothing(self):
        self.put("m/a", bytes(8 << 20))
        self.put("m/b", bytes(8 << 20))
        name, _ = self.seal("m")
        before = self.mine()
        for delay in (0.01, 0.03, 0.05, 0.08, 0.1):
            p = subprocess.Popen([*COMMAND, "run", name, "-u", "alice", "--device", "phone", "--",
                                  "sleep", "60", "{}"], cwd=self.dir, env=self.env,
                                 stderr=subprocess.DEVNULL)
            time.sleep(delay)
            p.send_signal(signal.SIGTERM)
            self.assertNotEqual(p.wait(10), 0)
            self.assertEqual(self.mine() - before, set())

    def test_what_the_program_adds_is_removed_and_no_link_followed(self):
        self.small_tree()
        self.put("other/kept", b"x")
        name, _ = self.seal("m")
        before = self.mine()
        p = self.run_model(name, "sh", "-c", "cd {} && mkdir -p d/e && echo mine > d/e/added && "
                           "rm config.json && ln -s " + self.path("other") + " link")
        self.assertEqual((p.returncode, p.stderr), (0, b""))
        self.assertEqual(self.mine() - before, set())
        self.assertEqual(files_below(self.path("other")), {"kept": b"x"})


if __name__ == "__main__":
    unittest.main(verbosity=1)
