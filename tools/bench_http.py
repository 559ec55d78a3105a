# SPDX-License-Identifier: BSD-2-Clause
"""What counting HTTP responses costs on kept connections: with it and without it, in turns. Of C
workers the same processes are measured in both ways; of Node two services, which are started again
for each round."""
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_servers import PORT, Server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from harness.bed import cgroup2  # noqa: E402

SERVICE = "bench"
CLIENTS = 8  # connections
LIMITS = {"C workers": 0.93, "Node": 0.97}  # requests a second, counted / not counted
NODE = "require('http').createServer((request, response) => response.end('ok')).listen(%d);\n"


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


def measure_workers(tools, pairs, seconds):
    with own_cgroup() as folder:
        server = Server(tools, os.cpu_count())

    def leg(*options):
        command(tools, "attach", "--workers", len(server.workers), "--service", SERVICE, *options)
        figures = load(tools, PORT, server.pids(), seconds)
        seen = counted(tools, SERVICE)
        if seen is not None and abs(seen - figures["requests"]) > CLIENTS:
            sys.exit(f"tools/bench: {seen} responses counted, {figures['requests']} received")
        command(tools, "detach", SERVICE)
        return figures

    leg()  # warms up
    rows = [in_turns(i, leg, lambda: leg("--http")) for i in range(pairs)]
    server.stop()
    folder.rmdir()
    return rows


class NodeService:
    """Two workers of `reuseportd run`."""

    def __init__(self, tools, folder, port, *options):
        script = Path(folder) / f"{port}.js"
        script.write_text(NODE % port)
        self.tools, self.name, self.port = tools, f"node{port}", port
        self.process = subprocess.Popen(
            [tools.reuseportd, "run", "--service", self.name, "--workers", "2", *options, "--",
             "node", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if f"{self.name}: started:" in line:
                break
        else:
            sys.exit("tools/bench: Node has not started")
        self.pids = [row["pid"] for row in
                     json.loads(command(tools, "status", self.name, "--json"))["workers"]]

    def load(self, seconds):
        return load(self.tools, self.port, self.pids, seconds)

    def stop(self):
        command(self.tools, "stop", self.name)
        self.process.communicate()


def measure_node(tools, rounds, pairs, seconds):
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        for number in range(rounds):
            # The second service may be placed worse by the kernel: each is the second in turn.
            options = [(), ("--http",)]
            services = [NodeService(tools, folder, PORT + i, *options[(i + number) % 2])
                        for i in range(2)]
            off, on = services[::-1] if number % 2 else services
            for service in services:
                service.load(2 * seconds)  # until its code is compiled
            rows += [in_turns(i, lambda: off.load(seconds), lambda: on.load(seconds))
                     for i in range(pairs)]
            for service in services:
                service.stop()
    return rows


def measure_http(tools, quick, progress):
    seconds = 0.3 if quick else 1
    result = {}
    progress("the cost of counting HTTP responses of C workers")
    result["C workers"] = measure_workers(tools, 2 if quick else 41, seconds)
    if shutil.which("node"):
        progress("the cost of counting HTTP responses of Node")
        result["Node"] = measure_node(tools, 1 if quick else 8, 2 if quick else 6, seconds)
    return {server: {"pairs": rows, **ratios(rows)} for server, rows in result.items()}


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
