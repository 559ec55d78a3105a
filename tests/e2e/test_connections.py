# SPDX-License-Identifier: BSD-2-Clause
"""The connections of each worker: the counts are those of sock_diag, however connections begin and
end."""
import collections
import os
import pathlib
import re
import signal
import socket
import struct
import sys

from harness.bed import PINS
from harness.checks import cases, check, equal, timeout, wait_until
from harness.network import PORT
from runs import PYTHON, Run, script
from harness.process import freeze
from harness.servers import FLEETS, Worker, Workers, start_fleet

WORKERS = 8
# States of a worker's open connections. Not FIN-WAIT-2: ss also shows it for connections that only
# the kernel still has.
OPEN = ("established", "close-wait", "fin-wait-1", "last-ack", "closing")

HOLDER = """
import socket, sys, time
clients = []
for _ in range(int(sys.argv[1])):
    client = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n")
    client.recv(4096)
    clients.append(client)
print("open", flush=True)
time.sleep(600)
"""


def rows(bed):
    return bed.status()["workers"]


def active(bed):
    return [row["active"] for row in rows(bed)]


def totals(bed):
    """The connection counters of all workers, added up."""
    sums = collections.Counter()
    for row in rows(bed):
        sums.update(row["connections"])
    return sums


def diag(bed):
    """([connections of each worker], total) as sock_diag reports them, by the process that has the
    socket open."""
    states = [word for state in OPEN for word in ("state", state)]
    table = bed.must("ss", "--no-header", "--tcp", "--numeric", "--processes", *states,
                     f"( sport = :{PORT} )")
    by_pid = collections.Counter(int(pid) for pid in re.findall(r"pid=(\d+)", table))
    return [by_pid[row["pid"]] for row in rows(bed)], len(table.splitlines())


def expect_equal_diag(bed, kind, what):
    """Checks that the counts are those of sock_diag once nothing changes. For HAProxy and gunicorn
    only the sums can be compared: HAProxy's threads are one process, and a connection that gunicorn
    has not accepted belongs to no process."""
    def agree():
        counted, (listed, total) = active(bed), diag(bed)
        return sum(counted) == total and (kind in ("haproxy", "gunicorn") or counted == listed)
    wait_until(agree, f"{active(bed)}, {what}, equals sock_diag: {diag(bed)}")


