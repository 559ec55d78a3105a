# SPDX-License-Identifier: BSD-2-Clause
"""reuseportd@.service as a real systemd runs it."""
import os
import signal

from harness.bed import cgroup2
from harness.checks import cases, check, equal, wait_until
from runs import NODE_GRACEFUL, PYTHON, by_slot, script
from harness.servers import children

SYSTEMD = "/lib/systemd/systemd"
SERVICE = "reuseportd@web.service"
# What ours is ordered after or wants. Debian's own would set up, and tidy, the whole machine.
EMPTY = ("basic.target", "multi-user.target", "network-online.target", "shutdown.target",
         "sysinit.target")

# Of the cgroups it is to see only those of the test: also not the ones of version 1.
BOOT = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$@"
"""


class Systemd:
    """Process 1 of namespaces within those of the test, with the test's network, bpffs and /run; in
    a cgroup of its own, which is the root of all that it sees. It knows our unit and empty ones."""

    def __init__(self, bed, config):
        bed.program(SYSTEMD)
        self.bed, self.config = bed, bed.dir / "web.conf"
        self.config.write_text(config)
        units = bed.dir / "units"
        (units / "reuseportd@.service.d").mkdir(parents=True)
        for name in EMPTY:
            (units / name).write_text("[Unit]\nDefaultDependencies=no\n")
        unit = (bed.build / "reuseportd@.service").read_text()
        installed = next(line.split("=")[1].split()[0] for line in unit.splitlines()
                         if line.startswith("ExecStart="))
        unit = unit.replace(installed, bed.binary("reuseportd"))
        (units / "reuseportd@.service").write_text(unit.replace("/etc/reuseportd", str(bed.dir)))
        self.told = bed.dir / "unit.err"  # there is no journal
        (units / "reuseportd@.service.d/output.conf").write_text(
            f"[Service]\nStandardOutput=append:{self.told}\nStandardError=append:{self.told}\n")
        self.group = cgroup2() / "systemd"
        self.group.mkdir()
        self.process = bed.start(
            "sh", "-ec", f'echo 0 >{self.group}/cgroup.procs; exec "$@"', "-",
            "unshare", "--pid", "--mount", "--cgroup", "--fork", "--kill-child", "--mount-proc",
            "sh", "-ec", BOOT, "-", "env", "-i", "container=test", f"SYSTEMD_UNIT_PATH={units}",
            "SYSTEMD_GENERATOR_PATH=/nonexistent", "PATH=" + os.environ["PATH"],
            SYSTEMD, "--unit=basic.target", "--log-target=console", name="systemd")
        [self.pid] = wait_until(lambda: children(self.process.pid), "systemd is process 1")
        wait_until(lambda: self.inside("systemctl", "is-system-running").out.strip() == "running",
                   "systemd is up")

    def inside(self, *argv):
        return self.bed.run("nsenter", f"--target={self.pid}", "--pid", "--mount", "--cgroup",
                            "--", *argv, deadline=90)

    def systemctl(self, verb, *args, status=0):
        done = self.inside("systemctl", verb, *args, SERVICE)
        check(done.code == status, f"{done}(exit status should be {status})\n{self.log()}")
        self.bed.remember_pinned()
        return done.out

    def log(self):
        return self.told.read_text() if self.told.exists() else ""

    def property(self, name):
        return self.systemctl("show", "--value", f"--property={name}").strip()

    def pids(self):
        done = self.inside(self.bed.binary("reuseportd"), "status", "web", "--json")
        return [row["pid"] for row in done.json()["workers"]] if done.code == 0 else None

    def supervisor(self):
        return int(self.property("MainPID"))

    def kill_supervisor(self, number):
        self.systemctl("kill", "--kill-whom=main", f"--signal={number}")

    def stop(self):
        """Nothing of it is left, nor of its workers."""
        self.systemctl("stop")
        left = list(self.group.glob("**/*reuseportd@*/"))
        check(not left, f"cgroups are left: {left}")
        left = self.inside("ps", "-e", "-o", "args=").out
        check("reuseportd" not in left and "server" not in left, f"processes are left:\n{left}")
        os.kill(self.pid, signal.SIGKILL)  # as process 1 it would do its own end otherwise
        self.process.wait()
        for path in sorted(self.group.glob("**/"), reverse=True):  # its slices
            path.rmdir()


def config(bed, **options):
    command = f"node {script(bed, 'server.js', NODE_GRACEFUL)}"
    options = {"command": command, "workers": 4, "settle": "50ms", **options}
    return "[service web]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())


LOAD = ("-c", 8, "--rate", 500)


def test_started_and_stopped(bed):
    """`start` returns when all workers take connections, evenly; `stop` when nothing is left."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    equal(by_slot(bed.load("-n", 400)), dict.fromkeys(range(4), 100),
          "connections by slot")
    equal(systemd.property("ActiveState"), "active", "state of the unit")
    groups = sorted(path.name for path in systemd.group.glob("**/*reuseportd@web*/*/"))
    equal(groups, ["reuseportd", "supervisor"], "cgroups right below the unit's")
    systemd.stop()


