import math

import frequentist_dense as dense
import numpy as np
import pandas as pd
import pytest
from frequentist_data import bcg, bcg_table, delinquency, effects_of, schools
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, norm, t

from pyrobma.effects import load_dataset
from pyrobma.effects.moderators import read_moderators
from pyrobma.errors import DataError
from pyrobma.frequentist import rma
from pyrobma.frequentist.coefficients import Coefficients
from pyrobma.frequentist.heterogeneity import cochran_q

RANDOM = ("REML", "ML", "DL", "HE", "SJ", "PM", "EB")
# optimisers and root finders stop at about ten digits
SOLVER = 1e-7
# the dense formulas lose the square of the condition number of the columns
DENSE = 1e-8


def printed(value, text):
    """Whether `value` is the printed number, within one unit of its last digit.

    One unit and not half of one: metafor stops Fisher scoring at steps of 1e-5, which
    can move the last printed digit.
    """
    decimals = len(text.partition(".")[2])
    return abs(value - float(text)) <= 1.0001 * 10.0**-decimals


def matrix(mods):
    """Design of some moderators of the trials, by hand; treatment contrasts."""
    trials = bcg_table()
    columns = {
        "ablat": [trials.ablat],
        "year": [trials.year],
        "alloc": [trials.alloc == "random", trials.alloc == "systematic"],
    }
    chosen = [c for name in mods.split(" + ") for c in columns[name]]
    return np.column_stack([np.ones(13), *chosen]).astype(float)


# ---- printed references ----------------------------------------------------
# metafor 4.6 and 5.1, documentation, web page "Testing factors and linear
# combinations of parameters" and package tests; log risk ratios of the BCG trials
BCG = [
    ("ablat", "REML", "z", {
        "tau2": "0.0764", "se_tau2": "0.0591", "tau": "0.2763", "I2": "68.39",
        "H2": "3.16", "R2": "75.62", "QE": "30.7331", "QE_p": "0.0012",
    }),
    ("ablat", "REML", "knha", {"QM_p": "0.0046", "R2": "75.62"}),
    ("ablat", "ML", "z", {
        "loglik": "-7.6857", "AIC": "21.3713", "BIC": "23.0662", "AICc": "24.0380",
    }),
    ("ablat + year", "REML", "z", {
        "tau2": "0.1108", "se_tau2": "0.0845", "tau": "0.3328", "I2": "71.98",
        "H2": "3.57", "R2": "64.63", "QE": "28.3251", "QE_p": "0.0016",
        "QM_p": "0.0022",
    }),
    ("alloc + year + ablat", "REML", "z", {
        "tau2": "0.1796", "se_tau2": "0.1425", "tau": "0.4238", "I2": "73.09",
        "H2": "3.72", "R2": "42.67", "QE": "26.2030", "QE_p": "0.0010",
        "QM": "9.5254", "QM_p": "0.0492",
    }),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mods", "method", "test", "name", "text"),
    [
        (mods, method, test, name, text)
        for mods, method, test, numbers in BCG
        for name, text in numbers.items()
    ],
)
def test_bcg_trials_reproduce_metafor(mods, method, test, name, text):
    fit = rma(bcg(), method, mods=mods, data=bcg_table(), test=test)
    assert printed(fit.to_frame()[name].item(), text)


def fisher_scoring(y, v, x):
    """REML tau² where metafor stops: from Hedges' estimate, steps below 1e-5."""
    k, p = x.shape
    plain = dense.projection(x, np.eye(k))
    tau2 = max(0.0, (y @ plain @ y - np.trace(plain @ np.diag(v))) / (k - p))
    step = math.inf
    while abs(step) > 1e-5:
        q = dense.projection(x, np.diag(v + tau2))
        step = (y @ q @ q @ y - np.trace(q)) / np.trace(q @ q)
        tau2 += step
    return tau2


