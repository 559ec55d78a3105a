# SPDX-License-Identifier: BSD-2-Clause
"""What clients notice of workers in trouble, by the way in which connections are dealt: the
measurement of `tools/bench load`."""
import re
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from harness.bed import Bed  # noqa: E402
from harness.checks import Failure, check  # noqa: E402
from harness.dealing import WORKERS, SkipStuck, Steered  # noqa: E402
from harness.trouble import (CLIENTS, LATE_MS, LONG, PLACES, ROUND_TRIP, SCENARIOS,  # noqa: E402
                             WORK, Place, Sizes, measure_round, ways, ways_of)

BLOCKED_TIMES, BLOCKED_SLACK_MS = 1.2, 10  # with a blocked worker, compared with healthy ones
GIVEN_LIMIT = 2  # connections that a worker gets after this can be seen
HUNG_RATIO = 0.85  # connections a second, of those of seven healthy workers
LONG_LIMIT = 1.2  # most connections of a worker / mean, after a restart
UNEVEN_LIMIT = 1  # most - least connections of a worker: the last turn of the ring may be a part
FULL = Sizes(seconds=3, rounds=5, lifetime=30)
QUICK = Sizes(seconds=0.3, rounds=1, lifetime=3)
QUICK_SCENARIOS = {"loopback": ("healthy", "hung", "long"), "link": ("blocked",)}


def measure_load(build, quick, only, progress):
    """{"place": {"scenario": {"way": [figures of each round]}}}"""
    sizes = QUICK if quick else FULL
    result = {}
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        bed = Bed(build, folder)
        try:
            for name in PLACES:
                result[name] = measure_place(Place(bed, name), selected(name, quick, only), sizes,
                                             progress)
        except Failure as why:
            sys.exit(f"tools/bench: {why}\n{bed.logs()}")
        finally:
            bed.close()
    return {"seconds": sizes.seconds, "rounds": sizes.rounds, "lifetime": sizes.lifetime,
            "ways": [way.name for way in ways()], "places": result}


def selected(place, quick, only):
    """The scenarios to measure, in their order."""
    if only:
        found = [scenario for scenario in SCENARIOS if re.search(only, scenario)]
        return found or sys.exit(f"tools/bench: no scenario has a name that matches {only}")
    return QUICK_SCENARIOS[place] if quick else SCENARIOS


def measure_place(place, scenarios, sizes, progress):
    """{"scenario": {"way": [figures of each round]}}"""
    order = [way.name for way in ways()] + ["seven workers"]
    rows = {scenario: {} for scenario in scenarios}
    for number in range(sizes.rounds):
        for scenario in scenarios:
            progress(f"round {number + 1} of {sizes.rounds} {PLACES[place.name]}: "
                     f"{SCENARIOS[scenario].lower()}")
            figures = measure_round(place, ways_of(scenario), scenario, sizes, number)
            check_counts(scenario, figures)
            for way in sorted(figures, key=order.index):
                rows[scenario].setdefault(way, []).append(figures[way])
    return rows


def check_counts(scenario, figures):
    """Checks what is true at any speed of the machine."""
    if scenario == "hung":
        ours, plain = figures["skip-stuck"]["lost"], figures["hash"]["lost"]
        check(2 * ours < plain, f"hung: clients lost: skip-stuck {ours}, hash {plain}")
        return
    # A handshake that ends at the moment in which the old worker's listener closes is reset.
    limit = 2 if scenario == "long" else 0
    for way in (way.name for way in ways_of(scenario) if issubclass(way, Steered)):
        check(figures[way]["lost"] <= limit,
              f"{scenario}, {way}: clients got no answer: {figures[way]}")
    if scenario == "healthy":
        row = figures["round robin"]
        check(row["uneven"] <= UNEVEN_LIMIT, f"round robin is not even: {row}")


def median_of(rows, what):
    return statistics.median(row[what] for row in rows)


# ---- Limits ----

def verdict(name, value, limit, ok):
    return {"name": name, "value": value, "limit": limit, "ok": ok}


def at_most(name, value, limit):
    return verdict(name, value, limit, value <= limit)


def verdicts_load(result):
    checks = []
    for place, scenarios in result["places"].items():
        where = PLACES[place]
        checks += verdicts_blocked(place, scenarios) + verdicts_hung(place, scenarios)
        if "long" in scenarios:
            checks.append(at_most(
                f"long {where}: most connections / mean, least-connections",
                median_of(scenarios["long"]["least-connections"], "open_max"), LONG_LIMIT))
    return checks


