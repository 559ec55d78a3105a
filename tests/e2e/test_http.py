# SPDX-License-Identifier: BSD-2-Clause
"""HTTP responses, counted in the kernel: exactly those that the clients got, by worker, version and
class, of programs that know nothing of it."""
import collections
import http.client
import threading

from harness.bed import PINS
from harness.checks import cases, check, equal, timeout, wait_until
from harness.network import PORT
from harness.servers import Nginx, Workers
from runs import Run, script, worker_command

PINNED = ("responses", "requests", "http-in", "http-out")

# Answers with the status that the path names; /slow and others in several parts.
NODE = """
const http = require('http');
const id = process.env.REUSEPORTD_SLOT;
const server = http.createServer((request, response) => {
    response.setHeader('X-Worker', id);
    if (request.url === '/parts') {
        response.write('HTTP/1.1 500 this is text\\n');
        setTimeout(() => { response.write('HTTP/1.1 500 this is more\\n'); response.end(); }, 5);
        return;
    }
    if (request.url === '/hints')
        response.writeEarlyHints({link: '</a>; rel=preload'});
    request.resume();
    request.on('end', () => {
        response.statusCode = Number(request.url.slice(1)) || 200;
        response.end(response.statusCode === 204 ? '' : 'x'.repeat(100000));
    });
});
server.listen(%PORT%);
"""

PYTHON = """
import http.server, os, socketserver

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = int(self.path[1:]) if self.path[1:].isdigit() else 200
        body = b"" if status == 204 or self.command == "HEAD" else b"x" * 100000
        self.send_response(status)
        self.send_header("X-Worker", os.environ["REUSEPORTD_SLOT"])
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512

Server(("0.0.0.0", %PORT%), Handler).serve_forever()
"""

STATUSES = (200, 204, 301, 404, 418, 500, 503)


def classes(row):
    """The responses of a worker or version, without those that are 0."""
    return {name: n for name, n in row["responses"].items() if n}


def ask(counts, connection, method, path, **options):
    connection.request(method, path, **options)
    response = connection.getresponse()
    response.read()
    name = "unknown" if path == "/unknown" else f"{response.status // 100}xx"
    counts[int(response.headers["X-Worker"])][name] += 1


def client(counts, n, paths, v6):
    """Makes @n connections; sends a request of each kind on each of them. @paths: more paths, of a
    server that also understands chunked requests."""
    for i in range(n):
        connection = http.client.HTTPConnection("::1" if v6 else "127.0.0.1", PORT, timeout=60)
        for status in STATUSES:
            ask(counts, connection, "GET", f"/{status}")
        ask(counts, connection, "HEAD", "/200")
        ask(counts, connection, "POST", "/200", body=b"HTTP/1.1 500 this is text" * 10000)
        for path in paths:
            ask(counts, connection, "GET", path)
        if paths:
            ask(counts, connection, "POST", "/500", body=iter([b"part"] * 5))  # chunked
        # A body that looks like a request: then it is not known what is answered.
        ask(counts, connection, "POST", "/unknown", body=b"GET / HTTP/1.1\r\n" * 20000)
        connection.close()


