# %% [markdown]
# # Ensembles of your own
#
# An ensemble is a list of hypotheses for each component: the effect, the heterogeneity,
# the correlation within clusters, publication bias. `robma` fits every combination. The
# defaults suit psychology on Cohen's d; your question may need others. Each section
# below answers one question with a change of a line or two. The model and its output
# are explained in `01_hierarchical_bma` and `02_publication_bias`.

# %%
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
import plotnine

import pyrobma as rb

plotnine.options.figure_format = "png"  # one pixel per dot, for a small file

schools = rb.load_dataset("konstantopoulos2011")
bem = rb.load_dataset("bem2011")
by_district = {"d": "yi", "v": "vi", "study_ids": "district", "seed": 1}

# %% [markdown]
# `by_district` holds the arguments that the schools' analyses (Konstantopoulos, 2011,
# doi:10.1002/jrsm.35) have in common: columns, clusters and the seed. The same seed
# gives the same numbers again.
#
# ## How do I fit a single model?
#
# Give one prior for each component and None for the other side. Then nothing is
# compared, and the result is a Bayesian meta-analysis.

# %%
single = rb.robma(
    schools,
    **by_district,
    priors_effect=rb.prior("normal", mean=0, sd=0.5),
    priors_effect_null=None,
    priors_heterogeneity=rb.prior("normal", mean=0, sd=0.5, lower=0),
    priors_heterogeneity_null=None,
    priors_hierarchical=rb.prior("beta", alpha=2, beta=2),
    priors_bias=None,
)
single.summary()

# %% [markdown]
# With these narrower priors the mean effect is about 0.18 and `rho` about 0.6, much as
# with the default ones: the data decide, not the priors.
#
# ## How do I test a direction?
#
# Priors can be lists. Here the effect is zero, positive or negative, three hypotheses
# of equal prior probability, each half-normal one truncated at 0. Heterogeneity is
# certain for the schools, so it is taken as given from here on.

# %%
given = {"priors_heterogeneity_null": None, "priors_bias": None}
direction = rb.robma(
    schools,
    **by_district,
    **given,
    priors_effect=[
        rb.prior("normal", mean=0, sd=1, lower=0),
        rb.prior("normal", mean=0, sd=1, upper=0),
    ],
)
direction.models[["effect", "prior_prob", "post_prob", "post_prob_mcse"]].round(3)

# %% [markdown]
# A negative effect is practically ruled out (0.01). A positive effect (0.64) is 1.8
# times as probable as none (0.35). The Bayes factor of 0.92 in `01_hierarchical_bma`
# asked a different question: there half of the prior went to effects that are negative,
# which the data contradict.
#
# ## Is the effect negligible, rather than zero?
#
# A null hypothesis need not be a point. Here effects are negligible if they are of the
# order of 0.05:

# %%
negligible = rb.robma(
    schools,
    **by_district,
    **given,
    priors_effect_null=rb.prior("normal", mean=0, sd=0.05),
)
negligible.inclusion.loc[["effect"], ["inclusion_bf", "log_bf_mcse"]].round(4)

# %% [markdown]
# The Bayes factor is 0.58: the data are 1.7 times as probable under a negligible effect
# as under one from Normal(0, 1). Against an effect of exactly zero it was 0.92, so a
# little tolerance around zero helps the null hypothesis here, but not to a conclusion.
#
# ## How much do the results depend on the width of the priors?
#
# `rescale_priors` multiplies the scales of the default priors of effect and
# heterogeneity. Wide priors waste probability on huge effects, and so favour the null.

# %%
widths = {
    width: rb.robma(schools, **by_district, **given, rescale_priors=width)
    for width in (0.25, 0.5, 1.0, 2.0)
}
rb.compare(widths, conditional=True)

# %% [markdown]
# The Bayes factor goes from about 2.9 for a prior that expects effects of 0.25 to 0.44
# for one that expects effects of 2, and never leaves the range in which the data are
# called inconclusive. The estimate given an effect hardly moves. Estimation is robust
# to the prior, testing is less so; report such a table when you test.
#
# ## Is the correlation within districts none, some, or complete?
#
# `rho = 0` means that districts do not matter. `rho = 1` means that schools of one
# district share one true effect, so that the district is the study. Both are spikes.

# %%
null = {
    "against rho = 0": rb.prior("spike", location=0),
    "against rho = 1": rb.prior("spike", location=1),
}
tests = {
    name: rb.robma(schools, **by_district, **given, priors_hierarchical_null=spike)
    for name, spike in null.items()
}
rb.compare(tests)

