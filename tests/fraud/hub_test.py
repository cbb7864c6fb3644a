#!/usr/bin/env python3
"""Logs of ../shared/vectors/fraud/crowdsec-hub, through an adapter, give the verdicts that their
asserts state: which scenario overflows for which source, and for no other.

Leaky buckets become a `rate` feature (capacity within capacity x leak speed), `distinct` ones a
`distinct` feature over the same time, impossible travel a `geo_velocity` feature.  The adapter reads
the log, applies the scenario's filter and writes events; the engine decides.  Places stand in no log:
they are the middle of the country that the assert names, as an enrichment would have written them.

    EARMARK=bin/earmark hub_test.py [-v]"""
import calendar
import collections
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("EMK_SHARED", os.path.join(HERE, "..", "..", "..", "shared"))
HUB = os.path.join(SHARED, "vectors", "fraud", "crowdsec-hub")
EARMARK = os.environ.get("EARMARK", "")
MONTHS = {m: i + 1 for i, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
PLACES = {"AU": (-25.0, 133.0), "US": (38.0, -97.0)}
STATIC = re.compile(r"\.(jpe?g|png|gif|css|js|ico|svg|woff2?|ttf|eot|map|webp)$", re.I)

WORDPRESS = re.compile(r"(/wp-.*\.php|/wp-content/plugins/.*\.(txt|md))$", re.I)

Event = collections.namedtuple("Event", "ms ip user kind path args file verb status agent host country")


def event(ms, ip, user="", kind="", path="", args="", verb="", status="", agent="", host="", country=""):
    return Event(ms, ip, user, kind, path, args, path.rsplit("/", 1)[-1], verb, status, agent, host, country)


# ---- logs ----

def syslog_ms(line):
    m = re.match(r"([A-Z][a-z]{2}) +(\d+) (\d+):(\d+):(\d+) ", line)
    if m:
        month, day, *rest = m.groups()
        return calendar.timegm((2025, MONTHS[month], int(day), *map(int, rest))) * 1000
    m = re.match(r"(\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d))", line)
    return iso_ms(m.group(1)) if m else None


def iso_ms(text):
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    t = datetime.datetime.fromisoformat(text)
    if t.tzinfo is None:
        t = t.replace(tzinfo=datetime.timezone.utc)
    return int(t.timestamp() * 1000)


SSH_FAILED = [
    r"Invalid user (?P<user>\S*) from (?P<ip>[0-9a-f.:]+)",
    r"Failed \S+ for (?:invalid user )?(?P<user>\S*) from (?P<ip>[0-9a-f.:]+)",
    r"Disconnected from (?:authenticating|invalid) user (?P<user>\S*) (?P<ip>[0-9a-f.:]+)",
    r"(?P<user>)banner exchange: Connection from (?P<ip>[0-9a-f.:]+) port \d+: invalid format",
    r"Connection closed by (?:authenticating|invalid) user (?P<user>\S*) (?P<ip>[0-9a-f.:]+)",
]


def read_ssh(line):
    ms = syslog_ms(line)
    for pattern in SSH_FAILED:
        m = re.search(pattern, line)
        if m and "sshd" in line:
            return event(ms, m["ip"], m["user"], "ssh_failed-auth")
    m = re.search(r"Accepted \S+ for (?P<user>\S+) from (?P<ip>[0-9a-f.:]+)", line)
    return event(ms, m["ip"], m["user"], "auth_success") if m else None


COMBINED = re.compile(r'(?P<ip>[0-9a-f.:]+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d+) \S+'
                      r'(?: "[^"]*" "(?P<agent>[^"]*)")?')
LIMITED = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d) \[error\] .*limiting requests.* client: ([0-9a-f.:]+),")
NOT_FOUND = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d) \[error\] .*(?:was not found in|password mismatch).*"
                       r" client: ([0-9a-f.:]+),")


def read_http(line):
    for pattern, kind in ((LIMITED, "req_limit"), (NOT_FOUND, "auth_fail")):
        m = pattern.search(line)
        if m:
            *when, ip = m.groups()
            return event(calendar.timegm(tuple(map(int, when))) * 1000, ip, kind=kind)
    m = COMBINED.search(line)
    if not m:
        return None
    when = datetime.datetime.strptime(m["time"], "%d/%b/%Y:%H:%M:%S %z")
    words = m["request"].split(" ")
    target = words[1] if len(words) > 1 else m["request"]
    path, _, args = target.partition("?")
    return event(int(when.timestamp() * 1000), m["ip"], kind="http", path=path, args=args,
                 verb=words[0] if len(words) > 1 else "", status=m["status"], agent=m["agent"] or "")


