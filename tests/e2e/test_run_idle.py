# SPDX-License-Identifier: BSD-2-Clause
"""Workers without a listener, such as consumers of a queue: `run` supervises and replaces them like
others, alone and beside a server."""
import json
import os
import pathlib
import re
import signal

from harness.checks import cases, check, equal, text_of, wait_until
from harness.network import PORT
from runs import NODE, Run, script

# A program that accepts no connections.
CONSUMER = """
console.log('working');
setInterval(() => {}, 1000);
"""

# PM2's idiom: the first instance does something else.
FIRST_IS_OTHER = """
if (process.env.NODE_APP_INSTANCE === '0')
    setInterval(() => {}, 1000);
else
    require('./server.js');
"""

NOTIFIES = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


class Services:
    """Several services, from one PM2 file."""

    def __init__(self, bed, *apps):
        self.bed = bed
        self.file = bed.dir / "ecosystem.json"
        self.file.write_text(json.dumps({"apps": apps}))
        self.start([app["name"] for app in apps])

    def start(self, names):
        self.process = self.bed.start(self.bed.binary("reuseportd"), "run", self.file, name="run")
        for name in names:
            self.process.wait_output(f"{name}: started:")
        self.bed.remember_pinned()

    def rows(self, name):
        return self.bed.status(name)["workers"]

    def pids(self, name):
        return [row["pid"] for row in self.rows(name)]

    def wait_active(self, name, n, but=()):
        wait_until(lambda: [row["state"] for row in self.rows(name)] == ["active"] * n
                   and not set(self.pids(name)) & set(but), f"{name}: {n} other workers")


def test_mixed_file_of_pm2(bed):
    """A server and a consumer: both run, are reloaded, restarted, taken over and stopped."""
    script(bed, "server.js", NODE)
    script(bed, "consumer.js", CONSUMER)
    services = Services(
        bed, {"name": "web", "script": "server.js", "instances": 2, "exec_mode": "cluster"},
        {"name": "jobs", "script": "consumer.js", "instances": 2, "exec_mode": "fork",
         "listen_timeout": 500})
    status = bed.status("jobs")
    equal((status["endpoints"], [row["listeners"] for row in status["workers"]]), ([], [[], []]),
          "endpoints of the consumers")
    services.wait_active("jobs", 2)
    services.wait_active("web", 2)
    check("jobs: slot 1: pid" in services.process.output()
          and "listens on nothing: it is run and supervised" in services.process.output(), "the log")
    check("pid" in bed.reuseportd("status", "jobs").out.lower(), "the table")
    bed.reuseportd("doctor", "jobs")

    before = services.pids("jobs")
    bed.reuseportd("reload", "jobs", deadline=60)
    services.wait_active("jobs", 2, before)
    before = services.pids("jobs")
    bed.must("kill", "-9", str(before[0]))
    services.wait_active("jobs", 2, before[:1])
    equal(services.rows("jobs")[0]["restarts"], 1, "restarts")
    bed.reuseportd("stop", "jobs", "1")
    equal([row["state"] for row in services.rows("jobs")], ["active", "stopped"], "states")
    bed.reuseportd("start", "jobs", "1")
    services.wait_active("jobs", 2)

    before = services.pids("jobs") + services.pids("web")
    services.process.kill(9)
    services.process.wait()
    services.start(["web", "jobs"])
    equal(services.pids("jobs") + services.pids("web"), before, "pids after the take-over")
    services.wait_active("jobs", 2)
    equal(bed.load("-n", 20, "-c", 1)["failed"], 0, "the server")
    for name in ("jobs", "web"):
        bed.reuseportd("stop", name)
    equal(services.process.wait(), 0, "exit status of the supervisor")


def test_first_instance_is_other(bed):
    """Only some workers of an app listen: all are active, and connections go to the listening
    ones."""
    script(bed, "server.js", NODE)
    script(bed, "app.js", FIRST_IS_OTHER)
    services = Services(bed, {"name": "web", "script": "app.js", "instances": 3,
                              "listen_timeout": 2000})
    for _ in range(2):
        services.wait_active("web", 3)
        wait_until(lambda: [len(row["listeners"]) for row in services.rows("web")] == [0, 1, 1], "listeners")
        report = bed.load("-n", 40, "-c", 1)
        equal((report["failed"], sorted(report["workers"].values())), (0, [20, 20]), f"{report}")
        bed.reuseportd("reload", "web", deadline=60)
    bed.reuseportd("stop", "web")
    equal(services.process.wait(), 0, "exit status of the supervisor")


