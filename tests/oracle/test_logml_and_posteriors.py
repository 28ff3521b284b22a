"""Single models through `robma` against quadrature."""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import quadrature as q
from quadrature import Prior

import pyrobma as rb
from pyrobma._mcmc import effective_sample_size

robma = partial(rb.robma, priors_bias=None)

# How many Monte Carlo standard errors a single number may be away: 6e-5 of normal
# errors are further.
ERRORS = 4.0
# What a log marginal likelihood is promised to be known to.
LOGML_MCSE = 0.01
# A model without free parameters is computed, not estimated.
EXACT = 1e-9

SPIKE = q.SPIKE_0
MU, TAU, RHO = q.DEFAULT_EFFECT, q.DEFAULT_HETEROGENEITY, q.DEFAULT_HIERARCHICAL
MEASURES = {"d": "cohens_d", "z": "fishers_z", "r": "r", "logOR": "logOR", "y": "none"}


def spike(value: float) -> Prior:
    return Prior("spike", (value,))


def as_prior(p: Prior) -> rb.Prior:
    """The same prior in the package's words."""
    name = {"inverse_gamma": "inv_gamma"}.get(p.family, p.family)
    return rb.prior(
        name,
        p.parameters,
        lower=p.lower if np.isfinite(p.lower) else None,
        upper=p.upper if np.isfinite(p.upper) else None,
        prior_weight=p.weight,
    )


@dataclass(frozen=True)
class Case:
    """Made data, priors and scales of one model."""

    layout: str = "mixed"
    mu: Prior = MU
    tau: Prior = TAU
    rho: Prior | None = RHO
    scale: tuple[str, str] = ("d", "z")
    mapping: str = "linear"
    mean: float = 0.2
    sd: float = 0.15

    def data(self):
        seed = sum(map(ord, self.layout))
        return q.made_data(seed, q.LAYOUTS[self.layout], mean=self.mean, sd=self.sd)

    def exact(self) -> q.Moments:
        y, se, cluster = self.data()
        priors = {"mu": self.mu, "tau": self.tau, "rho": self.rho or SPIKE}
        return q.log_marginal(y, se, cluster, priors, self.scale, self.mapping)

    def fit(self, **arguments) -> rb.RobmaFit:
        y, se, cluster = self.data()
        prior_scale, data_scale = self.scale
        with warnings.catch_warnings():
            # One cluster, and effects for which the linear mapping is crude, are meant.
            warnings.simplefilter("ignore", rb.DataWarning)
            return robma(
                **{data_scale: y},
                se=se,
                study_ids=cluster,
                transformation=MEASURES[data_scale],
                prior_scale=MEASURES[prior_scale],
                effect_mapping=self.mapping,
                priors_effect=as_prior(self.mu),
                priors_effect_null=None,
                priors_heterogeneity=as_prior(self.tau),
                priors_heterogeneity_null=None,
                priors_hierarchical=None if self.rho is None else as_prior(self.rho),
                **{"seed": 1, **arguments},
            )


CASES = {
    "defaults": Case(),
    "pairs": Case("pairs"),
    "one cluster": Case("one_cluster"),
    "no clusters": Case("singletons", rho=None),
    "clusters not used": Case(rho=None),
    "exact mapping of large effects": Case(mapping="exact", mean=0.9, sd=0.3),
    "linear mapping of large effects": Case(mean=0.9, sd=0.3),
    "d on its own scale": Case(scale=("d", "d")),
    "units of their own": Case("pairs", scale=("y", "y"), mean=0.5),
    "log odds ratios by d": Case("pairs", scale=("d", "logOR"), mean=0.4, sd=0.3),
    "d by log odds ratios, exactly": Case(
        "pairs", scale=("logOR", "d"), mapping="exact", mean=0.4
    ),
    "all truncated": Case(
        mu=Prior("normal", (0.0, 1.0), 0.0, 0.5),
        tau=Prior("normal", (0.0, 0.5), 0.05, 0.4),
        rho=Prior("beta", (2.0, 5.0), 0.1, 0.9),
    ),
    "heavy tails": Case(
        "pairs",
        mu=Prior("cauchy", (0.0, 0.7)),
        tau=Prior("cauchy", (0.0, 0.3), 0.0),
        rho=Prior("beta", (0.5, 0.5)),
    ),
    "Student-t and gamma": Case(
        mu=Prior("student_t", (0.1, 0.5, 3.0)),
        tau=Prior("gamma", (2.0, 6.0)),
        rho=Prior("uniform", (0.2, 0.9)),
    ),
    "lognormal, spikes elsewhere": Case(
        mu=spike(0.3), tau=Prior("lognormal", (-1.5, 0.7)), rho=spike(0.4)
    ),
    "exponential, rho = 1": Case(
        mu=Prior("uniform", (-1.0, 2.0)),
        tau=Prior("exponential", (4.0,)),
        rho=spike(1.0),
    ),
    "rho alone": Case(mu=spike(0.4), tau=spike(0.3)),
    "nothing free": Case(mu=spike(0.3), tau=spike(0.2), rho=spike(0.6)),
}  # fmt: skip


