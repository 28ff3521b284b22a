"""Ensembles in files: what comes back, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import tracemalloc
import typing
import warnings
import zipfile

import numpy as np
import pytest

import pyrobma as rb
from pyrobma.ensemble.storage import CLASSES, FORMAT, load, save
from pyrobma.fit import Second, fit_models
from pyrobma.fit.quadrature import Rule

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
    twin = dataclasses.replace(small.fits[3].spec, prior_weight=2.0)
    first = dataclasses.replace(small.fits[3], spec=twin)
    shared = dataclasses.replace(
        small,
        space=rb.ModelSpace((twin, *small.space.models[1:])),
        fits=(first, *small.fits[1:]),
    )
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


def test_an_older_format_asks_to_fit_again(tmp_path, path):
    file = tmp_path / "older"
    older = {"format": FORMAT - 1, "pyrobma": "0.0"}
    file.write_bytes(_changed(path, lambda contents: contents.update(older)))
    with pytest.raises(
        rb.DataError,
        match=rf"got format {FORMAT - 1}, written by pyrobma 0\.0, in .*Fit the models",
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
        patch.setattr(zipfile.ZipFile, "open", fail)
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


def _bomb(path, size):
    """Return the bytes of a file with one array of so many zeros, all of it there."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"descr": "<f8", "fortran_order": False, "shape": (size // 8,)}
    )
    return _with_member(path, "arrays/0.npy", array.getvalue() + bytes(size))


