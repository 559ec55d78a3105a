# SPDX-License-Identifier: BSD-2-Clause
"""The servers of the tests. Each has `workers` listeners on PORT for each of its addresses, and
answers with the id of the worker (HAProxy: of the thread) in the header X-Worker. When the
constructor returns, all workers poll."""
import os
import pathlib
import re
import signal

from harness.checks import Failure, check, wait_until
from harness.network import PORT

BOTH = ("0.0.0.0", "::")

WSGI_APP = """
import os, time

def app(environ, start_response):
    # The path /slow keeps the worker busy until the file `go` exists.
    if environ["PATH_INFO"] == "/slow":
        open(f"slow.{os.getpid()}", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    me = str(os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Worker", me),
                              ("Content-Length", str(len(me) + 1))])
    return [f"{me}\\n".encode()]

open(f"booted.{os.getpid()}", "w").close()
"""


def host_port(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# Sockets, as the kernel reports them


def listening_inodes(bed, port=PORT, netns=None):
    """The inodes of the listeners on @port. Not from /proc/net/tcp, which also lists all sockets in
    TIME_WAIT."""
    table = bed.must("ss", "--no-header", "--listening", "--tcp", "--numeric", "--extended",
                     f"sport = :{port}", netns=netns)
    return re.findall(r"\bino:(\d+)", table)


def fd_link(pid, fd):
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def polled_inodes(pid):
    """The inodes of the sockets that the epoll instances of @pid watch."""
    inodes = set()
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
        for fd in fds:
            if fd_link(pid, fd) == "anon_inode:[eventpoll]":
                info = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
                for watched in re.findall(r"(?m)^tfd: *(\d+)", info):
                    inodes |= set(re.findall(r"socket:\[(\d+)\]", fd_link(pid, watched)))
    except OSError:
        pass  # the process has ended meanwhile
    return inodes


def children(pid):
    try:
        return [int(child) for child in
                pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Server:
    """A program in the background. Subclasses set `process`, and call self.ready() last."""

    process = None

    def __init__(self, bed, workers, addresses, port, netns):
        self.bed, self.workers, self.port, self.netns = bed, workers, port, netns
        self.addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        bed.servers.append(self)

    @property
    def pid(self):
        return self.process.pid

    def pids(self):
        """The processes that may poll."""
        return children(self.pid) or [self.pid]

    def n_polled(self):
        """The number of listeners on the port that a process of this server polls."""
        listening = set(listening_inodes(self.bed, self.port, self.netns))
        return len(listening & set().union(*(polled_inodes(pid) for pid in self.pids())))

    def ready(self):
        want = self.workers * len(self.addresses)

        def all_polled():
            check(self.process.alive(),
                  f"{self.process.name} ended:\n{self.process.output()}")
            return self.n_polled() >= want
        wait_until(all_polled, f"{self.process.name} polls {want} listeners")

    def stop(self):
        self.process.stop(signal.SIGTERM, 5)


class Nginx(Server):
    """A master and its workers; one listener for each worker and address, open in all of them."""

    def __init__(self, bed, workers=8, addresses="0.0.0.0", port=PORT, netns=None, reuseport=True,
                 dual=False):
        super().__init__(bed, workers, addresses, port, netns)
        self.reuseport = reuseport
        bed.n_processes += 1
        home = bed.dir / f"nginx-{bed.n_processes}"
        home.mkdir()
        self.config = home / "nginx.conf"
        v6only = "off" if dual else "on"
        listen = "\n".join(
            f"listen {host_port(a, port)} backlog=4096{' reuseport' if reuseport else ''}"
            + (f" ipv6only={v6only};" if ":" in a else ";") for a in self.addresses)
        temporary = "\n".join(f"{kind}_temp_path {home}/{kind};" for kind in
                              ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.config.write_text(f"""
            daemon off;
            user root;
            worker_processes {workers};
            pid {home}/pid;
            error_log stderr notice;
            events {{ worker_connections 2048; }}
            http {{
                access_log off;
                keepalive_timeout 600;
                keepalive_requests 1000000;
                {temporary}
                server {{
                    {listen}
                    default_type text/plain;
                    add_header X-Worker $pid;
                    location / {{ return 200 "$pid\\n"; }}
                }}
            }}""")
        self.process = bed.start(bed.program("nginx"), "-c", self.config, "-p", home, "-e",
                                 "stderr", name="nginx", netns=netns)
        self.ready()

    def n_polled(self):
        if self.reuseport:
            return super().n_polled()
        listening = set(listening_inodes(self.bed, self.port, self.netns))
        return sum(len(listening & polled_inodes(pid)) for pid in self.pids())

    def reload(self):
        """Reloads by SIGHUP: new workers start, the old ones end."""
        self.process.kill(signal.SIGHUP)


class Haproxy(Server):
    """One process, with a listener for each thread; the threads answer as t0, t1, ..."""

    def __init__(self, bed, workers=8, addresses="0.0.0.0", port=PORT, netns=None,
                 prefix="t", options=()):
        super().__init__(bed, workers, addresses, port, netns)
        bed.n_processes += 1
        config = bed.dir / f"haproxy-{bed.n_processes}.cfg"
        binds = "\n".join(
            f"    bind {host_port(a, port)} shards by-thread backlog 4096"
            f"{' v6only' if ':' in a else ''}" for a in self.addresses)
        me = prefix + "%[thread]"
        config.write_text(f"""
global
    nbthread {workers}
    maxconn 4000
defaults
    mode http
    timeout client 600s
    timeout connect 5s
    timeout server 5s
    timeout http-keep-alive 600s
frontend main
{binds}
    http-request return status 200 content-type text/plain lf-string "{me}\\n" hdr X-Worker "{me}"
""")
        self.process = bed.start(bed.program("haproxy"), "-db", "-f", config, *options,
                                 name="haproxy", netns=netns)
        self.ready()


class Gunicorn(Server):
    """One worker: an arbiter that has the listener open, and a child that serves it."""

    def __init__(self, bed, addresses="0.0.0.0", port=PORT, netns=None, options=()):
        super().__init__(bed, 1, addresses, port, netns)
        self.home = bed.dir / "gunicorn"
        self.home.mkdir(exist_ok=True)
        (self.home / "tiny.py").write_text(WSGI_APP)
        binds = [arg for a in self.addresses
                 for arg in ("--bind", host_port(a, port))]
        # The default control and temporary files would remain after the test.
        self.process = bed.start(bed.program("gunicorn"), "--workers", 1, "--reuse-port", *binds,
                                 "--worker-tmp-dir", bed.dir, "--no-sendfile", *options, "tiny:app",
                                 name="gunicorn", netns=netns, cwd=self.home)

    def ready(self):
        """Waits until it is ready, and returns itself. Not called by the constructor, so that
        several can start at the same time."""
        def booted():
            pid = self.worker_pid()
            return pid and (self.home / f"booted.{pid}").exists()
        wait_until(lambda: booted() or not self.process.alive(),
                   f"{self.process.name} has booted its worker")
        check(self.process.alive(), f"{self.process.name} ended:\n{self.process.output()}")
        return self

    def worker_pid(self):
        return (children(self.pid) or [0])[0]

    def stop(self):
        self.process.stop(signal.SIGQUIT, 5)


class Gunicorns:
    """Eight gunicorns of one worker each."""

    def __init__(self, bed, workers=8, addresses="0.0.0.0", port=PORT, netns=None, options=()):
        self.all = [Gunicorn(bed, addresses, port, netns, options) for _ in range(workers)]
        for one in self.all:
            one.ready()

    @property
    def pid(self):
        return self.all[0].pid


class Worker(Server):
    """The project's own server (tests/harness/worker): one process, unless @options say
    otherwise."""

    def __init__(self, bed, ident=None, addresses="0.0.0.0", port=PORT, netns=None, options=(),
                 workers=1, wait=True):
        super().__init__(bed, workers, addresses, port, netns)
        self.id = ident
        argv = [bed.binary("worker"), "--port", port]
        for address in self.addresses:
            argv += ["--address", address]
            if ":" in address and len(self.addresses) > 1:
                argv += ["--v6only"]
        self.process = bed.start(*argv, *(["--id", ident] if ident else []), *options,
                                 name=f"worker-{ident}", netns=netns)
        if wait:
            self.ready()

    def ready(self):
        self.process.wait_output("ready ")

    def child_pids(self):
        """Of a pre-fork server: the pids of its current children, in the order of their
        listeners."""
        found = dict(re.findall(r"(?m)^child (\d+) (\d+)", self.process.output()))
        return [int(found[str(i)]) for i in range(len(found))]


class Workers:
    """C workers w0, w1, ..."""

    def __init__(self, bed, workers=8, addresses="0.0.0.0", port=PORT, netns=None, options=(),
                 first=0):
        self.all = [Worker(bed, f"w{i}", addresses, port, netns, options, wait=False)
                    for i in range(first, first + workers)]
        for one in self.all:
            one.ready()

    @property
    def pid(self):
        return self.all[0].pid

    def __getitem__(self, i):
        return self.all[i]


FLEETS = {"nginx": Nginx, "haproxy": Haproxy, "gunicorn": Gunicorns, "c": Workers}


def start_fleet(bed, kind, **options):
    """Starts eight workers of the kind."""
    if kind not in FLEETS:
        raise Failure(f"unknown kind of server: {kind}")
    return FLEETS[kind](bed, **options)
