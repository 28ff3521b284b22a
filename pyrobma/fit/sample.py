"""Markov chains of a Stan program through CmdStanPy."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
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

# Endings of the names in the programs' parameters blocks.
_OWN = ("_free", "pi1", "pi2")


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
    columns : tuple of str
        Names of the program's own parameters, e.g. ``"mu_free[1]"``.
    constrained : array of shape (chains, draws, len(columns))
        Their draws: the shifted mu, and the Dirichlet variables behind the weights.
    omega : array of shape (chains, draws, J) or None
        Weights by rising p-value; None in models without selection.
    """

    names: tuple[str, ...]
    draws: FloatArray
    divergent: BoolArray
    deep: BoolArray
    step_size: FloatArray
    inverse_metric: FloatArray
    columns: tuple[str, ...]
    constrained: FloatArray
    omega: FloatArray | None = None

    def followed_by(self, later: Chains) -> Chains:
        """Return the chains with a continuation of each appended."""
        return Chains(
            self.names,
            np.concatenate([self.draws, later.draws], axis=1),
            np.concatenate([self.divergent, later.divergent], axis=1),
            np.concatenate([self.deep, later.deep], axis=1),
            self.step_size,
            self.inverse_metric,
            self.columns,
            np.concatenate([self.constrained, later.constrained], axis=1),
            None
            if self.omega is None or later.omega is None
            else np.concatenate([self.omega, later.omega], axis=1),
        )

    @property
    def size(self) -> int:
        """Number of draws, all chains together."""
        return self.divergent.size

    @property
    def checked(self) -> FloatArray:
        """Scalar parameters and the weights that vary: what has to converge."""
        if self.omega is None:
            return self.draws
        # The first weight is 1 in every draw.
        moving = np.ptp(self.omega, axis=(0, 1)) > 0
        return np.concatenate([self.draws, self.omega[:, :, moving]], axis=2)


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
            "inits": [_last(after, chain) for chain in range(settings.chains)],
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
    array = array.transpose(1, 0, 2)

    def pick(names: Sequence[str]) -> FloatArray:
        return np.ascontiguousarray(array[:, :, [columns.index(n) for n in names]])

    own = tuple(c for c in columns if c.partition("[")[0].endswith(_OWN))
    names = tuple(c.removesuffix("_free[1]") for c in own if c.endswith("_free[1]"))
    omega = [c for c in columns if c.startswith("omega[")]
    return Chains(
        names=names,
        draws=pick(names),
        divergent=array[:, :, columns.index("divergent__")] > 0,
        deep=array[:, :, columns.index("treedepth__")] >= settings.max_treedepth,
        step_size=step_size,
        inverse_metric=metric,
        columns=own,
        constrained=pick(own),
        omega=pick(omega) if omega else None,
    )


def _last(chains: Chains, chain: int) -> dict[str, list[float] | list[list[float]]]:
    inits: dict[str, list[float] | list[list[float]]] = {}
    for column, value in zip(
        chains.columns, chains.constrained[chain, -1].tolist(), strict=True
    ):
        name = column.partition("[")[0]
        if name.endswith("_free"):
            inits[name] = [value]
        else:  # an array of one simplex
            inits[name] = [[*inits.get(name, [[]])[0], value]]  # type: ignore[misc]
    return inits


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
