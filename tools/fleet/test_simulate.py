# SPDX-License-Identifier: BSD-2-Clause
"""The simulation of fleets."""
import pathlib
import shutil

from harness.checks import check, equal, timeout

HERE = pathlib.Path(__file__).resolve().parent


@timeout(300)
def test_page(bed):
    """The tables of the manual page are those that the simulation prints."""
    page = HERE.parents[1] / "user/man/reuseportd-fleet.7.in"
    written = bed.dir / page.name
    shutil.copy(page, written)
    result = bed.run(HERE / "simulate", "--build", bed.build, "--write", written, deadline=280)
    equal(result.code, 0, f"exit status of {result}")
    check(written.read_text() == page.read_text(),
          f"tools/fleet/simulate --write {page.relative_to(HERE.parents[1])} changes the page:\n"
          f"{bed.run('diff', page, written).out}")
