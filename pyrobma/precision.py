"""More draws for the models that make printed digits uncertain."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any, Final

import numpy as np

from pyrobma._format import counted
from pyrobma.fit import Fit
from pyrobma.fit.keeping import draws_of
from pyrobma.fit.lengthen import lengthened
from pyrobma.fit.model import with_spec
from pyrobma.parameters import BIAS
from pyrobma.result import RobmaFit
from pyrobma.summary.estimates import ERRORS, excess_errors

LOG_BF_ERROR: Final = 0.002
"""Error of the log of a Bayes factor that leaves its third significant digit certain,
within two units."""

_SHARE = 0.01  # posterior probability of models that are continued
_MARGIN = 1.2  # errors are estimates themselves
_ROUNDS = 3
_MOST_DRAWS = 100_000  # per chain


def excess(fit: RobmaFit) -> float:
    """Return the largest error over what is small enough; 1 and less is enough.

    Errors are those of what ``fit.summary()`` prints: averaged means, medians and
    quantiles of effect, heterogeneity, correlation and moderators, to the decimals of
    the table, and logs of inclusion Bayes factors. Not those of bias: three decimals of
    a PEESE coefficient near 10 are nothing to wait for.
    """
    kinds = {BIAS.name, *fit.bias_kinds}
    of_bias = [p for p in fit.parameters if fit.component_of(p) in kinds]
    largest = [0.0]
    for table in fit.summary().tables.values():
        frame = table.frame
        if set(ERRORS) <= set(frame.columns):
            own = ~frame.index.isin(of_bias)
            over = excess_errors(frame, table.formats)[own]
            largest.append(float(over.max(initial=0.0)))
        elif "error(log BF)" in frame.columns:
            errors = frame["error(log BF)"].to_numpy(dtype=np.float64)
            largest.append(float(np.nanmax(errors, initial=0.0)) / LOG_BF_ERROR)
    return max(largest)


def with_certain_digits(fit: RobmaFit, **computation: Any) -> RobmaFit:
    """Return the fit with chains continued until printed digits are certain.

    Parameters
    ----------
    fit : RobmaFit
    **computation
        ``cores``, ``executor``, ``cache`` and ``progress`` of `fit_models`.

    Returns
    -------
    RobmaFit
        After three rounds, or 100,000 draws per chain, as far as they reach: tables
        then say what remains.

    Raises
    ------
    FitError, FitInterrupted
        As in `fit_models`.
    """
    for _ in range(_ROUNDS):
        over = excess(fit)
        some = [
            one
            for one, p in zip(fit.fits, fit.post_prob, strict=True)
            if p >= _SHARE and one.sampler == "NUTS" and one.chains is not None
        ]
        if over <= 1 or not some:
            break
        have = min(draws_of(one) for one in some)
        draws = min(math.ceil(_MARGIN * over**2 * have), _MOST_DRAWS)
        if draws <= have:
            break
        if computation.get("progress") is not False:
            sys.stderr.write(
                f"pyrobma: {counted(len(some), 'model')} to be continued to {draws:,} "
                f"draws per chain, {draws / have:.0f} times as many.\n"
            )
        fit = _continued(fit, some, draws, computation)
    return fit


def _continued(
    fit: RobmaFit, some: list[Fit], draws: int, computation: dict[str, Any]
) -> RobmaFit:
    settings = fit.settings.resolved(len(fit.space), fit.task.effects.K)
    settings = replace(settings, max_draws=max(settings.max_draws or 0, draws))
    chosen = {id(one) for one in some}
    rest = [one for one in fit.fits if id(one) not in chosen]
    fits = (
        *lengthened(fit.task, rest, settings, **computation),
        *lengthened(fit.task, some, settings, least=draws, **computation),
    )
    found = {one.spec.likelihood: one for one in fits}
    made = tuple(with_spec(found[spec.likelihood], spec) for spec in fit.space)
    return replace(fit, fits=made, settings=settings)
