"""Log densities of a Stan program through BridgeStan."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pyrobma._types import FloatArray
from pyrobma.errors import ToolchainError
from pyrobma.fit.processes import give_up_if_stopped

_FIRST_BLOCK = 128
_SHORT = 0.1


class LogDensity:
    """The log posterior density of one model, as a function of many points.

    Parameters
    ----------
    library : Path
        Shared library with BridgeStan's ABI.
    data : str
        The program's data as JSON text.
    ceiling : float
        Larger values count as density zero. Where the mass of a cluster's integrand
        lies beyond the nodes of its quadrature, the density seems to grow without
        end; no point of the posterior exceeds its mode.

    Raises
    ------
    ToolchainError
        If the library cannot be opened or refuses the data; the message holds Stan's
        own sentence.

    Notes
    -----
    pyrobma's own libraries evaluate a whole array in one call. With a library built
    by BridgeStan itself the points are evaluated one by one through its client.
    """

    def __init__(self, library: Path, data: str, ceiling: float = float("inf")) -> None:
        import bridgestan

        self._ceiling = ceiling
        try:
            self._model = bridgestan.StanModel(
                library, data, capture_stan_prints=False, warn=False
            )
        # A library of something else lacks BridgeStan's functions.
        except (RuntimeError, OSError, AttributeError) as error:
            raise ToolchainError(f"{library.name}: {error}") from error
        self.names: list[str] = (
            self._model.param_unc_names() if self._model.param_unc_num() else []
        )
        self._many = getattr(self._model.stanlib, "bs_x_pyrobma_log_density_many", None)
        self._constrain = getattr(
            self._model.stanlib, "bs_x_pyrobma_param_constrain_many", None
        )
        self._unconstrain = getattr(
            self._model.stanlib, "bs_x_pyrobma_param_unconstrain_many", None
        )

    def __enter__(self) -> LogDensity:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the model."""
        del self._model

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return log densities with every constant and the Jacobian.

        Parameters
        ----------
        points : array of shape (n, D)
            Unconstrained parameters.

        Returns
        -------
        array of shape (n,)
            NaN where the program throws.
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        values = np.empty(len(points))
        start, size = 0, _FIRST_BLOCK
        # In blocks, because a call cannot be interrupted, and one point of a model
        # with quadrature may take a hundredth of a second.
        while start < len(points):
            give_up_if_stopped()
            began = time.monotonic()
            values[start : start + size] = self._block(points[start : start + size])
            start += size
            if time.monotonic() - began < _SHORT:
                size *= 2
        # A parameter has underflowed to an end where its prior's density is infinite:
        # what lies beyond the smallest double has no mass that could be seen.
        values[(values == np.inf) | (values > self._ceiling)] = -np.inf
        return values

    def _block(self, points: FloatArray) -> FloatArray:
        values = np.empty(len(points))
        if self._many is None:
            for i, point in enumerate(points):
                try:
                    values[i] = self._model.log_density(point, propto=False)
                except RuntimeError:
                    values[i] = np.nan
            return values
        self._call(self._many, (False, True), points, values)
        return values

    def gradient(self, point: FloatArray) -> tuple[float, FloatArray]:
        """Return the log density at one point, and its derivatives.

        Parameters
        ----------
        point : array of shape (D,)
            Unconstrained parameters.

        Returns
        -------
        float
            With every constant and the Jacobian.
        array of shape (D,)
            Derivatives by the unconstrained parameters.
        """
        if not self.names:  # BridgeStan's client asks for some
            return float(self._block(np.empty((1, 0)))[0]), np.empty(0)
        value, gradient = self._model.log_density_gradient(
            np.ascontiguousarray(point, dtype=np.float64), propto=False
        )
        return float(value), np.asarray(gradient)

    def unconstrain(self, constrained: FloatArray) -> FloatArray:
        """Return parameters on the unconstrained scale.

        Parameters
        ----------
        constrained : array of shape (n, P)
            Free parameters as the program declares them.

        Returns
        -------
        array of shape (n, D)
        """
        constrained = np.ascontiguousarray(constrained, dtype=np.float64)
        if self._unconstrain is None:
            return np.array([self._model.param_unconstrain(x) for x in constrained])
        points = np.empty((len(constrained), len(self.names)))
        self._call(self._unconstrain, (), constrained, points)
        return points

    def outputs(self, points: FloatArray, names: Sequence[str]) -> FloatArray:
        """Return the program's outputs at unconstrained points.

        Parameters
        ----------
        points : array of shape (n, D)
            Unconstrained parameters.
        names : sequence of M str
            Columns of the program's parameters or transformed parameters.

        Returns
        -------
        array of shape (n, M)
        """
        points = np.ascontiguousarray(points, dtype=np.float64)
        every = self.columns
        chosen = [every.index(name) for name in names]
        if self._constrain is None:
            whole = np.array(
                [self._model.param_constrain(x, include_tp=True) for x in points]
            ).reshape(len(points), len(every))
            return np.asarray(whole[:, chosen])
        whole = np.empty((len(points), len(every)))
        self._call(self._constrain, (True,), points, whole)
        return np.asarray(whole[:, chosen])

    @property
    def columns(self) -> list[str]:
        """Names of parameters and transformed parameters, as ``omega[1]``."""
        return [_bracketed(n) for n in self._model.param_names(include_tp=True)]

    @property
    def own_columns(self) -> list[str]:
        """Names of the parameters alone, in the order of the points."""
        # BridgeStan's client finds one empty name where there is none.
        return [_bracketed(n) for n in self._model.param_names()] if self.names else []

    def _call(
        self,
        function: Any,
        flags: tuple[bool, ...],
        given: FloatArray,
        made: FloatArray,
    ) -> None:
        """Call a function of many points; single ones that fail are NaN in `made`."""
        message = ctypes.c_char_p()
        failed = function(
            ctypes.c_void_p(self._model.model),
            *map(ctypes.c_bool, flags),
            ctypes.c_int(len(given)),
            given.ctypes.data_as(ctypes.c_void_p),
            made.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(message),
        )
        if failed:
            text = (message.value or b"no message").decode()
            self._model.stanlib.bs_free_error_msg(message)
            if failed < 0:
                raise ToolchainError(f"{self._model.name()}: {text}")


def _bracketed(name: str) -> str:
    """Turn BridgeStan's ``omega.1`` into CmdStan's ``omega[1]``."""
    stem, dot, index = name.partition(".")
    return f"{stem}[{index.replace('.', ',')}]" if dot else name
