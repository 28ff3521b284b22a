"""Stage 3: moderators as hypotheses, and which models respect their hierarchy."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from pyrobma.effects import Measure, Moderators, Target, Term
from pyrobma.errors import PriorError
from pyrobma.models.space import Choice, Hypotheses, ModelSpace
from pyrobma.models.spec import ABSENT, ModelSpec, checked_prior
from pyrobma.models.task import Task, plain_name, scale_name
from pyrobma.parameters import Unknowns
from pyrobma.priors import Prior, inside_support, prior

ModsPrior: TypeAlias = Literal["independent", "beta-binomial"]
"""How probable it is before the data that terms are in a model.

"independent": each by the weights of its own priors, 1/2 if they are equal.
"beta-binomial": every number of terms is as probable as any other (Scott and Berger,
2010), so that many terms are no evidence that some act.
"""

TERM_SD: Final = 0.25
"""Default prior standard deviation of a coefficient, on Cohen's d."""

COUNT_TERM_SD: Final = 0.29
"""The same for counts, on log odds ratios and log rate ratios: half the scale of the
default prior of mu there."""

SCALE_TERM_SD: Final = 0.5
"""Default prior standard deviation of a coefficient of log tau, on any measure."""

_DEPENDENT: Final = 1e-9  # of a column's norm: what others leave of it
_LEAST_LOG: Final = math.log(sys.float_info.min)
_SYMMETRIC: Final = ("normal", "student_t", "cauchy")


def default_term_prior(rescale: float = 1.0, *, counts: bool = False) -> Prior:
    """Return the default prior of the coefficients of a term: Normal(0, 0.25).

    Parameters
    ----------
    rescale : float
        Factor on its standard deviation, positive.
    counts : bool
        Of counts, on log ratios: Normal(0, 0.29).

    Notes
    -----
    Of a number, per standard deviation; of a factor with "meandif" contrasts, of the
    deviation of each level from the mean of all (Bartos, Maier, Stanley and
    Wagenmakers, 2025).
    """
    sd = COUNT_TERM_SD if counts else TERM_SD
    return prior("normal", mean=0, sd=sd * rescale)


def default_scale_prior() -> Prior:
    """Return the default prior of the coefficients of a term of log tau.

    Notes
    -----
    Normal(0, 0.5): a coefficient of 0.5 makes tau 1.65 times as large. It is a ratio,
    which no change of measure or unit concerns.
    """
    return prior("normal", mean=0, sd=SCALE_TERM_SD)


@dataclass(frozen=True, slots=True)
class _Names:
    """How terms of the mean, or of heterogeneity, are called."""

    of: Callable[[str], str]
    plain: Callable[[str], str]
    priors: str
    test: str


_NAMES: Final[dict[Target, _Names]] = {
    "mean": _Names(str, str, "priors_mods", "test_mods"),
    "heterogeneity": _Names(scale_name, plain_name, "priors_scale", "test_scale"),
}


def term_hypotheses(
    moderators: Moderators,
    unknowns: Unknowns,
    *,
    priors: Mapping[str, Any] | None = None,
    test: bool | Iterable[str] | None = True,
    rescale: float = 1.0,
    scale: Measure = "cohens_d",
    counts: bool = False,
    of: Target = "mean",
) -> tuple[Hypotheses, ...]:
    """Return the hypotheses of every term: in a model or not.

    Parameters
    ----------
    moderators : Moderators
        The terms.
    unknowns : Unknowns
        The table, with the coefficients of the terms.
    priors : mapping of str to prior, list or mapping, optional
        By term. A prior, or a list of them, is the alternative; a mapping has
        "alternative" and "null", and a side that is not there is left out. None:
        Normal(0, 0.25), of counts Normal(0, 0.29), of heterogeneity Normal(0, 0.5),
        against a spike at 0.
    test : bool or iterable of str
        Whether terms may be absent: all, none, or those that are named. A term with
        priors for both sides is tested.
    rescale : float
        Factor on the scale of the default prior.
    scale : str
        Measure of the priors.
    counts : bool
        Whether the data are counts.
    of : {"mean", "heterogeneity"}
        What they are moderators of.

    Returns
    -------
    tuple of Hypotheses
        In the order of the terms.

    Raises
    ------
    PriorError
        On a name that is no term, or a prior that does not fit the term.
    """
    names = _NAMES[of]
    given = _by_term(moderators, priors, names)
    tested = _tested(moderators, test, names)
    default = default_scale_prior()
    if of == "mean":
        default = default_term_prior(rescale, counts=counts)
    made = []
    for term in moderators.terms:
        value = given.get(term.name)
        null: tuple[Prior, ...] = (ABSENT,) if term.name in tested else ()
        if isinstance(value, Mapping):
            alternative = _listed(value.get("alternative", ()), term, names)
            null = _listed(value.get("null", ()), term, names)
        else:
            own = _listed(value, term, names)
            alternative = own if term.name in given else (default,)
            null = null if alternative else ()
        if not (alternative or null):
            raise PriorError(
                f"{names.priors}: expected at least one prior for {term.name}; got "
                f"{value!r}. Leave {term.name} out of {names.priors} for the default."
            )
        made.append(
            Hypotheses(
                names.of(term.name),
                _choices(null, term, moderators, unknowns, scale, names),
                _choices(alternative, term, moderators, unknowns, scale, names),
            )
        )
    return tuple(made)


