"""Regressions through `robma` against quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import quadrature as q
import regression as g
from scipy.special import logsumexp
from test_logml_and_posteriors import ERRORS, EXACT, LOGML_MCSE

import pyrobma as rb
from pyrobma.ensemble import true_effects
from pyrobma.ensemble.directions import direction_evidence
from pyrobma.ensemble.hypotheses import PointEvidence, point_evidence
from pyrobma.ensemble.quantities import (
    Quantity,
    adjusted,
    coefficients,
    intercept,
    marginal,
    pooled,
    posterior,
)

Array = npt.NDArray[np.float64]

# Models with less probability than this do not have to be precise.
NEGLIGIBLE = 1e-4
# Fewest independent draws behind a quantile or a mean whose error is not stated: 4000
# draws of all models, thinned from chains whose effective size is a good half.
DRAWS = 2000

INVERSE_GAMMA = q.DEFAULT_HETEROGENEITY
ONLY_TAU = (g.Side(INVERSE_GAMMA, True),)

robma = partial(rb.robma, priors_bias=None, seed=1)


# ----------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Case:
    """An ensemble by the package and by quadrature, with a column for every term."""

    fit: rb.RobmaFit
    exact: g.Ensemble
    design: g.Design

    def row(self, quantity: Quantity) -> Array:
        """Weights of the oracle's coefficients, from the label of a quantity."""
        if quantity.label == "intercept":
            return self.design.intercept()
        name, _, inside = quantity.label.rstrip("]").partition("[")
        parents = self.design.terms[name]
        if quantity.kind == "mean":
            return self.design.cell(
                **dict(zip(parents, map(value_of, inside.split(", ")), strict=True))
            )
        # Of an interaction the numbers are at one standard deviation.
        levels = iter(inside.removeprefix("dif: ").split(", "))
        values = [
            next(levels) if self.design.parents[parent].rows else 1.0
            for parent in parents
        ]
        return self.design.deviation(name, *values)

    def member(self, spec: rb.ModelSpec) -> g.Member:
        names = ("effect", "heterogeneity", "bias", *self.design.terms)
        on = {name for name in names if name in spec.alternative}
        kinds = [kind for kind in ("PET", "PEESE") if spec.has(kind)]
        return self.exact.find(*on, bias=kinds[0] if kinds else None)


def value_of(text: str) -> str | float:
    return float(text[:-2]) if text.endswith("SD") else text


def andrews(contrast: str, **options: object) -> Case:
    data, columns = g.andrews()
    terms = ["measure", "age"]
    design = g.design({n: columns[n] for n in terms}, terms, contrast)
    table = rb.load_dataset("andrews2021")
    fit = robma(table, r="r", se="se", mods="measure + age", contrasts=contrast,
                **options)  # fmt: skip
    tau = ONLY_TAU if options else g.HETEROGENEITY
    return Case(fit, g.ensemble(data, design, heterogeneity=tau), design)


def andrews_and_bias() -> Case:
    data, columns = g.andrews()
    design = g.design({"measure": columns["measure"]}, ["measure"])
    sides = (g.Side(None, False), g.Side(g.Bias("PET", g.HALF_CAUCHY_PET), True))
    fit = robma(
        rb.load_dataset("andrews2021"), r="r", se="se", mods="measure",
        priors_bias=[rb.prior_PET("cauchy", [0, 1], lower=0)],
        priors_heterogeneity_null=None,
    )  # fmt: skip
    return Case(
        fit, g.ensemble(data, design, heterogeneity=ONLY_TAU, bias=sides), design
    )


def bcg_odds() -> Case:
    data, columns = g.bcg("logOR")
    terms = ["ablat", "alloc"]
    design = g.design({n: columns[n] for n in terms}, terms)
    events = {n: columns[n].astype(float) for n in ("tpos", "tneg", "cpos", "cneg")}
    log_odds = np.log(events["tpos"] / events["tneg"])
    log_odds = log_odds - np.log(events["cpos"] / events["cneg"])
    variance = sum(1.0 / cells for cells in events.values())
    fit = robma(pd.DataFrame(columns), logOR=log_odds, v=variance,
                mods="ablat + alloc")  # fmt: skip
    return Case(fit, g.ensemble(data, design), design)


