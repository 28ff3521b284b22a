"""Diagnostics of Markov chains: the numbers drawn, and that they are drawn."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.errors import DataError
from pyrobma.plots.mcmc import mcmc_frame, plot_mcmc

# A trapezoid over 256 points of a density that ends at the sample's ends.
TRAPEZOID = 0.01
# Fast Fourier transforms of 50 numbers.
ROUNDING = 1e-10
SPIKE = (rb.prior("spike", location=0),)


@pytest.fixture
def ensemble(made):
    return made.ensemble(made.space(), [-2.0, 0.5, -1.0, 0.9])


def test_a_trace_holds_every_draw_in_order(ensemble):
    frame = mcmc_frame(ensemble, 4)
    assert list(frame["parameter"].unique()) == ["mu", "tau", "rho"]
    some = frame[(frame["parameter"] == "tau") & (frame["chain"] == 2)]
    np.testing.assert_array_equal(some["y"], ensemble.fits[3].draws("tau")[1])
    np.testing.assert_array_equal(some["x"], np.arange(1, 51))


def test_without_a_number_the_most_probable_sampled_model_is_shown(made):
    # The first model, which has no parameters, is by far the most probable.
    fit = made.ensemble(made.space(), [9.0, 0.5, -1.0, 0.4])
    np.testing.assert_array_equal(mcmc_frame(fit)["y"], mcmc_frame(fit, 2)["y"])
    one = rb.model_space(effect_null=SPIKE, heterogeneity_null=SPIKE)
    with pytest.raises(DataError, match="expected a model with free parameters"):
        plot_mcmc(made.ensemble(one, [0.0]))


def test_ranks_of_all_chains_are_uniform(ensemble):
    frame = mcmc_frame(ensemble, 4, kind="rank", parameters=["mu"])
    steps = frame[frame["x"] < 1]
    np.testing.assert_allclose(steps.groupby("x")["y"].mean(), 1)
    # Chains that never meet fill one half each.
    apart = np.arange(100.0).reshape(2, 50)
    fit = ensemble.fits[3]
    object.__setattr__(fit.chains, "draws", np.repeat(apart[:, :, None], 3, axis=2))
    heights = mcmc_frame(ensemble, 4, kind="rank", parameters=["mu"])
    low = heights[(heights["chain"] == 1) & (heights["x"] < 0.45)]
    np.testing.assert_allclose(low["y"], 2)


def test_autocorrelations_are_those_of_the_definition(ensemble):
    frame = mcmc_frame(ensemble, 4, kind="autocorrelation", parameters=["mu"])
    chain = ensemble.fits[3].draws("mu")[0]
    centred = chain - chain.mean()
    wanted = [1.0, *(centred[k:] @ centred[:-k] / (centred @ centred) for k in (1, 2))]
    found = frame[frame["chain"] == 1]["y"].iloc[:3]
    np.testing.assert_allclose(found, wanted, atol=ROUNDING)


def test_densities_integrate_to_one(ensemble):
    frame = mcmc_frame(ensemble, 4, kind="density")
    for _, curve in frame.groupby(["parameter", "chain"]):
        assert np.trapezoid(curve["y"], curve["x"]) == pytest.approx(1, abs=TRAPEZOID)


def test_weights_that_vary_have_panels_of_their_own(made):
    spike = (rb.prior("spike", location=0),)
    bias = rb.prior_weightfunction("one.sided", steps=[0.05, 0.5], alpha=[1, 1, 1])
    space = rb.model_space(
        effect=(), effect_null=spike, heterogeneity=(), heterogeneity_null=spike,
        bias=(bias,), bias_null=(),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    omega = np.sort(rng.random((2, 50, 3)), axis=2)[:, :, ::-1]
    omega[:, :, 0] = 1.0
    fit = made.fit(space.models[0], draws={"a": omega[:, :, 1], "b": omega[:, :, 2]})
    object.__setattr__(fit.chains, "names", ())
    object.__setattr__(fit.chains, "omega", omega)
    plain = made.ensemble(made.space(), [0.0] * 4)
    found = rb.RobmaFit(plain.task, space, (fit,), plain.settings, 1)
    frame = mcmc_frame(found, 1, parameters=["omega"])
    assert list(frame["parameter"].unique()) == ["omega[0.05,0.5]", "omega[0.5,1]"]
    single = mcmc_frame(found, 1, parameters=["omega[0.5,1]"])
    np.testing.assert_array_equal(single["y"], omega[:, :, 2].ravel())


def test_what_has_no_chains_is_refused_with_a_reason(ensemble):
    with pytest.raises(DataError, match=r"^model: .*no Markov chains"):
        mcmc_frame(ensemble, 1)
    with pytest.raises(DataError, match=r"^model: .*1 to 4; got 5"):
        mcmc_frame(ensemble, 5)
    with pytest.raises(DataError, match=r"^kind: "):
        mcmc_frame(ensemble, 4, kind="pairs")
    with pytest.raises(DataError, match=r"^parameters: .*got 'PET'"):
        mcmc_frame(ensemble, 4, parameters=["mu", "PET"])
    with pytest.raises(DataError, match=r"^parameters: expected at least one"):
        mcmc_frame(ensemble, 4, parameters=[])


@pytest.mark.parametrize("kind", ["trace", "rank", "autocorrelation", "density"])
def test_the_figure_has_a_panel_per_parameter(ensemble, kind):
    figure = plot_mcmc(ensemble, 4, kind=kind)
    assert figure.data["panel"].nunique() == 3
    figure.save(buffer := BytesIO(), format="png", verbose=False)
    assert buffer.getbuffer().nbytes
