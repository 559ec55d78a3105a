# SPDX-License-Identifier: BSD-2-Clause
"""A container, made of namespaces as a container engine makes it: `reuseportd run` is process 1; the
root is read-only; cgroup2 is writable, but only the container's part of it is seen; a folder of the
bpffs is mounted; no new privileges, and no capability but those that the recipes name."""
import os
import pathlib
import signal

from harness.bed import BPFFS, cgroup2
from harness.checks import check, equal, wait_until
from harness.network import PORT, Client

CAPABILITIES = ("BPF", "PERFMON", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "SETUID", "SETGID",
                "KILL", "CHOWN")
NETNS = "pod"

# Runs as process 1: $1 is the root, $2 the folder of the bpffs, $3 and $4 are folders to be seen.
ENTER = """
root=$1 bpf=$2
mount --make-rprivate /
mount --bind / "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -o remount,bind,ro "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$bpf" "$root/mnt"
for seen in "$3" "$4"; do
    mkdir -p "$root$seen"
    mount --bind "$seen" "$root$seen"
    mount -o remount,bind,ro "$root$seen"
done
shift 4
cd "$root"
pivot_root . .
umount -l .
cd /
exec "$@"
"""

# Answers with its slot and pid; a request for /slow is noted in /tmp/slow, and answered when there is
# a file /run/go. On SIGTERM it answers what is open, and ends. It leaves an orphan behind, which ends
# at once.
NODE = """
const fs = require('fs'), http = require('http');
const id = process.env.REUSEPORTD_SLOT + '.' + process.pid;
let closing = false;
require('child_process').spawn('sh', ['-c', 'true &'], {stdio: 'ignore'});
const server = http.createServer((request, response) => {
    const answer = () => {
        response.setHeader('X-Worker', id);
        if (closing)
            response.setHeader('Connection', 'close');
        response.end(id + '\\n');
    };
    const when = () => fs.existsSync('/run/go') ? answer() : setTimeout(when, 20);
    if (request.url != '/slow')
        return answer();
    fs.appendFileSync('/tmp/slow', '.');
    when();
}).listen(%PORT%, () => {
    console.log('to stdout: uid ' + process.getuid());
    console.error('to stderr: uid ' + process.getuid());
});
process.on('SIGTERM', () => {
    closing = true;
    server.close(() => process.exit(0));
    server.closeIdleConnections();
});
"""


def drop(capabilities=CAPABILITIES):
    kept = ",".join(["-all"] + [f"+{name.lower()}" for name in capabilities])
    return ["setpriv", "--bounding-set", kept, "--inh-caps=-all", "--no-new-privs"]


class Container:
    """`reuseportd run` with these arguments as process 1. @first: a command of the shell that runs
    before it, with all rights."""

    def __init__(self, bed, *args, capabilities=CAPABILITIES, first=":", wait="started:"):
        self.bed, self.capabilities = bed, capabilities
        bed.netns(NETNS)
        self.cgroup = cgroup2() / "container"
        self.bpf = BPFFS / "container"
        root = bed.dir / "root"
        for folder in (self.cgroup, self.bpf, root):
            folder.mkdir()
        self.process = bed.start(
            "sh", "-euc", 'echo 0 >"$0/cgroup.procs"; exec "$@"', self.cgroup,
            "unshare", "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--fork", "--kill-child",
            "sh", "-euc", ENTER, "sh", root, self.bpf, bed.build, bed.dir,
            "sh", "-euc", first + '; exec "$@"', "sh", *drop(capabilities),
            bed.binary("reuseportd"), "run", *args, name="run", netns=NETNS)
        self.process.wait_output(wait)

    def init(self):
        """The pid of process 1, as seen from outside."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                  encoding="ascii") as children:
            return int(children.read())

    def run(self, *argv, **options):
        """Runs a command in the container, as `podman exec` does."""
        return self.bed.run("nsenter", f"--target={self.init()}", "--mount", "--pid", "--cgroup",
                            "--ipc", "--uts", "--net", *drop(self.capabilities), *argv, **options)

    def command(self, *args):
        result = self.run(self.bed.binary("reuseportd"), *args)
        equal(result.code, 0, f"exit status of {result}")
        return result

    def path(self, path):
        """A file of the container, as seen from outside."""
        return pathlib.Path(f"/proc/{self.init()}/root{path}")

    def zombies(self):
        """The zombies of the container; the shell of ps(1) is of no interest."""
        listed = self.run("ps", "-eo", "stat=,ppid=,comm=")
        return [line for line in listed.out.splitlines() if line.startswith("Z")]

    def hold_slow(self, n):
        """@n connections whose workers have a request that is answered when there is /run/go."""
        clients = [Client(netns=NETNS, port=PORT, seconds=60) for _ in range(n)]
        for client in clients:
            client.send("/slow")
        noted = self.path("/tmp/slow")
        wait_until(lambda: noted.exists() and noted.stat().st_size == n, "the requests have come", 60)
        return clients

    def wait(self):
        """Waits for the end of process 1, and returns its exit status. Nothing of it is left."""
        status = self.process.wait(60)
        wait_until(lambda: not (self.cgroup / "cgroup.procs").read_text(), "the container is empty")
        for folder in (self.bpf, self.cgroup):
            left = [path.name for path in folder.iterdir() if path.is_dir()]
            check(not left, f"left in {folder}: {left}")
            folder.rmdir()
        return status

    def end(self, number=signal.SIGTERM):
        """Sends a signal to process 1, and waits for its end."""
        os.kill(self.init(), number)
        return self.wait()
