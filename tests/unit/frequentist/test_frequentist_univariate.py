import math

import numpy as np
import pytest
from frequentist_data import bcg, effects_of, schools, simulated
from scipy.stats import chi2, norm, t, ttest_1samp

from pyrobma.errors import DataError
from pyrobma.frequentist import rma
from pyrobma.frequentist.heterogeneity import Quadratic, cochran_q

RANDOM = ("REML", "ML", "DL", "HE", "SJ", "PM", "EB")
# optimisers and root finders stop at about ten digits
SOLVER = 1e-7


def printed(value, text):
    """Whether `value` is the printed number, within one unit of its last digit.

    One unit and not half of one: metafor stops Fisher scoring at steps of 1e-5, which
    can move the last printed digit.
    """
    decimals = len(text.partition(".")[2])
    return abs(value - float(text)) <= 1.0001 * 10.0**-decimals


# metafor 5.1, rma(yi, vi), dat.konstantopoulos2011
SCHOOLS = {
    "tau2": "0.088438",
    "se_tau2": "0.020174",
    "tau": "0.297386",
    "I2": "94.70",
    "H2": "18.89",
    "Q": "578.8640",
    "estimate": "0.127932",
    "se": "0.043870",
    "statistic": "2.916144",
    "p": "0.003544",
    "ci_lower": "0.041948",
    "ci_upper": "0.213916",
    "loglik": "-16.8455",
    "prediction_lower": "-0.461242",
    "prediction_upper": "0.717106",
}


@pytest.mark.parametrize("name", SCHOOLS)
def test_schools_reproduce_metafor(name):
    fit = rma(schools())
    assert fit.Q_df == 55
    assert printed(fit.to_frame()[name].item(), SCHOOLS[name])


# metafor, log risk ratios of the BCG trials (Viechtbauer, 2010, and metafor's tests)
BCG = [
    ("REML", "tau2", "0.3132"),
    ("REML", "se_tau2", "0.1664"),
    ("REML", "estimate", "-0.7145"),
    ("REML", "se", "0.1798"),
    ("REML", "I2", "92.22"),
    ("REML", "H2", "12.86"),
    ("REML", "Q", "152.2330"),
    ("DL", "tau2", "0.3088"),
    ("DL", "I2", "92.1173"),
    ("DL", "H2", "12.6861"),
    ("PM", "tau2", "0.3181"),
    ("ML", "tau2", "0.2800"),
    ("ML", "se_tau2", "0.1443"),
    ("DL", "se_tau2", "0.2299"),
]


@pytest.mark.parametrize(("method", "name", "text"), BCG)
def test_bcg_trials_reproduce_metafor(method, name, text):
    assert printed(getattr(rma(bcg(), method), name), text)


def test_dersimonian_laird_interval_of_the_bcg_risk_ratio_is_metafors():
    ci = rma(bcg(), "DL").ci
    assert printed(math.exp(ci.lower), "0.3449")
    assert printed(math.exp(ci.upper), "0.6950")


def equal_variances(v=0.04):
    y = np.random.default_rng(6).normal(0.3, 0.5, 12)
    return effects_of(y, np.full(12, v)), y


@pytest.mark.parametrize("method", ["REML", "DL", "HE", "PM", "EB"])
def test_with_equal_variances_tau2_is_the_sample_variance_less_v(method):
    effects, y = equal_variances()
    assert rma(effects, method).tau2 == pytest.approx(
        np.var(y, ddof=1) - 0.04, rel=1e-6
    )


def test_with_equal_variances_ml_divides_by_k():
    effects, y = equal_variances()
    assert rma(effects, "ML").tau2 == pytest.approx(np.var(y) - 0.04, rel=1e-6)


@pytest.mark.parametrize("method", ["REML", "DL", "HE", "PM", "EB"])
def test_with_equal_variances_tau2_has_the_error_of_a_sample_variance(method):
    effects, y = equal_variances()
    expected = np.var(y, ddof=1) * math.sqrt(2 / 11)
    assert rma(effects, method).se_tau2 == pytest.approx(expected, rel=1e-6)


