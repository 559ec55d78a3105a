# SPDX-License-Identifier: BSD-2-Clause
"""Requests on the control socket that no command of ours sends, and names that no service or version
can have. The supervisor refuses each with a reason, and goes on."""
import json
import os
import pathlib
import shutil
import signal
import socket
import time

from harness.bed import PINS
from harness.checks import cases, chance, check, equal, note, timeout, wait_until
from harness.network import PORT
from harness.network import Client as NetworkClient
from runs import SERVICE, Run, script, worker_command

DEEP = 900    # deeper than the supervisor reads
MANY = 20000  # more than the memory that parsing may take
LONG = "x" * 64


class Client:
    """A client of the control socket."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(f"/run/reuseportd/{name}/control")

    def send(self, request):
        data = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.socket.sendall(data + b"\n")

    def answer(self):
        """Reads all lines. Returns the last object, which has the status; None without one."""
        with self.socket, self.socket.makefile("rb") as lines:
            try:
                objects = [json.loads(line) for line in lines]
            except ConnectionResetError:
                return None
        return objects[-1] if objects and "status" in objects[-1] else None


def ask(run, request):
    client = Client(run.name)
    client.send(request)
    return client.answer()


def expect_alive(run, pids):
    check(run.process.alive(), f"the supervisor has ended:\n{run.log()}")
    equal(run.pids(), pids, "pids of the workers")


# Requests, and what their refusal says.
BAD = [
    ({"do": "reload", "argv": [None]}, "'argv' of request 'reload' must be"),
    ({"do": "reload", "argv": ["a", 1]}, "'argv'"),
    ({"do": "reload", "argv": []}, "'argv'"),
    ({"do": "reload", "argv": [""]}, "'argv'"),
    ({"do": "reload", "argv": "sleep"}, "'argv'"),
    ({"do": "reload", "argv": {"0": "sleep"}}, "'argv'"),
    ({"do": "reload", "argv": ["sleep", "1\0 2"]}, "'argv'"),
    ({"do": "reload", "label": None}, "'label' of request 'reload' must be"),
    ({"do": "reload", "label": 7}, "'label'"),
    ({"do": "reload", "label": ""}, "'label'"),
    ({"do": "reload", "label": "two words"}, "'label'"),
    ({"do": "reload", "label": LONG}, "'label'"),
    ({"do": "reload", "label": "v2\0"}, "'label'"),
    ({"do": "reload", "label": "v\u00e4"}, "'label'"),
    ({"do": "reload", "label": "\x1b[31mred"}, "'label'"),
    ({"do": "reload", "batch": 0}, "'batch' of request 'reload' must be a number from 1 to"),
    ({"do": "reload", "batch": -1}, "'batch'"),
    ({"do": "reload", "batch": 1 << 70}, "'batch'"),
    ({"do": "reload", "batch": 1.5}, "'batch'"),
    ({"do": "reload", "batch": "1"}, "'batch'"),
    ({"do": "reload", "batch": None}, "'batch'"),
    (b'{"do": "reload", "batch": 1e999}', "'batch'"),
    ({"do": "reload", "in_place": 1}, "'in_place' of request 'reload' must be true or false"),
    ({"do": "reload", "keep_going": "yes"}, "'keep_going'"),
    ({"do": "reload", "slots": [0]}, "request 'reload' has no field 'slots'"),
    ({"do": "reload", "user": "root"}, "request 'reload' has no field 'user'"),
    ({"do": "restart"}, "request 'restart' needs the field 'slots'"),
    ({"do": "restart", "slots": []}, "'slots' of request 'restart' must be"),
    ({"do": "restart", "slots": [2]}, "there is no slot 2"),
    ({"do": "restart", "slots": [-1]}, "'slots'"),
    ({"do": "restart", "slots": [1024]}, "'slots'"),
    ({"do": "restart", "slots": [1 << 32]}, "'slots'"),
    ({"do": "restart", "slots": [1, 0]}, "'slots'"),
    ({"do": "restart", "slots": [0, 0]}, "'slots'"),
    ({"do": "restart", "slots": list(range(5000))}, "'slots'"),
    ({"do": "restart", "slots": [None]}, "'slots'"),
    ({"do": "restart", "slots": [0.0]}, "'slots'"),
    ({"do": "restart", "slots": "0"}, "'slots'"),
    ({"do": "stop", "slots": None}, "'slots'"),
    ({"do": "stop", "slots": []}, "'slots'"),
    ({"do": "stop", "force": True}, "request 'stop' has no field 'force'"),
    ({"do": "start", "slots": {}}, "'slots'"),
    ({"do": "scale"}, "request 'scale' needs the field 'workers'"),
    ({"do": "scale", "workers": 0}, "'workers' of request 'scale' must be a number from 1 to"),
    ({"do": "scale", "workers": 1025}, "'workers'"),
    ({"do": "scale", "workers": [1]}, "'workers'"),
    ({"do": "format", "disk": 0}, "does not know the request 'format'"),
    ({"do": "\x1b]0;title\x07"}, "does not know the request"),
    ({"do": "stop\0"}, "does not know the request"),
    ({"do": None}, "'do'"),
    ({"do": ["stop"]}, "'do'"),
    ({}, "'do'"),
    ([], "not a JSON object"),
    (b"", "not a JSON object"),
    (b"stop", "not a JSON object"),
    (b'{"do": "stop"', "not a JSON object"),
    (b'{"do": "stop"} {"do": "stop"}', "not a JSON object"),
    (b'{"do": "stop"}\0', "not a JSON object"),
    (b'\0', "not a JSON object"),
    (b'{"do": "st\xffop"}', "does not know the request"),
    (b"[" * DEEP, "not a JSON object"),
    (b'{"do": "reload", "argv": ' + b"[" * DEEP + b"]" * DEEP + b"}", "not a JSON object"),
    (b'{"a":' * DEEP, "not a JSON object"),
    (b"[" * MANY, "too many empty objects or arrays"),
    (b'{"do": "reload", "argv": ' + b"[" * MANY + b"]" * MANY + b"}", "too many empty objects"),
    (b'{"a":' * MANY, "too many empty objects or arrays"),
]


def test_bad_requests(bed):
    """Each is refused with a reason, and changes nothing."""
    run = Run(bed, worker_command(bed), workers=2)
    pids = run.pids()
    for request, why in BAD:
        answer = ask(run, request)
        shown = repr(request)[:200]
        check(answer is not None, f"no answer to {shown}\n{run.log()}")
        check(answer["status"] in (1, 2) and why in answer["error"], f"{shown}: {answer}")
    expect_alive(run, pids)
    equal(run.stop(), 0, "exit status of the supervisor")


def test_too_long(bed):
    """A request that is longer than the supervisor reads, and one that never ends."""
    run = Run(bed, worker_command(bed), workers=1)
    pids = run.pids()
    for data in (b'{"do": "reload", "argv": ["' + b"x" * (1 << 20) + b'"]}', b" " * (1 << 20)):
        client = Client(run.name)
        try:
            client.send(data)
            answer = client.answer()
        except (BrokenPipeError, ConnectionResetError):
            answer = None
        check(answer is None or answer["status"] == 2, f"{answer}")
    half = [Client(run.name) for _ in range(5)]
    for client in half:
        client.socket.sendall(b'{"do"')
    run.command_line("restart", "0")
    check(run.pids() != pids, "the slot has another worker")
    equal(run.stop(), 0, "exit status of the supervisor")


def random_json(dice, depth=0):
    kinds = ["word", "number", "real", "null", "flag", "text", "list", "object"]
    kind = dice.choice(kinds if depth < 4 else kinds[:6])
    if kind == "word":
        return dice.choice(["web", "v1", "0", "argv", "label", ""])
    if kind == "number":
        return dice.choice([0, 1, 2, -1, 1023, 1024, 65536, 1 << 31, 1 << 63, -(1 << 64),
                            dice.randrange(-10, 10)])
    if kind == "real":
        return dice.choice([0.5, 1e300, -1e-300])
    if kind == "null":
        return None
    if kind == "flag":
        return dice.random() < 0.5
    if kind == "text":
        return "".join(chr(dice.choice([0, 7, 27, 65, 127, 155, 0x202e, 0xfffd, 0x1f600]))
                       for _ in range(dice.randrange(6)))
    if kind == "list":
        return [random_json(dice, depth + 1) for _ in range(dice.randrange(5))]
    return {dice.choice(["a", "slots", "do"]): random_json(dice, depth + 1)
            for _ in range(dice.randrange(3))}


# Values that are right for each field of a request.
RIGHT = {"argv": [["sleep", "100"], ["/nonexistent"], ["\x1b[31m"]], "label": ["v2", "~"],
         "batch": [1, 1024], "in_place": [True, False], "keep_going": [True, False],
         "slots": [[0], [1], [0, 1]], "workers": [1, 2, 3]}
FIELDS = {"reload": ("argv", "label", "batch", "in_place", "keep_going"),
          "restart": ("slots", "batch", "in_place", "keep_going"),
          "scale": ("workers",), "start": ("slots",), "stop": ("slots",)}


def random_request(dice):
    """Half of the fields are those of the request, and half of the values are right. It never stops
    the whole service."""
    request = {"do": dice.choice(list(FIELDS))}
    for _ in range(dice.randrange(4)):
        own = FIELDS[request["do"]]
        name = dice.choice(own) if dice.random() < 0.8 else dice.choice(["x", *RIGHT])
        right = dice.random() < 0.6
        request[name] = dice.choice(RIGHT.get(name, [0])) if right else random_json(dice)
    if request.get("workers") in (1023, 1024) or ("slots" not in request and
                                                  request["do"] == "stop"):
        request["x"] = 0
    return request


@timeout(120)
def test_random_requests(bed):
    """Random fields with random values: each request is answered, and the supervisor goes on."""
    dice = chance()
    run = Run(bed, worker_command(bed), "--settle", 0, "--drain-timeout", 0, "--ready-timeout",
              "200ms", "--kill-timeout", "100ms", "--backoff", "1ms..10ms", workers=2)
    done = 0
    end = time.monotonic() + 8
    for n in range(1000):
        request = random_request(dice)
        data = json.dumps(request, ensure_ascii=dice.random() < 0.5).encode(errors="replace")
        if dice.random() < 0.2:
            data = bytearray(data)
            for _ in range(dice.randrange(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            data = bytes(data).replace(b"\n", b" ").replace(b'"stop"', b'"st0p"')
        answer = ask(run, data)
        check(answer is not None, f"no answer to {data!r}\n{run.log()[-2000:]}")
        done += answer["status"] == 0
        check(run.process.alive(), f"ended after {data!r}\n{run.log()[-2000:]}")
        if time.monotonic() > end:
            break
    note(f"{n + 1} requests, {done} of them were carried out")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_other_user(bed):
    """Another user can't ask for anything."""
    run = Run(bed, worker_command(bed), workers=1)
    attack = bed.start("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups",
                       bed.binary("attack"), "control_stop", f"/run/reuseportd/{run.name}/control",
                       name="attack")
    attack.wait_output("asking")
    run.command_line("restart", "0")
    check(attack.alive() and "connected" not in attack.output(), f"{attack.output()}")
    attack.stop()
    equal(run.stop(), 0, "exit status of the supervisor")


