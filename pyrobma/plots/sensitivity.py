"""Stage 7: a Bayes factor by the prior."""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

import numpy as np
import pandas as pd

from pyrobma.errors import DataError
from pyrobma.plots.numbers import short
from pyrobma.plots.theme import INK, MIDDLE, SOFT, Page, Size, theme_print

_BARS: Final = 1.96 / math.log(10)  # of errors of natural logs, for 95 % intervals
_LINES: Final = np.log10([1 / 10, 1 / 3, 1, 3, 10])
_GRADES: Final = (
    (0.0, math.log10(3), "weak"),
    (math.log10(3), 1.0, "moderate"),
    (1.0, 2.0, "strong"),
    (2.0, math.inf, "extreme"),
)
"""What evidence is called by the decimal log of the factor, as `interpret` does."""

_FAR: Final = 2.5  # decades from a Bayes factor of 1
_LEAST: Final = 2.0  # decades on an axis without it
_ROOM: Final = (0.06, 0.17)
"""Share of the axis that a word needs: beside the lines, and above them."""
_WORDS: Final = 0.24  # of the width of the points, to their right
_SHAPES: Final = {"as fitted": "D", "reweighted": "o", "refitted": "o"}
_FILLS: Final = {"as fitted": INK, "reweighted": INK, "refitted": "white"}


def plot_sensitivity(
    frame: pd.DataFrame,
    *,
    title: str = "",
    axis: str = "Scale of the prior, times that fitted",
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
) -> Any:
    """Draw a Bayes factor against the scale of a prior, or for several priors.

    Parameters
    ----------
    frame : DataFrame
        Rows of one component of `Sensitivity.frame`. Its columns ``factor``, ``scale``,
        ``prior``, ``log_bf``, ``log_bf_mcse`` and ``how`` are drawn.
    title : str
        The component that the Bayes factor is for.
    axis : str
        Title of the axis of scales.
    width, height, text_size : float, optional
        Inches, inches and points. None: 6.5 by 4, for priors as high as they need, and
        10; or in proportion.

    Returns
    -------
    plotnine.ggplot
        Bayes factors on a logarithmic axis, with 95 % intervals for their Monte Carlo
        errors, over the scale of the prior (its factor where the models have several),
        on a logarithmic axis too. Lines are at 1/10, 1/3, 1, 3 and 10; grey words
        between them say what such evidence is called. The prior as fitted is a diamond
        on a dotted line; hollow circles are models that were fitted again. Priors that
        were given are rows from the top down instead.

    Raises
    ------
    DataError
        If no Bayes factor is finite, or on a size that is none.
    """
    asked = Size(width, height, text_size)
    points = frame[np.isfinite(frame["log_bf"])]
    if points.empty:
        raise DataError(
            "frame: expected a finite Bayes factor; got none. Choose a component that "
            "some models have and others have not."
        )
    y = points["log_bf"] / math.log(10)
    bar = _BARS * points["log_bf_mcse"]
    points = points.assign(y=y, low=y - bar, high=y + bar)
    label = f"Inclusion Bayes factor: {title}" if title else "Inclusion Bayes factor"
    if points["factor"].isna().any():
        return _by_rows(points.assign(x=-np.arange(float(len(points)))), label, asked)
    known = points["scale"].notna().all()
    scale = points["scale"] if known else points["factor"]
    return _by_scale(points.assign(x=np.log10(scale)), label, axis, asked.page())


def _by_scale(points: pd.DataFrame, label: str, axis: str, page: Page) -> Any:
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    low, high = _ends(points)
    first, last = float(points["x"].min()), float(points["x"].max())
    span = max(last - first, 0.3)
    right = last + _WORDS * span
    fitted = points[points["factor"] == 1]
    return (
        Canvas(points, p9.aes("x", "y"))
        + _grid(low, high)
        + p9.geom_vline(
            p9.aes(xintercept="x"), fitted, linetype="dotted", color=MIDDLE, size=0.5
        )
        + _prior_text(fitted, low, high, page)
        + ([p9.geom_line(color=MIDDLE, size=0.5)] if len(points) > 1 else [])
        + _marks(points)
        + p9.geom_text(
            p9.aes(right - 0.02 * span, "at", label="word"),
            _words(low, high, _ROOM[0]),
            ha="right",
            size=page.points(7.5),
            color=MIDDLE,
        )
        + p9.scale_x_continuous(
            **_numbers(first, last),
            limits=(first - 0.06 * span, right),
            expand=(0, 0),
        )
        + p9.scale_y_continuous(
            **_factors(low, high), limits=(low, high), expand=(0, 0)
        )
        + p9.labs(x=axis, y=label)
        + theme_print(page)
    )


