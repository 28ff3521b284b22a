"""The options of ``python -m pyrobma fit``."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from pyrobma.commands.reported import add_reported
from pyrobma.effects import CONTRASTS
from pyrobma.effects.moderators import Missing
from pyrobma.models import ABSENT, ModsPrior
from pyrobma.parameters import BIAS, COMPONENTS
from pyrobma.priors import Prior, default_priors

_EFFECTS = {
    "d": "Cohen's d or Hedges' g",
    "r": "correlations",
    "z": "Fisher's z",
    "logOR": "log odds ratios",
    "OR": "odds ratios",
    "y": "effects in units of their own",
}
_SPREADS = {
    "se": "standard errors",
    "v": "sampling variances",
    "n": "total sample sizes",
    "t": "t or z statistics",
    "p": "two-sided p-values",
    "lCI": "lower ends of 95 %% confidence intervals",
    "uCI": "upper ends",
}
_EVENTS = {
    "x1": "events in group 1, the treatment, with its members in --n1",
    "x2": "events in group 2, with its members in --n2",
    "t1": "person-time of group 1, instead of --n1",
    "t2": "person-time of group 2, instead of --n2",
}
COLUMNS = (*_EFFECTS, *_SPREADS, *_EVENTS, "study_names", "study_ids")
_OPTIONS = {
    f"priors_{component.name}{'_null' if null else ''}": (component, null)
    for component in COMPONENTS
    if component != BIAS
    for null in (False, True)
}
PRIORS = tuple(_OPTIONS)
FORMULAS = ("mods", "scale")
"""Options that say what moderators of effects and of heterogeneity there are."""
BESIDE = {
    ("mods",): ("test_mods", "priors_mods", "priors_mods_null"),
    ("scale",): ("test_scale", "priors_scale", "priors_scale_null"),
    FORMULAS: (
        "contrasts", "no_standardize", "center", "no_heredity", "mods_prior", "predict",
    ),
}  # fmt: skip
"""Options that say more of moderators, by the formulas of which one must be there."""
MODERATORS = (*FORMULAS, *(name for names in BESIDE.values() for name in names))
"""All options that say something of moderators."""
_EPILOG = """\
examples:
  python -m pyrobma fit data.csv --d yi --v vi --study-ids district --out results
  python -m pyrobma fit data.csv --r r --n n --no-bias --output-scale r --out results
  python -m pyrobma fit data.csv --t t --n1 n1 --n2 n2 --out results
  python -m pyrobma fit data.csv --design paired --t t --n n --correlation 0.5 \\
      --out results
  python -m pyrobma fit data.csv --x1 ai --n1 n1i --x2 ci --n2 n2i \\
      --output-scale OR --sensitivity baseline --out results
  python -m pyrobma fit data.csv --logOR lor --se se --prior-scale logOR \\
      --priors-effect "Normal(0, 0.5)" --priors-effect-null "Spike(0)" --out results
  python -m pyrobma fit data.csv --r r --se se --no-bias --mods "measure + age" \\
      --priors-mods "age: Normal(0, 0.5)" --predict new.csv --out results
  python -m pyrobma fit data.csv --d yi --v vi --mods "year" --scale "year + design" \\
      --priors-scale "year: Normal(0, 0.3)" --sensitivity "tau ~ year" --out results

The folder gets report.html (everything on one page), tables/ (CSV and HTML), figures/
(PNG of 300 dpi, PDF and SVG), draws.nc (draws of every model, NetCDF for ArviZ),
fit.pyrobma (for pyrobma.load) and settings.json. What cannot be made, such as a figure,
is a warning, and the report says so in its place. In CSV files a text that a
spreadsheet would take for a formula, since it begins with = + - @ or a tab, has an
apostrophe before it.

exit codes:
  0    done
  1    could not be done; the message says why
  2    wrong usage
  3    done, but a model missed one of its checks; the report says which
  130  interrupted

