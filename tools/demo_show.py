#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The steps of tools/demo, which starts this program in separate namespaces. Argument: the build
folder.

Each step runs a command as a user would type it, generates load, draws how many connections each
worker got, and checks what reuseportd promises. Exit status 1 if a promise was not kept.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

WORKERS = 8
PORT = 8080
NODE_WORKERS, NODE_PORT, NODE_RATE = 4, 8081, 500
FOLDER = Path("/run/demo")  # on the namespace's own tmpfs
BPFFS = Path("/sys/fs/bpf")
BAR = 22
SETTLE = 1.0  # seconds of load before, between and after the commands

BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
REUSEPORTD = BUILD / "user/reuseportd"
LOADGEN = BUILD / "tests/harness/loadgen"

# Each answer names its worker process. All paths are in the folder of the demo.
NGINX_CONF = """
user www-data;
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    keepalive_timeout 300;
    server {{
        listen {port} reuseport;
        default_type text/plain;
        add_header X-Worker $pid;
        return 200 "hello from worker $pid\\n";
    }}
}}
"""

# Listens on the descriptor that is its argument. /hang: an endless loop, once the answer is sent.
NODE = """
require('http').createServer((request, response) => {
    response.setHeader('X-Worker', process.pid);
    response.end('hello\\n', () => { while (request.url === '/hang'); });
}).listen({fd: Number(process.argv[1])});
"""

broken = []  # promises that were not kept


# ---- On the terminal ----

