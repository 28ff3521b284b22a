import math

import frequentist_dense as dense
import numpy as np
import pandas as pd
import pytest
from frequentist_data import delinquency, effects_of, schools, simulated
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2, norm

from pyrobma.effects import load_dataset
from pyrobma.errors import DataError
from pyrobma.frequentist import rma, rma_mv

# optimisers stop at about eight digits of the variance components
SOLVER = 1e-6
# half a unit of the fourth printed decimal
HALF = 5.1e-5
COLUMNS = ["estimate", "se", "statistic", "p", "lower", "upper"]


@pytest.fixture(scope="module", params=["REML", "ML"])
def fit(request):
    effects, table = delinquency()
    return rma_mv(effects, method=request.param, mods="year + deltype", data=table)


def matrix(table):
    """Design of ``year + deltype`` by hand; treatment contrasts."""
    kind = table.deltype
    columns = [np.ones(100), table.year, kind == "general", kind == "overt"]
    return np.column_stack(columns).astype(float)


# ---- printed references ----------------------------------------------------
def test_delinquency_reproduces_metafor():
    # clubSandwich's documentation of vcovCR for rma.mv, dat.assink2016, studies and
    # estimates in them as random effects
    effects, table = delinquency()
    found = rma_mv(effects, mods="year + deltype", data=table)
    components = (found.sigma2_between, found.sigma2_within)
    assert components == pytest.approx((0.1493, 0.0853), abs=HALF)
    assert (found.QE, found.QE_df) == (pytest.approx(610.2644, abs=HALF), 96)
    assert (found.QM, found.QM_df) == (pytest.approx(19.2399, abs=HALF), 3)
    assert pytest.approx(0.0002, abs=HALF) == found.QM_p
    expected = [
        [-0.2438, 0.2101, -1.1605, 0.2458, -0.6556, 0.1680],
        [-0.0380, 0.0183, -2.0773, 0.0378, -0.0738, -0.0021],
        [0.7094, 0.1914, 3.7069, 0.0002, 0.3343, 1.0845],
        [0.5054, 0.2099, 2.4078, 0.0160, 0.0940, 0.9168],
    ]
    np.testing.assert_allclose(found.coefficients[COLUMNS], expected, atol=HALF)


def test_year_of_the_schools_reproduces_konstantopoulos_2011():
    # table 5, ML, as metafor's tests have it
    table = load_dataset("konstantopoulos2011")
    found = rma_mv(schools(), method="ML", mods="center(year)", data=table)
    b = found.coefficients
    assert b.estimate.tolist() == pytest.approx([0.1780, 0.0051], abs=HALF)
    assert b.se.tolist() == pytest.approx([0.0805, 0.0085], abs=HALF)
    components = (found.sigma2_between, found.sigma2_within)
    assert components == pytest.approx((0.0565, 0.0329), abs=HALF)


# ---- the same by dense matrices --------------------------------------------
def test_components_maximise_the_dense_likelihood(fit):
    effects, table = delinquency()
    y, v, x = effects.y, effects.se**2, matrix(table)

    def minus(logs):
        sigma = dense.covariance(v, effects.cluster, *np.exp(logs))
        return -dense.log_likelihood(y, x, sigma, reml=fit.method == "REML")

    best = minimize(
        minus, np.log([0.1, 0.1]), method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-10},
    )  # fmt: skip
    assert fit.loglik == pytest.approx(-best.fun, rel=1e-9)
    found = (fit.sigma2_within, fit.sigma2_between)
    # near a maximum the likelihood is flat: half the digits
    assert found == pytest.approx(tuple(np.exp(best.x)), rel=1e-4)


def test_coefficients_and_tests_are_the_dense_formulas(fit):
    effects, table = delinquency()
    y, v, x = effects.y, effects.se**2, matrix(table)
    sigma = dense.covariance(v, effects.cluster, fit.sigma2_within, fit.sigma2_between)
    b, variance = dense.coefficients(y, x, sigma)
    np.testing.assert_allclose(
        fit.coefficients[COLUMNS], dense.table(b, variance), rtol=1e-9
    )
    np.testing.assert_allclose(fit.covariance, variance, rtol=1e-9)
    assert (fit.QM, fit.QM_p) == pytest.approx(
        dense.wald(b, variance, [1, 2, 3]), rel=1e-9
    )
    for term, rows in {"year": [1], "deltype": [2, 3]}.items():
        row = fit.terms.loc[term]
        assert (row.statistic, row.p) == pytest.approx(
            dense.wald(b, variance, rows), rel=1e-9
        )


