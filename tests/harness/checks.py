# SPDX-License-Identifier: BSD-2-Clause
"""How a test checks and waits: it fails by an exception, and waits for a condition with a
deadline."""
import os
import random
import time

DEADLINE = 60  # seconds until a condition must be true, on a slow and busy machine
# The factor for all deadlines: RPD_SLOW, such as 10 on an emulated machine (vmtest).
SLOW = int(os.environ.get("RPD_SLOW", "1"))
# RPD_FULL=1, as `tools/test --full` sets it: tests that sample run all of their cases.
FULL = os.environ.get("RPD_FULL", "") not in ("", "0")


class Failure(AssertionError):
    """A check of the test failed."""


class Skip(Exception):
    """The test can't run here."""


# Marks for the runner


def timeout(seconds, full=None):
    """Sets the time limit of a test, and its limit with RPD_FULL; the default is in
    tests/e2e/run."""
    def mark(test):
        test.timeout = full if FULL and full else seconds
        return test
    return mark


def cases(*names, full=()):
    """Makes one test of each name, which the test gets as second argument. The names of @full are
    cases that show the same again: they are for RPD_FULL."""
    def mark(test):
        test.cases = names + (tuple(full) if FULL else ())
        return test
    return mark


# Checks


def check(condition, message):
    if not condition:
        raise Failure(message)


def timeless(status):
    """A status without the values that change with time."""
    workers = [{key: value for key, value in row.items() if key not in ("age_seconds", "rate")}
               for row in status["workers"]]
    return {**status, "workers": workers}


def equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: got\n    {got!r}\n  expected\n    {want!r}")


def wait_until(condition, what, deadline=DEADLINE, interval=0.01):
    """Calls @condition until it returns a true value, and returns that value."""
    end = time.monotonic() + deadline * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not true after {deadline * SLOW} s: {what}")
        time.sleep(interval)


def text_of(path):
    """The text of a file; none if there is no file, not yet or no longer."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def chance():
    """A generator of random choices: the same in each run, and with RPD_FULL others each time.
    SEED=N in the environment chooses."""
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000 if FULL else 1))
    note(f"SEED={seed}")
    return random.Random(seed)


def note(text):
    """Prints a figure that the runner shows even if the test passes."""
    print(f"note: {text}", flush=True)
