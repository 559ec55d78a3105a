# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL of workers: other workers answer the queued connections, and a listener that no process
polls is reported."""
import collections
import os
import pathlib
import signal
import time

from harness.checks import cases, check, equal, note, wait_until
from harness.network import PORT, Client
from harness.process import freeze, read_log
from harness.servers import Gunicorns, Nginx, Worker, Workers
from harness.traffic import Place, wait_for_load

WORKERS = 8
QUEUED = 50


def worker_row(bed, slot):
    return bed.status()["workers"][slot]


def fill_queue(bed, slot, n=QUEUED, path="/"):
    """@n clients with a request in the queue of the slot; its worker accepts nothing."""
    others = [str(other) for other in range(WORKERS) if other != slot]
    bed.reuseportd("drain", *others)
    clients = bed.hold(n)
    for client in clients:
        client.send(path)
    wait_until(lambda: worker_row(bed, slot)["listeners"][0]["queued"] == n,
               f"{n} connections in the queue of slot {slot}")
    bed.reuseportd("resume", *others)
    return clients


def expect_answers(clients, not_by=None):
    """Checks that all clients are answered, and none by worker @not_by. Returns the answers by
    worker."""
    by = collections.Counter(client.receive() for client in clients)
    equal(sum(by.values()), len(clients), "clients that were answered")
    check(not_by not in by, f"{not_by} is dead and answered {by}")
    return by


def expect_dead(bed, slot):
    row = worker_row(bed, slot)
    equal((row["state"], row["live"], row["listeners"]), ("dead", False, []),
          f"state, live and listeners of slot {slot}")


def expect_seven(bed, without):
    """Checks that new connections are answered, evenly by the remaining seven workers."""
    report = bed.load("-n", 700)
    equal(report["failed"], 0, f"failed connections of {report}")
    check(without not in report["workers"], f"{without} is dead: {report['workers']}")
    counts = report["workers"].values()
    check(max(counts) - min(counts) <= 1, f"the other workers are not even: {report['workers']}")


def start_with_one_deaf(bed, deaf=3):
    """Starts eight C workers; one listens and polls but accepts nothing."""
    workers = [Worker(bed, f"w{i}", options=["--no-accept"] if i == deaf else [])
               for i in range(WORKERS)]
    bed.reuseportd("attach", "--workers", WORKERS)
    equal([row["pid"] for row in bed.status()["workers"]], [w.pid for w in workers], "slots' pids")
    return workers


def test_queue_of_c_worker(bed):
    """50 clients with a request wait in the accept queue of a worker. It is killed, and the other
    workers answer all 50."""
    workers = start_with_one_deaf(bed)
    clients = fill_queue(bed, 3)
    equal(pathlib.Path("/proc/sys/net/ipv4/tcp_migrate_req").read_text().strip(), "0",
          "the sysctl for migration without reuseportd")
    killed = time.monotonic()
    workers[3].process.stop(signal.SIGKILL)
    by = expect_answers(clients, "w3")
    seconds = time.monotonic() - killed
    expect_dead(bed, 3)
    equal(bed.status()["counters"]["migrated"], QUEUED, "connections counted as migrated")
    equal(len(by), WORKERS - 1, f"workers that share the queue, {by}")
    expect_seven(bed, "w3")
    note(f"c: {QUEUED} of {QUEUED} queued clients answered by {len(by)} others, "
         f"{seconds * 1000:.0f} ms after SIGKILL")


def test_queue_stays_with_its_version(bed):
    """The queue goes to workers of the same version if there are any, otherwise to any worker."""
    workers = start_with_one_deaf(bed)
    bed.reuseportd("label", "2-3", "green")
    clients = fill_queue(bed, 3)
    workers[3].process.stop(signal.SIGKILL)
    equal(expect_answers(clients), {"w2": QUEUED}, "answers by worker")
    # Now the last worker of its version.
    freeze(workers[2].pid)
    clients = fill_queue(bed, 2)
    workers[2].process.stop(signal.SIGKILL)
    by = expect_answers(clients, "w2")
    equal(len(by), 6, f"workers of the other version that answered, {by}")


def test_queue_of_drained_worker(bed):
    """When a drained worker is killed, other workers answer its queue."""
    workers = start_with_one_deaf(bed)
    clients = fill_queue(bed, 3)
    bed.reuseportd("drain", 3)
    workers[3].process.stop(signal.SIGKILL)
    expect_answers(clients, "w3")
    expect_dead(bed, 3)


def gunicorn_with_queue(bed, slot=3):
    """Makes the worker of the slot busy, with 50 clients in its queue. Returns the worker, its pid
    and the clients."""
    fleet = Gunicorns(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    pid = worker_row(bed, slot)["pid"]
    [victim] = [one for one in fleet.all if one.worker_pid() == pid]
    others = [str(other) for other in range(WORKERS) if other != slot]
    bed.reuseportd("drain", *others)
    busy = Client()
    busy.send("/slow")
    wait_until((victim.home / f"slow.{pid}").exists, "the worker is busy")
    bed.reuseportd("resume", *others)
    return victim, pid, fill_queue(bed, slot)


def test_queue_of_gunicorn(bed):
    """gunicorn's parent keeps the listener of its child open, so the queue survives the child. When
    both are killed, as at the memory limit of a container, other workers answer."""
    victim, pid, clients = gunicorn_with_queue(bed)
    freeze(victim.pid)  # so that it doesn't replace the child first
    os.kill(pid, signal.SIGKILL)
    victim.process.stop(signal.SIGKILL)
    by = expect_answers(clients, str(pid))
    expect_dead(bed, 3)
    equal(bed.status()["counters"]["migrated"], QUEUED, "connections counted as migrated")
    expect_seven(bed, str(pid))
    note(f"gunicorn, parent and child killed: {QUEUED} of {QUEUED} queued clients answered by "
         f"{len(by)} others")


def test_gunicorn_child(bed):
    """If only the child is killed, its parent replaces it, and the new child answers the queue.
    `status` shows the new pid."""
    victim, pid, clients = gunicorn_with_queue(bed)
    os.kill(pid, signal.SIGKILL)
    by = expect_answers(clients, str(pid))
    successor = victim.worker_pid()
    equal(by, {str(successor): QUEUED}, "answers by worker")
    wait_until(lambda: worker_row(bed, 3)["pid"] == successor, "status names the new child")
    equal(worker_row(bed, 3)["state"], "active", "state of slot 3")
    note(f"gunicorn, child killed: {QUEUED} of {QUEUED} queued clients answered by its successor")


def test_nginx_worker(bed):
    """nginx's master keeps the listener and starts another worker: `status` shows the new pid, and
    the shares are exact again."""
    nginx = Nginx(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    old = worker_row(bed, 3)["pid"]
    os.kill(old, signal.SIGKILL)
    # The killed worker may still poll for a moment.
    wait_until(lambda: old not in nginx.pids() and nginx.n_polled() == WORKERS,
               "nginx has replaced its worker")
    new = worker_row(bed, 3)
    check(new["pid"] != old and new["pid"] in nginx.pids(), f"slot 3 is shown as pid {new['pid']}")
    equal(new["state"], "active", "state of slot 3")
    report = bed.load("-n", 8000)
    equal(report["failed"], 0, "failed connections")
    equal(report["workers"], {str(row["pid"]): 1000 for row in bed.status()["workers"]},
          "connections of each worker")


def doctor_rows(bed, name):
    result = bed.reuseportd("doctor", "--json", status=None)
    return [row for row in result.json() if row["check"] == name], result.code


def start_prefork(bed, *options):
    server = Worker(bed, "p", workers=WORKERS, options=["--prefork", WORKERS, *options])
    bed.reuseportd("attach", "--workers", WORKERS, "--service", "p")
    equal([row["pid"] for row in bed.status()["workers"]], server.child_pids(), "slots' pids")
    rows, _ = doctor_rows(bed, "p")
    check(all(row["verdict"] != "fail" for row in rows), f"findings of doctor: {rows}")
    return server


def test_black_hole_is_reported(bed):
    """A child of a pre-fork server is dead, but its parent and siblings keep its listener open, so
    connections to it hang. `status` and `doctor` report this, and `drain` removes the slot from the
    ring."""
    server = start_prefork(bed, "--no-respawn")
    os.kill(server.child_pids()[3], signal.SIGKILL)
    wait_until(lambda: worker_row(bed, 3)["state"] == "stalled", "slot 3 is shown as stalled")
    states = [row["state"] for row in bed.status()["workers"]]
    equal(states.count("active"), WORKERS - 1, f"active workers of {states}")
    check("stalled" in bed.reuseportd("status").out, "the text shows it as well")
    rows, code = doctor_rows(bed, "p")
    failed = [row for row in rows if row["verdict"] == "fail"]
    equal(code, 1, "exit status of doctor")
    check(len(failed) == 1 and "slot 3" in failed[0]["detail"] and failed[0]["advice"],
          f"the doctor says {rows}")
    clients = bed.hold(WORKERS)
    for client in clients:
        client.send()
    wait_until(lambda: worker_row(bed, 3)["listeners"][0]["queued"] == 1, "one client hangs")
    bed.reuseportd("drain", 3)
    expect_seven(bed, "p.3")


def test_black_hole_is_left_out(bed):
    """With --watch a listener that no process polls leaves the ring until a process polls it again,
    which then also answers the queued connections."""
    server = start_prefork(bed)
    watch = bed.start_watch("--service", "p", "--workers", WORKERS)
    victim = server.child_pids()[3]
    freeze(server.pid)  # so that it doesn't replace the child
    os.kill(victim, signal.SIGKILL)
    watch.wait_output(f"slot 3: pid {victim} (worker) has died, but its listener is still open")
    equal(worker_row(bed, 3)["state"], "stalled", "state of slot 3")
    equal(worker_row(bed, 3)["share_percent"], 0, "share of slot 3")
    expect_seven(bed, "p.3")
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: server.child_pids()[3] != victim, "the parent has replaced the child")
    watch.wait_output("back in the ring")
    row = worker_row(bed, 3)
    equal((row["state"], row["pid"]), ("active", server.child_pids()[3]), "slot 3")
    report = bed.load("-n", 800)
    equal(set(report["workers"].values()), {100}, "connections of each worker")


@cases("fall-back", "strict")
def test_no_worker_left(bed, case):
    """All admitted workers are dead, and a foreign listener has the port open: the kernel's hash
    gives it the connections, which are counted; with --strict they are refused."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS, *(["--strict"] if case == "strict" else []))
    stranger = Worker(bed, "stranger")
    report = bed.load("-n", 800)
    check("stranger" not in report["workers"], f"the foreign listener got connections: {report}")
    foreign = bed.status()["foreign_listeners"]
    equal([row["pid"] for row in foreign], [stranger.pid], "pids of foreign listeners")
    for worker in workers.all:
        worker.process.stop(signal.SIGKILL)
    report = bed.load("-n", 100)
    counters = bed.status()["counters"]
    if case == "strict":
        equal((report["refused"], counters["dropped"]), (100, 100), "refused, by both sides")
        equal(counters["fell_back"], 0, "left to the kernel")
    else:
        equal(report["workers"], {"stranger": 100}, "answers by worker")
        equal((counters["fell_back"], counters["dropped"]), (100, 0), "fell_back and dropped")


