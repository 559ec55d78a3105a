# SPDX-License-Identifier: BSD-2-Clause
"""The metrics: they have the values of `status --json`, Prometheus accepts them, they are served by
HTTP, and nothing remains."""
import collections
import concurrent.futures
import http.client
import os
import re
import resource
import signal
import socket
import threading

from deploys import QUICK, Deploys, deploy_canary, kill_and_restart
from harness.bed import PINS
from harness.checks import SLOW, Failure, cases, check, equal, note, wait_until
from harness.network import PORT
from harness.servers import Worker, Workers
from harness.traffic import Place, wait_for_load
from runs import Run, worker_command


SERVICE = f"worker-{PORT}"
LISTEN = "127.0.0.1:9464"
SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\\n]|\\.)*",?)+)\} (\S+)')

HISTOGRAM = "reuseportd_http_time_to_first_byte_seconds"

Sample = collections.namedtuple("Sample", "labels value")


def parse(text):
    """{name: [Sample]}. The samples of a name must follow its HELP and TYPE, without a gap."""
    metrics, name = {}, None
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split()[2]
            check(name not in metrics, f"{name} comes twice")
            check(len(line.split()) > 3, f"{name} has no help")
            kind = ("counter" if name.endswith("_total") else
                    "histogram" if name == HISTOGRAM else "gauge")
            equal(next(lines), f"# TYPE {name} {kind}", "line behind HELP")
            metrics[name] = []
            continue
        sample = SAMPLE.fullmatch(line)
        parts = [name + suffix for suffix in ("_bucket", "_sum", "_count")]
        check(sample and sample[1] in (parts if name == HISTOGRAM else [name]), f"no sample of {name}: {line}")
        labels = {key: value.replace(r'\"', '"').replace(r"\\", "\\")
                  for key, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample[2])}
        metrics[name].append(Sample(labels, float(sample[3])))
    return metrics


def values(metrics, name, **want):
    """The values of the samples that have these labels, by slot."""
    return {sample.labels.get("slot"): sample.value for sample in metrics[f"reuseportd_{name}"]
            if want.items() <= sample.labels.items()}


def expect_per_slot(metrics, name, status, value, tolerance=1e-5):
    """Checks that the sample of each slot is @value(worker); None: the slot has no sample."""
    want = {str(w["slot"]): value(w) for w in status["workers"] if value(w) is not None}
    got = values(metrics, name, service=status["service"])
    got.pop("none", None)
    equal(sorted(got), sorted(want), f"slots with {name}")
    far = {slot: (got[slot], want[slot]) for slot in got if abs(got[slot] - want[slot]) > tolerance}
    equal(far, {}, f"{name}: got and expected")


GAUGES = {
    "worker_weight": lambda w: w["weight"],
    "worker_share_ratio": lambda w: w["share_percent"] / 100,
    "connections_active": lambda w: w["active"],
    "connections_former_active": lambda w: w["former_active"],
    "connections_queued": lambda w: w["queued"],
    "accept_queue_limit": lambda w: w["backlog"],
    "handshakes": lambda w: w["handshakes"],
}


def expect_versions(metrics, status):
    """The samples of each version; a value that is null has none."""
    for name, kind, value in (
            ("share_ratio", None, lambda row: row["share_percent"] / 100),
            ("connections_total", None, lambda row: row["connections"] and row["connections"]["opened"]),
            ("errors_total", "reset",
             lambda row: row["connections"] and row["connections"]["reset_by_worker"]),
            ("errors_total", "5xx", lambda row: row["responses"] and row["responses"]["5xx"]),
            ("errors_total", "unanswered", lambda row: row["unanswered"])):
        got = {sample.labels["version"]: round(sample.value, 6)
               for sample in metrics[f"reuseportd_version_{name}"]
               if sample.labels["service"] == status["service"] and sample.labels.get("kind") == kind}
        want = {row["version"]: round(value(row), 6) for row in status["versions"]
                if value(row) is not None}
        equal(got, want, f"version_{name} {kind}")


