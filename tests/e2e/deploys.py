# SPDX-License-Identifier: BSD-2-Clause
"""Deployments of a service of `run`."""
import contextlib
import json
import os
import pathlib
import signal

from harness.checks import Failure, check, equal, wait_until
from runs import SERVICE, Run

WORKERS = 4
QUICK = ("--settle", "0.1", "--drain-timeout", "5s")


class Deploys(Run):
    """A service with deployments."""

    @classmethod
    def of_file(cls, bed, path, *options):
        """The service of a configuration file."""
        run = cls.__new__(cls)
        run.bed, run.name = bed, SERVICE
        run.process = bed.start(bed.binary("reuseportd"), "run", path, *options, name="run")
        run.process.wait_output(f"{SERVICE}: started:")
        bed.remember_pinned()
        return run

    def deploy(self, *args, command=(), status=0, **options):
        words = [*args, *(("--", *command) if command else ())]
        return self.command_line("deploy", *words, status=status, **options)

    def rollout(self):
        """The deployment under way, or the last one."""
        return self.command_line("rollout", "--json").json()

    def wait_for(self, deadline=60, **members):
        """Waits until the deployment has these members; returns it."""
        seen = {}

        def is_so():
            seen.update(self.rollout())
            return all(seen[key] == value for key, value in members.items())
        try:
            wait_until(is_so, f"the deployment has {members}", deadline, 0.05)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.explain(seen)}") from None
        return seen

    def explain(self, rollout):
        """What a failure needs to know of a deployment, its reason above all."""
        logs = [process.output() for process in self.bed.processes if process.name.startswith("run-")]
        return f"{rollout['reason']}\n{json.dumps(rollout)}\n{''.join(logs)}"

    def check_outcome(self, wanted):
        """Checks the outcome of the last deployment; returns it."""
        rollout = self.rollout()
        check(rollout["outcome"] == wanted,
              f"{rollout['new']} is {rollout['outcome']}, not {wanted}: {self.explain(rollout)}")
        return rollout

    def versions(self):
        """The version of each worker in a slot."""
        return [row["version"] for row in self.workers()]


def check_shares(bed, run, new, permille, n=1000):
    """Checks that of @n new connections exactly @permille go to the slots @new."""
    before = bed.steered()
    report = bed.load("-n", n, "-c", 8)
    equal(report["ok"], n, "connections that were answered")
    after = bed.steered()
    got = sum(after[slot] - before[slot] for slot in new)
    check(got == n * permille // 1000, f"{got} of {n} connections went to slots {new}")


def deploy_canary(run, *args, steps="5% pause", **options):
    return run.deploy("--strategy", "canary", "--steps", steps, "--label", "v2", *args, **options)


def kill_and_restart(run):
    run.kill_supervisor()
    restart(run)


def restart(run):
    run.start(wait=False)
    run.process.wait_output("is taken over")
    run.command_line("start", "0", status=1)  # it answers when it has gone on


def close_listener(pid):
    """Makes a C worker close its listener, and waits until it has."""
    def sockets():
        n = 0
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was closed just now
                n += os.readlink(fd).startswith("socket:")
        return n
    before = sockets()
    os.kill(pid, signal.SIGUSR2)
    wait_until(lambda: sockets() < before, f"pid {pid} has closed its listener")
