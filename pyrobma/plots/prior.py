"""Stage 7: one prior on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.errors import DataError
from pyrobma.parameters import UNKNOWNS
from pyrobma.plots.densities import check_points
from pyrobma.plots.estimates import check_interval
from pyrobma.plots.posterior_drawing import alone
from pyrobma.plots.prior_curves import draw_curves, prior_curves
from pyrobma.plots.theme import Size
from pyrobma.plots.weightfunction import draw_weights, interval_rows, p_value_title
from pyrobma.priors import BiasPrior, NoBias, Prior, WeightFunction
from pyrobma.priors.drawing import Drawn, figure

_DRAWS: Final = 20_000  # of weights without quantiles in closed form
_KINDS: Final = "prior(...), prior_PET(...) or prior_weightfunction(...)"


def prior_frame(
    prior: Prior | BiasPrior,
    *,
    xlim: tuple[float, float] | None = None,
    rescale_x: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 512,
) -> pd.DataFrame:
    """Tabulate a prior: its density and its spike, or its weights by p-value.

    Parameters
    ----------
    prior : Prior, PET, PEESE, WeightFunction or NoBias
        What to look at.
    xlim : tuple of two float, optional
        What the points of a density are between. None: where it is above 2 % of its
        peak, but at least the central 80 %.
    rescale_x : bool
        Whether the ends of intervals of p-values are drawn at equal distances.
    probs : sequence of two float
        Levels of the band of weights, increasing, inside (0, 1).
    n : int
        Number of points of a density, at least 2.

    Returns
    -------
    DataFrame
        Of a number: columns ``prior`` (in words), ``kind`` ("density" or "spike"),
        ``x`` (a value), ``density`` (per unit of ``x``; missing for a spike) and
        ``probability`` (1). Of weights, a row per interval of p-values: ``p_from`` and
        ``p_to``, ``x_from`` and ``x_to`` (where it is drawn, in [0, 1]), ``mean``,
        ``lower`` and ``upper`` of the weight. They are exact, but with alpha1 and
        alpha2 those of 20000 draws.

    Raises
    ------
    DataError
        If an argument cannot be used.
    """
    check_points(n)
    levels = check_interval(probs)
    if isinstance(prior, WeightFunction | NoBias):
        means, bands = _weights(prior, levels)
        cuts = (0.0, *(prior.steps if isinstance(prior, WeightFunction) else ()), 1.0)
        rows = interval_rows("prior", cuts, means, bands, rescale_x=rescale_x)
        return rows.drop(columns="which")
    if not isinstance(prior, Drawn):
        raise DataError(f"prior: expected {_KINDS}; got {prior!r}.")
    own = prior if isinstance(prior, Prior) else prior.prior
    if xlim is not None:
        _check_xlim(xlim, own)
    return prior_curves([(1.0, own)], lambda x: x, n, window=xlim)


def plot_prior(
    prior: Prior | BiasPrior,
    *,
    title: str | None = None,
    xlim: tuple[float, float] | None = None,
    rescale_x: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 512,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw a prior; ``prior.plot()`` is the same.

    A density is a line over a grey area, a spike a bar of its probability. Weights are
    drawn over p-values: the line is their mean, the grey area their band.

    Parameters
    ----------
    prior, xlim, rescale_x, probs, n
        As in `prior_frame`, whose rows are drawn.
    title : str, optional
        Of the horizontal axis. None: the prior in words, or the p-values of weights.
    width, height : float, optional
        Of the figure, inches. None: 6.5 by 4, or what suits the other one.
    text_size : float, optional
        Of titles of axes, points. None: 10, or less in narrow figures.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    DataError
        As in `prior_frame`.

    Examples
    --------
    >>> import pyrobma as rb
    >>> figure = rb.prior("inv_gamma", shape=1, scale=0.15).plot(title="τ")
    """
    page = Size(width, height, text_size).page()
    frame = prior_frame(prior, xlim=xlim, rescale_x=rescale_x, probs=probs, n=n)
    if isinstance(prior, WeightFunction | NoBias):
        usual = "p-value" if isinstance(prior, NoBias) else p_value_title(prior.sides)
        # Black over grey, as posteriors are: none of those is beside.
        posterior = frame.assign(which="posterior")
        return draw_weights(
            posterior, x=title or usual, y="Publication weight", page=page
        )
    kind = type(prior).__name__
    symbol = UNKNOWNS[kind].symbol if kind in UNKNOWNS else "x"
    return draw_curves(
        frame, symbol=symbol, title=title or str(prior), sizes=alone(page)
    )


def _check_xlim(xlim: tuple[float, float], own: Prior) -> None:
    low, high = max(xlim[0], own.lower), min(xlim[1], own.upper)
    if not (np.isfinite(xlim).all() and xlim[0] < xlim[1] and low < high):
        raise DataError(
            f"xlim: expected two increasing numbers around values of {own}; got "
            f"{xlim!r}."
        )


def _weights(
    prior: WeightFunction | NoBias, levels: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return means of shape (J,) and bands of shape (J, 2) of weights."""
    if isinstance(prior, WeightFunction) and prior.alpha1 is not None:
        draws = prior.sample(_DRAWS, seed=1)
        return draws.mean(axis=0), np.quantile(draws, levels, axis=0).T
    return prior.mean(), prior.quantile(levels).T


figure.register(Drawn, plot_prior)  # what ``prior.plot()`` calls