Models that were finished before a failure or an interruption (Ctrl-C) are kept in
finished.pyrobma in the folder: give it to --resume. With --cache they are kept whatever
ends the command.
"""


def add_options(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the command to a parser, and the function that runs it."""
    text = "fit a meta-analysis of the estimates in a file"
    parser: argparse.ArgumentParser = commands.add_parser(
        "fit",
        help=text,
        description=f"{text.capitalize()} and write a folder of results.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", type=Path, help="a table with one row per estimate: CSV or .xlsx"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where results go"
    )
    parser.add_argument(
        "--overwrite", action="store_true",
        help="write into a folder that has files in it; what an earlier run wrote "
        "there is deleted, other files stay. Files that are links are replaced and not "
        "followed; the folder itself must not be a link then",
    )  # fmt: skip
    parser.add_argument(
        "--sep", metavar="TEXT",
        help="what separates columns: a character, or tab; default: tab in .tsv files, "
        "semicolon with --decimal ',', else comma",
    )  # fmt: skip
    parser.add_argument(
        "--decimal", choices=(".", ","), default=".",
        help="decimal point of the file (default: .)",
    )  # fmt: skip
    parser.add_argument(
        "--encoding", default="utf-8", metavar="NAME",
        help="encoding of the file, e.g. latin-1 (default: utf-8)",
    )  # fmt: skip
    parser.add_argument(
        "--sheet", metavar="NAME",
        help="sheet of an .xlsx workbook, which needs the package openpyxl (default: "
        "the first one)",
    )  # fmt: skip
    parser.add_argument(
        "--missing", choices=get_args(Missing), default="error",
        help="what to do with rows that lack an effect, its precision or a moderator: "
        "refuse them, or leave them out with a warning that says which (default: "
        "error)",
    )  # fmt: skip

    group = parser.add_argument_group("columns of the file: effect sizes, one of")
    for name, help_ in _EFFECTS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=help_)
    group = parser.add_argument_group("columns of the file: how precise they are")
    for name, help_ in _SPREADS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=help_)
    group = parser.add_argument_group(
        "columns of the file: events of two groups, as they are, instead of effects"
    )
    for name, help_ in _EVENTS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=help_)
    add_reported(parser)
    group = parser.add_argument_group("columns of the file: what belongs together")
    group.add_argument("--study-names", metavar="COLUMN", help="labels of estimates")
    group.add_argument(
        "--study-ids", metavar="COLUMN",
        help="estimates with one id form a cluster, whose true effects correlate",
    )  # fmt: skip

    group = parser.add_argument_group("models")
    bias = group.add_mutually_exclusive_group()
    bias.add_argument(
        "--model-type", choices=("PSMA", "PP", "2w"),
        help="publication bias: six weight functions, PET and PEESE (PSMA, default); "
        "PET and PEESE (PP); two two-sided weight functions (2w)",
    )  # fmt: skip
    bias.add_argument(
        "--no-bias", action="store_true", help="no models of publication bias"
    )
    group.add_argument(
        "--effect-direction", choices=("positive", "negative"), default="positive",
        help="sign of effects that publication bias favours (default: positive)",
    )  # fmt: skip
    for name, (component, null) in _OPTIONS.items():
        where = "without" if null else "with"
        group.add_argument(
            f"--{name.replace('_', '-')}", nargs="+", metavar="PRIOR",
            help=f"of models {where} {component.words}, e.g. "
            f"'{_example(component.name, null)}', or none",
        )  # fmt: skip
    group.add_argument(
        "--informed", metavar="FIELD",
        help="priors of effect and heterogeneity from a field of medicine, e.g. "
        "'Oral Health' or 'Cochrane'; see pyrobma.informed_priors()",
    )  # fmt: skip
    group.add_argument(
        "--informed-type", choices=("smd", "logOR", "logRR", "RD", "logHR"),
        help="measure of these: smd or logOR by --prior-scale (default); must be "
        "given if that is none",
    )  # fmt: skip
    group.add_argument(
        "--baseline", metavar="PRIOR",
        help="of events: conditional (default), which has no prior of baselines; "
        "'Beta(1, 1)' of the risk midway between the groups; of rates unit-information "
        "or e.g. 'Lognormal(-5, 1)'",
    )  # fmt: skip
    group.add_argument(
        "--rescale-priors", type=float, default=1.0, metavar="FACTOR",
        help="factor on the scale of the default priors (default: 1)",
    )  # fmt: skip

    _add_moderators(parser)

    group = parser.add_argument_group("scales")
    group.add_argument(
        "--transformation", metavar="MEASURE",
        help="measure of the likelihood: fishers_z (default), cohens_d, r, logOR, or "
        "none (default with --y)",
    )  # fmt: skip
    group.add_argument(
        "--prior-scale", metavar="MEASURE",
        help="measure of the priors: cohens_d (default), fishers_z, r, logOR, or none "
        "(default with --y)",
    )  # fmt: skip
    group.add_argument(
        "--effect-mapping", choices=("linear", "exact"), default="linear",
        help="how mu goes from the prior scale to the likelihood (default: linear)",
    )  # fmt: skip
    group.add_argument(
        "--output-scale", metavar="MEASURE",
        help="measure of the results: cohens_d, fishers_z, r, logOR, OR, of rates "
        "logIRR, IRR (default: the prior scale)",
    )  # fmt: skip

    group = parser.add_argument_group("computation")
    for name, help_ in {
        "seed": "makes the results reproducible",
        "chains": "Markov chains per model (default: 4)",
        "warmup": "warm-up iterations per chain (default: 300)",
        "draws": "iterations per chain, at least (default: by number of models)",
        "cores": "processes at the same time (default: all)",
    }.items():
        group.add_argument(f"--{name}", type=int, metavar="N", help=help_)
    group.add_argument(
        "--resume", type=Path, metavar="FILE",
        help="take models of the same data, priors and settings from a fit.pyrobma or "
        "finished.pyrobma",
    )  # fmt: skip
    group.add_argument(
        "--cache", type=Path, metavar="DIR",
        help="a folder where models are stored as they are finished, and looked for: "
        "the same command goes on from there even after a crash or a kill",
    )  # fmt: skip
    group.add_argument(
        "--sensitivity", nargs="+", metavar="COMPONENT",
        help="fit again with other scales of the priors of effect, heterogeneity, "
        "hierarchical, PET, PEESE, a term of --mods, or 'tau ~ year' for one of "
        "--scale; of events with other baselines (baseline); writes a table and a "
        "figure",
    )  # fmt: skip
    group.add_argument(
        "--stan", action="store_true",
        help="write the data of every model for its Stan program to stan/, with a draw "
        "and the log density there, for other interfaces of Stan",
    )  # fmt: skip
    group.add_argument(
        "--no-figures", action="store_true", help="tables and draws only, no report"
    )
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run)


