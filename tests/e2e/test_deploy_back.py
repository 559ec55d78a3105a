# SPDX-License-Identifier: BSD-2-Clause
"""The way back to the old version: by itself, and if an old worker can't return just then."""
import json
import os
import shlex
import signal

from deploys import QUICK, Deploys, deploy_canary, kill_and_restart
from harness.checks import cases, check, equal, timeout, wait_until
from harness.network import PORT
from runs import worker_command
from test_attack_control import ask
from test_attack_flood import fuse
from test_attack_stuck import fuse_server

BLUE_GREEN = ("--strategy", "blue-green", "--label", "v2")


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@timeout(240)
@cases("supervised", "alone")
def test_promoted_version_dies(bed, case):
    """No worker of the version that was promoted lives: the old workers, which are held, get all
    connections, long before a worker is started again. If there is no supervisor, the next one gives
    them their slots."""
    run = Deploys(bed, worker_command(bed), *QUICK, "--restart-delay", "60s", workers=2)
    old = run.pids()
    heard = bed.dir / "heard"
    run.deploy(*BLUE_GREEN, "--wait", "--on-change", f"exec:echo $REUSEPORTD_EVENT >> {heard}")
    new = run.pids()
    kill(new[:1])
    run.process.wait_output(f"pid {new[0]} has ended")
    run.check_outcome("promoted")
    if case == "alone":
        run.kill_supervisor()
        kill(new[1:])
        run.start(wait=False)
    else:
        kill(new[1:])
    rollout = run.wait_for(outcome="rolled-back", phase="degraded", old="v2", new="v1", share=100)
    check("no worker of 'v2' lives" in rollout["reason"], rollout["reason"])
    equal(run.pids(), old, "workers")
    equal(run.versions(), ["v1", "v1"], "versions")
    equal(bed.load("-n", 100, "-c", 4)["ok"], 100, "connections that were answered")
    text = run.command_line("rollout", "--watch", status=4).err
    check("v2 was rolled back: no worker of 'v2' lives" in text, text)
    events = run.command_line("events", "--json").json()
    equal([row["text"] for row in events if row["event"] == "deployment"],
          ["started v2", "promoted v2", "rolled-back v1"], "events")
    wait_until(lambda: heard.read_text().split()[-1] == "rolled-back", "`on-change` has run")
    kill(old)
    run.process.wait_output(f"pid {old[1]} has ended")
    equal(run.rollout()["id"], rollout["id"], "the last deployment, without a way back")


@timeout(240)
@cases("good", "dies", "check", "errors")
def test_last_step_is_judged(bed, case):
    """A step of 100 % is judged with any strategy, also by the next supervisor: if the new version
    fails, the old workers return."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=2)
    old = run.pids()
    load = bed.start_load("-c", "8", "--rate", "500")
    limit = ["--max-error-rate", "10%"]
    words = {"good": ["--steps", "100% 2s", *limit],
             "dies": ["--steps", "100% 60s", *limit],
             "check": ["--steps", "100% 60s", "--wait", "--check",
                       'exec:test "$REUSEPORTD_SHARE" != 100.0'],
             "errors": ["--steps", "100% 60s", "--wait", *limit]}[case]
    run.deploy(*BLUE_GREEN, "--warm-up", "0.1s", "--min-samples", "10", *words,
               command=worker_command(bed, "--fail", 1) if case == "errors" else (),
               status=4 if "--wait" in words else 0)
    if case == "dies":
        run.wait_for(step=1, share=100)
        kill(run.pids()[:1])
    if case == "good":
        run.wait_for(step=1)
        kill_and_restart(run)
    good = case == "good"
    wait_until(lambda: run.rollout()["outcome"], "the deployment ends", 60)
    rollout = run.check_outcome("promoted" if good else "aborted")
    equal(rollout["verdict"], "good" if good else "bad", "verdict")
    equal(run.versions(), ["v2" if good else "v1"] * 2, "versions")
    if not good:
        equal(run.pids(), old, "workers")
    if case in ("dies", "errors"):
        load.stop()
    else:
        load.stop_unfailed()


@timeout(240)
def test_last_step_without_a_measure(bed):
    """At 100 % there is no old version to compare with: without another measure, the step is refused.
    A person may judge it."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=2)
    old = run.pids()
    for strategy in ("rolling", "blue-green", "canary"):
        text = run.deploy("--strategy", strategy, "--steps", "100% 5m", status=2).err
        check("--check" in text and "--max-error-rate" in text, text)
    equal(run.pids(), old, "workers")
    run.deploy(*BLUE_GREEN, "--steps", "100% pause")
    run.wait_for(step=1, phase="paused")
    run.command_line("promote")
    run.wait_for(outcome="promoted")


@timeout(240)
def test_person_starts_again(bed):
    """A person who stops the slots of a promoted version, and starts them, gets that version. If no
    worker of it lives after that, the old workers return."""
    run = Deploys(bed, worker_command(bed), *QUICK, "--restart-delay", "60s", workers=1)
    old = run.pids()
    run.deploy(*BLUE_GREEN, "--wait")
    run.command_line("stop", 0)
    run.command_line("start", 0)
    equal(run.versions(), ["v2"], "versions")
    run.check_outcome("promoted")
    kill(run.pids())
    run.wait_for(outcome="rolled-back", old="v2", new="v1")
    equal(run.pids(), old, "workers")


