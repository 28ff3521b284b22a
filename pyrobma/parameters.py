"""Every unknown of a model, declared once: what it is, where it enters, its names.

Priors, model spaces, the data of the Stan programs, draws, tables and figures look an
unknown up here. An unknown that comes with the data, such as the coefficient of a
moderator, is a row of the same kind that its column brings along (`Column` in
`pyrobma.models`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pyrobma.errors import DataError

__all__ = [
    "COMPONENTS",
    "UNKNOWNS",
    "Component",
    "Enters",
    "Parameter",
    "Unit",
    "Unknowns",
]

Unit: TypeAlias = Literal["effect", "spread", "per_effect", "none"]
"""How values follow a change of the effect-size measure, or of the unit of raw data.

"effect": as effects do, exactly. "spread": as differences of effects and standard
deviations do, by a factor. "per_effect": by its inverse. "none": they stay.
"""

Enters: TypeAlias = Literal[
    "intercept", "sd", "correlation", "moderator", "bias", "scale", "weights"
]
"""Where an unknown enters the model.

"intercept": the mean of all true effects. "sd": their standard deviation.
"correlation": that of true effects of one cluster. "moderator": times a column of the
mean on the measure of the priors. "bias": times a column of the mean on the measure of
the data, which is no part of true effects. "scale": times a column of the logarithm of
the standard deviation of true effects. "weights": publication probabilities, a vector.
"""

_POWERS: Final[dict[Unit, int]] = {
    "effect": 1,
    "spread": 1,
    "per_effect": -1,
    "none": 0,
}


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the model that some models have and others have not.

    Attributes
    ----------
    name : str
        In arguments and results, e.g. "heterogeneity".
    title : str
        In tables, e.g. "Heterogeneity".
    words : str
        In sentences: there is evidence for ..., e.g. "an effect".
    label : str
        In names of models, e.g. "heterogeneity".
    short : str
        The label where there is little room, e.g. "het."; "" for the label itself.
    kind_of : str or None
        The component that it is one of several kinds of; None: it is one of its own.
    always : bool
        Whether tables have a row for it even if no model is its alternative.
    """

    name: str
    title: str
    words: str
    label: str
    short: str = ""
    kind_of: str | None = None
    always: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    r"""One unknown of the model.

    Attributes
    ----------
    name : str
        In arguments, draws and tables, e.g. "tau".
    component : Component
        What its presence is evidence for.
    unit : str
        How its values change with the measure; see `Unit`.
    enters : str
        Where it enters the model; see `Enters`.
    support : tuple of float
        Ends of its legal values.
    symbol : str
        On axes, e.g. "τ".
    title : str
        Of axes and panels, e.g. "Heterogeneity".
    words : str
        In sentences, e.g. "the heterogeneity (tau)".
    latex : str
        In LaTeX, e.g. ``$\tau$``.
    needs : str or None
        The unknown without which it means nothing: where that is fixed at 0, models
        do not have this one.
    se_power : int
        For "bias": the power of the standard error that it multiplies.
    always : bool
        Whether every ensemble has it, if only as 0.
    """

    name: str
    component: Component
    unit: Unit
    enters: Enters
    support: tuple[float, float]
    symbol: str
    title: str
    words: str
    latex: str
    needs: str | None = None
    se_power: int = 0
    always: bool = False

    @property
    def scalar(self) -> bool:
        """Whether it is one number per draw, with a prior of its own."""
        return self.enters != "weights"

    @property
    def coefficient(self) -> bool:
        """Whether it multiplies a column of the mean."""
        return self.enters in ("moderator", "bias")

    @property
    def has_column(self) -> bool:
        """Whether it multiplies a column, of the mean or of log tau."""
        return self.coefficient or self.enters == "scale"

    @property
    def in_mean(self) -> bool:
        """Whether the mean of true effects is a sum of it and others like it."""
        return self.enters in ("intercept", "moderator")

    def factor(self, unit: float) -> float:
        """Return what values per `unit` are multiplied by to be per one.

        Parameters
        ----------
        unit : float
            Of effects, positive: 2 if one of the new is two of the old.
        """
        return float(unit ** _POWERS[self.unit])


REALS: Final = (-math.inf, math.inf)

EFFECT: Final = Component(
    "effect", "Effect", "an effect", "effect", "eff.", always=True
)
HETEROGENEITY: Final = Component(
    "heterogeneity",
    "Heterogeneity",
    "heterogeneity",
    "heterogeneity",
    "het.",
    always=True,
)
BIAS: Final = Component("bias", "Bias", "publication bias", "bias")
HIERARCHICAL: Final = Component(
    "hierarchical",
    "Hierarchical",
    "a correlation of true effects within clusters",
    "clusters",
    "clust.",
)
SELECTION: Final = Component(
    "selection", "Selection", "selection by p-value", "selection model", kind_of="bias"
)
_PET: Final = Component(
    "PET", "PET", "an effect of the standard error", "PET model", kind_of="bias"
)
_PEESE: Final = Component(
    "PEESE",
    "PEESE",
    "an effect of the squared standard error",
    "PEESE model",
    kind_of="bias",
)

COMPONENTS: Final = (EFFECT, HETEROGENEITY, BIAS, HIERARCHICAL)
"""Components of a model, in the order in which they are combined."""


_TAKEN: Final = frozenset(
    ("prior_prob", "logml", "logml_mcse", "post_prob", "post_prob_mcse",
     "inclusion_bf", "log_bf", "log_bf_mcse")
)  # fmt: skip
"""Columns of the table of models beside those of the components."""


