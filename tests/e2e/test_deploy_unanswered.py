# SPDX-License-Identifier: BSD-2-Clause
"""New versions that let clients wait: the kernel sees the requests that have no response, and the
time of those that have one. The servers are unmodified programs for Node."""
from deploys import QUICK, WORKERS, Deploys, deploy_canary
from harness.checks import FULL, cases, check, equal, note, timeout
from runs import script

# Arguments: leaves one of so many requests without an answer (0: none), and blocks its event loop
# for so many ms at a time.
SERVER = """
const [hangs, blocks] = process.argv.slice(2).map(Number);
const never = new Int32Array(new SharedArrayBuffer(4));
let n = 0;
blocks && setInterval(() => Atomics.wait(never, 0, 0, blocks), blocks / 2);
require('http').createServer((request, response) => {
    if (!hangs || ++n % hangs)
        response.end(String(process.pid));
}).listen(%PORT%);
"""


def deploy_waiting_version(bed, load, hangs=0, blocks=0):
    """Deploys a version that is aborted. Returns its `rollout`, and the report of the load."""
    server = script(bed, "server.js", SERVER)
    run = Deploys(bed, ["node", server, 0, 0], *QUICK, workers=WORKERS)
    old = run.pids()
    clients = bed.start_load(*load)
    deploy_canary(run, "--warm-up", "0", "--wait", steps="10% 60s", status=4,
                  command=["node", server, hangs, blocks])
    rollout = run.rollout()
    equal(run.pids(), old, "workers")
    return rollout, clients.stop()


@timeout(240)
@cases(*(("some", "all") if FULL else ("some",)))
def test_version_that_hangs(bed, case):
    """A version that leaves requests without an answer is aborted by itself. It takes a while until
    an answer is known to be missing. The clients do not wait that long."""
    load = ("-c", "64", "--rate", "200", "--timeout", "1000")
    rollout, report = deploy_waiting_version(bed, load, hangs=5 if case == "some" else 1)
    check("requests without a response" in rollout["reason"], rollout["reason"])
    note(f"{case}: {report['failed']} requests of {report['failed'] + report['ok']} failed: "
         f"{rollout['reason']}")


@timeout(240)
def test_queue_that_waits(bed):
    """A version whose connections wait long in the accept queue is aborted by itself: the time to
    the first byte of a response includes the wait."""
    rollout, report = deploy_waiting_version(bed, ("-c", "16", "--rate", "400"), blocks=40)
    check("slower" in rollout["reason"], rollout["reason"])
    equal(report["failed"], 0, "failed connections")
    note(rollout["reason"])
