import dataclasses
import math

import numpy as np
import pytest
from frequentist_counts import (
    NAMES,
    bcg,
    catheter_days,
    catheters,
    printed,
    smokers,
    spermicides,
    swapped,
    tolbutamide,
)
from scipy.stats import fisher_exact, hypergeom

import pyrobma as rb
from pyrobma.effects import log_odds_ratio
from pyrobma.errors import DataError

# arithmetic of numbers of the size of 1
ROUNDING = 1e-12

DAYS = {"x1": "x1", "t1": "t1", "x2": "x2", "t2": "t2"}

# metafor, rma.mh of dat.bcg: its tests against metan of Stata, and its manual
BCG = [
    ("OR", "estimate", "-0.4734"),
    ("OR", "ci_lower", "-0.5538"),
    ("OR", "ci_upper", "-0.3930"),
    ("OR", "statistic", "-11.5444"),
    ("OR", "Q", "163.9426"),
    ("RR", "estimate", "-0.4537"),
    ("RR", "ci_lower", "-0.5308"),
    ("RR", "ci_upper", "-0.3766"),
    ("RR", "statistic", "-11.5338"),
    ("RR", "Q", "152.5676"),
    ("RD", "estimate", "-0.0033"),
    ("RD", "ci_lower", "-0.0039"),
    ("RD", "ci_upper", "-0.0027"),
    ("RD", "statistic", "-11.4708"),
    ("RD", "Q", "386.7759"),
]


@pytest.mark.parametrize(("measure", "name", "text"), BCG)
def test_mantel_haenszel_of_the_bcg_trials_reproduces_metafor(measure, name, text):
    fit = rb.rma_mh(bcg(), **NAMES, measure=measure)
    assert fit.Q_df == 12
    assert printed(fit.to_frame()[name].item(), text)


@pytest.mark.parametrize(
    ("measure", "texts"),
    [("OR", ("0.6229", "0.5748", "0.6750")), ("RR", ("0.6353", "0.5881", "0.6862"))],
)
def test_ratios_of_the_bcg_trials_are_metafors(measure, texts):
    ratio = rb.rma_mh(bcg(), **NAMES, measure=measure).ratio()
    values = (ratio.estimate, *ratio.ci)
    assert all(printed(*pair) for pair in zip(values, texts, strict=True))


# metafor's tests of Rothman et al. (2008), chapter 15; intervals of 90 %
ROTHMAN = [
    (tolbutamide, "RD", "estimate", "0.0349"),
    (tolbutamide, "RD", "ci_lower", "-0.0176"),
    (tolbutamide, "RD", "ci_upper", "0.0874"),
    (tolbutamide, "RD", "Q", "0.0017"),
    (tolbutamide, "RD", "Q_p", "0.9669"),
    (tolbutamide, "RR", "estimate", "0.2818"),
    (tolbutamide, "RR", "ci_lower", "-0.1442"),
    (tolbutamide, "RR", "ci_upper", "0.7078"),
    (tolbutamide, "RR", "Q", "0.4472"),
    (tolbutamide, "RR", "Q_p", "0.5037"),
    (tolbutamide, "OR", "estimate", "0.3387"),
    (tolbutamide, "OR", "ci_lower", "-0.1731"),
    (tolbutamide, "OR", "ci_upper", "0.8505"),
    (tolbutamide, "OR", "Q", "0.3474"),
    (tolbutamide, "OR", "CMH", "1.1914"),
    (tolbutamide, "OR", "CMH_p", "0.2750"),
    (tolbutamide, "OR", "tarone", "0.3489"),
    (tolbutamide, "OR", "tarone_p", "0.5547"),
    (spermicides, "OR", "estimate", "1.3300"),
    (spermicides, "OR", "ci_lower", "0.3579"),
    (spermicides, "OR", "ci_upper", "2.3021"),
    (spermicides, "OR", "Q", "0.1378"),
    (spermicides, "OR", "Q_p", "0.7105"),
    (spermicides, "OR", "CMH", "5.8092"),
    (spermicides, "OR", "CMH_p", "0.0159"),
    (spermicides, "OR", "tarone", "0.1391"),
    (spermicides, "OR", "tarone_p", "0.7092"),
    (smokers, "IRD", "estimate", "11.4392"),
    (smokers, "IRD", "ci_lower", "6.3498"),
    (smokers, "IRD", "ci_upper", "16.5286"),
    (smokers, "IRD", "Q", "26.8758"),
    (smokers, "IRR", "estimate", "0.3539"),
    (smokers, "IRR", "ci_lower", "0.1776"),
    (smokers, "IRR", "ci_upper", "0.5303"),
    (smokers, "IRR", "Q", "10.4117"),
    (smokers, "IRR", "Q_p", "0.0340"),
    (smokers, "IRR", "CMH", "11.0162"),
    (smokers, "IRR", "CMH_p", "0.0009"),
]


