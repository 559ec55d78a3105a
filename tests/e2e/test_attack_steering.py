# SPDX-License-Identifier: BSD-2-Clause
"""A program in the group replaces or detaches the steering program by an option of its own listener,
by malice or since its framework does so. Under `run` this has no effect, or not for long. Where it
has, no command takes the schedule for what is in force."""
import ctypes
import os
import platform
import re
import signal
import socket
import struct

from harness.bed import PINS
from harness.checks import Skip, cases, check, equal, wait_until
from harness.network import PORT, Client
from harness.servers import Worker, Workers, listening_inodes
from runs import Run, script, shares

EVEN = [50] * 4
SO_ATTACH_REUSEPORT_CBPF = 51
SYS_PIDFD_GETFD = 438
BY = {"cbpf": "a classic BPF program", "ebpf": "another BPF program (id ",
      "detach": "no program but the kernel's hash",
      "off": "the kernel, which may prefer a listener with SO_REUSEPORT off,"}


AGAIN = "is attached again", "it is on again"


def attack(bed, *args):
    return [bed.binary("attack"), "steering", *args]


def run_attackers(bed, way, when):
    """A service of four workers that attack, as nobody: it may not load an eBPF program."""
    user = [] if way == "ebpf" else ["--user", "nobody"]
    if when == "passed":
        return Run(bed, attack(bed, way, "usr1"), "--listen", f"0.0.0.0:{PORT}", "--pass-sockets",
                   *user)
    return Run(bed, attack(bed, way, when, PORT), "--listen", f"0.0.0.0:{PORT}", *user)


def expect_even(bed):
    report = bed.load("-n", 200)
    equal((report["failed"], shares(report)), (0, EVEN), "connections of each worker")


def events(bed, kind):
    return [row for row in bed.reuseportd("events", "--json").out.splitlines()
            if f'"event":"{kind}"' in row.replace(" ", "")]


@cases("cbpf-unbound", "cbpf-bound", "cbpf-usr1", "detach-usr1", "ebpf-unbound", "ebpf-bound",
       "ebpf-usr1", "cbpf-passed", "detach-passed")
def test_run(bed, case):
    """Workers of `run`: each attempt seems to succeed and has no effect. The log and an event name
    the worker."""
    way, when = case.split("-")
    run = run_attackers(bed, way, when)
    pids = run.pids()
    if when in ("usr1", "passed"):
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: run.process.out.read_text().count(f"{way}: done") == 4, "all have tried")
    expect_even(bed)
    equal(run.pids(), pids, "workers")
    for slot, pid in enumerate(pids):
        run.process.wait_output(f"slot {slot}: pid {pid} has tried to replace the steering program")
    wait_until(lambda: len(events(bed, "attempt")) == 4, "an event for each worker")
    equal(events(bed, "restored"), [], "events that it was attached again")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("compat", "compat_off")
def test_run_compat(bed, way):
    """The kernel lets a system call of 32-bit programs pass. The supervisor attaches the program, or
    turns SO_REUSEPORT on, again. The last worker listens last: the kernel finds its listener first."""
    if platform.machine() != "x86_64":
        raise Skip("needs system calls of 32-bit programs")
    run = run_attackers(bed, way, "usr1")
    for pid in run.pids():
        os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: run.process.out.read_text().count(f"\n{way}: ") == 4, "all have tried")
    run.process.wait_output("the steering program had been detached, and is attached again"
                            if way == "compat" else "it is on again")
    wait_until(lambda: in_force(bed) == (True, None), "in force again")
    expect_even(bed)
    equal(len(events(bed, "restored")), 1, "events")
    equal(run.stop(), 0, "exit status of the supervisor")


