# SPDX-License-Identifier: BSD-2-Clause
"""Control characters in names and output of workers never reach the terminal of a person who asks
for them: not in texts of commands, not in the log, not in JSON or metrics."""
import json
import os
import signal
import socket
import unicodedata

from harness.checks import cases, check, equal, wait_until
from harness.network import PORT
from runs import Run, script, worker_command

# A title (OSC), colours (CSI), both also as C1 in UTF-8 and as a bare byte, bidi, not UTF-8.
EVIL = b"\x1b]0;evil\x07\x1b[31m\xc2\x9b31m\x9b31m\xe2\x80\xae\xff\x7f\r"


def expect_plain(text, where):
    """Checks that @text, bytes, is UTF-8 without control characters except ends of lines and tabs."""
    try:
        characters = text.decode()
    except UnicodeDecodeError as why:
        check(False, f"{where}: {why}: {text!r}")
    bad = [c for c in characters if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and
           c not in "\n\t"]
    check(not bad, f"{where}: {bad!r} in {text[-2000:]!r}")


def output(bed, *argv):
    """Standard output and standard error of a command, as bytes."""
    process = bed.start(bed.binary("reuseportd"), *argv)
    process.wait()
    return process.out.read_bytes(), process.err.read_bytes()


# The name of its process has control characters and an end of line.
NAMED = """
import ctypes, os, socket, sys, time
name = os.fsencode(sys.argv[1])
ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("0.0.0.0", %PORT%))
listener.listen()
print("ready", flush=True)
time.sleep(1000)
"""

COMMS = (b"\x1b[31mred", b"\xc2\x9b31m\xc2\x9dx", b"a\nweb: fine", b"\xff\xfe\x9b2J", b"\xe2\x80\xaex")


def test_process_names(bed):
    """Each command that shows the names of processes escapes them; JSON and metrics are valid."""
    program = script(bed, "named.py", NAMED)

    def start(name):
        process = bed.start("python3", program, os.fsdecode(name))
        process.wait_output("ready")
        return process
    workers = [start(name) for name in COMMS[:3]]
    for part in output(bed, "attach", "--workers", 3, "--port", PORT, "--service", "web"):
        expect_plain(part, "attach")
    bed.remember_pinned()
    foreign = [start(name) for name in COMMS[3:]]
    os.kill(workers[1].pid, signal.SIGKILL)
    for argv in (["status"], ["status", "--json"], ["list"], ["doctor"], ["doctor", "--json"],
                 ["events"], ["events", "--json"], ["connections"], ["metrics"], ["drain", "0"],
                 ["attach", "--workers", 9, "--port", PORT],
                 ["swap", 0, "--pid", foreign[0].pid]):
        out, err = output(bed, *argv)
        expect_plain(out, argv)
        expect_plain(err, argv)
        if "--json" in argv:
            json.loads(out)
    for line in output(bed, "status")[0].splitlines():
        check(not line.startswith(b"web: fine"), f"a line of its own: {line}")


FAILING = """
import os, sys
os.write(2, bytes.fromhex(sys.argv[1]) + b"\\nweb: all is fine\\n")
sys.exit(1)
"""


@cases("log", "journal")
def test_last_lines(bed, kind):
    """The last lines of a new worker that fails are quoted in the log and in the answer of `reload`,
    escaped, and they can't look like lines of ours. What the worker prints itself is passed on
    unchanged."""
    run = Run(bed, worker_command(bed), *(["--log-prefix"] if kind == "log" else []), workers=1)
    failing = script(bed, "failing.py", FAILING)
    process = bed.start(bed.binary("reuseportd"), "reload", run.name, "--", "python3", failing,
                        EVIL.hex())
    equal(process.wait(), 1, "exit status of reload")
    for text, where in ((process.err.read_bytes(), "reload"), (process.out.read_bytes(), "reload")):
        expect_plain(text, where)
    check(b"\\x1b]0;evil" in process.err.read_bytes(), f"quoted: {process.err.read_bytes()}")
    check(b"\nweb: all" not in process.err.read_bytes(), f"quoted: {process.err.read_bytes()}")
    log = run.process.err.read_bytes()
    at = log.index(b"reload failed")
    expect_plain(log[at:].split(b"keep serving")[0], "the log")
    wait_until(lambda: EVIL in run.process.out.read_bytes() + run.process.err.read_bytes(),
               "it is passed on unchanged")
    equal(run.stop(), 0, "exit status of the supervisor")


ANSWERING = """
import os, socket, sys
listener = socket.socket()
listener.bind(("0.0.0.0", %PORT%))
listener.listen()
answer = bytes.fromhex(sys.argv[1])
while True:
    client = listener.accept()[0]
    client.recv(1000)
    client.sendall(b"HTTP/1.1 503 " + answer + b"\\r\\n\\r\\n")
    client.close()
"""


def test_probe_answer(bed):
    """What a worker answers to a probe is shown escaped."""
    run = Run(bed, ["python3", script(bed, "answering.py", ANSWERING), EVIL.hex()], "--ready",
              "http:/", "--ready-timeout", "1s", "--max-restarts", 1, workers=1, wait=False)
    equal(run.process.wait(), 1, "exit status of the supervisor")
    expect_plain(run.process.err.read_bytes(), "the log")


def test_file_names(bed):
    """Names of files, and what is in them, are escaped in the problems of a configuration."""
    name = "evil\x1b[31m.ini"
    path = bed.dir / name
    path.write_bytes(b"[web]\nworkers = 1\ncommand = sleep 9\nf\x1b[31moo = 1\ncwd = /x\xc2\x9b31m\n")
    for argv in (["check", path], ["check", "--json", path], ["run", path],
                 ["run", "--only", "\x1b[2J", path], ["check", bed.dir / "\x1b]0;x\x07"]):
        for part in output(bed, *argv):
            expect_plain(part, argv[0])


def test_answer_of_a_false_supervisor(bed):
    """A supervisor's lines and its error are escaped by the command, too."""
    run = Run(bed, worker_command(bed), workers=1)
    path = f"/run/reuseportd/{run.name}/control"
    os.rename(path, f"{path}.old")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        process = bed.start(bed.binary("reuseportd"), "restart", run.name, "0")
        client, _ = listener.accept()
        with client:
            client.recv(1000)
            client.sendall(b'{"line": "a\\u001b[31m\\u009b31m"}\n'
                           b'{"status": 1, "error": "\\u001b]0;x\\u0007\\nweb: fine \xff"}\n')
            equal(process.wait(), 1, "exit status")
    for part in (process.out.read_bytes(), process.err.read_bytes()):
        expect_plain(part, "restart")
    check(b"a\\x1b[31m" in process.out.read_bytes(), f"{process.out.read_bytes()}")
    os.rename(f"{path}.old", path)
    equal(run.stop(), 0, "exit status of the supervisor")
