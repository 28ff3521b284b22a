"""Stage 6: several analyses side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pyrobma._format import bayes_factor
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.errors import DataError
from pyrobma.models import COMPONENTS
from pyrobma.summary.summaries import TITLES, scale_notes
from pyrobma.summary.table import Format, Table, error, fixed, integer


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
        quantiles of ``mu``; the mean of ``tau``.

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
    rows = {
        name: _row(each, conditional, output_scale, levels)
        for name, each in ensembles.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    columns = [str(name) for name in frame.dropna(axis=1, how="all").columns]
    formats: dict[str, Format] = {name: fixed(3) for name in columns}
    formats |= {name: bayes_factor for name in columns if name.startswith("BF ")}
    formats |= {"Models": integer, "error(log BF)": error}
    given = ("mu is given an effect, tau given heterogeneity.",) if conditional else ()
    first = next(iter(ensembles.values()))
    return Table(
        "Comparison of analyses:",
        frame[columns],
        {name: formats[name] for name in columns},
        (
            "error(log BF): the largest Monte Carlo standard error of the Bayes "
            "factors' logs.",
            *given,
            *scale_notes(first, output_scale, None),
        ),
    )


def _row(
    ensemble: Ensemble,
    conditional: bool,
    output_scale: Measure | None,
    levels: Mapping[str, float],
) -> dict[str, float]:
    # Infinite where all models have the component: nothing was compared.
    every = {name: ensemble.evidence(name) for name in ensemble.components}
    tested = {name: e for name, e in every.items() if np.isfinite(e.log_bf)}
    mu, tau = (
        ensemble.mixture(name, conditional=conditional, output_scale=output_scale)
        for name in ("mu", "tau")
    )
    return {
        "Models": float(len(ensemble.fits)),
        **{
            f"BF {TITLES[name]}": float(np.exp(tested[name].log_bf))
            if name in tested
            else np.nan
            for name in COMPONENTS
        },
        "error(log BF)": max((e.log_bf_mcse for e in tested.values()), default=np.nan),
        "mu": mu.mean(),
        **dict(zip(levels, mu.quantiles(list(levels.values())), strict=True)),
        "tau": tau.mean(),
    }
