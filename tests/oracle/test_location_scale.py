"""Moderators of heterogeneity through `robma` against quadrature and identities."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from typing import Any

import location_scale as ls
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import quadrature as q
import regression as g
from quadrature import Prior
from scipy import special
from test_logml_and_posteriors import ERRORS, EXACT, LOGML_MCSE

import pyrobma as rb
from pyrobma.ensemble import true_effects

Array = npt.NDArray[np.float64]

# Halving all steps of a rule that has more than ten digits.
SAME = 1e-9
# Seven decimals as another program printed them.
PRINTED = 1e-6
# Bayes factors as printed to six digits, by rules that are good to 2e-5.
DIGITS = 2e-5
# What nodes of a common factor are certified to.
CERTIFIED = 1e-3
# What is left of importance sampling and quadrature beside their stated errors.
FIVE_DIGITS = 1e-5

HALF_NORMAL = Prior("normal", (0.0, 0.5), lower=0.0)
SETTINGS: dict[str, tuple[float, Prior]] = {
    "RoBMA 3": (0.25, q.DEFAULT_HETEROGENEITY),
    "RoBMA 4": (0.5, HALF_NORMAL),
}
"""Standard deviation of the term of the mean, and the prior of tau."""

# Effect, Heterogeneity, ablat, scale; the last absent without heterogeneity.
PRINTED_LOGML: dict[str, dict[tuple[int, int, int, int], float]] = {
    "RoBMA 3": {
        (0, 0, 0, 0): -126.6651903, (0, 0, 1, 0): -113.2796203,
        (0, 1, 0, 0): -20.7126806, (0, 1, 0, 1): -19.6426676,
        (0, 1, 1, 0): -20.5298158, (0, 1, 1, 1): -20.0309303,
        (1, 0, 0, 0): -73.5232945, (1, 0, 1, 0): -16.1603282,
        (1, 1, 0, 0): -16.6467318, (1, 1, 0, 1): -16.9732476,
        (1, 1, 1, 0): -13.4986493, (1, 1, 1, 1): -13.8051875,
    },
    "RoBMA 4": {
        (0, 0, 0, 0): -126.6651903, (0, 0, 1, 0): -113.7429660,
        (0, 1, 0, 0): -20.0741711, (0, 1, 0, 1): -18.8908599,
        (0, 1, 1, 0): -19.9995015, (0, 1, 1, 1): -19.3706561,
        (1, 0, 0, 0): -73.5232945, (1, 0, 1, 0): -15.8077723,
        (1, 1, 0, 0): -15.8884458, (1, 1, 0, 1): -16.2286300,
        (1, 1, 1, 0): -13.1641601, (1, 1, 1, 1): -13.4774964,
    },
}  # fmt: skip
"""BCG trials, log risk ratios as they are, latitude standardised on both sides.

