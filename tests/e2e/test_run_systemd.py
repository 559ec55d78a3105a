# SPDX-License-Identifier: BSD-2-Clause
"""What a service manager such as systemd sees of `run`: notifications, exit status, log,
processes."""
import os
import signal
import socket

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from harness.process import FullPipe
from runs import PYTHON, Run, script, worker_command
import webs


class Inbox:
    """The socket of a service manager, which receives the messages of sd_notify(3)."""

    def __init__(self, bed):
        path = bed.dir / "manager"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.env = {**os.environ, "NOTIFY_SOCKET": str(path)}
        self.notices = []

    def read_notices(self):
        try:
            while True:
                self.notices.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.notices


def start_two(bed, first, second, *more):
    """Starts the services `one` and `two` of a file, with these commands."""
    inbox = Inbox(bed)
    config = bed.dir / "both.conf"
    config.write_text("".join(
        f"[service {name}]\ncommand = {' '.join(str(word) for word in command)}\nworkers = 1\n"
        "max-restarts = 1\n" for name, command in (("one", first), ("two", second))))
    process = bed.start(bed.binary("reuseportd"), "run", config, *more, name="run", env=inbox.env)
    return process, inbox


def serving(bed, port):
    server = PYTHON.replace("%PORT%", str(port))
    return ["python3", script(bed, f"server-{port}.py", server)]


def test_one_fails_to_start(bed):
    """One service of a file can't be started: systemd still gets READY=1 for the other."""
    process, inbox = start_two(bed, ["/nothing/here"], serving(bed, 8082))
    process.wait_output("two: started:")
    bed.remember_pinned()
    wait_until(lambda: "READY=1" in inbox.read_notices(), "READY=1")
    equal(inbox.notices, ["READY=1"], "notifications")
    check("failed: its worker can't be started" in process.output(), f"log: {process.output()}")
    equal([row["state"] for row in bed.status("one")["workers"]], ["failed"],
          "states of the failed service")
    bed.reuseportd("start", "one", 0, status=1)
    bed.reuseportd("stop", "two")
    equal(process.wait(), 1, "exit status, as one service has failed")


def test_failed_service_is_started(bed):
    """One service of a file has failed for good: it is still shown, and a reload as well as `start`
    can start it."""
    program = script(bed, "program.sh", '[ -e good ] || exit 7; exec "$@"')
    process, inbox = start_two(bed, ["sh", program, *worker_command(bed)], serving(bed, 8082))
    process.wait_output("all slots have failed or are stopped")
    check("`reuseportd start one 0` tries again" in process.output(), process.output())
    process.wait_output("two: started:")
    bed.remember_pinned()
    wait_until(lambda: "READY=1" in inbox.read_notices(), "READY=1")
    for command in (("start", "one", "0"), ("reload", "one")):
        bed.reuseportd(*command, status=1)
        wait_until(lambda: bed.status("one")["workers"][0]["state"] == "failed",
                   "the service has failed again")
        found = bed.reuseportd("doctor", "one", status=1)
        check("failed after crashes: slot 0" in found.out and "dead" not in found.out, f"{found}")
        starts = process.output().count("ended with exit status 7")
        bed.reuseportd("reload", "one", status=1)
        equal(bed.status("one")["workers"][0]["state"], "failed", "after a failed reload")
        equal(process.output().count("ended with exit status 7"), starts + 2,  # one in the reason
              "starts of a failed reload")
        (bed.dir / "good").touch()
        bed.reuseportd(*command)
        equal([row["state"] for row in bed.status("one")["workers"]], ["active"],
              "states after a successful start")
        (bed.dir / "good").unlink()
        os.kill(bed.status("one")["workers"][0]["pid"], signal.SIGKILL)
        wait_until(lambda: bed.status("one")["workers"][0]["state"] == "failed", "it has failed")
    bed.reuseportd("stop", "one")
    bed.reuseportd("stop", "two")
    equal(process.wait(), 1, "exit status, as the service was failed when it was stopped")


def test_program_comes_later(bed):
    """A missing program is given up at once, also by `start`; once the program exists, `start`
    succeeds."""
    program = bed.dir / "program"
    process, _ = start_two(bed, [program], serving(bed, 8082))
    process.wait_output("two: started:")
    bed.remember_pinned()
    refused = bed.reuseportd("start", "one", 0, status=1)
    equal(refused.out.count("can't start") + refused.err.count("can't start"), 1,
          f"attempts of a start: {refused}")
    program.write_text("#!/bin/sh\nexec " + " ".join(map(str, worker_command(bed))) + "\n")
    program.chmod(0o755)
    bed.reuseportd("start", "one", 0)
    equal([row["state"] for row in bed.status("one")["workers"]], ["active"], "states")
    bed.reuseportd("stop", "one")
    bed.reuseportd("stop", "two")
    equal(process.wait(), 0, "exit status")


