"""Messages in words of the command line: options in the place of arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from pyrobma._switchers import advice
from pyrobma.commands.options import COLUMNS, MODERATORS, PRIORS
from pyrobma.errors import DataError, PriorError
from pyrobma.fit import SettingsError

OPTIONS: Final = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        *COLUMNS, "n1", "n2", "baseline", *MODERATORS, *PRIORS, "missing",
        "transformation", "prior_scale",
        "effect_mapping", "effect_direction", "rescale_priors", "model_type", "chains",
        "warmup", "draws", "seed", "cores", "output_scale", "cache",
    )
} | {"newdata": "--predict", "data": "file", "priors_bias": "--no-bias"}  # fmt: skip
"""What arguments, which messages begin with, are called."""

_PHRASES: Final = (
    (re.compile(r", or data\.dropna\(subset=\[[^\]]*\]\)"), ""),
    (re.compile(r", e\.g\. with data\.drop_duplicates\(\)"), ""),
    (re.compile(r"\bpriors_bias=None"), "--no-bias"),
    (re.compile(r"\bstandardize=False"), "--no-standardize"),
    (re.compile(r"\bheredity=False"), "--no-heredity"),
    (re.compile(r"center=\{'(\w+)': ([\d.]+)\}"), r"--center \1=\2"),
    (
        re.compile(r"\bgive n\b( there)? so that (se|v) can"),
        r"give --n\1 so that --\2 can",
    ),
    (re.compile(r"\bleave scale out\b"), "leave --scale out"),
    (re.compile(r"the name of a column of data\b"), "a column of the file"),
    (re.compile(r"Name its column or give an array\."), "Name its column."),
)
"""What is written in Python only."""

_LONGEST_FIRST: Final = sorted(OPTIONS, key=len, reverse=True)
_ANY: Final = "|".join(_LONGEST_FIRST)
# Priors have a scale too: only in the places below is it the argument.
_NAME: Final = "|".join(name for name in _LONGEST_FIRST if name != "scale")
_SCALE: Final = r"scale(?=: (?!expected a (?:positive value|finite number) for ))"
_LONG: Final = "|".join(name for name in OPTIONS if "_" in name)
_LIST: Final = rf"(?:{_NAME})(?:(?:, | and )(?:{_NAME}))*"

_LEADING: Final = re.compile(rf"^(?:{_LIST}(?=[:,])|{_SCALE})")
_ONE_OF: Final = re.compile(rf"(?<=one or more of ){_LIST}(?=[;.])")
_WRITTEN: Final = re.compile(rf"\b({_NAME})=(?:'([^']*)'|\"([^\"]*)\"|(None)\b)")
_WITHIN: Final = re.compile(rf"(?<![\w'\"`.-])({_LONG})(?![\w'\"`=(])")
_MEANT: Final = re.compile(rf"\b({_ANY})=(?=\W|$)")
_COLUMNS: Final = re.compile(r"(?= The columns are )")
"""Where names of the user's begin."""


@contextmanager
def in_options() -> Iterator[None]:
    """Let errors name options instead of arguments."""
    try:
        yield
    except (DataError, PriorError, SettingsError) as error:
        text = option_words(str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def option_words(text: str) -> str:
    """Return a message with options in the place of arguments."""
    text, *rest = _COLUMNS.split(text, maxsplit=1)
    for pattern, words in _PHRASES:
        text = pattern.sub(words, text)
    text = _LEADING.sub(_as_options, text)
    text = _ONE_OF.sub(_as_options, text)
    text = _WRITTEN.sub(
        lambda match: f"{OPTIONS[match[1]]} {match[2] or match[3] or match[4].lower()}",
        text,
    )
    text = _WITHIN.sub(lambda match: OPTIONS[match[1]], text)
    return "".join((text, *rest))


def advised(unknown: Iterable[str]) -> str:
    """Say what to write instead of options that there are not; empty if unknown.

    Parameters
    ----------
    unknown : iterable of str
        What the parser could not use, values among it.
    """
    texts = []
    for word in unknown:
        name = word.lstrip("-").partition("=")[0].replace("-", "_")
        if word.startswith("--") and (text := advice(name, [*OPTIONS])):
            words = _MEANT.sub(lambda match: OPTIONS[match[1]], text)
            texts.append(f" For --{name}, {words}{'' if words[-1] == '?' else '.'}")
    return "".join(texts)


def _as_options(match: re.Match[str]) -> str:
    return re.sub(_ANY, lambda name: OPTIONS[name[0]], match[0])
