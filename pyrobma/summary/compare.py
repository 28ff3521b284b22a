"""Stage 6: several analyses side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._format import Format, bayes_factor_of_log, error
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble, Inclusion
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.errors import DataError
from pyrobma.summary.grid import by_row
from pyrobma.summary.notes import hierarchical_notes, scale_notes, tau_notes
from pyrobma.summary.table import Table


def compare(
    ensembles: Mapping[str, Ensemble],
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
) -> Table:
    """Tabulate evidence and averaged estimates of several analyses of one question.

    Parameters
    ----------
    ensembles : mapping of str to Ensemble
        By name, e.g. the same data under other priors or other models of bias.
    conditional : bool
        Average mu over models with an effect, and tau over models with heterogeneity.
    output_scale : str, optional
        Measure of mu and tau, as in `Ensemble.mixture`. None: the prior scale, which
        must then be the same in all.
    probs : sequence of float
        Quantiles of mu to show, in [0, 1].

    Returns
    -------
    Table
        One row per analysis: ``Models``; ``BF`` of each component that some analysis
        tests, missing where it does not; the largest ``error(log BF)``; the mean and
        quantiles of ``mu``; the mean of ``tau``. With `conditional` these are missing
        where no model has the component.

    Raises
    ------
    DataError
        If there is no analysis, they are on different scales, or `probs` are outside
        [0, 1].
    """
    if not ensembles:
        raise DataError("ensembles: expected at least one analysis; got none.")
    scales = {output_scale or each.task.prior_scale for each in ensembles.values()}
    if len(scales) > 1:
        raise DataError(
            f"ensembles: expected one prior scale; got {', '.join(sorted(scales))}. "
            "Choose an output_scale."
        )
    levels = check_probs(probs)
    every = {name: _tested(each) for name, each in ensembles.items()}
    titles = {
        component.name: component.title
        for each in ensembles.values()
        for component in each.unknowns.components
    }
    tested = [c for c in titles if any(c in found for found in every.values())]
    log_bf = pd.DataFrame(
        {
            f"BF {titles[c]}": [
                found[c].log_bf if c in found else np.nan for found in every.values()
            ]
            for c in tested
        },
        index=list(every),
    )
    with np.errstate(over="ignore"):
        factors = log_bf.apply(np.exp)
    estimates = {
        name: _estimates(each, conditional, output_scale, levels)
        for name, each in ensembles.items()
    }
    frame = factors.join(pd.DataFrame.from_dict(estimates, orient="index"))
    frame.insert(0, "Models", [len(each.fits) for each in ensembles.values()])
    frame.insert(
        1 + len(tested),
        "error(log BF)",
        [
            max((e.log_bf_mcse for e in found.values()), default=np.nan)
            for found in every.values()
        ],
    )
    formats: dict[str, Format | tuple[str, ...]] = {
        **by_row(frame[["mu", *levels]], output_scale),
        **by_row(frame[["tau"]], output_scale),
        **{str(c): tuple(map(bayes_factor_of_log, log_bf[c])) for c in log_bf},
        "error(log BF)": error,
    }
    given = ("mu is given an effect, tau given heterogeneity.",) if conditional else ()
    first = next(iter(ensembles.values()))
    return Table(
        "Comparison of analyses:",
        frame,
        formats,
        (
            "error(log BF): the largest Monte Carlo standard error of the Bayes "
            "factors' logs.",
            *given,
            *_repeated(ensembles.values()),
            *scale_notes(first, output_scale),
            *(
                f"{n}: {note}"
                for n, each in ensembles.items()
                for note in tau_notes(each)
            ),
        ),
    )


def _repeated(ensembles: Iterable[Ensemble]) -> tuple[str, ...]:
    """Say of some analysis that its test of clusters is that of heterogeneity."""
    return next(filter(None, map(hierarchical_notes, ensembles)), ())


def _tested(ensemble: Ensemble) -> dict[str, Inclusion]:
    """Return the evidence that is finite: elsewhere nothing was compared."""
    every = {name: ensemble.evidence(name) for name in ensemble.components}
    return {name: e for name, e in every.items() if np.isfinite(e.log_bf)}


def _estimates(
    ensemble: Ensemble,
    conditional: bool,
    output_scale: Measure | None,
    levels: Mapping[str, float],
) -> dict[str, float]:
    found = dict.fromkeys(("mu", *levels, "tau"), np.nan)
    options: dict[str, Any] = {
        "conditional": conditional,
        "output_scale": output_scale,
    }
    if not conditional or ensemble.members("effect").any():
        mu = ensemble.mixture("mu", **options)
        found["mu"] = mu.mean()
        quantiles = mu.quantiles(list(levels.values()))
        found |= dict(zip(levels, quantiles, strict=True))
    if not conditional or ensemble.members("heterogeneity").any():
        found["tau"] = ensemble.mixture("tau", **options).mean()
    return found
