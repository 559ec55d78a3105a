# SPDX-License-Identifier: BSD-2-Clause
"""The HTTP server: each path has what the command of the same subject prints, an answer is kept for
a second, and only clients that may do so read it."""
import concurrent.futures
import os
import pathlib
import signal
import socket
import time

from harness.checks import cases, check, equal, timeless, wait_until
from harness.network import PORT
from harness.servers import Workers
from runs import held
from webs import (API, LISTEN, SERVICE, TOKEN, ask, of_command, start, stop, token_file, wait_equal)

HEADERS = {
    "Content-Security-Policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Connection": "close"}


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
    check(len(every) >= 7 and numbers == list(range(1, len(every) + 1)), f"seq of events: {numbers}")

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
    for path in ("/metrics", "/live", "/ready", "/text", API, f"{API}/{SERVICE}", f"{API}/{SERVICE}/events"):
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
                          "version": None, "draining_since": None}), "without a service")
    workers = Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    is_ready = {"ready": True, "reason": None, "live": 2, "wanted": 2, "version": "v1",
                "draining_since": None}
    for query in ("", f"?service={SERVICE}"):
        wait_equal(lambda query=query: ready(query), lambda: (200, is_ready), f"ready{query}")
    equal(ready("?service=absent")[0], 503, "of no service")
    equal(ask("/ready?service=a.b").status, 400, "of a wrong name")
    bed.reuseportd("drain", 0)
    wait_equal(ready, lambda: (200, {**is_ready, "live": 1}), "one worker")
    bed.reuseportd("drain", 1, "--force")
    wait_equal(ready, lambda: (503, {"ready": False, "live": 0, "wanted": 2, "version": None,
               "draining_since": None, "reason": f"service '{SERVICE}' has no worker for new connections"}), "no worker")
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
    wait_until(lambda: "TracerPid:\t0" not in pathlib.Path(f"/proc/{web.pid}/status").read_text(),
               "strace is attached", 30)
    until = time.monotonic() + 3

    def client(_):
        n = 0
        while n == 0 or time.monotonic() < until:
            equal(ask(f"{API}/{SERVICE}").status, 200, "status")
            n += 1
        return n
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        n = sum(pool.map(client, range(50)))
    spent = time.monotonic() - until + 3
    tracer.stop(signal.SIGINT)
    looks = tracer.output().count("LOCK_EX")
    check(n >= 50 and 1 <= looks <= spent + 2, f"{looks} looks in {spent:.1f} s, {n} answers")
    stop(web)


def test_locked(bed):
    """A service whose lock is held is answered by 503, and keeps no other client waiting."""
    Workers(bed, 2)
    Workers(bed, 2, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 2, "--port", PORT)
    bed.reuseportd("attach", "--workers", 2, "--port", PORT + 1, "--service", "other")
    web = start(bed)
    with held(SERVICE):
        wait_until(lambda: ask(f"{API}/{SERVICE}").status == 503, "the service is locked", 30)
        for path in (f"{API}/other", f"{API}/{SERVICE}/events", "/live", "/"):
            equal(ask(path).status, 200, path)
        rows = {row["service"]: row for row in ask(API).json()["services"]}
        check("error" in rows[SERVICE] and rows["other"]["live"] == 2, f"{rows}")
        check("held" in (ask("/ready").json()["reason"] or "") or ask("/ready").status == 503, "ready")
    wait_until(lambda: ask(f"{API}/{SERVICE}").status == 200, "it is not locked any more", 30)
    stop(web)


# Who may ask


