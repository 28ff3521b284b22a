# %% [markdown]
# # Meta-regression
#
# What makes effects vary? This notebook puts moderators into the model average: every
# model is fitted with and without each of them, so that each gets a Bayes factor, an
# estimate that carries the uncertainty about the others, and one that is adjusted for
# publication bias. The first half repeats a published analysis and sets our numbers
# beside the printed ones; the second half does what other systems do not offer, with
# several estimates from one study.

# %%
import pandas as pd
import plotnine

import pyrobma as rb

plotnine.options.figure_format = "png"  # one pixel per dot, for a small file
plotnine.options.figure_size = (6.4, 4.0)

# %% [markdown]
# ## The data
#
# Andrews et al. (2021, doi:10.1037/bul0000336) collected 36 correlations between
# household chaos and children's executive functions. Functions were measured directly,
# by a task, or by an informant's report; children differ in age.

# %%
andrews = rb.load_dataset("andrews2021")
andrews.groupby("measure").agg(
    estimates=("r", "size"), mean_r=("r", "mean"), mean_age=("age", "mean")
).round(2)

# %% [markdown]
# ## Two moderators, sixteen models
#
# `mods` is a formula over the columns. Numbers are standardised, so that a coefficient
# is the change of the effect with one standard deviation; a factor gets one coefficient
# per level but one, coded so that mu is the unweighted mean of the levels ("meandif").
# On Cohen's d every coefficient of a number, and every level's deviation, has the prior
# Normal(0, 0.25) (Bartoš, Maier, Stanley & Wagenmakers, 2025). With effect,
# heterogeneity and two terms there or not, 16 models are averaged; publication bias is
# left out for now.

# %%
fit = rb.robma(andrews, r="r", se="se", mods="measure + age", priors_bias=None, seed=1)
fit.summary(output_scale="r")

# %% [markdown]
# The same analysis is in the documentation of the R package RoBMA, which samples these
# models with JAGS. Its printed numbers, and those found by numerical integration, are:

# %%
ours = fit.inclusion["inclusion_bf"]
means = fit.marginal_means(output_scale="r").means["Mean"]
pd.DataFrame(
    {
        "pyrobma": [
            *ours[["effect", "measure", "age"]],
            *means[["measure[direct]", "measure[informant]"]],
        ],
        "exact": [662508, 4.7378, 0.24476, 0.1164, 0.2082],
        "RoBMA, printed": [664314, 4.748, 0.245, 0.117, 0.208],
    },
    index=[
        "BF of an effect", "BF of measure", "BF of age",
        "mean r, direct", "mean r, informant",
    ],
).map("{:.6g}".format)  # fmt: skip

# %% [markdown]
# ## Effects by moderator
#
# Marginal means are the effects at each level, and at the mean and one standard
# deviation to either side of a number, everything else being at its mean. Their Bayes
# factors compare with a mean of exactly 0. They are ratios of densities at 0, which are
# not smoothed from draws: given the heterogeneity the mean is normal, and the
# heterogeneity is integrated out. (Under selection they are importance weighted.)

# %%
fit.marginal_means(output_scale="r")

# %%
fit.plot_regression("measure", output_scale="r")

# %%
fit.plot_regression("age", output_scale="r")

# %% [markdown]
# Differences between levels, and any hypothesis that can be written down:

# %%
fit.contrasts("measure", output_scale="r")

# %%
fit.hypothesis(
    "measure[informant] > measure[direct]", "age > 0", "measure[direct] = 0.2"
)

# %% [markdown]
# ## How much of this is the prior?
#
# A coefficient's Bayes factor depends on the scale of its prior: a wide prior expects
# large differences and is surprised by small ones. `sensitivity` shows how much, by
# weighting the draws that are there and fitting again only where these do not reach.

# %%
curve = rb.sensitivity(fit, ["measure", "age"], scales=[0.25, 0.5, 2, 4])
curve

# %%
curve.plot()

# %% [markdown]
# Evidence for a difference between measures never gets beyond moderate, and never turns
# against it: that is the statement to report, rather than the third digit of one Bayes
# factor.
#
# ## With publication bias
#
# All 36 models of publication bias, with and without each term, are 144 models.

