"""The design matrix of a meta-regression: intercept and coded moderators."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrobma._format import listed
from pyrobma._types import FloatArray, IntArray
from pyrobma.effects.moderators import Moderators, Mods, read_moderators
from pyrobma.errors import DataError, DataWarning

if TYPE_CHECKING:
    import pandas as pd

INTERCEPT = "intercept"

_DEPENDENT = 1e-10
"""Of a column's norm: what the columns before may leave of it by rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Columns of the mean, the intercept first.

    Attributes
    ----------
    x : array of shape (K, P)
        The columns, linearly independent.
    labels : tuple of str, length P
        Of the columns.
    terms : dict of str to array of int
        Places of each term's columns, without the intercept.
    moderators : Moderators
        They code new rows alike.
    """

    x: FloatArray
    labels: tuple[str, ...]
    terms: dict[str, IntArray]
    moderators: Moderators

    @property
    def slopes(self) -> IntArray:
        """Places of all columns but the intercept."""
        return np.arange(1, len(self.labels))

    def rows(self, newdata: Any) -> FloatArray:
        """Return rows of the design for new values of the moderators.

        Parameters
        ----------
        newdata : DataFrame, mapping, array, or None
            Columns by name, as in the formula; a mapping may hold single values for
            all rows. An array of shape (n, P - 1) holds coded columns in the order of
            `labels`. None means the rows of the fit.

        Returns
        -------
        array of shape (n, P)

        Raises
        ------
        DataError
            If columns lack or are not as in the fit.
        """
        import pandas as pd

        if newdata is None:
            return self.x
        if isinstance(newdata, Mapping):
            newdata = _table(newdata)
        if isinstance(newdata, pd.DataFrame):
            columns = self.moderators.design(newdata)
        else:
            columns = self._coded(newdata)
        return np.column_stack([np.ones(len(columns)), columns])

    def _coded(self, values: Any) -> FloatArray:
        columns = np.asarray(values, dtype=float)
        n = self.slopes.size
        if columns.ndim == 1:
            columns = columns.reshape(-1, n) if columns.size % n == 0 else columns
        if columns.ndim != 2 or columns.shape[1] != n:
            raise DataError(
                f"newdata: expected rows of {n} numbers, for "
                f"{listed(self.labels[1:])}; got an array of shape {columns.shape}. "
                "Give a DataFrame of the moderators instead."
            )
        if not np.isfinite(columns).all():
            raise DataError(
                "newdata: expected finite numbers; got missing or infinite ones. "
                "Leave these rows out."
            )
        return columns


def _table(values: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    try:
        columns = np.broadcast_arrays(*map(np.atleast_1d, values.values()))
    except ValueError as error:
        lengths = [np.size(value) for value in values.values()]
        raise DataError(
            f"newdata: expected columns of one length, or single values; got lengths "
            f"{listed([str(n) for n in lengths])}. Give a value for each row."
        ) from error
    return pd.DataFrame(dict(zip(values, columns, strict=True)))


def read_design(mods: Mods, data: pd.DataFrame | None, k: int, *, spare: int) -> Design:
    """Code moderators for a meta-regression.

    Parameters
    ----------
    mods : str, sequence of str, DataFrame, mapping or Moderators
        As for `read_moderators`. Numbers stay as they are and factors have treatment
        contrasts; a `Moderators` keeps its own coding.
    data : DataFrame or None
        Table that `mods` refers to.
    k : int
        Number of estimates.
    spare : int
        How many estimates more than coefficients there must be, at least.

    Returns
    -------
    Design

    Raises
    ------
    DataError
        If the moderators cannot be read, or their coefficients not be estimated.
    """
    with warnings.catch_warnings():
        # they say what priors will do; what fails without priors is refused below
        warnings.simplefilter("ignore", DataWarning)
        moderators, _ = read_moderators(
            mods, data, K=k, contrasts="treatment", standardize=False
        )
    x = np.column_stack([np.ones(k), moderators.columns])
    labels = (INTERCEPT, *moderators.labels)
    if k < len(labels) + spare:
        more = "more estimates than" if spare else "at least as many estimates as"
        raise DataError(
            f"mods: expected {more} coefficients; got {len(labels)} coefficients, with "
            f"the intercept, for {k} estimates. Leave moderators out."
        )
    _refuse_dependent(x, labels)
    ends = np.cumsum([1, *(term.columns.shape[1] for term in moderators.terms)])
    terms = {
        term.name: np.arange(start, end)
        for term, start, end in zip(moderators.terms, ends[:-1], ends[1:], strict=True)
    }
    return Design(x, labels, terms, moderators)


def _refuse_dependent(x: FloatArray, labels: tuple[str, ...]) -> None:
    """Refuse columns that are combinations of those before them."""
    norms = np.linalg.norm(x, axis=0)
    scaled = x / np.where(norms > 0.0, norms, 1.0)
    _, r = np.linalg.qr(scaled)
    left = np.abs(np.diag(r))
    if (left > _DEPENDENT).all():
        return
    column = int(np.argmax(left <= _DEPENDENT))
    share = np.linalg.lstsq(scaled[:, :column], scaled[:, column], rcond=None)[0]
    others = [labels[i] for i in np.flatnonzero(np.abs(share) > 1e-6)]
    raise DataError(
        f"mods: expected linearly independent columns; got {labels[column]}, which "
        f"is a combination of {listed(others) if others else 'nothing'}. "
        "Leave one of them out."
    )