def bcg_risk() -> Case:
    """Raw log risk ratios, with priors of their own."""
    data, columns = g.bcg("logRR")
    terms = ["ablat", "alloc"]
    design = g.design({n: columns[n] for n in terms}, terms)
    tau = q.Prior("normal", (0.0, 0.5), lower=0.0)
    wide = rb.prior("normal", mean=0, sd=0.5)
    fit = robma(
        pd.DataFrame(columns), y=data.y, se=data.se, mods="ablat + alloc",
        priors_heterogeneity=rb.prior("normal", mean=0, sd=0.5, lower=0),
        priors_mods={"ablat": wide, "alloc": wide},
    )  # fmt: skip
    sides = (g.Side(0.0, False), g.Side(tau, True))
    return Case(fit, g.ensemble(data, design, heterogeneity=sides, sd=0.5), design)


def schools() -> Case:
    data, columns = g.clustered("konstantopoulos2011", "district")
    design = g.design({"year": columns["year"]}, ["year"])
    fit = robma(
        rb.load_dataset("konstantopoulos2011"), d="yi", v="vi", study_ids="district",
        mods="year",
    )  # fmt: skip
    return Case(fit, g.ensemble(data, design), design)


def delinquents() -> Case:
    """An interaction with heredity, in clusters; mu and tau are in all models."""
    data, columns = g.clustered("assink2016", "study")
    design = g.design(
        {name: columns[name] for name in ("deltype", "year")},
        ["deltype", "year", "deltype:year"],
    )
    # One type of behaviour was studied in hardly more than one year.
    with pytest.warns(rb.DataWarning, match="follows from the intercept"):
        fit = robma(
            rb.load_dataset("assink2016"), d="yi", v="vi", study_ids="study",
            mods="deltype * year", priors_effect_null=None,
            priors_heterogeneity_null=None,
        )  # fmt: skip
    exact = g.ensemble(
        data, design, effect=(g.Side(q.DEFAULT_EFFECT, True),),
        heterogeneity=ONLY_TAU, which=g.respects_marginality,
    )  # fmt: skip
    return Case(fit, exact, design)


CASES: dict[str, Callable[[], Case]] = {
    "andrews": partial(andrews, "meandif"),
    "andrews_treatment": partial(andrews, "treatment", priors_heterogeneity_null=None),
    "andrews_pet": andrews_and_bias,
    "bcg_odds": bcg_odds,
    "bcg_risk": bcg_risk,
    "schools": schools,
    "delinquents": delinquents,
}


@cache
def case(name: str) -> Case:
    return CASES[name]()


every = pytest.mark.parametrize("name", CASES)


def agree(found: float, error: float, exact: float) -> None:
    assert abs(found - exact) <= ERRORS * error + EXACT * (1.0 + abs(exact))


# -------------------------------------------------------------------- whole ensembles


@every
def test_every_model_has_its_marginal_likelihood(name):
    this = case(name)
    probabilities = this.exact.probabilities()
    assert len(this.fit.fits) == len(this.exact.members)
    for spec, fit in zip(this.fit.space, this.fit.fits, strict=True):
        member = this.member(spec)
        agree(fit.logml, fit.logml_mcse, member.posterior.logml)
        if probabilities[this.exact.members.index(member)] > NEGLIGIBLE:
            assert fit.logml_mcse < LOGML_MCSE
    priors = {this.member(spec).on: 0.0 for spec in this.fit.space}
    for spec, p in zip(this.fit.space, this.fit.prior_prob, strict=True):
        priors[this.member(spec).on] += p
    for on, p in priors.items():
        exact = sum(m.prior_probability for m in this.exact.members if m.on == on)
        assert p == pytest.approx(exact)


