"""The four summaries, from made-up fits: no sampling."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb

# Sums and quotients of a few doubles.
ROUNDING = 1e-12
LOGML = [-2.0, 0.5, -1.0, 0.9]
MCSE = [0.0, 0.01, 0.002, 0.02]


@pytest.fixture(scope="module")
def ensemble(made):
    return made.ensemble(made.space(), LOGML, MCSE)


@pytest.fixture(scope="module")
def single(made):
    return made.ensemble(made.space(null=False), [1.5], [0.01])


def words(text):
    """Text without the widths of columns, which pandas decides on."""
    return [line.split() for line in text.strip().splitlines()]


ENSEMBLE_TEXT = """\
Bayesian model-averaged meta-analysis (4 models): 4 estimates in 2 clusters

Components summary:
              Models Prior prob. Post. prob. Inclusion BF error(log BF)
Effect           2/4       0.500       0.613          1.6         0.020
Heterogeneity    2/4       0.500       0.891          8.2         0.013
Hierarchical     2/4       0.500       0.891          8.2         0.013
error(log BF): Monte Carlo standard error of the log Bayes factor.
Hierarchical repeats Heterogeneity: every model with the one has the other. \
priors_hierarchical_null=prior("spike", location=0) tests clusters alone.
"""


def test_the_printed_ensemble_summary_of_made_up_fits(ensemble):
    text = str(ensemble.summary())
    components, estimates = text.split("\nModel-averaged estimates:\n")
    assert words(components) == words(ENSEMBLE_TEXT)
    lines = estimates.splitlines()
    assert lines[0].split() == [
        "Mean",
        "Median",
        "0.025",
        "0.975",
        "error(Mean)",
        "error(Quantiles)",
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["mu", "tau", "rho"]
    assert lines[4] == (
        "Estimates are on the Cohen's d scale; priors are on the Cohen's d scale."
    )
    assert lines[5].startswith("Monte Carlo errors reach 0.018: last digits may")
    assert len(lines) == 6


REPEATED = "Hierarchical repeats Heterogeneity"


def test_the_row_of_clusters_is_said_to_repeat_another_only_where_it_does(made):
    spike = (rb.prior("spike", location=0),)
    own = made.space(hierarchical_null=spike)
    tested = made.ensemble(own, np.zeros(len(own)))
    repeated = made.ensemble(made.space(), LOGML, MCSE)
    single = made.ensemble(made.space(null=False), [1.5], [0.01])
    assert REPEATED in str(repeated.summary())
    assert REPEATED in str(rb.compare({"a": tested, "b": repeated}))
    for other in (tested, single):
        assert REPEATED not in str(other.summary())
        assert REPEATED not in str(rb.compare({"only": other}))


def test_what_one_study_cannot_tell_is_said_wherever_it_is_shown(made):
    space = made.space(hierarchical=False)
    effects = rb.effect_sizes(d=[0.3], se=[0.1])
    one = made.ensemble(space, LOGML, MCSE, effects=effects)
    text = "One estimate cannot show heterogeneity: what is said of it and of a new"
    shown = [one.summary(), one.heterogeneity(), one.pooled_effect(), one.interpret()]
    assert all(text in str(each) for each in shown)
    more = made.ensemble(space, LOGML, MCSE)
    assert "cannot" not in str(more.summary()) + more.interpret()


def test_what_one_cluster_cannot_tell_is_said(made):
    with pytest.warns(rb.DataWarning, match="two clusters or more"):
        effects = rb.effect_sizes(d=[0.3, 0.4], se=[0.1, 0.1], study_ids=[1, 1])
    one = made.ensemble(made.space(), LOGML, MCSE, effects=effects)
    assert "which cannot show how much clusters differ" in one.interpret()
    assert "which cannot show how much clusters differ" in str(one.summary())


def test_the_ensemble_itself_prints_its_summary(ensemble):
    assert repr(ensemble) == str(ensemble.summary())
    assert ensemble._repr_html_() == ensemble.summary()._repr_html_()


MODELS_TEXT = """\
Bayesian model-averaged meta-analysis (4 models): 4 estimates in 2 clusters

