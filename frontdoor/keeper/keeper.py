"""The keeper's loop: one poll over the wire to the door process and the signals; each request is answered at once.

What must hold: whatever the door process does, and however it ends, the descriptors in the vault stay open and the
backends stay up; and when the keeper itself ends, on purpose or by SIGKILL, no child of its is left.
"""

import errno
import math
import os
import resource
import select
import signal
import time
from collections.abc import Collection, Sequence

from frontdoor import __version__
from frontdoor.keeper import bytecode, vault, wire
from frontdoor.keeper import signals as caught
from frontdoor.keeper.activation import Activation
from frontdoor.keeper.custody import Custody, keys_of
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.notify import Notifier, Standing
from frontdoor.keeper.permits import Permits
from frontdoor.keeper.pulse import Beat
from frontdoor.keeper.renewal import Document
from frontdoor.keeper.signals import Signals
from frontdoor.keeper.spawn import become_subreaper
from frontdoor.keeper.stderr import say
from frontdoor.keeper.succession import Succession
from frontdoor.keeper.upgrade import Step

_NAP = 3600.0
"""Seconds that it waits at the most: poll(2) takes no more than some weeks, and a config may say more."""

_AT_ONCE = 64
"""Messages of one door process that are read in a row: whoever talks without end must not keep a stop, an end or a hang
from being seen."""


