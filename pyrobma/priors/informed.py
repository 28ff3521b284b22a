"""Stage 2: priors estimated from earlier meta-analyses, or elicited from experts."""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Final, Literal, TypeAlias, TypeVar, get_args

import pandas as pd

from pyrobma.errors import PriorError
from pyrobma.priors.distributions import Prior, prior

InformedParameter: TypeAlias = Literal["effect", "heterogeneity"]
InformedType: TypeAlias = Literal["smd", "logOR", "logRR", "RD", "logHR"]
Field: TypeAlias = Literal["psychology", "medicine"]

_Choice = TypeVar("_Choice", bound=str)

_SHOWN: Final = 4
"""Names in a hint; more would hide the likely one."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One prior of the list."""

    name: str
    field: Field
    type: InformedType
    parameter: InformedParameter
    prior: Prior


def prior_informed(
    name: str,
    *,
    parameter: str | None = None,
    type: str = "smd",
    prior_weight: float = 1.0,
) -> Prior:
    """Return a prior informed by earlier meta-analyses or by experts.

    Parameters
    ----------
    name : str
        In psychology "van Erp" (heterogeneity) or "Oosterwijk" (effect); in medicine
        "Cochrane" for all of it or a subfield such as "Oral Health". `informed_priors`
        lists them. Case and punctuation do not matter.
    parameter : {"effect", "heterogeneity"}, optional
        Which parameter the prior is for. None: the one that `name` has a prior of;
        medicine has priors of both, and one must be named. Case does not matter.
    type : {"smd", "logOR", "logRR", "RD", "logHR"}
        Measure of the effects: standardised mean difference, log odds ratio, log risk
        ratio, risk difference or log hazard ratio. Case does not matter.
    prior_weight : float, default 1
        Prior weight, positive, relative to other priors of the same component.

    Returns
    -------
    Prior
        A frozen value, as of `prior`.

    Raises
    ------
    PriorError
        On an unknown name, parameter or type, or if there is no such prior; the
        message says which there are.

    Notes
    -----
    A prior belongs to its measure:

    - ``smd`` priors are on Cohen's d. They are right as they are with
      ``prior_scale="cohens_d"``, the default.
    - ``logOR`` priors need ``prior_scale="logOR"``, or log odds ratios given as ``y``.
    - ``logRR``, ``RD`` and ``logHR`` priors are for estimates given as ``y`` with
      their ``se`` in that measure, where ``prior_scale`` is "none".

    Effects in medicine have Student-t priors around 0 and heterogeneity has inverse
    gamma priors, half-normal ones for risk differences. They were fitted to the
    Cochrane Database of Systematic Reviews, for smd in [1]_ and for the others in
    [2]_. "van Erp" approximates the heterogeneity of mean differences in the
    meta-analyses of [3]_; "Oosterwijk" holds what a social psychologist of that name
    expected of positive effects in her field [4]_.

    References
    ----------
    .. [1] Bartoš, Gronau, Timmers, Otte, Ly, Wagenmakers (2021). Bayesian
       model-averaged meta-analysis in medicine. Statistics in Medicine 40(30),
       6743-6761. doi:10.1002/sim.9170
    .. [2] Bartoš, Otte, Gronau, Timmers, Ly, Wagenmakers (2023). Empirical prior
       distributions for Bayesian meta-analyses of binary and time-to-event outcomes.
       arXiv:2306.11468
    .. [3] van Erp, Verhagen, Grasman, Wagenmakers (2017). Estimates of between-study
       heterogeneity for 705 meta-analyses reported in Psychological Bulletin from
       1990-2013. Journal of Open Psychology Data 5(1). doi:10.5334/jopd.33
    .. [4] Gronau, van Erp, Heck, Cesario, Jonas, Wagenmakers (2017). A Bayesian
       model-averaged meta-analysis of the power pose effect with informed and default
       priors: The case of felt power. Comprehensive Results in Social Psychology
       2(1), 123-138. doi:10.1080/23743603.2017.1326760

    Examples
    --------
    >>> print(prior_informed("Oral Health", parameter="effect"))
    Student-t(0, 0.51, 5)
    >>> print(prior_informed("cochrane", parameter="heterogeneity", type="logHR"))
    InvGamma(2.42, 0.3)
    """
    named = _named(name)
    wanted = _choice("type", type, get_args(InformedType))
    of_type = [entry for entry in named if entry.type == wanted]
    if not of_type:
        raise PriorError(
            f"type: expected {_one_of(entry.type for entry in named)} for "
            f"{named[0].name!r}; got {wanted!r}. informed_priors() lists what there is."
        )
    if parameter is not None:
        only = _choice("parameter", parameter, get_args(InformedParameter))
        chosen = [entry for entry in of_type if entry.parameter == only]
        remedy = "Take the prior of that parameter from another name."
    else:
        chosen, remedy = of_type, "Say which one."
    if len(chosen) != 1:
        raise PriorError(
            f"parameter: expected {_one_of(entry.parameter for entry in of_type)} for "
            f"{named[0].name!r} and type {wanted!r}; got {parameter!r}. {remedy}"
        )
    found = chosen[0].prior
    return prior(
        found.family,
        found.values,
        lower=found.lower,
        upper=found.upper,
        prior_weight=prior_weight,
    )


