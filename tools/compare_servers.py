# SPDX-License-Identifier: BSD-2-Clause
"""The systems that tools/compare compares: ways to run the same Node program on all cores. Each can
start, replace all its workers, and name its supervisor processes."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from harness.checks import check, wait_until  # noqa: E402

PM2 = "7.0.4"
WATT = "3.65.0"
NODE = "24.21.0"  # from npm, for all systems if Watt is one of them: it needs Node 22.19 or later
BATCH = 2  # processes replaced at a time: the default of PM2 and reuseportd
KILL_SECONDS = 5  # time to end after SIGTERM, in all systems
DEADLINE = 300  # seconds for a start or a reload: Watt takes long on a busy machine

# Ends gracefully: closes its listener, answers open requests, and closes idle connections.
PROGRAM = """
const http = require('http');
const { threadId } = require('worker_threads');
let closing = false;
let requests = 0;
const server = http.createServer((request, response) => {
    response.setHeader('X-Worker', `${process.pid}.${threadId}`);
    if (closing)
        response.setHeader('Connection', 'close');
    if (++requests % FAIL_EVERY == 0)
        response.statusCode = 500;
    response.end('ok\\n');
});
server.listen(process.env.PORT, () => process.send && process.send('ready'));
function close() {
    closing = true;
    server.close(() => process.exit(0));
    server.closeIdleConnections();
}
process.on('SIGINT', close);
process.on('SIGTERM', close);
"""


def program(fail_every):
    """The version of the program that answers one of @fail_every requests with 500."""
    return PROGRAM.replace("FAIL_EVERY", str(fail_every))


GOOD = program("Infinity")

# On SIGHUP starts new workers, then stops old ones.
PRIMARY = """
const cluster = require('cluster');
const [program, workers, batch, killSeconds] = process.argv.slice(2);
cluster.setupPrimary({exec: program});
cluster.schedulingPolicy = cluster.SCHED_RR;
const start = () => new Promise(done => {
    const worker = cluster.fork();
    worker.once('listening', () => done(worker));
});
async function startAll() {
    await Promise.all(Array.from({length: workers}, start));
    console.log('started');
}
process.on('SIGHUP', async () => {
    const old = Object.values(cluster.workers);
    while (old.length) {
        const part = old.splice(0, batch);
        await Promise.all(part.map(start));
        await Promise.all(part.map(worker => new Promise(done => {
            worker.once('exit', done);
            worker.process.kill('SIGTERM');
            setTimeout(() => worker.process.kill('SIGKILL'), 1000 * killSeconds).unref();
        })));
    }
    console.log('reloaded');
});
startAll();
"""

# Round robin over both of nginx's workers (zone). With max_fails=0 a process that is being replaced
# is tried again with the next request; by default nginx would skip it for ten seconds.
NGINX = """
daemon off; user root; worker_processes auto; pid {home}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    upstream node {{
        zone node 256k;
        keepalive 64;
        {servers}
    }}
    server {{
        listen {port} backlog=4096;
        keepalive_requests 100000000;
        location / {{
            proxy_pass http://node;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def cgroup_mounts():
    """The file system types and folders of all mounts of cgroups, and the options of each."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield kind, pathlib.Path(mount), options.split(",")


def cgroup_root():
    for kind, mount, _ in cgroup_mounts():
        if kind == "cgroup2":
            return mount
    sys.exit("tools/compare: cgroup2 is not mounted")


def cpu_roots():
    """Where cgroups of version 1 share the CPU. In the root cgroup, each session has the same share
    (autogroup), so that a system with more sessions would get more than the others."""
    return [mount for kind, mount, options in cgroup_mounts()
            if kind == "cgroup" and "cpu" in options]


class System:
    """One way to run the program. All its processes are in its own cgroups."""
    name = port = None

    def __init__(self, bed, workers):
        self.bed, self.workers = bed, workers
        self.home = bed.dir / self.key()
        self.home.mkdir()
        self.cgroup = cgroup_root() / f"of-{self.key()}"  # as reuseportd creates "reuseportd"
        self.cgroup.mkdir()
        self.program = self.home / "server.js"
        self.program.write_text(GOOD)
        self.env = {**os.environ, "PORT": str(self.port)}

    @classmethod
    def key(cls):
        return cls.__name__.lower()

    def run_in_cgroup(self, *command, env=None):
        """Starts a process in the cgroup."""
        into = 'echo 0 >"$0"/cgroup.procs && exec "$@"'
        return self.bed.start("sh", "-c", into, self.cgroup, *command, name=self.key(),
                              env=env or self.env, cwd=self.home)

    def deploy_and_undo(self, bad, seconds):
        """Deploys a bad version, which a person notices after @seconds."""
        self.deploy(bad)
        time.sleep(seconds)
        self.deploy(GOOD)

    def deploy(self, text):
        self.program.write_text(text)
        self.reload()

    def cgroups(self):
        return [self.cgroup]

    def cpu_seconds(self):
        """CPU time that all processes on the server's side have used so far."""
        return sum(int((group / "cpu.stat").read_text().split()[1])
                   for group in self.cgroups()) / 1e6

    def pids(self):
        return [int(pid) for group in self.cgroups() for path in group.glob("**/cgroup.procs")
                for pid in path.read_text().split()]

    def wait_output(self, process, text, times=1):
        wait_until(lambda: process.output().count(text) >= times or not process.alive(),
                   f"{self.name} prints '{text}'", DEADLINE, 0.02)
        check(process.alive(), f"{self.name} ended:\n{process.output()}")


class Pm2(System):
    name, port = "PM2 cluster", 8081

    def start(self):
        self.env.update(PM2_HOME=str(self.home / "pm2"), PM2_DISABLE_VERSION_CHECK="true")
        config = self.home / "ecosystem.config.js"
        config.write_text("module.exports = " + json.dumps({"apps": [{
            "name": "web", "script": str(self.program), "instances": self.workers,
            "exec_mode": "cluster", "wait_ready": True, "listen_timeout": 30000,
            "kill_timeout": 1000 * KILL_SECONDS}]}))
        self.command("start", config, start=self.run_in_cgroup)

    def command(self, *arguments, start=None):
        start = start or (lambda *words, env: self.bed.start(*words, name="pm2", env=env))
        process = start("node", self.bed.pm2, *arguments, env=self.env)
        check(process.wait(DEADLINE) == 0, f"pm2 {arguments[0]}:\n{process.output()}")

    def supervisors(self):
        return [int((self.home / "pm2/pm2.pid").read_text())]

    def reload(self):
        self.command("reload", "web")


class Cluster(System):
    name, port = "Node cluster", 8082

    def start(self):
        script = self.home / "primary.js"
        script.write_text(PRIMARY)
        self.process = self.run_in_cgroup("node", script, self.program, self.workers, BATCH,
                                  KILL_SECONDS)
        self.wait_output(self.process, "started")

    def supervisors(self):
        return [self.process.pid]

    def reload(self):
        times = self.process.output().count("reloaded") + 1
        self.process.kill(signal.SIGHUP)
        self.wait_output(self.process, "reloaded", times)


class Nginx(System):
    name, port = "nginx + Node", 8083

    def start(self):
        self.nodes = [self.start_node(i) for i in range(self.workers)]
        self.wait_nodes(range(self.workers))
        config = self.configure({i: 1 for i in range(self.workers)})
        self.process = self.run_in_cgroup("nginx", "-c", config, "-p", self.home, "-e", "stderr")
        wait_until(lambda: len(self.supervisors()) > 1 and listens(self.port), "nginx listens",
                   DEADLINE, 0.02)

    def configure(self, weights):
        servers = "".join(f"server 127.0.0.1:{self.port_of(i)} max_fails=0 weight={weight};"
                          for i, weight in weights.items())
        config = self.home / "nginx.conf"
        config.write_text(NGINX.format(home=self.home, port=self.port, servers=servers))
        return config

    def port_of(self, i):
        return 9000 + i

    def start_node(self, i, script=None):
        return self.run_in_cgroup("node", script or self.program,
                                  env={**self.env, "PORT": str(self.port_of(i))})

    def wait_nodes(self, which):
        wait_until(lambda: all(listens(self.port_of(i)) for i in which), "Node listens", DEADLINE,
                   0.02)

    def supervisors(self):
        """nginx has no supervisor for Node; its own processes are what it adds."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *map(int, children.split())]

    def reload(self):
        """A port belongs to one process, so the old process has to end first."""
        for first in range(0, self.workers, BATCH):
            part = range(first, min(first + BATCH, self.workers))
            for i in part:
                self.nodes[i].kill(signal.SIGTERM)
            for i in part:  # with SIGKILL after KILL_SECONDS
                self.nodes[i].stop(deadline=KILL_SECONDS)
                self.nodes[i] = self.start_node(i)
            self.wait_nodes(part)

    def deploy_and_undo(self, bad, seconds):
        """By hand: one process of the new version, which gets 5 % of the requests."""
        old, new = range(self.workers), self.workers
        script = self.home / "bad.js"
        script.write_text(bad)
        node = self.start_node(new, script)
        self.wait_nodes([new])
        self.set_weights({i: 19 for i in old} | {new: self.workers})
        time.sleep(seconds)
        self.set_weights({i: 1 for i in old})
        node.stop()

    def set_weights(self, weights):
        """Returns once the processes of nginx with other weights have ended."""
        before = set(self.supervisors()[1:])
        self.configure(weights)
        self.process.kill(signal.SIGHUP)
        wait_until(lambda: before.isdisjoint(self.supervisors()), "nginx has read its file",
                   DEADLINE, 0.02)


class Reuseportd(System):
    name, port = "reuseportd", 8084

    def start(self):
        self.process = self.run_in_cgroup(self.bed.binary("reuseportd"), "run", "--service", "web",
                                  "--workers", self.workers, "--batch", BATCH, "--kill-timeout",
                                  f"{KILL_SECONDS}s", "--", "node", self.program)
        self.wait_output(self.process, "started:")

    def cgroups(self):
        return [self.cgroup, cgroup_root() / "reuseportd"]

    def supervisors(self):
        log_process = (cgroup_root() / "reuseportd/web/log/cgroup.procs").read_text().split()
        return [self.process.pid, *map(int, log_process)]

    def reload(self):
        self.bed.reuseportd("reload", "web", deadline=DEADLINE)

    def deploy_and_undo(self, bad, _seconds):
        """The supervisor notices, and goes back to the good version: no person is needed."""
        script = self.home / "bad.js"
        script.write_text(bad)
        self.bed.reuseportd("deploy", "web", "--strategy", "canary", "--steps", "5% 2m", "--wait",
                            "--", "node", script, deadline=DEADLINE, status=4)


class Watt(System):
    """Runs each worker as a thread of one process, each with a listener (SO_REUSEPORT)."""
    name, port = "Watt", 8085

    def start(self):
        self.env["TMPDIR"] = str(self.home)  # has the socket that `restart` connects to
        (self.home / "node_modules").symlink_to(self.bed.watt)
        for name, content in (
                ("package.json", {"name": "web", "main": self.program.name}),
                ("watt.json", {"module": "@platformatic/node", "runtime": {
                    "server": {"hostname": "0.0.0.0", "port": self.port}, "workers": self.workers,
                    "gracefulShutdown": {"application": 1000 * KILL_SECONDS}}})):
            (self.home / name).write_text(json.dumps(content))
        self.process = self.run_in_cgroup(*self.command("start"))
        self.wait_output(self.process, "is now listening")

    def command(self, name):
        return ["node", self.bed.watt / "wattpm/bin/cli.js", name]

    def supervisors(self):
        """The supervisor is a thread of the process that the workers are in."""
        return []

    def reload(self):
        process = self.bed.start(*self.command("restart"), name="watt", env=self.env, cwd=self.home)
        check(process.wait(DEADLINE) == 0, f"wattpm restart:\n{process.output()}")


SYSTEMS = (Pm2, Cluster, Nginx, Watt, Reuseportd)


def listens(port):
    """Whether a process listens on the port."""
    return subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True,
                          check=True).stdout != ""
