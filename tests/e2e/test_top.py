# SPDX-License-Identifier: BSD-2-Clause
"""top in a terminal: it shows the values of status, obeys keys, and restores the terminal."""
import contextlib
import fcntl
import os
import pathlib
import re
import select
import signal
import termios
import time

from harness.bed import PINS
from harness.checks import cases, check, equal, note, wait_until
from harness.network import PORT
from harness.servers import Worker, Workers
from runs import Run, script
from terminal import Terminal


SERVICE = f"worker-{PORT}"
SLOT_LINE = re.compile(r"[ >] *(?P<SLOT>\d+) (?P<STATE>\S+) +(?P<VERSION>\S+) +(?P<SHARE>[\d.]+%) "
                       r"(?P<BAR>[#\u2588-\u258f]*) +(?P<RATE>\S+) +(?P<ACTIVE>\S+) +(?P<QUEUE>\S+)"
                       r" +(?P<PID>\d+) (?P<COMMAND>\S+)")

# Answers every second request with status 500.
BAD = """
let n = 0;
require('http').createServer((request, response) => {
    response.statusCode = n++ % 2 ? 500 : 200;
    response.end('no\\n');
}).listen(%PORT%);
"""


def top(bed, *args, command=("top",), **options):
    """Starts top. Returns its terminal when it shows workers."""
    terminal = Terminal(bed, bed.binary("reuseportd"), *command, *args, **options)
    terminal.wait_screen(rows_of, "workers are shown")
    return terminal


def rows_of(screen):
    """The lines of the workers, as dictionaries."""
    return [match.groupdict() for match in map(SLOT_LINE.fullmatch, screen.lines()) if match]


def selected(screen):
    return [int(line[1:5]) for line in screen.lines() if line.startswith(">")]


def state(terminal, slot):
    return {int(row["SLOT"]): row["STATE"] for row in rows_of(terminal.read_screen())}.get(slot)


def shown(number, decimals=0):
    return "-" if number is None else f"{number:.{decimals}f}"


def expected_rows(status):
    return [{"SLOT": str(w["slot"]), "STATE": w["state"], "VERSION": w["version"],
             "SHARE": shown(w["share_percent"], 1) + "%", "RATE": shown(w["rate"], 1),
             "ACTIVE": shown(w["active"]), "QUEUE": shown(w["queued"]), "PID": str(w["pid"]),
             "COMMAND": w["command"]} for w in status["workers"]]


def expect_same_numbers(bed, terminal):
    """Checks that top shows the values of status, once nothing changes. A long version may be
    cut."""
    wait_until(lambda: not any(w["rate"] for w in bed.status()["workers"]), "no new connections")
    status = bed.status()
    want = expected_rows(status)

    def same(screen):
        rows = [{k: v for k, v in row.items() if k != "BAR"} for row in rows_of(screen)]
        return len(rows) == len(want) and all(
            dict(w, VERSION="") == dict(r, VERSION="") and w["VERSION"].startswith(r["VERSION"])
            for w, r in zip(want, rows))
    terminal.wait_screen(same, f"top shows {want}")
    expect_fits(terminal)
    return status


def expect_fits(terminal):
    screen = terminal.read_screen()
    equal(screen.faults, [], "faults of the output")
    equal(screen.lines()[-1][:13], "arrows select", "last line")


def expect_sane(terminal):
    """Checks that the terminal is restored."""
    screen = terminal.read_screen()
    equal(termios.tcgetattr(terminal.slave), terminal.before, "settings of the terminal")
    check(not screen.alternate, "the alternate screen is left")
    check(screen.cursor_shown, "the cursor is shown")
    equal(screen.faults, [], "faults of the output")


