#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The gate of growth: sees that BPF programs have not become larger, harder to verify or slower by
more than a tenth of what is recorded for the kernel in growth.json. Runs in a guest.

usage: growth.py MODE BUILD OBJECT...

Sizes and what the verifier counts are exact for a kernel and a compiler. So is what a run costs, a
ratio to a run of an empty program, where the clock goes by instructions (MODE "counted"); elsewhere
it isn't looked at. `vmtest/run --record` records anew."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RECORD = HERE / "growth.json"
LIMIT = 0.10
EXACT = ("verified_insns", "xlated_bytes", "jited_bytes")
ADVICE = "vmtest/run --record records it anew"


def compiler_of(path):
    """The clang that a BPF object is of, as its debugging information tells."""
    found = re.search(rb"clang version (\d+)", pathlib.Path(path).read_bytes())
    return f"clang {found[1].decode()}" if found else "unknown"


def key(release):
    """By which a kernel is recorded: 6.1 of 6.1.0-37-cloud-amd64."""
    return ".".join(re.findall(r"\d+", release)[:2])


def rows_of(*argv):
    """What a program prints as lines of JSON."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def measure(build, objects, counted):
    """{name: value}"""
    values = {}
    for row in rows_of(build / "vmtest/vmtest_programs", *objects):
        for what in EXACT:
            values[f"{row['object']}.{row['program']}.{what}"] = row[what]
    if counted:
        [row] = rows_of(build / "vmtest/vmtest_steering", "--rounds", 9, "--batch", 256)
        empty = statistics.median(row["empty"])
        for policy in ("round-robin", "sticky"):
            values[f"steer.{policy}.cost"] = round(statistics.median(row[policy]) / empty, 3)
    return values


def judge(name, value, recorded):
    """Prints the outcome of one value; returns which it is."""
    if recorded is None:
        print(f"skipped {name}: {value}, and nothing is recorded; {ADVICE}")
        return "skipped"
    if value > recorded * (1 + LIMIT):
        print(f"FAILED {name}: grew from {recorded} to {value}, by {value / recorded - 1:.1%}, where"
              f" {LIMIT:.0%} may be; if it has to be, {ADVICE}")
        return "failed"
    print(f"ok {name}: {value}, recorded {recorded}")
    return "passed"


def main():
    counted, build, objects = sys.argv[1] == "counted", pathlib.Path(sys.argv[2]), sys.argv[3:]
    kernel, compiler = key(os.uname().release), compiler_of(objects[0])
    record = json.loads(RECORD.read_text())
    values = measure(build, objects, counted)
    print("measured " + json.dumps({"kernel": kernel, "compiler": compiler, "counted": counted}))
    for name, value in values.items():
        print("measured " + json.dumps({"kernel": kernel, "name": name, "value": value}))
    recorded = record["kernels"].get(kernel, {})
    if "RPD_RECORD" in os.environ:  # what is to be recorded isn't judged
        print(f"ok growth: {len(values)} values")
        outcomes = ["passed"]
    elif record["compiler"] != compiler:
        print(f"skipped growth: programs are of {compiler}, the record is of {record['compiler']}")
        outcomes = ["skipped"]
    elif not recorded:
        print(f"skipped growth: nothing is recorded for Linux {kernel}; {ADVICE}")
        outcomes = ["skipped"]
    else:
        # Machine code depends on the processor that it is for.
        outcomes = [judge(name, value, recorded.get(name)) for name, value in values.items()
                    if counted or not name.endswith("jited_bytes")]
    print(", ".join(f"{outcomes.count(it)} {it}" for it in ("passed", "failed", "skipped")))
    return 1 if "failed" in outcomes else 0


def record(lines):
    """Takes what guests have measured into the record; what other kernels have stays, if it is of
    the same compiler."""
    rows = [json.loads(line) for line in lines]
    heads = [row for row in rows if "compiler" in row]
    if not heads or not all(row["counted"] for row in heads):
        raise SystemExit("vmtest/run: nothing was recorded: that needs an emulated machine that "
                         "counts instructions")
    kept = json.loads(RECORD.read_text())
    if kept["compiler"] != heads[0]["compiler"]:
        kept = {"compiler": heads[0]["compiler"], "kernels": {}}
    for head in heads:
        kept["kernels"][head["kernel"]] = {row["name"]: row["value"] for row in rows
                                           if row["kernel"] == head["kernel"] and "name" in row}
    kept["kernels"] = dict(sorted(kept["kernels"].items(),
                                  key=lambda it: [int(n) for n in it[0].split(".")]))
    RECORD.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
