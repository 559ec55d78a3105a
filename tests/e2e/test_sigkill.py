# SPDX-License-Identifier: BSD-2-Clause
"""Every command is killed at the system calls that it makes, under load in which no connection may
fail: with RPD_FULL at each of them, else at a random sample.

killat kills at stops: "entry" just before a call takes effect, "exit" just after it. Other
processes see a command act only by system calls and by stores into a pinned map that it has mapped.
A kill at an entry shows the effect of all earlier calls and of all stores after them; a kill at an
exit shows the effect of the call without later stores. A switch stores to the half of the map that
is not active, then to one word. So entries and exits together are all distinct instants. The tests
kill at entries and at exits, except at exits that are not distinct: after a call that only
reads (QUIET) the state is that of its entry; while nothing is pinned no other process sees a store,
so the state is that of the next entry; and libbpf reads the kernel's BTF in many pieces
(shortened()).

A stop is named by the call and its number among calls of that name, as an undisturbed run of the
same command lists them. The number of calls that read /proc depends on the number of open
connections.
"""
import collections
import contextlib
import os
import signal

from harness.bed import PINS
from harness.checks import Failure, cases, chance, check, equal, note, timeout, wait_until
from harness.network import Client
from harness.servers import Worker, Workers, listening_inodes
from stops import STOP, call_of, kind_of, sampled, shortened

WORKERS = 3
RATE = 200  # new connections a second in the background: some at each stop
SERVICE = "s"
# Calls that read /proc, or wait for the child that does: their number varies.
LOOKS = {"close", "fcntl", "getdents64", "openat", "poll", "read", "readlinkat", "waitid"}
# With --http it pins more, and the other commands change more.
ATTACH = ("attach", "--workers", WORKERS, "--service", SERVICE, "--http")


