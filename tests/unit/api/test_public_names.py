"""The names that users may rely on."""

from __future__ import annotations

import subprocess
import sys

import pyrobma as rb

NAMES = [
    "BridgeError",
    "BridgeWarning",
    "ConvergenceWarning",
    "DEFAULT",
    "DataError",
    "DataWarning",
    "EffectSizes",
    "Ensemble",
    "Fit",
    "FitError",
    "ModelSpace",
    "ModelSpec",
    "Prior",
    "PriorError",
    "PriorWarning",
    "PyrobmaError",
    "PyrobmaWarning",
    "RobmaFit",
    "SamplerSettings",
    "SamplingError",
    "SettingsError",
    "Summary",
    "Table",
    "ToolchainError",
    "__version__",
    "datasets",
    "default_bias",
    "default_priors",
    "effect_sizes",
    "load_dataset",
    "model_space",
    "prior",
    "prior_PEESE",
    "prior_PET",
    "prior_none",
    "prior_weightfunction",
    "robma",
]


def test_the_public_names_are_these():
    assert sorted(rb.__all__) == sorted(NAMES)


def test_every_public_name_is_there_and_documented():
    for name in NAMES:
        thing = getattr(rb, name)
        assert name in ("__version__", "DEFAULT") or thing.__doc__, name


def test_every_error_and_warning_has_the_common_base():
    for name in NAMES:
        if name.endswith("Error"):
            assert issubclass(getattr(rb, name), rb.PyrobmaError)
        if name.endswith("Warning"):
            assert issubclass(getattr(rb, name), rb.PyrobmaWarning)


def test_importing_leaves_the_slow_modules_for_later():
    # Each of them takes as long as the rest of the import together.
    code = (
        "import sys, pyrobma; "
        "print([m for m in ('scipy.stats', 'cmdstanpy', 'arviz_stats') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
