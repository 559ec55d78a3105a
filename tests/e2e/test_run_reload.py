# SPDX-License-Identifier: BSD-2-Clause
"""`run` under full load: reloads, restarts, kills, and broken new programs. Every connection and
every request is counted."""
import os
import re
import signal
import time

from harness.checks import cases, check, equal, note, timeout, wait_until
from harness.network import Client
from runs import NODE, NODE_GRACEFUL, PYTHON, Run, script, worker_command
from harness.traffic import CONCURRENCY, Place, fewer, wait_for_load

WORKERS = 8
# Options of loadgen for clients that send three requests on each connection.
KEEPALIVE = ("--keepalive", "3", "-c", "16")


def command_of(bed, kind):
    if kind == "graceful":
        return worker_command(bed)
    if kind == "abrupt":  # without a handler, the signal ends it at once
        return ["node", script(bed, "server.js", NODE)]
    return ["node", script(bed, "server.js", NODE_GRACEFUL)]


def start_loads(place, *more):
    return [place.start_load(*more), place.start_load(*KEEPALIVE, *more)]


def end_loads(loads):
    """Checks that no connection has failed. Returns the number of connections."""
    return sum(load.stop_unfailed()["ok"] for load in loads)


@timeout(300)
@cases("graceful-link", "abrupt-link", "node-link",
       full=["graceful-loopback", "abrupt-loopback", "node-loopback"])
def test_ten_reloads(bed, case):
    """In ten reloads of eight workers no connection fails, neither short nor keep-alive."""
    kind, place = case.split("-")
    place = Place(bed, place)
    run = Run(bed, command_of(bed, kind), "--batch", 4, "--settle", "0.1", "--drain-timeout", "10s",
              workers=WORKERS)
    # Node needs the processors to start, so the load leaves it some.
    loads = start_loads(place, *(("--rate", 400) if kind != "graceful" else ()))
    seen = set(run.pids())
    reloads = fewer(10)
    for _ in range(reloads):
        run.reload()
        pids = set(run.pids())
        check(not pids & seen, f"old workers are in slots: {pids & seen}")
        seen |= pids
    wait_for_load(bed, range(WORKERS), 200)
    n = end_loads(loads)
    note(f"{case}: {reloads} reloads of {WORKERS}, {n} connections, 0 failed")


@cases("exits", "never-listens", "crashes", "503", "missing")
def test_reload_to_a_broken_program(bed, case):
    """The new program is broken: the old workers continue to serve, and no connection fails."""
    options = {"503": ("--ready", "http:/", "--ready-timeout", "3"),
               "never-listens": ("--ready-timeout", "2")}.get(case, ())
    run = Run(bed, worker_command(bed), "--settle", "3" if case == "crashes" else "1", *options)
    pids = run.pids()
    loads = start_loads(Place(bed, "loopback"), "--rate", 1000)
    broken = {
        "exits": ["sh", "-c", "echo this is why; exit 7"],
        "never-listens": ["sleep", "600"],
        "crashes": ["sh", "-c", "out=out-$REUSEPORTD_SLOT; " + " ".join(map(str, worker_command(bed))) +
                    " >$out & until grep -q ready $out; do sleep 0.05; done; sleep 0.8; exit 1"],
        "503": ["python3", script(bed, "broken.py", PYTHON.replace("200", "503"))],
        "missing": ["/no/such/program"],
    }[case]
    result = run.reload("--", *broken, status=1)
    reason = {
        "exits": "exit status 7",
        "never-listens": "did not listen",
        "crashes": "before it had run for --settle",
        "503": "503",
        "missing": "can't start '/no/such/program'",
    }[case]
    check(reason in result.err, f"should contain '{reason}': {result}")
    if case == "exits":
        equal(result.err.count("this is why"), 1, f"how often its last lines are printed: {result}")
    equal(run.pids(), pids, "the workers' pids")
    equal(run.states(), ["active"] * 4, "states")
    wait_for_load(bed, range(4), 400)
    n = end_loads(loads)
    note(f"{case}: {n} connections, 0 failed: {result.err.splitlines()[0]}")
    run.reload()  # a reload to a good program succeeds
    check(not set(run.pids()) & set(pids), "old workers after a good reload")


