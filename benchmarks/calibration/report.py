"""Tables, figures and REPORT.md of what ``run.py`` found.

python benchmarks/calibration/report.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotnine as p9
from arviz_stats.ecdf_utils import (
    get_pointwise_confidence_band,
    simulate_confidence_bands,
)
from designs import DESIGNS, RANKS, RESULTS, Design
from exact import probabilities
from scipy import stats

import pyrobma as rb

HERE = Path(__file__).parent
BAND = 0.99
SIMULATED = 2000  # ECDFs behind a band, as in Säilynoja, Bürkner and Vehtari (2022)
TRUTHS = 20_000  # simulated sets of true hypotheses behind a p-value of scores
LIMITS = (1.0, 10.0)
FEWEST = 30  # data sets on each side for a standard error of skewed values
MATTERS = 1e-3  # probabilities of models whose Bayes factors are compared
MANY = 20_000
WRONG = (0.5, 0.1)
"""Errors of the log Bayes factor whose z is given, to say what would be seen."""


class Found(NamedTuple):
    """What a design gave.

    ``p`` has a row per data set and a column per model; ``model`` is the place of the
    true one; ``members`` has a row per hypothesis, with the models that it holds in.
    """

    design: Design
    rows: pd.DataFrame
    p: np.ndarray
    model: np.ndarray
    prior: np.ndarray
    members: dict[str, np.ndarray]

    def probabilities(self, name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Return posterior probabilities, truths and the prior one of a hypothesis."""
        own = self.members[name]
        return self.p[:, own].sum(axis=1), own[self.model], self.prior[own].sum()

    def log_bf(self, name: str) -> np.ndarray:
        """Return log Bayes factors for a hypothesis, by sums of both sides."""
        own = self.members[name]
        with np.errstate(divide="ignore"):
            odds = np.log(self.p[:, own].sum(axis=1)) - np.log(
                self.p[:, ~own].sum(axis=1)
            )
        return odds - np.log(self.prior[own].sum() / self.prior[~own].sum())


def read(name: str) -> Found | None:
    """Return the results of a design, None without any."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return None
    design, rows = DESIGNS[name], pd.read_csv(path)
    simulation = design.simulation()
    truth = simulation.parameters["model"].loc[rows["dataset"]]
    assert (truth.to_numpy() == rows["model"].to_numpy()).all(), "other data sets"
    space = simulation.space
    columns = [f"p{k}" for k in range(1, len(space) + 1)]
    p = rows[columns].to_numpy()
    names = dict.fromkeys(c for m in space for c in sorted(m.alternative))
    members = {c: np.array([c in m.alternative for m in space]) for c in names}
    members = {c: own for c, own in members.items() if own.any() and not own.all()}
    if not members:  # each model is a hypothesis
        every = np.eye(len(space), dtype=bool)
        members = {f"model {k}": own for k, own in enumerate(every, start=1)}
    return Found(
        design, rows, p / p.sum(axis=1, keepdims=True),
        rows["model"].to_numpy() - 1, space.prior_prob, members,
    )  # fmt: skip


# ---- ranks ------------------------------------------------------------------------
def placed(found: Found) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names of parameters with ranks on (0, 1), ties broken at random."""
    rng = np.random.default_rng(0)
    for column in found.rows:
        kind, _, name = str(column).partition(" ")
        values = found.rows[column].dropna().to_numpy()
        if kind == "rank" and len(values):
            yield name, (values + rng.random(len(values))) / (RANKS + 1)
        elif kind == "average":
            yield f"{name}, averaged", values


def rank_tests(found: Found) -> pd.DataFrame:
    """Return a row per parameter: tests that ranks are uniform."""
    rows = []
    for name, u in placed(found):
        # Enough in each bin for the test; both numbers divide that of ranks.
        counts = np.histogram(u, 16 if len(u) >= 160 else 8, (0, 1))[0]
        rows.append(
            {
                "parameter": name,
                "data sets": len(u),
                "mean rank": u.mean(),
                "chi-square p": stats.chisquare(counts).pvalue,
                "KS p": stats.kstest(u, "uniform").pvalue,
                "in the band": "yes" if not outside(u) else "no",
            }
        )
    return pd.DataFrame(rows)


