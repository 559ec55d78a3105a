#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The steps of tools/demo, which starts this program in separate namespaces and in a control group.
Arguments: the build folder, the control group, and "deploy" for this step only.

Each step runs a command as a user would type it, generates load, draws how many connections each
worker got, and checks what reuseportd promises. Exit status 1 if a promise was not kept.
"""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from demo_servers import (FOLDER, NODE_PORT, NODE_RATE, NODE_WORKERS, PORT, SHOP_PORT, WORKERS,
                          Nginx, Shop, hang_one, start_node)
from demo_terminal import (BUILD, broken, chart, headline, print_line, promise, reuseportd, status,
                           styled)

BPFFS = Path("/sys/fs/bpf")
SETTLE = 1.0  # seconds of load before, between and after the commands
TICK = 0.5  # seconds of a line in a chart over time
LOADGEN = BUILD / "tests/harness/loadgen"


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
        self.connections, self.errors = [], []
        for line in self.log.read_text().splitlines():
            begin, end, _, worker, outcome = line.split()
            if outcome == "ok":
                self.connections.append((int(begin) / 1e6, int(worker), int(end) / 1e6))
            elif outcome == "bad_answer":
                self.errors.append(int(begin) / 1e6)
        self.log.unlink()
        return self.result["failed"]

    def between(self, start, end):
        """Answers by pid, of the connections that began in that time (of time.monotonic())."""
        return Counter(pid for begin, pid, _ in self.connections if start <= begin < end)

    def errors_between(self, start, end):
        """How many connections of that time were answered with an error."""
        return sum(start <= begin < end for begin in self.errors)

    def waiting(self, moment):
        """How many connections waited at that time for more than half a second."""
        return sum(begin < moment - 0.5 and moment < end for begin, _, end in self.connections)

    def summary(self):
        return (f"0 of {self.result['begun']:,} connections failed" if not self.result["failed"] else
                f"{self.result['failed']} of {self.result['begun']:,} connections FAILED")


def listed(counts, pids):
    return [counts[pid] for pid in pids]


def unevenness(values):
    idle = sum(value == 0 for value in values)
    text = f"the busiest has {max(values) * len(values) / sum(values):.2f} times its share"
    return text + (f", {idle} of {len(values)} have none" if idle else "")


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


def show_deploy():
    headline("7. Deploy a bad version as a canary: it is taken out by itself")
    shop = Shop()
    old = shop.pids()
    bad = shop.program("v2.js", "n % 4 ? 200 : 500")
    print_line(f"  {NODE_RATE} clients connect each second. Version v2 answers every fourth one "
               "with an error:\n")
    load = FullLoad("deploy", "--rate", NODE_RATE, port=SHOP_PORT)
    start = time.monotonic()
    reuseportd("deploy", "shop", "--label", "v2", "--strategy", "canary", "--warm-up", 0, "--wait",
               "--", "node", bad, code=4)
    aborted = time.monotonic()
    failed = load.stop() - len(load.errors)
    chart_deploy(load, old, start, aborted)
    after = load.between(aborted, aborted + 60)
    stray = after.total() - sum(listed(after, old)) + load.errors_between(aborted, aborted + 60)
    promise(0 < len(load.errors) < 0.05 * load.result["begun"],
            f"{len(load.errors)} of {load.result['begun']:,} clients got an error")
    promise(stray == 0, f"after the end v2 got {stray} of {after.total():,} connections")
    promise(shop.pids() == old, "the slots have their old workers, which were not stopped")
    promise(failed == 0, f"{failed or 'no'} connection failed otherwise")
    shop.stop()


def chart_deploy(load, old, start, aborted):
    """Draws the share of the new version, and the errors, over time."""
    labels, shares, errors = [], [], []
    for i in range(-int(SETTLE / TICK), int((aborted - start + SETTLE) / TICK)):
        begin, end = start + i * TICK, start + (i + 1) * TICK
        answers, failed = load.between(begin, end), load.errors_between(begin, end)
        count = answers.total() + failed
        new = count - sum(listed(answers, old))
        labels.append(f"{i * TICK:+.1f} s")
        shares.append((new / count if count else 0, f"{new} of {count}"))
        errors.append(failed)
    chart(labels, ("connections to v2", *zip(*shares)), ("answers with status 500", errors))


def show_detach(long_lived):
    headline("8. Detach: nothing is left")
    reuseportd("detach")
    _, failed = long_lived.release()
    promise(failed == 0, "64 connections from before step 3 have stayed open")
    _, failed = connect(400)
    promise(failed == 0, "no connection fails now: the kernel's hash distributes again")
    services = json.loads(reuseportd("list", "--json", echo=False))
    promise(not services and not (BPFFS / "reuseportd").exists(), "no service and no pin is left")


def begin():
    """Sets up the parts of the sandbox that unshare(1) does not."""
    cgroup = Path(sys.argv[2])
    for command in (["ip", "link", "set", "lo", "up"],
                    ["mount", "-t", "bpf", "bpf", BPFFS],
                    ["mount", "--bind", cgroup, cgroup.parent],
                    ["mount", "-t", "tmpfs", "tmpfs", "/run"]):
        subprocess.run(command, check=True)


def show_all():
    nginx = Nginx("first", WORKERS)
    show_hash(nginx)
    pids = show_attach()
    long_lived = Held(64)
    show_drain(pids)
    show_swap(pids)
    show_canary(pids)
    show_hang()
    show_deploy()
    show_detach(long_lived)


def main():
    begin()
    if "deploy" in sys.argv[3:]:
        show_deploy()
    else:
        show_all()
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