def expect_as_status(metrics, status):
    """Checks that the metrics have the values of the status; nothing may change meanwhile."""
    name = status["service"]
    for key, total in status["counters"].items():
        expect_per_slot(metrics, f"{key}_total", status, lambda w, key=key: w["counters"][key])
        equal(sum(values(metrics, f"{key}_total", service=name).values()), total, f"sum of {key}")
    for key in status["workers"][0]["connections"] or ():
        expect_per_slot(metrics, f"connections_{key}_total", status,
                        lambda w, key=key: w["connections"] and w["connections"][key])
    for gauge, value in GAUGES.items():
        expect_per_slot(metrics, gauge, status, value)
    # The value is rounded, and the clock may be adjusted meanwhile.
    expect_per_slot(metrics, "worker_start_time_seconds", status, lambda w: w["started_at"], 1)
    for worker in status["workers"]:
        labels = {"service": name, "slot": str(worker["slot"]), "version": worker["version"]}
        check(Sample({**labels, "state": worker["state"]}, 1)
              in metrics["reuseportd_worker_state"], f"state of {worker}")
        check(Sample({**labels, "pid": str(worker["pid"]), "command": worker["command"]}, 1)
              in metrics["reuseportd_worker_info"], f"process of {worker}")
        check(Sample(labels, worker["weight"]) in metrics["reuseportd_worker_weight"],
              f"labels of {worker}")
    ring = status["ring"]
    want = {"up": 1, "workers": len(status["workers"]), "counting": status["counting"],
            "foreign_listeners": len(status["foreign_listeners"]), "ring_length": ring["length"],
            "ring_slots": ring["slots"],
            "ring_rounding_error_ratio": ring["rounding_error_ppm"] / 1e6}
    if status["unattributed_active"] is not None:
        want["connections_unattributed"] = status["unattributed_active"]
    if "canary_percent" in status:
        want["canary_share_ratio"] = round(status["canary_percent"] / 100, 6)
    expect_versions(metrics, status)
    for key in ("up", "workers", "counting", "foreign_listeners", "ring_length", "ring_slots",
                "ring_rounding_error_ratio", "connections_unattributed", "canary_share_ratio"):
        equal(values(metrics, key, service=name), {None: want[key]} if key in want else {}, key)


