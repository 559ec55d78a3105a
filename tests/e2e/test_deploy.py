# SPDX-License-Identifier: BSD-2-Clause
"""Deployments under load: every connection and every request is counted."""
import os
import pathlib
import signal
import time

from deploys import (QUICK, WORKERS, Deploys, check_shares, close_listener, deploy_canary,
                     kill_and_restart)
from harness.checks import FULL, cases, chance, check, equal, note, timeout, wait_until
from harness.traffic import Place, fewer, wait_for_load
from runs import worker_command


@timeout(240)
def test_blue_green(bed):
    """All new workers get their slots at once, and the old ones return at once. No connection
    fails."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    load = Place(bed, "loopback").start_load()
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
    note(f"{load.stop_unfailed()['ok']} connections, 0 failed")


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
def test_canary_under_load(bed):
    """No connection and no request fails at a step, an abort, a promotion and a rollback."""
    place = Place(bed, "loopback")
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
    note(f"{n} connections, 0 failed")


@timeout(240)
def test_one_worker(bed):
    """A canary beside one worker is a second one, for as long as it lasts."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=1)
    old = run.pids()
    load = bed.start_load("-c", "16")
    for end in ("abort", "promote"):
        deploy_canary(run, "--keep-new", "0.1s", steps="10% pause")
        run.wait_for(step=1, phase="paused")
        equal(run.versions(), ["v1", "v2"], "versions")
        new = run.pids()[1]
        wait_for_load(bed, [1], 20)
        run.command_line(end)
        run.wait_for(outcome="aborted" if end == "abort" else "promoted")
        equal(run.versions(), ["v1" if end == "abort" else "v2"], "versions")
        equal(run.pids() == old, end == "abort", "the old worker is in its slot")
        wait_until(lambda: not pathlib.Path(f"/proc/{new}").exists(), f"pid {new} has ended")
    run.command_line("rollback")
    equal(run.pids(), old, "workers after the rollback")
    load.stop_unfailed()


@timeout(240)
@cases("one", "dead", "all")
def test_old_worker_cannot_return(bed, case):
    """An old worker that has closed its listener, or has just ended, does not keep the others from
    their slots: a worker with the old command replaces it."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    deploy_canary(run, steps="60% pause")
    run.wait_for(step=1, phase="paused")
    n_new = run.rollout()["workers"]
    if case == "all":
        run.command_line("promote")
        run.wait_for(outcome="promoted")
    if case == "dead":
        os.kill(old[0], signal.SIGKILL)
    else:
        for pid in old if case == "all" else old[:1]:
            close_listener(pid)
    run.command_line("rollback" if case == "all" else "abort")
    wait_until(lambda: run.versions() == ["v1"] * WORKERS, "all slots have the old version")
    if case != "all":
        equal(run.pids()[1:], old[1:], "workers after the abort")
        check(n_new > 1, "other old workers were held")
    check(old[0] not in run.pids(), "the worker that can't return is in its slot")
    run.wait_states(*["active"] * WORKERS)
    check_shares(bed, run, [0], 250)
    deploy_canary(run, steps="5% pause")
    run.wait_for(step=1, phase="paused")
    check_shares(bed, run, [0], 50)


@timeout(240)
def test_reload_ends_hold(bed):
    """A reload ends the workers that a deployment keeps: its timer ends none that the reload
    replaces."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    run.deploy("--label", "v2", "--keep-old", "1h", "--strategy", "blue-green", "--wait")
    check(run.wait_for(outcome="promoted")["held_until"], "old workers are kept")
    run.reload()
    equal(run.rollout()["held_until"], None, "the end of the time that old workers are kept")


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
    check("nothing to do" in run.deploy("--label", "v1").out, "a deployment of the same version")
    equal(run.pids(), before, "workers")
    run.deploy("--strategy", "canary", "--steps", "5%", status=2)
    run.deploy("--label", "v1", command=worker_command(bed, "--work", "1"), status=1)
    deploy_canary(run)
    run.wait_for(step=1, phase="paused")
    now = run.pids()
    for words in (("deploy",), ("reload",), ("restart", "1"), ("scale", "5"), ("stop", "1"),
                  ("canary", "1", "--share", "5"), ("canary", "--off"), ("switch", "v2"),
                  ("weight", "1", "50"), ("label", "1", "v9")):
        args = words[1:]
        result = (bed.reuseportd(*words, status=1) if words[0] in ("canary", "weight", "switch", "label")
                  else run.command_line(words[0], *args, status=1))
        check("deployment of 'v2'" in result.err, f"{words}: {result}")
    text = run.command_line("rollback", "--to", "v9", status=1).err
    check("can only go back to 'v1'" in text, text)
    equal(run.pids(), now, "workers after the refusals")
    run.deploy("--supersede", "--steps", "100% 1m", status=2)
    run.deploy("--supersede", "--label", "v1", command=worker_command(bed, "--work", "1"), status=1)
    run.wait_for(step=1, phase="paused", new="v2")
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
               "dies": worker_command(bed),
               "unhealthy": worker_command(bed)}[case]
    options = ("--ready", f"exec:test $REUSEPORTD_VERSION = v1 || ! test -e {bed.dir}/sick",
               "--health-interval", "0.2", "--health-failures", "2") if case == "unhealthy" else ()
    run = Deploys(bed, worker_command(bed), *QUICK, "--ready-timeout",
                  "4s" if case == "never-ready" else "1m", *options,
                  workers=WORKERS)
    old = run.pids()
    load = bed.start_load("-c", "16", "--rate", "500")
    deploy_canary(run, steps="5% 60s", command=command)
    served = case in ("dies", "unhealthy")
    if case == "unhealthy":
        run.wait_for(step=1)
        (bed.dir / "sick").touch()
    if case == "dies":
        run.wait_for(step=1)
        os.kill(run.pids()[0], signal.SIGKILL)
    run.wait_for(phase="degraded")
    rollout = run.check_outcome("aborted" if served else "failed")
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
    deploy_canary(run, "--pause-timeout", "6s", steps="5% 60s, 50% 60s")
    run.wait_for(step=1)
    run.command_line("pause")
    run.wait_for(phase="paused")
    check_shares(bed, run, [0], 50, n=200)
    rollout = run.wait_for(outcome="aborted")
    check("--pause-timeout" in rollout["reason"], rollout)
    equal(run.versions(), ["v1"] * WORKERS, "versions")


