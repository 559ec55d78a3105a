# SPDX-License-Identifier: BSD-2-Clause
"""The life of an endpoint of `run`: which addresses are the service's, what becomes of connections
where no worker listens, and when a worker is ready."""
import json
import os
import signal
import socket
import time
import urllib.request

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import Run, script

# A server on $HOST and $PORT.
SERVER = """
const http = require('http');
http.createServer((request, response) => {
    response.setHeader('X-Worker', String(process.pid));
    response.end(process.pid + '\\n');
}).listen(Number(process.env.PORT || %PORT%), process.env.HOST);
"""

# Tries the port on IPv4, then listens on all addresses: as npm's portfinder and detect-port do.
TRIES = """
const net = require('net'), http = require('http');
net.createServer().listen(%PORT%, '0.0.0.0', function () {
    this.close(() => http.createServer((request, response) => {
        response.setHeader('X-Worker', String(process.pid));
        response.end(process.pid + '\\n');
    }).listen(%PORT%));
});
"""

# Tries the port and closes it; never listens again.
TRIES_ONLY = """
require('net').createServer().listen(%PORT%, process.env.HOST, function () { this.close(); });
setInterval(() => {}, 1000);
"""

# The worker that gets port 47200 leads. They try to get it when there is a file "gate".
LEADER = SERVER + """
const fs = require('fs');
const lock = require('net').createServer();
const lead = () => lock.listen(47200, '127.0.0.1');
lock.on('error', () => setTimeout(lead, 50));
lock.on('listening', () => fs.appendFileSync('leaders', process.pid + '\\n'));
const gate = setInterval(() => {
    if (fs.existsSync('gate')) {
        clearInterval(gate);
        lead();
    }
}, 10);
"""


def addresses(run):
    return sorted(row["address"] + ":" + str(row["port"]) for row in run.status()["endpoints"])