def get(path="/metrics", method="GET", address=LISTEN):
    """Sends a request. Returns status, headers and body of the answer."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30 * SLOW)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def wait_as_status(bed, *service, address=LISTEN, read=None):
    """Waits until the exporter, or read(), has the values of `status`: an answer is kept for a second."""
    def is_so():
        try:
            text = read() if read else get(address=address)[2]
            expect_as_status(parse(text), bed.status(*service))
            return True
        except Failure as failure:
            is_so.why = failure
            return False
    try:
        wait_until(is_so, "the metrics are current", interval=0.1)
    except Failure as failure:
        raise is_so.why from failure


def start_exporter(bed, *args, address=LISTEN, **options):
    exporter = bed.start(bed.binary("reuseportd"), "metrics", "--listen", address, *args,
                         name="exporter", **options)
    exporter.wait_output(f"serving http://{address}/metrics\n")
    return exporter


def stop_exporter(exporter, number=signal.SIGTERM):
    equal(exporter.stop(number), 0, f"exit status of\n{exporter.output()}")


def set_up(bed):
    """Sets up two services with many values that differ from the default."""
    workers = Workers(bed, 4)
    Workers(bed, 2, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 2, "--port", PORT + 1, "--service", "other")
    bed.reuseportd("attach", "--workers", 4, "--port", PORT, "--http")
    bed.reuseportd("weight", SERVICE, 1, 300)
    bed.reuseportd("canary", SERVICE, 3, "--share", "0.7")
    bed.reuseportd("label", SERVICE, 2, 'a"b\\c')
    bed.reuseportd("drain", SERVICE, 0)
    bed.reuseportd("drain", "other", "0,1", "--force")
    Worker(bed, "stranger")
    bed.load("-n", 100)
    report = bed.load("-n", 3, *bed.targets("127.0.0.1", port=PORT + 1), hosts=())
    equal(report["failed"], 3, "refused connections")
    workers[1].process.stop(signal.SIGKILL)
    wait_as_status(bed, SERVICE, read=lambda: bed.reuseportd("metrics").out)  # the last connections end
    return workers


def test_as_status(bed):
    """The values of `status`, for one service and for all; unknown values have no sample."""
    set_up(bed)
    metrics = parse(bed.reuseportd("metrics").out)
    for service in (SERVICE, "other"):
        expect_as_status(metrics, bed.status(service))
    check(values(metrics, "dropped_total", service="other")["none"] >= 3, "refused connections")
    check("1" not in values(metrics, "connections_queued", service=SERVICE),
          "queue of the dead worker")
    for args in ((SERVICE,), ("--service", SERVICE)):
        of_one = parse(bed.reuseportd("metrics", *args).out)
        equal({sample.labels["service"] for samples in of_one.values() for sample in samples},
              {SERVICE}, f"services of {args}")
        expect_as_status(of_one, bed.status(SERVICE))


def test_no_service(bed):
    """Without a service there is no sample, and an error if a service is named."""
    check(not any(parse(bed.reuseportd("metrics").out).values()), "samples of no service")
    result = bed.reuseportd("metrics", "absent", status=1)
    check("no service 'absent'" in result.err and not result.out, f"{result}")
    bed.reuseportd("metrics", "a.b", status=2)
    bed.reuseportd("metrics", "--listen", LISTEN, "a.b", status=2)
    bed.reuseportd("metrics", "one", "two", status=2)


def promtool(bed, *args, data=None):
    result = bed.run(bed.program("promtool"), *args, data=data)
    check(result.code == 0, f"{result}")
    return result


def test_promtool(bed):
    """promtool reports no problem, with and without a service."""
    for prepare in (lambda bed: None, set_up):
        prepare(bed)
        result = promtool(bed, "check", "metrics", data=bed.reuseportd("metrics").out)
        equal(result.out + result.err, "", "output of promtool")


@cases("127.0.0.1:9464", "[::1]:9464")
def test_listen(bed, address):
    """The exporter serves what `metrics` prints, and nothing else; the values are current."""
    set_up(bed)
    exporter = start_exporter(bed, address=address)
    status, headers, body = get(address=address)
    equal((status, headers["Content-Type"]),
          (200, "text/plain; version=0.0.4; charset=utf-8"), "answer")
    equal(body, bed.reuseportd("metrics").out, "served text")
    equal(get(method="HEAD", address=address)[0], 200, "HEAD")
    for path in ("/", "/metric", "/metrics/"):
        status, _, body = get(path, address=address)
        check(status == 404 and "/metrics" in body, f"{path}: {status} {body}")
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = get(method=method, address=address)
        equal((status, headers["Allow"]), (405, "GET, HEAD"), method)

    bed.reuseportd("resume", SERVICE, 0)
    wait_as_status(bed, SERVICE, address=address)
    bed.reuseportd("detach", "other")
    wait_until(lambda: [sample.labels["service"] for sample in
                        parse(get(address=address)[2])["reuseportd_up"]] == [SERVICE],
               "one service is left")
    bed.reuseportd("detach", SERVICE)
    wait_until(lambda: not any(parse(get(address=address)[2]).values()), "no service is left")
    equal(get(address=address)[0], 200, "status without a service")
    stop_exporter(exporter)


def test_listen_for_one_service(bed):
    """The exporter of one service, before it is attached, while it is, and afterwards. SIGINT ends
    the exporter."""
    Workers(bed, 4)
    exporter = start_exporter(bed, SERVICE)
    down = [(f"reuseportd_{name}", Sample({"service": SERVICE}, 0)) for name in ("up", "ready")]
    for _ in range(2):
        wait_until(lambda: [(name, *samples) for name, samples in parse(get()[2]).items()
                            if samples] == down, "the service is down")
        bed.reuseportd("attach", "--workers", 4)
        wait_as_status(bed)
        bed.reuseportd("detach")
    stop_exporter(exporter, signal.SIGINT)


def test_unreadable(bed):
    """A damaged service is down; the metrics of other services are not affected."""
    set_up(bed)
    bed.remember_pinned()
    (PINS / "other" / "control").unlink()
    metrics = parse(bed.reuseportd("metrics").out)
    equal(values(metrics, "up", service="other"), {None: 0}, "up")
    expect_as_status(metrics, bed.status(SERVICE))
    bed.reuseportd("metrics", "other", status=1)
    exporter = start_exporter(bed, "other")
    status, _, body = get()
    check(status == 503 and "damaged" in body, f"{status} {body}")
    stop_exporter(exporter)
    bed.reuseportd("detach", "other", "--force", status=None)


@cases("127.0.0.1", "9464", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "::1:9464",
       "[::1]9464", "localhost:9464")
def test_bad_address(bed, address):
    for args in (("metrics", "--listen", address),
                 ("attach", "--workers", 1, "--watch", "--metrics", address)):
        result = bed.reuseportd(*args, status=2)
        check(address in result.err, f"{result}")


def test_address_in_use(bed):
    """An address in use is an error, and nothing is changed."""
    Workers(bed, 2)
    with socket.create_server(("127.0.0.1", 9464)):
        for args in (("metrics", "--listen", LISTEN),
                     ("attach", "--workers", 2, "--watch", "--metrics", LISTEN)):
            result = bed.reuseportd(*args, status=1)
            check(LISTEN in result.err and "in use" in result.err, f"{result}")
    equal(bed.left_files(), [], "files left")
    result = bed.reuseportd("metrics", "--listen", "192.0.2.1:9464", status=1)
    check("192.0.2.1:9464" in result.err, f"{result}")
    bed.reuseportd("attach", "--workers", 2, "--metrics", LISTEN, status=2)


def test_watch(bed):
    """`attach --watch --metrics` serves the metrics of that service; SIGTERM ends both."""
    workers = Workers(bed, 3)
    Workers(bed, 2, port=PORT + 1)
    bed.reuseportd("attach", "--workers", 2, "--port", PORT + 1, "--service", "other")
    for _ in range(2):  # attaches, then finds the service attached
        watch = bed.start_watch("--workers", 3, "--port", PORT, "--metrics", LISTEN)
        metrics = parse(get()[2])
        expect_as_status(metrics, bed.status(SERVICE))
        check(not values(metrics, "up", service="other"), "it has another service as well")
        workers[1].process.stop(signal.SIGKILL)
        wait_until(lambda: {"state": "dead", "slot": "1"}.items() <= next(
            s for s in parse(get()[2])["reuseportd_worker_state"]
            if s.labels["slot"] == "1").labels.items(), "slot 1 is dead")
        workers.all[1] = Worker(bed, "again")
        wait_until(lambda: bed.status(SERVICE)["workers"][1]["live"], "slot 1 is filled again")
        wait_as_status(bed, SERVICE)
        equal(watch.stop(), 0, f"exit status of\n{watch.output()}")
    bed.reuseportd("detach", "other")
    watch = bed.start_watch("--workers", 3, "--metrics", LISTEN)
    bed.reuseportd("detach")
    equal(watch.wait(), 0, "exit status of the watcher of a service that was detached")


def test_netns(bed):
    """Workers in another network namespace: the exporter stays in this one, and doesn't keep the
    other namespace alive."""
    bed.netns("there")
    servers = Workers(bed, 2, netns="there")
    bed.reuseportd("attach", "--workers", 2, netns="there")
    exporter = start_exporter(bed)
    for _ in range(3):
        expect_as_status(parse(get()[2]), bed.status())
    equal(os.readlink(f"/proc/{exporter.pid}/ns/net"), os.readlink("/proc/self/ns/net"),
          "network namespace of the exporter")
    for server in servers.all:
        server.stop()
    wait_until(lambda: set(values(parse(get()[2]), "worker_state", state="dead")) == {"0", "1"},
               "both workers are dead")
    stop_exporter(exporter)
    bed.reuseportd("detach", "--force", status=None)


def test_during_commands(bed):
    """During continuous scrapes commands work, and no counter falls."""
    Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4)
    exporter = start_exporter(bed)
    over = threading.Event()

    def scrape():
        n = 0
        while not over.is_set():
            equal(get()[0], 200, "status of a scrape")
            n += 1
        return n
    with concurrent.futures.ThreadPoolExecutor() as pool:
        scraper = pool.submit(scrape)
        try:
            change_and_scrape(bed)
        finally:
            over.set()
        note(f"{scraper.result()} scrapes beside the commands")
    stop_exporter(exporter)


def change_and_scrape(bed):
    """Drains and resumes under load; no counter falls."""
    load = Place(bed, "loopback").start_load()
    before = {}
    for i in range(20):
        bed.reuseportd("drain" if i % 2 == 0 else "resume", i // 2 % 4)
        wait_for_load(bed, range(4), 100)
        metrics = parse(get()[2])
        equal(values(metrics, "up"), {None: 1}, "up")
        for name, samples in metrics.items():
            for sample in samples if name.endswith("_total") else ():
                key = name, frozenset(sample.labels.items())
                check(sample.value >= before.get(key, 0), f"{key} fell to {sample.value}")
                before[key] = sample.value
    load.stop_unfailed()
    equal(sum(value for (name, _), value in before.items() if name == "reuseportd_slot_gone_total"),
          0, "connections to a slot without listener")


def cpu_seconds():
    """CPU time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_version(bed, name, **labels):
    """The samples of one metric, by version."""
    return {sample.labels["version"]: sample.value
            for sample in parse(bed.reuseportd("metrics").out)[f"reuseportd_version_{name}"]
            if labels.items() <= sample.labels.items()}


