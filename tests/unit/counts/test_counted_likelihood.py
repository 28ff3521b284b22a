"""Likelihoods of single studies' counts, their tables, integrals and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import betaln, expit, gammaln, log_expit, logsumexp

from pyrobma.counts.baseline import CONDITIONAL, Baseline
from pyrobma.counts.drawing import draw_events
from pyrobma.counts.integrals import common_factor, true_effect
from pyrobma.counts.likelihood import log_likelihood
from pyrobma.counts.tables import TOLERANCE, study_table
from pyrobma.effects import event_counts

DELTA = np.array([-6.0, -1.0, 0.0, 0.4, 3.0])
UNIFORM, HALF = Baseline("beta", 1.0, 1.0), Baseline("beta", 0.5, 0.5)


def risks(x1, n1, x2, n2):
    return event_counts(x1=[x1], n1=[n1], x2=[x2], n2=[n2]).counts


def rates(x1, t1, x2, t2):
    return event_counts(x1=[x1], t1=[t1], x2=[x2], t2=[t2]).counts


STUDIES = {
    "some": risks(4, 40, 7, 41),
    "empty cell": risks(5, 35, 0, 39),
    "no events": risks(0, 40, 0, 40),
    "all events": risks(9, 9, 11, 12),
    "large": risks(505, 88391, 499, 88391),
    "one each": risks(1, 1, 0, 1),
}


def log_choose(n, x):
    return gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)


@pytest.mark.parametrize("name", STUDIES)
def test_conditional_likelihood_is_the_noncentral_hypergeometric(name):
    study = STUDIES[name]
    x1, n1, x2, n2 = (float(x[0]) for x in study.columns.values())
    found = log_likelihood(study, CONDITIONAL, DELTA)[0]
    events = x1 + x2
    x = np.arange(max(0.0, events - n2), min(n1, events) + 1)
    logs = log_choose(n1, x) + log_choose(n2, events - x) + DELTA[:, None] * x
    expected = logs[:, x == x1][:, 0] - logsumexp(logs, axis=1)
    # Differences of logs of factorials of up to 177,000: 1e6 times rounding.
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("baseline", [UNIFORM, HALF], ids=str)
@pytest.mark.parametrize("name", STUDIES)
def test_baseline_of_a_risk_is_integrated(name, baseline):
    study = STUDIES[name]
    x1, n1, x2, n2 = (float(x[0]) for x in study.columns.values())
    found = log_likelihood(study, baseline, DELTA)[0]
    a, b = baseline.first, baseline.second
    centre = np.log((x1 + x2 + 0.5) / (n1 + n2 - x1 - x2 + 0.5))
    for delta, value in zip(DELTA, found, strict=True):

        def log_f(phi, delta=delta):
            return (
                stats.binom.logpmf(x1, n1, expit(phi + delta / 2))
                + stats.binom.logpmf(x2, n2, expit(phi - delta / 2))
                + a * log_expit(phi)
                + b * log_expit(-phi)
                - betaln(a, b)
            )

        phi = centre + np.linspace(-60.0, 60.0, 60_001)
        # Trapezoids of a smooth integrand that has fallen to nothing at both ends.
        expected = logsumexp(log_f(phi)) + np.log(phi[1] - phi[0])
        assert value == pytest.approx(expected, abs=2e-8)  # scipy's binomials


def test_baseline_of_a_rate_is_integrated():
    study = rates(3, 120.5, 0, 90.0)
    baseline = Baseline("normal", -3.0, 1.2)
    for delta, value in zip(
        DELTA, log_likelihood(study, baseline, DELTA)[0], strict=True
    ):
        expected, _ = integrate.quad(
            lambda phi, delta=delta: (
                stats.poisson.pmf(3, 120.5 * np.exp(phi + delta / 2))
                * stats.poisson.pmf(0, 90.0 * np.exp(phi - delta / 2))
                * stats.norm.pdf(phi, -3.0, 1.2)
            ),
            -12.0, 8.0, epsabs=0, epsrel=1e-10, limit=500,
        )  # fmt: skip
        assert value == pytest.approx(np.log(expected), abs=1e-8)


def test_conditional_rates_are_binomial():
    found = log_likelihood(rates(3, 120.5, 8, 90.0), CONDITIONAL, DELTA)[0]
    p = expit(np.log(120.5 / 90.0) + DELTA)
    np.testing.assert_allclose(found, stats.binom.logpmf(3, 11, p), atol=1e-10)


@pytest.mark.parametrize("baseline", [CONDITIONAL, UNIFORM], ids=str)
@pytest.mark.parametrize("name", STUDIES)
def test_derivatives_are_those_of_the_log_likelihood(name, baseline):
    h = 1e-4
    value, slope, curvature = log_likelihood(STUDIES[name], baseline, DELTA)
    up, down = (log_likelihood(STUDIES[name], baseline, DELTA + s)[0] for s in (h, -h))
    # Of second order in h; cancellation of 1e-13 over h^2.
    scale = 1e-6 * (1.0 + np.abs(value).max())
    np.testing.assert_allclose(slope, (up - down) / (2 * h), atol=scale)
    np.testing.assert_allclose(
        curvature, (up - 2 * value + down) / h**2, atol=100 * scale
    )


def test_studies_without_events_say_nothing_unless_baselines_have_a_prior():
    study = STUDIES["no events"]
    assert not log_likelihood(study, CONDITIONAL, DELTA)[0].any()
    with_prior = log_likelihood(study, UNIFORM, np.array([0.0, 1.0, 2.0, 4.0]))[0]
    ratios = np.exp(with_prior[1:] - with_prior[0])
    np.testing.assert_allclose(ratios, [0.892, 0.658, 0.274], atol=5e-4)  # printed


@pytest.mark.parametrize("baseline", [CONDITIONAL, UNIFORM, HALF], ids=str)
@pytest.mark.parametrize("name", STUDIES)
def test_tables_are_as_exact_as_they_promise(name, baseline):
    table = study_table(STUDIES[name], baseline)
    rng = np.random.default_rng(1)
    top = table.knot[np.argmax(table.log_h)]
    delta = np.concatenate([top + rng.normal(0, 2, 200), rng.uniform(-300, 300, 100)])
    value, slope, _ = table.function()(delta)
    exact = log_likelihood(STUDIES[name], baseline, delta)
    fallen = 1.0 + np.abs(exact[0] - table.log_h.max())
    # Looked at in three places of each cell, between which the error can be larger.
    assert (np.abs(value - exact[0]) <= 5 * TOLERANCE * fallen).all()
    assert (np.abs(slope - exact[1]) <= 1e-6 * fallen).all()


def test_table_of_the_same_counts_is_made_once():
    first = study_table(STUDIES["some"], UNIFORM)
    assert study_table(risks(4, 40, 7, 41), UNIFORM) is first


U = np.array([0.025, 0.2, 0.5, 0.9])


@pytest.mark.parametrize("sd", [0.0, 1e-6, 0.3, 4.0])
@pytest.mark.parametrize("name", ["some", "empty cell", "no events", "large"])
def test_true_effect_has_the_distribution_of_prior_times_likelihood(name, sd):
    table = study_table(STUDIES[name], CONDITIONAL)
    mean = np.full(len(U), -0.4)
    found = true_effect(table, mean, np.full(len(U), sd), U)
    if sd == 0.0:
        np.testing.assert_array_equal(found.value, mean)
        np.testing.assert_allclose(
            found.log_total, table.function()(mean)[0], atol=1e-12
        )
        return
    h = table.function()
    rough = np.linspace(-12.0, 12.0, 400_001)
    near = h(-0.4 + sd * rough)[0] - 0.5 * rough**2
    inside = rough[near > near.max() - 40.0]
    z = np.linspace(inside[0], inside[-1], 400_001)
    log = h(-0.4 + sd * z)[0] + stats.norm.logpdf(z)
    total = logsumexp(log) + np.log(z[1] - z[0])
    np.testing.assert_allclose(found.log_total, total, atol=1e-8)
    cdf = np.cumsum(np.exp(log - total)) * (z[1] - z[0])
    value = (found.value + 0.4) / sd
    # Cubic pieces between points a quarter of a standard deviation apart.
    np.testing.assert_allclose(np.interp(value, z, cdf), U, atol=3e-4)


def test_common_factor_has_the_distribution_of_prior_times_likelihoods():
    tables = [study_table(STUDIES[n], CONDITIONAL) for n in ("some", "empty cell")]
    mean, sd, load = (
        np.array([[a], [b]]) for a, b in ((-0.3, 0.2), (0.4, 0.1), (0.7, 0.9))
    )
    found = common_factor(tables, mean, sd, load)
    g = np.linspace(-9.0, 9.0, 3601)
    half = np.full(g.size, 0.5)
    each = [
        true_effect(t, m + k * g, np.full(g.size, s), half).log_total
        for t, m, s, k in zip(tables, mean[:, 0], sd[:, 0], load[:, 0], strict=True)
    ]
    log = sum(each) + stats.norm.logpdf(g)
    total = logsumexp(log) + np.log(g[1] - g[0])
    others = [logsumexp(log - one) + np.log(g[1] - g[0]) for one in each]
    # Splines of log L between 120 means and 30 standard deviations.
    assert found.log_total[0] == pytest.approx(total, abs=1e-4)
    np.testing.assert_allclose(
        found.log_removal[:, 0], total - np.array(others), atol=1e-4
    )
    cdf = np.cumsum(np.exp(log - total)) * (g[1] - g[0])
    for u in U:
        value = found.quantile(np.array([u]))[0]
        assert np.interp(value, g, cdf) == pytest.approx(u, abs=2e-3)  # steps of g


@pytest.mark.parametrize(
    ("study", "baseline"),
    [
        (STUDIES["some"], CONDITIONAL),
        (STUDIES["some"], UNIFORM),
        (rates(3, 120.5, 8, 90.0), CONDITIONAL),
        (rates(3, 120.5, 8, 90.0), Baseline("normal", -3.0, 0.8)),
    ],
)
def test_drawn_counts_have_the_probabilities_of_the_likelihood(study, baseline):
    rng = np.random.default_rng(3)
    n = 40_000
    x1, x2 = draw_events(study, baseline, np.full(n, 0.6), rng)
    seen, times = np.unique(np.column_stack([x1, x2]), axis=0, return_counts=True)
    for (a, b), count in zip(seen[times > 200], times[times > 200], strict=True):
        sizes = (study.size1[0], study.size2[0])
        other = (
            rates(a, sizes[0], b, sizes[1])
            if study.rates
            else risks(a, sizes[0], b, sizes[1])
        )
        p = float(np.exp(log_likelihood(other, baseline, np.array([0.6]))[0][0]))
        # Five standard errors of a frequency.
        assert count / n == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n))