def styled(style, text):
    codes = {"bold": "1", "good": "32", "bad": "1;31", "dim": "2"}
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[{codes[style]}m{text}\033[0m"


def print_line(text=""):
    print(text, flush=True)


def headline(text):
    print_line("\n" + styled("bold", text) + "\n")


def promise(kept, text):
    if not kept:
        broken.append(text)
    print_line("  " + (styled("good", "[kept]   ") if kept else styled("bad", "[BROKEN] ")) + text)


def bar(value, longest):
    utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
    block, width = ("█" if utf8 else "#"), round(BAR * value / longest) if longest else 0
    return block * max(width, 1 if value else 0)


def chart(labels, *columns):
    """Prints columns side by side: a title, and a bar and a count for each label."""
    print_line("  " + " " * 12 + "".join(f"{title:<{BAR + 11}}" for title, _ in columns).rstrip())
    for i, label in enumerate(labels):
        line = f"  {label:<12}"
        for _, values in columns:
            drawn = f"{bar(values[i], max(values))} {values[i]:,}".lstrip()
            line += f"{drawn:<{BAR + 11}}"
        print_line(line.rstrip())
    print_line()


def unevenness(values):
    idle = sum(value == 0 for value in values)
    text = f"the busiest has {max(values) * len(values) / sum(values):.2f} times its share"
    return text + (f", {idle} of {len(values)} have none" if idle else "")


# ---- Commands ----

def reuseportd(*arguments, echo=True):
    """Prints and runs a command. Returns its output."""
    words = [str(word) for word in arguments]
    if echo:
        print_line("  " + styled("bold", "$ reuseportd " + " ".join(words)))
    done = subprocess.run([REUSEPORTD, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print_line(done.stderr.rstrip())
        sys.exit(f"tools/demo: `reuseportd {' '.join(words)}` failed")
    if echo:
        for line in done.stdout.rstrip().splitlines():
            print_line("  " + styled("dim", line) if line else "")
        print_line()
    return done.stdout


def status(*service):
    return json.loads(reuseportd("status", *service, "--json", echo=False))


# ---- Servers ----

class Nginx:
    """An nginx. All its workers listen on the port once the constructor returns."""

    def __init__(self, name, workers):
        before = set(nginx_workers())
        folder = FOLDER / name
        folder.mkdir(parents=True)
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(workers=workers, folder=folder, port=PORT))
        subprocess.Popen(["nginx", "-e", "stderr", "-p", folder, "-c", conf])
        wait_until(lambda: len(self.find(before)) == workers, "nginx did not start")
        self.pids = self.find(before)

    @staticmethod
    def find(before):
        return [pid for pid in nginx_workers() if pid not in before and polls(pid)]


def start_node():
    """Starts a Node server with a listener of its own. Returns its process once it polls."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", NODE_PORT))
        listener.listen(511)
        process = subprocess.Popen(["node", "-e", NODE, str(listener.fileno())],
                                   pass_fds=[listener.fileno()])
    wait_until(lambda: polls(process.pid), "Node did not start")
    return process


def hang_one():
    """Makes the worker that gets the next connection hang. Returns its pid."""
    with socket.create_connection(("127.0.0.1", NODE_PORT), 10) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: demo\r\n\r\n")
        return int(re.search(rb"X-Worker: (\d+)", client.recv(4096))[1])


def nginx_workers():
    """The pids of all nginx workers in this process namespace."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"nginx: worker process"):
                pids.append(int(folder.name))
        except OSError:
            pass  # the process has just ended
    return sorted(pids)


def polls(pid):
    """Whether the process has an epoll instance that watches a descriptor."""
    try:
        return any("tfd:" in info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())
    except OSError:
        return False


def wait_until(ready, complaint):
    deadline = time.monotonic() + 10
    while not ready():
        if time.monotonic() > deadline:
            sys.exit(f"tools/demo: {complaint}")
        time.sleep(0.02)


# ---- Load ----

def loadgen(*options, port=PORT):
    """Starts clients that reset each connection after a complete answer, so that no TIME_WAIT
    remains."""
    command = [LOADGEN, "--target", f"127.0.0.1:{port}", "--linger0", "--json", *map(str, options)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def report(client):
    printed, _ = client.communicate()
    return json.loads(printed.splitlines()[-1])


def connect(count):
    """Opens connections with a request each. Returns the answers by pid, and the failures."""
    result = report(loadgen("--connections", count, "--concurrency", 16))
    return Counter({int(pid): n for pid, n in result["workers"].items()}), result["failed"]


class Held:
    """Connections that stay open until they are released."""

    def __init__(self, count):
        self.client = loadgen("--connections", count, "--hold")
        while (line := self.client.stdout.readline()) and not line.startswith("holding"):
            pass

    def release(self):
        result = report(self.client)  # the end of its standard input is its sign
        return Counter({int(pid): n for pid, n in result["workers"].items()}), result["failed"]


class FullLoad:
    """New connections at the highest possible rate, or at that of @options, each of them logged."""

    def __init__(self, name, *options, port=PORT):
        self.log = FOLDER / f"{name}.log"
        self.client = loadgen("--concurrency", 64, "--log", self.log, *options, port=port)
        time.sleep(SETTLE)

    def stop(self):
        time.sleep(SETTLE)
        self.client.send_signal(signal.SIGTERM)
        self.result = report(self.client)
        self.connections = []
        for line in self.log.read_text().splitlines():
            begin, end, _, worker, outcome = line.split()
            if outcome == "ok":
                self.connections.append((int(begin) / 1e6, int(worker), int(end) / 1e6))
        self.log.unlink()
        return self.result["failed"]

    def between(self, start, end):
        """Answers by pid, of the connections that began in that time (of time.monotonic())."""
        return Counter(pid for begin, pid, _ in self.connections if start <= begin < end)

    def waiting(self, moment):
        """How many connections waited at that time for more than half a second."""
        return sum(begin < moment - 0.5 and moment < end for begin, _, end in self.connections)

    def summary(self):
        return (f"0 of {self.result['begun']:,} connections failed" if not self.result["failed"] else
                f"{self.result['failed']} of {self.result['begun']:,} connections FAILED")


def listed(counts, pids):
    return [counts[pid] for pid in pids]


SLOTS = [f"slot {slot}" for slot in range(WORKERS)]


# ---- The steps ----

def show_hash(nginx):
    headline(f"1. Plain SO_REUSEPORT: nginx, {WORKERS} workers; the kernel's hash distributes")
    short, failed = connect(400)
    held, failed_held = Held(64).release()
    chart([f"pid {pid}" for pid in nginx.pids], ("400 connections", listed(short, nginx.pids)),
          ("64 that stay open", listed(held, nginx.pids)))
    print_line("  Of 400 " + unevenness(listed(short, nginx.pids)) + ";")
    print_line("  of 64 " + unevenness(listed(held, nginx.pids)) + ".")
    if failed or failed_held:
        promise(False, f"{failed + failed_held} connections failed before anything was steered")


def show_attach():
    headline("2. One command, and every worker gets exactly its share")
    reuseportd("attach", "--workers", WORKERS)
    pids = [worker["pid"] for worker in status()["workers"]]
    short, failed = connect(400)
    held, failed_held = Held(64).release()
    chart(SLOTS, ("400 connections", listed(short, pids)), ("64 that stay open", listed(held, pids)))
    promise(listed(short, pids) == [400 // WORKERS] * WORKERS and
            listed(held, pids) == [64 // WORKERS] * WORKERS, "exactly equal shares")
    promise(not failed and not failed_held, "no connection failed")
    return pids


def show_drain(pids):
    headline("3. Drain slot 3 under full load")
    print_line("  64 clients connect at the highest possible rate, before, during and after:\n")
    load = FullLoad("drain")
    start = time.monotonic()
    reuseportd("drain", 3)
    drained = time.monotonic()
    time.sleep(SETTLE)
    end = time.monotonic()
    reuseportd("resume", 3)
    resumed = time.monotonic()
    failed = load.stop()
    after = load.between(drained, end)
    chart(SLOTS, ("before the drain", listed(load.between(0, start), pids)),
          ("after it returned", listed(after, pids)))
    promise(after.total() > 0 and after[pids[3]] == 0,
            f"after `drain 3` slot 3 got {after[pids[3]]} of {after.total():,} connections")
    promise(load.between(resumed, end + 60)[pids[3]] > 0, "after `resume 3` it gets its share again")
    promise(failed == 0, load.summary())


def show_swap(pids):
    headline("4. Swap slot 5 to a new nginx under full load")
    new = Nginx("new", 1).pids[0]
    old = pids[5]
    print_line(f"  A second nginx listens on the same port; its worker is pid {new}. It gets no\n"
        "  connection until it is admitted:\n")
    load = FullLoad("swap")
    start = time.monotonic()
    reuseportd("swap", 5, "--pid", new)
    swapped = time.monotonic()
    failed = load.stop()
    before, after = load.between(0, start), load.between(swapped, swapped + 60)
    labels = SLOTS[:5] + ["slot 5, old", "slot 5, new"] + SLOTS[6:]
    everyone = pids[:6] + [new] + pids[6:]
    chart(labels, ("before the swap", listed(before, everyone)),
          ("after it returned", listed(after, everyone)))
    promise(before[new] == 0 and after[new] > 0 and after[old] == 0,
            f"the new worker got {before[new]} before, the old one {after[old]} after")
    promise(failed == 0, load.summary())
    pids[5] = new


def show_canary(pids):
    headline("5. Give the new version 5 % of the connections")
    reuseportd("canary", 5, "--share", 5)
    ring = status()["ring"]["length"]
    turns = -(-1000 // ring)
    count = ring * turns
    counts, failed = connect(count)
    shares = listed(counts, pids)
    chart(SLOTS, (f"{count:,} connections", shares))
    rest = shares[:5] + shares[6:]
    promise(shares[5] * 100 == 5 * count and len(set(rest)) == 1,
            f"slot 5 got exactly 5 % ({shares[5]} of {count:,}), the others {rest[0]} each")
    promise(not failed, "no connection failed")


def show_hang():
    headline(f"6. One of {NODE_WORKERS} Node servers hangs in an endless loop")
    servers = {server.pid: server for server in [start_node() for _ in range(NODE_WORKERS)]}
    reuseportd("attach", "--workers", NODE_WORKERS, "--port", NODE_PORT, "--service", "node",
               "--skip-stuck", "1ms")
    pids = [worker["pid"] for worker in status("node")["workers"]]
    hung = hang_one()
    print_line(f"  The server in slot {pids.index(hung)} hangs. {NODE_RATE} clients connect each "
               "second:\n")
    load = FullLoad("hang", "--rate", NODE_RATE, port=NODE_PORT)
    reuseportd("status", "node")
    ended = time.monotonic()
    servers[hung].kill()
    servers[hung].wait()
    failed = load.stop()
    waiting = load.waiting(ended)
    chart([f"slot {slot}" for slot in range(NODE_WORKERS)],
          ("while it hung", listed(load.between(0, ended), pids)))
    answered = load.between(0, ended).total()
    promise(20 * waiting < answered,
            f"{waiting} of {answered:,} clients wait for it: the others take its turns")
    print_line("  Then it is killed, and the others answer the clients that waited for it.")
    promise(failed == 0, load.summary())
    reuseportd("detach", "node", echo=False)
    for server in servers.values():
        server.kill()
        server.wait()


def show_detach(long_lived):
    headline("7. Detach: nothing is left")
    reuseportd("detach")
    _, failed = long_lived.release()
    promise(failed == 0, "64 connections from before step 3 have stayed open")
    _, failed = connect(400)
    promise(failed == 0, "no connection fails now: the kernel's hash distributes again")
    services = json.loads(reuseportd("list", "--json", echo=False))
    promise(not services and not (BPFFS / "reuseportd").exists(), "no service and no pin is left")


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    nginx = Nginx("first", WORKERS)
    show_hash(nginx)
    pids = show_attach()
    long_lived = Held(64)
    show_drain(pids)
    show_swap(pids)
    show_canary(pids)
    show_hang()
    show_detach(long_lived)
    if broken:
        print_line("\n" + styled("bad", "Not kept:"))
        for text in broken:
            print_line("  " + text)
        return 1
    print_line("\n" + styled("good", "All promises were kept.") +
               " `reuseportd --help` shows all commands.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
