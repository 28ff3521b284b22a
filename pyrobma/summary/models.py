"""Stage 6: the models side by side, and how each is called."""

from __future__ import annotations

import pandas as pd

from pyrobma._format import error, fixed
from pyrobma.ensemble import Ensemble
from pyrobma.summary.checks import mark_notes, marks
from pyrobma.summary.evidence import bayes_factors
from pyrobma.summary.table import Table


def models_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table:
    """Tabulate the models with their priors and probabilities."""
    found = ensemble.models
    name, values, texts = bayes_factors(found["log_bf"], log_bf, bf01)
    frame = pd.DataFrame(
        {
            **prior_columns(ensemble, found),
            "Prior prob.": found["prior_prob"],
            "log(marglik)": found["logml"],
            "error(log(marglik))": found["logml_mcse"],
            "Post. prob.": found["post_prob"],
            name: values,
        },
        index=found.index,
    )
    missed = marks(ensemble)
    if any(missed):
        frame["Checks"] = missed
    return Table(
        "Models overview:",
        frame,
        {
            "Prior prob.": fixed(3),
            "log(marglik)": fixed(2),
            "error(log(marglik))": error,
            "Post. prob.": fixed(3),
            name: texts,
        },
        notes=mark_notes(ensemble),
    )


def prior_columns(
    ensemble: Ensemble, models: pd.DataFrame
) -> dict[str, pd.Series[str]]:
    """Return the columns that tell models apart.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    models : DataFrame
        Its `Ensemble.models`, which takes time to compute.
    """
    return {
        f"Prior {component.title}": models[component.name]
        for component in ensemble.unknowns.components
        if component.always or any(models[component.name])
    }


def model_titles(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> tuple[str, ...]:
    """Name every model by its number, its priors and its evidence.

    All at once, because the evidence for one takes that for all.
    """
    found = ensemble.models
    name, _, texts = bayes_factors(found["log_bf"], log_bf, bf01)
    titles = []
    for number, (fit, prior_prob, post_prob, text) in enumerate(
        zip(ensemble.fits, found["prior_prob"], found["post_prob"], texts, strict=True),
        start=1,
    ):
        facts = [
            f"Prior prob. {prior_prob:.3f}",
            f"log(marglik) {fit.logml:.2f} (error {error(fit.logml_mcse)})",
            f"Post. prob. {post_prob:.3f}",
            f"{name} {text}",
        ]
        if not fit.ok:
            facts.append(f"missed: {'; '.join(fit.reasons)}")
        titles.append(f"Model {number}: {fit.spec}\n{', '.join(facts)}")
    return tuple(titles)
