# SPDX-License-Identifier: BSD-2-Clause
"""New versions that are judged by their HTTP responses, which the kernel counts: the servers are
unmodified programs for Node."""
from deploys import QUICK, WORKERS, Deploys, deploy_canary, kill_and_restart
from harness.checks import FULL, cases, check, equal, note, timeout, wait_until
from runs import script

# Arguments: fails one of so many requests (0: none), is slow for every second one by so many ms,
# leaves one of so many without an answer, and blocks its event loop for so many ms at a time.
SERVER = """
const [every, slow, hangs, blocks] = process.argv.slice(2).map(Number);
const never = new Int32Array(new SharedArrayBuffer(4));
let n = 0;
blocks && setInterval(() => Atomics.wait(never, 0, 0, blocks), blocks / 2);
require('http').createServer((request, response) => {
    const answer = () => {
        response.statusCode = every && n % every === 0 ? 500 : 200;
        response.end(String(process.pid));
    };
    if (hangs && ++n % hangs === 0)
        return;
    n += !hangs;
    slow && n % 2 ? setTimeout(answer, slow) : answer();
}).listen(%PORT%);
"""

LOAD = ("-c", "16", "--rate", "400", "--keepalive", "4")
HANGING_LOAD = ("-c", "64", "--rate", "200", "--timeout", "1000")


class Judged(Deploys):
    """A service of a good version, and a load."""

    def __init__(self, bed, load=LOAD):
        self.server = script(bed, "server.js", SERVER)
        super().__init__(bed, ["node", self.server, "1000", "0"], *QUICK, workers=WORKERS)
        self.old = self.pids()
        self.load = bed.start_load(*load)

    def deploy_server(self, *args, fails=0, slow=0, hangs=0, blocks=0,
                      steps="10% 60s", **options):
        return deploy_canary(self, "--warm-up", "0", *args, steps=steps,
                             command=["node", self.server, fails, slow, hangs, blocks], **options)

    def evidence(self, name):
        """The counts of a signal."""
        return next((signal for signal in self.rollout()["signals"] if signal["name"] == name),
                    None)

    def stop_load(self):
        """Returns how many answers were errors. No connection has failed otherwise."""
        report = self.load.stop()
        equal(report["failed"], report["bad_answer"], f"failed connections: {report}")
        return report["bad_answer"]


@timeout(240)
@cases("errors", "slow")
def test_bad_version(bed, case):
    """A version that answers with errors, or late, is aborted by itself in its first step."""
    run = Judged(bed)
    bad = {"fails": 5} if case == "errors" else {"slow": 100}
    text = run.deploy_server("--wait", status=4, **bad).err
    rollout = run.rollout()
    equal((rollout["outcome"], rollout["verdict"], rollout["share"]), ("aborted", "bad", 0),
          "the end")
    check(("5xx" if case == "errors" else "slower") in rollout["reason"], rollout["reason"])
    check(rollout["reason"] in text, f"the reason: {text}")
    equal(run.pids(), run.old, "workers")
    note(f"{case}: {run.stop_load()} answers were errors: {rollout['reason']}")
    equal(run.status()["versions"], None, "responses are counted after the deployment")


@timeout(240)
@cases(*(("some", "all") if FULL else ("some",)))
def test_version_that_hangs(bed, case):
    """A version that leaves requests without an answer is aborted by itself. It takes a while until
    an answer is known to be missing. The clients do not wait that long."""
    run = Judged(bed, HANGING_LOAD)
    run.deploy_server("--wait", hangs=5 if case == "some" else 1, status=4)
    rollout = run.rollout()
    check("requests without a response" in rollout["reason"], rollout["reason"])
    equal(run.pids(), run.old, "workers")
    report = run.load.stop()
    note(f"{case}: {report['failed']} requests of {report['failed'] + report['ok']} failed: "
         f"{rollout['reason']}")


@timeout(240)
def test_queue_that_waits(bed):
    """A version whose connections wait long in the accept queue is aborted by itself: the time to
    the first byte of a response includes the wait."""
    run = Judged(bed, ("-c", "16", "--rate", "400"))
    run.deploy_server("--wait", blocks=40, status=4)
    rollout = run.rollout()
    check("slower" in rollout["reason"], rollout["reason"])
    equal(run.pids(), run.old, "workers")
    note(rollout["reason"])
    run.load.stop_unfailed()


@timeout(240)
def test_good_version(bed):
    """A version that is as good as the old one is promoted."""
    run = Judged(bed)
    run.deploy_server("--wait", "--min-samples", "50", fails=1000, steps="10% 3s, 50% 3s")
    equal(run.rollout()["outcome"], "promoted", "outcome")
    run.stop_load()


@timeout(240)
def test_killed_supervisor(bed):
    """The next supervisor goes on with what its predecessor has counted."""
    run = Judged(bed)
    run.deploy_server("--max-error-rate", "50%", steps="10% 600s")
    wait_until(lambda: (run.evidence("http-5xx") or {"new": {"n": 0}})["new"]["n"] > 50,
               "responses are counted", 60)
    before = run.evidence("http-5xx")["new"]["n"]
    kill_and_restart(run)
    wait_until(lambda: run.evidence("http-5xx")["new"]["n"] > before, "counts grow", 60)
    run.command_line("abort")
    equal(run.pids(), run.old, "workers")
    run.stop_load()
