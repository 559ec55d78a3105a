# SPDX-License-Identifier: BSD-2-Clause
"""What a guest is to run, and what it needs for that."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import image
from guest import COUNTED, KVM, TURNS

TOP = pathlib.Path(__file__).resolve().parent.parent
GUEST = "/reuseportd"  # where the guest has the tree
FLOOR = (5, 14)  # the oldest kernel that reuseportd works on; older ones are to be refused
BINARIES = ("user/reuseportd", "tools/loadgen", "tests/harness/worker", "tests/harness/delaylink",
            "tests/harness/killat", "vmtest/vmtest_programs", "vmtest/vmtest_steering")
TOOLS = ("bpftool", "ip", "mount", "nsenter", "rm", "setpriv", "sh", "sleep", "ss", "umount",
         "unshare")
SHELL_TOOLS = ("bash", "cat", "dmesg", "grep", "head", "less", "ls", "nstat", "ps",
               "strace", "sysctl", "tail", "tc", "uname")
SHELL = "bash"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # as in the guest, with the folders that root has
# Programs that tests run beyond our own, by what is in the tests' names.
FOREIGN = {"nginx": "nginx", "haproxy": "haproxy", "gunicorn": "gunicorn", "strace": "strace",
           "promtool": "promtool", "node": "node", "ten_reloads/abrupt": "node"}
SAME = "is the same on every kernel"
# What is left out on an emulated processor, unless it is asked for by name, and why. The longest
# beginning of a test's name counts; None: it is run.
LEFT_OUT = {
    "commands.": SAME,
    "commands.doctor_of_the_host": None,
    "commands.nothing_is_left": None,
    "connections.hundred_thousand": "100,000 connections; connections.all_ways_to_end is run",
    "connections.counting_taken_away/": SAME,
    "connections.counting_taken_away/tags": None,
    "connections.bursts_are_one_event": SAME,
    "connections.drain_wait_in_vain": SAME,
    "connections.drain_wait_is_over": SAME,
    "connections.drain_wait_unknown": SAME,
    "connections.events": SAME,
    "connections.rate": SAME,
    "connections.seen_from_elsewhere": SAME,
    "connections.two_ports": SAME,
    "drain.hundred_cycles": "100,000 connections; drain.attach_and_detach is run",
    "drain.last_one_is_drained": SAME,
    "drain.under_load": "thousands of connections; drain.attach_and_detach is run",
    "drain.replace_all": "thousands of connections; watch.rolling_restart is run",
    "even.every_stretch_is_even": "steer_even is run",
    "even.many_clients_at_once": "goes on for long; steer_even is run",
    "even.many_short": "24,000 connections; even.eight_held and steer_even are run",
    "even.many_slots/1024": "a thousand processes; steer_even/thousand_workers is run",
    "even.many_slots/9": "even.many_slots/100 is run",
    "even.other_netns": SAME,
    "even.two_ports_are_two_services": SAME,
    "hostile.": SAME,
    "hostile.kernel_below_the_floor": None,
    "hostile.listener_in_anothers_map": None,
    "hostile.not_root": None,
    "kill.killed_under_load": "run_reload.killed_worker is run",
    "kill.nobody_left/fall-back": "steer_gone is run",
    "metrics.": SAME,
    "metrics.as_status": None,
    "monkey.": "goes on until it has done enough",
    "refusals.": SAME,
    "refusals.attach_two_users": None,
    "refusals.attach_without_reuseport": None,
    "run_": SAME,
    "run_hostile.stop/children": None,
    "run_programs.": "needs servers that are not in the machine",
    "run_ready.not_before/notify": None,
    "run_reload.killed_worker/link": None,
    "run_reload.ten_reloads/graceful-link": None,
    "run_sigkill.": "kills the supervisor at each of its system calls",
    "shares.canary_beside_seven": "thousands of connections; shares.canary is run",
    "shares.canary_of_two": "steer_even and shares.canary are run",
    "shares.canary_is_never_far": "thousands of connections; shares.canary is run",
    "shares.last_worker": SAME,
    "shares.switch_under_load/c-loopback": "across a link it is harder, and is run",
    "shares.weights": "steer_even and shares.canary are run",
    "sigkill.": "kills commands at each of their system calls",
    "sticky.death_moves_only_its_clients/before": "that of one which dies after is run",
    "sticky.families": "steer_sticky is run",
    "sticky.mapped": "steer_sticky is run",
    "sticky.spread": SAME,
    "together.": SAME,
    "top.": SAME,
    "watch.any_number": SAME,
    "watch.crash_loop": SAME,
    "watch.detach_ends_it": SAME,
    "watch.extra_members": SAME,
    "watch.killed_watcher": SAME,
    "watch.nobody_reads_the_log": SAME,
    "watch.rolling_restart/c-loopback": "across a link it is harder, and is run",
    "watch.wait_for_late_workers": SAME,
}
# Run with the BPF programs of other compilers: each of the programs is loaded, and steers.
CLANG_TESTS = ("even.eight_held/c", "watch.replaced_worker")
# Run also on several processors, where those of the other machine have only one.
PARALLEL = ("steer_even/threads_at_once", "steer_packets/syn_flood",
            "steer_drain/drain_and_resume_under_load")
# How much longer things may take, by kind of machine.
SLOW = {KVM: 1, COUNTED: 5, TURNS: 10}
SECONDS = 60  # for a test program on a fast machine
E2E_SECONDS = 1200  # for all end-to-end tests
PROCESSORS = 2  # of a machine, unless it can have only one


class Unusable(Exception):
    """What is asked for can't be run."""


