"""How often summaries look at all models: not once for each model."""

from __future__ import annotations

import sys
from collections import Counter
from typing import ClassVar

import pytest

import pyrobma as rb
from pyrobma.summary import heterogeneity_summary, summarise

KINDS = ("ensemble", "models", "diagnostics", "individual")
CHEAP = ("task", "space", "fits", "converter", "unknowns")


class Watched(rb.RobmaFit):
    """An ensemble that counts what the summaries ask of it."""

    asked: ClassVar[Counter[str]] = Counter()

    def __getattribute__(self, name):
        caller = sys._getframe(1).f_globals["__name__"]
        found = super().__getattribute__(name)
        # A table of one model may ask that model.
        if caller.startswith("pyrobma.summary") and len(vars(self)["fits"]) > 1:
            Watched.asked[name] += name not in CHEAP
        return found


def asked(made, summary, n_effects):
    """Count what a summary asks of an ensemble of 2 (n_effects + 1) models."""
    space = rb.model_space(
        effect=[rb.prior("normal", mean=0, sd=1 + i) for i in range(n_effects)],
        effect_null=[rb.prior("spike", location=0)],
        heterogeneity=rb.default_priors("heterogeneity"),
        heterogeneity_null=[rb.prior("spike", location=0)],
        hierarchical=rb.default_priors("hierarchical"),
    )
    plain = made.ensemble(space, [0.1 * i for i in range(len(space))])
    many = Watched(plain.task, space, plain.fits, plain.settings, plain.seed)
    Watched.asked.clear()
    summary(many)
    return len(space), dict(Watched.asked)


@pytest.mark.parametrize("scale", [None, "OR"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_summary_asks_the_same_of_few_models_and_of_many(made, kind, scale):
    def summary(ensemble):
        return summarise(ensemble, kind, output_scale=scale, conditional=True)

    few, many = asked(made, summary, 1), asked(made, summary, 4)
    assert (few[0], many[0]) == (4, 10)
    assert many[1] == few[1]
    assert many[1].get("models", 0) <= 1


@pytest.mark.parametrize("kind", ["ensemble", "individual"])
def test_so_does_a_summary_of_heterogeneity(made, kind):
    def summary(ensemble):
        return heterogeneity_summary(ensemble, kind, conditional=True)

    assert asked(made, summary, 4)[1] == asked(made, summary, 1)[1]
