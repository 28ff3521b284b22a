import math

import numpy as np
import pytest
from frequentist_data import bcg, effects_of, schools, simulated
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from pyrobma.errors import DataError
from pyrobma.frequentist import rma, rma_mv

# optimisers and root finders stop at about eight digits
SOLVER = 1e-6

# metafor 5.1, rma.mv(yi, vi, random = ~ factor(study) | district)
SCHOOLS = {
    "tau2": "0.097799",
    "rho": "0.665266",
    "estimate": "0.184713",
    "se": "0.084556",
    "statistic": "2.184508",
    "p": "0.028925",
    "ci_lower": "0.018987",
    "ci_upper": "0.350440",
    "loglik": "-7.958724",
    "prediction_lower": "-0.450231",
    "prediction_upper": "0.819657",
    "sigma2_between": "0.065062",
    "sigma2_within": "0.032737",
    "Q": "578.8640",
    # the web page "Konstantopoulos (2011)" and "I² for multilevel models" of metafor
    "AIC": "21.9174",
    "BIC": "27.9394",
    "AICc": "22.3880",
    "I2": "95.19",
    "I2_between": "63.32",
    "I2_within": "31.86",
}


@pytest.mark.parametrize("name", SCHOOLS)
def test_schools_reproduce_metafor(name):
    text = SCHOOLS[name]
    # two units of the last digit: metafor stops a little before the maximum, where z
    # is 2.184509
    unit = 10.0 ** -len(text.partition(".")[2])
    value = rma_mv(schools()).to_frame()[name].item()
    assert value == pytest.approx(float(text), abs=2.0 * unit)


def test_schools_reach_the_maximum_found_with_forty_digits():
    # Newton's method on the restricted likelihood in mpmath
    fit = rma_mv(schools())
    assert fit.tau2 == pytest.approx(0.0977984600662, rel=1e-8)
    assert fit.rho == pytest.approx(0.665265510495, rel=1e-8)
    assert fit.estimate == pytest.approx(0.184713163497, rel=1e-8)
    assert fit.se == pytest.approx(0.0845559178238, rel=1e-8)


# metafor 5.1 and its tests; solved with uniroot at tolerance 1.2e-4
PROFILE = {
    "tau2": (0.05280, 0.23984),
    "rho": (0.32820, 0.88545),
    "sigma2_between": (0.0222, 0.2072),
    "sigma2_within": (0.0163, 0.0628),
}


@pytest.mark.parametrize("name", PROFILE)
def test_profile_intervals_of_the_schools_are_metafors_to_its_tolerance(name):
    interval = rma_mv(schools()).intervals()[name]
    assert interval == pytest.approx(PROFILE[name], abs=2.0**-14)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_profile_ends_drop_the_deviance_by_the_chi2_quantile(method):
    fit = rma_mv(schools(), method=method)
    intervals = fit.intervals(level=0.9)

    def drop(components):
        """Drop of the deviance where the other parameter, 0 to 1, is best."""

        def minus(other):
            value, _ = fit._likelihood.evaluate(
                *components(other), reml=method == "REML"
            )
            return -value

        best = minimize_scalar(minus, bounds=(0.0, 1.0), method="bounded")
        return 2 * (fit.loglik + best.fun)

    expected = pytest.approx(chi2.ppf(0.9, 1), rel=1e-4)
    for tau2 in intervals["tau2"]:
        assert drop(lambda rho, t=tau2: ((1 - rho) * t, rho * t)) == expected
    for rho in intervals["rho"]:
        assert drop(lambda tau2, r=rho: ((1 - r) * tau2, r * tau2)) == expected
    for between in intervals["sigma2_between"]:
        assert drop(lambda within, b=between: (within, b)) == expected


def test_ml_reproduces_table_5_of_konstantopoulos_2011():
    fit = rma_mv(schools(), method="ML")
    figures = (fit.estimate, fit.se, fit.sigma2_between, fit.sigma2_within)
    # 0.0805 is 0.08048: four printed digits
    assert figures == pytest.approx((0.1845, 0.0805, 0.0577, 0.0329), abs=5e-5)


def test_ml_counts_all_estimates_in_the_criteria():
    fit = rma_mv(schools(), method="ML")
    assert pytest.approx(-2 * fit.loglik + 3 * math.log(56)) == fit.BIC
    assert pytest.approx(-2 * fit.loglik + 6 * 56 / 52) == fit.AICc


