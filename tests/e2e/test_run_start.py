# SPDX-License-Identifier: BSD-2-Clause
"""Workers of `run` that don't start as they should, and what is reported of them."""
import os
import pathlib
import signal
import socket

from harness.checks import Skip, cases, check, equal, text_of, wait_until
from harness.network import PORT, Client
from runs import PYTHON, Run, script, worker_command

SICK = PYTHON.replace("send_response(200)", "send_response(500)")


def visit():
    """Returns what a new connection gets: "answer", "refused" or "reset"."""
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            return "answer" if client.recv(4096) else "reset"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "reset"


@cases("port", "address")
def test_never_ready(bed, case):
    """Workers that are never ready get no connection: not while connections are parked, and not
    afterwards, though their group has had no listener for a while."""
    where = {"port": ["--listen", PORT], "address": ["--listen", f"0.0.0.0:{PORT}"]}
    run = Run(bed, ["python3", script(bed, "server.py", SICK)], "--ready", "http:/",
              "--ready-timeout", "1", "--park-timeout", "1", *where[case], workers=2, wait=False)
    run.process.wait_output("are refused", 60)
    bed.remember_pinned()
    got = []

    def has_restarted():
        got.extend(visit() for _ in range(10))
        return len(got) >= 20 and sum(row["restarts"] for row in run.workers()) >= 4
    wait_until(has_restarted, "the workers are started again", 60)
    equal({outcome: got.count(outcome) for outcome in set(got)}, {"refused": len(got)}, "outcomes")
    run.command_line("stop")


# Workers that start at the same time share one processor: each needs %SECONDS% s of it before it
# listens.
SHARING = """
import os, pathlib, time

mine = pathlib.Path(f"starting-{os.getpid()}")
mine.touch()
left, before = %SECONDS%, time.monotonic()
while left > 0:
    time.sleep(0.01)
    others = [it for it in pathlib.Path(".").glob("starting-*")
              if os.path.exists("/proc/" + it.name.split("-")[1])]
    now = time.monotonic()
    left -= (now - before) / len(others)
    before = now
mine.unlink()
""" + PYTHON


