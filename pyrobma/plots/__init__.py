"""Stage 7: figures, each with the frame it draws."""

from pyrobma.plots.forest import forest_frame, plot_forest
from pyrobma.plots.funnel import funnel_frame, plot_funnel
from pyrobma.plots.mcmc import mcmc_frame, plot_mcmc
from pyrobma.plots.models import models_frame, plot_models
from pyrobma.plots.overview import plot_overview
from pyrobma.plots.pet_peese import pet_peese_frame, plot_pet_peese
from pyrobma.plots.posterior import plot_posterior, posterior_frame
from pyrobma.plots.probabilities import plot_probabilities, probabilities_frame
from pyrobma.plots.weightfunction import plot_weightfunction, weightfunction_frame

__all__ = [
    "forest_frame",
    "funnel_frame",
    "mcmc_frame",
    "models_frame",
    "pet_peese_frame",
    "plot_forest",
    "plot_funnel",
    "plot_mcmc",
    "plot_models",
    "plot_overview",
    "plot_pet_peese",
    "plot_posterior",
    "plot_probabilities",
    "plot_weightfunction",
    "posterior_frame",
    "probabilities_frame",
    "weightfunction_frame",
]
