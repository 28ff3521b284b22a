"""How well the averaged models predict estimates that they have not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pyrobma._format import counted, fixed
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.left_out import By, by_name, loo_frame
from pyrobma.summary import Table


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Loo:
    """What `loo` returns.

    Attributes
    ----------
    by : {"estimate", "cluster"}
        What was left out.
    frame : DataFrame
        One row per estimate or cluster. Columns ``study`` and ``cluster`` (its label;
        None if independent), or ``cluster`` (its label, or the name of an independent
        study) and ``estimates`` (their number); ``elpd``, the log density that the
        others predict for it, on the measure of the likelihood; ``p_loo``, by how much
        it gains from having been seen; ``pareto_k``, not to be trusted from `limit` on.
    limit : float
        Largest Pareto k that can be trusted.
    """

    by: By
    frame: pd.DataFrame
    limit: float

    @property
    def elpd(self) -> float:
        """Sum of the log predictive densities."""
        return float(self.frame["elpd"].sum())

    @property
    def se(self) -> float:
        """Standard error of `elpd`, if estimates or clusters are a sample of others.

        √n times their standard deviation; NaN for one.
        """
        n = len(self.frame)
        return math.sqrt(n) * float(self.frame["elpd"].std(ddof=1)) if n > 1 else np.nan

    @property
    def p_loo(self) -> float:
        """Effective number of parameters."""
        return float(self.frame["p_loo"].sum())

    @property
    def unreliable(self) -> pd.DataFrame:
        """The rows of `frame` whose Pareto k is too large."""
        return self.frame[self.frame["pareto_k"] > self.limit]

    def summary(self) -> Table:
        """Tabulate the log predictive densities.

        Returns
        -------
        Table
            One row per estimate or cluster, in their order.
        """
        label = by_name(self.by)
        shown = pd.DataFrame(
            {
                "elpd": self.frame["elpd"],
                "p_loo": self.frame["p_loo"],
                "Pareto k": self.frame["pareto_k"],
            }
        )
        shown.index = pd.Index(self.frame[label], name=label)
        total = f"Sum: {self.elpd:.2f}, standard error {self.se:.2f}"
        notes = [f"{total}; effective number of parameters {self.p_loo:.2f}."]
        if n := len(self.unreliable):
            notes.append(
                f"Pareto k above {self.limit:.2f} in {counted(n, 'row')}: what stands "
                "there, and the sum, cannot be trusted. See influence()."
            )
        return Table(
            f"Leave-one-{label}-out log predictive density:",
            shown,
            {"elpd": fixed(3), "p_loo": fixed(3), "Pareto k": fixed(2)},
            tuple(notes),
        )

    def __repr__(self) -> str:
        """Return the table."""
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().to_html()


def loo(ensemble: Ensemble, by: By = "estimate") -> Loo:
    """Find how probable every estimate is given all others.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns. Its models are averaged, each with the probability that
        it has without the estimate.
    by : {"estimate", "cluster"}
        What is left out at a time. "estimate": predicted from all others, those of its
        cluster among them. "cluster": all estimates of a cluster together, predicted
        from other clusters.

    Returns
    -------
    Loo
        Print it, or see ``frame``, ``elpd`` and ``se``.

    Raises
    ------
    DataError
        On an unknown `by`.

    Notes
    -----
    No model is fitted again: draws are weighted by p(data without it) / p(data), the
    largest weights smoothed by a Pareto distribution whose shape k tells whether that
    is enough [1]_. The density of an estimate under selection is that of published
    ones; see `pyrobma.ensemble.pointwise.log_densities`. Differences of sums between
    ensembles of the same data on the same measure compare their predictions; marginal
    likelihoods, which model probabilities follow from, compare predictions from the
    priors on.

    References
    ----------
    .. [1] Vehtari A., Gelman A., Gabry J. (2017). Practical Bayesian model evaluation
       using leave-one-out cross-validation and WAIC. Statistics and Computing 27(5).
       doi:10.1007/s11222-016-9696-4

    Examples
    --------
    >>> import pyrobma as rb
    >>> fit = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], priors_bias=None, seed=1)
    >>> fit.loo().frame.columns.tolist()
    ['study', 'cluster', 'elpd', 'p_loo', 'pareto_k']
    """
    frame, limit = loo_frame(ensemble, by)
    return Loo(by, frame, limit)
