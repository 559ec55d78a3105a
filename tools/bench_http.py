# SPDX-License-Identifier: BSD-2-Clause
"""What counting HTTP responses costs on kept connections: with it and without it, in turns, on the
same processes."""
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
LIMITS = {"C workers": 0.93, "Node": 0.97}  # requests a second, counted / not counted
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


def in_turns(number, off, on):
    """A pair of figures. The order changes from pair to pair."""
    if number % 2:
        second = on()
        return {"off": off(), "on": second}
    first = off()
    return {"off": first, "on": on()}


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

    for _ in range(4):  # warms up
        leg()
    rows = [in_turns(i, leg, lambda: leg("--http")) for i in range(pairs)]
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
        result[server] = {"pairs": rows, **ratios(rows)}
    return result


def ratios(rows):
    """Medians of on / off: requests a second, and the same by the CPU time of a request, which other
    processes disturb less."""
    return {"per_second": statistics.median(row["on"]["per_second"] / row["off"]["per_second"]
                                            for row in rows),
            "by_cpu": statistics.median(row["off"]["cpu_us"] / row["on"]["cpu_us"]
                                        for row in rows)}


def print_http(result):
    print("\n\nHTTP responses counted: requests on kept connections, counted / not counted\n\n"
          "server       pairs   requests/s   by CPU time of a request   limit")
    for server, it in result.items():
        print(f"{server:<12} {len(it['pairs']):>5} {it['per_second']:>12.3f} {it['by_cpu']:>26.3f}"
              f" {LIMITS[server]:>7}")


def verdicts_http(result):
    """Judged by the CPU time: what other processes use changes requests a second."""
    return [{"name": f"requests a second of {server}, counted / not counted",
             "value": it["by_cpu"], "limit": LIMITS[server],
             "ok": it["by_cpu"] >= LIMITS[server]}
            for server, it in result.items()]
