# SPDX-License-Identifier: BSD-2-Clause
"""A worker holds a lock of the kernel without end: whoever needs that lock waits, and no signal
interrupts it. Another service of the same supervisor goes on as if nothing had happened."""
import contextlib
import ctypes
import os
import pathlib
import re
import signal
import socket

from harness.bed import PINS
from harness.checks import FULL, Failure, cases, check, equal, timeout, wait_until
from harness.network import PORT, Client
from harness.servers import Workers, listening_inodes

from test_attack_flood import NOISY, QUIET, Supervisor, attack_as, fuse
from test_attack_steering import SYS_PIDFD_GETFD, listener_fd


def attack(bed, kind, *options, **keywords):
    device, folder = fuse(bed)
    return Supervisor(bed, f"{bed.binary('attack')} stuck_{kind} {device} {folder} 8090",
                      "kill-timeout = 1s", *options, **keywords)


def test_connection(bed):
    """The lock of a connection: `status` and the supervisor look at listeners only."""
    s = attack(bed, "connection")
    s.process.wait_output("stuck")
    for _ in range(2):
        s.check_quiet()
    s.stop()


def test_drain(bed):
    """Without counting, the supervisor asks the kernel for the connections of the old worker."""
    s = attack(bed, "connection", "no-count", "drain-timeout = 3s")
    s.process.wait_output("stuck")
    bed.reuseportd("restart", "noisy", 0)
    s.process.wait_output("still has 1 connection")
    s.check_quiet()
    s.stop()


@cases("connections", "drain", "absent")
def test_commands(bed, command):
    """The lock of a connection: a command that needs it for each connection fails, and does not keep
    the lock of the service."""
    s = attack(bed, "connection")
    s.process.wait_output("stuck")
    if command == "absent":
        bed.reuseportd("status", "absent", status=1, deadline=30)
    elif command == "connections":
        refused = bed.reuseportd("connections", NOISY, status=1, deadline=30)
        check("keeps a lock of the kernel" in refused.err, f"the reason: {refused}")
    else:
        refused = bed.reuseportd("drain", 0, "--service", NOISY, "--force", "--wait",
                                 "--timeout", "100ms",
                                 status=1, deadline=30)
        check("keeps a lock of the kernel" in refused.err, f"the reason: {refused}")
    bed.reuseportd("status", NOISY, deadline=30)
    s.check_quiet()
    s.stop()


def start_attack(bed, kind, *words):
    """An attack of a process that reuseportd has not started."""
    device, folder = fuse(bed)
    os.chmod(bed.dir, 0o755)
    return attack_as(bed, "nobody", f"stuck_{kind}", device, folder, *words)


def test_attach(bed):
    """A user has nothing to do with the service, and keeps the lock of a connection: `attach` can't
    count the connections that are open already."""
    server = start_attack(bed, "connection", PORT + 10)
    server.wait_output("stuck")
    Workers(bed, 2)
    with Client() as client:
        client.ask()
        bed.reuseportd("attach", "--workers", 2, "--service", "web", deadline=30)
        refused = bed.reuseportd("drain", 0, "--service", "web", "--wait", status=1, deadline=30)
        check("some connections from before attach" in refused.err, f"the reason: {refused}")
    bed.reuseportd("detach", "web", deadline=30)


def test_attach_listener(bed):
    """A server keeps the lock of its listener: the program can't be attached by it."""
    server = start_attack(bed, "listener", PORT)
    server.wait_output("stuck")
    refused = bed.reuseportd("attach", "--workers", 1, "--service", "web", status=1, deadline=30)
    check("keeps a lock of the kernel" in refused.err, f"the reason: {refused}")


def test_detach_listener(bed):
    """The same once it is attached: it stays steered, and `detach` says so."""
    server = start_attack(bed, "listener", PORT, "later")
    wait_until(lambda: listening_inodes(bed), "the server listens")
    bed.reuseportd("attach", "--workers", 1, "--service", "web", deadline=30)
    server.kill(signal.SIGUSR1)
    server.wait_output("stuck")
    done = bed.reuseportd("detach", "web", deadline=30)
    check("it stays steered until its listeners close" in done.err, f"the note: {done}")


