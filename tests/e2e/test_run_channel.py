# SPDX-License-Identifier: BSD-2-Clause
"""Which workers get a Node channel."""
import os
import pathlib

from harness.checks import cases, check, equal
from runs import NODE, Run, script, worker_command

# Without a channel this raises an exception.
SENDER = NODE + "\nprocess.send('ready');\n"


def environment(pid):
    return pathlib.Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")


@cases("script", "shell", "starter")
def test_node(bed, kind):
    """A program for node can send without checking for a channel, however it is started."""
    path = script(bed, "server.js", "#!/usr/bin/env node\n" + SENDER)
    os.chmod(path, 0o755)
    starter = script(bed, "start.sh", "#!/bin/sh\nnode server.js\n")
    os.chmod(starter, 0o755)
    command = {"script": ["./server.js"], "shell": ["sh", "-c", "node server.js"],
               "starter": [starter]}[kind]
    run = Run(bed, command, "--cwd", bed.dir, workers=1)
    check("process.send" not in run.log(), run.log())
    equal([row["restarts"] for row in run.workers()], [0], "restarts")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_others(bed):
    """Other programs don't get the variable: a node that they start without the descriptor would
    die."""
    run = Run(bed, worker_command(bed), workers=1)
    [pid] = run.pids()
    check(not any("NODE_CHANNEL" in variable for variable in environment(pid)), "it has a channel")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_probe(bed):
    """The command of a probe doesn't get it either, as it may be a program for node."""
    run = Run(bed, ["node", script(bed, "server.js", SENDER)], "--ready", "exec:node -e 0",
              "--ready-timeout", 10, workers=1)
    equal(run.stop(), 0, "exit status of the supervisor")
