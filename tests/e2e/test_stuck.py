# SPDX-License-Identifier: BSD-2-Clause
"""--skip-stuck: a worker whose event loop hangs gets no new connection until it accepts again."""
import json
import os

from harness.bed import PINS
from harness.checks import SLOW, cases, check, equal, note, wait_until
from harness.network import PORT, Client
from harness.servers import Workers
from harness.traffic import wait_for_load
from runs import Run, script

WORKERS = 8

# Answers with its slot and pid. /hang keeps the event loop busy until the file `go` exists.
NODE = """
const fs = require('fs');
const http = require('http');
http.createServer((request, response) => {
    if (request.url === '/hang')
        while (!fs.existsSync('go'));
    const id = process.env.REUSEPORTD_SLOT + '.' + process.pid;
    response.setHeader('X-Worker', id);
    response.end(id + '\\n');
}).listen(%PORT%);
"""


def start_node(bed, *options):
    return Run(bed, ["node", script(bed, "server.js", NODE)], *options, workers=WORKERS,
               env={**os.environ, "RPD_TEST": "1"})


def steered(run):
    return {row["slot"]: row["steered"] for row in run.workers()}


def release(bed):
    (bed.dir / "go").touch()


def stuck_slots(run):
    return [row["slot"] for row in run.workers() if row["state"] == "stuck"]


