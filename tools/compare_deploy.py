# SPDX-License-Identifier: BSD-2-Clause
"""tools/compare deploy: deploys a bad version in each system under a steady load, and counts the
users that meet it before it is gone again. A user is a connection with one request."""
import time

from compare_servers import DEADLINE, Nginx, Pm2, Reuseportd, Watt, program
from harness.checks import check, wait_until

SYSTEMS = (Pm2, Nginx, Watt, Reuseportd)
BAD = {"answers every request with 500": 1, "answers 2 % of the requests with 500": 50}
RATE = 200  # users a second


class Sizes:
    """How long the scene is."""

    def __init__(self, quick):
        self.notice = 10 if quick else 60  # seconds until a person has noticed the bad version


def deploy(bed, system, fail_every, sizes):
    """Deploys a version that fails one of so many requests. Returns once it is gone again."""
    target = ("-t", f"127.0.0.1:{system.port}")
    load = bed.start_load(*target, "--rate", RATE, "-c", 4 * RATE, hosts=())
    begin = time.monotonic()
    system.deploy_and_undo(program(fail_every), sizes.notice)
    seconds = time.monotonic() - begin
    ask = (*target, "-n", 64 * system.workers, "-c", system.workers)
    wait_until(lambda: bed.load(*ask, hosts=(), deadline=DEADLINE)["bad_answer"] == 0,
               f"{system.name} has only good workers", DEADLINE)
    report = load.stop()
    check(report["bad_answer"], f"{system.name}: no user met the bad version: {report}")
    return {"users": report["begun"], "met": report["bad_answer"], "seconds": seconds,
            "failed": report["failed"] - report["bad_answer"]}


def measure(bed, systems, sizes, progress):
    """Yields the figures so far of each bad version in each system."""
    result = {}
    for what, fail_every in BAD.items():
        result[what] = {}
        for system in systems:
            progress(f"a version in {system.name} that {what}")
            result[what][system.key()] = deploy(bed, system, fail_every, sizes)
            yield result


def print_table(result, row):
    for what, rows in result.items():
        print(f"\nA version that {what}")
        row("users that met it", lambda key: f"{rows[key]['met']:,}")
        row("users that failed otherwise", lambda key: f"{rows[key]['failed']:,}")
        row("seconds until it is gone", lambda key: f"{rows[key]['seconds']:.0f}")


def legend(sizes):
    return f"""
  {RATE} users a second, each with a connection of its own and one request. A person
  notices the bad version {sizes.notice} s after its deployment, and then deploys the good one in
  the same way. PM2: `pm2 reload`. nginx: one process of the new version is started
  beside the others and gets 5 % of the requests, by a weight in nginx's file. Watt
  (only with --watt): `wattpm restart`. reuseportd: `deploy --strategy canary --steps
  '5% 2m' --wait`, which aborts by itself and exits with status 4: no person."""