@cases("top", "status")
def test_numbers(bed, command):
    """The values are those of status --json, in 80x24 and after each resize."""
    utf8 = command == "top"
    workers = Workers(bed, 8)
    bed.reuseportd("attach", "--workers", 8)
    bed.reuseportd("weight", 1, 50)
    bed.reuseportd("drain", 2)
    bed.reuseportd("label", 3, "a-version-with-a-long-name")
    bed.load("-n", 100)
    workers[4].process.kill(signal.SIGSTOP)
    clients = bed.hold(30)  # some of them wait in the queue of slot 4
    terminal = top(bed, *([] if utf8 else ["--watch"]), command=(command,), utf8=utf8)
    status = expect_same_numbers(bed, terminal)
    check(status["workers"][4]["queued"] > 0, "there is a queue")
    check(sum(w["active"] for w in status["workers"]) == 30, "the connections are counted")
    head = terminal.read_screen().text().split("SLOT")[0]
    for words in (f"{SERVICE}: 7 of 8 workers", f"endpoints 0.0.0.0:{PORT}", "active 30 ",
                  f"queue {status['workers'][4]['queued']} ",
                  f"steered {status['counters']['steered']}"):
        check(words in head, f"'{words}' is not in {head}")
    bars = [len(row["BAR"]) for row in rows_of(terminal.read_screen())]
    check(bars[0] >= 8 and bars[2] == 0 and bars[1] in (bars[0] // 2, (bars[0] + 1) // 2),
          f"bars: {bars}")
    check(("#" in terminal.output()) == (not utf8), "the bars have the right characters")

    terminal.resize(40, 140)
    expect_same_numbers(bed, terminal)
    rows = rows_of(terminal.read_screen())
    equal(rows[3]["VERSION"], "a-version-with-a-long-name", "version on a wide screen")
    check(len(rows[0]["BAR"]) > 3 * bars[0] / 2, f"the bar has grown from {bars[0]}: {rows[0]}")
    terminal.resize(24, 40)
    wait_until(lambda: "arrows select" in terminal.output(), "top is drawn on a narrow screen")
    for size in ((5, 80), (3, 3), (1, 1)):
        terminal.resize(*size)
        frames = terminal.read_screen().frames
        terminal.wait_screen(lambda screen: screen.frames > frames + 1, f"top is drawn at {size}")
        equal(terminal.screen.faults, [], f"faults at {size}")
    workers[4].process.kill(signal.SIGCONT)
    for client in clients:
        client.close()
    terminal.press("q")
    equal(terminal.wait(), 0, "exit status")


def test_killed_worker(bed):
    workers = Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4)
    terminal = top(bed)
    equal([state(terminal, slot) for slot in range(4)], ["active"] * 4, "states")
    begin = time.monotonic()
    workers[2].process.stop(signal.SIGKILL)
    terminal.wait_screen(lambda _: state(terminal, 2) == "dead", "slot 2 is dead")
    took = time.monotonic() - begin
    terminal.wait_text("3 of 4 workers take new connections")
    note(f"a killed worker was shown dead after {took:.1f} s")
    expect_same_numbers(bed, terminal)


def test_drain_and_resume(bed):
    """Keys drain and resume; a refusal is shown and changes nothing."""
    Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4)
    terminal = top(bed)
    terminal.press("d")
    terminal.wait_text("no worker is selected")
    equal([w["state"] for w in bed.status()["workers"]], ["active"] * 4, "states")
    for key, slot in (("down", 0), ("j", 1), ("down", 2), ("k", 1), ("end", 3), ("up", 2),
                      ("home", 0), ("page down", 3), ("page up", 0), ("j", 1)):
        terminal.press(key)
        terminal.wait_screen(lambda screen: selected(screen) == [slot], f"{key} selects {slot}")
    for key, want in (("d", "draining"), ("R", "active"), ("d", "draining"), ("u", "active")):
        terminal.press(key)
        terminal.wait_screen(lambda _: state(terminal, 1) == want, f"slot 1 is {want}")
        equal([w["state"] for w in bed.status()["workers"]], ["active", want, "active", "active"],
              f"states after {key}")
    bed.reuseportd("drain", "0,2-3")
    terminal.press("d")
    terminal.wait_text("slot 1: the drain would leave no live worker")
    equal([w["state"] for w in bed.status()["workers"]],
          ["draining", "active", "draining", "draining"], "states after a refused drain")
    equal(terminal.read_screen().faults, [], "faults")
    terminal.press("x")
    terminal.wait_text("arrows select")
    expect_same_numbers(bed, terminal)