def test_heterogeneity_and_fit_statistics_are_the_dense_formulas(fit):
    effects, table = delinquency()
    y, v, x = effects.y, effects.se**2, matrix(table)
    reml = fit.method == "REML"
    form = dense.projection(x, np.diag(v))
    total = fit.tau2 + 96 / np.trace(form)
    shares = (fit.tau2, fit.sigma2_between, fit.sigma2_within)
    assert (fit.I2, fit.I2_between, fit.I2_within) == pytest.approx(
        tuple(100 * part / total for part in shares), rel=1e-9
    )
    assert (fit.QE, fit.QE_p) == pytest.approx(
        (y @ form @ y, chi2.sf(y @ form @ y, 96)), rel=1e-9
    )
    without = rma_mv(effects, method=fit.method).tau2
    assert pytest.approx(100 * (1 - fit.tau2 / without), rel=1e-9) == fit.R2
    n = 96 if reml else 100
    assert pytest.approx(-2 * fit.loglik + 12) == fit.AIC
    assert pytest.approx(-2 * fit.loglik + 6 * math.log(n)) == fit.BIC
    assert pytest.approx(-2 * fit.loglik + 12 * n / (n - 7)) == fit.AICc
    assert (fit.k, fit.clusters, fit.p) == (100, 17, 4)
    assert fit.rho * fit.tau2 == pytest.approx(fit.sigma2_between, rel=1e-12)


def test_predictions_are_of_a_new_study_in_a_new_cluster(fit):
    new = np.array([[1.0, -3.0, 1.0, 0.0], [1.0, 4.5, 0.0, 0.0]])
    found = fit.predict({"year": [-3.0, 4.5], "deltype": ["general", "covert"]})
    se = np.sqrt(np.diag(new @ fit.covariance.to_numpy() @ new.T))
    mean = new @ fit.coefficients.estimate.to_numpy()
    half = norm.ppf(0.975) * np.sqrt(se**2 + fit.tau2)
    np.testing.assert_allclose(found.fit, mean, rtol=1e-9)
    np.testing.assert_allclose(found.se, se, rtol=1e-9)
    np.testing.assert_allclose(found.prediction_lower, mean - half, rtol=1e-9)
    np.testing.assert_allclose(found.ci_upper, mean + norm.ppf(0.975) * se, rtol=1e-9)


def test_profile_ends_drop_the_dense_deviance_by_the_chi2_quantile():
    table = load_dataset("konstantopoulos2011")
    effects = schools()
    found = rma_mv(effects, mods="year", data=table)
    y, v, cluster = effects.y, effects.se**2, effects.cluster
    x = np.column_stack([np.ones(56), table.year])
    intervals = found.intervals(level=0.9)

    def drop(components):
        """Drop of the deviance where the other parameter is best."""

        def minus(other):
            sigma = dense.covariance(v, cluster, *components(other))
            return -dense.log_likelihood(y, x, sigma, reml=True)

        best = minimize_scalar(minus, bounds=(0.0, 1.0), method="bounded")
        return 2 * (found.loglik + best.fun)

    for tau2 in intervals["tau2"]:
        value = drop(lambda rho, tau2=tau2: ((1 - rho) * tau2, rho * tau2))
        assert value == pytest.approx(chi2.ppf(0.9, 1), rel=1e-5)
    for between in intervals["sigma2_between"]:
        value = drop(lambda within, between=between: (within, between))
        assert value == pytest.approx(chi2.ppf(0.9, 1), rel=1e-5)
    assert intervals.estimates["rho"] == found.rho


