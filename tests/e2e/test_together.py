# SPDX-License-Identifier: BSD-2-Clause
"""Several commands at the same time take turns; a command that is killed gives way to the next
one."""
import os
import signal
import subprocess

from harness.bed import PINS
from harness.checks import check, equal, wait_until
from harness.process import Result
from harness.servers import children
from test_sigkill import ATTACH, SERVICE, Scene, state_of


def start_together(scene, commands):
    """Starts all commands at the same time. Returns their results, in order."""
    processes = [(command, subprocess.Popen([scene.tool, *map(str, command)], text=True,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE))
                 for command in commands]
    results = []
    for command, process in processes:
        out, err = process.communicate(timeout=60)
        results.append(Result(list(map(str, command)), process.returncode, out, err, 0))
    return results


def test_changes_together(bed):
    """Twenty changes of one service at the same time, repeatedly: each one takes effect."""
    scene = Scene(bed, workers=4)
    old = scene.state()
    for i in range(10):
        weights = [100 * (1 + (i + j) % 4) for j in range(5)]
        commands = [command for weight in weights for command in (
            ("drain", 1), ("resume", 1), ("weight", 2, weight), ("status", SERVICE, "--json"))]
        for result in start_together(scene, commands):
            equal(result.code, 0, f"exit status of {result}")
            if result.argv[0] == "status":
                state_of(result)
        now = scene.state()
        check(now[1][1].state in ("active", "draining"), f"slot 1 is {now[1][1]}")
        check(now[1][2].weight in weights, f"slot 2 is {now[1][2]}")
        scene.expect_steered(now)
        bed.reuseportd("resume", 1)
        bed.reuseportd("weight", 2, 100)
        equal(scene.state(), old, "the restored service")
    scene.finish()


def test_attach_and_detach_together(bed):
    """Each command finds either a complete service or none."""
    scene = Scene(bed)
    whole = scene.state()
    for _ in range(5):
        results = start_together(scene, [ATTACH, ("detach", SERVICE), ("status", SERVICE),
                                         ("drain", SERVICE, 1), ("resume", SERVICE, 1)] * 4)
        for result in results:
            check(result.code == 0 or "attached already" in result.err
                  or f"there is no service '{SERVICE}'" in result.err, f"{result}")
        check(any(result.code == 0 for result in results), "no command succeeded")
        bed.run(scene.tool, *ATTACH)
        bed.remember_pinned()
        bed.reuseportd("resume", 1)
        equal(scene.state(), whole, "the service")
        scene.expect_steered(whole)
    scene.finish(all_steered=False)


def test_killed_with_the_lock(bed):
    """A command that waits for the lock gets it when its holder is killed."""
    scene = Scene(bed)
    inode = (PINS / SERVICE).stat().st_ino

    def locks(waiting):
        return [line for line in open("/proc/locks", encoding="ascii")
                if f":{inode} " in line and (" -> " in line) == waiting]

    check(not locks(False), "no process has the lock")
    # strace delays the command right after it has got the lock.
    holder = bed.start(bed.program("strace"), "-o", "/dev/null", "--inject=flock:delay_exit=100s",
                       scene.tool, "drain", SERVICE, 1, name="holder")
    wait_until(lambda: locks(False), "the first command has the lock")
    waiter = bed.start(scene.tool, "drain", SERVICE, 2, name="waiter")
    wait_until(lambda: locks(True), "the second command waits for the lock")
    check(waiter.alive(), "the second command waits")
    for pid in children(holder.pid):
        os.kill(pid, signal.SIGKILL)
    holder.stop(signal.SIGKILL)
    equal(waiter.wait(), 0, f"exit status of the second command: {waiter.output()}")
    states = {slot: row.state for slot, row in scene.state()[1].items()}
    equal(states, {0: "active", 1: "active", 2: "draining"}, "states of the slots")
    scene.expect_steered(scene.state())
    scene.finish()