def where_metafor_stops(effects, table, mods, test):
    """Coefficients with metafor's tau², which is within 1e-4 of the best one."""
    fit = rma(effects, mods=mods, data=table, test=test)
    y, v, x = effects.y, effects.se**2, fit._likelihood.x
    tau2 = fisher_scoring(y, v, x)
    assert fit.tau2 == pytest.approx(tau2, abs=1e-4)
    estimate, factor = fit._likelihood.coefficients(tau2, 0.0)
    df = None
    if test == "knha":
        df = x.shape[0] - x.shape[1]
        factor = factor * math.sqrt(cochran_q(y, v, tau2, x) / df)
    return Coefficients(fit._coefficients.design, estimate, factor, df, 0.95)


COEFFICIENTS = [
    ("ablat", "z", [
        "0.2515 0.2491 1.0095 0.3127 -0.2368 0.7397",
        "-0.0291 0.0072 -4.0444 0.0001 -0.0432 -0.0150",
    ]),
    ("ablat", "knha", [
        "0.2515 0.2839 0.8857 0.3948 -0.3735 0.8764",
        "-0.0291 0.0082 -3.5483 0.0046 -0.0472 -0.0111",
    ]),
    ("ablat + year", "z", [
        "-3.5455 29.0959 -0.1219 0.9030 -60.5724 53.4814",
        "-0.0280 0.0102 -2.7371 0.0062 -0.0481 -0.0080",
        "0.0019 0.0147 0.1299 0.8966 -0.0269 0.0307",
    ]),
    # clubSandwich's documentation of vcovCR for rma.uni, dat.assink2016
    ("year + deltype", "z", [
        "0.0197 0.1724 0.1143 0.9090 -0.3181 0.3575",
        "-0.0682 0.0098 -6.9476 0.0000 -0.0874 -0.0490",
        "0.5499 0.1827 3.0097 0.0026 0.1918 0.9079",
        "0.5606 0.2226 2.5186 0.0118 0.1244 0.9969",
    ]),
]  # fmt: skip
COLUMNS = ["estimate", "se", "statistic", "p", "lower", "upper"]
# half a unit of the fourth decimal; p < .0001 is printed as such
HALF = 5.1e-5


@pytest.mark.parametrize(("mods", "test", "texts"), COEFFICIENTS)
def test_coefficients_reproduce_metafor(mods, test, texts):
    effects, table = delinquency() if "deltype" in mods else (bcg(), bcg_table())
    found = where_metafor_stops(effects, table, mods, test).table()
    expected = [[float(number) for number in text.split()] for text in texts]
    np.testing.assert_allclose(found[COLUMNS], expected, atol=HALF)


@pytest.mark.parametrize(
    ("mods", "test", "expected"),
    [
        ("ablat", "z", 16.3571),
        ("ablat", "knha", 12.5905),
        ("ablat + year", "z", 12.2043),
        ("year + deltype", "z", 66.1189),
    ],
)
def test_tests_of_all_moderators_reproduce_metafor(mods, test, expected):
    effects, table = delinquency() if "deltype" in mods else (bcg(), bcg_table())
    found = where_metafor_stops(effects, table, mods, test)
    overall = found.test(found.design.slopes)
    assert overall.statistic == pytest.approx(expected, abs=HALF)


TERMS = [
    ("alloc + year + ablat", "z", "alloc", "1.366284", None),
    ("alloc + year + ablat", "knha", "alloc", "0.6502793", None),
    ("ablat + alloc", "z", "alloc", "1.2850", "0.5260"),
    ("ablat + alloc", "knha", "alloc", "0.6007", "0.5690"),
]


@pytest.mark.parametrize(("mods", "test", "term", "statistic", "p"), TERMS)
def test_tests_of_a_factor_reproduce_metafor(mods, test, term, statistic, p):
    row = rma(bcg(), mods=mods, data=bcg_table(), test=test).terms.loc[term]
    # 1e-5 in tau², where metafor stops, moves the fifth digit of the statistic
    assert row.statistic == pytest.approx(float(statistic), rel=5e-5)
    assert p is None or printed(row.p, p)
    assert row.df == 2