class Scene:
    """Workers under load, and their service."""

    def __init__(self, bed, workers=WORKERS, attach=True):
        self.bed = bed
        self.fleet = Workers(bed, workers)
        self.tool, self.killat = bed.binary("reuseportd"), bed.binary("killat")
        if attach:
            bed.reuseportd("attach", "--workers", workers, "--service", SERVICE)
        self.load = bed.start_load("--rate", RATE)
        self.bursts = 0

    def stops(self, *command, skip_start=True, tool=None):
        """Runs the command, of reuseportd or of another program. Returns its stops, in order."""
        result = self.bed.run(self.killat, *["--skip-start"] * skip_start, "--list",
                              tool or self.tool, *command)
        check("exit status 0" in result.out, f"{result}")
        return shortened(STOP.findall(result.out))

    def kill(self, stop, *command, skip_start=True, tool=None, env=None):
        """Kills the command at this stop. Returns False if the command ended before."""
        result = self.bed.run(self.killat, *["--skip-start"] * skip_start, "--at", stop,
                              tool or self.tool, *command, env=env)
        check(result.code in (0, 3), f"killat failed: {result}")
        return result.code == 0

    def kill_starting(self, stop, *command, lister):
        """Kills `attach --watch` at this stop, before it is ready. It may not make that call this
        time; then it is killed afterwards. Returns whether it was killed at the stop."""
        lister.read_notices()
        heard = len(lister.notices)
        process = self.bed.start(self.killat, "--skip-start", "--at", stop, self.tool, *command,
                                 name="killat", env=lister.env)
        wait_until(lambda: not process.alive() or "READY=1" in lister.read_notices()[heard:],
                   "it is ready")
        try:
            wait_until(lambda: not process.alive(), "the watcher is at the stop", 1)
        except Failure:
            process.stop(signal.SIGKILL)  # and the process that it traces
            return False
        equal(process.wait(), 0, f"exit status of killat: {process.output()}")
        return True

    def state(self):
        """The state of the service by `status`: the ring's length and the row of each slot."""
        return state_of(self.bed.run(self.tool, "status", SERVICE, "--json"))

    def is_there(self):
        """Whether the service exists; this also cleans up an incomplete one."""
        return self.bed.run(self.tool, "status", SERVICE).code == 0

    @contextlib.contextmanager
    def load_paused(self):
        """Within this context only the test itself opens connections."""
        self.load.kill(signal.SIGSTOP)
        os.waitid(os.P_PID, self.load.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.load.kill(signal.SIGCONT)

    def expect_steered(self, state, turns=2):
        """Checks that new connections follow exactly that ring, for some turns."""
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
        """Checks that no connection was lost; with @all_steered, that the program steered every
        connection."""
        report = self.load.stop()
        equal(report["failed"], 0, f"failed connections in {report}")
        check(report["ok"] > 0, "connections under load")
        if all_steered:
            counters = self.bed.status(SERVICE)["counters"]
            equal({name: n for name, n in counters.items() if n},
                  {"steered": report["ok"] + self.bursts}, "outcomes of all connections")
        self.bed.run(self.tool, "detach", SERVICE)
        check(not PINS.exists(), "pins are left after detach")
        # The kernel frees BPF objects a moment later.
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
    """Checks that the command found no service and says so."""
    check(result.code == 1 and result.out == "" and "service" in result.err, f"{result}")
    messages = ("there is no service", "half made", "no pins any more")
    check(any(words in result.err for words in messages), f"{result}")


def kill_everywhere(scene, command, stops, after, vary=LOOKS, **options):
    """Kills @command at each distinct instant of @stops, and calls after(stop) each time. Returns
    the number of kills. @vary: calls whose number varies, so that the command may have passed the
    stop."""
    pinned, n = True, 0
    for stop in stops:
        if stop.endswith(" exit") and not pinned:
            continue
        killed = scene.kill(stop, *command, **options)
        check(killed or vary & {call_of(stop), kind_of(stop)}, f"{command} has ended before {stop}")
        pinned = PINS.exists()
        n += killed
        after(stop)
    return n


def sweep(scene, command, undo, vary=LOOKS, **options):
    """Kills @command at every instant. Up to some stop the old state must be in force, from there
    on the new one. undo(is_new) is the next command; it restores the old state."""
    old = scene.state()
    stops = sampled(scene.stops(*command, **options), chance())
    new = scene.state()
    undo(True)
    equal(scene.state(), old, f"the state before {command}, restored")
    switched, surely = [], []  # stops with the new state; those of them whose call is not in @vary

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
    # A swap to the worker in the slot is refused; then the next killed swap shows that swap works.
    sweep(scene, command,
          lambda swapped: swapped and bed.reuseportd("swap", 1, "--pid", former),
          # The number of bpf() calls depends on the connections that the load opens.
          vary=LOOKS | {"bpf"})
    scene.finish()


@timeout(900)
def test_flip(bed):
    """All slots change their workers at once: a killed flip has changed all of them or none."""
    scene = Scene(bed)
    others = [Worker(bed, f"other-{slot}") for slot in range(WORKERS)]
    former = {slot: row.pid for slot, row in scene.state()[1].items()}
    tool = bed.binary("flip")
    there = [f"{slot}:{other.pid}" for slot, other in enumerate(others)]
    back = [f"{slot}:{pid}" for slot, pid in former.items()]

    def undo(flipped):
        # A listener that the killed flip has left behind would make each of these fail.
        for pairs in (back,) if flipped else (there, back):
            result = bed.run(tool, SERVICE, *pairs)
            equal(result.code, 0, f"{result}")
    sweep(scene, (SERVICE, *there), undo, vary=LOOKS | {"bpf"}, tool=tool)
    scene.finish()


# doctor takes a second, as it tries `run`; a killed one is in test_run_doctor.py.
@cases("status", "list", full=["doctor"])
def test_reader(bed, command):
    """Reading commands change nothing. For status the calls of the dynamic loader are counted as
    well; they are the same for every command."""
    scene = Scene(bed)
    bed.reuseportd("weight", 1, 200)
    sweep(scene, (command,), lambda _: None, skip_start=command != "status")
    scene.finish()


# attach and detach, which pin and unpin step by step


def clear(scene):
    """Detaches the service, and checks that nothing is pinned."""
    scene.bed.run(scene.tool, "detach", SERVICE)
    check(not PINS.exists(), "pins are left")


def attach_again(scene, whole):
    """Attaches the same service again."""
    scene.bed.reuseportd(*ATTACH)
    equal(scene.state(), whole, "the service, attached again")


def split(scene, command, stops, changed, back):
    """The number of stops before the first one after which changed() is true, by bisection. back()
    restores the state before."""
    low, high = -1, len(stops) - 1
    while high - low > 1:
        middle = (low + high) // 2
        scene.kill(stops[middle], *command)
        low, high = (low, middle) if changed() else (middle, high)
        back()
    return high


def after_kill(scene, command, whole):
    """Runs @command after a killed attach or detach, which may have left the service incomplete.
    Returns whether the service exists now."""
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
    """Up to its first pin attach has no effect: the next attach is like the first. For later stops,
    the next command is one of three, in turn. A connection is open all the time, so that attach
    always finds one to count."""
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

    vary = LOOKS | {"bpf:MAP_UPDATE_ELEM"}  # one call for each open connection
    if following == "before it pins":
        entries = [stop for stop in stops[:at] if stop.endswith(" entry")]
        n = kill_everywhere(scene, ATTACH, sampled(entries, chance()), after_nothing, vary)
    else:
        turn = ("status", "attach", "detach").index(following)
        n = kill_everywhere(scene, ATTACH, sampled(stops[at:][turn::3], chance()), after, vary)
    note(f"attach killed at {n} stops: {following}")
    held.close()
    clear(scene)
    attach_again(scene, whole)
    scene.expect_steered(whole)
    scene.finish(all_steered=False)


@timeout(600)
@cases("status", "attach", "detach")
def test_detach(bed, following):
    """If the next command is status, killed from the first stop on; for other commands from the
    stop at which the service is no longer complete."""
    scene = Scene(bed)
    whole = scene.state()
    detach = ("detach", SERVICE)
    stops = scene.stops(*detach)
    attach_again(scene, whole)

    def back():
        if not scene.is_there():
            bed.reuseportd(*ATTACH)

    def after(_):
        if not after_kill(scene, following, whole):
            attach_again(scene, whole)

    if following != "status":
        stops = stops[split(scene, detach, stops, lambda: not scene.is_there(), back):]
    n = kill_everywhere(scene, detach, sampled(stops, chance()), after)
    note(f"detach killed at {n} stops, then {following}")
    back()
    scene.expect_steered(whole)
    scene.finish(all_steered=False)


class Newcomers:
    """A worker waits to be admitted, to slot 2, whose worker is dead, or to a new slot 3."""

    def __init__(self, scene, slot):
        self.scene, self.slot = scene, slot
        self.former, self.waiting = scene.fleet[2], None
        self.others = {i: row for i, row in scene.state()[1].items() if i != slot}
        self.n = 0
        self.renew()

    def renew(self):
        """The last worker ends, and its queue migrates; then a new one starts. No client connects
        at that moment, as an ACK that the kernel handles while a listener closes is answered by a
        reset."""
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
        """Checks that the worker was either admitted or not."""
        state = self.scene.state()
        rows = dict(state[1])
        row = rows.pop(self.slot, None)
        equal({i: row.pid for i, row in rows.items()},
              {i: row.pid for i, row in self.others.items()}, "the other slots")
        if row and row.pid == self.waiting.pid:
            equal(row.state, "active", "state of the slot of the new worker")
            self.scene.expect_steered(state)
            self.n += 1
            self.renew()
        elif row:
            equal(row.state, "dead", "state of the free slot")


@timeout(600)
@cases("dead slot", "new slot")
def test_watch_start(bed, what):
    """attach --watch is killed before it is ready; once ready it has admitted the waiting
    worker."""
    scene = Scene(bed)
    if what == "new slot":
        bed.reuseportd("detach")
        bed.reuseportd("attach", "--workers", "any", "--service", SERVICE)
    newcomers = Newcomers(scene, 2 if what == "dead slot" else 3)
    watch = ("attach", "--watch", "--workers", "any", "--service", SERVICE)
    lister = bed.start_watch(*watch[2:], under=(scene.killat, "--skip-start", "--list"))
    lister.stop(signal.SIGKILL)  # and the process that it traces
    stops = shortened(STOP.findall(lister.output()))
    newcomers.check()
    equal(newcomers.n, 1, "workers that the watcher admitted")

    stops = sampled(stops, chance())
    n = 0
    for stop in stops:
        n += scene.kill_starting(stop, *watch, lister=lister)
        newcomers.check()
    check(n >= 0.95 * len(stops), f"only {n} of {len(stops)} stops were reached")
    check(1 < newcomers.n <= n, f"at {newcomers.n - 1} of {n} stops it had admitted a worker")
    note(f"attach --watch killed at {n} stops; at {newcomers.n - 1} it had admitted a worker")
    scene.finish(all_steered=False)
