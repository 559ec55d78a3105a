# SPDX-License-Identifier: BSD-2-Clause
"""Hosts for the recipes, on one kernel: each has its own network, processes, cgroups, bpffs and
/run, so that no command on a host sees the others. The bed itself is the host of the load balancer.
Each host is reached from there across a link with a round trip of 10 ms."""
import pathlib
import signal

from harness.bed import BPFFS, cgroup2
from harness.checks import check

HERE = pathlib.Path(__file__).resolve().parent
DELAY_US = 5000  # one way

# Process 1 of a host. A shell reaps all orphans.
INIT = """
mount --bind "$1/$2" "$1" && mount -t bpf -o mode=0700 bpf "$3" && mount -t tmpfs tmpfs /run &&
    ip link set lo up && echo ready && sleep infinity & wait
"""


class Host:
    def __init__(self, bed, number):
        self.bed, self.name, self.address = bed, f"h{number}", f"10.16.{number}.2"
        group = cgroup2() / self.name
        group.mkdir()
        self.process = bed.start(
            "sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', group,
            "unshare", "--net", "--mount", "--cgroup", "--pid", "--fork", "--kill-child",
            "--mount-proc", "bash", "-c", INIT, "init", cgroup2(), self.name, BPFFS, name=self.name)
        self.process.wait_output("ready")
        pid = self.process.pid
        self.pid = int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text())
        bed.servers.append(self)
        bed.start(bed.binary("delaylink"), "--a", "self", "--b", f"/proc/{self.pid}/ns/net",
                  "--name-a", self.name, "--addr-a", f"10.16.{number}.1/24", "--addr-b",
                  f"{self.address}/24", "--delay-us", DELAY_US,
                  name=f"link-{self.name}").wait_output("ready")

    def on(self, *argv):
        """The command, to be run on the host."""
        return [HERE / "enter-host", self.pid, *argv]

    def run(self, *argv, status=0):
        """Runs a command on the host, to its end."""
        result = self.bed.run(*self.on(*argv))
        check(status in (None, result.code),
              f"{self.name}: {result}(the expected exit status is {status})")
        return result

    def start(self, *argv, name):
        return self.bed.start(*self.on(*argv), name=f"{name}-{self.name}")

    def stop(self):
        """Ends its services, which removes their cgroups, then the host with all its processes."""
        services = self.run(self.bed.binary("reuseportd"), "list", "--json", status=None)
        for row in services.json() if services.code == 0 else ():
            self.run(self.bed.binary("reuseportd"), "stop", row["service"], status=None)
        self.process.stop(signal.SIGKILL)
