"""Files of the command line: what is read, and what is refused, line by line."""

from __future__ import annotations

import builtins
import gzip
import re
import warnings

import numpy as np
import openpyxl
import pandas as pd
import pytest

import pyrobma as rb
from pyrobma.commands import main
from pyrobma.commands.options import COLUMNS as COLUMNS_OF_ROBMA
from pyrobma.commands.table import read_table
from pyrobma.commands.words import option_words

ROWS = [["study", "yi", "se"], ["A", 0.2, 0.1], ["B", -0.3, 0.12], ["C", 0.1, 0.09]]


def read(tmp_path, content, name="data.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options).frame


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Run the command on a file; return its one error."""

    def never(*arguments, **options):
        raise AssertionError("a fit was started")

    monkeypatch.setattr("pyrobma.api.fit_models", never)

    def run(content, *options, name="data.csv"):
        path = tmp_path / name
        if content is not None:
            path.write_text(content, encoding="utf-8")
        assert main(["fit", str(path), *options, "--out", str(tmp_path / "out")]) == 1
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("Error: ")
        return last.removeprefix("Error: ").replace(str(tmp_path), ".")

    return run


# ---- texts -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a,b\n1,0.5\n", {}),
        (" a , b \n 1 , 0.5 \n", {}),
        ("a;b\n1;0,5\n", {"decimal": ","}),
        ("a\tb\n1\t0.5\n", {"sep": "\t"}),
        ("a\tb\n1\t0.5\n", {"sep": "\\t"}),
        ("a\tb\n1\t0.5\n", {"sep": "\\\\t"}),
        ("a\tb\n1\t0.5\n", {"sep": "tab"}),
        ("a  b\n1 0.5\n", {"sep": " "}),
        ("a|b\n1|0.5\n", {"sep": "|"}),
        ("sep=;\na;b\n1;0.5\n", {}),
        (b"\xef\xbb\xbfa,b\n1,0.5\n", {}),
        ("a,b\n1,0.5\n".encode("utf-16"), {}),
        ("a,b\n1,0.5\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("a,b\r\n1,0.5\r\n", {}),
        ("a,b\r1,0.5\r", {}),
        ('"a","b"\n"1", "0.5"\n', {}),
        ("\n\na,b\n1,0.5\n", {}),
        ("a,b,,\n1,0.5,,\n", {}),
        ("a,b\n1,0.5,\n\n,,\n\n", {}),
        ("a,,b\n1,,0.5\n", {}),
    ],
)
def test_one_table_is_read_from_every_kind_of_file(tmp_path, content, options):
    frame = read(tmp_path, content, **options)
    assert frame.to_dict("list") == {"a": [1], "b": [0.5]}


@pytest.mark.parametrize("sign", ["-", "−", "–", "‐", "‑", "‒", "－", "- ", "− "])
def test_every_minus_is_a_minus(tmp_path, sign):
    frame = read(tmp_path, f"yi\n{sign}0.5\n{sign}.25\n{sign}1e-3\n2\n")
    assert frame["yi"].tolist() == [-0.5, -0.25, -0.001, 2.0]


@pytest.mark.parametrize(
    "text", ["", "NA", "n/a", "N/A", "NaN", ".", "-", "–", "—", "null", "None", "#N/A",
             "#DIV/0!", "?", " NA "],
)  # fmt: skip
def test_what_stands_for_a_missing_number_does_not_make_it_a_text(tmp_path, text):
    frame = read(tmp_path, f"yi,se\n0.5,1\n{text},2\n")
    np.testing.assert_array_equal(frame["yi"], [0.5, np.nan])


def test_levels_of_a_factor_stay_what_they_are(tmp_path):
    frame = read(tmp_path, "g,h,k\nNone,-,NA\nx,+,007\n-,-,y\n")
    assert frame["g"].tolist() == ["None", "x", "-"]
    assert frame["h"].tolist() == ["-", "+", "-"]
    assert frame["k"].isna().tolist() == [True, False, False]


def test_large_ids_are_not_rounded_into_one(tmp_path):
    frame = read(tmp_path, "id,x\n90071992547409930,1\n90071992547409931,2\n")
    assert frame["id"].tolist() == ["90071992547409930", "90071992547409931"]


def test_rows_have_the_lines_where_they_begin(tmp_path):
    text = 'study,yi\n"of two\nlines",1\n\nB,2\n,\nC,3\n\n'
    frame = read(tmp_path, text)
    assert frame.index.name == "line"
    assert frame.index.tolist() == [2, 5, 7]
    assert frame["study"].tolist() == ["of two\nlines", "B", "C"]


def test_numbers_are_read_to_the_last_digit(tmp_path):
    values = [0.1 + 0.2, 1 / 3, -2.2250738585072014e-308, 1.7976931348623157e308]
    frame = read(tmp_path, "x\n" + "\n".join(map(repr, values)))
    assert frame["x"].tolist() == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("yi,se,yi\n1,2,3\n", r"got 'yi' as columns 1 and 3 in line 1 of .*Rename"),
        ("yi, yi \n1,2\n", r"got 'yi' as columns 1 and 2 in line 1"),
        ("\nyi,se\n1,2\n1,2,3\n", r"up to 2 fields, .* line 2 has; got 3 in line 4 of"),
        ("yi;se\n0,5;0,1\n", r"the one column 'yi;se' in .*--sep ';' --decimal ','\."),
        ("yi;se\n0.5;0.1\n", r"got the one column 'yi;se' in .*Add --sep ';'\.$"),
        ("", r"^file: expected a table; .* is empty\.$"),
        ("\n \n", r"is empty\.$"),
        ("yi,se\n", r"^file: expected rows; .* has none below its header\.$"),
        ('a,b\n1,2\n"x,1\n2,3\n', r"line 3, unexpected end of data\. Check the quot"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"bytes of 0 .*--encoding utf-16-le"),
        (b"\xd0\xcf\x11\xe0rest", r"is an old workbook, or one with a password\. Save"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, message):
    with pytest.raises(rb.DataError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("sep", ["||", "", '"', "tabs"])
def test_a_separator_is_one_character_or_its_name(tmp_path, sep):
    with pytest.raises(rb.DataError, match=r"^--sep: expected one character, or tab"):
        read(tmp_path, "a,b\n1,2\n", sep=sep)


def test_names_that_differ_in_case_are_two_columns(tmp_path):
    assert [*read(tmp_path, "n,N\n1,2\n").columns] == ["n", "N"]


@pytest.mark.parametrize("name", ["data.xls", "data.ods", "data.sav", "data.rds"])
def test_files_of_other_programs_are_to_be_saved_as_csv(tmp_path, name):
    with pytest.raises(rb.DataError, match=r"is an? .*\. Save the table as \.xlsx or"):
        read(tmp_path, "anything", name)


def test_damaged_archives_are_refused(tmp_path):
    for name in ("d.csv.gz", "d.csv.zip", "d.csv.bz2", "d.csv.xz"):
        with pytest.raises(rb.DataError, match=r"cannot be read as a table"):
            read(tmp_path, b"no archive", name)
    cut = gzip.compress(b"a,b\n1,2\n" * 99)[:-12]
    with pytest.raises(rb.DataError, match=r"cannot be read as a table"):
        read(tmp_path, cut, "d.csv.gz")


def test_a_file_that_is_not_there_is_guessed(tmp_path):
    (tmp_path / "data.csv").write_text("a\n1\n")
    with pytest.raises(rb.DataError, match=r"not exist\. Did you mean .*data\.csv\?$"):
        read_table(tmp_path / "date.csv")
    with pytest.raises(rb.DataError, match=r"is a folder\. Give a file in it\.$"):
        read_table(tmp_path)


# ---- workbooks -------------------------------------------------------------
def test_a_workbook_is_read_like_a_text(tmp_path):
    path = workbook(tmp_path / "x.xlsx", data=[[None], *ROWS, [None, "", None]])
    frame = read_table(path).frame
    assert frame.to_dict("list") == {
        "study": ["A", "B", "C"], "yi": [0.2, -0.3, 0.1], "se": [0.1, 0.12, 0.09],
    }  # fmt: skip
    assert frame.index.name == "sheet row"
    assert frame.index.tolist() == [3, 4, 5]


def test_texts_and_numbers_of_a_workbook_mix(tmp_path):
    rows = [["yi", "id"], ["−0.5", 1], [0.25, "1a"], [None, 2.0], ["NA", "3"]]
    frame = read_table(workbook(tmp_path / "x.xlsx", data=rows)).frame
    np.testing.assert_array_equal(frame["yi"], [-0.5, 0.25, np.nan, np.nan])
    assert frame["id"].tolist() == ["1", "1a", "2", "3"]


def test_one_of_several_sheets_is_read_with_a_warning_or_by_name(tmp_path):
    other = [["d", "se"], [1.0, 2.0]]
    path = workbook(tmp_path / "x.xlsx", empty=[], data=ROWS, more=other)
    with pytest.warns(rb.DataWarning, match=r"^--sheet: .*'data' is read, and not 'm"):
        assert len(read_table(path).frame) == 3
    assert read_table(path, sheet="more").frame.to_dict("list") == {
        "d": [1.0], "se": [2.0],
    }  # fmt: skip
    with pytest.raises(rb.DataError, match=r"^--sheet: .*'empty', 'data', 'more'; got"):
        read_table(path, sheet="data2")
    with pytest.raises(rb.DataError, match=r"^file: expected a table; .* is empty"):
        read_table(path, sheet="empty")
    with pytest.raises(rb.DataError, match=r"^--sheet: expected an \.xlsx workbook"):
        read(tmp_path, "a,b\n1,2\n", sheet="data")


def test_a_workbook_by_another_name_is_recognised(tmp_path):
    path = workbook(tmp_path / "x.xlsx", data=ROWS)
    assert len(read(tmp_path, path.read_bytes(), "x.csv")) == 3


def test_without_openpyxl_the_remedy_is_named(tmp_path, monkeypatch):
    path = workbook(tmp_path / "x.xlsx", data=ROWS)
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(
        rb.DataError, match=r"Run 'pip install openpyxl', or save the sheet as CSV\.$"
    ):
        read_table(path)


def test_a_damaged_workbook_is_refused(tmp_path):
    with pytest.raises(rb.DataError, match=r"cannot be read as a workbook: .*Save it"):
        read(tmp_path, b"PK\x03\x04 and no more", "x.xlsx")


# ---- cells that are no numbers ---------------------------------------------
@pytest.mark.parametrize(
    ("cell", "options", "remedy"),
    [
        ('"0,5"', (), r"'0,5' at line 3\. Add --decimal ',' --sep ',' if the comma is"),
        ('"1,234"', (), r"'1,234' at line 3\. Remove what separates thousands, or add"),
        ("1 234", (), r"'1 234' at line 3\. Remove what separates thousands\.$"),
        ("12%", (), r"'12%' at line 3\. Write proportions, such as 0\.12 for 12%\.$"),
        ("0.5*", (), r"'0\.5\*' at line 3\. Leave only the number in a cell"),
        (
            "0.5",
            ("--decimal", ",", "--sep", ","),
            r"'0.5' at line 3\. The decimal point is a",
        ),
    ],
)
def test_a_cell_that_is_no_number_has_its_line_and_a_remedy(
    refused, cell, options, remedy
):
    text = f"yi,se\n1,2\n{cell},2\n"
    message = refused(text, "--d", "yi", "--se", "se", *options)
    assert re.search(rf"^--d: expected numbers in 'yi'; got {remedy}", message)


def test_of_several_such_cells_the_first_is_shown(refused):
    message = refused("yi,se\nx,1\n2,1\ny,1\n", "--d", "yi", "--se", "se")
    assert "got 'x' at line 2 and 1 more." in message


# ---- words of the command line ---------------------------------------------
COLUMNS = ("--d", "yi", "--se", "se")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("yi,se\n0.1,0.2\n", (), "--d: expected an effect, one or more of --d, --r, "),
        ("d,se\n0.1,0.2\n", (), "Did you mean --d d, --se se?"),
        ("yi,se\n0.1,0.2\n", ("--d", "yi"), "--se: expected a measure of precision"),
        (
            "yi,se\n0.1,0.2\n", ("--d", "yj", "--se", "se"),
            '--d: expected a column of the file; got "yj".',
        ),
        ("yi,se\n0.1,-0.2\n", COLUMNS, 'got -0.2 at line 2 ("Study 1"). Drop the row'),
        ("yi,se\n0.1,-0.2\n", COLUMNS, "or give --n so that --se can be computed."),
        (
            "yi,se\n0.1,0.2\n,0.1\n", COLUMNS,
            '--d: expected a value in every row; 1 of 2 rows lacks one, in d (1): line '
            '3 ("Study 2"). Drop it with --missing drop, or fill in what is missing.',
        ),
        ("yi,se\n0.1,0.2\n", (*COLUMNS, "--chains", "1"), "--chains: expected a whole"),
        (
            "yi,se\n0.1,0.2\n", (*COLUMNS, "--transformation", "none"),
            "--transformation: expected",
        ),
    ],
)  # fmt: skip
def test_errors_name_options_and_lines(refused, content, options, message):
    assert message in refused(content, *options)


def test_the_cases_of_a_name_twice_and_of_a_missing_file(refused):
    text = "study,yi,se,yi\nA,0.2,0.1,1\n"
    assert "got 'yi' as columns 2 and 4 in line 1 of" in refused(text, *COLUMNS)
    assert refused(None, *COLUMNS, name="none.csv").startswith(
        "file: expected a file; ./none.csv does not exist."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study_ids: set rescale_priors.", "--study-ids: set --rescale-priors."),
        ("d, r: expected one.", "--d, --r: expected one."),
        ("x: use priors_bias=None.", "x: use --no-bias."),
        ("x: write effect_mapping='exact'.", "x: write --effect-mapping exact."),
        ('x: choose transformation="r".', "x: choose --transformation r."),
        ("x: got 'study_ids'.", "x: got 'study_ids'."),
        ("d: no. The columns are study_ids.", "--d: no. The columns are study_ids."),
    ],
)  # fmt: skip
def test_arguments_become_options_where_they_are_meant(text, expected):
    assert option_words(text) == expected


def test_an_option_of_another_package_is_answered_with_the_right_one(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "x.csv", "--yi", "yi", "--vi=vi", "--parallel", "--out", "o"])
    assert exit_.value.code == 2
    text = capsys.readouterr().err
    assert "unrecognized arguments: --yi yi --vi=vi --parallel. For --yi, name" in text
    assert "For --vi, write --v for sampling variances. For --parallel, write" in text


# ---- rows that are dropped -------------------------------------------------
def test_dropped_rows_are_named_and_the_others_fitted(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text("study,yi,se,age\nA,0.2,0.1,1\nB,NA,0.2,2\nC,0.3,,3\nD,.1,.3,4\n")
    code = main(
        ["fit", str(path), *COLUMNS, "--study-names", "study", "--missing", "drop",
         "--no-bias", "--no-figures", "--quiet", "--seed", "1", "--chains", "2",
         "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert code in (0, 3)
    assert capsys.readouterr().err.splitlines()[0] == (
        "Warning: --d, --se: 2 of 4 rows are dropped, which lack a value in d (1) and "
        'se (1): line 3 ("B") and line 4 ("C").'
    )
    saved = rb.load(tmp_path / "out" / "fit.pyrobma")
    assert saved.task.effects.names == ("A", "D")


def test_rows_without_a_test_or_a_size_are_dropped_where_effects_are_computed(
    tmp_path, capsys, monkeypatch
):
    path = tmp_path / "data.csv"
    path.write_text("t,F,n1,n2\n2,,20,20\n,,30,30\n1,,25,\n,4,20,20\n")

    def passed_on(table, *, missing, transformation, **arguments):
        effects = rb.effect_sizes(
            table,
            missing=missing,
            **{n: arguments[n] for n in COLUMNS_OF_ROBMA if n[-1] not in "12"},
        )
        assert effects.names == ("Study 1", "Study 4")
        # |t| = sqrt(F) = 2 with groups of one size in both rows that are left.
        assert effects.y[0] == effects.y[1] > 0
        raise rb.DataError("Enough.")

    monkeypatch.setattr("pyrobma.commands.fit.robma", passed_on)
    options = ["--t", "t", "--F", "F", "--sign", "1", "--n1", "n1", "--n2", "n2"]
    out = ["--quiet", "--out", str(tmp_path / "out")]
    assert main(["fit", str(path), *options, "--missing", "drop", *out]) == 1
    warning, error = capsys.readouterr().err.splitlines()
    assert "2 of 4 rows are dropped" in warning
    assert warning.endswith('line 3 ("Study 2") and line 4 ("Study 3").')
    assert error == "Error: Enough."


def test_a_table_without_flaws_is_read_without_a_warning(tmp_path):
    table = rb.load_dataset("konstantopoulos2011")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read(tmp_path, table.to_csv(index=False))
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), table)
