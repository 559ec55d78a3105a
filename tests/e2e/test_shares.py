# SPDX-License-Identifier: BSD-2-Clause
"""Shares of connections by weights, canaries and versions, and refused changes that would leave no
worker for new connections."""
import time

from harness.checks import cases, check, equal, note, wait_until
from harness.network import Client
from harness.process import read_log
from refusals import uncounted
from harness.servers import Nginx, Workers, start_fleet
from harness.traffic import Place, expect_silence, wait_for_load

WORKERS = 8
SHARES = {0.1: 1000, 1: 100, 5: 60, 33.3: 3000}  # percent: ring length with three other workers


def expect_counts(bed, n, want, **options):
    """Checks that the slots get @want of @n new connections, by the servers' answers and the
    status."""
    before = bed.steered()
    report = bed.load("-n", n, **options)
    after = bed.steered()
    equal(report["failed"], 0, f"failed connections of {report}")
    equal({slot: after[slot] - before[slot] for slot in after if after[slot] != before[slot]},
          want, f"connections of each slot, of {n}")
    equal(sorted(report["workers"].values()), sorted(want.values()),
          f"connections of each worker by the servers' answers, of {n}")


@cases("nginx", "haproxy", "c", full=["gunicorn"])
def test_weights(bed, kind):
    """With weights 1:2:5 the slots get 1000, 2000 and 5000 of 8000 connections."""
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    bed.reuseportd("drain", "3-7")
    for slot, weight in enumerate((1, 2, 5)):
        bed.reuseportd("weight", slot, weight)
    equal(bed.status()["ring"], {"length": 8, "slots": 3, "rounding_error_ppm": 0}, "ring")
    expect_counts(bed, 8, {0: 1, 1: 2, 2: 5})
    expect_counts(bed, 8000, {0: 1000, 1: 2000, 2: 5000})
    bed.reuseportd("resume", "3-7")
    bed.reuseportd("weight", "0-7", 7)
    expect_counts(bed, 800, {slot: 100 for slot in range(WORKERS)})


