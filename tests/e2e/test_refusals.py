# SPDX-License-Identifier: BSD-2-Clause
"""Every refusal has exit status 2 for wrong input, otherwise 1, a message that says what to do, and
no output. It changes no pin and no service, and new connections are distributed as before.
Privileges, kernels, mounts and damaged pins are in test_hostile.py."""
import os
import time

from harness.checks import check
from harness.network import PORT
from refusals import ATTACH, SERVICE, WORKERS, Refusals
from harness.servers import Nginx, Worker, Workers

# Wrong input: arguments, message

LONG = "x" * 32
NAME = "is not a valid service name: a letter, then"
SLOTS = "is not a list of slots, such as 3 or 0-3,7"
WEIGHTS = "is not a weight: weights are 0 to 1000"
SHARES = "is not a percentage from 0.1 to 99.9 in steps of 0.1"
NO_WORKER = "there is no worker in slot 4; `reuseportd status` shows the slots"
BAD_INPUT = (
    ((), "Usage: reuseportd COMMAND"),
    (("nonsense",), "there is no command 'nonsense'"),
    (("--nonsense",), "there is no command '--nonsense'"),
    (("attach",), "--workers is required: the number of workers, or 'any'"),
    (("attach", "--workers"), "option '--workers' requires an argument"),
    (("attach", "--workers", "0"), "--workers: '0' is neither a number from 1 to 1024 nor 'any'"),
    (("attach", "--workers", "1025"),
     "--workers: '1025' is neither a number from 1 to 1024 nor 'any'"),
    (("attach", "--workers", "-1"), "--workers: '-1' is neither a number from 1 to 1024 nor 'any'"),
    (("attach", "--workers", "4x"), "--workers: '4x' is neither a number from 1 to 1024 nor 'any'"),
    ((*ATTACH, "more"), "'more' is one argument too many"),
    ((*ATTACH, "--nonsense"), "unrecognized option '--nonsense'"),
    ((*ATTACH, "--port", "0"), "--port: '0' is not a port"),
    ((*ATTACH, "--port", "65536"), "--port: '65536' is not a port"),
    ((*ATTACH, "--port", "http"), "--port: 'http' is not a port"),
    ((*ATTACH, "--address", "localhost"), "--address: 'localhost' is not an IPv4 or IPv6 address"),
    ((*ATTACH, "--pid", "0"), "--pid: '0' is not a process ID"),
    ((*ATTACH, "--pid", "init"), "--pid: 'init' is not a process ID"),
    ((*ATTACH, "--wait", "-1"),
     "--wait: '-1' is not a time such as 30s, 1500ms, 2m or 30 (seconds)"),
    ((*ATTACH, "--wait", "soon"), "--wait: 'soon' is not a time"),
    (("drain", "1", "--wait", "--timeout", "5x"), "--timeout: '5x' is not a time"),
    (("drain", "1", "--wait", "--timeout", "367d"), "--timeout: '367d' is longer than a year"),
    ((*ATTACH, "--policy", "fair"), "--policy: 'fair' is not round-robin, sticky or least-connections"),
    ((*ATTACH, "--label", ""), "a version has 1 to 31 letters"),
    ((*ATTACH, "--label", LONG), "a version has 1 to 31 letters"),
    ((*ATTACH, "--service", ""), NAME),
    ((*ATTACH, "--service", "a.b"), NAME),
    ((*ATTACH, "--service", "../a"), NAME),
    ((*ATTACH, "--service", "1a"), NAME),
    ((*ATTACH, "--service", LONG), NAME),
    (("status", "a.b"), NAME),
    (("status", "s", "more"), "'more' is one argument too many"),
    (("status", "--service", "s", "t"), "the service is named twice: 's' and 't'"),
    (("list", "s"), "takes no argument"),
    (("detach", "s", "more"), "'more' is one argument too many"),
    (("doctor", "s", "more"), "'more' is one argument too many"),
    (("drain",), "for example 3 or 0-3,7"),
    (("drain", "s"), "for example 3 or 0-3,7"),
    (("drain", "s", "one"), SLOTS),
    (("drain", "1x"), SLOTS),
    (("drain", "1,"), SLOTS),
    (("drain", "1-"), SLOTS),
    (("drain", "3-1"), SLOTS),
    (("drain", "1", "two"), SLOTS),
    (("drain", "1024"), "slot 1024 is out of range: slots are 0 to 1023"),
    (("drain", "99999999999999999999"), "slot 99999999999999999999 is out of range"),
    (("drain", "4"), NO_WORKER),
    (("drain", "0-4"), NO_WORKER),
    (("resume", "4"), NO_WORKER),
    (("weight", "4", "1"), NO_WORKER),
    (("canary", "4", "--share", "5"), NO_WORKER),
    (("label", "4", "v2"), NO_WORKER),
    (("swap", "4", "--pid", "1"), NO_WORKER),
    (("weight",), "--help"),
    (("weight", "1"), "--help"),
    (("weight", "1", "1001"), WEIGHTS),
    (("weight", "1", "1.5"), WEIGHTS),
    (("weight", "1", "much"), WEIGHTS),
    (("weight", "1", "--", "-5"), WEIGHTS),
    (("canary", "1"), "give --share PERCENT, or --off"),
    (("canary", "--off", "--share", "5"), "give --share PERCENT, or --off"),
    (("canary", "1", "--off"), "--off ends the whole canary: name no slots"),
    (("canary", "--share", "5"), "for example 3 or 0-3,7"),
    (("canary", "1", "--share", "0"), SHARES),
    (("canary", "1", "--share", "100"), SHARES),
    (("canary", "1", "--share", "0.05"), SHARES),
    (("canary", "1", "--share", "5.55"), SHARES),
    (("canary", "1", "--share", "some"), SHARES),
    (("label", "1"), "--help"),
    (("label", "1", LONG), "a version has 1 to 31 letters"),
    (("label", "1", ""), "a version has 1 to 31 letters"),
    (("label", "1", "two words"), "a version has 1 to 31 letters"),
    (("label", "1", "red\033[31m"), "a version has 1 to 31 letters"),
    (("switch",), "name the version to switch to, or give --off"),
    (("switch", "v2"), "no worker has version 'v2'; `reuseportd label SLOT... v2` sets it"),
    (("swap", "1"), "name one slot, and a process with --pid PID"),
    (("swap", "1", "2", "--pid", "1"), "name one slot, and a process with --pid PID"),
    (("swap", "1", "--pid", "init"), "--pid: 'init' is not a process ID"),
    (("swap", "1", "--pid", "1", "--fd", "x"), "--fd: 'x' is not a descriptor number"),
    (("run",), "give either a file or `-- COMMAND ARGUMENT...`"),
    (("run", "--workers", "2"), "give either a file or `-- COMMAND ARGUMENT...`"),
    (("run", "--", "true"), "--workers: the number of workers is missing: N, or max"),
    (("run", "--workers", "0", "--", "true"),
     "--workers: '0' is neither a number from 1 to 1024 nor 'max'"),
    (("run", "node", "main.js"), "if 'node' is a command, put -- before it"),
    (("run", "--workers", "2", "/dev/null"),
     "--workers: with a file, set this option in '/dev/null'"),
    (("run", "/dev/null"), "can't read '/dev/null': it is not a regular file"),
    (("run", "/nonexistent.js"), "can't read '/nonexistent.js': No such file"),
    (("check",), "name one file"),
    (("check", "/nonexistent"), "can't read '/nonexistent': No such file"),
)


