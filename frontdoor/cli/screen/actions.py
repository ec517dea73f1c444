"""What was asked for on the screen: each change over a connection of its own, while the display goes on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from frontdoor.cli.call import Call
from frontdoor.cli.screen.keys import Action
from frontdoor.cli.watch import Watch, ask_for
from frontdoor.control.client import Client
from frontdoor.control.dial import ControlError, Refused

SAID = 8
"""Lines that are kept of what one of them says."""

KEPT = 4
"""Changes that are remembered: those that are under way, and the last outcomes."""

WORDS = {
    0: "done",
    1: "failed",
    2: "wrong usage",
    3: "no frontdoor",
    4: "not ready",
    5: "busy",
    6: "streams had to be closed",
    7: "switched back",
    130: "aborted",
}
"""The contract's exit codes."""


@dataclass(eq=False)
class Deed:
    """One change, and how it goes. Written by its own thread; each assignment is one that may be seen at any time."""

    action: Action
    said: deque[str] = field(default_factory=lambda: deque(maxlen=SAID))
    message: str = ""
    output: Sequence[str] = ()
    """What a backend said last, if that is why."""
    exit_code: int | None = None
    """None: it is under way."""
    begun: threading.Event = field(default_factory=threading.Event)
    """Frontdoor has taken it, or refused it, or could not be asked."""

    @property
    def outcome(self) -> str:
        """How it ended, in a word and with the exit code that the verb would have."""
        if self.exit_code is None:
            return "under way"
        word = WORDS.get(self.exit_code, "ended")
        return word if self.exit_code == 0 else f"{word} (exit code {self.exit_code})"


class Deeds:
    """All of them, the oldest first."""

    def __init__(self, path: str, changed: Callable[[], object]) -> None:
        """`path`: the control socket; `changed` is called, by any thread, when there is something new to show."""
        self._path = path
        self._changed = changed
        self.all: list[Deed] = []

    def __repr__(self) -> str:
        return f"<Deeds {[deed.action.about for deed in self.all]}>"

    @property
    def under_way(self) -> list[Deed]:
        """Those that have not ended."""
        return [deed for deed in self.all if deed.exit_code is None]

    def start(self, action: Action) -> str:
        """Ask for it, in a thread; returns why not, or nothing."""
        ended = [deed for deed in self.all if deed.exit_code is not None]
        while len(self.all) >= KEPT and ended:
            self.all.remove(ended.pop(0))
        if len(self.all) >= KEPT:
            return "too much is under way: wait until something of it has ended"
        deed = Deed(action)
        self.all.append(deed)
        threading.Thread(target=self._do, args=(deed,), name=action.about, daemon=True).start()
        return ""

    def forget(self) -> None:
        """Those that have ended have been seen."""
        self.all = self.under_way

    def _do(self, deed: Deed) -> None:
        def say(text: str) -> None:
            deed.said.append(text)
            self._changed()

        try:
            line = carry_out(Client(self._path), deed, say)
            code = int(line.get("exit_code", 0))
        except Refused as error:
            line, code = {**error.answer, "message": str(error)}, error.exit_code
        except ControlError as error:
            line, code = {"message": str(error)}, error.exit_code
        except Exception as error:
            # A mistake of ours is shown where the outcome would be: the screen goes on.
            line, code = {"message": f"{type(error).__name__}: {error}"}, 1
        output = line.get("output")
        deed.output = tuple(map(str, output)) if isinstance(output, list) else ()
        deed.message = str(line.get("message", line.get("result", "")))
        deed.exit_code = code
        deed.begun.set()
        self._changed()


def carry_out(client: Client, deed: Deed, say: Callable[[str], object]) -> dict[str, Any]:
    """Ask for it, and follow it to its outcome, over as many connections as that takes. Raises ControlError."""
    action = deed.action
    call = Call(control=client.path, config=None, door=action.door, json=False)
    target = call.door_path(action.verb)
    if action.verb not in ("swap", "rollback"):
        return client.tell(target, action.body)
    lines = ask_for(client, target, action.body, "swap")
    deed.begun.set()
    return Watch(client, call, str(action.body["wait"]), lines, "swap", aborts=False, say=say).outcome()
