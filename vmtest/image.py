# SPDX-License-Identifier: BSD-2-Clause
"""The initramfs of the guest: several cpio archives in a row, as the kernel accepts them.

It is not compressed: QEMU copies it into the guest at the speed of memory, while unpacking would
take an emulated processor seconds.
"""
import importlib.util
import io
import modulefinder
import os
import pathlib
import py_compile
import re
import stat
import subprocess
import sys
import tempfile

ROOT_LINKS = ("bin", "lib", "lib32", "lib64", "sbin")
# Imported by name at their first use.
ENCODINGS = tuple(f"encodings.{name}" for name in ("ascii", "idna", "latin_1", "utf_8"))
FOLDERS = ("dev", "proc", "sys", "tmp", "run", "etc", "root", "usr", "vmtest")


class Archive:
    """A cpio archive ("newc") in memory. Folders are added as needed."""

    def __init__(self):
        self.out = io.BytesIO()
        self.names = set()

    def entry(self, name, mode, data=b"", device=(0, 0)):
        fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        self.out.write(b"070701" + b"".join(b"%08x" % field for field in fields))
        self.out.write(name.encode() + b"\0")
        self.pad()
        self.out.write(data)
        self.pad()
        self.names.add(name)

    def pad(self):
        self.out.write(bytes(-self.out.tell() % 4))

    def folder(self, name):
        if name and name not in self.names:
            self.folder(os.path.dirname(name))
            self.entry(name, stat.S_IFDIR | 0o755)

    def bytes(self, name, data, mode=0o644):
        """Adds a file, unless the archive has it already; @name is absolute."""
        name = in_usr(name).lstrip("/")
        if name not in self.names:
            self.folder(os.path.dirname(name))
            self.entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        """Adds a symbolic link, unless the archive has the name already."""
        name = in_usr(name).lstrip("/")
        if name not in self.names:
            self.folder(os.path.dirname(name))
            self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def tree(self, folder, unused=None):
        """Adds the files and links below a folder of the host, as if the folder were the root.
        @unused: a pattern of names to leave out."""
        for path in sorted(folder.rglob("*")):
            name, mode = f"/{path.relative_to(folder)}", path.lstat().st_mode
            if unused and unused.match(name):
                continue
            if stat.S_ISLNK(mode):
                self.link(name, str(path.readlink()))
            elif stat.S_ISREG(mode):
                self.copy(path, name)

    def copy(self, path, name=None):
        """Adds a file of the host."""
        path = pathlib.Path(path)
        self.bytes(str(name or path), path.read_bytes(), stat.S_IMODE(path.stat().st_mode))

    def finish(self):
        self.entry("TRAILER!!!", 0)
        self.out.write(bytes(-self.out.tell() % 512))
        return self.out.getvalue()


def in_usr(name):
    """Maps /lib/x to /usr/lib/x, as /lib is a link to /usr/lib in the guest."""
    first = name.lstrip("/").split("/")[0]
    return "/usr" + name if first in ROOT_LINKS else name


def skeleton():
    """A new archive with the folders, links and files that each guest has."""
    archive = Archive()
    for folder in FOLDERS:
        archive.folder(folder)
    for link in ROOT_LINKS:
        archive.folder(f"usr/{link}")
        archive.entry(link, stat.S_IFLNK | 0o777, f"usr/{link}".encode())
    archive.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.bytes("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"
                                 b"www-data:x:33:33:www-data:/:/bin/sh\n"
                                 b"nobody:x:65534:65534:nobody:/:/bin/sh\n")
    archive.bytes("/etc/group", b"root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")
    return archive


def libraries(path):
    """The shared libraries that a program or library of the host needs, including its loader."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    if "not found" in done.stdout:
        raise FileNotFoundError(f"{path}: {done.stdout}")
    return re.findall(r"(?m)^\s+(?:\S+ => )?(/\S+) \(0x", done.stdout)


def add_program(archive, path, name=None):
    """Adds a program of the host with its libraries. Of a link, the target is copied."""
    archive.copy(path, name)
    with open(path, "rb") as file:
        is_elf = file.read(4) == b"\x7fELF"
    for library in libraries(path) if is_elf else ():
        archive.copy(library)


def add_python(archive, top, guest_top, scripts, modules):
    """Adds this interpreter, @scripts, @modules (import name by path) and the part of Python's
    library that they import, directly or within a function. All of it is compiled, as compiling
    takes an emulated processor longer than many tests take."""
    add_program(archive, sys.executable)
    folders = {str(top / "tests"), *(str((top / script).parent) for script in scripts)}
    library = [path for path in sys.path if path not in folders and "-packages" not in path]
    finder = modulefinder.ModuleFinder(path=[*folders, *library])
    for script in scripts:
        finder.run_script(str(top / script))
        archive.copy(top / script, f"{guest_top}/{script}")
    for name in ("site", *ENCODINGS, *modules.values()):
        finder.import_hook(name)
    for module in modules:
        name = f"{guest_top}/{module}"
        archive.copy(top / module, name)  # for the lines in a traceback
        archive.bytes(importlib.util.cache_from_source(name), compiled(top / module, name))
    for path in {module.__file__ for module in finder.modules.values() if module.__file__}:
        if any(path.startswith(folder) for folder in (*folders, str(top))):
            continue
        if path.endswith(".so"):
            add_program(archive, path)
        else:
            archive.bytes(path + "c", compiled(path, path))  # Python finds it without its source


def compiled(path, name):
    """Compiles a module so that Python doesn't compare it with its source. Returns the bytes."""
    with tempfile.TemporaryDirectory() as folder:
        target = py_compile.compile(str(path), f"{folder}/c", dfile=name, doraise=True,
                                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        return pathlib.Path(target).read_bytes()


def text(lines):
    return "".join(f"{line}\n" for line in lines).encode()
