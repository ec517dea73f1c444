"""The record: what each door serves, written down whenever it changes, so that it outlives frontdoor."""

from collections.abc import Callable

from frontdoor.door.state import DoorState, StateError, StateFile
from frontdoor.observe.logs.log import Log


class Record:
    """Keeps the state file in step with the doors."""

    def __init__(self, file: StateFile, log: Log, known: dict[str, DoorState]) -> None:
        """``known``: what is in the file."""
        self.problem = ""
        """Why the last change is not in the file; empty: it is."""
        self._file = file
        self._log = log
        self._written = dict(known)
        self._asked = 0
        self._sure = 0
        """Of all that was asked to be written, so much is in the file, or is known not to be."""
        self._doors: dict[str, Callable[[], DoorState]] = {}

    def __repr__(self) -> str:
        return f"<Record of {', '.join(self._doors)}>"

    def known(self, door: str) -> DoorState | None:
        """What is in the file of that door."""
        return self._written.get(door)

    def add(self, door: str, state: Callable[[], DoorState]) -> None:
        """From here on this door's state is kept."""
        self._doors[door] = state

    def remove(self, door: str) -> None:
        """The door is gone for good."""
        self._doors.pop(door, None)

    async def save(self) -> None:
        """Write what has changed. It waits for the disk, and does not fail: what serves goes on serving.

        Of a door that is not in the config just now what was known stays in the file: its generations' numbers must
        not come again with it.
        """
        states = {**self._written, **{name: state() for name, state in self._doors.items()}}
        # One that is on its way, or that nobody waited for to its end, may put something else into the file.
        if states == self._written and not self.problem and self._sure == self._asked:
            return
        self._asked += 1
        number = self._asked
        try:
            await self._file.write(states)
        except StateError as error:
            if str(error) != self.problem:
                self._log.error("state.not_written", error=str(error))
            self.problem = str(error)
        else:
            self._written, self.problem = states, ""
        self._sure = max(self._sure, number)
