"""What `robma` returns: an ensemble with the reports that a reader wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrobma.effects import Measure
from pyrobma.ensemble import (
    Ensemble,
    cluster_effects,
    predict,
    save,
    to_datatree,
    true_effects,
)
from pyrobma.ensemble import load as load_ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.plots import (
    plot_forest,
    plot_funnel,
    plot_levels,
    plot_marginal_means,
    plot_mcmc,
    plot_models,
    plot_overview,
    plot_pet_peese,
    plot_posterior,
    plot_priors,
    plot_probabilities,
    plot_regression,
    plot_terms,
    plot_weightfunction,
)
from pyrobma.plots.levels import is_levels
from pyrobma.report import write_report
from pyrobma.summary import (
    contrasts,
    heterogeneity_summary,
    hypothesis,
    interpret,
    marginal_means,
    pooled_effect,
    summarise,
)

if TYPE_CHECKING:
    from plotnine import ggplot


class RobmaFit(Ensemble):
    """An ensemble with the reports a reader wants; what `robma` returns."""

    summary = summarise
    heterogeneity = heterogeneity_summary
    pooled_effect = pooled_effect
    true_effects = true_effects
    cluster_effects = cluster_effects
    marginal_means = marginal_means
    contrasts = contrasts
    hypothesis = hypothesis
    predict = predict
    interpret = interpret
    report = write_report
    plot_forest = plot_forest
    plot_funnel = plot_funnel
    plot_models = plot_models
    plot_priors = plot_priors
    plot_probabilities = plot_probabilities
    plot_mcmc = plot_mcmc
    plot_overview = plot_overview
    plot_regression = plot_regression
    plot_marginal_means = plot_marginal_means
    plot_terms = plot_terms
    to_datatree = to_datatree
    save = save

    def plot(
        self,
        parameter: str = "mu",
        *,
        conditional: bool = False,
        prior: bool = False,
        output_scale: Measure | None = None,
        **options: Any,
    ) -> ggplot:
        """Draw the posterior of a parameter.

        Parameters
        ----------
        parameter : str
            "mu", "tau", "rho", "PET" or "PEESE": its density, spikes as bars.
            "omega" (or "weightfunction"): publication probability by p-value.
            "PET-PEESE": the regression of effects on standard errors. With moderators,
            a term or a coefficient; of a factor the deviation of every level.
        conditional : bool
            Only over models with the parameter's component.
        prior : bool
            Draw the prior too.
        output_scale : str, optional
            Measure of effects, as in `Ensemble.mixture`. None: the prior scale.
        **options
            More of `plot_posterior`, `plot_weightfunction`, `plot_pet_peese` or
            `plot_levels`.

        Returns
        -------
        plotnine.ggplot
            ``.save("figure.pdf")`` writes it.

        Raises
        ------
        DataError
            If the ensemble has no such parameter.
        """
        check_output_scale(self.task, output_scale)
        options |= {"conditional": conditional, "prior": prior}
        if parameter in ("omega", "weightfunction"):
            return plot_weightfunction(self, **options)
        options["output_scale"] = output_scale
        if parameter == "PET-PEESE":
            return plot_pet_peese(self, **options)
        if is_levels(self, parameter):
            return plot_levels(self, parameter, **options)
        return plot_posterior(self, parameter, **options)

    def __repr__(self) -> str:
        """Return the ensemble summary."""
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def load(path: str | Path) -> RobmaFit:
    """Read a fit that `RobmaFit.save` wrote.

    Parameters
    ----------
    path : str or Path
        Nothing in the file is executed.

    Returns
    -------
    RobmaFit
        Equal to the one that was saved, and as good as new for ``fits=fit.fits``.

    Raises
    ------
    DataError
        If the file is not one of ours, damaged, or of a newer format.
    """
    return load_ensemble(path, RobmaFit)
