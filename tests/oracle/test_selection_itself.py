"""The selection oracle against other integrators, identities and published figures."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import quadrature as q
import selection as s
from quadrature import Prior
from scipy import integrate, special, stats

Array = npt.NDArray[np.float64]

# Rectangles of absolute error 1e-12 over constants above 1e-2.
RECTANGLES = 1e-10
# Two evaluations to rounding, on log constants of up to a few hundred.
ROUNDING = 1e-9
# scipy's quasi-Monte-Carlo rectangles, run with an absolute tolerance of 1e-6.
SCIPY_RECTANGLES = 1e-5
# Figures given to ten digits.
TEN_DIGITS = 1e-8
# One- and two-parameter models: the rules give more than the stated accuracy.
LOGML = 1e-5

NORMAL, INVERSE_GAMMA, BETA = (
    q.DEFAULT_EFFECT,
    q.DEFAULT_HETEROGENEITY,
    q.DEFAULT_HIERARCHICAL,
)

Z = {
    (1, 2): [1.96],
    (1, 3): [1.645, 1.96],
    (1, 4): [0.0, 1.645, 1.96],
    (2, 2): [1.96],
    (2, 3): [1.645, 1.96],
    (2, 4): [0.67, 1.645, 1.96],
}
OMEGA = {2: [0.2, 1.0], 3: [0.15, 0.4, 1.0], 4: [0.1, 0.35, 0.7, 1.0]}

# Bem (2011), Journal of Personality and Social Psychology 100, 407-425: nine studies,
# Cohen's d and its standard error.
BEM_D = np.array([0.25, 0.2, 0.26, 0.23, 0.22, 0.15, 0.09, 0.19, 0.42])
BEM_SE = np.array(
    [
        0.10155048005795,
        0.0824621125123532,
        0.103236291868523,
        0.101824269298541,
        0.101202766760598,
        0.0821076529116907,
        0.0708537225556992,
        0.100898463813876,
        0.14752626884728,
    ]
)


def spike(value: float) -> Prior:
    return Prior("spike", (value,))


def made(
    sizes: tuple[int, ...], sides: int, weights: int, seed: int = 7
) -> tuple[Array, Array, npt.NDArray[np.int64], Array]:
    """``y``, ``se``, ``cluster`` and cut-offs; y scattered over all intervals."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    se = rng.uniform(0.08, 0.4, cluster.size)
    y = rng.normal(0.2, 0.5, cluster.size)
    return y, se, cluster, se[:, None] * np.array(Z[sides, weights])


def bem(steps: list[float], sides: int) -> Array:
    return s.cut_offs(BEM_D, BEM_SE, "d", "z", steps, sides)


# ------------------------------------------------------------------------ likelihood


@pytest.mark.parametrize(("T", "rho"), [(0.3, 0.5), (0.2, 0.95), (0.15, 1.0), (0.4, 0)])
@pytest.mark.parametrize("weights", [2, 3, 4])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 2, 1), (3,)])
def test_common_factor_agrees_with_sum_over_rectangles(
    sizes: tuple[int, ...], sides: int, weights: int, T: float, rho: float
) -> None:
    y, se, cluster, cuts = made(sizes, sides, weights)
    arguments = (y, se, cluster, 0.1, T, rho, cuts, OMEGA[weights], sides)
    brute = s.log_likelihood_rectangles(*arguments)
    assert s.log_likelihood(*arguments) == pytest.approx(brute, abs=RECTANGLES)


def test_weights_need_not_be_monotone() -> None:
    y, se, cluster, cuts = made((2, 3), 1, 3)
    arguments = (y, se, cluster, 0.1, 0.3, 0.7, cuts, [0.8, 0.1, 1.0], 1)
    brute = s.log_likelihood_rectangles(*arguments)
    assert s.log_likelihood(*arguments) == pytest.approx(brute, abs=RECTANGLES)


