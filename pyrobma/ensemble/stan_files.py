"""The models of an ensemble in files that any interface of Stan reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pyrobma._validate import is_whole
from pyrobma.ensemble.ensemble import Ensemble
from pyrobma.errors import DataError
from pyrobma.fit.exported import StanData, exported_data, exported_point, to_json
from pyrobma.programs import stan_version

FORMAT: Final = 1
"""Version of the index; raised when its members change their meaning."""

INDEX: Final = "ensemble.json"


def stan_data(ensemble: Ensemble, model: int) -> StanData:
    """Return the data that the Stan program of a model gets.

    Parameters
    ----------
    ensemble : Ensemble
        Fitted models.
    model : int
        Number of a model, from 1, as in the summaries.

    Returns
    -------
    StanData
        ``program`` is the name of the program, ``data`` a dict of its data, as
        ``stan/README.md`` describes them; ``to_json()`` is their text.

    Raises
    ------
    DataError
        If there is no such model.

    Examples
    --------
    >>> import pyrobma as rb
    >>> fit = rb.robma(d=[0.3, 0.5, 0.2], se=[0.2, 0.3, 0.25], priors_bias=None,
    ...                seed=1)
    >>> given = fit.stan_data(4)
    >>> given.program, given.data["family"]
    ('normal', [1, 6, 0])
    """
    return exported_data(ensemble.task, ensemble.fits[_number(ensemble, model) - 1])


def write_stan_json(
    ensemble: Ensemble,
    folder: str | os.PathLike[str],
    models: Iterable[int] | None = None,
) -> None:
    """Write models so that other software can fit them again and check its numbers.

    Parameters
    ----------
    ensemble : Ensemble
        Fitted models.
    folder : str or path
        Made if it is not there. Files of the same names are replaced, others stay.
    models : iterable of int, optional
        Numbers of models, from 1, as in the summaries. None: all.

    Raises
    ------
    DataError
        If there is no such model.
    ToolchainError
        If a program's library cannot be opened.
    OSError
        If a file cannot be written.

    Notes
    -----
    For model 3, say,

    - ``model_3.data.json``: the data of its Stan program,
    - ``model_3.point.json``: one of its draws on the unconstrained scale, and there
      the log density with every constant and the Jacobian (BridgeStan's
      ``log_density(propto=False, jacobian=True)``, CmdStan's ``lp__``), its gradient
      and the transformed parameters,
    - ``model_3.inits.json``: the same draw as the program's own parameters, for
      CmdStan's argument ``init``.

    A model without free parameters has an empty point, where the log density is the
    log marginal likelihood. ``ensemble.json`` lists the models: their program, files,
    priors, prior and posterior probabilities, the components that they are the
    alternative for, and their log marginal likelihoods with Monte Carlo errors. A
    ``log_constant`` is to be added to the program's log marginal likelihood, and
    ``unknowns`` says which column of the output an unknown is and which factor takes
    it to the scale of the priors; both do nothing (0, 1) unless the effects are raw.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in stan_files(ensemble, models):
        (target / name).write_text(text, encoding="utf-8")


def stan_files(
    ensemble: Ensemble, models: Iterable[int] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the names and contents of the files of `write_stan_json`.

    Parameters and errors are those of `write_stan_json`.
    """
    index = []
    for number in _numbers(ensemble, models):
        fit = ensemble.fits[number - 1]
        given = exported_data(ensemble.task, fit)
        point = exported_point(ensemble.task, fit)
        files = {
            "data": given.to_json(),
            "point": point.to_json(),
            "inits": to_json(point.inits),
        }
        names = {kind: f"model_{number}.{kind}.json" for kind in files}
        for kind, text in files.items():
            yield names[kind], text
        index.append(_entry(ensemble, number, given, names))
    yield INDEX, to_json(_head(ensemble) | {"models": index}, indent=2)


def _head(ensemble: Ensemble) -> dict[str, object]:
    task = ensemble.task
    return {
        "format": FORMAT,
        "pyrobma": version("pyrobma"),
        "stan": stan_version("normal"),
        "measure": task.effects.measure,
        "prior_scale": task.prior_scale,
        "effect_mapping": task.effect_mapping,
        "seed": ensemble.seed,
        "number_of_models": len(ensemble.fits),
        "inclusion": ensemble.inclusion.to_dict("index"),
    }


def _entry(
    ensemble: Ensemble, number: int, given: StanData, names: dict[str, str]
) -> dict[str, object]:
    fit, model = ensemble.fits[number - 1], ensemble.space.models[number - 1]
    return {
        "model": number,
        "program": given.program,
        **names,
        "unknowns": {
            name: {
                "prior": str(model.prior(name)),
                "column": column,
                "factor": given.factors[name],
            }
            for name, column in given.columns.items()
        },
        "weights": None if model.selection is None else str(model.selection),
        "alternative": sorted(model.alternative),
        "prior_prob": ensemble.prior_prob[number - 1],
        "post_prob": ensemble.post_prob[number - 1],
        "logml": fit.logml,
        "logml_mcse": fit.logml_mcse,
        "log_constant": given.log_constant,
        "sampler": None if fit.chains is None else fit.sampler,
        "reasons": fit.reasons,
    }


def _numbers(ensemble: Ensemble, models: Iterable[int] | None) -> list[int]:
    count = len(ensemble.fits)
    if models is None:
        return list(range(1, count + 1))
    if not isinstance(models, Iterable):
        raise DataError(
            f"models: expected a list of numbers, 1 to {count}, or None; got "
            f"{models!r}."
        )
    return list(dict.fromkeys(_number(ensemble, number) for number in models))


def _number(ensemble: Ensemble, model: int) -> int:
    count = len(ensemble.fits)
    if not is_whole(model, 1) or model > count:
        raise DataError(
            f"model: expected the number of a model, 1 to {count}; got {model!r}."
        )
    return int(model)
