# SPDX-License-Identifier: BSD-2-Clause
"""The page of `reuseportd web` in a real browser: what it shows and does, also by keyboard, on narrow
screens, for screen readers, and with many workers.
The pictures that it makes stay in the build folder, in tests/e2e/page."""
import os
import pathlib
import urllib.parse

import webs
from deploys import Deploys, deploy_canary, restart
from harness.browser import Browser
from harness.checks import check, equal, note, timeout, wait_until
from harness.network import PORT
from harness.servers import Worker
from runs import worker_command

WORKERS = 4
MANY, MANY_PORT = 1024, 8081
# A program can choose its name.
HOSTILE = "<img src=x>"

FILES = pathlib.Path(__file__).parents[2] / "user/web/page"

# The text of a cell of a worker. Not innerText, which would lay the page out.
CELL = "return document.querySelector(`table.workers tr[data-key='${arguments[0]}'] .${arguments[1]}`)"

# WCAG 2.2, 1.4.3: the contrast of each text with what is behind it. Returns the texts that have too
# little. Large text needs less, but not here.
CONTRAST = """
const parse = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
    for (let it = element; it; it = it.parentElement) {
        const [r, g, b, a = 1] = parse(getComputedStyle(it).backgroundColor);
        if (a > 0)
            return [r, g, b];
    }
    return [255, 255, 255];
};
const low = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let n = 0; walker.nextNode();) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility())
        continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5)
        low.push(`${text}: ${ratio.toFixed(2)}`);
}
return low;
"""

# What an update of the page changes. Compared with the texts before and after it.
WATCH = """
const body = document.querySelector('table.workers tbody');
const texts = () => [...body.querySelectorAll('th, td')].map(cell => cell.textContent);
const before = texts(), cells = [...body.querySelectorAll('th, td')];
const records = [];
window.watched = null;
new MutationObserver((more, observer) => {
    records.push(...more);
    if (!more.some(r => r.type === 'characterData'))
        return; // rows that came into view were drawn
    observer.disconnect();
    const after = texts();
    const changed = cells.filter((cell, i) => before[i] !== after[i]);
    const texted = records.filter(r => r.type === 'characterData');
    const touched = new Set(texted.map(r => r.target.parentElement.closest('th, td')));
    window.watched = {
        cells: cells.length, changed: changed.length, touched: touched.size,
        // A text may come back only after it has changed, and each is written once in an update.
        vain: texted.filter(r => r.oldValue === r.target.data).length,
        texts: texted.length, rows: records.filter(r => r.type === 'childList').length,
        drawn: records.filter(r => r.type === 'attributes').length,
        ms: performance.getEntriesByName('update').at(-1)?.duration,
    };
}).observe(body, {subtree: true, childList: true, characterData: true, attributes: true,
                  characterDataOldValue: true});
"""

# Keeps all that a screen reader would say.
HEAR = """
window.heard = [];
new MutationObserver(() => heard.push(document.querySelector('#said').textContent))
    .observe(document.querySelector('#said'), {childList: true});
"""


def cell(browser, slot, name):
    return browser.run(CELL + "?.textContent ?? null", slot, name)


def wait_cell(browser, slot, name, text):
    browser.wait(CELL + "?.textContent.includes(arguments[2])", slot, name, text,
                 what=f"the cell {name} of slot {slot} has '{text}'")


class Page:
    """A service of `run` under load, `reuseportd web`, and a browser that shows the service."""

    def __init__(self, bed):
        self.bed, self.pictures = bed, bed.build / "tests/e2e/page"
        os.symlink(bed.binary("worker"), bed.dir / HOSTILE)
        command = [str(bed.dir / HOSTILE), *worker_command(bed)[1:]]
        self.run = Deploys(bed, command, "--http", "--settle", "0.1", "--drain-timeout", "5s",
                           workers=WORKERS)
        self.start_web()
        self.browser = Browser(bed)

    def start_web(self):
        self.web = webs.start(self.bed, "--admin", "--token-file", webs.token_file(self.bed))

    def open(self, service="web"):
        self.browser.open(f"http://{webs.LISTEN}/?service={urllib.parse.quote(service)}")
        self.browser.wait("return document.querySelector('table.workers tbody tr')")
        self.browser.run(HEAR)

    def wait_said(self, words):
        self.browser.wait("return heard.some(text => text.includes(arguments[0]))", words,
                          what=f"screen readers say '{words}'")

    def picture(self, name):
        self.browser.picture(self.pictures / f"{name}.png")

    def state(self, slot):
        return self.run.states()[slot]


