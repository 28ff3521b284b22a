"""Stage 2: priors draw themselves, with the figures of a later stage."""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def figure(prior: object, **options: Any) -> Any:
    """Draw a prior. `pyrobma.plots`, which knows how, registers itself here."""
    raise NotImplementedError(f"no figure of {type(prior).__name__}")


class Drawn:
    """What can be drawn."""

    __slots__ = ()

    def plot(self, **options: Any) -> Any:
        """Draw the prior.

        Parameters
        ----------
        **options
            Those of `pyrobma.plots.plot_prior`: ``title``, ``xlim``, ``n``, ...

        Returns
        -------
        plotnine.ggplot
            ``.save("figure.pdf")`` writes it.

        Raises
        ------
        DataError
            If an option cannot be used.
        """
        return figure(self, **options)
