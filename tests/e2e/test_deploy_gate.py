# SPDX-License-Identifier: BSD-2-Clause
"""The command `gate`, which is asked before a deployment starts, before each of its steps, and
before the promotion."""
import pathlib
import signal

from deploys import QUICK, Deploys, deploy_canary, kill_and_restart
from harness.checks import cases, check, equal, timeout, wait_until
from runs import worker_command

WORKERS = 2

# Writes down what it is asked, and answers with the exit status in the file "answer".
GATE = ("exec:cd {dir}; echo $REUSEPORTD_EVENT $REUSEPORTD_STEP $(echo $REUSEPORTD_NEW_PIDS | wc -w) "
        "$(id -u) >> asked; exit $(cat answer)")


class Gated(Deploys):
    """A service, and a gate."""

    def __init__(self, bed):
        super().__init__(bed, worker_command(bed), *QUICK, workers=WORKERS)
        self.old = self.pids()
        self.asked_file = bed.dir / "asked"
        self.gate = ("--gate", GATE.format(dir=bed.dir), "--check-interval", "0.5s")

    def answer(self, status):
        (self.bed.dir / "answer").write_text(f"{status}\n")

    def asked(self):
        """What the gate was asked: (event, step in force, new workers)."""
        if not self.asked_file.exists():
            return []
        lines = [line.split() for line in self.asked_file.read_text().splitlines()]
        check({line[3] for line in lines} <= {"0"}, f"user of the command: {lines}")
        return [(line[0], int(line[1]), int(line[2])) for line in lines]

    def check_old(self):
        equal(self.pids(), self.old, "workers")
        equal(self.versions(), ["v1"] * WORKERS, "versions")


@timeout(240)
def test_open(bed):
    """The gate is asked once before each change, and the deployment goes on."""
    run = Gated(bed)
    run.answer(0)
    deploy_canary(run, *run.gate)
    run.wait_for(step=1, phase="paused")
    equal(run.asked(), [("before-start", 0, 0), ("before-step", 0, 1)], "what the gate was asked")
    run.command_line("promote")
    run.wait_for(outcome="promoted")
    equal(run.asked()[2:], [("before-promotion", 1, 1)], "what the gate was asked then")
    run.asked_file.unlink()
    run.deploy("--label", "v3", "--wait", *run.gate)
    equal(run.asked(), [("before-start", 0, 0), ("before-promotion", 0, WORKERS)],
          "what the gate was asked about a rolling deployment")
    run.asked_file.unlink()
    run.answer(1)
    run.command_line("rollback")
    equal(run.versions(), ["v2"] * WORKERS, "versions after a rollback")
    equal(run.asked(), [], "what the gate was asked about a rollback")


@timeout(240)
@cases("start", "flip", "promotion")
def test_refused(bed, case):
    """A gate that refuses ends the deployment, and the old workers have their slots."""
    run = Gated(bed)
    if case == "start":
        run.answer(1)
        text = deploy_canary(run, *run.gate, "--wait", status=1).err
    elif case == "flip":
        gate = run.gate[1].replace("$(cat answer)", "$([ $REUSEPORTD_EVENT = before-promotion ] && "
                                                    "echo 1 || echo 0)")
        text = run.deploy("--strategy", "blue-green", "--label", "v2", "--gate", gate, "--wait",
                          status=1).err
        equal(run.asked(), [("before-start", 0, 0), ("before-promotion", 0, WORKERS)],
              "what the gate was asked")
    else:
        run.answer(0)
        deploy_canary(run, *run.gate)
        run.wait_for(step=1, phase="paused")
        run.answer(1)
        run.command_line("promote")
        run.wait_for(outcome="aborted", verdict="bad")
        text = run.rollout()["reason"]
    check(f"the gate refuses the {'start' if case == 'start' else 'promotion'}" in text, text)
    check(run.rollout()["phase"] == "degraded", run.rollout())
    run.check_old()


@timeout(240)
def test_later(bed):
    """A gate that can't say is asked again, also by the next supervisor, and after an upgrade; the share stays."""
    run = Gated(bed)
    run.answer(2)
    deploy_canary(run, *run.gate)
    run.wait_for(gate="start", phase="progressing", step=0)
    wait_until(lambda: len(run.asked()) >= 2, "it is asked again", 60)
    run.check_old()
    kill_and_restart(run)
    n = len(run.asked())
    wait_until(lambda: len(run.asked()) > n, "the next supervisor asks, too",
               60)
    run.answer(0)
    run.wait_for(step=1, phase="paused", gate=None)
    run.answer(2)
    run.command_line("promote")
    run.wait_for(gate="promotion", phase="progressing", step=1, share=5)
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("the deployment of 'v2' goes on")
    n = len(run.asked())
    wait_until(lambda: len(run.asked()) > n, "the upgraded supervisor asks, too", 60)
    run.wait_for(gate="promotion", phase="progressing", step=1, share=5)
    run.answer(0)
    run.wait_for(outcome="promoted")


@timeout(240)
@cases("promote", "abort")
def test_hangs(bed, case):
    """A gate that does not answer blocks nothing, and pauses the deployment. A person decides, and
    the command ends."""
    run = Gated(bed)
    pid_file = bed.dir / "pid"
    deploy_canary(run, "--gate", f"exec:echo $$ > {pid_file}; exec sleep 1000", "--step-deadline",
                  "3s" if case == "promote" else "1h", steps="50% pause")
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the gate is asked", 60)
    run.check_old()
    if case == "promote":
        rollout = run.wait_for(phase="paused", step=0)
        check("--step-deadline" in rollout["reason"], rollout)
        run.command_line("promote", "--full")
        run.wait_for(outcome="promoted")
    else:
        run.command_line("abort")
        run.wait_for(outcome="aborted")
        run.check_old()
    process = pathlib.Path("/proc") / pid_file.read_text().strip()
    wait_until(lambda: not process.exists(), "the command has ended", 60)
