"""Ensembles in files: what comes back, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import typing
import warnings
import zipfile

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble.storage import CLASSES, FORMAT, load, save
from pyrobma.fit import fit_models

SPIKE = rb.prior("spike", location=0)


@pytest.fixture(scope="module")
def ensemble():
    """Every kind of prior, clusters with quadrature, missing ids, a chosen seed."""
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            d=[0.1, 0.4, 0.2, 0.5, 0.3],
            se=[0.1, 0.2, 0.1, 0.2, 0.1],
            study_names=["Ångström", "b", "c", "d", "e"],
            study_ids=["x", "x", "y", "y", None],
            priors_effect_null=None,
            priors_bias=[
                rb.prior_weightfunction("one.sided", steps=[0.05], alpha=[1, 1]),
                rb.prior_weightfunction(
                    "one.sided", steps=[0.05, 0.6], alpha1=[1, 1], alpha2=[1, 1]
                ),
                rb.prior_weightfunction("two.sided.fixed", steps=[0.1], omega=[1, 0.5]),
                rb.prior_PET("cauchy", location=0, scale=1),
                rb.prior_PEESE("cauchy", location=0, scale=5),
            ],
            settings=few,
            seed=2**70,
        )  # fmt: skip


@pytest.fixture(scope="module")
def path(ensemble, tmp_path_factory):
    found = tmp_path_factory.mktemp("saved") / "fit.pyrobma"
    save(ensemble, found)
    return found


@pytest.fixture(scope="module")
def small(made):
    return made.ensemble(made.space(), [-2.0, 0.5, -1.0, np.float64(0.9)], size=(2, 12))


def assert_same(one, other, where="ensemble"):
    """Compare to the last bit, types and dtypes too."""
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where, strict=True)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            name = field.name
            assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(one, float) and np.isnan(one):
        assert np.isnan(other), where
    else:
        assert one == other, where


def test_every_field_comes_back_equal(ensemble, path):
    again = load(path, rb.RobmaFit)
    assert_same(ensemble, again)
    assert any(fit.rule is not None for fit in again.fits)
    assert any(fit.reasons for fit in again.fits)


def test_results_come_back_equal(ensemble, path):
    again = load(path, rb.RobmaFit)
    for kind in ("ensemble", "models", "diagnostics", "individual"):
        assert str(again.summary(kind)) == str(ensemble.summary(kind))
    for name in (*ensemble.parameters, "omega"):
        np.testing.assert_array_equal(again.draws(name), ensemble.draws(name))


def test_the_class_is_the_one_asked_for(path):
    assert type(load(path)) is rb.Ensemble
    assert type(load(str(path), rb.RobmaFit)) is rb.RobmaFit


def test_no_model_is_fitted_again_with_the_fits_of_a_file(ensemble, path):
    class Refuses:
        def submit(self, function, /, *arguments):
            raise AssertionError(f"{function.__name__} was called")

    known = load(path).fits
    again = fit_models(
        ensemble.task, ensemble.space, settings=ensemble.settings, seed=ensemble.seed,
        executor=Refuses(), fits=known,
    )  # fmt: skip
    assert_same(tuple(again), ensemble.fits)


def test_data_of_a_file_are_read_only_as_effect_sizes_are(path):
    assert not load(path).task.effects.y.flags.writeable


def test_arrays_that_models_share_are_written_once(tmp_path, small):
    first = dataclasses.replace(small.fits[3], spec=small.fits[0].spec)
    shared = dataclasses.replace(small, fits=(first, *small.fits[1:]))
    save(shared, tmp_path / "fit")
    again = load(tmp_path / "fit")
    assert again.fits[0].chains.draws is again.fits[3].chains.draws
    assert again.fits[1].chains.draws is not again.fits[3].chains.draws


def test_a_file_is_a_zip_of_strict_json_and_plain_arrays(path):
    def refuse(constant):
        raise AssertionError(constant)

    with zipfile.ZipFile(path) as archive:
        contents = json.loads(archive.read("ensemble.json"), parse_constant=refuse)
        assert contents["format"] == FORMAT
        assert contents["pyrobma"] == rb.__version__
        for name in set(archive.namelist()) - {"ensemble.json"}:
            array = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            assert array.dtype.kind in "fib"


def test_every_class_inside_an_ensemble_is_known():
    found, todo = set(), [rb.Ensemble]
    while todo:
        hint = todo.pop()
        todo += typing.get_args(hint)
        if dataclasses.is_dataclass(hint) and hint not in found:
            found.add(hint)
            todo += typing.get_type_hints(hint).values()
    assert found - {rb.Ensemble} == set(CLASSES.values())


def test_a_value_that_no_file_can_hold_is_refused_and_the_old_file_stays(
    tmp_path, small
):
    target = tmp_path / "fit.pyrobma"
    save(small, target)
    before = target.read_bytes()
    with pytest.raises(TypeError, match="object is not one of the classes"):
        save(dataclasses.replace(small, seed=object()), target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_replaces_one_that_exists_through_links_too(tmp_path, small):
    target, link = tmp_path / "fit.pyrobma", tmp_path / "latest"
    target.write_text("old")
    link.symlink_to(target)
    save(small, link)
    assert link.is_symlink()
    assert_same(load(target, rb.RobmaFit), small)


def test_a_missing_file_or_folder_is_named(tmp_path, small):
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="absent"):
        save(small, tmp_path / "absent" / "fit.pyrobma")


def _zip_of(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"some text",
        pickle.dumps({"format": 1}),
        _zip_of(other="text"),
        _zip_of(ensemble__json="no JSON"),
        _zip_of(ensemble__json="[1]"),
        _zip_of(ensemble__json='{"format": "new"}'),
        _zip_of(ensemble__json='{"format": 1}'),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(
        rb.DataError,
        match=r"^path: expected a file written by save, whole; got .*other",
    ):
        load(file)


def _changed(path, change):
    """Return the bytes of a file whose JSON was changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "ensemble.json":
                contents = json.loads(content)
                change(contents)
                content = json.dumps(contents)
            new.writestr(name, content)
    return buffer.getvalue()


