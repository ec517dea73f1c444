"""What each descriptor is registered for, stage by stage. The rule: what nobody waits for is not registered at all."""

import select

import pytest

from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Ledger
from frontdoor.policy.switchboard import Switchboard
from frontdoor.traffic.gate import Gate, Limits
from frontdoor.traffic.stream import Flow, Stream, is_hangup

READ, WRITE, HANGUP_ONCE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLET


@pytest.fixture
def stream() -> Stream:
    gate = Gate("main", Switchboard(), Ledger(), Limits(10, 5.0, 10.0, 60.0, 60.0))
    seat = Seat(Generation("v1", 1, 0.0), 0, "/nowhere")
    return Stream(1, gate, seat, ("127.0.0.1", 4711), (5, 6), 0.0)


def held(flow: Flow) -> None:
    flow.held, flow.reading = 10, False


def ended(flow: Flow) -> None:
    flow.ended, flow.reading = True, False


def deaf(flow: Flow) -> None:
    flow.held, flow.deaf, flow.reading = 0, True, not flow.ended


def wanted(stream: Stream) -> tuple[int, int]:
    """Of the client's descriptor, and of the backend's."""
    return stream.up.wanted, stream.down.wanted


def test_at_first_both_are_read(stream: Stream) -> None:
    assert wanted(stream) == (READ, READ)


def test_a_slow_client_is_asked_for_room_and_the_backend_is_left_alone(stream: Stream) -> None:
    held(stream.down)
    assert wanted(stream) == (READ | WRITE, 0)


def test_both_are_slow(stream: Stream) -> None:
    held(stream.up)
    held(stream.down)
    assert wanted(stream) == (WRITE, WRITE)


def test_a_client_that_is_done_sending_is_watched_for_its_going_only(stream: Stream) -> None:
    ended(stream.up)
    assert wanted(stream) == (HANGUP_ONCE, READ)
    held(stream.down)
    assert wanted(stream) == (WRITE, 0)


def test_a_backend_that_has_closed_is_not_watched_any_more(stream: Stream) -> None:
    ended(stream.down)
    deaf(stream.up)
    assert wanted(stream) == (READ, 0)


def test_a_client_that_has_gone_is_not_asked_for_room(stream: Stream) -> None:
    held(stream.up)
    deaf(stream.down)
    assert wanted(stream) == (0, READ | WRITE)


def test_after_both_ends_nothing_is_watched(stream: Stream) -> None:
    ended(stream.up)
    ended(stream.down)
    assert wanted(stream) == (0, 0)


def test_its_state_is_shown(stream: Stream) -> None:
    assert repr(stream.up) == "<Flow 5→6 reading 0 B, 0 held>"
    held(stream.up)
    assert repr(stream.up) == "<Flow 5→6 held 0 B, 10 held>"
    ended(stream.down)
    deaf(stream.down)
    assert repr(stream.down) == "<Flow 6→5 ended deaf 0 B, 0 held>"
    assert "<Stream 1 on v1#1" in repr(stream)


def test_hang_up_is_hup_or_err() -> None:
    assert is_hangup(select.EPOLLHUP | READ)
    assert is_hangup(select.EPOLLERR)
    assert not is_hangup(READ | WRITE | select.EPOLLRDHUP)
