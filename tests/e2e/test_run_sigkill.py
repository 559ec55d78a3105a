# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor of `run` is killed by SIGKILL at any instant of its start, a reload, a take-over
and its stop. While workers live connections are served; the next supervisor, or `stop`, restores
the service.

First it is killed at random instants, which differ each time. Then it is killed at its system
calls, in sweeps: an undisturbed pass lists all stops, that is entry and exit of each call. Then the
supervisor is killed once at each stop that selection() (stops.py) chooses: a random sample of the
stops whose effect survives the process, and of a few of the calls between them, most of which read
/proc or open pins. With `tools/test --full` it is killed at each stop. A stop is named by its kind
and its number within that kind. The order of a supervisor's work depends on events, so in some
passes it makes fewer calls of a kind. Then the stop is missed, and the supervisor is killed at the
end of the pass. The number of missed stops is printed and limited.
"""
import collections
import os
import re
import signal
import time

from harness.bed import PINS
from harness.checks import (FULL, SLOW, Failure, cases, chance, check, equal, note, timeout,
                            wait_until)
from harness.network import PORT, Client
from runs import Run, worker_command
from harness.servers import children
from stops import STOP, kind_of, selection
from harness.traffic import Place, wait_for_load

WORKERS = 3
SETTLE = ("--settle", "0.05", "--drain-timeout", "5s")


def seconds_of(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def kill_after(run, seconds):
    """Sends SIGKILL to the supervisor after that time, unless it has ended before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.process.alive():
        time.sleep(0.001)
    run.kill_supervisor()


def expect_gone(bed, after=""):
    check(not PINS.exists(), f"pins are left {after}")
    wait_until(lambda: not bed.left_files(), "files and cgroups are gone")


