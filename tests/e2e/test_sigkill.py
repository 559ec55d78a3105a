# SPDX-License-Identifier: BSD-2-Clause
"""Every command killed at every system call that it makes, under load of which no connection may
fail.

What killat kills at are stops: "entry" just before a call takes effect, "exit" just after it. The
world outside sees a command act in two ways only: by a system call, or by a store into a pinned map
that it has mapped. Killing it at an entry shows everything up to the call before and all stores
that followed; at an exit, the call itself and none of the stores after it. A switch stores to the
half that nobody reads, then the one word. So entries and exits together are all the distinct
instants. Every entry is killed at, and every exit, but for such as are no instants of their own:
after a call that only looks (QUIET) all is as it was at its entry; while nothing is pinned no store
is seen by anybody, so that all is as it will be at the next entry; and libbpf reads the kernel's BTF
in many pieces (shortened()).

A stop is named by the call and its number among those of its name, as an undisturbed run of the
same command lists them: how many calls a look through /proc takes depends on how many connections
are open just then.
"""
import collections
import contextlib
import os
import signal

from harness.bed import PINS
from harness.checks import Failure, cases, check, equal, note, timeout, wait_until
from harness.network import Client
from harness.servers import Worker, Workers, listening_inodes
from stops import STOP, call_of, kind_of, shortened

WORKERS = 3
RATE = 200  # new connections a second in the background: some to each stop
SERVICE = "s"
# A look through /proc: there may be more or fewer of these.
LOOKS = {"close", "fcntl", "getdents64", "openat", "read", "readlinkat"}
# Calls that change nothing that anybody else could see.
QUIET = {"brk", "capget", "fcntl", "getdents64", "getpid", "getrandom", "getsockopt", "kcmp", "mmap",
         "munmap", "newfstatat", "openat", "pidfd_open", "read", "readlinkat", "recvfrom", "sendto",
         "socket", "statfs"}
ATTACH = ("attach", "--workers", WORKERS, "--service", SERVICE)


