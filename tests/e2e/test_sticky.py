# SPDX-License-Identifier: BSD-2-Clause
"""--policy sticky: a client keeps its worker."""
import collections
import signal

from harness.checks import cases, check, equal, note
from harness.network import FAR, NEAR, Client
from harness.servers import BOTH, Workers, start_fleet

WORKERS = 8
CLIENTS = [f"127.0.{i // 250}.{i % 250 + 1}" for i in range(400)]


def ask(source, host="127.0.0.1", netns=None):
    with Client(host, source=source, netns=netns) as client:
        return client.ask()


def workers_of(clients, **options):
    """The worker of each client."""
    return {client: ask(client, **options) for client in clients}


def expect_kept(before, after, but=()):
    """Checks that all clients keep their worker, except the clients of the workers @but, which
    move. Returns the clients that moved."""
    moved = {client for client in before if after[client] != before[client]}
    of_those = {client for client in before if before[client] in but}
    equal(moved, of_those, f"clients that moved, and clients of {but}")
    check(not set(but) & set(after.values()), f"a client still has a worker of {but}")
    return moved


@cases("nginx", "haproxy", "c")
def test_keeps_its_worker(bed, kind):
    """Each client address keeps its worker, and all workers have clients."""
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    equal(bed.status()["policy"], "sticky", "policy")
    first = workers_of(CLIENTS[:100])
    for _ in range(3):
        expect_kept(first, workers_of(CLIENTS[:100]))
    equal(len(set(first.values())), WORKERS, "workers that have clients")


def test_spread(bed):
    """Clients are distributed nearly evenly."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    counts = collections.Counter(workers_of(CLIENTS).values())
    mean = len(CLIENTS) / WORKERS
    check(min(counts.values()) > mean / 2 and max(counts.values()) < mean * 2,
          f"clients of each worker: {counts}")
    note(f"sticky: {len(CLIENTS)} addresses on {WORKERS} workers: "
         f"{sorted(counts.values(), reverse=True)}")
    shares = [row["share_percent"] for row in bed.status()["workers"]]
    check(max(shares) - min(shares) < 0.1, f"shares of the table: {shares}")


def test_drain_moves_only_its_clients(bed):
    """Draining a worker moves only its clients, to several other workers; resume moves them
    back."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    first = workers_of(CLIENTS)
    bed.reuseportd("drain", 3)
    second = workers_of(CLIENTS)
    moved = expect_kept(first, second, but=["w3"])
    to = collections.Counter(second[client] for client in moved)
    check(len(to) >= 5, f"the clients of w3 went to too few workers: {to}")
    bed.reuseportd("drain", 6)
    expect_kept(second, workers_of(CLIENTS), but=["w6"])
    bed.reuseportd("resume", "3,6")
    expect_kept(first, workers_of(CLIENTS))
    note(f"sticky: drain of 1 of {WORKERS} moved its {len(moved)} of {len(CLIENTS)} clients, to "
         f"{len(to)} others; resume moved them back")


@cases("before", "after")
def test_death_moves_only_its_clients(bed, case):
    """A death moves only the worker's clients, before and after a command writes a new table."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    first = workers_of(CLIENTS)
    workers[3].process.stop(signal.SIGKILL)
    if case == "after":
        bed.reuseportd("label", 0, "v1")
    second = workers_of(CLIENTS)
    moved = expect_kept(first, second, but=["w3"])
    check(len({second[client] for client in moved}) >= 5,
          "the clients of w3 went to too few workers")
    expect_kept(second, workers_of(CLIENTS))


def test_families(bed):
    """Clients keep their worker over IPv6 and IPv4."""
    bed.link()
    Workers(bed, addresses=BOTH)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    near4, near6 = NEAR
    sixes = [a for a in FAR if ":" in a]
    fours = [a for a in FAR if ":" not in a]
    first = workers_of(sixes, host=near6, netns="far") | workers_of(fours, host=near4, netns="far")
    for _ in range(3):
        expect_kept(first, workers_of(sixes, host=near6, netns="far")
                    | workers_of(fours, host=near4, netns="far"))


def test_mapped(bed):
    """An IPv4 client has the same worker in a dual-stack [::] group as in a group on 0.0.0.0."""
    dual = Workers(bed, addresses="::")
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    first = workers_of(CLIENTS[:100])
    expect_kept(first, workers_of(CLIENTS[:100]))
    bed.reuseportd("detach")
    for worker in dual.all:
        worker.stop()
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    expect_kept(first, workers_of(CLIENTS[:100]))