@cases("reload", "restart", "in-place")
@timeout(240)
def test_one_worker(bed, case):
    """A single worker is restarted 20 times under load: no connection is refused or reset."""
    run = Run(bed, worker_command(bed, "--grace", 100), "--settle", "0", "--drain-timeout", "5s",
              workers=1)
    load = Place(bed, "loopback").start_load("--rate", 500)
    for _ in range(20):
        before = run.pids()
        if case == "reload":
            run.reload()
        else:
            run.command_line("restart", 0, *(["--in-place"] if case == "in-place" else []))
        check(run.pids() != before, "it is the same worker")
    wait_for_load(bed, [0], 200)
    report = load.stop_unfailed()
    note(f"{case}: {report['ok']} connections, 0 failed, longest {report['latency_us']['max']} us")


def test_old_worker_dies(bed):
    """The old worker dies while its successor starts: the reload still succeeds."""
    run = Run(bed, worker_command(bed), "--settle", "3", "--batch", 1, workers=2)
    old = run.pids()
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 3, "a new worker is started")
    os.kill(old[0], signal.SIGKILL)
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")
    check(not set(run.pids()) & set(old), "old workers are in slots")
    equal(run.states(), ["active"] * 2, "states")


def test_keep_going(bed):
    """--keep-going: a new worker dies after it got its slot. The old worker gets the slot back at
    once, not only at the end of the reload."""
    run = Run(bed, worker_command(bed), "--settle", "0", "--batch", 1, workers=2)
    old = run.pids()
    new = script(bed, "new.sh", "while [ $REUSEPORTD_SLOT = 1 ] && ! [ -e gate ]; do sleep 0.05; "
                                'done; exec "$@"')
    reload = bed.start(bed.binary("reuseportd"), "reload", "--keep-going", run.name, "--", "sh",
                       new, *worker_command(bed), name="reload")
    wait_until(lambda: run.pids()[0] != old[0], "slot 0 has a new worker")
    os.kill(run.pids()[0], signal.SIGKILL)
    wait_until(lambda: run.pids()[0] == old[0], "slot 0 has its old worker back")
    check(reload.alive(), f"the reload has ended: {reload.output()}")
    (bed.dir / "gate").touch()
    equal(reload.wait(), 1, f"exit status of the reload: {reload.output()}")
    equal(run.states(), ["active"] * 2, "states")
    equal([pid == before for pid, before in zip(run.pids(), old)], [True, False], "old workers")


def test_keep_going_fails(bed):
    """--keep-going, and no worker of the new command starts: after a crash the old command is
    started."""
    run = Run(bed, worker_command(bed), "--settle", "0", workers=2)
    run.reload("--keep-going", "--", "false", status=1)
    old = run.pids()
    os.kill(old[0], signal.SIGKILL)
    wait_until(lambda: run.states() == ["active"] * 2 and run.pids()[0] != old[0],
               "slot 0 has another worker")
    equal(run.pids()[1], old[1], "the other worker")


@cases("good", "bad")
def test_reload_adds_workers(bed, case):
    """A reload from a file with more workers than before ends when the additional workers are
    active, and fails if they fail."""
    program = script(bed, "program.sh", '[ $REUSEPORTD_SLOT -lt 2 ] || [ -e good ] || exit 7\n'
                                        'exec "$@"')
    config = bed.dir / "web.conf"
    command = " ".join(map(str, ["sh", program, *worker_command(bed)]))
    text = f"[service web]\ncommand = {command}\nsettle = 0\nmax-restarts = 1\nworkers = "
    config.write_text(text + "2\n")
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    config.write_text(text + "3\n")
    if case == "good":
        (bed.dir / "good").touch()
    result = bed.reuseportd("reload", "web", status=0 if case == "good" else 1)
    equal([row["state"] for row in bed.status("web")["workers"]],
          ["active"] * 2 + ["active" if case == "good" else "failed"], "states")
    check(case == "good" or "slot 2 has failed" in result.err, f"the reason is missing: {result}")


