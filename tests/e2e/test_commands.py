# SPDX-License-Identifier: BSD-2-Clause
"""The commands as a user sees them: help, text and JSON, the findings of doctor, the choices of
attach, and that detach leaves nothing behind."""
import json
import os
import pathlib
import re
import signal

from harness.bed import PINS
from harness.checks import cases, check, equal, timeless, wait_until
from harness.network import PORT, Client
from harness.servers import BOTH, Nginx, Worker, Workers

WIDTH = 80
SERVICE = f"worker-{PORT}"  # the default name

# Of `run`, and of `deploy`.
DEPLOY = ("--strategy", "--steps", "--warm-up", "--step-deadline", "--min-samples", "--tolerate",
          "--max-error-rate", "--confidence", "--pause-timeout", "--keep-old", "--keep-new",
          "--ignore", "--check", "--check-interval", "--gate", "--on-change", "--dry-run")
OPTIONS = {
    "run": ("--workers", "--service", "--listen", "--pass-sockets", "--policy", "--choices",
            "--slow-start", "--skip-stuck", "--no-count", "--http",
            "--label", "--env", "--env-file", "--increment-var", "--instance-var", "--log-file",
            "--user", "--group", "--cwd",
            "--out-file", "--error-file", "--merge-logs", "--log-prefix", "--ready",
            "--ready-timeout", "--settle", "--health-interval", "--health-timeout",
            "--health-failures", "--stop-signal", "--shutdown-message", "--drain-signal",
            "--drain-message", "--drain-timeout", "--kill-mode", "--kill-timeout", "--park-timeout",
            "--lame-duck", "--no-restart", "--stop-exit-codes", "--restart-delay", "--backoff",
            "--max-restarts", "--min-uptime", "--cron-restart",
            "--max-memory", "--memory-limit", "--cpu-limit", "--batch",
            "--in-place", "--max-former", "--keep-going", *DEPLOY, "--web", "--web-admin",
            "--web-token-file", "--web-host", "--web-min-live", "--web-agent", "--only", "--metrics"),
    "check": ("--only", "--env", "--user", "--group", "--json"),
    "reload": ("--service", "--batch", "--in-place", "--keep-going", "--label", "--supervisor",
               "--json"),
    "deploy": ("--service", "--label", *DEPLOY, "--supersede", "--wait", "--detach", "--timeout",
               "--json"),
    "rollout": ("--service", "--watch", "--history", "--json"),
    "promote": ("--service", "--full", "--json"),
    "pause": ("--service", "--json"),
    "abort": ("--service", "--why", "--json"),
    "rollback": ("--service", "--to", "--json"),
    "restart": ("--service", "--in-place", "--json"),
    "scale": ("--service", "--json"),
    "stop": ("--service", "--json"),
    "start": ("--service", "--json"),
    "reopen-logs": ("--service", "--json"),
    "attach": ("--workers", "--service", "--port", "--address", "--pid", "--wait", "--policy", "--choices",
               "--slow-start", "--skip-stuck",
               "--strict", "--no-count", "--http", "--count-max", "--label", "--watch", "--metrics", "--json"),
    "status": ("--service", "--watch", "--json"),
    "top": ("--service",),
    "list": ("--json",),
    "metrics": ("--service", "--listen", "--min-live"),
    "web": ("--listen", "--admin", "--token-file", "--host", "--min-live", "--agent"),
    "drain": ("--service", "--wait", "--timeout", "--close-remaining", "--force", "--json"),
    "drain-host": ("--lame-duck", "--timeout", "--close-remaining", "--json"),
    "resume-host": ("--json",),
    "connections": ("--service", "--json"),
    "events": ("--service", "--follow", "--json"),
    "resume": ("--service", "--json"),
    "weight": ("--service", "--force", "--json"),
    "policy": ("--service", "--choices", "--slow-start", "--skip-stuck", "--json"),
    "canary": ("--service", "--share", "--off", "--json"),
    "label": ("--service", "--force", "--json"),
    "switch": ("--service", "--off", "--force", "--json"),
    "swap": ("--service", "--pid", "--fd", "--json"),
    "detach": ("--service", "--force", "--json"),
    "doctor": ("--service", "--json"),
}


