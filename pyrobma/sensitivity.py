"""How Bayes factors and estimates change with the prior of a component."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from pyrobma._format import bayes_factor_of_log, decimals, error, fixed, listed
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.reweighting import (
    Reweighted,
    averaged,
    component_evidence,
    probabilities,
    reweighted,
)
from pyrobma.errors import ConvergenceWarning, DataError, PriorError
from pyrobma.fit import Executors, Fit, fit_models
from pyrobma.fit.settings import check_run
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.models.spec import Likelihood
from pyrobma.models.varied import Varied, varied_unknowns, with_priors, with_scales
from pyrobma.parameters import Parameter
from pyrobma.plots.sensitivity import plot_sensitivity
from pyrobma.plots.theme import with_unit
from pyrobma.priors import PEESE, PET, Prior
from pyrobma.summary import Table

if TYPE_CHECKING:
    from plotnine import ggplot

SCALES: Final = tuple((2.0 ** np.linspace(-3.0, 3.0, 9)).tolist())
"""Factors that are tried unless others are given: from 1/8 to 8, evenly in logs."""

_MATTERS: Final = 1e-4  # posterior probability
_IMPRECISE: Final = 2.0
"""Times `max_mcse` that the error of reweighting a model that matters may be."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sensitivity:
    """What `sensitivity` returns.

    Attributes
    ----------
    ensemble : Ensemble
        The one that was given.
    component : str
        The component, or kind of bias, whose priors were changed; the first of several.
    unknowns : tuple of Parameter
        Its unknowns.
    frame : DataFrame
        One row per prior and component. ``factor`` on the scale of the prior (1 as
        fitted, NaN for priors that were given); ``scale``, that of the prior in the
        unit of the parameter (NaN if there are several), and ``scale_name``, what that
        is ("sd", "scale", ...); ``prior`` as text; ``component``; ``prior_prob``,
        ``post_prob``, ``inclusion_bf``, ``log_bf`` and its Monte Carlo standard error
        ``log_bf_mcse``; ``mean`` and ``mean_mcse`` of the component's unknown, averaged
        over all models, on the prior scale (NaN if it has none or several); ``how``
        ("as fitted"; "refitted" if any model was, else "reweighted"), ``refitted``, how
        many were, and ``pareto_k``, the largest of those reweighted (NaN without any).
    estimates : DataFrame
        One row per prior and scalar unknown: ``factor``, ``scale``, ``prior``,
        ``parameter``, ``mean`` and ``mean_mcse``.
    fits : tuple of Fit
        Models that were fitted again. Another call that has them as ``fits`` does not
        fit them a second time.
    """

    ensemble: Ensemble
    component: str
    unknowns: tuple[Parameter, ...]
    frame: pd.DataFrame
    estimates: pd.DataFrame
    fits: tuple[Fit, ...]

    def plot(self, component: str | None = None, **size: float | None) -> ggplot:
        """Draw a Bayes factor by the prior.

        Parameters
        ----------
        component : str, optional
            Whose Bayes factor; one in `frame`. None: that whose priors were changed.
        **size
            ``width``, ``height`` (inches) and ``text_size`` (points), as of
            `pyrobma.plots.plot_sensitivity`.

        Returns
        -------
        plotnine.ggplot
            As of `pyrobma.plots.plot_sensitivity`.

        Raises
        ------
        DataError
            If there is no such component, or no finite Bayes factor of it.
        """
        name = self.component if component is None else component
        known = dict.fromkeys(self.frame["component"])
        if name not in known:
            raise DataError(
                f"component: expected one of {', '.join(known)}; got {name!r}."
            )
        title = self.ensemble.unknowns.component(name).title
        return plot_sensitivity(
            self._rows(name), title=title, axis=self._axis(), **size
        )

    def summary(self) -> Table:
        """Tabulate the Bayes factor and the averaged mean by the prior.

        Returns
        -------
        Table
            One row per prior: those of the component's rows of `frame`.
        """
        rows = self._rows(self.component)
        frame = pd.DataFrame(
            {
                "Factor": rows["factor"],
                "Inclusion BF": rows["inclusion_bf"],
                "error(log BF)": rows["log_bf_mcse"],
                "Mean": rows["mean"],
                "error(mean)": rows["mean_mcse"],
                "Models": rows["how"],
            }
        )
        frame.index = pd.Index(rows["prior"], name="prior")
        single = len(self.unknowns) == 1
        title = self.ensemble.unknowns.component(self.component).title
        mean = f"Mean: of {self.unknowns[0].name}, averaged over all models."
        return Table(
            f"Sensitivity to the prior of the alternative: {title}",
            frame if single else frame.drop(columns=["Mean", "error(mean)"]),
            {
                "Factor": fixed(3),
                "Inclusion BF": tuple(map(bayes_factor_of_log, rows["log_bf"])),
                "error(log BF)": error,
                "Mean": fixed(decimals(rows["mean"])),
                "error(mean)": error,
            },
            (mean,) if single else (),
        )

    def _rows(self, component: str) -> pd.DataFrame:
        return self.frame[self.frame["component"] == component]

    def _axis(self) -> str:
        """Return the title of the axis of scales."""
        row = self.unknowns[0]
        titles = list(dict.fromkeys(row.component.title for row in self.unknowns))
        own = len(self.unknowns) == 1 and row.enters != "moderator"
        of = row.symbol if own else listed(titles)
        names = set(self.frame["scale_name"])
        name = names.pop() if len(names) == 1 else ""
        if not name:
            return f"Scale of the prior of {of}, times that fitted"
        text = f"{name if name == 'sd' else name.capitalize()} of the prior of {of}"
        unit = name != "concentration" and row.unit in ("effect", "spread")
        return with_unit(text, self.ensemble.task.prior_scale) if unit else text

    def __repr__(self) -> str:
        """Return the table."""
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().to_html()


