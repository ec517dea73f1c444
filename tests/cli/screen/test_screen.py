from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from control.fakedoor import status
from frontdoor.cli.screen.actions import Deed
from frontdoor.cli.screen.keys import Action, Asks, Prompt
from frontdoor.cli.screen.marks import ASCII, BLOCKS, Marks
from frontdoor.cli.screen.model import Model
from frontdoor.cli.screen.screen import Look, draw
from frontdoor.control.wording import clock

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
MAIN = Prompt(door="main")


def stream(client: str, **changes: Any) -> dict[str, Any]:
    return {"client": client, "age_s": 3600.0, "idle_s": 0.5, "bytes": {"up": 100, "down": 5_000_000}, **changes}


def known(doors: tuple[str, ...] = ("main",), held: int = 3, **changes: Any) -> Model:
    """A swap has been: v2#2 has 3 streams, v1#1 drains 6 that it has of 30."""
    now = status(doors, 4711)
    now["doors"] = [copy.deepcopy(door) for door in now["doors"]]
    for door in now["doors"]:
        door |= changes
        door["generations"][1]["drain"] = {"closed": 2, "closes_from_s": 2940.0, "deadline_s": 3540.0}
    model = Model()
    events = [
        {
            "event": "swap.switched",
            "time": "2026-11-22T09:00:00Z",
            "seq": 4,
            "door": "main",
            "from": "v1#1",
            "to": "v2#2",
        }
    ]
    samples = [
        {"time": f"2026-11-22T09:{n:02}:00Z", "doors": {"main": {"accepted": 100 + n, "open": {"v1#1": 36 - n}}}}
        for n in range(30)
    ]
    model.take({"event": "live.past", "time": "2026-11-22T09:29:00Z", "samples": samples, "events": events})
    for second in range(3):
        later = copy.deepcopy(now)
        for door in later["doors"]:
            door["streams"]["accepted"] += 12 * second
        model.take(
            {
                "event": "live.state",
                "time": f"2026-11-22T09:30:{second:02}Z",
                "status": later,
                "holds": {"main": {"v1#1": [stream(f"127.0.0.1:{50000 + n}") for n in range(held)]}},
                "lag_ms": 0.4,
                "log": {"dropped": 0},
            }
        )
    return model


def screen(model: Model, width: int = 80, height: int = 24, **look: Any) -> list[str]:
    """The rows, as text."""
    lines = draw(model, Look(**{"prompt": MAIN, "now": NOW, **look}), width, height)
    fits(lines, width, height)
    return [line.plain.rstrip() for line in lines]


def fits(lines: list[Text], width: int, height: int) -> None:
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines), [line.plain for line in lines]
    assert all(line.plain.isprintable() for line in lines), [line.plain for line in lines]


def test_on_80_by_24() -> None:
    rows = screen(known())
    assert rows[0] == "frontdoor 0.1.0  up 12 s  loop 0.4 ms late"
    assert rows[1] == "main: v2#2 is active  9 open, 144 accepted  on 127.0.0.1:8080"
    assert rows[2].startswith("new        12.0/s ")
    assert rows[3].split() == ["up", "0", "B/s", "down", "0", "B/s"]
    assert rows[4].startswith("GENERATIONS")
    assert rows[5].startswith("v2#2 active   ██")
    assert rows[6].startswith("v1#1 draining ██")
    assert rows[7:9] == [
        "v1#1 drains: 6 streams left, 2 closed, closing begins in 49 m, all are closed in",
        "59 m",
    ]
    assert rows[9] == "WHAT HOLDS v1#1  the 3 oldest of 6"
    assert rows[10].split() == ["CLIENT", "IDLE", "AGE", "DOWN", "UP"]
    assert rows[11].split() == ["127.0.0.1:50000", "0.5", "s", "1", "h", "4.8", "MiB", "100", "B"]
    assert rows[14] == "EVENTS"
    assert "swap.switched v1#1 → v2#2" in rows[15]
    assert rows[-1] == "s swap  r rollback  d drain  p pause  ? help  q quit"


def bars(model: Model) -> list[int]:
    """How long they are on 80 columns, with none of the sparkline beside them."""
    return [row[14:52].count("█") for row in screen(model)[5:7]]


