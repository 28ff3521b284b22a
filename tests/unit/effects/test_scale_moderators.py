"""Moderators of heterogeneity: what is refused, and what is warned of."""

from __future__ import annotations

import pandas as pd
import pytest

from pyrobma.effects import read_moderators
from pyrobma.errors import DataError, DataWarning

TABLE = pd.DataFrame(
    {
        "dose": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 9.0],
        "same": [3.0] * 7,
        "twice": [2.0, 4.0, 8.0, 6.0, 14.0, 10.0, 18.0],
        "design": list("aaabbbb"),
        "rare": list("aaaabbc"),
        "mods": list("xyxyxyx"),
    }
)


def read(formula: str, **options: object) -> object:
    return read_moderators(formula, TABLE, of="heterogeneity", **options)  # type: ignore[arg-type]


def test_columns_are_those_of_moderators_of_the_mean() -> None:
    one, kept = read_moderators("dose + design", TABLE, of="heterogeneity")
    other, _ = read_moderators("dose + design", TABLE)
    assert kept.all()
    assert one.labels == other.labels
    assert (one.columns == other.columns).all()


def test_a_constant_is_refused_as_confounded_with_tau() -> None:
    with pytest.raises(DataError, match=r"^scale: expected a moderator that varies"):
        read("same")


def test_columns_that_make_up_another_are_refused() -> None:
    with pytest.raises(DataError, match=r"^scale: expected columns that neither tau"):
        read("dose + twice")


def test_levels_with_fewer_than_three_estimates_are_named_with_their_number() -> None:
    with pytest.warns(DataWarning) as caught:
        read("rare")
    (text,) = [str(one.message) for one in caught]
    assert text.startswith("scale: rare has fewer than 3 estimates at ")
    assert "b (2 estimates) and c (1 estimate)" in text


def test_three_estimates_at_a_level_are_enough(
    recwarn: pytest.WarningsRecorder,
) -> None:
    read("design")
    assert not recwarn.list


def test_levels_that_are_the_clusters_have_heterogeneity_of_their_own(
    recwarn: pytest.WarningsRecorder,
) -> None:
    clusters = pd.factorize(TABLE["design"])[0]
    read_moderators("design", TABLE, of="heterogeneity", cluster=clusters)
    assert not recwarn.list


def test_messages_speak_of_scale_and_not_of_mods() -> None:
    with pytest.raises(DataError) as caught:
        read("unknown")
    assert str(caught.value).startswith("scale: ")


def test_warnings_point_at_the_line_that_called() -> None:
    with pytest.warns(DataWarning) as caught:
        read("rare")
    assert caught[0].filename == __file__