def test_bad_input(bed):
    refusals = Refusals(bed)
    for command, message in BAD_INPUT:
        refusals.refused(*command, status=2, message=message)
    refusals.expect_exact()


# Changes of a service

REFUSED = (
    (("status", "t"), "there is no service 't'; `reuseportd list` shows all"),
    (("drain", "t", "1"), "there is no service 't'; `reuseportd list` shows all"),
    (("detach", "t"), "there is no service 't'; `reuseportd list` shows all"),
    (("drain", "0-3"), "no live worker to take new connections"),
    (("weight", "0-3", "0"), "use --force to do it anyway"),
    (("canary", "0-3", "--share", "5"), "leave at least one for the other"),
    (("swap", "1", "--pid", "999999"), "there is no process 999999"),
    (("swap", "1", "--pid", "1"), f"pid 1 has no listener on 0.0.0.0:{PORT}"),
)


def test_changes(bed):
    refusals = Refusals(bed)
    for command, message in REFUSED:
        refusals.refused(*command, message=message)
    refusals.expect_exact()
    bed.reuseportd("label", "0", "blue")
    bed.reuseportd("drain", "0")
    refusals.refused("canary", "0", "--share", "5", message="slot 0 takes no connections now")
    refusals.refused("switch", "blue", message="use --force to do it anyway")
    bed.reuseportd("drain", "1,2")
    refusals.refused("drain", "3", message="use --force to do it anyway")
    refusals.refused("weight", "3", "0", message="use --force to do it anyway")


def test_swap(bed):
    refusals = Refusals(bed)
    uid = Worker(bed, "uid", port=8081, options=("--uid", 1000))
    elsewhere = Worker(bed, "elsewhere", addresses="127.0.0.1")
    two = Worker(bed, "two", options=("--threads", 2))
    fleet = refusals.fleet
    group = f"on 0.0.0.0:{PORT} in the group of service 's' (same address, port, uid 0"
    for pid, more, status, message in (
            (fleet[0].pid, (), 1, f"the listener of pid {fleet[0].pid} is in slot 0 already"),
            (fleet[1].pid, (), 1, f"the listener of pid {fleet[1].pid} is in slot 1 already"),
            (uid.pid, (), 1, group),
            (elsewhere.pid, (), 1, group),
            (os.getpid(), (), 1, group),
            (two.pid, (), 2, "choose with --fd"),
            (two.pid, ("--fd", 77), 1, "with this descriptor")):
        refusals.refused("swap", 1, "--pid", pid, *more, status=status, message=message)
    elsewhere.stop()
    refusals.expect_exact()


# Finding the workers