def expect_narrow(text, what):
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    check(not wide, f"{what} has lines of more than {WIDTH} columns: {wide}")
    blank = [line for line in text.splitlines() if line != line.rstrip()]
    check(not blank, f"{what} has white space at the end of lines: {blank}")


def tables(text):
    """The rows of the tables in the text, as dictionaries by the titles. Columns are two spaces
    apart, or one in a wide table."""
    rows = []
    titles, gap = None, None
    for line in text.splitlines():
        if re.match(r" *(SLOT|SERVICE|FOREIGN LISTENER ON) ", line):
            gap = "  +" if re.search(r"[A-Z]  +[A-Z]", line) and "SLOT STATE" not in line else " +"
            titles = re.split(gap, line.strip())
            continue
        cells = re.split(gap or "  +", line.strip())
        if titles and len(cells) != len(titles):
            titles = None
        elif titles:
            rows.append(dict(zip(titles, cells)))
    return rows


# Help


def test_help_lists_all_commands(bed):
    for word in ("--help", "help"):
        result = bed.reuseportd(word)
        expect_narrow(result.out, f"reuseportd {word}")
        for command in OPTIONS:
            check(re.search(rf"(?m)^  {command} ", result.out), f"{command} is not in {result}")
    check(re.fullmatch(r"reuseportd \d+\.\d+\.\d+\n", bed.reuseportd("--version").out), "version")


@cases(*OPTIONS)
def test_help(bed, command):
    result = bed.reuseportd(command, "--help")
    equal(result.err, "", f"stderr of {result}")
    check(result.out.startswith(f"Usage: reuseportd {command} "), f"{result}")
    listed = set(re.findall(r"(?m)^(?:  -\w, |      )(--[a-z-]+)", result.out)) - {"--help", "--usage"}
    equal(listed, set(OPTIONS[command]), f"options of {command}")
    expect_narrow(result.out, f"{command} --help")


def test_help_explains_times(bed):
    text = " ".join(bed.reuseportd("run", "--help").out.split())
    check("a number alone is in seconds" in text, text)


# Files of `run`


def test_check(bed):
    """`check` reports the errors of a file by line, like a compiler, and in JSON."""
    path = bed.dir / "web.conf"
    path.write_text("[web]\ncommand = true\nwrokers = 2\nsettle = soon\n")
    result = bed.run(bed.binary("reuseportd"), "check", path)
    equal((result.code, result.out), (2, ""), f"status and output of {result}")
    reported = re.findall(r"(?m)^(.*?):(\d+): (.+)$", result.err)
    equal([(name, int(line)) for name, line, _ in reported],
          [(str(path), 1), (str(path), 3), (str(path), 4)], f"files and lines of {result}")
    check("did you mean 'workers'?" in reported[1][2], f"{result}")
    result = bed.run(bed.binary("reuseportd"), "check", "--json", path)
    equal((result.code, result.err), (2, ""), f"status and errors of {result}")
    equal(result.json()["problems"], [{"line": int(line), "severity": "error", "text": text}
                                      for _, line, text in reported], "problems")
    path.write_text("[web]\ncommand = true 'a b'\nworkers = 2\n")
    equal(bed.reuseportd("check", "--json", path).json(),
          {"file": str(path), "ok": True, "problems": [],
           "services": [{"service": "web", "workers": 2, "command": ["true", "a b"]}]}, "views")


