"""Orders: what somebody asks of one door, decided at once: begin a swap, end one, hasten a drain; or why not."""

from typing import Any

from frontdoor.config import ConfigError, DoorSettings, ReadySettings, Settings, UnknownVersion, load
from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, DONE, FAILED, NOT_FOUND, USAGE, Refused
from frontdoor.control.wording import count
from frontdoor.door.door import Door
from frontdoor.door.recipe import Recipe
from frontdoor.door.swap import Swap
from frontdoor.door.trial import Trial
from frontdoor.policy.canary import Plan
from frontdoor.policy.generation import ENDED, Generation, State
from frontdoor.policy.roster import RUNNING, Full, standing_by, to_send_away
from frontdoor.policy.share import WHOLE, show_share


def swap(door: Door, version: str, *, reuse: bool = False, canary: Plan | None = None) -> Operation:
    """Start a swap to a new generation of ``version``; with ``reuse`` to one that still runs, if there is one.

    ``canary``: it begins with a share of the new streams.
    """
    check_free(door)
    if canary is not None and door.switchboard.active is None:
        raise Refused(FAILED, "a canary needs a generation to stand beside, and nothing is active: swap without it")
    plan = canary if canary is not None and canary.steps[0] < WHOLE else None
    name, numbered, _ = version.partition("#")
    if numbered:
        generations(door, version)  # an id must be one that there is
    if reuse:
        if (active := door.switchboard.active) is not None and version in (active.version, active.id):
            return _done(door, f"{active.id} is active already: nothing was changed")
        if taken := _take(door, version, plan=plan):
            return taken
        if numbered:
            raise Refused(FAILED, f"{version} does not run any more, and cannot be used again; {door.serves}")
    note = f"nothing of {name} runs that could be used again: a new generation is started" if reuse else None
    return _begin_new(door, name, note=note, plan=plan)


def restart(door: Door) -> Operation:
    """Start a swap to a new generation of the active version."""
    check_free(door)
    active = door.switchboard.active
    return _begin_new(door, active.version if active is not None else door.settings.active)


def rollback(door: Door) -> Operation:
    """Go back to the previous generation; or end the swap that is under way, before its switch or in its probation."""
    under_way, by = door.swap, "a rollback"
    if under_way is not None and under_way.under_way and (under_way.abort(by) or under_way.undo(by)):
        operation = door.operate()
        door.world.nursery.start_soon(_report_abort, door, under_way, operation)
        return operation
    # One that has switched is past all that a rollback would disturb.
    if door.leaving or under_way is None or not under_way.switched:
        check_free(door)
    previous, version = door.history.previous, door.history.version_back(door.switchboard.active)
    if previous is None or version is None:
        raise Refused(FAILED, f"there is nothing to go back to: nothing else has served before; {door.serves}")
    taken = _take(door, previous.id, rollback=True) or _take(door, version, rollback=True)
    return taken or _begin_new(door, version, rollback=True)


def promote(door: Door) -> Operation:
    """Make the canary the active one: its swap goes on."""
    swap, trial = _canary(door)
    trial.promote()
    return swap.operation


def canary(door: Door, share: int) -> str:
    """Give the canary that share of the new streams, in parts of ``share.WHOLE``; what is so now, in words."""
    swap, trial = _canary(door)
    trial.set_share(share)
    return f"{swap.target} gets {show_share(share)} of the new streams of the door {door.name}, {trial.old.id} the rest"


def _canary(door: Door) -> tuple[Swap, Trial]:
    """The swap whose candidate is a canary now, and its trial. Raises Refused."""
    swap = door.swap
    if swap is None or swap.canary is None:
        what = "no swap is under way"
        if swap is not None and swap.under_way:
            what = f"a swap to {swap.target} is under way ({swap.phase})"
        raise Refused(FAILED, f"the door {door.name} has no canary: {what}; {door.serves}")
    return swap, swap.canary


def drain(door: Door, version: str, over: float) -> dict[str, Any]:
    """Close the streams of a draining generation, or of all draining ones of a version, over so many seconds.

    What was begun, as ``control.operator.Operator.drain`` answers it. Raises Refused.
    """
    found = generations(door, version)
    draining = [door.draining[g.number] for g in found if g.number in door.draining]
    warm = [g.id for g in found if g.number in door.warm]
    if warm and not draining:
        # No failure: a script that says so to be sure goes on. It stays warm, for a rollback.
        message = f"{', '.join(warm)}: drained already, no stream is open"
        return {"door": door.name, "draining": "", "streams": 0, "message": message}
    if not draining:
        state = f"{found[-1].id} is {found[-1].state}"
        hint = ": swap to another version first" if found[-1].state is State.ACTIVE else ""
        raise Refused(FAILED, f"nothing to drain: {state}{hint}")
    streams = sum(each.hasten(over) for each in draining)
    door.noting.post()  # a crash must not give them their time back; if the wire is full, it is told in a second
    ids = ", ".join(each.backend.generation.id for each in draining)
    closing = f"{count(streams, 'stream')} {'is' if streams == 1 else 'are'}"
    how = f"over {over:g} s" if over else "now"
    message = f"{ids}: {closing} being closed {how}"
    return {"door": door.name, "draining": ids, "streams": streams, "message": message}


