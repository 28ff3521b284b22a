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
