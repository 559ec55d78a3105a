# SPDX-License-Identifier: BSD-2-Clause
"""SIGTERM of `run --lame-duck`: /ready answers 503 while all is served, then the workers' connections
end, then the workers."""
import os
import signal
import threading

import webs
from harness.checks import check, equal, note, wait_until
from harness.network import Client
from harness.servers import Workers
from runs import Run, held, worker_command
from webs import LISTEN, ask

WEB = ("--web", LISTEN)


def is_ready():
    return ask("/ready").status == 200


def start(bed, *options, **more):
    run = Run(bed, worker_command(bed), *WEB, *options, workers=2, **more)
    wait_until(is_ready, "ready", 30)
    return run


class Balancer:
    """Sends a connection after the other while /ready is 200, as a load balancer does. The checks go on
    until the end."""

    def __init__(self):
        self.ok, self.failed, self.after = 0, [], 0
        self.send, self.end = True, False
        self.threads = [threading.Thread(target=target) for target in (self.check, self.connect, self.connect)]
        for thread in self.threads:
            thread.start()

    def check(self):
        while self.send:
            try:
                self.send = is_ready()
            except OSError as why:
                self.failed.append(why)
                self.send = False

    def connect(self):
        while self.send:
            try:
                with Client() as client:
                    client.ask()
                self.ok += 1
            except Exception as why:  # pylint: disable=broad-except
                self.failed.append(why)

    def finish(self):
        for thread in self.threads:
            thread.join()


def test_lame_duck(bed):
    """Load balancers and clients that have a connection notice nothing."""
    run = start(bed, "--lame-duck", "4s", "--drain-timeout", "60s")
    balancer = Balancer()
    wait_until(lambda: balancer.ok > 50, "connections", 30)
    client = Client()
    first = client.ask()
    run.process.kill(signal.SIGTERM)
    run.process.wait_output("web: draining: /ready answers 503")
    equal(ask("/ready").status, 503, "/ready at once")
    answer = wait_until(lambda: (a := ask("/ready")).status == 503 and a.json(), "/ready is 503", 30)
    equal((answer["reason"], answer["live"]), ("draining", 2), f"{answer}")
    equal(ask("/ready?draining=404").status, 404, "for HAProxy")
    balancer.finish()
    with Client() as late:  # from a client that does not know
        late.ask()
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("re-exec refused: the service is being stopped")
    run.process.wait_output("waiting for the connections of the workers to end")
    run.process.wait_output("has no connection left")
    wait_until(lambda: len(list(bed.cgroups(run.name))) == 1, "one worker is left", 30)
    equal(client.ask(), first, "the worker of the open connection")
    with Client() as late:
        equal(late.ask(), first, "the worker that is left serves")
    check(run.process.alive(), "the supervisor waits")
    client.close()
    equal(run.process.wait(), 0, "exit status of the supervisor")
    equal(balancer.failed, [], "failed connections")
    for text in ("has no connection left", "stopped"):
        check(text in run.log(), run.log())
    check("SIGKILL" not in run.log(), run.log())
    note(f"{balancer.ok} connections, 0 failed")


def test_more_signals(bed):
    """Each further signal goes to the next step, also while the service's lock is held."""
    run = start(bed, "--lame-duck", "1h", "--drain-timeout", "1h", "--kill-timeout", "1h")
    with Client() as client:
        client.ask()
        with held(run.name):
            run.process.kill(signal.SIGTERM)
            run.process.wait_output("web: draining: /ready answers 503")
            run.process.kill(signal.SIGINT)
            run.process.wait_output("waiting for the connections")
        client.ask()
        run.process.kill(signal.SIGTERM)
        equal(run.process.wait(), 0, "exit status of the supervisor")
    check("web: stopping" in run.log() and "killing" not in run.log(), run.log())


def test_stop_in_lame_duck(bed):
    """`stop` does not wait; neither for the lame duck, nor for connections."""
    for signals in (0, 1, 2):
        run = start(bed, "--lame-duck", "1h", "--drain-timeout", "1h")
        with Client() as client:
            client.ask()
            for _, text in zip(range(signals), ("/ready answers 503", "waiting for")):
                run.process.kill(signal.SIGTERM)
                run.process.wait_output(text)
            equal(run.stop(), 0, "exit status of the supervisor")


def test_killed_in_lame_duck(bed):
    """The next supervisor takes over a service that is ready."""
    run = start(bed, "--lame-duck", "1h")
    load = bed.start_load("--rate", 200)
    run.process.kill(signal.SIGTERM)
    wait_until(lambda: not is_ready(), "it is not ready", 30)
    run.kill_supervisor()
    run.start()
    wait_until(is_ready, "ready again", 30)
    equal(run.status()["readiness"]["draining_since"], None, "draining")
    check(load.stop_unfailed()["ok"] > 0, "connections")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_killed_with_workers(bed):
    """The supervisor and its workers are killed: the service that is then attached is ready."""
    run = Run(bed, worker_command(bed), "--lame-duck", "1h", workers=2)
    pids = run.pids()
    run.process.kill(signal.SIGTERM)
    run.process.wait_output("web: draining: /ready answers 503")
    run.kill_supervisor()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    Workers(bed, 2)
    attach = ("attach", "--workers", 2, "--service", run.name)
    wait_until(lambda: bed.reuseportd(*attach, status=None).code == 0, "attached", 30, 0.1)
    web = webs.start(bed)
    wait_until(is_ready, "ready", 30)
    equal(run.status()["readiness"]["draining_since"], None, "draining")
    bed.reuseportd("detach", run.name)
    check(not os.path.exists("/run/reuseportd"), "the folder is left")
    webs.stop(web)
