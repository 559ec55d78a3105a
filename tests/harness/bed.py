# SPDX-License-Identifier: BSD-2-Clause
"""The sandbox that each e2e test runs in, and what tests say things with.

A test is a function test_*(bed) in a file test_*.py. `run` gives each of them network, mount and
PID namespaces of its own, so tests can use the same port, kill what they like and run side by side,
and nothing can outlive them. The bed is then also witness that nothing tries to: after each test it
detaches what is attached, stops what the test started, and looks for whatever is left.

What a test has to wait for it waits for by a condition with a deadline (wait_until), never by time.
"""
import collections
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

from harness.bpf import below, open_ids, pinned_ids

BPFFS = pathlib.Path("/sys/fs/bpf")
PINS = BPFFS / "reuseportd"
PORT = 8080  # every bed has a network namespace of its own
# The two ends of a delayed link (Bed.link), and the prefix lengths.
NEAR = ("10.9.0.1", "fd09::1")
FAR = ("10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "fd09::2")
NET = {address: 64 if ":" in address else 24 for address in NEAR + FAR}
DEADLINE = 20  # seconds that a condition may take to come true, on a slow and busy machine
# All deadlines are that much longer: RPD_SLOW, such as 10 on an emulated machine (vmtest).
SLOW = int(os.environ.get("RPD_SLOW", "1"))


class Failure(AssertionError):
    """What was to be shown is not so."""


class Skip(Exception):
    """The test can't run here."""


# What the runner is to know of a test


def alone(test):
    """Sensitive to timing: run while no other test runs."""
    test.alone = True
    return test


def timeout(seconds):
    """The test may take that long; without it, as `run` says."""
    def mark(test):
        test.timeout = seconds
        return test
    return mark


def cases(*names):
    """One test for each of the names: the test gets it as second argument."""
    def mark(test):
        test.cases = names
        return test
    return mark


# Saying what must be so


def check(condition, message):
    if not condition:
        raise Failure(message)


def timeless(status):
    """Without what is another a moment later."""
    workers = [{key: value for key, value in row.items() if key not in ("age_seconds", "rate")}
               for row in status["workers"]]
    return {**status, "workers": workers}


def equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: is\n    {got!r}\n  should be\n    {want!r}")


def wait_until(condition, what, deadline=DEADLINE, interval=0.01):
    """Calls @condition until it is true, and returns what it returned."""
    end = time.monotonic() + deadline * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"after {deadline * SLOW} s still not: {what}")
        time.sleep(interval)


def note(text):
    """A figure worth seeing also when the test passes."""
    print(f"note: {text}", flush=True)


def cgroup2():
    """Where it is mounted; the bed has a part of its own of it."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(mount)
    raise Failure("cgroup2 is not mounted")


class Result:
    """How a command ended."""

    def __init__(self, argv, code, out, err, returned):
        self.argv, self.code, self.out, self.err = argv, code, out, err
        self.returned = returned  # time.monotonic() right after it

    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            raise Failure(f"{self}: its output is no JSON") from None

    def __str__(self):
        return f"{shlex.join(self.argv)}: exit status {self.code}\n{self.out}{self.err}"


class Process:
    """A program in the background; its output goes to files of the bed's directory."""

    def __init__(self, bed, argv, name, netns=None, env=None, stdin=subprocess.DEVNULL, cwd=None):
        bed.n_processes += 1
        self.name = f"{name}-{bed.n_processes}"
        self.argv = [str(arg) for arg in argv]
        self.out, self.err = bed.dir / f"{self.name}.out", bed.dir / f"{self.name}.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.popen = subprocess.Popen(bed.in_netns(netns) + self.argv, stdin=stdin, stdout=out,
                                          stderr=err, env=env, cwd=cwd or bed.dir)
        self.pid = self.popen.pid
        bed.processes.append(self)

    def alive(self):
        return self.popen.poll() is None

    def output(self):
        """All it has written by now."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def wait_output(self, text, deadline=DEADLINE):
        wait_until(lambda: text in self.output() or not self.alive(),
                   f"{self.name} says '{text}'", deadline)
        check(text in self.output(), f"{self.name} ended without saying '{text}':\n{self.output()}")

    def kill(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def wait(self, deadline=DEADLINE):
        """Returns the exit status; negative: the signal that killed it."""
        try:
            return self.popen.wait(deadline * SLOW)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended after {deadline * SLOW} s") from None

    def stop(self, number=signal.SIGTERM, deadline=10):
        """Ends it and returns the exit status; by SIGKILL if it doesn't obey."""
        self.kill(number)
        try:
            return self.popen.wait(deadline * SLOW)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