def test_nested_models_have_metafors_likelihood_ratios():
    def ratio(less, more, method):
        fits = [
            rma(bcg(), method, mods=mods, data=None if mods is None else bcg_table())
            for mods in (less, more)
        ]
        return 2 * (fits[1].loglik - fits[0].loglik)

    # package tests and the web page on testing factors
    assert ratio(None, "ablat", "ML") == pytest.approx(9.9588, abs=1e-4)
    assert ratio(None, "ablat", "REML") == pytest.approx(8.2301, abs=1e-4)
    assert ratio("year + ablat", "alloc + year + ablat", "ML") == pytest.approx(
        1.451038, abs=1e-5
    )


# package tests: anova(res, L = ...)
@pytest.mark.parametrize(
    ("test", "rows", "expected"),
    [
        ("z", {"ablat": [10, 30, 50], "alloc": "alternate"}, (0.0588, -1.7964, -3.121)),
        (
            "knha",
            {"ablat": 10, "alloc": ["alternate", "random", "systematic"]},
            (0.0568, -0.8252, 0.2517),
        ),
    ],
)
def test_tests_of_predicted_effects_reproduce_metafor(test, rows, expected):
    fit = rma(bcg(), mods="ablat + alloc", data=bcg_table(), test=test)
    found = fit.predict(rows)
    np.testing.assert_allclose(found.fit / found.se, expected, atol=1.5e-4)


def smoothed():
    """Log risk ratios with the smoothed variances of Berkey et al. (1995)."""
    trials = bcg_table()
    treated, control = trials.tpos + trials.tneg, trials.cpos + trials.cneg
    v = (trials.tneg / trials.tpos).sum() / (13 * treated)
    v = v + (trials.cneg / trials.cpos).sum() / (13 * control)
    return effects_of(bcg().y, v)


def test_empirical_bayes_reproduces_berkey_1995():
    # page 408, as metafor's tests have it
    fit = rma(smoothed(), "EB", mods="I(ablat - 33.46)", data=bcg_table())
    b = fit.coefficients
    assert b.estimate.tolist() == pytest.approx([-0.6303, -0.0268], abs=5.1e-5)
    assert b.se.tolist() == pytest.approx([0.1591, 0.0110], abs=5.1e-5)
    assert fit.tau2 == pytest.approx(0.157, abs=5.1e-4)
    assert pytest.approx(41, abs=0.51) == fit.R2
    risk = np.exp(fit.predict({"ablat": [33.46, 42.0]}).fit)
    np.testing.assert_allclose(risk, [0.53, 0.42], atol=5.1e-3)


def test_fixed_effects_reproduce_berkey_1995():
    fit = rma(smoothed(), "FE", mods="I(ablat - 33.46)", data=bcg_table())
    b = fit.coefficients
    assert b.estimate.tolist() == pytest.approx([-0.5949, -0.0282], abs=5.1e-5)
    assert b.se.tolist() == pytest.approx([0.0696, 0.0040], abs=5.1e-5)


def test_year_of_the_schools_reproduces_konstantopoulos_2011():
    # table 4, as metafor's tests have it
    table = load_dataset("konstantopoulos2011")
    fit = rma(schools(), mods="center(year)", data=table)
    b = fit.coefficients
    assert b.estimate.tolist() == pytest.approx([0.1258, 0.0052], abs=5.1e-5)
    assert b.se.tolist() == pytest.approx([0.0440, 0.0044], abs=5.1e-5)
    assert (fit.tau2, fit.se_tau2) == pytest.approx((0.0889, 0.0205), abs=5.1e-5)
    # its root finder stops at 1.2e-4
    interval = fit.tau2_interval()["tau2"]
    assert interval == pytest.approx((0.0560, 0.1376), abs=2.0**-13)


# clubSandwich's documentation of vcovCR for rma.uni, dat.assink2016
DELINQUENCY = {
    "tau2": "0.2016", "se_tau2": "0.0373", "tau": "0.4490", "I2": "89.68",
    "H2": "9.69", "R2": "47.74", "QE": "610.2644",
}  # fmt: skip


def test_delinquency_reproduces_metafor():
    effects, table = delinquency()
    fit = rma(effects, mods="year + deltype", data=table)
    for name, text in DELINQUENCY.items():
        assert printed(getattr(fit, name), text), name


# ---- the same by dense matrices --------------------------------------------
CASES = [(mods, method) for mods in ("ablat", "alloc + year") for method in RANDOM]


