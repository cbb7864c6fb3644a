#!/usr/bin/python3
"""The command line as its users meet it: every command, every refusal, and garbage in every
place where a file is expected.

usage: EARMARK=build/bin/earmark [EARMARK_UNDER=tools/with-libcrypto-3.5] cli_test.py [unittest options]"""
import fcntl
import glob
import hashlib
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EARMARK = os.path.abspath(os.environ.get("EARMARK", os.path.join(ROOT, "build/bin/earmark")))
COMMAND = [os.environ["EARMARK_UNDER"], EARMARK] if os.environ.get("EARMARK_UNDER") else [EARMARK]
FORGE = os.path.join(ROOT, "tools/demo-forge")
USAGE = 64
STATUS = {"E_USAGE": 1, "E_NO_MEMORY": 2, "E_IO": 3, "E_FORMAT": 4, "E_LIMIT": 5,
          "E_UNSUPPORTED": 6, "E_SIGNATURE": 7, "E_SEALED": 8, "E_POLICY": 9, "E_USED": 10,
          "E_STALE": 11, "E_NOT_FOUND": 12, "E_BUSY": 13, "E_KEY_LOST": 14, "E_CRYPTO": 15}
COMMANDS = ["issuer init", "issuer enrol", "issuer sealing-key", "device init", "device certify",
            "device pcr-policy", "device list", "device remove", "request", "ticket", "seal",
            "accept", "open", "run", "vault list", "vault verify", "vault purge", "vault rewrap",
            "lease request", "lease issue", "lease renew", "lease show", "enrol", "fetch", "renew",
            "events send", "events status", "publish", "inspect", "doctor",
            "version", "completion", "help"]
TIMEOUT = 60


def read(path, mode="rb"):
    with open(path, mode) as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


class Case(unittest.TestCase):
    """A temporary directory to work in, and ways to run earmark there."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="earmark-cli-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.dir,
                    "LC_ALL": "C.UTF-8"}
        for name, value in os.environ.items():
            if name.endswith("SAN_OPTIONS") or name in ("LD_LIBRARY_PATH", "EMK_LIBCRYPTO_CACHE"):
                self.env[name] = value

    def path(self, name):
        return os.path.join(self.dir, name)

    def run_earmark(self, *args, stdin=b"", env=None, **more):
        return subprocess.run([*COMMAND, *args], cwd=self.dir, env=dict(self.env, **(env or {})),
                              input=stdin, capture_output=True, timeout=TIMEOUT,
                              start_new_session=True, **more)

    def ok(self, *args, **more):
        p = self.run_earmark(*args, **more)
        self.assertEqual(p.returncode, 0, (args, p.stderr.decode("utf-8", "replace")))
        return p.stdout

    def json(self, *args, **more):
        out = json.loads(self.ok(*args, "--json", **more))
        self.assertIs(out["ok"], True)
        return out

    def refused(self, status, *args, **more):
        """Ends with this status, says so with a fix, and is the same in JSON."""
        before, more_words = list(args), []
        if "--" in before:
            more_words = before[before.index("--"):]
            before = before[:before.index("--")]
        p = self.run_earmark(*before, *more_words, **more)
        text = p.stderr.decode()
        self.assertEqual(p.returncode, STATUS[status], (args, text))
        self.assertRegex(text, r"(?m)^earmark: %s: .+\n  fix: \S" % status)
        p = self.run_earmark(*before, "--json", *more_words, **more)
        where = p.stderr if before[0] == "run" else p.stdout
        out = json.loads(where)
        self.assertEqual(p.returncode, STATUS[status])
        self.assertEqual((out["ok"], out["status"], out["exit"]),
                         (False, status, STATUS[status]))
        self.assertTrue(out["what"] and out["fix"])
        return text

    def usage(self, *args, **more):
        p = self.run_earmark(*args, **more)
        self.assertEqual(p.returncode, USAGE, (args, p.stderr))
        return p.stderr.decode()

    # --- the usual cast

    def make_issuer(self):
        self.env["EARMARK_ISSUER"] = self.path("issuer")
        self.ok("issuer", "init")

    def make_device(self, name="phone", issuer="issuer"):
        self.ok("device", "init", "--device", name, "--issuer", issuer)
        self.ok("issuer", "enrol", "--device", name, "--issuer", issuer)

    def make_model(self, size=300000):
        write(self.path("model.bin"), random.Random(1).randbytes(size))
        return self.path("model.bin")

    def deliver(self, name, *policy, device="phone"):
        """Request, ticket and sealed model, as <name>.request, .ticket, .emk."""
        if not os.path.exists(self.path("model.bin")):
            self.make_model()
        self.ok("request", "--device", device, "-m", name, "-u", "alice", "-o", name + ".request")
        self.ok("ticket", name + ".request", "-o", name + ".ticket", *policy)
        self.ok("seal", "model.bin", "-t", name + ".ticket", "-o", name + ".emk")

    def accept(self, name, device="phone", **more):
        return self.json("accept", name + ".emk", "-t", name + ".ticket", "--device", device,
                         **more)

    def forge(self, *args):
        subprocess.run([sys.executable, FORGE, *args], cwd=self.dir, check=True)


class Words(Case):
    """Help, manual, completion, and command lines that make no sense."""

    def test_version_names_libcrypto(self):
        self.assertIn("OpenSSL", self.json("version")["libcrypto"])
        self.assertEqual(self.ok("--version"), self.ok("version"))

    def test_help_lists_every_command(self):
        text = self.ok("help").decode()
        for name in COMMANDS:
            self.assertRegex(text, r"(?m)^  %s  +\S" % name)
        self.assertEqual(self.ok("--help").decode(), text)

    def test_every_help_teaches(self):
        for name in COMMANDS:
            text = self.ok(*name.split(), "--help").decode()
            self.assertEqual(text, self.ok("help", *name.split()).decode())
            self.assertTrue(text.startswith("earmark %s: " % name))
            for part in ("\nUsage: earmark %s" % name, "\nOptions:\n", "\nExamples:\n  # ",
                         "\nExit status:\n", "--json"):
                self.assertIn(part, text, name)
            self.assertLessEqual(max(len(line) for line in text.split("\n")), 100, name)

    def test_examples_in_help_parse(self):
        """An example's options exist: each would be refused as a usage error otherwise."""
        for name in COMMANDS:
            text = self.ok(*name.split(), "--help").decode()
            for option in re.findall(r"\n  earmark [^\n]*", text.split("\nExamples:\n")[1]):
                for word in re.findall(r" (--[a-z-]+)", option.split(" -- ")[0]):
                    self.assertIn(word, text, option)

    def test_groups_have_help(self):
        self.assertIn("issuer enrol", self.ok("help", "issuer").decode())
        self.assertIn("device list", self.ok("device", "--help").decode())
        self.assertIn("device list", self.usage("device"))

    def test_exit_codes_are_documented(self):
        codes = {c["status"]: c["exit"] for c in self.json("help", "exit-codes")["exit_codes"]}
        self.assertEqual({k: v for k, v in codes.items() if v}, STATUS)

    def test_manual_pages_are_well_formed(self):
        for name in [[]] + [c.split() for c in COMMANDS]:
            page = self.ok("help", "--man", *name)
            self.assertTrue(page.startswith(b'.TH "EARMARK'))
            if not shutil.which("man"):
                continue
            p = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-"], input=page,
                               capture_output=True, env=dict(self.env, MANWIDTH="100"))
            self.assertEqual((p.returncode, p.stderr), (0, b""), name)
            self.assertIn(b"EXIT STATUS", p.stdout)

    def bash_completes(self, *words):
        script = ("source /dev/stdin; shift 0; COMP_WORDS=(%s); COMP_CWORD=%d; _earmark; "
                  "echo ${COMPREPLY[@]}" % (" ".join("'%s'" % w for w in words), len(words) - 1))
        p = subprocess.run(["bash", "-c", script], input=self.ok("completion", "bash"),
                           capture_output=True, cwd=self.dir)
        self.assertEqual(p.stderr, b"")
        return p.stdout.decode().split()

    def test_bash_completes_commands_and_options(self):
        self.assertEqual(self.bash_completes("earmark", "se"), ["seal"])
        self.assertEqual(self.bash_completes("earmark", "issuer", "e"), ["enrol"])
        self.assertEqual(self.bash_completes("earmark", "issuer", "init", "--as"),
                         ["--ask-passphrase"])
        self.assertEqual(self.bash_completes("earmark", "ticket", "--max"), ["--max-opens"])
        write(self.path("some.ticket"), b"")
        self.assertEqual(self.bash_completes("earmark", "seal", "--ticket", "some"),
                         ["some.ticket"])

    def test_other_shells_take_their_scripts(self):
        for shell, check in (("zsh", ["-n"]), ("fish", ["--no-execute"])):
            script = self.ok("completion", shell)
            self.assertIn(b"sealing-key", script)
            if shutil.which(shell):
                write(self.path("script"), script)
                p = subprocess.run([shell, *check, self.path("script")], capture_output=True)
                self.assertEqual((p.returncode, p.stderr), (0, b""), shell)

    def test_wrong_words_are_named_with_the_nearest_right_one(self):
        for args, expect in (
                (["sael"], 'no command "sael"; did you mean "seal"?'),
                (["issuer", "inti"], 'no command "issuer inti"; did you mean "issuer init"?'),
                (["seal", "--tikcet", "x"], "no option --tikcet; did you mean --ticket?"),
                (["seal", "-x"], "no option -x"),
                (["seal"], "MODEL is missing"),
                (["seal", "m", "-o", "x"], "--ticket FILE is missing"),
                (["accept", "m", "n"], "one word too many: n"),
                (["seal", "m", "--ticket"], "--ticket needs a value"),
                (["seal", "m", "-t", "a", "-t", "b"], "--ticket is given twice"),
                (["open", "m", "--sha256=x"], "--sha256 takes no value"),
                (["run", "m", "cat"], "put -- before the command"),
                (["run", "m"], "command to run is missing"),
                (["run", "m", "--", "cat"], "has no {}"),
                (["open", "m", "-o", "x"], "--plaintext"),
                (["seal", "m", "-t", "t", "-o", "-"], "needs a file"),
                (["completion", "csh"], "bash, zsh, fish"),
                (["version", "--key\x1b[31m"], "no option --key\\u{1b}[31m")):
            text = self.usage(*args)
            self.assertIn(expect, text)
            self.assertIn("\n  fix: ", text)
            p = self.run_earmark("--json", *args)
            self.assertEqual(json.loads(p.stdout or p.stderr)["exit"], USAGE)

    def test_no_words_show_the_commands(self):
        self.assertIn("Usage: earmark COMMAND", self.usage())

    def test_options_are_taken_in_every_form(self):
        self.make_issuer()
        for form in (["--device=d1"], ["--device", "d2"]):
            self.ok("device", "init", *form)
        self.ok("issuer", "enrol", "--device", "d1")
        for i, form in enumerate((["-ox.1"], ["-o", "x.2"], ["--output=x.3"], ["-qox.4"])):
            self.ok("request", "--device", "d1", "-mcat", "--user=alice", *form)
            self.assertTrue(os.path.exists(self.path("x.%d" % (i + 1))))

    def test_output_that_cannot_be_written_is_an_error(self):
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                p = subprocess.run([*COMMAND, "version"], stdout=full, stderr=subprocess.PIPE)
            self.assertEqual(p.returncode, STATUS["E_IO"])


