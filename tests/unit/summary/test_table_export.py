"""Tables as Markdown, HTML and LaTeX."""

from __future__ import annotations

import pickle
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from pyrobma import Summary, Table
from pyrobma._format import error, fixed
from pyrobma.summary.grid import by_row

NUMBERS = pd.DataFrame(
    {"Mean": [0.12345, -0.5, 0.00012], "error": [0.01, 0.0, 2e-9]},
    index=["mu", "omega[0,0.05]", "R&D 5% #1_a ~ {x}^2 \\ $ <i>|*τ²"],
)
TABLE = Table(
    "Estimates & more:",
    NUMBERS.assign(Note=["a<b", "c|d", "50 %"]),
    {**by_row(NUMBERS[["Mean"]], None), "error": error},
    ("A note & 5 % more.", "τ is tau."),
)
SUMMARY = Summary("Heading_1", {"estimates": TABLE}, ("Model 1 <x> fails.",))
EMPTY = Table("Nothing:", pd.DataFrame(), notes=("Why & how.",))


class Reader(HTMLParser):
    """Cells by row, and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.styles = [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def read(html):
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader.rows


def test_html_is_well_formed_and_holds_every_cell_as_text():
    rows = read(TABLE.to_html())
    assert rows[0] == ["", "Mean", "error", "Note"]
    assert [[cell.strip() for cell in row] for row in rows[1:]] == [
        ["μ", "0.123", "0.010", "a<b"],
        ["ω[0,0.05]", "-0.500", "0", "c|d"],
        [NUMBERS.index[2], "0.000120", "2.0e-09", "50 %"],
    ]
    assert "<caption>Estimates &amp; more</caption>" in TABLE.to_html()
    assert "<div>A note &amp; 5 % more.</div>" in TABLE.to_html()


def test_html_needs_no_other_file_and_is_the_same_each_time():
    html = SUMMARY.to_html()
    assert not re.search(r"https?:|<script|<link|url\(", html)
    assert html == SUMMARY.to_html() == SUMMARY._repr_html_()
    assert pickle.loads(pickle.dumps(SUMMARY)).to_html() == html


def test_tables_on_one_page_do_not_style_each_other():
    other = Table("Others:", NUMBERS, {"Mean": fixed(3), "error": error})
    ids = re.findall(r'<table id="(\w+)"', TABLE.to_html() + other.to_html())
    assert len(set(ids)) == 2
    style = TABLE.to_html().split("<style")[1].split("</style>")[0]
    selectors = re.findall(r"^(.*)\{", style, flags=re.MULTILINE)
    assert selectors
    assert all(selector.startswith(f"#{ids[0]}") for selector in selectors)


def test_numbers_are_to_the_right_and_words_to_the_left():
    latex = TABLE.to_latex()
    assert r"\begin{tabular}{lrrl}" in latex
    assert "|:--" in TABLE.to_markdown()
    assert TABLE.to_markdown().count("--:|") == 2


def test_latex_escapes_what_is_special_and_writes_greek_and_powers():
    latex = TABLE.to_latex()
    assert r"\caption{Estimates \& more}" in latex
    assert "\n$\\mu$ & 0.123\\phantom{0}\\phantom{0}\\phantom{0} & 0.010 &" in latex
    assert r"$\omega_{[0,0.05]}$ & $-0.500$\phantom{0}" in latex
    assert (
        r"R\&D 5\% \#1\_a \textasciitilde{} \{x\}\textasciicircum{}2 "
        r"\textbackslash{} \$ \textless{}i\textgreater{}\textbar{}*$\tau$"
        r"\textsuperscript{2} & 0.000120 & $2.0 \times 10^{-9}$ & 50 \% \\"
    ) in latex
    assert r"A note \& 5 \% more." in latex
    assert latex.isascii()


def test_latex_has_the_rules_of_booktabs_and_no_others():
    latex = SUMMARY.to_latex()
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert latex.count(rule) == 1
    assert r"\hline" not in latex
    begun = re.findall(r"\\begin\{(\w+)\}", latex)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", latex))
    assert begun[:2] == ["table", "tabular"]


def test_an_infinite_bayes_factor_is_a_symbol_in_latex():
    frame = pd.DataFrame({"BF": [1.0, 2.0]}, index=["Effect", "Bias"])
    latex = Table("T:", frame, {"BF": ("Inf", "9.337e+92")}).to_latex()
    assert r"Effect & $\infty$ \\" in latex
    assert r"Bias & $9.337 \times 10^{92}$ \\" in latex


def test_markdown_is_a_pipe_table_with_every_special_character_escaped():
    lines = TABLE.to_markdown().splitlines()
    assert lines[0] == "**Estimates & more**"
    rows = [line for line in lines if line.startswith("|")]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    assert cells[0] == ["", "Mean", "error", "Note"]
    assert cells[2] == ["mu", "0.123", "0.010", r"a\<b"]
    assert cells[3] == ["omega[0,0.05]", "-0.500", "0", r"c\|d"]
    assert all(len(row) == 4 for row in cells)
    assert cells[4][0] == r"R&D 5% #1\_a \~ {x}\^2 \\ \$ \<i>\|\*τ²"
    assert lines[-1] == "τ is tau."


@pytest.mark.parametrize("form", ["to_html", "to_latex", "to_markdown"])
def test_a_summary_holds_heading_tables_and_warnings(form):
    text = getattr(SUMMARY, form)()
    assert getattr(TABLE, form)().strip() in text
    assert "Heading" in text
    assert "Warning: Model 1" in text
    assert "<x> fails" not in text or form == "to_markdown"


@pytest.mark.parametrize("form", ["to_html", "to_latex", "to_markdown"])
def test_an_empty_table_is_its_title_and_notes(form):
    text = getattr(EMPTY, form)()
    assert "Nothing" in text
    assert "Why" in text
    assert not re.search(r"<table|tabular|\|", text)


def test_rows_of_one_name_are_all_shown():
    frame = pd.DataFrame({"Mean": [1.0, 2.0]}, index=["Smith", "Smith"])
    table = Table("Twice:", frame, {"Mean": fixed(1)})
    assert [row[0] for row in read(table.to_html())[1:]] == ["Smith", "Smith"]
    assert table.to_latex().count("Smith &") == 2
    assert table.to_markdown().count("| Smith") == 2


# ---- text from outside -------------------------------------------------------------
EVIL = [
    r"omega[\input{/etc/passwd}]",
    r"omega[0,0.05]}\input{x}",
    r"\write18{rm}",
    "$x$",
    "a & b",
    "# % _ ^ ~ {} \\",
    "line\n\nbreak",
    "[x](javascript:alert(1))",
    "![x](http://evil/a.png)",
    "<script>alert(1)</script>",
    "`code` &lt;b&gt;",
    "--- | ---",
    "[2em] *star*",
    "=cmd()",
]


def everywhere(text):
    """A text as title, header, row label, cell and note."""
    # A header that equals the heading of the row labels would leave that out.
    frame = pd.DataFrame({f"{text} ": [text]}, index=pd.Index([text], name=text))
    return Table(text, frame, notes=(text,))


def body(latex):
    """LaTeX without what the package itself writes."""
    own = (
        r"\\(begin|end)\{(table|tabular|flushleft)\}(\{l+\})?|\\(top|mid|bottom)rule"
        r"|\\centering|\\caption|\\par\\smallskip|\\footnotesize|\\\\$"
        r"|\\text(backslash|ascii(tilde|circum)|less|greater|bar)\{\}"
    )
    return re.sub(own, "", latex, flags=re.MULTILINE)


@pytest.mark.parametrize("text", EVIL)
def test_no_text_is_a_command_or_maths_in_latex(text):
    latex = everywhere(text).to_latex()
    rest = re.sub(r"\\[$&%#_{}]", "", body(latex))
    assert not re.search(r"[\\$%#_^~]", rest)
    rows = [line for line in rest.splitlines() if "&" in line]
    assert [row.count("&") for row in rows] == [1, 1]
    # Only the braces of the caption, and those before a row's first character.
    assert rest.replace("{}", "").count("{") == rest.replace("{}", "").count("}") == 1
    assert not re.search(r"\n\s*\n", latex.strip())


def test_no_cell_is_taken_for_an_argument_of_the_row_before():
    for line in everywhere("[2em] *star*").to_latex().splitlines():
        assert not line.startswith(("[", "*"))
    assert (
        "\n{}[2em] *star* & [2em] *star* \\\\\n"
        in everywhere("[2em] *star*").to_latex()
    )


def test_only_intervals_of_numbers_are_weights():
    for label in ("omega[0,0.025]", "omega[1e-05,0.5]"):
        assert rf"$\omega_{{{label[5:]}}}$ &" in everywhere(label).to_latex()
        assert f"| {label} " in everywhere(label).to_markdown()
    latex = everywhere("omega[a,b]").to_latex()
    assert "omega[a,b] &" in latex
    assert "$" not in latex


@pytest.mark.parametrize("text", EVIL)
def test_no_text_is_markup_in_markdown(text):
    markdown = everywhere(text).to_markdown()
    rest = re.sub(r"\\[\\`*_|<\[\]$~^&]", "", markdown.replace("**", ""))
    assert not re.search(r"[`*_<\[\]$~^]|&\w+;", rest)
    rows = [line for line in rest.splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [3, 3, 3]
    assert len(markdown.strip().split("\n\n")) == 3


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("# Heading", r"\# Heading"),
        ("> quote", r"\> quote"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("1. item", r"1\. item"),
        ("12) item", r"12\) item"),
        ("===", r"\==="),
        ("[a]: javascript:alert(1)", r"\[a\]: javascript:alert(1)"),
        ("95 % of 3.5", "95 % of 3.5"),
        ("3.5 of 95 %", "3.5 of 95 %"),
    ],
)
def test_a_paragraph_of_markdown_is_a_paragraph(text, written):
    assert everywhere(text).to_markdown().split("\n\n")[-1] == written + "\n"
    assert Summary(text, {}).to_markdown() == written + "\n"


@pytest.mark.parametrize("text", EVIL)
def test_every_text_is_the_same_text_in_html(text):
    html = everywhere(text).to_html()
    rows = read(html)
    shown = [text.capitalize(), text]
    assert [[cell.strip() for cell in row] for row in rows] == [shown, [text, text]]
    tags = set(re.findall(r"<(\w+)", html))
    assert tags == {
        "div",
        "style",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }


def test_notebooks_look_for_no_maths_in_html():
    for html in (TABLE.to_html(), SUMMARY.to_html(), EMPTY.to_html()):
        assert html.startswith('<div class="tex2jax_ignore mathjax_ignore"')


def test_ends_of_a_central_interval_have_one_heading_in_html():
    frame = pd.DataFrame(
        {"Mean": [0.5], "0.05": [0.1], "0.95": [0.9], "PI 0.025": [0.0],
         "PI 0.975": [1.0], "0.5": [0.5], "0.8": [0.7]},
        index=["mu"],
    )  # fmt: skip
    html = Table("Estimates:", frame, by_row(frame, None)).to_html()
    assert read(html)[0] == ["", "Mean", "90% CI", "95% PI", "0.5", "0.8"]
    assert 'colspan="2" title="from the 0.05 to the 0.95 quantile">90% CI' in html
    assert len(read(html)[1]) == 8


def test_symbols_are_for_parameters_and_not_for_studies_of_their_name():
    frame = pd.DataFrame({"Mean": [1.0, 2.0]}, index=["tau2", "omega[0.05,1]"])
    html = Table("Estimates:", frame).to_html()
    assert '<th scope="row">τ<sup>2</sup></th>' in html
    assert '<th scope="row">ω<sub>[0.05,1]</sub></th>' in html
    studies = Table("Studies:", frame.rename_axis("Study")).to_html()
    assert '<th scope="row">tau2</th>' in studies


def test_a_page_with_a_style_gets_tables_without_one():
    html = TABLE.to_html(styled=False)
    assert "style" not in html
    assert " id=" not in html
    assert read(html) == read(TABLE.to_html())
