# SPDX-License-Identifier: BSD-2-Clause
"""bpf(2) and other system calls that Python has no function for."""
import contextlib
import ctypes
import os
import pathlib
import re

GETSOCKOPT, MOUNT, BPF, PIDFD_GETFD = {
    "x86_64": (55, 165, 321, 438),
    "aarch64": (209, 40, 280, 438),
}[os.uname().machine]

MAP_CREATE, MAP_UPDATE_ELEM, PROG_LOAD, OBJ_GET = 0, 2, 5, 7
MAP_TYPE_REUSEPORT_SOCKARRAY = 20

libc = ctypes.CDLL(None, use_errno=True)


def system_call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def pointer(value):
    """The address of a ctypes value, as two words of an attribute of bpf()."""
    address = ctypes.addressof(value)
    return address & 0xffffffff, address >> 32


def bpf(command, *words):
    """Calls bpf() with an attribute of these 32-bit words."""
    attribute = (ctypes.c_uint32 * 32)(*words)
    return system_call(BPF, command, attribute, ctypes.sizeof(attribute))


def open_ids(process, *fds):
    """("map", ID), ("prog", ID), ("link", ID) of all BPF objects that a process has open, or of
    @fds."""
    folder = pathlib.Path(f"/proc/{process}/fdinfo")
    for name in fds or os.listdir(folder):
        text = ""
        with contextlib.suppress(FileNotFoundError):  # it has just been closed
            text = (folder / str(name)).read_text()
        for kind, number in re.findall(r"(?m)^(prog|map|link)_id:\s*(\d+)", text):
            yield kind, int(number)


def below(folder):
    """All paths below the folder. Unlike Path.glob(), allows that they are removed meanwhile."""
    for top, folders, files in os.walk(folder):
        yield from (pathlib.Path(top, name) for name in folders + files)


def pinned_ids(folder):
    """Like open_ids(), of all objects that are pinned below the folder."""
    for path in below(folder):
        if path.is_dir():
            continue
        name = ctypes.create_string_buffer(os.fsencode(path))
        try:
            fd = bpf(OBJ_GET, *pointer(name))
        except FileNotFoundError:
            continue  # removed meanwhile
        try:
            yield from open_ids("self", fd)
        finally:
            os.close(fd)
