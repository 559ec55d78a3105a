# SPDX-License-Identifier: BSD-2-Clause
"""A user has nothing to do with the service, and thousands of descriptors open. Commands search the
processes that have a listener open, and do not look at these descriptors."""
import os

from harness.checks import cases, check, equal
from harness.network import PORT
from test_attack_flood import attack_as

N = 3000

# How it waits can't be seen, so commands search for the process of its listener.
POLLS = f"""
import select, socket
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("0.0.0.0", {PORT}))
listener.listen()
waits = select.poll()
waits.register(listener)
print("ready", flush=True)
while True:
    waits.poll()
"""


def start(bed):
    server = bed.start("python3", "-c", POLLS, name="server")
    server.wait_output("ready")
    return server


def count_looks(bed, *command):
    """Executes a command. Returns a function: how many descriptors of a process it has looked at."""
    trace = bed.dir / "trace"
    bed.must(bed.program("strace"), "-f", "-y", "-e", "trace=readlinkat", "-e", "signal=none",
             "-o", trace, bed.binary("reuseportd"), *command)
    bed.remember_pinned()
    calls = trace.read_text().splitlines()
    return lambda pid: sum(f"</proc/{pid}/fd>" in call for call in calls)


@cases("attach", "status", "drain", "swap")
def test_strangers(bed, command):
    """Each command searches, and only the processes that have a listener open."""
    os.chmod(bed.dir, 0o755)
    stranger = attack_as(bed, "nobody", "many_descriptors", N)
    stranger.wait_output("ready")
    workers = [start(bed) for _ in range(2)]
    attach = ("attach", "--workers", 2, "--service", "web")
    if command != "attach":
        bed.reuseportd(*attach)
        workers.append(start(bed))
    looks = count_looks(bed, *{"attach": attach, "status": ("status", "web"), "drain": ("drain", 1),
                               "swap": ("swap", 1, "--pid", workers[-1].pid)}[command])
    check(looks(workers[0].pid) > 0, "the search is not seen")
    equal(looks(stranger.pid), 0, "descriptors of the stranger that were looked at")
