# SPDX-License-Identifier: BSD-2-Clause
"""Clients of the metrics that mean harm: other clients still get the metrics, and supervision is
not affected."""
import concurrent.futures
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import threading
import time
import urllib.request

from harness.checks import cases, check, equal, note, wait_until
from harness.process import freeze
from runs import Run, held, worker_command

HOST, PORT = "127.0.0.1", 9464
LISTEN = f"{HOST}:{PORT}"


def start_run(bed, *options, **more):
    return Run(bed, worker_command(bed), "--metrics", LISTEN, *options, workers=2, **more)


def exporter_pid(parent):
    """The child that serves the metrics, or None."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_child = f"\nPPid:\t{parent}\n" in (path / "status").read_text()
            if is_child and b"\0metrics\0--listen\0" in (path / "cmdline").read_bytes():
                return int(path.name)
    return None


def scrape():
    """The status of a scrape."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        check("reuseportd_up" in answer.read().decode(), "the metrics")
        return answer.status


def expect_scrape():
    """Scrapes. An attacker of the same address, with thousands of connections a second, may end a
    scrape before it has sent its request."""
    def succeeds():
        with contextlib.suppress(ConnectionError):
            return scrape() == 200
    wait_until(succeeds, "a scrape is answered")


def replace_worker(run):
    """Kills a worker. Returns how long it takes until another one has its slot."""
    pid = run.pids()[0]
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in run.pids() and run.states() == ["active", "active"],
               "the worker is replaced")
    return time.monotonic() - begin


def attack(bed, name, *args):
    return bed.start("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups",
                     bed.binary("attack"), name, *args, name=name)


def open_connections():
    """Connections of clients to the exporter."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{PORT:04X}") and line.split()[3] == "01"
               for line in lines)


@cases("http_idle", "http_slow_headers", "http_many_addresses", "http_slow_reader")
def test_connections(bed, name):
    """Clients that open as many connections as they can, and never send a request or read an
    answer. Those of the same address don't keep a scrape from being answered either."""
    run = start_run(bed)
    attacker = attack(bed, name, PORT)
    wait_until(lambda: open_connections() >= 50, "the attacker has connections")
    for _ in range(10):
        expect_scrape()
    check(attacker.alive(), f"the attack ended:\n{attacker.output()}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_timeout(bed):
    """A connection without a request ends by itself."""
    run = start_run(bed)
    clients = [socket.create_connection((HOST, PORT)) for _ in range(2)]
    clients[0].sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    for client in clients:
        client.settimeout(30)
        equal(client.recv(1), b"", "the end of the connection")
        client.close()
    equal(run.stop(), 0, "exit status of the supervisor")


def ask(request):
    """Sends @request. Returns the status of the answer, or None if there was none."""
    with socket.create_connection((HOST, PORT)) as client:
        client.settimeout(30)
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := client.recv(65536):
                answer += more
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    return int(found[1]) if found else None


def memory(pid):
    """Resident memory in kB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def test_requests(bed):
    """Requests that are big or broken are refused, and take no memory."""
    run = start_run(bed)
    expect_scrape()
    pid = exporter_pid(run.process.pid)
    before = memory(pid)
    body = b"x" * (4 << 20)
    head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
    for request, statuses in (
            (head + b"X: " + body + b"\r\n\r\n", (431, 413, 400, None)),
            (head + b"a: b\r\n" * 100000 + b"\r\n", (431, 413, 400, None)),
            (b"GET /" + body + b" HTTP/1.1\r\n\r\n", (414, 431, 400, None)),
            (head + b"Content-Length: %d\r\n\r\n" % len(body) + body, (200, 400, 413, None)),
            (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n" + body,
             (405, 400, 413, None)),
            (head + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffffff\r\n" + body,
             (200, 400, None)),
            (head + b"\r\n" + head + b"\r\n", (200,)),
            (b"\0" * 100 + b"\r\n\r\n", (400, None)),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,))):
        check(ask(request) in statuses, f"the answer to {request[:80]}")
    expect_scrape()
    equal(exporter_pid(run.process.pid), pid, "pid of the exporter")
    check(memory(pid) < before + 4096, f"{memory(pid)} kB, {before} before")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_locked_service(bed):
    """A service whose lock is held is reported as unreadable, and does not keep scrapes waiting."""
    run = start_run(bed)
    expect_scrape()
    with held(run.name):
        def is_down():
            with urllib.request.urlopen(f"http://{LISTEN}/metrics", timeout=30) as answer:
                return f'reuseportd_up{{service="{run.name}"}} 0' in answer.read().decode()
        wait_until(is_down, "the service is unreadable")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_endless_scrapes(bed):
    """Four clients that scrape without a pause don't delay the replacement of a worker: they reach
    another process, and that takes the service's lock once a second."""
    run = start_run(bed, "--min-uptime", "0")
    quiet = min(replace_worker(run) for _ in range(3))
    over = threading.Event()

    def scrape_on():
        n = 0
        while not over.is_set():
            equal(scrape(), 200, "status of a scrape")
            n += 1
        return n
    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = [pool.submit(scrape_on) for _ in range(4)]
        try:
            loud = min(replace_worker(run) for _ in range(3))
        finally:
            over.set()
        note(f"replaced in {quiet:.2f} s, during {sum(c.result() for c in clients)} scrapes in "
             f"{loud:.2f} s")
    check(loud < 2 * quiet + 5, f"{quiet:.2f} s, {loud:.2f} s beside scrapes")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_process(bed):
    """The exporter is a process of its own without a further thread, with few rights. It is started
    again, and ends with its supervisor, also by SIGKILL and a re-exec."""
    run = start_run(bed)
    pid = wait_until(lambda: exporter_pid(run.process.pid), "the exporter")
    expect_scrape()
    for process in (pid, run.process.pid):
        equal(len(list(pathlib.Path(f"/proc/{process}/task").iterdir())), 1, "threads")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    for name in ("CapEff", "CapPrm", "CapBnd"):  # CAP_CHOWN to CAP_NET_RAW, CAP_SETPCAP ...
        equal(int(re.search(rf"{name}:\s+(\w+)", status)[1], 16) & 0x3ffb, 0, name)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: exporter_pid(run.process.pid) not in (None, pid), "it is started again")
    run.process.wait_output(f"serves the metrics (pid {pid}) has ended (signal SIGKILL)")
    expect_scrape()
    run.process.popen.send_signal(signal.SIGUSR2)
    run.process.wait_output("re-exec of")
    wait_until(lambda: run.log().count("is taken over") == 2, "the workers are taken over")
    expect_scrape()
    run.kill_supervisor()
    run.start()
    expect_scrape()
    equal(run.stop(), 0, "exit status of the supervisor")
    equal(ask_refused(), True, "the port is closed")


