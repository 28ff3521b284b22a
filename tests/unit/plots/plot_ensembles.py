"""Ensembles with draws of our choice, so that figures have known contents."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np

import pyrobma as rb
from pyrobma.models import Task

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