def test_sort_and_scroll(bed):
    """50 workers on a screen for 18: the selected worker stays on the screen, wherever it moves."""
    Worker(bed, "w", options=("--threads", 50))
    bed.reuseportd("attach", "--workers", 50)
    bed.reuseportd("weight", 40, 1000)
    bed.reuseportd("weight", 30, 500)
    terminal = top(bed)
    terminal.wait_text("workers 1 to 18 of 50")

    def slots(screen):
        return [int(row["SLOT"]) for row in rows_of(screen)]
    equal(slots(terminal.read_screen()), list(range(18)), "slots")
    terminal.press("s")
    terminal.wait_screen(lambda s: slots(s) == [40, 30] + list(range(16)), "sorted by share")
    terminal.wait_text("sort: share")
    terminal.press("r")
    terminal.wait_screen(lambda s: slots(s) == [49, 48, 47, 46, 45, 44, 43, 42, 41] + list(
        range(39, 30, -1)), "sorted by share, the other way")
    terminal.press("end")
    terminal.wait_screen(lambda s: selected(s) == [40] and slots(s)[-1] == 40, "slot 40 is last")
    terminal.wait_text("workers 33 to 50 of 50")
    terminal.press("r")
    terminal.wait_screen(lambda s: selected(s) == [40] and slots(s)[0] == 40, "slot 40 is first")
    for key, want in (("s", "rate"), ("s", "active"), ("s", "queue"), ("s", "slot")):
        terminal.press(key)
        terminal.wait_text(f"sort: {want}")
        equal(selected(terminal.read_screen()), [40], f"selected by {want}")
    shown = slots(terminal.read_screen())
    equal(shown, list(range(shown[0], 41)), "in order again")
    with bed.hold(1)[0]:
        [busy] = wait_until(lambda: [w["slot"] for w in bed.status()["workers"] if w["active"]],
                            "a worker has a connection")
        terminal.press("sss")
        terminal.press("home")
        terminal.wait_screen(lambda s: slots(s)[0] == busy == selected(s)[0],
                             "the busy worker is first")
    expect_fits(terminal)


def test_services(bed):
    """Several services are listed; keys show one of them, the next one, and the list again."""
    for i, name in enumerate(("one", "two", "three")):
        Workers(bed, i + 2, port=PORT + i)
        bed.reuseportd("attach", "--workers", i + 2, "--port", PORT + i, "--service", name)
    terminal = Terminal(bed, bed.binary("reuseportd"), "top")
    terminal.wait_text("3 services", 30)
    lines = terminal.read_screen().lines()
    equal([line.split()[:1] for line in lines[1:5]], [["SERVICE"], [">"], ["three"], ["two"]], "list")
    check("8082" in lines[3] and lines[3].split()[-3:] == ["4", "4", "4"], f"line of three: {lines}")
    for keys, head, rows in ((("j", "enter"), "three:", 4), (("n",), "two:", 3), (("tab",), "one:", 2),
                             (("l", "end", "enter"), "two:", 3)):
        for key in keys:
            terminal.press(key)
        terminal.wait_screen(lambda screen: screen.text().startswith(head), f"{keys} show {head}", 30)
        equal(len(rows_of(terminal.read_screen())), rows, f"workers of {head}")
    expect_fits(terminal)
    bed.reuseportd("detach", "two")
    terminal.wait_text("two: detached", 30)
    terminal.wait_text("2 services", 30)
    (PINS / "one" / "service").unlink()
    terminal.press("home")
    terminal.wait_text("is missing", 30)
    terminal.press("enter")  # the reason is shown in place of the keys
    terminal.wait_screen(lambda screen: "arrows select" not in screen.text(), "the reason", 30)
    for key in ("x", "down", "enter"):
        terminal.press(key)
    terminal.wait_screen(rows_of, "the workers of three", 30)
    terminal.press("n")
    terminal.wait_screen(lambda screen: "arrows select" not in screen.text(), "no other service", 30)
    check(terminal.read_screen().text().startswith("three:"), "three is still shown")
    terminal.press("q")
    equal(terminal.wait(), 0, "exit status")
    expect_sane(terminal)
    bed.reuseportd("detach", "one", "--force", status=None)


