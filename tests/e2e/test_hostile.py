# SPDX-License-Identifier: BSD-2-Clause
"""Hosts on which reuseportd can't work, and pins that are not, or no longer, a service. Commands
refuse them, say what to do, and change nothing (refusals.py)."""
import collections
import ctypes
import errno
import json
import os
import pathlib
import sys

from harness import bpf
from harness.bed import BPFFS, PINS
from harness.checks import cases, check, equal, wait_until
from harness.network import PORT, Client
from refusals import ATTACH, SERVICE, WORKERS, Refusals
from harness.servers import Worker, Workers

# Privileges


ALL = (ATTACH, ("status",), ("list",), ("drain", "1"), ("resume", "1"), ("weight", "1", "2"),
       ("canary", "1", "--share", "5"), ("canary", "--off"), ("label", "1", "v2"),
       ("switch", "v1"), ("swap", "1", "--pid", "1"), ("detach",))


def without(*names):
    """A command that runs another one as root without these capabilities."""
    return ("setpriv", "--bounding-set=" + ",".join(f"-{name}" for name in names))


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def test_not_root(bed):
    refusals = Refusals(bed)
    for command in ALL:
        refusals.refused(*command, under=NOBODY,
                         message=(f"`{command[0]}` needs root, or the capabilities CAP_BPF,",
                                  "missing: CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ"))
    refusals.expect_exact()


def test_without_capability(bed):
    """Each needed capability is missing once. CAP_SYS_ADMIN implies some of them, and is not
    needed."""
    refusals = Refusals(bed)
    for name in ("bpf", "perfmon", "sys_ptrace", "dac_read_search"):
        for command in ALL:
            refusals.refused(*command, under=without("sys_admin", "dac_override", name),
                             message=f"missing: CAP_{name.upper()}\n")
    refusals.expect_exact()
    bed.reuseportd("detach")
    # Refused at the start, before the attach.
    refusals.refused(*ATTACH, "--watch", under=without("sys_admin", "net_admin"),
                     message="CAP_NET_ADMIN")
    result = bed.run(*without("sys_admin", "net_admin", "dac_override"), refusals.tool, *ATTACH)
    equal(result.code, 0, f"exit status with all that is needed: {result}")
    bed.remember_pinned()


# Kernels and mounts

SO_NETNS_COOKIE = 71

# Runs a command, and makes a system call fail (if this argument has this value; -1: any call).
DENY = """
import ctypes, os, struct, sys
number, argument, value, error = map(int, sys.argv[1:5])
def load(offset): return struct.pack("=HBBI", 0x20, 0, 0, offset)
def unless(value, skip): return struct.pack("=HBBI", 0x15, 0, skip, value)
def answer(value): return struct.pack("=HBBI", 0x06, 0, 0, value)
code = [load(0), unless(number, 3 if argument >= 0 else 1), answer(0x50000 | error)]
if argument >= 0:
    code[2:2] = [load(16 + 8 * argument), unless(value, 1)]
code = b"".join(code) + answer(0x7fff0000)
buffer = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(program)) == 0
os.execv(sys.argv[5], sys.argv[5:])
"""


def deny(number, error, argument=-1, value=0):
    return (sys.executable, "-c", DENY, number, argument, value, error)


def test_kernel_below_the_floor(bed):
    """Features that an old kernel lacks, simulated by a seccomp filter. Real old kernels run in
    vmtest/."""
    refusals = Refusals(bed, attach=False)
    Workers(bed, WORKERS)
    for under, message in (
            (deny(bpf.BPF, errno.ENOSYS), "bpf() system call"),
            (deny(bpf.BPF, errno.EINVAL, 0, bpf.PROG_LOAD), "connection migration (Linux 5.14), for keeping"),
            (deny(bpf.PIDFD_GETFD, errno.ENOSYS), "pidfd_getfd() (Linux 5.6), for attaching to running workers"),
            (deny(bpf.GETSOCKOPT, errno.ENOPROTOOPT, 2, SO_NETNS_COOKIE),
             "SO_NETNS_COOKIE (Linux 5.14), for identifying network namespaces")):
        refusals.refused(*ATTACH, under=under, message=(message, "reuseportd needs Linux 5.14 or later"))
    refusals.refused(*ATTACH, under=deny(bpf.BPF, errno.EPERM),
                     message="seccomp filter or a security")
    bed.reuseportd(*ATTACH)


def unmount_bpffs(bed):
    while " bpf " in pathlib.Path("/proc/mounts").read_text():
        bed.must("umount", "--lazy", "--types", "bpf", "--all")


