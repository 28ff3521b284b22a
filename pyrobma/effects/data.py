"""Stage 1's value: effect sizes on one data scale, with their clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._format import counted
from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma.effects._clusters import number_clusters
from pyrobma.effects._columns import Rows
from pyrobma.effects._numbers import DOMAINS, as_floats
from pyrobma.effects.convert import (
    LETTERS,
    MEASURE_NAMES,
    Measure,
    check_measure,
    transform_effect,
)
from pyrobma.effects.convert_se import transform_se
from pyrobma.effects.counts import TwoGroups
from pyrobma.errors import DataError

DATA_SCALES: Final[tuple[Measure, ...]] = (
    "fishers_z",
    "cohens_d",
    "r",
    "logOR",
    "none",
)
"""Measures on which estimates with standard errors can be modelled."""

_TITLES: Final[dict[Measure, str]] = MEASURE_NAMES | {
    "r": "r",
    "logOR": "log OR",
    "logIRR": "log rate ratios",
    "none": "effects in units of their own",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EffectSizes:
    """Estimates, their standard errors and clusters; made by `effect_sizes`.

    Attributes
    ----------
    y : array of shape (K,)
        Estimates on the data scale, finite, read-only.
    se : array of shape (K,)
        Their standard errors, positive and finite, read-only.
    measure : {"fishers_z", "cohens_d", "r", "logOR", "logIRR", "none"}
        The data scale; "none" means units of their own. "logIRR" is of counts only.
    original : tuple of str, length K
        The measure that each estimate was given on (an odds ratio counts as "logOR").
        It decides where the estimate becomes statistically significant.
    names : tuple of str, length K
        Study names, as labels only.
    cluster : array of shape (K,)
        Cluster numbers 0, ..., L - 1, read-only. Estimates with one number share a
        cluster; an independent estimate has a number of its own.
    cluster_labels : tuple of str or None, length L
        The id that a cluster was given by, that of one estimate too; None without id.
    counts : TwoGroups or None
        Events of two groups, whose likelihood is used where they are there. `y` and
        `se` are then crude log ratios, for figures only.

    Raises
    ------
    DataError
        If lengths differ, a value is outside its range, or the cluster numbers have
        gaps.
    """

    y: FloatArray
    se: FloatArray
    measure: Measure
    original: tuple[Measure, ...]
    names: tuple[str, ...]
    cluster: IntArray
    cluster_labels: tuple[str | None, ...]
    counts: TwoGroups | None = None

    def __post_init__(self) -> None:
        """Check the parts against each other and make the arrays read-only."""
        scales = DATA_SCALES
        if self.counts is not None:
            scales = ("logIRR",) if self.counts.rates else ("logOR",)
        check_measure("measure", self.measure, scales)
        set_ = object.__setattr__
        set_(self, "y", _frozen_floats("y", LETTERS[self.measure], self.y))
        set_(self, "se", _frozen_floats("se", "se", self.se))
        set_(self, "cluster", _frozen_clusters(self.cluster, len(self.cluster_labels)))
        for field in ("original", "names", "cluster_labels"):
            set_(self, field, tuple(getattr(self, field)))
        for field in ("se", "original", "names", "cluster"):
            if (length := len(getattr(self, field))) != self.K:
                raise DataError(
                    f"{field}: expected {self.K} values, as many as y has; "
                    f"got {length}. Give one value per estimate."
                )
        if self.counts is not None:
            if self.counts.K != self.K:
                raise DataError(
                    f"counts: expected {self.K} studies, as many as y has; got "
                    f"{self.counts.K}."
                )
            rows = Rows(self.K, names=self.names)
            set_(self, "counts", replace(self.counts, rows=rows))

    @property
    def K(self) -> int:
        """Number of estimates."""
        return len(self.y)

    @property
    def L(self) -> int:
        """Number of clusters, each independent estimate counted as one."""
        return len(self.cluster_labels)

    @property
    def clustered(self) -> bool:
        """Whether some cluster has two estimates or more."""
        return self.L < self.K

    @property
    def shared_labels(self) -> tuple[str | None, ...]:
        """Ids of the estimates' clusters; None for independent estimates."""
        sizes = np.bincount(self.cluster)
        return tuple(
            self.cluster_labels[k] if sizes[k] > 1 else None for k in self.cluster
        )

    @property
    def words(self) -> str:
        """How many estimates there are, or studies with counts."""
        if self.counts is None:
            return counted(self.K, "estimate")
        return f"counts of {self.K} {'study' if self.K == 1 else 'studies'}"

    def convert(self, measure: Measure) -> EffectSizes:
        """Return the same estimates on another data scale.

        Parameters
        ----------
        measure : {"fishers_z", "cohens_d", "r", "logOR", "none"}
            The new data scale; "none" for effects that are on "none" already.

        Returns
        -------
        EffectSizes
            Effects converted nonlinearly and standard errors with them; names,
            original measures and clusters unchanged.

        Raises
        ------
        DataError
            If there is no conversion, as there is none of counts, or if Fisher's z is
            asked for and a standard error implies a sample size of 3 or less.
        """
        target = check_measure("measure", measure, DATA_SCALES)
        if target == self.measure:
            return self
        if self.counts is not None:
            raise DataError(
                f'measure: expected "{self.measure}", the only measure of counts; got '
                f'"{target}".'
            )
        return EffectSizes(
            y=transform_effect(self.y, self.measure, target),
            se=transform_se(self.se, self.y, self.measure, target),
            measure=target,
            original=self.original,
            names=self.names,
            cluster=self.cluster,
            cluster_labels=self.cluster_labels,
        )

    def kept(self, rows: BoolArray) -> EffectSizes:
        """Return some of the estimates; clusters of one that remain are independent.

        Parameters
        ----------
        rows : array of bool, shape (K,)
            Which; at least one.
        """
        ids = [self.cluster_labels[number] for number in self.cluster[rows]]
        cluster, cluster_labels = number_clusters(ids)
        chosen = np.flatnonzero(rows)
        return replace(
            self,
            y=self.y[rows],
            se=self.se[rows],
            original=tuple(self.original[i] for i in chosen),
            names=tuple(self.names[i] for i in chosen),
            cluster=cluster,
            cluster_labels=cluster_labels,
            counts=None if self.counts is None else self.counts.kept(rows),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per estimate.

        Returns
        -------
        DataFrame
            Columns `study` (its name), `y`, `se`, `original` (measure it was given
            on), `cluster` (number) and `cluster_label` (its id; None without); of
            counts also `x1`, `n1` or `t1`, `x2`, `n2` or `t2`.
        """
        labels = [self.cluster_labels[number] for number in self.cluster]
        return pd.DataFrame(
            {
                "study": list(self.names),
                "y": self.y.copy(),
                "se": self.se.copy(),
                "original": list(self.original),
                "cluster": self.cluster.copy(),
                "cluster_label": pd.Series(labels, dtype=object),
                **({} if self.counts is None else self.counts.columns),
            }
        )

    def __len__(self) -> int:
        """Return the number of estimates."""
        return self.K

    def __eq__(self, other: object) -> bool:
        """Tell whether two sets of effect sizes hold the same values."""
        if not isinstance(other, EffectSizes):
            return NotImplemented
        return all(
            np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
            for a, b in zip(self._parts(), other._parts(), strict=True)
        )

    def __reduce__(self) -> tuple[type[EffectSizes], tuple[Any, ...]]:
        """Rebuild through the constructor: pickled arrays come back writeable."""
        return EffectSizes, self._parts()

    def _parts(self) -> tuple[Any, ...]:
        return (
            self.y,
            self.se,
            self.measure,
            self.original,
            self.names,
            self.cluster,
            self.cluster_labels,
            self.counts,
        )

    def __repr__(self) -> str:
        """Return a heading and at most ten estimates."""
        shown_columns = ["study", "y", "se"]
        if self.counts is not None:
            shown_columns = ["study", *self.counts.columns]
        frame = self.to_frame()[[*shown_columns, "cluster_label"]]
        if not self.clustered:
            frame = frame.drop(columns="cluster_label")
        shown = frame if self.K <= 10 else frame.head(8)
        digits = "%.4f" if self.counts is None else "%g"
        lines = [self._heading(), shown.to_string(index=False, float_format=digits)]
        if len(shown) < self.K:
            lines.append(f"... and {self.K - len(shown)} more")
        return "\n".join(lines)

    def _heading(self) -> str:
        text = f"EffectSizes: {self.words}, {_TITLES[self.measure]}"
        if not self.clustered:
            return text + ", independent"
        sizes = np.bincount(self.cluster)
        shared = sizes[sizes > 1]
        text += f", {counted(len(shared), 'cluster')} of "
        low, high = int(shared.min()), int(shared.max())
        text += f"{low}" if low == high else f"{low} to {high}"
        alone = int((sizes == 1).sum())
        return text + (f", {alone} independent" if alone else "")


def _frozen_floats(field: str, domain: str, values: Any) -> FloatArray:
    array = as_floats(field, values)
    if array.ndim != 1 or not array.size:
        raise DataError(
            f"{field}: expected one value per estimate, at least one estimate; "
            f"got shape {array.shape}. Give a one-dimensional array."
        )
    bad = DOMAINS[domain].excludes(array)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{field}: expected {DOMAINS[domain].text}; got {float(array[row])!r} at "
            f"row {row}. Correct or leave out the estimate."
        )
    array.flags.writeable = False
    return array


def _frozen_clusters(values: Any, L: int) -> IntArray:
    array = np.array(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(
            "cluster: expected a one-dimensional array of whole numbers; "
            f"got dtype {array.dtype} and shape {array.shape}. Number the clusters "
            "0, 1, 2, ..."
        )
    array = array.astype(np.int64)
    used = np.unique(array)
    if not np.array_equal(used, np.arange(L)):
        raise DataError(
            f"cluster: expected each of the numbers 0 to {L - 1}, one for every entry "
            f"of cluster_labels; got {used.tolist()[:20]}. Number the clusters without "
            "gaps."
        )
    array.flags.writeable = False
    return array