def balanced(n_clusters, size, *, within, between, v, seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(0.0, np.sqrt(between), (n_clusters, 1))
    y = y + rng.normal(0.0, np.sqrt(within + v), (n_clusters, size))
    cluster = np.repeat(np.arange(n_clusters), size)
    return effects_of(y.ravel(), np.full(y.size, v), cluster), y


def test_balanced_reml_is_the_analysis_of_variance():
    effects, y = balanced(8, 5, within=0.2, between=0.3, v=0.02, seed=1)
    between = 5 * np.var(y.mean(axis=1), ddof=1)
    within = np.var(y, axis=1, ddof=1).mean()
    fit = rma_mv(effects)
    assert fit.sigma2_within == pytest.approx(within - 0.02, rel=SOLVER)
    assert fit.sigma2_between == pytest.approx((between - within) / 5, rel=SOLVER)
    assert fit.estimate == pytest.approx(y.mean(), rel=1e-9)
    assert fit.se == pytest.approx(math.sqrt(between / y.size), rel=SOLVER)


@pytest.mark.parametrize("reml", [True, False])
def test_no_point_of_a_grid_has_a_higher_likelihood(reml):
    for seed in range(8):
        effects = simulated(12, 5, within=0.02, between=0.05, seed=seed)
        fit = rma_mv(effects, method="REML" if reml else "ML")
        grid = np.linspace(0.0, 1.5, 40)
        best = max(
            fit._likelihood.evaluate(within, between, reml=reml)[0]
            for within in grid
            for between in grid
        )
        assert fit.loglik >= best - SOLVER


def test_rho_is_zero_when_cluster_means_agree():
    y = np.tile([-0.5, 0.0, 0.5], 6)
    effects = effects_of(y, np.full(18, 0.01), np.repeat(np.arange(6), 3))
    fit, alone = rma_mv(effects), rma(effects)
    assert fit.rho == 0.0
    assert fit.tau2 == pytest.approx(alone.tau2, rel=SOLVER)
    assert fit.loglik == pytest.approx(alone.loglik, rel=SOLVER)
    assert fit.intervals()["rho"].lower == 0.0


def test_rho_is_one_when_estimates_of_a_cluster_agree():
    y = np.repeat([-0.5, 0.0, 0.1, 0.5], 3)
    effects = effects_of(y, np.full(12, 0.01), np.repeat(np.arange(4), 3))
    fit = rma_mv(effects)
    assert fit.rho == 1.0
    # only the cluster means count: their sampling variance is 0.01 / 3
    expected = np.var([-0.5, 0.0, 0.1, 0.5], ddof=1) - 0.01 / 3
    assert fit.tau2 == pytest.approx(expected, rel=SOLVER)
    assert fit.intervals()["rho"].upper == 1.0


def test_without_heterogeneity_rho_is_not_identified():
    effects = effects_of(np.full(6, 0.1), np.full(6, 0.04), [0, 0, 1, 1, 2, 2])
    fit = rma_mv(effects)
    assert (fit.tau2, fit.I2) == (0.0, 0.0)
    assert math.isnan(fit.rho)
    assert "rho not identified" in str(fit)
    intervals = fit.intervals()
    assert intervals["rho"] == (0.0, 1.0)
    assert intervals["tau2"].lower == 0.0
    assert intervals["tau2"].upper > 0.0


def test_one_cluster_of_two_among_singletons_is_enough():
    effects = effects_of([0.1, 0.4, -0.2, 0.9], np.full(4, 0.02), [0, 0, 1, 2])
    fit = rma_mv(effects)
    assert fit.clusters == 3
    assert 0.0 <= fit.rho <= 1.0


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_estimates_follow_a_change_of_unit(factor):
    effects = schools()
    scaled = effects_of(factor * effects.y, (factor * effects.se) ** 2, effects.cluster)
    fit, moved = rma_mv(effects), rma_mv(scaled)
    assert moved.rho == pytest.approx(fit.rho, rel=SOLVER)
    assert moved.tau == pytest.approx(factor * fit.tau, rel=SOLVER)
    assert moved.estimate == pytest.approx(factor * fit.estimate, rel=SOLVER)
    assert moved.intervals()["tau"] == pytest.approx(
        tuple(factor * end for end in fit.intervals()["tau"]), rel=SOLVER
    )


def test_order_and_labels_do_not_matter():
    effects = schools()
    order = np.random.default_rng(2).permutation(56)
    shuffled = effects_of(effects.y[order], effects.se[order] ** 2)
    labels = [f"district {c}" for c in effects.cluster[order]]
    fit, again = rma_mv(effects), rma_mv(shuffled, labels)
    assert again.rho == pytest.approx(fit.rho, rel=SOLVER)
    assert again.loglik == pytest.approx(fit.loglik, rel=1e-12)


def test_a_missing_label_is_a_cluster_of_its_own():
    effects = effects_of([0.1, 0.4, -0.2, 0.9, 0.3], np.full(5, 0.02))
    missing = rma_mv(effects, ["a", "a", None, "b", math.nan])
    assert missing.clusters == 4
    labelled = rma_mv(effects, [1, 1, 2, 3, 4])
    assert missing.loglik == pytest.approx(labelled.loglik, rel=1e-12)


def test_ten_thousand_estimates_in_two_thousand_clusters_are_recovered():
    effects = simulated(10_000, 2_000, within=0.06, between=0.04, seed=3)
    fit = rma_mv(effects)
    # sampling errors of the two components are about 0.002
    assert fit.sigma2_within == pytest.approx(0.06, abs=0.01)
    assert fit.sigma2_between == pytest.approx(0.04, abs=0.01)
    assert fit.robust("CR2").se == pytest.approx(fit.se, rel=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rma_mv(bcg()), "got 13 clusters of one. rho is not identified: use"),
        (lambda: rma_mv(bcg(), [None] * 13), "got 13 clusters of one"),
        (lambda: rma_mv(bcg(), [1] * 13), "at least two clusters; got one with 13"),
        (lambda: rma_mv(bcg(), [1, 2]), "expected 13 labels, .*; got 2"),
        (lambda: rma_mv(schools(), method="DL"), "expected 'REML' or 'ML'; got 'DL'"),
        (lambda: rma_mv(schools(), level=1.0), "level: expected a number between"),
        (lambda: rma_mv(schools()).intervals(level=0.0), "level: expected a number"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
