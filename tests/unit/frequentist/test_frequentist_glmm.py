import dataclasses
import math

import numpy as np
import pytest
from frequentist_counts import (
    NAMES,
    bcg,
    catheter_days,
    catheters,
    conditional_binomial,
    dense,
    dense_baselines,
    hessian,
    hypergeometric,
    printed,
    smokers,
    spermicides,
    swapped,
    tolbutamide,
    two_binomials,
    two_poissons,
    ulcers,
)
from scipy.special import logsumexp
from scipy.stats import nchypergeom_fisher, norm

import pyrobma as rb
from pyrobma.counts.kernels import Hypergeometric
from pyrobma.effects.counts import read_groups
from pyrobma.errors import DataError
from pyrobma.frequentist.count_baseline import RandomBaseline
from pyrobma.frequentist.count_integral import marginal
from pyrobma.frequentist.count_model import CountModel

# the optimiser stops at a gradient of 1e-6, then takes Newton steps
SOLVER = 1e-6
# sums over some thousand points, and log factorials of numbers of the size of 1e5
DENSE = 1e-7
# second derivatives by differences of 1e-3, relative
DIFFERENCES = 1e-4

DAYS = {"x1": "x1", "t1": "t1", "x2": "x2", "t2": "t2", "measure": "IRR"}
MODELS = ("UM.FS", "UM.RS", "CM.EL", "CM.AL")


def groups_of(data, measure="OR"):
    sizes = {name: data.get(name) for name in ("n1", "n2", "t1", "t2")}
    return read_groups(
        None, x1=data["x1"], x2=data["x2"], **sizes, measure=measure,
        measures=("OR", "IRR"),
    )  # fmt: skip


def studies_of(data, size="n"):
    """Rows (x1, size1, x2, size2) of the studies with events."""
    columns = [list(data[name]) for name in ("x1", f"{size}1", "x2", f"{size}2")]
    rows = zip(*columns, strict=True)
    return [row for row in rows if row[0] + row[2] > 0]


# ---- printed numbers -------------------------------------------------------
# Stijnen et al. (2010), tables III and VIII, and metafor's tests of this analysis
STIJNEN = [
    ("CM.EL", "estimate", "-1.353"),
    ("CM.EL", "se", "0.351"),
    ("CM.EL", "tau", "0.83"),
    ("CM.AL", "estimate", "-1.303"),
    ("CM.AL", "se", "0.339"),
    ("CM.AL", "tau", "0.78"),
    # metafor's tests of rma.glmm(), of lme4's, nlminb's and optim's fits
    ("CM.EL", "estimate", "-1.353158"),
    ("CM.EL", "tau2", "0.6935"),
]


@pytest.mark.parametrize(("model", "name", "text"), STIJNEN)
def test_catheters_reproduce_stijnen_and_metafor(model, name, text):
    fit = rb.rma_glmm(catheters(), **NAMES, model=model)
    assert (fit.k, fit.k_silent) == (17, 1)
    assert printed(getattr(fit, name), text)


@pytest.mark.parametrize(
    ("model", "texts"),
    [("CM.EL", ("0.26", "0.13", "0.51")), ("CM.AL", ("0.27", "0.14", "0.53"))],
)
def test_odds_ratios_of_catheters_reproduce_stijnen(model, texts):
    ratio = rb.rma_glmm(catheters(), **NAMES, model=model).ratio()
    for value, text in zip((ratio.estimate, *ratio.ci), texts, strict=True):
        assert printed(value, text)


@pytest.mark.parametrize(
    ("model", "text"),
    [("UM.FS", "-1.2286"), ("UM.RS", "-1.2207"), ("CM.EL", "-1.2236")],
)
def test_common_effects_of_catheters_reproduce_metafor(model, text):
    fit = rb.rma_glmm(catheters(), **NAMES, model=model, method="EE")
    assert fit.tau2 == 0.0
    assert printed(fit.estimate, text)
    if model == "UM.RS":
        assert printed(fit.sigma2, "0.6155")
    if model == "CM.EL":
        assert printed(fit.se**2, "0.0502")


# metafor's tests print, for lme4 with 7 nodes or Laplace's approximation, and for
# GLMMadaptive with 7 nodes: here there is no approximation, so that digits may differ
@pytest.mark.parametrize(
    ("model", "name", "theirs"),
    [
        ("UM.FS", "estimate", (-1.2370, -1.236772)),
        ("UM.FS", "tau2", (0.3198, 0.322732)),
        ("UM.RS", "estimate", (-1.2812, -1.2795)),
        ("UM.RS", "tau2", (0.7258, 0.7301)),
        ("UM.RS", "sigma2", (0.5212, 0.5364)),
    ],
)
def test_approximations_of_metafor_are_near(model, name, theirs):
    value = getattr(rb.rma_glmm(catheters(), **NAMES, model=model), name)
    assert min(abs(value - their) for their in theirs) < 4e-3


