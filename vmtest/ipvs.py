#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the recipe of tools/fleet/keepalived in a guest. Network namespaces are the client, the
director with keepalived and IPVS, and three hosts, each with its own bpffs, /run and cgroups. Every
connection of the client is counted. None may fail, unless a part of the recipe is left out.

usage: ipvs.py BUILD"""
import collections
import ipaddress
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
sys.dont_write_bytecode = True

from harness.bed import Bed  # noqa: E402
from harness.checks import Failure, check, equal, wait_until  # noqa: E402
from harness.network import PORT, entered_netns  # noqa: E402
from harness.process import read_log  # noqa: E402

RECIPE = TOP / "tools/fleet/keepalived"
# As in keepalived.conf.
ADDRESS, DIRECTOR, CLIENT = "10.0.0.100", "10.0.0.1", "10.0.0.2"
GATEWAY, HOSTS = "10.1.0.1", ("10.1.0.11", "10.1.0.12", "10.1.0.13")
DOOR_PORT = 9465
LAME_DUCK = 5  # seconds: keepalived needs up to 4
# The long connections are open for two seconds, so each host always has some.
WORK_MS = 100
LONG, SHORT = ("--rate", 9, "--keepalive", 20), ("--rate", 30)
# Connections that the other hosts had at least while one was away.
OTHERS = 20
# The clients give up after this time without an answer.
TIMEOUT_MS = 3000

SERVICE = f"""
[service web]
command = {{worker}} --port {PORT} --no-reuseport --work {WORK_MS} --id {{id}}
label = {{version}}
workers = 2
listen = {PORT}
settle = 50ms
drain-timeout = 30s
"""


class Host:
    """A host behind the director. Its name in the recipe is its address."""

    def __init__(self, bed, address):
        self.bed, self.address = bed, address
        self.name = f"host{address.rpartition('.')[2]}"
        self.config = bed.dir / f"{self.name}.conf"
        self.group = pathlib.Path("/sys/fs/cgroup") / self.name
        self.run = self.door = None
        bed.netns(self.name)
        join(bed, self.name, GATEWAY, address)
        bed.must("ip", "-n", self.name, "route", "add", "default", "via", GATEWAY)
        self.group.mkdir()
        mounts = (f"mount --bind {self.group} /sys/fs/cgroup && mount -t tmpfs tmpfs /run && "
                  "mount -t bpf -o mode=0700 bpf /sys/fs/bpf && echo mounted && exec sleep inf")
        join_group = f"echo 0 >{self.group}/cgroup.procs"
        holder = bed.start("sh", "-c", f"{join_group} && exec unshare --mount --cgroup "
                           f"--propagation private sh -c '{mounts}'", name=self.name, netns=self.name)
        holder.wait_output("mounted")
        self.enter = ["sh", "-c", f"{join_group} && exec nsenter --target {holder.pid} --net --mount "
                      '--cgroup "$@"', self.name]

    def configure(self, version):
        self.config.write_text(SERVICE.format(worker=self.bed.binary("worker"),
                                              id=self.id(version), version=version))

    def start(self, version):
        """Starts `run`, and the door if it doesn't run."""
        self.configure(version)
        self.run = self.start_command("run", self.config)
        self.run.wait_output("web: started:")
        if not self.door:
            self.door = self.start_command("web", "--listen", f"{self.address}:{DOOR_PORT}",
                                           "--token-file", self.bed.dir / "token")
            self.door.wait_output("serving ")

    def stop(self):
        self.command("stop")
        equal(self.run.wait(), 0, f"exit status of run on {self.name}")

    def id(self, version):
        """The name that its workers of this version answer with."""
        return f"{version}.{self.name}"

    def start_command(self, *words):
        return self.bed.start(*self.enter, "reuseportd", *words, name=f"{self.name}-{words[0]}")

    def command(self, *words, status=0):
        result = self.bed.run(*self.enter, "reuseportd", *words)
        check(status in (None, result.code), f"{result}(the expected exit status is {status})")


