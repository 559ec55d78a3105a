# SPDX-License-Identifier: BSD-2-Clause
"""Programs that listen by MPTCP if possible, as Go programs since Go 1.24."""
import pathlib
import signal

from harness.bed import PINS
from harness.checks import Skip, cases, check, equal, wait_until
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


OUTSIDER = LISTEN + """
import os, pwd, signal
os.setuid(pwd.getpwnam("nobody").pw_uid)
sets = [signal.SIGUSR1]
signal.pthread_sigmask(signal.SIG_BLOCK, sets)
listener = listen(MPTCP)
print("ready", flush=True)
signal.sigwait(sets)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
print("off", flush=True)
signal.sigwait(sets)
"""


@cases("run", "attach")
def test_outsider(bed, command):
    """A process of the workers' user joins the group by an MPTCP listener: it gets no connection, also
    after it has turned SO_REUSEPORT off."""
    outside = program(bed, OUTSIDER, reuseport=True)
    serve = [bed.binary("attack"), "steering", "cbpf", "usr1", PORT]
    if command == "run":
        run = Run(bed, serve, "--listen", f"0.0.0.0:{PORT}", "--user", "nobody")
    else:
        for _ in range(4):
            bed.start("setpriv", "--reuid", "nobody", "--clear-groups", *serve,
                      name="server").wait_output("ready")
        bed.reuseportd("attach", "--workers", 4, "--service", "web")
    outsider = bed.start(*outside, name="outsider")
    outsider.wait_output("ready")
    outsider.kill(signal.SIGUSR1)
    outsider.wait_output("off")
    if command == "run":
        run.process.wait_output("it is on again")
    else:
        done = bed.reuseportd("attach", "--workers", 4, "--service", "web")
        check("it is on again" in done.err, f"{done}")
    report = bed.load("-n", 400, "-c", 4, hosts=("127.0.0.1",))
    equal((report["failed"], sorted(report["workers"].values())), (0, [100] * 4), "connections")
    if command == "run":
        run.reload()
        equal(run.stop(), 0, "exit status of the supervisor")
    else:
        bed.reuseportd("detach")
    check(not PINS.exists(), "pins are left")
