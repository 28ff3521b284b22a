"""Moderators as they are written on the command line."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pyrobma.commands.options import MODERATORS
from pyrobma.commands.words import OPTIONS
from pyrobma.effects import Moderators, read_moderators
from pyrobma.effects.moderators import Missing
from pyrobma.errors import DataError, PriorError, PyrobmaError
from pyrobma.models import ABSENT, default_term_prior
from pyrobma.priors import Prior, prior_from_text


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
    if options.mods is None:
        if given:
            names = ", ".join(OPTIONS[name] for name in MODERATORS if name in given)
            raise DataError(
                f"{names}: expected --mods beside it; got none. Add --mods."
            )
        return {}
    arguments: dict[str, Any] = {"mods": options.mods}
    for name in ("contrasts", "mods_prior"):
        if name in given:
            arguments[name] = getattr(options, name)
    if "no_standardize" in given:
        arguments["standardize"] = False
    if "no_heredity" in given:
        arguments["heredity"] = False
    if "center" in given:
        arguments["center"] = _center(options.center)
    if "test_mods" in given:
        words = {"none": False, "all": True}
        (first, *others) = options.test_mods
        alone = words.get(first.lower()) if not others else None
        arguments["test_mods"] = options.test_mods if alone is None else alone
    priors = _priors_by_term(options)
    if priors:
        arguments["priors_mods"] = priors
    return arguments


def read_terms(
    table: pd.DataFrame, arguments: Mapping[str, Any], missing: Missing = "error"
) -> Moderators:
    """Read moderators as `robma` will, to find what is wrong before models are fitted.

    Parameters
    ----------
    table : DataFrame
        The estimates.
    arguments : mapping
        Of `given_moderators`.
    missing : {"error", "drop"}
        What to do with rows that lack a moderator.
    """
    names = ("contrasts", "standardize")
    given = {name: arguments[name] for name in names if name in arguments}
    with warnings.catch_warnings():  # robma warns again
        warnings.simplefilter("ignore")
        moderators, _ = read_moderators(
            arguments["mods"], table, missing=missing, **given
        )
    return moderators


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


def _priors_by_term(options: argparse.Namespace) -> dict[str, Any]:
    """Return priors as `robma` takes them; a side that is not given has its default."""
    names: dict[tuple[str, ...], str] = {}
    sides: dict[tuple[str, ...], dict[str, list[Prior] | None]] = {}
    for side, option in (("alternative", "priors_mods"), ("null", "priors_mods_null")):
        for text in getattr(options, option) or ():
            term, one = _term_and_prior(text, OPTIONS[option])
            # The variables of an interaction may be in any order.
            key = tuple(sorted(term.split(":")))
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
        default = [default_term_prior(options.rescale_priors)]
        found[names[key]] = {
            "alternative": own.get("alternative", default) or (),
            "null": own.get("null", [ABSENT]) or (),
        }
    return found


def _term_and_prior(text: str, option: str) -> tuple[str, Prior | None]:
    """Read e.g. ``age: Normal(0, 0.5)``; None for none."""
    # From the right: an interaction has colons in its name.
    term, colon, written = (part.strip() for part in text.rpartition(":"))
    if not (term and colon and written):
        raise PriorError(
            f"{option}: expected a term and a prior, as in 'age: Normal(0, 0.5)'; got "
            f"{text!r}."
        )
    if written.lower() == "none":
        return term, None
    try:
        return term, prior_from_text(written)
    except PyrobmaError as error:
        raise PriorError(f"{option}, {term}: {error}") from error