@pytest.mark.parametrize(("mods", "method"), CASES)
@pytest.mark.parametrize("test", ["z", "knha"])
def test_coefficients_and_tests_are_the_dense_formulas(mods, method, test):
    effects, x = bcg(), matrix(mods)
    y, v, (k, p) = effects.y, effects.se**2, x.shape
    fit = rma(effects, method, mods=mods, data=bcg_table(), test=test, level=0.9)
    sigma = np.diag(v + fit.tau2)
    b, variance = dense.coefficients(y, x, sigma)
    df = None
    if test == "knha":
        df = k - p
        variance *= y @ dense.projection(x, sigma) @ y / df
    expected = dense.table(b, variance, level=0.9, df=df)
    np.testing.assert_allclose(fit.coefficients[COLUMNS], expected, rtol=DENSE)
    np.testing.assert_allclose(fit.covariance, variance, rtol=DENSE)
    assert (fit.QM, fit.QM_p) == pytest.approx(
        dense.wald(b, variance, np.arange(1, p), df), rel=DENSE
    )
    last = [p - 1]  # a number is the last term of both
    row = fit.terms.iloc[-1]
    assert (row.statistic, row.p) == pytest.approx(
        dense.wald(b, variance, last, df), rel=DENSE
    )
    assert (fit.QM_df, fit.QM_df2) == (p - 1, math.inf if df is None else df)


@pytest.mark.parametrize(("mods", "method"), CASES)
def test_heterogeneity_and_fit_statistics_are_the_dense_formulas(mods, method):
    effects, x = bcg(), matrix(mods)
    y, v, (k, p) = effects.y, effects.se**2, x.shape
    fit = rma(effects, method, mods=mods, data=bcg_table())
    form = dense.projection(x, np.diag(v))
    typical = (k - p) / np.trace(form)
    assert (fit.QE, fit.QE_df) == (pytest.approx(y @ form @ y, rel=DENSE), k - p)
    assert fit.QE_p == pytest.approx(chi2.sf(y @ form @ y, k - p), rel=1e-6)
    assert pytest.approx(100 * fit.tau2 / (fit.tau2 + typical), rel=DENSE) == fit.I2
    assert pytest.approx(1 + fit.tau2 / typical, rel=DENSE) == fit.H2
    without = rma(effects, method).tau2
    expected = max(0.0, 100 * (without - fit.tau2) / without)
    assert pytest.approx(expected, rel=1e-5) == fit.R2
    reml = method == "REML"
    loglik = dense.log_likelihood(y, x, np.diag(v + fit.tau2), reml=reml)
    assert fit.loglik == pytest.approx(loglik, rel=DENSE)
    n = k - p if reml else k
    q = p + 1
    size = max(n, q + 2)
    assert pytest.approx(-2 * loglik + 2 * q) == fit.AIC
    assert pytest.approx(-2 * loglik + math.log(n) * q) == fit.BIC
    assert pytest.approx(-2 * loglik + 2 * q * size / (size - q - 1)) == fit.AICc


