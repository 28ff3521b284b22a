"""Ensembles of counts: what they take, what they refuse, and what they report."""

from __future__ import annotations

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.counts.baseline import CONDITIONAL
from pyrobma.counts.tables import study_table
from pyrobma.ensemble import pooling_weights
from pyrobma.ensemble.heterogeneity import typical_variance
from pyrobma.errors import DataError, PriorError

BETA = rb.prior("beta", alpha=1, beta=1)
# An empty cell, a study without events, a cluster, and ample events.
EVENTS = {
    "x1": [4, 0, 0, 12, 30], "n1": [40, 35, 20, 60, 100],
    "x2": [9, 3, 0, 14, 28], "n2": [41, 38, 22, 55, 90],
}  # fmt: skip
NAMES = ["A", "B", "C", "D", "E"]
IDS = ["u", "v", None, "u", "v"]
RATES = {"x1": [7, 3], "t1": [1344.0, 12012], "x2": [11, 14], "t2": [1988.0, 10962]}


@pytest.fixture(scope="module")
def fit():
    return rb.robma(**EVENTS, study_names=NAMES, seed=1, progress=False)


@pytest.fixture(scope="module")
def clustered():
    return rb.robma(**EVENTS, study_names=NAMES, study_ids=IDS, seed=1, progress=False)


def planned(**arguments):
    return rb.robma(**{**EVENTS, **arguments}, only_priors=True)


# ---- arguments -----------------------------------------------------------------------
def test_default_priors_are_those_of_log_odds_ratios_in_medicine():
    plan = planned()
    texts = {str(m.prior(p)) for m in plan.space for p in ("mu", "tau")}
    assert texts == {"Spike(0)", "Student-t(0, 0.58, 4)", "InvGamma(1.77, 0.55)"}
    for parameter in ("effect", "heterogeneity"):
        informed = rb.prior_informed("Cochrane", parameter=parameter, type="logOR")
        assert str(informed) in texts
    assert (plan.task.prior_scale, plan.task.baseline) == ("logOR", CONDITIONAL)


def test_default_priors_are_rescaled():
    texts = {str(model.prior("mu")) for model in planned(rescale_priors=2).space}
    assert texts == {"Spike(0)", "Student-t(0, 1.16, 4)"}


def test_terms_have_half_the_scale_of_the_effect():
    plan = planned(mods={"dose": [1.0, 2, 3, 4, 6]})
    assert str(plan.space.models[-1].prior("dose")) == "Normal(0, 0.29)"


def test_counts_have_no_models_of_bias():
    assert all(model.selection is None for model in planned().space)
    assert len(planned(priors_bias=None).space) == 4
    for arguments in (
        {"priors_bias": rb.prior_PET("normal", mean=0, sd=1)},
        {"model_type": "PP"},
    ):
        with pytest.raises(PriorError, match="expected None with counts"):
            planned(**arguments)


def test_own_models_with_bias_are_refused():
    space = rb.model_space(
        effect=(rb.prior("normal", mean=0, sd=1),),
        heterogeneity=(rb.prior("spike", location=0.1),),
        bias=(rb.prior_PET("normal", mean=0, sd=1),),
    )
    with pytest.raises(PriorError, match="without publication bias for counts"):
        rb.robma(**EVENTS, models=space, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": [0.1] * 5}, "x1, n1, x2, n2: expected events .* got d too"),
        ({"transformation": "logOR"}, "got transformation too"),
        ({"prior_scale": "cohens_d"}, "prior_scale: expected None with counts"),
        ({"baseline": rb.prior("normal", mean=0, sd=1)},
         r"baseline: expected 'conditional', or a beta prior .* got Normal\(0, 1\)"),
        ({"baseline": rb.prior("beta", alpha=1, beta=1, upper=0.5)},
         "beta prior of the risk without truncation"),
        ({"baseline": "unit information"}, "expected 'conditional', or a beta"),
        ({"x2": None}, "x2: expected a column name or one value per study"),
    ],
)  # fmt: skip
def test_arguments_that_counts_cannot_have_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        planned(**arguments)


