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
from harness.servers import Workers
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


def token_file(bed, text=TOKEN + "\n", mode=0o600):
    path = bed.dir / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


@cases("name", "empty", "none", "port", "v6", "origin", "null")
def test_foreign(bed, case):
    """Requests of pages of other sites are refused, by Host and by Origin; Prometheus and load
    balancers may use any name."""
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
    for path in ("/metrics", "/live"):
        check(status(path) == 200 or case == "empty", f"{path}: {status(path)}")
    for host in (LISTEN, "localhost:1", "127.0.0.1", "[::1]:9465", "LOCALHOST"):
        equal(ask(API, Host=host).status, 200, host)
    for origin in (f"http://{LISTEN}", f"https://{LISTEN}"):
        equal(ask(API, Origin=origin).status, 200, origin)
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


def test_remote(bed):
    """On an address that other hosts reach, the state needs the token; the rest does not."""
    web = start(bed, "--token-file", token_file(bed), address="0.0.0.0:9465")
    for path in ("/", "/metrics", "/live", "/page.js"):
        equal(ask(path).status, 200, path)
    for path in (API, f"{API}/web", f"{API}/web/events", f"{API}/web/rollout"):
        for token in (None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN,
                      f"Bearer  {TOKEN}", f"Bearer {TOKEN * 30}"):
            answer = ask(path, **({} if token is None else {"Authorization": token}))
            equal((answer.status, answer.headers["WWW-Authenticate"]), (401, "Bearer"), f"{path} {token}")
        check(ask(path, Authorization=f"Bearer {TOKEN}").status in (200, 404), path)
    stop(web)


# Actions


def act(action, body, service=SERVICE, token=TOKEN, **headers):
    headers = {"Content_Type": "application/json", **headers}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return ask(f"{API}/{service}/{action}", "POST",
               body=body if isinstance(body, (str, bytes)) else json.dumps(body), **headers)


def states(bed):
    return [row["state"] for row in bed.status(SERVICE)["workers"]]