Models overview:
Prior Effect Prior Heterogeneity Prior Hierarchical Prior prob. log(marglik) \
error(log(marglik)) Post. prob. Inclusion BF
1 Spike(0)     Spike(0)                       0.250 -2.00 0      0.029 0.091
2 Spike(0)     InvGamma(1, 0.15) Beta(1, 1)   0.250  0.50 0.010  0.358 1.669
3 Normal(0, 1) Spike(0)                       0.250 -1.00 0.0020 0.080 0.260
4 Normal(0, 1) InvGamma(1, 0.15) Beta(1, 1)   0.250  0.90 0.020  0.533 3.429
"""


def test_the_printed_models_summary_of_made_up_fits(ensemble):
    assert words(str(ensemble.summary("models"))) == words(MODELS_TEXT)


def test_the_estimates_are_mean_median_and_quantiles_of_the_mixtures(ensemble):
    found = ensemble.summary(probs=[0.1, 0.9]).estimates
    assert list(found.columns) == [
        "Mean",
        "Median",
        "0.1",
        "0.9",
        "error(Mean)",
        "error(Quantiles)",
    ]
    for parameter in ("mu", "tau", "rho"):
        mixed = ensemble.mixture(parameter)
        low, median, high = mixed.quantiles([0.1, 0.5, 0.9])
        worst = mixed.quantile_errors([0.1, 0.5, 0.9]).max()
        expected = [mixed.mean(), median, low, high, mixed.mcse(), worst]
        np.testing.assert_allclose(found.loc[parameter], expected, rtol=ROUNDING)


def test_conditional_estimates_come_in_a_table_of_their_own(ensemble):
    shown = ensemble.summary(conditional=True)
    assert list(shown.tables) == ["components", "estimates", "estimates_conditional"]
    mixed = ensemble.mixture("mu", conditional=True)
    assert shown.estimates_conditional.loc["mu", "Mean"] == mixed.mean()
    assert "Conditional estimates:" in str(shown)


def test_conditional_estimates_leave_out_parameters_without_an_alternative(made):
    space = rb.model_space(
        effect_null=(rb.prior("spike", location=0),),
        heterogeneity=rb.default_priors("heterogeneity"),
    )
    shown = made.ensemble(space, [0.0]).summary(conditional=True)
    assert list(shown.estimates_conditional.index) == ["tau"]


def test_without_any_alternative_there_is_a_sentence_instead_of_an_empty_table(made):
    spike = (rb.prior("spike", location=0),)
    space = rb.model_space(effect_null=spike, heterogeneity_null=spike)
    shown = made.ensemble(space, [0.0]).summary(conditional=True)
    assert shown.estimates_conditional.empty
    assert "Conditional estimates:\nNo model has an alternative prior." in str(shown)


@pytest.mark.parametrize("type_", ["ensemble", "models"])
@pytest.mark.parametrize(
    ("options", "name", "change"),
    [
        ({}, "Inclusion BF", lambda log_bf: np.exp(log_bf)),
        ({"bf01": True}, "Exclusion BF", lambda log_bf: np.exp(-log_bf)),
        ({"log_bf": True}, "log(Inclusion BF)", lambda log_bf: log_bf),
        ({"log_bf": True, "bf01": True}, "log(Exclusion BF)", lambda log_bf: -log_bf),
    ],
)
def test_bayes_factors_can_be_logs_and_for_the_absence(
    ensemble, type_, options, name, change
):
    shown = ensemble.summary(type_, **options)
    table = shown.components if type_ == "ensemble" else shown.models
    source = ensemble.inclusion if type_ == "ensemble" else ensemble.models
    np.testing.assert_allclose(table[name], change(source["log_bf"]), rtol=ROUNDING)


def test_a_single_model_is_no_average_and_has_infinite_bayes_factors(single):
    text = str(single.summary())
    assert text.startswith(
        "Bayesian meta-analysis (one model): 4 estimates in 2 clusters\n"
    )
    assert "Effect           1/1       1.000       1.000          Inf" in text
    assert (single.summary(bf01=True).components["Exclusion BF"] == 0).all()


def test_the_individual_summary_has_a_table_per_model(ensemble):
    shown = ensemble.summary(type="individual")
    assert list(shown.tables) == ["model_1", "model_2", "model_3", "model_4"]
    assert list(shown.model_4.index) == ["mu", "tau", "rho"]
    assert list(shown.model_4.columns) == [
        "Mean", "SD", "Median", "0.025", "0.975", "error(MCMC)", "error(MCMC)/SD",
        "ESS", "R-hat",
    ]  # fmt: skip
    draws = ensemble.fits[3].draws("tau")
    row = shown.model_4.loc["tau"]
    assert row["Mean"] == pytest.approx(draws.mean(), rel=ROUNDING)
    assert row["SD"] == pytest.approx(draws.std(ddof=1), rel=ROUNDING)
    text = str(shown)
    assert (
        "Model 4: mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1)\n"
        "Prior prob. 0.250, log(marglik) 0.90 (error 0.020), Post. prob. 0.533, "
        "Inclusion BF 3.429\n"
    ) in text
    assert "Model 1: mu = 0, tau = 0\n" in text
    assert "No free parameters." in text
    assert "Empty DataFrame" not in text


def test_individual_diagnostics_are_those_of_the_fit(ensemble):
    found = ensemble.summary("individual").model_4
    diagnostics = ensemble.fits[3].diagnostics
    np.testing.assert_allclose(found["ESS"], diagnostics.ess_bulk, rtol=ROUNDING)
    np.testing.assert_allclose(found["R-hat"], diagnostics.rhat, rtol=ROUNDING)


def test_the_diagnostics_summary_is_blank_for_a_model_without_parameters(ensemble):
    shown = ensemble.summary("diagnostics")
    row = shown.diagnostics.loc[1]
    assert row[["min(ESS)", "max(R-hat)", "Divergences", "Draws"]].isna().all()
    line = str(shown.tables["diagnostics"]).splitlines()[2]
    assert line.split()[:3] == ["1", "Spike(0)", "Spike(0)"]
    assert row[["2nd log(marglik)", "error(2nd)"]].isna().all()
    assert shown.diagnostics.loc[4, "log(marglik)"] == ensemble.fits[3].logml
    assert shown.diagnostics.loc[4, "Draws"] == 100
    found = ensemble.fits[3].diagnostics
    assert shown.diagnostics.loc[4, "max(R-hat)"] == found.rhat.max()
    assert shown.diagnostics.loc[4, "min(ESS)"] == min(
        found.ess_bulk.min(), found.ess_tail.min()
    )


@pytest.mark.parametrize("type_", ["ensemble", "models", "diagnostics", "individual"])
def test_a_type_may_be_shortened_to_its_first_letter(ensemble, type_):
    assert str(ensemble.summary(type_[0])) == str(ensemble.summary(type_))


@pytest.mark.parametrize(
    ("scale", "note"),
    [
        ("fishers_z", "Estimates are on the Fisher's z scale; priors are on the Cohen"),
        ("r", "Estimates are on the correlation scale (tau on the Fisher's z scale);"),
        ("OR", "Estimates are on the odds ratio scale (tau on the log odds ratio"),
        ("logOR", "Estimates are on the log odds ratio scale; priors are on"),
    ],
)
def test_a_footnote_says_on_which_scale_estimates_and_priors_are(ensemble, scale, note):
    for type_ in ("ensemble", "individual"):
        assert note in str(ensemble.summary(type_, output_scale=scale))
    mean = ensemble.summary(output_scale=scale).estimates.loc["mu", "Mean"]
    assert mean == ensemble.mixture("mu", output_scale=scale).mean()


def test_data_in_units_of_their_own_have_a_footnote_of_their_own(made):
    raw = made.ensemble(
        made.space(hierarchical=False),
        LOGML,
        effects=rb.effect_sizes(y=[1.0, 2.0, 3.0], se=[1.0, 1.0, 1.0]),
        prior_scale="none",
    )
    assert "Estimates and priors are on the scale of the data." in str(raw.summary())
    with pytest.raises(
        rb.DataError, match="output_scale: expected 'none' exactly for effects"
    ):
        raw.summary(output_scale="cohens_d")


def test_a_model_that_misses_a_check_is_named_under_every_summary(made):
    failing = made.ensemble(
        made.space(), LOGML, reasons={4: ("R-hat 1.100 above 1.01", "3 divergences")}
    )
    warning = (
        "Warning: Model 4 (mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho ~ "
        "Beta(1, 1)): R-hat 1.100 above 1.01; 3 divergences."
    )
    for type_ in ("ensemble", "models", "diagnostics", "individual"):
        shown = failing.summary(type_)
        assert str(shown).endswith(warning)
        assert "Warning: Model 4" in shown._repr_html_()


def test_one_estimate_is_singular(made):
    alone = made.ensemble(
        made.space(hierarchical=False),
        LOGML,
        effects=rb.effect_sizes(d=[0.1], se=[0.1]),
    )
    assert str(alone.summary()).startswith(
        "Bayesian model-averaged meta-analysis (4 models): 1 estimate\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "all"}, r"type: expected one of ensemble, .*; got 'all'\."),
        ({"type": ""}, r"type: expected one of ensemble, .*; got ''\."),
        ({"type": None}, r"type: expected one of ensemble, .*; got None\."),
        ({"type": 3}, r"type: expected one of ensemble, .*; got 3\."),
        ({"probs": [0.5, 1.5]}, r"probs: expected probabilities in \[0, 1\]; got"),
        ({"probs": [float("nan")]}, r"probs: expected probabilities in \[0, 1\]; got"),
        ({"output_scale": "z"}, r"output_scale: expected one of .*; got 'z'\."),
    ],
)
def test_a_summary_refuses_what_it_cannot_give(ensemble, options, message):
    with pytest.raises(rb.DataError, match=message):
        ensemble.summary(**options)
