# %% [markdown]
# # The Stan programs without the rest
#
# The Bayesian half of pyrobma rests on two Stan programs. They can be used without it:
# from CmdStanPy, from R or Julia, or from a shell. This notebook takes one model of the
# 56 schools in 11 districts (Konstantopoulos, 2011, doi:10.1002/jrsm.35), writes its
# data file by hand, draws from its posterior in two ways, evaluates its density, and
# ends with its marginal likelihood, the number from which Bayes factors are made.
#
# Read it if you want to check pyrobma, to extend its models, or to use other software.

# %%
import json
import subprocess
from pathlib import Path

import bridgestan
import cmdstanpy
import numpy as np
import pandas as pd

import pyrobma as rb
from pyrobma import programs
from pyrobma.bridge import warp3

# %% [markdown]
# ## Where are the programs?
#
# Installing pyrobma puts three files on your disk for each program: an executable, a
# shared library, and the Stan source in a single file. The functions below return their
# full paths; only the names are shown here.

# %%
pd.DataFrame(
    {
        name: {
            "executable": programs.executable(name).name,
            "library": programs.library(name).name,
            "source": programs.stan_file(name).name,
        }
        for name in programs.PROGRAMS
    }
).T

# %% [markdown]
# `normal` is the meta-analysis of clustered estimates, with or without PET and PEESE;
# `selection` is the same under publication by p-value. The *executable* takes the
# commands of CmdStan and draws samples. The *library* has the interface of BridgeStan
# and returns the log density and its gradient. Neither CmdStan nor BridgeStan's sources
# nor a compiler are needed to use them.
#
# The sources are made to be read. The model block begins with the priors, each of which
# adds a term to the log density; the likelihood of the clusters follows, with the true
# effects integrated out.

# %%
source = programs.stan_file("normal").read_text()
print(source[source.rindex("model {") : source.rindex("if (!prior_only)")].rstrip())

# %% [markdown]
# ## What does a program want to know?
#
# One program serves every hypothesis because priors are data: a table with a row for
# each unknown (`mu`, `tau`, `rho`, then the coefficients of moderators and of bias
# terms such as PET) holds a family code, up to three parameters and two ends. Code 0 is
# a spike, which fixes the unknown and removes it from the model. `stan/README.md` in
# the repository lists all variables and codes, and `programs.schema_file("normal")` is
# the same as a JSON schema, for programs that check data files.
#
# Here are the schools under `mu ~ Normal(0, 1)`, `tau ~ InvGamma(1, 0.15)` and `rho ~
# Beta(1, 1)`. Estimates must be sorted by cluster, and standard errors, not variances,
# are asked for. Estimates and priors are both on Cohen's d (measure 1), so nothing is
# converted on the way.

# %%
schools = rb.load_dataset("konstantopoulos2011").sort_values("district")
size = schools.groupby("district").size()

estimates = {
    "K": len(schools),
    "y": schools["yi"].tolist(),
    "se": np.sqrt(schools["vi"]).tolist(),
    "L": len(size),
    "cluster_start": (size.cumsum() - size + 1).tolist(),
    "cluster_size": size.tolist(),
    "intercept": [1] * len(schools),  # other numbers are for rotated data
    "loading": [1] * len(schools),
    "data_measure": 1,
    "prior_measure": 1,
    "exact_mapping": 0,
    "prior_only": 0,
}
# No moderator, no bias term, no moderator of heterogeneity.
terms = {"P": 0, "x": [], "B": 0, "bias": [], "S": 0, "w": []}
priors = pd.DataFrame(
    [
        (1, [0, 1, 0], "-Infinity", "Infinity"),
        (6, [1, 0.15, 0], 0, "Infinity"),
        (7, [1, 1, 0], 0, 1),
    ],
    index=["mu", "tau", "rho"],
    columns=["family", "par", "low", "high"],
)
data = estimates | terms | priors.to_dict("list")
Path("schools.json").write_text(json.dumps(data))
priors

# %% [markdown]
# Data that break the contract are refused with a sentence that says why. A spike at
# `rho = 2`, say, cannot be a correlation:

# %%
wrong = data | {"family": [1, 6, 0], "par": [[0, 1, 0], [1, 0.15, 0], [2, 0, 0]]}
try:
    bridgestan.StanModel(programs.library("normal"), json.dumps(wrong))
except RuntimeError as error:
    print(error)

