"""Stage 4: one model, from its priors to draws and a log marginal likelihood."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.bridge import BridgeResult, warp3
from pyrobma.bridge.independence import independence_chains
from pyrobma.bridge.modes import Mode, find_modes
from pyrobma.errors import (
    BridgeError,
    ChainsTimeout,
    DataError,
    SamplingError,
    ToolchainError,
)
from pyrobma.fit.density import LogDensity
from pyrobma.fit.diagnostics import Diagnostics, diagnose
from pyrobma.fit.explore import (
    MAX_PARETO_K,
    Exploration,
    Second,
    explore,
    posterior_modes,
    seconds_each,
)
from pyrobma.fit.progress import part_of_job
from pyrobma.fit.provenance import FORMAT, Provenance, provenance
from pyrobma.fit.quadrature import (
    COARSEST,
    PILOTS,
    REACHES,
    SPACINGS,
    TOLERANCE,
    Rule,
    first_exact,
)
from pyrobma.fit.sample import Begin, Chains, run_chains
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import (
    first_rule,
    needs_quadrature,
    program,
    program_names,
    stan_data,
)
from pyrobma.fit.units import Scaled, scaled
from pyrobma.models import ModelSpec, Task
from pyrobma.parameters import UNKNOWNS
from pyrobma.programs import library

Sampler: TypeAlias = Literal["NUTS", "independence", "survey"]

_STAN_SEEDS = 2**32 - 1
_SURVEY = 0.3  # of the work on a model, roughly
_CERTIFIED_DRAWS = 200
_MAX_Z = 4.0
_STUCK_RHAT = 1.05
_ROUGH_DRAWS = 100  # per chain, of a model that cannot matter
_LONG_CHAINS = 3000  # draws per chain
_REAL = 1.0  # largest change of a mode's log density by nodes four times as far out
_ABOVE = 5.0  # what points may have more than the highest one known
_IMPRECISE = 3.0  # times the error asked for: nine times the draws


@dataclass(frozen=True, slots=True)
class Fit:
    """One fitted model.

    Attributes
    ----------
    spec : ModelSpec
        Its priors.
    logml : float
        Log marginal likelihood of the data on the measure of the likelihood, with
        every constant (natural log).
    logml_mcse : float
        Its Monte Carlo standard error; 0 if the model has no free parameter.
    chains : Chains or None
        Draws of the free parameters; None if there are none.
    diagnostics : Diagnostics or None
        Convergence of the chains.
    bridge : BridgeResult or None
        How `logml` was found.
    seed : int
        Seed of this model's random numbers.
    round : int
        How many times the chains were extended.
    reasons : tuple of str
        Checks that this model misses, in words; empty if it passes all.
    rule : Rule or None
        Quadrature of the common factor of a cluster, if the model has one.
    fingerprint : str
        Hash of the data, the priors, the settings, the text of the Stan program and
        the version of how it is used: equal for fits that are the same but for their
        random numbers.
    second : Second or None
        Log marginal likelihood and means found without the chains; None if the model
        has no free parameter.
    sampler : {"NUTS", "independence", "survey"}
        Where the draws come from: Stan's sampler, or proposals from the distribution
        behind `second`, where Stan's misses a check. ``"survey"``: the model cannot
        matter and stays rough: a few such draws, and the numbers are those of `second`.
    mean_factors : tuple of (str, float)
        Parameters whose mean misses its check, and what their Monte Carlo error has
        to be multiplied by to cover the difference.
    provenance : Provenance or None
        The program, versions and settings that made it.
    """

    spec: ModelSpec
    logml: float
    logml_mcse: float
    chains: Chains | None
    diagnostics: Diagnostics | None
    bridge: BridgeResult | None
    seed: int
    round: int
    reasons: tuple[str, ...]
    rule: Rule | None = None
    fingerprint: str = ""
    second: Second | None = None
    sampler: Sampler = "NUTS"
    mean_factors: tuple[tuple[str, float], ...] = ()
    provenance: Provenance | None = None

    def mean_factor(self, parameter: str) -> float:
        """Return what the Monte Carlo error of a mean is multiplied by, 1 or more.

        Intervals of p-values common to several models are not those of one: all its
        weights have the largest factor of any.
        """
        stem = parameter.partition("[")[0]
        return max(
            (f for name, f in self.mean_factors if name.partition("[")[0] == stem),
            default=1.0,
        )

    @property
    def ok(self) -> bool:
        """Whether the model passes every check."""
        return not self.reasons

    @property
    def rough(self) -> bool:
        """Whether the model was only surveyed, because it cannot matter."""
        return self.sampler == "survey"

    @property
    def names(self) -> tuple[str, ...]:
        """Free scalar parameters, in the order of the draws."""
        return () if self.chains is None else self.chains.names

    def draws(self, parameter: str) -> FloatArray:
        """Return the draws of one parameter.

        Parameters
        ----------
        parameter : str
            An unknown, e.g. ``"mu"``; ``"omega"`` for weights.

        Returns
        -------
        array of shape (chains, draws), for omega (chains, draws, J)
            On the prior scale; weights by rising p-value. A fixed parameter gives one
            chain with one draw, its value; an absent one gives 0, an absent weight
            function one weight of 1. A coefficient of a column that the model does not
            have is not known here; see `Ensemble.mixture`.
        """
        if parameter == "omega":
            return self._omega()
        if not self.spec.has(parameter) and parameter not in UNKNOWNS.scalars:
            known = dict.fromkeys((*UNKNOWNS.names, *(n for n, _ in self.spec.priors)))
            raise DataError(
                f"parameter: expected one of {', '.join(known)}; got {parameter!r}."
            )
        return self.values(parameter)

    def values(self, parameter: str) -> FloatArray:
        """Return the draws of a scalar parameter, 0 for any that the model has not."""
        if self.chains is not None and parameter in self.chains.names:
            return self.chains.draws[:, :, self.chains.names.index(parameter)]
        return np.array([[self.spec.prior(parameter).location]])

    def _omega(self) -> FloatArray:
        weights = self.spec.selection
        if weights is None:
            return np.ones((1, 1, 1))
        if weights.omega is not None:
            return np.array([[weights.omega]])
        assert self.chains is not None
        assert self.chains.omega is not None
        return self.chains.omega


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a model before its chains run.

    Attributes
    ----------
    exploration : Exploration
        Where its posterior has its mass, and the second estimate, in the data's unit.
    rule : Rule or None
        Quadrature of the common factor that is exact enough there.
    """

    exploration: Exploration
    rule: Rule | None

    @property
    def second(self) -> Second:
        """The second estimate."""
        return self.exploration.second