@cases("nginx", "haproxy", "c", full=["gunicorn"])
def test_canary(bed, kind):
    """Canaries of 0.1, 1, 5 and 33.3 % beside three workers are exact over whole rings; --off ends
    them."""
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    bed.reuseportd("drain", "4-7")
    for share, length in SHARES.items():
        bed.reuseportd("canary", 3, "--share", share)
        status = bed.status()
        equal(status["ring"], {"length": length, "slots": 4, "rounding_error_ppm": 0},
              f"ring for {share} %")
        equal((status["workers"][3]["state"], status["workers"][3]["share_percent"]),
              ("canary", share), "state and share of the canary")
        n = length * max(1000 // length, 1)
        mine = round(n * share / 100)
        rest = (n - mine) // 3
        expect_counts(bed, n, {0: rest, 1: rest, 2: rest, 3: mine})
        note(f"{kind}: canary of {share} %: {mine} of {n}, the others {rest} each")
    bed.reuseportd("canary", "--off")
    expect_counts(bed, 400, {slot: 100 for slot in range(4)})


def test_canary_beside_seven(bed):
    """Beside seven workers not every share fits a ring of 4096: then the counts are those of the
    ring, and the status shows the rounding error."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    for share in SHARES:
        bed.reuseportd("canary", 7, "--share", share)
        status = bed.status()
        length = status["ring"]["length"]
        want = {row["slot"]: round(row["share_percent"] * length / 100)
                for row in status["workers"]}
        equal(sum(want.values()), length, "entries of the ring")
        off = abs(want[7] / length * 100 - share) / share
        check(off * 1e6 <= status["ring"]["rounding_error_ppm"], f"{share} % is off by {off}")
        check(off < 0.001, f"{share} % is off by {off}")
        expect_counts(bed, length, want)
        note(f"canary of {share} % beside 7: {want[7]} of {length}, off by {off * 100:.3f} %")


def test_canary_is_spread_out(bed):
    """A canary of 5 % gets at least one of 21 consecutive connections."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    bed.reuseportd("canary", 7, "--share", 5)
    load = bed.start_load("-n", 2800, "-c", 1)
    load.finish()
    at = [i for i, row in enumerate(read_log(load.log)) if row.worker == "w7"]
    equal(len(at), 140, "connections of the canary, of 2800")
    farthest = max(b - a for a, b in zip([-1] + at, at + [2800]))
    check(farthest <= 21, f"{farthest} connections without the canary")
    note(f"a canary of 5 % got one of at most {farthest} consecutive connections, in 2800")


def test_canary_of_two(bed):
    """Two canaries share the percentage; the other workers keep their relative weights."""
    Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    bed.reuseportd("weight", 0, 200)
    bed.reuseportd("canary", "6-7", "--share", 30)
    # 70 % by weights 2:1:1:1:1:1, 30 % by 1:1
    expect_counts(bed, 1000, {0: 200, **{slot: 100 for slot in range(1, 6)}, 6: 150, 7: 150})
    bed.reuseportd("drain", 6)
    length = bed.status()["ring"]["length"]
    expect_counts(bed, length, {0: length // 5, **{slot: length // 10 for slot in range(1, 6)},
                                7: length * 3 // 10})


@cases("nginx-link", "haproxy-link", "gunicorn-loopback", "c-link",
       full=["nginx-loopback", "c-loopback"])
def test_switch_under_load(bed, case):
    """A switch from blue to green and back under load: no connection fails, and once the command
    returns no new connection goes to the other version."""
    kind, place = case.split("-")
    place = Place(bed, place)
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS, "--label", "blue")
    bed.reuseportd("label", "4-7", "green")
    slots = {"blue": [0, 1, 2, 3], "green": [4, 5, 6, 7]}
    ids = {}
    for slot in range(WORKERS):
        bed.reuseportd("drain", *(other for other in range(WORKERS) if other != slot))
        bed.reuseportd("resume", slot)
        with place.client() as client:
            ids[slot] = client.ask()
        bed.reuseportd("resume", "0-7")
    equal(len(set(ids.values())), WORKERS, f"names of the workers, {ids}")
    bed.reuseportd("switch", "blue")
    load = place.start_load()
    wait_for_load(bed, slots["blue"], 500)
    turns = []  # (version, from when, until when)
    for version in ("green", "blue", "green", "blue"):
        begin = bed.reuseportd("switch", version).returned
        old = [slot for slot in range(WORKERS) if slot not in slots[version]]
        frozen = bed.steered()
        wait_for_load(bed, slots[version], 500)
        after = bed.steered()
        equal([after[slot] for slot in old], [frozen[slot] for slot in old],
              f"connections of the old version since the switch to {version}")
        turns.append((old, begin, time.monotonic()))
    states = [row["state"] for row in bed.status()["workers"]]
    equal(states, ["active"] * 4 + ["standby"] * 4, "states")
    bed.reuseportd("switch", "--off")
    wait_for_load(bed, slots["green"], 500)
    report = load.stop_unfailed()
    rows = read_log(load.log)
    for old, begin, end in turns:
        for slot in old:
            n = expect_silence(rows, ids[slot], begin, end, "while its version was switched off")
    note(f"{case}: 5 switches, {report['ok']} connections, 0 failed, 0 to the old version "
         f"(the last of {n})")


def expect_refused(bed, *command):
    """Checks that a command is refused, names --force, and changes nothing."""
    before = uncounted(bed.status())
    refused = bed.reuseportd(*command, status=1)
    check("--force" in refused.err, f"the message doesn't name --force: {refused}")
    equal(uncounted(bed.status()), before, f"status after {command} was refused")


@cases("nginx", "c")
def test_last_worker(bed, kind):
    """Draining the last live worker is refused without --force. With --force new connections are
    refused, open ones continue, and resume restores the service."""
    start_fleet(bed, kind)
    bed.reuseportd("attach", "--workers", WORKERS)
    expect_refused(bed, "drain", "0-7")
    expect_refused(bed, "weight", "0-7", 0)
    equal(bed.load("-n", 80)["failed"], 0, "failed connections after the refusals")
    client = Client()
    worker = client.ask()

    bed.reuseportd("drain", "0-6")
    expect_refused(bed, "drain", 7)
    expect_refused(bed, "weight", 7, 0)
    bed.reuseportd("drain", 7, "--force")
    report = bed.load("-n", 100)
    equal((report["refused"], report["ok"]), (100, 0), "refused and answered, all drained")
    equal(bed.status()["counters"]["dropped"], 100, "connections counted as dropped")
    equal(client.ask(), worker, "worker of the open connection")
    bed.reuseportd("drain", 0)  # not refused, as no worker takes connections anyway
    bed.reuseportd("resume", 7)
    expect_counts(bed, 50, {7: 50})

    bed.reuseportd("weight", 7, 0, "--force")
    equal(bed.load("-n", 100)["refused"], 100, "refused, weight 0")
    bed.reuseportd("weight", 7, 1)
    bed.reuseportd("resume", "0-6")
    bed.reuseportd("weight", 7, 100)
    expect_counts(bed, 800, {slot: 100 for slot in range(WORKERS)})
    equal(client.ask(), worker, "worker of the open connection at the end")


def test_dead_version(bed):
    """Switching to a version without a live worker is refused without --force. With --force no
    connection is refused: a connection to a slot without a listener goes to any live worker."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--label", "blue")
    bed.reuseportd("label", "6-7", "green")
    for worker in workers.all[6:]:
        worker.process.stop(9)
    equal([row["state"] for row in bed.status()["workers"]], ["active"] * 6 + ["dead"] * 2,
          "states")
    expect_refused(bed, "switch", "green")
    unknown = bed.reuseportd("switch", "purple", status=2)
    check("purple" in unknown.err, f"{unknown}")
    equal(bed.load("-n", 60)["failed"], 0, "failed connections")
    bed.reuseportd("switch", "green", "--force")
    before = bed.status()["counters"]["slot_gone"]
    report = bed.load("-n", 60)
    equal(report["failed"], 0, "failed connections, switched to the dead version")
    equal(bed.status()["counters"]["slot_gone"] - before, 60, "connections whose slot was gone")
    bed.reuseportd("switch", "blue")
    expect_counts(bed, 60, {slot: 10 for slot in range(6)})


def test_switch_survives_a_reload(bed):
    """nginx reloads: other processes poll the same listeners, and the versions don't change."""
    nginx = Nginx(bed)
    bed.reuseportd("attach", "--workers", WORKERS, "--label", "blue")
    bed.reuseportd("label", "4-7", "green")
    bed.reuseportd("switch", "green")
    old = set(nginx.pids())
    load = bed.start_load("-c", 16)
    nginx.reload()
    wait_until(lambda: not old & set(nginx.pids()), "nginx has new workers")
    report = load.stop_unfailed()
    pids = [row["pid"] for row in bed.status()["workers"]]
    equal(sorted(pids), sorted(nginx.pids()), "pids of the slots")
    equal(bed.load("-n", 400)["workers"], {str(pid): 100 for pid in pids[4:]}, "answers by worker")