class Load(Process):
    """The load generator in the background."""

    def stop(self, number=signal.SIGTERM, deadline=30):
        """Ends it and returns its report."""
        super().stop(number, deadline)
        return self.report()

    def stop_unfailed(self):
        """Ends it, sees that no connection has failed, and returns its report."""
        report = self.stop()
        end = time.monotonic()
        failed = [row for row in read_log(self.log) if row.outcome != "ok"]
        check(report["failed"] == 0 and not failed, "failed connections: " + "".join(
            f"\n    {row.outcome}, begun {end - row.begin:.6f} s and ended {end - row.end:.6f} s "
            f"before the end" for row in failed[:10]) + f"\n  of {report}")
        return report

    def stop_undrained(self):
        """The same where listeners closed that were not drained. What is queued and who is shaking
        hands migrates; only an ACK that the kernel handles in the very moment in which its listener
        closes is answered by a reset (in 3 of 440 such closes, when we measured)."""
        report = self.stop()
        check(report["failed"] == report["reset"] <= 2, f"failed connections of {report}")
        return report

    def finish(self, deadline=120):
        """Waits for its end and returns its report."""
        self.wait(deadline)
        return self.report()

    def report(self):
        try:
            return json.loads(self.out.read_text().splitlines()[-1])
        except (ValueError, IndexError):
            raise Failure(f"loadgen gave no report:\n{self.output()}") from None


class FullPipe:
    """One that takes not a byte more, from the start, as nobody reads it."""

    def __init__(self, bed):
        path = bed.dir / f"pipe-{bed.n_processes}"
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.text = ""
        # What makes a command write its standard error there.
        self.as_stderr = ["sh", "-c", f'exec "$@" 2>{path}', "-"]
        self.fill()

    def fill(self):
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self.fd, b"." * (size - 1) + b"\n")

    def read_until(self, text):
        """Reads until that has come; returns all lines but those that have filled it."""
        def has_come():
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.text += os.read(self.fd, 65536).decode()
            return text in self.text
        wait_until(has_come, f"'{text}' comes out of the pipe")
        return [line for line in self.text.splitlines() if line.strip(".")]


@contextlib.contextmanager
def entered_netns(name):
    """Sockets that are made herein belong to the network namespace; None: to the test's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as home, \
            open(f"/run/netns/{name}" if name else "/proc/self/ns/net", "rb") as there:
        check(libc.setns(there.fileno(), 0) == 0, f"can't enter {name}")
        try:
            yield
        finally:
            check(libc.setns(home.fileno(), 0) == 0, "can't come back")


class Client:
    """One connection, made at once and held open; ask() asks and returns who answers."""

    def __init__(self, host="127.0.0.1", port=PORT, source=None, netns=None, seconds=10):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with entered_netns(netns):
            self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(seconds * SLOW)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))
        self.head, self.body = "", ""

    def send(self, path="/"):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())

    def receive(self):
        """Reads one answer with a Content-Length; returns its X-Worker."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(4096)
            check(more, "the server closed the connection before it answered")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        self.head = head.decode()
        check(self.head.startswith("HTTP/1.1 200 "), f"no good answer: {self.head}")
        length = re.search(r"(?im)^content-length: *(\d+)", self.head)
        while length and len(body) < int(length[1]):
            more = self.socket.recv(4096)
            check(more, "the server closed the connection within its answer")
            body += more
        self.body = body.decode()
        return re.search(r"(?im)^x-worker: *(\S+)", self.head)[1]

    def ask(self, path="/"):
        self.send(path)
        return self.receive()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


Logged = collections.namedtuple("Logged", "begin end target worker outcome")


