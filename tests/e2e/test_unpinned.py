# SPDX-License-Identifier: BSD-2-Clause
"""The pins of an attached service are deleted, while its program steers on."""
import shutil

from harness.bed import PINS
from harness.checks import cases, check
from harness.network import PORT
from harness.servers import Workers

REASON = f"port {PORT} is steered all the same, by a program of reuseportd"


@cases("service", "all")
def test_deleted_pins(bed, what):
    """Commands do not only say that there is no service, but what there is, and what to do."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2, "--service", "web")
    refused = bed.reuseportd("status", "wbe", status=1)
    check(REASON not in refused.err, f"the program is that of service web: {refused}")
    shutil.rmtree(PINS / "web" if what == "service" else PINS)
    for command in (("status",), ("status", "web"), ("drain", "0", "--service", "web"),
                    ("detach", "web"), ("connections",)):
        refused = bed.reuseportd(*command, status=1)
        for text in (REASON, "restart the port's workers one by one"):
            check(text in refused.err, f"'{text}' is missing: {refused}")
