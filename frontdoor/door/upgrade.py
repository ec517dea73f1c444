"""Upgrades of frontdoor itself: a door process asks for its successor, hands over to it, or goes on.

The keeper has the new one started and decides what comes of it (``keeper/upgrade.py``). What there is to say of an
upgrade outlives both: the keeper has a note of it, from before it begins.
"""

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

import trio

from frontdoor import __version__
from frontdoor.control.operation import Operation
from frontdoor.control.operator import BUSY, DONE, FAILED, NOT_FOUND, Refused
from frontdoor.door.channel import Channel
from frontdoor.door.departure import Departure
from frontdoor.door.doors import Doors
from frontdoor.door.unseated import RETRY, Entrusted
from frontdoor.keeper.link import Refused as KeeperRefused
from frontdoor.traffic.host import Host

KEY = "upgrade"
"""Where the keeper keeps the note of the last one."""

_TOO_OLD = (
    f"it runs the code of an earlier version, from before there were upgrades. This door process runs {__version__} "
    "already. To replace the keeper, too, stop and start frontdoor (`frontdoor stop`, then `frontdoor serve`), which "
    "ends all connections"
)

_SETTLED = 0.25
"""Seconds from the start of service until the keeper is renewed: first the processors are for who has waited."""

_NOTED = {"number", "from", "pid", "hung_up", "outcome"}
"""What is in that note."""

_KEPT = 100
"""Upgrades of which the outcome can still be asked."""


def is_note(found: object) -> bool:
    """Whether the keeper's note of the last upgrade is one: there may be anything in it that somebody has put there."""
    return isinstance(found, dict) and type(found.get("number")) is int and found.keys() >= _NOTED


class _Stays(Exception):  # noqa: N818 - an answer, not an error
    """It does not yield; the text says why."""


