# SPDX-License-Identifier: BSD-2-Clause
"""Recipe 1: Ansible and HAProxy. ansible/deploy.yml deploys a version to three hosts, one after the
other, behind ansible/haproxy.cfg, under load. Each connection and each request is counted."""
import csv
import json
import os
import pathlib
import socket

from harness.checks import cases, check, equal, note, timeout, wait_until
from harness.network import PORT
from hosts import Host

HERE = pathlib.Path(__file__).resolve().parent / "ansible"
WORKERS = 2
SERVICE = "web"
WEB_PORT = 9465
TOKEN = "0123456789abcdef-token"
# How a version is judged: outside the load balancer by the check, inside by what users get. A step
# ends when the version is judged bad. That takes some seconds: all errors of a second weigh as one.
DRAINED = ("--strategy", "blue-green", "--steps", "100% 1s", "--min-samples", "1", "--warm-up",
           "0.1s", "--check-interval", "0.5s", "--check",
           f"exec:curl -fsS -o /dev/null http://127.0.0.1:{PORT}/ || exit 1")
LIVE = ("--strategy", "canary", "--min-samples", "20", "--warm-up", "0.2s", "--steps")
GOOD = {"drained": DRAINED, "live": (*LIVE, "10% 5s")}
BAD = {"drained": DRAINED, "live": (*LIVE, "10% 60s")}


class WebHost(Host):
    """A host with a service of `run`, which systemd would start."""

    def serve(self, token_file):
        self.start("reuseportd", "run", "--service", SERVICE, "--workers", WORKERS,
                   "--settle", "0.1", "--drain-timeout", "5s", "--web", f"{self.address}:{WEB_PORT}",
                   "--web-token-file", token_file, "--", *worker(self.bed),
                   name="run").wait_output(f"{SERVICE}: started:")

    def pids(self):
        return [row["pid"] for row in self.status()["workers"]]

    def versions(self):
        return [row["version"] for row in self.status()["workers"]]

    def status(self):
        return self.run("reuseportd", "status", SERVICE, "--json").json()


def worker(bed, *options):
    return [bed.binary("worker"), "--port", str(PORT), "--no-reuseport", *options]


class Fleet:
    def __init__(self, bed):
        self.bed = bed
        os.environ["PATH"] = f"{bed.build / 'user'}:{os.environ['PATH']}:/usr/sbin:/sbin"
        token = bed.dir / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.hosts = [WebHost(bed, number) for number in (1, 2, 3)]
        for host in self.hosts:
            host.serve(token)
        self.haproxy = bed.start(bed.program("haproxy"), "-db", "-f", HERE / "haproxy.cfg",
                                 name="haproxy", env={**os.environ, "FLEET": str(bed.dir)})
        self.wait_ready()
        self.loads = [bed.start_load("-c", 64, "--rate", 100),
                      bed.start_load("-c", 32, "--rate", 25, "--keepalive", 3)]

    def servers(self):
        """HAProxy's row of each host."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            try:
                client.connect(str(self.bed.dir / "haproxy.sock"))
            except (FileNotFoundError, ConnectionRefusedError):
                return []
            client.sendall(b"show stat hosts 4 -1\n")
            text = client.makefile().read()
        return list(csv.DictReader(text.removeprefix("# ").splitlines()))

    def wait_ready(self):
        """Waits until HAProxy sends requests to all hosts."""
        wait_until(lambda: not self.haproxy.alive() or
                   [row["status"] for row in self.servers()] == ["UP"] * 3,
                   "HAProxy has found all hosts ready", 60, 0.1)
        check(self.haproxy.alive(), self.haproxy.output())

    def inventory(self):
        path = self.bed.dir / "inventory.json"
        path.write_text(json.dumps({"web": {
            "hosts": {host.name: {"ansible_host": host.pid, "web": f"{host.address}:{WEB_PORT}"}
                      for host in self.hosts},
            "vars": {"ansible_connection": "host", "ansible_python_interpreter": "/usr/bin/python3"},
        }}))
        return path

    def play(self, case, options, command):
        """Runs the playbook for version v2. Returns its process, which has ended."""
        home = self.bed.dir / "ansible"
        play = self.bed.start(
            self.bed.program("ansible-playbook"), "-i", self.inventory(), "-e", json.dumps({
                "version": "v2", "command": command, "drained": case == "drained", "lame_duck": "2s",
                "deploy_options": options}), HERE / "deploy.yml", name="ansible",
            env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(home), "ANSIBLE_HOME": str(home),
                 "ANSIBLE_REMOTE_TMP": str(home / "remote"), "ANSIBLE_PIPELINING": "1",
                 "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
                 "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(self.bed.dir)})
        play.wait(400)
        return play

    def end_load(self):
        """Returns the numbers of requests, and of those that the version answered with 500. No other
        has failed, at HAProxy neither."""
        reports = [load.stop() for load in self.loads]
        failed, met = (sum(report[key] for report in reports) for key in ("failed", "bad_answer"))
        servers = self.servers()
        equal(failed, met, f"failed connections and those with 500: {reports}")
        equal(sum(int(row["hrsp_5xx"]) for row in servers), met, f"answers with 500: {servers}")
        for key in ("econ", "eresp", "wretr", "cli_abrt", "srv_abrt"):
            equal([row[key] for row in servers], ["0"] * 3, f"HAProxy's {key}")
        return sum(report["answers"] for report in reports) + met, met


@timeout(500)
@cases("drained", "live")
def test_good_version(bed, case):
    """All hosts have the new version, and no connection has failed. The play again changes nothing."""
    fleet = Fleet(bed)
    command = worker(bed, "--backlog", "1024")
    play = fleet.play(case, GOOD[case], command)
    equal(play.wait(), 0, f"exit status of the play:\n{play.output()}")
    n, met = fleet.end_load()
    equal(met, 0, "answers with 500")
    check("changed=0" not in play.output(), play.output())
    equal(fleet.haproxy.output().count(" is stopping, "), 3 if case == "drained" else 0,
          f"hosts that HAProxy has seen draining:\n{fleet.haproxy.output()}")
    for host in fleet.hosts:
        equal(host.versions(), ["v2"] * WORKERS, f"versions of {host.name}")
    if case == "live":
        pids = [host.pids() for host in fleet.hosts]
        again = fleet.play(case, (), command)
        equal((again.wait(), again.output().count("changed=0")), (0, 3), again.output())
        equal([host.pids() for host in fleet.hosts], pids, "workers after the second play")
    note(f"{n} requests, 0 failed; all hosts have v2")


@timeout(500)
@cases("drained", "live")
def test_bad_version(bed, case):
    """The first host judges the version bad. The play ends there: the other hosts are not touched."""
    fleet = Fleet(bed)
    pids = [host.pids() for host in fleet.hosts]
    play = fleet.play(case, BAD[case], worker(bed, "--fail", "1"))
    check(play.wait() != 0 and '"rc": 4' in play.output(), play.output())
    first, *others = fleet.hosts
    n, met = fleet.end_load()
    equal([host.pids() for host in fleet.hosts], pids, "workers")
    equal(first.run("reuseportd", "rollout", SERVICE, "--json").json()["outcome"], "aborted",
          "outcome on the first host")
    for host in others:
        check("had no deployment" in host.run("reuseportd", "rollout", SERVICE, status=1).err,
              f"{host.name} was touched")
    fleet.wait_ready()
    equal(met > 0, case == "live", f"users met the bad version: {met}")
    note(f"{n} requests, {met} met the bad version; hosts 2 and 3 are not touched")