def check_shown(page):
    """The values of the command, and they change with the load."""
    browser = page.browser
    browser.wait_text("#link", "live")
    for row in page.run.workers():
        want = {"version": "v1", "is": "active", "target": "25.0\u202f%", "got": "–", "rate": "0.0",
                # Markup of a worker is text.
                "process": f"{row['pid']} {HOSTILE}"}
        equal({name: cell(browser, row["slot"], name) for name in want}, want, "cells")
    equal(browser.run("return document.querySelectorAll('img').length"), 0, "elements of a worker")
    page.load = page.bed.start_load("-c", 4, "--rate", 400)
    for slot in range(WORKERS):
        browser.wait("return parseFloat(" + CELL[7:] + "?.textContent) > 20", slot, "rate",
                     what=f"slot {slot} has a rate")
        browser.wait("const it = parseFloat(" + CELL[7:] + "?.textContent); return it > 20 && it < 30",
                     slot, "got", what=f"slot {slot} got its share")
        browser.wait(CELL + ".querySelector('path').getAttribute('d').split('L').length > 3", slot,
                     "rate", what="there is a sparkline")
    check("active" in browser.text(".workers caption"), "the caption counts the states")
    check(f"0.0.0.0:{PORT}" in browser.text("#facts"), "the endpoint is shown")


def check_readable(page):
    """By screen readers: tables with roles, captions and headers, states as words."""
    roles = page.browser.run("""
        return [...document.querySelectorAll('table')].filter(t => t.checkVisibility()).map(t => [
            t.getAttribute('role'), Boolean(t.caption.textContent),
            [...t.tHead.rows[0].cells].every(c => c.scope === 'col' && c.textContent),
            [...t.tBodies[0].rows].every(r => r.getAttribute('role') === 'row'
                && r.cells[0].scope === 'row'),
            t.tHead.rows[0].cells.length === t.tBodies[0].rows[0].cells.length])""")
    check(len(roles) >= 3, f"tables: {roles}")
    for row in roles:
        equal(row, ["table", True, True, True, True], "table")
    # What Chromium tells a screen reader.
    tree = page.browser.devtools("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value")) for n in tree if not n["ignored"]}
    for want in (("columnheader", "State"), ("rowheader", "0"), ("cell", "active"),
                 ("heading", "Workers"), ("link", "Skip to the workers")):
        check(want in named, f"{want} is not in the accessibility tree")


# Notes the method of each request, and whether it has the token.
NOTE_REQUESTS = """
window.requests = [];
const real = window.fetch;
window.fetch = (url, options) => {
    window.requests.push(`${options.method ?? 'GET'} ${'Authorization' in options.headers}`);
    return real(url, options);
};
"""


def check_refused(page):
    """Without the token, and with another one, the page can't change anything."""
    browser = page.browser
    equal(browser.run("return [...document.querySelectorAll('button.act')]"
                      ".filter(b => b.checkVisibility()).length"), 0, "buttons without a token")
    browser.click("#token")
    browser.press(*"wrong", "enter")
    browser.wait(CELL + "?.querySelector('button')?.checkVisibility()", 1, "act",
                 what="the buttons are there")
    press_twice(page, "[data-key='1'] .act button")
    browser.wait_text("#answer", "refused")
    page.wait_said("Drain worker 1: refused.")
    equal(page.state(1), "active", "state after a refused drain")
    browser.wait("return document.activeElement.id === 'token'", what="the token is asked for")


def press_twice(page, selector):
    """Clicks a button and confirms, but not by a double click, which does nothing."""
    browser = page.browser
    for _ in range(10):
        browser.click(selector)
        if browser.text(selector) != "Confirm":
            return
        # On a slow machine the button may have given up, and asks again.
        pass_time(browser, 700)
    check(False, f"{selector} does not act")


def pass_time(browser, ms):
    browser.wait("return performance.now() > arguments[0]", browser.run("return performance.now()") + ms)