def test_reload_after_policy(bed):
    """What `policy` has put in force can be written into the file. A reload accepts it, and the
    file as it was; it refuses another policy, and says how to change it."""
    config = bed.dir / "web.conf"
    command = " ".join(map(str, worker_command(bed)))

    def write(policy):
        config.write_text(f"[service web]\ncommand = {command}\nsettle = 0\nworkers = 2\n"
                          f"policy = {policy}\n")
    write("round-robin")
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    bed.reuseportd("policy", "sticky")
    bed.reuseportd("reload", "web")
    write("sticky")
    bed.reuseportd("reload", "web")
    equal(bed.status("web")["policy"], "sticky", "policy")
    write("round-robin")
    refused = bed.reuseportd("reload", "web", status=1)
    check("`reuseportd policy web`" in refused.err, f"{refused}")
    bed.reuseportd("policy", "round-robin")
    bed.reuseportd("reload", "web")
    equal(bed.status("web")["policy"], "round-robin", "policy")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


# The worker of slot 1 ends at once while the file "bad" exists, and waits while "slow" exists.
CRASHES = """
if [ $REUSEPORTD_SLOT = 1 ]; then
    if [ -e bad ]; then exit 1; fi
    while [ -e slow ]; do sleep 0.05; done
fi
exec "$@"
"""


def crash_slot_1(bed, run):
    """Crashes slot 1, so that it waits for a restart."""
    (bed.dir / "bad").touch()
    os.kill(run.pids()[1], signal.SIGKILL)
    wait_until(lambda: "ended with exit status 1" in run.log(), "the worker has ended again")
    run.wait_states("active", "restarting")
    (bed.dir / "bad").unlink()


def test_reload_during_backoff(bed):
    """A reload begins while a slot waits for a restart. The pause ends before the reload reaches
    the slot, which still gets a worker of the new command."""
    run = Run(bed, ["sh", script(bed, "crashes.sh", CRASHES), *worker_command(bed)], "--settle",
              "0", "--batch", 1, "--backoff", "1s..1s", workers=2)
    old = run.pids()[0]
    (bed.dir / "slow").touch()
    crash_slot_1(bed, run)
    new = script(bed, "new.sh", "while [ $REUSEPORTD_SLOT = 0 ] && ! [ -e gate ]; do sleep 0.05; "
                                'done; exec "$@" --id v2')
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, "--label", "v2", "--", "sh",
                       new, *worker_command(bed), name="reload")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 2 or len(list(bed.cgroups(run.name))) > 2,
               "the pause is over")
    (bed.dir / "gate").touch()
    wait_until(lambda: run.pids()[0] != old, "slot 0 has a new worker")
    (bed.dir / "slow").unlink()
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")
    equal(sorted(bed.load("-n", 20)["workers"]), ["v2"], "answers by worker")


def test_start_during_backoff(bed):
    """`start` of a slot that waits for a restart starts it at once."""
    run = Run(bed, ["sh", script(bed, "crashes.sh", CRASHES), *worker_command(bed)], "--backoff",
              "100s..100s", workers=2)
    crash_slot_1(bed, run)
    run.command_line("start", 1)
    equal(run.states(), ["active"] * 2, "states")


def test_restart_of_stopped(bed):
    """`restart` of a stopped slot fails: the slot is stopped again, and is not retried."""
    run = Run(bed, ["sh", script(bed, "crashes.sh", CRASHES), *worker_command(bed)], workers=2)
    run.command_line("stop", 1)
    (bed.dir / "bad").touch()
    refused = run.command_line("restart", 1, status=1)
    check("exit status 1" in refused.err, f"the reason is missing: {refused}")
    equal(run.states(), ["active", "stopped"], "states")
    equal(len(re.findall(r"pid \d+ ended", run.log())), 1, f"number of starts: {run.log()}")
    (bed.dir / "bad").unlink()
    run.command_line("restart", 1)
    equal(run.states(), ["active"] * 2, "states")