def test_datagrams(bed):
    """The lock of a datagram socket, when another worker says that its address is in use: the
    supervisor searches the sockets of all workers for the cause."""
    s = attack(bed, "datagrams", "ready = alive:100ms", "backoff = 100ms..100ms",
               "max-restarts = 1000", workers=2, started=[QUIET])
    s.process.wait_output("stuck")
    failures = s.process.output().count("Address already in use")
    for _ in range(2):
        s.check_quiet()
    wait_until(lambda: s.process.output().count("Address already in use") > failures,
               "the other worker fails again")
    s.stop()


@cases("epoll", "exec")
def test_process(bed, kind):
    """The lock of an epoll descriptor, and that of a process that executes a program: the supervisor
    can't find out which process has the listener."""
    s = attack(bed, kind, "backoff = 1s..1s", started=[QUIET])
    s.process.wait_output("keeps a lock of the kernel")
    for _ in range(2):
        s.check_quiet()
    s.stop()


def test_listener(bed):
    """The lock of its listener: the supervisor can't attach the steering program by it."""
    s = attack(bed, "listener", "backoff = 1s..1s", started=[QUIET])
    s.process.wait_output("keeps a lock of the kernel")
    for _ in range(2):
        s.check_quiet()
    s.stop()


def turn_off(bed, s):
    """A process outside the noisy service turns SO_REUSEPORT of its listener off."""
    outside = attack_as(bed, "nobody", "steering", "off", "usr1", 8090)
    outside.wait_output("ready")
    outside.kill(signal.SIGUSR1)
    s.process.wait_output("it is on again")
    pidfd = os.pidfd_open(outside.pid)
    fd = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, pidfd, listener_fd(outside.pid), 0)
    os.close(pidfd)
    with socket.socket(fileno=fd) as listener:
        equal(listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT), 1, "SO_REUSEPORT")
    check("can't be turned on" not in s.process.output(), s.process.output())
    return outside.pid


def start_avoided(bed):
    return Supervisor(bed, f"{bed.binary('attack')} steering cbpf usr1 8090", "listen = 0.0.0.0:8090")


def test_avoiding_listener(bed):
    """The lock of any listener, while one of the noisy service avoids the steering program: the
    supervisor can turn SO_REUSEPORT of that one on nevertheless."""
    s = start_avoided(bed)
    start_attack(bed, "listener", PORT + 10).wait_output("stuck")
    turn_off(bed, s)
    s.check_quiet()
    s.stop()


def test_avoiding_connection(bed):
    """The same, with the lock of a connection: the kernel does not come to most of these."""
    s = start_avoided(bed)
    device, folder = fuse(bed)
    with contextlib.ExitStack() as clients:
        for _ in range(50):
            clients.enter_context(Client()).ask()
        for port in range(PORT + 11, PORT + 31):  # until the kernel comes to other connections first
            stuck = attack_as(bed, "nobody", "stuck_connection", device, folder, port)
            stuck.wait_output("stuck")
            if connected_ports().index(port) > 2:
                break
            stuck.stop(signal.SIGKILL)
        pid = turn_off(bed, s)
    check(f"SO_REUSEPORT of a listener of pid {pid} was off" in s.process.output(),
          f"the kernel came to the connection: {s.process.output()}")
    s.check_quiet()
    s.stop()


def connected_ports():
    """The local ports of the connections over IPv4, in the order of the kernel's table."""
    rows = [row.split() for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "01"]


@cases("epoll", "listener")
def test_for_a_while(bed, kind):
    """The lock of an epoll descriptor, or of the listener, until the supervisor has given up once: it
    puts the worker into its slot after that. On a busy machine a healthy worker may keep one for a
    while."""
    s = attack(bed, kind, started=[QUIET])
    s.process.wait_output("not in its slot yet")
    os.kill(fuse_server(bed), signal.SIGKILL)
    s.process.wait_output(f"{NOISY}: started:")
    equal(bed.status(NOISY)["workers"][0]["restarts"], 0, "restarts of the worker")
    s.stop()


def test_output(bed):
    """The lock of the pipe of its standard output: the log process, which writes what all workers of
    the service print, can't read it. The supervisor ends the worker."""
    s = attack(bed, "output", "ready = alive:100ms")
    # If it has read all just before the lock, it does not read again. The next one does at once.
    pid = bed.log_process(NOISY)
    wait_until(lambda: "stuck" in s.process.output() or is_blocked(pid), "the pipe is locked")
    os.kill(pid, signal.SIGKILL)
    s.process.wait_output("keeps a pipe of its output locked")
    s.process.wait_output("stuck")
    s.check_quiet()
    s.stop()


