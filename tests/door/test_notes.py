import json

import pytest

from frontdoor.door.notes import DoorNote, DrainNote, GenerationNote, SwapNote, Unreadable


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
    assert DoorNote.decode(data) == old
