from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.cli.screen.input import PASTED, Input
from frontdoor.cli.screen.keys import PASTE


def keys(*parts: bytes) -> list[str]:
    typed = Input()
    return [key for part in parts for key in typed.keys(part)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"sy", ["s", "y"]),
        (b"\r\n\t\x7f\x08\x0c\x04", ["enter", "enter", "tab", "backspace", "backspace", "ctrl-l", "q"]),
        (b"\x1b[A\x1b[B\x1bOC\x1bOD\x1b[Z", ["up", "down", "right", "left", "backtab"]),
        (b"\x1b[5~\x1b[1;5A\x1bx\x00\x01", []),  # keys that mean nothing here
        (b"\x1b\x1b[A", ["escape", "up"]),
        ("é日".encode(), ["é", "日"]),
        (b"\x1b[200~rm -rf y\x1b[201~q", [PASTE + "rm -rf y", "q"]),
        (b"\x1b[200~a\x1b[2Jb\n\x1b[201~", [PASTE + "a[2Jb"]),
    ],
)
def test_what_is_typed(data: bytes, expected: list[str]) -> None:
    assert keys(data) == expected
    halves = [data[:at] for at in range(len(data))]
    for half in halves:
        assert keys(half, data[len(half) :]) == expected


def test_an_escape_that_nothing_follows_is_a_key() -> None:
    typed = Input()
    assert typed.keys(b"\x1b") == []
    assert typed.doubtful
    assert typed.decided() == ["escape"]
    assert not typed.doubtful


def test_half_a_sequence_that_nothing_follows_is_none() -> None:
    typed = Input()
    assert typed.keys(b"\x1b[1;") == []
    assert typed.decided() == []
    assert typed.keys(b"s") == ["s"]


def test_a_long_paste_is_cut() -> None:
    typed = Input()
    assert typed.keys(b"\x1b[200~") == []
    for _ in range(100):
        assert typed.keys(b"x" * 4096) == []
    assert typed.keys(b"\x1b[201~s") == [PASTE + "x" * PASTED, "s"]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_whatever_comes_it_is_keys(parts: list[bytes]) -> None:
    typed = Input()
    for part in parts:
        for key in typed.keys(part):
            assert key.isprintable()
            assert key
    assert all(key == "escape" for key in typed.decided())


@given(st.binary(max_size=60), st.integers(0, 60))
def test_it_does_not_matter_how_it_comes(data: bytes, at: int) -> None:
    assert keys(data[:at], data[at:]) == keys(data)