def test_start_fewer(bed):
    """Workers that are not ready in time, since so many start at the same time, come up later: fewer
    are started then."""
    most = max(4, 2 * os.sysconf("SC_NPROCESSORS_ONLN"))
    program = SHARING.replace("%SECONDS%", str(2.6 / most))
    run = Run(bed, ["python3", script(bed, "server.py", program)], "--ready-timeout", "1500ms",
              "--backoff", "10ms..100ms", "--park-timeout", "1m", workers=most, wait=False)
    run.process.wait_output(f"started: {most} workers", 60)
    bed.remember_pinned()
    log = run.log()
    check(f"at most {most // 2} start at the same time from now on" in log, f"the log\n{log}")
    check("within 1.5 s (--ready-timeout)" in log, f"the log\n{log}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_workers_max(bed):
    """`--workers max` counts the CPUs that the cgroup may use."""
    cpu = pathlib.Path("/sys/fs/cgroup/cpu")
    if not (cpu / "cpu.cfs_period_us").exists():
        raise Skip("cgroup 1 has no controller cpu here")
    above = cpu / f"reuseportd-{os.getpid()}-{os.urandom(4).hex()}"
    own = above / "own"
    own.mkdir(parents=True)
    try:
        (above / "cpu.cfs_quota_us").write_text("80000")
        run = Run(bed, worker_command(bed), workers="max",
                  under=["/bin/sh", "-c", f"echo $$ > {own}/cgroup.procs && exec \"$@\"", "sh"])
        check("started: 1 worker\n" in run.log(), f"the log\n{run.log()}")
        equal(run.stop(), 0, "exit status of the supervisor")
        wait_until(lambda: not (own / "cgroup.procs").read_text(), "all processes have ended")
    finally:
        own.rmdir()
        above.rmdir()


def test_started_without_one(bed):
    """A slot has failed: `started` says how many workers there are."""
    program = "import os, sys\nif os.environ['REUSEPORTD_SLOT'] == '1':\n    sys.exit(3)\n" + PYTHON
    run = Run(bed, ["python3", script(bed, "server.py", program)], "--max-restarts", "1", workers=3)
    check("started: 2 of 3 workers; slot 1 failed\n" in run.log(), f"the log\n{run.log()}")
    run.command_line("stop")


REASONS = """
import os, sys, time
slot = os.environ["REUSEPORTD_SLOT"]
if slot == "1":
    sys.exit(3)
if slot == "2":
    time.sleep(600)
""" + PYTHON.replace("send_response(200)", """send_response(
            *((500, "\x1b[2J") if slot == "3" else (200,)))""")


def test_reasons(bed):
    """`status` shows why a slot has no worker, and escapes it."""
    run = Run(bed, ["python3", script(bed, "server.py", REASONS)], "--ready", "http:/",
              "--ready-timeout", "4", "--backoff", "1h..1h", "--restart-delay", "1h", workers=4,
              wait=False)
    run.process.wait_output("serving")
    run.wait_states("active", "restarting", "restarting", "restarting")
    bed.remember_pinned()
    os.kill(run.pids()[0], signal.SIGKILL)
    run.wait_states(*["restarting"] * 4)
    reasons = [row["reason"] for row in run.workers()]
    for reason, part in zip(reasons, ("has ended (signal SIGKILL)",
                                      "ended with exit status 3 before it was ready",
                                      "did not listen on any fixed port within 4 s (--ready-timeout)",
                                      "was not ready within 4 s (--ready-timeout): GET /: 500 ")):
        check(reason.startswith("pid ") and part in reason, f"{part!r} in {reason!r}")
    text = run.command_line("status").out
    check("\nSlot 1 is restarting: pid " in text and "\x1b" not in text, f"the text\n{text}")
    run.command_line("stop", "1")
    equal([row["reason"] for row in run.workers()][1], None, "reason of a stopped slot")
    run.command_line("stop")


LOCKED = """
import fcntl, sys
lock = open("lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("server: already running")
""" + PYTHON

# The first port is shared under --listen, and the second one is not.
BIND = """
import socket, sys
try:
    other = socket.create_server(("127.0.0.1", 9100), reuse_port=False)
except OSError:
    sys.exit("Error: listen EADDRINUSE: address already in use 127.0.0.1:9100")
""" + PYTHON


@cases("lock", "port")
def test_reload_beside(bed, case):
    """A program that can't run twice at the same time: a reload that fails for this reason proposes
    --in-place."""
    program = script(bed, "server.py", LOCKED if case == "lock" else BIND)
    run = Run(bed, ["python3", program], "--listen", PORT, workers=1)
    old, = run.pids()
    answer = run.reload(status=1)
    check("use --in-place: each old worker then ends before the new one starts" in answer.err,
          f"{answer}")
    if case == "port":
        check(f"; pid {old} (python3) listens on 127.0.0.1:9100, which the workers don't share; to "
              "share it, name it and each other port of the service with --listen" in answer.err,
              f"{answer}")
    run.reload("--in-place")
    check(run.pids() != [old], "the worker was replaced")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_port_of_another(bed):
    """Another program has a worker's port: it is named."""
    rival = bed.start("/usr/bin/python3", "-c", "import signal, socket\n"
                      "listener = socket.create_server(('127.0.0.1', 9100))\n"
                      "print('listening', flush=True)\nsignal.pause()", name="rival")
    rival.wait_output("listening")
    run = Run(bed, ["python3", script(bed, "server.py", PYTHON)], workers=1)
    answer = run.reload("--", "python3", script(bed, "new.py", BIND), status=1)
    check(f"; pid {rival.pid} (python3) listens on 127.0.0.1:9100" in answer.err, f"{answer}")
    check("--in-place" not in answer.err, f"{answer}")
    equal(run.stop(), 0, "exit status of the supervisor")
    rival.stop()


TWO_PROCESSES = """
import os, signal, socket
port = %PORT% + bool(os.fork())
listener = socket.create_server(("0.0.0.0", port))
signal.pause()
"""


def test_sentences(bed):
    """What makes a worker fail is reported in a sentence."""
    run = Run(bed, ["python3", script(bed, "server.py", PYTHON)], workers=1)
    answer = run.reload("--", "python3", script(bed, "new.py", TWO_PROCESSES), status=1)
    check("slot 0: the new worker (pid " in answer.err, f"{answer}")
    check(") can't take its slot: no process of it has all its listeners open" in answer.err,
          f"{answer}")
    equal(run.stop(), 0, "exit status of the supervisor")


RELEASE = "print('%RELEASE%', flush=True)\n" + PYTHON.replace('me = f"', 'me = f"%RELEASE%.')


@cases("pm2", "file", "command", "foreign")
def test_release_link(bed, case):
    """The link `current` leads to another release, and a reload starts that: the working directory
    counts as it was given, also for log files. If another user controls the link, it does not: this user could choose
    what root executes."""
    for name in ("one", "two"):
        (bed.dir / name).mkdir()
        script(bed, f"{name}/server.py", RELEASE.replace("%RELEASE%", name))
        (bed.dir / name / "web.config.js").write_text(
            "module.exports = {apps: [{name: 'web', script: './server.py', interpreter: 'python3',"
            "  out_file: './out.log'}]};")
        (bed.dir / name / "web.conf").write_text(
            "[web]\ncommand = python3 server.py\nworkers = 1\nout-file = out.log\n"
            "merge-logs = yes\n")
    links = bed.dir / "links"
    links.mkdir()
    current = links / "current"
    if case == "foreign":
        os.chown(links, 65534, 65534)
    current.symlink_to("../one")
    command = ["--service", "web", "--workers", "1", "--out-file", "out.log",
               "--merge-logs", "--", "python3", "server.py"]
    what = {"pm2": ["web.config.js"], "file": ["web.conf"]}.get(case, command)
    process = bed.start(bed.binary("reuseportd"), "run", *what, name="run", cwd=current,
                        env={"PWD": str(current)})
    process.wait_output("web: started:")
    bed.remember_pinned()

    def releases():
        with Client() as client:
            return client.ask().split(".")[0]
    equal(releases(), "one", "release")
    (links / "next").symlink_to("../two")
    (links / "next").rename(current)
    bed.reuseportd("reload", "web", deadline=90)
    end = "one" if case == "foreign" else "two"
    equal(releases(), end, "release after the link was switched")
    wait_until(lambda: f"{end}\n" in text_of(bed.dir / end / "out.log"), "it has a log file")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


# With a child, as a pre-fork server has it. The second one sets a score of its own.
WITH_CHILD = """
import os, pathlib, signal, time
for own in (False, True):
    if not os.fork():
        if own:
            pathlib.Path("/proc/self/oom_score_adj").write_text("777")
        signal.pause()
while not os.path.exists("gate"):
    time.sleep(0.01)
""" + PYTHON


def test_oom_score(bed):
    """The kernel takes a worker that starts rather than one that serves: its processes have a higher
    score until it has its slot."""
    def scores():
        try:
            return sorted(sorted(int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
                                 for pid in (cgroup / "cgroup.procs").read_text().split())
                          for cgroup in bed.cgroups(run.name))
        except OSError:  # a process has ended meanwhile
            return []
    gate = bed.dir / "gate"
    normal = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    more = min(1000, normal + 500)
    run = Run(bed, ["python3", script(bed, "server.py", WITH_CHILD)], "--drain-timeout", "0",
              workers=1, wait=False)
    wait_until(lambda: scores() == [sorted([more, more, 777])], "the first worker starts")
    gate.touch()
    run.process.wait_output("started:")
    bed.remember_pinned()
    serves = sorted([normal, normal, 777])
    wait_until(lambda: scores() == [serves], "the worker that serves has its normal score")
    gate.unlink()
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, name="reload")
    wait_until(lambda: scores() == [serves, sorted([more, more, 777])], "another one starts")
    gate.touch()
    equal(reload.wait(), 0, "exit status of the reload")
    wait_until(lambda: scores() == [serves], "only the new one is left")
    equal(run.stop(), 0, "exit status of the supervisor")


# Its child writes down which signal it gets.
FAMILY = """
import os, signal, sys, time
if not os.fork():
    def note(*_):
        open("child-got-sigterm", "w").close()
    signal.signal(signal.SIGTERM, note)
    while True:
        time.sleep(10)
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), os._exit(0)))
""" + PYTHON


@cases("all", "mixed")
def test_kill_mode(bed, case):
    """--kill-mode: the stop signal goes to all processes of a worker, or to its main process; then
    the others are killed when that has ended."""
    run = Run(bed, ["python3", script(bed, "server.py", FAMILY)], "--kill-mode", case,
              "--kill-timeout", "1" if case == "all" else "1m", workers=1)
    equal(run.stop(), 0, "exit status of the supervisor")
    equal((bed.dir / "child-got-sigterm").exists(), case == "all", "the child got SIGTERM")
    equal("SIGKILL" in run.log(), case == "all", "the kill timeout was over")