@pytest.mark.parametrize(("data", "measure", "name", "text"), ROTHMAN)
def test_mantel_haenszel_reproduces_the_examples_of_rothman(data, measure, name, text):
    fit = rb.rma_mh(**data(), measure=measure, level=0.9, correct=False)
    assert printed(fit.to_frame()[name].item(), text)


def test_the_test_of_rates_has_metafors_continuity_correction():
    fit = rb.rma_mh(**smokers(), measure="IRR")
    assert printed(fit.CMH, "10.7021")
    assert printed(fit.CMH_p, "0.0011")


# suicides in trials of antidepressants, as printed by metafor for Kaminski (2019):
# seven arms with no events, six trials with none in either arm
SUICIDES = {
    "x1": [2, 5, 3, 9, 8, 1, 8, 0, 0, 1, 0, 0, 0, 0],
    "n1": [2053, 2963, 2181, 3496, 2425, 705, 4168, 715, 2314, 2667, 202, 2177, 2655,
           3060],
    "x2": [0, 2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    "n2": [786, 554, 451, 875, 494, 285, 691, 592, 723, 803, 204, 997, 1004, 1621],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [("estimate", "0.6828"), ("se", "0.5211"), ("statistic", "1.3103"),
     ("p", "0.1901"), ("CMH", "1.8312"), ("tarone", "7.5084"), ("tarone_p", "0.3779")],
)  # fmt: skip
def test_empty_cells_stay_as_they_are_as_in_metafor(name, text):
    fit = rb.rma_mh(**SUICIDES, correct=False)
    assert (fit.k, fit.k_silent, fit.tarone_df) == (14, 6, 7)
    assert printed(getattr(fit, name), text)


# metafor, rma.peto of dat.bcg: tests against metan, confint, leave1out
@pytest.mark.parametrize(
    ("name", "text"),
    [("estimate", "-0.474"), ("ci_lower", "-0.554"), ("ci_upper", "-0.395"),
     ("statistic", "-11.67"), ("Q", "167.73")],
)  # fmt: skip
def test_peto_of_the_bcg_trials_reproduces_metafor(name, text):
    assert printed(rb.rma_peto(bcg(), **NAMES).to_frame()[name].item(), text)


def test_peto_of_all_trials_but_the_first_reproduces_metafor():
    fit = rb.rma_peto(bcg().iloc[1:], **NAMES)
    values = fit.estimate, fit.se, fit.statistic
    for value, text in zip(values, ("-0.4722", "0.0408", "-11.5791"), strict=True):
        assert printed(value, text)


def test_the_odds_ratio_of_peto_is_metafors():
    ratio = rb.rma_peto(bcg(), **NAMES).ratio()
    for value, text in zip(
        (ratio.estimate, *ratio.ci), ("0.6222", "0.5746", "0.6738"), strict=True
    ):
        assert printed(value, text)


def test_one_table_gives_its_own_effects():
    one = {"x1": [7], "n1": [50], "x2": [3], "n2": [40]}
    frame = log_odds_ratio(a=[7], b=[43], c=[3], d=[37])
    fit = rb.rma_mh(**one)
    assert fit.estimate == pytest.approx(frame.yi[0], abs=ROUNDING)
    assert fit.se**2 == pytest.approx(frame.vi[0], abs=ROUNDING)
    assert fit.ratio().estimate == pytest.approx(
        fisher_exact([[7, 43], [3, 37]]).statistic
    )
    rr = rb.rma_mh(**one, measure="RR")
    assert rr.estimate == pytest.approx(math.log(7 / 50 / (3 / 40)), abs=ROUNDING)
    assert rr.se**2 == pytest.approx(1 / 7 - 1 / 50 + 1 / 3 - 1 / 40, abs=ROUNDING)
    rd = rb.rma_mh(**one, measure="RD")
    assert rd.estimate == pytest.approx(7 / 50 - 3 / 40, abs=ROUNDING)
    times = {"x1": [7], "t1": [50.0], "x2": [3], "t2": [40.0]}
    irr = rb.rma_mh(**times, measure="IRR")
    assert irr.estimate == pytest.approx(rr.estimate, abs=ROUNDING)
    assert irr.se**2 == pytest.approx(1 / 7 + 1 / 3, abs=ROUNDING)
    ird = rb.rma_mh(**times, measure="IRD")
    assert ird.se**2 == pytest.approx(7 / 50**2 + 3 / 40**2, abs=ROUNDING)
    assert (fit.Q, fit.Q_p, math.isnan(fit.tarone_p)) == (0.0, 1.0, True)


def test_peto_of_one_table_is_its_distance_from_the_hypergeometric_mean():
    fit = rb.rma_peto(x1=[7], n1=[50], x2=[3], n2=[40])
    null = hypergeom(90, 10, 50)
    assert fit.estimate == pytest.approx((7 - null.mean()) / null.var())
    assert fit.se == pytest.approx(null.var() ** -0.5)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "IRR", "IRD"])
