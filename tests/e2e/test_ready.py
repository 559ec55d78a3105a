# SPDX-License-Identifier: BSD-2-Clause
"""What load balancers are answered: each reason why a host is not ready, and a host that drains."""
import contextlib
import pathlib
import shutil
import signal
import socket
import time

from harness.bed import PINS
from harness.checks import FULL, cases, chance, check, equal, note, timeout, wait_until
from harness.network import PORT, Client
from harness.servers import Workers
from runs import Run, held, worker_command
from stops import STOP, sampled, shortened, spread
from test_attack_steering import attach_classic
from webs import SERVICE, ask, listener_inode, of_command, start, stop, wait_equal

MARK = pathlib.Path("/run/reuseportd/host.draining")


def ready(query=""):
    """The status of /ready, and its answer."""
    answer = ask(f"/ready{query}")
    equal(answer.headers["Cache-Control"], "no-store", "caching")
    return answer.status, answer.json()


def wait_ready(status, reason=None, query=""):
    """Waits until /ready has this status; returns the answer."""
    def is_so():
        is_so.found, is_so.answer = ready(query)
        return is_so.found == status and (not reason or reason in is_so.answer["reason"])
    begin = time.monotonic()
    wait_until(is_so, f"/ready{query} is {status}, {reason}", 30, 0.05)
    note(f"{status} {reason or ''} after {time.monotonic() - begin:.2f} s")
    equal(is_so.answer["ready"], status == 200, "ready")
    return is_so.answer


def metric(bed, name, *args):
    """The values of a metric, by service."""
    lines = bed.reuseportd("metrics", *args).out.splitlines()
    return [line.split()[-1] for line in lines if line.startswith(f"reuseportd_{name}{{")]


@contextlib.contextmanager
def load_unfailed(bed):
    load = bed.start_load("--rate", 200)
    yield
    check(load.stop_unfailed()["ok"] > 0, "connections under load")


# Reasons


def test_dead_supervisor(bed):
    """A service is not ready without its supervisor, though its workers serve."""
    run = Run(bed, worker_command(bed), workers=2)
    web = start(bed)
    with load_unfailed(bed):
        equal(wait_ready(200)["wanted"], 2, "slots")
        run.kill_supervisor()
        answer = wait_ready(503, "the supervisor of service 'web' has died")
        equal((answer["live"], answer["version"], answer["draining_since"]), (2, "v1", None), f"{answer}")
        equal((metric(bed, "ready"), metric(bed, "draining")), (["0"], ["0"]), "metrics")
        run.start()
        wait_ready(200)
    equal(run.stop(), 0, "exit status of the supervisor")
    wait_ready(503, "there is no service")
    stop(web)