def test_actions_are_off(bed):
    """Without --admin there are none, with or without a token."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed, "--token-file", token_file(bed))
    for token in (None, TOKEN):
        answer = act("drain", {"slots": [0]}, token=token)
        equal(answer.status, 403, f"{answer}")
        check("--admin" in answer.json()["error"], f"{answer}")
    equal(states(bed), ["active"] * 2, "states")
    stop(web)


def test_drain(bed):
    """An action by token: the status shows it, and the events say who has asked."""
    Workers(bed, 3)
    bed.reuseportd("attach", "--workers", 3)
    web = start(bed, "--admin", "--token-file", token_file(bed))
    check(ask(API).json()["admin"], "admin")
    answer = act("drain", {"slots": [0, 2]}, Content_Type="application/json; charset=utf-8")
    equal((answer.status, answer.json()), (200, {"service": SERVICE, "action": "drain", "by": "token"}),
          "answer")
    equal(states(bed), ["draining", "active", "draining"], "states")
    equal(act("resume", {"slots": [2]}, Origin=f"http://{LISTEN}").status, 200, "resume")
    equal(states(bed), ["draining", "active", "active"], "states")
    equal([(e["event"], e["slot"], e["text"]) for e in of_command(bed, "events")][-2:],
          [("drained", None, "0,2 by token"), ("resumed", 2, "by token")], "events")
    for body, status, why in (({"slots": [1, 2]}, 409, "--force"), ({"slots": [3]}, 400, "slot"),
                              ({"slots": [1, 1]}, 400, "slots"), ({}, 400, "slots"), ("", 400, "JSON"),
                              ("[]", 400, "JSON"), ('{"slots": [1]} x', 400, "JSON"), ("{" * 100, 400, "JSON"),
                              ({"slots": [1], "do": "stop"}, 400, "do"), ({"slots": "1"}, 400, "slots"),
                              ({"slots": [1], "force": 1}, 400, "force"), ("\0" * 4096, 400, "JSON")):
        answer = act("drain", body)
        equal(answer.status, status, f"{body}: {answer}")
        check(why in answer.json()["error"], f"{body}: {answer}")
    equal(act("drain", {"slots": [1]}, service="absent").status, 409, "of no service")
    equal(states(bed), ["draining", "active", "active"], "states after refused actions")
    equal(act("drain", {"slots": [1, 2], "force": True}).status, 200, "by force")
    equal(states(bed), ["draining"] * 3, "states")
    answer = act("pause", {})
    equal(answer.status, 409, f"{answer}")
    check("attached" in answer.json()["error"], f"{answer}")
    stop(web)


def test_refused_actions(bed):
    """Nothing is changed without the token, from another site, by GET, with another type or with a
    body that is too long."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed, "--admin", "--token-file", token_file(bed))
    drain = {"slots": [0]}
    for what, status, send in (
            ("no token", 401, lambda: act("drain", drain, token=None)),
            ("wrong token", 401, lambda: act("drain", drain, token=TOKEN[::-1])),
            ("part of the token", 401, lambda: act("drain", drain, token=TOKEN[:-1])),
            ("wrong host", 403, lambda: act("drain", drain, Host="evil.example")),
            ("foreign origin", 403, lambda: act("drain", drain, Origin="http://evil.example")),
            ("origin of another port", 403, lambda: act("drain", drain, Origin="http://127.0.0.1:80")),
            ("GET", 405, lambda: ask(f"{API}/{SERVICE}/drain?slots=0", Authorization=f"Bearer {TOKEN}")),
            ("form", 415, lambda: act("drain", drain, Content_Type="text/plain")),
            ("other type", 415, lambda: act("drain", drain, Content_Type="application/jsonx")),
            ("too long", 413, lambda: act("drain", " " * 4096 + "{}")),
            ("chunks", 411, lambda: act("drain", b"{}", Transfer_Encoding="chunked", Content_Length="")),
            ("no such action", 404, lambda: act("stop", {})),
            ("reload", 404, lambda: act("reload", {}))):
        try:
            answer = send()
        except (ConnectionError, http.client.BadStatusLine):
            check(what == "chunks", what)
            continue
        check(answer.status == status or (what == "chunks" and answer.status == 400), f"{what}: {answer}")
        for name in ("Access-Control-Allow-Origin", "Set-Cookie"):
            check(name not in answer.headers, f"{what}: {answer}")
    preflight = ask(f"{API}/{SERVICE}/drain", "OPTIONS", Origin="http://evil.example")
    equal((preflight.status, preflight.headers["Access-Control-Allow-Origin"]), (405, None), "preflight")
    equal(states(bed), ["active"] * 2, "states")
    equal([e["event"] for e in of_command(bed, "events")], ["attached"], "events")
    stop(web)


AS_NOBODY = """
import http.client, os, socket, sys
os.setgid(65534); os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
body = '{"slots": [0]}'
client.sendall(f"POST /api/v1/services/{sys.argv[2]}/drain HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: "
               f"application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
print(client.makefile().readline().split()[1])
"""


