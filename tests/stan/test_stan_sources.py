"""The Stan files themselves: exact densities, codes, translation, flattened copies."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpstan
import pytest
from normal_program import FAMILIES as FAMILY_CODES
from normal_program import MEASURES

from pyrobma.fit.stan_data import MEASURE_CODES
from pyrobma.priors import FAMILIES
from pyrobma.programs import PROGRAMS, stan_file

STAN = Path(__file__).parents[2] / "stan"
STANC = Path(httpstan.__file__).parent / "stanc"
SOURCES = sorted(
    [
        *STAN.glob("*.stan"),
        *STAN.glob("blocks/*.stan"),
        *STAN.glob("functions/*.stanfunctions"),
    ]
)
BLOCKS = ("estimates", "terms")
MEASURE_NAMES = {
    "none": "none",
    "cohens_d": "Cohen's d",
    "fishers_z": "Fisher's z",
    "r": "correlation r",
    "logOR": "log odds ratio",
}


def code(text: str) -> str:
    """The text without comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def names(source: Path) -> str:
    return source.name


def translate(source: Path, folder: Path, *options: str) -> str:
    done = subprocess.run(
        [STANC, *options, f"--o={folder / 'program.cpp'}", source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_there_is_a_source_for_every_program() -> None:
    assert {source.stem for source in STAN.glob("*.stan")} == set(PROGRAMS)


@pytest.mark.parametrize("source", SOURCES, ids=names)
def test_no_statement_drops_constants(source: Path) -> None:
    text = code(source.read_text())
    assert "~" not in text
    assert not re.search(r"_lup[dm]f", text)


def test_codes_of_families_are_those_of_the_stan_functions() -> None:
    text = (STAN / "functions" / "priors.stanfunctions").read_text()
    rows = re.findall(r"^ \*   (\d) (\w+) +(\S.*)$", text, flags=re.MULTILINE)
    in_stan = {name: (int(number), rest) for number, name, rest in rows}
    assert set(in_stan) == set(FAMILIES)
    for name, family in FAMILIES.items():
        number, parameters = in_stan[name]
        assert family.code == number
        assert len(family.parameters) == len(parameters.split(", "))
        if name != "uniform":
            assert family.parameters == tuple(parameters.split(", "))
        # The restatement that the density tests use.
        assert FAMILY_CODES[name.replace("inv_gamma", "inverse_gamma")] == number


def test_codes_of_measures_are_those_of_the_stan_functions() -> None:
    text = (STAN / "functions" / "measures.stanfunctions").read_text()
    comment = " ".join(text.split("Codes: ")[1].split(". ")[0].replace("*", "").split())
    in_stan = {
        name.split(" (")[0]: int(number)
        for number, name in (part.split(" ", 1) for part in comment.split(", "))
    }
    in_stan = {name.rstrip("."): number for name, number in in_stan.items()}
    # Log rate ratios are a unit of their own, which no conversion knows.
    assert MEASURE_CODES["logIRR"] == MEASURE_CODES["none"]
    codes = {m: c for m, c in MEASURE_CODES.items() if m != "logIRR"}
    assert {MEASURE_NAMES[m]: c for m, c in codes.items()} == in_stan
    assert sorted(MEASURES.values()) == sorted(in_stan.values())


@pytest.mark.parametrize("program", PROGRAMS)
def test_compiler_accepts_the_program_without_a_word(
    program: str, tmp_path: Path
) -> None:
    said = translate(STAN / f"{program}.stan", tmp_path, f"--include-paths={STAN}")
    assert said == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_shipped_source_needs_no_other_file(program: str, tmp_path: Path) -> None:
    shipped = stan_file(program)
    assert "#include" not in shipped.read_text()
    assert translate(shipped, tmp_path) == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_shipped_source_is_that_of_the_project(program: str, tmp_path: Path) -> None:
    flat = tmp_path / f"{program}.stan"
    subprocess.run(
        [
            STANC,
            "--auto-format",
            "--canonicalize=includes",
            f"--include-paths={STAN}",
            f"--o={flat}",
            STAN / f"{program}.stan",
        ],
        check=True,
    )
    assert stan_file(program).read_text() == flat.read_text()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_the_two_blocks_and_nothing_else_is_one(program: str) -> None:
    text = (STAN / f"{program}.stan").read_text()
    included = re.findall(r"#include blocks/(\w+)\.stan", text)
    assert tuple(included) == BLOCKS
    assert {source.stem for source in STAN.glob("blocks/*.stan")} == set(BLOCKS)


# Vectors that gradients are a third slower without, if they are not plain arrays. The
# time of counts goes into sums over one true effect at a time, which have none.
PLAIN_ARRAYS = {
    "normal": ("residual_shared", "variance_shared", "load", "residual_alone"),
    "selection": ("mean_alone", "residual_alone", "unit_alone"),
}


@pytest.mark.parametrize("program", PLAIN_ARRAYS)
def test_compiler_keeps_the_vectors_of_the_likelihood_in_plain_arrays(
    program: str, tmp_path: Path
) -> None:
    translate(STAN / f"{program}.stan", tmp_path, "--O1", f"--include-paths={STAN}")
    made = (tmp_path / "program.cpp").read_text()
    gradient = made.split("log_prob_impl(VecR& ")[2]  # the one with derivatives
    gradient = gradient.split("write_array_impl(")[0]
    plain = re.findall(r"var_value<Eigen::Matrix<double,-1,1>>\s+(\w+)", gradient)
    stems = {
        re.sub(r"(_sym\d+_+)+$", "", name).removeprefix("inline_selected_alone_")
        for name in plain
    }
    inside = ("log_selection_independent_at", "log_selection_independent_C")
    wanted = {*PLAIN_ARRAYS[program], "inline_study_means_mean"}
    if program == "selection":
        wanted |= {f"inline_{name}" for name in inside}
    assert wanted <= stems, wanted - stems
