# SPDX-License-Identifier: BSD-2-Clause
"""Runs commands that must be refused, and checks that they change nothing."""
import collections
import json

from harness.bed import PINS
from harness.checks import check, equal
from harness.network import PORT, Client
from harness.servers import Workers

WORKERS = 4
SERVICE = "s"
ATTACH = ("attach", "--workers", "4")


class Refusals:
    """Runs commands that must be refused, on an attached service."""

    def __init__(self, bed, attach=True):
        self.bed = bed
        self.tool = bed.binary("reuseportd")
        if attach:
            self.fleet = Workers(bed, WORKERS)
            bed.reuseportd("attach", "--workers", WORKERS, "--service", SERVICE)

    def refused(self, *command, status=1, message=(), under=(), stdout="", **options):
        """Checks that a command is refused with this exit status, that its message has all of
        @message, and that nothing has changed. @under: a command that runs it."""
        before = self.snapshot()
        result = self.bed.run(*under, self.tool, *command, **options)
        equal(result.code, status, f"exit status of {result}")
        equal(result.out, stdout, f"stdout of {result}")
        for words in (message,) if isinstance(message, str) else message:
            check(words in result.err, f"the message has no '{words}': {result}")
        check(result.err.startswith(("reuseportd", "Usage: reuseportd", "waiting: ")), f"{result}")
        for line in result.err.splitlines():
            check(line == line.rstrip(), f"white space at the end of a line: {result}")
        equal(self.snapshot(), before, f"pins and services, before and after {result}")
        return result

    def snapshot(self):
        """All pins by inode, and the status of each service without its counters."""
        pins = sorted((str(path), path.stat().st_ino, path.stat().st_mode)
                      for path in PINS.glob("**/*"))
        listed = self.bed.run(self.tool, "list", "--json").json()
        services = [self.bed.run(self.tool, "status", row["service"], "--json").out
                    for row in listed]
        return pins, listed, [uncounted(json.loads(text)) if text else None for text in services]

    def expect_exact(self, port=PORT, turns=2, service=SERVICE):
        """Checks that each worker still gets its turn."""
        before = self.bed.steered(service)
        answers = collections.Counter()
        for _ in range(turns * WORKERS):
            with Client(port=port) as client:
                answers[client.ask()] += 1
        equal(sorted(answers.values()), [turns] * WORKERS, "connections of each worker")
        after = self.bed.steered(service)
        equal({slot: after[slot] - n for slot, n in before.items()},
              dict.fromkeys(range(WORKERS), turns), "connections of each slot")


def uncounted(value):
    """A status without its counters and other values that change with time."""
    if isinstance(value, dict):
        return {key: uncounted(item) for key, item in value.items()
                if key not in ("counters", "steered", "queued", "connections", "active", "rate",
                               "handshakes", "age_seconds", "started_at")}
    return [uncounted(item) for item in value] if isinstance(value, list) else value