def test_rates_take_priors_of_rates():
    def baseline(argument):
        plan = rb.robma(**RATES, baseline=argument, only_priors=True)
        return plan.task.baseline

    found = baseline("unit information")
    pooled = np.log(35 / (1344 + 12012 + 1988 + 10962))
    assert (found.kind, found.first, found.second) == ("normal", pooled, 1.0)
    made = baseline(rb.prior("lognormal", meanlog=-5, sdlog=2))
    assert made == baseline(rb.prior("normal", mean=-5, sd=2))
    with pytest.raises(DataError, match="or a lognormal prior of the rate"):
        baseline(BETA)
    with pytest.raises(DataError, match="expected some event"):
        rb.robma(
            x1=[0], t1=[5], x2=[0], t2=[7], baseline="unit information",
            only_priors=True,
        )  # fmt: skip


def test_estimates_have_no_baselines():
    with pytest.raises(DataError, match="baseline: expected None for estimates"):
        rb.robma(d=[0.1], se=[0.2], baseline=BETA, only_priors=True)


def test_counts_made_before_are_the_same():
    made = rb.event_counts(**EVENTS)
    plan = rb.robma(made, only_priors=True)
    assert plan.task.same_as(planned().task)
    assert not plan.task.same_as(planned(baseline=BETA).task)
    with pytest.raises(DataError, match="got effect sizes that are already made too"):
        rb.robma(made, **EVENTS, only_priors=True)


def test_rows_that_lack_a_moderator_are_dropped_with_their_counts():
    with pytest.warns(rb.DataWarning, match="1 of 5 rows is dropped"):
        plan = planned(mods={"dose": [1.0, np.nan, 3, 4, 6]}, missing="drop")
    assert plan.task.effects.counts.x2.tolist() == [9, 0, 14, 28]


def test_cache_tells_baselines_apart(tmp_path):
    arguments = {"seed": 1, "progress": False, "cache": tmp_path}
    first = rb.robma(**EVENTS, **arguments)
    again = rb.robma(**EVENTS, **arguments)
    other = rb.robma(**EVENTS, **arguments, baseline=BETA)
    np.testing.assert_array_equal(again.logml, first.logml)
    assert not np.isin(other.logml, first.logml).any()


# ---- reports -------------------------------------------------------------------------
def test_summary_says_what_the_likelihood_is(fit):
    text = str(fit.summary(output_scale="OR"))
    assert "counts of 5 studies" in text
    assert (
        "conditional on the events in both groups (noncentral hypergeometric)" in text
    )
    assert "1 study has no events, or nothing but events, in both groups" in text
    assert "counts of 5 studies combined 4 models" in fit.interpret()


def test_ratio_is_the_exponential(fit):
    np.testing.assert_allclose(
        fit.mixture("mu", output_scale="OR").quantiles([0.1, 0.9]),
        np.exp(fit.mixture("mu").quantiles([0.1, 0.9])),
    )
    with pytest.raises(DataError, match="exactly for counts over person-time"):
        fit.summary(output_scale="IRR")


def test_rates_are_reported_as_rate_ratios():
    fit = rb.robma(**RATES, seed=1, progress=False)
    text = str(fit.summary(output_scale="IRR"))
    assert "Estimates are on the rate ratio scale (tau on the log rate ratio" in text
    assert "(binomial)" in text
    with pytest.raises(DataError, match="exactly for counts over person-time"):
        fit.summary(output_scale="OR")


