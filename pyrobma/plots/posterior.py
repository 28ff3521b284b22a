"""Stage 7: the posterior of one parameter, its density and its spikes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._numerics import weighted_quantiles
from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.averaged_priors import averaged_density
from pyrobma.ensemble.kernel import REACH, TAIL, averaged_kernel, bandwidth
from pyrobma.ensemble.scales import Converter
from pyrobma.errors import DataError
from pyrobma.plots.labels import parameter_title, scalar
from pyrobma.plots.posterior_drawing import draw_posterior
from pyrobma.priors import Prior
from pyrobma.priors.density import quantile

_PRIOR_TAIL: Final = 0.1
"""Probability of either tail of a prior that a figure may leave out: some are wide."""
_HEAVY: Final = 1.5
"""Where heavy tails are cut, of the central 90 % and from its ends."""
_STEP: Final = 1e-6  # of the window: central differences of a smooth function

Spikes = dict[float, float]


def posterior_frame(
    ensemble: Ensemble,
    parameter: str,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    n: int = 512,
) -> pd.DataFrame:
    """Tabulate the model-averaged posterior of a parameter, and its prior.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    parameter : {"mu", "tau", "rho", "PET", "PEESE"}
        One that the ensemble has.
    conditional : bool
        Only over models that count as alternative for the parameter's component.
    prior : bool
        Add the prior, averaged over the same models.
    output_scale : str, optional
        Measure of the values, as in `Ensemble.mixture`. None: the prior scale.
    n : int
        Number of points of a density, at least 2.

    Returns
    -------
    DataFrame
        Columns ``which`` ("posterior" or "prior"), ``kind`` ("density" or "spike"),
        ``x`` (a value of the parameter), ``density`` (per unit of ``x``; missing for
        spikes) and ``probability`` (of a spike; missing for densities). A density's
        area is one minus the probability of the spikes, less what lies outside the
        rows: for the posterior 0.1 %, or the ends of heavy tails, beyond the central
        90 % by more than 1.5 times its width.

    Raises
    ------
    DataError
        If the ensemble lacks the parameter or, with `conditional`, its alternative,
        or there is no such scale.

    Notes
    -----
    The density of each model is a Gaussian kernel estimate on the prior scale with
    Silverman's (1986) bandwidth, reflected at the ends of its prior; they are averaged
    with the posterior model probabilities. On an output scale y = g(x) densities are
    f(x) / abs(g'(x)), so that areas stay; that of the prior is exact.

    References
    ----------
    .. [1] Silverman (1986). Density Estimation for Statistics and Data Analysis.
       Chapman and Hall.
    """
    if not is_whole(n, 2):
        raise DataError(f"n: expected a number of points from 2 up; got {n!r}.")
    # On the prior scale; refuses a parameter or an ensemble that cannot be drawn.
    mixture = ensemble.mixture(scalar(ensemble, parameter), conditional=conditional)
    convert = ensemble.converter(parameter, output_scale)
    models = [
        (float(p), draws.ravel(), fit.spec.prior(parameter))
        for p, draws, fit in zip(
            mixture.probabilities, mixture.draws, ensemble.fits, strict=True
        )
        if p > 0
    ]
    averaged_prior = ensemble.priors(parameter, conditional=conditional)
    # A spike that the data exclude keeps its row, with a probability of 0.
    spikes = {own.location: 0.0 for _, own in averaged_prior if own.is_spike}
    for p, _, own in models:
        if own.is_spike:
            spikes[own.location] += p
    priors = averaged_prior if prior else ()
    free = [(p, draws, own) for p, draws, own in models if not own.is_spike]
    x = _window(free, priors, n)
    is_effect = ensemble.unknowns[parameter].unit == "effect"
    if is_effect and ensemble.task.prior_scale == "r":
        x = x[np.abs(x) < 1]  # the linear mapping lets a mean correlation come close
    parts = [
        *_rows(
            "posterior",
            x,
            averaged_kernel(
                [(p, draws, own.lower, own.upper) for p, draws, own in free], x
            ),
            spikes,
            convert,
        ),
        *_rows(
            "prior",
            x,
            averaged_density(priors, x),
            {own.location: p for p, own in priors if own.is_spike},
            convert,
        ),
    ]
    return pd.concat(parts, ignore_index=True)


def _rows(
    which: str, x: FloatArray, height: FloatArray, spikes: Spikes, convert: Converter
) -> list[pd.DataFrame]:
    parts = []
    if height.any():
        y, slope = convert(x), _slope(convert, x)
        parts.append(
            pd.DataFrame({"kind": "density", "x": y, "density": height / slope})
        )
        # A pole of a prior, as that of Beta(0.5, 0.5) at 0, cannot be drawn.
        parts[0] = parts[0][np.isfinite(parts[0]["density"])]
    if spikes:
        at = np.array(sorted(spikes))
        chance = [spikes[value] for value in at.tolist()]
        parts.append(
            pd.DataFrame({"kind": "spike", "x": convert(at), "probability": chance})
        )
    columns = ["which", "kind", "x", "density", "probability"]
    return [part.assign(which=which).reindex(columns=columns) for part in parts]


def _window(
    free: list[tuple[float, FloatArray, Prior]],
    priors: tuple[tuple[float, Prior], ...],
    n: int,
) -> FloatArray:
    """Return points over what is worth drawing, with the ends of priors among them."""
    ends = []
    if free:
        values = np.concatenate([draws for _, draws, _ in free])
        share = np.concatenate([np.full(d.size, p / d.size) for p, d, _ in free])
        low, first, last, high = weighted_quantiles(
            values, share, [TAIL, 0.05, 0.95, 1 - TAIL]
        )
        wide = REACH * max(bandwidth(draws) for p, draws, _ in free if p > TAIL)
        far = _HEAVY * (last - first)
        ends += [
            max(low - wide, first - far, min(own.lower for _, _, own in free)),
            min(high + wide, last + far, max(own.upper for _, _, own in free)),
        ]
    wide_priors = [own for _, own in priors if not own.is_spike]
    # At most as much on either side as the posterior takes: it should stay legible.
    reach = ends[1] - ends[0] if ends else np.inf
    low, high = (ends[0] - reach, ends[1] + reach) if ends else (-np.inf, np.inf)
    for own in wide_priors:
        tail = quantile(own, [_PRIOR_TAIL, 1 - _PRIOR_TAIL])
        # Up to the end of the support if it is near: a curve should not hang.
        near = float(np.diff(tail)[0]) / 2
        first = own.lower if tail[0] - own.lower < near else float(tail[0])
        last = own.upper if own.upper - tail[1] < near else float(tail[1])
        ends += [min(max(end, low), high) for end in (first, last)]
    if not ends:
        return np.empty(0)
    x = np.linspace(min(ends), max(ends), n)
    bounds = {end for own in wide_priors for end in (own.lower, own.upper)}
    bounds |= {end for _, _, own in free for end in (own.lower, own.upper)}
    inside = [end for end in bounds if x[0] < end < x[-1]]
    # A density may jump at the end of a prior: a point on either side of it.
    around = [np.nextafter(end, side) for end in inside for side in (-np.inf, np.inf)]
    return np.unique(np.concatenate([x, inside, around]))


def _slope(convert: Converter, x: FloatArray) -> FloatArray:
    """Return abs(g'(x)) by central differences that stay inside the window."""
    step = _STEP * (x[-1] - x[0])
    low, high = np.clip(x - step, x[0], x[-1]), np.clip(x + step, x[0], x[-1])
    return np.asarray(np.abs(convert(high) - convert(low)) / (high - low))


def plot_posterior(
    ensemble: Ensemble,
    parameter: str,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    n: int = 512,
) -> Any:
    """Draw the model-averaged posterior of a parameter.

    The curve is the density of what is not certain, its area one minus the probability
    of the spikes; bars are spikes, on the axis of probabilities at the right, with
    their probabilities written above.

    Parameters
    ----------
    ensemble, parameter, conditional, prior, output_scale, n
        As in `posterior_frame`, whose rows are drawn. The prior is dashed and grey,
        its spikes are beside those of the posterior.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    DataError
        As in `posterior_frame`.

    Notes
    -----
    Where less than a tenth of the probability is continuous, the density is drawn
    lower in proportion: a small chance should not fill the figure.
    """
    frame = posterior_frame(
        ensemble,
        parameter,
        conditional=conditional,
        prior=prior,
        output_scale=output_scale,
        n=n,
    )
    return draw_posterior(
        frame,
        symbol=ensemble.unknowns[parameter].symbol,
        title=parameter_title(
            ensemble, parameter, output_scale, conditional=conditional
        ),
    )