def keeping_heredity(
    space: ModelSpace, moderators: Moderators, named: Callable[[str], str] = str
) -> list[bool]:
    """Return which models have an interaction only beside what it is made of."""
    parents = {
        named(term.name): set(map(named, moderators.parents(term)))
        for term in moderators.terms
    }
    return [
        all(
            own <= model.alternative
            for name, own in parents.items()
            if name in model.alternative
        )
        for model in space
    ]


def with_heredity(
    space: ModelSpace, moderators: Moderators, named: Callable[[str], str] = str
) -> ModelSpace:
    """Return the models that have an interaction only beside what it is made of.

    Parameters
    ----------
    space : ModelSpace
        Models with terms.
    moderators : Moderators
        The terms.
    named : callable
        The component of a term, from its name.

    Returns
    -------
    ModelSpace
        Fewer models, with the weights that they had.

    Raises
    ------
    PriorError
        If a term that could be in a model or not now is in all or in none.

    References
    ----------
    .. [1] Chipman H. (1996). Bayesian variable selection with related predictors.
       Canadian Journal of Statistics 24(1). doi:10.2307/3315687
    """
    keeps = keeping_heredity(space, moderators, named)
    kept = [model for model, is_kept in zip(space, keeps, strict=True) if is_kept]
    for name in map(named, moderators.names):
        sides = {name in model.alternative for model in kept}
        if len(sides) < len({name in model.alternative for model in space}):
            which = "all" if True in sides else "none"
            raise PriorError(
                f"heredity: expected models with and without {name}; got it in {which} "
                "of those that have an interaction only beside what it is made of. "
                "Test the interactions with it too, or give heredity=False."
            )
    return ModelSpace(tuple(kept))


def beta_binomial(space: ModelSpace, terms: Sequence[str]) -> ModelSpace:
    """Return the models with each number of terms as probable as any other.

    Parameters
    ----------
    space : ModelSpace
        Models with terms.
    terms : sequence of str
        Those that are tested.

    Returns
    -------
    ModelSpace
        The weight of all models with the same k of p terms is 1 / ((p + 1) C(p, k)),
        so that k has a Beta-binomial(1, 1) distribution. Among them models keep the
        weights that they had against each other.

    References
    ----------
    .. [1] Scott J. G., Berger J. O. (2010). Bayes and empirical-Bayes multiplicity
       adjustment in the variable-selection problem. Annals of Statistics 38(5).
       doi:10.1214/10-AOS792
    """
    p = len(terms)
    own = [frozenset(terms) & model.alternative for model in space]
    total: dict[frozenset[str], float] = {}
    for model, has in zip(space, own, strict=True):
        total[has] = float(np.logaddexp(total.get(has, -np.inf), model.log_weight))

    def weighted(model: ModelSpec, has: frozenset[str]) -> ModelSpec:
        share = model.log_weight - total[has]
        log = share - math.log((p + 1) * math.comb(p, len(has)))
        plain = model.log_prior_weight is None
        return replace(
            model,
            prior_weight=math.exp(max(log, _LEAST_LOG)),
            log_prior_weight=None if plain and log > _LEAST_LOG else log,
        )

    return ModelSpace(tuple(map(weighted, space, own)))


