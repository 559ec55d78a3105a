#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs in a guest with a kernel that is too old: reuseportd must report it and change nothing.

usage: refusal.py REUSEPORTD WORKER"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

PORT = 8080
FREED_SECONDS = 20  # the kernel frees BPF objects after grace periods
BPFFS = pathlib.Path("/sys/fs/bpf")
MISSING = "connection migration"
SINCE = "Linux 5.14"


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def reuseportd(*arguments):
    done = subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, timeout=120,
                          check=False)
    text = f"{' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done, text


def bpf_objects():
    """All BPF objects in the kernel."""
    objects = []
    for kind in ("prog", "map", "link"):
        rows = subprocess.run(["bpftool", "--json", kind, "show"], capture_output=True, text=True,
                              check=True).stdout
        objects += [f"{kind} {row['id']} {row.get('name', '')}" for row in json.loads(rows or "[]")]
    return objects


def expect_untouched():
    check(not list(BPFFS.iterdir()), f"pinned: {list(BPFFS.iterdir())}")
    end = time.monotonic() + FREED_SECONDS
    while (objects := bpf_objects()) and time.monotonic() < end:
        time.sleep(0.05)
    check(not objects, f"in the kernel: {objects}")
    left = [path for top in ("/run", "/sys/fs/cgroup") for path in
            pathlib.Path(top).rglob("*reuseportd*")]
    check(not left, f"left: {left}")


def expect_refused(*arguments):
    done, text = reuseportd(*arguments)
    check(done.returncode == 1, f"should exit with 1: {text}")
    check(not done.stdout, f"should print nothing: {text}")
    for word in (MISSING, SINCE, os.uname().release):
        check(word in done.stderr, f"should name '{word}': {text}")
    expect_untouched()


def case_attach():
    expect_refused("attach", "--workers", "2")


def case_attach_and_watch():
    expect_refused("attach", "--workers", "2", "--watch")


def case_attach_any():
    expect_refused("attach", "--workers", "any", "--port", str(PORT), "--wait", "1")


def case_doctor():
    done, text = reuseportd("doctor")
    check(done.returncode == 1, f"should exit with 1: {text}")
    check(MISSING in done.stdout and SINCE.split()[1] in done.stdout,
          f"should name the reason: {text}")
    expect_untouched()


def case_doctor_json():
    done, text = reuseportd("doctor", "--json")
    check(done.returncode == 1, f"should exit with 1: {text}")
    failed = [row["check"] for row in json.loads(done.stdout) if row["verdict"] == "fail"]
    check(MISSING in failed, f"should name '{MISSING}': {failed}")
    expect_untouched()


def case_list():
    done, text = reuseportd("list", "--json")
    check(done.returncode == 0 and json.loads(done.stdout) == [], f"should list nothing: {text}")
    expect_untouched()


def case_workers_still_answer():
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", PORT), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            check(client.recv(4096).startswith(b"HTTP/1.1 200 "), "the answer is not 200")


CASES = (case_attach, case_attach_and_watch, case_attach_any, case_doctor, case_doctor_json,
         case_list, case_workers_still_answer)


def main():
    failed = 0
    workers = [subprocess.Popen([sys.argv[2], "--port", str(PORT), "--id", f"w{i}"],
                                stdout=subprocess.PIPE, text=True) for i in range(2)]
    for worker in workers:
        while not worker.stdout.readline().startswith("ready"):
            check(worker.poll() is None, "a worker ended")
    for case in CASES:
        name = case.__name__.removeprefix("case_")
        try:
            case()
            print(f"ok {name}", flush=True)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"FAILED {name}: {why}", flush=True)
    for worker in workers:
        worker.kill()
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