def ask_refused():
    try:
        socket.create_connection((HOST, PORT)).close()
        return False
    except ConnectionRefusedError:
        return True


def test_address_in_use(bed):
    """If the address is taken, nothing is started."""
    with socket.create_server((HOST, PORT)):
        run = start_run(bed, wait=False)
        equal(run.process.wait(), 1, "exit status")
        check(f"can't serve the metrics on {LISTEN}: Address already in use" in run.log(),
              run.log())
    equal(bed.left_files(), [], "files left")


@contextlib.contextmanager
def stopped(run):
    """The exporter is stopped, as if it were in a long scrape. Returns its pid."""
    pid = wait_until(lambda: exporter_pid(run.process.pid), "the exporter")
    freeze(pid)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_reexec_while_it_hangs(bed):
    """A re-exec does not wait for an exporter that hangs."""
    run = start_run(bed)
    with stopped(run) as pid:
        run.process.kill(signal.SIGUSR2)
        wait_until(lambda: run.log().count("is taken over") == 2, "the workers are taken over")
        wait_until(lambda: exporter_pid(run.process.pid) not in (None, pid), "a new exporter")
    expect_scrape()
    check("can't serve the metrics" not in run.log(), run.log())
    equal(run.stop(), 0, "exit status of the supervisor")


def test_take_over_while_it_hangs(bed):
    """The exporter of a killed supervisor hangs and keeps the port: the next supervisor supervises,
    says so once, and serves the metrics as soon as the port is free."""
    run = start_run(bed)
    with stopped(run):
        run.kill_supervisor()
        run.start()
        run.process.wait_output(f"can't serve the metrics on {LISTEN}: Address already in use")
        until = time.monotonic() + 1.5  # it has tried again by then
        while time.monotonic() < until:
            replace_worker(run)
        equal(run.log().count("can't serve the metrics"), 1, "lines")
    wait_until(lambda: exporter_pid(run.process.pid), "a new exporter")
    expect_scrape()
    equal(run.stop(), 0, "exit status of the supervisor")


def test_failed_reexec(bed):
    """The executable is gone when the re-exec begins: the metrics are served again."""
    path = bed.dir / "reuseportd"
    shutil.copy(bed.binary("reuseportd"), path)
    run = start_run(bed, under=["sh", "-c", f'shift; exec {path} "$@"', "-"])
    pid = wait_until(lambda: exporter_pid(run.process.pid), "the exporter")
    path.unlink()
    path.write_text(f'#!/bin/sh\nrm {path}\nexec {bed.binary("reuseportd")} "$@"\n')
    path.chmod(0o755)
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("this process goes on")
    wait_until(lambda: exporter_pid(run.process.pid) not in (None, pid), "the exporter")
    expect_scrape()
    equal(run.stop(), 0, "exit status of the supervisor")
