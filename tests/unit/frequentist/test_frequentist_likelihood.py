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


def moderators(cluster, seed):
    """Intercept, a year that is not centred, and a moderator of clusters."""
    rng = np.random.default_rng(seed)
    years = rng.integers(1950, 2020, cluster.size).astype(float)
    levels = rng.normal(size=cluster.max() + 1)
    return np.column_stack([np.ones(cluster.size), years, levels[cluster]])


@pytest.fixture(
    scope="module", params=[(1, False), (2, False), (3, False), (1, True), (4, True)]
)
def likelihood(request):
    seed, moderated = request.param
    effects = simulated(30, 9, within=0.05, between=0.1, seed=seed)
    return ClusterLikelihood(
        effects.y,
        effects.se**2,
        effects.cluster,
        moderators(effects.cluster, seed) if moderated else None,
    )


def dense(likelihood, within, between):
    same = likelihood.cluster[:, None] == likelihood.cluster
    return np.diag(likelihood.v + within) + between * same


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_the_root_of_the_inverse_covariance_is_one(likelihood, within, between):
    sigma = dense(likelihood, within, between)
    covariance = likelihood.covariance(within, between)
    root = covariance.whitened(np.eye(30)).T
    inverse, sums = covariance.unwhitened(root.T)
    np.testing.assert_allclose(root.T @ root @ sigma, np.eye(30), atol=1e-9)
    np.testing.assert_allclose(inverse @ sigma, np.eye(30), atol=1e-9)
    indicators = likelihood.cluster[:, None] == np.arange(likelihood.n_clusters)
    np.testing.assert_allclose(sums, inverse @ indicators, atol=1e-9)
    expected = np.linalg.slogdet(sigma)[1]
    assert covariance.log_determinant == pytest.approx(expected, rel=1e-9)
    traces = np.trace(inverse), np.trace(inverse @ indicators @ indicators.T)
    assert covariance.inverse_traces == pytest.approx(traces, rel=1e-9)


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_coefficients_are_generalised_least_squares(likelihood, within, between):
    precision = np.linalg.inv(dense(likelihood, within, between))
    weighted = likelihood.x.T @ precision
    estimate, factor = likelihood.coefficients(within, between)
    # the matrix of the dense formula has the square of the columns' condition number
    information = weighted @ likelihood.x
    np.testing.assert_allclose(
        factor.T @ information @ factor, np.eye(likelihood.n_coefficients), atol=1e-8
    )
    expected = np.linalg.solve(information, weighted @ likelihood.y)
    np.testing.assert_allclose(
        likelihood.x @ estimate, likelihood.x @ expected, rtol=1e-7, atol=1e-7
    )


def best_mean(likelihood, within, between):
    return likelihood.x @ likelihood.coefficients(within, between)[0]


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_ml_is_the_multivariate_normal_density_at_the_best_mean(
    likelihood, within, between
):
    expected = multivariate_normal.logpdf(
        likelihood.y,
        best_mean(likelihood, within, between),
        dense(likelihood, within, between),
    )
    value, _ = likelihood.evaluate(within, between, reml=False)
    assert value == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize(("within", "between"), COMPONENTS)
def test_reml_is_the_density_of_orthonormal_error_contrasts(
    likelihood, within, between
):
    contrasts = null_space(likelihood.x.T).T
    expected = multivariate_normal.logpdf(
        contrasts @ likelihood.y,
        cov=contrasts @ dense(likelihood, within, between) @ contrasts.T,
    )
    value, _ = likelihood.evaluate(within, between, reml=True)
    assert value == pytest.approx(expected, rel=ROUNDING)


def test_other_columns_with_the_same_span_change_no_likelihood(likelihood):
    rng = np.random.default_rng(6)
    p = likelihood.n_coefficients
    mixed = likelihood.x @ rng.normal(size=(p, p))
    other = ClusterLikelihood(likelihood.y, likelihood.v, likelihood.cluster, mixed)
    for reml in (False, True):
        value, gradient = likelihood.evaluate(0.1, 0.2, reml=reml)
        again, other_gradient = other.evaluate(0.1, 0.2, reml=reml)
        assert again == pytest.approx(value, rel=1e-9)
        np.testing.assert_allclose(other_gradient, gradient, rtol=1e-7)


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
        likelihood.y, likelihood.v, np.arange(likelihood.n_estimates), likelihood.x
    )
    value, gradient = alone.evaluate(0.3, 0.0, reml=reml)
    split, split_gradient = alone.evaluate(0.1, 0.2, reml=reml)
    assert split == pytest.approx(value, rel=ROUNDING)
    np.testing.assert_allclose(gradient[0], gradient[1], rtol=1e-9)
    np.testing.assert_allclose(split_gradient, gradient, rtol=1e-9)


def test_order_of_the_estimates_does_not_matter(likelihood):
    order = np.random.default_rng(4).permutation(likelihood.n_estimates)
    shuffled = ClusterLikelihood(
        likelihood.y[order],
        likelihood.v[order],
        likelihood.cluster[order],
        likelihood.x[order],
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
