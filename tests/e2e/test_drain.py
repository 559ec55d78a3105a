# SPDX-License-Identifier: BSD-2-Clause
"""drain, resume and swap under full load, on loopback and over a link with a round trip of 10 ms,
where handshakes are in progress at every moment. Every connection is counted, and none may fail."""
import operator
import signal
import time

from harness.checks import FULL, cases, check, equal, note, timeout, wait_until
from harness.process import read_log
from harness.servers import Gunicorn, Gunicorns, Haproxy, Nginx, Worker, Workers, start_fleet
from harness.traffic import Place, expect_silence, fewer, wait_for_load

WORKERS = 8
STEP = 1500  # connections that must come between one command and the next
# After so many more connections, with at most 256 at a time, all earlier ones are established.
SETTLED = 1000
def meet_workers(bed, place):
    """Opens a connection to each slot: {slot: (client, id of the worker)}."""
    met = {}
    for _ in range(WORKERS):
        before = bed.steered()
        client = place.client()
        worker = client.ask()
        after = bed.steered()
        [slot] = [slot for slot in after if after[slot] != before[slot]]
        met[slot] = client, worker
    equal(len(met), WORKERS, "slots met")
    return met


def expect_open_continue(met):
    """Checks that each open connection is still answered by the same worker."""
    for slot, (client, worker) in met.items():
        for _ in range(3):
            equal(client.ask(), worker, f"worker of the open connection of slot {slot}")


def start_another(bed, kind):
    """Starts another worker on the same port. Returns its pid and its id."""
    if kind == "nginx":
        pid = Nginx(bed, workers=1).pids()[0]
        return pid, str(pid)
    if kind == "haproxy":
        return Haproxy(bed, workers=1, prefix="another").pid, "another0"
    if kind == "gunicorn":
        another = Gunicorn(bed, options=KEEPALIVE)
        another.ready()
        return another.worker_pid(), str(another.worker_pid())
    return Worker(bed, "another").pid, "another"


KEEPALIVE = ("--worker-class", "gthread", "--threads", "4", "--keep-alive", "600")


def start_keepalive_fleet(bed, kind):
    return Gunicorns(bed, options=KEEPALIVE) if kind == "gunicorn" else start_fleet(bed, kind)


@cases("nginx-link", "haproxy-link", "gunicorn-link", "c-loopback", "c-link",
       full=["nginx-loopback", "haproxy-loopback", "gunicorn-loopback"])