def test_all_bars_have_the_scale_of_what_was_the_most_in_the_last_minutes() -> None:
    model = known()
    assert max(model.past("main").open["v1#1"].levels(60)) == 8
    assert bars(model) == [38 * 3 // 8, 38 * 6 // 8]
    model.past("main").open["v1#1"].put(1_795_000_000, 6)  # much later: its height is out of sight
    assert bars(model) == [19, 38]


def test_on_40_by_10() -> None:
    assert screen(known(), 40, 10) == [
        "frontdoor 0.1.0  up 12 s  loop 0.4 ms la",
        "main: v2#2 is active  9 open, 144 accept",
        "new 12.0/s                             █",
        "GENERATIONS",
        "v2#2 active   █████████▌               3",
        "v1#1 draining ███████████████████      6",
        "v1#1 drains: 6 streams left, 2 closed,",
        "EVENTS",
        clock("2026-11-22T09:00:00Z") + " swap.switched v1#1 → v2#2",
        "s r d p  ?  q quit",
    ]


def test_on_20_by_5() -> None:
    assert screen(known(), 20, 5) == [
        "frontdoor 0.1.0  up",
        "main: v2#2 is active",
        "v2#2 ████          3",
        "v1#1 ████████      6",
        "s r d p  ?  q quit",
    ]


def test_a_question_is_asked_above_its_answers() -> None:
    says = "Swap main to v3: a new generation of v3 is started; when it is ready, new connections go to it."
    action = Action("swap", "main", {}, "swap main to v3")
    prompt = Prompt(door="main", asks=Asks.SURE, action=action, question=says)
    assert screen(known(), prompt=prompt)[-3:] == [
        "Swap main to v3: a new generation of v3 is started; when it is ready, new",
        "connections go to it.",
        "y: do it; any other key: do not",
    ]
    assert " ".join(screen(known(), 40, 10, prompt=prompt)[-4:-1]) == says
    # Where it has no room, that which is done is said at least.
    assert screen(known(), 20, 5, prompt=prompt)[-3:] == ["swap main to v3", "y: do it; any other", "key: do not"]


def test_what_is_typed_is_shown() -> None:
    prompt = Prompt(door="main", asks=Asks.NAME, question="swap main to:", typed="v4", notice="no such thing")
    assert screen(known(), prompt=prompt)[-3:] == ["no such thing", "swap main to: v4_", "Enter; Esc: do not"]


def test_what_was_asked_for_is_shown_as_it_goes_and_as_it_ended() -> None:
    deed = Deed(Action("swap", "main", {}, "swap main to v3"))
    deed.said.extend(["swap 3: v2#2 → v3#3", "v3#3 starting (pid 99)"])
    rows = screen(known(), deeds=[deed])
    assert "swap main to v3: under way: v3#3 starting (pid 99)" in rows
    assert "  swap 3: v2#2 → v3#3" in rows
    deed.message, deed.output, deed.exit_code = "v3#3 exited; v2#2 still serves", ("\x1b[2Jboom",), 4
    rows = screen(known(), deeds=[deed])
    assert "swap main to v3: not ready (exit code 4): v3#3 exited; v2#2 still serves" in rows
    assert "    \\x1b[2Jboom" in rows
    assert screen(known(), 40, 10, deeds=[deed])[-3:-1] == [
        "swap main to v3: not ready (exit code",
        "4): v3#3 exited; v2#2 still serves",
    ]


def test_several_doors_and_which_is_shown() -> None:
    doors = tuple(f"door{n}" for n in range(1, 12))
    rows = screen(known(doors), prompt=Prompt(door="door9"))
    assert any(row.startswith("▸9 door9       9 open   12.0/s  v2#2") for row in rows)
    assert rows[-1].startswith("s swap  r rollback  d drain  p pause  tab door")
    assert any("▸9 door9" in row for row in screen(known(doors), 40, 10, prompt=Prompt(door="door9")))


def test_what_is_not_as_on_other_days() -> None:
    swap = {"number": 3, "phase": "probing", "from": "v2#2", "to": "v3#3", "elapsed_s": 0.84}
    rows = screen(known(paused=True, swap=swap, trouble="v9#9 crashes\nagain"))
    assert rows[1].startswith("main: v2#2 is active, paused, swap to v3#3")
    assert "swap 3 under way: v2#2 → v3#3, probing for 0.8 s" in rows
    assert "v9#9 crashes" in rows
    assert "p resume" in rows[-1]


def test_a_connection_that_broke_is_said() -> None:
    assert screen(known(), news="the connection broke")[1] == "the connection broke"
    assert "the connection broke" in screen(known(), 20, 5, news="the connection broke")


def test_before_the_first_state() -> None:
    assert screen(Model())[0] == "waiting for the first state"


def test_requests_are_shown_where_there_are_any() -> None:
    model = known()
    model.holds = {"main": {"v1#1": [stream("10.0.0.1:5", request="GET /news\x1b[2J")]}}
    rows = screen(model, 120, 30)
    assert any(row.endswith("GET /news\\x1b[2J") for row in rows)


def test_without_blocks_there_are_other_marks() -> None:
    rows = screen(known(), marks=ASCII)
    assert rows[5].startswith("v2#2 active   ##")
    assert not any(char in "".join(rows) for char in BLOCKS.full + BLOCKS.parts + BLOCKS.heights)


def test_help() -> None:
    rows = screen(known(), prompt=Prompt(door="main", asks=Asks.HELP))
    assert "r  roll back; ends a swap or a canary that is under way" in rows


HOSTILE = st.one_of(
    st.text(max_size=80),
    st.text("日本語テキスト😀👩‍👩‍👧‍👦é\u0301\u200d\ufe0f", max_size=40),
    st.sampled_from(["\x1b[2J\x1b[H", "a\nb\r\tc", "\x9b31m", "\u202edrow", "x" * 500, "\ud800", ""]),
)
NUMBERS = st.one_of(st.integers(0, 10**15), st.floats(0, 1e15))
ASKS = st.builds(
    Prompt,
    door=st.one_of(st.just("main"), HOSTILE),
    asks=st.sampled_from(Asks),
    question=HOSTILE,
    typed=HOSTILE,
    notice=HOSTILE,
    action=st.one_of(st.none(), st.builds(Action, st.just("swap"), HOSTILE, st.just({}), HOSTILE)),
)


@st.composite
def hostile(draw_: Any) -> Model:
    """A frontdoor in which every word is somebody's who means no good, and every number is large."""
    names = draw_(st.lists(HOSTILE, max_size=3))
    model = Model()
    for _ in range(draw_(st.integers(1, 3))):
        model.take({"event": draw_(HOSTILE), "time": draw_(HOSTILE), "door": "main", "reason": draw_(HOSTILE)})
    doors = []
    holds: dict[str, Any] = {}
    for name in ["main", *names]:
        generations = []
        for number in range(draw_(st.integers(0, 4))):
            id_ = draw_(HOSTILE)
            count = draw_(st.integers(0, 10**12))
            generations.append(
                {
                    "id": id_,
                    "generation": number,
                    "state": draw_(st.sampled_from(["active", "draining", "warm", "failed", "new"])),
                    "streams": {"open": count, "total": count},
                    "bytes": {"up": count, "down": count},
                    "reason": draw_(HOSTILE),
                    "drain": draw_(st.one_of(st.none(), st.just({"closed": 1, "deadline_s": 5.0, "waits": "\x1b[2J"}))),
                }
            )
            age, idle = draw_(NUMBERS), draw_(NUMBERS)
            held = stream(draw_(HOSTILE), age_s=age, idle_s=idle, request=draw_(HOSTILE))
            holds.setdefault(name, {})[id_] = [held] * draw_(st.integers(0, 4))
        doors.append(
            {
                "name": name,
                "listen": [draw_(HOSTILE)],
                "active": draw_(HOSTILE),
                "streams": {"open": draw_(st.integers(0, 10**15)), "accepted": draw_(st.integers(0, 10**15))},
                "generations": generations,
                "trouble": draw_(HOSTILE),
            }
        )
    for time in ("2026-11-22T09:00:00Z", "2026-11-22T09:00:01Z"):
        model.take({"event": "live.state", "time": time, "status": {"doors": doors}, "holds": holds, "lag_ms": 1e9})
    return model


@settings(max_examples=300)
@given(
    hostile(),
    st.integers(0, 140),
    st.integers(0, 50),
    ASKS,
    HOSTILE,
    st.lists(HOSTILE, max_size=4),
    st.sampled_from([BLOCKS, ASCII]),
)
def test_whatever_is_shown_it_never_leaves_its_place(
    model: Model, width: int, height: int, prompt: Prompt, news: str, said: list[str], marks: Marks
) -> None:
    deed = Deed(Action("swap", "main", {}, "\n".join(said)), message="\n".join(said), output=said)
    deed.said.extend(said)
    look = Look(prompt=prompt, deeds=[deed, deed], news=news, marks=marks, now=NOW)
    lines = draw(model, look, width, height)
    fits(lines, width, height if width else 0)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (5, 3), (10, 1), (1, 50), (500, 200)])
def test_odd_sizes(width: int, height: int) -> None:
    for asks in Asks:
        screen(known(), width, height, prompt=Prompt(door="main", asks=asks, question="a question", notice="so"))