# ---- identities ------------------------------------------------------------
def test_a_moderator_of_noise_with_equal_cluster_means_leaves_the_mean():
    # balanced, and x sums to 0 in every cluster: the mean is not touched
    rng = np.random.default_rng(4)
    y = rng.normal(size=(8, 4)) + rng.normal(size=(8, 1))
    cluster = np.repeat(np.arange(8), 4)
    effects = effects_of(y.ravel(), np.full(32, 0.02), cluster)
    x = np.tile([-3.0, -1.0, 1.0, 3.0], 8)
    found = rma_mv(effects, mods={"x": x})
    b = found.coefficients.estimate
    assert b["intercept"] == pytest.approx(y.mean(), rel=1e-9)
    # ordinary least squares within clusters
    assert b["x"] == pytest.approx(x @ y.ravel() / (x @ x), rel=1e-9)
    within = ((y - y.mean(axis=1, keepdims=True) - b["x"] * x[:4]) ** 2).sum() / 23
    assert found.sigma2_within + 0.02 == pytest.approx(within, rel=SOLVER)


def test_without_correlation_it_is_the_regression_of_independent_estimates():
    y = np.tile([-0.5, 0.0, 0.5], 6)
    effects = effects_of(y, np.full(18, 0.01), np.repeat(np.arange(6), 3))
    x = np.tile([1.0, 0.0, 2.0], 6)
    found, alone = rma_mv(effects, mods={"x": x}), rma(effects, mods={"x": x})
    assert found.rho == 0.0
    assert found.loglik == pytest.approx(alone.loglik, rel=1e-9)
    np.testing.assert_allclose(
        found.coefficients[COLUMNS], alone.coefficients[COLUMNS], rtol=1e-5
    )


def test_rows_labels_and_units_change_nothing():
    effects, table = delinquency()
    fit = rma_mv(effects, mods="year + deltype", data=table)
    order = np.random.default_rng(3).permutation(100)
    shuffled = effects_of(10.0 * effects.y[order], 100.0 * effects.se[order] ** 2)
    labels = [f"study {c}" for c in effects.cluster[order]]
    again = rma_mv(shuffled, labels, mods="year + deltype", data=table.iloc[order])
    assert again.rho == pytest.approx(fit.rho, rel=1e-5)
    assert pytest.approx(fit.QM, rel=1e-5) == again.QM
    np.testing.assert_allclose(
        again.coefficients.estimate, 10.0 * fit.coefficients.estimate, rtol=1e-5
    )


def test_ten_thousand_estimates_in_two_thousand_clusters_are_recovered():
    effects = simulated(10_000, 2_000, within=0.06, between=0.04, seed=3)
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=10_000), rng.normal(size=2_000)[effects.cluster]
    moved = effects_of(effects.y + 0.3 * x - 0.2 * z, effects.se**2, effects.cluster)
    fit = rma_mv(moved, mods={"x": x, "z": z})
    expected = pd.Series({"x": 0.3, "z": -0.2})
    b = fit.coefficients.loc[expected.index]
    # five standard errors: p of 1e-6
    assert ((b.estimate - expected).abs() < 5 * b.se).all()
    assert fit.sigma2_within == pytest.approx(0.06, abs=0.01)
    assert fit.sigma2_between == pytest.approx(0.04, abs=0.01)
    robust = fit.robust("CR2").coefficients.se
    np.testing.assert_allclose(robust, fit.coefficients.se, rtol=0.1)


# ---- refusals --------------------------------------------------------------
def pairs():
    rng = np.random.default_rng(7)
    return effects_of(rng.normal(size=8), np.full(8, 0.1), np.repeat(np.arange(4), 2))


def test_moderators_that_make_up_all_clusters_are_refused():
    study = np.repeat(list("abcd"), 2)
    with pytest.raises(DataError, match="got 4 clusters and 4 coefficients"):
        rma_mv(pairs(), mods={"study": study})
    # four other coefficients leave the clusters to differ
    x = {name: np.random.default_rng(i).normal(size=8) for i, name in enumerate("xyz")}
    assert rma_mv(pairs(), mods=x).p == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mods": {"x": np.zeros(8) + 1}}, "expected a moderator that varies"),
        ({"mods": {"x": np.arange(7)}}, "expected 8 rows"),
        ({"mods": {"x": list("abcdefgh")}}, "more estimates than coefficients; got 8"),
        ({"data": pd.DataFrame({"x": range(8)})}, "since data was given"),
        ({"mods": {"x": range(8)}, "method": "DL"}, "expected 'REML' or 'ML'"),
        ({"mods": {"x": range(8)}, "cluster": range(8)}, "got 8 clusters of one"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        rma_mv(pairs(), **arguments)
