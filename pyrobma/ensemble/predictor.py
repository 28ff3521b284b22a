"""Stage 5: what a model says of every study, draw by draw.

The Stan programs hold the model's density; this is the one place that says it again
in Python, to predict from draws. Everything that needs the mean of a study, the spread
of true effects or what publication bias adds, asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.ensemble.scales import data_bias, data_mean, data_sd
from pyrobma.fit import Task

Rows: TypeAlias = IntArray | slice
"""Which estimates, by their place in the data."""

PREDICTING: Final = ("mu", "tau", "rho", "PET", "PEESE")
"""The parameters that a `Predictor` reads."""

OF_THE_MEAN: Final = ("mu", "PET", "PEESE")
"""Those that the mean of an estimate, biased or not, depends on."""


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

    Attributes
    ----------
    task : Task
        The data, and how parameters are mapped to their measure.
    draws : JointDraws, FitDraws or another mapping
        The parameters `PREDICTING`, of shape (S,) or (chains, draws).

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
        return self.new_mean[None]

    def loading(self, rows: Rows) -> FloatArray:
        """Return the loading l of some estimates on their cluster's common factor."""
        return np.asarray(np.sqrt(self.draws["rho"]) * self._sd)[None]

    def within(self, rows: Rows) -> FloatArray:
        """Return the variance w of some true effects within their cluster."""
        return np.asarray((1 - self.draws["rho"]) * self._sd**2)[None]

    def bias(self, rows: Rows) -> FloatArray:
        """Return what PET and PEESE add to some estimates."""
        return self.bias_at(self.task.effects.se[rows])

    # ---- studies to come -----------------------------------------------------
    @property
    def new_mean(self) -> FloatArray:
        """Mean true effect of a new study, of the draws' shape."""
        return data_mean(self.task, self.draws["mu"])

    @property
    def new_sd(self) -> FloatArray:
        """Standard deviation of the true effect of a new study in a new cluster."""
        return self._sd

    def bias_at(self, se: FloatArray) -> FloatArray:
        """Return what PET and PEESE add at standard errors.

        Parameters
        ----------
        se : array of shape (n,)

        Returns
        -------
        array of shape (n, ...), or (1, ...) of zeros if no draw has either
        """
        PET, PEESE = self.draws["PET"], self.draws["PEESE"]
        if not (PET.any() or PEESE.any()):
            return np.zeros((1, *PET.shape))
        each = se.reshape(-1, *(1 for _ in PET.shape))
        return data_bias(self.task, each, PET, PEESE)

    @property
    def _sd(self) -> FloatArray:
        return data_sd(self.task, self.draws["tau"])
