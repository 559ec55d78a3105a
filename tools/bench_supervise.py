# SPDX-License-Identifier: BSD-2-Clause
"""How long a supervisor takes for one service while another service, a local user or a client floods
it: the measurement of `tools/bench supervise`."""
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUIET, NOISY = "bench-quiet", "bench-noisy"
PORT, METRICS = 8080, 9000
TIMES_LIMIT, SLACK_MS = 2, 200  # at most twice the time of a quiet supervisor, and this much more
PATIENCE = 10  # seconds: what takes longer counts as this
RUN = Path("/run/reuseportd")


class Flood:
    """@worker: the attack that each worker of the noisy service executes as `nobody`. @outside:
    attacks of other processes, each a list that begins with a user; @node: the worker has a channel;
    @files: the supervisor's limit of open files; @options: of the noisy service."""

    def __init__(self, name, worker=None, outside=(), workers=1, node=False, files=None, **options):
        self.name, self.worker, self.outside, self.workers = name, worker, outside, workers
        self.node, self.files = node, files
        self.options = {"ready": "alive:100ms", "user": "nobody", **options}


FLOODS = (
    Flood("quiet"),
    Flood("listen() on any port", ["listen_on_any_port"]),
    Flood("listen() on named ports", ["listen_on_named_ports"]),
    Flood("listen() on many addresses", ["listen_on_many_addresses"]),
    Flood("10,000 listeners, 100 listen()/s", ["keep_listeners", "10000"]),
    Flood("nested messages", ["nested_messages"], node=True),
    Flood("nested messages of 16 workers", ["nested_messages"], workers=16, node=True),
    Flood("a message without end", ["endless_message"], node=True),
    Flood("\"ready\" without end", ["ready_messages"], node=True),
    Flood("sd_notify of a local user", outside=[["daemon", "notifications", f"{RUN}/{NOISY}/notify"]],
          workers=64, user="root", ready="notify"),
    Flood("out-of-band messages", ["out_of_band_message"], node=True),
    Flood("sockets that linger, in messages", ["lingering_descriptors"], node=True),
    Flood("sockets that linger, in sd_notify",
          outside=[["daemon", "lingering_descriptors", f"{RUN}/{NOISY}/notify"]],
          user="root", ready="notify"),
    Flood("a million epoll watches", ["epoll_watches", "8090"]),
    Flood("output", ["output"]),
    Flood("4 clients that scrape", outside=4 * [["daemon", "scrapes", METRICS]]),
    Flood("control clients that send nothing",
          outside=[["root", "control_clients", f"{RUN}/{QUIET}/control", "200"]]),
    Flood("control clients, half a request",
          outside=[["root", "control_clients", f"{RUN}/{QUIET}/control", "200", "{\"do\": \"re"]]),
    Flood("control clients, file limit",
          outside=[["root", "control_clients", f"{RUN}/{NOISY}/control", "200"]], files=160),
)
# One flood of each origin: listeners, messages of a worker, a local user, clients.
QUICK_FLOODS = "listen.. on named ports|nested messages$|sd_notify of a local user|scrape|half a request"


def fail(text):
    sys.exit(f"tools/bench: {text}")


