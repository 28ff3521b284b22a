"""What `robma` would fit, to be looked at before it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pyrobma._format import counted, fixed
from pyrobma.effects import MEASURE_NAMES
from pyrobma.ensemble import Ensemble
from pyrobma.fit import SamplerSettings
from pyrobma.fit.plan import relative_cost
from pyrobma.models import ModelSpace, ModelSpec, Task
from pyrobma.parameters import Component
from pyrobma.plots import plot_priors
from pyrobma.priors.density import random
from pyrobma.priors.univariate import checked_size
from pyrobma.summary import Summary, Table
from pyrobma.summary.heading import heading

_NONE = "none"


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Plan:
    """The models that `robma` would fit; it returns one with ``only_priors=True``.

    Print it for the priors in words, or see `plot`, `models` and `sample`.

    Attributes
    ----------
    task : Task
        The effect sizes and the mapping of parameters to their measure.
    space : ModelSpace
        The models and their prior probabilities.
    settings : SamplerSettings
        How the chains would be run.
    seed : int or None
        That of the fit. None: one would be drawn.
    """

    task: Task
    space: ModelSpace
    settings: SamplerSettings
    seed: int | None = None

    @property
    def models(self) -> pd.DataFrame:
        """One row per model, numbered from 1.

        Columns: its priors ``effect``, ``heterogeneity``, ``bias``, ``hierarchical``
        and those of moderators, and ``prior_prob``, as in `Ensemble.models`.
        """
        ensemble = self._ensemble
        texts = {c.name: ensemble.prior_texts(c.name) for c in self._components}
        return pd.DataFrame(
            {**texts, "prior_prob": self.space.prior_prob},
            index=pd.RangeIndex(1, len(self.space) + 1, name="model"),
        )

    @property
    def priors(self) -> pd.DataFrame:
        """One row per prior of a component.

        Index: component. Columns: ``hypothesis`` ("null", "alternative", or "absent"
        where it would mean nothing, as correlations without heterogeneity), ``prior``
        (in words; "none" without one), ``models`` (how many have it) and
        ``prior_prob`` (of these together).
        """
        found: dict[tuple[str, str, str], list[float]] = {}
        for component in self._components:
            own = self.task.unknowns.of_component(component.name)
            needs = any(row.needs is not None for row in own)
            for spec, p in zip(self.space, self.space.prior_prob.tolist(), strict=True):
                text = self._text(spec, component)
                side = "absent" if needs and text == _NONE else "null"
                if component.name in spec.alternative:
                    side = "alternative"
                found.setdefault((component.name, side, text), []).append(p)
        rows = [(*key, len(ps), sum(ps)) for key, ps in found.items()]
        columns = ["component", "hypothesis", "prior", "models", "prior_prob"]
        return pd.DataFrame(rows, columns=columns).set_index("component")

    def summary(self) -> Summary:
        """Tabulate the components and their priors.

        Returns
        -------
        Summary
            Printable; ``.components`` and ``.priors`` are its DataFrames.
        """
        return Summary(
            f"{heading(self._ensemble)}, not fitted",
            {"components": self._components_table(), "priors": self._priors_table()},
        )

    def plot(self, **options: Any) -> Any:
        """Draw the priors of every parameter over all models.

        Parameters
        ----------
        **options
            Those of `pyrobma.plots.plot_priors`: ``output_scale``, ``width``, ...

        Returns
        -------
        plotnine composition
            ``.save("figure.pdf")`` writes it.

        Raises
        ------
        DataError
            If an option cannot be used.
        """
        return plot_priors(self._ensemble, **options)

    def sample(self, n: int, *, seed: int | None = None) -> pd.DataFrame:
        """Return draws of the parameters from the averaged prior.

        Parameters
        ----------
        n : int
            How many, at least 1.
        seed : int, optional
            Not negative; makes them reproducible. None draws one.

        Returns
        -------
        DataFrame
            A row per draw: ``model``, drawn by the prior model probabilities, and every
            scalar parameter on the prior scale, 0 where the model lacks it.

        Raises
        ------
        PriorError
            If `n` or `seed` is no such number.
        """
        n, rng = checked_size(n, seed)
        number = rng.choice(len(self.space), size=n, p=self.space.prior_prob)
        names = [
            row.name
            for row in self.task.unknowns
            if row.scalar and (row.always or self.space.has(row.name))
        ]
        frame = pd.DataFrame({"model": number + 1, **dict.fromkeys(names, 0.0)})
        for k in np.unique(number):
            own = np.flatnonzero(number == k)
            for name in names:
                draws = random(self.space.models[k].prior(name), own.size, rng)
                frame.loc[own, name] = draws
        return frame

    def __repr__(self) -> str:
        """Return the tables of priors."""
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().to_html()

    @property
    def _ensemble(self) -> Ensemble:
        # Without fits an ensemble knows what its priors say.
        return Ensemble(self.task, self.space, (), self.settings, self.seed or 0)

    @property
    def _components(self) -> tuple[Component, ...]:
        """The components that some model says something of."""
        ensemble = self._ensemble
        return tuple(
            component
            for component in ensemble.unknowns.components
            if component.name in ensemble.components
            or any(ensemble.prior_texts(component.name))
        )

    def _text(self, spec: ModelSpec, component: Component) -> str:
        """Return the prior that a model has of a component, in words."""
        unknowns = self.task.unknowns
        kinds = (component, *unknowns.kinds(component.name))
        rows = [row for kind in kinds for row in unknowns.of_component(kind.name)]
        parts = []
        for row in rows:
            if not row.scalar:
                parts += [] if spec.selection is None else [str(spec.selection)]
            elif spec.has(row.name):
                named = f"{row.name} ~ " if len(kinds) > 1 else ""
                parts.append(f"{named}{spec.prior(row.name)}")
        # Coefficients of a factor have one prior as a rule.
        return ", ".join(dict.fromkeys(parts)) or _NONE

    def _components_table(self) -> Table:
        ensemble = self._ensemble
        rows = {}
        for component in self._components:
            member = ensemble.members(component.name)
            given = ensemble.possible(component.name)
            among = len(self.space) if given is None else int(given.sum())
            rows[component.title] = {
                "Models": f"{member.sum()}/{among}",
                "Prior prob.": float(ensemble.prior_given(given)[member].sum()),
            }
        frame = pd.DataFrame.from_dict(rows, orient="index")
        notes = self._work()
        if ensemble.unknowns.scale_terms:
            notes += (
                "Of moderators of heterogeneity (tau ~ ...) among models with "
                "heterogeneity.",
            )
        return Table("Components:", frame, {"Prior prob.": fixed(3)}, notes=notes)

    def _priors_table(self) -> Table:
        titles = {c.name: c.title for c in self._components}
        found = self.priors
        frame = pd.DataFrame(
            {
                "Hypothesis": found["hypothesis"],
                "Prior": found["prior"],
                "Models": found["models"].map(str),
                "Prior prob.": found["prior_prob"],
            }
        ).set_axis([titles[str(name)] for name in found.index])
        note = f"Priors are in units of {MEASURE_NAMES[self.task.prior_scale]}."
        return Table("Priors:", frame, {"Prior prob.": fixed(3)}, notes=(note,))

    def _work(self) -> tuple[str, ...]:
        """Say how much there is to fit."""
        first = self.space.first
        different = [m for i, m in enumerate(self.space) if first[i] == i]
        sampled = [m for m in different if m.free]
        selection = sum("omega" in m.free for m in sampled)
        work = sum(relative_cost(self.task, model) for model in sampled)
        text = f"{counted(len(sampled), 'model')} to sample"
        if selection:
            text += (
                f", {selection} of them with a weight function: about as much work as "
                f"{work:.0f} without"
            )
        chains = self.settings
        return (
            f"{text}.",
            f"{chains.chains} chains each, of {chains.warmup} and {chains.draws} "
            "iterations at first.",
        )