def test_unix_socket(bed):
    """On a Unix socket root may act, other users only read; a socket that was left is replaced."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    bed.dir.chmod(0o755)
    path = bed.dir / "web.sock"
    address = f"unix:{path}"
    web = start(bed, "--admin", address=address)
    result = bed.reuseportd("web", "--listen", address, status=1)
    check("in use" in result.err, f"{result}")
    web.kill(signal.SIGKILL)
    web.wait()
    check(path.exists(), "the socket is left")
    web = start(bed, "--admin", address=address)
    result = bed.run("/usr/bin/python3", "-c", AS_NOBODY, path, SERVICE)
    equal(result.out, "403\n", f"as nobody: {result}")
    equal(states(bed), ["active"] * 2, "states")
    answer = act("drain", {"slots": [1]}, token=None, address=address)
    equal((answer.status, answer.json()["by"]), (200, "uid 0"), "as root")
    equal(states(bed), ["active", "draining"], "states")
    equal(of_command(bed, "events")[-1]["text"], "by uid 0", "event")
    stop(web)


def test_rights(bed):
    """The process that clients reach has few rights; the one that acts is another, and each ends
    with the other."""
    web = start(bed, "--admin", "--token-file", token_file(bed))

    def capabilities(pid):
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("CapPrm")), 16)

    def children():
        return [int(pid) for pid in
                pathlib.Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()]
    equal(capabilities(web.pid) & 0x3ffb, 0, "capabilities beyond those of a look")
    [helper] = children()
    check(capabilities(helper) & 0x3ffb, "capabilities of the process that acts")
    sockets = [os.readlink(path) for path in pathlib.Path(f"/proc/{helper}/fd").iterdir()]
    equal(sum(name.startswith("socket:") for name in sockets), 1, f"sockets of {sockets}")
    for number in (signal.SIGTERM, signal.SIGINT):  # as systemd and a terminal send them, to both
        os.kill(helper, number)
        equal(children(), [helper], f"the process that acts after {number}")
    os.kill(helper, signal.SIGKILL)
    equal(web.wait(), 1, "exit status without the process that acts")
    check("carries out actions has ended" in web.output(), web.output())
    web = start(bed, "--admin", "--token-file", token_file(bed))
    [helper] = children()
    web.kill(signal.SIGKILL)
    web.wait()
    wait_until(lambda: not pathlib.Path(f"/proc/{helper}").exists() or
               "State:\tZ" in pathlib.Path(f"/proc/{helper}/status").read_text(), "it ends as well", 30)


def test_run(bed):
    """The page of a service of `run`: a deployment, its actions, and the death of the supervisor. No
    answer has the command line of a worker."""
    secret = "--secret-of-the-command-line"
    command = ["sh", "-c", 'exec "$@"', secret, *worker_command(bed)]
    run = Deploys(bed, command, "--settle", "0.1", "--web", LISTEN, "--web-admin",
                  "--web-token-file", token_file(bed))

    def get(path=""):
        return ask(f"{API}/{RUN}{path}")
    wait_equal(lambda: timeless(get().json()), lambda: timeless(bed.status(RUN)), "status")
    equal(get("/rollout").status, 404, "no deployment yet")
    run.deploy("--strategy", "canary", "--steps", "5% pause", "--label", "v2", "--detach")
    run.wait_for(phase="paused")
    wait_equal(lambda: get("/rollout").json(), run.rollout, "rollout")
    equal(act("abort", {"why": "by hand"}, service=RUN).status, 200, "abort")
    deployment = run.wait_for(outcome="aborted")
    check("by hand" in deployment["reason"], f"{deployment}")
    wait_until(lambda: get("/rollout").json()["outcome"] == "aborted", "the page shows it", 30)
    check("abort by token" in [e["text"] for e in of_command(bed, "events", RUN)], "event")
    equal(act("promote", {"full": True}, service=RUN).status, 409, "no deployment is under way")
    for path in (API, f"{API}/{RUN}", f"{API}/{RUN}/events", f"{API}/{RUN}/rollout", "/metrics", "/ready"):
        answer = ask(path, Authorization=f"Bearer {TOKEN}")
        check(answer.status == 200 and secret not in answer.body, f"{path}: {answer}")
    run.kill_supervisor()
    wait_until(lambda: not answers(), "the server ends with its supervisor", 30)
    run.start(wait=False)
    run.process.wait_output("is taken over")
    wait_until(answers, "the server is back", 30)
    wait_until(lambda: get().json()["supervisor_pid"] == run.process.pid, "the page shows it", 30)
    equal(run.stop(), 0, "exit status of the supervisor")
    check(not answers(), "the server has not ended")


def answers():
    with contextlib.suppress(ConnectionError):
        return ask("/live").status == 200
    return False


def test_supervisor_restarted(bed):
    """A server of its own while a supervisor dies and comes back: it says so, and recovers."""
    run = Deploys(bed, worker_command(bed))
    web = start(bed)
    ready = f"/ready?service={RUN}"
    wait_until(lambda: ask(ready).status == 200, "ready", 30)
    run.kill_supervisor()
    wait_until(lambda: ask(f"{API}/{RUN}").json()["supervisor_pid"] is None, "it has died", 30)
    wait_until(lambda: "has died" in (ask(ready).json()["reason"] or ""), "not ready", 30)
    run.start(wait=False)
    run.process.wait_output("is taken over")
    wait_until(lambda: ask(ready).status == 200, "ready again", 30)
    equal(ask(f"{API}/{RUN}").json()["supervisor_pid"], run.process.pid, "supervisor")
    equal(run.stop(), 0, "exit status of the supervisor")
    wait_until(lambda: ask(f"{API}/{RUN}").status == 404, "the service has ended", 30)
    stop(web)


def test_configuration_file(bed):
    """The key `web` of a configuration file: one process for all services, which must agree; only a
    file of root may have it."""
    path = bed.dir / "web.conf"
    sections = [f"[service {name}]\ncommand = {bed.binary('worker')} --port {port} --no-reuseport\nworkers = 1\n"
                for name, port in (("web", PORT), ("other", PORT + 1))]

    def write(*keys):
        path.write_text("".join(f"{section}{key}\n" for section, key in zip(sections, keys)))
    write(f"web = {LISTEN}", "web = 127.0.0.1:9466")
    result = bed.reuseportd("run", path, status=2)
    check("'web' and 'other' have different settings" in result.err, f"{result}")
    write(f"web = {LISTEN}\nweb-admin = yes", "")
    result = bed.reuseportd("run", path, status=2)
    check(f"{path}:4: web: every user" in result.err, f"{result}")
    write("web-host = x", "")
    bed.reuseportd("check", path, status=2)
    write(f"web = unix:{bed.dir}/web.sock\nweb-admin = yes", "")
    run = Deploys.of_file(bed, path)
    address = f"unix:{bed.dir}/web.sock"
    wait_until(lambda: len(ask(API, address=address).json()["services"]) == 2, "both services", 30)
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("re-exec of")
    wait_until(lambda: run.log().count("is taken over") == 2, "the workers are taken over", 30)
    wait_until(lambda: reached(address), "the server is back", 30)
    equal(act_on(address, "drain", {"slots": [0], "force": True}).status, 200, "drain by root")
    bed.reuseportd("stop", "other")
    equal(run.stop(), 0, "exit status of the supervisor")
    check(not os.path.exists(f"{bed.dir}/web.sock"), "the socket is left")
    os.chown(path, 65534, 65534)
    result = bed.reuseportd("check", path, status=2)
    check("only root may serve" in result.err, f"{result}")


def reached(address):
    with contextlib.suppress(OSError):
        return ask("/live", address=address).status == 200
    return False


def act_on(address, action, body):
    return ask(f"{API}/{RUN}/{action}", "POST", address=address, body=json.dumps(body),
               Content_Type="application/json")


def test_slow_clients(bed):
    """Clients that are slow with a request, the body of an action or an answer keep no other client
    waiting."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed, "--admin", "--token-file", token_file(bed))
    heads = (b"", b"GET /metrics HTTP/1.1\r\nHost: local",
             f"POST {API}/{SERVICE}/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
             "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{".encode(),
             f"GET {API} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with contextlib.ExitStack() as stack:
        for i in range(100):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", 9465)))
            with contextlib.suppress(ConnectionError):
                client.sendall(heads[i % len(heads)])
        for _ in range(20):
            equal(ask(f"{API}/{SERVICE}").status, 200, "status")
        equal(act("drain", {"slots": [0]}).status, 200, "drain")
    equal(states(bed), ["draining", "active"], "states")
    stop(web)