def _by_rows(points: pd.DataFrame, label: str, asked: Size) -> Any:
    import plotnine as p9

    from pyrobma.plots.canvas import Canvas

    page = asked.page(height=1.5 + 0.28 * len(points))

    low, high = _ends(points)
    bottom = float(points["x"].min())
    return (
        Canvas(points, p9.aes("x", "y"))
        + _grid(low, high)
        + _marks(points)
        + p9.geom_text(
            p9.aes(0.8, "at", label="word"),
            _words(low, high, _ROOM[1]),
            size=page.points(7.5),
            color=MIDDLE,
        )
        + p9.scale_x_continuous(
            breaks=points["x"].tolist(),
            labels=points["prior"].tolist(),
            minor_breaks=[],
            limits=(bottom - 0.6, 1.1),
            expand=(0, 0),
        )
        + p9.scale_y_continuous(
            **_factors(low, high), limits=(low, high), expand=(0, 0)
        )
        + p9.coord_flip()
        + p9.labs(x="", y=label)
        + theme_print(page)
    )


def _grid(low: float, high: float) -> list[Any]:
    from plotnine import geom_hline

    return [
        geom_hline(yintercept=float(at), color=MIDDLE if at == 0 else SOFT, size=0.4)
        for at in _LINES
        if low < at < high
    ]


def _marks(points: pd.DataFrame) -> list[Any]:
    import plotnine as p9

    shown = [how for how in _SHAPES if (points["how"] == how).any()]
    return [
        p9.geom_linerange(p9.aes(ymin="low", ymax="high"), color=INK, size=0.5),
        p9.geom_point(p9.aes(shape="how", fill="how"), color=INK, size=2.2, stroke=0.5),
        p9.scale_shape_manual(_SHAPES, breaks=shown),
        p9.scale_fill_manual(_FILLS, breaks=shown),
    ]


def _prior_text(fitted: pd.DataFrame, low: float, high: float, page: Page) -> list[Any]:
    """Return the prior as fitted, written beside its line, away from its mark."""
    from plotnine import aes, geom_text

    if fitted.empty:
        return []
    below = float(fitted["y"].iloc[0]) > (low + high) / 2
    place = low + 0.01 * (high - low) if below else high - 0.01 * (high - low)
    return [
        geom_text(
            aes("x", "place", label="text"),
            fitted.assign(place=place, text=" " + fitted["prior"]),
            ha="left",
            va="bottom" if below else "top",
            size=page.points(7.5),
            color=MIDDLE,
        )
    ]


def _ends(points: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis of Bayes factors.

    They hold what is weak evidence unless all the points are far from it.
    """
    low, high = float(points["low"].min()), float(points["high"].max())
    weak, spare = float(_LINES[3]), 0.5 * max(_LEAST - (high - low), 0.0)
    if low > _FAR or high < -_FAR:
        low, high = low - spare, high + spare
    else:
        low, high = min(low, -weak), max(high, weak)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def _words(low: float, high: float, room: float) -> pd.DataFrame:
    """Return what the evidence is called, where there is room for it."""
    words = []
    for start, end, word in _GRADES:
        for sign, side in ((1, "for"), (-1, "against")):
            from_, to = sorted((sign * start, sign * end))
            from_, to = max(from_, low), min(to, high)
            if to - from_ > room * (high - low):
                words.append({"at": (from_ + to) / 2, "word": f"{word} {side}"})
    return pd.DataFrame(words, columns=["at", "word"])


def _numbers(first: float, last: float) -> dict[str, Any]:
    """Return the ticks of scales, as decimal logarithms, and their labels."""
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = _ticks(first, last, digits)
        if len(ticks) <= 8:
            break
    return {
        "breaks": np.log10(ticks).tolist(),
        "labels": [short(x) for x in ticks],
        "minor_breaks": [],
    }


def _ticks(first: float, last: float, digits: tuple[int, ...]) -> list[float]:
    decades = range(math.floor(first) - 1, math.ceil(last) + 1)
    every = [digit * 10.0**power for power in decades for digit in digits]
    inside = [x for x in every if first - 1e-9 <= math.log10(x) <= last + 1e-9]
    return inside or [10.0**first]


def _factors(low: float, high: float) -> dict[str, Any]:
    """Return the ticks of Bayes factors, as decimal logarithms, and their labels."""
    powers = np.arange(math.ceil(low), math.floor(high) + 1)
    steps = (digit * 10**k for k in itertools.count() for digit in (1, 2, 5))
    step = next(step for step in steps if len(powers) <= 8 * step)
    ticks: list[tuple[float, str]] = [
        (float(p), _power(int(p))) for p in powers if p % step == 0
    ]
    if high - low < 3.5 and max(high, -low) < 4:
        for power in range(math.ceil(-low) + 1):
            ticks.append((-math.log10(3) - power, f"1/{3 * 10**power}"))
        for power in range(math.ceil(high) + 1):
            ticks.append((math.log10(3) + power, f"{3 * 10**power}"))
    ticks = sorted(tick for tick in ticks if low <= tick[0] <= high)
    return {
        "breaks": [at for at, _ in ticks],
        "labels": [text for _, text in ticks],
        "minor_breaks": [],
    }


def _power(power: int) -> str:
    """Write a power of ten: whole, as a fraction, or as a power."""
    if abs(power) > 3:
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{raised}"
    return str(10**power) if power >= 0 else f"1/{10**-power}"