@cases("service", "all")
def test_no_pins(bed, what):
    """The pins of an attached service are deleted."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed)
    with load_unfailed(bed):
        wait_ready(200)
        shutil.rmtree(PINS / SERVICE if what == "service" else PINS)
        wait_ready(503, "there is no service")
        wait_ready(503, query=f"?service={SERVICE}")
    stop(web)


def test_replaced(bed):
    """Another program selects the worker."""
    workers = Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed)
    wait_ready(200)
    with socket.socket() as member:
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        member.bind(("0.0.0.0", PORT))
        member.listen()
        attach_classic(member)
        wait_ready(503, f"a classic BPF program selects the worker on 0.0.0.0:{PORT}")
        equal(metric(bed, "ready"), ["0"], "metric")
    bed.reuseportd("attach", "--workers", 2)
    wait_ready(200)
    check(len(workers.all) == 2, "workers")
    stop(web)


def test_min_live(bed):
    """As many workers as --min-live demands, of the page, of the metrics, and of `run`."""
    run = Run(bed, worker_command(bed), "--web", "127.0.0.1:9465", "--web-min-live", "60%", workers=4)
    wait_ready(200)
    run.command_line("drain", "0")
    wait_ready(200)
    run.command_line("drain", "1")
    answer = wait_ready(503, "service 'web' has 2 of 4 workers for new connections, and needs 3")
    equal((answer["live"], answer["wanted"]), (2, 4), f"{answer}")
    wait_until(lambda: 'reuseportd_ready{service="web"} 0' in ask("/metrics").body, "the metric", 30)
    for least, value in (("1", "1"), ("50%", "1"), ("51%", "0"), ("2", "1"), ("3", "0")):
        equal(metric(bed, "ready", "--min-live", least), [value], f"metric with {least}")
    equal(run.status()["readiness"], {**answer, "ready": True, "reason": None}, "status")
    run.command_line("resume", "0,1")
    wait_ready(200)
    config = bed.dir / "two.conf"
    config.write_text("".join(f"[service {name}]\ncommand = true\nworkers = 1\nweb-min-live = {least}\n"
                              for name, least in (("a", "1"), ("b", "50%"))))
    refused = bed.reuseportd("run", config, status=2)
    check("services 'a' and 'b' have different values of `web-min-live`" in refused.err, f"{refused}")
    refused = bed.reuseportd("run", "--workers", 1, "--web-min-live", 2, "--", "true", status=2)
    check("`web-min-live` needs `web` or --metrics" in refused.err, f"{refused}")
    for wrong in ("0", "101%", "x", "1025"):
        for args in (("web", "--listen", "127.0.0.1:1"), ("metrics",)):
            refused = bed.reuseportd(*args, "--min-live", wrong, status=2)
            check("neither a number of workers" in refused.err, f"{refused}")
    equal(run.stop(), 0, "exit status of the supervisor")


AGENT = "127.0.0.1:9466"


def agent(text=b"", address=AGENT):
    """What the agent answers to a client that sends @text first."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(text)
        answer = client.makefile("rb").read()
        check(answer.count(b"\n") == 1 and answer.endswith(b"\n"), f"one line: {answer}")
        return answer.decode().rstrip("\n")


def test_agent(bed):
    """Each state has its line, of one that sends something, too; what a client sends is bounded."""
    web = start(bed, "--agent", AGENT)
    equal(agent(), "down#there is no service", "without a service")
    workers = Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4)
    wait_until(lambda: agent() == "ready up 100%", "ready", 30)
    equal(agent(b"web\n"), "ready up 100%", "with a line of the client")
    bed.reuseportd("drain", "0")
    wait_until(lambda: agent() == "ready up 75%", "three of four", 30)
    bed.reuseportd("drain-host", "--lame-duck", 0)
    wait_until(lambda: agent() == "drain", "draining", 30)
    bed.reuseportd("resume-host")
    for worker in workers.all:
        worker.process.kill(9)
    wait_until(lambda: agent().startswith("down#service"), "down", 30)
    with socket.create_connection(("127.0.0.1", 9466), timeout=30) as client:
        try:
            while True:
                client.sendall(b"x" * 65536)
        except OSError:
            pass
    many = [socket.create_connection(("127.0.0.1", 9466), timeout=30) for _ in range(100)]
    check(agent().startswith("down#"), "beside idle clients")
    for client in many:  # the deadline of each
        while client.recv(256):
            pass
        client.close()
    equal(ask("/live").status, 200, "the page")
    refused = bed.reuseportd("web", "--listen", "127.0.0.1:9467", "--agent", AGENT, status=1)
    check("agent checks" in refused.err, f"{refused}")
    stop(web)


