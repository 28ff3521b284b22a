"""Priors of publication bias: weight functions, PET, PEESE, none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pyrobma.errors import PriorError
from pyrobma.priors.bias import NoBias, default_bias, prior_none
from pyrobma.priors.distributions import prior
from pyrobma.priors.regression import PEESE, PET, prior_PEESE, prior_PET
from pyrobma.priors.weightfunction import WeightFunction, prior_weightfunction


def one(*steps: float, **others: float) -> WeightFunction:
    return prior_weightfunction(
        "one.sided", steps=steps, alpha=[1] * (len(steps) + 1), **others
    )


def two(*steps: float, **others: float) -> WeightFunction:
    return prior_weightfunction(
        "two.sided", steps=steps, alpha=[1] * (len(steps) + 1), **others
    )


RISING = prior_weightfunction(
    "one.sided", steps=[0.05, 0.5, 0.95], alpha1=[1, 2, 3], alpha2=[4, 5]
)
FIXED = prior_weightfunction("two.sided.fixed", steps=[0.05], omega=[1, 0.25])


class TestWeightFunction:
    @pytest.mark.parametrize(
        ("spelling", "sides"),
        [
            ("one.sided", 1),
            ("one-sided", 1),
            ("One_Sided", 1),
            ("onesided", 1),
            ("two.sided", 2),
            ("two sided", 2),
        ],
    )
    def test_spellings_of_the_sides_do_not_matter(self, spelling, sides):
        weights = prior_weightfunction(spelling, steps=[0.05], alpha=[1, 1])
        assert weights.sides == sides
        fixed = prior_weightfunction(spelling + ".fixed", steps=[0.05], omega=[1, 0])
        assert (fixed.sides, fixed.is_fixed) == (sides, True)

    def test_arguments_mapping_and_order_are_one_prior(self):
        by_name = prior_weightfunction(
            "one.sided", steps=(0.025, 0.05), alpha=(1, 2, 3)
        )
        parameters = {"steps": [0.025, 0.05], "alpha": np.array([1, 2, 3])}
        assert by_name == prior_weightfunction("one.sided", parameters)
        assert by_name == prior_weightfunction(
            "one.sided", {"steps": [0.025, 0.05]}, alpha=[1, 2, 3]
        )
        assert by_name == prior_weightfunction("one.sided", [[0.025, 0.05], [1, 2, 3]])
        assert by_name.alpha == (1.0, 2.0, 3.0)
        assert by_name.omega is None

    def test_three_ordered_parameters_are_steps_alpha1_alpha2(self):
        assert (
            prior_weightfunction("one.sided", [[0.05, 0.5, 0.95], [1, 2, 3], [4, 5]])
            == RISING
        )
        assert (RISING.alpha1, RISING.alpha2) == ((1.0, 2.0, 3.0), (4.0, 5.0))

    def test_two_ordered_parameters_of_fixed_weights_are_steps_and_omega(self):
        assert prior_weightfunction("two.sided.fixed", [[0.05], [1, 0.25]]) == FIXED
        assert FIXED.omega == (1.0, 0.25)

    def test_one_step_may_be_a_number(self):
        assert prior_weightfunction("one.sided", steps=0.05, alpha=[1, 1]) == one(0.05)

    def test_the_highest_fixed_weight_may_stand_anywhere(self):
        weights = prior_weightfunction(
            "one.sided.fixed", steps=[0.05, 0.5], omega=[0.3, 1, 0]
        )
        assert weights.omega == (0.3, 1.0, 0.0)

    def test_intervals_cover_the_unit_interval_in_p_value_order(self):
        assert one(0.025, 0.5).intervals == ((0.0, 0.025), (0.025, 0.5), (0.5, 1.0))

    def test_a_two_sided_step_is_two_one_sided_steps(self):
        assert two(0.05, 0.1).one_sided_steps == (0.025, 0.05, 0.95, 0.975)
        assert one(0.05, 0.5).one_sided_steps == (0.05, 0.5)

    @pytest.mark.parametrize(
        ("weights", "text"),
        [
            (one(0.025, 0.05), "omega[one-sided: .05, .025] ~ CumDirichlet(1, 1, 1)"),
            (two(0.05), "omega[two-sided: .05] ~ CumDirichlet(1, 1)"),
            (two(0.05, 0.1), "omega[two-sided: .1, .05] ~ CumDirichlet(1, 1, 1)"),
            (
                prior_weightfunction("one.sided", steps=[0.05], alpha=[0.5, 2]),
                "omega[one-sided: .05] ~ CumDirichlet(2, 0.5)",
            ),
            (
                RISING,
                "omega[one-sided: .95, .5, .05] ~ CumDirichlet(3, 2, 1), "
                "revCumDirichlet(5, 4)",
            ),
            (FIXED, "omega[two-sided: .05] = (0.25, 1)"),
        ],
    )
    def test_prints_from_the_highest_p_value_to_the_lowest(self, weights, text):
        assert str(weights) == text

    @pytest.mark.parametrize("name", ["three.sided", "one", "", None, 1])
    def test_an_unknown_distribution_is_refused(self, name):
        with pytest.raises(PriorError, match=r"^distribution: expected one of one.si"):
            prior_weightfunction(name, steps=[0.05], alpha=[1, 1])

    def test_a_misspelt_distribution_is_corrected(self):
        with pytest.raises(PriorError, match=r"Did you mean 'two.sided'\?"):
            prior_weightfunction("tow.sided", steps=[0.05], alpha=[1, 1])

    @pytest.mark.parametrize(
        "steps",
        [
            [],
            [0.0, 0.5],
            [0.5, 1.0],
            [0.1, 0.05],
            [0.05, 0.05],
            [math.nan],
            "x",
            [True],
        ],
    )
    def test_steps_that_are_not_increasing_p_values_are_refused(self, steps):
        with pytest.raises(PriorError, match=r"^steps: expected .*; got .*\. "):
            prior_weightfunction("one.sided", steps=steps, alpha=[1, 1])

    @pytest.mark.parametrize(
        ("distribution", "given", "argument"),
        [
            ("one.sided", {"alpha": [1, 1, 1]}, "alpha: expected 2 values"),
            ("one.sided", {"alpha": [1, 0]}, "alpha: expected positive"),
            ("one.sided", {"alpha": [1, math.inf]}, "alpha: expected finite"),
            ("two.sided.fixed", {"omega": [1]}, "omega: expected 2 values"),
            ("two.sided.fixed", {"omega": [1, 1.5]}, "omega: expected weights from 0"),
            ("two.sided.fixed", {"omega": [0.9, 0.5]}, "omega: expected weights fr"),
            ("two.sided.fixed", {"omega": [1, -0.1]}, "omega: expected weights from"),
        ],
    )
    def test_wrong_weights_are_refused_by_name(self, distribution, given, argument):
        with pytest.raises(PriorError, match=rf"^{argument}.*; got .*\. [A-Z].*\.$"):
            prior_weightfunction(distribution, steps=[0.05], **given)

    @pytest.mark.parametrize(
        ("distribution", "given", "remedy"),
        [
            ("one.sided", {}, "Give exactly these"),
            ("one.sided", {"omega": [1, 0.5]}, r"Add '\.fixed'"),
            ("one.sided", {"alpha": [1, 1], "alpha1": [1, 1]}, "Give exactly these"),
            ("one.sided.fixed", {"alpha": [1, 1]}, r"Leave '\.fixed' out"),
            ("two.sided", {"alpha1": [1, 1], "alpha2": [1]}, "need one-sided p-values"),
            ("one.sided", {"alpha1": [1, 1]}, "Give exactly these"),
        ],
    )
    def test_other_sets_of_parameters_are_refused(self, distribution, given, remedy):
        with pytest.raises(PriorError, match=rf"^parameters: expected .*{remedy}"):
            prior_weightfunction(distribution, steps=[0.05], **given)

    @pytest.mark.parametrize("parameters", [[[0.05]], [[0.05], [1], [1], [1]], "ab", 3])
    def test_ordered_parameters_of_another_number_are_refused(self, parameters):
        with pytest.raises(PriorError, match=r"^parameters: expected a mapping, or "):
            prior_weightfunction("one.sided", parameters)

    def test_unknown_names_in_parameters_are_refused(self):
        with pytest.raises(PriorError, match=r"^parameters: .*got steps, alhpa\."):
            prior_weightfunction("one.sided", {"steps": [0.05], "alhpa": [1, 1]})

    def test_a_parameter_given_twice_is_refused(self):
        with pytest.raises(PriorError, match=r"^steps: expected one value; got"):
            prior_weightfunction(
                "one.sided", {"steps": [0.05], "alpha": [1, 1]}, steps=[0.05]
            )

    @pytest.mark.parametrize("steps", [[0.05], [0.05, 0.5], [0.6, 0.95]])
    def test_rising_weights_without_steps_on_both_sides_of_a_half_are_refused(
        self, steps
    ):
        with pytest.raises(PriorError, match=r"^steps: expected steps both up to 0.5"):
            prior_weightfunction("one.sided", steps=steps, alpha1=[1], alpha2=[1])

    @pytest.mark.parametrize(
        ("alpha1", "alpha2", "argument"),
        [([1, 1], [1, 1], "alpha1: expected 3"), ([1] * 3, [1] * 3, "alpha2: expecte")],
    )
    def test_rising_weights_of_another_number_are_refused(
        self, alpha1, alpha2, argument
    ):
        with pytest.raises(PriorError, match=rf"^{argument}"):
            prior_weightfunction(
                "one.sided", steps=[0.05, 0.5, 0.95], alpha1=alpha1, alpha2=alpha2
            )


class TestRegressions:
    @pytest.mark.parametrize(
        ("make", "kind", "name"),
        [(prior_PET, PET, "PET"), (prior_PEESE, PEESE, "PEESE")],
    )
    def test_a_coefficient_is_truncated_at_zero(self, make, kind, name):
        bias = make("cauchy", location=0, scale=1, prior_weight=0.25)
        assert bias == kind(
            prior("cauchy", location=0, scale=1, lower=0, prior_weight=0.25)
        )
        assert bias.prior_weight == 0.25
        assert str(bias) == f"{name} ~ Cauchy(0, 1)[0, Inf]"

    def test_parameters_may_be_a_mapping_or_ordered(self):
        bias = prior_PET("normal", mean=0, sd=2)
        assert bias == prior_PET(distribution="normal", parameters={"mean": 0, "sd": 2})
        assert bias == prior_PET("normal", [0, 2])

    def test_an_upper_truncation_keeps_the_lower_one_at_zero(self):
        expected = PET(prior("normal", mean=0, sd=1, lower=0, upper=3))
        assert prior_PET("normal", mean=0, sd=1, upper=3) == expected
        assert prior_PET("normal", mean=0, sd=1, truncation={"upper": 3}) == expected

    def test_another_lower_truncation_replaces_zero(self):
        expected = PET(prior("normal", mean=0, sd=1, lower=-1))
        assert prior_PET("normal", mean=0, sd=1, lower=-1) == expected
        assert prior_PET("normal", mean=0, sd=1, truncation={"lower": -1}) == expected
        open_ = prior_PET("normal", mean=0, sd=1, lower=None)
        assert open_ == PET(prior("normal", mean=0, sd=1))

    def test_a_distribution_above_zero_is_not_truncated(self):
        assert prior_PET("uniform", a=1, b=2) == PET(prior("uniform", a=1, b=2))
        assert prior_PEESE("gamma", shape=2, rate=1) == PEESE(
            prior("gamma", shape=2, rate=1)
        )

    def test_a_spike_stays_where_it_is(self):
        assert prior_PET("spike", location=0.5).prior.location == 0.5

    def test_bad_input_is_refused_as_for_any_prior(self):
        with pytest.raises(PriorError, match=r"^scale: expected a positive value"):
            prior_PET("cauchy", location=0, scale=-1)
        with pytest.raises(PriorError, match=r"^lower, upper: expected a truncation"):
            prior_PEESE("uniform", a=-2, b=-1)
        with pytest.raises(PriorError, match=r"^truncation: expected the keys"):
            prior_PET("normal", [0, 1], truncation={"lowr": 0})
        with pytest.raises(PriorError, match=r"^truncation: expected the keys"):
            prior_PET("normal", [0, 1], upper=1, truncation={"lower": 0})


class TestEveryBiasPrior:
    KINDS = (
        one(0.05),
        one(0.1),
        two(0.05),
        RISING,
        FIXED,
        prior_PET("cauchy", [0, 1]),
        prior_PEESE("cauchy", [0, 1]),
        prior_PEESE("cauchy", [0, 5]),
        prior_none(),
    )

    def test_only_a_prior_itself_has_its_density(self):
        for i, first in enumerate(self.KINDS):
            for j, second in enumerate(self.KINDS):
                assert first.same_density(second) == (i == j)

    def test_prior_weights_do_not_change_a_density(self):
        assert one(0.05, prior_weight=3).same_density(one(0.05))
        assert one(0.05, prior_weight=3) != one(0.05)
        heavy = prior_PET("cauchy", [0, 1], prior_weight=3)
        assert heavy.same_density(prior_PET("cauchy", [0, 1]))
        assert prior_none(3).same_density(prior_none())

    def test_no_bias_prints_as_none(self):
        assert str(prior_none(2)) == "None"
        assert prior_none(2) == NoBias(2.0)

    def test_values_are_frozen_and_hashable(self):
        assert len(set(self.KINDS)) == len(self.KINDS)
        for item in self.KINDS:
            field = dataclasses.fields(item)[0].name
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(item, field, None)

    @pytest.mark.parametrize("weight", [0, -1, math.inf, math.nan, "1", None])
    def test_a_prior_weight_that_is_not_positive_is_refused(self, weight):
        match = r"^prior_weight: expected a positive number; got .*\. Leave the prior"
        with pytest.raises(PriorError, match=match):
            prior_none(weight)
        with pytest.raises(PriorError, match=match):
            one(0.05, prior_weight=weight)
        with pytest.raises(PriorError, match=match):
            prior_PET("cauchy", [0, 1], prior_weight=weight)


class TestDefaults:
    def test_psma_is_robmas_six_weight_functions_pet_and_peese(self):
        assert [str(item) for item in default_bias()] == [
            "omega[two-sided: .05] ~ CumDirichlet(1, 1)",
            "omega[two-sided: .1, .05] ~ CumDirichlet(1, 1, 1)",
            "omega[one-sided: .05] ~ CumDirichlet(1, 1)",
            "omega[one-sided: .05, .025] ~ CumDirichlet(1, 1, 1)",
            "omega[one-sided: .5, .05] ~ CumDirichlet(1, 1, 1)",
            "omega[one-sided: .5, .05, .025] ~ CumDirichlet(1, 1, 1, 1)",
            "PET ~ Cauchy(0, 1)[0, Inf]",
            "PEESE ~ Cauchy(0, 5)[0, Inf]",
        ]
        weights = [item.prior_weight for item in default_bias()]
        assert weights == [1 / 12] * 6 + [1 / 4] * 2

    def test_the_small_presets_are_halves_of_psma(self):
        regressions = default_bias("PP")
        assert [type(item) for item in regressions] == [PET, PEESE]
        selection = default_bias("2w")
        assert [str(item) for item in selection] == [
            "omega[two-sided: .05] ~ CumDirichlet(1, 1)",
            "omega[two-sided: .1, .05] ~ CumDirichlet(1, 1, 1)",
        ]
        assert [item.prior_weight for item in regressions + selection] == [1 / 2] * 4

    def test_case_does_not_matter(self):
        assert default_bias("psma") == default_bias("PSMA")
        assert default_bias("2W") == default_bias("2w")

    def test_rescaling_changes_peese_alone_and_by_the_inverse(self):
        *others, peese = default_bias("PSMA", rescale=2.0)
        *others_1, _ = default_bias("PSMA")
        assert others == others_1
        assert str(peese) == "PEESE ~ Cauchy(0, 2.5)[0, Inf]"

    @pytest.mark.parametrize("name", ["PSM", "", None, 2])
    def test_another_preset_is_refused(self, name):
        with pytest.raises(PriorError, match=r"^model_type: expected 'PSMA', 'PP' or"):
            default_bias(name)

    @pytest.mark.parametrize("rescale", [0.0, -1.0, math.inf, math.nan, "1"])
    def test_a_factor_that_is_not_positive_is_refused(self, rescale):
        with pytest.raises(PriorError, match=r"^rescale: expected a positive number"):
            default_bias(rescale=rescale)
