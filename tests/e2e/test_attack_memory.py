# SPDX-License-Identifier: BSD-2-Clause
"""Each allocation of a command, or of the supervisor, may fail. It then ends with an error, never by
a signal, and never with status 0 if its work is not done. The next command, or the next supervisor,
repairs what it has left.

A command makes thousands of allocations, most of them in libbpf, so a random sample fails:
SEED=N chooses it, SAMPLE=N is the number of allocations for each command (0: all, as with
`tools/test --full`), and AT=N is the only one.
"""
import os

from harness.bed import PINS
from harness.checks import FULL, cases, chance, check, equal, note, timeout, wait_until
from harness.servers import Workers
from runs import Run, worker_command

FEW = 100


class Problems(list):
    """Faults, each with the number of the allocation."""

    def expect(self, condition, at, what):
        if not condition:
            self.append(f"allocation {at}: {what}")

    def end(self):
        check(not self, f"{len(self)} faults:\n" + "\n".join(self[:20]))


def sample(total, n):
    """The numbers of the allocations that fail: evenly spread, each at a random place. All of a
    command that makes few."""
    n = int(os.environ.get("SAMPLE", 0 if FULL or total <= FEW else n)) or total
    note(f"{min(n, total)} of {total} allocations")
    dice = chance()
    if "AT" in os.environ:
        return [int(os.environ["AT"])]
    if n >= total:
        return range(1, total + 1)
    return [1 + dice.randrange(i * total // n, (i + 1) * total // n) for i in range(n)]


def env_of(bed, **variables):
    return {**os.environ, "LD_PRELOAD": bed.binary("liboom.so"),
            **{name: str(value) for name, value in variables.items()}}


def count(bed, *argv):
    """How many allocations the command makes when none fails."""
    path = bed.dir / "count"
    bed.reuseportd(*argv, env=env_of(bed, OOM_COUNT=path))
    return int(path.read_text())


def run_short(bed, problems, at, *argv):
    """Runs the command with allocation @at failing. Returns the result."""
    result = bed.reuseportd(*argv, status=None, env=env_of(bed, OOM_AT=at))
    problems.expect(result.code in (0, 1, 2, 3), at, result)
    problems.expect(result.code <= 0 or result.err or "memory" in result.out, at,
                    f"no reason: {result}")
    return result


@timeout(600)
def test_attach(bed):
    """`attach`, and the `attach` after it."""
    Workers(bed, 2)
    problems = Problems()
    attach = ("attach", "--workers", 2, "--service", "web")
    total = count(bed, *attach)
    bed.reuseportd("detach", "web")
    for at in sample(total, 20):
        if run_short(bed, problems, at, *attach).code != 0:
            again = bed.reuseportd(*attach, status=None)
            problems.expect(again.code == 0 or "attached already" in again.err, at, again)
        live = [row["live"] for row in bed.status("web")["workers"]]
        problems.expect(live == [True] * 2, at, live)
        bed.reuseportd("detach", "web")
        problems.expect(not PINS.exists(), at, "pins are left")
    problems.end()


SHOWN = {"status": "service web", "list": "web", "doctor": "web", "metrics": "reuseportd_up{",
         "events": "attached"}


@cases("drain 0", "status", "status --json", "label 0 v2", "events", "list", "doctor", "metrics",
       "connections --json", "drain 0 --wait")
@timeout(600)
def test_command(bed, command):
    """A command on a service: it is done, or it says why not; the service stays."""
    Workers(bed, 2)
    problems = Problems()
    bed.reuseportd("attach", "--workers", 2, "--service", "web")
    argv = command.split()
    argv[1:1] = [] if argv[0] == "list" else ["web"]
    good = bed.reuseportd(*argv)
    for at in sample(count(bed, *argv), 4):
        bed.reuseportd("resume", "web", "0")
        result = run_short(bed, problems, at, *argv)
        state = bed.status("web")["workers"][0]["state"]
        if result.code != 0:
            continue
        if "--json" in argv and argv[0] == "status":  # counting may fail, with a reason
            problems.expect(set(good.json()) <= set(result.json()), at, result)
        elif "--json" not in argv:
            problems.expect(SHOWN.get(argv[0], "") in result.out, at, result)
        problems.expect(argv[0] != "drain" or state == "draining", at, f"slot 0 is {state}")
    problems.end()


@timeout(600)
def test_detach(bed):
    """`detach`, and the `detach` after it."""
    Workers(bed, 2)
    problems = Problems()
    attach = ("attach", "--workers", 2, "--service", "web")
    bed.reuseportd(*attach)
    for at in sample(count(bed, "detach", "web"), 12):
        bed.reuseportd(*attach)
        result = run_short(bed, problems, at, "detach", "web")
        problems.expect(result.code != 0 or not PINS.exists(), at, f"pins are left: {result}")
        if PINS.exists():
            bed.reuseportd("detach", "web", status=None)
        problems.expect(not PINS.exists(), at, f"pins are left after the next detach: {result}")
    problems.end()


class ShortRun(Run):
    """A service whose supervisor's allocation @at fails; or which counts them."""

    def __init__(self, bed, **variables):
        super().__init__(bed, worker_command(bed), "--settle", 0, "--drain-timeout", 1,
                         "--kill-timeout", 1, workers=2, wait=False,
                         env=env_of(bed, **variables))

    def use(self):
        """Waits until it has started, reloads it and stops it, unless it ends before. Returns the
        exit statuses of the commands."""
        wait_until(lambda: "started:" in self.log() or not self.process.alive(), "it has started")
        codes = [self.command_line("reload", status=None).code]
        codes.append(self.command_line("stop", status=None).code)
        return codes


@timeout(1200)
def test_run(bed):
    """The supervisor, while it starts, reloads and stops the service. If it ends, the next `stop`
    leaves nothing."""
    problems = Problems()
    path = bed.dir / "count"
    run = ShortRun(bed, OOM_COUNT=path)
    equal(run.use(), [0, 0], "exit statuses")
    run.process.wait()
    ended = 0
    for at in sample(int(path.read_text()), 15):
        run = ShortRun(bed, OOM_AT=at)
        codes = run.use()
        # The supervisor has ended before it removed the pins, or they are removed.
        problems.expect(codes[1] != 0 or not PINS.exists(), at,
                        f"stop is done, and pins are left: {codes}\n{run.log()}")
        if PINS.exists():
            again = bed.reuseportd("stop", "web", status=None, deadline=60)
            problems.expect(not PINS.exists(), at, f"{codes}, {again}\n{run.log()}")
        code = run.process.wait(30)
        problems.expect(code in (0, 1, 2), at, f"ended with {code}:\n{run.log()}")
        ended += code != 0
        wait_until(lambda: not bed.left_files(), f"allocation {at}: nothing is left")
    note(f"{ended} supervisors have ended with an error")
    problems.end()
