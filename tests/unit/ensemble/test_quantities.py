"""Sums of coefficients that are reported, restated row by row from the raw table."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from pyrobma import prior
from pyrobma.effects import read_moderators
from pyrobma.ensemble.quantities import (
    Quantity,
    adjusted,
    coefficients,
    fixed_at,
    intercept,
    marginal,
    original,
    pooled,
)
from pyrobma.models import ModelSpec

ROUNDING = 1e-10  # of sums of some twenty products of coefficients and raw values
SOLVED = 1e-7  # least squares in raw columns, the worst of condition 1e6

K = 36
RNG = np.random.default_rng(11)
TABLE = pd.DataFrame(
    {
        "x": RNG.normal(3, 2, K),
        "z": RNG.uniform(1, 4, K),
        "year": RNG.integers(1990, 2020, K),
        "g": RNG.permutation(list("abc") * 12),
        "h": RNG.permutation(["u", "v"] * 18),
    }
)
CONTRASTS = ("meandif", "orthonormal", "treatment")
FORMULAS = (
    "x",
    "g",
    "g * x + z",
    "x * g * z",
    "g * h * x",
    "x * z + year",
    "poly(x, 2) + g",
    "log(z) * g",
    "C(g, contr.sum) * x",
    "C(g, contr.treatment('b')) + h * z",
)


def read(formula, **options):
    return read_moderators(formula, TABLE, **options)[0]


def drawn(moderators, seed=1):
    """Coefficients of a draw, the effect among them; and the mean of every row."""
    rng = np.random.default_rng(seed)
    b = rng.normal(size=len(moderators.labels) + 1)
    draws = dict(zip(("mu", *moderators.labels), b, strict=True))
    return draws, b[0] + moderators.columns @ b[1:]


def values(quantities, draws):
    """What quantities are in a draw, by label."""
    found = {q.label: float(np.squeeze(q.value(draws))) for q in quantities}
    assert len(found) == len(quantities)
    return found


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=ROUNDING, atol=ROUNDING)


def levels(moderators, name):
    return moderators.coding(name).levels


def raw_number(name):
    return np.log(TABLE["z"]) if name == "log(z)" else TABLE[name]


# ---- coefficients ----------------------------------------------------------
@pytest.mark.parametrize("contrasts", ["meandif", "orthonormal"])
def test_deviations_sum_to_zero_over_the_levels_of_each_factor(contrasts):
    made = read("g * h * x", contrasts=contrasts)
    draws, _ = drawn(made)
    found = values(coefficients(made), draws)
    for term in ("g", "g:x"):
        close(sum(found[f"{term}[dif: {level}]"] for level in "abc"), 0)
    for term in ("g:h", "g:h:x"):
        for level in "uv":
            close(sum(found[f"{term}[dif: {own}, {level}]"] for own in "abc"), 0)
        for level in "abc":
            close(sum(found[f"{term}[dif: {level}, {own}]"] for own in "uv"), 0)


def test_coefficients_of_treatment_contrasts_are_differences_from_the_first_level():
    made = read("g * x", contrasts="treatment")
    draws, _ = drawn(made)
    assert [q.label for q in coefficients(made)] == [
        "g[dif: b]",
        "g[dif: c]",
        "x",
        "g:x[dif: b]",
        "g:x[dif: c]",
    ]
    found, at = values(coefficients(made), draws), values(marginal_rows(made), draws)
    for level in "bc":
        close(found[f"g[dif: {level}]"], at[f"g[{level}]"] - at["g[a]"])


def marginal_rows(made):
    return [row for term in made.terms for row in marginal(made, term)]


@pytest.mark.parametrize("contrasts", ["meandif", "orthonormal"])
def test_labels_name_the_levels_and_never_the_columns(contrasts):
    rows = coefficients(read("g * x + h", contrasts=contrasts))
    assert [(row.label, row.term) for row in rows] == [
        ("g[dif: a]", "g"),
        ("g[dif: b]", "g"),
        ("g[dif: c]", "g"),
        ("x", "x"),
        ("h[dif: u]", "h"),
        ("h[dif: v]", "h"),
        ("g:x[dif: a]", "g:x"),
        ("g:x[dif: b]", "g:x"),
        ("g:x[dif: c]", "g:x"),
    ]
    assert {row.kind for row in rows} == {"coefficient"}


def test_coefficients_of_several_columns_of_a_number_are_those_of_the_columns():
    made = read("poly(x, 2) * g")
    draws, _ = drawn(made)
    found = values(coefficients(made), draws)
    for label in (*made.term("poly(x, 2)").labels, *made.term("poly(x, 2):g").labels):
        assert found[label] == draws[label]


# ---- original units --------------------------------------------------------
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("contrasts", CONTRASTS)
@pytest.mark.parametrize(
    "formula",
    ["x", "g", "g * x + z", "x * g * z", "g * h * x", "x * z + year", "log(z) * g"],
)
def test_coefficients_per_unit_give_the_mean_of_every_row(
    formula, contrasts, standardize
):
    made = read(formula, contrasts=contrasts, standardize=standardize)
    draws, mean = drawn(made)
    found = values(original(made), draws)
    restated = np.full(K, found["intercept"])
    for term in made.terms:
        factors = [n for n in term.variables if made.coding(n).factor]
        weight = np.ones(K)
        for name in set(term.variables) - set(factors):
            weight = weight * raw_number(name)
        if factors:
            cells = TABLE[factors].agg(", ".join, axis=1)
            # Treatment contrasts have no row where some factor is at its first level.
            rows = {f"{term.name}[dif: {cell}]" for cell in cells}
            assert contrasts == "treatment" or rows <= found.keys()
            own = [found.get(f"{term.name}[dif: {cell}]", 0.0) for cell in cells]
        else:
            own = found[term.name]
        restated += weight * own
    close(restated, mean)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("contrasts", CONTRASTS)
def test_coefficients_per_unit_are_those_of_the_design_without_standardizing(
    formula, contrasts
):
    made = read(formula, contrasts=contrasts)
    draws, mean = drawn(made)
    raw = read(formula, contrasts=contrasts, standardize=False)
    design = np.column_stack([np.ones(K), raw.columns])
    b, _, rank, _ = np.linalg.lstsq(design, mean)
    assert rank == design.shape[1]  # so there is one solution only
    np.testing.assert_allclose(design @ b, mean, rtol=SOLVED, atol=SOLVED)
    own = dict(zip(("mu", *raw.labels), b, strict=True))
    expected = values((intercept(), *coefficients(raw)), own)
    found = values(original(made), draws)
    assert list(found) == list(expected)
    np.testing.assert_allclose(
        list(found.values()), list(expected.values()), rtol=SOLVED, atol=SOLVED
    )


def test_the_intercept_per_unit_is_mapped_draw_by_draw():
    # The mean slope in its place would give another spread.
    made = read("x + z")
    rng = np.random.default_rng(2)
    draws = {name: rng.normal(size=(2, 5)) for name in ("mu", "x", "z")}
    first, x, z = (row.value(draws) for row in original(made))
    m, s = TABLE[["x", "z"]].mean(), TABLE[["x", "z"]].std()
    close(x, draws["x"] / s["x"])
    close(z, draws["z"] / s["z"])
    close(first, draws["mu"] - x * m["x"] - z * m["z"])


def test_a_named_centre_is_where_the_effect_is():
    made = read("year", center={"year": 2000})
    draws, _ = drawn(made)
    found = values(original(made), draws)
    close(found["intercept"] + 2000 * found["year"], draws["mu"])


# ---- means -----------------------------------------------------------------
@pytest.mark.parametrize("standardize", [True, False])
def test_marginal_means_against_rows_written_by_hand(standardize):
    made = read("g * x + z", standardize=standardize)
    draws, _ = drawn(made)
    found = values(marginal_rows(made), draws)
    units = values(original(made), draws)
    steps = {"-1SD": -1, "0SD": 0, "1SD": 1}
    at = {n: {s: TABLE[n].mean() + k * TABLE[n].std() for s, k in steps.items()}
          for n in "xz"}  # fmt: skip

    def mean(g=None, x=None, z=None):
        x = at["x"]["0SD"] if x is None else x
        z = at["z"]["0SD"] if z is None else z
        total = units["intercept"] + units["x"] * x + units["z"] * z
        if g is not None:
            total += units[f"g[dif: {g}]"] + units[f"g:x[dif: {g}]"] * x
        return total

    expected = {f"g[{g}]": mean(g) for g in "abc"}
    expected |= {f"x[{s}]": mean(x=at["x"][s]) for s in steps}
    expected |= {f"z[{s}]": mean(z=at["z"][s]) for s in steps}
    expected |= {f"g:x[{g}, {s}]": mean(g, at["x"][s]) for g in "abc" for s in steps}
    assert set(found) == set(expected)
    close([found[label] for label in expected], list(expected.values()))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("contrasts", CONTRASTS)
def test_marginal_means_are_those_of_new_rows(contrasts, standardize):
    options = {"contrasts": contrasts, "standardize": standardize}
    made = read("g * h + g * x", **options)
    draws, _ = drawn(made)
    found = values(marginal_rows(made), draws)
    b = np.array([draws[label] for label in made.labels])
    places = {"-1SD": -1, "0SD": 0, "1SD": 1}

    def mean(g=None, h=None, x="0SD"):
        """Over rows of a table with all levels that are not given."""
        own = {"treatment": (["a"], ["u"])}.get(contrasts, (list("abc"), list("uv")))
        gs, hs = ([g] if g else own[0]), ([h] if h else own[1])
        rows = pd.DataFrame(itertools.product(gs, hs), columns=["g", "h"])
        rows["x"] = TABLE["x"].mean() + places[x] * TABLE["x"].std()
        return draws["mu"] + (made.design(rows) @ b).mean()

    for g in "abc":
        close(found[f"g[{g}]"], mean(g))
        for h in "uv":
            close(found[f"g:h[{g}, {h}]"], mean(g, h))
        for x in places:
            close(found[f"g:x[{g}, {x}]"], mean(g, x=x))
    for h in "uv":
        close(found[f"h[{h}]"], mean(h=h))
    for x in places:
        close(found[f"x[{x}]"], mean(x=x))


def test_a_term_with_several_columns_of_a_number_has_no_marginal_means():
    made = read("poly(x, 2) * g")
    assert marginal(made, made.term("poly(x, 2)")) == ()
    assert marginal(made, made.term("poly(x, 2):g")) == ()
    assert len(marginal(made, made.term("g"))) == 3


def test_one_standard_deviation_is_of_clusters_if_numbers_are_centred_by_them():
    cluster = np.repeat(np.arange(9), 4)
    made = read("x", center="clusters", cluster=cluster)
    draws, _ = drawn(made)
    found = values(marginal_rows(made), draws)
    means = TABLE["x"].groupby(cluster).mean()
    units = values(original(made), draws)
    for label, step in (("x[-1SD]", -1), ("x[0SD]", 0), ("x[1SD]", 1)):
        x = means.mean() + step * means.std()
        close(found[label], units["intercept"] + units["x"] * x)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("standardize", [True, False])
def test_the_pooled_effect_is_the_mean_over_the_rows(formula, standardize):
    made = read(formula, standardize=standardize)
    draws, mean = drawn(made)
    assert pooled(made).kind == "mean"
    close(pooled(made).value(draws), mean.mean())


@pytest.mark.parametrize("contrasts", CONTRASTS)
@pytest.mark.parametrize("standardize", [True, False])
def test_the_adjusted_effect_is_the_mean_over_all_cells(contrasts, standardize):
    options = {"contrasts": contrasts, "standardize": standardize}
    made = read("g * h * x + year", **options)
    draws, _ = drawn(made)
    cells = pd.DataFrame(itertools.product("abc", "uv"), columns=["g", "h"])
    cells["x"], cells["year"] = TABLE["x"].mean(), TABLE["year"].mean()
    b = np.array([draws[label] for label in made.labels])
    expected = draws["mu"] + (made.design(cells) @ b).mean()
    found = adjusted(made).value(draws)
    close(found, expected)
    same = standardize and contrasts != "treatment"
    assert np.isclose(found, draws["mu"]).item() == same


def test_the_adjusted_effect_without_factors_is_at_the_mean_of_numbers():
    made = read("x * z", standardize=False)
    draws, _ = drawn(made)
    x, z = TABLE["x"].mean(), TABLE["z"].mean()
    expected = draws["mu"] + draws["x"] * x + draws["z"] * z + draws["x:z"] * x * z
    close(adjusted(made).value(draws), expected)


# ---- one quantity ----------------------------------------------------------
def test_a_difference_of_means_has_no_effect_in_it():
    made = read("g * x")
    a, b, _ = marginal(made, made.term("g"))
    difference = a.minus(b)
    assert difference.label == "g[a] - g[b]"
    assert (difference.term, difference.kind) == ("g", "coefficient")
    assert "mu" not in dict(difference.weights)
    draws, _ = drawn(made)
    close(difference.value(draws), a.value(draws) - b.value(draws))
    assert a.minus(a).weights == ()
    assert a.minus(a).value(draws).item() == 0


def test_a_model_fixes_a_quantity_if_it_fixes_all_of_it():
    normal, spike = prior("normal", mean=0, sd=1), prior("spike", location=0.5)
    sum_of = Quantity("s", "g", "coefficient", (("g[1]", 2.0), ("g[2]", -1.0)))
    free = ModelSpec((("g[1]", normal), ("g[2]", spike)), None, frozenset())
    fixed = ModelSpec((("g[1]", spike),), None, frozenset())
    assert np.isnan(fixed_at(sum_of, free))
    assert fixed_at(sum_of, fixed) == 1.0
    assert fixed_at(sum_of, ModelSpec((), None, frozenset())) == 0.0
