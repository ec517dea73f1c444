from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.cli.screen.keys import ANY, DIGIT, TABLE, TEXT, Action, Asks, Does, Prompt, Quit, Redraw, There, press

ENTER, ESCAPE, BACKSPACE = "enter", "escape", "backspace"


def door(**changes: Any) -> dict[str, Any]:
    generations = [
        {"id": "v2#2", "state": "active", "streams": {"open": 3}},
        {"id": "v1#1", "state": "draining", "streams": {"open": 41}},
    ]
    there = {"name": "main", "active": "v2#2", "previous": "v1#1", "versions": ["v1", "v2", "v3"], "paused": False}
    return {**there, "swap": None, "generations": generations, **changes}


def typed(*keys: str, doors: tuple[str, ...] = ("main", "side"), prompt: Prompt | None = None, **changes: Any) -> Any:
    """What is asked after these keys, and what each of them does."""
    now, done = prompt or Prompt(door="main"), []
    for key in keys:
        now, does = press(now, key, There(doors, door(**changes)))
        if does is not None:
            done.append(does)
    return now, done


def asked(*keys: str, **changes: Any) -> Prompt:
    now, done = typed(*keys, **changes)
    assert not done
    assert isinstance(now, Prompt)
    return now


def done(*keys: str, **changes: Any) -> Action:
    """The one action that these keys lead to."""
    now, found = typed(*keys, **changes)
    assert now.asks is Asks.NOTHING
    (action,) = found
    assert isinstance(action, Action)
    return action


def test_swap_by_its_digit() -> None:
    assert asked("s").question == "swap main to:  1 v1  2 v2 (active)  3 v3  t type a name"
    assert asked("s", "3").question == (
        "Swap main to v3: a new generation of v3 is started; when it is ready, new connections go to it; "
        "the 3 open streams of v2#2 finish there."
    )
    action = done("s", "3", "y")
    assert (action.verb, action.door, action.body) == ("swap", "main", {"version": "v3", "wait": "baked"})


def test_swap_by_its_name() -> None:
    now = asked("s", "t", *"v47")
    assert (now.asks, now.typed) == (Asks.NAME, "v47")
    action = done("s", "t", *"v48", BACKSPACE, "7", ENTER, "y")
    assert action.body["version"] == "v47"


def test_without_known_versions_a_name_is_typed_at_once() -> None:
    assert done("s", *"v5", ENTER, "y", versions=[]).body["version"] == "v5"


def test_a_name_that_is_none_is_said_and_can_be_corrected() -> None:
    now = asked("s", "t", *"v 1", ENTER)
    assert "is not the name of a version" in now.notice
    assert (now.asks, now.typed) == (Asks.NAME, "v 1")
    assert done("s", "t", *"v 1", ENTER, BACKSPACE, BACKSPACE, "3", ENTER, "y").body["version"] == "v3"


def test_rollback() -> None:
    assert asked("r").question == (
        "Roll main back to v1#1: it still runs, so new connections go to it at once; "
        "the 3 open streams of v2#2 finish there."
    )
    assert done("r", "y").verb == "rollback"


def test_nothing_to_go_back_to() -> None:
    now = asked("r", previous=None)
    assert (now.asks, now.notice) == (
        Asks.NOTHING,
        "there is nothing to go back to: nothing else has served before",
    )


def test_drain_now() -> None:
    assert asked("d").question == "close the streams of v1#1: n now, or evenly over a time, such as 10m:"
    assert asked("d", "n").question == "Close the 41 open streams of v1#1 now: these clients lose their connection."
    action = done("d", "n", "y")
    assert (action.verb, action.body) == ("drain", {"version": "v1#1", "over": 0.0})


def test_drain_over_a_time() -> None:
    assert asked("d", *"10m", ENTER).question == (
        "Close the 41 open streams of v1#1 evenly over 10 m: these clients lose their connection."
    )
    assert done("d", *"10m", ENTER, "y").body == {"version": "v1#1", "over": 600.0}


def test_a_time_that_is_none() -> None:
    now = asked("d", *"soon now", ENTER)
    assert now.asks is Asks.TIME
    assert "'soon now' is not a duration" in now.notice


def test_which_of_several_draining_generations() -> None:
    several = [{"id": f"v{n}#{n}", "state": "draining", "streams": {"open": n}} for n in (2, 1)]
    assert asked("d", generations=several).question == "close the streams of:  1 v2#2  2 v1#1"
    assert done("d", "2", "n", "y", generations=several).body["version"] == "v1#1"
    assert "the open stream of v1#1 now" in asked("d", "2", "n", generations=several).question


def test_nothing_drains() -> None:
    assert asked("d", generations=[]).notice == "nothing drains: no earlier generation has open streams"


def test_pause_and_resume() -> None:
    assert done("p", "y").verb == "pause"
    assert done("p", "y", paused=True).verb == "resume"


@pytest.mark.parametrize("way", [("s", "1"), ("s", "t", "v", ENTER), ("r",), ("d", "n"), ("p",)])
@pytest.mark.parametrize("key", ["n", ESCAPE, ENTER, " ", "q", "up", "1"])
def test_only_y_is_a_yes(way: tuple[str, ...], key: str) -> None:
    assert asked(*way).asks is Asks.SURE
    now = asked(*way, key)
    assert (now.asks, now.action, now.notice) == (Asks.NOTHING, None, "nothing was changed")


def test_a_pasted_word_is_no_command() -> None:
    assert asked("paste:python3 -y") == Prompt(door="main")
    assert asked("p", "paste:y").asks is Asks.SURE
    assert asked("s", "t", "paste:2026-11-22.1\n").typed == "2026-11-22.1"


def test_other_doors() -> None:
    assert asked("tab").door == "side"
    assert asked("tab", "down").door == "main"
    assert asked("up").door == "side"
    assert asked("2").door == "side"
    assert asked("9").door == "main"
    assert asked("tab", doors=()).door == "main"


def test_help_quit_and_redraw() -> None:
    assert asked("?").asks is Asks.HELP
    assert asked("?", "x") == Prompt(door="main")
    assert [type(does) for does in typed("q")[1]] == [Quit]
    assert [type(does) for does in typed("?", "q")[1]] == [Quit]
    assert [type(does) for does in typed("ctrl-l")[1]] == [Redraw]


def test_a_door_that_is_gone_is_asked_for_nothing() -> None:
    for key in "srdp":
        now, does = press(Prompt(door="main"), key, There((), {}))
        assert (now.asks, does) == (Asks.NOTHING, None)
        assert now.notice


KEYS = [*"srdpqhtny123456789?Yx.", "paste:v1", ENTER, ESCAPE, BACKSPACE, "tab", "up", "ctrl-l", "日"]


@given(st.lists(st.sampled_from(KEYS), max_size=30), st.booleans())
def test_whatever_is_typed_nothing_is_done_without_a_yes(keys: list[str], there_is_a_door: bool) -> None:
    now: Prompt = Prompt(door="main")
    there = There(("main",), door()) if there_is_a_door else There((), {})
    for key in keys:
        before = now
        does: Does
        now, does = press(now, key, there)
        if isinstance(does, Action):
            assert (before.asks, before.action) == (Asks.SURE, does)
            assert key in ("y", "Y")


def test_every_question_has_a_way_out() -> None:
    ways = {asks: {key for where, key in TABLE if where is asks} for asks in Asks}
    assert all(keys & {ANY, ESCAPE} for asks, keys in ways.items() if asks is not Asks.NOTHING)
    assert all(key in (ANY, DIGIT, TEXT) or len(key) == 1 or key.isascii() for _, key in TABLE)
