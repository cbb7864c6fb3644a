#!/usr/bin/python3
"""The life of a model with each key holder, and what happens when one fails: a real swtpm and a
real SoftHSM, both started here with a state of their own.

usage: EARMARK=build/bin/earmark keystore_test.py [unittest options]"""
import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from cli_test import COMMAND, STATUS, Case, read, write
from plaintext_test import may_trace

SOFTHSM = next(iter(glob.glob("/usr/lib/softhsm/libsofthsm2.so") +
                    glob.glob("/usr/lib/*/softhsm/libsofthsm2.so")), None)
SLOW_PKCS11 = os.environ.get("SLOW_PKCS11")
PIN = "2486"


def free_ports():
    """Two neighbours: swtpm's data and control."""
    for port in range(20000 + os.getpid() * 2 % 12000, 64000, 514):
        with contextlib.ExitStack() as stack:
            try:
                for p in (port, port + 1):
                    s = stack.enter_context(socket.socket())
                    s.bind(("127.0.0.1", p))
                return port
            except OSError:
                continue
    raise unittest.SkipTest("no free ports")


class Tpm:
    """A TPM whose state survives a stop, as a chip survives a power cut."""

    def __init__(self, directory):
        self.dir, self.process = directory, None
        os.mkdir(directory)
        self.port = free_ports()
        self.tcti = "swtpm:host=127.0.0.1,port=%d" % self.port
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + self.dir,
             "--server", "type=tcp,bindaddr=127.0.0.1,port=%d" % self.port,
             "--ctrl", "type=tcp,bindaddr=127.0.0.1,port=%d" % (self.port + 1),
             "--flags", "not-need-init,startup-clear"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(250):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise unittest.SkipTest("swtpm does not start")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        self.process = None

    def command(self, code, handle, params=b""):
        """One command with an empty password."""
        auth = bytes.fromhex("00000009" "40000009" "0000" "00" "0000")
        body = struct.pack(">I", handle) + auth + params
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(struct.pack(">HII", 0x8002, 10 + len(body), code) + body)
            answer = s.recv(4096)
        assert struct.unpack(">I", answer[6:10])[0] == 0, answer.hex()

    def clear(self):
        self.command(0x126, 0x4000000A)

    def indexes(self):
        """How many there are for an owner's use (TPM2_GetCapability)."""
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(struct.pack(">HIIIII", 0x8001, 22, 0x17A, 1, 0x01800000, 64))
            answer = s.recv(4096)
        n = struct.unpack(">I", answer[15:19])[0]
        handles = struct.unpack(">%dI" % n, answer[19:19 + 4 * n])
        return sum(0x01800000 <= h < 0x01C00000 for h in handles)

    def extend(self, pcr):
        self.command(0x182, pcr, struct.pack(">IH", 1, 0x000B) + b"\xAA" * 32)


