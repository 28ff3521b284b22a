"""What an ensemble costs grows with the number of its models, not with its square."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.plots.labels import group_names, model_names

FEW, MANY = 40, 160  # models: four times as many
# Four times the work and a logarithm; what is quadratic takes sixteen times.
LINEAR = 5.0


def many(made, number):
    """An ensemble of made fits with a prior of the effect for every four of them."""
    space = rb.model_space(
        effect=[
            rb.prior("normal", mean=0, sd=0.1 * i) for i in range(1, number // 4 + 1)
        ],
        heterogeneity=rb.default_priors("heterogeneity"),
        heterogeneity_null=(rb.prior("spike", location=0),),
        hierarchical=rb.default_priors("hierarchical"),
        hierarchical_null=(rb.prior("spike", location=0),),
    )
    assert len(space) == number
    logml = np.random.default_rng(1).normal(size=number)
    return made.ensemble(space, logml, np.full(number, 0.01), size=(2, 20))


TABLES = {
    "models": lambda fit: fit.models,
    "inclusion": lambda fit: fit.inclusion,
    "draws": lambda fit: fit.draws("mu", n=1000),
    "priors": lambda fit: fit.priors("mu"),
    "error": lambda fit: fit.mixture("mu").mcse(),
    "names": lambda fit: (model_names(fit.space), group_names(fit.space)),
    "summary": lambda fit: fit.summary("models"),
    "heterogeneity": lambda fit: fit.heterogeneity(),
}


def calls(function, *arguments):
    """Count the functions that are called, also those in C."""
    count = 0

    def counting(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("table", list(TABLES))
def test_the_work_of_a_table_is_linear_in_the_number_of_models(made, table):
    TABLES[table](many(made, FEW))  # what is imported or kept once
    few = calls(TABLES[table], many(made, FEW))
    assert calls(TABLES[table], many(made, MANY)) < LINEAR * few


def test_tables_of_models_hold_no_array_of_models_by_models(made):
    number = 2000
    fit = many(made, 40)
    repeat = number // len(fit.fits)
    space = type(fit.space)(fit.space.models * repeat)
    fits = fit.fits * repeat
    fit = rb.RobmaFit(fit.task, space, fits, fit.settings, fit.seed)
    tracemalloc.start()
    try:
        assert len(fit.models) == number
        assert np.isfinite(fit.inclusion["log_bf_mcse"]).any()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < number**2 * 8 / 4


def test_what_is_kept_cannot_be_changed(made):
    fit = many(made, FEW)
    for values in (fit.logml, fit.prior_prob, fit.post_prob):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0
    table = fit.models
    table["post_prob"] = 0.0
    assert fit.models["post_prob"].sum() == pytest.approx(1.0)