@pytest.mark.parametrize("mods", ["ablat", "alloc + year"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_likelihood_estimates_maximise_the_dense_likelihood(mods, method):
    effects, x = bcg(), matrix(mods)
    y, v, reml = effects.y, effects.se**2, method == "REML"
    fit = rma(effects, method, mods=mods, data=bcg_table())
    best = minimize_scalar(
        lambda tau2: -dense.log_likelihood(y, x, np.diag(v + tau2), reml=reml),
        bounds=(0.0, 2.0),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert fit.loglik == pytest.approx(-best.fun, rel=1e-9)
    # near a maximum the likelihood is flat: half the digits
    assert fit.tau2 == pytest.approx(best.x, rel=1e-5)
    q = dense.projection(x, np.diag(v + fit.tau2))
    information = np.trace(q @ q) if reml else (1 / (v + fit.tau2) ** 2).sum()
    assert fit.se_tau2 == pytest.approx(math.sqrt(2 / information), rel=DENSE)


@pytest.mark.parametrize("mods", ["ablat", "alloc + year"])
@pytest.mark.parametrize("method", ["DL", "HE", "SJ", "PM"])
def test_moment_estimates_are_the_dense_formulas(mods, method):
    effects, x = bcg(), matrix(mods)
    y, v, (k, p) = effects.y, effects.se**2, x.shape
    fit = rma(effects, method, mods=mods, data=bcg_table())
    if method == "PM":
        form = dense.projection(x, np.diag(v + fit.tau2))
        assert y @ form @ y == pytest.approx(k - p, rel=SOLVER)
        scale = k / (k - p) / (1 / (v + fit.tau2)).sum()
        assert fit.se_tau2 == pytest.approx(scale * math.sqrt(2 * (k - p)), rel=SOLVER)
        return
    crude = np.var(y)
    weights = {"DL": np.diag(v), "HE": np.eye(k), "SJ": np.diag(v + crude)}[method]
    form = dense.projection(x, weights)
    product = form @ np.diag(v + fit.tau2)
    if method == "SJ":
        slope = (k - p) / crude
        expected = y @ form @ y / slope
    else:
        slope = np.trace(form)
        expected = max(0.0, (y @ form @ y - np.trace(form @ np.diag(v))) / slope)
    assert fit.tau2 == pytest.approx(expected, rel=DENSE)
    spread = math.sqrt(2 * np.trace(product @ product)) / slope
    assert fit.se_tau2 == pytest.approx(spread, rel=DENSE)


def test_a_common_effect_of_a_factor_divides_q_between_and_within():
    # weighted analysis of variance: Q of all = QM between + QE within levels
    fit = rma(bcg(), "FE", mods="alloc", data=bcg_table())
    assert pytest.approx(rma(bcg(), "FE").Q, rel=1e-12) == fit.QM + fit.QE
    alloc = bcg_table().alloc
    means, inner = {}, 0.0
    for level in alloc.unique():
        rows = (alloc == level).to_numpy()
        own = rma(effects_of(bcg().y[rows], bcg().se[rows] ** 2), "FE")
        means[level], inner = own.estimate, inner + own.Q
    assert pytest.approx(inner, rel=1e-12) == fit.QE
    b = fit.coefficients.estimate
    assert b["intercept"] == pytest.approx(means["alternate"], rel=1e-12)
    assert b.iloc[1] == pytest.approx(means["random"] - means["alternate"], rel=1e-9)
    assert (fit.tau2, math.isnan(fit.se_tau2)) == (0.0, True)
    assert pytest.approx(fit.QE / 10, rel=1e-12) == fit.H2
    assert pytest.approx(100 * (1 - 10 / fit.QE), rel=1e-12) == fit.I2
    adjusted = 1 - (fit.QE / 10) / (rma(bcg(), "FE").Q / 12)
    assert pytest.approx(100 * max(adjusted, 0.0), rel=1e-9) == fit.R2


def test_as_many_coefficients_as_estimates_leave_nothing_to_a_common_effect():
    effects = effects_of([0.1, 0.5, 0.2], [0.1, 0.2, 0.3])
    fit = rma(effects, "FE", mods={"x": [1.0, 2.0, 4.0], "z": [0.0, 1.0, 5.0]})
    np.testing.assert_allclose(fit.predict().fit, effects.y, rtol=1e-9)
    assert (fit.QE, fit.QE_df, fit.QE_p) == (0.0, 0, 1.0)
    assert (fit.I2, fit.H2, math.isnan(fit.R2)) == (0.0, 1.0, True)


def test_moderators_that_explain_nothing_have_no_r2():
    rng = np.random.default_rng(1)
    effects = effects_of(rng.normal(0.0, 0.5, 12), np.full(12, 0.02))
    found = [rma(effects, mods={"x": rng.normal(size=12)}).R2 for _ in range(20)]
    assert min(found) == 0.0
    homogeneous = effects_of([0.1, 0.12, 0.09, 0.11], np.full(4, 0.04))
    assert rma(homogeneous, mods={"x": [1.0, 2.0, 4.0, 3.0]}).R2 == 0.0


# ---- what changes nothing --------------------------------------------------
SAME = ("tau2", "QM", "QE", "I2", "R2", "se_tau2")


@pytest.mark.parametrize("method", [*RANDOM, "FE"])
def test_scale_and_origin_of_a_moderator_change_its_coefficients_only(method):
    table = bcg_table()
    fit = rma(bcg(), method, mods="ablat + alloc", data=table)
    table["ablat"] = 1000.0 * (table["ablat"] - 20.0)
    moved = rma(bcg(), method, mods="ablat + alloc", data=table)
    for name in SAME:
        assert getattr(moved, name) == pytest.approx(
            getattr(fit, name), rel=1e-6, abs=1e-12, nan_ok=True
        )
    b, scaled = fit.coefficients, moved.coefficients
    expected = [
        b.estimate.iloc[0] + 20 * b.estimate["ablat"],
        b.estimate["ablat"] / 1e3,
    ]
    assert scaled.estimate.iloc[:2].tolist() == pytest.approx(expected, rel=1e-6)
    # log|X'X| makes the restricted likelihood one of the data alone
    assert moved.loglik == pytest.approx(fit.loglik, rel=1e-9)


def test_the_reference_level_does_not_matter():
    table = bcg_table()
    fit = rma(bcg(), mods="ablat + alloc", data=table)
    levels = ["systematic", "alternate", "random"]
    table["alloc"] = pd.Categorical(table["alloc"], levels)
    other = rma(bcg(), mods="ablat + alloc", data=table)
    assert other.terms.loc["alloc"].tolist() == pytest.approx(
        fit.terms.loc["alloc"].tolist(), rel=1e-6
    )
    np.testing.assert_allclose(other.predict(), fit.predict(), rtol=1e-6)


def test_rows_in_another_order_change_nothing():
    order = np.random.default_rng(2).permutation(13)
    effects, table = bcg(), bcg_table()
    shuffled = effects_of(effects.y[order], effects.se[order] ** 2)
    fit = rma(effects, mods="alloc + ablat", data=table)
    again = rma(shuffled, mods="alloc + ablat", data=table.iloc[order])
    np.testing.assert_allclose(again.coefficients, fit.coefficients, rtol=1e-6)
    assert again.loglik == pytest.approx(fit.loglik, rel=1e-9)


def test_a_polynomial_of_a_year_that_is_not_centred_loses_few_digits():
    table = bcg_table()
    fit = rma(bcg(), "DL", mods="year + I(year ** 2)", data=table)
    table["year"] -= 1966
    centred = rma(bcg(), "DL", mods="year + I(year ** 2)", data=table)
    # the columns have condition number 1e9
    assert fit.tau2 == pytest.approx(centred.tau2, rel=1e-6)
    assert pytest.approx(centred.QM, rel=1e-6) == fit.QM
    np.testing.assert_allclose(fit.predict(), centred.predict(), rtol=1e-5)


# ---- moderators as they are given ------------------------------------------
def test_formula_names_columns_and_coded_moderators_are_one_model():
    table = bcg_table()
    fit = rma(bcg(), mods="ablat + alloc", data=table)
    coded, _ = read_moderators(
        "ablat + alloc", table, contrasts="treatment", standardize=False
    )
    for mods, data in [
        (["ablat", "alloc"], table),
        (table[["ablat", "alloc"]], None),
        ({"ablat": table.ablat, "alloc": table.alloc}, None),
        (coded, None),
    ]:
        again = rma(bcg(), mods=mods, data=data)
        pd.testing.assert_frame_equal(again.coefficients, fit.coefficients)


def test_moderators_that_are_coded_already_keep_their_coding():
    # mean differences and standardised numbers: other coefficients, the same model
    coded, _ = read_moderators("ablat + alloc", bcg_table())
    found = rma(bcg(), mods=coded)
    fit = rma(bcg(), mods="ablat + alloc", data=bcg_table())
    assert found.coefficients.index[1:].tolist() == list(coded.labels)
    np.testing.assert_allclose(found.terms.p, fit.terms.p, rtol=1e-6)
    rows = {"ablat": [10.0, 50.0], "alloc": "random"}
    np.testing.assert_allclose(found.predict(rows), fit.predict(rows), rtol=1e-6)


def test_numbers_are_not_standardised_and_factors_have_treatment_contrasts():
    fit = rma(bcg(), mods="ablat + alloc", data=bcg_table())
    np.testing.assert_array_equal(fit._likelihood.x, matrix("ablat + alloc"))
    assert list(fit.terms.index) == ["ablat", "alloc"]
    assert list(fit.coefficients.index[:2]) == ["intercept", "ablat"]
    assert fit.p == 4


def test_a_number_with_two_values_is_fitted_without_a_warning():
    # what is said of it elsewhere is about priors
    x = [0.0, 1.0] * 6 + [1.0]
    fit = rma(bcg(), mods={"x": x})
    assert fit.coefficients.index.tolist() == ["intercept", "x"]


# ---- predictions and intervals ---------------------------------------------
@pytest.mark.parametrize("test", ["z", "knha"])
def test_predictions_are_those_of_the_dense_formulas(test):
    effects, x = bcg(), matrix("ablat + alloc")
    fit = rma(effects, mods="ablat + alloc", data=bcg_table(), test=test, level=0.8)
    new = np.array([[1.0, 20.0, 1.0, 0.0], [1.0, 50.0, 0.0, 0.0]])
    found = fit.predict({"ablat": [20, 50], "alloc": ["random", "alternate"]})
    mean = new @ fit.coefficients.estimate.to_numpy()
    se = np.sqrt(np.diag(new @ fit.covariance.to_numpy() @ new.T))
    quantile = t.ppf(0.9, 9) if test == "knha" else norm.ppf(0.9)
    wide = quantile * np.sqrt(se**2 + fit.tau2)
    expected = {
        "fit": mean,
        "se": se,
        "ci_lower": mean - quantile * se,
        "ci_upper": mean + quantile * se,
        "prediction_lower": mean - wide,
        "prediction_upper": mean + wide,
    }
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected), rtol=1e-9)
    np.testing.assert_allclose(fit.predict(new[:, 1:]), found, rtol=1e-12)
    np.testing.assert_allclose(fit.predict().fit, x @ fit.coefficients.estimate)


def test_predictions_keep_the_index_and_read_one_row():
    fit = rma(bcg(), mods="ablat", data=bcg_table())
    rows = pd.DataFrame({"ablat": [10.0, 40.0]}, index=["south", "north"])
    found = fit.predict(rows)
    assert found.index.tolist() == ["south", "north"]
    # Sums of one row and of two are rounded differently by some processors.
    alone = fit.predict({"ablat": 40.0}).fit.item()
    assert alone == pytest.approx(found.fit["north"], rel=1e-14)
    assert fit.predict([10.0, 40.0]).fit.tolist() == found.fit.tolist()


def test_a_common_effect_has_no_prediction_interval():
    found = rma(bcg(), "EE", mods="ablat", data=bcg_table()).predict({"ablat": 30.0})
    assert found.filter(like="prediction").isna().all(axis=None)
    assert found.notna().sum(axis=None) == 4


def test_the_prediction_of_a_level_is_its_subgroup_mean():
    # a common effect of a factor is one mean a level
    fit = rma(bcg(), "FE", mods="alloc", data=bcg_table())
    rows = (bcg_table().alloc == "random").to_numpy()
    own = rma(effects_of(bcg().y[rows], bcg().se[rows] ** 2), "FE")
    found = fit.predict({"alloc": "random"}).iloc[0]
    assert (found.fit, found.se) == pytest.approx((own.estimate, own.se), rel=1e-9)
    assert (found.ci_lower, found.ci_upper) == pytest.approx(own.ci, rel=1e-9)


@pytest.mark.parametrize("method", RANDOM)
def test_q_profile_ends_are_the_chi2_quantiles_of_the_dense_q(method):
    effects, x = bcg(), matrix("ablat + year")
    fit = rma(effects, method, mods="ablat + year", data=bcg_table())
    ends = fit.tau2_interval(level=0.9)["tau2"]
    q = [
        effects.y @ dense.projection(x, np.diag(effects.se**2 + tau2)) @ effects.y
        for tau2 in ends
    ]
    np.testing.assert_allclose(q, chi2.isf([0.05, 0.95], 10), rtol=1e-6)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_profile_ends_drop_the_dense_deviance_by_the_chi2_quantile(method):
    effects, x = bcg(), matrix("year")
    fit = rma(effects, method, mods="year", data=bcg_table())
    frame = fit.tau2_interval("PL").to_frame()
    for tau2 in frame.loc["tau2", ["lower", "upper"]]:
        sigma = np.diag(effects.se**2 + tau2)
        value = dense.log_likelihood(effects.y, x, sigma, reml=method == "REML")
        assert 2 * (fit.loglik - value) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-6)
    # I² and H² with the typical variance that the moderators leave
    assert frame.loc["I2", "estimate"] == pytest.approx(fit.I2)
    assert frame.loc["H2", "estimate"] == pytest.approx(fit.H2)


