# SPDX-License-Identifier: BSD-2-Clause
"""Misbehaving workers: whatever they do, `stop` leaves nothing of them. After each test the bed
checks that no process, cgroup, pin or file remains."""
import os
import pathlib
import signal
import time

from harness.checks import cases, check, equal, timeout, wait_until
from harness.network import PORT, Client
from harness.bpf import below
from runs import Run, script, worker_command

PROLOGUE = """
import os, signal, socket, subprocess, sys, time
listener = socket.socket()
listener.bind(("0.0.0.0", %PORT%))
listener.listen(100)
slot = os.environ["REUSEPORTD_SLOT"]
"""

DONE = """
os.close(os.open(f"%DIR%/done.{slot}", os.O_CREAT | os.O_WRONLY))
"""

EPILOGUE = """
while True:
    time.sleep(1)
"""

# A child that has left the session, and its parent ends.
DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {what}
        while True:
            time.sleep(1)
    os._exit(0)
os.wait()
"""

# For each kind, the code of a worker and the minimum number of its processes.
WORKERS = {
    "children": ("for _ in range(5):\n    subprocess.Popen(['sleep', '1000'])\n", 6),
    "double-fork": (DAEMON.format(what="pass"), 2),
    "ignores-signals": ("for n in (1, 2, 3, 10, 12, 15):\n"
                        "    signal.signal(n, signal.SIG_IGN)\n", 1),
    "ignoring-daemon": (DAEMON.format(what="signal.signal(15, signal.SIG_IGN)"), 2),
    "flood": ("for _ in range(200000):\n    print('x' * 99)\n", 1),
    "closes-all": ("os.closerange(0, 3)\nos.closerange(listener.fileno() + 1, 256)\n", 1),
    "closes-listener": ("os.closerange(0, 256)\n", 1),
    "other-ports": ("more = [socket.socket() for _ in range(4)]\n"
                    "more[0].bind(('0.0.0.0', 0)); more[0].listen()\n"
                    "more[1].bind(('127.0.0.1', 0)); more[1].listen()\n"
                    "more[2].connect(('127.0.0.1', %PORT%))\n"
                    "more[3].bind(('0.0.0.0', 9090)); more[3].listen()\n", 1),
    "setsid": ("subprocess.Popen(['setsid', 'sleep', '1000'])\n", 2),
    "stopped-children": ("for _ in range(2):\n    child = subprocess.Popen(['sleep', '1000'])\n"
                         "    child.send_signal(signal.SIGSTOP)\n", 3),
    "fork-bomb": ("subprocess.Popen([os.environ['BOMB']])\n"
                  "while not os.path.exists(f'%DIR%/exploded.{slot}'):\n"
                  "    time.sleep(0.01)\n", 50),
}

# Up to LIVE processes that ignore signals. Each lives for some milliseconds and is followed by
# others, in new sessions, so that a list of them is soon outdated.
BOMB = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIVE 100

int main(void)
{
    atomic_int *live = mmap(NULL, sizeof(*live), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char path[256];

    for (int n = 1; n < 32; n++)
        signal(n, SIG_IGN);
    snprintf(path, sizeof(path), "%DIR%/exploded.%s", getenv("REUSEPORTD_SLOT"));
    *live = 1;
    for (;;) {
        while (atomic_fetch_add(live, 1) < LIVE)
            if (fork() == 0)
                setsid();
        if (atomic_fetch_sub(live, 1) > LIVE)
            close(open(path, O_CREAT | O_WRONLY, 0600));
        usleep(5000);
        if (atomic_fetch_sub(live, 1) > LIVE / 2)
            _exit(0);
        atomic_fetch_add(live, 1);
    }
}
"""


def read_pids(path):
    try:
        return set(path.read_text().split())
    except OSError:
        return set()  # removed meanwhile


def processes():
    """The number of processes in the cgroups of the workers."""
    pids = set()
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "cgroup2":
            for path in below(mount):
                if (path.name == "cgroup.procs" and "reuseportd" in str(path)
                        and path.parent.name != "log"):
                    pids |= read_pids(path)
    return len(pids)


