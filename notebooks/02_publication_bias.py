# %% [markdown]
# # Publication bias
#
# Bem (2011, doi:10.1037/a0021524) reported nine experiments in which people seemed to
# feel the future. Pooled, they give a small effect with an impressive p-value. The
# other explanation is that results which came out this way had a better chance to be
# published. This notebook lets both explanations compete: it averages over 36 models
# with and without an effect, with and without heterogeneity, and with eight forms of
# publication bias or none (RoBMA-PSMA; Maier, Bartoš & Wagenmakers, 2023,
# doi:10.1037/met0000405; Bartoš et al., 2023, doi:10.1002/jrsm.1594). At the end the
# same is done with clustered estimates.

# %%
import pandas as pd
import plotnine
from scipy.stats import norm

import pyrobma as rb

plotnine.options.figure_format = "png"  # one pixel per dot, for a small file
pd.options.display.max_colwidth = 60

# %% [markdown]
# ## What do the data look like?
#
# One row is an experiment with its Cohen's d and standard error. The last column is the
# one-sided p-value of a positive effect, the number that journals are suspected to look
# at.

# %%
bem = rb.load_dataset("bem2011")
bem.assign(p=norm.sf(bem["d"] / bem["se"])).round(3)

# %% [markdown]
# Eight of nine p-values are below .05, and seven are between .005 and .05. Small but
# real effects of this size, studied with samples of this size, should fail more often.
# Also, the largest standard error comes with the largest effect.
#
# ## What does an analysis without publication bias say?

# %%
print(rb.rma(rb.effect_sizes(bem, d="d", se="se", transformation="cohens_d")))

# %%
naive = rb.robma(bem, d="d", se="se", study_names="study", priors_bias=None, seed=1)
naive.summary(conditional=True)

# %% [markdown]
# Both agree: d = 0.20 with an interval from 0.13 to 0.26, no sign of heterogeneity, and
# a Bayes factor of about 1700 for the effect. If all experiments had been published
# whatever they found, that would be the end of it.
#
# ## How could publication distort this?
#
# `default_bias` holds the eight hypotheses that `robma` adds by default.

# %%
weights = {str(bias): round(bias.prior_weight, 3) for bias in rb.default_bias()}
pd.Series(weights).to_frame("weight")

# %% [markdown]
# The first six are *weight functions* (Vevea & Hedges, 1995, doi:10.1007/BF02294384):
# the p-values are cut into intervals, each with a probability of publication relative
# to that of the most significant ones. The steps are printed in brackets. Two-sided
# functions take positive and negative results alike; one-sided ones favour positive
# effects, and steps at .5 also punish effects in the wrong direction. The prior (a
# cumulative Dirichlet) says only that smaller p-values are never published less.
#
# The last two are regressions (Stanley & Doucouliagos, 2014, doi:10.1002/jrsm.1095).
# PET lets estimates grow with their standard error, PEESE with its square. Small
# studies need large effects to become significant, so a positive slope is a trace of
# selection; the effect is what remains for a study with no sampling error.
#
# Half of the prior probability says no bias. The other half is shared, equally between
# the weight functions and the two regressions.
#
# ## What do all 36 models say together?

# %%
fit = rb.robma(bem, d="d", se="se", study_names="study", seed=1)
fit.summary(conditional=True, bias_components=True)

# %% [markdown]
# Publication bias has a Bayes factor of 16: its probability rose from one half to 0.94.
# Once bias is a possible explanation, little is left for the effect to explain. Its
# Bayes factor fell from about 1700 to 0.48, mild evidence against it. The averaged
# effect is 0.04, and its 95 % interval runs from -0.04 to 0.22. Monte Carlo errors
# (last columns) are far too small to matter: a few thousandths of the log Bayes
# factors.
#
# The second table splits the bias. PET and PEESE gained most (Bayes factors 3.8 and
# 3.3); weight functions as a whole (1.1) neither gained nor lost. The data cannot tell
# well *how* publication went wrong. That is why we average.

# %%
fit.plot("mu", prior=True)

# %% [markdown]
# The bar at zero grew from 0.50 to 0.68.
#
# ## Which results were published less often?
#
# The weights of all weight functions, on the one-sided p-values that they have in
# common, given that one of them is true:

# %%
fit.plot("omega", conditional=True)

# %% [markdown]
# Given selection, results with a one-sided p between .05 and .5 had about a fifth of
# the chance (0.19) of those below .025. The wide intervals are honest: one such result
# among nine says little about how many are missing.
#
# ## How would effects depend on the standard error?

