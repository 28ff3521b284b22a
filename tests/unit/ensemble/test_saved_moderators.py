"""Moderators in files: what comes back, and what is refused."""

from __future__ import annotations

import io
import json
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.ensemble.storage import load, save

# What a formula of a file must never run leaves this behind.
MARK = "executed"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "d": rng.normal(0.3, 0.3, 12),
            "se": rng.uniform(0.1, 0.3, 12),
            "g": [*"abcabcabcab", "c"],
            "my age": rng.uniform(2, 20, 12),
        }
    )


@pytest.fixture(scope="module")
def fit(data):
    few = rb.SamplerSettings(chains=2, warmup=150, draws=100, max_draws=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        return rb.robma(
            data, d="d", se="se", mods="log(`my age`) * g", contrasts="treatment",
            priors_bias=None, priors_effect_null=None, priors_heterogeneity_null=None,
            test_mods=["g", "log(`my age`):g"], settings=few, seed=1,
        )  # fmt: skip


@pytest.fixture(scope="module")
def path(fit, tmp_path_factory):
    found = tmp_path_factory.mktemp("saved") / "fit.pyrobma"
    save(fit, found)
    return found


@pytest.fixture(scope="module")
def again(path):
    return load(path, rb.RobmaFit)


def test_summaries_of_moderators_come_back_equal(fit, again):
    for options in ({"conditional": True}, {"standardized": False}):
        assert str(again.summary(**options)) == str(fit.summary(**options))
    pd.testing.assert_frame_equal(
        again.marginal_means("g").means, fit.marginal_means("g").means
    )
    assert again.inclusion.equals(fit.inclusion)


def test_terms_codings_and_columns_come_back_equal(fit, again):
    before, after = fit.task.moderators, again.task.moderators
    assert after.formula == before.formula == "log(`my age`) * g"
    assert after.labels == before.labels
    np.testing.assert_array_equal(after.columns, before.columns)
    for one, other in zip(before.codings, after.codings, strict=True):
        assert (one.name, one.levels, one.contrasts) == (
            other.name, other.levels, other.contrasts,
        )  # fmt: skip
        for name in ("matrix", "centre", "sd", "raw"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert again.task.same_as(fit.task)


def test_new_rows_are_predicted_after_loading_as_before(fit, again, data):
    fresh = pd.DataFrame({"my age": [3.0, 40.0], "g": ["c", "a"]}, index=["x", "y"])
    for kind in ("terms", "effect"):
        pd.testing.assert_frame_equal(
            again.predict(fresh, kind), fit.predict(fresh, kind)
        )
    # The rows of the data are coded anew as they were.
    np.testing.assert_allclose(
        again.task.moderators.design(data), fit.task.moderators.columns, rtol=1e-12
    )
    with pytest.raises(rb.DataError, match=r"newdata: expected one of a, b, c for g"):
        again.predict(fresh.assign(g="z"))


def test_models_with_moderators_are_not_fitted_again_after_loading(again, data):
    class Refuses:
        def submit(self, function, /, *arguments):
            raise AssertionError(f"{function.__name__} was called")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rb.ConvergenceWarning)
        once_more = rb.robma(
            data, d="d", se="se", mods="log(`my age`) * g", contrasts="treatment",
            priors_bias=None, priors_effect_null=None, priors_heterogeneity_null=None,
            test_mods=["g", "log(`my age`):g"], settings=again.settings, seed=1,
            fits=again.fits, executor=Refuses(),
        )  # fmt: skip
    assert once_more.models.equals(again.models)


# ---- damage --------------------------------------------------------------------------
def _changed(path, change):
    """Return the bytes of a file whose JSON was changed; arrays can be added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        contents = json.loads(old.read("ensemble.json"))
        added = change(contents["ensemble"]) or {}
        for name in old.namelist():
            if name != "ensemble.json":
                new.writestr(name, old.read(name))
        for number, values in added.items():
            array = io.BytesIO()
            np.save(array, np.asarray(values, dtype=float))
            new.writestr(f"arrays/{number}.npy", array.getvalue())
        new.writestr("ensemble.json", json.dumps(contents))
    return buffer.getvalue()


def _mods(ensemble):
    return ensemble["task"]["fields"]["moderators"]["fields"]


def _part(ensemble, kind, place):
    return _mods(ensemble)[kind][place]["fields"]


def _with(kind, place, **changes):
    return lambda e: _part(e, kind, place).update(changes)


def _array(kind, place, field, values):
    """Put other values into the place of an array."""

    def change(ensemble):
        _part(ensemble, kind, place)[field] = {"array": 9999}
        return {9999: values}

    return change


def _formula(text):
    return lambda e: _mods(e).update(formula=text)


# In the file: sources "my age", g; codings log(`my age`), g; terms these and their
# product; 12 rows.
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _array("sources", 0, "values", [np.nan] * 12),
            r"sources\[0\]\.values: expected finite numbers; got nan",
        ),
        (
            _array("sources", 0, "values", np.ones((12, 2))),
            r"sources\[0\]\.values: expected one value per estimate; got shape",
        ),
        (
            _array("sources", 1, "values", [0.0] * 11 + [3.0]),
            r"sources\[1\]\.values: expected places of 3 levels",
        ),
        (_with("sources", 1, levels=["a", "a", "b"]), r"levels: expected names that"),
        (
            _array("sources", 0, "values", [1.0] * 11),
            r"moderators\.terms: expected columns of one length; got .*11, 12",
        ),
        (
            _with("sources", 0, name="another"),
            r"moderators\.sources: expected \['my age', 'g'\], as in the formula",
        ),
        (
            _array("codings", 0, "sd", [0.0]),
            r"codings\[0\]\.sd: expected positive numbers; got 0\.0",
        ),
        (
            _array("codings", 0, "sd", [1.0, 1.0]),
            r"codings\[0\]\.sd: expected an array of shape \(1\); got shape \(2,\)",
        ),
        (
            _array("codings", 0, "centre", [1.0]),
            r"terms: expected columns as their variables give them",
        ),
        (
            _array("codings", 0, "raw", [np.inf] * 12),
            r"codings\[0\]\.raw: expected finite numbers; got inf",
        ),
        (
            _array("codings", 1, "raw", [[0.5]] * 12),
            r"codings\[1\]\.raw: expected places of 3 levels",
        ),
        (
            _array("codings", 1, "raw", [[0.0] * 2] * 12),
            r"codings\[1\]\.raw: expected an array of shape \(any, 1\)",
        ),
        (_with("codings", 0, contrasts="meandif"), "contrasts: expected none of num"),
        (_with("codings", 1, contrasts="helmert"), "contrasts: expected one of mean"),
        (_with("codings", 1, contrasts="meandif"), "matrix: expected meandif contra"),
        (
            _array("codings", 1, "matrix", np.eye(4)[:, 1:]),
            r"codings\[1\]\.matrix: expected an array of 3 rows, one per level",
        ),
        (
            lambda e: _mods(e)["codings"].reverse(),
            r"codings: expected \['log\(`my age`\)', 'g'\], as in the formula",
        ),
        (_with("terms", 0, name="another"), r"terms\[0\]\.name: expected that of"),
        (_with("terms", 1, labels=["g[1]"]), r"terms\[1\]\.columns: expected 1 col"),
        (_with("terms", 1, factor=False), r"terms: expected factor True of g"),
        (
            _with("terms", 1, labels=["log(`my age`)", "g[dif: c]"]),
            r"terms: expected labels that differ",
        ),
        (
            _array("terms", 0, "columns", np.zeros((12, 1))),
            r"terms: expected columns as their variables give them",
        ),
        (
            _array("terms", 0, "columns", np.zeros((11, 1))),
            r"terms: expected columns of one length; got lengths \[11, 12\]",
        ),
        (
            lambda e: _mods(e)["terms"].__delitem__(-1),
            r"terms: expected \[.*as in the formula",
        ),
        (lambda e: _mods(e).update(terms=[]), r"terms: expected some"),
        (
            lambda e: e["task"]["fields"]["columns"].__delitem__(0),
            r"moderators: expected their columns among columns",
        ),
        (
            lambda e: e["task"]["fields"]["columns"][0]["fields"]["parameter"][
                "fields"
            ]["component"]["fields"].update(name="other"),
            r"task\.columns: expected a coefficient of the moderator log\(`my age`\)",
        ),
    ],
)
def test_parts_of_moderators_that_do_not_belong_together_are_refused(
    tmp_path, path, change, message
):
    file = tmp_path / "changed"
    file.write_bytes(_changed(path, change))
    with pytest.raises(rb.DataError, match=message) as refused:
        load(file)
    text = str(refused.value)
    assert text.startswith("path: expected a whole file that pyrobma can read; got one")
    assert "It is damaged or was changed after it was saved" in text


def _attacks(mark):
    run = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    quoted = run.replace("'", '"')
    return (
        f"I({run})",
        run,
        f"{{{run}}}",
        "I(open('" + str(mark) + "', 'w'))",
        "I((lambda: 1)())",
        "I([x for x in (1,)])",
        "np.linalg.inv(g)",
        "g.__class__.__mro__",
        "log(g)(g)",
        # A backtick in a string quotes no column for formulaic.
        f"I('`' + str({quoted}) + '`')",
        f"C(g, levels=['`', {quoted}, '`'])",
        f'C(g, levels=["`", {run}, "`"])',
    )


@pytest.mark.parametrize("number", range(len(_attacks(""))))
def test_a_formula_that_would_run_something_is_refused_and_runs_nothing(
    tmp_path, path, number
):
    mark = tmp_path / MARK
    attack = _attacks(mark)[number]

    def change(ensemble):
        """Rename everything, so that only the formula itself can give it away."""
        _mods(ensemble)["formula"] = f"{attack} + g"
        _part(ensemble, "codings", 0)["name"] = attack
        _part(ensemble, "terms", 0).update(name=attack, variables=[attack])
        _mods(ensemble)["terms"].pop()

    file = tmp_path / "evil"
    file.write_bytes(_changed(path, change))
    with pytest.raises(rb.DataError, match=r"^path: expected a whole file"):
        load(file)
    assert not mark.exists()


def test_a_name_with_code_in_it_is_a_name_of_a_column(tmp_path):
    mark = tmp_path / MARK
    evil = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    table = pd.DataFrame({"d": [0.1, 0.3, 0.2], "se": [0.1] * 3, evil: [1.0, 2.0, 4.0]})
    saved = rb.robma(
        table, d="d", se="se", mods=[evil], priors_bias=None, test_mods=False,
        priors_effect_null=None, priors_heterogeneity=None, seed=1,
    )  # fmt: skip
    save(saved, tmp_path / "fit")
    again = load(tmp_path / "fit", rb.RobmaFit)
    assert len(again.predict(pd.DataFrame({evil: [3.0]}))) == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    "formula",
    [
        "(a + g) ** 40",
        "*".join("abcdefghijklmnopqrstuvwxyz"),
        "(a + b + c + d + e) ^ 9",
        "a" * 20_001,
    ],
)
def test_a_formula_that_expands_without_end_is_refused_first(tmp_path, path, formula):
    file = tmp_path / "bomb"
    file.write_bytes(_changed(path, _formula(formula)))
    with pytest.raises(rb.DataError, match=r"moderators\.formula: expected .*at most"):
        load(file)


def test_a_formula_that_cannot_be_read_is_refused(tmp_path, path):
    for formula in ("", "g +", "((", "y ~ g", "g - 1", "nothing + g"):
        file = tmp_path / "unreadable"
        file.write_bytes(_changed(path, _formula(formula)))
        with pytest.raises(rb.DataError, match=r"^path: expected a whole file"):
            load(file)