class Director:
    """keepalived and IPVS."""

    def __init__(self, bed):
        self.bed, self.keepalived = bed, None
        bed.netns("director")
        bed.netns("client")
        join(bed, "client", DIRECTOR, CLIENT)
        bed.must("ip", "-n", "client", "route", "add", ADDRESS, "via", DIRECTOR)
        bed.must("ip", "-n", "director", "address", "add", ADDRESS, "dev", "lo")
        bed.must("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward", netns="director")

    def start(self, without=None):
        """Starts keepalived with the configuration of the recipe, or one that lacks a word."""
        text = (RECIPE / "keepalived.conf").read_text()
        if without:
            text, n = re.subn(rf"(?m)^ *{without}$", "", text)
            equal(n, 1, f"lines with {without} in keepalived.conf")
        config = self.bed.dir / "keepalived.conf"
        config.write_text(text)
        self.keepalived = self.bed.start("keepalived", "--dont-fork", "--log-console", "--check",
                                         "--use-file", config, netns="director")
        self.wait_weights({address: 1 for address in HOSTS})

    def stop(self):
        equal(self.keepalived.stop(), 0, "exit status of keepalived")

    def weights(self):
        """{host: weight} in IPVS."""
        with entered_netns("director"):
            text = pathlib.Path("/proc/thread-self/net/ip_vs").read_text()
        rows = re.findall(r"(?m)^  -> ([0-9A-F]{8}):\S+ +\S+ +(\d+)", text)
        return {str(ipaddress.ip_address(bytes.fromhex(host))): int(weight) for host, weight in rows}

    def wait_weights(self, wanted):
        try:
            wait_until(lambda: self.weights() == wanted, f"the weights of IPVS are {wanted}",
                       interval=0.1)
        except Failure as failure:
            raise Failure(f"{failure}: {self.weights()}") from None


def join(bed, netns, here, there):
    """Joins the director to another namespace, by a cable with an address at each end."""
    bed.must("ip", "-n", "director", "link", "add", netns, "type", "veth",
             "peer", "name", "eth0", "netns", netns)
    bed.must("ip", "-n", "director", "address", "add", here, "peer", there, "dev", netns)
    bed.must("ip", "-n", netns, "address", "add", there, "peer", here, "dev", "eth0")
    bed.must("ip", "-n", "director", "link", "set", netns, "up")
    bed.must("ip", "-n", netns, "link", "set", "eth0", "up")


class Load:
    """The clients of a case, until the end of the context."""

    def __init__(self, bed, *kinds):
        self.rows = []
        self.bed, self.kinds = bed, kinds

    def __enter__(self):
        self.running = [self.bed.start_load(*kind, "--timeout", TIMEOUT_MS, hosts=(ADDRESS,),
                                            netns="client") for kind in self.kinds]
        return self

    def __exit__(self, *_):
        for load in self.running:
            load.stop()
            self.rows += read_log(load.log)
        self.rows.sort(key=lambda row: row.begin)

    def wait_answer(self, worker):
        """Waits until the worker has answered."""
        wait_until(lambda: any(f" {worker} " in load.log.read_text() for load in self.running),
                   f"{worker} answers", interval=0.1)

    def expect(self, lost):
        """Checks whether connections have failed. Returns the number of each outcome."""
        found = collections.Counter(row.outcome for row in self.rows)
        text = f"{len(self.rows)} connections: " + ", ".join(
            f"{n} {outcome}" for outcome, n in found.most_common())
        check(found["ok"] and (set(found) != {"ok"}) == lost, text)
        return text

    def expect_away(self, before, after):
        """Checks that a host had no connection for a while: between the last one that it answered
        as @before and the first one as @after, the other hosts had some."""
        last = max(i for i, row in enumerate(self.rows) if row.worker == before)
        first = min(i for i, row in enumerate(self.rows) if row.worker == after)
        check(first - last > OTHERS, f"{first - last - 1} connections between the last one to {before}"
              f" and the first one to {after}: keepalived did not take the host out")


