"""Terms of moderators as hypotheses: which models there are, how probable, why not."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom

from pyrobma import (
    PriorError,
    default_priors,
    effect_sizes,
    model_space,
    prior,
    prior_none,
    prior_PEESE,
    prior_PET,
)
from pyrobma.effects import read_moderators
from pyrobma.models import (
    Task,
    beta_binomial,
    moderator_columns,
    term_hypotheses,
    with_heredity,
)
from pyrobma.models.terms import check_mods_prior, confounded_bias

ROUNDING = 1e-12  # sums and quotients of a few floats

K = 24
RNG = np.random.default_rng(5)
TABLE = pd.DataFrame(
    {
        "x": RNG.normal(size=K),
        "z": RNG.normal(size=K),
        "w": RNG.normal(size=K),
        "g": list("abc") * 8,
        "h": list("uv") * 12,
    }
)
EFFECTS = effect_sizes(d=RNG.normal(size=K), se=RNG.uniform(0.1, 0.3, K))
SPIKE = prior("spike", location=0)
NARROW = prior("normal", mean=0, sd=0.1)
WIDE = prior("normal", mean=0, sd=2)
CAUCHY = prior("cauchy", location=0, scale=0.5)


def task_of(formula, scale="cohens_d", **options):
    made, _ = read_moderators(formula, TABLE, **options)
    return Task(EFFECTS, scale, columns=moderator_columns(made), moderators=made)


def hypotheses(formula, priors=None, test=True, contrasts="meandif", **options):
    task = task_of(formula, contrasts=contrasts)
    return term_hypotheses(
        task.moderators, task.unknowns, priors=priors, test=test, **options
    )


def space_of(formula, *, heredity=True, mods_prior="independent", bias=(), **options):
    task = task_of(formula)
    terms = term_hypotheses(task.moderators, task.unknowns, **options)
    space = model_space(
        *terms,
        effect=default_priors("effect"),
        effect_null=(SPIKE,),
        heterogeneity=default_priors("heterogeneity"),
        heterogeneity_null=(SPIKE,),
        bias=bias,
        unknowns=task.unknowns,
    )
    if heredity:
        space = with_heredity(space, task.moderators)
    if mods_prior == "independent":
        return space
    return beta_binomial(space, [t.component for t in terms if t.null])


def sides(term):
    return [
        [str(c.priors[0][1]) for c in side] for side in (term.null, term.alternative)
    ]


def subsets(space, names):
    """Prior probabilities by the set of terms that a model has."""
    found = {}
    for model, chance in zip(space, space.prior_prob, strict=True):
        own = frozenset(names) & model.alternative
        found[own] = found.get(own, 0.0) + chance
    return found


# ---- models ----------------------------------------------------------------
def test_base_models_vary_fastest_then_the_first_term():
    space = space_of("x + g")
    slowest_first = ("g", "x", "effect", "heterogeneity")
    members = [
        tuple(name in model.alternative for name in slowest_first) for model in space
    ]
    assert members == list(itertools.product([False, True], repeat=4))
    np.testing.assert_allclose(space.prior_prob, 1 / 16, rtol=ROUNDING)
    assert str(space.models[-1]) == (
        "mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), x ~ Normal(0, 0.25), "
        "g[1] ~ Normal(0, 0.25), g[2] ~ Normal(0, 0.25)"
    )


@pytest.mark.parametrize(
    ("formula", "sets"),
    [
        ("x", 2),
        ("x + z + g", 8),
        # None, one of two, both, both with the interaction.
        ("x * g", 5),
        # By the number of mains: 1, 3 of 1, 3 of 2 with 2 sides, 2^3 + 1 of 3.
        ("x * z * g", 1 + 3 + 3 * 2 + 9),
        ("x * z + w", 10),
    ],
)
def test_numbers_of_models_with_heredity(formula, sets):
    assert len(space_of(formula)) == 4 * sets


def test_without_heredity_every_combination_is_a_model():
    assert len(space_of("x * z * g", heredity=False)) == 4 * 2**7


def test_with_heredity_no_model_lacks_a_part_of_its_interactions():
    made, _ = read_moderators("x * z * g", TABLE)
    full = space_of("x * z * g", heredity=False)
    kept = set(map(str, space_of("x * z * g")))
    for model in full:
        own = [set(n.split(":")) for n in model.alternative & set(made.names)]
        whole = all(
            set(part) in own
            for parts in own
            for size in range(1, len(parts))
            for part in itertools.combinations(sorted(parts), size)
        )
        assert (str(model) in kept) == whole


def test_with_heredity_other_probabilities_keep_their_ratios():
    found = subsets(space_of("x * g"), ("x", "g", "x:g"))
    assert len(found) == 5
    np.testing.assert_allclose(list(found.values()), 1 / 5, rtol=ROUNDING)


def test_terms_that_are_not_tested_are_in_every_model():
    for test in ("z", ["z"], {"z"}):
        space = space_of("x + z", test=test)
        assert len(space) == 8
        assert all("x" in model.alternative for model in space)
    for test in (False, None, [], np.False_):
        space = space_of("x + z", test=test)
        assert len(space) == 4
        assert all({"x", "z"} <= model.alternative for model in space)
    assert len(space_of("x + z", test=np.True_)) == 16
    assert len(space_of("x * g", test=["g:x"])) == 8


def test_heredity_that_decides_on_a_test_is_refused():
    message = "heredity: expected models with and without x; got it in all"
    with pytest.raises(PriorError, match=message):
        space_of("x * g", test=["x"])
    assert len(space_of("x * g", test=["x"], heredity=False)) == 8
    never = {"x": {"null": SPIKE}}
    with pytest.raises(PriorError, match="with and without x:g; got it in none"):
        space_of("x * g", priors=never)


# ---- probabilities ---------------------------------------------------------
@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_beta_binomial_gives_every_number_of_terms_the_same_probability(p):
    names = ["x", "g", "z", "w"][:p]
    found = subsets(space_of(" + ".join(names), mods_prior="beta-binomial"), names)
    assert len(found) == 2**p
    sizes = np.zeros(p + 1)
    for own, chance in found.items():
        sizes[len(own)] += chance
    np.testing.assert_allclose(sizes, betabinom(p, 1, 1).pmf(range(p + 1)), rtol=1e-12)
    # Sets of one size are alike.
    each = [chance / sizes[len(own)] for own, chance in found.items()]
    counts = [sum(len(o) == len(own) for o in found) for own in found]
    np.testing.assert_allclose(each, 1 / np.array(counts), rtol=ROUNDING)


def test_beta_binomial_with_heredity_goes_to_the_models_that_are_left():
    found = subsets(space_of("x * g", mods_prior="beta-binomial"), ("x", "g", "x:g"))
    law = betabinom(3, 1, 1)
    each = {0: law.pmf(0), 1: law.pmf(1) / 3, 2: law.pmf(2) / 3, 3: law.pmf(3)}
    total = sum(each[len(own)] for own in found)
    for own, chance in found.items():
        assert chance == pytest.approx(each[len(own)] / total, rel=ROUNDING)


def test_beta_binomial_holds_whatever_the_weights_of_priors():
    priors = {
        "x": [NARROW, WIDE, CAUCHY],
        "z": {
            "alternative": prior("normal", mean=0, sd=1, prior_weight=9),
            "null": [SPIKE, prior("spike", location=0.1, prior_weight=3)],
        },
    }
    options = {"priors": priors, "mods_prior": "beta-binomial"}
    space = space_of("x + z", **options)
    found = subsets(space, ("x", "z"))
    for own, chance in found.items():
        expected = {0: 1 / 3, 1: 1 / 6, 2: 1 / 3}[len(own)]
        assert chance == pytest.approx(expected, rel=ROUNDING)
    # Against each other, models with the same terms keep their weights.
    nulls = [m.prior_weight for m in space if not {"x", "z"} & m.alternative]
    assert len(nulls) == 8
    np.testing.assert_allclose(nulls[4:], 3 * np.array(nulls[:4]), rtol=ROUNDING)


def test_beta_binomial_counts_terms_that_are_tested():
    space = space_of("x + z + g", test=["x", "z"], mods_prior="beta-binomial")
    found = subsets(space, ("x", "z"))
    assert found[frozenset()] == pytest.approx(1 / 3, rel=ROUNDING)
    assert found[frozenset({"x"})] == pytest.approx(1 / 6, rel=ROUNDING)


def test_beta_binomial_survives_weights_that_no_float_holds():
    tiny = prior("normal", mean=0, sd=1, prior_weight=1e-300)
    priors = {name: [tiny, NARROW] for name in ("x", "z", "w")}
    space = space_of("x + z + w", priors=priors, mods_prior="beta-binomial")
    found = subsets(space, ("x", "z", "w"))
    assert found[frozenset({"x", "z", "w"})] == pytest.approx(1 / 4, rel=1e-9)
    assert min(space.log_prior_prob) == pytest.approx(
        3 * np.log(1e-300) - np.log(4) - np.log(4), rel=1e-9
    )
    assert all(model.prior_weight > 0 for model in space)


def test_other_distributions_of_the_number_of_terms_are_refused():
    check_mods_prior("independent")
    with pytest.raises(
        PriorError, match="mods_prior: expected one of independent, beta"
    ):
        check_mods_prior("betabinomial")


# ---- priors ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "null", "alternative"),
    [
        (None, ["Spike(0)"], ["Normal(0, 0.25)"]),
        (WIDE, ["Spike(0)"], ["Normal(0, 2)"]),
        ([WIDE, CAUCHY], ["Spike(0)"], ["Normal(0, 2)", "Cauchy(0, 0.5)"]),
        ({"alternative": WIDE}, [], ["Normal(0, 2)"]),
        ({"null": SPIKE}, ["Spike(0)"], []),
        ({"null": NARROW, "alternative": WIDE}, ["Normal(0, 0.1)"], ["Normal(0, 2)"]),
        ({"null": None, "alternative": (WIDE,)}, [], ["Normal(0, 2)"]),
    ],
)
def test_priors_of_a_term_in_every_form(given, null, alternative):
    term, other = hypotheses("x + z", None if given is None else {"x": given})
    assert sides(term) == [null, alternative]
    assert sides(other) == [["Spike(0)"], ["Normal(0, 0.25)"]]


def test_priors_are_scaled_only_by_default():
    term, other = hypotheses("x + z", {"x": WIDE}, rescale=2)
    assert sides(term)[1] == ["Normal(0, 2)"]
    assert sides(other)[1] == ["Normal(0, 0.5)"]


def test_a_term_that_is_not_tested_has_its_prior_only():
    term, other = hypotheses("x + z", {"x": WIDE}, test=["z"])
    assert sides(term) == [[], ["Normal(0, 2)"]]
    both = {"x": {"null": SPIKE, "alternative": WIDE}}
    assert sides(hypotheses("x", both, test=False)[0])[0] == ["Spike(0)"]
    assert sides(other)[0] == ["Spike(0)"]


def test_an_interaction_is_named_with_its_variables_in_any_order():
    *_, term = hypotheses("x * z", {"z:x": WIDE})
    assert sides(term)[1] == ["Normal(0, 2)"]


def test_every_column_of_a_term_has_its_prior():
    *_, term = hypotheses("g * x", {"g:x": NARROW})
    assert [name for name, _ in term.alternative[0].priors] == ["g:x[1]", "g:x[2]"]
    assert {str(one) for _, one in term.alternative[0].priors} == {"Normal(0, 0.1)"}


@pytest.mark.parametrize("one", [CAUCHY, prior("student_t", location=0, scale=1, df=3)])
def test_heavy_tails_need_a_number_two_levels_or_treatment_contrasts(one):
    for formula in ("x", "h", "h * x"):
        assert hypotheses(formula, {formula.replace(" * ", ":"): one})
    assert hypotheses("g", {"g": one}, contrasts="treatment")
    for formula in ("g", "g * x", "g * h"):
        name = formula.replace(" * ", ":")
        with pytest.raises(
            PriorError, match=f"{name}: expected a normal prior for the"
        ):
            hypotheses(formula, {name: one})


@pytest.mark.parametrize(
    "one",
    [
        prior("normal", mean=0.1, sd=1),
        prior("normal", mean=0, sd=1, lower=0),
        prior("spike", location=0.1),
        prior("gamma", shape=2, rate=1),
        prior("uniform", a=-1, b=1),
    ],
)
def test_deviations_from_a_mean_have_no_direction(one):
    assert hypotheses("x * z", {"x": one, "x:z": one})
    assert hypotheses("g", {"g": one}, contrasts="treatment")
    for name in ("g", "h", "g:h", "h:x", "g:x"):
        with pytest.raises(PriorError, match=f"{name}: .*symmetric around 0 and not"):
            hypotheses("g * h * x", {name: one})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priors": WIDE}, "priors_mods: expected a mapping by term; got Prior"),
        ({"priors": [WIDE]}, "priors_mods: expected a mapping by term"),
        ({"priors": {"X1": WIDE}}, "names of terms, x, g, x:g; got 'X1'"),
        ({"priors": {"g[1]": WIDE}}, r"got 'g\[1\]'"),
        ({"priors": {"x:gg": WIDE}}, "Did you mean 'x:g'"),
        ({"priors": {"x": {}}}, '"alternative" and "null" for x; got neither'),
        ({"priors": {"x": {"alt": WIDE}}}, "\"null\" for x; got 'alt'"),
        ({"priors": {"x": None}}, "at least one prior for x; got None. Leave x out of"),
        ({"priors": {"x": []}}, "at least one prior for x"),
        ({"priors": {"x": {"null": None}}}, "at least one prior for x"),
        ({"priors": {"x": 0.5}}, "priors_mods, x: expected a prior made by prior"),
        ({"priors": {"x": "normal"}}, "priors_mods, x: expected a prior made by prior"),
        ({"priors": {"x": {"null": [0]}}}, "priors_mods, x: expected a prior made by"),
        (
            {"priors": {"x": prior_PET("cauchy", [0, 1])}},
            "expected a prior made by prior",
        ),
        ({"priors": {"x:g": WIDE, "g:x": WIDE}}, "one entry for x:g; got two, the sec"),
        ({"test": ["y"]}, "test_mods: expected names of terms, x, g, x:g; got 'y'"),
        ({"test": 1}, "test_mods: expected True, False or names of terms; got 1"),
    ],
)
def test_priors_and_tests_that_fit_no_term_are_refused(options, message):
    with pytest.raises(PriorError, match=message):
        hypotheses("x * g", **options)


@pytest.mark.parametrize("scale", ["cohens_d", "fishers_z", "logOR", "r"])
def test_a_prior_of_a_coefficient_reaches_no_end(scale):
    task = task_of("x + g", scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for term in term_hypotheses(
            task.moderators,
            task.unknowns,
            priors={"x": prior("cauchy", location=0, scale=100), "g": WIDE},
            scale=scale,
        ):
            for choice in (*term.null, *term.alternative):
                for _, one in choice.priors:
                    assert one.is_spike or (one.lower, one.upper) == (-np.inf, np.inf)


# ---- bias ------------------------------------------------------------------
def test_moderators_that_stand_in_for_standard_errors_are_found():
    se = EFFECTS.se
    bias = (prior_PET("cauchy", [0, 1]), prior_PEESE("cauchy", [0, 5]))

    def found(table, biases=bias):
        made, _ = read_moderators(table)
        columns = moderator_columns(made)
        task = Task(EFFECTS, "cohens_d", columns=columns, moderators=made)
        space = model_space(
            effect=(WIDE,),
            heterogeneity=default_priors("heterogeneity"),
            bias=biases,
            bias_null=(prior_none(),),
            unknowns=task.unknowns,
        )
        return confounded_bias(task, space)

    assert found({"v": 1 - 3 * se}) == ("PET",)
    assert found({"v": se**2, "x": TABLE["x"]}) == ("PEESE",)
    assert found({"a": se + TABLE["x"], "x": TABLE["x"]}) == ("PET",)
    assert found({"v": 1 - 3 * se}, bias[1:]) == ()
    assert found({"v": np.log(se)}) == ()
    assert confounded_bias(Task(EFFECTS, "cohens_d"), space_of("x")) == ()
