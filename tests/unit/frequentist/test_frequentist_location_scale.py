import math
import warnings

import frequentist_dense as dense
import numpy as np
import pandas as pd
import pytest
from frequentist_data import bcg, bcg_table, effects_of, expectancy, writing
from scipy.optimize import minimize
from scipy.stats import chi2, norm, t

from pyrobma.effects.moderators import read_moderators
from pyrobma.errors import DataError, DataWarning
from pyrobma.frequentist import rma
from pyrobma.frequentist.scale_likelihood import ScaleLikelihood

# half a unit of the fourth printed decimal
HALF = 5.1e-5
# metafor stops its optimiser at a relative change of 1e-8 of the likelihood
OPTIMISER = 2e-5
# the Hessian is by finite differences there
DIFFERENCES = 1e-5
# metafor's root finder stops at 1.2e-4
ROOT = 2.0**-13
# the dense formulas lose the square of the condition number of the columns
DENSE = 1e-8
COLUMNS = ["estimate", "se", "statistic", "p", "lower", "upper"]


def rows(text):
    return [[float(number) for number in row.split()] for row in text]


def fitted(mods, scale, table=None, **options):
    effects, own = writing()
    return rma(
        effects, mods=mods, scale=scale, data=own if table is None else table, **options
    )


# ---- printed references ----------------------------------------------------
# metafor 4.8 as printed in the article "Location-Scale Meta-Analysis" of RoBMA 4, and
# code of "Location-Scale Models in Psychotherapy Research" (metafor 4)
PRINTED = [
    ("ni100", "ni100", [
        "0.3017 0.0661 4.5629 0.0000 0.1721 0.4313",
        "-0.0553 0.0198 -2.7976 0.0051 -0.0940 -0.0165",
    ], [
        "-1.9209 0.6690 -2.8713 0.0041 -3.2321 -0.6097",
        "-0.9174 0.5141 -1.7847 0.0743 -1.9250 0.0901",
    ], {"QM": 7.8268, "QM_p": 0.0051, "QS": 3.1850, "QS_p": 0.0743, "QE": 95.1352}),
    ("ni100 + C(meta)", "ni100 + C(imag)", [
        "0.2303 0.0655 3.5166 0.0004 0.1019 0.3586",
        "-0.0565 0.0188 -3.0113 0.0026 -0.0933 -0.0197",
        "0.1469 0.0690 2.1305 0.0331 0.0118 0.2820",
    ], [
        "-2.3456 0.8354 -2.8079 0.0050 -3.9829 -0.7084",
        "-0.9995 0.6087 -1.6421 0.1006 -2.1925 0.1935",
        "2.1258 1.1857 1.7929 0.0730 -0.1981 4.4497",
    ], {"QM": 12.4826, "QM_p": 0.0019, "QS": 5.0289, "QS_p": 0.0809, "QE": 82.2711,
        "QE_p": 0.0003, "k": 46}),
    (None, "C(grade)", ["0.2282 0.0456 5.0034 0.0000 0.1388 0.3176"], [
        "-3.3444 0.7451 -4.4882 0.0000 -4.8048 -1.8839",
        "1.2069 1.3890 0.8689 0.3849 -1.5154 3.9293",
        "1.0028 1.0903 0.9197 0.3577 -1.1341 3.1397",
        "0.0833 1.0674 0.0780 0.9378 -2.0087 2.1753",
    ], {"QS": 1.5353, "QS_p": 0.6741, "QE": 107.1061, "AIC": 45.6271, "BIC": 54.8778,
        "AICc": 47.0905, "loglik": -17.8135, "LRT": 1.3615, "LRT_p": 0.7146}),
]  # fmt: skip


