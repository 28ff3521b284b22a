"""Moderators as they are written on the command line."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from pyrobma.commands.options import BESIDE, FORMULAS, MODERATORS
from pyrobma.commands.words import OPTIONS
from pyrobma.effects import Moderators, Target, read_moderators
from pyrobma.effects.moderators import Missing
from pyrobma.errors import DataError, PriorError, PyrobmaError
from pyrobma.models import (
    ABSENT,
    default_scale_prior,
    default_term_prior,
    plain_name,
    scale_name,
)
from pyrobma.priors import Prior, prior_from_text

_TARGETS: Final[dict[str, Target]] = {"mods": "mean", "scale": "heterogeneity"}
"""What the moderators of a formula move."""


def given_moderators(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is said of moderators as arguments of `robma`.

    Raises
    ------
    DataError
        If something is said of moderators and there are none, or cannot be read.
    PriorError
        If a prior cannot be read.
    """
    given = {name for name in MODERATORS if getattr(options, name) is not None}
    for formulas, names in BESIDE.items():
        alone = [OPTIONS[name] for name in names if name in given]
        if alone and not given.intersection(formulas):
            wanted = " or ".join(OPTIONS[name] for name in formulas)
            raise DataError(
                f"{', '.join(alone)}: expected {wanted} beside it; got none. Add "
                f"{wanted}."
            )
    arguments: dict[str, Any] = {
        name: getattr(options, name) for name in FORMULAS if name in given
    }
    for name in ("contrasts", "mods_prior"):
        if name in given:
            arguments[name] = getattr(options, name)
    if "no_standardize" in given:
        arguments["standardize"] = False
    if "no_heredity" in given:
        arguments["heredity"] = False
    if "center" in given:
        arguments["center"] = _center(options.center)
    for formula in FORMULAS:
        if f"test_{formula}" in given:
            arguments[f"test_{formula}"] = _tested(getattr(options, f"test_{formula}"))
        priors = _priors_by_term(options, formula)
        if priors:
            arguments[f"priors_{formula}"] = priors
    return arguments


def read_terms(
    table: pd.DataFrame, arguments: Mapping[str, Any], missing: Missing = "error"
) -> dict[str, Moderators]:
    """Read moderators as `robma` will, to find what is wrong before models are fitted.

    Parameters
    ----------
    table : DataFrame
        The estimates.
    arguments : mapping
        Of `given_moderators`.
    missing : {"error", "drop"}
        What to do with rows that lack a moderator.

    Returns
    -------
    dict of str to Moderators
        By formula: "mods", "scale".
    """
    names = ("contrasts", "standardize")
    given = {name: arguments[name] for name in names if name in arguments}
    wanted = [name for name in FORMULAS if name in arguments]
    found: dict[str, Moderators] = {}
    rows = None
    with warnings.catch_warnings():  # robma warns again
        warnings.simplefilter("ignore")
        # The first again: what the second lacks the first has to do without.
        for name in wanted + (wanted[:1] if len(wanted) > 1 else []):
            found[name], rows = read_moderators(
                arguments[name], table, among=rows, missing=missing,
                of=_TARGETS[name], **given,
            )  # fmt: skip
    return found


def components_of(terms: Mapping[str, Moderators]) -> list[str]:
    """Return what the terms of formulas are called among all components."""
    return [
        scale_name(name) if formula == "scale" else name
        for formula, moderators in terms.items()
        for name in moderators.names
    ]


def _tested(names: list[str]) -> bool | list[str]:
    words = {"none": False, "all": True}
    (first, *others) = names
    alone = words.get(first.lower()) if not others else None
    return names if alone is None else alone


def _center(texts: list[str]) -> str | dict[str, float]:
    if len(texts) == 1 and texts[0].lower() in ("rows", "clusters"):
        return texts[0].lower()
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            name = ""
        if not name.strip():
            raise DataError(
                "--center: expected rows, clusters, or numbers by name, as in "
                f"year=2000; got {' '.join(texts)}."
            )
    return found


def _priors_by_term(options: argparse.Namespace, formula: str) -> dict[str, Any]:
    """Return priors as `robma` takes them; a side that is not given has its default."""
    usual = default_term_prior(options.rescale_priors)
    if formula == "scale":  # of ratios, which no other scale concerns
        usual = default_scale_prior()
    names: dict[tuple[str, ...], str] = {}
    sides: dict[tuple[str, ...], dict[str, list[Prior] | None]] = {}
    by_side = {"alternative": f"priors_{formula}", "null": f"priors_{formula}_null"}
    for side, option in by_side.items():
        for text in getattr(options, option) or ():
            term, one = _term_and_prior(text, OPTIONS[option])
            # The variables of an interaction may be in any order.
            key = tuple(sorted(plain_name(term).split(":")))
            names.setdefault(key, term)
            own = sides.setdefault(key, {})
            before = own.setdefault(side, [] if one else None)
            if (one is None) != (before is None):
                raise PriorError(
                    f"{OPTIONS[option]}: expected none alone, or priors; got both "
                    f"for {term}."
                )
            if one is not None and before is not None:
                before.append(one)
    found: dict[str, Any] = {}
    for key, own in sides.items():
        if "null" not in own and own["alternative"] is not None:
            found[names[key]] = own["alternative"]
            continue
        found[names[key]] = {
            "alternative": own.get("alternative", [usual]) or (),
            "null": own.get("null", [ABSENT]) or (),
        }
    return found


def _term_and_prior(text: str, option: str) -> tuple[str, Prior | None]:
    """Read e.g. ``age: Normal(0, 0.5)``; None for none."""
    # From the right: an interaction has colons in its name.
    term, colon, written = (part.strip() for part in text.rpartition(":"))
    if not (term and colon and written):
        # The two have nearly one name.
        other = " The measure of all priors is --prior-scale." * ("-scale" in option)
        raise PriorError(
            f"{option}: expected a term and a prior, as in 'age: Normal(0, 0.5)'; got "
            f"{text!r}.{other}"
        )
    if written.lower() == "none":
        return term, None
    try:
        return term, prior_from_text(written)
    except PyrobmaError as error:
        raise PriorError(f"{option}, {term}: {error}") from error
