# SPDX-License-Identifier: BSD-2-Clause
"""The same `deploy --label --wait --json` again, as a script or an orchestrator gives it."""
import json

from deploys import QUICK, Deploys, deploy_canary
from harness.checks import cases, check, equal, timeout
from runs import worker_command

WORKERS = 2
V2 = ("--label", "v2", "--wait", "--json")


def check_answer(out, **members):
    """The output is one object, with these members."""
    answer = json.loads(out)
    equal({key: answer[key] for key in members}, members, f"members of {answer}")


@timeout(120)
def test_same_version(bed):
    """The version in force, with its command: nothing is restarted. With another command, it is
    refused."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    good = worker_command(bed, "--work", "1")
    check_answer(run.deploy("--label", "v1", "--wait", "--json").out, service=run.name, changed=False,
                 outcome="unchanged", new="v1")
    check_answer(run.deploy(*V2, command=good).out, changed=True, outcome="promoted", old="v1",
                 new="v2")
    pids, deployment = run.pids(), run.rollout()["id"]
    for command in (good, ()):
        check_answer(run.deploy(*V2, command=command).out, service=run.name, changed=False,
                     outcome="unchanged", new="v2")
    refused = run.deploy(*V2, command=worker_command(bed, "--work", "2"), status=1)
    equal(refused.out, "", "output of the refused command")
    check("version 'v2' runs another command" in refused.err, refused.err)
    equal(run.pids(), pids, "workers")
    equal(run.rollout()["id"], deployment, "the last deployment")


@timeout(120)
@cases("promote", "abort")
def test_joins(bed, case):
    """The version that is being deployed: both commands follow the deployment, and answer the
    same."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=WORKERS)
    good = worker_command(bed, "--work", "1")
    deploy_canary(run, steps="50% 1h", command=good)
    run.wait_for(step=1)
    pids, deployment = run.pids(), run.rollout()["id"]
    for refused in (("--label", "v3"), ()):
        text = run.deploy(*refused, command=good, status=1).err
        check("the deployment of 'v2' is in progress" in text, text)
    text = run.deploy(*V2, command=worker_command(bed, "--work", "2"), status=1).err
    check("with another command" in text, text)
    check_answer(run.deploy("--label", "v2", "--json", command=good).out, id=deployment,
                 changed=True, outcome=None)
    equal(run.pids(), pids, "workers")
    check_answer(run.deploy(*V2, "--timeout", "0.1s", command=good, status=3).out, id=deployment,
                 changed=True, outcome=None)
    joined = bed.start(bed.binary("reuseportd"), "deploy", run.name, "--label", "v2", "--wait", "--",
                       *good, name="deploy")
    joined.wait_output("canary from v1 to v2")
    run.command_line(*(("promote", "--full") if case == "promote" else ("abort",)))
    equal(joined.wait(), 0 if case == "promote" else 1, "exit status")
    run.wait_for(id=deployment, changed=case == "promote",
                 outcome={"promote": "promoted", "abort": "aborted"}[case])
