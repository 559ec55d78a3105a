# SPDX-License-Identifier: BSD-2-Clause
"""What workers print is passed on by the log process, whatever a worker does to its standard
output, and whatever becomes of the target, the supervisor, and the log process itself."""
import contextlib
import os
import pathlib
import re
import signal
import stat
import time

from harness.checks import cases, check, equal, note, wait_until
from harness.network import Client
from runs import PYTHON, Run, script, shares, worker_command


def with_attack(bed, name):
    """The command of a worker that serves, with an attack beside it, as nobody."""
    return ["sh", "-c", f"{bed.binary('attack')} {name} & exec "
            + " ".join(map(str, worker_command(bed)))]


# Prints numbered lines until it is stopped, each with the time of the line before. An error ends it.
PRINTER = """
import http.server, os, sys, threading, time

def run():
    n, before = 0, 0.0
    try:
        while not os.path.exists("%DIR%/stop"):
            os.write(1, f"line {n} after {before}\\n".encode())
            n, before = n + 1, time.monotonic()
            time.sleep(%PAUSE%)
        os.write(1, b"last %d\\n" % n)
    except BaseException as why:
        with open("%DIR%/failed", "a") as file:
            print(why, file=file)
        os._exit(1)

threading.Thread(target=run, daemon=True).start()
http.server.HTTPServer(("0.0.0.0", %PORT%), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def printer(bed, pause):
    text = PRINTER.replace("%DIR%", str(bed.dir)).replace("%PAUSE%", str(pause))
    return ["python3", script(bed, "printer.py", text)]


def numbers(text):
    """The numbers of the printer's whole lines, in order."""
    return [int(n) for n in re.findall(r"(?m)^line (\d+) after .*\n", text)]


def wait_for_last(path):
    """Waits for the printer's last line. Returns the number of lines before it."""
    return int(wait_until(lambda: re.search(r"(?m)^last (\d+)\n", path.read_text()),
                          "the last line comes")[1])


def run_size():
    """Bytes of memory in /run."""
    usage = os.statvfs("/run")
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


def memory(pid):
    """The resident memory of a process that isn't shared, in bytes."""
    fields = pathlib.Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGESIZE")


def kill_log(bed, run):
    """Kills the log process. Returns a time when it no longer reads."""
    pid = bed.log_process(run.name)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}/fd/0"), "the log process has ended")
    return time.monotonic()


def test_long_output(bed):
    """A worker sets the length of its standard output to 2^62."""
    run = Run(bed, with_attack(bed, "long_output"), "--user", "nobody", workers=2)
    with Client() as client:
        client.ask()
    run.reload()
    out = run.process.out.read_bytes()
    check(len(out) < 10000 and b"\0" not in out, f"{len(out)} bytes of output")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_flood(bed):
    """8 workers print as much as they can, and nothing reads: neither /run nor the log process
    grows, no worker is frozen, and requests are answered."""
    fifo = bed.dir / "out.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    run = Run(bed, with_attack(bed, "flood_of_lines"), "--user", "nobody", "--kill-timeout", 1,
              workers=8, under=["sh", "-c", f'exec "$@" >{fifo}', "-"])
    run.process.wait_output("the oldest lines are dropped")
    before = run_size()
    report = bed.load("-n", 300, "-c", 4)
    equal(report["failed"], 0, "failed requests")
    equal({(path / "cgroup.freeze").read_text() for path in bed.cgroups(run.name)}, {"0\n"},
          "cgroup.freeze")
    used = memory(bed.log_process(run.name))
    note(f"memory of the log process: {used >> 10} kB")
    check(used < 64 << 20, f"memory of the log process: {used}")  # with a sanitizer; else 8 MB
    check(run_size() < before + (1 << 20), f"/run has grown from {before} to {run_size()} bytes")
    equal(run.log().count("the oldest lines are dropped"), 1, "reports of it")
    equal(run.stop(), 0, "exit status of the supervisor")
    os.close(reader)


# Prints 8 kB for each request, by the thread that serves.
LOUD = PYTHON.replace("class Server(socketserver.ThreadingMixIn, ", "class Server(").replace(
    "    def do_GET(self):\n", "    def do_GET(self):\n        os.write(1, b'x' * 8191 + b'\\n')\n")