def test_bpffs_is_not_mounted(bed):
    """`attach` mounts bpffs, or says how to; other commands don't need it."""
    refusals = Refusals(bed, attach=False)
    Workers(bed, WORKERS)
    unmount_bpffs(bed)
    refusals.refused("status", message="there is no service")
    refusals.refused("detach", "s", message="there is no service 's'")
    refusals.refused(*ATTACH, under=without("sys_admin"),
                     message="missing: CAP_SYS_ADMIN (to mount bpffs)")
    refusals.refused(*ATTACH, under=deny(bpf.MOUNT, errno.EPERM),
                     message=("bpffs is not mounted, and mounting it failed: Operation not permitted",
                              f"mount it by hand: mount -t bpf bpf {BPFFS}"))
    check(" bpf " not in pathlib.Path("/proc/mounts").read_text(),
          "bpffs was mounted although the mount failed")
    bed.reuseportd(*ATTACH, "--service", SERVICE)
    check(os.path.ismount(BPFFS), "bpffs is mounted")
    equal(BPFFS.stat().st_mode & 0o777, 0o700, "mode of bpffs")
    refusals.expect_exact()


# Pins


def test_mounts_of_netns_exec(bed):
    """`ip netns exec` has its own mounts, without a bpffs. Pins in it would be lost at its end, so
    attach is refused there; with --pid it works."""
    bed.netns("there")
    workers = Workers(bed, 2, netns="there")
    refused = bed.run("ip", "netns", "exec", "there", bed.binary("reuseportd"), "attach",
                      "--workers", 2)
    check(refused.code == 1 and "--pid PID" in refused.err, f"{refused}")
    equal(bed.load("-n", 20, netns="there")["failed"], 0, "failed connections")
    attach = ("attach", "--workers", 2, "--pid", workers.pid)
    bed.reuseportd(*attach)
    # A watcher that is started again works as well.
    watch = bed.start_watch(*attach[1:])
    watch.stop()
    equal({row["state"] for row in bed.status()["workers"]}, {"active"}, "states")


def test_attach_after_damage(bed):
    """The listeners of a damaged service can be attached as soon as it is removed."""
    Workers(bed, 2)
    for name in ("workers", "schedules", "counters", "control", "members", "socks0", "steer0"):
        bed.reuseportd("attach", "--workers", 2, "--service", "s")
        (PINS / "s" / name).unlink()
        bed.reuseportd("detach", "s", "--force")
    bed.reuseportd("attach", "--workers", 2)


def test_listener_in_foreign_map(bed):
    """A socket can be in only one socket array: attach fails half-way, and undoes everything."""
    refusals = Refusals(bed, attach=False)
    fleet = Workers(bed, WORKERS)
    process = os.pidfd_open(fleet[2].pid)
    sock = next(fd for fd in map(int, os.listdir(f"/proc/{fleet[2].pid}/fd"))
                if os.readlink(f"/proc/{fleet[2].pid}/fd/{fd}").startswith("socket:"))
    copy = bpf.system_call(bpf.PIDFD_GETFD, process, sock, 0)
    others = bpf.bpf(bpf.MAP_CREATE, bpf.MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, 1)
    key, value = ctypes.c_uint32(0), ctypes.c_uint64(copy)
    bpf.bpf(bpf.MAP_UPDATE_ELEM, others, 0, *bpf.pointer(key), *bpf.pointer(value))
    os.close(copy)
    os.close(process)
    refusals.refused(*ATTACH, message=(f"the listener of pid {fleet[2].pid} (worker)",
                                       "in use already", "another BPF program's map"))
    check(not PINS.exists(), "a failed attach has left pins")
    os.close(others)
    wait_until(lambda: bed.reuseportd(*ATTACH, "--service", SERVICE, status=None).code == 0,
               "attach works once the foreign map is gone")
    refusals.expect_exact()


def make_foreign(bed, path):
    bed.must("bpftool", "map", "create", path, "type", "array", "key", 4, "value", 8, "entries", 1,
             "name", "foreign")


def set_service(bed, change):
    """Changes the pinned struct rpd_service."""
    pin = PINS / SERVICE / "service"
    key = ("key", 0, 0, 0, 0)
    value = json.loads(bed.must("bpftool", "--json", "map", "lookup", "pinned", pin, *key))["value"]
    bed.must("bpftool", "map", "update", "pinned", pin, *key, "value", *change(value))


def swap_pin(name):
    def damage(bed):
        (PINS / SERVICE / name).unlink()
        make_foreign(bed, PINS / SERVICE / name)
    return damage


DAMAGES = {
    "a map is missing": (lambda bed: (PINS / SERVICE / "control").unlink(),
                         ("control is missing", "detach s --force")),
    "the first map is missing": (lambda bed: (PINS / SERVICE / "service").unlink(),
                                 ("service is missing", "detach s --force")),
    "a socket array is missing": (lambda bed: (PINS / SERVICE / "socks0").unlink(),
                                  ("socks0 is missing", "detach s --force")),
    "a program is missing": (lambda bed: (PINS / SERVICE / "steer0").unlink(),
                             ("steer0 is missing", "detach s --force")),
    "a foreign map": (swap_pin("counters"), ("not a map of reuseportd", "detach s --force")),
    "a foreign map of that size": (swap_pin("socks0"), ("socks0 is not", "detach s --force")),
    "a foreign map for a program": (swap_pin("steer0"), ("steer0 is not", "detach s --force")),
    "filled with zeros": (lambda bed: set_service(bed, lambda value: ["0"] * len(value)),
                          ("service is not", "detach s --force")),
    "impossible values": (lambda bed: set_service(bed, lambda value: value[:12] + ["255"] * 4
                                                        + value[16:]),
               ("service is not", "detach s --force")),
    "another layout": (lambda bed: set_service(bed, lambda value: value[:4] + ["99"] + value[5:]),
                       ("made by another version of reuseportd", "layout 99")),
}


