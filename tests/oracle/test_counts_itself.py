"""The oracle of counts against published numbers, closed forms and itself."""

from __future__ import annotations

import csv
import itertools
import math
from importlib import resources

import counts as c
import numpy as np
import numpy.typing as npt
import pytest
import quadrature as q
from quadrature import Prior
from scipy import integrate, special, stats

# mu and tau as in BiBMA 3.6, and as in RoBMA 4.
BIBMA = (Prior("student_t", (0, 0.58, 4)), Prior("inverse_gamma", (1.77, 0.55)))
ROBMA = (Prior("normal", (0, 1)), Prior("normal", (0, 0.5), lower=0))
RARE = (Prior("student_t", (0, 0.48, 3)), Prior("inverse_gamma", (1.67, 0.45)))
UNIFORM, JEFFREYS = Prior("beta", (1, 1)), Prior("beta", (0.5, 0.5))
KEYS = ((), ("tau",), ("mu",), ("mu", "tau"))

# Two rules of quadrature, or a rule and a closed form, each good for ten digits.
SAME = 1e-9
# Three dimensions end 30 nats below the top; and finer rules end elsewhere.
CUBATURE = 1e-8
# Half a unit of the last digit of the figures below.
ROUNDED = 6e-9


def column(name: str, dataset: str = "bcg") -> npt.NDArray[np.float64]:
    text = resources.files("pyrobma").joinpath(f"effects/datasets/{dataset}.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    return np.array([float(row[name]) for row in rows])


TREATED, CONTROLS = column("tpos"), column("cpos")
BCG = c.studies(TREATED, TREATED + column("tneg"), CONTROLS, CONTROLS + column("cneg"))
PERSON_TIME = BCG._replace(rates=True)
TWO = c.studies([5, 2], [35, 40], [0, 0], [39, 40])
CATHETERS = c.studies(
    *(column(name, "nielweise2008") for name in ("x1", "t1", "x2", "t2")), rates=True
)
LATITUDE = column("ablat")
LATITUDE = (LATITUDE - LATITUDE.mean()) / LATITUDE.std(ddof=1)


def first(data: c.Studies, K: int) -> c.Studies:
    """The first K studies."""
    return c.Studies(data.x1[:K], data.n1[:K], data.x2[:K], data.n2[:K], data.rates)


# ------------------------------------------------------------------------- figures
#
# Another program has them to seven digits or so. Its sums seem to end early, for BCG
# near tau = 3 and for the two studies near tau = 70 and mu = 60: the tails beyond are
# what it lacks. It interpolates likelihoods by splines, and its models with mu alone
# are 5e-8 lower. Where that shows, the figures here are
# those of this oracle: tau alone of BCG (there -170.27565, -56.03830, and the Bayes
# factors of the effect 67.9653, 67.6586 and 67.1689), and the two studies, the averaged
# tau of which it has as .42165 and .52545.
# `test_tau_alone_agrees_with_sums_that_use_no_tables` settles the first.


@pytest.mark.parametrize(
    ("data", "baseline", "priors", "logml", "bf", "means"),
    [
        (BCG, UNIFORM, BIBMA,
         (-299.83383061, -170.27564223, -234.85974891, -166.05665038),
         (67.964931, 7.7116881e29), (-.66694081, .58580436)),
        (BCG, UNIFORM, ROBMA,
         (-299.83383061, -170.22676651, -235.06752470, -165.86177017),
         (78.649113, 1.1512362e30), (-.70664377, .59135671)),
        (BCG, JEFFREYS, BIBMA,
         (-285.59430381, -155.71175599, -220.56738637, -151.49728726),
         (67.658212, 1.0072444e30), (-.67222995, .59111918)),
        (BCG, c.CONDITIONAL, BIBMA,
         (-186.17435859, -56.03829012, -121.11361098, -51.83108760),
         (67.168375, 1.2457638e30), (-.67693360, .59601784)),
        (PERSON_TIME, Prior("normal", (c.pooled_log_rate(PERSON_TIME), 1)), ROBMA,
         (-257.01765294, -135.99645308, -195.13563764, -131.66657512),
         (75.935019, 3.7148868e27), (-.70725244, .59933028)),
        (TWO, UNIFORM, RARE,
         (-14.01539717, -13.38383386, -12.75707912, -12.62210566),
         (2.6201900, 1.3073656), (.69387100, .42168492)),
        (TWO, JEFFREYS, RARE,
         (-13.12988356, -12.34684436, -11.70658228, -11.51616275),
         (2.8770195, 1.3996994), (.82688772, .52557276)),
        # Its likelihood does not vanish as the effect grows, so the posterior of tau
        # has the tail of its prior: three digits elsewhere.
        (TWO, c.CONDITIONAL, RARE,
         (-5.30345990, -4.20014022, -3.65710591, -3.35461190),
         (3.0413931, 1.6216391), (1.0865001, 1.2721620)),
    ],
)  # fmt: skip
def test_four_models_have_their_evidence_and_means(
    data: c.Studies,
    baseline: Prior,
    priors: tuple[Prior, Prior],
    logml: tuple[float, ...],
    bf: tuple[float, float],
    means: tuple[float, float],
) -> None:
    found = c.ensemble(data, baseline, mu=priors[0], tau=priors[1])
    values = [found.models[key].logml for key in KEYS]
    assert values == pytest.approx(logml, abs=ROUNDED)
    factors = [found.inclusion_bf(name) for name in ("mu", "tau")]
    assert factors == pytest.approx(bf, rel=1e-7)  # eight digits
    averages = [found.mean(name) for name in ("mu", "tau")]
    assert averages == pytest.approx(means, abs=1e-7)  # the last has seven decimals


def test_the_pooled_rate_is_that_of_all_arms() -> None:
    assert c.pooled_log_rate(PERSON_TIME) == pytest.approx(-4.9328578, abs=5e-8)


def test_eight_models_with_latitude_have_their_evidence() -> None:
    # Latitude in sample standard deviations; with population ones (mu, beta) has
    # -163.18738.
    found = c.ensemble(
        BCG, UNIFORM, mu=BIBMA[0], tau=BIBMA[1], beta=Prior("normal", (0, .29)),
        x=LATITUDE,
    )  # fmt: skip
    expected = {
        (): -299.83383061, ("beta",): -279.34030265, ("tau",): -170.27564223,
        ("tau", "beta"): -170.03623188, ("mu",): -234.85974891,
        ("mu", "beta"): -163.24831886, ("mu", "tau"): -166.05665038,
        ("mu", "tau", "beta"): -162.70727663,
    }  # fmt: skip
    values = [found.models[key].logml for key in expected]
    assert values == pytest.approx(list(expected.values()), abs=CUBATURE)
    factors = [found.inclusion_bf(name) for name in ("mu", "tau", "beta")]
    assert factors == pytest.approx([1378.9689, 1.7801164, 44.432061], rel=1e-7)
    full = found.models["mu", "tau", "beta"]
    means = [full.mean(name) for name in ("mu", "tau", "beta")]
    assert means == pytest.approx([-0.72141120, 0.28631497, -0.39057472], abs=CUBATURE)
    averages = [found.mean(name) for name in ("mu", "tau")]
    assert averages == pytest.approx([-0.71345718, 0.19016166], abs=CUBATURE)


# ----------------------------------------------------- one study given its own effect


@pytest.mark.parametrize("baseline", [UNIFORM, JEFFREYS, Prior("beta", (2, 7))])
def test_without_an_effect_a_study_is_beta_binomial(baseline: Prior) -> None:
    a, b = baseline.parameters
    for i in range(len(BCG.x1)):
        x1, n1, x2, n2 = (int(values[i]) for values in BCG[:4])
        expected = math.log(math.comb(n1, x1)) + math.log(math.comb(n2, x2))
        expected += special.betaln(x1 + x2 + a, n1 + n2 - x1 - x2 + b)
        expected -= special.betaln(a, b)
        found = c.log_h(BCG.one(i), 0.0, baseline)
        # The log beta function of large counts is less exact than the integral.
        assert found == pytest.approx(expected, abs=2e-9)


@pytest.mark.parametrize(
    ("study", "baseline"),
    [
        (c.studies([5], [35], [0], [39]), UNIFORM),
        (c.studies([0], [40], [0], [40]), JEFFREYS),
        (c.studies([4], [123], [11], [139]), Prior("normal", (-2, 0.7))),
        (c.studies([3], [1200], [14], [1100], rates=True), Prior("normal", (-6, 1))),
        (c.studies([0], [370], [0], [480], rates=True), Prior("normal", (-6, 1))),
    ],
)
@pytest.mark.parametrize("delta", [-7.0, -0.4, 2.5])
def test_likelihood_of_a_study_agrees_with_another_integrator(
    study: c.Studies, baseline: Prior, delta: float
) -> None:
    (x1,), (n1,), (x2,), (n2,) = study[:4]

    def f(theta: float) -> float:
        if study.rates:
            rates = np.exp([theta + delta / 2, theta - delta / 2])
            value = stats.poisson.pmf([x1, x2], [n1, n2] * rates).prod()
        else:
            p = special.expit([theta + delta / 2, theta - delta / 2])
            value = stats.binom.pmf([x1, x2], [n1, n2], p).prod()
        if baseline.family == "normal":
            return float(value * stats.norm.pdf(theta, *baseline.parameters))
        a, b = baseline.parameters
        density = special.expit(theta) ** a * special.expit(-theta) ** b
        return float(value * density / special.beta(a, b))

    pieces = [-80.0, -20.0, -12.0, -8.0, -6.0, -4.0, -2.0, 0.0, 4.0, 10.0, 60.0]
    value = sum(
        integrate.quad(f, low, high, epsabs=0, epsrel=1e-9, limit=200)[0]
        for low, high in itertools.pairwise(pieces)
    )
    found = c.log_h(study, delta, baseline)
    assert found == pytest.approx(math.log(value), abs=1e-8)  # that of the other


def test_conditional_likelihood_is_the_noncentral_hypergeometric() -> None:
    delta = np.array([-2.0, 0.0, 0.7])
    found = c.log_h(c.studies([4], [30], [7], [25]), delta, c.CONDITIONAL)
    expected = stats.nchypergeom_fisher.logpmf(4, 55, 30, 11, np.exp(delta))
    assert found == pytest.approx(expected, abs=SAME)


def test_conditional_probabilities_of_all_tables_sum_to_1() -> None:
    for rates in (False, True):
        total = sum(
            math.exp(
                c.log_h(c.studies([x], [9], [11 - x], [8], rates), 1.3, c.CONDITIONAL)[
                    0
                ]
            )
            for x in (range(12) if rates else range(3, 10))
        )
        assert total == pytest.approx(1.0, abs=1e-12)


def test_rates_with_flat_baselines_are_binomial_given_their_sum() -> None:
    study = c.studies([3], [120.0], [8], [95.0], rates=True)
    delta, sd = np.array([-1.0, 0.0, 2.0]), 1e6
    flat = c.log_h(study, delta, Prior("normal", (0.0, sd)))
    flat += math.log(sd * math.sqrt(2 * math.pi))
    p = special.expit(math.log(120 / 95) + delta)
    given = stats.binom.logpmf(3, 11, p)
    assert c.log_h(study, delta, c.CONDITIONAL) == pytest.approx(given, abs=1e-12)
    # The constant of the gamma integral; the prior is flat to (10 / 1e6)^2 / 2.
    assert flat == pytest.approx(given - math.log(11), abs=SAME)


def test_a_study_without_events_votes_for_no_effect_unless_conditional() -> None:
    empty = c.studies([0], [40], [0], [40])
    at = np.array([0.0, 1.0, 2.0, 4.0])
    ratio = np.exp(c.log_h(empty, at, UNIFORM) - c.log_h(empty, 0.0, UNIFORM))
    expected = [1, 0.89153803, 0.65831664, 0.27386467]
    assert ratio == pytest.approx(expected, abs=5e-9)
    assert c.log_h(empty, at, c.CONDITIONAL) == pytest.approx(np.zeros(4), abs=1e-12)


@pytest.mark.parametrize("baseline", [UNIFORM, JEFFREYS, c.CONDITIONAL])
def test_tables_agree_with_what_they_tabulate(baseline: Prior) -> None:
    at = np.random.default_rng(1).uniform(-1, 1, 50)
    for reach in (1.0, 10.0, 100.0, 280.0):
        for i in (0, 6, 7):
            direct = c.log_h(BCG.one(i), reach * at, baseline)
            found = c.table(BCG.one(i), baseline)(reach * at)
            assert found == pytest.approx(direct, abs=1e-10, rel=1e-12)


# ------------------------------------------------- one study given mean and spread


@pytest.mark.parametrize("baseline", [UNIFORM, c.CONDITIONAL])
@pytest.mark.parametrize("study", [TWO.one(0), BCG.one(7)])
def test_integral_over_true_effects_agrees_with_dense_sums(
    baseline: Prior, study: c.Studies
) -> None:
    table = c.table(study, baseline)
    for m, s in ((0.5, 0.03), (0.5, 0.3), (-3.0, 2.0), (1.0, 40.0), (8.0, 1e-3)):
        # A third of the narrower function's spread, or less.
        step = min(s / 5, 0.02)
        slope = s * s * float(table(m, nu=1))
        ends = np.array([min(slope, 0) - 12 * s, max(slope, 0) + 12 * s])
        ends = np.clip(m + ends, -600, 600)
        d = np.arange(ends[0], ends[1], step)
        expected = special.logsumexp(table(d) - 0.5 * ((d - m) / s) ** 2)
        expected += math.log(step / s) - 0.5 * math.log(2 * math.pi)
        assert c.log_smoothed(table, m, s) == pytest.approx(expected, abs=SAME)
    assert c.log_smoothed(table, 0.5, 0.0) == pytest.approx(table(0.5), abs=1e-12)
    # The second derivative of exp(table) is below 300 squared.
    assert c.log_smoothed(table, 0.0, 1e-8) == pytest.approx(table(0.0), abs=SAME)


def test_a_very_wide_spread_leaves_half_of_a_likelihood_with_a_plateau() -> None:
    table = c.table(TWO.one(0), c.CONDITIONAL)  # to 1 as delta grows, to 0 as it falls
    found = c.log_smoothed(table, 0.0, np.array([1e5, 1e8]))
    # A step at delta = b is off by b / (s sqrt(2 pi)).
    assert found == pytest.approx([math.log(0.5)] * 2, abs=1e-4)
    assert found[1] == pytest.approx(math.log(0.5), abs=1e-7)


@pytest.mark.parametrize("baseline", [UNIFORM, c.CONDITIONAL])
def test_a_true_effect_is_off_its_mean_by_the_slope_of_the_evidence(
    baseline: Prior,
) -> None:
    for study in (TWO.one(0), BCG.one(7), c.studies([0], [40], [0], [40])):
        table = c.table(study, baseline)
        for m, s in ((0.5, 0.03), (-0.3, 0.6), (1.0, 40.0)):
            # Tweedie's formula: m + s^2 d log L / dm, by differences of fourth order.
            e = 0.02 * max(s, 0.2)
            near = c.log_smoothed(table, m + e * np.array([-2, -1, 1, 2]), s)
            expected = m + s * s * float(near @ [1, -8, 8, -1]) / (12 * e)
            found = c.true_effect(table, m, s)
            # Of the differences: 1600 / .8 times the last digits of the evidence.
            assert found == pytest.approx(expected, abs=1e-8)
        assert c.true_effect(table, 0.4, 0.0) == pytest.approx(0.4, abs=0)


# ------------------------------------------------------------------------- all studies


def test_tau_alone_agrees_with_sums_that_use_no_tables() -> None:
    step, d = 0.02, np.arange(-30, 30, 0.02)
    log_h = np.array([c.log_h(BCG.one(i), d, UNIFORM) for i in range(len(BCG.x1))])
    u = np.arange(-2.5, 4, 0.05)
    # Peaked likelihoods cost nothing: heterogeneity below .08 has no probability.
    terms = -0.5 * (d / np.exp(u)[:, None]) ** 2 - u[:, None]
    terms += math.log(step) - 0.5 * math.log(2 * math.pi)
    log = special.logsumexp(log_h[:, None, :] + terms, axis=2).sum(axis=0)
    log += stats.invgamma.logpdf(np.exp(u), 1.77, scale=0.55) + u + math.log(0.05)
    found = c.log_marginal(BCG, UNIFORM, tau=BIBMA[1]).logml
    assert found == pytest.approx(special.logsumexp(log), abs=SAME)
    assert found - special.logsumexp(log[u < math.log(3)]) > 5e-6


def test_true_effects_agree_with_sums_that_use_no_tables() -> None:
    data, d = first(BCG, 3), np.arange(-40, 40, 0.02)
    log_h = np.array([c.log_h(data.one(i), d, UNIFORM) for i in range(3)])
    u = np.arange(-4, 5, 0.05)
    joint = log_h[:, None, :] - 0.5 * (d / np.exp(u)[:, None]) ** 2 - u[:, None]
    log = special.logsumexp(joint, axis=2).sum(axis=0) + u
    log += stats.invgamma.logpdf(np.exp(u), 1.77, scale=0.55)
    given_tau = special.softmax(joint, axis=2) @ d
    expected = given_tau @ special.softmax(log)
    answer = c.log_marginal(data, UNIFORM, tau=BIBMA[1])
    found = c.true_effects(data, UNIFORM, answer)
    # The sums leave out heterogeneity above 150, which has 1e-10 of the posterior.
    assert found == pytest.approx(expected, abs=SAME)


def test_true_effects_without_heterogeneity_are_the_regression_line() -> None:
    answer = c.log_marginal(
        BCG, UNIFORM, mu=ROBMA[0], beta=Prior("normal", (0, 0.29)), x=LATITUDE
    )
    expected = answer.mean("mu") + LATITUDE * answer.mean("beta")
    found = c.true_effects(BCG, UNIFORM, answer, x=LATITUDE)
    assert found == pytest.approx(expected, abs=SAME)


def test_mu_alone_agrees_with_sums_that_use_no_tables() -> None:
    mu = np.arange(-1, 0.1, 0.005)
    log = sum(c.log_h(BCG.one(i), mu, UNIFORM) for i in range(len(BCG.x1)))
    log = log + stats.t.logpdf(mu, 4, scale=0.58) + math.log(0.005)
    found = c.log_marginal(BCG, UNIFORM, mu=BIBMA[0]).logml
    assert found == pytest.approx(special.logsumexp(log), abs=SAME)


@pytest.mark.parametrize("baseline", [UNIFORM, c.CONDITIONAL])
def test_swapping_arms_turns_the_effect_around(baseline: Prior) -> None:
    one = c.log_marginal(TWO, baseline, mu=RARE[0], tau=RARE[1])
    other = c.log_marginal(TWO.swapped_arms(), baseline, mu=RARE[0], tau=RARE[1])
    assert other.logml == pytest.approx(one.logml, abs=SAME)
    assert other.mean("mu") == pytest.approx(-one.mean("mu"), abs=CUBATURE)
    effects = c.true_effects(TWO, baseline, one)
    assert (effects > 0.5).all()
    turned = c.true_effects(TWO.swapped_arms(), baseline, other)
    # Near 1e5 on the last nodes of tau, if conditional.
    assert turned == pytest.approx(-effects, abs=1e-7)


@pytest.mark.parametrize("baseline", [UNIFORM, c.CONDITIONAL])
def test_swapping_events_and_non_events_turns_the_effect_around(
    baseline: Prior,
) -> None:
    one = c.log_marginal(TWO, baseline, mu=RARE[0], tau=RARE[1])
    other = c.log_marginal(TWO.swapped_events(), baseline, mu=RARE[0], tau=RARE[1])
    assert other.logml == pytest.approx(one.logml, abs=SAME)
    assert other.mean("mu") == pytest.approx(-one.mean("mu"), abs=CUBATURE)


def test_studies_without_events_say_nothing_to_the_conditional_likelihood() -> None:
    empty = c.studies([*TWO.x1, 0], [*TWO.n1, 50], [*TWO.x2, 0], [*TWO.n2, 70])
    answers = [
        c.log_marginal(data, c.CONDITIONAL, mu=RARE[0], tau=RARE[1]).logml
        for data in (TWO, empty)
    ]
    assert answers[0] == pytest.approx(answers[1], abs=SAME)


def test_large_counts_have_the_bayes_factors_of_normal_log_odds_ratios() -> None:
    n = 10**5
    x1, x2 = np.array([3.6, 4.1, 5.2]) * 1e4, np.array([3.6, 4.0, 5.0]) * 1e4
    y = special.logit(x1 / n) - special.logit(x2 / n)
    se = np.sqrt(1 / x1 + 1 / (n - x1) + 1 / x2 + 1 / (n - x2))
    data = c.studies(x1, [n] * 3, x2, [n] * 3)
    mu, tau = Prior("normal", (0, 0.05)), Prior("normal", (0, 0.05), lower=0)
    counts = [c.log_marginal(data, UNIFORM, mu=mu, tau=t).logml for t in (None, tau)]
    normal = [
        q.log_marginal(
            y, se, None, {"mu": mu, "tau": t, "rho": q.SPIKE_0}, ("logOR", "logOR")
        ).logml
        for t in (q.SPIKE_0, tau)
    ]
    # Third derivatives: nine standard errors of .009 apart.
    assert normal[1] - normal[0] > 10
    assert counts[1] - counts[0] == pytest.approx(normal[1] - normal[0], abs=0.005)


@pytest.mark.parametrize("priors", [ROBMA, BIBMA])
@pytest.mark.parametrize(
    "baseline", [c.CONDITIONAL, Prior("normal", (c.pooled_log_rate(CATHETERS), 1))]
)
def test_more_nodes_change_nothing_in_rates(
    baseline: Prior, priors: tuple[Prior, Prior]
) -> None:
    coarse, fine = (
        c.ensemble(CATHETERS, baseline, mu=priors[0], tau=priors[1], fineness=fineness)
        for fineness in (1.0, 1.3)
    )
    for key in KEYS:
        expected = fine.models[key].logml
        assert coarse.models[key].logml == pytest.approx(expected, abs=SAME)
    for name in ("mu", "tau"):
        assert coarse.mean(name) == pytest.approx(fine.mean(name), abs=CUBATURE)


# ------------------------------------------------------ clusters, moderators of log tau


def test_a_cluster_is_a_bivariate_normal_of_true_effects() -> None:
    m, s, b = np.array([0.3, -0.2]), 0.4, 0.7
    tables = [c.table(BCG.one(i), UNIFORM) for i in (0, 1)]
    d = np.arange(-8, 8, 0.02)
    V = np.array([[s * s + b * b, b * b], [b * b, s * s + b * b]])
    grid = np.stack(np.meshgrid(d - m[0], d - m[1], indexing="ij"), axis=-1)
    log = -0.5 * np.einsum("ijk,kl,ijl->ij", grid, np.linalg.inv(V), grid)
    log += tables[0](d)[:, None] + tables[1](d) + 2 * math.log(0.02)
    expected = special.logsumexp(log) - math.log(2 * math.pi)
    expected -= 0.5 * math.log(np.linalg.det(V))
    edges = np.arange(-12, 12.1, 0.25)
    smoothed = [
        c._piecewise(edges, lambda at, one=one: c.log_smoothed(one, at, s))
        for one in tables
    ]
    found = c._log_cluster(smoothed, m[None, :], np.array([b]), 1.0)
    assert found == pytest.approx(expected, abs=SAME)


def test_clusters_of_one_leave_nothing_to_learn_about_rho() -> None:
    data = first(BCG, 2)
    alone = c.log_marginal(data, UNIFORM, mu=BIBMA[0], tau=BIBMA[1])
    clustered = c.log_marginal(
        data, UNIFORM, mu=BIBMA[0], tau=BIBMA[1], cluster=[0, 1], rho=UNIFORM
    )
    assert clustered.logml == pytest.approx(alone.logml, abs=CUBATURE)
    assert clustered.mean("rho") == pytest.approx(0.5, abs=CUBATURE)
    assert clustered.sd("rho") == pytest.approx(math.sqrt(1 / 12), abs=CUBATURE)
    assert clustered.mean("tau") == pytest.approx(alone.mean("tau"), abs=CUBATURE)


def test_more_nodes_change_nothing_in_clusters() -> None:
    coarse, fine = (
        c.log_marginal(
            first(BCG, 2), c.CONDITIONAL, tau=BIBMA[1], cluster=[1, 1],
            rho=Prior("beta", (2, 1)), fineness=fineness,
        )
        for fineness in (1.0, 1.3)
    )  # fmt: skip
    assert coarse.logml == pytest.approx(fine.logml, abs=CUBATURE)
    assert coarse.mean("rho") == pytest.approx(fine.mean("rho"), abs=CUBATURE)


def test_a_constant_0_that_moderates_tau_changes_nothing() -> None:
    data = first(BCG, 3)
    free = Prior("normal", (0, 0.25))
    alone = c.log_marginal(data, UNIFORM, tau=BIBMA[1])
    idle = c.log_marginal(data, UNIFORM, tau=BIBMA[1], d=free, w=np.zeros(3))
    assert idle.logml == pytest.approx(alone.logml, abs=SAME)
    assert idle.mean("d") == pytest.approx(0.0, abs=CUBATURE)
    assert idle.sd("d") == pytest.approx(0.25, abs=CUBATURE)


def test_turning_the_moderator_of_tau_around_turns_its_coefficient_around() -> None:
    free, w = Prior("normal", (0, 0.25)), LATITUDE[:4]
    one, other = (
        c.log_marginal(first(BCG, 4), c.CONDITIONAL, tau=BIBMA[1], d=free, w=sign * w)
        for sign in (1, -1)
    )
    assert abs(one.mean("d")) > 0.001
    assert other.logml == pytest.approx(one.logml, abs=SAME)
    assert other.mean("d") == pytest.approx(-one.mean("d"), abs=CUBATURE)


def test_a_moderator_of_tau_has_the_evidence_of_finer_sums() -> None:
    # The figures have 2.2 times as many nodes on every axis; sums over delta, mu, log
    # tau and d, all equally spaced, have them too.
    w = LATITUDE
    found = c.log_marginal(
        BCG, c.CONDITIONAL, mu=BIBMA[0], tau=BIBMA[1], d=Prior("normal", (0, 0.5)), w=w
    )
    assert found.logml == pytest.approx(-52.04895686, abs=CUBATURE)
    means = [found.mean(name) for name in ("mu", "tau", "d")]
    assert means == pytest.approx([-0.61820125, 0.57364191, 0.11904654], abs=CUBATURE)
    assert found.sd("d") == pytest.approx(0.36579378, abs=CUBATURE)
