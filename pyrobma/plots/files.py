"""Stage 7: figures as files, the same bytes each time."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final, Literal, TypeAlias

FileFormat: TypeAlias = Literal["pdf", "png", "svg"]

_RULES: Final = {
    "pdf.fonttype": 42,  # text stays text, as journals want it
    "svg.hashsalt": "pyrobma",  # else names within the file are random
}
_NO_DATE: Final[dict[str, dict[str, None]]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def render(
    plot: Any, formats: Sequence[FileFormat], *, dpi: float = 300
) -> dict[FileFormat, bytes]:
    """Draw a figure once and return it as the contents of files.

    Parameters
    ----------
    plot : plotnine.ggplot or composition
        What a function of this package returns; of any size.
    formats : sequence of {"pdf", "png", "svg"}
        What is returned.
    dpi : float
        Dots per inch of a PNG.

    Returns
    -------
    dict of str to bytes
        By format. Without the time, so that equal figures are equal files.
    """
    from matplotlib import rc_context

    figure = plot.draw()
    found: dict[FileFormat, bytes] = {}
    with rc_context(_RULES):
        for kind in formats:
            file = BytesIO()
            figure.savefig(file, format=kind, dpi=dpi, metadata=_NO_DATE.get(kind))
            found[kind] = file.getvalue()
    return found