def _add_moderators(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("moderators")
    group.add_argument(
        "--mods", metavar="FORMULA",
        help="of effects: columns of the file, e.g. 'measure + age', 'measure * "
        "log(age)' or 'C(year)'; every model is fitted with and without each term",
    )  # fmt: skip
    group.add_argument(
        "--scale", metavar="FORMULA",
        help="of heterogeneity, in the same way: log tau depends on them; every model "
        "with heterogeneity is fitted with and without each term",
    )  # fmt: skip
    group.add_argument(
        "--contrasts", choices=CONTRASTS,
        help="factors as deviations of levels from their mean (meandif, default; "
        "orthonormal) or as differences from the first level (treatment)",
    )  # fmt: skip
    group.add_argument(
        "--no-standardize", action="store_true", default=None,
        help="take numbers as they are; default: centred, and divided by their "
        "standard deviation",
    )  # fmt: skip
    group.add_argument(
        "--center", nargs="+", metavar="WHERE",
        help="centre numbers at their mean over rows (default) or clusters, or at "
        "numbers by name, e.g. year=2000",
    )  # fmt: skip
    for formula in FORMULAS:
        group.add_argument(
            f"--test-{formula}", nargs="+", metavar="TERM",
            help=f"terms of --{formula} that models are fitted without too, all "
            "(default) or none",
        )  # fmt: skip
    group.add_argument(
        "--no-heredity", action="store_true", default=None,
        help="fit models with an interaction and without what it is made of, too",
    )  # fmt: skip
    group.add_argument(
        "--mods-prior", choices=get_args(ModsPrior),
        help="each term is in with probability 1/2 (independent, default), or every "
        "number of terms is as probable as any other (beta-binomial)",
    )  # fmt: skip
    for formula, null in itertools.product(FORMULAS, (False, True)):
        side, prior = ("without", "Spike(0)") if null else ("with", "Normal(0, 0.5)")
        group.add_argument(
            f"--priors-{formula}{'-null' if null else ''}", nargs="+",
            metavar="'TERM: PRIOR'",
            help=f"of models {side} a term of --{formula}, e.g. 'age: {prior}', or "
            "'age: none'",
        )  # fmt: skip
    group.add_argument(
        "--predict", type=Path, metavar="FILE",
        help="a table with the columns of the formulas, of the same form as that of "
        "the estimates; mean effects and prediction intervals go to "
        "tables/predictions.csv",
    )  # fmt: skip


def _example(component: Any, null: bool) -> Prior:
    return (*default_priors(component, null=null), ABSENT)[0]
