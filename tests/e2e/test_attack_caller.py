# SPDX-License-Identifier: BSD-2-Clause
"""What the process that calls a command may leave to it: closed streams, ignored signals, limits, a
umask, and words with control characters."""
import os
import pathlib
import shlex
import signal

from harness.checks import cases, check, equal, wait_until
from runs import Run, script, worker_command
from test_attack_terminal import EVIL, expect_plain, output

MODULE = "module.exports = [{name: 'web', script: '/bin/true'}];\n"


def after(text):
    """A command that executes the following words in a shell, after @text."""
    return ["bash", "-c", f'{text} exec "$@"', "-"]


def stream(pid, fd):
    """What a descriptor is, and its flags."""
    flags = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:\t")[1]
    return os.readlink(f"/proc/{pid}/fd/{fd}"), int(flags.split()[0], 8) & os.O_ACCMODE


@cases("0", "1", "01", "12", "012")
def test_closed_streams(bed, closed):
    """Nothing is opened in their place, neither by the supervisor nor by its other processes; they
    can't be used."""
    close = {"0": "<&-", "1": ">&-", "2": "2>&-"}
    run = Run(bed, worker_command(bed), "--metrics", "127.0.0.1:9464", workers=2, wait=False,
              under=["bash", "-c", f'exec "$@" {" ".join(close[fd] for fd in closed)}', "-"])
    wait_until(lambda: "web" in bed.reuseportd("list").out and
               run.states() == ["active"] * 2, "the service has started")
    bed.remember_pinned()
    for fd in closed:
        equal(stream(run.process.pid, fd), ("/dev/null", os.O_WRONLY if fd == "0" else os.O_RDONLY),
              f"descriptor {fd}")
    run.reload()
    equal(run.stop(), 0, "exit status of the supervisor")


def test_closed_output(bed):
    """A command that can't print what it is asked for fails."""
    result = bed.run("sh", "-c", f"exec {bed.binary('reuseportd')} list >&-")
    equal(result.code, 1, "exit status")
    check("its output can't be written: Bad file descriptor" in result.err, f"{result}")


def test_ignored_ends_of_children(bed):
    """The caller ignores SIGCHLD: node's exit status is needed all the same."""
    file = script(bed, "ecosystem.config.js", MODULE)
    result = bed.run(*after("trap '' CHLD;"), bed.binary("reuseportd"), "check", file)
    equal((result.code, result.err), (0, ""), "exit status and errors of check")


def test_limit_of_files_size(bed):
    """A log file can't grow beyond the limit: this is logged, and nothing ends."""
    log = bed.dir / "log"
    text = f"#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x\necho\nexec {shlex.join(map(str, worker_command(bed)))}\n"
    worker = pathlib.Path(script(bed, "worker.sh", text))
    worker.chmod(0o755)
    run = Run(bed, [worker], "--out-file", log, "--merge-logs", workers=1,
              under=after("ulimit -f 64;"))
    run.process.wait_output(f"can't write to {log}: File too large")
    pids = run.pids()
    os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: run.states() == ["active"] and run.pids() != pids, "the worker is replaced")
    equal(run.stop(), 0, "exit status of the supervisor")


READY = "#!/bin/sh\nsystemd-notify --ready --pid=$$ && exec sleep 1000\n"


@cases("0", "077", "0777")
def test_umask(bed, mask):
    """Workers of another user reach their socket. No other user may write to a file or folder."""
    worker = pathlib.Path(script(bed, "ready.sh", READY))
    worker.chmod(0o755)
    run = Run(bed, [worker], "--user", "nobody", "--ready", "notify", "--ready-timeout", "1m",
              "--max-restarts", 1, workers=1, under=after(f"umask {mask};"))
    for path in pathlib.Path("/run/reuseportd").rglob("*"):
        check(path.is_symlink() or not path.stat().st_mode & 0o002, f"{path} is open to all")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_words(bed):
    """Options and files that don't exist are shown without control characters."""
    evil = os.fsdecode(EVIL)
    for argv in (["status", f"--{evil}"], ["status", f"--{evil}=x"], ["run", f"-{evil}"],
                 ["run", evil, evil + "2"], ["run", evil], [evil], [f"--{evil}"],
                 ["drain", "web", evil], ["metrics", "--listen", evil], ["list", evil]):
        for part in output(bed, *argv):
            expect_plain(part, argv[0])