def test_start_during_reload(bed):
    """`start` is refused during a reload, as it would use the old command."""
    run = Run(bed, worker_command(bed), workers=2)
    run.command_line("stop", 1)
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "sleep", "1000",
                       name="reload")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 2, "a new worker is started")
    refused = run.command_line("start", 1, status=1)
    check("a reload is in progress" in refused.err, f"{refused}")
    reload.kill(signal.SIGKILL)
    reload.wait()


def test_upgrade_during_reload(bed):
    """A re-exec of the supervisor is refused during a reload, which continues; afterwards it
    succeeds."""
    run = Run(bed, worker_command(bed), "--settle", "0", "--batch", 1, workers=2)
    gate = script(bed, "gate.sh", 'while ! [ -e gate ]; do sleep 0.05; done; exec "$@"')
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "sh", gate,
                       *worker_command(bed, "--id", "v2"), name="reload")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 3, "a new worker is started")
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("web: re-exec refused: a reload is in progress; retry")
    (bed.dir / "gate").touch()
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")
    equal(sorted(bed.load("-n", 20)["workers"]), ["v2"], "answers by worker")
    run.process.kill(signal.SIGUSR2)
    wait_until(lambda: run.log().count("is taken over") == 2,
               "the supervisor has re-executed itself")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_options_of_one_reload(bed):
    """The options of a reload or a restart don't apply to the next one."""
    run = Run(bed, worker_command(bed), "--settle", "0", "--batch", 1, workers=4)
    run.reload("--in-place", "--batch", 4)
    run.command_line("restart", 1, "--in-place")
    gate = script(bed, "gate.sh", 'while ! [ -e gate ]; do sleep 0.05; done; exec "$@"')
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "sh", gate,
                       *worker_command(bed), name="reload")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 5, "a new worker is started")
    equal(run.states(), ["active"] * 4, "states")
    (bed.dir / "gate").touch()
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")


def test_in_place_one_by_one(bed):
    """In place, one of two workers always serves, whatever the batch."""
    run = Run(bed, worker_command(bed), "--in-place", "--batch", 8, "--drain-timeout", "2s",
              workers=2)
    held = bed.hold(2)  # each keeps its worker until the drain timeout
    check(held[0].ask() != held[1].ask(), "both are held by the same worker")
    pids = run.pids()
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")
    seen = set()
    while reload.alive():
        states = run.states()
        check("active" in states, f"no worker is active: {states}")
        seen.add(tuple(states))
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")
    check(("starting", "active") in seen, f"slot 0 has never been without a worker: {seen}")
    check(not set(run.pids()) & set(pids), "old workers are in slots")


def test_in_place_after_another(bed):
    """In place, while a former worker still drains: its end is not taken for the end of the old
    worker."""
    run = Run(bed, worker_command(bed), "--settle", "0", "--drain-timeout", "4s", workers=1)

    def names():
        return {path.name for path in bed.cgroups(run.name)}

    def is_there(pid):
        return os.path.exists(f"/proc/{pid}")

    def command(*args):
        return bed.start(bed.binary("reuseportd"), args[0], run.name, *args[1:], name=args[0])
    with Client() as first:
        before = int(first.ask())
        reload = command("reload")
        wait_until(lambda: run.pids() != [before], "another worker is in the slot")
        with Client() as held:
            old = int(held.ask())
            known = names()
            restart = command("restart", "0", "--in-place")
            run.wait_states("starting")
            first.close()
            while is_there(old):
                seen = names()
                check(seen <= known or not is_there(old),
                      f"a new worker beside the old one: {seen}")
    equal((reload.wait(), restart.wait()), (0, 0), "exit statuses")
    equal(run.states(), ["active"], "states")


