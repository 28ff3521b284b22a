"""Stage 4: one model, from its priors to draws and a log marginal likelihood."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.bridge import BridgeResult, warp3
from pyrobma.errors import BridgeError, DataError, SamplingError, ToolchainError
from pyrobma.fit.density import LogDensity
from pyrobma.fit.diagnostics import Diagnostics, diagnose
from pyrobma.fit.quadrature import COARSEST, PILOT, TOLERANCE, Rule, first_exact
from pyrobma.fit.sample import Chains, run_chains
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import Task, needs_quadrature, program, stan_data
from pyrobma.models import ModelSpec
from pyrobma.priors import WeightFunction
from pyrobma.programs import library

_STAN_SEEDS = 2**32 - 1
_CERTIFIED_DRAWS = 200


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
        Hash of the data, the priors and the settings.
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

    @property
    def ok(self) -> bool:
        """Whether the model passes every check."""
        return not self.reasons

    @property
    def names(self) -> tuple[str, ...]:
        """Free scalar parameters, in the order of the draws."""
        return () if self.chains is None else self.chains.names

    def draws(self, parameter: str) -> FloatArray:
        """Return the draws of one parameter.

        Parameters
        ----------
        parameter : str
            ``"mu"``, ``"tau"``, ``"rho"``, ``"PET"``, ``"PEESE"`` or ``"omega"``.

        Returns
        -------
        array of shape (chains, draws), for omega (chains, draws, J)
            On the prior scale; weights by rising p-value. A fixed parameter gives one
            chain with one draw, its value; an absent one gives 0, an absent weight
            function one weight of 1.
        """
        if parameter == "omega":
            return self._omega()
        if parameter not in self.spec.priors:
            raise DataError(
                f"parameter: expected one of {', '.join(self.spec.priors)}, omega; got "
                f"{parameter!r}."
            )
        if self.chains is not None and parameter in self.chains.names:
            return self.chains.draws[:, :, self.chains.names.index(parameter)]
        return np.array([[self.spec.priors[parameter].location]])

    def _omega(self) -> FloatArray:
        bias = self.spec.bias
        if not isinstance(bias, WeightFunction):
            return np.ones((1, 1, 1))
        if bias.omega is not None:
            return np.array([[bias.omega]])
        assert self.chains is not None
        assert self.chains.omega is not None
        return self.chains.omega


@dataclass(frozen=True, slots=True)
class _Job:
    """What the functions below share of one model."""

    task: Task
    spec: ModelSpec
    settings: SamplerSettings
    seed: int
    parallel: int

    @property
    def fingerprint(self) -> str:
        text = self.data(None) + repr(self.settings)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def data(self, rule: Rule | None) -> str:
        return json.dumps(stan_data(self.task, self.spec, rule))

    def density(self, rule: Rule | None) -> LogDensity:
        return LogDensity(library(program(self.spec)), self.data(rule))

    def pilot(self) -> Chains:
        """Adapt with a coarse quadrature, which costs little, and look around."""
        return self._run(PILOT, -1, self.settings, 200, 50, None)

    def start(self, rule: Rule | None, pilot: Chains | None) -> Chains:
        """Run chains, with smaller steps if transitions diverge."""
        assert self.settings.draws is not None
        warmup = self.settings.warmup if pilot is None else 100
        for delta in self.settings.adapt_deltas:
            settings = replace(self.settings, adapt_delta=delta)
            draws = self.settings.draws
            chains = self._run(rule, 0, settings, warmup, draws, pilot)
            if not chains.divergent.any():
                break
        return chains

    def go_on(
        self, rule: Rule | None, number: int, draws: int, after: Chains
    ) -> Chains:
        """Continue chains without further adaptation."""
        return self._run(rule, number, self.settings, 0, draws, after)

    def _run(
        self,
        rule: Rule | None,
        number: int,
        settings: SamplerSettings,
        warmup: int,
        draws: int,
        after: Chains | None,
    ) -> Chains:
        sequence = np.random.SeedSequence([self.seed, number + 1, 0])
        return run_chains(
            program(self.spec),
            self.data(rule),
            settings=settings,
            warmup=warmup,
            draws=draws,
            seed=int(sequence.generate_state(1)[0]) % _STAN_SEEDS,
            parallel=self.parallel,
            after=after,
        )


def fit_model(
    task: Task, spec: ModelSpec, settings: SamplerSettings, seed: int, parallel: int = 1
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
    A quadrature rule is certified: log densities at draws must agree with those of a
    wider and of a three times finer rule to 1e-3, or the model is fitted again with
    more nodes.
    """
    settings = settings.resolved(1)
    job = _Job(task, spec, settings, seed, parallel)
    try:
        if not spec.free:
            return _fit_fixed(job)
        rule, pilot = None, None
        if needs_quadrature(task, spec):
            pilot = job.pilot()
            # The pilot sees less of the tails than the chains that follow.
            rule = _first_exact(job, _spread(pilot), COARSEST, TOLERANCE / 10)
        chains = job.start(rule, pilot)
        while rule is not None:
            exact = _first_exact(job, _spread(chains), rule, TOLERANCE)
            if exact == rule:
                break
            rule = exact
            chains = job.start(rule, pilot)
        fit = _evaluate(job, chains, rule, 0)
    except (BridgeError, SamplingError, ToolchainError) as error:
        raise type(error)(f"model with {spec}: {error}") from error
    while not _converged(fit, settings) and _can_grow(fit, settings):
        fit = extend(task, fit, settings, parallel)
    return fit


