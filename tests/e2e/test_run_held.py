# SPDX-License-Identifier: BSD-2-Clause
"""A worker of `run` asks for an address that would take connections from the service: 0.0.0.0 or
127.0.0.1 beside [::], for example. It gets none of them, whether it only tries the port or stays
there."""
import os
import signal
import socket
import time

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import NODE_GRACEFUL, Run, script, worker_command

# Answers 500 on $HOST.
BAD = """
require('http').createServer((request, response) => {
    response.setHeader('X-Worker', 'bad');
    response.statusCode = 500;
    response.end();
}).listen(%PORT%, process.env.HOST, () => console.log('listens ' + process.env.HOST));
"""

# Tries the port over and over, as portfinder and others do once; then serves.
TRIES = """
const net = require('net'), hosts = ['0.0.0.0', '127.0.0.1', '::1', '::ffff:127.0.0.1', '::'];
let n = 0;
function tries(done) {
    const server = net.createServer((socket) => { console.log('taken'); socket.destroy(); });
    server.on('error', (e) => { console.log('refused ' + e); setTimeout(tries, 1, done); });
    server.listen(%PORT%, hosts[n++ % 4], () => server.close(() =>
        n < 400 ? tries(done) : done()));
}
tries(() => { console.log('tried ' + n); serve(); });
function serve() {
""" + NODE_GRACEFUL + "}\n"

HOSTS = ("127.0.0.1", "::1")


def node(bed, name, text):
    return ["node", script(bed, name, text)]


def start(bed, *options):
    """A service of Node on [::], and load from IPv4 and IPv6."""
    run = Run(bed, node(bed, "server.js", NODE_GRACEFUL), "--settle", "0.1", *options, workers=2)
    return run, bed.start_load("-c", 8, hosts=HOSTS)


@cases("0.0.0.0", "127.0.0.1", "::1", "::ffff:127.0.0.1")
def test_reload_to_a_more_specific_address(bed, host):
    """A reload to workers that listen more specifically, and answer 500. It fails long before
    --ready-timeout, says why, and none of these workers gets a connection."""
    named = () if host == "127.0.0.1" else ("--listen", str(PORT))
    run, load = start(bed, *named)
    pids = run.pids()
    begin = time.monotonic()
    failed = run.reload("--", "env", f"HOST={host}", *node(bed, "bad.js", BAD), status=1)
    check(time.monotonic() - begin < 20, "the reload waited for --ready-timeout")
    asked = f"[{host}]" if host == "::1" else host.removeprefix("::ffff:")
    check(f"wants to listen on {asked}:{PORT}, which would take the connections that [::]:{PORT} "
          f"serves; it was held; let it listen on [::]:{PORT}" in failed.err + failed.out,
          f"the reason is missing: {failed}")
    equal(run.pids(), pids, "workers")
    check(set(load.stop_unfailed()["workers"]) == {f"{i}.{pid}" for i, pid in enumerate(pids)},
          "other processes have answered")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_tries(bed):
    """New workers that try the port on all addresses before they serve it: no connection is lost,
    each try finds the port free, and none is worth a line."""
    run, load = start(bed)
    for _ in range(2):
        run.reload("--", *node(bed, "tries.js", TRIES))
    load.stop_unfailed()
    wait_until(lambda: run.log().count("tried 400") == 4, "all have tried")
    log = run.log()
    equal((log.count("tried 400"), log.count("taken"), log.count("refused"),
           log.count("wants to listen")), (4, 0, 0, 0), "tries, taken connections, refused, lines")
    equal([row["address"] for row in run.status()["endpoints"]], ["::"], "endpoints")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_further_listener(bed):
    """A worker in its slot opens a more specific listener: the log says that it gets nothing. So
    after a take-over."""
    more = "exec python3 -c 'import os, socket, sys, time\nif os.fork() == 0:\n" \
           " while not os.path.exists(\"gate\" + os.environ[\"REUSEPORTD_SLOT\"]): " \
           f"time.sleep(0.05)\n s = socket.create_server((\"127.0.0.1\", {PORT}))\n" \
           " s.accept(); print(\"stolen\")\n" \
           "os.execv(sys.argv[1], sys.argv[1:])' \"$@\""
    run = Run(bed, ["sh", "-c", more, "sh", *worker_command(bed)], "--cwd", bed.dir, workers=2)
    load = bed.start_load("-c", 8)
    line = f"wants to listen on 127.0.0.1:{PORT}, which would take the connections that 0.0.0.0:"
    for slot in 0, 1:
        pid = run.pids()[slot]
        (bed.dir / f"gate{slot}").touch()
        wait_until(lambda: f"slot {slot}: pid {pid} {line}" in run.log(), "it is logged")
        run.kill_supervisor()
        run.start()
    load.stop_unfailed()
    equal(([row["address"] for row in run.status()["endpoints"]], "stolen" in run.log()),
          (["0.0.0.0"], False), "endpoints")
    rows = bed.reuseportd("doctor", run.name, "--json").json()
    check(not any("is not part" in row["detail"] for row in rows), f"doctor: {rows}")
    equal(run.stop(), 0, "exit status of the supervisor")


# Serves, and leads as soon as it gets the port that is its lock.
LOCK = """
import os, socket, sys, time
pid = os.fork()
if pid:
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    lock = socket.socket()
    try:
        lock.bind(('127.0.0.1', 8079))
        break
    except OSError:
        lock.close()
        time.sleep(0.05)
print('leads', os.environ['REUSEPORTD_SLOT'], flush=True)
time.sleep(1000)
"""


def test_lock(bed):
    """Workers of a service that names no port use one as a lock: one of them has it. When the worker
    with the lock dies, another one gets it."""
    run = Run(bed, ["python3", script(bed, "lock.py", LOCK), *worker_command(bed)], "--kill-timeout",
              "1s", "--settle", "0.05", workers=1)
    run.process.wait_output("leads 0")
    run.command_line("scale", 4)
    wait_until(lambda: run.states() == ["active"] * 4, "all serve")
    run.command_line("restart", "1", "2", "3")
    equal(run.log().count("leads"), 1, "leaders")
    os.kill(run.pids()[0], signal.SIGKILL)
    wait_until(lambda: run.log().count("leads") == 2, "another one leads")
    wait_until(lambda: run.states() == ["active"] * 4, "all serve")
    run.reload()
    run.kill_supervisor()
    run.start()
    equal(run.stop(), 0, "exit status of the supervisor")


UDP = """
import os, socket, sys
if os.fork():
    os.execv(sys.argv[1], sys.argv[1:])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', %PORT%))
while True:
    _, client = server.recvfrom(4096)
    server.sendto(os.environ['REUSEPORTD_SLOT'].encode(), client)
"""


@cases("named", "unnamed")
def test_udp(bed, case):
    """Workers share a UDP port, and each of them gets datagrams. New workers can have it while the old
    ones still do."""
    named = ("--listen", str(PORT)) if case == "named" else ()
    run = Run(bed, ["python3", script(bed, "udp.py", UDP), *worker_command(bed)], *named,
              "--kill-timeout", "1s", "--settle", "0.05", workers=2)

    def answer():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", PORT))
            try:
                client.send(b"?")
                return client.recv(100).decode()
            except OSError:
                return ""
    for _ in range(2):
        seen = set()
        wait_until(lambda: seen.add(answer()) or {"0", "1"} <= seen, "both answer")
        run.reload()
    check("Traceback" not in run.log(), "a worker did not get the port")
    equal(run.stop(), 0, "exit status of the supervisor")
