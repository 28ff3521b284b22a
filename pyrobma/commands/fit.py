"""``python -m pyrobma fit``: from a table in a file to a folder of results."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyrobma.api import RobmaFit, load, robma
from pyrobma.commands.results import write_results
from pyrobma.errors import DataError, PyrobmaError
from pyrobma.fit import FitError
from pyrobma.priors import Prior, prior_from_text, prior_informed

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
    "lCI": "lower ends of 95 %% confidence intervals",
    "uCI": "upper ends",
}
_COLUMNS = (*_EFFECTS, *_SPREADS, "study_names", "study_ids")
_PRIORS = tuple(
    f"priors_{component}{side}"
    for component in ("effect", "heterogeneity", "hierarchical")
    for side in ("", "_null")
)
_PASSED_ON = (
    "transformation", "prior_scale", "effect_mapping", "effect_direction",
    "rescale_priors", "model_type", "chains", "warmup", "draws", "seed", "cores",
)  # fmt: skip

_EPILOG = """\
examples:
  python -m pyrobma fit data.csv --d yi --v vi --study-ids district --out results
  python -m pyrobma fit data.csv --r r --n n --no-bias --output-scale r --out results
  python -m pyrobma fit data.csv --logOR lor --se se --prior-scale logOR \\
      --priors-effect "Normal(0, 0.5)" --priors-effect-null "Spike(0)" --out results

The folder gets report.html (everything on one page), tables/ (CSV and HTML), figures/
(PNG and SVG), draws.nc (draws of every model, NetCDF for ArviZ), fit.pyrobma (for
pyrobma.load) and settings.json.

exit codes:
  0    done
  1    could not be done; the message says why. Models that were finished are kept in
       finished.pyrobma: give it to --resume
  2    wrong usage
  3    done, but a model missed one of its checks; the report says which
  130  interrupted