def band(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points and the simultaneous band of an ECDF of n uniform values."""
    at = np.arange(1, RANKS + 1) / (RANKS + 1)
    level = simulate_confidence_bands(
        n, 1, at, BAND, SIMULATED, np.random.default_rng(1)
    )
    return (at, *get_pointwise_confidence_band(level, n, at))


def outside(u: np.ndarray) -> bool:
    """Whether an ECDF leaves its band."""
    at, low, high = band(len(u))
    ecdf = np.searchsorted(np.sort(u), at, side="right") / len(u)
    return bool(((ecdf < low) | (ecdf > high)).any())


def ecdf_figure(found: Found) -> p9.ggplot:
    """Draw differences of ECDFs and uniform ones in their bands."""
    frames = []
    for name, u in placed(found):
        at, low, high = band(len(u))
        ecdf = np.searchsorted(np.sort(u), at, side="right") / len(u)
        frames.append(
            pd.DataFrame(
                {
                    "parameter": f"{name} (n = {len(u)})", "at": at,
                    "difference": ecdf - at, "low": low - at, "high": high - at,
                }
            )
        )  # fmt: skip
    frame = pd.concat(frames)
    frame["parameter"] = pd.Categorical(
        frame["parameter"], list(dict.fromkeys(frame["parameter"]))
    )
    count = frame["parameter"].nunique()
    return (
        p9.ggplot(frame, p9.aes("at"))
        + p9.geom_ribbon(p9.aes(ymin="low", ymax="high"), fill="#c6dbef")
        + p9.geom_step(p9.aes(y="difference"), color="#08306b")
        + p9.facet_wrap("parameter", ncol=3, scales="free_y")
        + p9.labs(
            x="rank of the true value among posterior draws, as a fraction",
            y="ECDF minus uniform",
            title=f"{found.design.title}\nranks, with {BAND:.0%} simultaneous bands",
        )
        + p9.theme_bw()
        + p9.theme(
            figure_size=(9, 1.4 + 2.1 * -(-count // 3)),
            plot_title=p9.element_text(size=11),
        )
    )


# ---- probabilities ------------------------------------------------------------------
def mean_row(label: str, p: np.ndarray, true: np.ndarray, prior: float) -> dict:
    """Compare a mean posterior probability with the prior one and with truths."""
    n = len(p)
    error = p.std(ddof=1) / np.sqrt(n)
    # Given the data, truths are independent with the probabilities p.
    gap = (true - p).sum() / np.sqrt((p * (1 - p)).sum())
    return {
        "": label, "prior": prior, "mean posterior": p.mean(), "error": error,
        "z": (p.mean() - prior) / error, "share true": true.mean(),
        "z of share": (true.mean() - prior) / np.sqrt(prior * (1 - prior) / n),
        "z of truths": gap,
    }  # fmt: skip


def hypothesis_rows(found: Found) -> pd.DataFrame:
    """Return a row per inclusion hypothesis."""
    rows = []
    rng = np.random.default_rng(3)
    for name in found.members:
        p, true, prior = found.probabilities(name)
        row = mean_row(name, p, true, prior)
        row["score p"] = score_test(p, true, rng)
        for shift in WRONG:
            wrong = 1 / (1 + (1 - p) / np.maximum(p, 1e-300) * np.exp(-shift))
            off = (true - wrong).sum() / np.sqrt((wrong * (1 - wrong)).sum())
            row[f"z if log BF were {shift:+g}"] = off
        rows.append(row)
    return pd.DataFrame(rows)


def score_test(p: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> float:
    """Return the two-sided p-value of the Brier score of truths drawn from p."""
    drawn = np.array(
        [((rng.random(len(p)) < p) - p) @ (1 - 2 * p) for _ in range(TRUTHS)]
    )
    seen = (true - p) @ (1 - 2 * p)
    tail = min((drawn <= seen).mean(), (drawn >= seen).mean())
    return min(1.0, 2 * max(tail, 1 / TRUTHS))


def model_rows(found: Found) -> pd.DataFrame:
    """Return a row per model."""
    return pd.DataFrame(
        mean_row(str(k + 1), found.p[:, k], found.model == k, found.prior[k])
        for k in range(found.p.shape[1])
    )


def reliability(found: Found) -> pd.DataFrame:
    """Return how often hypotheses are true by their posterior probability."""
    edges = np.linspace(0, 1, 11)
    rows = []
    for name in found.members:
        p, true, _ = found.probabilities(name)
        place = np.clip(np.digitize(p, edges) - 1, 0, 9)
        for k in np.unique(place):
            own = place == k
            n, hits = int(own.sum()), int(true[own].sum())
            # The share that is to be expected if the probabilities are right.
            mean, sd = p[own].mean(), np.sqrt((p[own] * (1 - p[own])).sum()) / n
            rows.append(
                {
                    "hypothesis": name, "stated": mean, "data sets": n,
                    "true": hits / n, "low": max(mean - 2.58 * sd, 0),
                    "high": min(mean + 2.58 * sd, 1),
                    "z": (hits / n - mean) / sd if sd > 0 else np.nan,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def reliability_figure(found: Found, frame: pd.DataFrame) -> p9.ggplot:
    """Draw shares of true hypotheses by their probability."""
    frame = frame.assign(
        hypothesis=pd.Categorical(
            frame["hypothesis"], list(dict.fromkeys(frame["hypothesis"]))
        )
    )
    count = frame["hypothesis"].nunique()
    return (
        p9.ggplot(frame, p9.aes("stated"))
        + p9.geom_abline(slope=1, intercept=0, color="#969696")
        + p9.geom_linerange(p9.aes(ymin="low", ymax="high"), color="#9ecae1", size=2.5)
        + p9.geom_point(p9.aes(y="true", size="data sets"), color="#08306b")
        + p9.facet_wrap("hypothesis", ncol=3)
        + p9.scale_size_area(max_size=4)
        + p9.coord_equal(xlim=(0, 1), ylim=(0, 1))
        + p9.labs(
            x="stated posterior probability (mean of the bin)",
            y="share of data sets in which it is true",
            title=f"{found.design.title}\nbars: 99 % of shares, if it is right",
        )
        + p9.theme_bw()
        + p9.theme(
            figure_size=(9, 1.4 + 2.9 * -(-count // 3)),
            plot_title=p9.element_text(size=11),
        )
    )


# ---- Good's check -----------------------------------------------------------------
def good_rows(found: Found) -> pd.DataFrame:
    """Return expectations of Bayes factors in favour of what is not true.

    E[BF | the other is true] = 1, and for any limit c also
    E[BF 1(BF < c) | the other] = P(BF < c | it), which has a finite variance.
    """
    rows = []
    for name in found.members:
        _, true, _ = found.probabilities(name)
        for side, wrong in (("for", ~true), ("against", true)):
            log = found.log_bf(name) * (1 if side == "for" else -1)
            bf, other = np.exp(log[wrong]), log[~wrong]
            n = len(bf)
            error = bf.std(ddof=1) / np.sqrt(n)
            row = {
                "Bayes factor": f"{side} {name}", "data sets": n, "mean": bf.mean(),
                "error": error, "largest": bf.max(),
            }  # fmt: skip
            for limit in LIMITS:
                below = bf * (bf < limit)
                share = (other < np.log(limit)).mean()
                sd = np.hypot(
                    below.std(ddof=1) / np.sqrt(n),
                    np.sqrt(share * (1 - share) / len(other)),
                )
                row[f"mean below {limit:g}"] = below.mean()
                row[f"P(BF < {limit:g})"] = share
                enough = min(n, len(other)) >= FEWEST and sd > 0
                row[f"z, {limit:g}"] = (below.mean() - share) / sd if enough else np.nan
            rows.append(row)
    return pd.DataFrame(rows)


# ---- the page ---------------------------------------------------------------------
def table(frame: pd.DataFrame) -> str:
    """Return a frame as Markdown, numbers with three significant digits."""
    return frame.to_markdown(index=False, floatfmt=".3g")


def overview(
    found: Found, ranks: pd.DataFrame, hypotheses: pd.DataFrame, good: pd.DataFrame
) -> dict:
    """Return the smallest p-value of each kind of test, times their number."""
    z = {
        "mean posterior": hypotheses["z"],
        "share": hypotheses["z of share"],
        "truths": hypotheses["z of truths"],
        "Good": pd.concat([good[f"z, {limit:g}"] for limit in LIMITS]),
    }
    p = {"ranks": pd.concat([ranks["chi-square p"], ranks["KS p"]])}
    p |= {kind: 2 * stats.norm.sf(np.abs(values)) for kind, values in z.items()}
    p["scores"] = hypotheses["score p"]
    row = {"": found.design.title.partition(":")[0], "data sets": len(found.rows)}
    for kind, values in p.items():
        values = np.asarray(values)[np.isfinite(values)]
        row[kind] = min(1.0, values.min() * len(values)) if len(values) else np.nan
    return row


def section(name: str, found: Found) -> tuple[str, dict]:
    """Write figures and tables of a design; return its part of the page, and in short.

    In short: a row of the table of all designs.
    """
    ranks, hypotheses = rank_tests(found), hypothesis_rows(found)
    models, bins, good = model_rows(found), reliability(found), good_rows(found)
    for kind, frame in {
        "ranks": ranks, "hypotheses": hypotheses, "models": models,
        "reliability": bins, "good": good,
    }.items():  # fmt: skip
        frame.to_csv(RESULTS / f"{name}_{kind}.csv", index=False, float_format="%.6g")
    ecdf_figure(found).save(RESULTS / f"{name}_ranks.png", dpi=110, verbose=False)
    reliability_figure(found, bins).save(
        RESULTS / f"{name}_reliability.png", dpi=110, verbose=False
    )
    rows, design, settings = found.rows, found.design, found.design.settings
    z = models["z"].dropna()
    truths = models["z of truths"].dropna()
    chi = stats.chi2.sf((truths**2).sum(), len(truths))
    failing = int((rows["failing"] > 0).sum())
    weighty = int((rows["failing_share"] > 0.01).sum())
    largest, count = z.abs().max(), len(z)
    chance = 1 - (1 - 2 * stats.norm.sf(largest)) ** count
    squares = (truths**2).sum()
    short = overview(found, ranks, hypotheses, good)
    text = f"""## {design.title}

{len(rows)} data sets, {rows["seconds"].mean():.2g} s each on a shared core. Seed of the
simulation: {design.seed}; of a fit: the number of its data set. Settings:
`sampler="{settings.sampler}"`, {settings.chains} chains of {settings.draws} draws,
`max_mcse` {settings.max_mcse:g}, the rest as by default. In {failing} data sets some
model missed a check; in {weighty} such models had more than 1 % of the posterior
probability.

**Ranks** of true parameters among draws of their own model; "averaged": among those of
all models, weighted.

{table(ranks)}

![Ranks]({RESULTS.name}/{name}_ranks.png)

**Hypotheses.** "z": mean posterior against prior probability. "z of truths": how often
it is true against what the posterior probabilities add up to. "z of share": against the
prior probability, which is the luck of the simulation before anything is fitted and
moves "z of truths" with it. "score p": of the Brier score of the truths, against truths
drawn from the posterior probabilities.

{table(hypotheses)}

**Models** (all {len(models)} in `{RESULTS.name}/{name}_models.csv`). The largest |z| of
mean posterior probabilities is {largest:.2f}: p = {chance:.2g} among {count}
independent ones. The sum of squares of "z of truths" is {squares:.1f}, of
{len(truths)}: p = {chi:.2g}, about.

![Reliability]({RESULTS.name}/{name}_reliability.png)

**Good's check.**

{table(good)}
"""
    return text, short


def exact_section(found: Found) -> str:
    """Compare with exact probabilities; return this part of the page."""
    exact = probabilities(found.design.simulation())[found.rows["dataset"] - 1]
    gap = np.abs(found.p - exact).max(axis=1)
    matters = (found.p > MATTERS).all(axis=1)
    odds = np.log(found.p[matters, 1:] / found.p[matters, :1])
    off = odds - np.log(exact[matters, 1:] / exact[matters, :1])
    many = replace(found.design, datasets=MANY, seed=found.design.seed + 1000)
    simulated = many.simulation()
    large = found._replace(
        p=probabilities(simulated), model=simulated.parameters["model"].to_numpy() - 1
    )
    columns = ["", "prior", "mean posterior", "error", "z", "z of truths", "score p"]
    return f"""### Against exact probabilities

Here the exact posterior probabilities are known (`exact.py`). Those of the fits differ
from them by {np.median(gap):.2g} in the middle and {gap.max():.2g} at most (the largest
difference of a model in each data set); log Bayes factors between models, where all
have more than {MATTERS:g}, by {off.mean():.1g} on average with an sd of
{off.std():.2g}. So what is above is what exact answers would have given for these data
sets:

{table(hypothesis_rows(found._replace(p=exact))[columns])}

Exact probabilities of {MANY} other data sets of the same simulation (seed {many.seed}):

{table(hypothesis_rows(large)[columns])}
"""


HEAD = f"""# Calibration

Data sets are drawn from each ensemble's own prior (`rb.simulate`): a model, its
parameters, then estimates, published as the model says. The ensemble is fitted to each.
If draws and marginal likelihoods are right, then

- the true value of a parameter has a uniform rank among draws of the true model [1, 2],
  here among {RANKS}, and its ECDF stays in a simultaneous band in {BAND:.0%} of cases
  [3];
- the posterior probability of every model and hypothesis is on average its prior one,
  and of hypotheses with a posterior probability of x a share of x is true [1, 4];
- the Bayes factor in favour of a hypothesis that is wrong is 1 on average [5].

"z" is a difference divided by its standard error. The last mean has no finite variance
as a rule: few data sets with huge Bayes factors carry it, so that it is most often
below 1 and its stated error too small. E[BF 1(BF < c) | not H] = P(BF < c | H) says the
same without that fault; it is given for c = {LIMITS[0]:g} and {LIMITS[1]:g}. The last
columns of hypotheses say what "z of truths" would have been, had all log Bayes factors
been too large by {WRONG[0]:g} or {WRONG[1]:g}.

pyrobma {rb.__version__}. `python benchmarks/calibration/run.py DESIGN` adds data sets,
`python benchmarks/calibration/report.py` makes this page; designs are in `designs.py`,
a row per data set in `results/DESIGN.csv`.

In short: the smallest p-value of each kind of test, times their number (Bonferroni).
Values of .05 and less call for an explanation. That of the scores of the
meta-regression is chance: exact probabilities have the same scores, see there. "share"
is of the models that the simulation drew, before anything is fitted; where it is small,
"truths" is small with it, and Good's check, which is given the truth, is not.
"""

FOOT = """## References

1. Cook S. R., Gelman A., Rubin D. B. (2006). Validation of software for Bayesian models
   using posterior quantiles. Journal of Computational and Graphical Statistics 15(3).
   doi:10.1198/106186006X136976
2. Talts S., Betancourt M., Simpson D., Vehtari A., Gelman A. (2018). Validating
   Bayesian inference algorithms with simulation-based calibration. arXiv:1804.06788
3. Säilynoja T., Bürkner P.-C., Vehtari A. (2022). Graphical test for discrete
   uniformity and its applications in goodness-of-fit evaluation and multiple sample
   comparison. Statistics and Computing 32, 32. doi:10.1007/s11222-022-10090-6
4. Schad D. J., Nicenboim B., Bürkner P.-C., Betancourt M., Vasishth S. (2023). Workflow
   techniques for the robust use of Bayes factors. Psychological Methods 28(6).
   doi:10.1037/met0000472
5. Sekulovski N., Marsman M., Wagenmakers E.-J. (2024). A Good check on the Bayes
   factor. Behavior Research Methods 56. doi:10.3758/s13428-024-02491-4
"""


def main() -> None:
    """Write everything."""
    parts, rows = [], []
    for name in DESIGNS:
        found = read(name)
        if found is not None:
            text, short = section(name, found)
            parts.append(text)
            rows.append(short)
        if found is not None and name == "regression":
            parts.append(exact_section(found))
    (HERE / "REPORT.md").write_text(
        "\n".join([HEAD, table(pd.DataFrame(rows)), "", *parts, FOOT]), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
