# SPDX-License-Identifier: BSD-2-Clause
"""What commands take: time from start to end, and CPU time."""
import os
import pty
import statistics
import sys
import time

from bench_servers import Server

SERVICE = "bench"


def milliseconds(*command):
    """Milliseconds from the start of a command to its end, and its CPU time."""
    words = [str(word) for word in command]
    silent = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    start = time.perf_counter()
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    took = (time.perf_counter() - start) * 1000
    if status != 0:
        sys.exit(f"tools/bench: {' '.join(words)}: status {os.waitstatus_to_exitcode(status)}")
    return took, (usage.ru_utime + usage.ru_stime) * 1000


def measure_top(tools, sizes):
    """CPU milliseconds per refresh of `top` on a terminal; its start is divided among them."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(tools.reuseportd, [str(tools.reuseportd), "top", SERVICE])
    shown = b""
    while shown.count(b"\033[H") < sizes.refreshes:
        shown += os.read(terminal, 65536)
    os.write(terminal, b"q")
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:  # top has ended
        pass
    _, status, usage = os.wait4(pid, 0)
    os.close(terminal)
    if status != 0:
        sys.exit(f"tools/bench: top: status {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000 / sizes.refreshes


def measure_commands(tools, sizes, workers):
    server = Server(tools, workers)
    commands = {
        "--version": [],
        "attach": ["--workers", workers, "--service", SERVICE],
        "status": [SERVICE],
        "metrics": [SERVICE],
        "drain": [SERVICE, 3],
        "resume": [SERVICE, 3],
        "detach": [SERVICE],
    }
    took = {name: [] for name in commands}
    for _ in range(sizes.repeats):
        for name, arguments in commands.items():
            took[name].append(milliseconds(tools.reuseportd, name, *arguments))
    milliseconds(tools.reuseportd, "attach", "--workers", workers, "--service", SERVICE)
    top_ms = measure_top(tools, sizes)
    milliseconds(tools.reuseportd, "detach", SERVICE)
    server.stop()
    result = {name: {"median_ms": statistics.median([ms for ms, _ in times]),
                     "max_ms": max(ms for ms, _ in times),
                     "cpu_ms": statistics.median([cpu for _, cpu in times]), "ms": [ms for ms, _ in times]}
              for name, times in took.items()}
    return {**result, "top": {"cpu_ms": top_ms}}