# Stijnen et al. (2010), table VIII
@pytest.mark.parametrize(
    ("name", "text"), [("estimate", "-0.476"), ("se", "0.238"), ("tau", "0.35")]
)
def test_catheter_days_reproduce_stijnen(name, text):
    fit = rb.rma_glmm(catheter_days(), **DAYS, model="CM.EL")
    assert printed(getattr(fit, name), text)


# metafor, rma.glmm(measure="OR", model="UM.FS") of dat.bcg, as RoBMA's vignette prints
BCG = [
    ("estimate", "-0.7450"),
    ("se", "0.1756"),
    ("ci_lower", "-1.0891"),
    ("ci_upper", "-0.4009"),
    ("tau2", "0.2949"),
    ("tau", "0.5430"),
    ("I2", "91.02"),
    ("H2", "11.14"),
    ("Q_Wald", "163.1649"),
    ("Q_LRT", "176.9544"),
]


@pytest.mark.parametrize(("name", "text"), BCG)
def test_the_unconditional_model_of_the_bcg_trials_reproduces_metafor(name, text):
    fit = rb.rma_glmm(bcg(), **NAMES)
    assert fit.Q_df == 12
    assert printed(fit.to_frame()[name].item(), text)


# van Houwelingen et al. (1993), pages 2275 and 2277, in metafor's tests; the ends of
# the interval without heterogeneity as with control=list(dnchgcalc="dnoncenhypergeom")
ULCERS = [
    ("EE", "estimate", "0.1216"),
    ("EE", "se", "0.0995"),
    ("EE", "ci_lower", "-0.0735"),
    ("EE", "ci_upper", "0.3167"),
    ("EE", "loglik", "-53.6789"),
    ("ML", "estimate", "0.1744"),
    ("ML", "se", "0.1364"),
    ("ML", "ci_lower", "-0.0929"),
    ("ML", "ci_upper", "0.4417"),
    ("ML", "loglik", "-52.99009"),
    ("ML", "tau2", "0.1192"),
]


@pytest.mark.parametrize(("method", "name", "text"), ULCERS)
def test_bleeding_ulcers_reproduce_van_houwelingen(method, name, text):
    fit = rb.rma_glmm(**ulcers(), model="CM.EL", method=method)
    assert (fit.k, fit.k_silent) == (24, 1)
    assert printed(fit.to_frame()[name].item(), text)


# Rothman et al. (2008), chapter 15, in metafor's tests; intervals of 90 %. Wald tests
# and standard errors of "CM.EL" are left out: metafor's second derivatives are
# numerical there, and off by up to 8 per cent (0.1327 for 0.1232)
ROTHMAN = [
    (spermicides, "OR", "UM.FS", "estimate", "1.3318"),
    (spermicides, "OR", "UM.FS", "ci_lower", "0.3582"),
    (spermicides, "OR", "UM.FS", "ci_upper", "2.3053"),
    (spermicides, "OR", "UM.FS", "Q_Wald", "0.1374"),
    (spermicides, "OR", "UM.FS", "Q_Wald_p", "0.7109"),
    (spermicides, "OR", "UM.FS", "Q_LRT", "0.1324"),
    (spermicides, "OR", "UM.FS", "Q_LRT_p", "0.7160"),
    (spermicides, "OR", "CM.EL", "estimate", "1.3257"),
    (spermicides, "OR", "CM.EL", "Q_LRT", "0.1188"),
    (spermicides, "OR", "CM.EL", "Q_LRT_p", "0.7304"),
    (tolbutamide, "OR", "CM.EL", "estimate", "0.3381"),
    (tolbutamide, "OR", "CM.EL", "Q_LRT", "0.3502"),
    (tolbutamide, "OR", "CM.EL", "Q_LRT_p", "0.5540"),
    (smokers, "IRR", "UM.FS", "estimate", "0.3545"),
    (smokers, "IRR", "UM.FS", "ci_lower", "0.1779"),
    (smokers, "IRR", "UM.FS", "ci_upper", "0.5312"),
    (smokers, "IRR", "UM.FS", "Q_Wald", "10.1991"),
    (smokers, "IRR", "UM.FS", "Q_LRT", "12.1324"),
    (smokers, "IRR", "CM.EL", "estimate", "0.3545"),
    (smokers, "IRR", "CM.EL", "ci_lower", "0.1779"),
    (smokers, "IRR", "CM.EL", "Q_Wald", "10.1991"),
    (smokers, "IRR", "CM.EL", "Q_Wald_p", "0.0372"),
    (smokers, "IRR", "CM.EL", "Q_LRT", "12.1324"),
    (smokers, "IRR", "CM.EL", "Q_LRT_p", "0.0164"),
]


