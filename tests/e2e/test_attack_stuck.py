# SPDX-License-Identifier: BSD-2-Clause
"""A worker holds a lock of the kernel without end: whoever needs that lock waits, and no signal
interrupts it. Another service of the same supervisor goes on as if nothing had happened."""
from harness.checks import cases

from test_attack_flood import Supervisor, fuse


@cases("listener", "connection")
def test_stuck(bed, kind):
    device, folder = fuse(bed)
    s = Supervisor(bed, f"{bed.binary('attack')} stuck_{kind} {device} {folder} 8090",
                   "ready-timeout = 2s", "kill-timeout = 1s")
    s.process.wait_output("stuck")
    for _ in range(2):
        s.check_quiet()
    s.stop()


def test_drain(bed):
    """Without counting, the supervisor asks the kernel for the connections of the old worker."""
    device, folder = fuse(bed)
    s = Supervisor(bed, f"{bed.binary('attack')} stuck_connection {device} {folder} 8090",
                   "no-count", "drain-timeout = 3s", "kill-timeout = 1s")
    s.process.wait_output("stuck")
    bed.reuseportd("restart", "noisy", 0)
    s.process.wait_output("still has 1 connections")
    s.check_quiet()
    s.stop()
