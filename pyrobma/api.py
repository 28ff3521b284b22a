"""The whole way from a table to an ensemble, in one call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import (
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    cast,
    get_args,
    overload,
)

import numpy as np
import pandas as pd

from pyrobma._format import counted
from pyrobma._switchers import for_switchers
from pyrobma._types import BoolArray
from pyrobma.effects import (
    DATA_SCALES,
    MEASURES,
    Contrasts,
    EffectSizes,
    Measure,
    Moderators,
    Target,
    read_moderators,
    transform_effect,
)
from pyrobma.effects._tables import AnyTable, read_table
from pyrobma.effects.entry import estimates_and_rows
from pyrobma.effects.events import counts_and_rows
from pyrobma.effects.moderators import Centre, Missing, Mods, centres_of
from pyrobma.ensemble import FitCache
from pyrobma.errors import (
    ConvergenceWarning,
    DataError,
    DataWarning,
    PriorError,
    warn,
)
from pyrobma.fit import (
    Executors,
    Fit,
    FitError,
    FitInterrupted,
    SamplerSettings,
    SettingsError,
    fit_models,
)
from pyrobma.fit.settings import check_run
from pyrobma.frequentist import rma
from pyrobma.models import (
    BaselineArgument,
    EffectDirection,
    EffectMapping,
    Hypotheses,
    ModelSpace,
    ModelSpec,
    ModsPrior,
    Task,
    beta_binomial,
    check_mods_prior,
    coded_columns,
    model_space,
    read_baseline,
    term_hypotheses,
    with_heredity,
    with_scale_terms,
)
from pyrobma.models.given import given_models
from pyrobma.models.terms import confounded_bias
from pyrobma.parameters import BIAS, COMPONENTS, HIERARCHICAL
from pyrobma.planned import Plan
from pyrobma.precision import with_certain_digits
from pyrobma.priors import (
    DEFAULT,
    BiasArgument,
    Default,
    PriorArgument,
    bias_priors,
    component_priors,
)
from pyrobma.result import RobmaFit
from pyrobma.summary import ensemble_warnings

PriorsArgument: TypeAlias = Mapping[str, Any]
"""Priors by component: those of the alternative, or of both sides by name."""

TYPICAL_UNITS = (0.03, 3.0)
"""Sizes of effects in their own units outside which default priors are doubtful."""

MANY_MODELS = 200
"""Number of models above which a message says so before they are fitted."""

_PLAIN = {
    "contrasts": "meandif", "standardize": True, "center": "rows",
}  # fmt: skip
"""Defaults of the arguments that say how moderators are read."""

CONTRARY_Z = 1.0
"""Standard errors by which a mean effect must contradict the direction of bias for a
warning."""

MAPPING_TOLERANCE = 0.02
"""Relative move of the mean effect by the linear mapping that calls for a warning."""

_Arguments = ParamSpec("_Arguments")


class _Robma(Protocol[_Arguments]):
    """`robma` as type checkers see it: what it returns depends on ``only_priors``."""

    @overload  # the first that fits counts
    def __call__(  # type: ignore[overload-overlap]
        self, data: Any = None, *, only_priors: Literal[True], **arguments: Any
    ) -> Plan: ...

    @overload
    def __call__(
        self, *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> RobmaFit: ...


def _typed(function: Callable[_Arguments, RobmaFit | Plan]) -> _Robma[_Arguments]:
    return cast("_Robma[_Arguments]", function)


@_typed
@for_switchers("robma(data, d='yi', v='vi')")
def robma(
    data: AnyTable | EffectSizes | None = None,
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
    p: Any = None,
    lCI: Any = None,
    uCI: Any = None,
    x1: Any = None,
    n1: Any = None,
    t1: Any = None,
    x2: Any = None,
    n2: Any = None,
    t2: Any = None,
    study_names: Any = None,
    study_ids: Any = None,
    transformation: Measure | None = None,
    baseline: BaselineArgument = None,
    prior_scale: Measure | None = None,
    effect_mapping: EffectMapping = "linear",
    effect_direction: EffectDirection = "positive",
    priors: PriorsArgument | None = None,
    priors_effect: PriorArgument = DEFAULT,
    priors_effect_null: PriorArgument = DEFAULT,
    priors_heterogeneity: PriorArgument = DEFAULT,
    priors_heterogeneity_null: PriorArgument = DEFAULT,
    priors_hierarchical: PriorArgument = DEFAULT,
    priors_hierarchical_null: PriorArgument = DEFAULT,
    priors_bias: BiasArgument = DEFAULT,
    priors_bias_null: BiasArgument = DEFAULT,
    model_type: str | None = None,
    rescale_priors: float = 1.0,
    mods: Mods | None = None,
    contrasts: Contrasts = "meandif",
    standardize: bool = True,
    center: Centre = "rows",
    missing: Missing = "error",
    priors_mods: Mapping[str, Any] | None = None,
    test_mods: bool | Iterable[str] | None = True,
    heredity: bool = True,
    mods_prior: ModsPrior = "independent",
    scale: Mods | None = None,
    priors_scale: Mapping[str, Any] | None = None,
    test_scale: bool | Iterable[str] | None = True,
    models: ModelSpace | Iterable[ModelSpec] | None = None,
    settings: SamplerSettings | None = None,
    chains: int | None = None,
    warmup: int | None = None,
    draws: int | None = None,
    seed: int | None = None,
    cores: int | None = None,
    executor: Executors | None = None,
    progress: bool | None = None,
    fits: Sequence[Fit] = (),
    cache: str | os.PathLike[str] | None = None,
    precision: Literal["publication"] | None = None,
    only_priors: bool = False,
) -> RobmaFit | Plan:
    """Fit a Bayesian model-averaged meta-analysis.

    Every combination of the priors below is a model; all are fitted, weighed by their
    marginal likelihoods and averaged. Without priors under the null it is a single
    Bayesian meta-analysis. The arguments come in four groups, each of which can also
    be given as one value: the data (`data`, an `EffectSizes`), their scales, the
    models (`priors`, or `models`) and the computation (`settings`).

    Parameters
    ----------
    data : DataFrame, table, mapping or EffectSizes, optional
        Table with one row per estimate (of pandas, with named levels of its index, of
        polars or pyarrow, or a mapping of names to columns), or everything that is
        taken from one, as `effect_sizes` returns it; None if the arguments are arrays.
    d, r, z, logOR, OR, y : column name or array
        Effect sizes; `y` stands for units of their own.
    se, v, n, t, p, lCI, uCI : column name or array
        How precise they are. See `effect_sizes`.
    x1, n1, x2, n2 : column name or array
        Instead of effect sizes: events and members of group 1 and group 2, as they
        are, zeros included. Effects are log odds ratios. See `event_counts`.
    t1, t2 : column name or array
        Person-time instead of members. Effects are log rate ratios.
    study_names : column name or array, optional
        Labels.
    study_ids : column name or array, optional
        Estimates with one id form a cluster, with correlation rho of their true
        effects. Missing ids, and ids that occur once, stand for independent
        estimates. None: no clusters.

    transformation : str, optional
        Measure of the likelihood: "fishers_z", "cohens_d", "r", "logOR" or "none".
        None: "fishers_z", or "none" with `y`.
    baseline : {"conditional", "unit information"} or Prior, optional
        Of counts: how the baseline of each study leaves its likelihood. None and
        "conditional": by conditioning on the study's events in both groups (the
        noncentral hypergeometric distribution; of rates the binomial one), which needs
        no prior of baselines and lets studies without any events say nothing. A prior
        integrates over the study's own baseline: ``prior("beta", alpha=1, beta=1)`` of
        the risk midway between the groups on logits is that of RoBMA; of rates
        ``prior("lognormal", ...)``, or "unit information", which is Normal(log pooled
        rate, 1) of the log. See `baseline_sensitivity` for what it changes.
    prior_scale : str, optional
        Measure of the priors and the results. None: "cohens_d", or "none" with `y`;
        that of the data with counts, which have no other.
    effect_mapping : {"linear", "exact"}
        How mu goes from the prior scale to that of the likelihood. The linear rule,
        e.g. d / 2 for Fisher's z, is that of the published Bayes factors and shrinks
        large effects; "exact" converts as the data are converted.
    effect_direction : {"positive", "negative"}
        Sign of the effects that publication bias favours.

    priors : mapping, optional
        All priors as one value, by component: "effect", "heterogeneity",
        "hierarchical" and "bias". A value is what the long names below take for the
        alternative, or a mapping with "alternative" and "null"; a side that is not
        there has its default. ``{"bias": None, "hierarchical": {"null": spike}}`` is
        ``priors_bias=None, priors_hierarchical_null=spike``.
    priors_effect, priors_effect_null : Prior, list of Prior, None or DEFAULT
        Of mu. DEFAULT: Normal(0, 1) against a spike at 0; with counts
        Student-t(0, 0.58, 4). None leaves a side out.
    priors_heterogeneity, priors_heterogeneity_null
        Of tau. DEFAULT: InvGamma(1, 0.15) against a spike at 0; with counts
        InvGamma(1.77, 0.55).
    priors_hierarchical, priors_hierarchical_null
        Of rho, used if some id is shared. DEFAULT: Beta(1, 1), without a null. To
        test clustering give ``prior("spike", location=0)`` as the null. None on both
        sides treats all estimates as independent.
    priors_bias : prior_weightfunction, prior_PET, prior_PEESE, list, None or DEFAULT
        Of publication bias. DEFAULT: the eight priors of `model_type`. None: none, as
        with counts, whose likelihood has no place for bias.
    priors_bias_null
        DEFAULT: `prior_none`.
    model_type : {"PSMA", "PP", "2w"}, optional
        Which default bias priors: six weight functions, PET and PEESE; PET and PEESE;
        two two-sided weight functions. None: "PSMA".
    rescale_priors : float
        Factor on the scale of the default priors of effect and heterogeneity; that of
        PEESE is divided by it. Default priors are made for Cohen's d and used as they
        are on any other `prior_scale`.
    mods : str, list of str, table, mapping or Moderators, optional
        Moderators of the effect: a formula over columns of `data`, e.g. ``"measure +
        age"``, with transformations, interactions and factors as formulaic reads them;
        names of columns; or the columns. Every model is fitted with and without each
        term. See `read_moderators`. None: none.
    contrasts : {"meandif", "orthonormal", "treatment"}
        How factors are coded. "meandif": mu is the unweighted mean of the levels, and
        each level's deviation from it has the prior of the term. "treatment": mu is
        the effect at the first level, so that the test of an effect is of that one.
    standardize : bool
        Whether numbers are centred and divided by their standard deviation over the
        rows, so that mu is the effect at their mean and priors are per sd.
    center : {"rows", "clusters"} or mapping of str to float
        What numbers are centred at: the mean of rows, the mean of clusters' means, or
        numbers by name.
    missing : {"error", "drop"}
        What to do with rows that lack an effect, a measure of precision or a
        moderator: refuse them, or leave them out with a warning that says which.
    priors_mods : mapping, optional
        Priors by term: that of the alternative, or a mapping with "alternative" and
        "null", of which a side that is not there is left out. For a factor it is the
        prior of each coefficient. None: Normal(0, 0.25 rescale_priors) against a spike
        at 0; with counts 0.29 instead of 0.25.
    test_mods : bool or list of str
        Which terms are tested; others are in every model.
    heredity : bool
        Whether an interaction is only in models that have what it is made of. What
        models without heredity say depends on the coding of the variables.
    mods_prior : {"independent", "beta-binomial"}
        Each tested term is in with probability 1/2, or every number of tested terms is
        as probable as any other. Probabilities of models that `heredity` leaves out go
        to the others in proportion.
    scale : str, list of str, DataFrame, mapping or Moderators, optional
        Moderators of heterogeneity, given as those of effects are in `mods`: log tau of
        an estimate is log tau plus w'd with coded columns w, so that tau is the
        heterogeneity where numbers are at their mean, and the geometric mean over the
        levels of factors. Every model with heterogeneity is fitted with and without
        each term. `contrasts`, `standardize`, `center`, `missing`, `heredity` and
        `mods_prior` hold for both. None: all estimates have one tau.
    priors_scale : mapping, optional
        Priors of d by term, as in `priors_mods`. None: Normal(0, 0.5) against a spike
        at 0. A coefficient of 0.5 makes tau 1.65 times as large.
    test_scale : bool or list of str
        Which of its terms are tested; others are in every model with heterogeneity.
    models : ModelSpace or iterable of ModelSpec, optional
        The models themselves, if they are not all combinations of some priors: made
        by `model`, or spaces of `model_space` added up. No prior is given then.

    settings : SamplerSettings, optional
        All settings of the chains and the checks, instead of the next three.
    chains, warmup, draws : int, optional
        Markov chains per model, adaptation and kept iterations per chain. A model is
        extended until it passes the checks of `settings`. None: as in
        `SamplerSettings`.
    seed : int, optional
        Makes every number reproducible, whatever `cores` is, unless a model runs into
        ``max_seconds`` of the settings. None draws one.
    cores : int, optional
        Processes at the same time. None: as many as there are.
    executor : executor, optional
        Anything with the `submit` of `concurrent.futures` to run models elsewhere.
    progress : bool, optional
        Show how many models are done and the time left: a bar in a notebook and on a
        terminal, lines at every tenth of the work and every 30 seconds elsewhere. None:
        only of what takes longer than a second, or than 30 where it is lines.
    fits : sequence of Fit, optional
        Models fitted before, e.g. those of a `FitError`, to go on from there.
    cache : str or path, optional
        A folder where models are stored as they are finished, and looked for. The same
        call goes on from there after whatever ended it, a kill or a crash included,
        and so do other calls with models of the same data, priors and settings. With
        `seed` only fits of that seed are taken, so that the numbers are those of a
        call that was never cut off (unless one with other models or weights had more
        draws of them); without it any fit is. Several processes can share a folder.
        None: nothing is stored.
    precision : {"publication"}, optional
        Continue the chains of models with a posterior probability of 1 % and more until
        no digit that ``summary()`` prints is uncertain by more than two of its units:
        three decimals of most means and quantiles, three digits of Bayes factors. A
        line says how many draws that takes, often ten times as many. None: what
        `SamplerSettings` ask for.
    only_priors : bool
        Fit nothing, but return the models and their priors, to look at them before.

    Returns
    -------
    RobmaFit, or Plan with `only_priors`
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
        other units, the estimates lie on the other side of `effect_direction`, or a
        file of `cache` is damaged or cannot be written.
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

    Of counts the likelihood of study i is the integral of h_i(delta) over its true
    effect delta ~ Normal(mu, tau), with h_i the likelihood of the counts themselves at
    a log ratio delta, baseline conditioned or integrated away. h_i is tabulated once,
    to 1e-9 of its log.

    With `scale` the covariance of true effects i and j of a cluster is rho tau_i tau_j,
    with tau_i = tau exp(w_i'd). A moderator of heterogeneity means nothing where there
    is none: models with heterogeneity are split by its terms, so that the prior
    probability of heterogeneity stays what it is, and inclusion Bayes factors of the
    terms compare models with heterogeneity only.

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
    check_run(seed, cores)
    table = None if isinstance(data, EffectSizes) else read_table(data)
    events = {"x1": x1, "n1": n1, "t1": t1, "x2": x2, "n2": n2, "t2": t2}
    estimates = {
        "d": d, "r": r, "z": z, "logOR": logOR, "OR": OR, "y": y, "se": se, "v": v,
        "n": n, "t": t, "p": p, "lCI": lCI, "uCI": uCI,
    }  # fmt: skip
    effects, kept = _effects_and_rows(
        data if table is None else table, events, estimates,
        transformation=transformation, study_names=study_names, study_ids=study_ids,
        missing=missing,
    )  # fmt: skip
    effects, moderators, of_tau = _moderators(
        table, effects, kept, mods, scale, missing, contrasts=contrasts,
        standardize=standardize, center=center,
    )  # fmt: skip
    task = _task(
        effects, prior_scale, effect_mapping, effect_direction, moderators, of_tau,
        baseline,
    )  # fmt: skip
    terms, scale_terms = _terms(
        task, rescale_priors, mods=mods, priors_mods=priors_mods, test_mods=test_mods,
        scale=scale, priors_scale=priors_scale, test_scale=test_scale,
        models=models, heredity=heredity, mods_prior=mods_prior,
    )  # fmt: skip
    given = _given_priors(
        priors,
        effect=priors_effect,
        effect_null=priors_effect_null,
        heterogeneity=priors_heterogeneity,
        heterogeneity_null=priors_heterogeneity_null,
        hierarchical=priors_hierarchical,
        hierarchical_null=priors_hierarchical_null,
        bias=priors_bias,
        bias_null=priors_bias_null,
    )
    if models is None:
        space = _full_space(task, given, rescale_priors, model_type, terms)
        space = _weighted(space, task, terms, scale_terms, heredity, mods_prior)
    else:
        space = _own_space(task, models, given, rescale_priors, model_type)
    for name in confounded_bias(task, space):
        warn(
            f"mods: the moderators make up the column of {name}; the data cannot "
            "tell them apart, and priors decide. Leave one of them out.",
            DataWarning,
        )
    _check_direction(task, space)
    chosen = settings.resolved(len(space), task.effects.K)
    if precision not in (None, "publication"):
        raise SettingsError(
            f"precision: expected 'publication' or None; got {precision!r}."
        )
    if only_priors:
        return Plan(task, space, chosen, seed)
    store = None if cache is None else FitCache(cache, task, any_seed=seed is None)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    _announce(space, progress)
    try:
        fitted = fit_models(
            task, space, settings=settings, seed=seed, cores=cores, executor=executor,
            progress=progress, fits=fits, cache=store,
        )  # fmt: skip
    except (FitError, FitInterrupted) as error:
        if error.fits:
            finished = ModelSpace(tuple(fit.spec for fit in error.fits))
            error.finished = RobmaFit(task, finished, error.fits, chosen, seed)
        raise
    result = RobmaFit(task, space, fitted, chosen, seed)
    if precision is not None:
        result = with_certain_digits(
            result, cores=cores, executor=executor, cache=store, progress=progress
        )
    for text in ensemble_warnings(result):
        warn(text, ConvergenceWarning)
    _check_mapping(result)
    return result


def _effects_and_rows(
    data: Any,
    events: Mapping[str, Any],
    estimates: Mapping[str, Any],
    *,
    transformation: Measure | None,
    **others: Any,
) -> tuple[EffectSizes, BoolArray]:
    """Read events if there are any, or else estimates."""
    counted_by = [name for name, value in events.items() if value is not None]
    if not counted_by:
        return estimates_and_rows(
            data, transformation=transformation, **estimates, **others
        )
    beside = [name for name, value in estimates.items() if value is not None]
    beside += ["transformation"] * (transformation is not None)
    if beside or isinstance(data, EffectSizes):
        what = ", ".join(beside) or "effect sizes that are already made"
        raise DataError(
            f"{', '.join(counted_by)}: expected events of two groups alone, which are "
            f"modelled as they are; got {what} too. Give one of the two."
        )
    return counts_and_rows(data, **events, **others)


def _given_priors(
    priors: PriorsArgument | None, **named: PriorArgument | BiasArgument
) -> dict[str, Any]:
    """Return the arguments by side: "effect", "effect_null", ..."""
    if priors is None:
        return named
    if not isinstance(priors, Mapping):
        raise PriorError(
            f"priors: expected a mapping by component, or None; got {priors!r}. Write "
            'priors={"effect": prior("normal", mean=0, sd=1)}.'
        )
    given = dict(named)
    for component, value in priors.items():
        if component not in named or str(component).endswith("_null"):
            known = ", ".join(c.name for c in COMPONENTS)
            raise PriorError(f"priors: expected some of {known}; got {component!r}.")
        sides = value if isinstance(value, Mapping) else {"alternative": value}
        if not {"alternative", "null"}.issuperset(sides):
            raise PriorError(
                f'priors: expected "alternative" and "null" for {component}; got '
                f"{', '.join(map(repr, sides))}."
            )
        for side, one in sides.items():
            name = f"{component}_null" if side == "null" else component
            if not isinstance(named[name], Default):
                raise PriorError(
                    f"priors_{name}: expected DEFAULT beside priors, which has it "
                    "too. Give one of the two."
                )
            given[name] = one
    return given


def _moderators(
    table: pd.DataFrame | None,
    effects: EffectSizes,
    kept: BoolArray,
    mods: Mods | None,
    scale: Mods | None,
    missing: Missing,
    **options: Any,
) -> tuple[EffectSizes, Moderators | None, Moderators | None]:
    """Code the moderators, and return them with the estimates that have them all.

    The estimates are those of the rows of the table that are `kept`. Moderators are
    those of effects, then those of heterogeneity.
    """
    formulas: dict[Target, Mods | None] = {"mean": mods, "heterogeneity": scale}
    if mods is None and scale is None:
        given = [name for name, value in options.items() if value != _PLAIN[name]]
        if given:
            raise DataError(
                f"{', '.join(given)}: expected defaults without mods. Give mods, or "
                "leave them out."
            )
        return effects, None, None
    names, cluster = np.full(kept.size, "", dtype=object), np.full(kept.size, -1)
    names[kept], cluster[kept] = effects.names, effects.cluster
    centres = centres_of(
        {n: f for n, f in formulas.items() if f is not None},
        table,
        options.pop("center"),
    )

    def read(of: Target, among: BoolArray) -> tuple[Moderators, BoolArray]:
        formula = formulas[of]
        assert formula is not None
        return read_moderators(
            formula, table, K=kept.size, names=tuple(names), among=among,
            missing=missing, cluster=cluster if effects.clustered else None,
            center=centres[of], of=of, **options,
        )  # fmt: skip

    rows = kept
    found: dict[Target, Moderators] = {}
    wanted: list[Target] = [n for n in get_args(Target) if formulas[n] is not None]
    for of in wanted:
        found[of], rows = read(of, rows)
    first = wanted[0]
    if len(wanted) > 1 and len(found[first].columns) > int(rows.sum()):
        # What the second formula lacks the first has to do without.
        found[first], rows = read(first, rows)
    chosen = rows[kept]
    return (
        effects if chosen.all() else effects.kept(chosen),
        found.get("mean"),
        found.get("heterogeneity"),
    )


def _terms(
    task: Task,
    rescale: float,
    *,
    mods: Mods | None,
    priors_mods: Mapping[str, Any] | None,
    test_mods: bool | Iterable[str] | None,
    scale: Mods | None,
    priors_scale: Mapping[str, Any] | None,
    test_scale: bool | Iterable[str] | None,
    models: Any,
    heredity: bool,
    mods_prior: ModsPrior,
) -> tuple[tuple[Hypotheses, ...], tuple[Hypotheses, ...]]:
    """Return the hypotheses of the moderators; refuse their priors without any.

    Those of effects, then those of heterogeneity.
    """
    check_mods_prior(mods_prior)
    if not isinstance(heredity, bool):
        raise PriorError(f"heredity: expected True or False; got {heredity!r}.")
    own = {"priors_mods": priors_mods is not None, "test_mods": test_mods is not True}
    common = {"mods_prior": mods_prior != "independent", "heredity": not heredity}
    of_tau = {
        "priors_scale": priors_scale is not None, "test_scale": test_scale is not True,
    }  # fmt: skip
    without = {
        "mods": own if mods is None else {}, "scale": of_tau if scale is None else {},
    }  # fmt: skip
    if mods is None and scale is None:
        without["mods"] = own | common
    for name, unused in without.items():
        if beside := ", ".join(n for n, is_given in unused.items() if is_given):
            raise PriorError(f"{beside}: expected defaults without {name}.")
    if models is not None:
        every = own | common | of_tau
        if beside := ", ".join(n for n, is_given in every.items() if is_given):
            raise PriorError(f"{beside}: expected defaults beside models.")
        return (), ()
    _check_rescale(rescale)
    terms: tuple[Hypotheses, ...] = ()
    scale_terms: tuple[Hypotheses, ...] = ()
    if task.moderators is not None:
        terms = term_hypotheses(
            task.moderators, task.unknowns, priors=priors_mods, test=test_mods,
            rescale=rescale, scale=task.prior_scale,
            counts=task.effects.counts is not None,
        )  # fmt: skip
    if task.scale_moderators is not None:
        scale_terms = term_hypotheses(
            task.scale_moderators, task.unknowns, priors=priors_scale, test=test_scale,
            of="heterogeneity",
        )  # fmt: skip
    return terms, scale_terms


def _weighted(
    space: ModelSpace,
    task: Task,
    terms: Sequence[Hypotheses],
    scale_terms: Sequence[Hypotheses],
    heredity: bool,
    mods_prior: ModsPrior,
) -> ModelSpace:
    """Leave out models without heredity, and weigh models by their number of terms.

    Then split those with heterogeneity by what it depends on.
    """
    if task.moderators is not None:
        if heredity:
            space = with_heredity(space, task.moderators)
        tested = [one.component for one in terms if one.null and one.alternative]
        if mods_prior == "beta-binomial":
            space = beta_binomial(space, tested)
    if task.scale_moderators is None:
        return space
    return with_scale_terms(
        space, scale_terms, task.scale_moderators, task.unknowns,
        heredity=heredity, prior=mods_prior,
    )  # fmt: skip


def _announce(space: ModelSpace, progress: bool | None) -> None:
    """Say before a long run that it will be one."""
    count = len(set(space.first))
    if count > MANY_MODELS and progress is not False:
        sys.stderr.write(
            f"pyrobma: {count} models will be fitted. Fewer: test_mods, "
            "model_type='PP', or priors_bias=None.\n"
        )


def _check_rescale(rescale: Any) -> None:
    if not (isinstance(rescale, Real) and 0 < float(rescale) < np.inf):
        raise PriorError(
            f"rescale_priors: expected a positive number; got {rescale!r}."
        )


def _full_space(
    task: Task,
    given: dict[str, Any],
    rescale: float,
    model_type: str | None,
    terms: Sequence[Hypotheses],
) -> ModelSpace:
    """Combine the priors of all components."""
    _check_rescale(rescale)
    if model_type is not None and not isinstance(given["bias"], Default):
        raise PriorError(
            f"model_type: expected None beside priors_bias; got {model_type!r}. Give "
            "one of the two."
        )
    with_counts = task.effects.counts is not None
    if with_counts:
        given = _without_bias(given, model_type)
    if rescale == 1:
        _check_units(task.effects, given["effect"], given["heterogeneity"])
    sides: dict[str, Any] = {
        BIAS.name: bias_priors(
            given[BIAS.name], rescale=rescale, model_type=model_type or "PSMA"
        ),
        f"{BIAS.name}_null": bias_priors(given[f"{BIAS.name}_null"], null=True),
    }
    single: list[Any] = [c.name for c in COMPONENTS if c != BIAS]
    for component in single:
        for null in (False, True):
            name = f"{component}_null" if null else component
            sides[name] = component_priors(
                given[name], component, null=null, rescale=rescale,
                scale=task.prior_scale, counts=with_counts,
            )  # fmt: skip
    rho = HIERARCHICAL.name
    clustered = task.effects.clustered
    if clustered and not (sides[rho] or sides[f"{rho}_null"]):
        warn(
            "study_ids: the clusters are not used, because priors_hierarchical and "
            "priors_hierarchical_null are both None; estimates are treated as "
            "independent.",
            DataWarning,
        )
    if sides[rho] and not isinstance(given[rho], Default) and not clustered:
        warn(
            "priors_hierarchical: not used, because no study id is shared.",
            DataWarning,
        )
    if not clustered:
        sides[rho] = sides[f"{rho}_null"] = ()
    return model_space(*terms, **sides, unknowns=task.unknowns)


def _without_bias(given: dict[str, Any], model_type: str | None) -> dict[str, Any]:
    """Leave out publication bias, which the likelihood of counts has no place for."""
    one = given[BIAS.name]
    if model_type is not None or not (one is None or isinstance(one, Default)):
        name = "model_type" if model_type is not None else "priors_bias"
        raise PriorError(
            f"{name}: expected None with counts; got {model_type or one!r}. Selection "
            "and small-study effects are defined for estimates with standard errors: "
            "give log odds ratios, as log_odds_ratio computes them, to adjust for "
            "publication bias."
        )
    return {**given, BIAS.name: None}


def _own_space(
    task: Task,
    models: ModelSpace | Iterable[ModelSpec],
    given: dict[str, Any],
    rescale: float,
    model_type: str | None,
) -> ModelSpace:
    """Return the models that were given, beside which there are no priors."""
    beside = [f"priors_{n}" for n, one in given.items() if not isinstance(one, Default)]
    beside += ["model_type"] * (model_type is not None)
    beside += ["rescale_priors"] * (rescale != 1)
    if beside:
        raise PriorError(
            f"{', '.join(beside)}: expected defaults beside models, which have priors "
            "of their own. Give one of the two."
        )
    return given_models(models, task)


def _settings(settings: Any, **single: int | None) -> SamplerSettings:
    given: dict[str, Any] = {n: v for n, v in single.items() if v is not None}
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


def _task(
    effects: EffectSizes,
    prior_scale: Measure | None,
    effect_mapping: EffectMapping,
    effect_direction: EffectDirection,
    moderators: Moderators | None,
    scale_moderators: Moderators | None,
    baseline: BaselineArgument,
) -> Task:
    if effects.counts is not None:
        if prior_scale not in (None, effects.measure):
            raise DataError(
                f"prior_scale: expected None with counts, whose priors are on "
                f"'{effects.measure}'; got {prior_scale!r}."
            )
        prior_scale = effects.measure
    elif prior_scale is None:
        prior_scale = "none" if effects.measure == "none" else "cohens_d"
    allowed = [measure for measure in MEASURES if measure in DATA_SCALES]
    if effects.counts is None and prior_scale not in allowed:
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
    columns = coded_columns(moderators, scale_moderators)
    return Task(
        effects, prior_scale, effect_mapping, effect_direction, columns, moderators,
        scale_moderators, read_baseline(baseline, effects),
    )  # fmt: skip


def _check_units(effects: EffectSizes, *priors: object) -> None:
    """Warn if default priors, made for Cohen's d, meet data in far other units."""
    typical = float(np.median(np.hypot(effects.y, effects.se)))
    default = any(isinstance(p, Default) for p in priors)
    low, high = TYPICAL_UNITS
    if effects.measure == "none" and default and not low <= typical <= high:
        warn(
            f"y: the default priors are made for effects of about 1, as Cohen's d is; "
            f"here {typical:.3g} is typical. Give priors in the units of y, or set "
            "rescale_priors.",
            DataWarning,
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
        warn(
            f"effect_mapping: the linear mapping gives a mean effect of {mean:.3f}, "
            f"which converts to {exact:.3f} as the data do. For effects this large use "
            "effect_mapping='exact'.",
            DataWarning,
        )


def _check_direction(task: Task, space: ModelSpace) -> None:
    """Warn if the data contradict the direction that biased models assume.

    The data are asked, not the effect that these models adjust, which may well be on
    the other side of what was published.
    """
    one_sided = any(
        (m.selection is not None and m.selection.sides == 1)
        or any(task.unknowns[name].se_power for name, _ in m.priors)
        for m in space
    )
    direction = task.effect_direction
    sign = 1.0 if direction == "positive" else -1.0
    y = sign * task.effects.y
    against = int((y < 0).sum())
    if not one_sided or against <= int((y > 0).sum()):
        return
    # One that is precise and far out is no majority, and many small ones no effect.
    method = "DL" if len(y) > 1 else "FE"
    if sign * rma(task.effects, method=method).statistic > -CONTRARY_Z:
        return
    other = "negative" if direction == "positive" else "positive"
    warn(
        f"effect_direction: {against} of {counted(len(y), 'estimate')} "
        f"{'is' if against == 1 else 'are'} {other}, and so is their mean; models of "
        f"publication bias assume that {direction} ones are favoured. Consider "
        f"effect_direction={other!r}.",
        DataWarning,
    )