def assert_model_agrees(fit: rb.Fit, exact: q.Moments) -> None:
    """Hold the log marginal likelihood, means, SDs and quantiles to the exact ones."""
    if not exact.mean:
        assert fit.logml == pytest.approx(exact.logml, abs=EXACT)
        assert fit.logml_mcse == 0.0
        return
    assert 0 < fit.logml_mcse < LOGML_MCSE
    assert abs(fit.logml - exact.logml) < ERRORS * fit.logml_mcse
    assert set(fit.names) == set(exact.mean)
    for name in fit.names:
        x = fit.draws(name)
        assert_means_agree(x, exact.mean[name], name)
        squares = (x - exact.mean[name]) ** 2
        assert_means_agree(squares, exact.sd[name] ** 2, f"variance of {name}")
        for p in (0.025, 0.5, 0.975):
            found = np.quantile(x, p, method="inverted_cdf")
            below = exact.marginal[name].cdf(float(found))
            error = mean_error((x <= found).astype(float))
            assert abs(below - p) < ERRORS * error, (name, p)


def mean_error(x):
    return x.std(ddof=1) / np.sqrt(effective_sample_size(x[:, :, None])[0])


def assert_means_agree(x, exact: float, what: str) -> None:
    assert abs(x.mean() - exact) < ERRORS * mean_error(x), what


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_model_agrees_with_quadrature(case):
    assert_model_agrees(case.fit().fits[0], case.exact())


@pytest.mark.parametrize(
    ("free", "issued"),
    [
        ("", -197.07529),
        ("mu", -187.63292),
        ("tau", 16.72700),
        ("mu tau", 17.67049),
        ("tau rho", 25.78524),
        ("mu tau rho", 25.70102),
    ],
)
def test_models_of_the_schools_agree_with_quadrature(schools, free, issued):
    d, se, district = q.schools()
    y, se_z = q.d_to_z(d, se)
    priors = {
        name: default if name in free.split() else SPIKE
        for name, default in (("mu", MU), ("tau", TAU), ("rho", RHO))
    }
    exact = q.log_marginal(y, se_z, district, priors)
    # Five decimals.
    assert exact.logml == pytest.approx(issued, abs=6e-6)
    fit = robma(
        schools, d="yi", v="vi", study_ids="district", seed=1,
        priors_effect=as_prior(priors["mu"]), priors_effect_null=None,
        priors_heterogeneity=as_prior(priors["tau"]), priors_heterogeneity_null=None,
        priors_hierarchical=as_prior(priors["rho"]),
    )  # fmt: skip
    assert_model_agrees(fit.fits[0], exact)


# ------------------------------------------------------------- errors, reproducibility

# Few draws, and checks so loose that no model is extended.
FEW = rb.SamplerSettings(
    chains=2, warmup=200, draws=150, max_rhat=9.0, min_ess=1.0, max_mcse=9.0
)
N_SEEDS = 20
# Central 99.9 % of the standard deviation of 20 standard normals is (0.51, 1.56).
CALIBRATED = (0.5, 1.6)


def test_the_stated_error_of_logml_is_the_error_over_seeds():
    case = CASES["defaults"]
    exact = case.exact().logml
    warnings.simplefilter("ignore", rb.ConvergenceWarning)  # few draws are meant
    fits = [case.fit(seed=seed, settings=FEW).fits[0] for seed in range(1, N_SEEDS + 1)]
    z = np.array([(fit.logml - exact) / fit.logml_mcse for fit in fits])
    assert CALIBRATED[0] < z.std(ddof=1) < CALIBRATED[1]
    assert abs(z.mean()) < ERRORS / np.sqrt(N_SEEDS)


@pytest.fixture(scope="module")
def reference():
    return ensemble_of_pairs(cores=1)


def ensemble_of_pairs(**arguments):
    y, se, cluster = CASES["pairs"].data()
    settings = rb.SamplerSettings(chains=2, warmup=200, draws=400)
    return robma(
        z=y, se=se, study_ids=cluster, settings=settings, **{"seed": 5, **arguments}
    )


def assert_same_numbers(one: rb.RobmaFit, other: rb.RobmaFit) -> None:
    np.testing.assert_array_equal(one.logml, other.logml)
    for first, second in zip(one.fits, other.fits, strict=True):
        for name in first.names:
            np.testing.assert_array_equal(first.draws(name), second.draws(name))
    assert str(one.summary("individual")) == str(other.summary("individual"))


def test_the_number_of_cores_changes_no_number(reference):
    assert_same_numbers(reference, ensemble_of_pairs(cores=2))


def test_an_executor_of_threads_changes_no_number(reference):
    with ThreadPoolExecutor(2) as executor:
        assert_same_numbers(reference, ensemble_of_pairs(executor=executor))


def test_an_executor_of_fresh_processes_changes_no_number(reference):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert_same_numbers(reference, ensemble_of_pairs(executor=executor))


def test_another_seed_gives_other_numbers(reference):
    other = ensemble_of_pairs(seed=6)
    sampled = [bool(fit.names) for fit in other.fits]
    assert (reference.logml != other.logml).tolist() == sampled


def test_fits_made_before_are_taken_as_they_are(reference):
    resumed = ensemble_of_pairs(fits=reference.fits[:3])
    assert_same_numbers(reference, resumed)
    assert resumed.fits[1].chains is reference.fits[1].chains
