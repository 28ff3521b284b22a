"""Arguments of RoBMA, metafor and others are answered with the name they have here."""

from __future__ import annotations

import inspect
import math
import warnings

import pandas as pd
import pytest

import pyrobma as rb
from pyrobma._switchers import for_switchers

TABLE = pd.DataFrame(
    {"yi": [0.1, 0.3, -0.2], "vi": [0.01, 0.04, 0.02], "study": ["A", "B", "C"]}
)
OWN = {"d": "yi", "v": "vi"}


def refusal(function, *args, **kwargs):
    with pytest.raises(rb.ArgumentError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


@pytest.fixture(autouse=True)
def no_fit(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr("pyrobma.api.fit_models", never)


def test_columns_of_metafor_are_asked_for_by_measure():
    assert refusal(rb.robma, TABLE, yi="yi", vi="vi") == (
        "yi, vi: expected arguments that robma has, as in robma(data, d='yi', v='vi'); "
        "got others. For yi=, name the measure: d= (Cohen's d or Hedges' g), r=, z= "
        "(Fisher's z), logOR=, OR=, or y= (effects in units of their own). For vi=, "
        "write v= for sampling variances."
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sei", "write se="),
        ("SE", "write se="),
        ("logor", "write logOR="),
        ("N", "write n="),
        ("ni", "write n="),
        ("slab", "write study_names="),
        ("study_id", "write study_ids="),
        ("cluster", "write study_ids="),
        ("parallel", "write cores="),
        ("sample", "write draws="),
        ("burnin", "write warmup="),
        ("adapt", "write warmup="),
        ("thin", "leave it out: every draw is kept"),
        ("algorithm", "leave it out: every model is fitted"),
        ("autofit", "SamplerSettings"),
        ("convergence_checks", "SamplerSettings"),
        ("adapt_delta", "SamplerSettings"),
        ("save", "fit.save("),
        ("silent", "progress=False"),
        ("formula", "write mods="),
        ("random", "write study_ids="),
        ("prior_weights", "prior_weight=2"),
        ("truncation", "lower=0"),
        ("test_predictors", "write test_mods="),
        ("tune", "write warmup="),
        ("iter", "write warmup= and draws="),
        ("random_seed", "write seed="),
        ("n_jobs", "write cores="),
        ("effect_direcion", "did you mean effect_direction=?"),
        ("priors_efect", "did you mean priors_effect=?"),
        ("nonsense", "Call help(pyrobma.robma)"),
    ],
)
def test_other_names_are_answered_with_the_right_one(name, words):
    assert f"{name}: expected" in (text := refusal(rb.robma, TABLE, **OWN, **{name: 1}))
    assert words in text


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (
            rb.robma, (TABLE, "yi", "vi"),
            "robma: expected data by position, and a name for each other argument; got "
            "3 arguments by position ('yi', 'vi' without a name). Write robma(data, "
            "d='yi', v='vi').",
        ),
        (rb.effect_sizes, (TABLE, "yi", "vi"), "Write effect_sizes(data, d='yi'"),
        (rb.robma, (TABLE["yi"], TABLE["vi"]), "got 2 arguments by position. Write"),
        (rb.prior, ("normal", 0, 1), "(1 without a name). Write prior('normal', "),
    ],
)  # fmt: skip
def test_what_has_no_name_is_asked_for_one(function, args, message):
    assert message in refusal(function, *args)


@pytest.mark.parametrize("function", [rb.rma, rb.rma_mv])
def test_frequentist_functions_ask_for_estimates(function):
    words = "give the estimates that effect_sizes returns first"
    assert words in refusal(function, yi=TABLE["yi"], vi=TABLE["vi"])
    assert words in refusal(function, TABLE, d="yi", v="vi")
    with pytest.raises(rb.DataError, match=r"^effects: expected estimates; got DataFr"):
        function(TABLE)


def test_random_effects_of_metafor_are_clusters_of_rma_mv():
    made = rb.effect_sizes(TABLE, **OWN)
    assert "For random=, write cluster=." in refusal(rb.rma_mv, made, random="study")


def test_every_advice_is_about_arguments_that_there_are():
    from pyrobma import _switchers

    robma = set(inspect.signature(rb.robma).parameters)
    assert {own for own, _, _ in _switchers._COLUMNS} <= robma
    assert {own for own, _, _ in _switchers._ANALYSIS} <= robma
    for _, others, _ in (*_switchers._COLUMNS, *_switchers._ANALYSIS):
        assert not robma & set(others.split())


def test_the_error_is_a_type_error_and_one_of_the_package():
    assert issubclass(rb.ArgumentError, TypeError)
    assert issubclass(rb.ArgumentError, rb.PyrobmaError)


def test_the_signature_stays_what_it_is():
    def function(data=None, *, d=None):
        """Do something."""
        return data, d

    helped = for_switchers("function(data, d='yi')")(function)
    assert inspect.signature(helped) == inspect.signature(function)
    assert helped.__doc__ == "Do something."
    assert helped(1, d=2) == (1, 2)


def test_warnings_are_about_the_line_of_the_user():
    table = TABLE.assign(study="A")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rb.effect_sizes(table, **OWN, study_ids="study")
        rb.robma(table, **OWN, study_ids="study", only_priors=True)
    assert [one.filename for one in told] == [__file__] * 2


# ---- priors ----------------------------------------------------------------
@pytest.mark.parametrize(
    "truncation", [[0, math.inf], (0, None), {"lower": 0}, (0.0, math.inf)]
)
def test_a_truncation_may_be_a_pair(truncation):
    made = rb.prior("normal", [0, 1], truncation=truncation)
    assert made == rb.prior("normal", mean=0, sd=1, lower=0)


@pytest.mark.parametrize("truncation", [0, [0], [0, 1, 2], {"low": 0}, "01"])
def test_another_truncation_is_refused(truncation):
    with pytest.raises(rb.PriorError, match=r"^truncation: .*or a pair of numbers, "):
        rb.prior("normal", [0, 1], truncation=truncation)


@pytest.mark.parametrize(
    ("name", "right"), [("prior_weights", "prior_weight"), ("lb", "lower")]
)
def test_names_beside_the_parameters_are_answered_with_the_right_one(name, right):
    with pytest.raises(rb.PriorError, match=rf"Write {right}= instead of {name}=\.$"):
        rb.prior("normal", mean=0, sd=1, **{name: 2})


def test_no_bias_as_the_alternative_means_no_models_of_bias():
    plain = rb.robma(TABLE, **OWN, priors_bias=None, only_priors=True)
    for none in (rb.prior_none(), [rb.prior_none()]):
        made = rb.robma(TABLE, **OWN, priors_bias=none, only_priors=True)
        assert made.space == plain.space
    with pytest.raises(
        rb.PriorError, match=r"^priors_bias: .*prior_none\(\) among them"
    ):
        rb.robma(TABLE, **OWN, priors_bias=[rb.prior_none(), *rb.default_bias("PP")])


def test_no_bias_in_the_place_of_a_spike_is_answered_with_it():
    with pytest.raises(
        rb.PriorError,
        match=r"^priors_effect_null: .*Write prior\('spike', location=0\)",
    ):
        rb.robma(TABLE, **OWN, priors_effect_null=rb.prior_none())
