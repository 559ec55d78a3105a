# SPDX-License-Identifier: BSD-2-Clause
"""Programs that listen by MPTCP if possible, as Go programs since Go 1.24."""
import pathlib

from harness.checks import Skip, check, equal, wait_until
from harness.network import PORT, Client
from runs import PYTHON, Run, script

# Like Go: falls back to TCP if MPTCP fails.
LISTEN = """
import socket

def listen(protocol):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if %REUSEPORT%:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("0.0.0.0", %PORT%))
    listener.listen(512)
    return listener

MPTCP = 262
"""

SERVE = PYTHON[:PYTHON.rindex("Server(")] + """
server = Server(("0.0.0.0", %PORT%), Handler, bind_and_activate=False)
server.socket = listener
server.serve_forever()
"""

FALL_BACK = LISTEN + """
try:
    listener = listen(MPTCP)
except OSError:
    listener = listen(0)
""" + SERVE

MPTCP_ONLY = LISTEN + "listener = listen(MPTCP)\n" + SERVE

ADVICE = "MPTCP sockets can't be steered; listen with plain TCP (Go: GODEBUG=multipathtcp=0)"


def program(bed, text, reuseport=False):
    if not pathlib.Path("/proc/sys/net/mptcp").exists():
        raise Skip("this kernel has no MPTCP")
    return ["python3", script(bed, "server.py", text.replace("%REUSEPORT%", str(reuseport)))]


def test_falls_back(bed):
    """The program falls back to TCP, and gets its share."""
    run = Run(bed, program(bed, FALL_BACK))
    report = bed.load("-n", 400, "-c", 4, hosts=("127.0.0.1",))
    equal(report["failed"], 0, f"failed: {report}")
    equal(sorted(report["workers"].values()), [100] * 4, "answers")
    check("MPTCP" not in run.log(), "a successful fall-back is not logged")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_does_not_fall_back(bed):
    """The log of its end says what to do."""
    run = Run(bed, program(bed, MPTCP_ONLY), "--max-restarts", 1, workers=1, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    check(f"exit status 1 before it was ready; it asked for an MPTCP socket on port {PORT} and was "
          f"refused: {ADVICE}" in run.log(), run.log())


def test_attach(bed):
    """`attach` refuses MPTCP listeners and says what to do."""
    for _ in range(2):
        bed.start(*program(bed, MPTCP_ONLY, reuseport=True), name="server",
                  env={"PATH": "/usr/bin", "REUSEPORTD_SLOT": "0"})
    wait_until(lambda: len(bed.must("ss", "-Hltn", f"sport = :{PORT}").splitlines()) == 2,
               "both listen")
    result = bed.run(bed.binary("reuseportd"), "attach", "--port", PORT, "--workers", 2)
    equal(result.code, 1, f"{result}")
    check(f"slot 0: {ADVICE}" in result.err, f"{result}")
    with Client() as client:
        client.ask()