def test_with_equal_variances_sidik_jonkman_shrinks_the_sample_variance():
    effects, y = equal_variances()
    share = np.var(y) / (0.04 + np.var(y))
    fit = rma(effects, "SJ")
    assert fit.tau2 == pytest.approx(share * np.var(y, ddof=1), rel=1e-12)
    expected = share * (0.04 + fit.tau2) * math.sqrt(2 / 11)
    assert fit.se_tau2 == pytest.approx(expected, rel=1e-12)


def test_standard_error_of_paule_mandel_is_that_of_its_quadratic_form():
    effects = bcg()
    fit = rma(effects, "PM")
    v, k = effects.se**2, 13
    w = 1.0 / (v + fit.tau2)
    expected = k / (k - 1) / w.sum() * Quadratic(v, w).sd(fit.tau2)
    assert fit.se_tau2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", RANDOM)
def test_with_equal_variances_knapp_hartung_is_the_t_test(method):
    effects, y = equal_variances()
    fit = rma(effects, method, test="knha")
    expected = ttest_1samp(y, 0.0)
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert fit.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert fit.ci == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)


@pytest.mark.parametrize(("method", "reml"), [("REML", True), ("ML", False)])
def test_likelihood_estimates_are_where_the_score_is_zero(method, reml):
    fit = rma(bcg(), method)
    _, gradient = fit._likelihood.evaluate(fit.tau2, 0.0, reml=reml)
    assert gradient[0] * fit.se_tau2 == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(("method", "reml"), [("REML", True), ("ML", False)])
def test_no_tau2_has_a_higher_likelihood(method, reml):
    for seed in range(20):
        effects = simulated(8, 8, within=0.05, between=0.0, seed=seed)
        fit = rma(effects, method)
        values = [
            fit._likelihood.evaluate(tau2, 0.0, reml=reml)[0]
            for tau2 in np.linspace(0.0, 1.0, 500)
        ]
        assert fit.loglik >= max(values) - SOLVER


def test_paule_mandel_sets_q_to_its_degrees_of_freedom():
    effects = bcg()
    tau2 = rma(effects, "PM").tau2
    assert cochran_q(effects.y, effects.se**2, tau2) == pytest.approx(12.0, rel=SOLVER)


def test_sidik_jonkman_is_its_two_step_formula():
    effects = bcg()
    y, v = effects.y, effects.se**2
    crude = np.mean((y - y.mean()) ** 2)
    w = 1.0 / (v / crude + 1.0)
    mu = np.average(y, weights=w)
    assert rma(effects, "SJ").tau2 == pytest.approx(w @ (y - mu) ** 2 / 12, rel=1e-12)


def test_mean_and_sd_of_a_quadratic_form_are_the_traces():
    rng = np.random.default_rng(7)
    v, w, tau2 = rng.uniform(0.1, 1.0, 6), rng.uniform(1.0, 9.0, 6), 0.4
    matrix = np.diag(w) - np.outer(w, w) / w.sum()
    product = matrix @ np.diag(v + tau2)
    form = Quadratic(v, w)
    assert form.mean(tau2) == pytest.approx(np.trace(product), rel=1e-12)
    assert form.sd(tau2) == pytest.approx(np.sqrt(2 * np.trace(product @ product)))


@pytest.mark.parametrize(("method", "reml"), [("REML", True), ("ML", False)])
def test_standard_error_of_tau2_is_the_expected_information(method, reml):
    effects = bcg()
    fit = rma(effects, method)
    w = 1.0 / (effects.se**2 + fit.tau2)
    p = np.diag(w) - reml * np.outer(w, w) / w.sum()
    assert fit.se_tau2 == pytest.approx(np.sqrt(2.0 / np.trace(p @ p)), rel=1e-12)