def verdicts_blocked(place, scenarios):
    if not {"healthy", "blocked"} <= set(scenarios):
        return []
    # The connections that a worker has when it blocks must wait, however they are dealt. If a
    # connection takes T of the second from block to block, these are T / 8 of all: over the link
    # T is more than 22 ms, and 0.28 % exceed the thousandth that p99.9 leaves out.
    what, title = ("p99_ms", "p99") if place == "link" else ("p999_ms", "p99.9")
    above = statistics.median(
        blocked[what] - BLOCKED_TIMES * healthy[what] for blocked, healthy in
        zip(scenarios["blocked"]["skip-stuck"], scenarios["healthy"]["skip-stuck"]))
    return [at_most(f"blocked {PLACES[place]}: ms of {title} above {BLOCKED_TIMES} times that of "
                    "healthy workers, skip-stuck", above, BLOCKED_SLACK_MS),
            at_most(f"blocked {PLACES[place]}: late connections of each block, skip-stuck",
                    median_of(scenarios["blocked"]["skip-stuck"], "late"),
                    CLIENTS // WORKERS + GIVEN_LIMIT)]


def given_limit(place, rows):
    """That a worker hangs can't be seen at once. Of one round trip, it has the handshakes that end
    after that; it gets those of another one, until a connection waits; and then for the time of
    --skip-stuck."""
    turns = median_of(rows, "per_second") / WORKERS
    return GIVEN_LIMIT + turns * (SkipStuck.stuck_after + 2 * ROUND_TRIP[place])


def verdicts_hung(place, scenarios):
    if "hung" not in scenarios:
        return []
    where = PLACES[place]
    rows, seven = scenarios["hung"]["skip-stuck"], scenarios["hung"]["seven workers"]
    ratio = statistics.median(ours["per_second"] / theirs["per_second"]
                              for ours, theirs in zip(rows, seven))
    return [at_most(f"hung {where}: connections given to the worker, skip-stuck",
                    median_of(rows, "given"), given_limit(place, rows)),
            verdict(f"hung {where}: connections a second / those of seven workers, skip-stuck",
                    ratio, HUNG_RATIO, ratio >= HUNG_RATIO)]


# ---- Tables ----

def number(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def spread_of(rows, what):
    """The lowest and the highest of the rounds."""
    values = [row[what] for row in rows]
    return f"({number(min(values))}-{number(max(values))})"


def print_load(result):
    for place, scenarios in result["places"].items():
        for scenario, rows in scenarios.items():
            print(f"\n\n{SCENARIOS[scenario]}, {PLACES[place]}\n")
            if scenario == "long":
                print_long(rows)
            else:
                print_short(rows, scenario)
    print(f"""
  Medians: each way was measured {result['rounds']} times, in turns, for {result['seconds']} s and with new
  workers.""")
    print(LEGEND)
    if any("long" in scenarios for scenarios in result["places"].values()):
        print(LONG_LEGEND.format(n=LONG, lifetime=result["lifetime"]))


COLUMNS = (("p50_ms", "p50", 5), ("p99_ms", "p99", 6), ("p999_ms", "p99.9", 6), (None, "", 12),
           ("max_ms", "max", 6), ("per_second", "a second", 9), ("lost", "lost", 5))
MORE_COLUMNS = {"hung": (("given", "given", 6),),
                "blocked": (("open_sd", "SD", 5), ("late", "late", 6)),
                None: (("open_sd", "SD", 5), ("uneven", "apart", 6))}


def print_short(rows, scenario):
    columns = COLUMNS + MORE_COLUMNS.get(scenario, MORE_COLUMNS[None])
    print(f"  {'':17}" + "".join(f"{title:>{width}}" for _, title, width in columns))
    for way, each in rows.items():
        print(f"  {way:17}" + "".join(cell(each, *column) for column in columns))


def cell(rows, what, _, width):
    if not what:
        return f"{spread_of(rows, 'p999_ms'):>{width}}"
    if rows[0][what] is None:
        return ""
    value = median_of(rows, what)
    return f"{number(value) if what.endswith(('ms', 'sd')) else format(value, ',.0f'):>{width}}"


def print_long(rows):
    print(f"  {'':17}{'SD':>6}{'max / mean':>12}{'':>14}{'first second':>14}{'lost':>6}"
          f"{'begun':>8}")
    for way, each in rows.items():
        lowest, highest = (pick(row["open_max"] for row in each) for pick in (min, max))
        print(f"  {way:17}{median_of(each, 'open_sd'):>6.1f}{median_of(each, 'open_max'):>12.2f}"
              f" {f'({lowest:.2f}-{highest:.2f})':13}"
              f"{100 * median_of(each, 'fresh_share'):>12.0f} %{median_of(each, 'lost'):>6.0f}"
              f"{median_of(each, 'connections'):>8,.0f}")


LEGEND = f"""
  {CLIENTS} clients connect again as soon as they are answered, each time with a new
  connection. A worker answers {WORK[1]} ms after the request. The clients use the same
  processors, with a higher priority: compare the rows of a table.

  p50 to max  milliseconds from the begin of a connection to its answer, of the
              connections that were answered; in brackets the lowest and the
              highest p99.9
  a second    connections answered a second
  lost        connections that got no answer: refused, reset, or the time of the
              measurement was over
  given       connections that the worker got after it had stopped to accept;
              those that it got before are not in it
  SD          standard deviation of the open connections of the workers: mean of
              all looks, one each 50 ms
  apart       connections of the worker with the most, minus those of the worker
              with the least
  late        connections that took more than {LATE_MS} ms, each time that the worker
              blocks. Those that it has at that moment are late in any case: some
              {CLIENTS // WORKERS} of {CLIENTS}
  hash        the kernel's choice, without reuseportd
  skip-stuck  round robin with --skip-stuck 1ms; both: least-connections with it
  HAProxy     in front, forwards bytes; without health checks, as the others
  nginx       in front, forwards requests; without health checks
  seven       round robin to seven healthy workers, to compare with"""
LONG_LEGEND = """
  Long-lived: each of {n} connections is closed after a random time of at most
  {lifetime} s, and another one begins. One worker is replaced by a fresh one; the
  clients of the old one connect again when it ends. SD, max / mean: of the open
  connections of the workers, {lifetime} s after that. First second: the share of the
  fresh worker in the connections of the first second (its fair share is 12.5 %).
  Slow start: least-connections with --slow-start 5s."""