def test_attach_finds_none(bed):
    """An unknown port, too few or too many workers, and ports that can't be steered."""
    refusals = Refusals(bed, attach=False)
    any_port = ("attach", "--workers")
    refusals.refused(*any_port, 4, message="no TCP listener was found")
    refusals.refused(*any_port, 4, "--port", PORT, message=f"nothing listens on port {PORT}")
    fleet = Workers(bed, 4)
    at = (*any_port, 4, "--port", PORT)
    refusals.refused(*any_port, 4, "--port", PORT + 1,
                     message=f"nothing listens on port {PORT + 1}")
    refusals.refused(*at, "--address", "127.0.0.2", message=f"nothing listens on port {PORT}")
    refusals.refused(*any_port, 4, "--address", "127.0.0.2",
                     message="nothing listens on this address")
    refusals.refused(*at, "--pid", os.getpid(),
                     message=f"pid {os.getpid()} has no listener on port")
    refusals.refused(*any_port, 4, "--pid", os.getpid(),
                     message=f"pid {os.getpid()} has no listener")
    refusals.refused(*at, "--pid", 999999, message="process 999999")
    refusals.refused(*any_port, 5, "--port", PORT, message=("has 4 workers, not 5", "--wait TIME",
                                                            "--workers 4"))
    begin = time.monotonic()
    refusals.refused(*any_port, 5, "--port", PORT, "--wait", 0.5, message="has 4 workers, not 5")
    check(time.monotonic() - begin > 0.5, "attach waited")
    refusals.refused(*any_port, 3, "--port", PORT,
                     message=("has 4 workers, not 3", "--workers 4",
                              f"pid {fleet[3].pid} (worker), fd"))
    refusals.refused(*any_port, 3, message=("found:", f"0.0.0.0:{PORT}", "4 listeners  worker"))
    Workers(bed, 4, port=PORT + 1)
    Workers(bed, 2, port=PORT + 2)
    both = refusals.refused(*any_port, 4, message=("2 ports fit; choose one with --port:",
                                                   f"0.0.0.0:{PORT} ", f"0.0.0.0:{PORT + 1} "))
    check(str(PORT + 2) not in both.err, f"a port that doesn't fit is listed: {both}")


def test_attach_without_reuseport(bed):
    refusals = Refusals(bed, attach=False)
    Worker(bed, "plain", options=("--no-reuseport",))
    Worker(bed, "shared", port=PORT + 1, options=("--prefork", 8, "--shared", "--no-reuseport"))
    Worker(bed, "shared", port=PORT + 2, options=("--prefork", 8, "--shared"))
    Nginx(bed, 8, port=PORT + 3, reuseport=False)
    for workers in (1, 8):
        refusals.refused("attach", "--workers", workers, "--port", PORT,
                         message=("was opened without SO_REUSEPORT", "set the option before bind()"))
    for port, comm in ((PORT + 1, "worker"), (PORT + 2, "worker"), (PORT + 3, "nginx")):
        refusals.refused("attach", "--workers", 8, "--port", port,
                         message=(f"8 processes ({comm}) share one listener", "start nginx with"))
    refusals.refused("attach", "--workers", 8, message="found:")


def test_attach_two_users(bed):
    refusals = Refusals(bed, attach=False)
    for uid, address in ((1000, "127.0.0.1"), (1001, "127.0.0.2")):
        for i in range(2):
            Worker(bed, f"{uid}-{i}", addresses=address, options=("--uid", uid))
    refusals.refused("attach", "--workers", 2, "--port", PORT,
                     message=("uid 1000", "uid 1001", "choose with --address"))
    bed.reuseportd("attach", "--workers", 2, "--address", "127.0.0.2")


def test_attached_already(bed):
    """A second attach, by the same name or another, is refused and doesn't affect the service."""
    refusals = Refusals(bed)
    message = ("is attached already", "`reuseportd status s` shows it", "`reuseportd detach s` ends")
    refusals.refused("attach", "--workers", WORKERS, "--service", SERVICE, message=message)
    refusals.expect_exact()
    refusals.refused("attach", "--workers", WORKERS, "--service", "t", message=message)
    refusals.expect_exact()
    refusals.refused("attach", "--workers", WORKERS, message=message)
    refusals.refused("attach", "--workers", WORKERS, "--service", "t", "--force", status=2)
    refusals.expect_exact()
    # Other workers on the same port, not admitted: the group already has a program.
    for worker in refusals.fleet.all:
        worker.stop()
    Workers(bed, WORKERS, first=10)
    refusals.refused("attach", "--workers", WORKERS, "--service", "t", message=message)
    bed.reuseportd("attach", "--workers", WORKERS, "--service", SERVICE)
    refusals.expect_exact()


def test_several_services(bed):
    refusals = Refusals(bed)
    Workers(bed, WORKERS, port=PORT + 1)
    bed.reuseportd("attach", "--workers", WORKERS, "--port", PORT + 1, "--service", "t")
    for command in (("status",), ("drain", "1"), ("detach",), ("canary", "--off")):
        refusals.refused(*command, status=2, message="there are several services, name one: s t")
    refusals.expect_exact()
    refusals.expect_exact(port=PORT + 1, service="t")
