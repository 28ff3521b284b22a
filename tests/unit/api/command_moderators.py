"""What the tests of the command's two formulas share."""

from __future__ import annotations

from pyrobma.commands import main

SMALL = ["--no-bias", "--seed", "1", "--draws", "250", "--chains", "2", "--quiet"]
SIDES = ["--priors-effect-null", "none", "--priors-heterogeneity-null", "none"]
# Text that a CSV file has is read back to the last digit or nearly so.
READ = 1e-12


def fit(table, out, *more):
    columns = ["--d", "d", "--se", "se", "--out", str(out)]
    return main(["fit", str(table), *columns, *SMALL, *more])
