"""Priors written as text."""

from __future__ import annotations

import pytest

import pyrobma as rb
from pyrobma.priors import prior_from_text

PRIORS = [
    rb.prior("normal", mean=0, sd=1),
    rb.prior("cauchy", location=0, scale=0.5, lower=0),
    rb.prior("inv_gamma", shape=1, scale=0.15),
    rb.prior("t", location=-0.35, scale=0.102, df=3, lower=-1, upper=2.5),
    rb.prior("beta", alpha=1, beta=2),
    rb.prior("uniform", a=-1, b=1),
    rb.prior("exponential", rate=2),
    rb.prior("spike", location=0.25),
]


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_a_printed_prior_reads_back_as_itself(prior):
    assert prior_from_text(str(prior)) == prior


def test_names_and_spaces_are_read_as_prior_reads_them():
    expected = rb.prior("t", location=0, scale=1, df=3, lower=0)
    assert prior_from_text("  student-t( 0,1 , 3 ) [0, inf] ") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Normal 0 1", r"expected text like 'Normal\(0, 1\)'.*got 'Normal 0 1'"),
        ("Normal(0, one)", r"expected numbers in 'Normal\(0, one\)'; got 'one'"),
        ("Normal(0)", "expected 2 values"),
        ("Norml(0, 1)", "Did you mean 'normal'"),
        ("Normal(0, 1)[1, 0]", "lower < upper"),
        ("Normal(0, -1)", "sd: expected a positive value"),
    ],
)
def test_other_text_is_refused_with_what_to_write(text, message):
    with pytest.raises(rb.PriorError, match=message):
        prior_from_text(text)
