"""Stage 5: what a model says of every study, draw by draw.

The Stan programs hold the model's density; this is the one place that says it again
in Python, to predict from draws. Everything that needs the mean of a study, the spread
of true effects or what publication bias adds, asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.ensemble.scales import data_mean, data_sd
from pyrobma.models import Task, scale_name
from pyrobma.parameters import Unknowns

Rows: TypeAlias = IntArray | slice
"""Which estimates, by their place in the data."""


def of_the_mean(unknowns: Unknowns) -> tuple[str, ...]:
    """Return the unknowns that the mean of an estimate, biased or not, depends on."""
    rows = (row for row in unknowns if row.in_mean or row.coefficient)
    return tuple(row.name for row in rows)


class Draws(Protocol):
    """Draws by parameter, on the prior scale, those of all parameters of one shape."""

    def __getitem__(self, parameter: str) -> FloatArray:
        """Return the draws of one parameter."""
        ...


@dataclass(frozen=True, slots=True)
class Predictor:
    """Mean, heterogeneity and bias of every estimate, on the measure of the likelihood.

    An estimate is y_i = m_i + b_i + l_i g + v_i + e_i with the mean m_i, the bias b_i,
    the common factor g ~ N(0, 1) of its cluster, of which it has the loading l_i, the
    part v_i ~ N(0, w_i) of its true effect that is its own, and its sampling error e_i.

    With moderators of heterogeneity l_i and w_i have their own T_i = s tau exp(z_i'd).

    Attributes
    ----------
    task : Task
        The data, and how parameters are mapped to their measure.
    draws : JointDraws, FitDraws or another mapping
        Of all scalar unknowns of the task, of shape (S,) or (chains, draws); of those
        that `of_the_mean` names if only means and bias are asked for.

    Notes
    -----
    What is returned for some estimates has a row for each of them, or a single row if
    it is the same for all: arrays of shape (rows, ...) or (1, ...), to be broadcast.
    """

    task: Task
    draws: Draws

    # ---- estimates -----------------------------------------------------------
    def mean(self, rows: Rows) -> FloatArray:
        """Return the mean true effect m of some estimates' populations."""
        linear = self.draws["mu"][None]
        for row in self.task.unknowns:
            if row.enters == "moderator" and self.draws[row.name].any():
                column = self.task.column(row.name)[rows]
                linear = linear + _across(column, self.draws[row.name])
        return data_mean(self.task, linear)

    def loading(self, rows: Rows) -> FloatArray:
        """Return the loading l of some estimates on their cluster's common factor."""
        return np.asarray(np.sqrt(self.draws["rho"]) * self.sd(rows))

    def within(self, rows: Rows) -> FloatArray:
        """Return the variance w of some true effects within their cluster."""
        return np.asarray((1 - self.draws["rho"]) * self.sd(rows) ** 2)

    def sd(self, rows: Rows) -> FloatArray:
        """Return the standard deviation of some estimates' true effects."""
        columns = {
            row.name: self.task.column(row.name)[rows]
            for row in self.task.unknowns
            if row.enters == "scale"
        }
        return self._scaled(columns)

    def bias(self, rows: Rows) -> FloatArray:
        """Return what publication bias adds to some estimates."""
        columns = {
            row.name: self.task.column(row.name)[rows]
            for row in self.task.unknowns
            if row.enters == "bias"
        }
        return self._added(columns)

    # ---- studies to come -----------------------------------------------------
    def mean_at(self, design: FloatArray) -> FloatArray:
        """Return the mean true effect of studies with some moderators.

        Parameters
        ----------
        design : array of shape (n, P)
            Coded columns, as `Moderators.design` returns them.

        Returns
        -------
        array of shape (n, ...)
        """
        assert self.task.moderators is not None
        linear = np.broadcast_to(
            self.draws["mu"], (len(design), *self.draws["mu"].shape)
        )
        for name, column in zip(self.task.moderators.labels, design.T, strict=True):
            if self.draws[name].any():
                linear = linear + _across(column, self.draws[name])
        return data_mean(self.task, linear)

    @property
    def new_mean(self) -> FloatArray:
        """Mean true effect of a new study with moderators of 0, of the draws' shape."""
        return data_mean(self.task, self.draws["mu"])

    @property
    def new_sd(self) -> FloatArray:
        """Standard deviation of the true effect of a new study in a new cluster.

        Where heterogeneity has moderators, of one at which they are 0.
        """
        return self._sd

    def sd_at(self, design: FloatArray) -> FloatArray:
        """Return the standard deviation of true effects of studies to come.

        Parameters
        ----------
        design : array of shape (n, S)
            Coded columns of the moderators of heterogeneity.

        Returns
        -------
        array of shape (n, ...), or (1, ...) if it is the same for all
        """
        assert self.task.scale_moderators is not None
        labels = self.task.scale_moderators.labels
        return self._scaled(
            {scale_name(n): c for n, c in zip(labels, design.T, strict=True)}
        )

    def bias_at(self, se: FloatArray) -> FloatArray:
        """Return what publication bias adds at standard errors.

        Parameters
        ----------
        se : array of shape (n,)

        Returns
        -------
        array of shape (n, ...), or (1, ...) of zeros if no draw has any
        """
        columns = {
            row.name: self.task.bias_column(row.name, se)
            for row in self.task.unknowns
            if row.se_power
        }
        return self._added(columns)

    def _added(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        total = np.zeros((1, *self.draws["mu"].shape))
        for name, column in columns.items():
            if self.draws[name].any():
                total = total + _across(column, self.draws[name])
        return total

    def _scaled(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return standard deviations for columns of log tau, by their coefficient."""
        total: FloatArray | None = None
        for name, column in columns.items():
            if self.draws[name].any():
                own = _across(column, self.draws[name])
                total = own if total is None else total + own
        if total is None:
            return self._sd[None]
        return np.asarray(self._sd * np.exp(total))

    @property
    def _sd(self) -> FloatArray:
        return data_sd(self.task, self.draws["tau"])


def _across(column: FloatArray, draws: FloatArray) -> FloatArray:
    """Return a column times the draws of its coefficient, shape (rows, ...)."""
    return column.reshape(-1, *(1 for _ in draws.shape)) * draws
