"""`prior_informed` and its list, against values copied from the papers' tables."""

from __future__ import annotations

import math
import re

import pytest

from pyrobma.errors import PriorError
from pyrobma.priors.informed import informed_priors, prior_informed

INF = math.inf
TYPES = ("smd", "logOR", "logRR", "RD")

# Effect (scale, df) and heterogeneity (shape, scale; sd for RD) by type in the order
# above; None where there is no prior.
SAMPLE = {
    "Cochrane": [
        ((0.43, 5), (1.71, 0.40)), ((0.58, 4), (1.77, 0.55)),
        ((0.32, 3), (1.51, 0.23)), ((0.034, 1), (0.099,)),
    ],
    "Acute Respiratory Infections": [
        ((0.38, 5), (1.73, 0.46)), ((0.48, 3), (1.67, 0.45)),
        ((0.27, 3), (1.58, 0.25)), ((0.012, 1), (0.102,)),
    ],
    "Bone, Joint and Muscle Trauma": [
        ((0.40, 5), (1.52, 0.28)), ((0.44, 2), (1.01, 0.36)),
        ((0.26, 2), (0.97, 0.14)), ((0.014, 1), (0.119,)),
    ],
    "Breast Cancer": [
        None, ((0.39, 3), (1.59, 0.48)), ((0.21, 3), (1.49, 0.24)),
        ((0.049, 2), (0.118,)),
    ],
    "Childhood Cancer": [
        None, ((0.47, 4), None), ((0.28, 3), None), ((0.021, 1), None),
    ],
    "Heart": [
        ((0.42, 5), (1.83, 0.47)), ((0.20, 2), (1.64, 0.29)),
        ((0.17, 3), (1.96, 0.24)), ((0.005, 1), (0.070,)),
    ],
    "Heart; Vascular": [
        None, ((0.95, 4), (1.64, 0.83)), ((0.39, 3), (1.62, 0.25)),
        ((0.083, 1), (0.116,)),
    ],
    "HIV/AIDS": [
        ((0.43, 5), (1.73, 0.44)), ((0.32, 4), (1.76, 0.36)),
        ((0.21, 3), (1.66, 0.23)), ((0.018, 2), (0.097,)),
    ],
    "Incontinence": [
        ((0.33, 6), (1.64, 0.36)), ((0.75, 3), (2.07, 1.09)),
        ((0.39, 3), (1.53, 0.33)), ((0.06, 2), (0.125,)),
    ],
    "Infectious Diseases": [
        ((0.59, 2), (1.28, 0.44)), ((0.66, 3), (2.08, 0.86)),
        ((0.41, 3), (1.30, 0.27)), ((0.019, 1), (0.098,)),
    ],
    "Oral Health": [
        ((0.51, 5), (1.79, 0.28)), ((1.13, 4), (1.85, 0.70)),
        ((0.55, 4), (1.50, 0.37)), ((0.03, 1), (0.121,)),
    ],
    "Pain, Palliative and Supportive Care": [
        ((0.43, 5), (1.69, 0.42)), ((1.00, 7), (1.50, 0.40)),
        ((0.59, 5), (1.98, 0.39)), ((0.111, 2), (0.106,)),
    ],
    "Public Health": [((0.33, 5), (1.76, 0.23)), None, None, None],
    "Wounds": [
        ((0.56, 5), (1.54, 0.41)), ((0.60, 4), (2.16, 0.86)),
        ((0.37, 4), (1.63, 0.38)), ((0.012, 1), (0.088,)),
    ],
}  # fmt: skip
CELLS = [
    (name, type_, parameter, None if pair is None else pair[k])
    for name, row in SAMPLE.items()
    for type_, pair in zip(TYPES, row, strict=True)
    for k, parameter in enumerate(("effect", "heterogeneity"))
]


@pytest.mark.parametrize(("name", "type_", "parameter", "values"), CELLS)
def test_a_sample_of_the_medical_priors_has_the_published_values(
    name, type_, parameter, values
):
    if values is None:
        with pytest.raises(PriorError, match=rf"expected .* for '{re.escape(name)}'"):
            prior_informed(name, parameter=parameter, type=type_)
        return
    found = prior_informed(name, parameter=parameter, type=type_)
    centred = parameter == "effect" or type_ == "RD"
    assert found.values == ((0.0, *values) if centred else values)


def test_time_to_event_has_priors_of_the_whole_database_only():
    effect = prior_informed("Cochrane", parameter="effect", type="logHR")
    tau = prior_informed("Cochrane", parameter="heterogeneity", type="logHR")
    assert (effect.family, effect.values) == ("student_t", (0.0, 0.13, 2.0))
    assert (tau.family, tau.values) == ("inv_gamma", (2.42, 0.3))
    with pytest.raises(
        PriorError, match=r"^type: expected 'smd', 'logOR', 'logRR' or 'RD' for 'Skin'"
    ):
        prior_informed("Skin", parameter="effect", type="logHR")


def test_the_psychological_priors_need_no_parameter():
    assert str(prior_informed("van Erp")) == "InvGamma(1, 0.15)"
    assert str(prior_informed("Oosterwijk")) == "Student-t(0.35, 0.102, 3)[0, Inf]"
    assert prior_informed("van Erp", parameter="heterogeneity") == prior_informed(
        "van Erp"
    )


