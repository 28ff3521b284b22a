"""Markov chains of a Stan program through CmdStanPy."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyrobma._types import BoolArray, FloatArray
from pyrobma.errors import SamplingError
from pyrobma.fit.settings import SamplerSettings
from pyrobma.programs import executable

# 17 significant digits bring every double back from the CSV file unchanged.
_SIG_FIGS = 17


@dataclass(frozen=True, slots=True)
class Chains:
    """Draws of the free parameters and how the sampler fared.

    Attributes
    ----------
    names : tuple of str
        Free parameters, e.g. ``("mu", "tau")``.
    draws : array of shape (chains, draws, P)
        On the prior scale.
    divergent : array of shape (chains, draws)
        Whether the transition diverged.
    deep : array of shape (chains, draws)
        Whether the trajectory reached the largest tree depth.
    step_size : array of shape (chains,)
        Adapted step sizes.
    inverse_metric : array of shape (chains, P, P)
        Adapted inverse mass matrices, unconstrained scale.
    """

    names: tuple[str, ...]
    draws: FloatArray
    divergent: BoolArray
    deep: BoolArray
    step_size: FloatArray
    inverse_metric: FloatArray

    def followed_by(self, later: Chains) -> Chains:
        """Return the chains with a continuation of each appended."""
        return Chains(
            self.names,
            np.concatenate([self.draws, later.draws], axis=1),
            np.concatenate([self.divergent, later.divergent], axis=1),
            np.concatenate([self.deep, later.deep], axis=1),
            self.step_size,
            self.inverse_metric,
        )


def run_chains(
    program: str,
    data: str,
    *,
    settings: SamplerSettings,
    draws: int,
    seed: int,
    parallel: int,
    after: Chains | None = None,
) -> Chains:
    """Run the chains of one model.

    Parameters
    ----------
    program : str
        Name of the Stan program.
    data : str
        Its data as JSON text.
    settings : SamplerSettings
        Number of chains and adaptation.
    draws : int
        Kept iterations per chain.
    seed : int
        Stan's seed, in [0, 2^32).
    parallel : int
        Chains run at the same time.
    after : Chains, optional
        Continue these from their last draws, with their step sizes and metrics and
        without further adaptation. None: start anew with warm-up.

    Returns
    -------
    Chains

    Raises
    ------
    SamplingError
        If a chain fails; the message holds Stan's own sentence.
    """
    import cmdstanpy

    how: dict[str, Any] = {"iter_warmup": settings.warmup}
    if after is not None:
        how |= {
            "iter_warmup": 0,
            "adapt_engaged": False,
            "inits": [
                {
                    f"{name}_free": [value]
                    for name, value in zip(after.names, last, strict=True)
                }
                for last in after.draws[:, -1].tolist()
            ],
            "step_size": after.step_size.tolist(),
            "inv_metric": [{"inv_metric": m} for m in after.inverse_metric.tolist()],
        }
    with tempfile.TemporaryDirectory(prefix="pyrobma-") as folder:
        file = Path(folder) / "data.json"
        file.write_text(data)
        try:
            fit = cmdstanpy.CmdStanModel(exe_file=executable(program)).sample(
                data=str(file),
                chains=settings.chains,
                parallel_chains=parallel,
                seed=seed,
                iter_sampling=draws,
                adapt_delta=settings.adapt_delta if after is None else None,
                max_treedepth=settings.max_treedepth,
                # tau and rho are correlated: half again as many effective draws as
                # with a diagonal metric, at the same cost for so few parameters.
                metric="dense_e",
                sig_figs=_SIG_FIGS,
                output_dir=folder,
                show_progress=False,
                refresh=settings.warmup + draws,
                **how,
            )
            array = fit.draws()
            columns = fit.column_names
            step_size, metric = np.array(fit.step_size), np.array(fit.inv_metric)
        except (RuntimeError, ValueError, OSError) as error:
            raise SamplingError(f"{program}: {error}") from error
    free = [i for i, column in enumerate(columns) if column.endswith("_free[1]")]
    array = array.transpose(1, 0, 2)
    return Chains(
        names=tuple(columns[i].removesuffix("_free[1]") for i in free),
        draws=np.ascontiguousarray(array[:, :, free]),
        divergent=array[:, :, columns.index("divergent__")] > 0,
        deep=array[:, :, columns.index("treedepth__")] >= settings.max_treedepth,
        step_size=step_size,
        inverse_metric=metric,
    )


@contextmanager
def quiet_cmdstanpy() -> Iterator[None]:
    """Keep CmdStanPy's log of every chain's start and end off the screen."""
    logger = logging.getLogger("cmdstanpy")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