@dataclass(frozen=True, slots=True)
class Effort:
    """What is done for one model.

    Attributes
    ----------
    draws : int
        Kept iterations per chain of the first run; 0: the model cannot matter and stays
        rough, with a few draws from its survey, and Stan's sampler is not run.
    error : float
        Monte Carlo error that its log marginal likelihood is to have.
    """

    draws: int
    error: float


@dataclass(frozen=True, slots=True)
class _Job:
    """What the functions below share of one model."""

    scaled: Scaled
    spec: ModelSpec  # in the data's unit
    settings: SamplerSettings
    seed: int
    parallel: int
    effort: Effort
    texts: dict[Rule | None, str] = field(default_factory=dict)  # of the data

    @property
    def fingerprint(self) -> str:
        made = self.provenance
        # Columns have no names in the program's data.
        names = program_names(self.scaled.task, self.spec)
        text = self.data(None) + repr(
            (
                self.scaled.unit, self.settings, made.program, made.program_hash,
                FORMAT, names.table,
            )
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def provenance(self) -> Provenance:
        return provenance(self.program, self.settings)

    @property
    def program(self) -> str:
        return program(self.scaled.task, self.spec)

    def data(self, rule: Rule | None) -> str:
        if rule not in self.texts:
            data = stan_data(self.scaled.task, self.scaled.spec, rule)
            self.texts[rule] = json.dumps(data)
        return self.texts[rule]

    def density(self, rule: Rule | None, highest: float = np.inf) -> LogDensity:
        """Open the density, of which something near its largest value is known."""
        ceiling = np.inf if rule is None else highest + _ABOVE
        return LogDensity(library(self.program), self.data(rule), ceiling)

    def seconds_each(self, rule: Rule | None) -> float:
        return seconds_each(self.scaled.task, self.spec, rule)

    def start(self, rule: Rule | None, begin: Begin) -> Chains:
        """Run chains, with smaller steps if transitions diverge."""
        for delta in self.settings.adapt_deltas:
            settings = replace(self.settings, adapt_delta=delta)
            chains = self._run(rule, 0, settings, self.effort.draws, begin=begin)
            # Smaller steps would take those that are too long already even longer.
            if not chains.divergent.any() or chains.deep.any():
                break
        return chains

    def go_on(
        self, rule: Rule | None, number: int, draws: int, after: Chains
    ) -> Chains:
        """Continue chains without further adaptation."""
        return self._run(rule, number, self.settings, draws, after=after)

    def _run(
        self,
        rule: Rule | None,
        number: int,
        settings: SamplerSettings,
        draws: int,
        *,
        begin: Begin | None = None,
        after: Chains | None = None,
    ) -> Chains:
        sequence = np.random.SeedSequence([self.seed, number + 1, 0])
        chains = run_chains(
            self.program,
            self.data(rule),
            program_names(self.scaled.task, self.spec),
            settings=settings,
            warmup=0 if begin is None else settings.warmup,
            draws=draws,
            seed=int(sequence.generate_state(1)[0]) % _STAN_SEEDS,
            parallel=self.parallel,
            begin=begin,
            after=after,
            timeout=settings.max_seconds,
        )
        return self.in_data_unit(chains)

    def in_data_unit(self, chains: Chains) -> Chains:
        factors = np.array([self.scaled.factor(name) for name in chains.names])
        return replace(chains, draws=chains.draws * factors)


def _job(
    task: Task,
    spec: ModelSpec,
    settings: SamplerSettings,
    seed: int,
    parallel: int,
    effort: Effort | None = None,
) -> _Job:
    assert settings.draws is not None  # they are resolved
    effort = effort or Effort(settings.draws, settings.max_mcse)
    return _Job(scaled(task, spec), spec, settings, seed, parallel, effort)


def job_of(task: Task, fit: Fit) -> _Job:
    """Return what is needed to evaluate the density of a fitted model."""
    return _job(task, fit.spec, SamplerSettings().resolved(1), fit.seed, 1)


def survey(task: Task, spec: ModelSpec, settings: SamplerSettings, seed: int) -> Survey:
    """Find where a model's posterior has its mass, and integrate it, without chains.

    Parameters
    ----------
    task : Task
        The data.
    spec : ModelSpec
        The priors; some parameter is free.
    settings : SamplerSettings
        The checks.
    seed : int
        Seed of this model's random numbers.

    Returns
    -------
    Survey

    Raises
    ------
    BridgeError
        If the posterior is zero wherever data and priors point to, naming the model.
    """
    job = _job(task, spec, settings.resolved(1), seed, 1)
    own_task, own_spec = job.scaled.task, job.scaled.spec
    sequence = np.random.SeedSequence([seed, 2])
    rule: Rule | None
    try:
        if needs_quadrature(task, spec):
            rule, modes = _rule_and_modes(job)
        else:
            rule = first_rule(own_task, own_spec)
            with job.density(rule) as density:
                modes = posterior_modes(
                    own_task, own_spec, density, job.seconds_each(rule)
                )
        highest = max(mode.value for mode in modes)
        while True:
            with job.density(rule, highest) as density:
                found = explore(
                    density,
                    modes,
                    own_task,
                    own_spec,
                    sequence,
                    each=job.seconds_each(rule),
                )
            if rule is None:
                break
            # These few see less of the tails than the chains that follow.
            exact = _first_exact(job, found.starts, rule, TOLERANCE / 10)
            if exact == rule:
                break
            rule = exact
    except (BridgeError, ToolchainError) as error:
        raise type(error)(f"model with {spec}: {error}") from error
    return Survey(replace(found, second=_in_data_unit(found.second, job.scaled)), rule)


def _rule_and_modes(job: _Job) -> tuple[Rule, tuple[Mode, ...]]:
    for pilot in PILOTS:
        with job.density(pilot) as density:
            modes = posterior_modes(
                job.scaled.task, job.scaled.spec, density, job.seconds_each(pilot)
            )
        # Where an integrand's mass lies beyond the nodes the density seems to grow
        # without end, into a mode that is none.
        wide = Rule(pilot.spacing, 4.0 * pilot.reach)
        with job.density(wide) as density:
            there = density(np.array([mode.point for mode in modes]))
        real = tuple(
            mode
            for mode, value in zip(modes, there, strict=True)
            if abs(value - mode.value) < _REAL
        )
        try:
            if real:
                return _rule_at_modes(job, real)
        except BridgeError:
            if pilot == PILOTS[-1]:
                raise
    raise BridgeError(
        "the quadrature over clusters reaches no mode of the posterior: the estimates "
        "of a cluster are too far from what the priors allow. Use wider priors."
    )


def _rule_at_modes(job: _Job, modes: tuple[Mode, ...]) -> tuple[Rule, tuple[Mode, ...]]:
    """Choose a quadrature that is exact at the modes, which move with it at first."""
    rule = COARSEST
    while True:
        high = [m.point for m in modes if m.log_mass > modes[0].log_mass - 10.0]
        exact = _first_exact(job, np.array(high or [modes[0].point]), rule, TOLERANCE)
        with job.density(exact, max(mode.value for mode in modes)) as density:
            # The density may not fall off where a coarser rule had a mode.
            modes = find_modes(density, np.array([m.point for m in modes])) or modes
        if exact == rule:
            return rule, modes
        rule = exact


def _in_data_unit(second: Second, unit: Scaled) -> Second:
    factors = [unit.factor(name) for name in second.names]
    return replace(
        second,
        logml=second.logml + unit.log_constant,
        means=tuple(m * f for m, f in zip(second.means, factors, strict=True)),
        errors=tuple(e * f for e, f in zip(second.errors, factors, strict=True)),
    )


def fit_model(
    task: Task,
    spec: ModelSpec,
    settings: SamplerSettings,
    seed: int,
    parallel: int = 1,
    found: Survey | None = None,
    effort: Effort | None = None,
) -> Fit:
    """Sample one model and find its marginal likelihood.

    Parameters
    ----------
    task : Task
        The data.
    spec : ModelSpec
        The priors.
    settings : SamplerSettings
        The chains and the checks.
    seed : int
        Seed of every random number of this model, not negative.
    parallel : int
        Chains run at the same time.
    found : Survey, optional
        Result of `survey`; None makes it.
    effort : Effort, optional
        None: what `settings` ask for.

    Returns
    -------
    Fit
        Extended until R-hat and effective sample sizes pass, or `max_draws`.

    Raises
    ------
    SamplingError
        If a chain fails, naming the model.
    BridgeError
        If the marginal likelihood cannot be estimated, naming the model.

    Notes
    -----
    Chains start from draws of the surveyed posterior, with its covariance as metric.
    Their log marginal likelihood and means are compared with those of the survey; if
    they differ by more than their errors allow, the chains are extended, and then
    replaced by an independence sampler with the surveyed posterior as proposal, which
    jumps between modes. What still differs is a reason against the fit, and its
    stated error covers the difference.

    A quadrature rule is certified: log densities at draws must agree with those of a
    wider and of a three times finer rule to 1e-3, or the model is fitted again with
    more nodes.
    """
    settings = settings.resolved(1)
    job = _job(task, spec, settings, seed, parallel, effort)
    try:
        if not spec.free:
            return _fit_fixed(job)
    except (BridgeError, ToolchainError) as error:
        raise type(error)(f"model with {spec}: {error}") from error
    if found is None:
        with part_of_job(_SURVEY):
            found = survey(task, spec, settings, seed)
    try:
        if job.effort.draws == 0:
            return _rough(job, found)
        if settings.sampler == "independence" and found.second.reliable:
            return _enough(job, found, job.effort.draws)
        return _sampled(job, found)
    except (BridgeError, SamplingError, ToolchainError) as error:
        raise type(error)(f"model with {spec}: {error}") from error


def _sampled(job: _Job, found: Survey) -> Fit:
    rule, settings = found.rule, job.settings
    begin = _begin(job, found)
    try:
        chains = job.start(rule, begin)
        while rule is not None:
            exact = _first_exact(job, _spread(job, rule, chains), rule, TOLERANCE)
            if exact == rule:
                break
            rule = exact
            chains = job.start(rule, begin)
        fit = _evaluate(job, chains, rule, 0, found.second)
        while _needs_draws(fit, settings) and _can_grow(fit, settings):
            if found.second.reliable and (_long(fit) or _stuck(fit)):
                break  # longer chains did not or would not help; the survey can
            fit = _extended(job, fit, doubled=found.second.reliable)
    except ChainsTimeout:
        return _independent(
            job, replace(found, rule=rule), job.effort.draws, (_too_slow(settings),)
        )
    except BridgeError:
        if not found.second.reliable:
            raise
        return _independent(job, replace(found, rule=rule), job.effort.draws)
    imprecise = _own_error(fit) > _IMPRECISE * job.effort.error
    if not found.second.reliable or not (fit.reasons or imprecise):
        return fit
    assert fit.chains is not None
    other = _enough(job, replace(found, rule=rule), fit.chains.draws.shape[1])
    return fit if len(other.reasons) > len(fit.reasons) else other


def _enough(job: _Job, found: Survey, draws: int) -> Fit:
    """Draw from the surveyed posterior until the checks are met, or `max_draws`."""
    while True:
        fit = _independent(job, found, draws)
        good = _converged(fit, job.settings)
        if (good and _own_error(fit) <= job.effort.error) or (
            2 * draws > _most(job.settings)
        ):
            return fit
        draws *= 2


def _begin(job: _Job, found: Survey) -> Begin:
    starts = found.exploration.starts[: job.settings.chains]
    with job.density(found.rule) as density:
        columns = density.own_columns
        values = density.outputs(starts, columns)
    return Begin(tuple(columns), values, found.exploration.covariance)


def _rough(job: _Job, found: Survey) -> Fit:
    """Take the surveyed numbers, and a few draws for tables of all models."""
    fit = _independent(job, found, _ROUGH_DRAWS)
    return replace(
        fit,
        logml=found.second.logml,
        logml_mcse=found.second.error,
        bridge=None,
        # What misses a check here has no weight.
        reasons=(),
        mean_factors=(),
        sampler="survey",
    )


def _independent(
    job: _Job, found: Survey, draws: int, reasons: tuple[str, ...] = ()
) -> Fit:
    """Draw from the surveyed posterior."""
    settings = job.settings
    names = program_names(job.scaled.task, job.spec)
    with job.density(found.rule, found.exploration.highest) as density:
        drawn = independence_chains(
            density,
            found.exploration.proposal,
            np.random.SeedSequence([job.seed, 3, draws]),
            settings.chains,
            draws,
        )
        shape = drawn.points.shape
        flat = drawn.points.reshape(-1, shape[2])
        own = density.own_columns
        scalars = names.outputs.values()
        every = density.outputs(flat, [*own, *scalars, *names.weights])
        ends = np.cumsum([len(own), len(scalars)])
        constrained, scalar, omega = np.split(every.reshape(*shape[:2], -1), ends, 2)
    never = np.zeros(shape[:2], dtype=bool)
    chains = Chains(
        names=tuple(names.outputs),
        draws=scalar,
        divergent=never,
        deep=never,
        step_size=np.full(shape[0], np.nan),
        inverse_metric=np.array([found.exploration.covariance] * shape[0]),
        columns=tuple(own),
        constrained=constrained,
        lp=drawn.log_density,
        omega=omega if names.weights else None,
    )
    return _judged(
        job, job.in_data_unit(chains), drawn.bridge, found.rule, 0, found.second,
        "independence", reasons,
    )  # fmt: skip


def extend(
    task: Task,
    fit: Fit,
    settings: SamplerSettings,
    parallel: int = 1,
    effort: Effort | None = None,
) -> Fit:
    """Continue the chains of a model and find its marginal likelihood again.

    The chains are doubled, or grown to what the error of the marginal likelihood
    asks for, but not beyond ``max_draws``. Parameters, return value and errors are
    those of `fit_model`.
    """
    job = _job(task, fit.spec, settings, fit.seed, parallel, effort)
    try:
        return _extended(job, fit)
    except ChainsTimeout:
        return replace(fit, reasons=(*fit.reasons, _too_slow(settings)))
    except (BridgeError, SamplingError, ToolchainError) as error:
        raise type(error)(f"model with {fit.spec}: {error}") from error


def _extended(job: _Job, fit: Fit, *, doubled: bool = False) -> Fit:
    """Continue chains as far as their error asks for, or to twice their length."""
    assert fit.chains is not None
    settings = job.settings
    have = fit.chains.draws.shape[1]
    # The error falls with the square root of the number of draws.
    wanted = 1.2 * have * (_own_error(fit) / job.effort.error) ** 2
    wanted = 2 * have if doubled else wanted
    more = int(min(max(have, wanted - have), _most(settings) - have))
    number = fit.round + 1
    later = job.go_on(fit.rule, number, more, fit.chains)
    chains = fit.chains.followed_by(later)
    rule = fit.rule
    if rule is not None:
        # Longer chains may have reached where the quadrature is worse.
        rule = _first_exact(job, _spread(job, rule, later), rule, TOLERANCE)
        if rule != fit.rule:
            chains = job.go_on(rule, number, have + more, fit.chains)
    return _evaluate(job, chains, rule, number, fit.second)


def fingerprint(task: Task, spec: ModelSpec, settings: SamplerSettings) -> str:
    """Return the hash that a fit of this model to these data carries."""
    return _job(task, spec, settings, 0, 1).fingerprint


def needs_precision(fit: Fit, settings: SamplerSettings, effort: Effort) -> bool:
    """Whether the marginal likelihood is too uncertain and more draws would help."""
    return _own_error(fit) > effort.error and _can_grow(fit, settings)


def with_precision_checked(fit: Fit, settings: SamplerSettings, effort: Effort) -> Fit:
    """Return the fit, with a reason against it if its precision is not reached."""
    if fit.logml_mcse <= effort.error or fit.rough:
        return fit
    reason = (
        f"error of log(marglik) {fit.logml_mcse:.2g} above {effort.error:.2g} with "
        f"{_most(settings)} draws per chain"
    )
    if reason in fit.reasons:  # of a fit made before
        return fit
    return replace(fit, reasons=(*fit.reasons, reason))


def with_spec(fit: Fit, spec: ModelSpec) -> Fit:
    """Return the fit as that of another model with the same posterior."""
    return replace(fit, spec=spec)


def _own_error(fit: Fit) -> float:
    """Return the Monte Carlo error alone, without what misses the second estimate."""
    return fit.logml_mcse if fit.bridge is None else fit.bridge.mcse


def _most(settings: SamplerSettings) -> int:
    return settings.resolved(1).max_draws or 0


def _can_grow(fit: Fit, settings: SamplerSettings) -> bool:
    return (
        fit.chains is not None
        and fit.sampler == "NUTS"
        and _too_slow(settings) not in fit.reasons
        and fit.chains.draws.shape[1] < _most(settings)
    )


def _too_slow(settings: SamplerSettings) -> str:
    return f"chains stopped after {settings.max_seconds:g} seconds"


def _long(fit: Fit) -> bool:
    """Whether chains were extended twice, or once to a length that should do."""
    assert fit.chains is not None
    return fit.round > 1 or (
        fit.round > 0 and fit.chains.draws.shape[1] >= _LONG_CHAINS
    )


def _stuck(fit: Fit) -> bool:
    """Whether the sampler moves so badly that more of it would be a waste."""
    assert fit.diagnostics is not None
    return bool(fit.diagnostics.deep or not fit.diagnostics.rhat.max() <= _STUCK_RHAT)


def _converged(fit: Fit, settings: SamplerSettings) -> bool:
    return fit.diagnostics is None or not fit.diagnostics.complaints(settings)


def _needs_draws(fit: Fit, settings: SamplerSettings) -> bool:
    """Whether the chains have not converged, or differ from the second estimate."""
    return (
        not _converged(fit, settings)
        or bool(fit.mean_factors)
        or (fit.second is not None and _differs(fit.logml, _own_error(fit), fit.second))
    )


def _fit_fixed(job: _Job) -> Fit:
    nothing = np.empty((1, 0))
    rule = first_rule(job.scaled.task, job.spec)
    if needs_quadrature(job.scaled.task, job.spec):
        rule = COARSEST
    if rule is not None:
        try:  # one evaluation costs little: far more exact than needed
            rule = _first_exact(job, nothing, rule, TOLERANCE * 1e-6)
        except BridgeError:
            rule = _first_exact(job, nothing, rule, TOLERANCE)
    with job.density(rule) as density:
        logml = float(density(nothing)[0])
    if not np.isfinite(logml):
        raise BridgeError(
            f"the likelihood of these fixed values is exp({logml}); no model average "
            "can use it."
        )
    logml += job.scaled.log_constant
    return Fit(
        job.spec, logml, 0.0, None, None, None, job.seed, 0, (), rule, job.fingerprint,
        provenance=job.provenance,
    )  # fmt: skip


def _spread(job: _Job, rule: Rule | None, chains: Chains) -> FloatArray:
    """Return some draws of all chains, evenly spaced, on the unconstrained scale."""
    flat = chains.constrained.reshape(-1, chains.constrained.shape[2])
    chosen = flat[np.linspace(0, len(flat) - 1, _CERTIFIED_DRAWS, dtype=int)]
    with job.density(rule) as density:
        return density.unconstrain(chosen)


def _first_exact(job: _Job, points: FloatArray, start: Rule, tolerance: float) -> Rule:
    """Return the first rule, from this one on, that is exact enough at points."""

    def values(rule: Rule) -> FloatArray:
        with job.density(rule) as density:
            return density(points)

    rule = first_exact(values, start, tolerance)
    if rule is None and start.reach == 0:
        raise BridgeError(
            f"the integrals over true effects miss {tolerance:.2g} with four times as "
            "many points as they should need. Use priors that leave less room for tau."
        )
    if rule is None:
        raise BridgeError(
            f"the quadrature over clusters misses {tolerance:.2g} with up to "
            f"{len(Rule(SPACINGS[-1], REACHES[-1]).nodes)} nodes where the posterior "
            "has rho near 1 and tau many standard errors. Use priors that leave less "
            "room there."
        )
    return rule


def _evaluate(
    job: _Job, chains: Chains, rule: Rule | None, number: int, second: Second | None
) -> Fit:
    with job.density(rule, float(chains.lp.max())) as density:
        constrained = chains.constrained
        points = density.unconstrain(constrained.reshape(-1, constrained.shape[2]))
        bridge = warp3(
            density,
            points.reshape(*constrained.shape[:2], -1),
            seed=np.random.SeedSequence([job.seed, number, 1]),
            draws_log_density=chains.lp,
            names=density.names,
        )
    return _judged(job, chains, bridge, rule, number, second, "NUTS", ())


def _judged(
    job: _Job,
    chains: Chains,
    bridge: BridgeResult,
    rule: Rule | None,
    number: int,
    second: Second | None,
    sampler: Sampler,
    reasons: tuple[str, ...],
) -> Fit:
    """Hold draws and marginal likelihood to the checks and the second estimate."""
    diagnostics = diagnose(chains)
    logml, mcse = bridge.logml + job.scaled.log_constant, bridge.mcse
    found = [
        *reasons,
        *diagnostics.complaints(job.settings),
        *diagnostics.remarks(),
        *bridge.reasons,
    ]
    factors: tuple[tuple[str, float], ...] = ()
    if second is not None:
        gap = abs(logml - second.logml)
        if _differs(logml, mcse, second):
            found.append(
                f"log(marglik) differs by {gap:.3g} from the second estimate "
                f"({second.logml:.3f}, by {second.method})"
            )
            mcse = float(np.hypot(mcse, gap))
        if not second.reliable:
            found.append(
                f"no second estimate to rely on (Pareto k {second.pareto_k:.2f} of its "
                f"weights above {MAX_PARETO_K})"
            )
            mcse = float(np.hypot(mcse, gap))
        factors = _mean_factors(chains, diagnostics, second)
        found += [
            f"mean of {name} differs by {factor:.1f} Monte Carlo errors from the "
            f"second estimate (by {second.method})"
            for name, factor in factors
        ]
    return Fit(
        job.spec, logml, mcse, chains, diagnostics, bridge, job.seed, number,
        tuple(found), rule, job.fingerprint, second, sampler, factors,
        job.provenance,
    )  # fmt: skip


def _differs(logml: float, mcse: float, second: Second) -> bool:
    """Whether a log marginal likelihood is too far from the second estimate."""
    gap = abs(logml - second.logml)
    return gap > _MAX_Z * float(np.hypot(mcse, second.error))


def _mean_factors(
    chains: Chains, diagnostics: Diagnostics, second: Second
) -> tuple[tuple[str, float], ...]:
    """Return the means that differ, with their distance in Monte Carlo errors."""
    draws = chains.checked
    means = draws.mean(axis=(0, 1))
    mcses = draws.std(axis=(0, 1), ddof=1) / np.sqrt(diagnostics.ess_mean)
    known = dict(
        zip(second.names, zip(second.means, second.errors, strict=True), strict=True)
    )
    missed = []
    for name, found, mcse in zip(chains.checked_names, means, mcses, strict=True):
        mean, error = known[name]
        gap = abs(float(found) - mean)
        if gap > _MAX_Z * np.hypot(mcse, error):
            missed.append((name, float(gap / mcse)))
    return tuple(missed)
