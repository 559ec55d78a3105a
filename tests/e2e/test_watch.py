# SPDX-License-Identifier: BSD-2-Clause
"""attach --watch: the slots follow who is there."""
import pathlib
import signal
import time

from bed import FullPipe, cases, check, equal, note, read_log, wait_until
from servers import Gunicorn, Haproxy, Nginx, Worker, Workers
from traffic import Place, fewer, wait_for_load

WORKERS = 8


def states(bed):
    return [row["state"] for row in bed.status()["workers"]]


def expect_even(bed, names, n=None):
    """New connections go to these workers alone, as many to each."""
    n = n or 50 * len(names)
    report = bed.load("-n", n)
    equal(report["failed"], 0, f"failed connections of {report}")
    equal(report["workers"], {name: n // len(names) for name in names},
          "connections of each worker")


def test_replaced_worker(bed):
    """A worker dies: out of the ring at once. Another one comes: it has the slot. Both are logged,
    and systemd was told READY."""
    workers = Workers(bed)
    names = [f"w{i}" for i in range(WORKERS)]
    watch = bed.start_watch("--workers", WORKERS)
    check("READY=1" in watch.hear(), f"sd_notify said {watch.notices}")
    expect_even(bed, names)

    killed = time.monotonic()
    workers[3].process.stop(signal.SIGKILL)
    watch.wait_output(f"slot 3: pid {workers[3].pid} (worker) has left")
    dropped = time.monotonic() - killed
    wait_until(lambda: bed.status()["ring"]["slots"] == 7, "the ring is of seven")
    expect_even(bed, names[:3] + names[4:], 350)
    equal(bed.status()["counters"]["slot_gone"], 0, "connections that ran into the hole")

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
    """Who joins beyond N gets nothing, and the log says so, once; who has waited longest has the
    next slot that becomes free."""
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
          "how often the log tells of each")


def test_end_and_restart(bed):
    """SIGTERM ends the watching with status 0 and leaves steering; --service watches on."""
    workers = Workers(bed)
    names = [f"w{i}" for i in range(WORKERS)]
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    equal(watch.stop(signal.SIGTERM), 0, "exit status of the watcher")
    check("STOPPING=1" in watch.hear(), f"sd_notify said {watch.notices}")
    expect_even(bed, names)
    # While nobody watches one dies and another comes.
    workers[2].process.stop(signal.SIGKILL)
    newcomer = Worker(bed, "new")
    equal(bed.load("-n", 80)["failed"], 0, "failed connections while nobody watches")
    again = bed.reuseportd("attach", "--workers", WORKERS, "--service", "web", status=1)
    check("attached already" in again.err, f"{again}")

    before = bed.steered()
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    watch.wait_output(f"slot 2: admitted pid {newcomer.pid}")
    wait_until(lambda: states(bed) == ["active"] * WORKERS, "all are active")
    expect_even(bed, names[:2] + ["new"] + names[3:])
    after = bed.steered()
    check(all(after[slot] >= before[slot] + 50 for slot in after),
          f"the counters began anew: {before}, {after}")
    equal(watch.stop(signal.SIGINT), 0, "exit status of the watcher on SIGINT")


def test_killed_watcher(bed):
    """A watcher that is killed leaves steering in place, and no lock."""
    Workers(bed)
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    watch.stop(signal.SIGKILL)
    expect_even(bed, [f"w{i}" for i in range(WORKERS)])
    bed.reuseportd("drain", 3)
    watch = bed.start_watch("--workers", WORKERS, "--service", "web")
    equal(states(bed)[3], "draining", "state of slot 3")
    expect_even(bed, [f"w{i}" for i in range(WORKERS) if i != 3])


def test_detach_ends_it(bed):
    """detach from another shell ends the watcher, with status 0."""
    Workers(bed)
    watch = bed.start_watch("--workers", WORKERS)
    bed.reuseportd("detach")
    equal(watch.wait(), 0, "exit status of the watcher")
    check("detached" in watch.output(), f"the log: {watch.output()}")
    equal(bed.left_files(), [], "files left")
    equal(bed.load("-n", 80)["failed"], 0, "failed connections after detach")


def test_any_number(bed):
    """--workers any: takes whoever is there, and with --watch whoever comes."""
    Workers(bed, workers=3)
    bed.reuseportd("attach", "--workers", "any")
    expect_even(bed, ["w0", "w1", "w2"])
    bed.reuseportd("detach")
    watch = bed.start_watch("--workers", "any")
    more = Workers(bed, workers=3, first=3)
    for worker in more.all:
        watch.wait_output(f"admitted pid {worker.pid} ")
    wait_until(lambda: bed.status()["ring"]["slots"] == 6, "the ring is of six")
    expect_even(bed, [f"w{i}" for i in range(6)])


def test_wait_for_late_workers(bed):
    """--wait: workers that start late are waited for, and too few are an error when it is over."""
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


def test_nobody_listens_yet(bed):
    """--wait also waits for a port that nobody listens on yet."""
    attach = bed.start(bed.binary("reuseportd"), "attach", "--workers", 2, "--port", 8080, "--wait",
                       30)
    Workers(bed, workers=2)
    equal(attach.wait(), 0, f"exit status of attach --wait: {attach.output()}")
    bed.remember_pinned()
    expect_even(bed, ["w0", "w1"])