def test_a_newer_format_asks_for_an_update(tmp_path, path):
    file = tmp_path / "newer"
    newer = {"format": FORMAT + 1, "pyrobma": "9.0"}
    file.write_bytes(_changed(path, lambda contents: contents.update(newer)))
    with pytest.raises(
        rb.DataError,
        match=rf"got format {FORMAT + 1}, written by pyrobma 9\.0, in .*Update pyrobma",
    ):
        load(file)


def test_a_field_that_a_later_release_added_with_a_default_may_be_missing(
    tmp_path, path, ensemble
):
    file = tmp_path / "older"

    def forget(contents):
        for fit in contents["ensemble"]["fits"]:
            assert fit["fields"].pop("fingerprint")

    file.write_bytes(_changed(path, forget))
    again = load(file)
    assert {fit.fingerprint for fit in again.fits} == {""}
    assert_same(again.fits[0].chains, ensemble.fits[0].chains)


@pytest.mark.parametrize(
    "value",
    [
        {"class": "Popen", "fields": {"args": "true"}},
        {"class": "Task", "fields": {"unknown": 1}},
        {"array": 10_000},
        {"array": "../ensemble"},
        {"float": "os.system"},
        {"unheard": "of"},
    ],
)
def test_values_that_save_does_not_write_are_refused(tmp_path, path, value):
    file = tmp_path / "changed"
    file.write_bytes(
        _changed(path, lambda contents: contents["ensemble"].update(task=value))
    )
    with pytest.raises(rb.DataError, match=r"^path: expected a whole file"):
        load(file)