def prior_text(name: str, text: object) -> str:
    """Return what an unknown is distributed as, as in ``mu ~ Normal(0, 1)``."""
    # The coefficients of log tau have a tilde of their own.
    return f"({name}) ~ {text}" if "~" in name else f"{name} ~ {text}"


def weight_name(low: float, high: float) -> str:
    """Return the name of the weight of an interval of p-values."""
    return f"omega[{low:g},{high:g}]"


@dataclass(frozen=True, slots=True)
class Unknowns:
    """A table of unknowns.

    Attributes
    ----------
    rows : tuple of Parameter
        In the order of tables and of draws; names differ.
    """

    rows: tuple[Parameter, ...]

    def __iter__(self) -> Iterator[Parameter]:
        """Go through the rows."""
        return iter(self.rows)

    def __contains__(self, name: object) -> bool:
        """Whether there is an unknown of this name."""
        return any(row.name == name for row in self.rows)

    def __getitem__(self, name: str) -> Parameter:
        """Return the row of a name; ``omega[0,0.05]`` is one of "omega".

        Raises
        ------
        DataError
            If there is none.
        """
        stem = str(name).partition("[")[0]
        for row in self.rows:
            if name == row.name or (stem == row.name and not row.scalar):
                return row
        names = ", ".join(row.name for row in self.rows)
        raise DataError(f"parameter: expected one of {names}; got {name!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all unknowns."""
        return tuple(row.name for row in self.rows)

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of those with one number per draw."""
        return tuple(row.name for row in self.rows if row.scalar)

    @property
    def latex(self) -> dict[str, str]:
        """LaTeX symbols of those with one number per draw, by name."""
        return {row.name: row.latex for row in self.rows if row.scalar}

    @property
    def components(self) -> tuple[Component, ...]:
        """Components of a model, those of the table first, in order."""
        own = (row.component for row in self.rows if row.component.kind_of is None)
        return tuple(dict.fromkeys((*COMPONENTS, *own)))

    def kinds(self, component: str) -> tuple[Component, ...]:
        """Return the kinds of a component, in order."""
        kinds = (row.component for row in self.rows)
        return tuple(dict.fromkeys(kind for kind in kinds if kind.kind_of == component))

    @property
    def by_component(self) -> dict[str, Component]:
        """Components of a model, then the kinds of them, by name."""
        every = (*self.components, *(row.component for row in self.rows))
        return {component.name: component for component in every}

    def component(self, name: str) -> Component:
        """Return the component, or kind of one, of a name.

        Raises
        ------
        DataError
            If there is none.
        """
        known = self.by_component
        if name not in known:
            raise DataError(
                f"component: expected one of {', '.join(known)}; got {name!r}."
            )
        return known[name]

    def of_component(self, name: str) -> tuple[Parameter, ...]:
        """Return the unknowns of a component."""
        return tuple(row for row in self.rows if row.component.name == name)

    @property
    def terms(self) -> tuple[Component, ...]:
        """Components that are moderators of the mean, in order."""
        rows = (row.component for row in self.rows if row.enters == "moderator")
        return tuple(dict.fromkeys(rows))

    @property
    def scale_terms(self) -> tuple[Component, ...]:
        """Components that are moderators of heterogeneity, in order."""
        rows = (row.component for row in self.rows if row.enters == "scale")
        return tuple(dict.fromkeys(rows))

    @property
    def regressions(self) -> tuple[str, ...]:
        """Names of the coefficients of powers of the standard error."""
        return tuple(row.name for row in self.rows if row.se_power)

    def with_rows(self, rows: Iterable[Parameter]) -> Unknowns:
        """Return the table with more rows at its end.

        Raises
        ------
        DataError
            If a name is taken, by an unknown or by a component that is another one.
        """
        every = list(self.rows)
        components = self.by_component
        for row in rows:
            known = {other.name for other in every}
            stem = row.name.partition("[")[0]
            vector = any(o.name == stem and not o.scalar for o in self.rows)
            if not row.name or row.name in known or vector:
                raise DataError(
                    f"parameter: expected a name of its own; got {row.name!r}, which "
                    "another unknown has or could have. Rename the column."
                )
            component = row.component
            if (
                components.setdefault(component.name, component) != component
                or component.name in _TAKEN
            ):
                raise DataError(
                    f"component: expected a name of its own; got {component.name!r}, "
                    "which something else in the results has. Rename the column."
                )
            every.append(row)
        return Unknowns(tuple(every))


UNKNOWNS: Final = Unknowns(
    (
        Parameter(
            "mu", EFFECT, "effect", "intercept", REALS,
            "μ", "Effect", "the effect (mu)", r"$\mu$", always=True,
        ),
        Parameter(
            "tau", HETEROGENEITY, "spread", "sd", (0.0, math.inf),
            "τ", "Heterogeneity", "the heterogeneity (tau)", r"$\tau$", always=True,
        ),
        Parameter(
            "rho", HIERARCHICAL, "none", "correlation", (0.0, 1.0),
            "ρ", "Correlation within clusters",
            "the correlation of true effects within a cluster (rho)", r"$\rho$",
            needs="tau",
        ),
        Parameter(
            "omega", SELECTION, "none", "weights", (0.0, 1.0),
            "ω", "Publication weights",
            "the relative publication probabilities (omega)", r"$\omega$",
        ),
        Parameter(
            "PET", _PET, "none", "bias", REALS,
            "PET", "PET coefficient", "the coefficient of the standard error (PET)",
            "PET", se_power=1,
        ),
        Parameter(
            "PEESE", _PEESE, "per_effect", "bias", REALS,
            "PEESE", "PEESE coefficient",
            "the coefficient of the squared standard error (PEESE)", "PEESE",
            se_power=2,
        ),
    )
)  # fmt: skip
"""The unknowns that every kind of data can have."""
