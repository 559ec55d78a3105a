# SPDX-License-Identifier: BSD-2-Clause
"""Something else holds the lock of a service, and may never release it: other services of the
supervisor go on, and this one goes on when the lock is free."""
import os
import pathlib
import signal

from harness.bed import PINS
from harness.checks import cases, check, equal, wait_until
from harness.network import Client, PORT
from runs import held

NAMES = {"one": PORT, "two": PORT + 1}


class Both:
    """A supervisor of two services."""

    def __init__(self, bed):
        self.bed = bed
        self.config = bed.dir / "both.conf"
        self.config.write_text("".join(
            f"[service {name}]\ncommand = {bed.binary('worker')} --port {port} --no-reuseport\n"
            f"listen = {port}\nworkers = 2\n" for name, port in NAMES.items()))
        self.start()
        for name in NAMES:
            self.process.wait_output(f"{name}: started: 2 workers")
        bed.remember_pinned()

    def start(self):
        self.process = self.bed.start(self.bed.binary("reuseportd"), "run", self.config, name="run")

    def command(self, *args, **options):
        return self.bed.reuseportd(*args, deadline=30, **options)

    def in_background(self, *args):
        return self.bed.start(self.bed.binary("reuseportd"), *args, name=args[0])

    def pids(self, name):
        return [row["pid"] for row in self.bed.status(name)["workers"]]

    def kill_worker(self, name):
        pid = self.pids(name)[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_replaced(self, name, pid):
        wait_until(lambda: pid not in self.pids(name) and
                   [row["state"] for row in self.bed.status(name)["workers"]] == ["active"] * 2,
                   f"pid {pid} of {name} is replaced")

    def waits(self):
        return self.process.output().count("one: waiting: service 'one' is locked")


def answered_by(port):
    with Client(port=port) as client:
        return int(client.ask())


def test_other_service(bed):
    """The other service replaces a killed worker, reloads, scales and stops. Then the service itself
    replaces its worker, and carries out the request that has waited."""
    both = Both(bed)
    killed = both.kill_worker("one")
    both.wait_replaced("one", killed)
    before = both.pids("one")
    with held("one"):
        os.kill(before[0], signal.SIGKILL)
        restart = both.in_background("restart", "one", "1")
        both.wait_replaced("two", both.kill_worker("two"))
        wait_until(both.waits, "the wait is logged")
        both.command("restart", "two", "0")
        both.command("scale", "two", "3")
        both.command("reload", "two")
        check(answered_by(PORT) == before[1], "the worker of 'one' serves")
        both.command("stop", "two")
        check(restart.alive(), "the request waits")
        equal(both.waits(), 1, "lines that tell of the wait")
    equal(restart.wait(), 0, f"exit status of restart:\n{restart.output()}")
    check(not set(before) & set(both.pids("one")), "both workers are replaced")
    check("one: goes on after" in both.process.output(), "the end of the wait is logged")
    both.command("stop", "one")
    equal(both.process.wait(), 0, "exit status of the supervisor")


@cases("signal", "stop")
def test_stop(bed, by):
    """The service itself is stopped while its lock is held: its workers end, and its pins are left
    with an error; `stop` removes them later. The other service ends as usual."""
    both = Both(bed)
    pids = both.pids("one")
    with held("one"):
        if by == "stop":
            result = both.command("stop", "one", status=1)
            check("locked by another command" in result.err and "pins are left" in result.err,
                  f"{result}")
            both.wait_replaced("two", both.kill_worker("two"))
            both.command("stop", "two")
        else:
            os.kill(both.process.pid, signal.SIGTERM)
            wait_until(lambda: not (PINS / "two").exists(), "the other service has ended")
        equal(both.process.wait(), 1, "exit status of the supervisor")
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the workers end")
        check((PINS / "one").exists(), "the pins are left")
    check("pins are left" in both.process.output(), f"{both.process.output()}")
    both.command("stop", "one")
    check(not PINS.exists(), "pins are left")


def test_start(bed):
    """The lock of one service is held at the start: the other one starts, and SIGTERM ends the
    supervisor. Later the first one is taken over."""
    both = Both(bed)
    pids = both.pids("one")
    both.process.stop(signal.SIGKILL)
    with held("one"):
        both.start()
        both.process.wait_output("two: started: 2 workers")
        both.wait_replaced("two", both.kill_worker("two"))
        both.process.stop(signal.SIGTERM, deadline=60)
        check("one: stopped before it was started" in both.process.output(), "the end of 'one'")
        both.start()
        both.process.wait_output("two: started: 2 workers")
    both.process.wait_output("one: started: 2 workers")
    equal(both.pids("one"), pids, "the workers that were taken over")
    for name in NAMES:
        both.command("stop", name)
    equal(both.process.wait(), 0, "exit status of the supervisor")


@cases("other-serves", "other-has-failed")
def test_failed_take_over(bed, kind):
    """The lock of one service is held at the start, and then the service can't be taken over: the
    other one goes on, unless none of its workers is left. This one is left with its workers, and
    can be taken over later."""
    both = Both(bed)
    pids = both.pids("one")
    both.process.stop(signal.SIGKILL)
    if kind == "other-has-failed":
        with both.config.open("a") as file:
            file.write("max-restarts = 1\nmin-uptime = 1h\n")
    folder = pathlib.Path("/run/reuseportd/one")
    kept = folder.with_name("one-kept")
    with held("one"):
        both.start()
        both.process.wait_output("two: started: 2 workers")
        wait_until(both.waits, "the wait is logged")
        if kind == "other-has-failed":
            for pid in both.pids("two"):
                os.kill(pid, signal.SIGKILL)
            both.process.wait_output("two: all slots have failed or are stopped")
        folder.rename(kept)
        folder.touch()
    both.process.wait_output("one: can't")
    check(answered_by(PORT) in pids, "the workers of 'one' serve")
    equal(both.pids("one"), pids, "the workers of 'one'")
    if kind == "other-serves":
        both.wait_replaced("two", both.kill_worker("two"))
    else:
        equal(both.process.wait(), 1, "exit status of the supervisor")
    folder.unlink()
    kept.rename(folder)
    other = bed.start(bed.binary("reuseportd"), "run", "--service", "one", "--workers", 2,
                      "--listen", PORT, "--", bed.binary("worker"), "--port", PORT,
                      "--no-reuseport", name="other")
    other.wait_output("one: started: 2 workers")
    equal(both.pids("one"), pids, "the workers that were taken over")
    both.command("stop", "one")
    equal(other.wait(), 0, "exit status of the other supervisor")
    if kind == "other-serves":
        both.command("stop", "two")
        equal(both.process.wait(), 1, "exit status of the supervisor")
