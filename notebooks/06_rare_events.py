# %% [markdown]
# # Rare events
#
# Trials count events: so many deaths of so many patients in each of two groups. Where
# events are rare, some cells are empty, and a log odds ratio with a standard error does
# not exist until something is added to them. This notebook fits the counts themselves,
# zeros included, and asks how much the answer depends on what is assumed about the
# trials' baselines.

# %%
import numpy as np
import pandas as pd
import plotnine

import pyrobma as rb
from pyrobma.counts.baseline import CONDITIONAL, Baseline
from pyrobma.counts.likelihood import log_likelihood

plotnine.options.figure_format = "png"  # one pixel per dot, for a small file
plotnine.options.figure_size = (6.4, 4.0)

# %% [markdown]
# ## Ample events: the BCG vaccine
#
# Thirteen trials of a vaccine against tuberculosis (Colditz et al., 1994,
# doi:10.1001/jama.1994.03510330076038). Give events and members of both groups; group 1
# is the treatment, so that odds ratios below 1 are protection.

# %%
bcg = rb.load_dataset("bcg")
bcg["vaccinated"] = bcg.tpos + bcg.tneg
bcg["controls"] = bcg.cpos + bcg.cneg
columns = {"x1": "tpos", "n1": "vaccinated", "x2": "cpos", "n2": "controls"}
fit = rb.robma(bcg, **columns, study_names="author", seed=1)
fit.summary(output_scale="OR")

# %% [markdown]
# Four models: with and without an effect, with and without heterogeneity. There are
# none of publication bias, which is defined for estimates with standard errors. The
# default priors are those that Bartoš et al. (2023, arXiv:2306.11468) estimated from
# the log odds ratios of all fields of the Cochrane Database: Student-t(0, 0.58, 4) for
# mu and InvGamma(1.77, 0.55) for tau.
#
# The forest plot has the events beside the trials. Squares are crude odds ratios; the
# circles below them are the trials' true effects, which the counts and all other trials
# tell.

# %%
fit.plot_forest(output_scale="OR", width=8)

# %%
fit.heterogeneity(output_scale="OR")

# %% [markdown]
# Vaccines were tried from Puerto Rico to Canada. With the latitude as a moderator most
# of the heterogeneity is explained: its Bayes factor falls from 10^30 to about 2.

# %%
by_latitude = rb.robma(bcg, **columns, mods="ablat", study_names="author", seed=1)
by_latitude.inclusion[["prior_prob", "post_prob", "inclusion_bf"]]

# %% [markdown]
# ## Empty cells: catheters
#
# Eighteen trials of anti-infective catheters count bloodstream infections (Niel-Weise
# et al., 2007, doi:10.1007/s00134-007-0897-3). Six of them have an empty cell.

# %%
catheters = rb.load_dataset("nielweise2007")
columns = {"x1": "x1", "n1": "n1", "x2": "x2", "n2": "n2"}
fit = rb.robma(catheters, **columns, study_names="author", seed=1)
fit.summary(output_scale="OR")

# %% [markdown]
# The likelihood is that of the events in group 1 given those in both groups: the
# noncentral hypergeometric distribution, which depends on the odds ratio alone. A trial
# without any events then says nothing. The alternative is a prior of each trial's
# baseline. RoBMA takes Beta(1, 1) for the risk midway between the groups, and that is
# no innocent choice where events are rare. What does a trial with 0 of 40 events in
# both groups say about a log odds ratio of 1, 2 or 4, compared with none?

# %%
nothing = rb.event_counts(x1=[0], n1=[40], x2=[0], n2=[40]).counts
effects = np.array([0.0, 1.0, 2.0, 4.0])
pd.DataFrame(
    {
        str(rule): np.exp(log_likelihood(nothing, rule, effects)[0])
        / np.exp(log_likelihood(nothing, rule, effects[:1])[0])
        for rule in (CONDITIONAL, Baseline("beta", 1, 1), Baseline("beta", 0.5, 0.5))
    },
    index=pd.Index(effects, name="log odds ratio"),
).round(3)

# %% [markdown]
# Under Beta(1, 1) it speaks for no effect, nearly four to one against a log odds ratio
# of 4. That is why the conditional likelihood is the default here. How much it matters
# for the catheters, one call tells:

# %%
rb.baseline_sensitivity(fit)

# %% [markdown]
# All three agree that these catheters help. But the Bayes factor of an effect differs
# by a third, that of heterogeneity by more: far more than their Monte Carlo errors.
# With the ample events of the BCG trials that of an effect differs by one per cent.
#
# And with 1/2 added to the cells of trials with an empty one, as one would have to do
# for a normal model?

# %%
corrected = rb.log_odds_ratio(
    catheters, a="x1", b=catheters.n1 - catheters.x1, c="x2",
    d=catheters.n2 - catheters.x2,
)  # fmt: skip
normal = rb.robma(
    corrected, y="yi", v="vi", priors_bias=None, seed=1,
    priors_effect=rb.prior("student_t", location=0, scale=0.58, df=4),
    priors_heterogeneity=rb.prior("inv_gamma", shape=1.77, scale=0.55),
)  # fmt: skip
pd.DataFrame(
    {
        name: [
            one.inclusion.loc["effect", "inclusion_bf"],
            np.exp(one.mixture("mu", conditional=True).mean()),
        ]
        for name, one in {"counts": fit, "1/2 added": normal}.items()
    },
    index=["BF of an effect", "odds ratio, given one"],
).map("{:.3g}".format)

# %% [markdown]
# The frequentist answers, which add nothing to any cell either:

# %%
print(rb.rma_glmm(catheters, **columns, measure="OR", model="CM.EL"))
print(rb.rma_mh(catheters, **columns, measure="OR"))

# %% [markdown]
# ## Person-time: rate ratios
#
# Nine trials of a lock solution count infections per days with a catheter (Niel-Weise
# et al., 2008, doi:10.1007/s00134-008-1290-6). Person-time in any unit takes the place
# of the members, and effects are log rate ratios.

# %%
days = rb.load_dataset("nielweise2008")
rates = rb.robma(days, x1="x1", t1="t1", x2="x2", t2="t2", study_names="author", seed=1)
rates.plot_forest(output_scale="IRR", width=8)

# %%
print(rates.interpret(output_scale="IRR"))

# %% [markdown]
# ## Informed priors
#
# A subfield of medicine has priors of its own, and `sensitivity` shows what the scale
# of a prior does.

# %%
field = "Emergency and Critical Care"
informed = rb.robma(
    catheters, **columns, seed=1,
    priors_effect=rb.prior_informed(field, parameter="effect", type="logOR"),
    priors_heterogeneity=rb.prior_informed(
        field, parameter="heterogeneity", type="logOR"
    ),
)  # fmt: skip
informed.inclusion[["post_prob", "inclusion_bf"]]

# %%
rb.sensitivity(fit, "effect").plot()

# %% [markdown]
# What a paper would say of the catheters is `fit.interpret(output_scale="OR")`, and
# `fit.report("report.html")` writes a page of all tables and figures.

# %%
print(fit.interpret(output_scale="OR"))
