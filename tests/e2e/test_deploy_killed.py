# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor, or the old workers, are killed by SIGKILL during a deployment."""
import os
import signal

from deploys import QUICK, Deploys, check_shares, deploy_canary, kill_and_restart, restart
from harness.checks import FULL, cases, check, equal, note, timeout, wait_until
from runs import script, worker_command
from stops import STOP, instants, kind_of


def one_pass(run, action, done, *how):
    """Follows the supervisor by killat from an action until done(), unless killat has killed it before.
    Returns the stops if killat listed them. The supervisor has been killed at the end."""
    killat = run.bed.start(run.bed.binary("killat"), "--leave-children", *how, "--pid",
                           run.process.pid)
    killat.wait_output("following")
    action()
    wait_until(lambda: not killat.alive() or done(), "the pass is done", 60)
    run.kill_supervisor()
    killat.wait()
    return STOP.findall(killat.output())


def is_shown(run, **members):
    """Whether the deployment has these members."""
    shown = run.command_line("rollout", "--json", status=None)
    return shown.code == 0 and members.items() <= shown.json().items()


def replacements(stops):
    """The stops after which a file is replaced, or removed."""
    return [stop for stop in stops
            if kind_of(stop) in ("rename", "unlink", "unlinkat") and stop.endswith(" exit")]


class OneWorker:
    """A canary beside one worker, and an abort, under killat."""

    def __init__(self, bed):
        self.bed = bed
        self.run = Deploys(bed, worker_command(bed), *QUICK, workers=1)
        self.old = self.run.pids()

    def one_pass(self, *how):
        run = self.run

        def action():
            deploy_canary(run, "--keep-new", "0.1s", steps="10% pause", status=None)
            wait_until(lambda: not run.process.alive() or is_shown(run, phase="paused"),
                       "the step is in force")
            run.command_line("abort", status=None)
        return one_pass(run, action,
                        lambda: is_shown(run, outcome="aborted") and self.is_as_before(), *how)

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


class Two:
    """Two workers of a version that was promoted, while those of the version before are held."""

    def __init__(self, bed, workers=2):
        self.bed, self.n = bed, 1
        self.run = Deploys(bed, self.command(), *QUICK, workers=workers)
        self.promote()

    def command(self):
        """Of version N; its workers answer with that."""
        return worker_command(self.bed, "--id", f"v{self.n}")

    def promote(self):
        self.n += 1
        self.run.deploy("--strategy", "blue-green", "--label", f"v{self.n}", "--keep-old", "1h",
                        "--wait", command=self.command())
        self.stable = self.run.pids()

    def check_version(self, label, stop):
        """All workers have the version, also one that is started later."""
        run = self.run
        killed = run.pids()[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: run.pids()[0] not in (None, killed), "a worker is started", 60)
        run.wait_states("active", "active", deadline=60)
        equal(run.versions(), [label] * 2, f"versions after a kill at {stop}")
        equal(set(self.bed.load("-n", 40)["workers"]), {label},
              f"versions that answer after a kill at {stop}")

    def check_history(self, stop):
        """The last deployment is in the history, once."""
        rows = self.run.command_line("rollout", "--history", "--json").json()
        ids = [row["id"] for row in rows]
        equal(ids[-1], self.run.rollout()["id"], f"the last one after a kill at {stop}")
        equal(len(set(ids)), len(ids), f"deployments of {ids}")


def begin(run, *how):
    """A deployment begins, under killat."""
    return one_pass(run, lambda: run.deploy("--strategy", "canary", "--steps", "50% pause", "--label",
                                            "next", "--detach", status=None),
                    lambda: is_shown(run, new="next", phase="paused"), *how)


def abort_begun(run, held, stop):
    """If the deployment has begun, ends it. @held: the slots of the held workers that it must have."""
    if is_shown(run, new="next"):
        run.wait_for(phase="paused")
        found = [row["slot"] for row in run.status()["former_workers"] if row["state"] == "kept"]
        equal(found, held, f"slots of held workers after a kill at {stop}")
        run.command_line("abort")