def read_envoy(line):
    m = re.search(r"\{.*\}", line)
    if not m:
        return None
    v = json.loads(m.group(0))
    if "downstream_remote_address" not in v:
        return None
    path, _, args = v.get("x-envoy-origin-path", "").partition("?")
    return event(iso_ms(v["start_time"]), v["downstream_remote_address"].rsplit(":", 1)[0], kind="http",
                 path=path, args=args, verb=v.get("method", ""), status=str(v.get("response_code", "")),
                 agent=v.get("user-agent", ""), host=v.get(":authority", ""))


def read_json_login(line):
    v = json.loads(line)
    if v.get("event") == "user.login":
        ip = v.get("addr.remote", "").rsplit(":", 1)[0]
        return event(iso_ms(v["time"]), ip, v.get("user", ""),
                     "auth_success" if v.get("success") else "teleport_fail")
    m = re.search(r'User "([^"]+)" logged in with .* from ip "([^"]+)"', v.get("message", ""))
    return event(iso_ms(v["time"]), m[2], m[1], "auth_success") if m else None


def read_magento(line):
    m = re.match(r"\[([0-9-]+) ([0-9:]+)\] \S+ +(\{.*\})", line)
    v = json.loads(m[3]) if m else {}
    return event(iso_ms(f"{m[1]}T{m[2]}"), v["ip"], kind=v["type"]) if m else None


# ---- scenarios: what the shipped YAML says, as a filter and a bucket ----

def is_static(e):
    return bool(STATIC.search(e.path))


def http(test):
    return lambda e: e.kind == "http" and test(e)


def ip(e):
    return e.ip


FILTERS = {
    "ssh-bf": (lambda e: e.kind == "ssh_failed-auth", ip),
    "ssh-slow-bf": (lambda e: e.kind == "ssh_failed-auth", ip),
    "ssh-bf_user-enum": (lambda e: e.kind == "ssh_failed-auth" and e.user, ip),
    "ssh-slow-bf_user-enum": (lambda e: e.kind == "ssh_failed-auth" and e.user, ip),
    "http-probing": (http(lambda e: e.status in ("404", "403", "400") and not is_static(e)),
                     lambda e: e.ip + "/" + e.host),
    "http-crawl-non_statics": (http(lambda e: not is_static(e) and e.verb in ("GET", "HEAD")),
                               lambda e: e.ip + "/" + e.host),
    "http-dos-swithcing-ua": (http(lambda e: True), ip),
    "http-dos-random-uri": (http(lambda e: e.verb == "GET" and not is_static(e) and e.status == "404"), ip),
    "http-dos-bypass-cache": (http(lambda e: len(e.args) >= 7), ip),
    "http-generic-bf": (lambda e: e.kind == "auth_fail" or
                        e.kind == "http" and e.verb == "POST" and e.status in ("401", "403"), ip),
    "LePresidente/http-generic-401-bf": (http(lambda e: e.verb == "POST" and e.status == "401"), ip),
    "LePresidente/http-generic-403-bf": (http(lambda e: e.verb == "POST" and e.status == "403"), ip),
    "http-wordpress_user-enum": (http(lambda e: "AUTHOR=" in e.args.upper()), ip),
    "http-wordpress_wpconfig": (http(lambda e: "wp-config.php" in e.file), ip),
    "http-wordpress-scan": (http(lambda e: e.status in ("404", "403") and WORDPRESS.search(e.path)), ip),
    "http-bf-wordpress_bf": (http(lambda e: e.file == "wp-login.php" and e.verb == "POST" and e.status == "200"), ip),
    "nginx-req-limit-exceeded": (lambda e: e.kind == "req_limit", ip),
    "http-magento-bf": (lambda e: e.kind == "ADMIN_LOGIN_FAILED", ip),
    "http-magento-ccs": (lambda e: e.kind == "PAYMENT_FAILED", ip),
    "teleport-bf": (lambda e: e.kind == "teleport_fail", ip),
    "teleport-slow-bf": (lambda e: e.kind == "teleport_fail", ip),
    "impossible-travel": (lambda e: e.kind == "auth_success" and e.user, lambda e: e.user),
    "impossible-travel-user": (lambda e: e.kind == "auth_success" and e.user, lambda e: e.user),
}
DISTINCT = {"evt.Meta.target_user": lambda e: e.user, "evt.Meta.http_path": lambda e: e.path,
            "evt.Parsed.file_name": lambda e: e.file, "evt.Parsed.http_args": lambda e: e.args,
            "evt.Parsed.request": lambda e: e.path, "evt.Parsed.http_user_agent": lambda e: e.agent}
