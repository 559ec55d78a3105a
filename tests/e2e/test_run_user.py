# SPDX-License-Identifier: BSD-2-Clause
"""Workers that run as another user."""
import os
import pathlib
import pwd

from harness.checks import check, equal, wait_until
from harness.network import Client
from runs import Run, worker_command

USER = "www-data"


def test_exec_probe(bed):
    """The command that tells whether a worker is ready runs where the worker does, and as it."""
    folder = bed.dir / "folder"
    folder.mkdir()
    (folder / "here").touch()
    probe = f'test -e here && test "$(id -un):$(id -gn)" = {USER}:daemon'
    run = Run(bed, worker_command(bed), "--cwd", folder, "--user", USER, "--group", "daemon",
              "--ready", f"exec:{probe}", "--ready-timeout", 5, workers=1)
    equal(run.stop(), 0, "exit status of the supervisor")


def test_privileged_port(bed):
    """A port that was named may be bound to by workers that may not be root."""
    run = Run(bed, [bed.binary("worker"), "--port", 80, "--no-reuseport"], "--user", USER,
              "--listen", 80, workers=2)
    with Client(port=80) as client:
        check(int(client.ask()) in run.pids(), "answers by worker")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_environment(bed):
    """It is the user's own, but for what is said otherwise."""
    entry = pwd.getpwnam(USER)
    run = Run(bed, worker_command(bed), "--user", USER, "--env", "SHELL=/bin/other", workers=1,
              env={**os.environ, "HOME": "/root", "USER": "root", "LOGNAME": "root"})
    [pid] = run.pids()
    text = pathlib.Path(f"/proc/{pid}/environ").read_text(encoding="ascii")
    env = dict(variable.split("=", 1) for variable in text.split("\0") if variable)
    want = {"HOME": entry.pw_dir, "USER": USER, "LOGNAME": USER, "SHELL": "/bin/other"}
    equal({name: env.get(name) for name in want}, want, "environment")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_streams_by_name(bed):
    """A worker may open its streams anew, as another user, too, and after a take-over; and nobody
    else can."""
    command = "for f in /dev/stdout /dev/stderr; do echo $f >> $f; done; exec "
    run = Run(bed, ["sh", "-c", command + " ".join(map(str, worker_command(bed)))], "--user",
              "nobody", workers=1)

    def said():
        return {"/dev/stdout", "/dev/stderr"} <= set(run.process.out.read_text().split())
    wait_until(said, "both are passed on")
    [pid] = run.pids()
    run.kill_supervisor()
    run.start()
    equal(run.pids(), [pid], "who is taken over")
    [path] = pathlib.Path(f"/run/reuseportd/{run.name}/out").iterdir()
    other = bed.run("setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups", "sh", "-c",
                    f"echo x >> {path}")
    check(other.code != 0 and "Permission denied" in other.err, f"another user: {other}")
    equal(run.stop(), 0, "exit status of the supervisor")
