# SPDX-License-Identifier: BSD-2-Clause
"""The tables that tools/bench prints, and the limits that they name."""
import os

FLAT_LIMIT = 0.20  # growth of the program's cost per SYN from 8 to 1,024 slots
OTHERS_LIMIT = 0.05  # share of the machine that other processes may use during a measurement
PAIRS_MIN = 7

PROGRAMS = ("round-robin", "sticky", "skip-stuck", "least-connections")


def print_steering(steering):
    rows = {(row["program"], row["slots"]): row for row in steering["rows"]}
    print(f"The steering program, nanoseconds a SYN (medians of {steering['rounds']:,} pairs)\n")
    for pair in (PROGRAMS[:2], PROGRAMS[2:]):
        print(f"{'':8}" + "".join(f"{program:^30}" for program in pair))
        print("   slots" + 2 * "       net   error   own clock" + "   a SYN in all")
        for slots in sorted({slots for _, slots in rows}):
            line = f"{slots:>8,}"
            for program in pair:
                row = rows[program, slots]
                line += (f"{row['net_ns']:10.0f}{row['net_error_ns']:8.1f}"
                         f"{row['own_clock_ns']:12.0f}")
            print(f"{line}{row['empty_syn_ns']:15,.0f}")
        print()
    print(f"""\
  net        the time that the kernel spends on a SYN, minus the same time with an
             empty program, which leaves the choice to the kernel's hash. Both are
             measured on the same listeners, in turns of 64 SYNs. So net contains
             neither the cost of an empty program nor of reading the chosen
             listener, which both choices need. The listeners have no place for
             another handshake, so that each SYN is dropped there, which keeps times
             short and even. No connection waits, and no worker is stuck.
             Round robin reads its tables in order, the hash reads its table at
             random: with many slots, net falls.
  error      standard error of net
  own clock  the run time of the program as the kernel measures it, minus that of
             an empty program ({rows[PROGRAMS[0], 8]['empty_run_ns']:.0f} ns). It contains the wait for a listener that is
             not in the CPU's cache, as the program reads it first. With an empty
             program the same wait follows the run. So own clock grows with the
             number of slots, and net doesn't.

  From 8 slots to more, net of round robin grows by at most {steering['growth']['round-robin']:.0%} (limit {FLAT_LIMIT:.0%}), and net of
  sticky by {steering['growth']['sticky']:.0%}. Sticky reads its tables at random, so its growth depends on how much of
  the CPU's cache the rest of the machine uses.""")


def print_ring_updates(updates):
    print("\n\nReplacing the ring: computing it, and writing and activating it\n")
    print("   slots   compute, us   write, us   updates a second")
    for row in updates:
        per_second = 1e6 / (row["compute_us"] + row["write_us"])
        print(f"{row['slots']:>8,}{row['compute_us']:14.1f}{row['write_us']:12.2f}"
              f"{per_second:19,.0f}")
    print("\n  CPU time. A command (below) also reads the workers' state and waits for the kernel.")


def print_connections(it):
    base, ours = it["names"]
    server = f"{it['workers']} {'nginx' if it['server'] == 'Nginx' else 'C'} workers"
    print(f"\n  {server:14}{base:>9}{ours:>10}    ratio   quartiles        range")
    for what, label, digits in (("per_second", "a second", 0), ("cpu_us", "CPU us of each", 2),
                                ("wakeups", "wake-ups, each", 2)):
        row = it[what]
        print(f"  {label:14}{row[base]:9,.{digits}f}{row[ours]:10,.{digits}f}"
              f"{row['ratio']:9.3f}   {row['quartiles'][0]:.3f} to {row['quartiles'][1]:.3f}   "
              f"{row['range'][0]:.3f} to {row['range'][1]:.3f}")
    print(f"  {it['undisturbed']} of {len(it['pairs'])} pairs had the machine for themselves; "
          f"judged by {it['judged_by']}: {it['judged_ratio']:.3f}")


def print_legend(sizes):
    print(f"""
  New connections, one request each. plain: by the kernel's hash; steered: by the
  steering program with --no-count; counted: without --no-count.
  Medians of pairs of {sizes.leg_seconds} s on the same processes; a ratio is the median of the
  pairs' ratios. Client and workers share the {os.cpu_count()} cores of this machine: compare the
  columns with each other, not with a server that has the cores to itself.
  CPU: of client and workers together. Wake-ups: of workers. If there are more
  workers than cores, an even distribution gives a worker fewer connections per
  wake-up than the hash, which gives it several at once. This is a cost of
  evenness, not of the program. In an undisturbed pair other processes used at most
  {OTHERS_LIMIT:.0%} of the machine. With fewer than {PAIRS_MIN} undisturbed pairs, CPU time is judged
  instead, as it bounds connections a second.""")


def print_counting(counting, empty_ns):
    def net(side, name):
        """Nanoseconds of a connection in this program, minus those of an empty one."""
        return counting[side][name]["ns"] - counting[side][name]["runs"] * empty_ns

    programs = ("on_state", "on_state_again")
    first, second = (net("ours", name) for name in programs)
    changes = counting["ours"]["on_state"]["runs"]
    ours, foreign = (sum(counting[side][name]["ns"] for name in programs)
                     for side in ("ours", "foreign"))
    others = foreign / counting["foreign"]["on_state"]["runs"]
    print(f"""

Counting, nanoseconds for a connection, minus two empty programs: {first:.0f} in the first program,
{second:.0f} in the second, which sees what the first can't. Both run at each of the {changes:.1f} changes of
state of a connection, the client's too; empty ones would take {2 * changes * empty_ns:.0f} (the floor).
Half of the changes are the client's, at {others:.0f} each: a server alone, with its clients elsewhere,
pays {ours - changes / 2 * others:.0f} of {ours:.0f}.""")


def print_commands(by_workers, repeats):
    print("\n\nCommands, milliseconds from start to exit: median of "
          f"{repeats}, the longest, CPU time\n")
    print("           " + "".join(f"{int(workers):>21,} workers" for workers in by_workers))
    for name in next(iter(by_workers.values())):
        label = "(start)" if name == "--version" else name
        print(f"  {label:9}" + "".join(
            "".join(f"{it[name][key]:{width}.1f}" if key in it[name] else f"{'-':>{width}}"
                    for key, width in (("median_ms", 11), ("max_ms", 9), ("cpu_ms", 9)))
            for it in by_workers.values()))
    print("\n  Each worker is a process. (start): `reuseportd --version`, the cost of any command.\n"
          "  top: one refresh; top refreshes once a second.")
