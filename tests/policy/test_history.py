"""Where a rollback leads, after any sequence of switches and restarts of frontdoor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.generation import Generation
from frontdoor.policy.history import History, Past

versions = st.sampled_from(["v1", "v2", "v3"])
sequences = st.lists(versions, min_size=1, max_size=8)


def after(sequence: list[str]) -> tuple[History, Generation]:
    """The history when each of these was switched to in turn, and what is active then."""
    history, active = History(), Generation(sequence[0], 1, since=0.0)
    for number, version in enumerate(sequence[1:], 2):
        new = Generation(version, number, since=0.0)
        history, active = history.switched(active, new), new
    return history, active


@given(sequences)
def test_the_way_back_is_to_what_was_live_right_before_and_to_another_version_if_there_was_one(
    sequence: list[str],
) -> None:
    history, active = after(sequence)
    *before, present = sequence
    assert history.previous == (Past(before[-1], len(before)) if before else None)
    others = [version for version in before if version != present]
    assert history.earlier == (others[-1] if others else None)
    assert history.version_back(active) == (others[-1] if others else before[-1] if before else None)


@given(sequences, versions)
def test_a_restart_of_frontdoor_does_not_change_it_whatever_serves_then(sequence: list[str], serves: str) -> None:
    """The next one knows what was active last, and the version before; the config may have named any version since."""
    before, active = after(sequence)
    resumed = History.resumed(serves, active.version, before.earlier)
    others = [version for version in sequence if version != serves]
    assert resumed.version_back(Generation(serves, 99, since=0.0)) == (others[-1] if others else None)


@pytest.mark.parametrize(
    ("serves", "last", "earlier", "back"),
    [
        pytest.param("v2", "v2", "v1", "v1", id="what a swap has made active"),
        pytest.param("v1", "v1", None, None, id="nothing was ever swapped"),
        pytest.param("v3", "v2", "v1", "v2", id="the config's active was changed"),
        pytest.param("v1", "v2", "v1", "v2", id="and to the version before"),
    ],
)
def test_after_a_start(serves: str, last: str, earlier: str | None, back: str | None) -> None:
    resumed = History.resumed(serves, last, earlier)
    assert resumed.previous == (Past(back) if back else None)
    assert resumed.version_back(Generation(serves, 9, since=0.0)) == back