@pytest.mark.parametrize(("mods", "scale", "mean", "log_tau2", "numbers"), PRINTED)
def test_printed_location_scale_models_of_metafor_are_reproduced(
    mods, scale, mean, log_tau2, numbers
):
    _, table = writing()
    names = [name for name in ("meta", "imag") if name in f"{mods} {scale}"]
    table = table.dropna(subset=names)
    fit = rma(effects_of(table["yi"], table["vi"]), mods=mods, scale=scale, data=table)
    np.testing.assert_allclose(fit.coefficients[COLUMNS], rows(mean), atol=HALF)
    found = fit.scale_coefficients[COLUMNS]
    np.testing.assert_allclose(found, rows(log_tau2), atol=HALF)
    for name, expected in numbers.items():
        assert getattr(fit, name) == pytest.approx(expected, abs=HALF), name


# tests of the package metafor, test_misc_rma_ls.r and test_misc_coef_se.r
def test_coefficients_of_metafors_own_tests_are_reproduced():
    grade = fitted(None, "grade")
    mu = grade.coefficients["estimate"].item()
    assert mu == pytest.approx(0.2220791, abs=OPTIMISER)
    alpha = grade.scale_coefficients["estimate"].tolist()
    assert alpha == pytest.approx([-3.10513013522415, 0.041361925354706], abs=OPTIMISER)
    size = fitted("ni100", "ni100")
    assert size.coefficients["estimate"].tolist() == pytest.approx(
        [0.301681362709591, -0.0552663301809239], abs=DIFFERENCES
    )
    assert size.scale_coefficients["se"].tolist() == pytest.approx(
        [0.668982417863205, 0.514064772257437], rel=DIFFERENCES
    )
    _, table = writing()
    table = table.dropna(subset=["meta"])
    several = rma(
        effects_of(table["yi"], table["vi"]),
        scale="grade + meta + sqrt(ni)",
        data=table,
    )
    assert several.coefficients["estimate"].item() == pytest.approx(0.1110317, abs=1e-6)
    assert several.scale_coefficients["estimate"].tolist() == pytest.approx(
        [-1.08826059, -0.03429344, 2.09197456, -0.28439165], abs=OPTIMISER
    )


def test_profile_intervals_of_metafors_own_tests_are_reproduced():
    ends = fitted(None, "grade").scale_intervals()
    assert ends["intercept"] == pytest.approx((-5.25032, -1.21713), abs=ROOT)
    assert ends["grade"] == pytest.approx((-0.65819, 0.69562), abs=ROOT)


def test_nested_models_have_metafors_tests():
    _, table = writing()
    table = table.dropna(subset=["meta"])
    formula = "C(grade) + meta + sqrt(ni)"
    effects = effects_of(table["yi"], table["vi"])
    fit = rma(effects, mods=formula, scale=formula, data=table)
    assert (fit.LRT, fit.LRT_p) == pytest.approx((3.146726, 0.6773767), abs=1e-5)
    location, scale = fit.terms.loc["C(grade)"], fit.scale_terms.loc["C(grade)"]
    assert location.statistic == pytest.approx(5.286715, abs=1e-4)
    assert (scale.statistic, scale.p) == pytest.approx((2.030225, 0.5661571), abs=1e-4)


# metafor 3.8-1 with the models of Viechtbauer & López-López (2022), test = "knha"
def test_knapp_hartung_tests_are_metafors():
    fit = fitted("ni100", "ni100", test="knha")
    np.testing.assert_allclose(
        fit.coefficients[COLUMNS],
        rows([
            "0.301681 0.066718 4.521728 0.000043 0.167385 0.435978",
            "-0.055266 0.019934 -2.772397 0.008007 -0.095392 -0.015140",
        ]),
        atol=1e-6,
    )  # fmt: skip
    found = fit.scale_coefficients
    assert found.loc["ni100", ["p", "lower", "upper"]].tolist() == pytest.approx(
        [0.080913, -1.952187, 0.117330], abs=DIFFERENCES
    )
    assert (fit.QM, fit.QM_df2, fit.QM_p) == pytest.approx(
        (7.686186, 46, 0.008007), abs=2e-6
    )
    assert (fit.QS, fit.QS_df2, fit.QS_p) == pytest.approx(
        (3.184997, 46, 0.080913), abs=DIFFERENCES
    )
    other = fitted("ni100", "area", test="knha")
    assert (other.QM_df2, other.QS_df, other.QS_df2) == (46, 2, 45)
    assert (other.QS, other.QS_p) == pytest.approx((3.371716, 0.043205), abs=OPTIMISER)