def confounded_bias(task: Task, space: ModelSpace) -> tuple[str, ...]:
    """Return the coefficients of standard errors that moderators stand in for.

    Parameters
    ----------
    task : Task
        The data.
    space : ModelSpace
        The models.

    Returns
    -------
    tuple of str
        Of "PET" and "PEESE" those that a model has and whose column the intercept and
        the columns of moderators make up, so that priors decide between them.
    """
    if task.moderators is None:
        return ()
    columns = task.moderators.columns
    basis = np.column_stack([np.ones(len(columns)), columns])
    found = []
    for name in task.unknowns.regressions:
        own = task.bias_column(name, task.effects.se)
        own = own / np.linalg.norm(own)
        rest = own - basis @ np.linalg.lstsq(basis, own)[0]
        if space.has(name) and np.linalg.norm(rest) <= _DEPENDENT:
            found.append(name)
    return tuple(found)


def check_mods_prior(value: object) -> None:
    """Refuse a distribution of the number of terms that there is not."""
    if value not in get_args(ModsPrior):
        raise PriorError(
            f"mods_prior: expected one of {', '.join(get_args(ModsPrior))}; got "
            f"{value!r}."
        )


def _by_term(
    moderators: Moderators, priors: Mapping[str, Any] | None, names: _Names
) -> dict[str, Any]:
    if priors is None:
        return {}
    if not isinstance(priors, Mapping):
        raise PriorError(
            f"{names.priors}: expected a mapping by term; got {priors!r}. Write "
            f'{names.priors}={{"age": prior("normal", mean=0, sd=0.5)}}.'
        )
    found: dict[str, Any] = {}
    for name, value in priors.items():
        term = _named(names.plain(str(name)), moderators, names.priors)
        if isinstance(value, Mapping) and not (
            value and {"alternative", "null"}.issuperset(value)
        ):
            raise PriorError(
                f'{names.priors}: expected "alternative" and "null" for {name}; got '
                f"{', '.join(map(repr, value)) or 'neither'}."
            )
        if term.name in found:
            raise PriorError(
                f"{names.priors}: expected one entry for {term.name}; got two, the "
                f"second for {name!r}."
            )
        found[term.name] = value
    return found


def _named(name: object, moderators: Moderators, argument: str) -> Term:
    found = moderators.find(name)
    if found is not None:
        return found
    close = difflib.get_close_matches(str(name), moderators.names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise PriorError(
        f"{argument}: expected names of terms, {', '.join(moderators.names)}; got "
        f"{name!r}.{hint}"
    )


def _tested(
    moderators: Moderators, test: bool | Iterable[str] | None, called: _Names
) -> frozenset[str]:
    if isinstance(test, bool | np.bool_) or test is None:
        return frozenset(moderators.names if test else ())
    if not isinstance(test, Iterable):
        raise PriorError(
            f"{called.test}: expected True, False or names of terms; got {test!r}."
        )
    names = (test,) if isinstance(test, str) else tuple(test)
    return frozenset(
        _named(called.plain(str(name)), moderators, called.test).name for name in names
    )


def _listed(value: Any, term: Term, names: _Names) -> tuple[Prior, ...]:
    if value is None:
        return ()
    items = (value,) if isinstance(value, Prior) else value
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = (items,)
    where = f"{names.priors}, {term.name}"
    return tuple(checked_prior(where, item) for item in items)


def _choices(
    priors: Sequence[Prior],
    term: Term,
    moderators: Moderators,
    unknowns: Unknowns,
    scale: Measure,
    names: _Names,
) -> tuple[Choice, ...]:
    where = f"{names.priors}, {term.name}"
    labels = [names.of(label) for label in term.labels]
    found = []
    for one in priors:
        _check_fits(one, term, moderators, where)
        inside = inside_support(one, unknowns[labels[0]], where, scale)
        found.append(
            Choice(
                tuple((label, inside) for label in labels),
                prior_weight=one.prior_weight,
            )
        )
    return tuple(found)


def _check_fits(one: Prior, term: Term, moderators: Moderators, where: str) -> None:
    """Refuse a prior that would depend on an arbitrary choice of columns."""
    if one.is_spike and one.location == 0:
        return
    codings = [moderators.coding(name) for name in term.variables]
    if not any(coding.deviations for coding in codings):
        return
    plain = math.isinf(one.lower) and math.isinf(one.upper)
    if one.family not in _SYMMETRIC or one.values[0] != 0 or not plain:
        raise PriorError(
            f"{where}: expected a prior that is symmetric around 0 and not truncated, "
            f"for deviations from a mean; got {one}. Give "
            "prior('normal', mean=0, sd=...), or choose contrasts='treatment'."
        )
    if len(term.labels) > 1 and one.family != "normal":
        raise PriorError(
            f"{where}: expected a normal prior for the deviations of more than two "
            f"levels, which have one prior in all directions; got {one}. Give "
            "prior('normal', mean=0, sd=...)."
        )
