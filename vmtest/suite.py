# SPDX-License-Identifier: BSD-2-Clause
"""What a guest is to run, and what it needs for that."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import image

TOP = pathlib.Path(__file__).resolve().parent.parent
GUEST = "/reuseportd"  # where the guest has the tree
FLOOR = (5, 14)  # the oldest kernel that reuseportd works on; older ones are to be refused
BINARIES = ("user/reuseportd", "tools/loadgen", "tests/harness/worker", "tests/harness/delaylink",
            "tests/harness/killat")
TOOLS = ("bpftool", "ip", "mount", "nsenter", "setpriv", "ss", "umount", "unshare")
SHELL_TOOLS = ("bash", "cat", "dmesg", "grep", "head", "less", "ls", "nstat", "ps", "rm", "sleep",
               "strace", "sysctl", "tail", "tc", "uname")
SHELL = "bash"
# Programs that end-to-end tests run beyond our own; a test that has its name is left out.
FOREIGN = ("nginx", "haproxy", "gunicorn", "strace", "promtool")
# What an emulated processor is too slow for; run there only when asked for by name.
LENGTHY = {
    "e2e/sigkill.": "kills commands at each of their system calls",
    "e2e/monkey.": "goes on until it has done enough",
    "e2e/drain.hundred_cycles": "100,000 connections",
    "e2e/even.many_short": "24,000 connections, and none may be late",
    "e2e/even.many_clients_at_once": "no SYN may be sent again: it would take a turn",
    "e2e/watch.crash_loop": "what a worker is at when it is killed may be little only",
    "e2e/even.syncookies": "no ACK may be late: it would take a turn",
    "e2e/commands.help": "is the same on every kernel",
    "e2e/refusals.bad_input": "is the same on every kernel",
    "e2e/hostile.damaged_pins": "is the same on every kernel",
    "e2e/together.": "is the same on every kernel",
    "e2e/drain.under_load": "thousands of connections; steer_drain and attach_and_detach stay",
    "e2e/drain.replace_all": "thousands of connections; watch.rolling_restart stays",
    "e2e/even.many_slots/1024": "a thousand listeners",
    "e2e/hostile.without_capability": "dozens of commands; probe/without_... stay",
    "e2e/kill.killed_under_load/loopback": "on a link it is harder",
    "e2e/shares.canary_beside_seven": "thousands of connections; shares.canary stays",
    "e2e/shares.canary_is_never_far": "thousands of connections; shares.canary stays",
    "e2e/shares.switch_under_load/c-loopback": "on a link it is harder",
    "e2e/watch.rolling_restart/c-loopback": "on a link it is harder",
    "e2e/metrics.bad_address": "is the same on every kernel",
}
# Run with the BPF programs of other compilers: each of the programs is loaded, and steers.
CLANG_TESTS = ("even.eight_held/c", "watch.replaced_worker")
SLOW = 10  # how much longer things take on an emulated processor
SECONDS = 60  # for a test program on a fast machine


class Unusable(Exception):
    """What is asked for can't be run."""


def program(name):
    """Of the host; as in the guest, with the folders that root has in its path."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        raise Unusable(f"{name} is not installed; tools/setup installs what is needed")
    return path


def e2e_names():
    """The end-to-end tests whose only server is the project's own."""
    done = subprocess.run([sys.executable, TOP / "tests/e2e/run", "--list"],
                          capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines()
            if not any(word in name for word in FOREIGN)]


def installed_clangs():
    """The oldest and the newest that are installed by a name with a version."""
    found = {path.name for folder in os.get_exec_path() for path in
             pathlib.Path(folder).glob("clang-*") if re.fullmatch(r"clang-\d+", path.name)}
    found = sorted(found, key=lambda name: int(name.removeprefix("clang-")))
    return dict.fromkeys([*found[:1], *found[-1:]])


