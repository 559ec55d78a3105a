# SPDX-License-Identifier: BSD-2-Clause
"""`doctor` finds what `run` refuses, and counts the workers that a service is to have."""
import json
import os
import signal

from harness.bed import BPFFS, PINS, cgroup2
from harness.checks import cases, check, equal, wait_until
from runs import Run, script, worker_command

# Runs a command for which bpf() fails with EPERM, as in a container with a seccomp filter.
WITHOUT_BPF = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
rows = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
class Filter(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("rows", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(
        Filter(len(rows), ctypes.addressof(code)))):
    sys.exit("no seccomp")
os.execvp(sys.argv[1], sys.argv[1:])
"""

# What is wrong: commands that make it so, a command that runs others under it, and a part of the
# reason.
WRONG = {
    "bpffs-read-only": ([["mount", "-o", "remount,ro", BPFFS]], (), "Read-only file system"),
    "cgroup2-read-only": ([["mount", "-o", "remount,bind,ro", "%CGROUP2%"]], (),
                          "Read-only file system"),
    "cgroup2-missing": ([["umount", "-a", "-l", "-t", "cgroup2"]], (), "cgroup2"),
    "run-read-only": ([["mount", "-o", "remount,bind,ro", "/run"]], (), "Read-only file system"),
    "no-bpf": ([], ("python3", "-c", WITHOUT_BPF), "bpf"),
    "no-net-admin": ([], ("setpriv", "--bounding-set=-net_admin,-sys_admin",
                          "--inh-caps=-net_admin,-sys_admin"), ""),
}


def doctor(bed, *under, status=None):
    result = bed.run(*under, bed.binary("reuseportd"), "doctor", "--json")
    check(status is None or result.code == status, f"exit status {status} is expected: {result}")
    text = bed.run(*under, bed.binary("reuseportd"), "doctor")
    equal(text.code, result.code, "exit status of the text")
    [row] = [row for row in json.loads(result.out) if row["check"] == "run"]
    check(row["detail"].split("\n")[0][:30] in " ".join(text.out.split()), f"{row} in {text}")
    return row


@cases(*WRONG)
def test_refused(bed, case):
    """`run` is refused: `doctor` says so, for the same reason, and its exit status is 1."""
    equal(doctor(bed, status=0)["verdict"], "ok", "before")
    commands, under, reason = WRONG[case]
    mount = str(cgroup2())
    for command in commands:
        bed.must(*(str(word).replace("%CGROUP2%", mount) for word in command))
    run = bed.run(*under, bed.binary("reuseportd"), "run", "--service", "web", "--workers", 1, "--",
                  *worker_command(bed))
    row = doctor(bed, *under, status=1)
    for command in reversed(commands):  # for the bed
        if command[0] == "mount":
            bed.must(*(str(word).replace("%CGROUP2%", mount).replace(",ro", ",rw")
                       for word in command))
        else:
            bed.must("mount", "-t", "cgroup2", "none", mount)
    check(run.code == 1 and reason in run.err, f"run: {run}")
    equal(row["verdict"], "fail", "verdict")
    why = run.err.split("reuseportd run: ")[1].strip().replace("\n", ";").replace("web", "")
    check(why[:40] in row["detail"], f"the reason is not that of run: {row}\n{run}")


def test_leaves_nothing(bed):
    """The trial is no service that a command lists or takes for the only one; other services go
    on. (The bed finds what is left.)"""
    run = Run(bed, worker_command(bed), workers=2)
    pids = run.pids()
    doctors = [bed.start(bed.binary("reuseportd"), "doctor", name="doctor") for _ in range(3)]
    while any(process.alive() for process in doctors):
        equal([row["service"] for row in bed.reuseportd("list", "--json").json()], [run.name],
              "the services")
        equal(bed.status()["service"], run.name, "the only service")
    equal([process.wait() for process in doctors], [0] * 3, "exit statuses")
    equal(run.pids(), pids, "pids")


def kill_in_trial(bed):
    """Kills a doctor whose trial has pins. The trial is short, and may have ended before it is seen."""
    def is_killed():
        process = bed.start(bed.binary("reuseportd"), "doctor", name="doctor")
        wait_until(lambda: list(PINS.glob("doctor-trial-*/service")) or not process.alive(), "the trial has pins",
                   interval=0.001)
        process.kill(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL
    wait_until(is_killed, "a doctor is killed in its trial")


def test_killed(bed):
    """A doctor that is killed in the middle of the trial leaves nothing either."""
    for _ in range(3):
        kill_in_trial(bed)
        equal(bed.reuseportd("list", "--json").json(), [], "the services")
        wait_until(lambda: not PINS.exists(), "the trial has ended")


def test_wanted_workers(bed):
    """Slots whose workers wait for a restart are no live workers."""
    command = ["sh", script(bed, "worker.sh", "if [ $REUSEPORTD_SLOT != 0 ] && [ -e bad ]; then "
                                              'exit 1; fi; exec "$@"'), *worker_command(bed)]
    run = Run(bed, command, "--backoff", "100s..100s", workers=3)
    equal([row["detail"] for row in bed.reuseportd("doctor", "--json").json()
           if row["check"] == run.name][0], "all 3 workers live", "before")
    (bed.dir / "bad").touch()
    for pid in run.pids()[1:]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: run.states() == ["active", "restarting", "restarting"], "both wait")
    rows = [row for row in bed.reuseportd("doctor", "--json").json() if row["check"] == run.name]
    for text in ("2 of 3 workers are not there", "slots 1 2"):
        check(text in rows[0]["detail"], f"{rows}")
    equal(rows[0]["verdict"], "warn", "verdict")
    check("2 of 3 workers" in bed.reuseportd("doctor").out, "the text")