@every
def test_every_component_and_term_has_its_bayes_factor(name):
    this = case(name)
    found = this.fit.inclusion
    assert set(this.design.terms) <= set(found.index)
    for component, row in found.iterrows():
        # Every model with heterogeneity has a correlation, where there are clusters.
        if component == "hierarchical" or not 0.0 < row["prior_prob"] < 1.0:
            continue
        exact = this.exact.inclusion(component)
        assert row["prior_prob"] == pytest.approx(exact.prior)
        agree(row["log_bf"], row["log_bf_mcse"], exact.log_bf)
        agree(row["post_prob"], row["post_prob_mcse"], exact.posterior)


@pytest.mark.parametrize("name", ["andrews", "bcg_risk", "delinquents"])
def test_terms_together_have_their_bayes_factors(name):
    this = case(name)
    one, other = list(this.design.terms)[:2]
    neither = g.none_of(one, other)
    for how, which in (("any", g.any_of), ("all", g.all_of)):
        exact = this.exact.compare(which(one, other), neither)
        found = this.fit.joint_inclusion(one, other, how=how)
        agree(found["log_bf"], found["log_bf_mcse"], exact.log_bf)


@every
def test_coefficients_have_their_means(name):
    this = case(name)
    found = {
        False: this.fit.summary().estimates_mods,
        True: this.fit.summary(conditional=True).estimates_mods_conditional,
    }
    for quantity in (intercept(), *coefficients(this.fit.task.moderators)):
        row = this.row(quantity)
        for conditional, frame in found.items():
            exact = this.exact
            if conditional:
                exact = exact.subset(g.any_of(quantity.term))
            mixture, line = exact.combination(row), frame.loc[quantity.label]
            agree(line["Mean"], line["error(Mean)"], mixture.mean())
            assert_quantiles(line, mixture)
            if not conditional:
                assert line["P(=0)"] == pytest.approx(mixture.atom(0.0), abs=0.02)
        given = this.fit.alternatives(quantity.term)
        spread = posterior(this.fit, quantity, given).sd()
        exact_sd = this.exact.subset(g.any_of(quantity.term)).combination(row)
        assert spread == pytest.approx(exact_sd.deviation(), rel=relative_error_of_sd())


def relative_error_of_sd() -> float:
    """Of independent normal draws; heavy tails add a factor of two or so."""
    return 2.0 * ERRORS / math.sqrt(2.0 * DRAWS)


def assert_quantiles(line: pd.Series, exact: g.Mixture) -> None:
    """Hold quantiles to the exact distribution function, atoms counting as they do."""
    for p, name in ((0.025, "0.025"), (0.5, "Median"), (0.975, "0.975")):
        x = line[name]
        slack = ERRORS * math.sqrt(p * (1.0 - p) / DRAWS)
        atoms = exact.atom(0.0) if abs(x) < EXACT else 0.0
        assert exact.below(x) - slack <= p <= exact.below(x) + atoms + slack, (name, x)


@every
def test_heterogeneity_and_correlation_have_their_means(name):
    this = case(name)
    for parameter in ("tau", "rho"):
        if parameter in this.fit.parameters:
            mixture = this.fit.mixture(parameter)
            mean, sd = this.exact.moments(parameter)
            agree(mixture.mean(), mixture.mcse(), mean)
            assert mixture.sd() == pytest.approx(sd, rel=0.1)
            for p in (0.025, 0.5, 0.975):
                # The quantile of a probability a few errors to either side.
                slack = ERRORS * math.sqrt(p * (1.0 - p) / DRAWS)
                low, high = (
                    this.exact.quantile(parameter, min(max(p + s, 1e-6), 1 - 1e-6))
                    for s in (-slack, slack)
                )
                assert low - EXACT <= mixture.quantiles([p])[0] <= high + EXACT


