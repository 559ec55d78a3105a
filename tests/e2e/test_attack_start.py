# SPDX-License-Identifier: BSD-2-Clause
"""A local user delays the start or the end of its workers: another service of the same supervisor goes
on as if nothing had happened."""
import os
import pwd
import signal

from harness.checks import cases, timeout, wait_until
from test_attack_flood import NOISY, Supervisor

NOBODY = pwd.getpwnam("nobody").pw_uid


def restarts(bed):
    return bed.status(NOISY)["workers"][0]["restarts"]


def test_traced_end(bed):
    """The worker ends while another process of its user traces it."""
    supervisor = Supervisor(bed, f"{bed.binary('attack')} traced_end", "ready = alive:10ms",
                            "backoff = 10ms..10ms")
    wait_until(lambda: restarts(bed) > 1, "the traced worker is replaced")
    supervisor.check_quiet()
    supervisor.stop()


def as_nobody(bed, *command, name):
    return bed.start("setpriv", f"--reuid={NOBODY}", "--clear-groups", *command, name=name)


def expect_quiet(bed, supervisor, attack, times):
    """All workers of the user are started again, and that does not delay the other service."""
    for worker in bed.status(NOISY)["workers"]:
        os.kill(worker["pid"], signal.SIGKILL)
    for _ in range(times):
        supervisor.check_quiet()
    attack.kill(signal.SIGKILL)
    supervisor.stop()


@cases("lease", "stop")
def test_delayed_exec(bed, case):
    """The user holds a lease on the program, or stops the process before it executes the program."""
    program = bed.dir / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    os.chown(program, NOBODY, -1)
    supervisor = Supervisor(bed, program, "ready = alive:10ms", "backoff = 10ms..10ms",
                            workers=4)
    arguments = ("lease", program) if case == "lease" else ("stop_all",)
    attack = as_nobody(bed, bed.binary("attack"), *arguments, name="attack")
    if case == "lease":
        attack.wait_output("leased")
    expect_quiet(bed, supervisor, attack, 3)


@timeout(180)
def test_many_delayed_execs(bed):
    """The same for many workers that are started again at once: the starts of the user's service don't
    take all the time."""
    program = bed.dir / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    os.chown(program, NOBODY, -1)
    supervisor = Supervisor(bed, program, "ready = alive:10ms", "ready-timeout = 20ms",
                            "backoff = 1ms..1ms", "max-restarts = 1000000", "kill-timeout = 1ms",
                            workers=64)
    attack = as_nobody(bed, bed.binary("attack"), "lease", program, name="attack")
    attack.wait_output("leased")
    expect_quiet(bed, supervisor, attack, 2)
