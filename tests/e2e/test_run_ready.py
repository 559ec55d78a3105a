# SPDX-License-Identifier: BSD-2-Clause
"""Readiness of workers of `run`, connections that wait for it, health probes, configuration files,
and passed sockets."""
import json
import os
import pathlib
import signal
import urllib.request

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT, Client
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
def test_waits_until_ready(bed, kind):
    """A listener is not enough: connections wait until the first worker is ready, and none is lost.
    A worker that is not ready gets no connection."""
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
        check(client.receive(), "answers by worker")
    run.process.wait_output("started: 2 workers")
    bed.remember_pinned()
    equal(run.states(), ["active"] * 2, "states")
    check("1 connection that waited was handed over" in run.log(), "the log reports it")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("notify", "message")
def test_ready_without_supervisor(bed, kind):
    """The supervisor is killed while its workers start. Only then they report that they are ready,
    and the reports are lost: the next supervisor doesn't wait for them, but starts other workers at
    once."""
    command = {"notify": lambda: ["python3", script(bed, "server.py", NOTIFY)],
               "message": lambda: ["node", script(bed, "server.js", MESSAGE)]}[kind]()
    run = Run(bed, command, "--ready", kind, "--ready-timeout", "1h", "--drain-timeout", "1h",
              workers=2, wait=False)
    run.process.wait_output("serving")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 2, "two workers start")
    run.kill_supervisor()
    (bed.dir / "gate").touch()
    run.start()
    equal(run.states(), ["active"] * 2, "states")
    equal(run.log().count("is in no slot"), 2, "number of replaced workers")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 2, "the first two workers are gone")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_stop_starting_workers(bed):
    """The number of starting workers is limited. When they are stopped, the workers that wait for
    them are started."""
    most = max(4, 2 * os.sysconf("SC_NPROCESSORS_ONLN"))  # workers that start at the same time
    run = Run(bed, worker_command(bed), "--ready", "exec:test -e gate", "--ready-timeout", "1h",
              workers=most + 2, wait=False)
    wait_until(lambda: len(list(bed.cgroups(run.name))) == most,
               "the maximum number of workers is starting")
    run.command_line("stop", f"0-{most - 1}")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 2, "only the other workers remain")
    (bed.dir / "gate").touch()
    run.wait_states(*["stopped"] * most, *["active"] * 2)
    bed.remember_pinned()
    equal(run.stop(), 0, "exit status of the supervisor")


ONE_HAS_MORE = NODE + """
if (process.env.NODE_APP_INSTANCE === '0')
    http.createServer((_, response) => response.end('metrics')).listen(9100);
"""


def test_port_of_one_worker(bed):
    """One worker has an additional port, as for metrics with PM2: it is this worker's own, and no
    endpoint of the service."""
    run = Run(bed, ["node", script(bed, "server.js", ONE_HAS_MORE)], workers=3)
    for _ in range(2):
        equal(run.states(), ["active"] * 3, "states")
        wait_until(lambda: [sorted(it["endpoint"].rsplit(":", 1)[1] for it in row["listeners"])
                            for row in run.workers()] == [["8080"]] * 3, "ports of each worker")
        report = bed.load("-n", 30, "-c", 1)
        equal((report["failed"], sorted(report["workers"].values())), (0, [10] * 3), f"{report}")
        with urllib.request.urlopen("http://127.0.0.1:9100/", timeout=10) as answer:
            equal(answer.read(), b"metrics", "the port of slot 0")
        run.reload()
    equal(run.stop(), 0, "exit status of the supervisor")


def test_port_counted_up(bed):
    """PM2's increment_var: each worker has its own port, also after a reload."""
    program = script(bed, "server.js", NODE.replace("%PORT%", "process.env.PORT"))
    run = Run(bed, ["node", program], "--env", f"PORT={PORT}", "--increment-var", "PORT", workers=3)
    for _ in range(2):
        equal(run.states(), ["active"] * 3, "states")
        for slot in range(3):
            report = bed.load("-n", 5, "-t", f"127.0.0.1:{PORT + slot}", hosts=())
            equal((report["failed"], [name.split(".")[0] for name in report["workers"]]),
                  (0, [str(slot)]), f"{report}")
        run.reload()
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("tcp", "http:/")
def test_probe_without_ipv6(bed, ready):
    """IPv6 is disabled, but the worker listens on [::], which also accepts IPv4: it is probed by
    IPv4."""
    for name in ("all", "lo"):
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    program = script(bed, "server.py", PYTHON.replace(
        'Server(("0.0.0.0"', 'Server.address_family = socketserver.socket.AF_INET6\nServer(("::"'))
    run = Run(bed, ["python3", program], "--listen", PORT, "--ready", ready,
              "--ready-timeout", "5", "--health-interval", "0.1", workers=2)
    equal([it["endpoint"] for it in run.workers()[0]["listeners"]], [f"[::]:{PORT}"], "listeners")
    report = bed.load("-n", 20, "-c", 1)
    equal((report["failed"], sorted(report["workers"].values())), (0, [10] * 2), f"{report}")
    check("health probe" not in run.log(), run.log())
    equal(run.stop(), 0, "exit status of the supervisor")