# ---- all of them ------------------------------------------------------------------


def test_the_list_counts_every_prior():
    table = informed_priors()
    assert list(table.columns) == ["name", "field", "type", "parameter", "prior"]
    counts = table[table["field"] == "medicine"].value_counts(["type", "parameter"])
    assert counts.to_dict() == {
        ("smd", "effect"): 47,
        ("smd", "heterogeneity"): 47,
        ("logOR", "effect"): 54,
        ("logOR", "heterogeneity"): 53,
        ("logRR", "effect"): 54,
        ("logRR", "heterogeneity"): 53,
        ("RD", "effect"): 54,
        ("RD", "heterogeneity"): 53,
        ("logHR", "effect"): 1,
        ("logHR", "heterogeneity"): 1,
    }
    assert set(table.loc[table["field"] == "psychology", "name"]) == {
        "van Erp",
        "Oosterwijk",
    }
    assert table["name"].nunique() == 57 + 2
    assert not table.duplicated(["name", "type", "parameter"]).any()


def test_every_row_of_the_list_is_the_prior_it_names():
    for row in informed_priors().itertuples():
        found = prior_informed(row.name, parameter=row.parameter, type=row.type)
        assert str(found) == row.prior


def test_every_medical_prior_is_of_the_family_of_its_parameter_and_type():
    table = informed_priors()
    for row in table[table["field"] == "medicine"].itertuples():
        found = prior_informed(row.name, parameter=row.parameter, type=row.type)
        if row.parameter == "effect":
            location, scale, df = found.values
            assert (found.family, found.lower, found.upper) == ("student_t", -INF, INF)
            assert location == 0
            assert 0 < scale <= 1.13
            assert df in range(1, 8)
        elif row.type == "RD":
            assert (found.family, found.lower, found.upper) == ("normal", 0, INF)
            assert found.values[0] == 0
            assert 0.05 < found.values[1] < 0.14
        else:
            assert (found.family, found.lower, found.upper) == ("inv_gamma", 0, INF)
            assert 0.9 < found.values[0] < 3
            assert 0.1 <= found.values[1] < 1.1


# ---- arguments --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("VAN ERP", "van Erp"),
        ("vanErp", "van Erp"),
        ("hiv aids", "HIV/AIDS"),
        ("heart-vascular", "Heart; Vascular"),
        ("bone joint and muscle trauma", "Bone, Joint and Muscle Trauma"),
    ],
)
def test_case_and_punctuation_of_a_name_do_not_matter(spelling, name):
    table = informed_priors()
    row = table[table["name"] == name].iloc[0]
    arguments = {"parameter": row["parameter"], "type": row["type"]}
    assert prior_informed(spelling, **arguments) == prior_informed(name, **arguments)


def test_case_of_parameter_and_type_does_not_matter():
    assert prior_informed("Skin", parameter="Effect", type="LOGor") == prior_informed(
        "Skin", parameter="effect", type="logOR"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("oral helth", r"Did you mean 'Oral Health'\?"),
        ("vanerb", r"Did you mean 'van Erp'\?"),
        ("colorectral", r"Did you mean 'Colorectal'\?"),
        ("cancer", r"Did you mean 'Breast Cancer', .* or 'Lung Cancer'\?"),
        ("xyzzy", r"got 'xyzzy'\. informed_priors\(\) lists them all"),
        ("", r"got ''\. informed_priors\(\) lists them all"),
        (None, r"got None\. informed_priors\(\) lists them all"),
    ],
)
def test_an_unknown_name_brings_a_hint(name, hint):
    with pytest.raises(PriorError, match=rf"^name: expected .*{hint}"):
        prior_informed(name, parameter="effect")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "Oral Health"},
            r"^parameter: expected 'effect' or 'heterogeneity' for 'Oral Health' and "
            r"type 'smd'; got None\. Say which",
        ),
        (
            {"name": "van Erp", "parameter": "effect"},
            r"^parameter: expected 'heterogeneity' for 'van Erp' .* another name",
        ),
        (
            {"name": "Childhood Cancer", "parameter": "heterogeneity", "type": "RD"},
            r"^parameter: expected 'effect' for 'Childhood Cancer' and type 'RD'",
        ),
        (
            {"name": "Childhood Cancer", "parameter": "effect"},
            r"^type: expected 'logOR', 'logRR' or 'RD' for 'Childhood Cancer'; got "
            r"'smd'\. informed_priors\(\)",
        ),
        ({"name": "Skin", "parameter": "tau"}, r"^parameter: expected 'effect' or"),
        (
            {"name": "Skin", "parameter": "effect", "type": "d"},
            r"^type: expected 'smd', .* or 'logHR'; got 'd'",
        ),
        ({"name": "Skin", "parameter": "effect", "type": None}, r"^type: expected"),
        ({"name": "van Erp", "prior_weight": 0}, r"^prior_weight: expected a positive"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(arguments, message):
    with pytest.raises(PriorError, match=message):
        prior_informed(**arguments)


def test_the_prior_weight_is_passed_on():
    assert prior_informed("van Erp", prior_weight=0.5).prior_weight == 0.5
    assert prior_informed("van Erp").prior_weight == 1
