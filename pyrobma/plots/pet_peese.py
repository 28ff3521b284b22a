"""Stage 7: the regression of effects on their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray
from pyrobma._validate import is_whole
from pyrobma.effects import Measure, linear_measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.averaged_priors import prior_draws
from pyrobma.ensemble.extended import extended_converter
from pyrobma.ensemble.predictor import of_the_mean
from pyrobma.ensemble.published import regression_quantiles
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.errors import DataError
from pyrobma.plots.estimates import check_interval, converted, error_unit
from pyrobma.plots.marks import edges_of_prior, posterior_and_prior
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.theme import FILL, INK, Size, theme_print, with_unit

_BEYOND: Final = 1.05  # the largest se of the curve over that of the estimates


def pet_peese_frame(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 101,
) -> pd.DataFrame:
    """Tabulate the model-averaged regression of effects on standard errors.

    Parameters
    ----------
    ensemble : Ensemble
        With PET or PEESE in some model.
    conditional : bool
        Only over models with an effect and PET or PEESE.
    prior : bool
        Add the prior, over the same models.
    output_scale : str, optional
        Measure of the effects, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of two float
        Levels of the band, increasing, inside (0, 1).
    n : int
        Number of standard errors, from 0 to a little beyond the largest; at least 2.

    Returns
    -------
    DataFrame
        Columns ``kind`` ("posterior", "prior" or "estimate"), ``name`` (of the study;
        empty for curves), ``se`` (standard error, multiplied by the derivative of the
        conversion to the output scale at no effect; of Fisher's z for "r" and of the
        log odds ratio for "OR"),
        ``effect`` (the median of a curve, or the estimate, on the output scale),
        ``lower`` and ``upper`` (missing for estimates).

    Raises
    ------
    DataError
        If no model has PET or PEESE, or, with `conditional`, none has an effect too.

    Notes
    -----
    Quantiles of mu + PET se + PEESE se² on the measure of the likelihood, with the
    sign of the effect's direction (Stanley and Doucouliagos 2014); at se = 0 this is
    the effect. Curves are converted as mu is, estimates exactly.

    References
    ----------
    .. [1] Stanley, Doucouliagos (2014). Meta-regression approximations to reduce
       publication selection bias. Research Synthesis Methods 5(1), 60-78.
       doi:10.1002/jrsm.1095
    """
    levels = check_interval(probs)
    if not is_whole(n, 2):
        raise DataError(f"n: expected a number of standard errors from 2 up; got {n}.")
    task = ensemble.task
    convert = extended_converter(task, output_scale)
    unit = error_unit(task, output_scale)
    given = _given(ensemble, conditional)
    se = np.linspace(0, _BEYOND * task.effects.se.max(), n)
    names = of_the_mean(ensemble.unknowns)
    sources = {"posterior": ensemble.joint(*names, given=given)}
    if prior:
        sources["prior"] = prior_draws(ensemble, *names, given=given)
    lower, upper = levels
    curves = {
        kind: regression_quantiles(task, draws, se, (lower, 0.5, upper))
        for kind, draws in sources.items()
    }
    parts = [
        pd.DataFrame(
            {
                "kind": kind,
                "name": "",
                "se": unit * se,
                "effect": convert(curve[:, 1]),
                "lower": convert(curve[:, 0]),
                "upper": convert(curve[:, 2]),
            }
        )
        for kind, curve in curves.items()
    ]
    parts.append(
        pd.DataFrame(
            {
                "kind": "estimate",
                "name": task.effects.names,
                "se": unit * task.effects.se,
                "effect": converted(task, output_scale, task.effects.y),
                "lower": np.nan,
                "upper": np.nan,
            }
        )
    )
    return pd.concat(parts, ignore_index=True)


def _given(ensemble: Ensemble, conditional: bool) -> BoolArray | None:
    names = ensemble.unknowns.regressions
    if not any(map(ensemble.space.has, names)):
        raise DataError(
            "ensemble: expected a model with PET or PEESE; got none. Give prior_PET "
            "or prior_PEESE in priors_bias."
        )
    if not conditional:
        return None
    members = [ensemble.members(ensemble.component_of(name)) for name in names]
    given: BoolArray = np.any(members, axis=0) & ensemble.members("effect")
    if not given.any():
        raise DataError(
            "conditional: expected a model with an alternative prior for effect, and "
            "PET or PEESE; there is none. Give them in robma()."
        )
    return given


def plot_pet_peese(
    ensemble: Ensemble,
    *,
    conditional: bool = False,
    prior: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    n: int = 101,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw the regression of effects on standard errors, with the estimates.

    Parameters
    ----------
    ensemble, conditional, prior, output_scale, probs, n
        As in `pet_peese_frame`, whose rows are drawn. The line is the median; that of
        the prior is dashed and grey, the ends of its band are dotted and cut where
        they leave the estimates and the posterior.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4 and 10, or in proportion.

    Returns
    -------
    plotnine.ggplot

    Raises
    ------
    DataError
        As in `pet_peese_frame`, or on a size that is none.
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    page = Size(width, height, text_size).page()

    frame = pet_peese_frame(
        ensemble,
        conditional=conditional,
        prior=prior,
        output_scale=output_scale,
        probs=probs,
        n=n,
    )
    curves = frame[frame["kind"] != "estimate"]
    posterior = curves[curves["kind"] == "posterior"]
    ends = curves[curves["kind"] == "prior"].melt(
        ["se"], ["lower", "upper"], var_name="end", value_name="y"
    )
    shown = frame.loc[frame["kind"] != "prior", ["effect", "lower", "upper"]]
    # A correlation of 1 may convert to infinity.
    finite = shown.to_numpy()[np.isfinite(shown)]
    low, high = float(finite.min()), float(finite.max())
    spare = 0.04 * (high - low)
    figure = Canvas() + p9.geom_ribbon(
        p9.aes("se", ymin="lower", ymax="upper"), posterior, fill=FILL
    )
    measure = check_output_scale(ensemble.task, output_scale)
    return (
        figure
        + edges_of_prior(ends, "se", "y")
        + posterior_and_prior(curves, "se", "effect", "kind")
        + p9.geom_point(
            p9.aes("se", "effect"),
            frame[frame["kind"] == "estimate"],
            shape="o",
            fill="none",
            color=INK,
            size=2,
            stroke=0.5,
        )
        + p9.scale_x_continuous(expand=(0, 0), labels=plain_labels)
        + p9.scale_y_continuous(labels=plain_labels)
        + p9.coord_cartesian(ylim=(low - spare, high + spare), expand=False)
        + p9.labs(
            x=with_unit("Standard error", linear_measure(measure)),
            y=with_unit("Conditional effect" if conditional else "Effect", measure),
        )
        + theme_print(page)
    )