@pytest.mark.parametrize("method", [*RANDOM, "FE"])
def test_estimates_follow_a_change_of_unit_and_origin(method):
    effects = bcg()
    changed = effects_of(1000.0 * effects.y + 7.0, 1e6 * effects.se**2)
    fit, moved = rma(effects, method), rma(changed, method)
    assert moved.tau2 == pytest.approx(1e6 * fit.tau2, rel=SOLVER)
    assert moved.estimate == pytest.approx(1000.0 * fit.estimate + 7.0, rel=SOLVER)
    assert moved.se == pytest.approx(1000.0 * fit.se, rel=SOLVER)
    assert pytest.approx(fit.I2, rel=SOLVER) == moved.I2


@pytest.mark.parametrize("method", [*RANDOM, "FE"])
def test_order_of_the_estimates_does_not_matter(method):
    effects = bcg()
    order = np.random.default_rng(8).permutation(13)
    shuffled = effects_of(effects.y[order], effects.se[order] ** 2)
    fit, again = rma(effects, method), rma(shuffled, method)
    assert again.tau2 == pytest.approx(fit.tau2, rel=SOLVER)
    assert again.loglik == pytest.approx(fit.loglik, rel=SOLVER)


def test_common_effect_weights_by_inverse_variance():
    effects = bcg()
    fit = rma(effects, "FE")
    w = effects.se**-2.0
    assert fit.estimate == pytest.approx(np.average(effects.y, weights=w), rel=1e-12)
    assert fit.se == pytest.approx(w.sum() ** -0.5, rel=1e-12)
    assert fit.tau2 == 0.0
    assert math.isnan(fit.se_tau2)
    assert math.isnan(fit.prediction.lower)
    assert pytest.approx(norm.logpdf(effects.y, fit.estimate, effects.se).sum()) == (
        fit.loglik
    )
    assert pytest.approx(152.233 / 12, rel=1e-5) == fit.H2


def test_ee_is_another_name_of_fe():
    fe, ee = rma(bcg(), "FE"), rma(bcg(), "EE")
    assert (fe.estimate, fe.se, fe.AIC) == (ee.estimate, ee.se, ee.AIC)


def test_moment_estimators_report_the_full_log_likelihood():
    effects = bcg()
    fit = rma(effects, "DL")
    sd = np.sqrt(effects.se**2 + fit.tau2)
    expected = norm.logpdf(effects.y, fit.estimate, sd).sum()
    assert fit.loglik == pytest.approx(expected, rel=1e-12)


def test_criteria_count_one_observation_less_for_reml():
    reml, ml, fe = (rma(bcg(), method) for method in ("REML", "ML", "FE"))
    assert pytest.approx(-2 * reml.loglik + 4) == reml.AIC
    assert pytest.approx(-2 * reml.loglik + 2 * math.log(12)) == reml.BIC
    assert pytest.approx(-2 * reml.loglik + 2 * 2 * 12 / (12 - 3)) == reml.AICc
    assert pytest.approx(-2 * ml.loglik + 2 * math.log(13)) == ml.BIC
    assert pytest.approx(-2 * fe.loglik + 2) == fe.AIC


def test_homogeneous_estimates_have_no_heterogeneity():
    effects = effects_of([0.1, 0.12, 0.09, 0.11], np.full(4, 0.04))
    for method in ("REML", "ML", "DL", "HE", "PM", "EB"):
        fit = rma(effects, method)
        assert (fit.tau2, fit.I2, fit.H2) == (0.0, 0.0, 1.0)
    fit = rma(effects)
    assert fit.tau2_interval()["tau2"] == (0.0, 0.0)
    assert fit.tau2_interval("PL")["tau2"].lower == 0.0
    assert fit.tau2_interval("PL")["tau2"].upper > 0.0


def test_equal_estimates_are_fitted():
    effects = effects_of(np.full(4, 0.3), [0.1, 0.2, 0.3, 0.4])
    assert [rma(effects, method).tau2 for method in RANDOM] == [0.0] * len(RANDOM)
    assert math.isnan(rma(effects, test="knha").statistic)


