# SPDX-License-Identifier: BSD-2-Clause
"""One service of a file can't be started: the others are."""
import json
import os
import signal

from harness.bed import PINS
from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import Run, worker_command


def make_bad(path, kind):
    """Makes an env file, or a folder, that can't be read. Returns a part of the reason."""
    if kind == "fifo":
        os.mkfifo(path)
        return "not a regular file"
    if kind == "long":
        path.write_text("A=" + "x" * (2 << 20))
        return "1 MB"
    if kind == "other-user":
        path.write_text("A=b\n")
        os.chmod(path, 0o600)
        os.chown(path, 65533, 65533)
        return "Permission denied"
    return "No such file"


def write_config(bed, kind, bad):
    """Service `web`, and `other` with what is bad."""
    if kind == "pm2":
        config = bed.dir / "ecosystem.config.json"
        apps = [{"name": name, "script": bed.binary("worker"), "interpreter": "none",
                 "args": f"--port {port} --no-reuseport"}
                for name, port in (("web", PORT), ("other", PORT + 1))]
        config.write_text(json.dumps({"apps": [apps[0], {**apps[1], "env_file": str(bad)}]}))
        return config
    config = bed.dir / "all.conf"
    command = " ".join(map(str, worker_command(bed)))
    other = command.replace(str(PORT), str(PORT + 1))
    user = "user = nobody\n" if kind == "other-user" else ""
    option = "cwd" if kind == "cwd" else "env-file"
    config.write_text(f"[service other]\nworkers = 1\n{option} = {bad}\n{user}command = {other}\n"
                      f"[service web]\nworkers = 2\nsettle = 0\ncommand = {command}\n")
    return config


def states(bed, name):
    return [row["state"] for row in bed.status(name)["workers"]]


@cases("missing", "fifo", "long", "other-user", "cwd", "pm2")
def test_start(bed, kind):
    """The other service is started, reloaded and supervised. The reason is logged, and `check` has
    it. When it is mended, a reload starts the service."""
    bad = bed.dir / "bad"
    os.chmod(bed.dir, 0o755)
    reason = make_bad(bad, kind)
    config = write_config(bed, kind, bad)
    checked = bed.reuseportd("check", config, status=2)
    check(reason in checked.err + checked.out, f"check: {checked}")
    run = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    run.wait_output("web: started:")
    bed.remember_pinned()
    wait_until(lambda: states(bed, "other") == ["failed"], "the slot has failed")
    for text in (reason, "reload other"):
        run.wait_output(text)
    equal(bed.load("-n", 20)["failed"], 0, "failed connections")
    bed.reuseportd("reload", "web")
    refused = bed.reuseportd("reload", "other", status=2)
    check(reason in refused.err, f"reload: {refused}")
    if kind == "cwd":
        bad.mkdir()
    else:
        bad.unlink(missing_ok=True)
        bad.write_text("A=b\n")
    bed.reuseportd("reload", "other")
    equal(states(bed, "other"), ["active"], "states")


def test_alone(bed):
    """If no service can be started, `run` fails at once, as for an error in the file."""
    config = bed.dir / "web.conf"
    config.write_text(f"[service web]\nworkers = 1\nenv-file = {bed.dir}/none\ncommand = sleep 9\n")
    refused = bed.reuseportd("run", config, status=2)
    check(f"{config}:3: env-file: can't read" in refused.err, f"{refused}")


def test_upgrade(bed):
    """A re-exec is refused if a service could not be started after it. If the file is replaced
    after this check, or while there is no supervisor, all services are supervised all the same."""
    bad = bed.dir / "bad"
    bad.write_text("A=b\n")
    config = write_config(bed, "missing", bad)
    run = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    for name in ("web", "other"):
        run.wait_output(f"{name}: started:")
    bed.remember_pinned()
    pids = [row["pid"] for name in ("web", "other") for row in bed.status(name)["workers"]]
    bad.unlink()
    run.kill(signal.SIGUSR2)
    run.wait_output("other: re-exec refused: ")
    check("No such file" in run.output(), f"the reason: {run.output()}")
    run.kill(signal.SIGKILL)
    run.wait()
    run = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    for name in ("web", "other"):
        run.wait_output(f"{name}: started:")
    equal([row["pid"] for name in ("web", "other") for row in bed.status(name)["workers"]], pids,
          "the workers that are taken over")
    os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: states(bed, "web") == ["active"] * 2 and
               bed.status("web")["workers"][0]["pid"] != pids[0], "the worker is replaced")
    bad.write_text("A=c\n")
    bed.reuseportd("reload", "other")
    check(bed.status("other")["workers"][0]["pid"] != pids[2], "the worker is not replaced")


def test_read_only_pins(bed):
    """`stop` ends the workers, though the pins can't be removed, and names what to do."""
    run = Run(bed, worker_command(bed), workers=2)
    pids = run.pids()
    bed.must("mount", "-o", "remount,ro", "/sys/fs/bpf")
    try:
        refused = bed.reuseportd("stop", run.name, status=1)
        check("mount -o remount,rw /sys/fs/bpf" in refused.err, f"what to do: {refused}")
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the workers have ended")
        equal(run.process.wait(), 1, "exit status of the supervisor")
    finally:
        bed.must("mount", "-o", "remount,rw", "/sys/fs/bpf")
    bed.reuseportd("stop", run.name, status=1)  # removes what is left
    bed.reuseportd("status", run.name, status=1)
    check(not (PINS / run.name).exists(), "the pins are removed")
