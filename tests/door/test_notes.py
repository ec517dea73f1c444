import json
import math
from typing import Any

import pytest

from frontdoor.door.notes import (
    DoorNote,
    DrainNote,
    GenerationNote,
    HistoryNote,
    PastNote,
    SwapNote,
    TrialNote,
    Unreadable,
)
from frontdoor.policy.canary import Plan, Walk
from frontdoor.policy.conduct import Conduct
from frontdoor.policy.generation import Generation
from frontdoor.policy.history import History, Past
from frontdoor.policy.probation import Probation, Rules
from frontdoor.traffic.gate import Maintenance


def test_a_note_comes_back_from_the_keeper_as_it_went() -> None:
    note = DoorNote(
        next_generation=8,
        next_swap=5,
        active=7,
        generations=[
            GenerationNote("v1", 6, "draining", 1.5, 10, 20, 30, 4, DrainNote(12.5, None, 3, swap=4)),
            GenerationNote("v2", 7, "active", 2, 1, 2, 3),
        ],
        swap=SwapNote(
            4,
            switched=True,
            message="v2#7 is active",
            outcomes={"switched": {"exit_code": 0}, "baked": None},
            old="v1#6",
            target="v2#7",
        ),
        maintenance=Maintenance("Back at 5", 120, 1_700_000_000.5),
    )
    assert DoorNote.decode(json.loads(json.dumps(note.encode()))) == note
    assert DoorNote.decode(json.loads(json.dumps(DoorNote().encode()))) == DoorNote()


@pytest.mark.parametrize("foreign", [{}, {"next_generation": 1}, {**DoorNote().encode(), "generations": [{"x": 1}]}])
def test_a_foreign_note_is_not_taken_for_one(foreign: dict[str, object]) -> None:
    with pytest.raises(Unreadable):
        DoorNote.decode(foreign)


def test_a_note_of_an_older_frontdoor_says_less() -> None:
    old = DoorNote(generations=[GenerationNote("v1", 6, "draining", 1.5, 10, 20, 30)], swap=SwapNote(1, True, "", {}))
    data = old.encode()
    del data["generations"][0]["open"], data["generations"][0]["drain"], data["swap"]["old"], data["swap"]["target"]
    del data["maintenance"]
    assert DoorNote.decode(data) == old


def told(note: DoorNote) -> DoorNote:
    """As the keeper gives it back."""
    return DoorNote.decode(json.loads(json.dumps(note.encode(), allow_nan=False)))


def watched() -> DoorNote:
    """A door that is paused for a time, in the middle of a canary: everything that a note can say."""
    conduct = Conduct()
    conduct.dialled(0.3, 100.0)
    conduct.dial_failed(4, 101.0)
    conduct.closed_early(5)
    conduct.crashed(102.0)
    old, new = Generation("v1", 6, 0.0), Generation("v2", 7, 0.0)
    walk = Walk(Plan.parse(["5%", "100%"], 300.0, "address"), 100.0)
    probation = Probation(new, old, Rules(), 100.0, math.inf)
    drain = DrainNote(12.5, 20.0, 3, swap=4, notified=True, at_once=True)
    return DoorNote(
        next_generation=8,
        next_swap=6,
        active=6,
        generations=[
            GenerationNote("v0", 5, "draining", 1.5, 10, 20, 30, 4, drain, Conduct().note(), "it crashed"),
            GenerationNote("v2", 7, "ready", 2.0, 5, 2, 3, 0, None, conduct.note()),
        ],
        swap=SwapNote(
            5,
            switched=False,
            message="v2#7 gets 5% of the new streams",
            outcomes={"shared": {"exit_code": 0}, "switched": None},
            old="v1#6",
            target="v2#7",
            trial=TrialNote(walk.note(), probation.note(), [[10, 1, 2, 3], [20, 4, 5, 6]]),
            before=HistoryNote(PastNote("v0", 5), "v0"),
        ),
        previous=PastNote("v0", None),
        earlier="v0",
        paused=True,
        paused_until=130.25,
    )


def test_what_is_being_watched_comes_back_from_the_keeper_as_it_went() -> None:
    assert told(watched()) == watched()


def test_what_comes_back_can_be_gone_on_with() -> None:
    note = told(watched())
    assert note.swap is not None
    assert note.swap.trial is not None
    assert note.swap.before is not None
    assert note.swap.before.history() == History(Past("v0", 5), "v0")
    assert note.swap.trial.walk is not None
    assert note.swap.trial.probation is not None
    walk = Walk.resumed(note.swap.trial.walk)
    assert (walk.share, walk.next_at, walk.plan.by) == (500, 400.0, "address")
    old, new = Generation("v1", 6, 0.0), Generation("v2", 7, 0.0)
    assert Probation.resumed(new, old, Rules(), note.swap.trial.probation).until == math.inf
    conduct = Conduct.resumed(note.generations[1].conduct)
    assert (conduct.failed_dials, conduct.early_closes, conduct.crashes, conduct.slowest) == (1, 1, 1, 0.3)
    assert conduct.troubled_at == 102


@pytest.mark.parametrize("history", [History(), History(Past("v1", 3), "v1"), History(Past("v1", None), None)])
def test_where_a_rollback_leads_comes_back_as_it_was(history: History) -> None:
    swap = SwapNote(1, True, "", {}, before=HistoryNote.of(history))
    back = told(DoorNote(swap=swap)).swap
    assert back is not None
    assert back.before is not None
    assert back.before.history() == history


def test_after_the_switch_there_is_no_canary_any_more() -> None:
    trial = TrialNote(None, {"until": 130.0}, [])
    back = told(DoorNote(swap=SwapNote(1, True, "", {}, trial=trial))).swap
    assert back is not None
    assert back.trial == trial


NEW: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
    ((), ("paused_until",)),
    (("swap",), ("trial", "before")),
    (("generations", 0), ("conduct", "problem")),
    (("generations", 0, "drain"), ("notified", "at_once")),
]
"""What the frontdoor before this one did not know, by its place."""


def test_a_note_of_the_frontdoor_before_knows_of_no_trial() -> None:
    data: Any = DoorNote(
        generations=[GenerationNote("v1", 6, "draining", 1.5, 10, 20, 30, 1, DrainNote(1.0, 2.0, 0, 4))],
        swap=SwapNote(4, True, "v2#7 is active", {"switched": {"exit_code": 0}}, "v1#6", "v2#7"),
        paused=True,
    ).encode()
    for place, names in NEW:
        inner = data
        for step in place:
            inner = inner[step]
        for name in names:
            del inner[name]
    note = DoorNote.decode(json.loads(json.dumps(data)))
    assert (note.paused, note.paused_until) == (True, None), "it lasts until somebody says resume"
    assert note.swap is not None
    assert (note.swap.trial, note.swap.before) == (None, None)
    (generation,) = note.generations
    assert (generation.problem, Conduct.resumed(generation.conduct).crashes) == ("", 0)
    assert generation.drain is not None
    assert (generation.drain.notified, generation.drain.at_once) == (False, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trial": {"walk": None}},
        {"trial": {"walk": None, "probation": None, "at_second": []}},
        {"before": {"previous": {"version": "v1"}, "earlier": None}},
        {"before": {}},
    ],
)
def test_a_foreign_trial_is_not_taken_for_one(wrong: dict[str, Any]) -> None:
    data = watched().encode()
    data["swap"] |= wrong
    with pytest.raises(Unreadable):
        DoorNote.decode(data)
