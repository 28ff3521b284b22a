"""What every group of a tree has: coordinates of draws, and who made it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from pyrobma._types import FloatArray, IntArray
from pyrobma.ensemble._term_variables import Variables

if TYPE_CHECKING:
    from xarray import Dataset


@dataclass(frozen=True, slots=True)
class Layout:
    """How the draws of a sample stand in a group.

    Attributes
    ----------
    number : int
        Of the model that they are of, from 1; 0 for averaged draws.
    order : array of shape (S,)
        Places of the draws in the sample.
    size : (int, int)
        Chains and draws, S together.
    """

    number: int
    order: IntArray
    size: tuple[int, int]

    def shaped(self, values: FloatArray) -> FloatArray:
        """Return values by draw of the sample, shape (S, ...), by chain and draw."""
        return values[self.order].reshape(*self.size, *values.shape[1:])

    @property
    def coords(self) -> dict[str, Any]:
        """Numbers of chains and draws, from 0."""
        return {"chain": np.arange(self.size[0]), "draw": np.arange(self.size[1])}


@cache  # the version is read from a file
def library() -> dict[str, str | int | float]:
    """Return the attributes that say who made a group."""
    return {
        "inference_library": "pyrobma",
        "inference_library_version": version("pyrobma"),
    }


def dataset(
    variables: Variables,
    coords: dict[str, Any],
    attributes: dict[str, str | int | float],
) -> Dataset:
    """Return a group; xarray is imported only then."""
    from xarray import Dataset

    return Dataset(variables, coords, attributes)
