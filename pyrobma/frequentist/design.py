"""The design matrix of a meta-regression: intercept and coded moderators."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrobma._format import listed
from pyrobma._types import FloatArray, IntArray
from pyrobma.effects._tables import AnyTable, is_table
from pyrobma.effects.moderators import Moderators, Mods, read_moderators
from pyrobma.errors import DataError, DataWarning

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
    moderators : Moderators or None
        They code new rows alike. None: there is the intercept only.
    """

    x: FloatArray
    labels: tuple[str, ...]
    terms: dict[str, IntArray]
    moderators: Moderators | None

    @property
    def slopes(self) -> IntArray:
        """Places of all columns but the intercept."""
        return np.arange(1, len(self.labels))

    def rows(self, newdata: Any) -> FloatArray:
        """Return rows of the design for new values of the moderators.

        Parameters
        ----------
        newdata : DataFrame, table, mapping, array, or None
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
        if newdata is None:
            return self.x
        if self.moderators is None:
            columns = np.empty((len(newdata), 0))
        elif is_table(newdata):
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


def intercept_only(k: int) -> Design:
    """Return the design of a mean that is the same in all k rows."""
    return Design(np.ones((k, 1)), (INTERCEPT,), {}, None)


def read_design(
    mods: Mods,
    data: AnyTable | None,
    k: int,
    *,
    spare: int,
    argument: str = "mods",
) -> Design:
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
    argument : str
        What messages call `mods`.

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
        try:
            moderators, _ = read_moderators(
                mods, data, K=k, contrasts="treatment", standardize=False
            )
        except DataError as error:
            if argument == "mods":
                raise
            raise DataError(re.sub(r"\bmods\b", argument, str(error))) from error
    x = np.column_stack([np.ones(k), moderators.columns])
    labels = (INTERCEPT, *moderators.labels)
    if k < len(labels) + spare:
        more = "more estimates than" if spare else "at least as many estimates as"
        raise DataError(
            f"{argument}: expected {more} coefficients; got {len(labels)} "
            f"coefficients, with the intercept, for {k} estimates. Leave moderators "
            "out."
        )
    _refuse_dependent(x, labels, argument)
    ends = np.cumsum([1, *(term.columns.shape[1] for term in moderators.terms)])
    terms = {
        term.name: np.arange(start, end)
        for term, start, end in zip(moderators.terms, ends[:-1], ends[1:], strict=True)
    }
    return Design(x, labels, terms, moderators)


def dependent(x: FloatArray) -> tuple[int, IntArray] | None:
    """Find a column that is a combination of those before it.

    Returns
    -------
    int, array of int
        Its place, and the places of those that it is a combination of; None if the
        columns are linearly independent.
    """
    norms = np.linalg.norm(x, axis=0)
    scaled = x / np.where(norms > 0.0, norms, 1.0)
    _, r = np.linalg.qr(scaled)
    left = np.abs(np.diag(r))
    if (left > _DEPENDENT).all():
        return None
    column = int(np.argmax(left <= _DEPENDENT))
    share = np.linalg.lstsq(scaled[:, :column], scaled[:, column], rcond=None)[0]
    return column, np.flatnonzero(np.abs(share) > 1e-6)


def _refuse_dependent(x: FloatArray, labels: tuple[str, ...], argument: str) -> None:
    """Refuse columns that are combinations of those before them."""
    found = dependent(x)
    if found is None:
        return
    column, places = found
    others = [labels[i] for i in places]
    raise DataError(
        f"{argument}: expected linearly independent columns; got {labels[column]}, "
        f"which is a combination of {listed(others) if others else 'nothing'}. "
        "Leave one of them out."
    )