@pytest.mark.parametrize(("data", "measure", "model", "name", "text"), ROTHMAN)
def test_common_effects_reproduce_rothman(data, measure, model, name, text):
    fit = rb.rma_glmm(**data(), measure=measure, model=model, method="EE", level=0.9)
    assert printed(fit.to_frame()[name].item(), text)


# metafor with BiasedUrn, rma.glmm(model="CM.EL"), of whose digits its optimiser and the
# starting value leave six or seven
def test_eight_sparse_trials_reproduce_metafor():
    fit = rb.rma_glmm(
        x1=[3, 8, 1, 12, 0, 5, 2, 9], n1=[120, 200, 90, 300, 60, 150, 110, 250],
        x2=[7, 5, 4, 6, 3, 11, 1, 4], n2=[118, 205, 92, 295, 62, 148, 108, 255],
        model="CM.EL",
    )  # fmt: skip
    assert printed(fit.estimate, "-0.1255189")
    assert printed(fit.tau2, "0.373429")


def test_heterogeneity_at_its_boundary_is_zero_where_metafor_is_near():
    n = [150, 180, 160, 200, 220, 140, 210, 170]
    data = {"x1": [2, 4, 1, 3, 5, 2, 6, 3], "n1": n,
            "x2": [6, 9, 5, 8, 11, 7, 12, 8], "n2": n}  # fmt: skip
    fit = rb.rma_glmm(**data, model="CM.EL")
    common = rb.rma_glmm(**data, model="CM.EL", method="EE")
    assert fit.tau2 == 0.0
    assert math.isnan(fit.se_tau2)
    # metafor prints -0.95937220, 0.23453577 and tau² 1.308e-5
    assert printed(fit.estimate, "-0.9593722")
    assert printed(fit.se, "0.2345")
    assert (fit.estimate, fit.se, fit.loglik) == (
        common.estimate, common.se, common.loglik
    )  # fmt: skip
    assert fit.prediction == fit.ci
    assert "tau² 0.0000, tau 0.0000" in str(fit)


# ---- dense likelihoods -----------------------------------------------------
def check_maximum(fit, likelihood, at, where_mu):
    """Hold a fit against a likelihood of all parameters, mu at one place."""
    at = np.asarray(at, dtype=float)
    assert fit.loglik == pytest.approx(likelihood(at), abs=DENSE)
    step = 1e-3
    unit = step * np.eye(at.size)
    gradient = [(likelihood(at + u) - likelihood(at - u)) / (2 * step) for u in unit]
    second = hessian(likelihood, at, step)
    # how far off a maximum is: a Newton step, in standard errors
    variance = np.linalg.inv(-second)
    off = variance @ gradient / np.sqrt(np.diag(variance))
    assert np.abs(off).max() < 1e-4  # the gradient by differences is off by step²
    assert fit.se**2 == pytest.approx(variance[where_mu, where_mu], rel=DIFFERENCES)
    return variance


@pytest.mark.parametrize(("data", "points"), [(catheters, 4001), (bcg, 801)])
def test_the_exact_conditional_model_is_at_the_maximum_of_a_dense_likelihood(
    data, points
):
    fit = rb.rma_glmm(data(), **NAMES, model="CM.EL")
    rows = [tuple(map(int, row)) for row in studies_of(data())]

    def likelihood(at):
        return sum(dense(hypergeometric, row, *at, points=points) for row in rows)

    variance = check_maximum(fit, likelihood, [fit.estimate, fit.tau], 0)
    assert fit.se_tau2 == pytest.approx(
        2 * fit.tau * math.sqrt(variance[1, 1]), rel=DIFFERENCES
    )


@pytest.mark.parametrize(
    ("data", "names", "model", "size"),
    [(catheter_days, DAYS, "CM.EL", "t"), (catheters, NAMES, "CM.AL", "n")],
)
def test_binomial_conditional_models_are_at_the_maximum_of_a_dense_likelihood(
    data, names, model, size
):
    fit = rb.rma_glmm(data(), **names, model=model)
    rows = studies_of(data(), size)

    def likelihood(at):
        return sum(dense(conditional_binomial, row, *at) for row in rows)

    check_maximum(fit, likelihood, [fit.estimate, fit.tau], 0)


@pytest.mark.parametrize(
    ("data", "names", "kernel", "size"),
    [(catheters, NAMES, two_binomials, "n"), (catheter_days, DAYS, two_poissons, "t")],
)
def test_free_baselines_are_profiled_out(data, names, kernel, size):
    from scipy.optimize import minimize_scalar

    fit = rb.rma_glmm(data(), **names, model="UM.FS")
    rows = studies_of(data(), size)

    def profiled(row, mean, tau):
        return -minimize_scalar(
            lambda phi: -dense(kernel, row, mean, tau, phi, points=601),
            bracket=(-4.0, -3.0),
            tol=1e-10,
        ).fun

    def likelihood(at):
        return sum(profiled(row, *at) for row in rows)

    variance = check_maximum(fit, likelihood, [fit.estimate, fit.tau], 0)
    assert fit.se_tau2 == pytest.approx(
        2 * fit.tau * math.sqrt(variance[1, 1]), rel=DIFFERENCES
    )