def test_slow_reader(bed):
    """A command that does not read while hundreds of lines come still gets the answer."""
    text = "import signal, socket, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" \
           "s = socket.socket()\ns.bind(('', %PORT%))\ns.listen()\nwhile True:\n    time.sleep(1)\n"
    run = Run(bed, ["python3", script(bed, "worker.py", text)], "--kill-timeout", "1h", workers=1)
    slow, quick = Client(run.name), Client(run.name)
    for client in (slow, quick):
        client.send({"do": "stop"})
    run.process.wait_output("web: stopping")
    for n in range(500):
        run.process.kill(signal.SIGHUP)  # its refusal is a line for waiting commands
        wait_until(lambda n=n: run.log().count("is being stopped") > n, "the signal was handled",
                   interval=0.001)
    run.process.kill(signal.SIGTERM)
    equal(run.process.wait(), 0, "exit status of the supervisor")
    for client in (quick, slow):
        equal(client.answer(), {"status": 0}, "the last line")


# --- names

LABELS = ("two words", LONG, "", "tab\there", "\x1b[2J", "v\u00e4")
NAMES = ("two words", LONG, "", "../../etc", "1st", "\x1b[2J", "a/b")


@cases("reload", "attach", "run", "label", "switch")
def test_labels(bed, command):
    """A label that no version can have is refused at once, with status 2."""
    run = Run(bed, worker_command(bed), workers=1)
    pids = run.pids()
    argv = {"reload": lambda text: ["reload", run.name, "--label", text],
            "attach": lambda text: ["attach", "--workers", 1, "--port", 9, "--label", text],
            "run": lambda text: ["run", "--workers", 1, "--label", text, "--", "sleep", "9"],
            "label": lambda text: ["label", run.name, "0", text],
            "switch": lambda text: ["switch", run.name, text]}[command]
    for text in LABELS:
        result = bed.reuseportd(*argv(text), status=2)
        check("\x1b" not in result.err and "version" in result.err, f"{result}")
    expect_alive(run, pids)
    equal(run.stop(), 0, "exit status of the supervisor")