The last one was printed as -13.4775121, by rules that begin near tau = 1e-4. There this
half-normal prior still has some mass; an adaptive integral over tau and the slope gives
-13.4774964 as well.
"""

PRINTED_BF = {
    "RoBMA 3": (373.333, 12.9966, 24.4558, 0.737699),
    "RoBMA 4": (270.244, 13.0134, 16.1018, 0.733324),
}
"""Effect, Heterogeneity, ablat in the mean, and in log tau given heterogeneity."""


@cache
def bcg() -> tuple[Array, Array, Array]:
    data, columns = g.bcg("logRR")
    x = columns["ablat"].astype(float)
    return data.y, data.se, (x - x.mean()) / x.std(ddof=1)


@cache
def exact(setting: str, model: tuple[int, int, int, int]) -> ls.Answer:
    effect, heterogeneity, term, scale = model
    y, se, x = bcg()
    sd, tau = SETTINGS[setting]
    chosen = [j for j, is_in in enumerate((effect, term)) if is_in]
    return ls.log_marginal(
        ls.Model(
            y, se,
            np.column_stack([np.ones(len(y)), x])[:, chosen],
            [(1.0, sd)[j] for j in chosen],
            tau if heterogeneity else None,
            x[:, None][:, :scale],
            [0.5] * scale,
        )
    )  # fmt: skip


@cache
def fitted(setting: str) -> rb.RobmaFit:
    y, se, _ = bcg()
    table = pd.DataFrame(g.bcg("logRR")[1])
    options: dict[str, Any] = {}
    if setting == "RoBMA 4":
        options["priors_heterogeneity"] = rb.prior("normal", mean=0, sd=0.5, lower=0)
        options["priors_mods"] = {"ablat": rb.prior("normal", mean=0, sd=0.5)}
    return rb.robma(
        table, y=y, se=se, mods="ablat", scale="ablat", priors_bias=None, seed=1,
        **options,
    )  # fmt: skip


def key(spec: rb.ModelSpec) -> tuple[int, int, int, int]:
    names = ("effect", "heterogeneity", "ablat", "tau ~ ablat")
    effect, heterogeneity, term, scale = (int(n in spec.alternative) for n in names)
    return effect, heterogeneity, term, scale


# ------------------------------------------------------------------- the oracle itself


@pytest.mark.parametrize("setting", SETTINGS)
def test_quadrature_gives_the_printed_log_marginal_likelihoods(setting: str) -> None:
    for model, printed in PRINTED_LOGML[setting].items():
        assert exact(setting, model).logml == pytest.approx(printed, abs=PRINTED)


def test_half_the_steps_change_nothing() -> None:
    y, se, x = bcg()
    model = ls.Model(
        y, se, np.column_stack([np.ones(13), x]), [1.0, 0.25],
        q.DEFAULT_HETEROGENEITY, x[:, None], [0.5],
    )  # fmt: skip
    finer = ls.log_marginal(model, (0.05, 0.1, 0.5))
    assert exact("RoBMA 3", (1, 1, 1, 1)).logml == pytest.approx(finer.logml, abs=SAME)


def test_clusters_without_correlation_are_independent() -> None:
    model = small_model()
    alone = replace(model, cluster=None, rho=None)
    near = replace(model, rho=Prior("beta", (1.0, 1e9)))
    found = ls.log_marginal(near, (0.25, 0.25, 0.25), (-7.0, 4.0)).logml
    # rho is of the order of 1e-9 there.
    assert found == pytest.approx(
        ls.log_marginal(alone, (0.25, 0.25, 0.25), (-7.0, 4.0)).logml, abs=1e-6
    )


# ------------------------------------------------------------------------- the package


@pytest.mark.parametrize("setting", SETTINGS)
def test_twelve_models_are_those_of_quadrature(setting: str) -> None:
    fit = fitted(setting)
    assert sorted(map(key, fit.space)) == sorted(PRINTED_LOGML[setting])
    for spec, one in zip(fit.space, fit.fits, strict=True):
        assert one.ok
        expected = exact(setting, key(spec)).logml
        within = ERRORS * one.logml_mcse + EXACT
        assert one.logml_mcse <= LOGML_MCSE
        assert one.logml == pytest.approx(expected, abs=within)


@pytest.mark.parametrize("setting", SETTINGS)
def test_bayes_factors_are_those_of_the_rule(setting: str) -> None:
    # Terms of log tau are split within the models with heterogeneity.
    fit = fitted(setting)
    fits = tuple(
        replace(one, logml=exact(setting, key(spec)).logml, logml_mcse=0.0)
        for spec, one in zip(fit.space, fit.fits, strict=True)
    )
    names = ["effect", "heterogeneity", "ablat", "tau ~ ablat"]
    known = replace(fit, fits=fits).inclusion.loc[names]
    assert known["prior_prob"].to_numpy() == pytest.approx(0.5, abs=1e-12)
    np.testing.assert_allclose(known["inclusion_bf"], PRINTED_BF[setting], rtol=DIGITS)
    found = fit.inclusion.loc[names]
    gap = (found["log_bf"] - known["log_bf"]).abs()
    assert (gap <= ERRORS * found["log_bf_mcse"]).all()


@pytest.mark.parametrize("setting", SETTINGS)
def test_posteriors_of_tau_and_of_its_slope_are_those_of_quadrature(
    setting: str,
) -> None:
    fit = fitted(setting)
    at = [key(spec) for spec in fit.space].index((1, 1, 1, 1))
    one, answer = fit.fits[at], exact(setting, (1, 1, 1, 1))
    assert one.diagnostics is not None
    for name, values in (("tau", answer.tau), ("tau ~ ablat", answer.d[:, 0])):
        draws = one.draws(name)
        mean = answer.average(values)
        sd = math.sqrt(answer.average((values - mean) ** 2))
        size = float(one.diagnostics.ess_mean.min())
        assert draws.mean() == pytest.approx(mean, abs=ERRORS * sd / math.sqrt(size))


def test_second_estimates_are_exact_to_their_error() -> None:
    fit = fitted("RoBMA 3")
    for spec, one in zip(fit.space, fit.fits, strict=True):
        if one.second is not None:
            assert one.second.logml == pytest.approx(
                exact("RoBMA 3", key(spec)).logml,
                abs=ERRORS * one.second.error + FIVE_DIGITS,
            )


def test_tau_at_values_of_its_moderator_is_that_of_quadrature() -> None:
    fit = fitted("RoBMA 3")
    table = fit.heterogeneity().tau
    chance: dict[tuple[int, int, int, int], float] = {
        key(spec): p for spec, p in zip(fit.space, fit.post_prob, strict=True)
    }
    for label, x in (("ablat[-1SD]", -1.0), ("ablat[0SD]", 0.0), ("ablat[1SD]", 1.0)):
        expected = 0.0
        for model, p in chance.items():
            answer = exact("RoBMA 3", model)
            moved = np.exp(x * answer.d[:, 0]) if model[3] else 1.0
            expected += p * answer.average(answer.tau * moved)
        row = table.loc[label]
        assert row["Mean"] == pytest.approx(
            expected, abs=ERRORS * row["error(Mean)"] + FIVE_DIGITS
        )


def test_true_effects_borrow_by_the_heterogeneity_of_their_row() -> None:
    y, se, x = bcg()
    fit = fitted("RoBMA 3")
    at = [key(spec) for spec in fit.space].index((1, 1, 1, 1))
    alone = replace(
        fit, space=rb.ModelSpace((fit.space.models[at],)), fits=(fit.fits[at],)
    )
    found = true_effects(alone)
    answer = exact("RoBMA 3", (1, 1, 1, 1))
    T2 = (answer.tau[:, None] * np.exp(answer.d[:, :1] * x)) ** 2
    mean = answer.mean[:, :1] + answer.mean[:, 1:] * x
    expected = answer.probability @ (mean + T2 / (T2 + se**2) * (y - mean))
    sd = found["SD"].to_numpy()
    # A few thousand draws of the model.
    np.testing.assert_allclose(
        found["Mean"], expected, rtol=0, atol=ERRORS * sd.max() / math.sqrt(2000)
    )


def test_log_density_of_the_slope_at_a_value_is_that_of_quadrature() -> None:
    fit = fitted("RoBMA 3")
    table = fit.hypothesis("tau ~ ablat = 0.2").hypotheses
    y, se, x = bcg()
    with_slope, without = 0.0, 0.0
    highest = max(PRINTED_LOGML["RoBMA 3"].values())
    sd, tau = SETTINGS["RoBMA 3"]
    for spec in fit.space:
        effect, _, term, scale = key(spec)
        if not scale:
            continue
        chosen = [j for j, is_in in enumerate((effect, term)) if is_in]
        columns = np.column_stack([np.ones(13), x])[:, chosen]
        # At a known slope estimates are those of one tau, in units of exp(0.2 x).
        unit = np.exp(0.2 * x)
        fixed = ls.log_marginal(
            ls.Model(
                y / unit, se / unit, columns / unit[:, None],
                [(1.0, sd)[j] for j in chosen], tau, np.empty((13, 0)), [],
            )
        ).logml - np.log(unit).sum()  # fmt: skip
        with_slope += math.exp(fixed - highest)
        without += math.exp(exact("RoBMA 3", key(spec)).logml - highest)
    row = table.iloc[0]
    assert math.log(row["BF"]) == pytest.approx(
        math.log(with_slope / without), abs=ERRORS * row["error(log BF)"] + 1e-3
    )


# ---------------------------------------------------------------------------- clusters


SMALL = {
    "y": [0.11, 0.52, -0.20, 0.35, 0.80, 0.05, 0.66],
    "se": [0.12, 0.15, 0.10, 0.20, 0.14, 0.11, 0.18],
    "lab": ["a", "a", "b", "b", "b", "c", "d"],
    "w": [-1.0, 0.6, 1.1, -0.7, 0.2, 1.4, -1.6],
}


def small_model() -> ls.Model:
    w = np.array(SMALL["w"])
    return ls.Model(
        np.array(SMALL["y"]), np.array(SMALL["se"]), np.ones((7, 1)), [1.0],
        q.DEFAULT_HETEROGENEITY, ((w - w.mean()) / w.std(ddof=1))[:, None], [0.5],
        np.unique(SMALL["lab"], return_inverse=True)[1], Prior("beta", (1.0, 1.0)),
    )  # fmt: skip


only = partial(
    rb.robma, priors_effect_null=None, priors_heterogeneity_null=None,
    seed=1,
)  # fmt: skip


def test_clusters_share_heterogeneity_by_the_loadings_of_their_rows() -> None:
    answer = ls.log_marginal(small_model(), (0.25, 0.2, 0.4), (-5.0, 5.0))
    fit = only(
        pd.DataFrame(SMALL), y="y", se="se", study_ids="lab", scale="w",
        test_scale=False, priors_bias=None,
    )  # fmt: skip
    (one,) = fit.fits
    assert one.logml == pytest.approx(
        answer.logml, abs=ERRORS * one.logml_mcse + FIVE_DIGITS
    )
    for name, values in (("rho", answer.rho), ("tau ~ w", answer.d[:, 0])):
        mean = answer.average(values)
        sd = math.sqrt(answer.average((values - mean) ** 2))
        assert fit.mixture(name).mean() == pytest.approx(
            mean, abs=ERRORS * sd / math.sqrt(1000)
        )


# -------------------------------------------------------------------------- identities


def test_a_factor_with_two_levels_is_a_tau_for_each() -> None:
    table = pd.DataFrame(SMALL).assign(half=list("xxyyxyx"))
    fit = only(table, y="y", se="se", scale="half", test_scale=False, priors_bias=None)
    (one,) = fit.fits
    sign = np.where(table["half"] == "x", 1.0, -1.0)
    # Deviations from the mean of two levels are N(0, 0.5²) and of opposite sign.
    model = replace(small_model(), w=sign[:, None], cluster=None, rho=None)
    assert one.logml == pytest.approx(
        ls.log_marginal(model).logml, abs=ERRORS * one.logml_mcse + FIVE_DIGITS
    )
    tau = fit.heterogeneity().tau
    assert list(tau.index) == ["half[x]", "half[y]"]
    product = fit.joint("tau", "tau ~ half[1]")
    # tau is the geometric mean of the two.
    levels = [np.exp(s * product["tau ~ half[1]"]) for s in (1, -1)]
    np.testing.assert_allclose(np.sqrt(levels[0] * levels[1]), 1.0)


def test_the_other_sign_of_a_moderator_turns_its_slope_round() -> None:
    table = pd.DataFrame(SMALL)
    one, other = (
        only(
            table.assign(w=sign * table["w"]),
            y="y",
            se="se",
            scale="w",
            priors_bias=None,
        )
        for sign in (1.0, -1.0)
    )
    gap = one.inclusion.loc["tau ~ w", "log_bf"]
    gap -= other.inclusion.loc["tau ~ w", "log_bf"]
    error = math.hypot(
        *(f.inclusion.loc["tau ~ w", "log_bf_mcse"] for f in (one, other))
    )
    assert gap == pytest.approx(0.0, abs=ERRORS * error)
    slopes = [f.mixture("tau ~ w", conditional=True) for f in (one, other)]
    error = math.hypot(*(m.mcse() for m in slopes))
    assert slopes[0].mean() == pytest.approx(-slopes[1].mean(), abs=ERRORS * error)


# --------------------------------------------------------------------------- selection

OMEGA = (1.0, 0.3)
CUT = 1.959963984540054
# Products of equally spaced sums, the coarsest of which still errs in this digit.
SELECTED = 1e-5


def selected_logml(model: ls.Model, rho: float, spacing: float = 1.0) -> float:
    """Log marginal likelihood under one-sided selection at p = .025, of mu, tau and d.

    Given the common factor of a cluster estimates are independent, so that a cluster is
    an integral over g of a product, above and below: sums over equally spaced nodes.
    """
    mu = np.arange(-3.5, 3.51, 0.14 * spacing)
    u = np.arange(-5.5, 4.01, 0.25 * spacing)
    d = 0.5 * np.arange(-6.0, 6.01, 0.4 * spacing)
    g_nodes = np.arange(-7.0, 7.01, 0.35 * spacing)
    log_g = -0.5 * g_nodes**2 - 0.5 * math.log(2 * math.pi)
    log_g = log_g + math.log(g_nodes[1] - g_nodes[0])
    assert model.tau is not None
    assert model.cluster is not None
    log_tau = q.log_prior(model.tau, np.exp(u)) + u
    grid = [x.ravel() for x in np.meshgrid(mu, u, d, indexing="ij")]
    weight = -0.5 * grid[0] ** 2 - 0.5 * (grid[2] / 0.5) ** 2
    weight = weight - math.log(2 * math.pi) - math.log(0.5)
    weight = weight + log_tau[np.searchsorted(u, grid[1] - 1e-12)]
    steps = (mu[1] - mu[0]) * (u[1] - u[0]) * (d[1] - d[0])
    total = weight + math.log(steps)
    T = np.exp(grid[1][:, None] + grid[2][:, None] * model.w[:, 0])
    for k in np.unique(model.cluster):
        rows = np.flatnonzero(model.cluster == k)
        up = np.tile(log_g, (len(total), 1))
        down = up.copy()
        for i in rows:
            load = math.sqrt(rho) * T[:, i]
            sd = np.sqrt(model.se[i] ** 2 + (1 - rho) * T[:, i] ** 2)[:, None]
            mean = grid[0][:, None] + load[:, None] * g_nodes
            z = (model.y[i] - mean) / sd
            up += -0.5 * z**2 - np.log(sd) - 0.5 * math.log(2 * math.pi)
            beyond = special.ndtr((mean - CUT * model.se[i]) / sd)
            down += np.log(OMEGA[1] + (OMEGA[0] - OMEGA[1]) * beyond)
            significant = model.y[i] > CUT * model.se[i]
            total = total + math.log(OMEGA[0 if significant else 1])
        total = total + special.logsumexp(up, axis=1) - special.logsumexp(down, axis=1)
    return float(special.logsumexp(total))


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_selection_sees_the_heterogeneity_of_each_row(rho: float) -> None:
    model = small_model()
    table = pd.DataFrame(SMALL)
    fit = only(
        table, y="y", se="se", study_ids="lab", scale="w", test_scale=False,
        priors_hierarchical=rb.prior("spike", location=rho), priors_bias_null=None,
        priors_bias=rb.prior_weightfunction("one-sided-fixed", steps=[0.025],
                                            omega=list(OMEGA)),
    )  # fmt: skip
    (one,) = fit.fits
    assert one.ok
    # The nodes of the common factor are certified; independent estimates need none.
    assert (one.rule is None) == (rho == 0.0)
    assert one.logml == pytest.approx(
        selected_logml(model, rho), abs=ERRORS * one.logml_mcse + CERTIFIED
    )


def test_finer_sums_over_selected_clusters_change_nothing() -> None:
    model = small_model()
    found = [selected_logml(model, 0.6, spacing) for spacing in (1.0, 0.85)]
    assert found[0] == pytest.approx(found[1], abs=SELECTED)
