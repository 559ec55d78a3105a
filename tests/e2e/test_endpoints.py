# SPDX-License-Identifier: BSD-2-Clause
"""Services with many endpoints, under `attach` and under `run`: all of them are steered, and more
than a service can have are refused."""
import os

from harness.bed import PINS
from harness.checks import SLOW, check, equal, note, timeout, wait_until
from harness.network import PORT
from harness.servers import Worker, Workers
from runs import Run, worker_command

MAX = 128
SERVICE = "many"


def addresses(n):
    return [f"127.0.1.{i + 1}" for i in range(n)]


def expect_exact(bed, hosts, workers, n):
    """Each of @n times as many connections as there are workers goes to the next worker."""
    report = bed.load("-n", n * workers, hosts=hosts)
    equal((report["failed"], sorted(report["workers"].values())), (0, [n] * workers),
          f"connections of each worker: {report}")


def test_attach_many(bed):
    hosts = addresses(40)
    Workers(bed, workers=3, addresses=hosts)
    bed.reuseportd("attach", "--workers", 3, "--service", SERVICE)
    equal([row["address"] for row in bed.status(SERVICE)["endpoints"]], hosts, "endpoints")
    expect_exact(bed, hosts, 3, 400)
    bed.reuseportd("detach", SERVICE)
    check(not PINS.exists(), "pins are left")


def test_attach_too_many(bed):
    """Nothing is left of an attach that is refused; some of the addresses can be chosen."""
    hosts = addresses(MAX + 1)
    Workers(bed, workers=2, addresses=hosts)
    attach = ("attach", "--workers", 2, "--service", SERVICE)
    refused = bed.reuseportd(*attach, status=1)
    check(f"port {PORT} has workers on {MAX + 1} addresses, and a service has at most {MAX}; name "
          "those of this service with --address" in refused.err, f"{refused}")
    check(not PINS.exists(), "pins are left")
    bed.reuseportd(*attach, *(arg for host in hosts[:MAX] for arg in ("--address", host)))
    bed.reuseportd("attach", "--workers", 2, "--service", "rest", "--address", hosts[-1])
    equal(len(bed.status(SERVICE)["endpoints"]), MAX, "endpoints")
    expect_exact(bed, hosts[:MAX], 2, MAX)
    expect_exact(bed, hosts[MAX:], 2, 8)


def test_attach_is_quick(bed):
    """One search of /proc serves all endpoints, and a program is loaded in little time. As nginx
    does, each worker has the listeners of all workers open."""
    hosts, workers = addresses(32), 64
    Worker(bed, addresses=hosts, options=("--prefork", workers))
    used = []
    for command in (("attach", "--workers", workers, "--service", SERVICE), ("detach", SERVICE)):
        before = os.times()
        bed.reuseportd(*command)
        after = os.times()
        used.append(after.children_user + after.children_system
                    - before.children_user - before.children_system)
    note(f"{len(hosts)} endpoints of {workers} workers: attach took {used[0]:.1f} s of CPU, detach "
         f"{used[1]:.1f} s")
    check(max(used) < 10 * SLOW, f"CPU time: {used}")  # 2 s; with a search for each, 32 times that


def test_run_many(bed):
    """A reload with many endpoints loses no connection on any of them."""
    hosts = addresses(40)
    run = Run(bed, worker_command(bed, *(arg for host in hosts for arg in ("--address", host))),
              "--settle", "0.05", "--drain-timeout", "5s", workers=2)
    equal(sorted(row["address"] for row in run.status()["endpoints"]), sorted(hosts), "endpoints")
    expect_exact(bed, hosts, 2, 400)
    load = bed.start_load("--rate", 400, "-c", 16, hosts=hosts)
    run.reload()
    check(load.stop_unfailed()["ok"] > 0, "connections during the reload")
    expect_exact(bed, hosts, 2, 400)


@timeout(300)
def test_run_too_many(bed):
    """More endpoints than a service can have are reported, and the way out works."""
    hosts = addresses(MAX + 1)
    command = worker_command(bed, *(arg for host in hosts for arg in ("--address", host)))
    run = Run(bed, command, "--listen", f"{hosts[3]}:{PORT}", workers=2)
    equal([row["address"] for row in run.status()["endpoints"]], [hosts[3]], "endpoints")
    expect_exact(bed, [hosts[3]], 2, 20)
    run.stop()
    run = Run(bed, command, workers=2, wait=False)
    wait_until(lambda: "one more; name those that workers share with --listen" in run.log(),
               "the reason is logged", 180)
    run.stop()
