# SPDX-License-Identifier: BSD-2-Clause
"""The tests that a guest runs, and the files that they need."""
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys

import image
import kernels
import systemd_image
from guest import COUNTED, KVM, TURNS

TOP = pathlib.Path(__file__).resolve().parent.parent
GUEST = "/reuseportd"  # the source tree in the guest
FLOOR = (5, 14)  # the oldest kernel that reuseportd supports; it must refuse to work on older ones
BINARIES = ("user/reuseportd", "tests/harness/loadgen", "tests/harness/worker",
            "tests/harness/attack", "tests/harness/delaylink",
            "tests/harness/killat", "vmtest/vmtest_programs", "vmtest/vmtest_steering")
TOOLS = ("bpftool", "ip", "mount", "nsenter", "rm", "setpriv", "sh", "sleep", "ss", "umount",
         "unshare")
SHELL_TOOLS = ("bash", "cat", "dmesg", "grep", "head", "less", "ls", "nstat", "ps",
               "strace", "sysctl", "tail", "tc", "uname")
SHELL = "bash"
LIBRARIES = ("libmicrohttpd.so.12",)  # that reuseportd opens when it needs them
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # as root has it in the guest
# Programs of other projects that tests run, by a part of the test's name.
FOREIGN = {"nginx": "nginx", "haproxy": "haproxy", "gunicorn": "gunicorn", "strace": "strace",
           "promtool": "promtool", "node": "node", "package.": "apt-get", "ten_reloads/abrupt": "node",
           "run_held.reload": "node", "run_held.tries": "node"}
SAME = "is the same on every kernel"
# Tests that are left out on an emulated processor, unless they are selected by name, and the
# reason. The longest prefix of a test's name applies; None: the test runs.
LEFT_OUT = {
    "attack_": SAME,
    "attack_steering.attached/ebpf": None,
    "attack_steering.run/cbpf-passed": None,
    "attack_steering.run/detach-usr1": None,
    "attack_steering.run/ebpf-unbound": None,
    "attack_steering.watch/cbpf": None,
    "commands.": SAME,
    "commands.doctor_of_the_host": None,
    "commands.nothing_is_left": None,
    "connections.": SAME,
    "connections.all_ways_to_end": None,
    "connections.closed_by_worker": None,
    "connections.fast_open": None,
    "connections.half_closed": None,
    "connections.killed_worker": None,
    "connections.open_before_attach": None,
    "deploy": SAME,
    "deploy.blue_green/loopback": None,
    "deploy.canary_shares": None,
    "dashboard.": SAME,
    "drain.hundred_cycles": "100,000 connections; drain.attach_and_detach is run",
    "drain.last_live_worker": SAME,
    "drain.under_load": "thousands of connections; drain.attach_and_detach is run",
    "drain.replace_all": "thousands of connections; watch.rolling_restart is run",
    "drain_wait.ends_early": SAME,
    "drain_wait.times_out": SAME,
    "drain_wait.unknown_worker": SAME,
    "endpoints.": "endpoints.attach_many is run",
    "endpoints.attach_many": None,
    "even.": "steer_even is run",
    "even.eight_held": None,
    "even.status_names_serving_process": None,
    "events.": SAME,
    "fault_": SAME,
    "hostile.": SAME,
    "hostile.kernel_below_the_floor": None,
    "hostile.listener_in_foreign_map": None,
    "hostile.not_root": None,
    "http.": "check_http is run",
    "kill.": "steer_gone and steer_migrate are run",
    "kill.black_hole_is_left_out": None,
    "kill.loss_is_detected": None,
    "kill.queue_of_c_worker": None,
    "least.": "steer_least is run",
    "least.counts_agree": None,
    "metrics.": SAME,
    "monkey.": "takes long on an emulated processor",
    "privileges.": SAME,
    "refusals.": SAME,
    "refusals.attach_two_users": None,
    "refusals.attach_without_reuseport": None,
    "run_": SAME,
    "run_hostile.stop/children": None,
    "run_programs.": "needs servers that are not in the guest",
    "run_ready.waits_until_ready/notify": None,
    "run_reload.killed_worker/link": None,
    "run_reload.ten_reloads/graceful-link": None,
    "run_sigkill.": "kills the supervisor at each of its system calls, which takes long",
    "shares.": "steer_even and shares.canary are run",
    "shares.canary/": None,
    "shares.switch_under_load/c-link": None,
    "sigkill.": "kills commands at each of their system calls, which takes long",
    "sticky.": "steer_sticky is run",
    "sticky.keeps_its_worker": None,
    "stuck.": "steer_stuck is run",
    "stuck.attach": None,
    "together.": SAME,
    "top.": SAME,
    "unpinned.": SAME,
    "watch.": SAME,
    "web": SAME,
    "watch.replaced_worker": None,
    "watch.rolling_restart/c-link-undrained": None,
}
# Kernels between two others that run all end-to-end tests: these are left out there, too.
BETWEEN = ("trixie",)
# Kernel tests that are left out on an emulated processor, in the same way.
USER_SPACE = ("log", "log_file", "log_process", "log_state", "service_lock")
# Tests for the BPF programs of other compilers: each program is loaded, and steers.
CLANG_TESTS = ("even.eight_held/c", "watch.replaced_worker")
# Tests that also run on several processors, in addition to the machine with one.
PARALLEL = ("steer_even/threads_at_once", "steer_packets/syn_flood",
            "steer_drain/drain_and_resume_under_load")
