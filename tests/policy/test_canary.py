import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.policy.canary import Plan, Walk
from frontdoor.policy.share import WHOLE, show_share

UP = Plan.parse(["5%", "25%", "100%"], every=300.0)

rising = st.sets(st.integers(0, WHOLE), min_size=2, max_size=6).map(sorted)
plans = st.builds(Plan, rising.map(tuple), st.floats(0.1, 1e6), st.sampled_from(["stream", "address"]))


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_as_it_is_written() -> None:
    assert Plan.parse(["5%"]) == Plan((500,), None, "stream")
    assert Plan.parse(["5%", "25%", "100%"], 300.0, "address") == Plan((500, 2_500, WHOLE), 300.0, "address")
    assert Plan.parse(["0%", "0.01%"], 0.5).steps == (0, 1)


def test_a_plan_is_complete_if_it_comes_to_all_streams_by_itself() -> None:
    plans = [["5%"], ["5%", "99.99%"], ["5%", "100%"], ["100%"]]
    assert [Plan.parse(steps, 1.0 if len(steps) > 1 else None).complete for steps in plans] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("steps", "every", "by", "what"),
    [
        ([], None, "stream", "needs a share of the new streams"),
        (["5"], None, "stream", '"5" is no share'),
        (["5%", "120%"], 60.0, "stream", "too large"),
        (["5%", "25%", "10%"], 60.0, "stream", "the steps must rise: 10% does not come after 25%"),
        (["5%", "5.00%"], 60.0, "stream", "the steps must rise: 5% does not come after 5%"),
        (["5%", "25%"], None, "stream", "several steps need the time that each of them lasts"),
        (["5%"], 60.0, "stream", "needs several of them"),
        (["5%", "25%"], 0.0, "stream", "must be more than 0s"),
        (["5%", "25%"], -1.0, "stream", "must be more than 0s"),
        (["5%", "25%"], math.inf, "stream", "must have an end"),
        (["5%", "25%"], math.nan, "stream", "must be more than 0s"),
        (["5%"], None, "cookie", 'by "stream" or by "address", not by "cookie"'),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_why(
    steps: Sequence[str], every: float | None, by: str, what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        Plan.parse(steps, every, by)


# -- the walk ---------------------------------------------------------------------------------------------------------


def test_a_canary_walks_up_to_all_streams() -> None:
    walk = Walk(UP, 1_000.0)
    assert (walk.share, walk.next_at, repr(walk)) == (500, 1_300.0, "<Walk at 5%, 2 steps to go>")
    assert walk.look(1_299.9) is None
    assert walk.look(1_300.0) == 2_500
    assert (walk.share, walk.next_at) == (2_500, 1_600.0)
    assert walk.look(1_300.0) is None  # it has just been told
    assert walk.look(1_600.0) == WHOLE
    assert (walk.share, walk.next_at) == (WHOLE, math.inf)
    assert walk.look(1_600.0) == WHOLE  # until it has been promoted


def test_a_canary_with_one_share_waits_for_somebody() -> None:
    walk = Walk(Plan.parse(["5%"]), 1_000.0)
    assert (walk.share, walk.next_at) == (500, math.inf)
    assert walk.look(1e12) is None


def test_on_a_last_step_that_is_not_all_streams_it_stays() -> None:
    walk = Walk(Plan.parse(["5%", "25%"], 60.0), 0.0)
    assert walk.look(60.0) == 2_500
    assert walk.next_at == math.inf
    assert walk.look(1e12) is None


def test_whoever_gives_it_a_share_by_hand_ends_its_walk() -> None:
    walk = Walk(UP, 0.0)
    walk.set(1_000, 10.0)
    assert (walk.share, walk.next_at) == (1_000, math.inf)
    assert walk.look(1e12) is None
    walk.set(0, 20.0)  # less is fine, and nothing too
    assert (walk.share, walk.look(1e12)) == (0, None)
    walk.set(WHOLE, 30.0)
    assert walk.look(30.0) == WHOLE


def test_who_looks_late_takes_one_step_and_gives_it_all_its_time() -> None:
    walk = Walk(UP, 0.0)
    assert walk.look(10_000.0) == 2_500
    assert walk.next_at == 10_300.0


@given(plan=plans, data=st.data())
def test_whatever_the_looks_the_steps_come_in_order_and_none_is_cut_short(plan: Plan, data: st.DataObject) -> None:
    walk, now, since = Walk(plan, 0.0), 0.0, 0.0
    seen = [walk.share]
    for pause in data.draw(st.lists(st.floats(0.0, 2.5), max_size=30)):
        now += pause * (plan.every or 0.0)
        before = walk.share
        share = walk.look(now)
        if share == WHOLE == before:
            continue
        assert share in (None, walk.share)
        if share is not None:
            assert now - since >= (plan.every or 0.0) * (1 - 1e-9)
            seen.append(share)
            since = now
        assert walk.next_at > now
    assert tuple(seen) == plan.steps[: len(seen)]


@given(plan=plans, looks=st.integers(0, 7), by_hand=st.none() | st.integers(0, WHOLE))
def test_another_process_goes_on_where_it_was(plan: Plan, looks: int, by_hand: int | None) -> None:
    walk = Walk(plan, 100.0)
    for _ in range(looks):
        walk.look(walk.next_at if math.isfinite(walk.next_at) else 1e12)
    if by_hand is not None:
        walk.set(by_hand, 1e12)
    resumed = Walk.resumed(json.loads(json.dumps(walk.note())))
    for _ in range(len(plan.steps) + 1):
        assert (resumed.plan, resumed.share, resumed.next_at) == (walk.plan, walk.share, walk.next_at)
        assert repr(resumed) == repr(walk)
        now = walk.next_at if math.isfinite(walk.next_at) else 1e13
        assert resumed.look(now) == walk.look(now)


def test_its_note_is_plain_and_complete() -> None:
    walk = Walk(UP, 0.0)
    walk.look(300.0)
    assert json.loads(json.dumps(walk.note(), allow_nan=False)) == {
        "steps": [500, 2_500, WHOLE],
        "every": 300.0,
        "by": "stream",
        "share": 2_500,
        "taken": 2,
        "next_at": 600.0,
    }
    walk.set(100, 0.0)
    assert walk.note()["next_at"] is None
    assert show_share(walk.share) == "1%"
