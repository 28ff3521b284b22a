"""The oracle of counts against published numbers, closed forms and itself."""

from __future__ import annotations

import csv
import math
from importlib import resources

import counts as c
import numpy as np
import pytest
from quadrature import Prior
from scipy import integrate, special, stats

# mu and tau as in BiBMA 3.6, and as in RoBMA 4.
BIBMA = (Prior("student_t", (0, 0.58, 4)), Prior("inverse_gamma", (1.77, 0.55)))
ROBMA = (Prior("normal", (0, 1)), Prior("normal", (0, 0.5), lower=0))
RARE = (Prior("student_t", (0, 0.48, 3)), Prior("inverse_gamma", (1.67, 0.45)))
UNIFORM, JEFFREYS = Prior("beta", (1, 1)), Prior("beta", (0.5, 0.5))
KEYS = ((), ("tau",), ("mu",), ("mu", "tau"))


def column(name: str, dataset: str = "bcg") -> np.ndarray:
    text = resources.files("pyrobma").joinpath(f"effects/datasets/{dataset}.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    return np.array([float(row[name]) for row in rows])


TREATED, CONTROLS = column("tpos"), column("cpos")
BCG = c.studies(TREATED, TREATED + column("tneg"), CONTROLS, CONTROLS + column("cneg"))
PERSON_TIME = BCG._replace(rates=True)
TWO = c.studies([5, 2], [35, 40], [0, 0], [39, 40])


@pytest.mark.parametrize(
    ("data", "baseline", "priors", "logml", "bf", "means"),
    [
        # Elsewhere -170.27565 and -56.03830 for tau alone: 1e-5 of its tail was cut.
        (BCG, UNIFORM, BIBMA, (-299.83383, -170.275642, -234.85975, -166.05665),
         (67.9653, 7.71169e29), (-0.666941, 0.585804)),
        (BCG, UNIFORM, ROBMA, (-299.83383, -170.22677, -235.06752, -165.86177),
         (78.6491, 1.15124e30), (-0.706644, 0.591357)),
        (BCG, JEFFREYS, BIBMA, (-285.59430, -155.71176, -220.56739, -151.49729),
         (67.6586, 1.00724e30), (-0.672230, 0.591119)),
        (BCG, c.CONDITIONAL, BIBMA, (-186.17436, -56.038290, -121.11361, -51.83109),
         (67.1689, 1.24576e30), (-0.676934, 0.596017)),
        (PERSON_TIME, Prior("normal", (-4.9328578, 1)), ROBMA,
         (-257.01765, -135.99645, -195.13564, -131.66658),
         (75.9350, 3.71489e27), (-0.707252, 0.599330)),
        (TWO, UNIFORM, RARE, (-14.015397, -13.383835, -12.757079, -12.622106),
         (2.62019, 1.30737), (0.693871, 0.421648)),
        (TWO, JEFFREYS, RARE, (-13.129884, -12.346848, -11.706582, -11.516164),
         (2.8770, 1.3997), (0.82689, 0.52545)),
        # Elsewhere -4.200, -3.355, 3.04 and 1.62: the tail of tau is long.
        (TWO, c.CONDITIONAL, RARE, (-5.30346, -4.200140, -3.657106, -3.354612),
         (3.041393, 1.621639), (1.0865, 1.27216)),
    ],
)  # fmt: skip
def test_four_models_have_the_published_evidence_and_means(
    data: c.Studies,
    baseline: Prior,
    priors: tuple[Prior, Prior],
    logml: tuple[float, ...],
    bf: tuple[float, float],
    means: tuple[float, float],
) -> None:
    found = c.ensemble(data, baseline, mu=priors[0], tau=priors[1])
    # Half a unit of the last printed digit, and what cut tails cost there: 1e-6.
    assert [found.models[key].logml for key in KEYS] == pytest.approx(logml, abs=6e-6)
    assert found.inclusion_bf("mu") == pytest.approx(bf[0], rel=2e-5)
    assert found.inclusion_bf("tau") == pytest.approx(bf[1], rel=4e-5)
    # Means of wide posteriors feel cut tails more: those of two studies in digit 5.
    tolerance = 1e-6 if data is not TWO else 2e-4
    assert found.mean("mu") == pytest.approx(means[0], abs=tolerance)
    assert found.mean("tau") == pytest.approx(means[1], abs=tolerance)


def test_eight_models_with_latitude_have_the_published_evidence() -> None:
    ablat = column("ablat")
    x = (ablat - ablat.mean()) / ablat.std(ddof=1)
    found = c.ensemble(
        BCG, UNIFORM, mu=BIBMA[0], tau=BIBMA[1], beta=Prior("normal", (0, 0.29)), x=x
    )
    published = {
        (): -299.83383, ("beta",): -279.34030, ("tau",): -170.275642,
        ("tau", "beta"): -170.036232, ("mu",): -234.85975, ("mu", "beta"): -163.24832,
        ("mu", "tau"): -166.05665, ("mu", "tau", "beta"): -162.70728,
    }  # fmt: skip
    for key, logml in published.items():
        # Half a unit of the last printed digit.
        assert found.models[key].logml == pytest.approx(logml, abs=6e-6)
    factors = [found.inclusion_bf(name) for name in ("mu", "tau", "beta")]
    assert factors == pytest.approx([1378.98, 1.78012, 44.4321], rel=1e-5)
    assert found.mean("mu") == pytest.approx(-0.713457, abs=1e-6)
    assert found.mean("tau") == pytest.approx(0.190162, abs=1e-6)


@pytest.mark.parametrize("baseline", [UNIFORM, c.CONDITIONAL])
def test_swapping_arms_turns_the_effect_around(baseline: Prior) -> None:
    one = c.log_marginal(TWO, baseline, mu=RARE[0], tau=RARE[1])
    other = c.log_marginal(TWO.swapped_arms(), baseline, mu=RARE[0], tau=RARE[1])
    assert other.logml == pytest.approx(one.logml, abs=1e-8)  # nodes differ
    assert other.mean("mu") == pytest.approx(-one.mean("mu"), abs=1e-6)


@pytest.mark.parametrize("baseline", [UNIFORM, c.CONDITIONAL])
def test_swapping_events_and_non_events_turns_the_effect_around(
    baseline: Prior,
) -> None:
    one = c.log_marginal(TWO, baseline, mu=RARE[0], tau=RARE[1])
    other = c.log_marginal(TWO.swapped_events(), baseline, mu=RARE[0], tau=RARE[1])
    assert other.logml == pytest.approx(one.logml, abs=1e-8)  # nodes differ
    assert other.mean("mu") == pytest.approx(-one.mean("mu"), abs=1e-6)


def test_without_an_effect_a_study_is_beta_binomial() -> None:
    expected = 0.0
    for x1, n1, x2, n2 in zip(*BCG[:4], strict=True):
        expected += math.log(special.comb(n1, x1)) if n1 < 500 else _log_choose(n1, x1)
        expected += math.log(special.comb(n2, x2)) if n2 < 500 else _log_choose(n2, x2)
        expected += special.betaln(x1 + x2 + 1, n1 + n2 - x1 - x2 + 1)
    found = c.log_marginal(BCG, UNIFORM).logml
    assert found == pytest.approx(expected, abs=1e-9)
    assert found == pytest.approx(-299.8338306, abs=1e-7)


def _log_choose(n: float, x: int) -> float:
    return float(-math.log1p(n) - special.betaln(n - x + 1, x + 1))


def test_conditional_likelihood_is_the_noncentral_hypergeometric() -> None:
    delta = np.array([-2.0, 0.0, 0.7])
    found = c.log_h(c.studies([4], [30], [7], [25]), delta, c.CONDITIONAL)
    expected = stats.nchypergeom_fisher.logpmf(4, 55, 30, 11, np.exp(delta))
    assert found == pytest.approx(expected, abs=1e-9)  # that of its own iteration


def test_studies_without_events_say_nothing_to_the_conditional_likelihood() -> None:
    empty = c.studies([*TWO.x1, 0], [*TWO.n1, 50], [*TWO.x2, 0], [*TWO.n2, 70])
    answers = [
        c.log_marginal(data, c.CONDITIONAL, mu=RARE[0], tau=RARE[1]).logml
        for data in (TWO, empty)
    ]
    assert answers[0] == pytest.approx(answers[1], abs=1e-10)


def test_rates_with_flat_baselines_are_binomial_given_their_sum() -> None:
    study = c.studies([3], [120.0], [8], [95.0], rates=True)
    delta = np.array([-1.0, 0.0, 2.0])
    flat = c.log_h(study, delta, Prior("normal", (0.0, 1e4)))
    given = c.log_h(study, delta, c.CONDITIONAL)
    # The prior is flat to (10 / 1e4)^2.
    assert flat - flat[0] == pytest.approx(given - given[0], abs=1e-5)


def test_integral_over_true_effects_agrees_with_another_integrator() -> None:
    table = c.table(c.studies([5], [35], [0], [39]), UNIFORM)
    for m, s in ((0.5, 0.3), (-3.0, 2.0), (1.0, 40.0)):
        value, _ = integrate.quad(
            lambda z, m=m, s=s: math.exp(table(m + s * z) - 0.5 * z**2),
            -12, 12, epsabs=0, epsrel=1e-10, limit=500,
            points=[-m / s, (3 - m) / s],
        )  # fmt: skip
        expected = math.log(value) - 0.5 * math.log(2 * math.pi)
        assert c.log_smoothed(table, m, s) == pytest.approx(expected, abs=1e-8)


def test_clusters_of_one_leave_nothing_to_learn_about_rho() -> None:
    alone = c.log_marginal(TWO, UNIFORM, mu=RARE[0], tau=RARE[1])
    clustered = c.log_marginal(
        TWO, UNIFORM, mu=RARE[0], tau=RARE[1], cluster=[0, 1], rho=Prior("beta", (1, 1))
    )
    assert clustered.logml == pytest.approx(alone.logml, abs=1e-6)  # three dimensions
    assert clustered.mean("rho") == pytest.approx(0.5, abs=1e-6)


def test_more_nodes_change_nothing() -> None:
    ablat = column("ablat")
    w = (ablat - ablat.mean()) / ablat.std(ddof=1)
    coarse, fine = (
        c.log_marginal(
            BCG, c.CONDITIONAL, mu=BIBMA[0], tau=BIBMA[1],
            d=Prior("normal", (0, 0.5)), w=w, fineness=fineness,
        )
        for fineness in (1.0, 1.3)
    )  # fmt: skip
    # Nodes end 40 nats below the top, which is not the same node for both.
    assert fine.logml == pytest.approx(coarse.logml, abs=2e-6)
    assert fine.mean("d") == pytest.approx(coarse.mean("d"), abs=2e-6)
