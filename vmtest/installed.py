#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs in a guest where systemd is process 1: what a user does with the package of reuseportd and its
units. The workers of reuseportd@web run as another user, on a port below 1024, with limits of memory
and processor time.

usage: installed.py FOLDER; FOLDER has loadgen and worker"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

UNIT = "reuseportd@web.service"
GROUP = pathlib.Path(f"/sys/fs/cgroup/system.slice/system-reuseportd.slice/{UNIT}")
PROGRAM = pathlib.Path("/usr/sbin/reuseportd")
PACKAGE = "/vmtest/reuseportd.deb"
CONFIG = pathlib.Path("/etc/reuseportd/web.conf")
PINS = pathlib.Path("/sys/fs/bpf/reuseportd")
SECONDS = 30 * int(os.environ.get("RPD_SLOW", "1"))  # until a condition must be true
PAIR = pathlib.Path("/etc/reuseportd/pair.attach")
PORT, GREEDY_PORT, BOOT_PORT, PAIR_PORT, SOCKET_PORT = 80, 8081, 8070, 8071, 8072
MEMORY, CPU = 32 << 20, "20000 100000"  # limits of each worker
USER = 33  # www-data
# The numbers of the capabilities, from linux/capability.h.
NUMBERS = {"CHOWN": 0, "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7,
           "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21,
           "PERFMON": 38, "BPF": 39}

CAPABILITIES_OF_WATCH = {"BPF", "PERFMON", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"}

# A server that takes more memory, or processor time, when it is asked to.
GREEDY = f"""
import socket, time
listener = socket.socket()
listener.bind(("0.0.0.0", {GREEDY_PORT}))
listener.listen()
while True:
    client, _ = listener.accept()
    path = client.recv(1000).split()[1]
    if path == b"/memory":
        taken = b"x" * {4 * MEMORY}
    begin = time.monotonic()
    while path == b"/spin" and time.process_time() < 1:
        pass
    text = str(time.monotonic() - begin)
    client.sendall(f"HTTP/1.1 200 OK\\r\\nContent-Length: {{len(text)}}\\r\\n\\r\\n{{text}}".encode())
    client.close()
"""

# A server that was written for a socket unit.
ACTIVATED = """
import os, socket
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    client.recv(1000)
    text = str(os.getpid())
    client.sendall(f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(text)}\\r\\n\\r\\n{text}".encode())
    client.close()
"""


class Skipped(Exception):
    """A case that this guest can't run; why."""


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, want, what):
    check(got == want, f"{what}: got {got!r}, expected {want!r}")


def run(*argv, status=0):
    """Runs a command; returns its output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3 * SECONDS)
    check(done.returncode == status, f"{' '.join(argv)}: exit status {done.returncode}, expected "
          f"{status}\n{done.stdout}{done.stderr}{journal()}")
    return done.stdout


def journal():
    """What systemd and reuseportd have logged, for a failed case."""
    return subprocess.run(["journalctl", "-b", "--no-pager", "-o", "cat", "-n", "15"], text=True,
                          capture_output=True, check=False).stdout


def journal_count(text):
    """How often the unit has logged a text. The kernel's report on a worker that it kills for its
    memory is some fifty lines, and not the unit's."""
    return run("journalctl", "-b", "--no-pager", "-o", "cat", "-u", UNIT).count(text)


