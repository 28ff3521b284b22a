import numpy as np
import pytest
from frequentist_data import simulated
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

from pyrobma.frequentist.likelihood import (
    ClusterLikelihood,
    maximise,
    maximum_on_line,
)

COMPONENTS = [(0.0, 0.0), (0.1, 0.0), (0.0, 0.3), (0.05, 0.2), (3.0, 40.0)]
# both sides are sums of a few dozen terms of order one
ROUNDING = 1e-11
# central differences: step² times the third derivative, and rounding over the step
DIFFERENCES = 2e-6


@pytest.fixture(scope="module", params=[1, 2, 3])
def likelihood(request):
    effects = simulated(30, 9, within=0.05, between=0.1, seed=request.param)
    return ClusterLikelihood(effects.y, effects.se**2, effects.cluster)


def dense(likelihood, within, between):
    same = likelihood.cluster[:, None] == likelihood.cluster
    return np.diag(likelihood.v + within) + between * same


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_mean_is_generalised_least_squares(likelihood, within, between):
    precision = np.linalg.inv(dense(likelihood, within, between))
    mu, variance = likelihood.mean(within, between)
    assert variance == pytest.approx(1.0 / precision.sum(), rel=ROUNDING)
    assert mu == pytest.approx(variance * (precision @ likelihood.y).sum(), rel=1e-9)


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_ml_is_the_multivariate_normal_density_at_the_best_mean(
    likelihood, within, between
):
    mu, _ = likelihood.mean(within, between)
    expected = multivariate_normal.logpdf(
        likelihood.y,
        np.full(likelihood.n_estimates, mu),
        dense(likelihood, within, between),
    )
    value, _ = likelihood.evaluate(within, between, reml=False)
    assert value == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_reml_is_the_density_of_orthonormal_error_contrasts(
    likelihood, within, between
):
    contrasts = null_space(np.ones((1, likelihood.n_estimates))).T
    expected = multivariate_normal.logpdf(
        contrasts @ likelihood.y,
        cov=contrasts @ dense(likelihood, within, between) @ contrasts.T,
    )
    value, _ = likelihood.evaluate(within, between, reml=True)
    assert value == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize(("within", "between"), [(0.1, 0.2), (0.02, 0.5), (1.0, 0.03)])
def test_gradient_is_the_slope_of_the_value(likelihood, within, between, reml):
    step = 1e-5
    _, gradient = likelihood.evaluate(within, between, reml=reml)

    def slope(dw, db):
        up, _ = likelihood.evaluate(within + dw, between + db, reml=reml)
        down, _ = likelihood.evaluate(within - dw, between - db, reml=reml)
        return (up - down) / (2 * step)

    expected = [slope(step, 0.0), slope(0.0, step)]
    np.testing.assert_allclose(gradient, expected, rtol=DIFFERENCES, atol=DIFFERENCES)


@pytest.mark.parametrize("reml", [False, True])
def test_without_clusters_only_the_sum_of_the_components_counts(likelihood, reml):
    alone = ClusterLikelihood(
        likelihood.y, likelihood.v, np.arange(likelihood.n_estimates)
    )
    value, gradient = alone.evaluate(0.3, 0.0, reml=reml)
    split, split_gradient = alone.evaluate(0.1, 0.2, reml=reml)
    assert split == pytest.approx(value, rel=ROUNDING)
    np.testing.assert_allclose(gradient[0], gradient[1], rtol=1e-9)
    np.testing.assert_allclose(split_gradient, gradient, rtol=1e-9)


def test_order_of_the_estimates_does_not_matter(likelihood):
    order = np.random.default_rng(4).permutation(likelihood.n_estimates)
    shuffled = ClusterLikelihood(
        likelihood.y[order], likelihood.v[order], likelihood.cluster[order]
    )
    assert shuffled.evaluate(0.1, 0.2, reml=True)[0] == pytest.approx(
        likelihood.evaluate(0.1, 0.2, reml=True)[0], rel=ROUNDING
    )


def test_a_large_common_shift_of_one_cluster_loses_no_digits():
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.normal(0.0, 0.1, 5), rng.normal(0.0, 0.1, 5)])
    cluster = np.repeat([0, 1], 5)
    near = ClusterLikelihood(y, np.full(10, 0.01), cluster)
    far = ClusterLikelihood(y + 1e6 * cluster, np.full(10, 0.01), cluster)
    # the slope in `within` sees the deviations inside the clusters, which are equal
    expected = near.evaluate(0.02, 1e12, reml=True)[1][0]
    # 1e6 leaves ten digits of the deviations
    assert far.evaluate(0.02, 1e12, reml=True)[1][0] == pytest.approx(
        expected, rel=1e-7
    )


def two_peaks(x):
    """Peaks at 1 (height 1) and at 4 (height 2)."""
    low, high = np.exp(-((x - 1.0) ** 2)), 2.0 * np.exp(-((x - 4.0) ** 2))
    return low + high, -2.0 * (x - 1.0) * low - 2.0 * (x - 4.0) * high


def test_the_higher_of_two_peaks_is_found_from_several_starts():
    def objective(x):
        value, slope = two_peaks(x[0])
        return value, np.array([slope])

    x, value = maximise(objective, [np.array([0.5]), np.array([3.5])], unit=2.0)
    assert x[0] == pytest.approx(4.0, abs=1e-3)
    assert value == pytest.approx(2.0, abs=1e-3)


def test_the_highest_point_of_a_line_is_found_inside_its_grid():
    best = maximum_on_line(
        lambda x: float(two_peaks(x)[0]), [0.0, 1.5, 3.5, 6.0], bounded=True
    )
    assert best == pytest.approx(2.0, abs=1e-3)


def test_the_grid_of_an_unbounded_line_goes_on_to_the_peak():
    best = maximum_on_line(lambda x: -((x - 300.0) ** 2), [0.0, 1.0], bounded=False)
    assert best == pytest.approx(0.0, abs=1e-6)


def test_the_maximum_of_a_bounded_line_may_be_at_an_end():
    assert maximum_on_line(lambda x: x, [0.0, 0.4, 1.0], bounded=True) == 1.0
    assert maximum_on_line(lambda x: -x, [0.0, 0.4, 1.0], bounded=True) == 0.0
