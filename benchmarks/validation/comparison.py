"""Verdicts on two numbers, and the tables of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ERRORS = 4.0
"""Standard errors that a number may be off; 6e-5 of normal errors are more."""

EQUAL = "equal to printed digits"
WITHIN = "within Monte Carlo error"
THEIRS = "their Monte Carlo error"
UNEXPLAINED = "not explained"


def half_unit(text: str) -> float:
    """Return half a unit of the last digit of a printed number."""
    exponent = Decimal(text).as_tuple().exponent
    return 0.5 * 10.0**exponent if isinstance(exponent, int) else 0.0


@dataclass(frozen=True)
class Comparison:
    """One of their numbers beside ours.

    Attributes
    ----------
    what : str
        What the number is.
    theirs : str
        As printed.
    ours : float
    error : float
        Our Monte Carlo standard error; 0 if there is none.
    exact : float
        By quadrature; NaN if there is no such number.
    reason : str
        Why the two may differ; empty if they should not.
    source : str
    """

    what: str
    theirs: str
    ours: float
    error: float
    exact: float
    reason: str
    source: str

    @property
    def difference(self) -> float:
        """Ours minus theirs."""
        return self.ours - float(self.theirs)

    @property
    def verdict(self) -> str:
        """What the difference is.

        Equal: it rounds to what they print. Within Monte Carlo error: not more than
        four of our errors more. Theirs: ours is within four errors of quadrature, and
        theirs is not. A named reason counts only where ours agrees with quadrature.
        """
        off = abs(self.difference)
        half = half_unit(self.theirs) * (1 + 1e-9)
        if off <= half:
            return EQUAL
        if off <= half + ERRORS * self.error:
            return WITHIN
        if not math.isnan(self.exact) and not agrees(self):
            return UNEXPLAINED
        if self.reason:
            return self.reason
        return UNEXPLAINED if math.isnan(self.exact) else THEIRS


def agrees(one: Comparison) -> bool:
    """Return whether our number is that of quadrature."""
    # Quantiles at a spike, and models without unknowns, are exact on both sides.
    slack = 1e-6 * max(1.0, abs(one.exact))
    return abs(one.ours - one.exact) <= ERRORS * one.error + slack


def frame(rows: Iterable[Comparison]) -> pd.DataFrame:
    """Return one row for each comparison."""
    return pd.DataFrame(
        {
            "quantity": row.what,
            "theirs": row.theirs,
            "ours": row.ours,
            "our error": row.error,
            "exact": row.exact,
            "difference": row.difference,
            "verdict": row.verdict,
            "source": row.source,
        }
        for row in rows
    )


def digits(value: float, error: float) -> str:
    """Return a number with one digit more than its error lets it have."""
    if math.isnan(value):
        return ""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if abs(value) >= 1e6:
        return f"{value:.4g}"
    places = min(6, max(0, 1 - math.floor(math.log10(error)))) if error > 0 else 6
    return f"{value:.{places}f}"


def markdown(table: pd.DataFrame) -> str:
    """Return a table of comparisons, without sources and columns that are empty."""
    shown = pd.DataFrame({"quantity": table["quantity"], "theirs": table["theirs"]})
    errors = table["our error"]
    shown["ours"] = [digits(v, e) for v, e in zip(table["ours"], errors, strict=True)]
    if (errors > 0).any():
        shown["our error"] = [f"{e:.2g}" for e in errors]
    if table["exact"].notna().any():
        shown["exact"] = [digits(v, 1e-5) for v in table["exact"]]
    shown["difference"] = [f"{v:.2g}" for v in table["difference"]]
    shown["verdict"] = table["verdict"]
    return shown.to_markdown(index=False, disable_numparse=True)


def counts(table: pd.DataFrame) -> str:
    """Return how often there is each verdict, the commonest first."""
    found = table["verdict"].value_counts()
    return pd.DataFrame(
        {"verdict": found.index, "numbers": found.to_numpy()}
    ).to_markdown(index=False)


def write(name: str, title: str, parts: Mapping[str, pd.DataFrame], text: str) -> str:
    """Write the tables of a topic as CSV and Markdown; return the Markdown.

    Parameters
    ----------
    name : str
        Of the files in `results`.
    title, text : str
        What stands above the tables.
    parts : mapping of str to DataFrame
        From `frame`, by heading.
    """
    RESULTS.mkdir(exist_ok=True)
    whole = pd.concat(parts, names=["part", "row"]).reset_index("part")
    whole.to_csv(RESULTS / f"{name}.csv", index=False, lineterminator="\n")
    blocks = [f"# {title}", text, counts(whole)]
    for heading, table in parts.items():
        sources = "; ".join(dict.fromkeys(table["source"]))
        blocks += [f"## {heading}", f"Theirs: {sources}.", markdown(table)]
    page = "\n\n".join(blocks) + "\n"
    (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
    return page
