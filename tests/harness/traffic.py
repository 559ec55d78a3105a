# SPDX-License-Identifier: BSD-2-Clause
"""Full load, on loopback or across a link, and checks of its log."""
from harness.checks import SLOW, check, wait_until
from harness.network import FAR, NEAR, Client

CONCURRENCY = {"loopback": 64, "link": 256}


class Place:
    """The place of the clients: "loopback", or "link" for the far side of a link."""

    def __init__(self, bed, name):
        self.bed, self.name = bed, name
        self.netns = "far" if name == "link" else None
        self.host = NEAR[0] if name == "link" else "127.0.0.1"
        if name == "link":
            bed.link()

    def options(self):
        sources = [arg for a in FAR if ":" not in a for arg in ("--source", a)]
        return ("-c", CONCURRENCY[self.name], *(sources if self.netns else ()))

    def start_load(self, *args, **options):
        return self.bed.start_load(*self.options(), *args, hosts=(self.host,), netns=self.netns,
                                   **options)

    def load(self, *args):
        return self.bed.load(*self.options(), *args, hosts=(self.host,), netns=self.netns)

    def client(self):
        return Client(self.host, netns=self.netns)


def fewer(n):
    """@n repetitions, or fewer on a slow machine."""
    return max(1, n // SLOW)


def wait_for_load(bed, slots, n):
    """Waits until the slots together have got @n more connections."""
    def count():
        steered = bed.steered()
        return sum(steered[slot] for slot in slots)
    begin = count()
    wait_until(lambda: count() >= begin + n, f"{n} more connections to {slots}", 60, 0.05)


def expect_silence(rows, worker, begin, end, what):
    """Checks that the worker answered none of the connections that began after @begin and were
    answered before @end, and that there were such connections. Returns their number."""
    during = [row for row in rows if begin < row.begin and row.end < end]
    check(during, f"no connection {what}")
    strays = [row for row in during if row.worker == worker]
    check(not strays, f"{len(strays)} of {len(during)} connections went to {worker} {what}, begun "
                      f"{[round(row.begin - begin, 6) for row in strays[:10]]} s after the return")
    return len(during)
