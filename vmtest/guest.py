# SPDX-License-Identifier: BSD-2-Clause
"""One boot of one kernel: starts QEMU, follows the guest's report, and returns how the guest ended.

Only init.c writes the report, to a second serial port; init.c describes its format. The console
goes to a log for people, which is not evaluated."""
import os
import pathlib
import subprocess
import tempfile
import time

import image
import kernels

BOOT_SECONDS = 600  # from the start of QEMU to the first line of the report, on a busy machine
MARGIN_SECONDS = 90  # for the work of init between tests
TAINTED = {1 << 7: "the kernel died (oops or BUG)", 1 << 9: "the kernel issued a warning"}
QEMU = {"x86_64": "qemu-system-x86_64"}
KVM_SECONDS = 5
COUNTED_SECONDS = 20  # that a busy host may need for a second of a COUNTED machine
# How the processors of a machine run. COUNTED: emulated; the guest's clock advances by a nanosecond
# for each executed instruction, and jumps ahead while the guest is idle. So times in the guest
# don't depend on the speed and the load of the host. The machine has one processor, as QEMU before
# 8.1 starves further ones in this mode. TURNS: emulated, with the host's clock; several processors
# take turns.
KVM, COUNTED, TURNS = "kvm", "counted", "turns"
# A kernel that oopses panics, and one that panics reboots, which ends QEMU.
PARAMETERS = "console=ttyS0 panic=-1 oops=panic systemd.show_status=0"
# Turns off protections that a test guest doesn't need and that are slow in emulation. Code at a
# different address each time is translated each time; an unreliable clock is read from a device. On
# a busy host timer interrupts are too late for the kernel's check of the timer.
EMULATED = ("mitigations=off norandmaps init_on_alloc=0 randomize_kstack_offset=off tsc=reliable"
            " no_timer_check")


class Broken(Exception):
    """The guest crashed or hung."""


def kvm_works(folder):
    """Whether KVM works at the speed of a processor. On some machines /dev/kvm can be opened but
    doesn't run a guest, or interprets some of its instructions. So this boots a disk whose first
    sector counts to 100 million and ends QEMU."""
    sector = folder / "sector"
    # mov $100000000, %ecx; 1: dec %ecx; jnz 1b; mov $0x10, %al; out %al, $0xf4; 1: hlt; jmp 1b
    sector.write_bytes(bytes.fromhex("66b900e1f505 6649 75fc b010 e6f4 f4 ebfd").ljust(510, b"\0")
                       + b"\x55\xaa")
    argv = [*machine(KVM), "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive", f"file={sector},format=raw,if=ide"]
    try:
        return os.access("/dev/kvm", os.W_OK) and subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=KVM_SECONDS,
            check=False).returncode == 0x10 << 1 | 1
    except subprocess.TimeoutExpired:
        return False
    finally:
        sector.unlink()


def machine(mode):
    """The command line of QEMU, which is killed when this process ends."""
    return ["setpriv", "--pdeathsig", "KILL", QEMU[os.uname().machine], "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc", *{
                KVM: ("-accel", "kvm", "-cpu", "host"),
                # No five-level page tables, as emulation walks them in software.
                COUNTED: ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "max,la57=off"),
                # One thread for all processors: with several threads, a processor may execute code
                # that another has just changed, as Linux does for jump labels (QEMU before 8.1).
                TURNS: ("-accel", "tcg,thread=single", "-cpu", "max,la57=off")}[mode]]


class Guest:
    def __init__(self, kernel, initrd, folder, cpus, memory, mode):
        self.mode = mode
        self.folder = folder
        self.console, self.report = folder / "console", folder / "report"
        self.command = [
            *machine(mode), "-smp", str(cpus), "-m", f"{memory}M",
            "-kernel", str(kernel.image), "-initrd", str(initrd),
            "-append", PARAMETERS if mode == KVM else f"{PARAMETERS} {EMULATED}"]
        self.process = None

    def shell(self):
        """Runs the guest on this terminal. Returns the exit status of QEMU."""
        argv = self.command + ["-serial", "mon:stdio", "-serial", f"file:{self.report}"]
        argv[argv.index("-append") + 1] += " quiet"
        return subprocess.run(argv, check=False).returncode

    def run(self, follow):
        """Runs the guest, and passes each line of the report to @follow when it arrives."""
        argv = self.command + ["-serial", f"file:{self.console}", "-serial", f"file:{self.report}"]
        errors = self.folder / "qemu.err"
        with open(errors, "wb") as file:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file,
                                            stderr=file)
        try:
            self.watch(follow)
        except Broken:
            text = errors.read_text(errors="replace").strip()
            if text:
                raise Broken(f"QEMU: {text}") from None
            raise
        finally:
            self.process.kill()
            self.process.wait()

    def watch(self, follow):
        deadline = time.monotonic() + BOOT_SECONDS
        doing, rest, at = "booting", b"", 0
        while True:
            ended = self.process.poll() is not None  # checked before its output is read
            data = b""
            if self.report.exists():
                with open(self.report, "rb") as file:
                    file.seek(at)
                    data = file.read()
            at += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                line = line.decode(errors="replace").rstrip("\r")
                kind, _, value = line.partition(" ")
                if kind == "done":
                    return
                if kind == "begin":
                    name, seconds = value.split(" ")
                    doing = f"running {name}"
                    seconds = int(seconds) * (COUNTED_SECONDS if self.mode == COUNTED else 1)
                    deadline = time.monotonic() + seconds + MARGIN_SECONDS
                follow(kind, value)
            if ended:
                raise Broken(f"the guest crashed while {doing} (status {self.process.returncode})")
            if time.monotonic() > deadline:
                raise Broken(f"the guest hung while {doing}")
            time.sleep(0.1)


def prepare(kernel, base, plan, folder, cpus, memory, mode, wanted=kernels.MODULES):
    """Prepares a machine: its initramfs has @base, the @wanted modules, and @plan (see init.c).
    Its files are in a new folder below @folder."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{kernel.name}.", dir=folder))
    modules = kernels.load_order(kernel.modules, wanted)
    lines = [("module", f"/vmtest/{name}.ko") for name, _ in modules] + plan
    archive = image.Archive()
    for name, data in modules:
        archive.bytes(f"/vmtest/{name}.ko", data)
    archive.bytes("/vmtest/plan", image.text("\t".join(map(str, line)) for line in lines))
    with open(folder / "initrd", "wb") as file:
        file.write(base)
        file.write(archive.finish())
    return Guest(kernel, folder / "initrd", folder, cpus, memory, mode)
