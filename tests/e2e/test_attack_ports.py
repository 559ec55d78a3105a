# SPDX-License-Identifier: BSD-2-Clause
"""A user has two listeners on each of thousands of ports. `attach` without a port examines all ports of
the host: in bounded time, and what it prints is bounded, too."""
import pwd

from harness.checks import cases, check
from harness.servers import Workers

PORTS = 5000


def keep_ports(bed, way):
    nobody = pwd.getpwnam("nobody")
    process = bed.start("setpriv", "--reuid", nobody.pw_uid, "--regid", nobody.pw_gid, "--clear-groups",
                        bed.binary("attack"), "keep_ports", PORTS, way, name="attack")
    process.wait_output("ready", 40)


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
