# SPDX-License-Identifier: BSD-2-Clause
"""Workers that end by themselves and are not started again: --no-restart and --stop-exit-codes,
also after a take-over."""
import os
import signal

from harness.checks import cases, check, equal, text_of, wait_until
from runs import Run, script, worker_command

# Counts its runs, and exits with the status that the file `code` has. If there is none, it goes on.
JOB = """
echo run >>runs.$REUSEPORTD_SLOT
while [ ! -e code.$REUSEPORTD_SLOT ]; do sleep 0.02; done
exit $(cat code.$REUSEPORTD_SLOT)
"""


class Job(Run):
    """A service with workers that exit with @codes; None: not yet."""

    def __init__(self, bed, *options, codes=(), **more):
        self.dir = bed.dir
        for slot, code in enumerate(codes):
            if code is not None:
                self.end(slot, code)
        super().__init__(bed, ["sh", script(bed, "job.sh", JOB)], *options, workers=len(codes),
                         **more)

    def end(self, slot, code):
        (self.dir / f"new.{slot}").write_text(str(code))
        (self.dir / f"new.{slot}").rename(self.dir / f"code.{slot}")

    def runs(self):
        return [text_of(self.dir / f"runs.{slot}").count("run") for slot in range(len(self.states()))]


def test_stop_exit_codes(bed):
    """A worker that exits with a status of --stop-exit-codes is not started again, until a command
    does; other ends are as always."""
    job = Job(bed, "--stop-exit-codes", "0, 3,137", "--backoff", "10ms..10ms", "--max-restarts",
              "1000", codes=(0, 3, 5), wait=False)
    job.process.wait_output("slot 1: stopped; not started again (stop-exit-codes)")
    job.process.wait_output("slot 0: stopped; not started again (stop-exit-codes)")
    wait_until(lambda: job.runs()[2] > 2, "the job with another status is started again")
    equal(job.runs()[:2], [1, 1], "runs")
    job.command_line("start", 0)
    equal(job.runs()[:2], [2, 1], "runs after start")
    job.end(2, 0)
    job.wait_states("stopped", "stopped", "stopped")
    before = job.runs()
    job.reload()
    job.wait_states("stopped", "stopped", "stopped")
    equal(job.runs(), [n + 1 for n in before], "runs after a reload")
    job.command_line("restart", 1)
    equal(job.runs()[1], before[1] + 2, "runs after restart")
    job.kill_supervisor()
    job.start(wait=False)
    job.process.wait_output("started:")
    equal(job.states(), ["stopped"] * 3, "states after a take-over")
    equal(job.stop(), 0, "exit status of the supervisor")


def test_stop_exit_code_of_signal(bed):
    """The status of a worker that a signal has ended is 128 + the signal, and not 0."""
    run = Run(bed, worker_command(bed), "--stop-exit-codes", "0,137", workers=2)
    first, second = run.pids()
    os.kill(first, signal.SIGKILL)
    run.wait_states("stopped", "active")
    os.kill(second, signal.SIGSEGV)
    wait_until(lambda: run.pids()[1] not in (None, second), "the other worker is replaced")
    check("not started again" in run.log(), run.log())
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("SIGKILL", "SIGUSR2")
def test_ended_after_take_over(bed, how):
    """With --no-restart, a worker that has ended is not started again after a take-over, also if it
    has failed, and if it ended while there was no supervisor."""
    job = Job(bed, "--no-restart", "--ready", "alive:0.2", codes=(0, 3, None, None))
    job.wait_states("stopped", "failed", "active", "active")
    if how == "SIGKILL":
        pid = job.pids()[2]
        job.kill_supervisor()
        job.end(2, 0)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the job has ended")
        job.start(wait=False)
    else:
        job.process.kill(signal.SIGUSR2)
    job.process.wait_output("slot 3: pid ")
    job.process.wait_output("is taken over")
    if how == "SIGUSR2":
        job.end(2, 0)
    job.wait_states("stopped", "failed", "stopped", "active")
    equal(job.runs(), [1, 1, 1, 1], "runs")
    job.end(1, 0)
    job.reload()
    equal(job.runs()[:3], [2, 2, 2], "runs after a reload")
    equal(job.stop(), 0, "exit status of the supervisor")