@pytest.mark.parametrize(
    ("data", "names", "kernel", "size"),
    [(catheters, NAMES, two_binomials, "n"), (catheter_days, DAYS, two_poissons, "t")],
)
def test_random_baselines_are_integrated_out(data, names, kernel, size):
    fit = rb.rma_glmm(data(), **names, model="UM.RS")
    rows = studies_of(data(), size)
    sigma = math.sqrt(fit.sigma2)

    def likelihood(at):
        centre, mean, tau = at
        return sum(
            dense_baselines(kernel, row, mean, tau, centre, sigma, points=101)
            for row in rows
        )

    # the centre is not reported: it is where the likelihood is highest
    from scipy.optimize import minimize_scalar

    best = minimize_scalar(
        lambda centre: -likelihood((centre, fit.estimate, fit.tau)),
        bracket=(-5.0, -3.0),
        tol=1e-10,
    )
    assert -best.fun == pytest.approx(fit.loglik, abs=DENSE)
    for away in ([0.0, 0.01, 0.0], [0.0, -0.01, 0.0], [0.0, 0.0, 0.01], [0, 0, -0.01]):
        there = np.array([best.x, fit.estimate, fit.tau]) + away
        # the baseline follows, so that this is no profile; the maximum is one anyway
        assert likelihood(there) < fit.loglik


def test_moderators_of_the_conditional_model_are_at_the_maximum():
    data = bcg().assign(far=bcg().ablat / 100)
    fit = rb.rma_glmm(data, **NAMES, model="CM.EL", mods="far", method="EE")
    rows = [tuple(map(int, row)) for row in studies_of(data)]
    b = fit.coefficients["estimate"].to_numpy()

    def likelihood(at):
        means = at[0] + at[1] * data.far
        return sum(
            dense(hypergeometric, row, m, 0.0)
            for row, m in zip(rows, means, strict=True)
        )

    assert fit.loglik == pytest.approx(likelihood(b), abs=DENSE)
    variance = np.linalg.inv(-hessian(likelihood, b, 1e-3))
    np.testing.assert_allclose(fit.covariance, variance, rtol=DIFFERENCES)


def test_intervals_of_heterogeneity_are_of_the_profile_likelihood():
    from scipy.optimize import minimize_scalar
    from scipy.stats import chi2

    fit = rb.rma_glmm(catheters(), **NAMES, model="CM.EL")
    rows = [tuple(map(int, row)) for row in studies_of(catheters())]
    found = fit.tau2_interval(level=0.8)

    def profile(tau):
        return -minimize_scalar(
            lambda mu: -sum(dense(hypergeometric, row, mu, tau) for row in rows),
            bracket=(-1.5, -1.2),
            tol=1e-8,
        ).fun

    assert found["tau2"].lower > 0.0
    for end in found["tau"]:
        drop = 2 * (fit.loglik - profile(end))
        assert drop == pytest.approx(chi2.ppf(0.8, 1), abs=1e-5)
    assert found["tau2"].upper == pytest.approx(found["tau"].upper ** 2)
    assert fit.tau2_interval()["tau2"].upper > found["tau2"].upper


def test_an_interval_of_heterogeneity_may_start_at_zero_or_have_no_end():
    assert rb.rma_glmm(catheters(), **NAMES).tau2_interval()["tau2"].lower == 0.0
    two = {"x1": [5, 0], "n1": [40, 40], "x2": [1, 5], "n2": [40, 40]}
    interval = rb.rma_glmm(**two, model="CM.EL").tau2_interval()
    assert interval["tau"].upper == math.inf
    fit = rb.rma_glmm(bcg(), **NAMES, mods="ablat", model="CM.AL")
    assert fit.tau2_interval()["tau2"].lower <= fit.tau2
    with pytest.raises(DataError, match=r'^method: expected "ML" for an interval of'):
        rb.rma_glmm(bcg(), **NAMES, method="EE").tau2_interval()
    with pytest.raises(DataError, match=r"^level: "):
        fit.tau2_interval(level=2.0)


# ---- identities ------------------------------------------------------------
@pytest.mark.parametrize("model", MODELS)
def test_arms_swapped_flip_the_sign(model):
    data = {name: list(catheters()[name]) for name in NAMES}
    one = rb.rma_glmm(**data, model=model)
    two = rb.rma_glmm(**swapped(data), model=model)
    assert two.estimate == pytest.approx(-one.estimate, abs=SOLVER)
    for name in ("se", "tau2", "Q_Wald", "Q_LRT", "loglik"):
        assert getattr(two, name) == pytest.approx(
            getattr(one, name), rel=1e-5, nan_ok=True
        )