def test_check_of_program(bed):
    """A missing program is a warning, not an error: the file may be for another machine."""
    path = bed.dir / "web.conf"
    path.write_text("[web]\nworkers = 1\nenv = PATH=/none\ncommand = nosuchprog x\n")
    missing = "can't start 'nosuchprog': no such program in PATH (/none)"
    result = bed.reuseportd("check", path)
    equal((result.out, result.err), ("web: 1 worker: nosuchprog x\n",
                                     f"{path}:4: warning: command: {missing}\n"), f"{result}")
    equal(bed.reuseportd("check", "--json", path).json()["problems"],
          [{"line": 4, "severity": "warning", "text": f"command: {missing}"}], "problems")
    path = bed.dir / "eco.json"
    script = bed.dir / "app.js"
    script.touch()
    path.write_text(json.dumps([{"name": "web", "script": str(script), "max_restarts": 0,
                                 "cron_restart": "0 0 4 * * *",
                                 "interpreter": "/usr/bin/nosuchnode"}]))
    result = bed.reuseportd("check", path)
    equal(result.err, f"{path}: warning: app 'web': can't start '/usr/bin/nosuchnode': there is no "
                      "such file\n", f"{result}")


@cases("reuseportd.conf", "ecosystem.config.js")
def test_check_of_example(bed, name):
    path = pathlib.Path(__file__).parents[2] / "tools/examples" / name
    result = bed.reuseportd("check", path)
    equal(result.err, "", f"problems of {result}")
    check(re.search(r"(?m)^\w+: \d+ workers?( as [\w-]+)?: ", result.out), f"{result}")


# Text and JSON


def test_text_and_json(bed):
    """Every command prints JSON, and text that fits a terminal and has the same values."""
    workers = Workers(bed, 8)
    spare = Worker(bed, "spare")
    attach = ("attach", "--workers", 9)
    other = ("--port", PORT + 1, "--service", "other", "--workers", 2)
    Workers(bed, 2, port=PORT + 1)
    bed.reuseportd("attach", *other)
    for command in (("drain", 1), ("resume", 1), ("weight", "2-3", 250), ("label", "0-3", "blue"),
                    ("label", "4-8", "green"), ("switch", "blue"), ("switch", "--off"),
                    ("canary", 7, "--share", "0.1"), ("canary", "--off")):
        if not (PINS / SERVICE).exists():
            expect_narrow(bed.reuseportd(*attach).out, "attach")
            status = bed.reuseportd("detach", SERVICE, "--json").json()
            equal(status, {"service": SERVICE, "detached": True, "replaced": False},
          "detach --json")
            equal(timeless(bed.reuseportd(*attach, "--json").json()), timeless(bed.status(SERVICE)),
                  "attach --json")
        for variant in ((), ("--json",)):
            result = bed.reuseportd(*command, "--service", SERVICE, *variant)
            equal(result.err, "", f"stderr of {result}")
            if variant:
                equal(timeless(result.json()), timeless(bed.status(SERVICE)), f"JSON of {command}")
            else:
                check(re.fullmatch(rf"{SERVICE}: \d of 9 workers take new connections"
                                   r"(, shares rounded by up to [\d.]+%)?\n", result.out), f"{result}")
    workers[5].process.stop(signal.SIGKILL)
    bed.reuseportd("drain", SERVICE, 6)
    bed.reuseportd("swap", SERVICE, 5, "--pid", Worker(bed, "new").pid)
    bed.load("-n", 100)
    wait_until(lambda: not any(row["active"] for row in bed.status(SERVICE)["workers"]), "all are closed")
    Worker(bed, "stranger")

    text, status = bed.reuseportd("status", SERVICE), bed.status(SERVICE)
    expect_narrow(text.out, "status")
    rows = [row for row in tables(text.out) if "SLOT" in row]
    want = [{"SLOT": str(w["slot"]), "STATE": w["state"], "VERSION": w["version"],
             "WT": str(w["weight"]), "SHARE": f"{w['share_percent']:.1f}%", "PID": str(w["pid"]),
             "COMMAND": w["command"], "STEERED": str(w["steered"]), "ACTIVE": str(w["active"]),
             "QUEUE": "-" if w["queued"] is None else str(w["queued"])}
            for w in status["workers"]]
    equal([{key: row[key] for key in want[0]} for row in rows], want, "status as text and as JSON")
    check("FOREIGN LISTENER ON" in text.out, f"no foreign listener in {text}")
    equal(len(status["foreign_listeners"]), 1, "foreign listeners")
    equal(sum(row["steered"] for row in status["workers"]), status["counters"]["steered"]
          + status["counters"]["slot_gone"] + status["counters"]["passed_on"], "sum of steered connections")
    check(spare.process.alive(), "the spare lives")

    text, services = bed.reuseportd("list"), bed.reuseportd("list", "--json").json()
    expect_narrow(text.out, "list")
    equal(services, [
        {"service": "other", "endpoint": f"0.0.0.0:{PORT + 1}", "endpoints": 1,
         "policy": "round-robin", "workers": 2, "live": 2, "in_ring": 2, "run": False},
        {"service": SERVICE, "endpoint": f"0.0.0.0:{PORT}", "endpoints": 1,
         "policy": "round-robin", "workers": 9, "live": 9, "in_ring": 8, "run": False}], "list --json")
    equal([(row["SERVICE"], row["LIVE"], row["IN RING"]) for row in tables(text.out)],
          [("other", "2", "2"), (SERVICE, "9", "8")], "list")

    text, checks = bed.reuseportd("doctor"), bed.reuseportd("doctor", "--json").json()
    expect_narrow(text.out, "doctor")
    words = " ".join(text.out.replace("->", "").split())
    for row in checks:
        check(set(row) <= {"check", "verdict", "detail", "advice"}, f"{row}")
        check(" ".join(row["detail"].split()) in words, f"{row['detail']} is not in {text}")


