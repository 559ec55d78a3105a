# SPDX-License-Identifier: BSD-2-Clause
"""Commands and background programs of a bed, the load generator among them."""
import collections
import contextlib
import json
import os
import shlex
import signal
import subprocess
import time

from harness.checks import DEADLINE, SLOW, Failure, check, wait_until


def freeze(pid):
    """Stops a process with SIGSTOP. Until it is stopped, it may still accept connections and answer."""
    def is_stopped():
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "TtZ"
    os.kill(pid, signal.SIGSTOP)
    wait_until(is_stopped, f"process {pid} is stopped")


class Result:
    """The result of a command."""

    def __init__(self, argv, code, out, err, returned):
        self.argv, self.code, self.out, self.err = argv, code, out, err
        self.returned = returned  # time.monotonic() right after its end

    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            raise Failure(f"{self}: its output is not JSON") from None

    def __str__(self):
        return f"{shlex.join(self.argv)}: exit status {self.code}\n{self.out}{self.err}"


class Process:
    """A program in the background. Its output goes to files in the bed's directory."""

    def __init__(self, bed, argv, name, netns=None, env=None, stdin=subprocess.DEVNULL, cwd=None):
        bed.n_processes += 1
        self.name = f"{name}-{bed.n_processes}"
        self.argv = [str(arg) for arg in argv]
        self.out, self.err = bed.dir / f"{self.name}.out", bed.dir / f"{self.name}.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.popen = subprocess.Popen(bed.in_netns(netns) + self.argv, stdin=stdin, stdout=out,
                                          stderr=err, env=env, cwd=cwd or bed.dir)
        self.pid = self.popen.pid
        bed.processes.append(self)

    def alive(self):
        return self.popen.poll() is None

    def output(self):
        """The output so far."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def wait_output(self, text, deadline=DEADLINE):
        wait_until(lambda: text in self.output() or not self.alive(),
                   f"{self.name} prints '{text}'", deadline)
        check(text in self.output(),
              f"{self.name} ended without printing '{text}':\n{self.output()}")

    def kill(self, number):
        if not self.alive():
            return
        if number == signal.SIGSTOP:
            freeze(self.pid)
        else:
            self.popen.send_signal(number)

    def wait(self, deadline=DEADLINE):
        """Waits for its end. Returns the exit status, or the negative number of the signal that
        killed it."""
        try:
            return self.popen.wait(deadline * SLOW)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended after {deadline * SLOW} s") from None

    def stop(self, number=signal.SIGTERM, deadline=30):
        """Sends the signal, and SIGKILL after the deadline. Returns the exit status."""
        self.kill(number)
        try:
            return self.popen.wait(deadline * SLOW)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


class Load(Process):
    """The load generator in the background."""

    def stop(self, number=signal.SIGTERM, deadline=30):
        """Ends it and returns its report."""
        super().stop(number, deadline)
        return self.report()

    def stop_unfailed(self):
        """Ends it, checks that no connection has failed, and returns its report."""
        report = self.stop()
        end = time.monotonic()
        failed = [row for row in read_log(self.log) if row.outcome != "ok"]
        check(report["failed"] == 0 and not failed, "failed connections: " + "".join(
            f"\n    {row.outcome}, started {end - row.begin:.6f} s and ended {end - row.end:.6f} s "
            f"before the end" for row in failed[:10]) + f"\n  of {report}")
        return report

    def stop_undrained(self):
        """Like stop_unfailed(), after listeners were closed without a drain. Queued connections and
        handshakes in progress migrate. Only an ACK that the kernel handles at the moment in which
        its listener closes is answered by a reset (measured: in 3 of 440 closes)."""
        report = self.stop()
        check(report["failed"] == report["reset"] <= 2, f"failed connections of {report}")
        return report

    def finish(self, deadline=120):
        """Waits for its end and returns its report."""
        self.wait(deadline)
        return self.report()

    def report(self):
        try:
            return json.loads(self.out.read_text().splitlines()[-1])
        except (ValueError, IndexError):
            raise Failure(f"loadgen gave no report:\n{self.output()}") from None


class FullPipe:
    """A pipe that is full from the start and that no process reads."""

    def __init__(self, bed):
        path = bed.dir / f"pipe-{bed.n_processes}"
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.text = ""
        # Prefix of a command whose standard error goes to the pipe.
        self.as_stderr = ["sh", "-c", f'exec "$@" 2>{path}', "-"]
        self.fill()

    def fill(self):
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self.fd, b"." * (size - 1) + b"\n")

    def read_until(self, text):
        """Reads until @text has arrived. Returns all lines except those that filled the pipe."""
        def has_arrived():
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.text += os.read(self.fd, 65536).decode()
            return text in self.text
        wait_until(has_arrived, f"'{text}' arrives from the pipe")
        return [line for line in self.text.splitlines() if line.strip(".")]


Logged = collections.namedtuple("Logged", "begin end target worker outcome")


def read_log(path):
    """The rows of a log of loadgen, one for each connection; times are those of
    time.monotonic()."""
    rows = []
    with open(path, encoding="ascii") as log:
        for line in log:
            begin, end, target, worker, outcome = line.split()
            rows.append(Logged(int(begin) / 1e6, int(end) / 1e6, int(target), worker, outcome))
    return rows