# -------------------------------------------------------------- means and differences


def ratio_of(ordinate: g.Ordinate) -> float:
    """Log Bayes factor among the models that leave the sum free."""
    log_bf = math.log(ordinate.bf)
    return (
        log_bf + math.log1p(-ordinate.posterior_atom) - math.log1p(-ordinate.prior_atom)
    )


def assert_evidence(found: PointEvidence, exact: g.Ordinate) -> None:
    agree(found.log_bf, found.log_bf_mcse, ratio_of(exact))
    assert found.prior_atom == pytest.approx(exact.prior_atom, abs=EXACT)
    assert found.post_atom == pytest.approx(exact.posterior_atom, abs=0.02)


@every
def test_marginal_means_have_their_means_and_bayes_factors(name):
    this = case(name)
    frame = this.fit.marginal_means(log_bf=True).means
    moderators = this.fit.task.moderators
    for term in moderators.terms:
        for quantity in marginal(moderators, term):
            row = this.row(quantity)
            mixture, line = this.exact.combination(row), frame.loc[quantity.label]
            agree(line["Mean"], line["error(Mean)"], mixture.mean())
            assert_quantiles(line, mixture)
            exact = this.exact.subset(g.any_of("effect", term.name)).savage_dickey(row)
            error = line["error(log BF)"]
            if dict(quantity.weights) == {"mu": 1.0} and the_effect_is_tested(this):
                # There the test is that of the effect.
                effect = this.exact.inclusion("effect").log_bf
                agree(line["log(Inclusion BF)"], error, effect)
                given = this.fit.members("effect") | this.fit.members(term.name)
                assert_evidence(point_evidence(this.fit, quantity, 0.0, given), exact)
            else:
                agree(line["log(Inclusion BF)"], error, ratio_of(exact))
            assert error < 3 * LOGML_MCSE


def the_effect_is_tested(this: Case) -> bool:
    effect = this.fit.members("effect")
    return bool(effect.any() and not effect.all())


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("andrews", "measure"),
        ("andrews_treatment", "measure"),
        ("andrews_pet", "measure"),
        ("bcg_odds", "alloc"),
        ("bcg_risk", "alloc"),
        ("delinquents", "deltype"),
    ],
)
def test_differences_of_levels_have_their_bayes_factors(name, term):
    this = case(name)
    frame = this.fit.contrasts(term, log_bf=True).contrasts
    within = this.exact.subset(g.any_of(term))
    levels = list(this.design.parents[term].rows)
    assert len(frame) == len(levels) * (len(levels) - 1) / 2
    for label, line in frame.iterrows():
        one, other = label.split(" - ")
        c = this.design.deviation(term, one) - this.design.deviation(term, other)
        agree(line["Mean"], line["error(Mean)"], within.combination(c).mean())
        exact = within.savage_dickey(c)
        agree(line["log(Inclusion BF)"], line["error(log BF)"], ratio_of(exact))


def test_a_difference_of_two_levels_is_the_term_and_a_mean_of_zero_no_effect():
    """Savage-Dickey ratios of models that the ensemble itself has without them."""
    this = case("andrews")
    row = this.fit.contrasts("measure", log_bf=True).contrasts.iloc[0]
    term = this.fit.inclusion.loc["measure"]
    error = math.hypot(row["error(log BF)"], term["log_bf_mcse"])
    agree(row["log(Inclusion BF)"], error, term["log_bf"])
    everything = np.ones(len(this.fit.fits), dtype=bool)
    found = point_evidence(this.fit, intercept(), 0.0, everything)
    effect = this.fit.inclusion.loc["effect"]
    error = math.hypot(found.log_bf_mcse, effect["log_bf_mcse"])
    agree(found.log_bf, error, effect["log_bf"])


