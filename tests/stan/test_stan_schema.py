"""``stan/schema`` describes the data that the programs take, and no others."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bridgestan
import httpstan
import pytest
from jsonschema import Draft202012Validator

import pyrobma as rb
from pyrobma.effects import effect_sizes
from pyrobma.fit.exported import to_json
from pyrobma.fit.quadrature import Rule
from pyrobma.fit.stan_data import program, stan_data
from pyrobma.models import Task, model
from pyrobma.programs import PROGRAMS, library, schema_file

STAN = Path(__file__).parents[2] / "stan"
STANC = Path(httpstan.__file__).parent / "stanc"

Data = dict[str, Any]


def schema(name: str) -> Data:
    return dict(json.loads((STAN / "schema" / f"{name}.json").read_text()))


def example(name: str) -> Data:
    return dict(json.loads((STAN / "examples" / name / "data.json").read_text()))


def accepts(name: str, data: Data) -> bool:
    return bool(Draft202012Validator(schema(name)).is_valid(data))


def program_accepts(name: str, data: Data) -> bool:
    try:
        bridgestan.StanModel(library(name), json.dumps(data), warn=False)
    except RuntimeError:
        return False
    return True


def stanc(name: str, *options: str) -> str:
    return subprocess.run(
        [STANC, *options, f"--include-paths={STAN}", STAN / f"{name}.stan"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def resolved(name: str, part: Data) -> Data:
    if "$ref" in part:
        part = schema(name)["$defs"][part["$ref"].rpartition("/")[2]]
    return dict(part)


def shape(name: str, part: Data) -> tuple[str, int]:
    """The type and the number of dimensions that a schema allows."""
    part = resolved(name, part)
    if part.get("type") == "array":
        kind, dimensions = shape(name, part["items"])
        return kind, dimensions + 1
    values = [one.get("type") for one in part.get("anyOf", [part])]
    if "integer" in values or all(isinstance(v, int) for v in part.get("enum", [""])):
        return "int", 0
    assert "number" in values, part
    return "real", 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_schema_is_one_of_the_draft_that_it_names(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_package_carries_the_schema(name: str) -> None:
    assert json.loads(schema_file(name).read_text()) == schema(name)


def test_there_is_a_schema_for_every_program() -> None:
    assert {path.stem for path in (STAN / "schema").iterdir()} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_schema_has_the_variables_types_and_dimensions_of_the_program(
    name: str,
) -> None:
    declared = {
        variable: (str(said["type"]), int(said["dimensions"]))
        for variable, said in json.loads(stanc(name, "--info"))["inputs"].items()
    }
    properties = schema(name)["properties"]
    assert {v: shape(name, part) for v, part in properties.items()} == declared
    assert schema(name)["required"] == list(declared)


@pytest.mark.parametrize("name", PROGRAMS)
def test_schema_quotes_the_declarations_of_the_program(name: str) -> None:
    text = stanc(name, "--auto-format", "--canonicalize=includes")
    block = re.sub(r"//[^\n]*", "", text.partition("\ndata {")[2].partition("\n}")[0])
    declared = [" ".join(one.split()).rpartition(" ") for one in block.split(";")[:-1]]
    assert {v: kind for kind, _, v in declared} == {
        v: part["$comment"] for v, part in schema(name)["properties"].items()
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_schema_describes_every_variable(name: str) -> None:
    for variable, part in schema(name)["properties"].items():
        assert part["description"].endswith("."), variable


# The likelihood of counts does not use them.
CRUDE = ("y", "se", "data_measure")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "normal"])
def test_what_all_programs_take_is_described_in_the_same_words(name: str) -> None:
    normal, other = schema("normal"), schema(name)
    for variable, said in normal["properties"].items():
        mine = other["properties"][variable]
        if name == "counts" and variable in CRUDE:
            mine = mine | {"description": said["description"]}
        assert mine == said, variable
    assert other["allOf"][: len(normal["allOf"])] == normal["allOf"]
    assert other["$defs"] == normal["$defs"]


# ---- data that are right ------------------------------------------------------
@pytest.mark.parametrize("name", PROGRAMS)
def test_examples_are_accepted(name: str) -> None:
    assert accepts(name, example(name))


SPIKE, ONE = (rb.prior("spike", location=x) for x in (0, 1))
FREE = {"mu": rb.prior("normal", mean=0, sd=1), "tau": rb.prior("exponential", rate=2)}
WEIGHTS = {
    "falling": rb.prior_weightfunction("two-sided", steps=[0.05, 0.1], alpha=[1, 1, 1]),
    "valley": rb.prior_weightfunction(
        "one-sided", steps=[0.05, 0.6, 0.95], alpha1=[1, 1], alpha2=[1, 1, 1]
    ),
    "fixed": rb.prior_weightfunction("one.sided.fixed", steps=[0.05], omega=[1, 0.3]),
}
MODELS = {
    "free": model(**FREE),
    "fixed": model(mu=SPIKE, tau=SPIKE),
    "truncated": model(
        mu=rb.prior("student_t", location=0, scale=1, df=3, lower=0),
        tau=rb.prior("uniform", a=0, b=2),
        rho=rb.prior("beta", alpha=2, beta=1, lower=0.2),
    ),
    "clusters alone": model(mu=SPIKE, tau=FREE["tau"], rho=ONE),
    "PET": model(**FREE, bias=rb.prior_PET("cauchy", location=0, scale=1, lower=0)),
    "PEESE": model(**FREE, bias=rb.prior_PEESE("lognormal", meanlog=0, sdlog=1)),
    **{f"{kind} weights": model(**FREE, bias=w) for kind, w in WEIGHTS.items()},
}  # fmt: skip
MODELS["weights and clusters"] = model(
    **FREE, rho=rb.prior("beta", alpha=1, beta=1), bias=WEIGHTS["falling"]
)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("measure", ["d", "y"])
def test_data_of_every_kind_of_model_are_accepted(kind: str, measure: str) -> None:
    effects = effect_sizes(
        **{measure: [0.3, 0.1, 0.5, 0.2]}, se=[0.2, 0.1, 0.3, 0.2],
        study_ids=[1, 1, 2, 3],
    )  # fmt: skip
    spec = MODELS[kind]
    task = Task(effects, "none" if measure == "y" else "cohens_d")
    given = json.loads(to_json(stan_data(task, spec, Rule(0.5, 5.0))))
    assert program_accepts(program(task, spec), given)
    assert accepts(program(task, spec), given)


@pytest.mark.parametrize(
    ("size", "baseline"),
    [
        ("n", "conditional"),
        ("n", rb.prior("beta", alpha=1, beta=1)),
        ("t", "conditional"),
        ("t", "unit information"),
    ],
)
@pytest.mark.parametrize("clusters", [None, [1, 1, 2, 3]])
def test_data_of_every_kind_of_counts_are_accepted(
    clusters: list[int] | None, size: str, baseline: Any
) -> None:
    plan = rb.robma(
        x1=[0, 3, 0, 4], x2=[2, 5, 0, 0], study_ids=clusters, baseline=baseline,
        only_priors=True, **{f"{size}{group}": [20, 31, 25, 18] for group in (1, 2)},
    )  # fmt: skip
    for spec in plan.space:
        rule = Rule(0.5, 5.0) if clusters else None
        given = json.loads(to_json(stan_data(plan.task, spec, rule)))
        assert program(plan.task, spec) == "counts"
        assert program_accepts("counts", given)
        assert accepts("counts", given)


def test_table_of_one_knot_is_accepted() -> None:
    data = example("counts") | {
        "knots": [1] * 4, "N": 4,
        **{name: [0.0] * 4 for name in ("knot", "log_h", "slope", "curvature")},
    }  # fmt: skip
    assert program_accepts("counts", data)
    assert accepts("counts", data)


def test_data_with_moderators_are_accepted() -> None:
    assert accepts("normal", with_moderator(example("normal")))
    assert program_accepts("normal", with_moderator(example("normal")))


def with_moderator(data: Data) -> Data:
    return data | {
        "P": 1,
        "x": [[float(i)] for i in range(data["K"])],
        "family": [*data["family"], 1],
        "par": [*data["par"], [0, 1, 0]],
        "low": [*data["low"], "-Inf"],
        "high": [*data["high"], "Inf"],
    }


@pytest.mark.parametrize("empty", [[], [[]] * 56])
def test_columns_that_are_not_there_may_be_written_in_two_ways(empty: Any) -> None:
    data = example("normal") | {"x": empty, "bias": empty}
    assert accepts("normal", data)
    assert program_accepts("normal", data)


# ---- data that are wrong ------------------------------------------------------
Change = Callable[[Data], None]


def put(variable: str, *place: Any) -> Change:
    """A change that puts a value (the last argument) at a place of a variable."""

    def change(data: Data) -> None:
        *where, value = place
        target: Any = data
        for step in (variable, *where)[:-1]:
            target = target[step]
        target[(variable, *where)[-1]] = value

    return change


def several(*changes: Change) -> Change:
    def change(data: Data) -> None:
        for one in changes:
            one(data)

    return change


WRONG: dict[str, Change] = {
    **{
        f"{variable} {value}": put(variable, value)
        for variable, values in {
            "K": (0, 56.5, [56]), "L": (0,), "data_measure": (-1, 5),
            "prior_measure": (0, 5), "exact_mapping": (2,), "prior_only": (-1,),
            "P": (-1, 1), "B": (-1, 1), "y": (0.1, [], None), "se": ([],),
            "family": ([1, 6],),
        }.items()
        for value in values
    },
    "no estimates": lambda data: data.pop("y"),
    "no family": lambda data: data.pop("family"),
    "an estimate in words": put("y", 0, "zero"),
    "an infinite estimate": put("y", 0, "Infinity"),
    "a negative standard error": put("se", 0, -0.1),
    "a standard error of 0": put("se", 0, 0),
    "a cluster that begins at 0": put("cluster_start", 0, 0),
    "an empty cluster": put("cluster_size", 0, 0),
    "an unknown family": put("family", 0, 10),
    "a family in words": put("family", 0, "normal"),
    "two parameters": put("par", 0, [0, 1]),
    "an infinite parameter": put("par", 0, [0, "Infinity", 0]),
    "an end in words": put("low", 0, "minus infinity"),
    "negative tau": several(put("family", 1, 1), put("low", 1, -1)),
    "tau fixed below 0": several(put("family", 1, 0), put("par", 1, [-1, 0, 0])),
    "negative rho": several(put("family", 2, 1), put("low", 2, -0.5)),
    "rho above 1": several(put("family", 2, 1), put("high", 2, 1.5)),
    "rho fixed above 1": several(put("family", 2, 0), put("par", 2, [1.2, 0, 0])),
    "a moderator without values": lambda data: data.update(
        with_moderator(data), x=[[]] * data["K"]
    ),
}  # fmt: skip
WRONG_SELECTION: dict[str, Change] = {
    **{
        f"{variable} {value}": put(variable, value)
        for variable, values in {
            "effect_direction": (0, 2), "J": (1,), "sides": (0, 3), "cut": ([],),
            "omega_family": (-1, 3, 0, 2), "omega_fixed": ([1, 1, 1],), "J1": (-1, 0),
            "alpha1": ([],), "alpha2": ([1.0],), "Q": (0,), "node": ([],),
        }.items()
        for value in values
    },
    "negative alpha": put("alpha1", 0, -1.0),
    "no weights at all": several(
        put("omega_family", 0), put("omega_fixed", [0, 0, 0]), put("J1", 0),
        put("alpha1", []),
    ),
    "a weight above 1": several(
        put("omega_family", 0), put("omega_fixed", [1, 0.5, 1.5]), put("J1", 0),
        put("alpha1", []),
    ),
    "a two-sided valley": several(
        put("omega_family", 2), put("sides", 2), put("J1", 2), put("alpha1", [1, 1]),
        put("alpha2", [1, 1]),
    ),
}  # fmt: skip


WRONG_COUNTS: dict[str, Change] = {
    **{
        f"{variable} {value}": put(variable, value)
        for variable, values in {
            "knots": (80, []), "N": (0, 1.5), "refinement": (0, 1.5), "Q": (0,),
            "node": ([],), "log_weight": ([], 0.0), "knot": ([], None),
            "log_h": ([],), "slope": ([],), "curvature": ([],),
        }.items()
        for value in values
    },
    "no tables": lambda data: data.pop("log_h"),
    "a study without a table": put("knots", 0, 0),
    "an impossible study": put("log_h", 0, "-Infinity"),
    "a slope in words": put("slope", 0, "steep"),
    "an infinite knot": put("knot", 0, "-Infinity"),
    "an infinite curvature": put("curvature", 0, "-Infinity"),
}  # fmt: skip
OWN_WRONG = {"selection": WRONG_SELECTION, "counts": WRONG_COUNTS}


@pytest.mark.parametrize(
    ("name", "what"),
    [(name, what) for name in PROGRAMS for what in [*WRONG, *OWN_WRONG.get(name, ())]],
)
def test_schema_refuses_what_the_program_refuses(name: str, what: str) -> None:
    data = copy.deepcopy(example(name))
    (WRONG | OWN_WRONG.get(name, {}))[what](data)
    assert not program_accepts(name, data)
    assert not accepts(name, data)


@pytest.mark.parametrize("name", PROGRAMS)
def test_schema_refuses_a_variable_that_the_program_would_overlook(name: str) -> None:
    data = example(name) | {"prior_olny": 1}
    assert program_accepts(name, data)
    assert not accepts(name, data)