"""


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    text = "fit a meta-analysis of the estimates in a file"
    parser: argparse.ArgumentParser = commands.add_parser(
        "fit",
        help=text,
        description=f"{text.capitalize()} and write a folder of results.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="a table with one row per estimate")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where results go"
    )
    parser.add_argument(
        "--overwrite", action="store_true",
        help="write into a folder that has files in it",
    )  # fmt: skip
    parser.add_argument(
        "--sep", help="what separates columns; default: tab in .tsv files, else comma"
    )

    group = parser.add_argument_group("columns of the file: effect sizes, one of")
    for name, help_ in _EFFECTS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=help_)
    group = parser.add_argument_group("columns of the file: how precise they are")
    for name, help_ in _SPREADS.items():
        group.add_argument(f"--{name}", metavar="COLUMN", help=help_)
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
    for name in _PRIORS:
        component, _, null = name.removeprefix("priors_").partition("_")
        where = "without" if null else "with"
        group.add_argument(
            f"--{name.replace('_', '-')}", nargs="+", metavar="PRIOR",
            help=f"of models {where} {_COMPONENTS[component]}, e.g. "
            f"'{_EXAMPLES[component, bool(null)]}', or none",
        )  # fmt: skip
    group.add_argument(
        "--informed", metavar="FIELD",
        help="priors of effect and heterogeneity from a field of medicine, e.g. "
        "'Oral Health' or 'Cochrane'; see pyrobma.informed_priors()",
    )  # fmt: skip
    group.add_argument(
        "--informed-type", choices=("smd", "logOR", "logRR", "RD", "logHR"),
        help="measure of these; default: smd, with --prior-scale logOR logOR",
    )  # fmt: skip
    group.add_argument(
        "--rescale-priors", type=float, default=1.0, metavar="FACTOR",
        help="factor on the scale of the default priors (default: 1)",
    )  # fmt: skip

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
        help="measure of the results: cohens_d, fishers_z, r, logOR, OR (default: "
        "the prior scale)",
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
        "--no-figures", action="store_true", help="tables and draws only, no report"
    )
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run)


_COMPONENTS = {
    "effect": "an effect",
    "heterogeneity": "heterogeneity",
    "hierarchical": "clustering",
}
_EXAMPLES = {
    ("effect", False): "Normal(0, 1)",
    ("effect", True): "Spike(0)",
    ("heterogeneity", False): "InvGamma(1, 0.15)",
    ("heterogeneity", True): "Spike(0)",
    ("hierarchical", False): "Beta(1, 1)",
    ("hierarchical", True): "Spike(0)",
}


def run(options: argparse.Namespace) -> int:
    """Fit what the options say and write the results; return the exit code."""
    say = _silent if options.quiet else _say
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            fit = _fit(options, say)
        for text in dict.fromkeys(str(w.message) for w in caught):
            _say(f"Warning: {text}")
        write_results(
            fit,
            options.out,
            settings=_settings(options, fit),
            output_scale=options.output_scale,
            with_figures=not options.no_figures,
            say=say,
        )
    except (PyrobmaError, OSError) as error:
        _say(f"Error: {error}")
        return 1
    say(f"Done: {options.out}")
    return 0 if all(model.ok for model in fit.fits) else 3


def _fit(options: argparse.Namespace, say: Any) -> RobmaFit:
    folder: Path = options.out
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--out: expected a folder; got the file {folder}.")
    if folder.is_dir() and any(folder.iterdir()) and not options.overwrite:
        raise DataError(
            f"--out: expected a new or empty folder; {folder} has files in it. Choose "
            "another one, or add --overwrite."
        )
    data = _read(options.file, options.sep)
    arguments: dict[str, Any] = {
        name: getattr(options, name) for name in (*_COLUMNS, *_PASSED_ON)
    }
    arguments |= _given_priors(options)
    if options.no_bias:
        arguments["priors_bias"] = None
    if options.resume is not None:
        arguments["fits"] = load(options.resume).fits
    say(f"{options.file}: {len(data)} rows")
    started = time.perf_counter()
    try:
        fit = robma(data, progress=False if options.quiet else None, **arguments)
    except FitError as error:
        if error.finished is not None:
            folder.mkdir(parents=True, exist_ok=True)
            error.finished.save(folder / "finished.pyrobma")
        raise
    if options.output_scale is not None:
        fit.converter("mu", options.output_scale)  # refused before anything is written
    seconds = time.perf_counter() - started
    say(f"{len(fit.fits)} models in {seconds:.1f} s")
    return fit


def _read(path: Path, sep: str | None) -> pd.DataFrame:
    if sep is None:
        sep = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        return pd.read_csv(path, sep=sep.replace("\\t", "\t"))
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"file: {path} cannot be read as a table: {error}") from error


def _given_priors(options: argparse.Namespace) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if options.informed is not None:
        default = "logOR" if options.prior_scale == "logOR" else "smd"
        for component in ("effect", "heterogeneity"):
            given[f"priors_{component}"] = prior_informed(
                options.informed,
                parameter=component,
                type=options.informed_type or default,
            )
    for name in _PRIORS:
        texts = getattr(options, name)
        if texts is None:
            continue
        if name in given:
            raise DataError(
                f"--{name.replace('_', '-')}: expected nothing beside --informed; got "
                f"{' '.join(texts)}. Give one of the two."
            )
        given[name] = _priors(name, texts)
    return given


def _priors(name: str, texts: list[str]) -> list[Prior] | None:
    if [text.lower() for text in texts] == ["none"]:
        return None
    try:
        return [prior_from_text(text) for text in texts]
    except PyrobmaError as error:
        raise type(error)(f"--{name.replace('_', '-')}: {error}") from error


def _settings(options: argparse.Namespace, fit: RobmaFit) -> dict[str, Any]:
    """Return what is needed to run the analysis again, and to know what it was."""
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name not in ("run", "command", "overwrite", "quiet") and value is not None
    }
    return {
        "options": given,
        "seed": fit.seed,
        "data_sha256": hashlib.sha256(options.file.read_bytes()).hexdigest(),
        "models": len(fit.fits),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {
            "pyrobma": version("pyrobma"),
            "cmdstanpy": version("cmdstanpy"),
            "bridgestan": version("bridgestan"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _silent(text: str) -> None:
    pass
