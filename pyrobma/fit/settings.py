"""How the Markov chains are run and when they are good enough."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from pyrobma._validate import is_whole
from pyrobma.errors import PyrobmaError

SAMPLERS: Final = ("NUTS", "independence")


class SettingsError(PyrobmaError, ValueError):
    """A sampling setting is out of range."""


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """Settings of the sampler, and the checks a model has to pass.

    Attributes
    ----------
    chains : int
        Markov chains per model, at least 2 (one chain cannot be compared).
    warmup : int
        Iterations per chain that tune the step size, at least 150; they are not kept.
        The metric is known before.
    draws : int or None
        Kept iterations per chain in the first run, at least 100. None: 1500; with more
        than 8 models or 2,000 estimates fewer, down to 500; in ensembles of 9 models
        and more down to 300 for those with a small share of the evidence.
    adapt_delta : float
        Target acceptance rate, in [0.1, 1); higher takes smaller steps. A model whose
        transitions diverge is sampled again with 0.95 and then with 0.99.
    max_treedepth : int
        Largest depth of a NUTS trajectory.
    max_rhat : float
        Largest rank-normalised split R-hat a parameter may have (Vehtari et al.
        2021).
    min_ess : float
        Smallest bulk and tail effective sample size a parameter may have, all chains
        together.
    max_mcse : float
        Largest Monte Carlo standard error of the log of the evidence for a hypothesis,
        about: a Bayes factor is a ratio of two. A model with a quarter of the evidence
        for any hypothesis or more reaches it with its own log marginal likelihood, one
        with a smaller share 1 / sqrt(4 share) times as much, at most ten times.
        Models with a posterior probability below 1e-6, five errors away, stay rough.
    max_draws : int or None
        A model that misses a check is extended until it has this many kept
        iterations per chain; then it is reported as failing. None: 32000, or `draws`
        if these are more.
    max_seconds : float
        Longest time that the chains of one model may run at a stretch, in seconds;
        then they are stopped, and the model's results come from the independent
        estimate of its posterior that preceded them.
    sampler : {"NUTS", "independence"}
        ``"NUTS"``: Stan's sampler. ``"independence"``: a Metropolis sampler (Tierney
        1994) that proposes from the survey of the posterior which precedes every fit,
        wherever that survey can stand alone, Stan's elsewhere. No process is started
        and no file written, so that small models take a quarter of the time: for
        simulation studies. What it gives up is a second look: Stan's chains do not
        depend on what the survey found, but for where they start.

    References
    ----------
    .. [1] Tierney L. (1994). Markov chains for exploring posterior distributions.
       Annals of Statistics 22(4). doi:10.1214/aos/1176325750
    """

    chains: int = 4
    warmup: int = 150
    draws: int | None = None
    adapt_delta: float = 0.8
    max_treedepth: int = 10
    max_rhat: float = 1.01
    min_ess: float = 400.0
    max_mcse: float = 0.01
    max_draws: int | None = None
    max_seconds: float = 300.0
    sampler: Literal["NUTS", "independence"] = "NUTS"

    @property
    def adapt_deltas(self) -> tuple[float, ...]:
        """Target acceptance rates in the order in which they are tried."""
        return (self.adapt_delta, *(d for d in (0.95, 0.99) if d > self.adapt_delta))

    def resolved(self, n_models: int, n_estimates: int = 1) -> SamplerSettings:
        """Return the settings with the draws decided for so many models and data."""
        affordable = min(1500, 12_000 // n_models, 3_000_000 // n_estimates)
        draws = self.draws or max(500, affordable)
        most = self.max_draws or max(32000, draws)
        return replace(self, draws=min(draws, most), max_draws=most)

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        lowest = {
            "chains": 2, "warmup": 150, "draws": 100, "max_treedepth": 1,
            "max_draws": self.draws or 100,
        }  # fmt: skip
        for name, least in lowest.items():
            value = getattr(self, name)
            if name in ("draws", "max_draws") and value is None:
                continue
            if not is_whole(value, least):
                raise SettingsError(
                    f"{name}: expected a whole number of at least {least}; got "
                    f"{value!r}."
                )
        if self.sampler not in SAMPLERS:
            raise SettingsError(
                f"sampler: expected {' or '.join(map(repr, SAMPLERS))}; got "
                f"{self.sampler!r}."
            )
        if not 0.1 <= self.adapt_delta < 1:
            raise SettingsError(
                f"adapt_delta: expected a number in [0.1, 1); got {self.adapt_delta!r}."
            )
        for field in fields(self):
            value = getattr(self, field.name)
            limit = field.name.startswith(("min_", "max_")) and value is not None
            if limit and not value > 0:
                raise SettingsError(
                    f"{field.name}: expected a positive number; got {value!r}."
                )


def check_run(seed: Any, cores: Any) -> None:
    """Refuse a seed, or a number of processes, that is none."""
    for name, value, least in (("seed", seed, 0), ("cores", cores, 1)):
        if value is not None and not is_whole(value, least):
            raise SettingsError(
                f"{name}: expected a whole number of at least {least}, or None; got "
                f"{value!r}."
            )
