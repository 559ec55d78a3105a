# SPDX-License-Identifier: BSD-2-Clause
"""The page of `reuseportd web` in a real browser, while a new version is judged: for tools/picture.
Server, load, deployment and browser are real."""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from harness.bed import Bed  # noqa: E402
from harness.browser import Browser  # noqa: E402
from harness.checks import wait_until  # noqa: E402
from harness.network import PORT  # noqa: E402

WORKERS = 8
RATES = (120, 60, 40)  # new connections a second of each load: they begin one after the other
GAP = 15  # seconds between the begins
WIDTH = 1220  # so that the page shows all columns
LISTEN = "127.0.0.1:9465"
ENOUGH = 15  # evidence: then its bar is about half full

# Fails one of so many requests.
SHOP = """
let n = 0;
require('http').createServer((request, response) => {
    response.statusCode = ++n %% %d ? 200 : 503;
    response.setHeader('X-Worker', process.pid);
    setTimeout(() => response.end('hello\\n'), 2 + n %% 7);
}).listen(%d);
"""


def server(bed, name, fails):
    path = bed.dir / name
    path.write_text(SHOP % (fails, PORT))
    return "node", path


def load(bed):
    """Runs long enough to be seen as lines."""
    for rate in RATES:
        bed.start_load("-c", 32, "--rate", rate)
        begin = bed.status()["counters"]["steered"]
        wait_until(lambda begin=begin, rate=rate:
                   bed.status()["counters"]["steered"] > begin + rate * GAP, "load", 300, 0.5)


def judge(bed):
    """Returns when there is some evidence against the new version."""
    bed.reuseportd("deploy", "shop", "--label", "v2", "--strategy", "canary", "--warm-up", 0,
                   "--tolerate", 2, "--detach", "--", *server(bed, "v2.js", 40))

    def evidence():
        return max((signal["evidence"] for signal in bed.reuseportd("rollout", "--json").json()["signals"]
                    if signal["name"] == "http-5xx"), default=0)
    wait_until(lambda: evidence() > ENOUGH, "evidence against the new version", 300, 0.5)


def show(bed, output):
    bed.start(bed.binary("reuseportd"), "web", "--listen", LISTEN, name="web").wait_output("serving")
    browser = Browser(bed, "--lang=en")
    browser.resize(WIDTH)
    browser.open(f"http://{LISTEN}/")
    try:
        load(bed)
        judge(bed)
        browser.wait_text(".signals", "inconclusive")
        browser.picture(output, end_of="table.workers")
    finally:
        browser.close()


def photograph(build, output):
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(build, folder)
        run = bed.start(bed.binary("reuseportd"), "run", "--service", "shop", "--workers", WORKERS,
                        "--http", "--", *server(bed, "v1.js", 400), name="run")
        run.wait_output("shop: started:")
        try:
            show(bed, output)
        finally:
            bed.reuseportd("stop", "shop")