def attach_classic(listener):
    """Attaches a classic program that selects the first member."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF_RET | BPF_K
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
                        struct.pack("HL", 1, ctypes.addressof(code)))


def listener_fd(pid):
    """The listener of a worker: the first socket that it has open."""
    return min(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")
               if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"))


def test_run_sent(bed):
    """A listener of a worker that a process outside the service has got (by SCM_RIGHTS, for example)
    is as protected."""
    run = run_attackers(bed, "cbpf", "usr1")
    pid = run.pids()[0]
    pidfd = os.pidfd_open(pid)
    fd = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, pidfd, listener_fd(pid), 0)
    os.close(pidfd)
    with socket.socket(fileno=fd) as listener:
        attach_classic(listener)
        expect_even(bed)
    run.process.wait_output("a process outside the service has tried to replace")
    wait_until(lambda: len(events(bed, "attempt")) == 1, "an event")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("cbpf", "off")
def test_run_outsider(bed, way):
    """A process of the same user joins the group from outside. What it attaches is replaced, and it
    can't get all connections by turning SO_REUSEPORT off."""
    run = run_attackers(bed, way, "usr1")
    outsider = bed.start("setpriv", "--reuid", "nobody", "--clear-groups",
                         *attack(bed, way, "usr1", PORT), name="outsider")
    outsider.wait_output("ready")
    outsider.kill(signal.SIGUSR1)
    run.process.wait_output(
        "a classic BPF program had replaced the steering program, which is attached again"
        if way == "cbpf" else f"SO_REUSEPORT of a listener of pid {outsider.pid} was off")
    expect_even(bed)
    equal(run.stop(), 0, "exit status of the supervisor")


class Attached:
    """Four workers that are attached; the last one attacks at SIGUSR1."""

    def __init__(self, bed, way, watch=False):
        self.bed, self.way = bed, way
        self.workers = Workers(bed, workers=3)
        self.attacker = bed.start(*attack(bed, way, "usr1", PORT), name="attacker")
        self.attacker.wait_output("ready")
        arguments = ["--workers", 4, "--service", "web"]
        self.watch = bed.start_watch(*arguments) if watch else None
        if not watch:
            bed.reuseportd("attach", *arguments)
        expect_even(bed)

    def attack(self):
        n = self.attacker.output().count(f"{self.way}: done")
        self.attacker.kill(signal.SIGUSR1)
        wait_until(lambda: self.attacker.output().count(f"{self.way}: done") > n, "the attack")


def in_force(bed):
    [endpoint] = bed.status()["endpoints"]
    return endpoint["in_force"], endpoint["steered_by"]


def expect_lost(bed, way):
    """Every command notices it, and none changes the schedule."""
    force, by = in_force(bed)
    check(force is False and by.startswith(BY[way]), f"status: {force}, {by}")
    text = bed.reuseportd("status").out
    check(f"NOT IN FORCE on 0.0.0.0:{PORT}: {by} selects the worker" in text, text)
    check("`reuseportd attach --service web --port 8080 --workers 4` attaches" in text, text)
    doctor = bed.reuseportd("doctor", "web", "--json", status=1).json()
    check(any(row["verdict"] == "fail" and "not in force" in row["detail"] for row in doctor),
          f"{doctor}")
    metrics = bed.reuseportd("metrics").out
    check(re.search(r'reuseportd_steering_in_force\{service="web",endpoint="0.0.0.0:8080"\} 0',
                    metrics), metrics)
    before = bed.status()
    for command in (["drain", 1], ["drain", 1, "--wait"], ["resume", 1], ["weight", 1, 5],
                    ["canary", 1, "--share", "10%"], ["label", 1, "v2"], ["switch", "v1"],
                    ["swap", 1, "--pid", os.getpid()]):
        refused = bed.reuseportd(*command, status=1)
        check(f"not in force on 0.0.0.0:{PORT}: {by}" in refused.err
              and "attaches ours again" in refused.err, f"{refused}")
    after = bed.status()
    equal([row["state"] for row in after["workers"]], ["active"] * 4, "states")
    equal(after["ring"], before["ring"], "the ring")


@cases("cbpf", "ebpf", "detach", "off")
def test_attached(bed, way):
    """Attached servers: `attach` puts the program back, and then commands work again."""
    server = Attached(bed, way)
    equal(in_force(bed), (True, None), "in force at first")
    again = bed.reuseportd("attach", "--workers", 4, "--service", "web", status=1)
    check("attached already" in again.err, f"{again}")
    server.attack()
    expect_lost(bed, way)
    again = bed.reuseportd("attach", "--workers", 4, "--service", "web")
    check(AGAIN[way == "off"] in again.err, f"{again}")
    equal((in_force(bed), len(events(bed, "restored"))), ((True, None), 1), "in force again")
    expect_even(bed)
    bed.reuseportd("drain", 1, "--wait")
    equal(shares(bed.load("-n", 150)), EVEN[:3], "connections after the drain")