class Life(Case):
    """What all holders have in common."""

    def setUp(self):
        super().setUp()
        self.make_issuer()
        self.make_model()

    def enrol(self, name="phone", **more):
        self.ok("issuer", "enrol", name + "/device.enrolment", "-o", name + ".cert", **more)
        self.ok("device", "certify", name + ".cert", "--device", name, **more)

    def receive(self, name="ears", **more):
        self.ok("request", "--device", "phone", "-m", name, "-u", "alice", "-o", name + ".request",
                **more)
        self.ok("ticket", name + ".request", "-o", name + ".ticket", "--max-opens", "9")
        self.ok("seal", "model.bin", "-t", name + ".ticket", "-o", name + ".emk")
        return self.json("accept", name + ".emk", "-t", name + ".ticket", "--device", "phone",
                         **more)

    def open_args(self, name="ears"):
        return ("open", name, "--device", "phone", "-u", "alice", "--sha256")

    def whole_life(self, **more):
        """Ask, accept, open, run, list, remove; no later command is told which holder it is."""
        digest = hashlib.sha256(read(self.path("model.bin"))).hexdigest()
        self.enrol(**more)
        entry = self.receive(**more)["name"]
        self.assertEqual(self.json(*self.open_args(), **more)["sha256"], digest)
        out = self.ok("run", "ears", "--device", "phone", "-u", "alice", "--", "sha256sum", "{}",
                      **more)
        self.assertEqual(out.split()[0].decode(), digest)
        listed = self.json("device", "list", "--device", "phone", **more)["models"]
        self.assertEqual([(m["name"], m["opens"]) for m in listed], [(entry, 2)])
        self.ok("device", "remove", entry, "--device", "phone", **more)
        self.refused("E_NOT_FOUND", *self.open_args(), **more)


    # --- `device init`, killed

    STEPS = (("mkdir", 9), ("pwrite64", 9), ("fsync", 40), ("rename", 19), ("unlink", 9))
    FILES = ["device.enrolment", "issuer.pub", "keys", "keystore", "vault"]

    def killed_everywhere(self, options, check, steps=STEPS):
        """Kills an init before each of these calls; the same command then makes the device, and
        `check` sees that nothing is left of the first try."""
        if not may_trace():
            self.skipTest("strace is not here, or may not trace")
        command = ["device", "init", *options, "--device"]
        kills = 0
        for call, most in steps:
            for n in range(1, most + 1):
                name = "%s-%d" % (call, n)
                p = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                                    "inject=%s:signal=KILL:when=%d" % (call, n), *COMMAND, *command,
                                    name], cwd=self.dir, env=self.no_leaks(), capture_output=True,
                                   timeout=120)
                if p.returncode == 0:
                    check(name)
                    break
                self.assertEqual(p.returncode, -signal.SIGKILL, p.stderr)
                kills += 1
                self.after_a_kill()
                self.finish_init(command, name, check)
            else:
                self.fail("more than %d of %s" % (most, call))
        self.assertGreater(kills, 15)

    def after_a_kill(self):
        pass

    def finish_init(self, command, name, check):
        p = self.run_earmark("device", "list", "--device", name)
        if p.returncode == 0:  # it was complete, but for the last sync
            self.refused("E_USED", *command, name)
        else:
            self.assertEqual(p.returncode, STATUS["E_NOT_FOUND"], (name, p.stderr))
            self.ok(*command, name)
        self.assertEqual(sorted(os.listdir(self.path(name))), self.FILES)
        self.ok("issuer", "enrol", "--device", name)
        check(name)

    def no_leaks(self):
        return dict(self.env, ASAN_OPTIONS="detect_leaks=0")  # they are looked for by tracing


