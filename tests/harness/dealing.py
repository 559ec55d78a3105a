# SPDX-License-Identifier: BSD-2-Clause
"""Ways to deal connections to eight workers: the kernel's hash, the policies of reuseportd, and
proxies in front. Each can start, replace or hang a worker, and count what its workers have open."""
import os
import re
import shutil
import signal

from harness.checks import wait_until
from harness.servers import Worker

WORKERS = 8


class Way:
    """One way, with its workers w0, w1, ... @options are those of the workers."""
    name = None
    policy = ()  # options of `attach`
    needs = None  # a program of other people

    def __init__(self, bed, port, options=(), workers=WORKERS):
        self.bed, self.port, self.options = bed, port, options
        self.proxy = None
        self.all = [Worker(bed, f"w{i}", port=self.port_of(i), options=options, wait=False)
                    for i in range(workers)]
        for worker in self.all:
            worker.ready()
        self.idle_fds = [self.count_fds(worker) for worker in self.all]
        self.begin()

    @classmethod
    def is_installed(cls):
        return not cls.needs or shutil.which(
            cls.needs, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None

    def port_of(self, _):
        return self.port

    def begin(self):
        """Begins to deal connections to the workers."""

    def admit(self, slot, worker):
        """Gives the turns of a slot to another worker."""

    def end(self):
        """Stops to deal connections."""

    @staticmethod
    def count_fds(worker):
        try:
            return len(os.listdir(f"/proc/{worker.pid}/fd"))
        except FileNotFoundError:  # it has ended
            return 0

    def open_connections(self):
        """How many connections each worker has accepted and not closed."""
        return [max(0, self.count_fds(worker) - idle)
                for worker, idle in zip(self.all, self.idle_fds)]

    def waiting(self, slot):
        """How many connections wait until the worker accepts them."""
        shown = self.bed.must("ss", "-Hltnp", f"sport = :{self.port_of(slot)}")
        [row] = [line for line in shown.splitlines() if f"pid={self.all[slot].pid}," in line]
        return int(row.split()[1])

    def hang(self, slot):
        """Makes the worker hang. Returns how many connections waited for it at that moment."""
        process = self.all[slot].process
        process.kill(signal.SIGHUP)
        process.wait_output("hangs ")
        return int(re.search(r"hangs (\d+)", process.output())[1])

    def replace(self, slot):
        """Starts the worker "fresh" and gives it the turns of the slot. Returns the old worker,
        which still runs."""
        old = self.all[slot]
        fresh = Worker(self.bed, "fresh", port=self.port_of(slot), options=self.options)
        self.admit(slot, fresh)
        self.all[slot] = fresh
        return old

    def stop(self):
        self.end()
        if self.proxy:
            self.proxy.stop()
        for worker in self.all:
            worker.process.stop(signal.SIGKILL)


class Hash(Way):
    name = "hash"


class Steered(Way):
    def begin(self):
        self.service = f"deal-{self.port}"
        self.bed.reuseportd("attach", "--workers", len(self.all), "--port", self.port, "--service",
                            self.service, *self.policy)
        rows = self.bed.status(self.service)["workers"]
        self.slots = [next(row["slot"] for row in rows if row["pid"] == worker.pid)
                      for worker in self.all]

    def admit(self, slot, worker):
        self.bed.reuseportd("swap", self.service, self.slots[slot], "--pid", worker.pid)

    def end(self):
        self.bed.reuseportd("detach", self.service)


class RoundRobin(Steered):
    name = "round robin"


class SkipStuck(Steered):
    name = "skip-stuck"
    stuck_after = 0.001  # seconds
    policy = ("--skip-stuck", "1ms")


class LeastConnections(Steered):
    name = "least-connections"
    policy = ("--policy", "least-connections")


class SlowStart(Steered):
    name = "slow start"
    policy = (*LeastConnections.policy, "--slow-start", "5s")


class Both(Steered):
    name = "both"
    policy = (*LeastConnections.policy, *SkipStuck.policy)


class Proxy(Way):
    """A proxy on the port; each worker has a port of its own."""
    arguments = ()

    def port_of(self, i):
        return self.port + 1 + i

    def begin(self):
        config = self.bed.dir / f"{self.needs}-{self.bed.n_processes}.conf"
        config.write_text(self.config(
            [f"127.0.0.1:{self.port_of(i)}" for i in range(len(self.all))]))
        self.proxy = self.bed.start(self.bed.program(self.needs), *self.arguments, config)
        wait_until(lambda: self.bed.run("ss", "-Hltn", f"sport = :{self.port}").out,
                   f"{self.needs} listens")


class HaproxyLeastconn(Proxy):
    """It forwards bytes, as `mode http` would keep connections to the workers open."""
    name = "HAProxy leastconn"
    needs = "haproxy"
    arguments = ("-db", "-f")

    def config(self, workers):
        servers = "\n".join(f"    server s{i} {address}" for i, address in enumerate(workers))
        return f"""
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 600s
    timeout client 600s
    timeout server 600s
listen all
    bind 0.0.0.0:{self.port} backlog 4096
    balance leastconn
{servers}
"""


class NginxLeastConn(Proxy):
    """It forwards requests, as its module for TCP is often not installed. So a worker has no
    connection that belongs to an idle connection of a client."""
    name = "nginx least_conn"
    needs = "nginx"
    arguments = ("-e", "stderr", "-c")

    def config(self, workers):
        folder = self.bed.dir / f"nginx-{self.port}"
        folder.mkdir(exist_ok=True)
        temporary = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        servers = " ".join(f"server {address};" for address in workers)
        return f"""
daemon off; user root; worker_processes auto; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log off; {temporary}
    proxy_connect_timeout 60s; proxy_read_timeout 600s;
    upstream all {{ zone all 256k; least_conn; {servers} }}
    server {{ listen {self.port} backlog=4096; location / {{ proxy_pass http://all; }} }}
}}
"""


WAYS = (Hash, RoundRobin, SkipStuck, LeastConnections, SlowStart, Both, HaproxyLeastconn,
        NginxLeastConn)
