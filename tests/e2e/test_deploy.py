# SPDX-License-Identifier: BSD-2-Clause
"""Deployments under load: every connection and every request is counted."""
from deploys import Deploys, check_shares
from harness.checks import cases, check, equal, note, timeout, wait_until
from harness.traffic import Place, wait_for_load
from runs import worker_command

WORKERS = 4
QUICK = ("--settle", "0.1", "--drain-timeout", "5s")


def new_command(bed):
    return worker_command(bed, "--delay", "0")


@timeout(240)
@cases("loopback", "link")
def test_blue_green(bed, case):
    """All new workers get their slots at once, and the old ones return at once. No connection
    fails."""
    place = Place(bed, case)
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    load = place.start_load()
    run.deploy("--strategy", "blue-green", "--label", "v2", "--wait")
    equal(run.versions(), ["v2"] * WORKERS, "versions")
    new = run.pids()
    check(not set(old) & set(new), "old workers are in slots")
    wait_for_load(bed, range(WORKERS), 200)
    run.command_line("rollback")
    equal(run.pids(), old, "workers after the rollback")
    equal(run.versions(), ["v1"] * WORKERS, "versions after the rollback")
    wait_for_load(bed, range(WORKERS), 200)
    run.command_line("rollback")
    equal(run.versions(), ["v2"] * WORKERS, "versions after the second rollback")
    equal(run.pids(), new, "workers after the second rollback")
    n = load.stop_unfailed()["ok"]
    note(f"{case}: {n} connections, 0 failed")


def deploy_canary(run, *args, steps="5% pause", **options):
    run.deploy("--strategy", "canary", "--steps", steps, "--label", "v2", *args, **options)


@timeout(240)
def test_canary_shares(bed):
    """Each step has exactly its share, also if the workers that have it stay the same."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    deploy_canary(run, steps="5% pause, 30% pause, 50% pause")
    for step, (permille, slots) in enumerate(((50, [0]), (300, [0, 1]), (500, [0, 1])), 1):
        rollout = run.wait_for(step=step, phase="paused")
        equal(rollout["share"], permille / 10, "share of the new version")
        equal(run.versions(), ["v2" if slot in slots else "v1" for slot in range(WORKERS)],
              "versions")
        check_shares(bed, run, slots, permille)
        run.command_line("promote")
    run.wait_for(outcome="promoted", phase="healthy", share=100)
    equal(run.versions(), ["v2"] * WORKERS, "versions")
    check(not set(old) & set(run.pids()), "old workers are in slots")
    check_shares(bed, run, [0], 250)


@timeout(300)
@cases("loopback", "link")
def test_canary_under_load(bed, case):
    """No connection and no request fails at a step, an abort, a promotion and a rollback."""
    place = Place(bed, case)
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    loads = [place.start_load(), place.start_load("--keepalive", "3", "-c", "16")]
    deploy_canary(run, steps="5% pause, 60% pause")
    run.wait_for(step=1, phase="paused")
    wait_for_load(bed, [0], 20)
    run.command_line("promote")
    run.wait_for(step=2, phase="paused")
    wait_for_load(bed, range(3), 200)
    run.command_line("abort", "--why", "a test")
    rollout = run.wait_for(outcome="aborted", phase="degraded", reason="a test")
    equal(rollout["share"], 0, "share of the new version")
    equal(run.pids(), old, "workers after the abort")
    equal(run.versions(), ["v1"] * WORKERS, "versions after the abort")
    wait_for_load(bed, range(WORKERS), 200)
    deploy_canary(run)
    run.wait_for(step=1, phase="paused")
    run.command_line("promote", "--full")
    run.wait_for(outcome="promoted")
    wait_for_load(bed, range(WORKERS), 200)
    run.command_line("rollback")
    run.wait_for(outcome="rolled-back", new="v1", old="v2")
    equal(run.pids(), old, "workers after the rollback")
    wait_for_load(bed, range(WORKERS), 200)
    n = sum(load.stop_unfailed()["ok"] for load in loads)
    note(f"{case}: {n} connections, 0 failed")


@timeout(240)
def test_one_worker(bed):
    """A canary beside one worker is a second one, for as long as it lasts."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=1)
    old = run.pids()
    load = bed.start_load("-c", "16")
    for end in ("abort", "promote"):
        deploy_canary(run, steps="10% pause")
        run.wait_for(step=1, phase="paused")
        equal(run.versions(), ["v1", "v2"], "versions")
        wait_for_load(bed, [1], 20)
        run.command_line(end)
        run.wait_for(outcome="aborted" if end == "abort" else "promoted")
        equal(run.versions(), ["v1" if end == "abort" else "v2"], "versions")
        equal(run.pids() == old, end == "abort", "the old worker is in its slot")
    run.command_line("rollback")
    equal(run.pids(), old, "workers after the rollback")
    load.stop_unfailed()


