"""How the levels of a factor become columns, and what that says of their prior."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import helmert

from pyrobma import DataError
from pyrobma.effects import CONTRASTS, contrast_matrix, read_moderators

ROUNDING = 1e-13  # sums of a few products of numbers of about 1

LEVELS = (2, 3, 4, 7, 20)


def centring(L):
    """E_L, which takes numbers of levels to deviations from their mean."""
    return np.eye(L) - 1 / L


@pytest.mark.parametrize("L", LEVELS)
def test_orthonormal_columns_are_those_of_helmert_in_scipy(L):
    columns = contrast_matrix("orthonormal", L)
    np.testing.assert_allclose(columns, helmert(L).T, atol=ROUNDING)
    np.testing.assert_allclose(columns.T @ columns, np.eye(L - 1), atol=ROUNDING)
    np.testing.assert_allclose(columns @ columns.T, centring(L), atol=ROUNDING)


@pytest.mark.parametrize("L", LEVELS)
def test_meandif_gives_every_level_the_same_prior_whatever_their_number(L):
    covariance = (rows := contrast_matrix("meandif", L)) @ rows.T  # unit prior sd
    np.testing.assert_allclose(np.diag(covariance), 1.0, atol=ROUNDING)
    off = covariance[~np.eye(L, dtype=bool)]
    np.testing.assert_allclose(off, -1 / (L - 1), atol=ROUNDING)
    np.testing.assert_allclose(rows.sum(axis=0), 0.0, atol=ROUNDING)


@pytest.mark.parametrize(("L", "sd"), [(2, 0.5), (3, 0.4330127), (10**3, 0.3537302)])
def test_prior_of_the_difference_of_two_levels_under_meandif(L, sd):
    # The first two are printed: .25 gives .5 and .433; the limit is .25 sqrt(2).
    rows = contrast_matrix("meandif", L)
    difference = 0.25 * np.linalg.norm(rows[0] - rows[L - 1])
    assert difference == pytest.approx(sd, abs=1e-7)
    assert difference == pytest.approx(0.25 * np.sqrt(2 * L / (L - 1)), rel=ROUNDING)


@pytest.mark.parametrize("L", LEVELS)
def test_orthonormal_with_a_wider_prior_is_meandif(L):
    wider = np.sqrt(L / (L - 1)) * contrast_matrix("orthonormal", L)
    np.testing.assert_allclose(wider, contrast_matrix("meandif", L), rtol=ROUNDING)


def test_two_levels_under_meandif_are_one_and_minus_one():
    np.testing.assert_allclose(contrast_matrix("meandif", 2), [[1.0], [-1.0]])


@pytest.mark.parametrize("L", LEVELS)
def test_treatment_columns_are_indicators_of_all_but_the_first_level(L):
    columns = contrast_matrix("treatment", L)
    np.testing.assert_array_equal(columns[0], np.zeros(L - 1))
    np.testing.assert_array_equal(columns[1:], np.eye(L - 1))


def crossed(**levels):
    """A table with every combination of levels twice."""
    names = [[f"{name}{i}" for i in range(n)] for name, n in levels.items()]
    table = pd.MultiIndex.from_product([*names, range(2)]).to_frame(index=False)
    table.columns = [*levels, "copy"]
    return table


@pytest.mark.parametrize("formula", ["g * h", "g * h * k"])
def test_cells_of_an_interaction_have_the_prior_of_a_level_under_meandif(formula):
    made, _ = read_moderators(formula, crossed(g=3, h=4, k=2))
    for term in made.terms:
        np.testing.assert_allclose(
            np.linalg.norm(term.columns, axis=1), 1.0, atol=ROUNDING
        )


def test_an_interaction_sums_to_zero_over_the_levels_of_each_factor():
    table = crossed(g=3, h=4)
    made, _ = read_moderators("g * h", table)
    columns = pd.DataFrame(made.term("g:h").columns)
    for factor in ("g", "h"):
        sums = columns.groupby(table["g" if factor == "h" else "h"]).sum()
        np.testing.assert_allclose(sums, 0.0, atol=ROUNDING)


def test_columns_of_an_interaction_are_kronecker_products():
    table = crossed(g=3, h=4)
    made, _ = read_moderators("g * h", table)
    g, h = (made.term(name).columns for name in ("g", "h"))
    expected = [np.kron(a, b) for a, b in zip(g, h, strict=True)]
    np.testing.assert_allclose(made.term("g:h").columns, expected, rtol=ROUNDING)


def test_other_names_are_refused():
    assert CONTRASTS == ("meandif", "orthonormal", "treatment")
    for name in ("helmert", None, 1):
        with pytest.raises(DataError, match="contrasts: expected one of"):
            contrast_matrix(name, 3)
