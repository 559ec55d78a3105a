# SPDX-License-Identifier: BSD-2-Clause
"""Evaluates the report of a guest: which cases passed, failed and were skipped.

Test programs print a line for each case, and last "N passed, N failed[, N skipped]". A program also
fails by its exit status, a signal, a time-out, or what it leaves behind."""
import re
import threading

from guest import TAINTED

CASE = re.compile(r"(ok|FAILED|skipped) (\S[^:(]*\S|\S)(.*)")
TALLY = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
OUTCOME = {"ok": "passed", "FAILED": "failed", "skipped": "skipped"}
VERIFIER_LOG = "-- BEGIN PROG LOAD LOG --"  # printed by libbpf when the verifier rejects a program
MEASURED = "measured "  # start of a line with a measurement
print_lock = threading.Lock()


def show(text):
    with print_lock:
        print(text, flush=True)


class Results:
    """The results of one machine. Prints each case when it is reported."""

    def __init__(self, kernel, verbose=False, prefix=""):
        self.kernel, self.verbose = kernel, verbose
        self.prefix = prefix  # of the names of its tests
        self.counts = dict.fromkeys(OUTCOME.values(), 0)
        self.program = None  # the running test program
        self.seen = None  # its cases so far
        self.tally = None  # the numbers in its last line
        self.refused = self.failing = False
        self.measured = []  # measurements that tests have printed

    def case(self, word, name, text=""):
        outcome = OUTCOME[word]
        self.counts[outcome] += 1
        show(f"{word} {self.kernel}{'/' if name else ''}{self.prefix}{name}{text}")

    def fail(self, name, why):
        self.case("FAILED", name, f": {why}")

    def follow(self, kind, value):
        """Handles a line of the report."""
        handler = {"begin": self.begin, "|": self.output, "left": self.left, "end": self.end,
                   "tainted": self.tainted}.get(kind)
        if handler:
            handler(value)
        else:
            self.fail("report", f"unknown line: {kind} {value}")

    def begin(self, value):
        self.program = value.split(" ")[0]
        self.seen, self.tally = dict.fromkeys(OUTCOME.values(), 0), None
        self.refused = self.failing = False

    def output(self, text):
        case, tally = CASE.match(text), TALLY.match(text)
        self.refused |= VERIFIER_LOG in text
        if text.startswith(MEASURED):
            self.measured.append(text.removeprefix(MEASURED))
        elif case:
            self.failing = case[1] == "FAILED"
            if self.seen is not None:
                self.seen[OUTCOME[case[1]]] += 1
            self.case(case[1], f"{self.program}/{case[2]}", case[3])
        elif tally:
            self.tally = dict(zip(OUTCOME.values(), (int(n or 0) for n in tally.groups())))
        elif self.verbose or self.failing:
            show(f"    {text}")

    def left(self, text):
        self.fail(self.program or "init", f"left behind: {text}")

    def end(self, value):
        name, how, number, ms = value.split(" ")
        seen, self.seen = self.seen, None
        if self.verbose:
            show(f"    {self.kernel}/{name} took {int(ms) / 1000:.1f} s")
        if self.refused:
            self.fail(name, "the verifier rejected a program")
        if how == "timeout":
            self.fail(name, f"not done after {number} s")
        elif how == "signal":
            self.fail(name, f"killed by signal {number}")
        elif self.tally is None:
            self.fail(name, f"ended with status {number} before its last line")
        elif (int(number) != 0) != (self.tally["failed"] != 0):
            self.fail(name, f"{self.tally['failed']} failed, but the exit status is {number}")
        elif any(self.tally[outcome] != seen[outcome] for outcome in seen):
            self.fail(name, f"its last line has {self.tally}, but it printed {seen}")
        self.program = None

    def tainted(self, value):
        for bit, what in TAINTED.items():
            if int(value or 0) & bit:
                self.fail("kernel", what)

    def broken(self, why):
        self.seen = None
        self.fail(self.program or "boot", why)

    def text(self):
        return ", ".join(f"{n} {outcome}" for outcome, n in self.counts.items())