def test_under_load(bed, case):
    """drain 3, resume 3, swap 5 under full load: no connection fails. Once the command returns, the
    worker gets no new connection, and its open connections continue."""
    kind, place = case.split("-")
    place = Place(bed, place)
    start_keepalive_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    met = meet_workers(bed, place)
    others = [slot for slot in met if slot not in (3, 5)]
    load = place.start_load()
    wait_for_load(bed, others, STEP)

    drained = bed.reuseportd("drain", 3).returned
    frozen = bed.steered()[3]
    wait_for_load(bed, others, STEP)
    equal(bed.steered()[3], frozen, "connections steered to slot 3 since the drain")
    expect_open_continue(met)
    resume = time.monotonic()
    bed.reuseportd("resume", 3)
    wait_for_load(bed, [3], STEP // WORKERS)

    pid, name = start_another(bed, kind)
    wait_for_load(bed, others, STEP // 3)
    swap = time.monotonic()
    swapped = bed.reuseportd("swap", 5, "--pid", pid).returned
    wait_for_load(bed, others, STEP)
    equal(bed.status()["workers"][5]["pid"], pid, "process of slot 5")
    expect_open_continue(met)
    report = load.stop_unfailed()
    end = time.monotonic()

    rows = read_log(load.log)
    n = expect_silence(rows, met[3][1], drained, resume, "while slot 3 was drained")
    expect_silence(rows, met[5][1], swapped, end, "after it was swapped out")
    expect_silence(rows, name, 0, swap, "before it was swapped in")
    check(any(row.worker == name for row in rows),
          "the worker that was swapped in got no connection")
    note(f"{case}: {report['ok']} connections at {report['connections_per_second']:.0f}/s, "
         f"0 failed; {n} of them while slot 3 was drained")


@cases("c-link", "haproxy-link", full=["c-loopback", "gunicorn-loopback"])
def test_replace_all(bed, case):
    """Under load each worker is swapped for a new process, and the old one is stopped when its
    handshakes are complete."""
    kind, place = case.split("-")
    place = Place(bed, place)
    n = 4
    start = {"c": lambda i: Worker(bed, f"w{i}"), "gunicorn": lambda i: Gunicorn(bed).ready(),
             "haproxy": lambda i: Haproxy(bed, workers=1, prefix=f"w{i}.")}[kind]
    old = [start(i) for i in range(n)]
    pid_of = Gunicorn.worker_pid if kind == "gunicorn" else operator.attrgetter("pid")
    bed.reuseportd("attach", "--workers", n)
    # A starting gunicorn needs the CPUs for a second.
    load = place.start_load(*(["--rate", 1000] if kind == "gunicorn" else []))
    wait_for_load(bed, range(n), STEP)
    new = []
    for slot, row in enumerate(bed.status()["workers"]):
        [leaver] = [one for one in old if pid_of(one) == row["pid"]]
        new.append(start(n + slot))
        bed.reuseportd("swap", slot, "--pid", pid_of(new[-1]))
        wait_for_load(bed, range(n), SETTLED)
        # HAProxy drops its connections on SIGTERM, and finishes them on SIGUSR1.
        leaver.process.stop(signal.SIGUSR1 if kind == "haproxy" else signal.SIGTERM)
        wait_for_load(bed, [slot], 100)
    report = load.stop_unfailed()
    equal([row["pid"] for row in bed.status()["workers"]], [pid_of(one) for one in new], "pids")
    note(f"{case}: {n} of {n} swapped and stopped under load, {report['ok']} connections, "
         f"0 failed, {bed.status()['counters']['migrated']} migrated")


@cases("c-link", full=["nginx-loopback"])
def test_attach_and_detach(bed, case):
    """Repeated attach and detach under full load: no connection fails, and each attach is exact."""
    kind, place = case.split("-")
    place = Place(bed, place)
    start_fleet(bed, kind)
    load = place.start_load()
    cycles = fewer(20 if FULL else 10)
    for _ in range(cycles):
        bed.reuseportd("attach", "--workers", WORKERS)
        wait_for_load(bed, range(WORKERS), 200)
        bed.reuseportd("detach")
        equal(bed.left_files(), [], "files left by detach")
    report = load.stop_unfailed()
    note(f"{case}: {cycles} times attach and detach, {report['ok']} connections, 0 failed")


class Cycles:
    """Drains, resumes and swaps one slot after the other, and notes when a worker must get
    nothing."""

    def __init__(self, bed, place, spare):
        self.bed, self.place = bed, place
        self.spare = spare  # [(pid, name)] of workers without a slot
        self.in_slot = {}
        self.silences = []  # (worker, begin, end, what)
        self.out_since = {}

    def turn(self, i):
        slot = i % WORKERS
        name = self.in_slot[slot][1]
        drained = self.bed.reuseportd("drain", slot).returned
        resume = time.monotonic()
        self.bed.reuseportd("resume", slot)
        self.silences.append((name, drained, resume, f"drained in cycle {i}"))

        pid, newcomer = self.spare.pop(0)
        swap = time.monotonic()
        if newcomer in self.out_since:
            self.silences.append((newcomer, self.out_since[newcomer], swap, f"out until cycle {i}"))
        self.out_since[name] = self.bed.reuseportd("swap", slot, "--pid", pid).returned
        self.spare.append(self.in_slot[slot])
        self.in_slot[slot] = pid, newcomer

    def run(self, n, connections):
        load = self.place.start_load()
        begin = time.monotonic()
        for i in range(n):
            self.turn(i)
        seconds = time.monotonic() - begin
        wait_until(lambda: sum(self.bed.steered().values()) >= connections or not load.alive(),
                   f"{connections} connections", 200, 0.2)
        report = load.stop_unfailed()
        check(report["ok"] >= connections, f"only {report['ok']} connections")
        self.check_silences(read_log(load.log))
        note(f"{self.place.name}: {n} drain/resume/swap cycles in {seconds:.1f} s, "
             f"{report['ok']} connections, 0 failed")

    def check_silences(self, rows):
        seen = 0
        for worker, begin, end, what in self.silences:
            during = [row for row in rows if begin < row.begin and row.end < end]
            seen += len(during)
            strays = sum(row.worker == worker for row in during)
            equal(strays, 0, f"connections to {worker}, {what}")
        check(seen, "no connection began while a worker was out")


@timeout(300)
@cases("link", full=["loopback"])
def test_hundred_cycles(bed, place):
    """100 drain/resume/swap cycles under load: 0 failures in at least 100,000 connections."""
    place = Place(bed, place)
    workers = Workers(bed, workers=WORKERS)
    bed.reuseportd("attach", "--workers", WORKERS)
    spare = Workers(bed, workers=2, first=WORKERS)
    cycles = Cycles(bed, place, [(one.pid, one.id) for one in spare.all])
    names = {one.pid: one.id for one in workers.all}
    for row in bed.status()["workers"]:
        cycles.in_slot[row["slot"]] = row["pid"], names[row["pid"]]
    cycles.run(100, 100_000)


@cases("link", full=["loopback"])
def test_nginx_cycles(bed, place):
    """20 cycles that swap workers of one nginx with those of another on the same port."""
    place = Place(bed, place)
    Nginx(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    second = Nginx(bed, workers=2)
    cycles = Cycles(bed, place, [(pid, str(pid)) for pid in second.pids()])
    for row in bed.status()["workers"]:
        cycles.in_slot[row["slot"]] = row["pid"], str(row["pid"])
    cycles.run(20, 20_000)


@cases("drain 0", "weight 0 0")
def test_last_live_worker(bed, change):
    """The only worker in the ring is dead, and a drained worker serves instead. To empty the ring
    would end that, so it is refused."""
    workers = Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    bed.reuseportd("drain", 1)
    workers[0].process.stop(signal.SIGKILL)
    equal(bed.load("-n", 20)["workers"], {"w1": 20}, "answers by worker")
    refused = bed.reuseportd(*change.split(), status=1)
    check("--force" in refused.err, f"{refused}")
    equal(bed.load("-n", 20)["workers"], {"w1": 20}, "answers by worker")
    check("0 of 2 workers" in bed.reuseportd(*change.split(), "--force").out, "output")
    equal(bed.load("-n", 5)["refused"], 5, "connections refused")
