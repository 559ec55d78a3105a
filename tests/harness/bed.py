# SPDX-License-Identifier: BSD-2-Clause
"""The bed: the sandbox of an end-to-end test.

tests/e2e/run gives each test its own network, mount, cgroup and PID namespaces. So tests can use
the same port, kill any process and run at the same time, and no process outlives them. After each
test the bed detaches the services, stops the processes that the test started, and reports what
remains.

A test waits for a condition with a deadline (wait_until), never for a fixed time.
"""
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import time

from harness.bpf import below, open_ids, pinned_ids
from harness.checks import SLOW, Failure, Skip, check, wait_until
from harness.network import FAR, NEAR, NET, PORT, Client
from harness.process import Load, Process, Result

BPFFS = pathlib.Path("/sys/fs/bpf")
PINS = BPFFS / "reuseportd"


def cgroup2():
    """The mount point of cgroup2; the bed sees only its own part of it."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(mount)
    raise Failure("cgroup2 is not mounted")


class Bed:
    def __init__(self, build, directory, allow_missing=False):
        self.build = pathlib.Path(build).resolve()
        self.dir = pathlib.Path(directory)
        self.allow_missing = allow_missing
        self.processes = []
        self.servers = []
        self.n_processes = 0
        self.netns_names = set()
        self.seen = {"prog": set(), "map": set(), "link": set()}

    # Programs

    def program(self, name):
        """The path of a server program. If it is missing, the test fails or is skipped."""
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path:
            return path
        if self.allow_missing:
            raise Skip(f"{name} is not installed")
        raise Failure(f"{name} is not installed (with --allow-missing the test is skipped)")

    def binary(self, name):
        """The path of a program of this project."""
        for folder in ("user", "tests/harness"):
            path = self.build / folder / name
            if path.exists():
                return str(path)
        raise Failure(f"{self.build} has no {name}: build it")

    def run(self, *argv, netns=None, deadline=60, env=None, data=None):
        """Runs a command to its end."""
        argv = [str(arg) for arg in argv]
        try:
            done = subprocess.run(self.in_netns(netns) + argv, capture_output=True, text=True,
                                  timeout=deadline * SLOW, env=env, cwd=self.dir, check=False,
                                  input=data, stdin=None if data else subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failure(f"{shlex.join(argv)} has not ended after {deadline * SLOW} s") from None
        return Result(argv, done.returncode, done.stdout, done.stderr, time.monotonic())

    def start(self, *argv, name=None, **options):
        """Starts a program in the background."""
        return Process(self, argv, name or os.path.basename(str(argv[0])), **options)

    # reuseportd

    def reuseportd(self, *args, status=0, **options):
        """Runs a command of reuseportd, which must end with @status (None: any)."""
        result = self.run(self.binary("reuseportd"), *args, **options)
        if args and args[0] == "attach":
            self.remember_pinned()
        if status is not None and result.code != status:
            raise Failure(f"{result}(the expected exit status is {status})")
        return result

    def status(self, *service):
        return self.reuseportd("status", *service, "--json").json()

    def steered(self, *service):
        """Connections steered so far, by slot."""
        return {worker["slot"]: worker["steered"] for worker in self.status(*service)["workers"]}

    def start_watch(self, *args, notify=True, under=(), **options):
        """Starts `attach --watch ARGS` in the background, as argument of the command @under if
        given. Returns when it reports that it is ready."""
        env = dict(os.environ)
        if notify:
            path = self.dir / f"notify-{self.n_processes}"
            inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            inbox.bind(str(path))
            inbox.settimeout(0)
            env["NOTIFY_SOCKET"] = str(path)
        watch = self.start(*under, self.binary("reuseportd"), "attach", "--watch", *args,
                           name="watch", env=env, **options)
        watch.notices, watch.env = [], env

        def read_notices():
            try:
                while True:
                    watch.notices.append(inbox.recv(4096).decode())
            except BlockingIOError:
                return watch.notices
        watch.read_notices = read_notices if notify else None
        if notify:
            wait_until(lambda: "READY=1" in read_notices() or not watch.alive(),
                       "READY=1 from the watcher")
        check(watch.alive(), f"the watcher ended:\n{watch.output()}")
        self.remember_pinned()
        self.remember_open(watch.pid)
        return watch

    # Load

    def targets(self, *hosts, port=PORT):
        """Arguments for loadgen."""
        return [arg for host in hosts
                for arg in ("-t", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")]

    def loadgen(self, hosts):
        """The command line of loadgen without the load to generate."""
        return [self.binary("loadgen"), *self.targets(*hosts), "--json", "--quiet",
                "--timeout", 10000 * SLOW]

    def load(self, *args, hosts=("127.0.0.1",), netns=None, deadline=120):
        """Runs loadgen to its end and returns its report."""
        result = self.run(*self.loadgen(hosts), *args, netns=netns, deadline=deadline)
        check(result.code in (0, 1), f"{result}")
        return json.loads(result.out.splitlines()[-1])

    def start_load(self, *args, hosts=("127.0.0.1",), netns=None, wait=True):
        """Starts loadgen. Returns when a connection has ended, unless @wait is unset."""
        log = self.dir / f"load-{self.n_processes}.log"
        load = Load(self, [*self.loadgen(hosts), "--log", log, *args], "loadgen", netns=netns)
        load.log = log
        wait_until(lambda: not wait or not load.alive() or (log.exists() and log.stat().st_size),
                   "loadgen runs")
        return load

    def hold(self, n, *args, **kwargs):
        """Opens @n connections at the same time, without a request."""
        return [Client(*args, **kwargs) for _ in range(n)]

    # Network namespaces

    def in_netns(self, name):
        return ["nsenter", f"--net=/run/netns/{name}"] if name else []

    def netns(self, name):
        """Creates a further network namespace, in which servers, commands and load can be
        started."""
        self.must("ip", "netns", "add", name)
        self.must("ip", "-n", name, "link", "set", "lo", "up")
        self.netns_names.add(name)
        return name

    def link(self, delay_us=5000, netns="far"):
        """Creates a further network namespace across a link with that one-way delay. This side of
        the link has the addresses NEAR, the other side FAR."""
        self.netns(netns)
        link = self.start(self.binary("delaylink"), "--a", "self", "--b", f"/run/netns/{netns}",
                          "--addr-a", ",".join(f"{a}/{NET[a]}" for a in NEAR),
                          "--addr-b", ",".join(f"{a}/{NET[a]}" for a in FAR),
                          "--delay-us", delay_us)
        link.wait_output("ready")
        return link

    def must(self, *argv, **options):
        result = self.run(*argv, **options)
        check(result.code == 0, f"{result}")
        return result.out

    # The end

    def remember_pinned(self):
        """Notes the ids of all pinned objects, which must be gone after the test."""
        for kind, number in pinned_ids(PINS):
            self.seen[kind].add(number)

    def remember_open(self, pid):
        """Notes the ids of all objects that a process has open."""
        for kind, number in open_ids(pid):
            self.seen[kind].add(number)

    def left_bpf(self):
        left = []
        for kind, ids in self.seen.items():
            if ids:
                shown = self.run("bpftool", "--json", kind, "show")
                if shown.code:  # an object was freed meanwhile
                    return [f"{shown}"]
                rows = json.loads(shown.out or "[]")
                left += [f"BPF {kind} {row['id']} ({row.get('name', row.get('type'))})"
                         for row in rows if row["id"] in ids]
        return left

    def left_processes(self):
        """All processes except process 1, which belongs to the runner, and this one."""
        left = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
                try:
                    left.append(f"process {entry.name}: " + (entry / "comm").read_text().strip())
                except OSError:
                    pass  # the process has ended meanwhile
        return left

    def left_files(self):
        left = [f"pin {path}" for path in [PINS, *below(PINS)]] if PINS.exists() else []
        left += [f"file {path}" for path in below("/run") if "reuseportd" in path.name]
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            device, mount, kind, *_ = line.split()
            if kind == "cgroup2":
                left += [f"cgroup {path}" for path in below(mount) if "reuseportd" in path.name]
        return left

    def cgroups(self, service):
        """The cgroups of the workers of a service of `reuseportd run`."""
        return cgroup2().glob(f"reuseportd/{service}/*-*/")

    def log_process(self, service):
        """The pid of the log process of a service."""
        path = cgroup2() / f"reuseportd/{service}/log/cgroup.procs"
        return int(wait_until(path.read_text, "there is a log process").split()[-1])

    def leftovers(self):
        return self.left_processes() + self.left_files() + self.left_bpf()

    def end_command(self, service):
        """The command that ends a service: `stop` if `run` runs it, otherwise `detach`."""
        shown = self.reuseportd("list", "--json", status=None)
        run = shown.code == 0 and any(row.get("run") and row["service"] == service
                                      for row in shown.json())
        return ("stop" if run else "detach", service)

    def close(self):
        """Detaches the services, stops the processes, and returns what remains."""
        left = []
        for process in self.processes:
            if process.name.startswith("watch-"):
                process.stop()
        if PINS.exists():
            for service in sorted(path.name for path in PINS.iterdir()):
                try:
                    self.reuseportd(*self.end_command(service))
                except Failure as why:
                    left.append(str(why))
            left += self.left_files()
        for server in reversed(self.servers):
            if server.process:  # None if it could not be started
                server.stop()
        for process in reversed(self.processes):
            if process.alive():
                Process.stop(process, signal.SIGKILL)
        for name in self.netns_names:
            self.run("ip", "netns", "delete", name)
        try:
            # The kernel frees programs and maps after grace periods, long ones on a busy machine.
            wait_until(lambda: not self.leftovers(), "nothing is left", interval=0.05)
        except Failure:
            left += self.leftovers()
        return left

    def logs(self, limit=3000):
        """The end of each log, for a failed test."""
        text = ""
        for path in sorted(self.dir.glob("**/*")):
            if path.is_file() and path.suffix in (".out", ".err") and path.stat().st_size:
                text += f"--- {path.name}\n{path.read_text(errors='replace')[-limit:]}\n"
        return text