# %% [markdown]
# ## How do I sample from a shell?
#
# The executable takes CmdStan's arguments. One chain of 1000 draws after 1000
# iterations of warm-up, written to `shell.csv`:

# %%
command = "sample num_warmup=1000 num_samples=1000 data file=schools.json"
where = "random seed=1 output file=shell.csv sig_figs=17"
arguments = [*command.split(), *where.split()]
done = subprocess.run([programs.executable("normal"), *arguments], capture_output=True)
done.returncode

# %% [markdown]
# The return code 0 means success. The output is a CSV file with comments: settings at
# the top, the adapted step size and metric after warm-up, running times at the end.

# %%
shell = pd.read_csv("shell.csv", comment="#")
shell[["lp__", "divergent__", "mu", "tau", "rho"]].describe().round(2)

# %% [markdown]
# The chain has no divergent transition (`divergent__` is 0 throughout). The mean effect
# is about 0.19 with a posterior standard deviation of 0.09, and the districts hold
# about 0.6 of the heterogeneity (`rho`). Columns ending in `__` are the sampler's own;
# `mu_free`, `tau_free` and `rho_logit`, left out above, are the free parameters.

# %% [markdown]
# ## How do I sample from CmdStanPy?
#
# Give the executable to `CmdStanModel` and everything CmdStanPy does with draws is
# there. (Its `summary()` and `diagnose()` call programs of a CmdStan installation,
# which is not needed otherwise.)

# %%
cmdstanpy.disable_logging()  # no line for every chain that starts and ends
model = cmdstanpy.CmdStanModel(exe_file=str(programs.executable("normal")))
chains = model.sample(
    "schools.json",
    chains=4,
    iter_sampling=1500,
    seed=1,
    sig_figs=17,
    show_progress=False,
)
draws = chains.draws_pd()
draws[["mu", "tau", "rho"]].describe(percentiles=[0.025, 0.5, 0.975]).round(2)

# %% [markdown]
# Four chains of 1500 draws give the same picture as the shell's single one: effect
# 0.19, from 0.02 to 0.35 in 95 % of the posterior.

# %% [markdown]
# ## What is the log density at a point?
#
# BridgeStan answers this. It works on *unconstrained* parameters, which may take any
# real value: `mu` as it is, the logarithm of `tau`, the log odds of `rho`. Names tell
# which is which, and functions convert free parameters in both directions. Among those
# `rho` is a logit already, because a number near 1 has few digits left for its distance
# to 1. (`warn=False`, because the library is loaded already, by the refused model
# above.)

# %%
library = programs.library("normal")
bridge = bridgestan.StanModel(library, "schools.json", warn=False)
bridge.param_unc_names()

# %%
mu, tau, rho = 0.2, 0.3, 0.6
point = bridge.param_unconstrain(np.array([mu, tau, np.log(rho / (1 - rho))]))
value, gradient = bridge.log_density_gradient(point, propto=False)
print("unconstrained", point.round(4))
print("log density  ", round(value, 6))
print("gradient     ", gradient.round(4))

# %% [markdown]
# `propto=False` keeps every constant. That matters for a marginal likelihood, where a
# dropped constant is a wrong Bayes factor, and it is why the density at a draw equals
# the `lp__` that the sampler wrote down for it:

# %%
free = np.ascontiguousarray(draws[["mu_free[1]", "tau_free[1]", "rho_logit[1]"]])
unconstrained = np.array([bridge.param_unconstrain(row) for row in free])
density = [bridge.log_density(row, propto=False) for row in unconstrained]
bool(np.abs(density - draws["lp__"]).max() < 1e-9)

# %% [markdown]
# All 6000 draws agree to nine decimals or better: sampler and density are the same
# model.

# %% [markdown]
# ## How does a marginal likelihood come out of this?
#
# The marginal likelihood is the integral of that density over the parameters: how
# probable the model made the data before it saw them. Warp-III bridge sampling (Meng &
# Schilling, 2002, doi:10.1198/106186002457) estimates it from the draws and the
# density, and nothing else. `warp3` wants draws with the axes chain, draw and
# parameter, and a function for many points at once.

# %%
stacked = unconstrained.reshape(4, 1500, 3)  # the table holds chain after chain
found = warp3(
    lambda points: np.array([bridge.log_density(p, propto=False) for p in points]),
    stacked,
    seed=1,
)
print(f"log marginal likelihood {found.logml:.3f}, Monte Carlo error {found.mcse:.4f}")