def test_true_effects_of_clusters_are_the_exact_ones(made):
    """By a grid of the common factor and of the true effects, without draws."""
    mu, tau, rho = -0.3, 0.7, 0.6
    spike = [rb.prior("spike", location=value) for value in (mu, tau, rho)]
    space = rb.model_space(
        effect=(spike[0],), heterogeneity=(spike[1],), hierarchical=(spike[2],)
    )
    fit = rb.robma(**EVENTS, study_ids=IDS, models=space, seed=1, progress=False)
    found, clusters = fit.true_effects(), fit.cluster_effects()
    counts = fit.task.effects.counts
    rows = [0, 3]  # of the cluster u
    one = np.eye(5, dtype=bool)
    h = [study_table(counts.kept(one[i]), CONDITIONAL).function() for i in rows]
    g = np.linspace(-8.0, 8.0, 801)
    z = np.linspace(-8.0, 8.0, 801)
    within, load = np.sqrt(1 - rho) * tau, np.sqrt(rho) * tau
    delta = mu + load * g[:, None] + within * z
    each = [np.exp(one(delta)[0] - 0.5 * z**2) for one in h]
    total = np.exp(-0.5 * g**2) * each[0].sum(axis=1) * each[1].sum(axis=1)
    for i, own in zip(rows, each, strict=True):
        p = own / own.sum(axis=1, keepdims=True) * total[:, None]
        mean = (p * delta).sum() / p.sum()
        sd = np.sqrt((p * (delta - mean) ** 2).sum() / p.sum())
        # 4,000 evenly spread quantiles stand for the distribution.
        assert found.loc[i, "Mean"] == pytest.approx(mean, abs=0.01 * sd)
        assert found.loc[i, "SD"] == pytest.approx(sd, rel=0.02)
    mean = (total * (mu + load * g)).sum() / total.sum()
    own = clusters.set_index("cluster").loc["u"]
    assert own["Mean"] == pytest.approx(mean, abs=0.01)
    # The evidence of these fixed values is that of the grid.
    steps = (z[1] - z[0]) ** 2 * (g[1] - g[0])
    logml = np.log(total.sum() * steps) - 1.5 * np.log(2 * np.pi)
    with pytest.warns(rb.DataWarning, match="expected two clusters or more"):
        together = rb.robma(
            **{n: [v[i] for i in rows] for n, v in EVENTS.items()},
            study_ids=["u", "u"], models=space, seed=1, progress=False,
        )  # fmt: skip
    assert together.fits[0].logml == pytest.approx(logml, abs=1e-7)


def test_ratio_of_a_study_with_an_empty_cell_has_no_mean(fit):
    found = fit.true_effects(output_scale="OR").set_index("study")
    assert np.isfinite(found.loc["A", "Mean"])
    assert np.isnan(found.loc["C", "Mean"])  # no events: anything is possible
    assert (found["0.025"] < found["Median"]).all()
    assert (found["Median"] < found["0.975"]).all()


def test_leaving_studies_out_agrees_with_fitting_without_them(fit):
    found = fit.loo().frame.set_index("study")
    others = {n: v[:3] + v[4:] for n, v in EVENTS.items()}
    without = rb.robma(**others, seed=1, progress=False)
    # log p(D | others) from the evidence of both ensembles.
    expected = np.logaddexp.reduce(fit.logml) - np.logaddexp.reduce(without.logml)
    assert found.loc["D", "elpd"] == pytest.approx(expected, abs=0.05)  # 4,000 draws
    assert found.loc["C", "elpd"] == pytest.approx(0.0, abs=1e-9)


def test_influence_knows_that_studies_without_events_have_none(fit):
    frame = fit.influence().frame.set_index("study")
    assert frame.loc["C", "mu_change"] == pytest.approx(0.0, abs=1e-9)


def test_weights_are_shares_of_the_information(fit, clustered):
    for one in (fit, clustered):
        weights = pooling_weights(one)
        assert weights.sum() == pytest.approx(1.0)
        assert weights[2] < 1e-9  # no events
        assert weights[4] == weights.max()  # most events


def test_typical_variance_leaves_out_studies_that_say_nothing(fit):
    effects = fit.task.effects
    some = effects.kept(~effects.counts.silent)
    assert typical_variance(effects) == typical_variance(some)


def test_forest_has_events_and_funnel_crude_ratios(fit, tmp_path):
    from pyrobma.plots import forest_frame, funnel_frame

    fit.plot_forest(output_scale="OR").save(tmp_path / "forest.png", verbose=False)
    fit.plot_forest(columns=["events", "weight"]).save(
        tmp_path / "other.png", verbose=False
    )
    frame = forest_frame(fit, output_scale="OR")
    assert frame["estimate"][:5].to_numpy() == pytest.approx(np.exp(fit.task.effects.y))
    points = funnel_frame(fit).query("part == 'estimate'")
    assert points["value"].to_numpy() == pytest.approx(fit.task.effects.y)


