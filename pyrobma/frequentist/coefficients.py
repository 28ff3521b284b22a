"""Coefficients of a meta-regression: tables, tests by term, predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.frequentist.design import Design
from pyrobma.frequentist.intervals import around
from pyrobma.frequentist.report import p_value, percent, table
from pyrobma.frequentist.wald import (
    WaldTest,
    chi2_test,
    coefficient_table,
    f_test,
    quadratic_form,
    standard_errors,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """Coefficients with their model-based covariance.

    Attributes
    ----------
    design : Design
        Whose columns they belong to.
    estimate : array of shape (P,)
        The coefficients.
    factor : array of shape (P, P)
        Factor F of their covariance F F'; nan for coefficients that are not finite.
    df : float or None
        Degrees of freedom of t and F; None means the normal and chi².
    level : float
        Coverage of the intervals, 0 to 1.
    """

    design: Design
    estimate: FloatArray
    factor: FloatArray
    df: float | None
    level: float

    def table(self) -> pd.DataFrame:
        """Return tests of zero and intervals, one row a coefficient."""
        df = None if self.df is None else np.full(self.estimate.size, self.df)
        return coefficient_table(
            self.design.labels,
            self.estimate,
            standard_errors(self.factor),
            df,
            self.level,
        )

    def test(self, rows: IntArray) -> WaldTest:
        """Test that some coefficients are all zero."""
        form = quadratic_form(self.estimate, self.factor, rows)
        if self.df is None:
            return chi2_test(form, rows.size)
        return f_test(form / rows.size, rows.size, self.df)

    def predict(self, newdata: Any, tau2: float | FloatArray) -> pd.DataFrame:
        """Mean effects and true effects of rows.

        `tau2` is one for all, or one for each row; nan leaves true effects out.
        """
        import pandas as pd

        x = self.design.rows(newdata)
        fit = x @ self.estimate
        se = standard_errors(x @ self.factor)
        spread = np.hypot(se, np.sqrt(tau2))
        index = newdata.index if isinstance(newdata, pd.DataFrame) else None
        half, wide = (
            around(0.0, 1.0, level=self.level, df=self.df).upper * sd
            for sd in (se, spread)
        )
        return pd.DataFrame(
            {
                "fit": fit,
                "se": se,
                "ci_lower": fit - half,
                "ci_upper": fit + half,
                "prediction_lower": fit - wide,
                "prediction_upper": fit + wide,
            },
            index=index,
        )


def term_tests(design: Design, test: Callable[[IntArray], WaldTest]) -> pd.DataFrame:
    """Return tests of the coefficients of each term, one row a term."""
    import pandas as pd

    tests = {name: test(rows) for name, rows in design.terms.items()}
    return pd.DataFrame.from_dict(tests, orient="index", columns=list(WaldTest._fields))


def covariance_table(design: Design, factor: FloatArray) -> pd.DataFrame:
    """Return the covariance F F' with the labels of the coefficients on both axes."""
    import pandas as pd

    labels = list(design.labels)
    return pd.DataFrame(factor @ factor.T, index=labels, columns=labels)


# ---- as text ---------------------------------------------------------------
def coefficient_lines(
    frame: pd.DataFrame, level: float, *, letter: str, df: bool = False
) -> str:
    """Table of coefficients, with `letter` over the statistic.

    Parameters
    ----------
    frame : DataFrame
        As `coefficient_table` makes it.
    level : float
        Coverage of the intervals.
    letter : str
        "z" or "t".
    df : bool
        Whether to show degrees of freedom.
    """
    ends = (f"{percent(level)} {end}" for end in ("lower", "upper"))
    freedom = ["df"] if df else []
    rows: list[list[str | float]] = [
        [
            str(label), row.estimate, row.se, row.statistic,
            *([_degrees(row.df)] if df else []),
            p_value(row.p), row.lower, row.upper,
        ]
        for label, row in frame.iterrows()
    ]  # fmt: skip
    return table(["", "estimate", "se", letter, *freedom, "p", *ends], rows)


def test_lines(overall: WaldTest, terms: pd.DataFrame) -> str:
    """Table of the tests of all moderators and of each term, if there are several."""
    return wald_lines(overall, terms, statistic="QM", everything="all moderators")


def wald_lines(
    overall: WaldTest, terms: pd.DataFrame, *, statistic: str, everything: str
) -> str:
    """Table of a test of all terms and of each, if there are several.

    `statistic` heads the column of chi² statistics, `everything` is the name of the
    test of all.
    """
    tests = [
        (str(name), WaldTest(*row))
        for name, row in zip(terms.index, terms.itertuples(index=False), strict=True)
    ]
    if len(tests) > 1:
        tests.insert(0, (everything, overall))
    chi2 = math.isinf(overall.df2)
    rows: list[list[str | float]] = [
        [
            name, test.statistic, str(int(test.df)),
            *([] if chi2 else [_degrees(test.df2)]), p_value(test.p),
        ]
        for name, test in tests
    ]  # fmt: skip
    return table(["", *([statistic, "df"] if chi2 else ["F", "df", "df2"]), "p"], rows)


def _degrees(df: float) -> str:
    if math.isnan(df):
        return ""
    return f"{df:.0f}" if float(df).is_integer() else f"{df:.2f}"