def expect_passed_on(given, n, what):
    """Checks that the stuck worker has got (nearly) none of @n connections: while a busy machine makes
    all workers seem stuck, it keeps its turns."""
    check(given <= n // 50, f"{given} connections of the stuck worker, while {what} got {n}")


def count_stuck(bed):
    """How many queues the steering program takes for stuck."""
    shown = bed.run("bpftool", "--json", "map", "dump", "pinned", PINS / f"worker-{PORT}/control")
    check(shown.code == 0, f"{shown}")
    return json.loads(shown.out)[0]["formatted"]["value"]["n_stuck"]


def test_node_hangs(bed):
    """One of eight Node servers hangs: its turns go to the others, the clients of these notice
    nothing, and it gets connections again once its loop runs."""
    run = start_node(bed, "--skip-stuck", "5ms")
    client = Client()
    client.send("/hang")
    [slot] = wait_until(lambda: [row["slot"] for row in run.workers() if row["active"]],
                        "a worker has the connection")
    load = bed.start_load("-c", 16, "--timeout", 60000 * SLOW)
    wait_until(lambda: slot in stuck_slots(run), "the worker is stuck")
    before = steered(run)
    wait_for_load(bed, [i for i in range(WORKERS) if i != slot], 4000)
    row = run.workers()[slot]
    after = steered(run)
    expect_passed_on(after[slot] - before[slot], 4000, "the others")
    check(all(after[i] - before[i] > 100 for i in range(WORKERS) if i != slot),
          f"connections of each slot: {before}, then {after}")
    check(row["turns_lost"]["stuck"] > 400 and row["turns_lost"]["full"] == 0,
          f"turns lost: {row['turns_lost']}")
    check(row["queued"] > 0 and row["queue_unmoved_seconds"] > 0, f"{row}")
    note(f"{before[slot]} connections to the worker in all, of which it answers none while it hangs")
    release(bed)
    client.receive()
    wait_until(lambda: steered(run)[slot] > after[slot] + 50, "it has its turns again")
    load.stop_unfailed()
    events = [e["event"] for e in bed.reuseportd("events", "--json").json() if e["slot"] == slot]
    check("stuck" in events and "moving" in events[events.index("stuck"):], f"{events}")
    client.close()
    run.stop()


def test_node_healthy(bed):
    """With a time that no worker exceeds, shares are exact under full load."""
    run = start_node(bed, "--skip-stuck", "10s")
    report = bed.load("-n", 8000, "-c", 64)
    equal(report["failed"], 0, f"failed connections of {report}")
    equal(sorted(report["workers"].values()), [1000] * WORKERS, "connections of each worker")
    equal(run.status()["counters"]["passed_on"], 0, "turns passed on")
    run.stop()


BUSY = {
    "burst": (1000, ()),
    "one-client-at-a-time": (64, ("--accept-blocking", "--burn", "2/10")),
}


@cases(*BUSY)
def test_busy(bed, kind):
    """The same with bursts of a thousand clients, and with workers that serve one client after the
    other, some of them slowly."""
    clients, options = BUSY[kind]
    Workers(bed, WORKERS, options=options)
    bed.reuseportd("attach", "--workers", WORKERS, "--skip-stuck", "10s")
    for _ in range(2):
        report = bed.load("-n", 4000, "-c", clients, "--linger0", "--timeout", 60000 * SLOW)
        equal(report["failed"], 0, f"failed connections of {report}")
        equal(sorted(report["workers"].values()), [500] * WORKERS, "connections of each worker")
    equal(bed.status()["counters"]["passed_on"], 0, "turns passed on")


def test_attach(bed):
    """`attach` has the option too, and a worker that never accepts loses its turns."""
    Workers(bed, workers=3)
    hung = Workers(bed, workers=1, first=3, options=["--no-accept"])
    bed.reuseportd("attach", "--workers", 4, "--skip-stuck", "5ms")
    rows = {row["pid"]: row for row in bed.status()["workers"]}
    slot = rows[hung.pid]["slot"]
    load = bed.start_load("-c", 16)
    wait_until(lambda: bed.status()["workers"][slot]["state"] == "stuck", "the worker is stuck")
    before = bed.steered()
    wait_for_load(bed, [i for i in range(4) if i != slot], 2000)
    expect_passed_on(bed.steered()[slot] - before[slot], 2000, "the others")
    shown = bed.reuseportd("status").out
    check("stuck" in shown and "passed_on" in shown, shown)
    metrics = bed.reuseportd("metrics").out
    check("reuseportd_turns_lost_stuck_total{" in metrics
          and "reuseportd_accept_queue_unmoved_seconds{" in metrics, metrics)
    load.stop()


def test_at_run_time(bed):
    """`policy --skip-stuck` turns it on and off; what is not given stays as it is."""
    Workers(bed, workers=1)
    hung = Workers(bed, workers=1, first=1, options=["--no-accept"])
    bed.reuseportd("attach", "--workers", 2)
    bed.reuseportd("policy", "--skip-stuck", "5ms")
    equal(round(bed.status()["skip_stuck_ms"]), 5, "milliseconds")
    load = bed.start_load("-c", 8)
    slot = next(row["slot"] for row in bed.status()["workers"] if row["pid"] == hung.pid)
    wait_until(lambda: bed.status()["workers"][slot]["state"] == "stuck", "the worker is stuck")
    bed.reuseportd("policy", "sticky")
    bed.reuseportd("policy", "round-robin")
    before = bed.steered()[slot]
    wait_for_load(bed, [1 - slot], 500)
    expect_passed_on(bed.steered()[slot] - before, 500, "the other")
    load.stop()
    bed.reuseportd("policy", "--skip-stuck", 0)
    check("skip_stuck_ms" not in bed.status(), "it is off")
    equal(bed.status()["workers"][slot]["state"], "active", "state")


def test_drained_while_stuck(bed):
    """A stuck worker that is drained no longer makes each connection cost more."""
    Workers(bed, workers=1)
    hung = Workers(bed, workers=1, first=1, options=["--no-accept"])
    bed.reuseportd("attach", "--workers", 2, "--skip-stuck", "5ms")
    load = bed.start_load("-c", 8)
    slot = next(row["slot"] for row in bed.status()["workers"] if row["pid"] == hung.pid)
    wait_until(lambda: bed.status()["workers"][slot]["state"] == "stuck", "the worker is stuck")
    bed.reuseportd("drain", slot)
    # The other worker may seem stuck for a moment.
    wait_until(lambda: count_stuck(bed) == 0, "no queue counts as stuck")
    load.stop()


def test_needs_btf(bed):
    """Without the kernel's BTF the option is refused by name, and all else works."""
    bed.must("mount", "-t", "tmpfs", "tmpfs", "/sys/kernel/btf")
    Workers(bed, workers=2)
    refused = bed.reuseportd("attach", "--workers", 2, "--skip-stuck", "5ms", status=1)
    check("skip-stuck needs the BTF" in refused.err, f"{refused}")
    bed.reuseportd("attach", "--workers", 2)
    report = bed.load("-n", 100)
    equal(sorted(report["workers"].values()), [50, 50], "connections of each worker")
    refused = bed.reuseportd("policy", "--skip-stuck", "5ms", status=1)
    check("skip-stuck needs the BTF" in refused.err, f"{refused}")
    rows = {row["check"]: row for row in bed.reuseportd("doctor", "--json").json()}
    check("--skip-stuck" in str(rows["kernel BTF"]), f"{rows['kernel BTF']}")
    bed.must("umount", "/sys/kernel/btf")
    refused = bed.reuseportd("policy", "--skip-stuck", "5ms", status=1)
    check("skip-stuck has no effect: when the service was made" in refused.err, f"{refused}")
    bed.reuseportd("detach")
    bed.reuseportd("attach", "--workers", 2)
    bed.reuseportd("policy", "--skip-stuck", "5ms")
