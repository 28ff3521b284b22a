"""Stage 7: relative publication probabilities by p-value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.averaged_priors import averaged_weights
from pyrobma.errors import DataError
from pyrobma.plots.estimates import check_interval
from pyrobma.plots.marks import edges_of_prior, posterior_and_prior
from pyrobma.plots.numbers import p_value, plain_labels
from pyrobma.plots.theme import FILL, theme_print

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
    cuts = np.array(grid.cuts)
    place = np.linspace(0, 1, cuts.size) if rescale_x else cuts
    parts = []
    for which, mixtures in weights.items():
        band = np.array([mixture.quantiles(levels) for mixture in mixtures])
        parts.append(
            pd.DataFrame(
                {
                    "which": which,
                    "p_from": cuts[:-1],
                    "p_to": cuts[1:],
                    "x_from": place[:-1],
                    "x_to": place[1:],
                    "mean": [mixture.mean() for mixture in mixtures],
                    "lower": band[:, 0],
                    "upper": band[:, 1],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def plot_weightfunction(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    prior: bool = False,
    rescale_x: bool = True,
    probs: Sequence[float] = (0.025, 0.975),
) -> Any:
    """Draw the mean of the weights over p-values, with a band.

    Parameters
    ----------
    ensemble, conditional, prior, rescale_x, probs
        As in `weightfunction_frame`, whose rows are drawn. The prior is dashed and
        grey, the ends of its band are dotted.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    DataError
        As in `weightfunction_frame`.
    """
    import plotnine as p9

    frame = weightfunction_frame(
        ensemble,
        conditional=conditional,
        prior=prior,
        rescale_x=rescale_x,
        probs=probs,
    )
    grid = ensemble.p_values
    assert grid is not None
    sides = "One" if grid.sides == 1 else "Two"
    title = f"{sides}-sided p-value"
    if grid.sides == 1 and ensemble.task.effect_direction == "negative":
        title += " for negative effects"
    place = [*frame["x_from"][: len(grid.intervals)], 1.0]
    posterior = frame[frame["which"] == "posterior"]
    lines = _steps(frame, "mean")
    edges = pd.concat(
        [_steps(frame[frame["which"] == "prior"], end) for end in ("lower", "upper")]
    )
    figure = p9.ggplot() + p9.geom_rect(
        p9.aes(xmin="x_from", xmax="x_to", ymin="lower", ymax="upper"),
        posterior,
        fill=FILL,
    )
    return (
        figure
        + edges_of_prior(edges, "x", "y")
        + posterior_and_prior(lines, "x", "y", "which")
        + p9.scale_x_continuous(breaks=place, labels=_legible(place, grid.cuts))
        + p9.scale_y_continuous(breaks=[0, 0.25, 0.5, 0.75, 1], labels=plain_labels)
        # Not limits of the scales: they would drop a mean that rounding puts above 1.
        + p9.coord_cartesian(xlim=(-0.01, 1.01), ylim=(-0.015, 1.015), expand=False)
        + p9.labs(
            x=title,
            y="Conditional publication weight" if conditional else "Publication weight",
        )
        + theme_print()
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
