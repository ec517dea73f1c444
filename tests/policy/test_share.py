import ipaddress
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdoor.policy.share import WHOLE, Share, ShareByAddress, parse_share, show_share

parts = st.integers(0, WHOLE)
salts = st.integers(1, 2**32)
hosts = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)


def clients(count: int) -> list[tuple[str, int]]:
    """Clients from addresses that follow each other, as those of a network do."""
    return [(str(ipaddress.IPv4Address("10.0.0.0") + n), 40_000 + n) for n in range(count)]


# -- as it is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("5%", 500),
        ("0%", 0),
        ("-0%", None),
        ("100%", WHOLE),
        ("100.00%", WHOLE),
        ("0.5%", 50),
        ("0.05%", 5),
        ("33.33%", 3333),
        ("1.500%", 150),
        (" 25 % ", 2500),
        ("007%", 700),
    ],
)
def test_a_share_is_a_percentage(text: str, part: int | None) -> None:
    if part is None:
        with pytest.raises(ValueError, match="too small"):
            parse_share(text)
    else:
        assert parse_share(text) == part


@pytest.mark.parametrize("text", ["5", "0.05", "", "%", "five%", "5%%", ".5%", "5.%", "1e1%", "nan%", "5,5", "\u0665%"])
def test_what_is_no_percentage_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no share: write it as a percentage, such as 5% or 0\.5%") as said:
        parse_share(text)
    assert f'"{text}"' in str(said.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("101%", "too large: it must be 100% or less"),
        ("100.01%", "too large"),
        ("9" * 5000 + "%", "too large"),
        ("-5%", "too small: it must be 0% or more"),
        ("5.555%", "too fine: it can have two decimals at most"),
    ],
)
def test_what_cannot_be_is_told_why(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what) as said:
        parse_share(text)
    assert text in str(said.value)


@given(parts)
def test_a_share_is_shown_as_it_would_be_written(part: int) -> None:
    assert parse_share(show_share(part)) == part


def test_a_share_is_shown_in_few_words() -> None:
    shown = [show_share(part) for part in (0, 1, 50, 500, 1_000, 3_333, WHOLE)]
    assert shown == ["0%", "0.01%", "0.5%", "5%", "10%", "33.33%", "100%"]
    assert repr(Share(500)) == "<Share 5%>"
    assert repr(ShareByAddress(1, 500)) == "<ShareByAddress 5%>"


# -- by stream --------------------------------------------------------------------------------------------------------


@given(percent=st.integers(0, 100), before=st.integers(0, 300))
def test_of_every_hundred_streams_exactly_so_many(percent: int, before: int) -> None:
    share = Share(percent * 100)
    for _ in range(before):
        share.take()
    for _ in range(3):
        assert sum(share.take() for _ in range(100)) == percent


@settings(max_examples=30, deadline=None)
@given(part=parts, before=st.integers(0, 300))
def test_of_every_ten_thousand_streams_exactly_so_many_hundredths_of_a_percent(part: int, before: int) -> None:
    share = Share(part)
    for _ in range(before):
        share.take()
    assert sum(share.take() for _ in range(WHOLE)) == part