def test_predictions_are_metafors():
    fit = fitted("ni100", "ni100", test="knha")
    found = fit.predict({"ni100": [0.5, 3.0]})
    names = [
        "fit",
        "se",
        "ci_lower",
        "ci_upper",
        "prediction_lower",
        "prediction_upper",
    ]
    np.testing.assert_allclose(
        found[names],
        rows([
            "0.274048 0.058593 0.156108 0.391989 -0.349694 0.897790",
            "0.135882 0.036364 0.062685 0.209079 -0.071992 0.343757",
        ]),
        atol=1e-6,
    )  # fmt: skip
    tau2 = fit.heterogeneity({"ni100": [0.36, 1.56]})
    np.testing.assert_allclose(
        tau2[["tau2", "tau2_lower", "tau2_upper"]],
        rows(["0.105278 0.035747 0.310054", "0.035012 0.012779 0.095923"]),
        atol=2e-6,
    )


def test_maximum_likelihood_is_metafors():
    fit = fitted("ni100", "ni100", method="ML")
    assert fit.loglik == pytest.approx(-13.23754381, abs=1e-8)
    assert (fit.AIC, fit.BIC, fit.AICc) == pytest.approx(
        (34.47508762, 41.95989166, 35.40532018), abs=1e-7
    )
    assert fit.scale_coefficients["estimate"].tolist() == pytest.approx(
        [-1.9049555180, -0.9928539044], abs=OPTIMISER
    )
    assert fit.scale_coefficients["se"].tolist() == pytest.approx(
        [0.6614200249, 0.5088758564], rel=DIFFERENCES
    )


def test_weeks_of_contact_reproduce_metafor():
    effects, table = expectancy()
    fit = rma(effects, scale="weeks", data=table)
    np.testing.assert_allclose(
        fit.scale_coefficients[["estimate", "se"]],
        rows(["-1.108600 0.938081", "-1.708650 0.887650"]),
        atol=3e-6,
    )
    assert (fit.loglik, fit.QS) == pytest.approx((-1.0343629, 3.705296), abs=OPTIMISER)


# ---- the same by dense matrices --------------------------------------------
def dense_loglik(effects, x, z, alpha, reml):
    sigma = np.diag(effects.se**2 + np.exp(z @ alpha))
    return dense.log_likelihood(effects.y, x, sigma, reml=reml)


