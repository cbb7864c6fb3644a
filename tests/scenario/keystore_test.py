#!/usr/bin/python3
"""The life of a model with each key holder, and what happens when one fails: a real swtpm and a
real SoftHSM, both started here with a state of their own.

usage: EARMARK=build/bin/earmark keystore_test.py [unittest options]"""
import contextlib
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

from cli_test import Case, read, write

SOFTHSM = next(iter(glob.glob("/usr/lib/softhsm/libsofthsm2.so") +
                    glob.glob("/usr/lib/*/softhsm/libsofthsm2.so")), None)
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


class Soft(Life):
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
        self.refused("E_NOT_FOUND", "device", "list", "--device", "phone")  # no terminal to ask on
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
                             SOFTHSM, "--token", "my phone", *options, "--json")
        if b"libp11-kit-dev" in p.stdout:
            self.skipTest("this build has no PKCS#11 support")
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_the_life_of_a_model(self):
        self.init()
        self.whole_life()

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
        text = read(self.path("phone2/keystore"), "r")
        self.assertNotIn(PIN, text)

    def test_doctor_finds_the_token(self):
        keys = self.json("doctor", "--module", SOFTHSM, "--token", "my phone")["device_keys"]
        self.assertIs(keys["pkcs11"]["usable"], True)


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

    def object_files(self):
        """A private and a public one for each key."""
        return [p for p in glob.glob(self.path("tokens/*/*.object"))
                if not p.endswith("token.object")]

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
        shutil.rmtree(self.path("phone/keys"))
        os.remove(self.path("phone/issuer.pub"))
        self.ok(*command)
        self.assertEqual(self.objects(), before + 4)
        shutil.rmtree(self.path("phone/keys"))  # no cut leaves this: the keys may be wanted yet
        self.refused("E_USED", *command)
        self.assertEqual(self.objects(), before + 4)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for case in (Soft, Tpm2, Pkcs11):
        suite.addTests(loader.loadTestsFromTestCase(case))
    for name in vars(IssuerInToken):
        if name.startswith("test_"):
            suite.addTest(IssuerInToken(name))
    return suite


if __name__ == "__main__":
    unittest.main()
