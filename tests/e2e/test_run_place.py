# SPDX-License-Identifier: BSD-2-Clause
"""How workers of `run` get their slots, keep them while others fail, and leave them."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import sys

from harness.bed import cgroup2
from harness.checks import check, equal, timeout, wait_until
from harness.network import NEAR, PORT, Client, entered_netns
from runs import PYTHON, Run, script, worker_command
from harness.traffic import wait_for_load

def test_port_of_another_service(bed):
    """A service can't take a port of another service, whether it names it or just listens on it;
    the error names the other service."""
    first = Run(bed, worker_command(bed), workers=2)
    for options in (["--listen", f"0.0.0.0:{PORT}"], ["--max-restarts", "1"]):
        second = Run(bed, worker_command(bed), *options, workers=1, wait=False, name="other")
        check(second.process.wait() != 0, "a second service on the same port")
        check(f"0.0.0.0:{PORT} belongs to service 'web' already" in second.log() and
              "`reuseportd stop web`" in second.log(), f"the reason is missing:\n{second.log()}")
        served(bed, [0, 1])
    equal(first.stop(), 0, "exit status of the supervisor")


@contextlib.contextmanager
def unit(bed):
    """A command that executes another one like a service of systemd: in its own delegated
    cgroup."""
    path = cgroup2() / "unit"
    path.mkdir()
    os.setxattr(path, "trusted.delegate", b"1")
    yield ["sh", "-c", f"echo $$ > {path}/cgroup.procs && exec \"$@\"", "sh"]
    for folder in sorted(path.glob("**/"), reverse=True):
        wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(),
                   "the cgroup is empty")
        folder.rmdir()


def test_other_cgroup(bed):
    """Supervisors run in different cgroups; the workers stay in theirs, and `stop` finds them."""
    with unit(bed) as under:
        run = Run(bed, worker_command(bed), "--settle", "0.05", workers=2, under=under)
        pids = run.pids()
        run.kill_supervisor()
        run.under = ()
        run.start()
        equal(run.pids(), pids, "pids after a take-over from another cgroup")
        run.reload()
        served(bed, [0, 1])
        run.kill_supervisor()
        bed.reuseportd("stop", run.name)
        check(not bed.left_files(), f"left: {bed.left_files()}")


def test_leftover_workers(bed):
    """Workers that remain after `detach --force`, and a service that failed to start."""
    run = Run(bed, worker_command(bed, "--grace", "0"), workers=2)
    run.kill_supervisor()
    refused = bed.reuseportd("detach", run.name, status=1)
    check(f"reuseportd stop {run.name}" in refused.err, f"what to do is not told: {refused}")
    bed.reuseportd("detach", run.name, "--force")
    old = {int(pid) for path in bed.cgroups(run.name)
           for pid in (path / "cgroup.procs").read_text().split()}
    equal(len(old), 2, "workers that are left")
    run.start()
    equal(run.states(), ["active"] * 2, "states")
    check(not old & set(run.pids()), "the workers are new")
    served(bed, [0, 1])
    # Two services in a file; the port of the second is taken: the first is not kept either.
    config = bed.dir / "two.conf"
    command = " ".join(map(str, worker_command(bed))).replace(str(PORT), "8081")
    config.write_text(f"[service one]\ncommand = {command}\nworkers = 4\nlisten = 8081\n"
                      f"[service two]\ncommand = true\nworkers = 1\nlisten = 0.0.0.0:{PORT}\n")
    for _ in range(5):
        refused = bed.reuseportd("run", config, status=1)
        check("belongs to service 'web'" in refused.err, f"{refused}")
        equal(list(bed.cgroups("one")), [], "cgroups of the first service")
        check(not pathlib.Path("/run/reuseportd/one").exists(), "its run directory is left")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_endpoint_of_a_failed_reload(bed):
    """A port that only the workers of a failed reload had is removed from the service; a successful
    reload adds it again."""
    more = "exec python3 -c 'import os, socket, sys\nmore = socket.create_server((\"\", 8081))\n" \
           "os.set_inheritable(more.fileno(), True)\nos.execv(sys.argv[1], sys.argv[1:])' \"$@\""
    run = Run(bed, worker_command(bed), "--settle", "0.05", "--kill-timeout", "5s", workers=2)

    def ports():
        return [row["port"] for row in run.status()["endpoints"]]
    equal(ports(), [PORT], "ports")
    for _ in range(2):
        failed = run.reload("--batch", "1", "--", "sh", "-c", f"[ $REUSEPORTD_SLOT = 0 ] && {more}",
                            "sh", *worker_command(bed), status=1)
        check("1 of 2 replaced" in failed.out, f"slot 0 was not replaced: {failed}")
        equal(ports(), [PORT], "ports after a reload that failed")
        served(bed, [0, 1])
    run.reload("--", "sh", "-c", more, "sh", *worker_command(bed))
    equal(ports(), [PORT, 8081], "ports after a successful reload")
    served(bed, [0, 1])
    equal(run.stop(), 0, "exit status of the supervisor")


PASSED = """
import os, socket
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    connection.close()
"""

GATED = ("--ready", "exec:test -e gate", "--listen", f"0.0.0.0:{PORT}")


def connections(bed, state):
    """The number of connections in that state at the service's port."""
    return len(bed.must("ss", "-Htn", "state", state, f"sport = :{PORT}").splitlines())