def test_reload_that_does_not_listen(bed):
    """If the old worker listens, a new worker that doesn't is rejected, however long it lives."""
    run = Run(bed, ["node", script(bed, "server.js", NODE)], "--ready", "alive:0.3",
              "--ready-timeout", "2", workers=2)
    wait_until(lambda: all(row["listeners"] for row in run.workers()), "both listen")
    pids = run.pids()
    refused = run.reload("--", "sleep", "600", status=1)
    check(f"did not listen on [::]:{PORT}" in refused.err, f"the reason: {refused}")
    equal((run.pids(), run.states()), (pids, ["active"] * 2), "the old workers")
    equal(run.stop(), 0, "exit status of the supervisor")


PERCPU_ARRAY = "map_type:\t6\n"


def counter_maps(pid):
    """How many maps of counters the process has open."""
    folder = pathlib.Path(f"/proc/{pid}/fdinfo")
    return sum(PERCPU_ARRAY in text_of(fd) for fd in folder.iterdir())


def test_stopped_service_is_closed(bed):
    """A supervisor that goes on for another service has no map of a service that has ended."""
    script(bed, "consumer.js", CONSUMER)
    app = {"script": "consumer.js", "listen_timeout": 100}
    services = Services(bed, {"name": "a", **app}, {"name": "b", **app})
    both = counter_maps(services.process.pid)
    check(both > 0, "no map of counters was found")
    bed.reuseportd("stop", "a", deadline=60)
    equal(counter_maps(services.process.pid), both // 2, f"of {both} maps of counters")
    bed.reuseportd("stop", "b", deadline=60)
    equal(services.process.wait(), 0, "exit status of the supervisor")


@cases("notify", "exec", "listens-later")
def test_ready(bed, case):
    """A worker that reports or shows that it is ready needs no listener, and may open one later."""
    command, ready = {
        "notify": (["python3", script(bed, "says.py", NOTIFIES)], "notify"),
        "exec": (["sleep", "600"], "exec:true"),
        "listens-later": (["node", "-e", "setTimeout(() => require('./server.js'), 1500)"],
                          "alive:0.2"),
    }[case]
    script(bed, "server.js", NODE)
    run = Run(bed, command, "--ready", ready, workers=1)
    equal(run.states(), ["active"], "states")
    if case == "listens-later":
        wait_until(lambda: run.workers()[0]["listeners"], "the worker listens")
        equal(bed.load("-n", 10)["failed"], 0, "failed")
    equal(run.stop(), 0, "exit status of the supervisor")


def views(bed, run):
    """The values of each view: states, live and with an age, number of live workers, finding of
    doctor."""
    rows = run.workers()
    [listed] = bed.reuseportd("list", "--json").json()
    metrics = bed.reuseportd("metrics", run.name).out
    doctor = bed.reuseportd("doctor", run.name, "--json", status=None).json()
    return ([row["state"] for row in rows], [row["live"] for row in rows],
            [row["age_seconds"] is not None for row in rows], listed["live"],
            len(re.findall("^reuseportd_worker_start_time_seconds{", metrics, re.M)),
            [row["detail"] for row in doctor if row["check"] == run.name][0])


def test_live(bed):
    """In all views a running worker without a listener is live; it is dead after its death, even if
    no supervisor has noticed."""
    run = Run(bed, ["sleep", "600"], "--ready", "alive:0.2", workers=2)
    equal(views(bed, run),
          (["active"] * 2, [True] * 2, [True] * 2, 2, 2, "all 2 workers live"), "both live")
    equal([row["share_percent"] for row in run.workers()], [0, 0], "shares")
    pid = run.pids()[1]
    run.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the process is gone")
    equal(views(bed, run), (["active", "dead"], [True, False], [True, False], 1, 1,
                            "1 of 2 workers are dead: slot 1"), "one lives")
    run.start()
    run.wait_states("active", "active")
    equal(run.stop(), 0, "exit status of the supervisor")
