# SPDX-License-Identifier: BSD-2-Clause
"""reuseportd@.service under a real systemd."""
import os
import re
import signal

from harness.bed import cgroup2
from harness.checks import cases, check, equal, note, wait_until
from runs import NODE_GRACEFUL, PYTHON, by_slot, script
from harness.servers import children

SYSTEMD = "/lib/systemd/systemd"
# The highest exposure that `systemd-analyze security` may compute for a unit, from 0 to 10. The workers
# run within reuseportd@.service, and would miss what more restrictions take away.
EXPOSURE = {"reuseportd@": 7.0, "reuseportd-attach@": 3.9}
UNITS = tuple(EXPOSURE)
SERVICE = "reuseportd@web.service"
# Units that reuseportd@.service is ordered after or wants. Debian's own would set up the whole
# machine.
EMPTY = ("basic.target", "multi-user.target", "network-online.target", "shutdown.target",
         "sysinit.target")

# systemd sees only the cgroups of the test, and none of version 1.
BOOT = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$@"
"""


def installed_unit(bed, name):
    """The text of a unit, with this build's program, which may be below /tmp (PrivateTmp)."""
    program = bed.binary("reuseportd")
    text = re.sub("=/.*/reuseportd ", f"={program} ", (bed.build / f"{name}.service").read_text())
    return text.replace("[Service]\n", f"[Service]\nBindReadOnlyPaths={program}\n")


class Systemd:
    """systemd as process 1 of namespaces within those of the test, with the network, bpffs and /run
    of the test. Its cgroup is the root of the cgroups that it sees. It has reuseportd@.service and
    empty units."""

    def __init__(self, bed, config):
        bed.program(SYSTEMD)
        self.bed, self.config, self.unit = bed, bed.dir / "web.conf", SERVICE
        self.config.write_text(config)
        units = bed.dir / "units"
        units.mkdir()
        for name in EMPTY:
            (units / name).write_text("[Unit]\nDefaultDependencies=no\n")
        self.output = bed.dir / "unit.err"  # there is no journal
        for name in UNITS:
            unit = installed_unit(bed, name).replace("/etc/reuseportd", str(bed.dir))
            (units / f"{name}.service").write_text(unit.replace(
                "[Service]", f"[Service]\nStandardOutput=append:{self.output}\n"
                f"StandardError=append:{self.output}"))
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
        done = self.inside("systemctl", verb, *args, self.unit)
        check(done.code == status, f"{done}(the expected exit status is {status})\n{self.log()}")
        self.bed.remember_pinned()
        return done.out

    def log(self):
        return self.output.read_text() if self.output.exists() else ""

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
        """Stops the unit, and checks that no cgroup and no process is left."""
        self.systemctl("stop")
        left = list(self.group.glob("**/*reuseportd@*/"))
        check(not left, f"cgroups are left: {left}")
        left = self.inside("ps", "-e", "-o", "args=").out
        check("reuseportd" not in left and "server" not in left, f"processes are left:\n{left}")
        os.kill(self.pid, signal.SIGKILL)  # as process 1 it doesn't end on SIGTERM
        self.process.wait()
        for path in sorted(self.group.glob("**/"), reverse=True):  # its slices
            path.rmdir()


def config(bed, **options):
    command = f"node {script(bed, 'server.js', NODE_GRACEFUL)}"
    options = {"command": command, "workers": 4, "settle": "50ms", **options}
    return "[service web]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())


LOAD = ("-c", 8, "--rate", 500)


@cases(*EXPOSURE)
def test_exposure(bed, name):
    unit = bed.dir / f"{name}.service"
    unit.write_text(installed_unit(bed, name))
    shown = bed.must(bed.program("systemd-analyze"), "security", "--offline=true", "--no-pager", unit)
    exposure = float(re.search(r"Overall exposure level for .*: ([\d.]+)", shown)[1])
    check(exposure <= EXPOSURE[name], f"{exposure} exceeds {EXPOSURE[name]}:\n{shown}")
    note(f"exposure {exposure}")


def test_started_and_stopped(bed):
    """`start` returns when all workers get connections, evenly; `stop` when nothing is left."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    equal(by_slot(bed.load("-n", 400)), dict.fromkeys(range(4), 100),
          "connections by slot")
    equal(systemd.property("ActiveState"), "active", "state of the unit")
    groups = sorted(path.name for path in systemd.group.glob("**/*reuseportd@web*/*/"))
    equal(groups, ["reuseportd", "supervisor"], "cgroups right below the unit's")
    systemd.stop()


def test_reload(bed):
    """`reload` returns when all workers are replaced, without a lost connection. It fails if they
    can't be replaced; then the old workers continue to serve."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    load = bed.start_load(*LOAD)
    first, supervisor = systemd.pids(), systemd.supervisor()
    systemd.systemctl("reload")
    second = systemd.pids()
    check(not set(first) & set(second), f"{first} were replaced by {second}")
    systemd.config.write_text(config(bed, command="node /nothing/here.js"))
    output = systemd.systemctl("reload", status=1)
    equal(systemd.pids(), second, "workers after a failed reload")
    wait_until(lambda: "Cannot find module" in systemd.log(), f"the reason is missing:\n{output}{systemd.log()}")
    equal(systemd.property("ActiveState"), "active", "state of the unit")
    equal(systemd.supervisor(), supervisor, "the supervisor")
    load.stop_unfailed()
    systemd.stop()