# %% [markdown]
# The second number is the standard error of the first: another seed would move the
# logarithm by a few thousandths, and so a Bayes factor by a few tenths of a per cent.
# pyrobma does the same steps for each model. `transformation="cohens_d"` keeps the
# likelihood on Cohen's d, as above; leaving out the null hypotheses leaves one model.

# %%
fit = rb.robma(
    schools,
    d="yi",
    v="vi",
    study_ids="district",
    transformation="cohens_d",
    priors_bias=None,
    priors_effect_null=None,
    priors_heterogeneity_null=None,
    seed=1,
)
print(f"log marginal likelihood {fit.logml[0]:.3f}")

# %% [markdown]
# The two runs differ in their random numbers only, and agree within their Monte Carlo
# errors.

# %% [markdown]
# ## How do I get the data file of any model?
#
# Selection models need more data: p-value intervals, critical values of each estimate,
# weights, and quadrature nodes for clusters. You can write them by the contract, or
# take them from a fit: `stan_data` returns those of one model, by its number. Here is a
# selection model of Bem's (2011) nine experiments (doi:10.1037/a0021524).

# %%
step = rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1])
bem = rb.robma(
    rb.load_dataset("bem2011"),
    d="d",
    se="se",
    priors_effect_null=None,
    priors_heterogeneity_null=None,
    priors_bias=step,
    priors_bias_null=None,
    seed=1,
)
given = bem.stan_data(1)
names = ("K", "J", "sides", "omega_family", "alpha1", "Q")
print(given.program)
{name: given.data[name] for name in names}

# %% [markdown]
# Two intervals of one-sided p-values (`J`), weights that fall from the first to the
# second (`omega_family` 1) with a uniform prior, and one quadrature node (`Q`), because
# independent estimates need no integral. `write_stan_json` writes such data for all
# models of an ensemble, each with a draw and the log density there, and an index with
# the probabilities and marginal likelihoods that other software should find.

# %%
bem.write_stan_json("bem")
sorted(path.name for path in Path("bem").iterdir())

# %% [markdown]
# From here on only these files are used: the executable draws from the posterior, from
# the exported draw on, and the library finds the exported log density.

# %%
(entry,) = json.loads(Path("bem/ensemble.json").read_text())["models"]
model = cmdstanpy.CmdStanModel(exe_file=str(programs.executable(entry["program"])))
chains = model.sample(
    f"bem/{entry['data']}",
    inits=f"bem/{entry['inits']}",
    chains=4,
    seed=1,
    show_progress=False,
)
columns = ["mu", "tau", "omega[1]", "omega[2]"]
chains.draws_pd()[columns].describe(percentiles=[0.5]).round(2)

# %% [markdown]
# `omega[2]` is the probability that a result with p above .05 is published, relative to
# one below.

# %%
point = json.loads(Path(f"bem/{entry['point']}").read_text())
bridge = bridgestan.StanModel(
    programs.library(entry["program"]), f"bem/{entry['data']}", warn=False
)
there = bridge.log_density(np.array(point["unconstrained"]), propto=False)
print(f"exported {point['log_density']:.6f}, found {there:.6f}")

# %% [markdown]
# ## And in R or Julia?
#
# The same files work there. `programs.executable("normal")` and
# `programs.library("normal")` tell the paths.
#
# cmdstanr (it reads the version of a CmdStan from a file before it runs an executable;
# a folder with that file is enough):
#
# ```r
# library(cmdstanr)
# dir.create("cmdstan")
# writeLines("CMDSTAN_VERSION := 2.35.0", "cmdstan/makefile")
# set_cmdstan_path("cmdstan")
# model <- cmdstan_model(exe_file = "normal")
# fit <- model$sample(data = "schools.json", chains = 4, seed = 1)
# fit$summary(c("mu", "tau", "rho"))
# ```
#
# BridgeStan from R:
#
# ```r
# library(bridgestan)
# model <- StanModel$new("normal.so", "schools.json", 1)
# model$log_density_gradient(c(0.2, -1.2, 0.4), propto = FALSE, jacobian = TRUE)
# ```
#
# BridgeStan from Julia:
#
# ```julia
# using BridgeStan
# model = StanModel("normal.so", "schools.json")
# log_density_gradient(model, [0.2, -1.2, 0.4]; propto = false, jacobian = true)
# ```
#
# `stan/README.md` has these calls with the numbers they must return, and says how to
# install the clients and how to build the programs with a CmdStan and BridgeStan of
# your own. `stan/examples` has scripts to copy: for a shell, for R without any package,
# for Node.js.