def abort(door: Door, number: int) -> Operation:
    """End a swap before its switch."""
    operation = find(door, number)
    if door.swap is None or door.swap.number != number or not door.swap.abort():
        outcome = operation.outcome("switched")
        message = outcome["message"] if outcome else "it is past its switch"
        raise Refused(FAILED, f"swap {number} cannot be aborted any more: {message}")
    return operation


def find(door: Door, number: int) -> Operation:
    """A swap, under way or done."""
    operation = door.operations.get(number)
    if operation is None:
        raise Refused(FAILED, f"no swap {number} of the door {door.name} is known", status=NOT_FOUND)
    return operation


def generations(door: Door, version: str) -> list[Generation]:
    """The generations of that version or with that id, the oldest first."""
    known = door.fleet.generations.values()
    found = [g for g in known if version in (g.version, g.id)]
    if not found:
        names = ", ".join(g.id for g in known if g.state not in ENDED)
        raise Refused(USAGE, f"no generation of {version} runs: there is {names or 'none'}", status=NOT_FOUND)
    return sorted(found, key=lambda generation: generation.number)


def check_free(door: Door) -> None:
    """Raise Refused if no swap of the door can begin now."""
    if door.leaving:
        raise Refused(FAILED, f"the door {door.name} is not in the config any more, and is being closed")
    if door.switchboard.active is None and not door.trouble:
        raise Refused(BUSY, f"the door {door.name} is still starting its first generation: try again in a moment")
    if door.swap is not None and door.swap.under_way:
        raise Refused(
            BUSY,
            f"a swap of the door {door.name} to {door.swap.target} is under way ({door.swap.phase}): "
            f"{door.swap.way_out}; {door.serves}",
            extra={"swap": door.swap.number},
        )


def check_room(door: Door, settings: DoorSettings) -> None:
    """Raise Refused if no more generation may be started, not even when all warm ones go."""
    most, known = settings.swap.max_generations, list(door.fleet.generations.values())
    try:
        to_send_away(known, most, door.history.previous)
    except Full:
        running = [_in_words(g) for g in known if g.state in RUNNING]
        raise Refused(
            FAILED,
            f"{count(len(running), 'generation')} of the door {door.name} run already, as many as "
            f"swap.max_generations allows: {', '.join(running)}. Wait until one has drained, or end its streams "
            f"(frontdoor drain VERSION --now); {door.serves}",
        ) from None


def recipe(settings: Settings, door: Door, version: str, ready: ReadySettings) -> Recipe:
    """What a new generation of ``version`` is started from. Raises Refused."""
    if door.name not in settings.doors:
        raise Refused(USAGE, f"the config has no door {door.name} any more; {door.serves}")
    try:
        backend = settings.doors[door.name].backend(version)
    except UnknownVersion as error:
        raise Refused(USAGE, f"{error}; {door.serves}") from None
    return Recipe(version, backend, ready, settings.text)


def _take(door: Door, name: str, *, rollback: bool = False, plan: Plan | None = None) -> Operation | None:
    """Start a swap to the newest generation of that version, or the one with that id, if it still runs and is able."""
    found = standing_by(door.fleet.generations.values(), name)
    if found is None or not found.able:
        return None
    return door.begin_swap(Swap(door, door.fleet.backends[found.number], rollback=rollback, plan=plan)).operation


def _begin_new(
    door: Door, version: str, *, rollback: bool = False, note: str | None = None, plan: Plan | None = None
) -> Operation:
    """Start a swap to a new generation: the backends' tables of the config are read again for it."""
    try:
        settings = load(door.world.settings.path)
    except ConfigError as error:
        if not rollback:
            message = f"the config is not valid; {door.serves}"
            raise Refused(USAGE, f"{message}\n{error}", extra={"problems": error.as_json()}) from None
        # Who goes back is in trouble enough: what was valid when it was applied last will do.
        door.world.log.warning("rollback.config", door=door.name, reason="the config is not valid", error=str(error))
        settings = door.world.settings
    to = recipe(settings, door, version, door.settings.ready)
    check_room(door, door.settings)
    return door.begin_swap(Swap(door, to, rollback=rollback, note=note, plan=plan)).operation


def _done(door: Door, message: str) -> Operation:
    operation = door.operate()
    operation.reach("drained", "unchanged", DONE, message)
    return operation


async def _report_abort(door: Door, ended: Swap, operation: Operation) -> None:
    await ended.settled.wait()
    when = "in its probation" if ended.switched else "before its switch"
    message = f"the swap to {ended.target} was ended {when}; {door.serves}"
    operation.reach("drained", "rolled_back", DONE, message)


def _in_words(generation: Generation) -> str:
    streams = f" with {count(generation.open, 'stream')}" if generation.open else ""
    return f"{generation.id} {generation.state}{streams}"
