# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor of `run`, killed by SIGKILL at any instant of its start, a reload, a take-over and
its stop. Where workers live traffic goes on; the next supervisor, or `stop`, puts it right."""
import os
import random
import time

from bed import PINS, SLOW, check, equal, note, timeout, wait_until
from runs import Run, worker_command
from traffic import Place, wait_for_load

WORKERS = 3
SETTLE = ("--settle", "0.05", "--drain-timeout", "5s")


def chance():
    """Random instants, which can be had again with SEED=N in the environment."""
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    note(f"SEED={seed}")
    return random.Random(seed)


def seconds_of(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def kill_after(run, seconds):
    """Sends SIGKILL to the supervisor when that time is over, unless it ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and run.process.alive():
        time.sleep(0.001)
    run.kill_supervisor()


def expect_gone(bed):
    check(not PINS.exists(), "pins are left")
    wait_until(lambda: not bed.left_files(), "files and cgroups are gone")


@timeout(200)
def test_start(bed):
    """Killed while it starts, again and again; then one that isn't is as good as the first."""
    dice = chance()
    run = Run(bed, worker_command(bed), *SETTLE, workers=WORKERS)
    run.stop()
    took = seconds_of(run.start)
    run.stop()
    for _ in range(60):
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
    """Killed within reloads, and within the take-overs that follow: not a connection is lost."""
    dice = chance()
    run = Run(bed, worker_command(bed), *SETTLE, workers=WORKERS)
    loads = [Place(bed, "loopback").start_load("--rate", 500),
             Place(bed, "loopback").start_load("--keepalive", 3, "-c", 8, "--rate", 200)]
    took = seconds_of(run.reload)
    for _ in range(40):
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
    note(f"40 times killed within a reload, {n} connections, 0 failed")
    # Only those that are in slots are left, and their cgroups.
    wait_until(lambda: len(list(bed.cgroups(run.name))) == WORKERS, "no other worker is left")
    equal(run.stop(), 0, "exit status of the supervisor")
    expect_gone(bed)


@timeout(200)
def test_stop(bed):
    """Killed while it stops: the next `stop` ends what is left."""
    dice = chance()
    run = Run(bed, worker_command(bed), *SETTLE, workers=WORKERS)
    took = seconds_of(lambda: bed.reuseportd("stop", run.name))
    for _ in range(40):
        run.start()
        stop = bed.start(bed.binary("reuseportd"), "stop", run.name, name="stop")
        kill_after(run, dice.uniform(0, 1.2 * took))
        stop.wait()
        if PINS.exists():
            bed.reuseportd("stop", run.name, status=None)
        expect_gone(bed)
