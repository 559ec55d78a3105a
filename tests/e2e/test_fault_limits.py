# SPDX-License-Identifier: BSD-2-Clause
"""`run` without space in /run, or with too few descriptors: there is a clear error, nothing is half
done, and the old workers serve."""
import os
import pathlib
import resource
import signal

from harness.bed import PINS, cgroup2
from harness.checks import FULL, check, equal, note, wait_until
from harness.network import Client
from runs import Run, worker_command

FILL = pathlib.Path("/run/fill")


def start(bed, **options):
    return Run(bed, worker_command(bed), "--settle", "0.05", "--drain-timeout", "5s",
               "--max-restarts", 1, "--backoff", "10ms..10ms", workers=2, **options)


def expect_clean(what):
    check(not PINS.exists(), f"pins are left {what}")
    check(not list(cgroup2().glob("reuseportd/*/*/")), f"cgroups are left {what}")
    left = [path for path in pathlib.Path("/run").rglob("*") if "reuseportd" in str(path)]
    check(not left, f"files are left {what}: {left}")


def expect_serving(run, pids):
    equal(run.pids(), pids, "workers")
    equal(run.states(), ["active"] * 2, "states")
    for _ in range(2):
        with Client() as client:
            check(int(client.ask()) in pids, "a worker answers")


def fill():
    """Leaves not a byte in /run."""
    with open(FILL, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def small_run(bed, inodes=0):
    bed.must("mount", "-t", "tmpfs", "-o", f"size=256k,nr_inodes={inodes}", "tmpfs", "/run")


def test_full_run_at_start(bed):
    """No byte, or no file, fits into /run."""
    small_run(bed)
    fill()
    run = start(bed)  # links and folders take no block
    pids = run.pids()
    run.kill_supervisor()
    run.start()
    expect_serving(run, pids)
    equal(run.stop(), 0, "exit status of the supervisor")
    FILL.unlink()
    expect_clean("after the stop")
    # With a few more inodes each time, up to a start that succeeds.
    for inodes in range(2, 60, 1 if FULL else 3):
        small_run(bed, inodes)
        run = start(bed, wait=False)
        wait_until(lambda: not run.process.alive() or "web: started:" in run.log(),
                   "it has started or failed")
        bed.remember_pinned()
        all_started = run.process.alive() and run.states() == ["active"] * 2
        if all_started:
            expect_serving(run, run.pids())
        else:
            check("/run/reuseportd/" in run.log(), f"{inodes} inodes: {run.log()}")
        if run.process.alive():
            run.stop()
        run.process.wait()
        expect_clean(f"with {inodes} inodes")
        bed.must("umount", "/run")
        if all_started:
            break
    check(all_started, "a start with enough inodes")
    note(f"started with {inodes} inodes")


def test_full_run_while_it_runs(bed):
    """/run is filled while the service runs."""
    small_run(bed)
    run = start(bed)
    before = run.pids()
    load = bed.start_load("--rate", 100)
    fill()
    done = run.reload(status=None)
    if done.code:
        check("No space left" in done.err + done.out + run.log(), f"no reason: {done}")
        equal(run.pids(), before, "workers after a failed reload")
    pid = run.pids()[0]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker has ended")
    with Client() as client:
        client.ask()
    FILL.unlink()
    wait_until(lambda: "failed" in run.states() or run.states() == ["active"] * 2, "it is settled")
    if "failed" in run.states():
        run.command_line("start", run.states().index("failed"))
    run.reload()
    fill()
    run.kill_supervisor()
    run.start(wait=False)
    wait_until(lambda: not run.process.alive() or "web: started:" in run.log(), "it took over")
    if not run.process.alive():
        check("No space left" in run.log(), f"no reason: {run.log()}")
        FILL.unlink()
        run.start()
        fill()
    check(load.stop()["failed"] <= 2, "failed connections")
    equal(run.stop(), 0, "exit status of the supervisor")
    FILL.unlink()
    expect_clean("after the stop")
    bed.must("umount", "/run")


def test_few_descriptors_at_start(bed):
    """With a few more descriptors each time, up to a start that succeeds."""
    limits = range(4, 120) if FULL else [4, 6, 8, 10, *range(12, 120, 3)]
    for limit in limits:
        run = start(bed, wait=False, under=("prlimit", f"--nofile={limit}:{limit}"))
        wait_until(lambda: not run.process.alive() or "web: started:" in run.log(),
                   "it has started or failed")
        bed.remember_pinned()
        if run.process.alive() and run.states() == ["active"] * 2:
            break
        if run.process.alive():  # one of the workers could not be started
            run.stop()
        equal(run.process.wait(), 1, f"exit status with {limit} descriptors: {run.log()}")
        check("open files" in run.log(), f"{limit} descriptors: {run.log()}")
        expect_clean(f"with {limit} descriptors")
    note(f"started with {limit} descriptors")
    expect_serving(run, run.pids())
    equal(run.stop(), 0, "exit status of the supervisor")


def test_few_descriptors_later(bed):
    """The supervisor's limit is lowered to what it has open, and some more."""
    run = start(bed)
    pid, before = run.process.pid, run.pids()
    load = bed.start_load("--rate", 100)
    failed, hard = 0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for more in range(0, 40, 1 if FULL else 4):
        highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
        bed.must("prlimit", "--pid", pid, f"--nofile={highest + 1 + more}:")
        done = run.reload(status=None)
        failed += done.code != 0
        bed.must("prlimit", "--pid", pid, f"--nofile={hard}:")
        if done.code:
            text = done.err + done.out + run.log()
            check("open files" in text or "too many commands" in text, f"{more} more: {done}")
            expect_serving(run, before)
        before = run.pids()
    check(failed, "no reload has failed")
    highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    bed.must("prlimit", "--pid", pid, f"--nofile={highest + 1}:")
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: "has ended (signal SIGKILL)" in run.log(), "its end is noticed")
    bed.must("prlimit", "--pid", pid, f"--nofile={hard}:")
    wait_until(lambda: "failed" in run.states() or run.states() == ["active"] * 2, "it is settled")
    if "failed" in run.states():
        run.command_line("start", 0)
    equal(run.states(), ["active"] * 2, "states")
    check(load.stop()["failed"] <= 2, "failed connections")
    note(f"{failed} reloads failed, the others succeeded")
    equal(run.stop(), 0, "exit status of the supervisor")