@pytest.mark.parametrize("model", ["UM.FS", "UM.RS", "CM.EL"])
def test_events_swapped_with_others_flip_the_log_odds_ratio(model):
    data = catheters()
    other = {**NAMES, "x1": data.n1 - data.x1, "x2": data.n2 - data.x2}
    one = rb.rma_glmm(data, **NAMES, model=model)
    two = rb.rma_glmm(data, **other, model=model)
    assert two.k == one.k
    assert two.estimate == pytest.approx(-one.estimate, abs=SOLVER)
    for name in ("se", "tau2", "loglik"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-5)


def test_rates_given_all_events_are_binomial_whatever_the_unit_of_time():
    days = catheter_days()
    one = rb.rma_glmm(days, **DAYS, model="CM.EL")
    years = {**DAYS, "t1": days.t1 / 365.25, "t2": days.t2 / 365.25}
    two = rb.rma_glmm(days, **years, model="CM.EL")
    # with sizes for times it is the approximation for rare events
    sizes = {"x1": "x1", "n1": "t1", "x2": "x2", "n2": "t2"}
    three = rb.rma_glmm(days, **sizes, model="CM.AL")
    for other in (two, three):
        assert other.estimate == pytest.approx(one.estimate, abs=SOLVER)
        assert other.loglik == pytest.approx(one.loglik, abs=DENSE)
    # a common ratio of Poisson means does not depend on how baselines go
    free = rb.rma_glmm(days, **DAYS, model="UM.FS", method="EE")
    given = rb.rma_glmm(days, **DAYS, model="CM.EL", method="EE")
    assert free.estimate == pytest.approx(given.estimate, abs=SOLVER)
    assert free.se == pytest.approx(given.se, rel=1e-6)


def test_one_table_has_the_classical_conditional_odds_ratio():
    from scipy.stats.contingency import odds_ratio

    fit = rb.rma_glmm(
        x1=[7], n1=[50], x2=[3], n2=[40], model="CM.EL", method="EE"
    )  # fmt: skip
    expected = odds_ratio([[7, 43], [3, 37]], kind="conditional").statistic
    assert fit.ratio().estimate == pytest.approx(expected, rel=1e-6)
    assert (fit.Q_df, fit.Q_LRT, fit.Q_LRT_p) == (0, pytest.approx(0.0, abs=1e-9), 1.0)
    free = rb.rma_glmm(x1=[7], n1=[50], x2=[3], n2=[40], method="EE")
    assert free.ratio().estimate == pytest.approx(7 * 37 / (43 * 3))


def test_the_common_conditional_estimate_equates_events_and_their_expectation():
    data = catheters()
    fit = rb.rma_glmm(data, **NAMES, model="CM.EL", method="EE")
    told = data[data.x1 + data.x2 > 0]
    law = nchypergeom_fisher(
        told.n1 + told.n2, told.n1, told.x1 + told.x2, math.exp(fit.estimate)
    )
    assert law.mean().sum() == pytest.approx(told.x1.sum(), abs=1e-6)
    assert fit.se == pytest.approx(law.var().sum() ** -0.5, rel=1e-6)


def test_ample_events_agree_with_the_normal_model():
    data = bcg()
    many = {name: 100 * data[name] for name in NAMES}
    made = rb.log_odds_ratio(
        a=many["x1"], b=many["n1"] - many["x1"], c=many["x2"],
        d=many["n2"] - many["x2"],
    )  # fmt: skip
    normal = rb.rma(rb.effect_sizes(made, y="yi", v="vi"), "ML")
    for model in ("UM.FS", "CM.EL"):
        fit = rb.rma_glmm(**many, model=model)
        # they differ by one over the numbers of events, of which 200 are the fewest
        assert fit.estimate == pytest.approx(normal.estimate, abs=1 / 200)
        assert fit.tau2 == pytest.approx(normal.tau2, rel=1e-2)


def test_both_tests_of_heterogeneity_are_those_of_the_common_model():
    one, two = (
        rb.rma_glmm(catheters(), **NAMES, model="CM.EL", method=method)
        for method in ("ML", "EE")
    )
    for name in ("Q_Wald", "Q_LRT", "Q_df", "Q_LRT_p"):
        assert getattr(one, name) == getattr(two, name)
    assert rb.rma_glmm(catheters(), **NAMES, method="FE").loglik == pytest.approx(
        rb.rma_glmm(catheters(), **NAMES, method="EE").loglik
    )


def test_trials_without_events_are_left_out_and_said():
    one = rb.rma_glmm(catheters(), **NAMES)
    told = catheters()
    two = rb.rma_glmm(told[told.x1 + told.x2 > 0], **NAMES)
    assert one.loglik == two.loglik
    assert str(one).endswith("left out: 1 study has no events in either group, or "
                             "nothing but events")  # fmt: skip
    assert "left out" not in str(two)