def informed_priors() -> pd.DataFrame:
    """List the priors of `prior_informed`.

    Returns
    -------
    DataFrame
        One row per prior: ``name``, ``field`` ("psychology" or "medicine"), ``type``
        (measure of the effects), ``parameter`` ("effect" or "heterogeneity") and
        ``prior``, as text.

    Examples
    --------
    >>> table = informed_priors()
    >>> print(table.query("name == 'Stroke' and type == 'RD'").to_string(index=False))
      name    field type     parameter                   prior
    Stroke medicine   RD        effect  Student-t(0, 0.014, 1)
    Stroke medicine   RD heterogeneity Normal(0, 0.06)[0, Inf]
    """
    return pd.DataFrame(
        {
            "name": [entry.name for entry in _entries()],
            "field": [entry.field for entry in _entries()],
            "type": [entry.type for entry in _entries()],
            "parameter": [entry.parameter for entry in _entries()],
            "prior": [str(entry.prior) for entry in _entries()],
        }
    )


@functools.cache
def _entries() -> tuple[_Entry, ...]:
    van_erp = prior("inv_gamma", shape=1, scale=0.15)
    oosterwijk = prior("student_t", location=0.35, scale=0.102, df=3, lower=0)
    return (
        _Entry("van Erp", "psychology", "smd", "heterogeneity", van_erp),
        _Entry("Oosterwijk", "psychology", "smd", "effect", oosterwijk),
        *_medicine(),
    )


def _medicine() -> Iterator[_Entry]:
    """Read the table of subfields; an empty cell is a prior that was not estimated."""
    file = resources.files("pyrobma.priors").joinpath("informed.csv")
    with file.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            name = row["name"]
            (kind,) = (t for t in get_args(InformedType) if t == row["type"])
            effect = prior(
                "student_t",
                location=0,
                scale=float(row["effect_scale"]),
                df=float(row["effect_df"]),
            )
            yield _Entry(name, "medicine", kind, "effect", effect)
            if row["tau_shape"]:
                shape, scale = float(row["tau_shape"]), float(row["tau_scale"])
                tau = prior("inv_gamma", shape=shape, scale=scale)
            elif row["tau_sd"]:
                tau = prior("normal", mean=0, sd=float(row["tau_sd"]), lower=0)
            else:
                continue
            yield _Entry(name, "medicine", kind, "heterogeneity", tau)


@functools.cache
def _by_key() -> dict[str, tuple[_Entry, ...]]:
    result: dict[str, tuple[_Entry, ...]] = {}
    for entry in _entries():
        key = _key(entry.name)
        result[key] = (*result.get(key, ()), entry)
    return result


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(name: object) -> tuple[_Entry, ...]:
    """Return the priors of a name."""
    table = _by_key()
    key = _key(name) if isinstance(name, str) else ""
    if key in table:
        return table[key]
    near = [known for known in table if len(key) > 2 and key in known]
    near += difflib.get_close_matches(key, table, n=_SHOWN)
    close = list(dict.fromkeys(table[k][0].name for k in near))[:_SHOWN]
    hint = f"Did you mean {_one_of(close)}? " if close else ""
    raise PriorError(
        f"name: expected the name of an informed prior; got {name!r}. {hint}"
        "informed_priors() lists them all."
    )


def _choice(argument: str, value: object, choices: Iterable[_Choice]) -> _Choice:
    listed = tuple(choices)
    for choice in listed:
        if isinstance(value, str) and value.lower() == choice.lower():
            return choice
    raise PriorError(
        f"{argument}: expected {_one_of(listed)}; got {value!r}. Use one of these."
    )


def _one_of(values: Iterable[str]) -> str:
    """List each value once, as in ``'smd', 'logOR' or 'RD'``."""
    *first, last = (repr(value) for value in dict.fromkeys(values))
    return f"{', '.join(first)} or {last}" if first else last
