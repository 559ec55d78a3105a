# SPDX-License-Identifier: BSD-2-Clause
"""How workers of `run` come into their slots, stay there while others fail, and leave them."""
import socket

from bed import NEAR, PORT, check, entered_netns, equal, wait_until
from runs import Run, worker_command

GATED = ("--ready", "exec:test -e gate", "--listen", f"0.0.0.0:{PORT}")


def handshakes(bed):
    """How many are under way at the service's port."""
    return len(bed.must("ss", "-Htn", "state", "syn-recv", f"sport = :{PORT}").splitlines())


def test_late_handshake(bed):
    """The handshake begins while connections are parked, and ends when the first worker has come:
    the client is answered, though no other connection follows."""
    bed.link(delay_us=1000000)
    run = Run(bed, worker_command(bed), *GATED, workers=1, wait=False)
    wait_until(lambda: bed.run(bed.binary("reuseportd"), "status", run.name).code == 0, "pins")
    with entered_netns("far"):
        client = socket.socket()
    with client:
        client.setblocking(False)
        client.connect_ex((NEAR[0], PORT))
        wait_until(lambda: handshakes(bed) == 1, "the SYN is there")
        (bed.dir / "gate").touch()
        run.process.wait_output("started: 1 workers")
        equal(handshakes(bed), 1, "handshakes that have not ended when the worker is there")
        client.settimeout(20)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        check(client.recv(4096).startswith(b"HTTP/1."), "an answer")
    bed.remember_pinned()
    equal(run.stop(), 0, "exit status of the supervisor")