def test_reload(bed):
    """`reload` returns when all are replaced, with no connection lost; it fails when they can't be,
    and then the old ones serve on."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    load = bed.start_load(*LOAD)
    first, supervisor = systemd.pids(), systemd.supervisor()
    systemd.systemctl("reload")
    second = systemd.pids()
    check(not set(first) & set(second), f"{first} were replaced by {second}")
    systemd.config.write_text(config(bed, command="node /nothing/here.js"))
    said = systemd.systemctl("reload", status=1)
    equal(systemd.pids(), second, "workers after a reload that failed")
    check("Cannot find module" in systemd.log(), f"why is not said:\n{said}{systemd.log()}")
    equal(systemd.property("ActiveState"), "active", "state of the unit")
    equal(systemd.supervisor(), supervisor, "the supervisor")
    load.stop_unfailed()
    systemd.stop()


def test_added_service(bed):
    """A service that is new in the file: a reload says how it is started, which leaves the workers
    of the others in peace."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    command = f"python3 {script(bed, 'other-server.py', PYTHON.replace('%PORT%', '8081'))}"
    with open(systemd.config, "a", encoding="ascii") as file:
        file.write(f"[service other]\ncommand = {command}\nworkers = 1\n")
    systemd.systemctl("reload")
    new = [line for line in systemd.log().splitlines() if "'other'" in line]
    check(len(new) == 1 and "SIGUSR2" in new[0], f"what to do is not said once: {new}")
    workers = systemd.pids()
    systemd.kill_supervisor("SIGUSR2")
    wait_until(lambda: "other: started: 1 worker" in systemd.log(), "the new service is started")
    with bed.hold(1, port=8081)[0] as client:
        client.ask()
    equal(systemd.pids(), workers, "workers of the other service")
    systemd.stop()


@cases("SIGKILL", "SIGUSR2")
def test_supervisor_is_replaced(bed, number):
    """It is killed: systemd starts it again, and it takes over. Or it executes itself anew, as for
    an upgrade. No worker is restarted, no connection is lost, and it can reload again."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    load = bed.start_load(*LOAD)
    workers, supervisor = systemd.pids(), systemd.supervisor()
    systemd.kill_supervisor(number)
    wait_until(lambda: systemd.log().count("web: started: 4 workers") == 2, "it is there again")
    wait_until(lambda: systemd.property("ActiveState") == "active", "systemd knows")
    equal(systemd.supervisor() == supervisor, number == "SIGUSR2", "whether it is the same process")
    equal(systemd.property("NRestarts"), "1" if number == "SIGKILL" else "0", "restarts")
    equal(systemd.pids(), workers, "workers")
    systemd.systemctl("reload")
    check(not set(systemd.pids()) & set(workers), "all are replaced")
    load.stop_unfailed()
    systemd.stop()


def test_bad_configuration(bed):
    """Of which it can't be started: that fails at once, with the line, and is not tried again."""
    systemd = Systemd(bed, config(bed, workres=3))
    systemd.systemctl("start", status=1)
    equal(systemd.property("ActiveState"), "failed", "state of the unit")
    equal(systemd.property("ExecMainStatus"), "2", "exit status")
    equal(systemd.property("NRestarts"), "0", "restarts")
    check("web.conf:5" in systemd.log(), f"the line is not named:\n{systemd.log()}")
    systemd.stop()
