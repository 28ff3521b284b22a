"""Stage 7: the posterior of one parameter, its density and its spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.models import heterogeneous
from pyrobma.plots.densities import (
    Densities,
    Known,
    Sampled,
    check_points,
    density_frame,
    largest_effect,
)
from pyrobma.plots.labels import parameter_title, scalar
from pyrobma.plots.names import plain
from pyrobma.plots.posterior_drawing import alone, draw_posterior
from pyrobma.plots.theme import Size


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
    f(x) / abs(g'(x)), so that areas stay; that of the prior is exact. A coefficient of
    log tau is averaged over the models with heterogeneity, as in the tables.

    References
    ----------
    .. [1] Silverman (1986). Density Estimation for Statistics and Data Analysis.
       Chapman and Hall.
    """
    check_points(n)
    # On the prior scale; refuses a parameter or an ensemble that cannot be drawn.
    mixture = ensemble.mixture(scalar(ensemble, parameter), conditional=conditional)
    probabilities, given = mixture.probabilities, None
    if ensemble.unknowns[parameter].enters == "scale" and not conditional:
        given = heterogeneous(ensemble.space)
        probabilities = ensemble.posterior_given(given)
    averaged_prior = ensemble.priors(parameter, conditional=conditional, given=given)
    # A spike that the data exclude keeps its row, with a probability of 0.
    spikes = {own.location: 0.0 for _, own in averaged_prior if own.is_spike}
    free = []
    for p, draws, fit in zip(
        probabilities.tolist(), mixture.draws, ensemble.fits, strict=True
    ):
        own = fit.spec.prior(parameter)
        if p > 0 and own.is_spike:
            spikes[own.location] += p
        elif p > 0:
            free.append(Sampled(p, draws.ravel(), own.lower, own.upper))
    priors = averaged_prior if prior else ()
    is_effect = ensemble.unknowns[parameter].unit == "effect"
    return density_frame(
        Densities(
            free,
            spikes,
            [Known(p, own) for p, own in priors if not own.is_spike],
            {own.location: p for p, own in priors if own.is_spike},
        ),
        ensemble.converter(parameter, output_scale),
        n,
        largest=largest_effect(ensemble.task) if is_effect else np.inf,
    )


def plot_posterior(
    ensemble: Ensemble,
    parameter: str,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    n: int = 512,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
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
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    DataError
        As in `posterior_frame`, or on a size that is none.

    Notes
    -----
    Where less than a tenth of the probability is continuous, the density is drawn
    lower in proportion: a small chance should not fill the figure.
    """
    page = Size(width, height, text_size).page()
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
        symbol=plain(ensemble.unknowns[parameter].symbol),
        title=parameter_title(
            ensemble, parameter, output_scale, conditional=conditional
        ),
        **alone(page),
    )