def test_arms_swapped_flip_the_sign_and_nothing_else(measure):
    data = smokers() if measure.startswith("I") else SUICIDES
    one = rb.rma_mh(**data, measure=measure)
    two = rb.rma_mh(**swapped(data), measure=measure)
    assert two.estimate == pytest.approx(-one.estimate, abs=ROUNDING)
    assert two.ci.lower == pytest.approx(-one.ci.upper, abs=ROUNDING)
    for name in ("se", "p", "Q", "CMH", "tarone"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), nan_ok=True)


def test_events_swapped_with_others_flip_odds_ratios_and_risk_differences():
    data = bcg()
    other = {**NAMES, "x1": data.n1 - data.x1, "x2": data.n2 - data.x2}
    for fit in (
        rb.rma_peto,
        lambda *a, **k: rb.rma_mh(*a, **k, measure="OR"),
        lambda *a, **k: rb.rma_mh(*a, **k, measure="RD"),
    ):
        one, two = fit(data, **NAMES), fit(data, **other)
        assert two.estimate == pytest.approx(-one.estimate, abs=ROUNDING)
        assert two.se == pytest.approx(one.se)
        assert pytest.approx(one.Q) == two.Q


def test_weights_average_the_studies_to_the_estimate():
    data = bcg()
    r1, r2 = data.x1 / data.n1, data.x2 / data.n2
    effects = {"OR": r1 / (1 - r1) / (r2 / (1 - r2)), "RR": r1 / r2, "RD": r1 - r2}
    for measure, values in effects.items():
        fit = rb.rma_mh(data, **NAMES, measure=measure)
        assert fit.weights.sum() == pytest.approx(100.0)
        mean = fit.weights @ values / 100.0
        pooled = fit.estimate if measure == "RD" else fit.ratio().estimate
        assert pooled == pytest.approx(mean)
    days = catheter_days()
    rates = days.x1 / days.t1, days.x2 / days.t2
    for measure, values in {
        "IRR": rates[0] / rates[1],
        "IRD": rates[0] - rates[1],
    }.items():
        fit = rb.rma_mh(days, **DAYS, measure=measure)
        pooled = fit.estimate if measure == "IRD" else fit.ratio().estimate
        assert pooled == pytest.approx(fit.weights @ values / 100.0)


