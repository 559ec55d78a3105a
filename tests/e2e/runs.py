# SPDX-License-Identifier: BSD-2-Clause
"""Services of `reuseportd run`, and the programs that it runs: none of them knows reuseportd or
sets SO_REUSEPORT."""
import contextlib
import fcntl
import os
import signal

from harness.bed import PINS
from harness.checks import DEADLINE, Failure, wait_until
from harness.network import PORT

SERVICE = "web"

# Answers with its slot and pid. Without a handler, SIGTERM ends it at once.
NODE = """
const http = require('http');
http.createServer((request, response) => {
    const id = process.env.REUSEPORTD_SLOT + '.' + process.pid;
    response.setHeader('X-Worker', id);
    response.end(id + '\\n');
}).listen(%PORT%);
"""

# The same with a graceful shutdown: closes idle connections and answers open requests.
NODE_GRACEFUL = """
const http = require('http');
let closing = false;
const server = http.createServer((request, response) => {
    const id = process.env.REUSEPORTD_SLOT + '.' + process.pid;
    response.setHeader('X-Worker', id);
    if (closing)
        response.setHeader('Connection', 'close');
    response.end(id + '\\n');
}).listen(%PORT%);
process.on('SIGTERM', () => {
    closing = true;
    server.close(() => process.exit(0));
    server.closeIdleConnections();
});
"""

PYTHON = """
import http.server, os, socketserver

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        me = f"{os.environ['REUSEPORTD_SLOT']}.{os.getpid()}\\n".encode()
        self.send_response(200)
        self.send_header("X-Worker", me.decode().strip())
        self.send_header("Content-Length", str(len(me)))
        self.end_headers()
        self.wfile.write(me)

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512

Server(("0.0.0.0", %PORT%), Handler).serve_forever()
"""


def script(bed, name, text):
    """Writes a program into the bed; returns its path."""
    path = bed.dir / name
    path.write_text(text.replace("%PORT%", str(PORT)))
    return str(path)


def node_folder(bed):
    """The folder with the packages from npm, which tools/test has made."""
    made = bed.build / "tests/e2e/node"
    if not (made / "node_modules/express").is_dir():
        raise Failure(f"{made} has no packages: tools/test build installs them")
    return made


def worker_command(bed, *options):
    """The command of the C worker, without SO_REUSEPORT; it answers with its pid."""
    return [bed.binary("worker"), "--port", PORT, "--no-reuseport", *options]


@contextlib.contextmanager
def held(name):
    """Holds the lock of the service."""
    fd = os.open(PINS / name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class Run:
    """`reuseportd run` in the background. @command: of the workers. @under: a command that executes
    `reuseportd run`."""

    def __init__(self, bed, command, *options, workers=4, wait=True, env=None, name=SERVICE,
                 under=()):
        self.bed, self.command, self.name, self.under = bed, command, name, under
        self.options = ["--workers", workers, *options]
        self.env = env
        self.start(wait)

    def start(self, wait=True):
        """Starts the supervisor, for the first time or after it was killed."""
        bed = self.bed
        self.process = bed.start(*self.under, bed.binary("reuseportd"), "run", "--service",
                                 self.name, *self.options, "--", *self.command, name="run",
                                 env=self.env)
        if wait:
            self.process.wait_output(f"{self.name}: started:")
            bed.remember_pinned()

    def status(self):
        return self.bed.status(self.name)

    def workers(self):
        return self.status()["workers"]

    def pids(self):
        return [row["pid"] for row in self.workers()]

    def states(self):
        return [row["state"] for row in self.workers()]

    def command_line(self, command, *args, status=0, **options):
        return self.bed.reuseportd(command, self.name, *args, status=status, deadline=90,
                                   **options)

    def reload(self, *args, **options):
        return self.command_line("reload", *args, **options)

    def kill_supervisor(self):
        """Kills the supervisor by SIGKILL, so that it can't clean up."""
        self.process.kill(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.command_line("stop")
        return self.process.wait()

    def wait_states(self, *states, deadline=DEADLINE):
        wait_until(lambda: self.states() == list(states), f"the slots are {states}", deadline, 0.05)

    def log(self):
        return self.process.output()


def shares(report):
    """The connections of each worker in a report of loadgen, sorted."""
    return sorted(report["workers"].values())


def by_slot(report):
    """The connections by slot in a report of loadgen, for programs that answer with SLOT.PID."""
    counts = {}
    for worker, n in report["workers"].items():
        slot = int(worker.split(".")[0])
        counts[slot] = counts.get(slot, 0) + n
    return counts