# %%
fit.plot("PET-PEESE", conditional=True)

# %% [markdown]
# Given that there is an effect and PET or PEESE, estimates rise with the standard
# error. At a standard error of zero the curve is the effect itself: its median is below
# 0.1, and the band of 95 % runs from about -0.3 to 0.2. Nine experiments of similar
# precision leave much open when the line is extended that far.
#
# The funnel shows the same experiments with what the whole ensemble expects.

# %%
fit.plot_funnel()

# %% [markdown]
# Each region holds 95 % of the estimates of a given standard error: from sampling error
# alone, with heterogeneity, and (dotted) with publication bias. The experiment with d =
# 0.42 at the bottom lies outside the region without publication bias, and inside the
# one with it.
#
# ## Which models carry the result?
#
# The six most probable of the 36:

# %%
best = fit.models.nlargest(6, "post_prob").round(3)
best[["effect", "heterogeneity", "bias", "prior_prob", "post_prob", "inclusion_bf"]]

# %% [markdown]
# The first two, regressions without effect and heterogeneity, hold more than half of
# the posterior probability (0.28 and 0.25). The model with an effect and nothing else,
# which is the usual analysis, comes next with 0.05, down from 0.125.

# %%
fit.plot_models()

# %% [markdown]
# ## How much depends on the choice of bias models?
#
# Two smaller ensembles are ready-made. `"2w"` has only the two two-sided weight
# functions, `"PP"` only PET and PEESE.

# %%
others = {
    kind: rb.robma(bem, d="d", se="se", model_type=kind, seed=1)
    for kind in ("2w", "PP")
}
rb.compare({"none": naive, "2w": others["2w"], "PSMA": fit, "PP": others["PP"]})

# %% [markdown]
# The Bayes factor of the effect goes from about 1700 without bias through 98 (two-sided
# selection) and 0.48 (all forms) to 0.23 (regressions only). Two-sided selection
# explains little: it would publish significant negative results as readily as positive
# ones, which is hardly how evidence for precognition is selected. The lesson is to
# choose bias models before seeing the data, to choose many, and to report such a table.
#
# ## What if estimates are clustered?
#
# A journal looks at the estimates of a paper together, and their true effects are
# correlated. The probability that a *whole cluster* is published in the form we see is
# then an integral over all its estimates. pyrobma reduces it to one dimension, whatever
# the size of the cluster, and checks the precision of each integral.
#
# Here are the 56 schools in 11 districts (Konstantopoulos, 2011, doi:10.1002/jrsm.35).
# To keep this notebook short three forms of bias stand for the eight: weight functions
# with one step at .05, one-sided and two-sided, and PET, each with a third of the
# probability of bias. Heterogeneity, which is certain in these data, is taken as given.
# `robma` with its defaults would fit all 36 models; that takes somewhat below a minute.

# %%
schools = rb.load_dataset("konstantopoulos2011")
three = [
    rb.prior_weightfunction("one-sided", [[0.05], [1, 1]], prior_weight=1 / 3),
    rb.prior_weightfunction("two-sided", [[0.05], [1, 1]], prior_weight=1 / 3),
    rb.prior_PET("cauchy", [0, 1], prior_weight=1 / 3),
]
clustered = rb.robma(
    schools,
    d="yi",
    v="vi",
    study_ids="district",
    priors_heterogeneity_null=None,
    priors_bias=three,
    seed=1,
)
clustered.summary(bias_components=True)

# %% [markdown]
# There is evidence *against* publication bias here: a Bayes factor of 0.23, that is,
# more than 4 in favour of none. PET alone is undecided (0.75), and so is the effect
# (0.79). The correlation within districts (`rho`, 0.66) is what it was without bias
# models in `01_hierarchical_bma`.

# %%
clustered.plot_funnel()

# %% [markdown]
# The funnel is wide because true effects differ. What is expected with publication bias
# (dotted) hardly differs from what is expected without (dashed).
#
# What if we forget the clusters?

# %%
flat = rb.robma(
    schools, d="yi", v="vi", priors_heterogeneity_null=None, priors_bias=three, seed=1
)
pd.DataFrame(
    {
        "clustered": clustered.bias_inclusion["inclusion_bf"],
        "independent": flat.bias_inclusion["inclusion_bf"],
    }
).round(2)

# %% [markdown]
# The evidence for PET more than doubles. District 86 has eight very precise schools
# with effects near zero; as eight independent studies they look like the precise end of
# a small-study effect, as one district they count for little more than one. As in
# `01_hierarchical_bma`, ignoring clusters makes evidence out of repetition.
