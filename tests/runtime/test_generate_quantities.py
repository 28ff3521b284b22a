"""Generated quantities for the draws of an earlier fit, as CmdStan makes them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cmdstanpy
import numpy as np
import numpy.typing as npt
import pytest

REFERENCE = Path(__file__).parent / "reference"
DATA = {"K": 2}
NAMES = ["a.1", "a.2", "b", "p.1", "p.2", "p.3"]

# z is a sum with a standard normal number, printed with 17 digits.
ROUNDING = 1e-12
# Of a mean of 400 standard normal numbers; the seed is fixed.
FIVE_STANDARD_ERRORS = 5 / 20


class Program(Protocol):
    executable: Path
    library: Path

    def run(
        self, command: str, folder: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]: ...


Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def talk(talking_program: Program, tmp_path: Path) -> Run:
    """Runs `talking` in a directory with data and two chains of a fit."""
    (tmp_path / "data.json").write_text('{"K": 2}')

    def talk(command: str) -> subprocess.CompletedProcess[str]:
        return talking_program.run(f"data file=data.json {command}", tmp_path)

    fit = "random seed=4 output file=fit.csv sig_figs=17 sample num_chains=2"
    assert talk(f"{fit} num_samples=400 num_warmup=150").returncode == 0
    return talk


def columns(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    lines = [line for line in path.read_text().splitlines() if line[:1] != "#"]
    rows = np.array([line.split(",") for line in lines[1:]], dtype=np.float64)
    return dict(zip(lines[0].split(","), rows.T, strict=True))


def write_fit(path: Path, rows: list[str], names: list[str] = NAMES) -> None:
    path.write_text("\n".join([",".join(["lp__", *names]), *rows]) + "\n")


def generated(talk: Run, folder: Path, command: str) -> dict[str, Any]:
    result = talk(f"output file=gq.csv sig_figs=17 generate_quantities {command}")
    assert result.returncode == 0, result.stdout
    return columns(folder / "gq.csv")


def noise(made: dict[str, Any], fit: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Return the standard normal numbers in z."""
    return np.asarray(made["z"] - fit["a.1"] - fit["a.2"] - fit["b"])


def test_one_row_for_each_draw_of_the_fit(talk: Run, tmp_path: Path) -> None:
    made = generated(talk, tmp_path, "fitted_params=fit_1.csv random seed=4")
    fit = columns(tmp_path / "fit_1.csv")
    # Not the parameters, nor the transformed ones.
    assert list(made) == ["z", "seen"]
    assert made["z"].shape == fit["z"].shape
    # What the seed decides in transformed data is as it was in the fit.
    np.testing.assert_array_equal(made["seen"], fit["seen"])
    drawn = noise(made, fit)
    assert abs(drawn.mean()) < FIVE_STANDARD_ERRORS
    assert abs(drawn.std() - 1) < FIVE_STANDARD_ERRORS
    assert np.unique(drawn).size == drawn.size
    text = (tmp_path / "gq.csv").read_text()
    assert (
        "# method = generate_quantities\n"
        "#   generate_quantities\n"
        "#     fitted_params = fit_1.csv\n"
    ) in text


def test_the_seed_decides_and_the_id_does_not(talk: Run, tmp_path: Path) -> None:
    first, again, other, chain = (
        generated(talk, tmp_path, f"fitted_params=fit_1.csv random seed={how}")["z"]
        for how in ("1", "1", "2", "1 id=2")
    )
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).any()
    # So it is in CmdStan, whose service for one chain takes the first stream.
    np.testing.assert_array_equal(first, chain)


@pytest.mark.parametrize("at_once", [1, 2])
def test_chains_of_one_process_have_streams_of_their_own(
    at_once: int, talk: Run, tmp_path: Path
) -> None:
    fits = [columns(tmp_path / f"fit_{chain}.csv") for chain in (1, 2)]
    alone = [
        generated(talk, tmp_path, f"fitted_params=fit_{chain}.csv random seed=1")
        for chain in (1, 2)
    ]
    result = talk(
        f"num_threads={at_once} random seed=1 output file=all.csv sig_figs=17 "
        "generate_quantities num_chains=2 fitted_params=fit.csv"
    )
    assert result.returncode == 0, result.stdout
    together = [columns(tmp_path / f"all_{chain}.csv") for chain in (1, 2)]
    np.testing.assert_array_equal(together[0]["z"], alone[0]["z"])
    # Alone, the second chain has the numbers of the first.
    first, second = (noise(a, f) for a, f in zip(alone, fits, strict=True))
    np.testing.assert_allclose(first, second, rtol=0, atol=ROUNDING)
    assert not np.isclose(noise(together[1], fits[1]), first).any()


def test_warmup_and_optimum_are_draws_too(talk: Run, tmp_path: Path) -> None:
    fit = "sample num_warmup=30 num_samples=20 save_warmup=1"
    talk(f"output file=w.csv sig_figs=17 {fit}")
    assert generated(talk, tmp_path, "fitted_params=w.csv")["z"].shape == (50,)
    talk("output file=best.csv sig_figs=17 optimize")
    assert generated(talk, tmp_path, "fitted_params=best.csv")["z"].shape == (1,)


