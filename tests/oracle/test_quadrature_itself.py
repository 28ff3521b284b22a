"""The oracle against conjugate results, adaptive integrators and published figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import quadrature as q
from quadrature import Prior
from scipy import integrate, stats

# Two closed forms of the same number, through matrices of up to 25 rows.
CLOSED_FORM = 1e-9
# The oracle's stated accuracy, with room for the adaptive integrators' own.
LOGML = 1e-6
POSTERIOR = 1e-6
# The issued figures are given to these places.
FIVE_PLACES = 5.1e-6

SPIKE = q.SPIKE_0
NORMAL, INVERSE_GAMMA, BETA = (
    q.DEFAULT_EFFECT,
    q.DEFAULT_HETEROGENEITY,
    q.DEFAULT_HIERARCHICAL,
)
ONE_SCALE = ("z", "z")


def priors(
    mu: Prior = SPIKE, tau: Prior = SPIKE, rho: Prior = SPIKE
) -> dict[str, Prior]:
    return {"mu": mu, "tau": tau, "rho": rho}


def spike(value: float) -> Prior:
    return Prior("spike", (value,))


def adaptive(
    f: Callable[[float], float], points: list[float], relative: float = 1e-10
) -> float:
    """Integral between the first and last of the points, split at the others."""
    return sum(
        integrate.quad(f, low, high, epsabs=0.0, epsrel=relative, limit=200)[0]
        for low, high in pairwise(points)
    )


# ------------------------------------------------------------------------ likelihood


@pytest.mark.parametrize("layout", q.LAYOUTS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("T", [0.0, 0.01, 0.4, 30.0])
def test_dense_and_closed_form_likelihoods_agree(
    layout: str, rho: float, T: float
) -> None:
    y, se, cluster = q.made_data(3, q.LAYOUTS[layout])
    dense = q.log_likelihood(y, se, cluster, 0.37, T, rho)
    fast = q.fast_log_likelihood(y, se, cluster, 0.37, T, rho)
    assert fast == pytest.approx(dense, abs=CLOSED_FORM * max(1.0, abs(dense)))


def test_dense_likelihood_is_the_one_of_scipy() -> None:
    y, se, cluster = q.made_data(5, (1, 2, 4))
    T, rho = 0.3, 0.6
    same = cluster[:, None] == cluster[None, :]
    covariance = np.diag(se**2 + T**2 * (1 - rho)) + rho * T**2 * same
    expected = stats.multivariate_normal(np.full(y.size, 0.1), covariance).logpdf(y)
    assert q.log_likelihood(y, se, cluster, 0.1, T, rho) == pytest.approx(
        expected, abs=CLOSED_FORM
    )


def test_row_order_and_labels_do_not_matter() -> None:
    y, se, cluster = q.made_data(4)
    order = np.random.default_rng(0).permutation(y.size)
    names = np.array(["a", "b", "c", "d"])[cluster - 1][order]
    expected = q.log_likelihood(y, se, cluster, 0.1, 0.2, 0.5)
    for f in (q.log_likelihood, q.fast_log_likelihood):
        assert f(y[order], se[order], names, 0.1, 0.2, 0.5) == pytest.approx(
            expected, abs=CLOSED_FORM
        )


# ---------------------------------------------------------------------------- priors

EVERY_FAMILY = [
    Prior("normal", (0.3, 0.7)),
    Prior("normal", (0.0, 1.0), 0.0),
    Prior("normal", (0.0, 1.0), 6.0, 9.0),
    Prior("lognormal", (-1.0, 0.6)),
    Prior("lognormal", (-1.0, 0.6), 0.2, 1.5),
    Prior("student_t", (0.35, 0.102, 3.0), 0.0),
    Prior("student_t", (0.0, 0.5, 5.0)),
    Prior("cauchy", (0.0, 0.707), -3.0, 2.0),
    Prior("gamma", (2.0, 4.0)),
    Prior("gamma", (0.4, 1.5), 0.0, 2.0),
    Prior("inverse_gamma", (5.0, 0.9)),
    Prior("inverse_gamma", (1.0, 0.15), 0.05, 3.0),
    Prior("beta", (2.0, 3.0)),
    Prior("beta", (0.3, 0.2)),
    Prior("beta", (0.5, 2.0), 0.1, 0.8),
    Prior("exponential", (2.0,)),
    Prior("exponential", (2.0,), 0.5),
    Prior("uniform", (0.1, 0.9)),
]


def reference(prior: Prior) -> tuple[float, float, list[float]]:
    """Mean, sd and quantiles of a truncated prior by adaptive integration of x."""
    low, high = q.support(prior)
    quantiles = [q.prior_quantile(prior, p) for p in q.PROBABILITIES]
    # Integrals of the quantile function have no singular density in them.
    first, second = (
        integrate.quad(
            lambda p, k=k: q.prior_quantile(prior, p) ** k,
            0.0,
            1.0,
            epsabs=1e-9,
            epsrel=1e-9,
            limit=2000,
        )[0]
        for k in (1, 2)
    )
    assert low <= quantiles[0] <= quantiles[2] <= high
    return first, math.sqrt(second - first**2), quantiles


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("name", q.PARAMETERS)
@pytest.mark.parametrize("prior", EVERY_FAMILY, ids=str)
def test_without_information_the_posterior_is_the_prior(
    prior: Prior, name: str
) -> None:
    low, high = q.support(prior)
    if (name == "tau" and low < 0) or (name == "rho" and not 0 <= low < high <= 1):
        prior = prior._replace(lower=0.05, upper=0.95)
    # With T = 0 rho has no influence; with such an se the others have none either.
    se = 1e8
    fit = q.log_marginal([0.0], [se], None, priors(**{name: prior}), ONE_SCALE)
    mean, sd, quantiles = reference(prior)
    assert fit.logml == pytest.approx(stats.norm(0, se).logpdf(0.0), abs=LOGML)
    assert fit.quantile[name] == pytest.approx(quantiles, abs=POSTERIOR, rel=POSTERIOR)
    assert fit.mean[name] == pytest.approx(mean, abs=1e-5)
    assert fit.sd[name] == pytest.approx(sd, abs=1e-4)


@pytest.mark.parametrize("prior", EVERY_FAMILY, ids=str)
def test_densities_are_normalised(prior: Prior) -> None:
    low, high = (q.prior_quantile(prior, p) for p in (0.05, 0.95))
    mass = adaptive(lambda x: float(np.exp(q.log_prior(prior, x))), [low, high])
    assert mass == pytest.approx(0.9, abs=1e-8)


def test_a_density_is_zero_outside_its_truncation() -> None:
    prior = Prior("normal", (0.0, 1.0), 0.0, 2.0)
    assert np.isneginf(q.log_prior(prior, [-0.1, 2.1])).all()
    assert q.log_prior(prior, 1.0) == pytest.approx(
        stats.truncnorm(0.0, 2.0).logpdf(1.0), abs=1e-12
    )


def test_a_cauchy_prior_without_information_has_no_moments() -> None:
    prior = Prior("cauchy", (0.0, 1.0))
    fit = q.log_marginal([0.0], [1e30], None, priors(mu=prior), ONE_SCALE)
    assert math.isnan(fit.mean["mu"])
    assert fit.sd["mu"] == math.inf
    assert fit.quantile["mu"][2] == pytest.approx(
        stats.cauchy.ppf(0.975), rel=POSTERIOR
    )


# --------------------------------------------------- one model against other answers


@pytest.mark.parametrize("layout", q.LAYOUTS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_mu_alone_matches_the_conjugate_answer(layout: str, rho: float) -> None:
    y, se, cluster = q.made_data(11, q.LAYOUTS[layout])
    m0, s0, tau = 0.1, 0.6, 0.5
    fit = q.log_marginal(
        y, se, cluster, priors(Prior("normal", (m0, s0)), spike(tau), spike(rho))
    )
    T = tau / 2
    same = cluster[:, None] == cluster[None, :]
    covariance = np.diag(se**2 + T**2 * (1 - rho)) + rho * T**2 * same
    marginal = stats.multivariate_normal(
        np.full(y.size, m0 / 2), covariance + (s0 / 2) ** 2
    )
    half = np.full(y.size, 0.5)
    precision = 1 / s0**2 + half @ np.linalg.solve(covariance, half)
    mean = (m0 / s0**2 + half @ np.linalg.solve(covariance, y)) / precision
    posterior = stats.norm(mean, precision**-0.5)
    assert fit.logml == pytest.approx(marginal.logpdf(y), abs=CLOSED_FORM)
    assert fit.mean["mu"] == pytest.approx(mean, abs=CLOSED_FORM)
    assert fit.sd["mu"] == pytest.approx(precision**-0.5, abs=CLOSED_FORM)
    assert fit.quantile["mu"] == pytest.approx(
        posterior.ppf(q.PROBABILITIES), abs=CLOSED_FORM
    )


def test_prior_and_data_in_conflict_are_still_integrated_exactly() -> None:
    y, se = np.array([40.0, 40.2]), np.array([0.1, 0.2])
    fit = q.log_marginal(y, se, None, priors(Prior("normal", (0.0, 0.3))), ONE_SCALE)
    covariance = np.diag(se**2) + 0.3**2
    expected = stats.multivariate_normal(np.zeros(2), covariance).logpdf(y)
    assert fit.logml == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mapping", ["linear", "exact"])
@pytest.mark.parametrize("scale", [("d", "z"), ("logOR", "d"), ("z", "logOR")])
@pytest.mark.parametrize(
    "prior",
    [
        Prior("cauchy", (0.0, 0.707)),
        Prior("student_t", (0.35, 0.102, 3.0), 0.0),
        Prior("gamma", (0.5, 1.0)),
        Prior("uniform", (-1.0, 1.5)),
    ],
    ids=str,
)
def test_mu_alone_matches_an_adaptive_integrator(
    prior: Prior, scale: tuple[str, str], mapping: str
) -> None:
    y, se, cluster = q.made_data(12, (1, 2, 3), mean=0.6)
    tau = 0.4
    fit = q.log_marginal(
        y, se, cluster, priors(prior, spike(tau), spike(0.3)), scale, mapping
    )
    factor = q.scale_factor(*scale)

    def log_integrand(mu: float) -> float:
        exact = mapping == "exact"
        m = float(q.convert_effect(mu, *scale)) if exact else factor * mu
        value = q.log_likelihood(y, se, cluster, m, factor * tau, 0.3)
        return value + float(q.log_prior(prior, mu))

    low, high = (max(q.support(prior)[0], -12.0), min(q.support(prior)[1], 12.0))
    top = log_integrand(fit.mean["mu"])
    inner = np.clip(fit.mean["mu"] + fit.sd["mu"] * np.array([-4, 0, 4]), low, high)
    points = sorted({low, *inner.tolist(), high})
    # A singular density at 0 is flat in the square root.
    if prior.family == "gamma":
        points = [math.sqrt(x) for x in points]

        def integrand(u: float) -> float:
            return 2 * u * math.exp(log_integrand(u * u) - top) if u > 0 else 0.0

    else:

        def integrand(u: float) -> float:
            return math.exp(log_integrand(u) - top)

    expected = top + math.log(adaptive(integrand, points))
    assert fit.logml == pytest.approx(expected, abs=LOGML)


@pytest.mark.parametrize(
    "prior",
    [
        INVERSE_GAMMA,
        Prior("normal", (0.0, 0.5), 0.0),
        Prior("cauchy", (0.0, 1.0), 0.0),
        Prior("lognormal", (-2.0, 1.0)),
        Prior("exponential", (3.0,)),
        Prior("gamma", (2.0, 5.0), 0.0, 0.4),
        Prior("uniform", (0.0, 1.0)),
        Prior("beta", (1.5, 2.0)),
    ],
    ids=str,
)
def test_tau_alone_matches_an_adaptive_integrator(prior: Prior) -> None:
    y, se, cluster = q.made_data(13)
    fit = q.log_marginal(y, se, cluster, priors(spike(0.3), prior, spike(0.7)))
    top = q.log_likelihood(y, se, cluster, 0.15, fit.mean["tau"] / 2, 0.7)

    def moment(tau: float, power: int) -> float:
        value = q.log_likelihood(y, se, cluster, 0.15, tau / 2, 0.7)
        return tau**power * math.exp(value - top + float(q.log_prior(prior, tau)))

    low, middle = q.support(prior)[0], fit.quantile["tau"]
    last = min(q.prior_quantile(prior, 1 - 1e-12), 2e3)
    points = sorted({low, *middle, min(last, 3 * middle[2]), last})
    mass, first, second = (
        adaptive(lambda tau, k=k: moment(tau, k), points) for k in range(3)
    )
    assert fit.logml == pytest.approx(top + math.log(mass), abs=LOGML)
    assert fit.mean["tau"] == pytest.approx(first / mass, abs=POSTERIOR)
    assert fit.sd["tau"] == pytest.approx(
        math.sqrt(second / mass - (first / mass) ** 2), abs=POSTERIOR
    )
    below = adaptive(lambda tau: moment(tau, 0), [low, fit.quantile["tau"][1]])
    assert below / mass == pytest.approx(0.5, abs=POSTERIOR)


def mu_integrated_out(
    y: np.ndarray, se: np.ndarray, cluster: np.ndarray, T: float, rho: float
) -> float:
    """Log likelihood of (T, rho) with mu ~ Normal(0, 1) on d integrated analytically.

    By dense matrices: the linear map makes m ~ Normal(0, 1/4).
    """
    same = cluster[:, None] == cluster[None, :]
    covariance = np.diag(se**2 + T**2 * (1 - rho)) + rho * T**2 * same + 0.25
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, y)
    constant = 0.5 * y.size * math.log(2 * math.pi)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum() - constant)


@pytest.mark.parametrize("sizes", [(1, 2, 4), (5,), (2, 2, 2)], ids=str)
def test_three_parameters_match_nested_adaptive_integration(
    sizes: tuple[int, ...],
) -> None:
    y, se, cluster = q.made_data(21, sizes)
    tau_prior, rho_prior = Prior("normal", (0.0, 0.5), 0.0), Prior("beta", (2.0, 1.5))
    fit = q.log_marginal(y, se, cluster, priors(NORMAL, tau_prior, rho_prior))
    top = mu_integrated_out(y, se, cluster, fit.mean["tau"] / 2, fit.mean["rho"])

    def integrand(rho: float, tau: float) -> float:
        value = mu_integrated_out(y, se, cluster, tau / 2, rho) - top
        value += float(np.log(2 * stats.norm.pdf(tau, 0, 0.5)))
        return math.exp(value) * float(rho * (1 - rho) ** 0.5)

    mass = adaptive(
        lambda tau: integrate.quad(integrand, 0, 1, (tau,), epsrel=1e-9, limit=50)[0],
        [0.0, 0.5, 4.5],
        1e-7,
    )
    from_beta = -math.log(integrate.quad(lambda r: r * (1 - r) ** 0.5, 0, 1)[0])
    expected = top + math.log(mass) + from_beta
    assert fit.logml == pytest.approx(expected, abs=LOGML)


def test_heavy_tailed_mu_and_tau_match_the_trapezoidal_rule() -> None:
    y, se, cluster = q.made_data(22, (1, 1, 2))
    mu_prior, tau_prior = Prior("cauchy", (0.0, 0.7)), Prior("cauchy", (0.0, 0.5), 0.0)
    fit = q.log_marginal(
        y, se, cluster, priors(mu_prior, tau_prior, spike(1.0)), mapping="exact"
    )
    # Equal steps converge geometrically for a smooth integrand that dies out.
    step = 0.02
    u, v = np.arange(-30, 30, step), np.arange(-30, 15, step)
    mu, tau = np.sinh(u), np.exp(v)
    precision, top, height = q._FastLikelihood(y, se, cluster).parabola(
        tau / 2, np.ones(v.size)
    )
    log_tau = height + v + stats.halfcauchy(0.0, 0.5).logpdf(tau)
    log_mu = np.log(np.cosh(u)) + stats.cauchy(0.0, 0.7).logpdf(mu)
    m = np.arcsinh(mu / 2)[:, None]
    values = log_mu[:, None] + log_tau - 0.5 * precision * (m - top) ** 2
    expected = math.log(np.exp(values).sum() * step**2)
    assert fit.logml == pytest.approx(expected, abs=LOGML)


def test_rho_alone_matches_an_adaptive_integrator() -> None:
    y, se, cluster = q.made_data(14, q.LAYOUTS["pairs"])
    fit = q.log_marginal(y, se, cluster, priors(spike(0.4), spike(0.5), BETA))

    def likelihood(rho: float) -> float:
        return math.exp(q.log_likelihood(y, se, cluster, 0.2, 0.25, rho))

    assert fit.logml == pytest.approx(
        math.log(adaptive(likelihood, [0.0, 0.5, 1.0])), abs=LOGML
    )


# ------------------------------------------------------------------- what must follow


def test_rho_has_no_say_when_every_estimate_is_its_own_cluster() -> None:
    y, se, cluster = q.made_data(15, q.LAYOUTS["singletons"])
    with_rho = q.log_marginal(y, se, cluster, priors(NORMAL, INVERSE_GAMMA, BETA))
    without = q.log_marginal(y, se, None, priors(NORMAL, INVERSE_GAMMA))
    assert with_rho.logml == pytest.approx(without.logml, abs=LOGML)
    assert with_rho.mean["tau"] == pytest.approx(without.mean["tau"], abs=POSTERIOR)
    assert with_rho.quantile["rho"] == pytest.approx(q.PROBABILITIES, abs=POSTERIOR)


def test_a_narrow_prior_comes_close_to_its_spike() -> None:
    y, se, cluster = q.made_data(16)
    narrow = Prior("uniform", (0.3 - 1e-6, 0.3 + 1e-6))
    fit = q.log_marginal(y, se, cluster, priors(NORMAL, INVERSE_GAMMA, narrow))
    fixed = q.log_marginal(y, se, cluster, priors(NORMAL, INVERSE_GAMMA, spike(0.3)))
    assert fit.logml == pytest.approx(fixed.logml, abs=LOGML)


def test_the_two_mappings_agree_where_the_conversion_is_linear() -> None:
    y, se, cluster = q.made_data(17)
    both = [
        q.log_marginal(
            y, se, cluster, priors(NORMAL, INVERSE_GAMMA, BETA), ("logOR", "d"), mapping
        ).logml
        for mapping in ("linear", "exact")
    ]
    assert both[0] == pytest.approx(both[1], abs=LOGML)


def test_eight_studies_with_d_of_two_shrink_under_the_linear_mapping_only() -> None:
    y, se = q.d_to_z(np.full(8, 2.0), np.full(8, 0.1))
    wide = Prior("normal", (0.0, 10.0))
    linear = q.log_marginal(y, se, None, priors(wide))
    exact = q.log_marginal(y, se, None, priors(wide), mapping="exact")
    assert linear.mean["mu"] == pytest.approx(2 * math.asinh(1.0), abs=1e-3)
    assert exact.mean["mu"] == pytest.approx(2.0, abs=2e-3)


@pytest.mark.parametrize("source", ["d", "z", "r", "logOR"])
@pytest.mark.parametrize("target", ["d", "z", "r", "logOR"])
def test_effect_conversions_invert_each_other(source: str, target: str) -> None:
    x = np.array([-0.6, -0.01, 0.0, 0.3, 0.9])
    there = q.convert_effect(x, source, target)
    assert q.convert_effect(there, target, source) == pytest.approx(x, abs=1e-12)


def test_conversions_match_the_anchors() -> None:
    y, se = q.d_to_z(0.5, 0.2)
    assert (float(y), float(se)) == pytest.approx((0.247466462, 0.099937559), abs=1e-9)
    assert float(q.convert_effect(0.7, "logOR", "z")) == pytest.approx(
        0.19178722, abs=1e-8
    )


def test_made_data_are_reproducible_and_have_the_layout() -> None:
    first, again, other = q.made_data(1), q.made_data(1), q.made_data(2)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(first[0], other[0])
    sizes = np.unique(first[2], return_counts=True)[1]
    assert sizes.tolist() == list(q.LAYOUTS["mixed"])
    assert (np.diff(first[2]) < 0).any()


@pytest.mark.parametrize("rho", [-0.1, 1.1])
def test_priors_outside_the_support_are_refused(rho: float) -> None:
    y, se, cluster = q.made_data(1)
    outside = Prior("uniform", (min(rho, 0.5), max(rho, 0.5)))
    with pytest.raises(ValueError, match="rho"):
        q.log_marginal(y, se, cluster, priors(NORMAL, INVERSE_GAMMA, outside))
    with pytest.raises(ValueError, match="tau"):
        q.log_marginal(y, se, cluster, priors(NORMAL, NORMAL, BETA))


@pytest.mark.parametrize("name", q.PARAMETERS)
def test_mass_left_outside_the_box_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, se, cluster = q.made_data(19)
    free = {"mu": NORMAL, "tau": INVERSE_GAMMA, "rho": BETA}
    only = {**priors(tau=spike(0.3)), name: free[name]}
    whole = q._box

    def half(joint: q._Joint) -> tuple[dict, dict]:
        box, exists = whole(joint)
        low, high = box[name]
        return {name: (low, 0.5 * (low + high))}, exists

    monkeypatch.setattr(q, "_box", half)
    with pytest.raises(q.QuadratureError, match="widening"):
        q.log_marginal(y, se, cluster, only)


def test_three_parameter_posterior_matches_importance_sampling() -> None:
    y, se, cluster = q.made_data(23, (1, 2, 4, 4))
    fit = q.log_marginal(y, se, cluster, priors(NORMAL, INVERSE_GAMMA, BETA))
    rng = np.random.default_rng(1)
    size = 400_000
    draws = {
        "mu": rng.normal(size=size),
        "tau": 0.15 / rng.gamma(1.0, size=size),
        "rho": rng.uniform(size=size),
    }
    precision, top, height = q._FastLikelihood(y, se, cluster).parabola(
        draws["tau"] / 2, draws["rho"]
    )
    log_weight = height - 0.5 * precision * (draws["mu"] / 2 - top) ** 2
    weight = np.exp(log_weight - log_weight.max())
    # Five Monte Carlo standard errors, from the effective number of draws.
    relative = 5.0 * float(np.std(weight) / np.mean(weight)) / math.sqrt(size)
    logml = math.log(weight.mean()) + log_weight.max()
    assert fit.logml == pytest.approx(logml, abs=relative)
    weight /= weight.sum()
    error = 5.0 * math.sqrt(float(weight @ weight))
    for name, x in draws.items():
        assert fit.mean[name] == pytest.approx(weight @ x, abs=error * fit.sd[name])
        for p, quantile in zip(q.PROBABILITIES, fit.quantile[name], strict=True):
            assert weight @ (x <= quantile) == pytest.approx(p, abs=0.5 * error)


# ------------------------------------------------------------------- the 56 schools


@pytest.fixture(scope="module")
def schools() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d, se, district = q.schools()
    return *q.d_to_z(d, se), district


@pytest.fixture(scope="module")
def four_models(schools: tuple[np.ndarray, np.ndarray, np.ndarray]) -> q.Ensemble:
    return q.ensemble(*schools)


# The model with mu alone is checked against its conjugate value below.
@pytest.mark.parametrize(
    ("free", "logml"),
    [
        ("", -197.07529),
        ("tau", 16.72700),
        ("mu tau", 17.67049),
        ("tau rho", 25.78524),
        ("mu tau rho", 25.70102),
    ],
)
def test_log_marginal_likelihoods_of_the_schools(
    schools: tuple[np.ndarray, np.ndarray, np.ndarray], free: str, logml: float
) -> None:
    default = priors(NORMAL, INVERSE_GAMMA, BETA)
    chosen = {n: p if n in free.split() else SPIKE for n, p in default.items()}
    fit = q.log_marginal(*schools, chosen)
    assert fit.logml == pytest.approx(logml, abs=FIVE_PLACES)


def test_fixed_effect_of_the_schools_is_the_conjugate_value(
    schools: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, se, cluster = schools
    expected = mu_integrated_out(y, se, cluster, 0.0, 0.0)
    # The same by hand in 40 digits.
    assert expected == pytest.approx(-187.6329246751, abs=CLOSED_FORM)
    fit = q.log_marginal(y, se, cluster, priors(NORMAL))
    assert fit.logml == pytest.approx(expected, abs=CLOSED_FORM)


def test_single_models_of_the_schools(
    schools: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, se, district = schools
    flat = q.log_marginal(y, se, None, priors(NORMAL, INVERSE_GAMMA))
    assert flat.mean["mu"] == pytest.approx(0.126, abs=5e-4)
    assert flat.sd["mu"] == pytest.approx(0.0435, abs=5e-5)
    assert flat.mean["tau"] == pytest.approx(0.2926, abs=5e-5)
    assert flat.sd["tau"] == pytest.approx(0.0335, abs=5e-5)
    clustered = q.log_marginal(y, se, district, priors(NORMAL, INVERSE_GAMMA, BETA))
    means = {"mu": 0.180, "tau": 0.3077, "rho": 0.6261}
    sds = {"mu": 0.0839, "tau": 0.0561, "rho": 0.1406}
    assert clustered.mean == pytest.approx(means, abs=5e-4)
    assert clustered.sd == pytest.approx(sds, abs=5e-5)


def test_ensemble_of_the_schools(four_models: q.Ensemble) -> None:
    assert len(four_models.models) == 4
    assert four_models.inclusion_bf["effect"] == pytest.approx(0.9192, abs=5e-5)
    # With the conjugate value of the model with mu alone.
    assert four_models.inclusion_bf["heterogeneity"] == pytest.approx(
        9.3202e92, rel=1e-5
    )
    assert four_models.inclusion_bf["hierarchical"] == pytest.approx(
        four_models.inclusion_bf["heterogeneity"], rel=1e-12
    )
    assert four_models.posterior_probability["effect"] == pytest.approx(0.479, abs=5e-4)
    means = {"mu": 0.0862, "tau": 0.3272, "rho": 0.6608}
    assert four_models.mean == pytest.approx(means, abs=5e-5)
    assert four_models.quantile["mu"][:2] == (0.0, 0.0)


def test_ensemble_quantiles_enclose_their_probability(
    four_models: q.Ensemble,
) -> None:
    for name in ("tau", "rho"):
        for p, x in zip(q.PROBABILITIES, four_models.quantile[name], strict=True):
            total = sum(
                m.posterior_probability * m.moments.marginal[name].cdf(x)
                for m in four_models.models
                if name in m.moments.marginal
            )
            assert total == pytest.approx(p, abs=1e-9)


def test_clustering_of_the_schools(
    schools: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    test = q.ensemble(*schools, heterogeneity_null=(), hierarchical_null=(SPIKE,))
    assert len(test.models) == 4
    assert test.inclusion_bf["hierarchical"] == pytest.approx(4618.8, abs=0.05)
    assert test.inclusion_bf["effect"] == pytest.approx(0.9194, abs=5e-5)
    assert test.inclusion_bf["heterogeneity"] == math.inf
    assert all(m.alternative["heterogeneity"] for m in test.models)


def test_prior_model_weights_do_not_move_an_inclusion_bayes_factor() -> None:
    y, se, cluster = q.made_data(18, (1, 2, 3))
    plain = q.ensemble(y, se, cluster, heterogeneity_null=())
    weighted = q.ensemble(
        y, se, cluster, effect=(NORMAL._replace(weight=3.0),), heterogeneity_null=()
    )
    assert weighted.prior_probability["effect"] == pytest.approx(0.75)
    assert weighted.inclusion_bf["effect"] == pytest.approx(
        plain.inclusion_bf["effect"], rel=1e-12
    )
    assert (
        weighted.posterior_probability["effect"] > plain.posterior_probability["effect"]
    )


def test_data_without_clusters_have_no_hierarchical_component() -> None:
    y, se, cluster = q.made_data(20, (1,) * 6)
    named, unnamed = (q.ensemble(y, se, labels) for labels in (cluster, None))
    assert named.inclusion_bf == pytest.approx(unnamed.inclusion_bf, rel=CLOSED_FORM)
    assert named.inclusion_bf["hierarchical"] == 0.0
    assert all(m.moments.fixed["rho"] == 0.0 for m in named.models)
