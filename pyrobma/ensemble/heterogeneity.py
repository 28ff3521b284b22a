"""Stage 5: how much true effects differ, and where that of a new study lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pyrobma import _numerics
from pyrobma._types import BoolArray, FloatArray
from pyrobma.effects import EffectSizes, Measure
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.ensemble.extended import extended_converter, mean_exists
from pyrobma.ensemble.mixing import Mixture
from pyrobma.ensemble.normal_mixture import expectation, normal_cdf
from pyrobma.ensemble.prediction import new_effect
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.quantiles import check_probs, errors_of_quantiles
from pyrobma.ensemble.quantities import Quantity
from pyrobma.ensemble.scales import data_mean

CLUSTER_MEASURES: Final = (
    "tau_between",
    "tau_within",
    "ICC",
    "I2_between",
    "I2_within",
)
"""What `heterogeneity` adds if there are clusters."""


def typical_variance(effects: EffectSizes) -> float:
    """Return the sampling variance of a typical estimate.

    Parameters
    ----------
    effects : EffectSizes
        Two estimates or more.

    Returns
    -------
    float
        ``(K − 1) Σw / ((Σw)² − Σw²)`` with w = 1/se², in units of se²; NaN for one
        estimate (Higgins & Thompson, 2002, equation 9). Of counts se are those of crude
        log ratios, and studies that say nothing about a ratio are left out.
    """
    se = effects.se
    if effects.counts is not None:
        se = se[~effects.counts.silent]
    return _numerics.typical_variance(se**2)


def heterogeneity(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    given: BoolArray | None = None,
) -> dict[str, Mixture]:
    """Return the posteriors of measures of heterogeneity.

    Parameters
    ----------
    ensemble : Ensemble
        Its models are averaged.
    conditional : bool
        Only over models that count as alternative for heterogeneity; ICC only over
        those for the hierarchical component.
    output_scale : str, optional
        Measure of tau, tau2, tau_between and tau_within, as in `Ensemble.mixture`.
        None: the prior scale.
    given : array of bool, shape (number of models,), optional
        Only over these models.

    Returns
    -------
    dict of str to Mixture
        ``tau``, the sd of true effects, and ``tau2``, its square. For two estimates or
        more ``I2``, the percentage of the variance of estimates that is heterogeneity,
        and ``H2``, that variance over the sampling variance. If there are clusters
        ``tau_between`` and ``tau_within``, the sd of clusters' mean true effects and
        that of true effects around them; ``ICC``, the correlation of two true effects
        of one cluster; ``I2_between`` and ``I2_within``, which sum to ``I2``. What no
        model has is left out.

    Raises
    ------
    DataError
        On an unknown scale, or if `conditional` leaves no model.

    Notes
    -----
    With T the value of tau on the measure of the likelihood and v the sampling
    variance of a typical estimate (`typical_variance`), I² = 100 T²/(T² + v) and H² =
    (T² + v)/v in every draw [1]_; between and within clusters are ρτ² and (1 − ρ)τ².
    Of counts v is that of crude log ratios.
    Where heterogeneity has moderators, T² here is the mean over the rows of the data,
    and τ and its parts are those where the moderators are 0.

    A model without a correlation takes true effects as independent: all of its
    heterogeneity is within clusters, and its ICC is 0. Where τ is fixed at 0, true
    effects are equal: every other measure is 0 (H² is 1) and is averaged so, but they
    have no correlation, so that ICC is averaged over the other models only.

    References
    ----------
    .. [1] Higgins J. P. T., Thompson S. G. (2002). Quantifying heterogeneity in a
       meta-analysis. Statistics in Medicine 21(11). doi:10.1002/sim.1186
    """
    everything = np.ones(len(ensemble.fits), dtype=bool)
    kept = everything if given is None else given
    task = ensemble.task
    to_output = ensemble.converter("tau", output_scale)
    member = kept
    if conditional:
        member = ensemble.alternatives("heterogeneity", kept)
    typical = typical_variance(task.effects)

    def ratio(study: Predictor) -> FloatArray:
        # The mean over the rows, if they differ.
        return np.asarray((study.sd(slice(None)) ** 2).mean(axis=0) / typical)

    def percentage(study: Predictor) -> FloatArray:
        x = ratio(study)
        return np.asarray(100 * x / (1 + x))

    def rho(study: Predictor) -> FloatArray:
        return study.draws["rho"]

    found = {
        "tau": ensemble.derived(to_output, "tau", given=member),
        "tau2": ensemble.derived(lambda tau: to_output(tau) ** 2, "tau", given=member),
    }
    if np.isfinite(typical):
        found |= {
            "I2": ensemble.predicted(percentage, given=member),
            "H2": ensemble.predicted(lambda study: 1 + ratio(study), given=member),
        }
    if not (member & _correlated(ensemble)).any():
        return found
    clustered = {
        "tau_between": ensemble.derived(
            lambda tau, rho: np.sqrt(rho) * to_output(tau), "tau", "rho", given=member
        ),
        "tau_within": ensemble.derived(
            lambda tau, rho: np.sqrt(1 - rho) * to_output(tau),
            "tau", "rho", given=member,
        ),
        "I2_between": ensemble.predicted(
            lambda study: rho(study) * percentage(study), given=member
        ),
        "I2_within": ensemble.predicted(
            lambda study: (1 - rho(study)) * percentage(study), given=member
        ),
    }  # fmt: skip
    member = member & _heterogeneous(ensemble)
    if conditional and ensemble.members("hierarchical").any():
        member = ensemble.alternatives("hierarchical", kept)
    clustered["ICC"] = ensemble.derived(lambda rho: rho, "rho", given=member)
    return found | {name: clustered[name] for name in CLUSTER_MEASURES}


def prediction_interval(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    given: BoolArray | None = None,
    quantity: Quantity | None = None,
    log_ratio: Quantity | None = None,
) -> dict[str, float]:
    """Return mean, median and quantiles of the true effect of a new study.

    Parameters
    ----------
    ensemble : Ensemble
        Its models and draws are averaged.
    conditional : bool
        Only over models with an effect.
    output_scale : str, optional
        Measure of the effect, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of float
        Quantiles to give, in [0, 1]; those for 0.025 and 0.975 bound the 95 %
        prediction interval.
    given : array of bool, shape (number of models,), optional
        Only over these models.
    quantity : Quantity, optional
        The mean effect of the population that the study is from. None: mu.
    log_ratio : Quantity, optional
        Log of its heterogeneity over that at the reference of its moderators. None:
        there.

    Returns
    -------
    dict of str to float
        ``Mean``, ``Median``, one value per quantile, named by its probability, and the
        Monte Carlo standard errors ``error(Mean)`` and ``error(Quantiles)``, the
        largest of the quantiles'.

    Raises
    ------
    DataError
        On an unknown scale, probabilities outside [0, 1], or if no model is left.

    Notes
    -----
    The study is in a cluster of its own: N(m, T²) in every draw, on the measure of the
    likelihood (`new_effect`). Its quantiles are converted, its mean is that of the
    converted effect (Gauss-Hermite quadrature). Publication bias is not part of it.
    The mean is NaN if it does not exist. An odds ratio has none, nor has d = 2 sinh(z)
    under the exact mapping, unless tau is bounded: the posterior of tau falls off as a
    power, which the exponential outgrows. True effects on the correlation scale are
    normal, and a part of them beyond ±1 has no value on another scale.
    """
    levels = check_probs(probs)
    convert = extended_converter(ensemble.task, output_scale)
    member = np.ones(len(ensemble.fits), dtype=bool) if given is None else given
    if conditional:
        member = ensemble.alternatives("effect", member)

    def normal(study: Predictor) -> list[FloatArray]:
        centre = study.new_mean
        if quantity is not None:
            centre = data_mean(ensemble.task, quantity.value(study.draws))
        sd = study.new_sd
        if log_ratio is not None:
            sd = sd * np.exp(log_ratio.value(study.draws))
        return list(np.broadcast_arrays(centre, sd))

    def below(x: FloatArray) -> Mixture:
        return ensemble.predicted(
            lambda study: normal_cdf(x, *normal(study)), given=member
        )

    # By draw, not from the mixture: the mean then has a Monte Carlo error.
    average = ensemble.predicted(
        lambda study: expectation(convert, *normal(study)), given=member
    )
    effect = new_effect(ensemble, given=member, quantity=quantity, log_ratio=log_ratio)
    asked = np.array([0.5, *levels.values()])
    at = effect.quantiles(asked)
    quantiles = convert(at)
    # A quantile errs as much as the distribution function there.
    errors = errors_of_quantiles(
        asked,
        np.array([below(x).mcse() for x in at]),
        lambda probs: convert(effect.quantiles(probs)),
    )
    exists = mean_exists(ensemble, output_scale, member) and all(
        np.isfinite(d).all()
        for d, p in zip(average.draws, average.probabilities, strict=True)
        if p > 0
    )
    return {
        "Mean": average.mean() if exists else float("nan"),
        "Median": float(quantiles[0]),
        **{name: float(q) for name, q in zip(levels, quantiles[1:], strict=True)},
        "error(Mean)": average.mcse() if exists else float("nan"),
        "error(Quantiles)": float(np.nanmax(errors)),
    }


def _correlated(ensemble: Ensemble) -> BoolArray:
    return np.array([model.has("rho") for model in ensemble.space])


def _heterogeneous(ensemble: Ensemble) -> BoolArray:
    return np.array([not model.is_zero("tau") for model in ensemble.space])
