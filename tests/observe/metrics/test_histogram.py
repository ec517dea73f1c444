from hypothesis import given
from hypothesis import strategies as st

from frontdoor.observe.metrics.histogram import Histogram

BOUNDS = (0.5, 1.0, 4.0)


def test_each_bound_includes_what_is_as_large_as_it() -> None:
    histogram = Histogram(BOUNDS)
    for value in (0.25, 0.5, 0.75, 1.0, 4.0, 5.0):
        histogram.add(value)
    assert histogram.cumulative == [2, 4, 5, 6]
    assert (histogram.count, histogram.sum) == (6, 11.5)


@given(st.lists(st.floats(0, 10)))
def test_it_counts_what_it_was_given(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.add(value)
    assert histogram.cumulative == [*(sum(value <= bound for value in values) for bound in BOUNDS), len(values)]
    assert histogram.count == len(values)