@timeout(200)
def test_start(bed):
    """The supervisor is killed repeatedly while it starts; then an undisturbed start succeeds."""
    dice = chance()
    run = Run(bed, worker_command(bed), *SETTLE, workers=WORKERS)
    run.stop()
    took = seconds_of(run.start)
    run.stop()
    for _ in range(60 if FULL else 20):
        run.start(wait=False)
        kill_after(run, dice.uniform(0, 1.2 * took))
        if dice.random() < 0.3 and PINS.exists():
            bed.reuseportd("stop", run.name, status=None)
    run.start()
    equal(run.states(), ["active"] * WORKERS, "states")
    report = bed.load("-n", 90)
    equal((report["failed"], sorted(report["workers"].values())), (0, [30] * WORKERS), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")
    expect_gone(bed)


@timeout(300)
def test_reload_and_take_over(bed):
    """The supervisor is killed during reloads and the following take-overs: no connection is
    lost."""
    dice = chance()
    run = Run(bed, worker_command(bed), *SETTLE, workers=WORKERS)
    loads = [Place(bed, "loopback").start_load("--rate", 500),
             Place(bed, "loopback").start_load("--keepalive", 3, "-c", 8, "--rate", 200)]
    took = seconds_of(run.reload)
    kills = 40 if FULL else 20
    for _ in range(kills):
        reload = bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")
        kill_after(run, dice.uniform(0, took))
        reload.wait()
        for _ in range(dice.randrange(3)):
            run.start(wait=False)
            kill_after(run, dice.uniform(0, 0.15 * SLOW))
        run.start()
        wait_for_load(bed, range(WORKERS), 20)
        equal(run.states(), ["active"] * WORKERS, "states after the take-over")
    run.reload()
    n = sum(load.stop_unfailed()["ok"] for load in loads)
    note(f"killed {kills} times during a reload, {n} connections, 0 failed")
    # Only workers in slots are left, with their cgroups.
    wait_until(lambda: len(list(bed.cgroups(run.name))) == WORKERS, "no other worker is left")
    equal(run.stop(), 0, "exit status of the supervisor")
    expect_gone(bed)


@timeout(200)
def test_stop(bed):
    """The supervisor is killed while it stops: the next `stop` ends the rest."""
    dice = chance()
    run = Run(bed, worker_command(bed), *SETTLE, workers=WORKERS)
    took = seconds_of(lambda: bed.reuseportd("stop", run.name))
    for _ in range(40 if FULL else 20):
        run.start()
        stop = bed.start(bed.binary("reuseportd"), "stop", run.name, name="stop")
        kill_after(run, dice.uniform(0, 1.2 * took))
        stop.wait()
        if PINS.exists():
            bed.reuseportd("stop", run.name, status=None)
        expect_gone(bed)


# At its system calls

SERVING = "web: started:"


class Sweep:
    """Two workers and their supervisor, which is killed at each stop in turn."""

    WORKERS = 2

    def __init__(self, bed, *options, loaded=False):
        """@loaded: under continuous load, in which no connection may fail."""
        self.bed = bed
        self.killat = (bed.binary("killat"), "--leave-children")
        self.run = Run(bed, worker_command(bed), "--settle", "0.01", "--drain-timeout", "5s",
                       *options, workers=self.WORKERS)
        self.n, self.missed = 0, []
        self.dice = chance()
        self.load = bed.start_load("--rate", 200, "-c", 16) if loaded else None
        self.log = open(self.load.log if loaded else os.devnull, encoding="ascii")
        self.cut = ""  # the incomplete last line of the log

    # The start of a pass

    def start(self, *how):
        """Starts the supervisor under killat."""
        self.run.under = (*self.killat, "--skip-start", *how)
        self.run.start(wait=False)
        self.run.under = ()
        return self.run.process

    def follow(self, *how):
        """Starts killat for the running supervisor."""
        follower = self.bed.start(*self.killat, *how, "--pid", self.run.process.pid)
        follower.wait_output("following")
        return follower

    # The end of a pass

    def end(self, killat, done):
        """Waits until the supervisor was killed at the stop, or until done(); then kills it.
        Returns the stops if killat listed them."""
        wait_until(lambda: not killat.alive() or done(),
                   "the supervisor is killed, or the pass is done")
        if killat is self.run.process:
            pids = children(killat.pid)
            # Later there may also be a child that a sanitizer starts to look for leaks.
            if not re.search(r"(?m)^(killed at|ended after) ", killat.output()):
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
        else:
            self.run.kill_supervisor()
        killat.wait()
        return STOP.findall(killat.output())

    def kill_at(self, stop, begin, done, ask=True):
        """Runs a pass, and checks that workers serve afterwards. `status`, like any command,
        repairs an incomplete change, so it is not always called."""
        killat = begin("--at", stop)
        self.end(killat, done)
        self.n += 1
        if "killed at stop" not in killat.output():
            self.missed.append(stop)
        if self.load:
            self.ask()
        elif ask and self.n % 2:
            self.ask_if_up(stop)
        self.expect_none_failed(f"after a kill at {stop}")

    # Checks

    def a_worker_is_active(self):
        shown = self.bed.reuseportd("status", self.run.name, "--json", status=None)
        return shown.code == 0 and any(row["state"] == "active" for row in shown.json()["workers"])

    def ask(self):
        """Opens connections, which the workers in the slots answer. Returns the answers by
        worker."""
        answers = collections.Counter()
        for _ in range(2 * self.WORKERS):
            with Client() as client:
                answers[client.ask()] += 1
        return answers

    def ask_if_up(self, stop):
        """Like ask(), if a worker is active. A worker that is being stopped may end meanwhile."""
        if not self.a_worker_is_active():
            return
        try:
            self.ask()
        except (OSError, Failure) as why:
            check(not self.a_worker_is_active(),
                  f"{why} after a kill at {stop}, although a worker is active")

    def expect_none_failed(self, when):
        *lines, self.cut = (self.cut + self.log.read()).split("\n")
        failed = [line for line in lines if not line.endswith(" ok")]
        check(not failed, f"failed connections {when}: {failed}")

    def expect_whole(self):
        """Checks that all slots serve, and that no other worker is left."""
        rows = self.run.workers()
        check(all(row["state"] == "active" for row in rows), f"not all are active: {rows}")
        answers = self.ask()
        check(self.load or sorted(answers.values()) == [2] * self.WORKERS, f"answers: {answers}")
        wait_until(self.is_settled, "other workers are gone")
        self.expect_none_failed("once the service was complete")

    def is_settled(self):
        cgroups = {path.name for path in self.bed.cgroups(self.run.name)}
        outputs = {name.split(".")[0] for name in os.listdir(f"/run/reuseportd/{self.run.name}/out")}
        return len(cgroups) == self.WORKERS and cgroups == outputs

    def stop(self):
        equal(self.run.stop(), 0, "exit status of the supervisor")
        expect_gone(self.bed)

    def clear(self):
        """Stops whatever is left of the service."""
        stopped = self.bed.reuseportd("stop", self.run.name, status=None)
        expect_gone(self.bed, f"after {stopped}")

    def finish(self, what, stops):
        if self.load:
            note(f"{self.load.stop_unfailed()['ok']} connections, 0 failed")
        if self.run.process.alive():
            self.stop()
        note(f"{what}: {stops} stops in a pass; killed at {self.n - len(self.missed)} of "
             f"{self.n}; missed: {', '.join(self.missed) or 'none'}")
        check(len(self.missed) <= self.n // 10 + 2, f"missed {len(self.missed)} of {self.n} stops")


def sweep_start(sweep, choose, what):
    """The supervisor is killed while it starts, then started again, or each fourth time stopped."""
    started = lambda: SERVING in sweep.run.log()  # noqa: E731
    sweep.stop()
    stops = sweep.end(sweep.start("--list"), started)
    sweep.clear()
    for n, stop in enumerate(selection(choose(stops), sweep.dice)):
        sweep.kill_at(stop, sweep.start, started)
        if n % 4 == 3:
            sweep.clear()
            continue
        sweep.run.start()
        sweep.expect_whole()
        sweep.stop()
    sweep.finish(what, len(stops))


@timeout(400, full=3600)
def test_start_sweep(bed):
    sweep_start(Sweep(bed), lambda stops: stops, "start")


@timeout(400, full=3600)
def test_start_named_sweep(bed):
    """With --listen ADDRESS connections can wait from the start: as soon as the service exists it
    has that endpoint. Only up to the first worker; afterwards the start is the same."""
    sweep = Sweep(bed, "--listen", f"0.0.0.0:{PORT}")

    def up_to_worker(stops):
        first = next(i for i, stop in enumerate(stops) if kind_of(stop) == "clone3")
        return stops[:first]

    def a_worker_is_active():
        shown = bed.reuseportd("status", sweep.run.name, "--json", status=None)
        check(shown.code or len(shown.json()["endpoints"]) == 1, f"no endpoint: {shown}")
        return False
    sweep.a_worker_is_active = a_worker_is_active
    sweep_start(sweep, up_to_worker, "start with --listen")


@timeout(400, full=3600)
def test_take_over_sweep(bed):
    sweep = Sweep(bed, loaded=True)
    started = lambda: SERVING in sweep.run.log()  # noqa: E731
    sweep.run.kill_supervisor()
    stops = sweep.end(sweep.start("--list"), started)
    for stop in selection(stops, sweep.dice):
        sweep.kill_at(stop, sweep.start, started)
        sweep.run.start()
        sweep.expect_whole()
        sweep.run.kill_supervisor()
    sweep.run.start()
    sweep.finish("take-over", len(stops))


@timeout(400, full=3600)
def test_reload_sweep(bed):
    """A reload, up to the end of the old workers."""
    sweep = Sweep(bed, loaded=True)
    reloads = []

    def begin(*how):
        killat = sweep.follow(*how)
        reloads.append(bed.start(bed.binary("reuseportd"), "reload", sweep.run.name, name="reload"))
        return killat

    def done():
        return not reloads[-1].alive() and sweep.is_settled()
    stops = sweep.end(begin("--list"), done)
    for stop in selection(stops, sweep.dice):
        sweep.run.start()
        sweep.expect_whole()
        sweep.kill_at(stop, begin, done)
        reloads[-1].wait()
    sweep.run.start()
    sweep.expect_whole()
    sweep.finish("reload", len(stops))


@timeout(400, full=3600)
def test_stop_sweep(bed):
    """The supervisor is killed while it stops: the waiting `stop` ends the rest without a
    message."""
    sweep = Sweep(bed)
    asked = []

    def begin(*how):
        killat = sweep.follow(*how)
        asked.append(bed.start(bed.binary("reuseportd"), "stop", sweep.run.name, name="stop"))
        return killat

    stops = sweep.end(begin("--list"), lambda: False)
    for stop in selection(stops, sweep.dice):
        equal(asked[-1].wait(), 0, "exit status of `stop`")
        expect_gone(bed)
        sweep.run.start()
        sweep.kill_at(stop, begin, lambda: False, ask=False)
    equal(asked[-1].wait(), 0, "exit status of `stop`")
    sweep.finish("stop", len(stops))


@timeout(400, full=3600)
@cases("by a signal", "without a supervisor")
def test_stop_alone_sweep(bed, how):
    """A stop by a signal, for whose end no command waits, or by `stop` without a supervisor.
    Afterwards another `stop` ends the rest; each fourth time another supervisor is started
    first."""
    sweep = Sweep(bed)

    def by_signal(*options):
        killat = sweep.follow(*options)
        sweep.run.process.kill(signal.SIGTERM)
        return killat

    def without_supervisor(*options):
        sweep.run.kill_supervisor()
        sweep.run.process = bed.start(*sweep.killat, "--skip-start", *options,
                                      bed.binary("reuseportd"), "stop", sweep.run.name, name="stop")
        return sweep.run.process

    begin = by_signal if how == "by a signal" else without_supervisor
    stops = sweep.end(begin("--list"), lambda: False)
    expect_gone(bed)
    for n, stop in enumerate(selection(stops, sweep.dice)):
        sweep.run.start()
        sweep.kill_at(stop, begin, lambda: False)
        if n % 4 == 3:
            sweep.run.start()
            sweep.expect_whole()
            sweep.stop()
        else:
            sweep.clear()
    sweep.finish(f"stop {how}", len(stops))