def check_keyboard(page):
    """Everything by keyboard alone: the token, a drain, its confirmation, and how to give up."""
    browser = page.browser
    page.open()
    browser.wait("return document.querySelector('#token')?.checkVisibility()",
                 what="the page asks for the token")
    browser.run(NOTE_REQUESTS)
    browser.press("tab")
    equal(browser.run("return document.activeElement.textContent.startsWith('Skip to')"), True,
          "the first element is a skip link")
    check(browser.run("return document.activeElement.getBoundingClientRect().left >= 0"),
          "the skip link is visible")
    browser.tab_to("#token")
    browser.press(*webs.TOKEN, "enter")
    browser.wait(CELL + "?.querySelector('button')?.checkVisibility()", 0, "act",
                 what="the buttons are there")
    browser.tab_to(".workers [data-key='0'] button")
    focus = "return getComputedStyle(document.activeElement).outlineStyle"
    equal(browser.run(focus), "solid", "outline of the focus")
    button = ".workers [data-key='0'] button"
    browser.press("enter")
    page.wait_said("Press again to confirm: Drain worker 0.")
    browser.press("escape")
    equal(browser.text(button), "Drain", "after Escape")
    equal(page.state(0), "active", "state after a drain that was given up")
    browser.press("enter", "enter")
    wait_until(lambda: page.state(0) == "draining", "worker 0 is draining")
    wait_cell(browser, 0, "is", "draining")
    page.wait_said("Worker 0 is draining.")
    browser.wait_text(".events tbody tr", "token")
    browser.wait_text(button, "Resume")
    wait_cell(browser, 0, "target", "0.0")
    equal(set(browser.run("return requests")), {"GET false", "POST true"}, "requests with the token")
    equal(browser.run("return localStorage.length + sessionStorage.length + document.cookie.length"),
          0, "what the browser keeps")


def check_mouse(page):
    page.picture("drained")
    press_twice(page, ".workers [data-key='0'] button")
    wait_until(lambda: page.state(0) == "active", "worker 0 is active")
    wait_cell(page.browser, 0, "is", "active")


def check_deployment(page):
    """Its steps, its evidence, and an abort by a button."""
    browser, run = page.browser, page.run
    deploy_canary(run, "--warm-up", "0", "--tolerate", 20, steps="25% 600s",
                  command=[*page.run.command, "--fail", 100])
    browser.wait("return document.querySelector('#steps .now')?.innerText.includes('25')",
                 what="the first step is shown")
    browser.wait("return document.querySelector('.signals tbody tr')", what="there is evidence")
    signals = {row["name"] for row in run.rollout()["signals"]}
    browser.wait("return arguments[0].every(name => [...document.querySelectorAll('.signals th')]"
                 ".some(th => th.textContent === name))", sorted(signals), what="signals are shown")
    browser.wait("return document.querySelectorAll('.versions tbody tr').length === 2",
                 what="both versions are shown")
    browser.wait("return document.querySelectorAll('.lane span').length === 4",
                 what="both versions are in the bar")
    page.picture("deployment")
    browser.prefer(prefers_color_scheme="dark")
    equal(browser.run(CONTRAST), [], "texts with too little contrast, dark")
    page.picture("dark")
    browser.prefer(prefers_color_scheme="light")
    equal(browser.run(CONTRAST), [], "texts with too little contrast, light")
    check_narrow(page)
    abort = "#acts button:nth-child(3)"
    equal(browser.text(abort), "Abort", "button")
    press_twice(page, abort)
    run.wait_for(outcome="aborted")
    browser.wait_text("#phase", "aborted")
    # What a worker prints can't change the direction of other text.
    print_and_end = ["sh", "-c", r"printf 'broken \342\200\256\\u202e\n' >&2; exit 1"]
    deploy_canary(run, "--label", "v3", "--wait", command=print_and_end, status=1)
    browser.wait_text("#reason", "broken \ufffd\\u202e")


def check_narrow(page):
    """At a width of 320 pixels nothing is cut off, and the page scrolls in one direction only."""
    browser = page.browser
    browser.resize(320, 640)
    browser.wait("return document.documentElement.scrollWidth === 320", what="the page is narrow")
    wide = browser.run("""
        return [...document.querySelectorAll('main *')].filter(e => e.checkVisibility() && !e.closest('svg')
            && !e.closest('thead') && e.getBoundingClientRect().right > 320.5)
            .map(e => `${e.tagName} ${e.className} ${e.textContent}`)""")
    equal(wide, [], "elements that are cut off")
    equal(browser.run(CELL + ".checkVisibility()", 1, "rate"), True, "the rate is shown")
    page.picture("narrow")
    browser.resize(1280)


def check_supervisor(page):
    """The page says that the supervisor has died, and that one is back."""
    page.run.kill_supervisor()
    page.browser.wait_text("#warnings", "The supervisor has died")
    page.wait_said("The supervisor has died.")
    page.picture("supervisor-died")
    restart(page.run)
    page.browser.wait("return !document.querySelector('#warnings').checkVisibility()",
                      what="the warning has gone")
    page.wait_said("A supervisor runs again.")


