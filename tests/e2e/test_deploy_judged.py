# SPDX-License-Identifier: BSD-2-Clause
"""New versions that are judged, of servers that know nothing of it: bad ones are aborted by
themselves at a share of 5 %, others are not."""
import collections
import contextlib
import http.client
import ssl
import threading

from deploys import QUICK, Deploys, deploy_canary, kill_and_restart
from harness.checks import FULL, cases, check, equal, note, timeout, wait_until
from harness.network import PORT
from runs import script
from versions import node_command, server_command, server_options

WORKERS = 3

# The number of a fault in the old and in the new version; the signal that finds it, or the reason;
# and the number of requests that the new version gets at most, with the rates below, in all but one
# of 10,000 runs: simulated by tests/unit/core/test_verdict_runs.c.
Fault = collections.namedtuple("Fault", "old new signal requests")
FAULTS = {
    "errors": Fault(0.001, 0.02, "http-5xx", 2400),
    "slow": Fault(1, 5, "slow-p99", 2600),
    "resets": Fault(0, 0.01, "resets", 2200),
    "leaks": Fault(0, 150 if FULL else 1000, None, None),  # FULL: for up to a minute
    "hangs": Fault(10**9, 50, None, None),
}
RATES = {"nestjs": 400, "express": 400, "gunicorn": 300, "c": 2000}

ALL = [f"{server}-{fault}" for server in RATES for fault in FAULTS
       if server != "c" or fault not in ("slow", "leaks")]
SHORT = ("nestjs-errors", "express-slow", "c-resets", "express-leaks", "gunicorn-leaks",
         "gunicorn-hangs")


class Judged(Deploys):
    """A service of a good version, under load, and new versions with the same or another fault."""

    def __init__(self, bed, server, fault, old):
        self.server, self.fault = server, fault
        super().__init__(bed, server_command(bed, server, "v1", f"{fault} {old}"), *QUICK,
                         *server_options(server, fault), workers=WORKERS)
        self.old = self.pids()
        # A version that hangs keeps its clients.
        self.load = bed.start_load("-c", 512, "--rate", RATES[server])

    def deploy_version(self, number, *args, steps="5% 600s", **options):
        command = server_command(self.bed, self.server, "v2", f"{self.fault} {number}")
        return deploy_canary(self, "--warm-up", "0", *args, steps=steps, command=command,
                             **options)

    def evidence(self, name):
        """The counts of a signal."""
        none = {"new": {"n": 0, "bad": 0}}
        return next((signal for signal in self.rollout()["signals"] if signal["name"] == name),
                    none)["new"]


@timeout(240)
@cases(*(ALL if FULL else SHORT))
def test_bad_version(bed, case):
    """A version that is bad in one way. What it got is compared with what the statistic needs."""
    server, kind = case.split("-")
    fault = FAULTS[kind]
    run = Judged(bed, server, kind, fault.old)
    # To leak takes time. What is shown is that the end, or the size, is found.
    more = ("--tolerate", 20) if kind == "leaks" else ()
    text = run.deploy_version(fault.new, "--wait", *more, status=4).err
    rollout = run.check_outcome("aborted")
    equal((rollout["verdict"], rollout["share"], rollout["step"]), ("bad", 0, 1), "the end")
    # Lines that the worker has printed are indented there.
    check(" ".join(rollout["reason"].split()) in " ".join(text.split()),
          f"the reason {rollout['reason']} in: {text}")
    equal(run.pids(), run.old, "workers")
    equal(run.versions(), ["v1"] * WORKERS, "versions")
    check(not any(row["responses"] for row in run.status()["versions"]),
          "responses are counted after the deployment")
    report = run.load.stop()
    met = report["workers"].get("v2", 0)
    note(f"{case}: {met} connections served by the new version, {report['failed']} of "
         f"{report['begun']} failed: {rollout['reason'].splitlines()[0]}")
    if fault.signal:
        counts = run.evidence(fault.signal)
        check(counts["bad"] >= 4, f"there is evidence: {counts}")
        check(counts["n"] <= fault.requests + 2 * RATES[server] / 20,
              f"{counts} are more than {fault.requests} requests and those of two looks")


