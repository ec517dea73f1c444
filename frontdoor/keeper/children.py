"""The keeper's child processes: started on request, watched to the end of their whole group."""

import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from frontdoor.keeper.spawn import Program, start


@dataclass(slots=True)
class Child:
    """A backend's process: the leader of a process group of its own."""

    key: str
    pid: int
    note: Any
    signalled: bool = False
    """It was sent a signal on request: what is left of its group when it ends may still be finishing."""
    status: int | None = None
    """How the leader ended, as ``os.waitstatus_to_exitcode`` says it; None while it runs."""
    gone: bool = False
    """Nothing of its group is left."""


class Children:
    """Key → child. An entry stays until the door process, which may be dead right now, has said ``forget``."""

    def __init__(self, changed: Callable[[Child], None]) -> None:
        self._children: dict[str, Child] = {}
        self._changed = changed

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._children.values()))

    def spawn(self, key: str, program: Program, note: Any) -> Child:
        """Start a process under a new key. Raises SpawnError, OSError; KeyError when the key is taken."""
        if key in self._children:
            raise KeyError(key)
        child = self._children[key] = Child(key, 0, note)
        try:
            child.pid = start(program)
        except BaseException:
            del self._children[key]
            raise
        return child

    def tell(self, key: str, number: int) -> bool:
        """Signal a child alone, which is to go on. False when it has exited."""
        child = self._children.get(key)
        if child is None or child.status is not None:
            return False
        os.kill(child.pid, number)  # until it is reaped, here, the number is nobody else's
        return True

    def signal(self, key: str, number: int) -> bool:
        """Signal the whole group of a child. False when nothing of it is left."""
        child = self._children.get(key)
        if child is None or child.gone:
            return False
        if not _is_its_own(child):
            self._is_gone(child)  # the last of them has left the group alive (setsid), and nobody will be reaped
            return False
        sent = _signal_group(child.pid, number)
        child.signalled = True  # not before: a number that is no signal has asked nothing of it
        return sent

    def forget(self, key: str) -> bool:
        """The door process has taken note of the end of this child. False while something of it is left."""
        child = self._children.get(key)
        if child is None or not child.gone:
            return False
        del self._children[key]
        return True

    def kill_all(self) -> None:
        """SIGKILL every group: the keeper is about to leave."""
        for child in self:
            if not child.gone and _is_its_own(child):
                _signal_group(child.pid, signal.SIGKILL)

    def reap(self, doors: Collection[int] = ()) -> dict[int, int]:
        """Collect every process that has ended; how those of ``doors``, the door processes, ended, by their pids.

        Orphans come here too (the keeper is a subreaper): they are what is left of a backend's group.
        """
        doors_ended: dict[int, int] = {}
        while True:
            try:
                # Look first: while the zombie is there its number cannot become another group's (waitid(2), WNOWAIT).
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return doors_ended
            if ended is None:
                return doors_ended
            child = next((c for c in self if c.pid == ended.si_pid and c.status is None), None)
            if child is not None and not child.signalled:
                _signal_group(child.pid, signal.SIGKILL)  # it crashed: what it leaves behind serves nobody
            _, raw = os.waitpid(ended.si_pid, 0)
            if ended.si_pid in doors:
                doors_ended[ended.si_pid] = os.waitstatus_to_exitcode(raw)
            elif child is not None:
                child.status = os.waitstatus_to_exitcode(raw)
                child.gone = not _alive(child.pid)
                self._changed(child)
            for other in self:
                if other.status is not None and not other.gone and not _alive(other.pid):
                    self._is_gone(other)

    def remember(self) -> list[dict[str, Any]]:
        """All of them, as JSON, for a renewal of the keeper."""
        return [asdict(child) for child in self._children.values()]

    def recall(self, remembered: Iterable[Mapping[str, Any]]) -> None:
        """As they were. Raises KeyError, TypeError."""
        for one in remembered:
            known = {field.name: one[field.name] for field in fields(Child) if field.name in one}
            self._children[one["key"]] = Child(**known)

    def _is_gone(self, child: Child) -> None:
        child.gone = True
        self._changed(child)


def _is_its_own(child: Child) -> bool:
    """Whether the number of its group is still that: once nobody is left in it, it may be given to any other."""
    return child.status is None or _alive(child.pid)


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody in the group runs as another user; the others were signalled (kill(2))
    return True


def _alive(group: int) -> bool:
    """Whether a child of ours is left in the group. Orphans are ours, since the keeper is a subreaper."""
    try:
        os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