class Soft(Life):
    def test_an_init_that_is_killed_anywhere_is_finished_by_the_next(self):
        self.killed_everywhere(
            [], lambda name: self.assertEqual(sorted(os.listdir(self.path(name + "/keys"))),
                                              ["keys", "lock"]))

    def test_an_init_empties_nothing_through_a_link(self):
        self.ok("device", "init", "--device", "phone")
        os.rename(self.path("phone/keys"), self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), self.path("phone/keys"))
        write(self.path("phone/unfinished"), b"")
        self.refused("E_IO", "device", "init", "--device", "phone")
        self.assertIn("keys", os.listdir(self.path("elsewhere")))

    def test_a_second_init_does_not_take_the_first_for_a_dead_one(self):
        fd = os.open(self.make_folder("phone"), os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self.refused("E_BUSY", "device", "init", "--device", "phone")
        fcntl.flock(fd, fcntl.LOCK_UN)
        self.ok("device", "init", "--device", "phone")

    def make_folder(self, name):
        os.mkdir(self.path(name))
        return self.path(name)

    def test_is_what_one_gets_without_asking(self):
        out = self.json("device", "init", "--device", "phone")
        self.assertIs(out["hardware"], False)
        self.assertIn("kind soft\n", read(self.path("phone/keystore"), "r"))
        self.whole_life()

    def test_a_device_from_before_there_was_a_choice_works(self):
        self.ok("device", "init", "--device", "phone")
        os.remove(self.path("phone/keystore"))
        self.whole_life()

    def test_options_of_another_holder_are_refused(self):
        for options in (["--tcti", "x"], ["--pcrs", "7"], ["--module", "x", "--token", "y"]):
            self.usage("device", "init", "--device", "phone", *options)
        self.usage("device", "init", "--device", "phone", "--keystore", "cellar")
        self.usage("device", "init", "--device", "phone", "--keystore", "tpm2", "--classic")
        self.usage("device", "init", "--device", "phone", "--keystore", "pkcs11")
        self.assertFalse(os.path.exists(self.path("phone")))

    def test_a_damaged_note_on_the_holder_is_told(self):
        self.ok("device", "init", "--device", "phone")
        for text, status in (("", "E_UNSUPPORTED"), ("earmark-keystore-2\n", "E_UNSUPPORTED"),
                             ("earmark-keystore-1\nkind cellar\n", "E_UNSUPPORTED"),
                             ("earmark-keystore-1\nkind soft\nkind tpm2\n", "E_FORMAT"),
                             ("earmark-keystore-1\nkind soft\ncolour red\n", "E_FORMAT"),
                             ("earmark-keystore-1\nkind " + "x" * 99 + "\n", "E_FORMAT"),
                             ("earmark-keystore-1\nkind soft", "E_FORMAT"),
                             ("earmark-keystore-1\nkind so\0ft\n", "E_FORMAT"),
                             ("x" * 9000, "E_LIMIT")):
            write(self.path("phone/keystore"), text.encode())
            self.refused(status, "device", "list", "--device", "phone")

    def test_auto_falls_back_and_says_so(self):
        p = self.run_earmark("device", "init", "--device", "phone", "--keystore", "auto",
                             "--tcti", "swtpm:host=127.0.0.1,port=1")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn(b"software keys, for want of a TPM", p.stderr)
        self.assertIn("kind soft\n", read(self.path("phone/keystore"), "r"))

    def test_doctor_says_why_a_holder_is_not_usable(self):
        keys = self.json("doctor", "--tcti", "swtpm:host=127.0.0.1,port=1", "--module",
                         "/no/such.so", "--token", "x")["device_keys"]
        self.assertIs(keys["soft"]["usable"], True)
        for kind in ("tpm2", "pkcs11"):
            self.assertIs(keys[kind]["usable"], False)
            self.assertTrue(keys[kind]["why"])


@unittest.skipUnless(shutil.which("swtpm"), "swtpm is not here")
class Tpm2(Life):
    def setUp(self):
        super().setUp()
        self.tpm = Tpm(self.path("tpm"))
        self.addCleanup(self.tpm.stop)
        doctor = self.json("doctor", "--tcti", self.tpm.tcti)["device_keys"]["tpm2"]
        if not doctor["usable"] and "build" in doctor["why"]:
            self.skipTest(doctor["why"])
        self.assertIs(doctor["usable"], True)

    def init(self, *options, **more):
        return self.json("device", "init", "--device", "phone", "--keystore", "tpm2", "--tcti",
                         self.tpm.tcti, *options, **more)

    def test_the_life_of_a_model(self):
        out = self.init()
        self.assertIs(out["hardware"], True)
        self.whole_life()

    def after_a_kill(self):
        self.tpm.stop()  # what the killed one had loaded goes; a resource manager does that
        self.tpm.start()

    def test_an_init_that_is_killed_anywhere_is_finished_by_the_next(self):
        def check(name):
            self.assertEqual(self.tpm.indexes(), 1)
            self.assertEqual(sorted(os.listdir(self.path(name + "/keys"))), ["keys", "lock", "state"])
            self.tpm.clear()

        self.killed_everywhere(["--keystore", "tpm2", "--tcti", self.tpm.tcti], check,
                               (("rename", 19), ("fsync", 40)))

    def test_an_init_that_was_killed_needs_its_tpm_to_begin_again(self):
        init = ["device", "init", "--device", "phone", "--keystore", "tpm2", "--tcti", self.tpm.tcti]
        self.init()
        write(self.path("phone/unfinished"), b"")
        self.assertIn("device init", self.refused("E_NOT_FOUND", "device", "list", "--device",
                                                  "phone"))
        self.tpm.stop()
        self.refused("E_IO", *init)
        self.tpm.start()
        self.ok(*init)
        self.assertEqual(self.tpm.indexes(), 1)

    def test_auto_takes_it(self):
        self.ok("device", "init", "--device", "phone", "--keystore", "auto", "--tcti",
                self.tpm.tcti)
        self.assertIn("kind tpm2\n", read(self.path("phone/keystore"), "r"))

    def test_a_cleared_tpm_means_fetch_again(self):
        self.init()
        self.enrol()
        self.receive()
        self.tpm.clear()
        text = self.refused("E_KEY_LOST", *self.open_args())
        self.assertIn("fetch its models again", text)
        self.refused("E_KEY_LOST", "device", "list", "--device", "phone")
        self.refused("E_USED", "device", "init", "--device", "phone", "--keystore", "tpm2",
                     "--tcti", self.tpm.tcti)

    def test_a_tpm_that_is_away_is_not_lost(self):
        self.init()
        self.enrol()
        self.receive()
        self.tpm.stop()
        self.assertIn("/dev/tpmrm0", self.refused("E_IO", *self.open_args()))
        self.tpm.start()
        self.ok(*self.open_args())

    def test_a_slow_tpm_is_waited_for_and_told(self):
        self.init()
        self.tpm.process.send_signal(signal.SIGSTOP)
        threading.Timer(4, self.tpm.process.send_signal, [signal.SIGCONT]).start()
        p = self.run_earmark("device", "list", "--device", "phone")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertRegex(p.stderr, rb"took \d+ s: its TPM or token is slow or busy")

    def test_another_tpm_is_another_device(self):
        self.init()
        self.enrol()
        self.receive()
        self.tpm.stop()
        shutil.rmtree(self.tpm.dir)
        os.mkdir(self.tpm.dir)
        self.tpm.start()
        self.refused("E_KEY_LOST", *self.open_args())

    def test_an_old_vault_and_an_old_state_are_noticed(self):
        self.init()
        self.enrol()
        self.receive()
        shutil.copytree(self.path("phone"), self.path("old"))
        self.ok(*self.open_args())
        shutil.rmtree(self.path("phone/vault"))
        shutil.copytree(self.path("old/vault"), self.path("phone/vault"))
        self.refused("E_STALE", *self.open_args())
        shutil.rmtree(self.path("phone"))
        shutil.copytree(self.path("old"), self.path("phone"))
        self.assertIn("old copy", self.refused("E_STALE", *self.open_args()))

    def test_a_pin_is_wanted_each_time_and_never_on_the_command_line(self):
        write(self.path("pin"), PIN.encode())
        write(self.path("wrong"), b"1111")
        more = {"env": {"EARMARK_PIN": PIN}}
        out = self.init("--passphrase-file", "pin")
        self.assertIn("PIN", out["keys"])
        text = self.refused("E_NOT_FOUND", "device", "list", "--device", "phone")  # no terminal
        self.assertIn("EARMARK_PIN", text)
        self.ok("device", "list", "--device", "phone", "--passphrase-file", "pin")
        self.whole_life(**more)
        self.assertIn("the TPM counts", self.refused("E_SEALED", "device", "list", "--device", "phone",
                                                     "--passphrase-file", "wrong"))

    def test_a_locked_tpm_says_so_and_what_to_do(self):
        write(self.path("pin"), PIN.encode())
        write(self.path("wrong"), b"1111")
        self.init("--passphrase-file", "pin")
        for _ in range(40):
            p = self.run_earmark("device", "list", "--device", "phone", "--passphrase-file", "wrong")
            if p.returncode != 8:
                break
        self.assertEqual(p.returncode, 13, p.stderr)
        self.assertIn(b"dictionarylockout", p.stderr)
        self.tpm.command(0x139, 0x4000000A)  # TPM2_DictionaryAttackLockReset, by the owner
        self.ok("device", "list", "--device", "phone", "--passphrase-file", "pin")

    def test_the_pin_does_not_reach_programs_that_run_starts(self):
        more = {"env": {"EARMARK_PIN": PIN}}
        self.init(**more)
        self.enrol(**more)
        self.receive(**more)
        out = self.ok("run", "ears", "--device", "phone", "-u", "alice", "--", "sh", "-c",
                      "env; : {}", **more)
        self.assertNotIn(b"EARMARK_PIN", out)

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not here")
    def test_a_signed_pcr_policy_allows_one_state_and_then_the_next(self):
        def sign(name):
            self.ok("device", "pcr-policy", "--pcrs", "16,23", "--tcti", self.tpm.tcti, "-o", name)
            subprocess.run(["openssl", "dgst", "-sha256", "-sign", "authority.pem", "-out",
                            name + ".sig", name], cwd=self.dir, check=True)
            return name + ".sig"

        for line in (["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                      "authority.pem"],
                     ["ec", "-in", "authority.pem", "-pubout", "-outform", "DER", "-out",
                      "authority.der"]):
            subprocess.run(["openssl", *line], cwd=self.dir, check=True, capture_output=True)
        policy = ["--pcrs", "16,23", "--pcr-authority", "authority.der", "--pcr-signature"]
        write(self.path("forged"), bytes(64))
        self.refused("E_SIGNATURE", "device", "init", "--device", "phone", "--keystore", "tpm2",
                     "--tcti", self.tpm.tcti, *policy, "forged")
        out = self.init(*policy, sign("first"))
        self.assertIn("PCR policy", out["keys"])
        self.enrol()
        self.receive()
        self.ok(*self.open_args())
        self.tpm.extend(16)
        self.assertIn("pcr-policy", self.refused("E_POLICY", *self.open_args()))
        update = sign("second")
        self.refused("E_SIGNATURE", "device", "pcr-policy", "--pcrs", "16,23", "--device", "phone",
                     "--signature", "first.sig")
        self.ok("device", "pcr-policy", "--pcrs", "16,23", "--device", "phone", "--signature",
                update)
        self.ok(*self.open_args())
        self.usage("device", "pcr-policy", "--pcrs", "24", "-o", "x")
        self.usage("device", "pcr-policy", "--pcrs", "7")


@unittest.skipUnless(SOFTHSM and shutil.which("softhsm2-util"), "SoftHSM is not here")
class Pkcs11(Life):
    module = SOFTHSM

    def setUp(self):
        super().setUp()
        self.conf = self.path("softhsm2.conf")
        os.mkdir(self.path("tokens"))
        write(self.conf, b"directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n"
              % self.path("tokens").encode())
        self.env.update(SOFTHSM2_CONF=self.conf, EARMARK_PIN=PIN)
        self.token("my phone")

    def token(self, label):
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN,
                        "--so-pin", "12345678"], env=self.env, check=True, capture_output=True)

    def init(self, *options, name="phone"):
        p = self.run_earmark("device", "init", "--device", name, "--keystore", "pkcs11", "--module",
                             self.module, "--token", "my phone", *options, "--json")
        if b"libp11-kit-dev" in p.stdout:
            self.skipTest("this build has no PKCS#11 support")
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_the_life_of_a_model(self):
        self.init()
        self.whole_life()

    def object_files(self):
        """A private and a public one for each key."""
        return [p for p in glob.glob(self.path("tokens/*/*.object"))
                if not p.endswith("token.object")]

    def test_an_init_that_is_killed_anywhere_is_finished_by_the_next(self):
        def check(_name):
            self.assertEqual(len(self.object_files()), 4)
            for path in self.object_files():
                os.remove(path)

        self.init()
        for path in self.object_files():
            os.remove(path)
        self.killed_everywhere(["--keystore", "pkcs11", "--module", SOFTHSM, "--token", "my phone"],
                               check, (("rename", 19), ("fsync", 40), ("mkdir", 9)))

    def test_an_init_that_fails_leaves_no_trace(self):
        command = ["device", "init", "--device", "tablet", "--keystore", "pkcs11", "--token"]
        self.init()
        for status, *how in (("E_IO", "my phone", "--module", "/no/such.so"),
                             ("E_IO", "another", "--module", SOFTHSM),
                             ("E_SEALED", "my phone", "--module", SOFTHSM)):
            more = {"env": {"EARMARK_PIN": "9999"}} if status == "E_SEALED" else {}
            self.refused(status, *command, *how, **more)
            self.assertEqual(os.listdir(self.path("tablet")), [])
        self.ok("device", "init", "--device", "tablet")

    def test_two_devices_share_a_token(self):
        self.init()
        self.init(name="tablet")
        self.whole_life()
        self.ok("device", "list", "--device", "tablet")

    def test_a_wrong_pin_is_told(self):
        self.init()
        self.refused("E_SEALED", "device", "list", "--device", "phone",
                     env={"EARMARK_PIN": "9999"})
        write(self.path("pin"), PIN.encode() + b"\n")
        self.ok("device", "list", "--device", "phone", "--passphrase-file", "pin",
                env={"EARMARK_PIN": "9999"})

    def test_a_token_that_is_away_is_not_lost(self):
        self.init()
        self.enrol()
        self.receive()
        os.rename(self.path("tokens"), self.path("pocket"))
        os.mkdir(self.path("tokens"))
        self.assertIn("plug it in", self.refused("E_IO", *self.open_args()))
        os.rmdir(self.path("tokens"))
        os.rename(self.path("pocket"), self.path("tokens"))
        self.ok(*self.open_args())

    def test_deleted_keys_mean_fetch_again(self):
        self.init()
        self.enrol()
        self.receive()
        shutil.rmtree(self.path("tokens"))
        os.mkdir(self.path("tokens"))
        self.token("my phone")
        self.assertIn("fetch its models again", self.refused("E_KEY_LOST", *self.open_args()))

    def test_a_module_that_is_none_is_told(self):
        for module in ("/no/such.so", "/bin/true"):
            self.refused("E_IO", "device", "init", "--device", "phone2", "--keystore", "pkcs11",
                         "--module", module, "--token", "my phone")
        self.refused("E_IO", "device", "init", "--device", "phone2", "--keystore", "pkcs11",
                     "--module", SOFTHSM, "--token", "another")

    def test_doctor_finds_the_token(self):
        keys = self.json("doctor", "--module", SOFTHSM, "--token", "my phone")["device_keys"]
        self.assertIs(keys["pkcs11"]["usable"], True)


