"""Stage 7: a ggplot that is saved as it is, without remarks."""

from __future__ import annotations

from typing import Any

from plotnine import ggplot


class Canvas(ggplot):  # type: ignore[misc]
    """A `plotnine.ggplot` that says nothing when it is saved.

    plotnine warns of the size and the name of every file, and refuses 25 inches unless
    ``limitsize=False``: a guard against sizes in pixels, which a figure that has the
    size it needs does not want.
    """

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the figure, as `plotnine.ggplot.save`, by default silently."""
        kwargs.setdefault("verbose", False)
        if kwargs.get("width") is None:
            kwargs.setdefault("limitsize", False)
        super().save(*args, **kwargs)