def extend(task: Task, fit: Fit, settings: SamplerSettings, parallel: int = 1) -> Fit:
    """Continue the chains of a model and find its marginal likelihood again.

    The chains are doubled, or grown to what the error of the marginal likelihood
    asks for, but not beyond ``max_draws``. Parameters, return value and errors are
    those of `fit_model`.
    """
    assert fit.chains is not None
    job = _Job(task, fit.spec, settings, fit.seed, parallel)
    have = fit.chains.draws.shape[1]
    # The error falls with the square root of the number of draws.
    wanted = 1.2 * have * (fit.logml_mcse / settings.max_mcse) ** 2
    more = int(min(max(have, wanted - have), _most(settings) - have))
    number = fit.round + 1
    try:
        later = job.go_on(fit.rule, number, more, fit.chains)
        chains = fit.chains.followed_by(later)
        rule = fit.rule
        if rule is not None:
            # Longer chains may have reached where the quadrature is worse.
            rule = _first_exact(job, _spread(later), rule, TOLERANCE)
            if rule != fit.rule:
                chains = job.go_on(rule, number, have + more, fit.chains)
        return _evaluate(job, chains, rule, number)
    except (BridgeError, SamplingError, ToolchainError) as error:
        raise type(error)(f"model with {fit.spec}: {error}") from error


def fingerprint(task: Task, spec: ModelSpec, settings: SamplerSettings) -> str:
    """Return the hash that a fit of this model to these data carries."""
    return _Job(task, spec, settings, 0, 1).fingerprint


def needs_precision(fit: Fit, settings: SamplerSettings) -> bool:
    """Whether the marginal likelihood is too uncertain and more draws would help."""
    return fit.logml_mcse > settings.max_mcse and _can_grow(fit, settings)


def with_precision_checked(fit: Fit, settings: SamplerSettings) -> Fit:
    """Return the fit, with a reason against it if its precision is not reached."""
    if fit.logml_mcse <= settings.max_mcse:
        return fit
    reason = (
        f"error of log(marglik) {fit.logml_mcse:.2g} above {settings.max_mcse:g} with "
        f"{_most(settings)} draws per chain"
    )
    if reason in fit.reasons:  # of a fit made before
        return fit
    return replace(fit, reasons=(*fit.reasons, reason))


def with_spec(fit: Fit, spec: ModelSpec) -> Fit:
    """Return the fit as that of another model with the same posterior."""
    return replace(fit, spec=spec)


def _most(settings: SamplerSettings) -> int:
    return settings.resolved(1).max_draws or 0


def _can_grow(fit: Fit, settings: SamplerSettings) -> bool:
    return fit.chains is not None and fit.chains.draws.shape[1] < _most(settings)


def _converged(fit: Fit, settings: SamplerSettings) -> bool:
    return fit.diagnostics is None or not fit.diagnostics.complaints(settings)


def _fit_fixed(job: _Job) -> Fit:
    nothing = np.empty((1, 0))
    rule = None
    if needs_quadrature(job.task, job.spec):
        try:  # one evaluation costs little: far more exact than needed
            rule = _first_exact(job, nothing, COARSEST, TOLERANCE * 1e-6)
        except BridgeError:
            rule = _first_exact(job, nothing, COARSEST, TOLERANCE)
    with job.density(rule) as density:
        logml = float(density(nothing)[0])
    if not np.isfinite(logml):
        raise BridgeError(
            f"the likelihood of these fixed values is exp({logml}); no model average "
            "can use it."
        )
    return Fit(
        job.spec, logml, 0.0, None, None, None, job.seed, 0, (), rule, job.fingerprint
    )


def _spread(chains: Chains) -> FloatArray:
    """Return some draws of all chains, evenly spaced."""
    flat = chains.constrained.reshape(-1, chains.constrained.shape[2])
    chosen: FloatArray = flat[
        np.linspace(0, len(flat) - 1, _CERTIFIED_DRAWS, dtype=int)
    ]
    return chosen


def _first_exact(job: _Job, draws: FloatArray, start: Rule, tolerance: float) -> Rule:
    """Return the first rule, from this one on, that is exact enough at draws."""

    def values(rule: Rule) -> FloatArray:
        with job.density(rule) as density:
            points = density.unconstrain(draws) if draws.size else draws
            return density(points)

    rule = first_exact(values, start, tolerance)
    if rule is None:
        raise BridgeError(
            f"the quadrature over clusters misses {tolerance:.2g} with "
            "any rule: rho or tau is extreme. Use priors that leave less room there."
        )
    return rule


def _evaluate(job: _Job, chains: Chains, rule: Rule | None, number: int) -> Fit:
    constrained = chains.constrained
    with job.density(rule) as density:
        points = density.unconstrain(constrained.reshape(-1, constrained.shape[2]))
        bridge = warp3(
            density,
            points.reshape(*constrained.shape[:2], -1),
            seed=np.random.SeedSequence([job.seed, number, 1]),
            draws_log_density=chains.lp,
            names=density.names,
        )
    diagnostics = diagnose(chains)
    reasons = (
        *diagnostics.complaints(job.settings),
        *diagnostics.remarks(),
        *bridge.reasons,
    )
    return Fit(
        job.spec, bridge.logml, bridge.mcse, chains, diagnostics, bridge, job.seed,
        number, reasons, rule, job.fingerprint,
    )  # fmt: skip
