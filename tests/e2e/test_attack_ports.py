# SPDX-License-Identifier: BSD-2-Clause
"""A user has two listeners on each of thousands of ports. `attach` without a port examines all ports of
the host: in bounded time, and what it prints is bounded, too."""
import contextlib
import pwd
import socket

from harness.checks import cases, check
from harness.network import PORT
from harness.servers import Workers

PORTS = 5000
SINGLE = 200  # more than half of the listeners that `attach` examines one by one


def keep_ports(bed, way):
    nobody = pwd.getpwnam("nobody")
    process = bed.start("setpriv", "--reuid", nobody.pw_uid, "--regid", nobody.pw_gid, "--clear-groups",
                        bed.binary("attack"), "keep_ports", PORTS, way, name="attack")
    process.wait_output("ready", 60)


@cases("groups", "addresses")
def test_attach(bed, way):
    """The workers are found if their number is unique. If not, the user is asked for the port."""
    keep_ports(bed, way)
    Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4, "--service", "web", deadline=60)
    bed.reuseportd("detach", "web")
    number = 2 if way == "groups" else 1
    refused = bed.reuseportd("attach", "--workers", number, status=1, deadline=60)
    if way == "groups":
        check(f"{PORTS} ports fit; choose one with --port" in refused.err
              and len(refused.err.splitlines()) < 40, f"{refused}")
    else:
        check("too many listeners without others on their address" in refused.err
              and "--port" in refused.err, f"{refused}")


def listen(stack, port, reuseport):
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
    listener.bind(("127.0.0.1", port))
    listener.listen()


def test_list(bed):
    """The ports that fit come after many single listeners. They are listed."""
    with contextlib.ExitStack() as stack:
        for i in range(SINGLE):
            listen(stack, PORT + i, False)
        for i in range(2):
            listen(stack, PORT + SINGLE + i, True)
        refused = bed.reuseportd("attach", "--workers", 1, status=1, deadline=60)
    check("2 ports fit" in refused.err, f"{refused}")
    for i in range(2):
        check(f"127.0.0.1:{PORT + SINGLE + i} " in refused.err, f"port {i} is missing: {refused}")
