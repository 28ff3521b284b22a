"""Ensembles of counts against exact integrals."""

from __future__ import annotations

import counts as c
import numpy as np
import pytest
from quadrature import Prior

import pyrobma as rb
from pyrobma.ensemble import Ensemble

T, IG = Prior("student_t", (0, 0.58, 4)), Prior("inverse_gamma", (1.77, 0.55))
UNIFORM = Prior("beta", (1, 1))
BETA = rb.prior("beta", alpha=1, beta=1)
# Monte Carlo errors: one in 300,000 beyond 5.
ERRORS = 5.0
KEYS = ((), ("tau",), ("mu",), ("mu", "tau"))

BCG = rb.load_dataset("bcg")
BCG["treated"], BCG["controls"] = BCG.tpos + BCG.tneg, BCG.cpos + BCG.cneg
BCG["pair"] = np.arange(13) // 2
ABLAT = ((BCG.ablat - BCG.ablat.mean()) / BCG.ablat.std()).to_numpy()
COLUMNS = {"x1": "tpos", "n1": "treated", "x2": "cpos", "n2": "controls"}
ALL_BCG = c.studies(*(BCG[name] for name in COLUMNS.values()))
RATES = rb.load_dataset("nielweise2008")
RARE = {"x1": [5, 2], "n1": [35, 40], "x2": [0, 0], "n2": [39, 40]}


def assert_exact(fit: rb.ensemble.Fit, exact: c.Answer, **names: str) -> None:
    """Hold both estimates of the evidence, and the means, to the exact ones."""
    if fit.chains is None:
        assert fit.logml == pytest.approx(exact.logml, abs=1e-7)
        return
    assert fit.ok
    assert abs(fit.logml - exact.logml) < ERRORS * fit.logml_mcse + 1e-6
    assert fit.second is not None
    # Of quadrature in up to three dimensions, which states a millionth.
    error = max(ERRORS * fit.second.error, 3e-6)
    assert fit.second.logml == pytest.approx(exact.logml, abs=error)
    assert fit.diagnostics is not None
    assert fit.names == fit.chains.checked_names[: len(fit.names)]
    for own, ess in zip(fit.names, fit.diagnostics.ess_mean, strict=False):
        name = names.get(own, own)
        mcse = exact.sd(name) / np.sqrt(ess)
        assert abs(fit.values(own).mean() - exact.mean(name)) < ERRORS * mcse


def fits_of(ensemble: Ensemble) -> dict[tuple[str, ...], rb.ensemble.Fit]:
    return dict(zip(KEYS, ensemble.fits, strict=True))


@pytest.mark.parametrize(
    ("data", "columns", "baseline", "exact", "prior"),
    [
        (BCG, COLUMNS, "conditional", ALL_BCG, c.CONDITIONAL),
        (BCG, COLUMNS, BETA, ALL_BCG, UNIFORM),
        (None, RARE, "conditional", c.studies(**RARE), c.CONDITIONAL),
        (None, RARE, BETA, c.studies(**RARE), UNIFORM),
        (
            RATES, {"x1": "x1", "t1": "t1", "x2": "x2", "t2": "t2"}, "conditional",
            c.studies(RATES.x1, RATES.t1, RATES.x2, RATES.t2, rates=True),
            c.CONDITIONAL,
        ),
        (
            RATES, {"x1": "x1", "t1": "t1", "x2": "x2", "t2": "t2"},
            rb.prior("lognormal", meanlog=-5.5, sdlog=1.2),
            c.studies(RATES.x1, RATES.t1, RATES.x2, RATES.t2, rates=True),
            Prior("normal", (-5.5, 1.2)),
        ),
    ],
    ids=["bcg", "bcg beta", "rare", "rare beta", "rates", "rates lognormal"],
)  # fmt: skip
def test_four_models_have_the_exact_evidence_and_means(
    data: object, columns: dict[str, object], baseline: object, exact: c.Studies,
    prior: Prior,
) -> None:  # fmt: skip
    fit = rb.robma(data, **columns, baseline=baseline, seed=1, progress=False)
    expected = c.ensemble(exact, prior, mu=T, tau=IG)
    for key, one in fits_of(fit).items():
        assert_exact(one, expected.models[key])
    for component, name in (("effect", "mu"), ("heterogeneity", "tau")):
        found = fit.inclusion.loc[component]
        gap = found["log_bf"] - np.log(expected.inclusion_bf(name))
        assert abs(gap) < ERRORS * found["log_bf_mcse"]


def test_moderator_has_the_exact_evidence() -> None:
    fit = rb.robma(BCG, **COLUMNS, baseline=BETA, mods="ablat", seed=1, progress=False)
    expected = c.ensemble(
        ALL_BCG, UNIFORM, mu=T, tau=IG, beta=Prior("normal", (0, 0.29)), x=ABLAT
    )
    named = {"ablat": "beta"}
    for one in fit.fits:
        free = [name for name in ("mu", "tau", "ablat") if name in one.names]
        key = tuple(named.get(name, name) for name in free)
        assert_exact(one, expected.models[key], **named)


def test_moderator_of_heterogeneity_has_the_exact_evidence() -> None:
    fit = rb.robma(
        BCG, **COLUMNS, scale="ablat", priors_effect_null=None, test_scale=False,
        priors_heterogeneity_null=None, seed=1, progress=False,
    )  # fmt: skip
    exact = c.log_marginal(
        ALL_BCG, c.CONDITIONAL, mu=T, tau=IG, d=Prior("normal", (0, 0.5)), w=ABLAT
    )
    assert_exact(fit.fits[0], exact, **{"tau ~ ablat": "d"})


