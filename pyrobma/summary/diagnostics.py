"""Stage 6: convergence and Monte Carlo errors of every model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pyrobma._format import decimals, error, fixed, integer
from pyrobma.ensemble import Ensemble
from pyrobma.fit import Fit
from pyrobma.summary.checks import mark_notes, marks
from pyrobma.summary.models import prior_columns
from pyrobma.summary.table import Table

_COLUMNS = (
    "max[error(MCMC)]", "max[error(MCMC)/SD]", "min(ESS)", "max(R-hat)", "Divergences",
    "log(marglik)", "error(log(marglik))", "2nd log(marglik)", "error(2nd)", "Draws",
)  # fmt: skip


def diagnostics_table(ensemble: Ensemble) -> Table:
    """Tabulate the worst diagnostics of each model."""
    models = ensemble.models
    numbers = pd.DataFrame(
        [_row(fit) for fit in ensemble.fits], index=models.index, columns=_COLUMNS
    )
    numbers["2nd by"] = [
        "" if fit.second is None else fit.second.method for fit in ensemble.fits
    ]
    numbers["Sampler"] = [
        "" if fit.chains is None else fit.sampler for fit in ensemble.fits
    ]
    numbers["Checks"] = marks(ensemble)
    priors = pd.DataFrame(prior_columns(ensemble, models), index=models.index)
    digits = decimals(numbers["max[error(MCMC)]"])
    return Table(
        "Diagnostics overview:",
        priors.join(numbers),
        {
            "max[error(MCMC)]": fixed(5 if digits == 3 else digits),
            "max[error(MCMC)/SD]": fixed(3),
            "min(ESS)": integer,
            "max(R-hat)": fixed(3),
            "Divergences": integer,
            "log(marglik)": fixed(3),
            "error(log(marglik))": error,
            "2nd log(marglik)": fixed(3),
            "error(2nd)": error,
            "Draws": integer,
        },
        notes=(
            "2nd log(marglik): found without the chains, by quadrature (up to three "
            "free parameters) or importance sampling.",
            *mark_notes(ensemble),
        ),
    )


def _row(fit: Fit) -> dict[str, float]:
    """Return the numbers of a model, NaN where it has none."""
    row = dict.fromkeys(_COLUMNS, np.nan)
    row |= {"log(marglik)": fit.logml, "error(log(marglik))": fit.logml_mcse}
    if fit.second is not None:
        row |= {"2nd log(marglik)": fit.second.logml, "error(2nd)": fit.second.error}
    if fit.chains is not None and fit.diagnostics is not None:
        found = fit.diagnostics
        sd = fit.chains.checked.std(axis=(0, 1), ddof=1)
        row |= {
            "max[error(MCMC)]": (sd / np.sqrt(found.ess_mean)).max(),
            "max[error(MCMC)/SD]": (1 / np.sqrt(found.ess_mean)).max(),
            "min(ESS)": min(found.ess_bulk.min(), found.ess_tail.min()),
            "max(R-hat)": found.rhat.max(),
            "Divergences": found.divergences,
            "Draws": fit.chains.size,
        }
    return row
