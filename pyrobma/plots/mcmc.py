"""Stage 7: whether the Markov chains of a model mixed, by ArviZ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._types import FloatArray
from pyrobma._validate import is_whole
from pyrobma.ensemble import Ensemble
from pyrobma.errors import DataError
from pyrobma.fit import Fit
from pyrobma.parameters import weight_name
from pyrobma.plots.numbers import plain_labels
from pyrobma.plots.theme import INK, MIDDLE, SOFT, Size, theme_print

McmcKind: TypeAlias = Literal["trace", "rank", "autocorrelation", "density"]

_BINS: Final = 20
_WIDE: Final = 5.0  # inches for two panels side by side
_LAGS: Final = 40
_CONSTANT: Final = 1e-12  # range of a weight that only rounds
_AXES: Final[dict[str, tuple[str, str]]] = {
    "trace": ("Draw", "Value"),
    "rank": ("Rank over all chains (share)", "Draws over those expected"),
    "autocorrelation": ("Lag", "Autocorrelation"),
    "density": ("Value", "Density"),
}
_LINES: Final = ("solid", "dashed", "dotted", "dashdot")
_SHADES: Final = (INK, "#8c8c8c", "#4d4d4d", SOFT)


def mcmc_frame(
    ensemble: Ensemble,
    model: int | None = None,
    *,
    kind: McmcKind = "trace",
    parameters: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return what shows whether the Markov chains of a model mixed.

    Parameters
    ----------
    ensemble : Ensemble
        Fitted models.
    model : int, optional
        Number of the model, from 1, as in the tables. None: the most probable one with
        free parameters.
    kind : {"trace", "rank", "autocorrelation", "density"}
        See Notes.
    parameters : sequence of str, optional
        Some of the free parameters: "mu", "tau", "rho", "PET", "PEESE", "omega" for
        all weights or "omega[0.05,1]" for one. None: all.

    Returns
    -------
    DataFrame
        Columns ``parameter``, ``chain`` (from 1), ``x``, ``y``, ``divergent`` (whether
        the transition to a draw of the trace diverged; else False), ``rhat``, ``ess``
        (bulk). Values are on the prior scale.

    Raises
    ------
    DataError
        If there is no such model, kind or parameter, or the model has no free one.
    ImportError
        If arviz-stats is not installed.

    Notes
    -----
    "trace": ``y`` is the value of draw ``x``. "rank": the share ``x`` of a rank among
    the draws of all chains, in 20 bins, and how many draws of the chain are there over
    the number expected, 1 if chains mix [1]_. "autocorrelation": up to lag 40.
    "density": kernel density of each chain. All by `arviz_stats`.

    References
    ----------
    .. [1] Vehtari A., Gelman A., Simpson D., Carpenter B., Bürkner P.-C. (2021).
       Rank-normalization, folding, and localization: An improved R-hat for assessing
       convergence of MCMC. Bayesian Analysis 16(2). doi:10.1214/20-BA1221
    """
    from arviz_stats.base import array_stats

    if kind not in _AXES:
        raise DataError(
            f"kind: expected one of {', '.join(get_args(McmcKind))}; got {kind!r}."
        )
    number, fit = _sampled(ensemble, model)
    draws = _chosen(_draws(fit), parameters, number)
    assert fit.chains is not None
    frames = []
    for name, values in draws.items():
        rhat, ess = float(array_stats.rhat(values)), float(array_stats.ess(values))
        for chain, (x, y) in enumerate(_CURVES[kind](values)):
            divergent = fit.chains.divergent[chain] if kind == "trace" else False
            frames.append(
                pd.DataFrame(
                    {
                        "parameter": name,
                        "chain": chain + 1,
                        "x": x,
                        "y": y,
                        "divergent": divergent,
                        "rhat": rhat,
                        "ess": ess,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def plot_mcmc(
    ensemble: Ensemble,
    model: int | None = None,
    *,
    kind: McmcKind = "trace",
    parameters: Sequence[str] | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw whether the Markov chains of a model mixed.

    Parameters
    ----------
    ensemble, model, kind, parameters
        As in `mcmc_frame`, whose rows are drawn.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5, as high as the panels need, and 10; or in
        proportion.

    Returns
    -------
    plotnine.ggplot
        A panel per parameter with its R-hat and bulk effective sample size, a line per
        chain. Ticks below a trace are divergent transitions.

    Raises
    ------
    DataError, ImportError
        As in `mcmc_frame`, or on a size that is none.
    """
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    asked = Size(width, height, text_size)

    frame = mcmc_frame(ensemble, model, kind=kind, parameters=parameters)
    heads = {
        row.parameter: f"{row.parameter}   R-hat {row.rhat:.3f}, ESS {row.ess:,.0f}"
        for row in frame.drop_duplicates("parameter").itertuples()
    }
    frame["panel"] = pd.Categorical(frame["parameter"].map(heads), list(heads.values()))
    chains = sorted(frame["chain"].unique())
    frame["chain"] = pd.Categorical(frame["chain"], chains)
    one = len(heads) == 1
    columns = 1 if one or kind == "trace" or asked.page().width < _WIDE else 2
    rows = -(-len(heads) // columns)
    page = asked.page(height=0.9 + (1.5 if kind == "trace" else 2.0) * rows)
    shades = [_SHADES[i % len(_SHADES)] for i in range(len(chains))]
    lines = [_LINES[i // len(_SHADES) % len(_LINES)] for i in range(len(chains))]
    if kind != "trace":
        lines = [_LINES[i % len(_LINES)] for i in range(len(chains))]
    plot = Canvas(frame, p9.aes("x", "y", color="chain", linetype="chain"))
    if kind in ("rank", "autocorrelation"):
        level = 1.0 if kind == "rank" else 0.0
        plot += p9.geom_hline(yintercept=level, color=MIDDLE, size=0.4)
    draw = p9.geom_step if kind == "rank" else p9.geom_line
    plot += draw(size=0.25 if kind == "trace" else 0.6)
    if frame["divergent"].any():
        plot += p9.geom_rug(
            p9.aes("x"),
            frame[frame["divergent"]],
            sides="b",
            color=INK,
            inherit_aes=False,
            size=0.5,
        )
    x, y = _AXES[kind]
    return (
        plot
        + p9.facet_wrap("panel", ncol=columns, scales=_SCALES[kind])
        + p9.scale_color_manual(shades, name="Chain")
        + p9.scale_linetype_manual(lines, name="Chain")
        + p9.scale_x_continuous(labels=plain_labels)
        + p9.scale_y_continuous(labels=plain_labels)
        + p9.guides(color=p9.guide_legend(override_aes={"size": 0.8}))
        + p9.labs(x=x, y=y)
        + theme_print(page)
        + p9.theme(
            legend_title=p9.element_text(
                size=page.points(9.0), margin={"r": 8, "unit": "pt"}
            ),
            legend_box_spacing=0.02,
            plot_margin=0.015,
            panel_spacing=0.035,
            strip_text=p9.element_text(
                color=INK, ha="left", size=page.points(8.0), weight="normal"
            ),
        )
    )


_SCALES: Final[dict[str, str]] = {
    "trace": "free_y",
    "rank": "fixed",
    "autocorrelation": "fixed",
    "density": "free",
}


def most_probable(ensemble: Ensemble) -> int | None:
    """Return the number of the most probable model that was sampled; None if none."""
    sampled = np.array([fit.chains is not None for fit in ensemble.fits])
    if not sampled.any():
        return None
    return int(np.argmax(np.where(sampled, ensemble.post_prob, -1.0))) + 1


def _sampled(ensemble: Ensemble, model: int | None) -> tuple[int, Fit]:
    count = len(ensemble.fits)
    if model is None:
        model = most_probable(ensemble)
        if model is None:
            raise DataError(
                "ensemble: expected a model with free parameters; got none, and no "
                "Markov chains. plot_models() shows what they say."
            )
    if not is_whole(model, 1) or model > count:
        raise DataError(
            f"model: expected the number of a model, 1 to {count}; got {model!r}."
        )
    fit = ensemble.fits[model - 1]
    if fit.chains is None:
        raise DataError(
            f"model: expected one with free parameters; got {model} ({fit.spec}), "
            "which has no Markov chains. Choose another of `models`."
        )
    return int(model), fit


def _draws(fit: Fit) -> dict[str, FloatArray]:
    """Return the draws of what varies, each of shape (chains, draws)."""
    found = {name: fit.draws(name) for name in fit.names}
    selection = fit.spec.selection
    if selection is not None and not selection.is_fixed:
        omega = fit.draws("omega")
        for j, (low, high) in enumerate(selection.intervals):
            if np.ptp(omega[:, :, j]) > _CONSTANT:
                found[weight_name(low, high)] = omega[:, :, j]
    return found


def _chosen(
    draws: dict[str, FloatArray], parameters: Sequence[str] | None, model: int
) -> dict[str, FloatArray]:
    if parameters is None:
        return draws
    chosen: dict[str, FloatArray] = {}
    for wanted in [parameters] if isinstance(parameters, str) else parameters:
        some = {
            name: values
            for name, values in draws.items()
            if wanted in (name, name.partition("[")[0])
        }
        if not some:
            raise DataError(
                f"parameters: expected some of {', '.join(draws)}, the free parameters "
                f"of model {model}; got {wanted!r}."
            )
        chosen |= some
    if not chosen:
        raise DataError("parameters: expected at least one; got none.")
    return chosen


_Curve: TypeAlias = tuple[FloatArray, FloatArray]


def _trace(values: FloatArray) -> list[_Curve]:
    return [(np.arange(1.0, len(chain) + 1), chain) for chain in values]


def _ranks(values: FloatArray) -> list[_Curve]:
    from arviz_stats.base import array_stats

    # Halves, so that no rank is on an edge.
    ranks = (array_stats.compute_ranks(values, axis=(0, 1)) - 0.5) / values.size
    edges = np.linspace(0, 1, _BINS + 1)
    curves = []
    for chain in ranks:
        heights = np.histogram(chain, edges)[0] * _BINS / len(chain)
        # A step line needs both ends of the last bin.
        curves.append((edges, np.append(heights, heights[-1])))
    return curves


def _autocorrelations(values: FloatArray) -> list[_Curve]:
    from arviz_stats.base import array_stats

    found = array_stats.autocorr(values)[:, : _LAGS + 1]
    return [(np.arange(float(len(chain))), chain) for chain in found]


def _densities(values: FloatArray) -> list[_Curve]:
    from arviz_stats.base import array_stats

    curves = []
    for chain in values:
        grid, density, _ = array_stats.kde(chain, grid_len=256)
        curves.append((np.asarray(grid), np.asarray(density)))
    return curves


_CURVES: Final = {
    "trace": _trace,
    "rank": _ranks,
    "autocorrelation": _autocorrelations,
    "density": _densities,
}
