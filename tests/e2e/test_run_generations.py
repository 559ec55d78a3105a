# SPDX-License-Identifier: BSD-2-Clause
"""Reloads that overlap: signals that come during a reload, and old workers that keep their
connections while there are ever more of them."""
import contextlib
import json
import os
import signal
import time

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT, Client
from runs import Run, script, worker_command


def answers(bed):
    return sorted(bed.load("-n", 12)["workers"])


@cases("reload", "rereading")
def test_hangups(bed, case):
    """Each SIGHUP comes after a change of the program, while the first reload is in progress. The
    program of the last change is started, and one more reload is enough."""
    program = bed.dir / "program.sh"

    def write(number):
        text = " ".join(map(str, worker_command(bed, "--id", f"v{number}")))
        new = bed.dir / "new.sh"
        new.write_text(f"#!/bin/sh\nwhile [ -e hold ]; do sleep 0.02; done\nexec {text}\n")
        new.chmod(0o755)
        new.rename(program)

    write(0)
    config = bed.dir / "ecosystem.config.js"
    config.write_text("""
        const fs = require('fs');
        if (fs.existsSync('%DIR%/slow')) {
            fs.writeFileSync('%DIR%/reading', '');
            while (fs.existsSync('%DIR%/slow')) ;
        }
        """.replace("%DIR%", str(bed.dir)) + "module.exports = " + json.dumps({"apps": [
            {"name": "web", "script": str(program), "interpreter": "none", "instances": 2,
             "exec_mode": "cluster", "cwd": str(bed.dir)}]}))
    run = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    run.wait_output("web: started:")
    bed.remember_pinned()
    equal(answers(bed), ["v0"], "answers before")
    hold = bed.dir / ("hold" if case == "reload" else "slow")
    hold.touch()
    for number in range(1, 11):
        write(number)
        run.kill(signal.SIGHUP)
        if number == 1 and case == "reload":
            wait_until(lambda: len(list(bed.cgroups("web"))) == 4, "the new workers are started")
        elif number == 1:
            wait_until((bed.dir / "reading").exists, "the file is being read")
        else:
            bed.status("web")
    wait_until(lambda: "one more is queued" in run.output(), "one more is queued")
    hold.unlink()
    wait_until(lambda: run.output().count("workers are new") == 2, "two reloads have ended")
    equal(answers(bed), ["v10"], "answers after")
    equal(run.output().count("one more is queued"), 1, "how often one more was queued")