def test_many_slots(bed):
    """1,024 workers have a row each; a long list of slots is cut."""
    worker = Worker(bed, "w", options=("--threads", 1024))
    begin = bed.reuseportd("attach", "--workers", 1024, deadline=60)
    expect_narrow(begin.out, "attach")
    status = bed.status()
    equal([row["slot"] for row in status["workers"]], list(range(1024)), "slots")
    equal(status["ring"], {"length": 1024, "slots": 1024, "rounding_error_ppm": 0}, "ring")
    rows = tables(bed.reuseportd("status").out)
    equal([row["SLOT"] for row in rows], [str(slot) for slot in range(1024)], "slots, as text")
    result = bed.reuseportd("drain", "1-1000,1002,1004-1023")
    equal(result.out, f"{SERVICE}: 3 of 1024 workers take new connections\n", "drain")
    report = bed.load("-n", 300)
    equal((report["failed"], sorted(report["workers"].items())),
          (0, [("w.0", 100), ("w.1001", 100), ("w.1003", 100)]), "connections of each worker")
    worker.process.stop(signal.SIGKILL)
    result = bed.reuseportd("doctor", SERVICE, status=1)
    expect_narrow(result.out, "doctor")
    words = " ".join(result.out.split())
    check(re.search(r"1024 of 1024 workers are dead: slots 0 1 2 .* \d+ \.\.\. ", words),
          f"{result}")


# doctor


def verdicts(bed, status=0, service=SERVICE):
    """The findings of doctor about the service, with the advice, by verdict."""
    rows = bed.reuseportd("doctor", "--json", status=status).json()
    found = {}
    for row in rows:
        if row["check"] == service:
            check("advice" in row or row["verdict"] in ("ok", "note"), f"no advice: {row}")
            found.setdefault(row["verdict"], []).append(
                f"{row['detail']} -> {row.get('advice', '')}")
    return found


def expect_verdict(bed, verdict, *words, status=0):
    found = verdicts(bed, status)
    check(any(all(word in text for word in words) for text in found.get(verdict, ())),
          f"doctor has no '{verdict}' with {words}: {found}")
    return found