class Supervisor:
    """A supervisor of two services, with the flood. The quiet service has one worker."""

    def __init__(self, tools, flood):
        self.tools, self.flood = tools, flood
        self.folder = tempfile.TemporaryDirectory(prefix="bench.")
        self.home = Path(self.folder.name)
        os.chmod(self.home, 0o755)
        self.log = self.home / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*(["prlimit", f"--nofile={flood.files}"] if flood.files else []),
                 tools.reuseportd, "run", "--metrics", f"127.0.0.1:{METRICS}", self.write_file()], stdout=subprocess.DEVNULL, stderr=log)
        self.started = self.wait_started()
        self.attacks = [subprocess.Popen(["setpriv", "--reuid", user, "--clear-groups",
                                          tools.attack, *map(str, words)])
                        for user, *words in flood.outside]

    def wait_started(self):
        """Waits for the start. Returns whether both services have started in time. A worker that listens
        on too many addresses may be refused before it is ready, and goes on with its flood."""
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            log = self.log.read_text(errors="replace")
            if self.process.poll() is not None:
                fail(f"{self.flood.name}: {log}")
            if f"{QUIET}: started" in log and re.search(
                    f"{NOISY}: (started|slot 0: .* can't be used)", log):
                return True
            time.sleep(0.05)
        return False

    def write_file(self):
        flood, options = self.flood, self.flood.options
        command = ["sleep", "1000"]
        if flood.worker:
            command = [str(self.tools.attack), *flood.worker]
        if flood.node:  # the name of the program makes the supervisor give a channel
            node = self.home / "node"
            node.symlink_to(self.tools.attack)
            command[0] = str(node)
        if options["ready"] == "notify":
            script = self.home / "notify"
            script.write_text("#!/bin/sh\nsystemd-notify --ready --pid=$$\nexec sleep 1000\n")
            script.chmod(0o755)
            command = [str(script)]
        conf = self.home / "conf"
        conf.write_text(
            f"[service {QUIET}]\ncommand = {self.tools.worker} --port {PORT} --no-reuseport\n"
            f"workers = 1\nlisten = {PORT}\nsettle = 100ms\nbackoff = 1ms..1ms\n"
            "min-uptime = 1ms\n"
            f"[service {NOISY}]\ncommand = {' '.join(command)}\nworkers = {flood.workers}\n" +
            "".join(f"{key} = {value}\n" for key, value in options.items()))
        return conf

    def ask(self):
        """The pid of the worker that answers a new connection; None if it is not answered, as by a
        worker in its last moment."""
        answer = ""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", PORT), PATIENCE) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                answer = client.recv(4096).decode()
        found = re.search(r"(?im)^x-worker: *(\d+)", answer)
        return int(found[1]) if found else None

    def replace(self):
        """Milliseconds from the death of the worker until another answers a new connection, which
        waits meanwhile."""
        pid = self.ask()
        if not pid:
            return PATIENCE * 1000
        start = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while time.perf_counter() < start + PATIENCE and self.ask() in (None, pid):
            pass
        return (time.perf_counter() - start) * 1000

    def restart(self):
        start = time.perf_counter()
        try:
            done = subprocess.run([self.tools.reuseportd, "restart", QUIET, "0"], timeout=PATIENCE,
                                  capture_output=True, text=True)
            if done.returncode:
                print(f"tools/bench: {self.flood.name}: restart: {done.stderr}", file=sys.stderr)
                return PATIENCE * 1000
        except subprocess.TimeoutExpired:
            pass
        return (time.perf_counter() - start) * 1000

    def stop(self):
        for attack in self.attacks:
            attack.kill()
            attack.wait()
        self.process.terminate()
        try:
            self.process.wait(6 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for name in QUIET, NOISY:  # if it was killed
            subprocess.run([self.tools.reuseportd, "stop", name], capture_output=True)
        self.folder.cleanup()


def measure_flood(tools, flood, rounds):
    supervisor = Supervisor(tools, flood)
    if flood is FLOODS[0] and not supervisor.started:
        fail(f"the services have not started: {supervisor.log.read_text(errors='replace')}")
    took = {"replace": [], "restart": []}
    try:
        time.sleep(1)  # the flood goes on
        while len(took["restart"]) < rounds and max([0, *took["restart"]]) < PATIENCE * 1000:
            for what, act in (("replace", supervisor.replace), ("restart", supervisor.restart)):
                took[what].append(act() if supervisor.started else PATIENCE * 1000)
    finally:
        supervisor.stop()
    print(f"  {flood.name}: {took}", file=sys.stderr)
    return {"flood": flood.name, **{what: {"median_ms": statistics.median(ms), "max_ms": max(ms),
                                           "ms": ms} for what, ms in took.items()}}


def measure_supervise(tools, quick, only=None):
    rounds = 3 if quick else 15
    only = only or (QUICK_FLOODS if quick else "")
    floods = [flood for flood in FLOODS if re.search(f"quiet|{only}", flood.name)]
    return {"rounds": rounds, "rows": [measure_flood(tools, flood, rounds) for flood in floods]}


def verdicts_supervise(result):
    """For each flood the excess over the limit, which depends on the quiet time."""
    quiet, *floods = result["rows"]
    return [{"name": f"{what} under '{row['flood']}', ms", "value": row[what]["median_ms"],
             "limit": limit, "ok": row[what]["median_ms"] <= limit}
            for what in ("replace", "restart")
            for limit in [TIMES_LIMIT * quiet[what]["median_ms"] + SLACK_MS]
            for row in floods]


def print_supervise(result):
    print("\n\nOne service while something floods its supervisor: milliseconds, median of "
          f"{result['rounds']} and the longest\n")
    print(f"  {'':36}{'worker replaced':>20}{'restart':>20}")
    for row in result["rows"]:
        print(f"  {row['flood']:36}" + "".join(
            f"{row[what]['median_ms']:12.0f}{row[what]['max_ms']:8.0f}"
            for what in ("replace", "restart")))
    print(f"""
  worker replaced: from the SIGKILL of the only worker of a service until a new
  connection is answered. restart: the command `restart`, with --settle 100ms.
  The flood comes from another service of the same supervisor, or from a local
  user. Limit of the medians: {TIMES_LIMIT} times the quiet time, and {SLACK_MS} ms.""")