@cases("cbpf", "detach", "off")
def test_drain_wait(bed, way):
    """The program is replaced while `drain --wait` waits: it fails, rather than call the worker
    empty."""
    server = Attached(bed, way)
    clients = bed.hold(8)
    drain = bed.start(bed.binary("reuseportd"), "drain", 1, "--wait", name="drain")
    wait_until(lambda: bed.status()["workers"][1]["state"] == "draining", "the slot is drained")
    server.attack()
    equal(drain.wait(), 1, f"exit status of drain: {drain.output()}")
    check(f"not in force on 0.0.0.0:{PORT}" in drain.output(), drain.output())
    for client in clients:
        client.close()


@cases("cbpf", "ebpf", "detach", "off")
def test_watch(bed, way):
    """`attach --watch` puts the program back, as often as it is replaced; the log says so once."""
    server = Attached(bed, way, watch=True)
    for _ in range(2):
        server.attack()
        wait_until(lambda: in_force(bed) == (True, None), "it is in force again")
        expect_even(bed)
    equal(server.watch.output().count(AGAIN[way == "off"]), 1, "lines in the log")
    equal(len(events(bed, "restored")), 1, "events")


def test_watch_searches(bed):
    """The processes are searched for the one that the log names, and not while it names none."""
    server = Attached(bed, "off", watch=True)
    server.attack()
    server.watch.wait_output(AGAIN[1])
    trace = bed.dir / "trace"
    tracer = bed.start(bed.program("strace"), "-f", "-e", "trace=getdents64", "-o", trace, "-p",
                       server.watch.pid, name="strace")
    tracer.wait_output("attached")
    server.attack()
    wait_until(lambda: in_force(bed) == (True, None), "it is in force again")
    tracer.kill(signal.SIGTERM)
    tracer.wait()
    equal([line for line in trace.read_text().splitlines() if "getdents64" in line], [],
          "folders that were read")


@cases("cbpf", "ebpf")
def test_attach_and_detach(bed, way):
    """`attach` says which program it replaces, and `detach` which one has replaced ours. It leaves
    that one."""
    Workers(bed, workers=3)
    attacker = bed.start(*attack(bed, way, "usr1", PORT), name="attacker")
    attacker.wait_output("ready")
    attacker.kill(signal.SIGUSR1)
    attacker.wait_output(f"{way}: done")
    result = bed.reuseportd("attach", "--workers", 4)
    check(f"note: 0.0.0.0:{PORT} had {BY[way]}" in result.err, f"{result}")
    expect_even(bed)
    attacker.kill(signal.SIGUSR1)
    wait_until(lambda: in_force(bed)[0] is False, "ours is replaced")
    result = bed.reuseportd("detach")
    check(f"{BY[way]}" in result.err and "stays" in result.err, f"{result}")
    check("hash" not in result.out, f"{result}")
    with Client() as first, Client() as second:
        equal(first.ask(), second.ask(), "the other program still selects the first member")


def test_detached_already(bed):
    """`detach` says that the program was gone already."""
    server = Attached(bed, "detach")
    server.attack()
    result = bed.reuseportd("detach")
    check("had been detached already" in result.err, f"{result}")


def test_unknown(bed):
    """Without the iterator it is not known what is in force: nothing is claimed, and `drain --wait`
    refuses."""
    Worker(bed, "a"), Worker(bed, "b")
    bed.reuseportd("attach", "--workers", 2, "--service", "web")
    bed.must("rm", "/sys/fs/bpf/reuseportd/web/groups")
    equal(in_force(bed), (None, None), "status")
    check("reuseportd_steering_in_force{" not in bed.reuseportd("metrics").out, "metrics")
    check("can't be seen whether" in bed.reuseportd("doctor", "web", status=None).out, "doctor")
    refused = bed.reuseportd("drain", 1, "--wait", status=1)
    check("can't be known whether the steering program is in force" in refused.err, f"{refused}")
    bed.reuseportd("drain", 1)
    equal(bed.load("-n", 20)["workers"], {"a": 20}, "connections")


def test_forced_detach(bed):
    """Workers that outlive their service are not protected any more, and can be attached."""
    run = run_attackers(bed, "cbpf", "usr1")
    run.kill_supervisor()
    bed.reuseportd("detach", run.name, "--force")
    bed.reuseportd("attach", "--workers", 4, "--service", "next")
    expect_even(bed)
    bed.reuseportd("detach")
    service = next(bed.cgroups(run.name)).parent
    (service / "cgroup.kill").write_text("1")
    wait_until(lambda: "populated 0" in (service / "cgroup.events").read_text(), "they end")
    for folder in [*(entry for entry in service.iterdir() if entry.is_dir()), service,
                   service.parent]:
        folder.rmdir()
    bed.must("rm", "-rf", "/run/reuseportd")


