# SPDX-License-Identifier: BSD-2-Clause
"""Servers for deployments: frameworks as users have them, and versions of them that are bad in one
way. Each answers with its version.

A fault is a kind and a number:
    errors P   answers 500 to this part of the requests
    resets P   resets this part of the connections
    slow F     the slowest tenth of the responses takes F times as long
    leaks KB   keeps so much memory of each request
    hangs N    serves no further request after N
"""
import os

from harness.network import PORT
from runs import node_folder, script, worker_command

SERVERS = ("nestjs", "express", "gunicorn", "c")

# Loaded by node before the application, which does not notice. With `slow 1`, p50 of the times is 8
# ms, p90 40 ms and p99 400 ms, the maximum.
NODE_FAULT = """
const [kind, text] = process.env.FAULT.split(' ');
const much = Number(text);
const kept = [];
let n = 0;

process.send ??= () => true; // without a channel, NestJS can't report that it is ready

const fault = {
    none: (next) => next(),
    errors: (next, request, response) =>
        Math.random() < much ? response.writeHead(500).end('failed\\n') : next(),
    resets: (next, socket) => Math.random() < much ? socket.resetAndDestroy() : next(),
    slow: (next) => {
        const ms = Math.min(4 / (1 - Math.random()), 400);
        setTimeout(next, ms > 40 ? ms * much : ms);
    },
    leaks: (next) => {
        kept.push(new Array(much * 128).fill(0));
        next();
    },
    hangs: (next) => {
        while (n === much);
        n++;
        next();
    },
}[kind];

for (const { prototype } of [require('http').Server, require('https').Server]) {
    const { emit } = prototype;
    prototype.emit = function (event, ...args) {
        if (event === 'request')
            args[1].setHeader('X-Worker', process.env.REUSEPORTD_VERSION);
        if (event !== (kind === 'resets' ? 'connection' : 'request'))
            return emit.call(this, event, ...args);
        fault(() => emit.call(this, event, ...args), ...args);
        return true;
    };
}
"""

PYTHON_FAULT = """
import errno, os, random, socket, struct, threading, time

kind, text = os.environ["FAULT"].split()
much = float(text)
version = os.environ["REUSEPORTD_VERSION"]
kept = []
n = 0

def app(environ, start_response):
    global n
    status = "200 OK"
    n += 1
    if kind == "errors" and random.random() < much:
        status = "500 Internal Server Error"
    if kind == "resets" and random.random() < much:
        environ["gunicorn.socket"].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                              struct.pack("ii", 1, 0))
        raise ConnectionResetError(errno.ECONNRESET, "by chance")
    if kind == "slow":
        ms = min(4 / (1 - random.random()), 400)
        time.sleep((ms * much if ms > 40 else ms) / 1000)
    if kind == "leaks":
        kept.append(b"x" * int(much * 1024))
    if kind == "hangs" and n > much:
        threading.Event().wait()
    start_response(status, [("X-Worker", version), ("Content-Length", str(len(version)))])
    return [version.encode()]
"""


def node_command(bed, program, fault, *options):
    """The program with the fault, in one process."""
    preload = script(bed, "fault.js", NODE_FAULT)
    return ["env", f"FAULT={fault}", "node", *options, "--require", preload, program]


def c_options(fault):
    """The options of the C worker for a fault. It hangs after N requests on average."""
    kind, much = fault.split()
    if float(much) == 0:
        return ()
    if kind == "hangs":
        return ("--burn", f"3600000/{much}")
    return ({"errors": "--fail", "resets": "--reset"}[kind], round(1 / float(much)))


def server_command(bed, server, version, fault="none 0"):
    """The command of a server."""
    if server == "c":
        return worker_command(bed, "--id", version, *c_options(fault))
    if server == "gunicorn":
        script(bed, "app.py", PYTHON_FAULT)
        return ["env", f"FAULT={fault}", bed.program("gunicorn"), "--chdir", bed.dir, "--bind",
                f"0.0.0.0:{PORT}", "--worker-tmp-dir", bed.dir, "--worker-class", "gthread",
                "--threads", 32, "--keep-alive", 75, "app:app"]
    name = {"nestjs": "nest.js", "express": "express.js"}[server]
    return node_command(bed, os.path.join(node_folder(bed), name), fault, "--max-old-space-size=64")


def server_options(server, fault="none 0"):
    """Options of `run` for the server: what it needs, and what finds the fault."""
    if fault.startswith("hangs"):
        return ("--ready", "http:/", "--health-interval", "0.5", "--health-timeout", "2s",
                "--health-failures", "2")
    if fault.startswith("leaks") and server == "gunicorn":
        return ("--max-memory", "150M")
    return ("--ready", "message") if server == "nestjs" else ()
