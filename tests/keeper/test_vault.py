from __future__ import annotations

import os

import pytest

from frontdoor.keeper.vault import Vault
from keeper.watching import descriptors


def pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@pytest.fixture
def vault() -> Vault:
    return Vault()


def test_put_keeps_descriptors_open_and_drop_closes_them(vault: Vault) -> None:
    before = descriptors()
    fds = pipe()
    entry = vault.put("listen/a", {"a": 1}, fds)
    assert vault.get("listen/a") is entry
    assert (entry.note, entry.fds) == ({"a": 1}, fds)
    assert repr(vault) == "<Vault of 1 entries, 2 descriptors>"
    assert all(map(is_open, fds))
    assert vault.drop("listen/a")
    assert vault.get("listen/a") is None
    assert descriptors() == before


def test_put_under_a_taken_key_closes_what_was_there(vault: Vault) -> None:
    before = descriptors()
    old, new = pipe(), pipe()
    vault.put("a", None, old)
    vault.put("a", None, new)
    assert not any(map(is_open, old))
    assert all(map(is_open, new))
    assert len(vault) == 1
    vault.drop("a")
    assert descriptors() == before


def test_a_note_keeps_the_descriptors(vault: Vault) -> None:
    fds = pipe()
    vault.put("a", "first", fds)
    vault.note("a", "second")
    entry = vault.get("a")
    assert entry is not None
    assert (entry.note, entry.fds) == ("second", fds)
    assert all(map(is_open, fds))
    vault.drop("a")


def test_a_note_needs_no_descriptors(vault: Vault) -> None:
    vault.note("config", "text")
    entry = vault.get("config")
    assert entry is not None
    assert (entry.note, entry.fds) == ("text", ())
    assert vault.drop("config")


def test_dropping_what_is_not_there_is_said(vault: Vault) -> None:
    assert not vault.drop("a")
    vault.put("a", None, ())
    assert vault.drop("a")
    assert not vault.drop("a")


def test_entries_come_in_the_order_of_their_putting_and_may_be_dropped_meanwhile(vault: Vault) -> None:
    for key in "cab":
        vault.note(key, None)
    vault.note("c", "again")
    seen = []
    for entry in vault:
        seen.append(entry.key)
        vault.drop("b")
    assert seen == ["c", "a", "b"]
    assert len(vault) == 2
