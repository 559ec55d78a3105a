# SPDX-License-Identifier: BSD-2-Clause
"""Deployments under load: every connection and every request is counted."""
from deploys import Deploys, check_shares
from harness.checks import cases, check, equal, note, timeout, wait_until
from harness.traffic import Place, wait_for_load
from runs import worker_command

WORKERS = 4
QUICK = ("--settle", "0.1", "--drain-timeout", "5s")


def new_command(bed):
    return worker_command(bed, "--delay", "0")


@timeout(240)
@cases("loopback", "link")
def test_blue_green(bed, case):
    """All new workers get their slots at once, and the old ones return at once. No connection
    fails."""
    place = Place(bed, case)
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    load = place.start_load()
    run.deploy("--strategy", "blue-green", "--label", "v2", "--wait")
    equal(run.versions(), ["v2"] * WORKERS, "versions")
    new = run.pids()
    check(not set(old) & set(new), "old workers are in slots")
    wait_for_load(bed, range(WORKERS), 200)
    run.command_line("rollback")
    equal(run.pids(), old, "workers after the rollback")
    equal(run.versions(), ["v1"] * WORKERS, "versions after the rollback")
    wait_for_load(bed, range(WORKERS), 200)
    run.command_line("rollback")
    equal(run.versions(), ["v2"] * WORKERS, "versions after the second rollback")
    equal(run.pids(), new, "workers after the second rollback")
    n = load.stop_unfailed()["ok"]
    note(f"{case}: {n} connections, 0 failed")


@timeout(240)
def test_canary(bed):
    """Each step has exactly its share."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    run.deploy("--strategy", "canary", "--steps", "5% pause, 30% pause, 50% pause", "--label", "v2")
    for step, (permille, slots) in enumerate(((50, [0]), (300, [0, 1]), (500, [0, 1])), 1):
        run.wait_for(step=step, phase="paused")
        equal(run.versions(), ["v2" if slot in slots else "v1" for slot in range(WORKERS)], "versions")
        check_shares(bed, run, slots, permille)
        run.command_line("promote")
    run.wait_for(outcome="promoted", phase="healthy")
    equal(run.versions(), ["v2"] * WORKERS, "versions")
    check(not set(old) & set(run.pids()), "old workers are in slots")
