"""Stage 6: an ensemble in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from pyrobma._format import (
    bayes_factor_in_text,
    counted,
    error,
    listed,
    true_minus,
)
from pyrobma.effects import MEASURE_NAMES, Measure, Moderators, Term, linear_measure
from pyrobma.ensemble import (
    Ensemble,
    Inclusion,
    heterogeneity,
    prediction_interval,
)
from pyrobma.ensemble.quantities import (
    Quantity,
    coefficients,
    converted,
    marginal,
    posterior,
)
from pyrobma.ensemble.scales import check_output_scale
from pyrobma.ensemble.spread import log_ratios, tau_at, variance_ratio
from pyrobma.models import heterogeneous, scale_name
from pyrobma.models.task import tau_reference
from pyrobma.parameters import BIAS
from pyrobma.summary.grid import effect_format
from pyrobma.summary.heading import cluster_counts, method_name
from pyrobma.summary.notes import (
    count_notes,
    hierarchical_notes,
    learning_notes,
    tests_clusters,
)

_GRADES: Final = (
    (100.0, "extreme"),
    (10.0, "strong"),
    (3.0, "moderate"),
    (0.0, "weak"),
)
_UNDECIDED: Final = math.log(1.1)
_UNCERTAIN: Final = 0.1  # a Bayes factor that is known to 10 % only
_NEGLIGIBLE: Final = 0.001  # of posterior probability


def interpret(ensemble: Ensemble, *, output_scale: Measure | None = None) -> str:
    """Say in a paragraph what was fitted and what was found.

    Parameters
    ----------
    ensemble : Ensemble
        What `robma` returns.
    output_scale : str, optional
        Measure of the estimates, as in `Ensemble.mixture`. None: the prior scale.

    Returns
    -------
    str
        Plain sentences for a results section: the models, the evidence for each
        component that some but not all models have, averaged estimates with 95 %
        credible intervals, how the effect differs with each moderator, the 95 %
        prediction interval of the true effect of a new study, Monte Carlo errors, and
        models that missed a check.

    Raises
    ------
    DataError
        On an unknown scale.

    Notes
    -----
    Evidence is weak for a Bayes factor below 3, moderate below 10, strong below 100
    and extreme beyond, whichever side it favours; between 1/1.1 and 1.1 the data are
    said not to discriminate. BF10 is that of the models with the component against
    those without it, BF01 its inverse. The words are those of Jeffreys (1961), Theory
    of Probability, appendix B, with fewer grades.
    """
    target = check_output_scale(ensemble.task, output_scale)
    return " ".join(
        [
            _fitted(ensemble),
            *count_notes(ensemble),
            *_evidence(ensemble),
            _estimates(ensemble, target),
            *_moderation(ensemble, target),
            *_scale_moderation(ensemble, target),
            *_prediction(ensemble, target),
            *learning_notes(ensemble),
            *_precision(ensemble, target),
            _checks(ensemble),
        ]
    )


def _fitted(ensemble: Ensemble) -> str:
    count, data = len(ensemble.fits), _data(ensemble)
    if count == 1:
        spec = ensemble.fits[0].spec
        kind = method_name(ensemble)
        return f"A Bayesian {kind} of {data} was fitted with one model: {spec}."
    robust = "bias" in ensemble.components
    kind = method_name(ensemble)
    method = f"{'robust ' if robust else ''}Bayesian model-averaged {kind}"
    text = f"A {method} of {data} combined {count} models"
    if robust:
        number = int(ensemble.members("bias").sum())
        which = "all of which" if number == count else f"{number} of which"
        kinds = [
            _count(int(ensemble.members(kind.name).sum()), kind.label)
            for kind in ensemble.unknowns.kinds(BIAS.name)
            if ensemble.members(kind.name).any()
        ]
        text += f", {which} allowed for publication bias ({listed(kinds)})"
    return text + "."


def _data(ensemble: Ensemble) -> str:
    effects = ensemble.task.effects
    shared, alone = cluster_counts(effects)
    text, clusters = effects.words, _count(shared, "cluster")
    if effects.counts is None:
        text = _count(effects.K, "estimate")
    if shared and alone:
        others = _count(alone, "independent estimate")
        if effects.counts is not None:
            others = f"{alone} independent"
        return f"{text} ({clusters} and {others})"
    return f"{text} in {clusters}" if shared else text


def _evidence(ensemble: Ensemble) -> list[str]:
    """Say what the data favour, of what some but not all models have."""
    decided, undecided = [], []
    for component in ensemble.components:
        found = ensemble.evidence(component)
        if not math.isfinite(found.log_bf):
            continue
        if component == "hierarchical" and not tests_clusters(ensemble):
            continue
        if abs(found.log_bf) < _UNDECIDED:
            what = _words(ensemble, component)
            undecided.append(f"{what} (BF10 = {math.exp(found.log_bf):.2f})")
        else:
            decided.append(_favoured(_words(ensemble, component), found))
    sentences = []
    if decided:
        sentences.append(f"There was {listed(decided)}.")
    if undecided:
        sentences.append(
            "The data did not discriminate between models with and models without "
            f"{listed(undecided, 'or')}."
        )
    if hierarchical_notes(ensemble):
        sentences.append(
            "Every model with heterogeneity let true effects correlate within "
            "clusters, so that this correlation was not tested on its own."
        )
    return sentences


def _favoured(what: str, found: Inclusion) -> str:
    size = abs(found.log_bf)
    grade = next(word for least, word in _GRADES if size >= math.log(max(least, 1)))
    side, name = ("for", "BF10") if found.log_bf > 0 else ("against", "BF01")
    written = f"{name} = {bayes_factor_in_text(size)}"
    return f"{grade} evidence {side} {what} ({written})"


def _estimates(ensemble: Ensemble, scale: Measure) -> str:
    effects = ensemble.members("effect")
    tested = effects.any() and not effects.all()
    averaged = (
        "mean effect" if len(ensemble.fits) == 1 else "model-averaged mean effect"
    )
    where = _scale(scale)
    mu = ensemble.mixture("mu", output_scale=scale)
    if mu.sd() == 0:
        parts = [f"The mean effect was fixed at {_number(mu.mean(), scale)}{where}"]
    else:
        adjusted = ", adjusted for publication bias," if _biased(ensemble) else ""
        given = []
        if tested:
            mixed = ensemble.mixture("mu", conditional=True, output_scale=scale)
            given = [mixed.mean(), *mixed.quantiles([0.025, 0.975])]
        mean, low, high, *given_effect = _written(
            mu.mean(), *mu.quantiles([0.025, 0.975]), *given, scale=scale
        )
        at = ", at the mean of the moderators," if ensemble.unknowns.terms else ""
        adjusted = f"{adjusted.removesuffix(',')}{at}" if at else adjusted
        text = (
            f"The {averaged}{adjusted} was {mean}{where}, 95 % credible interval "
            f"[{low}, {high}]"
        )
        if given_effect:
            mean, low, high = given_effect
            text += f" ({mean} [{low}, {high}] given that there is an effect)"
        parts = [text]
    return ". ".join([*parts, _spread(ensemble, scale)]) + "."


def _moderation(ensemble: Ensemble, scale: Measure) -> list[str]:
    """Say how the effect differs with each moderator, given that it does."""
    moderators = ensemble.task.moderators
    if moderators is None:
        return []
    sentences = []
    for term in moderators.terms:
        members = ensemble.members(term.name)
        if len(term.variables) > 1 or not members.any():
            continue
        if term.factor:
            sentences.append(_levels(ensemble, marginal(moderators, term), scale))
        elif len(term.labels) == 1:
            sentences.append(_slope(ensemble, moderators, term, scale))
    return sentences


def _levels(ensemble: Ensemble, rows: Sequence[Quantity], scale: Measure) -> str:
    """Say where the effect is highest and where it is lowest."""
    term = rows[0].term
    members = ensemble.members(term)
    found = [
        converted(ensemble, row, posterior(ensemble, row, members), scale)
        for row in rows
    ]
    means = [mixed.mean() for mixed in found]
    parts = []
    for place in (int(np.argmax(means)), int(np.argmin(means))):
        low, high = found[place].quantiles([0.025, 0.975])
        mean, low, high = _written(means[place], low, high, scale=scale)
        level = rows[place].label.removeprefix(term)[1:-1]
        parts.append(f"at {level} ({mean} [{low}, {high}])")
    given = "" if members.all() else ", given that they differ,"
    return (
        f"Of the levels of {term}{given} the mean effect was highest {parts[0]} and "
        f"lowest {parts[1]}."
    )


def _slope(
    ensemble: Ensemble, moderators: Moderators, term: Term, scale: Measure
) -> str:
    """Say how the effect goes with a number."""
    members = ensemble.members(term.name)
    (row,) = (q for q in coefficients(moderators) if q.term == term.name)
    mixed = converted(ensemble, row, posterior(ensemble, row, members), scale)
    mean, low, high = _written(mixed.mean(), *mixed.quantiles([0.025, 0.975]))
    coding = moderators.coding(term.variables[0])
    unit = "unit" if coding.sd[0] == 1 else f"standard deviation ({coding.sd[0]:.4g})"
    given = "" if members.all() else "Given that there is an association, "
    text = (
        f"{given}the effect changed by {mean} [{low}, {high}] per {unit} of {term.name}"
    )
    other = linear_measure(scale)
    where = "" if other == scale else _scale(other)
    return f"{text[0].upper()}{text[1:]}{where}."


def _scale_moderation(ensemble: Ensemble, scale: Measure) -> list[str]:
    """Say how heterogeneity differs with each of its moderators, given that it does."""
    moderators = ensemble.task.scale_moderators
    if moderators is None:
        return []
    sentences = []
    for term in moderators.terms:
        name = scale_name(term.name)
        members = ensemble.members(name)
        if len(term.variables) > 1 or not members.any():
            continue
        rows = log_ratios(moderators, term)
        every = members[heterogeneous(ensemble.space)].all()
        if term.factor:
            found = [
                tau_at(ensemble, row, given=members, output_scale=scale) for row in rows
            ]
            means = [mixed.mean() for mixed in found]
            parts = []
            for place in (int(np.argmax(means)), int(np.argmin(means))):
                low, high = found[place].quantiles([0.025, 0.975])
                mean, low, high = _written(means[place], low, high)
                level = rows[place].label.removeprefix(term.name)[1:-1]
                parts.append(f"at {level} (tau = {mean} [{low}, {high}])")
            given = "" if every else ", given that it differs between them,"
            sentences.append(
                f"Of the levels of {term.name}{given} heterogeneity was largest "
                f"{parts[0]} and smallest {parts[1]}."
            )
        elif len(term.labels) == 1:
            ratio = variance_ratio(ensemble, rows[2].minus(rows[1]), given=members)
            middle, low, high = _written(*ratio.quantiles([0.5, 0.025, 0.975]))
            coding = moderators.coding(term.variables[0])
            sd = float(coding.spread[0] * coding.sd[0])
            given = "" if every else "Given that heterogeneity depends on it, "
            text = (
                f"{given}the variance of true effects was {middle} [{low}, {high}] "
                f"times as large for one standard deviation ({sd:.4g}) more of "
                f"{term.name} (median)"
            )
            sentences.append(f"{text[0].upper()}{text[1:]}.")
    return sentences


def _spread(ensemble: Ensemble, scale: Measure) -> str:
    """Say how much true effects differ, and within clusters how they agree."""
    found = heterogeneity(ensemble, output_scale=scale)
    tau = found["tau"]
    if _equal(ensemble):
        return "True effects were taken as equal"
    other = ""
    if scale not in (ensemble.task.prior_scale, linear_measure(scale)):
        other = _scale(linear_measure(scale))
    mean, low, high = _written(tau.mean(), *tau.quantiles([0.025, 0.975]))
    moderators = ensemble.task.scale_moderators
    at = "" if moderators is None else f" {tau_reference(moderators)}"
    text = f"The standard deviation of true effects (tau){at} was "
    fixed_tau = tau.sd() == 0
    text += f"fixed at {mean}{other}" if fixed_tau else f"{mean}{other} [{low}, {high}]"
    if "ICC" not in found:
        return text
    icc = found["ICC"]
    without = icc.probabilities == 0
    caution = (
        " in the models with heterogeneity"
        if ensemble.post_prob[without].sum() > _NEGLIGIBLE
        else ""
    )
    mean, low, high = _written(icc.mean(), *icc.quantiles([0.025, 0.975]))
    rho = f"{mean} [{low}, {high}]" if icc.sd() else f"fixed at {mean}"
    return text + f", and their correlation within clusters (rho) was {rho}{caution}"


def _prediction(ensemble: Ensemble, scale: Measure) -> list[str]:
    if _equal(ensemble):
        return []
    found = prediction_interval(ensemble, output_scale=scale)
    low, high = _written(found["0.025"], found["0.975"], scale=scale)
    moderators = ensemble.task.scale_moderators
    at = "" if moderators is None else f" {tau_reference(moderators)}"
    return [
        f"The 95 % prediction interval for the true effect of a new study{at} was "
        f"[{low}, {high}]."
    ]


def _precision(ensemble: Ensemble, scale: Measure) -> list[str]:
    """Say how much of this is Monte Carlo error, if it is not exact."""
    names = [
        name
        for name in ensemble.components
        if math.isfinite(ensemble.evidence(name).log_bf)
    ]
    errors = {name: ensemble.evidence(name).log_bf_mcse for name in names}
    largest = max(errors.values(), default=0.0)
    mean = ensemble.mixture("mu", output_scale=scale).mcse()
    parts = []
    if largest > 0:
        many = len(names) > 1
        parts.append(
            f"{'at most ' if many else ''}{error(largest)} for the log Bayes "
            f"factor{'s' if many else ''}"
        )
    if mean > 0:
        parts.append(f"{error(mean)} for the mean effect")
    if not parts:
        return []
    many = len(parts) > 1 or (largest > 0 and len(names) > 1)
    subject = (
        "Monte Carlo standard errors were"
        if many
        else ("The Monte Carlo standard error was")
    )
    sentences = [f"{subject} {listed(parts)}."]
    doubtful = [_words(ensemble, n) for n, e in errors.items() if e > _UNCERTAIN]
    if doubtful:
        subject, verb = (
            ("The Bayes factor", "is")
            if len(doubtful) == 1
            else ("The Bayes factors", "are")
        )
        sentences.append(
            f"{subject} for {listed(doubtful)} {verb} too uncertain to rely on; more "
            "draws would help."
        )
    return sentences


def _checks(ensemble: Ensemble) -> str:
    total = len(ensemble.fits)
    failed = [i for i, fit in enumerate(ensemble.fits, start=1) if not fit.ok]
    if not failed:
        subject = "The model" if total == 1 else "All models"
        return f"{subject} passed the checks of convergence and precision."
    if total == 1:
        reasons = "; ".join(ensemble.fits[0].reasons)
        return f"The model missed a check, so that the results need care: {reasons}."
    probability = ensemble.post_prob[[i - 1 for i in failed]].sum()
    one = len(failed) == 1
    if one:
        which = f"Model {failed[0]} of {total}"
    elif len(failed) <= 5:
        which = f"Models {listed([str(i) for i in failed])} of {total}"
    else:
        which = f"{len(failed)} of the {total} models"
    text = (
        f"{which}, with {'a' if one else 'a joint'} posterior probability of "
        f"{probability:.2g}, missed a check"
    )
    if probability < _NEGLIGIBLE:
        whose = (
            "its marginal likelihood is" if one else "their marginal likelihoods are"
        )
        return f"{text}; unless {whose} far off, this hardly matters."
    return f"{text}, so that the results need care."


def _biased(ensemble: Ensemble) -> bool:
    return bool(ensemble.bias_kinds)


def _equal(ensemble: Ensemble) -> bool:
    """Whether no model has heterogeneity."""
    return all(model.is_zero("tau") for model in ensemble.space)


def _words(ensemble: Ensemble, component: str) -> str:
    return ensemble.unknowns.component(component).words


def _scale(scale: Measure) -> str:
    if scale == "none":
        return " in units of the data"
    return f" on the {MEASURE_NAMES[scale]} scale"


def _number(value: float, scale: Measure) -> str:
    return _written(value, scale=scale)[0]


def _written(*values: float, scale: Measure | None = None) -> list[str]:
    """Write numbers of one unit as tables do, and a true minus sign.

    `scale` is that of effects.
    """
    write = effect_format(values, scale)
    return [true_minus(write(value)) for value in values]


def _count(number: int, noun: str) -> str:
    return counted(number, noun, one="one")