def test_q_profile_ends_are_the_chi2_quantiles_of_q():
    effects = schools()
    interval = rma(effects).tau2_interval()["tau2"]
    q = [cochran_q(effects.y, effects.se**2, tau2) for tau2 in interval]
    np.testing.assert_allclose(q, chi2.isf([0.025, 0.975], 55), rtol=SOLVER)


def test_q_profile_of_the_schools_is_metafors_to_its_solver_tolerance():
    # metafor solves with R's uniroot at tolerance eps^(1/4) = 1.2e-4 and prints
    # 0.056447 to 0.138808, whose first end has Q 0.02 off the quantile
    interval = rma(schools()).tau2_interval()["tau2"]
    assert interval == pytest.approx((0.056447, 0.138808), abs=2.0**-14)


def test_bcg_q_profile_is_metafors_to_its_solver_tolerance():
    intervals = rma(bcg(), "DL").tau2_interval()
    assert intervals["tau2"] == pytest.approx((0.1197, 1.1115), abs=1e-4)
    # 1.2e-4 of tau² is 0.02 of I² (per cent) and 0.005 of H² at the lower end
    assert intervals["I2"] == pytest.approx((81.9177, 97.6781), abs=0.02)
    assert intervals["H2"] == pytest.approx((5.5303, 43.0680), abs=5e-3)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_profile_ends_drop_the_deviance_by_the_chi2_quantile(method):
    fit = rma(schools(), method)
    interval = fit.tau2_interval("PL", level=0.9)["tau2"]
    for tau2 in interval:
        value, _ = fit._likelihood.evaluate(tau2, 0.0, reml=method == "REML")
        assert 2 * (fit.loglik - value) == pytest.approx(chi2.ppf(0.9, 1), rel=SOLVER)


def test_interval_of_tau_i2_and_h2_are_those_of_tau2_transformed():
    fit = rma(bcg())
    frame = fit.tau2_interval().to_frame()
    np.testing.assert_allclose(frame.loc["tau"] ** 2, frame.loc["tau2"], rtol=1e-12)
    np.testing.assert_allclose(
        frame.loc["I2"], 100 * (1 - 1 / frame.loc["H2"]), rtol=1e-12
    )
    assert frame.loc["I2", "estimate"] == pytest.approx(fit.I2)


def test_level_and_test_set_the_quantile_of_both_intervals():
    z, knha = rma(bcg(), level=0.8), rma(bcg(), level=0.8, test="knha")
    for fit, quantile in ((z, norm.ppf(0.9)), (knha, t.ppf(0.9, 12))):
        assert fit.ci.upper == pytest.approx(fit.estimate + quantile * fit.se)
        spread = math.sqrt(fit.se**2 + fit.tau2)
        assert fit.prediction.lower == pytest.approx(fit.estimate - quantile * spread)


def test_one_estimate_allows_only_the_common_effect():
    one = effects_of([0.5], [0.04])
    fit = rma(one, "FE")
    assert (fit.estimate, fit.se, fit.Q_p, fit.I2) == (
        0.5,
        pytest.approx(0.2),
        1.0,
        0.0,
    )
    with pytest.raises(DataError, match="at least two estimates; got one"):
        rma(one)
    with pytest.raises(DataError, match="Use method='FE' with test='z'"):
        rma(one, "FE", test="knha")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "reml"}, "method: expected one of REML, .*; got 'reml'"),
        ({"test": "t"}, "test: expected 'z' or 'knha'; got 't'"),
        ({"level": 95}, "level: expected a number between 0 and 1; got 95"),
        ({"level": math.nan}, "level: expected a number between 0 and 1; got nan"),
    ],
)
def test_unknown_options_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        rma(bcg(), **arguments)


def test_intervals_that_do_not_exist_are_refused():
    with pytest.raises(DataError, match="expected a random-effects model; got 'FE'"):
        rma(bcg(), "FE").tau2_interval()
    with pytest.raises(DataError, match="got 'PL' with tau2 by DL"):
        rma(bcg(), "DL").tau2_interval("PL")
    with pytest.raises(DataError, match="got 'exact' with tau2 by REML"):
        rma(bcg()).tau2_interval("exact")
