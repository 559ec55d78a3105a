# SPDX-License-Identifier: BSD-2-Clause
"""Workers in trouble: what clients notice, by the way in which connections are dealt (dealing.py).
Benchmarks on the host and in virtual machines share this.

Each measurement of a scenario has workers and clients of its own. The clients connect again as soon
as they are answered (a closed loop), with a new connection for each request."""
import collections
import os
import signal
import statistics
import time

from harness.checks import SLOW, check, wait_until
from harness.dealing import WAYS, WORKERS, Both, NginxLeastConn, RoundRobin, SlowStart
from harness.network import FAR, NEAR, PORT
from harness.process import read_log

CLIENTS = 64
LONG = 400  # long-lived connections
WORK = ("--work", 2)  # milliseconds from each request to its answer
BAD = 3  # the slot of the worker that is in trouble
ENOUGH = 8 * CLIENTS  # connections that end in a measurement at least: a worker that hangs is met
LATE_MS = 250  # half of the time for which a worker blocks
PATIENCE = 20  # seconds that clients wait for an answer; if a worker hangs, until the end
CLIENTS_NICE = -10  # so that clients measure the delay of the server, not their own

# What is wrong in each scenario, for titles. Seven: to compare "hung" with.
SCENARIOS = {
    "healthy": "All workers are healthy",
    "blocked": "One worker blocks 0.5 s each second",
    "hung": "One worker hangs for good",
    "burn": "5 % of the requests use 20 ms of processor time",
    "long": f"{LONG} long-lived connections, and one worker is restarted",
}
OPTIONS = {
    "blocked": ("--hang", 500),
    "burn": ("--burn", "20/20"),
}
PLACES = {"loopback": "on loopback", "link": "over a link with a round trip of 10 ms"}
ROUND_TRIP = {"loopback": 0, "link": 0.01}  # seconds


class Sizes:
    """How long to measure."""

    def __init__(self, seconds, rounds, lifetime):
        self.seconds, self.rounds = seconds, rounds
        self.lifetime = lifetime  # of long-lived connections, at most


class Place:
    """Where the clients are."""

    def __init__(self, bed, name):
        self.bed, self.name = bed, name
        self.netns = "far" if name == "link" else None
        self.host = NEAR[0] if self.netns else "127.0.0.1"
        if self.netns:
            link = bed.link()
            os.setpriority(os.PRIO_PROCESS, link.pid, CLIENTS_NICE)

    def start(self, port, *options):
        """Starts clients. Returns their process, which has its log in `log`."""
        log = self.bed.dir / f"clients-{self.bed.n_processes}.log"
        sources = [word for far in FAR if ":" not in far for word in ("--source", far)]
        load = self.bed.start(
            self.bed.binary("loadgen"), *self.bed.targets(self.host, port=port), "--linger0",
            "--json", "--quiet", "--log", log, *(sources if self.netns else ()), *options,
            netns=self.netns)
        os.setpriority(os.PRIO_PROCESS, load.pid, CLIENTS_NICE)
        load.log = log
        return load


def finish(load):
    """Ends the clients. Returns the rows of their log."""
    load.stop(deadline=60)
    rows = read_log(load.log)
    load.log.unlink()
    return rows


def spread(counts):
    """The standard deviation, and the maximum divided by the mean."""
    mean = statistics.mean(counts)
    return statistics.pstdev(counts), max(counts) / mean if mean else 1


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def is_over(load, ended, begin, seconds):
    """Whether a measurement has lasted long enough. @ended: connections that had ended before."""
    return time.monotonic() >= begin + seconds and (
        load.log.read_bytes().count(b"\n") >= ended + ENOUGH or not load.alive())


def sample(way, scenario, begin, is_done):
    """Watches the workers for some time, and makes them misbehave. Returns the means of the spreads
    of their open connections."""
    spreads, blocks = [], 0
    while not spreads or not is_done():
        now = time.monotonic()
        if scenario == "blocked" and now >= begin + blocks:
            way.hang(BAD)
            blocks += 1
        spreads.append(spread(way.open_connections()))
        time.sleep(0.05)
    return [statistics.mean(values) for values in zip(*spreads)]