def read_log(path):
    """What loadgen --log wrote: a row for each connection; times as time.monotonic() has them."""
    rows = []
    with open(path, encoding="ascii") as log:
        for line in log:
            begin, end, target, worker, outcome = line.split()
            rows.append(Logged(int(begin) / 1e6, int(end) / 1e6, int(target), worker, outcome))
    return rows


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
        """The path of a server's program, or the test is over."""
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path:
            return path
        if self.allow_missing:
            raise Skip(f"{name} is not installed")
        raise Failure(f"{name} is not installed (--allow-missing makes that a skip)")

    def binary(self, name):
        """The path of one of our own programs."""
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
        """Runs a command of reuseportd, which must end with @status (None: as it likes)."""
        result = self.run(self.binary("reuseportd"), *args, **options)
        if args and args[0] == "attach":
            self.remember_pinned()
        if status is not None and result.code != status:
            raise Failure(f"{result}(exit status should be {status})")
        return result

    def status(self, *service):
        return self.reuseportd("status", *service, "--json").json()

    def steered(self, *service):
        """Connections steered by now, by slot."""
        return {worker["slot"]: worker["steered"] for worker in self.status(*service)["workers"]}

    def start_watch(self, *args, notify=True, under=(), **options):
        """`attach --watch ARGS` in the background, run by the command @under if that is given;
        returns when it says that it is ready."""
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

        def hear():
            try:
                while True:
                    watch.notices.append(inbox.recv(4096).decode())
            except BlockingIOError:
                return watch.notices
        watch.hear = hear if notify else None
        if notify:
            wait_until(lambda: "READY=1" in hear() or not watch.alive(), "READY=1 from the watcher")
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
        """The load generator, all but what it is to do."""
        return [self.binary("loadgen"), *self.targets(*hosts), "--json", "--quiet",
                "--timeout", 5000 * SLOW]

    def load(self, *args, hosts=("127.0.0.1",), netns=None, deadline=120):
        """Runs loadgen to its end and returns its report."""
        result = self.run(*self.loadgen(hosts), *args, netns=netns, deadline=deadline)
        check(result.code in (0, 1), f"{result}")
        return json.loads(result.out.splitlines()[-1])

    def start_load(self, *args, hosts=("127.0.0.1",), netns=None):
        """Starts loadgen; returns when it has connections answered."""
        log = self.dir / f"load-{self.n_processes}.log"
        load = Load(self, [*self.loadgen(hosts), "--log", log, *args], "loadgen", netns=netns)
        load.log = log
        wait_until(lambda: not load.alive() or (log.exists() and log.stat().st_size), "load runs")
        return load

    def hold(self, n, *args, **kwargs):
        """@n connections, all open at the same time before the first question is asked."""
        return [Client(*args, **kwargs) for _ in range(n)]

    # Network namespaces

    def in_netns(self, name):
        return ["nsenter", f"--net=/run/netns/{name}"] if name else []

    def netns(self, name):
        """Makes a further network namespace; servers, commands and load can be started there."""
        self.must("ip", "netns", "add", name)
        self.must("ip", "-n", name, "link", "set", "lo", "up")
        self.netns_names.add(name)
        return name

    def link(self, delay_us=5000, netns="far"):
        """A further network namespace, across a link of that one-way delay. From there this one is
        at bed.NEAR; loadgen runs there with netns="far"."""
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
        """Notes the ids of all that is pinned, so as to look for them when the test is over."""
        for kind, number in pinned_ids(PINS):
            self.seen[kind].add(number)

    def remember_open(self, pid):
        """The same for what a process has open."""
        for kind, number in open_ids(pid):
            self.seen[kind].add(number)

    def left_bpf(self):
        left = []
        for kind, ids in self.seen.items():
            if ids:
                shown = self.run("bpftool", "--json", kind, "show")
                if shown.code:  # something went away while it looked
                    return [f"{shown}"]
                rows = json.loads(shown.out or "[]")
                left += [f"BPF {kind} {row['id']} ({row.get('name', row.get('type'))})"
                         for row in rows if row["id"] in ids]
        return left

    def left_processes(self):
        """All but init, which is the runner's, and ourselves."""
        left = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
                try:
                    left.append(f"process {entry.name}: " + (entry / "comm").read_text().strip())
                except OSError:
                    pass  # gone meanwhile
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
        """Those of the workers of a service that is run."""
        return cgroup2().glob(f"reuseportd/{service}/*/")

    def leftovers(self):
        return self.left_processes() + self.left_files() + self.left_bpf()

    def ending(self, service):
        """The command that ends it: `stop` if it is run."""
        shown = self.reuseportd("list", "--json", status=None)
        run = shown.code == 0 and any(row.get("run") and row["service"] == service
                                      for row in shown.json())
        return ("stop" if run else "detach", service)

    def close(self):
        """Detaches, stops all that was started, and returns what is left nevertheless."""
        left = []
        for process in self.processes:
            if process.name.startswith("watch-"):
                process.stop()
        if PINS.exists():
            for service in sorted(path.name for path in PINS.iterdir()):
                try:
                    self.reuseportd(*self.ending(service), deadline=20)
                except Failure as why:
                    left.append(str(why))
            left += self.left_files()
        for server in reversed(self.servers):
            if server.process:  # else it could not be started
                server.stop()
        for process in reversed(self.processes):
            if process.alive():
                Process.stop(process, signal.SIGKILL)
        for name in self.netns_names:
            self.run("ip", "netns", "delete", name)
        try:
            # The kernel frees programs and maps after grace periods, long ones on a busy machine.
            wait_until(lambda: not self.leftovers(), "nothing is left", 30, 0.05)
        except Failure:
            left += self.leftovers()
        return left

    def logs(self, limit=3000):
        """The end of each log, for a test that failed."""
        text = ""
        for path in sorted(self.dir.glob("**/*")):
            if path.is_file() and path.suffix in (".out", ".err") and path.stat().st_size:
                text += f"--- {path.name}\n{path.read_text(errors='replace')[-limit:]}\n"
        return text