@cases("good", "bad")
def test_reload_waits(bed, case):
    """Commands `reload` that come during a reload share the one that is queued: each reports how
    that one ends. A reload with options is refused."""
    program = bed.dir / "program.sh"

    def write(number, gate, command=None):
        new = bed.dir / "new.sh"  # sh may still read the old one
        new.write_text(f"touch started-{number}-$REUSEPORTD_SLOT; while ! [ -e {gate} ]; do sleep 0.02; done\n" + (
            command or "exec " + " ".join(map(str, worker_command(bed, "--id", f"v{number}")))))
        new.rename(program)

    def begin():
        return bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")

    write(0, ".")
    run = Run(bed, ["sh", program], "--settle", "0", workers=2)
    write(1, "gate")
    reloads = [begin()]
    wait_until(lambda: len(list(bed.dir.glob("started-1-*"))) == 2, "the first reload has begun")
    write(2, "gate", "exit 7" if case == "bad" else None)
    reloads += [begin(), begin()]
    for reload in reloads[1:]:
        reload.wait_output("one more is queued")
    refused = run.reload("--batch", 1, status=1)
    check("a reload is in progress; retry" in refused.err, f"{refused}")
    (bed.dir / "gate").touch()
    status = {"good": 0, "bad": 1}[case]
    equal([reload.wait() for reload in reloads], [0, status, status], "exit statuses")
    n = run.log().count("workers are new") + run.log().count("reload failed")
    equal(n, 2, f"reloads in the log\n{run.log()}")
    equal(answers(bed), ["v2" if case == "good" else "v1"], "answers")
    if case == "bad":
        check("exit status 7" in reloads[1].output(), f"reason: {reloads[1].output()}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_hangup_after_failure(bed):
    """The reload in progress fails, since the program is broken; the one that is queued brings the
    program that was mended meanwhile."""
    program = bed.dir / "program.sh"
    good = "exec " + " ".join(map(str, worker_command(bed, "--id", "%ID%")))

    def install(text):  # at once: a worker may be starting
        draft = bed.dir / "draft"
        draft.write_text(text)
        draft.rename(program)
    install(good.replace("%ID%", "old"))
    run = Run(bed, ["sh", program], "--settle", "0", workers=2)
    install("touch started; while [ -e hold ]; do sleep 0.02; done; exit 3")
    (bed.dir / "hold").touch()
    run.process.kill(signal.SIGHUP)
    wait_until((bed.dir / "started").exists, "the broken program runs")
    install(good.replace("%ID%", "new"))
    run.process.kill(signal.SIGHUP)
    run.process.wait_output("one more is queued")
    (bed.dir / "hold").unlink()
    run.process.wait_output("2 of 2 workers are new")
    check("reload failed" in run.log(), f"the first reload has not failed: {run.log()}")
    equal(answers(bed), ["new"], "answers")


def hold_one(bed, stack):
    """A connection that stays open. Returns the pid of its worker."""
    return int(stack.enter_context(Client()).ask())


def replace(bed, run, *args):
    """A reload; `reload` itself waits for the old workers, which keep a connection."""
    n = run.log().count("workers are new")
    bed.start(bed.binary("reuseportd"), "reload", run.name, *args, name="reload")
    wait_until(lambda: run.log().count("workers are new") > n, "the worker is replaced")


def test_generations(bed):
    """Each of 15 reloads leaves an old worker with a connection: all are counted apart. Then no
    generation is left: it is said why the counts are missing, until a connection ends."""
    run = Run(bed, worker_command(bed), "--settle", "0", "--drain-timeout", "1h", "--max-former", 20,
              workers=1)
    with contextlib.ExitStack() as stack:
        pids = [hold_one(bed, stack)]
        for _ in range(15):
            replace(bed, run, "--label", f"r{len(pids)}")
            pids.append(hold_one(bed, stack))
        status = run.status()
        worker = status["workers"][0]
        equal((worker["pid"], worker["active"], worker["former_active"], worker["not_counted"]),
              (pids[-1], 1, 15, None), "the worker's pid and counts")
        former = status["former_workers"]
        equal([(row["slot"], row["pid"], row["version"], row["state"], row["active"])
               for row in former],
              [(0, pid, f"r{i}" if i else "v1", "draining", 1) for i, pid in
               enumerate(pids[:-1])], "the old workers")
        check(all(abs(row["since"] - time.time()) < 60 for row in former), f"since when: {former}")
        text = bed.reuseportd("status", run.name).out
        check("Former workers" in text and str(pids[0]) in text, f"the text lists none:\n{text}")
        listed = json.loads(run.command_line("connections", "--json").out)
        equal(sorted(row["former"] for row in listed), [False] + [True] * 15, "connections")

        replace(bed, run)
        pids.append(hold_one(bed, stack))
        worker = run.workers()[0]
        equal((worker["pid"], worker["active"]), (pids[-1], None), "the worker's pid and count")
        reason = "each of its 16 generations"
        check(reason in worker["not_counted"], f"no reason: {worker}")
        check("16 generations" in bed.reuseportd("status", run.name).out, "the text has no reason")
        check(reason in run.command_line("connections").err, "`connections` gives no reason")
        refused = run.command_line("drain", "0", "--wait", status=1)
        check(reason in refused.err, f"`drain --wait` gives no reason: {refused}")
        stack.close()
        wait_until(lambda: not run.status()["former_workers"], "the old workers have ended")
        run.reload()
        with Client() as client:
            equal(int(client.ask()), run.pids()[0], "the worker")
            equal(run.workers()[0]["active"], 1, "its connections")


def ageless(rows):
    """Former workers without the value that changes with time."""
    return [{key: value for key, value in row.items() if key != "since_seconds"} for row in rows]


@cases("reload", "takeover")
def test_max_former(bed, case):
    """More than --max-former former workers: the oldest one is stopped, and the others keep their
    connections. The next supervisor knows the old workers."""
    run = Run(bed, worker_command(bed, "--grace", 0), "--settle", "0", "--drain-timeout", "1h",
              "--max-former", 2, workers=1)
    with contextlib.ExitStack() as stack:
        pids = [hold_one(bed, stack)]
        for _ in range(2):
            replace(bed, run, "--label", f"r{len(pids)}")
            pids.append(hold_one(bed, stack))
        before = run.status()["former_workers"]
        if case == "takeover":
            run.kill_supervisor()
            equal(ageless(run.status()["former_workers"]), ageless(before), "without a supervisor")
            run.start()
        equal([(row["pid"], row["version"], row["active"], row["since"])
               for row in run.status()["former_workers"]],
              [(row["pid"], row["version"], row["active"], row["since"]) for row in before],
              "the old workers")
        equal([row["pid"] for row in before], pids[:2], "their pids")
        replace(bed, run)
        wait_until(lambda: not os.path.exists(f"/proc/{pids[0]}"), "the oldest one has ended")
        check("more than 2 former workers (--max-former)" in run.log(), f"the log: {run.log()}")
        equal([row["pid"] for row in run.status()["former_workers"]], pids[1:], "old workers left")


def test_service_stops(bed):
    """While a service stops, the workers in its slots are not listed as old workers as well."""
    run = Run(bed, worker_command(bed), "--settle", "0", "--drain-timeout", "1h",
              "--stop-signal", "SIGURG", "--kill-timeout", "1h", workers=1)
    with contextlib.ExitStack() as stack:
        old = hold_one(bed, stack)
        replace(bed, run)
        hold_one(bed, stack)
        os.kill(run.process.pid, signal.SIGTERM)
        run.process.wait_output("stopping")
        wait_until(lambda: [(row["pid"], row["state"]) for row in run.status()["former_workers"]]
                   == [(old, "stopping")], "only the old worker is listed")
    os.kill(run.process.pid, signal.SIGTERM)  # again: the workers are killed
    equal(run.process.wait(), 0, "exit status of the supervisor")


def test_slot_added_again(bed):
    """A slot is removed and added again: it shows its last worker, until it has a new one, and no
    earlier one."""
    gate = bed.dir / "gate"
    gate.touch()
    run = Run(bed, worker_command(bed), "--ready", f"exec:test -e {gate}", "--listen", PORT,
              workers=2)
    run.reload()
    former = run.pids()[1]
    run.reload()
    last = run.pids()[1]
    check(last != former, "slot 1 has another worker")
    run.command_line("scale", 1)
    gate.unlink()
    scale = bed.start(bed.binary("reuseportd"), "scale", run.name, 2, name="scale")
    wait_until(lambda: run.states()[1:] == ["starting"], "slot 1 is starting")
    equal(run.pids()[1], last, "the last worker of slot 1")
    gate.touch()
    equal(scale.wait(), 0, f"exit status of scale: {scale.output()}")
    check(run.pids()[1] not in (former, last), "slot 1 has a new worker")
    equal(run.stop(), 0, "exit status of the supervisor")
