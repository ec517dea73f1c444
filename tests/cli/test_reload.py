from __future__ import annotations

from cli.shell import Shell
from control.fakedoor import FakeDoor


async def test_a_reload_shows_the_swaps_of_each_door(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("reload")
    await door.started.wait()
    operation, bus = door.reloading, door.bus
    operation.record(bus.publish("swap.started", door="api", swap=3, **{"from": "v1#1", "to": "v2#2"}))
    operation.record(bus.publish("backend.ready", door="api", swap=3, generation="v2#2", after_s=0.31))
    operation.record(bus.publish("config.reloaded", changed=["doors.api.active", "limits.connections"]))
    operation.reach("drained", "reloaded", 0, "reloaded: doors.api.active, limits.connections; v2#2 is active")
    result = await command.end()
    assert (result.exit_code, result.out) == (
        0,
        "reloaded: doors.api.active, limits.connections; v2#2 is active\n",
    )
    assert result.err.splitlines() == [
        "api: swap 3: v1#1 → v2#2",
        "api: v2#2 ready after 0.3 s",
        "config reloaded: doors.api.active, limits.connections",
    ]


async def test_every_problem_of_a_config_is_on_a_line(shell: Shell, door: FakeDoor) -> None:
    door.problems = ["config.toml:1: listen: missing", "config.toml:5: drain.timeot: unknown key"]
    result = await shell.run("reload", "--json")
    assert (result.exit_code, result.json["exit_code"]) == (2, 2)
    assert result.err.splitlines() == [
        "frontdoor: the config is not valid, nothing of it is applied; v2#2 still serves",
        "    config.toml:1: listen: missing",
        "    config.toml:5: drain.timeot: unknown key",
    ]
    assert result.json["error"].splitlines()[1:] == door.problems
