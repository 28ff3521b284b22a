"""Fits in a folder: what a run that was cut off goes on from, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.commands import main
from pyrobma.ensemble import FitCache
from pyrobma.fit import plan
from pyrobma.fit.keeping import draws_of

D = [0.3, 0.1, 0.45, 0.2, 0.6, -0.1]
SE = [0.1, 0.12, 0.09, 0.2, 0.15, 0.11]
CHAINS = rb.SamplerSettings(chains=2, draws=300)
# Most of what follows does not depend on who draws, and this takes less time.
SETTINGS = replace(CHAINS, sampler="independence")
PATIENCE = 30.0  # seconds for what takes a hundredth of one on an idle machine
# Twelve models, eleven of them with free parameters, so that all are surveyed; some of
# those without heterogeneity cannot matter where the effects are far apart.
PRIORS = {
    "priors_effect": [rb.prior("normal", mean=0, sd=sd) for sd in (0.3, 1.0)],
    "priors_heterogeneity": [
        rb.prior("inv_gamma", shape=1, scale=scale) for scale in (0.15, 0.3, 0.6)
    ],
    "priors_bias": None,
}
FAR = {"d": [0.0, 1.2, -1.2, 0.6, -0.8, 1.0], "se": [0.1] * 6}


@pytest.fixture
def counted(monkeypatch):
    """Count what is surveyed, fitted and extended."""
    counts = Counter()

    def count(name):
        real = getattr(plan, name)

        def spy(*arguments):
            counts[name] += 1
            return real(*arguments)

        monkeypatch.setattr(plan, name, spy)

    for name in ("survey", "fit_model", "extend"):
        count(name)
    return counts


def robma(folder=None, **changes):
    arguments = {"d": D, "se": SE, "settings": SETTINGS, "seed": 1, "progress": False}
    return rb.robma(**arguments | PRIORS | changes, cache=folder)


def assert_same(one, other):
    np.testing.assert_array_equal(one.logml, other.logml)
    assert [f.seed for f in one.fits] == [f.seed for f in other.fits]
    assert [f.sampler for f in one.fits] == [f.sampler for f in other.fits]
    assert [f.reasons for f in one.fits] == [f.reasons for f in other.fits]
    for name in ("mu", "tau"):
        np.testing.assert_array_equal(one.draws(name), other.draws(name))


@pytest.fixture(scope="module")
def whole():
    return robma()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    robma(folder)
    return folder


@pytest.fixture
def folder(filled, tmp_path):
    """A copy of a folder with all twelve fits."""
    for path in filled.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_second_call_fits_nothing_and_says_the_same(whole, folder, counted):
    assert len(list(folder.iterdir())) == 12
    assert_same(robma(folder), whole)
    assert not counted


def test_only_what_is_missing_is_fitted_and_to_the_same_numbers(whole, folder, counted):
    for path in sorted(folder.iterdir())[::3]:
        path.unlink()
    assert_same(robma(folder), whole)
    assert counted["fit_model"] == 4
    assert counted["survey"] <= 4


def test_what_stays_rough_does_not_depend_on_what_is_stored(tmp_path, counted):
    far = robma(tmp_path, **FAR)
    rough = [fit.rough for fit in far.fits]
    assert any(rough)
    assert not all(rough)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    small = [s for name, s in sizes.items() if name.endswith("-100.fit")]
    assert len(small) == sum(rough)
    assert max(small) < 50_000
    for keep in (1, 3):
        for number, path in enumerate(sorted(tmp_path.iterdir())):
            if number % 4 >= keep:
                path.unlink()
        assert_same(robma(tmp_path, **FAR), far)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"d": [0.31, *D[1:]]}, 12),
        ({"settings": replace(SETTINGS, draws=301)}, 12),
        ({"settings": replace(SETTINGS, adapt_delta=0.81)}, 12),
        # Four models have the prior that is changed.
        ({"priors_effect": [rb.prior("normal", mean=0, sd=sd) for sd in (0.3, 2)]}, 4),
        ({"seed": 2}, 12),
    ],
    ids=["data", "draws", "adapt_delta", "priors", "seed"],
)  # fmt: skip
def test_fits_of_something_else_are_not_taken(folder, counted, changes, missing):
    robma(folder, **changes)
    assert counted["fit_model"] == missing


def test_without_a_seed_any_fit_of_the_model_will_do(folder, whole, counted):
    found = robma(folder, seed=None)
    assert not counted
    np.testing.assert_array_equal(found.logml, whole.logml)


def test_with_a_seed_fits_of_others_change_nothing(tmp_path, whole, counted):
    robma(tmp_path, seed=5)
    robma(tmp_path, seed=None, d=[0.5, *D[1:]])
    assert_same(robma(tmp_path), whole)
    assert counted["fit_model"] == 36


def test_other_weights_take_fits_that_are_there_and_refit_rough_ones(tmp_path, counted):
    far = robma(tmp_path, **FAR)
    rough = sum(fit.rough for fit in far.fits)
    counted.clear()
    likely = rb.prior("spike", location=0, prior_weight=1e300)
    again = robma(tmp_path, **FAR, priors_heterogeneity_null=likely)
    assert not any(fit.rough for fit in again.fits[::4] if fit.spec.free)
    assert counted["fit_model"] <= rough
    # Both are kept: the first call is as it was.
    assert_same(robma(tmp_path, **FAR), far)


def test_an_extended_fit_takes_the_place_of_the_first(tmp_path, counted):
    exact = replace(CHAINS, max_mcse=0.004)
    whole = robma(settings=exact)
    assert counted["extend"]
    counted.clear()
    assert_same(robma(tmp_path, settings=exact), whole)
    assert counted.pop("extend")
    stored = [path.name.split("-") for path in tmp_path.iterdir()]
    assert len({mark for mark, _, _ in stored}) == len(stored) == 12
    counted.clear()
    assert_same(robma(tmp_path, settings=exact), whole)
    assert not counted


SCRIPT = """
import sys
from dataclasses import replace
from test_cache import CHAINS, robma

