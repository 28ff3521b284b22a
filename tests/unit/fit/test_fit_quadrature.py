"""Choice of the quadrature rule for a cluster's common factor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

import pyrobma as rb
from pyrobma.fit import SamplerSettings, fit_model
from pyrobma.fit import model as fitting
from pyrobma.fit.quadrature import (
    COARSEST,
    REACHES,
    SPACINGS,
    TOLERANCE,
    Rule,
    first_exact,
)
from pyrobma.models import Task

# For C(g) = Phi(a + b g) the integral is Phi(a / sqrt(1 + b^2)).
SMOOTH, STEEP = 1.0, 12.0


def values(a, b, power=1):
    """Log integral of Phi(a + b g)^power under each rule, as an array of one."""

    def under(rule):
        log_c = power * norm.logcdf(a + b * rule.nodes)
        return np.array([np.logaddexp.reduce(log_c + rule.log_weights)])

    return under


@pytest.mark.parametrize("slope", [SMOOTH, STEEP])
def test_chosen_rule_is_as_exact_as_asked_for(slope):
    found = values(0.3, slope)
    rule = first_exact(found, COARSEST, 1e-4)
    exact = np.log(ndtr(0.3 / np.sqrt(1 + slope**2)))
    assert found(rule)[0] == pytest.approx(exact, abs=1e-4)


def test_steeper_factors_need_closer_nodes():
    chosen = [first_exact(values(0.3, b), COARSEST, 1e-4) for b in (SMOOTH, 4.0, STEEP)]
    assert chosen[0].spacing > chosen[1].spacing > chosen[2].spacing


def test_mass_far_out_needs_a_longer_reach():
    # The integrand Phi(g - 4)^20 phi(g) has its mass more than 4 deviations out.
    far = values(-4.0, 1.0, power=20)
    near, wide = (first_exact(f, COARSEST, 1e-4) for f in (values(0.0, 1.0), far))
    assert near.reach == REACHES[0]
    assert wide.reach > near.reach
    assert far(wide)[0] == pytest.approx(far(Rule(0.01, 20.0))[0], abs=1e-4)


def test_search_goes_on_from_where_it_is_told_to():
    start = Rule(SPACINGS[3], REACHES[2])
    rule = first_exact(values(0.0, 0.1), start, 1e-2)
    assert rule == start


def test_nothing_is_returned_if_no_rule_is_exact_enough():
    assert first_exact(values(0.3, 5000.0), COARSEST, 1e-12) is None


# What a rule is held to. Values that jump where a rule begins to see something tell
# which rules are compared.


def jump(seen, height=1.0):
    """Log densities that change by a height in rules that see what others miss."""
    return lambda rule: np.array([0.3, height * seen(rule)])


def test_a_rule_is_held_to_one_that_reaches_three_deviations_farther():
    # 4.5 + 3 and 6 + 3 see what lies 7.4 out; to one deviation more 4.5 would do.
    rule = first_exact(jump(lambda rule: rule.reach >= 7.4), COARSEST, 1e-4)
    assert rule == Rule(SPACINGS[0], 8.0)


def test_a_rule_is_held_to_one_three_times_as_fine():
    # 0.75 / 3 sees what nodes 0.3 apart see; twice as fine would do for 0.75.
    rule = first_exact(jump(lambda rule: rule.spacing <= 0.3), COARSEST, 1e-4)
    assert rule == Rule(0.3, REACHES[0])


def test_what_only_still_wider_or_finer_rules_see_is_not_asked_for():
    # 4.5 + 3 and 0.75 / 3 are not far and not fine enough to see these.
    for seen in (lambda rule: rule.reach >= 7.6, lambda rule: rule.spacing <= 0.24):
        assert first_exact(jump(seen), COARSEST, 1e-4) == COARSEST


def test_rules_get_wider_and_finer_in_steps_of_less_than_a_factor_of_two():
    for ratios in (
        np.divide(SPACINGS[:-1], SPACINGS[1:]), np.divide(REACHES[1:], REACHES[:-1])
    ):  # fmt: skip
        assert (ratios > 1.0).all()
        assert (ratios <= 2.0).all()


def test_a_rule_is_held_to_both_at_once():
    both = jump(lambda rule: (rule.reach >= 7.4) + 2.0 * (rule.spacing <= 0.3))
    assert first_exact(both, COARSEST, 1e-4) == Rule(0.3, 8.0)


@pytest.mark.parametrize(
    "seen", [lambda rule: rule.reach >= 7.4, lambda rule: rule.spacing <= 0.3]
)
def test_either_difference_may_be_the_tolerance_and_no_more(seen):
    assert first_exact(jump(seen, 1e-4), COARSEST, 1e-4) == COARSEST
    assert first_exact(jump(seen, 1.01e-4), COARSEST, 1e-4) != COARSEST


# Where a fit is certified.


def test_a_fit_is_certified_at_draws_of_its_survey_and_of_all_its_chains(monkeypatch):
    effects = rb.effect_sizes(
        d=[0.5, 0.3, 0.6, 0.1], se=[0.2, 0.2, 0.25, 0.15], study_ids=[1, 1, 2, 2]
    )
    spec = rb.model(
        mu=rb.prior("normal", mean=0, sd=1),
        tau=rb.prior("normal", mean=0, sd=0.3, lower=0),
        rho=rb.prior("spike", location=0.5),
        bias=rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1]),
    )
    seen = []

    def recorded(values, start, tolerance):
        rule = first_exact(values, start, tolerance)
        seen.append((tolerance, len(values(start)), rule))
        return rule

    certified = []
    spread = fitting._spread

    def spied(job, rule, chains):
        points = spread(job, rule, chains)
        flat = chains.constrained.reshape(600, -1)
        even = flat[np.linspace(0, 599, 200, dtype=int)]
        with job.density(rule) as density:
            certified.append((points, density.unconstrain(even)))
        return points

    monkeypatch.setattr(fitting, "first_exact", recorded)
    monkeypatch.setattr(fitting, "_spread", spied)
    settings = SamplerSettings(chains=2, draws=300, max_draws=300)
    fit = fit_model(Task(effects, "cohens_d"), spec, settings, 1)
    tolerances = [tolerance for tolerance, _, _ in seen]
    # At modes; ten times sharper at 40 draws of the survey, which see less of the
    # tails; at 200 draws of the chains, and not at fewer.
    assert tolerances[0] == TOLERANCE == 1e-3
    sharper = [count for tolerance, count, _ in seen if tolerance == TOLERANCE / 10]
    assert sharper
    assert set(sharper) == {40}
    assert tolerances[-1] == TOLERANCE
    assert seen[-1][1:] == (200, fit.rule)
    # From the first draw of the first chain to the last of the last one.
    np.testing.assert_array_equal(*certified[-1])