def test_doctor_of_the_host(bed):
    """Privileges, features, mounts, sysctls and the kernel bug have a row each."""
    rows = {row["check"]: row for row in bed.reuseportd("doctor", "--json").json()}
    for name in ("privileges", "bpf() system call", "sk_reuseport program", "connection migration",
                 "pidfd_getfd()", "ptrace_scope", "bpffs", "cgroup2", "CVE-2026-46015",
                 "tcp_migrate_req", "tcp_syncookies"):
        check(name in rows, f"doctor has no row '{name}'")
        check(rows[name]["verdict"] in ("ok", "note", "warn"), f"{rows[name]}")
    pathlib.Path("/proc/sys/net/ipv4/tcp_syncookies").write_text("2")
    rows = {row["check"]: row for row in bed.reuseportd("doctor", "--json").json()}
    equal(rows["tcp_syncookies"]["verdict"], "warn", "verdict on tcp_syncookies = 2")
    nobody = ("setpriv", "--reuid=65534", "--clear-groups")
    result = bed.run(*nobody, bed.binary("reuseportd"), "doctor", "--json")
    equal(result.code, 1, f"exit status of {result}")
    rows = {row["check"]: row for row in result.json()}
    equal(rows["privileges"]["verdict"], "fail", "verdict on the privileges of nobody")
    bed.must("umount", "--lazy", "--types", "bpf", "--all")
    rows = {row["check"]: row for row in bed.reuseportd("doctor", "--json").json()}
    equal((rows["bpffs"]["verdict"], rows["bpffs"]["detail"]),
          ("note", "not mounted; the first service mounts it"), "bpffs")
    result = bed.reuseportd("doctor", "nobody", status=1)
    check("there is no service 'nobody'" in " ".join(result.out.split()), f"{result}")


def test_doctor_of_workers(bed):
    """A healthy service; a foreign listener; a dead worker; all live workers drained; all dead."""
    workers = Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4)
    equal(set(verdicts(bed)), {"ok"}, "verdicts on a healthy service")
    expect_verdict(bed, "ok", "all 4 workers live")
    stranger = Worker(bed, "stranger")
    expect_verdict(bed, "warn", "1 foreign listener ", f"pid {stranger.pid} (worker)", "swap them in")
    stranger.stop()
    workers[2].process.stop(signal.SIGKILL)
    expect_verdict(bed, "warn", "1 of 4 workers are dead: slot 2 ", "swap a new worker in")
    bed.reuseportd("drain", "0,1,3", "--force")
    expect_verdict(bed, "fail", "no live worker takes new connections", "resume", status=1)
    for worker in workers.all:
        worker.process.stop(signal.SIGKILL)
    expect_verdict(bed, "fail", "4 of 4 workers are dead: slots 0 1 2 3", status=1)


def test_doctor_of_a_stalled_worker(bed):
    """A child of a pre-fork server is dead, and its parent keeps its listener open."""
    server = Worker(bed, "p", options=("--prefork", 4, "--no-respawn"), workers=4)
    bed.reuseportd("attach", "--workers", 4)
    os.kill(server.child_pids()[1], signal.SIGKILL)
    wait_until(lambda: bed.status()["workers"][1]["state"] == "stalled", "slot 1 is stalled")
    found = expect_verdict(bed, "fail", "no process polls the listeners of slot 1,", "drain", status=1)
    check(not any("all 4 workers live" in text for text in found.get("ok", ())), f"{found}")


def test_doctor_of_groups(bed):
    """The groups of IPv4 and IPv6 differ; a group of the port is not steered."""
    Workers(bed, 3, addresses=BOTH)
    Worker(bed, "v4 only")
    bed.reuseportd("attach", "--workers", "any", "--port", PORT)
    expect_verdict(bed, "warn", "the workers of slot 3 listen in only some of the 2 groups",
                   "give every worker a listener in each group")
    bed.reuseportd("detach")
    bed.reuseportd("attach", "--workers", 4, "--address", "0.0.0.0")
    expect_verdict(bed, "note", f"[::]:{PORT} is not part of this service",
                   "detach and attach again")
    specific = Worker(bed, "specific", addresses="127.0.0.1")
    expect_verdict(bed, "fail", f"127.0.0.1:{PORT} is not part of this service, and takes connections "
                   f"from 0.0.0.0:{PORT}: pid {specific.pid} (worker) listens there", status=1)


# attach


def test_default_name(bed):
    Nginx(bed, 2)
    equal(bed.reuseportd("attach", "--workers", 2, "--json").json()["service"], f"nginx-{PORT}",
          "default name")


