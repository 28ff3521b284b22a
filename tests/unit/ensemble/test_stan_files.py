"""Exported models say to other software all that it takes to find the same numbers.

What is read here are the files alone, by the clients of CmdStan and BridgeStan.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import bridgestan
import cmdstanpy
import numpy as np
import pytest
from jsonschema import Draft202012Validator

import pyrobma as rb
from pyrobma.commands import main
from pyrobma.programs import executable, library

SCHEMAS = Path(__file__).parents[3] / "stan" / "schema"

# One evaluation in the same program: sums in the same order.
DENSITY_RTOL = 1e-12
# Logarithms and back again.
POINT_ATOL = 1e-12
# Monte Carlo errors that a number may be off by.
ERRORS = 5.0
# The error of the trapezoidal rule over what the log marginal likelihoods are held to.
INTEGRAL_ATOL = 2e-3

Index = dict[str, Any]


@pytest.fixture(scope="module")
def clustered() -> rb.RobmaFit:
    """Models of both programs, with clusters, fixed ones among them."""
    return rb.robma(
        d=[0.31, 0.05, 0.42, 0.18, 0.55, 0.27],
        se=[0.12, 0.15, 0.2, 0.11, 0.25, 0.14],
        study_ids=[1, 1, 2, 3, 3, 4],
        priors_bias=[
            rb.prior_weightfunction("one-sided", steps=[0.05], alpha=[1, 1]),
            rb.prior_PET("cauchy", location=0, scale=1, lower=0),
        ],
        priors_bias_null=rb.prior_none(),
        cores=1,
        seed=1,
    )


@pytest.fixture(scope="module")
def raw() -> rb.RobmaFit:
    """Models with a moderator of raw effects, which programs get in another unit."""
    return rb.robma(
        y=[1210.0, 790, 1530, 1040, 660],
        se=[300.0, 410, 350, 290, 380],
        mods={"dose": [1.0, 2, 3, 2, 1]},
        priors_effect=rb.prior("normal", mean=0, sd=1000),
        priors_heterogeneity=rb.prior("normal", mean=0, sd=500, lower=0),
        priors_mods={"dose": rb.prior("normal", mean=0, sd=300)},
        priors_bias=None,
        cores=1,
        seed=2,
    )


@pytest.fixture(scope="module", params=["clustered", "raw"])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    target = tmp_path_factory.mktemp("stan") / "files"
    request.getfixturevalue(request.param).write_stan_json(target)
    return target


def read(path: Path) -> Index:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return dict(json.loads(path.read_text(), parse_constant=refuse))


def models(folder: Path) -> list[Index]:
    return list(read(folder / "ensemble.json")["models"])


def opened(folder: Path, entry: Index) -> bridgestan.StanModel:
    return bridgestan.StanModel(
        library(entry["program"]), str(folder / entry["data"]), warn=False
    )


def flat(values: Index) -> list[float]:
    return np.hstack([np.ravel(v) for v in values.values()] or [[]]).tolist()


def test_data_are_those_that_the_schema_allows(folder: Path) -> None:
    for entry in models(folder):
        schema = read(SCHEMAS / f"{entry['program']}.json")
        Draft202012Validator(schema).validate(read(folder / entry["data"]))


def test_bridgestan_finds_the_density_and_gradient_at_the_point(folder: Path) -> None:
    for entry in models(folder):
        model, point = opened(folder, entry), read(folder / entry["point"])
        assert len(point["names"]) == model.param_unc_num()
        x = np.array(point["unconstrained"])
        if not len(x):
            found = model.log_density(x, propto=False)
            assert point["gradient"] == []
        else:
            assert point["names"] == model.param_unc_names()
            found, gradient = model.log_density_gradient(x, propto=False)
            np.testing.assert_allclose(gradient, point["gradient"], rtol=DENSITY_RTOL)
        assert found == pytest.approx(point["log_density"], rel=DENSITY_RTOL)


def test_inits_and_outputs_are_the_point(folder: Path) -> None:
    for entry in models(folder):
        model, point = opened(folder, entry), read(folder / entry["point"])
        x = np.array(point["unconstrained"])
        own, every = model.param_num(), model.param_constrain(x, include_tp=True)
        inits = read(folder / entry["inits"])
        assert every[:own] == pytest.approx(flat(inits), abs=POINT_ATOL)
        assert every[own:] == pytest.approx(flat(point["outputs"]), abs=POINT_ATOL)
        if len(x):
            found = model.param_unconstrain_json((folder / entry["inits"]).read_text())
            assert found == pytest.approx(x, abs=POINT_ATOL)


def integral(model: bridgestan.StanModel, around: list[float]) -> float:
    """Log marginal likelihood by the trapezoidal rule, for one or two parameters."""
    spans = {"mu_free": (-2.5, 2.5), "tau_free": (-9.0, 2.5)}
    names = [name.partition(".")[0] for name in model.param_unc_names()]
    axes, width = [], 1.0
    for name, x in zip(names, around, strict=True):
        low, high = spans.get(name, (-6.0, 6.0))
        low, high = (low + x, high + x) if name != "tau_free" else (low, high)
        axis = np.linspace(low, high, 151)
        axes.append(axis)
        width *= axis[1] - axis[0]
    logs = [
        model.log_density(np.array(x), propto=False) for x in itertools.product(*axes)
    ]
    return float(np.logaddexp.reduce(logs) + np.log(width))


def test_integrals_of_the_density_are_the_marginal_likelihoods(folder: Path) -> None:
    dimensions = set()
    for entry in models(folder):
        point = read(folder / entry["point"])
        D = len(point["names"])
        dimensions.add(D)
        if D > 2:
            continue
        model = opened(folder, entry)
        found = integral(model, point["unconstrained"]) if D else point["log_density"]
        tolerance = ERRORS * entry["logml_mcse"] + (INTEGRAL_ATOL if D else 1e-9)
        expected = pytest.approx(entry["logml"], abs=tolerance)
        assert found + entry["log_constant"] == expected, entry["model"]
    assert {0, 1, 2} <= dimensions


def test_index_gives_the_probabilities_and_bayes_factors(folder: Path) -> None:
    index = read(folder / "ensemble.json")
    logml, prior, post = (
        np.array([entry[name] for entry in index["models"]])
        for name in ("logml", "prior_prob", "post_prob")
    )
    weight = prior * np.exp(logml - logml.max())
    assert post == pytest.approx(weight / weight.sum(), rel=1e-9)
    assert len(post) == index["number_of_models"]
    for component, told in index["inclusion"].items():
        member = np.array([component in e["alternative"] for e in index["models"]])
        odds = weight[member].sum() / weight[~member].sum()
        prior_odds = prior[member].sum() / prior[~member].sum()
        assert told["inclusion_bf"] == pytest.approx(odds / prior_odds, rel=1e-9)


@pytest.mark.parametrize("name", ["clustered", "raw"])
def test_cmdstanpy_finds_the_posterior_from_the_files(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fit = request.getfixturevalue(name)
    number = len(fit.fits)  # that with most unknowns
    fit.write_stan_json(tmp_path, models=[number])
    (entry,) = models(tmp_path)
    model = cmdstanpy.CmdStanModel(exe_file=str(executable(entry["program"])))
    chains = model.sample(
        str(tmp_path / entry["data"]), inits=str(tmp_path / entry["inits"]), chains=2,
        iter_warmup=500, iter_sampling=1500, adapt_delta=0.95, seed=1,
        show_progress=False,
    )  # fmt: skip
    table = chains.draws_pd()
    for unknown, how in entry["unknowns"].items():
        expected = fit.fits[number - 1].values(unknown)
        found = table[how["column"]] * how["factor"]
        # A tenth of an effective draw for each draw, in both.
        error = np.std(expected) * np.sqrt(10 / found.size + 10 / expected.size)
        assert found.mean() == pytest.approx(np.mean(expected), abs=ERRORS * error)


def test_data_are_what_stan_data_returns(
    clustered: rb.RobmaFit, tmp_path: Path
) -> None:
    clustered.write_stan_json(tmp_path)
    for entry in models(tmp_path):
        given = clustered.stan_data(entry["model"])
        assert given.program == entry["program"]
        assert json.loads(given.to_json()) == read(tmp_path / entry["data"])
        assert given.data["K"] == 6


def test_a_coefficient_is_a_column_of_coef(raw: rb.RobmaFit) -> None:
    given = raw.stan_data(len(raw.fits))
    assert given.columns == {
        "mu": "mu", "tau": "tau", "rho": "rho", "dose": "coef[1]",
    }  # fmt: skip
    # The median standard error is the unit, and dose has none of its own.
    assert given.factors == {"mu": 350, "tau": 350, "rho": 1, "dose": 350}
    assert given.log_constant == pytest.approx(-5 * np.log(350))
    assert given.data["se"] == pytest.approx(
        [300 / 350, 410 / 350, 1, 290 / 350, 380 / 350]
    )


def test_chosen_models_are_written_alone(
    clustered: rb.RobmaFit, tmp_path: Path
) -> None:
    clustered.write_stan_json(tmp_path / "some", models=[3, 1, 3])
    assert {path.name for path in (tmp_path / "some").iterdir()} == {
        "ensemble.json",
        *(f"model_{n}.{k}.json" for n in (1, 3) for k in ("data", "inits", "point")),
    }
    assert [entry["model"] for entry in models(tmp_path / "some")] == [3, 1]


@pytest.mark.parametrize("number", [0, 13, -1, 1.5, True, "1"])
def test_a_model_that_is_not_there_is_refused(
    clustered: rb.RobmaFit, tmp_path: Path, number: Any
) -> None:
    match = rf"^model: expected the number of a model, 1 to 12; got {number!r}\.$"
    with pytest.raises(rb.DataError, match=match):
        clustered.stan_data(number)
    with pytest.raises(rb.DataError, match=match):
        clustered.write_stan_json(tmp_path, models=[number])
    assert not list(tmp_path.iterdir())


def test_a_number_is_no_list_of_models(clustered: rb.RobmaFit, tmp_path: Path) -> None:
    with pytest.raises(rb.DataError, match=r"^models: expected a list .* got 3\.$"):
        clustered.write_stan_json(tmp_path, models=3)  # type: ignore[arg-type]


def test_a_loaded_fit_writes_the_same_files(
    clustered: rb.RobmaFit, tmp_path: Path
) -> None:
    clustered.save(tmp_path / "fit.pyrobma")
    loaded = rb.load(tmp_path / "fit.pyrobma")
    for fit, name in ((clustered, "one"), (loaded, "other")):
        fit.write_stan_json(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_text() == (tmp_path / "other" / path.name).read_text()


def test_command_line_writes_them_and_takes_them_away_again(tmp_path: Path) -> None:
    table, out = tmp_path / "data.csv", tmp_path / "out"
    table.write_text("d,se\n0.3,0.2\n0.1,0.1\n0.4,0.3\n")
    command = [
        "fit", str(table), "--d", "d", "--se", "se", "--no-bias", "--no-figures",
        "--quiet", "--seed", "1", "--cores", "1", "--out", str(out),
    ]  # fmt: skip
    assert main([*command, "--stan"]) == 0
    assert len(models(out / "stan")) == 4
    files = json.loads((out / "settings.json").read_text())["files"]
    assert "stan/model_4.data.json" in files
    fit = rb.load(out / "fit.pyrobma")
    assert read(out / "stan" / "model_4.data.json") == json.loads(
        fit.stan_data(4).to_json()
    )
    resumed = ["--overwrite", "--resume", str(out / "fit.pyrobma")]
    assert main([*command, *resumed]) == 0
    assert not (out / "stan").exists()


def test_a_term_of_heterogeneity_has_the_column_that_the_program_gives_it() -> None:
    fit = rb.robma(
        d=[0.3, 0.1, 0.5, 0.2, 0.4], se=[0.1, 0.2, 0.15, 0.1, 0.2],
        mods={"dose": [1.0, 2, 3, 2, 1]}, scale={"dose": [1.0, 2, 3, 2, 1]},
        priors_bias=None, priors_effect_null=None, priors_heterogeneity_null=None,
        test_mods=False, test_scale=False, cores=1, seed=1,
    )  # fmt: skip
    given = fit.stan_data(1)
    assert given.columns == {
        "mu": "mu", "tau": "tau", "rho": "rho", "dose": "coef[1]",
        "tau ~ dose": "tau_coef[1]",
    }  # fmt: skip
    density = bridgestan.StanModel(library(given.program), given.to_json(), warn=False)
    names = density.param_names(include_tp=True)
    known = [n.replace(".", "[") + "]" * ("." in n) for n in names]
    assert set(given.columns.values()) <= set(known)
