"""The figures that say something about an ensemble, with their captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyrobma.effects import Measure
from pyrobma.ensemble import Ensemble
from pyrobma.models import plain_name
from pyrobma.parameters import Parameter
from pyrobma.plots import (
    plot_forest,
    plot_funnel,
    plot_levels,
    plot_marginal_means,
    plot_mcmc,
    plot_models,
    plot_overview,
    plot_pet_peese,
    plot_posterior,
    plot_probabilities,
    plot_regression,
    plot_terms,
    plot_weightfunction,
    plot_z,
)
from pyrobma.plots.levels import has_means, is_levels
from pyrobma.plots.mcmc import most_probable
from pyrobma.plots.settings import has_axis
from pyrobma.report import alternatives
from pyrobma.report.alternatives import Tables


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is drawn when it is asked for.

    Attributes
    ----------
    name : str
        Different from those of others; may hold the name of a moderator, as in
        "regression_log(dose)".
    topic : {"overview", "estimates", "moderators", "bias", "models", "diagnostics"}
        Part of a report that it belongs to.
    caption : str
        What a reader sees there.
    draw : callable
        Returns a plotnine figure or composition.
    numbers : callable
        Returns what it says in words, given the tables of the report; "" for nothing
        more than the caption.
    """

    name: str
    topic: str
    caption: str
    draw: Callable[[], Any]
    numbers: Callable[[Tables], str] = lambda tables: ""


def figures(
    ensemble: Ensemble, *, output_scale: Measure | None = None
) -> tuple[Figure, ...]:
    """List the figures that an ensemble has something to show in.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    output_scale : str, optional
        Measure of effects. None: the prior scale.
    """
    scale: dict[str, Any] = {"output_scale": output_scale}
    number = ensemble.task.effects.K
    biased = bool(ensemble.bias_kinds)

    task = ensemble.task
    made_of = {"moderator": task.moderators, "scale": task.scale_moderators}

    def of_terms(row: Parameter) -> bool:
        return made_of.get(row.enters) is not None

    found = [
        Figure(
            "overview", "overview", "The analysis at a glance.",
            partial(plot_overview, ensemble, **scale),
            partial(alternatives.overview, number=number),
        ),
        Figure(
            "forest", "estimates",
            "Estimates with 95 % confidence intervals, each study's true effect as the "
            "models shrink it, the model-averaged effect and its prediction interval.",
            partial(plot_forest, ensemble, **scale),
            partial(alternatives.forest, number=number),
        ),
        *(
            Figure(
                f"posterior_{row.name}", "estimates",
                f"Prior and model-averaged posterior of {row.words}.",
                partial(plot_posterior, ensemble, row.name, prior=True, **scale),
                partial(alternatives.posterior, unknown=row),
            )
            for row in ensemble.unknowns
            if row.scalar and row.name in ensemble.parameters and not of_terms(row)
        ),
        *_of_moderators(ensemble, scale),
        *_of_scale(ensemble),
        Figure(
            # Without models of bias it says nothing of bias.
            "funnel", "bias" if biased else "estimates",
            "Estimates against their standard errors, and where 95 % of "
            f"{'published ' if biased else ''}estimates are expected.",
            partial(plot_funnel, ensemble, **scale),
            partial(alternatives.funnel, number=number),
        ),
    ]  # fmt: skip
    if ensemble.p_values is not None:
        found.append(
            Figure(
                "weightfunction", "bias",
                "Publication probability by p-value, relative to the most significant "
                "results, with a 95 % band.",
                partial(plot_weightfunction, ensemble, prior=True),
                alternatives.weights,
            )
        )  # fmt: skip
    if biased:
        found.append(
            Figure(
                "z", "bias",
                "Observed z-values (bars), what the models expect of published ones, "
                "and of all without publication bias.",
                partial(plot_z, ensemble),
            )
        )  # fmt: skip
    if any(map(ensemble.space.has, ensemble.unknowns.regressions)):
        found.append(
            Figure(
                "pet_peese", "bias",
                "Model-averaged regression of effects on standard errors, with a 95 % "
                "band; at a standard error of 0 is the effect without this bias.",
                partial(plot_pet_peese, ensemble, **scale),
                alternatives.slopes,
            )
        )  # fmt: skip
    if len(ensemble.fits) > 1:
        found += [
            Figure(
                "probabilities", "models", "Prior and posterior model probabilities.",
                partial(plot_probabilities, ensemble),
                alternatives.probabilities,
            ),
            Figure(
                "models", "models", "The effect according to each model.",
                partial(plot_models, ensemble, **scale),
                alternatives.models,
            ),
        ]  # fmt: skip
    best = most_probable(ensemble)
    if best is not None:
        found += [
            Figure(
                f"mcmc_{kind}", "diagnostics",
                f"Markov chains of model {best}, the most probable one with free "
                f"parameters: {kind}.",
                partial(plot_mcmc, ensemble, best, kind=kind),
                partial(alternatives.chains, model=best),
            )
            for kind in ("trace", "rank")
        ]  # fmt: skip
    return tuple(found)


def _of_moderators(ensemble: Ensemble, scale: dict[str, Any]) -> list[Figure]:
    """List the figures of moderators: evidence, then those of each term."""
    moderators = ensemble.task.moderators
    if moderators is None:
        return []
    found = []
    if ensemble.tested_terms:
        found.append(
            Figure(
                "terms", "moderators",
                "Prior and posterior probabilities that the moderators are in the "
                "model, with inclusion Bayes factors.",
                partial(plot_terms, ensemble),
                alternatives.terms,
            )
        )  # fmt: skip
    for term in moderators.terms:
        name = term.name
        if has_axis(moderators, term):
            found.append(
                Figure(
                    f"regression_{name}", "moderators",
                    f"Estimates by {name}, with the model-averaged mean effect, its "
                    "95 % interval and that of the true effect of a new study. Other "
                    "moderators are at their reference.",
                    partial(plot_regression, ensemble, name, **scale),
                    partial(alternatives.means, term=name),
                )
            )  # fmt: skip
        if has_means(moderators, term):
            found.append(
                Figure(
                    f"means_{name}", "moderators",
                    f"Model-averaged mean effects by {name}.",
                    partial(plot_marginal_means, ensemble, name, **scale),
                    partial(alternatives.means, term=name),
                )
            )  # fmt: skip
        draw = plot_levels if is_levels(ensemble, name) else plot_posterior
        found.append(
            Figure(
                f"posterior_{name}", "moderators",
                f"Prior and model-averaged posterior of coefficients of {name}.",
                partial(draw, ensemble, name, prior=True, **scale),
                partial(alternatives.coefficients, term=name),
            )
        )  # fmt: skip
    return found


def _of_scale(ensemble: Ensemble) -> list[Figure]:
    """List the figures of moderators of heterogeneity."""
    if ensemble.task.scale_moderators is None:
        return []
    return [
        Figure(
            f"posterior_{term.name}", "moderators",
            "Prior and model-averaged posterior of coefficients of log tau, by "
            f"{plain_name(term.name)}, over models with heterogeneity.",
            partial(
                plot_levels if is_levels(ensemble, term.name) else plot_posterior,
                ensemble, term.name, prior=True,
            ),
            partial(alternatives.scale_coefficients, term=plain_name(term.name)),
        )
        for term in ensemble.unknowns.scale_terms
    ]  # fmt: skip