def start(bed, kind, workers=2):
    """Starts workers of the kind. Returns when they have run their code."""
    what, n = WORKERS[kind]
    env = dict(os.environ)
    if kind == "fork-bomb":
        source = script(bed, "bomb.c", BOMB.replace("%DIR%", str(bed.dir)))
        env["BOMB"] = str(bed.dir / "bomb")
        bed.must("gcc", "-O1", "-o", env["BOMB"], source)
    text = (PROLOGUE + what + DONE + EPILOGUE).replace("%DIR%", str(bed.dir))
    run = Run(bed, ["python3", "-u", script(bed, "worker.py", text)], "--kill-timeout", "1",
              "--drain-timeout", "3s", *(["--no-count"] if "daemon" in kind else []),
              *(["--listen", PORT] if kind == "closes-listener" else []),  # never ready
              workers=workers, env=env, wait=kind != "closes-listener")
    wait_until(lambda: all((bed.dir / f"done.{slot}").exists() for slot in range(workers)),
               "all workers have run their code")
    wait_until(lambda: processes() >= n * workers, f"there are {n} processes for each")
    return run


@cases(*WORKERS)
def test_stop(bed, kind):
    """`stop` of one slot, and of the service."""
    run = start(bed, kind)
    run.command_line("stop", 1)
    wait_until(lambda: run.states()[1] == "stopped", "slot 1 is stopped")
    equal(run.stop(), 0, "exit status of the supervisor")
    equal(processes(), 0, "processes in the service's cgroups")
    equal(bed.reuseportd("list", "--json").json(), [], "services")


@cases("reload", "signal", "take-over")
def test_other_ways_to_stop(bed, kind):
    """A fork bomb is gone after a reload to a good program, after a signal to the supervisor, and
    after a take-over and `stop`."""
    run = start(bed, "fork-bomb")
    if kind == "reload":
        run.reload("--", *worker_command(bed))
        wait_until(lambda: processes() == 2, "the old processes are gone")
    if kind == "take-over":
        run.kill_supervisor()
        run.start()
    if kind == "signal":
        run.process.kill(signal.SIGTERM)
        equal(run.process.wait(), 0, "exit status of the supervisor")
    else:
        equal(run.stop(), 0, "exit status of the supervisor")
    equal(processes(), 0, "processes in the service's cgroups")


def test_stop_twice(bed):
    """A second `stop` waits for the end like the first; a signal kills the workers at once."""
    text = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PROLOGUE + EPILOGUE
    run = Run(bed, ["python3", script(bed, "worker.py", text)], "--kill-timeout", "1h", workers=2)
    stops = [bed.start(bed.binary("reuseportd"), "stop", run.name, name="stop") for _ in range(2)]

    def both_wait():
        run.process.kill(signal.SIGHUP)  # a reload; its refusal is sent to waiting commands
        return all("is being stopped" in stop.output() for stop in stops)
    run.process.wait_output("web: stopping")
    wait_until(both_wait, "both commands wait for the end", interval=0.1)
    run.process.kill(signal.SIGUSR2)  # an upgrade would undo the stop
    run.process.wait_output("web: re-exec refused: the service is being stopped")
    check("killing" not in run.log(), f"log: {run.log()}")
    equal(processes(), 2, "processes in the service's cgroups")
    run.process.kill(signal.SIGTERM)
    equal([stop.wait() for stop in stops], [0, 0], "exit statuses of the commands")
    equal(run.process.wait(), 0, "exit status of the supervisor")
    check("killing the workers that are left" in run.log(), f"log: {run.log()}")


def test_main_process_ends(bed):
    """The main process ends and a child continues to serve: this is not a worker. The child is
    killed, and no other worker is started."""
    text = PROLOGUE + """
if os.fork():
    sys.exit(0)
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    time.sleep(1)
"""
    run = Run(bed, ["python3", script(bed, "worker.py", text)], "--max-restarts", "2", "--backoff",
              "10ms..50ms", workers=2, wait=False)
    wait_until(lambda: run.log().count("went to the background (pid") == 2, "both are failed")
    equal(run.process.wait(), 1, "exit status of the supervisor")