@cases("loopback", "link")
def test_killed_under_load(bed, place):
    """A worker is killed under full load: only connections that it had accepted can be lost.
    Connections that begin after its death are answered."""
    workers = Workers(bed)
    bed.reuseportd("attach", "--workers", WORKERS)
    load = Place(bed, place).start_load("-c", 64)
    wait_for_load(bed, range(WORKERS), 1000)
    workers[3].process.stop(signal.SIGKILL)
    dead = time.monotonic()
    wait_for_load(bed, range(WORKERS), 2000)
    report = load.stop()
    failed = [row for row in read_log(load.log) if row.outcome != "ok"]
    check(not [row for row in failed if row.begin > dead], f"failed after its death: {failed}")
    check(len(failed) <= 64, f"{len(failed)} failed: {report}")  # all may be with one worker
    expect_dead(bed, 3)
    note(f"{place}: SIGKILL of 1 of 8 at {report['connections_per_second']:.0f} connections/s: "
         f"{len(failed)} lost of {report['begun']}, none begun after its death; "
         f"{bed.status()['counters']['migrated']} migrated")


def test_nginx_under_load(bed):
    """nginx workers are killed under full load, with a watcher: only accepted connections are lost.
    A listener that no process polls leaves the ring, and the next worker answers its queue."""
    nginx = Nginx(bed)
    watch = bed.start_watch("--workers", WORKERS)
    load = bed.start_load("-c", 64)
    for _ in range(4):
        wait_for_load(bed, range(WORKERS), 1000)
        old = nginx.pids()
        os.kill(old[3], signal.SIGKILL)
        wait_until(lambda: nginx.n_polled() == WORKERS and old[3] not in nginx.pids(),
                   "a new worker")
    report = load.stop()
    failed = report["failed"]
    equal(failed, report["reset"] + report["closed_early"], f"failures of {report}")
    check(failed <= 4 * 64, f"{failed} failed: {report}")
    wait_until(lambda: {row["pid"] for row in bed.status()["workers"] if row["share_percent"]}
               == set(nginx.pids()), "all are back in the ring")
    after = bed.load("-n", 800)
    equal(after["workers"], {str(pid): 100 for pid in nginx.pids()}, "connections of each worker")
    check(watch.alive(), f"the watcher ended: {watch.output()}")
    note(f"nginx: 4 workers killed under load: {failed} lost of {report['begun']}")