def reset(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@cases(*FLEETS)
@timeout(180)
def test_all_ways_to_end(bed, kind):
    """1,000 connections, half of them with a request and kept alive. After each kind of end the
    counts are those of sock_diag and of the clients; in the end they are 0."""
    fleet = start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    n = 200 if kind == "gunicorn" else 1000  # gunicorn serves one at a time
    clients = bed.hold(n, seconds=30)
    if kind != "gunicorn":
        for client in clients[::2]:
            client.ask()
    equal(active(bed), [n // WORKERS] * WORKERS, "active connections, all open")
    expect_equal_diag(bed, kind, "all open")
    left = n

    for client in clients[:n // 10]:  # the client closes
        client.close()
    left -= n // 10
    wait_until(lambda: sum(active(bed)) == left, f"{left} are left after closes")
    # HAProxy answers a connection closed without a request with an error, and gets a reset.
    resets = totals(bed)["reset_by_client"]
    equal(resets, n // 20 if kind == "haproxy" else 0, "resets by clients, so far")
    for client in clients[n // 10:n // 5]:  # the client resets
        reset(client)
    left -= n // 10
    wait_until(lambda: sum(active(bed)) == left, f"{left} are left after resets")
    equal(totals(bed)["reset_by_client"] - resets, n // 10, "resets by clients")
    expect_equal_diag(bed, kind, "after closes and resets by clients")

    for client in clients[n // 5:]:
        client.close()
    wait_until(lambda: sum(active(bed)) == 0, "no connection is left")
    holder = bed.start(sys.executable, "-c", HOLDER, 40, PORT)
    holder.wait_output("open", 60)
    wait_until(lambda: sum(active(bed)) == 40 or kind == "gunicorn",
               "the 40 connections of another process")
    holder.stop(signal.SIGKILL)
    wait_until(lambda: sum(active(bed)) == 0, "no connection of the killed client is left")
    sums = totals(bed)
    equal(sums["opened"], sums["closed"], f"opened and closed, {sums}")
    equal(sums["reset_by_worker"], 0 if kind == "c" else sums["reset_by_worker"],
          "resets by workers")
    check(fleet, "the servers still run")


def test_closed_by_worker(bed):
    """Workers close after the answer, reset connections that they have not read, and are killed."""
    workers = [Worker(bed, f"w{i}", options=["--no-keepalive"]) for i in range(3)]
    workers += [Worker(bed, "w3", options=["--no-accept"])]
    bed.reuseportd("attach", "--workers", 4)
    report = bed.load("-n", 400, "--timeout", 1500)
    wait_until(lambda: active(bed)[:3] == [0, 0, 0], "all are closed after their answers")
    sums = [row["connections"] for row in rows(bed)]
    equal([s["opened"] for s in sums], [100] * 4, "connections opened")
    equal([s["reset_by_worker"] for s in sums[:3]], [0] * 3, "resets by workers that close")
    equal(report["ok"], 300, f"answered, {report}")

    bed.reuseportd("drain", "0-2")
    deaf = bed.hold(20)
    row = rows(bed)[3]  # it has not seen that the 100 were closed
    equal((row["active"], row["queued"]), (120, 120), "of a worker that accepts nothing")
    bed.reuseportd("resume", "0-2")
    workers[3].process.stop(signal.SIGKILL)
    # They migrate to the other workers.
    wait_until(lambda: sum(active(bed)[:3]) == 20, "the other workers have them")
    sums = [row["connections"] for row in rows(bed)]
    equal(sum(s["moved_in"] for s in sums), 120, "moved in")
    equal(sums[3]["moved_out"], 120, "moved out of the dead worker")
    equal(active(bed)[3], 0, "active connections of the dead worker")
    for client in deaf:
        client.close()
    wait_until(lambda: sum(active(bed)) == 0, "no connection is left")


def test_half_closed(bed):
    """A connection counts as open until both sides have closed it."""
    workers = Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(10)
    for worker in workers.all:
        freeze(worker.pid)
        state = pathlib.Path(f"/proc/{worker.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T",
                   "the worker is stopped")
    for client in clients:
        client.socket.shutdown(socket.SHUT_WR)
    equal(sum(active(bed)), 10, "half-closed connections")
    states = {row["state"] for row in bed.reuseportd("connections", "--json").json()}
    equal(states, {"close-wait"}, "states")
    for worker in workers.all:
        os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: sum(active(bed)) == 0, "no connection is left")


def test_killed_worker(bed):
    """SIGKILL of a worker ends its accepted connections, and no others."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    clients = bed.hold(80)
    for client in clients:
        client.ask()
    workers[5].process.stop(signal.SIGKILL)
    wait_until(lambda: active(bed) == [10] * 5 + [0] + [10] * 2,
               "the connections of slot 5 are gone")
    row = rows(bed)[5]["connections"]
    equal((row["opened"], row["closed"], row["moved_out"]), (10, 10, 0), "of slot 5")


def test_hundred_thousand(bed):
    """Of short connections, as many are opened and closed as the clients counted."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    report = bed.load("-n", 100000, "-c", 64)
    equal(report["failed"], 0, f"failed connections of {report}")
    wait_until(lambda: sum(active(bed)) == 0, "all are closed")
    equal([row["connections"]["opened"] for row in rows(bed)], [12500] * WORKERS, "opened")
    equal([row["connections"]["closed"] for row in rows(bed)], [12500] * WORKERS, "closed")


@cases("c", "haproxy", "queued")
def test_open_before_attach(bed, case):
    """Connections from before the attach are counted as well, for their worker if it is known."""
    if case == "queued":
        for i in range(2):
            Worker(bed, f"w{i}", options=["--no-accept"])
    else:
        start_fleet(bed, case)
    clients = bed.hold(40)
    if case != "queued":
        for client in clients:
            client.ask()
    bed.reuseportd("attach", "--workers", 2 if case == "queued" else WORKERS)
    status = bed.status()
    if case == "c":
        expect_equal_diag(bed, case, "open from before")
        equal(status["unattributed_active"], 0, "connections of an unknown worker")
        equal(totals(bed)["found"], 40, "found")
    else:
        equal(status["unattributed_active"], 40, "connections of an unknown worker")
        equal(sum(active(bed)), 0, "connections of known workers")
        text = bed.reuseportd("status").out
        check("40 connections were open before the counting began" in text, text)
    if case == "queued":  # a worker dies, and the other gets its queue
        os.kill(rows(bed)[0]["pid"], signal.SIGKILL)

        def have_migrated():
            status = bed.status()
            known = sum(row["active"] for row in status["workers"])
            return known > 0 and known + status["unattributed_active"] == 40
        wait_until(have_migrated, "the migrated connections have a known worker, and none is lost")
    for client in clients:
        client.close()
    if case == "queued":
        os.kill(rows(bed)[1]["pid"], signal.SIGKILL)
    wait_until(lambda: bed.status()["unattributed_active"] == 0 and sum(active(bed)) == 0,
               "no connection is left")


def test_swapped_out(bed):
    """The connections of a worker that was swapped out are counted apart from those of the new
    worker."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(20)
    new = Worker(bed, "new")
    old = rows(bed)[1]["pid"]
    bed.reuseportd("swap", 1, "--pid", new.pid)
    more = bed.hold(10)
    row = rows(bed)[1]
    equal((row["active"], row["former_active"]), (5, 10),
          "active connections of the new and of the former worker")
    listed = bed.reuseportd("connections", 1, "--json").json()
    equal(collections.Counter((row["slot"], row["former"]) for row in listed),
          {(1, False): 5, (1, True): 10}, "connections of slot 1")
    # A drain of the slot ignores the connections of the former worker.
    drain = bed.reuseportd("drain", 1, "--wait", "--timeout", "0.1", "--json", status=3).json()
    equal([(row["slot"], row["former"]) for row in drain["remaining"]], [(1, False)] * 5,
          "remaining connections of the new worker")
    bed.reuseportd("resume", 1)
    bed.reuseportd("swap", 1, "--pid", old)
    row = rows(bed)[1]
    equal((row["active"], row["former_active"]), (10, 5), "after the swap back")
    for client in clients + more:
        client.close()
    wait_until(lambda: [(row["active"], row["former_active"]) for row in rows(bed)] ==
               [(0, 0)] * 2, "no connection is left")


def test_connections(bed):
    """`connections` lists peers, bytes, age and state."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(6)
    by = {("%s:%d" % client.socket.getsockname()): client.ask() for client in clients}
    listed = bed.reuseportd("connections", "--json").json()
    equal({row["peer"]: f"w{row['slot']}" for row in listed}, by, "peers and their workers")
    for row in listed:
        check(row["bytes_in"] == 30 and row["bytes_out"] > 30, f"bytes of {row}")
        check(0 <= row["age_seconds"] < 30 and row["idle_seconds"] <= row["age_seconds"] + 0.1,
              f"age of {row}")
        equal((row["state"], row["accepted"], row["former"]), ("established", True, False),
              f"state of {row}")
    equal(len(bed.reuseportd("connections", 1, "--json").json()), 3, "of slot 1")
    text = bed.reuseportd("connections").out
    check(all(peer in text for peer in by) and max(map(len, text.splitlines())) <= 80, text)
    check("no worker in slot 5" in bed.reuseportd("connections", 5, status=2).err, "slot 5")


def test_bytes_of_half_closed(bed):
    """A FIN doesn't count as a byte."""
    [worker] = Workers(bed, workers=1).all
    bed.reuseportd("attach", "--workers", 1)
    worker.process.kill(signal.SIGSTOP)
    clients = bed.hold(2)
    clients[0].socket.sendall(b"three")
    for client in clients:
        client.socket.shutdown(socket.SHUT_WR)
    def rows():
        return bed.reuseportd("connections", "--json").json()
    wait_until(lambda: [row["state"] for row in rows()] == ["close-wait"] * 2,
               "both FINs have arrived")
    equal(sorted((row["bytes_in"], row["bytes_out"]) for row in rows()), [(0, 0), (5, 0)], "bytes")
    worker.process.kill(signal.SIGCONT)


def test_changed_from_container(bed):
    """A command that sees no worker, as in a container, takes effect, and connections are still
    counted."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2, "--service", "s")
    bed.must("unshare", "--pid", "--fork", "--mount-proc", "--net", bed.binary("reuseportd"),
             "weight", "s", 0, 300)
    equal([row["ring_entries"] for row in bed.status("s")["workers"]], [3, 1], "the ring")
    clients = bed.hold(8)
    equal([row["active"] for row in bed.status("s")["workers"]], [6, 2], "open connections")
    for client in clients:
        client.close()


def test_two_ports(bed):
    """All connections of a service with two ports are listed and reset, in whichever order the
    kernel gave them their cookies: here one after the other, as ss lists them first."""
    server = PYTHON.rsplit("Server(", 1)[0] + f"""
import threading
threading.Thread(target=Server(("0.0.0.0", {PORT + 1}), Handler).serve_forever).start()
Server(("0.0.0.0", {PORT}), Handler).serve_forever()
"""
    run = Run(bed, ["python3", script(bed, "server.py", server)], "--listen", PORT, "--listen",
              PORT + 1, workers=2)
    clients = [bed.hold(1, port=PORT + i % 2)[0] for i in range(20)]
    slots = [int(client.ask().split(".")[0]) for client in clients]
    bed.must("ss", "-Htn")
    listed = run.command_line("connections", "--json").json()
    equal({row["peer"]: row["slot"] for row in listed},
          {"%s:%d" % client.socket.getsockname(): slot for client, slot in zip(clients, slots)},
          "peers and their slots")
    result = run.command_line("drain", 1, "--wait", "--timeout", "0.1", "--close-remaining")
    check(f"{slots.count(1)} connections were reset" in result.out, f"{result}")
    equal(run.stop(), 0, "exit status")


@cases("conn", "conn-again", "rates", "open")
def test_counting_removed(bed, pin):
    """A pin of the counting is removed: steering continues, and unknown values are not shown as
    0."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    bed.load("-n", 10)
    [folder] = PINS.iterdir()
    (folder / pin).unlink()
    report = bed.load("-n", 100)
    equal((report["failed"], set(report["workers"].values())), (0, {50}), "connections")
    status = bed.status()
    equal([row["active"] for row in status["workers"]], [None, None], "active connections")
    check(not status["counting"] and "detached" in status["not_counting"], status["not_counting"])
    check("Connections are not counted" in bed.reuseportd("status").out, "text of status")
    [found] = [row for row in bed.reuseportd("doctor", "--json", status=None).json()
               if "connections are not counted" in row["detail"]]
    equal((found["verdict"], found["advice"]), ("warn", "detach, and attach again"), "doctor")
    result = bed.reuseportd("drain", 1, "--wait", status=1)
    check("not counted" in result.err, f"{result}")
    equal(rows(bed)[1]["state"], "active", "state after a refused drain")
    check("not counted" in bed.reuseportd("connections", status=1).err, "connections")
    bed.reuseportd("drain", 1)


def test_not_counted(bed):
    """With --no-count connections are steered, and unknown values are not shown."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2, "--no-count", "--count-max", 5, status=2)
    bed.reuseportd("attach", "--workers", 2, "--no-count")
    report = bed.load("-n", 100)
    equal(set(report["workers"].values()), {50}, "connections of each worker")
    equal([row["active"] for row in rows(bed)], [None, None], "active connections")
    check("attached with --no-count" in bed.reuseportd("status").out, "text of status")
    bed.reuseportd("drain", 1, "--wait", status=1)


def test_count_max_exceeded(bed):
    """More connections than can be counted are steered and served. A worker with uncounted
    connections has no count, and the counts are right again when all connections have closed."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2, "--count-max", 64)
    clients = bed.hold(40)
    equal(active(bed), [20, 20], "active connections, up to the limit")
    clients += bed.hold(400)
    equal(collections.Counter(client.ask() for client in clients), {"w0": 220, "w1": 220},
          "connections of each worker")
    status = bed.status()
    check(0 < status["uncounted"] < 440 - 64,
          f"{status['uncounted']} are not counted, {totals(bed)}")
    sums = totals(bed)
    equal((sums["uncounted"], sums["opened"]), (status["uncounted"], 440 - status["uncounted"]),
          "uncounted and counted connections")
    metrics = bed.reuseportd("metrics").out
    check("reuseportd_connections_uncounted_total{" in metrics and
          "reuseportd_connections_active{" not in metrics, "the metrics")
    equal([row["active"] for row in status["workers"]], [None, None], "active connections")
    text = bed.reuseportd("status").out
    check("connections were not counted" in text, text)
    result = bed.reuseportd("drain", 1, "--wait", status=1)
    check("not counted" in result.err, f"{result}")
    equal(rows(bed)[1]["state"], "active", "state after a refused drain")
    counted = bed.reuseportd("connections", "--json").json()
    equal(len(counted) + status["uncounted"], 440, "counted and uncounted connections")
    for client in clients:
        client.close()
    wait_until(lambda: bed.reuseportd("connections", "--json").json() == [], "all are closed")
    # There is room again: a new worker has a count.
    new = Worker(bed, "new")
    bed.reuseportd("swap", 1, "--pid", new.pid)
    clients = bed.hold(40)
    equal(active(bed), [None, 20], "active connections of the new worker")
    for client in clients:
        client.close()
    wait_until(lambda: active(bed) == [None, 0], "they have closed")


def test_fast_open(bed):
    """With TCP Fast Open the kernel creates a connection at its SYN and establishes it later."""
    # For client and server, without cookies, for all listeners from now on.
    pathlib.Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("0x607")
    workers = Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = []
    for _ in range(20):
        client = socket.socket()
        client.sendto(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", socket.MSG_FASTOPEN,
                      ("127.0.0.1", PORT))
        check(b"200" in client.recv(4096), "an answer")
        clients.append(client)
    names, numbers = [line.split() for line in
                      pathlib.Path("/proc/net/netstat").read_text().splitlines()
                      if line.startswith("TcpExt:")]
    equal(dict(zip(names, numbers))["TCPFastOpenPassive"], "20", "opened fast")
    equal(active(bed), [10, 10], "active connections")
    for client in clients:
        client.close()
    wait_until(lambda: active(bed) == [0, 0], "all have closed")
    equal(totals(bed)["opened"], 20, "opened")
    check(all(worker.process.alive() for worker in workers.all), "the workers still run")


def test_listener_in_other_slot(bed):
    """A listener that is moved to another slot doesn't take its connections along: those in its
    queue are counted in the former slot until they end or migrate."""
    workers = [Worker(bed, f"w{i}", options=["--no-accept"]) for i in range(3)]
    bed.reuseportd("attach", "--workers", 3)
    clients = bed.hold(30)
    new = Worker(bed, "new", options=["--no-accept"])
    bed.reuseportd("swap", 0, "--pid", new.pid)
    bed.reuseportd("swap", 1, "--pid", workers[0].pid)
    clients += bed.hold(30)
    counts = [(row["active"], row["former_active"]) for row in rows(bed)]
    equal(counts, [(10, 10), (10, 10), (20, 0)], "active connections, and former ones")
    workers[0].process.stop(signal.SIGKILL)
    wait_until(lambda: bed.status()["counters"]["migrated"] == 20, "its queue has migrated")
    counts = [(row["active"], row["former_active"]) for row in rows(bed)]
    equal(sum(map(sum, counts)), 60, f"connections, {counts}")
    equal(counts[0][1], 0, "of the former worker of slot 0")
    for client in clients:
        client.close()
    for worker in workers[1:] + [new]:
        worker.process.stop(signal.SIGKILL)
    wait_until(lambda: sum(row["active"] + row["former_active"] for row in rows(bed)) == 0,
               "no connection is left")


def test_rate(bed):
    """The rate is the connections a second over the last seconds."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    load = bed.start_load("--rate", 400)
    wait_until(lambda: sum(row["rate"] for row in rows(bed)) > 100, "the rate is shown", 30, 0.2)
    load.stop_unfailed()
    wait_until(lambda: sum(row["rate"] for row in rows(bed)) == 0, "the rate is 0 again", 30, 0.2)