COMMANDS = ("status", "list --only", "drain", "resume", "weight", "canary", "label", "switch",
            "reload", "restart", "scale", "stop", "start", "events", "connections", "metrics",
            "detach", "swap", "top", "attach", "run", "doctor")


def name_options(command, text):
    """Ways to give @command the name of a service."""
    rest = {"drain": ["0"], "resume": ["0"], "weight": ["0", "100"], "canary": ["0", "10"],
            "label": ["0", "v2"], "switch": ["v1"], "restart": ["0"], "scale": ["2"],
            "start": ["0"], "attach": ["--workers", "1"],
            "swap": ["0", "--pid", "1"], "run": ["--workers", "1", "--", "sleep", "9"]}
    ways = [["--service", text, *rest.get(command, [])]]
    if command not in ("attach", "run", "metrics") and text[:1].isalpha():
        ways.append([text, *rest.get(command, [])])
    return ways


def test_names(bed):
    """A name that no service can have is refused at once, with status 2, by every command."""
    run = Run(bed, worker_command(bed), workers=1)
    pids = run.pids()
    for command in COMMANDS:
        if command in ("list --only", "doctor"):
            continue
        for text in NAMES:
            for way in name_options(command, text):
                result = bed.reuseportd(command, *way, status=2)
                check("\x1b" not in result.err, f"{result}")
    ini = bed.dir / "services.ini"
    ini.write_text("[web2]\nworkers = 1\ncommand = sleep 9\n")
    for text in NAMES:
        result = bed.reuseportd("run", "--only", text, ini, status=2)
        check("\x1b" not in result.err, f"{result}")
        ini.write_text(f"[{text or ' '}]\nworkers = 1\ncommand = sleep 9\n")
        bed.reuseportd("check", ini, status=2)
        ini.write_text("[web2]\nworkers = 1\ncommand = sleep 9\n")
    expect_alive(run, pids)
    equal(run.stop(), 0, "exit status of the supervisor")


