import mmap
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.ledger import CELLS, Cells, Ledger, Reason, by_reason, ends_of, no_ends


def a_list() -> Cells:
    return [0] * CELLS


def shared_memory() -> Cells:
    return memoryview(mmap.mmap(-1, 8 * CELLS)).cast("Q")  # what the door process uses, but for the memfd


EITHER = pytest.mark.parametrize("cells", [a_list, shared_memory])


def test_a_new_ledger_is_empty() -> None:
    ledger = Ledger()
    assert (ledger.accepted, ledger.open, ledger.ended) == (0, 0, {})


@EITHER
def test_every_stream_is_accepted_once_and_ends_once(cells: Callable[[], Cells]) -> None:
    ledger = Ledger(cells())
    for _ in range(4):
        ledger.accept()
    assert (ledger.accepted, ledger.open, ledger.ended) == (4, 4, {})
    ledger.end(Reason.CLIENT_CLOSED)
    ledger.end(Reason.DRAIN_CLOSED)
    ledger.end(Reason.CLIENT_CLOSED)
    assert (ledger.accepted, ledger.open, ledger.ended) == (4, 1, {"client_closed": 2, "drain_closed": 1})


@EITHER
@given(st.lists(st.none() | st.sampled_from(Reason)))
def test_the_sums_agree_whatever_happens_in_whatever_order(
    cells: Callable[[], Cells], happenings: list[Reason | None]
) -> None:
    memory = cells()
    ledger, open_, ended = Ledger(memory), 0, Counter[str]()
    for reason in happenings:
        if reason is None:
            ledger.accept()
            open_ += 1
        elif open_:
            ledger.end(reason)
            open_ -= 1
            ended[reason.value] += 1
        assert ledger.ended == ended
        assert ledger.open == open_
        assert ledger.accepted == ledger.open + sum(ledger.ended.values())
        assert (Ledger(memory).accepted, Ledger(memory).open) == (ledger.accepted, open_)


@EITHER
def test_what_was_open_when_the_door_process_died_is_lost(cells: Callable[[], Cells]) -> None:
    memory = cells()
    before = Ledger(memory)
    for _ in range(5):
        before.accept()
    before.end(Reason.BACKEND_CLOSED)
    # The process dies here, and what is left is the memory.
    after = Ledger(memory)
    assert after.restore() == 4
    assert (after.accepted, after.open, after.ended) == (5, 0, {"backend_closed": 1, "lost": 4})
    # It goes on to count, and may die again.
    after.accept()
    assert Ledger(memory).restore() == 1
    assert Ledger(memory).ended == {"backend_closed": 1, "lost": 5}


@EITHER
def test_what_lives_through_the_death_of_the_door_process_is_not_lost(cells: Callable[[], Cells]) -> None:
    memory = cells()
    before = Ledger(memory)
    for _ in range(5):
        before.accept()
    after = Ledger(memory)
    assert after.restore(3) == 2
    assert (after.accepted, after.open, after.ended) == (5, 3, {"lost": 2})
    after.end(Reason.CLIENT_CLOSED)
    assert (Ledger(memory).open, Ledger(memory).restore(2)) == (2, 0)


@EITHER
def test_whose_end_was_counted_and_who_is_there_again_was_accepted_twice(cells: Callable[[], Cells]) -> None:
    memory = cells()
    before = Ledger(memory)
    for _ in range(3):
        before.accept()
    before.end(Reason.CLIENT_CLOSED)
    before.end(Reason.BACKEND_CLOSED)
    # The process dies before the keeper was told of the two: all three come back.
    after = Ledger(memory)
    assert after.restore(3) == 0
    assert (after.accepted, after.open) == (5, 3)
    for _ in range(3):
        after.end(Reason.CLIENT_CLOSED)
    assert (after.accepted, after.open, sum(after.ended.values())) == (5, 0, 5)


def test_a_restart_with_nothing_open_loses_nothing() -> None:
    ledger = Ledger()
    assert ledger.restore() == 0
    assert ledger.ended == {}


def test_the_order_of_the_cells_never_changes() -> None:
    # A newer frontdoor reads the memory that an older one wrote: what is added goes to the end.
    memory = [0] * CELLS
    ledger = Ledger(memory)
    for count, reason in enumerate(Reason, 1):
        for _ in range(count):
            ledger.accept()
            ledger.end(reason)
    contract = ["client_closed", "backend_closed", "client_reset", "backend_reset", "idle_timeout"]
    contract += ["half_close_timeout", "no_backend", "drain_closed", "backend_gone", "shutdown", "lost"]
    contract += ["proxy_header", "answered", "bad_request"]
    assert memory == [sum(range(1, 15)), *range(1, 15)]
    assert ledger.ended == {reason: count for count, reason in enumerate(contract, 1)}


def test_what_ends_counts_for_its_generation_too() -> None:
    ledger, mine, others = Ledger(), no_ends(), no_ends()
    for reason, of in ((Reason.CLIENT_CLOSED, mine), (Reason.LOST, others), (Reason.CLIENT_CLOSED, mine)):
        ledger.accept()
        ledger.end(reason, of)
    ledger.accept()
    ledger.end(Reason.NO_BACKEND)  # it had none
    assert by_reason(mine) == {"client_closed": 2}
    assert by_reason(others) == {"lost": 1}
    assert ledger.ended == {"client_closed": 2, "no_backend": 1, "lost": 1}
    assert ends_of(by_reason(mine)) == mine
    assert ends_of({"client_closed": 2, "of_a_newer_frontdoor": 7}) == mine
