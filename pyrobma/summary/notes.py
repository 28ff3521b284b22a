"""Stage 6: footnotes on the scale of estimates."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pyrobma._format import listed, sided
from pyrobma.effects import MEASURE_NAMES, Measure, linear_measure
from pyrobma.ensemble import Ensemble
from pyrobma.models.task import tau_reference
from pyrobma.parameters import BIAS, HETEROGENEITY, HIERARCHICAL


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


def tau_notes(ensemble: Ensemble) -> tuple[str, ...]:
    """Say where tau is, if it has moderators."""
    moderators = ensemble.task.scale_moderators
    if moderators is None:
        return ()
    return (f"tau is the heterogeneity {tau_reference(moderators)}.",)


def count_notes(ensemble: Ensemble) -> tuple[str, ...]:
    """Say what the likelihood of counts assumes, and which studies say nothing."""
    counts = ensemble.task.effects.counts
    if counts is None:
        return ()
    baseline = ensemble.task.baseline
    if baseline.kind == "conditional":
        kind = "binomial" if counts.rates else "noncentral hypergeometric"
        how = f"conditional on the events in both groups ({kind})"
    else:
        kind = "Poisson" if counts.rates else "binomial"
        how = f"{kind}, {baseline} in each study"
    notes = (f"Likelihood of the counts: {how}.",)
    silent = int(counts.silent.sum())
    if not silent:
        return notes
    have = "1 study has" if silent == 1 else f"{silent} studies have"
    what = "no events" if counts.rates else "no events, or nothing but events,"
    says = "says nothing about the effect"
    if baseline.kind != "conditional":
        says = "speaks for no effect, by the prior of the baseline"
    if silent > 1:
        says = says.replace("says", "say").replace("speaks", "speak")
    return (*notes, f"{have} {what} in both groups and {says}.")


def tests_clusters(ensemble: Ensemble) -> bool:
    """Whether some model with heterogeneity has no correlation within clusters."""
    hierarchical = ensemble.members(HIERARCHICAL.name)
    return not np.array_equal(hierarchical, ensemble.members(HETEROGENEITY.name))


def hierarchical_notes(ensemble: Ensemble) -> tuple[str, ...]:
    """Say what the test of clusters is, if it is that of heterogeneity once more."""
    if HIERARCHICAL.name not in ensemble.components or tests_clusters(ensemble):
        return ()
    members = ensemble.members(HIERARCHICAL.name)
    if members.all() or not members.any():
        return ()
    return (
        "Hierarchical repeats Heterogeneity: every model with the one has the other. "
        'priors_hierarchical_null=prior("spike", location=0) tests clusters alone.',
    )


def learning_notes(ensemble: Ensemble) -> tuple[str, ...]:
    """Say what one study, or one cluster, cannot tell."""
    effects = ensemble.task.effects
    if effects.L > 1:
        return ()
    words = [
        ensemble.unknowns.component(name).words
        for name in (HETEROGENEITY.name, BIAS.name)
        if name in ensemble.components and ensemble.members(name).any()
    ]
    if not words:
        return ()
    if effects.K > 1:
        return (
            "All estimates are of one cluster, which cannot show how much clusters "
            "differ: the mean effect, tau, rho and what is said of a new study rest "
            "largely on the priors.",
        )
    them = "it" if len(words) == 1 else "them"
    return (
        f"One estimate cannot show {listed(words, 'or')}: what is said of {them} and "
        "of a new study rests on the priors.",
    )


def weight_notes(sides: int | None) -> tuple[str, ...]:
    """Say what omega is, of one- or two-sided p-values; None: there is no omega."""
    if sides is None:
        return ()
    return (
        "omega[lo,hi] is the relative publication probability of estimates with "
        f"{sided(sides)} p-values from lo to hi.",
    )
