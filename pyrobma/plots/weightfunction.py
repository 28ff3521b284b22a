"""Stage 7: relative publication probabilities by p-value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.averaged_priors import averaged_weights
from pyrobma.errors import DataError
from pyrobma.plots.estimates import check_interval
from pyrobma.plots.marks import edges_of_prior, posterior_and_prior
from pyrobma.plots.numbers import p_value, plain_labels
from pyrobma.plots.theme import FILL, Page, Size, theme_print

_NEAREST: Final = 0.045
"""Distance of labels that do not touch, of the width of the figure."""


def weightfunction_frame(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    prior: bool = False,
    rescale_x: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
) -> pd.DataFrame:
    """Tabulate the model-averaged weight of every interval of p-values.

    Parameters
    ----------
    ensemble : Ensemble
        With a weight function in some model.
    conditional : bool
        Only over selection models. Otherwise models without selection count, with
        weights of 1.
    prior : bool
        Add the prior, averaged over the same models.
    rescale_x : bool
        Whether the ends of the intervals are drawn at equal distances.
    probs : sequence of two float
        Levels of the band, increasing, inside (0, 1).

    Returns
    -------
    DataFrame
        Columns ``which`` ("posterior" or "prior"), ``p_from`` and ``p_to`` (the
        interval: one-sided p-values, or two-sided ones if all weight functions are
        two-sided), ``x_from`` and ``x_to`` (where it is drawn, in [0, 1]), ``mean``,
        ``lower`` and ``upper`` (of the weight, in [0, 1]).

    Raises
    ------
    DataError
        If there is no weight function or, with `conditional`, none as an alternative.

    Notes
    -----
    Numbers of the prior are those of 20000 draws from each weight function; their
    seed is that of the ensemble.
    """
    levels = check_interval(probs)
    grid = ensemble.p_values
    if grid is None:
        raise DataError(
            "ensemble: expected a model with a weight function; got none. Give a "
            "prior_weightfunction in priors_bias."
        )
    names = [name for name in ensemble.parameters if name.startswith("omega[")]
    weights = {
        "posterior": tuple(ensemble.mixture(p, conditional=conditional) for p in names)
    }
    if prior:
        given = ensemble.members("selection") if conditional else None
        weights["prior"] = averaged_weights(ensemble, given)
    parts = [
        interval_rows(
            which,
            grid.cuts,
            [mixture.mean() for mixture in mixtures],
            np.array([mixture.quantiles(levels) for mixture in mixtures]),
            rescale_x=rescale_x,
        )
        for which, mixtures in weights.items()
    ]
    return pd.concat(parts, ignore_index=True)


def interval_rows(
    which: str,
    cuts: Sequence[float],
    means: Sequence[float] | FloatArray,
    bands: FloatArray,
    *,
    rescale_x: bool,
) -> pd.DataFrame:
    """Return rows of `weightfunction_frame`, one for every interval of p-values.

    Parameters
    ----------
    which : str
        "posterior" or "prior".
    cuts : sequence of float, length J + 1
        Ends of the intervals.
    means : array of shape (J,)
        Of the weights.
    bands : array of shape (J, 2)
        Ends of their bands.
    rescale_x : bool
        As in `weightfunction_frame`.
    """
    place = np.linspace(0, 1, len(cuts)) if rescale_x else np.array(cuts)
    return pd.DataFrame(
        {
            "which": which,
            "p_from": cuts[:-1],
            "p_to": cuts[1:],
            "x_from": place[:-1],
            "x_to": place[1:],
            "mean": means,
            "lower": bands[:, 0],
            "upper": bands[:, 1],
        }
    )


def plot_weightfunction(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    prior: bool = False,
    rescale_x: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the mean of the weights over p-values, with a band.

    Parameters
    ----------
    ensemble, conditional, prior, rescale_x, probs
        As in `weightfunction_frame`, whose rows are drawn. The prior is dashed and
        grey, the ends of its band are dotted.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    DataError
        As in `weightfunction_frame`, or on a size that is none.
    """
    page = Size(width, height, text_size).page()
    frame = weightfunction_frame(
        ensemble,
        conditional=conditional,
        prior=prior,
        rescale_x=rescale_x,
        probs=probs,
    )
    grid = ensemble.p_values
    assert grid is not None
    negative = ensemble.task.effect_direction == "negative"
    return draw_weights(
        frame,
        x=p_value_title(grid.sides, negative=negative),
        y="Conditional publication weight" if conditional else "Publication weight",
        page=page,
    )


def p_value_title(sides: int, *, negative: bool = False) -> str:
    """Return the title of an axis of p-values."""
    if sides == 2:
        return "Two-sided p-value"
    return f"One-sided p-value{' for negative effects' if negative else ''}"


def draw_weights(
    frame: pd.DataFrame, *, x: str, y: str, page: Page | None = None
) -> Any:
    """Draw a frame of `weightfunction_frame`.

    Parameters
    ----------
    frame : DataFrame
        Rows of "posterior" are a line with a grey band, those of "prior" are dashed.
    x, y : str
        Titles of the axes.
    page : Page, optional
        Size of the figure. None: the usual one.

    Returns
    -------
    plotnine.ggplot
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    first = frame[frame["which"] == frame["which"].iloc[0]]
    place, cuts = [*first["x_from"], 1.0], [*first["p_from"], 1.0]
    lines = _steps(frame, "mean")
    edges = pd.concat(
        [_steps(frame[frame["which"] == "prior"], end) for end in ("lower", "upper")]
    )
    figure = Canvas() + p9.geom_rect(
        p9.aes(xmin="x_from", xmax="x_to", ymin="lower", ymax="upper"),
        frame[frame["which"] == "posterior"],
        fill=FILL,
    )
    return (
        figure
        + edges_of_prior(edges, "x", "y")
        + posterior_and_prior(lines, "x", "y", "which")
        + p9.scale_x_continuous(breaks=place, labels=_legible(place, cuts))
        + p9.scale_y_continuous(breaks=[0, 0.25, 0.5, 0.75, 1], labels=plain_labels)
        # Not limits of the scales: they would drop a mean that rounding puts above 1.
        + p9.coord_cartesian(xlim=(-0.01, 1.01), ylim=(-0.015, 1.015), expand=False)
        + p9.labs(x=x, y=y)
        + theme_print(page)
        + p9.theme(axis_ticks_minor=p9.element_blank())
    )


def _steps(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the corners of a step function for each of posterior and prior."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "which": which,
                    "end": column,
                    "x": some[["x_from", "x_to"]].to_numpy().ravel(),
                    "y": some[column].repeat(2).to_numpy(),
                }
            )
            for which, some in frame.groupby("which")
        ]
        or [pd.DataFrame({"which": [], "end": [], "x": [], "y": []})]
    )


def _legible(place: Sequence[float], cuts: Sequence[float]) -> list[str]:
    """Write the cuts, leaving out those too close to one that is written."""
    kept = [0, len(cuts) - 1]
    # The conventional levels first.
    order = sorted(range(len(cuts)), key=lambda i: cuts[i] not in (0.05, 0.5))
    for i in order:
        if all(abs(place[i] - place[k]) >= _NEAREST for k in kept):
            kept.append(i)
    return [p_value(cut) if i in kept else "" for i, cut in enumerate(cuts)]