folder, max_mcse, sampler = sys.argv[1:]
settings = replace(CHAINS, max_mcse=float(max_mcse), sampler=sampler)
robma(folder, settings=settings, cores=1)
"""


def started(folder, max_mcse, sampler="NUTS"):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(max_mcse), sampler],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )


def extended(folder):
    """Return whether some fit is stored with its first and with more draws."""
    marks = Counter(p.name[:16] for p in folder.glob("*.fit"))
    return max(marks.values(), default=0) > 1


@pytest.mark.parametrize(
    ("max_mcse", "now"),
    [
        (0.01, lambda folder: len(list(folder.glob("*.fit"))) >= 3),
        (0.004, extended),
    ],
    ids=["first draws", "more draws"],
)
def test_a_killed_run_goes_on_to_the_numbers_of_one_that_was_not(
    tmp_path, counted, max_mcse, now
):
    run = started(tmp_path, max_mcse)
    limit = time.monotonic() + 60
    while not now(tmp_path) and run.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    before = {path.name for path in tmp_path.glob("*.fit")}
    settings = replace(CHAINS, max_mcse=max_mcse)
    found = robma(tmp_path, settings=settings)
    assert counted["fit_model"] == 12 - len({name[:16] for name in before})
    assert len(before) >= 3
    assert_same(found, robma(settings=settings))


def test_two_processes_at_once_leave_a_whole_folder(tmp_path, counted, whole):
    runs = [started(tmp_path, 0.01, "independence") for _ in range(2)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 12
    assert_same(robma(tmp_path), whole)
    assert not counted


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def another(path):
    other = next(p for p in sorted(path.parent.iterdir()) if p != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("seed", [1, None])
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (half, "damaged or another kind of file"),
        (flipped, "damaged or another kind of file"),
        (lambda path: path.write_bytes(b""), "damaged or another kind of file"),
        (lambda path: path.write_text("mine"), "damaged or another kind of file"),
        (another, "the fit of another model"),
    ],
    ids=["half", "flipped", "empty", "foreign", "another"],
)
def test_a_damaged_file_is_a_warning_and_replaced(
    folder, counted, whole, damage, what, seed
):
    path = sorted(folder.iterdir())[-1]
    damage(path)
    with pytest.warns(rb.DataWarning, match=rf"^cache: .*{path.name}; .*{what}"):
        found = robma(folder, seed=seed)
    assert counted["fit_model"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = robma(folder, seed=seed)
    np.testing.assert_array_equal(again.logml, found.logml)
    assert counted["fit_model"] == 1
    if seed is not None:
        assert_same(found, whole)


def test_a_whole_ensemble_in_the_place_of_a_fit_is_refused(folder, whole):
    path = sorted(folder.iterdir())[0]
    whole.save(path)
    with pytest.warns(rb.DataWarning, match="another kind of file"):
        assert_same(robma(folder), whole)


def test_a_file_of_another_release_is_named(folder, whole, monkeypatch):
    from pyrobma.ensemble import storage

    path = sorted(folder.iterdir())[0]
    fit = next(f for f in whole.fits if f.fingerprint == path.name[:16])
    monkeypatch.setattr(storage, "FORMAT", storage.FORMAT + 1)
    storage.save_fit(fit, path)
    monkeypatch.undo()
    with pytest.warns(rb.DataWarning, match="another release wrote it"):
        robma(folder)


def test_files_of_others_in_the_folder_stay(folder):
    for name in ("notes.txt", "a-1-1.fit", "0123456789abcdef-1.fit"):
        (folder / name).write_text("mine")
    (folder / "sub").mkdir()
    robma(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_what_a_killed_process_left_incomplete_is_swept_when_it_is_old(folder):
    old, new = folder / ".x.fit.1.part", folder / ".y.fit.2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    robma(folder)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("wrong", [3, __file__, "/proc/nowhere"])
def test_what_is_no_folder_is_an_error_that_names_the_argument(wrong):
    with pytest.raises(rb.DataError, match=r"^cache: expected a folder"):
        robma(wrong)


def test_a_folder_that_cannot_be_written_to_is_a_warning(tmp_path, whole, monkeypatch):
    def full(fit, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyrobma.ensemble.cache.save_fit", full)
    with pytest.warns(rb.DataWarning, match=r"^cache: .* No space left") as caught:
        assert_same(robma(tmp_path), whole)
    assert len(caught) == 1


def test_fits_of_an_executor_are_stored_as_they_come(tmp_path, whole):
    def stored():
        return len(list(tmp_path.glob("*.fit")))

    class Watched(ThreadPoolExecutor):
        """An executor whose jobs wait until the fits before them are stored."""

        before = 0

        def submit(self, function, /, *arguments):
            if function.__name__ != "fit_model":
                return super().submit(function, *arguments)
            count, self.before = self.before, self.before + 1

            def run():
                end = time.monotonic() + PATIENCE
                while stored() < count:
                    assert time.monotonic() < end
                    time.sleep(0.01)
                return function(*arguments)

            return super().submit(run)

    with Watched(1) as executor:
        assert_same(robma(tmp_path, executor=executor), whole)
        assert executor.before == 12
    assert len(list(tmp_path.iterdir())) == 12


def test_jobs_of_another_process_are_stored_by_this_one(tmp_path, whole):
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        assert_same(robma(tmp_path, executor=executor), whole)
    assert len(list(tmp_path.iterdir())) == 12


def test_futures_without_callbacks_are_stored_when_they_are_collected(tmp_path):
    class Plain:
        def __init__(self, job):
            self.result = job.result

    class Bare:
        def submit(self, function, /, *arguments):
            job = Future()
            job.set_result(function(*arguments))
            return Plain(job)

    robma(tmp_path, executor=Bare())
    assert len(list(tmp_path.iterdir())) == 12


def test_a_failure_leaves_the_others_in_the_folder(tmp_path, whole, monkeypatch):
    real = plan.fit_model

    def fit_model(task, spec, *rest):
        if spec == whole.space.models[5]:
            raise rb.SamplingError("made to fail")
        return real(task, spec, *rest)

    monkeypatch.setattr(plan, "fit_model", fit_model)
    with pytest.raises(rb.FitError, match="made to fail"):
        robma(tmp_path)
    assert len(list(tmp_path.iterdir())) == 11
    monkeypatch.undo()
    assert_same(robma(tmp_path), whole)


def test_a_stored_fit_is_equal_to_the_one_that_was_put(tmp_path, whole):
    cache = FitCache(tmp_path / "new" / "folder", whole.task)
    fit = whole.fits[-1]
    cache.put(fit)
    found = cache.get(fit.spec, fit.fingerprint, fit.seed)
    assert repr(found.second) == repr(fit.second)  # NaN is not equal to itself
    assert found.provenance == fit.provenance
    np.testing.assert_array_equal(found.chains.draws, fit.chains.draws)
    assert cache.get(fit.spec, fit.fingerprint, fit.seed + 1) is None
    assert cache.get(fit.spec, fit.fingerprint, fit.seed, after=draws_of(fit)) is None
    cache.remove(fit)
    cache.remove(fit)
    assert cache.get(fit.spec, fit.fingerprint, fit.seed) is None


@pytest.fixture
def command(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "\n".join(["d,se", *(f"{d},{s}" for d, s in zip(D, SE, strict=True))])
    )

    def run(out, *more):
        return main(
            ["fit", str(table), "--d", "d", "--se", "se", "--no-bias", "--chains", "2",
             "--draws", "300", "--no-figures", "--quiet", "--out", str(tmp_path / out),
             *more]
        )  # fmt: skip

    return run


def test_the_command_takes_what_it_stored(tmp_path, command, counted):
    folder = str(tmp_path / "fits")
    assert command("one", "--cache", folder) in (0, 3)
    assert counted["fit_model"] == 4
    assert command("two", "--cache", folder) in (0, 3)
    assert counted["fit_model"] == 4
    one, two = (rb.load(tmp_path / out / "fit.pyrobma") for out in ("one", "two"))
    np.testing.assert_array_equal(one.logml, two.logml)


def test_the_command_names_its_option(tmp_path, command, capsys):
    assert command("out", "--cache", str(tmp_path / "table.csv")) == 1
    assert "Error: --cache: expected a folder for fits" in capsys.readouterr().err