def test_agent_busy(bed):
    """While the service's lock is held, the last line is given until it is two seconds old."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed, "--agent", AGENT)

    def seen_held(line):
        """How many old lines came. The line is read after @begin."""
        n = 0
        wait_until(lambda: seen_at(line), "the line", 30, 0.05)
        begin, end = seen_at.begin, time.monotonic()
        with held(SERVICE):
            while True:
                found, now = agent(), time.monotonic()
                if found != line:
                    break
                n += now > end + 1.2
            check(now > begin + 2, f"{found!r} after {now - begin:.2f} s")
            check(found.startswith("down#"), found)
        return n

    def seen_at(line):
        seen_at.begin = time.monotonic()
        return agent() == line
    n = 0
    for command, line in (("drain", "ready up 50%"), ("resume", "ready up 100%")) * 5:
        wait_until(lambda: agent().startswith("ready"), "ready", 30)
        bed.reuseportd(command, "0")
        n += seen_held(line)
        if n:
            break
    check(n > 0, "a line that is given again")
    stop(web)


def test_agent_listener(bed):
    """A port in use is an error at the start. The supervisor keeps the port over a re-exec."""
    with socket.create_server(("127.0.0.1", 9466)):
        run = Run(bed, worker_command(bed), "--web", "127.0.0.1:9465", "--web-agent", AGENT, workers=2, wait=False)
        equal(run.process.wait(), 1, "exit status of the supervisor")
        check(f"can't serve agent checks on {AGENT}: Address already in use" in run.log(), run.log())
    equal(bed.left_files(), [], "files left")
    run = Run(bed, worker_command(bed), "--web", "127.0.0.1:9465", "--web-agent", AGENT, workers=2)
    wait_until(lambda: agent() == "ready up 100%", "ready", 30)
    inode = listener_inode(9466)
    for n in (2, 3):
        run.process.kill(signal.SIGUSR2)
        wait_until(lambda n=n: run.log().count("is taken over") == 2 * (n - 1), "the workers are taken over", 30)
        wait_until(lambda: agent() == "ready up 100%", "ready", 30)
        equal(listener_inode(9466), inode, "the listener")
    check("has ended" not in run.log(), run.log())
    equal(run.stop(), 0, "exit status of the supervisor")


HAPROXY = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
frontend f
    bind 127.0.0.1:8000
    default_backend b
backend b
    server s 127.0.0.1:8080 check agent-check agent-addr 127.0.0.1 agent-port 9466 agent-inter 100ms inter 100ms fall 1000
frontend state
    bind 127.0.0.1:8001
    mode http
    http-request return status 200 content-type text/plain lf-string "%[nbsrv(b)]"
"""


def test_haproxy(bed):
    """HAProxy obeys the agent that `run` has started: weight, drain, and ready again. No connection
    through it fails."""
    run = Run(bed, worker_command(bed), "--web", "127.0.0.1:9465", "--web-agent", AGENT, workers=4)
    config = bed.dir / "haproxy.cfg"
    config.write_text(HAPROXY)
    haproxy = bed.start(bed.program("haproxy"), "-db", "-f", config, name="haproxy")

    def state():
        with contextlib.suppress(OSError):
            return ask("/", address="127.0.0.1:8001").body
        return None
    wait_until(lambda: state() == "1", "it is up", 30)
    with Client(port=8000) as client:
        client.ask()
        bed.reuseportd("drain-host", "--lame-duck", 0, "--timeout", 0, status=3)
        wait_until(lambda: state() == "0", "it drains", 30)
        check("enters drain state" in haproxy.output(), haproxy.output())
        client.ask()
        bed.reuseportd("resume-host")
        wait_until(lambda: state() == "1", "it is up again", 30)
        with Client(port=8000) as other:
            other.ask()
    equal(run.stop(), 0, "exit status of the supervisor")


# drain-host


def drain_host(bed, *args, status=0):
    return bed.reuseportd("drain-host", "--json", "--lame-duck", 0, *args, status=status, deadline=90)


