import json

import pytest

from frontdoor.door.notes import DoorNote, GenerationNote, SwapNote


def test_a_note_comes_back_from_the_keeper_as_it_went() -> None:
    note = DoorNote(
        next_generation=8,
        next_swap=5,
        active=7,
        generations=[
            GenerationNote("v1", 6, "draining", 1.5, 10, 20, 30),
            GenerationNote("v2", 7, "active", 2, 1, 2, 3),
        ],
        swap=SwapNote(
            4, switched=True, message="v2#7 is active", outcomes={"switched": {"exit_code": 0}, "baked": None}
        ),
    )
    assert DoorNote.decode(json.loads(json.dumps(note.encode()))) == note
    assert DoorNote.decode(json.loads(json.dumps(DoorNote().encode()))) == DoorNote()


@pytest.mark.parametrize("foreign", [{}, {"next_generation": 1}, {**DoorNote().encode(), "generations": [{"x": 1}]}])
def test_a_foreign_note_is_not_taken_for_one(foreign: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        DoorNote.decode(foreign)