@timeout(240)
def test_good_version(bed):
    """A good version is judged good at each step, and promoted without a person."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    load = bed.start_load("-c", "16")
    deploy_canary(run, "--warm-up", "0.2s", "--wait", steps="5% 2s, 50% 2s")
    rollout = run.check_outcome("promoted")
    signal = rollout["signals"][0]
    check(signal["new"]["n"] >= 200 and signal["verdict"] == "good", rollout)
    equal(run.versions(), ["v2"] * WORKERS, "versions")
    load.stop_unfailed()


@timeout(240)
def test_no_traffic(bed):
    """Without traffic, a step waits, then pauses, and never passes by itself."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    deploy_canary(run, "--warm-up", "0.1s", "--step-deadline", "2s", "--wait", steps="5% 1s",
                  status=5)
    rollout = run.wait_for(phase="paused", step=1)
    equal(rollout["verdict"], "no-traffic", "verdict")
    check("no traffic" in rollout["reason"], rollout)
    run.command_line("promote")
    run.wait_for(outcome="promoted")


@timeout(240)
def test_dry_run(bed):
    """With --dry-run a bad version is reported, and promoted."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    load = bed.start_load("-c", "16", "--rate", "1000")
    deploy_canary(run, "--warm-up", "0.2s", "--dry-run", "--wait", steps="20% 3s, 50% 1s",
                  command=worker_command(bed, "--reset", "10"))
    rollout = run.wait_for(outcome="promoted")
    check("bad" in [row["verdict"] for row in rollout["signals"]], rollout)
    check("is bad (dry-run" in run.log(), run.log())
    load.stop()


@timeout(300, full=600)
def test_killed_supervisor(bed):
    """The supervisor is killed at random instants of canaries, several times each: the next one goes
    on. No connection fails, and each canary ends as it must."""
    random, kills = chance(), fewer(60 if FULL else 20)
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    load = bed.start_load("-c", "16", "--rate", "1000")
    rollout, version, steps = None, "v1", {}
    for _ in range(kills):
        if not rollout or rollout["outcome"]:
            if rollout:
                run.check_outcome("promoted")
            equal(run.versions(), [version] * WORKERS, "versions")
            version = f"v{int(version[1:]) + 1}"
            run.deploy("--strategy", "canary", "--steps", "5% 1s, 50% 1s", "--label", version,
                       "--warm-up", "0.1s", "--min-samples", "10", "--confidence", "99.9%")
        time.sleep(random.uniform(0, 0.5))
        step = run.rollout()["step"]
        kill_and_restart(run)
        rollout = run.rollout()
        equal(rollout["new"], version, "the version that is deployed")
        check(rollout["step"] >= step, f"step {step} was in force: {rollout}")
        steps[step] = steps.get(step, 0) + 1
    run.wait_for(outcome="promoted", new=version)
    equal(run.versions(), [version] * WORKERS, "versions")
    n = load.stop_unfailed()["ok"]
    note(f"{kills} kills in {int(version[1:]) - 1} canaries, by step: {dict(sorted(steps.items()))}; "
         f"{n} connections, 0 failed")


@timeout(300)
def test_killed_supervisor_keeps(bed):
    """The share, a pause, and the workers that are kept survive the supervisor."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    load = bed.start_load("-c", "16")
    deploy_canary(run, steps="5% pause, 50% pause")
    run.wait_for(step=1, phase="paused")
    now = run.pids()
    kill_and_restart(run)
    run.wait_for(step=1, phase="paused", share=5)
    equal(run.pids(), now, "workers of the next supervisor")
    load.stop_unfailed()
    check_shares(bed, run, [0], 50)
    load = bed.start_load("-c", "16")
    run.command_line("promote")
    run.wait_for(step=2, phase="paused")
    kill_and_restart(run)
    run.command_line("abort")
    equal(run.pids(), old, "workers after the abort")
    equal(run.versions(), ["v1"] * WORKERS, "versions after the abort")
    deploy_canary(run, steps="5% pause")
    run.wait_for(step=1, phase="paused")
    run.command_line("promote", "--full")
    run.wait_for(outcome="promoted")
    new = run.pids()
    kill_and_restart(run)
    equal(run.pids(), new, "workers of the next supervisor")
    run.command_line("rollback")
    equal(run.pids(), old, "workers after the rollback")
    equal(run.versions(), ["v1"] * WORKERS, "versions after the rollback")
    load.stop_unfailed()


