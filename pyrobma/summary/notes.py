"""Stage 6: footnotes on the scale of estimates."""

from __future__ import annotations

from pyrobma._format import sided
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.scales import SCALE_NAMES


def scale_notes(
    ensemble: Ensemble,
    output_scale: Measure | None,
    *,
    linear: str | None = None,
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
        tau and, if it is a parameter, PEESE.
    """
    prior_scale = ensemble.task.prior_scale
    shown = output_scale or prior_scale
    if prior_scale == "none":
        return ("Estimates and priors are on the scale of the data.",)
    note = f"Estimates are on the {SCALE_NAMES[shown]} scale"
    if shown in ("r", "OR") and shown != prior_scale:
        other: Measure = "fishers_z" if shown == "r" else "logOR"
        if linear is None:
            linear = "tau and PEESE" if "PEESE" in ensemble.bias_kinds else "tau"
        if linear:
            note += f" ({linear} on the {SCALE_NAMES[other]} scale)"
    return (f"{note}; priors are on the {SCALE_NAMES[prior_scale]} scale.",)


def weight_notes(sides: int | None) -> tuple[str, ...]:
    """Say what omega is, of one- or two-sided p-values; None: there is no omega."""
    if sides is None:
        return ()
    return (
        "omega[lo,hi] is the relative publication probability of estimates with "
        f"{sided(sides)} p-values from lo to hi.",
    )