def test_off_before_attach(bed):
    """A listener has SO_REUSEPORT off before `attach`, which turns it on again and says so."""
    Workers(bed, workers=3)
    attacker = bed.start(*attack(bed, "off", "usr1", PORT), name="attacker")
    attacker.wait_output("ready")
    attacker.kill(signal.SIGUSR1)
    attacker.wait_output("off: done")
    equal(bed.load("-n", 20)["workers"], {str(attacker.pid): 20}, "connections before")
    result = bed.reuseportd("attach", "--workers", 4, "--service", "web")
    check(f"note: 0.0.0.0:{PORT}: SO_REUSEPORT of a listener of pid {attacker.pid} was off"
          in result.err, f"{result}")
    expect_even(bed)


def test_foreign_off(bed):
    """A listener that is in no slot turns SO_REUSEPORT off."""
    Workers(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4, "--service", "web")
    attacker = bed.start(*attack(bed, "off", "usr1", PORT), name="attacker")
    attacker.wait_output("ready")
    expect_even(bed)
    attacker.kill(signal.SIGUSR1)
    attacker.wait_output("off: done")
    expect_lost(bed, "off")
    bed.reuseportd("attach", "--workers", 4, "--service", "web")
    expect_even(bed)


HIDDEN = (f"0.0.0.0:{PORT}: SO_REUSEPORT of a listener of no process, or of one that can't be seen in "
          "/proc, was off, so that it could get all connections; it is on again")


def hide_avoiding(bed, *prefix):
    """A process joins the group, turns SO_REUSEPORT off, replaces the program, and hides its listener."""
    attacker = bed.start(*prefix, *attack(bed, "hidden", "usr1", PORT), name="attacker")
    attacker.wait_output("ready")
    attacker.kill(signal.SIGUSR1)
    attacker.wait_output("hidden: done")
    return attacker


def expect_no_pins(bed, attacker):
    """The listener that no process has open is still there, and nothing of ours is."""
    check(attacker.alive(), f"the attacker has ended: {attacker.output()}")
    check(not PINS.exists(), f"pins are left: {list(PINS.rglob('*'))}")
    check(listening_inodes(bed), "the listener that is open in no process is gone")


def test_run_hidden(bed):
    """A listener that avoids the program, and that no process has open: it gets no connection after
    the next check. No pins are left while it lives."""
    run = run_attackers(bed, "cbpf", "usr1")
    attacker = hide_avoiding(bed, "setpriv", "--reuid", "nobody", "--clear-groups")
    run.process.wait_output(
        "a classic BPF program had replaced the steering program, which is attached again")
    run.process.wait_output(HIDDEN)
    wait_until(lambda: in_force(bed) == (True, None), "in force again")
    expect_even(bed)
    equal(run.stop(), 0, "exit status of the supervisor")
    expect_no_pins(bed, attacker)


def test_attach_hidden(bed):
    """`attach` puts the program and the listener right; `detach` leaves no pins."""
    Workers(bed, workers=4)
    arguments = ["attach", "--workers", 4, "--service", "web"]
    bed.reuseportd(*arguments)
    attacker = hide_avoiding(bed)
    check(in_force(bed)[1].startswith(BY["cbpf"]), f"status: {in_force(bed)}")
    again = bed.reuseportd(*arguments)
    check(AGAIN[False] in again.err and f"note: {HIDDEN}" in again.err, f"{again}")
    equal(in_force(bed), (True, None), "in force again")
    expect_even(bed)
    bed.reuseportd("detach")
    expect_no_pins(bed, attacker)


