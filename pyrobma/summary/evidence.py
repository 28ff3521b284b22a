"""Stage 6: tables of the evidence for components, and columns of Bayes factors."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from pyrobma._format import (
    bayes_factor_of_log,
    certain_decimals,
    decimal,
    error,
    fixed,
)
from pyrobma.effects import Moderators
from pyrobma.ensemble import Ensemble
from pyrobma.models import (
    ModelSpace,
    coded_columns,
    heterogeneous,
    plain_name,
    scale_name,
)
from pyrobma.models.terms import keeping_heredity
from pyrobma.parameters import EFFECT
from pyrobma.summary.notes import hierarchical_notes, learning_notes
from pyrobma.summary.table import Table

_HEREDITY: Final = "Interactions are only in models that have all of their parts."


def components_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table:
    """Tabulate prior and posterior probability and Bayes factor of each component."""
    task = ensemble.task
    made = coded_columns(task.moderators, task.scale_moderators)
    terms = {column.parameter.component.name for column in made}
    found = ensemble.inclusion
    table = _evidence_table(
        "Components summary:", ensemble, found[~found.index.isin(terms)], log_bf, bf01
    )
    return replace(
        table,
        notes=(*table.notes, *hierarchical_notes(ensemble), *learning_notes(ensemble)),
    )


def terms_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table | None:
    """Tabulate the same for each term that some models have and some have not."""
    moderators, tested = ensemble.task.moderators, list(ensemble.tested_terms)
    if moderators is None or not tested:
        return None
    found = ensemble.inclusion.loc[tested]
    table = _evidence_table(
        "Meta-regression components summary:", ensemble, found, log_bf, bf01
    )
    return replace(table, notes=(*table.notes, *_term_notes(ensemble, moderators)))


def scale_terms_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table | None:
    """Tabulate the same for moderators of heterogeneity, among models with some."""
    moderators, tested = (
        ensemble.task.scale_moderators,
        list(ensemble.tested_scale_terms),
    )
    if moderators is None or not tested:
        return None
    found = ensemble.inclusion.loc[tested]
    among = heterogeneous(ensemble.space)
    table = _evidence_table(
        "Heterogeneity moderators summary:", ensemble, found, log_bf, bf01,
        int(among.sum()),
    )  # fmt: skip
    notes = ["Among models with heterogeneity, given which probabilities are."]
    some = ModelSpace(
        tuple(m for m, is_in in zip(ensemble.space, among, strict=True) if is_in)
    )
    interactions = any(len(term.variables) > 1 for term in moderators.terms)
    if interactions and all(keeping_heredity(some, moderators, scale_name)):
        notes.append(_HEREDITY)
    return replace(
        table,
        frame=table.frame.rename(index=plain_name),
        notes=(*table.notes, *notes),
    )


def _term_notes(ensemble: Ensemble, moderators: Moderators) -> tuple[str, ...]:
    """Say what the tests of terms, and that of the effect beside them, mean."""
    effect = ensemble.members("effect")
    notes = []
    if effect.any() and not effect.all():
        notes.append(
            "Models without an effect have a mean of 0 at the reference of the "
            "moderators, around which it may vary; joint_inclusion() tests several "
            "components together."
        )
    interactions = any(len(term.variables) > 1 for term in moderators.terms)
    if interactions and all(keeping_heredity(ensemble.space, moderators)):
        notes.append(_HEREDITY)
    return tuple(notes)


def bias_table(
    ensemble: Ensemble, *, log_bf: bool = False, bf01: bool = False
) -> Table:
    """Tabulate the same for each kind of publication bias."""
    return _evidence_table(
        "Publication bias summary:", ensemble, ensemble.bias_inclusion, log_bf, bf01
    )


def _evidence_table(
    title: str,
    ensemble: Ensemble,
    found: pd.DataFrame,
    log_bf: bool,
    bf01: bool,
    among: int | None = None,
) -> Table:
    name, values, texts = bayes_factors(
        found["log_bf"], log_bf, bf01, found["log_bf_mcse"]
    )
    total = len(ensemble.fits) if among is None else among
    models = tuple(f"{n}/{total}" for n in found["models"])
    frame = pd.DataFrame(
        {
            "Models": models,
            "Prior prob.": found["prior_prob"],
            "Post. prob.": found["post_prob"],
            name: values,
            "error(log BF)": found["log_bf_mcse"],
        }
    ).rename(index=lambda name: _title(ensemble, name))
    return Table(
        title,
        frame,
        {
            "Models": models,
            "Prior prob.": fixed(3),
            "Post. prob.": fixed(3),
            name: texts,
            "error(log BF)": error,
        },
        ("error(log BF): Monte Carlo standard error of the log Bayes factor.",),
    )


def _title(ensemble: Ensemble, name: str) -> str:
    """Return the title of a component; of the effect with the levels it is at."""
    title = ensemble.unknowns.component(name).title
    moderators = ensemble.task.moderators
    if name != EFFECT.name or moderators is None:
        return title
    coded = [c for c in moderators.codings if c.contrasts == "treatment"]
    at = ", ".join(f"{c.name} = {c.levels[0]}" for c in coded)
    return f"{title} ({at})" if at else title


def bayes_factors(
    log_values: pd.Series[float],
    log_bf: bool,
    bf01: bool,
    errors: pd.Series[float] | None = None,
) -> tuple[str, pd.Series[float], tuple[str, ...]]:
    """Return the heading of a column of Bayes factors, its numbers and its texts.

    Parameters
    ----------
    log_values : Series of float
        Natural logs of Bayes factors for the presence of something.
    log_bf, bf01 : bool
        Show their logs; show evidence for the absence.
    errors : Series of float, optional
        Monte Carlo standard errors of the logs: digits that they make uncertain are
        not written. None: all are.
    """
    name = "Exclusion BF" if bf01 else "Inclusion BF"
    shown = -log_values if bf01 else log_values
    known = [0.0] * len(shown) if errors is None else errors.tolist()
    if log_bf:
        texts = tuple(map(_certain, shown, known))
        return f"log({name})", shown, texts
    with np.errstate(over="ignore"):
        return name, shown.apply(np.exp), tuple(map(bayes_factor_of_log, shown, known))


def _certain(value: float, mcse: float) -> str:
    return decimal(value, certain_decimals(mcse))