@pytest.mark.parametrize("part", [100, 500, 3_300])
def test_they_are_spread_evenly_and_never_come_in_a_row(part: int) -> None:
    share = Share(part)
    taken = [n for n in range(WHOLE) if share.take()]
    gaps = {later - sooner for sooner, later in itertools.pairwise(taken)}
    assert gaps <= {WHOLE // part, WHOLE // part + 1}


@given(st.lists(st.tuples(parts, st.integers(0, 200)), max_size=8))
def test_with_every_change_the_new_share_holds_at_once(changes: list[tuple[int, int]]) -> None:
    share, expected, got = Share(), 0, 0
    for part, streams in changes:
        share.part = part
        expected += part * streams
        got += sum(share.take() for _ in range(streams))
        assert got == expected // WHOLE  # what is owed is less than one stream, whatever it was before


@given(part=parts, in_vain=st.lists(st.integers(0, 5), min_size=50, max_size=100))
def test_who_asks_again_is_no_canarys_and_takes_no_turn(part: int, in_vain: list[int]) -> None:
    counts_all, share = Share(part), Share(part)
    for times in in_vain:
        turn = share.take()
        assert turn == counts_all.take()
        for _ in range(times):  # it found no place, and waits
            share.give_back()
            assert not share.take()


# -- by address -------------------------------------------------------------------------------------------------------


@given(host=hosts, salt=salts, part=parts, ports=st.lists(st.integers(1, 65_535), min_size=2, max_size=5))
def test_a_client_sees_one_version_whatever_its_port_and_whoever_comes_between(
    host: str, salt: int, part: int, ports: list[int]
) -> None:
    share, another_process = ShareByAddress(salt, part), ShareByAddress(salt, part)
    sees = set()
    for port in ports:
        sees.add(share.take((host, port)))
        share.take(("192.0.2.1", port))
    sees.add(another_process.take((host, 1)))
    assert len(sees) == 1


@given(host=hosts, salt=salts, steps=st.lists(parts, min_size=2, max_size=6).map(sorted))
def test_who_is_in_stays_in_when_the_share_rises(host: str, salt: int, steps: list[int]) -> None:
    share = ShareByAddress(salt)
    sees = []
    for step in steps:
        share.part = step
        sees.append(share.take((host, 1)))
    assert sees == sorted(sees)


@given(host=hosts, salt=salts)
def test_nobody_is_in_at_nothing_and_everybody_at_the_whole(host: str, salt: int) -> None:
    assert not ShareByAddress(salt, 0).take((host, 1))
    assert ShareByAddress(salt, WHOLE).take((host, 1))


@pytest.mark.parametrize("part", [100, 500, 3_300, 9_000])
def test_the_share_of_many_clients_is_about_what_it_should_be(part: int) -> None:
    for salt in range(1, 6):
        share = ShareByAddress(salt, part)
        got = sum(map(share.take, clients(WHOLE)))
        assert abs(got - part) < 4 * (part * (1 - part / WHOLE)) ** 0.5  # four times the deviation of a fair draw


def test_with_each_swap_there_are_others() -> None:
    first, second = ShareByAddress(1, 2_000), ShareByAddress(2, 2_000)
    both = sum(first.take(client) and second.take(client) for client in clients(WHOLE))
    assert 300 < both < 500  # a fifth of a fifth


def test_an_ipv6_client_is_its_network_and_not_its_address() -> None:
    share = ShareByAddress(1, 5_000)
    networks = [f"2001:db8:0:{n:x}" for n in range(200)]
    sees = [{share.take((f"{network}::{n:x}", 1, 0, 0)) for n in range(1, 20)} for network in networks]
    assert all(len(of_one) == 1 for of_one in sees)
    assert 60 < sum(True in of_one for of_one in sees) < 140
    assert share.take(("fe80::1%eth0", 1, 0, 2)) == share.take(("fe80::1", 1, 0, 0))


def test_an_ipv4_client_is_the_same_one_on_an_ipv6_socket() -> None:
    share = ShareByAddress(1, 5_000)
    sees = [(share.take((host, 1)), share.take((f"::ffff:{host}", 1, 0, 0))) for host, _ in clients(200)]
    assert {one for one, other in sees if one == other} == {True, False}
    assert all(one == other for one, other in sees)


@pytest.mark.parametrize("client", [None, "", "@unix", b"\0unix", (), (5,), ("", 1), ("::not an address", 1)])
def test_where_there_is_no_address_streams_are_counted(client: object) -> None:
    share = ShareByAddress(1)
    share.part = 500
    assert sum(share.take(client) for _ in range(100)) == 5
    for _ in range(19):
        assert not share.take(client)
        share.give_back()
        assert not share.take(client)  # it asks again, and takes no other's turn
    assert share.take(client)


def test_a_client_of_the_canary_that_found_no_place_asks_again_for_the_other() -> None:
    share = ShareByAddress(1, WHOLE)
    client, other = ("192.0.2.1", 1), ("192.0.2.2", 2)
    for _ in range(3):
        assert share.take(client) == (_ == 0)
        share.give_back()
    assert share.take(other)  # it had left, and this one has not asked before
    assert share.take(client)
