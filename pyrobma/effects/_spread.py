"""Find each estimate's standard error, on its own measure, from what is given."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects._columns import Rows
from pyrobma.effects._numbers import DOMAINS
from pyrobma.effects.convert import OR2logOR, d2z, r2z
from pyrobma.effects.convert_se import (
    SMALLEST_N,
    se_d,
    se_r,
    se_z,
    se_z2se_d,
    se_z2se_r,
)
from pyrobma.effects.pvalues import n_from_p, refuse_p, upper_t
from pyrobma.errors import DataError

NORMAL_975: Final = 1.959963984540054
"""Upper 2.5 % quantile of the standard normal distribution."""

_HAS_N: Final = ("d", "r", "z")
"""Effects whose standard error follows from the sample size."""


def own_standard_errors(
    numbers: dict[str, FloatArray], kinds: Any, rows: Rows
) -> tuple[FloatArray, FloatArray, Any, Any]:
    """Return effects and standard errors, odds ratios on the log scale.

    Parameters
    ----------
    numbers : dict of arrays of shape (K,)
        Effects and measures of precision by argument name, NaN where not used.
    kinds : object array of shape (K,)
        The argument that holds each row's effect, already checked.
    rows : Rows
        How to name a row.

    Returns
    -------
    y, se : arrays of shape (K,)
        Effects and standard errors on the rows' own measures.
    kinds, source : object arrays of shape (K,)
        Argument of each effect ("logOR" for odds ratios) and of its precision.

    Raises
    ------
    DataError
        If a row has none or several measures of precision, or one that is outside its
        range or cannot give a standard error.
    """
    source = _sources(numbers, kinds, rows)
    _refuse_impossible(numbers, kinds, source, rows)
    _check_intervals(numbers, kinds, source, rows)
    y = np.empty(rows.K)
    low, high = np.full(rows.K, np.nan), np.full(rows.K, np.nan)
    for kind in dict.fromkeys(kinds):
        y[kinds == kind] = numbers[kind][kinds == kind]
    interval = source == "lCI"
    if interval.any():
        low, high = numbers["lCI"].copy(), numbers["uCI"].copy()
    ratio = kinds == "OR"
    y[ratio] = OR2logOR(y[ratio])
    low[ratio & interval] = OR2logOR(low[ratio & interval])
    high[ratio & interval] = OR2logOR(high[ratio & interval])
    kinds = np.where(ratio, "logOR", kinds)
    if (source == "t").any():
        _check_t(y, numbers["t"], source == "t", rows)
    n = numbers.get("n", np.full(rows.K, np.nan))
    if (source == "p").any():
        _check_p(y, n, kinds, source == "p", rows)
    se = np.empty(rows.K)
    for kind in dict.fromkeys(kinds):
        for name in dict.fromkeys(source[kinds == kind]):
            m = (kinds == kind) & (source == name)
            if name == "lCI":
                se[m] = _from_interval(kind, y[m], low[m], high[m])
            elif name == "p":
                se[m] = _from_p(kind, y[m], numbers["p"][m], n[m])
            else:
                se[m] = _from_one(kind, name, y[m], numbers[name][m])
    return y, se, kinds, source


def _from_one(kind: str, name: str, y: FloatArray, x: FloatArray) -> FloatArray:
    if name == "se":
        return x
    if name == "v":
        return np.sqrt(x)
    if name == "t":
        if kind not in ("d", "r"):
            return y / x
        # n of the t test of two equal groups, or of a correlation.
        x = 4.0 * (x / y) ** 2 if kind == "d" else 2.0 + x**2 * (1.0 / y**2 - 1.0)
    if kind == "z":
        return se_z(x)
    return se_d(y, x) if kind == "d" else se_r(y, x)


def _from_p(kind: str, y: FloatArray, p: FloatArray, n: FloatArray) -> FloatArray:
    if kind in _HAS_N:
        n = n_from_p(kind, y, p)
        if kind != "z":
            return _from_one(kind, "n", y, n)
    return np.abs(y) / upper_t(p / 2.0, np.where(np.isnan(n), np.inf, n - 2.0))


def _from_interval(
    kind: str, y: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    width = 2.0 * NORMAL_975
    if kind == "d":
        return se_z2se_d((d2z(high) - d2z(low)) / width, d2z(y))
    if kind == "r":
        return se_z2se_r((r2z(high) - r2z(low)) / width, r2z(y))
    return (high - low) / width


def _sources(numbers: dict[str, FloatArray], kinds: Any, rows: Rows) -> Any:
    """Return each row's argument of precision ("lCI" for an interval)."""
    for one, other in (("lCI", "uCI"), ("uCI", "lCI")):
        if one in numbers and other not in numbers:
            raise DataError(
                f"{other}: expected both bounds of the interval; got {one} alone. "
                f"Give {other} as well."
            )
    given = [name for name in ("se", "v", "n", "t", "p", "lCI") if name in numbers]
    if len(given) == 1:
        present = np.ones((1, rows.K), dtype=np.bool_)
    else:
        present = np.array([_present(numbers, name) for name in given])
    if "n" in given and "p" in given:  # with y, n says how p was found
        present[given.index("n")] &= (kinds != "y") | np.isnan(numbers["p"])
    texts = ["lCI/uCI" if name == "lCI" else name for name in given]
    listed = ", ".join(texts)
    count = present.sum(axis=0)
    rows.refuse(
        count == 0,
        listed,
        "one measure of precision per row",
        lambda row: "none",
        "Fill in one of them or drop the row.",
    )
    rows.refuse(
        count > 1,
        listed,
        "one measure of precision per row",
        lambda row: " and ".join(
            n for n, p in zip(texts, present[:, row], strict=True) if p
        ),
        "Keep one of them and set the others to missing.",
    )
    for name, mask in zip(given, present, strict=True):
        for part in ("lCI", "uCI") if name == "lCI" else (name,):
            _check_domain(numbers[part], part, mask, kinds, rows)
    return np.array(given, dtype=object)[present.argmax(axis=0)]