@timeout(240)
def test_upgrade(bed):
    """SIGUSR2 in the middle of a deployment: it goes on."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    load = bed.start_load("-c", "16")
    deploy_canary(run, steps="5% pause")
    run.wait_for(step=1, phase="paused")
    now = run.pids()
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("the deployment of 'v2' goes on")
    run.wait_for(step=1, phase="paused", share=5)
    equal(run.pids(), now, "workers")
    run.command_line("promote")
    run.wait_for(outcome="promoted")
    load.stop_unfailed()


@timeout(240)
def test_rolling(bed):
    """A rolling deployment has a way back too: at once while the old workers are kept, and later by
    the command of the version before."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    old = run.pids()
    load = bed.start_load("-c", "16")
    second = worker_command(bed, "--work", "1")
    run.deploy("--label", "v2", "--wait", command=second)
    equal(run.versions(), ["v2"] * WORKERS, "versions")
    run.command_line("rollback")
    equal(run.pids(), old, "workers after the rollback")
    run.deploy("--label", "v3", "--keep-old", "0.1s", "--wait", command=second)
    run.wait_for(outcome="promoted", held_until=None)
    new = run.pids()
    run.command_line("rollback")
    run.wait_for(outcome="rolled-back", old="v3", new="v1")
    equal(run.versions(), ["v1"] * WORKERS, "versions")
    check(not set(run.pids()) & {*old, *new}, "new workers were started")
    run.command_line("rollback", "--to", "v2")
    run.wait_for(outcome="rolled-back", old="v1", new="v2")
    check("no version 'v9'" in run.command_line("rollback", "--to", "v9", status=1).err, "v9")
    load.stop_unfailed()


