"""An upgrade, as the keeper sees it: two door processes, of which one is left in the end.

::

    STARTING    the new one loads everything, and looks at the config; the old one serves
                ── ``ready`` ──▶ the old one is told ``yield``
    YIELDING    the old one puts what it still has, and stops
                ── ``yielded`` ──▶ it stands still; the new one's ``hello`` is answered
    HANDED_OVER the new one restores what is held
                ── ``served`` ──▶ the old one is killed; or told ``leave``, if it has said that it ``stays``

What must hold: at every moment one of the two at the most moves bytes and asks things of the keeper, and the old one
goes on as if nothing had been whatever becomes of the new one before it has served. So no request is carried out of a
new one before it is its turn, and none of an old one that stands still; what that one is to be told waits with it.
"""

import errno
import time
from collections.abc import Sequence
from enum import Enum

from frontdoor.keeper import wire
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.identity import Identity
from frontdoor.keeper.leaving import Leaving
from frontdoor.keeper.preview import Preview
from frontdoor.keeper.renewal import Trial
from frontdoor.keeper.vault import Vault

READY_WITHIN = 30.0
"""Seconds from the start of a new door process until it is ready."""

SERVED_WITHIN = 10.0
"""Seconds from the moment when the old one is told to yield until the new one serves."""


class Step(Enum):
    """How far it has come."""

    STARTING = "before it was ready"
    YIELDING = "before the old one had yielded"
    HANDED_OVER = "before it served"


class Upgrade:
    """One upgrade. It begins with the start of the new door process."""

    def __init__(
        self, old: DoorProcess, request: object, config: str, trial: Trial, identity: Identity | None = None
    ) -> None:
        """``request``: the number of the old one's request; ``trial``: of the keeper's new code.

        ``identity``: who the new one runs as, as the old one does; None: as the keeper.

        Raises SpawnError, OSError.
        """
        self.trial = trial
        self._ready: wire.Message | None = None
        self.old = old
        self.new = DoorProcess.start(config, identity=identity, beside=True)
        self.step = Step.STARTING
        self.deadline = time.monotonic() + READY_WITHIN
        self._request = request
        self._hello: wire.Message | None = None

    def __repr__(self) -> str:
        return f"<Upgrade from {self.old} to {self.new}, {self.step.name}>"

    def too_early(self, message: wire.Message) -> str | None:
        """Why a request of the new one is not carried out; None: it is its turn. Its ``hello`` waits for that here."""
        op = message.body.get("op")
        if op == "bye":
            return "it has not served: it has nothing to end"
        if self.step is Step.HANDED_OVER:
            return None
        if op == "hello" and self._hello is None:
            self._hello = message
        return "another door process serves: only ready, and then hello, can be asked now"

    def waits(self, message: wire.Message) -> bool:
        """Whether this is the ``hello`` that waits: its answer comes later."""
        return message is self._hello

    def show(self, message: wire.Message, vault: Vault) -> None:
        """Answer a ``preview`` of the new one with the next part of it."""
        request, prefixes = message.body.get("id"), message.body.get("keys")
        message.close()
        if self.step is not Step.STARTING:
            self.new.answer(request, {"error": "it is its turn already", "errno": errno.EBUSY})
            return
        try:
            preview = self.new.preview = self.new.preview or Preview(vault, prefixes or ())
        except TypeError as error:
            self.new.answer(request, {"error": f"TypeError: {error}", "errno": None})
            return
        entries, fds = preview.next()
        # Not later: the old one goes on, and its next request may close them.
        if not self.new.offer(request, {"entries": entries}, fds):
            self.new.answer(request, {"error": "there is no room for them in the wire", "errno": errno.EAGAIN})

    def is_ready(self, message: wire.Message) -> None:
        """The new one is ready."""
        self._ready = message
        self.go_on()

    def go_on(self) -> None:
        """The old one is told, and is to yield, once the new one is ready and the keeper's new code has been tried."""
        message = self._ready
        if self.step is not Step.STARTING or message is None or not self.trial.passed:
            return
        self.step, self.deadline = Step.YIELDING, time.monotonic() + SERVED_WITHIN
        self.old.answer(self._request, {"ready": True, "version": message.body.get("version"), "pid": self.new.pid})
        self.old.tell({"op": "yield"})

    def has_yielded(self, *, stays: bool) -> None:
        """The old one stands still from here on. ``stays``: it has requests under way, and can finish them later."""
        self.step, self.old.standing, self.old.stays = Step.HANDED_OVER, True, stays

    def hello(self) -> wire.Message | None:
        """The new one's first words, if it has said them: they can be answered now."""
        hello, self._hello = self._hello, None
        return hello

    def late(self) -> str:
        """Why it has failed when the deadline has passed."""
        if self.step is Step.STARTING:
            return f"the new door process was not ready within {READY_WITHIN:g} s"
        if self.step is Step.YIELDING:
            return f"the old door process did not yield within {SERVED_WITHIN:g} s"
        return f"the new door process did not serve within {SERVED_WITHIN:g} s"

    def give_up(self, why: str, output: Sequence[str] | None = None) -> None:
        """It has failed: the new one is ended, and the old one goes on and is told why.

        ``output``: what whoever is to blame has printed, if that is not the new one.
        """
        said = {"why": why, "output": self.new.last_words() if output is None else output}
        self.discard()
        if self.step is Step.STARTING:
            self.old.answer(self._request, {"ready": False, **said})
        else:
            self.old.standing = False
            self.old.tell({"op": "resume", **said})

    def discard(self) -> None:
        """End the new one, and the trial."""
        self.trial.let_go()
        if self._hello is not None:
            self._hello.close()
        self.new.kill()
        self.new.let_go()

    def take_over(self, leaving: Leaving) -> None:
        """The new one serves, or is the only one left: the old one is ended, or finishes what it has."""
        if self.old.stays and self.old.running:
            leaving.add(self.old)
        else:
            self.old.kill()
            self.old.let_go()
        self.new.listen()
        self.new.pass_on()
