from __future__ import annotations

import trio

from cli.shell import Shell
from control.fakedoor import FakeDoor, door_process, open_listener, until
from frontdoor.cli.screen.actions import KEPT, Deed, Deeds
from frontdoor.cli.screen.keys import Action

SWAP = Action("swap", "main", {"version": "v2", "wait": "baked"}, "swap main to v2")
PAUSE = Action("pause", "main", {}, "pause main")


class Screen:
    """In place of the screen: is told when there is something new."""

    def __init__(self, shell: Shell) -> None:
        self.told = 0
        self.deeds = Deeds(shell.socket, self._changed)

    def _changed(self) -> None:
        self.told += 1

    async def does(self, action: Action) -> Deed:
        """Ask for it, and wait for its outcome."""
        assert self.deeds.start(action) == ""
        deed = self.deeds.all[-1]
        await until(lambda: deed.exit_code is not None, "its outcome")
        return deed


async def test_a_change_and_its_outcome(shell: Shell, door: FakeDoor) -> None:
    screen = Screen(shell)
    deed = await screen.does(PAUSE)
    assert (deed.outcome, deed.message) == ("done", "main is paused: clients wait in the backlog")
    assert door.calls == [("pause", "main")]
    assert screen.told == 1
    assert deed.begun.is_set()


async def test_a_swap_says_how_it_goes(shell: Shell, door: FakeDoor) -> None:
    screen = Screen(shell)
    screen.deeds.start(SWAP)
    (deed,) = screen.deeds.all
    await until(lambda: list(deed.said) == ["swap 1: v1#1 → v2#2"], "its first line")
    assert deed.outcome == "under way"
    operation = door.operations[1]
    door.say(operation, "swap.switched", **{"from": "v1#1", "to": "v2#2"})
    operation.reach("baked", "active", 0, "v2#2 is active")
    await until(lambda: deed.exit_code == 0, "its outcome")
    assert deed.message == "v2#2 is active"
    assert deed.said[-1] == "switched: new connections go to v2#2"


async def test_a_refusal_is_an_outcome(shell: Shell, door: FakeDoor) -> None:
    door.begin("v1#1", "v2#2")
    deed = await Screen(shell).does(SWAP)
    assert deed.outcome == "busy (exit code 5)"
    assert deed.message == "another swap of main is under way: v1#1 → v2#2"


async def test_a_failed_swap_has_the_last_output(shell: Shell, door: FakeDoor) -> None:
    screen = Screen(shell)
    screen.deeds.start(SWAP)
    await door.started.wait()
    door.operations[1].fail("failed", 4, "v2#2 did not become ready; v1#1 still serves", output=["boom"])
    (deed,) = screen.deeds.all
    await until(lambda: deed.exit_code is not None, "its outcome")
    assert (deed.outcome, deed.output) == ("not ready (exit code 4)", ("boom",))


async def test_a_swap_is_followed_over_the_death_of_a_door_process(shell: Shell) -> None:
    shell.write_config()
    screen = Screen(shell)
    with open_listener(shell.socket) as listener:
        first, second = FakeDoor(), FakeDoor()
        async with door_process(first, listener):
            screen.deeds.start(SWAP)
            await first.started.wait()
            (deed,) = screen.deeds.all
            await until(deed.begun.is_set, "it is begun")
        second.begin("v1#1", "v2#2").reach("baked", "active", 0, "v2#2 is active")
        async with door_process(second, listener):
            await until(lambda: deed.exit_code == 0, "its outcome")
    assert "the connection to frontdoor broke: asking it again" in deed.said


async def test_where_nobody_is_that_is_the_outcome(shell: Shell) -> None:
    deed = await Screen(shell).does(PAUSE)
    assert deed.outcome == "no frontdoor (exit code 3)"


async def test_a_mistake_is_shown_and_not_raised(shell: Shell, door: FakeDoor) -> None:
    deed = await Screen(shell).does(Action("swap", "main", {}, "half a swap"))
    assert deed.exit_code == 2
    deed = await Screen(shell).does(Action("swap", "main", {"version": {1, 2}}, "no JSON"))
    assert (deed.exit_code, "TypeError" in deed.message) == (1, True)


async def test_only_so_many_are_remembered(shell: Shell, door: FakeDoor) -> None:
    screen = Screen(shell)
    for _ in range(KEPT + 2):
        await screen.does(PAUSE)
    assert len(screen.deeds.all) == KEPT
    screen.deeds.start(SWAP)
    await door.started.wait()
    screen.deeds.forget()
    assert [deed.action for deed in screen.deeds.all] == [SWAP]
    door.operations[1].fail("failed", 1, "enough")
    await until(lambda: not screen.deeds.under_way, "its end")


async def test_not_too_much_at_once(shell: Shell) -> None:
    """Nobody answers: each waits."""
    shell.write_config()
    with open_listener(shell.socket) as listener:
        screen = Screen(shell)
        for _ in range(KEPT):
            assert screen.deeds.start(PAUSE) == ""
        assert "too much is under way" in screen.deeds.start(PAUSE)
        async with door_process(FakeDoor(), listener):
            await until(lambda: not screen.deeds.under_way, "their ends")
    await trio.lowlevel.checkpoint()
