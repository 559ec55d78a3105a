# SPDX-License-Identifier: BSD-2-Clause
"""Programs that go to the background: the main process ends, and another one goes on."""
import os
import signal
import time

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from harness.servers import WSGI_APP
from harness.traffic import wait_for_load
from runs import PYTHON, Run, script

# Each does what daemon(3) does, before or after it listens, or in a second child.
DAEMON = PYTHON.replace("Server((", """
def background():
    if os.fork():
        os._exit(0)
    os.setsid()

if "%CASE%" == "before":
    background()
server = Server((""").replace(".serve_forever()", """
if "%CASE%" != "before":
    background()
if "%CASE%" == "twice":
    background()
server.serve_forever()""")


def daemon(bed, case):
    return ["python3", script(bed, f"{case}.py", DAEMON.replace("%CASE%", case))]


@cases("before", "after", "twice", "nginx")
def test_background(bed, case):
    """A program that goes to the background fails at once, and isn't started again."""
    command = daemon(bed, case)
    if case == "nginx":
        conf = bed.dir / "nginx.conf"
        conf.write_text(f"pid {bed.dir}/nginx.pid; error_log stderr; events {{}}\n"
                        f"http {{ access_log off; server {{ listen {PORT}; }} }}\n")
        command = ["nginx", "-c", str(conf)]
    run = Run(bed, command, workers=2, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    log = run.log()
    equal(log.count("went to the background (pid "), 2, f"failures in the log\n{log}")
    check(", holds 0.0.0.0:8080); use its foreground option, for example `daemon off;`" in log
          or case == "before", f"the log names the listener\n{log}")
    for text in ("takes connections", "started", "exit status 0"):
        check(text not in log, f"no {text!r} in\n{log}")


# Goes to the background when it has listened for a while, and listens again there, but later.
LISTENS_AGAIN = PYTHON.replace("Server((", "server = Server((").replace(".serve_forever()", """
import signal, time
time.sleep(0.3)
closed, done = os.pipe()
if os.fork():
    os.close(done)
    os.read(closed, 1)
    os._exit(0)
server.server_close()
os.close(done)
signal.pause()""")


@cases("after", "again")
def test_background_reload(bed, case):
    """A reload with such a program is rolled back."""
    run = Run(bed, ["python3", script(bed, "server.py", PYTHON)], "--settle", "2", workers=2)
    pids = run.pids()
    new = ["python3", script(bed, "again.py", LISTENS_AGAIN)] if case == "again" else \
        daemon(bed, "after")
    answer = run.reload("--", *new, status=1)
    check("the new worker (pid " in answer.err and ") went to the background (pid " in answer.err,
          f"{answer}")
    equal((run.pids(), run.states()), (pids, ["active"] * 2), "the old workers")
    equal(run.stop(), 0, "exit status of the supervisor")


# Serves, and goes to the background when a file asks it to: in one step or two, or it leaves a
# successor with a listener of its own, as haproxy -sf does.
LATER = """
import os, select, socket, subprocess, sys

listener = socket.create_server(("0.0.0.0", %PORT%), backlog=512)
gate, how = f"background-{os.getpid()}", sys.argv[1]
if how == "after":
    print(flush=True)

def serve(timeout):
    if not select.select([listener], [], [], timeout)[0]:
        return False
    client = listener.accept()[0]
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nX-Worker: %d\\r\\nContent-Length: 0\\r\\n"
                   b"Connection: close\\r\\n\\r\\n" % os.getpid())
    client.close()
    return True

while not os.path.exists(gate):
    serve(0.02)
if how == "successor":
    subprocess.Popen([sys.executable, sys.argv[0], "after"], stdout=subprocess.PIPE).stdout.read(1)
    while serve(0):
        pass
    os._exit(0)
for _ in range(2 if how == "twice" else 1):
    if os.fork():
        os._exit(0)
    os.setsid()
while True:
    serve(None)
"""


def wait_served(run):
    """Waits until the workers have been in their slots for so long that their programs no longer
    count as such that go to the background when they start."""
    wait_until(lambda: all(time.time() > row["admitted_at"] + 4 for row in run.workers()),
               "they have served for a while")


def wait_replaced(bed, run, n):
    """Waits until @n workers were found in the background, and others are in their slots."""
    def is_replaced():
        return (run.log().count("went to the background (pid ") == n
                and run.log().count("takes connections") == 2 * n
                and len(list(bed.cgroups(run.name))) == n)
    wait_until(is_replaced, "the workers are replaced", 60, 0.1)
    equal(run.states(), ["active"] * n, "states")
    unhealthy = [e["text"] for e in bed.reuseportd("events", run.name, "--json").json()
                 if e["event"] == "unhealthy"]
    equal(unhealthy, ["background"] * n, "events")


@cases("one", "once", "twice", "successor", "one-successor")
def test_background_later(bed, case):
    """A worker goes to the background while it serves: it serves until another has its slot, and
    its connections have ended. The service goes on, also if all of its workers do so."""
    workers = 1 if case.startswith("one") else 2
    run = Run(bed, ["python3", script(bed, "later.py", LATER), case.replace("one-", "")],
              workers=workers)
    load = bed.start_load("-c", 4, "--rate", 200)
    wait_served(run)
    wait_for_load(bed, range(workers), 50)
    for pid in run.pids():
        (bed.dir / f"background-{pid}").touch()
    wait_replaced(bed, run, workers)
    wait_for_load(bed, range(workers), 50)
    load.stop_unfailed()
    check("use its foreground option" in run.log(), f"log: {run.log()}")
    check("reuseportd start" not in run.log(), f"no slot has failed: {run.log()}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_upgrade_of_its_own(bed):
    """gunicorn executes itself again as its own child, which inherits the listener, and the old
    main process ends: connections go to the new one, then to a worker that replaces it."""
    script(bed, "tiny.py", WSGI_APP)
    run = Run(bed, [bed.program("gunicorn"), "--bind", f"0.0.0.0:{PORT}", "--worker-tmp-dir",
                    bed.dir, "--no-sendfile", "tiny:app"], workers=1)
    old = run.pids()[0]
    load = bed.start_load("-c", 2, "--rate", 100)
    wait_served(run)
    wait_for_load(bed, [0], 20)
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: len(list(bed.dir.glob("booted.*"))) == 2, "the new one has a worker")
    os.kill(old, signal.SIGTERM)
    wait_replaced(bed, run, 1)
    wait_for_load(bed, [0], 20)
    load.stop_unfailed()
    equal(run.stop(), 0, "exit status of the supervisor")