def test_nginx_reload(bed):
    """nginx reloads: other processes, the same listeners. The watcher doesn't lose one, and the
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
    """A worker closes its listener and lives on: no process has died, and yet it is seen, and who
    comes then has the slot."""
    workers = Workers(bed)
    watch = bed.start_watch("--workers", WORKERS)
    workers[4].process.kill(signal.SIGUSR2)
    watch.wait_output(f"slot 4: pid {workers[4].pid} (worker) has left")
    expect_even(bed, [f"w{i}" for i in range(WORKERS) if i != 4])
    newcomer = Worker(bed, "new")
    watch.wait_output(f"slot 4: admitted pid {newcomer.pid} (worker)")
    check(workers[4].process.alive(), "the worker lives on")


def test_crash_loop(bed):
    """Workers that come and go: the watcher follows, under load, and piles nothing up."""
    workers = Workers(bed, workers=4).all
    watch = bed.start_watch("--workers", 4)
    def descriptors():
        return len(list(pathlib.Path(f"/proc/{watch.pid}/fd").iterdir()))
    load = bed.start_load("--rate", 500)
    before = descriptors()  # it may just be looking at something
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
    # What a worker had accepted can be lost, and no more: on average its part of what was open when
    # it was killed, which is next to nothing, but not on a slow machine.
    n_open = sum(row.begin <= kill <= row.end for row in rows for kill in kills)
    late = [row for row in rows if row.outcome != "ok" and
            not any(row.begin <= kill <= row.end for kill in kills)]
    check(not late, f"lost, but not open when a worker was killed: {late}, killed at {kills}")
    check(lost <= max(4, n_open / 4 * 2) and lost == report["reset"] + report["closed_early"],
          f"more than what was accepted was lost of {n_open} that were open: {report}")
    wait_until(lambda: descriptors() <= before, f"the watcher has {before} descriptors again")
    expect_even(bed, [worker.id for worker in workers])
    note(f"20 workers killed and replaced: {report['ok']} connections, {n_open} open at a kill, "
         f"{lost} lost")


@cases("watched", "unwatched")
def test_haproxy_reload(bed, case):
    """A new HAProxy starts and tells the old one to end (-sf): eight new listeners in the group,
    and the eight old ones close, undrained. The watcher has the new ones take the slots, and
    without one the kernel's hash has them, until somebody attaches anew."""
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
    """Replaces a worker as a deploy script would: the new one first, then the old one is drained
    and, when what was shaking hands with it is done, told to end. Returns the new one."""
    [slot] = [row["slot"] for row in bed.status()["workers"] if row["pid"] == pid_of(old)]
    new = start()
    wait_until(lambda: pid_of(new) in [row.get("pid") for row in bed.status()["foreign_listeners"]],
               f"{pid_of(new)} has joined")
    if drain:
        bed.reuseportd("drain", slot)
        wait_for_load(bed, [row["slot"] for row in bed.status()["workers"]], fewer(1000))
    old.process.stop(signal.SIGTERM)
    watch.wait_output(f"slot {slot}: admitted pid {pid_of(new)} ")
    if drain:  # the slot is drained still, whoever is in it now
        bed.reuseportd("resume", slot)
    return new


@cases("c-loopback", "c-link", "gunicorn-loopback", "c-loopback-undrained", "c-link-undrained")
def test_rolling_restart(bed, case):
    """All workers are replaced one by one under load; nobody fails. Undrained they lose next to
    nothing; without reuseportd it is dozens (kill.loss_would_be_seen)."""
    kind, place, *undrained = case.split("-")
    n = 4 if kind == "gunicorn" else WORKERS

    def start(i):
        if kind == "c":
            return Worker(bed, f"w{i}")
        return Gunicorn(bed).ready()
    def pid_of(one):
        return one.pid if kind == "c" else one.worker_pid()
    old = [start(i) for i in range(n)]
    watch = bed.start_watch("--workers", n)
    # A gunicorn that starts needs the CPUs for a second itself.
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


def test_nobody_reads_the_log(bed):
    """Standard error is a pipe that is full from the start: workers are taken out and in all the
    same, nothing of what was said is lost once it is read, and it ends although it can't say so."""
    old = [Worker(bed, f"w{i}") for i in range(2)]
    pipe = FullPipe(bed)
    watch = bed.start_watch("--workers", 2, under=pipe.as_stderr)
    old[0].process.stop(signal.SIGKILL)
    wait_until(lambda: states(bed) == ["dead", "active"], "it is out")
    new = Worker(bed, "new")
    wait_until(lambda: states(bed) == ["active"] * 2, "another is in its slot")
    lines = pipe.read_until(f"slot 0: admitted pid {new.pid} ")
    service = bed.status()["service"]
    check(all(line.startswith(f"{service}: ") for line in lines), f"a line is torn: {lines}")
    check(any(f"slot 0: pid {old[0].pid} " in line for line in lines), f"the death: {lines}")
    pipe.fill()
    equal(watch.stop(), 0, "exit status")
