# SPDX-License-Identifier: BSD-2-Clause
"""The initramfs of a guest with systemd as process 1: the files of Debian's package and of those
that it depends on, fetched as the kernels are; the package of reuseportd (tools/package), unpacked,
with a service that is enabled; and a unit that runs the plan (init.c). No script of a package is run:
installed.py installs the package of reuseportd."""
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import image
import kernels

SUITES = ("bookworm", "trixie", "sid")
# Beside systemd, what dpkg and the scripts of reuseportd's package need.
PACKAGES = ("systemd", "coreutils", "dash", "diffutils", "dpkg", "findutils", "grep", "libc-bin", "sed", "tar")
PACKAGE = "/vmtest/reuseportd.deb"
# The service that is enabled.
BOOT = """
[service boot]
command = /reuseportd/build/tests/harness/worker --port 8070 --no-reuseport
workers = 1
"""
# What the guest doesn't need. Generators would look for disks, and start a login on the console.
UNUSED = re.compile(
    r"/(usr/share|var)/|(/usr)?/lib/(udev|systemd/system-generators|[^/]+/(gconv|perl[^/]*))/")
# Units that prepare a machine with disks, or take long in emulation. Masked.
MASKED = ("systemd-update-utmp.service", "systemd-random-seed.service", "systemd-sysusers.service",
          "systemd-update-done.service", "systemd-journal-catalog-update.service",
          "systemd-logind.service", "systemd-user-sessions.service", "remote-fs.target",
          "getty.target", "systemd-tmpfiles-clean.timer", "systemd-hwdb-update.service",
          "systemd-binfmt.service", "systemd-boot-system-token.service", "ldconfig.service")
# It goes on over a soft reboot, which systemd has since 254.
UNIT = """
[Unit]
Description=Tests of reuseportd
FailureAction=reboot-force
DefaultDependencies=no
After=basic.target
IgnoreOnIsolate=yes
SurviveFinalKillSignal=yes

[Service]
Type=oneshot
ExecStart=/vmtest/init
StandardOutput=file:/dev/console
StandardError=file:/dev/console
LimitNOFILE=1048576
KillMode=process
"""


class Packages(kernels.Suite):
    """The packages of one suite, unpacked in its apt root."""

    def wanted(self):
        """The file names of the packages and of those that they depend on."""
        text = self.apt("apt-get", "-q", "-y", "--no-install-recommends", "--print-uris", "install",
                        *PACKAGES)
        return sorted(line.split()[1] for line in text.splitlines() if line.startswith("'"))

    def unpack_all(self, files, target):
        """Moves the unpacked packages to @target, in one step or not at all."""
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            folder = pathlib.Path(folder)
            self.apt("apt-get", "-q", "-y", "--no-install-recommends", "--download-only",
                     "-o", f"Dir::Cache::Archives={folder}/", "install", *PACKAGES)
            (folder / "x").mkdir()
            for name in files:
                kernels.command(["dpkg-deb", "-x", folder / name, folder / "x"])
            shutil.rmtree(target, ignore_errors=True)
            (folder / "x").rename(target)

    def fetch(self):
        """The folder with the newest packages; if the mirror can't be reached, those in the
        cache."""
        state, target = self.root / "packages.json", self.root / "packages"
        try:
            known = json.loads(state.read_text())
        except (OSError, ValueError):
            known = {}
        is_same = target.exists() and known.get("packages") == list(PACKAGES)
        if is_same and time.time() - known.get("asked", 0) < kernels.FRESH:
            return target
        try:
            failed = self.update()
            files = self.wanted()
            if known.get("files") != files or not target.exists():
                self.unpack_all(files, target)
            state.write_text(json.dumps({"packages": PACKAGES, "files": files, "asked": time.time()}))
        except (kernels.NotFound, OSError) as why:
            if not is_same:
                raise kernels.NotFound(failed or why) from None
        return target


def packages(name):
    """The folder with the unpacked packages of the suite."""
    suite = Packages(name, kernels.cache_folder())
    suite.root.mkdir(parents=True, exist_ok=True)
    with open(suite.root / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be fetching them
        return suite.fetch()


def add_installed(archive, build):
    """Adds the package and its files, with the libraries of the host."""
    found = sorted((build / "package").glob("reuseportd_*.deb"))
    if not found:
        raise kernels.NotFound(f"{build}/package has no package of reuseportd: tools/package builds it")
    with tempfile.TemporaryDirectory() as folder:
        kernels.command(["dpkg-deb", "-x", found[0], folder])
        archive.tree(pathlib.Path(folder), re.compile("/usr/share/"))
        for library in image.libraries(f"{folder}/usr/sbin/reuseportd"):
            archive.copy(library)
    archive.copy(found[0], PACKAGE)
    archive.bytes("/var/lib/dpkg/status", b"")
    for name in ("info", "updates", "triggers"):
        archive.folder(f"var/lib/dpkg/{name}")
    archive.bytes("/etc/reuseportd/boot.conf", BOOT.encode())
    archive.link("/etc/systemd/system/multi-user.target.wants/reuseportd@boot.service",
                 "/usr/lib/systemd/system/reuseportd@.service")


def archive(name, build):
    """A new archive that runs the systemd of the suite @name as process 1."""
    made = image.skeleton()
    made.tree(packages(name), UNUSED)
    made.link("/init", "usr/lib/systemd/systemd")
    made.bytes("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n")
    made.bytes("/etc/hostname", b"vmtest\n")
    image.add_program(made, build / "vmtest/vmtest_init", "/vmtest/init")
    units = "/etc/systemd/system"
    for unit in MASKED:
        made.link(f"{units}/{unit}", "/dev/null")
    made.link(f"{units}/default.target", "/usr/lib/systemd/system/multi-user.target")
    made.bytes(f"{units}/vmtest.service", UNIT.encode())
    made.link(f"{units}/multi-user.target.wants/vmtest.service", "../vmtest.service")
    add_installed(made, build)
    return made
