# SPDX-License-Identifier: BSD-2-Clause
"""Each worker's connections: what is counted is what sock_diag says, however they begin and end."""
import collections
import os
import pathlib
import re
import signal
import socket
import struct
import sys
import time

from bed import NEAR, PINS, PORT, cases, check, equal, note, timeout, wait_until
from runs import PYTHON, SERVICE, Run, script
from servers import FLEETS, Worker, Workers, start_fleet

WORKERS = 8
# What a worker has open. FIN-WAIT-2 also is how ss shows what only the kernel still remembers.
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
    """What all workers' connections came to."""
    sums = collections.Counter()
    for row in rows(bed):
        sums.update(row["connections"])
    return sums


def diag(bed):
    """[connections of each worker], as sock_diag tells of the sockets that its process has open;
    and how many there are in all."""
    states = [word for state in OPEN for word in ("state", state)]
    table = bed.must("ss", "--no-header", "--tcp", "--numeric", "--processes", *states,
                     f"( sport = :{PORT} )")
    by_pid = collections.Counter(int(pid) for pid in re.findall(r"pid=(\d+)", table))
    return [by_pid[row["pid"]] for row in rows(bed)], len(table.splitlines())


def expect_equal_diag(bed, kind, what):
    """They agree at rest. HAProxy's threads are one process, and what gunicorn has not accepted yet
    is no process's: there only the sum can be told."""
    def agree():
        counted, (told, in_all) = active(bed), diag(bed)
        return sum(counted) == in_all and (kind in ("haproxy", "gunicorn") or counted == told)
    wait_until(agree, f"{active(bed)}, {what}, is what sock_diag says: {diag(bed)}", 5)