@timeout(240)
def test_refused_deployment(bed):
    """A deployment whose slot can't be added leaves the held workers to the one before."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=1)
    old = run.pids()
    run.deploy(*BLUE_GREEN, "--keep-old", "1h", "--wait")
    tracer = bed.start(bed.program("strace"), "-o", "/dev/null", "--inject=sendto:error=ENOBUFS:when=1", "-p",
                       run.process.pid, name="strace")
    tracer.wait_output("attached")
    refused = run.deploy("--strategy", "canary", "--label", "v3", "--detach", status=1)
    tracer.kill(signal.SIGTERM)
    tracer.wait()
    check("can't list listening sockets" in refused.err, f"{refused}")
    run.command_line("rollback")
    equal(run.pids(), old, "workers")


class Stuck(Deploys):
    """A service whose old worker in slot 0 keeps a lock of the kernel from stick() to free(): until
    then it can't get its slot back."""

    def __init__(self, bed, workers=1):
        device, folder = fuse(bed)
        attack = shlex.join(map(str, [bed.binary("attack"), "stuck_epoll", device, folder, PORT,
                                      "later"]))
        other = shlex.join(map(str, worker_command(bed)))
        super().__init__(bed, ["sh", "-c", f"[ $REUSEPORTD_SLOT = 0 ] && exec {attack}; exec {other}"],
                         *QUICK, workers=workers)
        self.old = self.pids()

    def stick(self):
        os.kill(self.old[0], signal.SIGUSR1)
        self.process.wait_output("stuck")

    def free(self):
        os.kill(fuse_server(self.bed), signal.SIGKILL)


@timeout(240)
def test_old_worker_returns_later(bed):
    """An old worker keeps a lock of the kernel for a while: it gets its slot back after that."""
    run = Stuck(bed)
    run.deploy(*BLUE_GREEN, "--wait", command=worker_command(bed))
    run.stick()
    answer = run.command_line("rollback", "--json")
    run.free()
    equal(answer.json()["outcome"], None, "the outcome while the lock is kept")
    run.wait_for(outcome="rolled-back", phase="healthy")
    equal(run.pids(), run.old, "workers")
    check("the old workers can't return yet" in run.log(), run.log())


@timeout(240)
def test_superseded_later(bed):
    """An old worker can't return just now: the deployment that supersedes begins after that. A
    re-exec would forget it, and is refused until then."""
    run = Stuck(bed)
    run.deploy(*BLUE_GREEN, "--steps", "100% pause", command=worker_command(bed))
    run.wait_for(step=1, phase="paused")
    run.stick()
    deploy = bed.start(bed.binary("reuseportd"), "deploy", run.name, "--supersede", "--detach",
                       "--json", "--label", "v3", "--", *worker_command(bed), name="deploy")
    run.process.wait_output("is rolled back: superseded")
    run.process.wait_output("the old workers can't return yet")
    run.command_line("abort", status=None)  # its answer is not that of `deploy`
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("re-exec refused")
    run.free()
    equal(deploy.wait(), 0, f"exit status of `deploy`: {deploy.output()}")
    equal(json.loads(deploy.out.read_text())["new"], "v3", "what `deploy` has begun")
    rollout = run.wait_for(new="v3", outcome="promoted")
    equal(rollout["old"], "v1", "the version before")
    equal(run.versions(), ["v3"], "versions")


@timeout(240)
def test_refused_gate_is_not_asked_again(bed):
    """A gate has refused, and the old worker can't return just now: what the gate says then does not
    count."""
    run = Stuck(bed, workers=2)
    asked = bed.dir / "asked"
    gate = (f"exec:[ $REUSEPORTD_EVENT = before-promotion ] || exit 0; echo >> {asked}; "
            f"[ $(wc -l < {asked}) -gt 1 ]")
    deploy_canary(run, "--gate", gate, command=worker_command(bed), steps="50% pause")
    run.wait_for(step=1, phase="paused")
    equal(run.versions(), ["v2", "v1"], "versions")
    run.stick()
    run.command_line("promote")
    run.process.wait_output("the old workers can't return yet")
    run.free()
    rollout = run.wait_for(outcome="aborted")
    check("the gate refuses the promotion" in rollout["reason"], rollout)
    equal(asked.read_text(), "\n", "how often the gate was asked about the promotion")


@timeout(240)
def test_abort_while_step_is_put_off(bed):
    """A new worker keeps a lock, so its step is put off. The way back has its own tries, and says why
    it was taken."""
    device, folder = fuse(bed)
    run = Deploys(bed, worker_command(bed), *QUICK, workers=1)
    old = run.pids()
    run.deploy(*BLUE_GREEN, "--gate", "exec:[ $REUSEPORTD_EVENT = before-start ] || exit 2",
               command=["sh", "-c", f"echo $$ > {bed.dir}/pid; exec {bed.binary('attack')} "
                                    f"stuck_epoll {device} {folder} {PORT} later"])
    run.wait_for(gate="promotion")
    os.kill(int((bed.dir / "pid").read_text()), signal.SIGUSR1)
    run.process.wait_output("stuck")
    for request in ("promote", "abort"):
        equal(ask(run, {"do": request})["status"], 0, f"status of {request}")
    run.wait_for(outcome="aborted")
    equal(run.pids(), old, "workers")
    check("the deployment of 'v2' is rolled back: by `abort`" in run.log(), run.log())