@cases("done", "failed")
def test_job_beside_a_server(bed, case):
    """With no-restart a job that has ended is done, while another service of its file still runs:
    neither a reload of all services runs it again, nor SIGUSR2, nor the next supervisor. A command
    for this service does."""
    config = bed.dir / "both.conf"
    count = bed.dir / "count"
    job = script(bed, "job.sh", f"echo run >>{count}; sleep 0.2; exit {1 if case == 'failed' else 0}")
    config.write_text(f"[service job]\ncommand = sh {job}\nworkers = 1\nno-restart\n"
                      "ready = alive:0.1\n[service two]\nworkers = 1\nsettle = 0\ncommand = "
                      + " ".join(map(str, worker_command(bed))) + "\n")

    def start():
        return bed.start(bed.binary("reuseportd"), "run", config, name="run")

    def expect(runs):
        equal(count.read_text(), "run\n" * runs, "how often the job was run")
        state = "failed" if case == "failed" else "stopped"
        wait_until(lambda: bed.status("job")["workers"][0]["state"] == state, f"the job has {state}")

    process = start()
    process.wait_output("job: all slots have failed or are stopped")
    process.wait_output("two: started:")
    bed.remember_pinned()
    bed.reuseportd("reload", "--supervisor", process.pid)
    process.kill(signal.SIGHUP)
    wait_until(lambda: process.output().count("two: reload: 1 of 1") == 2, "two is reloaded")
    bed.reuseportd("doctor", "two")
    expect(1)
    web = webs.start(bed)
    equal(webs.ask("/ready").status, 503 if case == "failed" else 200, "ready")
    webs.stop(web)
    process.kill(signal.SIGUSR2)
    wait_until(lambda: process.output().count("two: started:") == 2, "two is taken over")
    expect(1)
    process.kill(signal.SIGKILL)
    process.wait()
    process = start()
    process.wait_output("two: started:")
    expect(1)
    bed.reuseportd("start", "job", 0, status=None)
    expect(2)
    bed.reuseportd("reload", "job", status=None)
    expect(3)
    bed.reuseportd("stop", "two")
    equal(process.wait(), 1 if case == "failed" else 0, "exit status")


def test_none_can_start(bed):
    """No service can be started: there is no READY=1, and `run` fails."""
    process, inbox = start_two(bed, ["/nothing/here"], ["/nothing/there"])
    equal(process.wait(), 1, "exit status")
    equal(inbox.read_notices(), ["STOPPING=1"], "notifications")


def test_stop_by_the_admin(bed):
    """STOPPING=1 is sent with the stop of the last service, not before. The unit has no ExecStop=,
    which would fail if no service is left: SIGTERM stops all services."""
    process, inbox = start_two(bed, serving(bed, 8081), serving(bed, 8082))
    for name in ("one", "two"):
        process.wait_output(f"{name}: started:")
    bed.remember_pinned()
    wait_until(lambda: "READY=1" in inbox.read_notices(), "READY=1")
    bed.reuseportd("stop", "one")
    equal(inbox.read_notices(), ["READY=1"], "notifications when one of two is stopped")
    bed.reuseportd("stop", "two")
    equal(inbox.read_notices(), ["READY=1", "STOPPING=1"], "notifications when both are stopped")
    equal(process.wait(), 0, "exit status")
    unit = (bed.build / "reuseportd@.service").read_text()
    check("ExecStop=" not in unit, unit)


def test_full_log_pipe(bed):
    """Standard error is a pipe that is full from the start: workers are started, replaced and
    reloaded, and no line of the log is lost once it is read. `stop` works as well, and the
    supervisor ends although it can't log."""
    pipe = FullPipe(bed)
    run = Run(bed, worker_command(bed), "--settle", "0.05", "--drain-timeout", "5s", workers=2,
              wait=False, under=pipe.as_stderr)
    wait_until(lambda: bed.run(bed.binary("reuseportd"), "status", run.name).code == 0, "pins")
    bed.remember_pinned()
    run.wait_states("active", "active")
    before = run.pids()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: run.states() == ["active"] * 2 and before[0] not in run.pids(),
               "the killed worker is replaced")
    run.reload()
    last = f"slot 1: pid {run.pids()[1]} takes connections"
    lines = pipe.read_until(last)
    equal(sum("started: 2 workers" in line for line in lines), 1, f"number of start lines: {lines}")
    check(any(f"pid {before[0]} has ended (signal SIGKILL)" in line for line in lines),
          f"the death is not logged: {lines}")
    check(all(line.startswith("web: ") for line in lines), f"a line is torn: {lines}")
    pipe.fill()
    run.command_line("stop")
    equal(run.process.wait(), 0, "exit status of the supervisor")


