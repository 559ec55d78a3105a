# SPDX-License-Identifier: BSD-2-Clause
"""drain --wait: it returns once a worker has no connection left, or ends with the reason."""
from harness.checks import cases, check, equal, wait_until
from harness.network import NEAR, PORT
from harness.servers import Worker, Workers
from harness.traffic import wait_for_load


def rows(bed):
    return bed.status()["workers"]


def start_drain(bed, *args):
    return bed.start(bed.binary("reuseportd"), "drain", *args)


def test_last_close(bed):
    """20 keep-alive clients close one after another: `drain --wait` returns after the last one."""
    Workers(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4)
    clients = bed.hold(80)
    mine = [client for client in clients if client.ask() == "w3"]
    equal(len(mine), 20, "clients of w3")
    drain = start_drain(bed, 3, "--wait", "--timeout", "1h", "--json")
    wait_until(lambda: rows(bed)[3]["state"] == "draining", "slot 3 drains")
    for client in mine:
        check(drain.alive(), f"drain returned too early: {drain.output()}")
        equal(client.ask(), "w3", "the worker that answers")
        client.close()
    equal(drain.wait(), 0, f"exit status: {drain.output()}")
    check('"empty": true' in drain.output(), drain.output())
    equal([row["active"] for row in rows(bed)], [20, 20, 20, 0], "active connections")


def test_times_out(bed):
    """A connection stays: exit status 3 and its address, and the slot stays drained. Then
    --close-remaining resets it."""
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
        check(False, "the connection is still open")
    except ConnectionResetError:
        pass
    equal(rows(bed)[1]["active"], 0, "active connections")
    # --timeout without --wait is refused and changes nothing.
    bed.reuseportd("resume", 1)
    result = bed.reuseportd("drain", 1, "--timeout", 3, status=2)
    check("need --wait" in result.err, f"{result}")
    equal(rows(bed)[1]["state"], "active", "state")


def test_unknown_worker(bed):
    """A connection that may belong to another worker is not reset, and the reason is printed."""
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
    equal([row["slot"] for row in result["remaining"]], [None] * 2,
          "slots of the remaining connections")
    for client in clients:
        client.close()


@cases("detach", "attach again", "resume", "swap")
def test_ends_early(bed, how):
    """If there is nothing left to wait for, `drain --wait` ends at once with a message."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    clients = bed.hold(2)
    drain = start_drain(bed, 1, "--wait", "--timeout", 600)
    wait_until(lambda: "1 left" in drain.output(), "drain waits")
    message = "slot 1 was resumed or swapped meanwhile"
    if how == "resume":
        bed.reuseportd("resume", 1)
    elif how == "swap":
        bed.reuseportd("swap", 1, "--pid", Worker(bed, "new").pid)
    else:
        bed.reuseportd("detach")
        message = f"service 'worker-{PORT}' was detached meanwhile"
        if how == "attach again":
            bed.reuseportd("attach", "--workers", 2)
    equal(drain.wait(), 1, f"exit status: {drain.output()}")
    check(message in drain.output(), drain.output())
    for client in clients:
        client.close()


def test_handshakes(bed):
    """Across a link a handshake takes 10 ms: once `drain --wait` has returned, no connection
    comes."""
    Workers(bed, workers=4, options=["--no-keepalive"])
    bed.link()
    bed.reuseportd("attach", "--workers", 4)
    load = bed.start_load("-c", 64, hosts=(NEAR[0],), netns="far")
    for _ in range(10):
        bed.reuseportd("drain", 2, "--wait")
        before = rows(bed)[2]["connections"]["opened"]
        wait_for_load(bed, (0, 1, 3), 200)
        row = rows(bed)[2]
        equal(row["connections"]["opened"], before, "connections opened after the proof")
        equal((row["active"], row["queued"], row["handshakes"]), (0, 0, 0), "remaining connections")
        bed.reuseportd("resume", 2)
    load.stop_unfailed()
