# SPDX-License-Identifier: BSD-2-Clause
"""Workers that run as another user."""
from bed import PORT, Client, check, equal
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
        check(int(client.ask()) in run.pids(), "who answers")
    equal(run.stop(), 0, "exit status of the supervisor")
