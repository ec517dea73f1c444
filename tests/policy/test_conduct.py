import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.conduct import BOUNDS, Conduct
from frontdoor.policy.ledger import Ledger, Reason

deeds = st.lists(st.sampled_from(["stream", "failed dial", "early close", "crash", "wait"]), max_size=400)


class Life:
    """A generation as its conduct sees it: ``total`` does not count the dials that failed."""

    def __init__(self) -> None:
        self.conduct = Conduct()
        self.total = 0
        self.now = 0.0
        self.attempts: list[bool] = []
        """Each stream and each failed dial in order: whether it was a failure."""

    def do(self, deed: str) -> None:
        self.now += 1.0
        match deed:
            case "stream":
                self.total += 1
                self.attempts.append(False)
                self.conduct.dialled(0.001, self.now)
            case "failed dial":
                self.attempts.append(True)
                self.conduct.dial_failed(self.total, self.now)
            case "early close":  # of the stream that came last
                self.total += 1
                self.attempts.append(True)
                self.conduct.dialled(0.001, self.now)
                self.conduct.closed_early(self.total)
            case "crash":
                self.conduct.crashed(self.now)
            case "wait":
                self.conduct.held(self.now)


def listening(conduct: Conduct) -> list[tuple[int, int]]:
    """What it showed whenever it called: (failures, crashes)."""
    heard: list[tuple[int, int]] = []
    conduct.told = lambda: heard.append((conduct.failures, conduct.crashes))
    return heard


def test_the_time_of_dials() -> None:
    conduct = Conduct()
    assert (conduct.mean, conduct.slowest) == (0.0, 0.0)
    for seconds in (0.25, 1.5, 0.125, 0.125):
        conduct.dialled(seconds, 7.0)
    assert (conduct.dials, conduct.dial_time, conduct.mean, conduct.slowest) == (4, 2.0, 0.5, 1.5)


def test_what_is_trouble() -> None:
    def troubled(do: Callable[[Conduct], None]) -> float:
        conduct = Conduct()
        do(conduct)
        return conduct.troubled_at

    never = -math.inf
    assert troubled(lambda conduct: None) == never
    assert troubled(lambda conduct: conduct.dialled(0.249, 7.0)) == never
    assert troubled(lambda conduct: conduct.dialled(0.25, 7.0)) == 7.0
    assert troubled(lambda conduct: conduct.dial_failed(0, 7.0)) == 7.0
    assert troubled(lambda conduct: conduct.crashed(7.0)) == 7.0
    assert troubled(lambda conduct: conduct.held(7.0)) == 7.0
    assert troubled(lambda conduct: conduct.closed_early(1)) == never


def test_it_tells_of_each_failure_and_crash_when_it_has_counted_it() -> None:
    life = Life()
    heard = listening(life.conduct)
    for deed in ("stream", "failed dial", "stream", "crash", "wait", "early close", "failed dial"):
        life.do(deed)
    assert heard == [(1, 0), (1, 1), (2, 1), (3, 1)]


def test_nobody_has_to_listen() -> None:
    life = Life()
    for deed in ("failed dial", "crash", "early close"):
        life.do(deed)
    assert (life.conduct.failures, life.conduct.crashes) == (2, 1)


@given(deeds, st.integers(0, 400))
def test_what_is_recent_is_among_the_last_hundred_attempts(history: list[str], since: int) -> None:
    life = Life()
    for deed in history:
        life.do(deed)
    conduct, since = life.conduct, since % (len(life.attempts) + 1)
    assert conduct.attempts(life.total) == len(life.attempts)
    first = max(since, len(life.attempts) - 100)
    assert conduct.recent(life.total, since) == sum(life.attempts[first:])
    assert conduct.recent(life.total) == sum(life.attempts[-100:])
    assert sum(conduct.recent_kinds(life.total, since)) == conduct.recent(life.total, since)
    assert conduct.failures == sum(life.attempts)
    assert (conduct.crashes, len(conduct.crash_times)) == (history.count("crash"), min(history.count("crash"), 100))


@pytest.mark.parametrize("failure", ["failed dial", "early close"])
def test_a_failure_is_recent_until_a_hundred_more_have_come(failure: str) -> None:
    life = Life()
    for deed in ("stream", failure, *["stream"] * 99):
        life.do(deed)
    assert (life.conduct.recent(life.total), life.conduct.recent(life.total, since=2)) == (1, 0)
    life.do("stream")
    assert life.conduct.recent(life.total) == 0


def test_the_two_kinds_of_failure_are_told_apart() -> None:
    life = Life()
    for deed in ("early close", "failed dial", "stream", "early close"):
        life.do(deed)
    assert (life.conduct.failed_dials, life.conduct.early_closes) == (1, 2)
    assert life.conduct.recent_kinds(life.total) == (1, 2)
    assert life.conduct.recent_kinds(life.total, since=2) == (0, 1)


@given(deeds, deeds)
def test_another_door_process_goes_on_with_it(before: list[str], after: list[str]) -> None:
    life = Life()
    for deed in before:
        life.do(deed)
    copy = Life()
    copy.total, copy.now = life.total, life.now
    copy.conduct = Conduct.resumed(json.loads(json.dumps(life.conduct.note())))
    for deed in after:
        life.do(deed)
        copy.do(deed)
    assert copy.conduct.note() == life.conduct.note()
    assert copy.conduct.troubled_at == life.conduct.troubled_at
    assert copy.conduct.recent_kinds(copy.total) == life.conduct.recent_kinds(life.total)


def test_what_it_tells_of_is_not_told_to_those_of_the_process_before() -> None:
    conduct = Conduct()
    heard = listening(conduct)
    Conduct.resumed(conduct.note()).crashed(1.0)
    assert heard == []


def test_a_door_process_from_before_there_was_a_conduct_has_left_no_note() -> None:
    assert Conduct.resumed(None).note() == Conduct().note()


@given(st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS)))
def test_dials_are_counted_by_how_long_they_took(durations: list[float]) -> None:
    conduct = Conduct()
    for seconds in durations:
        conduct.dialled(seconds, 1.0)
    counts = [*(sum(seconds <= bound for seconds in durations) for bound in BOUNDS), len(durations)]
    assert conduct.cumulative == counts
    assert Conduct.resumed(json.loads(json.dumps(conduct.note()))).cumulative == counts


@pytest.mark.parametrize("slower", [None, [1, 2, 3]])
def test_another_frontdoor_has_counted_dials_otherwise_or_not_at_all(slower: list[int] | None) -> None:
    conduct = Conduct()
    conduct.dialled(0.3, 1.0)
    note = conduct.note()
    del note["slower"]
    if slower is not None:
        note["slower"] = slower
    assert Conduct.resumed(note).cumulative == [1] * (len(BOUNDS) + 1), "it is taken for a quick one: nobody knows"


def test_how_its_streams_have_ended_survives_and_an_older_note_has_nothing_of_it() -> None:
    conduct = Conduct()
    for reason in (Reason.CLIENT_CLOSED, Reason.DRAIN_CLOSED, Reason.CLIENT_CLOSED):
        ledger = Ledger()
        ledger.accept()
        ledger.end(reason, conduct.ended)
    note = json.loads(json.dumps(conduct.note()))
    assert Conduct.resumed(note).reasons == {"client_closed": 2, "drain_closed": 1}
    del note["ended"]
    assert Conduct.resumed(note).reasons == {}
