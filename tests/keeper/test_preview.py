"""What was shown before, less what has gone since, and the rest: together that is the vault, whatever has happened."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.keeper import wire
from frontdoor.keeper.preview import LARGEST, Preview
from frontdoor.keeper.vault import Vault

KEYS = st.sampled_from(["stream/1", "stream/2", "stream/3", "pipe/1", "door/main"])
NOTES = st.integers(0, 2)
CHANGES = st.one_of(
    st.tuples(st.just("put"), KEYS, NOTES),
    st.tuples(st.just("note"), KEYS, NOTES),
    st.tuples(st.just("drop"), KEYS, st.none()),
    st.tuples(st.just("show"), st.none(), st.none()),
)


@given(before=st.lists(CHANGES, max_size=8), since=st.lists(CHANGES, max_size=20))
def test_nothing_is_missing_and_nothing_is_stale(
    before: list[tuple[str, Any, Any]], since: list[tuple[str, Any, Any]]
) -> None:
    vault, seen = Vault(), dict[str, tuple[Any, tuple[int, int]]]()
    marks: dict[str, int] = {}

    def mark(key: str) -> tuple[Any, tuple[int, int]]:
        """What stands there, and how often it has been put or dropped: the same note may be another one's."""
        entry = vault.get(key)
        assert entry is not None
        return entry.note, (marks.get(key, 0), len(entry.fds))

    def change(what: str, key: Any, note: Any) -> None:
        if what != "show":
            marks[key] = marks.get(key, 0) + 1
        if what == "put":
            vault.put(key, note, [os.open(os.devnull, os.O_RDONLY)])
        elif what == "note":
            vault.note(key, note)
        elif what == "drop":
            vault.drop(key)
        else:
            preview_one()

    def preview_one() -> None:
        if preview is not None:
            entries, fds = preview.next()
            assert sum(count for _, _, count in entries) == len(fds)
            seen.update((key, mark(key)) for key, _, _ in entries)

    preview: Preview | None = None
    for each in before:
        change(*each)
    preview = Preview(vault, ["stream/", "pipe/"])
    for each in since:
        change(*each)

    gone = [key for keys in preview.gone() for key in keys]
    rest = [entry.key for entry in preview.rest()]
    assert set(gone) <= set(seen)
    kept = seen.keys() - set(gone)
    assert sorted([*kept, *rest]) == sorted(entry.key for entry in vault), "each once"
    assert all(seen[key] == mark(key) for key in kept)
    assert "door/main" not in seen
    for entry in vault:
        vault.drop(entry.key)


def test_many_come_in_several_messages() -> None:
    vault = Vault()
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(2 * 200)]
    for number in range(200):
        vault.put(f"stream/{number}", {"n": number}, fds[2 * number : 2 * number + 2])
    preview, messages = Preview(vault, ["stream/"]), list[list[Any]]()
    while True:
        entries, shown = preview.next()
        if not entries:
            break
        assert len(shown) <= wire.MAX_DESCRIPTORS
        wire.encode({"re": 1, "entries": entries})
        messages.append(entries)
    assert [len(entries) for entries in messages] == [126, 74]
    assert [key for entries in messages for key, _, _ in entries] == [f"stream/{number}" for number in range(200)]
    assert list(preview.rest()) == []
    for number in range(200):
        vault.drop(f"stream/{number}")
    assert [len(keys) for keys in preview.gone()] == [100, 100]


def test_what_is_large_comes_with_the_rest() -> None:
    """So that those which have gone can be named in one message, however long their names are."""
    vault = Vault()
    vault.put("stream/" + "x" * LARGEST, None)
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(wire.MAX_DESCRIPTORS + 1)]
    vault.put("stream/1", None, many)
    vault.put("stream/2", None)
    preview = Preview(vault, ["stream/"])
    assert [key for key, _, _ in preview.next()[0]] == ["stream/2"]
    assert preview.next() == ([], [])
    assert len(list(preview.rest())) == 2
    vault.drop("stream/1")


@pytest.mark.parametrize("prefixes", [[1], 5, [None]])
def test_prefixes_are_strings(prefixes: Any) -> None:
    vault = Vault()
    vault.put("stream/1", None)
    with pytest.raises(TypeError):
        Preview(vault, prefixes)