def test_rectangle_probability_agrees_with_scipy() -> None:
    rng = np.random.default_rng(11)
    for _ in range(5):
        root = rng.normal(size=(3, 3))
        S = root @ root.T + 0.2 * np.eye(3)
        mean, lower = rng.normal(size=3), rng.normal(-1.0, 0.5, 3)
        upper = lower + rng.uniform(0.5, 2.0, 3)
        lower[0], upper[1] = -np.inf, np.inf
        scipys = stats.multivariate_normal(mean, S, seed=1, abseps=1e-6).cdf(
            upper, lower_limit=lower
        )
        ours = s.rectangle_probability(lower, upper, mean, S)
        assert ours == pytest.approx(scipys, abs=SCIPY_RECTANGLES)


@pytest.mark.parametrize("weights", [2, 4])
@pytest.mark.parametrize("sides", [1, 2])
def test_density_of_a_pair_integrates_to_one(sides: int, weights: int) -> None:
    _, se, cluster, cuts = made((2,), sides, weights)
    omega, T, rho = OMEGA[weights], 0.25, 0.8
    axes = []
    for c in cuts:
        steps = np.concatenate([-c, c]) if sides == 2 else c
        edges = np.unique(np.concatenate([np.linspace(-4.0, 4.0, 17), steps]))
        nodes, w = np.polynomial.legendre.leggauss(12)
        half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
        t = (middle[:, None] + half[:, None] * nodes).ravel()
        axes.append((t, (half[:, None] * w).ravel()))
    (t1, w1), (t2, w2) = axes
    grid = np.stack(np.meshgrid(t1, t2, indexing="ij"), axis=-1).reshape(-1, 2)
    S = np.diag(se**2) + T**2 * np.array([[1.0, rho], [rho, 1.0]])
    normal = stats.multivariate_normal([0.1, 0.1], S)
    log_weight = sum(
        np.log(omega)[
            s.interval(grid[:, i], np.tile(cuts[i], (grid.shape[0], 1)), sides)
        ]
        for i in range(2)
    )
    unweighted = np.exp(normal.logpdf(grid) + log_weight).reshape(t1.size, t2.size)
    y = np.array([0.3, -0.2])
    of_y = s.interval(y, cuts, sides)
    log_ratio = normal.logpdf(y) + np.log(omega)[of_y].sum()
    log_constant = log_ratio - s.log_likelihood(
        y, se, cluster, 0.1, T, rho, cuts, omega, sides
    )
    area = float(w1 @ unweighted @ w2)
    assert area / math.exp(log_constant) == pytest.approx(1.0, abs=ROUNDING)


# By a trapezoidal rule of spacing 1/80 over g in [-20, 20] in 40-digit arithmetic
# (mpmath), with E[w_i | g] = omega_1 + sum_j (omega_{j+1} - omega_j) P(above cut j).
@pytest.mark.parametrize(
    ("mean", "T", "rho", "omega", "sides", "z", "size", "exact"),
    [
        # Means 40 standard errors from the cut-off.
        (-4.0, 0.1, 0.9, [1e-12, 1.0], 1, [1.96], 2, -55.262042231857095),
        (1.5, 0.3, 0.9, [1.0, 1e-12], 1, [1.96], 2, -11.979406235905843),
        # The mass sits 10 standard deviations out in the factor.
        (-4.0, 0.4, 0.99, [1e-12, 1.0], 1, [1.96], 6, -62.5504709730043),
        # A weight of 0, the mass further out still.
        (-4.0, 0.3, 0.99, [0.0, 0.5, 1.0], 1, [1.645, 1.96], 3, -100.57974948984646),
        # No heterogeneity within the cluster.
        (0.0, 0.5, 1.0, [1e-12, 1.0], 2, [1.96], 3, -0.7360883951780182),
        (-0.5, 0.5, 0.99, [1e-12, 0.2, 1.0], 1, [0.0, 1.96], 6, -3.294686805403161),
    ],
)
def test_extreme_constants_agree_with_forty_digits(
    mean: float,
    T: float,
    rho: float,
    omega: list[float],
    sides: int,
    z: list[float],
    size: int,
    exact: float,
) -> None:
    se = np.linspace(0.1, 0.15, size)
    cuts = se[:, None] * np.array(z)
    ours = s.log_normaliser(
        np.full(size, mean), se, T, rho, cuts, np.array(omega), sides
    )
    assert ours == pytest.approx(exact, abs=ROUNDING)