def test_wrong_address(bed):
    """Node listens on [::]; with --listen 0.0.0.0 the error says so, and what to use instead."""
    run = Run(bed, ["node", script(bed, "server.js", NODE)], "--listen", f"0.0.0.0:{PORT}",
              "--ready-timeout", "3", "--max-restarts", "2", workers=1, wait=False)
    run.process.wait_output(
        f"did not listen on 0.0.0.0:{PORT} within 3 s (--ready-timeout; --listen {PORT} would take any address "
        f"with that port); it listens on [::]:{PORT}")
    bed.remember_pinned()
    run.command_line("stop")
    run.process.wait()


def test_probe_without_answer(bed):
    """A worker listens, and never answers its probe: the reason says that, and not that it listens
    on nothing."""
    program = f"import socket, time; s = socket.create_server(('', {PORT})); time.sleep(600)"
    run = Run(bed, ["python3", "-c", program], "--ready", "http:/", "--ready-timeout", "4",
              "--max-restarts", "1", workers=1, wait=False)
    run.process.wait_output("was not ready within 4 s (--ready-timeout): its probe was not answered")
    check("listens on nothing" not in run.log(), run.log())
    equal(run.process.wait(), 1, "exit status of the supervisor")


SICK = PYTHON.replace(
    "self.send_response(200)",
    "self.send_response(503 if os.path.exists('sick.%d' % os.getpid()) else 200)")


def test_health(bed):
    """A worker that fails its health probes is replaced; the others continue."""
    run = Run(bed, ["python3", script(bed, "server.py", SICK)], "--ready", "http:/",
              "--health-interval", "0.1", "--health-failures", "2", workers=2)
    sick = run.pids()[1]
    (bed.dir / f"sick.{sick}").touch()
    wait_until(lambda: run.pids()[1] != sick and run.states() == ["active"] * 2,
               "another is in its slot")
    equal([row["restarts"] for row in run.workers()], [0, 1], "restarts")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_health_recovers(bed):
    """The only worker is unhealthy, and its replacement doesn't become ready: it keeps its slot,
    and is checked until it is healthy again or the replacement is ready."""
    run = Run(bed, ["python3", script(bed, "server.py", PYTHON.replace(
        "self.send_response(200)", "self.send_response(503 if os.path.exists('sick') else 200)"))],
        "--ready", "http:/", "--health-interval", "0.1", "--health-failures", "2",
        "--ready-timeout", "60", workers=1)
    pids = run.pids()
    (bed.dir / "sick").touch()
    run.process.wait_output("it is replaced")
    equal(run.pids(), pids, "the only worker is in its slot")
    check(f"pid {pids[0]} is unhealthy" in run.workers()[0]["reason"], f"{run.workers()}")
    (bed.dir / "sick").unlink()
    run.process.wait_output(f"slot 0: pid {pids[0]} is healthy again")
    equal(run.workers()[0]["reason"], None, "the reason")
    wait_until(lambda: run.pids() != pids, "the replacement is in its slot")
    equal(run.states(), ["active"], "states")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_unhealthy_worker_dies(bed):
    """The only worker is unhealthy and dies while its replacement starts: the slot is starting
    until the replacement is ready."""
    text = PYTHON.replace("self.send_response(200)", "self.send_response("
                          "503 if os.path.exists('sick') and not os.path.exists('well') else 200)")
    run = Run(bed, ["python3", script(bed, "server.py", text)], "--ready", "http:/",
              "--health-interval", "0.1", "--health-failures", "2", "--ready-timeout", "60",
              workers=1)
    (bed.dir / "sick").touch()
    run.process.wait_output("it is replaced")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 2, "another is started")
    os.kill(run.pids()[0], signal.SIGKILL)
    run.wait_states("starting")
    (bed.dir / "well").touch()
    run.wait_states("active")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_unhealthy_during_reload(bed):
    """A worker fails its health probes during a reload that is rolled back: it is replaced after
    the reload."""
    run = Run(bed, ["python3", script(bed, "server.py", SICK)], "--ready", "http:/",
              "--health-interval", "0.1", "--health-failures", "2", workers=2)
    sick, other = run.pids()[1], run.pids()[0]
    reload = bed.start(bed.binary("reuseportd"), "reload", "--batch", "1", run.name, "--", "sh", "-c",
                       "until [ -e gate ]; do sleep 0.05; done; exit 1", name="reload")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 3, "a new worker is started")
    (bed.dir / f"sick.{sick}").touch()
    wait_until(lambda: "health probe 2 of 2 failed" in run.log(), "it fails its health probes")
    check(reload.alive(), "the reload has ended too early")
    (bed.dir / "gate").touch()
    equal(reload.wait(), 1, f"exit status of the reload: {reload.output()}")
    wait_until(lambda: run.pids()[1] != sick and run.states() == ["active"] * 2,
               "another is in its slot")
    equal(run.pids()[0], other, "pid of the healthy worker")