def test_late_handshake(bed):
    """A handshake begins while connections are parked and ends when the first worker is there: the
    client is answered, although no other connection follows."""
    link = bed.link(delay_us=1000000)
    run = Run(bed, worker_command(bed), *GATED, workers=1, wait=False)
    wait_until(lambda: bed.run(bed.binary("reuseportd"), "status", run.name).code == 0, "pins")
    with entered_netns("far"):
        client = socket.socket()
    with client:
        client.setblocking(False)
        client.connect_ex((NEAR[0], PORT))
        wait_until(lambda: connections(bed, "syn-recv") == 1, "the SYN has arrived")
        link.kill(signal.SIGSTOP)  # the handshake goes on later
        (bed.dir / "gate").touch()
        run.process.wait_output("started: 1 worker")
        equal(connections(bed, "syn-recv"), 1, "handshakes when the worker is there")
        link.kill(signal.SIGCONT)
        client.settimeout(60)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        check(client.recv(4096).startswith(b"HTTP/1."), "an answer")
    bed.remember_pinned()
    equal(run.stop(), 0, "exit status of the supervisor")


def test_many_files(bed):
    """There may be more workers than the soft limit of open files allows. Workers have the original
    limit, not that of the supervisor."""
    run = Run(bed, ["python3", script(bed, "server.py", PYTHON)], workers=8,
              under=("prlimit", "--nofile=32:4096"))
    run.reload()
    served(bed, list(range(8)))
    limits = {}
    for pid in [run.process.pid] + run.pids():
        text = pathlib.Path(f"/proc/{pid}/limits").read_text()
        limits[pid] = re.search(r"Max open files +(\d+) +(\d+)", text).groups()
    equal(limits.pop(run.process.pid), ("4096", "4096"), "limit of the supervisor")
    equal(set(limits.values()), {("32", "4096")}, "limits of the workers")
    equal(run.stop(), 0, "exit status of the supervisor")


GATED_HTTP = PYTHON.replace("self.send_response(200)",
                            "self.send_response(200 if os.path.exists('gate') else 503)")


@timeout(240)
def test_many_probes(bed):
    """A worker is probed for a long time while many others start and end: its probes still reach
    it."""
    run = Run(bed, ["sh", "-c", "[ $REUSEPORTD_SLOT = 0 ] && exec python3 \"$0\" || exec \"$@\"",
                    script(bed, "server.py", GATED_HTTP), *worker_command(bed)],
              "--ready", "http:/", "--settle", "0", "--ready-timeout", "200s", "--listen", PORT,
              workers=2, wait=False)
    run.process.wait_output("slot 1: pid")
    bed.remember_pinned()
    for _ in range(70):
        run.command_line("restart", 1)
    equal(run.states(), ["starting", "active"], "states")
    (bed.dir / "gate").touch()
    run.process.wait_output("started: 2 workers", 60)
    equal([(row["state"], row["restarts"]) for row in run.workers()], [("active", 0)] * 2,
          "states and restarts")
    equal(run.stop(), 0, "exit status of the supervisor")


def versions(run):
    return [row["version"] for row in run.workers()]


