# SPDX-License-Identifier: BSD-2-Clause
"""The HTTP server: each path has what the command of the same subject prints, an answer is kept for
a second, and only clients that may do so read it."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import time

from deploys import Deploys
from harness.checks import SLOW, Failure, cases, check, equal, timeless, wait_until
from harness.network import PORT
from harness.servers import Worker, Workers
from runs import SERVICE as RUN, held, worker_command

SERVICE = f"worker-{PORT}"
LISTEN = "127.0.0.1:9465"
API = "/api/v1/services"
TOKEN = "0123456789abcdef-token"

HEADERS = {
    "Content-Security-Policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Connection": "close"}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        equal(self.headers["Content-Type"], "application/json", "type of the answer")
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:500]}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30 * SLOW)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method="GET", address=LISTEN, body=None, **headers):
    """Sends a request; headers have _ in place of -. Returns the answer."""
    host, _, port = address.rpartition(":")
    connection = (UnixConnection(address.removeprefix("unix:")) if address.startswith("unix:") else
                  http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30 * SLOW))
    with contextlib.closing(connection):
        connection.request(method, path, body=body,
                           headers={key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())


def start(bed, *args, address=LISTEN, **options):
    web = bed.start(bed.binary("reuseportd"), "web", "--listen", address, *args, name="web",
                    **options)
    web.wait_output("serving ")
    return web


def stop(web, number=signal.SIGTERM):
    equal(web.stop(number), 0, f"exit status of\n{web.output()}")


def wait_equal(get, want, what):
    """Waits until get() is want(): an answer is kept for a second."""
    def is_so():
        is_so.seen = get(), want()
        return is_so.seen[0] == is_so.seen[1]
    try:
        wait_until(is_so, what, 30, 0.1)
    except Failure as failure:
        raise Failure(f"{failure}: {is_so.seen}") from None


def of_command(bed, *args):
    return bed.reuseportd(*args, "--json").json()


# Reading


def test_page(bed):
    """The page's files, with an ETag; each answer has the headers that protect it."""
    web = start(bed)
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer = ask(path)
        equal((answer.status, answer.headers["Content-Type"]), (200, f"{kind}; charset=utf-8"), path)
        equal({name: answer.headers[name] for name in HEADERS}, HEADERS, f"headers of {path}")
        source = pathlib.Path(__file__).parents[2] / "user/web/page" / (path[1:] or "index.html")
        equal(answer.body, source.read_text(encoding="utf-8"), f"content of {path}")
        again = ask(path, If_None_Match=answer.headers["ETag"])
        equal((again.status, again.body), (304, ""), f"{path} again")
        equal(ask(path, If_None_Match='"x"').status, 200, f"{path} with another tag")
        head = ask(path, "HEAD")
        equal((head.status, head.headers["Content-Length"], head.body),
              (200, str(len(answer.body.encode())), ""), f"HEAD {path}")
    stop(web)


@cases("127.0.0.1:9465", "[::1]:9465", "unix")
def test_as_commands(bed, address):
    """Each path has what the command prints as JSON; the values are current."""
    if address == "unix":
        address = f"unix:{bed.dir}/web.sock"
    Workers(bed, 3)
    Workers(bed, 2, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 3, "--port", PORT, "--http")
    bed.reuseportd("attach", "--workers", 2, "--port", PORT + 1, "--service", "other")
    web = start(bed, address=address)
    bed.load("-n", 50)
    bed.reuseportd("drain", SERVICE, 1)

    def get(path=""):
        answer = ask(API + path, address=address)
        equal((answer.status, answer.headers["Cache-Control"]), (200, "no-store"), f"{answer}")
        return answer.json()
    wait_equal(lambda: get()["services"], lambda: of_command(bed, "list"), "list")
    services = get()
    equal({key: services[key] for key in ("host", "admin")},
          {"host": os.uname().nodename, "admin": False}, "members beside the services")
    check(abs(services["time"] - time.time()) < 100, f"time {services['time']}")
    equal(f"reuseportd {services['reuseportd']}\n", bed.reuseportd("--version").out, "version")
    for name in (SERVICE, "other"):
        wait_equal(lambda name=name: timeless(get(f"/{name}")),
                   lambda name=name: timeless(bed.status(name)), f"status of {name}")
        wait_equal(lambda name=name: [(e["seq"], e["event"], e["text"]) for e in get(f"/{name}/events")],
                   lambda name=name: [(e["seq"], e["event"], e["text"])
                                      for e in of_command(bed, "events", name)], f"events of {name}")
    wait_equal(lambda: ask("/metrics", address=address).body, lambda: bed.reuseportd("metrics").out,
               "metrics")
    stop(web)
    if address.startswith("unix:"):
        check(not os.path.exists(address.removeprefix("unix:")), "the socket is left")