# ---- integrals -------------------------------------------------------------
@pytest.mark.parametrize("tau", [1e-4, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("model", MODELS)
def test_a_finer_rule_changes_no_likelihood(model, tau):
    data = {name: list(catheters()[name][:14]) for name in NAMES}
    shape = CountModel(model, groups_of(data), np.ones((14, 1)))
    at = shape.start()
    at[shape.n_before], at[-1] = -1.0, tau
    if model == "UM.RS":
        at[1] = 0.8
    coarse, fine = shape.value(at, 129), shape.value(at, 257)
    assert coarse.loglik == pytest.approx(fine.loglik, abs=1e-11)
    np.testing.assert_allclose(coarse.gradient, fine.gradient, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("measure", ["OR", "IRR"])
def test_derivatives_agree_with_differences(model, measure):
    data = smokers() if measure == "IRR" else {n: list(bcg()[n]) for n in NAMES}
    K = len(data["x1"])
    x = np.column_stack([np.ones(K), np.linspace(-1.0, 1.0, K)])
    shape = CountModel(model, groups_of(data, measure), x)
    at = shape.start()
    at[shape.n_before :] = 0.3, -0.2, 0.5
    if model == "UM.RS":
        at[1] = 0.7
    here, step = shape.value(at, 65), 1e-5
    for i, unit in enumerate(step * np.eye(at.size)):
        up, down = shape.value(at + unit, 65), shape.value(at - unit, 65)
        slope = (up.loglik - down.loglik) / (2 * step)
        assert here.gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-4)
        curve = (up.gradient - down.gradient) / (2 * step)
        np.testing.assert_allclose(here.hessian[i], curve, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("theta", [-40.0, -6.0, -1.0, 0.0, 0.3, 5.0, 40.0])
def test_terms_left_out_of_large_tables_do_not_matter(theta):
    data = {"x1": [900, 5, 40], "n1": [3000, 400, 50], "x2": [1100, 2, 45],
            "n2": [2500, 300, 50]}  # fmt: skip
    kernel = Hypergeometric(groups_of(data))
    here = kernel.at(np.full((3, 1), theta))
    rows = zip(*data.values(), strict=True)
    for row, value in zip(rows, here.value[:, 0], strict=True):
        full = hypergeometric(*row, np.array([theta]))[0]
        assert value == pytest.approx(full, rel=1e-12, abs=1e-8)


def test_a_baseline_between_two_cliffs_is_integrated_over():
    # the likelihood falls steeply on both sides of where neither group fits, 20 away
    # from the baseline's mean: Newton's steps towards the mode go back and forth there
    data = {"x1": [1], "n1": [44], "x2": [3], "n2": [35]}
    centre, spread = -4.0, 0.73
    kernel = RandomBaseline(groups_of(data), np.array([centre]), spread, 65)
    theta = np.array([[-88.0, -40.0, 0.0, 20.0, 40.0, 60.0]])
    found = kernel.at(theta).value[0]
    phi = centre + spread * np.linspace(-130.0, 130.0, 200_001)
    prior = norm.logpdf(phi, centre, spread) + np.log(phi[1] - phi[0])
    for value, effect in zip(found, theta[0], strict=True):
        likelihood = np.zeros_like(phi)
        for x, n, half in ((1, 44, effect / 2), (3, 35, -effect / 2)):
            eta = phi + half
            likelihood += x * eta - n * np.logaddexp(0.0, eta)
            likelihood += math.log(math.comb(n, x))
        assert value == pytest.approx(logsumexp(likelihood + prior), rel=1e-9)


def test_thousands_of_events_do_not_lead_the_search_for_the_mode_astray():
    # slopes of 1e4 for an effect of 1: Newton's steps would go to effects as large
    data = {
        "x1": [20, 3809, 30, 257, 1, 13049, 32, 12794, 1876],
        "t1": [5139, 6790, 17238, 17263, 4831, 14169, 4981, 17711, 17087],
        "x2": [765, 1494, 7, 180, 79, 2354, 543, 933, 70],
        "t2": [7452, 7776, 1048, 1394, 13637, 5747, 8114, 1445, 1108],
    }
    w = [-0.47776211, -0.32274926, 0.11634915, -0.43868594, -1.37817228, -0.80941754,
         -0.21264023, -0.41447539, -0.04420231]  # fmt: skip
    x = 3.0 * np.linalg.qr(np.column_stack([np.ones(9), w]))[0]
    shape = CountModel("UM.RS", groups_of(data, "IRR"), x)
    at = np.array([-2.6497, 2.0176, 0.7778, -0.2721, 0.6624])
    coarse, fine = shape.value(at, 33), shape.value(at, 65)
    assert coarse.loglik == pytest.approx(fine.loglik, abs=DENSE)
    assert -200.0 < fine.loglik < -140.0


def test_an_integral_is_its_prior_mean_without_heterogeneity():
    kernel = Hypergeometric(groups_of(tolbutamide()))
    mean = np.array([0.2, 0.2])
    plain = kernel.at(mean[:, None])
    here = marginal(kernel, mean, 0.0, np.empty(0), 65)
    np.testing.assert_allclose(here.value, plain.value[:, 0], atol=1e-12)
    np.testing.assert_allclose(here.first[0], plain.first[0, :, 0], atol=1e-12)
    # twice the score of tau² is the second derivative in tau
    both = plain.first[0, :, 0] ** 2 + plain.second[0, 0, :, 0]
    np.testing.assert_allclose(here.second[1, 1], both, atol=1e-9)


def test_blocks_of_studies_change_nothing(monkeypatch):
    from pyrobma.counts import kernels

    whole = rb.rma_glmm(bcg(), **NAMES, model="CM.EL")
    monkeypatch.setattr(kernels, "_BLOCK", 5000)
    parts = rb.rma_glmm(bcg(), **NAMES, model="CM.EL")
    assert parts.loglik == pytest.approx(whole.loglik, abs=1e-10)


# ---- moderators ------------------------------------------------------------
def test_a_moderator_of_two_groups_is_two_common_effects():
    data = bcg().assign(kind=["a"] * 6 + ["b"] * 7)
    for model in ("UM.FS", "CM.EL"):
        fit = rb.rma_glmm(data, **NAMES, mods="kind", method="EE", model=model)
        parts = [
            rb.rma_glmm(part, **NAMES, method="EE", model=model)
            for _, part in data.groupby("kind")
        ]
        difference = parts[1].estimate - parts[0].estimate
        assert fit.coefficients["estimate"].tolist() == pytest.approx(
            [parts[0].estimate, difference], abs=1e-6
        )
        assert fit.coefficients["se"].iloc[1] == pytest.approx(
            math.hypot(parts[0].se, parts[1].se), rel=1e-5
        )
        assert fit.loglik == pytest.approx(sum(part.loglik for part in parts))
        assert fit.QE_Wald == pytest.approx(sum(part.Q_Wald for part in parts))
        assert pytest.approx(sum(part.Q_LRT for part in parts), abs=1e-6) == fit.QE_LRT
        assert fit.QE_df == sum(part.Q_df for part in parts)


def test_shifted_and_scaled_moderators_give_the_same_model():
    data = bcg()
    one = rb.rma_glmm(data, **NAMES, mods="year", model="CM.EL")
    two = rb.rma_glmm(
        data.assign(year=(data.year - 1966) / 10), **NAMES, mods="year", model="CM.EL"
    )
    assert two.loglik == pytest.approx(one.loglik, abs=1e-9)
    assert two.coefficients.loc["year", "estimate"] == pytest.approx(
        10 * one.coefficients.loc["year", "estimate"], rel=1e-5
    )
    assert pytest.approx(one.QM, rel=1e-5) == two.QM


def test_a_regression_has_tables_predictions_and_ratios():
    fit = rb.rma_glmm(bcg(), **NAMES, mods="ablat + alloc", test="t", model="CM.AL")
    table = fit.coefficients
    assert (fit.k, fit.p, fit.QM_df, fit.QM_df2) == (13, 4, 3, 9.0)
    assert table["df"].tolist() == [9.0] * 4
    np.testing.assert_allclose(fit.ratios()["upper"], np.exp(table["upper"]))
    made = fit.predict({"ablat": [20, 40], "alloc": "random"})
    effect = table["estimate"]
    expected = effect["intercept"] + 20 * effect["ablat"] + effect["alloc[dif: random]"]
    assert made["fit"][0] == pytest.approx(expected)
    assert (made["prediction_upper"] >= made["ci_upper"]).all()
    assert fit.terms.index.tolist() == ["ablat", "alloc"]
    lines = str(fit).splitlines()
    assert lines[0] == "Mixed-effects meta-regression (ML), 13 studies, log odds ratio"
    assert lines[1] == "CM.AL: conditional, approximate likelihood"
    assert lines[3].split()[:4] == ["estimate", "se", "t", "p"]
    common = rb.rma_glmm(bcg(), **NAMES, mods="ablat", method="EE")
    assert common.predict()["prediction_upper"].isna().all()
    assert str(common).startswith("Common-effect meta-regression (EE)")


def test_a_t_test_has_k_less_one_degrees_of_freedom():
    z, t = (rb.rma_glmm(bcg(), **NAMES, test=test) for test in ("z", "t"))
    from scipy.stats import t as student

    assert t.se == z.se
    assert t.p == pytest.approx(2 * student.sf(abs(z.statistic), 12))
    assert t.ci.upper == pytest.approx(z.estimate + student.ppf(0.975, 12) * z.se)


# ---- as text, and what is refused ------------------------------------------
CATHETERS = """\
Random-effects model (ML), 17 studies, log odds ratio
CM.EL: conditional, exact likelihood
"""


def test_a_fit_prints_as_a_table_and_is_frozen():
    fit = rb.rma_glmm(catheters(), **NAMES, model="CM.EL")
    text = str(fit)
    assert text.startswith(CATHETERS)
    assert repr(fit) == text
    assert "mu           -1.3532  0.3510" in text
    assert "tau² 0.6935 (se 0.6399), tau 0.8327" in text
    random = str(rb.rma_glmm(catheters(), **NAMES, model="UM.RS"))
    assert "sigma² of baselines 0.536" in random
    assert "Likelihood ratio" not in random
    common = str(rb.rma_glmm(catheters(), **NAMES, model="CM.EL", method="EE"))
    assert "tau²" not in common
    assert "prediction" not in common
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit.tau2 = 0.0


def test_the_prediction_interval_is_that_of_a_new_effect():
    fit = rb.rma_glmm(catheters(), **NAMES, model="CM.EL")
    half = 1.959963984540054 * math.hypot(fit.se, fit.tau)
    assert fit.prediction.upper == pytest.approx(fit.estimate + half)
    assert fit.ratio().prediction.upper == pytest.approx(math.exp(fit.estimate + half))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "CM"}, r"^model: expected one of UM\.FS, .*; got 'CM'"),
        ({"method": "REML"}, r"^method: expected one of ML, FE, EE; got 'REML'"),
        ({"test": "knha"}, r"^test: expected 'z' or 't'; got 'knha'"),
        ({"measure": "RR"}, r'^measure: expected one of "OR", "IRR"; got \'RR\''),
        ({"mods": "latitude"}, r"^mods: "),
        ({"mods": ["ablat", "twice"]}, r"^mods: expected linearly independent columns"),
    ],
)
def test_other_options_are_refused(options, message):
    data = bcg().assign(twice=2 * bcg().ablat)
    with pytest.raises(DataError, match=message):
        rb.rma_glmm(data, **NAMES, **options)


