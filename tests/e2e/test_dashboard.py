# SPDX-License-Identifier: BSD-2-Clause
"""The rules for Prometheus, in promtool. The dashboard for Grafana: its structure, and each of its queries, in promtool and in a real Prometheus. No
package of Debian has Grafana, so the panels are not drawn."""
import itertools
import json
import pathlib
import re
import urllib.parse
import urllib.request

from deploys import QUICK, Deploys, deploy_canary
from harness.checks import SLOW, Failure, check, equal, note, timeout, wait_until
from harness.network import PORT
from harness.servers import Workers
from runs import worker_command
from test_metrics import LISTEN, parse, promtool, start_exporter, stop_exporter

TOOLS = pathlib.Path(__file__).parent / "../../tools"
DASHBOARD = TOOLS / "grafana-dashboard.json"
RULES = TOOLS / "prometheus/reuseportd.rules.yml"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GRID = 24  # columns of a dashboard
PROMETHEUS = "127.0.0.1:9090"
UNITS = {"short", "cps", "reqps", "percentunit", "s"}


def read():
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def exprs():
    """Each query as a query of a person: without variables."""
    found = [target["expr"] for panel in read()["panels"] for target in panel.get("targets", ())]
    plain = [expr.replace("$__rate_interval", "10s").replace("$service", ".*") for expr in found]
    equal([expr for expr in plain if "$" in expr], [], "unknown variables")
    return plain


def overlap(a, b):
    return all(a[at] < b[at] + b[size] and b[at] < a[at] + a[size]
               for at, size in (("x", "w"), ("y", "h")))


def check_panel(panel):
    title = panel["title"]
    if panel["type"] == "row":
        equal((panel["panels"], panel["collapsed"]), ([], False), f"panels of row {title}")
        return
    check(panel["type"] in ("stat", "timeseries", "table"), f"{title}: type {panel['type']}")
    equal(panel["datasource"], DATASOURCE, f"data source of {title}")
    check(panel["fieldConfig"]["defaults"]["unit"] in UNITS, f"{title}: unit")
    equal([target["refId"] for target in panel["targets"]],
          list("ABCDEFGH"[:len(panel["targets"])]), f"queries of {title}")
    for target in panel["targets"]:
        equal(target["datasource"], DATASOURCE, f"data source of a query of {title}")
        check(target["expr"] and "legendFormat" in target or target.get("format") == "table",
              f"{title}: {target}")


def test_structure(_bed):
    """The members that Grafana needs to draw a panel, each panel at a place of its own."""
    dashboard = read()
    panels = dashboard["panels"]
    check(dashboard["title"] and dashboard["uid"] and dashboard["schemaVersion"] >= 36, "head")
    equal([it["name"] for it in dashboard["templating"]["list"]], ["datasource", "service"],
          "variables")
    equal(len({panel["id"] for panel in panels}), len(panels), "different ids")
    for panel in panels:
        place = panel["gridPos"]
        check(place["x"] >= 0 and place["w"] > 0 and place["h"] > 0
              and place["x"] + place["w"] <= GRID, f"{panel['title']}: {place}")
        check_panel(panel)
    for a, b in itertools.combinations(panels, 2):
        check(not overlap(a["gridPos"], b["gridPos"]), f"{a['title']} covers {b['title']}")
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    equal(rows, ["Stuck workers", "HTTP", "Deployments"], "rows")


def check_metrics(bed, text):
    """All metrics in a text exist. Those that a recording rule makes have colons."""
    metrics = parse(bed.reuseportd("metrics").out)
    asked = {re.sub("_bucket$", "", name) for name in re.findall(r"(?<![:\w])reuseportd_\w+", text)}
    equal(asked - set(metrics), set(), "metrics that don't exist")


def test_rules(bed):
    """The rules are valid, do what their examples say, each alert has one, and they use existing
    metrics."""
    promtool(bed, "check", "rules", RULES)
    promtool(bed, "test", "rules", RULES.with_suffix(".test.yml"))
    text, examples = RULES.read_text(), RULES.with_suffix(".test.yml").read_text()
    alerts = set(re.findall(r"- alert: (\w+)", text))
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:", examples))
    equal((fired, fired != set()), (alerts, True), "alerts with an example")
    check_metrics(bed, text)


def test_dashboard_promtool(bed):
    """The queries use existing metrics and are valid."""
    queries = exprs()
    check_metrics(bed, " ".join(queries))
    rules = bed.dir / "rules.json"  # which is YAML
    rules.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(queries)]}]}))
    promtool(bed, "check", "rules", rules)


def query(expr):
    """The series that Prometheus answers a query with."""
    url = f"http://{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": expr})
    with urllib.request.urlopen(url, timeout=30 * SLOW) as answer:
        return json.load(answer)["data"]["result"]


def start_prometheus(bed):
    config = bed.dir / "prometheus.json"  # which is YAML
    config.write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "reuseportd", "static_configs": [{"targets": [LISTEN]}]}]}))
    prometheus = bed.start(
        bed.program("prometheus"), f"--config.file={config}",
        f"--storage.tsdb.path={bed.dir / 'tsdb'}", f"--web.listen-address={PROMETHEUS}",
        name="prometheus")

    def serves():
        try:
            return query("reuseportd_up")
        except OSError:
            return False
    wait_until(serves, "Prometheus has scraped the metrics", 60)
    return prometheus


@timeout(240)
def test_prometheus(bed):
    """A real Prometheus answers each query with data, for a canary that is judged and a worker that never
    accepts. A query that ends with `> 0` shows exceptions only."""
    run = Deploys(bed, worker_command(bed), *QUICK, "--http", workers=2)
    Workers(bed, workers=1, port=PORT + 1)
    Workers(bed, workers=1, first=1, port=PORT + 1, options=["--no-accept"])
    bed.reuseportd("attach", "--workers", 2, "--port", PORT + 1, "--service", "hung",
                   "--skip-stuck", "5ms")
    exporter = start_exporter(bed)
    prometheus = start_prometheus(bed)
    loads = [bed.start_load("-c", 4),
             bed.start_load("-c", 4, *bed.targets("127.0.0.1", port=PORT + 1), hosts=())]
    deploy_canary(run, "--warm-up", "0.2s", steps="50% 100s")
    queries = exprs()

    def unanswered():
        return [expr for expr in queries if not expr.endswith("> 0") and not query(expr)]
    try:
        wait_until(lambda: not unanswered(), "each query has an answer", 60, 0.5)
    except Failure as failure:
        raise Failure(f"{failure}: {unanswered()}") from None
    equal([it["metric"]["phase"] for it in query("reuseportd_rollout_phase")],
          ["progressing"], "phase")
    check(float(query("reuseportd_rollout_share_ratio")[0]["value"][1]) == 0.5, "share")
    check(query('reuseportd_accept_queue_unmoved_seconds{service="hung"} > 0'), "the stuck worker")
    note(f"{len(queries)} queries")
    for load in loads:
        load.stop()
    run.command_line("abort")
    prometheus.stop()
    stop_exporter(exporter)
