"""The whole way from a table to an ensemble, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyrobma.effects import EffectSizes, Measure, effect_sizes, transform_effect
from pyrobma.ensemble import (
    Ensemble,
    cluster_effects,
    save,
    to_datatree,
    true_effects,
)
from pyrobma.ensemble import load as load_ensemble
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import ConvergenceWarning, DataError, DataWarning, PriorError
from pyrobma.fit import (
    EffectDirection,
    EffectMapping,
    Executor,
    Fit,
    FitError,
    FitInterrupted,
    SamplerSettings,
    SettingsError,
    Task,
    fit_models,
)
from pyrobma.models import ModelSpace, model_space
from pyrobma.plots import (
    plot_forest,
    plot_funnel,
    plot_mcmc,
    plot_models,
    plot_overview,
    plot_pet_peese,
    plot_posterior,
    plot_probabilities,
    plot_weightfunction,
)
from pyrobma.priors import (
    DEFAULT,
    BiasArgument,
    Default,
    NoBias,
    PriorArgument,
    WeightFunction,
    bias_priors,
    component_priors,
)
from pyrobma.report import report_html
from pyrobma.summary import (
    ensemble_warnings,
    heterogeneity_summary,
    interpret,
    pooled_effect,
    summarise,
)

if TYPE_CHECKING:
    from plotnine import ggplot

TYPICAL_UNITS = (0.03, 3.0)
"""Sizes of effects in their own units outside which default priors are doubtful."""

MAPPING_TOLERANCE = 0.02
"""Relative move of the mean effect by the linear mapping that calls for a warning."""


class RobmaFit(Ensemble):
    """An ensemble with the reports a reader wants; what `robma` returns."""

    summary = summarise
    heterogeneity = heterogeneity_summary
    pooled_effect = pooled_effect
    true_effects = true_effects
    cluster_effects = cluster_effects
    interpret = interpret
    plot_forest = plot_forest
    plot_funnel = plot_funnel
    plot_models = plot_models
    plot_probabilities = plot_probabilities
    plot_mcmc = plot_mcmc
    plot_overview = plot_overview
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
            "PET-PEESE": the regression of effects on standard errors.
        conditional : bool
            Only over models with the parameter's component.
        prior : bool
            Draw the prior too.
        output_scale : str, optional
            Measure of effects, as in `Ensemble.mixture`. None: the prior scale.
        **options
            More of `plot_posterior`, `plot_weightfunction` or `plot_pet_peese`.

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
        return plot_posterior(self, parameter, **options)

    def report(self, path: str | Path, **options: Any) -> None:
        """Write a self-contained HTML report.

        Parameters
        ----------
        path : str or Path
            A name that ends in .html.
        **options
            Those of `pyrobma.report.report_html`: ``title``, ``output_scale``, ...

        Raises
        ------
        DataError
            If the name has another ending.
        """
        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise DataError(
                f"path: expected a name that ends in .html; got {target.name!r}. A "
                "browser prints the page to PDF."
            )
        target.write_text(report_html(self, **options), encoding="utf-8")

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


def robma(
    data: pd.DataFrame | EffectSizes | None = None,
    *,
    d: Any = None,
    r: Any = None,
    z: Any = None,
    logOR: Any = None,
    OR: Any = None,
    y: Any = None,
    se: Any = None,
    v: Any = None,
    n: Any = None,
    t: Any = None,
    lCI: Any = None,
    uCI: Any = None,
    study_names: Any = None,
    study_ids: Any = None,
    transformation: Measure | None = None,
    prior_scale: Measure | None = None,
    effect_mapping: EffectMapping = "linear",
    rescale_priors: float = 1.0,
    priors_effect: PriorArgument = DEFAULT,
    priors_effect_null: PriorArgument = DEFAULT,
    priors_heterogeneity: PriorArgument = DEFAULT,
    priors_heterogeneity_null: PriorArgument = DEFAULT,
    priors_hierarchical: PriorArgument = DEFAULT,
    priors_hierarchical_null: PriorArgument = DEFAULT,
    priors_bias: BiasArgument = DEFAULT,
    priors_bias_null: BiasArgument = DEFAULT,
    model_type: str | None = None,
    effect_direction: EffectDirection = "positive",
    chains: int | None = None,
    warmup: int | None = None,
    draws: int | None = None,
    settings: SamplerSettings | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    fits: Sequence[Fit] = (),
) -> RobmaFit:
    """Fit a Bayesian model-averaged meta-analysis.

    Every combination of the priors below is a model; all are fitted, weighed by their
    marginal likelihoods and averaged. Without priors under the null it is a single
    Bayesian meta-analysis.

    Parameters
    ----------
    data : DataFrame or EffectSizes, optional
        Table with one row per estimate; None if the arguments are arrays.
    d, r, z, logOR, OR, y : column name or array
        Effect sizes; `y` stands for units of their own.
    se, v, n, t, lCI, uCI : column name or array
        How precise they are. See `effect_sizes`.
    study_names : column name or array, optional
        Labels.
    study_ids : column name or array, optional
        Estimates with one id form a cluster, with correlation rho of their true
        effects. Missing ids, and ids that occur once, stand for independent
        estimates. None: no clusters.
    transformation : str, optional
        Measure of the likelihood: "fishers_z", "cohens_d", "r", "logOR" or "none".
        None: "fishers_z", or "none" with `y`.
    prior_scale : str, optional
        Measure of the priors and the results. None: "cohens_d", or "none" with `y`.
    effect_mapping : {"linear", "exact"}
        How mu goes from the prior scale to that of the likelihood. The linear rule,
        e.g. d / 2 for Fisher's z, is that of the published Bayes factors and shrinks
        large effects; "exact" converts as the data are converted.
    rescale_priors : float
        Factor on the scale of the default priors of effect and heterogeneity; that of
        PEESE is divided by it. Default priors are made for Cohen's d and used as they
        are on any other `prior_scale`.
    priors_effect, priors_effect_null : Prior, list of Prior, None or DEFAULT
        Of mu. DEFAULT: Normal(0, 1) against a spike at 0. None leaves a side out.
    priors_heterogeneity, priors_heterogeneity_null
        Of tau. DEFAULT: InvGamma(1, 0.15) against a spike at 0.
    priors_hierarchical, priors_hierarchical_null
        Of rho, used if some id is shared. DEFAULT: Beta(1, 1), without a null. To
        test clustering give ``prior("spike", location=0)`` as the null. None on both
        sides treats all estimates as independent.
    priors_bias : prior_weightfunction, prior_PET, prior_PEESE, list, None or DEFAULT
        Of publication bias. DEFAULT: the eight priors of `model_type`. None: none.
    priors_bias_null
        DEFAULT: `prior_none`.
    model_type : {"PSMA", "PP", "2w"}, optional
        Which default bias priors: six weight functions, PET and PEESE; PET and PEESE;
        two two-sided weight functions. None: "PSMA".
    effect_direction : {"positive", "negative"}
        Sign of the effects that publication bias favours.
    chains, warmup, draws : int, optional
        Markov chains per model, adaptation and kept iterations per chain. A model is
        extended until it passes the checks of `settings`. None: as in
        `SamplerSettings`.
    settings : SamplerSettings, optional
        All settings of the chains and the checks, instead of the three above.
    seed : int, optional
        Makes every number reproducible, whatever `cores` is, unless a model runs into
        ``max_seconds`` of the settings. None draws one.
    cores : int, optional
        Processes at the same time. None: as many as there are.
    executor : executor, optional
        Anything with the `submit` of `concurrent.futures` to run models elsewhere.
    progress : bool, optional
        Show on stderr how many models are done and the time left. None: if stderr is a
        terminal.
    fits : sequence of Fit, optional
        Models fitted before, e.g. those of a `FitError`, to go on from there.

    Returns
    -------
    RobmaFit
        Print it, or see ``summary()``, ``inclusion``, ``models``, ``draws()``.

    Raises
    ------
    DataError, PriorError, SettingsError
        If an argument cannot be used.
    FitError
        If a model fails; the others are in its ``fits``.
    FitInterrupted
        On an interrupt from the keyboard; finished models are in its ``fits``.

    Warns
    -----
    DataWarning
        If the linear mapping moves the mean effect by more than 2 %, clusters or priors
        of rho are not used, there is one cluster only, default priors meet `y` in far
        other units, or the effect lies on the other side of `effect_direction`.
    PriorWarning
        If a prior reaches outside the legal values of its parameter and is truncated.
    ConvergenceWarning
        If a model misses a check after all extensions.

    Notes
    -----
    y_k ~ MVN(mu 1, diag(se^2) + tau^2 [(1 - rho) I + rho 11']) in cluster k, true
    effects integrated out; marginal likelihoods by Warp-III bridge sampling. PET and
    PEESE add PET se or PEESE se^2 to the mean. Under selection the density of a
    cluster is multiplied by the weights of its p-values and divided by the expectation
    of that product, a one-dimensional integral whatever the size of the cluster,
    certified to 1e-3 of the log likelihood.

    Before its chains run, the posterior of each model is surveyed: modes are sought
    from points that the data and the priors suggest, and its integral and means are
    found by quadrature (up to three free parameters) or importance sampling. Chains
    start there, and their results are held to this second estimate
    (``summary("diagnostics")``); where they differ, draws come from the survey. In
    ensembles of nine models and more, a model whose posterior probability is below
    1e-6 is left at its survey. Effects given as `y` are fitted in a unit of their own,
    so that results do not depend on the data's.

    References
    ----------
    .. [1] Bartos F., Maier M., Wagenmakers E.-J., Doucouliagos H., Stanley T. D.
       (2023). Robust Bayesian meta-analysis. Research Synthesis Methods 14(1).
       doi:10.1002/jrsm.1594
    .. [2] Gronau Q. F., Heck D. W., Berkhout S. W., Haaf J. M., Wagenmakers E.-J.
       (2021). A primer on Bayesian model-averaged meta-analysis. AMPPS 4(3).
       doi:10.1177/25152459211031256

    Examples
    --------
    >>> import pyrobma as rb
    >>> schools = rb.load_dataset("konstantopoulos2011")
    >>> fit = rb.robma(schools, d="yi", v="vi", study_ids="district", priors_bias=None,
    ...                seed=1)
    >>> int(fit.inclusion.loc["effect", "models"])
    2
    """
    settings = _settings(settings, chains=chains, warmup=warmup, draws=draws)
    _check_run(seed, cores)
    effects = effect_sizes(
        data, d=d, r=r, z=z, logOR=logOR, OR=OR, y=y, se=se, v=v, n=n, t=t, lCI=lCI,
        uCI=uCI, study_names=study_names, study_ids=study_ids,
        transformation=transformation,
    )  # fmt: skip
    task = _task(effects, prior_scale, effect_mapping, effect_direction)
    if not (isinstance(rescale_priors, Real) and 0 < rescale_priors < np.inf):
        raise PriorError(
            f"rescale_priors: expected a positive number; got {rescale_priors!r}."
        )
    hierarchical = component_priors(priors_hierarchical, "hierarchical")
    hierarchical_null = component_priors(
        priors_hierarchical_null, "hierarchical", null=True
    )
    if effects.clustered and not (hierarchical or hierarchical_null):
        warnings.warn(
            "study_ids: the clusters are not used, because priors_hierarchical and "
            "priors_hierarchical_null are both None; estimates are treated as "
            "independent.",
            DataWarning,
            stacklevel=2,
        )
    given = not isinstance(priors_hierarchical, Default) and hierarchical
    if given and not effects.clustered:
        warnings.warn(
            "priors_hierarchical: not used, because no study id is shared.",
            DataWarning,
            stacklevel=2,
        )
    if rescale_priors == 1:
        _check_units(effects, priors_effect, priors_heterogeneity)
    if model_type is not None and not isinstance(priors_bias, Default):
        raise PriorError(
            f"model_type: expected None beside priors_bias; got {model_type!r}. Give "
            "one of the two."
        )
    space = model_space(
        effect=component_priors(
            priors_effect, "effect", rescale=rescale_priors, scale=task.prior_scale
        ),
        effect_null=component_priors(
            priors_effect_null, "effect", null=True, scale=task.prior_scale
        ),
        heterogeneity=component_priors(
            priors_heterogeneity, "heterogeneity", rescale=rescale_priors
        ),
        heterogeneity_null=component_priors(
            priors_heterogeneity_null, "heterogeneity", null=True
        ),
        bias=bias_priors(
            priors_bias, rescale=rescale_priors, model_type=model_type or "PSMA"
        ),
        bias_null=bias_priors(priors_bias_null, null=True),
        hierarchical=hierarchical if effects.clustered else (),
        hierarchical_null=hierarchical_null if effects.clustered else (),
    )
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    chosen = settings.resolved(len(space))
    try:
        fitted = fit_models(
            task, space, settings=settings, seed=seed, cores=cores, executor=executor,
            progress=progress, fits=fits,
        )  # fmt: skip
    except (FitError, FitInterrupted) as error:
        if error.fits:
            finished = ModelSpace(tuple(fit.spec for fit in error.fits))
            error.finished = RobmaFit(task, finished, error.fits, chosen, seed)
        raise
    result = RobmaFit(task, space, fitted, chosen, seed)
    for text in ensemble_warnings(result):
        warnings.warn(text, ConvergenceWarning, stacklevel=2)
    _check_mapping(result)
    _check_direction(result)
    return result


def _settings(settings: Any, **single: int | None) -> SamplerSettings:
    given = {name: value for name, value in single.items() if value is not None}
    if settings is None:
        return SamplerSettings(**given)
    if not isinstance(settings, SamplerSettings):
        raise SettingsError(
            f"settings: expected SamplerSettings or None; got {settings!r}. Write "
            "settings=SamplerSettings(chains=4)."
        )
    if given:
        raise SettingsError(
            f"{', '.join(given)}: expected None beside settings; got "
            f"{', '.join(map(repr, given.values()))}. Give one or the other."
        )
    return settings


def _check_run(seed: Any, cores: Any) -> None:
    for name, value, least in (("seed", seed, 0), ("cores", cores, 1)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if value is not None and not (whole and value >= least):
            raise SettingsError(
                f"{name}: expected a whole number of at least {least}, or None; got "
                f"{value!r}."
            )


def _task(
    effects: EffectSizes,
    prior_scale: Measure | None,
    effect_mapping: EffectMapping,
    effect_direction: EffectDirection,
) -> Task:
    if prior_scale is None:
        prior_scale = "none" if effects.measure == "none" else "cohens_d"
    allowed = ("cohens_d", "fishers_z", "r", "logOR", "none")
    if prior_scale not in allowed:
        raise DataError(
            f"prior_scale: expected one of {', '.join(allowed)}; got {prior_scale!r}."
        )
    if (prior_scale == "none") != (effects.measure == "none"):
        raise DataError(
            f"prior_scale: expected 'none' exactly when the data are on 'none'; got "
            f"{prior_scale!r} with data on {effects.measure!r}."
        )
    if effect_mapping not in ("linear", "exact"):
        raise DataError(
            f"effect_mapping: expected 'linear' or 'exact'; got {effect_mapping!r}."
        )
    if effect_direction not in ("positive", "negative"):
        raise DataError(
            "effect_direction: expected 'positive' or 'negative'; got "
            f"{effect_direction!r}."
        )
    return Task(effects, prior_scale, effect_mapping, effect_direction)


def _check_units(effects: EffectSizes, *priors: object) -> None:
    """Warn if default priors, made for Cohen's d, meet data in far other units."""
    typical = float(np.median(np.hypot(effects.y, effects.se)))
    default = any(isinstance(p, Default) for p in priors)
    low, high = TYPICAL_UNITS
    if effects.measure == "none" and default and not low <= typical <= high:
        warnings.warn(
            f"y: the default priors are made for effects of about 1, as Cohen's d is; "
            f"here {typical:.3g} is typical. Give priors in the units of y, or set "
            "rescale_priors.",
            DataWarning,
            stacklevel=3,
        )


def _check_mapping(result: RobmaFit) -> None:
    task = result.task
    if task.effect_mapping == "exact" or task.prior_scale == task.effects.measure:
        return
    mean = result.mixture("mu").mean()
    # What the fitted mean of the data is on the prior scale, converted exactly.
    on_data = float(result.converter("tau", task.effects.measure)(np.array(mean)))
    if task.effects.measure == "r" and abs(on_data) >= 1:
        exact = float(np.copysign(np.inf, on_data))  # no correlation
    else:
        exact = transform_effect(on_data, task.effects.measure, task.prior_scale)
    if abs(exact - mean) > MAPPING_TOLERANCE * abs(mean):
        warnings.warn(
            f"effect_mapping: the linear mapping gives a mean effect of {mean:.3f}, "
            f"which converts to {exact:.3f} as the data do. For effects this large use "
            "effect_mapping='exact'.",
            DataWarning,
            stacklevel=3,
        )


def _check_direction(result: RobmaFit) -> None:
    """Warn if the effect contradicts the direction that biased models assume."""
    one_sided = any(
        not isinstance(m.bias, NoBias)
        and not (isinstance(m.bias, WeightFunction) and m.bias.sides == 2)
        for m in result.space.models
    )
    if not one_sided or not any("effect" in m.alternative for m in result.space.models):
        return
    direction = result.task.effect_direction
    # Not the median alone, whose sign may be a matter of the seed.
    low, median, high = result.mixture("mu", conditional=True).quantiles(
        [0.4, 0.5, 0.6]
    )
    if (high < 0) if direction == "positive" else (low > 0):
        other = "negative" if direction == "positive" else "positive"
        warnings.warn(
            f"effect_direction: the effect (median {median:.3f} given that there is "
            f"one) is not {direction}, as models of publication bias assume. Consider "
            f"effect_direction='{other}'.",
            DataWarning,
            stacklevel=3,
        )
