# SPDX-License-Identifier: BSD-2-Clause
"""What counting HTTP responses costs on kept connections: with it, with programs that do nothing in
its place, and without any, in turns, on the same processes."""
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench_servers import PORT, Server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from harness.bed import cgroup2  # noqa: E402

SERVICE = "bench"
CLIENTS = 8  # connections
# Requests a second: with responses counted / without any program, and / with empty programs. The
# kernel's way to two programs alone takes 2 to 3 % of what Node takes for a request.
LIMITS = {"C workers": (0.93, None), "Node": (None, 0.97)}
EMPTY = Path("/sys/fs/bpf/empty")
NODE = "require('http').createServer((request, response) => response.end('ok')).listen({fd: %d})"


class Node(Server):
    """Node servers. Each inherits a listener, as Node itself does not set SO_REUSEPORT."""

    def __init__(self, _, workers):
        self.workers = []
        for _ in range(workers):
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind(("0.0.0.0", PORT))
                listener.listen(511)
                fd = listener.fileno()
                self.workers.append(subprocess.Popen(["node", "-e", NODE % fd], pass_fds=[fd]))


def cpu_seconds(pids):
    """CPU time that the clients and these processes have used so far."""
    times = os.times()
    return times.children_user + times.children_system + sum(
        int((thread / "schedstat").read_text().split()[0])
        for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def load(tools, port, pids, seconds):
    before = cpu_seconds(pids)
    done = subprocess.run([tools.loadgen, "--target", f"127.0.0.1:{port}", "--json", "--keepalive",
                           "10000000", "--concurrency", str(CLIENTS), "--duration", str(seconds)],
                          capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    return {"requests": report["answers"], "per_second": report["answers"] / report["seconds"],
            "cpu_us": (cpu_seconds(pids) - before) * 1e6 / report["answers"]}


def command(tools, *words):
    done = subprocess.run([str(word) for word in (tools.reuseportd, *words)], capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"tools/bench: reuseportd {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def own_cgroup():
    """What is started in this context is in a cgroup of its own, so that the programs don't see the
    packets of the clients a second time. The cgroup goes with the context's processes."""
    mount = cgroup2()
    home = next(line for line in Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::"))[len("0::/"):]
    folder = mount / f"bench-{time.monotonic_ns()}"
    folder.mkdir()
    (folder / "cgroup.procs").write_text("0")
    try:
        yield folder
    finally:
        (mount / home / "cgroup.procs").write_text("0")


def counted(tools, service):
    """The responses that were counted; None: none are."""
    rows = json.loads(command(tools, "status", service, "--json"))["workers"]
    if rows[0]["responses"] is None:
        return None
    return sum(n for row in rows for n in row["responses"].values())


@contextlib.contextmanager
def empty_programs(tools, folder):
    """The cgroup has programs that do nothing."""
    def bpftool(*words):
        subprocess.run(["bpftool", *words], check=True, capture_output=True)
    bpftool("prog", "loadall", tools.empty, EMPTY)
    for name, way in ("empty_in", "cgroup_inet_ingress"), ("empty_out", "cgroup_inet_egress"):
        bpftool("cgroup", "attach", folder, way, "pinned", EMPTY / name)
    shutil.rmtree(EMPTY)
    yield
    for way in "cgroup_inet_ingress", "cgroup_inet_egress":
        shown = json.loads(subprocess.run(["bpftool", "-j", "cgroup", "show", folder], check=True,
                                          capture_output=True).stdout)
        for it in shown:
            if it["attach_type"] == way:
                bpftool("cgroup", "detach", folder, way, "id", str(it["id"]))


def in_turns(number, legs):
    """A figure of each leg. The order changes from time to time."""
    names = [*legs]
    names = names[number % len(names):] + names[:number % len(names)]
    return {name: legs[name]() for name in names}


def measure_server(tools, kind, pairs, seconds):
    with own_cgroup() as folder:
        server = kind(tools, os.cpu_count())

    def leg(*options):
        command(tools, "attach", "--workers", len(server.workers), "--service", SERVICE, "--wait",
                "20", *options)
        figures = load(tools, PORT, server.pids(), seconds)
        seen = counted(tools, SERVICE)
        if seen is not None and abs(seen - figures["requests"]) > CLIENTS:
            sys.exit(f"tools/bench: {seen} responses counted, {figures['requests']} received")
        command(tools, "detach", SERVICE)
        return figures

    def empty_leg():
        with empty_programs(tools, folder):
            return leg()

    for _ in range(4):  # warms up
        leg()
    legs = {"off": leg, "empty": empty_leg, "on": lambda: leg("--http")}
    rows = [in_turns(i, legs) for i in range(pairs)]
    server.stop()
    folder.rmdir()
    return rows


def measure_http(tools, quick, progress):
    result = {}
    for server, kind in {"C workers": Server, "Node": Node}.items():
        if kind is Node and not shutil.which("node"):
            continue
        progress(f"the cost of counting HTTP responses: {server}")
        rows = measure_server(tools, kind, 2 if quick else 41, 0.3 if quick else 1)
        result[server] = {"pairs": rows, "counted": ratios(rows, "on", "off"),
                          "empty": ratios(rows, "empty", "off"),
                          "counted_over_empty": ratios(rows, "on", "empty")}
    return result


def ratios(rows, a, b):
    """Medians of a / b: requests a second, and the same by the CPU time of a request, which other
    processes disturb less."""
    return {"per_second": statistics.median(row[a]["per_second"] / row[b]["per_second"]
                                            for row in rows),
            "by_cpu": statistics.median(row[b]["cpu_us"] / row[a]["cpu_us"] for row in rows)}


def print_http(result):
    print("\n\nHTTP responses counted: requests on kept connections, by CPU time\n\n"
          "server      triples   counted / none   empty programs / none   counted / empty programs")
    for server, it in result.items():
        print(f"{server:<12} {len(it['pairs']):>6} {it['counted']['by_cpu']:>16.3f}"
              f" {it['empty']['by_cpu']:>23.3f} {it['counted_over_empty']['by_cpu']:>26.3f}")


def verdicts_http(result):
    """Judged by the CPU time: what other processes use changes requests a second."""
    return [{"name": f"requests a second of {server}, {what}", "value": it[key]["by_cpu"],
             "limit": limit, "ok": it[key]["by_cpu"] >= limit}
            for server, it in result.items()
            for (what, key), limit in zip((("counted / none", "counted"),
                                           ("counted / empty programs", "counted_over_empty")),
                                          LIMITS[server]) if limit]
