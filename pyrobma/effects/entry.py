"""Stage 1's door: read effect sizes in every usual form, check and convert them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._switchers import for_switchers
from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects._clusters import labels, number_clusters
from pyrobma.effects._columns import Rows, read_columns
from pyrobma.effects._data_scale import on_data_scale
from pyrobma.effects._doubts import doubt_copies, doubt_precision
from pyrobma.effects._missing import Missing, check_missing, rows_with_estimates
from pyrobma.effects._numbers import DOMAINS, as_floats
from pyrobma.effects._spread import own_standard_errors
from pyrobma.effects._tables import AnyTable, column_names, read_table
from pyrobma.effects.convert import Measure, check_measure
from pyrobma.effects.data import DATA_SCALES, EffectSizes
from pyrobma.effects.pvalues import as_p_values
from pyrobma.errors import DataError, DataWarning, warn

_EFFECTS: Final[dict[str, Measure]] = {
    "d": "cohens_d",
    "r": "r",
    "z": "fishers_z",
    "logOR": "logOR",
    "OR": "OR",
    "y": "none",
}
_SPREADS: Final = ("se", "v", "n", "t", "p", "lCI", "uCI")
_LABELS: Final = ("study_names", "study_ids")


@for_switchers("effect_sizes(data, d='yi', v='vi')")
def effect_sizes(
    data: AnyTable | EffectSizes | None = None,
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
    p: Any = None,
    lCI: Any = None,
    uCI: Any = None,
    study_names: Any = None,
    study_ids: Any = None,
    transformation: Measure | None = None,
    missing: Missing = "error",
) -> EffectSizes:
    """Read estimates with any usual measure of precision onto one data scale.

    Every argument but the first and the last two is the name of a column of `data`, or
    an array, list or Series of length K (matched by position), of NumPy, pandas, polars
    or pyarrow. Rows may use different
    arguments: a missing value (NaN, None, pandas.NA) means that the row uses another
    one. Each row needs exactly one effect and exactly one measure of precision.

    Parameters
    ----------
    data : DataFrame, table, mapping, EffectSizes or None
        Table with one row per estimate: of pandas, whose named levels of the index are
        columns too, of polars or pyarrow, or a mapping of names to columns. None if all
        arguments are arrays. Effect sizes made before are returned on the data scale
        asked for.
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
        t or z statistic of the effect, with the effect's sign; beside d, of two groups.
        On t without d, or of other designs, see `smd`, `smd_paired` and
        `smd_one_sample`.
    p : column name or array
        Two-sided p-value of the effect, between 0 and 1. Of "p < .001" give the bound,
        0.001: the standard error is then no smaller than the true one. With y it is
        that of a t test with n − 2 degrees of freedom where `n` is given too.
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
    missing : {"error", "drop"}
        What to do with rows that have no effect, or no measure of precision: refuse
        them, or leave them out with a warning that says which.

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
        If all of several estimates share one cluster, rows are dropped or look like
        copies of others, or `se` looks like variances, or `v` like standard errors.

    Notes
    -----
    A confidence interval of d or r is taken as symmetric on Fisher's z. With t or p,
    the sample size is that of a two-sample (d) or correlation (r; with p also z) t
    test, and the standard error follows from it; see `se_from_p` on p beside other
    effects. Effects are converted nonlinearly, standard errors as `transform_se` says.

    Examples
    --------
    >>> effects = effect_sizes(d=[0.5, None], r=[None, 0.3], se=[0.2, None],
    ...                        n=[None, 80])
    >>> effects.y.round(4)
    array([0.2475, 0.3095])
    """
    estimates, _ = estimates_and_rows(
        data, d=d, r=r, z=z, logOR=logOR, OR=OR, y=y, se=se, v=v, n=n, t=t, p=p,
        lCI=lCI, uCI=uCI, study_names=study_names, study_ids=study_ids,
        transformation=transformation, missing=missing,
    )  # fmt: skip
    return estimates


def estimates_and_rows(
    data: AnyTable | EffectSizes | None,
    *,
    transformation: Measure | None,
    missing: Missing,
    **columns: Any,
) -> tuple[EffectSizes, BoolArray]:
    """Return what `effect_sizes` does, and which rows of the table these are.

    Parameters
    ----------
    data, transformation, missing
        As in `effect_sizes`.
    **columns
        All of its other arguments.
    """
    check_missing(missing)
    effects, spreads, ids = (
        {name: columns[name] for name in names}
        for names in (_EFFECTS, _SPREADS, _LABELS)
    )
    if isinstance(data, EffectSizes):
        _refuse_arguments({**effects, **spreads, **ids})
        made = data if transformation is None else data.convert(transformation)
        return made, np.ones(made.K, dtype=bool)
    data = read_table(data)
    _refuse_incomplete(data, effects, spreads)
    values, rows = read_columns(data, {**effects, **spreads, **ids})
    cluster_ids = texts(values.get("study_ids"), rows.K)
    names = study_labels(texts(values.get("study_names"), rows.K), cluster_ids)
    rows = replace(rows, names=names)
    numbers = {
        name: as_p_values(values[name], rows.where)
        if name == "p"
        else as_floats(name, values[name], rows.where)
        for name in (*_EFFECTS, *_SPREADS)
        if name in values
    }
    target = _target(transformation, numbers)
    keep = rows_with_estimates(numbers, tuple(_EFFECTS), _SPREADS, rows, missing)
    numbers = {name: array[keep] for name, array in numbers.items()}
    names = tuple(name for name, here in zip(names, keep, strict=True) if here)
    rows = rows.kept(keep)
    kinds = _kinds(numbers, rows)
    y_own, se_own, kinds, source = own_standard_errors(numbers, kinds, rows)
    measures = tuple(_EFFECTS[str(kind)] for kind in kinds)
    given = {**effects, **spreads, **ids}
    doubt_precision(
        None if data is None else data[keep], given, numbers, y_own, measures, source
    )
    doubt_copies(data, given, numbers, values, keep, rows)
    y_data, se_data = on_data_scale(
        y_own, se_own, kinds, measures, source, target, numbers, rows
    )
    cluster, cluster_labels = cluster_numbers(cluster_ids, keep)
    made = EffectSizes(
        y=y_data,
        se=se_data,
        measure=target,
        original=measures,
        names=names,
        cluster=cluster,
        cluster_labels=cluster_labels,
    )
    return made, keep


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
    columns = () if data is None else column_names(data)
    alike = [name for _, group in missing for name in group if name in columns]
    hint = ", ".join(f'{name}="{name}"' for name in alike)
    remedy = f"Did you mean {hint}?" if hint else "Name its column or give an array."
    if what == "an effect" and (spreads["t"] is not None or spreads["p"] is not None):
        remedy += (
            " Of t or p alone, smd, smd_paired, smd_one_sample and correlation_z "
            "compute effects and variances."
        )
    raise DataError(
        f"{names[0]}: expected {what}, one or more of {', '.join(names)}; got none. "
        f"{remedy}"
    )


def texts(values: Any, K: int) -> list[str | None]:
    """Return ids or names as text, one for each of K rows; None where there is none."""
    return [None] * K if values is None else labels(values)


def study_labels(given: list[str | None], ids: list[str | None]) -> tuple[str, ...]:
    """Return names, or ids that occur once, or numbers."""
    count = Counter(ids)
    alone = (label if count[label] == 1 else None for label in ids)
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


def cluster_numbers(
    given: list[str | None], keep: BoolArray
) -> tuple[IntArray, tuple[str | None, ...]]:
    """Return numbers and labels of the clusters of the rows that are kept."""
    ids = [label for label, here in zip(given, keep, strict=True) if here]
    K = len(ids)
    cluster, cluster_labels = number_clusters(ids)
    if K > 1 and len(cluster_labels) == 1:
        warn(
            f"study_ids: expected two clusters or more; got all {K} estimates in "
            f'"{cluster_labels[0]}". The mean effect and the effect of that cluster '
            "cannot be told apart, so priors decide on them and on rho. Leave out "
            "study_ids if the estimates are independent.",
            DataWarning,
        )
    return cluster, cluster_labels
