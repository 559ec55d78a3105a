# SPDX-License-Identifier: BSD-2-Clause
"""Each strategy with servers as users have them, under load over a link: no connection and no
request fails in any step, and each step has exactly its share."""
import contextlib

from deploys import QUICK, Deploys
from harness.checks import FULL, cases, equal, note, timeout, wait_until
from harness.traffic import Place, wait_for_load
from runs import script
from versions import SERVERS, server_command, server_options

WORKERS = 3
STRATEGIES = ("rolling", "in-place", "blue-green", "canary")
SHORT = ("nestjs-canary", "express-blue-green", "gunicorn-rolling", "c-canary")

# The worker of slot 0 starts, the others wait.
GATE = 'while [ $REUSEPORTD_SLOT != 0 ] && ! [ -e gate ]; do sleep 0.05; done; exec "$@"'


class Proof:
    """A service that is deployed in several ways, with a load of its own for each change."""

    def __init__(self, bed, server, strategy):
        self.bed, self.server, self.strategy = bed, server, strategy
        self.place = Place(bed, "link")
        self.in_place = strategy == "in-place"
        self.run = Deploys(bed, server_command(bed, server, "v1"), *QUICK,
                           "--ready-timeout", "200s", *server_options(server),
                           *(["--in-place", "--batch", 1] if self.in_place else []), workers=WORKERS)
        self.old = self.run.pids()
        self.new_command = server_command(bed, server, "v2")
        # Frameworks need the processors to start.
        self.rate = () if server == "c" else ("--rate", 300)
        self.counts = []

    @contextlib.contextmanager
    def change(self, what):
        """Clients during a change: some of a connection that lasts, if the worker that has it is
        kept, some of connections with three requests, and some of new connections."""
        loads = [] if self.in_place else [self.start_lasting()]
        loads += [self.place.start_load(*self.rate),
                  self.place.start_load("-c", 16, "--keepalive", 3, *self.rate)]
        yield
        wait_for_load(self.bed, range(WORKERS), 200)
        *lasting, new, kept = [load.stop_unfailed() for load in loads]
        for report in lasting:
            equal(report["begun"], WORKERS, f"{what}: connections that last")
        self.counts.append(f"{what} {new['ok']} + {kept['ok']} connections, "
                           f"{sum(report['answers'] for report in (*lasting, new, kept))} requests")

    def start_lasting(self):
        before = sum(self.bed.steered().values())
        load = self.place.start_load("-c", WORKERS, "--keepalive", 1000000, wait=False)
        wait_until(lambda: sum(self.bed.steered().values()) >= before + WORKERS,
                   "lasting connections are opened")
        return load

    def deploy(self, *args, command=None, **options):
        return self.run.deploy("--strategy", "rolling" if self.in_place else self.strategy,
                               "--label", "v2", *args, command=command or self.new_command,
                               **options)

    def is_as_before(self):
        if not self.in_place:
            equal(self.run.pids(), self.old, "workers")
        equal(self.run.versions(), ["v1"] * WORKERS, "versions")

    def check_shares(self, *shares):
        """Checks how many of 1200 connections each slot gets."""
        before = self.bed.steered()
        equal(self.place.load("-n", 1200)["failed"], 0, "failed connections")
        after = self.bed.steered()
        equal([after[slot] - before[slot] for slot in sorted(after)], list(shares), "connections")
        self.counts.append("/".join(map(str, shares)))

    def go_back(self):
        equal(self.run.versions(), ["v2"] * WORKERS, "versions")
        self.check_shares(400, 400, 400)
        with self.change("rollback"):
            self.run.command_line("rollback")
            self.run.wait_for(outcome="rolled-back", deadline=200)
            self.is_as_before()
        note(f"{self.server}, {self.strategy}: 0 failed: {'; '.join(self.counts)}")


def prove_canary(it):
    with it.change("start, 5 %"):
        it.deploy("--steps", "5% pause, 60% pause")
        it.run.wait_for(step=1, phase="paused")
    it.check_shares(60, 570, 570)
    with it.change("60 %"):
        it.run.command_line("promote")
        it.run.wait_for(step=2, phase="paused")
    it.check_shares(360, 360, 480)
    with it.change("abort"):
        it.run.command_line("abort")
        it.run.wait_for(outcome="aborted", share=0)
        it.is_as_before()
    with it.change("start, promote"):
        it.deploy("--steps", "5% pause")
        it.run.wait_for(step=1, phase="paused")
        it.run.command_line("promote", "--full")
        it.run.wait_for(outcome="promoted")


def prove_others(it):
    """The first deployment is aborted when one of the new workers is ready. If it is rolling, that
    worker has its slot, and in place, the next slot has no worker; otherwise it waits for the
    others."""
    gate = ["sh", script(it.bed, "gate.sh", GATE), *it.new_command]
    with it.change("start"):
        it.deploy(command=gate)
        if it.strategy in ("rolling", "in-place"):
            it.run.wait_for(workers=1)
        else:
            wait_until(lambda: len(list(it.bed.cgroups(it.run.name))) == 2 * WORKERS,
                       "all new workers are started")
    if it.in_place:
        wait_until(lambda: it.run.states()[1] == "starting", "slot 1 is left", 60)
        it.check_shares(600, 0, 600)
    elif it.strategy == "rolling":
        it.check_shares(400, 400, 400)
    else:
        it.is_as_before()
    with it.change("abort"):
        it.run.command_line("abort")
        it.run.wait_for(phase="degraded", deadline=200)
        it.is_as_before()
    with it.change("start, promote"):
        it.deploy("--wait")


@timeout(240, 480)
@cases(*([f"{server}-{strategy}" for server in SERVERS for strategy in STRATEGIES] if FULL
         else SHORT))
def test_no_failure(bed, case):
    """Start, each step, abort, promotion and rollback."""
    it = Proof(bed, *case.split("-", 1))
    (prove_canary if it.strategy == "canary" else prove_others)(it)
    it.go_back()