def test_the_approximation_for_rare_events_is_not_for_rates():
    with pytest.raises(
        DataError, match=r'^model: .*got "CM\.AL"\. Use "CM\.EL", which'
    ):
        rb.rma_glmm(catheter_days(), **DAYS, model="CM.AL")


@pytest.mark.parametrize("method", ["ML", "EE"])
@pytest.mark.parametrize("model", MODELS)
def test_an_infinite_effect_is_refused(model, method):
    with pytest.raises(
        DataError, match=r"^x1, x2: expected events that give a finite e"
    ):
        rb.rma_glmm(
            x1=[0, 0], n1=[35, 39], x2=[2, 3], n2=[40, 40], model=model, method=method
        )


@pytest.mark.parametrize("model", ["UM.FS", "CM.EL"])
def test_an_infinite_coefficient_is_refused_and_named(model):
    data = {"x1": [3, 0, 5, 0], "n1": [40, 40, 40, 40], "x2": [4, 2, 4, 1],
            "n2": [40, 40, 40, 40], "kind": ["a", "b", "a", "b"]}  # fmt: skip
    with pytest.raises(
        DataError, match=r"^mods: .*rises without end in kind\[dif: b\],"
    ):
        rb.rma_glmm(data, **NAMES, mods="kind", model=model, method="EE")


