# SPDX-License-Identifier: BSD-2-Clause
"""--policy least-connections: the worker with the fewest open connections takes the next one."""
import contextlib
import json
import socket

from harness.bed import PINS
from harness.checks import check, equal, note, wait_until
from harness.network import PORT
from harness.servers import Worker, Workers
from runs import Run, script, worker_command

WORKERS = 8
LEAST = ("--policy", "least-connections")


def active(bed):
    return {row["slot"]: row["active"] for row in bed.status()["workers"]}


def loads(bed, service):
    """The counts that the steering program compares, by account."""
    shown = bed.run("bpftool", "--json", "map", "dump", "pinned", PINS / service / "loads")
    check(shown.code == 0, f"{shown}")
    return {row["formatted"]["key"]: row["formatted"]["value"]["open"]
            for row in json.loads(shown.out)}


def close_all(clients):
    for client in clients:
        client.close()


def test_held(bed):
    """Held connections are spread evenly, also after one worker had none and after it had all."""
    Workers(bed, workers=WORKERS)
    bed.reuseportd("attach", "--workers", WORKERS, *LEAST, "--choices", WORKERS)
    clients = bed.hold(5 * WORKERS)
    wait_until(lambda: set(active(bed).values()) == {5}, "5 each")
    bed.reuseportd("drain", "0-6")
    clients += bed.hold(16)
    wait_until(lambda: active(bed)[7] == 21, "worker 7 has all new ones")
    bed.reuseportd("resume", "0-6")
    before = bed.steered()
    clients += bed.hold(7 * 16)
    wait_until(lambda: set(active(bed).values()) == {21}, "21 each")
    equal(bed.steered()[7], before[7], "connections of the busy worker meanwhile")
    close_all(clients)


# Holds ten connections, and closes the others. That of slot 2 resets all of them while the file
# "bad" exists.
RESETTING = """
import os, socket, struct
listener = socket.create_server(("0.0.0.0", %PORT%), reuse_port=True)
held = []
while True:
    connection = listener.accept()[0]
    if os.environ["REUSEPORTD_SLOT"] == "2" and os.path.exists("bad"):
        for it in [connection, *held]:
            it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            it.close()
        held = []
    elif len(held) < 10:
        held.append(connection)
    else:
        connection.close()
"""


def test_resets(bed):
    """A worker that resets all its connections has none open, but doesn't get all new ones."""
    run = Run(bed, ["python3", script(bed, "server.py", RESETTING)], *LEAST, "--choices", 4,
              workers=4)
    clients = bed.hold(40)
    wait_until(lambda: [row["active"] for row in run.workers()] == [10] * 4, "10 each")
    (bed.dir / "bad").touch()
    before = bed.steered("web")[2]
    for _ in range(200):
        with contextlib.suppress(ConnectionResetError), \
                socket.create_connection(("127.0.0.1", PORT), 60) as client:
            client.recv(1)  # until the worker has closed it
    got = bed.steered("web")[2] - before
    check(got < 50, f"{got} of 200 connections to the worker that resets them")
    note(f"{got} of 200")
    close_all(clients)
    run.stop()


def test_counts_agree(bed):
    """After a load, migrations and a swap, the program's counts are those of `status`."""
    workers = Workers(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4, *LEAST)
    bed.load("-n", 4000, "-c", 32)
    clients = bed.hold(40)
    wait_until(lambda: sum(active(bed).values()) == 40, "40 connections are open")
    rows = bed.status()["workers"]
    newcomer = Worker(bed, "new")
    bed.reuseportd("swap", 0, "--pid", newcomer.pid)
    clients += bed.hold(20)
    wait_until(lambda: sum(active(bed).values()) == 60 - rows[0]["active"], "20 more are open")
    rows = bed.status()["workers"]
    counts = loads(bed, f"worker-{PORT}")
    for row in rows:
        slot = row["slot"]
        of_slot = sorted(n for account, n in counts.items() if account % 1024 == slot and n)
        equal(of_slot, sorted(n for n in (row["active"], row["former_active"]) if n),
              f"counts of slot {slot}")
    check(rows[0]["active"] > 0, f"{rows[0]}")
    close_all(clients)
    wait_until(lambda: not any(loads(bed, f"worker-{PORT}").values()), "all counts are 0")
    workers[1].process.stop()


