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


def whom(clients, **options):
    """Each client's worker."""
    return {client: ask(client, **options) for client in clients}


def expect_kept(before, after, but=()):
    """All clients have the worker that they had, except those whose worker was one of @but."""
    moved = {client for client in before if after[client] != before[client]}
    of_those = {client for client in before if before[client] in but}
    equal(moved, of_those, f"clients that moved, and clients of {but}")
    check(not set(but) & set(after.values()), f"somebody is still with {but}")
    return moved


@cases("nginx", "haproxy", "c")
def test_keeps_its_worker(bed, kind):
    """Many addresses: each is answered by the same worker each time; the workers are all used."""
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    equal(bed.status()["policy"], "sticky", "policy")
    first = whom(CLIENTS[:100])
    for _ in range(3):
        expect_kept(first, whom(CLIENTS[:100]))
    equal(len(set(first.values())), WORKERS, "workers that have clients")


def test_spread(bed):
    """The clients are spread about evenly, and by weight."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    counts = collections.Counter(whom(CLIENTS).values())
    mean = len(CLIENTS) / WORKERS
    check(min(counts.values()) > mean / 2 and max(counts.values()) < mean * 2,
          f"clients of each worker: {counts}")
    note(f"sticky: {len(CLIENTS)} addresses on {WORKERS} workers: "
         f"{sorted(counts.values(), reverse=True)}")
    shares = [row["share_percent"] for row in bed.status()["workers"]]
    check(max(shares) - min(shares) < 0.1, f"shares of the table: {shares}")


def test_drain_moves_only_its_clients(bed):
    """Draining one worker moves its clients and nobody else's, to more than one other; resume
    brings them back."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    first = whom(CLIENTS)
    bed.reuseportd("drain", 3)
    second = whom(CLIENTS)
    moved = expect_kept(first, second, but=["w3"])
    to = collections.Counter(second[client] for client in moved)
    check(len(to) >= 5, f"all clients of w3 went to few: {to}")
    bed.reuseportd("drain", 6)
    expect_kept(second, whom(CLIENTS), but=["w6"])
    bed.reuseportd("resume", "3,6")
    expect_kept(first, whom(CLIENTS))
    note(f"sticky: drain of 1 of {WORKERS} moved its {len(moved)} of {len(CLIENTS)} clients, to "
         f"{len(to)} others; resume brought them back")


@cases("before", "after")
def test_death_moves_only_its_clients(bed, case):
    """The same when a worker dies, before and after a command has made a new table."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    first = whom(CLIENTS)
    workers[3].process.stop(signal.SIGKILL)
    if case == "after":
        bed.reuseportd("label", 0, "v1")
    second = whom(CLIENTS)
    moved = expect_kept(first, second, but=["w3"])
    check(len({second[client] for client in moved}) >= 5, "the clients of w3 all went to few")
    expect_kept(second, whom(CLIENTS))


def test_families(bed):
    """Over IPv6, and with a v4-mapped client that comes in by [::]: sticky as well."""
    bed.link()
    Workers(bed, addresses=BOTH)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    near4, near6 = NEAR
    sixes = [a for a in FAR if ":" in a]
    fours = [a for a in FAR if ":" not in a]
    first = whom(sixes, host=near6, netns="far") | whom(fours, host=near4, netns="far")
    for _ in range(3):
        expect_kept(first, whom(sixes, host=near6, netns="far")
                    | whom(fours, host=near4, netns="far"))


def test_mapped(bed):
    """An IPv4 client has the same worker by a dual-stack [::] group as by 0.0.0.0."""
    dual = Workers(bed, addresses="::")
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    first = whom(CLIENTS[:100])
    expect_kept(first, whom(CLIENTS[:100]))
    bed.reuseportd("detach")
    for worker in dual.all:
        worker.stop()
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--policy", "sticky")
    expect_kept(first, whom(CLIENTS[:100]))
