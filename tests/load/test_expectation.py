from hypothesis import given
from hypothesis import strategies as st

from load.expectation import Expectation, matches


def test_an_id_or_a_version_names_a_generation() -> None:
    assert matches("v2#3", "v2#3")
    assert matches("v2", "v2#3")
    assert not matches("v2#3", "v2#4")
    assert not matches("v", "v2#3")


def test_before_the_first_promise_anything_goes() -> None:
    door = Expectation()
    assert door.answered(door.opened(), "v9#9") is None


def test_what_is_opened_after_the_swap_must_be_answered_by_the_new_one() -> None:
    door = Expectation("v1#1")
    before = door.opened()
    door.switching()
    assert door.switched("v2#2") is None
    after = door.opened()
    assert door.answered(before, "v1#1") is None, "accepted before the switch"
    assert door.answered(before, "v2#2") is None, "accepted after it"
    assert door.answered(after, "v2#2") is None
    assert door.answered(after, "v1#1") == "answered by v1#1, wanted v2#2"


def test_without_a_swap_under_way_nobody_else_may_answer() -> None:
    door = Expectation("v1#1")
    assert door.answered(door.opened(), "v2#2") == "answered by v2#2, wanted v1#1"


def test_during_a_swap_both_may_answer_until_the_new_one_has() -> None:
    door = Expectation("v1#1")
    early = door.opened()
    door.switching()
    assert door.answered(door.opened(), "v1#1") is None
    assert door.answered(door.opened(), "v2#2") is None, "the switch was before the swap's return"
    assert door.answered(early, "v1#1") is None, "opened before anybody had seen the new one"
    assert door.answered(door.opened(), "v1#1") == "answered by v1#1, wanted v2#2"
    assert door.answered(door.opened(), "v3#3") == "answered by v3#3, wanted v2#2"
    assert door.switched("v2#2") is None


def test_who_answered_during_a_swap_must_be_who_it_was_to() -> None:
    door = Expectation("v1#1")
    door.switching()
    assert door.answered(door.opened(), "v3#3") is None
    assert door.switched("v2#2") == "v3#3 answered during a swap to v2#2"
    assert door.current == "v2#2"


def test_a_swap_that_failed_leaves_what_was() -> None:
    door = Expectation("v1#1")
    door.switching()
    assert door.switched("v1#1") is None
    assert door.answered(door.opened(), "v2#2") == "answered by v2#2, wanted v1#1"


@given(st.lists(st.sampled_from(["open", "accept", "start", "switch", "return"]), max_size=60))
def test_a_door_that_keeps_its_promises_is_never_blamed(steps: list[str]) -> None:
    door, number, active, swapping = Expectation("v#1"), 1, 1, False
    opened: list[int] = []
    for step in steps:
        if step == "open":
            opened.append(door.opened())
        elif step == "accept" and opened:
            assert door.answered(opened.pop(), f"v#{active}") is None
        elif step == "start" and not swapping:
            swapping, number = True, number + 1
            door.switching()
        elif step == "switch" and swapping:
            active = number
        elif step == "return" and swapping:
            swapping, active = False, number
            assert door.switched(f"v#{active}") is None