def test_park_timeout(bed):
    """No worker becomes ready: waiting connections are reset after --park-timeout, and new ones are
    refused."""
    run = Run(bed, worker_command(bed), "--ready", "exec:false", "--ready-timeout", "60",
              "--park-timeout", "1", "--listen", f"0.0.0.0:{PORT}", workers=1, wait=False)
    wait_until(lambda: bed.run(bed.binary("reuseportd"), "status", run.name).code == 0, "pins")
    bed.remember_pinned()
    report = bed.load("-n", 3, "--timeout", 20000)
    equal((report["ok"], report["reset"] + report["refused"]), (0, 3), f"{report}")
    run.process.wait_output("are refused")
    run.command_line("stop")


@cases("port", "address")
def test_pass_sockets(bed, case):
    """Each worker gets its own listener at its start, as systemd passes them."""
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


def test_other_user(bed):
    """If a process of another user has the port, the error says so; a reload can't change the
    user."""
    rival = bed.start("/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                      "/usr/bin/python3", "-c", "import signal, socket\n"
                      f"listener = socket.create_server(('127.0.0.1', {PORT}))\n"
                      "print('listening', flush=True)\nsignal.pause()", name="rival")
    rival.wait_output("listening")
    run = Run(bed, worker_command(bed), "--listen", PORT, "--max-restarts", "1", workers=1,
              wait=False)
    run.process.wait_output(f" (python3) of user 65534 listens on 127.0.0.1:{PORT}, but the workers "
                            "run as user 0, and users can't share a port")
    run.process.wait()
    rival.stop()

    config = bed.dir / "web.conf"
    text = f"[web]\ncommand = {' '.join(map(str, worker_command(bed)))}\nworkers = 1\n"
    config.write_text(text)
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    config.write_text(text + "user = 65534\ngroup = 65534\n")
    refused = bed.reuseportd("reload", "web", status=1)
    check("user can't be changed by a reload" in refused.err, f"the reason: {refused}")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


def test_reload_to_notify(bed):
    """The file has another kind of readiness than at the start."""
    config, program = bed.dir / "web.conf", script(bed, "server.py", NOTIFY)
    config.write_text(f"[web]\ncommand = python3 {program}\nworkers = 1\n")
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    (bed.dir / "gate").touch()
    config.write_text(config.read_text() + "ready = notify\nready-timeout = 10s\n")
    bed.reuseportd("reload", "web", deadline=60)
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


def test_warnings_of_a_file(bed):
    """Warnings are printed when the file is read, and again only if they change, although each
    reload of a service reads the whole file."""
    config, server = bed.dir / "both.json", script(
        bed, "server.py", PYTHON.replace("%PORT%", "int(os.environ['PORT'])"))

    def write(cron):
        config.write_text(json.dumps([
            {"name": name, "script": str(server), "interpreter": "python3", "port": port,
             "cron_restart": cron} for name, port in (("one", 8081), ("two", 8082))]))
    write("7 0 4 * * *")
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    for name in ("one", "two"):
        process.wait_output(f"{name}: started: 1 worker")
    bed.remember_pinned()
    for cron in ("7 0 4 * * *", "7 0 5 * * *"):
        write(cron)
        for name in ("one", "two"):
            bed.reuseportd("reload", name)
    for name in ("one", "two"):
        bed.reuseportd("stop", name)
    equal(process.wait(), 0, "exit status of the supervisor")
    for times in ("0 4 * * *", "0 5 * * *"):
        equal(process.output().count(f"seconds are not supported: '{times}'"), 2,
              f"warnings of '{times}', one for each app")


def test_file(bed):
    """A file of two services: one is changed and reloaded; the metrics have both."""
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
        process.wait_output(f"{name}: started: 1 worker")
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
    before = {name: [row["pid"] for row in bed.status(name)["workers"]] for name in ("one", "two")}
    bed.reuseportd("reload", "--supervisor", process.pid, deadline=60)
    for name, pids in before.items():
        now = {row["pid"] for row in bed.status(name)["workers"]}
        check(len(now) == len(pids) and not now & set(pids), f"{name}: other workers")
    whole = config.read_text()
    config.write_text(whole.replace("listen = 8082", "listen = 8083"))
    refused = bed.reuseportd("reload", "--supervisor", process.pid, status=1, deadline=60)
    check("two: listen, pass-sockets" in refused.err and "1 of 2 services were not" in refused.err,
          f"services that were not reloaded: {refused}")
    bed.reuseportd("reload", "--supervisor", 1 << 22, status=1)
    config.write_text("[service one]\nworkers = many\n")
    refused = bed.reuseportd("reload", "one", status=2)
    check("both.conf:2" in refused.err, f"the line is missing: {refused}")
    for name in ("one", "two"):
        bed.reuseportd("stop", name)
    equal(process.wait(), 0, "exit status of the supervisor")
