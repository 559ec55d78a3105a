# SPDX-License-Identifier: BSD-2-Clause
"""The stops that killat lists, such as "bpf:OBJ_PIN#3 exit": their kinds, and the selection of
stops to kill at."""
import heapq
import re

from harness.checks import FULL

STOP = re.compile(r"(?m)^stop \d+: (.*)$")

# The effect of these calls ends with the process: they read, or they create, change, close or wait
# for an object that only this process has. So a kill just before and just after such a call can't
# be distinguished. (An openat() may create the file of a worker's output. It is one of the few
# calls between two other calls, and some of those are chosen anyway.)
OWN = {"accept4", "brk", "capget", "clock_gettime", "close", "dup3", "epoll_create1", "epoll_ctl",
       "epoll_wait", "faccessat2", "fcntl", "fgetxattr", "flock", "futex", "getdents64", "geteuid",
       "getpid", "getrandom", "getsockname", "getsockopt", "inotify_add_watch", "inotify_init1",
       "inotify_rm_watch", "kcmp", "lseek", "mmap", "mprotect", "mremap", "munmap", "newfstatat",
       "openat", "pidfd_getfd", "pidfd_open", "pipe2", "prctl", "pread64", "read", "readlinkat",
       "recvfrom", "recvmsg", "rt_sigaction", "rt_sigprocmask", "sched_getaffinity", "signalfd4",
       "socket", "statfs", "timerfd_create", "timerfd_settime", "umask", "uname", "wait4", "waitid",
       "bpf:BTF_LOAD", "bpf:ITER_CREATE", "bpf:MAP_CREATE", "bpf:MAP_FREEZE",
       "bpf:MAP_GET_FD_BY_ID", "bpf:MAP_GET_NEXT_KEY", "bpf:MAP_LOOKUP_BATCH",
       "bpf:MAP_LOOKUP_ELEM", "bpf:OBJ_GET", "bpf:OBJ_GET_INFO_BY_FD", "bpf:PROG_BIND_MAP",
       "bpf:PROG_GET_FD_BY_ID", "bpf:PROG_LOAD", "bpf:PROG_QUERY"}
# Calls without an effect that other processes can see.
QUIET = {"brk", "capget", "fcntl", "getdents64", "getpid", "getrandom", "getsockopt", "kcmp", "mmap",
         "munmap", "newfstatat", "openat", "pidfd_open", "read", "readlinkat", "recvfrom", "sendto",
         "socket", "statfs"}
OWN_MAX = 4
SAME_MAX = 3
SAMPLE = 20  # stops of a pass
COMMAND_SAMPLE = 40  # stops of a command


def kind_of(stop):
    """The kind of a stop, such as "bpf:OBJ_PIN"."""
    return stop.split("#")[0]


def call_of(stop):
    """The system call of a stop, such as "bpf"."""
    return kind_of(stop).split(":")[0]


def spread(items, n):
    """At most @n of the items at equal distances, including the first."""
    n = min(n, len(items))
    return [items[i * len(items) // n] for i in range(n)]


def shortened(stops):
    """The stops of a pass, with only the first and the last read of each sequence of reads: libbpf
    reads the kernel's BTF, some megabytes, in small pieces."""
    def is_within(i):
        return 2 <= i < len(stops) - 2 and all(call_of(stop) == "read" for stop in stops[i-2:i+3])
    return [stop for i, stop in enumerate(stops) if not is_within(i)]


def instants(stops):
    """Chooses the stops to kill at from all stops of one thread, in order. Of calls that other
    processes can see: entry and exit, for at most SAME_MAX calls of a sequence of the same kind. Of
    a sequence of calls in OWN: the entries of at most OWN_MAX calls, as a store into a pinned map
    may precede each of them."""
    rows = []  # (visible to other processes, kind, entries)
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


def selection(stops, dice):
    """The stops of a pass to kill at, in order: a random sample of instants(); with RPD_FULL, each
    stop."""
    if FULL:
        return shortened(stops)
    some = instants(stops)
    return [some[i] for i in sorted(dice.sample(range(len(some)), min(SAMPLE, len(some))))]


def sampled(stops, dice):
    """The distinct stops of @stops of a command; without RPD_FULL, a sample of them: the first, the
    last two, and COMMAND_SAMPLE others. Calls that may have an effect are chosen more often."""
    stops = [stop for stop in stops if not (stop.endswith(" exit") and call_of(stop) in QUIET)]
    if FULL:
        return stops
    rank = [dice.random() ** (1 if call_of(stop) in QUIET else 0.3) for stop in stops]
    for i in (0, -2, -1):
        rank[i] = 1
    chosen = set(heapq.nlargest(COMMAND_SAMPLE + 3, range(len(stops)), rank.__getitem__))
    return [stop for i, stop in enumerate(stops) if i in chosen]