def program(name):
    """Of the host."""
    path = shutil.which(name, path=PATH)
    if not path:
        raise Unusable(f"{name} is not installed; tools/setup installs what is needed")
    return path


def e2e_names():
    """All end-to-end tests."""
    done = subprocess.run([sys.executable, TOP / "tests/e2e/run", "--list"],
                          capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def installed_clangs():
    """The oldest and the newest that are installed by a name with a version (tools/setup vm)."""
    found = {path.name for folder in os.get_exec_path() for path in
             pathlib.Path(folder).glob("clang-*") if re.fullmatch(r"clang-\d+", path.name)}
    found = sorted(found, key=lambda name: int(name.removeprefix("clang-")))
    return dict.fromkeys([*found[:1], *found[-1:]])


def foreign(name):
    """The program that a test needs and a guest does not have, or None."""
    return next((program for word, program in FOREIGN.items() if word in name), None)


class Suite:
    """The tests that were asked for: those with one of the words in their name, or all."""

    def __init__(self, build, words, emulated):
        self.build, self.emulated = pathlib.Path(build).resolve(), emulated
        self.words = [word.removeprefix("kernel_check_") for word in words]
        for binary in BINARIES:
            if not (self.build / binary).exists():
                raise Unusable(f"{self.build} has no {binary}: build it first (cmake --build)")
        self.checks = {path.name.removeprefix("kernel_check_"): path for path in
                       sorted((self.build / "tests/kernel").glob("kernel_check_*"))
                       if not path.suffix and not foreign(path.name)}
        self.objects = sorted((self.build / "bpf").glob("*.bpf.o"))
        self.e2e, self.left_out = [], {}
        for name in e2e_names():
            why = self.why_not(name)
            if not self.wanted(f"e2e/{name}"):
                continue
            if why:
                self.left_out[f"e2e/{name}"] = why
            else:
                self.e2e.append(name)
        self.clangs = {}  # reuseportd by the clang of its BPF programs

    def wanted(self, name):
        return not self.words or any(word in name for word in self.words)

    def why_not(self, name):
        """Why an end-to-end test is left out, if it is."""
        if foreign(name):
            return f"there is no {foreign(name)} in the machine"
        if self.words or not self.emulated:
            return None
        return LEFT_OUT.get(max((start for start in LEFT_OUT if name.startswith(start)), key=len,
                                default=None))

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

    def machines(self, kernel, mode, cpus, several):
        """What the machines of a kernel are, and their plans as init.c reads them: (mode, cpus,
        plan). @several: more than one, so that the processors of the host are kept busy to the
        end, and one with several processors itself."""
        if kernel.version < FLOOR:
            plans = [self.refusal_lines(mode)]
        elif several:
            plans = [self.e2e_lines(mode, cpus), self.kernel_lines(mode)]
        else:
            plans = [[*self.kernel_lines(mode), *self.e2e_lines(mode, cpus)]]
        machines = [(mode, cpus, list(plan)) for plan in plans]
        if several and kernel.version >= FLOOR:
            machines.append((TURNS, PROCESSORS, list(self.parallel_lines())))
        return [machine for machine in machines if machine[2]]

    def refusal_lines(self, mode):
        if self.wanted("refusal"):
            yield ("test", "refusal", SECONDS * SLOW[mode], sys.executable,
                   f"{GUEST}/vmtest/refusal.py", f"{GUEST}/build/user/reuseportd",
                   f"{GUEST}/build/tests/harness/worker")

    def kernel_lines(self, mode):
        if self.wanted("growth"):
            yield ("test", "growth", SECONDS * SLOW[mode], sys.executable,
                   f"{GUEST}/vmtest/growth.py", mode, f"{GUEST}/build",
                   *(f"{GUEST}/build/bpf/{path.name}" for path in self.objects))
        for name in self.checks:
            if self.wanted(name):
                yield self.check_line(name, mode)
            else:
                yield from self.check_cases(name, self.words, mode)

    def e2e_lines(self, mode, cpus):
        if self.e2e:
            yield self.e2e_line("e2e", E2E_SECONDS * SLOW[mode], "build", cpus, self.e2e)
        for clang in self.clangs:
            yield self.e2e_line(clang, SECONDS * SLOW[mode], clang, cpus, CLANG_TESTS)

    def parallel_lines(self):
        """What runs on several emulated processors, too."""
        for name in self.checks:
            yield from self.check_cases(name, PARALLEL, TURNS)

    def check_line(self, name, mode):
        return ("test", name, SECONDS * SLOW[mode],
                f"{GUEST}/build/tests/kernel/{self.checks[name].name}")

    def check_cases(self, name, words, mode):
        """The one test program, for each word that is a case of it."""
        for case in (word.removeprefix(f"{name}/") for word in words
                     if word.startswith(f"{name}/")):
            yield from (("env", f"RPD_CASE={case}"), self.check_line(name, mode),
                        ("env", "RPD_CASE"))

    def e2e_line(self, name, seconds, build, cpus, tests):
        return ("test", name, seconds, sys.executable, f"{GUEST}/tests/e2e/run",
                "--allow-missing", "--retry", "--jobs", cpus, "--build", f"{GUEST}/{build}",
                *(word for test in tests for word in ("-k", f"^{re.escape(test)}$")))

    def base(self, more_tools=()):
        """The part of the initramfs that is the same for all kernels; @more_tools: if they are
        installed."""
        archive = image.skeleton()
        image.add_program(archive, self.build / "vmtest/vmtest_init", "/init")
        for binary in BINARIES:
            image.add_program(archive, self.build / binary, f"{GUEST}/build/{binary}")
        for clang, path in self.clangs.items():
            for binary in BINARIES:
                image.add_program(archive, path if binary == "user/reuseportd" else
                                  self.build / binary, f"{GUEST}/{clang}/{binary}")
        for path in self.checks.values():
            image.add_program(archive, path, f"{GUEST}/build/tests/kernel/{path.name}")
        for path in self.objects:
            archive.copy(path, f"{GUEST}/build/bpf/{path.name}")
        archive.copy(TOP / "vmtest/growth.json", f"{GUEST}/vmtest/growth.json")
        for tool in TOOLS:
            image.add_program(archive, program(tool))
        for tool in more_tools:
            if shutil.which(tool, path=PATH):
                image.add_program(archive, program(tool))
        image.add_python(archive, TOP, GUEST, ["tests/e2e/run", *(f"vmtest/{name}.py" for name in
                                               ("refusal", "growth", "measure"))],
                         sorted(path.relative_to(TOP) for path in TOP.glob("tests/e2e/*.py")))
        return archive.finish()