@cases("supervisor", "log process", "both")
def test_not_frozen(bed, killed):
    """Nothing reads what workers print, and they print much more than a pipe holds: none of them is
    frozen with its turns, though the supervisor is killed, or the log process. After both, the next
    supervisor lets them go on."""
    fifo = bed.dir / "out.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    run = Run(bed, ["python3", script(bed, "loud.py", LOUD)],
              under=["sh", "-c", f'exec "$@" >{fifo}', "-"])
    pids = run.pids()
    if killed != "log process":
        run.kill_supervisor()
    if killed != "supervisor":
        kill_log(bed, run)
    if killed == "log process":
        run.process.wait_output("the log process has ended: it is started again")
    if killed == "both":
        run.start()
    report = bed.load("-n", 200, "-c", 8)
    equal((report["failed"], shares(report)), (0, [50] * 4), "failed requests, requests of each worker")
    equal(run.pids(), pids, "pids")
    bed.start("sh", "-c", f"exec cat {fifo} >/dev/null", name="cat")  # or `stop` waits for seconds
    run.command_line("stop")
    os.close(reader)


def test_odd_output(bed):
    """A worker sets flags and sizes of its pipes, and prints NULs and endless lines: the lines of
    the other worker come."""
    # The worker ignores SIGIO, which the flags of its pipes would make the kernel send it.
    command = (f"trap '' IO; if [ $REUSEPORTD_SLOT = 0 ]; then {bed.binary('attack')} odd_output & fi; "
               "(while :; do echo other; sleep 0.05; done) & exec "
               + " ".join(map(str, worker_command(bed))))
    run = Run(bed, ["sh", "-c", command], "--user", "nobody", "--kill-timeout", 1, "--out-file",
              bed.dir / "out", workers=2)

    def lines():
        return (bed.dir / "out-1").read_text().count("other\n")
    before = lines()
    wait_until(lambda: lines() > before + 5, "more lines come")
    equal(bed.load("-n", 50)["failed"], 0, "failed requests")
    equal(run.stop(), 0, "exit status of the supervisor")


NODE_LOGGING = """
const http = require('http');
http.createServer((request, response) => {
    console.log('a request ' + 'x'.repeat(4000));
    response.setHeader('X-Worker', process.pid);
    response.end(process.pid + '\\n');
}).listen(%PORT%);
"""