# One folder of logs: who reads it, and the scenarios of it that are judged.
TESTS = {
    "ssh-bf": read_ssh, "ssh-slow-bf": read_ssh, "sshd-invalid-bf": read_ssh, "sshd_banner_exchange": read_ssh,
    "apache-http-probing": read_http, "apache2-malformed": read_http, "nginx-http-malformed": read_http,
    "nginx-http-generic-bf": read_http, "nginx_req_limit_exceeded": read_http,
    "http-dos-random-uri": read_http, "http-dos-switching-ua": read_http, "http-dos-bypass-cache": read_http,
    "http-wordpress_user-enum": read_http, "http-wordpress_wpconfig": read_http, "http-wordpress-scan": read_http,
    "http-bf-wordpress-bf": read_http, "envoy-http-crawl-non_statics": read_envoy,
    "http-magento-bf": read_magento, "magento-ccs": read_magento, "teleport-bf": read_json_login,
    "sshd-impossible-travel": read_ssh, "sshd-impossible-travel-user": read_ssh,
    "sftpgo-impossible-travel": read_json_login, "teleport-impossible-travel": read_json_login,
}


def read_scenarios():
    """name -> (type, capacity, leak in seconds, distinct) of the shipped YAML, by the few lines needed."""
    found = {}
    for name in os.listdir(os.path.join(HUB, "scenarios")):
        with open(os.path.join(HUB, "scenarios", name), encoding="utf-8") as f:
            for part in re.split(r"^---", f.read(), flags=re.M):
                value = dict(re.findall(r"^(type|name|capacity|leakspeed|distinct): *[\"']?([^\"'\n]+?)[\"']? *$",
                                        part, re.M))
                if "name" not in value:
                    continue
                leak = re.match(r"([\d.]+)(ms|s|m|h)", value.get("leakspeed", "0s"))
                seconds = float(leak[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[leak[2]]
                found[value["name"]] = (value["type"], int(value.get("capacity", 0)), seconds,
                                        value.get("distinct"))
    return found


def short(name):
    return name.removeprefix("crowdsecurity/")


def stated(folder):
    """(scenario, source) pairs of the assert, and its text."""
    with open(os.path.join(folder, "scenario.assert"), encoding="utf-8") as f:
        text = f.read()
    names = dict(re.findall(r'results\[(\d+)\]\.Overflow\.Alert\.GetScenario\(\) == "([^"]+)"', text))
    pairs = set()
    for i, source in re.findall(r'results\[(\d+)\]\.Overflow\.Sources\["([^"]+)"\]\.', text):
        pairs.add((short(names[i]), source))
    users = re.findall(r'results\[(\d+)\]\.Overflow\.Alert\.Events\[\d+\]\.GetMeta\("user"\) == "([^"]+)"', text)
    pairs |= {(short(names[i]), user) for i, user in users if "impossible" in names[i]}
    return pairs, text


def countries(text):
    by_event = collections.defaultdict(dict)
    for key, name, value in re.findall(r'(results\[\d+\]\.Overflow\.Alert\.Events\[\d+\])\.GetMeta\("'
                                       r'(source_ip|IsoCode)"\) == "([^"]*)"', text):
        by_event[key][name] = value
    return {v["source_ip"]: v["IsoCode"] for v in by_event.values() if len(v) == 2}


# ---- the engine ----

HEAD = """ruleset: {name: hub, version: 1, detection_paranoia: 1, blocking_paranoia: 1}
families: {a: {cap: 10}}
features:
  f: {%s}
rules:
- {id: R, name: r, family: a, entity: subj.user, on: [device.enroll], when: "%s", score: 9, half_life: 24h, reason: r}
"""


def rules_for(kind, capacity, leak, distinct):
    window = f"{max(int(capacity * leak * 1000), 12)}ms"
    if kind == "conditional":
        return HEAD % ("kind: geo_velocity, key: subj.user, min_km: 1000, on: [device.enroll]", "f > 300")
    if distinct:
        return HEAD % (f"kind: distinct, of: obj.artifact, key: subj.user, window: {window}, "
                       f"size: {min((capacity + 4) // 4 * 4, 64)}, on: [device.enroll]", f"f > {capacity}")
    return HEAD % (f"kind: rate, key: subj.user, window: {window}, limit: {capacity}, on: [device.enroll]",
                   f"f > {capacity}")


def run_engine(folder, rules, events, who, distinct, places):
    def name(text):
        return re.sub(r"[^!#-\[\]-~]", "_", text)[:120] or "-"
    paths = [os.path.join(folder, n) for n in ("rules.yaml", "events.jsonl", "labels.jsonl")]
    keys = sorted({who(e) for e in events})
    with open(paths[0], "w", encoding="ascii") as f:
        f.write(rules)
    with open(paths[1], "w", encoding="ascii") as f:
        for e in events:
            subj = {"user": name(who(e)), "net": name(e.ip)}
            if e.ip in places:
                subj["geo"] = [*PLACES[places[e.ip]], 10]
            line = {"v": 1, "src": "server", "type": "device.enroll", "ts": e.ms, "subj": subj}
            if distinct:
                line["obj"] = {"artifact": name(DISTINCT[distinct](e))}
            f.write(json.dumps(line) + "\n")
    with open(paths[2], "w", encoding="ascii") as f:
        for i, key in enumerate(keys):
            f.write(json.dumps({"entity": "user:" + name(key), "label": "fraud", "by": f"g{i}"}) + "\n")
    done = subprocess.run([EARMARK, "fraud", "replay", "--rules", paths[0], "--events", paths[1],
                           "--labels", paths[2], "--strict", "--json"], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    hit = {g["group"] for g in json.loads(done.stdout)["groups"] if g["throttle"]["recall"]["k"]}
    return {key for i, key in enumerate(keys) if f"g{i}" in hit}


def judge(test, scenarios, verbose):
    """(right, wrong) verdicts: a source that must overflow and does, one that must not and does not."""
    folder = os.path.join(HUB, "tests", test)
    with open(os.path.join(folder, "config.yaml"), encoding="utf-8") as f:
        config = f.read()
    log = re.search(r"^log_file: *[\"']?([^\"'\n]+)", config, re.M)[1]
    with open(os.path.join(folder, log), encoding="utf-8", errors="replace") as f:
        read = [TESTS[test](line.rstrip("\n")) for line in f if line.strip()]
    events = [e for e in read if e]
    pairs, text = stated(folder)
    wanted = {s for s, _ in pairs}
    places = countries(text)
    right, wrong = 0, []
    for scenario in sorted(wanted):
        full = scenario if "/" in scenario else "crowdsecurity/" + scenario
        if full not in scenarios or scenario not in FILTERS:
            wrong.append((scenario, "no such scenario here"))
            continue
        kind, capacity, leak, distinct = scenarios[full]
        accept, who = FILTERS[scenario]
        chosen = [e for e in events if accept(e)]
        with tempfile.TemporaryDirectory() as tmp:
            got = run_engine(tmp, rules_for(kind, capacity, leak, distinct), chosen, who, distinct,
                             places) if chosen else set()
        keys = {who(e) for e in events if accept(e)}
        must = {key for key in keys if (scenario, key.split("/")[0]) in pairs}
        for key in sorted(keys):
            if (key in got) == (key in must):
                right += 1
            else:
                wrong.append((scenario, key, "should" if key in must else "should not"))
        if not must:
            wrong.append((scenario, "the source of the assert is not in the log as read"))
    if verbose or wrong:
        print(f"{test}: {right} right, {len(wrong)} wrong {wrong if wrong else ''}")
    return right, len(wrong)


def not_covered(scenarios):
    reasons = collections.Counter()
    for test in sorted(os.listdir(os.path.join(HUB, "tests"))):
        path = os.path.join(HUB, "tests", test, "scenario.assert")
        if test in TESTS:
            continue
        if not os.path.exists(path) or not os.path.getsize(path):
            reasons["no scenario is asserted (parsers only)"] += 1
            continue
        names = {full for full in re.findall(r'GetScenario\(\) == "([^"]+)"', open(path, encoding="utf-8").read())}
        kinds = {scenarios[n][0] for n in names if n in scenarios}
        if not names:
            reasons["no overflow is asserted"] += 1
        elif not names <= set(scenarios):
            reasons["its scenario is not among the shipped YAML"] += 1
        elif kinds == {"trigger"}:
            reasons["a trigger: one line matches a pattern, no counting"] += 1
        elif "conditional" in kinds:
            reasons["conditional on times between events (not impossible travel)"] += 1
        else:
            reasons["its filter needs pattern files or a log format that the adapter does not read"] += 1
    return reasons


def main():
    if not os.path.isdir(HUB):
        print("SKIP ../shared/vectors/fraud/crowdsec-hub is not here")
        return 77
    scenarios = read_scenarios()
    right = wrong = 0
    for test in sorted(TESTS):
        r, w = judge(test, scenarios, "-v" in sys.argv)
        right, wrong = right + r, wrong + w
    print(f"{len(TESTS)} logs, {right} verdicts right, {wrong} wrong")
    for reason, n in sorted(not_covered(scenarios).items()):
        print(f"not covered, {n} logs: {reason}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
