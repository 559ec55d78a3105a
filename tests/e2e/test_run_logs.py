# SPDX-License-Identifier: BSD-2-Clause
"""Log files of workers: --out-file and --error-file."""
import pathlib
import shutil
import stat

from harness.checks import check, equal, text_of, wait_until
from runs import Run, worker_command

# Prints its name on both streams, and serves.
TALKER = "echo out.$REUSEPORTD_SLOT; echo err.$REUSEPORTD_SLOT >&2; exec "


def talker(bed):
    return ["sh", "-c", TALKER + " ".join(str(word) for word in worker_command(bed))]


def test_devices(bed):
    """A device is shared by all workers: no name of a worker is appended. /dev/stdout as error file
    is the supervisor's standard output."""
    def devices():  # other tests use the same /dev
        return {path for path in pathlib.Path("/dev").iterdir() if path.name.startswith(("null", "stdout"))}
    before = devices()
    run = Run(bed, talker(bed), "--out-file", "/dev/null", "--error-file", "/dev/stdout", workers=2)
    equal(devices(), before, "in /dev")
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
        out, err = folder / f"out-{slot}.log", bed.dir / f"err-{slot}"
        wait_until(lambda: text_of(out) and text_of(err), "it prints")
        equal(out.read_text().splitlines()[0], f"out.{slot}", "its output")
        equal(err.read_text(), f"err.{slot}\n", "its errors")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_prefix_in_files(bed):
    """Lines of all workers in one file name the worker."""
    path = bed.dir / "all.log"
    run = Run(bed, talker(bed), "--log-file", path, "--merge-logs", "--log-prefix", workers=2)
    wait_until(lambda: {f"web.{slot} | {name}.{slot}" for slot in range(2) for name in ("out", "err")}
               <= set(text_of(path).splitlines()), "the lines have prefixes")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_streams(bed):
    """Without log files, the workers' output goes to the supervisor's standard output, and their
    errors to its standard error, after a take-over to those of the next supervisor."""
    gated = "(until [ -e gate ]; do sleep 0.05; done; echo late; echo bad >&2) & "
    run = Run(bed, ["sh", "-c", gated + talker(bed)[2]], "--log-prefix", workers=1)
    wait_until(lambda: "web.0 | out.0" in run.process.out.read_text().splitlines(), "it prints")
    wait_until(lambda: "web.0 | err.0" in run.process.err.read_text().splitlines(), "it prints")
    run.kill_supervisor()
    run.start()
    (bed.dir / "gate").touch()
    wait_until(lambda: "web.0 | late" in run.process.out.read_text().splitlines(), "it prints")
    wait_until(lambda: "web.0 | bad" in run.process.err.read_text().splitlines(), "it prints")
    check("err.0" not in run.process.out.read_text(), "errors are not in the output")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_files_after_takeover(bed):
    """After a take-over, output goes where the new supervisor's configuration says."""
    gated = "(until [ -e gate ]; do sleep 0.05; done; echo late) & exec "
    run = Run(bed, ["sh", "-c", gated + " ".join(str(word) for word in worker_command(bed))],
              workers=1)
    pids = run.pids()
    run.kill_supervisor()
    run.options += ["--out-file", bed.dir / "out.log", "--error-file", bed.dir / "err.log"]
    run.start()
    equal(run.pids(), pids, "pids after the take-over")
    (bed.dir / "gate").touch()
    wait_until(lambda: "late" in text_of(bed.dir / "out-0.log").split(), "it is written")
    # `stop` without a supervisor: the log process goes on until all has been written.
    run.kill_supervisor()
    run.command_line("stop")


def test_last_lines(bed):
    """The report of a worker that fails has its last lines, also with log files."""
    run = Run(bed, ["sh", "-c", "echo why; exit 3"], "--out-file", bed.dir / "out", "--max-restarts",
              1, workers=1, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    good = Run(bed, worker_command(bed), "--out-file", bed.dir / "out", workers=1)
    failed = good.command_line("reload", "--", "sh", "-c", "echo out; echo err >&2; exit 3",
                               status=1)
    check("its last lines were:" in failed.err and {"out", "err"} <= set(failed.err.split()),
          failed.err)
    equal((bed.dir / "out-0").read_text().splitlines()[0], "why", "the first line of the file")
    equal(good.stop(), 0, "exit status of the supervisor")


def test_run_directory_deleted(bed):
    """The run directory is deleted by hand: the log process goes on in the new one. So log files
    are reopened, and later supervisors find the log process and the streams of the workers."""
    gated = "".join(f"(until [ -e {name} ]; do sleep 0.05; done; echo {name}) & "
                    for name in ("early", "late"))
    command = " ".join(str(word) for word in worker_command(bed))
    file = bed.dir / "out-0.log"
    run = Run(bed, ["sh", "-c", gated + "exec " + command], "--out-file", bed.dir / "out.log",
              workers=1)
    pids, log_pid = run.pids(), bed.log_process(run.name)
    folder = pathlib.Path("/run/reuseportd", run.name)
    shutil.rmtree(folder)
    for name in ("control", "log", "log.state"):
        wait_until((folder / name).exists, f"{name} is made again")
    equal(bed.log_process(run.name), log_pid, "the log process")
    file.rename(bed.dir / "old.log")
    run.command_line("reopen-logs")
    (bed.dir / "early").touch()
    wait_until(lambda: "early" in text_of(file).split(), "the worker's output is written")
    run.kill_supervisor()
    run.start()
    equal(run.pids(), pids, "pids after the take-over")
    wait_until(lambda: not pathlib.Path(f"/proc/{log_pid}").exists(), "the log process is replaced")
    (bed.dir / "late").touch()
    wait_until(lambda: "late" in text_of(file).split(), "the worker's output is written")
    run.command_line("reopen-logs")
    equal(run.stop(), 0, "exit status of the supervisor")