def test_output_taken_over(bed):
    """The same for the next supervisor, which opens the pipes of the output of all workers."""
    s = attack(bed, "output", "ready = alive:100ms")
    s.process.kill(signal.SIGSTOP)  # it does not end the worker
    pid = bed.log_process(NOISY)
    wait_until(lambda: "stuck" in s.process.output() or is_blocked(pid), "the pipe is locked")
    s.process.kill(signal.SIGKILL)
    s.process.wait()
    s.start()
    s.check_quiet()
    s.stop()


@cases("restart", *(["stop"] if FULL else []))  # `stop` gives the log process 20 seconds, too
def test_output_outside(bed, command):
    """A process outside the service keeps that lock: the log process waits, and the worker can't end,
    also not by SIGKILL. Commands wait for it for some seconds only, and report it."""
    s = Supervisor(bed, f"{bed.binary('worker')} --port 8090 --no-reuseport", "listen = 8090",
                   "kill-timeout = 1s")
    device, folder = fuse(bed)
    pid = bed.status(NOISY)["workers"][0]["pid"]
    outside = attack_as(bed, "nobody", "stuck_fifo", device, folder, f"/proc/{pid}/fd/1")
    outside.wait_output("stuck")
    if command == "restart":
        done = bed.reuseportd("restart", NOISY, 0, deadline=40)
        check(f"pid {pid} has not ended 10 s after SIGKILL" in done.out + done.err, f"{done}")
        check(bed.status(NOISY)["workers"][0]["pid"] != pid, "no worker was replaced")
    else:
        done = bed.reuseportd("stop", NOISY, status=1, deadline=60)
        check(f"pid {pid} of a worker has not ended after SIGKILL" in done.err, f"{done}")
        check(not (PINS / NOISY).exists(), "pins are left")
    check(os.path.exists(f"/proc/{pid}"), "the worker has ended")
    s.check_quiet()
    os.kill(fuse_server(bed), signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker ends")
    s.stop(0 if command == "restart" else 1)
    if command == "stop":
        s.start()  # the name can be used again
        s.stop()


@timeout(120, 180)
@cases(full=["restart"])
def test_output_child(bed, command):
    """The same for a worker whose main process ends and whose child can't: the child is named, also by
    the `stop` that comes later."""
    worker = f"{bed.binary('worker')} --port 8090 --no-reuseport"
    s = Supervisor(bed, f"sh -c '{worker} & exec sleep 1000 >/dev/null 2>&1'", "listen = 8090",
                   "kill-timeout = 1s")
    device, folder = fuse(bed)
    pid = int(re.search(r"ready (\d+) 8090", s.process.output())[1])
    outside = attack_as(bed, "nobody", "stuck_fifo", device, folder, f"/proc/{pid}/fd/1")
    outside.wait_output("stuck")
    done = bed.reuseportd(command, NOISY, 0, deadline=40)
    check(f"pid {pid} has not ended 10 s after SIGKILL" in done.out + done.err, f"{done}")
    done = bed.reuseportd("stop", NOISY, status=1, deadline=90)
    check(f"pid {pid} of a worker has not ended after SIGKILL" in done.err, f"{done}")
    check(os.path.exists(f"/proc/{pid}"), "the worker has ended")
    s.stop(1)
    os.kill(fuse_server(bed), signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker ends")
    s.start()  # it removes what is left
    s.stop()


def test_network(bed):
    """The lock of the network configuration (RTNL): nothing here needs it."""
    blocker = start_attack(bed, "network")
    blocker.wait_output("stuck")
    s = Supervisor(bed, f"{bed.binary('worker')} --port 8090 --no-reuseport", "listen = 8090")
    s.check_quiet()
    s.stop()
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2, "--service", "web")
    bed.reuseportd("drain", 1, "--service", "web", "--wait")
    bed.reuseportd("detach", "web")
    check("setsockopt" not in blocker.output(), f"the lock was free: {blocker.output()}")


def log_process(service):
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        if path.read_bytes().split(b"\0")[1:3] == [b"log-process", service.encode()]:
            return int(path.parent.name)
    raise Failure(f"{service} has no log process")


def fuse_server(bed):
    """The process that has the FUSE device open."""
    for path in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(path) == str(bed.dir / "fuse"):
                return int(path.parts[2])
        except OSError:
            pass
    raise Failure("there is no FUSE server")


def is_blocked(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"
