"""Stage 6: footnotes on the scale of estimates."""

from __future__ import annotations

from collections.abc import Collection

from pyrobma._format import listed, sided
from pyrobma.effects import MEASURE_NAMES, Measure, linear_measure
from pyrobma.ensemble import Ensemble


def scale_notes(
    ensemble: Ensemble,
    output_scale: Measure | None,
    *,
    linear: str | None = None,
    without: Collection[str] = (),
) -> tuple[str, ...]:
    """Say on which scale estimates and priors are.

    Parameters
    ----------
    ensemble : Ensemble
        Its task has the scale of the priors.
    output_scale : str, optional
        Measure of the estimates. None: the prior scale.
    linear : str, optional
        What is on a linear scale where the effect is on none; "" for nothing. None:
        the parameters that convert linearly: tau, PEESE, ...
    without : collection of str
        Parameters that are not shown.
    """
    prior_scale = ensemble.task.prior_scale
    shown = output_scale or prior_scale
    if prior_scale == "none":
        return ("Estimates and priors are on the scale of the data.",)
    note = f"Estimates are on the {MEASURE_NAMES[shown]} scale"
    other = linear_measure(shown)
    if other != shown != prior_scale:
        if linear is None:
            units = ("spread", "per_effect")
            rows = [row for row in ensemble.unknowns if row.unit in units]
            present = set(ensemble.parameters).difference(without)
            names = [row.name for row in rows if row.name in present]
            linear = listed(names)
        if linear:
            note += f" ({linear} on the {MEASURE_NAMES[other]} scale)"
    return (f"{note}; priors are on the {MEASURE_NAMES[prior_scale]} scale.",)


def weight_notes(sides: int | None) -> tuple[str, ...]:
    """Say what omega is, of one- or two-sided p-values; None: there is no omega."""
    if sides is None:
        return ()
    return (
        "omega[lo,hi] is the relative publication probability of estimates with "
        f"{sided(sides)} p-values from lo to hi.",
    )
