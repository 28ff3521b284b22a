"""What is assumed of the studies' baselines, and their priors' densities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import betaln, expit

from pyrobma._types import FloatArray


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the baseline of each study leaves its likelihood.

    Attributes
    ----------
    kind : {"conditional", "beta", "normal"}
        ``"conditional"``: the likelihood of the events of group 1 given those of both
        groups, which has no baseline. ``"beta"``: the inverse logit of the baseline
        phi, which is midway between the logits of the two groups, has a beta
        distribution. ``"normal"``: the baseline, midway between the log rates, has a
        normal one.
    first, second : float
        Parameters of the beta, or mean and standard deviation of the normal; 0 for
        ``"conditional"``.
    """

    kind: Literal["conditional", "beta", "normal"] = "conditional"
    first: float = 0.0
    second: float = 0.0

    def __str__(self) -> str:
        """Return what tables and sentences call it."""
        if self.kind == "conditional":
            return "conditional likelihood"
        if self.kind == "beta":
            return f"midpoint risk ~ Beta({self.first:g}, {self.second:g})"
        return f"midpoint log rate ~ Normal({self.first:g}, {self.second:g})"

    def log_density(self, phi: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the log prior density of baselines, and its first two derivatives.

        Parameters
        ----------
        phi : array
            Logits, or log rates.

        Returns
        -------
        tuple of array
            Three of the shape of `phi`.
        """
        a, b = self.first, self.second
        if self.kind == "beta":
            p = expit(phi)
            value = a * phi - (a + b) * np.logaddexp(0.0, phi) - betaln(a, b)
            return value, a - (a + b) * p, -(a + b) * p * expit(-phi)
        z = (phi - a) / b
        value = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - np.log(b)
        return value, -z / b, np.full_like(phi, -1.0 / b**2)


CONDITIONAL: Final = Baseline()
"""No baseline: the default."""