def figures_of(rows, begin, end, workers):
    """The figures of the connections that were open from @begin to @end."""
    took = sorted(1000 * (row.end - row.begin) for row in rows
                  if row.end >= begin and row.begin < end and row.outcome == "ok")
    check(took, f"no connection was answered, of {len(rows)}")
    counts = collections.Counter(row.worker for row in rows if row.outcome == "ok")
    by_worker = [counts[f"w{i}"] for i in range(workers)]
    return {"p50_ms": quantile(took, 0.5), "p99_ms": quantile(took, 0.99),
            "p999_ms": quantile(took, 0.999), "max_ms": took[-1],
            "per_second": sum(row.outcome == "ok" and begin <= row.end < end
                              for row in rows) / (end - begin),
            "late": sum(ms > LATE_MS for ms in took) / max(1, round(end - begin)),
            "connections": len(took), "lost": sum(row.outcome != "ok" for row in rows),
            "by_worker": by_worker, "uneven": max(by_worker) - min(by_worker)}


def measure(place, kind, scenario, seconds, workers=WORKERS):
    """One measurement of a scenario with short connections."""
    way = kind(place.bed, PORT, (*WORK, *OPTIONS.get(scenario, ())), workers)
    patience = seconds + 1 if scenario == "hung" else PATIENCE
    load = place.start(PORT, "-c", CLIENTS, "--timeout", int(1000 * patience * SLOW))
    wait_until(lambda: load.log.exists() and load.log.stat().st_size or not load.alive(),
               "connections are answered")
    time.sleep(0.1 * SLOW)
    waited = way.hang(BAD) if scenario == "hung" else 0
    begin, ended = time.monotonic(), load.log.read_bytes().count(b"\n")
    sd, most = sample(way, scenario, begin, lambda: is_over(load, ended, begin, seconds))
    end = time.monotonic()
    load.kill(signal.SIGTERM)
    given = way.waiting(BAD) - waited if scenario == "hung" else None
    rows = finish(load)
    way.stop()
    return {**figures_of(rows, begin, end, workers), "open_sd": sd, "open_max": most,
            "given": given}


# ---- Long-lived connections ----

class Long:
    """Long-lived connections of one way. Each is closed after a random time, and another one
    begins."""

    def __init__(self, place, kind, number, lifetime):
        self.way = kind(place.bed, PORT + 100 * number, WORK)
        self.load = place.start(self.way.port, "-n", LONG, "-c", CLIENTS, "--hold", "--lifetime",
                                lifetime)
        self.restarted = self.spread = None

    def wait(self):
        self.load.wait_output("holding")

    def restart(self):
        old = self.way.replace(BAD)
        self.restarted = time.monotonic()
        old.process.kill(signal.SIGTERM)

    def look(self):
        self.spread = spread(self.way.open_connections())

    def figures(self):
        """Ends it."""
        rows = finish(self.load)
        self.way.stop()
        begun = [row for row in rows if self.restarted <= row.begin < self.restarted + 1]
        return {"open_sd": self.spread[0], "open_max": self.spread[1], "first_second": len(begun),
                "fresh_share": sum(row.worker == "fresh" for row in begun) / max(1, len(begun)),
                "connections": len(rows), "closed": sum(row.outcome != "ok" for row in rows),
                "lost": sum(row.outcome != "ok" and row.worker == "-" for row in rows)}


def measure_long(place, kinds, lifetime):
    """Measures all ways at the same time, as such connections need little processor time. Returns
    {name: figures}."""
    runs = {kind.name: Long(place, kind, number, lifetime) for number, kind in enumerate(kinds)}
    for run in runs.values():
        run.wait()
    time.sleep(lifetime / 3)  # the first connections end at different times
    for run in runs.values():
        run.restart()
    for run in runs.values():
        time.sleep(max(0, run.restarted + lifetime - time.monotonic()))
        run.look()
    return {name: run.figures() for name, run in runs.items()}


# ---- All of it ----

def ways():
    """The ways that can be measured here."""
    return [way for way in WAYS if way.is_installed()]


def ways_of(scenario):
    """Without those that can't differ from another way in that scenario, or can't do it."""
    without = (Both, NginxLeastConn) if scenario == "long" else (SlowStart,)
    return [way for way in ways() if way not in without]


def measure_round(place, kinds, scenario, sizes, number):
    """One turn of the ways @kinds, in another order each time. Returns {name: figures}. In "hung",
    the row "seven workers" is what to compare with."""
    if scenario == "long":
        return measure_long(place, kinds, sizes.lifetime)
    turn = number % len(kinds)
    figures = {kind.name: measure(place, kind, scenario, sizes.seconds)
               for kind in kinds[turn:] + kinds[:turn]}
    if scenario == "hung":
        figures["seven workers"] = measure(place, RoundRobin, "healthy", sizes.seconds, WORKERS - 1)
    return figures