def test_full_output_pipe(bed):
    """Standard output is a full pipe that no process reads: workers are still shown and stopped.
    The supervisor gives up after a while."""
    pipe = bed.dir / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    text = PROLOGUE + """
while True:
    os.write(1, b'x' * 99 + b'\\n')
"""
    process = bed.start("sh", "-c", 'exec "$@" >pipe', "sh", bed.binary("reuseportd"), "run",
                        "--service", "web", "--workers", 2, "--log-prefix", "--kill-timeout", "1",
                        "--", "python3", script(bed, "worker.py", text), name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    equal([row["live"] for row in bed.status("web")["workers"]], [True] * 2, "live")
    bed.reuseportd("stop", "web", deadline=30)
    equal(processes(), 0, "processes in the service's cgroups")
    equal(process.wait(), 0, "exit status of the supervisor")
    os.close(reader)


def test_output_is_whole(bed):
    """Workers print at the same time: with --log-prefix no line is lost or torn."""
    lines = 20000
    run = Run(bed, ["python3", script(bed, "worker.py", PROLOGUE + f"""
slot = os.environ['REUSEPORTD_SLOT']
for n in range({lines}):
    print(f"line {{n}} of {{slot}}")
sys.stdout.flush()
""" + EPILOGUE)], "--log-prefix", workers=3)
    want = {f"{run.name}.{slot} | line {lines - 1} of {slot}" for slot in range(3)}
    wait_until(lambda: want <= set(run.process.out.read_text().splitlines()), "all is printed", 60,
               0.2)
    equal(run.stop(), 0, "exit status of the supervisor")
    seen = {slot: 0 for slot in range(3)}
    for line in run.process.out.read_text().splitlines():
        name, _, rest = line.partition(" | ")
        slot = int(name.removeprefix(f"{run.name}."))
        equal(rest, f"line {seen[slot]} of {slot}", "the next line of the worker")
        seen[slot] += 1
    equal(list(seen.values()), [lines] * 3, "lines")


def test_output_is_kept(bed):
    """Standard output is a pipe that no process reads: reload, upgrade and stop work. If it is read
    in the end, every line of every worker has arrived, once and complete."""
    lines = 20000
    path = bed.dir / "out.fifo"
    os.mkfifo(path)
    # The reading end of a pipe that fills up.
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    run = Run(bed, ["python3", script(bed, "worker.py", PROLOGUE + f"""
for n in range({lines}):
    print(f"line {{n}} of {{os.getpid()}}")
sys.stdout.flush()
""" + EPILOGUE)], "--drain-timeout", "1s", workers=1,
              under=["sh", "-c", f'exec "$@" >{path}', "-"])
    pids = run.pids()
    run.reload()
    pids += run.pids()
    run.process.kill(signal.SIGUSR2)
    wait_until(lambda: "is taken over" in run.log(), "the supervisor has re-executed itself")
    run.reload()
    pids += run.pids()
    stop = bed.start(bed.binary("reuseportd"), "stop", run.name, name="stop")
    wait_until(lambda: processes() == 0, "the workers have ended")
    text = b""

    def read():
        nonlocal text
        alive = run.process.alive()  # before the read: all that it has written is there then
        try:
            text += os.read(fifo, 65536)
        except BlockingIOError:
            return not alive
        return False

    wait_until(read, "the supervisor ends when all output is passed on", 60, 0.0001)
    equal((run.process.wait(), stop.wait()), (0, 0), "exit statuses of supervisor and stop")
    os.close(fifo)
    seen = dict.fromkeys(pids, 0)
    for line in text.decode().splitlines():
        pid = int(line.split()[-1])
        equal(line, f"line {seen[pid]} of {pid}", "the next line of the worker")
        seen[pid] += 1
    equal(list(seen.values()), [lines] * 3, "lines")


def test_above_memory_limit_at_start(bed):
    """Every worker exceeds --max-memory as soon as it runs: no further worker is started while the
    previous one drains, and the intervals become longer."""
    text = PROLOGUE + "ballast = b'x' * (64 << 20)\nheld = listener.accept()\n" + EPILOGUE
    run = Run(bed, ["python3", script(bed, "worker.py", text)], "--max-memory", "30M", "--settle",
              "0", "--drain-timeout", "7s", "--backoff", "1s..100s", workers=1)
    first = run.pids()[0]
    with Client():  # the first worker keeps this connection while it drains
        wait_until(lambda: run.pids()[0] != first, "the first worker is replaced")
        second = run.pids()[0]
        while os.path.exists(f"/proc/{first}"):
            equal(run.pids()[0], second, "worker in the slot while the first one drains")
            check(processes() <= 2, "a third worker was started")
    wait_until(lambda: "after 2 s" in run.log(), "the pause is longer", 40)
    check("after 1 s" in run.log(), "the first pause was 1 s")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_memory_check_beside_crashes(bed):
    """The memory of each worker is checked, however often the worker of another slot ends."""
    text = PROLOGUE + """
if slot == "1":
    time.sleep(0.5)
    sys.exit(1)
while not os.path.exists("big"):
    time.sleep(0.01)
ballast = b'x' * (64 << 20)
""" + EPILOGUE
    run = Run(bed, ["python3", script(bed, "worker.py", text)], "--max-memory", "30M", "--settle",
              "0", "--min-uptime", "1ms", workers=2)
    first = run.pids()[0]
    (bed.dir / "big").touch()
    run.process.wait_output(f"slot 0: pid {first} has ")
    check("max-memory is 30 MB" in run.log(), f"log: {run.log()}")
    equal(run.stop(), 0, "exit status of the supervisor")


# A program that listens on nothing, does something, and ends.
JOB = "echo run >>runs.$REUSEPORTD_SLOT; exit $1"


def runs(bed, slot):
    """How often the slot's job has run."""
    path = bed.dir / f"runs.{slot}"
    return path.read_text().count("run") if path.exists() else 0


@cases("0", "3")
def test_no_restart(bed, status):
    """--no-restart also applies to a worker that ends before it is ready: it runs once. Its result
    is the supervisor's exit status."""
    run = Run(bed, ["sh", script(bed, "job.sh", JOB), status], "--no-restart", workers=2,
              wait=False)
    equal(run.process.wait(), int(status != "0"), "exit status of the supervisor")
    equal([runs(bed, slot) for slot in range(2)], [1, 1], "runs")


def test_ended_when_ready(bed):
    """The supervisor learns at the same time that a job has lived long enough to be ready and that
    it has ended successfully: the end counts."""
    job = script(bed, "job.sh", "echo $$ >pid.tmp; mv pid.tmp pid; while [ ! -e go ]; do sleep 0.01; "
                                "done")
    run = Run(bed, ["sh", job], "--no-restart", "--ready", "alive:2", workers=1, wait=False)
    file = bed.dir / "pid"
    wait_until(file.exists, "the job runs")
    begin = time.monotonic()
    run.process.kill(signal.SIGSTOP)
    (bed.dir / "go").touch()
    stat = pathlib.Path("/proc", file.read_text().strip(), "stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z", "the job has ended")
    wait_until(lambda: time.monotonic() > begin + 2.1, "the job would have been ready")
    run.process.kill(signal.SIGCONT)
    equal(run.process.wait(), 0, f"exit status of the supervisor: {run.log()}")
    check("stopped; not started again" in run.log(), run.log())


def test_signal_without_name(bed):
    """A real-time signal that kills a worker or a probe is logged by its number."""
    run = Run(bed, ["sh", "-c", "kill -40 $$; sleep 1000"], "--no-restart", workers=1, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    check("ended with signal 40 before it was ready" in run.log(), run.log())
    run = Run(bed, worker_command(bed), "--ready", "exec:kill -40 $$; sleep 1000",
              "--ready-timeout", "1", "--no-restart", workers=1, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    check("the command ended with signal 40" in run.log(), run.log())


@timeout(150)
def test_cron_job(bed):
    """--cron-restart starts a finished job again, but not a slot that the user has stopped, also
    after a take-over."""
    run = Run(bed, ["sh", script(bed, "job.sh", JOB), "0"], "--no-restart", "--cron-restart",
              "* * * * *", workers=2)
    run.wait_states("stopped", "stopped")
    run.command_line("stop", 1)
    before = runs(bed, 1)
    run.kill_supervisor()
    run.start()
    wait_until(lambda: runs(bed, 0) > 1, "the next minute", 100, 0.2)
    run.process.wait_output("stopped; not")
    equal(runs(bed, 1), before, "runs of the stopped slot")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_crash_budget(bed):
    """A slot is shown as failed if its worker keeps crashing; the other slots continue."""
    run = Run(bed, ["python3", script(bed, "worker.py", """
import os, sys
if os.environ['REUSEPORTD_SLOT'] == '1':
    sys.exit(3)
""" + PROLOGUE + EPILOGUE)], "--max-restarts", "2", "--backoff", "10ms..50ms", workers=3)
    run.wait_states("active", "failed", "active")
    run.process.wait_output("failed")
    run.command_line("start", 1, status=1)
    run.wait_states("active", "failed", "active")
    equal([row["share_percent"] for row in run.workers()], [50.0, 0.0, 50.0], "shares")
    run.command_line("stop")
    equal(run.process.wait(), 1, "exit status of the supervisor")
