# SPDX-License-Identifier: BSD-2-Clause
"""How often the supervisor calls the kernel for its maps, and takes the lock of its service."""
import os
import signal

from harness.checks import cases, check, equal, note, wait_until
from harness.network import PORT
from runs import Run, worker_command


class Traced(Run):
    """`run` with 8 workers, under strace."""

    def __init__(self, bed):
        self.trace = bed.dir / "trace"
        super().__init__(bed, worker_command(bed), "--listen", PORT, workers=8,
                         under=[bed.program("strace"), "-f", "-e", "trace=bpf,flock",
                                "-e", "signal=none", "-o", self.trace])

    def calls(self):
        return self.trace.read_text().splitlines()


def count(calls, name):
    return sum(f" {name}(" in call for call in calls)


@cases("stop", "signal")
def test_start_and_stop(bed, case):
    """A start and stop of 8 workers. The check of each second is counted by test_quiet."""
    run = Traced(bed)
    if case == "stop":
        run.command_line("stop")
    else:
        os.kill(run.status()["supervisor_pid"], signal.SIGTERM)
    equal(run.process.wait(), 0, "exit status of the supervisor")
    calls = run.calls()
    bpf, flock = count(calls, "bpf"), count(calls, "flock")
    checks = sum("BPF_ITER_CREATE" in call for call in calls)
    note(f"{case}: {bpf - 2 * checks} calls of bpf(), without {checks} checks")
    check(bpf - 2 * checks <= 480, f"{bpf} calls of bpf(), with {checks} checks")
    check(flock - checks <= 18, f"{flock} calls of flock(), with {checks} checks")


def test_quiet(bed):
    """While nothing happens, the number of calls does not grow with the number of workers."""
    run = Traced(bed)
    before = len(run.calls())
    wait_until(lambda: count(run.calls()[before:], "flock") >= 5, "the check has run 5 times")
    calls = run.calls()[before:]
    turns = [at for at, call in enumerate(calls) if " flock(" in call]
    bpf = count(calls[turns[1]:turns[4]], "bpf")
    check(bpf <= 3 * 2, f"{bpf} calls of bpf() in 3 checks")
    equal(run.stop(), 0, "exit status of the supervisor")
