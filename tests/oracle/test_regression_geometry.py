"""What must not change a regression, and data that are hard for one."""

from __future__ import annotations

import math
import warnings
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import quadrature as q
import regression as g
from test_logml_and_posteriors import ERRORS, EXACT, as_prior

import pyrobma as rb
from pyrobma.ensemble.quantities import Quantity, coefficients, marginal, posterior

Array = npt.NDArray[np.float64]

INVERSE_GAMMA, BETA = q.DEFAULT_HETEROGENEITY, q.DEFAULT_HIERARCHICAL
SPIKE = rb.prior("spike", location=0)
NORMAL = {"mu": 1.0, "term": 0.25}  # default prior standard deviations
MADE = g.made_designs()
# Of a log marginal likelihood; what goes wrong here is wrong by a tenth or more.
LARGEST_MCSE = 0.03
# Sums of draws that cancel but for rounding.
ROUNDING = 1e-12

robma = partial(rb.robma, priors_bias=None, seed=1)
# One model: with an effect, heterogeneity and all terms.
single = partial(
    robma, priors_effect_null=None, priors_heterogeneity_null=None, test_mods=False
)


def quietly(fit, **options):
    """Without warnings of levels that occur once, and of columns that depend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.DataWarning)
        return fit(**options)


def of_made(name: str, fit=single, **options) -> rb.RobmaFit:
    made = MADE[name]
    data = {"z": made.data.y, "se": made.data.se, "study_ids": made.data.cluster}
    table = {"data": pd.DataFrame(made.columns), "mods": " + ".join(made.terms)}
    return quietly(fit, **{**table, **data, **options})


def model_of_made(
    name: str, sd: float = 0.25, contrast: str = "meandif"
) -> g.Posterior:
    made, design = MADE[name], MADE[name].design(contrast)
    return exact_model(made.data, design.X[:, 1:], sd)


def exact_model(
    data: g.Data, columns: Array, sd: float = 0.25, **options: object
) -> g.Posterior:
    """With the default priors, and N(0, sd) for every column."""
    X = np.column_stack([np.ones(data.y.size), columns])
    given = {
        "tau": INVERSE_GAMMA,
        "rho": 0.0 if data.cluster is None else BETA,
        **options,
    }
    deviations = np.array([NORMAL["mu"]] + [sd] * (X.shape[1] - 1))
    return g.posterior(data, X, np.zeros(X.shape[1]), deviations, **given)


def assert_logml(fit: rb.Fit, exact: float) -> None:
    assert fit.logml_mcse < LARGEST_MCSE
    assert abs(fit.logml - exact) < ERRORS * fit.logml_mcse + EXACT * (1 + abs(exact))


# ------------------------------------------------------------------------ made designs


@pytest.mark.parametrize("name", MADE)
def test_a_hard_design_has_its_marginal_likelihood_and_coefficients(name):
    exact, fit = model_of_made(name), of_made(name)
    assert_logml(fit.fits[0], exact.logml)
    design, moderators = MADE[name].design(), fit.task.moderators
    # A number's column, and a level of a factor alone, are the same in any coding.
    for term in moderators.terms:
        if ":" in term.name:
            continue
        for quantity in marginal(moderators, term):
            value = quantity.label.rstrip("]").partition("[")[2]
            number = value.endswith("SD")
            c = design.cell(**{term.name: float(value[:-2]) if number else value})
            mixture = posterior(fit, quantity)
            error = abs(mixture.mean() - exact.combination(c).mean())
            assert error < ERRORS * mixture.mcse()


# -------------------------------------------------------------------------- identities


def test_a_model_without_terms_is_the_model_without_moderators():
    tested = of_made("unequal_clusters", partial(robma, draws=500))
    data = MADE["unequal_clusters"].data
    alone = robma(z=data.y, se=data.se, study_ids=data.cluster, draws=500)
    bare = [
        fit
        for spec, fit in zip(tested.space, tested.fits, strict=True)
        if spec.alternative.isdisjoint({"g", "x"})
    ]
    assert len(bare) == len(alone.fits) == 4
    # The same data of the same program: draws differ by their seeds alone.
    for mine, other in zip(bare, alone.fits, strict=True):
        assert mine.fingerprint == other.fingerprint
        error = math.hypot(mine.logml_mcse, other.logml_mcse)
        assert abs(mine.logml - other.logml) <= ERRORS * error + EXACT


@pytest.mark.parametrize(
    "options",
    [
        {"data": pd.DataFrame({"g": MADE["three_levels"].columns["g"]}).replace(
            {"low": "z", "mid": "a", "high": "m"})},
        {"contrasts": "orthonormal", "priors_mods": {
            "g": rb.prior("normal", mean=0, sd=0.25 * math.sqrt(3 / 2))}},
    ],
    ids=["other_labels", "orthonormal"],
)  # fmt: skip
def test_how_levels_are_coded_changes_nothing(options):
    data, exact = MADE["three_levels"].data, model_of_made("three_levels")
    options = {"data": pd.DataFrame(MADE["three_levels"].columns), **options}
    fit = single(z=data.y, se=data.se, mods="g", **options)
    assert_logml(fit.fits[0], exact.logml)
    labels = np.asarray(options["data"]["g"]).astype(str)
    raw = MADE["three_levels"].columns["g"]
    for quantity in marginal(fit.task.moderators, fit.task.moderators.terms[0]):
        level = str(raw[labels == quantity.label[2:-1]][0])
        c = MADE["three_levels"].design().cell(g=level)
        mixture = posterior(fit, quantity)
        error = ERRORS * mixture.mcse()
        assert abs(mixture.mean() - exact.combination(c).mean()) < error


def test_a_number_in_another_unit_changes_nothing():
    made = MADE["continuous_by_continuous"]
    columns = {"x": 1000.0 - 3.7 * made.columns["x"], "w": 1e-5 * made.columns["w"]}
    fit = of_made("continuous_by_continuous", data=pd.DataFrame(columns))
    assert_logml(fit.fits[0], model_of_made("continuous_by_continuous").logml)


def test_two_levels_are_a_column_of_plus_and_minus_one():
    data = MADE["unequal_clusters"].data
    sign = np.where(MADE["unequal_clusters"].columns["g"] == "u", 1.0, -1.0)
    exact = exact_model(data, sign[:, None]).logml
    for options in (
        {"data": pd.DataFrame(MADE["unequal_clusters"].columns), "mods": "g"},
        {"data": pd.DataFrame({"sign": sign}), "mods": "sign", "standardize": False},
    ):
        fit = quietly(single, z=data.y, se=data.se, study_ids=data.cluster, **options)
        assert_logml(fit.fits[0], exact)


def test_a_column_of_standard_errors_with_the_prior_of_PET_is_PET():
    data = MADE["three_levels"].data
    prior = rb.prior("cauchy", [0, 1], lower=0)
    exact = exact_model(
        data, np.empty((9, 0)), bias=g.Bias("PET", g.HALF_CAUCHY_PET)
    ).logml
    arguments = {"z": data.y, "se": data.se}
    own = quietly(
        robma, **arguments, priors_effect_null=None, priors_heterogeneity_null=None,
        priors_bias=[rb.prior_PET("cauchy", [0, 1], lower=0)], priors_bias_null=None,
    )  # fmt: skip
    column = pd.DataFrame({"precision": data.se / data.scale})
    same = single(
        **arguments, mods=column, standardize=False, priors_mods={"precision": prior}
    )
    for fit in (own, same):
        assert_logml(fit.fits[0], exact)


def test_a_column_twice_is_a_column_with_a_wider_prior():
    data, x = MADE["duplicated"].data, MADE["duplicated"].columns["x"]
    fit = of_made("duplicated", partial(single, test_mods=True))
    column = g.continuous("x", x).columns
    bare, once, twice = (
        exact_model(data, columns, sd).logml
        for columns, sd in (
            (column[:, :0], 0.25), (column, 0.25), (column, 0.25 * math.sqrt(2)),
        )
    )  # fmt: skip
    found = fit.joint_inclusion("x", "w")
    exact = math.log(2 / 3 * math.exp(once - bare) + 1 / 3 * math.exp(twice - bare))
    assert abs(found["log_bf"] - exact) < ERRORS * found["log_bf_mcse"]
    # What the data know of is the sum.
    total = Quantity("", "", "coefficient", (("x", 1.0), ("w", 1.0)))
    given = fit.members("x") & fit.members("w")
    mixture = posterior(fit, total, given)
    sum_of_two = exact_model(data, column, 0.25 * math.sqrt(2)).combination([0, 1])
    assert abs(mixture.mean() - sum_of_two.mean()) < ERRORS * mixture.mcse()


def test_rows_and_cluster_labels_in_another_order_change_nothing():
    made = MADE["factor_by_continuous"]
    order = np.random.default_rng(2).permutation(made.data.y.size)
    columns = pd.DataFrame(made.columns).iloc[order]
    fit = of_made(
        "factor_by_continuous", data=columns, z=made.data.y[order],
        se=made.data.se[order], study_ids=[f"s{-n}" for n in made.data.cluster[order]],
    )  # fmt: skip
    assert_logml(fit.fits[0], model_of_made("factor_by_continuous").logml)


def test_clusters_of_one_are_independent_estimates():
    made = MADE["three_levels"]
    fit = of_made("three_levels", study_ids=np.arange(made.data.y.size))
    assert fit.parameters == ("mu", "tau", "g[1]", "g[2]")
    assert_logml(fit.fits[0], model_of_made("three_levels").logml)


def test_deviations_of_levels_sum_to_zero_in_every_draw():
    fit = of_made("lonely_level")
    rows = coefficients(fit.task.moderators)
    assert len(rows) == 3
    total = sum(posterior(fit, row).draws[0] for row in rows)
    assert np.abs(total).max() < ROUNDING


# ---------------------------------------------------------------------- hard geometry


def drawn(
    seed: int,
    K: int,
    slopes: list[float],
    tau: float = 0.2,
    mu: float = 0.2,
    se: tuple[float, float] = (0.05, 0.3),
) -> tuple[Array, Array, Array]:
    """Estimates, standard errors and columns of a regression."""  # fmt: skip
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(K, len(slopes)))
    errors = rng.uniform(*se, K)
    y = (
        mu
        + X @ np.array(slopes)
        + tau * rng.normal(size=K)
        + errors * rng.normal(size=K)
    )
    return y, errors, X


def assert_hard(
    y: Array,
    se: Array,
    X: Array,
    cluster: npt.ArrayLike | None = None,
    unit: float = 1.0,
    tau: bool = True,
    **options: object,
) -> None:
    """Raw data in some unit, with default priors in the same unit."""
    data = g.Data(y, se, None if cluster is None else np.asarray(cluster), scale=1.0)
    K, P = X.shape
    scaled = q.Prior("inverse_gamma", (1.0, 0.15 * unit))
    exact = g.posterior(
        data,
        np.column_stack([np.ones(K), X]),
        np.zeros(P + 1),
        unit * np.array([NORMAL["mu"]] + [NORMAL["term"]] * P),
        scaled if tau else 0.0,
        0.0 if cluster is None or not tau else BETA,
    ).logml
    columns = pd.DataFrame(X, columns=[f"x{j}" for j in range(P)])
    term = rb.prior("normal", mean=0, sd=NORMAL["term"] * unit)
    fit = quietly(
        single, y=y, se=se, study_ids=cluster, mods=columns, standardize=False,
        priors_effect=rb.prior("normal", mean=0, sd=NORMAL["mu"] * unit),
        priors_heterogeneity=as_prior(scaled) if tau else None,
        priors_heterogeneity_null=None if tau else SPIKE,
        priors_mods=dict.fromkeys(columns, term), **options,
    )  # fmt: skip
    assert_logml(fit.fits[0], exact)


def test_mass_without_a_mode_is_found():
    """Much heterogeneity without slopes, beside large slopes without heterogeneity.

    The second part of the posterior has as much mass, but its density falls all the
    way from the first one.
    """
    y, se, X = drawn(3, 12, [1.0, -1.0, 1.0, -1.0], tau=0.02, se=(0.02, 0.1))
    # Without that part it would be 0.57 less.
    assert_hard(y, se, X, settings=rb.SamplerSettings(max_mcse=LARGEST_MCSE))


def test_two_modes_are_found():
    y, se, X = drawn(3, 20, [2.625], tau=0.2, se=(0.02, 0.1))
    assert_hard(y, se, X)


@pytest.mark.parametrize("tau", [True, False])
def test_slopes_of_eighty_prior_deviations_are_found(tau):
    assert_hard(*drawn(3, 25, [20.0, -20.0, 20.0]), tau=tau)


def test_a_mean_and_slopes_far_from_their_priors_are_found():
    assert_hard(*drawn(4, 15, [8.0, 8.0], mu=30.0))


def test_an_outlier_with_leverage_is_no_trouble():
    y, se, X = drawn(5, 15, [0.3, 0.3])
    y[3] += 10.0
    X[3, 0] = 10.0
    assert_hard(y, se, X)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_do_not_matter(unit):
    y, se, X = drawn(6, 15, [0.3, 0.3])
    assert_hard(unit * y, unit * se, X, unit=unit)


def test_columns_that_are_the_clusters_are_no_trouble():
    y, se, _ = drawn(7, 18, [0.3])
    cluster = np.repeat(np.arange(6), 3)
    X = (cluster[:, None] == np.arange(5)).astype(float)
    assert_hard(y + 4.0 * X[:, 0] - 4.0 * X[:, 1], se, X, cluster)


def test_more_columns_than_estimates_are_no_trouble():
    assert_hard(*drawn(9, 3, [0.3, 0.3, -0.3, 0.3]))


def test_four_copies_of_a_column_are_no_trouble():
    y, se, X = drawn(10, 15, [8.5])
    assert_hard(y, se, np.repeat(X, 4, axis=1))


def test_tiny_standard_errors_are_no_trouble():
    y, se, X = drawn(11, 12, [0.3, -0.3])
    assert_hard(y, 1e-6 * se, X)
