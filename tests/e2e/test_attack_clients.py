# SPDX-License-Identifier: BSD-2-Clause
"""Remote clients connect in thousands and send what nobody has asked for."""
import contextlib
import errno
import os
import pathlib
import socket

from harness.checks import check, equal, note, wait_until
from harness.network import PORT, Client
from harness.servers import listening_inodes
from runs import Run, worker_command

CLIENTS = 6000  # more than a listener's queue has room for (net.core.somaxconn)


def connect(stack):
    """A connection that may not be complete yet."""
    client = stack.enter_context(socket.socket())
    client.setblocking(False)
    equal(client.connect_ex(("127.0.0.1", PORT)), errno.EINPROGRESS, "connect")
    return client


def resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_parked(bed):
    """While connections are parked, clients send what they like: the queue is limited, nothing of
    it is in the supervisor's memory, and the first worker gets them all."""
    most = int(pathlib.Path("/proc/sys/net/core/somaxconn").read_text()) + 1
    run = Run(bed, ["sh", "-c", "while ! [ -e gate ]; do sleep 0.05; done; exec "
                    + " ".join(map(str, worker_command(bed)))], "--listen", f"0.0.0.0:{PORT}",
              "--ready-timeout", "5m", "--park-timeout", "5m", workers=1, wait=False)
    wait_until(lambda: listening_inodes(bed), "the port is open")
    before = resident(run.process.pid)
    with contextlib.ExitStack() as stack:
        clients = [connect(stack) for _ in range(CLIENTS)]
        wait_until(lambda: run.status()["parked"] == min(most, CLIENTS), "the queue is full")
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(bytes(1 << 14))
        equal(run.status()["parked"], min(most, CLIENTS), "connections that wait")
        grown = resident(run.process.pid) - before
        note(f"memory of the supervisor: {grown >> 10} kB more")
        check(grown < 4 << 20, f"memory of the supervisor: {grown} bytes more")
        (bed.dir / "gate").touch()
        run.process.wait_output("that waited were handed over")
        bed.remember_pinned()
        with Client(seconds=30) as client:
            equal(int(client.ask()), run.pids()[0], "the worker that answers")
    equal(run.stop(), 0, "exit status of the supervisor")
