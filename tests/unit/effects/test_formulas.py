"""Formulas of moderators: what they mean, and what they must not do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pyrobma import DataError
from pyrobma.effects import read_moderators

ROUNDING = 1e-12  # of functions, means and sds of a dozen numbers

K = 12
RNG = np.random.default_rng(7)
X, Z = RNG.normal(size=K), RNG.uniform(1, 2, K)
TABLE = pd.DataFrame({"x": X, "z": Z, "my col": Z**3, "g": list("abc") * 4})


def read(formula, data=TABLE, **options):
    return read_moderators(formula, data, **options)[0]


# ---- terms -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("x", "x"),
        ("~ x + g", "x, g"),
        ("1 + x", "x"),
        ("x + x", "x"),
        ("x * x", "x"),
        ("x +\n  z", "x, z"),
        ("x + z - z", "x"),
        ("g * x", "g, x, g:x"),
        ("g:x + x + g", "x, g, g:x"),
        ("g:x + x:g + x + g", "x, g, g:x"),
        ("x * z * g", "x, z, g, x:z, x:g, z:g, x:z:g"),
        ("(x + z + g) ** 2", "x, z, g, x:z, x:g, z:g"),
        ("(x + g)^2", "x, g, x:g"),
        ("x + x ** 2", "x"),
        ("x + I(x**2)", "x, I(x ** 2)"),
        ("`my col` * x", "my col, x, my col:x"),
        ("log(`my col`)", "log(`my col`)"),
        ("{x + z}", "x + z"),
        ("poly(x,2) + z", "poly(x, 2), z"),
    ],
)
def test_terms_of_a_formula(formula, names):
    assert ", ".join(read(formula).names) == names


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("x", X),
        ("log(z)", np.log(Z)),
        ("log10(z)", np.log10(Z)),
        ("log2(z)", np.log2(Z)),
        ("exp(x)", np.exp(X)),
        ("exp2(x)", 2**X),
        ("sqrt(z)", np.sqrt(Z)),
        ("abs(x)", np.abs(X)),
        ("I(x ** 2 - z)", X**2 - Z),
        ("np.log1p(z)", np.log1p(Z)),
        ("np.maximum(x, 0)", np.maximum(X, 0)),
        ("log(`my col`)", 3 * np.log(Z)),
        ("center(x)", X - X.mean()),
        ("scale(x)", (X - X.mean()) / X.std(ddof=1)),
    ],
)
def test_functions_of_a_number(formula, expected):
    made = read(formula, standardize=False).columns[:, 0]
    np.testing.assert_allclose(made, expected, rtol=ROUNDING, atol=ROUNDING)


def test_polynomials_are_orthogonal_and_span_the_powers():
    made = read("poly(x, 3)", standardize=False).columns
    np.testing.assert_allclose(made.T @ made, np.eye(3), atol=ROUNDING)
    np.testing.assert_allclose(made.sum(axis=0), 0, atol=ROUNDING)
    powers = np.vander(X, 4)
    rest = made - powers @ np.linalg.lstsq(powers, made)[0]
    np.testing.assert_allclose(rest, 0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("call", "rows"),
    [
        ("C(g, contr.treatment)", [[0, 0], [1, 0], [0, 1]]),
        ("C(g, contr.treatment('b'))", [[1, 0], [0, 0], [0, 1]]),
        ("C(g, contr.SAS)", [[1, 0], [0, 1], [0, 0]]),
        ("C(g, contr.sum)", [[1, 0], [0, 1], [-1, -1]]),
        ("C(g, contr.helmert)", [[-1, -1], [1, -1], [0, 2]]),
        ("C(g, contr.treatment, levels=['c', 'b', 'a'])", [[0, 1], [1, 0], [0, 0]]),
    ],
)
def test_a_formula_may_have_contrasts_of_its_own(call, rows):
    made = read(call)
    np.testing.assert_allclose(made.columns[:3], rows, atol=ROUNDING)
    (coding,) = made.codings
    assert coding.contrasts == "formula"
    assert made.labels == (f"{made.names[0]}[1]", f"{made.names[0]}[2]")


def test_other_factors_keep_the_contrasts_of_the_call():
    made = read("C(g, contr.sum) + C(x > 0)", contrasts="treatment")
    assert [coding.contrasts for coding in made.codings] == ["formula", "treatment"]
    np.testing.assert_array_equal(made.columns[:, 2], X > 0)


def test_a_column_with_a_name_like_contrasts_is_only_a_column():
    table = TABLE.assign(**{"contr.g": list("aabb") * 3})
    for formula in ("`contr.g`", "contr.g", "C(`contr.g`)"):
        assert read(formula, table).codings[0].contrasts == "meandif"


def test_what_a_function_learns_it_learns_from_the_fit():
    fresh = pd.DataFrame({"x": [0.0, 1.0]})
    centred = read("center(x)", standardize=False).design(fresh)[:, 0]
    np.testing.assert_allclose(centred, np.array([0, 1]) - X.mean(), atol=ROUNDING)
    # A polynomial that is right in all rows of the fit is the same one elsewhere.
    made = read("poly(x, 2)", standardize=False)
    fitted = [np.polyfit(X, column, 2) for column in made.columns.T]
    expected = np.column_stack([np.polyval(one, [0.0, 1.0]) for one in fitted])
    np.testing.assert_allclose(made.design(fresh), expected, atol=10 * ROUNDING)


# ---- refusals --------------------------------------------------------------
@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", r"mods: expected a moderator; got ''\. Leave mods out"),
        ("1", "expected a moderator; got '1'"),
        ("x - x", "expected a moderator; got 'x - x'"),
        ("x - 1", "its intercept, which is the effect; .* priors_effect=None"),
        ("0 + x", "with its intercept"),
        (
            "y ~ x",
            "right-hand side of a formula; got 'y ~ x'. Effects are given as d, r",
        ),
        ("x + (1 | g)", r"incorrectly used\. Give clusters as study_ids"),
        ("x +", "mods: expected a formula such as 'measure . age'; got 'x .'"),
        ("x z", "Missing operator between"),
        ("(x", "expected a formula such as"),
        ("(]", "expected a formula such as"),
        ("log(``)", "expected a formula such as"),
        (
            "x + .",
            "operator requires additional context about which variables are avail",
        ),
        ("x > 0", "Unknown operator '>'"),
        ("5 * x", "Numeric literals other than"),
        ("1:x", "expected columns of the table; got 1 in '1:x', which needs none"),
        ("x + I(1)", r"got I\(1\) in 'x \+ I\(1\)', which needs none"),
        ("'x'", "String literals are not valid"),
        ("g:x", "expected g beside the interaction g:x; got it without. Write g . x"),
        ("g * x + g:z", "expected z beside the interaction g:z"),
        ("g + x + z + g:x:z", "expected g:x beside the interaction g:x:z"),
        ("g / x", "expected x beside the interaction g:x"),
        ("log(x)", r"finite values of log\(x\); got \[nan\] at row \d+ and \d+ more"),
        ("log(x * 0)", r"finite values of log\(x \* 0\); got \[-inf\]"),
        (
            "log(g)",
            r"log\(g\) cannot be evaluated: .*Make a column of the data from it",
        ),
        ("log(lg)", r'got "lg", which is none\. Did you mean \'g\''),
        ("poly(x, 0)", r"varies; got poly\(x, 0\), which has no column"),
        ("I(x - x)", r"varies; got I\(x - x\), which has 0 in every row"),
        (
            "C(g, levels=['a', 'b'])",
            r"every row at a level of .* \(a, b\); got .* row 2",
        ),
        ("C(g, contr.treatment('d'))", "cannot be evaluated: Value `'d'`"),
        ("`1` + x", "expected names other than 1, which is the intercept"),
    ],
)
def test_formulas_that_mean_nothing_here_are_refused(formula, message):
    with pytest.raises(DataError, match=message):
        read(formula)


def test_columns_with_the_names_of_what_a_formula_makes_are_refused():
    table = TABLE.assign(**{"x:z": X**2, "g[1]": X**3})
    for formula, name in (("x * z + `x:z`", "x:z"), ("g + `g[1]`", "g[1]")):
        with pytest.raises(DataError, match="names that differ; got") as caught:
            read(formula, table)
        assert repr(name) in str(caught.value)
    assert read("x + z + `x:z`", table).names == ("x", "z", "x:z")


# ---- nothing but arithmetic ------------------------------------------------
EVIL = "__import__('pathlib').Path(MARK).touch()"

ATTACKS = [
    "{evil}",
    "{{{evil}}}",
    "I({evil})",
    "C(g, levels=[{evil}])",
    "x + C({evil})",
    "poly(x, {evil}) * g",
    "I(x).pipe({evil})",
    "({evil}).foo(x)",
    "I([{evil} for i in x])",
    "I((lambda: {evil})())",
    "I(x if {evil} else z)",
    "I(f'{{{evil}}}')",
    "I(x[{evil}])",
    "log(x, **{{'out': {evil}}})",
    "log(*[{evil}])",
    "np.fromfile(MARK)",
    "np.load(MARK, allow_pickle=True)",
    "np.testing.os.system(MARK)",
    "I(x).__class__.__mro__",
    "x.__class__",
    "contr.custom(x)",
    "C(g, contr.__init__)",
    "getattr(x, 'to_csv')(MARK)",
    "lag(x)",
    # What stands between backticks is a name only outside of texts.
    "I('`' + {evil} + '`')",
    "C(g, levels=['`', {evil}, '`'])",
    'I("`" + {evil} + "`")',
    "I(x # '\\\\' `\n + {evil} # ` '\n)",
    "I('\\\\' + `{evil}` + '')",
    "I('a\\'`' + {evil} + '`')",
    'I("\'`" + {evil} + "`\'")',
    "I(`x' + `{evil}` + 'x`)",
    "I(`lambda` + x)",
    "I(`None` + x)",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_formula_cannot_run_anything(attack, tmp_path):
    mark = tmp_path / "mark"
    formula = attack.format(evil=EVIL).replace("MARK", repr(str(mark)))
    with pytest.raises(DataError, match=r"\Amods: "):
        read(formula)
    assert not mark.exists()


def test_the_code_of_the_attacks_leaves_a_mark(tmp_path):
    mark = tmp_path / "mark"
    eval(EVIL.replace("MARK", repr(str(mark))))
    assert mark.exists()


def test_backticks_hold_any_name_that_is_not_ambiguous():
    odd = {"it's": X, 'a "b"': Z, "a\\b": X * Z, "# x": X + Z, "lambda": X**2}
    table = pd.DataFrame(odd | {"x y": X - Z})
    made = read("`it's` + `# x` + `lambda` + log(`x y` ** 2 + `# x` ** 2)", table)
    assert made.names[:3] == ("it's", "# x", "lambda")
    np.testing.assert_array_equal(made.design(table), made.columns)
    for name in ("it's", 'a "b"', "a\\b", "lambda"):
        with pytest.raises(DataError, match="mods: "):
            read(f"I(`{name}` ** 2)", table)


@pytest.mark.parametrize("text", ["I(x + 9**9**9**9)", "I(x + (1 << 99999999999))"])
def test_constants_that_would_fill_the_memory_are_refused(text):
    with pytest.raises(DataError, match="mods: expected arithmetic"):
        read_moderators(text, pd.DataFrame({"x": [1.0, 2.0, 4.0]}))