class Keeper:
    """The parent of the door process and of every backend."""

    def __init__(self, config: str, permits: Permits | None = None) -> None:
        """``permits``: what a door process that is not root may ask for; None: it has the rights that this one has."""
        self._custody = Custody(self._tell, resource.getrlimit(resource.RLIMIT_NOFILE), permits)
        self._custody.activation = Activation.take(os.environ)
        self._signals = Signals()
        self._notifier = Notifier.from_environment(os.environ)
        self.succession = Succession(
            config,
            self._custody,
            self._signals,
            remember=self.remember,
            hear_out=self._read_all,
            answer=self._on_request,
            resumed=self._tell_signals,
        )
        """Whose turn it is."""
        self._renewed: object = None
        """The number of the request that this code is the answer to."""
        self._woken: Sequence[int] = ()
        """The pipe that tells of signals: where they come out, and where they go in."""
        self._blocked: Collection[int] = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        """Signals that whoever started this has blocked."""

    def run(self) -> int:
        """Serve until the door process says that all is done; the exit code of ``frontdoor serve``."""
        self._woken = caught.catch(self._woken, self._blocked)
        signals = self._woken[0]
        become_subreaper()
        # A stream is two descriptors here and two in the door process. Backends get back what was here before.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.succession.begin()
        self._say_renewed()
        code: int | None = None
        while code is None:
            self._notify(time.monotonic())
            ready = self._poll(signals)
            for door in self.succession.everyone:
                door.listen()
                if door.is_in(ready):
                    door.flush()
                    self._read(door)  # the rest keeps its wire ready
            if signals in ready:
                code = self._on_signals(signals)
            if code is None:
                code = self._on_time(time.monotonic())
            if code is None:
                self.succession.renewals.proceed()
        self._notify(time.monotonic(), leaving=True)
        self.succession.leaving.kill()
        self._custody.children.kill_all()
        return code

    def _poll(self, signals: int) -> set[int]:
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        deadlines = [*self.succession.deadlines, self._signals.force_at, self._notifier.due]
        for door in self.succession.everyone:
            door.register(poll)
            deadlines.append(door.flush_at)
        times = [at for at in deadlines if at is not None]
        # poll's timeout is in whole milliseconds, cut off: one more, so as not to wake just before the time.
        timeout = min(_NAP, max(0.0, min(times) - time.monotonic())) * 1000 + 1 if times else None
        return {fd for fd, _ in poll.poll(timeout)}

    def _on_time(self, now: float) -> int | None:
        if self._signals.force_at is not None and now >= self._signals.force_at:
            say("it did not stop when it was asked a second time: everything is ended now")
            return self.succession.kill()
        code = self.succession.on_time(now)
        for door in self.succession.everyone:
            if door.flush_at is not None and now >= door.flush_at:
                door.flush()
        for door in self.succession.heeded:
            self._feel_pulse(door, now)
        return code

    def _notify(self, now: float, *, leaving: bool = False) -> None:
        """Tell systemd how things stand."""
        door, watched = self.succession.door, self.succession.watched
        heard = watched is not None and watched.served
        standing = Standing(
            door=door.pid if door is not None else None,
            served=door is not None and door.served,
            heard_at=now - watched.pulse.silence(now) if heard and watched is not None else -math.inf,
            upgrading=self.succession.upgrade is not None,
            hung_up=signal.SIGHUP in self._signals.untold,
            stopping=leaving or self._signals.stops > 0 or self._custody.leave_with is not None,
        )
        if self._notifier.tell(standing, now) and watched is not None:
            watched.tell({"op": "ping"})

    # -- signals ------------------------------------------------------------------------------------------------

    def _on_signals(self, signals: int) -> int | None:
        numbers = os.read(signals, 4096)
        # Always: a full pipe may have lost a SIGCHLD. And first: what came with it is for the next door process.
        code = self.succession.on_ends(self._custody.children.reap(self.succession.pids))
        for number in numbers:
            if code is None and number in caught.PASSED_ON:
                if number == signal.SIGHUP:
                    self._notifier.hang_up()
                if self._signals.came(number, time.monotonic()):
                    self._tell_signals()
                else:
                    say("stopped three times: everything is ended now")
                    code = self.succession.kill()
        return code

    def _tell_signals(self) -> None:
        """Tell of the signals, if there is somebody to tell: one who is to yield may not be there to act on them."""
        door, upgrade = self.succession.door, self.succession.upgrade
        if door is None or not door.greeted or (upgrade is not None and upgrade.step is not Step.STARTING):
            return
        for number in self._signals.take():
            door.tell({"op": "signal", "number": number})
            if number == signal.SIGHUP:
                self._notifier.passed_on(door.pid)

    def _feel_pulse(self, door: DoorProcess, now: float) -> None:
        if now < door.pulse.at:
            return
        # First: this process may have been stopped itself, right after it had looked.
        door.flush()
        self._read(door)
        beat = door.pulse.beat(now) if door in self.succession.heeded else Beat.REST
        if beat is Beat.PING:
            door.tell({"op": "ping"})
        elif beat is Beat.DEAD:
            if not door.silent:
                door.silent = door.pulse.silence(now)
                say(f"the door process has not answered for {door.silent:.1f} s: it is killed")
            door.kill()

    # -- a renewal ----------------------------------------------------------------------------------------------

    def remember(self) -> Document:
        """All of it, as JSON: what the code that goes on has to know. There is no upgrade under way."""
        memory = bytecode.remember()
        return {
            "custody": self._custody.remember(),
            **self.succession.remember(),
            "signals": self._signals.remember(),
            "notifier": self._notifier.remember(),
            "bytecode": memory,
            "woken": self._woken,
            "blocked": sorted(self._blocked),
            "descriptors": [
                *self._woken,
                *([memory] if memory is not None else []),
                *self._custody.descriptors(),
                *self.succession.descriptors(),
            ],
        }

    @classmethod
    def recall(cls, config: str, remembered: Document) -> "Keeper":
        """As it was. Raises KeyError, ValueError, TypeError, OSError."""
        it = cls(config)
        it._custody.recall(remembered["custody"])
        it.succession.recall(remembered)
        it._signals.recall(remembered["signals"])
        it._notifier.recall(remembered["notifier"])
        bytecode.recall(remembered.get("bytecode"))
        it._woken, it._blocked = remembered["woken"], remembered["blocked"]
        it._renewed = remembered.get("renewed")
        return it

    def _say_renewed(self) -> None:
        door = self.succession.door
        if door is not None:
            door.answer(self._renewed, {"version": __version__})
            door.flush()

    # -- the wire -----------------------------------------------------------------------------------------------

    def _tell(self, body: wire.Body) -> None:
        """Tell whoever has greeted; one that stands still hears of it if it goes on."""
        for door in self.succession.doors:
            door.tell(body)

    def _read(self, door: DoorProcess) -> None:
        if door.standing:  # it is ready all the same: the wire has ended
            self._lost(door)
            return
        for _ in range(_AT_ONCE):
            if not self._read_one(door):
                return

    def _read_all(self, door: DoorProcess) -> None:
        """Of one that is dead: it says no more than that."""
        while self._read_one(door):
            pass

    def _read_one(self, door: DoorProcess) -> bool:
        """False: there is nothing to be read just now."""
        try:
            message = door.receive()
        except EOFError:
            self._lost(door)
            return False
        except wire.Garbage as error:
            say(f"the door process sent {error}; ignored")
            return True
        if message is None:
            return False
        door.pulse.heard(time.monotonic())
        try:
            self._on_message(door, message)
        except Exception as error:  # whoever's fault it is: the end of this process would be that of everything
            message.close()
            why = f"{type(error).__name__}: {error}"[:2000]
            say(f"a request of the door process could not be carried out ({why})")
            door.answer(message.body.get("id"), {"error": why, "errno": None})
        return True

    def _lost(self, door: DoorProcess) -> None:
        door.hang_up()
        if self._custody.leave_with is None or door is not self.succession.door:
            door.kill()  # without the wire it can do nothing; mostly it is dead

    def _on_message(self, door: DoorProcess, message: wire.Message) -> None:
        if message.body.get("op") == "pong":
            message.close()
        elif message.body.get("op") == "pulse":
            message.close()
            door.pulse.obey(message.body.get("timeout"), time.monotonic())
            door.answer(message.body.get("id"), {})
        elif door in self.succession.leaving:
            message.close()
            door.answer(message.body.get("id"), {"error": "another door process serves", "errno": errno.EPERM})
        else:
            self._on_request(door, message)

    def _on_request(self, door: DoorProcess, message: wire.Message) -> None:
        request, op, upgrade = message.body.get("id"), message.body.get("op"), self.succession.upgrade
        is_new = upgrade is not None and door is upgrade.new
        if op == "upgrade":
            message.close()
            self.succession.begin_upgrade(door, request)
        elif op == "renew":
            message.close()
            self.succession.renewals.begin(door, request, busy=upgrade is not None)
        elif op == "preview" and upgrade is not None and is_new:
            upgrade.show(message, self._custody.vault)
        elif op == "ready":
            message.close()
            door.answer(request, {})
            if upgrade is not None and is_new:
                upgrade.is_ready(message)
        elif op == "yielded":
            message.close()
            door.answer(request, {})
            if upgrade is not None and not is_new and upgrade.step is Step.YIELDING:
                stays = message.body.get("stays") is True
                self.succession.yielded(upgrade, message.body.get("error"), stays=stays)
        elif upgrade is not None and is_new and (why := upgrade.too_early(message)):
            if not upgrade.waits(message):
                message.close()
                door.answer(request, {"error": why, "errno": errno.EBUSY})
        else:
            if upgrade is not None and is_new and op == "served":
                self.succession.take_over(upgrade)
            self._carry_out(door, message)

    def _carry_out(self, door: DoorProcess, message: wire.Message) -> None:
        request, op = message.body.get("id"), message.body.get("op")
        answer, fds = self._custody.answer(message)
        if op == "put" and request is None and "error" in answer:
            door.tell({"op": "unkept", "keys": keys_of(message.body), "why": answer["error"]})
        if op == "report":
            door.report = message.body
        if op == "served":
            door.served, door.served_at = True, door.served_at or time.monotonic()
            self.succession.deaths.served()
        if op in ("report", "served") and door is self.succession.door:
            if door.report is not None:
                self._notifier.reported(door.pid, door.report)
            self._notify(time.monotonic())  # at once: the next message may be the end of what this one has begun
        if op == "hello" and "error" not in answer:
            door.greeted = True
            answer |= self.succession.deaths.remember() | {"limit": vault.limit()}
            answer["notified"] = self._notifier.listened
            preview, door.preview = door.preview, None
            for held, held_fds in self._custody.inventory(preview if message.body.get("shown") else None):
                door.tell(held, held_fds)
        door.answer(request, answer, fds)
        if op == "hello":
            self._tell_signals()