def test_arrays_with_objects_in_them_are_not_unpickled(tmp_path, path):
    bomb = io.BytesIO()
    np.save(bomb, np.array([print], dtype=object), allow_pickle=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            first = name == "arrays/0.npy"
            new.writestr(name, bomb.getvalue() if first else old.read(name))
    file = tmp_path / "bomb"
    file.write_bytes(buffer.getvalue())
    with pytest.raises(rb.DataError, match="allow_pickle=False"):
        load(file)


def test_a_file_cut_off_anywhere_is_refused(tmp_path, small):
    save(small, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    file = tmp_path / "cut"
    for length in range(0, len(content), 97):
        file.write_bytes(content[:length])
        with pytest.raises(rb.DataError, match="expected a file written by save"):
            load(file)


def test_a_changed_byte_is_noticed_or_harmless(tmp_path, small):
    save(small, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    file = tmp_path / "changed"
    noticed = 0
    for at in range(0, len(content), 31):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            again = load(file, rb.RobmaFit)
        except rb.DataError:
            noticed += 1
        else:
            assert_same(again, small)
    assert noticed > 0.5 * len(range(0, len(content), 31))


def _with_member(path, name, content, compression=zipfile.ZIP_DEFLATED):
    """Return the bytes of a file with one member replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.namelist():
            if member == name:
                new.writestr(member, content, compress_type=compression)
            else:
                new.writestr(member, old.read(member))
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_any_compression_is_refused_as_data(tmp_path, path, compression):
    # bz2 reports damage as an OSError, LZMA as an error of its own.
    content = bytes(range(256)) * 40
    whole = bytearray(_with_member(path, "arrays/0.npy", content, compression))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start = archive.getinfo("arrays/0.npy").header_offset + 60
    whole[start : start + 40] = b"\xff" * 40
    file = tmp_path / "damaged"
    file.write_bytes(whole)
    with pytest.raises(rb.DataError, match=r"^path: expected a whole file"):
        load(file)


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(5, "I/O error"), EOFError(), RecursionError()]
)
def test_whatever_damage_raises_becomes_a_data_error(path, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", fail)
        with pytest.raises(rb.DataError, match=type(error).__name__):
            load(path)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "read", fail)
        with pytest.raises(rb.DataError, match="written by save, whole"):
            load(path)


def test_an_array_larger_than_its_bytes_is_refused_before_it_is_made(
    tmp_path, path, monkeypatch
):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    )
    file = tmp_path / "huge"
    file.write_bytes(_with_member(path, "arrays/0.npy", header.getvalue() + b"\0" * 8))

    def never(*arguments, **options):
        raise AssertionError("an array was made")

    monkeypatch.setattr(np, "load", never)
    with pytest.raises(rb.DataError, match=f"expected {2**43 + 128}"):
        load(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e["fits"].reverse(), "another model in the place of model 1"),
        (lambda e: e["fits"].pop(), "11 fits of 12 models"),
        (lambda e: e["fits"].clear(), " 0 fits of 12 models"),
        (lambda e: e.update(seed="1"), "str as seed of Ensemble"),
        (lambda e: e.update(seed=True), "bool as seed"),
        (lambda e: e.update(seed=1.5), "float as seed"),
        (lambda e: e.update(task=e["space"]), "ModelSpace as task"),
        (lambda e: e.update(fits=[e["task"]]), "tuple as fits"),
        (lambda e: e["fits"][0]["fields"].update(logml=None), "as logml of Fit"),
        (lambda e: e["fits"][0]["fields"].update(reasons="none"), "str as reasons"),
        (
            lambda e: e["task"]["fields"].update(effect_mapping="none"),
            "str as effect_mapping of Task",
        ),
        (
            lambda e: e["settings"]["fields"].update(chains=4.0),
            "float as chains of SamplerSettings",
        ),
        (
            lambda e: e["task"]["fields"]["effects"]["fields"].update(y=[0.1] * 5),
            "tuple as y of EffectSizes",
        ),
        (
            lambda e: e["fits"][-1]["fields"]["chains"]["fields"].update(
                draws=e["fits"][-1]["fields"]["chains"]["fields"]["divergent"]
            ),
            "ndarray as draws of Chains",
        ),
        (lambda e: e.pop("seed"), "missing"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tmp_path, path, change, message):
    file = tmp_path / "changed"
    file.write_bytes(_changed(path, lambda contents: change(contents["ensemble"])))
    with pytest.raises(rb.DataError, match=message):
        load(file, rb.RobmaFit)
