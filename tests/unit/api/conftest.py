"""The table that the tests of the command's two formulas share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Fourteen estimates with a factor, a number, and one row that lacks it."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "d": rng.normal(0.3, 0.3, 14),
            "se": rng.uniform(0.1, 0.3, 14),
            "group": [*"xyzxyzxyzxyz", "x", "y"],
            "age": [*rng.uniform(5, 20, 13).round(2), np.nan],
        }
    )
    path = tmp_path_factory.mktemp("data") / "data.csv"
    frame.to_csv(path, index=False)
    return path