def test_versions(bed):
    """The counts of a version have each connection and each reset, and only grow: workers are
    restarted twice, so that a generation is used again; the supervisor is killed; versions change."""
    run = Run(bed, worker_command(bed, "--reset", 10), "--settle", "0.1", workers=4)
    met = 0

    def load(connections):
        nonlocal met
        report = bed.load("-n", 100)
        met += report["failed"]
        equal(of_version(bed, "connections_total"), connections, "connections")
        equal(sum(of_version(bed, "errors_total", kind="reset").values()), met, "resets")
    load({"v1": 100})
    for n in (200, 300, 400):
        run.command_line("restart", 0)
        load({"v1": n})
    run.kill_supervisor()
    run.start()
    load({"v1": 500})
    run.command_line("label", "2,3", "v2")
    load({"v1": 550, "v2": 50})
    run.command_line("restart", 3)
    load({"v1": 600, "v2": 100})
    check(met > 0, "no connection was reset")
    equal(run.stop(), 0, "exit status")


def test_rollouts(bed):
    """Deployments are counted by outcome, also by the next supervisor and after a re-exec."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=2)

    def expect(**want):
        got = {sample.labels["outcome"].replace("-", "_"): sample.value for sample in
               parse(bed.reuseportd("metrics").out)["reuseportd_rollouts_total"]}
        equal(got, {**dict.fromkeys(("promoted", "aborted", "rolled_back", "failed"), 0), **want},
              "deployments that have ended")

    def deploy(label, *command, status=0):
        run.deploy("--strategy", "blue-green", "--label", label, "--wait", command=command,
                   status=status)
    expect()
    deploy("v2")
    expect(promoted=1)
    kill_and_restart(run)
    expect(promoted=1)
    deploy("v3", "false", status=1)
    expect(promoted=1, failed=1)
    deploy_canary(run, "--label", "v4")
    run.wait_for(step=1, phase="paused")
    expect(promoted=1, failed=1)
    kill_and_restart(run)
    run.command_line("abort")
    run.wait_for(outcome="aborted")
    expect(promoted=1, failed=1, aborted=1)
    os.kill(run.process.pid, signal.SIGUSR2)
    wait_until(lambda: run.log().count("web: started:") == 2, "the supervisor was executed again", 60)
    run.command_line("rollback")
    run.wait_for(outcome="rolled-back")
    expect(promoted=1, failed=1, aborted=1, rolled_back=1)
    samples = parse(bed.reuseportd("metrics").out)
    equal([sample.value for sample in samples["reuseportd_supervisor_up"]], [1], "supervisor")
    run.kill_supervisor()
    samples = parse(bed.reuseportd("metrics").out)
    equal([sample.value for sample in samples["reuseportd_supervisor_up"]], [0], "supervisor")
    expect(promoted=1, failed=1, aborted=1, rolled_back=1)


def test_many_slots(bed):
    """With 1,024 slots a scrape reads each slot once. tools/bench checks the cost; this test only
    excludes that a scrape reads all slots for each slot, which takes many times as long."""
    Worker(bed, "w", options=("--threads", 1024))
    bed.reuseportd("attach", "--workers", 1024)
    exporter = start_exporter(bed)
    metrics = parse(get()[2])
    equal(len(values(metrics, "connections_opened_total")), 1024, "slots")
    expect_as_status(metrics, bed.status())
    before, n = cpu_seconds(), 10
    for _ in range(n):
        bed.reuseportd("metrics")
    cost = (cpu_seconds() - before) / n
    note(f"{cost * 1000:.1f} ms of CPU a scrape of 1,024 slots")
    check(cost < 0.25 * SLOW, f"a scrape takes {cost * 1000:.1f} ms of CPU")
    stop_exporter(exporter)
