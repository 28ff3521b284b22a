"""What a meta-analysis would say without each of its studies."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from pyrobma._format import bayes_factor_of_log, decimals, fixed
from pyrobma._types import FloatArray
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.deletion import can_be_trusted, deleted, without
from pyrobma.ensemble.left_out import by_units, unit_names
from pyrobma.ensemble.reweighting import (
    Reweighted,
    averaged,
    component_evidence,
    probabilities,
)
from pyrobma.errors import ConvergenceWarning, DataError
from pyrobma.fit import Executors, Fit
from pyrobma.fit.schedule import Analysis, fit_analyses
from pyrobma.fit.settings import check_run
from pyrobma.models import ModelSpace, ModelSpec
from pyrobma.models.spec import Likelihood
from pyrobma.plots.influence import draw_influence, influence_frame
from pyrobma.plots.theme import Size
from pyrobma.summary import Table

if TYPE_CHECKING:
    from plotnine import ggplot

Refit: TypeAlias = Literal["auto"] | bool
"""Whether models are fitted again: where draws do not tell, never, or always."""

_MATTERS: Final = 1e-4  # posterior probability
_SHARE: Final = 0.05  # of the evidence for a component, or against it


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Influence:
    """What `influence` returns.

    Attributes
    ----------
    ensemble : Ensemble
        The one that was given.
    by : {"study", "cluster"}
        What was left out at a time.
    frame : DataFrame
        One row per study or cluster, in their order. ``study`` or ``cluster``; ``mu``
        and ``tau`` without it, averaged over all models, on the prior scale, and their
        Monte Carlo standard errors ``mu_mcse`` and ``tau_mcse``; ``mu_change`` and
        ``tau_change``, these less what they are with all data; ``how`` ("refitted" if
        any model was, else "reweighted"), ``refitted``, how many were, and
        ``pareto_k``, the largest of the models that matter and were reweighted (NaN
        without any); ``reliable``, whether that is small enough.
    components : DataFrame
        One row per study and component: ``post_prob``, ``inclusion_bf``, ``log_bf``,
        its Monte Carlo standard error ``log_bf_mcse``, and ``log_bf_change``;
        ``reliable``, whether the models that make the Bayes factor can be trusted. If
        not, as where one side has next to no probability, the error is not known (NaN).
    models : DataFrame
        One row per study and model (numbered from 1): ``logml``, ``post_prob``,
        ``post_prob_change``, ``how`` and ``pareto_k``.
    fits : tuple of Fit
        Models that were fitted again. Another call that has them as ``fits`` does not
        fit them a second time.
    """

    ensemble: Ensemble
    by: str
    frame: pd.DataFrame
    components: pd.DataFrame
    models: pd.DataFrame
    fits: tuple[Fit, ...]

    def plot(
        self,
        *,
        width: float | None = None,
        height: float | None = None,
        text_size: float | None = None,
    ) -> ggplot:
        """Draw what studies do to the mean effect against what they add to Q.

        Parameters
        ----------
        width, height, text_size : float, optional
            As of `pyrobma.plots.plot_influence`.

        Returns
        -------
        plotnine.ggplot
            That of `pyrobma.plots.plot_influence`, with the numbers of `frame`: those
            of models that were fitted again too.

        Raises
        ------
        DataError
            On a size that is none.
        """
        page = Size(width, height, text_size).page(height=4.2)
        frame = influence_frame(self.ensemble, by=self.by).assign(
            influence=-self.frame["mu_change"], reliable=self.frame["reliable"]
        )
        return draw_influence(frame, self.by, self.ensemble.task.prior_scale, page)

    def summary(self) -> Table:
        """Tabulate estimates and Bayes factors without each study.

        Returns
        -------
        Table
            One row per study or cluster.
        """
        frame, names = self.frame, [*self.components["component"].unique()]
        columns: dict[str, Any] = {
            "mu": frame["mu"],
            "mu change": frame["mu_change"],
            "tau": frame["tau"],
            "tau change": frame["tau_change"],
        }
        formats: dict[str, Any] = {
            name: fixed(decimals(columns[name.split()[0]])) for name in columns
        }
        for name in names:
            rows = self.components[self.components["component"] == name]
            title = f"BF {self.ensemble.unknowns.component(name).title}"
            columns[title] = rows["inclusion_bf"].to_numpy()
            formats[title] = tuple(
                mark + bayes_factor_of_log(log_bf)
                for log_bf, mark in zip(
                    rows["log_bf"], np.where(rows["reliable"], "", "~"), strict=True
                )
            )
        columns |= {"Models": frame["how"], "Pareto k": frame["pareto_k"]}
        formats["Pareto k"] = fixed(2)
        shown = pd.DataFrame(columns)
        shown.index = pd.Index(frame[self.by], name=self.by)
        notes = [
            f"Without the {self.by}; change: less what it is with all. BF: inclusion "
            "Bayes factor."
        ]
        if not self.components["reliable"].all():
            notes.append("~: of this order; draws do not tell more. See refit=True.")
        if not frame["reliable"].all():
            notes.append(
                "Pareto k of some is too large: these rows cannot be trusted. "
                "refit='auto' fits their models again."
            )
        return Table(f"Results without each {self.by}:", shown, formats, tuple(notes))

    def __repr__(self) -> str:
        """Return the table."""
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().to_html()


def influence(
    ensemble: Ensemble,
    by: str = "study",
    *,
    refit: Refit = "auto",
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
    progress: bool | None = None,
    fits: Sequence[Fit] = (),
) -> Influence:
    """Find what results would be without each study, or each cluster.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    by : {"study", "cluster"}
        What is left out at a time: an estimate, or all estimates of a cluster.
    refit : {"auto", True, False}
        "auto": draws are reweighted, and models are fitted again where that cannot be
        trusted. True: all models, which takes as long as `robma` for each study.
        False: none.
    seed : int, optional
        Of models that are fitted again, not negative. None: it follows from that of
        the ensemble.
    cores, executor, progress
        As in `robma`, for models that are fitted again.
    fits : sequence of Fit
        Models fitted before, e.g. those of an earlier `Influence`.

    Returns
    -------
    Influence
        Print it, or see ``frame``, ``components``, ``models`` and ``plot()``.

    Raises
    ------
    DataError
        On an unknown `by` or `refit`, or if there is only one to leave out.
    SettingsError
        If `seed` or `cores` cannot be used.
    FitError
        If a model fails; the others are in its ``fits``.
    FitInterrupted
        On an interrupt from the keyboard; finished models are in its ``fits``.

    Warns
    -----
    ConvergenceWarning
        If a model that was fitted again misses a check.

    Notes
    -----
    Without a study, with the density f' of the other data instead of f, the marginal
    likelihood of a model is the old one times the posterior mean of f' / f, and draws
    weighted by f' / f are from the new posterior; the largest weights are smoothed by a
    Pareto distribution [1]_. Model probabilities, Bayes factors and averages follow.
    This is used where the Pareto k of the weights is at most 0.7 (less with few draws);
    "auto" fits a model again where it is larger and its posterior probability, with the
    study or without, is above 1e-4. The study's cluster is then one of fewer estimates,
    selected as such. Moderators keep their coding, and all priors their scale.

    References
    ----------
    .. [1] Vehtari A., Simpson D., Gelman A., Yao Y., Gabry J. (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).

    Examples
    --------
    >>> import pyrobma as rb
    >>> fit = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], priors_bias=None, seed=1)
    >>> fit.influence(refit=False).frame["how"].tolist()
    ['reweighted', 'reweighted', 'reweighted']
    """
    units = by_units(by)
    check_run(seed, cores)
    if refit not in ("auto", True, False):
        raise DataError(f"refit: expected 'auto', True or False; got {refit!r}.")
    effects = ensemble.task.effects
    names = unit_names(effects, by)
    if len(names) < 2:
        raise DataError(
            f"by: expected two or more to leave one out; got {len(names)} {by}."
        )
    if seed is None:
        # Not that of the ensemble: errors of old and new fits must be independent.
        sequence = np.random.SeedSequence([ensemble.seed, 4])
        seed = int(sequence.generate_state(1)[0])
    number = np.arange(effects.K) if by == "study" else effects.cluster
    from_draws = deleted(ensemble, units)
    cases = [[each[i] for each in from_draws] for i in range(len(names))]
    again = {
        i: Analysis(
            without(ensemble.task, number != i), ModelSpace(wanted), _seed(seed, i),
            f"without {names[i]}",
        )
        for i, models in enumerate(cases)
        if (wanted := _to_fit(ensemble, models, refit))
    }  # fmt: skip
    found = fit_analyses(
        tuple(again.values()), settings=ensemble.settings, cores=cores,
        executor=executor, progress=progress, fits=fits, what=f"{by} left out",
    )  # fmt: skip
    for i, new in zip(again, found, strict=True):
        cases[i] = _with_fits(cases[i], new, names[i])
    new_fits = tuple(fit for one in found for fit in one)
    return _tabulated(ensemble, by, names, cases, new_fits)


def _seed(seed: int, unit: int) -> int:
    return int(np.random.SeedSequence([seed, unit]).generate_state(1)[0])


def _to_fit(
    ensemble: Ensemble, models: Sequence[Reweighted], refit: Refit
) -> tuple[ModelSpec, ...]:
    """Return the models to fit again, each posterior once."""
    if refit is False:
        return ()
    wanted: dict[Likelihood, ModelSpec] = {}
    new = probabilities(ensemble, _logml(models))
    chance = np.maximum(new, ensemble.post_prob)
    for model, p in zip(models, chance, strict=True):
        if refit is True or (p > _MATTERS and not can_be_trusted(model)):
            wanted.setdefault(model.spec.likelihood, model.spec)
    return tuple(wanted.values())


def _with_fits(
    models: Sequence[Reweighted], fits: Sequence[Fit], name: str
) -> list[Reweighted]:
    found = {fit.spec.likelihood: Reweighted.of(fit, "refitted") for fit in fits}
    for fit in fits:
        if not fit.ok:
            warnings.warn(
                f"Model fitted again without {name} ({fit.spec}): "
                f"{'; '.join(fit.reasons)}.",
                ConvergenceWarning,
                stacklevel=3,
            )
    return [found.get(model.spec.likelihood, model) for model in models]


def _logml(models: Sequence[Reweighted]) -> FloatArray:
    return np.array([model.logml for model in models])


def _tabulated(
    ensemble: Ensemble,
    by: str,
    names: Sequence[str],
    cases: Sequence[Sequence[Reweighted]],
    fits: tuple[Fit, ...],
) -> Influence:
    whole = {name: ensemble.mixture(name).mean() for name in ("mu", "tau")}
    factors = ensemble.inclusion["log_bf"]
    frame: list[dict[str, Any]] = []
    components: list[dict[str, Any]] = []
    every: list[pd.DataFrame] = []
    for name, models in zip(names, cases, strict=True):
        logml = _logml(models)
        chance = probabilities(ensemble, logml)
        row: dict[str, Any] = {by: name}
        for parameter, old in whole.items():
            mean, mcse = averaged(models, chance, parameter)
            row |= {
                parameter: mean,
                f"{parameter}_mcse": mcse,
                f"{parameter}_change": mean - old,
            }
        frame.append(row | _sources(models, np.maximum(chance, ensemble.post_prob)))
        for component, old in factors.items():
            found = component_evidence(ensemble, str(component), models)
            trusted = _evidence_is_trusted(ensemble, models, str(component))
            with np.errstate(over="ignore", invalid="ignore"):
                components.append(
                    {
                        by: name,
                        "component": component,
                        "post_prob": found.post_prob,
                        "inclusion_bf": float(np.exp(found.log_bf)),
                        "log_bf": found.log_bf,
                        "log_bf_mcse": found.log_bf_mcse if trusted else math.nan,
                        "log_bf_change": np.subtract(found.log_bf, old),
                        "reliable": trusted,
                    }
                )
        every.append(
            pd.DataFrame(
                {
                    by: name,
                    "model": np.arange(1, len(models) + 1),
                    "logml": logml,
                    "post_prob": chance,
                    "post_prob_change": chance - ensemble.post_prob,
                    "how": [one.how for one in models],
                    "pareto_k": [one.pareto_k for one in models],
                }
            )
        )
    return Influence(
        ensemble,
        by,
        pd.DataFrame(frame),
        pd.DataFrame(components),
        pd.concat(every, ignore_index=True),
        fits,
    )


def _evidence_is_trusted(
    ensemble: Ensemble, models: Sequence[Reweighted], component: str
) -> bool:
    """Whether the models with most of the evidence on either side can be trusted."""
    member = ensemble.members(component)
    log_weights = _logml(models) + ensemble.space.log_prior_prob
    trusted = np.array([*map(can_be_trusted, models)])
    given = ensemble.possible(component)
    others = ~member if given is None else given & ~member
    for side in (member, others):
        if side.any():
            own = log_weights[side]
            large = np.exp(own - np.logaddexp.reduce(own)) > _SHARE
            if not trusted[side][large].all():
                return False
    return True


def _sources(models: Sequence[Reweighted], chance: FloatArray) -> dict[str, Any]:
    """Say where the results of some models come from, and whether to trust them."""
    hows = [one.how for one in models]
    matter = [
        one
        for one, p in zip(models, chance, strict=True)
        if p > _MATTERS and one.how == "reweighted"
    ]
    return {
        "how": "refitted" if "refitted" in hows else "reweighted",
        "refitted": hows.count("refitted"),
        "pareto_k": max((one.pareto_k for one in matter), default=math.nan),
        "reliable": all(map(can_be_trusted, matter)),
    }