def asked(address):
    """Whether a connection to it is answered: the pid, or the error."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=30) as answer:
            return int(answer.read())
    except OSError as error:
        return f"{error}"


def test_tried_port(bed):
    """Workers try their port on another address, and close it: that address is soon none of the
    service, and nothing waits there."""
    run = Run(bed, ["node", script(bed, "server.js", TRIES)], "--settle", "0.3", workers=2)
    for _ in range(2):
        report = bed.load("-n", 100, "-t", f"127.0.0.1:{PORT}", hosts=())
        equal((report["ok"], report["failed"]), (100, 0), f"{report}")
        equal(sorted(report["workers"].values()), [50, 50], "connections of each worker")
        wait_until(lambda: addresses(run) == [f":::{PORT}"], "the other address is dropped")
        run.reload()
    equal(run.stop(), 0, "exit status of the supervisor")


def test_tried_port_only(bed):
    """A reload to a program that tries the port and never listens fails, and no connection is
    lost."""
    run = Run(bed, ["node", script(bed, "server.js", SERVER)], "--settle", "0.5",
              "--ready-timeout", "3", workers=2)
    pids = run.pids()
    load = bed.start_load("-c", 4, "--rate", 200)
    refused = run.reload("--", "node", script(bed, "tries.js", TRIES_ONLY), status=1)
    check("it listens on nothing" in refused.err, f"the reason: {refused}")
    equal((run.pids(), run.states()), (pids, ["active"] * 2), "the old workers")
    report = load.stop_unfailed()
    equal({int(pid) for pid in report["workers"]}, set(pids), "workers that answered")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("0.0.0.0", "0.0.0.0, named", "127.0.0.1", "::1")
def test_other_family(bed, case):
    """A reload from 0.0.0.0 to [::], which takes IPv4 as well, and from specific addresses: both
    families go on, and no connection is lost."""
    host, _, named = case.partition(", ")
    options = ["--listen", PORT] if named else []
    run = Run(bed, ["node", script(bed, "server.js", SERVER)], *options, "--env", f"HOST={host}",
              "--settle", "0.3", workers=2)
    equal(addresses(run), [f"{host}:{PORT}"], "endpoints")
    load = bed.start_load("-c", 8, hosts=("::1" if host == "::1" else "127.0.0.1",))
    run.reload("--", "env", "HOST=::", "node", bed.dir / "server.js")
    old = [int(pid) for pid in load.stop_unfailed()["workers"]]
    check(len(old) == 4, f"workers that answered: {old}")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 2, "the old workers are gone")
    wait_until(lambda: not is_led_on(bed), "nothing is led on")
    for host in "127.0.0.1", "[::1]":
        report = bed.load("-n", 40, "-t", f"{host}:{PORT}", hosts=())
        equal((report["failed"], sorted(report["workers"].values())), (0, [20, 20]), f"{report}")
    equal(addresses(run), [f":::{PORT}"], "endpoints")
    equal(run.stop(), 0, "exit status of the supervisor")


# Listens on each of $HOSTS.
SEVERAL_HOSTS = """
for (const host of process.env.HOSTS.split(',')) {
    process.env.HOST = host;
""" + SERVER.replace("const http", "var http") + "}\n"


@cases("::1,0.0.0.0", "127.0.0.1,::", "127.0.0.1,::1")
def test_several_addresses(bed, hosts):
    """Workers listen on a loopback address as well, with the same port: all share both."""
    run = Run(bed, ["node", script(bed, "server.js", SEVERAL_HOSTS)], "--env", f"HOSTS={hosts}",
              "--settle", "0.3", workers=2)
    equal(sorted(addresses(run)), sorted(f"{host}:{PORT}" for host in hosts.split(",")),
          "endpoints")
    load = bed.start_load("-c", 4, "--rate", 200, hosts=("127.0.0.1", "::1"))
    run.reload()
    load.stop_unfailed()
    for host in "127.0.0.1", "[::1]":
        report = bed.load("-n", 40, "-t", f"{host}:{PORT}", hosts=())
        equal((report["failed"], sorted(report["workers"].values())), (0, [20, 20]), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_other_family_and_held(bed):
    """A reload from 0.0.0.0 to [::], with a further listener on 127.0.0.1, which is held: the new
    workers get the connections, and none is lost."""
    server = script(bed, "server.js", SEVERAL_HOSTS)
    run = Run(bed, ["node", server], "--env", "HOSTS=0.0.0.0", "--settle", "0.3",
              "--drain-timeout", "1h", workers=2)
    with socket.create_connection(("127.0.0.1", PORT)):  # its old worker stays
        wait_until(lambda: sum(row["active"] for row in run.workers()) == 1, "it is open")
        reload = bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "env",
                           "HOSTS=::,127.0.0.1", "node", server, name="reload")
        run.process.wait_output("2 of 2 workers are new")
        new = set(run.pids())
        wait_until(lambda: is_led_on(bed), "connections are led on")
        report = bed.load("-n", 40)
        equal((report["failed"], {int(pid) for pid in report["workers"]}), (0, new), f"{report}")
    equal(reload.wait(), 0, "exit status of the reload")
    equal(run.stop(), 0, "exit status of the supervisor")


def is_led_on(bed):
    """Whether a program in this network namespace leads connections on. bpftool fails while a link
    of any other program is just being removed."""
    answers = []
    wait_until(lambda: answers.append(bed.run("bpftool", "--json", "link", "show")) or
               answers[-1].code == 0, "bpftool lists all links")
    links = json.loads(answers[-1].out)
    return any(it.get("netns_ino") == os.stat("/proc/self/ns/net").st_ino for it in links)


def test_other_program(bed):
    """Such a reload while another program has the port on one address: that one gets its
    connections, until it ends."""
    server = script(bed, "server.js", SERVER)
    run = Run(bed, ["node", server], "--env", "HOST=0.0.0.0", "--settle", "0.3", workers=1)
    client = socket.create_connection(("127.0.0.1", PORT))  # the old worker stays
    wait_until(lambda: run.workers()[0]["active"] == 1, "the connection is open")
    reload = bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "env", "HOST=::", "node",
                       server, name="reload")
    run.process.wait_output("1 of 1 workers are new")
    wait_until(lambda: asked(f"127.0.0.1:{PORT}") == run.pids()[0], "the new worker answers")
    check(is_led_on(bed), "connections are led on")
    equal(run.status()["foreign_listeners"], [], "foreign listeners")
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        rival.bind(("127.0.0.2", PORT))
        rival.listen()
        wait_until(lambda: not is_led_on(bed), "connections are not led on")
        with socket.create_connection(("127.0.0.2", PORT)):
            rival.settimeout(30)
            rival.accept()[0].close()
    wait_until(lambda: is_led_on(bed), "connections are led on again")
    wait_until(lambda: asked(f"127.0.0.2:{PORT}") == run.pids()[0], "the new worker answers")
    client.close()
    equal(reload.wait(), 0, "exit status of the reload")
    equal(asked(f"127.0.0.2:{PORT}"), run.pids()[0], "the new worker")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("SIGUSR2", "SIGKILL")
def test_other_family_taken_over(bed, case):
    """Such a reload, and then another supervisor while the old worker still has a connection: new
    connections go to the new worker."""
    server = script(bed, "server.js", SERVER)
    run = Run(bed, ["node", server], "--env", "HOST=0.0.0.0", "--settle", "0.3", workers=1)
    client = socket.create_connection(("127.0.0.1", PORT))  # the old worker stays
    wait_until(lambda: run.workers()[0]["active"] == 1, "the connection is open")
    bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "env", "HOST=::", "node", server,
              name="reload")
    run.process.wait_output("1 of 1 workers are new")
    new = run.pids()[0]
    if case == "SIGKILL":
        run.kill_supervisor()
        run.start(wait=False)
    else:
        run.process.kill(signal.SIGUSR2)
    run.process.wait_output("is taken over")
    wait_until(lambda: is_led_on(bed), "connections are led on again")
    wait_until(lambda: asked(f"127.0.0.1:{PORT}") == new, "the new worker answers")
    equal(run.pids(), [new], "the worker in the slot")
    client.close()
    wait_until(lambda: not is_led_on(bed), "nothing is led on")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_dropped_address(bed):
    """New workers don't listen where the old ones do: refused if the address was named, and soon;
    else done, with a warning."""
    server = script(bed, "server.js", SERVER)
    run = Run(bed, ["node", server], "--listen", PORT, "--settle", "0.3", workers=2)
    pids = run.pids()
    for change in "HOST=127.0.0.1", f"PORT={PORT + 1}":
        before = time.monotonic()
        refused = run.reload("--", "env", change, "node", server, status=1)
        check(time.monotonic() - before < 20, f"the reload was refused at once: {refused}")
    equal(run.pids(), pids, "the old workers")
    equal(run.stop(), 0, "exit status of the supervisor")

    run = Run(bed, ["node", server], "--settle", "0.3", workers=2)
    done = run.reload("--", "env", f"PORT={PORT + 1}", "node", server)
    check(f"[::]:{PORT} is gone" in done.out + done.err and f"--listen {PORT}" in run.log(),
          f"the warning: {done}")
    equal(addresses(run), [f":::{PORT + 1}"], "endpoints")
    wait_until(lambda: "refused" in str(asked(f"127.0.0.1:{PORT}")), "connections are refused")
    report = bed.load("-n", 40, "-t", f"127.0.0.1:{PORT + 1}", hosts=())
    equal((report["failed"], sorted(report["workers"].values())), (0, [20, 20]), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("one", "two")
def test_debug_port(bed, case):
    """A worker opens the inspector: its own port, which no reload needs, and which hangs nobody
    when it is closed."""
    workers = {"one": 1, "two": 2}[case]
    run = Run(bed, ["node", script(bed, "server.js", SERVER)], "--settle", "0.3", workers=workers)
    os.kill(run.pids()[0], signal.SIGUSR1)
    wait_until(lambda: "refused" not in str(asked("127.0.0.1:9229")), "the inspector is open")
    if case == "two":
        run.process.wait_output("127.0.0.1:9229, as most workers don't")
        equal(addresses(run), [f":::{PORT}"], "endpoints")
    run.reload()
    equal(run.states(), ["active"] * workers, "states")
    wait_until(lambda: "refused" in str(asked("127.0.0.1:9229")), "connections are refused")
    equal(addresses(run), [f":::{PORT}"], "endpoints")
    equal(run.stop(), 0, "exit status of the supervisor")


def leaders(bed):
    path = bed.dir / "leaders"
    return path.read_text().split() if path.exists() else []


@cases("before", "first", "late")
def test_port_as_a_lock(bed, case):
    """Who gets a port leads: one of the workers, also after the leader's death and a reload. The
    workers try to get it before they listen, at once, or when all are up."""
    program = LEADER
    if case == "before":
        program = LEADER.replace(SERVER, "") + f"setTimeout(() => {{ {SERVER} }}, 200);"
    if case != "late":
        (bed.dir / "gate").touch()
    run = Run(bed, ["node", script(bed, "server.js", program)], "--settle", "1", workers=4)
    (bed.dir / "gate").touch()
    wait_until(lambda: len(leaders(bed)) == 1, "a worker leads")
    first = int(leaders(bed)[0])
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(leaders(bed)) == 2, "another leads")
    wait_until(lambda: first not in run.pids() and run.states() == ["active"] * 4, "four workers")
    run.reload()
    wait_until(lambda: int(leaders(bed)[-1]) in run.pids(), "a new worker leads")
    held = bed.must("ss", "-Hltn", "sport = :47200").splitlines()
    equal(len(held), 1, f"listeners of the lock: {held}")
    report = bed.load("-n", 40)
    equal((report["failed"], sorted(report["workers"].values())), (0, [10] * 4), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("unnamed", "named")
def test_which_port_is_a_lock(bed, case):
    """Workers listen on two loopback ports, one of them a lock: which one can't be known. The log
    says what to do, and that works."""
    (bed.dir / "gate").touch()
    options = ["--listen", PORT] if case == "named" else []
    run = Run(bed, ["node", script(bed, "server.js", LEADER)], "--env", "HOST=127.0.0.1", *options,
              workers=2)
    if case == "unnamed":
        run.process.wait_output(f"all workers share 127.0.0.1:{PORT} and 127.0.0.1:47200; if only "
                                "one worker is to have one of them, as a lock, name the other one "
                                "with --listen")
    else:
        wait_until(lambda: len(leaders(bed)) == 1, "a worker leads")
        equal(run.states(), ["active"] * 2, "states")
        equal(len(leaders(bed)), 1, "leaders")
    equal(run.stop(), 0, "exit status of the supervisor")


CLOSES = SERVER.replace("http.createServer", "const server = http.createServer") + """
process.on('SIGUSR2', () => server.close());
setInterval(() => {}, 1000);
"""


def unhealthy(bed, run):
    return [(e["slot"], e["pid"], e["text"])
            for e in bed.reuseportd("events", run.name, "--json").json()
            if e["event"] == "unhealthy"]


@cases("one", "two")
def test_closed_listener(bed, case):
    """A worker that closes its listener and lives is replaced; connections go to the other worker,
    or wait."""
    workers = {"one": 1, "two": 2}[case]
    run = Run(bed, ["node", script(bed, "server.js", CLOSES)], workers=workers)
    sick = run.pids()[0]
    os.kill(sick, signal.SIGUSR2)
    report = bed.load("-n", 10, "-c", 1, "--timeout", 20000)
    equal((report["ok"], report["failed"]), (10, 0), f"{report}")
    wait_until(lambda: sick not in run.pids() and run.states() == ["active"] * workers,
               "another is in its slot")
    check(f"pid {sick} is unhealthy (it has closed its listener on [::]:{PORT})" in run.log(),
          run.log())
    equal(unhealthy(bed, run), [(0, sick, "listener closed")], "events")
    equal(run.stop(), 0, "exit status of the supervisor")


MOVES = SERVER.replace("http.createServer", "const server = http.createServer") + """
process.on('SIGUSR2', () => {
    server.close(() => server.listen(%PORT% + 1));
    server.closeAllConnections();
});
setInterval(() => {}, 1000);
"""


@cases("one", "all")
def test_moved_listener(bed, case):
    """A worker closes its listener, and listens on another port: if it is the only one, it is
    unhealthy; if all do so, the other port is the service's."""
    run = Run(bed, ["node", script(bed, "server.js", MOVES)], "--park-timeout", "2", workers=2)
    pids = run.pids()
    for pid in pids[:1] if case == "one" else pids:
        os.kill(pid, signal.SIGUSR2)
    port = PORT if case == "one" else PORT + 1
    if case == "one":
        wait_until(lambda: pids[0] not in run.pids() and run.states() == ["active"] * 2,
                   "another is in its slot")
        equal((run.pids()[1], unhealthy(bed, run)), (pids[1], [(0, pids[0], "listener closed")]),
              "workers and events")
    else:
        run.process.wait_output(f"[::]:{PORT} is closed: no worker has listened there for 2 s")
        equal((run.pids(), run.states()), (pids, ["active"] * 2), "workers")
    equal(addresses(run), [f":::{port}"], "endpoints")
    report = bed.load("-n", 20, "-t", f"127.0.0.1:{port}", hosts=())
    equal((report["failed"], sorted(report["workers"].values())), (0, [10] * 2), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")


SHARDS = """
import os, socket, sys, threading, time

def serve():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", %PORT%))
    listener.listen(512)
    while True:
        client, _ = listener.accept()
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\\r\\nX-Worker: %d\\r\\nContent-Length: 0\\r\\n"
                       b"Connection: close\\r\\n\\r\\n" % os.getpid())
        client.close()

gate = sys.argv[1].replace("PID", str(os.getpid()))
for _ in range(4):
    threading.Thread(target=serve).start()
    while not os.path.exists(gate):
        time.sleep(0.01)
    time.sleep(0.01)
"""


def test_several_listeners(bed):
    """A program that opens several listeners on its port, as nginx with `reuseport` does, is
    refused, with the reason."""
    run = Run(bed, ["python3", script(bed, "server.py", SHARDS), "/"], workers=1, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    check(f"has 4 listeners on 0.0.0.0:{PORT}" in run.log() and "`worker_processes 1`" in run.log(),
          run.log())


@cases("one", "two")
def test_more_listeners(bed, case):
    """A worker that serves opens more listeners on its port: it is unhealthy, and replaced, as
    connections would not reach them."""
    workers = {"one": 1, "two": 2}[case]
    run = Run(bed, ["python3", script(bed, "server.py", SHARDS), "gate-PID"], workers=workers)
    pids = run.pids()
    load = bed.start_load("-c", 4, "--rate", 100)
    for pid in pids:
        (bed.dir / f"gate-{pid}").touch()
    wait_until(lambda: len(unhealthy(bed, run)) >= workers, "all are unhealthy")
    equal(sorted(unhealthy(bed, run))[:workers],
          [(slot, pid, "several listeners") for slot, pid in enumerate(pids)], "events")
    why = f"pid {pids[0]} is unhealthy (it has 4 listeners on 0.0.0.0:{PORT}, and only one gets"
    run.process.wait_output(why)
    wait_until(lambda: not set(pids) & set(run.pids()) and run.states() == ["active"] * workers,
               "others are in their slots")
    equal([row["reason"] for row in run.workers()], [None] * workers, "reasons")
    load.stop_unfailed()
    equal(run.stop(), 0, "exit status of the supervisor")


# The first $MORE workers have another port.
SOME_HAVE_MORE = SERVER + """
if (process.env.NODE_APP_INSTANCE < process.env.MORE)
    http.createServer((request, response) => response.end(process.pid + '\\n')).listen(%PORT% + 1);
"""


@cases("2", "3")
def test_port_of_some(bed, more):
    """Some of four workers have another port: it is the service's if most of them do, and the others
    need not have it."""
    run = Run(bed, ["node", script(bed, "server.js", SOME_HAVE_MORE)], "--env", f"MORE={more}",
              "--settle", "0.3", workers=4)
    is_served = more == "3"
    for _ in range(2):
        equal(run.states(), ["active"] * 4, "states")
        wait_until(lambda: addresses(run) == [f":::{PORT}"] + [f":::{PORT + 1}"] * is_served,
                   "the endpoints")
        check(asked(f"127.0.0.1:{PORT + 1}") in run.pids()[:int(more)], "it is answered")
        run.reload()
    if is_served:
        run.process.wait_output(f"does not listen on [::]:{PORT + 1}, where most workers listen: "
                                "it gets no connection from there")
    equal(run.stop(), 0, "exit status of the supervisor")


TWO_PORTS = SERVER + """
const second = http.createServer((request, response) => response.end(process.pid + '\\n'));
second.listen(%PORT% + 1);
process.on('SIGUSR2', () => second.close());
"""


def test_orphaned_endpoint(bed):
    """All workers close one of their ports: connections wait there for the park timeout, then the
    port is none of the service. A new supervisor keeps all of this."""
    run = Run(bed, ["node", script(bed, "server.js", TWO_PORTS)], "--park-timeout", "4",
              workers=2)
    both = [f":::{PORT}", f":::{PORT + 1}"]
    equal(addresses(run), both, "endpoints")
    run.kill_supervisor()
    run.start()
    pids = run.pids()
    for pid in pids:
        os.kill(pid, signal.SIGUSR2)
    wait_until(lambda: "node" not in bed.must("ss", "-Hltnp", f"sport = :{PORT + 1}"),
               "the workers have closed the port")
    with socket.create_connection(("127.0.0.1", PORT + 1)) as client:
        client.settimeout(30)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        try:
            equal(client.recv(100), b"", "the answer")
        except ConnectionResetError:
            pass
    wait_until(lambda: addresses(run) == both[:1], "the endpoint is gone")
    run.process.wait_output(f"[::]:{PORT + 1} is closed: no worker has listened there")
    check("refused" in str(asked(f"127.0.0.1:{PORT + 1}")), "connections are refused")
    equal((run.pids(), run.states()), (pids, ["active"] * 2), "the workers")
    report = bed.load("-n", 20)
    equal((report["failed"], sorted(report["workers"].values())), (0, [10] * 2), f"{report}")
    equal(run.stop(), 0, "exit status of the supervisor")
