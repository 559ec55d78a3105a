# SPDX-License-Identifier: BSD-2-Clause
"""Apps of PM2 in fork mode: only one process of such an app may run at a time. And apps that never
report that they are ready."""
import json
import re

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT, Client
from runs import NODE, Run, script

# Records its start and its end, which takes a while.
RECORD = """
const fs = require('fs');
const note = what => fs.appendFileSync('%DIR%/record', what + '\\n');
process.on('SIGINT', () => setTimeout(() => { note('end'); process.exit(); }, 300));
note('start');
setInterval(() => {}, 1000);
"""

# The same, but goes on until another process has started.
RECORD_BESIDE = RECORD.replace("setTimeout(() => { note('end'); process.exit(); }, 300)", """setInterval(() => {
    if (fs.readFileSync('%DIR%/record', 'utf8').split('start').length > 2) {
        note('end');
        process.exit();
    }
}, 10)""")

# Each needs something that only one process can have.
ALONE = {
    "scheduler": "",
    "lock": "fs.openSync('%DIR%/lock', 'wx'); process.on('exit', () => fs.unlinkSync('%DIR%/lock'));",
    "unix": "require('net').createServer().listen('%DIR%/socket');"
            "process.on('exit', () => fs.unlinkSync('%DIR%/socket'));",
    "udp": "require('dgram').createSocket('udp4').bind(5353);",
}


class App(Run):
    """A service of a PM2 file with one app."""

    def __init__(self, bed, text, wait=True, **app):
        self.bed, self.name = bed, "web"
        script(bed, "app.js", text.replace("%DIR%", str(bed.dir)))
        self.file = bed.dir / "ecosystem.json"
        self.app = {"name": "web", "script": "app.js", "listen_timeout": 300,
                    "kill_timeout": 60000, **app}
        self.write()
        self.start(wait)

    def write(self):
        self.file.write_text(json.dumps({"apps": [self.app]}))

    def start(self, wait=True):
        self.process = self.bed.start(self.bed.binary("reuseportd"), "run", self.file, name="run")
        if wait:
            self.process.wait_output("web: started:")
            self.bed.remember_pinned()

    def record(self):
        path = self.bed.dir / "record"
        return path.read_text().split() if path.exists() else []

    def expect(self, *record):
        """A process that has just been started has not written yet."""
        wait_until(lambda: len(self.record()) >= len(record), f"the record is {record}")
        equal(self.record(), list(record), "the record")


@cases(*ALONE)
def test_alone(bed, kind):
    """In fork mode, which is the default without `instances`, a reload ends the old process before
    the new one starts, as in PM2."""
    app = App(bed, RECORD + ALONE[kind])
    app.expect("start")
    app.reload()
    app.expect("start", "end", "start")
    equal(app.stop(), 0, "exit status of the supervisor")


@cases("listens", "cluster", "false", "true")
def test_beside(bed, kind):
    """An app that listens on a TCP port, or runs in cluster mode, keeps the old process until the new
    one is ready; `in_place` in the file decides it."""
    text = RECORD if kind == "true" else RECORD_BESIDE
    more = {"cluster": {"instances": 1}, "false": {"in_place": False},
            "true": {"in_place": True}}.get(kind, {})
    app = App(bed, text + (NODE if kind in ("listens", "true") else ""),
              listen_timeout=20000 if kind in ("listens", "true") else 1000, **more)
    app.expect("start")
    app.reload()
    app.expect("start", *(("end", "start") if kind == "true" else ("start", "end")))
    equal(app.stop(), 0, "exit status of the supervisor")


def test_memory_in_place(bed):
    """An app of fork mode that gets too big is replaced in place, too."""
    app = App(bed, RECORD + """
if (!fs.existsSync('%DIR%/second'))
    setTimeout(() => { globalThis.ballast = Buffer.alloc(200 << 20, 1); }, 500);
fs.writeFileSync('%DIR%/second', '');
""", max_memory_restart="150M")
    app.expect("start", "end", "start")
    equal(app.stop(), 0, "exit status of the supervisor")


def test_never_says_ready(bed):
    """wait_ready: a program that never sends the message is ready after listen_timeout, with a
    warning, also on a reload; once it has sent the message, it must send it again."""
    app = App(bed, NODE, wait_ready=True, instances=2)
    check("has not called process.send('ready') within 0.3 s" in app.log(), app.log())
    before = app.pids()
    wait_until(lambda: all(row["listeners"] for row in app.workers()), "both listen")
    app.reload()
    check(not set(app.pids()) & set(before), "all workers are new ones")
    with Client() as client:
        client.ask()
    equal(app.stop(), 0, "exit status of the supervisor")


def test_ends_before_it_is_ready(bed):
    """A program that ends again and again, but not at once, is started again without end, as in
    PM2."""
    app = App(bed, RECORD + "setTimeout(() => process.exit(1), 400);", wait=False, min_uptime=100,
              max_restarts=2, listen_timeout=20000)
    app.process.wait_output("ended with exit status 1")
    wait_until(lambda: len(app.record()) > 4, "it is started again")
    equal(app.stop(), 0, "exit status of the supervisor")


# Binds an address that workers can't share.
RIVAL = """
import socket
other = socket.socket(socket.AF_UNIX)
try:
    other.bind(ADDRESS)
except OSError as error:
    raise SystemExit(f"{error}SHOWN")
other.listen()
listener = socket.socket()
listener.bind(("0.0.0.0", %PORT%))
listener.listen()
while True:
    listener.accept()[0].close()
"""


@cases("path", "abstract", "not-printed")
def test_rival(bed, kind):
    """The reason names a Unix socket that another worker of the service has, and what to do."""
    path = f"{bed.dir}/other.sock"
    text = RIVAL.replace("ADDRESS", repr("\0rival" if kind == "abstract" else path))
    text = text.replace("SHOWN", "" if kind == "not-printed" else ": {ADDRESS}").replace(
        "{ADDRESS}", "@rival" if kind == "abstract" else path)
    run = Run(bed, ["python3", script(bed, "worker.py", text)], "--no-restart", workers=2)
    states = [row["state"] for row in run.workers()]
    equal(sorted(states), ["active", "failed"], "states")
    up = states.index("active")
    name = "@rival" if kind == "abstract" else path
    perhaps = "perhaps because " if kind == "not-printed" else ""
    want = (f"slot {1 - up}: .*ended with exit status 1 .*; {perhaps}pid {run.pids()[up]} in slot "
            f"{up} has the Unix socket {re.escape(name)} open, which workers can't share: .*"
            "with --in-place")
    check(re.search(want, run.log()), f"log: {run.log()}\nwant: {want}")
    run.command_line("stop")
    equal(run.process.wait(), 1, "exit status of the supervisor")