def test_trials_without_events_change_no_ratio_but_a_difference():
    silent = catheters()
    told = silent[silent.x1 + silent.x2 > 0]
    for fit in (rb.rma_mh, rb.rma_peto):
        one, two = fit(silent, **NAMES), fit(told, **NAMES)
        assert (one.k, one.k_silent, two.k, two.k_silent) == (18, 1, 17, 0)
        for name in ("estimate", "se", "Q", "Q_df"):
            assert getattr(one, name) == pytest.approx(getattr(two, name))
        assert one.weights[14] == 0.0
    one, two = (rb.rma_mh(x, **NAMES, measure="RD") for x in (silent, told))
    assert abs(one.estimate) < abs(two.estimate)
    assert one.weights[14] > 0.0


def test_tarones_test_of_equal_odds_ratios_finds_nothing():
    # two tables with the same odds ratio of 4, cell by cell
    fit = rb.rma_mh(x1=[20, 40], n1=[30, 50], x2=[10, 10], n2=[30, 20])
    assert fit.ratio().estimate == pytest.approx(4.0)
    assert fit.tarone == pytest.approx(0.0, abs=1e-9)
    # as R documents for odds ratios of 1: the expected numbers are linear then
    flat = rb.rma_mh(x1=[5, 8], n1=[10, 16], x2=[10, 5], n2=[20, 10])
    assert flat.estimate == pytest.approx(0.0, abs=ROUNDING)
    assert flat.tarone == pytest.approx(0.0, abs=1e-9)


def test_the_continuity_correction_never_overshoots():
    data = {"x1": [5, 8], "n1": [10, 16], "x2": [10, 5], "n2": [20, 10]}
    assert rb.rma_mh(**data).CMH == rb.rma_mh(**data, correct=False).CMH == 0.0


# but for the line of Q, with the numbers that metafor printed
SUICIDES_TEXT = """\
Common-effect model (Mantel-Haenszel method), 14 studies, log odds ratio

       estimate      se       z       p  95 % lower  95 % upper
theta    0.6828  0.5211  1.3103  0.1901     -0.3386      1.7042

@
CMH test of no effect: X²(1) = 1.8312, p 0.1760
Tarone's test of heterogeneity: X²(7) = 7.5084, p 0.3779
6 studies have no events in either group, or nothing but events"""


def test_fits_print_as_tables_and_are_frozen():
    fit = rb.rma_mh(**SUICIDES, correct=False)
    before, after = SUICIDES_TEXT.split("@")
    assert str(fit).startswith(before)
    assert str(fit).endswith(after)
    assert "\nQ(7) = " in str(fit)
    ratio = str(fit.ratio()).splitlines()[1]
    assert ratio.split() == ["odds", "ratio", "1.9794", "0.7128", "5.4968"]
    assert "Peto's method" in str(rb.rma_peto(catheters(), **NAMES))
    assert "tarone" not in str(rb.rma_mh(bcg(), **NAMES, measure="RD")).lower()
    rates = str(rb.rma_mh(**smokers(), measure="IRR"))
    assert "Mantel-Haenszel test of no effect" in rates
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit.estimate = 0.0


def test_a_difference_has_no_ratio():
    fit = rb.rma_mh(bcg(), **NAMES, measure="RD")
    with pytest.raises(
        DataError, match=r'^measure: expected a ratio; got "RD", a risk '
    ):
        fit.ratio()


GOOD = {"x1": [1, 2], "n1": [3, 4], "x2": [1, 1], "n2": [4, 4]}
TIMES = {"x1": [1, 2], "t1": [3.0, 4.0], "x2": [1, 1], "t2": [4.0, 4.0]}


