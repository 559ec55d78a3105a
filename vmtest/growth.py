#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The growth check: fails if a BPF program has become larger, harder to verify or slower by more
than a tenth, compared with the record for the kernel in growth.json. Runs in a guest.

usage: growth.py MODE BUILD OBJECT...

Sizes and the verifier's counts are exact for a kernel and a compiler. The cost of a run, as a ratio
to a run of an empty program, is exact if the machine counts instructions as time (MODE "counted");
in other modes it is not checked. `vmtest/run --record` updates the record."""
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
ADVICE = "'vmtest/run --record' updates the record"


def compiler_of(path):
    """The clang that compiled a BPF object, according to its debugging information."""
    found = re.search(rb"clang version (\d+)", pathlib.Path(path).read_bytes())
    return f"clang {found[1].decode()}" if found else "unknown"


def key(release):
    """The key of a kernel in the record: 6.1 for 6.1.0-37-cloud-amd64."""
    return ".".join(re.findall(r"\d+", release)[:2])


def rows_of(*argv):
    """Runs a program. Returns the lines of JSON that it prints."""
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
        for policy in sorted(row.keys() - {"empty", "slots", "cpus", "switches"}):
            values[f"steer.{policy}.cost"] = round(statistics.median(row[policy]) / empty, 3)
    return values


def judge(name, value, recorded):
    """Prints the outcome of one value, and returns it."""
    if recorded is None:
        print(f"skipped {name}: {value}; the record has no value; {ADVICE}")
        return "skipped"
    if value > recorded * (1 + LIMIT):
        print(f"FAILED {name}: grew from {recorded} to {value}, by {value / recorded - 1:.1%}; the"
              f" limit is {LIMIT:.0%}; if the growth is needed, {ADVICE}")
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
    if "RPD_RECORD" in os.environ:  # the values are recorded, not checked
        print(f"ok growth: {len(values)} values")
        outcomes = ["passed"]
    elif record["compiler"] != compiler:
        print(f"skipped growth: compiled by {compiler}, but the record is for {record['compiler']}")
        outcomes = ["skipped"]
    elif not recorded:
        print(f"skipped growth: the record has no Linux {kernel}; {ADVICE}")
        outcomes = ["skipped"]
    else:
        # The size of machine code depends on the processor.
        outcomes = [judge(name, value, recorded.get(name)) for name, value in values.items()
                    if counted or not name.endswith("jited_bytes")]
    print(", ".join(f"{outcomes.count(it)} {it}" for it in ("passed", "failed", "skipped")))
    return 1 if "failed" in outcomes else 0


def record(lines):
    """Writes the measurements of guests to the record. Values of other kernels are kept if they are
    for the same compiler."""
    rows = [json.loads(line) for line in lines]
    heads = [row for row in rows if "compiler" in row]
    if not heads or not all(row["counted"] for row in heads):
        raise SystemExit("vmtest/run: nothing was recorded: --record needs an emulated machine that"
                         " counts instructions (--cpus 1, without KVM)")
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
