"""Stage 7: figures, each with the frame it draws."""

from pyrobma.plots.forest import forest_frame, plot_forest
from pyrobma.plots.funnel import funnel_frame, plot_funnel
from pyrobma.plots.influence import influence_frame, plot_influence
from pyrobma.plots.levels import (
    levels_frame,
    marginal_means_frame,
    plot_levels,
    plot_marginal_means,
)
from pyrobma.plots.loo_pit import loo_pit_frame, plot_loo_pit
from pyrobma.plots.mcmc import mcmc_frame, plot_mcmc
from pyrobma.plots.models import models_frame, plot_models
from pyrobma.plots.overview import plot_overview
from pyrobma.plots.pet_peese import pet_peese_frame, plot_pet_peese
from pyrobma.plots.posterior import plot_posterior, posterior_frame
from pyrobma.plots.prior import plot_prior, prior_frame
from pyrobma.plots.priors import plot_priors, priors_frame
from pyrobma.plots.probabilities import plot_probabilities, probabilities_frame
from pyrobma.plots.qq import plot_qq, qq_frame
from pyrobma.plots.radial import plot_radial, radial_frame
from pyrobma.plots.regression import plot_regression, regression_frame
from pyrobma.plots.sensitivity import plot_sensitivity
from pyrobma.plots.terms import plot_terms, terms_frame
from pyrobma.plots.weightfunction import plot_weightfunction, weightfunction_frame
from pyrobma.plots.z_values import plot_z, z_frame

__all__ = [
    "forest_frame",
    "funnel_frame",
    "influence_frame",
    "levels_frame",
    "loo_pit_frame",
    "marginal_means_frame",
    "mcmc_frame",
    "models_frame",
    "pet_peese_frame",
    "plot_forest",
    "plot_funnel",
    "plot_influence",
    "plot_levels",
    "plot_loo_pit",
    "plot_marginal_means",
    "plot_mcmc",
    "plot_models",
    "plot_overview",
    "plot_pet_peese",
    "plot_posterior",
    "plot_prior",
    "plot_priors",
    "plot_probabilities",
    "plot_qq",
    "plot_radial",
    "plot_regression",
    "plot_sensitivity",
    "plot_terms",
    "plot_weightfunction",
    "plot_z",
    "posterior_frame",
    "prior_frame",
    "priors_frame",
    "probabilities_frame",
    "qq_frame",
    "radial_frame",
    "regression_frame",
    "terms_frame",
    "weightfunction_frame",
    "z_frame",
]
