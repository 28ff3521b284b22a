"""Stage 5: an ensemble of fitted models and what it says together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import pandas as pd

from pyrobma._types import BoolArray, FloatArray, IntArray
from pyrobma._validate import is_whole
from pyrobma.effects import Measure, scale_factor
from pyrobma.ensemble.joint import FitDraws, JointDraws, joint_draws
from pyrobma.ensemble.logml_errors import LogmlErrors
from pyrobma.ensemble.mixing import Mixture, allocate
from pyrobma.ensemble.predictor import Predictor
from pyrobma.ensemble.probabilities import (
    Inclusion,
    inclusion,
    model_inclusion,
    posterior_probabilities,
    posterior_probability_errors,
)
from pyrobma.ensemble.scales import Converter, check_output_scale, effect_converter
from pyrobma.errors import DataError
from pyrobma.fit import Fit, SamplerSettings
from pyrobma.models import ModelSpace, ModelSpec, Task, heterogeneous
from pyrobma.parameters import BIAS, Unknowns, prior_text, weight_name
from pyrobma.priors import Prior, PValueGrid, WeightFunction, common_grid, on_grid


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """Fitted models with their prior and posterior probabilities.

    Attributes
    ----------
    task : Task
        The effect sizes and the mapping of parameters to their measure.
    space : ModelSpace
        The models and their prior probabilities.
    fits : tuple of Fit
        One per model, in the order of the space.
    settings : SamplerSettings
        How the chains were run.
    seed : int
        Seed of the fits and of `draws`.
    """

    task: Task
    space: ModelSpace
    fits: tuple[Fit, ...]
    settings: SamplerSettings
    seed: int
    # No slots: what follows from the fields is found once and kept.

    def __add__(self, other: object) -> Self:
        """Return the ensemble of the models of both, none of them fitted again.

        Parameters
        ----------
        other : Ensemble
            Of the same data on the same scales. Prior probabilities are those that
            the weights of all models give together; settings and seed those of the
            first.

        Returns
        -------
        Ensemble
            Of the type of the first.

        Raises
        ------
        DataError
            If the data or their scales differ.
        """
        if not isinstance(other, Ensemble):
            return NotImplemented
        if not self.task.same_as(other.task):
            raise DataError(
                "fits: expected two of the same data, scales and direction to add up; "
                "got others. Fit them with the same data and arguments but for the "
                "models."
            )
        return replace(
            self, space=self.space + other.space, fits=(*self.fits, *other.fits)
        )

    # ---- model probabilities -------------------------------------------------
    @cached_property
    def logml(self) -> FloatArray:
        """Log marginal likelihoods, shape (number of models,)."""
        return _kept(np.array([fit.logml for fit in self.fits]))

    @cached_property
    def prior_prob(self) -> FloatArray:
        """Prior model probabilities, shape (number of models,)."""
        return _kept(self.space.prior_prob)

    @cached_property
    def post_prob(self) -> FloatArray:
        """Posterior model probabilities, shape (number of models,)."""
        return _kept(self._probabilities(None))

    @cached_property
    def unknowns(self) -> Unknowns:
        """The table of unknowns of the data."""
        return self.task.unknowns

    @cached_property
    def logml_errors(self) -> LogmlErrors:
        """Monte Carlo errors of `logml`."""
        return LogmlErrors.shared(
            _kept(np.array([fit.logml_mcse for fit in self.fits])),
            [(fit.fingerprint, fit.seed) for fit in self.fits],
        )

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The components that have evidence to report.

        Effect and heterogeneity always; others if some model has them.
        """
        return tuple(
            component.name
            for component in self.unknowns.components
            if component.always or self.members(component.name).any()
        )

    @cached_property
    def tested_terms(self) -> tuple[str, ...]:
        """The moderators of effects that some models have and some have not."""
        members = {t.name: self.members(t.name) for t in self.unknowns.terms}
        return tuple(n for n, some in members.items() if some.any() and not some.all())

    @cached_property
    def tested_scale_terms(self) -> tuple[str, ...]:
        """The moderators of heterogeneity that only some heterogeneous models have."""
        given = heterogeneous(self.space)
        members = {t.name: self.members(t.name) for t in self.unknowns.scale_terms}
        return tuple(
            name
            for name, some in members.items()
            if some.any() and not some[given].all()
        )

    @cached_property
    def bias_kinds(self) -> tuple[str, ...]:
        """The kinds of publication bias that some model has, as alternative or null."""
        return tuple(
            kind.name
            for kind in self.unknowns.kinds(BIAS.name)
            if any(
                self.space.has(r.name) for r in self.unknowns.of_component(kind.name)
            )
        )

    @cached_property
    def bias_components(self) -> tuple[str, ...]:
        """The kinds of publication bias that some model is the alternative for."""
        kinds = (kind.name for kind in self.unknowns.kinds(BIAS.name))
        return tuple(kind for kind in kinds if self.members(kind).any())

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The scalar parameters of the ensemble.

        mu and tau; rho if there are clusters; ``omega[lo,hi]``, the weight of an
        interval of p-values, for every interval of `p_values`; PET; PEESE.
        """
        names: list[str] = []
        for row in self.unknowns:
            if not row.scalar:
                names += self._weight_names
            elif row.always or self.space.has(row.name):
                names.append(row.name)
        return tuple(names)

    @cached_property
    def p_values(self) -> PValueGrid | None:
        """Intervals of p-values common to all weight functions; None without any."""
        functions = self.space.weightfunctions
        return common_grid(functions) if functions else None

    @property
    def inclusion(self) -> pd.DataFrame:
        """Evidence for each component.

        Index: component. Columns: ``models`` (number with the component),
        ``prior_prob``, ``post_prob``, ``inclusion_bf`` and their Monte Carlo standard
        errors ``post_prob_mcse`` and ``log_bf_mcse`` (that of ``log_bf``).
        """
        return self._evidence_frame(self.components)

    @property
    def bias_inclusion(self) -> pd.DataFrame:
        """Evidence for each kind of publication bias; columns as in `inclusion`."""
        return self._evidence_frame(self.bias_components)

    def joint_inclusion(
        self, *components: str, how: Literal["any", "all"] = "any"
    ) -> pd.Series[float]:
        """Return the evidence for several components together.

        Parameters
        ----------
        *components : str
            Two or more, such as terms: collinear moderators share the evidence that
            each of them gets alone.
        how : {"any", "all"}
            Models with at least one of them, or with all of them; both against models
            with none.

        Returns
        -------
        Series
            What `inclusion` has as columns. For "all" probabilities are among models
            that have all of them or none; with a moderator of heterogeneity they are
            among models with heterogeneity.

        Raises
        ------
        DataError
            On an unknown component or `how`, or if no model is left on either side.
        """
        if how not in ("any", "all"):
            raise DataError(f"how: expected 'any' or 'all'; got {how!r}.")
        if not components:
            raise DataError("components: expected two or more; got none.")
        members = np.array([self.members(name) for name in components])
        some: BoolArray = np.asarray(members.any(axis=0))
        every: BoolArray = np.asarray(members.all(axis=0))
        member = some if how == "any" else every
        given = member | ~some
        for name in components:
            possible = self.possible(name)
            given = given if possible is None else given & possible
        if not member.any() or some[given].all():
            raise DataError(
                f"components: expected models with {how} of {', '.join(components)} "
                "and models with none; got one kind only."
            )
        found = inclusion(
            member, self.logml, self.prior_given(given), self.logml_errors,
            log_prior=self.space.log_prior_prob_given(given),
        )  # fmt: skip
        frame = self._frame_of({f"{how} of {', '.join(components)}": found})
        return frame.iloc[0]

    def _evidence_frame(self, names: tuple[str, ...]) -> pd.DataFrame:
        return self._frame_of({name: self.evidence(name) for name in names})

    def _frame_of(self, rows: Mapping[str, Inclusion]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "models": [e.n_models for e in rows.values()],
                "prior_prob": [e.prior_prob for e in rows.values()],
                "post_prob": [e.post_prob for e in rows.values()],
                "post_prob_mcse": [e.post_prob_mcse for e in rows.values()],
                "inclusion_bf": _exp(np.array([e.log_bf for e in rows.values()])),
                "log_bf": [e.log_bf for e in rows.values()],
                "log_bf_mcse": [e.log_bf_mcse for e in rows.values()],
            },
            index=pd.Index(rows, name="component"),
        )

    @property
    def models(self) -> pd.DataFrame:
        """One row per model, numbered from 1.

        Columns: its priors ``effect``, ``heterogeneity``, ``bias``, ``hierarchical``;
        ``prior_prob``, ``logml``, ``logml_mcse``, ``post_prob``, ``post_prob_mcse``,
        ``inclusion_bf`` (of this model against all others), its log ``log_bf`` and
        ``log_bf_mcse``.
        """
        return self._models.copy()

    @cached_property
    def _models(self) -> pd.DataFrame:
        each = model_inclusion(
            self.logml,
            self.prior_prob,
            self.logml_errors,
            log_prior=self.space.log_prior_prob,
        )
        return pd.DataFrame(
            {
                **{c.name: self.prior_texts(c.name) for c in self.unknowns.components},
                "prior_prob": self.prior_prob,
                "logml": self.logml,
                "logml_mcse": self.logml_errors.sd,
                "post_prob": self.post_prob,
                "post_prob_mcse": posterior_probability_errors(
                    self.post_prob, self.logml_errors
                ),
                "inclusion_bf": _exp(each.log_bf),
                "log_bf": each.log_bf,
                "log_bf_mcse": each.log_bf_mcse,
            },
            index=pd.RangeIndex(1, len(self.fits) + 1, name="model"),
        )

    def evidence(self, component: str) -> Inclusion:
        """Return probabilities and Bayes factor of a component or kind of bias.

        Those of a moderator of heterogeneity are among the models with heterogeneity:
        where there is none it means nothing.
        """
        return self._compare(self.members(component), self.possible(component))

    def possible(self, component: str) -> BoolArray | None:
        """Return which models could have a component; None if all could.

        A moderator of heterogeneity is only in models with heterogeneity, and its
        probabilities are given that there is some.
        """
        if component in {term.name for term in self.unknowns.scale_terms}:
            return heterogeneous(self.space)
        return None

    # ---- parameters ----------------------------------------------------------
    def mixture(
        self,
        parameter: str,
        *,
        conditional: bool = False,
        output_scale: Measure | None = None,
    ) -> Mixture:
        """Return the posterior of a parameter over all models.

        Parameters
        ----------
        parameter : str
            One of `parameters`.
        conditional : bool
            Only over models that count as alternative for the parameter's component.
        output_scale : str, optional
            Measure of the values: "cohens_d", "fishers_z", "r", "logOR", "OR". mu is
            converted draw by draw; tau and PEESE linearly, on Fisher's z for "r" and on
            the log odds ratio for "OR"; rho, omega and PET have no unit. None: the
            prior scale.

        Returns
        -------
        Mixture

        Raises
        ------
        DataError
            If the parameter is not in the ensemble, no model is left, or there is no
            such conversion.
        """
        if parameter not in self.parameters:
            raise DataError(
                f"parameter: expected one of {', '.join(self.parameters)}; got "
                f"{parameter!r}."
            )
        given = self.alternatives(self.component_of(parameter)) if conditional else None
        to_output = self.converter(parameter, output_scale)
        mixed = Mixture(
            self._probabilities(given),
            tuple(self._values(parameter)),
            self.logml_errors,
            tuple(fit.mean_factor(parameter) for fit in self.fits),
        )
        return mixed.transformed(to_output)

    def draws(
        self,
        parameter: str,
        *,
        conditional: bool = False,
        output_scale: Measure | None = None,
        n: int = 10_000,
    ) -> FloatArray:
        """Return equally weighted draws from the averaged posterior of a parameter.

        Parameters
        ----------
        parameter, conditional, output_scale
            As in `mixture`; ``"omega"`` stands for the weights of all intervals.
        n : int
            Number of draws.

        Returns
        -------
        array of shape (n,), for "omega" (n, number of intervals)
            Models in their order, each with a share of rows as large as its posterior
            probability. Averaged draws of different parameters belong together row by
            row.

        Raises
        ------
        DataError
            As in `mixture`, or if `n` is not positive.
        """
        if not is_whole(n, 1):
            raise DataError(f"n: expected a positive number of draws; got {n!r}.")
        if parameter == "omega":
            names = self._weight_names
            if names:
                return np.stack(
                    [self.draws(p, conditional=conditional, n=n) for p in names], axis=1
                )
        mixed = self.mixture(
            parameter, conditional=conditional, output_scale=output_scale
        )
        parts = []
        for values, rows in zip(
            mixed.draws, self.rows(mixed.probabilities, n), strict=True
        ):
            flat = values.ravel()
            parts.append(flat[rows] if flat.size > 1 else np.repeat(flat, len(rows)))
        return np.concatenate(parts)

    def rows(self, probabilities: FloatArray, n: int) -> tuple[IntArray, ...]:
        """Return which draws of every model stand for it among equally weighted ones.

        Parameters
        ----------
        probabilities : array of shape (number of models,)
            Of the models.
        n : int
            Number of draws over all models.

        Returns
        -------
        tuple of array of int
            By model: places among its draws, all chains one after another; 0 where
            nothing is drawn. They do not depend on the parameter, so that draws of
            different ones match.
        """
        rng = np.random.default_rng([self.seed, 1])
        found = []
        for fit, count in zip(self.fits, allocate(probabilities, n), strict=True):
            places = rng.permutation(1 if fit.chains is None else fit.chains.size)
            found.append(np.resize(places, int(count)))
        return tuple(found)

    def derived(
        self,
        function: Callable[..., FloatArray],
        *parameters: str,
        given: BoolArray | None = None,
    ) -> Mixture:
        """Return the posterior of a function of parameters over all models.

        Parameters
        ----------
        function : callable
            Takes the draws of `parameters` on the prior scale, each of shape (chains,
            draws) or (1, 1) where fixed, and returns values of their common shape.
        *parameters : str
            Scalar unknowns, e.g. "mu".
        given : array of bool, shape (number of models,), optional
            Only over these models, e.g. ``ensemble.members("effect")``.

        Returns
        -------
        Mixture
        """
        self._check_scalars(parameters)
        draws = [
            function(*(fit.values(name) for name in parameters)) for fit in self.fits
        ]
        return Mixture(self._probabilities(given), tuple(draws), self.logml_errors)

    def predicted(
        self,
        function: Callable[[Predictor], FloatArray],
        *,
        given: BoolArray | None = None,
    ) -> Mixture:
        """Return the posterior of a function of what the models predict.

        Parameters
        ----------
        function : callable
            Takes the `Predictor` of a model, with draws of shape (chains, draws) or
            (1, 1), and returns values of that shape.
        given : array of bool, shape (number of models,), optional
            Only over these models.

        Returns
        -------
        Mixture
        """
        draws = [function(Predictor(self.task, FitDraws(fit))) for fit in self.fits]
        return Mixture(self._probabilities(given), tuple(draws), self.logml_errors)

    def joint(
        self, *parameters: str, given: BoolArray | None = None, size: int = 4000
    ) -> JointDraws:
        """Return draws of several parameters that belong together.

        Parameters
        ----------
        *parameters : str
            Scalar unknowns. None given: all.
        given : array of bool, shape (number of models,), optional
            Only over these models.
        size : int
            About how many draws; models are thinned to their share of them.

        Returns
        -------
        JointDraws
        """
        self._check_scalars(parameters)
        names = parameters or self.unknowns.scalars
        return joint_draws(self.fits, self._probabilities(given), names, size)

    def priors(
        self,
        parameter: str,
        *,
        conditional: bool = False,
        given: BoolArray | None = None,
    ) -> tuple[tuple[float, Prior], ...]:
        """Return the prior of a scalar parameter over all models.

        Parameters
        ----------
        parameter : str
            A scalar unknown, e.g. "mu".
        conditional : bool
            Only over models that count as alternative for its component.
        given : array of bool, shape (number of models,), optional
            Only over these models. None: all.

        Returns
        -------
        tuple of (float, Prior)
            Prior probabilities, summing to one, and what has them; equal priors are
            merged, and a model without the parameter has a spike at 0.
        """
        self._check_scalars((parameter,))
        component = self.component_of(parameter)
        member = self.alternatives(component, given) if conditional else given
        # By what they are apart from their weight, in the order of the models.
        total: dict[Prior, float] = {}
        first: dict[Prior, Prior] = {}
        for probability, model in zip(
            self.prior_given(member), self.space.models, strict=True
        ):
            mine = model.prior(parameter)
            kind = replace(mine, prior_weight=1.0)
            total[kind] = total.get(kind, 0.0) + float(probability)
            first.setdefault(kind, mine)
        return tuple((p, first[kind]) for kind, p in total.items() if p > 0)

    def prior_given(self, given: BoolArray | None) -> FloatArray:
        """Return prior model probabilities, given that a model is one of some.

        Parameters
        ----------
        given : array of bool, shape (number of models,), optional
            Which models. None: all.

        Returns
        -------
        array of shape (number of models,)
            Summing to one; 0 for the others.
        """
        if given is None:
            return self.prior_prob
        return self.space.prior_prob_given(given)

    def posterior_given(self, given: BoolArray | None) -> FloatArray:
        """Return posterior model probabilities, given that a model is one of some.

        Parameters and return value are as those of `prior_given`.
        """
        return self._probabilities(given)

    def component_of(self, parameter: str) -> str:
        """Return the component, or kind of bias, that a parameter belongs to."""
        return self.unknowns[parameter].component.name

    def members(self, component: str) -> BoolArray:
        """Return which models count as alternative for a component or kind of bias.

        Raises
        ------
        DataError
            If there is no such component.
        """
        _ = self.unknowns.component(component)
        return np.array([component in m.alternative for m in self.space.models])

    def alternatives(self, component: str, given: BoolArray | None = None) -> BoolArray:
        """Return `members` of a component, some of which there must be.

        Parameters
        ----------
        component : str
            E.g. "effect".
        given : array of bool, shape (number of models,), optional
            Only among these models.

        Returns
        -------
        array of bool, shape (number of models,)

        Raises
        ------
        DataError
            If there is none.
        """
        member = self.members(component)
        if given is not None:
            member = member & given
        if not member.any():
            raise DataError(
                "conditional: expected a model with an alternative prior for "
                f"{component}; there is none. Give one in robma()."
            )
        return member

    def converter(self, parameter: str, output_scale: Measure | None) -> Converter:
        """Return the function from the prior scale to an output scale.

        Parameters and errors are those of `mixture`.
        """
        target = check_output_scale(self.task, output_scale)
        row = self.unknowns[parameter]
        if row.unit == "effect":
            return effect_converter(self.task, target)
        if row.unit == "none" or target == self.task.prior_scale:
            return lambda x: x
        factor = row.factor(scale_factor(self.task.prior_scale, target))
        return lambda x: x * factor

    # ---- inside --------------------------------------------------------------
    def _values(self, parameter: str) -> Iterator[FloatArray]:
        """Yield the draws of a parameter by model."""
        if self.unknowns[parameter].scalar:
            for fit in self.fits:
                yield fit.values(parameter)
            return
        assert self.p_values is not None
        place = self._weight_names.index(parameter)
        # Where each weight function has its weight of this interval.
        columns: dict[WeightFunction | None, int] = {}
        for fit in self.fits:
            selection = fit.spec.selection
            if selection not in columns:
                columns[selection] = _column(selection, self.p_values, place)
            yield fit.draws("omega")[:, :, columns[selection]]

    @cached_property
    def _weight_names(self) -> list[str]:
        if self.p_values is None:
            return []
        return [weight_name(low, high) for low, high in self.p_values.intervals]

    def _check_scalars(self, names: Sequence[str]) -> None:
        known = self.unknowns.scalars
        for name in names:
            if name not in known:
                raise DataError(
                    f"parameter: expected one of {', '.join(known)}; got {name!r}."
                )

    def prior_texts(self, component: str) -> list[str]:
        """Return the priors of a component and of its kinds in words.

        Parameters
        ----------
        component : str
            E.g. "effect".

        Returns
        -------
        list of str
            One per model, empty where it has none.
        """
        kinds = (component, *(k.name for k in self.unknowns.kinds(component)))
        rows = [row for kind in kinds for row in self.unknowns.of_component(kind)]
        named = len(kinds) > 1 or len(rows) > 1

        def text(model: ModelSpec) -> str:
            parts = []
            for row in rows:
                if not row.scalar:
                    parts += [] if model.selection is None else [str(model.selection)]
                elif model.has(row.name):
                    own = str(model.prior(row.name))
                    parts.append(prior_text(row.name, own) if named else own)
            return ", ".join(parts)

        return [text(model) for model in self.space]

    def _compare(self, member: BoolArray, given: BoolArray | None) -> Inclusion:
        if given is None:
            return inclusion(
                member, self.logml, self.prior_prob, self.logml_errors,
                log_prior=self.space.log_prior_prob,
            )  # fmt: skip
        return inclusion(
            member, self.logml, self.prior_given(given), self.logml_errors,
            log_prior=self.space.log_prior_prob_given(given), given=given,
        )  # fmt: skip

    def _probabilities(self, given: BoolArray | None) -> FloatArray:
        logs = (
            self.space.log_prior_prob
            if given is None
            else self.space.log_prior_prob_given(given)
        )
        return posterior_probabilities(
            self.logml, self.prior_given(given), log_prior=logs
        )


def _column(selection: WeightFunction | None, grid: PValueGrid, place: int) -> int:
    """Return which of its weights a model has in an interval of the grid."""
    if selection is None:
        return 0  # the weight of 1 that a model without selection has
    own = np.arange(len(selection.intervals), dtype=np.float64)
    return int(on_grid(own[None], selection, grid)[0, place])


def _kept(values: FloatArray) -> FloatArray:
    """Return values that nobody can change, because they are found only once."""
    values.flags.writeable = False
    return values


def _exp(values: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        return np.exp(values)
