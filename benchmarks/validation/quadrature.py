"""Whole ensembles against quadrature: log MLs, Bayes factors, means, quantiles.

The exact numbers are in ``exact.csv``; ``--recompute`` finds them again with the oracle
of ``tests/oracle``, which takes some minutes and two gigabytes. Without it only our
half is computed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable

import cases
import comparison
import exact
import numpy as np
import pandas as pd
import robma

MISS = 0.01
"""What a log marginal likelihood that matters is promised to be known to."""
KINDS = {
    "log ML": "logml", "log BF": ".*bf", "mean": ".*mean",
    "quantile": ".*(?:lower|median|upper)",
}  # fmt: skip
TEXT = (
    "Made by `quadrature.py`. Largest: of the differences of log marginal likelihoods "
    "from the exact ones; off: how many of them are more than 0.01. z is our "
    "difference over our stated Monte Carlo error: its root mean square and, in "
    "brackets, the largest. Quantiles at a spike have no error and no z. Numbers of "
    "an analysis are of one run and depend on each other."
)


def recompute(chosen: Iterable[str]) -> None:
    """Find exact numbers again, and keep the others."""
    path = comparison.HERE / "exact.csv"
    columns = [*robma.KEY, "exact", "error"]
    old = (
        pd.read_csv(path, dtype=str, keep_default_na=False)
        if path.exists()
        else pd.DataFrame(columns=columns)
    )
    for case in chosen:
        began = time.perf_counter()
        rows = [
            [case, row.what, row.name, row.given, row.scale, f"{row.exact:.10g}",
             "" if math.isnan(row.error) else f"{row.error:.1e}"]
            for row in exact.EXACT[case]()
        ]  # fmt: skip
        new = pd.DataFrame(rows, columns=columns)
        old = pd.concat([old[old["case"] != case], new])
        old.to_csv(path, index=False, lineterminator="\n")
        print(
            f"{case}: {len(new)} numbers, {time.perf_counter() - began:.0f} s",
            flush=True,
        )


def compare(case: str) -> pd.DataFrame:
    """Return our number, the exact one and z, for all exact numbers of a case."""
    table = robma.theirs("exact.csv").query("case == @case")
    made = []
    for _, row in table.iterrows():
        own = cases.ours(case, row["what"], row["name"], row["given"], row["scale"])
        true = float(row["exact"])
        off, error = own.value - true, own.error
        if row["what"].endswith("bf"):
            off, error = math.log(own.value / true), own.error / own.value
        slack = float(row["error"] or 0) / (true if row["what"].endswith("bf") else 1)
        made.append(
            {
                "what": row["what"], "quantity": robma.described(row), "exact": true,
                "ours": own.value, "error": error, "difference": off,
                # The oracle's own error is no fault of ours.
                "z": math.copysign(max(0.0, abs(off) - slack), off) / error
                if error > 1e-9
                else math.nan,
            }
        )  # fmt: skip
    return pd.DataFrame(made)


def spread(z: pd.Series) -> str:
    """Return the root mean square and the largest of some z."""
    some = z.dropna()
    if some.empty:
        return ""
    return f"{np.sqrt((some**2).mean()):.2f} ({some.abs().max():.1f})"


def summarised(case: str, table: pd.DataFrame) -> dict[str, object]:
    """Return the row of an analysis."""
    parts = {
        kind: table[table["what"].str.fullmatch(pattern)]
        for kind, pattern in KINDS.items()
    }
    off = parts["log ML"]["difference"].abs()
    row: dict[str, object] = {
        "analysis": case, "models": str(len(off)), "largest": f"{off.max():.1g}",
        "off": str((off > MISS).sum()),
    }  # fmt: skip
    return row | {f"z of {kind}": spread(part["z"]) for kind, part in parts.items()}


def page(whole: pd.DataFrame) -> str:
    """Return the page of all analyses, from their numbers."""
    logml = whole[whole["what"] == "logml"]
    z = whole["z"].dropna()
    text = (
        f"Of {len(logml)} log marginal likelihoods "
        f"{(logml['difference'].abs() > MISS).sum()} are off by more than {MISS}; the "
        f"largest difference is {logml['difference'].abs().max():.3f}. Of {len(z)} "
        f"numbers with an error {(z.abs() > comparison.ERRORS).sum()} are off by more "
        f"than {comparison.ERRORS:.0f} of them; the largest z is {z.abs().max():.1f}."
    )
    rows = [
        summarised(str(c), part) for c, part in whole.groupby("analysis", sort=False)
    ]
    rows.append(summarised("all", whole))
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    return "\n\n".join(["# Ensembles against quadrature", TEXT, text, table]) + "\n"


def main() -> None:
    """Print the table and write it with all numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=sorted(exact.EXACT))
    parser.add_argument(
        "--recompute", action="store_true", help="the exact numbers too"
    )
    arguments = parser.parse_args()
    chosen = arguments.case or list(exact.EXACT)
    if arguments.recompute:
        recompute(chosen)
    every = {}
    for case in chosen:
        every[case] = compare(case)
        print(summarised(case, every[case]), flush=True)
    if arguments.case:
        return
    whole = pd.concat(every, names=["analysis", "row"]).reset_index("analysis")
    whole.to_csv(
        comparison.RESULTS / "quadrature.csv",
        index=False, lineterminator="\n", float_format="%.8g",
    )  # fmt: skip
    text = page(whole)
    (comparison.RESULTS / "quadrature.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