@pytest.mark.parametrize(
    ("T", "rho", "omega", "sides"),
    [
        (0.3, 0.99, [0.01, 1.0], 1),
        (1.0, 0.99, [1e-12, 1.0], 1),
        (0.3, 0.5, [0.1, 0.3, 0.6, 1.0], 2),
        (2.0, 1.0, [0.1, 0.3, 1.0], 1),
        (0.2, 0.99, [1e-12, 1e-6, 1.0], 2),
    ],
)
def test_cluster_of_fifty_agrees_with_a_fine_trapezoidal_rule(
    T: float, rho: float, omega: list[float], sides: int
) -> None:
    _, se, _, cuts = made((50,), sides, len(omega))
    g = np.linspace(-40.0, 40.0, 80_001)
    sd = np.sqrt(se**2 + (1.0 - rho) * T**2)
    log_term = -0.5 * g**2 - 0.5 * math.log(2.0 * math.pi)
    for c, x in zip(cuts, sd, strict=True):
        centre = 0.1 + T * math.sqrt(rho) * g
        factor = np.full(g.size, omega[0])
        for cut, increment in zip(c, np.diff(omega), strict=True):
            above = special.ndtr((centre - cut) / x)
            if sides == 2:
                above += special.ndtr((-cut - centre) / x)
            factor += increment * above
        log_term += np.log(factor)
    fine = float(special.logsumexp(log_term)) + math.log(0.001)
    ours = s.log_normaliser(np.full(50, 0.1), se, T, rho, cuts, np.array(omega), sides)
    assert ours == pytest.approx(fine, abs=ROUNDING)


@pytest.mark.parametrize("sides", [1, 2])
def test_equal_weights_give_the_normal_likelihood(sides: int) -> None:
    y, se, cluster, cuts = made((1, 4, 12), sides, 3)
    ours = s.log_likelihood(y, se, cluster, 0.1, 0.3, 0.7, cuts, [0.3] * 3, sides)
    normal = q.log_likelihood(y, se, cluster, 0.1, 0.3, 0.7)
    assert ours == pytest.approx(normal, abs=ROUNDING)


def test_rho_zero_gives_the_product_of_independent_estimates() -> None:
    y, se, cluster, cuts = made((1, 4, 12), 1, 3)
    clustered, alone, almost = (
        s.log_likelihood(y, se, labels, 0.1, 0.3, rho, cuts, OMEGA[3], 1)
        for labels, rho in ((cluster, 0.0), (None, 0.7), (cluster, 1e-14))
    )
    assert clustered == pytest.approx(alone, abs=ROUNDING)
    assert almost == pytest.approx(alone, abs=ROUNDING)


def test_estimate_on_a_cut_off_has_the_higher_weight() -> None:
    cuts = np.array([[0.2, 0.3]])
    below = np.nextafter(0.3, 0.0)
    assert s.interval([0.3], cuts, 1).tolist() == [2]
    assert s.interval([below], cuts, 1).tolist() == [1]
    assert s.interval([-0.3], cuts, 2).tolist() == [2]
    assert s.interval([-0.3], cuts, 1).tolist() == [0]