@pytest.mark.parametrize("function", [rb.rma_mh, rb.rma_peto, rb.rma_glmm])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"x1": [1, 2.5]}, r"^x1: expected whole .* got 2\.5 at row 1\. Correct "),
        ({"x2": [-1, 1]}, r"^x2: expected whole numbers of at least 0; got -1\.0 "),
        ({"x1": [1, None]}, r"^x1: .* got nan at row 1\. Correct the value or drop "),
        ({"n1": [3, 0]}, r"^n1: expected whole numbers of at least 1; got 0\.0 "),
        ({"x1": [1, 5]}, r"^x1: expected no more events than n1 has members; got 5 "),
        ({"x2": [5, 1]}, r"^x2: .* got 5 events of 4 at row 0\. If n2 has those "),
        ({"n2": None}, r"^n2: expected a column name or one value per study, the "),
        ({"x1": "cases"}, r"^x1: expected numbers, since no data was given"),
        ({"x1": [1]}, r"^x2: expected 1 values, as many as x1 has; got 2"),
        ({"level": 95}, r"^level: expected a number between 0 and 1"),
    ],
)  # fmt: skip
def test_events_that_cannot_be_are_refused_with_their_row(function, bad, message):
    with pytest.raises(DataError, match=message):
        function(**{**GOOD, **bad})


@pytest.mark.parametrize("function", [rb.rma_mh, rb.rma_glmm])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"t1": [3.0, 0.0]}, r"^t1: expected positive finite person-time; got 0\.0"),
        ({"t2": [np.inf, 1.0]}, r"^t2: expected positive finite person-time; got inf"),
        ({"t2": None}, r"^t2: expected a column name or one value per study, the "),
        ({"n1": [3, 4]}, r'^n1: expected None for measure "IRR", which needs '),
        ({"measure": "OR"}, r'^t1: expected None for measure "OR", which needs '),
        ({"measure": "HR"}, r"^measure: expected one of .*; got 'HR'"),
    ],
)  # fmt: skip
def test_person_time_that_cannot_be_is_refused(function, bad, message):
    with pytest.raises(DataError, match=message):
        function(**{**TIMES, "measure": "IRR", **bad})


@pytest.mark.parametrize(
    ("x1", "x2", "measure", "message"),
    [
        ([0, 0], [1, 2], "OR", r"got 0, since no study has an event in group 1 and no"),
        ([1, 2], [0, 0], "OR", r"got infinity, since no study has an event in group 2"),
        ([0, 0], [0, 0], "OR", r"got 0 / 0, since no study has an event in group 1"),
        ([0, 0], [1, 2], "RR", r"got 0, since group 1 has no event in any study\. Use"),
        ([1, 2], [0, 0], "RR", r"got infinity, since group 2 has no event in any stud"),
    ],
)
def test_a_ratio_that_is_not_finite_is_refused(x1, x2, measure, message):
    with pytest.raises(DataError, match=message + r'.*measure="RD"'):
        rb.rma_mh(x1=x1, n1=[5, 5], x2=x2, n2=[5, 5], measure=measure)


def test_no_events_at_all_have_a_difference_of_zero_and_no_test():
    fit = rb.rma_mh(x1=[0, 0], n1=[5, 5], x2=[0, 0], n2=[5, 5], measure="RD")
    assert (fit.estimate, fit.se) == (0.0, 0.0)
    assert math.isnan(fit.p)
    with pytest.raises(
        DataError, match=r"expected a study with events and with member"
    ):
        rb.rma_peto(x1=[0, 0], n1=[5, 5], x2=[0, 0], n2=[5, 5])


def test_arguments_of_metafor_are_answered_with_the_names_here():
    with pytest.raises(rb.ArgumentError) as caught:
        rb.rma_mh({"x": [1]}, ai="x", bi="x", n2i="x", add=0.5)
    message = str(caught.value)
    for words in (
        "For ai=, write x1=, the events in group 1.",
        "For bi=, write n1=, members of group 1 with and without event.",
        "For n2i=, write n2=",
        "For add=, leave it out: nothing is added to empty cells.",
    ):
        assert words in message
