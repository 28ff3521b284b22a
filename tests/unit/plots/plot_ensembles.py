"""Ensembles with draws of our choice, so that figures have known contents."""

from __future__ import annotations

import dataclasses
import warnings
from io import BytesIO

import numpy as np

import pyrobma as rb
from pyrobma.effects import read_moderators
from pyrobma.models import Task, moderator_columns
from pyrobma.models.terms import term_hypotheses, with_heredity

SPIKE = rb.prior("spike", location=0)
NORMAL = rb.prior("normal", mean=0, sd=1)
HALF = rb.prior("normal", mean=0, sd=1, lower=0)


def even(distribution, size=(2, 1000)):
    """Return the evenly spaced quantiles of a distribution, in random order."""
    n = size[0] * size[1]
    values = distribution.ppf((np.arange(n) + 0.5) / n)
    return np.random.default_rng(1).permutation(values).reshape(size)


def ensemble(made, space, logml, draws, *, omega=None, effects=None, **task):
    """Return an ensemble; draws by parameter, or by the number of the model from 1.

    Parameters
    ----------
    draws : dict
        Of arrays of shape (chains, draws), by parameter; by model and parameter for
        the models that have a dictionary of their own.
    omega : dict
        Of arrays of shape (chains, draws, J), by the number of the model.
    """
    if effects is None:
        effects = rb.effect_sizes(d=[0.1, 0.3, -0.1, 0.5], se=[0.1, 0.2, 0.1, 0.2])
    fits = []
    for i, model in enumerate(space.models, start=1):
        own = draws.get(i, draws)
        names = [name for name in model.free if name != "omega"]
        fit = made.fit(
            model, float(logml[i - 1]), draws={n: own[n] for n in names}, seed=i
        )
        if omega and i in omega:
            fit = dataclasses.replace(
                fit, chains=dataclasses.replace(fit.chains, omega=omega[i])
            )
        fits.append(fit)
    task = {"prior_scale": "cohens_d", **task}
    return rb.RobmaFit(
        Task(effects, **task), space, tuple(fits), rb.SamplerSettings(), 3
    )


def drawn(figure):
    """Render a figure; warnings are errors here."""
    buffer = BytesIO()
    figure.save(buffer, format="png", verbose=False, dpi=50)
    return buffer.getvalue()


def texts(figure):
    """Return everything that is written in the panels of a figure."""
    return [
        str(label)
        for layer in figure.layers
        if "label" in layer.mapping
        for label in layer._data[layer.mapping["label"]]
    ]


def moderated(
    made, mods, data, *, bias=(), hierarchical=(), priors=None, test=True,
    size=(2, 100), seed=7, spread=0.1, effects=None, coding=None,
    effect_null=(SPIKE,), **task,
):  # fmt: skip
    """Return an ensemble with moderators; draws of all unknowns, all models as likely.

    Parameters
    ----------
    mods, data
        Formula and table of the moderators.
    bias, hierarchical : sequence
        Priors.
    priors, test
        As in `robma`.
    spread : float
        Standard deviation of draws.
    coding : dict
        Of `read_moderators`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.DataWarning)
        moderators, _ = read_moderators(mods, data, **(coding or {}))
    K = len(moderators.columns)
    if effects is None:
        rng = np.random.default_rng(2)
        effects = rb.effect_sizes(
            d=rng.normal(0.3, 0.3, K), se=rng.uniform(0.1, 0.3, K)
        )
    task = {
        "prior_scale": "cohens_d",
        "columns": moderator_columns(moderators),
        "moderators": moderators,
        **task,
    }
    unknowns = Task(effects, **task).unknowns
    space = with_heredity(
        rb.model_space(
            *term_hypotheses(moderators, unknowns, priors=priors, test=test),
            effect=(NORMAL,),
            effect_null=effect_null,
            heterogeneity=rb.default_priors("heterogeneity"),
            bias=bias,
            hierarchical=hierarchical,
            unknowns=unknowns,
        ),
        moderators,
    )
    rng = np.random.default_rng(seed)
    centres = dict.fromkeys(unknowns.scalars, 0.0)
    centres |= {name: rng.normal(0.2, 0.2) for name in centres}
    positive = ("tau", "rho", "PET", "PEESE")
    draws = {}
    for k, model in enumerate(space.models, start=1):
        values = {name: rng.normal(centres[name], spread, size) for name in model.free}
        draws[k] = {n: abs(x) if n in positive else x for n, x in values.items()}
    logml = np.log(1 / space.prior_prob)
    return ensemble(made, space, logml, draws, effects=effects, **task)