def test_only_one_service(bed):
    """Without another service, n says so; l lists the one."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = top(bed)
    terminal.press("n")
    terminal.wait_text("there is no other service", 30)
    terminal.press("l")
    terminal.wait_text("1 service", 30)
    terminal.press("enter")
    terminal.wait_screen(rows_of, "workers are shown", 30)
    expect_fits(terminal)


def test_help_and_versions(bed):
    """`?` shows the keys, any key leaves them; `v` shows the workers of one version."""
    Workers(bed, 4)
    bed.reuseportd("attach", "--workers", 4)
    bed.reuseportd("label", "1,3", "v2")
    terminal = top(bed)
    terminal.press("?")
    terminal.wait_text("sort by the next column", 30)
    expect_fits(terminal)
    terminal.press("d")  # leaves the help, and drains nothing
    terminal.wait_screen(lambda screen: len(rows_of(screen)) == 4, "the workers", 30)
    expect_fits(terminal)
    for version, slots in (("v1", ["0", "2"]), ("v2", ["1", "3"]), (None, ["0", "1", "2", "3"])):
        terminal.press("v")
        terminal.wait_screen(lambda screen: [row["SLOT"] for row in rows_of(screen)] == slots,
                             f"slots of {version}", 30)
        check(version is None or f"only version {version}: 2 workers"
              in terminal.read_screen().text(), terminal.output())
    terminal.press("vjd")
    terminal.wait_screen(lambda _: state(terminal, 0) == "draining", "slot 0 is drained", 30)
    expect_fits(terminal)


@cases("colours", "none")
def test_colours(bed, case):
    """NO_COLOR turns the colours off; the words stay."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = Terminal(bed, "env", f"NO_COLOR={'1' if case == 'none' else ''}",
                        bed.binary("reuseportd"), "top")
    terminal.wait_screen(lambda screen: len(rows_of(screen)) == 2, "workers are shown", 30)
    equal(terminal.read_screen().colours > 0, case == "colours", "colours")
    equal([state(terminal, slot) for slot in range(2)], ["active"] * 2, "states")


def test_http(bed):
    """With --http: the part of errors in the last second, and the time to the first byte, in 80 columns."""
    Run(bed, ["node", script(bed, "server.js", BAD)], "--http", workers=2)
    terminal = Terminal(bed, bed.binary("reuseportd"), "top")
    terminal.wait_text("REQ/S 5XX/% P99/MS", 60)
    load = bed.start_load("-c", 2, "--rate", 100)
    number = re.compile(r" +0 active .* ([\d.]+) +([\d.]+) +([\d.]+)$", re.MULTILINE)

    def numbers(screen):
        """Those of a second with requests enough to judge them."""
        match = number.search(screen.text())
        values = [float(group) for group in match.groups()] if match else [0]
        return values[0] >= 10 and values
    requests, errors, time_ms = terminal.wait_screen(numbers, "slot 0 has answered", 60)
    note(f"{requests} requests a second, {errors} % errors, p99 {time_ms} ms")
    check(25 < errors < 75, f"{errors} % errors")
    check(time_ms > 0, f"p99: {time_ms}")
    load.stop()
    terminal.wait_screen(lambda screen: re.search(r" 0 active .* - +[\d.]+$", screen.text(),
                                                  re.MULTILINE), "no more responses", 60)
    expect_fits(terminal)


ENDINGS = {"q": lambda t: t.press("q"), "ctrl-c": lambda t: t.press("ctrl-c"),
           "SIGTERM": lambda t: t.kill(signal.SIGTERM), "SIGHUP": lambda t: t.kill(signal.SIGHUP),
           "SIGQUIT": lambda t: t.kill(signal.SIGQUIT)}


