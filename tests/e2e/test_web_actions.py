# SPDX-License-Identifier: BSD-2-Clause
"""The actions of the HTTP server, which only clients that may act can ask for; and the server of a
service of `run`."""
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import signal
import socket
import time

from deploys import Deploys
from harness.checks import check, equal, timeless, wait_until
from harness.network import PORT
from harness.process import freeze
from harness.servers import Workers, children
from runs import SERVICE as RUN, worker_command
from webs import (API, LISTEN, SERVICE, TOKEN, act, ask, listener_inode, of_command, start, states, stop, token_file,
                  wait_equal)


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


def test_unix_socket_of_another(bed):
    """A server takes no path while another one takes it, and removes no socket of another process."""
    path = bed.dir / "web.sock"
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = bed.run(bed.binary("reuseportd"), "web", "--listen", f"unix:{path}", deadline=30)
        equal(result.code, 1, f"{result}")
        check("in use" in result.err, f"{result}")
    web = start(bed, address=f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        stop(web)
        check(path.exists(), "the other socket was removed")
    web = start(bed, address=f"unix:{path}")
    stop(web)
    check(not path.exists(), "the socket is left")


def test_rights(bed):
    """The process that clients reach has few rights; the one that acts is another, and each ends
    with the other."""
    web = start(bed, "--admin", "--token-file", token_file(bed))

    def capabilities(pid):
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("CapPrm")), 16)

    equal(capabilities(web.pid) & 0x3ffb, 0, "capabilities beyond those of a look")
    [helper] = children(web.pid)
    check(capabilities(helper) & 0x3ffb, "capabilities of the process that acts")
    sockets = [os.readlink(path) for path in pathlib.Path(f"/proc/{helper}/fd").iterdir()]
    equal(sum(name.startswith("socket:") for name in sockets), 1, f"sockets of {sockets}")
    for number in (signal.SIGTERM, signal.SIGINT):  # as systemd and a terminal send them, to both
        os.kill(helper, number)
        equal(act("pause", {}).status, 409, f"it still answers after {number}")
        equal(children(web.pid), [helper], f"the process that acts after {number}")
    os.kill(helper, signal.SIGKILL)
    equal(web.wait(), 1, "exit status without the process that acts")
    check("carries out actions has ended" in web.output(), web.output())
    web = start(bed, "--admin", "--token-file", token_file(bed))
    [helper] = children(web.pid)
    web.kill(signal.SIGKILL)
    web.wait()
    wait_until(lambda: not pathlib.Path(f"/proc/{helper}").exists() or
               "State:\tZ" in pathlib.Path(f"/proc/{helper}/status").read_text(), "it ends as well", 30)


def test_unanswered_actions(bed):
    """A client whose action does not end in time, and one whose server ends, get an answer that says so."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed, "--admin", "--token-file", token_file(bed))
    [helper] = children(web.pid)
    freeze(helper)

    def asked(delay):
        """A connection that has asked for an action, with the body after the head."""
        client = socket.create_connection(("127.0.0.1", 9465))
        client.settimeout(30)
        client.sendall(f"POST {API}/{SERVICE}/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
                       "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n".encode())
        until = time.monotonic() + delay
        wait_until(lambda: time.monotonic() >= until, "the head was sent")
        client.sendall(b'{"slots": [0]}')
        return client
    with asked(2) as client:
        answer = client.makefile().read()
    check(" 504 " in answer.splitlines()[0] and "it goes on" in answer, f"late body: {answer}")
    with asked(0) as client:
        equal(ask("/live").status, 200, "a later request")  # so the action was asked for
        web.kill(signal.SIGTERM)
        answer = client.makefile().read()
    check(" 503 " in answer.splitlines()[0] and "the server ends" in answer, f"end of the server: {answer}")
    equal(web.wait(), 0, "exit status")
    os.kill(helper, signal.SIGCONT)


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
    check("promote by token" not in [e["text"] for e in of_command(bed, "events", RUN)], "event of a refused action")
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
    run.process.wait_output("other: started:")
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


def test_executed_again(bed):
    """SIGUSR2: the new program goes on with the listeners, so that nobody can take their addresses
    meanwhile. A program that can't be executed, and one without --web, leave no listener behind."""
    path = bed.dir / "web.conf"
    section = f"[service web]\ncommand = {bed.binary('worker')} --port {PORT} --no-reuseport\nworkers = 1\n"
    path.write_text(f"{section}web = {LISTEN}\n")
    run = Deploys.of_file(bed, path, "--metrics", "127.0.0.1:9464")

    def execute(n):
        run.process.kill(signal.SIGUSR2)
        wait_until(lambda: run.log().count(": started:") == n + 1, "the service goes on", 30)
        wait_until(lambda: reached("127.0.0.1:9464", "/metrics"), "the metrics are back", 30)
    wait_until(lambda: reached(LISTEN), "the server answers", 30)
    before = [listener_inode(port) for port in (9464, 9465)]
    check(all(before), f"listeners {before}")
    for n in (1, 2):
        execute(n)
        wait_until(lambda: reached(LISTEN), "the page is back", 30)
        equal([listener_inode(port) for port in (9464, 9465)], before, "listeners")
    environment = pathlib.Path(f"/proc/{run.workers()[0]['pid']}/environ").read_text()
    check("LISTENER" not in environment, environment)
    path.write_text(section)
    execute(3)
    wait_until(lambda: listener_inode(9465) is None, "the listener of the page is closed", 30)
    equal(listener_inode(9464), before[0], "listener of the metrics")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_faulty_settings(bed):
    """Supervision matters more than the page: a new supervisor that finds faulty settings of the page
    says so, and goes on without it."""
    path, token = bed.dir / "web.conf", token_file(bed)
    section = f"[service {{}}]\ncommand = {bed.binary('worker')} --port {{}} --no-reuseport\nworkers = 1\n"
    web = f"web = {LISTEN}\nweb-admin = yes\nweb-token-file = {token}\n"

    def write(other=""):
        path.write_text(f"{section.format('web', PORT)}{web}{section.format('other', PORT + 1)}{other}")
    write()
    run = Deploys.of_file(bed, path)
    run.process.wait_output("other: started:")
    wait_until(lambda: reached(LISTEN), "the server answers", 30)

    def execute(n, is_served):
        run.process.kill(signal.SIGUSR2)
        wait_until(lambda: run.log().count("is taken over") == 2 * n, "the workers are taken over", 30)
        wait_until(lambda: run.log().count(": started:") == 2 * n + 2, "both services go on", 30)
        wait_until(lambda: reached(LISTEN) == is_served, f"served: {is_served}", 30)
    token.chmod(0o644)
    execute(1, False)
    run.process.wait_output("can't serve the page: other users may read")
    token.chmod(0o600)
    execute(2, True)
    write("web = 127.0.0.1:9466\n")
    execute(3, False)
    run.process.wait_output("can't serve the page: services 'web' and 'other' have different settings")
    bed.reuseportd("stop", "other")
    equal(run.stop(), 0, "exit status of the supervisor")


def reached(address, path="/live"):
    with contextlib.suppress(OSError):
        return ask(path, address=address).status == 200
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
