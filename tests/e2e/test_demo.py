# SPDX-License-Identifier: BSD-2-Clause
"""tools/demo: the step with a service of `run`. The demo leaves nothing behind, however it ends."""
import contextlib
import pathlib
import signal

from harness.bed import cgroup2
from harness.checks import cases, check, equal, timeout, wait_until

DEMO = pathlib.Path(__file__).resolve().parents[2] / "tools/demo"
WORKERS = 4


def cgroups(pattern=""):
    return list(cgroup2().glob(f"demo-*{pattern}"))


def remember_objects(bed):
    """Notes the BPF objects of all processes of the demo, which must be gone after the test."""
    for group in cgroups():
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # the process ends, or closes one
                bed.remember_open(pid)
    return any(bed.seen.values())


@timeout(240)
@cases("complete", "SIGINT", "SIGKILL")
def test_deploy(bed, case):
    """A bad version is deployed, and taken out by itself."""
    bed.program("node")
    demo = bed.start(DEMO, "--build", bed.build, "deploy")
    wait_until(lambda: len(cgroups("/reuseportd/shop/*-*")) > WORKERS or not demo.alive(),
               "the new version starts", 60)
    wait_until(lambda: remember_objects(bed), "the demo has BPF objects")
    if case == "complete":
        equal(demo.wait(120), 0, f"exit status of the demo:\n{demo.output()}")
        check("v2 was judged bad" in demo.output(), demo.output())
        check("All promises were kept" in demo.output(), demo.output())
        check(not cgroups(), "a control group is left")
        return
    demo.kill(getattr(signal, case))
    equal(demo.wait(60), {"SIGINT": 130, "SIGKILL": -signal.SIGKILL}[case], "end of the demo")
    wait_until(lambda: not cgroups(), "no control group is left", 60)
