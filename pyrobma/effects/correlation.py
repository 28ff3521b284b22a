"""Fisher's z of correlations and of their tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pyrobma.effects._reported import REMEDY, check_counts, read_reported, t_statistics
from pyrobma.effects._tables import AnyTable
from pyrobma.errors import DataError


def correlation_z(
    data: AnyTable | None = None,
    *,
    r: Any = None,
    n: Any = None,
    df: Any = None,
    t: Any = None,
    F: Any = None,
    p: Any = None,
    sign: Any = None,
    sides: Any = 2,
) -> pd.DataFrame:
    """Return Fisher's z of correlations, or of tests of correlations.

    Of several, the first of r, t, F and p that a row has is used.

    Parameters
    ----------
    data : DataFrame, table, mapping or None
        Table in which a string names a column; any that `effect_sizes` takes.
    r : column name or array of shape (K,)
        Correlations in (-1, 1).
    n : column name or array of shape (K,)
        Sample sizes, whole, at least 4.
    df : column name or array of shape (K,)
        Degrees of freedom, above 1, used in place of n − 2 where they are given, e.g.
        n − 2 − k of a partial correlation given k other variables.
    t, F, p, sign, sides
        As for `smd`, of the correlation, or of a coefficient of a regression, which
        gives the partial correlation.

    Returns
    -------
    DataFrame
        Columns `yi` = atanh(r) and `vi` = 1/(df − 1), which is 1/(n − 3), with the
        index of a pandas `data`. The correlations themselves are tanh(yi).

    Raises
    ------
    DataError
        If a value is missing or outside its range, or lengths differ.

    Notes
    -----
    A test gives r = t / √(t² + df) [1]_, [2]_.

    References
    ----------
    .. [1] Rosenthal (1994). Parametric measures of effect size. In Cooper, Hedges
       (eds.), The Handbook of Research Synthesis, 231-244.
    .. [2] Aloe, Thompson (2013). The synthesis of partial effect sizes. Journal of the
       Society for Social Work and Research 4(4), 390-405. doi:10.5243/jsswr.2013.24

    Examples
    --------
    >>> correlation_z(r=[0.3, None], t=[None, 2.1], n=[80, 45]).round(4)
           yi      vi
    0  0.3095  0.0130
    1  0.3150  0.0238
    """
    reported = read_reported(
        data,
        {
            "r": r,
            "n": n,
            "df": df,
            "t": t,
            "F": F,
            "p": p,
            "sign": sign,
            "sides": sides,
        },
        {name: (name,) for name in ("r", "t", "F", "p")},
    )
    rows, own, value = reported.rows, reported.source == "r", reported.get("r")
    rows.refuse(
        own & ~(np.abs(value) < 1.0),
        "r",
        "correlations between -1 and 1, both excluded",
        value,
        REMEDY,
    )
    if n is None and df is None:
        raise DataError(
            "n: expected sample sizes n, or degrees of freedom df; got None. Give the "
            "numbers."
        )
    size, degrees = reported.get("n"), reported.get("df")
    sized = np.isnan(degrees) if n is not None else np.full(rows.K, False)
    check_counts(size, "n", 4, rows, sized)
    rows.refuse(
        ~sized & ~((degrees > 1.0) & (degrees < np.inf)),
        "df",
        "degrees of freedom above 1",
        degrees,
        REMEDY,
    )
    degrees = np.where(sized, size - 2.0, degrees)
    yi = np.arcsinh(t_statistics(reported, degrees) / np.sqrt(degrees))
    yi[own] = np.arctanh(value[own])
    return reported.table(yi, 1.0 / (degrees - 1.0))
