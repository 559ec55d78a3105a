# SPDX-License-Identifier: BSD-2-Clause
"""Exactly equal shares, of few held and of many short connections, with every server, over every
kind of address, and in another network namespace."""
import collections
import pathlib

from harness.checks import cases, check, equal, note, wait_until
from harness.network import PORT, Client
from harness.servers import BOTH, FLEETS, Nginx, Worker, Workers, start_fleet

WORKERS = 8
MANY = 8000
ROUNDS = 20

WAYS = {"IPv4": ("127.0.0.1",), "IPv6": ("::1",), "both": ("127.0.0.1", "::1")}


def held_spread(bed, host):
    """Opens eight connections at the same time. Returns how many each worker serves, in falling
    order."""
    clients = bed.hold(WORKERS, host)
    counts = collections.Counter(client.ask() for client in clients)
    for client in clients:
        client.close()
    return sorted(counts.values(), reverse=True)


def spread_text(counts):
    values = sorted(counts.values(), reverse=True)
    mean = sum(values) / WORKERS
    return f"{values}, max/mean {max(values) / mean:.2f}"


def expect_even(bed, hosts, n=MANY, *args, **options):
    """Checks that each worker gets @n / 8 of @n new connections, by its answers and by `status`."""
    before = bed.steered()
    report = bed.load("-n", n, *args, hosts=hosts, **options)
    after = bed.steered()
    equal(report["failed"], 0, f"failed connections to {hosts} of {report}")
    equal(sorted(report["workers"].values()), [n // WORKERS] * WORKERS,
          f"connections of each worker by the servers' answers, {hosts}")
    equal({slot: after[slot] - before[slot] for slot in after},
          {slot: n // WORKERS for slot in range(WORKERS)},
          f"connections of each slot by the status, {hosts}")


@cases(*FLEETS)
def test_eight_held(bed, kind):
    """Of eight held connections each of eight workers gets one, every time."""
    start_fleet(bed, kind, addresses=BOTH)
    by_hash = [held_spread(bed, "127.0.0.1") for _ in range(ROUNDS)]
    idle = [WORKERS - len(counts) for counts in by_hash]
    note(f"{kind}, kernel's hash: 8 held connections on 8 workers leave "
         f"{sum(idle) / ROUNDS:.1f} idle (most {max(idle)}), busiest has "
         f"{max(counts[0] for counts in by_hash)} ({ROUNDS} rounds)")
    bed.reuseportd("attach", "--workers", WORKERS)
    for host in ("127.0.0.1", "::1"):
        for i in range(ROUNDS):
            equal(held_spread(bed, host), [1] * WORKERS, f"round {i}: connections of each worker")
    note(f"{kind}, attached: one each in {ROUNDS} of {ROUNDS} rounds, over IPv4 and over IPv6")


@cases("nginx", "haproxy", "c", full=["gunicorn"])
def test_many_short(bed, kind):
    """Of 8,000 new connections each worker gets exactly 1,000, over IPv4, IPv6 and both."""
    start_fleet(bed, kind, addresses=BOTH)
    report = bed.load("-n", MANY, hosts=WAYS["both"])
    equal(report["failed"], 0, f"failed connections before attach, {report}")
    note(f"{kind}, kernel's hash: {spread_text(report['workers'])}")
    bed.reuseportd("attach", "--workers", WORKERS)
    for way, hosts in WAYS.items():
        expect_even(bed, hosts)
        note(f"{kind}, attached, {way}: {MANY} connections, {MANY // WORKERS} each")
    status = bed.status()
    equal([e["endpoint"] for e in status["endpoints"]], [f"0.0.0.0:{PORT}", f"[::]:{PORT}"],
          "endpoints")
    counters = {name: n for name, n in status["counters"].items() if n}
    equal(counters, {"steered": 3 * MANY}, "counted outcomes")


@cases(*FLEETS)
def test_other_netns(bed, kind):
    """Servers in another network namespace are attached from outside by --pid."""
    inner = bed.netns("inner")
    fleet = start_fleet(bed, kind, addresses=BOTH, netns=inner)
    refusal = bed.reuseportd("attach", "--workers", WORKERS, status=1)
    check("--pid" in refusal.err or "listen" in refusal.err, f"{refusal}")
    bed.reuseportd("attach", "--workers", WORKERS, "--pid", fleet.pid)
    expect_even(bed, WAYS["both"], netns=inner)


@cases("nginx", "c")
def test_dual_stack(bed, kind):
    """A dual-stack group on [::]: clients of both families are counted together."""
    if kind == "nginx":
        Nginx(bed, addresses="::", dual=True)
    else:
        Workers(bed, addresses="::")
    bed.reuseportd("attach", "--workers", WORKERS)
    for hosts in WAYS.values():
        expect_even(bed, hosts, 800)


@cases("nginx", "gunicorn", "c")
def test_status_names_serving_process(bed, kind):
    """`status` names the process that serves each slot, although every nginx worker has all
    listeners open, and a gunicorn parent has the listener of its child open."""
    start_fleet(bed, kind, addresses=BOTH)
    bed.reuseportd("attach", "--workers", WORKERS)
    for host in ("127.0.0.1", "::1"):
        answered = {}
        for _ in range(WORKERS):
            before = bed.steered()
            with Client(host) as client:
                client.ask("/pid")
                pid = int(client.body)
            after = bed.status()["workers"]
            hit = [w for w in after if w["steered"] != before[w["slot"]]]
            equal(len(hit), 1, "slots that got the connection")
            equal(hit[0]["pid"], pid, f"process of slot {hit[0]['slot']}, {host}")
            answered[hit[0]["slot"]] = pid
        equal(len(answered), WORKERS, "slots that answered")


@cases("nginx", "c")
def test_syncookies(bed, kind):
    """With a SYN cookie for each connection both the SYN and the ACK are steered, and shares are
    still exact. For a SYN that hits a TIME_WAIT the kernel makes no cookie, whatever the sysctl
    says. The two kinds are each distributed in turn, but together they are even on average only. So
    the clients leave no TIME_WAIT."""
    pathlib.Path("/proc/sys/net/ipv4/tcp_syncookies").write_text("2")
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    expect_even(bed, WAYS["IPv4"], MANY, "--linger0")
    counters = bed.status()["counters"]
    equal((counters["steered"], counters["cookie_ack"]), (MANY, MANY), "SYNs and cookie ACKs")


def test_many_clients_at_once(bed):
    """Shares are exact while many load generators connect on all CPUs at the same time."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    before = bed.steered()
    loads = [bed.start_load("-n", 4000, "-c", 100) for _ in range(4)]
    reports = [load.finish() for load in loads]
    equal(sum(report["failed"] for report in reports), 0, "failed connections")
    total = collections.Counter()
    for report in reports:
        total.update(report["workers"])
    equal(set(total.values()), {2000}, "connections of each worker")
    after = bed.steered()
    equal({after[slot] - before[slot] for slot in after}, {2000}, "connections of each slot")


@cases("9", "100", "1024")
def test_many_slots(bed, n):
    """Any number of workers up to the maximum of 1,024; here threads of one process."""
    server = Worker(bed, "w", workers=int(n), options=["--threads", n])
    bed.reuseportd("attach", "--workers", n)
    report = bed.load("-n", 4 * int(n))
    equal(report["failed"], 0, "failed connections")
    equal(set(report["workers"].values()), {4}, "connections of each worker")
    equal({row["steered"] for row in bed.status()["workers"]}, {4}, "connections of each slot")
    equal({row["pid"] for row in bed.status()["workers"]}, {server.pid}, "pids")


def test_every_stretch_is_even(bed):
    """For any number of consecutive connections, workers differ by at most one."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    for n in (1, 3, 7, 9, 13, 64, 101):
        before = bed.steered()
        report = bed.load("-n", n, "-c", 4)
        equal(report["failed"], 0, "failed connections")
        after = bed.steered()
        counts = [after[slot] - before[slot] for slot in after]
        check(max(counts) - min(counts) <= 1 and sum(counts) == n, f"{n} connections: {counts}")


def test_two_ports_are_two_services(bed):
    """Without --port, attach takes the only port with that number of workers. A second service has
    its own slots, and then commands need a name."""
    Workers(bed, workers=8)
    for i in range(3):
        Worker(bed, f"other{i}", port=9090)
    bed.reuseportd("attach", "--workers", 3, "--service", "small")
    bed.reuseportd("attach", "--workers", 8, "--service", "large")
    equal([row["service"] for row in bed.reuseportd("list", "--json").json()], ["large", "small"],
          "services")
    bed.reuseportd("status", status=2)
    equal(bed.status("small")["endpoints"][0]["port"], 9090, "port of the small one")
    report = bed.load("-n", 80)
    equal(set(report["workers"].values()), {10}, "connections of each worker of the large service")
    bed.reuseportd("detach", "large")
    wait_until(lambda: len(bed.reuseportd("list", "--json").json()) == 1, "one service is left")
    bed.reuseportd("status")
