# SPDX-License-Identifier: BSD-2-Clause
"""Two supervisors at once, and `run` together with `attach`: one is refused, and leaves nothing."""
import os

from harness.bed import cgroup2
from harness.checks import FULL, cases, check, equal, note, wait_until
from harness.network import PORT, Client
from harness.servers import Workers
from runs import Run, worker_command

ROUNDS = 100 if FULL else 4


def expect_one_service(bed, run):
    """Checks that there are only two workers, which serve, and only this supervisor."""
    def is_settled():
        groups = sorted(path.name for path in cgroup2().glob("reuseportd/*/*-*/"))
        return run.states() == ["active"] * 2 and len(groups) == 2
    wait_until(is_settled, "two workers are left")
    equal([row["service"] for row in bed.reuseportd("list", "--json").json()], [run.name],
          "services")
    clients = bed.hold(4)
    equal(sorted(int(client.ask()) for client in clients), sorted(run.pids() * 2), "answers")


def test_second_is_refused(bed):
    """While a supervisor runs, another one for its service is refused, whatever its workers are."""
    run = Run(bed, worker_command(bed), workers=2)
    before = run.pids()
    for command in (worker_command(bed), ["/nothing/here"]):
        second = Run(bed, command, workers=3, wait=False)
        equal(second.process.wait(), 1, "exit status of the second")
        check(f"service 'web' is run by pid {run.process.pid} already" in second.log(),
              f"the reason is missing: {second.log()}")
    equal(run.pids(), before, "workers")
    expect_one_service(bed, run)
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("none", "left")
def test_race(bed, before):
    """Several supervisors are started at the same moment, for a new service or for the workers of a
    killed supervisor: exactly one runs the workers."""
    run = Run(bed, worker_command(bed), "--settle", "0.05", workers=2)
    for _ in range(ROUNDS):
        if before == "none":
            equal(run.stop(), 0, "exit status of the supervisor")
        else:
            pids = run.pids()
            run.kill_supervisor()
        rivals = []
        for _ in range(3):
            run.start(wait=False)
            rivals.append(run.process)
        wait_until(lambda: sum(rival.alive() for rival in rivals) == 1, "two have ended")
        [run.process] = [rival for rival in rivals if rival.alive()]
        run.process.wait_output("web: started: 2 workers")
        bed.remember_pinned()
        for loser in rivals:
            if loser is not run.process:
                equal(loser.wait(), 1, f"exit status of a refused one: {loser.output()}")
                check(f"is run by pid {run.process.pid} already" in loser.output(),
                      f"the reason is missing: {loser.output()}")
        if before == "left":
            equal(run.pids(), pids, "workers that were taken over")
    expect_one_service(bed, run)
    equal(run.stop(), 0, "exit status of the supervisor")
    note(f"{ROUNDS} races of 3")


def test_attach_to_the_port_of_run(bed):
    run = Run(bed, worker_command(bed), workers=2)
    for workers, options in ((2, ()), (2, ("--port", PORT)), (3, ("--port", PORT)),
                             (3, ("--service", run.name))):
        refused = bed.reuseportd("attach", "--workers", workers, *options, status=None)
        check(refused.code == 1 and (workers == 2 or f"service '{run.name}'" in refused.err),
              f"attach {options}: {refused}")
    expect_one_service(bed, run)
    equal(run.stop(), 0, "exit status of the supervisor")


def test_run_on_an_attached_port(bed):
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2, "--service", "old")
    before = bed.status("old")["workers"]
    run = Run(bed, worker_command(bed), "--max-restarts", 1, workers=2, wait=False)
    equal(run.process.wait(), 1, f"exit status: {run.log()}")
    check("belongs to service 'old' already" in run.log(), f"the reason is missing: {run.log()}")
    same = Run(bed, worker_command(bed), workers=2, wait=False, name="old")
    equal(same.process.wait(), 1, f"exit status: {same.log()}")
    check("service 'old' is attached already" in same.log(), f"the reason is missing: {same.log()}")
    equal([row["pid"] for row in bed.status("old")["workers"]], [row["pid"] for row in before],
          "attached workers")
    check(not list(cgroup2().glob("reuseportd/*/")), "a cgroup is left")
    with Client() as client:
        client.ask()
    bed.reuseportd("detach", "old")


@cases("attach first", "run first")
def test_race_of_run_and_attach(bed, first):
    """`run` and `attach` for one name at the same moment: one of them gets it."""
    Workers(bed, 2)
    for _ in range(ROUNDS):
        start = [lambda: bed.start(bed.binary("reuseportd"), "attach", "--workers", 2,
                                   "--service", "web", name="attach"),
                 lambda: bed.start(bed.binary("reuseportd"), "run", "--service", "web",
                                   "--workers", 1, "--listen", 8081, "--", bed.binary("worker"),
                                   "--port", 8081, "--no-reuseport", name="run")]
        attach, run = (start[0](), start[1]()) if first == "attach first" else reversed(
            (start[1](), start[0]()))
        attached = attach.wait() == 0
        if attached:
            equal(run.wait(), 1, f"exit status of `run`: {run.output()}")
            check("is attached already" in run.output(), f"the reason: {run.output()}")
            bed.reuseportd("detach", "web")
        else:
            check("is run by pid" in attach.output() or "run" in attach.output(),
                  f"the reason is missing: {attach.output()}")
            run.wait_output("started: 1 worker")
            bed.reuseportd("stop", "web")
            equal(run.wait(), 0, "exit status of `run`")
        check(not os.path.exists("/sys/fs/bpf/reuseportd"), "pins are left")