def served(bed, slots):
    """Checks that connections are answered, and only by these slots."""
    before = bed.steered()
    report = bed.load("-n", 20)
    equal((report["ok"], report["failed"]), (20, 0), f"{report}")
    after = bed.steered()
    equal([slot for slot in after if after[slot] > before[slot]], slots, "slots with connections")


# A parent that listens, and children that serve; the parent replaces a child that ends.
PREFORK = """
import os, socket

listener = socket.socket()
listener.bind(("0.0.0.0", %PORT%))
listener.listen(512)

def serve():
    while True:
        connection, _ = listener.accept()
        connection.recv(4096)
        me = f"{os.environ['REUSEPORTD_SLOT']}.{os.getppid()}"
        connection.sendall(f"HTTP/1.1 200 OK\\r\\nX-Worker: {me}\\r\\nContent-Length: 0\\r\\n"
                           "Connection: close\\r\\n\\r\\n".encode())
        connection.close()

while True:
    for _ in range(2 if 'started' not in globals() else 1):
        if os.fork() == 0:
            serve()
    started = True
    os.wait()
"""


REOPENING = """
import os, socket, time

def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", %PORT%))
    listener.listen(512)
    return listener

listener = listen()
while not os.path.exists("gate"):
    time.sleep(0.01)
for _ in range(40):
    listener.close()
    listener = listen()
print("opened again", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(f"HTTP/1.1 200 OK\\r\\nX-Worker: {os.getpid()}\\r\\nContent-Length: 0\\r\\n"
                       "Connection: close\\r\\n\\r\\n".encode())
    connection.close()
"""


def test_reopened_listener(bed):
    """A worker closes and reopens its listener, more often than the maximum number of endpoints."""
    run = Run(bed, ["python3", script(bed, "server.py", REOPENING)], workers=1)
    pids = run.pids()
    (bed.dir / "gate").touch()
    run.process.wait_output("opened again")
    with Client() as client:
        equal(int(client.ask()), pids[0], "answers by worker")
    served(bed, [0])
    equal((run.pids(), run.states()), (pids, ["active"]), "the worker")
    equal(run.stop(), 0, "exit status of the supervisor")


LISTENS_LATER = PYTHON.rsplit("Server(", 1)[0] + """
import threading, time
threading.Thread(target=Server(("0.0.0.0", %PORT%), Handler).serve_forever).start()
while not os.path.exists("gate"):
    time.sleep(0.01)
Server(("0.0.0.0", %PORT% + 1), Handler).serve_forever()
"""


def test_listens_later(bed):
    """Workers that serve one port open a second one later."""
    run = Run(bed, ["python3", script(bed, "server.py", LISTENS_LATER)], workers=2)
    pids = run.pids()
    (bed.dir / "gate").touch()
    wait_until(lambda: [len(row["listeners"]) for row in run.workers()] == [2, 2],
               "both have two ports")
    for port in PORT, PORT + 1:
        report = bed.load("-n", 20, "-t", f"127.0.0.1:{port}", hosts=())
        equal((report["failed"], set(report["workers"].values())), (0, {10}), f"of port {port}")
    equal((run.pids(), run.states()), (pids, ["active"] * 2), "the workers")
    equal(run.stop(), 0, "exit status of the supervisor")


def main_processes(bed, run):
    """{process with the listener: its parent}. Checks that all views name the parent as the
    worker."""
    rows = run.workers()
    parents = {row["listener_pid"]: ppid_of(row["listener_pid"]) for row in rows}
    table = [line.split() for line in bed.reuseportd("status", run.name).out.splitlines()]
    at = next(line.index("PID") for line in table if "PID" in line)
    metrics = bed.reuseportd("metrics", run.name).out
    shown = {"--json": [row["pid"] for row in rows],
             "status": [int(line[at]) for line in table if line[1:2] == ["active"]],
             "metrics": [int(pid) for pid in
                         re.findall(r'^reuseportd_worker_info{.*pid="(\d+)"', metrics, re.M)]}
    equal(shown, dict.fromkeys(shown, list(parents.values())), "pids by the views")
    return parents


def ppid_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().split()[3])


