from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.backoff import FIRST, HEALTHY_AFTER, LONGEST, Backoff


def test_each_crash_in_a_row_doubles_the_wait_up_to_the_longest() -> None:
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(9)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_after_a_healthy_life_a_crash_counts_as_the_first_one_again() -> None:
    backoff = Backoff()
    assert [backoff.after(lived) for lived in (0, 0, 0, HEALTHY_AFTER, 0)] == [0.25, 0.5, 1, 0.25, 0.5]


def test_a_life_that_was_not_quite_healthy_does_not() -> None:
    backoff = Backoff()
    assert [backoff.after(HEALTHY_AFTER - 0.001) for _ in range(3)] == [0.25, 0.5, 1]


@given(st.lists(st.floats(0, 1000)))
def test_the_wait_stays_within_its_bounds_and_grows_until_there_was_a_healthy_life(lives: list[float]) -> None:
    backoff = Backoff()
    before = FIRST
    for lived in lives:
        delay = backoff.after(lived)
        assert FIRST <= delay <= LONGEST
        if lived >= HEALTHY_AFTER:
            assert delay == FIRST
        else:
            assert before <= delay <= 2 * before
        before = delay
