"""What RoBMA prints in its vignettes and tests beside what pyrobma finds.

Theirs are in ``robma.csv``, a source with each; exact numbers in ``exact.csv``, from
``quadrature.py --recompute``. The analyses take about five minutes on one core.
"""

from __future__ import annotations

import argparse
import math

import cases
import comparison
import pandas as pd

KEY = ["case", "what", "name", "given", "scale"]
TEXT = (
    "Made by `robma.py` from `robma.csv` and `exact.csv`. Exact numbers are by "
    "quadrature (`exact.py`), where it reaches; an empty place is one where it does "
    "not. Bayes factors have the error of their logarithm times the factor."
)
UNITS = {"r": "on r", "fishers_z": "on Fisher's z", "": ""}
WORDS = {
    "logml": "log marginal likelihood of model", "bf": "Bayes factor of",
    "probability": "posterior probability of", "lower": "2.5 % of",
    "upper": "97.5 % of", "median": "median of", "mean": "mean of",
}  # fmt: skip


def theirs(path: str = "robma.csv") -> pd.DataFrame:
    """Return the numbers of others, every column as text."""
    return pd.read_csv(comparison.HERE / path, dtype=str, keep_default_na=False)


def exact() -> pd.Series:
    """Return the numbers by quadrature, by what they are."""
    table = theirs("exact.csv")
    return pd.Series(
        table["exact"].astype(float).to_numpy(), table[KEY].agg("|".join, axis=1)
    )


def described(row: pd.Series) -> str:
    """Return what a number is in words."""
    kind, _, what = row["what"].rpartition(" ")
    words = f"{WORDS[what]} {row['name']}"
    if kind == "marginal":
        words = words.replace(" of ", " of the marginal mean of ")
    if row["given"]:
        words += ", given it is there"
    return f"{words} {UNITS[row['scale']]}".strip()


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Return our numbers beside theirs."""
    known = exact()
    made = []
    for _, row in rows.iterrows():
        own = cases.ours(
            row["case"], row["what"], row["name"], row["given"], row["scale"]
        )
        made.append(
            comparison.Comparison(
                described(row), row["theirs"], own.value, own.error,
                float(known.get("|".join(row[KEY]), math.nan)), row["reason"],
                row["source"],
            )
        )  # fmt: skip
    return comparison.frame(made)


def main() -> None:
    """Print the tables, and write them if all of them were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", help="only these analyses")
    chosen = parser.parse_args().case
    rows = theirs()
    parts = {}
    for case, some in rows.groupby("case", sort=False):
        if chosen is None or case in chosen:
            parts[str(case)] = compare(some)
            print(f"\n{case}\n\n{comparison.markdown(parts[str(case)])}", flush=True)
    if chosen is None:
        comparison.write("robma", "RoBMA's printed numbers", parts, TEXT)


if __name__ == "__main__":
    main()