def test_log_densities_of_four_measures_equal_the_published_ones() -> None:
    # RoBMA 3.6.1's weighted normal densities, m = T = 0.1 on Fisher's z.
    z, se = np.zeros(4), np.zeros(4)
    logit = math.pi / math.sqrt(3.0)
    for i, (d, se_d) in ((0, (0.5, 0.2)), (2, (0.7 / logit, 0.3 / logit))):
        z[i], se[i] = q.d_to_z(d, se_d)
    z[[1, 3]], se[[1, 3]] = [math.atanh(0.3), 0.4], [77**-0.5, 47**-0.5]

    def cuts(steps: list[float], sides: int) -> Array:
        rows = [
            s.cut_offs([0.5], [0.2], "d", "z", steps, sides),
            s.cut_offs([0.3], [0.1], "r", "z", steps, sides, n=80),
            s.cut_offs([0.7], [0.3], "logOR", "z", steps, sides),
            s.cut_offs([0.4], se[3:], "z", "z", steps, sides),
        ]
        return np.vstack(rows)

    one = cuts([0.025, 0.05, 0.5], 1)
    two = cuts([0.05, 0.1], 2)
    np.testing.assert_allclose(one[:, 1:], two, rtol=1e-13)
    published_cuts = [
        [0.0, 0.16275211, 0.19411994],
        [0.0, 0.18738312, 0.22355235],
        [0.0, 0.13561225, 0.16138624],
        [0.0, 0.24464829, 0.29328122],
    ]
    np.testing.assert_allclose(one, published_cuts, rtol=0.0, atol=5.1e-9)
    published = {
        1: [1.0429102081672, 0.6109317618161, 1.3588040926954, 0.0605233447891],
        2: [1.153777402049, 0.740455406836, 1.445298413273, 0.219094620322],
    }
    for sides, c, omega in (
        (1, one, [0.2, 0.5, 0.8, 1.0]),
        (2, two, [0.3, 0.6, 1.0]),
    ):
        ours = [
            s.log_likelihood(z[[i]], se[[i]], None, 0.1, 0.1, 0.0, c[[i]], omega, sides)
            for i in range(4)
        ]
        np.testing.assert_allclose(ours, published[sides], rtol=0.0, atol=1e-11)


# --------------------------------------------------------------- marginal likelihoods

# Models of the default 36 on Fisher's z: number, free priors, steps, sides, log
# marginal likelihood. Those of 9, 19 and 22 differ from the figures in circulation
# (15.64933587, 12.65205362, 14.59885407); the three tests below verify them.
BEM_MODELS = [
    (1, {}, None, 1, -3.284633796),
    (10, {"tau": INVERSE_GAMMA}, None, 1, 5.330449489),
    (19, {"mu": NORMAL}, None, 1, 12.652054115),
    (28, {"mu": NORMAL, "tau": INVERSE_GAMMA}, None, 1, 10.65763894),
    (2, {}, [0.05], 2, 6.212845181),
    (4, {}, [0.05], 1, 13.70208976),
    (8, {"PET": s.PRIOR_PET}, None, 1, 15.74935022),
    (9, {"PEESE": s.PRIOR_PEESE}, None, 1, 15.649728400),
    (22, {"mu": NORMAL}, [0.05], 1, 14.60382219),
]


@pytest.mark.parametrize(
    ("priors", "steps", "sides", "logml"),
    [row[1:] for row in BEM_MODELS],
    ids=[f"model{row[0]}" for row in BEM_MODELS],
)
def test_bem_log_marginal_likelihoods(
    priors: dict[str, Prior], steps: list[float] | None, sides: int, logml: float
) -> None:
    z, se = q.d_to_z(BEM_D, BEM_SE)
    cuts = None if steps is None else bem(steps, sides)
    alpha = None if steps is None else [1.0, 1.0]
    ours = s.log_marginal_selection(z, se, None, priors, cuts, sides, alpha)
    assert ours.logml == pytest.approx(logml, abs=2e-7)


def test_bem_model_9_by_adaptive_quadrature() -> None:
    z, se = q.d_to_z(BEM_D, BEM_SE)

    def joint(peese: float) -> float:
        likelihood = stats.norm.logpdf(z, 2.0 * peese * se**2, se).sum()
        prior = 2.0 * stats.cauchy.pdf(peese, 0.0, 5.0)
        return float(np.exp(likelihood - 15.0) * prior)

    ends = [0.0, 10.0, 20.0, 25.0, 30.0, 40.0, 60.0]
    area = sum(
        integrate.quad(joint, a, b, epsabs=0.0, epsrel=1e-10)[0]
        for a, b in pairwise(ends)
    )
    assert 15.0 + math.log(area) == pytest.approx(15.649728400, abs=TEN_DIGITS)


def test_bem_model_19_by_the_conjugate_closed_form() -> None:
    z, se = q.d_to_z(BEM_D, BEM_SE)
    closed = stats.multivariate_normal(np.zeros(9), np.diag(se**2) + 0.25).logpdf(z)
    assert float(closed) == pytest.approx(12.652054115, abs=TEN_DIGITS)


