"""Stage 6: the four summaries of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pyrobma._format import bayes_factor_of_log
from pyrobma._mcmc import effective_sample_size, rank_normalised, rhat
from pyrobma._types import FloatArray
from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble, Mixture
from pyrobma.ensemble.quantiles import check_probs
from pyrobma.ensemble.scales import SCALE_NAMES
from pyrobma.errors import DataError
from pyrobma.summary.table import (
    Format,
    Summary,
    Table,
    by_row,
    decimals,
    error,
    fixed,
    integer,
)

SummaryType: TypeAlias = Literal["ensemble", "models", "diagnostics", "individual"]

TITLES = {
    "effect": "Effect",
    "heterogeneity": "Heterogeneity",
    "bias": "Bias",
    "hierarchical": "Hierarchical",
    "selection": "Selection",
    "PET": "PET",
    "PEESE": "PEESE",
}


def summarise(
    ensemble: Ensemble,
    type: str = "ensemble",
    *,
    conditional: bool = False,
    output_scale: Measure | None = None,
    probs: Sequence[float] = (0.025, 0.975),
    log_bf: bool = False,
    bf01: bool = False,
    bias_components: bool = False,
) -> Summary:
    """Tabulate an ensemble.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    type : {"ensemble", "models", "diagnostics", "individual"}
        ``"ensemble"``: evidence for each component and model-averaged estimates.
        ``"models"``: priors, marginal likelihood and probability of each model.
        ``"diagnostics"``: convergence and Monte Carlo errors of each model.
        ``"individual"``: every model on its own. The first letter is enough.
    conditional : bool
        Add estimates averaged over the models with the component only ("ensemble").
    output_scale : str, optional
        Measure of the estimates, as in `Ensemble.mixture`. None: the prior scale.
    probs : sequence of float
        Quantiles to show, in [0, 1].
    log_bf, bf01 : bool
        Show natural logs of Bayes factors; show evidence for the absence.
    bias_components : bool
        Add the evidence for each kind of publication bias ("ensemble").

    Returns
    -------
    Summary
        Printable; each table is also a DataFrame attribute, e.g. ``.components`` and
        ``.estimates``.

    Raises
    ------
    DataError
        On an unknown type or scale, or probabilities outside [0, 1].
    """
    kind = kind_of(type, get_args(SummaryType))
    levels = tuple(check_probs(probs).values())
    ensemble.converter("mu", output_scale)  # refuses an unknown scale before any work
    tables: dict[str, Table]
    if kind == "ensemble":
        tables = {
            "components": components_table(ensemble, log_bf=log_bf, bf01=bf01),
            "estimates": estimates_table(ensemble, output_scale, levels),
        }
        if bias_components and ensemble.bias_components:
            tables["components_bias"] = bias_table(ensemble, log_bf=log_bf, bf01=bf01)
        if conditional:
            tables["estimates_conditional"] = estimates_table(
                ensemble, output_scale, levels, conditional=True
            )
    elif kind == "models":
        tables = {"models": models_table(ensemble, log_bf=log_bf, bf01=bf01)}
    elif kind == "diagnostics":
        tables = {"diagnostics": diagnostics_table(ensemble)}
    else:
        tables = {
            f"model_{i}": individual_table(
                ensemble, i, output_scale, levels, log_bf=log_bf, bf01=bf01
            )
            for i in range(1, len(ensemble.fits) + 1)
        }
    return Summary(heading(ensemble), tables, ensemble_warnings(ensemble))


def kind_of(type: str, kinds: Sequence[str]) -> str:
    """Return the kind of summary that a name, or the start of one, stands for."""
    found = [kind for kind in kinds if kind.startswith(str(type))]
    if len(found) != 1:  # the first letters differ, and "" is a start of all
        raise DataError(
            f"type: expected one of {', '.join(kinds)}, or its first letter; got "
            f"{type!r}."
        )
    return found[0]


def components_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table:
    """Tabulate prior and posterior probability and Bayes factor of each component."""
    return _evidence_table(
        "Components summary:", ensemble, ensemble.inclusion, log_bf, bf01
    )


def bias_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table:
    """Tabulate the same for each kind of publication bias."""
    return _evidence_table(
        "Publication bias summary:", ensemble, ensemble.bias_inclusion, log_bf, bf01
    )


def _evidence_table(
    title: str, ensemble: Ensemble, found: pd.DataFrame, log_bf: bool, bf01: bool
) -> Table:
    name, values, formats = _bayes_factor_column(found["log_bf"], log_bf, bf01)
    models = tuple(f"{n}/{len(ensemble.fits)}" for n in found["models"])
    frame = pd.DataFrame(
        {
            "Models": models,
            "Prior prob.": found["prior_prob"],
            "Post. prob.": found["post_prob"],
            name: values,
            "error(log BF)": found["log_bf_mcse"],
        }
    ).rename(index=TITLES)
    return Table(
        title,
        frame,
        {
            "Models": models,
            "Prior prob.": fixed(3),
            "Post. prob.": fixed(3),
            name: formats,
            "error(log BF)": error,
        },
        ("error(log BF): Monte Carlo standard error of the log Bayes factor.",),
    )


def estimates_table(
    ensemble: Ensemble,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    conditional: bool = False,
) -> Table:
    """Tabulate averaged (or conditional) estimates of every parameter."""
    available = [
        p
        for p in ensemble.parameters
        if not conditional or ensemble.component_of(p) in _alternatives(ensemble)
    ]
    rows = {
        p: estimate(
            ensemble.mixture(p, conditional=conditional, output_scale=output_scale),
            probs,
        )
        for p in available
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    title = "Conditional estimates:" if conditional else "Model-averaged estimates:"
    if not rows:
        return Table(title, frame, notes=("No model has an alternative prior.",))
    sides = None if ensemble.p_values is None else ensemble.p_values.sides
    notes = scale_notes(ensemble, output_scale, sides)
    return Table(title, frame, estimate_formats(frame), notes)


def models_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table:
    """Tabulate the models with their priors and probabilities."""
    found = ensemble.models
    name, values, formats = _bayes_factor_column(found["log_bf"], log_bf, bf01)
    frame = pd.DataFrame(
        {
            **_prior_columns(ensemble),
            "Prior prob.": found["prior_prob"],
            "log(marglik)": found["logml"],
            "error(log(marglik))": found["logml_mcse"],
            "Post. prob.": found["post_prob"],
            name: values,
        },
        index=found.index,
    )
    if any(_marks(ensemble)):
        frame["Checks"] = _marks(ensemble)
    return Table(
        "Models overview:",
        frame,
        {
            "Prior prob.": fixed(3),
            "log(marglik)": fixed(2),
            "error(log(marglik))": error,
            "Post. prob.": fixed(3),
            name: formats,
        },
        notes=_mark_notes(ensemble),
    )


def diagnostics_table(ensemble: Ensemble) -> Table:
    """Tabulate the worst diagnostics of each model."""
    rows = []
    for fit in ensemble.fits:
        row = dict.fromkeys(
            (
                "max[error(MCMC)]", "max[error(MCMC)/SD]", "min(ESS)", "max(R-hat)",
                "Divergences", "log(marglik)", "error(log(marglik))",
                "2nd log(marglik)", "error(2nd)", "Draws",
            ),
            np.nan,
        )  # fmt: skip
        row |= {"log(marglik)": fit.logml, "error(log(marglik))": fit.logml_mcse}
        if fit.second is not None:
            row |= {
                "2nd log(marglik)": fit.second.logml,
                "error(2nd)": fit.second.error,
            }
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
        rows.append(row)
    numbers = pd.DataFrame(rows, index=ensemble.models.index)
    numbers["2nd by"] = [
        "" if fit.second is None else fit.second.method for fit in ensemble.fits
    ]
    numbers["Sampler"] = [
        "" if fit.chains is None else fit.sampler for fit in ensemble.fits
    ]
    numbers["Checks"] = _marks(ensemble)
    priors = pd.DataFrame(_prior_columns(ensemble), index=numbers.index)
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
            *_mark_notes(ensemble),
        ),
    )


def _marks(ensemble: Ensemble) -> list[str]:
    """Mark the models that miss a check."""
    return ["" if fit.ok else "missed" for fit in ensemble.fits]


def _mark_notes(ensemble: Ensemble) -> tuple[str, ...]:
    if all(fit.ok for fit in ensemble.fits):
        return ()
    return ("missed: see the warnings below; the error covers what is known of it.",)


def individual_table(
    ensemble: Ensemble,
    number: int,
    output_scale: Measure | None,
    probs: Sequence[float],
    *,
    log_bf: bool = False,
    bf01: bool = False,
) -> Table:
    """Tabulate the estimates of one model, numbered from 1."""
    fit = ensemble.fits[number - 1]
    title = model_title(ensemble, number, log_bf=log_bf, bf01=bf01)
    rows = {
        p: _individual(
            ensemble.converter(p, output_scale)(fit.draws(p)),
            probs,
            fit.mean_factor(p),
        )
        for p in fit.names
    }
    selection = fit.spec.selection
    if "omega" in fit.spec.free and selection is not None:
        omega = fit.draws("omega")
        for j, (lo, hi) in enumerate(selection.intervals):
            rows[f"omega[{lo:g},{hi:g}]"] = _individual(
                omega[:, :, j], probs, fit.mean_factor("omega")
            )
    frame = pd.DataFrame.from_dict(rows, orient="index")
    if not rows:
        return Table(title, frame, notes=("No free parameters.",))
    estimates = frame.columns[: frame.columns.get_loc("error(MCMC)")]
    formats: dict[str, Format | tuple[str, ...]] = {
        **by_row(frame[estimates]),
        "error(MCMC)": error,
        "error(MCMC)/SD": fixed(3),
        "ESS": integer,
        "R-hat": fixed(3),
    }
    sides = None if selection is None else selection.sides
    return Table(title, frame, formats, scale_notes(ensemble, output_scale, sides))


def model_title(
    ensemble: Ensemble, number: int, *, log_bf: bool = False, bf01: bool = False
) -> str:
    """Name a model, numbered from 1, with its priors and its evidence."""
    fit = ensemble.fits[number - 1]
    found = ensemble.models
    name, _, written = _bayes_factor_column(found["log_bf"], log_bf, bf01)
    column = {key: found[key].to_numpy() for key in found}
    facts = [
        f"Prior prob. {column['prior_prob'][number - 1]:.3f}",
        f"log(marglik) {fit.logml:.2f} (error {error(fit.logml_mcse)})",
        f"Post. prob. {column['post_prob'][number - 1]:.3f}",
        f"{name} {written[number - 1]}",
    ]
    if not fit.ok:
        facts.append(f"missed: {'; '.join(fit.reasons)}")
    return f"Model {number}: {fit.spec}\n{', '.join(facts)}"


def ensemble_warnings(ensemble: Ensemble) -> tuple[str, ...]:
    """Return what a reader must know before trusting the ensemble, in words."""
    return tuple(
        f"Model {i} ({fit.spec}): {'; '.join(fit.reasons)}."
        for i, fit in enumerate(ensemble.fits, start=1)
        if not fit.ok
    )


def heading(ensemble: Ensemble) -> str:
    """Say what was fitted to what, in a few words."""
    effects = ensemble.task.effects
    shared = int((np.bincount(effects.cluster) > 1).sum())
    alone = effects.L - shared
    clusters = f" in {shared} cluster{'' if shared == 1 else 's'}" if shared else ""
    if shared and alone:
        clusters += f" and {alone} independent"
    estimates = "1 estimate" if effects.K == 1 else f"{effects.K} estimates"
    count = len(ensemble.fits)
    if count == 1:
        method = "Bayesian meta-analysis (one model)"
    elif "bias" in ensemble.components:
        method = f"Robust Bayesian meta-analysis ({count} models)"
    else:
        method = f"Bayesian model-averaged meta-analysis ({count} models)"
    return f"{method}: {estimates}{clusters}"


def _alternatives(ensemble: Ensemble) -> set[str]:
    return {c for model in ensemble.space.models for c in model.alternative}


def estimate(mixture: Mixture, probs: Sequence[float]) -> dict[str, float]:
    """Return a row of a table of estimates."""
    median, *quantiles = mixture.quantiles([0.5, *probs])
    mean, mcse = mixture.mean(), mixture.mcse()
    return {
        "Mean": mean,
        "Median": float(median),
        **{f"{p:g}": float(q) for p, q in zip(probs, quantiles, strict=True)},
        # A parameter that is equal in all draws can differ in their last digits.
        "error(Mean)": mcse if mcse > np.finfo(np.float64).eps * abs(mean) else 0.0,
    }


def estimate_formats(frame: pd.DataFrame) -> dict[str, Format | tuple[str, ...]]:
    """Return how a table of such rows is printed."""
    return {**by_row(frame.drop(columns="error(Mean)")), "error(Mean)": error}


def _individual(
    values: FloatArray, probs: Sequence[float], factor: float = 1.0
) -> dict[str, float]:
    if np.ptp(values) == 0:
        value = float(values.flat[0])
        empty = dict.fromkeys(("error(MCMC)", "error(MCMC)/SD", "ESS", "R-hat"), np.nan)
        same = dict.fromkeys(("Median", *(f"{p:g}" for p in probs)), value)
        return {"Mean": value, "SD": 0.0} | same | empty
    stacked = values[:, :, None]
    sd = float(values.std(ddof=1))
    size = float(effective_sample_size(stacked)[0])
    bulk = rank_normalised(stacked)
    folded = rank_normalised(np.abs(stacked - np.median(stacked)))
    quantiles = np.quantile(values, [0.5, *probs], method="inverted_cdf")
    return {
        "Mean": float(values.mean()),
        "SD": sd,
        "Median": float(quantiles[0]),
        **{f"{p:g}": float(q) for p, q in zip(probs, quantiles[1:], strict=True)},
        "error(MCMC)": factor * sd / np.sqrt(size),
        "error(MCMC)/SD": factor / np.sqrt(size),
        "ESS": float(effective_sample_size(bulk)[0]),
        "R-hat": float(np.maximum(rhat(bulk), rhat(folded))[0]),
    }


def _prior_columns(ensemble: Ensemble) -> dict[str, pd.Series[str]]:
    found = ensemble.models
    columns = {
        "Prior Effect": found["effect"],
        "Prior Heterogeneity": found["heterogeneity"],
    }
    if any(found["bias"]):
        columns["Prior Bias"] = found["bias"]
    if ensemble.space.hierarchical:
        columns["Prior Hierarchical"] = found["hierarchical"]
    return columns


def _bayes_factor_column(
    log_values: pd.Series[float], log_bf: bool, bf01: bool
) -> tuple[str, pd.Series[float], tuple[str, ...]]:
    """Return heading, numbers and texts."""
    name = "Exclusion BF" if bf01 else "Inclusion BF"
    shown = -log_values if bf01 else log_values
    if log_bf:
        return f"log({name})", shown, tuple(map(fixed(3), shown))
    with np.errstate(over="ignore"):
        return name, shown.apply(np.exp), tuple(map(bayes_factor_of_log, shown))


def scale_notes(
    ensemble: Ensemble,
    output_scale: Measure | None,
    sides: int | None = None,
    linear: str | None = None,
) -> tuple[str, ...]:
    """Say on which scale estimates and priors are, and what omega is.

    `linear` names what is on a linear scale where the effect is on none; None: tau and
    PEESE.
    """
    prior_scale = ensemble.task.prior_scale
    shown = output_scale or prior_scale
    notes = []
    if sides is not None:
        notes.append(
            "omega[lo,hi] is the relative publication probability of estimates with "
            f"{'one' if sides == 1 else 'two'}-sided p-values from lo to hi."
        )
    if prior_scale == "none":
        return ("Estimates and priors are on the scale of the data.", *notes)
    note = f"Estimates are on the {SCALE_NAMES[shown]} scale"
    if shown in ("r", "OR") and shown != prior_scale:
        other: Measure = "fishers_z" if shown == "r" else "logOR"
        if linear is None:
            linear = "tau and PEESE" if "PEESE" in ensemble.parameters else "tau"
        if linear:
            note += f" ({linear} on the {SCALE_NAMES[other]} scale)"
    return (f"{note}; priors are on the {SCALE_NAMES[prior_scale]} scale.", *notes)