def test_added_service(bed):
    """For a new service in the file, a reload logs how to start it; starting it doesn't affect the
    workers of the other services."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    command = f"python3 {script(bed, 'other-server.py', PYTHON.replace('%PORT%', '8081'))}"
    with open(systemd.config, "a", encoding="ascii") as file:
        file.write(f"[service other]\ncommand = {command}\nworkers = 1\n")
    systemd.systemctl("reload")
    new = [line for line in systemd.log().splitlines() if "'other'" in line]
    check(len(new) == 1 and "SIGUSR2" in new[0], f"the advice is not logged once: {new}")
    workers = systemd.pids()
    systemd.kill_supervisor("SIGUSR2")
    wait_until(lambda: "other: started: 1 worker" in systemd.log(), "the new service is started")
    with bed.hold(1, port=8081)[0] as client:
        client.ask()
    equal(systemd.pids(), workers, "workers of the other service")
    systemd.stop()


@cases("SIGKILL", "SIGUSR2")
def test_supervisor_is_replaced(bed, number):
    """The supervisor is killed, started again by systemd, and takes over; or it re-executes itself,
    as for an upgrade. No worker is restarted, no connection is lost, and a reload succeeds."""
    systemd = Systemd(bed, config(bed))
    systemd.systemctl("start")
    load = bed.start_load(*LOAD)
    workers, supervisor = systemd.pids(), systemd.supervisor()
    systemd.kill_supervisor(number)
    wait_until(lambda: systemd.log().count("web: started: 4 workers") == 2,
               "the supervisor runs again")
    wait_until(lambda: systemd.property("ActiveState") == "active", "the unit is active")
    equal(systemd.supervisor() == supervisor, number == "SIGUSR2", "whether it is the same process")
    equal(systemd.property("NRestarts"), "1" if number == "SIGKILL" else "0", "restarts")
    equal(systemd.pids(), workers, "workers")
    systemd.systemctl("reload")
    check(not set(systemd.pids()) & set(workers), "all are replaced")
    load.stop_unfailed()
    systemd.stop()


def test_bad_configuration(bed):
    """With a wrong configuration the start fails at once, names the line, and is not tried
    again."""
    systemd = Systemd(bed, config(bed, workres=3))
    systemd.systemctl("start", status=1)
    equal(systemd.property("ActiveState"), "failed", "state of the unit")
    equal(systemd.property("ExecMainStatus"), "2", "exit status")
    equal(systemd.property("NRestarts"), "0", "restarts")
    check("web.conf:5" in systemd.log(), f"the line is not named:\n{systemd.log()}")
    systemd.stop()


def test_attach(bed):
    """reuseportd-attach@pair, within its sandbox: attaches the workers of other units, is executed again, killed
    and started again, admits a new worker, and is stopped; steering goes on."""
    systemd = Systemd(bed, "")
    for name in ("one", "two"):
        (bed.dir / "units" / f"{name}.service").write_text(
            f"[Service]\nExecStart={bed.binary('worker')} --port 8080 --id {name}\nRestart=always\n")
    systemd.inside("systemctl", "start", "one", "two")
    systemd.unit = "reuseportd-attach@pair.service"
    (bed.dir / "pair.attach").write_text(
        "OPTIONS=--workers 2 --port 8080 --wait 1m --http --metrics 127.0.0.1:9464\n")
    systemd.systemctl("start")
    equal(systemd.property("ActiveState"), "active", "state of the unit")
    load = bed.start_load(*LOAD)
    watcher = systemd.supervisor()
    systemd.kill_supervisor("SIGUSR2")
    wait_until(lambda: systemd.log().count("pair: watching") == 2, "it was executed again")
    equal(systemd.supervisor(), watcher, "pid of the watcher")
    systemd.kill_supervisor("SIGKILL")
    wait_until(lambda: systemd.log().count("pair: watching") == 3, "it was started again")
    check(systemd.supervisor() != watcher, "pid of the next watcher")
    load.stop_unfailed()
    systemd.inside("systemctl", "restart", "one")
    wait_until(lambda: ": admitted pid " in systemd.log(), "the new worker has a slot")
    systemd.systemctl("stop")
    equal(bed.load("-n", 100)["workers"], {"one": 50, "two": 50}, "connections after the stop")
    systemd.inside(bed.binary("reuseportd"), "detach", "pair")
    systemd.inside("systemctl", "stop", "one", "two")
    systemd.unit = SERVICE
    systemd.stop()