# The factor for deadlines, by kind of machine.
SLOW = {KVM: 1, COUNTED: 5, TURNS: 10}
SECONDS = 60  # for a test program on a fast machine
INSTALLED_SECONDS = 200
IPVS_SECONDS = 200
IPVS_MODULES = (*kernels.MODULES, "ip_vs_rr")
IPVS_RECIPE = "tools/fleet/keepalived"
E2E_SECONDS = 1200  # for all end-to-end tests
PROCESSORS = 2  # of a machine that may have more than one


# A machine to run: its kind and processors, its plan as init.c reads it, the suite that provides the
# systemd of process 1 ("": none), and its modules.
Machine = collections.namedtuple("Machine", "mode cpus plan systemd modules", defaults=("", kernels.MODULES))


class Unusable(Exception):
    """The selected tests can't be run."""


def program(name):
    """The path of a program of the host."""
    path = shutil.which(name, path=PATH)
    if not path:
        raise Unusable(f"{name} is not installed; 'tools/setup vm' installs it")
    return path


def library(name):
    """The path of a library of the host."""
    done = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    path = re.search(rf"(?m)^\t{re.escape(name)} .* => (\S+)$", done.stdout)
    if not path:
        raise Unusable(f"{name} is not installed; 'tools/setup build' installs it")
    return path[1]


def e2e_names():
    """The names of all end-to-end tests, without those of RPD_FULL, which a guest doesn't have."""
    done = subprocess.run([sys.executable, TOP / "tests/e2e/run", "--list"], text=True, check=True,
                          capture_output=True, env={**os.environ, "RPD_FULL": ""})
    return done.stdout.splitlines()


def installed_clangs():
    """The oldest and the newest clang-N that are installed (tools/setup vm)."""
    found = {path.name for folder in os.get_exec_path() for path in
             pathlib.Path(folder).glob("clang-*") if re.fullmatch(r"clang-\d+", path.name)}
    found = sorted(found, key=lambda name: int(name.removeprefix("clang-")))
    return dict.fromkeys([*found[:1], *found[-1:]])


def foreign(name):
    """The program that a test needs and the guest doesn't have, or None."""
    return next((program for word, program in FOREIGN.items() if word in name), None)