def test_events_after(bed):
    """A client asks for the events that it lacks."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    for command in ("drain", "resume") * 3:
        bed.reuseportd(command, 0)
    web = start(bed)
    every = of_command(bed, "events")
    numbers = [e["seq"] for e in every]
    check(len(every) > 8 and numbers == list(range(1, len(every) + 1)), f"seq of events: {numbers}")

    def seqs(query=""):
        return [e["seq"] for e in ask(f"{API}/{SERVICE}/events{query}").json()]
    equal(seqs(), numbers, "the last events")
    equal(seqs("?after=0"), numbers, "the first events")
    equal(seqs("?after=5"), numbers[5:], "the next events")
    equal(seqs(f"?after={numbers[-1]}"), [], "no event")
    equal(seqs("?after=9223372036854775807"), [], "after the largest number")
    for wrong in ("x", "-1", "1%30", "", "9223372036854775808", "1&after=x" + "0" * 100):
        status = ask(f"{API}/{SERVICE}/events?after={wrong}").status
        check(status == (200 if "&" in wrong else 400), f"after={wrong[:40]}: {status}")
    stop(web)


def test_paths(bed):
    """What does not exist is 404, and a wrong method 405, as JSON."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed)
    for path in ("/index.html", "/metrics/", "/api", "/api/v1/services/", f"{API}/absent",
                 f"{API}/{SERVICE}/", f"{API}/{SERVICE}/other", f"{API}/..", f"{API}/%2e%2e/events",
                 f"{API}/{SERVICE.replace('w', '%77', 1)}", f"{API}/absent/events", f"{API}/absent/rollout",
                 f"{API}/{SERVICE}/rollout", f"{API}/{'a' * 40}", "//metrics", f"{API}/a/b/c"):
        answer = ask(path)
        equal(answer.status, 404, path)
        check(answer.json()["error"], path)
    for path, allow in (("/", "GET, HEAD"), ("/metrics", "GET, HEAD"), (f"{API}/{SERVICE}", "GET, HEAD"),
                        (f"{API}/{SERVICE}/drain", "POST")):
        for method in ("PUT", "DELETE", "OPTIONS", "GET" if allow == "POST" else "POST"):
            answer = ask(path, method)
            equal((answer.status, answer.headers["Allow"]), (405, allow), f"{method} {path}")
    for path in ("/metrics", "/live", "/ready", API, f"{API}/{SERVICE}", f"{API}/{SERVICE}/events"):
        answer = ask(path, "HEAD")
        equal((answer.status, answer.body), (200, ""), f"HEAD {path}")
        check(int(answer.headers["Content-Length"]) > 10, f"{answer}")
    stop(web)


def test_ready(bed):
    """Ready while steering is in force and a worker is in the ring; /live does not depend on it."""
    web = start(bed)

    def ready(query=""):
        answer = ask(f"/ready{query}")
        check(answer.body.count("\n") == 1, f"one line: {answer}")
        equal(answer.headers["Cache-Control"], "no-store", "caching")
        return answer.status, answer.json()
    equal(ready(), (503, {"ready": False, "reason": "there is no service", "live": 0, "wanted": 0,
                          "version": None}), "without a service")
    workers = Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    is_ready = {"ready": True, "reason": None, "live": 2, "wanted": 2, "version": "v1"}
    for query in ("", f"?service={SERVICE}"):
        wait_equal(lambda query=query: ready(query), lambda: (200, is_ready), f"ready{query}")
    equal(ready("?service=absent")[0], 503, "of no service")
    equal(ask("/ready?service=a.b").status, 400, "of a wrong name")
    bed.reuseportd("drain", 0)
    wait_equal(ready, lambda: (200, {**is_ready, "live": 1}), "one worker")
    bed.reuseportd("drain", 1, "--force")
    wait_equal(ready, lambda: (503, {"ready": False, "live": 0, "wanted": 2, "version": None, "reason":
               f"service '{SERVICE}' has no worker for new connections"}), "no worker")
    bed.reuseportd("resume", "0,1")
    wait_equal(ready, lambda: (200, is_ready), "both workers")
    for worker in workers.all:
        worker.process.stop(signal.SIGKILL)
    wait_until(lambda: ready()[0] == 503, "the workers are dead", 30)
    equal((ask("/live").status, ask("/live").json()), (200, {"live": True}), "live")
    stop(web)


def test_one_look(bed):
    """50 clients that ask without a pause: the lock of the service is taken about once a second."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed)
    tracer = bed.start(bed.program("strace"), "-qq", "-e", "trace=flock", "-p", web.pid, name="strace")
    until = time.monotonic() + 3

    def client(_):
        n = 0
        while time.monotonic() < until:
            equal(ask(f"{API}/{SERVICE}").status, 200, "status")
            n += 1
        return n
    wait_until(lambda: "TracerPid:\t0" not in pathlib.Path(f"/proc/{web.pid}/status").read_text(),
               "strace is attached", 30)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        n = sum(pool.map(client, range(50)))
    spent = time.monotonic() - until + 3
    tracer.stop(signal.SIGINT)
    looks = tracer.output().count("LOCK_EX")
    check(n > 50 and 1 <= looks <= spent + 2, f"{looks} looks in {spent:.1f} s, {n} answers")
    stop(web)
