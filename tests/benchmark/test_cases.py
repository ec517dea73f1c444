from collections import Counter

from benchmark.__main__ import PEERS
from benchmark.cases import CASES


def test_names_and_keys_are_unique() -> None:
    names = Counter(case.name for case in CASES)
    keys = Counter(figure.key for case in CASES for figure in case.figures)
    assert max(names.values()) == max(keys.values()) == 1


def test_what_is_wanted_is_wanted_against_peers_that_there_are() -> None:
    others = {peer.name for peer in PEERS} - {"frontdoor", "direct"}
    for case in CASES:
        assert case.figures, case.name
        for figure in case.figures:
            assert set(figure.wanted) <= others, figure.key
            assert not (case.own and figure.wanted), f"{figure.key}: no peer is measured"