def check_unreachable(page):
    """The page says that the server can't be reached, and recovers."""
    browser = page.browser
    webs.stop(page.web)
    browser.wait_text("#trouble", "can't be reached")
    equal(browser.text("#link"), "not current", "the state of the page")
    check(browser.run("return document.body.clientWidth") > 1200, "the values are still in place")
    page.picture("unreachable")
    page.start_web()
    browser.wait_text("#link", "live")
    equal(browser.run("return document.querySelector('#trouble').checkVisibility()"), False,
          "the trouble is over")
    page.wait_said("The page is current again.")


def check_guarded(page):
    """A server whose looks need the token, too: the page asks for it, and does not send the one that it
    has for actions, as another user may have taken the address."""
    browser = page.browser
    webs.stop(page.web)
    browser.wait_text("#trouble", "can't be reached")
    browser.run(NOTE_REQUESTS)
    web = webs.start(page.bed, "--token-file", webs.token_file(page.bed), address="0.0.0.0:9465")
    browser.wait_text("#trouble", "The server needs a token.")
    equal(set(browser.run("return requests")), {"GET false"}, "requests with the token")
    for token, text in (("wrong", "The server refuses this token."), (webs.TOKEN, "")):
        browser.click("#token")
        browser.press(*token, "enter")
        browser.wait_text("#trouble" if text else "#link", text or "live")
    webs.stop(web)
    page.start_web()
    page.open()


def check_hidden(page):
    """A hidden page asks nothing."""
    browser = page.browser
    asked = "return performance.getEntriesByType('resource').length"
    browser.minimize()
    browser.wait("return document.hidden")
    pass_time(browser, 1500)  # a look that had begun may end
    browser.run("performance.clearResourceTimings()")
    pass_time(browser, 2500)
    equal(browser.run(asked), 0, "requests of a hidden page")
    browser.restore()
    browser.wait(asked, what="the page asks again")


def check_no_script(page):
    """Without script, the page leads to the same as text."""
    browser = page.browser
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(f"http://{webs.LISTEN}/")
    browser.click("noscript a")
    browser.wait_text("pre", "service web, round-robin")
    check(HOSTILE in browser.text("pre"), "the text has the workers")
    browser.devtools("Emulation.setScriptExecutionDisabled", value=False)
    page.open()


def check_many(page):
    """1,024 workers: an update touches only the cells that change."""
    bed, browser = page.bed, page.browser
    Worker(bed, "many", port=MANY_PORT, options=("--threads", MANY))
    bed.reuseportd("attach", "--workers", MANY, "--port", MANY_PORT, "--service", "many")
    bed.start_load("-c", 4, "--rate", 300, "-t", f"127.0.0.1:{MANY_PORT}")
    browser.wait_text("table.services", "many")
    browser.click("table.services a[href$=many]")
    browser.wait("return document.querySelectorAll('table.workers tbody tr').length === arguments[0]",
                 MANY, what="all workers are shown")
    times = []
    for _ in range(3):
        browser.run(WATCH)
        seen = browser.wait("return window.watched", what="an update")
        equal((seen["rows"], seen["vain"]), (0, 0), f"rows and texts written in vain: {seen}")
        equal(seen["touched"], seen["changed"], f"cells that were touched: {seen}")
        times.append(seen["ms"])
    note(f"{MANY} workers: an update takes {min(times):.0f} to {max(times):.0f} ms of script; the last"
         f" one changed {seen['changed']} of {seen['cells']} cells")
    browser.run("scrollTo(0, document.querySelector('table.workers').getBoundingClientRect().bottom)")
    browser.wait(CELL + ".querySelector('path').getAttribute('d')", MANY - 1, "rate",
                 what="the last row is drawn when it comes into view")
    browser.picture(page.pictures / "many.png", end_of=None)


@timeout(240)
def test_page(bed):
    size = sum((FILES / name).stat().st_size for name in ("index.html", "page.css", "page.js"))
    check(size <= 40 * 1024, f"the page has {size} bytes")
    page = Page(bed)
    browser = page.browser
    try:
        page.open()
        check_shown(page)
        check_readable(page)
        check_refused(page)
        check_keyboard(page)
        check_mouse(page)
        check_deployment(page)
        check_supervisor(page)
        check_unreachable(page)
        check_guarded(page)
        check_hidden(page)
        check_no_script(page)
        check_many(page)
        equal(browser.complaints(), [], "complaints of the browser")
    finally:
        browser.close()
    report = page.load.stop()
    check(report["ok"] > 0, f"{report}")