@pytest.mark.parametrize("reml", [True, False])
def test_derivatives_are_those_of_the_dense_likelihood(reml):
    rng = np.random.default_rng(5)
    k = 15
    x, z = (np.column_stack([np.ones(k), rng.normal(size=(k, n))]) for n in (2, 3))
    effects = effects_of(rng.normal(size=k), rng.uniform(0.01, 0.3, k))
    alpha = np.array([-1.0, 0.5, -0.7, 0.2])
    found = ScaleLikelihood(effects.y, effects.se**2, x, reml).evaluate(z @ alpha, z)

    def value(a):
        return dense_loglik(effects, x, z, a, reml)

    h = 3e-4
    steps = h * np.eye(4)
    gradient = [(value(alpha + s) - value(alpha - s)) / (2 * h) for s in steps]
    second = [
        [
            value(alpha + s + u) - value(alpha + s - u)
            - value(alpha - s + u) + value(alpha - s - u)
            for u in steps
        ]
        for s in steps
    ]  # fmt: skip
    assert found.value == pytest.approx(value(alpha), rel=1e-12)
    # central differences are right to h squared
    np.testing.assert_allclose(found.gradient, gradient, atol=1e-5)
    np.testing.assert_allclose(found.hessian, np.array(second) / (4 * h**2), atol=1e-5)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_estimates_maximise_the_dense_likelihood(method, seed):
    rng = np.random.default_rng(seed)
    k, reml = 60, method == "REML"
    a, b = rng.normal(size=(2, k))
    z = np.column_stack([np.ones(k), a, b])
    v = rng.uniform(0.01, 0.2, k)
    tau2 = np.exp(z @ [-2.0, 0.7, -0.4])
    effects = effects_of(0.3 + 0.2 * b + rng.normal(size=k) * np.sqrt(v + tau2), v)
    fit = rma(effects, method, mods={"b": b}, scale={"a": a, "b": b})
    x = z[:, [0, 2]]
    best = max(
        (
            minimize(
                lambda alpha: -dense_loglik(effects, x, z, alpha, reml),
                [level, slope, -slope],
                method="Nelder-Mead",
                options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000},
            )
            for level in (-4.0, -1.0)
            for slope in (-1.0, 1.0)
        ),
        key=lambda run: -run.fun,
    )
    assert fit.loglik == pytest.approx(-best.fun, abs=1e-8)
    alpha = fit.scale_coefficients["estimate"]
    np.testing.assert_allclose(alpha, best.x, atol=1e-4)  # flat: half the digits
    np.testing.assert_allclose(fit.tau2, np.exp(z @ alpha), rtol=1e-9)
    mean, variance = dense.coefficients(effects.y, x, np.diag(effects.se**2 + fit.tau2))
    np.testing.assert_allclose(
        fit.coefficients[COLUMNS], dense.table(mean, variance), rtol=DENSE
    )
    np.testing.assert_allclose(
        fit.scale_coefficients[COLUMNS],
        dense.table(alpha.to_numpy(), fit.scale_covariance.to_numpy()),
        rtol=DENSE,
    )
    assert (fit.QS, fit.QS_p) == pytest.approx(
        dense.wald(alpha.to_numpy(), fit.scale_covariance.to_numpy(), [1, 2]), rel=DENSE
    )


@pytest.mark.parametrize("test", ["z", "knha"])
def test_predictions_are_those_of_the_dense_formulas(test):
    fit = fitted("ni100", "area", test=test, level=0.8)
    new = {"ni100": [0.5, 2.0, 2.0], "area": ["Sci", "Math", "Soc"]}
    x = np.array([[1.0, 0.5], [1.0, 2.0], [1.0, 2.0]])
    z = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    alpha = fit.scale_coefficients["estimate"].to_numpy()
    log_tau2 = z @ alpha
    quantiles = [norm.ppf(0.9)] * 2 if test == "z" else [t.ppf(0.9, 46), t.ppf(0.9, 45)]
    se = np.sqrt(np.diag(x @ fit.covariance.to_numpy() @ x.T))
    found = fit.predict(new)
    mean = x @ fit.coefficients["estimate"].to_numpy()
    np.testing.assert_allclose(found["tau2"], np.exp(log_tau2), rtol=1e-9)
    np.testing.assert_allclose(found["ci_upper"], mean + quantiles[0] * se, rtol=1e-9)
    wide = quantiles[0] * np.sqrt(se**2 + np.exp(log_tau2))
    np.testing.assert_allclose(found["prediction_lower"], mean - wide, rtol=1e-9)
    scale_se = np.sqrt(np.diag(z @ fit.scale_covariance.to_numpy() @ z.T))
    ends = fit.heterogeneity(new)
    upper = np.exp(log_tau2 + quantiles[1] * scale_se)
    np.testing.assert_allclose(ends["tau2_upper"], upper, rtol=1e-9)
    np.testing.assert_allclose(ends["tau_upper"], np.sqrt(upper), rtol=1e-9)
    np.testing.assert_allclose(fit.predict()["tau2"], fit.tau2, rtol=1e-9)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_profile_ends_drop_the_dense_deviance_by_the_chi2_quantile(method):
    effects, table = writing()
    fit = fitted(None, "grade", method=method)
    z = np.column_stack([np.ones(48), table["grade"]])
    for end in fit.scale_intervals(level=0.9)["grade"]:
        best = minimize(
            lambda a, end=end: (
                -dense_loglik(
                    effects, np.ones((48, 1)), z, [a[0], end], method == "REML"
                )
            ),
            [-3.0],
            method="BFGS",
        )
        drop = 2 * (fit.loglik + best.fun)
        assert drop == pytest.approx(chi2.ppf(0.9, 1), rel=1e-5)