@cases("name", "empty", "none", "port", "v6", "origin", "null")
def test_foreign(bed, case):
    """Requests of pages of other sites are refused, by Host and by Origin; Prometheus and load
    balancers need no Host, and may use any name if they can be other hosts."""
    headers = {"name": {"Host": "evil.example:9465"}, "empty": {"Host": ""}, "none": {},
               "port": {"Host": "127.0.0.1:x"}, "v6": {"Host": "[::1"},
               "origin": {"Host": LISTEN, "Origin": "http://evil.example"},
               "null": {"Host": LISTEN, "Origin": "null"}}[case]
    web = start(bed)

    def status(path):
        head = f"GET {path} HTTP/1.{'0' if case == 'none' else '1'}\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        with socket.create_connection(("127.0.0.1", 9465)) as client:
            client.sendall(f"{head}\r\n".encode())
            client.settimeout(30)
            return int(client.makefile("rb").readline().split()[1])
    for path in ("/", API):
        check(status(path) in (403, 400 if case == "empty" else 403), f"{path}: {status(path)}")
    for path in ("/metrics", "/live", "/ready"):
        check(status(path) in ((200, 503) if case == "none" else (403, 400)), f"{path}: {status(path)}")
    for host in (LISTEN, "localhost:1", "127.0.0.1", "[::1]:9465", "LOCALHOST"):
        equal(ask(API, Host=host).status, 200, host)
    for origin in (f"http://{LISTEN}", f"https://{LISTEN}"):
        equal(ask(API, Origin=origin).status, 200, origin)
    stop(web)
    web = start(bed, "--token-file", token_file(bed), address="0.0.0.0:9465")
    for path in ("/metrics", "/live"):
        check(status(path) == (403 if "Origin" in headers else 200) or case == "empty", f"{path}: {status(path)}")
    stop(web)
    web = start(bed, "--host", "ops.example")
    equal((ask(API, Host="Ops.example:80").status, ask(API, Host="www.example").status), (200, 403),
          "the name of --host")
    stop(web)


def test_refused_options(bed):
    """An address that other hosts reach, actions without a token, and bad token files."""
    good = token_file(bed)
    for args in ((), ("--listen", "x"), ("--listen", "unix:web.sock"), ("--listen", f"unix:/{'a' * 200}"),
                 ("--listen", "0.0.0.0:9465"), ("--listen", "[::]:9465", "--admin"),
                 ("--listen", LISTEN, "--admin"), ("--listen", LISTEN, "web"),
                 ("--listen", LISTEN, "--token-file", "absent"), ("--listen", LISTEN, "--token-file", "/")):
        result = bed.reuseportd("web", *args, status=2)
        check(result.err, f"{result}")
    for text, mode in ((TOKEN, 0o640), (TOKEN, 0o604), ("short", 0o600), ("x" * 513, 0o600),
                       (f"{TOKEN} x", 0o600), (f"{TOKEN}\n{TOKEN}", 0o600), (f"{TOKEN}\0", 0o600), ("", 0o600)):
        token_file(bed, text, mode)
        for args in (("web", "--listen"), ("run", "--workers", 1, "--web-token-file", good, "--web")):
            options = ("--token-file", good) if args[0] == "web" else ("--", "true")
            result = bed.reuseportd(*args, LISTEN, *options, status=2)
            check("token" in result.err, f"{result}")
    token_file(bed)
    os.chown(good, 65534, 65534)
    result = bed.reuseportd("web", "--listen", LISTEN, "--token-file", good, status=2)
    check("other users" in result.err, f"{result}")
    result = bed.reuseportd("run", "--workers", 1, "--web-admin", "--", "true", status=2)
    check("--web" in result.err, f"{result}")


PASS_LISTENER = """
import os, socket, sys
listener = socket.create_server((sys.argv[1], 9465))
os.dup2(os.dup(listener.fileno()), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_passed_listener(bed):
    """A listener that systemd passes is served, unless it is open to other hosts and --listen names an address
    that is not: then clients would not need the token."""
    def command(address):
        return ("/usr/bin/python3", "-c", PASS_LISTENER, address, bed.binary("reuseportd"), "web", "--listen", LISTEN)
    result = bed.run(*command("0.0.0.0"), deadline=30)
    equal(result.code, 1, f"{result}")
    check("other hosts can reach the listener" in result.err, f"{result}")
    web = bed.start(*command("127.0.0.1"), name="web")
    web.wait_output("serving ")
    equal(ask("/live").status, 200, "status")
    stop(web)


def test_remote(bed):
    """On an address that other hosts reach, the state needs the token; the rest does not."""
    web = start(bed, "--token-file", token_file(bed), address="0.0.0.0:9465")
    for path in ("/", "/metrics", "/live", "/page.js"):
        equal(ask(path).status, 200, path)
    for path in ("/text", API, f"{API}/web", f"{API}/web/events", f"{API}/web/rollout"):
        for token in (None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN,
                      f"Bearer  {TOKEN}", f"Bearer {TOKEN * 30}"):
            answer = ask(path, **({} if token is None else {"Authorization": token}))
            equal((answer.status, answer.headers["WWW-Authenticate"]), (401, "Bearer"), f"{path} {token}")
        check(ask(path, Authorization=f"Bearer {TOKEN}").status in (200, 404), path)
    stop(web)