def run_clients(n, paths=(), families=(False,)):
    """Returns what several clients got at the same time: slot -> class -> count."""
    all_counts, threads = [], []
    for i in range(8):
        counts = collections.defaultdict(collections.Counter)
        all_counts.append(counts)
        threads.append(threading.Thread(target=client,
                                        args=(counts, n, paths, families[i % len(families)])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = collections.defaultdict(collections.Counter)
    for counts in all_counts:
        for slot, of in counts.items():
            total[slot].update(of)
    return total


@timeout(120)
@cases("node", "python")
def test_exact(bed, kind):
    """The counts of each worker equal what its clients got: keep-alive, HEAD, bodies in both
    directions, chunked, and text of a response in a body."""
    command = (["node", script(bed, "server.js", NODE)] if kind == "node" else
               ["python3", script(bed, "server.py", PYTHON)])
    run = Run(bed, command, "--http", "--ready", "http:/200", "--health-interval", "0.2s",
              workers=4)
    got = run_clients(20, ("/parts",) if kind == "node" else (),
                      (False, True) if kind == "node" else (False,))
    wait_until(lambda: all(row["requests_per_second"] for row in run.workers()),
               "requests a second", interval=0.2)  # of whole seconds
    status = run.status()
    for row in status["workers"]:
        of = got[row["slot"]]
        equal(classes(row), dict(of), f"responses of slot {row['slot']}")
        equal(row["time_to_first_byte"]["count"], sum(of.values()) - of["unknown"], "times")
    [version] = status["versions"]
    equal(version["version"], "v1", "version")
    equal(sum(classes(version).values()), sum(sum(of.values()) for of in got.values()), "responses of the version")
    text = bed.reuseportd("status").out
    check("HTTP responses" in text and "P99/MS" in text, text)
    check(max(map(len, text.split("HTTP responses")[1].splitlines())) <= 80, text)
    metrics = bed.reuseportd("metrics").out
    for slot, of in got.items():
        for code, n in of.items():
            check(f'reuseportd_http_responses_total{{service="web",slot="{slot}",version="v1",'
                  f'code="{code}"}} {n}\n' in metrics, metrics[-4000:])
        timed = sum(of.values()) - of["unknown"]
        check(f'reuseportd_http_time_to_first_byte_seconds_count{{service="web",slot="{slot}",'
              f'version="v1"}} {timed}\n' in metrics, metrics[-4000:])
        check(f'reuseportd_http_time_to_first_byte_seconds_bucket{{service="web",slot="{slot}",'
              f'version="v1",le="+Inf"}} {timed}\n' in metrics, metrics[-4000:])
    equal(run.stop(), 0, "exit status")


@timeout(120)
@cases("nginx", "nginx-one-listener", "worker")
def test_attached(bed, kind):
    """The same of servers that were there before, in one cgroup; also when responses are counted
    from later on, and not any more."""
    if kind == "worker":
        Workers(bed, workers=4)
    else:
        Nginx(bed, workers=4)
    bed.reuseportd("attach", "--workers", 4, "--http")
    report = bed.load("-n", 400, "--keepalive", 10)
    equal(report["failed"], 0, "failed")
    rows = bed.status()["workers"]
    equal({row["responses"]["2xx"] for row in rows}, {1000}, "responses of each worker")
    equal([classes(row) for row in rows], [{"2xx": 1000}] * 4, "responses")
    bed.reuseportd("label", "0,1", "v2")
    bed.load("-n", 400)
    of = {row["version"]: row["responses"]["2xx"] for row in bed.status()["versions"]}
    equal(of, {"v1": 4200, "v2": 200}, "responses of the versions")
    bed.reuseportd("detach")
    bed.reuseportd("attach", "--workers", 4)
    expect_uncounted(bed.status())
    bed.reuseportd("attach", "--workers", 4, "--http")
    bed.load("-n", 40)
    equal([classes(row) for row in bed.status()["workers"]], [{"2xx": 10}] * 4, "responses")


def expect_uncounted(status):
    check(not any(row["responses"] for row in status["versions"]), f"responses of {status['versions']}")


def test_off(bed):
    """Without --http nothing is attached, and nothing is shown."""
    run = Run(bed, worker_command(bed), workers=2)
    bed.load("-n", 10)
    check(not any((PINS / "web" / name).exists() for name in PINNED), "pins")
    cgroup = next(iter(bed.cgroups("web"))).parent
    shown = bed.run("bpftool", "cgroup", "show", cgroup).out
    check("rpd_http" not in shown and "rpd_bind4" in shown, shown)
    status = run.status()
    equal([row["responses"] for row in status["workers"]], [None, None], "responses")
    expect_uncounted(status)
    check("HTTP" not in bed.reuseportd("status").out, "text")
    check("reuseportd_http_responses_total{" not in bed.reuseportd("metrics").out, "metrics")
    run.stop()


def test_refused(bed):
    """--http without the counts of connections."""
    Workers(bed, workers=1)
    refused = bed.reuseportd("attach", "--workers", 1, "--http", "--no-count", status=2)
    check("--http" in refused.err and "--no-count" in refused.err, f"{refused}")
    refused = bed.reuseportd("run", "--workers", 1, "--http", "--no-count", "--", "true", status=2)
    check("http" in refused.err and "no-count" in refused.err, f"{refused}")


@timeout(120)
def test_reload(bed):
    """Reloads to other versions under load: the counts of all versions are what the clients got.
    A supervisor that was killed in between changes nothing."""
    run = Run(bed, worker_command(bed), "--http", "--settle", "0.1", workers=4)
    load = bed.start_load("-c", 8)
    run.reload("--label", "v2")
    run.kill_supervisor()
    run.start()
    run.reload("--label", "v3")
    run.reload("--label", "v1")
    report = load.stop_unfailed()
    versions = {row["version"]: classes(row) for row in run.status()["versions"]}
    equal(set(versions), {"v1", "v2", "v3"}, "versions")
    equal({name for of in versions.values() for name in of}, {"2xx"}, "classes")
    equal(sum(of["2xx"] for of in versions.values()), report["ok"], "responses")
    run.stop()


def test_switched_by_a_reload(bed):
    """The key `http` of a configuration file, added and removed while the service runs."""
    config = bed.dir / "web.ini"
    text = (f"[web]\nworkers = 2\ncommand = {' '.join(map(str, worker_command(bed)))}\n")
    config.write_text(text)
    process = bed.start(bed.binary("reuseportd"), "run", config, name="run")
    process.wait_output("web: started:")
    bed.remember_pinned()
    expect_uncounted(bed.status())
    config.write_text(text + "http = yes\n")
    bed.reuseportd("reload", "web")
    bed.remember_pinned()
    bed.load("-n", 20)
    equal([classes(row) for row in bed.status()["workers"]], [{"2xx": 10}] * 2, "responses")
    config.write_text(text)
    bed.reuseportd("reload", "web")
    expect_uncounted(bed.status())
    check(not any((PINS / "web" / name).exists() for name in PINNED), "pins")
    bed.reuseportd("stop", "web")
    equal(process.wait(), 0, "exit status")