class Suite:
    """The selected tests, which have one of @words in their name; all tests if there are no
    words."""

    def __init__(self, build, words, emulated):
        self.build, self.emulated = pathlib.Path(build).resolve(), emulated
        self.words = [word.removeprefix("kernel_check_") for word in words]
        for binary in BINARIES:
            if not (self.build / binary).exists():
                raise Unusable(f"{self.build} has no {binary}: build it first (cmake --build)")
        self.checks = {path.name.removeprefix("kernel_check_"): path for path in
                       sorted((self.build / "tests/kernel").glob("kernel_check_*"))
                       if not path.suffix and not foreign(path.name)}
        self.left_out = {name: SAME for name in USER_SPACE if emulated and not words}
        self.objects = sorted((self.build / "bpf").glob("*.bpf.o"))
        self.e2e = []
        for name in e2e_names():
            why = self.why_not(name)
            if not self.wanted(f"e2e/{name}"):
                continue
            if why:
                self.left_out[f"e2e/{name}"] = why
            else:
                self.e2e.append(name)
        self.with_ipvs = "ipvs" in words  # only if it is selected: tools/test has a stage for it
        self.clangs = {}  # reuseportd by the clang of its BPF programs
        for word in self.words:
            if not self.exists(word):
                raise Unusable(f"no test has '{word}' in its name")

    def exists(self, word):
        """Whether a test can have @word in its name. The cases of a kernel test are not known here:
        any name after the name of its program is accepted."""
        names = ["refusal", "growth", "installed", "ipvs", *self.checks, *self.left_out,
                 *(f"e2e/{name}" for name in self.e2e), *(f"clang/{name}" for name in CLANG_TESTS)]
        return word.split("/")[0] in self.checks or any(word in name for name in names)

    def wanted(self, name):
        return not self.words or any(word in name for word in self.words)

    def why_not(self, name):
        """Why an end-to-end test is left out; None if it is not."""
        if foreign(name):
            return f"the guest has no {foreign(name)}"
        if self.words or not self.emulated:
            return None
        return LEFT_OUT.get(max((start for start in LEFT_OUT if name.startswith(start)), key=len,
                                default=None))

    def wanted_with_clang(self):
        return any(self.wanted(f"clang/{name}") for name in CLANG_TESTS)

    def build_with(self, clangs):
        """Builds reuseportd with the BPF programs of other compilers."""
        for clang in clangs:
            folder = self.build / "clangs" / pathlib.Path(clang).name
            for argv in (["cmake", "-G", "Ninja", "-S", TOP, "-B", folder, "-DREUSEPORTD_TESTS=OFF",
                          "-DCMAKE_BUILD_TYPE=None", f"-DREUSEPORTD_BPF_CLANG={clang}"],
                         ["cmake", "--build", folder, "--target", "reuseportd", "-j",
                          str(os.cpu_count())]):
                done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, check=False)
                if done.returncode:
                    raise Unusable(f"building with {clang}: {done.stdout[-3000:]}")
            self.clangs[folder.name] = folder / "user/reuseportd"

    def machines(self, kernel, mode, cpus, several):
        """The machines of a kernel. @several: also one with several processors."""
        if kernel.version < FLOOR:
            machines = [Machine(mode, cpus, [*self.refusal_lines(mode)])]
        else:
            machines = [Machine(mode, cpus, [*self.kernel_lines(mode),
                                             *self.e2e_lines(kernel, mode, cpus)])]
            if several:
                machines.append(Machine(TURNS, PROCESSORS, [*self.parallel_lines()]))
            if kernel.name in systemd_image.SUITES:
                machines.append(Machine(mode, cpus, [*self.installed_lines(mode)], kernel.name))
            if self.with_ipvs:
                machines.append(Machine(mode, cpus, [*self.ipvs_lines(mode)], modules=IPVS_MODULES))
        return [machine for machine in machines if machine.plan]

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
            if name in self.left_out:
                continue
            if self.wanted(name):
                yield self.check_line(name, mode)
            else:
                yield from self.check_cases(name, self.words, mode)

    def left_out_on(self, kernel):
        """The tests that are left out on a kernel, and why."""
        if kernel.name in BETWEEN and self.emulated and not self.words:
            return self.left_out | {f"e2e/{name}": "older and newer kernels run it"
                                    for name in self.e2e}
        return self.left_out

    def e2e_lines(self, kernel, mode, cpus):
        if {f"e2e/{name}" for name in self.e2e} - self.left_out_on(kernel).keys():
            yield self.e2e_line("e2e", E2E_SECONDS * SLOW[mode], "build", cpus, self.e2e)
        for clang in self.clangs:
            yield self.e2e_line(clang, SECONDS * SLOW[mode], clang, cpus, CLANG_TESTS)

    def installed_lines(self, mode):
        if self.wanted("installed"):
            yield ("test", "installed", INSTALLED_SECONDS * SLOW[mode], sys.executable,
                   f"{GUEST}/vmtest/installed.py", f"{GUEST}/build/tests/harness")

    def ipvs_lines(self, mode):
        yield ("test", "ipvs", IPVS_SECONDS * SLOW[mode], sys.executable, f"{GUEST}/vmtest/ipvs.py",
               f"{GUEST}/build")

    def parallel_lines(self):
        """The tests that also run on several emulated processors."""
        for name in self.checks:
            yield from self.check_cases(name, PARALLEL, TURNS)

    def check_line(self, name, mode):
        return ("test", name, SECONDS * SLOW[mode],
                f"{GUEST}/build/tests/kernel/{self.checks[name].name}")

    def check_cases(self, name, words, mode):
        """The test program @name, once for each word that names one of its cases."""
        for case in (word.removeprefix(f"{name}/") for word in words
                     if word.startswith(f"{name}/")):
            yield from (("env", f"RPD_CASE={case}"), self.check_line(name, mode),
                        ("env", "RPD_CASE"))

    def e2e_line(self, name, seconds, build, cpus, tests):
        return ("test", name, seconds, sys.executable, f"{GUEST}/tests/e2e/run",
                "--allow-missing", "--retry", "--jobs", cpus, "--build", f"{GUEST}/{build}",
                *(word for test in tests for word in ("-k", f"^{re.escape(test)}$")))

    def base(self, more_tools=()):
        """The part of the initramfs that is the same for all kernels. It also has those of
        @more_tools that are installed."""
        archive = image.skeleton()
        image.add_program(archive, self.build / "vmtest/vmtest_init", "/init")
        for binary in BINARIES:
            image.add_program(archive, self.build / binary, f"{GUEST}/build/{binary}")
        for clang, path in self.clangs.items():
            for binary in BINARIES:
                image.add_program(archive, path if binary == "user/reuseportd" else
                                  self.build / binary, f"{GUEST}/{clang}/{binary}")
        for name in LIBRARIES:
            image.add_program(archive, library(name))
        for path in self.checks.values():
            image.add_program(archive, path, f"{GUEST}/build/tests/kernel/{path.name}")
        for path in self.objects:
            archive.copy(path, f"{GUEST}/build/bpf/{path.name}")
        archive.copy(TOP / "vmtest/growth.json", f"{GUEST}/vmtest/growth.json")
        for path in (TOP / IPVS_RECIPE).iterdir() if self.with_ipvs else ():
            archive.copy(path, f"{GUEST}/{IPVS_RECIPE}/{path.name}")
        for tool in (*TOOLS, *["keepalived"] * self.with_ipvs):
            image.add_program(archive, program(tool))
        for tool in more_tools:
            if shutil.which(tool, path=PATH):
                image.add_program(archive, program(tool))
        scripts = ["tests/e2e/run", *(f"vmtest/{name}.py" for name in
                                      ("refusal", "growth", "measure", "ipvs"))]
        modules = {path.relative_to(TOP): name for folder, package in
                   (("tests/e2e", ""), ("tests/harness", "harness."))
                   for path in sorted((TOP / folder).glob("*.py"))
                   for name in [f"{package}{path.stem}".removesuffix(".__init__")]}
        image.add_python(archive, TOP, GUEST, scripts, modules)
        return archive.finish()

    def systemd_base(self, suite):
        """The same for a machine that runs the systemd of that suite as process 1."""
        archive = systemd_image.archive(suite, self.build)
        for name in ("loadgen", "worker"):
            image.add_program(archive, self.build / f"tests/harness/{name}",
                              f"{GUEST}/build/tests/harness/{name}")
        for tool in TOOLS:
            image.add_program(archive, program(tool))
        image.add_python(archive, TOP, GUEST, ["vmtest/installed.py"], {})
        return archive.finish()
