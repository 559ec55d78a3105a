# SPDX-License-Identifier: BSD-2-Clause
"""Workers that run as another user."""
import os
import pathlib
import pwd
import signal

from harness.checks import check, equal, wait_until
from harness.network import Client
from runs import Run, worker_command

USER = "www-data"


def test_exec_probe(bed):
    """The command of a readiness check runs in the directory of the worker, as the same user."""
    folder = bed.dir / "folder"
    folder.mkdir()
    (folder / "here").touch()
    probe = f'test -e here && test "$(id -un):$(id -gn)" = {USER}:daemon'
    run = Run(bed, worker_command(bed), "--cwd", folder, "--user", USER, "--group", "daemon",
              "--ready", f"exec:{probe}", "--ready-timeout", 5, workers=1)
    equal(run.stop(), 0, "exit status of the supervisor")


def test_privileged_port(bed):
    """Workers that are not root can bind to a port below 1024 that --listen names."""
    run = Run(bed, [bed.binary("worker"), "--port", 80, "--no-reuseport"], "--user", USER,
              "--listen", 80, workers=2)
    with Client(port=80) as client:
        check(int(client.ask()) in run.pids(), "answers by worker")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_environment(bed):
    """The environment is that of the user, except for variables that --env sets."""
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
    """A worker can open its streams by name, as another user, also after a take-over; other users
    can't."""
    command = "for f in /dev/stdout /dev/stderr; do echo $f >> $f; done; exec "
    run = Run(bed, ["sh", "-c", command + " ".join(map(str, worker_command(bed)))], "--user",
              "nobody", workers=1)

    def both_printed():
        return ("/dev/stdout" in run.process.out.read_text().split()
                and "/dev/stderr" in run.process.err.read_text().split())
    wait_until(both_printed, "both lines are passed on")
    [pid] = run.pids()
    run.kill_supervisor()
    run.start()
    equal(run.pids(), [pid], "pid after the take-over")
    path = next(pathlib.Path(f"/run/reuseportd/{run.name}/out").iterdir())
    other = bed.run("setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups", "sh", "-c",
                    f"echo x >> {path}")
    check(other.code != 0 and "Permission denied" in other.err, f"another user: {other}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_user_database_hangs(bed):
    """The supervisor does not wait for the user database, which may be on another host: it asks when
    it starts, and when a process of its own reads the configuration file again."""
    config = bed.dir / "web.conf"
    command = " ".join(map(str, worker_command(bed)))
    config.write_text(f"[web]\ncommand = {command}\nworkers = 2\nuser = {USER}\ngroup = daemon\n"
                      "ready = exec:true\nhealth-interval = 0.1\n")
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    before = [row["pid"] for row in bed.status("web")["workers"]]
    os.mkfifo(bed.dir / "fifo")
    for name in ("passwd", "group"):
        bed.run("mount", "--bind", bed.dir / "fifo", f"/etc/{name}")
    try:
        os.kill(before[0], signal.SIGKILL)

        def is_replaced():
            now = [row["pid"] for row in bed.status("web")["workers"]]
            return now[0] not in (None, before[0]) and now[1] == before[1]
        wait_until(is_replaced, "the worker is replaced")
        bed.reuseportd("restart", "web", "0")
    finally:
        for name in ("passwd", "group"):
            bed.run("umount", f"/etc/{name}")
    bed.reuseportd("reload", "web")
    for row in bed.status("web")["workers"]:
        entry = pwd.getpwnam(USER)
        status = pathlib.Path(f"/proc/{row['pid']}/status").read_text(encoding="ascii")
        check(f"Uid:\t{entry.pw_uid}\t" in status, status)
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status of the supervisor")
