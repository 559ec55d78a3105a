#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures connections and their steering on the running kernel: of the host, or of a guest
(vmtest/bench). Each part runs in separate namespaces. Prints the figures as lines of JSON, and last
the line that tests end with.

usage: measure.py --build DIR --kind host|kvm|counted|turns [--quick] PART..."""
import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
sys.dont_write_bytecode = True

from harness.bed import BPFFS, Bed  # noqa: E402
from harness.checks import Failure, check, wait_until  # noqa: E402
from harness.dealing import Hash, LeastConnections, RoundRobin, SkipStuck  # noqa: E402
from harness.network import FAR, NEAR, PORT  # noqa: E402
from harness.process import read_log  # noqa: E402
from harness.servers import Worker, Workers  # noqa: E402
from harness import trouble  # noqa: E402

WORKERS = 8
SLOTS = (1, 8, 64, 512, 1024)
POLICIES = ("round-robin", "sticky", "skip-stuck", "least-connections")  # of vmtest_steering
CPUS_MAX = 4
PROXY_PORT, BACKEND_PORT = 8090, 9000
DELAY_MS = 5  # one way: a round trip takes 10 ms
SERVICE = "bench"


# On an emulated processor: what may differ from kernel to kernel.
SLOW_SCENARIOS = {"loopback": ("healthy", "blocked", "hung", "long"), "link": ("blocked",)}
SLOW_WAYS = (Hash, RoundRobin, SkipStuck, LeastConnections)


class Sizes:
    def __init__(self, kind, quick):
        slow = kind in ("counted", "turns")
        self.repeats = 3 if quick else 5 if slow else 9
        # Without reuseportd the distribution is random: with fewer rounds, the ranges of two runs
        # may not overlap.
        self.even_rounds = 5 if quick else 12
        self.held_rounds = 5 if quick else 20
        self.sequential = 200
        self.concurrent = 800 if slow else 3200
        self.leg = 500 if quick or slow else 4000  # connections
        self.rounds, self.batch = (3, 128) if quick else (9, 256) if slow else (40, 1024)
        self.restarts = 4 if quick else 8
        self.between = 250 if slow else 1000  # connections from one restart to the next
        self.drains = 5 if quick else 15
        self.trouble = trouble.Sizes(seconds=0.3 if quick or slow else 1,
                                     rounds=1 if quick else 3, lifetime=3 if quick else 10)
        self.scenarios = SLOW_SCENARIOS if slow else dict.fromkeys(trouble.PLACES,
                                                                   trouble.SCENARIOS)
        self.ways = SLOW_WAYS if slow else trouble.ways()


class Report:
    """Prints the figures of a part."""

    def __init__(self, part):
        self.part = part

    def figures(self, row, what, values, ratio=False):
        """Prints the values of one row. @ratio: a figure on which two runs must agree; other
        figures depend on the machine and the moment."""
        values = [float(f"{value:.5g}") for value in values]
        print("measured " + json.dumps({"part": self.part, "row": row, "what": what,
                                        "ratio": ratio, "values": values}), flush=True)


def attach_options(bed, counted):
    """Options of `attach` to turn the counting of connections on or off, whichever is the
    default."""
    text = bed.reuseportd("attach", "--help").out
    if "--no-count" in text:
        return [] if counted else ["--no-count"]
    return ["--count"] if counted else []


def attach(bed, counted=False):
    bed.reuseportd("attach", "--workers", WORKERS, "--port", PORT, "--service", SERVICE,
                   *attach_options(bed, counted))


# ---- Evenness ----

def shares(bed, counts, names):
    """Coefficient of variation, max/mean, and the share of the busiest two."""
    check(set(counts) <= set(names), f"unknown workers answered: {counts}")
    each = sorted((counts.get(name, 0) for name in names), reverse=True)
    mean = statistics.mean(each)
    return statistics.pstdev(each) / mean, each[0] / mean, 100 * sum(each[:2]) / sum(each)


def evenness_of(bed, sizes, report, server, names):
    def loaded(n, concurrency):
        result = bed.load("-n", n, "-c", concurrency, "--linger0")
        check(result["failed"] == 0, f"failed connections: {result}")
        return shares(bed, result["workers"], names)

    def held():
        clients = bed.hold(WORKERS)
        by = collections.Counter(client.ask() for client in clients)
        for client in clients:
            client.close()
        return shares(bed, by, names)
    for how, rounds, one in (
            ("one after the other", sizes.even_rounds, lambda: loaded(sizes.sequential, 1)),
            ("64 at once", sizes.even_rounds, lambda: loaded(sizes.concurrent, 64)),
            ("8 held", sizes.held_rounds, held)):
        for what, values in zip(("CV", "max/mean", "top two, %"),
                                zip(*(one() for _ in range(rounds)))):
            report.figures(f"{server}, {how}", what, values, ratio=True)


def stop_all(workers):
    for worker in workers:
        worker.process.stop(signal.SIGTERM)


def evenness(bed, sizes, report):
    names = [f"w{i}" for i in range(WORKERS)]
    fleet = Workers(bed, WORKERS)
    evenness_of(bed, sizes, report, "SO_REUSEPORT", names)
    attach(bed)
    evenness_of(bed, sizes, report, "reuseportd", names)
    bed.reuseportd("detach", SERVICE)
    stop_all(fleet.all)
    for server, more in (("shared listener", ()), ("EPOLLEXCLUSIVE", ("--exclusive",))):
        one = Worker(bed, "w", options=["--prefork", WORKERS, "--shared", *more])
        evenness_of(bed, sizes, report, server, [f"w.{i}" for i in range(WORKERS)])
        stop_all([one])


# ---- Cost ----

def steering(bed, sizes, slots=WORKERS, cpus=1):
    """The result of vmtest_steering."""
    done = bed.run(bed.build / "vmtest/vmtest_steering", "--slots", slots, "--cpus", cpus,
                   "--rounds", sizes.rounds, "--batch", sizes.batch, deadline=600)
    check(done.code == 0, f"{done}")
    return json.loads(next(line for line in done.out.splitlines() if line.startswith("{")))


def runs(bed, sizes, report):
    """A run of the program minus a run of an empty one, by policy and number of slots."""
    for slots in SLOTS:
        result = steering(bed, sizes, slots)
        for policy in POLICIES:
            pairs = list(zip(result[policy], result["empty"]))
            report.figures(f"{policy}, {slots} slots", "ns net", [a - b for a, b in pairs])
            report.figures(f"{policy}, {slots} slots", "of empty", [a / b for a, b in pairs], True)


def start_proxy(bed):
    """Starts HAProxy or nginx in front of eight workers that have a port each. Returns its name;
    None if neither is installed."""
    ports = range(BACKEND_PORT, BACKEND_PORT + WORKERS)
    for program, config, argv in (
            ("haproxy",
             f"global\n maxconn 4000\n"
             "defaults\n mode http\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n"
             f"listen all\n bind 127.0.0.1:{PROXY_PORT}\n balance roundrobin\n"
             + "".join(f" server s{port} 127.0.0.1:{port}\n" for port in ports),
             ("-db", "-f")),
            ("nginx",
             f"daemon off; user root; worker_processes auto; pid {bed.dir}/nginx.pid;\n"
             "events { worker_connections 4096; }\nhttp { access_log off;\n"
             + "".join(f"{kind}_temp_path {bed.dir}/{kind};\n" for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
             + "upstream all { " + "".join(f"server 127.0.0.1:{port}; " for port in ports) + "}\n"
             f"server {{ listen 127.0.0.1:{PROXY_PORT}; location / {{ proxy_pass http://all; }} }} }}",
             ("-e", "stderr", "-c"))):
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not path:
            continue
        for port in ports:
            Worker(bed, f"b{port}", addresses="127.0.0.1", port=port)
        (bed.dir / "proxy.conf").write_text(config)
        bed.start(path, *argv, bed.dir / "proxy.conf")
        wait_until(lambda: bed.run("ss", "-Hltn", "sport", "=", f":{PROXY_PORT}").out,
                   f"{program} listens")
        return program
    return None


def connections(bed, sizes, report):
    """New connections a second, one request each. Measured in turns, so that each ratio is of one
    moment."""
    Workers(bed, WORKERS)
    proxy = start_proxy(bed)

    def leg(port=PORT):
        result = bed.load_at(port, "-n", sizes.leg, "-c", 64, "--linger0")
        check(result["failed"] == 0, f"failed connections: {result}")
        return result["connections_per_second"]

    def attached(counted):
        attach(bed, counted)
        try:
            return leg()
        finally:
            bed.reuseportd("detach", SERVICE)
    legs = {"SO_REUSEPORT": leg, "steered": lambda: attached(False),
            "steered, counted": lambda: attached(True)}
    if proxy:
        legs[f"through {proxy}"] = lambda: leg(PROXY_PORT)
    rates = collections.defaultdict(list)
    for turn in range(sizes.repeats + 1):  # turn 0 warms up
        for name in list(legs)[turn % len(legs):] + list(legs)[:turn % len(legs)]:
            rates[name].append(legs[name]())
    for name, values in rates.items():
        report.figures(name, "a second", values[1:])
    for name, values in list(rates.items())[1:]:
        report.figures(name, "of SO_REUSEPORT's",
                       [ours / plain for ours, plain in zip(values[1:], rates["SO_REUSEPORT"][1:])],
                       ratio=True)


# ---- Loss ----

def make_link(bed):
    """Creates the namespace "far" across a link with a round trip of 10 ms. Returns what delays the
    packets: "netem" if the kernel has it, or "delaylink"."""
    if shutil.which("tc"):
        bed.netns("far")
        bed.must("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "far")
        done = [bed.run("tc", "qdisc", "add", "dev", device, "root", "netem", "delay",
                        f"{DELAY_MS}ms", "limit", 100000, netns=netns)
                for device, netns in (("near", None), ("far", "far"))]
        if all(it.code == 0 for it in done):
            for device, netns, addresses in (("near", None, NEAR), ("far", "far", FAR)):
                for address in (a for a in addresses if ":" not in a):
                    bed.must("ip", "addr", "add", f"{address}/24", "dev", device, netns=netns)
                bed.must("ip", "link", "set", device, "up", netns=netns)
            return "netem"
        bed.must("ip", "link", "delete", "near")
        bed.must("ip", "netns", "delete", "far")
        bed.netns_names.discard("far")
    bed.link(DELAY_MS * 1000)
    return "delaylink"


def lines_of(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def restart_closing(bed, old, slot, new):
    replacement = new()
    old.process.stop(signal.SIGTERM)
    return replacement


def restart_drained(bed, old, slot, new):
    bed.reuseportd("drain", SERVICE, slot, "--wait")
    old.process.stop(signal.SIGTERM)
    replacement = new()
    bed.reuseportd("swap", SERVICE, slot, "--pid", replacement.pid)
    bed.reuseportd("resume", SERVICE, slot)
    return replacement


def restart_killed(bed, old, slot, new):
    old.process.stop(signal.SIGKILL)
    return new()


def restart_killed_attached(bed, old, slot, new):
    replacement = restart_killed(bed, old, slot, new)
    bed.reuseportd("swap", SERVICE, slot, "--pid", replacement.pid)
    return replacement


def restart_swapped(bed, old, slot, new):
    replacement = new()
    bed.reuseportd("swap", SERVICE, slot, "--pid", replacement.pid)
    old.process.stop(signal.SIGTERM)
    return replacement


# name: (whether reuseportd is attached, tcp_migrate_req, how a worker is replaced)
WAYS = {
    "closes": (False, 0, restart_closing),
    "closes, tcp_migrate_req=1": (False, 1, restart_closing),
    "closes, swapped before": (True, 0, restart_swapped),
    "drain --wait": (True, 0, restart_drained),
    "SIGKILL": (False, 0, restart_killed),
    "SIGKILL, reuseportd": (True, 0, restart_killed_attached),
}


def lost(bed, sizes, way, netns):
    """Failed connections per 100,000, while one worker after the other is restarted."""
    attached, migrate, restart = WAYS[way]
    pathlib.Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text(str(migrate))
    fleet = Workers(bed, WORKERS).all
    n_started = WORKERS
    by_slot = dict(enumerate(fleet))
    if attached:
        attach(bed, counted=True)
        pids = {worker.pid: worker for worker in fleet}
        by_slot = {row["slot"]: pids[row["pid"]] for row in bed.status(SERVICE)["workers"]}

    def new():
        nonlocal n_started
        n_started += 1
        return Worker(bed, f"w{n_started}")
    sources = [arg for a in FAR if ":" not in a for arg in ("--source", a)] if netns else []
    load = bed.start_load("-c", 256 if netns else 64, "--linger0", *sources,
                          hosts=(NEAR[0] if netns else "127.0.0.1",), netns=netns)
    for i in range(sizes.restarts):
        begin = lines_of(load.log)
        wait_until(lambda: lines_of(load.log) >= begin + sizes.between, "load", 120, 0.05)
        slot = i % WORKERS
        by_slot[slot] = restart(bed, by_slot[slot], slot, new)
    result = load.stop()
    if attached:
        bed.reuseportd("detach", SERVICE)
    stop_all(by_slot.values())
    load.log.unlink()
    return 1e5 * result["failed"] / result["begun"]


def loss(bed, sizes, report):
    link = make_link(bed)
    for place, netns in (("loopback", None), (f"10 ms ({link})", "far")):
        values = collections.defaultdict(list)
        for _ in range(max(2, sizes.repeats // 2)):
            for way in WAYS:
                values[way].append(lost(bed, sizes, way, netns))
        for way, each in values.items():
            report.figures(f"{place}: {way}", "of 100,000", each)


# ---- From 1 CPU to several ----

def cpus(bed, sizes, report):
    """How the cost of a run grows when connections arrive on several CPUs at once."""
    base = {}
    for n in range(1, min(CPUS_MAX, os.cpu_count()) + 1):
        result = steering(bed, sizes, cpus=n)
        for policy in POLICIES:
            net = [a - b for a, b in zip(result[policy], result["empty"])]
            base.setdefault(policy, statistics.median(net))
            report.figures(f"{policy}, on {n} CPUs at once", "ns net", net)
            if n > 1:
                report.figures(f"{policy}, on {n} CPUs at once", "of 1 CPU",
                               [value / base[policy] for value in net], ratio=True)


# ---- How fast commands take effect ----

def control(bed, sizes, report):
    fleet = {worker.pid: worker for worker in Workers(bed, WORKERS).all}
    attach(bed)
    names = {row["slot"]: fleet[row["pid"]].id for row in bed.status(SERVICE)["workers"]}
    took, last = [], []
    for i in range(sizes.drains):
        slot = i % WORKERS
        load = bed.start_load("-c", 16, "--linger0")
        begin = time.monotonic()
        returned = bed.reuseportd("drain", SERVICE, slot).returned
        seen = lines_of(load.log)
        wait_until(lambda: lines_of(load.log) >= seen + 100, "load")
        load.stop_unfailed()
        bed.reuseportd("resume", SERVICE, slot)
        to_slot = [row.begin for row in read_log(load.log) if row.worker == names[slot]]
        took.append(1000 * (returned - begin))
        last.append(1000 * (max(to_slot, default=begin) - begin))
        check(last[-1] <= took[-1], f"slot {slot} got a connection after `drain` had returned")
    report.figures("`drain`, from its start", "ms to its return", took)
    report.figures("`drain`, from its start", "ms to the last connection", last)
    for slots in (8, 1024):
        report.figures(f"rings activated, {slots} slots", "a second",
                       [steering(bed, sizes, slots)["switches"] for _ in range(sizes.repeats)])


# ---- Workers in trouble ----

TROUBLE = {"p50_ms": "p50, ms", "p99_ms": "p99, ms", "p999_ms": "p99.9, ms", "max_ms": "max, ms",
           "per_second": "a second", "lost": "lost", "given": "given after it hangs",
           "late": "late at each block", "open_sd": "SD of open", "open_max": "max/mean of open",
           "fresh_share": "fresh worker's share"}


def load(bed, sizes, report):
    for name in trouble.PLACES:
        place = trouble.Place(bed, name)
        for scenario in sizes.scenarios[name]:
            kinds = [way for way in trouble.ways_of(scenario) if way in sizes.ways]
            rounds = [trouble.measure_round(place, kinds, scenario, sizes.trouble, number)
                      for number in range(sizes.trouble.rounds)]
            for way in rounds[0]:
                for what, title in TROUBLE.items():
                    values = [figures[way].get(what) for figures in rounds]
                    if None not in values:
                        report.figures(f"{name}, {scenario}: {way}", title, values)


PARTS = {part.__name__: part
         for part in (evenness, runs, connections, load, loss, cpus, control)}


class BenchBed(Bed):
    def load_at(self, port, *args):
        done = self.run(self.binary("loadgen"), *self.targets("127.0.0.1", port=port), "--json",
                        "--quiet", "--timeout", 60000, *args, deadline=600)
        check(done.code in (0, 1), f"{done}")
        return json.loads(done.out.splitlines()[-1])


def inside(options):
    """Measures one part, inside the namespaces, in a child of process 1."""
    for command in (["mount", "-t", "bpf", "-o", "mode=0700", "bpf", str(BPFFS)],
                    ["mount", "-t", "tmpfs", "tmpfs", "/run"],
                    ["ip", "link", "set", "lo", "up"]):
        subprocess.run(command, check=True)
    pid = os.fork()
    if pid:  # process 1 reaps orphans until the child has ended
        while True:
            reaped, status = os.wait()
            if reaped == pid:
                return os.waitstatus_to_exitcode(status) & 0xff
    [part] = options.parts
    with tempfile.TemporaryDirectory(prefix="measure.") as folder:
        bed, status = BenchBed(options.build, folder), 0
        try:
            PARTS[part](bed, Sizes(options.kind, options.quick), Report(part))
        except (Failure, OSError, ValueError, LookupError):
            traceback.print_exc(file=sys.stdout)
            print(bed.logs())
            status = 1
        left = bed.close()
        if left:
            print("left behind:\n" + "\n".join(left))
            status = 1
    sys.stdout.flush()
    os._exit(status)


def run_part(part):
    """Runs this script again for one part, in namespaces that end with it."""
    argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork",
            "--kill-child", "--mount-proc", sys.executable, __file__, "--inside", *sys.argv[1:]]
    argv = [word for word in argv if word not in PARTS] + [part]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--kind", required=True, choices=("host", "kvm", "counted", "turns"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART")
    options = parser.parse_args()
    if options.inside:
        return inside(options)
    failed = 0
    for part in options.parts:
        begin = time.monotonic()
        status = run_part(part)
        failed += status != 0
        word = "ok" if status == 0 else "FAILED"
        print(f"{word} {part} ({time.monotonic() - begin:.1f} s)", flush=True)
    print(f"{len(options.parts) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