@timeout(240)
def test_file(bed):
    """A deployment without a command has the one that the file has now, and the file's settings."""
    path = bed.dir / "web.conf"

    def write(label, *words):
        command = " ".join(map(str, worker_command(bed, *words)))
        path.write_text(f"[service web]\ncommand = {command}\nworkers = {WORKERS}\n"
                        f"settle = 0.1s\nstrategy = canary\nsteps = 20% pause\nlabel = {label}\n")
    write("v1")
    run = Deploys.of_file(bed, path)
    write("v5", "--work", "1")
    run.deploy()
    run.wait_for(step=1, phase="paused", old="v1", new="v5")
    check_shares(bed, run, [0], 200)
    write("v6", "--work", "1")
    path.write_text(path.read_text() + "no-such-option = 1\n")
    run.deploy("--supersede", status=2)
    run.wait_for(step=1, phase="paused", new="v5")
    write("v6", "--work", "1")
    run.deploy("--supersede")
    run.wait_for(step=1, phase="paused", old="v1", new="v6")
    write("v5", "--work", "1")
    run.deploy("--supersede")
    run.wait_for(step=1, phase="paused", old="v1", new="v5")
    run.command_line("promote")
    run.wait_for(outcome="promoted")
    equal(run.versions(), ["v5"] * WORKERS, "versions")


@timeout(300)
def test_killed_in_abort(bed):
    """The supervisor is killed while it carries out an abort, or a rollback: the next one has the
    old version, or goes on. No connection fails."""
    random = chance()
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    load = bed.start_load("-c", "16")
    old = run.pids()
    for _ in range(fewer(8 if FULL else 4)):
        way = random.choice(("abort", "rollback"))
        deploy_canary(run, steps="60% pause")
        run.wait_for(step=1, phase="paused")
        if way == "rollback":
            run.command_line("promote")
            run.wait_for(outcome="promoted")
        command = bed.start(bed.binary("reuseportd"), way, run.name, name=way)
        wait = random.uniform(0, 0.1)
        time.sleep(wait)
        kill_and_restart(run)
        command.wait()
        rollout = run.rollout()
        note(f"{way}, killed after {wait:.3f} s: {rollout['phase']} {rollout['outcome']}")
        if rollout["outcome"] not in ("aborted", "rolled-back"):
            run.command_line(way)
        equal(run.versions(), ["v1"] * WORKERS, "versions")
        equal(run.pids(), old, "workers")
    load.stop_unfailed()


@timeout(240)
@cases("good", "bad", "unsure")
def test_check(bed, case):
    """The command `check` judges too: a step passes only if it finds it good. It knows the step, and
    has the rights of the workers."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    load = bed.start_load("-c", "16")
    command = (f"cd {bed.dir}; env > new; id -u >> new; mv new env; "  # the last one may be killed
               f"exit {('good', 'bad', 'unsure').index(case)}")
    deploy_canary(run, "--warm-up", "0.1s", "--min-samples", "10", "--step-deadline",
                  "3s" if case == "unsure" else "20s", "--check", f"exec:{command}",
                  "--check-interval", "0.5s", "--wait", steps="5% 1s",
                  status={"good": 0, "bad": 4, "unsure": 5}[case])
    rollout = run.rollout()
    equal(rollout["verdict"], {"unsure": "inconclusive"}.get(case, case), "verdict")
    text = (bed.dir / "env").read_text().splitlines()
    for line in ("REUSEPORTD_VERSION=v2", "REUSEPORTD_OLD_VERSION=v1", "REUSEPORTD_STEP=1",
                 "REUSEPORTD_SHARE=5.0"):
        check(line in text, text)
    check("traced" not in run.log(), run.log())
    load.stop_unfailed()


@timeout(240)
def test_on_change(bed):
    """The command `on-change` is run once for each change."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    told = bed.dir / "told"
    told.touch()
    command = f"echo $REUSEPORTD_EVENT $REUSEPORTD_NEW_VERSION $REUSEPORTD_STEP >> {told}"

    def wait_told(*lines):
        wait_until(lambda: sorted(told.read_text().splitlines()) == sorted(lines),
                   f"the command was run for {lines}")
    deploy_canary(run, "--on-change", f"exec:{command}")
    begun = ("started v2 0", "step v2 1", "paused v2 1")
    wait_told(*begun)
    run.command_line("promote")
    wait_told(*begun, "promoted v2 2")
    check("traced" not in run.log(), run.log())