# %%
robust = rb.robma(andrews, r="r", se="se", mods="measure + age", seed=2)
robust.summary(output_scale="r").components

# %%
robust.summary().components_mods

# %% [markdown]
# RoBMA prints 0.513 for an effect, 28.25 for bias, 19.213 for measure and 0.181 for
# age. The evidence for the effect is gone, that for the difference has grown.

# %%
robust.plot_regression("measure", output_scale="r")

# %%
print(robust.interpret(output_scale="r"))

# %% [markdown]
# ## Several estimates from one study
#
# Assink and Wibbelink (2016, doi:10.20982/tqmp.12.3.p154) have 100 estimates of the
# association of mental health and offending from 17 studies. Estimates of one study
# are not independent; `study_ids` says so, and their true effects correlate (rho). A
# publication status of 0 or 1 is a factor, `C(pubstatus)`.

# %%
assink = rb.load_dataset("assink2016")
clustered = rb.robma(
    assink, d="yi", v="vi", study_ids="study",
    mods="deltype + year + C(pubstatus)", priors_bias=None, seed=1,
)  # fmt: skip
clustered.summary()

# %%
clustered.plot_terms()

# %% [markdown]
# The kind of delinquency matters; where, the marginal means say. For the others there
# is little evidence either way, and that is a result as well. Terms that compete share
# their evidence; what they have together is a question of its own:

# %%
clustered.joint_inclusion("year", "C(pubstatus)").round(3)

# %%
clustered.marginal_means("deltype")

# %% [markdown]
# A bias-adjusted, clustered regression, here with regressions on the standard error as
# models of bias, is one more argument:

# %%
adjusted = rb.robma(
    assink, d="yi", v="vi", study_ids="study", mods="deltype", model_type="PP", seed=2
)
rb.compare({"three moderators": clustered, "adjusted for bias": adjusted})

# %% [markdown]
# ## What makes effects scatter
#
# So far moderators moved the mean, and tau was the same for all. `scale` is a formula
# of what tau may depend on: each coefficient belongs to log tau, and every model with
# heterogeneity is fitted with and without each term. Do effects agree better in later
# years? The year stays among the moderators of the mean: what the mean leaves out would
# look like scatter.

# %%
scattered = rb.robma(
    assink, d="yi", v="vi", study_ids="study",
    mods="deltype + year + C(pubstatus)", scale="year", priors_bias=None, seed=1,
)  # fmt: skip
scattered.summary().components_scale

# %%
scattered.heterogeneity().tables["tau"]

# %%
scattered.plot_regression("year")

# %%
scattered.plot("tau ~ year", prior=True)

# %% [markdown]
# With moderate evidence (a Bayes factor of 5.2) the spread shrinks: tau is 0.56 one
# standard deviation before the mean year and 0.34 one after it, averaged with models in
# which it stays the same. The band of new studies narrows with it. More than moderate
# cannot be expected of 17 studies: a spread takes more of them than a mean.
#
# The mean is not what it was either. Where true effects scatter, an estimate says less
# of their mean, so that early studies count less than they did:

# %%
rb.compare({"one tau": clustered, "tau by year": scattered})

# %% [markdown]
# The evidence for differences between kinds of delinquency has grown, that for the year
# as a moderator of the mean has faded.

# %% [markdown]
# ## Predictions
#
# What to expect from new studies: their mean effect, the true effect of one of them, or
# its estimate, here of three kinds of delinquency with the bias taken away.

# %%
new = pd.DataFrame({"deltype": ["covert", "general", "overt"]})
new.join(adjusted.predict(new, "effect").round(2))

# %% [markdown]
# ## What to report
#
# - The terms, how numbers were centred and scaled, how factors were coded, and the
#   priors: the notes under the tables say all of it.
# - For each term its inclusion Bayes factor with its Monte Carlo error, and the
#   estimate given that the term is in the model: an averaged one mixes it with 0.
# - The effects at the levels or values that matter, with their intervals.
# - The heterogeneity that is left, as a prediction interval; with `scale`, tau at some
#   values of its moderators.
# - How Bayes factors change with the scale of the prior.

# %%
print(clustered.interpret())
