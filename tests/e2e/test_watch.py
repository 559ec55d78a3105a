# SPDX-License-Identifier: BSD-2-Clause
"""attach --watch: the slots follow the workers that start and end."""
import pathlib
import shutil
import signal
import socket
import time

from harness.checks import cases, check, equal, note, wait_until
from harness.process import FullPipe, read_log
from harness.servers import Gunicorn, Haproxy, Nginx, Worker, Workers, children
from harness.traffic import Place, fewer, wait_for_load
from webs import listener_inode

WORKERS = 8


def states(bed):
    return [row["state"] for row in bed.status()["workers"]]


def expect_even(bed, names, n=None):
    """Checks that new connections go to these workers only, and to each the same number."""
    n = n or 50 * len(names)
    report = bed.load("-n", n)
    equal(report["failed"], 0, f"failed connections of {report}")
    equal(report["workers"], {name: n // len(names) for name in names},
          "connections of each worker")


def test_replaced_worker(bed):
    """A dead worker leaves the ring at once; a new worker gets its slot. Both are logged, and
    systemd gets READY=1."""
    workers = Workers(bed)
    names = [f"w{i}" for i in range(WORKERS)]
    watch = bed.start_watch("--workers", WORKERS)
    check("READY=1" in watch.read_notices(), f"notifications: {watch.notices}")
    expect_even(bed, names)

    killed = time.monotonic()
    workers[3].process.stop(signal.SIGKILL)
    watch.wait_output(f"slot 3: pid {workers[3].pid} (worker) has left")
    dropped = time.monotonic() - killed
    wait_until(lambda: bed.status()["ring"]["slots"] == 7, "the ring has seven slots")
    expect_even(bed, names[:3] + names[4:], 350)
    equal(bed.status()["counters"]["slot_gone"], 0, "connections to the slot of the dead worker")

    started = time.monotonic()
    newcomer = Worker(bed, "new")
    watch.wait_output(f"slot 3: admitted pid {newcomer.pid} (worker)")
    admitted = time.monotonic() - started
    wait_until(lambda: states(bed) == ["active"] * WORKERS, "all are active")
    equal(bed.status()["workers"][3]["pid"], newcomer.pid, "pid of slot 3")
    expect_even(bed, names[:3] + ["new"] + names[4:])
    note(f"a dead worker was out after {dropped * 1000:.0f} ms, a new process was in after "
         f"{admitted * 1000:.0f} ms")


def test_extra_members(bed):
    """Workers beyond N get no connection, and the log says so once. The worker that has waited
    longest gets the next free slot."""
    workers = Workers(bed)
    watch = bed.start_watch("--workers", WORKERS)
    extra = [Worker(bed, "extra0"), Worker(bed, "extra1")]
    refusals = [f"pid {one.pid} (worker) has joined, but all slots are taken" for one in extra]
    for refusal in refusals:
        watch.wait_output(refusal)
    expect_even(bed, [f"w{i}" for i in range(WORKERS)])
    equal(sorted(row["pid"] for row in bed.status()["foreign_listeners"]),
          [one.pid for one in extra], "foreign listeners")
    workers[5].process.stop(signal.SIGKILL)
    watch.wait_output(f"slot 5: admitted pid {extra[0].pid} ")
    wait_until(lambda: states(bed) == ["active"] * WORKERS, "all are active")
    expect_even(bed, [f"w{i}" for i in range(WORKERS) if i != 5] + ["extra0"])
    equal([row["pid"] for row in bed.status()["foreign_listeners"]], [extra[1].pid],
          "foreign listeners")
    equal([watch.output().count(refusal) for refusal in refusals], [1, 1],
          "number of log lines for each")


def test_end_and_restart(bed):
    """SIGTERM ends the watcher with status 0, and steering stays; --service watches the service
    again."""
    workers = Workers(bed)
    names = [f"w{i}" for i in range(WORKERS)]
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    equal(watch.stop(signal.SIGTERM), 0, "exit status of the watcher")
    check("STOPPING=1" in watch.read_notices(), f"notifications: {watch.notices}")
    expect_even(bed, names)
    # Without a watcher a worker dies and another starts.
    workers[2].process.stop(signal.SIGKILL)
    newcomer = Worker(bed, "new")
    equal(bed.load("-n", 80)["failed"], 0, "failed connections without a watcher")
    again = bed.reuseportd("attach", "--workers", WORKERS, "--service", "web", status=1)
    check("attached already" in again.err, f"{again}")

    before = bed.steered()
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    watch.wait_output(f"slot 2: admitted pid {newcomer.pid}")
    wait_until(lambda: states(bed) == ["active"] * WORKERS, "all are active")
    expect_even(bed, names[:2] + ["new"] + names[3:])
    after = bed.steered()
    check(all(after[slot] >= before[slot] + 50 for slot in after),
          f"the counters started again: {before}, {after}")
    equal(watch.stop(signal.SIGINT), 0, "exit status of the watcher on SIGINT")


def test_restart_with_another_policy(bed):
    """A watcher with a policy is started again after `policy` has changed it: it watches, and
    leaves the policy as it is."""
    Workers(bed)
    options = ("--workers", WORKERS, "--policy", "sticky")
    equal(bed.start_watch(*options).stop(signal.SIGTERM), 0, "exit status of the watcher")
    bed.reuseportd("policy", "round-robin")
    watch = bed.start_watch(*options)
    check("has been changed since it was attached" in watch.output(), watch.output())
    expect_even(bed, [f"w{i}" for i in range(WORKERS)])
    equal(watch.stop(signal.SIGTERM), 0, "exit status of the watcher")


def test_killed_watcher(bed):
    """A killed watcher leaves steering in place, and no lock."""
    Workers(bed)
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    watch.stop(signal.SIGKILL)
    expect_even(bed, [f"w{i}" for i in range(WORKERS)])
    bed.reuseportd("drain", 3)
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    equal(states(bed)[3], "draining", "state of slot 3")
    expect_even(bed, [f"w{i}" for i in range(WORKERS) if i != 3])


def test_detach_ends_watch(bed):
    """detach by another command ends the watcher with status 0."""
    Workers(bed)
    watch = bed.start_watch("--workers", WORKERS)
    bed.reuseportd("detach")
    equal(watch.wait(), 0, "exit status of the watcher")
    check("detached" in watch.output(), f"the log: {watch.output()}")
    equal(bed.left_files(), [], "files left")
    equal(bed.load("-n", 80)["failed"], 0, "failed connections after detach")


def test_any_number(bed):
    """--workers any admits all existing workers, and with --watch all later ones."""
    Workers(bed, workers=3)
    bed.reuseportd("attach", "--workers", "any")
    expect_even(bed, ["w0", "w1", "w2"])
    bed.reuseportd("detach")
    watch = bed.start_watch("--workers", "any")
    more = Workers(bed, workers=3, first=3)
    for worker in more.all:
        watch.wait_output(f"admitted pid {worker.pid} ")
    wait_until(lambda: bed.status()["ring"]["slots"] == 6, "the ring has six slots")
    expect_even(bed, [f"w{i}" for i in range(6)])


def test_wait_for_late_workers(bed):
    """--wait waits for late workers; too few workers at its end are an error."""
    first = Workers(bed, workers=3)
    refused = bed.reuseportd("attach", "--workers", WORKERS, "--wait", "0.3", status=1)
    check("3 listeners" in refused.err, f"{refused}")
    equal(bed.left_files(), [], "files left")
    attach = bed.start(bed.binary("reuseportd"), "attach", "--workers", WORKERS, "--wait", 30)
    late = Workers(bed, workers=5, first=3)
    equal(attach.wait(), 0, f"exit status of attach --wait: {attach.output()}")
    bed.remember_pinned()
    equal([row["pid"] for row in bed.status()["workers"]],
          [worker.pid for worker in first.all + late.all], "pids of the slots")
    expect_even(bed, [f"w{i}" for i in range(WORKERS)])


def test_no_listener_yet(bed):
    """--wait also waits for a port without a listener."""
    attach = bed.start(bed.binary("reuseportd"), "attach", "--workers", 2, "--port", 8080, "--wait",
                       30)
    Workers(bed, workers=2)
    equal(attach.wait(), 0, f"exit status of attach --wait: {attach.output()}")
    bed.remember_pinned()
    expect_even(bed, ["w0", "w1"])


def test_nginx_reload(bed):
    """nginx reloads: other processes, the same listeners. The watcher keeps all slots, and the
    status names the new processes."""
    nginx = Nginx(bed)
    bed.start_watch("--workers", WORKERS)
    load = bed.start_load("-c", 32)
    for _ in range(3):
        old = set(nginx.pids())
        nginx.reload()
        wait_until(lambda: not old & set(nginx.pids()), "nginx has new workers")
    report = load.stop_unfailed()
    wait_until(lambda: states(bed) == ["active"] * WORKERS, "all are active")
    pids = [row["pid"] for row in bed.status()["workers"]]
    equal(sorted(pids), sorted(nginx.pids()), "pids of the slots")
    expect_even(bed, [str(pid) for pid in pids])


def test_listener_closed(bed):
    """A worker closes its listener and continues to run: the watcher notices it, and the next new
    worker gets the slot."""
    workers = Workers(bed)
    watch = bed.start_watch("--workers", WORKERS)
    workers[4].process.kill(signal.SIGUSR2)
    watch.wait_output(f"slot 4: pid {workers[4].pid} (worker) has left")
    expect_even(bed, [f"w{i}" for i in range(WORKERS) if i != 4])
    newcomer = Worker(bed, "new")
    watch.wait_output(f"slot 4: admitted pid {newcomer.pid} (worker)")
    check(workers[4].process.alive(), "the worker still runs")


def test_crash_loop(bed):
    """Workers crash and are replaced under load: the watcher follows, and leaks no descriptor."""
    workers = Workers(bed, workers=4).all
    watch = bed.start_watch("--workers", 4)
    def descriptors():
        return len(list(pathlib.Path(f"/proc/{watch.pid}/fd").iterdir()))
    load = bed.start_load("--rate", 500)
    before = descriptors()  # may include a temporary one
    kills = []
    for i in range(20):
        kills.append(time.monotonic())
        workers.pop(0).process.stop(signal.SIGKILL)
        workers.append(Worker(bed, f"w{4 + i}"))
        watch.wait_output(f"admitted pid {workers[-1].pid} ")
    wait_until(lambda: states(bed) == ["active"] * 4, "all are active")
    report = load.stop()
    lost = report["failed"]
    rows = read_log(load.log)
    # Only connections that a worker had accepted can be lost: on average its part of the
    # connections that were open when it was killed. On a fast machine these are very few.
    n_open = sum(row.begin <= kill <= row.end for row in rows for kill in kills)
    late = [row for row in rows if row.outcome != "ok" and
            not any(row.begin <= kill <= row.end for kill in kills)]
    check(not late, f"lost, but not open when a worker was killed: {late}, killed at {kills}")
    check(lost <= max(4, n_open / 4 * 2) and lost == report["reset"] + report["closed_early"],
          f"more than the accepted connections were lost, {n_open} were open: {report}")
    wait_until(lambda: descriptors() <= before, f"the watcher has {before} descriptors again")
    expect_even(bed, [worker.id for worker in workers])
    note(f"20 workers killed and replaced: {report['ok']} connections, {n_open} open at a kill, "
         f"{lost} lost")


@cases("watched", "unwatched")
def test_haproxy_reload(bed, case):
    """A new HAProxy starts and ends the old one (-sf): eight new listeners join the group, and the
    eight old ones close without a drain. The watcher admits the new ones. Without a watcher the
    kernel's hash distributes connections to them until the next attach."""
    old = Haproxy(bed)
    if case == "watched":
        bed.start_watch("--workers", WORKERS)
    else:
        bed.reuseportd("attach", "--workers", WORKERS)
    load = bed.start_load("-c", 32)
    for i in range(3):
        new = Haproxy(bed, prefix=f"new{i}.", options=["-sf", old.pid])
        old.process.wait()
        old = new
    if case == "watched":
        wait_until(lambda: states(bed) == ["active"] * WORKERS, "all slots are taken again")
        equal({row["pid"] for row in bed.status()["workers"]}, {new.pid}, "pids of the slots")
    else:
        equal(states(bed), ["dead"] * WORKERS, "states")
        equal(len(bed.status()["foreign_listeners"]), WORKERS, "foreign listeners")
        bed.reuseportd("attach", "--workers", WORKERS)
    report = load.stop_undrained()
    expect_even(bed, [f"new2.{i}" for i in range(WORKERS)])
    note(f"{case}: 3 reloads of HAProxy, {report['ok']} connections, {report['failed']} failed")


def roll(bed, watch, pid_of, old, start, drain=True):
    """Replaces a worker like a deploy script: starts the new one, drains the old one, and stops it
    when its handshakes are complete. Returns the new worker."""
    [slot] = [row["slot"] for row in bed.status()["workers"] if row["pid"] == pid_of(old)]
    new = start()
    wait_until(lambda: pid_of(new) in [row.get("pid") for row in bed.status()["foreign_listeners"]],
               f"{pid_of(new)} has joined")
    if drain:
        bed.reuseportd("drain", slot)
        wait_for_load(bed, [row["slot"] for row in bed.status()["workers"]], fewer(1000))
    old.process.stop(signal.SIGTERM)
    watch.wait_output(f"slot {slot}: admitted pid {pid_of(new)} ")
    if drain:  # the slot is still drained, with its new worker
        bed.reuseportd("resume", slot)
    return new


@cases("c-link", "c-link-undrained", "gunicorn-loopback",
       full=["c-loopback", "c-loopback-undrained"])
def test_rolling_restart(bed, case):
    """All workers are replaced one by one under load, and no connection fails. Without a drain very
    few are lost; without reuseportd dozens (kill.loss_is_detected)."""
    kind, place, *undrained = case.split("-")
    n = 2 if kind == "gunicorn" else WORKERS

    def start(i):
        if kind == "c":
            return Worker(bed, f"w{i}")
        return Gunicorn(bed).ready()
    def pid_of(one):
        return one.pid if kind == "c" else one.worker_pid()
    old = [start(i) for i in range(n)]
    watch = bed.start_watch("--workers", n)
    # A starting gunicorn needs the CPUs for a second.
    rate = 1000 if kind == "gunicorn" else 0
    load = Place(bed, place).start_load("--rate", rate)
    begin = time.monotonic()
    new = [roll(bed, watch, pid_of, one, lambda: start(n + i), not undrained)
           for i, one in enumerate(old)]
    seconds = time.monotonic() - begin
    report = load.stop_undrained() if undrained else load.stop_unfailed()
    equal(sorted(row["pid"] for row in bed.status()["workers"]), sorted(map(pid_of, new)),
          "pids of the slots")
    after = bed.load("-n", 100 * n)
    equal(set(after["workers"].values()), {100}, "connections of each new worker")
    note(f"{case}: {n} of {n} workers replaced in {seconds:.1f} s, {report['ok']} connections, "
         f"{report['failed']} failed, {bed.status()['counters']['migrated']} migrated")


def test_full_log_pipe(bed):
    """Standard error is a pipe that is full from the start: workers leave and join the ring, no
    line of the log is lost once it is read, and the watcher ends although it can't log."""
    old = [Worker(bed, f"w{i}") for i in range(2)]
    pipe = FullPipe(bed)
    watch = bed.start_watch("--workers", 2, under=pipe.as_stderr)
    old[0].process.stop(signal.SIGKILL)
    wait_until(lambda: states(bed) == ["dead", "active"], "slot 0 is dead")
    new = Worker(bed, "new")
    wait_until(lambda: states(bed) == ["active"] * 2, "another worker is in its slot")
    lines = pipe.read_until(f"slot 0: admitted pid {new.pid} ")
    service = bed.status()["service"]
    check(all(line.startswith(f"{service}: ") for line in lines), f"a line is torn: {lines}")
    check(any(f"slot 0: pid {old[0].pid} " in line for line in lines),
          f"the death is not logged: {lines}")
    pipe.fill()
    equal(watch.stop(), 0, "exit status")


def test_metrics_address_in_use(bed):
    """A watcher of a service that is attached already, as after a re-exec, goes on without its metrics while another
    process has their address. A new service is not attached then."""
    Workers(bed)
    other = socket.create_server(("127.0.0.1", 9464))
    watch = ("attach", "--watch", "--workers", WORKERS, "--metrics", "127.0.0.1:9464")
    result = bed.reuseportd(*watch, status=1)
    check("in use" in result.err, f"{result}")
    bed.reuseportd("attach", "--workers", WORKERS)
    process = bed.start(bed.binary("reuseportd"), *watch, name="watch")
    process.wait_output(": watching")
    process.wait_output("in use")
    other.close()
    wait_until(lambda: listener_inode(9464), "the metrics are served", 30)
    equal(process.stop(), 0, "exit status")


def test_executed_again(bed):
    """SIGUSR2, as after an upgrade: the watcher executes the program file again, with the same pid, and leaves
    no child; steering goes on. A file that is not reuseportd is refused, and the watch goes on."""
    program = bed.dir / "reuseportd"
    shutil.copy(bed.binary("reuseportd"), program)
    workers = Workers(bed)
    watch = bed.start(program, "attach", "--watch", "--workers", WORKERS, "--metrics", "127.0.0.1:9464",
                      name="watch")
    watch.wait_output("watching")
    bed.remember_pinned()
    load = bed.start_load("-c", 8, "--rate", 200)
    listener = listener_inode(9464)
    check(listener, "no listener for the metrics")
    watch.kill(signal.SIGUSR2)
    wait_until(lambda: watch.output().count(": watching") == 2, "it was executed again")
    equal(listener_inode(9464), listener, "the listener is the same")
    wait_until(lambda: len(children(watch.pid)) == 1, "the only child serves the metrics")
    program.unlink()
    program.write_text("#!/bin/sh\necho reuseportd ABI 1\n")
    program.chmod(0o755)
    watch.kill(signal.SIGUSR2)
    watch.wait_output("refused: it has layout 1 of the pinned maps")
    workers[0].process.stop(signal.SIGKILL)
    watch.wait_output(f"slot 0: pid {workers[0].pid} (worker) has left")
    equal(len(children(watch.pid)), 1, "children")
    load.stop_undrained()
    equal(watch.stop(), 0, "exit status")


def test_executed_again_while_waiting(bed):
    """SIGUSR2 while the watcher still waits for its workers: it executes the program file again. If there is none, it
    goes on, in the network namespace of --pid."""
    program = bed.dir / "reuseportd"
    shutil.copy(bed.binary("reuseportd"), program)
    first = Worker(bed, "w0")
    watch = bed.start("unshare", "--net", program, "attach", "--watch", "--workers", 2, "--pid", first.pid,
                      "--wait", 300, name="watch")
    watch.wait_output("waiting: ")
    watch.kill(signal.SIGUSR2)
    wait_until(lambda: watch.output().count("waiting: ") == 2, "it was executed again")
    program.unlink()
    watch.kill(signal.SIGUSR2)
    watch.wait_output("No such file or directory; this process goes on")
    Worker(bed, "w1")
    watch.wait_output(": watching")
    bed.remember_pinned()
    expect_even(bed, ["w0", "w1"])
    equal(watch.stop(), 0, "exit status")