def reset(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@cases(*FLEETS)
@timeout(180)
def test_all_ways_to_end(bed, kind):
    """1,000 connections, half of them asked something and kept alive. After each kind of end the
    counts are those of sock_diag, and the clients'; in the end 0."""
    fleet = start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    n = 200 if kind == "gunicorn" else 1000  # its worker serves one at a time
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
    # To one that closed without a question HAProxy answers with an error, and gets a reset.
    resets = totals(bed)["reset_by_client"]
    equal(resets, n // 20 if kind == "haproxy" else 0, "resets by clients, so far")
    for client in clients[n // 10:n // 5]:  # or resets
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
    wait_until(lambda: sum(active(bed)) == 40 or kind == "gunicorn", "the 40 of another process")
    holder.stop(signal.SIGKILL)
    wait_until(lambda: sum(active(bed)) == 0, "no connection is left of a client that was killed")
    sums = totals(bed)
    equal(sums["opened"], sums["closed"], f"opened and closed, {sums}")
    equal(sums["reset_by_worker"], 0 if kind == "c" else sums["reset_by_worker"],
          "resets by workers")
    check(fleet, "it has served until now")


def test_ends_by_the_worker(bed):
    """A worker closes after its answer, resets what it has not read, is killed."""
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
    row = rows(bed)[3]  # it has not even seen that the 100 were closed
    equal((row["active"], row["queued"]), (120, 120), "of a worker that accepts nothing")
    bed.reuseportd("resume", "0-2")
    workers[3].process.stop(signal.SIGKILL)
    # They migrate, and are the others' from now on.
    wait_until(lambda: sum(active(bed)[:3]) == 20, "the others have them")
    sums = [row["connections"] for row in rows(bed)]
    equal(sum(s["moved_in"] for s in sums), 120, "moved in")
    equal(sums[3]["moved_out"], 120, "moved out of the dead")
    equal(active(bed)[3], 0, "active connections of the dead")
    for client in deaf:
        client.close()
    wait_until(lambda: sum(active(bed)) == 0, "no connection is left")


def test_half_closed(bed):
    """It is open until both sides have closed it."""
    workers = Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(10)
    for worker in workers.all:
        os.kill(worker.pid, signal.SIGSTOP)
        state = pathlib.Path(f"/proc/{worker.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "it has stopped")
    for client in clients:
        client.socket.shutdown(socket.SHUT_WR)
    equal(sum(active(bed)), 10, "half-closed connections")
    states = {row["state"] for row in bed.reuseportd("connections", "--json").json()}
    equal(states, {"close-wait"}, "states")
    for worker in workers.all:
        os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: sum(active(bed)) == 0, "no connection is left")


def test_killed_worker(bed):
    """SIGKILL of a worker ends its accepted connections, and only those."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    clients = bed.hold(80)
    for client in clients:
        client.ask()
    workers[5].process.stop(signal.SIGKILL)
    wait_until(lambda: active(bed) == [10] * 5 + [0] + [10] * 2, "those of slot 5 are gone")
    row = rows(bed)[5]["connections"]
    equal((row["opened"], row["closed"], row["moved_out"]), (10, 10, 0), "of slot 5")


def test_hundred_thousand(bed):
    """Short connections: as many opened as closed as the clients counted."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    report = bed.load("-n", 100000, "-c", 64)
    equal(report["failed"], 0, f"failed connections of {report}")
    wait_until(lambda: sum(active(bed)) == 0, "all are closed")
    equal([row["connections"]["opened"] for row in rows(bed)], [12500] * WORKERS, "opened")
    equal([row["connections"]["closed"] for row in rows(bed)], [12500] * WORKERS, "closed")


@cases("c", "haproxy", "queued")
def test_open_before_attach(bed, case):
    """Connections from before are counted as well: for their worker where that can be known."""
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
        equal(status["unattributed_active"], 0, "of an unknown worker")
        equal(totals(bed)["found"], 40, "found")
    else:
        equal(status["unattributed_active"], 40, "of an unknown worker")
        equal(sum(active(bed)), 0, "of known workers")
        text = bed.reuseportd("status").out
        check("40 connections were open before they were counted" in text, text)
    if case == "queued":  # one dies, and the other has its queue
        os.kill(rows(bed)[0]["pid"], signal.SIGKILL)
        wait_until(lambda: sum(active(bed)) > 0, "those that moved have a known worker")
        equal(sum(active(bed)) + bed.status()["unattributed_active"], 40, "all in all")
    for client in clients:
        client.close()
    if case == "queued":
        os.kill(rows(bed)[1]["pid"], signal.SIGKILL)
    wait_until(lambda: bed.status()["unattributed_active"] == 0 and sum(active(bed)) == 0,
               "no connection is left")


def test_swapped_out(bed):
    """The open connections of a worker that was swapped out are told apart from the new one's."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(20)
    new = Worker(bed, "new")
    old = rows(bed)[1]["pid"]
    bed.reuseportd("swap", 1, "--pid", new.pid)
    more = bed.hold(10)
    row = rows(bed)[1]
    equal((row["active"], row["former_active"]), (5, 10), "active of the new one and the former")
    told = bed.reuseportd("connections", 1, "--json").json()
    equal(collections.Counter((row["slot"], row["former"]) for row in told),
          {(1, False): 5, (1, True): 10}, "connections of slot 1")
    # Those of the former one are no matter of the new one's drain.
    drain = bed.reuseportd("drain", 1, "--wait", "--timeout", "0.1", "--json", status=3).json()
    equal([(row["slot"], row["former"]) for row in drain["remaining"]], [(1, False)] * 5,
          "what is left of the new one")
    bed.reuseportd("resume", 1)
    bed.reuseportd("swap", 1, "--pid", old)
    row = rows(bed)[1]
    equal((row["active"], row["former_active"]), (10, 5), "after the swap back")
    for client in clients + more:
        client.close()
    wait_until(lambda: [(row["active"], row["former_active"]) for row in rows(bed)] ==
               [(0, 0)] * 2, "no connection is left")


def drain_wait(bed, *args):
    return bed.start(bed.binary("reuseportd"), "drain", *args)


def test_drain_wait(bed):
    """20 keep-alive clients leave one after another: it returns when the last one has."""
    Workers(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4)
    clients = bed.hold(80)
    mine = [client for client in clients if client.ask() == "w3"]
    equal(len(mine), 20, "clients of w3")
    drain = drain_wait(bed, 3, "--wait", "--timeout", "1m", "--json")
    wait_until(lambda: rows(bed)[3]["state"] == "draining", "slot 3 drains")
    for client in mine:
        check(drain.alive(), f"it returned too early: {drain.output()}")
        equal(client.ask(), "w3", "who still answers")
        client.close()
        time.sleep(0.02)
    closed = time.monotonic()
    equal(drain.wait(), 0, f"exit status: {drain.output()}")
    seconds = time.monotonic() - closed
    check(seconds < 1, f"it returned {seconds:.3f} s after the last close")
    check('"empty": true' in drain.output(), drain.output())
    equal([row["active"] for row in rows(bed)], [20, 20, 20, 0], "active connections")
    note(f"returned {seconds * 1000:.0f} ms after the last close")


def test_drain_wait_in_vain(bed):
    """One stays: exit status 3 and its address, and the drain stands. Then it is closed by force."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(2)
    [stays] = [client for client in clients if client.ask() == "w1"]
    result = bed.reuseportd("drain", 1, "--wait", "--timeout", "300ms", status=3)
    address = "%s:%d" % stays.socket.getsockname()
    check(address in result.out and "1 active" in result.out, f"{result}")
    equal(rows(bed)[1]["state"], "draining", "state")
    result = bed.reuseportd("drain", 1, "--wait", "--timeout", "0.1", "--close-remaining")
    check(address in result.out and "1 connection was reset" in result.out, f"{result}")
    try:
        stays.ask()
        check(False, "it is still open")
    except ConnectionResetError:
        pass
    equal(rows(bed)[1]["active"], 0, "active connections")
    # Refused, and nothing changed, where nothing is to be proved.
    bed.reuseportd("resume", 1)
    result = bed.reuseportd("drain", 1, "--timeout", 3, status=2)
    check("need --wait" in result.err, f"{result}")
    equal(rows(bed)[1]["state"], "active", "state")


def test_drain_wait_unknown(bed):
    """What may be another worker's is not reset, and it is said why."""
    for i in range(2):
        Worker(bed, f"w{i}", options=["--no-accept"])
    clients = bed.hold(2)
    bed.reuseportd("attach", "--workers", 2)
    clients += bed.hold(2)
    drain = ("drain", 1, "--wait", "--timeout", "0.1", "--close-remaining")
    result = bed.reuseportd(*drain, status=3)
    check("1 connection was reset" in result.out and result.out.endswith(
        "\nConnections of slot - are never reset, because their worker is unknown.\n"), f"{result}")
    result = bed.reuseportd(*drain, "--json", status=3).json()
    equal([row["slot"] for row in result["remaining"]], [None] * 2, "whose are left")
    for client in clients:
        client.close()


@cases("detach", "attach anew", "resume", "swap")
def test_drain_wait_is_over(bed, how):
    """There is nothing more to wait for: it says so at once, and not when its time is over."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(2)
    drain = drain_wait(bed, 1, "--wait", "--timeout", 600)
    wait_until(lambda: "1 left" in drain.output(), "it waits")
    told = "slot 1 was resumed or swapped meanwhile"
    if how == "resume":
        bed.reuseportd("resume", 1)
    elif how == "swap":
        bed.reuseportd("swap", 1, "--pid", Worker(bed, "new").pid)
    else:
        bed.reuseportd("detach")
        told = f"service 'worker-{PORT}' was detached meanwhile"
        if how == "attach anew":
            bed.reuseportd("attach", "--workers", 2)
    equal(drain.wait(10), 1, f"exit status: {drain.output()}")
    check(told in drain.output(), drain.output())
    for client in clients:
        client.close()


def test_drain_wait_for_handshakes(bed):
    """Across a link a handshake is under way for 10 ms: no connection comes after it returned."""
    Workers(bed, workers=4, options=["--no-keepalive"])
    bed.link()
    bed.reuseportd("attach", "--workers", 4)
    load = bed.start_load("-c", 64, hosts=(NEAR[0],), netns="far")
    for _ in range(10):
        bed.reuseportd("drain", 2, "--wait")
        before = rows(bed)[2]["connections"]["opened"]
        wait_until(lambda: sum(bed.steered().values()) > 200, "load goes on")
        row = rows(bed)[2]
        equal(row["connections"]["opened"], before, "connections opened after the proof")
        equal((row["active"], row["queued"], row["handshakes"]), (0, 0, 0), "what is left")
        bed.reuseportd("resume", 2)
    load.stop_unfailed()


def test_connections(bed):
    """The list: peers, bytes, age, state."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(6)
    by = {("%s:%d" % client.socket.getsockname()): client.ask() for client in clients}
    told = bed.reuseportd("connections", "--json").json()
    equal({row["peer"]: f"w{row['slot']}" for row in told}, by, "peers and their workers")
    for row in told:
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
    """A FIN is no byte."""
    [worker] = Workers(bed, workers=1).all
    bed.reuseportd("attach", "--workers", 1)
    worker.process.kill(signal.SIGSTOP)
    clients = bed.hold(2)
    clients[0].socket.sendall(b"three")
    for client in clients:
        client.socket.shutdown(socket.SHUT_WR)
    def rows():
        return bed.reuseportd("connections", "--json").json()
    wait_until(lambda: [row["state"] for row in rows()] == ["close-wait"] * 2, "both FINs are there")
    equal(sorted((row["bytes_in"], row["bytes_out"]) for row in rows()), [(0, 0), (5, 0)], "bytes")
    worker.process.kill(signal.SIGCONT)


def test_seen_from_elsewhere(bed):
    """A command where no worker can be seen, as in a container: what it changes is in force, and
    connections are counted on."""
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
    """All are listed and reset of a service with two ports, in whichever order the kernel gave them
    their cookies: here one after the other, as something else lists them all."""
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
    told = run.command_line("connections", "--json").json()
    equal({row["peer"]: row["slot"] for row in told},
          {"%s:%d" % client.socket.getsockname(): slot for client, slot in zip(clients, slots)},
          "peers and their slots")
    result = run.command_line("drain", 1, "--wait", "--timeout", "0.1", "--close-remaining")
    check(f"{slots.count(1)} connections were reset" in result.out, f"{result}")
    equal(run.stop(), 0, "exit status")


@cases("conn", "conn-again", "rates", "handshakes", "open")
def test_counting_taken_away(bed, pin):
    """Somebody removes a pin of the counting: steering goes on, and what isn't known any more is
    not shown as 0."""
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
    check("Connections are not counted" in bed.reuseportd("status").out, "what status says")
    [found] = [row for row in bed.reuseportd("doctor", "--json", status=None).json()
               if "connections are not counted" in row["detail"]]
    equal((found["verdict"], found["advice"]), ("warn", "detach, and attach again"), "doctor")
    result = bed.reuseportd("drain", 1, "--wait", status=1)
    check("not counted" in result.err, f"{result}")
    equal(rows(bed)[1]["state"], "active", "state after a refused drain")
    check("not counted" in bed.reuseportd("connections", status=1).err, "connections")
    bed.reuseportd("drain", 1)


def test_not_counted(bed):
    """With --no-count: steered the same, and nothing is said that isn't known."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2, "--no-count", "--count-max", 5, status=2)
    bed.reuseportd("attach", "--workers", 2, "--no-count")
    report = bed.load("-n", 100)
    equal(set(report["workers"].values()), {50}, "connections of each worker")
    equal([row["active"] for row in rows(bed)], [None, None], "active connections")
    check("attached with --no-count" in bed.reuseportd("status").out, "what status says")
    bed.reuseportd("drain", 1, "--wait", status=1)


def test_no_room(bed):
    """More connections than can be counted: they are steered and served the same, a worker of which
    some are not counted has no count, and what was counted is right again when all have closed."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2, "--count-max", 64)
    clients = bed.hold(40)
    equal(active(bed), [20, 20], "active connections, as long as there is room")
    clients += bed.hold(400)
    equal(collections.Counter(client.ask() for client in clients), {"w0": 220, "w1": 220},
          "who serves them")
    status = bed.status()
    check(0 < status["uncounted"] < 440 - 64, f"{status['uncounted']} are not counted, {totals(bed)}")
    sums = totals(bed)
    equal((sums["uncounted"], sums["opened"]), (status["uncounted"], 440 - status["uncounted"]),
          "connections of the workers that were not counted, and that were")
    metrics = bed.reuseportd("metrics").out
    check("reuseportd_connections_uncounted_total{" in metrics and
          "reuseportd_connections_active{" not in metrics, "what the metrics say")
    equal([row["active"] for row in status["workers"]], [None, None], "active connections")
    text = bed.reuseportd("status").out
    check("connections were not counted" in text, text)
    result = bed.reuseportd("drain", 1, "--wait", status=1)
    check("not counted" in result.err, f"{result}")
    equal(rows(bed)[1]["state"], "active", "state after a refused drain")
    counted = bed.reuseportd("connections", "--json").json()
    equal(len(counted) + status["uncounted"], 440, "connections that are counted, and not")
    for client in clients:
        client.close()
    wait_until(lambda: bed.reuseportd("connections", "--json").json() == [], "all have left")
    # There is room again, and for a worker with a count of its own there is one.
    new = Worker(bed, "new")
    bed.reuseportd("swap", 1, "--pid", new.pid)
    clients = bed.hold(40)
    equal(active(bed), [None, 20], "active connections of the new one")
    for client in clients:
        client.close()
    wait_until(lambda: active(bed) == [None, 0], "they have closed")


def test_fast_open(bed):
    """With TCP Fast Open the kernel makes a connection at its SYN, and establishes it later."""
    # Of client and server, without cookies, for all that listen from now on.
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
    check(all(worker.process.alive() for worker in workers.all), "it has served until now")


def test_other_slot(bed):
    """A listener that is put into another slot takes none of its connections along: what is in its
    queue is counted where it was, until it has ended, and when it migrates as well."""
    workers = [Worker(bed, f"w{i}", options=["--no-accept"]) for i in range(3)]
    bed.reuseportd("attach", "--workers", 3)
    clients = bed.hold(30)
    new = Worker(bed, "new", options=["--no-accept"])
    bed.reuseportd("swap", 0, "--pid", new.pid)
    bed.reuseportd("swap", 1, "--pid", workers[0].pid)
    clients += bed.hold(30)
    told = [(row["active"], row["former_active"]) for row in rows(bed)]
    equal(told, [(10, 10), (10, 10), (20, 0)], "active connections, and former ones")
    workers[0].process.stop(signal.SIGKILL)
    wait_until(lambda: bed.status()["counters"]["migrated"] == 20, "its queue has migrated")
    told = [(row["active"], row["former_active"]) for row in rows(bed)]
    equal(sum(map(sum, told)), 60, f"connections, {told}")
    equal(told[0][1], 0, "of the former worker of slot 0")
    for client in clients:
        client.close()
    for worker in workers[1:] + [new]:
        worker.process.stop(signal.SIGKILL)
    wait_until(lambda: sum(row["active"] + row["former_active"] for row in rows(bed)) == 0,
               "no connection is left")


def test_events(bed):
    """What commands did and what the kernel saw, in order."""
    workers = Workers(bed, workers=3)
    bed.reuseportd("attach", "--workers", 3)
    follow = bed.start(bed.binary("reuseportd"), "events", "--follow", "--json")
    bed.reuseportd("drain", 2, "--wait")
    bed.reuseportd("resume", 2)
    bed.reuseportd("weight", "0-1", 50)
    workers[1].process.stop(signal.SIGKILL)
    wait_until(lambda: rows(bed)[1]["state"] == "dead", "slot 1 is dead")
    events = bed.reuseportd("events", "--json").json()
    equal([(e["event"], e["slot"]) for e in events],
          [("attached", None), ("drained", 2), ("empty", 2), ("resumed", 2), ("weight", None),
           ("left", 1)], "events")
    equal(events[4]["text"], "0-1 50", "text of the weight")
    equal(events[5]["pid"], workers[1].pid, "pid of the dead")
    check(all(abs(e["time"] - time.time()) < 60 for e in events), "times")
    check(len(bed.reuseportd("events").out.splitlines()) == 6, "lines")
    wait_until(lambda: follow.out.read_text().count("\n") == 6, "all of them are told")
    bed.reuseportd("detach")
    equal(follow.wait(), 0, "exit status of events --follow")


def test_bursts_are_one_event(bed):
    """50 connections that migrate at once are one event with a count."""
    workers = [Worker(bed, f"w{i}", options=["--no-accept"] if i == 0 else []) for i in range(2)]
    bed.reuseportd("attach", "--workers", 2)
    bed.reuseportd("drain", 1)
    clients = bed.hold(50)
    bed.reuseportd("resume", 1)
    workers[0].process.stop(signal.SIGKILL)
    wait_until(lambda: bed.status()["counters"]["migrated"] == 50, "50 have migrated")
    [event] = [e for e in bed.reuseportd("events", "--json").json() if e["event"] == "migrated"]
    equal((event["count"], event["slot"]), (50, 0), "count and slot")
    for client in clients:
        client.close()


def test_rate(bed):
    """Connections a second, over the last seconds."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    load = bed.start_load("--rate", 400)
    wait_until(lambda: sum(row["rate"] for row in rows(bed)) > 100, "the rate is seen", 30, 0.2)
    load.stop_unfailed()
    wait_until(lambda: sum(row["rate"] for row in rows(bed)) == 0, "and that it is over", 30, 0.2)