def sensitivity(
    ensemble: Ensemble,
    component: str | Sequence[str],
    *,
    scales: Iterable[float] | None = None,
    priors: Iterable[Prior | PET | PEESE] | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
    progress: bool | None = None,
    fits: Sequence[Fit] = (),
) -> Sensitivity:
    """Find how results change with the prior of a component.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    component : str
        "effect", "heterogeneity", "hierarchical", "PET", "PEESE" or a moderator's term:
        one that some model is the alternative for. If it has several unknowns, or if
        several components are given, their priors change together.
    scales : iterable of float, optional
        Positive factors on the scales of the alternative's priors; 1 is added. None:
        nine from 1/8 to 8.
    priors : iterable of Prior, optional
        Priors that take the place of all the alternative's instead, one at a time, each
        for every unknown of the component; `prior_PET` and `prior_PEESE` will do for
        theirs. The models keep their weights, whatever ``prior_weight`` says. None:
        `scales`.
    seed : int, optional
        Of models that are fitted again, not negative. None: it follows from that of
        the ensemble.
    cores, executor, progress
        As in `robma`, for models that are fitted again.
    fits : sequence of Fit
        Models fitted before, e.g. those of an earlier `Sensitivity` or of a `FitError`.

    Returns
    -------
    Sensitivity
        Print it, or see ``frame`` and ``plot()``.

    Raises
    ------
    DataError
        If there is no such component, no model is the alternative for it, or its
        priors have no scale, as those of selection.
    PriorError
        If a scale is not positive, or a prior is none of an alternative or has no
        probability among the legal values of the unknown.
    SettingsError
        If `seed` or `cores` cannot be used.
    FitError
        If a model fails; the others are in its ``fits``.
    FitInterrupted
        On an interrupt from the keyboard; finished models are in its ``fits``.

    Warns
    -----
    PriorWarning
        If a prior that was given reaches outside the legal values and is truncated.
    ConvergenceWarning
        If a model that was fitted again misses a check.

    Notes
    -----
    A factor multiplies the sd or scale of normal, Student's t and Cauchy priors, around
    their location; the scale of an inverse gamma; 1 / rate of a gamma or an
    exponential; exp(meanlog) of a lognormal; both ends of a uniform. A beta, the usual
    prior of rho, has no scale: its concentration alpha + beta is multiplied, so that
    larger factors are narrower priors around the same mean. Truncations stay.

    A model without the component keeps its fit. Of one with it, the marginal
    likelihood under a new prior is the old one times the posterior mean of
    w = Π p_new(θ) / p_old(θ) over the component's unknowns, and draws weighted by w are
    from the new posterior. This is used where the old prior has density wherever the
    new one has; the Pareto k of w is below 0.5, so that w has a variance and its mean
    an error [1]_; and, in models with a posterior probability above 1e-4, that error is
    at most twice the ``max_mcse`` of the settings. Otherwise the model is fitted again
    with the new prior. Each model is fitted once, and none that the ensemble has.

    References
    ----------
    .. [1] Vehtari A., Simpson D., Gelman A., Yao Y., Gabry J. (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).

    Examples
    --------
    >>> import pyrobma as rb
    >>> fit = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], priors_bias=None, seed=1)
    >>> found = rb.sensitivity(fit, "effect", scales=[0.5, 2])
    >>> found.summary().frame.index.tolist()
    ['Normal(0, 0.5)', 'Normal(0, 1)', 'Normal(0, 2)']
    """
    check_run(seed, cores)
    space, measure = ensemble.space, ensemble.task.prior_scale
    names = (component,) if isinstance(component, str) else tuple(component)
    if not names:
        raise DataError("component: expected one or more; got none.")
    unknowns = tuple(
        row
        for name in dict.fromkeys(names)
        for row in varied_unknowns(space, name, ensemble.unknowns)
    )
    if priors is None:
        factors = SCALES if scales is None else scales
        cases = with_scales(space, unknowns, factors, measure)
    elif scales is None:
        cases = with_priors(space, unknowns, priors, measure)
    else:
        raise PriorError(
            "scales: expected None beside priors; got both. Give one of the two."
        )
    found, wanted = _from_draws(ensemble, cases)
    if seed is None:
        # Not that of the ensemble: errors of old and new fits must be independent.
        sequence = np.random.SeedSequence([ensemble.seed, 2])
        seed = int(sequence.generate_state(1)[0])
    again: tuple[Fit, ...] = ()
    if wanted:
        again = fit_models(
            ensemble.task, ModelSpace(wanted), settings=ensemble.settings, seed=seed,
            cores=cores, executor=executor, progress=progress, fits=fits,
        )  # fmt: skip
    for fit in again:
        found[fit.spec.likelihood] = Reweighted.of(fit, "refitted")
        if not fit.ok:
            warnings.warn(
                f"Model fitted again ({fit.spec}): {'; '.join(fit.reasons)}.",
                ConvergenceWarning,
                stacklevel=2,
            )
    evidence, estimates = _tabulated(ensemble, names, cases, found)
    return Sensitivity(ensemble, names[0], unknowns, evidence, estimates, again)