@pytest.mark.parametrize("what", ["residuals", "plot_qq", "plot_z"])
def test_what_needs_estimates_refuses_counts(fit, what):
    with pytest.raises(DataError, match="expected estimates with standard errors; got"):
        getattr(fit, what)()


def test_saved_counts_are_read_back(fit, tmp_path):
    fit.save(tmp_path / "fit.pyrobma")
    again = rb.load(tmp_path / "fit.pyrobma")
    assert again.task.effects == fit.task.effects
    assert again.task.baseline == fit.task.baseline
    assert str(again.summary()) == str(fit.summary())


def test_tree_has_events_and_replicates_of_them(clustered):
    tree = clustered.to_datatree()
    assert tree["observed_data"]["x1"].to_numpy().tolist() == EVENTS["x1"]
    assert tree["constant_data"]["n2"].to_numpy().tolist() == EVENTS["n2"]
    drawn = tree["posterior_predictive"]
    # Given the events of both groups, their sum stays.
    total = np.add(EVENTS["x1"], EVENTS["x2"])
    assert (drawn["x1"] + drawn["x2"] == total).all()
    means = drawn["x1"].mean(("chain", "draw")).to_numpy()
    assert np.abs(means - EVENTS["x1"]).max() < 4
    log = tree["log_likelihood"]["events"]
    assert log.shape[-1] == 5
    assert float(log.max()) <= 1e-12  # probabilities of events


@pytest.mark.parametrize("baseline", ["conditional", BETA])
def test_simulated_counts_are_fitted_as_the_source_is(fit, baseline):
    plan = planned(baseline=baseline)
    found = rb.simulate(plan, 2, seed=1)
    assert list(found.estimates)[:7] == [
        "dataset", "study", "cluster", "x1", "n1", "x2", "n2",
    ]  # fmt: skip
    effects = found.effects(2)
    rows = found.estimates.query("dataset == 2")
    assert effects.counts.x1.tolist() == rows["x1"].tolist()
    assert rb.robma(effects, only_priors=True).task.effects.K == 5


def test_other_baselines_are_fitted_in_one_call(fit):
    found = rb.baseline_sensitivity(fit, progress=False)
    labels = [
        "conditional likelihood", "midpoint risk ~ Beta(1, 1)",
        "midpoint risk ~ Beta(0.5, 0.5)",
    ]  # fmt: skip
    assert found.summary().frame.index.tolist() == labels
    own = rb.robma(**EVENTS, baseline=BETA, seed=1, progress=False)
    row = found.frame.query("baseline == @labels[1] and component == 'effect'").iloc[0]
    assert row["log_bf"] == own.inclusion.loc["effect", "log_bf"]
    mean = found.estimates.query("baseline == @labels[1] and parameter == 'mu'")["mean"]
    assert mean.item() == own.mixture("mu").mean()
    assert "BF Effect" in str(found)


def test_baselines_of_estimates_cannot_be_changed():
    plain = rb.robma(d=[0.1, 0.4], se=[0.2, 0.3], priors_bias=None, seed=1)
    with pytest.raises(DataError, match="expected one of counts"):
        rb.baseline_sensitivity(plain)


def test_sensitivity_to_priors_works_for_counts(fit):
    found = rb.sensitivity(fit, "effect", scales=[0.5, 2])
    own = rb.robma(
        **EVENTS, priors_effect=rb.prior("student_t", location=0, scale=1.16, df=4),
        seed=1, progress=False,
    )  # fmt: skip
    row = found.frame.query("component == 'effect' and factor == 2").iloc[0]
    gap = row["log_bf"] - own.inclusion.loc["effect", "log_bf"]
    assert abs(gap) < 5 * np.hypot(
        row["log_bf_mcse"], own.inclusion.loc["effect", "log_bf_mcse"]
    )
