from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from frontdoor.cli.screen.model import EVENTS, Model
from frontdoor.cli.screen.series import STEP

BEGAN = 1_790_000_000.0  # even, so that a step begins with it


def moment(after: float) -> str:
    return datetime.fromtimestamp(BEGAN + after, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def generation(id_: str, open_: int = 0, up: int = 0, down: int = 0, state: str = "active") -> dict[str, Any]:
    streams = {"open": open_, "total": open_}
    return {"id": id_, "state": state, "streams": streams, "bytes": {"up": up, "down": down}}


def state(
    after: float, *generations: dict[str, Any], accepted: int = 0, door: str = "main", **more: Any
) -> dict[str, Any]:
    doors = [{"name": door, "streams": {"accepted": accepted}, "generations": list(generations)}]
    return {"event": "live.state", "time": moment(after), "status": {"doors": doors}, **more}


def event(seq: int, name: str = "paused", **fields: Any) -> dict[str, Any]:
    return {"event": name, "time": moment(seq), "seq": seq, **fields}


def past(*events: dict[str, Any], samples: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"event": "live.past", "time": moment(0), "samples": samples or [], "events": list(events)}


def told(*lines: dict[str, Any]) -> Model:
    model = Model()
    for line in lines:
        model.take(line)
    return model


def test_rates_are_differences_of_two_states() -> None:
    model = told(
        state(0, generation("v1#1", up=1000, down=5000), accepted=100),
        state(1, generation("v1#1", up=3000, down=5500), accepted=112),
    )
    rates = model.past("main").rates()
    assert rates is not None
    assert (rates.new, rates.up, rates.down) == (12, 2000, 500)


def test_with_one_state_there_is_no_rate() -> None:
    assert told(state(0, accepted=100)).past("main").rates() is None


def test_a_state_soon_after_an_event_makes_no_wild_rate() -> None:
    model = told(state(0, accepted=100), state(1, accepted=110), state(1.05, accepted=112))
    rates = model.past("main").rates()
    assert rates is not None
    assert rates.new == pytest.approx(12 / 1.05)


def test_a_new_generation_counts_whole_and_one_that_is_gone_takes_nothing_back() -> None:
    model = told(
        state(0, generation("v1#1", down=5000)),
        state(1, generation("v2#2", down=300), generation("v1#1", down=5100, state="draining")),
        state(2, generation("v2#2", down=400)),
    )
    rates = model.past("main").rates()
    assert rates is not None
    assert rates.down == 100
    assert model.past("main").moved == (0, 500)


def test_a_counter_that_begins_again_makes_no_rate() -> None:
    model = told(state(0, accepted=100), state(1, accepted=0))
    assert model.past("main").rates() is None
    model.take(state(2, accepted=5))
    rates = model.past("main").rates()
    assert rates is not None
    assert rates.new == 5


def test_the_past_is_there_from_the_first_look_on() -> None:
    samples = [
        {"time": moment(-6), "doors": {"main": {"accepted": 10, "open": {"v1#1": 4}}}},
        {"time": moment(-2), "doors": {"main": {"accepted": 30, "open": {"v1#1": 7, "v2#2": 1}}}},
    ]
    model = told(past(samples=samples), state(0, generation("v2#2", 5), generation("v1#1", 3), accepted=34))
    there = model.past("main")
    assert there.open["v1#1"].levels(9) == [4, 4, 7, 3]
    assert there.open["v2#2"].levels(9) == [1, 5]
    assert there.accepted.rates(9) == [0, 20 / STEP]


def test_what_was_a_generation_once_is_forgotten() -> None:
    model = told(state(0, generation("v1#1", 4)), state(2, generation("v2#2", 4)))
    assert list(model.past("main").open) == ["v2#2"]


def test_a_door_that_a_reload_takes_away_is_gone() -> None:
    model = told(state(0, door="side"), state(1, door="main"))
    assert model.names == ["main"]
    assert model.door("side") == {}
    assert model.past("side").rates() is None


def test_after_a_reconnection_nothing_is_there_twice() -> None:
    model = told(past(event(1), event(2)), event(3), past(event(2), event(3), event(4)))
    assert [each["seq"] for each in model.events] == [1, 2, 3, 4]


def test_a_storm_of_events_is_bounded() -> None:
    model = told(past(), *(event(seq) for seq in range(10 * EVENTS)))
    assert len(model.events) == EVENTS
    assert model.events_of("main")[0]["seq"] == 10 * EVENTS - 1


def test_events_of_a_door_and_of_all_doors() -> None:
    model = told(past(event(1, door="main"), event(2, door="side"), event(3, "upgrade.started")))
    assert [each["seq"] for each in model.events_of("main")] == [3, 1]


def test_what_holds_a_drain() -> None:
    held = [{"client": "10.0.0.1:5", "age_s": 60.0}]
    model = told(state(0, holds={"main": {"v1#1": held}}, lag_ms=0.4, log={"dropped": 7}))
    assert model.held("main", "v1#1") == held
    assert model.held("main", "v2#2") == model.held("side", "v1#1") == []
    assert (model.lag_ms, model.dropped) == (0.4, 7)


def drained(*open_: int) -> float | None:
    model = told(
        *(state(STEP * n, generation("v1#1", left, state="draining")) for n, left in enumerate(open_)),
    )
    return model.past("main").empty_in("v1#1")


def test_the_end_of_a_drain_is_estimated_from_how_it_went_since_its_height() -> None:
    assert drained(10, 100, 80, 60) == 60 / (40 / (2 * STEP))


def test_too_little_has_ended_to_tell() -> None:
    assert drained(100, 100, 99) is None
    assert drained(10, 50, 100) is None
    assert drained(3, 3, 3) is None


def test_of_few_streams_few_tell() -> None:
    assert drained(4, 2) == STEP


def test_a_drain_that_is_over_has_no_end_to_estimate() -> None:
    assert drained(4, 0) is None
    assert Model().past("main").empty_in("v1#1") is None


def test_what_a_frontdoor_of_another_version_leaves_out_is_no_mistake() -> None:
    model = told({"event": "live.past"}, {"event": "live.state"}, {"event": "live.state", "holds": None}, {"new": 1})
    assert (model.names, list(model.events)) == ([], [])