# First options, options of the take-over, and what the take-over logs about options that it can't
# change.
KEPT = {
    "policy": (["--policy", "sticky"], [], "policy is still sticky, not round-robin"),
    "no-count": ([], ["--no-count"], "connections are counted, as before, despite no-count"),
    "count": (["--no-count"], [], "connections are not counted, as before"),
    "added": (["--listen", PORT], ["--listen", PORT, "--listen", "127.0.0.1:8081"],
              "listen 127.0.0.1:8081 is new"),
    "added-port": (["--listen", f"0.0.0.0:{PORT}"], ["--listen", PORT, "--listen", 8081],
                   "listen 8081 is new"),
    "removed": (["--listen", PORT], ["--listen", 8081],
                f"still serves 0.0.0.0:{PORT}, which no listen names"),
    "workers": ([], [], None),
}


@cases(*KEPT)
def test_taken_over_with_other_options(bed, case):
    """Options that a service keeps, although its next supervisor has others, are logged; nothing is
    logged if nothing has changed."""
    first, then, text = KEPT[case]
    run = Run(bed, worker_command(bed), *first, workers=2)
    made = run.status()
    run.kill_supervisor()
    run.options = ["--workers", 2, *then]
    run.start()
    lines = [line for line in run.log().splitlines() if "taken over" not in line
             or "listen " in line]
    if not text:
        equal(lines, ["web: started: 2 workers"], "log")
    else:
        check(any(line.startswith(f"web: {text}") for line in lines), f"not logged: {lines}")
    equal(run.status()["policy"], made["policy"], "policy")
    equal(run.pids(), [row["pid"] for row in made["workers"]], "pids")


# A worker with orphaned grandchildren, which end all at once when a file appears.
DAEMONS = PYTHON.rsplit("Server(", 1)[0] + f"""
import time
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            while not os.path.exists("end"):
                time.sleep(0.01)
        os._exit(0)
    os.wait()
Server(("0.0.0.0", {PORT}), Handler).serve_forever()
"""


def name_and_parent(pid):
    """The name and the parent's pid of a process, from /proc/PID/stat."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            name, _, rest = stat.read().partition("(")[2].rpartition(")")
            return name, int(rest.split()[1])
    except OSError:  # the process has ended
        return "", 0


def children(parent):
    """The names of the children of a process, by pid; zombies are included."""
    rows = {int(pid): name_and_parent(pid) for pid in os.listdir("/proc") if pid.isdigit()}
    return {pid: name for pid, (name, of) in rows.items() if of == parent}


def test_process_1_of_a_container(bed):
    """As process 1 the supervisor is the parent of all orphans: they don't remain as zombies, and
    it still learns how its workers end."""
    run = Run(bed, ["python3", script(bed, "server.py", DAEMONS)], "--ready", "exec:true",
              "--health-interval", "10ms", workers=2,
              under=["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
    [init] = children(run.process.pid)
    wait_until(lambda: list(children(init).values()).count("python3") == 42,
               "two workers and their daemons")
    (bed.dir / "end").touch()
    wait_until(lambda: list(children(init).values()).count("python3") == 2, "the daemons are gone")
    victim = min(pid for pid, name in children(init).items() if name == "python3")
    os.kill(victim, signal.SIGKILL)
    run.process.wait_output("has ended (signal SIGKILL)")
    os.kill(init, signal.SIGTERM)
    equal(run.process.wait(), 0, "exit status")
    check("health probe" not in run.log(), f"a probe was disturbed: {run.log()}")


def test_added_listen(bed):
    """An endpoint that is new at a take-over is served after the reload that the log advises."""
    server = PYTHON.rsplit("Server(", 1)[0] + f"""
import threading
if os.path.exists("more"):
    threading.Thread(target=Server(("0.0.0.0", 8081), Handler).serve_forever).start()
Server(("0.0.0.0", {PORT}), Handler).serve_forever()
"""
    run = Run(bed, ["python3", script(bed, "server.py", server)], "--listen", PORT, "--settle",
              "0.05", workers=2)
    run.kill_supervisor()
    run.options += ["--listen", "0.0.0.0:8081"]
    run.start()
    check("`reuseportd reload web` starts workers that do" in run.log(), "the advice is not logged")
    (bed.dir / "more").touch()
    run.reload()
    for port in (PORT, 8081):
        clients = bed.hold(4, port=port)
        equal(len({client.ask() for client in clients}), 2, f"workers that answer on {port}")


def test_socket_unit(bed):
    """All workers would share the socket of a socket unit: it is refused as a usage error, so that systemd does
    not try again; the error names the unit and the way out."""
    def start(pid):
        return bed.run("sh", "-c", f'exec 3</dev/null; LISTEN_PID={pid} exec "$@"', "sh",
                       bed.binary("reuseportd"), "run", "--workers", 1, "--max-restarts", 1, "--", "false",
                       env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "reuseportd@web.socket"})
    refused = start("$$")
    equal(refused.code, 2, f"exit status of {refused}")
    check("(reuseportd@web.socket)" in refused.err and "`pass-sockets`" in refused.err, f"{refused}")
    other = start("1")
    check("socket unit" not in other.err and "exit status 1" in other.err, f"{other}")
