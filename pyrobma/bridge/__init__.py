"""Warp-III bridge sampling: log marginal likelihoods with their error.

Works on any log density given as a function of points; nothing here knows where
the density or the draws come from.
"""

from pyrobma.bridge.iterate import Iteration, iterate
from pyrobma.bridge.result import BridgeResult
from pyrobma.bridge.warp3 import warp3

__all__ = ["BridgeResult", "Iteration", "iterate", "warp3"]
