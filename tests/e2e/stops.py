# SPDX-License-Identifier: BSD-2-Clause
"""The stops that killat lists, such as "bpf:OBJ_PIN#3 exit": kinds, and which ones to kill at."""
import os
import re

STOP = re.compile(r"(?m)^stop \d+: (.*)$")

# What these do ends with the process that does it, so that nobody sees a difference between a kill
# just before one and just after it: they look at something, or they make, change, close or wait for
# something that only the process itself has. (An openat() may make the file of a worker's output: it
# is one of a few between two calls that count anyway.)
OWN = {"accept4", "brk", "capget", "clock_gettime", "close", "dup3", "epoll_create1", "epoll_ctl",
       "epoll_wait", "faccessat2", "fcntl", "fgetxattr", "flock", "futex", "getdents64", "geteuid",
       "getpid", "getrandom", "getsockname", "getsockopt", "inotify_add_watch", "inotify_init1",
       "inotify_rm_watch", "kcmp", "lseek", "mmap", "mprotect", "mremap", "munmap", "newfstatat",
       "openat", "pidfd_getfd", "pidfd_open", "pipe2", "prctl", "pread64", "read", "readlinkat",
       "recvfrom", "recvmsg", "rt_sigaction", "rt_sigprocmask", "sched_getaffinity", "signalfd4",
       "socket", "statfs", "timerfd_create", "timerfd_settime", "umask", "uname", "waitid",
       "bpf:BTF_LOAD", "bpf:ITER_CREATE", "bpf:MAP_CREATE", "bpf:MAP_FREEZE",
       "bpf:MAP_GET_FD_BY_ID", "bpf:MAP_GET_NEXT_KEY", "bpf:MAP_LOOKUP_BATCH",
       "bpf:MAP_LOOKUP_ELEM", "bpf:OBJ_GET", "bpf:OBJ_GET_INFO_BY_FD", "bpf:PROG_BIND_MAP",
       "bpf:PROG_GET_FD_BY_ID", "bpf:PROG_LOAD", "bpf:PROG_QUERY"}
OWN_MAX = 4
SAME_MAX = 3
# With this in the environment it is all stops, which takes most of an hour.
EVERY = "EVERY_STOP"


def kind_of(stop):
    """Such as "bpf:OBJ_PIN"."""
    return stop.split("#")[0]


def call_of(stop):
    """Such as "bpf"."""
    return kind_of(stop).split(":")[0]


def spread(items, n):
    """At most @n of the items, the first among them, at equal distances."""
    n = min(n, len(items))
    return [items[i * len(items) // n] for i in range(n)]


def shortened(stops):
    """The stops of a pass, but of each row of reads the first and the last read only: the kernel's
    BTF is some megabytes, which libbpf reads in small pieces."""
    def is_within(i):
        return 2 <= i < len(stops) - 2 and all(call_of(stop) == "read" for stop in stops[i-2:i+3])
    return [stop for i, stop in enumerate(stops) if not is_within(i)]


def instants(stops):
    """Of all stops of a pass of one thread those that are worth to be killed at, in order. Both
    those of every call that others can see, but of a row of more than SAME_MAX of the same kind
    only so many calls. And of a row of others (OWN) the entries of at most OWN_MAX calls: before
    each something may have been stored into a map that is pinned."""
    if EVERY in os.environ:
        return stops
    rows = []  # (seen by others, kind, entries)
    for stop in stops:
        if not stop.endswith(" entry"):
            continue
        seen = kind_of(stop) not in OWN
        row = (seen, kind_of(stop) if seen else None, [])
        if not rows or rows[-1][:2] != row[:2]:
            rows.append(row)
        rows[-1][2].append(stop)
    chosen = set()
    for seen, _, entries in rows:
        some = spread(entries, SAME_MAX if seen else OWN_MAX)
        chosen.update(some)
        if seen:
            chosen.update(entry.replace(" entry", " exit") for entry in some)
    return [stop for stop in stops if stop in chosen]