class Machine(Case):
    def test_doctor_says_what_there_is(self):
        out = self.json("doctor")
        self.assertEqual(set(out) - {"ok"},
                         {"processor", "algorithms", "memory", "device_keys", "advice"})
        self.assertIs(out["device_keys"]["hardware_keys"], False)
        self.assertIn("software keys", " ".join(out["advice"]))
        self.assertIn("aes", self.ok("doctor").decode())

    def test_doctor_judges_a_model(self):
        write(self.path("m"), bytes(5000))
        self.assertEqual(self.json("doctor", "--for", "m")["memory"]["model"], 5000)
        self.refused("E_NOT_FOUND", "doctor", "--for", "absent")


class Times(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()

    def expires(self, text):
        self.ok("request", "--device", "phone", "-m", "m", "-u", "a", "-o", "r")
        return self.json("ticket", "r", "-o", "t", "--expires", text)["policy"]["expires"]

    def test_durations_count_from_now(self):
        for text, seconds in (("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000),
                              ("2w", 1209600), ("1y", 31536000), ("1d12h", 129600)):
            self.assertAlmostEqual(self.expires(text), time.time() + seconds, delta=5)

    def test_points_in_time_are_understood(self):
        for text, seconds in (("2096-02-29", 3981312000), ("2050-01-01T00:00:00Z", 2524608000),
                              ("2050-01-01T02:00:00+02:00", 2524608000),
                              ("2049-12-31T22:30:00.5-01:30", 2524608000),
                              ("@2524608000", 2524608000)):
            self.assertEqual(self.expires(text), seconds)

    def test_nonsense_is_refused(self):
        self.ok("request", "--device", "phone", "-m", "m", "-u", "a", "-o", "r")
        for text in ("", "30", "30x", "d", "-1d", "1e3s", "2099-02-29", "2099-13-01", "2050-01-01T",
                     "2050-01-01T25:00:00Z", "2050-01-01T00:00:00", "101y", "0s", "2001-01-01",
                     "99999999999999999999999s", "@", "@-1", "1d 2h", "2050-01-01T00:00:00+25:00"):
            self.usage("ticket", "r", "-o", "t", "--expires", text)
        for option in ("--max-opens=0", "--max-opens=-1", "--max-opens=x", "--min-guard=4",
                       "--memory=fast", "--valid=0s", "--not-before=31d", "--not-before=16m"):
            self.usage("ticket", "r", "-o", "t", option)
        self.ok("ticket", "r", "-o", "t")       # none of them used the request up


class Guard(Case):
    def test_single_signals_are_overridden_by_name(self):
        plain = self.json("doctor", "--guard")
        self.assertIn("memory_read", [s["signal"] for s in plain["signals"]])
        name = "developer"      # nothing here finds it
        self.assertEqual(self.json("doctor", "--guard", "--override", name + "=wipe")["guard"]["strict"],
                         plain["guard"]["strict"])
        for wrong in (name, name + "=", "=wipe", name + "=explode", "no_such=wipe", name + "=nothing"):
            self.usage("doctor", "--guard", "--override", wrong)

    def test_a_preloaded_library_does_what_the_override_says_unless_it_is_allowed(self):
        library = subprocess.run(["ldconfig", "-p"], stdout=subprocess.PIPE, check=False).stdout.decode().split()
        path = next((w for w in library if w.endswith("/libz.so.1")), None)
        if not path or os.environ.get("LD_PRELOAD"):
            self.skipTest("no library to preload")
        self.env["LD_PRELOAD"] = path
        found = {s["signal"]: s for s in self.json("doctor", "--guard", "--override", "preload=wipe")["signals"]}
        if found["preload"]["found"] == "no":
            self.skipTest("this program is not loaded as programs are")
        self.assertEqual([found["preload"][level] for level in ("report", "careful", "strict")], ["wipe"] * 3)
        found = {s["signal"]: s for s in self.json("doctor", "--guard", "--allow", "libz.so.1")["signals"]}
        self.assertEqual(found["preload"]["found"], "no")

    def test_an_entry_bound_to_a_guard_is_no_damage(self):
        self.make_issuer()
        self.make_device()
        self.deliver("bound", "--min-guard", "2")
        p = self.run_earmark("accept", "bound.emk", "-t", "bound.ticket", "--device", "phone", "--guard", "careful")
        if p.returncode != 0:
            self.skipTest("a guard refuses here: " + p.stderr.decode())
        listed = self.json("vault", "list", "--device", "phone")["models"][0]
        self.assertEqual(listed["status"], "E_POLICY")
        self.assertIn("guard", listed["why"])
        self.assertIn("--guard", listed["advice"])
        self.assertEqual(self.json("device", "list", "--device", "phone")["models"][0]["why"], listed["why"])
        verdict = self.json("vault", "verify", "--device", "phone")
        self.assertEqual((verdict["good"], verdict["bad"], verdict["not_checked"]), (0, 0, 1))
        verdict = self.json("vault", "verify", "--device", "phone", "--guard", "careful")
        self.assertEqual((verdict["good"], verdict["bad"]), (1, 0))


class Life(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        self.model = read(self.make_model())
        self.hash = hashlib.sha256(self.model).hexdigest()

    def test_the_ten_lines_of_the_quickstart(self):
        env = {"EARMARK_ISSUER": "", "EARMARK_DEVICE": ""}
        for line in ("issuer init", "device init", "issuer enrol",
                     "request --model cat-ears --user alice -o cat.request",
                     "ticket cat.request --expires 30d --max-opens 100 -o cat.ticket",
                     "seal model.bin --ticket cat.ticket -o cat.emk",
                     "accept cat.emk --ticket cat.ticket"):
            self.ok(*line.split(), env=env)
        out = self.json(*"open cat-ears --user alice --sha256".split(), env=env)
        self.assertEqual((out["sha256"], out["size"], out["opens_left"]),
                         (self.hash, len(self.model), 99))
        out = self.ok(*"run cat-ears --user alice -- sha256sum {}".split(), env=env)
        self.assertEqual(out.split()[0].decode(), self.hash)
        self.ok("inspect", "cat.emk", env=env)
        self.assertTrue(os.path.isdir(self.path(".local/share/earmark/device/vault")))

    def test_two_machines_exchange_messages_by_pipes(self):
        self.ok("device", "init", "--device", "tablet", "--issuer", "issuer/issuer.pub")
        cert = self.ok("issuer", "enrol", "-", "-o", "-",
                       stdin=read(self.path("tablet/device.enrolment")))
        self.ok("device", "certify", "-", "--device", "tablet", stdin=cert)
        request = self.ok("request", "-m", "m", "-u", "u", "-o", "-", "--device", "tablet")
        ticket = self.ok("ticket", "-", "-o", "-", stdin=request)
        self.ok("seal", "model.bin", "-t", "-", "-o", "m.emk", stdin=ticket)
        self.ok("accept", "m.emk", "-t", "-", "--device", "tablet", stdin=ticket)
        self.assertEqual(self.json("inspect", "-", stdin=ticket)["kind"], "ticket")

    def test_open_writes_only_with_plaintext(self):
        self.deliver("m")
        self.accept("m")
        self.usage("open", "m", "-u", "alice", "--device", "phone", "-o", "out")
        self.assertFalse(os.path.exists(self.path("out")))
        self.ok("open", "m", "-u", "alice", "--device", "phone", "-o", "out", "--plaintext")
        self.assertEqual(read(self.path("out")), self.model)
        self.refused("E_USED", "open", "m", "-u", "alice", "--device", "phone", "-o", "out",
                     "--plaintext")
        self.assertEqual(self.ok("open", "m", "-u", "alice", "--device", "phone", "-o", "-",
                                 "--plaintext"), self.model)
        said = self.ok("open", "m", "-u", "alice", "--device", "phone").decode()
        self.assertIn("nothing was written", said)

    def test_nothing_of_the_model_is_on_disk(self):
        self.deliver("m")
        self.accept("m")
        self.ok("run", "m", "-u", "alice", "--device", "phone", "--", "cat", "{}")
        os.remove(self.path("model.bin"))
        for folder, _, names in os.walk(self.dir):
            for name in names:
                self.assertNotIn(self.model[1000:1032], read(os.path.join(folder, name)))

    def test_keys_are_for_their_owner_alone(self):
        self.deliver("m")
        self.accept("m")
        for name in ("issuer/issuer.key", "issuer/sealing.key", "phone/keys/keys"):
            self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), 0o600, name)
        for name in ("issuer", "phone", "phone/keys", "phone/vault"):
            self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), 0o700, name)
        os.chmod(self.path("issuer/issuer.key"), 0o644)
        self.ok("request", "--device", "phone", "-m", "x", "-u", "a", "-o", "r")
        self.assertIn("chmod 600", self.refused("E_USAGE", "ticket", "r", "-o", "t"))

    def test_keys_are_never_replaced(self):
        key = read(self.path("issuer/issuer.key"))
        self.refused("E_USED", "issuer", "init")
        self.refused("E_USED", "device", "init", "--device", "phone", "--issuer", "issuer")
        self.assertEqual(read(self.path("issuer/issuer.key")), key)

    def test_software_keys_are_called_so(self):
        p = self.run_earmark("issuer", "init", "--issuer", "other")
        self.assertIn(b"not hardware", p.stderr)
        self.assertIs(self.json("issuer", "init", "--issuer", "third")["hardware"], False)
        out = self.json("device", "init", "--device", "d", "--issuer", "third")
        self.assertIs(out["hardware"], False)
        self.assertIn("not hardware", out["keys"])

    def test_a_sealer_needs_no_issuer_key(self):
        os.rename(self.path("issuer/issuer.key"), self.path("elsewhere"))
        self.ok("request", "--device", "phone", "-m", "m", "-u", "a", "-o", "r")
        self.refused("E_NOT_FOUND", "ticket", "r", "-o", "t")
        os.rename(self.path("elsewhere"), self.path("issuer/issuer.key"))
        self.ok("ticket", "r", "-o", "t")
        os.remove(self.path("issuer/issuer.key"))
        self.ok("seal", "model.bin", "-t", "t", "-o", "m.emk")

    def test_a_sealing_key_is_renewed_and_expires(self):
        self.ok("issuer", "sealing-key", "--valid", "1s")
        time.sleep(2.1)
        self.ok("request", "--device", "phone", "-m", "m", "-u", "alice", "-o", "r")
        self.ok("ticket", "r", "-o", "t")
        text = self.refused("E_POLICY", "seal", "model.bin", "-t", "t", "-o", "m.emk")
        self.assertIn("issuer sealing-key", text)
        self.ok("issuer", "sealing-key")
        self.ok("seal", "model.bin", "-t", "t", "-o", "m.emk")
        self.ok("accept", "m.emk", "-t", "t", "--device", "phone")

    def test_a_failed_sealing_leaves_the_ticket_good(self):
        self.ok("request", "--device", "phone", "-m", "m", "-u", "alice", "-o", "r")
        self.ok("ticket", "r", "-o", "t")
        self.refused("E_NOT_FOUND", "seal", "model.bin", "-t", "t", "-o", "no/such/folder/m.emk")
        self.refused("E_NOT_FOUND", "seal", "absent", "-t", "t", "-o", "m.emk")
        self.assertEqual(os.listdir(self.path("issuer/redeemed")), [])
        self.ok("seal", "model.bin", "-t", "t", "-o", "m.emk")
        self.assertEqual(len(os.listdir(self.path("issuer/redeemed"))), 1)

    def test_every_way_of_sealing_opens(self):
        for i, options in enumerate((["--cipher", "chacha"], ["--whole"], ["--no-digests"],
                                     ["--cipher=aes"])):
            name = "m%d" % i
            self.ok("request", "--device", "phone", "-m", name, "-u", "alice", "-o", "r")
            self.ok("ticket", "r", "-o", "t")
            self.ok("seal", "model.bin", "-t", "t", "-o", "s", *options)
            self.ok("accept", "s", "-t", "t", "--device", "phone")
            self.assertEqual(self.json("open", name, "-u", "alice", "--sha256", "--device",
                                       "phone")["sha256"], self.hash)
        for options in (["--cipher", "rot13"], ["--format", "word"],
                        ["--whole", "--clear", "structure"]):
            self.ok("request", "--device", "phone", "-m", "x", "-u", "alice", "-o", "r")
            self.ok("ticket", "r", "-o", "t")
            self.usage("seal", "model.bin", "-t", "t", "-o", "s", *options)

    def test_a_clear_structure_still_opens(self):
        example = os.path.join(ROOT, "examples/cat-ears/cat-ears.tflite")
        if not os.path.exists(example):
            self.skipTest(example + " is not here")
        shutil.copy(example, self.path("model.bin"))
        self.ok("request", "--device", "phone", "-m", "m", "-u", "alice", "-o", "r")
        self.ok("ticket", "r", "-o", "t")
        self.ok("seal", "model.bin", "-t", "t", "-o", "s", "--clear",
                "structure")
        name = self.json("accept", "s", "-t", "t", "--device", "phone")["name"]
        vault = read(self.path("phone/vault/%s.emkv" % name))
        model = read(example)
        self.assertIn(b"TFL3", vault)
        self.assertNotIn(model[1000:1032], vault)
        self.assertEqual(self.ok("run", "m", "-u", "alice", "--device", "phone", "--", "cat", "{}"),
                         model)

    def test_empty_and_small_models_travel(self):
        for size in (0, 1, 65536, 65537):
            self.make_model(size)
            name = "m%d" % size
            self.deliver(name)
            self.accept(name)
            self.assertEqual(self.ok("run", name, "-u", "alice", "--device", "phone", "--", "cat",
                                     "{}"), read(self.path("model.bin")))

    def test_receipts_tell_the_outcome(self):
        self.deliver("m")
        self.accept("m")
        self.deliver("n")
        self.ok("accept", "n.emk", "-t", "n.ticket", "--device", "phone", "--receipt", "good")
        self.assertEqual(self.json("inspect", "good")["outcome"], "accepted")
        self.deliver("o")
        self.forge("flip", "o.emk", "bad.emk")
        self.run_earmark("accept", "bad.emk", "-t", "o.ticket", "--device", "phone", "--receipt",
                         "bad")
        self.assertEqual(self.json("inspect", "bad")["outcome"], "E_SEALED")

    def test_a_damaged_file_can_be_fetched_again(self):
        self.deliver("m")
        self.forge("flip", "m.emk", "bad.emk")
        self.refused("E_SEALED", "accept", "bad.emk", "-t", "m.ticket", "--device", "phone")
        self.accept("m")

    def test_the_vault_is_listed_and_emptied(self):
        self.assertEqual(self.json("device", "list", "--device", "phone")["models"], [])
        self.deliver("m", "--max-opens", "3")
        name = self.accept("m")["name"]
        self.ok("open", "m", "-u", "alice", "--device", "phone")
        entry, = self.json("device", "list", "--device", "phone")["models"]
        self.assertEqual((entry["name"], entry["model"], entry["user"], entry["opens"],
                          entry["max_opens"]), (name, "m", "alice", 1, 3))
        self.ok("open", name, "-u", "alice", "--device", "phone")
        self.ok("device", "remove", name, "--device", "phone")
        self.refused("E_NOT_FOUND", "device", "remove", name, "--device", "phone")
        self.refused("E_NOT_FOUND", "open", "m", "-u", "alice", "--device", "phone")

    def test_an_issuer_answers_a_request_once(self):
        self.ok("request", "--device", "phone", "-m", "m", "-u", "a", "-o", "r")
        self.ok("ticket", "r", "-o", "t")
        self.refused("E_USED", "ticket", "r", "-o", "t2")
        self.assertFalse(os.path.exists(self.path("t2")))

    def test_names_must_be_printable(self):
        for name in ("", "a\x1b[31m", "x" * 129, "tab\there"):
            self.refused("E_USAGE", "request", "--device", "phone", "-m", name, "-u", "a", "-o",
                         "r")


