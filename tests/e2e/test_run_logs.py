# SPDX-License-Identifier: BSD-2-Clause
"""Log files of workers: --out-file and --error-file."""
import pathlib
import stat

from harness.checks import check, equal, wait_until
from runs import Run, worker_command

# Prints its name on both streams, and serves.
TALKER = "echo out.$REUSEPORTD_SLOT; echo err.$REUSEPORTD_SLOT >&2; exec "


def talker(bed):
    return ["sh", "-c", TALKER + " ".join(str(word) for word in worker_command(bed))]


def test_devices(bed):
    """A device is shared by all workers: no name of a worker is appended."""
    before = set(pathlib.Path("/dev").iterdir())
    run = Run(bed, talker(bed), "--out-file", "/dev/null", "--error-file", "/dev/stdout", workers=2)
    equal(set(pathlib.Path("/dev").iterdir()) - before, set(), "new in /dev")
    check(stat.S_ISCHR(pathlib.Path("/dev/null").stat().st_mode), "/dev/null is a device")
    wait_until(lambda: {"err.0", "err.1"} <= set(run.process.out.read_text().split()), "both print")
    check("out." not in run.log(), run.log())
    equal(run.stop(), 0, "exit status of the supervisor")


def test_files(bed):
    """Each worker has its own file, unless they are merged."""
    folder = bed.dir / "a/b"  # created, as by PM2
    run = Run(bed, talker(bed), "--out-file", folder / "out.log", "--error-file", bed.dir / "err",
              workers=2)
    for slot in range(2):
        lines = (folder / f"out-{slot}.log").read_text().splitlines()
        equal(lines[0], f"out.{slot}", "its output")
        equal((bed.dir / f"err-{slot}").read_text(), f"err.{slot}\n", "its errors")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_files_after_takeover(bed):
    """A worker that was started without log files is taken over by a supervisor that has log files:
    its output goes to the same place as before."""
    gated = "(until [ -e gate ]; do sleep 0.05; done; echo late) & exec "
    run = Run(bed, ["sh", "-c", gated + " ".join(str(word) for word in worker_command(bed))],
              workers=1)
    pids = run.pids()
    run.kill_supervisor()
    run.options += ["--out-file", bed.dir / "out", "--error-file", bed.dir / "err"]
    run.start()
    equal(run.pids(), pids, "pids after the take-over")
    (bed.dir / "gate").touch()
    wait_until(lambda: "late" in run.process.out.read_text().split(), "the line is passed on")
    equal(run.stop(), 0, "exit status of the supervisor")
