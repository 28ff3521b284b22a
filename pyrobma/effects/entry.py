"""Stage 1's door: read effect sizes in every usual form, check and convert them."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects._clusters import labels, number_clusters
from pyrobma.effects._columns import Rows, read_columns
from pyrobma.effects._numbers import DOMAINS, as_floats
from pyrobma.effects._spread import own_standard_errors
from pyrobma.effects.convert import (
    LETTERS,
    Measure,
    check_measure,
    transform_effect,
)
from pyrobma.effects.convert_se import SMALLEST_N, implied_n, transform_se
from pyrobma.effects.data import DATA_SCALES, EffectSizes
from pyrobma.errors import DataError, DataWarning

_EFFECTS: Final[dict[str, Measure]] = {
    "d": "cohens_d",
    "r": "r",
    "z": "fishers_z",
    "logOR": "logOR",
    "OR": "OR",
    "y": "none",
}
_SPREADS: Final = ("se", "v", "n", "t", "lCI", "uCI")


def effect_sizes(
    data: pd.DataFrame | EffectSizes | None = None,
    *,
    d: Any = None,
    r: Any = None,
    z: Any = None,
    logOR: Any = None,
    OR: Any = None,
    y: Any = None,
    se: Any = None,
    v: Any = None,
    n: Any = None,
    t: Any = None,
    lCI: Any = None,
    uCI: Any = None,
    study_names: Any = None,
    study_ids: Any = None,
    transformation: Measure | None = None,
) -> EffectSizes:
    """Read estimates with any usual measure of precision onto one data scale.

    Every argument but the first and the last is the name of a column of `data`, or an
    array, list or Series of length K (matched by position). Rows may use different
    arguments: a missing value (NaN, None, pandas.NA) means that the row uses another
    one. Each row needs exactly one effect and exactly one measure of precision.

    Parameters
    ----------
    data : DataFrame, EffectSizes or None
        Table with one row per estimate. None if all arguments are arrays. Effect sizes
        made before are returned on the data scale asked for.
    d, r, z : column name or array
        Cohen's d (two groups of equal size), correlation in (-1, 1), Fisher's z.
    logOR, OR : column name or array
        Log odds ratio; odds ratio, positive. `se`, `v` and `t` given with an odds
        ratio are on the log scale, `lCI` and `uCI` on that of the odds ratio.
    y : column name or array
        Effects in units of their own, which cannot be mixed with the measures above.
    se, v : column name or array
        Standard error, or variance, of the row's effect on its own measure; positive.
    n : column name or array
        Total sample size, whole and positive; for d, r and z.
    t : column name or array
        t or z statistic of the effect, with the effect's sign.
    lCI, uCI : column name or array
        Bounds of the effect's 95 % confidence interval, on its own measure.
    study_names : column name or array, optional
        Labels. None, and missing names, give the id of an estimate that shares it with
        no other, or "Study 1", "Study 2", ...
    study_ids : column name or array, optional
        Estimates with the same id share a cluster. Ids that occur once, and missing
        ids, stand for independent estimates. Text, numbers and categories work.
    transformation : {"fishers_z", "cohens_d", "r", "logOR", "none"}, optional
        Data scale. None means "fishers_z", or "none" if `y` is given.

    Returns
    -------
    EffectSizes
        The estimates in row order. A single estimate is legal: its heterogeneity is
        then known from the prior only.

    Raises
    ------
    DataError
        If an argument cannot be read, a row has none or several effects or measures
        of precision, a value is missing, infinite or outside its range, or a
        standardised effect on its way to Fisher's z has a sample size, given or
        implied by the standard error, of 3 or less.

    Warns
    -----
    DataWarning
        If all of several estimates share one cluster.

    Notes
    -----
    A confidence interval of d or r is taken as symmetric on Fisher's z. With t, the
    sample size is that of a two-sample (d) or correlation (r) t test, and the standard
    error follows from it. Effects are converted nonlinearly, standard errors as
    `transform_se` says.

    Examples
    --------
    >>> effects = effect_sizes(d=[0.5, None], r=[None, 0.3], se=[0.2, None],
    ...                        n=[None, 80])
    >>> effects.y.round(4)
    array([0.2475, 0.3095])
    """
    effects = {"d": d, "r": r, "z": z, "logOR": logOR, "OR": OR, "y": y}
    spreads = {"se": se, "v": v, "n": n, "t": t, "lCI": lCI, "uCI": uCI}
    ids = {"study_names": study_names, "study_ids": study_ids}
    if isinstance(data, EffectSizes):
        _refuse_arguments({**effects, **spreads, **ids})
        return data if transformation is None else data.convert(transformation)
    _refuse_incomplete(data, effects, spreads)
    values, rows = read_columns(data, {**effects, **spreads, **ids})
    names = _names(values.get("study_names"), values.get("study_ids"), rows.K)
    rows = replace(rows, names=names)
    numbers = {
        name: as_floats(name, values[name], rows.where)
        for name in (*_EFFECTS, *_SPREADS)
        if name in values
    }
    target = _target(transformation, numbers)
    kinds = _kinds(numbers, rows)
    y_own, se_own, kinds, source = own_standard_errors(numbers, kinds, rows)
    y_data, se_data = _convert(y_own, se_own, kinds, source, target, numbers, rows)
    cluster, cluster_labels = _clusters(values.get("study_ids"), rows.K)
    return EffectSizes(
        y=y_data,
        se=se_data,
        measure=target,
        original=tuple(_EFFECTS[str(kind)] for kind in kinds),
        names=names,
        cluster=cluster,
        cluster_labels=cluster_labels,
    )


def _refuse_arguments(arguments: dict[str, Any]) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise DataError(
            f"{given[0]}: expected no columns beside effect sizes that are already "
            f"made; got {', '.join(given)}. Give the original table instead."
        )


def _refuse_incomplete(
    data: pd.DataFrame | None, effects: dict[str, Any], spreads: dict[str, Any]
) -> None:
    missing = []
    if all(value is None for value in effects.values()):
        missing.append(("an effect", tuple(effects)))
    if all(value is None for value in spreads.values()):
        missing.append(("a measure of precision", tuple(spreads)))
    if not missing:
        return
    what, names = missing[0]
    # Columns that are called like the arguments are the likely meaning.
    columns = data.columns if isinstance(data, pd.DataFrame) else ()
    alike = [name for _, group in missing for name in group if name in columns]
    hint = ", ".join(f'{name}="{name}"' for name in alike)
    remedy = f"Did you mean {hint}?" if hint else "Name its column or give an array."
    raise DataError(
        f"{names[0]}: expected {what}, one or more of {', '.join(names)}; got none. "
        f"{remedy}"
    )


def _names(values: Any, ids: Any, K: int) -> tuple[str, ...]:
    given: list[str | None] = [None] * K if values is None else labels(values)
    own: list[str | None] = [None] * K if ids is None else labels(ids)
    count = Counter(own)
    alone = (label if count[label] == 1 else None for label in own)
    return tuple(
        name or label or f"Study {row + 1}"
        for row, (name, label) in enumerate(zip(given, alone, strict=True))
    )


def _target(transformation: object, numbers: dict[str, FloatArray]) -> Measure:
    raw = "y" in numbers
    if raw and (others := [n for n in _EFFECTS if n in numbers and n != "y"]):
        raise DataError(
            "y: expected effects in units of their own, without standardised ones; "
            f"got y and {', '.join(others)}. Analyse them apart, or put all of them "
            "in y on one scale."
        )
    if transformation is None:
        return "none" if raw else "fishers_z"
    target = check_measure("transformation", transformation, DATA_SCALES)
    if raw != (target == "none"):
        given = next(iter(numbers))
        expected = '"none" with y' if raw else f"a standardised measure with {given}"
        raise DataError(
            f'transformation: expected {expected}; got "{target}". Effects in units '
            "of their own (y) cannot be converted, and others always have a measure."
        )
    return target


def _kinds(numbers: dict[str, FloatArray], rows: Rows) -> Any:
    """Return each row's effect argument, after checking that it has just one."""
    given = [name for name in _EFFECTS if name in numbers]
    if len(given) == 1:
        present = np.ones((1, rows.K), dtype=np.bool_)
    else:
        present = np.array([~np.isnan(numbers[name]) for name in given])
    count = present.sum(axis=0)
    listed = ", ".join(given)
    rows.refuse(
        count == 0,
        listed,
        "one effect per row",
        lambda row: "none",
        "Fill in one of them or drop the row.",
    )
    rows.refuse(
        count > 1,
        listed,
        "one effect per row",
        lambda row: _named(given, present[:, row]),
        "Keep one of them and set the others to missing.",
    )
    for name, mask in zip(given, present, strict=True):
        rows.refuse(
            mask & DOMAINS[name].excludes(numbers[name]),
            name,
            DOMAINS[name].text,
            numbers[name],
            "Correct the value or drop the row.",
        )
    return np.array(given, dtype=object)[present.argmax(axis=0)]


