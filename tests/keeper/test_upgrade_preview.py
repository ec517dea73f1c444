"""What a new door process may look at before its turn: puppets, as in test_upgrade."""

from __future__ import annotations

import os
from typing import Any

import pytest

from keeper.stage import Puppet, Stage, entries_of
from keeper.test_upgrade import Two
from keeper.watching import descriptors


@pytest.fixture
def two(stage: Stage, door: Puppet) -> Two:
    return Two(stage, door)


def preview(puppet: Puppet) -> dict[str, tuple[Any, list[int]]]:
    """All that it is shown."""
    shown: dict[str, tuple[Any, list[int]]] = {}
    while True:
        message = puppet.ask("preview", keys=["stream/", "pipe/"])
        if not message.body["entries"]:
            return shown
        for entry in entries_of(message):
            shown[entry.body["key"]] = entry.body["note"], entry.fds


def a_file() -> int:
    return os.memfd_create("a")


def test_a_new_one_may_look_before_it_is_its_turn_and_hears_of_what_has_changed(stage: Stage, door: Puppet) -> None:
    files = [a_file() for _ in range(4)]
    for number, file in enumerate(files[:3]):
        door.put((f"stream/{number}", {"n": number}, [file]))
    door.ask("note", key="door/main", note="not asked for")
    two = Two(stage, door)
    shown = preview(two.new)
    assert {key: note for key, (note, _) in shown.items()} == {f"stream/{number}": {"n": number} for number in range(3)}
    assert [os.fstat(fds[0]).st_ino for _, fds in shown.values()] == [os.fstat(file).st_ino for file in files[:3]]

    door.ask("drop", keys=["stream/0"])
    door.put(("stream/1", {"n": "another"}, [files[3]]))
    door.put(("stream/9", {"n": 9}, []))
    hello = two.ready(shown=True)
    door.say({"op": "yielded"})
    two.new.answer(hello)
    gone = [message.body["keys"] for message in two.new.heard if message.body["op"] == "gone"]
    assert gone == [["stream/0", "stream/1"]]
    held = {e.body["key"]: e for m in two.new.heard if m.body["op"] == "held" for e in entries_of(m)}
    assert held.keys() == {"stream/1", "stream/9", "door/main"}
    assert os.fstat(held["stream/1"].fds[0]).st_ino == os.fstat(files[3]).st_ino
    two.new.ask("served")
    for fd in (*files, *held["stream/1"].fds, *(fds[0] for _, fds in shown.values())):
        os.close(fd)


def test_one_that_has_not_kept_what_it_was_shown_gets_all(stage: Stage, door: Puppet) -> None:
    door.put(("stream/1", None, []))
    two = Two(stage, door)
    assert preview(two.new).keys() == {"stream/1"}
    assert two.hand_over().keys() == {"stream/1"}


def test_the_old_one_dies_and_the_one_that_has_looked_goes_on(stage: Stage, door: Puppet) -> None:
    door.put(("stream/1", None, []), ("stream/2", None, []))
    two = Two(stage, door)
    preview(two.new)
    hello = two.ready(shown=True)
    door.say({"op": "drop", "keys": ["stream/1"]})
    door.die()
    two.new.answer(hello)
    told = {message.body["op"]: message.body for message in two.new.heard}
    assert told["gone"]["keys"] == ["stream/1"]
    assert "held" not in told
    two.new.ask("served")


def test_nobody_else_is_shown_anything(two: Two) -> None:
    assert "preview" in two.old.ask("preview", keys=["stream/"]).body["error"]
    assert "TypeError" in two.new.ask("preview", keys=5).body["error"]
    two.hand_over()
    assert two.new.ask("preview", keys=["stream/"]).body["errno"]


def test_one_that_dies_while_it_looks(stage: Stage, door: Puppet) -> None:
    before = descriptors(stage.pid)
    door.put(*[(f"stream/{number}", None, []) for number in range(500)])
    two = Two(stage, door)
    two.new.begin("preview", keys=["stream/"])
    two.new.die()
    assert "before it was ready" in door.answer(two.asked).body["why"]
    two.goes_on()
    assert len(descriptors(stage.pid)) <= len(before) + 3, "a wire and a stderr of the one that goes on is there"
