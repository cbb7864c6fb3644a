#!/usr/bin/env python3
"""`earmark fraud` on files as others may write them.   EARMARK=bin/earmark replay_test.py"""
import gzip
import json
import os
import subprocess
import sys
import tempfile
import unittest

EARMARK = os.environ.get("EARMARK", "")
RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "rules", "base.yaml")
T0 = 1767225600000


def line(i, **more):
    subj = {"user": f"u-{i % 3}", "device": "d-1"}
    return json.dumps({"v": 1, "id": f"e{i}", "src": "server", "type": "model.grant", "ts": T0 + i * 1000,
                       "subj": subj, "obj": {"artifact": f"a-{i}"}, **more})


class Replay(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.folder.cleanup()

    def file(self, name, data):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return path

    def run_it(self, *words, stdin=None):
        done = subprocess.run([EARMARK, "fraud", *words, "--json"], capture_output=True, input=stdin)
        self.assertGreaterEqual(done.returncode, 0, "killed by a signal")
        return done.returncode, json.loads(done.stdout)

    def replay(self, events, labels=None, *words, rules=RULES):
        args = ["replay", "--rules", rules, "--events", self.file("e", events)]
        if labels is not None:
            args += ["--labels", self.file("l", labels)]
        return self.run_it(*args, *words)

    def good(self, *args, **named):
        code, out = self.replay(*args, **named)
        self.assertEqual(code, 0, out)
        return out

    def test_same_result_with_crlf_without_last_newline_and_with_empty_lines(self):
        lines = [line(i) for i in range(20)]
        want = self.good("\n".join(lines) + "\n")
        for text in ("\n".join(lines), "\r\n".join(lines) + "\r\n", "\n\n".join(lines) + "\n\n\n",
                     "\ufeff" + "\n".join(lines)):
            out = self.good(text)
            self.assertEqual((out["input"]["events"], out["input"]["dropped"]), (20, 0), text[:80])
            self.assertEqual(out["stream_sha256"], want["stream_sha256"])

    def test_same_result_with_any_number_of_threads(self):
        text = "\n".join(line(i) for i in range(9000))
        self.assertEqual(self.good(text)["stream_sha256"], self.good(text, None, "--threads", "7")["stream_sha256"])

    def test_empty_files(self):
        for events in ("", "\n", "\n\n\n"):
            out = self.good(events, "")
            self.assertEqual(out["input"]["events"], 0)

    def test_counts_what_is_no_event_and_fails_when_strict(self):
        bad = [b"nonsense", b"[]", b"{}", b"\x00" * 50, b"{" * 5000, b'{"v":2}', b"\xff\xfe\n", b"x" * 100000,
               line(5, surprise=1).encode(), line(6, ts=-1).encode(), line(7, type="model.steal").encode(),
               line(8, src="sdk", type="admin.ban").encode(), b'{"v":1,"v":1}']
        for text in bad:
            events = line(1).encode() + b"\n" + text + b"\n" + line(2).encode() + b"\n"
            out = self.good(events)
            self.assertEqual(out["input"]["events"], 2, text[:60])
            self.assertGreaterEqual(out["input"]["dropped"], 1, text[:60])
            code, out = self.replay(events, None, "--strict")
            self.assertEqual(code, 4, text[:60])

    def test_a_log_of_another_kind_is_an_error(self):
        for text in ("nonsense", "<xml/>\n<xml/>\n", '{"time":"2026-01-01","message":"hello"}\n' * 5):
            self.assertEqual(self.replay(text)[0], 4, text)

    def test_unordered_and_double_events(self):
        lines = [line(i) for i in range(50)]
        out = self.good("\n".join(reversed(lines)))
        self.assertEqual(out["input"]["events"], 50)
        out = self.good("\n".join(lines + lines))
        self.assertEqual((out["input"]["events"], out["input"]["duplicate"]), (50, 50))

    def test_says_so_when_a_file_is_compressed(self):
        code, out = self.replay(gzip.compress(b"\n".join(line(i).encode() for i in range(10))), None)
        self.assertNotEqual(code, 0, out)
        self.assertIn("compressed", json.dumps(out))

    def test_labels_of_all_kinds(self):
        label = {"entity": "user:u-1", "label": "fraud", "source": "analyst", "at": T0, "by": "x"}
        out = self.good(line(1), json.dumps(label) + "\r\n\n" + json.dumps({**label, "label": "ok", "source": "appeal"}))
        self.assertEqual(out["fraud"]["entities"], 1)
        for bad in ("nonsense", "{}", '{"entity":"user:u","label":"maybe"}', "[1]", '{"entity":1,"label":"ok"}'):
            code, out = self.replay(line(1), bad)
            self.assertEqual(code, 4, (bad, out))

    def test_files_that_are_not_there_and_odd_options(self):
        self.assertNotEqual(self.run_it("replay", "--rules", RULES, "--events", "/nowhere")[0], 0)
        events = self.file("e", line(1))
        for words in (["--threads", "0"], ["--threads", "x"], ["--until", "-1"], ["--until", "soon"]):
            self.assertEqual(self.run_it("replay", "--rules", RULES, "--events", events, *words)[0], 64, words)
        self.assertNotEqual(self.run_it("replay", "--rules", events, "--events", events)[0], 0)

    def test_reads_standard_input(self):
        code, out = self.run_it("replay", "--rules", RULES, "--events", "-", stdin=line(1).encode())
        self.assertEqual((code, out["input"]["events"]), (0, 1))

    def test_until_leaves_out_what_is_later(self):
        out = self.good("\n".join(line(i) for i in range(10)), None, "--until", str(T0 + 4000))
        self.assertEqual(out["input"]["events"], 5)

    def test_explains_an_event_and_says_when_there_is_none(self):
        events = self.file("e", "\n".join(line(i) for i in range(10)))
        code, out = self.run_it("explain", "e2", "--rules", RULES, "--events", events)
        self.assertEqual((code, out["action"]), (0, "deny"), out)
        self.assertIn("would_change", out)
        self.assertNotEqual(self.run_it("explain", "e99", "--rules", RULES, "--events", events)[0], 0)

    def test_diff_counts_what_changes(self):
        with open(RULES, encoding="utf-8") as f:
            milder = f.read().replace("score: 9,", "score: 3,")
        lines = [line(i, subj={"user": "u", "device": "d"}) for i in range(60)]
        events = self.file("e", "\n".join(lines))
        code, out = self.run_it("diff", "--rules", self.file("r", milder), "--baseline", RULES, "--events", events)
        self.assertEqual(code, 0)
        self.assertGreater(out["against_baseline"]["milder"], 0)

    def test_rule_files_that_are_wrong(self):
        for text in ("", "nonsense", "a: [", "ruleset: 1", "x" * (1 << 20) + "y", "&a [*a]", "\x00", "{" * 10000):
            code, out = self.run_it("check", self.file("r", text))
            self.assertNotEqual(code, 0, text[:40])

    def test_campaign_on_odd_input(self):
        code, out = self.run_it("campaign", "--events", self.file("e", "nonsense\n" + line(1)))
        self.assertEqual((code, out["n_groups"], out["grants"]), (0, 0, 1))

    def test_simulate_gives_the_same_bytes_again(self):
        got = []
        for _ in range(2):
            paths = [os.path.join(self.folder.name, n) for n in ("se", "sl")]
            self.assertEqual(self.run_it("simulate", "--seed", "3", "--users", "20", "--days", "5", "--each", "1",
                                         "--events", paths[0], "--labels", paths[1])[0], 0)
            got.append(tuple(open(p, "rb").read() for p in paths))
        self.assertEqual(got[0], got[1])


if __name__ == "__main__":
    unittest.main()
