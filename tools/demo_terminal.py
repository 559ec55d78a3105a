# SPDX-License-Identifier: BSD-2-Clause
"""What tools/demo prints: charts, promises, and commands with their output."""
import json
import os
import subprocess
import sys
from pathlib import Path

BAR = 22  # the longest bar of a chart
BUILD = Path(sys.argv[1])
REUSEPORTD = BUILD / "user/reuseportd"

broken = []  # promises that were not kept


def styled(style, text):
    codes = {"bold": "1", "good": "32", "bad": "1;31", "dim": "2"}
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[{codes[style]}m{text}\033[0m"


def print_line(text=""):
    print(text, flush=True)


def headline(text):
    print_line("\n" + styled("bold", text) + "\n")


def promise(kept, text):
    if not kept:
        broken.append(text)
    print_line("  " + (styled("good", "[kept]   ") if kept else styled("bad", "[BROKEN] ")) + text)


def bar(value, longest):
    utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
    block, width = ("█" if utf8 else "#"), round(BAR * value / longest) if longest else 0
    return block * max(width, 1 if value else 0)


def chart(labels, *columns):
    """Prints columns side by side: a title, and for each label a bar with its count, or with its
    text if the column has texts."""
    print_line("  " + " " * 12 + "".join(f"{title:<{BAR + 11}}" for title, *_ in columns).rstrip())
    for i, label in enumerate(labels):
        line = f"  {label:<12}"
        for _, values, *texts in columns:
            text = texts[0][i] if texts else f"{values[i]:,}"
            drawn = f"{bar(values[i], max(values))} {text}".lstrip()
            line += f"{drawn:<{BAR + 11}}"
        print_line(line.rstrip())
    print_line()


# ---- Commands ----

def print_command(words):
    print_line("  " + styled("bold", "$ reuseportd " + " ".join(words)))


def reuseportd(*arguments, echo=True, code=0):
    """Prints and runs a command, which must end with that exit status. Returns its output."""
    words = [str(word) for word in arguments]
    if echo:
        print_command(words)
    done = subprocess.run([REUSEPORTD, *words], capture_output=True, text=True, check=False)
    if done.returncode != code:
        print_line(done.stderr.rstrip())
        sys.exit(f"tools/demo: `reuseportd {' '.join(words)}` failed")
    if echo:
        for line in (done.stdout + done.stderr).rstrip().splitlines():
            print_line("  " + styled("dim", line) if line else "")
        print_line()
    return done.stdout


def status(*service):
    return json.loads(reuseportd("status", *service, "--json", echo=False))
