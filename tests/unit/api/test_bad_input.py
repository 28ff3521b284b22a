"""Bad input to `robma`: each is refused in words, or works as documented."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.priors import bias_priors

robma = partial(rb.robma, priors_bias=None)

NAN, INF = float("nan"), float("inf")
NORMAL = rb.prior("normal", mean=0, sd=1)
SPIKE = rb.prior("spike", location=0)

TABLE = pd.DataFrame(
    {
        "es": [0.1, 0.3, -0.2, 0.4, 0.2],
        "error": [0.1, 0.2, 0.1, 0.3, 0.2],
        "variance": [0.01, 0.04, 0.01, 0.09, 0.04],
        "author": ["A", "B", "C", "D", "E"],
        "lab": ["x", "x", None, "y", "y"],
    },
    index=["r1", "r2", "r3", "r4", "r5"],
)


def with_value(column, value):
    return TABLE.assign(**{column: TABLE[column].where(TABLE.index != "r3", value)})


@pytest.mark.parametrize("value", [0.0, -0.1, INF])
@pytest.mark.parametrize(
    ("argument", "column", "expected"),
    [
        ("se", "error", "positive finite standard errors"),
        ("v", "variance", "positive finite variances"),
    ],
)
def test_an_impossible_precision_is_named_with_argument_value_row_and_remedy(
    argument, column, expected, value
):
    with pytest.raises(
        rb.DataError,
        match=rf"^{argument}: expected {expected}; got {value!r} at row 2 "
        rf"\(index 'r3', \"C\"\)\. Drop the row, or give n so that {argument} can be "
        r"computed\.$",
    ):
        robma(
            with_value(column, value), d="es", study_names="author",
            **{argument: column},
        )  # fmt: skip


@pytest.mark.parametrize("value", [INF, -INF])
def test_an_impossible_effect_is_named_with_value_row_and_remedy(value):
    with pytest.raises(
        rb.DataError,
        match=rf"^d: expected finite values of Cohen's d; got {value!r} at row 2 "
        r"\(index 'r3', \"Study 3\"\)\. Correct the value or drop the row\.$",
    ):
        robma(with_value("es", value), d="es", se="error")


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(
        rb.DataError,
        match=r"^se: expected 3 values, as many as d has; got 2\. Give one value per",
    ):
        robma(d=[0.1, 0.2, 0.3], se=[0.1, 0.1])


def test_an_unknown_column_is_answered_with_the_closest_and_all_columns():
    with pytest.raises(
        rb.DataError,
        match=r'^se: expected the name of a column of data; got "eror"\. Did you mean '
        r'"error"\? The columns are es, error, variance, author, lab\.$',
    ):
        robma(TABLE, d="es", se="eror")


@pytest.mark.parametrize("argument", ["se", "v"])
def test_a_d_whose_precision_implies_three_people_or_fewer_is_refused(argument):
    # n = (d^2 + 8) / (2 se^2) = 3.0 at d = 2, se = sqrt(2).
    wide = [2.0**0.5 if argument == "se" else 2.0]
    with pytest.raises(
        rb.DataError,
        match=rf"^{argument}: expected a .* that implies a sample size above 3, as "
        r"Fisher's z needs; got .* with d = 2\.0, a sample size of 3, at row 0 .*\. "
        r'Correct it, drop the row, or choose transformation="cohens_d"\.$',
    ):
        robma(d=[2.0], **{argument: wide})


def test_the_same_d_works_on_its_own_scale():
    fit = robma(
        d=[2.0, 1.0], se=[2.0**0.5, 0.5], transformation="cohens_d", seed=1,
        priors_effect=None, priors_heterogeneity=None,
    )  # fmt: skip
    assert np.isfinite(fit.fits[0].logml)


@pytest.mark.parametrize("component", ["effect", "heterogeneity"])
def test_no_prior_left_on_either_side_is_refused(component):
    with pytest.raises(
        rb.PriorError, match=rf"^priors_{component}: expected at least one prior"
    ):
        robma(
            TABLE, d="es", se="error",
            **{f"priors_{component}": None, f"priors_{component}_null": []},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "made"),
    [
        ("priors_heterogeneity", rb.prior("spike", location=-1)),
        ("priors_heterogeneity_null", rb.prior("uniform", a=-1, b=1)),
        ("priors_heterogeneity", rb.prior("normal", mean=0, sd=1, upper=-0.5)),
        ("priors_hierarchical", rb.prior("uniform", a=-1, b=1)),
        ("priors_hierarchical_null", rb.prior("spike", location=2)),
    ],
)
def test_a_prior_outside_its_parameters_support_is_refused(argument, made):
    with pytest.raises(rb.PriorError, match=rf"^{argument}: expected .*; got "):
        robma(TABLE, d="es", se="error", study_ids="lab", **{argument: made})


def test_a_single_study_works_without_a_hierarchical_component():
    fit = robma(d=[0.3], se=[0.2], study_ids=["a"], seed=1, priors_heterogeneity=None)
    assert list(fit.inclusion.index) == ["effect", "heterogeneity"]
    assert str(fit).startswith(
        "Bayesian model-averaged meta-analysis (2 models): 1 estimate\n"
    )


def test_all_estimates_in_one_cluster_work_with_a_warning():
    with pytest.warns(
        rb.DataWarning,
        match=r'^study_ids: expected two clusters or more; got all 3 estimates in "a"',
    ):
        fit = robma(
            d=[0.3, 0.1, 0.2], se=[0.2, 0.1, 0.1], study_ids=["a"] * 3, seed=1,
            priors_effect=None, priors_heterogeneity=rb.prior("spike", location=0.2),
            priors_heterogeneity_null=None,
        )  # fmt: skip
    assert fit.fits[0].names == ("rho",)


def test_missing_study_ids_stand_for_independent_estimates():
    effects = rb.effect_sizes(TABLE, d="es", se="error", study_ids="lab")
    assert effects.L == 3
    fit = robma(
        TABLE, d="es", se="error", study_ids="lab", seed=1,
        priors_effect=None, priors_heterogeneity=rb.prior("spike", location=0.2),
        priors_hierarchical=rb.prior("spike", location=0.5),
    )  # fmt: skip
    alone = robma(
        TABLE.assign(lab=["x", "x", "alone", "y", "y"]), d="es", se="error",
        study_ids="lab", seed=1, priors_effect=None,
        priors_heterogeneity=rb.prior("spike", location=0.2),
        priors_hierarchical=rb.prior("spike", location=0.5),
    )  # fmt: skip
    assert fit.logml.tolist() == alone.logml.tolist()


def test_clusters_that_no_prior_uses_are_mentioned():
    with pytest.warns(
        rb.DataWarning, match=r"^study_ids: the clusters are not used, because"
    ):
        robma(
            TABLE, d="es", se="error", study_ids="lab", seed=1, priors_effect=None,
            priors_heterogeneity=None, priors_hierarchical=None,
        )  # fmt: skip


@pytest.mark.parametrize("value", [-1, 1.5, "a", True])
def test_a_seed_must_be_a_whole_number(value):
    with pytest.raises(
        rb.SettingsError,
        match=rf"^seed: expected a whole number of at least 0, or None; got {value!r}",
    ):
        robma(TABLE, d="es", se="error", seed=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "all"])
def test_cores_must_be_a_positive_whole_number(value):
    with pytest.raises(
        rb.SettingsError,
        match=rf"^cores: expected a whole number of at least 1, or None; got {value!r}",
    ):
        robma(TABLE, d="es", se="error", cores=value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chains": 1}, r"^chains: expected a whole number of at least 2; got 1\."),
        ({"draws": 10}, r"^draws: expected a whole number of at least 100; got 10\."),
        ({"warmup": "x"}, r"^warmup: expected a whole number of at least 150; got 'x'"),
        ({"settings": {"chains": 4}}, r"^settings: expected SamplerSettings or None"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(rb.SettingsError, match=message):
        robma(TABLE, d="es", se="error", **changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"priors_bias": NORMAL},
            rb.PriorError,
            r"^priors_bias: expected priors made by prior_weightfunction",
        ),
        (
            {"prior_scale": "OR"},
            rb.DataError,
            r"^prior_scale: expected one of cohens_d, .*; got 'OR'\.",
        ),
        (
            {"prior_scale": "none"},
            rb.DataError,
            r"^prior_scale: expected 'none' exactly when the data are on 'none'; got",
        ),
        (
            {"transformation": "none"},
            rb.DataError,
            r"^transformation: expected a standardised measure with d; got",
        ),
        (
            {"transformation": "OR"},
            rb.DataError,
            r"^transformation: expected one of .*; got 'OR'\. Use \"logOR\"",
        ),
        (
            {"effect_mapping": "nonlinear"},
            rb.DataError,
            r"^effect_mapping: expected 'linear' or 'exact'; got 'nonlinear'\.",
        ),
        (
            {"rescale_priors": 0},
            rb.PriorError,
            r"^rescale_priors: expected a positive number; got 0\.",
        ),
        (
            {"rescale_priors": "2"},
            rb.PriorError,
            r"^rescale_priors: expected a positive number; got '2'\.",
        ),
        (
            {"priors_effect": "normal"},
            rb.PriorError,
            r"^priors_effect: expected a prior, a list of priors, None or DEFAULT",
        ),
    ],
)
def test_choices_that_do_not_exist_or_fit_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        robma(TABLE, d="es", se="error", **changes)


def test_effects_in_units_of_their_own_take_no_prior_scale_but_none():
    with pytest.raises(rb.DataError, match=r"^prior_scale: expected 'none' exactly"):
        robma(y=[1.0, 2.0], se=[1.0, 1.0], prior_scale="cohens_d")


def test_nothing_to_analyse_is_refused():
    with pytest.raises(rb.DataError, match=r"^d: expected an effect, one or more of"):
        robma(TABLE)
    with pytest.raises(rb.DataError, match=r"^data: expected a table of pandas"):
        robma([1, 2], d="es", se="error")


def test_a_fixed_weight_of_zero_where_an_estimate_is_names_the_row():
    never = rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0])
    with pytest.raises(rb.PriorError, match=r'got 0 for p-values .* row 1 \("Study 2"'):
        rb.robma(d=[0.9, 0.1], se=[0.1, 0.1], priors_bias=never)


@pytest.mark.parametrize("unit", [0.001, 100.0])
def test_default_priors_warn_about_effects_in_far_other_units(unit):
    y, se = unit * np.array([0.5, 0.8, 0.6]), unit * np.array([0.2, 0.2, 0.2])
    with pytest.warns(rb.DataWarning, match="default priors are made for effects of"):
        rb.robma(
            y=y,
            se=se,
            priors_effect_null=None,
            priors_heterogeneity=None,
            priors_bias=None,
            draws=200,
            seed=1,
        )


def test_bias_priors_may_come_from_a_generator():
    chosen = bias_priors(p for p in rb.default_bias("PP"))
    assert [str(p) for p in chosen] == [
        "PET ~ Cauchy(0, 1)[0, Inf]",
        "PEESE ~ Cauchy(0, 5)[0, Inf]",
    ]