@every
def test_directions_have_their_probabilities(name):
    this = case(name)
    rows = [*coefficients(this.fit.task.moderators), intercept()]
    for quantity in rows:
        given = this.fit.alternatives(quantity.term)
        for value in (0.0, 0.3) if name == "andrews" else (0.0,):
            found = direction_evidence(this.fit, quantity, value, given)
            within = this.exact.subset(g.any_of(quantity.term))
            after = within.combination(this.row(quantity))
            before = within.prior_combination(this.row(quantity))
            agree(found.post, found.post_mcse, after.above(value))
            assert found.prior == pytest.approx(before.above(value), rel=EXACT)
            # Quadrature leaves out nodes with a 1e-15th of the mass.
            rarer = min(after.above(value), after.below(value))
            if after.atom(0.0) == 0.0 and rarer > 1e-9:
                exact = math.log(after.above(value)) - math.log(after.below(value))
                exact -= math.log(before.above(value)) - math.log(before.below(value))
                agree(found.log_bf, found.log_bf_mcse, exact)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("andrews", "tau = 0.2"),
        ("andrews", "tau = 0.6"),
        ("andrews_pet", "tau = 0.3"),
        ("bcg_risk", "tau = 0.4"),
        ("schools", "tau = 0.3"),
        ("schools", "rho = 0.5"),
        ("delinquents", "rho = 0.9"),
        ("andrews_pet", "PET = 1"),
    ],
)
def test_a_value_of_an_unknown_has_its_bayes_factor(name, text):
    this = case(name)
    parameter, value = text.split(" = ")
    line = this.fit.hypothesis(text).hypotheses.iloc[0]
    exact = log_bf_of_value(this, parameter, float(value))
    agree(math.log(line["BF"]), line["error(log BF)"], exact)


def log_bf_of_value(this: Case, parameter: str, value: float) -> float:
    """Of models with the value against those in which the unknown is free.

    Every model is integrated again with the value, by quadrature.
    """
    with_value, free = [], []
    for member in this.exact.members:
        model = member.posterior
        own = "bias" if parameter == "PET" else parameter
        if own not in model.curves:
            continue
        log_prior = math.log(member.prior_probability)
        given = {
            "tau": model.curves["tau"].axis.prior,
            "rho": 0.0,
            "bias": None,
        }
        if "rho" in model.curves:
            given["rho"] = model.curves["rho"].axis.prior
        if model.bias_kind is not None:
            given["bias"] = g.Bias(model.bias_kind, model.curves["bias"].axis.prior)
        given[own] = g.Bias("PET", value) if own == "bias" else value
        again = g.posterior(
            model.data, model.X, model.prior_mean, model.prior_sd, **given
        )
        with_value.append(log_prior + again.logml)
        free.append(log_prior + model.logml)
    return float(logsumexp(with_value) - logsumexp(free))


def test_a_chain_of_levels_has_its_probability():
    this = case("bcg_risk")
    text = "alloc[alternate] > alloc[random] > alloc[systematic]"
    line = this.fit.hypothesis(text).hypotheses.iloc[0]
    # By symmetry each order of three levels is as probable before the data.
    assert line["Prior prob."] == pytest.approx(1 / 6, abs=ERRORS * 0.0012)
    within = this.exact.subset(g.any_of("alloc"))
    agree(line["Post. prob."], 0.01, probability_of_order(within, this.design))


def probability_of_order(exact: g.Ensemble, design: g.Design) -> float:
    """By draws from the exact mixture of normals: two standard errors are 0.003."""
    rng = np.random.default_rng(3)
    one, two, three = (
        design.deviation("alloc", n) for n in design.parents["alloc"].rows
    )
    C = np.array([one - two, two - three])
    total = 0.0
    for share, member in zip(exact.probabilities(), exact.members, strict=True):
        model = member.posterior
        rows = rng.choice(model.weight.size, size=20_000, p=model.weight)
        normal = rng.normal(size=(rows.size, 2, 1))
        spread = C @ model.spread[model.place[rows]] @ C.T
        values = model.centre[rows] @ C.T
        values = values + (np.linalg.cholesky(spread) @ normal)[:, :, 0]
        total += share * float((values > 0).all(axis=1).mean())
    return total