@timeout(240)
def test_refusals(bed):
    """What is refused changes nothing, and names the deployment."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    before = run.pids()
    for command in ("promote", "pause", "abort"):
        text = run.command_line(command, status=1).err
        check("no deployment under way" in text, text)
    check("no version before 'v1'" in run.command_line("rollback", status=1).err, "a rollback")
    run.deploy("--label", "v1", "--json")
    equal(run.pids(), before, "workers")
    run.deploy("--strategy", "canary", "--steps", "5%", status=2)
    run.deploy("--label", "v1", command=worker_command(bed, "--work", "1"), status=1)
    deploy_canary(run)
    run.wait_for(step=1, phase="paused")
    now = run.pids()
    for words in (("deploy",), ("reload",), ("restart", "1"), ("scale", "5"), ("stop", "1"),
                  ("canary", "1", "--share", "5"), ("canary", "--off"), ("switch", "v2"),
                  ("weight", "1", "50")):
        args = words[1:]
        result = (bed.reuseportd(*words, status=1) if words[0] in ("canary", "weight", "switch")
                  else run.command_line(words[0], *args, status=1))
        check("deployment of 'v2'" in result.err, f"{words}: {result}")
    equal(run.pids(), now, "workers after the refusals")
    check_shares(bed, run, [0], 50)
    run.deploy("--strategy", "canary", "--steps", "10% pause", "--label", "v3", "--supersede")
    run.wait_for(step=1, phase="paused", new="v3", old="v1")
    equal(run.versions(), ["v3"] + ["v1"] * (WORKERS - 1), "versions")
    run.command_line("abort")
    run.reload()
    history = run.command_line("rollout", "--history", "--json").json()
    equal([(row["new"], row["outcome"]) for row in history],
          [("v2", "aborted"), ("v3", "aborted")], "the history")
    bed.reuseportd("canary", "1", "--share", "5")
    check("canary share is set" in run.deploy(status=1).err, "a deployment with a canary")


@timeout(240)
@cases("never-ready", "exits", "dies", "unhealthy")
def test_bad_version(bed, case):
    """A bad version is aborted by itself."""
    command = {"never-ready": ["sleep", "1000"], "exits": ["false"],
               "dies": ["timeout", "-s", "KILL", "3", *worker_command(bed)],
               "unhealthy": worker_command(bed)}[case]
    options = ("--ready", f"exec:test $REUSEPORTD_VERSION = v1 || ! test -e {bed.dir}/sick",
               "--health-interval", "0.2", "--health-failures", "2") if case == "unhealthy" else ()
    run = Deploys(bed, worker_command(bed), *QUICK, "--ready-timeout", "2s", *options,
                  workers=WORKERS)
    old = run.pids()
    load = bed.start_load("-c", "16", "--rate", "500")
    deploy_canary(run, steps="5% 60s", command=command)
    served = case in ("dies", "unhealthy")
    if case == "unhealthy":
        run.wait_for(step=1)
        (bed.dir / "sick").touch()
    rollout = run.wait_for(phase="degraded")
    equal(rollout["outcome"], "aborted" if served else "failed", "outcome")
    check(rollout["reason"], "there is a reason")
    equal(run.pids(), old, "workers")
    equal(run.versions(), ["v1"] * WORKERS, "versions")
    report = load.stop()
    note(f"{case}: {report['failed']} of {report['failed'] + report['ok']} connections failed: "
         f"{rollout['reason'].splitlines()[0]}")
    if case != "dies":
        equal(report["failed"], 0, "failed connections")


@timeout(240)
def test_pause(bed):
    """A pause holds the share, and ends in an abort if no person comes."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    deploy_canary(run, "--pause-timeout", "4s", steps="5% 60s, 50% 60s")
    run.wait_for(step=1)
    run.command_line("pause")
    run.wait_for(phase="paused")
    check_shares(bed, run, [0], 50)
    rollout = run.wait_for(outcome="aborted")
    check("--pause-timeout" in rollout["reason"], rollout)
    equal(run.versions(), ["v1"] * WORKERS, "versions")
