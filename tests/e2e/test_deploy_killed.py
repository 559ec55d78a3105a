# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor, or the old workers, are killed by SIGKILL during a deployment."""
import os
import signal

from deploys import QUICK, Deploys, deploy_canary, kill_and_restart, restart
from harness.checks import cases, check, equal, note, timeout, wait_until
from runs import worker_command
from stops import STOP, kind_of


class OneWorker:
    """A canary beside one worker, and an abort, under killat."""

    def __init__(self, bed):
        self.bed = bed
        self.run = Deploys(bed, worker_command(bed), *QUICK, workers=1)
        self.old = self.run.pids()

    def one_pass(self, *how):
        """Returns the stops if killat listed them. The supervisor has been killed at the end."""
        bed, run = self.bed, self.run
        killat = bed.start(bed.binary("killat"), "--leave-children", *how, "--pid",
                           run.process.pid)
        killat.wait_output("following")

        def has(key, value):
            shown = run.command_line("rollout", "--json", status=None)
            return shown.code == 0 and shown.json()[key] == value
        deploy_canary(run, "--keep-new", "0.1s", steps="10% pause", status=None)
        wait_until(lambda: not killat.alive() or has("phase", "paused"), "the step is in force")
        run.command_line("abort", status=None)
        wait_until(lambda: not killat.alive() or (has("outcome", "aborted") and self.is_as_before()),
                   "the deployment is aborted")
        run.kill_supervisor()
        killat.wait()
        return STOP.findall(killat.output())

    def is_as_before(self):
        return len(list(self.bed.cgroups(self.run.name))) == 1 and self.run.pids() == self.old


@timeout(300)
def test_one_worker(bed):
    """The next supervisor drops the slot that the service had for the canary."""
    it = OneWorker(bed)
    stops = [stop for stop in it.one_pass("--list") if kind_of(stop) == "rename"]
    check(len(stops) >= 8, stops)
    for stop in stops:
        restart(it.run)
        it.one_pass("--at", stop)
        restart(it.run)
        it.run.command_line("abort", status=None)
        wait_until(it.is_as_before, f"one worker is left after a kill at {stop}")
        equal(it.run.versions(), ["v1"], "versions")
        it.run.kill_supervisor()
    note(f"killed at {len(stops)} stops")


@timeout(240)
def test_killed_often(bed):
    """Supervisors that are killed and restarted all the time don't make more of the same evidence:
    it takes four looks, with a second between two of them."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=2)
    load = bed.start_load("-c", "16", "--rate", "500")
    deploy_canary(run, "--warm-up", "0", steps="5% 600s", command=worker_command(bed, "--reset", 1))
    run.wait_for(step=1)
    kills = 0
    while not run.rollout()["outcome"]:
        kill_and_restart(run)
        kills += 1
    rollout = run.check_outcome("aborted")
    seconds = rollout["ended_at"] - rollout["step_began_at"]
    note(f"{kills} kills in {seconds:.1f} s: {rollout['reason']}")
    check("reset connections" in rollout["reason"], rollout)
    check(seconds > 3.5, f"aborted after {seconds} s: {rollout}")
    load.stop()


@timeout(240)
def test_supersede_without_old_worker(bed):
    """Without a worker of the old version, a deployment that is to supersede is refused, and nothing
    is touched: to abort the other one would leave no worker."""
    run = Deploys(bed, worker_command(bed), *QUICK, "--restart-delay", "60s", workers=2)
    old = run.pids()
    deploy_canary(run, steps="50% pause")
    run.wait_for(step=1, phase="paused")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 1, "the old workers have ended", 60)
    before = run.pids()
    text = run.deploy("--supersede", "--label", "v3", status=1).err
    check("the deployment of 'v2' can't be rolled back: no worker of the old version lives" in text
          and "promote --full" in text, text)
    run.wait_for(step=1, phase="paused", new="v2")
    equal(run.pids(), before, "workers")
    equal(bed.load("-n", 100, "-c", 4)["ok"], 100, "connections that were answered")
    run.command_line("promote", "--full")
    run.wait_for(new="v2", outcome="promoted")


@timeout(240)
@cases("abort", "unhealthy", "dies")
def test_no_old_worker(bed, case):
    """An abort waits until a worker of the old version lives again. Until then the new workers are
    supervised like any other."""
    sick = bed.dir / "sick"
    run = Deploys(bed, worker_command(bed), *QUICK, "--health-interval", "0.2", "--ready",
                  f"exec:test $REUSEPORTD_VERSION = v1 || ! test -e {sick}", "--restart-delay",
                  "4s" if case == "abort" else "60s", workers=2)
    old = run.pids()
    deploy_canary(run, steps="10% pause")
    run.wait_for(step=1, phase="paused")
    new = run.pids()[0]
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    run.process.wait_output(f"pid {old[1]} has ended")
    if case == "abort":
        run.command_line("abort")
    elif case == "dies":
        os.kill(new, signal.SIGKILL)
    else:
        sick.touch()
    run.process.wait_output("no worker of the old version lives")
    if case == "abort":
        run.wait_for(outcome="aborted")
        wait_until(lambda: run.versions() == ["v1", "v1"], "both slots have the old version")
    elif case == "dies":
        wait_until(lambda: run.pids()[0] not in (None, new), "a new worker has the slot")
        equal(run.versions()[0], "v2", "version of slot 0")
    else:
        run.process.wait_output("it is replaced")