@timeout(240, 900)
def test_as_bad_as_before(bed):
    """A version that fails as many requests as the one before, 2 %, is promoted. Of 100 at most one
    is aborted; in fact, of a thousand two (test_verdict_runs.c)."""
    run = Judged(bed, "express", "errors", 0.02)
    confidence = "99%" if FULL else "99.9%"
    outcomes, reasons = collections.Counter(), []
    for i in range(20 if FULL else 1):
        run.deploy_version(0.02, "--label", f"v{i + 2}", "--min-samples", "50", "--confidence",
                           confidence, steps="10% 3s, 50% 3s")
        wait_until(lambda: run.rollout()["outcome"], "the deployment ends", 120)
        rollout = run.rollout()
        outcomes[rollout["outcome"]] += 1
        reasons.append(rollout["reason"])
    note(f"2 % and 2 %: {dict(outcomes)}")
    check(outcomes["promoted"] >= (18 if FULL else 1), f"outcomes: {outcomes}: {reasons}")
    report = run.load.stop()
    equal(report["failed"], report["bad_answer"], f"failed connections: {report}")


@timeout(240)
def test_killed_supervisor(bed):
    """The next supervisor goes on with what its predecessor has counted."""
    run = Judged(bed, "express", "errors", 0.001)
    run.deploy_version(0.001, "--max-error-rate", "50%", steps="10% 600s")
    wait_until(lambda: run.evidence("http-5xx")["n"] > 50, "responses are counted", 60)
    before = run.evidence("http-5xx")["n"]
    kill_and_restart(run)
    wait_until(lambda: run.evidence("http-5xx")["n"] > before, "counts grow", 60)
    run.command_line("abort")
    equal(run.pids(), run.old, "workers")
    report = run.load.stop()
    equal(report["failed"], report["bad_answer"], f"failed connections: {report}")


TLS = """
const fs = require('fs');
const options = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') };
require('https').createServer(options, (request, response) => response.end('ok\\n'))
    .listen(%PORT%);
"""


class TlsLoad:
    """Clients with TLS. @counts: by the version that has answered, and "failed"."""

    def __init__(self, clients=8):
        self.counts = collections.Counter()
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.ends.is_set():
            connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=20,
                                                     context=self.context)
            with contextlib.closing(connection):
                try:
                    connection.request("GET", "/")
                    self.counts[connection.getresponse().headers["X-Worker"]] += 1
                except OSError:
                    self.counts["failed"] += 1

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join()
        return dict(self.counts)


@timeout(240)
def test_tls(bed):
    """The kernel sees no responses of a server with TLS: resets decide, and `rollout` says so."""
    bed.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=test", "-keyout", "key.pem", "-out", "cert.pem")
    program = script(bed, "tls.js", TLS)
    run = Deploys(bed, node_command(bed, program, "resets 0"), *QUICK, workers=WORKERS)
    old = run.pids()
    load = TlsLoad()

    def deploy(fault, *args, **options):
        deploy_canary(run, "--warm-up", "0", "--min-samples", "30", *args,
                      command=node_command(bed, program, fault), **options)
    deploy("resets 0.3", "--keep-new", "0.1s", "--wait", steps="10% 600s", status=4)
    wait_until(lambda: len(list(bed.cgroups(run.name))) == WORKERS, "the new worker has ended", 60)
    rollout = run.rollout()
    check("reset connections" in rollout["reason"], rollout)
    check("no HTTP was seen (TLS" in rollout["reason"], rollout)
    check(not any(signal["name"].startswith("http") for signal in rollout["signals"]), rollout)
    equal(run.pids(), old, "workers")
    failed = load.counts["failed"]
    note(f"{failed} of {sum(load.counts.values())} connections failed: {rollout['reason']}")
    deploy("resets 0", steps="20% 3s")
    wait_until(lambda: "no HTTP was seen (TLS" in run.rollout()["reason"],
               "the reason says what is judged", 60)
    run.wait_for(outcome="promoted")
    equal(load.stop()["failed"], failed, "failed connections")
