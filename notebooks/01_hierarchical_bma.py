# %% [markdown]
# # Hierarchical Bayesian model averaging
#
# Schools in many places have tried calendars with shorter breaks spread over the year.
# Do pupils learn more? Konstantopoulos (2011, doi:10.1002/jrsm.35) put together 56
# schools from 11 districts. Schools of one district share administrators, budgets and
# pupils' backgrounds, so their results tend to go together, and a meta-analysis that
# takes them as 56 independent studies believes it knows more than it does.
#
# This notebook goes the whole way: the frequentist analysis most readers know, one
# Bayesian model, four Bayesian models averaged (Gronau et al., 2021,
# doi:10.1177/25152459211031256; Bartoš et al., 2023, doi:10.1002/jrsm.1594), a test of
# the clustering itself, and what to report. No knowledge of Stan is needed. On two
# cores it runs in well under a minute.

# %%
import plotnine
from IPython.display import Markdown

import pyrobma as rb

plotnine.options.figure_format = "png"  # one pixel per dot, for a small file

# %% [markdown]
# ## What are the data?
#
# Each row is a school: the standardised mean difference `yi` between pupils under the
# modified and the traditional calendar (Cohen's d, positive if the modified calendar
# did better), its sampling variance `vi`, and the `district`.

# %%
schools = rb.load_dataset("konstantopoulos2011")
schools.head()

# %%
schools.groupby("district")["yi"].describe().round(2)

# %% [markdown]
# Districts have 3 to 11 schools, and their means run from -0.12 to 0.82. In some
# districts (18, 56 and 86) the schools hardly differ from each other, while the
# districts do. So two estimates from one district are more alike than two from
# different districts.

# %% [markdown]
# ## What does the usual analysis say?
#
# `effect_sizes` reads and checks the table; `rma` is the random-effects model by REML.
# `transformation="cohens_d"` says that the likelihood should be on Cohen's d.

# %%
effects = rb.effect_sizes(
    schools, d="yi", v="vi", study_ids="district", transformation="cohens_d"
)
print(rb.rma(effects))

# %% [markdown]
# As if schools were independent, the mean effect is 0.13 with a 95 % confidence
# interval from 0.04 to 0.21, and *p* = .004: a small but seemingly safe effect.
# `rma_mv` adds a variance between districts to that between the schools of a district.

# %%
print(rb.rma_mv(effects))

# %% [markdown]
# Now the interval is from 0.02 to 0.35 and *p* = .03. The standard error has doubled,
# from 0.044 to 0.085, since 11 districts carry less information than 56 independent
# schools. About two thirds of the heterogeneity lies between districts: `rho` = 0.67,
# the correlation of the true effects of two schools in one district.
#
# Two questions stay open. A p-value cannot say how much the data *support* an effect,
# or its absence. And the analysis takes one model for granted.

# %% [markdown]
# ## What does one Bayesian model say?
#
# The same model with priors, which on Cohen's d are
#
# - `mu ~ Normal(0, 1)` for the mean effect: between -2 and 2 with 95 % probability;
# - `tau ~ InvGamma(1, 0.15)` for the standard deviation of true effects,
#   chosen to resemble the heterogeneity found in published meta-analyses;
# - `rho ~ Beta(1, 1)` for the correlation within districts: anything between
#   0 and 1 is equally probable.
#
# `priors_effect_null=None` and `priors_heterogeneity_null=None` leave out the models
# without an effect or without heterogeneity, `priors_bias=None` those with publication
# bias, and one model is left.

# %%
one = rb.robma(
    schools,
    d="yi",
    v="vi",
    study_ids="district",
    priors_effect_null=None,
    priors_heterogeneity_null=None,
    priors_bias=None,
    seed=1,
)
one.summary()

# %% [markdown]
# The posterior mean of the effect is 0.18, and with 95 % probability it lies between
# 0.01 and 0.34, close to the frequentist result. `error(Mean)` is the Monte Carlo
# standard error: another seed would move the mean by one or two thousandths, so two
# decimals can be trusted. The Bayes factors are infinite because there is no model
# without the components; a comparison needs something to compare with.
#
# ## What did we learn about the correlation?
#
# The prior of `rho` (dashed) knows nothing. The posterior does.

# %%
one.plot("rho", prior=True)

# %% [markdown]
# Small correlations are ruled out: the posterior mean is 0.62 and the central 95 % go
# from 0.31 to 0.85.

# %% [markdown]
# ## Is there an effect at all?
#
# "The effect is 0.18" and "there is no effect" are different hypotheses, so each gets
# its own models. By default `robma` crosses effect or none (`mu = 0`) with
# heterogeneity or none (`tau = 0`): four models, equally probable beforehand. Each
# model is then weighed by how well it predicted the data: `logml` is the logarithm of
# its marginal likelihood. (`fit.summary("models")` prints this table with more
# columns.)

# %%
fit = rb.robma(schools, d="yi", v="vi", study_ids="district", priors_bias=None, seed=1)
columns = ["effect", "heterogeneity", "hierarchical", "logml", "post_prob"]
fit.models[columns].round(3)

# %% [markdown]
# Models 2 and 4, with heterogeneity, share the whole posterior probability: 0.52
# without an effect and 0.48 with one. Those without heterogeneity are refuted. (A model
# without heterogeneity has no `rho`: where true effects are equal there is nothing to
# correlate.)
#
# Adding up the models with and without each component gives its *inclusion Bayes
# factor*: how much the data changed the odds that the component is there.

