"""Programs that are missing or die: a clear error, and completed fits are kept."""

from __future__ import annotations

import shlex
from functools import partial

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.programs import executable, library

robma = partial(rb.robma, priors_bias=None)

SETTINGS = rb.SamplerSettings(chains=2, warmup=200, draws=400)
DATA = {
    "d": [0.1, 0.3, -0.1, 0.5, 0.2],
    "se": [0.1, 0.2, 0.1, 0.2, 0.15],
    "study_ids": [1, 1, 2, 2, 3],
    "settings": SETTINGS,
    "seed": 1,
}


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Use a script in place of the executable, beside the real library."""
    real = executable("normal")
    (tmp_path / "normal.so").symlink_to(library("normal"))
    script = tmp_path / "normal"

    def use(body):
        text = body.replace("REAL", shlex.quote(str(real)))
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))

    return use


# The model with every parameter dies, any other runs as it should.
DIES_WITH_RHO = """
case "$*" in
  *"data file="*)
    file=$(printf '%s\\n' "$@" | sed -n 's/^file=\\(.*data\\.json\\)$/\\1/p')
    if grep -qF '"family": [1, 6, 7]' "$file"
    then DEATH
    fi ;;
esac
exec REAL "$@"
"""


@pytest.mark.parametrize("death", ["exit 3", "kill -9 $$"])
def test_a_program_that_dies_is_reported_with_the_model_and_fits_are_kept(
    programs, monkeypatch, death
):
    programs(DIES_WITH_RHO.replace("DEATH", death))
    with pytest.raises(rb.FitError) as caught:
        robma(**DATA)
    message = str(caught.value)
    assert message.startswith(
        "model with mu ~ Normal(0, 1), tau ~ InvGamma(1, 0.15), rho ~ Beta(1, 1): "
    )
    assert "The 3 other fits are kept in this error's `fits`" in message
    assert isinstance(caught.value.__cause__, rb.SamplingError)
    kept = caught.value.fits
    assert len(kept) == 3

    monkeypatch.delenv("PYROBMA_PROGRAMS")
    resumed = robma(**DATA, fits=kept)
    whole = robma(**DATA)
    np.testing.assert_array_equal(resumed.logml, whole.logml)
    np.testing.assert_array_equal(resumed.draws("mu"), whole.draws("mu"))


def test_what_stan_said_before_a_program_died_is_in_the_error(programs):
    programs('echo "Exception: normal_model: expected a sentence of its own"; exit 1')
    with pytest.raises(rb.FitError, match="expected a sentence of its own"):
        robma(**DATA)


def test_settings_on_the_console_are_no_last_words(programs):
    settings = r"method = sample (Default)\nnum_threads = 1 (Default)\n\n"
    programs(f"printf '{settings}words of its own\\n'; exit 1")
    with pytest.raises(rb.FitError, match="words of its own") as caught:
        robma(**DATA)
    assert "num_threads" not in str(caught.value)


def test_a_directory_without_programs_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PYROBMA_PROGRAMS", str(tmp_path))
    with pytest.raises(
        (rb.ToolchainError, rb.FitError),
        match=r"PYROBMA_PROGRAMS: expected the compiled program normal.* in .*; found "
        r"none\. Build it with",
    ):
        robma(**DATA)


def test_a_program_that_may_not_be_executed_is_named(programs, tmp_path):
    programs("exit 0")
    (tmp_path / "normal").chmod(0o644)
    with pytest.raises(
        (rb.ToolchainError, rb.FitError), match="expected the right to execute"
    ):
        robma(**DATA)


def test_a_library_that_is_none_is_reported(programs, tmp_path):
    programs('exec REAL "$@"')
    (tmp_path / "normal.so").unlink()
    (tmp_path / "normal.so").write_text("not a library")
    with pytest.raises((rb.ToolchainError, rb.FitError), match=r"normal\.so"):
        robma(**DATA)