# ---- where tau² is 0 -------------------------------------------------------
def test_a_level_without_heterogeneity_is_told_and_leaves_the_others_alone():
    with pytest.warns(DataWarning, match=r"tau² is 0 in 11 of 48 rows and area.* -inf"):
        fit = fitted("area", "area")
    effects, table = writing()
    found = fit.scale_coefficients["estimate"]
    assert found.iloc[2] == -math.inf
    assert fit.boundary == 11
    assert np.array_equal(fit.tau2 == 0.0, table["area"] == "Soc")
    assert fit.scale_coefficients.iloc[2][["se", "p", "lower"]].isna().all()
    assert (math.isnan(fit.QS), fit.QS_df) == (True, 2)
    # each level has a model of its own
    loglik = 0.0
    for i, level in enumerate(["Math", "Sci", "Soc"]):
        own = (table["area"] == level).to_numpy()
        part = rma(effects_of(effects.y[own], effects.se[own] ** 2))
        row = fit.predict({"area": level}).iloc[0]
        assert row["fit"] == pytest.approx(part.estimate, abs=1e-7)
        assert row["se"] == pytest.approx(part.se, abs=1e-7)
        assert row["tau2"] == pytest.approx(part.tau2, abs=1e-7)
        log_tau2 = found.iloc[0] + (found.iloc[i] if i == 1 else 0.0)
        if level != "Soc":
            assert math.exp(log_tau2) == pytest.approx(part.tau2, abs=1e-7)
        loglik += part.loglik
    # treatment contrasts have the |X'X| of indicators: restricted likelihoods add up
    assert fit.loglik == pytest.approx(loglik, abs=1e-8)


def test_standard_errors_beside_a_level_without_heterogeneity_are_metafors():
    # metafor 3.8-1, rma(yi, vi, mods = ~ subject, scale = ~ subject), of the other
    # levels; the third coefficient is -19.3 there, with a standard error of 22769
    with pytest.warns(DataWarning, match="tau² is 0"):
        found = fitted("area", "area").scale_coefficients
    np.testing.assert_allclose(
        found.iloc[:2][["estimate", "se"]],
        rows(["-3.509282 0.596371", "2.324753 0.902720"]),
        atol=2e-6,
    )


def test_levels_crossed_with_tau2_at_zero_go_to_both_infinities():
    # metafor 3.8-1 prints -4.061336 (1.454007) and two coefficients of about 25 with
    # standard errors of 165405; log likelihood -1.3250845
    effects, table = expectancy()
    with pytest.warns(DataWarning, match="tester.* is -inf and setting.* is inf"):
        fit = rma(effects, "ML", scale="tester + setting", data=table)
    found = fit.scale_coefficients
    assert found["estimate"].tolist()[1:] == [-math.inf, math.inf]
    assert found.iloc[0]["estimate"] == pytest.approx(-4.061336, abs=OPTIMISER)
    assert found.iloc[0]["se"] == pytest.approx(1.454007, rel=DIFFERENCES)
    assert fit.loglik == pytest.approx(-1.3250845, abs=1e-7)
    zero = (table["tester"] == "blind") & (table["setting"] == "group")
    assert np.array_equal(fit.tau2 == 0.0, zero)
    new = {
        "tester": ["aware", "blind", "blind"],
        "setting": ["indiv", "group", "indiv"],
    }
    tau2 = fit.heterogeneity(new)["tau2"]
    # the first was never seen; of the last both infinities add up to a finite number
    assert tau2.tolist()[:2] == [math.inf, 0.0]
    both = ((table["tester"] == "blind") & (table["setting"] == "indiv")).to_numpy()
    assert tau2.iloc[2] == pytest.approx(fit.tau2[both][0], rel=1e-9)


