"""What is counted from the events, as the bus publishes them."""

import pytest

from frontdoor.control.events import VOCABULARY, Bus
from frontdoor.observe.metrics.meters import DoorMeters, Meters


class Told:
    """A bus with meters, and a clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bus = Bus()
        self.meters = Meters(clock=lambda: self.now)
        self.bus.subscribe(self.meters.take)

    def say(self, event: str, after: float = 0.0, **fields: object) -> None:
        """It happens so many seconds later."""
        self.now += after
        self.bus.publish(event, **{"door": "main", **fields})

    @property
    def main(self) -> DoorMeters:
        return self.meters.door("main")

    @property
    def swaps(self) -> dict[str, int]:
        return {outcome: self.main.count(outcome) for outcome in self.main.swaps if self.main.count(outcome)}


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ("swap.settled", "switched"),
        ("swap.failed", "failed"),
        ("swap.vetoed", "vetoed"),
        ("swap.aborted", "aborted"),
        ("swap.rolled_back", "rolled_back"),
    ],
)
def test_a_swap_has_one_outcome_and_the_time_that_it_took(told: Told, event: str, outcome: str) -> None:
    told.say("swap.started", swap=1)
    told.say("backend.ready", after=0.5, swap=1, after_s=0.4)
    told.say(event, after=1.5, swap=1)
    assert told.swaps == {outcome: 1}
    assert told.main.swaps[outcome].sum == 2.0
    assert told.main.ready.sum == 0.4


def test_one_that_is_taken_back_in_its_probation_has_switched_and_that_is_not_its_outcome(told: Told) -> None:
    told.say("swap.started", swap=1)
    told.say("swap.switched", after=1, swap=1)
    told.say("swap.rolled_back", after=9, swap=1, reason="it crashed")
    assert told.swaps == {"rolled_back": 1}
    assert told.main.swaps["rolled_back"].sum == 10.0


def test_a_rollback_that_was_asked_for_is_a_swap_that_has_switched(told: Told) -> None:
    told.say("swap.started", swap=2, rollback=True)
    told.say("swap.switched", swap=2)
    told.say("swap.rolled_back", swap=2)
    told.say("swap.settled", after=0.25, swap=2)
    assert told.swaps == {"switched": 1}
    assert told.main.swaps["switched"].sum == 0.25


def test_one_that_an_earlier_door_process_had_begun_counts_and_has_no_time(told: Told) -> None:
    told.say("swap.settled", swap=7)
    assert told.swaps == {"switched": 1}
    assert told.main.swaps["switched"].count == 0


def test_a_first_generation_that_fails_is_no_swap(told: Told) -> None:
    told.say("swap.failed", reason="exit code 1")
    assert told.swaps == {}


@pytest.mark.parametrize("event", sorted(VOCABULARY))
def test_no_event_is_too_much_for_it(told: Told, event: str) -> None:
    """Whoever publishes is in the midst of something, and is not to be held up by a field that is not there."""
    told.say(event)
    told.say(event, swap=1)
    told.bus.publish(event)


def test_one_that_never_said_how_it_ended_is_not_taken_for_the_next(told: Told) -> None:
    told.say("swap.started", swap=1)
    told.say("swap.started", after=100, swap=2)
    told.say("swap.settled", after=1, swap=2)
    assert told.main.swaps["switched"].sum == 1.0


def test_each_door_has_its_own(told: Told) -> None:
    told.say("limit.reached", limit="connections", open=3)
    told.say("limit.reached", door="other", limit="descriptors", open=3)
    told.say("hook.failed", hook="ready", reason="exit code 1")
    assert dict(told.main.limits) == {"connections": 1}
    assert dict(told.meters.door("other").limits) == {"descriptors": 1}
    assert (told.main.hook_failures, told.meters.door("other").hook_failures) == (1, 0)


def test_reloads_and_upgrades_are_of_no_door() -> None:
    told = Told()
    for event in ("config.reloaded", "config.refused", "config.refused", "upgrade.started", "upgrade.failed"):
        told.bus.publish(event)
    assert told.meters.reloads == {"applied": 1, "refused": 2}
    assert told.meters.upgrades == {"failed": 1}


def test_a_count_does_not_fall(told: Told) -> None:
    meters = told.meters
    assert [meters.most("main", "v1#1", count) for count in (3, 2, 3, 4)] == [3, 3, 3, 4]
    assert meters.most("main", "v2#2", 1) == 1


def test_what_is_gone_is_forgotten(told: Told) -> None:
    told.say("hook.failed", hook="ready", reason="exit code 1")
    told.say("hook.failed", door="other", hook="ready", reason="exit code 1")
    for generation in ("v1#1", "v2#2"):
        told.meters.most("main", generation, 9)
    told.meters.keep(["main"], [("main", "v2#2")])
    assert (told.main.hook_failures, told.meters.door("other").hook_failures) == (1, 0)
    assert [told.meters.most("main", generation, 1) for generation in ("v1#1", "v2#2")] == [1, 9]
