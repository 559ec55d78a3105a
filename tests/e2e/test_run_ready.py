# SPDX-License-Identifier: BSD-2-Clause
"""When a worker of `run` is ready, by whatever it says or shows; who waits for it meanwhile; health;
files; sockets that are passed."""
import urllib.request

from bed import PORT, Client, cases, check, equal, wait_until
from runs import NODE, PYTHON, Run, script, worker_command

GATE = """
import os, socket, threading, time

def when_open(name, action):
    def wait():
        while not os.path.exists(name):
            time.sleep(0.01)
        action()
    threading.Thread(target=wait, daemon=True).start()
"""

NOTIFY = GATE + """
def notify():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(b"STATUS=x\\nREADY=1\\n", os.environ["NOTIFY_SOCKET"])
when_open("gate", notify)
""" + PYTHON

MESSAGE = NODE + """
const timer = setInterval(() => {
    if (require('fs').existsSync('gate')) {
        process.send('ready');
        clearInterval(timer);
    }
}, 10);
"""

HTTP = PYTHON.replace("self.send_response(200)",
                      "self.send_response(200 if os.path.exists('gate') else 503)")


@cases("notify", "message", "http", "exec")
def test_not_before(bed, kind):
    """Listening alone is not enough: connections wait until the first worker is ready, and none is
    lost; a worker that isn't ready gets none."""
    options = {"http": "http:/", "exec": "exec:test -e gate"}.get(kind, kind)
    command = {
        "notify": lambda: ["python3", script(bed, "server.py", NOTIFY)],
        "message": lambda: ["node", script(bed, "server.js", MESSAGE)],
        "http": lambda: ["python3", script(bed, "server.py", HTTP)],
        "exec": lambda: worker_command(bed),
    }[kind]()
    run = Run(bed, command, "--ready", options, workers=2, wait=False)
    run.process.wait_output("serving")
    with Client() as client:
        client.send()
        wait_until(lambda: run.status()["parked"] == 1, "the connection waits")
        equal(run.states(), ["starting"] * 2, "states")
        (bed.dir / "gate").touch()
        check(client.receive(), "who answers")
    run.process.wait_output("started: 2 workers")
    bed.remember_pinned()
    equal(run.states(), ["active"] * 2, "states")
    check("1 connections that waited were handed over" in run.log(), "the log tells of it")
    equal(run.stop(), 0, "exit status of the supervisor")


SICK = PYTHON.replace(
    "self.send_response(200)",
    "self.send_response(503 if os.path.exists('sick.%d' % os.getpid()) else 200)")


def test_health(bed):
    """A worker that fails its checks is replaced; the others go on."""
    run = Run(bed, ["python3", script(bed, "server.py", SICK)], "--ready", "http:/",
              "--health-interval", "0.1", "--health-failures", "2", workers=2)
    sick = run.pids()[1]
    (bed.dir / f"sick.{sick}").touch()
    wait_until(lambda: run.pids()[1] != sick and run.states() == ["active"] * 2,
               "another is in its slot")
    equal([row["restarts"] for row in run.workers()], [0, 1], "restarts")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_health_within_reload(bed):
    """A worker that fails its checks during a reload, which is then taken back: it is replaced when
    the reload is over."""
    run = Run(bed, ["python3", script(bed, "server.py", SICK)], "--ready", "http:/",
              "--health-interval", "0.1", "--health-failures", "2", "--ready-timeout", "3",
              workers=2)
    sick, other = run.pids()[1], run.pids()[0]
    reload = bed.start(bed.binary("reuseportd"), "reload", "--batch", "1", run.name, "--", "sleep",
                       "1000", name="reload")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 3, "a new one is started")
    (bed.dir / f"sick.{sick}").touch()
    wait_until(lambda: "health check 2 of 2 failed" in run.log(), "it fails its checks")
    check(reload.alive(), "the reload is over already")
    equal(reload.wait(), 1, f"exit status of the reload: {reload.output()}")
    wait_until(lambda: run.pids()[1] != sick and run.states() == ["active"] * 2,
               "another is in its slot")
    equal(run.pids()[0], other, "the well one's pid")


def test_park_timeout(bed):
    """Nobody gets ready: who waits is reset when the time is over, and new ones are refused."""
    run = Run(bed, worker_command(bed), "--ready", "exec:false", "--ready-timeout", "60",
              "--park-timeout", "1", "--listen", f"0.0.0.0:{PORT}", workers=1, wait=False)
    wait_until(lambda: bed.run(bed.binary("reuseportd"), "status", run.name).code == 0, "pins")
    bed.remember_pinned()
    report = bed.load("-n", 3, "--timeout", 20000)
    equal((report["ok"], report["reset"] + report["refused"]), (0, 3), f"{report}")
    check("are refused" in run.log(), "the log tells of it")
    run.command_line("stop")


@cases("port", "address")
def test_pass_sockets(bed, case):
    """Each worker has a listener of its own from the start, as systemd passes them."""
    where = str(PORT) if case == "port" else f"127.0.0.1:{PORT}"
    command = ["python3", "-c", """
import os, socket
assert os.environ["LISTEN_FDS"] == "1" and int(os.environ["LISTEN_PID"]) == os.getpid()
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    me = str(os.getpid())
    connection.sendall(f"HTTP/1.1 200 OK\\r\\nX-Worker: {me}\\r\\nContent-Length: 0\\r\\n"
                       "Connection: close\\r\\n\\r\\n".encode())
    connection.close()
"""]
    run = Run(bed, command, "--pass-sockets", "--listen", where, workers=3)
    report = bed.load("-n", 60, "-c", 1)
    equal((report["failed"], sorted(report["workers"].values())), (0, [20] * 3), f"{report}")
    run.reload()
    report = bed.load("-n", 60, "-c", 1)
    equal((report["failed"], sorted(report["workers"].values())), (0, [20] * 3), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_file(bed):
    """A file of two services; one of them is changed and reloaded; metrics of both."""
    config = bed.dir / "both.conf"
    server = script(bed, "server.py", PYTHON.replace("%PORT%", "int(os.environ['PORT'])"))

    def write(workers):
        config.write_text(f"[service one]\ncommand = python3 {server}\nlisten = 8081\n"
                          f"workers = {workers}\n"
                          f"[service two]\ncommand = python3 {server}\nlisten = 8082\n"
                          "workers = 1\n")
    write(1)
    process = bed.start(bed.binary("reuseportd"), "run", config, "--metrics", "127.0.0.1:9464",
                        name="run")
    for name in ("one", "two"):
        process.wait_output(f"{name}: started: 1 workers")
    bed.remember_pinned()
    write(3)
    bed.reuseportd("reload", "one")
    wait_until(lambda: [row["state"] for row in bed.status("one")["workers"]] == ["active"] * 3,
               "three workers")
    equal(len(bed.status("two")["workers"]), 1, "workers of the other service")
    with urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for name in ("one", "two"):
        check(f'reuseportd_worker_restarts_total{{service="{name}",slot="0"' in text,
              f"no metrics of {name}")
    config.write_text("[service one]\nworkers = many\n")
    refused = bed.reuseportd("reload", "one", status=2)
    check("both.conf:2" in refused.err, f"the line is not told: {refused}")
    for name in ("one", "two"):
        bed.reuseportd("stop", name)
    equal(process.wait(), 0, "exit status of the supervisor")