# --------------------------------------------------------------------------- effects


def near(found: float, exact: g.Mixture) -> bool:
    """Whether a mean is that of a distribution of which there are `DRAWS` draws."""
    return abs(found - exact.mean()) <= ERRORS * exact.deviation() / math.sqrt(DRAWS)


NEW = {
    "andrews": ({"measure": "direct", "age": 9.0}, 0.1),
    "andrews_pet": ({"measure": "informant"}, 0.25),
    "bcg_risk": ({"ablat": 20.0, "alloc": "random"}, 0.2),
    "schools": ({"year": 1980.0}, 0.1),
    "delinquents": ({"deltype": "covert", "year": 2.0}, 0.3),
}


@pytest.mark.parametrize("name", NEW)
def test_predictions_have_their_quantiles(name):
    this = case(name)
    values, se = NEW[name]
    coded = {}
    for variable, value in values.items():
        parent = this.design.parents[variable]
        number = not parent.rows
        coded[variable] = (value - parent.centre) / parent.spread if number else value
    c = this.design.cell(**coded)
    scale = this.exact.members[0].posterior.data.scale
    table = pd.DataFrame([values])
    for type, bias, part in (
        ("terms", False, lambda m: m.combination(c)),
        ("effect", False, lambda m: m.combination(c, tau=True)),
        ("response", False, lambda m: rescaled(m.estimate(c, se, bias=False), scale)),
        ("response", True, lambda m: rescaled(m.estimate(c, se), scale)),
    ):
        found = this.fit.predict(table, type, se=se, bias=bias).iloc[0]
        exact = this.exact.mix(part)
        assert near(found["Mean"], exact)
        assert_quantiles(found, exact)


def rescaled(exact: g.Mixture, scale: float) -> g.Mixture:
    """From the data's scale to that of the priors, by the linear rule."""
    return g.Mixture(exact.weight, exact.centre / scale, exact.sd / scale)


@every
def test_pooled_and_adjusted_effects_are_those_of_the_rows(name):
    this = case(name)
    frame = this.fit.pooled_effect().pooled
    sample, line = this.design.sample(), frame.loc["estimate"]
    exact = this.exact.combination(sample)
    agree(line["Mean"], line["error(Mean)"], exact.mean())
    assert_quantiles(line, exact)
    assert_quantiles(frame.loc["PI"], this.exact.combination(sample, tau=True))
    grid = [
        this.design.cell(**{n: level})
        for n, parent in this.design.parents.items()
        for level in parent.rows
    ] or [this.design.intercept()]
    # One factor at most, so that the grid is its levels.
    exact, line = this.exact.combination(np.mean(grid, axis=0)), frame.loc["adjusted"]
    agree(line["Mean"], line["error(Mean)"], exact.mean())
    moderators = this.fit.task.moderators
    for quantity, label in ((pooled(moderators), "estimate"),
                            (adjusted(moderators), "adjusted")):  # fmt: skip
        mean = posterior(this.fit, quantity).mean()
        assert mean == pytest.approx(frame.loc[label, "Mean"])


@pytest.mark.parametrize("name", ["andrews", "andrews_pet", "schools", "bcg_risk"])
def test_true_effects_are_those_of_the_regression(name):
    this = case(name)
    found = true_effects(this.fit)
    scale = this.exact.members[0].posterior.data.scale
    for row in (0, 1, len(found) - 1):
        exact = rescaled(this.exact.mix(lambda m, row=row: m.true_effect(row)), scale)
        line = found.iloc[row]
        assert near(line["Mean"], exact)
        assert line["SD"] == pytest.approx(
            exact.deviation(), rel=relative_error_of_sd()
        )
        assert_quantiles(line, exact)
