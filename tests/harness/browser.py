# SPDX-License-Identifier: BSD-2-Clause
"""A real browser, Debian's Chromium, driven over HTTP by W3C WebDriver."""
import base64
import contextlib
import http.client
import json
import math
import os
import re
import urllib.parse

from harness.checks import SLOW, Failure, check, wait_until

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--disable-breakpad", "--force-device-scale-factor=1",
         "--hide-scrollbars")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the name of the standard
MARGIN = 16  # pixels below a picture
KEYS = {"tab": "\ue004", "enter": "\ue007", "escape": "\ue00c", "space": " "}


class Browser:
    """A session. Its files, such as the profile, are in the folder of the bed."""

    def __init__(self, bed, *flags):
        home = bed.dir / "browser"
        home.mkdir()
        # Chromium writes into the folders that these name.
        env = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home),
               "DBUS_SESSION_BUS_ADDRESS": "disabled:", "DBUS_SYSTEM_BUS_ADDRESS": "disabled:"}
        self.driver = bed.start(bed.program("chromedriver"), "--port=0", name="chromedriver",
                                env=env)
        self.driver.wait_output("started successfully on port")
        self.port = int(re.search(r"successfully on port (\d+)", self.driver.output())[1])
        options = {"binary": bed.program("chromium"),
                   "args": [*FLAGS, *flags, f"--user-data-dir={home}/profile", "--window-size=1280,900"]}
        made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{made['sessionId']}"
        self.resize(1280)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * SLOW)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise Failure(f"{method} {path} {body}: {value['error']}: {value['message']}")
        return value

    def post(self, path, **body):
        return self.ask("POST", self.session + path, body)

    def close(self):
        with contextlib.suppress(Failure, OSError):
            self.ask("DELETE", self.session)
        self.driver.stop()

    # Pages

    def open(self, url):
        self.post("/url", url=url)

    def run(self, script, *args):
        """The value of the body of a function in the page."""
        return self.post("/execute/sync", script=script, args=list(args))

    def run_async(self, script):
        """Returns when the script has called its argument."""
        self.post("/execute/async", script=script, args=[])

    def devtools(self, command, **params):
        return self.post("/goog/cdp/execute", cmd=command, params=params)

    def resize(self, width, height=900):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=False)
        self.width = width

    def minimize(self):
        """The page is hidden then."""
        self.post("/window/minimize")

    def restore(self):
        self.post("/window/rect", width=1280, height=900)

    def prefer(self, **features):
        """Sets media features, such as prefers_color_scheme="dark"."""
        self.devtools("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def picture(self, path, end_of="html"):
        """Saves the page down to the end of an element; None: what the window shows. The name says
        whether it is PNG or WebP."""
        if end_of:
            bottom = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom + scrollY"
            self.resize(self.width, math.ceil(self.run(bottom, end_of)) + MARGIN)
            # Two frames: what is in view now is drawn in the first one.
            self.run_async("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        shot = self.devtools("Page.captureScreenshot", format=path.suffix[1:],
                             **{"quality": 70} if path.suffix == ".webp" else {})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        if end_of:
            self.resize(self.width)

    def complaints(self):
        """What pages of a server wrote to the console, without failed requests."""
        return [line["message"] for line in self.post("/se/log", type="browser")
                if line["source"] != "network" and line["message"].startswith("http")]

    def wait(self, script, *args, what=None, deadline=60):
        """Waits until the script returns a true value; returns it."""
        return wait_until(lambda: self.run(script, *args), what or script, deadline, 0.05)

    # A user

    def text(self, selector):
        """The visible text of an element; None if there is no such element."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? null", selector)

    def wait_text(self, selector, words, deadline=60):
        self.wait("return document.querySelector(arguments[0])?.innerText.includes(arguments[1])",
                  selector, words, what=f"{selector} has the text '{words}'", deadline=deadline)

    def element(self, selector):
        found = self.post("/element", using="css selector", value=selector)
        return f"/element/{urllib.parse.quote(found[ELEMENT])}"

    def click(self, selector):
        self.post(f"{self.element(selector)}/click")

    def press(self, *keys):
        """Presses keys: characters, or names of KEYS."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys
                   for kind in ("keyDown", "keyUp")]
        self.post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def tab_to(self, selector, limit=100):
        """Presses Tab until the element has the focus."""
        for _ in range(limit):
            self.press("tab")
            if self.run("return document.activeElement.matches(arguments[0])", selector):
                return
        check(False, f"{selector} is not reached by {limit} presses of Tab")