class Suite:
    """The tests that were asked for: those with one of the words in their name, or all."""

    def __init__(self, build, words, slow, cpus):
        self.build, self.slow, self.cpus = pathlib.Path(build).resolve(), slow, cpus
        self.words = [word.removeprefix("kernel_check_") for word in words]
        for binary in BINARIES:
            if not (self.build / binary).exists():
                raise Unusable(f"{self.build} has no {binary}: build it first (cmake --build)")
        self.checks = {path.name.removeprefix("kernel_check_"): path for path in
                       sorted((self.build / "tests/kernel").glob("kernel_check_*"))
                       if not path.suffix}
        self.e2e = [name for name in e2e_names() if self.wanted(f"e2e/{name}")]
        self.clangs = {}  # reuseportd by the clang of its BPF programs

    def wanted(self, name):
        if self.words:
            return any(word in name for word in self.words)
        return self.slow == 1 or not any(name.startswith(start) for start in LENGTHY)

    def wanted_with_clang(self):
        return any(self.wanted(f"clang/{name}") for name in CLANG_TESTS)

    def build_with(self, clangs):
        """Builds reuseportd with the BPF programs of other compilers."""
        for clang in clangs:
            folder = self.build / "vmtest" / pathlib.Path(clang).name
            for argv in (["cmake", "-S", TOP, "-B", folder, "-DREUSEPORTD_TESTS=OFF",
                          f"-DREUSEPORTD_BPF_CLANG={clang}"],
                         ["cmake", "--build", folder, "--target", "reuseportd", "-j",
                          str(os.cpu_count())]):
                done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, check=False)
                if done.returncode:
                    raise Unusable(f"building with {clang}: {done.stdout[-3000:]}")
            self.clangs[folder.name] = folder / "user/reuseportd"

    def lines(self, kernel):
        """The plan of a kernel, as init.c reads it."""
        seconds = SECONDS * self.slow
        if kernel.version < FLOOR:
            if self.wanted("refusal"):
                yield ("test", "refusal", seconds, sys.executable, f"{GUEST}/vmtest/refusal.py",
                       f"{GUEST}/build/user/reuseportd", f"{GUEST}/build/tests/harness/worker")
            return
        for name, path in self.checks.items():
            test = ("test", name, seconds, f"{GUEST}/build/tests/kernel/{path.name}")
            if self.wanted(name):
                yield test
                continue
            for case in (word.removeprefix(f"{name}/") for word in self.words
                         if word.startswith(f"{name}/")):
                yield from (("env", f"RPD_CASE={case}"), test, ("env", "RPD_CASE"))
        if self.e2e:
            yield self.e2e_line("e2e", seconds * 3, "build", self.e2e)
        for clang in self.clangs:
            yield self.e2e_line(clang, seconds, clang, CLANG_TESTS)

    def e2e_line(self, name, seconds, build, tests):
        return ("test", name, seconds, sys.executable, f"{GUEST}/tests/e2e/run",
                "--allow-missing", "--retry", "--jobs", self.cpus, "--build", f"{GUEST}/{build}",
                *(word for test in tests for word in ("-k", f"^{re.escape(test)}$")))

    def base(self, init, with_shell):
        """The part of the initramfs that is the same for all kernels."""
        archive = image.skeleton()
        image.add_program(archive, init, "/init")
        for binary in BINARIES:
            image.add_program(archive, self.build / binary, f"{GUEST}/build/{binary}")
        for clang, path in self.clangs.items():
            for binary in BINARIES:
                image.add_program(archive, path if binary == "user/reuseportd" else
                                  self.build / binary, f"{GUEST}/{clang}/{binary}")
        for path in self.checks.values():
            image.add_program(archive, path, f"{GUEST}/build/tests/kernel/{path.name}")
        for tool in TOOLS:
            image.add_program(archive, program(tool))
        for tool in SHELL_TOOLS if with_shell else ():
            if shutil.which(tool):
                image.add_program(archive, program(tool))
        image.add_python(archive, TOP, GUEST, ["tests/e2e/run", "vmtest/refusal.py"],
                         sorted(path.relative_to(TOP) for path in TOP.glob("tests/e2e/*.py")))
        return archive.finish()