def test_drain_host(bed):
    """While it drains, all connections are served; it waits for the open ones, and names them.
    The state outlives the page's process."""
    Workers(bed, 2)
    Workers(bed, 1, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 2, "--port", PORT)
    bed.reuseportd("attach", "--workers", 1, "--port", PORT + 1, "--service", "other", "--no-count")
    web = start(bed)
    wait_ready(200)
    with load_unfailed(bed):
        first = drain_host(bed, "--timeout", 0, status=None).json()
        answer = wait_ready(503, "draining")
        equal((answer["draining_since"], answer["live"]), (first["draining_since"], 3), f"{answer}")
        for query, status in (("?draining=404", 404), (f"?service={SERVICE}&draining=404", 404),
                              (f"?service={SERVICE}", 503), ("?draining=200", 400)):
            for method in ("GET", "HEAD"):
                equal(ask(f"/ready{query}", method).status, status, f"{method} {query}")
        equal((metric(bed, "ready"), metric(bed, "draining")), (["0"] * 2, ["1"] * 2), "metrics")
        check("draining" in bed.reuseportd("status", SERVICE).out, "status")
        stop(web)
        web = start(bed)
        equal(ready()[0], 503, "after a restart of the page's process")
    with Client() as one, Client(port=PORT + 1) as two:
        one.ask()
        two.ask()
        result = drain_host(bed, "--timeout", "300ms", status=3).json()
        equal((first["changed"], result["changed"], result["draining_since"]),
              (True, False, first["draining_since"]), "again")
        rows = {row["service"]: row for row in result["services"]}
        for name, client in ((SERVICE, one), ("other", two)):
            host, port = client.socket.getsockname()
            equal([row["peer"] for row in rows[name]["remaining"]], [f"{host}:{port}"], name)
            equal((rows[name]["empty"], rows[name]["left"]["active"], rows[name]["closed"]), (False, 1, 0), name)
        check(rows[SERVICE]["remaining"][0]["slot"] is not None, f"{rows}")
        shown = bed.reuseportd("drain-host", "--lame-duck", 0, "--timeout", 0, status=3)
        for text in ("not empty", f"{SERVICE}:", "other:", str(one.socket.getsockname()[1])):
            check(text in shown.out, f"{shown}")
        waits = bed.start(bed.binary("reuseportd"), "drain-host", "--lame-duck", 0, name="drain")
        waits.wait_output("2 left")
        one.ask()
    equal(waits.wait(), 0, "exit status of `drain-host` that has waited")
    equal(drain_host(bed).json()["empty"], True, "empty")
    equal(of_command(bed, "resume-host"), {"draining_since": None, "changed": True}, "resumed")
    equal(of_command(bed, "resume-host"), {"draining_since": None, "changed": False}, "resumed again")
    wait_ready(200)
    stop(web)