@cases(*ENDINGS)
def test_leaves_the_terminal(bed, ending):
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = top(bed)
    screen = terminal.read_screen()
    check(screen.alternate and not screen.cursor_shown, "the screen is taken")
    check(termios.tcgetattr(terminal.slave) != terminal.before, "the terminal doesn't echo keys")
    ENDINGS[ending](terminal)
    equal(terminal.wait(), 0, "exit status")
    expect_sane(terminal)
    equal(terminal.read_screen().text().strip(), "", "no message")


def test_unread(bed):
    """No process reads the output any more, as when a connection hangs: SIGTERM ends top."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = top(bed)

    def is_stuck():
        terminal.press("r")
        time.sleep(0.02)
        return not select.select([], [terminal.slave], [], 0)[1]
    wait_until(is_stuck, "the terminal is full")
    terminal.kill(signal.SIGTERM)
    equal(terminal.popen.wait(60), 0, "exit status")
    equal(termios.tcgetattr(terminal.slave), terminal.before, "settings of the terminal")


def test_detached(bed):
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = top(bed, SERVICE)
    bed.reuseportd("detach")
    equal(terminal.wait(), 0, "exit status")
    expect_sane(terminal)
    equal(terminal.read_screen().text().strip(), f"{SERVICE}: detached", "the message")


def test_damaged(bed):
    """An error is printed after the terminal is restored."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = top(bed)
    (PINS / SERVICE / "service").unlink()
    equal(terminal.wait(), 1, "exit status")
    expect_sane(terminal)
    check("reuseportd top: " in terminal.output(), f"no error: {terminal.output()}")
    bed.reuseportd("detach", SERVICE, "--force", status=None)


@contextlib.contextmanager
def locked(service):
    """Holds the lock of a service, like another command."""
    folder = os.open(PINS / service, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def test_locked(bed):
    """Another command holds the lock: the last values stay, keys are obeyed, and a drain times
    out."""
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    terminal = top(bed)
    with locked(SERVICE):
        terminal.wait_text("old: another command is at work")
        equal(len(rows_of(terminal.read_screen())), 2, "workers")
        terminal.press("j")
        terminal.wait_screen(lambda screen: selected(screen) == [0], "slot 0 is selected")
        terminal.press("d")
        terminal.wait_text(f"slot 0: service '{SERVICE}' is locked")
    terminal.wait_screen(lambda screen: "old:" not in screen.text(), "the values are new")
    equal(state(terminal, 0), "active", "state of slot 0")
    with locked(SERVICE):
        terminal.wait_text("old: another command is at work")
        terminal.kill(signal.SIGTERM)
        equal(terminal.wait(), 0, "exit status")
    expect_sane(terminal)


def test_no_terminal(bed):
    Workers(bed, 2)
    bed.reuseportd("attach", "--workers", 2)
    for command in (("top",), ("status", "--watch")):
        result = bed.reuseportd(*command, status=2)
        equal(result.out, "", f"stdout of {result}")
        check("use `reuseportd status`" in result.err, f"{result}")
    bed.reuseportd("status", "--watch", "--json", status=2)
    terminal = Terminal(bed, bed.binary("reuseportd"), "top", "nobody")
    equal(terminal.wait(), 1, "exit status without such a service")
    expect_sane(terminal)
    terminal = Terminal(bed, "env", "TERM=dumb", bed.binary("reuseportd"), "top")
    equal(terminal.wait(), 2, "exit status on a dumb terminal")
    expect_sane(terminal)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_cost(bed):
    """The CPU time of a refresh with 1,024 slots."""
    Worker(bed, "w", options=("--threads", 1024))
    bed.reuseportd("attach", "--workers", 1024)
    terminal = top(bed)
    begin, first = cpu_seconds(terminal.pid), terminal.read_screen().frames
    terminal.wait_screen(lambda screen: screen.frames >= first + 10, "ten refreshes", 30)
    cost = 1000 * (cpu_seconds(terminal.pid) - begin) / (terminal.screen.frames - first)
    note(f"1,024 slots: {cost:.0f} ms of CPU a refresh")
    check(cost < 150, f"{cost:.0f} ms of CPU a refresh")
    terminal.press("q")
    equal(terminal.wait(), 0, "exit status")
