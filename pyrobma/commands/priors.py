"""Priors and measures as they are written on the command line."""

from __future__ import annotations

import argparse
from typing import Any, Final

from pyrobma.commands.options import PRIORS
from pyrobma.effects import MEASURES, RATES
from pyrobma.errors import DataError, PriorError, PyrobmaError
from pyrobma.priors import Prior, prior_from_text, prior_informed

_INFORMED_TYPES: Final = {"cohens_d": "smd", "logOR": "logOR"}
"""Type of informed priors that belongs to a prior scale."""


def prior_scale(options: argparse.Namespace) -> str:
    """Return the measure of the priors that `robma` will choose."""
    given: str | None = options.prior_scale
    if options.t1 is not None or options.t2 is not None:
        return given or "logIRR"
    if options.x1 is not None or options.x2 is not None:
        return given or "logOR"
    return given or ("none" if options.y is not None else "cohens_d")


def check_output_scale(options: argparse.Namespace) -> None:
    """Refuse a measure of the results that a fit could not be reported on."""
    target, scale = options.output_scale, prior_scale(options)
    if target is None:
        return
    if target not in MEASURES:
        raise DataError(
            f"--output-scale: expected one of {', '.join(MEASURES)}; got {target!r}."
        )
    if (target == "none") != (scale == "none"):
        raise DataError(
            "--output-scale: expected 'none' exactly for effects in units of their "
            f"own; got {target!r} with priors on {scale!r}."
        )
    if (target in RATES) != (scale in RATES):
        raise DataError(
            f"--output-scale: expected {' or '.join(RATES)} exactly for rates; got "
            f"{target!r} with priors on {scale!r}."
        )


def given_priors(options: argparse.Namespace) -> dict[str, Any]:
    """Return the priors as arguments of `robma`."""
    given: dict[str, Any] = {}
    if options.informed is not None:
        type_ = _informed_type(options)
        for component in ("effect", "heterogeneity"):
            given[f"priors_{component}"] = prior_informed(
                options.informed, parameter=component, type=type_
            )
    elif options.informed_type is not None:
        raise PriorError(
            "--informed-type: expected --informed beside it; got "
            f"{options.informed_type!r} alone. Add --informed."
        )
    for name in PRIORS:
        texts = getattr(options, name)
        if texts is None:
            continue
        if name in given:
            raise DataError(
                f"--{name.replace('_', '-')}: expected nothing beside --informed; got "
                f"{' '.join(texts)}. Give one of the two."
            )
        given[name] = _priors(name, texts)
    if options.baseline is not None:
        given["baseline"] = _baseline(options.baseline)
    return given


def _baseline(text: str) -> Any:
    if text in ("conditional", "unit-information"):
        return text.replace("-", " ")
    try:
        return prior_from_text(text)
    except PyrobmaError as error:
        raise type(error)(f"--baseline: {error}") from error


def _informed_type(options: argparse.Namespace) -> str:
    """Return the type of informed priors that is right on the prior scale."""
    scale, given = prior_scale(options), options.informed_type
    if scale in ("none", "logIRR"):
        if given is None:
            raise PriorError(
                "--informed-type: expected the measure of the effects, as their priors "
                f"are on {scale!r}; got nothing. Add --informed-type smd, logOR, "
                "logRR, RD or logHR."
            )
        return str(given)
    if scale not in _INFORMED_TYPES:
        raise PriorError(
            "--informed: expected priors on cohens_d or logOR; got --prior-scale "
            f"{scale}. Use --prior-scale cohens_d (type smd) or logOR (type logOR)."
        )
    type_ = _INFORMED_TYPES[scale]
    if given in (None, type_):
        return type_
    right = {own: other for other, own in _INFORMED_TYPES.items()}.get(given)
    remedy = f"Add --prior-scale {right}" if right else "Give such effects as --y"
    raise PriorError(
        f"--informed-type: expected {type_} with priors on {scale}; got {given}. "
        f"{remedy}, or take --informed-type {type_}."
    )


def _priors(name: str, texts: list[str]) -> list[Prior] | None:
    if [text.lower() for text in texts] == ["none"]:
        return None
    try:
        return [prior_from_text(text) for text in texts]
    except PyrobmaError as error:
        raise type(error)(f"--{name.replace('_', '-')}: {error}") from error