def test_short_connections(bed):
    """Of short connections every worker gets its part, and none fails."""
    Workers(bed, workers=WORKERS)
    bed.reuseportd("attach", "--workers", WORKERS, *LEAST)
    report = bed.load("-n", 8000, "-c", 64)
    equal(report["failed"], 0, f"failed connections of {report}")
    counts = sorted(report["workers"].values())
    check(len(counts) == WORKERS and counts[0] > 500, f"connections of each worker: {counts}")
    note(f"{counts}")


def test_policy(bed):
    """`policy` changes it under load, and the event names it."""
    Workers(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4)
    load = bed.start_load("-c", 16)
    for name in ("least-connections", "sticky", "round-robin", "least-connections"):
        bed.reuseportd("policy", name)
        equal(bed.status()["policy"], name, "policy")
    load.stop_unfailed()
    bed.reuseportd("policy", "round-robin")
    before = bed.steered()
    bed.load("-n", 400)
    after = bed.steered()
    equal([after[slot] - before[slot] for slot in range(4)], [100] * 4, "connections of each slot")
    events = [e["text"] for e in bed.reuseportd("events", "--json").json()
              if e["event"] == "policy"]
    equal(events[-2:], ["least-connections", "round-robin"], "events")


def test_policy_counts(bed):
    """`policy` counts the connections that are open already, in the network namespace of the
    workers."""
    service = f"worker-{PORT}"
    Workers(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4)
    clients = bed.hold(20)
    check(not any(loads(bed, service).values()), "round robin needs no counts")
    refused = bed.run("unshare", "--pid", "--fork", "--mount-proc", "--net",
                      bed.binary("reuseportd"), "policy", "least-connections")
    check(refused.code == 1 and "network namespace can't be entered" in refused.err, f"{refused}")
    equal(bed.status()["policy"], "round-robin", "policy")
    bed.reuseportd("policy", "least-connections")
    counts = loads(bed, service)
    equal([counts[slot] for slot in range(4)], [5] * 4, "counts")
    bed.reuseportd("policy", "round-robin")
    close_all(clients)
    wait_until(lambda: not any(loads(bed, service).values()), "all counts are 0")


def test_needs_counts(bed):
    """Without counts there is nothing to compare: both commands say so, and change nothing."""
    Workers(bed, workers=2)
    refused = bed.reuseportd("attach", "--workers", 2, *LEAST, "--no-count", status=1)
    check("needs the counts of open connections" in refused.err, f"{refused}")
    bed.reuseportd("attach", "--workers", 2, "--no-count")
    refused = bed.reuseportd("policy", "least-connections", status=1)
    check("needs the counts of open connections" in refused.err
          and "--no-count" in refused.err, f"{refused}")
    equal(bed.status()["policy"], "round-robin", "policy")


def test_restart(bed):
    """After the restart of one worker of `run`, new connections even the workers out."""
    run = Run(bed, worker_command(bed), *LEAST, "--choices", 4, "--settle", "0.05",
              "--drain-timeout", "1s", workers=4)
    clients = bed.hold(40)
    wait_until(lambda: [row["active"] for row in run.workers()] == [10] * 4, "10 each")
    run.command_line("restart", 2)
    wait_until(lambda: run.workers()[2]["active"] == 0, "the new worker has none")
    clients += bed.hold(10)
    wait_until(lambda: [row["active"] for row in run.workers()] == [10] * 4, "10 each again")
    close_all(clients)
    run.stop()
