"""The meta-analyses that come with the package."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources
from typing import Final

import pandas as pd

from pyrobma.errors import DataError


@dataclass(frozen=True, slots=True)
class _Dataset:
    rows: int
    what: str
    citation: str


_DATASETS: Final[dict[str, _Dataset]] = {
    "andrews2021": _Dataset(
        36,
        "Household chaos and children's executive functions: correlations `r` with "
        "`se`; moderators `measure`, `age`",
        "Andrews, Atkinson, Harris, Gonzalez (2021). Psychological Bulletin 147(1), "
        "16-32. doi:10.1037/bul0000311",
    ),
    "assink2016": _Dataset(
        100,
        "Mental health and juvenile delinquency: standardised mean differences `yi` "
        "with variances `vi`, 100 estimates in 17 studies (`study`); moderators",
        "Assink, Wibbelink (2016). The Quantitative Methods for Psychology 12(3), "
        "154-174. doi:10.20982/tqmp.12.3.p154",
    ),
    "bangertdrowns2004": _Dataset(
        48,
        "School-based writing to learn and achievement: standardised mean differences "
        "`yi` with variances `vi`; moderators such as `ni` (sample size), `grade`, "
        "`subject`, some with missing values",
        "Bangert-Drowns, Hurley, Wilkinson (2004). Review of Educational Research "
        "74(1), 29-58. doi:10.3102/00346543074001029",
    ),
    "bcg": _Dataset(
        13,
        "BCG vaccine against tuberculosis: cases and non-cases among the vaccinated "
        "(`tpos`, `tneg`) and controls (`cpos`, `cneg`); moderators `ablat`, `alloc`, "
        "`year`",
        "Colditz et al. (1994). JAMA 271(9), 698-702. "
        "doi:10.1001/jama.1994.03510330076038",
    ),
    "bem2011": _Dataset(
        9,
        "Precognition experiments: Cohen's `d` with `se`",
        "Bem (2011). Journal of Personality and Social Psychology 100(3), 407-425. "
        "doi:10.1037/a0021524. Effect sizes: Bem, Utts, Johnson (2011), same journal "
        "101(4), 716-719. doi:10.1037/a0024777",
    ),
    "konstantopoulos2011": _Dataset(
        56,
        "Modified school calendars and achievement: standardised mean differences "
        "`yi` with variances `vi`, 56 schools in 11 districts (`district`)",
        "Konstantopoulos (2011). Research Synthesis Methods 2(1), 61-76. "
        "doi:10.1002/jrsm.35. Data: Cooper, Valentine, Charlton, Melson (2003). "
        "Review of Educational Research 73(1), 1-52. doi:10.3102/00346543073001001",
    ),
    "kroupova2021": _Dataset(
        881,
        "Student employment and education: partial correlations `r` with `se`, 69 "
        "studies (`study`); moderators. Some `r` and `se` are missing",
        "Kroupova, Havranek, Irsova (2024). Student Employment and Education: A "
        "Meta-Analysis. Economics of Education Review 100, 102539. "
        "doi:10.1016/j.econedurev.2024.102539",
    ),
    "lui2015": _Dataset(
        18,
        "Acculturation mismatch and intergenerational cultural conflict: correlations "
        "`r` with sample sizes `n`",
        "Lui (2015). Psychological Bulletin 141(2), 404-446. doi:10.1037/a0038449",
    ),
    "nielweise2007": _Dataset(
        18,
        "Anti-infective catheters against bloodstream infections, acute care: infected "
        "patients `x1` of `n1` with such a catheter, `x2` of `n2` with a standard one; "
        "few or no events in many trials",
        "Niel-Weise, Stijnen, van den Broek (2007). Intensive Care Medicine 33(12), "
        "2058-2068. doi:10.1007/s00134-007-0897-3",
    ),
    "nielweise2008": _Dataset(
        9,
        "Anti-infective catheters against bloodstream infections, parenteral nutrition "
        "or chemotherapy: infections `x1` in `t1` days with such a catheter, `x2` in "
        "`t2` days with a standard one",
        "Niel-Weise, Stijnen, van den Broek (2008). Journal of Hospital Infection "
        "69(2), 114-123. doi:10.1016/j.jhin.2008.02.020",
    ),
    "poulsen2006": _Dataset(
        5,
        "Potassium toothpaste against dentine hypersensitivity: Cohen's `d` with `se`",
        "Poulsen, Errboe, Lescay Mevil, Glenny (2006). Cochrane Database of "
        "Systematic Reviews 3, CD001476. doi:10.1002/14651858.CD001476.pub2",
    ),
}


def load_dataset(name: str) -> pd.DataFrame:
    """Return a bundled meta-analysis.

    Parameters
    ----------
    name : str
        One of the names that `datasets` lists.

    Returns
    -------
    DataFrame
        A new table at every call. Its `attrs` hold `name`, `what` and `citation`.

    Raises
    ------
    DataError
        If there is no such data set.

    Examples
    --------
    >>> load_dataset("bem2011").shape
    (9, 3)
    """
    if name not in _DATASETS:
        close = difflib.get_close_matches(str(name).lower(), _DATASETS, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else "See datasets()."
        raise DataError(
            f"name: expected one of {', '.join(_DATASETS)}; got {name!r}. {hint}"
        )
    file = resources.files("pyrobma.effects").joinpath("datasets", f"{name}.csv")
    with file.open("r", encoding="utf-8") as stream:
        frame = pd.read_csv(stream)
    about = _DATASETS[name]
    frame.attrs = {"name": name, "what": about.what, "citation": about.citation}
    return frame


def datasets() -> pd.DataFrame:
    """List the bundled meta-analyses.

    Returns
    -------
    DataFrame
        Columns `name` (for `load_dataset`), `rows`, `what` and `citation`.
    """
    return pd.DataFrame(
        [
            {"name": name, "rows": x.rows, "what": x.what, "citation": x.citation}
            for name, x in _DATASETS.items()
        ]
    )