@pytest.mark.parametrize("model", ["CM.EL", "UM.FS"])
def test_an_infinite_heterogeneity_is_refused(model):
    with pytest.raises(
        DataError, match=r"expected events that give a finite heterogen"
    ):
        rb.rma_glmm(x1=[40, 0], n1=[40, 40], x2=[0, 40], n2=[40, 40], model=model)


def test_too_few_studies_with_events_are_refused():
    none = {"x1": [0, 4], "n1": [5, 4], "x2": [0, 4], "n2": [5, 4]}
    with pytest.raises(DataError, match=r"got none among 2\. There is no ratio to est"):
        rb.rma_glmm(**none)
    one = {"x1": [0, 1], "n1": [5, 4], "x2": [0, 1], "n2": [5, 4]}
    with pytest.raises(DataError, match=r"at least two studies with events; got one"):
        rb.rma_glmm(**one)
    three = {"x1": [1, 2, 0], "n1": [9, 9, 9], "x2": [2, 1, 0], "n2": [9, 9, 9],
             "w": [1.0, 2.0, 3.0]}  # fmt: skip
    with pytest.raises(
        DataError, match=r"^mods: expected more studies with events than"
    ):
        rb.rma_glmm(three, **NAMES, mods="w")


def test_a_moderator_that_events_leave_constant_is_refused():
    data = {"x1": [1, 2, 0, 3], "n1": [9, 9, 9, 9], "x2": [2, 1, 0, 1],
            "n2": [9, 9, 9, 9], "w": [1.0, 1.0, 3.0, 1.0]}  # fmt: skip
    with pytest.raises(
        DataError, match=r"combination of intercept in the studies with"
    ):
        rb.rma_glmm(data, **NAMES, mods="w")
