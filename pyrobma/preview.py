"""All priors of an analysis in one figure, before it is made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from pyrobma.api import robma
from pyrobma.effects import EffectSizes, Measure, effect_sizes
from pyrobma.effects._tables import AnyTable
from pyrobma.ensemble import Ensemble
from pyrobma.errors import PriorError
from pyrobma.planned import Plan
from pyrobma.plots import plot_priors as draw_priors

_DATA: Final = inspect.signature(effect_sizes).parameters.keys() - {
    "transformation",
    "missing",
}
"""Arguments of `robma` that are data."""


def plot_priors(
    data: AnyTable | EffectSizes | Plan | Ensemble | None = None,
    *,
    output_scale: Measure | None = None,
    width: float | None = None,
    height: float | None = None,
    text_size: float | None = None,
    **arguments: Any,
) -> Any:
    """Draw all priors that `robma` would use, before it is called.

    Parameters
    ----------
    data : DataFrame, table, mapping, EffectSizes, Plan or Ensemble, optional
        As in `robma`, or what it returned, with or without ``only_priors=True``. None:
        priors do not depend on data, but for those of moderators.
    output_scale : str, optional
        Measure of the values, as in `Ensemble.mixture`. None: the prior scale.
    width, height, text_size : float, optional
        Inches and points, as in `pyrobma.plots.plot_priors`.
    **arguments
        Those of `robma`. Without data there is a panel of rho if its priors are given.

    Returns
    -------
    plotnine composition
        See `pyrobma.plots.plot_priors`.

    Raises
    ------
    DataError, PriorError, SettingsError
        As in `robma`, or if something is given beside what it returned.

    Examples
    --------
    >>> import pyrobma as rb
    >>> figure = rb.plot_priors(priors_effect=rb.prior("normal", mean=0, sd=0.5))
    """
    options: dict[str, Any] = {
        "output_scale": output_scale,
        "width": width,
        "height": height,
        "text_size": text_size,
    }
    if isinstance(data, Plan | Ensemble):
        if arguments:
            raise PriorError(
                f"{', '.join(arguments)}: expected nothing beside models, which have "
                "priors of their own; got some. Give the data instead."
            )
        if isinstance(data, Ensemble):
            return draw_priors(data, **options)
        return data.plot(**options)
    if data is None and not arguments.keys() & _DATA:
        arguments = _any_data(arguments) | arguments
    return robma(data, only_priors=True, **arguments).plot(**options)


def _any_data(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return data for a figure that does not depend on them."""
    own_unit = "none" in (arguments.get("prior_scale"), arguments.get("transformation"))
    effects, se = [0.3, -0.1, 0.2, -0.4], [0.2, 0.3, 0.25, 0.35]
    data: dict[str, Any] = {"y" if own_unit else "d": effects, "se": se}
    if arguments.keys() & {"priors_hierarchical", "priors_hierarchical_null"}:
        data["study_ids"] = [1, 1, 2, 2]
    return data
