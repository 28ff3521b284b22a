"""Stage 7: how much room text takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_ROUNDING: Final = 1e-9  # inches: room is the sum of widths


def text_width(texts: Iterable[str], size: float, *, bold: bool = False) -> float:
    """Return the width of the widest of some texts, in inches.

    Parameters
    ----------
    texts : iterable of str
        One line each.
    size : float
        Points.
    bold : bool
        Whether they are bold.
    """
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return max((_width(text, font) for text in texts), default=0.0)


def one_line(text: str) -> str:
    """Return a text with a space for every run of spaces, tabs and line breaks."""
    return " ".join(text.split())


def cut(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return a text that is at most so many inches wide, with an ellipsis if cut."""
    if text_width([text], size, bold=bold) <= width + _ROUNDING:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width([_shorter(text, middle)], size, bold=bold) <= width:
            low = middle
        else:
            high = middle - 1
    return _shorter(text, low)


def _shorter(text: str, length: int) -> str:
    return text[:length].rstrip(" ,;:-(") + "…"


def _width(text: str, font: Any) -> float:
    from matplotlib.textpath import text_to_path

    # The advance, so that the space beside thin letters counts.
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width) / 72
