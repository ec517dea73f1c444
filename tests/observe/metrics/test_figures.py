from hypothesis import given
from hypothesis import strategies as st

from frontdoor.observe.metrics.figures import AGES, Ages


@given(st.lists(st.floats(0, 1e6)), st.floats(1e6, 2e6))
def test_ages_are_counted_by_their_bounds(starts: list[float], now: float) -> None:
    ages = Ages.of(sorted(starts), now)
    assert ages.cumulative == [*(sum(start >= now - bound for start in starts) for bound in AGES), len(starts)]
    assert abs(ages.sum - sum(now - start for start in starts)) < 1e-3 * (1 + len(starts))


def test_of_none() -> None:
    assert Ages.of([], 5.0) == Ages([0] * (len(AGES) + 1), 0.0)