def _peak_of_refusal(file, message):
    """Return the memory that refusing a file took, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(rb.DataError, match=message) as refused:
            load(file)
        assert "It is damaged or was changed after it was saved" in str(refused.value)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_parts_much_larger_than_the_file_are_refused_before_they_are_unpacked(
    tmp_path, path
):
    file = tmp_path / "bomb"
    file.write_bytes(_bomb(path, 80 * 2**20))
    assert file.stat().st_size < 2**20
    peak = _peak_of_refusal(
        file, "its members: expected at most .* bytes in an archive"
    )
    assert peak < 2**21


def test_a_declared_size_that_lies_bounds_what_is_unpacked(tmp_path, path):
    content = bytearray(_bomb(path, 40 * 2**20))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        true = archive.getinfo("arrays/0.npy").file_size.to_bytes(4, "little")
        assert archive.getinfo("arrays/0.npy").compress_size < 2**18
    assert content.count(true) == 2  # in the member's header and in the directory
    file = tmp_path / "liar"
    file.write_bytes(content.replace(true, (1000).to_bytes(4, "little")))
    peak = _peak_of_refusal(file, r"Bad CRC-32 for file 'arrays/0\.npy'")
    assert peak < 2**22


def test_the_sizes_of_all_members_count_together(tmp_path, path, monkeypatch):
    monkeypatch.setattr("pyrobma.ensemble._archive.MOST_FREE", 2**10)
    monkeypatch.setattr("pyrobma.ensemble._archive.MOST_RATIO", 0)
    with pytest.raises(rb.DataError, match="expected at most 1024 bytes"):
        load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200 + "]" * 200, "at most 64 levels deep"),
        ('{"a":' * 200 + "1" + "}" * 200, "at most 64 levels deep"),
        ("[" + "0," * 1_000_001 + "0]", "at most 1000000 values; got 1000002"),
        (" " * (2**25 + 1), "at most 33554432 bytes; got 33554433"),
    ],
)
def test_text_that_is_too_deep_or_too_long_is_refused(tmp_path, path, text, message):
    file = tmp_path / "text"
    file.write_bytes(_with_member(path, "ensemble.json", text))
    with pytest.raises(
        rb.DataError, match=rf"with ensemble\.json: expected .*{message}"
    ):
        load(file)


def test_brackets_and_commas_in_names_are_not_depth(tmp_path, made):
    effects = rb.effect_sizes(
        d=[0.1, 0.2], se=[0.1, 0.2], study_names=["[" * 99, '\\"' + "{," * 99]
    )
    saved = made.ensemble(made.space(hierarchical=False), [0.0] * 4, effects=effects)
    save(saved, tmp_path / "fit")
    assert load(tmp_path / "fit").task.effects.names == effects.names


def test_json_that_is_not_strict_is_refused(tmp_path, path):
    file = tmp_path / "loose"
    with zipfile.ZipFile(path) as archive:
        text = archive.read("ensemble.json").decode()
    file.write_bytes(_with_member(path, "ensemble.json", text[:-1] + ', "a": NaN}'))
    with pytest.raises(rb.DataError, match="written by save, whole"):
        load(file)


@pytest.mark.parametrize(
    ("descr", "shape", "message"),
    [
        ("|V0", (2**60,), "expected numbers"),
        ("<U0", (2**60,), "expected numbers"),
        ("<f8", (-1, -16), "shape"),
        ("<f8", (0, 2**62), "array is too big|too large"),
    ],
)
def test_headers_without_a_size_are_refused(tmp_path, path, descr, shape, message):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    content = header.getvalue() + (b"\0" * 128 if shape[0] < 0 else b"")
    file = tmp_path / "header"
    file.write_bytes(_with_member(path, "arrays/0.npy", content))
    with pytest.raises(rb.DataError, match=message):
        load(file)


NAN, INF = float("nan"), float("inf")


def _second(**changes):
    parts = {
        "method": "quadrature", "logml": -1.0, "error": 1e-6, "pareto_k": NAN,
        "modes": 1, "evaluations": 50, "names": ("mu",), "means": (0.1,),
        "errors": (1e-6,),
    }  # fmt: skip
    return Second(**parts | changes)


def _with(small, i, **changes):
    fits = list(small.fits)
    fits[i] = dataclasses.replace(fits[i], **changes)
    return dataclasses.replace(small, fits=tuple(fits))


def _chained(small, **changes):
    chains = dataclasses.replace(small.fits[3].chains, **changes)
    return _with(small, 3, chains=chains)


def _modelled(small, **changes):
    model = dataclasses.replace(small.space.models[3], **changes)
    space = rb.ModelSpace((*small.space.models[:3], model))
    return dataclasses.replace(_with(small, 3, spec=model), space=space)


def _prior_with(**changes):
    return dataclasses.replace(rb.prior("normal", mean=0, sd=1), **changes)


def _of_mu(**changes):
    return (("mu", _prior_with(**changes)),)


WEIGHTS = rb.prior_weightfunction("one.sided", steps=[0.05], alpha=[1, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: _with(e, 1, logml=NAN), r"fits\[1\]\.logml: .*; got nan"),
        (lambda e: _with(e, 1, logml=INF), r"fits\[1\]\.logml: .*; got inf"),
        (
            lambda e: _with(e, 2, logml_mcse=-0.1),
            r"fits\[2\]\.logml_mcse: .*; got -0\.1",
        ),
        (lambda e: _with(e, 2, logml_mcse=NAN), r"fits\[2\]\.logml_mcse: .*; got nan"),
        (
            lambda e: _with(e, 2, second=_second(logml=NAN)),
            r"fits\[2\]\.second\.logml: .*; got nan",
        ),
        (
            lambda e: _with(e, 2, second=_second(error=-1.0)),
            r"fits\[2\]\.second\.error: .*; got -1",
        ),
        (lambda e: _with(e, 2, round=-1), r"fits\[2\]\.round"),
        (
            lambda e: _chained(e, step_size=np.array([1.0, 0.0])),
            r"fits\[3\]\.chains\.step_size: expected positive numbers; got 0\.0",
        ),
        (
            lambda e: _chained(e, step_size=np.array([INF, 1.0])),
            r"step_size: expected positive numbers; got inf",
        ),
        (
            lambda e: _chained(e, step_size=np.ones(3)),
            r"step_size: expected an array of shape \(2\); got shape \(3,\)",
        ),
        (
            lambda e: _chained(e, draws=e.fits[3].chains.draws[:, :, :2]),
            r"chains\.draws: expected an array of shape \(2, 12, 3\); got shape "
            r"\(2, 12, 2\)",
        ),
        (
            lambda e: _chained(e, draws=e.fits[3].chains.draws + NAN),
            r"chains\.draws: expected finite numbers; got nan",
        ),
        (
            lambda e: _chained(e, draws=e.fits[3].chains.draws[0]),
            r"chains\.draws: expected an array of shape",
        ),
        (
            lambda e: _chained(e, draws=e.fits[3].chains.draws[:0]),
            r"chains\.draws: expected a shape of \(chains, draws, parameters\)",
        ),
        (lambda e: _chained(e, lp=np.zeros((2, 11))), r"chains\.lp: expected an array"),
        (lambda e: _chained(e, columns=("mu_free[1]",)), r"chains\.constrained"),
        (lambda e: _chained(e, inverse_metric=np.ones((1, 3, 3))), "inverse_metric"),
        (lambda e: _chained(e, omega=np.ones((2, 2))), r"chains\.omega"),
        (
            lambda e: _chained(e, names=("mu", "tau", "PET")),
            r"fits\[3\]\.chains\.names: expected \['mu', 'rho', 'tau'\]",
        ),
        (
            lambda e: _with(e, 3, rule=Rule(1e-300, 1.0)),
            r"fits\[3\]\.rule\.spacing: expected at least a 100000th",
        ),
        (lambda e: _with(e, 3, rule=Rule(-1.0, 1.0)), r"rule\.spacing: .*; got -1\.0"),
        (
            lambda e: _modelled(e, priors=_of_mu(values=(0.0, -1.0))),
            r"space\.models\[3\]\.priors\[0\]\[1\]\.values: .*sd: expected a "
            r"positive value .*-1",
        ),
        (
            lambda e: _modelled(e, priors=_of_mu(values=(0.0, NAN))),
            r"priors\[0\]\[1\]\.values: .*sd",
        ),
        (
            lambda e: _modelled(e, priors=_of_mu(lower=2.0, upper=1.0)),
            r"lower < upper",
        ),
        (
            lambda e: _modelled(e, priors=_of_mu(family="gauss")),
            r"priors\[0\]\[1\]\.family",
        ),
        (
            lambda e: _modelled(e, priors=_of_mu(prior_weight=0.0)),
            "prior_weight: expected a positive number",
        ),
        (
            lambda e: _modelled(e, priors=(("nu", _prior_with()),)),
            r"space\.models\[3\]\.priors: expected some of .*'tau'\], each once; got "
            r"\['nu'\]",
        ),
        (
            lambda e: _modelled(e, priors=2 * (("mu", _prior_with()),)),
            r"each once; got \['mu', 'mu'\]",
        ),
        (
            lambda e: _modelled(
                e, selection=dataclasses.replace(WEIGHTS, alpha=(1.0,))
            ),
            r"selection\.steps: .*alpha: expected 2 values",
        ),
        (
            lambda e: _modelled(
                e, selection=dataclasses.replace(WEIGHTS, steps=(NAN,))
            ),
            r"selection\.steps: .*finite numbers",
        ),
        (
            lambda e: _modelled(
                e, selection=dataclasses.replace(WEIGHTS, prior_weight=-1.0)
            ),
            r"selection\.prior_weight: expected a positive number; got -1\.0",
        ),
        (lambda e: _modelled(e, prior_weight=NAN), r"\[3\]\.prior_weight: .*; got nan"),
        (lambda e: _modelled(e, log_prior_weight=INF), r"\[3\]\.log_prior_weight"),
        (
            lambda e: dataclasses.replace(e, space=rb.ModelSpace(()), fits=()),
            r"space\.models: expected at least one model",
        ),
    ],
)
def test_values_that_no_ensemble_has_are_refused_with_their_place(
    tmp_path, small, change, message
):
    file = tmp_path / "changed"
    save(change(small), file)
    with pytest.raises(rb.DataError, match=message) as refused:
        load(file)
    text = str(refused.value)
    assert text.startswith("path: expected a whole file that pyrobma can read; got one")
    assert "It is damaged or was changed after it was saved: save" in text


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("se", -0.1, r"task\.effects\.se: expected positive"),
        ("se", 0.0, r"task\.effects\.se: expected positive"),
        ("se", NAN, r"task\.effects\.se: "),
        ("se", INF, r"task\.effects\.se: "),
        ("y", NAN, r"task\.effects\.y: expected"),
        ("y", INF, r"task\.effects\.y: expected"),
    ],
)
def test_estimates_that_are_no_numbers_are_refused(
    tmp_path, path, ensemble, field, value, message
):
    with zipfile.ZipFile(path) as archive:
        contents = json.loads(archive.read("ensemble.json"))
    effects = contents["ensemble"]["task"]["fields"]["effects"]["fields"]
    values = getattr(ensemble.task.effects, field).copy()
    values[1] = value
    array = io.BytesIO()
    np.save(array, values)
    file = tmp_path / "changed"
    file.write_bytes(
        _with_member(path, f"arrays/{effects[field]['array']}.npy", array.getvalue())
    )
    with pytest.raises(rb.DataError, match=message) as refused:
        load(file)
    assert "It is damaged or was changed" in str(refused.value)


def test_chains_that_no_sampler_made_have_no_step_sizes(tmp_path, small):
    save(_chained(small, step_size=np.array([NAN, NAN])), tmp_path / "fit")
    again = load(tmp_path / "fit")
    assert np.isnan(again.fits[3].chains.step_size).all()


def test_evidence_against_every_value_of_a_model_is_legal(tmp_path, small):
    save(_with(small, 0, logml=-INF), tmp_path / "fit")
    assert load(tmp_path / "fit").fits[0].logml == -INF


def test_weights_too_large_for_a_float_come_back(tmp_path, made):
    space = rb.model_space(
        effect=(rb.prior("normal", mean=0, sd=1, prior_weight=1e200),),
        effect_null=(rb.prior("spike", location=0, prior_weight=1e200),),
        heterogeneity=(rb.prior("inv_gamma", shape=1, scale=0.15, prior_weight=1e200),),
    )
    saved = made.ensemble(space, [0.0, 0.0])
    save(saved, tmp_path / "fit")
    assert_same(load(tmp_path / "fit", rb.RobmaFit), saved)


def test_every_kind_of_prior_is_legal(tmp_path, made):
    for given in (
        rb.prior("uniform", a=-1, b=1, lower=0),
        rb.prior("exponential", rate=2),
        rb.prior("student_t", location=0, scale=1, df=3, upper=2),
        rb.prior("beta", alpha=1, beta=2),
        rb.prior("lognormal", meanlog=0, sdlog=1),
        rb.prior("spike", location=0.5).truncated(0.0, 1.0),
    ):
        space = rb.model_space(
            effect=(given,), heterogeneity_null=(SPIKE,),
            bias=(rb.prior_PET("spike", location=0.5),),
        )  # fmt: skip
        fits = tuple(made.fit(model) for model in space.models)
        task = made.ensemble(made.space(), [0.0] * 4).task
        saved = rb.RobmaFit(task, space, fits, rb.SamplerSettings(), 1)
        save(saved, tmp_path / "fit")
        assert load(tmp_path / "fit").space == space
