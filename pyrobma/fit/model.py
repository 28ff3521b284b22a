"""Stage 4: one model, from its priors to draws and a log marginal likelihood."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.bridge import BridgeResult, warp3
from pyrobma.errors import BridgeError, SamplingError, ToolchainError
from pyrobma.fit.density import LogDensity
from pyrobma.fit.diagnostics import Diagnostics, diagnose
from pyrobma.fit.sample import Chains, run_chains
from pyrobma.fit.settings import SamplerSettings
from pyrobma.fit.stan_data import Task, stan_data
from pyrobma.models import ModelSpec
from pyrobma.programs import library

_STAN_SEEDS = 2**32 - 1


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

    @property
    def ok(self) -> bool:
        """Whether the model passes every check."""
        return not self.reasons

    @property
    def names(self) -> tuple[str, ...]:
        """Free parameters, in the order of the draws."""
        return () if self.chains is None else self.chains.names

    def draws(self, parameter: str) -> FloatArray:
        """Return the draws of one parameter.

        Parameters
        ----------
        parameter : str
            ``"mu"``, ``"tau"`` or ``"rho"``.

        Returns
        -------
        array of shape (chains, draws)
            On the prior scale. A fixed parameter gives one chain with one draw, the
            value of its spike; an absent rho gives 0.
        """
        if self.chains is not None and parameter in self.chains.names:
            return self.chains.draws[:, :, self.chains.names.index(parameter)]
        return np.array([[self.spec.priors[parameter].location]])


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
    """
    data = json.dumps(stan_data(task, spec))
    if not spec.free:
        with LogDensity(library(task.program), data) as density:
            logml = float(density(np.empty((1, 0)))[0])
        return Fit(spec, logml, 0.0, None, None, None, seed, 0, ())
    chains = _run(task, spec, settings, data, seed, 0, settings.draws, parallel)
    fit = _evaluate(task, spec, settings, data, chains, seed, 0)
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
    have = fit.chains.draws.shape[1]
    # The error falls with the square root of the number of draws.
    wanted = 1.2 * have * (fit.logml_mcse / settings.max_mcse) ** 2
    more = int(min(max(have, wanted - have), settings.max_draws - have))
    data = json.dumps(stan_data(task, fit.spec))
    number = fit.round + 1
    later = _run(
        task, fit.spec, settings, data, fit.seed, number, more, parallel, fit.chains
    )
    chains = fit.chains.followed_by(later)
    return _evaluate(task, fit.spec, settings, data, chains, fit.seed, number)


def needs_precision(fit: Fit, settings: SamplerSettings) -> bool:
    """Whether the marginal likelihood is too uncertain and more draws would help."""
    return fit.logml_mcse > settings.max_mcse and _can_grow(fit, settings)


def _can_grow(fit: Fit, settings: SamplerSettings) -> bool:
    return fit.chains is not None and fit.chains.draws.shape[1] < settings.max_draws


def _converged(fit: Fit, settings: SamplerSettings) -> bool:
    return fit.diagnostics is None or not fit.diagnostics.complaints(settings)


def _run(
    task: Task,
    spec: ModelSpec,
    settings: SamplerSettings,
    data: str,
    seed: int,
    number: int,
    draws: int,
    parallel: int,
    after: Chains | None = None,
) -> Chains:
    sequence = np.random.SeedSequence([seed, number, 0])
    stan_seed = int(sequence.generate_state(1)[0]) % _STAN_SEEDS
    try:
        return run_chains(
            task.program,
            data,
            settings=settings,
            draws=draws,
            seed=stan_seed,
            parallel=parallel,
            after=after,
        )
    except SamplingError as error:
        raise SamplingError(f"model with {spec}: {error}") from error


def _evaluate(
    task: Task,
    spec: ModelSpec,
    settings: SamplerSettings,
    data: str,
    chains: Chains,
    seed: int,
    number: int,
) -> Fit:
    shape = chains.draws.shape
    try:
        with LogDensity(library(task.program), data) as density:
            points = density.unconstrain(chains.draws.reshape(-1, shape[2]))
            bridge = warp3(
                density,
                points.reshape(shape),
                seed=np.random.SeedSequence([seed, number, 1]),
                names=chains.names,
            )
    except (BridgeError, ToolchainError) as error:
        raise BridgeError(f"model with {spec}: {error}") from error
    diagnostics = diagnose(chains)
    reasons = (
        *diagnostics.complaints(settings),
        *diagnostics.remarks(),
        *bridge.reasons,
    )
    return Fit(
        spec, bridge.logml, bridge.mcse, chains, diagnostics, bridge, seed, number,
        reasons,
    )  # fmt: skip


def with_spec(fit: Fit, spec: ModelSpec) -> Fit:
    """Return the fit as that of another model with the same posterior."""
    return replace(fit, spec=spec)