def test_bem_model_22_by_midpoint_rule() -> None:
    z, se = q.d_to_z(BEM_D, BEM_SE)
    cut = bem([0.05], 1)[:, 0]
    omega = (np.arange(2000) + 0.5) / 2000
    step = 0.002
    total = 0.0
    for mu in np.arange(-1.0, 1.0, step):
        above = special.ndtr((0.5 * mu - cut) / se)
        constant = np.log(above[:, None] + omega * (1.0 - above[:, None])).sum(axis=0)
        log_joint = stats.norm.logpdf(z, 0.5 * mu, se).sum() + stats.norm.logpdf(mu)
        low = (z < cut).sum()
        total += step * np.exp(log_joint - 14.0 + low * np.log(omega) - constant).mean()
    # The midpoint rule in omega errs by a few 1e-6.
    assert 14.0 + math.log(total) == pytest.approx(14.60382219, abs=2e-5)


def test_dirichlet_weights_equal_an_integral_over_the_simplex() -> None:
    z, se = q.d_to_z(BEM_D, BEM_SE)
    cuts, alpha = bem([0.05, 0.5], 1), [2.0, 1.0, 3.0]

    def joint(p2: float, p1: float) -> float:
        pi = np.array([p1, p2, 1.0 - p1 - p2])
        if pi.min() <= 0.0:
            return 0.0
        omega = s.cumulative_weights(pi)
        value = s.log_likelihood(z, se, None, 0.05, 0.03, 0.0, cuts, omega, 1)
        prior = stats.dirichlet(alpha).pdf(pi)
        return float(math.exp(value - 12.0) * prior)

    nodes, weights = np.polynomial.legendre.leggauss(24)
    t, w = 0.5 * (nodes + 1.0), 0.5 * weights
    area = sum(
        w1 * w2 * (1.0 - p1) * joint((1.0 - p1) * u, p1)
        for p1, w1 in zip(t, w, strict=True)
        for u, w2 in zip(t, w, strict=True)
    )
    ours = s.log_marginal_selection(
        z, se, None, {"mu": spike(0.1), "tau": spike(0.06)}, cuts, 1, alpha
    )
    assert ours.logml == pytest.approx(12.0 + math.log(area), abs=LOGML)


def test_fixed_parameters_give_the_likelihood_of_the_stated_mean() -> None:
    y, se, cluster, cuts = made((3, 5, 1), 1, 3)
    values = {"mu": 0.4, "tau": 0.6, "rho": 0.7, "PET": 0.5, "PEESE": 1.2}
    mean = 0.5 * 0.4 + 0.5 * se + 2.0 * 1.2 * se**2
    direct = s.log_likelihood(y, se, cluster, mean, 0.3, 0.7, cuts, OMEGA[3], 1)
    ours = s.log_marginal_selection(
        y,
        se,
        cluster,
        {name: spike(value) for name, value in values.items()},
        cuts,
        1,
        omega=OMEGA[3],
    )
    assert ours.logml == pytest.approx(direct, abs=ROUNDING)


def test_equal_weights_give_the_normal_log_marginal_likelihood() -> None:
    y, se, cluster, cuts = made((4, 5, 1), 1, 2)
    priors = {"mu": NORMAL, "tau": INVERSE_GAMMA, "rho": BETA}
    ours = s.log_marginal_selection(y, se, cluster, priors, cuts, omega=[1.0, 1.0])
    normal = q.log_marginal(y, se, cluster, priors)
    assert ours.logml == pytest.approx(normal.logml, abs=s.LOGML_TOLERANCE)
    for name in priors:
        assert ours.mean[name] == pytest.approx(normal.mean[name], rel=2e-3)