@cases("words", "types", "label", "cut", "binary", "deep", "huge", "folder")
def test_broken_persisted_command(bed, kind):
    """The file with the command that a reload has set is broken: the next supervisor says so and
    takes over."""
    run = Run(bed, worker_command(bed), "--settle", 0, workers=1)
    run.reload("--label", "two", "--", *worker_command(bed, "--id", "v2"))
    path = pathlib.Path(f"/run/reuseportd/{run.name}/command")
    good = path.read_text()
    run.kill_supervisor()
    part = json.loads(good)
    if kind == "words":
        part["in_force"]["argv"] = [None]
        path.write_text(json.dumps(part))
    elif kind == "types":
        path.write_text('{"given": [], "in_force": {"argv": {}, "label": []}}')
    elif kind == "label":
        part["in_force"]["label"] = "x" * 5000 + "\x1b[31m"
        path.write_text(json.dumps(part))
    elif kind == "cut":
        path.write_text(good[:len(good) // 2])
    elif kind == "binary":
        path.write_bytes(bytes(range(256)) * 20)
    elif kind == "deep":
        path.write_text("[" * 100000)
    elif kind == "huge":
        with open(path, "r+b") as file:
            file.truncate(1 << 40)
    else:
        path.unlink()
        path.mkdir()
    pids = run.pids()
    run.start()
    check(f"can't read {path}" in run.log(), f"log: {run.log()}")
    equal(run.pids(), pids, "pids after the take-over")
    if kind == "folder":
        path.rmdir()
    equal(run.stop(), 0, "exit status of the supervisor")


# --- upgrades

PROGRAMS = {
    "other-abi": "#!/bin/sh\necho 'reuseportd ABI 9999'\n",
    "older": "#!/bin/sh\necho \"reuseportd: there is no command '$1'\" >&2\nexit 2\n",
    "silent": "#!/bin/sh\nexec sleep 1000\n",
    "endless": "#!/bin/sh\nexec yes\n",
    "half": "#!/bin/sh\nprintf 'reuseportd ABI'\nexec sleep 1000\n",
    "crash": "#!/bin/sh\nkill -SEGV $$\n",
    "empty": "",
    "corrupt": None,
    "missing": None,
    "folder": None,
    "not-executable": None,
}
WHY = {"other-abi": "it has layout 9999", "silent": "within a second", "half": "within a second",
       "missing": "No such file", "folder": "Permission denied", "not-executable":
       "Permission denied", "empty": "Exec format error"}


def start_copy(bed):
    """A service whose supervisor runs from a copy of the executable. Returns the copy, too."""
    path = bed.dir / "reuseportd"
    shutil.copy(bed.binary("reuseportd"), path)
    return Run(bed, worker_command(bed), workers=2,
               under=["sh", "-c", f'shift; exec {path} "$@"', "-"]), path


@cases(*PROGRAMS)
def test_bad_upgrade(bed, kind):
    """The executable is replaced by one that can't supervise the service: SIGUSR2 is refused with a
    reason, and the supervisor goes on."""
    run, path = start_copy(bed)
    pids, text = run.pids(), PROGRAMS[kind]
    data = path.read_bytes()
    path.unlink()
    if text is not None:
        path.write_text(text)
        path.chmod(0o755)
    elif kind == "corrupt":
        path.write_bytes(data[:1000])
        path.chmod(0o755)
    elif kind == "folder":
        path.mkdir()
    elif kind == "not-executable":
        path.write_bytes(data)
        path.chmod(0o644)
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("refused: ")
    check(WHY.get(kind, "does not answer") in run.log(), f"log: {run.log()}")
    os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: run.pids()[0] not in (None, pids[0]), "a killed worker is replaced")
    check(run.process.alive(), f"the supervisor has ended:\n{run.log()}")
    equal(run.stop(), 0, "exit status of the supervisor")


def test_upgrade(bed):
    """A good executable takes over."""
    run, path = start_copy(bed)
    pids = run.pids()
    path.unlink()
    shutil.copy(bed.binary("reuseportd"), path)
    run.process.kill(signal.SIGUSR2)
    run.process.wait_output("is taken over")
    wait_until(lambda: run.states() == ["active"] * 2, "the workers are active")
    expect_alive(run, pids)
    equal(run.stop(), 0, "exit status of the supervisor")


# --- what an administrator deletes

DELETED = {
    "run": ["/run/reuseportd"],
    "service": ["/run/reuseportd/web"],
    "sockets": ["/run/reuseportd/web/control", "/run/reuseportd/web/notify"],
    "pins": [PINS],
    "some-pins": [PINS / SERVICE / "schedules", PINS / SERVICE / "socks0", PINS / SERVICE / "conn"],
    "first-pin": [PINS / SERVICE / "service"],
    "all": ["/run/reuseportd", PINS],
}


def delete(bed, kind):
    bed.must("rm", "-rf", *DELETED[kind])


@cases(*DELETED)
def test_deleted(bed, kind):
    """The supervisor makes it again: commands, replacements and connections work as before."""
    run = Run(bed, worker_command(bed), "--listen", PORT, "--settle", 0, workers=2)
    run.reload("--label", "two", "--", *worker_command(bed, "--id", "v2"))
    pids = run.pids()
    with NetworkClient() as held:
        held.ask()
        delete(bed, kind)
        wait_until(lambda: bed.reuseportd("status", run.name, status=None).code == 0 and
                   bed.reuseportd("start", run.name, "0", status=None).err.count("already has"),
                   "commands work again")
        bed.remember_pinned()
        equal(run.pids(), pids, "pids of the workers")
        status = run.status()
        check(status["counting"], f"not counting: {status.get('not_counting')}")
        equal(sum(row["active"] for row in status["workers"]), 1, "open connections")
    os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: run.pids()[0] not in (None, pids[0]) and run.states()[0] == "active",
               "a killed worker is replaced")
    equal(bed.load("-n", 100)["failed"], 0, "failed connections")
    wait_until(lambda: not any(row["active"] for row in run.workers()), "all are closed")
    run.kill_supervisor()
    run.start()
    check("which a reload has set" in run.log(), f"log: {run.log()}")
    equal(run.stop(), 0, "exit status of the supervisor")


@cases(*DELETED)
def test_deleted_and_stopped(bed, kind):
    """A stop at the same moment still ends all workers, and leaves nothing."""
    run = Run(bed, worker_command(bed), workers=2)
    run.process.kill(signal.SIGSTOP)
    delete(bed, kind)
    run.process.kill(signal.SIGTERM)
    run.process.kill(signal.SIGCONT)
    equal(run.process.wait(), 0, "exit status of the supervisor")
    wait_until(lambda: not bed.left_files(), "files and cgroups are gone")
