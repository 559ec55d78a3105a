# SPDX-License-Identifier: BSD-2-Clause
"""The command `events`."""
import signal
import time

from harness.checks import check, equal, wait_until
from harness.servers import Worker, Workers


def rows(bed):
    return bed.status()["workers"]


def test_in_order(bed):
    """`events` lists changes by commands and by the kernel, in order."""
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
    equal(events[5]["pid"], workers[1].pid, "pid of the dead worker")
    check(all(abs(e["time"] - time.time()) < 60 for e in events), "times")
    check(len(bed.reuseportd("events").out.splitlines()) == 6, "lines")
    wait_until(lambda: follow.out.read_text().count("\n") == 6, "all events are printed")
    bed.reuseportd("detach")
    equal(follow.wait(), 0, "exit status of events --follow")


def test_bursts_are_one_event(bed):
    """50 connections that migrate at the same time are one event with a count."""
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
