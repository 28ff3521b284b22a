"""What is kept of one analysis: tidy rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pandas as pd

from pyrobma.api import robma
from pyrobma.effects import EffectSizes
from pyrobma.effects._tables import read_table
from pyrobma.errors import DataError, PyrobmaError
from pyrobma.many.heard import heard
from pyrobma.many.sources import Name
from pyrobma.result import RobmaFit

Extract: TypeAlias = Callable[[RobmaFit], Mapping[str, float]]

COLUMNS: Final[Mapping[str, str]] = {
    "kind": "string",
    "name": "string",
    "prior_prob": "float64",
    "post_prob": "float64",
    "inclusion_bf": "float64",
    "log_bf": "float64",
    "log_bf_mcse": "float64",
    "mean": "float64",
    "sd": "float64",
    "median": "float64",
    "lower": "float64",
    "upper": "float64",
    "mean_mcse": "float64",
    "quantile_mcse": "float64",
    "value": "float64",
    "K": "Int64",
    "clusters": "Int64",
    "models": "Int64",
    "missed": "Int64",
    "seconds": "float64",
    "seed": "string",
    "data_hash": "string",
    "warnings": "string",
    "error": "string",
}
"""Columns of the results beside the name of the analysis, with their types."""

_EVIDENCE: Final = (
    "prior_prob", "post_prob", "inclusion_bf", "log_bf", "log_bf_mcse",
)  # fmt: skip


def analysed(
    data: Any,
    seed: int,
    data_hash: str,
    options: Mapping[str, Any],
    interval: float,
    extract: Extract | None,
) -> list[dict[str, Any]]:
    """Fit an analysis and return its rows; a failure is a row too.

    Runs on the worker, so that draws never leave it.
    """
    begun = time.perf_counter()
    about: dict[str, Any] = {"kind": "analysis", "name": ""}
    rows: list[dict[str, Any]] = []
    with heard() as said:
        try:
            # One process per analysis: more would only compete with the others.
            fit = robma(data, seed=seed, cores=1, progress=False, **options)
            rows = [*_evidence(fit), *_estimates(fit, interval)]
            if extract is not None:
                rows += _extracted(fit, extract)
            about |= {
                "K": fit.task.effects.K,
                "clusters": fit.task.effects.L,
                "models": len(fit.fits),
                "missed": sum(not one.ok for one in fit.fits),
            }
        except Exception as error:
            rows = []
            about["error"] = f"{type(error).__name__}: {error}"
    about |= {
        "seconds": time.perf_counter() - begun,
        "seed": str(seed),  # it may need 64 bits without a sign
        "data_hash": data_hash,
        "warnings": "\n".join(dict.fromkeys(said)) or None,
    }
    return [about, *rows]


def failed(error: Exception, seed: int, data_hash: str) -> list[dict[str, Any]]:
    """Return the row of an analysis whose worker did not come back."""
    text = f"{type(error).__name__}: {error}"
    return [
        {
            "kind": "analysis",
            "name": "",
            "seed": str(seed),
            "data_hash": data_hash,
            "error": text,
        }
    ]


def as_frame(label: str, name: Name | None, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with every column, whatever is missing."""
    columns = {
        column: pd.array([row.get(column) for row in rows], dtype=cast(Any, dtype))
        for column, dtype in COLUMNS.items()
    }
    return pd.DataFrame({label: [name] * len(rows), **columns})


def hash_of(data: Any) -> str:
    """Return a hash of the estimates of an analysis, in their order."""
    found = hashlib.sha256()
    if isinstance(data, EffectSizes):
        found.update(repr((data.measure, data.names)).encode())
        for values in (data.y, data.se, data.cluster):
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()[:16]
    try:
        table = read_table(data)
    except PyrobmaError:  # which its analysis will find as well, and report
        table = None
    if table is None:
        text = repr(data)
    else:  # an index without a name says where rows were in some larger table
        text = table.to_csv(index=any(name is not None for name in table.index.names))
    found.update(text.encode())
    return found.hexdigest()[:16]


def _evidence(fit: RobmaFit) -> list[dict[str, Any]]:
    return [
        {"kind": "component", "name": str(name), **{c: row[c] for c in _EVIDENCE}}
        for name, row in fit.inclusion.iterrows()
    ]


def _estimates(fit: RobmaFit, interval: float) -> list[dict[str, Any]]:
    tails = [(1 - interval) / 2, (1 + interval) / 2]
    levels = [0.5, *tails]
    rows = []
    for name in fit.parameters:
        mixture = fit.mixture(name)
        median, lower, upper = mixture.quantiles(levels)
        rows.append(
            {
                "kind": "estimate",
                "name": name,
                "mean": mixture.mean(),
                "sd": mixture.sd(),
                "median": median,
                "lower": lower,
                "upper": upper,
                "mean_mcse": mixture.mcse(),
                "quantile_mcse": np.max(mixture.quantile_errors(levels)),
            }
        )
    return rows


def _extracted(fit: RobmaFit, extract: Extract) -> list[dict[str, Any]]:
    found = extract(fit)
    if not isinstance(found, Mapping):
        raise DataError(
            "extract: expected a mapping of names to numbers; got "
            f"{type(found).__name__}."
        )
    return [
        {"kind": "extracted", "name": str(name), "value": _number(name, value)}
        for name, value in found.items()
    ]


def _number(name: Any, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"extract: expected a mapping of names to numbers; got {value!r} for "
            f"{name!r}."
        ) from error


def joined(label: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables of rows below each other; there may be none."""
    if not frames:
        return as_frame(label, None, [])
    return pd.concat(frames, ignore_index=True)
