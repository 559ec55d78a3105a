# SPDX-License-Identifier: BSD-2-Clause
"""A deployment that is followed on a terminal."""
from deploys import QUICK, Deploys
from harness.checks import cases, check, equal, timeout
from runs import worker_command
from terminal import Terminal

TITLES = ("web: canary from v1 to", "  share [", "  steps [5% 1s], 100%",
          "  why   no traffic to judge the step by")


@timeout(240)
@cases("80", "40")
def test_follow(bed, case):
    """It is drawn in place, also if lines are longer than the terminal is wide."""
    run = Deploys(bed, worker_command(bed), *QUICK, workers=2)
    terminal = Terminal(bed, bed.binary("reuseportd"), "deploy", run.name, "--strategy", "canary",
                        "--steps", "5% 1s", "--warm-up", "0", "--step-deadline", "1s", "--label",
                        "v2-with-a-label-that-is-so-long", columns=int(case))
    equal(terminal.wait(90), 5, "exit status")
    screen = terminal.screen
    equal(screen.faults, [], "faults")
    for title in TITLES:
        n = sum(line.startswith(title[:int(case)]) for line in screen.lines())
        check(n == 1, f"{n} lines begin with '{title}':\n{screen.text()}")
    check("waitsfor`promote`or`abort`:notraffic" in "".join(screen.text().split()), screen.text())
