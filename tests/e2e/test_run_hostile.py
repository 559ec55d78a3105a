# SPDX-License-Identifier: BSD-2-Clause
"""Workers that don't behave: whatever they do, `stop` leaves nothing of them. That nothing is left
(processes, cgroups, pins, files) is what the bed sees to after each test."""
from bed import cases, check, equal, wait_until
from runs import Run, script

PROLOGUE = """
import os, signal, socket, subprocess, sys, time
listener = socket.socket()
listener.bind(("0.0.0.0", %PORT%))
listener.listen(100)
"""

EPILOGUE = """
while True:
    time.sleep(1)
"""

# A child that has left the session, and its parent.
DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {what}
        while True:
            time.sleep(1)
    os._exit(0)
"""

WORKERS = {
    "children": "for _ in range(5):\n    subprocess.Popen(['sleep', '1000'])\n",
    "double-fork": DAEMON.format(what="pass"),
    "ignores-signals": "for n in (1, 2, 3, 10, 12, 15):\n    signal.signal(n, signal.SIG_IGN)\n",
    "ignoring-daemon": DAEMON.format(what="signal.signal(15, signal.SIG_IGN)"),
    "flood": "for _ in range(200000):\n    print('x' * 99)\n",
    "closes-all": "os.closerange(0, 3)\nos.closerange(listener.fileno() + 1, 256)\n",
    "other-ports": "more = [socket.socket() for _ in range(3)]\n"
                   "more[0].bind(('0.0.0.0', 0)); more[0].listen()\n"
                   "more[1].bind(('127.0.0.1', 0)); more[1].listen()\n"
                   "more[2].connect(('127.0.0.1', %PORT%))\n",
    "setsid": "subprocess.Popen(['setsid', 'sleep', '1000'])\n",
    "fork-bomb": "for _ in range(5):\n    os.fork()\n",
}


@cases(*WORKERS)
def test_stop(bed, kind):
    run = Run(bed, ["python3", "-u", script(bed, "worker.py", PROLOGUE + WORKERS[kind] + EPILOGUE)],
              "--kill-timeout", "1", "--no-count", workers=2)
    wait_until(lambda: all(row["live"] for row in run.workers()), "both are up")
    equal(run.stop(), 0, "exit status of the supervisor")
    equal(bed.reuseportd("list", "--json").json(), [], "services")


def test_output_is_whole(bed):
    """No line is lost or torn, of workers that print at the same time, with their names in front."""
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


def test_crash_budget(bed):
    """A slot whose worker crashes again and again is failed; the others go on; `status` says so."""
    run = Run(bed, ["python3", script(bed, "worker.py", """
import os, sys
if os.environ['REUSEPORTD_SLOT'] == '1':
    sys.exit(3)
""" + PROLOGUE + EPILOGUE)], "--max-restarts", "2", "--backoff", "10ms..50ms", workers=3)
    run.wait_states("active", "failed", "active")
    check("failed" in run.log(), "the log doesn't tell of it")
    run.command_line("start", 1, status=1)
    run.wait_states("active", "failed", "active")
    equal([row["share_percent"] for row in run.workers()], [50.0, 0.0, 50.0], "shares")
    run.command_line("stop")
    equal(run.process.wait(), 1, "exit status of the supervisor")