class Scene:
    """Workers under load, and the service."""

    def __init__(self, bed, workers=WORKERS, attach=True):
        self.bed = bed
        self.fleet = Workers(bed, workers)
        self.tool, self.killat = bed.binary("reuseportd"), bed.binary("killat")
        if attach:
            bed.reuseportd("attach", "--workers", workers, "--service", SERVICE)
        self.load = bed.start_load("--rate", RATE)
        self.bursts = 0

    def stops(self, *command, skip_start=True):
        """Runs the command. Returns its stops, in order."""
        result = self.bed.run(self.killat, *["--skip-start"] * skip_start, "--list", self.tool,
                              *command)
        check("exit status 0" in result.out, f"{result}")
        return shortened(STOP.findall(result.out))

    def kill(self, stop, *command, skip_start=True, env=None):
        """Kills the command at this stop. Returns whether it did; else the command has ended."""
        result = self.bed.run(self.killat, *["--skip-start"] * skip_start, "--at", stop, self.tool,
                              *command, env=env)
        check(result.code in (0, 3), f"killat failed: {result}")
        return result.code == 0

    def kill_starting(self, stop, *command, lister):
        """The same with one that stays, by when it says that it is ready. It may do without a call
        that it made another time; then it is killed by hand. Returns whether it was at the stop."""
        lister.read_notices()
        heard = len(lister.notices)
        process = self.bed.start(self.killat, "--skip-start", "--at", stop, self.tool, *command,
                                 name="killat", env=lister.env)
        wait_until(lambda: not process.alive() or "READY=1" in lister.read_notices()[heard:], "it is ready")
        try:
            wait_until(lambda: not process.alive(), "it is at the stop", 1)
        except Failure:
            process.stop(signal.SIGKILL)  # and with it what it traces
            return False
        equal(process.wait(), 0, f"exit status of killat: {process.output()}")
        return True

    def state(self):
        """What the service is: the ring's length and each slot's row, by `status`."""
        return state_of(self.bed.run(self.tool, "status", SERVICE, "--json"))

    def is_there(self):
        """Whether there is a service; what is half made is cleaned up by that."""
        return self.bed.run(self.tool, "status", SERVICE).code == 0

    @contextlib.contextmanager
    def load_paused(self):
        """No connection but the test's own begins within this."""
        self.load.kill(signal.SIGSTOP)
        os.waitid(os.P_PID, self.load.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.load.kill(signal.SIGCONT)

    def expect_steered(self, state, turns=2):
        """That ring is what new connections see: some turns of it, and exactly."""
        length, rows = state
        want = {slot: turns * row.entries for slot, row in rows.items()}
        with self.load_paused():
            before = self.bed.run(self.tool, "status", SERVICE, "--json")
            answers = collections.Counter()
            for _ in range(turns * length):
                with Client() as client:
                    answers[client.ask()] += 1
            after = self.bed.run(self.tool, "status", SERVICE, "--json")
        self.bursts += turns * length
        equal(state_of(before), state, "state")
        equal(state_of(after), state, "state")
        before, after = steered(before), steered(after)
        equal({slot: after[slot] - before[slot] for slot in rows}, want, "connections of each slot")
        equal(sorted(answers.values()), sorted(n for n in want.values() if n),
              "connections of each worker by their answers")

    def finish(self, all_steered=True):
        """Nothing was lost. With @all_steered: the program was never off, nor passed over."""
        report = self.load.stop()
        equal(report["failed"], 0, f"failed connections in {report}")
        check(report["ok"] > 0, "there was load")
        if all_steered:
            counters = self.bed.status(SERVICE)["counters"]
            equal({name: n for name, n in counters.items() if n},
                  {"steered": report["ok"] + self.bursts}, "outcomes of all connections")
        self.bed.run(self.tool, "detach", SERVICE)
        check(not PINS.exists(), "pins are left after detach")
        # The kernel frees them a moment later.
        wait_until(lambda: not self.bed.left_bpf(), "programs and maps are gone after detach")


Row = collections.namedtuple("Row", "state version weight pid entries")


def state_of(result):
    check(result.code == 0, f"{result}")
    status = result.json()
    length = status["ring"]["length"]
    rows = {w["slot"]: Row(w["state"], w["version"], w["weight"], w["pid"], w["ring_entries"])
            for w in status["workers"]}
    equal(sum(row.entries for row in rows.values()), length, "entries of the ring")
    return length, rows


def steered(result):
    return {worker["slot"]: worker["steered"] for worker in result.json()["workers"]}


def expect_no_service(result):
    """The command found none, and says so in words that a person can do something with."""
    check(result.code == 1 and result.out == "" and "service" in result.err, f"{result}")
    says = ("there is no service", "half made", "no pins any more")
    check(any(words in result.err for words in says), f"{result}")


def kill_everywhere(scene, command, stops, after, vary=LOOKS, **options):
    """Kills @command at each of the @stops that are instants of their own, and calls after(stop)
    each time. Returns how many those were. @vary: calls of which it may make more or fewer, so
    that it may have got further than to the stop."""
    pinned, n = True, 0
    for stop in stops:
        if stop.endswith(" exit") and (not pinned or call_of(stop) in QUIET):
            continue
        killed = scene.kill(stop, *command, **options)
        check(killed or vary & {call_of(stop), kind_of(stop)}, f"{command} has ended before {stop}")
        pinned = PINS.exists()
        n += killed
        after(stop)
    return n


def sweep(scene, command, undo, vary=LOOKS, **options):
    """Kills @command everywhere. What is in force then is the old state up to some stop, and the
    new one from there on. undo(is_new) brings the old one back: it is the next command."""
    old = scene.state()
    stops = scene.stops(*command, **options)
    new = scene.state()
    undo(True)
    equal(scene.state(), old, f"what was before {command}, brought back")
    switched, surely = [], []  # stops by which the new state is in force; and those not of @vary

    def after(stop):
        now = scene.state()
        check(now in (old, new), f"neither old nor new after {command} was killed at {stop}:\n"
                                 f"{now}\n{old}\n{new}")
        sure = call_of(stop) not in vary
        check(now == new or not surely or not sure,
              f"the old state again after {command} was killed at {stop}, {surely}")
        if now == new:
            switched.append(stop)
            surely.extend([stop] * sure)
        scene.expect_steered(now)
        undo(now == new)

    n = kill_everywhere(scene, command, stops, after, vary, **options)
    check(n > 0.9 * sum(not stop.endswith(" exit") for stop in stops), f"{n} of {len(stops)} stops")
    undo(scene.state() == new)
    scene.expect_steered(old)
    check(switched, f"{command} was never killed after the switch")
    note(f"`{' '.join(map(str, command))}` killed at {n} stops"
         + (f"; in force from {switched[0]} on" if new != old else ""))


def test_drain(bed):
    scene = Scene(bed)
    sweep(scene, ("drain", 1), lambda _: bed.reuseportd("resume", 1))
    scene.finish()


def test_resume(bed):
    scene = Scene(bed)
    bed.reuseportd("drain", 1)
    sweep(scene, ("resume", 1), lambda _: bed.reuseportd("drain", 1))
    scene.finish()


def test_weight(bed):
    scene = Scene(bed)
    sweep(scene, ("weight", 1, 200), lambda _: bed.reuseportd("weight", 1, 100))
    scene.finish()


def test_canary(bed):
    scene = Scene(bed)
    sweep(scene, ("canary", 1, "--share", 20), lambda _: bed.reuseportd("canary", "--off"))
    scene.finish()


def test_canary_off(bed):
    scene = Scene(bed)
    bed.reuseportd("canary", 1, "--share", 20)
    sweep(scene, ("canary", "--off"), lambda _: bed.reuseportd("canary", 1, "--share", 20))
    scene.finish()


def test_label(bed):
    scene = Scene(bed)
    sweep(scene, ("label", 1, "green"), lambda _: bed.reuseportd("label", 1, "v1"))
    scene.finish()


@cases("version", "off")
def test_switch(bed, what):
    scene = Scene(bed)
    bed.reuseportd("label", 1, "green")
    there, back = ("switch", "green"), ("switch", "--off")
    if what == "off":
        bed.reuseportd(*there)
        there, back = back, there
    sweep(scene, there, lambda _: bed.reuseportd(*back))
    scene.finish()


@timeout(600)
def test_swap(bed):
    scene = Scene(bed)
    other = Worker(bed, "other")
    command = ("swap", 1, "--pid", other.pid)
    former = scene.state()[1][1].pid
    # To swap in who is in is refused; then it is the next killed swap that shows that swap works.
    sweep(scene, command,
          lambda swapped: swapped and bed.reuseportd("swap", 1, "--pid", former),
          # It looks for an account without open connections, among those that the load opens.
          vary=LOOKS | {"bpf"})
    scene.finish()


@cases("status", "list", "doctor")
def test_reader(bed, command):
    """They change nothing. For status the calls of the dynamic loader are counted as well: they
    are the same for every command."""
    scene = Scene(bed)
    bed.reuseportd("weight", 1, 200)
    sweep(scene, (command,), lambda _: None, skip_start=command != "status")
    scene.finish()


# attach and detach: pinned step by step


def clear(scene):
    """Nothing is pinned any more."""
    scene.bed.run(scene.tool, "detach", SERVICE)
    check(not PINS.exists(), "pins are left")


def attach_anew(scene, whole):
    """The same service as it was."""
    scene.bed.reuseportd(*ATTACH)
    equal(scene.state(), whole, "the service, attached anew")


def split(scene, command, stops, changed, back):
    """Of the stops, found by bisection: how many come before those after which changed() is so.
    back() brings back what was."""
    low, high = -1, len(stops) - 1
    while high - low > 1:
        middle = (low + high) // 2
        scene.kill(stops[middle], *command)
        low, high = (low, middle) if changed() else (middle, high)
        back()
    return high


def after_kill(scene, command, whole):
    """Runs @command, which finds the service whole, or what a killed attach or detach left of it.
    Returns whether the service is there now."""
    result = scene.bed.run(scene.tool, *{"attach": ATTACH}.get(command, (command, SERVICE)))
    there = (PINS / SERVICE).exists()
    if command == "attach":
        check(result.code == 0 or "attached already" in result.err, f"{result}")
        check(there, f"no service after {result}")
    elif command == "detach":
        check(not there, f"still there: {result}")
    if command != "attach" and (not there or result.code):
        if command == "status" or result.code:
            expect_no_service(result)
        check(not there, f"still there: {result}")
    if there:
        equal(scene.state(), whole, "the service")
        scene.expect_steered(whole, turns=1)
    return there


@timeout(600)
@cases("before it pins", "status", "attach", "detach")
def test_attach(bed, following):
    """Up to its first pin attach has done nothing: the next one is as if it were the first. From
    there on, by the command that comes next: at each stop another one of three. A connection is
    open all the time, so that there always is one to be found and counted."""
    scene = Scene(bed)
    whole = scene.state()
    held = Client()
    clear(scene)
    stops = scene.stops(*ATTACH)
    clear(scene)
    at = split(scene, ATTACH, stops, PINS.exists, lambda: clear(scene))

    def after_nothing(stop):
        check(not PINS.exists() or call_of(stop) in LOOKS, f"pinned at {stop}")
        clear(scene)
        expect_no_service(bed.run(scene.tool, "status", SERVICE))

    def after(_):
        if PINS.exists():
            bed.remember_pinned()
        if after_kill(scene, following, whole):
            bed.reuseportd("detach")

    vary = LOOKS | {"bpf:MAP_UPDATE_ELEM"}  # one for each connection that is open
    if following == "before it pins":
        n = kill_everywhere(scene, ATTACH, [s for s in stops[:at] if s.endswith(" entry")],
                            after_nothing, vary)
    else:
        turn = ("status", "attach", "detach").index(following)
        n = kill_everywhere(scene, ATTACH, stops[at:][turn::3], after, vary)
    note(f"attach killed at {n} stops: {following}")
    held.close()
    clear(scene)
    attach_anew(scene, whole)
    scene.expect_steered(whole)
    scene.finish(all_steered=False)


@timeout(600)
@cases("status", "attach", "detach")
def test_detach(bed, following):
    """With status as the command that comes next: from the first stop on. With the others from
    where the service is not whole any more."""
    scene = Scene(bed)
    whole = scene.state()
    detach = ("detach", SERVICE)
    stops = scene.stops(*detach)
    attach_anew(scene, whole)

    def back():
        if not scene.is_there():
            bed.reuseportd(*ATTACH)

    def after(_):
        if not after_kill(scene, following, whole):
            attach_anew(scene, whole)

    if following != "status":
        stops = stops[split(scene, detach, stops, lambda: not scene.is_there(), back):]
    n = kill_everywhere(scene, detach, stops, after)
    note(f"detach killed at {n} stops, then {following}")
    back()
    scene.expect_steered(whole)
    scene.finish(all_steered=False)


class Newcomers:
    """A worker waits to be taken in, into slot 2, whose worker has died, or into a new slot 3."""

    def __init__(self, scene, slot):
        self.scene, self.slot = scene, slot
        self.former, self.waiting = scene.fleet[2], None
        self.others = {i: row for i, row in scene.state()[1].items() if i != slot}
        self.n = 0
        self.renew()

    def renew(self):
        """The last one ends of itself, and what is queued migrates. Nobody connects at that moment:
        an ACK that the kernel handles while a listener closes is answered by a reset."""
        bed = self.scene.bed
        if self.slot == 2 or self.waiting:
            last = self.waiting or self.former
            with self.scene.load_paused():
                last.process.kill(signal.SIGTERM)
                wait_until(lambda: len(listening_inodes(bed)) == len(self.others),
                           f"{last.id} has closed its listener")
            equal(last.process.wait(), 0, f"exit status of {last.id}")
        if self.slot == 3 and self.waiting:
            bed.run(self.scene.tool, "detach", SERVICE)
            bed.reuseportd("attach", "--workers", "any", "--service", SERVICE)
        self.waiting = Worker(bed, f"newcomer-{self.n}")

    def check(self):
        """Either it was taken in or not."""
        state = self.scene.state()
        rows = dict(state[1])
        row = rows.pop(self.slot, None)
        equal({i: row.pid for i, row in rows.items()},
              {i: row.pid for i, row in self.others.items()}, "the other slots")
        if row and row.pid == self.waiting.pid:
            equal(row.state, "active", "state of the slot that was taken")
            self.scene.expect_steered(state)
            self.n += 1
            self.renew()
        elif row:
            equal(row.state, "dead", "state of the slot that is to be taken")


@timeout(600)
@cases("dead slot", "new slot")
def test_watch_start(bed, what):
    """attach --watch until it is ready: by then it has taken in who waits."""
    scene = Scene(bed)
    if what == "new slot":
        bed.reuseportd("detach")
        bed.reuseportd("attach", "--workers", "any", "--service", SERVICE)
    newcomers = Newcomers(scene, 2 if what == "dead slot" else 3)
    watch = ("attach", "--watch", "--workers", "any", "--service", SERVICE)
    lister = bed.start_watch(*watch[2:], under=(scene.killat, "--skip-start", "--list"))
    lister.stop(signal.SIGKILL)  # and with it what it traces
    stops = shortened(STOP.findall(lister.output()))
    newcomers.check()
    equal(newcomers.n, 1, "workers that the watcher took in")

    stops = [stop for stop in stops if not (stop.endswith(" exit") and call_of(stop) in QUIET)]
    n = 0
    for stop in stops:
        n += scene.kill_starting(stop, *watch, lister=lister)
        newcomers.check()
    check(n >= 0.95 * len(stops), f"only {n} of {len(stops)} stops were reached")
    check(1 < newcomers.n <= n, f"at {newcomers.n - 1} of {n} stops it had taken a worker in")
    note(f"attach --watch killed at {n} stops; at {newcomers.n - 1} it had taken a worker in")
    scene.finish(all_steered=False)