# %% [markdown]
# Bayes factors of about 4600 and two billion: schools of a district are alike, but they
# are not the same; both levels of heterogeneity are needed.
#
# ## What if I know how selection works?
#
# Weights can be fixed instead of estimated, as in a sensitivity analysis (Vevea &
# Woods, 2005, doi:10.1037/1082-989X.10.4.428). For Bem's (2011, doi:10.1037/a0021524)
# experiments, suppose that results with a one-sided p-value above .05 had a given
# chance of publication compared with those below:

# %%
assumed = {
    chance: rb.robma(
        bem,
        d="d",
        se="se",
        priors_bias=rb.prior_weightfunction(
            "one-sided-fixed", steps=[0.05], omega=[1, chance]
        ),
        priors_bias_null=None,
        seed=1,
    )
    for chance in (1.0, 0.5, 0.1)
}
rb.compare(assumed, conditional=True)

# %% [markdown]
# With a chance of 1, which is no selection, the Bayes factor is about 1700. If half of
# the other results were lost it is about 160, and if nine of ten were, 2.9, with an
# effect of 0.12 instead of 0.20. The conclusion depends on what one believes about
# publication; averaging over estimated weights (`02_publication_bias`) takes that
# belief into account.
#
# ## Can I mix default and own bias models?
#
# `default_bias` returns the priors of a `model_type`, to which others can be added.
# Prior weights are relative: here no bias has 1, and PET, PEESE and an assumed weight
# function have 1/2 each.

# %%
fixed = rb.prior_weightfunction(
    "one-sided-fixed", steps=[0.05], omega=[1, 0.1], prior_weight=0.5
)
mixed = rb.robma(
    bem, d="d", se="se", priors_bias=[*rb.default_bias("PP"), fixed], seed=1
)
mixed.summary(bias_components=True)

# %% [markdown]
# The prior probability of bias is 1.5 / 2.5 = 0.6 with these weights. Bayes factors are
# changes of odds and take that into account: about 25 for bias of some kind. The
# assumed weight function explains the data as well as the regressions do, and the
# effect remains undecided (0.64).
#
# ## What if earlier meta-analyses tell what to expect?
#
# `prior_informed` holds priors that were fitted to earlier meta-analyses, field by
# field, or elicited from experts. `informed_priors` lists them. These are the two of
# psychology ("van Erp" is the default prior of `tau`) and, of the many of medicine,
# those of oral health:

# %%
informed = rb.informed_priors()
informed.query("field == 'psychology' or (name == 'Oral Health' and type == 'smd')")

# %% [markdown]
# Poulsen et al. (2006, doi:10.1002/14651858.CD001476.pub2) compared toothpaste with and
# without potassium against sensitive teeth. Bartoš et al. (2021, doi:10.1002/sim.9170)
# analysed these five trials with the priors of oral health, on Cohen's d throughout.

# %%
toothpaste = rb.load_dataset("poulsen2006")
oral_health = {
    "priors_effect": rb.prior_informed("Oral Health", parameter="effect"),
    "priors_heterogeneity": rb.prior_informed("Oral Health", parameter="heterogeneity"),
}
trials = rb.robma(
    toothpaste,
    d="d",
    se="se",
    study_names="study",
    transformation="cohens_d",
    **oral_health,
    priors_bias=None,
    seed=1,
)
trials.summary(conditional=True)

# %% [markdown]
# The trials are about 220 times as probable with an effect as without, and 3.5 times
# with heterogeneity; the published Bayes factors are 218.5 and 3.52, within the Monte
# Carlo error of ours. The effect is large, 1.08 with an interval from 0.69 to 1.42.

# %%
trials.plot("mu", prior=True, conditional=True)

# %% [markdown]
# ## Does the scale matter?
#
# There are three scales. The *likelihood* is on Fisher's z unless `transformation` says
# otherwise. *Priors* are on Cohen's d unless `prior_scale` says otherwise. *Results*
# are on the scale of the priors unless `output_scale` says otherwise. Here are 18
# correlations between acculturation mismatch and family conflict (Lui, 2015,
# doi:10.1037/a0038449):

# %%
family = rb.load_dataset("lui2015")
correlations = rb.robma(
    family, r="r", n="n", study_names="study", priors_bias=None, seed=1
)
correlations.summary(output_scale="r").tables["estimates"]

# %% [markdown]
# The mean correlation is 0.24, from 0.16 to 0.32. `output_scale` changes only how
# results are shown, never a Bayes factor. `prior_scale` changes what priors mean: the
# same numbers on another scale are another hypothesis. To state the default hypotheses
# on Fisher's z, halve their scales, since d is about 2z:

# %%
on_z = rb.robma(
    family,
    r="r",
    n="n",
    prior_scale="fishers_z",
    priors_effect=rb.prior("normal", mean=0, sd=0.5),
    priors_heterogeneity=rb.prior("inv_gamma", shape=1, scale=0.075),
    priors_bias=None,
    seed=1,
)
pd.DataFrame(
    {
        "priors on d": correlations.inclusion["log_bf"],
        "priors on z": on_z.inclusion["log_bf"],
    }
).round(2)

# %% [markdown]
# The Bayes factors agree, as they should.
#
# One caution: d = 2z holds for small effects. For large ones, like the toothpaste's, it
# makes the likelihood on Fisher's z shrink them, and `robma` warns. Use
# `transformation="cohens_d"`, as above, or `effect_mapping="exact"`, which converts the
# mean effect as the data were converted.
#
# ## What if not every combination makes sense?
#
# Then say which models there are. `model_space` crosses hypotheses, `model` describes
# one model by the priors of its unknowns, and spaces can be added. Here is a debate
# with three positions on the studies of precognition: there is nothing, there is an
# effect, or there is none and significant results were published more often.

# %%
nothing = rb.model()
an_effect = rb.model(
    mu=rb.prior("normal", mean=0, sd=1, lower=0),
    tau=rb.prior("inv_gamma", shape=1, scale=0.15),
)
selected = rb.model(
    bias=rb.prior_weightfunction("one.sided", steps=[0.025, 0.05], alpha=[1, 1, 1])
)
debate = rb.robma(bem, d="d", se="se", models=[nothing, an_effect, selected], seed=1)
debate.summary("models").tables["models"]

# %% [markdown]
# A model stands for the components that it does not fix at zero; `alternative` and
# `prior_weight` say it differently. An unknown that is not named is zero. Whatever the
# models are, the ensemble has all tables and figures.
#
# ## How do I add models later?
#
# Add up the fits. Nothing is fitted again; prior probabilities are those of all models
# together. Someone may hold that the small studies have larger effects:

# %%
small_studies = rb.robma(
    bem,
    d="d",
    se="se",
    models=[rb.model(bias=rb.prior_PET("cauchy", [0, 1]))],
    seed=2,
)
wider = debate + small_studies
wider.models[["bias", "prior_prob", "logml", "post_prob"]].round(3)

# %% [markdown]
# ## What happens between data and results?
#
# Effect sizes are read, hypotheses are crossed, models are fitted and weighed. The
# first two are values that you can look at before anything is fitted:

# %%
effects = rb.effect_sizes(bem, d="d", se="se", study_names="study")
effects

# %%
space = rb.model_space(
    effect=rb.default_priors("effect"),
    effect_null=rb.default_priors("effect", null=True),
    heterogeneity=rb.default_priors("heterogeneity"),
    heterogeneity_null=rb.default_priors("heterogeneity", null=True),
    bias=rb.default_bias("PP"),
)
len(space), space.prior_prob[:3]

# %% [markdown]
# There are twelve models. The first three have neither effect nor heterogeneity, a
# quarter of the prior probability, of which no bias has half and PET and PEESE the
# rest. This is what `robma(bem, d="d", se="se", model_type="PP", seed=1)` fits:

# %%
fit = rb.robma(effects, models=space, seed=1)
fit.inclusion.round(4)

# %% [markdown]
# ## How do I keep a fit?

# %%
trials.save("toothpaste.pyrobma")
again = rb.load("toothpaste.pyrobma")
again.inclusion.equals(trials.inclusion)

# %% [markdown]
# The file holds data, priors, draws and settings, and nothing that runs when it is
# opened. `to_datatree()` gives the draws to ArviZ and xarray.
#
# ## How do I use many processors?
#
# Models are independent jobs. By default `robma` uses all cores of the machine; `cores`
# limits them. Anything with the `submit` of `concurrent.futures` can run the models
# elsewhere: a process pool, as here, Dask's `client.get_executor()`, or the MPI pool of
# mpi4py on a cluster.

# %%
with ProcessPoolExecutor(2) as pool:
    elsewhere = rb.robma(bem, d="d", se="se", model_type="PP", seed=1, executor=pool)
bool((elsewhere.logml == fit.logml).all())

# %% [markdown]
# The seed alone fixes the numbers: a pool of processes gives the same marginal
# likelihoods, to the last bit, as the threads above.