def _from_draws(
    ensemble: Ensemble, cases: Sequence[Varied]
) -> tuple[dict[Likelihood, Reweighted], tuple[ModelSpec, ...]]:
    """Return what the fits say of all models, and the models to fit again."""
    fitted = {fit.spec.likelihood: Reweighted.of(fit) for fit in ensemble.fits}
    found = dict(fitted)
    for case in cases:
        for fit, spec in zip(ensemble.fits, case.space, strict=True):
            key = spec.likelihood
            if key in fitted:
                continue
            new = reweighted(fit, spec)
            # Several models may have become one.
            if new and (key not in found or new.error < found[key].error):
                found[key] = new
    most = _IMPRECISE * ensemble.settings.max_mcse
    again: dict[Likelihood, ModelSpec] = {}
    for case in cases:
        known = [found.get(spec.likelihood) for spec in case.space]
        logml = [
            fit.logml if one is None else one.logml
            for fit, one in zip(ensemble.fits, known, strict=True)
        ]
        chance = probabilities(ensemble, np.array(logml))
        for spec, one, p in zip(case.space, known, chance, strict=True):
            imprecise = one is None or (p > _MATTERS and one.ratio_error > most)
            if one is None or imprecise or not one.reliable:
                again.setdefault(spec.likelihood, spec)
    return found, tuple(again.values())


def _tabulated(
    ensemble: Ensemble,
    varied: Sequence[str],
    cases: Sequence[Varied],
    found: dict[Likelihood, Reweighted],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frames of evidence and of estimates."""
    table = ensemble.unknowns
    components = {
        name: [row.name for row in table.of_component(name) if row.scalar]
        for name in (*ensemble.components, *varied)
    }
    evidence: list[dict[str, Any]] = []
    estimates: list[dict[str, Any]] = []
    for case in cases:
        models = [
            Reweighted.of(fit) if spec == fit.spec else found[spec.likelihood]
            for fit, spec in zip(ensemble.fits, case.space, strict=True)
        ]
        logml = np.array([one.logml for one in models])
        chance = probabilities(ensemble, logml)
        means = {
            name: averaged(models, chance, name)
            for names in components.values()
            for name in names
        }
        same: dict[str, Any] = {"factor": case.factor, "scale": case.scale}
        for name, (mean, mcse) in means.items():
            one = {"parameter": name, "mean": mean, "mean_mcse": mcse}
            estimates.append({**same, "prior": case.prior, **one})
        same |= {"scale_name": case.scale_name, "prior": case.prior}
        sources = _sources(models)
        for name, own in components.items():
            found_bf = _evidence(ensemble, name, models)
            mean, mcse = means[own[0]] if len(own) == 1 else (math.nan, math.nan)
            row = {**same, "component": name, **found_bf, "mean": mean}
            evidence.append({**row, "mean_mcse": mcse, **sources})
    return pd.DataFrame(evidence), pd.DataFrame(estimates)


def _evidence(
    ensemble: Ensemble, component: str, models: Sequence[Reweighted]
) -> dict[str, float]:
    """Return probabilities and Bayes factor of a component."""
    found = component_evidence(ensemble, component, models)
    with np.errstate(over="ignore"):
        factor = float(np.exp(found.log_bf))
    return {
        "prior_prob": found.prior_prob,
        "post_prob": found.post_prob,
        "inclusion_bf": factor,
        "log_bf": found.log_bf,
        "log_bf_mcse": found.log_bf_mcse,
    }


def _sources(models: Sequence[Reweighted]) -> dict[str, Any]:
    """Say where the results of some models come from."""
    every = [one.how for one in models]
    how = next(h for h in ("refitted", "reweighted", "as fitted") if h in every)
    k = [one.pareto_k for one in models if one.how == "reweighted"]
    return {
        "how": how,
        "refitted": every.count("refitted"),
        "pareto_k": max(k, default=math.nan),
    }