class SlowToken(Pkcs11):
    """A token that takes its time for one process: what the others can do meanwhile.  Runs the
    token's tests no second time: see load_tests."""

    def setUp(self):
        super().setUp()
        if not SLOW_PKCS11 or not os.path.exists(SLOW_PKCS11):
            self.skipTest("the slow module is not here: SLOW_PKCS11")
        self.env["SLOW_PKCS11_BEHIND"] = SOFTHSM
        self.gate = self.path("gate")
        self.module = SLOW_PKCS11
        self.init()
        self.enrol()

    def wait_for(self, what, p):
        for _ in range(3000):
            if what():
                return
            if p.poll() is not None:
                break
            time.sleep(0.02)
        p.kill()
        self.fail((what, p.communicate()))

    def begin(self, *args):
        """Starts what will wait for the token, and waits until it does."""
        with contextlib.suppress(OSError):
            os.remove(self.gate + ".waiting")
        write(self.gate, b"")
        p = subprocess.Popen([*COMMAND, *args], cwd=self.dir, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=dict(self.env, SLOW_PKCS11_GATE=self.gate))
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        self.wait_for(lambda: os.path.exists(self.gate + ".waiting"), p)
        return p

    def end(self, p):
        """Lets it go on; gives what it said."""
        self.assertIsNone(p.poll())  # it waited all the time
        os.remove(self.gate)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0, err)
        return out

    def test_other_models_do_not_wait_for_a_slow_token(self):
        first = self.receive("nose")["name"]
        slow = self.receive("ears")["name"]  # the later one, so the one that is looked at first
        digest = hashlib.sha256(read(self.path("model.bin"))).hexdigest()
        p = self.begin(*self.open_args(slow))
        behind = subprocess.Popen([*COMMAND, *self.open_args(slow)], cwd=self.dir, env=self.env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        self.addCleanup(behind.wait)
        self.addCleanup(behind.kill)
        self.assertEqual(self.json(*self.open_args("nose"))["sha256"], digest)
        self.assertEqual(self.json(*self.open_args(first))["sha256"], digest)
        third = self.receive("mouth")["name"]
        self.ok("vault", "rewrap", third, "--device", "phone")
        self.ok("device", "remove", third, "--device", "phone")
        self.assertIsNone(behind.poll())  # the same entry is waited for
        self.assertIn(digest.encode(), self.end(p))
        out, err = behind.communicate(timeout=60)
        self.assertEqual(behind.returncode, 0, err)
        self.assertIn(digest.encode(), out)

    def test_a_request_and_an_accept_that_wait_hold_up_nobody(self):
        self.receive("nose")
        p = self.begin("request", "--device", "phone", "-m", "ears", "-u", "alice", "-o", "ears.request")
        self.ok(*self.open_args("nose"))
        self.receive("mouth")
        self.end(p)
        self.ok("ticket", "ears.request", "-o", "ears.ticket")
        self.ok("seal", "model.bin", "-t", "ears.ticket", "-o", "ears.emk")
        p = self.begin("accept", "ears.emk", "-t", "ears.ticket", "--device", "phone")
        self.ok(*self.open_args("nose"))
        self.receive("brow")
        self.refused("E_BUSY", "accept", "ears.emk", "-t", "ears.ticket", "--device", "phone")
        self.end(p)
        self.ok(*self.open_args("ears"))

    def test_who_waits_for_a_slow_token_can_be_ended_and_nothing_is_used_up(self):
        self.receive("ears")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            p = self.begin(*self.open_args())
            p.send_signal(number)
            p.communicate(timeout=60)
            self.assertNotEqual(p.returncode, 0)
        os.remove(self.gate)
        self.assertEqual(self.json(*self.open_args())["opens_left"], 8)
        self.ok("vault", "verify", "--device", "phone")


class IssuerInToken(Pkcs11):
    """The other end: an issuer whose key is in the token.  Runs the device's tests no second time:
    see load_tests."""

    def make(self, *options, name="company"):
        return ["issuer", "init", "--issuer", self.path(name), "--keystore", "pkcs11", "--module",
                SOFTHSM, "--token", "my phone", *options]

    def make_here(self):
        p = self.run_earmark(*self.make())
        if b"libp11-kit-dev" in p.stderr:
            self.skipTest("this build has no PKCS#11 support")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.env["EARMARK_ISSUER"] = self.path("company")

    def objects(self):
        return len(self.object_files())

    def test_it_certifies_issues_and_seals(self):
        self.make_here()
        self.assertEqual(self.objects(), 2)
        self.assertFalse(os.path.exists(self.path("company/issuer.key")))
        self.ok("device", "init", "--device", "box", "--issuer", self.path("company"))
        self.ok("issuer", "enrol", "--device", "box")
        self.deliver("m", "--lease", "1h", device="box")
        self.json("lease", "issue", "m.ticket", "-o", "m.lease")
        self.json("accept", "m.emk", "-t", "m.ticket", "--lease", "m.lease", "--device", "box")
        self.json("open", "m", "-u", "alice", "--device", "box")
        self.ok("issuer", "sealing-key")
        self.assertEqual(self.objects(), 2)

    def test_its_pin_is_asked_for_where_it_signs(self):
        self.make_here()
        self.ok("device", "init", "--device", "box", "--issuer", self.path("company"))
        self.refused("E_SEALED", "issuer", "enrol", "--device", "box",
                     env={"EARMARK_PIN": "9999"})
        self.ok("issuer", "enrol", "--device", "box")

    def test_keys_are_never_replaced(self):
        self.make_here()
        self.refused("E_USED", *self.make())
        self.refused("E_USED", "issuer", "init", "--issuer", self.path("company"))
        self.refused("E_USED", *self.make(name="issuer"))
        self.assertEqual(self.objects(), 2)

    def test_what_makes_no_sense_is_refused(self):
        self.usage("issuer", "init", "--issuer", "x", "--keystore", "pkcs11")
        self.usage("issuer", "init", "--issuer", "x", "--keystore", "tpm2")
        self.usage("issuer", "init", "--issuer", "x", "--token", "t", "--module", SOFTHSM)
        self.usage(*self.make("--ask-passphrase"))
        self.refused("E_IO", "issuer", "init", "--issuer", "x", "--keystore", "pkcs11", "--module",
                     SOFTHSM, "--token", "another")
        self.assertFalse(os.path.exists(self.path("x/keystore")))

    def test_a_key_that_is_gone_is_told(self):
        self.make_here()
        self.ok("device", "init", "--device", "box", "--issuer", self.path("company"))
        shutil.rmtree(self.path("tokens"))
        os.mkdir(self.path("tokens"))
        self.token("my phone")
        self.refused("E_KEY_LOST", "issuer", "enrol", "--device", "box")

    def cut(self, *missing):
        """As an init leaves it that was killed before these were written."""
        for name in missing:
            os.remove(self.path("company/" + name))

    def test_an_init_that_was_cut_short_is_finished_by_the_next(self):
        self.make_here()
        key = read(self.path("company/issuer.pub"))
        self.cut("issuer.pub")
        self.ok(*self.make())
        self.assertEqual(read(self.path("company/issuer.pub")), key)  # with the key it had made
        self.cut("issuer.pub", "sealing.key", "sealing.cert")
        self.ok(*self.make())
        self.assertEqual((read(self.path("company/issuer.pub")), self.objects()), (key, 2))
        self.ok("issuer", "sealing-key")

    def test_an_init_that_was_cut_short_before_its_key_makes_one(self):
        self.make_here()
        key = read(self.path("company/issuer.pub"))
        for gone in (slice(None), slice(1), slice(1, 2)):  # all of the key, or half of it
            self.cut("issuer.pub", "sealing.key", "sealing.cert")
            for path in self.object_files()[gone]:
                os.remove(path)
            self.ok(*self.make())
            self.assertEqual(self.objects(), 2)
        self.assertNotEqual(read(self.path("company/issuer.pub")), key)
        self.token("another")
        self.cut("issuer.pub")
        self.refused("E_USED", "issuer", "init", "--issuer", self.path("company"), "--keystore",
                     "pkcs11", "--module", SOFTHSM, "--token", "another")

    def test_a_device_init_that_was_cut_short_leaves_no_keys_behind(self):
        command = ["device", "init", "--keystore", "pkcs11", "--module", SOFTHSM, "--token",
                   "my phone", "--device", "phone"]
        self.make_here()
        before = self.objects()
        self.ok(*command)
        self.assertEqual(self.objects(), before + 4)
        for cut in ((), ("issuer.pub",), ("issuer.pub", "device.enrolment", "keys")):
            write(self.path("phone/unfinished"), b"")
            for name in cut:
                shutil.rmtree(self.path("phone/" + name)) if name == "keys" else \
                    os.remove(self.path("phone/" + name))
            self.ok(*command)
            self.assertEqual(self.objects(), before + 4)
        shutil.rmtree(self.path("phone/keys"))  # no cut leaves this: the keys may be wanted yet
        self.refused("E_USED", *command)
        self.assertEqual(self.objects(), before + 4)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Soft, Tpm2, Pkcs11):
        suite.addTests(loader.loadTestsFromTestCase(case))
    for case in (SlowToken, IssuerInToken):
        for name in vars(case):
            if name.startswith("test_"):
                suite.addTest(case(name))
    return suite


if __name__ == "__main__":
    unittest.main()