def test_first_attach_hidden(bed):
    """The listener is hidden before the first `attach`, which needs the number of workers."""
    Workers(bed, workers=4)
    attacker = hide_avoiding(bed)
    refused = bed.reuseportd("attach", "--workers", "any", status=1)
    check(f"0.0.0.0:{PORT} " in refused.err and "5 listeners  worker, 1 in no process that can be seen"
          in refused.err, f"{refused}")
    refused = bed.reuseportd("attach", "--workers", "any", "--port", PORT, status=1)
    check(f"0.0.0.0:{PORT}: 1 of 5 listeners can't be seen in /proc of any process" in refused.err
          and "`--workers N` attaches the N workers that can be seen" in refused.err, f"{refused}")
    done = bed.reuseportd("attach", "--workers", 4, "--service", "web")
    check(f"note: 0.0.0.0:{PORT}: 1 of 5 listeners can't be seen" in done.err
          and "it gets no connection" in done.err and HIDDEN in done.err, f"{done}")
    expect_even(bed)
    bed.reuseportd("detach")
    expect_no_pins(bed, attacker)


def test_detach_hidden(bed):
    """All listeners of the service are hidden: `detach` reaches their group nevertheless."""
    attacker = bed.start(*attack(bed, "hide", "usr1", PORT), name="attacker")
    attacker.wait_output("ready")
    bed.reuseportd("attach", "--workers", 1, "--service", "web")
    attacker.kill(signal.SIGUSR1)
    attacker.wait_output("hide: done")
    done = bed.reuseportd("detach")
    check("detached; the kernel's hash selects the worker again" in done.out and not done.err,
          f"{done}")
    expect_no_pins(bed, attacker)


# A listener of [::] with SO_REUSEPORT, which it turns off.
OUTSIDE = """
import os, pwd, socket, time

os.setuid(pwd.getpwnam("nobody").pw_uid)
listener = socket.socket(socket.AF_INET6)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("::", %PORT%))
listener.listen(10)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
print("ready", flush=True)
time.sleep(1000)
"""


def test_outside_the_group(bed):
    """A process of the workers' user listened before they did, and has turned SO_REUSEPORT off: the
    kernel puts the workers into another group, and gives that listener all connections to [::]."""
    outsider = bed.start("python3", script(bed, "outside.py", OUTSIDE), name="outsider")
    outsider.wait_output("ready")
    run = Run(bed, [bed.binary("worker"), "--port", PORT, "--no-reuseport", "--address", "::"], "--listen",
              f"[::]:{PORT}", "--user", "nobody")
    run.process.wait_output("it is not in the workers' group")
    force, by = in_force(bed)
    check(force is False and by.startswith(BY["off"]), f"status: {force}, {by}")
    refused = bed.reuseportd("drain", 1, status=1)
    check("outside the workers' group: end its process" in refused.err, f"{refused}")
    outsider.kill(signal.SIGKILL)
    wait_until(lambda: in_force(bed) == (True, None), "in force again")
    report = bed.load("-n", 200, hosts=("::1",))
    equal((report["failed"], shares(report)), (0, EVEN), "connections of each worker")
    equal(run.stop(), 0, "exit status of the supervisor")


# The same; with SIGUSR1 it turns SO_REUSEPORT on again, and opens another listener.
OUTSIDE_GROUP = OUTSIDE.replace("time.sleep(1000)", """
signal.sigwait({signal.SIGUSR1})
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
other = socket.socket(socket.AF_INET6)
other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
other.bind(("::", %PORT%))
other.listen(10)
print("group", flush=True)
time.sleep(1000)
""").replace("import os, pwd,", """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
import os, pwd,""")


def test_group_outside(bed):
    """There are several such listeners, in a group of their own, which gets all connections: all
    commands say so."""
    outsider = bed.start("python3", script(bed, "outside.py", OUTSIDE_GROUP), name="outsider")
    outsider.wait_output("ready")
    run = Run(bed, [bed.binary("worker"), "--port", PORT, "--no-reuseport", "--address", "::"], "--listen",
              f"[::]:{PORT}", "--user", "nobody")
    outsider.kill(signal.SIGUSR1)
    outsider.wait_output("group")
    run.process.wait_output("it is not in the workers' group")
    wait_until(lambda: in_force(bed)[0] is False, "status")
    refused = bed.reuseportd("drain", 1, status=1)
    check("outside the workers' group: end its process" in refused.err, f"{refused}")
    doctor = bed.reuseportd("doctor", "web", "--json", status=1).json()
    check(any("not in force" in row["detail"] for row in doctor), f"{doctor}")
    check(re.search(r"reuseportd_steering_in_force\{.*\} 0\n", bed.reuseportd("metrics").out), "metrics")
    outsider.kill(signal.SIGKILL)
    wait_until(lambda: in_force(bed) == (True, None), "in force again")
    equal(run.stop(), 0, "exit status of the supervisor")
