# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor is stopped by SIGSTOP, or it and the commands disagree about the time."""
import os
import signal
import time

from harness.checks import FULL, cases, check, equal, note, text_of, wait_until
from runs import Run, worker_command
from harness.process import freeze
from harness.traffic import wait_for_load

SECONDS = 10 if FULL else 2
RATE = 300


def test_stopped_supervisor(bed):
    """Meanwhile a worker is killed: the others serve, and `status` answers. Afterwards the killed
    worker is replaced, and requests that came meanwhile are answered."""
    run = Run(bed, worker_command(bed), "--settle", "0.05", "--drain-timeout", "5s", workers=3)
    load = bed.start_load("--rate", RATE)
    before = run.pids()
    run.process.kill(signal.SIGSTOP)
    os.waitid(os.P_PID, run.process.pid, os.WSTOPPED)
    os.kill(before[0], signal.SIGKILL)
    lines = lambda: load.log.read_text().count("\n")  # noqa: E731
    begin = lines()
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")
    wait_until(lambda: lines() > begin + SECONDS * RATE, "connections are served meanwhile", 60)
    equal(run.pids(), before, "slots meanwhile")
    check(reload.alive(), f"the reload has ended: {reload.output()}")
    run.process.kill(signal.SIGCONT)
    equal(reload.wait(), 0, f"exit status of the reload: {reload.output()}")
    wait_until(lambda: run.states() == ["active"] * 3 and not set(run.pids()) & set(before),
               "all workers are replaced")
    wait_for_load(bed, range(3), 20)
    report = load.stop()
    # The killed worker may have accepted a connection.
    check(report["failed"] <= 2, f"failed connections: {report}")
    note(f"{report['ok']} connections, {report['failed']} failed when the worker was killed")
    equal(run.stop(), 0, "exit status of the supervisor")


def ahead(seconds):
    """A command that runs another one in a time namespace, whose monotonic clocks differ."""
    return ("unshare", "--time", "--monotonic", seconds, "--boottime", seconds, "--fork",
            "--kill-child")


@cases("later", "earlier")
def test_other_time_namespace(bed, case):
    """The next supervisor has other monotonic clocks, as in a container with a time namespace of
    its own: it takes the workers over, and reloads and stops them."""
    there = ahead(100000)
    run = Run(bed, worker_command(bed), "--settle", "0.05", "--drain-timeout", "5s", workers=2,
              under=there if case == "earlier" else ())
    pids = run.pids()
    load = bed.start_load("--rate", RATE)
    run.kill_supervisor()
    run.under = there if case == "later" else ()
    run.start()
    equal(run.pids(), pids, "workers that were taken over")
    os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: run.states() == ["active"] * 2 and pids[0] not in run.pids(),
               "a killed worker is replaced")
    run.reload()
    wait_for_load(bed, range(2), 20)
    check(not set(run.pids()) & set(pids), "workers after a reload")
    check(load.stop()["failed"] <= 2, "failed connections")
    run.stop()


def test_stopped_log_process(bed):
    """A log process that was stopped does not delay `stop`, and still writes what the workers have
    printed."""
    text = ("echo before; while ! [ -e go ]; do sleep 0.02; done; echo after; touch done; "
            "exec sleep 99")
    run = Run(bed, ["sh", "-c", text], "--ready", "alive:50ms", "--out-file", bed.dir / "out.log",
              workers=1)
    log = bed.dir / "out-0.log"
    wait_until(lambda: "before" in text_of(log), "the first line is written")
    pid = bed.log_process(run.name)
    freeze(pid)
    (bed.dir / "go").touch()
    wait_until((bed.dir / "done").exists, "the worker has printed")
    begin = time.monotonic()
    equal(run.stop(), 0, "exit status of the supervisor")
    took = time.monotonic() - begin
    check(took < 8, f"`stop` took {took:.1f} s")
    equal(log.read_text(), "before\nafter\n", "what was written")