def _named(names: list[str], present: BoolArray) -> str:
    return " and ".join(n for n, p in zip(names, present, strict=True) if p)


def _convert(
    y: FloatArray,
    se: FloatArray,
    kinds: Any,
    source: Any,
    target: Measure,
    numbers: dict[str, FloatArray],
    rows: Rows,
) -> tuple[FloatArray, FloatArray]:
    """Convert each row from its own measure to the data scale."""
    y_data, se_data = y.copy(), se.copy()
    for kind in dict.fromkeys(kinds):
        own = _EFFECTS[str(kind)]
        if own == target:
            continue
        mask = kinds == kind
        if target == "fishers_z":
            _refuse_small(y, se, mask, own, source, numbers, rows)
        y_data[mask] = transform_effect(y[mask], own, target)
        se_data[mask] = transform_se(se[mask], y[mask], own, target)
    # Numbers near the end of the floating-point range can leave it here.
    bad = ~(np.isfinite(y_data) & np.isfinite(se_data) & (se_data > 0.0))
    rows.refuse(
        bad,
        ", ".join(dict.fromkeys(kinds[bad])),
        f'an estimate that "{target}" can hold',
        y,
        "Check its unit, or choose another transformation.",
    )
    return y_data, se_data


def _refuse_small(
    y: FloatArray,
    se: FloatArray,
    mask: BoolArray,
    own: Measure,
    source: Any,
    numbers: dict[str, FloatArray],
    rows: Rows,
) -> None:
    n = np.full(rows.K, np.inf)
    n[mask] = implied_n(y[mask], se[mask], own)
    # A given n of 3 comes back as 3 up to rounding.
    small = n <= SMALLEST_N * (1.0 + 1e-12)
    if not small.any():
        return
    name, letter = str(source[np.argmax(small)]), LETTERS[own]
    noun = {
        "se": "a standard error that implies a sample size",
        "v": "a variance that implies a sample size",
        "n": "a sample size",
        "t": "a t statistic that implies a sample size",
        "lCI": "an interval that implies a sample size",
    }[name]

    def got(row: int) -> str:
        size = "" if name == "n" else f", a sample size of {n[row]:.4g},"
        return f"{float(numbers[name][row])!r} with {letter} = {float(y[row])!r}{size}"

    rows.refuse(
        small,
        name,
        f"{noun} above {SMALLEST_N:g}, as Fisher's z needs",
        got,
        f'Correct it, drop the row, or choose transformation="{own}".',
    )


def _clusters(values: Any, K: int) -> tuple[IntArray, tuple[str | None, ...]]:
    ids: list[str | None] = [None] * K if values is None else labels(values)
    cluster, cluster_labels = number_clusters(ids)
    if K > 1 and len(cluster_labels) == 1:
        warnings.warn(
            f"study_ids: expected two clusters or more; got all {K} estimates in "
            f'"{cluster_labels[0]}". The mean effect and the effect of that cluster '
            "cannot be told apart, so priors decide on them and on rho. Leave out "
            "study_ids if the estimates are independent.",
            DataWarning,
            stacklevel=3,
        )
    return cluster, cluster_labels
