from __future__ import annotations

import math
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.keeper.notify import PATS, RATE, RETRY, Notifier, NotifySocket, Phase, Standing, watchdog
from keeper import systemd
from keeper.stage import Stage
from keeper.stage import stage as open_stage
from keeper.test_upgrade import Two
from keeper.watching import alive, until

DOOR, NEXT = 100, 101
STARTS = Standing(DOOR, served=False, heard_at=-math.inf, upgrading=False, hung_up=False, stopping=False)
SERVES = replace(STARTS, served=True, heard_at=0.0)
DEAD = replace(STARTS, door=None)
LINE = {"line": "v1#1 active, 0 streams", "reloading": False, "answered": 0, "stopping": False}


class Systemd:
    """What a notifier says, with the times left out; ``deaf``: there is no room for it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.deaf = False

    def __call__(self, message: str) -> bool:
        if not self.deaf:
            self.said += [line for line in message.split("\n") if not line.startswith("MONOTONIC_USEC=")]
        return not self.deaf

    def hears(self) -> list[str]:
        """What was said since the last look."""
        said, self.said = self.said, []
        return said

    def phases(self) -> list[str]:
        return [line for line in self.hears() if not line.startswith("STATUS=")]


@pytest.fixture
def it() -> Systemd:
    return Systemd()


@pytest.fixture
def notifier(it: Systemd) -> Notifier:
    """It has said that it is ready."""
    notifier = Notifier(it)
    notifier.tell(STARTS, 0)
    notifier.tell(SERVES, 0)
    notifier.reported(DOOR, LINE)
    notifier.tell(SERVES, 10)
    assert it.hears() == ["STATUS=starting", "READY=1", "STATUS=serving", "STATUS=v1#1 active, 0 streams"]
    return notifier


# -- phases ---------------------------------------------------------------------------------------------------------


def test_what_is_so_already_is_not_said_again(notifier: Notifier, it: Systemd) -> None:
    notifier.tell(SERVES, 20)
    assert it.hears() == []
    assert notifier.due is None


def test_a_reload_of_the_door_process(notifier: Notifier, it: Systemd) -> None:
    notifier.reported(DOOR, {**LINE, "reloading": True})
    notifier.tell(SERVES, 20)
    assert it.hears() == ["RELOADING=1"]
    notifier.reported(DOOR, LINE)
    notifier.tell(SERVES, 21)
    assert it.hears() == ["READY=1"]


def test_a_sighup_is_a_reload_until_it_is_answered(notifier: Notifier, it: Systemd) -> None:
    notifier.hang_up()
    notifier.tell(replace(SERVES, hung_up=True), 20)
    assert it.hears() == ["RELOADING=1"]
    notifier.passed_on(DOOR)
    notifier.reported(DOOR, LINE)  # it had said this before it was told
    notifier.tell(SERVES, 20)
    assert it.hears() == []
    notifier.reported(DOOR, {**LINE, "answered": 1})
    notifier.tell(SERVES, 20)
    assert it.hears() == ["READY=1"]


def test_each_sighup_sees_a_reloading_of_its_own_that_is_later(notifier: Notifier, it: Systemd) -> None:
    # Type=notify-reload: systemd takes none for its own that has an older MONOTONIC_USEC than its signal.
    notifier.tell(replace(SERVES, upgrading=True), 20)
    notifier.hang_up()
    notifier.tell(replace(SERVES, upgrading=True, hung_up=True), 21)
    assert it.phases() == ["RELOADING=1", "RELOADING=1"]


def test_the_death_of_the_door_process_ends_its_reload_when_the_next_one_serves(
    notifier: Notifier, it: Systemd
) -> None:
    notifier.hang_up()
    notifier.passed_on(DOOR)
    notifier.reported(DOOR, {**LINE, "reloading": True})
    notifier.tell(SERVES, 20)
    notifier.tell(DEAD, 20)
    notifier.tell(replace(STARTS, door=NEXT), 21)
    assert it.phases() == ["RELOADING=1"]
    notifier.tell(replace(SERVES, door=NEXT), 22)
    assert it.phases() == ["READY=1"]


def test_the_death_of_the_door_process_without_a_reload_is_said_in_words(notifier: Notifier, it: Systemd) -> None:
    notifier.tell(DEAD, 20)
    assert it.hears() == ["STATUS=the door process is started again: new clients wait, nobody is refused"]
    notifier.tell(replace(SERVES, door=NEXT), 21)
    assert it.hears() == ["STATUS=serving"]


def test_an_upgrade(notifier: Notifier, it: Systemd) -> None:
    notifier.tell(replace(SERVES, upgrading=True), 20)
    assert it.hears() == ["RELOADING=1", "STATUS=v1#1 active, 0 streams; an upgrade is under way"]
    notifier.tell(replace(STARTS, door=NEXT), 21)  # the old one has died, and the new one goes on
    assert it.phases() == []
    notifier.tell(replace(SERVES, door=NEXT), 22)
    assert it.phases() == ["READY=1"]


def test_ready_comes_first_whatever_has_come_before_it(it: Systemd) -> None:
    notifier = Notifier(it)
    notifier.hang_up()
    notifier.tell(replace(STARTS, hung_up=True), 0)
    assert it.phases() == []
    notifier.tell(replace(SERVES, hung_up=True), 1)
    assert it.phases() == ["READY=1"]
    assert notifier.due == 1, "the rest is due at once"
    notifier.tell(replace(SERVES, hung_up=True), 1)
    assert it.phases() == ["RELOADING=1"]


@pytest.mark.parametrize("how", ["signal", "command"])
def test_after_stopping_nothing_else_comes(notifier: Notifier, it: Systemd, how: str) -> None:
    notifier.tell(replace(SERVES, upgrading=True), 20)
    if how == "command":
        notifier.reported(DOOR, {**LINE, "stopping": True})
    notifier.tell(replace(SERVES, stopping=how == "signal"), 21)
    assert it.phases() == ["RELOADING=1", "STOPPING=1"]
    notifier.tell(replace(STARTS, door=NEXT), 22)  # it has died on the way out
    notifier.tell(replace(SERVES, door=NEXT, hung_up=True), 23)
    assert it.phases() == []


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([None, DOOR, NEXT]))))
def test_whatever_happens_ready_comes_first_and_in_the_end(turns: list[tuple[bool, bool, bool, int | None]]) -> None:
    systemd = Systemd()
    notifier = Notifier(systemd)
    for at, (served, upgrading, hung_up, door) in enumerate(turns):
        if hung_up:
            notifier.hang_up()
        served = served and door is not None
        notifier.tell(replace(STARTS, door=door, served=served, upgrading=upgrading, hung_up=hung_up), at)
    notifier.tell(SERVES, len(turns))
    notifier.tell(SERVES, len(turns))
    phases = systemd.phases()
    assert phases[0] == phases[-1] == "READY=1"
    assert all(one == "RELOADING=1" or other == "RELOADING=1" for one, other in pairwise(phases))


# -- the line -------------------------------------------------------------------------------------------------------


def test_a_line_is_said_once_a_second_at_most(notifier: Notifier, it: Systemd) -> None:
    notifier.tell(replace(SERVES, heard_at=1), 20)
    for number in range(1, 5):
        notifier.reported(DOOR, {**LINE, "line": f"{number} streams"})
        notifier.tell(SERVES, 20 + number / 10)
    assert it.hears() == ["STATUS=1 streams"]
    assert notifier.due == pytest.approx(20.1 + RATE)
    notifier.tell(SERVES, 20.1 + RATE)
    assert it.hears() == ["STATUS=4 streams"]


def test_a_line_is_one_line_and_not_too_long_for_systemd(notifier: Notifier, it: Systemd) -> None:
    notifier.reported(DOOR, {**LINE, "line": "why:\nREADY=1\n" + "\N{GRINNING FACE}" * 5000})
    notifier.tell(SERVES, 20)
    (said,) = it.hears()
    assert said.startswith("STATUS=why: READY=1 \N{GRINNING FACE}")
    assert len(said.encode()) < 4096


@pytest.mark.parametrize("garbage", [None, 5, [], {"a": 1}])
def test_a_report_that_is_garbage_does_no_harm(notifier: Notifier, it: Systemd, garbage: object) -> None:
    notifier.reported(DOOR, dict.fromkeys(LINE, garbage))
    notifier.tell(SERVES, 20)
    assert it.hears() == ["STATUS=serving"]


# -- the socket -----------------------------------------------------------------------------------------------------


def test_what_finds_no_room_is_said_later(notifier: Notifier, it: Systemd) -> None:
    it.deaf = True
    notifier.tell(replace(SERVES, upgrading=True), 20)
    assert notifier.due == 20 + RETRY
    assert notifier.phase is Phase.READY, "that is what systemd knows"
    it.deaf = False
    notifier.tell(replace(SERVES, upgrading=True), 20 + RETRY)
    assert it.phases() == ["RELOADING=1"]


def test_who_is_not_below_systemd_says_nothing() -> None:
    notifier = Notifier.from_environment({"WATCHDOG_USEC": "1000000"})
    assert not notifier.tell(SERVES, 0)
    assert (notifier.listened, notifier.due, notifier.watchdog) == (False, None, None)


@pytest.mark.parametrize("address", ["", "@", "/", "vsock:2:1", "relative/path"])
def test_an_address_that_is_none_is_nobody_s(address: str) -> None:
    assert not Notifier.from_environment({"NOTIFY_SOCKET": address}).listened


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        yield path


@pytest.mark.parametrize("abstract", [False, True])
def test_a_message_arrives(folder: str, abstract: bool) -> None:
    with systemd.NotifySocket(f"{folder}/n", abstract=abstract) as there:
        with closing(NotifySocket(there.address)) as here:
            assert here.send("READY=1\nSTATUS=é")
        assert there.hear() == {"READY": "1", "STATUS": "é"}


def test_one_that_is_full_is_tried_again_and_one_that_is_gone_is_not(folder: str) -> None:
    with systemd.NotifySocket(f"{folder}/n") as there, closing(NotifySocket(there.address)) as here:
        began = time.monotonic()
        while here.send("STATUS=again"):
            pass
        assert time.monotonic() - began < 5, "it does not wait"
        there.hear()
        assert here.send("READY=1")
        there.close()
        assert here.send("nobody listens any more")
        os.unlink(f"{folder}/n")
        assert here.send("nor is it there")
    with closing(NotifySocket("/" + "long" * 100)) as nowhere:
        assert nowhere.send("nor can it be")


# -- the watchdog ---------------------------------------------------------------------------------------------------


def test_the_watchdog_is_told_while_the_door_process_is_heard(it: Systemd) -> None:
    notifier = Notifier(it, watchdog=40.0)
    notifier.tell(SERVES, 0)
    assert it.hears()[-1] == "WATCHDOG=1"
    for now in range(1, 100):
        if notifier.due is not None and now >= notifier.due:
            assert not notifier.tell(replace(SERVES, heard_at=now - 1), now)
    assert it.phases() == ["WATCHDOG=1"] * 9, "each ten seconds"


def test_one_that_was_not_heard_is_asked_once_and_answers(it: Systemd) -> None:
    notifier = Notifier(it, watchdog=40.0)
    notifier.tell(SERVES, 0)
    notifier.tell(SERVES, 1)
    it.hears()
    first = notifier.due
    assert first == 40.0 / PATS
    assert notifier.tell(SERVES, 10), "it is to be asked"
    assert notifier.due is None, "the keeper is woken by the answer"
    assert not notifier.tell(SERVES, 11)
    assert it.hears() == []
    assert not notifier.tell(replace(SERVES, heard_at=12), 12)
    assert it.hears() == ["WATCHDOG=1"]


def test_one_that_is_dead_starting_or_does_not_answer_is_not_told_of(it: Systemd) -> None:
    notifier = Notifier(it, watchdog=40.0)
    notifier.tell(SERVES, 0)
    it.hears()
    for standing in (SERVES, DEAD, replace(STARTS, door=NEXT)):
        for now in range(10, 60):
            notifier.tell(standing, now)
    assert "WATCHDOG=1" not in it.hears()
    notifier.tell(replace(SERVES, door=NEXT, heard_at=60), 60)
    assert "WATCHDOG=1" in it.hears()


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": str(1 << 64)}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_as_sd_watchdog_enabled_says(env: dict[str, str], seconds: float | None) -> None:
    assert watchdog(env) == seconds


# -- a renewal of the keeper ----------------------------------------------------------------------------------------


def test_a_renewed_keeper_says_nothing_twice_and_forgets_nothing(notifier: Notifier, it: Systemd) -> None:
    notifier.hang_up()
    notifier.passed_on(DOOR)
    notifier.tell(SERVES, 20)
    it.hears()
    again = Notifier(it)
    again.recall(notifier.remember())
    again.tell(SERVES, 21)
    assert it.hears() == []
    again.reported(DOOR, {**LINE, "answered": 1})
    again.tell(SERVES, 22)
    assert it.hears() == ["READY=1"]


# -- a real keeper, and puppets ---------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def below(request: pytest.FixtureRequest, folder: str) -> Iterator[tuple[Stage, systemd.NotifySocket]]:
    """A keeper below systemd."""
    with systemd.NotifySocket(f"{folder}/n", abstract=request.param) as there:
        shell = f"NOTIFY_SOCKET={there.address} WATCHDOG_USEC=400000; export NOTIFY_SOCKET WATCHDOG_USEC;"
        with open_stage(shell=shell) as stage:
            yield stage, there


def hear(there: systemd.NotifySocket, *, but: str = "WATCHDOG") -> dict[str, str]:
    """The next message that is not that one."""
    while but in (said := there.hear()):
        pass
    return said


def test_a_life(below: tuple[Stage, systemd.NotifySocket]) -> None:
    stage, there = below
    door = stage.enter()
    assert hear(there) == {"STATUS": "starting"}
    door.greet()
    door.ask("served")
    assert hear(there) == {"READY": "1", "STATUS": "serving"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    stage.signal(signal.SIGHUP)
    said = hear(there)
    assert said["RELOADING"] == "1"
    assert int(said["MONOTONIC_USEC"]) > before
    door.hear_of("signal")
    door.ask("report", line="2 streams", reloading=False, answered=1)
    assert hear(there)["READY"] == "1"
    two = Two(stage, door)
    assert hear(there)["RELOADING"] == "1"
    two.new.leave(3)
    assert hear(there)["READY"] == "1", "an upgrade that has failed"
    two = Two(stage, door)
    two.hand_over()
    two.new.ask("served")
    assert there.phases("READY") == ["RELOADING", "READY"]
    two.new.hear_of("ping")
    two.new.die()
    assert "started again" in there.status("started again")
    third = stage.enter()
    third.greet()
    third.ask("served")
    assert there.status("serving")
    stage.signal(signal.SIGTERM)
    assert there.phases("STOPPING") == ["STOPPING"]
    third.ask("bye", code=0)
    third.leave(0)
    assert stage.ended() == 0


def test_the_watchdog_is_told_as_long_as_the_puppet_answers(below: tuple[Stage, systemd.NotifySocket]) -> None:
    stage, there = below
    door = stage.enter()
    door.greet()
    door.ask("served")
    for _ in range(5):
        while there.hear() != {"WATCHDOG": "1"}:
            pass
        door.hear_of("ping")
        door.say({"op": "pong"})
    door.hear_of("ping")  # and it does not answer any more
    while not there.quiet(0.5):
        there.hear()
    assert alive(stage.pid)
    door.say({"op": "pong"})
    while there.hear() != {"WATCHDOG": "1"}:
        pass


def test_a_door_process_that_dies_in_a_reload_is_followed_by_ready(below: tuple[Stage, systemd.NotifySocket]) -> None:
    stage, there = below
    door = stage.enter()
    door.greet()
    door.ask("served")
    door.ask("report", line="all is well", reloading=True, answered=0)
    assert there.phases("RELOADING") == ["READY", "RELOADING"]
    door.die()
    second = stage.enter()
    second.greet()
    second.ask("served")
    assert there.phases("READY") == ["READY"]


def test_what_a_new_one_has_reported_counts_when_it_serves(below: tuple[Stage, systemd.NotifySocket]) -> None:
    stage, there = below
    door = stage.enter()
    door.greet()
    door.ask("served")
    door.ask("report", line="2 streams", reloading=False, answered=0)
    assert there.status("2 streams")
    two = Two(stage, door)
    two.hand_over()
    two.new.ask("report", line="stopping, nothing yet", reloading=False, answered=0, stopping=True)
    two.new.die()
    door.hear_of("resume")
    assert there.phases("READY") == ["RELOADING", "READY"], "nobody stops"
    while not there.quiet(1.2):
        assert "nothing yet" not in there.hear().get("STATUS", "")
    two = Two(stage, door)
    two.hand_over()
    two.new.ask("report", line="2 streams, restored", reloading=False, answered=0)
    two.new.ask("served")
    assert there.status("2 streams, restored")


def test_a_stop_that_comes_from_the_door_process_is_stopping(below: tuple[Stage, systemd.NotifySocket]) -> None:
    stage, there = below
    door = stage.enter()
    door.greet()
    door.ask("served")
    door.ask("report", line="stopping, 3 streams left", reloading=False, answered=0, stopping=True)
    assert there.phases("STOPPING") == ["READY", "STOPPING"]
    door.say({"op": "bye", "code": 0})
    door.leave(0)
    assert stage.ended() == 0


def test_a_keeper_whose_notify_socket_is_gone_or_full_lives_as_ever(folder: str) -> None:
    there = systemd.NotifySocket(f"{folder}/n")
    with closing(NotifySocket(there.address)) as filler:
        while filler.send("STATUS=full"):
            pass
    with open_stage(shell=f"export NOTIFY_SOCKET={there.address};") as stage:
        door = stage.enter()
        door.greet()
        door.ask("served")
        assert door.ask("note", key="a").body.keys() == {"re"}
        assert there.phases("READY") == ["READY"], "as soon as there is room"
        there.close()
        os.unlink(f"{folder}/n")
        for number in range(20):
            door.ask("report", line=f"{number}", reloading=bool(number % 2), answered=0)
        assert alive(stage.pid)
        assert stage.errors == ""


def test_children_are_not_told_where_systemd_listens(below: tuple[Stage, systemd.NotifySocket]) -> None:
    stage, _ = below
    door = stage.enter()
    with open(f"/proc/{door.pid}/environ") as file:
        assert "NOTIFY_SOCKET" not in file.read()


def test_who_listens_is_said_in_the_answer_to_hello(below: tuple[Stage, systemd.NotifySocket], stage: Stage) -> None:
    for each, notified in ((below[0], True), (stage, False)):
        door = each.enter()
        hello = door.begin("hello", protocol=2)
        until(door.is_answered)
        assert door.answer(hello).body["notified"] is notified


def test_a_listener_that_systemd_has_passed(folder: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        given = f"import os\nos.dup2({passed.fileno()}, 3)\nos.environ['LISTEN_PID'] = str(os.getpid())\n"
        given += "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'web'}\n"
        with open_stage(hurry=given, pass_fds=[passed.fileno()]) as stage:
            door = stage.enter()
            (fd,) = door.ask("listen", key="listen/main/systemd:web", address="systemd:web", mode=None).fds
            assert os.fstat(fd).st_ino == os.fstat(passed.fileno()).st_ino
            assert not os.get_blocking(fd)
            body = door.ask("listen", key="b", address="systemd:api", mode=None).body
            assert body["errno"] is None
            assert "no socket called 'api', but 'web'" in body["error"]
            os.close(fd)