@cases(*DAMAGES)
def test_damaged_pins(bed, what):
    """No command changes damaged pins, connections continue as before, and `detach --force` removes
    the pins."""
    damage, message = DAMAGES[what]
    refusals = Refusals(bed)
    damage(bed)
    answers = collections.Counter()
    for command in (*ALL[3:], ("status",), (*ATTACH, "--service", SERVICE)):
        refusals.refused(*command, message=message)
        with Client() as client:
            answers[client.ask()] += 1
    check(len(answers) == WORKERS and max(answers.values()) - min(answers.values()) <= 1,
          f"connections of each worker: {answers}")
    refusals.refused(*ATTACH, "--service", "t", message="in use already")
    result = bed.reuseportd("list")
    check(all(words in result.out for words in message), f"{result}")
    bed.reuseportd("detach", SERVICE, "--force")
    wait_until(lambda: not bed.left_bpf(), "nothing of the service is left")
    bed.reuseportd(*ATTACH, "--service", SERVICE)
    refusals.expect_exact()


def test_too_few_descriptors(bed):
    """A command with too few descriptors doesn't call the service damaged."""
    Workers(bed, workers=2)
    bed.reuseportd("attach", "--workers", 2)
    refused = bed.run("prlimit", "--nofile=16", bed.binary("reuseportd"), "status")
    equal(refused.code, 1, f"{refused}")
    check("Too many open files" in refused.err and "damaged" not in refused.err, f"{refused}")


def test_pins_removed_by_hand(bed):
    """Without its pins the steering program can't be reached until the listeners are closed:
    commands report this and say what to do."""
    fleet = Workers(bed, WORKERS)
    bed.reuseportd(*ATTACH, "--service", SERVICE)
    bed.must("find", PINS / SERVICE, "-type", "f", "-delete")
    result = bed.reuseportd("status", status=1)
    check(f"service '{SERVICE}' has no pins any more" in result.err and
          "the pins were removed by hand; attach again" in result.err, f"{result}")
    result = bed.reuseportd(*ATTACH, status=1)
    check("in use already" in result.err and "restart the workers (their listeners), then attach"
          in result.err, f"{result}")
    for one in fleet.all:
        one.stop()
    Workers(bed, WORKERS)
    bed.reuseportd(*ATTACH)


def test_foreign_pins(bed):
    """Foreign pins beside those of a service don't disturb, and are only removed with --force."""
    refusals = Refusals(bed)
    make_foreign(bed, PINS / "stray")
    make_foreign(bed, PINS / SERVICE / "alien")
    equal([row["service"] for row in bed.reuseportd("list", "--json").json()], [SERVICE],
          "services")
    refusals.refused("detach", message=("alien is not a pin of reuseportd", "--force removes it"))
    refusals.expect_exact()
    (PINS / SERVICE / "folder").mkdir()
    for force in ((), ("--force",)):
        refusals.refused("detach", *force, message=("folder is a folder", "remove it"))
    refusals.expect_exact()
    (PINS / SERVICE / "folder").rmdir()
    bed.reuseportd("detach", "--force")
    equal([path.name for path in PINS.iterdir()], ["stray"], "remaining pins")
    (PINS / "stray").unlink()
    PINS.rmdir()


@cases("of the service", "of all services")
def test_folder_of_another_user(bed, which):
    refusals = Refusals(bed)
    folder = PINS / SERVICE if which == "of the service" else PINS
    os.chown(folder, 1000, 1000)
    for command in (*ALL[3:], ("status",), ("detach", "--force"), (*ATTACH, "--service", SERVICE)):
        refusals.refused(*command, message=("was made by another user", "remove it"))
    os.chown(folder, 0, 0)
    refusals.expect_exact()


def test_name_of_dead_service_in_other_netns(bed):
    """A service whose workers are all dead is replaced by another one of the same name, also across
    network namespaces."""
    elsewhere = bed.netns("elsewhere")
    fleet = Workers(bed, WORKERS, netns=elsewhere)
    refusals = Refusals(bed, attach=False)
    bed.reuseportd(*ATTACH, "--service", SERVICE, "--pid", fleet.pid)
    Workers(bed, WORKERS, first=10)
    refusals.refused(*ATTACH, "--service", SERVICE, message="service 's' is attached already")
    for worker in fleet.all[1:]:
        worker.stop()
    refusals.refused(*ATTACH, "--service", SERVICE, message="service 's' is attached already")
    keeper = Worker(bed, "keeper", port=PORT + 1, netns=elsewhere)  # keeps the namespace
    fleet[0].stop()
    bed.reuseportd(*ATTACH, "--service", SERVICE)
    refusals.expect_exact()
    keeper.stop()