def test_the_file_of_a_fit_may_have_any_name(talk: Run, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "fit_1.csv", tmp_path / "fit")
    assert generated(talk, tmp_path, "fitted_params=fit")["z"].shape == (400,)


def test_a_rejected_row_is_nan_and_its_reason_is_on_the_console(
    talk: Run, tmp_path: Path
) -> None:
    rows = ["-3,0.5,-0.5,1,0.2,0.3,0.5", "-9,0,0,60,0.2,0.3,0.5"]
    write_fit(tmp_path / "two.csv", [*rows, rows[0]])
    result = talk("output file=gq.csv generate_quantities fitted_params=two.csv")
    assert result.returncode == 0
    assert "no prediction for 60" in result.stdout
    assert np.isnan(columns(tmp_path / "gq.csv")["z"]).tolist() == [False, True, False]


GOOD = "-3,0.5,-0.5,1,0.2,0.3,0.5"


@pytest.mark.parametrize(
    ("names", "rows", "sentences"),
    [
        (NAMES, [], ["line 1", "found none"]),
        (["a.1", "b"], [], ["line 1", 'column 3 should be "a.2" and is "b"']),
        (NAMES[:4], [], ["line 1", 'column 6 should be "p.2" and is no more']),
        (NAMES, [GOOD, GOOD[:-4]], ["line 3", "expected 7 values; found 6"]),
        (NAMES, [GOOD, GOOD.replace("1", "x")], ["line 3", '"b"', 'found "x"']),
        (NAMES, [GOOD, "-3,0,0,-1,0.2,0.3,0.5"], ["draw 2", "Lower bounded variable"]),
        (NAMES, ["-3,0,0,1,0.2,0.3,0.9"], ["draw 1", "simplex", "sig_figs=17"]),
    ],
    ids=["empty", "other", "fewer", "short", "word", "bound", "simplex"],
)
def test_a_file_that_is_no_fit_of_the_program_is_explained(
    names: list[str], rows: list[str], sentences: list[str], talk: Run, tmp_path: Path
) -> None:
    write_fit(tmp_path / "bad.csv", rows, names)
    result = talk("output file=gq.csv generate_quantities fitted_params=bad.csv")
    assert_failure(result, ["fitted_params", *sentences])


def test_what_cannot_be_is_refused(talk: Run, tmp_path: Path) -> None:
    before = (tmp_path / "fit_1.csv").read_text()
    result = talk("output file=./fit_1.csv generate_quantities fitted_params=fit_1.csv")
    assert_failure(result, ["fit_1.csv", "is the output file too"])
    assert (tmp_path / "fit_1.csv").read_text() == before
    result = talk("output file=gq.csv generate_quantities fitted_params=no.csv")
    assert_failure(result, ['"no.csv"', "No such file"])


def test_a_program_that_generates_nothing_says_so(run: Run, tmp_path: Path) -> None:
    shutil.copy(REFERENCE / "default.csv", tmp_path / "fit.csv")
    command = "generate_quantities fitted_params=fit.csv"
    result = run(f"data file=data.json output file=gq.csv {command}")
    assert_failure(result, ["generates nothing", "no generated quantities"])


def assert_failure(
    result: subprocess.CompletedProcess[str], sentences: list[str]
) -> None:
    assert result.returncode == 1
    shown = [line for line in result.stdout.splitlines() if line[:2] in ("Er", "Ex")]
    assert len(shown) == 1, result.stdout
    for sentence in sentences:
        assert sentence in shown[0]


def test_cmdstanpy_generates_from_a_fit(talking_program: Program) -> None:
    model = cmdstanpy.CmdStanModel(exe_file=str(talking_program.executable))
    fit = model.sample(
        DATA,
        chains=2,
        seed=7,
        iter_warmup=150,
        iter_sampling=100,
        sig_figs=17,
        show_progress=False,
    )
    made = model.generate_quantities(DATA, fit, seed=8, sig_figs=17)
    assert made.column_names == ("z", "seen")
    z = made.draws(inc_sample=False)[:, :, 0]
    assert z.shape == (100, 2)
    drawn = z - fit.draws()[:, :, list(fit.column_names).index("ab")]
    assert abs(drawn[:, 0].mean()) < 2 * FIVE_STANDARD_ERRORS
    both = made.draws_pd(inc_sample=True)
    assert {"ab", "z", "b"} <= set(both.columns)
    best = model.optimize(DATA, seed=7, sig_figs=17)
    assert model.generate_quantities(DATA, best, seed=8).draws().shape == (1, 1, 2)


def test_cmdstanpy_shows_why_nothing_was_generated(reference_program: Program) -> None:
    model = cmdstanpy.CmdStanModel(exe_file=str(reference_program.executable))
    data = str(REFERENCE / "data.json")
    fit = model.sample(data, chains=1, seed=7, iter_sampling=20, show_progress=False)
    with pytest.raises(RuntimeError, match="has no generated quantities"):
        model.generate_quantities(data, fit)