def test_no_heterogeneity_at_all_is_the_common_effect():
    effects, table = expectancy()
    table["first"] = np.minimum(table["weeks"], 3.0)
    with pytest.warns(DataWarning, match="in all rows and intercept is -inf"):
        fit = rma(effects, mods="first", scale="tester", data=table)
    fixed = rma(effects, "FE", mods="first", data=table)
    np.testing.assert_allclose(
        fit.coefficients[COLUMNS], fixed.coefficients[COLUMNS], rtol=1e-9
    )
    estimate = fit.scale_coefficients["estimate"]
    assert estimate.iloc[0] == -math.inf
    assert math.isnan(estimate.iloc[1])
    assert (fit.boundary, fit.LRT_df) == (19, 1)
    # chi² with one degree of freedom is steep at 0
    assert (fit.LRT, fit.LRT_p) == pytest.approx((0.0, 1.0), abs=1e-6)
    ends = fit.scale_intervals()
    assert ends["intercept"].lower == -math.inf
    assert math.isfinite(ends["intercept"].upper)
    assert "tau² is 0 in all rows and intercept is -inf and tester" in str(fit)


def test_profile_intervals_have_the_finite_end_of_an_infinite_estimate():
    with pytest.warns(DataWarning, match="tau² is 0"):
        fit = fitted("area", "area")
    effects, table = writing()
    lower, upper = fit.scale_intervals()["area[dif: Soc]"]
    x = np.column_stack([np.ones(48), table["area"] == "Sci", table["area"] == "Soc"])
    x = x.astype(float)
    best = minimize(
        lambda a: -dense_loglik(effects, x, x, [a[0], a[1], upper], True),
        [-3.5, 2.3],
        method="BFGS",
    )
    assert lower == -math.inf
    assert 2 * (fit.loglik + best.fun) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-5)


def test_few_rows_without_heterogeneity_are_named():
    y = np.r_[np.tile([-1.0, 1.0], 5), 0.3, 0.3, 0.3]
    group = {"g": [0.0] * 10 + [1.0] * 3}
    with pytest.warns(
        DataWarning, match=r"tau² is 0 in 3 rows \(10, 11 and 12\) and g"
    ):
        rma(effects_of(y, np.full(13, 0.04)), mods=group, scale=group)


def test_a_small_tau2_is_not_taken_for_none():
    # of equal variances v REML's tau² is s² - v
    level = np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    level *= math.sqrt(1.00005 / np.var(level, ddof=1))
    y = np.r_[np.tile([-2.0, 1.0], 5), level]
    group = {"g": [0.0] * 10 + [1.0] * 6}
    fit = rma(effects_of(y, np.ones(16)), mods=group, scale=group)
    assert fit.boundary == 0
    assert fit.tau2[-1] == pytest.approx(5e-5, rel=1e-4)
    assert fit.tau2[0] == pytest.approx(np.var(y[:10], ddof=1) - 1.0, rel=1e-6)


def test_rows_that_say_little_are_not_taken_for_rows_without_heterogeneity():
    # a share of tau² near 0 in rows on both sides cannot come from a slope
    y = np.r_[np.linspace(-0.8, 0.8, 10), 100.0, -100.0, 100.0, -100.0]
    v = np.r_[np.full(10, 0.01), np.full(4, 1e4)]
    fit = rma(effects_of(y, v), scale={"x": [0.0] * 10 + [-1.0, -1.0, 1.0, 1.0]})
    assert fit.boundary == 0
    assert (fit.tau2 / (v + fit.tau2))[10:].max() < 1e-4
    assert np.isfinite(fit.scale_coefficients[["estimate", "se"]]).all(axis=None)


