"""`prior`: names, parameters, truncation, printing."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from pyrobma import PriorError, prior
from pyrobma.priors import FAMILIES

# One legal prior of each family, by its first name and parameters by keyword.
EXAMPLES = {
    "spike": {"location": 0.3},
    "normal": {"mean": 0.0, "sd": 1.0},
    "lognormal": {"meanlog": 0.0, "sdlog": 0.5},
    "student_t": {"location": 0.0, "scale": 0.7, "df": 4.0},
    "cauchy": {"location": 0.0, "scale": 0.7},
    "gamma": {"shape": 2.0, "rate": 3.0},
    "inv_gamma": {"shape": 1.0, "scale": 0.15},
    "beta": {"alpha": 2.0, "beta": 5.0},
    "exponential": {"rate": 4.0},
    "uniform": {"a": -1.0, "b": 2.0},
}


def test_there_is_an_example_of_every_family():
    assert set(EXAMPLES) == set(FAMILIES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_parameters_by_keyword_mapping_and_position_are_one_prior(name):
    given = EXAMPLES[name]
    by_keyword = prior(name, **given)
    assert by_keyword == prior(distribution=name, parameters=given)
    assert by_keyword == prior(name, list(given.values()))
    assert by_keyword.values == tuple(given.values())


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("Normal", "normal"),
        ("NORM", "normal"),
        ("lnorm", "lognormal"),
        ("log-normal", "lognormal"),
        ("t", "student_t"),
        ("Student-t", "student_t"),
        ("student", "student_t"),
        ("Cauchy", "cauchy"),
        ("invgamma", "inv_gamma"),
        ("inverse gamma", "inv_gamma"),
        ("Inverse_Gamma", "inv_gamma"),
        ("exp", "exponential"),
        ("unif", "uniform"),
        ("point", "spike"),
        ("Spike", "spike"),
    ],
)
def test_names_ignore_case_and_punctuation_and_have_short_forms(alias, name):
    assert prior(alias, **EXAMPLES[name]) == prior(name, **EXAMPLES[name])


@pytest.mark.parametrize("name", ["gamma", "exponential"])
def test_a_scale_is_one_over_the_rate(name):
    shape = {"shape": 2.0} if name == "gamma" else {}
    assert prior(name, **shape, scale=0.25) == prior(name, **shape, rate=4.0)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Normal(0, 1)", prior("normal", mean=0, sd=1)),
        ("Normal(0, 1)[0, Inf]", prior("normal", mean=0, sd=1, lower=0)),
        ("Normal(0, 1)[-Inf, 2.5]", prior("normal", mean=0, sd=1, upper=2.5)),
        ("InvGamma(1, 0.15)", prior("invgamma", shape=1, scale=0.15)),
        ("InvGamma(1, 0.15)[0, 2]", prior("invgamma", shape=1, scale=0.15, upper=2)),
        ("Student-t(0, 0.7071, 4)", prior("t", location=0, scale=0.5**0.5, df=4)),
        ("Beta(1, 1)", prior("beta", alpha=1, beta=1)),
        ("Uniform(-1, 2)", prior("uniform", a=-1, b=2)),
        ("Spike(0)", prior("spike", location=0)),
        ("Spike(-0.25)", prior(distribution="spike", parameters={"location": -0.25})),
    ],
)
def test_a_prior_prints_its_name_parameters_and_truncation(text, made):
    assert str(made) == text


def test_truncation_by_mapping_equals_lower_and_upper():
    made = prior("normal", mean=0, sd=1, truncation={"lower": -1, "upper": 2})
    assert made == prior("normal", mean=0, sd=1, lower=-1, upper=2)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"spike", "uniform"}))
def test_an_untruncated_prior_has_the_support_of_its_family(name):
    made = prior(name, **EXAMPLES[name])
    assert (made.lower, made.upper) == made.support == FAMILIES[name].support


def test_a_uniform_has_its_parameters_for_a_support():
    made = prior("uniform", a=-1, b=2)
    assert (made.lower, made.upper) == made.support == (-1.0, 2.0)


def test_only_a_spike_has_a_location():
    assert prior("spike", location=0.3).location == 0.3
    with pytest.raises(PriorError, match=r"location: expected a spike; got Normal"):
        _ = prior("normal", mean=0, sd=1).location


def test_a_prior_cannot_be_changed():
    made = prior("normal", mean=0, sd=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.lower = 3.0


def test_one_density_with_two_weights_is_the_same_density():
    one = prior("normal", mean=0, sd=1)
    assert one.same_density(prior("normal", mean=0, sd=1, prior_weight=3))
    assert not one.same_density(prior("normal", mean=0, sd=1, lower=0))


def test_family_codes_are_those_of_the_stan_functions():
    root = Path(__file__).parents[3]
    text = (root / "stan" / "functions" / "priors.stanfunctions").read_text()
    for family in FAMILIES.values():
        spelled = family.name.replace("_", "[ _-]?")
        assert re.search(rf"\b{family.code}\b[^\n]*{spelled}", text, re.IGNORECASE), (
            family
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"distribution": "norml", "mean": 0, "sd": 1},
            r"distribution: expected one of beta, .*; got 'norml'\. Did you mean "
            r"'normal'\?",
        ),
        ({"distribution": "zzz"}, r"distribution: expected one of .*; got 'zzz'\.$"),
        ({"distribution": 3}, r"distribution: expected the name .*; got 3\."),
        (
            {"distribution": "normal", "mean": 0},
            r"parameters: expected mean, sd for Normal; got mean\.",
        ),
        (
            {"distribution": "normal"},
            r"parameters: expected mean, sd for Normal; got none\.",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "df": 3},
            r"parameters: expected mean, sd for Normal; got mean, sd, df\.",
        ),
        (
            {"distribution": "normal", "parameters": [0, 1, 2]},
            r"parameters: expected 2 values \(mean, sd\) for Normal; got 3\.",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 0},
            r"sd: expected a positive value for Normal; got 0\.0\.",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": -1},
            r"sd: expected a positive value for Normal; got -1\.0\.",
        ),
        (
            {"distribution": "normal", "mean": float("nan"), "sd": 1},
            r"mean: expected a finite number for Normal; got nan\.",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": float("inf")},
            r"sd: expected a finite number for Normal; got inf\.",
        ),
        (
            {"distribution": "spike", "location": "zero"},
            r"location: expected a finite number for Spike; got 'zero'\.",
        ),
        (
            {"distribution": "gamma", "shape": 1, "scale": 0},
            r"scale: expected a positive value for Gamma; got 0\.0\.",
        ),
        (
            {"distribution": "gamma", "shape": 1, "scale": 2, "rate": 2},
            r"parameters: expected shape, rate for Gamma; got ",
        ),
        (
            {"distribution": "uniform", "a": 1, "b": 1},
            r"a, b: expected a < b for Uniform; got a = 1\.0, b = 1\.0\.",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "lower": 1, "upper": 1},
            r"lower, upper: expected a truncation inside \[-Inf, Inf\] with lower < "
            r"upper for Normal; got \[1, 1\]\.",
        ),
        (
            {"distribution": "gamma", "shape": 1, "rate": 1, "lower": -1},
            r"lower, upper: expected a truncation inside \[0, Inf\].*got \[-1, Inf\]",
        ),
        (
            {"distribution": "beta", "alpha": 1, "beta": 1, "upper": 2},
            r"lower, upper: expected a truncation inside \[0, 1\].*got \[0, 2\]",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "lower": float("nan")},
            r"lower, upper: expected a truncation inside",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "lower": "low"},
            r"lower: expected a number; got 'low'\.",
        ),
        (
            {
                "distribution": "normal", "mean": 0, "sd": 1, "lower": 0,
                "truncation": {"lower": 0},
            },
            r"truncation: expected the keys 'lower' and 'upper'",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "truncation": {"low": 0}},
            r"truncation: expected the keys 'lower' and 'upper'",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "prior_weight": 0},
            r"prior_weight: expected a positive number; got 0\. Leave the prior out",
        ),
        (
            {"distribution": "normal", "mean": 0, "sd": 1, "prior_weight": "1"},
            r"prior_weight: expected a positive number; got '1'\.",
        ),
    ],
)  # fmt: skip
def test_an_illegal_prior_is_refused_with_what_was_expected_and_given(
    arguments, message
):
    with pytest.raises(PriorError, match=message):
        prior(**arguments)


@pytest.mark.parametrize(
    ("name", "parameters", "lower", "upper"),
    [("normal", (0.0, 1.0), 60.0, 61.0), ("normal", (0.0, 1.0), -1e9, -1e8)],
)
def test_a_truncation_far_in_a_tail_is_kept_as_given(name, parameters, lower, upper):
    made = prior(name, parameters, lower=lower, upper=upper)
    assert (made.lower, made.upper) == (lower, upper)