class Fleet:
    def __init__(self, bed):
        self.bed = bed
        (bed.dir / "token").write_text("0123456789abcdef\n")
        (bed.dir / "token").chmod(0o600)
        self.director = Director(bed)
        self.hosts = [Host(bed, address) for address in HOSTS]
        for host in self.hosts:
            host.start("v1")
        self.director.start()

    def wait_all(self):
        self.director.wait_weights({address: 1 for address in HOSTS})

    def replace(self, host, version, load):
        """As for a new kernel: all workers of the host end, and keepalived notices before the host
        is back."""
        host.stop()
        self.director.wait_weights({**{address: 1 for address in HOSTS}, host.address: 0})
        host.start(version)
        host.command("resume-host")
        self.wait_all()
        load.wait_answer(host.id(version))

    def remote_shell(self):
        """A program that runs a command on a host, as ssh does."""
        path = self.bed.dir / "rsh"
        lines = "".join(f'{host.address}) set -- {shlex.join(host.enter)} "$@" ;;\n'
                        for host in self.hosts)
        path.write_text(f'#!/bin/sh\nhost=$1\nshift\ncase $host in\n{lines}esac\nexec "$@"\n')
        path.chmod(0o755)
        return path


def case_roll(fleet):
    """A new version on each host in turn."""
    with Load(fleet.bed, SHORT, LONG) as load:
        for host in fleet.hosts:
            host.configure("v2")
        fleet.bed.must(RECIPE / "roll", *HOSTS, deadline=120, env={
            **os.environ, "RSH": str(fleet.remote_shell()), "LAME_DUCK": str(LAME_DUCK)})
    for host in fleet.hosts:
        load.expect_away(host.id("v1"), host.id("v2"))
    return load.expect(lost=False)


def case_maintenance(fleet):
    """A drained host has no workers for a while."""
    host = fleet.hosts[0]
    with Load(fleet.bed, SHORT, LONG) as load:
        host.command("drain-host", "--lame-duck", LAME_DUCK, "--timeout", "1m")
        fleet.replace(host, "v3", load)
    load.expect_away(host.id("v2"), host.id("v3"))
    return load.expect(lost=False)


def case_without_lame_duck(fleet):
    """The workers end while keepalived still sends connections to the host."""
    host = fleet.hosts[1]
    with Load(fleet.bed, SHORT) as load:
        # It may be empty just then, or not.
        host.command("drain-host", "--lame-duck", 0, "--timeout", 0, status=None)
        fleet.replace(host, "v3", load)
    return load.expect(lost=True)


def case_without_inhibit_on_failure(fleet):
    """keepalived removes the host; the packets of its open connections are dropped."""
    host = fleet.hosts[2]
    fleet.director.stop()
    fleet.director.start(without="inhibit_on_failure")
    with Load(fleet.bed, LONG) as load:
        host.command("drain-host", "--lame-duck", LAME_DUCK, "--timeout", "1s", status=3)
        # The worker does not learn that its clients have given up.
        host.command("drain-host", "--timeout", 0, "--close-remaining")
        host.command("resume-host")
        fleet.wait_all()
    return load.expect(lost=True)


def case_stop(fleet):
    for host in fleet.hosts:
        host.stop()
        equal(host.door.stop(), 0, f"exit status of the door of {host.name}")
    fleet.director.stop()
    return "all commands"


CASES = (case_roll, case_maintenance, case_without_lame_duck, case_without_inhibit_on_failure,
         case_stop)


def main():
    build, failed = pathlib.Path(sys.argv[1]), 0
    os.environ["PATH"] = f"{build}/user:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(build, folder)
        fleet = Fleet(bed)
        for case in CASES:
            name = case.__name__.removeprefix("case_")
            try:
                print(f"ok {name}: {case(fleet)}", flush=True)
            except (Failure, OSError, ValueError, subprocess.SubprocessError) as why:
                failed += 1
                print(f"FAILED {name}: {why}\n{bed.logs()}", flush=True)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