def _present(numbers: dict[str, FloatArray], name: str) -> BoolArray:
    if name == "lCI":
        # One bound alone is a fault of the interval, reported as such later.
        return ~(np.isnan(numbers["lCI"]) & np.isnan(numbers["uCI"]))
    return ~np.isnan(numbers[name])


def _check_domain(
    x: FloatArray, name: str, mask: BoolArray, kinds: Any, rows: Rows
) -> None:
    if name == "p":
        refuse_p(x, mask, mask, rows)
        return
    bad = mask & DOMAINS[name].excludes(x)
    remedy = "Drop the row, or give se."
    if name in ("se", "v"):
        by_n = np.isin(kinds[bad], _HAS_N).all()
        remedy = (
            f"Drop the row, or give n so that {name} can be computed."
            if by_n
            else "Correct the value or drop the row."
        )
    rows.refuse(bad, name, DOMAINS[name].text, x, remedy)
    if name == "n":
        rows.refuse(
            mask & (x != np.round(x)),
            "n",
            "whole total sample sizes",
            x,
            "Give the number of participants, or se.",
        )


def _refuse_impossible(
    numbers: dict[str, FloatArray], kinds: Any, source: Any, rows: Rows
) -> None:
    """Refuse sample sizes for effects whose standard error n does not fix."""
    for kind, remedy in (
        ("y", "Give se, v, t, p or lCI and uCI."),
        ("logOR", "Give se, v, t, p or lCI and uCI."),
        ("OR", "Give se or v (of the log), t, p or lCI and uCI."),
    ):
        rows.refuse(
            (kinds == kind) & (source == "n"),
            "n",
            f"another measure of precision with {kind}, whose standard error n alone "
            "does not give",
            lambda row: "n",
            remedy,
        )
    if "n" in numbers:
        rows.refuse(
            (kinds == "z") & (source == "n") & (numbers["n"] <= SMALLEST_N),
            "n",
            f"sample sizes above {SMALLEST_N:g}, as Fisher's z needs",
            numbers["n"],
            "Drop the row, or give se.",
        )


def _check_t(y: FloatArray, t: FloatArray, mask: BoolArray, rows: Rows) -> None:
    def got(row: int) -> str:
        return f"t = {float(t[row])!r} with effect {float(y[row])!r}"

    zero = (y == 0.0) | (t == 0.0)
    rows.refuse(
        mask & zero,
        "t",
        "t and effect other than 0, which say nothing about the standard error",
        got,
        "Give se for this row.",
    )
    rows.refuse(
        mask & (np.sign(y) != np.sign(t)),
        "t",
        "t with the sign of its effect",
        got,
        "Correct one of the signs, or give se.",
    )


def _check_p(
    y: FloatArray, n: FloatArray, kinds: Any, mask: BoolArray, rows: Rows
) -> None:
    rows.refuse(
        mask & (y == 0.0),
        "p",
        "an effect other than 0, whose p-value says nothing about the standard error",
        y,
        "Give se for this row.",
    )
    beside = mask & (kinds == "y") & ~np.isnan(n)
    rows.refuse(
        beside & ~((n > SMALLEST_N) & (n < np.inf) & (n == np.round(n))),
        "n",
        f"whole total sample sizes above {SMALLEST_N:g} beside p",
        n,
        "Correct the value, or leave it out: p is then that of a z test.",
    )


def _check_intervals(
    numbers: dict[str, FloatArray], kinds: Any, source: Any, rows: Rows
) -> None:
    mask = source == "lCI"
    if not mask.any():
        return
    low, high = numbers["lCI"], numbers["uCI"]
    for kind in dict.fromkeys(kinds[mask]):
        own = mask & (kinds == kind)
        for name, bound in (("lCI", low), ("uCI", high)):
            rows.refuse(
                own & DOMAINS[kind].excludes(bound),
                name,
                f"bounds for {kind} that are {DOMAINS[kind].text}",
                bound,
                "Correct the bound, or give se.",
            )
        effect = numbers[kind]

        def got(row: int, kind: str = kind, effect: FloatArray = effect) -> str:
            interval = f"{float(low[row])!r} to {float(high[row])!r}"
            return f"{kind} = {float(effect[row])!r} with the interval {interval}"

        rows.refuse(
            own & (low >= high),
            "lCI, uCI",
            "a lower bound below the upper one",
            got,
            "Swap or correct the bounds.",
        )
        rows.refuse(
            own & ((effect < low) | (effect > high)),
            "lCI, uCI",
            "an interval that holds its effect",
            got,
            "Check that both are on the same scale.",
        )