def test_prefork(bed):
    """For pre-fork workers the views name the parents, which the supervisor started. Their children
    are replaced while there is no supervisor; the next supervisor still finds the parents, by their
    listeners."""
    run = Run(bed, ["python3", script(bed, "server.py", PREFORK)], workers=2)
    parents = main_processes(bed, run)
    run.kill_supervisor()
    for pid in parents:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not pathlib.Path(f"/proc/{pid}").exists(), "it is gone")
    load = bed.start_load("-c", 4, "--rate", 200)
    run.start()
    wait_for_load(bed, range(2), 20)
    equal(run.states(), ["active"] * 2, "states")
    check("is in no slot" not in run.log(), f"a worker was not found:\n{run.log()}")
    equal([int(pid) for pid in re.findall(r"pid (\d+) is taken over", run.log())], run.pids(),
          "workers that were taken over")
    equal(list(main_processes(bed, run).values()), list(parents.values()), "the parents")
    report = load.stop_unfailed()
    equal({int(worker.split(".")[1]) for worker in report["workers"]}, set(parents.values()),
          "workers that answered")
    run.reload()
    served(bed, [0, 1])
    equal(run.stop(), 0, "exit status of the supervisor")


def test_main_process_ends_unsupervised(bed):
    """The main process of a worker ends while there is no supervisor. The next supervisor takes
    over what is left of the worker, and the views name a process that lives."""
    server = script(bed, "server.py", PYTHON)
    run = Run(bed, ["sh", "-c", f"python3 {server} & wait"], workers=2)
    shells = main_processes(bed, run)
    run.kill_supervisor()
    for pid in shells.values():
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not pathlib.Path(f"/proc/{pid}").exists(), "it is gone")
    run.start()
    equal(run.states(), ["active"] * 2, "states")
    equal(run.pids(), list(shells), "the processes that are left")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_passed_sockets_taken_over(bed):
    """Workers have listeners that an earlier supervisor passed to them; a failed reload gives them
    their slots back."""
    # Not just python3, which may be a script whose children have the listener at first.
    command = [sys.executable, "-c", PASSED]
    run = Run(bed, command, "--pass-sockets", "--listen", PORT, "--settle", "0.05", workers=2)
    pids = run.pids()
    run.kill_supervisor()
    run.start()
    equal(run.pids(), pids, "pids after the take-over")
    run.reload("--batch", "1", "--", "sh", "-c", "[ $REUSEPORTD_SLOT = 0 ] && exec \"$@\"", "sh",
               *command, status=1)
    equal((run.pids(), run.states()), (pids, ["active"] * 2), "the workers after the reload")
    check("takes connections, in place of the old worker" in run.log(), "slot 0 was replaced once")
    served(bed, [0, 1])
    equal(run.stop(), 0, "exit status of the supervisor")


def test_labels(bed):
    """A slot keeps the version that the user gave it, unless a reload sets another; if that reload
    fails, the slot gets its version back. A reload to a version that is switched off is refused."""
    run = Run(bed, worker_command(bed), "--settle", "0.05", workers=3)
    bed.reuseportd("label", run.name, "0-1", "blue")
    bed.reuseportd("switch", run.name, "blue")
    served(bed, [0, 1])
    run.reload()
    equal(versions(run), ["blue", "blue", "v1"], "versions after a reload")
    served(bed, [0, 1])
    refused = run.reload("--label", "green", status=1)
    check(f"switch {run.name} --off" in refused.err, f"what to do is not told: {refused}")
    equal(versions(run), ["blue", "blue", "v1"], "versions after a refused reload")
    served(bed, [0, 1])
    bed.reuseportd("switch", run.name, "--off")
    broken = ("--", "sh", "-c", "[ $REUSEPORTD_SLOT = 0 ] && exec \"$@\"", "sh",
              *worker_command(bed))
    run.reload("--batch", "1", "--label", "red", *broken, status=1)
    equal(versions(run), ["blue", "blue", "v1"], "versions after a failed reload")
    run.reload("--in-place", "--batch", "1", "--label", "red", *broken, status=1)
    wait_until(lambda: run.states() == ["active"] * 3, "all workers are active again")
    equal(versions(run), ["blue", "blue", "v1"], "versions after a failed reload in place")
    run.reload("--label", "green")
    equal(versions(run), ["green"] * 3, "versions after a successful reload")
    bed.reuseportd("label", run.name, "2", "blue")
    run.reload()
    run.command_line("scale", 4)
    equal(versions(run), ["green", "green", "blue", "green"], "versions with a fourth worker")
    served(bed, [0, 1, 2, 3])
    equal(run.stop(), 0, "exit status of the supervisor")
