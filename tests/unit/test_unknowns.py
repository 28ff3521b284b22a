"""The table of unknowns, and a new one that is declared in one place only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import pyrobma as rb
from pyrobma.fit import fit_models
from pyrobma.fit.model import fingerprint
from pyrobma.models import Column, Task
from pyrobma.parameters import COMPONENTS, REALS, UNKNOWNS, Component, Parameter
from pyrobma.plots import plot_posterior
from pyrobma.plots.labels import model_names, parameter_title

# All that is said of it; everything below follows.
DOSE = Parameter(
    "dose", Component("dose", "Dose", "an effect of the dose", "dose"), "spread",
    "moderator", REALS, "β", "Slope of the dose", "the slope of the dose (dose)",
    r"$\beta$",
)  # fmt: skip

X = np.array([-1.5, -0.5, 0.0, 0.2, 0.6, 1.2])
D = np.array([-0.2, 0.1, 0.3, 0.2, 0.5, 0.4])
SE = np.array([0.2, 0.3, 0.2, 0.25, 0.2, 0.3])
SD = {"mu": 1.0, "dose": 0.5}
SPIKE = rb.prior("spike", location=0)
SETTINGS = rb.SamplerSettings(chains=4, draws=500)

# Monte Carlo errors that an estimate may be off; of a dozen, none is expected beyond.
MOST_ERRORS = 4.0


def normal(name, unit=1.0):
    return rb.prior("normal", mean=0, sd=SD[name] * unit)


def fitted(effects, scale, unit=1.0):
    task = Task(effects, scale, columns=(Column(DOSE, X),))
    dose = rb.Hypotheses.of(
        "dose", "dose", null=[SPIKE], alternative=[normal("dose", unit)]
    )
    space = rb.model_space(
        dose,
        effect=[normal("mu", unit)],
        effect_null=[SPIKE],
        heterogeneity_null=[SPIKE],
        unknowns=task.unknowns,
    )
    fits = fit_models(task, space, settings=SETTINGS, seed=1)
    return rb.RobmaFit(task, space, fits, SETTINGS, 1)


@pytest.fixture(scope="module")
def fit():
    return fitted(rb.effect_sizes(d=D, se=SE), "cohens_d")


def exact(fit):
    """Log marginal likelihoods of no effect and no slope, effect, slope, both."""
    y, se = fit.task.effects.y, fit.task.effects.se
    scale = rb.scale_factor("cohens_d", "fishers_z")
    columns = {"mu": np.full_like(y, scale), "dose": scale * X}
    found = []
    for free in ([], ["mu"], ["dose"], ["mu", "dose"]):
        parts = (SD[n] ** 2 * np.outer(columns[n], columns[n]) for n in free)
        covariance = sum(parts, np.diag(se**2))
        found.append(float(multivariate_normal.logpdf(y, cov=covariance)))
    return np.array(found)


def test_its_models_have_the_marginal_likelihoods_of_the_regression(fit):
    gap = np.abs(fit.logml - exact(fit))
    errors = np.array([one.logml_mcse for one in fit.fits])
    assert (gap <= MOST_ERRORS * errors + 1e-9).all()
    assert [one.spec.free for one in fit.fits] == [
        (), ("mu",), ("dose",), ("mu", "dose"),
    ]  # fmt: skip


def test_its_component_has_a_bayes_factor(fit):
    assert fit.inclusion.index.tolist() == ["effect", "heterogeneity", "dose"]
    logml = exact(fit)
    log_bf = np.logaddexp(*logml[2:]) - np.logaddexp(*logml[:2])
    row = fit.inclusion.loc["dose"]
    assert abs(row["log_bf"] - log_bf) <= MOST_ERRORS * row["log_bf_mcse"]
    assert str(fit.summary().components.index.tolist()) == str(
        ["Effect", "Heterogeneity", "Dose"]
    )
    assert "an effect of the dose" in fit.interpret()


def test_its_draws_are_averaged_with_its_spike(fit):
    y, se = fit.task.effects.y, fit.task.effects.se
    scale = rb.scale_factor("cohens_d", "fishers_z")
    weights = np.exp(exact(fit) - exact(fit).max())
    weights /= weights.sum()
    mean = 0.0
    for weight, free in zip(weights[2:], (["dose"], ["mu", "dose"]), strict=True):
        design = scale * np.column_stack([X if n == "dose" else X**0 for n in free])
        precision = design.T @ (design / se[:, None] ** 2)
        precision += np.diag([SD[n] ** -2 for n in free])
        mean += weight * np.linalg.solve(precision, design.T @ (y / se**2))[-1]
    mixture = fit.mixture("dose")
    assert abs(mixture.mean() - mean) <= MOST_ERRORS * mixture.mcse()
    averaged = fit.draws("dose")
    assert (averaged == 0).mean() == pytest.approx(1 - weights[2:].sum(), abs=0.01)
    assert fit.priors("dose") == ((0.5, SPIKE), (0.5, normal("dose")))
    # A difference of effects: on Fisher's z half of what it is on Cohen's d.
    on_z = fit.mixture("dose", output_scale="fishers_z")
    assert on_z.mean() == pytest.approx(mixture.mean() / 2, rel=1e-12)


def test_its_names_are_in_tables_and_figures(fit):
    summary = fit.summary()
    assert summary.estimates.index.tolist() == ["mu", "tau", "dose"]
    assert r"$\beta$" in summary.to_latex()
    models = fit.summary("models").models
    assert models["Prior Dose"].tolist() == 2 * ["Spike(0)"] + 2 * ["Normal(0, 0.5)"]
    assert fit.summary("individual").model_3.index.tolist() == ["dose"]
    assert parameter_title(fit, "dose", None) == "Slope of the dose (Cohen's d)"
    assert model_names(fit.space, fit.unknowns) == (
        "Null", "Effect", "Dose", "Effect + dose",
    )  # fmt: skip
    figure = plot_posterior(fit, "dose", prior=True)
    assert figure.draw() is not None


def test_true_effects_follow_its_column(fit):
    # Without heterogeneity they lie on a line in every draw, and in the mean.
    mean = fit.true_effects()["Mean"].to_numpy()
    slope, start = np.polyfit(X, mean, 1)
    np.testing.assert_allclose(mean, start + slope * X, atol=1e-9)
    assert slope == pytest.approx(fit.mixture("dose").mean(), rel=0.02)


def test_it_is_saved_with_the_data_and_read_again(fit, tmp_path):
    fit.save(tmp_path / "dose.pyrobma")
    again = rb.load(tmp_path / "dose.pyrobma")
    assert again.unknowns == fit.unknowns
    assert again.summary().estimates.equals(fit.summary().estimates)
    assert (fit + again).space.models == 2 * fit.space.models


def test_the_unit_of_raw_effects_changes_no_bayes_factor():
    small, large = (
        fitted(rb.effect_sizes(y=unit * D, se=unit * SE), "none", unit)
        for unit in (1.0, 1024.0)  # a power of two rounds nothing
    )
    np.testing.assert_allclose(
        large.logml + len(D) * np.log(1024.0), small.logml, atol=1e-9
    )
    assert large.mixture("dose").mean() == pytest.approx(
        1024.0 * small.mixture("dose").mean(), rel=1e-9
    )


@pytest.mark.parametrize(("unit", "scale"), [("spread", 0.5), ("none", 1.0)])
def test_a_bias_with_a_column_of_its_own_is_no_part_of_true_effects(unit, scale):
    # On Cohen's d as a difference of effects is, or without a measure: as it is.
    quality = Parameter(
        "quality", Component("quality", "Quality", "low quality", "quality"), unit,
        "bias", REALS, "q", "Quality", "the bias of low quality", "q",
    )  # fmt: skip
    column = Column(quality, (X > 0).astype(float))
    task = Task(rb.effect_sizes(z=D, se=SE), "cohens_d", columns=(column,))
    spec = rb.model(quality=rb.prior("normal", mean=0, sd=1), unknowns=task.unknowns)
    space = rb.ModelSpace([spec])
    found = rb.RobmaFit(
        task, space, fit_models(task, space, settings=SETTINGS, seed=1), SETTINGS, 1
    )
    outer = scale**2 * np.outer(column.values, column.values)
    wanted = multivariate_normal.logpdf(D, cov=np.diag(SE**2) + outer)
    error = found.fits[0].logml_mcse
    assert abs(found.fits[0].logml - wanted) <= MOST_ERRORS * error
    assert (found.true_effects()["Mean"] == 0).all()
    on_z = found.mixture("quality", output_scale="fishers_z").mean()
    assert on_z == pytest.approx(scale * found.mixture("quality").mean(), rel=1e-12)


def test_a_fit_of_one_unknown_is_not_that_of_another_with_the_same_column():
    def task(name):
        row = replace(DOSE, name=name, component=replace(DOSE.component, name=name))
        return Task(rb.effect_sizes(d=D, se=SE), "cohens_d", columns=(Column(row, X),))

    def spec(name):
        return rb.model({name: normal("dose")}, unknowns=task(name).unknowns)

    prints = [fingerprint(task(n), spec(n), SETTINGS) for n in ("dose", "year", "dose")]
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("name", ["taau", "omega", "omega[0,0.05]"])
def test_names_that_are_no_scalar_unknowns_are_refused_everywhere(fit, name):
    for ask in (
        lambda: fit.derived(lambda x: x, name),
        lambda: fit.joint("mu", name),
        lambda: fit.priors(name),
    ):
        with pytest.raises(rb.DataError, match="parameter: expected one of mu, tau"):
            ask()
    with pytest.raises(rb.DataError, match="component: expected one of effect, het"):
        fit.evidence("efect")
    if name != "omega":
        with pytest.raises(rb.DataError, match="parameter: expected one of mu, tau"):
            fit.fits[0].draws(name)


def test_every_unknown_is_in_a_component_of_the_table():
    assert UNKNOWNS.names == ("mu", "tau", "rho", "omega", "PET", "PEESE")
    assert UNKNOWNS.components == COMPONENTS
    assert [kind.name for kind in UNKNOWNS.kinds("bias")] == [
        "selection", "PET", "PEESE",
    ]  # fmt: skip
    assert UNKNOWNS["omega[0,0.05]"].name == "omega"
    for row in UNKNOWNS:
        top = row.component.kind_of or row.component.name
        assert UNKNOWNS.component(top) in COMPONENTS


@pytest.mark.parametrize("name", ["nu", "mu[1]", "", None])
def test_an_unknown_that_is_not_there_is_named(name):
    with pytest.raises(rb.DataError, match="parameter: expected one of mu, tau"):
        UNKNOWNS[name]


def test_two_unknowns_or_components_of_one_name_are_refused():
    with pytest.raises(rb.DataError, match="expected a name of its own; got 'dose'"):
        UNKNOWNS.with_rows([DOSE, DOSE])
    for name in ("effect", "PET", "logml"):
        row = replace(DOSE, component=replace(DOSE.component, name=name))
        with pytest.raises(rb.DataError, match=f"component: .* its own; got '{name}'"):
            UNKNOWNS.with_rows([row])


def test_moderators_of_correlations_need_the_linear_mapping():
    effects = rb.effect_sizes(r=D, n=[40] * len(D))
    with pytest.raises(rb.DataError, match="effect_mapping: expected 'linear' for mod"):
        Task(effects, "r", "exact", columns=(Column(DOSE, X),))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (lambda: Column(UNKNOWNS["tau"], X), "expected a coefficient of the mean"),
        (lambda: Column(DOSE, X * np.nan), "expected one finite number per estimate"),
        (
            lambda: Task(
                rb.effect_sizes(d=D, se=SE), "cohens_d", columns=(Column(DOSE, X[1:]),)
            ),
            "columns: expected 6 values, one per estimate, for 'dose'; got 5",
        ),
    ],
)
def test_columns_that_do_not_fit_are_refused(column, message):
    with pytest.raises(rb.DataError, match=message):
        column()


def test_units_scale_by_the_power_that_the_table_says():
    assert [row.factor(2.0) for row in UNKNOWNS] == [2.0, 2.0, 1.0, 1.0, 1.0, 0.5]