def test_loss_is_detected(bed):
    """The control experiment: the same kills without reuseportd lose connections, and loadgen
    detects it. Otherwise "0 failed" in the other tests would prove nothing."""
    workers = Workers(bed)
    load = Place(bed, "link").start_load()
    for worker in workers.all[:4]:
        seen = load.log.stat().st_size
        wait_until(lambda: load.log.stat().st_size > seen + 20_000, "more connections")
        worker.process.stop(signal.SIGKILL)
    report = load.stop()
    check(report["reset"] > 0, f"nothing was lost: {report}")
    note(f"link, without reuseportd: SIGKILL of 4 of 8 loses {report['failed']} of "
         f"{report['begun']} connections")


def test_listener_closed_by_living_process(bed):
    """A worker closes its listener and continues with its open connections: other workers answer
    its queue."""
    workers = start_with_one_deaf(bed)
    clients = fill_queue(bed, 3)
    open_one = Client()
    worker = open_one.ask()
    workers[3].process.kill(signal.SIGUSR2)
    expect_answers(clients, "w3")
    equal(open_one.ask(), worker, "worker of the open connection")
    expect_dead(bed, 3)
    check(workers[3].process.alive(), "the worker still runs")
    equal(bed.status()["endpoints"][0]["port"], PORT, "port")