def test_address(bed):
    """--address chooses one group of a port; the other is left to the kernel's hash."""
    Workers(bed, 2, addresses="127.0.0.1")
    Workers(bed, 2, addresses="127.0.0.2", first=2)
    bed.reuseportd("attach", "--workers", 2, "--address", "127.0.0.2")
    status = bed.status()
    equal([e["endpoint"] for e in status["endpoints"]], [f"127.0.0.2:{PORT}"], "endpoints")
    bed.load("-n", 50, hosts=("127.0.0.1",))
    equal(bed.status()["counters"]["steered"], 0, "steered for the other address")
    report = bed.load("-n", 50, hosts=("127.0.0.2",))
    equal(report["workers"], {"w2": 25, "w3": 25}, "connections of each worker")


def test_pid(bed):
    """--pid chooses the port on which that process listens, in its network namespace."""
    Workers(bed, 2)
    workers = Workers(bed, 2, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 2, "--pid", workers.pid)
    equal(bed.status()["endpoints"][0]["port"], PORT + 1, "port")
    bed.reuseportd("detach")
    inner = bed.netns("inner")
    workers = Workers(bed, 2, netns=inner)
    bed.reuseportd("attach", "--workers", 2, "--pid", workers.pid)
    report = bed.load("-n", 50, netns=inner)
    equal(report["workers"], {"w0": 25, "w1": 25}, "connections of each worker")
    equal(bed.status()["counters"]["steered"], 50, "steered in the other namespace")


def test_label_and_switch(bed):
    Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4, "--label", "blue")
    bed.reuseportd("label", "2-3", "green")
    equal([w["version"] for w in bed.status()["workers"]], ["blue"] * 2 + ["green"] * 2, "versions")
    for version, names, states in (("green", ("w2", "w3"), ["standby"] * 2 + ["active"] * 2),
                                   ("blue", ("w0", "w1"), ["active"] * 2 + ["standby"] * 2)):
        bed.reuseportd("switch", version)
        equal(bed.load("-n", 50)["workers"], dict.fromkeys(names, 25), f"connections on {version}")
        status = bed.status()
        equal([w["state"] for w in status["workers"]], states, f"states on {version}")
        equal(status["only_version"], version, "only_version")
    bed.reuseportd("switch", "--off")
    equal(bed.load("-n", 100)["workers"], {f"w{i}": 25 for i in range(4)}, "connections of all")
    check("only_version" not in bed.status(), "only_version is gone")


# Leftovers


def expect_nothing_left(bed, processes):
    equal(bed.left_files(), [], "pins, files and cgroups")
    # A child that has ended with its command is there for a moment.
    wait_until(lambda: bed.left_processes() == processes, f"processes are gone, but {processes}")
    # The kernel frees BPF objects a moment later.
    wait_until(lambda: not bed.left_bpf(), f"programs and maps are gone: {bed.left_bpf()}")
    locks = pathlib.Path("/proc/locks").read_text()
    check("FLOCK" not in locks, f"locks: {locks}")


def test_nothing_is_left(bed):
    """Nothing remains after detach, with and without a watcher, and after a failed attach."""
    Workers(bed, 4, addresses=BOTH)
    processes = bed.left_processes()
    bed.reuseportd("attach", "--workers", 4)
    with Client() as client:
        client.ask()
        check(bed.left_bpf(), "programs and maps are found while they exist")
        bed.reuseportd("detach")
        expect_nothing_left(bed, processes)
        client.ask()  # the open connection continues
    for command in (("--workers", 5), ("--workers", 3), ("--workers", 4, "--port", PORT + 1)):
        bed.reuseportd("attach", *command, status=1)
        expect_nothing_left(bed, processes)
    watch = bed.start_watch("--workers", 4)
    bed.reuseportd("detach")
    equal(watch.wait(), 0, "exit status of the watcher after detach")
    expect_nothing_left(bed, processes)
    watch = bed.start_watch("--workers", 4)
    equal(watch.stop(), 0, "exit status of the watcher after SIGTERM")
    bed.reuseportd("detach")
    expect_nothing_left(bed, processes)
