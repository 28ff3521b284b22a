"""Seconds per figure and per table that takes time, and for a whole report."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from common import seconds

import pyrobma as rb
from pyrobma.report import report_html


def drawn(figure: Any) -> None:
    """Render a figure into memory."""
    figure.save(BytesIO(), format="png", verbose=False)


def many(K: int) -> rb.RobmaFit:
    """Fit a four-model ensemble of K independent estimates."""
    rng = np.random.default_rng(1)
    se = rng.uniform(0.05, 0.4, K)
    effects = rb.effect_sizes(d=rng.normal(0.2, np.hypot(0.2, se)), se=se)
    return rb.robma(effects, priors_bias=None, seed=1)


def main() -> None:
    """Print the times."""
    schools = rb.robma(
        rb.load_dataset("konstantopoulos2011"), d="yi", v="vi", study_ids="district",
        priors_bias=None, seed=1,
    )  # fmt: skip
    bem = rb.robma(
        rb.load_dataset("bem2011"), d="d", se="se", study_names="study", seed=1
    )
    for name, fit in {"4 models, 56 estimates": schools, "36 models, 9": bem}.items():
        print(name)
        figures = {
            "posterior": lambda fit=fit: fit.plot("mu", prior=True),
            "forest": lambda fit=fit: fit.plot_forest(),
            "funnel": lambda fit=fit: fit.plot_funnel(),
            "models": lambda fit=fit: fit.plot_models(),
            "trace": lambda fit=fit: fit.plot_mcmc(4),
            "overview": lambda fit=fit: fit.plot_overview(),
        }
        for kind, draw in figures.items():
            taken = seconds(lambda draw=draw: drawn(draw()))
            print(f"  {kind:10} {taken:.2f} s")
        print(f"  report     {seconds(lambda fit=fit: report_html(fit), 1):.1f} s")
    for K in (200, 10_000):
        fit = many(K)
        print(f"true effects of {K}: {seconds(fit.true_effects):.2f} s")
    fit = many(200)
    print(f"forest of 200: {seconds(lambda: drawn(fit.plot_forest())):.2f} s")


if __name__ == "__main__":
    main()
