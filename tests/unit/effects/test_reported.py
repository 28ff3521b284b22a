"""What papers report, as estimates: against published figures and simulated data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pyrobma.effects import correlation_z, effect_sizes, smd, smd_one_sample, smd_paired
from pyrobma.errors import DataError

PRINTED = 5.1e-5  # four decimals were printed
EXACT = 1e-12  # two orders of the same floating-point operations
QUANTILE = 1e-9  # a quantile of the p-value of a statistic

# Borenstein, Hedges, Higgins, Rothstein (2009), Introduction to Meta-Analysis, ch. 4.
GROUPS = {"mean1": 103, "sd1": 5.5, "n1": 50, "mean2": 100, "sd2": 4.5, "n2": 50}
PAIRED_T = 3.0 / (5.5 / np.sqrt(50))

# Morris (2008), Organizational Research Methods 11(2), Table 1: five treated groups
# before and after, with what metafor prints for them.
MORRIS = pd.DataFrame(
    {
        "before": [30.6, 23.5, 0.5, 53.4, 35.6],
        "after": [38.5, 26.8, 0.7, 75.9, 36.0],
        "sd_before": [15.0, 3.1, 0.1, 14.5, 4.7],
        "sd_after": [11.6, 4.1, 0.1, 4.4, 4.6],
        "n": [20, 50, 9, 10, 14],
        "r": [0.47, 0.64, 0.77, 0.89, 0.44],
    }
)
CHANGE = {"mean1": "after", "mean2": "before", "n": "n", "correlation": "r"}


def raw(seed=1, n=24, r=0.6):
    """Two correlated measurements of n people."""
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal([0.7, 0.1], [[1.4, r], [r, 0.9]], size=n).T


# ---- two groups --------------------------------------------------------------------
def test_two_groups_equal_the_textbook():
    made = smd(**GROUPS, correct=False)
    assert made["yi"][0] == pytest.approx(0.5970, abs=PRINTED)
    assert made["vi"][0] == pytest.approx(0.0418, abs=PRINTED)
    # It corrects by 1 − 3 / (4 m − 1), which differs in the sixth decimal.
    assert smd(**GROUPS)["yi"][0] == pytest.approx(0.5924, abs=PRINTED)


def test_every_report_of_a_t_test_gives_the_same_estimate():
    x, y = raw()
    y = y[:17]
    test = stats.ttest_ind(x, y)
    one_sided = stats.ttest_ind(x, y, alternative="greater").pvalue
    sizes = {"n1": [len(x)], "n2": [len(y)]}
    means = {
        "mean1": [x.mean()], "sd1": [x.std(ddof=1)],
        "mean2": [y.mean()], "sd2": [y.std(ddof=1)],
    }  # fmt: skip
    expected = smd(**means, **sizes)
    for report in (
        {"t": [test.statistic]},
        {"F": [test.statistic**2], "sign": 1},
        {"F": [stats.f_oneway(x, y).statistic], "sign": [3.2]},
        {"p": [test.pvalue], "sign": 1},
        {"p": [one_sided], "sides": 1, "sign": 1},
    ):
        made = smd(**report, **sizes)
        np.testing.assert_allclose(made, expected, rtol=QUANTILE)


def test_a_one_sided_p_value_above_one_half_is_against_the_tested_direction():
    x, y = raw()
    p = stats.ttest_ind(x, y, alternative="less").pvalue
    assert p > 0.5
    made = smd(p=[p], sides=1, sign=-1, n1=[24], n2=[24])
    t = stats.ttest_ind(x, y).statistic
    assert made["yi"][0] > 0
    np.testing.assert_allclose(made, smd(t=[t], n=[48]), rtol=QUANTILE)


def test_a_total_size_stands_for_groups_of_equal_size():
    assert smd(t=[2.1], n=[60]).equals(smd(t=[2.1], n1=[30], n2=[30]))
    d = smd(t=[2.1], n=[61], correct=False)["yi"][0]
    assert d == pytest.approx(2 * 2.1 / np.sqrt(61), rel=EXACT)


def test_d_to_t_and_back():
    d, n1, n2 = np.array([-0.8, 0.0, 0.3, 2.5]), 12, 31
    t = d / np.sqrt(1 / n1 + 1 / n2)
    made = smd(t=t, n1=[n1] * 4, n2=[n2] * 4, correct=False)
    np.testing.assert_allclose(made["yi"], d, rtol=EXACT)


def test_rows_use_the_first_report_that_they_have_in_full():
    nan = np.nan
    table = pd.DataFrame(
        {
            "m1": [1.0, 1.0, nan, nan], "s1": [2.0, nan, nan, nan],
            "m2": [0.5] * 4, "s2": [2.0] * 4, "t": [9.0, 2.0, nan, nan],
            "F": [nan, nan, 4.0, nan], "p": [0.5, 0.5, 0.5, 0.04],
            "sign": [nan, nan, -1.0, 1.0], "a": [20] * 4, "b": [30] * 4,
        },
        index=[*"wxyz"],
    )  # fmt: skip
    made = smd(
        table, mean1="m1", sd1="s1", mean2="m2", sd2="s2", n1="a", n2="b",
        t="t", F="F", p="p", sign="sign",
    )  # fmt: skip
    sizes = {"n1": [20], "n2": [30]}
    expected = [
        smd(mean1=[1.0], sd1=[2.0], mean2=[0.5], sd2=[2.0], **sizes),
        smd(t=[2.0], **sizes),
        smd(t=[-2.0], **sizes),
        smd(p=[0.04], sign=1, **sizes),
    ]
    np.testing.assert_allclose(made, pd.concat(expected), rtol=EXACT)
    assert made.index.tolist() == [*"wxyz"]


# ---- one sample --------------------------------------------------------------------
def test_every_report_of_a_one_sample_test_gives_the_same_estimate():
    x = raw()[0]
    test = stats.ttest_1samp(x, 0.25)
    expected = (x.mean() - 0.25) / x.std(ddof=1)
    for report in (
        {"mean": [x.mean()], "sd": [x.std(ddof=1)], "test_value": 0.25},
        {"t": [test.statistic]},
        {"p": [test.pvalue], "sign": 1},
    ):
        made = smd_one_sample(**report, n=[24], correct=False)
        assert made["yi"][0] == pytest.approx(expected, rel=QUANTILE)
        assert made["vi"][0] == pytest.approx(1 / 24 + expected**2 / 48, rel=QUANTILE)


# ---- pairs -------------------------------------------------------------------------
def test_pairs_equal_the_textbook():
    pairs = {"t": [PAIRED_T], "n": [50], "correlation": 0.7}
    assert smd_paired(**pairs, correct=False)["yi"][0] == pytest.approx(
        0.4225, abs=PRINTED
    )
    assert smd_paired(**pairs)["yi"][0] == pytest.approx(0.4160, abs=PRINTED)
    # At a correlation of 1/2 its variance, 2 (1 − r) (1/n + d² / (2n)), is this one.
    pairs["correlation"] = 0.5
    made = smd_paired(**pairs, correct=False)
    expected = 1 / 50 + made["yi"] ** 2 / 100
    np.testing.assert_allclose(made["vi"], expected, rtol=EXACT)


def test_standardised_changes_equal_metafor():
    made = smd_paired(
        MORRIS, sd1="sd_after", sd2="sd_before", standardizer="difference", **CHANGE
    )
    yi, vi = (
        [0.5417, 1.0198, 2.6619, 1.9088, 0.0765],
        [0.0573, 0.0304, 0.5048, 0.2822, 0.0716],
    )
    np.testing.assert_allclose(made["yi"], yi, atol=PRINTED, rtol=0)
    np.testing.assert_allclose(made["vi"], vi, atol=PRINTED, rtol=0)


def test_changes_in_units_of_the_first_measurement_equal_metafor():
    # Its variances are those of equal standard deviations.
    made = smd_paired(
        MORRIS, sd1="sd_before", sd2="sd_before", standardizer="sd2", **CHANGE
    )
    yi, vi = (
        [0.5056, 1.0481, 1.8054, 1.4181, 0.0801],
        [0.0594, 0.0254, 0.2322, 0.1225, 0.0802],
    )
    np.testing.assert_allclose(made["yi"], yi, atol=PRINTED, rtol=0)
    np.testing.assert_allclose(made["vi"], vi, atol=PRINTED, rtol=0)
    own = smd_paired(
        MORRIS, sd1="sd_after", sd2="sd_before", standardizer="sd2", **CHANGE
    )
    np.testing.assert_allclose(own["yi"], yi, atol=PRINTED, rtol=0)


def test_the_sign_of_a_p_value_of_pairs_is_that_of_the_estimate_as_in_metafor():
    made = smd_paired(p=[0.018], sign=-1, n=[50], standardizer="difference")
    assert made["yi"][0] == pytest.approx(-0.3408, abs=PRINTED)


def test_every_report_of_a_paired_test_gives_the_same_estimate():
    x, y = raw()
    sds = {"sd1": [x.std(ddof=1)], "sd2": [y.std(ddof=1)]}
    means = {"mean1": [x.mean()], "mean2": [y.mean()], **sds, "n": [len(x)]}
    test, r = stats.ttest_rel(x, y), np.corrcoef(x, y)[0, 1]
    full = smd_paired(**means, correlation=r, correct=False)
    pooled = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    assert full["yi"][0] == pytest.approx((x.mean() - y.mean()) / pooled, rel=EXACT)
    for report in ({"t": [test.statistic]}, {"F": [test.statistic**2]}):
        made = smd_paired(**means, **report, correct=False)  # they imply r
        np.testing.assert_allclose(made, full, rtol=QUANTILE)
    d_z = (x - y).mean() / (x - y).std(ddof=1)
    for report in (
        {**means, "correlation": [r]},
        {"t": [test.statistic], "n": [24]},
        {"p": [test.pvalue], "sign": 1, "n": [24]},
    ):
        made = smd_paired(**report, standardizer="difference", correct=False)
        assert made["yi"][0] == pytest.approx(d_z, rel=QUANTILE)
        assert made["vi"][0] == pytest.approx(1 / 24 + d_z**2 / 48, rel=QUANTILE)


def test_uncorrelated_pairs_are_two_groups():
    pairs = {"mean1": [1.2], "mean2": [0.4], "sd1": [1.5], "sd2": [1.5]}
    made = smd_paired(**pairs, n=[12], correlation=0)
    groups = smd(**pairs, n1=[12], n2=[12])
    np.testing.assert_allclose(made, groups, rtol=EXACT)


def test_a_raw_standardiser_of_a_test_is_any_of_them():
    pairs = {"t": [2.5], "n": [30], "correlation": 0.6}
    average = smd_paired(**pairs)
    for name in ("sd1", "sd2"):
        assert smd_paired(**pairs, standardizer=name).equals(average)


# ---- correlations ------------------------------------------------------------------
def test_every_report_of_a_correlation_gives_the_same_estimate():
    x, y = raw()
    test = stats.pearsonr(x, y)
    t = test.statistic * np.sqrt(22 / (1 - test.statistic**2))
    expected = np.arctanh(test.statistic)
    for report in (
        {"r": [test.statistic], "n": [24]},
        {"t": [t], "n": [24]},
        {"t": [t], "df": [22]},
        {"F": [t**2], "sign": 1, "n": [24]},
        {"p": [test.pvalue], "sign": 1, "n": [24]},
    ):
        made = correlation_z(**report)
        assert made["yi"][0] == pytest.approx(expected, rel=QUANTILE)
        assert made["vi"][0] == pytest.approx(1 / 21, rel=EXACT)


@pytest.mark.parametrize(("df", "r"), [(28, -0.3354), (24, -0.3610)])
def test_correlations_of_p_values_equal_metafor(df, r):
    # n = 30, without and with four other predictors.
    made = correlation_z(p=[0.07], sign=-1, df=[df])
    assert np.tanh(made["yi"][0]) == pytest.approx(r, abs=PRINTED)


def test_a_partial_correlation_equals_metafor():
    # Aloe, Thompson (2013): n = 218, four predictors.
    made = correlation_z(t=[4.61], df=[218 - 4 - 1])
    assert np.tanh(made["yi"][0]) == pytest.approx(0.3012, abs=PRINTED)
    assert made["yi"][0] == pytest.approx(0.3108, abs=PRINTED)
    assert made["vi"][0] == pytest.approx(0.0047, abs=PRINTED)


# ---- simulation --------------------------------------------------------------------
REPLICATIONS = 20_000
# Four standard errors of a simulated standard deviation, 4 / sqrt(2 * 20000) = 0.02,
# and 0.01 for what formulas of large samples miss at n = 60.
SPREAD = 0.03
# Four standard errors of a simulated mean of estimates with standard errors up to 0.3.
MEAN = 0.009


def check_simulated(made, expected):
    assert made["yi"].mean() == pytest.approx(expected, abs=MEAN)
    spread = made["yi"].std()
    assert np.sqrt(made["vi"].mean()) == pytest.approx(spread, rel=SPREAD)


@pytest.mark.parametrize("d", [0.0, 1.2])
def test_estimates_of_two_groups_spread_as_stated(d):
    rng = np.random.default_rng(11)
    n1, n2 = 40, 80
    z = rng.normal(d / np.sqrt(1 / n1 + 1 / n2), size=REPLICATIONS)
    t = z / np.sqrt(rng.chisquare(n1 + n2 - 2, REPLICATIONS) / (n1 + n2 - 2))
    sizes = {"n1": np.full(REPLICATIONS, n1), "n2": np.full(REPLICATIONS, n2)}
    check_simulated(smd(t=t, **sizes), d)


def test_estimates_of_one_sample_spread_as_stated():
    rng = np.random.default_rng(12)
    z = rng.normal(0.8 * np.sqrt(60), size=REPLICATIONS)
    t = z / np.sqrt(rng.chisquare(59, REPLICATIONS) / 59)
    check_simulated(smd_one_sample(t=t, n=np.full(REPLICATIONS, 60)), 0.8)


def simulated_pairs(rng, mean, sd1, sd2, r, n=60):
    """Means, standard deviations, correlation and t of many paired samples."""
    chol = np.linalg.cholesky([[sd1**2, r * sd1 * sd2], [r * sd1 * sd2, sd2**2]])
    means = (mean, 0) + rng.normal(size=(REPLICATIONS, 2)) @ chol.T / np.sqrt(n)
    bartlett = np.zeros((REPLICATIONS, 2, 2))
    bartlett[:, 0, 0] = np.sqrt(rng.chisquare(n - 1, REPLICATIONS))
    bartlett[:, 1, 1] = np.sqrt(rng.chisquare(n - 2, REPLICATIONS))
    bartlett[:, 1, 0] = rng.normal(size=REPLICATIONS)
    root = chol @ bartlett
    cov = root @ root.transpose(0, 2, 1) / (n - 1)
    v1, v2, v12 = cov[:, 0, 0], cov[:, 1, 1], cov[:, 0, 1]
    t = (means[:, 0] - means[:, 1]) / np.sqrt((v1 + v2 - 2 * v12) / n)
    known = {
        "mean1": means[:, 0], "mean2": means[:, 1], "sd1": np.sqrt(v1),
        "sd2": np.sqrt(v2), "n": np.full(REPLICATIONS, n),
    }  # fmt: skip
    return known, v12 / np.sqrt(v1 * v2), t


@pytest.mark.parametrize(("mean", "r"), [(0.5, 0.5), (1.2, 0.8), (1.2, 0.1)])
@pytest.mark.parametrize("sd1", [1.0, 1.6])
@pytest.mark.parametrize("standardizer", ["average", "sd1", "sd2", "difference"])
def test_estimates_of_pairs_spread_as_stated(mean, r, sd1, standardizer):
    known, correlation, _ = simulated_pairs(
        np.random.default_rng(13), mean, sd1, 1.0, r
    )
    divisor = {
        "average": np.sqrt((sd1**2 + 1) / 2),
        "sd1": sd1,
        "sd2": 1.0,
        "difference": np.sqrt(sd1**2 + 1 - 2 * r * sd1),
    }[standardizer]
    made = smd_paired(**known, correlation=correlation, standardizer=standardizer)
    check_simulated(made, mean / divisor)


@pytest.mark.parametrize(("mean", "r"), [(0.5, 0.5), (1.2, 0.8), (1.2, 0.1)])
def test_estimates_of_paired_tests_spread_as_stated(mean, r):
    known, _, t = simulated_pairs(np.random.default_rng(14), mean, 1.0, 1.0, r)
    check_simulated(smd_paired(t=t, n=known["n"], correlation=r), mean)


def test_fishers_z_of_tests_spreads_as_stated():
    rng = np.random.default_rng(15)
    _, correlation, _ = simulated_pairs(rng, 0.0, 1.0, 1.0, 0.5)
    t = correlation * np.sqrt(58 / (1 - correlation**2))
    made = correlation_z(t=t, n=np.full(REPLICATIONS, 60))
    check_simulated(made, np.arctanh(0.5) + 0.5 / (2 * 59))  # its known bias


# ---- on to the analysis ------------------------------------------------------------
def test_estimates_join_the_table_that_they_were_made_from():
    table = MORRIS.assign(study=[*"abcde"])
    made = smd_paired(table, sd1="sd_after", sd2="sd_before", **CHANGE)
    effects = effect_sizes(table.assign(**made), d="yi", v="vi", study_names="study")
    assert effects.names == tuple("abcde")
    np.testing.assert_allclose(effects.y, np.arcsinh(made["yi"] / 2), rtol=EXACT)


# ---- refusals ----------------------------------------------------------------------
T = {"t": [2.0, 1.0], "n": [20, 30]}
P = {"p": [0.02, 0.3], "n": [20, 30]}
NAN = np.nan


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (smd, {"n": [20]}, r"^mean1: expected means .*, t, F or p; got none of them"),
        (smd, {"t": [2]}, r"^n1: expected both group sizes, .* n; got None"),
        (smd, {"t": [2], "n1": [20]}, r"^n2: expected both group sizes"),
        (smd, {**T, "t": [2, NAN]}, r"^t: expected finite t; got nan at row 1"),
        (smd, {**T, "n": [20, 3]}, r"^n: .*at least 4; got 3\.0 at row 1"),
        (smd, {**T, "n": [20, 20.5]}, r"^n: expected whole .*got 20\.5 at row 1"),
        (smd, {"t": [2], "n1": [1], "n2": [9]}, r"^n1: .*at least 2; got 1\.0"),
        (smd, {**T, "p": [NAN, NAN], "t": [NAN, 1]}, r"^t, p: .* t or p in .*row 0"),
        (smd, {"mean1": [1], "n": [20]}, r"^sd1: .*got None"),
        (smd, {"F": [4], "n": [20]}, r"^sign: .*beside F.*Give 1 for positive"),
        (smd, {"F": [-4], "n": [20], "sign": 1}, r"^F: .*not negative; got -4\.0 at"),
        (smd, {**P, "sign": [1, 0]}, r"^sign: .*beside p, 1 or -1; got 0\.0 at row 1"),
        (smd, {**P, "sign": [NAN, 1]}, r"^sign: .*got nan at row 0"),
        (smd, {**P, "sign": True}, r"^sign: "),
        (smd, {**P, "sign": 1, "p": [0.1, 0]}, r"^p: .*above 0; got 0\.0 at row 1"),
        (smd, {**P, "sign": 1, "p": [0.1, 1.2]}, r"^p: .*up to 1; got 1\.2 at row 1"),
        (smd, {**P, "sign": 1, "p": [1, 0.1], "sides": 1}, r"^p: .*got 1\.0 at row 0"),
        (smd, {**P, "sign": 1, "sides": 3}, r"^sides: expected 1 or 2; got 3\.0"),
        (smd, {**P, "sign": 1, "p": [0.1, "<.001"]}, r"^p: .*'<\.001' at row 1"),
        (smd_one_sample, {"n": [9]}, r"^mean: expected means .*got none"),
        (smd_one_sample, {"n": [9], "mean": [1]}, r"^sd: .*got None"),
        (smd_one_sample, {"n": [2], "t": [1]}, r"^n: .*at least 3; got 2\.0"),
        (smd_one_sample, {"n": None, "t": [1]}, r"^n: .*got None"),
        (smd_one_sample, {"n": [9], "mean": [1], "sd": [0]}, r"^sd: expected positive"),
        (
            smd_one_sample,
            {"n": [9], "mean": [1], "sd": [1], "test_value": NAN},
            r"^test_value: expected finite",
        ),
        (smd_paired, {**T, "correlation": [0.5, 1]}, r"^correlation: .*1\.0 at row 1"),
        (smd_paired, {**T, "correlation": 0.5, "n": [2, 9]}, r"^n: .*at least 3"),
        (
            smd_paired,
            {**T, "correlation": 0.5, "standardizer": "pooled"},
            r'^standardizer: expected one of "average", .*got \'pooled\'',
        ),
        (
            smd_paired,
            {"mean1": [1], "sd1": [1], "mean2": [0], "sd2": [3], "t": [9], "n": [9]},
            r"^t: .* test that agrees with .*correlation of 1\.648 at row 0",
        ),
        (correlation_z, {"n": [20]}, r"^r: expected r, t, F or p; got none"),
        (correlation_z, {"t": [2]}, r"^n: expected sample sizes n, or degrees"),
        (correlation_z, {"t": [2], "df": [1]}, r"^df: .*above 1; got 1\.0 at row 0"),
        (correlation_z, {"t": [2], "n": [3]}, r"^n: .*at least 4; got 3\.0"),
    ],
)
def test_bad_reports_are_refused_with_argument_value_and_row(
    function, arguments, message
):
    with pytest.raises(DataError, match=message):
        function(**arguments)


@pytest.mark.parametrize("correlation", [None, [0.5, np.nan]])
def test_an_unknown_correlation_is_refused_with_what_to_do(correlation):
    with pytest.raises(
        DataError,
        match=r"^correlation: expected the correlation .*got none at row .*such as "
        r"correlation=0\.5, and check with others, such as 0\.3 and 0\.7",
    ):
        smd_paired(**T, correlation=correlation)
    # Differences need none.
    smd_paired(**T, standardizer="difference")
