# SPDX-License-Identifier: BSD-2-Clause
"""Clients that are ignored when a new version is judged: the checks of a load balancer."""
from deploys import QUICK, Deploys, deploy_canary, kill_and_restart
from harness.checks import FULL, cases, equal, timeout, wait_until
from runs import script

SERVER = """
require('http').createServer((request, response) => response.end(String(process.pid)))
    .listen(%PORT%, process.argv[2]);
"""
RATE = ("-c", "4", "--rate", "100")


@timeout(240)
@cases(*(("ipv4", "ipv6", "mapped") if FULL else ("ipv6", "mapped")))
def test_ignored(bed, case):
    """Their connections and responses are no samples, those of other clients are. The next
    supervisor ignores them, too."""
    address = "0.0.0.0" if case == "ipv4" else "::"
    ignored = "::1" if case == "ipv6" else "127.0.0.8/29"
    run = Deploys(bed, ["node", script(bed, "server.js", SERVER), address], *QUICK, workers=2)
    load = bed.start_load(*RATE, *(() if case == "ipv6" else ("--source", "127.0.0.9")),
                          hosts=("::1" if case == "ipv6" else "127.0.0.1",))
    deploy_canary(run, "--ignore", "192.0.2.0/24", "--ignore", ignored, "--warm-up", "0",
                  "--step-deadline", "1s", steps="50% 1s")
    rollout = run.wait_for(phase="paused")
    equal((rollout["verdict"], rollout["signals"]), ("no-traffic", []), "what was judged")
    kill_and_restart(run)

    def counted():
        return {signal["name"] for signal in run.rollout()["signals"]
                if signal["new"]["n"] and signal["old"]["n"]}
    equal(counted(), set(), "what the next supervisor judges by")
    other = bed.start_load(*RATE, "--source", "127.0.0.2")
    wait_until(lambda: {"resets", "http-5xx", "unanswered"} <= counted(), "samples", 60)
    other.stop_unfailed()
    load.stop_unfailed()
