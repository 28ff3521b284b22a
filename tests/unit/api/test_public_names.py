"""The names that users may rely on."""

from __future__ import annotations

import subprocess
import sys

import pyrobma as rb

NAMES = [
    "BridgeError",
    "Choice",
    "ConvergenceWarning",
    "DEFAULT",
    "ArgumentError",
    "BaselineSensitivity",
    "DataError",
    "DataWarning",
    "EffectSizes",
    "Ensemble",
    "Fit",
    "FitError",
    "FitInterrupted",
    "Hypotheses",
    "IRR2logIRR",
    "Influence",
    "Loo",
    "ManyInterrupted",
    "ModelSpace",
    "ModelSpec",
    "Moderators",
    "OR2d",
    "OR2logOR",
    "OR2r",
    "OR2z",
    "Plan",
    "Prior",
    "PriorError",
    "PriorWarning",
    "PyrobmaError",
    "PyrobmaWarning",
    "RobmaFit",
    "SamplerSettings",
    "SamplingError",
    "Sensitivity",
    "SettingsError",
    "Simulation",
    "Summary",
    "Table",
    "ToolchainError",
    "__version__",
    "baseline_sensitivity",
    "compare",
    "correlation_z",
    "d2OR",
    "d2logOR",
    "d2r",
    "d2z",
    "datasets",
    "default_bias",
    "default_priors",
    "effect_sizes",
    "event_counts",
    "informed_priors",
    "load",
    "load_dataset",
    "logIRR2IRR",
    "logOR2OR",
    "logOR2d",
    "logOR2r",
    "logOR2z",
    "log_odds_ratio",
    "log_risk_ratio",
    "mean_difference",
    "model",
    "model_space",
    "n_d",
    "n_r",
    "n_z",
    "plot_priors",
    "prior",
    "prior_PEESE",
    "prior_PET",
    "prior_informed",
    "prior_none",
    "prior_weightfunction",
    "r2OR",
    "r2d",
    "r2logOR",
    "r2z",
    "read_moderators",
    "risk_difference",
    "rma",
    "rma_glmm",
    "rma_mh",
    "rma_mv",
    "rma_peto",
    "robma",
    "scale_factor",
    "se_d",
    "se_d2se_logOR",
    "se_d2se_r",
    "se_d2se_z",
    "se_from_p",
    "se_logOR2se_d",
    "se_logOR2se_r",
    "se_logOR2se_z",
    "se_r",
    "se_r2se_d",
    "se_r2se_logOR",
    "se_r2se_z",
    "se_z",
    "se_z2se_d",
    "se_z2se_logOR",
    "se_z2se_r",
    "robma_many",
    "sensitivity",
    "show_versions",
    "simulate",
    "smd",
    "smd_one_sample",
    "smd_paired",
    "transform_effect",
    "transform_se",
    "z2OR",
    "z2d",
    "z2logOR",
    "z2r",
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