def test_at_once(bed):
    """As soon as `drain-host` says so, the host is draining for all clients, also while a command has
    the service's lock; and so for `resume-host`."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    web = start(bed, "--agent", AGENT)
    for hold in (False, True, False):
        wait_ready(200)
        wait_until(lambda: agent() == "ready up 100%", "ready", 30)
        drain_host(bed, "--timeout", 0)
        with held(SERVICE) if hold else contextlib.nullcontext():
            equal(ready("?draining=404")[0], 404, "status")
            equal(agent(), "drain", "line")
        bed.reuseportd("resume-host")
        equal((ready()[0], agent()), (200, "ready up 100%"), "resumed")
    stop(web)


def test_former_worker_of_dropped_address(bed):
    """`drain-host` also waits for the connections that a former worker has on an address that the
    service no longer has."""
    def on(host):
        return worker_command(bed, "--address", host)
    run = Run(bed, on("127.0.0.2"), "--settle", "0.3", "--drain-timeout", "300s", workers=1)
    with Client("127.0.0.2") as client:
        client.ask()
        bed.start(bed.binary("reuseportd"), "reload", run.name, "--", *on("127.0.0.1"), name="reload")
        run.process.wait_output("1 of 1 workers are new")
        wait_until(lambda: [row["address"] for row in run.status()["endpoints"]] == ["127.0.0.1"],
                   "the address is dropped")
        (service,) = drain_host(bed, "--timeout", 0, status=3).json()["services"]
        host, port = client.socket.getsockname()
        equal([row["peer"] for row in service["remaining"]], [f"{host}:{port}"], "connections")
    equal(drain_host(bed).json()["empty"], True, "empty")
    bed.reuseportd("resume-host")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_close_remaining(bed):
    """The remaining connections are reset, of a service that counts and of one that does not."""
    Workers(bed, 2)
    Workers(bed, 1, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 2, "--port", PORT)
    bed.reuseportd("attach", "--workers", 1, "--port", PORT + 1, "--service", "other", "--no-count")
    clients = [Client(), Client(), Client(port=PORT + 1)]
    for client in clients:
        client.ask()
    result = drain_host(bed, "--timeout", "100ms", "--close-remaining").json()
    equal({row["service"]: (row["closed"], len(row["remaining"]), row["empty"]) for row in result["services"]},
          {SERVICE: (2, 2, True), "other": (1, 1, True)}, f"{result}")
    for client in clients:
        try:
            equal(client.socket.recv(1), None, "data")
        except ConnectionResetError:
            pass
    bed.reuseportd("resume-host")


def test_resumed_meanwhile(bed):
    """`drain-host` fails if the host is resumed in its lame duck, or while it waits."""
    Workers(bed, 1)
    bed.reuseportd("attach", "--workers", 1)
    with Client() as client:
        client.ask()
        for args, text in (((), "answers 503"), (("--lame-duck", 0), "1 left")):
            waits = bed.start(bed.binary("reuseportd"), "drain-host", *args, "--timeout", "1h", name="drain")
            waits.wait_output(text)
            bed.reuseportd("resume-host")
            equal(waits.wait(), 1, "exit status")
            check("resumed meanwhile" in waits.output(), waits.output())
    # Before `drain-host` reads its own mark.
    shown = bed.run(bed.program("strace"), "-qq", "-o", "/dev/null", "-P", MARK, "-e", "inject=newfstatat:error=ENOENT",
                    bed.binary("reuseportd"), "drain-host", "--lame-duck", 0, "--timeout", 0)
    equal(shown.code, 1, f"exit status: {shown}")
    check("resumed meanwhile" in shown.err, f"{shown}")
    bed.reuseportd("resume-host")


def test_without_service(bed):
    """A host without a service is empty; wrong arguments change nothing; a folder that can't be made
    is an error."""
    equal(drain_host(bed).json()["services"], [], "services")
    check("the host is draining" in bed.reuseportd("doctor", status=None).out, "doctor")
    bed.reuseportd("resume-host")
    check(not MARK.parent.exists(), "the folder is left")
    for args in (("drain-host", "web"), ("drain-host", "--timeout", "x"), ("drain-host", "--lame-duck", "-1"),
                 ("resume-host", "web")):
        bed.reuseportd(*args, status=2)
    check(not MARK.exists(), "the host drains")
    MARK.parent.write_text("")
    refused = bed.reuseportd("drain-host", status=1)
    check("can't make /run/reuseportd" in refused.err, f"{refused}")
    MARK.parent.unlink()


@timeout(200, 600)
def test_killed(bed):
    """Killed at any system call, `drain-host` and `resume-host` leave the host either draining or
    not, and the next command does the rest: no connection fails."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    killat, tool, dice, n = bed.binary("killat"), bed.binary("reuseportd"), chance(), 0
    with load_unfailed(bed):
        for command, undo in ((("drain-host", "--lame-duck", 0, "--timeout", 0), ("resume-host",)),
                              (("resume-host",), ("drain-host", "--lame-duck", 0, "--timeout", 0))):
            bed.reuseportd(*undo, status=None)
            listed = bed.run(killat, "--skip-start", "--list", tool, *command)
            stops = sampled(shortened(STOP.findall(listed.out)), dice)
            stops = stops if FULL else spread(stops, 12)
            states = set()
            for at in stops:
                bed.reuseportd(*undo, status=None)
                before = MARK.exists()
                equal(before, undo[0] == "drain-host", f"the host drains after {undo}")
                n += bed.run(killat, "--skip-start", "--at", at, tool, *command).code == 0
                states.add(MARK.exists())
                status = bed.reuseportd("status", SERVICE, "--json").json()
                equal(bool(status["readiness"]["draining_since"]), MARK.exists(), f"after {at}")
                files = sorted(path.name for path in MARK.parent.iterdir()) if MARK.parent.exists() else []
                equal(files, [MARK.name] * MARK.exists(), f"files after {at}")
                bed.reuseportd(*command, status=None)
                equal(MARK.exists(), command[0] == "drain-host", f"{command} after {at}")
            equal(states, {False, True}, f"whether the host drains after {command} was killed")
    bed.reuseportd("resume-host")
    note(f"killed {n} times")
    check(n > 12, f"killed {n} times only")