class Running(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        self.deliver("m")
        self.accept("m")

    def start(self, *words, **more):
        return subprocess.Popen([*COMMAND, "run", "m", "-u", "alice", "--device", "phone", "--",
                                 *words], cwd=self.dir, env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    def test_the_exit_code_is_the_programs(self):
        for code in (0, 1, 7, 64, 255):
            p = self.run_earmark("run", "m", "-u", "alice", "--device", "phone", "--", "sh", "-c",
                                 "exit %d" % code, "{}")
            self.assertEqual((p.returncode, p.stderr), (code, b""))
        p = self.run_earmark("run", "m", "-u", "alice", "--device", "phone", "--", "sh", "-c",
                             "kill -KILL $$", "{}")
        self.assertEqual(p.returncode, 128 + signal.SIGKILL)

    def test_json_reports_on_stderr(self):
        p = self.run_earmark("run", "m", "-u", "alice", "--device", "phone", "--json", "--", "sh",
                             "-c", "echo hello; exit 5", "{}")
        self.assertEqual((p.returncode, p.stdout), (5, b"hello\n"))
        self.assertEqual(json.loads(p.stderr), {"ok": True, "exit": 5})

    def test_braces_are_replaced_inside_words(self):
        out = self.ok("run", "m", "-u", "alice", "--device", "phone", "--", "echo", "--a={}:{}",
                      "{", "{}")
        self.assertRegex(out.decode(), r"^--a=(/proc/self/fd/\d+):\1 \{ \1\n$")

    def test_nobody_can_change_the_model(self):
        child = ("import fcntl, os, sys\n"
                 "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
                 "print(fcntl.fcntl(fd, 1034))\n"
                 "for mode in (os.O_WRONLY, os.O_RDWR):\n"
                 "    try: os.write(os.open(sys.argv[1], mode), b'x'); print('changed')\n"
                 "    except OSError: print('refused')\n"
                 "print(os.readlink(sys.argv[1]))\n")
        out = self.ok("run", "m", "-u", "alice", "--device", "phone", "--", sys.executable, "-c",
                      child, "{}").decode().split("\n")
        self.assertEqual(int(out[0]) & 15, 15)
        self.assertEqual(out[1:3], ["refused", "refused"])
        self.assertTrue(out[3].startswith("/memfd:"))

    def test_stdin_and_environment_are_the_programs(self):
        out = self.ok("run", "m", "-u", "alice", "--device", "phone", "--", "sh", "-c",
                      "cat; echo $COLOUR", "{}", stdin=b"hello ", env={"COLOUR": "red"})
        self.assertEqual(out, b"hello red\n")

    def test_signals_go_on_to_the_program(self):
        p = self.start("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
                       "{}")
        self.assertEqual(p.stdout.readline(), b"ready\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(TIMEOUT), 7)
        p.stdout.close()
        p.stderr.close()

    def test_the_program_does_not_outlive_earmark(self):
        p = self.start("sh", "-c", "echo $$; exec sleep 60", "{}")
        child = int(p.stdout.readline())
        p.kill()
        p.wait(TIMEOUT)
        for _ in range(100):
            try:
                state = read("/proc/%d/stat" % child, "r").rsplit(")", 1)[1].split()[0]
            except FileNotFoundError:
                state = "Z"
            if state == "Z":
                break
            time.sleep(0.05)
        self.assertEqual(state, "Z")
        p.stdout.close()
        p.stderr.close()

    def test_the_program_ends_when_the_model_expires(self):
        self.deliver("brief", "--expires", "3s")
        self.accept("brief")
        started = time.time()
        p = self.run_earmark("run", "brief", "-u", "alice", "--device", "phone", "--", "sh", "-c",
                             "exec sleep 60", "{}")
        self.assertEqual(p.returncode, STATUS["E_POLICY"])
        self.assertLess(time.time() - started, 20)

    def test_a_missing_program_is_named(self):
        text = self.refused("E_NOT_FOUND", "run", "m", "-u", "alice", "--device", "phone", "--",
                            "no-such-program", "{}")
        self.assertIn("no-such-program", text)
        write(self.path("data"), b"x")
        self.refused("E_IO", "run", "m", "-u", "alice", "--device", "phone", "--", "./data", "{}")


class Refusals(Case):
    """The twelve of the demo, one test each."""

    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()

    def accept_refused(self, status, name, ticket, device="phone"):
        self.refused(status, "accept", name, "-t", ticket, "--device", device)
        models = self.json("device", "list", "--device", device)["models"]
        self.assertEqual(models, [])

    def test_other_device(self):
        self.make_device("tablet")
        self.deliver("m")
        self.accept_refused("E_SEALED", "m.emk", "m.ticket", "tablet")

    def test_other_device_with_a_copy_of_the_vault(self):
        self.make_device("tablet")
        self.deliver("m")
        name = self.accept("m")["name"]
        shutil.copy(self.path("phone/vault/%s.emkv" % name), self.path("tablet/vault"))
        self.refused("E_KEY_LOST", "open", name, "-u", "alice", "--device", "tablet")

    def test_other_user(self):
        self.deliver("m")
        self.accept("m")
        text = self.refused("E_POLICY", "open", "m", "-u", "bob", "--device", "phone")
        self.assertIn("--user", text)
        self.refused("E_POLICY", "open", "m", "--device", "phone")

    def test_other_use_and_other_app(self):
        self.make_model()
        self.ok("request", "--device", "phone", "-m", "m", "-u", "a", "--use", "v1", "--app", "x",
                "-o", "r")
        self.ok("ticket", "r", "-o", "t")
        self.ok("seal", "model.bin", "-t", "t", "-o", "s")
        self.ok("accept", "s", "-t", "t", "--device", "phone")
        for words in (["--use", "v1"], ["--app", "x"], ["--use", "v2", "--app", "x"]):
            self.refused("E_POLICY", "open", "m", "-u", "a", "--device", "phone", *words)
        self.ok("open", "m", "-u", "a", "--device", "phone", "--use", "v1", "--app", "x")

    def test_second_use_of_a_ticket_by_the_sealer(self):
        self.deliver("m")
        self.refused("E_USED", "seal", "model.bin", "-t", "m.ticket", "-o", "again.emk")
        self.assertFalse(os.path.exists(self.path("again.emk")))

    def test_second_answer_to_one_request(self):
        self.deliver("m")
        self.accept("m")
        self.refused("E_USED", "accept", "m.emk", "-t", "m.ticket", "--device", "phone")

    def test_expired(self):
        self.deliver("m", "--expires", "2s")
        self.accept("m")
        time.sleep(2.1)
        self.refused("E_POLICY", "open", "m", "-u", "alice", "--device", "phone")

    def test_not_yet(self):
        self.deliver("m", "--not-before", "2s")
        text = self.refused("E_POLICY", "accept", "m.emk", "-t", "m.ticket", "--device", "phone")
        self.assertIn("after that time", text)
        time.sleep(2.1)
        self.accept("m")
        self.ok("open", "m", "-u", "alice", "--device", "phone")

    def test_ticket_expired(self):
        self.ok("request", "--device", "phone", "-m", "m", "-u", "a", "-o", "r")
        self.ok("ticket", "r", "-o", "t", "--valid", "1s")
        self.make_model()
        time.sleep(1.1)
        self.refused("E_POLICY", "seal", "model.bin", "-t", "t", "-o", "s")

    def test_opens_used_up(self):
        self.deliver("m", "--max-opens", "2")
        self.accept("m")
        for left in (1, 0):
            self.assertEqual(self.json("open", "m", "-u", "alice", "--device",
                                       "phone")["opens_left"], left)
        self.refused("E_POLICY", "open", "m", "-u", "alice", "--device", "phone")
        self.refused("E_POLICY", "run", "m", "-u", "alice", "--device", "phone", "--", "cat", "{}")

    def test_flipped_bit(self):
        self.deliver("m")
        self.forge("flip", "m.emk", "bad")
        self.accept_refused("E_SEALED", "bad", "m.ticket")

    def test_swapped_chunks(self):
        self.deliver("m")
        self.forge("swap", "m.emk", "bad")
        self.accept_refused("E_SEALED", "bad", "m.ticket")

    def test_truncated(self):
        self.deliver("m")
        self.forge("truncate", "m.emk", "bad")
        self.accept_refused("E_FORMAT", "bad", "m.ticket")
        write(self.path("bad"), read(self.path("m.emk")) + b"x")
        self.accept_refused("E_FORMAT", "bad", "m.ticket")

    def test_spliced(self):
        self.deliver("m")
        self.deliver("n")
        self.forge("splice", "m.emk", "n.emk", "bad")
        self.accept_refused("E_SEALED", "bad", "m.ticket")

    def test_file_of_another_ticket(self):
        self.deliver("m")
        self.deliver("n")
        self.accept_refused("E_SIGNATURE", "n.emk", "m.ticket")

    def test_stripped_and_signed_again(self):
        self.deliver("m")
        self.forge("resign", "m.emk", "bad")
        self.accept_refused("E_SIGNATURE", "bad", "m.ticket")
        self.refused("E_SIGNATURE", "inspect", "bad", "--issuer", "issuer")
        self.ok("inspect", "bad")

    def test_wrong_issuer(self):
        self.ok("issuer", "init", "--issuer", "rogue")
        self.make_device("stranger", "rogue")
        self.make_model()
        self.ok("request", "--device", "stranger", "-m", "m", "-u", "a", "-o", "r")
        self.refused("E_SIGNATURE", "ticket", "r", "-o", "t")
        self.ok("ticket", "r", "-o", "t", "--issuer", "rogue")
        self.refused("E_SIGNATURE", "seal", "model.bin", "-t", "t", "-o", "s")
        self.ok("seal", "model.bin", "-t", "t", "-o", "s", "--issuer", "rogue")
        self.accept_refused("E_SIGNATURE", "s", "t")

    def test_certificate_of_another_device_or_issuer(self):
        self.ok("device", "init", "--device", "tablet", "--issuer", "issuer")
        self.ok("issuer", "enrol", "phone/device.enrolment", "-o", "phone.cert")
        self.refused("E_SEALED", "device", "certify", "phone.cert", "--device", "tablet")
        self.ok("issuer", "init", "--issuer", "rogue")
        self.ok("issuer", "enrol", "tablet/device.enrolment", "-o", "c", "--issuer", "rogue")
        self.refused("E_SIGNATURE", "device", "certify", "c", "--device", "tablet")
        text = self.refused("E_NOT_FOUND", "request", "--device", "tablet", "-m", "m", "-u", "u",
                            "-o", "r")
        self.assertIn("issuer enrol", text)

    def test_stale_vault_copy(self):
        self.deliver("m", "--max-opens", "5")
        file = self.path("phone/vault/%s.emkv" % self.accept("m")["name"])
        old = read(file)
        self.ok("open", "m", "-u", "alice", "--device", "phone")
        write(file, old)
        self.refused("E_STALE", "open", "m", "-u", "alice", "--device", "phone")

    def test_damaged_vault(self):
        self.deliver("m")
        name = self.accept("m")["name"]
        file = self.path("phone/vault/%s.emkv" % name)
        good = read(file)
        bad = bytearray(good)
        bad[-1000] ^= 1
        write(file, bytes(bad))
        self.refused("E_SEALED", "open", name, "-u", "alice", "--device", "phone")
        write(file, good)
        self.ok("open", name, "-u", "alice", "--device", "phone")

    def test_nobody_is_there(self):
        for args in (["device", "list"], ["request", "-m", "m", "-u", "u", "-o", "r"],
                     ["open", "m", "-u", "u"], ["run", "m", "-u", "u", "--", "cat", "{}"]):
            text = self.refused("E_NOT_FOUND", *args[:1 if args[0] != "device" else 2], "--device",
                                "nowhere", *args[1 if args[0] != "device" else 2:])
            self.assertIn("earmark device init", text)


class Passphrases(Case):
    def setUp(self):
        super().setUp()
        write(self.path("secret"), b"correct horse\n")
        write(self.path("wrong"), b"battery staple\n")
        self.env["EARMARK_ISSUER"] = self.path("issuer")

    def test_keys_under_a_passphrase_need_it(self):
        out = self.json("issuer", "init", "--passphrase-file", "secret")
        self.assertEqual(out["protection"], "passphrase")
        self.ok("device", "init", "--device", "phone", "--passphrase-file", "secret")
        enrol = ["issuer", "enrol", "phone/device.enrolment", "-o", "cert"]
        self.refused("E_NOT_FOUND", *enrol)     # no terminal to ask on
        self.refused("E_SEALED", *enrol, "--passphrase-file", "wrong")
        self.ok(*enrol, "--passphrase-file", "secret")
        certify = ["device", "certify", "cert", "--device", "phone"]
        self.refused("E_SEALED", *certify, "--passphrase-file", "wrong")
        self.ok(*certify, "--passphrase-file", "secret")
        self.assertEqual(self.json("inspect", "issuer/issuer.key")["protection"], "passphrase")
        self.assertNotIn(b"horse", read(self.path("issuer/issuer.key")))

    def test_a_descriptor_carries_the_passphrase(self):
        r, w = os.pipe()
        os.write(w, b"correct horse")
        os.close(w)
        self.ok("issuer", "init", "--passphrase-fd", str(r), pass_fds=[r])
        os.close(r)
        self.ok("issuer", "sealing-key", "--passphrase-file", "secret")

    def test_passphrases_that_are_none_are_refused(self):
        write(self.path("empty"), b"\n")
        write(self.path("long"), b"x" * 2000)
        self.refused("E_USAGE", "issuer", "init", "--passphrase-file", "empty")
        self.refused("E_LIMIT", "issuer", "init", "--passphrase-file", "long")
        self.refused("E_NOT_FOUND", "issuer", "init", "--passphrase-file", "absent")
        self.usage("issuer", "init", "--passphrase-fd", "x")
        self.usage("issuer", "init", "--passphrase-fd", "3", "--passphrase-file", "secret")
        self.assertFalse(os.path.exists(self.path("issuer/issuer.key")))

    def on_terminal(self, args, answers):
        """Runs earmark with a terminal of its own; gives exit code and all that was shown."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execve(COMMAND[0], [*COMMAND, *args], dict(self.env, TERM="xterm"))
        shown, deadline = b"", time.time() + TIMEOUT
        while time.time() < deadline:
            ready, _, _ = select.select([fd], [], [], 0.1)
            try:
                piece = os.read(fd, 4096) if ready else b""
            except OSError:
                break
            shown += piece
            if answers and shown.endswith(b": "):
                os.write(fd, answers.pop(0))
                shown += b"|"
            elif ready and not piece:
                break
        _, status = os.waitpid(pid, 0)
        os.close(fd)
        return os.waitstatus_to_exitcode(status), shown

    def test_typed_passphrases_are_not_shown(self):
        code, shown = self.on_terminal(["issuer", "init", "--ask-passphrase"],
                                       [b"corrxt\x7f\x7fect horse\r", b"correct horse\r"])
        self.assertEqual(code, 0, shown)
        self.assertNotIn(b"horse", shown)
        self.ok("issuer", "sealing-key", "--passphrase-file", "secret")
        code, shown = self.on_terminal(["issuer", "sealing-key"], [b"correct horse\r"])
        self.assertEqual(code, 0, shown)

    def test_typing_can_be_given_up(self):
        code, _ = self.on_terminal(["issuer", "init", "--ask-passphrase"], [b"corr\x03"])
        self.assertEqual(code, STATUS["E_USAGE"])
        code, shown = self.on_terminal(["issuer", "init", "--ask-passphrase"], [b"one\r", b"two\r"])
        self.assertEqual(code, STATUS["E_USAGE"])
        self.assertIn(b"differ", shown)


class Inspecting(Case):
    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        self.deliver("m", "--max-opens", "3", "--memory", "locked", "--release", "2")

    def test_messages_say_what_they_are(self):
        self.ok("issuer", "enrol", "phone/device.enrolment", "-o", "cert")
        for name, kind, signature in (
                ("phone/device.enrolment", "device enrolment", "not checked"),
                ("cert", "device certificate", "valid, by the issuer"),
                ("issuer/sealing.cert", "sealing certificate", "valid, by the issuer"),
                ("m.request", "request", "valid, by a device the issuer certified"),
                ("m.ticket", "ticket", "valid, by the issuer")):
            self.assertEqual(self.json("inspect", name)["signature"], "not checked")
            out = self.json("inspect", name, "--issuer", "issuer/issuer.pub")
            self.assertEqual((out["kind"], out["signature"]), (kind, signature))
            self.ok("inspect", name)

    def test_tickets_are_shown_whole(self):
        out = self.json("inspect", "m.ticket")
        self.assertEqual((out["policy"]["max_opens"], out["policy"]["memory"],
                          out["policy"]["release"], out["identity"]["user"]),
                         (3, "locked", 2, "alice"))
        self.assertAlmostEqual(out["issued"], time.time(), delta=60)
        self.assertAlmostEqual(out["seal_and_accept_until"], out["issued"] + 900, delta=1)

    def test_sealed_models_show_only_what_is_public(self):
        p = self.run_earmark("inspect", "m.emk")
        for secret in (b"alice", b"phone"):
            self.assertNotIn(secret, p.stdout)
        out = self.json("inspect", "m.emk", "--issuer", "issuer")
        self.assertEqual((out["kind"], out["complete"], out["signature"]["checked"]),
                         ("sealed model", True, "valid"))
        self.forge("truncate", "m.emk", "bad")
        self.assertIs(self.json("inspect", "bad")["complete"], False)

    def test_vault_files_show_their_record(self):
        name = self.accept("m")["name"]
        self.ok("open", "m", "-u", "alice", "--device", "phone")
        out = self.json("inspect", "phone/vault/%s.emkv" % name)
        self.assertEqual((out["record"]["generation"], out["record"]["opens"],
                          out["policy"]["max_opens"]), (2, 1, 3))

    def test_key_files_do_not_show_the_key(self):
        for name in ("issuer/issuer.key", "issuer/sealing.key", "phone/keys/keys"):
            out = self.ok("inspect", name, "--json")
            self.assertNotIn(read(self.path(name))[56:88].hex().encode(), out)
        self.assertEqual(self.json("inspect", "issuer/issuer.pub")["algorithm"], "Ed25519")

    def test_forged_messages_are_refused_with_the_issuers_key(self):
        bad = bytearray(read(self.path("m.ticket")))
        bad[-1] ^= 1
        write(self.path("bad"), bytes(bad))
        self.ok("inspect", "bad")
        self.refused("E_SIGNATURE", "inspect", "bad", "--issuer", "issuer")

    def safetensors(self, name):
        header = json.dumps({name: {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}},
                            ensure_ascii=False).encode()
        write(self.path("m.safetensors"), struct.pack("<Q", len(header)) + header + bytes(32))
        return 8 + len(header)

    def test_models_list_their_tensors(self):
        start = self.safetensors("layer.0")
        out = self.json("inspect", "--model", "m.safetensors")
        self.assertEqual(out["format"], "safetensors")
        self.assertEqual(out["parts"], ["m.safetensors"])
        self.assertEqual(out["spans"], [{"part": 0, "offset": start, "length": 32,
                                         "name": "layer.0", "dtype": "f32", "shape": [2, 4],
                                         "kind": "weight"}])
        self.assertAlmostEqual(out["coverage"], 32 / (start + 32), places=3)
        self.refused("E_UNSUPPORTED", "inspect", "--model", "model.bin")
        self.usage("inspect", "m.ticket", "--format", "tflite")

    def test_hostile_names_never_reach_the_terminal(self):
        name = "\u202eevil\u009b31m\u200b \U000e0041"
        self.safetensors(name)
        shown = self.ok("inspect", "--model", "m.safetensors")
        for bad in ("\u202e", "\u009b", "\u200b", "\U000e0041"):
            self.assertNotIn(bad.encode(), shown)
            self.assertNotIn(bad.encode(), self.ok("inspect", "--model", "m.safetensors",
                                                   "--json"))
        out = self.json("inspect", "--model", "m.safetensors")
        self.assertEqual(out["spans"][0]["name"], name)

    def test_hostile_file_names_never_reach_the_terminal(self):
        hostile = b"x\x1b]0;owned\x07\xff\n"
        p = self.run_earmark("inspect", hostile)
        self.assertEqual(p.returncode, STATUS["E_NOT_FOUND"])
        for byte in (b"\x1b", b"\x07", b"\xff"):
            self.assertNotIn(byte, p.stderr)
        p = self.run_earmark("inspect", "--json", hostile)
        self.assertNotIn(b"\x1b", p.stdout)
        json.loads(p.stdout)


class Garbage(Case):
    """Whatever stands where a file is expected: a refusal with a fix, never a crash."""

    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_device()
        self.deliver("m")
        self.ok("issuer", "enrol", "phone/device.enrolment", "-o", "cert")
        rng = random.Random(7)
        write(self.path("random"), rng.randbytes(5000))
        write(self.path("empty"), b"")
        write(self.path("huge"), b"\xd2" + bytes(200000))
        os.mkdir(self.path("folder"))
        os.mkfifo(self.path("fifo"))
        for name in ("m.ticket", "m.request", "cert", "phone/device.enrolment", "m.emk"):
            data = read(self.path(name))
            write(self.path("cut-" + os.path.basename(name)), data[:len(data) // 2])
        self.bad = ["random", "empty", "huge", "folder", "fifo", "absent", "", "/dev/null",
                    "m.emk", "model.bin"] + sorted(
                        os.path.basename(p) for p in glob.glob(self.path("cut-*")))

    def survives(self, *args, may_work=False):
        p = self.run_earmark(*args)
        if may_work and p.returncode == 0:
            return
        self.assertIn(p.returncode, list(range(1, 16)) + [USAGE], (args, p.stderr))
        self.assertIn(b"\n  fix: ", p.stderr, args)

    def test_messages(self):
        for bad in self.bad:
            self.survives("issuer", "enrol", bad, "-o", "out")
            self.survives("device", "certify", bad, "--device", "phone")
            self.survives("device", "init", "--device", "d", "--issuer", bad)
            self.survives("ticket", bad, "-o", "out")
            self.survives("seal", "model.bin", "-t", bad, "-o", "out")
            self.survives("accept", "m.emk", "-t", bad, "--device", "phone")
            self.survives("inspect", "m.ticket", "--issuer", bad)
        self.assertFalse(os.path.exists(self.path("out")))
        self.accept("m")                        # and nothing of it did harm

    def test_models_and_sealed_models(self):
        for bad in self.bad:
            if bad not in ("m.emk",):
                self.survives("accept", bad, "-t", "m.ticket", "--device", "phone")
            self.survives("inspect", bad, may_work=bad in ("m.emk", "cut-m.emk"))
            self.survives("inspect", "--model", bad)
            self.survives("doctor", "--for", bad, may_work=True)
        for bad in ("folder", "fifo", "absent", "", "/dev/null"):
            self.ok("request", "--device", "phone", "-m", "x", "-u", "a", "-o", "r")
            self.ok("ticket", "r", "-o", "t")
            self.survives("seal", bad, "-t", "t", "-o", "out")
            self.assertFalse(os.path.exists(self.path("out")))

    def test_directories(self):
        for bad in ("random", "empty", "folder", "fifo", "absent", "/dev/null"):
            self.survives("device", "list", "--device", bad)
            self.survives("ticket", "m.request", "-o", "out", "--issuer", bad)
            self.survives("request", "-m", "m", "-u", "u", "-o", "out", "--device", bad)
        for bad in ("random", "fifo", "/dev/null"):
            self.survives("issuer", "init", "--issuer", bad)
            self.survives("device", "init", "--device", bad, "--issuer", "issuer")
        for bad in ("folder", "no/such/file"):
            self.survives("request", "-m", "m", "-u", "u", "--device", "phone", "-o", bad)
            self.survives("accept", "m.emk", "-t", "m.ticket", "--device", "phone", "--receipt",
                          bad, may_work=True)

    def test_key_files(self):
        good = {name: read(self.path(name))
                for name in ("issuer/issuer.key", "issuer/sealing.key", "issuer/issuer.pub",
                             "issuer/sealing.cert", "phone/keys/keys", "phone/issuer.pub")}
        self.ok("request", "--device", "phone", "-m", "x", "-u", "a", "-o", "r")
        self.ok("ticket", "r", "-o", "t")
        for name, data in good.items():
            for bad in (b"", data[:-1], data + b"x", data[:6] + b"\xff" + data[7:],
                        random.Random(3).randbytes(len(data))):
                write(self.path(name), bad)
                os.chmod(self.path(name), 0o600)
                self.survives("inspect", name, may_work=True)
                self.survives("seal", "model.bin", "-t", "t", "-o", "out",
                              may_work=not name.startswith("issuer/") or name.endswith("issuer.key")
                              or name.endswith(".pub") and bad == data[:-1])
                self.survives("issuer", "enrol", "phone/device.enrolment", "-o", "c",
                              may_work=name != "issuer/issuer.key")
                self.survives("device", "list", "--device", "phone", may_work=True)
                for left in ("out", "c"):
                    if os.path.exists(self.path(left)):
                        os.remove(self.path(left))
                shutil.rmtree(self.path("issuer/redeemed"), ignore_errors=True)
            write(self.path(name), data)
        self.ok("device", "list", "--device", "phone")

    def test_every_message_survives_every_kind_of_damage(self):
        rng = random.Random(11)
        for name in ("m.ticket", "m.request", "cert", "phone/device.enrolment", "m.emk",
                     "issuer/sealing.cert"):
            data = read(self.path(name))
            for _ in range(25):
                bad = bytearray(data[:2000])
                for _ in range(rng.randrange(1, 4)):
                    bad[rng.randrange(len(bad))] = rng.choice((0, 1, 0x1b, 0x7f, 0x80, 0xff))
                write(self.path("bad"), bytes(bad[:rng.randrange(1, len(bad) + 1)]
                                              if rng.random() < 0.3 else bad))
                self.survives("inspect", "bad", may_work=True)
                json.loads(self.run_earmark("inspect", "bad", "--json").stdout)

    def test_a_vault_that_is_not_one(self):
        for name in ("0" * 32 + ".emkv", "x.emkv", "1" * 32 + ".pending"):
            for data in (b"", random.Random(5).randbytes(90000)):
                write(self.path("phone/vault/" + name), data)
                self.survives("device", "list", "--device", "phone", may_work=True)
                self.survives("open", "m", "-u", "alice", "--device", "phone")
                self.survives("open", name.split(".")[0], "-u", "alice", "--device", "phone")
        for name in ("../../issuer/issuer.key", "", "/etc/passwd", "0" * 31 + "/"):
            self.survives("open", name, "-u", "alice", "--device", "phone")
            self.survives("device", "remove", name, "--device", "phone")


if __name__ == "__main__":
    if not os.access(EARMARK, os.X_OK):
        print("SKIP %s is not here" % EARMARK)
        sys.exit(77)
    unittest.main()
