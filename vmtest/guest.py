# SPDX-License-Identifier: BSD-2-Clause
"""One boot of one kernel: starts QEMU, follows the guest's report, and says how it ended.

The report is a file that only init.c writes (the format is described there), by a serial port of
its own. The console goes to a log, which is for people: nothing is looked for in it."""
import os
import pathlib
import subprocess
import tempfile
import time

import image
import kernels

BOOT_SECONDS = 180  # from QEMU's start to the first line of the report, on a busy machine
MARGIN_SECONDS = 90  # for what init does between tests
TAINTED = {1 << 7: "the kernel died (oops or BUG)", 1 << 9: "the kernel issued a warning"}
QEMU = {"x86_64": "qemu-system-x86_64"}
KVM_SECONDS = 5
COUNTED_SECONDS = 20  # that a busy host may take for a second of a machine that counts
# How a machine's processors are run. COUNTED: emulated, and its clock goes by the instructions that
# were executed, a nanosecond each, and jumps ahead while there is nothing to do. So whatever else
# the host does, and however slow it is, in the guest everything takes as long as it always takes.
# It has one processor: QEMU before 8.1 starves all others then.
# TURNS: emulated, by the host's clock; several processors take turns.
KVM, COUNTED, TURNS = "kvm", "counted", "turns"
# A kernel that oopses panics, and one that panics reboots, which ends QEMU.
PARAMETERS = "console=ttyS0 panic=-1 oops=panic"
# What guards nothing here and costs an emulated processor a lot. Code that lies at another address
# each time is translated each time; a clock that is found to be unreliable is read from a device.
# And on a busy host the timer's interrupts come too late for the kernel's check of the timer.
EMULATED = ("mitigations=off norandmaps init_on_alloc=0 randomize_kstack_offset=off tsc=reliable"
            " no_timer_check")


class Broken(Exception):
    """The guest did not get to its end."""


def kvm_works(folder):
    """There are machines with a /dev/kvm that can be opened, but runs nothing, or interprets (and not
    all that there is): boot a disk whose first sector counts to 100 million and ends QEMU."""
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
    """QEMU, so that it ends with us."""
    return ["setpriv", "--pdeathsig", "KILL", QEMU[os.uname().machine], "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc", *{
                KVM: ("-accel", "kvm", "-cpu", "host"),
                # Five levels of page tables would be walked by software.
                COUNTED: ("-accel", "tcg", "-icount", "shift=0,sleep=off", "-cpu", "max,la57=off"),
                # One thread for all processors: with several, one may go on with code that another
                # has just changed (QEMU before 8.1), as Linux does when a jump label is switched.
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
        """On this terminal. Returns QEMU's exit status."""
        argv = self.command + ["-serial", "mon:stdio", "-serial", f"file:{self.report}"]
        argv[argv.index("-append") + 1] += " quiet"
        return subprocess.run(argv, check=False).returncode

    def run(self, follow):
        """Gives each line of the report to @follow as it comes, to the end of the report."""
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
            ended = self.process.poll() is not None  # before the look at what it has written
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


def prepare(kernel, base, plan, folder, cpus, memory, mode):
    """A machine that is ready to start: of an initramfs with @base, the kernel's modules, and the
    plan (init.c). Its files get a folder of their own in @folder."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{kernel.name}.", dir=folder))
    modules = kernels.load_order(kernel.modules)
    lines = [("module", f"/vmtest/{name}.ko") for name, _ in modules] + plan
    archive = image.Archive()
    for name, data in modules:
        archive.bytes(f"/vmtest/{name}.ko", data)
    archive.bytes("/vmtest/plan", image.text("\t".join(map(str, line)) for line in lines))
    with open(folder / "initrd", "wb") as file:
        file.write(base)
        file.write(archive.finish())
    return Guest(kernel, folder / "initrd", folder, cpus, memory, mode)
