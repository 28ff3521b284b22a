"""Arguments of other packages: the name that they have here, instead of a refusal."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

from pyrobma.errors import ArgumentError

Function = TypeVar("Function", bound=Callable[..., Any])

_CLOSE: Final = 0.75  # similarity of what may be a slip

_MEASURE: Final = (
    "name the measure: d= (Cohen's d or Hedges' g), r=, z= (Fisher's z), logOR=, OR=, "
    "or y= (effects in units of their own)"
)
_SETTINGS: Final = (
    "write settings=SamplerSettings(...), which has max_rhat, min_ess, max_mcse, "
    "adapt_delta, max_treedepth and max_seconds"
)
_EVERY_MODEL: Final = (
    "leave it out: every model is fitted, and its marginal likelihood found by bridge "
    "sampling"
)

_COLUMNS: Final[tuple[tuple[str, str, str], ...]] = (
    ("d", "yi es effect effects effect_size effectsize te measure", _MEASURE),
    ("d", "g hedges_g cohens_d cohen_d smd", "write d="),
    ("r", "ri cor corr correlation", "write r="),
    ("z", "zi zcor fishers_z fisher_z", "write z=, or t= for z statistics"),
    ("logOR", "lor log_or lnor log_odds_ratio", "write logOR="),
    ("OR", "odds_ratio oddsratio", "write OR="),
    ("y", "md rr rd hr logrr log_rr loghr beta b estimate estimates mean means",
     "write y= for effects in units of their own, ratios as logarithms"),
    ("se", "sei sete stderr std_err std_error standard_error standard_errors sd",
     "write se= for standard errors"),
    ("v", "vi var vars variance variances", "write v= for sampling variances"),
    ("n", "ni n_total ntotal sample_size sample_sizes samplesize nobs",
     "write n= for total sample sizes"),
    ("t", "ti tval t_value tstat statistic", "write t="),
    ("p", "pi pval p_value pvalue", "write p="),
    ("lCI", "lower ci_lower ci_lb lower_ci ci_low ll lb", "write lCI="),
    ("uCI", "upper ci_upper ci_ub upper_ci ci_high ul ub", "write uCI="),
    ("study_names", "slab study studies study_name study_label study_labels studlab "
     "names name label labels author authors", "write study_names= for labels"),
    ("study_ids", "study_id cluster clusters id ids random group groups school",
     "write study_ids=, the column whose values name clusters of estimates"),
    ("study_names", "weight weights", "leave it out: standard errors give the weights"),
    ("study_names", "subset", "select rows of the table before"),
)  # fmt: skip
"""Argument that a function must have, names in other packages, what to do."""

_ANALYSIS: Final[tuple[tuple[str, str, str], ...]] = (
    ("mods", "formula moderators predictors covariates x",
     "write mods=, e.g. mods='measure + age'"),
    ("priors_mods", "priors_covariates prior_covariates priors_factors prior_factors "
     "priors_covariates_null priors_factors_null priors_predictors",
     "write priors_mods=, e.g. priors_mods={'age': prior('normal', mean=0, sd=0.5)}"),
    ("test_mods", "test_predictors", "write test_mods="),
    ("standardize", "standardize_predictors", "write standardize="),
    ("priors_effect", "prior prior_effect mu_prior prior_mu",
     "write priors_effect=, priors_heterogeneity=, priors_hierarchical= or "
     "priors_bias="),
    ("priors_heterogeneity", "tau_prior prior_tau prior_heterogeneity",
     "write priors_heterogeneity="),
    ("priors_bias", "prior_bias", "write priors_bias="),
    ("priors_hierarchical", "prior_hierarchical priors_rho",
     "write priors_hierarchical="),
    ("priors_effect", "truncation distribution parameters",
     "give it to a prior, as in priors_effect=prior('normal', mean=0, sd=1, lower=0)"),
    ("models", "prior_weights prior_odds",
     "give each prior its weight, as in prior('normal', mean=0, sd=1, prior_weight=2)"),
    ("models", "family backend algorithm method", _EVERY_MODEL),
    ("models", "measure", _MEASURE),
    ("draws", "sample samples sampling n_samples num_samples iter_sampling ndraws "
     "n_draws", "write draws=, iterations per chain that are kept"),
    ("warmup", "burnin burn_in tune adapt num_warmup iter_warmup n_warmup n_tune",
     "write warmup="),
    ("draws", "iter iterations niter n_iter", "write warmup= and draws="),
    ("draws", "thin thinning", "leave it out: every draw is kept"),
    ("chains", "num_chains n_chains nchains nchain", "write chains="),
    ("cores", "parallel n_jobs njobs n_cores ncores num_cores ncpus mc_cores threads",
     "write cores=; None, the default, takes all of them, and 1 only one"),
    ("seed", "random_seed random_state rng", "write seed="),
    ("progress", "progressbar progress_bar verbose silent quiet show_progress refresh",
     "write progress=False for silence"),
    ("settings", "autofit autofit_control convergence_checks control adapt_delta "
     "target_accept max_treedepth max_rhat min_ess max_time max_seconds", _SETTINGS),
    ("fits", "save", "call fit.save('fit.pyrobma') afterwards"),
    ("draws", "level digits probs conf_level",
     "leave it out: fit.summary() has such options"),
    ("mods", "test knha tau2", "leave it out, or see rma for frequentist models"),
    ("model_type", "bias publication_bias model",
     "write model_type='PSMA', 'PP' or '2w', or priors_bias=None for no such models"),
)  # fmt: skip

_ESTIMATES: Final = (
    "give the estimates that effect_sizes returns first, as in rma(effect_sizes(data, "
    "d='yi', v='vi'))"
)
_FREQUENTIST: Final[tuple[tuple[str, str, str], ...]] = (
    ("cluster", "random study_ids group", "write cluster="),
    ("effects", " ".join(f"{own} {others}" for own, others, _ in _COLUMNS[:16]),
     _ESTIMATES),
    ("effects", "measure", _ESTIMATES),
    ("mods", "formula", "write mods=, e.g. mods='ablat + alloc'"),
    ("level", "conf_level", "write level="),
)  # fmt: skip

_COUNTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("x1", "ai x1i event1 events1 event_e", "write x1=, the events in group 1"),
    ("x2", "ci x2i event2 events2 event_c", "write x2=, the events in group 2"),
    ("n1", "n1i n_e total1", "write n1=, members of group 1 with and without event"),
    ("n2", "n2i n_c total2", "write n2=, members of group 2 with and without event"),
    ("n1", "bi b", "write n1=, members of group 1 with and without event"),
    ("n2", "di d", "write n2=, members of group 2 with and without event"),
    ("t1", "t1i time_e time1", "write t1=, the person-time of group 1"),
    ("t2", "t2i time_c time2", "write t2=, the person-time of group 2"),
    ("measure", "sm", "write measure="),
    ("x1", "add to drop00 incr", "leave it out: nothing is added to empty cells"),
    ("model", "nagq", "leave it out: integrals are exact"),
    ("level", "conf_level", "write level="),
)  # fmt: skip
"""As `_COLUMNS`, of events in two groups."""


def for_switchers(example: str) -> Callable[[Function], Function]:
    """Let a function say what arguments of other packages are called here.

    Parameters
    ----------
    example : str
        A right call, for whoever gives too much by position.

    Returns
    -------
    callable
        A decorator. It leaves the signature as it is, and raises `ArgumentError`
        where Python would raise a `TypeError` that does not help.
    """

    def decorate(function: Function) -> Function:
        parameters = inspect.signature(function).parameters
        kinds = {name: one.kind for name, one in parameters.items()}
        places = [
            n for n, k in kinds.items() if k == inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        open_ = inspect.Parameter.VAR_KEYWORD in kinds.values()
        name = function.__name__

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if len(args) > len(places):
                raise ArgumentError(_too_many(name, places, args, example))
            unknown = (
                {} if open_ else {k: v for k, v in kwargs.items() if k not in kinds}
            )
            if unknown:
                raise ArgumentError(_unknown(name, unknown, [*kinds], example))
            return function(*args, **kwargs)

        return cast(Function, wrapper)

    return decorate


def _too_many(
    function: str, places: list[str], args: tuple[Any, ...], example: str
) -> str:
    texts = [
        repr(one) for one in args[len(places) :] if isinstance(one, str | int | float)
    ]
    more = f" ({', '.join(texts)} without a name)" if texts else ""
    return (
        f"{function}: expected {' and '.join(places)} by position, and a name for each "
        f"other argument; got {len(args)} arguments by position{more}. Write "
        f"{example}."
    )


def _unknown(
    function: str, given: Mapping[str, Any], known: list[str], example: str
) -> str:
    told = {name: advice(name, known) for name in given}
    groups: dict[str, list[str]] = {}
    for name, text in told.items():
        groups.setdefault(text, []).append(f"{name}=")
    texts = [
        f"For {' and '.join(n)}, {text}{'' if text.endswith('?') else '.'}"
        for text, n in groups.items()
        if text
    ]
    if "" in groups:
        texts.append(f"Call help(pyrobma.{function}) to see the arguments.")
    return (
        f"{', '.join(given)}: expected arguments that {function} has, as in {example}; "
        f"got other{'s' if len(given) > 1 else ' ones'}. {' '.join(texts)}"
    )


def advice(name: str, known: list[str]) -> str:
    """Say what to write instead of an argument; empty if nothing comes to mind.

    Parameters
    ----------
    name : str
        Of the argument that was given.
    known : list of str
        The function's own.
    """
    plain = name.lower().replace(".", "_")
    lower = {own.lower(): own for own in known}
    if plain in lower:
        return f"write {lower[plain]}="
    for own, others, text in (
        _FREQUENTIST if "effects" in known else (*_COUNTS, *_COLUMNS, *_ANALYSIS)
    ):
        if own in known and plain in others.lower().split():
            return text
    close = difflib.get_close_matches(plain, lower, n=1, cutoff=_CLOSE)
    return f"did you mean {lower[close[0]]}=?" if close else ""
