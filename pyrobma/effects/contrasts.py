"""Contrasts of factors: what the coefficients of a factor's columns mean."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import DataError

Contrasts: TypeAlias = Literal["meandif", "orthonormal", "treatment"]
"""How the levels of a factor become columns.

"meandif": deviations from the unweighted grand mean, all with one prior whatever the
number of levels. "orthonormal": the same columns, orthonormal. "treatment":
differences from the first level.
"""

CONTRASTS: Final[tuple[str, ...]] = get_args(Contrasts)


def contrast_matrix(contrasts: str, levels: int) -> FloatArray:
    r"""Return the columns that code the levels of a factor.

    Parameters
    ----------
    contrasts : {"meandif", "orthonormal", "treatment"}
        See `Contrasts`.
    levels : int
        Number of levels L, at least 2.

    Returns
    -------
    array of shape (L, L - 1)
        A row for each level. For "orthonormal" the columns Q have :math:`Q'Q = I` and
        :math:`QQ' = I - 11'/L`; for "meandif" they are divided by
        :math:`\sqrt{1 - 1/L}`, so that rows have norm 1: with independent
        Normal(0, s) coefficients the deviation of each level from the grand mean is
        Normal(0, s) [1]_. For "treatment" they are indicators of all but the first.

    Raises
    ------
    DataError
        On another name.

    Notes
    -----
    Q is that of Helmert. A rotation of its columns changes no marginal likelihood, and
    no deviation of a level, because the prior is the same in all directions.

    References
    ----------
    .. [1] Rouder J. N., Morey R. D., Speckman P. L., Province J. M. (2012). Default
       Bayes factors for ANOVA designs. J. Math. Psych. 56(5).
       doi:10.1016/j.jmp.2012.08.001
    """
    check_contrasts(contrasts)
    if contrasts == "treatment":
        return np.eye(levels)[:, 1:]
    columns = np.zeros((levels, levels - 1))
    for j in range(1, levels):
        columns[:j, j - 1] = 1.0
        columns[j, j - 1] = -j
        columns[:, j - 1] /= np.sqrt(j * (j + 1.0))
    return columns / np.sqrt(1 - 1 / levels) if contrasts == "meandif" else columns


def check_contrasts(contrasts: object) -> None:
    """Refuse a name of contrasts that there is not."""
    if contrasts not in CONTRASTS:
        raise DataError(
            f"contrasts: expected one of {', '.join(CONTRASTS)}; got {contrasts!r}."
        )
