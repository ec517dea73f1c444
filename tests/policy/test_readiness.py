from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.readiness import Health, Readiness


def test_one_good_answer_is_enough_where_one_is_asked_for() -> None:
    assert Readiness(1).good()


def test_a_bad_answer_begins_the_count_anew() -> None:
    readiness = Readiness(3)
    assert [readiness.good(), readiness.good()] == [False, False]
    readiness.bad()
    assert [readiness.good(), readiness.good(), readiness.good()] == [False, False, True]


@given(st.integers(1, 5), st.lists(st.booleans()))
def test_ready_is_what_has_so_many_good_answers_in_a_row(successes: int, answers: list[bool]) -> None:
    readiness = Readiness(successes)
    for count, answer in enumerate(answers, 1):
        if answer:
            assert readiness.good() == (answers[:count][-successes:] == [True] * successes)
        else:
            readiness.bad()


def test_bad_answers_in_a_row_are_counted() -> None:
    health = Health()
    assert [health.bad(3), health.bad(3)] == [False, False]
    health.good()
    assert [health.bad(3), health.bad(3), health.bad(3)] == [False, False, True]


def test_how_many_are_too_many_may_change_in_between() -> None:
    health = Health()
    assert [health.bad(10), health.bad(10), health.bad(3)] == [False, False, True]
