# SPDX-License-Identifier: BSD-2-Clause
"""`reuseportd run` as process 1 of a container."""
import os
import re
import signal

from containers import CAPABILITIES, NETNS, NODE, Container
from harness.checks import cases, check, equal, wait_until
from runs import script
from webs import ask


def start(bed, *options, **more):
    bed.program("node")
    return Container(bed, "--service", "web", "--workers", 2, "--user", "www-data", "--kill-timeout",
                     "30s", "--drain-timeout", "30s", *options, "--", "node",
                     script(bed, "server.js", NODE), **more)


def test_reload(bed):
    """No connection fails in a reload. What workers print stays apart, and orphans are reaped."""
    container = start(bed)
    load = bed.start_load("-c", 16, netns=NETNS)
    before = load.log.stat().st_size
    container.command("reload", "web")
    wait_until(lambda: load.log.stat().st_size > before, "connections after the reload")
    load.stop_unfailed()
    wait_until(lambda: not container.zombies(), "orphans are reaped")
    uid = re.search(r"uid (\d+)", container.process.out.read_text())[1]
    check(uid != "0", "the workers run as root")
    out, err = container.process.out, container.process.err
    wait_until(lambda: out.read_text().count("to stdout: ") == 4
               and err.read_text().count("to stderr: ") == 4, "each worker's lines")
    check("to stderr" not in out.read_text(), f"standard output:\n{out.read_text()}")
    check("to stdout" not in err.read_text(), f"standard error:\n{err.read_text()}")
    equal(container.end(), 0, "exit status")


@cases("SIGTERM", "SIGINT", "SIGQUIT")
def test_stop(bed, name):
    """Open requests are answered before process 1 ends."""
    container = start(bed)
    clients = container.hold_slow(20)
    os.kill(container.init(), getattr(signal, name))
    container.process.wait_output("stopping")
    container.path("/run/go").touch()
    answers = [client.receive() for client in clients]
    equal(len({answer.split(".")[0] for answer in answers}), 2, "slots that answered")
    equal(container.wait(), 0, "exit status")


def test_lame_duck(bed):
    """No connection fails if the load balancer stops sending when /ready says so."""
    container = start(bed, "--lame-duck", "5m", "--web", "unix:/run/web.sock")
    address = f"unix:{container.path('/run/web.sock')}"
    wait_until(lambda: ask("/ready?service=web", address=address).status == 200, "it is ready")
    load = bed.start_load("-c", 16, netns=NETNS)
    os.kill(container.init(), signal.SIGTERM)
    wait_until(lambda: ask("/ready?service=web", address=address).status == 503, "it is not ready")
    load.stop_unfailed()
    equal(container.end(), 0, "exit status")  # the second signal ends the lame duck


@cases(*CAPABILITIES)
def test_capability(bed, name):
    """Each capability that the recipes name is needed, and reuseportd says so."""
    kept = [other for other in CAPABILITIES if other != name]
    container = start(bed, capabilities=kept, wait=f"CAP_{name}")
    equal(container.wait(), 1, "exit status")


MISSING = {
    "cgroup2": ("mount -o remount,bind,ro /sys/fs/cgroup", "Read-only file system"),
    "bpffs": ("umount /mnt", "CAP_SYS_ADMIN (to mount bpffs)"),
}


@cases(*MISSING)
def test_missing(bed, name):
    """Without a mount that it needs, process 1 ends and says what is missing."""
    first, message = MISSING[name]
    container = start(bed, first=first, wait=message)
    equal(container.wait(), 1, "exit status")