def test_the_higher_of_two_peaks_is_found():
    rng = np.random.default_rng(41)
    a, v = rng.exponential(size=25), rng.uniform(0.01, 0.3, 25)
    y = rng.normal(size=25) * np.sqrt(v + np.exp(-3 + a * rng.normal()))
    effects = effects_of(y, v)
    x, z = np.ones((25, 1)), np.column_stack([np.ones(25), a])

    def loglik(alpha):
        return dense_loglik(effects, x, z, alpha, True)

    fit = rma(effects, scale={"a": a})
    # where one goes that starts with one tau² for all
    even = math.log(rma(effects).tau2)
    near = minimize(lambda alpha: -loglik(alpha), [even, 0.0], method="BFGS")
    grid = max(
        loglik([level, slope])
        for level in np.arange(-6.0, 3.0, 0.25)
        for slope in np.arange(-60.0, 2.0)
    )
    assert grid > -near.fun + 0.5
    assert fit.loglik >= grid


# ---- what changes nothing --------------------------------------------------
def test_origin_and_unit_of_a_scale_moderator_change_its_coefficients_only():
    _, table = writing()
    fit = fitted("ni100", "year")
    table["year"] = 1000.0 * (table["year"] - 1990)
    moved = fitted("ni100", "year", table)
    for name in ("loglik", "QS", "LRT", "QM"):
        assert getattr(moved, name) == pytest.approx(getattr(fit, name), rel=1e-7)
    old, new = (one.scale_coefficients["estimate"] for one in (fit, moved))
    assert new.iloc[1] == pytest.approx(old.iloc[1] / 1000, rel=1e-6)
    assert new.iloc[0] == pytest.approx(old.iloc[0] + 1990 * old.iloc[1], rel=1e-6)
    np.testing.assert_allclose(moved.tau2, fit.tau2, rtol=1e-6)


def test_the_unit_of_the_effects_moves_the_scale_intercept_only():
    effects, table = writing()
    fit = fitted("ni100", "ni100")
    larger = effects_of(100 * effects.y, 1e4 * effects.se**2)
    again = rma(larger, mods="ni100", scale="ni100", data=table)
    found = again.scale_coefficients["estimate"] - fit.scale_coefficients["estimate"]
    assert found.tolist() == pytest.approx([2 * math.log(100), 0.0], abs=1e-7)
    assert pytest.approx(fit.LRT, abs=1e-9) == again.LRT


def test_formula_names_columns_and_coded_moderators_are_one_model():
    _, table = writing()
    fit = fitted(None, "ni100 + area")
    coded, _ = read_moderators(
        "ni100 + area", table, contrasts="treatment", standardize=False
    )
    for scale, data in [
        (["ni100", "area"], table),
        (table[["ni100", "area"]], None),
        ({"ni100": table["ni100"], "area": table["area"]}, None),
        (coded, None),
    ]:
        again = rma(writing()[0], scale=scale, data=data)
        pd.testing.assert_frame_equal(again.scale_coefficients, fit.scale_coefficients)


def test_robust_tests_of_equal_tau2_are_those_of_the_regression():
    # the slope of tau² is 0 where residuals do not depend on the column
    y = np.tile([0.5, -0.4, 0.1, 0.3], 4)
    effects = effects_of(y, np.full(16, 0.02), np.repeat(np.arange(4), 4))
    mods = {"m": np.tile([0.0, 0.0, 1.0, 1.0], 4)}
    fit = rma(effects, mods=mods, scale={"s": np.repeat([0.0, 1.0], 8)})
    assert fit.scale_coefficients["estimate"].iloc[1] == pytest.approx(0.0, abs=1e-6)
    expected = rma(effects, mods=mods).robust("CR2").coefficients
    np.testing.assert_allclose(
        fit.robust("CR2").coefficients[["estimate", "se", "df"]],
        expected[["estimate", "se", "df"]],
        rtol=1e-5,
        atol=1e-12,
    )