def test_in_place_park_time(bed):
    """In place, a single worker drains for longer than --park-timeout: connections that come
    meanwhile wait for the new worker."""
    run = Run(bed, worker_command(bed), "--in-place", "--drain-timeout", "6s", "--park-timeout",
              "4s", workers=1)
    with Client() as held:
        old = held.ask()
        reload = bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")
        wait_until(lambda: run.states() == ["starting"], "the old worker has left its slot")
        with Client(seconds=30) as client:
            check(client.ask() != old, "the old worker has answered")
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")
    check("were reset" not in run.log(), f"connections were reset:\n{run.log()}")


@cases("loopback", "link")
def test_killed_worker(bed, case):
    """SIGKILL of a worker loses at most the connections that it had accepted, and it is replaced
    soon."""
    place = Place(bed, case)
    run = Run(bed, worker_command(bed), workers=WORKERS)
    load = place.start_load()
    killed = 5
    for slot in range(killed):
        pid = run.pids()[slot]
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        wait_until(lambda slot=slot, pid=pid: run.workers()[slot]["live"]
                   and run.pids()[slot] != pid, f"slot {slot} has another worker", interval=0.02)
        note(f"replaced after {1000 * (time.monotonic() - begin):.0f} ms")
    wait_for_load(bed, range(WORKERS), 1000)
    report = load.stop()
    lost = report["failed"]
    equal(lost, report["reset"] + report["closed_early"], f"lost connections: {report}")
    check(lost <= killed * CONCURRENCY[case], f"{lost} were lost with {killed} workers: {report}")
    equal([row["restarts"] for row in run.workers()], [1] * killed + [0] * (WORKERS - killed),
          "restarts")


@cases("upgrade", "killed", "other", "stopped")
def test_new_command_is_kept(bed, case):
    """The next supervisor also uses the command that a reload has brought, if it finds workers of
    it and has no other command itself."""
    run = Run(bed, worker_command(bed, "--id", "v1"), "--settle", "0", workers=2)
    run.reload("--label", "two", "--", *worker_command(bed, "--id", "v2"))
    if case == "upgrade":
        run.process.kill(signal.SIGUSR2)
        wait_until(lambda: run.log().count("is taken over") == 2,
                   "the supervisor has re-executed itself")
    elif case == "stopped":
        run.stop()
        run.start()
    else:
        run.kill_supervisor()
        if case == "other":
            run.command = worker_command(bed, "--id", "v3")
        run.start()
    check(("a reload has set" in run.log()) == (case != "stopped"), f"log: {run.log()}")
    pid = run.pids()[1]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: run.states() == ["active"] * 2 and run.pids()[1] != pid,
               "slot 1 has another worker")
    want = {"other": ["v3"], "stopped": ["v1"]}.get(case, ["v2"])
    equal(sorted(bed.load("-n", 20)["workers"]), (["v2"] if case == "other" else []) + want,
          "answers by worker")
    run.reload()
    equal(sorted(bed.load("-n", 20)["workers"]), want, "answers by worker after a reload")
    equal([row["version"] for row in run.workers()], ["two" if want == ["v2"] else "v1"] * 2,
          "versions")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("loopback", "link")
def test_killed_supervisor(bed, case):
    """Repeated SIGKILL of the supervisor under load: no connection fails, the next supervisor takes
    over the same workers, and a reload succeeds."""
    run = Run(bed, worker_command(bed))
    loads = start_loads(Place(bed, case))
    pids = run.pids()
    for _ in range(5):
        run.kill_supervisor()
        wait_for_load(bed, range(4), 300)
        equal(run.pids(), pids, "pids without a supervisor")
        run.start()
        equal(run.pids(), pids, "pids after the take-over")
    run.reload()
    check(not set(run.pids()) & set(pids), "old workers after the reload")
    run.process.kill(signal.SIGUSR2)  # an upgrade
    run.process.wait_output("re-exec of")
    wait_until(lambda: run.log().count("is taken over") == 8,
               "the supervisor has re-executed itself")
    run.reload()
    n = end_loads(loads)
    equal(run.stop(), 0, "exit status of the supervisor")
    note(f"{case}: {n} connections, 0 failed")
