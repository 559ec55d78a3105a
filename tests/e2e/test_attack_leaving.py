# SPDX-License-Identifier: BSD-2-Clause
"""A worker of `run` takes its listener out of the group by a socket option, or makes it listen again.
It stays in its slot, and gets its share."""
import os
import signal

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import Run, shares

EVEN = [50] * 4


def attackers(bed, way, when):
    return Run(bed, [bed.binary("attack"), "steering", way, when, PORT], "--listen",
               f"0.0.0.0:{PORT}", "--ready-timeout", "1m", "--settle", "0.05", "--user", "nobody")


def load_shares(bed):
    report = bed.load("-n", 200)
    equal(report["failed"], 0, "failed connections")
    return shares(report)


def attempt(run, way, number=None):
    """Each worker has tried; returns the results of the attempts."""
    if number:
        for pid in run.pids():
            os.kill(pid, number)
    wait_until(lambda: run.process.out.read_text().count(f"{way}: ") == 4, "all have tried")
    return {line.split(": ", 1)[1] for line in run.process.out.read_text().splitlines()
            if line.startswith(f"{way}: ")}


@cases("off-bound", "off-usr1", "lock-unbound", "lock-bound")
def test_option(bed, case):
    """SO_REUSEPORT=0 seems to succeed and has no effect. SO_LOCK_FILTER does no harm."""
    way, when = case.split("-")
    run = attackers(bed, way, when)
    pids = run.pids()
    equal(attempt(run, way, signal.SIGUSR1 if when == "usr1" else None), {"done"}, "results")
    equal((load_shares(bed), run.pids()), (EVEN, pids), "connections of each worker, workers")
    check("outside the service" not in run.log(), "a process outside is accused")
    if way == "off":
        for slot, pid in enumerate(pids):
            run.process.wait_output(f"slot {slot}: pid {pid} has tried to leave the group of its "
                                    f"port (SO_REUSEPORT): this had no effect")
    run.reload("--batch", "1")
    equal(load_shares(bed), EVEN, "connections of each worker")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("bound", "usr1")
def test_device(bed, when):
    """A listener that is bound to a device would get all connections that come in by it."""
    run = attackers(bed, "device", when)
    equal(attempt(run, "device", signal.SIGUSR1 if when == "usr1" else None),
          {"Operation not permitted"}, "results")
    equal(load_shares(bed), EVEN, "connections of each worker")
    for slot, pid in enumerate(run.pids()):
        run.process.wait_output(f"slot {slot}: pid {pid} has tried to bind a listener to a device "
                                f"(SO_BINDTODEVICE): this was refused")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_device_before_the_port(bed):
    """New workers bind their listener to a device, and then to the port: they get no connection."""
    run = attackers(bed, "cbpf", "usr1")
    load = bed.start_load("-c", 8)
    failed = run.reload("--", bed.binary("attack"), "steering", "device", "unbound", PORT, status=1)
    check(f"wants to listen on 0.0.0.0:{PORT}%1, which would take the connections that "
          f"0.0.0.0:{PORT} serves" in failed.err + failed.out, f"the reason is missing: {failed}")
    pids = run.pids()
    equal(set(load.stop_unfailed()["workers"]), {str(pid) for pid in pids}, "workers that answered")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_listens_again(bed):
    """A listener that was shut down is no member of the group any more. When it listens again, the
    worker gets its share again."""
    run = attackers(bed, "again", "usr1")
    for _ in range(2):
        os.kill(run.pids()[1], signal.SIGUSR1)
        wait_until(lambda: load_shares(bed) == EVEN, "the worker gets its share again")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_in_no_process(bed):
    """A listener that is open in no process: its connections are not accepted. `status` and `doctor`
    say so, and `restart` replaces the worker."""
    run = attackers(bed, "hide", "usr1")
    pid = run.pids()[1]
    os.kill(pid, signal.SIGUSR1)
    run.process.wait_output("hide: done")
    run.wait_states("active", "stalled", "active", "active")
    doctor = bed.reuseportd("doctor", run.name, "--json", status=1).json()
    check(any("no process polls the listeners of slot 1," in row["detail"] and
              "`reuseportd restart` replaces" in row["advice"] for row in doctor), f"{doctor}")
    run.command_line("restart", 1)
    check(pid not in run.pids(), "the worker is replaced")
    equal(load_shares(bed), EVEN, "connections of each worker")
    equal(run.stop(), 0, "exit status of the supervisor")