def test_clusters_have_the_exact_evidence() -> None:
    fit = rb.robma(
        BCG, **COLUMNS, study_ids="pair", priors_effect_null=None,
        priors_heterogeneity_null=None, seed=1, progress=False,
    )  # fmt: skip
    # -52.409359251, by 77,000 and by 194,000 nodes of `counts.log_marginal`, which take
    # 11 and 22 seconds: cluster=pairs, rho=Prior("beta", (1, 1)).
    (one,) = fit.fits
    assert one.second is not None
    assert one.second.logml == pytest.approx(-52.409359251, abs=2e-5)
    assert abs(one.logml + 52.409359251) < ERRORS * one.logml_mcse
    assert one.second.means == pytest.approx(
        [
            {"mu": -0.6532544, "tau": 0.6371866, "rho": 0.3262862}[name]
            for name in one.second.names
        ],
        abs=2e-4,
    )


@pytest.mark.parametrize("swap", ["arms", "events"])
def test_swapping_arms_or_events_turns_everything_around(swap: str) -> None:
    data = BCG[["tpos", "treated", "cpos", "controls"]].to_numpy()
    x1, n1, x2, n2 = data.T
    if swap == "arms":
        x1, n1, x2, n2 = x2, n2, x1, n1
    else:
        x1, x2 = n1 - x1, n2 - x2
    kwargs = {"seed": 1, "progress": False}
    one = rb.robma(BCG, **COLUMNS, **kwargs)
    other = rb.robma(x1=x1, n1=n1, x2=x2, n2=n2, **kwargs)
    for a, b in zip(one.fits[:3], other.fits[:3], strict=True):
        if a.second is None or b.second is None:
            assert b.logml == pytest.approx(a.logml, abs=1e-9)  # of the tables
            continue
        assert b.second.logml == pytest.approx(a.second.logml, abs=2e-6)
    means = [dict(zip(f.fits[3].second.names, f.fits[3].second.means, strict=True))
             for f in (one, other)]  # fmt: skip
    assert means[1]["mu"] == pytest.approx(-means[0]["mu"], abs=1e-5)
    assert means[1]["tau"] == pytest.approx(means[0]["tau"], abs=1e-5)


def test_studies_without_events_change_nothing_but_with_a_prior_of_baselines() -> None:
    empty = {"x1": [5, 2, 0], "n1": [35, 40, 60], "x2": [0, 0, 0], "n2": [39, 40, 50]}
    kwargs = {"seed": 1, "progress": False}
    for baseline, same in (("conditional", True), (BETA, False)):
        one = rb.robma(**RARE, baseline=baseline, **kwargs).fits[3]
        other = rb.robma(**empty, baseline=baseline, **kwargs).fits[3]
        assert one.second is not None
        assert other.second is not None
        gap = abs(other.second.logml - one.second.logml)
        assert (gap < 1e-6) == same


def test_large_counts_agree_with_the_normal_model() -> None:
    rng = np.random.default_rng(1)
    x1, x2 = rng.integers(40_000, 60_000, (2, 6))
    n = np.full(6, 200_000)
    kwargs = {"seed": 1, "progress": False}
    fit = rb.robma(x1=x1, n1=n, x2=x2, n2=n, **kwargs)
    effects = fit.task.effects
    normal = rb.robma(
        y=effects.y, se=effects.se, priors_bias=None, **kwargs,
        priors_effect=rb.prior("student_t", location=0, scale=0.58, df=4),
        priors_heterogeneity=rb.prior("inv_gamma", shape=1.77, scale=0.55),
    )  # fmt: skip
    # Skewness of log odds ratios falls with the root of the counts.
    for a, b in zip(fit.fits[1:], normal.fits[1:], strict=True):
        assert a.second is not None
        assert b.second is not None
        assert a.second.means == pytest.approx(b.second.means, rel=2e-3, abs=2e-4)


def test_true_effects_are_the_exact_ones() -> None:
    fit = rb.robma(
        BCG, **COLUMNS, priors_effect_null=None, priors_heterogeneity_null=None,
        seed=1, progress=False,
    )  # fmt: skip
    exact = c.log_marginal(ALL_BCG, c.CONDITIONAL, mu=T, tau=IG)
    found = fit.true_effects()
    for i in (0, 6, 7, 11):
        table = c.table(ALL_BCG.one(i), c.CONDITIONAL)
        mu, tau = exact.values["mu"], exact.values["tau"]
        z = np.linspace(-8.0, 8.0, 401)
        delta = mu[:, None] + tau[:, None] * z
        log = table(delta) - 0.5 * z**2
        p = np.exp(log - log.max(axis=1, keepdims=True))
        p *= exact.probability[:, None] / p.sum(axis=1, keepdims=True)
        mean = float((p * delta).sum())
        sd = float(np.sqrt((p * (delta - mean) ** 2).sum()))
        row = found.iloc[i]
        # 4,000 draws of autocorrelated parameters, which are a part of the sd.
        assert row["Mean"] == pytest.approx(mean, abs=0.06 * sd)
        assert row["SD"] == pytest.approx(sd, rel=0.06)
        below = float(p[delta < row["0.025"]].sum())
        assert below == pytest.approx(0.025, abs=0.01)