def wait_until(condition, what, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not (value := condition()):
        check(time.monotonic() < end, f"not true after {seconds} s: {what}\n{journal()}")
        time.sleep(0.02)
    return value


def systemctl(verb, *arguments, status=0):
    return run("systemctl", verb, *arguments, UNIT, status=status)


def unit(name):
    """A property of the unit."""
    return systemctl("show", "--value", f"--property={name}").strip()


def main_pid_if_active():
    """None while systemd does not answer, or the unit is not active."""
    shown = subprocess.run(["systemctl", "show", "--property=MainPID,ActiveState", UNIT], text=True,
                           capture_output=True, check=False, timeout=3 * SECONDS)
    values = dict(line.split("=", 1) for line in shown.stdout.splitlines())
    return values["MainPID"] if values.get("ActiveState") == "active" else None


def is_running(name):
    shown = subprocess.run(["systemctl", "status", name], capture_output=True, text=True, check=False)
    return "active (running)" in shown.stdout


def workers(service="web"):
    rows = json.loads(run(str(PROGRAM), "status", service, "--json"))["workers"]
    return [row["pid"] for row in rows if row["state"] == "active"]


def ask(path="/", port=PORT):
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while more := client.recv(4096):
            text += more
    return text.partition(b"\r\n\r\n")[2].decode().strip()


class Load:
    """Connections to the workers. None may fail."""

    def __init__(self):
        self.process = subprocess.Popen(
            [f"{sys.argv[1]}/loadgen", "--target", f"127.0.0.1:{PORT}", "--rate", "50", "--json",
             "--quiet", "--timeout", str(1000 * SECONDS)], stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.terminate()
        report = json.loads(self.process.communicate()[0].splitlines()[-1])
        check(report["failed"] == 0 and report["ok"] > 0, f"load: {report}")


def capabilities(pid, kind):
    """A set of capabilities of a process, as names without CAP_."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    bits = next(int(line.split()[1], 16) for line in text.splitlines()
                if line.startswith(f"{kind}:"))
    names = {number: name for name, number in NUMBERS.items()}
    return {names.get(i, str(i)) for i in range(64) if bits >> i & 1}


def owner(pid):
    return os.stat(f"/proc/{pid}").st_uid


def expect_limits():
    """Checks the limits of each worker, where systemd and the kernel have them."""
    for service, n in (("web", 2), ("greedy", 1)):
        found = (GROUP / "reuseportd" / service).glob
        wait_until(lambda: len([*found("*-*/")]) == n, f"{service} has {n} cgroups")
        for path in found("*-*/"):
            equal((path / "memory.max").read_text().strip(), str(MEMORY), f"{path}/memory.max")
            equal((path / "cpu.max").read_text().strip(), CPU, f"{path}/cpu.max")


def expect_serving():
    wait_until(lambda: unit("ActiveState") == "active", "the unit is active")
    equal({ask() for _ in range(2)}, {str(pid) for pid in workers()}, "workers that answer")
    equal({owner(pid) for pid in workers() + workers("greedy")}, {USER}, "users of the workers")
    expect_limits()


def expect_nothing_left():
    def left():
        processes = run("find", "/proc", "-ignore_readdir_race", "-maxdepth", "1", "-uid", str(USER)).split()
        return [*filter(pathlib.Path.exists, (PINS, GROUP)), *pathlib.Path("/run").glob("reuseportd/*"), *processes]
    end = time.monotonic() + SECONDS
    while (found := left()) and time.monotonic() < end:
        time.sleep(0.02)
    check(not found, f"left behind: {found}")


def expect_capabilities():
    """The supervisor has exactly the capabilities that the unit names, the workers have none."""
    supervisor = int(unit("MainPID"))
    for kind in ("CapBnd", "CapPrm", "CapEff"):
        equal(capabilities(supervisor, kind), set(NUMBERS), f"{kind} of the supervisor")
    for pid in workers():
        equal(capabilities(pid, "CapEff") | capabilities(pid, "CapAmb"), set(),
              "capabilities of a worker")


def case_boot():
    """An enabled service runs after the boot."""
    name = "reuseportd@boot.service"
    wait_until(lambda: is_running(name), f"{name} is active")
    check(ask(port=BOOT_PORT), "its worker answers")
    equal(run("systemctl", "is-enabled", name).strip(), "enabled", "is-enabled")
    run("systemctl", "disable", "--now", name)


def case_install():
    install()
    run("systemctl", "enable", UNIT)


def case_start():
    systemctl("start")
    expect_serving()
    expect_capabilities()


def case_memory_limit():
    """A worker that exceeds its limit is killed and replaced, and no other process is."""
    before, supervisor = workers(), unit("MainPID")
    [victim] = workers("greedy")
    try:
        ask("/memory", GREEDY_PORT)
    except OSError:
        pass
    wait_until(lambda: workers("greedy") not in ([], [victim]), "the worker is replaced")
    wait_until(lambda: journal_count("SIGKILL"), "its end is logged")
    equal((workers(), unit("MainPID")), (before, supervisor), "all others")
    expect_serving()


def case_cpu_limit():
    """A worker that takes all that it gets is given a fifth of a processor."""
    seconds = float(ask("/spin", GREEDY_PORT))
    check(seconds > 2, f"about a second of processor time took {seconds:.1f} s")


def case_reload():
    load, before, supervisor = Load(), workers(), unit("MainPID")
    systemctl("reload")
    check(not set(workers()) & set(before), "a worker was not replaced")
    equal(unit("MainPID"), supervisor, "supervisor")
    load.stop()
    expect_serving()


def case_failed_reload():
    text, before = CONFIG.read_text(), workers()
    CONFIG.write_text(text.replace(f"{sys.argv[1]}/worker", "/nothing/here"))
    systemctl("reload", status=1)
    CONFIG.write_text(text)
    equal(workers(), before, "workers after a failed reload")
    expect_serving()


def upgrade(begin=lambda: systemctl("kill", "--kill-whom=main", "--signal=SIGUSR2")):
    load, before, supervisor = Load(), workers(), unit("MainPID")
    greedy = workers("greedy")
    started = journal_count("greedy: started:")
    begin()
    wait_until(lambda: journal_count("greedy: started:") == started + 1, "it was executed again")
    equal((workers(), workers("greedy")), (before, greedy), "workers after the upgrade")
    equal(unit("MainPID"), supervisor, "supervisor")
    load.stop()
    expect_serving()
    expect_capabilities()


def case_upgrade_same():
    upgrade()


def expect_executes_installed(pid):
    check(os.path.samefile(f"/proc/{pid}/exe", PROGRAM), f"process {pid} executes another file")


def install():
    """As apt does it for an upgrade. dpkg knows no other package here."""
    run("dpkg", "--force-depends", "--install", PACKAGE)


def case_upgrade_package():
    """The files are replaced, and the scripts of the package make the supervisor execute the new program."""
    before = PROGRAM.stat().st_ino
    upgrade(install)
    check(PROGRAM.stat().st_ino != before, "the file was not replaced")
    expect_executes_installed(unit("MainPID"))


def case_remove_refused():
    """The package is not removed while a service exists."""
    before, supervisor = workers(), unit("MainPID")
    run("dpkg", "--remove", "reuseportd", status=1)
    equal((workers(), unit("MainPID")), (before, supervisor), "workers and supervisor")
    expect_serving()


def case_attach():
    """reuseportd-attach@pair watches workers that are no service of reuseportd; it is upgraded, killed and
    stopped, and steering goes on."""
    name = "reuseportd-attach@pair.service"
    pair = [subprocess.Popen([f"{sys.argv[1]}/worker", "--port", str(PAIR_PORT)]) for _ in range(2)]
    PAIR.write_text(f"OPTIONS=--workers 2 --port {PAIR_PORT} --wait 1m\n")
    run("systemctl", "enable", "--now", name)
    main_pid = lambda: int(run("systemctl", "show", "--value", "-p", "MainPID", name))  # noqa: E731
    expect_pair(pair)
    equal(capabilities(main_pid(), "CapEff"), CAPABILITIES_OF_WATCH, "capabilities of the watcher")
    before = main_pid()
    install()
    equal(main_pid(), before, "pid of the watcher")
    expect_executes_installed(before)
    wait_until(lambda: run("journalctl", "-b", "-o", "cat", "-u", name).count("pair: watching") == 2,
               "it watches again")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: main_pid() not in (0, before), "it is started again")
    wait_until(lambda: is_running(name), "it is active")
    run("systemctl", "disable", "--now", name)
    expect_pair(pair)
    run(str(PROGRAM), "detach", "pair")
    for process in pair:
        process.kill()
        process.wait()


def expect_pair(pair):
    equal({ask(port=PAIR_PORT) for _ in range(2)}, {str(process.pid) for process in pair},
          "attached workers that answer")


def case_socket_unit():
    """The socket of a socket unit is refused. Without that unit, workers get sockets as from one."""
    name, sockets = "reuseportd@activated.service", "reuseportd@activated.socket"
    server = pathlib.Path(tempfile.mkdtemp()) / "activated.py"
    server.write_text(ACTIVATED)
    (CONFIG.parent / "activated.conf").write_text(
        f"[service activated]\ncommand = {sys.executable} {server}\nworkers = 2\n"
        f"listen = {SOCKET_PORT}\npass-sockets\n")
    unit_file = pathlib.Path("/etc/systemd/system", sockets)
    unit_file.write_text(f"[Socket]\nListenStream={SOCKET_PORT}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", sockets)
    run("systemctl", "start", name, status=1)
    wait_until(lambda: f"socket unit ({sockets})" in run("journalctl", "-b", "-o", "cat", "-u", name),
               "the refusal is logged")
    run("systemctl", "stop", sockets, name)
    unit_file.unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "start", name)
    equal({ask(port=SOCKET_PORT) for _ in range(2)}, {str(pid) for pid in workers("activated")},
          "workers that answer")
    run("systemctl", "stop", name)


def case_daemon_reload():
    run("systemctl", "daemon-reload")
    expect_serving()


def case_supervisor_killed():
    """systemd starts the next supervisor, although controllers are on in the unit's cgroup."""
    load, before, supervisor = Load(), workers(), unit("MainPID")
    os.kill(int(supervisor), signal.SIGKILL)
    wait_until(lambda: main_pid_if_active() not in (None, supervisor), "the next supervisor runs")
    equal(workers(), before, "workers that were taken over")
    load.stop()
    expect_serving()
    expect_capabilities()


def set_clock(text):
    time.clock_settime(time.CLOCK_REALTIME, time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S")))


def case_clock_is_set():
    """cron-restart (4:00) follows the clock, also if it is set back by years."""
    first, supervisor = workers("greedy"), unit("MainPID")
    set_clock("2030-06-01 03:59:59")
    wait_until(lambda: workers("greedy") not in ([], first), "a reload after the clock was set")
    second = workers("greedy")
    set_clock("2027-06-01 12:00:00")
    set_clock("2027-06-02 03:59:59")
    wait_until(lambda: workers("greedy") not in ([], second), "a reload at an earlier date")
    equal(unit("MainPID"), supervisor, "supervisor")
    expect_serving()


def case_restart():
    before = workers()
    systemctl("restart")
    check(not set(workers()) & set(before), "a worker was not replaced")
    expect_serving()


def case_stop():
    systemctl("stop")
    expect_nothing_left()


def case_start_and_stop_again():
    systemctl("start")
    expect_serving()
    systemctl("stop")
    expect_nothing_left()


def skip_without_soft_reboot():
    version = run("systemctl", "--version").split()[1]
    if int(version) < 254:
        raise Skipped(f"systemd {version} has no soft-reboot")


def reboot(before):
    """systemd ends all services and processes, and boots again. The kernel stays, and so do the pins and
    the files in /run that a service has left."""
    run("systemctl", "soft-reboot")
    wait_until(lambda: main_pid_if_active() not in (None, before), "it runs after the reboot", 6 * SECONDS)
    check(not os.path.exists(f"/proc/{before}"), "the supervisor has survived the reboot")
    check(not is_running("reuseportd@boot.service"), "a disabled service runs")
    expect_serving()
    expect_capabilities()


def case_reboot():
    """An enabled service runs again after a reboot."""
    skip_without_soft_reboot()
    systemctl("start")
    reboot(unit("MainPID"))


def case_reboot_after_kill():
    """What a killed service has left does not disturb it after the reboot."""
    skip_without_soft_reboot()
    supervisor, before = unit("MainPID"), workers()
    override = pathlib.Path(f"/run/systemd/system/{UNIT}.d/no-restart.conf")
    override.parent.mkdir(parents=True)
    override.write_text("[Service]\nRestart=no\n")
    run("systemctl", "daemon-reload")
    systemctl("kill", "--signal=SIGKILL")
    wait_until(lambda: unit("ActiveState") == "failed", "it has failed")
    override.unlink()
    check(PINS.exists(), "pins are left by the killed service")
    check([*pathlib.Path("/run/reuseportd").iterdir()], "files are left by the killed service")
    reboot(supervisor)
    check(not set(workers()) & set(before), "a worker has survived the reboot")
    systemctl("stop")
    expect_nothing_left()


def case_purge():
    run("dpkg", "--purge", "reuseportd")
    left = [path for path in (PROGRAM, CONFIG.parent, *pathlib.Path("/etc/systemd").rglob("*reuseportd*"))
            if os.path.lexists(path)]
    equal(left, [], "files after a purge")
    run("systemctl", "cat", UNIT, status=1)


CASES = [value for name, value in globals().items() if name.startswith("case_")]


def main():
    greedy = pathlib.Path("/usr/local/greedy.py")  # a reboot empties /tmp
    greedy.parent.mkdir(exist_ok=True)
    greedy.write_text(GREEDY)
    options = f"user = www-data\nsettle = 50ms\nmemory-limit = {MEMORY}\ncpu-limit = 20%\n"
    CONFIG.write_text(
        f"[service web]\ncommand = {sys.argv[1]}/worker --port {PORT} --no-reuseport\n"
        f"workers = 2\nlisten = {PORT}\n{options}"
        f"[service greedy]\ncommand = {sys.executable} {greedy}\nworkers = 1\n"
        f"cron-restart = 0 4 * * *\n{options}")
    failed = skipped = 0
    for case in CASES:
        name = case.__name__.removeprefix("case_")
        try:
            begin = time.monotonic()
            case()
            print(f"ok {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Skipped as why:
            skipped += 1
            print(f"skipped {name}: {why}", flush=True)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"FAILED {name}: {why}", flush=True)
    print(f"{len(CASES) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
