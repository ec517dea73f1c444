import os

from frontdoor.door import counters
from frontdoor.policy.ledger import Ledger, Reason


def test_the_counts_outlive_whoever_counted() -> None:
    memory = counters.create("main")
    ledger = Ledger(counters.cells(memory))
    for _ in range(5):
        ledger.accept()
    ledger.end(Reason.CLIENT_CLOSED)
    del ledger  # the door process dies with four streams open

    after = Ledger(counters.cells(memory))
    assert after.restore() == 4
    assert (after.accepted, after.open, after.ended) == (5, 0, {"client_closed": 1, "lost": 4})
    os.close(memory)


def test_the_memory_of_an_older_frontdoor_grows() -> None:
    memory = os.memfd_create("old")
    os.ftruncate(memory, 16)
    os.pwrite(memory, (7).to_bytes(8, "little") + (7).to_bytes(8, "little"), 0)
    ledger = Ledger(counters.cells(memory))
    assert (ledger.accepted, ledger.open, ledger.ended) == (7, 0, {"client_closed": 7})
    ledger.accept()
    assert os.fstat(memory).st_size == counters.SIZE
    os.close(memory)


def test_what_is_not_the_memory_of_a_ledger_is_not_taken_for_it() -> None:
    memory = counters.create("main")
    null = os.open(os.devnull, os.O_RDWR)
    assert counters.are_in([memory])
    assert not counters.are_in([null])
    assert not counters.are_in([])
    assert not counters.are_in([memory, memory])
    os.close(memory)
    os.close(null)
