# SPDX-License-Identifier: BSD-2-Clause
"""A worker, a local user or a client floods the supervisor: another service of the same supervisor
goes on as if nothing had happened. `tools/bench supervise` measures how fast."""
import os
import pathlib
import pwd
import re
import signal
import socket
import stat

from harness.checks import Skip, cases, check, equal, timeout, wait_until
from harness.network import PORT, Client

QUIET, NOISY = "quiet", "noisy"
RUN = pathlib.Path("/run/reuseportd")

# A worker that is ready when it says so, and does nothing.
READY = "#!/bin/sh\nsystemd-notify --ready --pid=$$\nexec sleep 1000\n"

# Attacks of a worker that runs as nobody, with their arguments.
WORKERS = {
    "any-port": "listen_on_any_port",
    "named-ports": "listen_on_named_ports",
    "many-addresses": "listen_on_many_addresses",
    "many-listeners": "keep_listeners 5000",
    "epoll-watches": "epoll_watches 8090",
}

# The same for a worker that has a Node channel.
MESSAGES = {
    "nested": "nested_messages",
    "endless": "endless_message",
    "ready": "ready_messages",
    "lingering": "lingering_descriptors",
    "out-of-band": "out_of_band_message",
}


class Supervisor:
    """A supervisor of two services. The quiet one has one worker. @command, @options: of the noisy
    one. @under: a command that executes the supervisor. @started: the services that start."""

    def __init__(self, bed, command, *options, workers=1, user="nobody", under=(),
                 started=(QUIET, NOISY)):
        self.bed = bed
        self.conf = bed.dir / "services.conf"
        self.conf.write_text(
            f"[service {QUIET}]\ncommand = {bed.binary('worker')} --port {PORT} --no-reuseport\n"
            f"workers = 1\nlisten = {PORT}\nbackoff = 10ms..10ms\nmin-uptime = 1ms\n"
            f"[service {NOISY}]\ncommand = {command}\nworkers = {workers}\nuser = {user}\n" +
            "".join(f"{option}\n" for option in options))
        os.chmod(bed.dir, 0o755)
        self.under, self.started = under, started
        self.start()

    def start(self):
        self.process = self.bed.start(*self.under, self.bed.binary("reuseportd"), "run", self.conf,
                                      name="run")
        for name in self.started:
            self.process.wait_output(f"{name}: started:", 60)
        self.bed.remember_pinned()

    def pid(self):
        """The pid of the quiet worker, or None while there is none."""
        return self.bed.status(QUIET)["workers"][0]["pid"]

    def check_quiet(self):
        """The quiet service's worker is replaced after it is killed, and by `restart`."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.pid() not in (None, pid), "the killed worker is replaced")
        pid = self.pid()
        self.bed.reuseportd("restart", QUIET, 0, deadline=30)
        check(self.pid() != pid, "`restart` has replaced no worker")
        with Client() as client:
            equal(int(client.ask()), self.pid(), "the worker that answers")

    def stop(self, status=0):
        self.process.kill(signal.SIGTERM)
        equal(self.process.wait(), status, "exit status of the supervisor")


def node(bed):
    """A name by which a program gets a Node channel."""
    path = bed.dir / "node"
    path.symlink_to(bed.binary("attack"))
    return path


def attack_as(bed, user, *words):
    """Starts an attack of another user."""
    return bed.start("setpriv", "--reuid", user, "--regid", pwd.getpwnam(user).pw_gid, "--clear-groups",
                     bed.binary("attack"), *words, name="attack")


@cases(*WORKERS)
def test_worker(bed, kind):
    """Listeners without end; an epoll descriptor that is slow to look at. Such a worker may be
    refused before it is ready: it has too many endpoints."""
    s = Supervisor(bed, f"{bed.binary('attack')} {WORKERS[kind]}", "ready = alive:100ms",
                   started=(QUIET,))
    wait_until(lambda: re.search(f"{NOISY}: (started:|slot 0: .* can't be used)",
                                 s.process.output()), "the attack is under way", 60)
    s.check_quiet()
    s.stop()


@timeout(180)
def test_probes(bed):
    """Many workers, and a probe of each of them that executes a command 50 times a second."""
    s = Supervisor(bed, "sleep 1000", "ready = exec:true", "health-interval = 20ms", workers=48)
    for _ in range(2):
        s.check_quiet()
    s.stop()


@cases(*MESSAGES)
def test_messages(bed, kind):
    """Messages without end, or with descriptors that are slow to close, or out of band. Also for the next supervisor."""
    s = Supervisor(bed, f"{node(bed)} {MESSAGES[kind]}", "ready = alive:100ms", "kill-timeout = 1s")
    s.check_quiet()
    s.process.kill(signal.SIGKILL)
    s.process.wait()
    s.start()
    s.check_quiet()
    s.stop()


@cases("notifications", "lingering_descriptors")
def test_notifications(bed, kind):
    """Messages of a user without workers to a socket that any user may write to: it is that of
    workers that run as root."""
    script = bed.dir / "ready.sh"
    script.write_text(READY)
    script.chmod(0o755)
    s = Supervisor(bed, script, "ready = notify", workers=16, user="root")
    attack_as(bed, "daemon", kind, RUN / NOISY / "notify")
    s.check_quiet()
    bed.reuseportd("restart", NOISY, 3)
    s.stop()


def fuse(bed):
    """A FUSE device, and a folder to mount, for any user."""
    device, folder = bed.dir / "fuse", bed.dir / "mount"
    folder.mkdir()
    folder.chmod(0o777)
    try:
        os.mknod(device, stat.S_IFCHR, os.makedev(10, 229))
        device.chmod(0o666)
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        raise Skip(f"no FUSE: {error}") from None
    return device, folder


def test_files_that_never_close(bed):
    """Any user sends files to that socket that the kernel does not finish to close, more than
    children can be held by: the supervisor goes on, and its workers report that they are ready."""
    device, folder = fuse(bed)
    script = bed.dir / "ready.sh"
    script.write_text(READY)
    script.chmod(0o755)
    s = Supervisor(bed, script, "ready = notify", workers=4, user="root")
    path = RUN / NOISY / "notify"
    attack_as(bed, "daemon", "fuse_descriptors", device, folder, path)
    s.check_quiet()
    s.process.wait_output("refuses messages with descriptors")
    bed.reuseportd("restart", NOISY, 3)
    s.process.kill(signal.SIGUSR2)
    s.process.wait_output(f"{QUIET}: slot 0: pid {s.pid()} is taken over")
    s.check_quiet()
    bed.reuseportd("restart", NOISY, 3)
    s.stop()


def test_file_in_place_of_listener(bed):
    """A worker puts a file into the place of a listener that the supervisor has just found. The
    kernel does not finish to close it."""
    device, folder = fuse(bed)
    s = Supervisor(bed, f"{bed.binary('attack')} fuse_in_place_of_listener {device} {folder} 8090",
                   "backoff = 1ms..1ms", "max-restarts = 1000", "settle = 0")
    s.process.wait_output("is no longer the same listener")
    s.check_quiet()
    s.stop()


def test_notifications_of_a_user(bed):
    """Only their user, and root, may write to the socket of workers that don't run as root. READY=1
    of another process of that user says nothing about a worker."""
    script = bed.dir / "ready.sh"
    script.write_text(READY.replace("systemd-notify", "test -e go || exec sleep 1000; systemd-notify"))
    script.chmod(0o755)
    (bed.dir / "go").touch()
    s = Supervisor(bed, script, "ready = notify", f"cwd = {bed.dir}", "ready-timeout = 5s",
                   "no-restart")
    path = RUN / NOISY / "notify"
    equal((path.stat().st_mode & 0o777, path.owner()), (0o600, "nobody"), "mode and owner")
    (bed.dir / "go").unlink()
    attack_as(bed, "nobody", "notifications", path)
    failed = bed.reuseportd("restart", NOISY, 0, status=1)
    check("READY=1" in failed.err, f"the reason: {failed}")
    s.stop()


def test_file_limit(bed):
    """Clients fill the limit of open files and the accept queue: workers are replaced, and the
    supervisor sleeps between its tries."""
    s = Supervisor(bed, "sleep 1000", "ready = alive:100ms", under=("prlimit", "--nofile=160"))
    clients = bed.start(bed.binary("attack"), "control_clients", RUN / NOISY / "control", 300)
    wait_until(lambda: descriptors(s.process.pid) >= 100, "clients have many descriptors")
    s.check_quiet()
    clients.kill(signal.SIGKILL)
    s.stop()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@cases("nothing", "half", "deaf")
def test_control_clients(bed, kind):
    """More clients than the supervisor serves, which send nothing, or half a request, or never read
    the answer: a command is answered."""
    text = {"nothing": [], "half": ['{"do": "rest'], "deaf": ['{"do": "restart", "slots": [7]}\n']}
    s = Supervisor(bed, "sleep 1000", "ready = alive:100ms")
    before = descriptors(s.process.pid)
    bed.start(bed.binary("attack"), "control_clients", RUN / QUIET / "control", 200, *text[kind])
    if kind != "deaf":  # these are answered and closed at once
        wait_until(lambda: descriptors(s.process.pid) >= before + 60, "the clients are connected")
    s.check_quiet()
    s.stop()


# Connects, and sends a request when it gets SIGUSR1.
CONNECTED = """
import signal, socket, sys

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
print("connected", flush=True)
signal.sigwait({signal.SIGUSR1})
control.sendall(b'{"do": "restart", "slots": [0]}\\n')
print(control.makefile().read(), flush=True)
"""


def test_clients_of_one_process(bed):
    """A process connects again and again: its own oldest client is refused, with a reason, and not
    that of another process, which has not sent its request yet."""
    s = Supervisor(bed, "sleep 1000", "ready = alive:100ms")
    path = str(RUN / QUIET / "control")
    command = bed.start("python3", "-c", CONNECTED, path, name="command")
    command.wait_output("connected")
    clients = []
    for _ in range(64):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(path)
    with clients[0].makefile() as answer:
        check("too many commands" in answer.read(), "the oldest client of the process is refused")
    command.kill(signal.SIGUSR1)
    equal(command.wait(), 0, "exit status of the command")
    check('{"status":0}' in command.output().replace(" ", ""), f"answer: {command.output()}")
    s.stop()