# ---- refusals --------------------------------------------------------------
THREE = ([0.1, 0.5, 0.2], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mods": "ablat + I(2 * ablat - 3)", "data": bcg_table()},
            r"got I\(2 \* ablat - 3\), which is a combination of intercept and ablat",
        ),
        (
            {"mods": {"x": np.arange(13.0), "z": np.arange(13.0)}},
            "got z, which is a combination of x. Leave one of them out",
        ),
        (
            {
                "mods": "author",
                "data": bcg_table().assign(author=list("abcdefghijklm")),
            },
            "more estimates than coefficients; got 13 coefficients, with the intercept",
        ),
        ({"mods": "abalt", "data": bcg_table()}, "Did you mean 'ablat'"),
        ({"mods": "ablat", "data": bcg_table()[:12]}, "expected 13 rows.*got 12"),
        ({"mods": {"x": [math.nan] + [1.0, 2.0] * 6}}, "missing"),
        ({"mods": "ablat"}, "no data was given"),
        ({"data": bcg_table()}, "mods: expected moderators, since data was given"),
        ({"mods": "ablat", "data": bcg_table(), "test": "t"}, "expected 'z' or 'knha'"),
        ({"mods": "ablat", "data": bcg_table(), "method": "x"}, "expected one of REML"),
        ({"mods": "ablat", "data": bcg_table(), "level": 2.0}, "level: expected"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        rma(bcg(), **arguments)


def test_a_common_effect_may_have_as_many_coefficients_as_estimates_and_no_more():
    mods = {"x": [1.0, 2.0, 4.0], "z": [0.0, 1.0, 5.0]}
    assert rma(effects_of(*THREE), "FE", mods=mods).p == 3
    with pytest.raises(DataError, match="more estimates than coefficients"):
        rma(effects_of(*THREE), "FE", mods=mods, test="knha")
    with pytest.raises(DataError, match="at least as many estimates as coefficients"):
        rma(effects_of(*THREE), "FE", mods=mods | {"u": [1.0, 0.0, 0.0]})


@pytest.mark.parametrize(
    ("newdata", "message"),
    [
        ({"alloc": "random"}, 'got "ablat", which is none'),
        ({"ablat": 3.0, "alloc": "coin"}, "expected .*levels of alloc|coin"),
        ({"ablat": [1.0, 2.0], "alloc": ["random"] * 3}, "got 2 of ablat, 3 of alloc"),
        ([[1.0, 2.0]], r"rows of 3 numbers, for ablat.*got an array of shape \(1, 2\)"),
        ([1.0, 2.0], r"got an array of shape \(2,\)"),
        ([[1.0, math.nan, 0.0]], "expected finite numbers"),
    ],
)
def test_rows_that_cannot_be_coded_are_refused(newdata, message):
    fit = rma(bcg(), mods="ablat + alloc", data=bcg_table())
    with pytest.raises(DataError, match=message):
        fit.predict(newdata)


def test_a_common_effect_has_no_interval_of_tau2():
    fit = rma(bcg(), "FE", mods="ablat", data=bcg_table())
    with pytest.raises(DataError, match="expected a random-effects model; got 'FE'"):
        fit.tau2_interval()
    with pytest.raises(DataError, match="got 'PL' with tau2 by DL"):
        rma(bcg(), "DL", mods="ablat", data=bcg_table()).tau2_interval("PL")
