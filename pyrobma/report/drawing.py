"""Figures drawn, or why one could not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from pyrobma.plots.files import FileFormat, render
from pyrobma.report.failures import Failure, attempt
from pyrobma.report.figures import Figure

Drawing: TypeAlias = Mapping[FileFormat, bytes] | Failure
"""The contents of a figure's files by format."""


def draw(figure: Figure, formats: Sequence[FileFormat], *, dpi: float = 300) -> Drawing:
    """Draw a figure once for all formats.

    Parameters
    ----------
    figure : Figure
    formats : sequence of {"pdf", "png", "svg"}
    dpi : float
        Dots per inch of a PNG.
    """
    return attempt(
        f"The figure {figure.name}", lambda: render(figure.draw(), formats, dpi=dpi)
    )


def svg_images(drawings: Mapping[str, Drawing]) -> dict[str, str | Failure]:
    """Return the SVG text of figures by name."""
    return {
        name: drawing if isinstance(drawing, Failure) else drawing["svg"].decode()
        for name, drawing in drawings.items()
    }
