"""Time of ensembles with moderators, of their reports, and of what each draw costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyrobma as rb

ANDREWS = {"r": "r", "se": "se", "mods": "measure + age", "seed": 1}
ASSINK = {
    "d": "yi", "v": "vi", "study_ids": "study",
    "mods": "deltype + year + C(pubstatus)", "priors_bias": None, "seed": 1,
}  # fmt: skip


def timed(name: str, run: Callable[[], Any]) -> Any:
    """Run, print the seconds that it took, and return the result."""
    began = time.perf_counter()
    found = run()
    print(f"  {name:52} {time.perf_counter() - began:7.2f} s", flush=True)
    return found


def reports(fit: rb.RobmaFit, factor: str) -> None:
    """Print how long the tables take that are made from draws."""
    timed("summary, conditional", lambda: fit.summary(conditional=True))
    timed("marginal means with Bayes factors", fit.marginal_means)
    timed("contrasts", lambda: fit.contrasts(factor))
    timed("predictions for the rows of the data", fit.predict)
    errors = [one.logml_mcse for one in fit.fits]
    print(f"  {'largest error of a log marginal likelihood':52} {max(errors):7.4f}")


def main(slow: bool = True) -> None:
    """Run all of it; the last, clustered selection models, take minutes."""
    andrews, assink = (rb.load_dataset(n) for n in ("andrews2021", "assink2016"))
    print("andrews2021 ~ measure + age")
    fit = timed("16 models", lambda: rb.robma(andrews, **ANDREWS, priors_bias=None))
    reports(fit, "measure")
    fit = timed("144 models (PSMA)", lambda: rb.robma(andrews, **ANDREWS))
    reports(fit, "measure")
    print("assink2016 ~ deltype + year + pubstatus, clustered")
    fit = timed("32 models", lambda: rb.robma(assink, **ASSINK))
    reports(fit, "deltype")
    if slow:
        options = ASSINK | {"mods": "deltype + year", "priors_bias": rb.DEFAULT}
        fit = timed(
            "144 models (PSMA), two moderators", lambda: rb.robma(assink, **options)
        )
        reports(fit, "deltype")


if __name__ == "__main__":
    main()
