# SPDX-License-Identifier: BSD-2-Clause
"""`run` and `attach` as an ordinary user with exactly the capabilities that the manual page and
reuseportd@.service name: they are sufficient, and without any of them there is an error that names
it."""
import os
import re
import signal

from harness.bed import BPFFS, cgroup2
from harness.checks import cases, check, equal, wait_until
from harness.network import PORT, Client
from harness.servers import Workers
from runs import Run

USER = 33  # www-data
ATTACH = ("BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH")
RUN = (*ATTACH, "NET_ADMIN")
TAKE_OVER = (*RUN, "SYS_ADMIN")
OTHER_USER = ("SETUID", "SETGID", "KILL", "CHOWN")
ALL = (*TAKE_OVER, *OTHER_USER, "NET_BIND_SERVICE")


def having(names):
    """A command that runs another one as the user, with these capabilities only."""
    some = ",".join(["-all", *(f"+{name.lower()}" for name in names)])
    return ("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--inh-caps", some,
            "--ambient-caps", some, "--bounding-set", some)


def give_folders(bed):
    """Gives the user what an administrator, or a unit with User= and Delegate=, gives: a bpffs, the
    folder in /run, and the cgroup."""
    names = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
    os.mkdir("/run/reuseportd")
    for path in (BPFFS, "/run/reuseportd", *(cgroup2() / name for name in names)):
        os.chown(path, USER, USER)
    # A command of another user, also of root, doesn't trust the user's pins.
    plain = bed.run
    bed.reuseportd = lambda *args, status=0, **options: expect_status(
        plain(*having(ALL), bed.binary("reuseportd"), *args, **options), status)


def remove_folder():
    """Removes the folder in /run, which `run` removes with its last service."""
    if os.path.exists("/run/reuseportd"):
        os.rmdir("/run/reuseportd")


def expect_status(result, status):
    check(status in (None, result.code), f"{result}(the expected exit status is {status})")
    return result


def start(bed, names, *options, port=PORT, **more):
    command = [bed.binary("worker"), "--port", port, "--no-reuseport"]
    return Run(bed, command, "--settle", "0.05", "--drain-timeout", "5s", *options, workers=2,
               under=having(names), **more)


def test_lists(bed):
    """The unit and the manual page name the same capabilities."""
    unit = (bed.build / "reuseportd@.service").read_text()
    named = set(re.findall(r"CAP_(\w+)", " ".join(
        line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))))
    equal(named, set(ALL), "capabilities in the unit")
    page = (bed.build / "user/man/reuseportd.8").read_text()
    equal(set(re.findall(r"CAP_(\w+)", page)), set(ALL), "capabilities in the manual page")


def test_run(bed):
    """Workers of a third user on a port below 1024: start, reload, re-exec, take-over, stop."""
    give_folders(bed)
    run = start(bed, ALL, "--user", "nobody", "--listen", 80, port=80)
    before = run.pids()
    run.reload()
    pids = run.pids()
    check(not set(before) & set(pids), f"{before} were replaced by {pids}")
    run.process.kill(signal.SIGUSR2)
    wait_until(lambda: run.log().count("started: 2 workers") == 2, "it is executed again")
    run.kill_supervisor()
    run.start()
    equal(run.pids(), pids, "workers that were taken over")
    with Client(port=80) as client:
        check(int(client.ask()) in pids, "a worker answers")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_run_as_the_same_user(bed):
    """Workers of the same user need only the first of them."""
    give_folders(bed)
    run = start(bed, RUN)
    run.reload()
    equal(run.stop(), 0, "exit status of the supervisor")


@cases(*ALL)
def test_run_without(bed, name):
    """CAP_SYS_ADMIN includes three others, so it is not there unless a take-over needs it."""
    give_folders(bed)
    names = [other for other in ALL if other not in (name, "SYS_ADMIN")]
    run = start(bed, names, "--user", "nobody", "--listen", 80, port=80, wait=False)
    if name == "SYS_ADMIN":
        run.process.wait_output("started:")
        run.kill_supervisor()
        run.start(wait=False)
    if name == "NET_BIND_SERVICE":  # the workers have the port by the hook, but none can wait there
        run.process.wait_output("CAP_NET_BIND_SERVICE")
        run.process.kill(signal.SIGTERM)
        run.process.wait()
        return
    equal(run.process.wait(), 1, f"exit status; {run.log()}")
    check(f"CAP_{name}" in run.log(), f"it is not named: {run.log()}")
    if name in ATTACH or name in OTHER_USER:
        check(re.search(f"missing: CAP_{name}\n", run.log()), f"others are named: {run.log()}")
    if name == "SYS_ADMIN":
        bed.reuseportd("stop", run.name)
    remove_folder()


def test_attach(bed):
    """`attach` and the commands for attached workers, which belong to root here. The user needs no
    cgroup."""
    give_folders(bed)
    Workers(bed, 2)
    tool = bed.binary("reuseportd")
    for name in ATTACH:
        names = [other for other in ATTACH if other != name]
        refused = bed.run(*having(names), tool, "attach", "--workers", 2)
        check(refused.code == 1 and refused.err.endswith(f"missing: CAP_{name}\n"), f"{refused}")
    for command in (("attach", "--workers", 2), ("drain", 1), ("resume", 1), ("status",),
                    ("detach",)):
        done = bed.run(*having(ATTACH), tool, *command)
        equal(done.code, 0, f"{done}")
    watch = bed.start(*having(ATTACH), tool, "attach", "--workers", 2, "--watch", name="refused")
    equal(watch.wait(), 1, "exit status")
    check("CAP_NET_ADMIN" in watch.output(), watch.output())
    watch = bed.start_watch("--workers", 2, under=having(RUN), notify=False)
    watch.wait_output("watching")
    watch.stop()
    bed.reuseportd("detach")
    remove_folder()
