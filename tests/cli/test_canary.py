from __future__ import annotations

import signal

from cli.shell import Shell
from control.fakedoor import FakeDoor
from frontdoor.cli.share import ALL, WAYS
from frontdoor.policy.canary import WAYS_TO_SHARE, Plan
from frontdoor.policy.share import WHOLE, parse_share


def test_the_command_line_knows_the_words_of_the_policy() -> None:
    assert (WAYS, parse_share(ALL)) == (WAYS_TO_SHARE, WHOLE)


async def test_a_canary_is_begun_and_promoted(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2", "--canary", "5%")
    await door.started.wait()
    swap = door.operations[1]
    door.say(swap, "canary.share", **{"from": "v1#1", "to": "v2#2", "share": "5%"})
    swap.reach("shared", "canary", 0, "v2#2 gets 5% of the new streams, v1#1 the rest")
    begun = await command.end()
    assert (begun.exit_code, begun.out) == (0, "v2#2 gets 5% of the new streams, v1#1 the rest\n")
    assert begun.err.splitlines() == ["swap 1: v1#1 → v2#2", "canary: v2#2 gets 5% of new connections, v1#1 the rest"]

    more = await shell.run("canary", "25.50%", "--json")
    assert (more.exit_code, more.json["share"]) == (0, "25.5%")

    command = await shell.start("promote")
    await door.promoted.wait()
    door.say(swap, "swap.switched", **{"from": "v1#1", "to": "v2#2", "bake_s": 30.0})
    swap.reach("baked", "switched", 0, "v2#2 is active")
    promoted = await command.end()
    assert (promoted.exit_code, promoted.out) == (0, "v2#2 is active\n")
    assert promoted.err == "switched: new connections go to v2#2, on probation for 30 s\n"
    assert door.calls == [
        ("swap", "main", "v2", False, Plan((500,))),
        ("canary", "main", 2550),
        ("promote", "main"),
    ]


async def test_one_that_walks_up_is_waited_for_and_exits_with_what_became_of_it(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2", "--canary", "5%,100%", "--every", "5m", "--by", "address")
    await door.started.wait()
    swap = door.operations[1]
    swap.reach("shared", "canary", 0, "v2#2 gets 5%")
    door.say(swap, "swap.rolled_back", **{"from": "v2#2", "to": "v1#1", "reason": "5 of its last 12 streams failed"})
    message = "v2#2 failed as a canary and was withdrawn: 5 of its last 12 streams failed; v1#1 still serves"
    swap.fail("switched_back", 7, message, output=["boom"])
    result = await command.end()
    assert (result.exit_code, result.out) == (7, "")
    assert result.err.splitlines() == [
        "swap 1: v1#1 → v2#2",
        "rolled back from v2#2 to v1#1",
        f"frontdoor: {message}",
        "    its last output:",
        "    boom",
    ]
    assert door.calls == [("swap", "main", "v2", False, Plan((500, 10_000), 300.0, "address"))]


async def test_ctrl_c_of_the_swap_that_waits_ends_its_canary(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("swap", "v2", "--canary", "5%", "--wait", "baked")
    await door.started.wait()
    door.operations[1].reach("shared", "canary", 0, "v2#2 gets 5%")
    door.say(door.operations[1], "canary.share", share="5%")
    await command.err_until("canary: ")
    command.process.send_signal(signal.SIGINT)
    assert (await command.end()).exit_code == 130
    assert door.aborted.is_set()


async def test_ctrl_c_of_a_promotion_only_stops_watching(shell: Shell, door: FakeDoor) -> None:
    swap = door.swap("main", "v2")
    swap.reach("shared", "canary", 0, "v2#2 gets 5%")
    command = await shell.start("promote")
    await door.promoted.wait()
    door.say(swap, "canary.share", share="5%")
    await command.err_until("canary: ")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert (result.exit_code, result.err.splitlines()[-1]) == (130, "stopped watching; the swap itself goes on")
    assert not door.aborted.is_set()


async def test_all_of_it_is_a_promotion(shell: Shell, door: FakeDoor) -> None:
    door.swap("main", "v2").reach("shared", "canary", 0, "v2#2 gets 5%")
    command = await shell.start("canary", "100%")
    await door.promoted.wait()
    door.operations[1].reach("baked", "switched", 0, "v2#2 is active")
    result = await command.end()
    assert (result.exit_code, result.out) == (0, "v2#2 is active\n")


async def test_without_one_there_is_nothing_to_share_out_or_to_promote(shell: Shell, door: FakeDoor) -> None:
    for words in (("canary", "25%"), ("promote",)):
        result = await shell.run(*words)
        assert (result.exit_code, result.out) == (1, "")
        assert "the door main has no canary" in result.err