def test_negative_direction_mirrors_the_positive_one() -> None:
    z, se = q.d_to_z(BEM_D, BEM_SE)
    cuts = bem([0.05], 1)
    up = {"mu": Prior("normal", (0.3, 0.5)), "PET": s.PRIOR_PET}
    down = {"mu": Prior("normal", (-0.3, 0.5)), "PET": s.PRIOR_PET}
    first = s.log_marginal_selection(z, se, None, up, cuts, 1, [1.0, 1.0])
    second = s.log_marginal_selection(
        -z, se, None, down, cuts, 1, [1.0, 1.0], direction=-1
    )
    assert second.logml == pytest.approx(first.logml, abs=s.LOGML_TOLERANCE)
    assert second.mean["mu"] == pytest.approx(-first.mean["mu"], abs=1e-3)
    assert second.mean["PET"] == pytest.approx(first.mean["PET"], rel=1e-3)


@pytest.mark.parametrize("sides", [1, 2])
def test_rho_and_weight_agree_with_a_product_rule(sides: int) -> None:
    y, se, cluster, cuts = made((4, 2, 1), sides, 2)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    t, w = 0.5 * (nodes + 1.0), 0.5 * weights
    values = np.array(
        [
            [
                s.log_likelihood(
                    y, se, cluster, 0.1, 0.3, rho, cuts, [omega, 1.0], sides
                )
                for omega in t
            ]
            for rho in t
        ]
    )
    direct = math.log(float(w @ np.exp(values) @ w))
    priors = {"mu": spike(0.2), "tau": spike(0.6), "rho": BETA}
    ours = s.log_marginal_selection(y, se, cluster, priors, cuts, sides, [1.0, 1.0])
    assert ours.logml == pytest.approx(direct, abs=LOGML)


def test_four_free_parameters_agree_with_quasi_monte_carlo() -> None:
    y, se, cluster, cuts = made((3, 2), 1, 2)
    priors = {"mu": NORMAL, "tau": Prior("gamma", (2.0, 4.0)), "rho": BETA}
    ours = s.log_marginal_selection(y, se, cluster, priors, cuts, 1, [1.0, 1.0])
    points = stats.qmc.Sobol(4, rng=np.random.default_rng(3)).random(2**11)
    values = np.array(
        [
            s.log_likelihood(
                y,
                se,
                cluster,
                0.5 * stats.norm.ppf(u[0]),
                0.5 * stats.gamma.ppf(u[1], 2.0, scale=0.25),
                float(u[2]),
                cuts,
                [float(u[3]), 1.0],
                1,
            )
            for u in points
        ]
    )
    # The points' own error: scrambles with two seeds differ by 0.013.
    estimate = float(special.logsumexp(values)) - math.log(values.size)
    assert ours.logml == pytest.approx(estimate, abs=0.02)


# ------------------------------------------------------------------------- made data


def test_made_pairs_have_the_frequencies_of_the_selection_model() -> None:
    mu, tau, rho, se, publish = 0.1, 0.2, 0.7, np.array([0.1, 0.15]), 0.2
    clusters = 20_000
    y, errors, cluster = s.made_selected_data(5, clusters, 2, mu, tau, rho, se, publish)
    assert np.bincount(cluster)[1:].tolist() == [2] * clusters
    significant = (y >= stats.norm.isf(0.025) * errors).reshape(-1, 2)
    S = np.diag(se**2) + tau**2 * np.array([[1.0, rho], [rho, 1.0]])
    cut = stats.norm.isf(0.025) * se
    chance = {}
    for high in ((False, False), (False, True), (True, False), (True, True)):
        lower = [c if h else -np.inf for c, h in zip(cut, high, strict=True)]
        upper = [np.inf if h else c for c, h in zip(cut, high, strict=True)]
        mass = s.rectangle_probability(lower, upper, np.full(2, mu), S)
        chance[high] = mass * publish ** (2 - sum(high))
    total = sum(chance.values())
    for high, value in chance.items():
        expected = value / total
        seen = float((significant == np.array(high)).all(axis=1).mean())
        margin = 4.0 * math.sqrt(expected * (1.0 - expected) / clusters)
        assert seen == pytest.approx(expected, abs=margin)


def test_made_data_are_repeatable_and_differ_by_seed() -> None:
    first, again, other = (
        s.made_selected_data(seed, 10, 8, 0.2, 0.2, 0.5, 0.15)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)