# ---- printing --------------------------------------------------------------
TEXT = """\
Location-scale model (REML, Knapp-Hartung test), 48 estimates, measure none

Mean
           estimate      se        t       p  95 % lower  95 % upper
intercept    0.3017  0.0667   4.5217  <.0001      0.1674      0.4360
ni100       -0.0553  0.0199  -2.7724  0.0080     -0.0954     -0.0151

            F  df  df2       p
ni100  7.6862   1   46  0.0080

Log tau²
           estimate      se        t       p  95 % lower  95 % upper
intercept   -1.9209  0.6690  -2.8713  0.0062     -3.2675     -0.5743
ni100       -0.9174  0.5141  -1.7847  0.0809     -1.9522      0.1173

            F  df  df2       p
ni100  3.1850   1   46  0.0809

against one tau²: LRT(1) = 4.2749, p 0.0387
tau² 0.0010 to 0.1265, tau 0.0319 to 0.3556
QE(46) = 95.1352, p <.0001
logLik -14.6506, AIC 37.3011, BIC 44.6157, AICc 38.2767"""


def test_a_location_scale_model_prints_as_a_table_and_exports_as_a_row():
    fit = fitted("ni100", "ni100", test="knha")
    assert repr(fit) == TEXT
    frame = fit.to_frame()
    assert (len(frame), frame["q"].item(), frame["LRT"].item()) == (1, 2, fit.LRT)


# ---- warnings and refusals -------------------------------------------------
def test_a_level_with_few_estimates_is_warned_of():
    effects, table = writing()
    table["rare"] = ["c"] * 2 + ["a", "b"] * 23
    with pytest.warns(
        DataWarning, match=r"at each level of rare; got fewer at c \(2\)"
    ):
        rma(effects, scale="rare", data=table)
    table["rare"] = ["c"] * 3 + ["a", "b"] * 22 + ["a"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rma(effects, scale="rare", data=table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "alloc", "method": "DL"}, "method: expected 'REML' or 'ML'"),
        ({"scale": {"x": np.ones(13)}, "data": None}, "^scale: expected a mod"),
        (
            {"scale": "ablat + I(2 * ablat - 3)"},
            r"^scale: expected linearly independent columns; got I\(2 \* ablat - 3\)",
        ),
        ({"scale": "abalt"}, "^scale: .*Did you mean 'ablat'"),
        ({"scale": "ablat - 1"}, "^scale: expected a formula with its intercept"),
        ({"scale": "ablat", "data": bcg_table()[:12]}, "^scale: expected 13 rows"),
        ({"scale": "ablat", "data": None}, "no data was given"),
        (
            {"mods": {f"m{i}": np.arange(13.0) ** i for i in range(1, 7)},
             "scale": {f"s{i}": np.arange(13.0) ** i for i in range(1, 6)},
             "data": None},
            "more estimates than .* together; got 13 estimates for 7 and 6",
        ),
        ({"scale": "ablat", "test": "t"}, "expected 'z' or 'knha'"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        rma(bcg(), **{"data": bcg_table()} | arguments)


def test_tau2_of_rows_that_the_mean_fits_exactly_is_refused():
    own = {"own": [0.0] * 12 + [1.0]}
    with pytest.raises(
        DataError, match=r"got own, which tells apart only .*exactly, 12"
    ):
        rma(bcg(), mods=own, scale=own)


@pytest.mark.parametrize(
    ("newdata", "message"),
    [
        ({"ni100": 1.0}, "area"),
        ({"ni100": 1.0, "area": "Art"}, "levels of area|Art"),
        ([[1.0, 2.0]], "newdata: expected moderators by name"),
    ],
)
def test_rows_that_cannot_be_coded_are_refused(newdata, message):
    with pytest.raises(DataError, match=message):
        fitted("ni100", "area").predict(newdata)
