from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.generation import Generation, Seat, State
from frontdoor.policy.share import WHOLE, Share, Visitor
from frontdoor.policy.sticky import MAX_AGE, ByCookie, ByHeader, Choice, Sticky, TurnsByKey, share_of, sticky_of
from frontdoor.policy.switchboard import Switchboard

OLD, NEW = Generation("v1", 1, 0.0, State.ACTIVE), Generation("v2", 2, 0.0, State.READY)

parts = st.integers(0, WHOLE)
visitors = st.binary(min_size=8, max_size=8).map(Visitor)
VISITOR = Visitor(b"00c0ffee00c0ffee")


def counted() -> Iterator[bytes]:
    return (b"%016x" % number for number in itertools.count(1))


def by_cookie(name: str = "frontdoor_canary") -> ByCookie:
    return ByCookie(name, counted().__next__)


# -- by cookie --------------------------------------------------------------------------------------------------------


def test_who_comes_without_a_number_is_given_one() -> None:
    sticky = by_cookie()
    number = b"0000000000000001"
    set_cookie = b"frontdoor_canary=0000000000000001; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % MAX_AGE
    assert sticky.key(b"", [], NEW) == (number, set_cookie)
    assert sticky.key(b"theme=dark", [], NEW)[0] == b"0000000000000002", "and the next one another"


@pytest.mark.parametrize(
    "cookies",
    [
        b"frontdoor_canary=00c0ffee00c0ffee",
        b"theme=dark; frontdoor_canary=00c0ffee00c0ffee; session=7",
        b"theme=dark;frontdoor_canary=00c0ffee00c0ffee",
        b"frontdoor_canary=garbage; frontdoor_canary=00c0ffee00c0ffee",
        b"frontdoor_canary=00c0ffee00c0ffee; frontdoor_canary=1111111111111111",
    ],
)
def test_who_brings_his_number_keeps_it_and_no_cookie_is_set(cookies: bytes) -> None:
    assert by_cookie().key(cookies, [], NEW) == (VISITOR, b"")


@pytest.mark.parametrize(
    "cookies",
    [
        b"frontdoor_canary=",
        b"frontdoor_canary=00c0ffee00c0ffe",
        b"frontdoor_canary=00c0ffee00c0ffee0",
        b"frontdoor_canary=00C0FFEE00C0FFEE",
        b'frontdoor_canary="00c0ffee00c0ffee"',
        b"xfrontdoor_canary=00c0ffee00c0ffee",
        b"a=frontdoor_canary=00c0ffee00c0ffee",
        b"frontdoor_canary =00c0ffee00c0ffee",
        b"frontdoorXcanary=00c0ffee00c0ffee",
        b"\xff\x00",
    ],
)
def test_what_is_no_number_of_ours_is_none(cookies: bytes) -> None:
    key, cookie = by_cookie("frontdoor.canary" if b"X" in cookies else "frontdoor_canary").key(cookies, [], NEW)
    assert key == b"0000000000000001"
    assert cookie


@given(st.binary())
def test_a_cookie_field_may_hold_anything(cookies: bytes) -> None:
    key, cookie = by_cookie().key(cookies, [], NEW)
    assert isinstance(key, Visitor)
    assert len(key) == 16
    assert b"\r" not in cookie
    assert b"\n" not in cookie


@given(visitors, st.integers(1, 2**32), st.lists(parts, min_size=2, max_size=6).map(sorted))
def test_a_visitor_never_goes_back_while_the_share_grows(visitor: Visitor, salt: int, steps: list[int]) -> None:
    share = share_of("stream", salt, steps[0])
    went: list[bool] = []
    for step in steps:
        share.part = step
        went += [share.take(visitor), share.take(visitor)]
    assert went == sorted(went), "once on the canary, always on the canary"
    share.part = WHOLE
    assert share.take(visitor)
    share.part = 0
    assert not share.take(visitor)


def test_about_as_many_visitors_as_the_share_says_and_others_in_the_next_canary() -> None:
    people = [Visitor(number) for number in itertools.islice(counted(), 10_000)]
    first, second = share_of("stream", 1, 500), share_of("stream", 2, 500)
    on_first, on_second = ({each for each in people if share.take(each)} for share in (first, second))
    assert 400 < len(on_first) < 600
    assert 400 < len(on_second) < 600
    assert len(on_first & on_second) < 60, "about 25 are in both"


