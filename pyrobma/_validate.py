"""Checks that several stages make of what users give."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number, no truth value, and large enough."""
    number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return bool(number and value >= least)