class Upgrades:
    """The upgrades of this frontdoor, one at a time."""

    def __init__(self, doors: Doors, host: Host, keeper: str, hung_up: Callable[[], bool]) -> None:
        """``keeper``: the version of its code; ``hung_up``: whether a SIGHUP waits to be answered."""
        self.done = trio.Event()
        """None is under way."""
        self.done.set()
        self._doors = doors
        self._world = doors.world
        self._host = host
        self._keeper = keeper or "an earlier version"
        self._hung_up = hung_up
        self._operations: dict[int, Operation] = {}
        self._next = 1
        self._current: Operation | None = None
        self._resumed: Mapping[str, Any] | None = None
        self._handing_over = trio.CancelScope()
        self._entrusted = Entrusted()
        self._channel: Channel | None = None
        """To the next one, if this one may have exchanges to finish when it has yielded."""
        self._world.link.on_order = self._on_order

    def __repr__(self) -> str:
        return f"<Upgrades {self._current or 'none'}>"

    @property
    def under_way(self) -> bool:
        """One has been asked for, and has not failed."""
        return not self.done.is_set()

    # -- what is asked ----------------------------------------------------------------------------------------------

    def begin(self) -> Operation:
        """Ask for a new door process. The caller has made sure that none is under way, and nothing else that counts."""
        operation = self._current = self._operate(self._next)
        self.done = trio.Event()
        operation.record(self._world.bus.publish("upgrade.started", upgrade=operation.number, version=__version__))
        self._world.nursery.start_soon(self._ask, operation)
        return operation

    def find(self, number: int) -> Operation:
        """An upgrade, under way or done. Raises Refused."""
        operation = self._operations.get(number)
        if operation is None:
            raise Refused(FAILED, f"no upgrade {number} is known", status=NOT_FOUND)
        return operation

    def _operate(self, number: int) -> Operation:
        operation = self._operations[number] = Operation(number, noun="upgrade")
        self._next = number + 1
        while len(self._operations) > _KEPT:
            del self._operations[min(self._operations)]
        return operation

    def _note(self, operation: Operation) -> dict[str, Any]:
        outcome = operation.outcome("switched")
        return {
            "number": operation.number,
            "from": __version__,
            "pid": os.getpid(),
            "hung_up": outcome is None and self._hung_up(),
            "outcome": {key: outcome[key] for key in ("result", "exit_code", "message")} if outcome else None,
        }

    # -- what comes of it here --------------------------------------------------------------------------------------

    async def _ask(self, operation: Operation) -> None:
        link = self._world.link
        try:
            await link.request("note", key=KEY, note=self._note(operation))
            answer = (await link.request("upgrade")).body
        except KeeperRefused as error:
            why = _TOO_OLD if error.errno == errno.ENOSYS else error.strerror or str(error)
            await self._fail(operation, f"the keeper starts no new door process: {why}", ())
            return
        if not answer["ready"]:
            await self._fail(operation, answer["why"], answer["output"])

    def _on_order(self, order: str, body: Mapping[str, Any]) -> None:
        if order == "yield":
            self._resumed, self._handing_over = None, trio.CancelScope()
            self._world.nursery.start_soon(self._yield)
        else:
            self._resumed = body
            self._handing_over.cancel()

    async def _yield(self) -> None:
        """Hand over what there is, and stand still. What follows is reached by one that goes on alone."""
        self._host.freeze()
        self._world.listener.held = True
        with self._handing_over:
            try:
                await self._hand_over()
            except Exception as error:
                why = str(error) if isinstance(error, _Stays) else f"the old door process could not yield: {error!r}"
                await self._world.link.request("yielded", error=why)
                await trio.sleep_forever()  # until it is told to resume
        await self._entrusted.drop(self._world.link)
        await self._close_channel()
        self._world.listener.held = False
        self._host.thaw()
        if self._resumed is not None and self._current is not None:
            await self._fail(self._current, self._resumed["why"], self._resumed.get("output", ()))

    async def _hand_over(self) -> None:
        while True:
            try:
                await self._entrusted.reserve(self._doors)
            except KeeperRefused as error:
                why = error.strerror or str(error)
                raise _Stays(f"the keeper cannot take the clients who wait for a backend: {why}") from None
            await self._open_channel()
            await self._world.protection.complete()
            if self._hand_over_now():
                return
            await trio.sleep(RETRY)

    async def _open_channel(self) -> None:
        """Be able to finish exchanges after this, if there are http doors. To have tried before is harmless."""
        http = self._world.exchanges.clients or any(door.gate.http is not None for door in self._doors)
        if self._channel is None and http:
            self._channel = Channel()
            try:
                await self._channel.offer(self._world.link)
            except KeeperRefused as error:
                why = error.strerror or str(error)
                raise _Stays(f"the keeper cannot take the channel to those who wait for their answers: {why}") from None

    async def _close_channel(self) -> None:
        """It has come to nothing."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            while not channel.drop(self._world.link):  # noqa: ASYNC110 - no event tells that there is room in the wire
                await trio.sleep(RETRY)

    def _hand_over_now(self) -> bool:
        """Say how things stand, and stand still. No await: nothing can come in between. False: the wire is full."""
        if self._world.stopping.is_set():
            raise _Stays("frontdoor is being stopped")
        assert self._current is not None, "a keeper orders what it was asked for"
        link, channel = self._world.link, self._channel
        stays = channel is not None and self._world.exchanges.clients > 0
        told = (
            self._entrusted.drop_now(link)  # those of a try that came to nothing
            and self._entrusted.entrust(self._doors)
            and (channel is None or channel.post(self._doors))
            and self._world.predecessors.post()
            and all(door.noting.post() for door in self._doors)
            and link.post("note", key=KEY, note=self._note(self._current))
            and link.post("yielded", stays=stays)
        )
        if told and link.stand_still() == "leave" and channel is not None:
            Departure(self._doors, channel).run()
        return told

    async def _fail(self, operation: Operation, why: str, output: Any) -> None:
        """Go on as if nothing had been asked."""
        lines = [str(line) for line in output]
        fields = {"reason": why, "output": lines} if lines else {"reason": why}
        serves = "" if self._world.stopping.is_set() else f"; {_what_serves(self._doors)}, as before"
        message = f"the upgrade failed: {why}{serves}"
        said = self._world.bus.publish("upgrade.failed", upgrade=operation.number, **fields)
        self.done.set()
        operation.record(said)
        operation.fail("failed", FAILED, message, **fields)
        await self._tell(operation)

    async def _tell(self, operation: Operation) -> None:
        try:
            await self._world.link.request("note", key=KEY, note=self._note(operation))
        except KeeperRefused as error:
            self._world.log.error("note.failed", error=error.strerror)

    # -- what has come of it, in the next one -----------------------------------------------------------------------

    def recall(self, note: Mapping[str, Any]) -> None:
        """The door process before this one has left this note: whoever followed that upgrade finds it again."""
        operation, outcome = self._operate(note["number"]), note["outcome"]
        if outcome is not None:
            operation.reach("drained", outcome["result"], outcome["exit_code"], outcome["message"])

    async def conclude(self, note: Mapping[str, Any], *, successor: bool) -> None:
        """It serves: so ends the upgrade of the note, if that had no end yet.

        ``successor``: this one was started by it.
        """
        operation, serves = self.find(note["number"]), _what_serves(self._doors)
        if operation.finished:
            return
        if successor:
            not_renewed = await self._renew_keeper()
            message = f"upgraded: frontdoor {__version__}, a new door process (pid {os.getpid()}), goes on; {serves}. "
            if not_renewed:
                message += f"The keeper still runs the code of {self._keeper}, not renewed: {not_renewed['why']}"
            else:
                message += f"The keeper was renewed, and runs the code of {self._keeper}"
            ends = {"from": note["from"], "to": __version__, "keeper": self._keeper, **not_renewed}
            said = self._world.bus.publish("upgrade.finished", upgrade=operation.number, **ends, pid=os.getpid())
            operation.record(said)
            operation.reach("drained", "upgraded", DONE, message, **ends)
        else:
            why = "the door process died during it, and was started again"
            operation.record(self._world.bus.publish("upgrade.failed", upgrade=operation.number, reason=why))
            operation.fail("failed", FAILED, f"the upgrade failed: {why}; {serves}")
        await self._tell(operation)

    async def _renew_keeper(self) -> dict[str, Any]:
        """The keeper is to go on with the code on disk, too, as it has tried already. Why it does not; empty: it does.

        ``why`` in one line, and the last lines of ``output`` of a trial that has failed after all.
        """
        await trio.sleep(_SETTLED)
        try:
            self._keeper = str((await self._world.link.request("renew")).body["version"])
        except KeeperRefused as error:
            lines = [str(line) for line in error.output]
            return {"why": error.strerror or str(error), **({"output": lines} if lines else {})}
        return {}


def check_free(doors: Doors) -> None:
    """Raise Refused if this is no time to replace this process: something is under way that it alone knows of."""
    for door in doors:
        way_out = "wait until that has ended, and try again"
        if door.swap is not None and door.swap.under_way:
            why = f"a swap of the door {door.name} to {door.swap.target} is under way ({door.swap.phase})"
            way_out = door.swap.way_out
        elif door.switchboard.active is None and not door.trouble and not door.leaving:
            why = f"the door {door.name} is still starting its first generation"
        else:
            continue
        raise Refused(BUSY, f"{why}: {way_out}; nothing was changed")


def _what_serves(doors: Doors) -> str:
    active = [door.switchboard.active.id for door in doors if door.switchboard.active is not None]
    return f"{', '.join(active)} {'serves' if len(active) == 1 else 'serve'}" if active else "nothing serves"