# %%
fit.summary(conditional=True)

# %% [markdown]
# The Bayes factor of the effect is 0.92. The data are about equally probable with and
# without an effect: they do not decide. Note the contrast with *p* = .03, which many
# would report as a finding. The interval given that there is an effect (the conditional
# estimates: mean 0.18, from 0.01 to 0.34) is nearly that of the single model. The
# model-averaged estimate, 0.09 from 0.00 to 0.31, also counts the probability that the
# effect is zero.

# %%
fit.plot("mu", prior=True)

# %% [markdown]
# The bars are the probabilities that `mu` is exactly 0: 0.50 before the data, 0.52
# after. The curves are the densities of the rest (the prior is dashed). The data
# narrowed down the effect, if there is one, and left the question of its existence
# open.

# %% [markdown]
# ## How much do true effects differ?
#
# Heterogeneity is beyond doubt: its Bayes factor is about 10⁹³. How large is it, and on
# which level?

# %%
fit.heterogeneity()

# %% [markdown]
# True effects have a standard deviation of 0.33 (`tau`), from 0.23 to 0.47. The part
# between districts is the larger one, 0.27 against 0.18 among the schools of a
# district. `ICC` is `rho`, the share of the variance that lies between districts: 0.66.
# And 95 % of the variance of the estimates is heterogeneity rather than sampling error
# (`I2`).
#
# The mean effect says little about a particular new school when true effects differ
# this much. The prediction interval does:

# %%
fit.pooled_effect()

# %% [markdown]
# The true effect in a new school, in a new district, is expected between -0.61 and 0.77
# (`PI`). Whatever the average, a modified calendar may do harm or good in a given
# place.
#
# ## Where do the districts stand?
#
# True effects were integrated out of the models, but their posterior is known given the
# parameters. `estimate` is the mean of a district's own schools; the posterior mean
# (`Mean`) is pulled towards the average, the more so the less the district tells.

# %%
fit.cluster_effects().round(2)

# %% [markdown]
# District 71 stands out. Its own mean of 0.90 shrinks to 0.67, with an interval from
# 0.41 to 0.92. Districts 18, 27 and 91 have intervals above zero too, and none has one
# below zero. The forest plot shows the schools, with their true effects beside them.

# %%
fit.plot_forest()

# %% [markdown]
# ## Is the clustering real?
#
# So far `rho` was free in all models with heterogeneity. To test it, add models in
# which it is 0, that is, independent schools. Heterogeneity is taken as given now
# (`priors_heterogeneity_null=None`), because correlation is a question only if true
# effects differ.

# %%
test = rb.robma(
    schools,
    d="yi",
    v="vi",
    study_ids="district",
    priors_heterogeneity_null=None,
    priors_hierarchical_null=rb.prior("spike", location=0),
    priors_bias=None,
    seed=1,
)
evidence = ["inclusion_bf", "log_bf", "log_bf_mcse"]
test.inclusion.loc[["hierarchical"], evidence].round(4)

# %% [markdown]
# The data are about 4600 times as probable if the schools of a district are correlated
# as if they are not: extreme evidence for clustering. The logarithm of the Bayes
# factor, 8.44, has a Monte Carlo error of 0.002, so the factor itself is known to a
# fraction of a per cent.
#
# What would have happened if we had ignored the districts? Leave out `study_ids`:

# %%
ignored = rb.robma(schools, d="yi", v="vi", priors_bias=None, seed=1)
ignored.inclusion.loc[["effect"], evidence].round(4)

# %% [markdown]
# The Bayes factor of the effect becomes 2.6 instead of 0.92: evidence made by counting
# related schools as independent ones. Clustering is not a detail here. It turns what
# looked like weak evidence for an effect into no evidence either way.
#
# ## Can I trust these numbers?
#
# All of them are Monte Carlo estimates. `robma` extends the chains until they agree and
# until the marginal likelihoods that matter have an error below 0.01; it warns if it
# fails. Here is how each model ended:

# %%
diagnostics = fit.summary("diagnostics").diagnostics
diagnostics.dropna().filter(regex="ESS|R-hat|Divergences|marglik|Draws").round(4)

# %% [markdown]
# R-hat below 1.01 says that the chains agree, more than 2000 effective draws (ESS) that
# the estimates are precise, and no divergence that the sampler met no obstacle. Errors
# of the log marginal likelihoods are below 0.003, and each agrees with a second one
# that was found without the chains, here by quadrature. Model 1 is not in the table:
# it has no parameter, so that its marginal likelihood is exact. `fit.plot_mcmc(4)`
# draws the chains of model 4.

# %% [markdown]
# ## What should I report?
#
# `interpret` writes the results in words, with the numbers a reader needs.

# %%
Markdown(fit.interpret())

# %% [markdown]
# One page for a supplement or for co-authors:

# %%
fit.plot_overview()

# %% [markdown]
# In a methods section say which models were averaged and under which priors, that
# marginal likelihoods come from Warp-III bridge sampling (Meng & Schilling, 2002,
# doi:10.1198/106186002457), and which version and seed were used. In the results give
# the inclusion Bayes factors, the model-averaged and conditional estimates with their
# intervals, the heterogeneity with `rho`, and the largest Monte Carlo error.
#
# How the conclusions change with other priors is the topic of `03_custom_ensembles`,
# and publication bias that of `02_publication_bias`.