# -- by header --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (b"yes", Choice.CANARY),
        (b"1", Choice.CANARY),
        (b"True", Choice.CANARY),
        (b"canary", Choice.CANARY),
        (b"v2", Choice.CANARY),
        (b"v2#2", Choice.CANARY),
        (b"v1", Choice.ACTIVE),
        (b"V2", Choice.ACTIVE),
        (b"no", Choice.ACTIVE),
        (b"", Choice.ACTIVE),
        (b"\xff", Choice.ACTIVE),
    ],
)
def test_a_header_says_which_of_the_two_it_wants(value: bytes, choice: Choice) -> None:
    fields = [(b"Accept", b"*/*"), (b"x-CANARY", value), (b"X-Canary", b"the first one counts")]
    assert ByHeader(b"x-canary").key(b"", fields, NEW) == (choice, b"")


def test_without_the_header_the_share_decides() -> None:
    assert ByHeader(b"x-canary").key(b"frontdoor_canary=1", [(b"X-Canaries", b"yes")], NEW) == (None, b"")


def test_it_is_as_the_config_says() -> None:
    sticky: list[Sticky | None] = [sticky_of(kind, "a", "X-B", counted().__next__) for kind in ("", "cookie", "header")]
    assert sticky[0] is None
    assert repr(sticky[1]) == "<ByCookie a>"
    assert sticky[2] == ByHeader(b"x-b")


# -- whose turn it is -------------------------------------------------------------------------------------------------


def board(share: TurnsByKey, *, up: bool = True) -> tuple[Switchboard, Generation]:
    """v1 is active, and v2 the canary, whose process is up or is not."""
    old, new = Generation("v1", 1, 0.0, State.READY), Generation("v2", 2, 0.0, State.READY)
    old.seats.append(Seat(old, 0, "/old", up=True))
    new.seats.append(Seat(new, 0, "/new", up=up))
    it = Switchboard()
    it.switch(old, 1.0)
    it.try_out(new, share, 2.0)
    return it, new


def version(it: Switchboard, key: object) -> str:
    seat = it.lease((), key)
    assert seat is not None
    return seat.generation.version


def test_who_has_chosen_uses_up_nobodys_turn() -> None:
    it, _ = board(share_of("stream", 1, WHOLE // 2))
    assert [version(it, None) for _ in range(4)] == ["v1", "v2", "v1", "v2"]
    assert [version(it, key) for key in (Choice.CANARY, Choice.CANARY, Choice.ACTIVE)] == ["v2", "v2", "v1"]
    assert [version(it, None) for _ in range(4)] == ["v1", "v2", "v1", "v2"]


def test_who_has_neither_chosen_nor_a_number_is_shared_out_as_was_asked_for() -> None:
    client = ("192.0.2.1", 1)
    by_stream, by_address = share_of("stream", 1, WHOLE // 2), share_of("address", 1, WHOLE // 2)
    assert [by_stream.take(client) for _ in range(4)] == [False, True, False, True]
    assert len({by_address.take(client) for _ in range(10)}) == 1
    assert repr(by_stream) == "<TurnsByKey <Share 50%>>"
    assert repr(by_address) == "<TurnsByKey <ShareByAddress 50%>>"


@pytest.mark.parametrize("key", [Choice.CANARY, VISITOR])
def test_who_wants_a_canary_that_is_not_there_gets_the_active_one(key: object) -> None:
    it, new = board(share_of("stream", 1, WHOLE), up=False)
    assert [version(it, key) for _ in range(3)] == ["v1"] * 3
    new.seats[0].up = True
    assert version(it, key) == "v2"


def test_a_dial_of_the_canary_that_failed_sends_its_request_to_the_active_one_and_no_other() -> None:
    it, _ = board(share_of("stream", 1, 0))
    seat = it.lease((), Choice.CANARY)
    assert seat is not None
    it.forgo(seat)
    again = it.lease((seat,), Choice.CANARY)
    assert again is not None
    assert again.generation.version == "v1"
    assert version(it, Choice.CANARY) == "v2"


@given(st.integers(0, WHOLE), st.lists(st.sampled_from([None, Choice.CANARY, Choice.ACTIVE, VISITOR])))
def test_the_counted_share_is_exact_whoever_comes_in_between(part: int, keys: list[object]) -> None:
    share, alone = share_of("stream", 1, part), Share(part)
    for key in keys:
        taken = share.take(key)
        assert key is not None or taken == alone.take()
