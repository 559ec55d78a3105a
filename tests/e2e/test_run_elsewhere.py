# SPDX-License-Identifier: BSD-2-Clause
"""What a supervisor that was killed has left, seen from another network namespace."""
import os
import pathlib
import shutil

from harness.bed import PINS, cgroup2
from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import Run, worker_command


def left(bed, case):
    """A service whose supervisor was killed in another network namespace. Its workers live if the
    case is "live"; with "gone" the namespace is gone as well."""
    bed.netns("other")
    under = ("nsenter", "--net=/run/netns/other")
    other = bed.start(*under, "sleep", "600")
    run = Run(bed, worker_command(bed), under=under, workers=2)
    pids = run.pids()
    run.kill_supervisor()
    if case != "live":
        for path in bed.cgroups(run.name):
            (path / "cgroup.kill").write_text("1")
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids),
                   "the workers have ended")
    if case == "gone":
        other.stop()
        wait_until(lambda: "other" not in bed.must("ip", "netns", "pids", "other"), "no process")
        bed.must("ip", "netns", "delete", "other")
        bed.netns_names.discard("other")
    return run, pids


def serves_here(bed, run):
    """The service is in this network namespace, with all that it can do."""
    for row in run.workers():
        equal(os.readlink(f"/proc/{row['pid']}/ns/net"), os.readlink("/proc/self/ns/net"),
              "the worker's network namespace")
    equal(bed.load("-n", 20)["failed"], 0, "failed connections")
    run.command_line("connections")


@cases("live", "dead", "gone")
def test_run(bed, case):
    """`run` refuses by name if workers live there, and says what to do; otherwise it makes the
    service again here."""
    run, pids = left(bed, case)
    under, run.under = run.under, ()
    if case == "live":
        result = bed.reuseportd("run", "--service", run.name, "--workers", 2, "--", *run.command,
                                status=1)
        for text in (f"service '{run.name}' is in another network namespace",
                     f"/proc/{pids[0]}/ns/net", f"reuseportd stop {run.name}"):
            check(text in result.err, f"'{text}' is missing: {result}")
        equal(run.pids(), pids, "the workers")
        equal(bed.load("-n", 20, netns="other")["failed"], 0, "failed connections there")
        run.under = under  # as the message says
        run.start()
        equal(run.pids(), pids, "the workers that are taken over")
        return
    run.start()
    serves_here(bed, run)
    check("is taken over" not in run.log(), f"log: {run.log()}")


@cases("live", "dead", "gone")
def test_stop(bed, case):
    """`stop` ends what is left, wherever it is."""
    run, pids = left(bed, case)
    run.command_line("stop")
    # They have ended, but the process 1 of the bed may not have reaped them yet.
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "no worker is left")
    equal(bed.reuseportd("list", "--json").json(), [], "services")


@cases("live", "dead", "gone")
def test_attach(bed, case):
    """`attach` of this name here: as `run`."""
    run, pids = left(bed, case)
    bed.start(bed.binary("worker"), "--port", PORT).wait_output("ready")
    if case == "live":
        result = bed.reuseportd("attach", "--service", run.name, "--workers", 1, "--port", PORT,
                                status=1)
        for text in (f"the supervisor of service '{run.name}' has died", f"pid {pids[0]}"):
            check(text in result.err, f"'{text}' is missing: {result}")
        equal(run.pids(), pids, "the workers")
        return
    bed.reuseportd("attach", "--service", run.name, "--workers", 1, "--port", PORT)
    equal(bed.load("-n", 20)["failed"], 0, "failed connections")
    bed.reuseportd("connections", run.name)
    check(not list(cgroup2().glob("reuseportd/*")), "cgroups are left")
    check(not bed.status(run.name)["run"], "it is an attached service")


@cases("run", "pins")
def test_moved_away(bed, case):
    """The folder above the service's, in /run or of the pins, is moved away: what is missing is
    made again, and commands work."""
    folder = pathlib.Path("/run/reuseportd") if case == "run" else PINS
    run = Run(bed, worker_command(bed), "--settle", "0", workers=2)
    pids = run.pids()
    moved = folder.with_name("moved")
    folder.rename(moved)
    name = "control" if case == "run" else "service"
    wait_until((folder / run.name / name).exists, "the folder is made again")
    shutil.rmtree(moved)
    wait_until(lambda: bed.reuseportd("reload", run.name, status=None).code == 0, "a reload works")
    check(not set(run.pids()) & set(pids), "old workers are in slots")
    equal(bed.load("-n", 20)["failed"], 0, "failed connections")
    folder.rename(moved)  # once more: the new folder is watched, too
    wait_until((folder / run.name / name).exists, "the folder is made again")
    shutil.rmtree(moved)
    wait_until(lambda: bed.reuseportd("status", run.name, status=None).code == 0, "status works")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("port", "address")
def test_attach_of_run(bed, case):
    """`attach` of a port of `run` says first that `run` serves it, not how many workers it has."""
    run = Run(bed, worker_command(bed), workers=2)
    where = ("--port", PORT) if case == "port" else (
        "--port", PORT, "--address", "0.0.0.0")
    for workers in (1, 2, 5, "any"):
        refused = bed.reuseportd("attach", "--workers", workers, *where, status=1)
        check(f"serves port {PORT} already, as service '{run.name}'" in refused.err, f"{refused}")
