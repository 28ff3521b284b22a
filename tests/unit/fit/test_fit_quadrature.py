"""Choice of the quadrature rule for a cluster's common factor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from pyrobma.fit.quadrature import COARSEST, REACHES, SPACINGS, Rule, first_exact

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


def test_a_rule_is_held_to_both_at_once():
    both = jump(lambda rule: (rule.reach >= 7.4) + 2.0 * (rule.spacing <= 0.3))
    assert first_exact(both, COARSEST, 1e-4) == Rule(0.3, 8.0)


@pytest.mark.parametrize(
    "seen", [lambda rule: rule.reach >= 7.4, lambda rule: rule.spacing <= 0.3]
)
def test_either_difference_may_be_the_tolerance_and_no_more(seen):
    assert first_exact(jump(seen, 1e-4), COARSEST, 1e-4) == COARSEST
    assert first_exact(jump(seen, 1.01e-4), COARSEST, 1e-4) != COARSEST
