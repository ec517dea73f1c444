from collections import Counter
from collections.abc import Sequence

import pytest

from benchmark.__main__ import HTTP_PEERS, PEERS, chosen
from benchmark.cases import CASES, HTTP_CASES
from benchmark.chart import COLOURS
from benchmark.figure import Case
from benchmark.peers import Peer

RUNS = pytest.mark.parametrize(("cases", "peers"), [(CASES, PEERS), (HTTP_CASES, HTTP_PEERS)], ids=["tcp", "http"])


def test_names_and_keys_are_unique() -> None:
    both = (*CASES, *HTTP_CASES)
    names = Counter(case.name for case in both)
    keys = Counter(figure.key for case in both for figure in case.figures)
    assert max(names.values()) == max(keys.values()) == 1


@RUNS
def test_what_is_wanted_is_wanted_against_peers_that_there_are(cases: Sequence[Case], peers: Sequence[Peer]) -> None:
    others = {peer.name for peer in peers} - {"frontdoor", "direct"}
    for case in cases:
        assert case.figures, case.name
        for figure in case.figures:
            assert set(figure.wanted) <= others, figure.key
            assert not (case.own and figure.wanted), f"{figure.key}: no peer is measured"


def test_every_peer_has_a_colour_of_its_own() -> None:
    assert {peer.name for peer in (*PEERS, *HTTP_PEERS)} - {"frontdoor", "direct"} <= set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_ahead_of_envoy_and_caddy_and_half_of_haproxy() -> None:
    figures = {figure.key: figure for case in HTTP_CASES for figure in case.figures}
    for connections in (1, 50, 500):
        assert figures[f"http.{connections}.rate"].wanted == {"envoy": 1, "caddy": 1, "haproxy": 0.5}
        assert figures[f"http.{connections}.cpu"].wanted == {"envoy": 1, "caddy": 1}
    assert {key for key, figure in figures.items() if "tcp-door" in figure.wanted} == {
        "http.echo.cpu",
        "http.echo.16k.cpu",
        "http.idle.100.memory",
        "http.idle.4000.memory",
        "http.idle.9000.memory",
    }


def test_those_of_a_name_in_their_own_order() -> None:
    assert [peer.name for peer in chosen("peer", PEERS, None)] == [peer.name for peer in PEERS]
    assert [peer.name for peer in chosen("peer", PEERS, ["nginx", "haproxy", ""])] == ["haproxy", "nginx"]
    with pytest.raises(ValueError, match=r"no such peer: caddy \(of frontdoor, haproxy, nginx, envoy, direct\)"):
        chosen("peer", PEERS, ["nginx", "caddy"])