def test_full_disk(bed):
    """The disk of the log files is full: Node answers all requests, and the loss is reported once
    when it begins and once when it ends."""
    disk = bed.dir / "disk"
    disk.mkdir()
    bed.must("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
    run = Run(bed, [bed.program("node"), script(bed, "app.js", NODE_LOGGING)], "--out-file",
              disk / "out", "--merge-logs", workers=2)
    pids = run.pids()
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    report = bed.load("-n", 1800, "-c", 8)
    equal(report["failed"], 0, f"failed requests of {report}")
    check("No space left on device; lines are kept" in run.log(), run.log())
    io = pathlib.Path(f"/proc/{bed.log_process(run.name)}/io")
    wait_until(lambda: int(io.read_text().split()[1]) > 6 << 20, "it has read more than it keeps")
    (disk / "filler").unlink()

    def is_written():
        written = "out is written again;" in run.log()
        # Only lines that fit are written; makes room for others.
        os.truncate(disk / "out", 0)
        return written
    wait_until(is_written, "the file is written again", interval=0.1)
    equal(bed.load("-n", 10)["failed"], 0, "failed requests")
    wait_until(lambda: "a request" in (disk / "out").read_text(), "new lines are written")
    equal((run.log().count("No space left"), run.log().count("is written again")), (1, 1), run.log())
    lost = int(run.log().split("is written again; ")[1].split()[0])
    check(lost > 0, run.log())
    equal(run.pids(), pids, "pids")
    equal(run.stop(), 0, "exit status of the supervisor")
    bed.must("umount", disk)


@cases("supervisor", "log process", "both")
def test_kill(bed, what):
    """The supervisor, the log process or both are killed: the worker goes on, and no line is lost,
    except those in the memory of the log process."""
    run = Run(bed, printer(bed, 0.001), workers=1)
    pids = run.pids()
    first = run.process

    def wait_for_lines(process):
        n = len(numbers(process.out.read_text()))
        wait_until(lambda: len(numbers(process.out.read_text())) > n + 50, "more lines come")
    wait_for_lines(first)
    if what != "log process":
        run.kill_supervisor()
    if what != "supervisor":
        gone = kill_log(bed, run)
    if what == "supervisor":
        wait_for_lines(first)
    if what == "log process":
        first.wait_output("the log process has ended: it is started again")
        wait_for_lines(first)
    else:
        run.start()
        wait_for_lines(run.process)
    (bed.dir / "stop").touch()
    n = wait_for_last(run.process.out)
    text = first.out.read_text() + (run.process.out.read_text() if run.process != first else "")
    got = numbers(text)
    equal(got, sorted(set(got)), "lines, each once and in order")
    lost = sorted(set(range(n)) - set(got))
    if lost and what != "supervisor":
        after = float(re.search(rf"(?m)^line {lost[-1] + 1} after (.*)", text)[1])
        check(after < gone and lost[-1] - lost[0] < len(lost),
              f"lost of {n}, up to {after} s, though the log process ended at {gone} s: {lost}")
    else:
        equal(lost, [], "lost lines")
    check(not (bed.dir / "failed").exists(), "the worker could not print")
    equal(run.pids(), pids, "pids")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("supervised", "alone")
def test_reopen(bed, how):
    """Log files are renamed and opened again while lines are written: no line is lost."""
    folder = bed.dir / "logs"
    folder.mkdir()
    run = Run(bed, printer(bed, 0.0001), "--out-file", folder / "out.log", "--merge-logs",
              workers=1)
    if how == "alone":
        run.kill_supervisor()
    log = folder / "out.log"
    for i in range(10):
        wait_until(lambda: log.exists() and log.stat().st_size > 1000, "lines are written")
        log.rename(folder / f"old.{i}")
        run.command_line("reopen-logs")
        check(log.exists(), "the file exists when the command has returned")
        if i % 2:
            log.rename(folder / f"old.{i}b")
            os.kill(bed.log_process(run.name), signal.SIGHUP)
            wait_until(log.exists, "the file exists after the signal")
    # The file can't be opened: the old one is still written.
    log.rename(folder / "kept")
    log.mkdir()
    failed = run.command_line("reopen-logs", status=1)
    check("can't write to" in failed.err and "out.log" in failed.err, failed.err)
    size = (folder / "kept").stat().st_size
    wait_until(lambda: (folder / "kept").stat().st_size > size, "lines are written")
    log.rmdir()
    equal(run.command_line("reopen-logs", "--json").json()["status"], 0, "status")
    (bed.dir / "stop").touch()
    n = wait_for_last(log)
    text = "".join(path.read_text() for path in folder.iterdir())
    equal(sorted(numbers(text)), list(range(n)), "lines")
    run.command_line("stop")


def test_no_log_process(bed):
    """reopen-logs reports that there is neither a supervisor nor a log process; the FIFOs belong to
    root, and the next supervisor gets what is in them."""
    run = Run(bed, printer(bed, 0.01), "--user", "nobody", workers=1)
    run.kill_supervisor()
    kill_log(bed, run)
    failed = run.command_line("reopen-logs", status=1)
    check("log process" in failed.err, failed.err)
    for path in pathlib.Path(f"/run/reuseportd/{run.name}/out").iterdir():
        check(stat.S_ISFIFO(path.stat().st_mode) and path.stat().st_uid == 0, f"{path}")
    run.command_line("stop")
    check(not pathlib.Path("/run/reuseportd").exists(), "/run/reuseportd is gone")


def test_no_reader_at_the_end(bed):
    """Nothing reads standard output at the end: `stop` waits for some seconds only, and a second
    signal ends at once."""
    fifo = bed.dir / "out.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    for by_signal in (False, True):
        run = Run(bed, ["sh", "-c", "yes | head -c 1000000; exec "
                        + " ".join(map(str, worker_command(bed)))], workers=1,
                  under=["sh", "-c", f'exec "$@" >{fifo}', "-"])
        if by_signal:
            run.process.kill(signal.SIGTERM)
            wait_until(lambda run=run: not list(bed.cgroups(run.name)), "the worker is gone")
            check(run.process.alive(), "the supervisor waits for the log process")
            run.process.kill(signal.SIGTERM)
        else:
            run.command_line("stop")
        equal(run.process.wait(), 0, "exit status of the supervisor")
        check(by_signal or "lines were dropped" in run.log(), run.log())
        check(not pathlib.Path("/run/reuseportd").exists(), "/run/reuseportd is gone")
    os.close(reader)


def test_by_another_user(bed):
    """Other users can't reach the log process, or a worker's FIFOs by their path."""
    run = Run(bed, worker_command(bed), "--user", "nobody", workers=1)
    folder = pathlib.Path(f"/run/reuseportd/{run.name}")
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect('{folder}/log')"
    for user in ("nobody", "daemon"):
        as_user = ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups"]
        refused = bed.run(*as_user, "/usr/bin/python3", "-c", connect)
        check("PermissionError" in refused.err, f"{refused}")
        check(bed.run(*as_user, "ls", folder / "out").code != 0, "the folder is readable")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_probes(bed):
    """The command of a probe, which belongs to the workers' user, can't write to the supervisor's
    output, cut the file that it is, or keep it busy."""
    os.chmod(bed.dir, 0o777)
    streams = bed.dir / "streams"
    command = f"echo probed; echo probed >&2; exec 3>&1; readlink /proc/self/fd/[023] > {streams}"
    run = Run(bed, worker_command(bed), "--user", "nobody", "--ready", f"exec:{command}", workers=1)
    equal(streams.read_text().split(), ["/dev/null"] * 3, "streams of the command")
    check("probed" not in run.log(), run.log())
    equal(run.stop(), 0, "exit status of the supervisor")
