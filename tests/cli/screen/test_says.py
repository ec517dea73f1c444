from __future__ import annotations

from typing import Any

from frontdoor.cli.screen.says import pause_says, rollback_says, swap_says


def door(**changes: Any) -> dict[str, Any]:
    generations = [{"id": "v2#2", "state": "active", "streams": {"open": 1}}]
    return {"name": "main", "active": "v2#2", "previous": "v1#1", "generations": generations, **changes}


def test_a_swap_beside_another_says_that_it_will_be_refused() -> None:
    said = swap_says(door(swap={"number": 3, "from": "v2#2", "to": "v3#3"}), "v4")
    assert said.endswith(
        "the open stream of v2#2 finishes there. A swap to v3#3 is under way: this one will be refused."
    )


def test_a_swap_to_a_generation_is_one_to_its_version() -> None:
    assert swap_says(door(generations=[]), "v1#7") == (
        "Swap main to v1: a new generation of v1 is started; when it is ready, new connections go to it."
    )


def test_a_rollback_to_what_has_stopped_starts_it_again() -> None:
    assert rollback_says(door()) == (
        "Roll main back to v1: v1#1 has stopped, so a new generation is started; when it is ready, "
        "new connections go to it; the open stream of v2#2 finishes there."
    )


def test_a_rollback_during_a_swap_ends_that() -> None:
    swap = {"number": 3, "from": "v2#2", "to": "v3#3"}
    assert rollback_says(door(swap=swap)) == "End swap 3 of main: v3#3 is stopped, v2#2 gets all new connections."
    assert rollback_says(door(swap={**swap, "bake_left_s": 5.0}, protocol="http")) == (
        "End the probation of v3#3: new requests go back to v2#2 at once; the open stream of v2#2 finishes there."
    )


def test_a_pause_says_who_waits() -> None:
    assert pause_says(door()) == (
        "Pause main: nobody is let in; new clients wait and are not refused, open streams go on."
    )
    assert "requests on open connections wait" in pause_says(door(protocol="http"))
    assert pause_says(door(paused=True)).startswith("Resume main: clients are let in again")
