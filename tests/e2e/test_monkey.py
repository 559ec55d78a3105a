# SPDX-License-Identifier: BSD-2-Clause
"""Random commands, workers that start and stop, with a watcher and without: no connection may fail,
and in the end the shares are exact. The seed is printed; MONKEY_SEED repeats a run, and
MONKEY_STEPS sets its length."""
import os
import random
import signal
import time

from harness.checks import Failure, cases, check, equal, note, timeout, wait_until
from harness.servers import Worker, Workers

SLOTS = 6
STEPS = int(os.environ.get("MONKEY_STEPS", 60))


class Monkey:
    def __init__(self, bed, watched):
        self.bed, self.watched = bed, watched
        self.seed = int(os.environ.get("MONKEY_SEED", time.time_ns() % 1_000_000))
        self.random = random.Random(self.seed)
        self.workers = list(Workers(bed, workers=SLOTS).all)
        self.n_started = SLOTS
        self.done = []  # its actions, for the message
        self.load = None

    def command(self, *args):
        """Runs a command. It may be refused with a reason, but must not crash."""
        result = self.bed.reuseportd(*args, status=None)
        self.done.append(" ".join(map(str, result.argv[1:])) + f" -> {result.code}")
        check(result.code == 0 or (result.code in (1, 2) and result.err), f"{result}")
        return result

    def slots(self):
        return self.random.sample(range(SLOTS), self.random.randint(1, SLOTS))

    def drain(self):
        self.command("drain", *self.slots())

    def resume(self):
        self.command("resume", *self.slots())

    def weight(self):
        self.command("weight", *self.slots(), self.random.choice((0, 1, 3, 100, 1000)))

    def canary(self):
        self.command("canary", *self.slots()[:3], "--share",
                     self.random.randint(1, 999) / 10)

    def canary_off(self):
        self.command("canary", "--off")

    def label(self):
        self.command("label", *self.slots(), self.random.choice(("blue", "green")))

    def switch(self):
        self.command("switch", self.random.choice(("v1", "blue", "green")))

    def switch_off(self):
        self.command("switch", "--off")

    def swap(self):
        self.command("swap", self.random.randrange(SLOTS), "--pid",
                     self.random.choice(self.workers).pid)

    def start(self):
        if len(self.workers) < SLOTS + 3:
            self.start_one()

    def start_one(self):
        self.workers.append(Worker(self.bed, f"w{self.n_started}"))
        self.n_started += 1
        self.done.append(f"started {self.workers[-1].pid}")
        return self.workers[-1]

    def stop(self):
        """Drains a worker and stops it; so never the last one in the ring."""
        victim = self.random.choice(self.workers)
        slots = [row["slot"] for row in self.bed.status()["workers"]
                 if row["live"] and row["pid"] == victim.pid]
        if not slots or self.command("drain", *slots).code == 0:
            self.workers.remove(victim)
            victim.process.stop(signal.SIGTERM)
            self.done.append(f"stopped {victim.pid}")

    def step(self):
        self.random.choice((self.drain, self.resume, self.resume, self.weight, self.canary,
                            self.canary_off, self.label, self.switch, self.switch_off, self.swap,
                            self.start, self.start, self.stop))()
        check(self.load.alive(), "the load ended")

    def restore(self):
        """Restores equal shares: all slots in the ring, and a live worker in each. The watcher
        admits new workers by itself, but none that was swapped out."""
        for command in (("canary", "--off"), ("switch", "--off"), ("resume", f"0-{SLOTS - 1}"),
                        ("weight", f"0-{SLOTS - 1}", 100)):
            equal(self.command(*command).code, 0, f"exit status of {command}")
        for row in self.bed.status()["workers"]:
            if not row["live"]:
                newcomer = self.start_one()
                if not self.watched:
                    equal(self.command("swap", row["slot"], "--pid", newcomer.pid).code, 0, "swap")
        wait_until(lambda: self.bed.status()["ring"]["slots"] == SLOTS, "all are in the ring")


@timeout(300)
@cases("unwatched", "watched")
def test_random_commands(bed, case):
    monkey = Monkey(bed, case == "watched")
    note(f"seed {monkey.seed}, {STEPS} steps")
    if monkey.watched:
        bed.start_watch("--workers", SLOTS)
    else:
        bed.reuseportd("attach", "--workers", SLOTS)
    monkey.load = bed.start_load("-c", 16, "--rate", 2000)
    try:
        for _ in range(STEPS):
            monkey.step()
        monkey.restore()
        report = monkey.load.stop_unfailed()
        before = bed.steered()
        equal(bed.load("-n", 600)["failed"], 0, "failed connections in the end")
        after = bed.steered()
        equal({after[slot] - before[slot] for slot in after}, {100}, "connections of each slot")
    except Failure as why:
        raise Failure(f"{why}\nactions:\n  " + "\n  ".join(monkey.done)
                      + f"\n{bed.reuseportd('status', status=None)}") from None
    note(f"{case}: {STEPS} steps, {report['ok']} connections, 0 failed")