@timeout(240, full=3600)
def test_begin(bed):
    """The supervisor is killed while a deployment begins: the next one does not take the workers that
    the last deployment holds for those of this one, and goes back to the version that is stable.
    Calls between two files that are replaced matter less: they are for --full."""
    it = Two(bed)
    run = it.run

    def check_goes_on(stop):
        restart(run)
        abort_begun(run, [0], stop)
        equal(run.pids(), it.stable, f"workers after a kill at {stop}")
        equal(run.versions(), [f"v{it.n}"] * 2, f"versions after a kill at {stop}")

    stops = begin(run, "--list")
    stops = stops[:next(i for i, stop in enumerate(stops) if kind_of(stop) == "clone3")]
    stops = instants(stops) if FULL else replacements(stops)
    check_goes_on("the end of the pass")
    for stop in stops:
        it.promote()
        begin(run, "--at", stop)
        check_goes_on(stop)
    note(f"killed at {len(stops)} stops")


@timeout(240)
def test_begin_beside_one_worker(bed):
    """The same for a canary beside one worker. Its slot is added before the held worker is let go."""
    it = Two(bed, workers=1)
    run = it.run

    def check_goes_on(stop):
        restart(run)
        abort_begun(run, [], stop)
        wait_until(lambda: run.pids() == it.stable, f"one worker is left after a kill at {stop}", 60)
        equal(run.versions(), [f"v{it.n}"], f"versions after a kill at {stop}")

    stops = begin(run, "--list")
    stops = replacements(stops[:next(i for i, stop in enumerate(stops) if kind_of(stop) == "clone3")])
    check_goes_on("the end of the pass")
    check(len(stops) >= 2, stops)
    for stop in stops:
        it.promote()
        begin(run, "--at", stop)
        check_goes_on(stop)
    note(f"killed at {len(stops)} stops")


@timeout(240, full=3600)
@cases("promote", "rollback")
def test_end(bed, case):
    """The supervisor is killed while a deployment ends, or is rolled back after that: the next one
    completes it, or knows nothing of it, and has the command of the version."""
    it = Two(bed)
    run = it.run

    def end(*how):
        if case == "promote":
            it.n += 1
            run.deploy("--strategy", "canary", "--steps", "50% pause", "--label", f"v{it.n}",
                       "--keep-old", "1h", command=it.command())
            run.wait_for(step=1, phase="paused")
        outcome = "promoted" if case == "promote" else "rolled-back"
        return one_pass(run, lambda: run.command_line(case, status=None),
                        lambda: is_shown(run, outcome=outcome), *how)

    def check_goes_on(stop):
        restart(run)
        wait_until(lambda: not is_shown(run, phase="progressing"), "it has ended or is paused", 60)
        if is_shown(run, phase="paused"):  # nothing was done
            run.command_line("promote")
            run.wait_for(outcome="promoted")
        it.check_version(run.rollout()["new"], stop)
        it.check_history(stop)
        if case == "rollback":
            it.promote()

    stops = end("--list")
    stops = instants(stops) if FULL else replacements(stops)
    check_goes_on("the end of the pass")
    for stop in stops:
        end("--at", stop)
        check_goes_on(stop)
    note(f"killed at {len(stops)} stops")


GATE = 'while [ $REUSEPORTD_SLOT != 0 ] && ! [ -e gate ]; do sleep 0.05; done; exec "$@"'


@timeout(240)
@cases("promote", "full")
def test_promoted_step_begins(bed, case):
    """A person has promoted a step, and the workers of the next one are starting: the share is that of
    the step in force, and the next supervisor goes on."""
    run = Deploys(bed, worker_command(bed), *QUICK, "--ready-timeout", "100s", workers=3)
    deploy_canary(run, steps="5% pause, 40% pause, 60% pause",
                  command=["sh", script(bed, "gate.sh", GATE), *worker_command(bed)])
    run.wait_for(step=1, phase="paused")
    n = len(list(bed.cgroups(run.name)))
    run.command_line("promote", *(["--full"] if case == "full" else []))
    wait_until(lambda: len(list(bed.cgroups(run.name))) > n, "a worker is starting", 60)
    run.wait_for(step=1, share=5, phase="progressing")
    check_shares(bed, run, [0], 50)
    kill_and_restart(run)
    run.wait_for(step=1, share=5, phase="progressing")
    check_shares(bed, run, [0], 50)
    (bed.dir / "gate").touch()
    if case == "full":
        run.wait_for(outcome="promoted")
    else:
        run.wait_for(step=2, phase="paused", share=40)
        check_shares(bed, run, [0, 1], 400)


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
