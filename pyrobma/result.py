"""What `robma` returns: an ensemble with the reports that a reader wants."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyrobma.checking import loo
from pyrobma.effects import Measure
from pyrobma.ensemble import (
    Ensemble,
    cluster_effects,
    predict,
    save,
    to_datatree,
    true_effects,
    write_stan_json,
)
from pyrobma.ensemble import load as load_ensemble
from pyrobma.ensemble.left_out import residuals
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.ensemble.stan_files import stan_data
from pyrobma.ensemble.updating import updated
from pyrobma.errors import ConvergenceWarning, warn
from pyrobma.fit import Executors, SamplerSettings
from pyrobma.influence import influence
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.plots import (
    plot_forest,
    plot_funnel,
    plot_influence,
    plot_levels,
    plot_loo_pit,
    plot_marginal_means,
    plot_mcmc,
    plot_models,
    plot_overview,
    plot_pet_peese,
    plot_posterior,
    plot_priors,
    plot_probabilities,
    plot_qq,
    plot_radial,
    plot_regression,
    plot_terms,
    plot_weightfunction,
    plot_z,
)
from pyrobma.plots.levels import is_levels
from pyrobma.report import write_report
from pyrobma.summary import (
    contrasts,
    ensemble_warnings,
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
    influence = influence
    loo = loo
    residuals = residuals
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
    plot_qq = plot_qq
    plot_radial = plot_radial
    plot_influence = plot_influence
    plot_loo_pit = plot_loo_pit
    plot_z = plot_z
    to_datatree = to_datatree
    stan_data = stan_data
    write_stan_json = write_stan_json
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
            a term ("measure"; of heterogeneity "tau ~ measure") or a coefficient; of a
            factor the deviation of every level.
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

    def update(
        self,
        *,
        priors: Mapping[str, Any] | None = None,
        models: ModelSpace | Iterable[ModelSpec] | None = None,
        prior_weights: Mapping[str, float] | Sequence[float] | None = None,
        draws: int | None = None,
        settings: SamplerSettings | None = None,
        seed: int | None = None,
        cores: int | None = None,
        executor: Executors | None = None,
        cache: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
    ) -> Self:
        """Return a fit with other models, weights or draws; only what is new is fitted.

        Parameters
        ----------
        priors : mapping, optional
            Other priors of some components ("effect", "heterogeneity", "hierarchical",
            "bias") and terms. A value is what `robma` takes for the alternative, or a
            mapping with "alternative" and "null"; a side that is not there stays. The
            models are all combinations again; those that were fitted are not fitted
            again.
        models : ModelSpace or iterable of ModelSpec, optional
            More models, made by `model` or `model_space`, after those that there are.
        prior_weights : mapping or sequence of float, optional
            Positive. By component, or kind of bias: the prior odds of models with it
            against those without, 1 if both are as probable; other odds stay as far as
            they can. Or a weight per model, in the order of ``models`` of the result.
        draws : int, optional
            Kept iterations per chain, more than before: chains are continued.
        settings : SamplerSettings, optional
            All settings instead. Without other settings than the draws, ``max_mcse``
            and ``max_seconds``, chains are continued too; with others all models are
            fitted again.
        seed : int, optional
            None, or that of the fit. Another one is refused: nothing could be kept.
        cores, executor, cache, progress
            As in `robma`.

        Returns
        -------
        RobmaFit
            This one stays as it is.

        Raises
        ------
        PriorError
            If a prior, a model or a weight cannot be used, or `priors` are given and
            the models are not all combinations of some priors.
        SettingsError
            On another seed, or fewer draws.
        DataError
            If `cache` cannot be used.
        FitError, FitInterrupted
            As in `robma`.

        Warns
        -----
        ConvergenceWarning
            If a model misses a check.

        Notes
        -----
        New weights alone need no fit, but for models that stayed rough and now matter,
        and for those whose error is too large for their new share of the evidence.

        Examples
        --------
        >>> import pyrobma as rb
        >>> fit = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], priors_bias=None,
        ...                seed=1)
        >>> doubtful = fit.update(prior_weights={"effect": 1 / 3})
        >>> round(float(doubtful.inclusion.loc["effect", "prior_prob"]), 3)
        0.25
        """
        new = updated(
            self, priors=priors, models=models, prior_weights=prior_weights,
            draws=draws, settings=settings, seed=seed, cores=cores, executor=executor,
            cache=cache, progress=progress,
        )  # fmt: skip
        for text in ensemble_warnings(new):
            warn(text, ConvergenceWarning)
        return new

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
