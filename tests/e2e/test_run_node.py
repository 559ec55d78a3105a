# SPDX-License-Identifier: BSD-2-Clause
"""Configuration files that node reads, repeatedly while the service runs."""
import os
import re
import shutil
import signal

from harness.checks import equal, timeout, wait_until
from harness.network import Client
from runs import NODE, script

CONFIG = "module.exports = {apps: [{name: 'web', script: 'server.js', instances: 1}]};\n"


def start(bed, env=None):
    script(bed, "server.js", NODE)
    config = bed.dir / "ecosystem.config.js"
    config.write_text(CONFIG)
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run", env=env)
    process.wait_output("web: started:")
    bed.remember_pinned()
    return process, config


def stop(bed, process):
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")


def test_upgrade_refused(bed):
    """A supervisor that can't read its file any more refuses a re-exec and continues; with the file
    repaired it re-executes itself."""
    process, config = start(bed)
    pids = [row["pid"] for row in bed.status("web")["workers"]]
    config.write_text("module.exports = {apps: [\n")
    process.kill(signal.SIGUSR2)
    process.wait_output("re-exec refused:")
    config.write_text(CONFIG.replace("'web'", "'other'"))
    process.kill(signal.SIGUSR2)
    process.wait_output("has no service 'web' any more")
    with Client() as client:
        client.ask()
    config.write_text(CONFIG)
    process.kill(signal.SIGUSR2)
    process.wait_output("is taken over")
    equal([row["pid"] for row in bed.status("web")["workers"]], pids, "pids")
    stop(bed, process)


@timeout(180)
def test_never_ends(bed):
    """A file that node doesn't finish reading times out, and the processes that it started are
    killed."""
    process, config = start(bed)
    config.write_text("require('child_process').execSync('sleep 1000');\n" + CONFIG)
    refused = bed.reuseportd("reload", "web", status=1, deadline=60)
    equal("node has not finished reading" in refused.err and "after 10 s" in refused.err, True,
          f"{refused}")
    wait_until(lambda: "sleep" not in " ".join(bed.left_processes()), "the process is killed")
    config.write_text("process.on('exit', () => { for (;;); }); require('fs').closeSync(2);\n"
                      + CONFIG)
    refused = bed.reuseportd("reload", "web", status=1, deadline=60)
    equal("after 10 s" in refused.err, True, f"{refused}")
    config.write_text(CONFIG)
    bed.reuseportd("reload", "web", deadline=60)
    stop(bed, process)


# Replaces node. Not a shell script, as a shell unblocks signals.
NODE_WRAPPER = """#!/usr/bin/python3
import os, shutil, sys

if sys.argv[1] == "-e":
    shutil.copyfile("/proc/self/status", "%FOLDER%/status")
os.execv("%NODE%", sys.argv)
"""


def test_signals(bed):
    """node doesn't inherit the signals that the supervisor blocks, as its children may need
    them."""
    folder = bed.dir / "bin"
    folder.mkdir()
    node = folder / "node"
    node.write_text(NODE_WRAPPER.replace("%FOLDER%", str(bed.dir))
                    .replace("%NODE%", shutil.which("node")))
    node.chmod(0o755)
    process, _ = start(bed, {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    bed.reuseportd("reload", "web", deadline=60)
    status = (bed.dir / "status").read_text()
    equal(int(re.search(r"SigBlk:\t(\w+)", status)[1], 16), 0, "blocked signals")
    stop(bed, process)
